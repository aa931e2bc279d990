//! The life of clients that nobody looks after: those beyond their expiry and those that are not used are suspended.
//!
//! In scope: what the cron does, in Workers of the role `admin`. Out of scope: that an expired client gets nothing, which
//! holds from the second of its expiry on ([`Client::is_live`](crate::model::Client::is_live)), and whoever is stopped by
//! hand (`kill`).
//!
//! 1. A client is used when it gets a token. Making it, changing it and letting it go on count as much.
//! 2. Each suspension is one guarded change with its event and its signal: two crons at once suspend once, and one who has
//!    just used or prolonged a client is not undone.
//! 3. One run takes a bounded number of clients; the next one takes more.

use crate::audit;
use crate::context::{Change, Cx};
use crate::directory::clients::ClientKey;
use crate::directory::identities::StatusListKey;
use crate::error::Result;
use crate::model::EventType;
use crate::model::event::Facts;
use crate::ports::Sql;
use crate::revocation::signals::{self, Subjects};
use crate::store::{self, clients::Unchanged};
use std::collections::HashMap;

/// How many clients of a tenant one run suspends at most, of either kind.
const SUSPENDED: i64 = 10;
/// How many clients one run looks at.
const LOOKED_AT: i64 = 500;
const DAY_MILLIS: i64 = 86_400_000;

/// Suspends what has expired and what is not used.
pub async fn tick(cx: &Cx<'_>) -> Result<()> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    for client in cx.all(store::clients::expired(tenant, now, SUSPENDED)).await? {
        let guard = store::clients::suspend_expired(tenant, &client, now);
        suspend(cx, &client, EventType::ClientExpired, guard).await?;
    }
    for client in unused(cx).await? {
        let guard = store::clients::suspend_unused(tenant, &client.id, client.version, now);
        suspend(cx, &client.id, EventType::ClientUnused, guard).await?;
    }
    Ok(())
}

/// Clients that were neither changed nor given a token for as long as they may stay unused.
async fn unused(cx: &Cx<'_>) -> Result<Vec<Unchanged>> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let mut found = Vec::new();
    let mut after = String::new();
    for _ in 0..LOOKED_AT / 100 {
        let page = cx.all(store::clients::unchanged(tenant, &after, now, 100)).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.id);
        let ids: Vec<&str> = page.iter().map(|client| client.id.as_str()).collect();
        let last = cx.trail().all(store::events::last_tokens(tenant, serde_json::Value::from(ids).to_string())).await?;
        let last: HashMap<String, i64> = last.into_iter().collect();
        found.extend(page.into_iter().filter(|client| {
            let idle = client.days.saturating_mul(DAY_MILLIS);
            let used = last.get(&client.id).copied().unwrap_or_default();
            used.saturating_add(idle) <= now.saturating_mul(1_000)
        }));
    }
    found.truncate(usize::try_from(SUSPENDED).unwrap_or_default());
    Ok(found)
}

async fn suspend(cx: &Cx<'_>, client: &str, kind: EventType, guard: Sql) -> Result<()> {
    let facts = Facts { target: Some(client.to_owned()), ..Facts::default() };
    let subjects = Subjects { client: Some(client), ..Subjects::default() };
    let change = Change::guard(guard)
        .invalidates(&ClientKey(client))
        .invalidates(&StatusListKey)
        .event(audit::event(cx, kind, None, facts))
        .signals(signals::session_revoked(cx, &subjects));
    cx.commit(change).await.map(drop)
}
