//! The log of a tenant: indices, tiles and checkpoints in `AUDIT_DB`, the key that signs them in `DB`.
//!
//! 1. An event and its index are one transaction: the rows of [`keep`] take the next indices, and [`grow`] counts them. So no index is
//!    left out, and none is given twice. The count never falls behind the events, whoever has changed it: else no event could be kept.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::ports::Sql;

/// Begins the log of a tenant, unless it is there or the tenant was deleted.
pub fn begin(tenant: &str) -> Sql {
    sql!(
        "INSERT INTO logs (tenant) SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM former_tenants WHERE id = ?1) ON CONFLICT DO NOTHING",
        tenant
    )
}

/// Keeps events of a tenant under the next indices, unless it was deleted; one that is there already stays as it is. `rows` is a JSON array
/// of arrays: id, moment, type, client, subject, whether something was refused, body, target, salt, entry. No id comes twice in it.
pub fn keep(tenant: &str, rows: String) -> Sql {
    sql!(
        "INSERT INTO events (tenant, id, at, type, client, subject, refused, body, target, salt, entry, seq) \
         SELECT ?1, r.value ->> 0, r.value ->> 1, r.value ->> 2, r.value ->> 3, r.value ->> 4, r.value ->> 5, r.value ->> 6, \
         r.value ->> 7, r.value ->> 8, r.value ->> 9, \
         max((SELECT size FROM logs WHERE tenant = ?1), \
         coalesce((SELECT max(seq) + 1 FROM events WHERE tenant = ?1 AND seq IS NOT NULL), 0)) \
         + row_number() OVER () - 1 FROM json_each(?2) r \
         WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.tenant = ?1 AND e.id = r.value ->> 0) \
         AND NOT EXISTS (SELECT 1 FROM former_tenants WHERE id = ?1)",
        tenant,
        rows
    )
}

/// How many of these events, a JSON array of ids, are kept.
pub fn count_kept(tenant: &str, ids: String) -> Query<i64> {
    query!(
        |row| row.int("n"),
        "SELECT count(*) AS n FROM json_each(?2) r CROSS JOIN events e ON e.tenant = ?1 AND e.id = r.value",
        tenant,
        ids
    )
}

/// How many of these events have these entries, and an index: `entries` is a JSON array of arrays, id and entry.
pub fn count_entries(tenant: &str, entries: String) -> Query<i64> {
    query!(
        |row| row.int("n"),
        "SELECT count(*) AS n FROM json_each(?2) k CROSS JOIN events e ON e.tenant = ?1 AND e.id = k.value ->> 0 \
         WHERE e.entry = k.value ->> 1 AND e.seq >= 0",
        tenant,
        entries
    )
}

/// Gives kept events that have no index the next ones, if the log still has that size: nothing was given an index since they were read. `rows`
/// is a JSON object: by id the place among them, salt and entry.
pub fn place(tenant: &str, size: i64, rows: String) -> Sql {
    sql!(
        "UPDATE events SET seq = ?2 + (?3 -> id ->> 0), salt = ?3 -> id ->> 1, entry = ?3 -> id ->> 2 \
         WHERE tenant = ?1 AND id IN (SELECT key FROM json_each(?3)) AND seq IS NULL \
         AND EXISTS (SELECT 1 FROM logs WHERE tenant = ?1 AND size = ?2)",
        tenant,
        size,
        rows
    )
}

/// Counts the events that have an index.
pub fn grow(tenant: &str) -> Sql {
    sql!(
        "UPDATE logs SET size = (SELECT max(seq) + 1 FROM events WHERE tenant = ?1 AND seq IS NOT NULL) WHERE tenant = ?1 \
         AND size < (SELECT max(seq) + 1 FROM events WHERE tenant = ?1 AND seq IS NOT NULL)",
        tenant
    )
}

/// Events of a tenant without an index, the oldest first: id and body.
pub fn unplaced(tenant: &str, limit: i64) -> Query<(String, String)> {
    query!(
        |row| Ok((row.text("id")?, row.text("body")?)),
        "SELECT id, body FROM events INDEXED BY events_without_seq WHERE tenant = ?1 AND seq IS NULL ORDER BY id LIMIT ?2",
        tenant,
        limit
    )
}

/// A log.
#[derive(Clone)]
pub struct Head {
    /// How many events have an index.
    pub size: i64,
    /// How many of them the newest checkpoint covers.
    pub signed: i64,
    /// The partial tiles of that size.
    pub edge: String,
    /// The newest checkpoint; empty before the first one.
    pub checkpoint: String,
}

/// The log of a tenant, if it has begun.
pub fn head(tenant: &str) -> Query<Head> {
    query!(
        |row| {
            Ok(Head {
                size: row.int("size")?,
                signed: row.int("signed")?,
                edge: row.text("edge")?,
                checkpoint: row.text("checkpoint")?,
            })
        },
        "SELECT size, signed, edge, checkpoint FROM logs WHERE tenant = ?1",
        tenant
    )
}

/// The first entries that no checkpoint covers, in their order: index and entry.
pub fn unsigned(tenant: &str, limit: i64) -> Query<(i64, String)> {
    query!(
        |row| Ok((row.int("seq")?, row.text("entry")?)),
        "SELECT seq, entry FROM events WHERE tenant = ?1 AND seq >= (SELECT signed FROM logs WHERE tenant = ?1) \
         ORDER BY seq LIMIT ?2",
        tenant,
        limit
    )
}

/// Entries from an index on, in their order: index and entry.
pub fn entries(tenant: &str, from: i64, limit: i64) -> Query<(i64, String)> {
    query!(
        |row| Ok((row.int("seq")?, row.text("entry")?)),
        "SELECT seq, entry FROM events WHERE tenant = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3",
        tenant,
        from,
        limit
    )
}

/// An index that an event has, and the log has not.
pub fn outside(tenant: &str) -> Query<i64> {
    query!(
        |row| row.int("seq"),
        "SELECT seq FROM (SELECT max(seq) AS seq FROM events WHERE tenant = ?1 AND seq < 0 UNION ALL \
         SELECT max(seq) FROM events WHERE tenant = ?1 AND seq >= coalesce((SELECT size FROM logs WHERE tenant = ?1), 0)) \
         WHERE seq IS NOT NULL LIMIT 1",
        tenant
    )
}

/// When the first event happened that no checkpoint covers, in milliseconds.
pub fn waiting_since(tenant: &str) -> Query<i64> {
    query!(
        |row| row.int("at"),
        "SELECT at FROM events WHERE tenant = ?1 AND seq >= coalesce((SELECT signed FROM logs WHERE tenant = ?1), 0) \
         ORDER BY seq LIMIT 1",
        tenant
    )
}

/// Moves a log on from one checkpoint to the next; the guard of a chain.
pub fn sign(tenant: &str, from: i64, head: &Head, now: i64) -> Sql {
    sql!(
        "UPDATE logs SET signed = ?3, edge = ?4, checkpoint = ?5, signed_at = ?6 WHERE tenant = ?1 AND signed = ?2 AND size >= ?3",
        tenant,
        from,
        head.signed,
        head.edge.as_str(),
        head.checkpoint.as_str(),
        now
    )
}

/// Keeps a full tile if the statement before changed something. One that is there already, ahead of its time, is none of ours.
pub fn add_tile(tenant: &str, level: u32, n: i64, content: &str) -> Sql {
    sql!(
        "INSERT INTO tiles (tenant, level, n, content) SELECT ?1, ?2, ?3, ?4 WHERE changes() > 0 \
         ON CONFLICT (tenant, level, n) DO UPDATE SET content = excluded.content",
        tenant,
        i64::from(level),
        n,
        content
    )
}

/// Full tiles: `places` is a JSON array of arrays, level and index.
pub fn tiles(tenant: &str, places: String) -> Query<(i64, i64, String)> {
    query!(
        |row| Ok((row.int("level")?, row.int("n")?, row.text("content")?)),
        "SELECT t.level, t.n, t.content FROM json_each(?2) p CROSS JOIN tiles t \
         WHERE t.tenant = ?1 AND t.level = p.value ->> 0 AND t.n = p.value ->> 1",
        tenant,
        places
    )
}

/// Tenants whose newest events no checkpoint covers yet, the one that was tried longest ago first.
pub fn behind(limit: i64) -> Query<String> {
    query!(
        |row| row.text("tenant"),
        "SELECT tenant FROM logs INDEXED BY logs_behind WHERE signed < size ORDER BY tried_at, tenant LIMIT ?1",
        limit
    )
}

/// Notes that a tenant has had its turn.
pub fn take_turn(tenant: &str, millis: i64) -> Sql {
    sql!("UPDATE logs SET tried_at = ?2 WHERE tenant = ?1", tenant, millis)
}

/// An event with its place in the log.
pub struct Placed {
    /// Its index, once it has one.
    pub seq: Option<i64>,
    /// What salts its members.
    pub salt: Option<String>,
    /// Its JSON.
    pub body: String,
}

fn read_placed(row: &Reader<'_>) -> Result<Placed> {
    Ok(Placed { seq: row.optional_int("seq"), salt: row.optional_text("salt"), body: row.text("body")? })
}

/// An event by its id.
pub fn event(tenant: &str, id: &str) -> Query<Placed> {
    query!(read_placed, "SELECT seq, salt, body FROM events WHERE tenant = ?1 AND id = ?2", tenant, id)
}

/// The event of the token with that digest of its `jti`.
pub fn event_of_token(tenant: &str, jti_hash: &str) -> Query<Placed> {
    query!(
        read_placed,
        "SELECT seq, salt, body FROM events INDEXED BY events_by_jti \
         WHERE tenant = ?1 AND body ->> '$.jti_hash' = ?2 AND type = 'token.issued' LIMIT 1",
        tenant,
        jti_hash
    )
}

/// The columns by which an event is found.
#[derive(Debug, PartialEq, Eq)]
pub struct Columns {
    /// The id.
    pub id: String,
    /// When it happened, in milliseconds.
    pub at: i64,
    /// The type.
    pub kind: String,
    /// The client that acted.
    pub client: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// Whether something was refused.
    pub refused: bool,
    /// The record that it is about.
    pub target: Option<String>,
}

/// An event as it is stored.
pub struct Stored {
    /// Its place in the log, and its JSON.
    pub placed: Placed,
    /// By what it is found.
    pub columns: Columns,
}

fn read_stored(row: &Reader<'_>) -> Result<Stored> {
    let columns = Columns {
        id: row.text("id")?,
        at: row.int("at")?,
        kind: row.text("type")?,
        client: row.optional_text("client"),
        subject: row.optional_text("subject"),
        refused: row.int("refused")? != 0,
        target: row.optional_text("target"),
    };
    Ok(Stored { placed: read_placed(row)?, columns })
}

/// Events from one index on to before another.
pub fn between(tenant: &str, from: i64, to: i64) -> Query<Stored> {
    query!(
        read_stored,
        "SELECT seq, salt, body, id, at, type, client, subject, refused, target FROM events \
         WHERE tenant = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq",
        tenant,
        from,
        to
    )
}

/// The key of a log.
pub struct StoredKey {
    /// The public key.
    pub jwk: String,
    /// Sealed PKCS#8.
    pub sealed: String,
}

/// The key of a tenant's log.
pub fn key(tenant: &str) -> Query<StoredKey> {
    query!(
        |row| Ok(StoredKey { jwk: row.text("jwk")?, sealed: row.text("sealed")? }),
        "SELECT jwk, sealed FROM log_keys WHERE tenant = ?1",
        tenant
    )
}

/// Keeps a new key, unless there is one or the tenant was deleted.
pub fn insert_key(tenant: &str, key: &StoredKey, now: i64) -> Sql {
    sql!(
        "INSERT INTO log_keys (tenant, jwk, sealed, created_at) SELECT ?1, ?2, ?3, ?4 \
         WHERE NOT EXISTS (SELECT 1 FROM former_tenants WHERE id = ?1) ON CONFLICT DO NOTHING",
        tenant,
        key.jwk.as_str(),
        key.sealed.as_str(),
        now
    )
}

/// Seals a key anew, if nothing else has meanwhile.
pub fn reseal_key(tenant: &str, old: &str, new: &str) -> Sql {
    sql!("UPDATE log_keys SET sealed = ?3 WHERE tenant = ?1 AND sealed = ?2", tenant, old, new)
}

/// What is noted of a log where its own database cannot change it.
#[derive(Default)]
pub struct Watch {
    /// The size of the newest checkpoint that was signed.
    pub seen_size: i64,
    /// The root of that.
    pub seen_root: String,
    /// Up to which index the cron has checked.
    pub checked: i64,
    /// Up to which day events were forgotten, as days since 1970.
    pub forgotten: i64,
}

/// What is noted of a tenant's log.
pub fn watch(tenant: &str) -> Query<Watch> {
    query!(
        |row| {
            Ok(Watch {
                seen_size: row.int("seen_size")?,
                seen_root: row.text("seen_root")?,
                checked: row.int("checked")?,
                forgotten: row.int("forgotten")?,
            })
        },
        "SELECT seen_size, seen_root, checked, forgotten FROM log_keys WHERE tenant = ?1",
        tenant
    )
}

/// Notes size and root of a checkpoint that this key has signed, unless another was noted since `before` was read.
pub fn note(tenant: &str, before: &Watch, (size, root): (i64, &str), jwk: &str) -> Sql {
    sql!(
        "UPDATE log_keys SET seen_size = ?4, seen_root = ?5 WHERE tenant = ?1 AND seen_size = ?2 AND seen_root = ?3 AND jwk = ?6",
        tenant,
        before.seen_size,
        before.seen_root.as_str(),
        size,
        root,
        jwk
    )
}

/// Notes up to which index the cron has checked, unless another has meanwhile.
pub fn go_on(tenant: &str, from: i64, to: i64) -> Sql {
    sql!("UPDATE log_keys SET checked = ?3 WHERE tenant = ?1 AND checked = ?2", tenant, from, to)
}

/// Notes that events up to that day may be gone. It is noted before they go.
pub fn forget(tenant: &str, day: i64) -> Sql {
    sql!("UPDATE log_keys SET forgotten = ?2 WHERE tenant = ?1 AND forgotten < ?2", tenant, day)
}
