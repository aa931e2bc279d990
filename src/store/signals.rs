//! Event streams, and the signals that wait for their receivers.
//!
//! `not_before` is when a signal is pushed next; [`NEVER`] for one that its receiver fetches, or whose stream is paused.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::stream::Stream;
use crate::ports::Sql;

/// Later than any moment; what D1 carries at most.
pub const NEVER: i64 = 1 << 53;

macro_rules! columns {
    () => {
        "SELECT id, client, body, status, version FROM streams"
    };
}

/// A client's stream.
pub fn of(tenant: &str, client: &str) -> Query<Stream> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND client = ?2"), tenant, client)
}

/// Streams whose signals are pushed.
pub fn pushed_streams(tenant: &str, limit: i64) -> Query<Stream> {
    query!(
        read,
        concat!(
            columns!(),
            " WHERE tenant = ?1 AND json_extract(body, '$.delivery.method') = 'urn:ietf:rfc:8935' ORDER BY id LIMIT ?2"
        ),
        tenant,
        limit
    )
}

/// Makes a stream unless its client has one; the guard of a chain.
pub fn insert(tenant: &str, stream: &Stream, body: String, now: i64) -> Sql {
    sql!(
        "INSERT INTO streams (tenant, id, client, body, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5) \
         ON CONFLICT DO NOTHING",
        tenant,
        stream.id.as_str(),
        stream.client.as_str(),
        body,
        now
    )
}

/// Changes a stream that still has its version; the guard of a chain.
pub fn update(tenant: &str, stream: &Stream, body: String, now: i64) -> Sql {
    sql!(
        "UPDATE streams SET body = ?3, status = ?4, version = version + 1, updated_at = ?6 \
         WHERE tenant = ?1 AND id = ?2 AND version = ?5",
        tenant,
        stream.id.as_str(),
        body,
        stream.status.as_str(),
        stream.version,
        now
    )
}

/// Says when the signals of a stream are pushed next, as if none of them had been tried.
pub fn reschedule(tenant: &str, stream: &str, not_before: i64) -> Sql {
    sql!(
        "UPDATE signals SET attempts = 0, not_before = ?3 WHERE tenant = ?1 AND stream = ?2",
        tenant,
        stream,
        not_before
    )
}

/// Removes a stream; the guard of a chain.
pub fn delete(tenant: &str, stream: &str) -> Sql {
    sql!("DELETE FROM streams WHERE tenant = ?1 AND id = ?2", tenant, stream)
}

/// Removes the streams of clients that are not there any more.
pub fn delete_orphaned_streams(tenant: &str) -> Sql {
    sql!(
        "DELETE FROM streams WHERE tenant = ?1 \
         AND NOT EXISTS (SELECT 1 FROM clients c WHERE c.tenant = ?1 AND c.id = streams.client)",
        tenant
    )
}

/// Removes signals whose stream is gone or disabled. It steps from stream to stream: their signals are not looked at.
pub fn delete_orphaned_signals(tenant: &str) -> Sql {
    sql!(
        "WITH RECURSIVE found (stream) AS (SELECT min(stream) FROM signals WHERE tenant = ?1 UNION ALL \
         SELECT (SELECT min(stream) FROM signals WHERE tenant = ?1 AND stream > found.stream) FROM found \
         WHERE found.stream IS NOT NULL) \
         DELETE FROM signals WHERE tenant = ?1 AND stream IN (SELECT stream FROM found WHERE stream IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM streams t WHERE t.tenant = ?1 AND t.id = found.stream AND t.status <> 'disabled'))",
        tenant
    )
}

/// Leaves a signal in every stream of the tenant that carries such events and whose client is active, if the statement
/// before changed something.
pub fn broadcast(tenant: &str, id: &str, (event, body): (&str, String), now: i64) -> Sql {
    sql!(
        "INSERT INTO signals (tenant, stream, id, body, not_before, created_at) \
         SELECT ?1, t.id, ?2, ?4, CASE WHEN t.status = 'enabled' \
         AND json_extract(t.body, '$.delivery.method') = 'urn:ietf:rfc:8935' THEN ?5 ELSE ?6 END, ?5 \
         FROM streams t WHERE t.tenant = ?1 AND t.status <> 'disabled' AND changes() > 0 \
         AND (json_extract(t.body, '$.events_requested') IS NULL \
         OR EXISTS (SELECT 1 FROM json_each(t.body, '$.events_requested') WHERE value = ?3)) \
         AND EXISTS (SELECT 1 FROM clients c WHERE c.tenant = ?1 AND c.id = t.client AND c.status = 'active') \
         ON CONFLICT DO NOTHING",
        tenant,
        id,
        event,
        body,
        now,
        NEVER
    )
}

/// Leaves a signal in one stream, unless `most` wait there already.
pub fn insert_signal(tenant: &str, stream: &Stream, (id, body): (&str, String), now: i64, most: i64) -> Sql {
    sql!(
        "INSERT INTO signals (tenant, stream, id, body, not_before, created_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
         WHERE (SELECT count(*) FROM signals WHERE tenant = ?1 AND stream = ?2) < ?7",
        tenant,
        stream.id.as_str(),
        id,
        body,
        if stream.pushes() { now } else { NEVER },
        now,
        most
    )
}

macro_rules! can_be_pushed {
    () => {
        " FROM signals s CROSS JOIN streams t ON t.tenant = s.tenant AND t.id = s.stream \
         CROSS JOIN clients c ON c.tenant = t.tenant AND c.id = t.client \
         WHERE t.status = 'enabled' AND c.status = 'active' AND s.not_before <= ?1 AND s.attempts < ?2"
    };
}

/// Tenants with signals to push, those whose turn was longest ago first: one with many signals does not keep the others waiting.
pub fn tenants_due(now: i64, attempts: i64, limit: i64) -> Query<String> {
    query!(
        |row| row.text("id"),
        concat!(
            "SELECT id FROM tenants WHERE EXISTS (SELECT 1 FROM signals WHERE not_before <= ?1) AND EXISTS (SELECT 1",
            can_be_pushed!(),
            " AND s.tenant = tenants.id) ORDER BY pushed_at, id LIMIT ?3"
        ),
        now,
        attempts,
        limit
    )
}

/// Notes that it was a tenant's turn, in milliseconds.
pub fn take_turn(tenant: &str, now_millis: i64) -> Sql {
    sql!("UPDATE tenants SET pushed_at = ?2 WHERE id = ?1", tenant, now_millis)
}

/// Signals to push, those that are due for longest first, each with its stream.
pub fn due(tenant: &str, now: i64, attempts: i64, limit: i64) -> Query<(Stream, Signal)> {
    query!(
        |row| Ok((read(row)?, read_signal(row)?)),
        concat!(
            "SELECT s.stream, s.id AS signal, s.body AS claims, s.attempts, s.created_at, \
             t.id, t.client, t.body, t.status, t.version",
            can_be_pushed!(),
            " AND s.tenant = ?3 ORDER BY s.not_before LIMIT ?4"
        ),
        now,
        attempts,
        tenant,
        limit
    )
}

/// Claims the right to the next attempt, which is over by `not_before`.
pub fn claim(tenant: &str, (stream, id): (&str, &str), attempts: i64, not_before: i64) -> Sql {
    sql!(
        "UPDATE signals SET attempts = attempts + 1, not_before = ?5 \
         WHERE tenant = ?1 AND stream = ?2 AND id = ?3 AND attempts = ?4",
        tenant,
        stream,
        id,
        attempts,
        not_before
    )
}

/// The signals of a stream, the oldest first.
pub fn waiting(tenant: &str, stream: &str, limit: i64) -> Query<Signal> {
    query!(
        read_signal,
        "SELECT id AS signal, body AS claims, attempts, created_at FROM signals WHERE tenant = ?1 AND stream = ?2 \
         ORDER BY id LIMIT ?3",
        tenant,
        stream,
        limit
    )
}

/// Removes the signals of a stream that a JSON array names.
pub fn remove(tenant: &str, stream: &str, ids: String) -> Sql {
    sql!(
        "DELETE FROM signals WHERE tenant = ?1 AND stream = ?2 AND id IN (SELECT value FROM json_each(?3))",
        tenant,
        stream,
        ids
    )
}

/// How many signals of each stream have been tried too often, or waited too long.
pub fn count_stale(tenant: &str, (now, attempts, created_before): (i64, i64, i64)) -> Query<(String, i64)> {
    query!(
        |row| Ok((row.text("stream")?, row.int("n")?)),
        "SELECT stream, count(*) AS n FROM (\
         SELECT stream, id FROM signals WHERE tenant = ?1 AND not_before <= ?2 AND attempts >= ?3 UNION \
         SELECT stream, id FROM signals WHERE tenant = ?1 AND created_at < ?4) GROUP BY stream",
        tenant,
        now,
        attempts,
        created_before
    )
}

/// Removes those of one stream; the guard of a chain.
pub fn drop_stale(tenant: &str, stream: &str, (now, attempts, created_before): (i64, i64, i64)) -> Sql {
    sql!(
        "DELETE FROM signals WHERE tenant = ?1 AND stream = ?2 \
         AND ((attempts >= ?4 AND not_before <= ?3) OR created_at < ?5)",
        tenant,
        stream,
        now,
        attempts,
        created_before
    )
}

/// A signal that waits.
pub struct Signal {
    /// Its `jti`.
    pub id: String,
    /// Its claims but those that every signal has.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// How often it was pushed.
    pub attempts: i64,
    /// Its `iat`.
    pub created_at: i64,
}

/// Reads a stream.
fn read(row: &Reader<'_>) -> Result<Stream> {
    Ok(Stream {
        id: row.text("id")?,
        client: row.text("client")?,
        body: row.json("body")?,
        status: row.name("status")?,
        version: row.int("version")?,
    })
}

/// Reads a signal.
fn read_signal(row: &Reader<'_>) -> Result<Signal> {
    Ok(Signal {
        id: row.text("signal")?,
        claims: row.json("claims")?,
        attempts: row.int("attempts")?,
        created_at: row.int("created_at")?,
    })
}
