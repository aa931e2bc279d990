//! Tenant walls: beside the tenant under test stands a twin with the same ids, and no batch may read or change a row of the twin.
//!
//! Every batch of `main` runs again in a second database: once as it is, and once for the twin, in whose name every bound `main` is
//! written. What the first run reads and changes must be what the real database read and changed, although the twin's rows are
//! there; a row of the other tenant that it changes is refused by a trigger. The twin must have changed as much as `main`.
//!
//! The outbox and the dead letters carry no tenant: the twin's rows in them get names of their own and are removed again.

use super::sqlite::{copy, transaction};
use rusqlite::Connection;
use std::cell::RefCell;
use writ::ports::{Outcome, Sql, Value};

const MAIN: &str = "main";
const TWIN: &str = "main~twin";

/// How statements begin that bind no tenant, for they are about all of them.
const OF_ALL_TENANTS: &[(&str, &str)] = &[
    ("SELECT id, body, attempts FROM outbox", "the relay"),
    ("DELETE FROM outbox", "the relay"),
    ("UPDATE outbox", "the relay"),
    ("INSERT INTO dead_letters", "messages that are no events have no tenant"),
    ("SELECT count(*) AS n FROM (SELECT 1 FROM dead_letters", "dead letters are counted over all tenants"),
    ("SELECT count(*) AS n FROM (SELECT 1 FROM outbox", "what waits is counted over all tenants"),
    (
        "SELECT id, name, zone, status, epoch, policy_hash, policy_version, settings, revoked_before, version, created_at, \
      updated_at FROM tenants WHERE id > ?1",
        "the list of tenants",
    ),
    ("SELECT id, visited_by_token AS visited_at FROM tenants", "the cron"),
    ("SELECT id, visited_by_others AS visited_at FROM tenants", "the cron"),
    ("SELECT id, visited_by_broker AS visited_at FROM tenants", "the cron"),
    ("SELECT id, deleted_at, visited_at FROM former_tenants", "the cron"),
    ("SELECT count(*) AS n FROM (SELECT 1 FROM former_tenants", "deletions are counted over all tenants"),
    ("SELECT id FROM tenants WHERE EXISTS (SELECT 1 FROM signals", "the cron finds whose signals are due"),
    ("SELECT id FROM tenants WHERE EXISTS (SELECT 1 FROM webhook_messages", "the cron finds whose messages are due"),
    ("SELECT s.tenant, s.id, s.body, s.sealed", "the sinks of the tenants of a batch"),
    ("SELECT tenant, sink FROM sink_states INDEXED BY", "whose sinks have something to take"),
    ("DELETE FROM webhook_messages WHERE (tenant, webhook, id) IN", "the clean-up"),
    ("DELETE FROM changes WHERE (tenant, seq, key) IN", "the clean-up"),
    ("DELETE FROM spent WHERE (tenant, kind, key) IN", "the clean-up"),
    ("DELETE FROM failures WHERE (tenant, key) IN", "the clean-up"),
    ("DELETE FROM limit_counts WHERE (tenant, policy, subject, window) IN", "the clean-up"),
    ("DELETE FROM lease_uses WHERE (tenant, client, subject, connection) IN", "the clean-up"),
    ("DELETE FROM leases WHERE (tenant, connection, scope) IN", "the clean-up"),
    ("DELETE FROM initial_access_tokens WHERE (tenant, id) IN", "the clean-up"),
    ("DELETE FROM answers WHERE (tenant, client, key) IN", "the clean-up"),
    ("DELETE FROM codes WHERE (tenant, id) IN", "the clean-up"),
    ("DELETE FROM device_codes WHERE (tenant, id) IN", "the clean-up"),
    ("DELETE FROM refresh_families WHERE (tenant, id) IN", "the clean-up"),
    ("DELETE FROM invitations WHERE (tenant, id) IN", "the clean-up"),
    ("DELETE FROM approvals WHERE (tenant, id) IN", "the clean-up"),
    ("DELETE FROM approval_deciders WHERE (tenant, decider, approval) IN", "the clean-up"),
    ("DELETE FROM receipts WHERE (tenant, kind, id) IN", "the clean-up"),
    ("DELETE FROM stopped_chains WHERE (tenant, jti) IN", "the clean-up"),
    ("DELETE FROM sessions WHERE (tenant, id) IN", "the clean-up"),
    ("DELETE FROM codes WHERE (tenant, id) IN", "the clean-up"),
    ("DELETE FROM refresh_families WHERE (tenant, id) IN", "the clean-up"),
    ("SELECT tenant, connection, id, wrapped_key FROM credentials LIMIT", "whether the key of the vault is right"),
    ("SELECT tenant FROM logs INDEXED BY logs_behind", "the cron finds whose logs are behind"),
    ("SELECT 1", "the check of health"),
    ("DELETE FROM dead_letters WHERE id IN", "a dead letter tells itself whose it is"),
    ("SELECT 0 AS leases", "a constant"),
];

fn is_of_all(text: &str) -> bool {
    OF_ALL_TENANTS.iter().any(|(beginning, _)| text.starts_with(beginning))
}

/// The second database.
pub struct Shadow(RefCell<Connection>);

impl Shadow {
    /// With the twin beside `main`, where there are tenants.
    pub fn new(folder: &str) -> Self {
        let connection = copy(folder, "with the twin", |template| template.execute_batch(&walls(template)).unwrap());
        connection.pragma_update(None, "recursive_triggers", true).unwrap();
        Self(RefCell::new(connection))
    }

    /// What a test writes by hand is written for the twin too.
    pub fn execute(&self, sql: &str) {
        let connection = self.0.borrow();
        connection.execute("UPDATE wall SET who = NULL", []).unwrap();
        connection.execute_batch(sql).unwrap();
        let main = format!("'{MAIN}'");
        if sql.contains(&main) {
            connection.execute_batch(&sql.replace(&main, &format!("'{TWIN}'"))).unwrap();
        }
    }

    /// Runs a batch that the real database has run, and fails the test where a wall is missing.
    pub fn mirror(&self, statements: &[Sql], real: &rusqlite::Result<Vec<Outcome>>) {
        for one in statements {
            assert!(is_of_all(one.text) || binds_tenant(one.text), "a statement without a tenant: {}", one.text);
        }
        let who = tenant_of(statements);
        let mut connection = self.0.borrow_mut();
        stand(&connection, who);
        let mirrored = transaction(&mut connection, statements);
        compare(statements, real, &mirrored, |one, real, mirrored| {
            is_of_all(one.text) || (real.changes == mirrored.changes && real.rows == mirrored.rows)
        });
        if who == Some(MAIN) && statements.iter().any(|one| writes(&connection, one)) {
            // A batch that binds another tenant too would change that one twice: of it the twin runs what is its own.
            let all = statements.iter().all(is_of_main);
            let runs = |one: &Sql| all || (binds_main(one) && !one.text.contains("changes()"));
            let twins: Vec<Sql> = statements.iter().filter(|one| runs(one)).map(of_twin).collect();
            let real = real.as_ref().ok().map(|real| {
                let pairs = statements.iter().zip(real).filter(|(one, _)| runs(one));
                pairs.map(|(_, outcome)| outcome.clone()).collect::<Vec<_>>()
            });
            stand(&connection, Some(TWIN));
            let changed = transaction(&mut connection, &twins);
            match real {
                Some(real) => compare(&twins, &Ok(real), &changed, |one, real, twin| {
                    is_of_all(one.text) || real.changes == twin.changes
                }),
                None => assert!(changed.is_err() || !all, "for the twin there is no error: {statements:?}"),
            }
            if statements.iter().any(|one| one.text.starts_with("INSERT INTO outbox")) {
                connection.execute("DELETE FROM outbox WHERE id LIKE '%~twin'", []).unwrap();
            }
        }
    }
}

/// The triggers of all tables, and the twin.
fn walls(connection: &Connection) -> String {
    let tables = columns(connection);
    let names = |table: &str| tables.iter().filter(|(of, _)| of == table).map(|(_, column)| column.as_str()).collect();
    let mut script = "CREATE TABLE wall (who TEXT); INSERT INTO wall VALUES (NULL);".to_owned();
    let mut seen = Vec::new();
    for (table, _) in &tables {
        let columns: Vec<&str> = names(table);
        let tenant = match table.as_str() {
            "tenants" | "former_tenants" => "id",
            _ if columns.contains(&"tenant") => "tenant",
            _ => continue,
        };
        if !seen.contains(&table) {
            seen.push(table);
            script.push_str(&triggers(table, tenant));
        }
    }
    if tables.iter().any(|(table, _)| table == "tenants") {
        let columns: Vec<&str> = names("tenants").into_iter().filter(|column| *column != "id").collect();
        let columns = columns.join(", ");
        script.push_str(&format!(
            "INSERT INTO tenants (id, {columns}) SELECT '{TWIN}', {columns} FROM tenants WHERE id = '{MAIN}';"
        ));
    }
    script
}

/// Fails the test unless both have failed, or every statement did the same in both.
fn compare(
    statements: &[Sql],
    real: &rusqlite::Result<Vec<Outcome>>,
    other: &rusqlite::Result<Vec<Outcome>>,
    same: impl Fn(&Sql, &Outcome, &Outcome) -> bool,
) {
    match (real, other) {
        (Ok(real), Ok(other)) => {
            for ((one, real), other) in statements.iter().zip(real).zip(other) {
                assert!(same(one, real, other), "a wall between tenants is missing:\n{one:?}\n{real:?}\n{other:?}");
            }
        }
        (Err(_), Err(_)) => {}
        (_, Err(error)) => panic!("a wall between tenants is missing: {error}\n{statements:?}"),
        (Err(error), Ok(_)) => panic!("beside the twin there is no error: {error}\n{statements:?}"),
    }
}

fn columns(connection: &Connection) -> Vec<(String, String)> {
    let text = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.cid";
    let mut statement = connection.prepare(text).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// A row of `main` is changed for `main` alone, and one of the twin for the twin alone.
fn triggers(table: &str, tenant: &str) -> String {
    let trigger = |what: &str, rows: &[&str]| {
        let belongs = |row: &&str| {
            format!("({row}.{tenant} IN ('{MAIN}', '{TWIN}') AND {row}.{tenant} <> (SELECT who FROM wall))")
        };
        let belongs = rows.iter().map(belongs).collect::<Vec<_>>().join(" OR ");
        format!(
            "CREATE TRIGGER wall_{what}_{table} BEFORE {what} ON {table} WHEN {belongs} \
             BEGIN SELECT RAISE(ABORT, 'the wall of {table}'); END;"
        )
    };
    [trigger("INSERT", &["NEW"]), trigger("UPDATE", &["OLD", "NEW"]), trigger("DELETE", &["OLD"])].concat()
}

/// Whose rows the batch may change; nothing: those of all.
fn stand(connection: &Connection, who: Option<&str>) {
    connection.prepare_cached("UPDATE wall SET who = ?1").unwrap().execute([who]).unwrap();
}

/// The tenant of a batch: `main` if a statement binds it, none if all are of all tenants, else some other one.
fn tenant_of(statements: &[Sql]) -> Option<&'static str> {
    match statements.iter().any(binds_main) {
        true => Some(MAIN),
        false => statements.iter().any(|one| !is_of_all(one.text)).then_some("another"),
    }
}

fn binds_tenant(text: &str) -> bool {
    text.contains("tenant = ?")
        || text.contains("(tenant, ")
        || (text.contains("tenants") && text.contains("id = ?1"))
        || text.starts_with("INSERT INTO tenants (id, ")
        || text.starts_with("INSERT INTO former_tenants (id, ")
        || text.starts_with("INSERT INTO outbox (id, body)")
}

/// Whether it binds `main` or no tenant.
fn is_of_main(one: &Sql) -> bool {
    binds_main(one) || is_of_all(one.text) || one.text.starts_with("INSERT INTO outbox")
}

fn binds_main(one: &Sql) -> bool {
    one.args.iter().any(|arg| matches!(arg, Value::Text(text) if text == MAIN))
}

fn writes(connection: &Connection, one: &Sql) -> bool {
    !connection.prepare_cached(one.text).unwrap().readonly()
}

/// The same statement for the twin.
fn of_twin(one: &Sql) -> Sql {
    let rename = |arg: &Value| match arg {
        Value::Text(text) if text == MAIN => TWIN.into(),
        arg => arg.clone(),
    };
    let mut twin = Sql { text: one.text, args: one.args.iter().map(rename).collect() };
    // The name in the outbox is the first value of what writes there, and the last one of what only looks.
    let name = match one.text.contains("EXISTS (SELECT 1 FROM outbox WHERE id = ?") {
        true => twin.args.last_mut(),
        false => twin.args.first_mut(),
    };
    if let (true, Some(Value::Text(id))) = (one.text.contains("outbox"), name) {
        id.push_str("~twin");
    }
    twin
}
