//! Looking things up in the trail.

use crate::context::Cx;
use crate::error::Result;
use crate::store::{self, events::Filter};
use serde_json::Value;

/// Events of the tenant that fit, newest first, and the cursor of the next page.
pub async fn events(cx: &Cx<'_>, filter: &Filter, limit: i64) -> Result<(Vec<Value>, Option<String>)> {
    let mut events = cx.trail().all(store::events::list(&cx.tenant.id, filter, limit.saturating_add(1))).await?;
    let more = events.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        events.pop();
    }
    let cursor = events.last().filter(|_| more).and_then(|event| event.get("id")?.as_str().map(str::to_owned));
    Ok((events, cursor))
}

/// How many messages ended as dead letters, over all tenants.
pub async fn dead_letters(cx: &Cx<'_>) -> Result<i64> {
    Ok(cx.one(store::events::count_dead()).await?.unwrap_or_default())
}
