//! `admin/events`: the audit trail, newest first; and how many events nobody could keep.

use super::page;
use crate::audit;
use crate::directory::tenants;
use crate::error::{Error, Reason, Result};
use crate::model::EventType;
use crate::model::event::Because;
use crate::model::id::first_at;
use crate::store::events::Filter;
use crate::web::schema::{ANY, Kind, members, object};
use crate::web::{AdminCall, Response};
use chrono::DateTime;
use serde_json::{Value, json};

/// What a query may say besides `limit` and `cursor`.
pub const PARAMETERS: &[&str] = &["client_id", "target", "type", "decision", "since", "until", "refused"];

const WORDS: Kind = Kind::List(&Kind::Word, ANY);

object!(
    /// An audit record.
    EVENT = "Event" [members![
        must "id" Kind::Word,
        must "tenant" Kind::Word,
        must "at" Kind::Time,
        must "type" Kind::Words("EventType", || EventType::ALL.iter().map(|kind| kind.as_str()).collect()),
        must "request_id" Kind::Word,
        may "client" Kind::Word,
        may "client_name" Kind::Word,
        may "subject" Kind::Word,
        may "subject_name" Kind::Word,
        may "chain" WORDS,
        may "chain_names" WORDS,
        may "grant_type" Kind::Word,
        may "auth_method" Kind::Word,
        may "resource" Kind::Word,
        may "resource_name" Kind::Word,
        may "scope_asked" Kind::Word,
        may "scope_given" Kind::Word,
        may "authorization_details" Kind::Word,
        may "scope_refused" Kind::List(&Kind::Object(&REFUSED_SCOPE), ANY),
        may "scope_refused_more" Kind::Count,
        may "connection" Kind::Word,
        may "tool" Kind::Word,
        may "outcome" Kind::Word,
        may "arguments_sha256" Kind::Word,
        may "resource_server" Kind::Word,
        may "resource_server_name" Kind::Word,
        may "method" Kind::Word,
        may "host" Kind::Word,
        may "path" Kind::Word,
        may "status" Kind::Count,
        may "bytes_sent" Kind::Count,
        may "bytes_received" Kind::Count,
        may "millis" Kind::Count,
        may "ip" Kind::Word,
        may "decision" Kind::Word,
        may "policies" WORDS,
        may "policy_errors" WORDS,
        may "shadow_policies" WORDS,
        may "policy_version" Kind::Word,
        may "jti_hash" Kind::Word,
        may "expires_at" Kind::Time,
        may "reason" Kind::Word,
        may "detail" Kind::Word,
        may "target" Kind::Word,
        may "target_name" Kind::Word,
        may "approval" Kind::Word,
        may "question" Kind::Object(&QUESTION),
    ]]
);

object!(
    /// The question that policy was asked, as far as the rest of the event does not tell it.
    QUESTION = "RecordedQuestion" [members![
        must "action" Kind::Word,
        may "scopes" Kind::Word,
        must "verdicts" Kind::Word,
        may "auth_method" Kind::Word,
        may "country" Kind::Word,
        may "asn" Kind::Count,
        may "acr" Kind::Word,
        may "auth_time" Kind::Time,
        may "dpop" Kind::Boolean,
        may "chain_tags" WORDS,
        may "shadow" WORDS,
    ]]
);

object!(
    /// A scope that was asked for and not given.
    REFUSED_SCOPE = "RefusedScope" [members![
        must "scope" Kind::Word,
        must "because" Kind::Words("Because", || Because::ALL.map(Because::as_str).to_vec()),
        may "policies" WORDS,
    ]]
);

object!(
    /// How many events could not be recorded.
    DEAD_LETTERS = "DeadLetters" [members![must "count" Kind::Count]]
);

/// Beyond every id.
pub const LAST: &str = "~";

/// The latest moment that a query may name, in seconds: in the year 5138, and far from what a float cannot hold.
const MAX_SECONDS: i64 = 99_999_999_999;

/// Lists events that fit the query.
pub async fn list(call: AdminCall<'_>) -> Result<Response> {
    let page = page(call, PARAMETERS)?;
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
    let (client, target) = (text("client_id"), text("target"));
    let mut filter = Filter { client, target, kind, refused, from: String::new(), before: LAST.to_owned() };
    if let Some(since) = time("since")? {
        filter.from = first_at(since);
    }
    if let Some(until) = time("until")? {
        filter.before = first_at(until);
    }
    if !page.after().is_empty() {
        filter.before = filter.before.min(page.after().to_owned());
    }
    if let Some(decision) = page.get("decision") {
        filter.from = filter.from.max(decision.to_owned());
        filter.before = filter.before.min([decision, "!"].concat());
    }
    let found = audit::query::events(call.cx, &filter, page.rows()).await?;
    Ok(page.of(found, |event| (event.get("id").and_then(Value::as_str).unwrap_or_default().to_owned(), event)))
}

fn not_a_moment(name: &str) -> Error {
    Reason::InvalidQuery.because(format!("`{name}` must be seconds since the epoch, or as in 2026-07-01T02:00:00Z"))
}

/// The moment that a parameter names, in seconds since the epoch.
pub fn seconds(name: &str, text: &str) -> Result<i64> {
    let millis = moment(text).ok_or_else(|| not_a_moment(name))?;
    Ok(millis.div_euclid(1_000))
}

/// Milliseconds since the epoch of a moment in seconds, or as RFC 3339 writes it.
fn moment(text: &str) -> Option<i64> {
    match text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse::<i64>().ok().filter(|seconds| *seconds <= MAX_SECONDS)?.checked_mul(1000),
        false => DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.timestamp_millis()),
    }
}

/// Counts the dead letters. They are of all tenants, so only the first tenant's administrators see it.
pub async fn dead_letters(call: AdminCall<'_>) -> Result<Response> {
    tenants::expect_first(call.cx)?;
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
