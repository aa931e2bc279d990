//! The admin API: what every endpoint of it has in common. The endpoints themselves are in the modules.

#[path = "admin/bodies.rs"]
mod bodies;
#[path = "admin/clients.rs"]
mod clients;
#[path = "admin/idempotency.rs"]
mod idempotency;
#[path = "admin/lookups.rs"]
mod lookups;
#[path = "admin/openapi.rs"]
mod openapi;
#[path = "admin/things.rs"]
mod things;
#[path = "admin/users.rs"]
mod users;

use crate::support::hub::{Call, RESOURCE};
use crate::support::{Credentials, Port, Reply, Setup};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A policy that concerns no administrator.
const FORBID: &str = "forbid(principal, action == Action::\"lease\", resource);";

/// The method and the path of every operation of the admin API, below `/t/{tenant}/admin/`, as the document tells.
fn operations(hub: &Setup) -> Vec<(String, String)> {
    let document = hub.call("GET", "/openapi.json").send().expect(200).json();
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        if let Some(path) = path.strip_prefix("/t/{tenant}/admin/") {
            all.extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.to_owned())));
        }
    }
    assert!(all.len() > 25, "{all:?}");
    all
}

/// One thing of every kind in `main`, and the path of each operation with the ids of these.
struct Things {
    client: Credentials,
    secret: String,
    resource: String,
    user: String,
    identity: String,
    webhook: String,
    sink: String,
}

impl Things {
    fn make(hub: &Setup) -> Self {
        let client = hub.agent("agent", "mcp:read");
        let secrets = hub.admin("GET", &format!("clients/{}", client.client_id)).send().expect(200).json();
        let secret = secrets["secrets"][0]["id"].as_str().unwrap().to_owned();
        let resource = hub.admin("GET", "resources").send().json()["items"][0]["id"].as_str().unwrap().to_owned();
        let issuer = json!({"id": "agent", "issuer": "https://idp.example", "name": "IdP", "uses": ["workload"]});
        hub.admin("POST", "issuers").json(&issuer).send().expect(201);
        let user = hub.admin("POST", "users").json(&json!({"name": "Alice"})).send().expect(201).json();
        hub.access_token(&client, "mcp:read");
        let identities = hub.admin("GET", &format!("identities?client={}", client.client_id)).send().expect(200).json();
        let identity = identities["items"][0]["id"].as_str().unwrap().to_owned();
        let webhook = json!({"url": "https://backend.example/", "events": ["account.changed"]});
        let webhook = hub.admin("POST", "webhooks").json(&webhook).send().expect(201).json();
        let sink = json!({"kind": "https", "url": "https://siem.example/"});
        let sink = hub.admin("POST", "sinks").json(&sink).send().expect(201).json();
        let text = |value: &Value| value["id"].as_str().unwrap().to_owned();
        Self { client, secret, resource, user: text(&user), identity, webhook: text(&webhook), sink: text(&sink) }
    }

    fn fill(&self, path: &str) -> String {
        let id = match path.split('/').next() {
            Some("clients") => self.client.client_id.as_str(),
            Some("resources") => self.resource.as_str(),
            Some("users") => self.user.as_str(),
            Some("identities") => self.identity.as_str(),
            Some("webhooks") => self.webhook.as_str(),
            Some("sinks") => self.sink.as_str(),
            Some("tenants") => "main",
            _ => "agent",
        };
        // What needs a parameter gets one.
        let path = if path == "events/proof" { "events/proof?jti=none" } else { path };
        path.replace("{id}", id).replace("{name}", "agent").replace("{secret}", &self.secret)
    }
}

/// A call with one token for all of a test, so that no other request comes in between.
fn with<'a>(hub: &'a Setup, token: &str, method: &str, path: &str) -> Call<'a> {
    hub.call(method, &format!("/t/main/admin/{path}")).bearer(token)
}

/// The rows of `main` that administrators write.
fn state(hub: &Setup) -> String {
    let tables = ["clients", "client_secrets", "resources", "policies", "connections", "credentials", "signing_keys"];
    let rows = tables.map(|table| hub.db.query(&format!("SELECT * FROM {table} WHERE tenant = 'main'")));
    format!(
        "{rows:?} {:?}",
        hub.db.query("SELECT name, zone, status, policy_hash, version FROM tenants WHERE id = 'main'")
    )
}

fn ids(list: &Value, name: &str) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
}

pub fn detail(reply: &Reply) -> String {
    reply.json()["detail"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn another_tenants_token_opens_nothing_and_its_own_api_shows_nothing_of_the_first() {
    let hub = Setup::new();
    let things = Things::make(&hub);
    hub.create_tenant("acme");
    hub.admin_token_of("acme");
    let before = state(&hub);
    for (method, path) in operations(&hub) {
        let path = things.fill(&path);
        let stranger = hub.admin_token_of("acme");
        let reply = with(&hub, &stranger, &method, &path).json(&json!({})).send();
        assert_eq!(reply.status, 401, "{method} {path}: {reply:?}");

        let own = hub.admin_of("acme", &method, &path).header("if-match", "*").json(&json!({})).send();
        for secret_of_main in [&things.client.client_id, &things.secret, &things.resource, &"\"main\"".to_owned()] {
            assert!(!own.text.contains(secret_of_main.as_str()), "{method} {path}: {own:?}");
        }
        let one_thing = [&things.client.client_id, &things.resource, "main", "agent"];
        if path.split('/').any(|segment| one_thing.contains(&segment)) {
            assert!(matches!(own.status, 400 | 404), "{method} {path}: {own:?}");
        }
    }
    assert_eq!(state(&hub), before);
}

#[test]
fn well_formed_changes_from_another_tenant_do_not_reach_the_first() {
    let hub = Setup::new();
    let things = Things::make(&hub);
    hub.create_tenant("acme");
    hub.admin_token_of("acme");
    let before = state(&hub);
    let client = format!("clients/{}", things.client.client_id);
    let resource = format!("resources/{}", things.resource);
    let resource_body = json!({"resource": RESOURCE, "name": "n", "scopes": [{"name": "s", "description": ""}]});
    for (method, path, body) in [
        ("PUT", client.clone(), json!({"client_name": "n"})),
        ("DELETE", client.clone(), json!({})),
        ("POST", format!("{client}/secrets"), json!({})),
        ("DELETE", format!("{client}/secrets/{}", things.secret), json!({})),
        ("POST", format!("{client}/suspend"), json!({})),
        ("POST", format!("{client}/resume"), json!({})),
        ("POST", format!("{client}/kill"), json!({})),
        ("PUT", resource.clone(), resource_body),
        ("DELETE", resource, json!({})),
        ("DELETE", "policies/agent".to_owned(), json!({})),
        ("PUT", "tenants/main".to_owned(), json!({"name": "n", "zone": "UTC"})),
    ] {
        let reply = hub.admin_of("acme", method, &path).header("if-match", "*").json(&body).send();
        assert_eq!(reply.status, 404, "{method} {path}: {reply:?}");
    }
    assert_eq!(state(&hub), before);
}

#[test]
fn every_operation_needs_a_token_of_this_tenant_for_this_api_with_its_scope() {
    let hub = Setup::new();
    let things = Things::make(&hub);
    let reader = hub.admin_client("main");
    let form = [("grant_type", "client_credentials"), ("scope", "admin:read")];
    let reader = hub.call("POST", "/t/main/token").basic(&reader).form(&form).send().access_token();
    let agent = hub.access_token(&things.client, "mcp:read");
    let before = state(&hub);
    for (n, (method, path)) in operations(&hub).into_iter().enumerate() {
        let path = things.fill(&path);
        // From an address of its own: too many refusals from one are 429.
        let ip = format!("192.0.2.{n}");
        let call =
            |token: &str| with(&hub, token, &method, &path).header("if-match", "*").json(&json!({})).ip(&ip).send();
        let none = hub.call(&method, &format!("/t/main/admin/{path}")).ip(&ip).send().expect(401);
        assert!(none.header("www-authenticate").unwrap().starts_with("Bearer "), "{none:?}");
        assert_eq!(call("nonsense").status, 401, "{method} {path}");
        assert_eq!(call(&agent).status, 401, "{method} {path}");
        let read = call(&reader);
        match method.as_str() {
            "GET" => assert!(matches!(read.status, 200 | 404), "{path}: {read:?}"),
            // They have a body and change nothing.
            "POST" if ["policies/explain", "policies/replay"].contains(&&*path) => {
                assert_eq!(read.status, 400, "{path}")
            }
            _ => {
                assert_eq!((read.status, read.error().as_str()), (403, "insufficient_scope"), "{method} {path}");
                assert!(read.header("www-authenticate").unwrap().contains("insufficient_scope"));
            }
        }
    }
    assert_eq!(state(&hub), before);
}

#[test]
fn every_refused_request_is_one_event_that_tells_who_asked_for_what_and_why_not() {
    let hub = Setup::new();
    let admin = hub.admin_client("main").client_id;
    let token = hub.admin_token();
    let reader = [("grant_type", "client_credentials"), ("scope", "admin:read")];
    let reader = hub.call("POST", "/t/main/token").basic(&hub.admin_client("main")).form(&reader).send().access_token();
    hub.put_policy("p", FORBID);
    let refused = |reason: &str, client: bool, call: Call<'_>| {
        let before = hub.events_of("admin.refused").len();
        let reply = call.ip("192.0.2.7").send();
        assert_eq!(reply.json()["reason"], reason, "{reply:?}");
        let events = hub.events_of("admin.refused");
        assert_eq!(events.len(), before + usize::from(client), "{reason}: what belongs to no client is counted");
        if !client {
            return Value::Null;
        }
        let event = events.last().unwrap();
        assert_eq!((&event["reason"], &event["ip"]), (&json!(reason), &json!("192.0.2.7")));
        assert_eq!(event["client"], json!(admin), "{event}");
        event.clone()
    };
    refused("MissingToken", false, hub.call("GET", "/t/main/admin/clients"));
    refused("InvalidToken", false, with(&hub, "x.y.z", "GET", "clients"));
    let event = refused("InsufficientScope", true, with(&hub, &reader, "POST", "keys/rotate"));
    assert_eq!(event["target"], "POST keys/rotate");
    refused("NotFound", true, with(&hub, &token, "POST", "clients/nobody/kill"));
    refused("InvalidQuery", true, with(&hub, &token, "GET", "clients?colour=red"));
    refused("MalformedJson", true, with(&hub, &token, "POST", "clients").body("{"));
    let event =
        refused("UnknownField", true, with(&hub, &token, "POST", "clients").json(&json!({"colour": "canary-value"})));
    assert!(event["detail"].as_str().unwrap().contains("`colour`") && !event.to_string().contains("canary-value"));
    refused("InvalidPolicy", true, with(&hub, &token, "PUT", "policies/q").json(&json!({"cedar": "nonsense"})));
    refused("PreconditionRequired", true, with(&hub, &token, "PUT", "policies/p").json(&json!({"cedar": FORBID})));
    let stale = with(&hub, &token, "PUT", "policies/p").header("if-match", "\"v9\"").json(&json!({"cedar": FORBID}));
    let event = refused("PreconditionFailed", true, stale);
    assert_eq!(event["target"], "PUT policies/p");
}

#[test]
fn a_refusal_that_cannot_be_recorded_is_no_answer() {
    let hub = Setup::new();
    let token = hub.admin_token();
    hub.faults.fail(Port::Queue);
    hub.faults.fail_when(Port::Db, |seen| seen.text.contains("INSERT INTO outbox"), crate::support::Effect::Fails);
    with(&hub, &token, "GET", "clients?colour=red").send().expect(503);
    hub.faults.heal();
    with(&hub, &token, "GET", "clients?colour=red").send().expect(400);
}

#[test]
fn a_change_whose_event_cannot_be_kept_does_not_happen() {
    let hub = Setup::new();
    let token = hub.admin_token();
    let before = state(&hub);
    hub.faults.fail_when(Port::Db, |seen| seen.text.contains("INSERT INTO outbox"), crate::support::Effect::Fails);
    with(&hub, &token, "POST", "clients").json(&json!({"client_name": "n"})).send().expect(503);
    assert_eq!(state(&hub), before);
    hub.faults.heal();
    with(&hub, &token, "POST", "clients").json(&json!({"client_name": "n"})).send().expect(201);
}

#[test]
fn bodies_that_are_not_one_strict_json_object_are_refused_everywhere_and_change_nothing() {
    let hub = Setup::new();
    let things = Things::make(&hub);
    let token = hub.admin_token();
    let before = state(&hub);
    let made =
        ["tenants", "clients", "resources", "users", "issuers", "webhooks", "sinks", "clients/{id}/secrets", "kill"];
    let takes_json =
        |(method, path): &(String, String)| method == "PUT" || (method == "POST" && made.contains(&path.as_str()));
    let takes_json: Vec<_> = operations(&hub).into_iter().filter(takes_json).collect();
    assert_eq!(takes_json.len(), 18);
    for (method, path) in takes_json {
        let call = || with(&hub, &token, &method, &things.fill(&path)).header("if-match", "*");
        for bad in ["{", "[]", "1", "\"x\"", "null", "{} {}", "{\"a\":1,\"a\":2}", "\u{0}"] {
            assert_eq!(call().body(bad).send().expect(400).json()["reason"], "MalformedJson", "{method} {path} {bad}");
        }
        let unknown = call().json(&json!({"no_such_field": 1})).send().expect(400);
        assert_eq!(unknown.json()["reason"], "UnknownField");
        assert!(detail(&unknown).contains("`no_such_field`"), "{unknown:?}");
        assert_eq!(call().body(vec![b' '; 65 * 1024]).send().expect(413).json()["reason"], "BodyTooLarge");
        assert_eq!(call().form(&[("a", "b")]).send().expect(415).json()["reason"], "NotJson");
    }
    assert_eq!(state(&hub), before);
}

#[test]
fn lists_refuse_unknown_and_malformed_parameters_by_name() {
    let hub = Setup::new();
    let token = hub.admin_token();
    for list in ["tenants", "clients", "identities", "resources", "policies", "connections", "events"] {
        for (query, name) in [
            ("colour=red", "colour"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=x", "limit"),
            ("limit=1&limit=2", "limit"),
        ] {
            let reply = with(&hub, &token, "GET", &format!("{list}?{query}")).send().expect(400);
            assert_eq!(reply.json()["reason"], "InvalidQuery");
            assert!(detail(&reply).contains(&format!("`{name}`")), "{reply:?}");
        }
        with(&hub, &token, "GET", &format!("{list}?limit=100")).send().expect(200);
    }
}

/// Walks a list in pages of two and calls `between` after each page.
fn walk(hub: &Setup, list: &str, name: &str, mut between: impl FnMut(usize)) -> Vec<String> {
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let more = cursor.map_or(String::new(), |cursor| format!("&cursor={cursor}"));
        let page = hub.admin("GET", &format!("{list}?limit=2{more}")).send().expect(200).json();
        assert!(page["items"].as_array().unwrap().len() <= 2 && !page.to_string().contains("null"), "{page}");
        seen.extend(ids(&page, name));
        pages += 1;
        assert!(pages < 100, "the walk never ends: {seen:?}");
        between(pages);
        let Some(next) = page["next_cursor"].as_str() else { return seen };
        cursor = Some(next.to_owned());
    }
}

#[test]
fn walking_a_list_shows_everything_once_even_while_things_are_added_and_removed() {
    let hub = Setup::new();
    let resource =
        |id: &str| drop(hub.create_resource(json!({"id": id, "resource": format!("https://{id}.example/")})));
    for n in [2, 4, 6, 8] {
        hub.create_client(json!({"client_name": format!("client {n}")}));
        resource(&format!("r{n}"));
        hub.put_policy(&format!("p{n}"), FORBID);
        hub.create_tenant(&format!("t{n}"));
    }
    for (list, name) in [("clients", "client_id"), ("resources", "id"), ("policies", "id"), ("tenants", "id")] {
        let there: BTreeSet<String> = walk(&hub, list, name, |_| {}).into_iter().collect();
        assert!(there.len() >= 4, "{list}: {there:?}");
        // Before and behind of where the walk is.
        let seen = walk(&hub, list, name, |page| match (list, page) {
            (_, 4..) => {}
            ("clients", _) => drop(hub.create_client(json!({}))),
            ("resources", _) => resource(&format!("r{}", page * 2 + 1)),
            ("policies", _) => hub.put_policy(&format!("p{}", 9 - page * 2), FORBID),
            _ => drop(hub.create_tenant(&format!("t{}", page * 2 + 1))),
        });
        let once: BTreeSet<String> = seen.iter().cloned().collect();
        assert_eq!(once.len(), seen.len(), "{list}: something was shown twice: {seen:?}");
        assert!(there.is_subset(&once), "{list}: {there:?} and {seen:?}");
    }
}

#[test]
fn of_two_updates_from_one_version_one_is_refused() {
    let hub = Setup::new();
    let things = Things::make(&hub);
    let scopes = json!([{"name": "mcp:read", "description": "d"}]);
    for seed in 1..=12 {
        let token = hub.admin_token();
        for (path, body) in [
            ("tenants/{id}", json!({"name": format!("n{seed}"), "zone": "UTC"})),
            ("clients/{id}", json!({"client_name": format!("n{seed}")})),
            ("resources/{id}", json!({"resource": RESOURCE, "name": format!("n{seed}"), "scopes": scopes})),
            ("policies/{id}", json!({"description": format!("n{seed}"), "cedar": FORBID})),
        ] {
            let path = things.fill(path);
            let etag = with(&hub, &token, "GET", &path).send().expect(200).header("etag").unwrap().to_owned();
            let update = || with(&hub, &token, "PUT", &path).header("if-match", &etag).json(&body).future();
            let replies = hub.together(seed, vec![update(), update()]);
            let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 412], "{path}: {replies:?}");
            let won = replies.iter().find(|reply| reply.status == 200).unwrap();
            let now = with(&hub, &token, "GET", &path).send().expect(200);
            let mut said = won.json();
            said.as_object_mut().unwrap().remove("warnings");
            assert_eq!((won.header("etag"), said), (now.header("etag"), now.json()));
        }
    }
}

#[test]
fn updates_need_the_version_that_they_were_made_from() {
    let hub = Setup::new();
    let things = Things::make(&hub);
    let scopes = json!([{"name": "mcp:read", "description": "d"}]);
    for (path, body) in [
        ("tenants/{id}", json!({"name": "n", "zone": "UTC"})),
        ("clients/{id}", json!({"client_name": "n"})),
        ("resources/{id}", json!({"resource": RESOURCE, "name": "n", "scopes": scopes})),
        ("policies/{id}", json!({"cedar": FORBID})),
    ] {
        let path = things.fill(path);
        let put = |tag: Option<&str>| {
            let call = hub.admin("PUT", &path).json(&body);
            tag.map_or_else(|| hub.admin("PUT", &path).json(&body), |tag| call.header("if-match", tag)).send()
        };
        let etag = hub.admin("GET", &path).send().header("etag").unwrap().to_owned();
        assert_eq!((put(None).status, put(Some("\"v0\"")).status), (428, 412), "{path}");
        let next = put(Some(&format!("\"v0\", {etag}"))).expect(200).header("etag").unwrap().to_owned();
        assert_ne!(next, etag);
        assert_eq!(put(Some(&etag)).status, 412, "{path}");
        put(Some("*")).expect(200);
    }
    // What is not there has no version: a name needs none to be made, and cannot match one.
    let body = json!({"cedar": FORBID});
    assert_eq!(hub.admin("PUT", "policies/new").header("if-match", "*").json(&body).send().status, 412);
    hub.admin("PUT", "policies/new").json(&body).send().expect(201);
    // A removal need not name a version, but holds to the one that it names.
    for path in ["policies/new".to_owned(), things.fill("clients/{id}"), things.fill("resources/{id}")] {
        assert_eq!(hub.admin("DELETE", &path).header("if-match", "\"v99\"").send().status, 412, "{path}");
        hub.admin("DELETE", &path).send().expect(204);
        hub.admin("GET", &path).send().expect(404);
        hub.admin("DELETE", &path).send().expect(404);
    }
}

#[test]
fn sql_in_every_string_is_only_text() {
    let hub = Setup::new();
    let things = Things::make(&hub);
    let evil = "x'); DROP TABLE clients; UPDATE tenants SET status='suspended'; --";
    let count = |table: &str| hub.db.query(&format!("SELECT count(*) AS n FROM {table}"))[0]["n"].as_i64().unwrap();
    let client = json!({"client_name": evil, "owner": evil, "tags": [evil], "kind": "autonomous"});
    let made = hub.admin("POST", "clients").json(&client).send().expect(201).json();
    assert_eq!((&made["client_name"], &made["owner"], &made["tags"][0]), (&json!(evil), &json!(evil), &json!(evil)));
    let scopes = json!([{"name": "a'--", "description": evil, "tool": evil}]);
    let resource = json!({"resource": "https://x.example/');DROP", "name": evil, "scopes": scopes});
    let made = hub.admin("POST", "resources").json(&resource).send().expect(201).json();
    assert_eq!((&made["name"], &made["scopes"]), (&json!(evil), &resource["scopes"]));
    let policy = json!({"description": evil, "cedar": format!("{FORBID} // {evil}")});
    let made = hub.admin("PUT", "policies/evil").json(&policy).send().expect(201).json();
    assert_eq!((&made["description"], &made["cedar"]), (&policy["description"], &policy["cedar"]));
    let tenant = json!({"name": evil, "zone": "UTC"});
    hub.admin("PUT", "tenants/main").header("if-match", "*").json(&tenant).send().expect(200);

    let counts = ["tenants", "clients", "client_secrets", "resources", "policies"].map(count);
    let encoded: String = form_urlencoded::byte_serialize(evil.as_bytes()).collect::<String>().replace('+', "%20");
    for (method, path) in operations(&hub).into_iter().filter(|(_, path)| path.contains('{')) {
        let path = path.replace("{id}", &encoded).replace("{name}", &encoded).replace("{secret}", &encoded);
        let bodies =
            [json!({}), json!({"client_name": "n"}), json!({"name": "n", "zone": "UTC"}), json!({"cedar": FORBID})];
        for body in bodies.iter().chain([&resource]) {
            let reply = hub.admin(&method, &path).header("if-match", "*").json(body).send();
            assert!(matches!(reply.status, 400 | 404), "{method} {path}: {reply:?}");
        }
    }
    for list in ["tenants", "clients", "resources", "policies", "connections", "events"] {
        hub.admin("GET", &format!("{list}?cursor={encoded}")).send().expect(400);
    }
    for name in ["client_id", "decision"] {
        assert_eq!(
            ids(&hub.admin("GET", &format!("events?{name}={encoded}")).send().expect(200).json(), "id").len(),
            0
        );
    }
    for field in ["id", "zone"] {
        let mut body = json!({"id": "fine", "name": "n", "zone": "UTC"});
        body[field] = json!(evil);
        hub.admin("POST", "tenants").json(&body).send().expect(400);
    }
    assert_eq!(["tenants", "clients", "client_secrets", "resources", "policies"].map(count), counts);
    hub.admin("GET", &things.fill("clients/{id}")).send().expect(200);
}
