//! Deleting a tenant: at once nothing answers for it, and in the end nothing of it is left but its name.

use crate::routes::connections::{READ, body};
use crate::support::faults::Seen;
use crate::support::hub::{RESOURCE, permit};
use crate::support::sqlite::Sqlite;
use crate::support::{Credentials, Effect, Port, Reply, Setup};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use writ::app::Source;
use writ::ports::Pending;

const MINUTE: u64 = 60;

/// Tables that carry their tenant, as the database tells.
fn tables(db: &Sqlite) -> Vec<String> {
    let rows = db.query(
        "SELECT DISTINCT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'tenant' \
         ORDER BY m.name",
    );
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

/// Writes `count` rows into every table of a database that carries its tenant, whatever its columns.
fn fill(db: &Sqlite, tenant: &str, count: usize) {
    for table in tables(db) {
        let columns = db.query(&format!("SELECT name, type FROM pragma_table_info('{table}')"));
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for column in &columns {
            let name = column["name"].as_str().unwrap();
            names.push(name.to_owned());
            values.push(match (name, column["type"].as_str().unwrap()) {
                ("tenant", _) => format!("'{tenant}'"),
                ("body" | "metadata", _) => "'{}'".to_owned(),
                (_, "INTEGER") => "1000000 + i".to_owned(),
                _ => "printf('filled-%06d', i)".to_owned(),
            });
        }
        db.execute(&format!(
            "PRAGMA ignore_check_constraints = 1; \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             INSERT OR IGNORE INTO {table} ({}) SELECT {} FROM n; PRAGMA ignore_check_constraints = 0",
            names.join(", "),
            values.join(", ")
        ));
    }
}

/// How many rows each table of both databases has of a tenant.
fn rows(hub: &Setup, tenant: &str) -> BTreeMap<String, i64> {
    let count = |db: &Sqlite, table: String| {
        let found = db.query(&format!("SELECT count(*) AS n FROM {table} WHERE tenant = '{tenant}'"));
        (table, found[0]["n"].as_i64().unwrap())
    };
    let of = |db: &Sqlite| tables(db).into_iter().map(|table| count(db, table)).collect::<Vec<_>>();
    of(&hub.db).into_iter().chain(of(&hub.trail)).collect()
}

/// Every row of a tenant in both databases, and its keys in KV.
fn all_of(hub: &Setup, tenant: &str) -> String {
    let of = |db: &Sqlite| {
        let rows = |table: String| db.query(&format!("SELECT * FROM {table} WHERE tenant = '{tenant}'"));
        // What the cron itself moves on: attempts of sinks, and counts.
        let moves = |table: &String| ["sink_states", "event_counts", "counted_events"].contains(&table.as_str());
        tables(db)
            .into_iter()
            .filter(|table| !moves(table))
            .map(|table| format!("{:?}", rows(table)))
            .collect::<String>()
    };
    let keys: Vec<_> = hub.kv.keys().into_iter().filter(|key| key.contains(&format!("/{tenant}/"))).collect();
    format!("{}{}{keys:?}", of(&hub.db), of(&hub.trail))
}

fn suspend(hub: &Setup, tenant: &str) {
    let body = json!({"name": tenant, "zone": "UTC", "status": "suspended"});
    hub.admin("PUT", &format!("tenants/{tenant}")).header("if-match", "*").json(&body).send().expect(200);
}

fn delete(hub: &Setup, tenant: &str) -> Reply {
    hub.admin("DELETE", &format!("tenants/{tenant}")).send()
}

/// The cron, so many times, of a Worker that has nothing but the trail: what carries a deletion out.
fn tick(hub: &Setup, times: usize) -> usize {
    let isolate = hub.isolate_with(&[("ROLES", "audit")]);
    let run = || {
        hub.clock.advance(MINUTE);
        hub.clock.block_on(isolate.app().tick(&|| hub.clock.now())).is_err()
    };
    (0..times).filter(|_| run()).count()
}

fn keys(hub: &Setup, tenant: &str) -> usize {
    hub.kv.keys().iter().filter(|key| key.contains(&format!("/{tenant}/"))).count()
}

fn is_gone(hub: &Setup, tenant: &str) -> bool {
    hub.db.query(&format!("SELECT is_gone FROM former_tenants WHERE id = '{tenant}'"))[0]["is_gone"] == 1
}

/// A tenant with something of each kind that goes into KV.
fn tenant(hub: &Setup, name: &str) -> Credentials {
    hub.create_tenant(name);
    hub.create_resource_of(name, json!({}));
    let agent = hub.create_client_of(name, json!({"allowed_resources": [RESOURCE]}));
    hub.put_policy_of(name, "agent", &permit(&agent.client_id, RESOURCE));
    hub.admin_of(name, "PUT", "connections/warehouse").json(&body(0, &[READ])).send().expect(201);
    agent
}

fn token(hub: &Setup, tenant: &str, client: &Credentials) -> Reply {
    let form = [("grant_type", "client_credentials")];
    hub.call("POST", &format!("/t/{tenant}/token")).basic(client).form(&form).send()
}

#[test]
fn what_a_deleted_tenant_had_goes_from_every_table_and_from_kv_and_its_neighbours_keep_theirs() {
    let hub = Setup::new();
    for name in ["acme", "acme2", "acm"] {
        let agent = tenant(&hub, name);
        token(&hub, name, &agent).expect(200);
    }
    hub.events();
    suspend(&hub, "acme");
    hub.events();
    for name in ["acme", "acme2", "acm"] {
        fill(&hub.db, name, 3);
        fill(&hub.trail, name, 3);
        hub.db.execute(&format!("INSERT INTO dead_letters VALUES ('{name}', '{{\"tenant\":\"{name}\"}}', 1)"));
    }
    hub.db.execute("INSERT INTO dead_letters VALUES ('x', 'no event of \"acme\"', 1)");
    assert!(rows(&hub, "acme").values().all(|count| *count > 0), "{:?}", rows(&hub, "acme"));
    assert!(keys(&hub, "acme") >= 2, "{:?}", hub.kv.keys());
    // The cron looks at the logs of all of them.
    assert_eq!(tick(&hub, 1), 0);
    let others = || ["acme2", "acm"].map(|tenant| all_of(&hub, tenant));
    let before = others();
    delete(&hub, "acme").expect(204);
    assert_eq!(tick(&hub, 1), 0);
    assert!(rows(&hub, "acme").values().all(|count| *count == 0), "{:?}", rows(&hub, "acme"));
    assert_eq!(keys(&hub, "acme"), 0);
    assert_eq!(others(), before);
    let dead = hub.db.query("SELECT id FROM dead_letters ORDER BY id");
    assert_eq!(dead.iter().map(|row| row["id"].clone()).collect::<Vec<_>>(), ["acm", "acme2", "x"]);
    let left = hub.db.query("SELECT id FROM tenants ORDER BY id");
    assert_eq!(left.iter().map(|row| row["id"].clone()).collect::<Vec<_>>(), ["acm", "acme2", "main"]);
}

#[test]
fn only_a_suspended_tenant_is_deleted_by_an_administrator_of_the_first_and_as_it_was_read() {
    let hub = Setup::new();
    tenant(&hub, "acme");
    let reason = |reply: Reply| reply.json()["reason"].as_str().unwrap().to_owned();
    assert_eq!(reason(delete(&hub, "acme").expect(409)), "Conflict", "it is active");
    assert_eq!(reason(delete(&hub, "main").expect(409)), "Conflict");
    let own = hub.admin_of("acme", "DELETE", "tenants/acme").send().expect(403);
    assert_eq!(reason(own), "FirstTenantOnly");
    hub.admin_of("acme", "DELETE", "tenants/main").send().expect(404);
    delete(&hub, "nobody").expect(404);
    suspend(&hub, "acme");
    let stale = hub.admin("DELETE", "tenants/acme").header("if-match", "\"v1\"").send();
    assert_eq!(reason(stale.expect(412)), "PreconditionFailed");
    assert_eq!(hub.db.query("SELECT id FROM former_tenants").len(), 0);
    hub.admin("DELETE", "tenants/acme").header("if-match", "\"v2\"").send().expect(204);
    delete(&hub, "acme").expect(404);
    let event = &hub.events_of("tenant.deleted")[0];
    assert_eq!((&event["tenant"], &event["target"]), (&json!("main"), &json!("acme")));
    assert_eq!(event["client"], json!(hub.admin_client("main").client_id));
    assert_eq!(hub.events_of("tenant.deleted").len(), 1);
}

#[test]
fn a_tenant_that_holds_its_trail_is_not_deleted() {
    let hub = Setup::new();
    tenant(&hub, "held");
    let put = |settings: Value| {
        let body = json!({"name": "Held", "zone": "UTC", "status": "suspended", "settings": settings});
        hub.admin("PUT", "tenants/held").header("if-match", "*").json(&body).send().expect(200)
    };
    put(json!({"event_hold": true}));
    let refused = delete(&hub, "held").expect(409);
    assert!(refused.text.contains("event_hold"), "{}", refused.text);
    put(json!({}));
    delete(&hub, "held").expect(204);
}

#[test]
fn a_tenant_that_is_resumed_at_the_same_time_is_deleted_or_resumed_and_never_half_of_it() {
    for seed in 0..12 {
        let hub = Setup::new();
        tenant(&hub, "acme");
        suspend(&hub, "acme");
        let bearer = hub.admin_token();
        let call = |method: &str| hub.call(method, "/t/main/admin/tenants/acme").bearer(&bearer);
        let body = json!({"name": "Acme", "zone": "UTC", "status": "active"});
        let resumed = call("PUT").header("if-match", "*").json(&body).future();
        let statuses: Vec<u16> =
            hub.together(seed, vec![call("DELETE").future(), resumed]).iter().map(|reply| reply.status).collect();
        let is_there = !hub.db.query("SELECT id FROM tenants WHERE id = 'acme' AND status = 'active'").is_empty();
        let is_former = !hub.db.query("SELECT id FROM former_tenants").is_empty();
        assert_ne!(is_there, is_former, "seed {seed}: {statuses:?}");
        assert_eq!(statuses[0] == 204, is_former, "seed {seed}: {statuses:?}");
    }
}

#[test]
fn nothing_answers_for_a_deleted_tenant_and_its_name_is_never_given_again() {
    let hub = Setup::new();
    let agent = tenant(&hub, "acme");
    let token_of_agent = token(&hub, "acme", &agent).access_token();
    let other = hub.isolate();
    hub.call("GET", "/t/acme/jwks.json").on(&other).send().expect(200);
    suspend(&hub, "acme");
    hub.clock.advance(5);
    delete(&hub, "acme").expect(204);
    let closed = |what: &str| {
        for isolate in [&hub.isolate(), &other] {
            hub.call("GET", "/t/acme/jwks.json").on(isolate).send().expect(404);
            hub.call("POST", "/t/acme/introspect")
                .on(isolate)
                .basic(&agent)
                .form(&[("token", &token_of_agent)])
                .send()
                .expect(404);
        }
        hub.admin("GET", "tenants/acme").send().expect(404);
        let body = json!({"name": "Acme", "zone": "UTC", "status": "active"});
        hub.admin("PUT", "tenants/acme").header("if-match", "*").json(&body).send().expect(404);
        hub.admin("POST", "kill").json(&json!({"tenant": "acme"})).send().expect(404);
        let again = hub.admin("POST", "tenants").json(&json!({"id": "acme", "name": "Another"})).send().expect(409);
        assert!(again.text.contains("or had it"), "{what}: {again:?}");
        assert_eq!(rows(&hub, "acme")["clients"], if what == "at once" { 2 } else { 0 });
    };
    let counted = |count: usize| {
        let metrics = hub.admin("GET", "metrics").send().expect(200).text;
        assert!(metrics.lines().any(|line| line == format!("writ_tenants_deleting {count}")), "{metrics}");
    };
    closed("at once");
    counted(1);
    assert_eq!(tick(&hub, 1), 0);
    closed("while it goes");
    counted(1);
    assert_eq!(tick(&hub, 20), 0);
    assert!(is_gone(&hub, "acme"));
    closed("in the end");
    counted(0);
    let erased = hub.events_of("tenant.erased");
    assert_eq!((erased.len(), &erased[0]["tenant"], &erased[0]["target"]), (1, &json!("main"), &json!("acme")));
    hub.create_tenant("acme-2");
}

#[test]
fn a_large_tenant_goes_in_bounded_pieces_and_whatever_fails_in_between_the_next_run_goes_on() {
    let hub = Setup::new();
    tenant(&hub, "acme");
    suspend(&hub, "acme");
    hub.events();
    fill(&hub.trail, "acme", 45_000);
    fill(&hub.db, "acme", 1_500);
    for n in 0..120 {
        hub.kv.set(&format!("policy/acme/{n}"), Some("x".to_owned()));
    }
    delete(&hub, "acme").expect(204);
    let left = || rows(&hub, "acme").values().sum::<i64>() + keys(&hub, "acme") as i64;
    let mut before = left();
    for (n, port) in [Port::Db, Port::Trail, Port::Kv, Port::Db, Port::Trail, Port::Kv].into_iter().enumerate() {
        let effect = if n % 2 == 0 { Effect::Fails } else { Effect::LosesReply };
        hub.faults.fail_nth(port, 2, effect);
        assert_eq!(tick(&hub, 1), 1, "{port:?} {effect:?}");
        hub.faults.heal();
        let after = left();
        assert!(before - after <= 22 * 20_000, "a run removes a bounded number");
        before = after;
    }
    assert!(tick(&hub, 5) == 0 && left() == 0, "{:?}", rows(&hub, "acme"));
    assert!(!is_gone(&hub, "acme"), "a request may still be under way");
    assert_eq!(tick(&hub, 10), 0);
    assert!(is_gone(&hub, "acme"));
    assert_eq!(hub.events_of("tenant.erased").len(), 1);
}

#[test]
fn one_run_removes_twenty_thousand_events_at_the_most() {
    let hub = Setup::new();
    hub.create_tenant("acme");
    suspend(&hub, "acme");
    hub.events();
    let there = rows(&hub, "acme")["events"];
    fill(&hub.trail, "acme", 21_000);
    delete(&hub, "acme").expect(204);
    tick(&hub, 1);
    assert_eq!(rows(&hub, "acme")["events"], there + 21_000 - 20_000);
}

#[test]
fn what_a_request_that_was_under_way_still_writes_goes_too() {
    let hub = Setup::new();
    let agent = tenant(&hub, "acme");
    token(&hub, "acme", &agent).expect(200);
    suspend(&hub, "acme");
    delete(&hub, "acme").expect(204);
    let late = hub.queue.take();
    assert!(late.iter().any(|event| event.contains("token.issued")));
    tick(&hub, 1);
    fill(&hub.db, "acme", 1);
    // Events come as late as the queue likes: to the trail, and to the dead letters.
    hub.consume(Source::Audit, &late).unwrap();
    hub.consume(Source::DeadLetters, &late).unwrap();
    let of_acme = "SELECT id FROM dead_letters WHERE body ->> '$.tenant' = 'acme'";
    assert_eq!((rows(&hub, "acme")["events"], rows(&hub, "acme")["last_tokens"]), (0, 0));
    assert!(hub.db.query(of_acme).is_empty());
    tick(&hub, 20);
    assert!(is_gone(&hub, "acme") && rows(&hub, "acme").values().all(|count| *count == 0));
}

#[test]
fn a_deletion_that_fails_holds_up_no_other_and_two_crons_at_once_finish_it_once() {
    let hub = Setup::new();
    for name in ["broken", "whole"] {
        tenant(&hub, name);
        suspend(&hub, name);
        delete(&hub, name).expect(204);
    }
    hub.faults.fail_when(Port::Kv, |seen: &Seen| seen.text.contains("/broken/"), Effect::Fails);
    tick(&hub, 4);
    assert_eq!((keys(&hub, "whole"), keys(&hub, "broken") > 0), (0, true));
    hub.faults.heal();
    tick(&hub, 12);
    for seed in 0..6 {
        hub.clock.advance(MINUTE);
        let now = hub.clock.now();
        let isolates: Vec<_> = (0..3).map(|_| hub.isolate_with(&[("ROLES", "audit")])).collect();
        let runs: Vec<Pending<'_, bool>> = isolates
            .iter()
            .map(|isolate| -> Pending<'_, bool> { Box::pin(async move { isolate.app().tick(&|| now).await.is_ok() }) })
            .collect();
        assert!(hub.together(seed, runs).into_iter().all(|done| done));
    }
    assert!(is_gone(&hub, "broken") && is_gone(&hub, "whole"));
    assert_eq!(hub.events_of("tenant.erased").len(), 2);
}

#[test]
fn events_of_a_suspended_tenant_are_kept_no_longer_than_it_says() {
    const DAY: u64 = 24 * 60 * MINUTE;
    let hub = Setup::new();
    hub.create_tenant("brief");
    let settings =
        json!({"name": "Brief", "zone": "UTC", "status": "suspended", "settings": {"event_retention_days": 2}});
    hub.admin_of("brief", "GET", "clients").send().expect(200);
    hub.admin("PUT", "tenants/brief").header("if-match", "*").json(&settings).send().expect(200);
    hub.events();
    let keys = || hub.db.query("SELECT kid FROM signing_keys WHERE tenant = 'brief'");
    let (events, before) = (|| rows(&hub, "brief")["events"], keys());
    hub.clock.advance(2 * DAY - MINUTE - 1);
    tick(&hub, 1);
    assert!(events() > 0);
    hub.clock.advance(31 * DAY);
    hub.tick().unwrap();
    assert_eq!(events(), 0);
    assert_eq!(keys(), before, "nothing else happens to it");
}
