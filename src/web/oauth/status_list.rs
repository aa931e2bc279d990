//! `GET /t/{tenant}/status-list`: where every agentic identity stands, as a Token Status List
//! (draft-ietf-oauth-status-list-20). An access token names its index in `status`.
//!
//! 1. Valid, invalid (stopped for good, or gone) or suspended, as the worst of identity, client and user. A single token
//!    that was revoked does not show here: that is for introspection and for signals.
//! 2. The list is as fresh as D1 when it is signed; whoever keeps it for `ttl` is late by that and no more.
//! 3. `304` goes only to who has the present list, signed not long ago (RFC 9110 §13.1.2).

use super::introspect::SIGNING_ALG;
use crate::crypto::sha256;
use crate::error::Result;
use crate::jose::Unsigned;
use crate::keys;
use crate::oauth::status_list::BITS;
use crate::revocation::status_list;
use crate::web::negotiation::opaque_tags;
use crate::web::{Call, Response};
use serde_json::json;

/// The shortest `ttl`, in seconds.
const SHORTEST: i64 = 5;
/// How long a list holds beyond its `ttl`, in seconds: the longest for which an old one can be passed off as new.
const GRACE: i64 = 60;

/// Answers the list.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let cx = call.cx.refreshed().await?;
    let now = cx.now.seconds();
    let bound = i64::try_from(cx.config.freshness_millis().div_ceil(1000)).unwrap_or(i64::MAX);
    let ttl = bound.max(SHORTEST);
    let list = status_list::lst(&cx).await?;
    let digest = sha256(&*list).to_text();
    let sent = call.request.header("if-none-match").unwrap_or_default();
    let (iat, response) = match known(sent, &digest).filter(|iat| (0..GRACE >> 1).contains(&now.saturating_sub(*iat))) {
        Some(iat) => (iat, Response::empty(304)),
        None => {
            let uri = format!("{}/status-list", cx.issuer());
            let claims =
                json!({"iss": cx.issuer(), "sub": uri, "ttl": ttl, "status_list": {"bits": BITS, "lst": *list}});
            let times = (now, now.saturating_add(ttl).saturating_add(GRACE));
            let body =
                keys::sign(&cx, SIGNING_ALG, |kid| Unsigned::new(SIGNING_ALG, "statuslist+jwt", kid, &claims, times))
                    .await?;
            let signed = Response { body, ..Response::empty(200) };
            (now, signed.with("content-type", "application/statuslist+jwt"))
        }
    };
    Ok(response.with("etag", format!("\"{iat}.{digest}\"")).with("cache-control", format!("public, max-age={ttl}")))
}

/// When the list of that digest was signed which an `If-None-Match` names, if it does.
fn known(sent: &str, digest: &str) -> Option<i64> {
    opaque_tags(sent).into_iter().find_map(|tag| tag.strip_suffix(digest)?.strip_suffix('.')?.parse().ok())
}
