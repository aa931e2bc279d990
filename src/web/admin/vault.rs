//! `admin/vault/rewrap`, and `admin/suspend` for all connections to a service.

use crate::error::{Reason, Result};
use crate::vault::drill::{self, Reaching};
use crate::vault::rewrap;
use crate::web::schema::{Kind, members, object, sent};
use crate::web::{AdminCall, Response};
use serde::Deserialize;

/// The longest name of a service or a kind, and the longest host, in characters.
const MAX_NAME: usize = 64;
const MAX_HOST: usize = 253;

object!(
    /// What wrapping data keys anew has done.
    REWRAPPED = "Rewrapped" [members![
        must "version" Kind::Count,
        must "rewrapped" Kind::Count,
        must "left" Kind::Count,
        must "unreadable" Kind::Count,
    ]]
);

object!(
    /// The connections to suspend: exactly one of `service`, `kind` and `host`; `cursor` where an answer had `next_cursor`.
    SUSPEND = "Suspend" [members![
        may "service" Kind::Text(MAX_NAME),
        may "kind" Kind::Text(MAX_NAME),
        may "host" Kind::Text(MAX_HOST),
        may "cursor" Kind::Text(MAX_NAME),
    ]]
);

object!(
    /// The connections that were suspended.
    SUSPENDED = "Suspended" [members![
        must "suspended" Kind::Count,
        must "connections" Kind::List(&Kind::Word, crate::web::schema::ANY),
        must "not_honoured_after" Kind::Time,
        may "next_cursor" Kind::Word,
    ]]
);

/// The body of `admin/suspend`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    service: Option<String>,
    kind: Option<String>,
    host: Option<String>,
    cursor: String,
}

/// Wraps data keys that lie under an older key-encryption key anew.
pub async fn rewrap(call: AdminCall<'_>) -> Result<Response> {
    Ok(Response::json(200, &rewrap::at_once(call.cx, call.admin).await?))
}

/// Suspends every connection to a service.
pub async fn suspend(call: AdminCall<'_>) -> Result<Response> {
    let Body { service, kind, host, cursor } = sent(call.request)?.read_plain(&SUSPEND).await?;
    let host = host.map(|host| host.to_ascii_lowercase());
    let named = [service.map(Reaching::Service), kind.map(Reaching::Kind), host.map(Reaching::Host)];
    let mut named = named.into_iter().flatten();
    match (named.next(), named.next()) {
        (Some(reaching), None) => {
            Ok(Response::json(200, &drill::suspend(call.cx, call.admin, &reaching, cursor).await?))
        }
        _ => Err(Reason::InvalidField.because("name exactly one of `service`, `kind` and `host`")),
    }
}
