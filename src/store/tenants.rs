//! Tenants.

use super::{Reader, sql};
use crate::error::Result;
use crate::model::Tenant;
use crate::ports::Sql;

macro_rules! columns {
    () => {
        "SELECT id, name, zone, status, epoch, policy_hash, settings, revoked_before, version, created_at, updated_at FROM tenants"
    };
}

/// The pointer that every request reads.
pub fn get(tenant: &str) -> Sql {
    sql!(concat!(columns!(), " WHERE id = ?1"), tenant)
}

/// Every tenant after `after`, by id.
pub fn list(after: &str, limit: i64) -> Sql {
    sql!(concat!(columns!(), " WHERE id > ?1 ORDER BY id LIMIT ?2"), after, limit)
}

/// Makes a tenant; the guard of a chain.
pub fn insert(tenant: &Tenant, settings: String) -> Sql {
    sql!(
        "INSERT INTO tenants (id, name, zone, settings, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5) \
         ON CONFLICT DO NOTHING",
        tenant.id.as_str(),
        tenant.name.as_str(),
        tenant.zone.as_str(),
        settings,
        tenant.created_at
    )
}

/// Changes a tenant that still has `version`; the guard of a chain. Every isolate notices.
pub fn update(tenant: &Tenant, settings: String, now: i64) -> Sql {
    sql!(
        "UPDATE tenants SET name = ?2, zone = ?3, status = ?4, settings = ?5, version = version + 1, epoch = epoch + 1, \
         updated_at = ?7 WHERE id = ?1 AND version = ?6",
        tenant.id.as_str(),
        tenant.name.as_str(),
        tenant.zone.as_str(),
        tenant.status.as_str(),
        settings,
        tenant.version,
        now
    )
}

/// Tells every isolate that something changed; a link of a chain.
pub fn bump(tenant: &str) -> Sql {
    sql!("UPDATE tenants SET epoch = epoch + 1 WHERE id = ?1 AND changes() > 0", tenant)
}

/// Reads a row.
pub fn read(row: &Reader<'_>) -> Result<Tenant> {
    Ok(Tenant {
        id: row.text("id")?,
        name: row.text("name")?,
        zone: row.text("zone")?,
        status: row.name("status")?,
        epoch: row.int("epoch")?,
        policy_hash: row.text("policy_hash")?,
        settings: row.json("settings")?,
        revoked_before: row.int("revoked_before")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}
