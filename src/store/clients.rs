//! Clients and their secrets.

use super::{Query, Reader, query, sql};
use crate::crypto::Digest;
use crate::error::{Fault, Result};
use crate::model::identity::Known;
use crate::model::{Client, StoredSecret};
use crate::ports::Sql;
use serde::Deserialize;

macro_rules! columns {
    () => {
        "SELECT c.id, c.metadata, c.registration, c.status, c.revoked_before, c.version, c.created_at, c.updated_at, c.registered_by, \
         (SELECT json_group_array(json_object('id', s.id, 'digest', s.digest, 'created_at', s.created_at, 'expires_at', \
         s.expires_at)) FROM (SELECT * FROM client_secrets WHERE tenant = c.tenant AND client = c.id ORDER BY created_at, id) s) \
         AS secrets FROM clients c"
    };
}

/// A client with its secrets.
pub fn get(tenant: &str, client: &str) -> Query<Client> {
    query!(read, concat!(columns!(), " WHERE c.tenant = ?1 AND c.id = ?2"), tenant, client)
}

/// The clients with these ids, a JSON array.
pub fn some(tenant: &str, ids: String) -> Query<Client> {
    query!(read, concat!(columns!(), " WHERE c.tenant = ?1 AND c.id IN (SELECT value FROM json_each(?2))"), tenant, ids)
}

/// Clients of that name after `after`, by id.
pub fn named(tenant: &str, name: &str, after: &str, limit: i64) -> Query<Client> {
    query!(
        read,
        concat!(
            columns!(),
            " WHERE c.tenant = ?1 AND json_extract(c.metadata, '$.client_name') = ?4 AND c.id > ?2 ORDER BY c.id LIMIT ?3"
        ),
        tenant,
        after,
        limit,
        name
    )
}

/// Clients after `after`, by id, each with its secrets.
pub fn list(tenant: &str, after: &str, limit: i64) -> Query<Client> {
    query!(read, concat!(columns!(), " WHERE c.tenant = ?1 AND c.id > ?2 ORDER BY c.id LIMIT ?3"), tenant, after, limit)
}

/// Clients whose `allowed_resources` or `serves` have a URI in one of these spellings, `limit` at the most. It reads the clients of the
/// tenant, which a removal of a resource is rare enough for.
pub fn naming_resource(tenant: &str, [one, other, third]: [&str; 3], limit: i64) -> Query<String> {
    query!(
        |row| row.text("id"),
        "SELECT id FROM clients WHERE tenant = ?1 AND (EXISTS (SELECT 1 FROM json_each(metadata, '$.allowed_resources') \
         WHERE value IN (?2, ?3, ?4)) OR EXISTS (SELECT 1 FROM json_each(metadata, '$.serves') WHERE value IN (?2, ?3, ?4))) \
         ORDER BY id LIMIT ?5",
        tenant,
        one,
        other,
        third,
        limit
    )
}

/// The clients that a person has consented to, or that have had tokens about the person; by id, `limit` at the most.
pub fn of_person(tenant: &str, user: &str, limit: i64) -> Query<Known> {
    query!(
        |row| Ok(Known {
            id: row.text("id")?,
            name: row.text("name")?,
            registration: row.name("registration")?,
            status: row.name("status")?,
        }),
        "SELECT id, metadata ->> '$.client_name' AS name, registration, status FROM clients WHERE tenant = ?1 AND id IN \
         (SELECT client FROM consents WHERE tenant = ?1 AND user = ?2 UNION \
         SELECT client FROM identities INDEXED BY identities_by_subject WHERE tenant = ?1 AND subject = ?2) \
         ORDER BY id LIMIT ?3",
        tenant,
        user,
        limit
    )
}

/// Registers a client, if the tenant has fewer than its quota; the guard of a chain.
pub fn insert(tenant: &str, client: &Client, metadata: String, quota: Option<i64>) -> Sql {
    sql!(
        "INSERT INTO clients (tenant, id, metadata, created_at, updated_at, registration) SELECT ?1, ?2, ?3, ?4, ?4, ?6 \
         WHERE ?5 IS NULL OR (SELECT count(*) FROM (SELECT 1 FROM clients WHERE tenant = ?1 LIMIT ?5)) < ?5 \
         ON CONFLICT DO NOTHING",
        tenant,
        client.id.as_str(),
        metadata,
        client.created_at,
        quota,
        client.registration.as_str()
    )
}

/// Registers a client that a document describes, if it is not there and the tenant has fewer than its quota. No token that was issued
/// before counts: an earlier client with that id was removed.
pub fn insert_document(tenant: &str, client: &Client, metadata: String, quota: Option<i64>, user: &str) -> Sql {
    sql!(
        "INSERT INTO clients (tenant, id, metadata, created_at, updated_at, registration, registered_by, revoked_before) \
         SELECT ?1, ?2, ?3, ?4, ?4, 'metadata_document', ?6, ?4 - 1 \
         WHERE ?5 IS NULL OR (SELECT count(*) FROM (SELECT 1 FROM clients WHERE tenant = ?1 LIMIT ?5)) < ?5 \
         ON CONFLICT DO NOTHING",
        tenant,
        client.id.as_str(),
        metadata,
        client.created_at,
        quota,
        user
    )
}

/// Keeps what goes with a client that has registered itself, if the statement before changed something.
pub fn keep_registration(tenant: &str, client: &Client, token: &Digest, unused_until: i64) -> Sql {
    sql!(
        "UPDATE clients SET registered_by = ?3, registration_token = ?4, unused_until = ?5 \
         WHERE tenant = ?1 AND id = ?2 AND changes() > 0",
        tenant,
        client.id.as_str(),
        client.registered_by.clone(),
        token.to_text(),
        unused_until
    )
}

/// The active client of that id that manages itself with that token.
pub fn of_registration_token(tenant: &str, client: &str, token: &Digest) -> Query<Client> {
    query!(
        read,
        concat!(columns!(), " WHERE c.tenant = ?1 AND c.id = ?2 AND c.registration_token = ?3 AND c.status = 'active'"),
        tenant,
        client,
        token.to_text()
    )
}

macro_rules! is_used {
    () => {
        "(EXISTS (SELECT 1 FROM consents WHERE tenant = clients.tenant AND client = clients.id) \
         OR EXISTS (SELECT 1 FROM identities WHERE tenant = clients.tenant AND client = clients.id))"
    };
}

/// Lets clients stay that registered themselves and that somebody has let in; `limit` are looked at.
pub fn keep_used(tenant: &str, now: i64, limit: i64) -> Sql {
    sql!(
        concat!(
            "UPDATE clients SET unused_until = NULL WHERE tenant = ?1 AND id IN \
             (SELECT id FROM clients WHERE tenant = ?1 AND unused_until <= ?2 LIMIT ?3) AND ",
            is_used!()
        ),
        tenant,
        now,
        limit
    )
}

/// Clients that registered themselves and that nobody has let in: id and name.
pub fn never_used(tenant: &str, now: i64, limit: i64) -> Query<(String, String)> {
    query!(
        |row| Ok((row.text("id")?, row.text("name")?)),
        concat!(
            "SELECT id, metadata ->> '$.client_name' AS name FROM clients WHERE tenant = ?1 AND unused_until <= ?2 AND NOT ",
            is_used!(),
            " LIMIT ?3"
        ),
        tenant,
        now,
        limit
    )
}

/// Removes a client that is still unused; the guard of a chain.
pub fn delete_unused(tenant: &str, client: &str, now: i64) -> Sql {
    sql!(
        concat!("DELETE FROM clients WHERE tenant = ?1 AND id = ?3 AND unused_until <= ?2 AND NOT ", is_used!()),
        tenant,
        now,
        client
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

/// The index `clients_by_expiry` has the active ones.
macro_rules! is_expired {
    () => {
        "json_extract(metadata, '$.expires_at') <= ?2"
    };
}

/// Active clients beyond their expiry: id and name.
pub fn expired(tenant: &str, now: i64, limit: i64) -> Query<(String, String)> {
    query!(
        |row| Ok((row.text("id")?, row.text("name")?)),
        concat!(
            "SELECT id, metadata ->> '$.client_name' AS name FROM clients WHERE tenant = ?1 AND status = 'active' AND ",
            is_expired!(),
            " LIMIT ?3"
        ),
        tenant,
        now,
        limit
    )
}

/// An active client that was not changed for as long as it may stay unused.
pub struct Unchanged {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i64,
    /// How many days it may stay unused.
    pub days: i64,
}

/// Active clients after `after`, by id, that were not changed for as long as they may stay unused.
pub fn unchanged(tenant: &str, after: &str, now: i64, limit: i64) -> Query<Unchanged> {
    query!(
        |row| Ok(Unchanged {
            id: row.text("id")?,
            name: row.text("name")?,
            version: row.int("version")?,
            days: row.int("days")?,
        }),
        "SELECT id, metadata ->> '$.client_name' AS name, version, json_extract(metadata, '$.suspend_unused_after_days') AS days \
         FROM clients INDEXED BY clients_that_lapse WHERE tenant = ?1 AND status = 'active' AND id > ?3 \
         AND json_extract(metadata, '$.suspend_unused_after_days') IS NOT NULL \
         AND updated_at + 86400 * json_extract(metadata, '$.suspend_unused_after_days') <= ?2 ORDER BY id LIMIT ?4",
        tenant,
        now,
        after,
        limit
    )
}

macro_rules! suspend {
    ($condition:expr, $tenant:expr, $client:expr, $now:expr $(, $more:expr)*) => {
        sql!(
            concat!(
                "UPDATE clients SET status = 'suspended', version = version + 1, updated_at = ?2 \
                 WHERE tenant = ?1 AND id = ?3 AND status = 'active' AND ",
                $condition
            ),
            $tenant,
            $now,
            $client
            $(, $more)*
        )
    };
}

/// Suspends a client that is still beyond its expiry; the guard of a chain.
pub fn suspend_expired(tenant: &str, client: &str, now: i64) -> Sql {
    suspend!(is_expired!(), tenant, client, now)
}

/// Suspends a client that still has `version`; the guard of a chain.
pub fn suspend_unused(tenant: &str, client: &str, version: i64, now: i64) -> Sql {
    suspend!("version = ?4", tenant, client, now, version)
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

fn read(row: &Reader<'_>) -> Result<Client> {
    let secrets: Vec<SecretRow> = row.json("secrets")?;
    Ok(Client {
        id: row.text("id")?,
        metadata: row.json("metadata")?,
        registration: row.name("registration")?,
        status: row.name("status")?,
        revoked_before: row.int("revoked_before")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
        registered_by: row.optional_text("registered_by"),
        secrets: secrets.into_iter().map(read_secret).collect::<Result<_>>()?,
    })
}

#[derive(Deserialize)]
struct SecretRow {
    id: String,
    digest: String,
    created_at: i64,
    expires_at: Option<i64>,
}

fn read_secret(SecretRow { id, digest, created_at, expires_at }: SecretRow) -> Result<StoredSecret> {
    let digest = Digest::from_text(&digest).ok_or(Fault::Broken("a stored digest is none"))?;
    Ok(StoredSecret { id, digest, created_at, expires_at })
}
