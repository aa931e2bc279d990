//! The other end of the queue, and the relay of the outbox.
//!
//! 1. A message that the queue refuses goes to the end of the outbox: it stands in nobody's way. One that it refuses [`ATTEMPTS`] times
//!    while it takes others goes to the dead letters. While the queue takes nothing at all, nothing counts against any message.

use crate::context::database::Database;
use crate::crypto::sha256;
use crate::error::{Fault, Result};
use crate::model::{Event, EventType};
use crate::ports::{Now, Sql, World};
use crate::store;
use crate::store::events::Staged;
use std::collections::BTreeSet;

/// How many events one relay run moves at most: stays below a free plan's 50 subrequests.
const RELAY: i64 = 20;
/// How many of them the queue may refuse before the run ends.
const REFUSED: usize = 3;
/// How often a message is tried while the queue takes others.
const ATTEMPTS: i64 = 10;

/// Keeps a batch of events. All or none: a fault means that the batch is delivered again, and keeping twice changes
/// nothing. A message that is no event is buried at once, for no retry would mend it.
pub async fn consume(world: &World, messages: &[String], now: Now) -> Result<()> {
    let (mut kept, mut buried): (Vec<Sql>, Vec<Sql>) = (Vec::new(), Vec::new());
    for body in messages {
        match serde_json::from_slice::<Event>(body.as_bytes()) {
            Ok(event) => {
                kept.push(store::events::keep(&event, body.clone()));
                if !event.facts.chain.is_empty() {
                    let chain =
                        serde_json::to_string(&event.facts.chain).map_err(|_| Fault::Broken("a chain has no JSON"))?;
                    kept.push(store::events::keep_actors(&event.tenant, &event.id, chain));
                }
                if let (EventType::TokenIssued, Some(client)) = (event.kind, &event.client) {
                    let at = i64::try_from(event.at).unwrap_or(i64::MAX);
                    kept.push(store::events::keep_last_token(&event.tenant, client, at));
                }
            }
            Err(_) => {
                world.log.line("audit: a message is no event; kept as a dead letter");
                buried.push(bury_one(body, now));
            }
        }
    }
    Database(&*world.trail).run(kept).await?;
    Database(&*world.db).run(buried).await.map(drop)
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
