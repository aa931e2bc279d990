//! Sending events to sinks: after the queue's consumer, and by the cron.

use super::kind::{Batch, Record, Secrets, Verdict};
use super::{find, ocsf, open};
use crate::audit;
use crate::context::Cx;
use crate::context::database::Database;
use crate::error::{Fault, Result};
use crate::model::event::Facts;
use crate::model::sink::{EventForm, MAX_SIZE, Sink, SinkState};
use crate::model::{Event, EventType};
use crate::outbound::{self, retry};
use crate::ports::{Now, Sql, World};
use crate::store;
use crate::store::events::Sequenced;
use crate::store::sinks::{Failed, SinkClaim, Step};
use serde_json::Value;
use std::collections::BTreeSet;

/// How many sinks are sent to at a time, and how many batches each: together below a free plan's 50 subrequests.
const SINKS: i64 = 3;
const BATCHES: usize = 3;
/// How many bytes of events a batch has, but for its last event: less than any receiver takes.
const MAX_BYTES: i64 = 512 * 1024;
/// How long a claim holds, in milliseconds: longer than its batches take.
const CLAIM_MILLIS: i64 = 90_000;
/// After how many attempts in vain an event tells of it: about a quarter of an hour.
const TOLD_AFTER: i64 = 4;

/// Notes that there are new events of these tenants.
pub async fn wake(world: &World, tenants: &BTreeSet<String>) -> Result<()> {
    Database(&*world.trail).run(waking(world, tenants).await?).await.map(drop)
}

/// What notes that there are new events of these tenants.
pub async fn waking(world: &World, tenants: &BTreeSet<String>) -> Result<Vec<Sql>> {
    let tenants = serde_json::to_string(tenants).map_err(|_| Fault::Broken("tenants have no JSON"))?;
    let sinks = Database(&*world.db).all(store::sinks::of_tenants(tenants)).await?;
    let enabled = sinks.iter().filter(|(_, sink)| sink.body.enabled);
    Ok(enabled.map(|(tenant, sink)| store::sinks::wake(tenant, sink)).collect())
}

/// Sinks for which there may be events once these statements have run, each with its tenant.
pub async fn due(world: &World, waking: Vec<Sql>, now: Now) -> Result<Vec<(String, String)>> {
    let (_, due) = Database(&*world.trail).run_then(waking, store::sinks::due(millis(now), SINKS)).await?;
    Ok(due)
}

fn millis(now: Now) -> i64 {
    i64::try_from(now.millis()).unwrap_or(i64::MAX)
}

/// Sends a sink what it has not taken, unless another isolate does.
pub async fn deliver(cx: &Cx<'_>, id: &str) -> Result<()> {
    let (tenant, nonce, now) = (&cx.tenant.id, cx.new_id(), millis(cx.now));
    let claim = SinkClaim { tenant, sink: id, nonce: &nonce };
    let claiming = store::sinks::claim(claim, now, now.saturating_add(CLAIM_MILLIS));
    let (claimed, states) = cx.trail().run_then(vec![claiming], store::sinks::state(tenant, id)).await?;
    let Some(state) = states.into_iter().next().filter(|_| claimed.first() == Some(&1)) else { return Ok(()) };
    let Some(sink) = cx.one(store::sinks::get(tenant, id)).await? else {
        return cx.trail().run(vec![store::sinks::forget(tenant, id)]).await.map(drop);
    };
    if !sink.body.enabled {
        return cx.trail().run(vec![store::sinks::rest(claim)]).await.map(drop);
    }
    Delivery { cx, claim, sink: &sink, now }.run(state).await
}

/// Sends one event that says nothing, to try a sink; what became of it.
pub async fn test(cx: &Cx<'_>, sink: &Sink, event: &Event) -> Result<Verdict> {
    let body = serde_json::to_string(event).map_err(|_| Fault::Broken("an event has no JSON"))?;
    let row = Sequenced {
        seq: 0,
        id: event.id.clone(),
        at: i64::try_from(event.at).unwrap_or(i64::MAX),
        kind: event.kind.as_str().to_owned(),
        body: Some(body),
    };
    let records: Vec<Record> = record(cx, sink.body.form, row).into_iter().collect();
    send(cx, sink, &open(cx, sink)?, &records).await
}

struct Delivery<'a> {
    cx: &'a Cx<'a>,
    claim: SinkClaim<'a>,
    sink: &'a Sink,
    now: i64,
}

impl Delivery<'_> {
    async fn run(self, state: SinkState) -> Result<()> {
        let (cx, mut position, mut size) = (self.cx, state.position, state.size);
        let secrets = match open(cx, self.sink) {
            Ok(secrets) => secrets,
            Err(error) => return self.fail(state.attempts, &error.to_string(), size).await,
        };
        let (mut batches, mut attempts) = (0, state.attempts);
        while batches < BATCHES {
            let (rows, types) = (size.clamp(1, MAX_SIZE), self.types()?);
            let found =
                cx.trail().all(store::events::after(self.claim.tenant, position, (rows, MAX_BYTES), types)).await?;
            let (Some(first), Some(last)) = (found.first(), found.last()) else { break };
            let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
            let (missed, last) = (first.seq.saturating_sub(position).saturating_sub(1), last.seq);
            let records: Vec<Record> =
                found.into_iter().filter_map(|row| record(cx, self.sink.body.form, row)).collect();
            let verdict = match records.is_empty() {
                true => Verdict::Taken(0),
                false => match send(cx, self.sink, &secrets, &records).await {
                    Ok(verdict) => verdict,
                    Err(error) => Verdict::Failed(error.to_string()),
                },
            };
            match verdict {
                Verdict::Taken(rejected) => {
                    let sent = i64::try_from(records.len()).unwrap_or(i64::MAX).saturating_sub(rejected);
                    let missed = missed.saturating_add(rejected);
                    size = size.saturating_mul(2).clamp(1, MAX_SIZE);
                    let step = Step { position: last, sent, missed, size };
                    batches = batches.saturating_add(1);
                    let is_last = count < rows || batches >= BATCHES;
                    let mut statements = vec![store::sinks::advance(self.claim, &step, self.now)];
                    statements.extend(is_last.then(|| store::sinks::release(self.claim, self.now)));
                    // Else another isolate has the claim by now, or the sink was set back.
                    let is_claimed = cx.trail().run(statements).await?.first() == Some(&1);
                    if is_last || !is_claimed {
                        return Ok(());
                    }
                    (position, attempts) = (last, 0);
                }
                // Which of them is in the way shows when they come in halves.
                Verdict::Refused(_) if count > 1 => size = count / 2,
                Verdict::Refused(why) | Verdict::Failed(why) => return self.fail(attempts, &why, size).await,
            }
        }
        cx.trail().run(vec![store::sinks::release(self.claim, self.now)]).await.map(drop)
    }

    /// The types that the sink gets, as a JSON array; nothing: all.
    fn types(&self) -> Result<Option<String>> {
        let json = |types| serde_json::to_string(types).map_err(|_| Fault::Broken("types have no JSON").into());
        self.sink.body.events.as_ref().map(json).transpose()
    }

    async fn fail(&self, attempts: i64, outcome: &str, size: i64) -> Result<()> {
        let pause = retry::pause(attempts).saturating_mul(1_000);
        let failed = Failed { outcome, now: self.now, not_before: self.now.saturating_add(pause), size };
        let rows = self.cx.trail().run(vec![store::sinks::fail(self.claim, &failed)]).await?;
        if rows.first() == Some(&1) && attempts.saturating_add(1) == TOLD_AFTER {
            let (target, target_name) = (Some(self.sink.id.clone()), Some(self.sink.body.kind.clone()));
            let facts = Facts { target, target_name, detail: Some(outcome.to_owned()), ..Facts::default() };
            audit::record(self.cx, &audit::event(self.cx, EventType::SinkFailing, None, facts)).await?;
        }
        Ok(())
    }
}

async fn send(cx: &Cx<'_>, sink: &Sink, secrets: &Secrets, records: &[Record]) -> Result<Verdict> {
    let kind = find(&sink.body.kind).ok_or(Fault::Broken("a stored kind is unknown"))?;
    let batch = Batch { tenant: &cx.tenant.id, sink: &sink.id, body: &sink.body, secrets, records, now: cx.now };
    let call = (kind.call)(&batch)?;
    match outbound::send(cx, (call.method, &call.url), call.headers, Some(call.body)).await {
        Ok(answer) => Ok((kind.judge)(&answer)),
        Err(failure) => Ok(Verdict::Failed(failure.why().to_owned())),
    }
}

/// An event in the form that the sink wants; nothing where the sink does not get it.
fn record(cx: &Cx<'_>, form: EventForm, Sequenced { seq, id, at, kind, body }: Sequenced) -> Option<Record> {
    let mut event: Value = serde_json::from_slice(body?.as_bytes()).ok()?;
    let is_refused = event.get("reason").is_some();
    if let Some(members) = event.as_object_mut() {
        members.insert("at".to_owned(), at.div_euclid(1_000).into());
        members.insert("seq".to_owned(), seq.into());
    }
    let event = match form {
        EventForm::Writ => event,
        EventForm::Ocsf => ocsf::event(&event, &ocsf::About { issuer: &cx.issuer(), seq, at }),
    };
    Some(Record { seq, id, at, kind, is_refused, event })
}
