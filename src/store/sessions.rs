//! Sessions of people.

use super::{Query, Reader, query, sql};
use crate::crypto::Digest;
use crate::error::{Fault, Result};
use crate::model::Session;
use crate::ports::Sql;

/// The session of that digest, while it lasts.
pub fn get(tenant: &str, id: &str, now: i64) -> Query<Session> {
    query!(
        read,
        "SELECT id, user, issuer, sid, acr, auth_time, expires_at FROM sessions WHERE tenant = ?1 AND id = ?2 AND expires_at > ?3",
        tenant,
        id,
        now
    )
}

macro_rules! insert {
    ($tenant:expr, $session:expr, $when:literal) => {
        sql!(
            concat!(
                "INSERT INTO sessions (tenant, id, user, issuer, sid, acr, auth_time, expires_at) \
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE ",
                $when
            ),
            $tenant,
            $session.id.to_text(),
            $session.user.as_str(),
            $session.issuer.as_str(),
            $session.sid.clone(),
            $session.acr.clone(),
            $session.auth_time,
            $session.expires_at
        )
    };
}

/// Begins a session of a person who is active; the guard of a chain.
pub fn insert(tenant: &str, session: &Session) -> Sql {
    insert!(tenant, session, "EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?3 AND status = 'active')")
}

/// Begins a session if the statement before changed something.
pub fn insert_if_changed(tenant: &str, session: &Session) -> Sql {
    insert!(tenant, session, "changes() > 0")
}

/// Ends a session; the guard of a chain.
pub fn delete(tenant: &str, id: &str) -> Sql {
    sql!("DELETE FROM sessions WHERE tenant = ?1 AND id = ?2", tenant, id)
}

/// Ends all sessions of a person; the guard of a chain.
pub fn delete_of_user(tenant: &str, user: &str) -> Sql {
    sql!("DELETE FROM sessions WHERE tenant = ?1 AND user = ?2", tenant, user)
}

/// Whose session an issuer calls `sid`.
pub fn user_of(tenant: &str, issuer: &str, sid: &str) -> Query<String> {
    query!(
        |row| row.text("user"),
        "SELECT user FROM sessions INDEXED BY sessions_by_sid WHERE tenant = ?1 AND issuer = ?2 AND sid = ?3 LIMIT 1",
        tenant,
        issuer,
        sid
    )
}

/// Ends the sessions of a person that an issuer calls `sid`; the guard of a chain.
pub fn delete_by_sid(tenant: &str, issuer: &str, sid: &str, user: &str) -> Sql {
    sql!(
        "DELETE FROM sessions INDEXED BY sessions_by_sid WHERE tenant = ?1 AND issuer = ?2 AND sid = ?3 AND user = ?4",
        tenant,
        issuer,
        sid,
        user
    )
}

/// Ends the sessions of a person that an issuer has begun; the guard of a chain.
pub fn delete_by_issuer(tenant: &str, issuer: &str, user: &str) -> Sql {
    sql!(
        "DELETE FROM sessions INDEXED BY sessions_by_user WHERE tenant = ?1 AND user = ?3 AND issuer = ?2",
        tenant,
        issuer,
        user
    )
}

/// Forgets sessions that have ended, `limit` at the most.
pub fn forget(now: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM sessions WHERE (tenant, id) IN (SELECT tenant, id FROM sessions WHERE expires_at <= ?1 LIMIT ?2)",
        now,
        limit
    )
}

fn read(row: &Reader<'_>) -> Result<Session> {
    Ok(Session {
        id: Digest::from_text(&row.text("id")?).ok_or(Fault::Broken("a stored digest is none"))?,
        user: row.text("user")?,
        issuer: row.text("issuer")?,
        sid: row.optional_text("sid"),
        acr: row.optional_text("acr"),
        auth_time: row.int("auth_time")?,
        expires_at: row.int("expires_at")?,
    })
}
