//! May they have a token? One file per grant type; `tokens` decides and signs.
//!
//! A new grant is one file and one line in `GRANTS`; metadata follows from the table.

mod client_credentials;
pub mod id_jag;
mod jwt_bearer;
mod outside;
mod request;
mod token_exchange;

pub use request::TokenRequest;

use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::model::AuthMethod;
use crate::model::event::Facts;
use crate::ports::Pending;
use crate::tokens::TokenResponse;
use request::allows;

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
