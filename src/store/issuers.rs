//! Outside issuers, and the clients that trust them.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::issuer::WorkloadIdentity;
use crate::model::{Issuer, IssuerBody};
use crate::ports::Sql;

macro_rules! columns {
    () => {
        "SELECT id, body, version, created_at, updated_at FROM issuers"
    };
}

/// The issuer with that `iss`.
pub fn by_issuer(tenant: &str, iss: &str) -> Query<Issuer> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND issuer = ?2"), tenant, iss)
}

/// The issuer of that id.
pub fn get(tenant: &str, id: &str) -> Query<Issuer> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND id = ?2"), tenant, id)
}

/// Issuers of that name after `after`, by id.
pub fn named(tenant: &str, name: &str, after: &str, limit: i64) -> Query<Issuer> {
    query!(
        read,
        concat!(
            columns!(),
            " WHERE tenant = ?1 AND json_extract(body, '$.name') = ?4 AND id > ?2 ORDER BY id LIMIT ?3"
        ),
        tenant,
        after,
        limit,
        name
    )
}

/// Issuers after `after`, by id.
pub fn list(tenant: &str, after: &str, limit: i64) -> Query<Issuer> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3"), tenant, after, limit)
}

/// Registers an issuer; the guard of a chain.
pub fn insert(tenant: &str, id: &str, body: &IssuerBody, json: String, now: i64) -> Sql {
    sql!(
        "INSERT INTO issuers (tenant, id, issuer, body, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5) \
         ON CONFLICT DO NOTHING",
        tenant,
        id,
        body.issuer.as_str(),
        json,
        now
    )
}

/// Changes an issuer that still has `version`, unless another one has its `iss`; the guard of a chain.
pub fn update(tenant: &str, (id, version): (&str, i64), body: &IssuerBody, json: String, now: i64) -> Sql {
    sql!(
        "UPDATE OR IGNORE issuers SET issuer = ?3, body = ?4, version = version + 1, updated_at = ?6 \
         WHERE tenant = ?1 AND id = ?2 AND version = ?5",
        tenant,
        id,
        body.issuer.as_str(),
        json,
        version,
        now
    )
}

/// Removes an issuer that still has `version`; the guard of a chain.
pub fn delete(tenant: &str, id: &str, version: i64) -> Sql {
    sql!("DELETE FROM issuers WHERE tenant = ?1 AND id = ?2 AND version = ?3", tenant, id, version)
}

/// Reads a row.
pub fn read(row: &Reader<'_>) -> Result<Issuer> {
    Ok(Issuer {
        id: row.text("id")?,
        body: row.json("body")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}

/// The workload identities that name an issuer, with their clients. Most clients have none, and an index of those that do
/// keeps the others out of this.
pub fn workloads(tenant: &str, iss: &str) -> Query<(String, WorkloadIdentity)> {
    query!(
        read_workload,
        "SELECT clients.id AS client, identity.value AS identity \
         FROM clients, json_each(clients.metadata, '$.workload_identities') AS identity \
         WHERE clients.tenant = ?1 AND instr(clients.metadata, '\"workload_identities\"') > 0 \
         AND json_extract(identity.value, '$.issuer') = ?2 ORDER BY clients.id",
        tenant,
        iss
    )
}

/// Reads a row of [`workloads`].
pub fn read_workload(row: &Reader<'_>) -> Result<(String, WorkloadIdentity)> {
    Ok((row.text("client")?, row.json("identity")?))
}
