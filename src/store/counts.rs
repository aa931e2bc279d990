//! How many events there were in each hour: kept beside the trail, so that a chart of a year does not read a year of events.
//!
//! 1. Events are counted by their sequence numbers, once: the statements of [`count`] hold while the count has come as far as its caller knows, and move it on.
//! 2. An hour has a row for each type, and one for each client. Refusals of what a client has proved to be its own have one of their own (`denied`): whoever knows the id of a client, uses a
//!    public one, or holds a token of it as a resource server can have others recorded.

use super::{Query, query, sql};
use crate::model::event::UNPROVED;
use crate::ports::Sql;

/// What counts are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The type.
    Kind,
    /// The client that acted.
    Client,
    /// Whether something was refused.
    Outcome,
}

/// Buckets of time, in seconds.
pub struct Period {
    /// From this moment on.
    pub since: i64,
    /// Before this moment.
    pub until: i64,
    /// How long a bucket is.
    pub length: i64,
}

/// How far the counts of a tenant have come, and how far its trail has: sequence numbers.
pub fn progress(tenant: &str) -> Query<(i64, i64)> {
    query!(
        |row| Ok((row.int("counted")?, row.int("head")?)),
        "SELECT coalesce((SELECT counted FROM counted_events WHERE tenant = ?1), -1) AS counted, \
         coalesce((SELECT max(seq) FROM events WHERE tenant = ?1 AND seq >= 0), -1) AS head",
        tenant
    )
}

macro_rules! count_by {
    ($dimension:literal, $key:literal) => {
        concat!(
            "INSERT INTO event_counts (tenant, dimension, hour, key, count, refused) SELECT ?1, '",
            $dimension,
            "', at / 3600000, ",
            $key,
            ", count(*), sum(refused) FROM events INDEXED BY events_by_seq WHERE tenant = ?1 AND seq > ?2 AND seq <= ?3 \
             AND EXISTS (SELECT 1 FROM counted_events WHERE tenant = ?1 AND counted = ?2) GROUP BY 3, 4 \
             ON CONFLICT (tenant, dimension, hour, key) DO UPDATE SET count = count + excluded.count, refused = refused + excluded.refused"
        )
    };
}

/// Refusals of a client whose sender has proved something.
const COUNT_DENIED: &str = "INSERT INTO event_counts (tenant, dimension, hour, key, count, refused) SELECT ?1, 'denied', at / 3600000, client, \
     count(*), count(*) FROM events INDEXED BY events_by_seq WHERE tenant = ?1 AND seq > ?2 AND seq <= ?3 AND refused = 1 AND client IS NOT NULL \
     AND coalesce(body ->> '$.auth_method', '') NOT IN ('unproved', 'none') AND body ->> '$.resource_server' IS NULL \
     AND EXISTS (SELECT 1 FROM counted_events WHERE tenant = ?1 AND counted = ?2) GROUP BY 3, 4 \
     ON CONFLICT (tenant, dimension, hour, key) DO UPDATE SET count = count + excluded.count, refused = refused + excluded.refused";

/// Counts the events after `from` up to `to`, if nobody has: one transaction.
pub fn count(tenant: &str, from: i64, to: i64) -> Vec<Sql> {
    debug_assert_eq!(UNPROVED, "unproved", "a statement names it");
    vec![
        sql!(
            "INSERT INTO counted_events (tenant, counted) SELECT ?1, -1 WHERE NOT EXISTS (SELECT 1 FROM former_tenants WHERE id = ?1) \
             ON CONFLICT DO NOTHING",
            tenant
        ),
        sql!(count_by!("type", "type"), tenant, from, to),
        sql!(count_by!("client", "coalesce(client, '')"), tenant, from, to),
        sql!(COUNT_DENIED, tenant, from, to),
        sql!("UPDATE counted_events SET counted = ?3 WHERE tenant = ?1 AND counted = ?2", tenant, from, to),
    ]
}

/// A bucket: its first moment in seconds, its key, how many events, and how many of them refused something.
pub type Bucket = (i64, Option<String>, i64, i64);

macro_rules! buckets {
    ($dimension:literal, $key:literal) => {
        concat!(
            "WITH found AS (SELECT hour, key, count, refused FROM event_counts WHERE tenant = ?1 AND dimension = '",
            $dimension,
            "' AND hour >= ?2 / 3600 AND hour < ?3 / 3600), \
             most AS (SELECT key FROM found GROUP BY key ORDER BY sum(count) DESC, key LIMIT 10) \
             SELECT hour * 3600 / CAST(?4 AS INTEGER) * CAST(?4 AS INTEGER) AS at, ",
            $key,
            " AS key, sum(count) AS count, sum(refused) AS refused FROM found GROUP BY 1, 2 ORDER BY 1, 2"
        )
    };
}

/// The counts of a period.
pub fn of(tenant: &str, Period { since, until, length }: &Period, by: By) -> Query<Bucket> {
    let text = match by {
        By::Kind => buckets!("type", "CASE WHEN key IN (SELECT key FROM most) THEN key END"),
        By::Client => buckets!("client", "CASE WHEN key IN (SELECT key FROM most WHERE key <> '') THEN key END"),
        By::Outcome => {
            "WITH found AS (SELECT hour * 3600 / CAST(?4 AS INTEGER) * CAST(?4 AS INTEGER) AS at, count, refused FROM event_counts WHERE tenant = ?1 AND dimension = 'type' \
             AND hour >= ?2 / 3600 AND hour < ?3 / 3600) SELECT at, NULL AS key, sum(count) AS count, sum(refused) AS refused \
             FROM found GROUP BY at ORDER BY at"
        }
    };
    query!(
        |row| Ok((row.int("at")?, row.optional_text("key"), row.int("count")?, row.int("refused")?)),
        text,
        tenant,
        *since,
        *until,
        *length
    )
}

/// Clients that were refused at least so often in an hour since a moment, in seconds, with what they have proved to be theirs: client, hour and count, the most first.
pub fn bursts(tenant: &str, (since, least): (i64, i64), limit: i64) -> Query<(String, i64, i64)> {
    query!(
        |row| Ok((row.text("key")?, row.int("at")?, row.int("refused")?)),
        "SELECT key, hour * 3600 AS at, refused FROM event_counts WHERE tenant = ?1 AND dimension = 'denied' \
         AND hour >= ?2 / 3600 AND refused >= ?3 ORDER BY refused DESC, key LIMIT ?4",
        tenant,
        since,
        least,
        limit
    )
}

/// Forgets the counts of hours before that moment in seconds, `limit` at the most.
pub fn forget(tenant: &str, before: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM event_counts WHERE tenant = ?1 AND (dimension, hour, key) IN (SELECT dimension, hour, key FROM event_counts \
         WHERE tenant = ?1 AND dimension IN ('type', 'client', 'denied') AND hour < ?2 / 3600 LIMIT ?3)",
        tenant,
        before,
        limit
    )
}
