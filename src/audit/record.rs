//! Making an event durable before its answer leaves.

use crate::context::Cx;
use crate::error::{Fault, Result};
use crate::model::event::Facts;
use crate::model::{Event, EventType};
use crate::store;

/// An event of this request: id, tenant, moment, request and address are filled in.
pub fn event(cx: &Cx<'_>, kind: EventType, client: Option<&str>, mut facts: Facts) -> Event {
    // A decision of policy has already named the event that will tell of it.
    let id = facts.decision.clone().unwrap_or_else(|| cx.new_id());
    facts.ip = facts.ip.or_else(|| cx.peer.ip.map(|ip| ip.to_string()));
    Event {
        id,
        tenant: cx.tenant.id.clone(),
        at: cx.now.millis(),
        kind,
        request_id: cx.request_id.clone(),
        client: client.map(str::to_owned),
        facts,
    }
}

/// Returns when the event is durable: taken by the queue, or kept in the outbox. A fault if neither took it.
pub async fn record(cx: &Cx<'_>, event: &Event) -> Result<()> {
    let body = serde_json::to_string(event).map_err(|_| Fault::Broken("an event has no JSON"))?;
    if cx.world.queue.send(body.clone()).await.is_ok() {
        return Ok(());
    }
    cx.world.log.line("audit: the queue refused an event; using the outbox");
    // The queue has just refused it, so the event waits for the cron: to try again after every answer would only burden D1 while the
    // queue is down.
    cx.run(vec![store::events::stage(&event.id, body)]).await.map(drop)
}
