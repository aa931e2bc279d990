//! Stopping and resuming, the chains that were stopped, and the receipts.
//!
//! Status moves are guards of a chain: they change a row only if it is in a status from which the move can be made.

use super::approvals::{REDEEMED_WITHIN, waits_after};
use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::Status;
use crate::model::Stoppable::{Chain, Client, Connection, Identity, Tenant, User};
use crate::model::stop::{Receipt, StopTarget, Until};
use crate::ports::Sql;

/// The connections that the client, identity or user `?2` has leased from and whose tokens could still live.
macro_rules! leased {
    (client) => {
        "SELECT connection FROM lease_uses WHERE tenant = ?1 AND client = ?2"
    };
    (user) => {
        "SELECT connection FROM lease_uses WHERE tenant = ?1 AND subject = ?2"
    };
    (identity) => {
        "SELECT u.connection FROM identities i JOIN lease_uses u ON u.tenant = i.tenant AND u.client = i.client \
         AND u.subject = i.subject WHERE i.tenant = ?1 AND i.id = ?2"
    };
}

macro_rules! leases {
    ($which:literal) => {
        concat!("SELECT count(*) AS leases, max(expires_at) AS until FROM leases WHERE tenant = ?1 AND sealed IS NOT NULL AND ", $which)
    };
    (of $leased:expr) => {
        concat!(leases!("expires_at > ?3 AND connection IN ("), $leased, ")")
    };
}

/// The status of a record, when it was changed last, and what goes with it: two statements for one batch, read by
/// [`Census::with_leases`].
pub fn census(tenant: &str, target: StopTarget<'_>, now: i64) -> (Query<Census>, Query<(i64, Option<i64>)>) {
    let (record, leases) = census_sql(tenant, target, now);
    let read = |row: &Reader<'_>| Ok((row.int("leases")?, row.optional_int("until")));
    (Query { sql: record, read: read_census }, Query { sql: leases, read })
}

fn census_sql(tenant: &str, StopTarget { kind, id }: StopTarget<'_>, now: i64) -> (Sql, Sql) {
    let leases_of = |text: &'static str| sql!(text, tenant, id, now);
    match kind {
        Client => (
            sql!(
                "SELECT status, updated_at, metadata ->> '$.client_name' AS name, \
                 (SELECT count(*) FROM client_secrets WHERE tenant = ?1 AND client = ?2 \
                 AND (expires_at IS NULL OR expires_at > ?3)) AS secrets, \
                 (SELECT count(*) FROM identities WHERE tenant = ?1 AND client = ?2) AS identities, \
                 (SELECT count(*) FROM refresh_families INDEXED BY refresh_families_by_client WHERE tenant = ?1 AND client = ?2 AND status = 'active' \
                 AND expires_at > ?3) AS families FROM clients WHERE tenant = ?1 AND id = ?2",
                tenant,
                id,
                now
            ),
            leases_of(leases!(of leased!(client))),
        ),
        Identity => (
            sql!(
                "SELECT status, updated_at, client, subject, 0 AS secrets, 1 AS identities, \
                 (SELECT count(*) FROM refresh_families f INDEXED BY refresh_families_by_user WHERE f.tenant = ?1 AND f.user = identities.subject \
                 AND f.client = identities.client AND f.status = 'active' AND f.expires_at > ?3) AS families \
                 FROM identities WHERE tenant = ?1 AND id = ?2",
                tenant,
                id,
                now
            ),
            leases_of(leases!(of leased!(identity))),
        ),
        User => (
            sql!(
                "SELECT status, updated_at, body ->> '$.name' AS name, 0 AS secrets, \
                 (SELECT count(*) FROM identities WHERE tenant = ?1 AND subject = ?2) AS identities, \
                 (SELECT count(*) FROM refresh_families INDEXED BY refresh_families_by_user WHERE tenant = ?1 AND user = ?2 AND status = 'active' \
                 AND expires_at > ?3) AS families, \
                 (SELECT count(*) FROM sessions INDEXED BY sessions_by_user WHERE tenant = ?1 AND user = ?2 AND expires_at > ?3) AS sessions \
                 FROM users WHERE tenant = ?1 AND id = ?2",
                tenant,
                id,
                now
            ),
            leases_of(leases!(of leased!(user))),
        ),
        // No row tells of a token that lives.
        Chain => (
            sql!(
                "SELECT CASE count(*) WHEN 0 THEN 'active' ELSE 'retired' END AS status, ?3 AS updated_at, 0 AS secrets, \
                 0 AS identities FROM stopped_chains WHERE tenant = ?1 AND jti = ?2",
                tenant,
                id,
                now
            ),
            sql!("SELECT 0 AS leases, NULL AS until"),
        ),
        Connection => (
            sql!(
                "SELECT status, updated_at, 0 AS identities, \
                 (SELECT count(*) FROM credentials WHERE tenant = ?1 AND connection = ?2) AS secrets \
                 FROM connections WHERE tenant = ?1 AND name = ?2",
                tenant,
                id
            ),
            sql!(leases!("connection = ?2 AND expires_at > ?3"), tenant, id, now),
        ),
        Tenant => (
            sql!(
                "SELECT status, updated_at, (SELECT count(*) FROM client_secrets WHERE tenant = ?1 \
                 AND (expires_at IS NULL OR expires_at > ?2)) AS secrets, \
                 (SELECT count(*) FROM identities WHERE tenant = ?1) AS identities, \
                 (SELECT count(*) FROM refresh_families WHERE tenant = ?1 AND status = 'active' AND expires_at > ?2) AS families, \
                 (SELECT count(*) FROM sessions WHERE tenant = ?1 AND expires_at > ?2) AS sessions, name FROM tenants WHERE id = ?1",
                id,
                now
            ),
            sql!(leases!("expires_at > ?2"), id, now),
        ),
    }
}

/// The connections whose kept tokens go when the record is stopped for good.
pub fn leased_from(tenant: &str, StopTarget { kind, id }: StopTarget<'_>) -> Option<Query<String>> {
    let text = match kind {
        Client => leased!(client),
        Identity => leased!(identity),
        User => leased!(user),
        Connection | Chain | Tenant => return None,
    };
    Some(query!(|row| row.text("connection"), text, tenant, id))
}

/// What [`census`] tells.
pub struct Census {
    /// The status of the record.
    pub status: Status,
    /// When its row was changed last.
    pub updated_at: i64,
    /// What it is called, if it has a name beside its id.
    pub name: Option<String>,
    /// Secrets that had not expired, or credentials.
    pub secrets: i64,
    /// Agentic identities.
    pub identities: i64,
    /// Refresh families that had not ended.
    pub refresh_families: i64,
    /// Sessions that had not ended.
    pub sessions: i64,
    /// Downstream tokens that can be reused.
    pub leases: i64,
    /// When the last of them expires.
    pub leases_expire_by: Option<i64>,
    /// Client and subject of an agentic identity.
    pub parties: Option<(String, String)>,
}

impl Census {
    /// With what the second statement tells: how many downstream tokens are kept, and when the last of them expires.
    pub fn with_leases(self, (leases, leases_expire_by): (i64, Option<i64>)) -> Self {
        Self { leases, leases_expire_by, ..self }
    }
}

fn read_census(row: &Reader<'_>) -> Result<Census> {
    Ok(Census {
        status: row.name("status")?,
        updated_at: row.int("updated_at")?,
        name: row.optional_text("name"),
        secrets: row.int("secrets")?,
        identities: row.int("identities")?,
        refresh_families: row.optional_int("families").unwrap_or_default(),
        sessions: row.optional_int("sessions").unwrap_or_default(),
        leases: 0,
        leases_expire_by: None,
        parties: row.optional_text("client").zip(row.optional_text("subject")),
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

/// Changes the status of a record, not to `retired`. A chain can only be stopped for good, and a tenant is suspended by changing it.
pub fn set_status(
    tenant: &str,
    StopTarget { kind, id }: StopTarget<'_>,
    from: Status,
    to: Status,
    now: i64,
) -> Option<Sql> {
    let text = match kind {
        Client => set_status!("clients", "id", ", version = version + 1"),
        Identity => set_status!("identities", "id", ""),
        User => set_status!("users", "id", ", version = version + 1"),
        Connection => set_status!("connections", "name", ", version = version + 1"),
        Chain | Tenant => return None,
    };
    Some(sql!(text, tenant, id, from.as_str(), to.as_str(), now))
}

/// Suspends an active client or agentic identity if the statement before changed something.
pub fn suspend_if_changed(tenant: &str, StopTarget { kind, id }: StopTarget<'_>, now: i64) -> Option<Sql> {
    let text = match kind {
        Client => concat!(set_status!("clients", "id", ", version = version + 1"), " AND changes() > 0"),
        Identity => concat!(set_status!("identities", "id", ""), " AND changes() > 0"),
        User | Connection | Chain | Tenant => return None,
    };
    Some(sql!(text, tenant, id, Status::Active.as_str(), Status::Suspended.as_str(), now))
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

/// The moments at which a kill has taken effect, in seconds.
#[derive(Clone, Copy)]
pub struct Ends {
    /// The freshness bound is over in every isolate.
    pub bound: i64,
    /// The last token that could be honoured when the kill was made has expired.
    pub tokens: i64,
}

/// Stops a record for good; a tenant, until it is resumed.
pub fn retire(tenant: &str, StopTarget { kind, id }: StopTarget<'_>, now: i64, ends: Ends) -> Sql {
    match kind {
        Client => sql!(retire!("clients", ", version = version + 1"), tenant, id, now),
        Identity => sql!(retire!("identities", ""), tenant, id, now),
        User => sql!(retire!("users", ", version = version + 1"), tenant, id, now),
        // One that its client has revoked is stopped already, but has no receipt.
        Chain => sql!(
            "INSERT INTO stopped_chains (tenant, jti, until) VALUES (?1, ?2, ?3) ON CONFLICT (tenant, jti) DO UPDATE SET \
             until = max(until, excluded.until) WHERE NOT EXISTS \
             (SELECT 1 FROM receipts r WHERE r.tenant = ?1 AND r.kind = ?4 AND r.id = ?2)",
            tenant,
            id,
            ends.tokens,
            kind.as_str()
        ),
        Connection => sql!(
            "UPDATE connections SET status = 'retired', updated_at = ?3, version = version + 1 \
             WHERE tenant = ?1 AND name = ?2 AND status <> 'retired'",
            tenant,
            id,
            now
        ),
        // An isolate that has not heard of it yet may still issue: what it issues is not honoured after a resumption either.
        Tenant => sql!(
            "UPDATE tenants SET status = 'suspended', revoked_before = ?3, version = version + 1, \
             updated_at = ?2 WHERE id = ?1 AND (status <> 'suspended' OR revoked_before < updated_at)",
            id,
            now,
            ends.bound
        ),
    }
}

/// Stops a token and whatever is made from it, by the digest of its `jti`; the guard of a chain.
pub fn stop_chain(tenant: &str, jti: &str, Until { tokens, approvals }: Until) -> Sql {
    sql!(
        concat!(
            "INSERT INTO stopped_chains (tenant, jti, until) VALUES (?1, ?2, CASE WHEN ",
            waits_after!("?2"),
            " THEN ?4 ELSE ?3 END) ON CONFLICT DO NOTHING"
        ),
        tenant,
        jti,
        tokens,
        approvals,
        tokens.saturating_sub(REDEEMED_WITHIN)
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

/// The receipt of a record that was stopped for good.
pub fn kept(tenant: &str, StopTarget { kind, id }: StopTarget<'_>) -> Query<Receipt> {
    query!(read, "SELECT body FROM receipts WHERE tenant = ?1 AND kind = ?2 AND id = ?3", tenant, kind.as_str(), id)
}

/// Reads a receipt.
fn read(row: &Reader<'_>) -> Result<Receipt> {
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

/// How many rows of what people have allowed go with a record at once, of each table.
const WITH_IT: i64 = 10_000;

/// What holds in any case once a record has been stopped for good: no downstream token of it is handed out again, no credential of it can
/// be read, and what people have allowed it ends.
pub fn cascade(tenant: &str, target: StopTarget<'_>, now: i64) -> Vec<Sql> {
    let mut all = cascade_of_leases(tenant, target, now);
    all.extend(super::consents::cascade(tenant, target, WITH_IT));
    all.extend(super::approvals::cascade(tenant, target));
    all
}

fn cascade_of_leases(tenant: &str, StopTarget { kind, id }: StopTarget<'_>, now: i64) -> Vec<Sql> {
    let drop = |text: &'static str| vec![sql!(text, tenant, id)];
    match kind {
        Client => drop(drop_leases!(leased!(client), "clients")),
        Identity => drop(drop_leases!(leased!(identity), "identities")),
        User => {
            let mut all = drop(drop_leases!(leased!(user), "users"));
            all.extend(super::passkeys::delete_of_stopped(tenant, id));
            all.extend(super::accounts::end_of_user(tenant, id, now));
            all
        }
        Connection => {
            let mut all = drop(
                "DELETE FROM credentials WHERE tenant = ?1 AND connection = ?2 AND EXISTS \
                 (SELECT 1 FROM connections WHERE tenant = ?1 AND name = ?2 AND status = 'retired')",
            );
            all.extend(super::accounts::delete_of_connection(tenant, id));
            all.push(super::leases::forget(tenant, id));
            all
        }
        Tenant => vec![sql!(
            "DELETE FROM leases WHERE tenant = ?1 \
             AND EXISTS (SELECT 1 FROM tenants WHERE id = ?1 AND status = 'suspended')",
            id
        )],
        Chain => vec![],
    }
}

/// Forgets chains whose tokens have all expired, and their receipts; `limit` at the most.
pub fn forget(now: i64, limit: i64) -> [Sql; 2] {
    [
        sql!(
            "DELETE FROM receipts WHERE (tenant, kind, id) IN (SELECT tenant, ?2, jti FROM stopped_chains WHERE until < ?1 LIMIT ?3)",
            now,
            Chain.as_str(),
            limit
        ),
        sql!(
            "DELETE FROM stopped_chains WHERE (tenant, jti) IN (SELECT tenant, jti FROM stopped_chains WHERE until < ?1 LIMIT ?2)",
            now,
            limit
        ),
    ]
}
