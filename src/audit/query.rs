//! Queries of the audit trail.

use crate::context::Cx;
use crate::crypto::sha256;
use crate::error::Result;
use crate::model::Event;
use crate::store::counts::{Bucket, By, Period};
use crate::store::decisions::Kept;
use crate::store::{self, events::Filter};
use serde_json::Value;

/// Events of the tenant that fit, newest first.
pub async fn events(cx: &Cx<'_>, filter: &Filter, limit: i64) -> Result<Vec<Value>> {
    cx.trail().all(store::events::list(&cx.tenant.id, filter, limit)).await
}

/// How many messages ended as dead letters, over all tenants.
pub async fn dead_letters(cx: &Cx<'_>) -> Result<i64> {
    Ok(cx.one(store::events::count_dead()).await?.unwrap_or_default())
}

/// The event of that id.
pub async fn event(cx: &Cx<'_>, id: &str) -> Result<Option<Event>> {
    Ok(cx.trail().all(store::decisions::get(&cx.tenant.id, id)).await?.into_iter().next())
}

/// The event with which the token of that `jti` was issued.
pub async fn of_token(cx: &Cx<'_>, jti: &str) -> Result<Option<Event>> {
    let hash = sha256(jti).to_text();
    Ok(cx.trail().all(store::decisions::of_token(&cx.tenant.id, &hash)).await?.into_iter().next())
}

/// Events from an id on and before another, the oldest first; of one client, or of all.
pub async fn between(cx: &Cx<'_>, (from, before): (&str, &str), client: Option<&str>, limit: i64) -> Result<Vec<Kept>> {
    cx.trail().all(store::decisions::between(&cx.tenant.id, from, before, client, limit)).await
}

/// Events that name a shadow policy, from an id on and before another, the newest first.
pub async fn shadowed(cx: &Cx<'_>, (from, before): (&str, &str), limit: i64) -> Result<Vec<Kept>> {
    cx.trail().all(store::decisions::shadowed(&cx.tenant.id, from, before, limit)).await
}

/// How many events one transaction counts, and how many transactions a request waits for.
const COUNTED: i64 = 5_000;
const ROUNDS: usize = 10;

/// Counts of a period, and whether the newest events are in them.
pub async fn counts(cx: &Cx<'_>, period: &Period, by: By) -> Result<(Vec<Bucket>, bool)> {
    let is_complete = count(cx).await?;
    Ok((cx.trail().all(store::counts::of(&cx.tenant.id, period, by)).await?, is_complete))
}

/// Counts events that are not counted yet, a bounded number of them; whether all are.
pub async fn count(cx: &Cx<'_>) -> Result<bool> {
    for _ in 0..ROUNDS {
        let Some((counted, head)) = cx.trail().one(store::counts::progress(&cx.tenant.id)).await? else {
            return Ok(true);
        };
        if counted >= head {
            return Ok(true);
        }
        let to = head.min(counted.saturating_add(COUNTED));
        cx.trail().run(store::counts::count(&cx.tenant.id, counted, to)).await?;
    }
    Ok(false)
}
