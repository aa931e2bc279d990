//! The cookies of pages: the session, and what the browser keeps of a request that is under way.
//!
//! A value that is too large for one cookie lies in several. Only the newest requests are kept: a browser sends all of them each time.

use crate::context::Cx;
use crate::model::id;
use crate::web::{Request, Response};

/// How many bytes a cookie's value may have: browsers take 4096 with name and attributes (RFC 6265 §6.1).
const MAX_VALUE: usize = 3_700;
/// How many parts a value may have.
const MAX_PARTS: usize = 4;
/// How many requests of a tenant a browser keeps.
const MAX_KEPT: usize = 4;

/// The name of the session's cookie.
pub fn session(cx: &Cx<'_>) -> String {
    ["__Host-writ~", &cx.tenant.id].concat()
}

fn prefix(cx: &Cx<'_>, kind: &str) -> String {
    // No name of a tenant has this sign.
    ["__Host-writ~", kind, "~", &cx.tenant.id, "~"].concat()
}

fn part(cx: &Cx<'_>, kind: &str, id: &str, n: usize) -> String {
    format!("{}{id}.{n}", prefix(cx, kind))
}

/// The value that the browser keeps under that name.
pub fn kept(cx: &Cx<'_>, request: &Request, kind: &str, id: &str) -> Option<String> {
    if !id::is_plausible(id) {
        return None;
    }
    let parts = (0..MAX_PARTS).map_while(|n| request.cookie(&part(cx, kind, id, n)));
    let value = parts.collect::<String>();
    (!value.is_empty()).then_some(value)
}

/// Lets the browser keep a value for so many seconds, and forget the oldest where it has many.
pub fn keep(
    cx: &Cx<'_>,
    request: &Request,
    response: Response,
    (kind, id): (&str, &str),
    value: &str,
    seconds: i64,
) -> Response {
    let bytes = value.as_bytes().chunks(MAX_VALUE).map(|chunk| std::str::from_utf8(chunk).unwrap_or_default());
    let response = bytes
        .enumerate()
        .fold(response, |response, (n, chunk)| response.cookie(&part(cx, kind, id, n), chunk, seconds));
    // What a longer value has left would be read as the end of this one.
    let left = (value.len().div_ceil(MAX_VALUE)..MAX_PARTS).map(|n| part(cx, kind, id, n));
    let response = left
        .filter(|name| request.cookie(name).is_some())
        .fold(response, |response, name| response.cookie(&name, "", 0));
    let mut others = ids(cx, request, kind);
    others.retain(|other| other != id);
    let too_many = others.len().saturating_add(1).saturating_sub(MAX_KEPT);
    others.iter().take(too_many).fold(response, |response, other| forget(cx, request, response, (kind, other)))
}

/// Lets the browser forget a value.
pub fn forget(cx: &Cx<'_>, request: &Request, response: Response, (kind, id): (&str, &str)) -> Response {
    let prefix = [&prefix(cx, kind), id, "."].concat();
    let names = request.cookies().map(|(name, _)| name).filter(|name| name.starts_with(&prefix));
    names.fold(response, |response, name| response.cookie(name, "", 0))
}

/// What the browser keeps of that kind, the oldest first: names begin with the moment.
fn ids(cx: &Cx<'_>, request: &Request, kind: &str) -> Vec<String> {
    let prefix = prefix(cx, kind);
    let names = request.cookies().filter_map(|(name, _)| name.strip_prefix(&prefix)?.split_once('.'));
    let mut ids: Vec<String> = names.map(|(id, _)| id.to_owned()).filter(|id| id::is_plausible(id)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
