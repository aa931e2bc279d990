//! The change log: the keys of the cached values that each change of a tenant made stale, under the tenant's sequence number.

use super::{Query, query, sql};
use crate::ports::Sql;

/// Gives a change of the tenant its sequence number, if the statement before changed something; a link of a chain.
pub fn advance(tenant: &str) -> Sql {
    sql!("UPDATE tenants SET epoch = epoch + 1 WHERE id = ?1 AND changes() > 0", tenant)
}

/// Writes the keys, a JSON array of text, under that sequence number, if the statement before changed something; a link of a chain.
pub fn log(tenant: &str, keys: String, now: i64) -> Sql {
    sql!(
        "INSERT INTO changes (tenant, seq, key, at) SELECT t.id, t.epoch, k.value, ?3 FROM tenants t, json_each(?2) k \
         WHERE t.id = ?1 AND changes() > 0",
        tenant,
        keys,
        now
    )
}

/// Writes the keys of the identities of a client that is not there any more, `limit` at the most, under the newest sequence number: each begins with
/// `prefix` and ends with its subject.
pub fn log_identities(tenant: &str, client: &str, prefix: String, limit: i64, now: i64) -> Sql {
    sql!(
        "INSERT INTO changes (tenant, seq, key, at) SELECT t.id, t.epoch, ?3 || i.subject, ?5 FROM tenants t \
         JOIN identities i ON i.tenant = t.id AND i.client = ?2 WHERE t.id = ?1 \
         AND NOT EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?2) LIMIT ?4 ON CONFLICT DO NOTHING",
        tenant,
        client,
        prefix,
        limit,
        now
    )
}

/// The keys of the changes after `seq`, in their order; none after nothing.
pub fn since(tenant: &str, seq: Option<i64>, limit: i64) -> Query<(i64, String)> {
    query!(
        |row| Ok((row.int("seq")?, row.text("key")?)),
        "SELECT seq, key FROM changes WHERE tenant = ?1 AND seq > ?2 ORDER BY seq, key LIMIT ?3",
        tenant,
        seq,
        limit
    )
}

/// Forgets changes before a moment, `limit` at the most.
pub fn forget(before: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM changes WHERE (tenant, seq, key) IN (SELECT tenant, seq, key FROM changes WHERE at < ?1 LIMIT ?2)",
        before,
        limit
    )
}
