//! Signals: resource servers hear of what was stopped without asking about every call. A transmitter of the Shared
//! Signals Framework 1.0 with one event type, `session-revoked` of CAEP 1.0.
//!
//! In scope: leaving a signal with the change that it tells of, signing it, pushing it (RFC 8935), and handing it out
//! (RFC 8936). Out of scope: what is stopped (`kill`, `expiry`), the endpoints (`web::ssf`).
//!
//! 1. A signal lies in the transaction of the change that it tells of: neither is there without the other.
//! 2. It is signed when it is delivered, RS256 as the CAEP Interoperability Profile 1.0 §2.6 asks, with `typ`
//!    `secevent+jwt` (RFC 8417 §2.3) and without `exp` (SSF 1.0 §4.1.7). A second delivery has the same `jti`.
//! 3. It waits until its receiver has taken it. One that was pushed in vain for hours, or that nobody has fetched for a
//!    week, is dropped, and an event tells so.
//! 4. A receiver hears of everything that was stopped in its tenant, by opaque ids alone: which resources a client has had
//!    tokens for is nowhere certain, and a revocation that is not heard of does more harm than an id that means nothing.

mod deliver;

pub use deliver::{PollRequest, PollResponse, poll, push, sweep, tenants_due};

use crate::context::Cx;
use crate::error::{Fault, Reason, Result};
use crate::model::stream::{Delivery, SESSION_REVOKED, Stream};
use crate::ports::Sql;
use crate::store;
use serde_json::{Value, json};

/// The event type by which a receiver checks its stream (SSF 1.0 §8.1.4.1).
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// How many streams of a tenant are looked at for headers to seal anew.
const STREAMS: i64 = 200;

/// How many signals wait in a stream before its receiver gets no more verification events.
const MOST_WAITING: i64 = 1_000;

/// Whose sessions were revoked: those that all of these match.
#[derive(Clone, Copy, Default)]
pub struct Subjects<'a> {
    /// The client.
    pub client: Option<&'a str>,
    /// Whom its tokens are about: their `sub`.
    pub user: Option<&'a str>,
    /// The agentic identity; `client` and `user` then say whose.
    pub identity: Option<&'a str>,
    /// The `jti` of a token; those that were made from it are meant too.
    pub chain: Option<&'a str>,
    /// Everything in the tenant.
    pub tenant: bool,
}

/// The statements that tell every receiver of the tenant, for [`Change::signals`](crate::context::Change::signals): they hold only if
/// the change does.
pub fn session_revoked(cx: &Cx<'_>, subjects: &Subjects<'_>) -> Vec<Sql> {
    let (id, now) = (cx.new_id(), cx.now.seconds());
    let event = json!({
        "event_timestamp": now,
        "reason_admin": {"en": "No token of this subject that was issued up to then is honoured any more."},
    });
    let claims = json!({"sub_id": sub_id(cx, subjects), "txn": cx.request_id, "events": {SESSION_REVOKED: event}});
    vec![store::signals::broadcast(&cx.tenant.id, &id, (SESSION_REVOKED, claims.to_string()), now)]
}

/// RFC 9493 §3, SSF 1.0 §3: a user alone by `iss_sub`, a token alone by `jwt_id`, everything else by its parts.
fn sub_id(cx: &Cx<'_>, subjects: &Subjects<'_>) -> Value {
    let Subjects { client, identity, chain, .. } = *subjects;
    // An agentic identity without a user is a client on its own: its tokens are about itself.
    let user = subjects.user.or(client.filter(|_| identity.is_some()));
    let iss_sub = |sub: &str| json!({"format": "iss_sub", "iss": cx.issuer(), "sub": sub});
    let opaque = |id: &str| json!({"format": "opaque", "id": id});
    let token = |jti: &str| json!({"format": "jwt_id", "iss": cx.issuer(), "jti": jti});
    match (client, user, chain) {
        (None, Some(user), None) => return iss_sub(user),
        (None, None, Some(jti)) => return token(jti),
        _ => {}
    }
    let mut parts = json!({"format": "complex", "tenant": opaque(&cx.tenant.id)});
    let members = [("application", client.map(opaque)), ("user", user.map(iss_sub)), ("session", chain.map(token))];
    if let Some(parts) = parts.as_object_mut() {
        parts.extend(members.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))));
    }
    parts
}

/// Leaves a verification event in a stream, as its receiver has asked (SSF 1.0 §8.1.4.2).
pub async fn verify(cx: &Cx<'_>, stream: &Stream, state: Option<&str>) -> Result<()> {
    let mut event = json!({});
    if let (Some(state), Some(members)) = (state, event.as_object_mut()) {
        members.insert("state".to_owned(), state.into());
    }
    let sub_id = json!({"format": "opaque", "id": stream.id});
    let claims = json!({"sub_id": sub_id, "txn": cx.request_id, "events": {VERIFICATION: event}}).to_string();
    let (id, now) = (cx.new_id(), cx.now.seconds());
    let statement = store::signals::insert_signal(&cx.tenant.id, stream, (&id, claims), now, MOST_WAITING);
    let changes = cx.run(vec![statement]).await?;
    match changes.first().is_some_and(|rows| *rows > 0) {
        true => {
            cx.relay_soon();
            Ok(())
        }
        false => Err(Reason::TooManySignals.into()),
    }
}

/// The stream of a client, if it has one.
pub async fn stream_of(cx: &Cx<'_>, client: &str) -> Result<Option<Stream>> {
    cx.one(store::signals::of(&cx.tenant.id, client)).await
}

fn associated(cx: &Cx<'_>, stream: &str) -> String {
    format!("stream/{}/{stream}", cx.tenant.id)
}

/// Seals the `Authorization` header that a receiver wants to see with every push.
pub fn seal_authorization(cx: &Cx<'_>, stream: &str, header: &str) -> Result<String> {
    let ring = cx.config.signing().ok_or(Fault::Broken("this Worker seals nothing"))?;
    let sealed = ring.seal(&associated(cx, stream), header.as_bytes(), &*cx.world.entropy);
    sealed.ok_or_else(|| Fault::Broken("a header cannot be sealed").into())
}

/// Seals anew the headers of streams that an older key has sealed, so that it can be taken away.
pub async fn rewrap(cx: &Cx<'_>) -> Result<()> {
    let Some(ring) = cx.config.signing() else { return Ok(()) };
    for mut stream in cx.all(store::signals::pushed_streams(&cx.tenant.id, STREAMS)).await? {
        let associated = associated(cx, &stream.id);
        let Delivery::Push { sealed_authorization: Some(sealed), .. } = &mut stream.body.delivery else { continue };
        if ring.is_current(sealed) {
            continue;
        }
        let Some(anew) = ring.reseal(&associated, sealed, &*cx.world.entropy) else { continue };
        *sealed = anew;
        let body = serde_json::to_string(&stream.body).map_err(|_| Fault::Broken("a stream has no JSON"))?;
        cx.run(vec![store::signals::update(&cx.tenant.id, &stream, body, cx.now.seconds())]).await?;
    }
    Ok(())
}

fn open_authorization(cx: &Cx<'_>, stream: &str, sealed: &str) -> Result<String> {
    let opened = cx.config.signing().and_then(|ring| ring.open(&associated(cx, stream), sealed));
    let text = opened.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    text.ok_or_else(|| Fault::Broken("a sealed header cannot be read").into())
}
