//! Looking things up in the trail.

use crate::context::Cx;
use crate::error::Result;
use crate::store::{self, Reader, events::Query};
use serde_json::Value;

/// Events of the tenant that fit, newest first, and the cursor of the next page.
pub async fn events(cx: &Cx<'_>, query: &Query, limit: i64) -> Result<(Vec<Value>, Option<String>)> {
    let outcomes = cx.batch(vec![store::events::query(&cx.tenant.id, query, limit.saturating_add(1))]).await?;
    let rows = outcomes.iter().flat_map(|outcome| &outcome.rows);
    let mut events: Vec<Value> = rows.map(|row| store::events::read(&Reader(row))).collect::<Result<_>>()?;
    let more = events.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        events.pop();
    }
    let cursor = events.last().filter(|_| more).and_then(|event| event.get("id")?.as_str().map(str::to_owned));
    Ok((events, cursor))
}

/// How many messages ended as dead letters, over all tenants.
pub async fn dead_letters(cx: &Cx<'_>) -> Result<i64> {
    let outcomes = cx.batch(vec![store::events::count_dead()]).await?;
    store::single(&outcomes).map_or(Ok(0), |row| row.int("n"))
}
