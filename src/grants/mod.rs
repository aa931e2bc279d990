//! May they have a token? One file per grant type; `issue.rs` alone mints.
//!
//! A new grant is one file and one line in `GRANTS`; metadata follows from the table.

mod client_credentials;
mod issue;

use crate::client_auth::Authenticated;
use crate::cx::Cx;
use crate::error::{Reason, Result};
use crate::model::event::Facts;
use crate::oauth::Form;
use crate::ports::Pending;
use serde::Serialize;

/// A token request whose client has been authenticated.
pub struct TokenRequest<'a> {
    /// The form.
    pub form: &'a Form,
    /// The client.
    pub caller: &'a Authenticated,
}

/// A successful token response (RFC 6749 §5.1).
#[derive(Serialize)]
pub struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: u32,
    scope: String,
}

type Run = for<'a> fn(&'a Cx<'a>, &'a TokenRequest<'a>, &'a mut Facts) -> Pending<'a, Result<TokenResponse>>;

struct Grant {
    grant_type: &'static str,
    run: Run,
}

const GRANTS: &[Grant] = &[Grant {
    grant_type: client_credentials::GRANT_TYPE,
    run: |cx, request, facts| Box::pin(client_credentials::run(cx, request, facts)),
}];

/// Every grant type there is.
pub fn grant_types() -> Vec<&'static str> {
    GRANTS.iter().map(|grant| grant.grant_type).collect()
}

/// Runs the grant that the request names, if its client is registered for it. Whatever is learnt on the way goes into
/// `facts`, for the event of a refusal.
pub async fn run(cx: &Cx<'_>, request: &TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let wanted = request.form.get("grant_type").ok_or(Reason::MissingGrantType)?;
    let grant = GRANTS.iter().find(|grant| grant.grant_type == wanted).ok_or(Reason::UnsupportedGrantType)?;
    facts.grant_type = Some(grant.grant_type.to_owned());
    if !request.caller.client.metadata.grant_types.iter().any(|allowed| allowed == grant.grant_type) {
        return Err(Reason::GrantNotAllowed.into());
    }
    (grant.run)(cx, request, facts).await
}
