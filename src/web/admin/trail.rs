//! `admin/events/export`, `events/live` and `events/summary`: a part of the trail whole, the trail as it grows, and how much of what there was.

use super::events::{EXPORT, expect_type, seconds, wanted};
use super::feed::{ExportForm, Feed, Source};
use super::{page, parameters};
use crate::audit::{self, query};
use crate::error::{Reason, Result};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::store;
use crate::store::counts::{By, Period};
use crate::web::schema::{Kind, members, object};
use crate::web::{AdminCall, Response};
use serde_json::{Map, Value, json};

/// The media types of an export.
pub const EXPORTS: &[&str] = &["application/x-ndjson", "text/csv; charset=utf-8"];
/// The media type of a live answer.
pub const LIVE: &str = "text/event-stream";
/// What a query for a live answer may say.
pub const FOLLOW: &[&str] = &["type", "after"];
/// What a query for a summary may say.
pub const SUMMARY: &[&str] = &["bucket", "by", "since", "until"];

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
/// How many buckets a summary has at most.
const BUCKETS: i64 = 1_000;

const BY: [(&str, By); 3] = [("type", By::Kind), ("client", By::Client), ("outcome", By::Outcome)];

object!(
    /// How many events there were in a bucket of time, of a type, a client, or an outcome; without it, of all that are not among the ten with most.
    COUNT = "EventCount" [members![
        must "at" Kind::Time,
        may "type" Kind::Word,
        may "client" Kind::Word,
        may "outcome" Kind::Word,
        must "count" Kind::Count,
        must "refused" Kind::Count,
    ]]
);

object!(
    /// Counts of events. `is_complete` says whether the newest ones are counted already.
    SUMMARY_OF = "EventSummary" [members![
        must "items" Kind::List(&Kind::Object(&COUNT), crate::web::schema::ANY),
        must "since" Kind::Time,
        must "until" Kind::Time,
        must "bucket" Kind::Words("Bucket", || vec!["hour", "day"]),
        must "is_complete" Kind::Boolean,
    ]]
);

/// Answers all events that fit the query, newest first. That they left is an event.
pub async fn export(call: AdminCall<'_>) -> Result<Response> {
    // No pages here.
    parameters(call, EXPORT)?;
    let page = page(call, EXPORT)?;
    let (form, media) = match (page.get("format"), EXPORTS) {
        (None | Some("jsonl"), [media, _]) => (ExportForm::Jsonl, *media),
        (Some("csv"), [_, media]) => (ExportForm::Csv, *media),
        _ => return Err(Reason::InvalidQuery.because("`format` must be `jsonl` or `csv`")),
    };
    let wanted = Box::new(wanted(call.cx, &page).await?);
    let facts = Facts { detail: Some(call.request.query.clone()), ..Facts::default() };
    audit::record(call.cx, &audit::event(call.cx, EventType::EventsExported, Some(call.admin), facts)).await?;
    let feed = Feed::new(call.cx, token(call), Source::Export { wanted, form });
    let name = format!("attachment; filename=\"events.{}\"", if form == ExportForm::Csv { "csv" } else { "jsonl" });
    Ok(Response::fed(feed, media).with("content-disposition", name))
}

/// Answers events as they are kept, as Server-Sent Events (HTML Standard §9.2).
pub async fn live(call: AdminCall<'_>) -> Result<Response> {
    let cx = call.cx;
    let parameters = parameters(call, FOLLOW)?;
    let get = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let types = match get("type") {
        None => None,
        Some(kind) => {
            expect_type(kind)?;
            Some(json!([kind]).to_string())
        }
    };
    let number = |text: &str| text.parse::<i64>().ok().filter(|seq| (-1..1 << 53).contains(seq));
    let seq = match call.request.header("last-event-id").or(get("after")) {
        None => cx.trail().one(store::sinks::lag(&cx.tenant.id, -1)).await?.map_or(-1, |lag| lag.head),
        Some(text) => number(text).ok_or_else(|| {
            Reason::InvalidQuery
                .because("`Last-Event-ID` or `after` must be a sequence number, as an `id` of this answer")
        })?,
    };
    Ok(Response::fed(Feed::new(cx, token(call), Source::Live { seq, types }), LIVE))
}

/// The token that the request bears.
fn token<'a>(call: AdminCall<'a>) -> &'a str {
    let header = call.call.request.header("authorization").unwrap_or_default();
    header.split_once(' ').map(|(_, token)| token.trim()).unwrap_or_default()
}

/// Counts events in buckets of time.
pub async fn summary(call: AdminCall<'_>) -> Result<Response> {
    let parameters = parameters(call, SUMMARY)?;
    let get = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let (bucket, length) = match get("bucket") {
        None | Some("hour") => ("hour", HOUR),
        Some("day") => ("day", DAY),
        Some(_) => return Err(Reason::InvalidQuery.because("`bucket` must be `hour` or `day`")),
    };
    let (name, by) = match get("by") {
        None => ("outcome", By::Outcome),
        Some(text) => BY
            .into_iter()
            .find(|(name, _)| *name == text)
            .ok_or_else(|| Reason::InvalidQuery.because("`by` must be `type`, `client` or `outcome`"))?,
    };
    let moment = |name: &str| get(name).map(|text| seconds(name, text)).transpose();
    let until = moment("until")?.unwrap_or_else(|| call.cx.now.seconds());
    let usual = if length == HOUR { DAY } else { 30 * DAY };
    let since = moment("since")?.unwrap_or_else(|| until.saturating_sub(usual));
    // Whole buckets.
    let since = since.div_euclid(length).saturating_mul(length);
    let until = until.saturating_add(length).saturating_sub(1).div_euclid(length).saturating_mul(length);
    if until <= since || until.saturating_sub(since).div_euclid(length) > BUCKETS {
        return Err(
            Reason::InvalidQuery.because(format!("`since` and `until` must have 1 to {BUCKETS} buckets between them"))
        );
    }
    let (counts, is_complete) = query::counts(call.cx, &Period { since, until, length }, by).await?;
    let item = |(at, key, count, refused): (i64, Option<String>, i64, i64)| {
        let mut members: Map<String, Value> = Map::new();
        members.insert("at".to_owned(), at.into());
        members.extend(key.map(|key| (name.to_owned(), key.into())));
        members.insert("count".to_owned(), count.into());
        members.insert("refused".to_owned(), refused.into());
        members
    };
    let items: Vec<_> = counts.into_iter().map(item).collect();
    let body = json!({"items": items, "since": since, "until": until, "bucket": bucket, "is_complete": is_complete});
    Ok(Response::json(200, &body))
}
