//! `POST /t/{tenant}/revoke` (RFC 7009).
//!
//! 1. A client revokes its own tokens, with every token that was made from them (§2.1); a public client too, for it shows the
//!    token. Another client's token stays alive.
//! 2. The answer is 200 whatever the token is (§2.2), so it tells nothing. `token_type_hint` may be anything.
//! 3. A refresh token takes every token of its family along (§2.1).
//! 4. Not cached, and 200 only once it is durable.

use crate::authn::client::Callers;
use crate::context::Cx;
use crate::error::{Error, Reason, Result};
use crate::model::{EventType, RefreshFamily};
use crate::revocation::{families, kill};
use crate::store;
use crate::tokens::{self, refresh::RefreshToken};
use crate::web::guard::ClientCall;
use crate::web::{Call, Response};
use serde_json::json;

/// Answers a revocation request.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let client_call =
        ClientCall::read(call.cx, call.request, Callers::Registered, EventType::TokenQueryRefused).await?;
    match revoke(call, &client_call).await {
        Err(Error::Refused(refusal)) => Err(client_call.refuse(call.cx, refusal, EventType::TokenQueryRefused).await?),
        answer => answer,
    }
}

async fn revoke(call: Call<'_>, ClientCall { form, caller }: &ClientCall) -> Result<Response> {
    let token = form.get("token").ok_or(Reason::MissingTokenParameter)?;
    if let Some(family) = refresh_family(call.cx, token).await? {
        if family.client == caller.client.id {
            families::revoke(call.cx, &family).await?;
        }
        return Ok(answer());
    }
    let read = tokens::read_to_revoke(call.cx, token).await?;
    if let Some((claims, exp)) = read.filter(|(claims, _)| claims.client_id == caller.client.id) {
        kill::revoke(call.cx, &claims, exp).await?;
    }
    Ok(answer())
}

/// The family of a refresh token of ours, old ones too.
async fn refresh_family(cx: &Cx<'_>, token: &str) -> Result<Option<RefreshFamily>> {
    match RefreshToken::read(cx, token) {
        Some(token) => cx.one(store::refresh::get(&cx.tenant.id, &token.family)).await,
        None => Ok(None),
    }
}

/// Some clients read every answer as JSON.
fn answer() -> Response {
    Response::json(200, &json!({})).with("pragma", "no-cache")
}
