//! `GET /t/{tenant}/status-list`: where every agentic identity stands, as a Token Status List
//! (draft-ietf-oauth-status-list-20). An access token names its index in `status`.
//!
//! 1. Valid, invalid (stopped for good, or gone) or suspended, as the worst of identity, client and user. A single token
//!    that was revoked does not show here: that is for introspection and for signals.
//! 2. The list is as fresh as D1 when it is signed; whoever keeps it for `ttl` is late by that and no more.
//! 3. It has room for `LEAST` identities and grows by doubling up to `MOST`, so that its length tells nothing and a token
//!    of a new identity finds its index. An identity beyond that has no status here.
//! 4. `304` goes only to who has the present list, signed not long ago (RFC 9110 §13.1.2).

use super::introspect::SIGNING_ALG;
use crate::context::Cx;
use crate::crypto::sha256;
use crate::error::{Fault, Result};
use crate::jose::Unsigned;
use crate::keys;
use crate::model::Status;
use crate::oauth::status_list::{BITS, INVALID, SUSPENDED, StatusList, VALID};
use crate::store::{self, Reader, identities};
use crate::web::{Call, Response};
use serde_json::json;
use std::rc::Rc;

/// How many places the list has at least.
const LEAST: i64 = 1 << 17;
/// How many it has at most: a quarter of a megabyte before it is compressed.
const MOST: i64 = 1 << 20;
/// How many rows one statement reads.
const ROWS: i64 = 5_000;
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
    let list = list(&cx).await?;
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
    let mut tags = sent.split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'));
    tags.find_map(|tag| tag.strip_suffix(digest)?.strip_suffix('.')?.parse().ok())
}

/// The `lst` of now. Where an identity stands moves the tenant's epoch; a new one is valid and needs no new list while there
/// is room.
async fn list(cx: &Cx<'_>) -> Result<Rc<String>> {
    let outcomes = cx.batch(vec![identities::places(&cx.tenant.id)]).await?;
    let taken = store::single(&outcomes).ok_or(Fault::Broken("a count has a row"))?.int("places")?;
    let mut size = LEAST;
    while size < taken && size < MOST {
        size = size.saturating_mul(2);
    }
    let load = async || Ok(Some(encoded(cx, size).await?));
    cx.cached(&format!("status-list/{size}"), load).await?.ok_or_else(|| Fault::Broken("a list is there").into())
}

async fn encoded(cx: &Cx<'_>, size: i64) -> Result<String> {
    let mut list = StatusList::new(usize::try_from(size).unwrap_or_default());
    let mut after = -1;
    loop {
        let outcomes = cx.batch(vec![identities::stopped_places(&cx.tenant.id, after, ROWS)]).await?;
        let rows = outcomes.iter().flat_map(|outcome| &outcome.rows);
        let places = rows.map(|row| identities::read_place(&Reader(row))).collect::<Result<Vec<_>>>()?;
        let Some((last, _)) = places.last() else { return Ok(list.encode()) };
        after = *last;
        for (place, status) in places {
            let status = match status {
                Status::Active => VALID,
                Status::Suspended => SUSPENDED,
                Status::Retired => INVALID,
            };
            list.set(usize::try_from(place).unwrap_or(usize::MAX), status);
        }
    }
}
