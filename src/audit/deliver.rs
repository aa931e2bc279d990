//! The other end of the queue, and the relay of the outbox.
//!
//! 1. A message that the queue refuses goes to the end of the outbox: it stands in nobody's way. One that it refuses [`ATTEMPTS`] times
//!    while it takes others goes to the dead letters. While the queue takes nothing at all, nothing counts against any message.
//! 2. The events of a tenant are kept in one transaction, which gives each its index in the log. A tenant whose events cannot be kept stands
//!    in nobody's way.

use super::log::columns;
use super::log::entry::{self, Opening};
use crate::context::database::Database;
use crate::crypto::{b64, sha256};
use crate::error::{Fault, Result};
use crate::model::{Event, EventType};
use crate::ports::{Now, Sql, World};
use crate::store;
use crate::store::events::Staged;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How many events one relay run moves at most: stays below a free plan's 50 subrequests.
const RELAY: i64 = 20;
/// How many of them the queue may refuse before the run ends.
const REFUSED: usize = 3;
/// How often a message is tried while the queue takes others.
const ATTEMPTS: i64 = 10;
/// How many events of a tenant one statement keeps, and of how many bytes together: far below the 2 MB of a value of D1.
const KEPT_TOGETHER: usize = 100;
const KEPT_BYTES: usize = 400_000;

/// Keeps a batch of events; of which tenants some were kept, and the outcome. A fault means that the batch is delivered again, and keeping twice changes
/// nothing. A message that is no event is buried at once, for no retry would mend it.
pub async fn consume(world: &World, messages: &[String], now: Now) -> (Vec<String>, Result<()>) {
    let mut of: BTreeMap<String, BTreeMap<String, (Event, &str)>> = BTreeMap::new();
    let mut buried: Vec<Sql> = Vec::new();
    for body in messages {
        match serde_json::from_slice::<Event>(body.as_bytes()) {
            Ok(event) => {
                of.entry(event.tenant.clone()).or_default().insert(event.id.clone(), (event, body));
            }
            Err(_) => {
                world.log.line("audit: a message is no event; kept as a dead letter");
                buried.push(bury_one(body, now));
            }
        }
    }
    let mut outcome = Ok(());
    for (tenant, events) in &of {
        let kept = keep(world, tenant, events.values()).await;
        outcome = outcome.and(kept);
    }
    let buried = Database(&*world.db).run(buried).await.map(drop);
    (of.into_keys().collect(), outcome.and(buried))
}

/// Keeps events of a tenant, each with the next index of its log.
async fn keep<'a>(world: &World, tenant: &str, events: impl Iterator<Item = &'a (Event, &'a str)>) -> Result<()> {
    let trail = Database(&*world.trail);
    let (mut rows, mut bytes, mut tokens): (Vec<Value>, usize, BTreeMap<&str, i64>) = Default::default();
    let (mut actors, mut ids, mut inserted): (Vec<Value>, Vec<&str>, u64) = Default::default();
    // What the second statement of a batch has changed.
    let inserts = |changes: Vec<u64>| changes.get(1).copied().unwrap_or_default();
    for (event, body) in events {
        ids.push(&event.id);
        if rows.len() >= KEPT_TOGETHER || bytes.saturating_add(body.len()) > KEPT_BYTES {
            let chunk =
                kept(tenant, std::mem::take(&mut rows), std::mem::take(&mut actors), std::mem::take(&mut tokens));
            let changes = trail.run(chunk).await?;
            inserted = inserted.saturating_add(inserts(changes));
            bytes = 0;
        }
        bytes = bytes.saturating_add(body.len());
        rows.push(row(world, body)?);
        if !event.facts.chain.is_empty() {
            actors.push(json!([event.id, event.facts.chain]));
        }
        if let (EventType::TokenIssued, Some(client)) = (event.kind, &event.client) {
            let at = i64::try_from(event.at).unwrap_or(i64::MAX);
            let last = tokens.entry(client).or_insert(at);
            *last = at.max(*last);
        }
    }
    let changes = trail.run(kept(tenant, rows, actors, tokens)).await?;
    match inserted.saturating_add(inserts(changes)) == ids.len() as u64 {
        true => Ok(()),
        // Some came before, or are not kept.
        false => expect_kept(world, tenant, &ids).await,
    }
}

/// Refuses to take events for kept that are not there, although no statement failed: somebody has changed the trail, unless the tenant is gone.
async fn expect_kept(world: &World, tenant: &str, ids: &[&str]) -> Result<()> {
    let kept = Database(&*world.trail).one(store::log::count_kept(tenant, json!(ids).to_string())).await?;
    if kept == i64::try_from(ids.len()).ok() {
        return Ok(());
    }
    match Database(&*world.db).one(store::deletion::is_former(tenant)).await? {
        Some(true) => Ok(()),
        _ => Err(Fault::Broken("events that were to be kept are not there").into()),
    }
}

/// What keeps events, with all by which they are found.
fn kept(tenant: &str, rows: Vec<Value>, actors: Vec<Value>, tokens: BTreeMap<&str, i64>) -> Vec<Sql> {
    let events =
        [store::log::begin(tenant), store::log::keep(tenant, Value::Array(rows).to_string()), store::log::grow(tenant)];
    let actors = (!actors.is_empty()).then(|| store::events::keep_actors(tenant, Value::Array(actors).to_string()));
    let tokens = tokens.into_iter().map(|(client, at)| store::events::keep_last_token(tenant, client, at));
    events.into_iter().chain(actors).chain(tokens).collect()
}

/// An event as it is stored, with its salt and its entry.
fn row(world: &World, body: &str) -> Result<Value> {
    let salt = entry::salt(&*world.entropy);
    let members = entry::members(body).ok_or(Fault::Broken("an event has no members"))?;
    let entry = Opening::of_members(&members, &salt).and_then(|opening| opening.entry());
    let entry = entry.ok_or(Fault::Broken("an event has no entry"))?;
    let columns = columns::of(&members).ok_or(Fault::Broken("an event has no columns"))?;
    Ok(json!([
        columns.id,
        columns.at,
        columns.kind,
        columns.client,
        columns.subject,
        i64::from(columns.refused),
        body,
        columns.target,
        salt,
        b64(entry),
    ]))
}

/// Keeps messages that the queue gave up on.
pub async fn bury(world: &World, messages: &[String], now: Now) -> Result<()> {
    world.log.line("audit: messages came from the dead-letter queue");
    Database(&*world.db).run(messages.iter().map(|body| bury_one(body, now)).collect()).await.map(drop)
}

fn bury_one(body: &str, now: Now) -> Sql {
    store::events::bury(&sha256(body).to_text(), body.to_owned(), now.seconds())
}

/// Sends what waits in the outbox. Sent and not yet removed means sent again: the consumer keeps it once.
pub async fn relay(world: &World, now: Now) -> Result<()> {
    let staged = Database(&*world.db).all(store::events::staged(RELAY)).await?;
    let (mut sent, mut refused): (Vec<Sql>, Vec<Staged>) = (Vec::new(), Vec::new());
    for event in staged {
        match world.queue.send(event.body.clone()).await {
            Ok(()) => sent.push(store::events::unstage(&event.id)),
            Err(_) => refused.push(event),
        }
        if refused.len() >= REFUSED {
            break;
        }
    }
    if !refused.is_empty() {
        world.log.line("audit: the queue refuses; events wait in the outbox");
    }
    let takes = !sent.is_empty();
    for event in refused {
        if takes && event.attempts.saturating_add(1) >= ATTEMPTS {
            world.log.line("audit: the queue refuses an event for good; kept as a dead letter");
            sent.push(bury_one(&event.body, now));
            sent.push(store::events::unstage(&event.id));
        } else {
            sent.push(store::events::put_back(&event.id, takes));
        }
    }
    Database(&*world.db).run(sent).await.map(drop)
}

/// The tenants of these messages.
pub fn tenants(messages: &[String]) -> BTreeSet<String> {
    messages.iter().filter_map(|body| Some(serde_json::from_slice::<Event>(body.as_bytes()).ok()?.tenant)).collect()
}
