//! The admin API: JSON over the records of one tenant, for a bearer of a token for `{issuer}/admin`.
//!
//! In scope: reading queries and preconditions, and rendering. Out of scope: what a record is (`model`), how it changes
//! (`directory`, `policy`, `vault`, `revocation`), who may call (`guard`).
//!
//! 1. A body is one strict JSON object; unknown fields and unknown query parameters are refused by name.
//! 2. Lists are `{items, next_cursor}` in a fixed order, so that walking them shows everything that was there all along.
//! 3. A client secret leaves in the answer to the request that made it, and to the retries of that request (see [`idempotency`]). Nothing
//!    sealed or hashed ever leaves.
//! 4. Every change is one event in its own transaction, and every refused request is one event (see [`answer`]); a look-up that finds
//!    nothing is none.
//! 5. No answer is cached, or changed on its way (RFC 9111 §5.2.2.5, §5.2.2.6): its `ETag` is that of its bytes.

pub mod accounts;
pub mod aggregate;
pub mod approvals;
pub mod clients;
pub mod connections;
pub mod consents;
pub mod events;
pub mod explain;
pub mod feed;
pub mod findings;
pub mod idempotency;
pub mod identities;
pub mod issuers;
pub mod keys;
pub mod kill;
pub mod metrics;
mod page;
pub mod passkeys;
pub mod policies;
pub mod proofs;
pub mod registration_tokens;
pub mod resources;
pub mod sinks;
pub mod tenants;
pub mod trail;
pub mod users;
pub mod vault;
pub mod webhooks;

pub use page::{Page, items, page, parameters};

use super::guard::{Bearer, refused};
use super::{AdminCall, Answer, Call, Method, Response};
use crate::authn::client::Unproved;
use crate::error::{Error, Reason, Result};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::model::id::is_slug;

/// What reads although it is a `POST`.
const READS: [&str; 2] = ["/admin/policies/explain", "/admin/policies/replay"];

/// Answers a request to the admin API if its bearer may make it. A refusal of a known administrator is one event; any other is
/// counted under its address.
pub async fn answer(call: Call<'_>, run: for<'a> fn(AdminCall<'a>) -> Answer<'a>) -> Result<Response> {
    let (method, kind) = (Method::parse(&call.request.method), EventType::AdminRefused);
    let facts = || Facts { target: Some(target(call, method)), ..Facts::default() };
    let unproved = Unproved { kind, client: None, facts: facts() };
    let bearer = Bearer::of(call.cx, call.request, "admin", unproved).await?;
    let admin = bearer.client().id.as_str();
    // Reading takes either scope, everything else `admin`.
    let is_question = method == Method::Post && READS.iter().any(|path| call.request.path.ends_with(path));
    let reads = method == Method::Get || is_question;
    let enough: &[&'static str] = if reads { &["admin:read", "admin"] } else { &["admin"] };
    let answer = match bearer.may(call.cx, enough).await {
        Ok(()) => run(AdminCall { call, admin }).await,
        Err(refused) => Err(refused),
    };
    // A look-up that finds nothing is no refusal.
    let is_lookup = |reason| method == Method::Get && matches!(reason, Reason::NotFound | Reason::NoSuchPath);
    match answer {
        Err(Error::Refused(refusal)) if is_lookup(refusal.reason) => Err(Error::Refused(refusal)),
        Err(Error::Refused(refusal)) => Err(refused(call.cx, refusal, kind, Some(admin), facts()).await?),
        answer => answer,
    }
}

/// The answer where no endpoint is, for administrators alone.
pub async fn nothing(_: AdminCall<'_>) -> Result<Response> {
    Err(Reason::NoSuchPath.into())
}

/// The target of a request for its event: the method and the path below the admin API.
fn target(call: Call<'_>, method: Method) -> String {
    let base = format!("/t/{}/admin/", call.cx.tenant.id);
    let path = call.request.path.strip_prefix(&base).unwrap_or_default();
    format!("{} {path}", method.as_str()).chars().take(200).collect()
}

/// A name that an administrator chooses for a record has to be safe in a path, a cache key and a policy.
pub fn check_slug(field: &str, text: &str) -> Result<()> {
    match is_slug(text) {
        true => Ok(()),
        false => Err(Reason::InvalidField.because(format!(
            "`{field}` must have 1 to 64 of a-z, 0-9, `-`, `_`, `.`, and begin with a letter or a digit"
        ))),
    }
}
