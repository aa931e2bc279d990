//! `GET|POST /t/{tenant}/userinfo` (OpenID Connect Core §5.3).
//!
//! 1. Any access token of the tenant with `openid`, whatever it is for; its user has allowed each claim.
//! 2. A refusal is counted and limited as any of a request that proves nobody.

use crate::authn::client::Unproved;
use crate::error::{Error, Reason, Result};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::oauth::Scope;
use crate::tokens::id_token;
use crate::web::guard::bearer;
use crate::web::{Call, Response};

/// Answers what the token is good for.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let unproved = Unproved { kind: EventType::TokenQueryRefused, client: None, facts: Facts::default() };
    let accepted = match bearer(call.cx, call.request, |_| true).await {
        Err(Error::Refused(refusal)) => return Err(unproved.refuse(call.cx, refusal).await?),
        outcome => outcome?,
    };
    let scope = Scope::parse(&accepted.claims.scope).unwrap_or_default();
    let user = accepted.user.filter(|_| scope.contains("openid"));
    let user = user.ok_or_else(|| Reason::InsufficientScope.needing("openid"))?;
    Ok(Response::json(200, &id_token::claims(&user, &scope)))
}
