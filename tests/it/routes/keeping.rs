//! How the vault is kept: whether its key is the right one, another key while it serves, and everything that reaches a service stopped at once.

use super::accounts::{Scene, url};
use crate::support::browser::{Browser, DEVELOPMENT, field};
use crate::support::hub::{Isolate, RESOURCE, VAULT_KEK};
use crate::support::{Credentials, Effect, Port, Reply, Setup};
use serde_json::{Value, json};
use writ::error::Reason;

const NEW: &str = "2:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const OTHER: &str = "1:AgICAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
/// Another key under the version of `NEW`.
const WRONG: &str = "2:AwMFAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// A key that a lease hands out.
fn key(text: &str) -> Value {
    let service = json!({"name": "Search", "proxy": {"base_url": "https://search.example"}});
    json!({"kind": "api_key", "config": {"service": service, "may_be_leased": true}, "secret": {"api_key": text}})
}

fn put(hub: &Setup, isolate: &Isolate, name: &str, body: &Value) -> Reply {
    let call = hub.admin("PUT", &format!("connections/{name}")).json(body).on(isolate);
    if name == "c000" { call.header("if-match", "*").send() } else { call.send() }
}

/// As many connections, with an agent and a resource server that leases from them.
struct Vault {
    hub: Setup,
    agent: Credentials,
    server: Credentials,
}

impl Vault {
    fn with(connections: usize) -> Self {
        let hub = Setup::new();
        let agent = hub.agent("reader", "mcp:read");
        let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
        hub.put_policy("lease", r#"permit(principal, action == Action::"lease", resource);"#);
        for n in 0..connections {
            let path = format!("connections/c{n:03}");
            hub.admin("PUT", &path).json(&key(&format!("key-{n}"))).send().expect(201);
        }
        Self { hub, agent, server }
    }

    /// The key of a connection, as a lease hands it out.
    fn lease(&self, isolate: &Isolate, n: usize) -> Reply {
        let token = self.hub.access_token(&self.agent, "mcp:read");
        let path = format!("/t/main/connections/c{n:03}/token");
        self.hub.call("POST", &path).basic(&self.server).form(&[("subject_token", &token)]).on(isolate).send()
    }

    fn under(&self, version: u32) -> usize {
        let query = format!("SELECT id FROM credentials WHERE tenant = 'main' AND wrapped_key LIKE '{version}.%'");
        self.hub.db.query(&query).len()
    }
}

#[test]
fn under_a_wrong_or_a_missing_key_nothing_is_sealed_and_the_answer_names_the_setting() {
    let vault = Vault::with(1);
    let hub = &vault.hub;
    let before = (hub.db.query("SELECT * FROM credentials"), hub.kv.keys());
    for (keys, told) in [(OTHER, "version 1"), (NEW, "lacks"), (&*format!("{NEW} {OTHER}"), "version 1")] {
        let isolate = hub.isolate_with(&[("VAULT_KEK", keys)]);
        for name in ["c000", "another"] {
            let refused = put(hub, &isolate, name, &key("other-canary")).expect(500);
            assert!(refused.text.contains("VAULT_KEK") && refused.text.contains(told), "{keys}: {}", refused.text);
            assert!(!refused.text.contains("canary"));
        }
        // Under a wrong older key a rotation says what it cannot open; under a wrong or missing one it would seal what is lost.
        let rewrapped = hub.admin("POST", "vault/rewrap").on(&isolate).send();
        match keys.contains(' ') {
            true => assert_eq!(rewrapped.expect(200).json()["unreadable"], 1),
            false => drop(rewrapped.expect(500)),
        }
    }
    assert_eq!(before, (hub.db.query("SELECT * FROM credentials"), hub.kv.keys()));
    let events = hub.events_of("admin.refused");
    assert!(events.iter().any(|event| event["reason"] == Reason::VaultKeyWrong.as_str()), "{events:?}");
    // With the right one, under a new version, and where the old one is said to be lost.
    for (n, keys) in [VAULT_KEK, &format!("{NEW} {VAULT_KEK}"), &format!("{NEW} 1:lost")].into_iter().enumerate() {
        put(hub, &hub.isolate_with(&[("VAULT_KEK", keys)]), &format!("good-{n}"), &key("x")).expect(201);
    }
}

#[test]
fn a_tenant_in_which_nothing_is_sealed_yet_has_the_canaries_of_the_others() {
    let vault = Vault::with(1);
    let hub = &vault.hub;
    hub.create_tenant("young");
    let seal = |keys: &str| {
        let isolate = hub.isolate_with(&[("VAULT_KEK", keys)]);
        hub.admin_of("young", "PUT", "connections/first").json(&key("x")).on(&isolate).send().status
    };
    assert_eq!(seal(OTHER), 500);
    assert_eq!(seal(VAULT_KEK), 201);
}

#[test]
fn nobody_is_sent_to_a_service_whose_tokens_could_not_be_sealed() {
    let scene = Scene::new(true, 0);
    let browser = Browser::new(&scene.hub);
    let link = url(&scene.lease(&scene.agents_token(&browser)));
    let page = browser.get(&link).expect(200);
    let fields = [("tag", field(&page, "tag")), ("request", field(&page, "request"))];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let wrong = scene.hub.isolate_with(&[DEVELOPMENT, ("VAULT_KEK", OTHER)]);
    let call = scene.hub.call("POST", "/t/main/connect/chat").header("origin", scene.hub.origin()).form(&fields);
    let refused = browser.send(call.on(&wrong));
    assert_eq!(refused.status, 500, "{refused:?}");
    assert!(refused.text.contains("VAULT_KEK") && refused.header("refresh").is_none());
    browser.post("/t/main/connect/chat", &fields).expect(200);
}

#[test]
fn a_rotation_that_is_killed_half_way_goes_on_where_it_stopped_and_leases_never_stop() {
    let vault = Vault::with(60);
    let hub = &vault.hub;
    let both = hub.isolate_with(&[("VAULT_KEK", &format!("{NEW} {VAULT_KEK}"))]);
    let rewrap = || hub.admin("POST", "vault/rewrap").on(&both);
    let mut seen = Vec::new();
    for rounds in 1..200 {
        let call = rewrap();
        hub.faults.steady(true);
        let whole = call.abandon(rounds).is_some();
        hub.faults.steady(false);
        seen.push(vault.under(2));
        assert_eq!(vault.under(1) + vault.under(2), 60, "none is lost");
        // What is wrapped anew and what is not yet: both are leased, by isolates of before and of now.
        for n in [0, 49, 50, 59] {
            let lease = vault.lease(&hub.isolate_with(&[("VAULT_KEK", &format!("{NEW} {VAULT_KEK}"))]), n).expect(200);
            assert_eq!(lease.json()["api_key"], format!("key-{n}"), "{rounds}");
            assert_eq!(vault.lease(&both, n).expect(200).json()["api_key"], format!("key-{n}"), "{rounds}");
        }
        if whole {
            break;
        }
    }
    assert!(
        seen.contains(&0) && seen.contains(&50) && seen.last() == Some(&60),
        "killed before, between and after: {seen:?}"
    );
    let done = rewrap().send().expect(200).json();
    assert_eq!(done, json!({"version": 2, "rewrapped": 0, "left": 0, "unreadable": 0}));
    let new = hub.isolate_with(&[("VAULT_KEK", NEW)]);
    for n in 0..60 {
        assert_eq!(vault.lease(&new, n).expect(200).json()["api_key"], format!("key-{n}"));
    }
    assert!(!hub.events_of("vault.rewrapped").is_empty());
}

#[test]
fn a_rotation_survives_whatever_call_of_the_database_fails_or_loses_its_reply() {
    for effect in [Effect::Fails, Effect::LosesReply] {
        for nth in 0..8 {
            let vault = Vault::with(2);
            let hub = &vault.hub;
            let both = hub.isolate_with(&[("VAULT_KEK", &format!("{NEW} {VAULT_KEK}"))]);
            let call = hub.admin("POST", "vault/rewrap").on(&both);
            hub.faults.fail_nth(Port::Db, nth, effect);
            call.send();
            hub.faults.heal();
            let done = hub.admin("POST", "vault/rewrap").on(&both).send().expect(200).json();
            assert_eq!((&done["left"], vault.under(2)), (&json!(0), 2), "{effect:?} {nth}");
            let new = hub.isolate_with(&[("VAULT_KEK", NEW)]);
            assert_eq!(vault.lease(&new, 1).expect(200).json()["api_key"], "key-1");
        }
    }
}

#[test]
fn a_data_key_that_does_not_open_keeps_no_other_from_its_turn_and_is_counted() {
    let vault = Vault::with(3);
    let hub = &vault.hub;
    for n in 0..120 {
        hub.db.execute(&format!(
            "INSERT INTO credentials (tenant, connection, id, wrapped_key, created_at) VALUES ('main', 'a{n:03}', 'x{n}', '1.broken', 0)"
        ));
    }
    let both = hub.isolate_with(&[("VAULT_KEK", &format!("{NEW} {VAULT_KEK}"))]);
    hub.db.execute("UPDATE credentials SET wrapped_key = wrapped_key WHERE tenant = 'main'");
    hub.clock.block_on(both.app().tick(&|| hub.clock.now())).unwrap();
    assert_eq!(vault.under(2), 3);
    assert!(hub.log.lines().iter().any(|line| line.contains("120 data keys do not open")), "{:?}", hub.log.lines());
}

#[test]
fn the_cron_wraps_nothing_anew_under_a_wrong_newest_key_and_what_is_there_stays() {
    let vault = Vault::with(3);
    let hub = &vault.hub;
    let both = hub.isolate_with(&[("VAULT_KEK", &format!("{NEW} {VAULT_KEK}"))]);
    for isolate in [&hub.isolate(), &both] {
        let body = json!({"url": "https://app.example/hooks", "events": ["account.connected"]});
        hub.admin("POST", "webhooks").json(&body).on(isolate).send().expect(201);
    }
    put(hub, &both, "new", &key("new")).expect(201);
    let webhooks = || hub.db.query("SELECT secrets FROM webhooks ORDER BY id");
    let before = (vault.under(1), vault.under(2), webhooks());
    assert_eq!((before.0, before.1), (3, 1));
    let wrong = hub.isolate_with(&[("VAULT_KEK", &format!("{WRONG} {VAULT_KEK}"))]);
    let tick = |isolate: &Isolate| {
        hub.clock.advance(60);
        hub.clock.block_on(isolate.app().tick(&|| hub.clock.now())).unwrap();
    };
    tick(&wrong);
    assert_eq!((vault.under(1), vault.under(2), webhooks()), before);
    assert!(hub.log.lines().iter().any(|line| line.contains("version 2 in `VAULT_KEK` is not the one")));
    // Nor where it cannot be asked.
    hub.faults.fail_when(Port::Db, |call| call.text.contains("FROM credentials INDEXED BY"), Effect::Fails);
    hub.clock.advance(60);
    hub.clock.block_on(both.app().tick(&|| hub.clock.now())).unwrap_err();
    hub.faults.heal();
    assert_eq!((vault.under(1), vault.under(2), webhooks()), before);
    tick(&both);
    assert_eq!((vault.under(1), vault.under(2)), (0, 4));
    assert_ne!(webhooks(), before.2);
}

#[test]
fn secrets_of_webhooks_are_not_sealed_anew_under_a_wrong_key_though_nothing_else_is_in_the_vault() {
    let hub = Setup::new();
    let webhook = |isolate: &Isolate| {
        let body = json!({"url": "https://app.example/hooks", "events": ["account.connected"]});
        hub.admin("POST", "webhooks").json(&body).on(isolate).send().expect(201);
    };
    let secrets = || hub.db.query("SELECT secrets FROM webhooks ORDER BY id");
    webhook(&hub.isolate_with(&[("VAULT_KEK", &format!("{NEW} {VAULT_KEK}"))]));
    webhook(&hub.isolate());
    let before = secrets();
    for (newest, stays) in [(WRONG, true), (NEW, false)] {
        hub.clock.advance(60);
        let isolate = hub.isolate_with(&[("VAULT_KEK", &format!("{newest} {VAULT_KEK}"))]);
        hub.clock.block_on(isolate.app().tick(&|| hub.clock.now())).unwrap();
        assert_eq!(secrets() == before, stays, "{newest}");
    }
}

/// A connection to Slack, to a service at that host, and of another kind.
fn mixed(hub: &Setup, n: usize) {
    let slack = json!({"service": "slack", "client_id": "c", "scopes": ["chat:write"]});
    let elsewhere = json!({"service": {"name": "Else", "proxy": {"base_url": "https://api.eu.elsewhere.example/v1"}}});
    for n in 0..n {
        let bodies = [
            json!({"kind": "oauth2", "config": slack, "secret": {"client_secret": "s"}}),
            json!({"kind": "api_key", "config": elsewhere, "secret": {"api_key": "s"}}),
            json!({"kind": "basic", "config": {"service": "twilio"}, "secret": {"username": "u", "password": "s"}}),
        ];
        for (name, body) in ["slack", "else", "twilio"].iter().zip(bodies) {
            hub.admin("PUT", &format!("connections/{name}-{n:03}")).json(&body).send().expect(201);
        }
    }
}

#[test]
fn everything_that_reaches_a_service_is_stopped_by_one_request() {
    let hub = Setup::new();
    mixed(&hub, 120);
    let suspend = |body: Value| hub.admin("POST", "suspend").json(&body).send();
    let calls = hub.faults.calls(Port::Db);
    let began = hub.clock.now().millis();
    let done = suspend(json!({"service": "slack"})).expect(200).json();
    let names = done["connections"].as_array().unwrap();
    assert_eq!((done["suspended"].as_u64(), names.len()), (Some(120), 120));
    assert!(names.iter().all(|name| name.as_str().unwrap().starts_with("slack-")) && done.get("next_cursor").is_none());
    assert!(done["not_honoured_after"].as_u64().unwrap() * 1_000 <= began + 6_000);
    assert!(hub.faults.calls(Port::Db) - calls < 20, "a page at a time");
    let active = || hub.db.query("SELECT name FROM connections WHERE tenant = 'main' AND status = 'active'").len();
    assert_eq!(active(), 240);
    assert_eq!(hub.events_of("connection.suspended").len(), 120);
    // Again: nothing is left to stop.
    assert_eq!(suspend(json!({"service": "slack"})).expect(200).json()["suspended"], 0);
    // By a host below which its calls go, and by kind.
    assert_eq!(suspend(json!({"host": "Elsewhere.example"})).expect(200).json()["suspended"], 120);
    assert_eq!(suspend(json!({"kind": "basic"})).expect(200).json()["suspended"], 120);
    assert_eq!(active(), 0);
    hub.admin("POST", "connections/slack-000/resume").send().expect(200);
    assert_eq!(suspend(json!({"host": "slack.com"})).expect(200).json()["connections"], json!(["slack-000"]));
    for wrong in [json!({}), json!({"service": "slack", "kind": "basic"}), json!({"name": "slack"})] {
        assert_eq!(suspend(wrong).status, 400);
    }
}

#[test]
fn a_suspended_connection_is_leased_and_called_no_more_and_what_was_suspended_by_hand_stays() {
    let vault = Vault::with(2);
    let hub = &vault.hub;
    let isolate = hub.isolate();
    vault.lease(&isolate, 0).expect(200);
    hub.admin("POST", "connections/c001/suspend").send().expect(200);
    let done = hub.admin("POST", "suspend").json(&json!({"host": "search.example"})).send().expect(200).json();
    assert_eq!(done["connections"], json!(["c000"]));
    hub.clock.advance(6);
    vault.lease(&isolate, 0).expect(403);
    hub.admin("POST", "connections/c000/resume").send().expect(200);
    hub.clock.advance(6);
    vault.lease(&isolate, 0).expect(200);
    vault.lease(&isolate, 1).expect(403);
}

#[test]
fn a_sealed_backup_opens_in_another_deployment_with_its_own_key_and_with_no_other() {
    let (lost, new) = (Vault::with(2), Vault::with(0));
    for table in ["connections", "credentials"] {
        for row in lost.hub.db.query(&format!("SELECT * FROM {table} WHERE tenant = 'main'")) {
            let names: Vec<&str> = row.keys().map(String::as_str).collect();
            let values = row.values().map(|value| match value {
                Value::String(text) => format!("'{}'", text.replace('\'', "''")),
                value => value.to_string(),
            });
            let values = values.collect::<Vec<_>>().join(", ");
            new.hub.db.execute(&format!("INSERT INTO {table} ({}) VALUES ({values})", names.join(", ")));
        }
    }
    for key in lost.hub.kv.keys().into_iter().filter(|key| key.starts_with("credential/")) {
        let value = lost.hub.kv.value(&key);
        assert!(!value.as_deref().unwrap_or_default().contains("key-"));
        new.hub.kv.set(&key, value);
    }
    for n in 0..2 {
        assert_eq!(new.lease(&new.hub.isolate(), n).expect(200).json()["api_key"], format!("key-{n}"));
        new.lease(&new.hub.isolate_with(&[("VAULT_KEK", OTHER)]), n).expect(500);
    }
}

/// A request that is refused because the key of the vault is wrong.
pub fn provoke() -> Reply {
    let vault = Vault::with(1);
    put(&vault.hub, &vault.hub.isolate_with(&[("VAULT_KEK", OTHER)]), "another", &key("x"))
}
