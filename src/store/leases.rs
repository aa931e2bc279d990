//! Downstream tokens that are still good, and who is fetching the next one.
//!
//! One row per connection and slot (`vault::downstream`). A claim is a guarded statement with a nonce, so that of all requests in all
//! isolates one talks to the provider; a claim that its holder could not finish runs out.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::ports::Sql;

/// The key of a row.
#[derive(Clone, Copy)]
pub struct LeaseKey<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The connection.
    pub connection: &'a str,
    /// What the token is for: the scope in the order of the connection, and what else tells tokens apart.
    pub scope: &'a str,
}

/// A claim of the right to fetch a downstream token.
pub struct Claim<'a> {
    /// The credential that it is fetched with.
    pub credential: &'a str,
    /// What tells the claim from others.
    pub nonce: &'a str,
    /// A token that expires later than this needs no other.
    pub good_until: i64,
    /// The moment of the claim.
    pub now: i64,
    /// When the claim runs out.
    pub until: i64,
}

/// The row, if there is one.
pub fn get(LeaseKey { tenant, connection, scope }: LeaseKey<'_>) -> Query<Lease> {
    query!(
        read,
        "SELECT credential, sealed, expires_at, claim, claimed_until FROM leases \
         WHERE tenant = ?1 AND connection = ?2 AND scope = ?3",
        tenant,
        connection,
        scope
    )
}

/// Claims the right to fetch, if no other request holds it and there is no token of this credential that outlives `good_until`.
pub fn claim(
    LeaseKey { tenant, connection, scope }: LeaseKey<'_>,
    Claim { credential, nonce, good_until, now, until }: Claim<'_>,
) -> Sql {
    sql!(
        "INSERT INTO leases (tenant, connection, scope, credential, claim, claimed_until) VALUES (?1, ?2, ?3, ?4, ?5, ?8) \
         ON CONFLICT (tenant, connection, scope) DO UPDATE SET claim = ?5, claimed_until = ?8 \
         WHERE leases.claimed_until <= ?7 AND (leases.credential <> ?4 OR leases.expires_at <= ?6)",
        tenant,
        connection,
        scope,
        credential,
        nonce,
        good_until,
        now,
        until
    )
}

/// Stores what the holder of the claim fetched, and ends the claim.
pub fn fulfil(
    LeaseKey { tenant, connection, scope }: LeaseKey<'_>,
    credential: &str,
    nonce: &str,
    sealed: &str,
    expires_at: i64,
) -> Sql {
    sql!(
        "UPDATE leases SET credential = ?4, sealed = ?6, expires_at = ?7, claim = NULL, claimed_until = 0 \
         WHERE tenant = ?1 AND connection = ?2 AND scope = ?3 AND claim = ?5",
        tenant,
        connection,
        scope,
        credential,
        nonce,
        sealed,
        expires_at
    )
}

/// Ends a claim whose holder got nothing.
pub fn release(LeaseKey { tenant, connection, scope }: LeaseKey<'_>, nonce: &str) -> Sql {
    sql!(
        "UPDATE leases SET claim = NULL, claimed_until = 0 \
         WHERE tenant = ?1 AND connection = ?2 AND scope = ?3 AND claim = ?4",
        tenant,
        connection,
        scope,
        nonce
    )
}

/// Forgets what was fetched with credentials that the connection does not have any more.
pub fn forget(tenant: &str, connection: &str) -> Sql {
    sql!(
        "DELETE FROM leases WHERE tenant = ?1 AND connection = ?2 \
         AND credential NOT IN (SELECT id FROM credentials WHERE tenant = ?1 AND connection = ?2)",
        tenant,
        connection
    )
}

/// Forgets what was fetched under an older version of the connection, which stands in the slot between two line breaks.
pub fn forget_older(tenant: &str, connection: &str) -> Sql {
    sql!(
        "DELETE FROM leases WHERE tenant = ?1 AND connection = ?2 AND instr(scope, \
         char(10) || (SELECT version FROM connections WHERE tenant = ?1 AND name = ?2) || char(10)) = 0",
        tenant,
        connection
    )
}

/// Forgets tokens that have expired and that nobody is fetching anew, `limit` at the most.
pub fn forget_expired(now: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM leases WHERE (tenant, connection, scope) IN \
         (SELECT tenant, connection, scope FROM leases WHERE expires_at < ?1 AND claimed_until < ?1 LIMIT ?2)",
        now,
        limit
    )
}

/// Notes that a client has leased from the connection for a subject, until the token expires.
pub fn note_use(tenant: &str, client: &str, subject: &str, connection: &str, expires_at: i64) -> Sql {
    sql!(
        "INSERT INTO lease_uses (tenant, client, subject, connection, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (tenant, client, subject, connection) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)",
        tenant,
        client,
        subject,
        connection,
        expires_at
    )
}

/// Forgets uses whose tokens have expired, `limit` at the most.
pub fn forget_uses(now: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM lease_uses WHERE (tenant, client, subject, connection) IN \
         (SELECT tenant, client, subject, connection FROM lease_uses WHERE expires_at < ?1 LIMIT ?2)",
        now,
        limit
    )
}

/// A row: a token, a claim, or both.
pub struct Lease {
    /// The credential that the token was fetched with.
    pub credential: String,
    /// The token.
    pub sealed: Option<String>,
    /// When the token expires, in seconds since the epoch.
    pub expires_at: i64,
    /// The nonce of who is fetching.
    pub claim: Option<String>,
    /// When the claim runs out, in seconds since the epoch.
    pub claimed_until: i64,
}

fn read(row: &Reader<'_>) -> Result<Lease> {
    Ok(Lease {
        credential: row.text("credential")?,
        sealed: row.optional_text("sealed"),
        expires_at: row.int("expires_at")?,
        claim: row.optional_text("claim"),
        claimed_until: row.int("claimed_until")?,
    })
}
