//! Consents of people.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::Consent;
use crate::ports::Sql;

macro_rules! columns {
    () => {
        "SELECT id, user, client, redirect_host, resource, document, lines, version, created_at, updated_at FROM consents WHERE tenant = ?1 AND "
    };
}

/// The parties of a consent, by which there is one at the most.
#[derive(Clone, Copy)]
pub struct Parties<'a> {
    /// The person.
    pub user: &'a str,
    /// The client.
    pub client: &'a str,
    /// Where the client is answered.
    pub redirect_host: &'a str,
    /// The resource.
    pub resource: &'a str,
}

/// The consent of these parties.
pub fn of(tenant: &str, Parties { user, client, redirect_host, resource }: Parties<'_>) -> Query<Consent> {
    query!(
        read,
        concat!(columns!(), "user = ?2 AND client = ?3 AND redirect_host = ?4 AND resource = ?5"),
        tenant,
        user,
        client,
        redirect_host,
        resource
    )
}

/// The consent of that name.
pub fn get(tenant: &str, id: &str) -> Query<Consent> {
    query!(read, concat!(columns!(), "id = ?2"), tenant, id)
}

/// The consent that a code was issued under.
pub fn of_code(tenant: &str, code: &str) -> Query<Consent> {
    query!(
        read,
        concat!(
            columns!(),
            "id = (SELECT body ->> '$.authorization.consent' FROM codes WHERE tenant = ?1 AND id = ?2)"
        ),
        tenant,
        code
    )
}

/// The consent of a refresh family.
pub fn of_family(tenant: &str, family: &str) -> Query<Consent> {
    query!(
        read,
        concat!(columns!(), "id = (SELECT consent FROM refresh_families WHERE tenant = ?1 AND id = ?2)"),
        tenant,
        family
    )
}

/// The consents of a person, `limit` at the most.
pub fn of_user(tenant: &str, user: &str, limit: i64) -> Query<Consent> {
    query!(
        read,
        concat!(columns!(), "user = ?2 ORDER BY client, resource, redirect_host LIMIT ?3"),
        tenant,
        user,
        limit
    )
}

macro_rules! put {
    ($when:literal, $tenant:expr, $consent:expr, $lines:expr $(, $more:expr)?) => {
        sql!(
            concat!(
                "INSERT INTO consents (tenant, id, user, client, redirect_host, resource, document, lines, created_at, updated_at) \
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?10, ?10 \
                 WHERE EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?4 AND status = 'active')",
                $when,
                " ON CONFLICT (tenant, user, client, redirect_host, resource) \
                 DO UPDATE SET document = ?7, lines = ?8, updated_at = ?10 WHERE id = ?2 AND version = ?9"
            ),
            $tenant,
            $consent.id.as_str(),
            $consent.user.as_str(),
            $consent.client.as_str(),
            $consent.redirect_host.as_str(),
            $consent.resource.as_str(),
            $consent.document.as_str(),
            $lines,
            $consent.version,
            $consent.updated_at
            $(, $more)?
        )
    };
}

/// Writes a consent for an active client that is not there, or is still as `consent` has it; the guard of a chain.
pub fn put(tenant: &str, consent: &Consent, lines: String) -> Sql {
    put!("", tenant, consent, lines)
}

/// The same for a device that still waits.
pub fn put_for_device(tenant: &str, consent: &Consent, lines: String, device: &str) -> Sql {
    put!(
        " AND EXISTS (SELECT 1 FROM device_codes WHERE tenant = ?1 AND id = ?11 AND status = 'pending' AND expires_at > ?10)",
        tenant,
        consent,
        lines,
        device
    )
}

/// Takes lines back from a consent that is still at `version`: what was issued under it is not honoured any more. The guard of a chain.
pub fn narrow(tenant: &str, id: &str, version: i64, lines: String, now: i64) -> Sql {
    sql!(
        "UPDATE consents SET lines = ?4, version = version + 1, updated_at = ?5 WHERE tenant = ?1 AND id = ?2 AND version = ?3",
        tenant,
        id,
        version,
        lines,
        now
    )
}

/// Removes the consents for a client that is not there any more.
pub fn delete_orphaned(tenant: &str, client: &str) -> Sql {
    sql!(
        "DELETE FROM consents WHERE tenant = ?1 AND client = ?2 \
         AND NOT EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?2)",
        tenant,
        client
    )
}

/// Removes a consent; the guard of a chain.
pub fn delete(tenant: &str, id: &str, version: i64) -> Sql {
    sql!("DELETE FROM consents WHERE tenant = ?1 AND id = ?2 AND version = ?3", tenant, id, version)
}

fn read(row: &Reader<'_>) -> Result<Consent> {
    Ok(Consent {
        id: row.text("id")?,
        user: row.text("user")?,
        client: row.text("client")?,
        redirect_host: row.text("redirect_host")?,
        resource: row.text("resource")?,
        document: row.text("document")?,
        lines: row.json("lines")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}
