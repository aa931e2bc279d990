//! Stopping and resuming, the chains that were stopped, and the receipts.
//!
//! Status moves are guards of a chain: they change a row only if it is in a status from which the move can be made.

use super::{Reader, sql};
use crate::error::Result;
use crate::model::Stoppable::{self, Chain, Client, Connection, Identity, Tenant, User};
use crate::model::stop::Receipt;
use crate::model::{EventType, Status};
use crate::ports::Sql;

/// The connections that somebody has leased since the event `?3`, which is of type `?4`.
macro_rules! leased {
    (client) => {
        "SELECT body ->> 'connection' FROM events WHERE tenant = ?1 AND client = ?2 AND id > ?3 AND type = ?4"
    };
    ($column:literal) => {
        concat!(
            "SELECT e.body ->> 'connection' FROM identities i JOIN events e ON e.tenant = i.tenant AND e.client = i.client \
             AND e.id > ?3 AND e.type = ?4 AND e.body ->> 'subject' = i.subject WHERE i.tenant = ?1 AND i.",
            $column,
            " = ?2"
        )
    };
}

macro_rules! leases {
    ($which:literal) => {
        concat!("SELECT count(*) AS leases, max(expires_at) AS until FROM leases WHERE tenant = ?1 AND sealed IS NOT NULL AND ", $which)
    };
    (of $leased:expr) => {
        concat!(leases!("expires_at > ?5 AND connection IN ("), $leased, ")")
    };
}

/// The status of a thing, when it was changed last, and what goes with it: two statements for one batch, read by
/// [`census_of`]. `since` is the id of an event: what was leased before has expired.
pub fn census(tenant: &str, (kind, id): (Stoppable, &str), now: i64, since: &str) -> [Sql; 2] {
    let leases_of = |text: &'static str| sql!(text, tenant, id, since, EventType::LeaseGranted.as_str(), now);
    match kind {
        Client => [
            sql!(
                "SELECT status, updated_at, (SELECT count(*) FROM client_secrets WHERE tenant = ?1 AND client = ?2 \
                 AND (expires_at IS NULL OR expires_at > ?3)) AS secrets, \
                 (SELECT count(*) FROM identities WHERE tenant = ?1 AND client = ?2) AS identities \
                 FROM clients WHERE tenant = ?1 AND id = ?2",
                tenant,
                id,
                now
            ),
            leases_of(leases!(of leased!(client))),
        ],
        Identity => [
            sql!(
                "SELECT status, updated_at, client, subject, 0 AS secrets, 1 AS identities FROM identities \
                 WHERE tenant = ?1 AND id = ?2",
                tenant,
                id
            ),
            leases_of(leases!(of leased!("id"))),
        ],
        User => [
            sql!(
                "SELECT status, updated_at, 0 AS secrets, \
                 (SELECT count(*) FROM identities WHERE tenant = ?1 AND subject = ?2) AS identities \
                 FROM users WHERE tenant = ?1 AND id = ?2",
                tenant,
                id
            ),
            leases_of(leases!(of leased!("subject"))),
        ],
        // No row tells of a token that lives.
        Chain => [
            sql!(
                "SELECT CASE count(*) WHEN 0 THEN 'active' ELSE 'retired' END AS status, ?3 AS updated_at, 0 AS secrets, \
                 0 AS identities FROM stopped_chains WHERE tenant = ?1 AND jti = ?2",
                tenant,
                id,
                now
            ),
            sql!("SELECT 0 AS leases, NULL AS until"),
        ],
        Connection => [
            sql!(
                "SELECT status, updated_at, 0 AS identities, \
                 (SELECT count(*) FROM credentials WHERE tenant = ?1 AND connection = ?2) AS secrets \
                 FROM connections WHERE tenant = ?1 AND name = ?2",
                tenant,
                id
            ),
            sql!(leases!("connection = ?2 AND expires_at > ?3"), tenant, id, now),
        ],
        Tenant => [
            sql!(
                "SELECT status, updated_at, (SELECT count(*) FROM client_secrets WHERE tenant = ?1 \
                 AND (expires_at IS NULL OR expires_at > ?2)) AS secrets, \
                 (SELECT count(*) FROM identities WHERE tenant = ?1) AS identities FROM tenants WHERE id = ?1",
                id,
                now
            ),
            sql!(leases!("expires_at > ?2"), id, now),
        ],
    }
}

/// What [`census`] tells.
pub struct Census {
    /// Where the thing is in its life.
    pub status: Status,
    /// When its row was changed last.
    pub updated_at: i64,
    /// Secrets that had not expired, or credentials.
    pub secrets: i64,
    /// Agentic identities.
    pub identities: i64,
    /// Downstream tokens that can be reused.
    pub leases: i64,
    /// When the last of them expires.
    pub leases_expire_by: Option<i64>,
    /// Client and subject of an agentic identity.
    pub parties: Option<(String, String)>,
}

/// Reads the rows of [`census`].
pub fn census_of(thing: &Reader<'_>, leases: &Reader<'_>) -> Result<Census> {
    Ok(Census {
        status: thing.name("status")?,
        updated_at: thing.int("updated_at")?,
        secrets: thing.int("secrets")?,
        identities: thing.int("identities")?,
        leases: leases.int("leases")?,
        leases_expire_by: leases.optional_int("until"),
        parties: thing.optional_text("client").zip(thing.optional_text("subject")),
    })
}

macro_rules! set_status {
    ($table:literal, $key:literal, $version:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " SET status = ?4, updated_at = ?5",
            $version,
            " WHERE tenant = ?1 AND ",
            $key,
            " = ?2 AND status = ?3"
        )
    };
}

/// Moves a thing from one status to another that is not the last. A chain can only be stopped for good, and a tenant is
/// suspended by changing it.
pub fn set_status(tenant: &str, (kind, id): (Stoppable, &str), (from, to): (Status, Status), now: i64) -> Option<Sql> {
    let text = match kind {
        Client => set_status!("clients", "id", ", version = version + 1"),
        Identity => set_status!("identities", "id", ""),
        User => set_status!("users", "id", ", version = version + 1"),
        Connection => set_status!("connections", "name", ", version = version + 1"),
        Chain | Tenant => return None,
    };
    Some(sql!(text, tenant, id, from.as_str(), to.as_str(), now))
}

macro_rules! retire {
    ($table:literal, $set:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " SET status = 'retired', revoked_before = ?3, updated_at = ?3",
            $set,
            " WHERE tenant = ?1 AND id = ?2 AND status <> 'retired'"
        )
    };
}

/// Stops a thing for good; a tenant, until it is resumed. `until` is when the last token that could be honoured now expires;
/// `held` is when the last isolate has heard of it.
pub fn retire(tenant: &str, (kind, id): (Stoppable, &str), now: i64, (held, until): (i64, i64)) -> Sql {
    match kind {
        Client => sql!(retire!("clients", ", version = version + 1"), tenant, id, now),
        Identity => sql!(retire!("identities", ""), tenant, id, now),
        User => sql!(retire!("users", ", version = version + 1"), tenant, id, now),
        Chain => stop_chain(tenant, id, until),
        Connection => sql!(
            "UPDATE connections SET status = 'retired', updated_at = ?3, version = version + 1 \
             WHERE tenant = ?1 AND name = ?2 AND status <> 'retired'",
            tenant,
            id,
            now
        ),
        // An isolate that has not heard of it yet may still issue: what it issues is not honoured after a resumption either.
        Tenant => sql!(
            "UPDATE tenants SET status = 'suspended', revoked_before = ?3, version = version + 1, epoch = epoch + 1, \
             updated_at = ?2 WHERE id = ?1 AND (status <> 'suspended' OR revoked_before < updated_at)",
            id,
            now,
            held
        ),
    }
}

/// Stops a token and whatever is made from it, by the digest of its `jti`; the guard of a chain.
pub fn stop_chain(tenant: &str, jti: &str, until: i64) -> Sql {
    sql!(
        "INSERT INTO stopped_chains (tenant, jti, until) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        tenant,
        jti,
        until
    )
}

/// Keeps a receipt if the statement before changed something.
pub fn keep(tenant: &str, receipt: &Receipt, body: String) -> Sql {
    sql!(
        "INSERT OR REPLACE INTO receipts (tenant, kind, id, body) SELECT ?1, ?2, ?3, ?4 WHERE changes() > 0",
        tenant,
        receipt.kind.as_str(),
        receipt.id.as_str(),
        body
    )
}

/// The receipt of a thing that was stopped for good.
pub fn kept(tenant: &str, (kind, id): (Stoppable, &str)) -> Sql {
    sql!("SELECT body FROM receipts WHERE tenant = ?1 AND kind = ?2 AND id = ?3", tenant, kind.as_str(), id)
}

/// Reads a receipt.
pub fn read(row: &Reader<'_>) -> Result<Receipt> {
    row.json("body")
}

macro_rules! drop_leases {
    ($leased:expr, $table:literal) => {
        concat!(
            "UPDATE leases SET sealed = NULL, expires_at = 0 WHERE tenant = ?1 AND sealed IS NOT NULL AND EXISTS (SELECT 1 FROM ",
            $table,
            " WHERE tenant = ?1 AND id = ?2 AND status = 'retired') AND connection IN (",
            $leased,
            ")"
        )
    };
}

/// What holds in any case once a thing has been stopped for good: nothing that was fetched for it is handed out again, and
/// no credential of it can be read.
pub fn cascade(tenant: &str, (kind, id): (Stoppable, &str), since: &str) -> Vec<Sql> {
    let drop = |text: &'static str| vec![sql!(text, tenant, id, since, EventType::LeaseGranted.as_str())];
    match kind {
        Client => drop(drop_leases!(leased!(client), "clients")),
        Identity => drop(drop_leases!(leased!("id"), "identities")),
        User => drop(drop_leases!(leased!("subject"), "users")),
        Connection => vec![
            sql!(
                "DELETE FROM credentials WHERE tenant = ?1 AND connection = ?2 AND EXISTS \
                 (SELECT 1 FROM connections WHERE tenant = ?1 AND name = ?2 AND status = 'retired')",
                tenant,
                id
            ),
            super::leases::forget(tenant, id),
        ],
        Tenant => vec![sql!(
            "DELETE FROM leases WHERE tenant = ?1 \
             AND EXISTS (SELECT 1 FROM tenants WHERE id = ?1 AND status = 'suspended')",
            id
        )],
        Chain => vec![],
    }
}

/// Forgets chains whose tokens have all expired, and their receipts.
pub fn forget(now: i64) -> [Sql; 2] {
    [
        sql!("DELETE FROM stopped_chains WHERE until < ?1", now),
        sql!(
            "DELETE FROM receipts WHERE kind = ?1 AND NOT EXISTS (SELECT 1 FROM stopped_chains \
             WHERE stopped_chains.tenant = receipts.tenant AND stopped_chains.jti = receipts.id)",
            Chain.as_str()
        ),
    ]
}
