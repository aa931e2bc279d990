//! The other end of the queue, and the relay of the outbox.
//!
//! 1. A message that the queue refuses goes to the end of the outbox: it stands in nobody's way. One that it refuses [`ATTEMPTS`] times
//!    while it takes others goes to the dead letters. While the queue takes nothing at all, nothing counts against any message.
//! 2. The events of a tenant are kept in one transaction, which gives each its index in the log, and is asked at its end whether the entry of each is there as it was
//!    made. A tenant whose events cannot be kept stands in nobody's way.

use super::log::columns;
use super::log::entry::{self, Opening};
use crate::context::database::Database;
use crate::crypto::{b64, sha256};
use crate::error::{Fault, Result};
use crate::model::{Event, EventType};
use crate::ports::{Now, Sql, World};
use crate::store;
use crate::store::events::Staged;
use crate::store::log::Columns;
use serde::Serialize;
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

/// What became of a batch.
pub struct Consumed {
    /// The tenants of its events.
    pub tenants: Vec<String>,
    /// Those whose database has changed an event that it was to keep.
    pub altered: Vec<String>,
    /// A fault means that the batch is delivered again.
    pub outcome: Result<()>,
}

/// Keeps a batch of events; keeping twice changes nothing. A message that is no event is buried at once, for no retry would mend it.
pub async fn consume(world: &World, messages: &[String], now: Now) -> Consumed {
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
    let (mut outcome, mut altered) = (Ok(()), Vec::new());
    for (tenant, events) in &of {
        match keep(world, tenant, events.values()).await {
            Ok(true) => {}
            Ok(false) => altered.push(tenant.clone()),
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    let buried = Database(&*world.db).run(buried).await.map(drop);
    Consumed { tenants: of.into_keys().collect(), altered, outcome: outcome.and(buried) }
}

/// Keeps events of a tenant, each with the next index of its log; whether they are there as they were made.
async fn keep<'a>(world: &World, tenant: &str, events: impl Iterator<Item = &'a (Event, &'a str)>) -> Result<bool> {
    let (mut chunk, mut bytes, mut ids) = (Chunk::default(), 0_usize, Vec::new());
    let (mut inserted, mut is_as_made) = (0_u64, true);
    for (event, body) in events {
        ids.push(&*event.id);
        if chunk.rows.len() >= KEPT_TOGETHER || bytes.saturating_add(body.len()) > KEPT_BYTES {
            let (new, as_made) = std::mem::take(&mut chunk).keep(world, tenant).await?;
            (inserted, is_as_made, bytes) = (inserted.saturating_add(new), is_as_made && as_made, 0);
        }
        bytes = bytes.saturating_add(body.len());
        chunk.rows.push(Row::of(world, body)?);
        if !event.facts.chain.is_empty() {
            chunk.actors.push(json!(event.id));
        }
        if let (EventType::TokenIssued, Some(client)) = (event.kind, &event.client) {
            let at = i64::try_from(event.at).unwrap_or(i64::MAX);
            let last = chunk.tokens.entry(client).or_insert(at);
            *last = at.max(*last);
        }
    }
    let (new, as_made) = chunk.keep(world, tenant).await?;
    if inserted.saturating_add(new) != ids.len() as u64 {
        // Some came before, or are not kept.
        expect_kept(world, tenant, &ids).await?;
    }
    Ok(is_as_made && as_made)
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

/// Events that one transaction keeps, with all by which they are found.
#[derive(Default)]
struct Chunk<'a> {
    rows: Vec<Row<'a>>,
    actors: Vec<Value>,
    tokens: BTreeMap<&'a str, i64>,
}

impl Chunk<'_> {
    /// How many of them are new, and whether each of those has the entry that was made of it.
    async fn keep(self, world: &World, tenant: &str) -> Result<(u64, bool)> {
        let made = |row: &Row<'_>| json!([row.columns.id, row.entry]);
        let made = Value::from_iter(self.rows.iter().map(made)).to_string();
        // Straight into a text: values of JSON in between cost as much again.
        let rows = serde_json::to_string(&self.rows.iter().map(Row::values).collect::<Vec<_>>());
        let rows = rows.map_err(|_| Fault::Broken("events have no JSON"))?;
        let mut statements = vec![store::log::begin(tenant), store::log::keep(tenant, rows), store::log::grow(tenant)];
        if !self.actors.is_empty() {
            statements.push(store::events::keep_actors(tenant, Value::from(self.actors).to_string()));
        }
        if !self.tokens.is_empty() {
            let tokens = self.tokens.into_iter().map(|(client, at)| json!([client, at]));
            statements.push(store::events::keep_last_tokens(tenant, Value::from_iter(tokens).to_string()));
        }
        let trail = Database(&*world.trail);
        let (changes, as_made) = trail.run_then(statements, store::log::count_entries(tenant, made)).await?;
        let new = changes.get(1).copied().unwrap_or_default();
        Ok((new, as_made.first().copied().and_then(|count| u64::try_from(count).ok()) == Some(new)))
    }
}

/// An event as it is stored, with its salt and its entry.
struct Row<'a> {
    columns: Columns,
    body: &'a str,
    salt: String,
    entry: String,
}

impl<'a> Row<'a> {
    fn of(world: &World, body: &'a str) -> Result<Self> {
        let salt = entry::salt(&*world.entropy);
        let members = entry::members(body).ok_or(Fault::Broken("an event has no members"))?;
        let entry = Opening::of_members(&members, &salt).and_then(|opening| opening.entry());
        let entry = b64(entry.ok_or(Fault::Broken("an event has no entry"))?);
        let columns = columns::of(&members).ok_or(Fault::Broken("an event has no columns"))?;
        Ok(Self { columns, body, salt, entry })
    }

    /// In the order of [`store::log::keep`].
    fn values(&self) -> impl Serialize {
        let Columns { id, at, kind, client, subject, refused, target } = &self.columns;
        (id, at, kind, client, subject, i64::from(*refused), self.body, target, &self.salt, &self.entry)
    }
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

/// The tenants of these messages. One that is no event is [`consume`]'s to bury: here it wakes sinks in vain.
pub fn tenants(messages: &[String]) -> BTreeSet<String> {
    let tenant = |body: &String| Some(entry::members(body)?.get("tenant")?.as_str()?.to_owned());
    messages.iter().filter_map(tenant).collect()
}
