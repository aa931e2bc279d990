//! Single use of assertions and proofs. A row is the use; the primary key makes the second one fail.

use super::{Query, query, sql};
use crate::ports::Sql;

/// What counts once.
pub struct Redeemable {
    /// Its kind.
    pub kind: &'static str,
    /// Its key.
    pub key: String,
}

/// Redeems; changes a row if it was not redeemed before. From the second `until` on it is not accepted anyway.
pub fn redeem(tenant: &str, kind: &str, key: &str, until: i64) -> Sql {
    sql!(
        "INSERT INTO spent (tenant, kind, key, until) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        tenant,
        kind,
        key,
        until
    )
}

/// Redeems if the statement before changed something.
pub fn redeem_if_changed(tenant: &str, Redeemable { kind, key }: &Redeemable, until: i64) -> Sql {
    sql!(
        "INSERT INTO spent (tenant, kind, key, until) SELECT ?1, ?2, ?3, ?4 WHERE changes() > 0",
        tenant,
        *kind,
        key.as_str(),
        until
    )
}

/// A row if it was redeemed.
pub fn is_redeemed(tenant: &str, kind: &str, key: &str) -> Query<i64> {
    query!(
        |row| row.int("until"),
        "SELECT until FROM spent WHERE tenant = ?1 AND kind = ?2 AND key = ?3",
        tenant,
        kind,
        key
    )
}

/// Forgets uses of what is not accepted any more, `limit` at the most.
pub fn forget(now: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM spent WHERE (tenant, kind, key) IN (SELECT tenant, kind, key FROM spent WHERE until < ?1 LIMIT ?2)",
        now,
        limit
    )
}
