//! `POST /t/{tenant}/revoke` (RFC 7009).
//!
//! 1. A client revokes its own tokens, with every token that was made from them (§2.1); a public client too, for it shows the
//!    token. Another client's token stays alive.
//! 2. The answer is 200 whatever the token is (§2.2), so it tells nothing. `token_type_hint` may be anything.
//! 3. Not cached, and 200 only once it is durable.

use super::introspect::Query;
use crate::authn::client::Claim;
use crate::error::Result;
use crate::revocation::kill;
use crate::tokens;
use crate::web::{Call, Response};

/// Answers a revocation request.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    let Query { token, caller } = Query::read(cx, call.request, Claim::accept).await?;
    let told = tokens::read_to_revoke(cx, &token).await?;
    if let Some((claims, exp)) = told.filter(|(claims, _)| claims.client_id == caller.client.id) {
        kill::revoke(cx, &claims, exp).await?;
    }
    Ok(Response::empty(200).with("cache-control", "no-store").with("pragma", "no-cache"))
}
