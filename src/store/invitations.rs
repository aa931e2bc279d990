//! Invitations to set up a passkey. One that was used stays until it would have expired.

use super::{Query, query, sql};
use crate::model::Invitation;
use crate::ports::Sql;

/// The invitation of that digest while it is good.
pub fn get(tenant: &str, id: &str, now: i64) -> Query<Invitation> {
    query!(
        |row| Ok(Invitation { id: row.text("id")?, user: row.text("user")?, expires_at: row.int("expires_at")? }),
        "SELECT id, user, expires_at FROM invitations WHERE tenant = ?1 AND id = ?2 AND used_at IS NULL AND expires_at > ?3",
        tenant,
        id,
        now
    )
}

/// Invites a user who is active; the guard of a chain.
pub fn insert(tenant: &str, invitation: &Invitation) -> Sql {
    sql!(
        "INSERT INTO invitations (tenant, id, user, expires_at) SELECT ?1, ?2, ?3, ?4 \
         WHERE EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?3 AND status = 'active')",
        tenant,
        invitation.id.as_str(),
        invitation.user.as_str(),
        invitation.expires_at
    )
}

/// Ends all invitations of a user but this one.
pub fn replace(tenant: &str, invitation: &Invitation) -> Sql {
    sql!(
        "DELETE FROM invitations WHERE tenant = ?1 AND user = ?2 AND id <> ?3",
        tenant,
        invitation.user.as_str(),
        invitation.id.as_str()
    )
}

/// Uses an invitation up if the statement before changed something.
pub fn use_if_changed(tenant: &str, id: &str, now: i64) -> Sql {
    sql!(
        "UPDATE invitations SET used_at = ?3 WHERE tenant = ?1 AND id = ?2 AND used_at IS NULL AND changes() > 0",
        tenant,
        id,
        now
    )
}

/// Forgets invitations that have expired, `limit` at the most.
pub fn forget(now: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM invitations WHERE (tenant, id) IN (SELECT tenant, id FROM invitations WHERE expires_at <= ?1 LIMIT ?2)",
        now,
        limit
    )
}
