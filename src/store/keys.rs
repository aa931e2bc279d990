//! Signing keys.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::ports::Sql;

/// A row as it is stored: the private half is sealed.
pub struct StoredKey {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// Algorithm name.
    pub alg: String,
    /// State name.
    pub state: String,
    /// Public JWK.
    pub jwk: String,
    /// Sealed PKCS#8.
    pub sealed: String,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub changed_at: i64,
}

/// Every key of a tenant that still matters: retired ones only if they retired after `since`.
pub fn all(tenant: &str, since: i64) -> Query<StoredKey> {
    query!(
        read,
        "SELECT kid, alg, state, jwk, sealed, created_at, changed_at FROM signing_keys \
         WHERE tenant = ?1 AND (state <> 'retired' OR changed_at > ?2) ORDER BY alg, created_at",
        tenant,
        since
    )
}

/// Keeps a new key unless its place is taken; the guard of a chain.
pub fn insert(tenant: &str, key: &StoredKey) -> Sql {
    sql!(
        "INSERT INTO signing_keys (tenant, kid, alg, state, jwk, sealed, created_at, changed_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT DO NOTHING",
        tenant,
        key.kid.as_str(),
        key.alg.as_str(),
        key.state.as_str(),
        key.jwk.as_str(),
        key.sealed.as_str(),
        key.created_at
    )
}

/// Retires the current key if there is a next one, published at `published_by` at the latest; the guard of a chain.
pub fn retire(tenant: &str, alg: &str, published_by: i64, now: i64) -> Sql {
    sql!(
        "UPDATE signing_keys SET state = 'retired', changed_at = ?4 WHERE tenant = ?1 AND alg = ?2 AND state = 'current' \
         AND EXISTS (SELECT 1 FROM signing_keys WHERE tenant = ?1 AND alg = ?2 AND state = 'next' AND changed_at <= ?3)",
        tenant,
        alg,
        published_by,
        now
    )
}

/// Lets the next key sign if the statement before changed something.
pub fn promote(tenant: &str, alg: &str, now: i64) -> Sql {
    sql!(
        "UPDATE signing_keys SET state = 'current', changed_at = ?3 \
         WHERE tenant = ?1 AND alg = ?2 AND state = 'next' AND changes() > 0",
        tenant,
        alg,
        now
    )
}

/// Removes a key that is still in that state; the guard of a chain.
pub fn revoke(tenant: &str, kid: &str, state: &str) -> Sql {
    sql!("DELETE FROM signing_keys WHERE tenant = ?1 AND kid = ?2 AND state = ?3", tenant, kid, state)
}

/// Seals the private half anew, if nothing else has meanwhile.
pub fn reseal(tenant: &str, kid: &str, old: &str, new: &str) -> Sql {
    sql!("UPDATE signing_keys SET sealed = ?4 WHERE tenant = ?1 AND kid = ?2 AND sealed = ?3", tenant, kid, old, new)
}

/// Forgets keys whose last token has died.
pub fn forget(tenant: &str, before: i64) -> Sql {
    sql!("DELETE FROM signing_keys WHERE tenant = ?1 AND state = 'retired' AND changed_at <= ?2", tenant, before)
}

/// Reads a row.
pub fn read(row: &Reader<'_>) -> Result<StoredKey> {
    Ok(StoredKey {
        kid: row.text("kid")?,
        alg: row.text("alg")?,
        state: row.text("state")?,
        jwk: row.text("jwk")?,
        sealed: row.text("sealed")?,
        created_at: row.int("created_at")?,
        changed_at: row.int("changed_at")?,
    })
}
