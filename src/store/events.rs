//! Events: the outbox on the way out, the table at the other end, and dead letters.

use super::{Reader, sql};
use crate::error::Result;
use crate::model::Event;
use crate::ports::Sql;

/// Puts an event into the outbox.
pub fn stage(id: &str, body: String) -> Sql {
    sql!("INSERT INTO outbox (id, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING", id, body)
}

/// Puts an event into the outbox if the statement before changed something.
pub fn stage_if_changed(id: &str, body: String) -> Sql {
    sql!("INSERT INTO outbox (id, body) SELECT ?1, ?2 WHERE changes() > 0 ON CONFLICT DO NOTHING", id, body)
}

/// The oldest events in the outbox.
pub fn staged(limit: i64) -> Sql {
    sql!("SELECT id, body FROM outbox ORDER BY id LIMIT ?1", limit)
}

/// Takes an event out of the outbox once the queue has it.
pub fn unstage(id: &str) -> Sql {
    sql!("DELETE FROM outbox WHERE id = ?1", id)
}

/// Keeps an event; a second delivery changes nothing.
pub fn keep(event: &Event, body: String) -> Sql {
    sql!(
        "INSERT INTO events (tenant, id, at, type, client, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        event.tenant.as_str(),
        event.id.as_str(),
        i64::try_from(event.at).unwrap_or(i64::MAX),
        event.kind.as_str(),
        event.client.as_deref(),
        body
    )
}

/// Keeps what no consumer could; a second delivery changes nothing.
pub fn bury(id: &str, body: String, now: i64) -> Sql {
    sql!("INSERT INTO dead_letters (id, body, received_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", id, body, now)
}

/// How many dead letters there are.
pub fn count_dead() -> Sql {
    sql!("SELECT count(*) AS n FROM dead_letters")
}

/// What a query for events may ask.
#[derive(Default)]
pub struct Query {
    /// Of this client.
    pub client: Option<String>,
    /// Of this type.
    pub kind: Option<String>,
    /// Of this decision.
    pub decision: Option<String>,
    /// From this millisecond on.
    pub since: Option<i64>,
    /// Before this millisecond.
    pub until: Option<i64>,
    /// Older than this event.
    pub before: Option<String>,
}

/// Events, newest first.
pub fn query(tenant: &str, query: &Query, limit: i64) -> Sql {
    sql!(
        "SELECT body FROM events WHERE tenant = ?1 AND (?2 IS NULL OR client = ?2) AND (?3 IS NULL OR type = ?3) \
         AND (?4 IS NULL OR id = ?4) AND (?5 IS NULL OR at >= ?5) AND (?6 IS NULL OR at < ?6) \
         AND (?7 IS NULL OR id < ?7) ORDER BY id DESC LIMIT ?8",
        tenant,
        query.client.as_deref(),
        query.kind.as_deref(),
        query.decision.as_deref(),
        query.since,
        query.until,
        query.before.as_deref(),
        limit
    )
}

/// Reads the body of an event as it was recorded.
pub fn read(row: &Reader<'_>) -> Result<serde_json::Value> {
    row.json("body")
}
