//! Agentic identities: making them, the directory, and what the status list needs of them.

use super::{Query, Reader, query, sql};
use crate::error::{Fault, Result};
use crate::model::identity::{Entry, Filter, Held};
use crate::model::{Identity, Status};
use crate::ports::Sql;

macro_rules! columns {
    () => {
        "SELECT id, place, client, subject, registered_by, status, held, revoked_before, created_at, updated_at FROM identities"
    };
}

/// The identity of a client with a subject.
pub fn of(tenant: &str, client: &str, subject: &str) -> Query<Identity> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND client = ?2 AND subject = ?3"), tenant, client, subject)
}

/// The identity of that name.
pub fn get(tenant: &str, id: &str) -> Query<Identity> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND id = ?2"), tenant, id)
}

/// The identities of a user with these clients, a JSON array of ids.
pub fn of_user(tenant: &str, user: &str, clients: String) -> Query<Identity> {
    query!(
        read,
        concat!(columns!(), " WHERE tenant = ?1 AND subject = ?2 AND client IN (SELECT value FROM json_each(?3))"),
        tenant,
        user,
        clients
    )
}

/// Lets the user stop an agent until they resume it, or resume it: from one to the other; the guard of a chain.
pub fn hold(tenant: &str, (client, user): (&str, &str), from: Held, to: Held, now: i64) -> Sql {
    sql!(
        "UPDATE identities SET held = ?5, updated_at = ?6 WHERE tenant = ?1 AND client = ?2 AND subject = ?3 AND held = ?4",
        tenant,
        client,
        user,
        from.number(),
        to.number(),
        now
    )
}

/// Lets the user stop an agent until they consent anew, if `known`, a JSON array of id and version, are all its consents; the guard of a
/// chain.
pub fn stop_by_user(tenant: &str, (client, user): (&str, &str), known: String, now: i64) -> Sql {
    sql!(
        "UPDATE identities SET held = 2, revoked_before = max(revoked_before, ?5), updated_at = ?5 \
         WHERE tenant = ?1 AND client = ?2 AND subject = ?3 AND NOT EXISTS (SELECT 1 FROM consents c \
         WHERE c.tenant = ?1 AND c.user = ?3 AND c.client = ?2 AND NOT EXISTS (SELECT 1 FROM json_each(?4) k \
         WHERE k.value ->> 'id' = c.id AND k.value ->> 'version' = c.version))",
        tenant,
        client,
        user,
        known,
        now
    )
}

/// Lets an agent that its user had stopped go on, once there is the code that they have consented to.
pub fn release(tenant: &str, (client, user): (&str, &str), code: &str, now: i64) -> Sql {
    sql!(
        "UPDATE identities SET held = 0, updated_at = ?5 WHERE tenant = ?1 AND client = ?2 AND subject = ?3 AND held <> 0 \
         AND EXISTS (SELECT 1 FROM codes WHERE tenant = ?1 AND id = ?4)",
        tenant,
        client,
        user,
        code,
        now
    )
}

/// Makes the identity if it is not there, with the next free place in the status list. One whose client or user has just been removed
/// is retired from the start.
pub fn ensure(tenant: &str, id: &str, (client, subject): (&str, &str), registered_by: &str, now: i64) -> Sql {
    sql!(
        "INSERT INTO identities (tenant, id, place, client, subject, registered_by, status, created_at, updated_at) \
         SELECT ?1, ?2, (SELECT coalesce(max(place), -1) + 1 FROM identities WHERE tenant = ?1), ?3, ?4, ?5, \
         CASE WHEN EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?3) \
         AND (EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?4) \
         OR EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?4)) THEN 'active' ELSE 'retired' END, ?6, ?6 \
         WHERE true ON CONFLICT (tenant, client, subject) DO NOTHING",
        tenant,
        id,
        client,
        subject,
        registered_by,
        now
    )
}

/// Retires the identities of a client that is not there any more, also those in which it is the subject.
pub fn retire_of_client(tenant: &str, client: &str, now: i64) -> Sql {
    sql!(
        "UPDATE identities SET status = 'retired', updated_at = ?3 WHERE tenant = ?1 AND id IN (\
         SELECT id FROM identities WHERE tenant = ?1 AND client = ?2 UNION \
         SELECT id FROM identities WHERE tenant = ?1 AND subject = ?2) AND status <> 'retired' \
         AND NOT EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?2)",
        tenant,
        client,
        now
    )
}

/// Retires the identities of a user who is not there any more.
pub fn retire_of_user(tenant: &str, user: &str, now: i64) -> Sql {
    sql!(
        "UPDATE identities SET status = 'retired', updated_at = ?3 WHERE tenant = ?1 AND subject = ?2 AND status <> 'retired' \
         AND NOT EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?2)",
        tenant,
        user,
        now
    )
}

/// The digests of the chains that were stopped and whose tokens could still live.
pub fn stopped_chains(tenant: &str, now: i64) -> Query<String> {
    query!(|row| row.text("jti"), "SELECT jti FROM stopped_chains WHERE tenant = ?1 AND until > ?2", tenant, now)
}

/// Where an identity stands with everyone in it: as the worst of identity, client and subject, a user or a client. One that its user has
/// stopped is suspended.
macro_rules! standing {
    () => {
        "CASE WHEN i.status = 'retired' OR coalesce(c.status, 'retired') = 'retired' \
         OR coalesce(u.status, s.status, 'retired') = 'retired' THEN 'retired' \
         WHEN i.held <> 0 OR 'suspended' IN (i.status, c.status, coalesce(u.status, s.status)) THEN 'suspended' ELSE 'active' END"
    };
}

macro_rules! joined {
    () => {
        " FROM identities i LEFT JOIN clients c ON c.tenant = i.tenant AND c.id = i.client \
         LEFT JOIN users u ON u.tenant = i.tenant AND u.id = i.subject \
         LEFT JOIN clients s ON s.tenant = i.tenant AND s.id = i.subject WHERE i.tenant = ?1 AND "
    };
}

macro_rules! entries {
    ($which:literal) => {
        concat!(
            "SELECT i.id, i.place, i.client, i.subject, i.registered_by, i.status, i.held, i.revoked_before, i.created_at, \
             i.updated_at, c.metadata, coalesce(u.body ->> '$.name', s.metadata ->> '$.client_name') AS subject_name, \
             c.status AS client_status, coalesce(u.status, CASE WHEN i.subject <> i.client THEN s.status END) AS user_status, ",
            standing!(),
            " AS standing",
            joined!(),
            $which
        )
    };
}

macro_rules! page {
    ($which:literal) => {
        concat!(
            "SELECT * FROM (",
            entries!($which),
            ") WHERE id > ?2 AND (?4 IS NULL OR standing = ?4) ORDER BY id LIMIT ?3"
        )
    };
}

/// The identity of that name, as the directory shows it.
pub fn entry(tenant: &str, id: &str) -> Query<Entry> {
    query!(read_entry, entries!("i.id = ?2"), tenant, id)
}

/// Identities after `after`, by id. Each filter has a statement of its own, so that each has its index.
pub fn list(tenant: &str, filter: &Filter<'_>, after: &str, limit: i64) -> Query<Entry> {
    let status = filter.status.map(Status::as_str);
    match (filter.client, filter.subject) {
        (Some(client), Some(subject)) => {
            query!(read_entry, page!("i.client = ?5 AND i.subject = ?6"), tenant, after, limit, status, client, subject)
        }
        (Some(client), None) => query!(read_entry, page!("i.client = ?5"), tenant, after, limit, status, client),
        (None, Some(subject)) => query!(read_entry, page!("i.subject = ?5"), tenant, after, limit, status, subject),
        (None, None) => query!(read_entry, page!("i.id > ?2"), tenant, after, limit, status),
    }
}

/// Reads a row of [`entry`] or [`list`].
pub fn read_entry(row: &Reader<'_>) -> Result<Entry> {
    let status = |column: &str| row.optional_text(column).map(|_| row.name(column)).transpose();
    Ok(Entry {
        identity: read(row)?,
        client: row.optional_text("metadata").map(|_| row.json("metadata")).transpose()?,
        subject_name: row.optional_text("subject_name"),
        client_status: status("client_status")?,
        user_status: status("user_status")?,
        status: row.name("standing")?,
    })
}

/// How many places of the status list are taken.
pub fn places(tenant: &str) -> Query<i64> {
    query!(
        |row| row.int("places"),
        "SELECT coalesce(max(place), -1) + 1 AS places FROM identities WHERE tenant = ?1",
        tenant
    )
}

/// The next places after `after` that do not stand as active: those of stopped identities, of those that their users have stopped, and of
/// stopped clients and users. Each has its index, so that what is active is not looked at.
pub fn stopped_places(tenant: &str, after: i64, limit: i64) -> Query<(i64, Status)> {
    query!(
        read_place,
        "SELECT place, CASE max(retired) WHEN 1 THEN 'retired' ELSE 'suspended' END AS standing FROM (\
         SELECT place, status = 'retired' AS retired FROM identities INDEXED BY identities_stopped \
         WHERE tenant = ?1 AND place > ?2 AND status <> 'active' UNION ALL \
         SELECT place, 0 FROM identities INDEXED BY identities_held WHERE tenant = ?1 AND place > ?2 AND held <> 0 UNION ALL \
         SELECT i.place, c.status = 'retired' FROM clients c INDEXED BY clients_stopped \
         CROSS JOIN identities i INDEXED BY identities_by_client ON i.tenant = ?1 AND i.client = c.id \
         WHERE c.tenant = ?1 AND c.status <> 'active' AND i.place > ?2 UNION ALL \
         SELECT i.place, c.status = 'retired' FROM clients c INDEXED BY clients_stopped \
         CROSS JOIN identities i INDEXED BY identities_by_subject ON i.tenant = ?1 AND i.subject = c.id \
         WHERE c.tenant = ?1 AND c.status <> 'active' AND i.place > ?2 UNION ALL \
         SELECT i.place, u.status = 'retired' FROM users u INDEXED BY users_stopped \
         CROSS JOIN identities i INDEXED BY identities_by_subject ON i.tenant = ?1 AND i.subject = u.id \
         WHERE u.tenant = ?1 AND u.status <> 'active' AND i.place > ?2) GROUP BY place ORDER BY place LIMIT ?3",
        tenant,
        after,
        limit
    )
}

/// Reads a row of [`stopped_places`].
pub fn read_place(row: &Reader<'_>) -> Result<(i64, Status)> {
    Ok((row.int("place")?, row.name("standing")?))
}

fn held(row: &Reader<'_>) -> Result<Held> {
    let number = row.int("held")?;
    Held::ALL.into_iter().find(|held| held.number() == number).ok_or_else(|| Fault::Broken("`held` is none").into())
}

/// Reads a row.
pub fn read(row: &Reader<'_>) -> Result<Identity> {
    Ok(Identity {
        id: row.text("id")?,
        place: row.int("place")?,
        client: row.text("client")?,
        subject: row.text("subject")?,
        registered_by: row.text("registered_by")?,
        status: row.name("status")?,
        held: held(row)?,
        revoked_before: row.int("revoked_before")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}
