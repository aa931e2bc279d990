//! Tenants.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::Tenant;
use crate::ports::Sql;

macro_rules! columns {
    () => {
        "SELECT id, name, zone, status, epoch, policy_hash, policy_version, settings, revoked_before, version, created_at, updated_at FROM tenants"
    };
}

/// The pointer that every request reads.
pub fn get(tenant: &str) -> Query<Tenant> {
    query!(read, concat!(columns!(), " WHERE id = ?1"), tenant)
}

/// Every tenant after `after`, by id.
pub fn list(after: &str, limit: i64) -> Query<Tenant> {
    query!(read, concat!(columns!(), " WHERE id > ?1 ORDER BY id LIMIT ?2"), after, limit)
}

/// Makes a tenant, unless another has or had its name; the guard of a chain.
pub fn insert(tenant: &Tenant, settings: String) -> Sql {
    sql!(
        "INSERT INTO tenants (id, name, zone, settings, created_at, updated_at) SELECT ?1, ?2, ?3, ?4, ?5, ?5 \
         WHERE NOT EXISTS (SELECT 1 FROM former_tenants WHERE id = ?1) ON CONFLICT DO NOTHING",
        tenant.id.as_str(),
        tenant.name.as_str(),
        tenant.zone.as_str(),
        settings,
        tenant.created_at
    )
}

/// Changes a tenant that still has `version`; the guard of a chain.
pub fn update(tenant: &Tenant, settings: String, now: i64) -> Sql {
    sql!(
        "UPDATE tenants SET name = ?2, zone = ?3, status = ?4, settings = ?5, version = version + 1, \
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

/// Whose cron visits a tenant: each keeps its own turn.
#[derive(Clone, Copy)]
pub enum Visitor {
    /// A Worker with the role `token`.
    Token,
    /// A Worker with the role `broker` and without `token`.
    Broker,
    /// A Worker without both.
    Other,
}

/// A tenant and when the cron visited it last, in seconds.
pub struct Visited {
    /// Its id.
    pub id: String,
    /// Seconds since the epoch.
    pub visited_at: i64,
}

/// Tenants that the cron has not visited for longest.
pub fn least_visited(visitor: Visitor, limit: i64) -> Query<Visited> {
    let read = |row: &Reader<'_>| Ok(Visited { id: row.text("id")?, visited_at: row.int("visited_at")? });
    match visitor {
        Visitor::Token => query!(
            read,
            "SELECT id, visited_by_token AS visited_at FROM tenants ORDER BY visited_by_token, id LIMIT ?1",
            limit
        ),
        Visitor::Broker => query!(
            read,
            "SELECT id, visited_by_broker AS visited_at FROM tenants ORDER BY visited_by_broker, id LIMIT ?1",
            limit
        ),
        Visitor::Other => query!(
            read,
            "SELECT id, visited_by_others AS visited_at FROM tenants ORDER BY visited_by_others, id LIMIT ?1",
            limit
        ),
    }
}

/// Notes the visit, unless another cron was first.
pub fn visit(visitor: Visitor, Visited { id, visited_at }: &Visited, now: i64) -> Sql {
    let text = match visitor {
        Visitor::Token => "UPDATE tenants SET visited_by_token = ?3 WHERE id = ?1 AND visited_by_token = ?2",
        Visitor::Broker => "UPDATE tenants SET visited_by_broker = ?3 WHERE id = ?1 AND visited_by_broker = ?2",
        Visitor::Other => "UPDATE tenants SET visited_by_others = ?3 WHERE id = ?1 AND visited_by_others = ?2",
    };
    sql!(text, id.as_str(), *visited_at, now)
}

/// Up to which client the cron has looked for those that are not used.
pub fn looked_at_client(tenant: &str) -> Query<String> {
    query!(|row| row.text("looked_at_client"), "SELECT looked_at_client FROM tenants WHERE id = ?1", tenant)
}

/// Notes up to which client it has looked.
pub fn look_at_client(tenant: &str, client: &str) -> Sql {
    sql!("UPDATE tenants SET looked_at_client = ?2 WHERE id = ?1", tenant, client)
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
        policy_version: row.int("policy_version")?,
        settings: row.json("settings")?,
        revoked_before: row.int("revoked_before")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}
