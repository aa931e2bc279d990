//! What findings ask of the tables. Each question is about records whose ids it is given.

use super::{Query, Reader, query};
use crate::error::Result;

/// What the newest tokens of a client tell.
pub struct Sample {
    /// The addresses of those of the last day.
    pub recent: Vec<String>,
    /// The addresses of those before.
    pub before: Vec<String>,
    /// The scopes of those of the period.
    pub scopes: Vec<String>,
    /// How many tokens the scopes are of.
    pub tokens: usize,
}

/// Those of these users, a JSON array of ids, who are there and active.
pub fn active_users(tenant: &str, users: String) -> Query<String> {
    query!(
        |row| row.text("id"),
        "SELECT u.id FROM json_each(?2) n CROSS JOIN users u ON u.tenant = ?1 AND u.id = n.value WHERE u.status = 'active'",
        tenant,
        users
    )
}

macro_rules! newest {
    ($what:literal, $which:literal) => {
        concat!(
            "(SELECT json_group_array(value) FROM (SELECT ",
            $what,
            " AS value FROM events INDEXED BY events_by_client_and_type WHERE tenant = ?1 AND client = c.value \
             AND type = 'token.issued' AND ",
            $which,
            " ORDER BY id DESC LIMIT ?5) WHERE value IS NOT NULL)"
        )
    };
}

/// What the newest tokens of these clients, a JSON array of ids, tell: since `from`, and since `day`, which are ids.
pub fn samples(tenant: &str, clients: String, (from, day): (&str, &str), limit: i64) -> Query<(String, Sample)> {
    query!(
        read_sample,
        concat!(
            "SELECT c.value AS client, ",
            newest!("body ->> '$.ip'", "id >= ?4"),
            " AS recent, ",
            newest!("body ->> '$.ip'", "id < ?4"),
            " AS before, ",
            newest!("coalesce(body ->> '$.scope_given', '')", "id >= ?3"),
            " AS scopes FROM json_each(?2) c"
        ),
        tenant,
        clients,
        from,
        day,
        limit
    )
}

fn read_sample(row: &Reader<'_>) -> Result<(String, Sample)> {
    let scopes: Vec<String> = row.json("scopes")?;
    let (recent, before, tokens) = (row.json("recent")?, row.json("before")?, scopes.len());
    Ok((row.text("client")?, Sample { recent, before, scopes, tokens }))
}

/// Those of these connections, a JSON array of names, that nobody has used since an id.
pub fn unused_connections(tenant: &str, names: String, from: &str) -> Query<String> {
    query!(
        |row| row.text("name"),
        "SELECT c.value AS name FROM json_each(?2) c WHERE NOT EXISTS (SELECT 1 FROM events INDEXED BY events_by_connection \
         WHERE tenant = ?1 AND body ->> '$.connection' = c.value AND body ->> '$.connection' IS NOT NULL AND id >= ?3 \
         AND +type IN ('lease.granted', 'proxy.started', 'proxy.called'))",
        tenant,
        names,
        from
    )
}
