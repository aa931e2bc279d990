//! The admin API: JSON over the records of one tenant, for a bearer of a token for `{issuer}/admin`.
//!
//! In scope: reading queries and preconditions, and rendering. Out of scope: what a record is (`model`), how it changes
//! (`directory`, `policy`, `vault`, `revocation`), who may call (`guard`).
//!
//! 1. A body is one strict JSON object; unknown fields and unknown query parameters are refused by name.
//! 2. Lists are `{items, next_cursor}` in a fixed order, so that walking them shows everything that was there all along.
//! 3. A client secret leaves once, in the answer to the request that made it. Nothing sealed or hashed ever leaves.
//! 4. Every change is one event in its own transaction, and every refused request is one event (see [`answer`]).
//! 5. No answer is cached, or changed on its way (RFC 9111 §5.2.2.5, §5.2.2.6): its `ETag` is that of its bytes.

pub mod aggregate;
pub mod clients;
pub mod connections;
pub mod events;
pub mod identities;
pub mod issuers;
pub mod keys;
pub mod kill;
mod page;
pub mod policies;
pub mod resources;
pub mod tenants;
pub mod users;

pub use page::{Page, items, page, parameters};

use super::guard::Admin;
use super::{AdminCall, Answer, Call, Method, Response};
use crate::audit;
use crate::error::{Error, Reason, Result};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::model::id::is_slug;

/// Answers a request to the admin API if its bearer may make it; a refusal of either is one event.
pub async fn answer(call: Call<'_>, run: for<'a> fn(AdminCall<'a>) -> Answer<'a>) -> Result<Response> {
    let method = Method::parse(&call.request.method);
    let mut client = None;
    let answer = match Admin::of(call.cx, call.request).await {
        Ok(admin) => {
            client = Some(admin.client_id().to_owned());
            match admin.may(method) {
                Ok(()) => run(AdminCall { call, admin: admin.client_id() }).await,
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

/// Where no endpoint is: told to administrators alone.
pub async fn nothing(_: AdminCall<'_>) -> Result<Response> {
    Err(Reason::NoSuchPath.into())
}

/// What was asked for: the method and the path below the admin API.
fn target(call: Call<'_>, method: Method) -> String {
    let base = format!("/t/{}/admin/", call.cx.tenant.id);
    let path = call.request.path.strip_prefix(&base).unwrap_or_default();
    format!("{} {path}", method.as_str()).chars().take(200).collect()
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
