//! Tokens that let their bearers register clients (RFC 7591 §3).

use super::{Query, Reader, query, sql};
use crate::crypto::Digest;
use crate::error::Result;
use crate::model::registration::InitialToken;
use crate::ports::Sql;

/// The token of that digest, unless it is over.
pub fn of(tenant: &str, digest: &Digest, now: i64) -> Query<InitialToken> {
    query!(
        read,
        "SELECT id, name, created_at, expires_at FROM initial_access_tokens \
         WHERE tenant = ?1 AND digest = ?2 AND expires_at > ?3",
        tenant,
        digest.to_text(),
        now
    )
}

/// Tokens after `after`, by id.
pub fn list(tenant: &str, after: &str, limit: i64) -> Query<InitialToken> {
    query!(
        read,
        "SELECT id, name, created_at, expires_at FROM initial_access_tokens WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        tenant,
        after,
        limit
    )
}

/// Keeps a token; the guard of a chain.
pub fn insert(tenant: &str, token: &InitialToken, digest: &Digest) -> Sql {
    sql!(
        "INSERT INTO initial_access_tokens (tenant, id, digest, name, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT DO NOTHING",
        tenant,
        token.id.as_str(),
        digest.to_text(),
        token.name.as_str(),
        token.created_at,
        token.expires_at
    )
}

/// Removes a token; the guard of a chain.
pub fn delete(tenant: &str, id: &str) -> Sql {
    sql!("DELETE FROM initial_access_tokens WHERE tenant = ?1 AND id = ?2", tenant, id)
}

/// Forgets tokens that are over, `limit` at the most.
pub fn forget(now: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM initial_access_tokens WHERE (tenant, id) IN \
         (SELECT tenant, id FROM initial_access_tokens WHERE expires_at <= ?1 LIMIT ?2)",
        now,
        limit
    )
}

fn read(row: &Reader<'_>) -> Result<InitialToken> {
    Ok(InitialToken {
        id: row.text("id")?,
        name: row.text("name")?,
        created_at: row.int("created_at")?,
        expires_at: row.int("expires_at")?,
    })
}
