//! Webhooks: where an operator's backend hears of connections and accounts (Standard Webhooks).

use super::account::AccountStatus;
use super::approval::number;
use super::event::Event;
use super::event_type::EventType;
use chrono::{DateTime, Datelike, Timelike};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The events that a webhook may be told.
pub const EVENTS: [EventType; 13] = [
    EventType::ApprovalRequested,
    EventType::ApprovalDecided,
    EventType::AccountConnected,
    EventType::AccountChanged,
    EventType::AccountDisconnected,
    EventType::ConnectionPut,
    EventType::ConnectionDeleted,
    EventType::ConnectionSuspended,
    EventType::ConnectionResumed,
    EventType::ConnectionKilled,
    EventType::UserSuspended,
    EventType::UserKilled,
    EventType::UserDeleted,
];
/// The type of a message that an administrator has sent to try a webhook.
const TEST: &str = "webhook.test";
/// For how long a message is tried, in seconds: a day.
pub const TRIED_SECONDS: i64 = 86_400;
/// How many messages of a webhook wait or have failed at most.
pub const MAX_MESSAGES: i64 = 1_000;
/// How many characters a description has at most.
pub const MAX_TEXT: usize = 500;

/// A webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// What an administrator says about it.
    pub body: WebhookBody,
    /// What signs its messages.
    pub secrets: Secrets,
    /// Counts changes to this row.
    pub version: i64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub updated_at: i64,
}

/// A webhook as an administrator writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookBody {
    /// Where messages are posted.
    pub url: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The events that it is told.
    pub events: Vec<String>,
    /// Whether it is told anything.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

const fn enabled() -> bool {
    true
}

/// What signs the messages of a webhook, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// The newest.
    pub current: String,
    /// The one before, while it still counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
}

/// A secret that has been replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// The secret, sealed.
    pub sealed: String,
    /// Until when it signs too, in seconds since the epoch.
    pub until: i64,
}

/// A message that a webhook has not taken yet.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id: that of the event, the same at each attempt.
    pub id: String,
    /// What is posted.
    pub body: String,
    /// How often it was tried.
    pub attempts: i64,
    /// When it is tried next, in seconds since the epoch.
    pub not_before: i64,
    /// Until when it is tried, in seconds since the epoch.
    pub until: i64,
    /// What came of the last attempt.
    pub outcome: Option<String>,
    /// Since when it is not tried any more, in seconds since the epoch.
    pub failed_at: Option<i64>,
    /// Seconds since the epoch.
    pub created_at: i64,
}

/// What webhooks are told of an event, if they are told of it: `type`, `timestamp` and `data`.
pub fn message(event: &Event, origin: &str) -> Option<String> {
    let data = match event.kind {
        EventType::ApprovalRequested | EventType::ApprovalDecided => approval(event, origin),
        EventType::AccountConnected | EventType::AccountChanged | EventType::AccountDisconnected => account(event),
        kind if EVENTS.contains(&kind) => record(event),
        _ => return None,
    };
    Some(body(event.kind.as_str(), event, data))
}

/// What a webhook is told that is tried.
pub fn test_message(event: &Event) -> String {
    body(TEST, event, json!({"tenant": event.tenant, "webhook": event.facts.target}))
}

fn body(kind: &str, event: &Event, data: Value) -> String {
    let millis = i64::try_from(event.at).unwrap_or(i64::MAX);
    json!({"type": kind, "timestamp": moment(millis), "data": data}).to_string()
}

/// A moment in milliseconds since the epoch as RFC 3339 has it.
pub fn moment(millis: i64) -> Option<String> {
    let at = DateTime::from_timestamp_millis(millis)?;
    let (year, month, day) = (at.year(), at.month(), at.day());
    let (hour, minute, second, millis) = (at.hour(), at.minute(), at.second(), at.timestamp_subsec_millis());
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"))
}

fn account(event: &Event) -> Value {
    let facts = &event.facts;
    let status = match event.kind {
        EventType::AccountConnected => Some(AccountStatus::Active),
        EventType::AccountChanged => {
            AccountStatus::ALL.into_iter().find(|status| facts.reason.as_deref() == Some(status.as_str()))
        }
        _ => None,
    };
    let needs_reauth = status.map(|status| json!(status.needs_reauth()));
    members([
        ("tenant", Some(json!(event.tenant))),
        ("connection", facts.connection.as_ref().map(|name| json!(name))),
        ("account", facts.target.as_ref().map(|id| json!(id))),
        ("account_name", facts.target_name.as_ref().map(|name| json!(name))),
        ("user", facts.subject.as_ref().map(|user| json!(user))),
        ("scope", facts.scope_given.as_ref().map(|scope| json!(scope))),
        ("status", status.map(|status| json!(status.as_str()))),
        ("needs_reauth", needs_reauth),
        ("detail", facts.detail.as_ref().map(|detail| json!(detail))),
    ])
}

/// An approval that waits, with its page and the number that the page shows; or what became of it.
fn approval(event: &Event, origin: &str) -> Value {
    let facts = &event.facts;
    let is_open = event.kind == EventType::ApprovalRequested;
    let id = facts.approval.as_deref().unwrap_or_default();
    let text = |value: &Option<String>| value.as_ref().map(|text| json!(text));
    members([
        ("tenant", Some(json!(event.tenant))),
        ("approval", Some(json!(id))),
        ("client", text(&event.client)),
        ("client_name", text(&facts.client_name)),
        ("subject", text(&facts.subject)),
        ("resource", text(&facts.resource)),
        ("connection", text(&facts.connection)),
        ("scope", text(&facts.scope_asked)),
        ("tool", text(&facts.tool)),
        ("reason", text(&facts.detail).filter(|_| is_open)),
        ("deciders", text(&facts.outcome).filter(|_| is_open)),
        ("outcome", text(&facts.outcome).filter(|_| !is_open)),
        ("url", is_open.then(|| json!(format!("{origin}/t/{}/me/approvals/{id}", event.tenant)))),
        ("number", is_open.then(|| json!(number(id)))),
        ("expires_at", facts.expires_at.map(|at| json!(at))),
    ])
}

/// A connection, or a user, whose accounts have ended with them or wait for them.
fn record(event: &Event) -> Value {
    let name = if event.kind.as_str().starts_with("user.") { "user" } else { "connection" };
    let target = event.facts.target.as_ref().map(|id| json!(id));
    members([("tenant", Some(json!(event.tenant))), (name, target)])
}

fn members<const N: usize>(all: [(&str, Option<Value>); N]) -> Value {
    let members = all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect::<Map<_, _>>())
}
