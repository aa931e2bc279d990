//! The admin API: JSON over the things of one tenant, for a bearer of a token for `{issuer}/admin`.
//!
//! In scope: reading bodies, queries and preconditions, and rendering. Out of scope: what a thing is (`model`), what a
//! policy or a key may do (`policies`, `keys`), who may call (`guard`).
//!
//! 1. A body is one strict JSON object; unknown fields and unknown query parameters are refused by name.
//! 2. An update needs `If-Match` with the `ETag` that was read (RFC 9110 §13.1.1, RFC 6585 §3); of two updates from one
//!    version one is refused.
//! 3. Lists are `{items, next_cursor}` in a fixed order, so that walking them shows everything that was there all along.
//! 4. A client secret leaves once, in the answer to the request that made it. Nothing sealed or hashed ever leaves.
//! 5. Every change is one event in its own transaction, and every refused request is one event (see [`answer`]).

mod body;
pub mod clients;
pub mod connections;
pub mod events;
pub mod identities;
pub mod issuers;
pub mod keys;
pub mod kill;
pub mod openapi;
mod page;
pub mod policies;
pub mod resources;
pub mod tenants;
pub mod users;

pub use body::{body, body_or_empty};
pub use page::{Page, items, page, query};

use super::guard::Admin;
use super::{Call, Method, Response, Run};
use crate::audit;
use crate::error::{Error, Reason, Result};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::model::id::is_slug;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The tenant whose administrators make tenants.
pub const FIRST_TENANT: &str = "main";

/// Answers a request to the admin API if its bearer may make it; a refusal of either is one event.
pub async fn answer(call: Call<'_>, method: Method, run: Run) -> Result<Response> {
    let mut client = None;
    let answer = match Admin::of(call.cx, call.request).await {
        Ok(admin) => {
            client = Some(admin.client_id().to_owned());
            match admin.may(method) {
                Ok(()) => run(Call { admin: Some(&admin), ..call }).await,
                Err(refused) => Err(refused),
            }
        }
        Err(refused) => Err(refused),
    };
    if let Err(Error::Refused(refusal)) = &answer {
        let facts = Facts {
            reason: Some(refusal.reason.as_str().to_owned()),
            detail: refusal.detail.clone(),
            target: Some(target(call, method)),
            ..Facts::default()
        };
        let event = audit::event(call.cx, EventType::AdminRefused, client.as_deref(), facts);
        audit::record(call.cx, &event).await?;
    }
    answer
}

/// What was asked for: the method and the path below the admin API.
fn target(call: Call<'_>, method: Method) -> String {
    let base = format!("/t/{}/admin/", call.cx.tenant.id);
    let path = call.request.path.strip_prefix(&base).unwrap_or_default();
    format!("{} {path}", method.as_str()).chars().take(200).collect()
}

/// Which members differ between two versions of a thing: for the event of its change.
pub fn changes(before: &impl Serialize, after: &impl Serialize) -> String {
    let [before, after] = [serde_json::to_value(before), serde_json::to_value(after)].map(Result::unwrap_or_default);
    let names: BTreeSet<&str> =
        [&before, &after].into_iter().filter_map(Value::as_object).flat_map(Map::keys).map(String::as_str).collect();
    let changed: Vec<&str> = names.into_iter().filter(|name| before.get(name) != after.get(name)).collect();
    changed.join(", ")
}

/// A text for people has to have 1 to `most` characters.
pub fn check_text(field: &str, text: &str, most: usize) -> Result<()> {
    match text.trim().is_empty() || text.chars().count() > most {
        true => Err(Reason::InvalidField.because(format!("`{field}` must have 1 to {most} characters"))),
        false => Ok(()),
    }
}

/// A name that an administrator chooses for a thing has to be safe in a path, a cache key and a policy.
pub fn check_slug(field: &str, text: &str) -> Result<()> {
    match is_slug(text) {
        true => Ok(()),
        false => Err(Reason::InvalidField.because(format!(
            "`{field}` must have 1 to 64 of a-z, 0-9, `-`, `_`, `.`, and begin with a letter or a digit"
        ))),
    }
}

/// The `ETag` of a version.
pub fn etag(version: i64) -> String {
    format!("\"v{version}\"")
}

/// Holds if an update of the thing that now has `version` may go on: `If-Match` has to be there and name it, or be `*`.
pub fn expect_version(call: Call<'_>, version: i64) -> Result<()> {
    match call.request.header("if-match") {
        Some(sent) => compare(sent, version),
        None => Err(Reason::PreconditionRequired.into()),
    }
}

/// As [`expect_version`] for a `PUT` that makes what is not there: making needs no `If-Match`, and one cannot match.
pub fn expect_present(call: Call<'_>, version: Option<i64>) -> Result<()> {
    match (version, call.request.header("if-match")) {
        (Some(version), _) => expect_version(call, version),
        (None, Some(_)) => Err(Reason::PreconditionFailed.into()),
        (None, None) => Ok(()),
    }
}

/// For a removal: `If-Match` need not be there, but has to match if it is.
pub fn expect_if_sent(call: Call<'_>, version: i64) -> Result<()> {
    call.request.header("if-match").map_or(Ok(()), |sent| compare(sent, version))
}

/// Weak tags never match (RFC 9110 §13.1.1).
fn compare(sent: &str, version: i64) -> Result<()> {
    let present = etag(version);
    match sent.split(',').map(str::trim).any(|tag| tag == "*" || tag == present) {
        true => Ok(()),
        false => Err(Reason::PreconditionFailed.into()),
    }
}

/// A thing with its `ETag`.
pub fn item(status: u16, thing: &impl Serialize, version: i64) -> Response {
    Response::json(status, thing).with("etag", etag(version))
}

/// A thing that was just made, with its `ETag` and where it is: `path` below the admin API.
pub fn created(call: Call<'_>, path: &str, thing: &impl Serialize, version: i64) -> Response {
    item(201, thing, version).with("location", format!("{}/admin/{path}", call.cx.issuer()))
}
