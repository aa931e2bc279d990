//! The other end of the queue, and the relay of the outbox.

use crate::crypto::sha256;
use crate::error::Result;
use crate::model::Event;
use crate::ports::{Now, World};
use crate::store;

/// How many events one relay run moves at most: stays below a free plan's 50 subrequests.
const RELAY: i64 = 20;

/// Keeps a batch of events. All or none: a fault means that the batch is delivered again, and keeping twice changes
/// nothing. A message that is no event is buried at once, for no retry would mend it.
pub async fn consume(world: &World, messages: &[String], now: Now) -> Result<()> {
    let statements = messages
        .iter()
        .map(|body| match serde_json::from_slice::<Event>(body.as_bytes()) {
            Ok(event) => store::events::keep(&event, body.clone()),
            Err(_) => {
                world.log.line("audit: a message is no event; kept as a dead letter");
                store::events::bury(&sha256(body).to_text(), body.clone(), now.seconds())
            }
        })
        .collect();
    world.db.batch(statements).await?;
    Ok(())
}

/// Keeps messages that the queue gave up on.
pub async fn bury(world: &World, messages: &[String], now: Now) -> Result<()> {
    world.log.line("audit: messages came from the dead-letter queue");
    let statements =
        messages.iter().map(|body| store::events::bury(&sha256(body).to_text(), body.clone(), now.seconds())).collect();
    world.db.batch(statements).await?;
    Ok(())
}

/// Sends what waits in the outbox. Sent and not yet removed means sent again: the consumer keeps it once.
pub async fn relay(world: &World) -> Result<()> {
    let outcomes = world.db.batch(vec![store::events::staged(RELAY)]).await?;
    let mut sent = Vec::new();
    for row in outcomes.iter().flat_map(|outcome| &outcome.rows) {
        let row = store::Reader(row);
        if world.queue.send(row.text("body")?).await.is_err() {
            world.log.line("audit: the queue refuses; events wait in the outbox");
            break;
        }
        sent.push(store::events::unstage(&row.text("id")?));
    }
    if !sent.is_empty() {
        world.db.batch(sent).await?;
    }
    Ok(())
}
