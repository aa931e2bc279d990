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
const EXPIRED: i64 = 10;
const SUSPENDED: usize = 10;
/// How many clients one run looks at, and how many of them at a time.
const LOOKED_AT: i64 = 500;
const PAGE: i64 = 100;
const DAY_MILLIS: i64 = 86_400_000;

/// Suspends what has expired and what is not used.
pub async fn tick(cx: &Cx<'_>) -> Result<()> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    for (id, name) in cx.all(store::clients::expired(tenant, now, EXPIRED)).await? {
        let guard = store::clients::suspend_expired(tenant, &id, now);
        suspend(cx, (&id, name), EventType::ClientExpired, guard).await?;
    }
    for client in unused(cx).await? {
        let guard = store::clients::suspend_unused(tenant, &client.id, client.version, now);
        suspend(cx, (&client.id, client.name), EventType::ClientUnused, guard).await?;
    }
    Ok(())
}

/// Clients that were neither changed nor given a token for as long as they may stay unused. A run goes on after the client that the
/// last one looked at: clients that are used, but not changed, do not hide the others.
async fn unused(cx: &Cx<'_>) -> Result<Vec<Unchanged>> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let began = cx.one(store::tenants::looked_at_client(tenant)).await?.unwrap_or_default();
    let mut after = began.clone();
    let mut found = Vec::new();
    for _ in 0..LOOKED_AT / PAGE {
        let page = cx.all(store::clients::unchanged(tenant, &after, now, PAGE)).await?;
        let Some(last) = page.last() else {
            // From the beginning, next time.
            after.clear();
            break;
        };
        after.clone_from(&last.id);
        let ids: Vec<&str> = page.iter().map(|client| client.id.as_str()).collect();
        let last = cx.trail().all(store::events::last_tokens(tenant, serde_json::Value::from(ids).to_string())).await?;
        let last: HashMap<String, i64> = last.into_iter().collect();
        for client in page {
            let idle = client.days.saturating_mul(DAY_MILLIS);
            let used = last.get(&client.id).copied().unwrap_or_default();
            if used.saturating_add(idle) <= now.saturating_mul(1_000) {
                found.push(client);
            }
        }
        if found.len() >= SUSPENDED {
            found.truncate(SUSPENDED);
            after = found.last().map(|client| client.id.clone()).unwrap_or_default();
            break;
        }
    }
    if after != began {
        cx.run(vec![store::tenants::look_at_client(tenant, &after)]).await?;
    }
    Ok(found)
}

async fn suspend(cx: &Cx<'_>, (client, name): (&str, String), kind: EventType, guard: Sql) -> Result<()> {
    let facts = Facts { target: Some(client.to_owned()), target_name: Some(name), ..Facts::default() };
    let subjects = Subjects { client: Some(client), ..Subjects::default() };
    let change = Change::guard(guard)
        .invalidates(&ClientKey(client))
        .invalidates(&StatusListKey)
        .event(audit::event(cx, kind, None, facts))
        .signals(signals::session_revoked(cx, &subjects));
    cx.commit(change).await.map(drop)
}
