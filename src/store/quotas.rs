//! How much of a tenant's quotas is used.

use super::{Query, query, sql};
use crate::model::Counted;
use crate::ports::Sql;

/// How many of its kind a tenant has; counted up to `most`.
pub fn count(tenant: &str, counted: Counted, most: i64) -> Query<i64> {
    let text = match counted {
        Counted::Clients => "SELECT count(*) AS n FROM (SELECT 1 FROM clients WHERE tenant = ?1 LIMIT ?2)",
        Counted::Connections => "SELECT count(*) AS n FROM (SELECT 1 FROM connections WHERE tenant = ?1 LIMIT ?2)",
        Counted::Policies => "SELECT count(*) AS n FROM (SELECT 1 FROM policies WHERE tenant = ?1 LIMIT ?2)",
    };
    query!(|row| row.int("n"), text, tenant, most)
}

/// Claims up to `wanted` of the tokens that a quota leaves in this minute, and answers how many there are; no row if none are left. A
/// minute that is older than the one of the row counts as that one.
pub fn claim(tenant: &str, minute: i64, wanted: i64, quota: i64) -> Query<i64> {
    query!(
        |row| row.int("granted"),
        "INSERT INTO token_counts (tenant, minute, taken, granted) VALUES (?1, ?2, min(?3, ?4), min(?3, ?4)) \
         ON CONFLICT (tenant) DO UPDATE SET minute = max(minute, excluded.minute), \
         granted = CASE WHEN minute < excluded.minute THEN excluded.granted ELSE min(?3, ?4 - taken) END, \
         taken = CASE WHEN minute < excluded.minute THEN excluded.taken ELSE taken + min(?3, ?4 - taken) END \
         WHERE minute < excluded.minute OR taken < ?4 RETURNING granted",
        tenant,
        minute,
        wanted,
        quota
    )
}

/// How many tokens of a quota were claimed in this minute.
pub fn taken(tenant: &str, minute: i64) -> Query<i64> {
    query!(|row| row.int("taken"), "SELECT taken FROM token_counts WHERE tenant = ?1 AND minute = ?2", tenant, minute)
}

/// Notes that it has been told that the quota of this minute is used up, once; the guard of a chain.
pub fn tell(tenant: &str, minute: i64) -> Sql {
    sql!("UPDATE token_counts SET told = ?2 WHERE tenant = ?1 AND told < ?2", tenant, minute)
}
