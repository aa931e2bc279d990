//! The deletion of a tenant: its name is taken for good at once, its rows go piece by piece.

use super::{Query, Reader, query, sql};
use crate::ports::Sql;

/// Removes a suspended tenant that still has `version`; the guard of a chain.
pub fn delete(tenant: &str, version: i64) -> Sql {
    sql!("DELETE FROM tenants WHERE id = ?1 AND version = ?2 AND status = 'suspended'", tenant, version)
}

/// Takes the name of a tenant for good if the statement before changed something.
pub fn take_name(tenant: &str, now: i64) -> Sql {
    sql!("INSERT INTO former_tenants (id, deleted_at) SELECT ?1, ?2 WHERE changes() > 0", tenant, now)
}

/// Has the trail keep nothing more of a tenant.
pub fn close_trail(tenant: &str, now: i64) -> Sql {
    sql!("INSERT INTO former_tenants (id, deleted_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING", tenant, now)
}

/// A tenant that was deleted and whose rows are not all gone.
pub struct Former {
    /// Its id.
    pub id: String,
    /// When it was deleted, in seconds.
    pub deleted_at: i64,
    /// When the cron came to it last, in seconds.
    pub visited_at: i64,
}

/// The tenant whose turn it is.
pub fn next() -> Query<Former> {
    let read = |row: &Reader<'_>| {
        Ok(Former { id: row.text("id")?, deleted_at: row.int("deleted_at")?, visited_at: row.int("visited_at")? })
    };
    query!(
        read,
        "SELECT id, deleted_at, visited_at FROM former_tenants INDEXED BY former_tenants_left WHERE is_gone = 0 \
         ORDER BY visited_at, id LIMIT 1"
    )
}

/// Notes the visit, unless another cron was first.
pub fn visit(Former { id, visited_at, .. }: &Former, now: i64) -> Sql {
    sql!("UPDATE former_tenants SET visited_at = ?3 WHERE id = ?1 AND visited_at = ?2", id.as_str(), *visited_at, now)
}

/// Whether a tenant was deleted.
pub fn is_former(tenant: &str) -> Query<bool> {
    query!(|row| Ok(row.int("n")? > 0), "SELECT count(*) AS n FROM former_tenants WHERE id = ?1", tenant)
}

/// How many tenants are being deleted; counted up to 10,000.
pub fn count() -> Query<i64> {
    query!(|row| row.int("n"), "SELECT count(*) AS n FROM (SELECT 1 FROM former_tenants WHERE is_gone = 0 LIMIT 10000)")
}

/// Notes that all is gone; the guard of a chain.
pub fn finish(tenant: &str) -> Sql {
    sql!("UPDATE former_tenants SET is_gone = 1 WHERE id = ?1 AND is_gone = 0", tenant)
}

macro_rules! pieces {
    ($($table:literal by $key:literal,)+) => {
        &[$(concat!(
            "WITH piece AS (SELECT ", $key, " FROM ", $table, " WHERE tenant = ?1 LIMIT ?2) \
             DELETE FROM ", $table, " WHERE tenant = ?1 AND (", $key, ") IN (SELECT ", $key, " FROM piece)"
        ),)+]
    };
}

/// Each table of `DB` that carries its tenant, by its key within the tenant; secrets first.
const TABLES: &[&str] = pieces! {
    "client_secrets" by "client, id",
    "connected_accounts" by "id",
    "credentials" by "connection",
    "leases" by "connection, scope",
    "signing_keys" by "kid",
    "log_keys" by "jwk",
    "log_witnesses" by "witness",
    "streams" by "id",
    "signals" by "stream, id",
    "webhooks" by "id",
    "webhook_messages" by "webhook, id",
    "sinks" by "id",
    "clients" by "id",
    "users" by "id",
    "accounts" by "issuer, subject",
    "identities" by "id",
    "issuers" by "id",
    "resources" by "id",
    "connections" by "name",
    "policies" by "id",
    "policy_shards" by "shard",
    "lease_uses" by "client, subject, connection",
    "stopped_chains" by "jti",
    "receipts" by "kind, id",
    "spent" by "kind, key",
    "ended_accounts" by "id",
    "failures" by "key",
    "changes" by "seq, key",
    "answers" by "client, key",
    "token_counts" by "minute",
    "limit_counts" by "policy, subject, window",
    "sessions" by "id",
    "consents" by "id",
    "codes" by "id",
    "device_codes" by "id",
    "refresh_families" by "id",
    "initial_access_tokens" by "id",
    "passkeys" by "id",
    "invitations" by "id",
    "approvals" by "id",
    "approval_deciders" by "decider, approval",
};

/// The same of the trail.
const TRAIL: &[&str] = pieces! {
    "events" by "id",
    "last_tokens" by "client",
    "sink_states" by "sink",
    "event_actors" by "actor, id",
    "event_counts" by "dimension, hour, key",
    "counted_events" by "tenant",
    "tiles" by "level, n",
    "logs" by "size",
};

/// Removes `limit` rows of each table at the most, and as many dead letters.
pub fn of_truth(tenant: &str, limit: i64) -> Vec<Sql> {
    let dead = "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters \
                WHERE (CASE WHEN json_valid(body) THEN body ->> '$.tenant' END) = ?1 LIMIT ?2)";
    TABLES.iter().copied().chain([dead]).map(|text| Sql { text, args: vec![tenant.into(), limit.into()] }).collect()
}

/// The same of the trail.
pub fn of_trail(tenant: &str, limit: i64) -> Vec<Sql> {
    TRAIL.iter().map(|text| Sql { text, args: vec![tenant.into(), limit.into()] }).collect()
}
