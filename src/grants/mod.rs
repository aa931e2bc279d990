//! May they have a token? One file per grant type; `issue.rs` alone mints.
//!
//! A new grant is one file and one line in `GRANTS`; metadata follows from the table.

mod client_credentials;
mod foreign;
pub mod id_jag;
mod issue;
mod jwt_bearer;
mod token_exchange;

use crate::client_auth::Authenticated;
use crate::cx::Cx;
use crate::error::{Error, Reason, Refusal, Result};
use crate::model::event::Facts;
use crate::model::{AuthMethod, Client};
use crate::oauth::Form;
use crate::ports::Pending;
use serde::Serialize;

/// A token request.
pub struct TokenRequest<'a> {
    /// The form.
    pub form: &'a Form,
    /// The client, if it has said who it is.
    pub caller: Option<&'a Authenticated>,
    /// The thumbprint of the key that was proved with the request (RFC 9449 §5).
    pub jkt: Option<&'a str>,
}

impl<'a> TokenRequest<'a> {
    /// The client, for a grant that is for authenticated clients only.
    pub fn caller(&self) -> Result<&'a Authenticated> {
        self.caller.ok_or_else(|| Reason::NoClientAuthentication.into())
    }
}

/// A successful token response (RFC 6749 §5.1, RFC 8693 §2.2.1).
#[derive(Serialize)]
pub struct TokenResponse {
    access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
    token_type: &'static str,
    expires_in: u32,
    scope: String,
}

type Run = for<'a> fn(&'a Cx<'a>, &'a TokenRequest<'a>, &'a mut Facts) -> Pending<'a, Result<TokenResponse>>;

struct Grant {
    grant_type: &'static str,
    run: Run,
    /// Whether a public client, or no client at all, may use it.
    open: bool,
}

const GRANTS: &[Grant] = &[
    Grant {
        grant_type: client_credentials::GRANT_TYPE,
        run: |cx, request, facts| Box::pin(client_credentials::run(cx, request, facts)),
        open: false,
    },
    Grant {
        grant_type: jwt_bearer::GRANT_TYPE,
        run: |cx, request, facts| Box::pin(jwt_bearer::run(cx, request, facts)),
        open: true,
    },
    Grant {
        grant_type: token_exchange::GRANT_TYPE,
        run: |cx, request, facts| Box::pin(token_exchange::run(cx, request, facts)),
        open: false,
    },
];

/// Every grant type there is.
pub fn grant_types() -> Vec<&'static str> {
    GRANTS.iter().map(|grant| grant.grant_type).collect()
}

/// That somebody in a token was stopped makes that token one that does not count: the grant says it as it always does.
fn instead_of_stopped(error: Error, reason: Reason) -> Error {
    match error {
        Error::Refused(refusal) if refusal.reason == Reason::Stopped => Error::Refused(Refusal { reason, ..refusal }),
        other => other,
    }
}

/// Whether a client may use the grant.
fn allows(client: &Client, grant_type: &str) -> bool {
    client.metadata.grant_types.iter().any(|allowed| allowed == grant_type)
}

/// Runs the grant that the request names, if its client is registered for it. Whatever is learnt on the way goes into
/// `facts`, for the event of a refusal.
pub async fn run(cx: &Cx<'_>, request: &TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let wanted = request.form.get("grant_type").ok_or(Reason::MissingGrantType)?;
    let grant = GRANTS.iter().find(|grant| grant.grant_type == wanted).ok_or(Reason::UnsupportedGrantType)?;
    facts.grant_type = Some(grant.grant_type.to_owned());
    match request.caller {
        Some(caller) if !allows(&caller.client, grant.grant_type) => return Err(Reason::GrantNotAllowed.into()),
        Some(caller) if caller.method == AuthMethod::None && !grant.open => return Err(Reason::GrantNotAllowed.into()),
        None if !grant.open => return Err(Reason::NoClientAuthentication.into()),
        _ => {}
    }
    (grant.run)(cx, request, facts).await
}
