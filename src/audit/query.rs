//! Queries of the audit trail.

use crate::context::Cx;
use crate::error::Result;
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
