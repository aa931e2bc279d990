//! The plan of every statement that runs, without statistics: nothing walks a table, or all rows of a tenant, but for a reason.
//!
//! A plan is looked at once a process.

use rusqlite::Connection;
use std::collections::HashSet;
use std::sync::{LazyLock, Mutex};

/// How a statement begins, how the step of its plan begins, and why it may be so.
const WALKS: &[(&str, &str, &str)] = &[
    (
        "SELECT id, body, attempts FROM outbox",
        "SCAN outbox USING INDEX outbox_by_tries",
        "the first few in their order",
    ),
    (
        "SELECT tenant FROM logs INDEXED BY logs_behind",
        "SCAN logs USING INDEX logs_behind",
        "the first few in their order",
    ),
    ("SELECT id, body FROM events INDEXED BY events_without_seq", "SEARCH events", "the first few in their order"),
    ("SELECT body FROM (SELECT e.id, e.type", "SCAN a", "a bounded number of those who stand in chains"),
    ("INSERT INTO events", "SEARCH events USING COVERING INDEX events_by_seq", "the most of an index is one step"),
    ("UPDATE logs SET size", "SEARCH events USING COVERING INDEX events_by_seq", "the most of an index is one step"),
    ("SELECT id, visited_by_token AS", "SCAN tenants USING COVERING INDEX", "the first few in their order"),
    ("SELECT id, visited_by_broker AS", "SCAN tenants USING COVERING INDEX", "the first few in their order"),
    ("SELECT id, visited_by_others AS", "SCAN tenants USING COVERING INDEX", "the first few in their order"),
    (
        "SELECT id FROM tenants WHERE EXISTS",
        "SCAN tenants USING COVERING INDEX",
        "in their order, while any signal is due",
    ),
    (
        "SELECT id, deleted_at, visited_at FROM former_tenants",
        "SCAN former_tenants USING INDEX former_tenants_left",
        "the first one",
    ),
    (
        "SELECT body FROM (SELECT * FROM",
        "USE TEMP B-TREE FOR ORDER BY",
        "two pages, of what a client did and of what was done to it, are put in order",
    ),
    ("WITH piece AS (SELECT", "SEARCH", "a piece of what a deleted tenant had, which is all to go"),
    ("SELECT count(*) AS n FROM (SELECT 1 FROM former_tenants", "SCAN former_tenants", "bounded"),
    ("SELECT count(*) AS n FROM (SELECT 1 FROM dead_letters LIMIT", "SCAN dead_letters", "bounded"),
    ("SELECT count(*) AS n FROM (SELECT 1 FROM clients", "SEARCH clients", "bounded"),
    ("SELECT count(*) AS n FROM (SELECT 1 FROM connections", "SEARCH connections", "bounded"),
    ("SELECT count(*) AS n FROM (SELECT 1 FROM policies", "SEARCH policies", "bounded"),
    (
        "SELECT id, tests FROM policies",
        "SEARCH policies USING INDEX policies_tested",
        "those with tests, a hundred at most",
    ),
    ("UPDATE token_counts", "SEARCH token_counts USING PRIMARY KEY", "one row of each tenant"),
    ("INSERT INTO clients", "SEARCH clients", "counted over an index, up to the quota"),
    ("INSERT INTO connections", "SEARCH connections", "counted over an index, up to the quota"),
    ("UPDATE tenants SET policy_hash", "SEARCH policies", "counted over an index, up to the quota"),
    ("SELECT c.id, c.metadata", "SCAN s", "the secrets of one client, which are bounded"),
    ("SELECT c.id, c.metadata", "USE TEMP B-TREE FOR ORDER BY", "the secrets of one client, which are bounded"),
    ("SELECT stream, count(*)", "USE TEMP B-TREE FOR GROUP BY", "what is stale is counted before it goes"),
    ("WITH RECURSIVE found (stream)", "SCAN found", "the streams of a tenant, a step each"),
    (
        "WITH RECURSIVE found (stream)",
        "SEARCH signals USING PRIMARY KEY (tenant=?)",
        "the least of an index is one step",
    ),
    ("DELETE FROM streams", "SEARCH streams", "one of each resource server"),
    ("INSERT INTO signals", "SEARCH t", "every stream gets the signal; one of each resource server"),
    ("INSERT INTO webhooks", "SEARCH webhooks", "ten at the most"),
    ("INSERT INTO sinks", "SEARCH sinks", "ten at the most"),
    (
        "SELECT i.id AS id, e.salt AS salt, e.body AS body FROM",
        "USE TEMP B-TREE FOR ORDER BY",
        "three pages, of who an event is about, whom it changed and who acted, are put in order",
    ),
    (
        "SELECT i.id AS id, e.salt AS salt, e.body AS body FROM",
        "UNION USING TEMP B-TREE",
        "three pages of ids at the most",
    ),
    ("SELECT i.id AS id, e.salt AS salt, e.body AS body FROM", "SCAN i", "a page of ids"),
    ("SELECT witness, size, checkpoint", "SEARCH log_witnesses", "four at the most"),
    ("DELETE FROM log_witnesses", "SEARCH log_witnesses", "four at the most"),
    ("SELECT s.tenant, s.id, s.body, s.sealed", "SEARCH s", "ten at the most of each tenant"),
    ("SELECT seq, id, at, type, body FROM (SELECT seq", "USE TEMP B-TREE FOR ORDER BY", "a batch of bounded length"),
    ("SELECT coalesce((SELECT counted FROM", "SEARCH counted_events", "one row of each tenant"),
    ("INSERT INTO event_counts", "SEARCH counted_events", "one row of each tenant"),
    ("UPDATE counted_events", "SEARCH counted_events", "one row of each tenant"),
    ("SELECT key, hour * 3600 AS at, refused FROM event_counts", "USE TEMP B-TREE FOR ORDER BY", "bursts of one day"),
    ("INSERT INTO event_counts", "USE TEMP B-TREE FOR GROUP BY", "events of bounded number, once"),
    ("WITH found AS (SELECT hour", "SCAN ", "the counts of a period"),
    ("WITH found AS (SELECT hour", "USE TEMP B-TREE", "the counts of a period"),
    ("INSERT INTO webhook_messages", "SEARCH w", "every webhook gets the message; ten at the most"),
    ("SELECT place, CASE max(retired)", "SEARCH c USING INDEX clients_stopped", "those that are stopped are wanted"),
    ("SELECT place, CASE max(retired)", "SEARCH u USING INDEX users_stopped", "those that are stopped are wanted"),
    (
        "SELECT id, user, client, redirect_host, resource, document, lines, version, created_at, updated_at, used FROM consents \
      WHERE tenant = ?1 AND user = ?2 AND +id",
        "USE TEMP B-TREE FOR ORDER BY",
        "the consents of one person",
    ),
    (
        "SELECT c.value AS client, (SELECT json_group_array",
        "USE TEMP B-TREE FOR GROUP BY",
        "the newest tokens of an agent, a bounded number",
    ),
    ("SELECT place, CASE max(retired)", "USE TEMP B-TREE FOR GROUP BY", "those that are stopped are wanted"),
    ("SELECT coalesce(max(place)", "SEARCH identities", "the most of an index is one step"),
    ("INSERT INTO identities", "SEARCH identities", "the most of an index is one step"),
    (
        "SELECT status, updated_at, (SELECT count(*) FROM client_secrets",
        "SEARCH",
        "killing a tenant counts what it has",
    ),
    ("SELECT count(*) AS leases, max(expires_at)", "SEARCH leases", "killing a tenant counts what it has"),
    ("DELETE FROM leases WHERE tenant = ?1 AND EXISTS", "SEARCH leases", "killing a tenant drops what it has"),
    ("SELECT n.key AS place", "SEARCH r", "a policy that is written looks for the resources and scopes that it names"),
    ("SELECT n.key AS place", "USE TEMP B-TREE FOR ORDER BY", "the names in one policy"),
    (
        "SELECT id, body, version, created_at, updated_at FROM issuers WHERE tenant = ?1 AND instr",
        "SEARCH issuers USING INDEX issuers_for_sign_in",
        "those that people sign in with, up to a bound",
    ),
    ("SELECT shard, hash", "SEARCH policy_shards", "193 at the most"),
    ("SELECT count(*) AS n FROM (SELECT 1 FROM outbox LIMIT", "SCAN outbox", "bounded"),
    ("SELECT (SELECT count(*) FROM clients", "SEARCH", "an administrator asks what the tenant has, over indexes"),
    (
        "SELECT id FROM clients WHERE tenant = ?1 AND (EXISTS",
        "SEARCH clients",
        "removing what clients refer to is rare",
    ),
    (
        "SELECT id, client, body, status, version FROM streams WHERE tenant = ?1 AND json_extract",
        "SEARCH streams",
        "one of each resource server",
    ),
    (
        "SELECT DISTINCT shard",
        "SEARCH policies USING COVERING INDEX policies_by_shard",
        "when all shards are written anew",
    ),
    ("SELECT id, description, cedar, mode", "SEARCH policies", "the bundle is made of all policies"),
    (
        "SELECT clients.id AS client, identity",
        "SEARCH clients USING INDEX clients_with_workloads",
        "workloads, remembered by issuer",
    ),
    ("SELECT kid, alg, state", "SEARCH signing_keys", "a handful"),
    ("SELECT id FROM passkeys WHERE tenant = ?1 LIMIT 1", "SEARCH passkeys", "the first one"),
    ("SELECT kid, alg, state", "USE TEMP B-TREE FOR ORDER BY", "a handful"),
    ("UPDATE signing_keys", "SEARCH signing_keys", "a handful"),
    ("DELETE FROM signing_keys", "SEARCH signing_keys", "a handful"),
    (
        "SELECT tenant, connection, id, wrapped_key FROM (",
        "SEARCH credentials USING INDEX credentials_by_version",
        "the first few from each end",
    ),
    (
        "SELECT tenant, connection, id, wrapped_key FROM (",
        "SEARCH connected_accounts USING INDEX connected_accounts_by_version",
        "the first few from each end",
    ),
    ("SELECT tenant, connection, id, wrapped_key FROM credentials LIMIT", "SCAN credentials", "the first few"),
    (
        "SELECT (SELECT count(*) FROM credentials WHERE",
        "SEARCH ended_accounts",
        "those of a day, when an administrator asks",
    ),
    (
        "DELETE FROM ended_accounts WHERE tenant = ?1 AND connection",
        "SEARCH ended_accounts",
        "those of a day, when a connection ends or gets another client",
    ),
    (
        "SELECT jti FROM stopped_chains",
        "SEARCH stopped_chains",
        "all are wanted; those whose tokens have died are removed",
    ),
];

/// Tables with one row of each tenant.
const ONE_ROW: &[&str] = &["logs", "log_keys", "token_counts"];

static LOOKED_AT: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);

/// Fails the test if the statement's plan walks a table.
pub fn look(connection: &Connection, text: &'static str) {
    if !LOOKED_AT.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(text) {
        return;
    }
    for step in walks(connection, text) {
        let known = WALKS.iter().any(|(statement, walk, _)| text.starts_with(statement) && step.starts_with(walk));
        assert!(known, "a plan walks a table, or sorts: {step}\n{text}");
    }
}

/// The steps of its plan that look at every row of a table, or of a tenant, or that sort.
pub fn walks(connection: &Connection, text: &str) -> Vec<String> {
    steps(connection, text).into_iter().filter(|step| is_walk(step)).collect()
}

/// The steps of its plan.
pub fn steps(connection: &Connection, text: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
    let nothing = vec![rusqlite::types::Null; statement.parameter_count()];
    let steps = statement.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>("detail")).unwrap();
    steps.map(Result::unwrap).collect()
}

fn is_walk(step: &str) -> bool {
    let all = step.starts_with("SCAN ")
        && !step.contains(" VIRTUAL TABLE ")
        && !["SCAN CONSTANT ROW", "SCAN ("].iter().any(|harmless| step.starts_with(harmless));
    let is_one_row =
        ONE_ROW.iter().any(|table| step.starts_with(&format!("SEARCH {table} USING PRIMARY KEY (tenant=?)")));
    all || (step.ends_with("(tenant=?)") && !is_one_row)
        || step.contains("AUTOMATIC")
        || step.contains("USE TEMP B-TREE")
}
