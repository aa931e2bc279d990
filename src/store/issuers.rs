//! Outside issuers, and the clients that trust them.

use super::registered::{read, registered};
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

registered!("issuers", columns!(), read => Issuer);

/// The issuer with that `iss`.
pub fn by_issuer(tenant: &str, iss: &str) -> Query<Issuer> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND issuer = ?2"), tenant, iss)
}

/// The issuers that people may sign in with, by id: what is good for something else may be among them.
pub fn for_sign_in(tenant: &str, limit: i64) -> Query<Issuer> {
    query!(
        read,
        concat!(columns!(), " WHERE tenant = ?1 AND instr(body, '\"sign_in\"') > 0 ORDER BY id LIMIT ?2"),
        tenant,
        limit
    )
}

/// Puts a client secret that was sealed anew in the place of what it was sealed as.
pub fn reseal(tenant: &str, id: &str, old: &str, new: &str) -> Sql {
    sql!(
        "UPDATE issuers SET body = json_set(body, '$.client_secret', ?4) \
         WHERE tenant = ?1 AND id = ?2 AND body ->> '$.client_secret' = ?3",
        tenant,
        id,
        old,
        new
    )
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
