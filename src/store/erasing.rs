//! Erasing members of events in `AUDIT_DB`.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::ports::Sql;

/// An event that members can be erased of.
pub struct Erasable {
    /// Its id.
    pub id: String,
    /// What salts its members.
    pub salt: String,
    /// Its JSON.
    pub body: String,
}

fn read(row: &Reader<'_>) -> Result<Erasable> {
    Ok(Erasable { id: row.text("id")?, salt: row.text("salt")?, body: row.text("body")? })
}

/// The event of that id.
pub fn event(tenant: &str, id: &str) -> Query<Erasable> {
    query!(read, "SELECT id, salt, body FROM events WHERE tenant = ?1 AND id = ?2 AND salt IS NOT NULL", tenant, id)
}

/// Events that are about a user, that the user took part in, or that changed the user, after an id: the next ids, in any order, each with the event if that is
/// still there.
pub fn of_user(tenant: &str, user: &str, after: &str, limit: i64) -> Query<(String, Option<Erasable>)> {
    query!(
        |row| {
            let id = row.text("id")?;
            let found = row.optional_text("salt").zip(row.optional_text("body"));
            Ok((id.clone(), found.map(|(salt, body)| Erasable { id, salt, body })))
        },
        "SELECT i.id AS id, e.salt AS salt, e.body AS body FROM (SELECT id FROM (\
         SELECT * FROM (SELECT id FROM events INDEXED BY events_by_subject WHERE tenant = ?1 AND subject = ?2 AND id > ?3 ORDER BY id LIMIT ?4) \
         UNION SELECT * FROM (SELECT id FROM events INDEXED BY events_by_target WHERE tenant = ?1 AND target = ?2 AND id > ?3 ORDER BY id LIMIT ?4) \
         UNION SELECT * FROM (SELECT id FROM event_actors WHERE tenant = ?1 AND actor = ?2 AND id > ?3 ORDER BY id LIMIT ?4)\
         ) ORDER BY id LIMIT ?4) i LEFT JOIN events e ON e.tenant = ?1 AND e.id = i.id",
        tenant,
        user,
        after,
        limit
    )
}

/// What is left of an event.
pub struct Rest<'a> {
    /// Its JSON.
    pub body: &'a str,
    /// What salts what is left.
    pub salt: &'a str,
    /// Whom it is about, if that is left.
    pub subject: Option<&'a str>,
    /// What it has changed, if that is left.
    pub target: Option<&'a str>,
}

/// Replaces an event by what is left of it, if it is still as it was read.
pub fn replace(tenant: &str, before: &Erasable, rest: &Rest<'_>) -> Sql {
    sql!(
        "UPDATE events SET body = ?4, salt = ?5, subject = ?6, target = ?7 WHERE tenant = ?1 AND id = ?2 AND salt = ?3",
        tenant,
        before.id.as_str(),
        before.salt.as_str(),
        rest.body,
        rest.salt,
        rest.subject,
        rest.target
    )
}

/// Forgets who was in the chain of an event whose chain is gone: where another call has changed the event meanwhile, the chain is there, and stays found.
pub fn forget_actors(tenant: &str, id: &str) -> Sql {
    sql!(
        "DELETE FROM event_actors WHERE tenant = ?1 AND id = ?2 \
         AND NOT EXISTS (SELECT 1 FROM events WHERE tenant = ?1 AND id = ?2 AND body ->> '$.chain' IS NOT NULL)",
        tenant,
        id
    )
}
