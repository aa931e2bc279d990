//! Failed authentications, counted where every location sees them.
//!
//! A hundred in a minute is far more than an agent with an old secret makes while it retries, even when a fleet of them
//! shares an address or an id; and far less than any guess of 256 random bits, or any load, needs.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::ports::Sql;

/// How many failures lock a client or an address.
pub const LIMIT: i64 = 100;
/// Within how many seconds; from the first of them on, the lock is gone after as many.
pub const PERIOD_SECONDS: i64 = 60;

/// The failures of one key in its period.
#[derive(Clone)]
pub struct Failures {
    /// A client or an address.
    pub key: String,
    /// How many there were.
    pub count: i64,
    /// The second from which on the period is over.
    pub until: i64,
}

macro_rules! count {
    ($row:literal) => {
        concat!(
            "INSERT INTO failures (tenant, key, since, count) ",
            $row,
            " ON CONFLICT (tenant, key) DO UPDATE SET \
             count = CASE WHEN since > ?4 THEN count + 1 ELSE 1 END, since = CASE WHEN since > ?4 THEN since ELSE ?3 END \
             RETURNING key, since, count"
        )
    };
}

/// Counts one failure of `key` and answers how many there have been in its period.
pub fn count(tenant: &str, key: &str, now: i64) -> Query<Failures> {
    let since = now.saturating_sub(PERIOD_SECONDS);
    query!(read, count!("VALUES (?1, ?2, ?3, 1)"), tenant, key, now, since)
}

/// Counts one failure of a client, if it is there: names that nobody has fill no table.
pub fn count_client(tenant: &str, id: &str, now: i64) -> Query<Failures> {
    query!(
        read,
        count!("SELECT ?1, ?2, ?3, 1 WHERE EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?5)"),
        tenant,
        client_key(id),
        now,
        now.saturating_sub(PERIOD_SECONDS),
        id
    )
}

/// What the failures of a client count under.
pub fn client_key(id: &str) -> String {
    ["client/", id].concat()
}

/// Those of a tenant that are locked.
pub fn locked(tenant: &str, now: i64) -> Query<Failures> {
    query!(
        read,
        "SELECT key, since, count FROM failures WHERE tenant = ?1 AND count >= ?2 AND since > ?3 LIMIT 1000",
        tenant,
        LIMIT,
        now.saturating_sub(PERIOD_SECONDS)
    )
}

/// Forgets periods that are over, `limit` at the most.
pub fn forget(now: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM failures WHERE (tenant, key) IN (SELECT tenant, key FROM failures WHERE since <= ?1 LIMIT ?2)",
        now.saturating_sub(PERIOD_SECONDS),
        limit
    )
}

fn read(row: &Reader<'_>) -> Result<Failures> {
    let until = row.int("since")?.saturating_add(PERIOD_SECONDS);
    Ok(Failures { key: row.text("key")?, count: row.int("count")?, until })
}
