//! How often permits with a limit were used.

use super::{Query, query, sql};
use crate::ports::Sql;

/// A use that a limit counts.
pub struct Use {
    /// The statement, and the time that its limit is about.
    pub policy: String,
    /// Whose uses count.
    pub subject: String,
    /// The number of the window.
    pub window: i64,
    /// How many there may be.
    pub most: u32,
    /// When nothing asks for it any more, in seconds.
    pub until: i64,
}

/// The uses as the statements take them.
pub fn json(uses: &[Use]) -> String {
    let row = |one: &Use| serde_json::json!([one.policy, one.subject, one.window, one.most, one.until]);
    serde_json::Value::from(uses.iter().map(row).collect::<Vec<_>>()).to_string()
}

/// Counts all of these uses if each limit has room for one; else none.
pub fn claim(tenant: &str, uses: &str) -> Sql {
    sql!(
        "INSERT INTO limit_counts (tenant, policy, subject, window, taken, until) \
         SELECT ?1, u.value ->> 0, u.value ->> 1, u.value ->> 2, 1, u.value ->> 4 FROM json_each(?2) u \
         WHERE NOT EXISTS (SELECT 1 FROM json_each(?2) f CROSS JOIN limit_counts c ON c.tenant = ?1 AND c.policy = f.value ->> 0 \
         AND c.subject = f.value ->> 1 AND c.window = f.value ->> 2 WHERE c.taken >= f.value ->> 3) \
         ON CONFLICT (tenant, policy, subject, window) DO UPDATE SET taken = taken + 1",
        tenant,
        uses
    )
}

/// Which of these uses, by their places, have a limit without room.
pub fn full(tenant: &str, uses: &str) -> Query<i64> {
    query!(
        |row| row.int("place"),
        "SELECT f.key AS place FROM json_each(?2) f CROSS JOIN limit_counts c ON c.tenant = ?1 AND c.policy = f.value ->> 0 \
         AND c.subject = f.value ->> 1 AND c.window = f.value ->> 2 WHERE c.taken >= f.value ->> 3",
        tenant,
        uses
    )
}

/// How often these uses were counted, by their places; none where they were not.
pub fn taken(tenant: &str, uses: &str) -> Query<(i64, i64)> {
    query!(
        |row| Ok((row.int("place")?, row.int("taken")?)),
        "SELECT f.key AS place, c.taken AS taken FROM json_each(?2) f CROSS JOIN limit_counts c ON c.tenant = ?1 \
         AND c.policy = f.value ->> 0 AND c.subject = f.value ->> 1 AND c.window = f.value ->> 2",
        tenant,
        uses
    )
}

/// Notes that a breach is acted on, once; the guard of a chain.
pub fn tell(tenant: &str, Use { policy, subject, window, .. }: &Use) -> Sql {
    sql!(
        "UPDATE limit_counts SET told = 1 WHERE tenant = ?1 AND policy = ?2 AND subject = ?3 AND window = ?4 AND told = 0",
        tenant,
        policy.as_str(),
        subject.as_str(),
        *window
    )
}

/// Forgets windows that are over, `limit` at the most.
pub fn forget(now: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM limit_counts WHERE (tenant, policy, subject, window) IN \
         (SELECT tenant, policy, subject, window FROM limit_counts WHERE until < ?1 LIMIT ?2)",
        now,
        limit
    )
}
