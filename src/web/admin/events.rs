//! `admin/events`: the audit trail, newest first; and how many events nobody could keep.

use super::{FIRST_TENANT, items, query};
use crate::audit;
use crate::error::{Error, Reason, Result};
use crate::model::EventType;
use crate::model::id::first_at;
use crate::store::events::Filter;
use crate::web::{Call, Response};
use chrono::DateTime;
use serde_json::json;

/// What a query may say besides `limit` and `cursor`.
pub const PARAMETERS: &[&str] = &["client_id", "type", "decision", "since", "until", "refused"];

/// Beyond every id.
const LAST: &str = "~";

/// The latest moment that a query may name, in seconds: in the year 5138, and far from what a float cannot hold.
const MAX_SECONDS: i64 = 99_999_999_999;

/// Lists events that fit the query.
pub async fn list(call: Call<'_>) -> Result<Response> {
    let page = query(call, PARAMETERS)?;
    let text = |name: &str| page.get(name).map(str::to_owned);
    let time =
        |name: &'static str| page.get(name).map(|text| moment(text).ok_or_else(|| not_a_moment(name))).transpose();
    let kind = text("type");
    if kind.as_ref().is_some_and(|kind| !EventType::ALL.iter().any(|known| known.as_str() == kind)) {
        return Err(Reason::InvalidQuery.because("`type` is no type of event, such as `token.issued`"));
    }
    let refused = match page.get("refused") {
        None => false,
        Some("true") => true,
        Some(_) => return Err(Reason::InvalidQuery.because("`refused` may only be `true`")),
    };
    let mut filter = Filter { client: text("client_id"), kind, refused, from: String::new(), before: LAST.to_owned() };
    if let Some(since) = time("since")? {
        filter.from = first_at(since);
    }
    if let Some(until) = time("until")? {
        filter.before = first_at(until);
    }
    if let Some(cursor) = page.get("cursor") {
        let cursor = cursor.to_owned();
        filter.before = if cursor < filter.before { cursor } else { filter.before };
    }
    if let Some(decision) = page.get("decision") {
        filter.from = filter.from.max(decision.to_owned());
        filter.before = filter.before.min([decision, "!"].concat());
    }
    let (events, cursor) = audit::query::events(call.cx, &filter, page.limit()).await?;
    Ok(items(&events, cursor))
}

fn not_a_moment(name: &str) -> Error {
    Reason::InvalidQuery.because(format!("`{name}` must be seconds since the epoch, or as in 2026-07-01T02:00:00Z"))
}

/// Milliseconds since the epoch of a moment in seconds, or as RFC 3339 writes it.
fn moment(text: &str) -> Option<i64> {
    match text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse::<i64>().ok().filter(|seconds| *seconds <= MAX_SECONDS)?.checked_mul(1000),
        false => DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.timestamp_millis()),
    }
}

/// Counts the dead letters. They are of all tenants, so only the first tenant's administrators see it.
pub async fn dead_letters(call: Call<'_>) -> Result<Response> {
    if call.cx.tenant.id != FIRST_TENANT {
        return Err(Reason::FirstTenantOnly.into());
    }
    let count = audit::query::dead_letters(call.cx).await?;
    Ok(Response::json(200, &json!({"count": count})))
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn moments_are_seconds_or_rfc_3339() {
        assert_eq!(moment("1767225600"), Some(1_767_225_600_000));
        assert_eq!(moment("2026-01-01T00:00:00Z"), moment("1767225600"));
        assert_eq!(moment("2026-01-01T02:00:00.5+02:00"), Some(1_767_225_600_500));
        for bad in ["", "-1", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00 02:00", "99999999999999"]
        {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }
}
