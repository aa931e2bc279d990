//! What can be used once: assertions, proofs. A row is the use; the primary key makes the second one fail.

use super::sql;
use crate::ports::Sql;

/// Spends; changes a row if it was not spent before. `until` is the second after which nobody would accept it anyway.
pub fn spend(tenant: &str, kind: &str, key: &str, until: i64) -> Sql {
    sql!(
        "INSERT INTO spent (tenant, kind, key, until) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        tenant,
        kind,
        key,
        until
    )
}

/// Forgets, `limit` at the most, what would not be accepted any more.
pub fn forget(now: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM spent WHERE (tenant, kind, key) IN (SELECT tenant, kind, key FROM spent WHERE until < ?1 LIMIT ?2)",
        now,
        limit
    )
}
