//! The directory of agentic identities.

use super::chain::{Chain, TASKS};
use super::connections::{self, READ};
use crate::support::hub::{RESOURCE, decode};
use crate::support::{Port, Setup};
use serde_json::{Value, json};
use writ::crypto::sha256;

fn list(hub: &Setup, query: &str) -> Vec<Value> {
    hub.admin("GET", &format!("identities?{query}")).send().expect(200).json()["items"].as_array().unwrap().clone()
}

/// The identity of an agent on its own, with a policy that permits one of its scopes.
fn scene() -> (Setup, String, String) {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    hub.create_resource(json!({"id": "other", "resource": "https://other.example/"}));
    let agent = hub.create_client(json!({
        "client_name": "reader", "owner": "ada@example.com", "tags": ["blue"], "scope": "mcp:read",
        "allowed_resources": [RESOURCE],
    }));
    let head = format!("principal == Client::\"{}\", action == Action::\"issue\"", agent.client_id);
    hub.put_policy("read", &format!("permit({head}, resource in Resource::\"{RESOURCE}\");"));
    hub.admin("PUT", "connections/warehouse").json(&connections::body(0, &[READ])).send().expect(201);
    hub.access_token(&agent, "mcp:read");
    let id = list(&hub, &format!("client={}", agent.client_id))[0]["id"].as_str().unwrap().to_owned();
    (hub, agent.client_id, id)
}

#[test]
fn an_identity_shows_who_answers_for_it_and_how_it_came() {
    let (hub, client, id) = scene();
    let shown = hub.admin("GET", &format!("identities/{id}")).send().expect(200).json();
    for (member, value) in [
        ("client", json!(client)),
        ("subject", json!(client)),
        ("client_name", json!("reader")),
        ("subject_name", json!("reader")),
        ("owner", json!("ada@example.com")),
        ("tags", json!(["blue"])),
        ("registered_by", json!("client_credentials")),
        ("status", json!("active")),
    ] {
        assert_eq!(shown[member], value, "{member}");
    }
    assert!(shown.get("stopped").is_none());
    hub.admin("GET", "identities/nobody").send().expect(404);
}

#[test]
fn what_it_can_reach_is_what_policy_says_now_and_why_and_leaves_no_event() {
    let (hub, client, id) = scene();
    let reach = || {
        let mut reach = hub.admin("GET", &format!("identities/{id}")).send().expect(200).json()["reach"].clone();
        assert_eq!(reach.as_object_mut().unwrap().remove("at"), Some(json!(hub.clock.seconds())));
        reach
    };
    let before = hub.events_of("token.issued").len();
    let scope = |name: &str, allowed: bool, policies: Value, because: &str| json!({"resource": RESOURCE, "name": name, "allowed": allowed, "policies": policies, "because": because});
    let warehouse = |allowed: bool, policies: Value| json!([{"name": "warehouse", "allowed": allowed, "policies": policies, "because": "policy"}]);
    let beyond = scope("mcp:write", false, json!([]), "ceiling");
    let wanted = json!([scope("mcp:read", true, json!(["read"]), "policy"), beyond]);
    assert_eq!(reach(), json!({"scopes": wanted, "connections": warehouse(false, json!([]))}));
    // The lease sees the scopes that it may have.
    let head = format!("principal == Client::\"{client}\", action == Action::\"lease\", resource");
    hub.put_policy("lease", &format!("permit({head}) when {{ context.scopes.contains(\"mcp:read\") }};"));
    assert_eq!(reach()["connections"], warehouse(true, json!(["lease"])));
    let night = format!("forbid(principal == Client::\"{client}\", action, resource) when {{ context.hour == 12 }};");
    hub.put_policy("night", &night);
    let denied = json!([scope("mcp:read", false, json!(["night"]), "policy"), beyond]);
    assert_eq!(reach(), json!({"scopes": denied, "connections": warehouse(false, json!(["night"]))}));
    hub.clock.advance(3600);
    assert_eq!(reach()["scopes"][0]["allowed"], true);
    hub.put_policy(
        "read",
        &format!("@require(\"approval\") permit(principal == Client::\"{client}\", action, resource);"),
    );
    assert_eq!(reach()["scopes"][0], scope("mcp:read", false, json!(["read"]), "requirement"));
    assert_eq!(hub.events_of("token.issued").iter().filter(|event| event["client"] == json!(client)).count(), 1);
    assert!(hub.events_of("lease.granted").is_empty() && before >= 1);
}

#[test]
fn what_it_did_last_and_its_chains_are_its_own() {
    let chain = Chain::new();
    let hub = &chain.hub;
    let first = chain.user_token(&chain.planner, TASKS, "mcp:read");
    let made = chain.delegated(&chain.worker, &first, RESOURCE);
    chain.own_token(&chain.worker, RESOURCE);
    hub.token(&chain.worker, &[("resource", "https://nowhere.example/")]).expect(400);
    hub.events();
    let worker = &chain.worker.client_id;
    let found = list(hub, &format!("client={worker}&subject={}", chain.user));
    assert_eq!(found.len(), 1);
    let shown = hub.admin("GET", &format!("identities/{}", found[0]["id"].as_str().unwrap())).send().expect(200).json();
    let events = shown["events"].as_array().unwrap();
    assert!(!events.is_empty());
    assert!(
        events.iter().all(|event| event["client"] == json!(worker) && event["subject"] == json!(chain.user)),
        "{events:?}"
    );
    let jti = sha256(decode(&made).1["jti"].as_str().unwrap()).to_text();
    let wanted = json!([{
        "jti_hash": jti, "chain": [worker, chain.planner.client_id],
        "chain_names": ["worker", "planner"], "resource": RESOURCE,
        "scope": decode(&made).1["scope"], "expires_at": decode(&made).1["exp"],
    }]);
    assert_eq!(shown["chains"], wanted);
    hub.clock.advance(301);
    let later = hub.admin("GET", &format!("identities/{}", found[0]["id"].as_str().unwrap())).send().expect(200).json();
    assert_eq!(later["chains"], json!([]));
}

#[test]
fn the_list_is_filtered_by_client_subject_and_where_they_stand_and_walked_in_pages() {
    let chain = Chain::new();
    let hub = &chain.hub;
    chain.user_token(&chain.planner, TASKS, "mcp:read");
    chain.user_token(&chain.worker, TASKS, "mcp:read");
    chain.own_token(&chain.planner, RESOURCE);
    let (planner, worker, user) = (&chain.planner.client_id, &chain.worker.client_id, &chain.user);
    let names = |query: &str| {
        let mut names: Vec<_> = list(hub, query)
            .iter()
            .map(|one| (one["client"].as_str().unwrap().to_owned(), one["subject"].as_str().unwrap().to_owned()))
            .collect();
        names.sort();
        names
    };
    let pair = |client: &str, subject: &str| (client.to_owned(), subject.to_owned());
    let sorted = |mut pairs: Vec<(String, String)>| {
        pairs.sort();
        pairs
    };
    assert_eq!(names(&format!("client={planner}")), sorted(vec![pair(planner, planner), pair(planner, user)]));
    assert_eq!(names(&format!("subject={user}")), sorted(vec![pair(planner, user), pair(worker, user)]));
    assert_eq!(names(&format!("client={worker}&subject={user}")), [pair(worker, user)]);
    assert!(names("client=nobody").is_empty() && names("status=suspended").is_empty());

    hub.admin("POST", &format!("clients/{planner}/suspend")).send().expect(200);
    assert_eq!(names("status=suspended"), sorted(vec![pair(planner, planner), pair(planner, user)]));
    hub.admin("POST", &format!("users/{user}/kill")).send().expect(200);
    assert_eq!(names("status=retired"), sorted(vec![pair(planner, user), pair(worker, user)]));
    assert_eq!(names(&format!("status=suspended&client={planner}")), [pair(planner, planner)]);
    let stopped = &list(hub, &format!("client={planner}&subject={user}"))[0];
    assert_eq!((&stopped["status"], &stopped["stopped"]), (&json!("retired"), &json!(["client", "user"])));
    assert!(names("status=active").iter().all(|(client, subject)| client != planner && subject != user));
    let reply = hub.admin("GET", "identities?status=asleep").send().expect(400);
    assert_eq!(reply.json()["reason"], "InvalidQuery");

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = hub.admin("GET", &format!("identities?limit=1{cursor}")).send().expect(200).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let all: Vec<_> = list(hub, "").iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(seen, all);
    assert!(all.len() >= 4);
}

#[test]
fn an_identity_outlives_its_client_and_shows_that_it_is_gone() {
    let (hub, client, id) = scene();
    hub.admin("DELETE", &format!("clients/{client}")).send().expect(204);
    let shown = hub.admin("GET", &format!("identities/{id}")).send().expect(200).json();
    assert_eq!(
        (&shown["status"], &shown["stopped"]),
        (&json!("retired"), &json!(["identity", "client"])),
        "retired with its client"
    );
    assert_eq!((&shown["reach"]["scopes"], &shown["reach"]["connections"]), (&json!([]), &json!([])));
    assert_eq!(list(&hub, "status=retired")[0]["id"], json!(id));
}

#[test]
fn without_the_trail_what_happened_is_503_and_tokens_and_stops_go_on() {
    let hub = Setup::new();
    let agent = hub.agent("reader", "mcp:read");
    hub.access_token(&agent, "mcp:read");
    let id = list(&hub, &format!("client={}", agent.client_id))[0]["id"].as_str().unwrap().to_owned();
    hub.faults.fail(Port::Trail);
    for path in [format!("identities/{id}"), "events".to_owned()] {
        let reply = hub.admin("GET", &path).send().expect(503);
        assert_eq!(reply.header("retry-after"), Some("1"), "{path}");
    }
    assert_eq!(list(&hub, &format!("client={}", agent.client_id)).len(), 1, "the directory is in the other database");
    hub.access_token(&agent, "mcp:read");
    hub.admin("POST", "kill").json(&json!({"identity": id})).send().expect(200);
    assert_eq!(hub.token(&agent, &[("scope", "mcp:read")]).expect(400).error(), "invalid_grant");
    hub.faults.heal();
    // Nothing of it is lost.
    assert_eq!(
        hub.events_of("token.issued").iter().filter(|event| event["client"] == json!(agent.client_id)).count(),
        2
    );
    let shown = hub.admin("GET", &format!("identities/{id}")).send().expect(200).json();
    assert_eq!(shown["status"], "retired");
}
