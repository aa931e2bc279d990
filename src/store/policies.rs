//! Policies, and the pointer to the bundle of those in force.

use super::{Query, Reader, query, sql};
use crate::cedar::{Mode, Source};
use crate::error::Result;
use crate::ports::Sql;

macro_rules! columns {
    () => {
        "SELECT id, description, cedar, mode, version, created_at, updated_at FROM policies"
    };
}

/// A stored policy document.
pub struct Policy {
    /// What is evaluated.
    pub source: Source,
    /// For people.
    pub description: String,
    /// Counts changes to this row.
    pub version: i64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub updated_at: i64,
}

/// The policy of that id.
pub fn get(tenant: &str, id: &str) -> Query<Policy> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND id = ?2"), tenant, id)
}

/// Policies after `after`, by id.
pub fn list(tenant: &str, after: &str, limit: i64) -> Query<Policy> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3"), tenant, after, limit)
}

/// Every policy, by id: what the bundle is made of.
pub fn all(tenant: &str) -> Query<Policy> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 ORDER BY id"), tenant)
}

/// Moves the tenant's pointer to another bundle if its policies have not changed since `version`; the guard of a chain. The
/// bundle that it moves from would not do as a guard, for a policy can change in what the bundle does not hold.
pub fn point(tenant: &str, version: i64, to: &str) -> Sql {
    sql!(
        "UPDATE tenants SET policy_hash = ?3, policy_version = policy_version + 1 WHERE id = ?1 AND policy_version = ?2",
        tenant,
        version,
        to
    )
}

/// Writes a policy if the statement before changed something.
pub fn put(tenant: &str, source: &Source, description: &str, now: i64) -> Sql {
    sql!(
        "INSERT INTO policies (tenant, id, description, cedar, mode, created_at, updated_at) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?6 WHERE changes() > 0 ON CONFLICT (tenant, id) DO UPDATE SET \
         description = excluded.description, cedar = excluded.cedar, mode = excluded.mode, \
         version = policies.version + 1, updated_at = excluded.updated_at",
        tenant,
        source.id.as_str(),
        description,
        source.cedar.as_str(),
        source.mode.as_str(),
        now
    )
}

/// Removes a policy if the statement before changed something.
pub fn delete(tenant: &str, id: &str) -> Sql {
    sql!("DELETE FROM policies WHERE tenant = ?1 AND id = ?2 AND changes() > 0", tenant, id)
}

/// Reads a row.
pub fn read(row: &Reader<'_>) -> Result<Policy> {
    let mode: Mode = row.name("mode")?;
    Ok(Policy {
        source: Source { id: row.text("id")?, cedar: row.text("cedar")?, mode },
        description: row.text("description")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}
