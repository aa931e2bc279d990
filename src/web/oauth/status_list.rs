//! `GET /t/{tenant}/status-list`: where every agentic identity stands, as a Token Status List
//! (draft-ietf-oauth-status-list). An access token names its index in `status`.
//!
//! 1. Valid, invalid (stopped for good, or gone) or suspended, as the worst of identity, client and user. A single token
//!    that was revoked does not show here: that is for introspection and for signals.
//! 2. The list is as fresh as D1 when it is made, and an isolate makes one a second at most: whoever asks more often gets the same
//!    one. A change of the isolate itself shows at once. Whoever keeps a list for `ttl` is late by that and no more.
//! 3. `304` goes only to who has the present list, signed not long ago (RFC 9110 §13.1.2).

use super::introspect::SIGNING_ALG;
use crate::context::Cx;
use crate::crypto::sha256;
use crate::error::Result;
use crate::jose::Unsigned;
use crate::keys;
use crate::oauth::status_list::BITS;
use crate::ports::Now;
use crate::revocation::status_list;
use crate::web::negotiation::opaque_tags;
use crate::web::{Call, Response};
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The shortest `ttl`, in seconds.
const SHORTEST: i64 = 5;
/// How long a list holds beyond its `ttl`, in seconds: the longest for which an old one can be passed off as new.
const GRACE: i64 = 60;

/// How old a list of this isolate may be, in milliseconds.
const AGE_MILLIS: u64 = 1_000;
/// What a signed list weighs in the cache, about.
const WEIGHT: usize = 64 * 1_024;

/// A signed list.
struct Signed {
    body: String,
    digest: String,
    /// When it was signed, in seconds.
    iat: i64,
    /// When it was made, and of which change of the tenant on.
    made: Now,
    epoch: i64,
}

/// The newest list of the isolate, and since when another one is in the making.
#[derive(Default)]
struct Newest {
    signed: RefCell<Option<Rc<Signed>>>,
    begun: Cell<Option<Now>>,
}

/// Answers the list.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let list = newest(call.cx).await?;
    let sent = call.request.header("if-none-match").unwrap_or_default();
    let held = known(sent, &list.digest).filter(|iat| is_recent(*iat, call.cx.now));
    let response = match held {
        Some(_) => Response::empty(304),
        None => Response { body: list.body.clone(), ..Response::empty(200) }
            .with("content-type", "application/statuslist+jwt"),
    };
    let iat = held.unwrap_or(list.iat);
    let ttl = ttl(call.cx);
    Ok(response
        .with("etag", format!("\"{iat}.{}\"", list.digest))
        .with("cache-control", format!("public, max-age={ttl}")))
}

async fn newest(cx: &Cx<'_>) -> Result<Rc<Signed>> {
    let newest: Rc<Newest> = cx.lasting("status-list", WEIGHT);
    let last = newest.signed.borrow().clone();
    let last = last.filter(|last| is_recent(last.iat, cx.now));
    if let Some(last) = &last {
        let is_young = |since: Now| cx.now.millis().checked_sub(since.millis()).is_some_and(|age| age < AGE_MILLIS);
        let is_new = is_young(last.made) && last.epoch == cx.tenant.epoch;
        // A request that ends early never says so: what it has begun counts as long as a list does.
        if is_new || newest.begun.get().is_some_and(is_young) {
            return Ok(last.clone());
        }
    }
    newest.begun.set(Some(cx.now));
    let made = Rc::new(make(&cx.refreshed().await?, last).await?);
    newest.begun.set(None);
    *newest.signed.borrow_mut() = Some(made.clone());
    Ok(made)
}

/// The list of now: the last one, if nothing in it has changed since.
async fn make(cx: &Cx<'_>, last: Option<Rc<Signed>>) -> Result<Signed> {
    let list = status_list::lst(cx).await?;
    let digest = sha256(&*list).to_text();
    let (made, epoch) = (cx.now, cx.tenant.epoch);
    if let Some(last) = last.filter(|last| last.digest == digest) {
        return Ok(Signed { body: last.body.clone(), digest, iat: last.iat, made, epoch });
    }
    let (iat, ttl, uri) = (cx.now.seconds(), ttl(cx), format!("{}/status-list", cx.issuer()));
    let claims = json!({"iss": cx.issuer(), "sub": uri, "ttl": ttl, "status_list": {"bits": BITS, "lst": *list}});
    let times = (iat, iat.saturating_add(ttl).saturating_add(GRACE));
    let shape = |kid: &str| Unsigned::new(SIGNING_ALG, "statuslist+jwt", kid, &claims, times);
    Ok(Signed { body: keys::sign(cx, SIGNING_ALG, shape).await?, digest, iat, made, epoch })
}

fn ttl(cx: &Cx<'_>) -> i64 {
    let bound = i64::try_from(cx.config.freshness_millis().div_ceil(1000)).unwrap_or(i64::MAX);
    bound.max(SHORTEST)
}

/// Whether a list that was signed then has most of its life before it.
fn is_recent(iat: i64, now: Now) -> bool {
    (0..GRACE >> 1).contains(&now.seconds().saturating_sub(iat))
}

/// When the list of that digest was signed which an `If-None-Match` names, if it does.
fn known(sent: &str, digest: &str) -> Option<i64> {
    opaque_tags(sent).into_iter().find_map(|tag| tag.strip_suffix(digest)?.strip_suffix('.')?.parse().ok())
}
