//! Sinks, in `DB`; how far each has come, in `AUDIT_DB`.
//!
//! 1. Whoever sends holds a claim, which its nonce fences: a claim that has run out, or whose sink was changed meanwhile, writes nothing.
//! 2. `not_before` says when a sink may be claimed: while it is claimed, when the claim has run out.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::id::first_at;
use crate::model::sink::{MAX_SIZE, Sink, SinkState};
use crate::ports::Sql;

macro_rules! columns {
    () => {
        "SELECT id, body, sealed, run, start, version, created_at, updated_at FROM sinks WHERE tenant = ?1 AND "
    };
}

/// The sink of that id.
pub fn get(tenant: &str, id: &str) -> Query<Sink> {
    query!(read, concat!(columns!(), "id = ?2"), tenant, id)
}

/// Sinks after `after`, by id.
pub fn list(tenant: &str, after: &str, limit: i64) -> Query<Sink> {
    query!(read, concat!(columns!(), "id > ?2 ORDER BY id LIMIT ?3"), tenant, after, limit)
}

/// The sinks of these tenants, a JSON array of ids, each with its tenant.
pub fn of_tenants(tenants: String) -> Query<(String, Sink)> {
    query!(
        |row| Ok((row.text("tenant")?, read(row)?)),
        "SELECT s.tenant, s.id, s.body, s.sealed, s.run, s.start, s.version, s.created_at, s.updated_at \
         FROM json_each(?1) t CROSS JOIN sinks s ON s.tenant = t.value",
        tenants
    )
}

/// Makes a sink, unless the tenant has `most` already; the guard of a chain.
pub fn insert(tenant: &str, sink: &Sink, body: String, most: i64) -> Sql {
    sql!(
        "INSERT INTO sinks (tenant, id, body, sealed, start, created_at, updated_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?6 \
         WHERE (SELECT count(*) FROM sinks WHERE tenant = ?1) < ?7",
        tenant,
        sink.id.as_str(),
        body,
        sink.sealed.as_str(),
        sink.start,
        sink.created_at,
        most
    )
}

/// Changes a sink that still has its version; the guard of a chain.
pub fn update(tenant: &str, sink: &Sink, body: String, now: i64) -> Sql {
    sql!(
        "UPDATE sinks SET body = ?4, sealed = ?5, version = version + 1, updated_at = ?6 \
         WHERE tenant = ?1 AND id = ?2 AND version = ?3",
        tenant,
        sink.id.as_str(),
        sink.version,
        body,
        sink.sealed.as_str(),
        now
    )
}

/// Has a sink sent from after `start` on; the guard of a chain.
pub fn replay(tenant: &str, id: &str, start: i64) -> Sql {
    sql!("UPDATE sinks SET run = run + 1, start = ?3 WHERE tenant = ?1 AND id = ?2", tenant, id, start)
}

/// Keeps what was sealed anew, if it still is as it was.
pub fn reseal(tenant: &str, id: &str, old: &str, new: &str) -> Sql {
    sql!("UPDATE sinks SET sealed = ?4 WHERE tenant = ?1 AND id = ?2 AND sealed = ?3", tenant, id, old, new)
}

/// Removes a sink that still has its version; the guard of a chain.
pub fn delete(tenant: &str, id: &str, version: i64) -> Sql {
    sql!("DELETE FROM sinks WHERE tenant = ?1 AND id = ?2 AND version = ?3", tenant, id, version)
}

/// Notes that there may be events for a sink; where it is new, or was changed or set back, also that. It never
/// begins behind events that are still to come. Where it begins is looked for only where it begins: that walks over events.
pub fn wake(tenant: &str, sink: &Sink) -> Sql {
    sql!(
        "INSERT INTO sink_states (tenant, sink, run, version, position, size, waits) VALUES (?1, ?2, ?3, ?4, \
         CASE WHEN EXISTS (SELECT 1 FROM sink_states WHERE tenant = ?1 AND sink = ?2 AND run >= ?3) THEN 0 ELSE min(coalesce(?5, \
         (SELECT min(seq) - 1 FROM (SELECT seq FROM events WHERE tenant = ?1 AND id >= ?6 AND seq >= 0 ORDER BY id LIMIT 1000)), 9007199254740991), \
         coalesce((SELECT max(seq) FROM events WHERE tenant = ?1 AND seq >= 0), -1)) END, ?7, 1) \
         ON CONFLICT (tenant, sink) DO UPDATE SET waits = 1, claim = NULL, attempts = 0, size = excluded.size, \
         not_before = CASE WHEN excluded.run > sink_states.run OR excluded.version > sink_states.version THEN 0 ELSE sink_states.not_before END, \
         position = CASE WHEN excluded.run > sink_states.run THEN excluded.position ELSE sink_states.position END, \
         missed = CASE WHEN excluded.run > sink_states.run THEN 0 ELSE sink_states.missed END, \
         run = excluded.run, version = excluded.version \
         WHERE (excluded.run >= sink_states.run AND excluded.version >= sink_states.version) AND \
         (sink_states.waits = 0 OR excluded.run > sink_states.run OR excluded.version > sink_states.version)",
        tenant,
        sink.id.as_str(),
        sink.run,
        sink.version,
        sink.start,
        first_at(sink.created_at.saturating_mul(1_000)),
        MAX_SIZE
    )
}

/// Sinks for which there may be events, those that have waited for longest first: tenant and id.
pub fn due(now_millis: i64, limit: i64) -> Query<(String, String)> {
    query!(
        |row| Ok((row.text("tenant")?, row.text("sink")?)),
        "SELECT tenant, sink FROM sink_states INDEXED BY sink_states_due WHERE waits = 1 AND not_before <= ?1 \
         ORDER BY not_before, tenant, sink LIMIT ?2",
        now_millis,
        limit
    )
}

/// A claim of the right to send.
#[derive(Clone, Copy)]
pub struct SinkClaim<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The sink.
    pub sink: &'a str,
    /// What tells the claim from others.
    pub nonce: &'a str,
}

/// Claims the right to send until a moment.
pub fn claim(SinkClaim { tenant, sink, nonce }: SinkClaim<'_>, now_millis: i64, until_millis: i64) -> Sql {
    sql!(
        "UPDATE sink_states SET claim = ?3, not_before = ?5 WHERE tenant = ?1 AND sink = ?2 AND waits = 1 AND not_before <= ?4",
        tenant,
        sink,
        nonce,
        now_millis,
        until_millis
    )
}

/// How far a sink has come.
pub fn state(tenant: &str, sink: &str) -> Query<SinkState> {
    query!(
        read_state,
        "SELECT run, position, size, attempts, not_before, failing_since, outcome, taken, taken_at, missed FROM sink_states \
         WHERE tenant = ?1 AND sink = ?2",
        tenant,
        sink
    )
}

/// What a step forward is.
pub struct Step {
    /// The sequence number of the last event of the batch.
    pub position: i64,
    /// How many of them were sent.
    pub sent: i64,
    /// How many were forgotten before it.
    pub missed: i64,
    /// How many events the next batch has at most.
    pub size: i64,
}

/// What a sink has before it.
pub struct Lag {
    /// The newest sequence number of the tenant; -1 while there is none.
    pub head: i64,
    /// When the first event happened that the sink has not taken, in milliseconds.
    pub next_at: Option<i64>,
}

/// What a sink at that position has before it.
pub fn lag(tenant: &str, position: i64) -> Query<Lag> {
    query!(
        |row| Ok(Lag { head: row.optional_int("head").unwrap_or(-1), next_at: row.optional_int("next_at") }),
        "SELECT (SELECT max(seq) FROM events WHERE tenant = ?1 AND seq >= 0) AS head, \
         (SELECT at FROM events WHERE tenant = ?1 AND seq > ?2 ORDER BY seq LIMIT 1) AS next_at",
        tenant,
        position
    )
}

/// Moves a sink on. No row where the claim does not hold any more.
pub fn advance(
    SinkClaim { tenant, sink, nonce }: SinkClaim<'_>,
    Step { position, sent, missed, size }: &Step,
    now: i64,
) -> Sql {
    sql!(
        "UPDATE sink_states SET position = ?4, taken = taken + ?5, missed = missed + ?6, size = ?7, attempts = 0, failing_since = NULL, \
         outcome = NULL, taken_at = CASE WHEN ?5 > 0 THEN ?8 ELSE taken_at END WHERE tenant = ?1 AND sink = ?2 AND claim = ?3",
        tenant,
        sink,
        nonce,
        *position,
        *sent,
        *missed,
        *size,
        now
    )
}

/// Gives the claim back: the next one may have it now.
pub fn release(SinkClaim { tenant, sink, nonce }: SinkClaim<'_>, now_millis: i64) -> Sql {
    sql!(
        "UPDATE sink_states SET claim = NULL, not_before = ?4, waits = \
         EXISTS (SELECT 1 FROM events WHERE tenant = ?1 AND seq > sink_states.position) \
         WHERE tenant = ?1 AND sink = ?2 AND claim = ?3",
        tenant,
        sink,
        nonce,
        now_millis
    )
}

/// What has failed, and when it is tried again.
pub struct Failed<'a> {
    /// What came of it.
    pub outcome: &'a str,
    /// The moment, in milliseconds.
    pub now: i64,
    /// When the next attempt is, in milliseconds.
    pub not_before: i64,
    /// How many events it has at most.
    pub size: i64,
}

/// Gives the claim back after an attempt in vain. No row where the claim does not hold any more.
pub fn fail(
    SinkClaim { tenant, sink, nonce }: SinkClaim<'_>,
    Failed { outcome, now, not_before, size }: &Failed<'_>,
) -> Sql {
    sql!(
        "UPDATE sink_states SET claim = NULL, attempts = attempts + 1, outcome = ?4, failing_since = coalesce(failing_since, ?5), \
         not_before = ?6, size = ?7 WHERE tenant = ?1 AND sink = ?2 AND claim = ?3",
        tenant,
        sink,
        nonce,
        *outcome,
        *now,
        *not_before,
        *size
    )
}

/// Sends nothing more to a sink until it is woken: it is disabled.
pub fn rest(SinkClaim { tenant, sink, nonce }: SinkClaim<'_>) -> Sql {
    sql!(
        "UPDATE sink_states SET claim = NULL, waits = 0 WHERE tenant = ?1 AND sink = ?2 AND claim = ?3",
        tenant,
        sink,
        nonce
    )
}

/// Forgets how far a sink has come that is gone.
pub fn forget(tenant: &str, sink: &str) -> Sql {
    sql!("DELETE FROM sink_states WHERE tenant = ?1 AND sink = ?2", tenant, sink)
}

fn read(row: &Reader<'_>) -> Result<Sink> {
    Ok(Sink {
        id: row.text("id")?,
        body: row.json("body")?,
        sealed: row.text("sealed")?,
        run: row.int("run")?,
        start: row.optional_int("start"),
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}

fn read_state(row: &Reader<'_>) -> Result<SinkState> {
    Ok(SinkState {
        run: row.int("run")?,
        position: row.int("position")?,
        size: row.int("size")?,
        attempts: row.int("attempts")?,
        not_before: row.int("not_before")?,
        failing_since: row.optional_int("failing_since"),
        outcome: row.optional_text("outcome"),
        taken: row.int("taken")?,
        taken_at: row.optional_int("taken_at"),
        missed: row.int("missed")?,
    })
}
