//! Clients and their secrets.

use super::{Reader, sql};
use crate::crypto::Digest;
use crate::error::{Fault, Result};
use crate::model::{Client, StoredSecret};
use crate::ports::{Outcome, Sql};

macro_rules! columns {
    () => {
        "SELECT id, metadata, status, revoked_before, version, created_at, updated_at FROM clients"
    };
}

/// A client and its secrets: two statements for one batch, read by [`read_one`].
pub fn get(tenant: &str, client: &str) -> [Sql; 2] {
    [
        sql!(concat!(columns!(), " WHERE tenant = ?1 AND id = ?2"), tenant, client),
        sql!(
            "SELECT client, id, digest, created_at, expires_at FROM client_secrets WHERE tenant = ?1 AND client = ?2 \
             ORDER BY created_at, id",
            tenant,
            client
        ),
    ]
}

/// Clients after `after`, by id, and the secrets of all of them.
pub fn list(tenant: &str, after: &str, limit: i64) -> [Sql; 2] {
    [
        sql!(concat!(columns!(), " WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3"), tenant, after, limit),
        sql!(
            "SELECT client, id, digest, created_at, expires_at FROM client_secrets WHERE tenant = ?1 AND client IN \
             (SELECT id FROM clients WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3) ORDER BY created_at, id",
            tenant,
            after,
            limit
        ),
    ]
}

/// Registers a client; the guard of a chain.
pub fn insert(tenant: &str, client: &Client, metadata: String) -> Sql {
    sql!(
        "INSERT INTO clients (tenant, id, metadata, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4) \
         ON CONFLICT DO NOTHING",
        tenant,
        client.id.as_str(),
        metadata,
        client.created_at
    )
}

/// Registers a client if the statement before changed something.
pub fn insert_if_changed(tenant: &str, client: &Client, metadata: String) -> Sql {
    sql!(
        "INSERT INTO clients (tenant, id, metadata, created_at, updated_at) SELECT ?1, ?2, ?3, ?4, ?4 WHERE changes() > 0",
        tenant,
        client.id.as_str(),
        metadata,
        client.created_at
    )
}

/// Adds a secret if the statement before changed something.
pub fn insert_secret(tenant: &str, client: &str, secret: &StoredSecret) -> Sql {
    sql!(
        "INSERT INTO client_secrets (tenant, client, id, digest, created_at, expires_at) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE changes() > 0",
        tenant,
        client,
        secret.id.as_str(),
        secret.digest.to_text(),
        secret.created_at,
        secret.expires_at
    )
}

/// Adds a secret to a client that is not retired and has fewer than `most`; the guard of a chain.
pub fn add_secret(tenant: &str, client: &str, secret: &StoredSecret, most: i64) -> Sql {
    sql!(
        "INSERT INTO client_secrets (tenant, client, id, digest, created_at, expires_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
         WHERE EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?2 AND status <> 'retired') \
         AND (SELECT count(*) FROM client_secrets WHERE tenant = ?1 AND client = ?2) < ?7",
        tenant,
        client,
        secret.id.as_str(),
        secret.digest.to_text(),
        secret.created_at,
        secret.expires_at,
        most
    )
}

/// Removes one secret; the guard of a chain.
pub fn delete_secret(tenant: &str, client: &str, id: &str) -> Sql {
    sql!("DELETE FROM client_secrets WHERE tenant = ?1 AND client = ?2 AND id = ?3", tenant, client, id)
}

/// Replaces the metadata of a client that still has `version` and is not retired; the guard of a chain.
pub fn update(tenant: &str, client: &str, metadata: String, version: i64, now: i64) -> Sql {
    sql!(
        "UPDATE clients SET metadata = ?3, version = version + 1, updated_at = ?5 \
         WHERE tenant = ?1 AND id = ?2 AND version = ?4 AND status <> 'retired'",
        tenant,
        client,
        metadata,
        version,
        now
    )
}

/// Active clients to which something happens by itself: the index `clients_with_an_end` has them.
macro_rules! with_an_end {
    () => {
        "tenant = ?1 AND status = 'active' AND (json_extract(metadata, '$.expires_at') IS NOT NULL \
         OR json_extract(metadata, '$.suspend_unused_after_days') IS NOT NULL)"
    };
}

macro_rules! is_expired {
    () => {
        "json_extract(metadata, '$.expires_at') <= ?2"
    };
}

/// Neither changed nor given a token for so many days.
macro_rules! is_unused {
    () => {
        "updated_at + 86400 * json_extract(metadata, '$.suspend_unused_after_days') <= ?2 AND coalesce((SELECT e.at \
         FROM events e WHERE e.tenant = ?1 AND e.client = clients.id AND e.type = 'token.issued' ORDER BY e.id DESC LIMIT 1), 0) \
         + 86400000 * json_extract(metadata, '$.suspend_unused_after_days') <= ?2 * 1000"
    };
}

/// Active clients beyond their expiry.
pub fn expired(tenant: &str, now: i64, limit: i64) -> Sql {
    sql!(
        concat!("SELECT id FROM clients WHERE ", with_an_end!(), " AND ", is_expired!(), " ORDER BY id LIMIT ?3"),
        tenant,
        now,
        limit
    )
}

/// Active clients that have not been used for as long as they may be.
pub fn unused(tenant: &str, now: i64, limit: i64) -> Sql {
    sql!(
        concat!("SELECT id FROM clients WHERE ", with_an_end!(), " AND ", is_unused!(), " ORDER BY id LIMIT ?3"),
        tenant,
        now,
        limit
    )
}

macro_rules! suspend {
    ($condition:expr, $tenant:expr, $client:expr, $now:expr) => {
        sql!(
            concat!(
                "UPDATE clients SET status = 'suspended', version = version + 1, updated_at = ?2 \
                 WHERE tenant = ?1 AND id = ?3 AND status = 'active' AND ",
                $condition
            ),
            $tenant,
            $now,
            $client
        )
    };
}

/// Suspends a client that is still beyond its expiry; the guard of a chain.
pub fn suspend_expired(tenant: &str, client: &str, now: i64) -> Sql {
    suspend!(is_expired!(), tenant, client, now)
}

/// Suspends a client that is still not used; the guard of a chain.
pub fn suspend_unused(tenant: &str, client: &str, now: i64) -> Sql {
    suspend!(is_unused!(), tenant, client, now)
}

/// Removes a client that still has `version`; the guard of a chain.
pub fn delete(tenant: &str, client: &str, version: i64) -> Sql {
    sql!("DELETE FROM clients WHERE tenant = ?1 AND id = ?2 AND version = ?3", tenant, client, version)
}

/// Removes the secrets of clients that are not there any more.
pub fn delete_orphaned_secrets(tenant: &str, client: &str) -> Sql {
    sql!(
        "DELETE FROM client_secrets WHERE tenant = ?1 AND client = ?2 \
         AND NOT EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?2)",
        tenant,
        client
    )
}

/// Reads the outcomes of [`get`].
pub fn read_one(outcomes: &[Outcome]) -> Result<Option<Client>> {
    Ok(read_all(outcomes)?.into_iter().next())
}

/// Reads the outcomes of [`list`].
pub fn read_all(outcomes: &[Outcome]) -> Result<Vec<Client>> {
    let [clients, secrets] = outcomes else { return Err(Fault::Broken("two statements have two outcomes").into()) };
    let secrets: Vec<(String, StoredSecret)> =
        secrets.rows.iter().map(|row| read_secret(&Reader(row))).collect::<Result<_>>()?;
    clients
        .rows
        .iter()
        .map(|row| {
            let row = Reader(row);
            let id = row.text("id")?;
            let secrets =
                secrets.iter().filter(|(client, _)| *client == id).map(|(_, secret)| secret.clone()).collect();
            Ok(Client {
                metadata: row.json("metadata")?,
                status: row.name("status")?,
                revoked_before: row.int("revoked_before")?,
                version: row.int("version")?,
                created_at: row.int("created_at")?,
                updated_at: row.int("updated_at")?,
                secrets,
                id,
            })
        })
        .collect()
}

fn read_secret(row: &Reader<'_>) -> Result<(String, StoredSecret)> {
    let digest = Digest::from_text(&row.text("digest")?).ok_or(Fault::Broken("a stored digest is none"))?;
    let secret = StoredSecret {
        id: row.text("id")?,
        digest,
        created_at: row.int("created_at")?,
        expires_at: row.optional_int("expires_at"),
    };
    Ok((row.text("client")?, secret))
}
