//! `/t/{tenant}/ssf/…`: event streams of the Shared Signals Framework 1.0, for resource servers.
//!
//! | path | method |
//! | --- | --- |
//! | `/.well-known/ssf-configuration/t/{tenant}`, `/t/{tenant}/.well-known/ssf-configuration` | `GET`: transmitter metadata (§7.1) |
//! | `ssf/streams` | `POST` `GET` `PATCH` `PUT` `DELETE`: the stream of the caller (§8.1.1) |
//! | `ssf/status` | `GET` `POST`: whether it flows (§8.1.2) |
//! | `ssf/verify` | `POST`: asks for a verification event (§8.1.4) |
//! | `ssf/streams/{id}/poll` | `POST`: takes and acknowledges events (RFC 8936 §2) |
//!
//! 1. A caller has a token for `{issuer}/ssf`: `ssf.read` reads and polls, `ssf.manage` does everything. A caller has one
//!    stream at most, and reaches its own alone; anybody else's is not there.
//! 2. `outbound` admits a URL to push to before the stream is made, and again with every push. The
//!    `Authorization` header that goes along is sealed at rest and never shown.
//! 3. Members that the transmitter supplies may be sent back, and must be as they are; unknown members are ignored (§8.1.1.3).

mod objects;

pub use objects::{
    EVENT_STREAM, NEW_STREAM, NEW_STREAM_STATE, POLL_REQUEST, POLLED_EVENTS, STREAM_STATE, STREAM_UPDATE,
    TRANSMITTER_METADATA, VERIFICATION_REQUEST,
};

use super::guard::Access;
use super::oauth::discovery;
use super::schema::{sent, sent_or_empty};
use super::{Call, ReceiverCall, Response};
use crate::audit;
use crate::context::Change;
use crate::error::{Error, Fault, Reason, Result};
use crate::model::event::Facts;
use crate::model::stream::{DELIVERY_METHODS, Delivery, SESSION_REVOKED, Stream, StreamBody, StreamStatus};
use crate::model::{Client, Event, EventType};
use crate::outbound;
use crate::revocation::signals::{self, PollRequest};
use crate::store;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// Who may change a stream.
pub static MANAGE: Access = access(&["ssf.manage"]);
/// Who may read it, and poll.
pub static READ: Access = access(&["ssf.read", "ssf.manage"]);

const fn access(scopes: &'static [&'static str]) -> Access {
    Access { api: "ssf", scopes, refused: EventType::StreamRefused, other: Reason::NoReceiver, explains: false }
}

const MAX_TEXT: usize = 1_000;
const MAX_EVENTS: usize = 100;
const MAX_URL: usize = 2_000;

/// Transmitter metadata (SSF 1.0 §7.1).
pub async fn configuration(Call { cx, .. }: Call<'_>) -> Result<Response> {
    let issuer = cx.issuer();
    let endpoint = |name: &str| format!("{issuer}/{name}");
    Ok(discovery::public(&json!({
        "spec_version": "1_0",
        "issuer": issuer,
        "jwks_uri": endpoint("jwks.json"),
        "delivery_methods_supported": DELIVERY_METHODS,
        "configuration_endpoint": endpoint("ssf/streams"),
        "status_endpoint": endpoint("ssf/status"),
        "verification_endpoint": endpoint("ssf/verify"),
        "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
        "default_subjects": "ALL",
    })))
}

/// A stream as it is sent: by its receiver, or back to it.
#[derive(Deserialize)]
struct Sent {
    stream_id: Option<String>,
    iss: Option<String>,
    aud: Option<String>,
    events_supported: Option<Vec<String>>,
    events_requested: Option<Vec<String>>,
    events_delivered: Option<Vec<String>>,
    delivery: Option<SentDelivery>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct SentDelivery {
    method: String,
    endpoint_url: Option<String>,
    authorization_header: Option<String>,
}

#[derive(Serialize)]
struct View<'a> {
    stream_id: &'a str,
    iss: String,
    aud: &'a str,
    events_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    events_requested: Option<&'a [String]>,
    events_delivered: Vec<&'static str>,
    delivery: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

fn view<'a>(call: ReceiverCall<'_>, stream: &'a Stream) -> View<'a> {
    let iss = call.cx.issuer();
    let [push, poll] = DELIVERY_METHODS;
    let delivery = match &stream.body.delivery {
        Delivery::Push { endpoint_url, .. } => json!({"method": push, "endpoint_url": endpoint_url}),
        Delivery::Poll => json!({"method": poll, "endpoint_url": format!("{iss}/ssf/streams/{}/poll", stream.id)}),
    };
    View {
        stream_id: &stream.id,
        iss,
        aud: &stream.client,
        events_supported: [SESSION_REVOKED],
        events_requested: stream.body.events_requested.as_deref(),
        events_delivered: stream.delivers(),
        delivery,
        description: stream.body.description.as_deref(),
    }
}

fn invalid(problem: &'static str) -> Error {
    Reason::InvalidField.because(problem)
}

/// The receiver's own stream, if it has that name.
async fn named(call: ReceiverCall<'_>, client: &Client, id: Option<&str>) -> Result<Stream> {
    let id = id.ok_or_else(|| invalid("`stream_id` is missing"))?;
    let stream = signals::stream_of(call.cx, &client.id).await?;
    stream.filter(|stream| stream.id == id).ok_or_else(|| Reason::NotFound.into())
}

fn queried<'a>(call: ReceiverCall<'a>) -> Option<Cow<'a, str>> {
    form_urlencoded::parse(call.request.query.as_bytes()).find(|(name, _)| name == "stream_id").map(|(_, value)| value)
}

/// What the receiver says of its stream, checked.
fn checked(call: ReceiverCall<'_>, id: &str, sent: Sent) -> Result<StreamBody> {
    let Sent { events_requested, delivery, description, .. } = sent;
    if events_requested.as_ref().is_some_and(|events| {
        events.is_empty() || events.len() > MAX_EVENTS || events.iter().any(|event| event.len() > MAX_TEXT)
    }) {
        return Err(invalid("`events_requested` must have 1 to 100 items"));
    }
    if description.as_ref().is_some_and(|text| text.chars().count() > MAX_TEXT) {
        return Err(invalid("`description` may have 1000 characters at most"));
    }
    let delivery = delivery.map_or(Ok(Delivery::Poll), |sent| checked_delivery(call, id, sent))?;
    Ok(StreamBody { events_requested, description, delivery, reason: None })
}

fn checked_delivery(call: ReceiverCall<'_>, id: &str, sent: SentDelivery) -> Result<Delivery> {
    let [push, poll] = DELIVERY_METHODS;
    let SentDelivery { method, endpoint_url, authorization_header } = sent;
    if method == poll {
        return Ok(Delivery::Poll);
    }
    if method != push {
        return Err(invalid("`delivery.method` must be one of `delivery_methods_supported`"));
    }
    let endpoint_url = endpoint_url.ok_or_else(|| invalid("`delivery.endpoint_url` is missing"))?;
    if endpoint_url.len() > MAX_URL || outbound::admit(call.cx.config, &endpoint_url).is_none() {
        return Err(invalid("`delivery.endpoint_url` must be an https URL of a public host, without a port"));
    }
    let is_header = |text: &String| text.len() <= MAX_URL && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !authorization_header.as_ref().is_none_or(is_header) {
        return Err(invalid("`delivery.authorization_header` must be 1 to 2000 visible characters"));
    }
    let seal = |header: String| signals::seal_authorization(call.cx, id, &header);
    Ok(Delivery::Push { endpoint_url, sealed_authorization: authorization_header.map(seal).transpose()? })
}

/// Whatever the transmitter supplies has to be as it is, where it is sent back (SSF 1.0 §8.1.1.3).
fn expect_unchanged(call: ReceiverCall<'_>, stream: &Stream, sent: &Sent) -> Result<()> {
    let same = |sent: &Option<Vec<String>>, own: &[&str]| sent.as_ref().is_none_or(|sent| sent.as_slice() == own);
    let unchanged = sent.iss.as_ref().is_none_or(|iss| *iss == call.cx.issuer())
        && sent.aud.as_ref().is_none_or(|aud| *aud == stream.client)
        && same(&sent.events_supported, &[SESSION_REVOKED])
        && same(&sent.events_delivered, &stream.delivers());
    match unchanged {
        true => Ok(()),
        false => Err(invalid("`iss`, `aud`, `events_supported` and `events_delivered` are not yours to change")),
    }
}

fn stored(stream: &Stream) -> Result<String> {
    serde_json::to_string(&stream.body).map_err(|_| Fault::Broken("a stream has no JSON").into())
}

fn event(call: ReceiverCall<'_>, kind: EventType, stream: &Stream, detail: Option<String>) -> Event {
    let facts = Facts { target: Some(stream.id.clone()), detail, ..Facts::default() };
    audit::event(call.cx, kind, Some(&stream.client), facts)
}

/// Makes the caller's stream (SSF 1.0 §8.1.1.1).
pub async fn create(call: ReceiverCall<'_>) -> Result<Response> {
    let cx = call.cx;
    let client = call.client;
    let id = cx.new_id();
    let body = checked(call, &id, sent(call.request)?.read_plain(&NEW_STREAM).await?)?;
    let stream = Stream { id, client: client.id.clone(), body, status: StreamStatus::Enabled, version: 1 };
    let guard = store::signals::insert(&cx.tenant.id, &stream, stored(&stream)?, cx.now.seconds());
    match cx.commit(Change::guard(guard).event(event(call, EventType::StreamCreated, &stream, None))).await? {
        true => Ok(Response::json(201, &view(call, &stream))),
        false => Err(Reason::Conflict.because("this receiver has a stream already")),
    }
}

/// Shows the stream of that name, or a list of all that the caller has (SSF 1.0 §8.1.1.2).
pub async fn read(call: ReceiverCall<'_>) -> Result<Response> {
    let client = call.client;
    if let Some(id) = queried(call) {
        return Ok(Response::json(200, &view(call, &named(call, client, Some(&id)).await?)));
    }
    let stream = signals::stream_of(call.cx, &client.id).await?;
    let all: Vec<View<'_>> = stream.iter().map(|stream| view(call, stream)).collect();
    Ok(Response::json(200, &all))
}

/// Changes what is sent and leaves what is not (SSF 1.0 §8.1.1.3).
pub async fn update(call: ReceiverCall<'_>) -> Result<Response> {
    change(call, true).await
}

/// Replaces all that the receiver says (SSF 1.0 §8.1.1.4).
pub async fn replace(call: ReceiverCall<'_>) -> Result<Response> {
    change(call, false).await
}

async fn change(call: ReceiverCall<'_>, keeps: bool) -> Result<Response> {
    let client = call.client;
    let sent: Sent = sent(call.request)?.read_plain(&STREAM_UPDATE).await?;
    let mut stream = named(call, client, sent.stream_id.as_deref()).await?;
    expect_unchanged(call, &stream, &sent)?;
    let (delivers, events, describes) =
        (sent.delivery.is_some(), sent.events_requested.is_some(), sent.description.is_some());
    let mut new = checked(call, &stream.id, sent)?;
    new.reason.clone_from(&stream.body.reason);
    if keeps {
        let old = stream.body.clone();
        new.delivery = if delivers { new.delivery } else { old.delivery };
        new.events_requested = if events { new.events_requested } else { old.events_requested };
        new.description = if describes { new.description } else { old.description };
    }
    stream.body = new;
    save(call, &stream, "configuration").await?;
    Ok(Response::json(200, &view(call, &stream)))
}

/// Writes a stream, and reschedules its signals.
async fn save(call: ReceiverCall<'_>, stream: &Stream, detail: &str) -> Result<()> {
    let (cx, now) = (call.cx, call.cx.now.seconds());
    let guard = store::signals::update(&cx.tenant.id, stream, stored(stream)?, now);
    let next = if stream.pushes() { now } else { store::signals::NEVER };
    let mut change = Change::guard(guard)
        .event(event(call, EventType::StreamUpdated, stream, Some(detail.to_owned())))
        .always(store::signals::reschedule(&cx.tenant.id, &stream.id, next));
    if stream.status == StreamStatus::Disabled {
        change = change.always(store::signals::delete_orphaned_signals(&cx.tenant.id));
    }
    match cx.commit(change).await? {
        true => Ok(()),
        false => Err(Reason::Conflict.because("another change of this stream came first: try again")),
    }
}

/// Removes a stream with what waits in it (SSF 1.0 §8.1.1.5).
pub async fn delete(call: ReceiverCall<'_>) -> Result<Response> {
    let cx = call.cx;
    let client = call.client;
    let stream = named(call, client, queried(call).as_deref()).await?;
    let event = event(call, EventType::StreamDeleted, &stream, None);
    let change = Change::guard(store::signals::delete(&cx.tenant.id, &stream.id))
        .event(event)
        .always(store::signals::delete_orphaned_signals(&cx.tenant.id));
    match cx.commit(change).await? {
        true => Ok(Response::empty(204)),
        false => Err(Reason::NotFound.into()),
    }
}

fn status_view(stream: &Stream) -> Value {
    let mut view = json!({"stream_id": stream.id, "status": stream.status.as_str()});
    if let (Some(reason), Some(members)) = (&stream.body.reason, view.as_object_mut()) {
        members.insert("reason".to_owned(), reason.as_str().into());
    }
    view
}

/// Shows whether a stream flows (SSF 1.0 §8.1.2.1).
pub async fn status(call: ReceiverCall<'_>) -> Result<Response> {
    let client = call.client;
    let stream = named(call, client, queried(call).as_deref()).await?;
    Ok(Response::json(200, &status_view(&stream)))
}

#[derive(Deserialize)]
struct NewStatus {
    stream_id: Option<String>,
    status: StreamStatus,
    reason: Option<String>,
}

/// Lets a stream flow, or not (SSF 1.0 §8.1.2.2).
pub async fn set_status(call: ReceiverCall<'_>) -> Result<Response> {
    let client = call.client;
    let NewStatus { stream_id, status, reason } = sent(call.request)?.read_plain(&NEW_STREAM_STATE).await?;
    if reason.as_ref().is_some_and(|text| text.chars().count() > MAX_TEXT) {
        return Err(invalid("`reason` may have 1000 characters at most"));
    }
    let mut stream = named(call, client, stream_id.as_deref()).await?;
    (stream.status, stream.body.reason) = (status, reason);
    save(call, &stream, status.as_str()).await?;
    Ok(Response::json(200, &status_view(&stream)))
}

#[derive(Deserialize)]
struct Verification {
    stream_id: Option<String>,
    state: Option<String>,
}

/// Asks for a verification event (SSF 1.0 §8.1.4.2).
pub async fn verify(call: ReceiverCall<'_>) -> Result<Response> {
    let client = call.client;
    let Verification { stream_id, state } = sent(call.request)?.read_plain(&VERIFICATION_REQUEST).await?;
    if state.as_ref().is_some_and(|state| state.len() > MAX_TEXT) {
        return Err(invalid("`state` may have 1000 bytes at most"));
    }
    let stream = named(call, client, stream_id.as_deref()).await?;
    signals::verify(call.cx, &stream, state.as_deref()).await?;
    Ok(Response::empty(204))
}

/// RFC 8936 §2.2.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Poll {
    max_events: Option<i64>,
    #[serde(default)]
    return_immediately: bool,
    #[serde(default)]
    ack: Vec<String>,
    #[serde(default)]
    set_errs: Map<String, Value>,
}

/// Hands out events, and forgets those that the receiver has taken or cannot take (RFC 8936 §2.4).
pub async fn poll(call: ReceiverCall<'_>) -> Result<Response> {
    let client = call.client;
    let Poll { max_events, return_immediately, ack, set_errs } =
        sent_or_empty(call.request)?.read_plain(&POLL_REQUEST).await?;
    if max_events.is_some_and(|most| most < 0) {
        return Err(invalid("`maxEvents` must not be negative"));
    }
    let stream = named(call, client, Some(call.id(0)?)).await?;
    if stream.body.delivery != Delivery::Poll {
        return Err(Reason::NotFound.because("the events of this stream are pushed"));
    }
    if !set_errs.is_empty() {
        let refused = event(call, EventType::SignalRefused, &stream, Some(errors(&set_errs)));
        audit::record(call.cx, &refused).await?;
    }
    let settled = ack.into_iter().chain(set_errs.into_iter().map(|(jti, _)| jti)).collect();
    let waits = !return_immediately;
    let handed = signals::poll(call.cx, &stream, &PollRequest { settled, most: max_events, waits }).await?;
    Ok(Response::json(200, &json!({"sets": handed.sets, "moreAvailable": handed.more})))
}

/// Which errors a receiver reports, as far as they are codes (RFC 8935 §2.4).
fn errors(reported: &Map<String, Value>) -> String {
    let is_code = |code: &&str| code.len() <= 40 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let codes = reported.values().filter_map(|error| error.get("err")?.as_str()).filter(is_code);
    let mut codes: Vec<&str> = codes.take(MAX_EVENTS).collect();
    codes.sort_unstable();
    codes.dedup();
    codes.join(", ")
}
