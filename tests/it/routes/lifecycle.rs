//! Clients that come to their end by themselves.

use crate::support::hub::{RESOURCE, permit};
use crate::support::{Credentials, Setup};
use serde_json::{Value, json};
use writ::ports::Pending;

const DAY: u64 = 24 * 60 * 60;

/// A client with these members that may have tokens.
fn client(hub: &Setup, members: Value) -> Credentials {
    if hub.db.query("SELECT id FROM resources").is_empty() {
        hub.create_resource(json!({}));
    }
    let mut metadata = json!({"allowed_resources": [RESOURCE]});
    metadata.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let client = hub.create_client(metadata);
    hub.put_policy(&client.client_id.to_lowercase(), &permit(&client.client_id, RESOURCE));
    client
}

fn status(hub: &Setup, client: &Credentials) -> String {
    let shown = hub.admin("GET", &format!("clients/{}", client.client_id)).send().expect(200).json();
    shown["status"].as_str().unwrap().to_owned()
}

fn targets(hub: &Setup, kind: &str) -> Vec<Value> {
    hub.events_of(kind).iter().map(|event| event["target"].clone()).collect()
}

#[test]
fn a_client_beyond_its_expiry_gets_nothing_from_that_second_on_and_is_then_suspended_with_an_event() {
    let hub = Setup::new();
    let expiry = hub.clock.seconds() + 100;
    let ends = client(&hub, json!({"expires_at": expiry}));
    let stays = client(&hub, json!({"expires_at": expiry + 1_000}));
    hub.clock.advance(99);
    hub.token(&ends, &[]).expect(200);
    hub.tick().unwrap();
    assert_eq!(status(&hub, &ends), "active");
    hub.clock.advance(1);
    assert_eq!(hub.token(&ends, &[]).expect(401).error(), "invalid_client");
    assert_eq!(status(&hub, &ends), "active", "the cron has not come yet");
    hub.tick().unwrap();
    assert_eq!((status(&hub, &ends), status(&hub, &stays)), ("suspended".to_owned(), "active".to_owned()));
    hub.tick().unwrap();
    assert_eq!(targets(&hub, "client.expired"), [json!(ends.client_id)], "once");
}

#[test]
fn a_client_that_gets_no_token_for_so_many_days_is_suspended_with_an_event() {
    let hub = Setup::new();
    let idle = client(&hub, json!({"suspend_unused_after_days": 3}));
    let busy = client(&hub, json!({"suspend_unused_after_days": 3}));
    let free = client(&hub, json!({}));
    hub.clock.advance(2 * DAY);
    hub.token(&busy, &[]).expect(200);
    hub.deliver();
    hub.clock.advance(DAY - 1);
    hub.tick().unwrap();
    assert_eq!(targets(&hub, "client.unused"), Vec::<Value>::new());
    hub.clock.advance(1);
    hub.tick().unwrap();
    assert_eq!(targets(&hub, "client.unused"), [json!(idle.client_id)]);
    assert_eq!([&idle, &busy, &free].map(|client| status(&hub, client)), ["suspended", "active", "active"]);
    hub.token(&idle, &[]).expect(401);
    hub.clock.advance(2 * DAY);
    hub.tick().unwrap();
    assert_eq!(targets(&hub, "client.unused"), [json!(idle.client_id), json!(busy.client_id)]);
}

#[test]
fn a_refused_request_is_no_use_and_a_change_or_a_resumption_begins_the_days_anew() {
    let hub = Setup::new();
    let one = client(&hub, json!({"suspend_unused_after_days": 1}));
    hub.clock.advance(DAY - 1);
    hub.token(&one, &[("scope", "nothing")]).expect(400);
    hub.deliver();
    hub.clock.advance(1);
    hub.tick().unwrap();
    assert_eq!(status(&hub, &one), "suspended");
    hub.admin("POST", &format!("clients/{}/resume", one.client_id)).send().expect(200);
    hub.clock.advance(DAY - 1);
    hub.tick().unwrap();
    assert_eq!(status(&hub, &one), "active");
    let path = format!("clients/{}", one.client_id);
    let metadata = json!({"client_name": "n", "suspend_unused_after_days": 1, "allowed_resources": [RESOURCE]});
    hub.admin("PUT", &path).header("if-match", "*").json(&metadata).send().expect(200);
    hub.clock.advance(DAY - 1);
    hub.tick().unwrap();
    assert_eq!(status(&hub, &one), "active");
    hub.clock.advance(1);
    hub.tick().unwrap();
    assert_eq!(status(&hub, &one), "suspended");
}

#[test]
fn crons_at_the_same_time_suspend_once() {
    for seed in 0..10 {
        let hub = Setup::new();
        let expiry = hub.clock.seconds() + 10;
        for _ in 0..3 {
            client(&hub, json!({"expires_at": expiry}));
        }
        hub.tick().unwrap();
        hub.clock.advance(10);
        let isolates: Vec<_> = (0..4).map(|_| hub.isolate()).collect();
        let now = hub.clock.now();
        let ticks: Vec<Pending<'_, bool>> = isolates
            .iter()
            .map(|isolate| -> Pending<'_, bool> { Box::pin(async move { isolate.app().tick(&|| now).await.is_ok() }) })
            .collect();
        assert!(hub.together(seed, ticks).into_iter().all(|done| done));
        assert_eq!(targets(&hub, "client.expired").len(), 3, "seed {seed}");
    }
}

#[test]
fn a_run_takes_a_bounded_number_and_the_next_ones_the_rest() {
    let hub = Setup::new();
    let expiry = hub.clock.seconds() + 10;
    hub.create_resource(json!({}));
    for _ in 0..12 {
        hub.create_client(json!({"expires_at": expiry}));
    }
    hub.clock.advance(10);
    let suspended = || hub.db.query("SELECT id FROM clients WHERE status = 'suspended'").len();
    hub.tick().unwrap();
    assert_eq!(suspended(), 10);
    hub.tick().unwrap();
    assert_eq!(suspended(), 12);
}

#[test]
fn the_cron_looks_at_clients_with_an_end_alone() {
    let hub = Setup::new();
    for (index, condition) in [
        ("clients_by_expiry", "json_extract(metadata, '$.expires_at') <= 1"),
        ("clients_that_lapse", "json_extract(metadata, '$.suspend_unused_after_days') IS NOT NULL AND id > ''"),
    ] {
        let plan = format!(
            "EXPLAIN QUERY PLAN SELECT id FROM clients WHERE tenant = 'main' AND status = 'active' AND {condition} LIMIT 10"
        );
        assert!(format!("{:?}", hub.db.query(&plan)).contains(index), "{index}");
    }
}

#[test]
fn clients_that_are_used_but_never_changed_do_not_hide_those_that_are_not_used() {
    let hub = Setup::new();
    let metadata = json!({"client_name": "n", "suspend_unused_after_days": 1}).to_string();
    let client = "printf('client_%04d', i)";
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)";
    hub.db.execute(&format!(
        "{numbers} INSERT INTO clients (tenant, id, metadata, created_at, updated_at) \
         SELECT 'main', {client}, '{metadata}', 0, 0 FROM n"
    ));
    let used = hub.clock.seconds() * 1000;
    hub.trail.execute(&format!(
        "{numbers} INSERT INTO last_tokens (tenant, client, at) SELECT 'main', {client}, {used} FROM n WHERE i < 1200"
    ));
    let suspended = || hub.db.query("SELECT id FROM clients WHERE status = 'suspended'");
    hub.tick().unwrap();
    assert_eq!(suspended().len(), 0, "a run looks at a bounded number");
    hub.tick().unwrap();
    hub.tick().unwrap();
    assert_eq!(suspended()[0]["id"], "client_1200");
    // From the beginning again.
    hub.clock.advance(DAY);
    hub.tick().unwrap();
    hub.tick().unwrap();
    assert!(suspended().len() > 1, "{}", suspended().len());
}

#[test]
fn resource_servers_hear_of_a_client_that_came_to_its_end() {
    let hub = Setup::new();
    let issuer = hub.issuer("main");
    let own = [RESOURCE.to_owned(), format!("{issuer}/ssf")];
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": own}));
    let resource = format!("{issuer}/ssf");
    let token = hub.token(&server, &[("resource", &resource)]).access_token();
    hub.call("POST", "/t/main/ssf/streams").bearer(&token).json(&json!({})).send().expect(201);
    client(&hub, json!({"expires_at": hub.clock.seconds() + 10}));
    hub.clock.advance(10);
    hub.tick().unwrap();
    assert_eq!(hub.db.query("SELECT id FROM signals").len(), 1);
}

#[test]
fn an_end_that_makes_no_sense_is_refused_by_name() {
    let hub = Setup::new();
    for (members, field) in [
        (json!({"expires_at": 0}), "expires_at"),
        (json!({"expires_at": -1}), "expires_at"),
        (json!({"suspend_unused_after_days": 0}), "suspend_unused_after_days"),
        (json!({"suspend_unused_after_days": 3651}), "suspend_unused_after_days"),
    ] {
        let mut metadata = json!({"client_name": "n"});
        metadata.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let reply = hub.admin("POST", "clients").json(&metadata).send().expect(400);
        assert!(reply.json()["detail"].as_str().unwrap().contains(field), "{reply:?}");
    }
}
