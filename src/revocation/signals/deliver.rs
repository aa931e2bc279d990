//! Getting signals to their receivers: pushed after the change and by the cron, or fetched.

use super::open_authorization;
use crate::audit;
use crate::context::{Change, Cx};
use crate::error::Result;
use crate::jose::Unsigned;
use crate::keys;
use crate::model::EventType;
use crate::model::event::Facts;
use crate::model::stream::{Delivery, Stream, StreamStatus};
use crate::outbound::{self, retry};
use crate::ports::{Alg, Now};
use crate::store::signals::Signal;
use crate::store::{self, Query};
use serde_json::{Map, Value};

/// The signals of how many tenants are pushed at a time, and how many of each: stays below a free plan's 50 subrequests.
const TENANTS: i64 = 2;
const PUSHED: i64 = 6;
/// How often one is pushed.
const ATTEMPTS: i64 = 12;
/// How long a signal waits at most: 7 days.
const KEPT_SECONDS: i64 = 7 * 24 * 60 * 60;
/// How many signals one answer to a poll holds at most.
const MOST_SETS: i64 = 25;
/// How often, and at which distance, a poll that may wait looks again (RFC 8936 §2.4: up to 10 s in all).
const LOOKS: usize = 10;
const LOOK_MILLIS: u64 = 1_000;

/// Asks which tenants have something to push.
pub fn tenants_due(now: Now) -> Query<String> {
    store::signals::tenants_due(now.seconds(), ATTEMPTS, TENANTS)
}

/// Pushes what is due (RFC 8935); see [`retry`]. What comes again has the same `jti`.
pub async fn push(cx: &Cx<'_>) -> Result<()> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let due = cx.all(store::signals::due(tenant, now, ATTEMPTS, PUSHED)).await?;
    let claim = |(stream, signal): &(Stream, Signal)| {
        let next = now.saturating_add(retry::pause(signal.attempts));
        store::signals::claim(tenant, (&stream.id, &signal.id), signal.attempts, next)
    };
    let send = async |(stream, signal): &(Stream, Signal)| push_one(cx, stream, signal).await;
    let mut taken = Vec::new();
    for ((stream, signal), outcome) in retry::attempt(cx, due, claim, send).await? {
        match outcome {
            Ok(true) => {
                taken.push(store::signals::remove(tenant, &stream.id, Value::from(vec![signal.id]).to_string()))
            }
            Ok(false) => cx.world.log.line("signals: a receiver did not take a push; it is tried again"),
            Err(error) => cx.world.log.line(&format!("signals: {error}")),
        }
    }
    cx.run(taken).await.map(drop)
}

async fn push_one(cx: &Cx<'_>, stream: &Stream, signal: &Signal) -> Result<bool> {
    let Delivery::Push { endpoint_url, sealed_authorization } = &stream.body.delivery else { return Ok(false) };
    let authorization =
        sealed_authorization.as_deref().map(|sealed| open_authorization(cx, &stream.id, sealed)).transpose()?;
    let set = sign(cx, stream, signal).await?;
    Ok(outbound::post_event(cx, endpoint_url, set, authorization).await)
}

/// The signal as a Security Event Token (RFC 8417 §2).
async fn sign(cx: &Cx<'_>, stream: &Stream, signal: &Signal) -> Result<String> {
    let mut claims = signal.claims.clone();
    let own = [("iss", cx.issuer()), ("aud", stream.client.clone()), ("jti", signal.id.clone())];
    claims.extend(own.map(|(name, value)| (name.to_owned(), Value::from(value))));
    let shape = |kid: &str| Unsigned::without_end(Alg::Rs256, "secevent+jwt", kid, &claims, signal.created_at);
    keys::sign(cx, Alg::Rs256, shape).await
}

/// A poll request (RFC 8936 §2.4).
pub struct PollRequest {
    /// The signals that it has taken, and those that it cannot take: neither comes again.
    pub settled: Vec<String>,
    /// How many it wants at most; nothing: as many as there are.
    pub most: Option<i64>,
    /// Whether it waits for one if there is none.
    pub waits: bool,
}

/// A poll response (RFC 8936 §2.4).
pub struct PollResponse {
    /// The tokens by their `jti`.
    pub sets: Map<String, Value>,
    /// Whether there are more.
    pub more: bool,
}

/// Hands out the signals of a stream that is fetched. They stay until they are acknowledged.
pub async fn poll(cx: &Cx<'_>, stream: &Stream, request: &PollRequest) -> Result<PollResponse> {
    let tenant = &cx.tenant.id;
    if !request.settled.is_empty() {
        let ids = Value::from(request.settled.clone()).to_string();
        cx.run(vec![store::signals::remove(tenant, &stream.id, ids)]).await?;
    }
    let most = request.most.unwrap_or(MOST_SETS).clamp(0, MOST_SETS);
    let mut response = PollResponse { sets: Map::new(), more: false };
    if most == 0 || stream.status != StreamStatus::Enabled {
        return Ok(response);
    }
    for look in 0..LOOKS {
        if look > 0 {
            cx.world.timer.sleep(LOOK_MILLIS).await;
        }
        let mut signals = cx.all(store::signals::waiting(tenant, &stream.id, most.saturating_add(1))).await?;
        let most = usize::try_from(most).unwrap_or_default();
        response.more = signals.len() > most;
        signals.truncate(most);
        for signal in &signals {
            response.sets.insert(signal.id.clone(), sign(cx, stream, signal).await?.into());
        }
        if !signals.is_empty() || !request.waits {
            break;
        }
    }
    Ok(response)
}

/// What the cron does for a tenant: drops what nobody takes, each stream with its event, and what has no stream any more.
pub async fn sweep(cx: &Cx<'_>) -> Result<()> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let bounds = (now, ATTEMPTS, now.saturating_sub(KEPT_SECONDS));
    for (stream, count) in cx.all(store::signals::count_stale(tenant, bounds)).await? {
        let facts = Facts { target: Some(stream.clone()), detail: Some(count.to_string()), ..Facts::default() };
        let event = audit::event(cx, EventType::SignalDropped, None, facts);
        cx.commit(Change::guard(store::signals::drop_stale(tenant, &stream, bounds)).event(event)).await?;
    }
    let orphans =
        vec![store::signals::delete_orphaned_streams(tenant), store::signals::delete_orphaned_signals(tenant)];
    cx.run(orphans).await.map(drop)
}
