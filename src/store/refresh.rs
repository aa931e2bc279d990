//! Refresh families. A rotation is a compare-and-swap of the generation; no token is stored.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::RefreshFamily;
use crate::ports::Sql;

/// The family of that name, revoked or not.
pub fn get(tenant: &str, id: &str) -> Query<RefreshFamily> {
    query!(
        read,
        "SELECT id, client, user, body, generation, rotated_at, rotated_by, status, expires_at FROM refresh_families \
         WHERE tenant = ?1 AND id = ?2",
        tenant,
        id
    )
}

/// Begins a family if the statement before changed something.
pub fn insert_if_changed(tenant: &str, family: &RefreshFamily, body: String) -> Sql {
    sql!(
        "INSERT INTO refresh_families (tenant, id, consent, client, user, body, generation, rotated_at, rotated_by, expires_at) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 WHERE changes() > 0",
        tenant,
        family.id.as_str(),
        family.body.consent.clone().unwrap_or_default(),
        family.client.as_str(),
        family.user.as_str(),
        body,
        family.generation,
        family.rotated_at,
        family.rotated_by.clone(),
        family.expires_at
    )
}

/// Moves a family on from `generation`, if it is still there, nobody revoked it, and its consent is at that version; the guard of a chain.
pub fn rotate(tenant: &str, family: &RefreshFamily, consent_version: i64, at: i64, by: Option<String>) -> Sql {
    sql!(
        "UPDATE refresh_families SET generation = generation + 1, rotated_at = ?4, rotated_by = ?5 \
         WHERE tenant = ?1 AND id = ?2 AND generation = ?3 AND status = 'active' AND EXISTS \
         (SELECT 1 FROM consents c WHERE c.tenant = ?1 AND c.id = refresh_families.consent AND c.version = ?6)",
        tenant,
        family.id.as_str(),
        family.generation,
        at,
        by,
        consent_version
    )
}

/// Revokes a family; the guard of a chain.
pub fn revoke(tenant: &str, id: &str) -> Sql {
    sql!(
        "UPDATE refresh_families SET status = 'revoked' WHERE tenant = ?1 AND id = ?2 AND status = 'active'",
        tenant,
        id
    )
}

/// Revokes all families of a person; the guard of a chain.
pub fn revoke_of_user(tenant: &str, user: &str) -> Sql {
    sql!(
        "UPDATE refresh_families INDEXED BY refresh_families_by_user SET status = 'revoked' \
         WHERE tenant = ?1 AND user = ?2 AND status = 'active'",
        tenant,
        user
    )
}

/// Forgets families that have ended, `limit` at the most.
pub fn forget(now: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM refresh_families WHERE (tenant, id) IN (SELECT tenant, id FROM refresh_families WHERE expires_at <= ?1 LIMIT ?2)",
        now,
        limit
    )
}

fn read(row: &Reader<'_>) -> Result<RefreshFamily> {
    Ok(RefreshFamily {
        id: row.text("id")?,
        client: row.text("client")?,
        user: row.text("user")?,
        body: row.json("body")?,
        generation: row.int("generation")?,
        rotated_at: row.int("rotated_at")?,
        rotated_by: row.optional_text("rotated_by"),
        is_revoked: row.text("status")? == "revoked",
        expires_at: row.int("expires_at")?,
    })
}
