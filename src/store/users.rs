//! Users, and what outside issuers call them.
//!
//! What a user is called is told by the user's own row; `accounts` is the index of it that finds users and keeps two of
//! them from having one account. After every change [`index`] brings it in line, whoever came first.

use super::registered::registered;
use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::User;
use crate::ports::Sql;

macro_rules! columns {
    () => {
        "SELECT id, body, status, revoked_before, version, created_at, updated_at FROM users"
    };
}

registered!("users", columns!(), read => User);

/// The users with these ids, a JSON array.
pub fn some(tenant: &str, ids: String) -> Query<User> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND id IN (SELECT value FROM json_each(?2))"), tenant, ids)
}

/// The user whom `issuer` calls `subject`.
pub fn by_account(tenant: &str, issuer: &str, subject: &str) -> Query<User> {
    query!(
        read,
        concat!(
            columns!(),
            " WHERE tenant = ?1 AND id = (SELECT user FROM accounts WHERE tenant = ?1 AND issuer = ?2 AND subject = ?3)"
        ),
        tenant,
        issuer,
        subject
    )
}

/// Makes a user, unless somebody has one of the accounts; the guard of a chain.
pub fn insert(tenant: &str, user: &User, body: String) -> Sql {
    sql!(
        "INSERT INTO users (tenant, id, body, created_at, updated_at) SELECT ?1, ?2, ?3, ?4, ?4 \
         WHERE NOT EXISTS (SELECT 1 FROM json_each(?3, '$.accounts') AS told CROSS JOIN accounts ON accounts.tenant = ?1 \
         AND accounts.issuer = told.value ->> 'issuer' AND accounts.subject = told.value ->> 'subject')",
        tenant,
        user.id.as_str(),
        body,
        user.created_at
    )
}

/// Changes a user who still has `version` and is not retired, unless somebody else has one of the accounts; the guard of a
/// chain.
pub fn update(tenant: &str, id: &str, version: i64, body: String, now: i64) -> Sql {
    sql!(
        "UPDATE users SET body = ?4, version = version + 1, updated_at = ?5 \
         WHERE tenant = ?1 AND id = ?2 AND version = ?3 AND status <> 'retired' \
         AND NOT EXISTS (SELECT 1 FROM json_each(?4, '$.accounts') AS told CROSS JOIN accounts ON accounts.tenant = ?1 \
         AND accounts.issuer = told.value ->> 'issuer' AND accounts.subject = told.value ->> 'subject' \
         AND accounts.user <> ?2)",
        tenant,
        id,
        version,
        body,
        now
    )
}

/// Brings the accounts of a user in line with the user's row.
pub fn index(tenant: &str, user: &str) -> [Sql; 2] {
    [
        sql!(
            "DELETE FROM accounts WHERE tenant = ?1 AND user = ?2 AND NOT EXISTS (SELECT 1 FROM users, \
             json_each(users.body, '$.accounts') AS told WHERE users.tenant = ?1 AND users.id = ?2 \
             AND accounts.issuer = told.value ->> 'issuer' AND accounts.subject = told.value ->> 'subject')",
            tenant,
            user
        ),
        sql!(
            "INSERT INTO accounts (tenant, issuer, subject, user) \
             SELECT ?1, told.value ->> 'issuer', told.value ->> 'subject', ?2 \
             FROM users, json_each(users.body, '$.accounts') AS told WHERE users.tenant = ?1 AND users.id = ?2 \
             ON CONFLICT DO NOTHING",
            tenant,
            user
        ),
    ]
}

/// Reads a row.
pub fn read(row: &Reader<'_>) -> Result<User> {
    Ok(User {
        id: row.text("id")?,
        body: row.json("body")?,
        status: row.name("status")?,
        revoked_before: row.int("revoked_before")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}
