//! Counts for whoever watches the service.

use super::{Query, query};

/// What a tenant has.
pub struct Counts {
    /// Clients.
    pub clients: i64,
    /// Agentic identities.
    pub identities: i64,
    /// Users.
    pub users: i64,
    /// Connections.
    pub connections: i64,
    /// Policies.
    pub policies: i64,
    /// Signals that wait for their receivers.
    pub signals: i64,
}

/// Counts what a tenant has.
pub fn of(tenant: &str) -> Query<Counts> {
    query!(
        |row| Ok(Counts {
            clients: row.int("clients")?,
            identities: row.int("identities")?,
            users: row.int("users")?,
            connections: row.int("connections")?,
            policies: row.int("policies")?,
            signals: row.int("signals")?,
        }),
        "SELECT (SELECT count(*) FROM clients WHERE tenant = ?1) AS clients, \
         (SELECT count(*) FROM identities WHERE tenant = ?1) AS identities, \
         (SELECT count(*) FROM users WHERE tenant = ?1) AS users, \
         (SELECT count(*) FROM connections WHERE tenant = ?1) AS connections, \
         (SELECT count(*) FROM policies WHERE tenant = ?1) AS policies, \
         (SELECT count(*) FROM signals WHERE tenant = ?1) AS signals",
        tenant
    )
}

/// Counts the events of all tenants that wait in the outbox.
pub fn outbox() -> Query<i64> {
    query!(|row| row.int("n"), "SELECT count(*) AS n FROM (SELECT 1 FROM outbox LIMIT 10000)")
}
