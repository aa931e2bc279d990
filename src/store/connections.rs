//! Connections and the pointers to their credentials.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::Connection;
use crate::model::connection::CredentialPointer;
use crate::ports::Sql;

macro_rules! columns {
    () => {
        "SELECT c.name, c.kind, c.config, c.status, c.version, c.created_at, c.updated_at, k.id AS credential, k.wrapped_key, \
         k.created_at AS stored_at \
         FROM connections c LEFT JOIN credentials k ON k.tenant = c.tenant AND k.connection = c.name"
    };
}

/// The connection of that name with the pointer to its credential.
pub fn get(tenant: &str, name: &str) -> Query<Connection> {
    query!(read, concat!(columns!(), " WHERE c.tenant = ?1 AND c.name = ?2"), tenant, name)
}

/// Connections after `after`, by name.
pub fn list(tenant: &str, after: &str, limit: i64) -> Query<Connection> {
    query!(
        read,
        concat!(columns!(), " WHERE c.tenant = ?1 AND c.name > ?2 ORDER BY c.name LIMIT ?3"),
        tenant,
        after,
        limit
    )
}

/// Makes a connection, if the tenant has fewer than its quota; the guard of a chain.
pub fn insert(tenant: &str, name: &str, (kind, settings): (&str, String), now: i64, quota: Option<i64>) -> Sql {
    sql!(
        "INSERT INTO connections (tenant, name, kind, config, created_at, updated_at) SELECT ?1, ?2, ?3, ?4, ?5, ?5 \
         WHERE ?6 IS NULL OR (SELECT count(*) FROM (SELECT 1 FROM connections WHERE tenant = ?1 LIMIT ?6)) < ?6 \
         ON CONFLICT DO NOTHING",
        tenant,
        name,
        kind,
        settings,
        now,
        quota
    )
}

/// Changes a connection that still has `version` and is not retired; the guard of a chain.
pub fn update(tenant: &str, (name, version): (&str, i64), kind: &str, settings: String, now: i64) -> Sql {
    sql!(
        "UPDATE connections SET kind = ?3, config = ?4, version = version + 1, updated_at = ?6 \
         WHERE tenant = ?1 AND name = ?2 AND version = ?5 AND status <> 'retired'",
        tenant,
        name,
        kind,
        settings,
        version,
        now
    )
}

/// Points to another credential if the statement before changed something; the old data key is gone.
pub fn point(tenant: &str, name: &str, credential: &CredentialPointer) -> Sql {
    sql!(
        "INSERT INTO credentials (tenant, connection, id, wrapped_key, created_at) SELECT ?1, ?2, ?3, ?4, ?5 \
         WHERE changes() > 0 ON CONFLICT (tenant, connection) DO UPDATE SET id = excluded.id, \
         wrapped_key = excluded.wrapped_key, created_at = excluded.created_at",
        tenant,
        name,
        credential.id.as_str(),
        credential.wrapped_key.as_str(),
        credential.created_at
    )
}

/// Suspends those of the connections that are active; the guard of a chain. `names` is a JSON array.
pub fn suspend(tenant: &str, names: String, now: i64) -> Sql {
    sql!(
        "UPDATE connections SET status = 'suspended', updated_at = ?3, version = version + 1 \
         WHERE tenant = ?1 AND name IN (SELECT value FROM json_each(?2)) AND status = 'active'",
        tenant,
        names,
        now
    )
}

/// Removes a connection that still has `version`; the guard of a chain.
pub fn delete(tenant: &str, name: &str, version: i64) -> Sql {
    sql!("DELETE FROM connections WHERE tenant = ?1 AND name = ?2 AND version = ?3", tenant, name, version)
}

/// Erases the data key of a connection that is not there any more.
pub fn erase_credential(tenant: &str, name: &str) -> Sql {
    sql!(
        "DELETE FROM credentials WHERE tenant = ?1 AND connection = ?2 \
         AND NOT EXISTS (SELECT 1 FROM connections WHERE tenant = ?1 AND name = ?2)",
        tenant,
        name
    )
}

/// Reads a row.
pub fn read(row: &Reader<'_>) -> Result<Connection> {
    let credential = match row.optional_text("credential") {
        Some(id) => {
            Some(CredentialPointer { id, wrapped_key: row.text("wrapped_key")?, created_at: row.int("stored_at")? })
        }
        None => None,
    };
    Ok(Connection {
        name: row.text("name")?,
        kind: row.text("kind")?,
        settings: row.json("config")?,
        credential,
        status: row.name("status")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}
