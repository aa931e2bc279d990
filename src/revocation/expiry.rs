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
use crate::context::Cx;
use crate::error::Result;
use crate::model::EventType;
use crate::model::event::Facts;
use crate::ports::Sql;
use crate::revocation::signals::{self, Subjects};
use crate::store::{self, Reader};

/// How many clients of a tenant one run suspends at most, of either kind.
const SUSPENDED: i64 = 10;

/// Suspends one client of a tenant, if there is reason to at that second.
type Guard = fn(&str, &str, i64) -> Sql;

/// Suspends what has expired and what is not used.
pub async fn tick(cx: &Cx<'_>) -> Result<()> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let statements =
        vec![store::clients::expired(tenant, now, SUSPENDED), store::clients::unused(tenant, now, SUSPENDED)];
    let outcomes = cx.batch(statements).await?;
    let kinds: [(EventType, Guard); 2] = [
        (EventType::ClientExpired, store::clients::suspend_expired),
        (EventType::ClientUnused, store::clients::suspend_unused),
    ];
    for (outcome, (kind, guard)) in outcomes.iter().zip(kinds) {
        for row in &outcome.rows {
            let client = Reader(row).text("id")?;
            let facts = Facts { target: Some(client.clone()), ..Facts::default() };
            let event = audit::event(cx, kind, None, facts);
            let subjects = Subjects { client: Some(&client), ..Subjects::default() };
            cx.commit(vec![guard(tenant, &client, now)], &event, signals::session_revoked(cx, &subjects)).await?;
        }
    }
    Ok(())
}
