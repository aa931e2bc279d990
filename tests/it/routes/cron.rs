//! The cron is fair and goes on: no tenant, and no message, keeps the others from their turn.

use crate::support::doubles::Scripted;
use crate::support::faults::Seen;
use crate::support::hub::{Credentials, RESOURCE};
use crate::support::{Effect, Port, Setup};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PUSH: &str = "urn:ietf:rfc:8935";

/// A tenant with a stream that is pushed to `https://{tenant}.example/events`.
fn tenant(hub: &Setup, name: &str) -> Credentials {
    if name != "main" {
        hub.create_tenant(name);
    }
    let issuer = hub.issuer(name);
    let own = format!("{issuer}/ssf");
    let body = json!({"kind": "resource_server", "serves": [RESOURCE], "allowed_resources": [RESOURCE, own]});
    let server = hub.create_client_of(name, body);
    let form = [("grant_type", "client_credentials"), ("resource", own.as_str()), ("scope", "ssf.manage")];
    let token = hub.call("POST", &format!("/t/{name}/token")).basic(&server).form(&form).send().access_token();
    let delivery = json!({"method": PUSH, "endpoint_url": format!("https://{name}.example/events")});
    let stream = hub.call("POST", &format!("/t/{name}/ssf/streams")).bearer(&token);
    stream.json(&json!({"delivery": delivery})).send().expect(201);
    server
}

/// Signals that wait for the stream of a tenant since that second.
fn signals(hub: &Setup, tenant: &str, count: usize, since: u64) {
    let body = json!({"sub_id": {"format": "opaque", "id": "x"}, "events": {}});
    hub.db.execute(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         INSERT INTO signals (tenant, stream, id, body, not_before, created_at) \
         SELECT '{tenant}', s.id, printf('%06d', i), '{body}', {since}, {since} FROM n, streams s WHERE s.tenant = '{tenant}'"
    ));
}

fn waiting(hub: &Setup, tenant: &str) -> usize {
    hub.db.query(&format!("SELECT id FROM signals WHERE tenant = '{tenant}'")).len()
}

fn receivers_take(hub: &Setup) {
    hub.fetch.answer(|_| Scripted::answer(202, "application/json", ""));
}

#[test]
fn two_busy_tenants_do_not_starve_the_signals_of_a_third() {
    let hub = Setup::new();
    receivers_take(&hub);
    for name in ["main", "busy", "third"] {
        tenant(&hub, name);
    }
    let now = hub.clock.seconds();
    signals(&hub, "main", 500, now - 100);
    signals(&hub, "busy", 500, now - 100);
    signals(&hub, "third", 1, now);
    hub.relay().unwrap();
    hub.clock.advance_millis(1);
    hub.relay().unwrap();
    assert_eq!(waiting(&hub, "third"), 0);
    assert!(waiting(&hub, "main") < 500 && waiting(&hub, "busy") < 500);
}

#[test]
fn a_tenant_whose_signals_cannot_be_pushed_is_passed_over() {
    let hub = Setup::new();
    receivers_take(&hub);
    for name in ["main", "broken", "third"] {
        tenant(&hub, name);
    }
    let now = hub.clock.seconds();
    for name in ["main", "broken", "third"] {
        signals(&hub, name, 1, now);
    }
    hub.db.execute("UPDATE signing_keys SET sealed = 'x' WHERE tenant = 'broken'");
    hub.db.execute("UPDATE tenants SET settings = 'x' WHERE id = 'broken'");
    hub.restart();
    for _ in 0..3 {
        let _ = hub.relay();
        hub.clock.advance_millis(1);
    }
    assert_eq!((waiting(&hub, "main"), waiting(&hub, "third"), waiting(&hub, "broken")), (0, 0, 1));
    assert!(hub.log.lines().iter().any(|line| line.contains("signals of broken")), "{:?}", hub.log.lines());
}

#[test]
fn each_of_500_tenants_gets_its_turn_and_one_that_fails_is_passed_over() {
    let hub = Setup::new();
    hub.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 499) \
         INSERT INTO tenants (id, name, settings, created_at, updated_at) \
         SELECT printf('tenant-%03d', i), 'n', CASE i WHEN 7 THEN 'x' ELSE '{}' END, 0, 0 FROM n",
    );
    // One run of a Worker without the role `token` costs no keys.
    let isolate = hub.isolate_with(&[("ROLES", "audit")]);
    let mut visited = BTreeSet::new();
    for _ in 0..13 {
        hub.clock.advance(60);
        let before = hub.clock.seconds();
        let outcome = hub.clock.block_on(isolate.app().tick(&|| hub.clock.now()));
        let rows = hub.db.query(&format!("SELECT id FROM tenants WHERE visited_by_others = {before}"));
        assert!(rows.len() <= 40, "a run visits a bounded number");
        assert_eq!(
            outcome.is_err(),
            rows.iter().any(|row| row["id"] == "tenant-007"),
            "the fault is told, and no other"
        );
        visited.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(visited.len(), 500);
}

#[test]
fn a_clean_up_of_the_trail_that_fails_keeps_neither_the_log_from_its_check_nor_the_tenant_from_its_keys() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    (0..600).for_each(|_| drop(hub.token(&agent, &[]).expect(200)));
    hub.events();
    hub.clock.advance(60);
    hub.tick().unwrap();
    hub.events();
    hub.faults.fail_when(Port::Trail, |seen| seen.text.contains("DELETE FROM events"), Effect::Fails);
    hub.trail.execute("UPDATE events SET client = 'another' WHERE tenant = 'main' AND seq = 550");
    let keys = || hub.db.query("SELECT kid, state FROM signing_keys WHERE tenant = 'main' ORDER BY kid");
    let before = keys();
    hub.clock.advance(40 * 86_400);
    assert!(hub.tick().is_err());
    assert!(hub.log.lines().iter().any(|line| line.starts_with("the clean-up of the trail of main: ")));
    assert_eq!(hub.events_of("log.broken")[0]["detail"], "an event is not found by what it says, at index 550");
    assert_ne!(keys(), before);
}

#[test]
fn an_event_that_the_queue_refuses_for_good_is_buried_and_stands_in_nobodys_way() {
    let hub = Setup::new();
    hub.events();
    for n in 0..3 {
        hub.db.execute(&format!("INSERT INTO outbox (id, body) VALUES ('0{n}', 'poison {n}')"));
    }
    let poisoned = |seen: &Seen| seen.text.starts_with("poison");
    hub.faults.fail_when(Port::Queue, poisoned, Effect::Fails);
    let outbox = || hub.db.query("SELECT body FROM outbox").len();
    // While nothing else is sent, nothing tells whether it is the queue that is in trouble.
    for _ in 0..20 {
        hub.relay().unwrap();
    }
    assert_eq!((outbox(), hub.db.query("SELECT id FROM dead_letters").len()), (3, 0));
    for n in 0..15 {
        hub.db.execute(&format!("INSERT INTO outbox (id, body) VALUES ('1{n:02}', '{{\"good\":{n}}}')"));
        hub.relay().unwrap();
        assert!(hub.queue.sent().contains(&format!("{{\"good\":{n}}}")), "{n}");
        hub.relay().unwrap();
    }
    assert_eq!(outbox(), 0);
    let dead = hub.db.query("SELECT body FROM dead_letters ORDER BY body");
    assert_eq!(dead.iter().map(|row| row["body"].clone()).collect::<Vec<_>>(), ["poison 0", "poison 1", "poison 2"]);
}

#[test]
fn a_queue_that_is_down_for_an_hour_buries_nothing() {
    let hub = Setup::new();
    hub.events();
    let count = || hub.db.query("SELECT id FROM outbox").len();
    for n in 0..50 {
        hub.db.execute(&format!("INSERT INTO outbox (id, body) VALUES ('{n:02}', '{{\"n\":{n}}}')"));
    }
    hub.faults.fail(Port::Queue);
    for _ in 0..60 {
        hub.clock.advance(60);
        hub.relay().unwrap();
    }
    assert_eq!(count(), 50);
    hub.faults.heal();
    // It comes back, and refuses a few once more.
    hub.faults.fail_nth(Port::Queue, 1, Effect::Fails);
    hub.faults.fail_nth(Port::Queue, 2, Effect::Fails);
    for _ in 0..4 {
        hub.relay().unwrap();
    }
    assert_eq!((count(), hub.db.query("SELECT id FROM dead_letters").len()), (0, 0));
    assert_eq!(hub.queue.sent().iter().filter(|body| body.contains("\"n\":")).count(), 50);
}

#[test]
fn events_are_kept_for_as_many_days_as_the_tenant_says() {
    const DAY: u64 = 24 * 60 * 60;
    let hub = Setup::new();
    hub.create_tenant("brief");
    let settings = json!({"name": "Brief", "zone": "UTC", "settings": {"event_retention_days": 2}});
    hub.admin("PUT", "tenants/brief").header("if-match", "*").json(&settings).send().expect(200);
    hub.admin_of("brief", "GET", "clients").send().expect(200);
    hub.events();
    let of = |tenant: &str| hub.trail.query(&format!("SELECT id FROM events WHERE tenant = '{tenant}'")).len();
    let before = (of("main"), of("brief"));
    assert!(before.0 > 0 && before.1 > 0);
    let tick = || {
        hub.tick().unwrap();
        hub.tick().unwrap();
    };
    hub.clock.advance(2 * DAY - 1);
    tick();
    assert_eq!((of("main"), of("brief")), before);
    hub.clock.advance(2);
    tick();
    assert_eq!((of("main"), of("brief")), (before.0, 0));
    hub.clock.advance(398 * DAY);
    tick();
    assert!(of("main") < before.0, "400 days where nothing else is said");
}

#[test]
fn how_long_events_are_kept_has_a_bound() {
    let hub = Setup::new();
    for days in [0, 3_651] {
        let body = json!({"id": "new", "name": "New", "settings": {"event_retention_days": days}});
        let reply = hub.admin("POST", "tenants").json(&body).send().expect(400);
        assert!(reply.text.contains("event_retention_days"), "{reply:?}");
    }
    for (n, days) in [1, 3_650].into_iter().enumerate() {
        let body = json!({"id": format!("new-{n}"), "name": "New", "settings": {"event_retention_days": days}});
        let made = hub.admin("POST", "tenants").json(&body).send().expect(201).json();
        assert_eq!(made["settings"]["event_retention_days"], days);
    }
}

#[test]
fn a_clean_up_keeps_up_with_a_flood_of_rows() {
    let hub = Setup::new();
    hub.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12500) \
         INSERT INTO spent (tenant, kind, key, until) SELECT 'main', 'jti', i, 1 FROM n",
    );
    hub.tick().unwrap();
    assert_eq!(hub.db.query("SELECT count(*) AS n FROM spent")[0]["n"], 0);
}

#[test]
fn a_thousand_refusals_of_an_agent_do_not_hide_its_tokens() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    hub.access_token(&agent, "mcp:read");
    hub.events();
    let refusal: Value = json!({
        "id": "x", "tenant": "main", "at": 1, "type": "token.refused", "request_id": "r", "client": agent.client_id,
        "subject": agent.client_id, "reason": "AccessDenied",
    });
    let client = &agent.client_id;
    hub.trail.execute(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001) \
         INSERT INTO events (tenant, id, at, type, client, subject, refused, body) \
         SELECT 'main', printf('9%025d', i), 1, 'token.refused', '{client}', '{client}', 1, '{refusal}' FROM n"
    ));
    let path = format!("identities?client={client}");
    let id = hub.admin("GET", &path).send().expect(200).json()["items"][0]["id"].as_str().unwrap().to_owned();
    let shown = hub.admin("GET", &format!("identities/{id}")).send().expect(200).json();
    assert!(!shown["chains"].as_array().unwrap().is_empty(), "{shown}");
}
