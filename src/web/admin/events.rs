//! `admin/events`: the audit trail, newest first; and how many events nobody could keep.

use super::feed::Wanted;
use super::{Page, page};
use crate::audit;
use crate::context::Cx;
use crate::directory::{identities, tenants};
use crate::error::{Error, Reason, Result};
use crate::model::event::Because;
use crate::model::id::first_at;
use crate::model::{EventType, Identity};
use crate::store::events::Filter;
use crate::store::search::Search;
use crate::web::schema::{ANY, Kind, members, object};
use crate::web::{AdminCall, Response};
use chrono::DateTime;
use serde_json::{Value, json};

/// What a query for an export may say.
pub const EXPORT: &[&str] = &[
    "format",
    "client_id",
    "user",
    "identity",
    "connection",
    "tool",
    "reason",
    "chain",
    "target",
    "type",
    "decision",
    "since",
    "until",
    "refused",
];

/// What a query may say besides `limit` and `cursor`: the same without a format.
pub const PARAMETERS: &[&str] = match EXPORT.split_first() {
    Some((_, filters)) => filters,
    None => &[],
};

/// Those of them that a search has.
const SEARCHED: [&str; 6] = ["user", "identity", "connection", "tool", "reason", "chain"];

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
        may "bound" Kind::Boolean,
        may "chain_tags" WORDS,
        may "workload_claims" WORDS,
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
    let view = |event: Value| (event.get("id").and_then(Value::as_str).unwrap_or_default().to_owned(), event);
    match wanted(call.cx, &page).await? {
        Wanted::Filtered(filter) => Ok(page.of(audit::query::events(call.cx, &filter, page.rows()).await?, view)),
        Wanted::Searched(search) => {
            let (found, end) = call.cx.trail().batch(search.page(&call.cx.tenant.id, page.rows())).await?;
            Ok(page.of_walk(found, end.into_iter().next(), view))
        }
    }
}

/// What a query asks for.
pub async fn wanted(cx: &Cx<'_>, page: &Page) -> Result<Wanted> {
    let text = |name: &str| page.get(name).map(str::to_owned);
    let time =
        |name: &'static str| page.get(name).map(|text| moment(text).ok_or_else(|| not_a_moment(name))).transpose();
    let kind = text("type");
    if let Some(kind) = &kind {
        expect_type(kind)?;
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
    match SEARCHED.iter().all(|name| page.get(name).is_none()) {
        true => Ok(Wanted::Filtered(filter)),
        false => search(cx, page, filter).await.map(Wanted::Searched),
    }
}

/// Passes if that is a type of event.
pub fn expect_type(kind: &str) -> Result<()> {
    match EventType::ALL.iter().any(|known| known.as_str() == kind) {
        true => Ok(()),
        false => Err(Reason::InvalidQuery.because("`type` is no type of event, such as `token.issued`")),
    }
}

/// What a query asks for beyond a filter.
async fn search(
    cx: &Cx<'_>,
    page: &Page,
    Filter { client, target, kind, refused, from, before }: Filter,
) -> Result<Search> {
    let text = |name: &str| page.get(name).map(str::to_owned);
    let (mut client, mut subject) = (client, text("user"));
    if let Some(id) = page.get("identity") {
        let Identity { client: of, subject: about, .. } = identities::find(cx, id).await.map(|entry| entry.identity)?;
        let other = |named: &Option<String>, is: &str| named.as_ref().is_some_and(|named| named != is);
        if other(&client, &of) || other(&subject, &about) {
            return Err(Reason::InvalidQuery.because("`identity` is of another `client_id` or `user`"));
        }
        (client, subject) = (Some(of), Some(about));
    }
    let (connection, tool, reason, actor) = (text("connection"), text("tool"), text("reason"), text("chain"));
    Ok(Search { client, kind, refused, target, subject, connection, tool, reason, actor, from, before })
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
