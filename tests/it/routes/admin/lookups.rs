//! Finding records by what they are called, what refers to them, what happened to them, and how many there are.

use super::{Things, detail, ids};
use crate::support::Setup;
use crate::support::hub::RESOURCE;
use serde_json::{Value, json};

#[test]
fn records_are_found_by_name_uri_and_issuer() {
    let hub = Setup::new();
    let things = Things::make(&hub);
    hub.create_client(json!({"client_name": "other"}));
    hub.create_resource(json!({"id": "other", "resource": "https://other.example/", "name": "Other"}));
    let find = |query: &str, name: &str| ids(&hub.admin("GET", query).send().expect(200).json(), name);
    assert_eq!(find("clients?client_name=agent", "client_id"), [things.client.client_id.as_str()]);
    assert!(find("clients?client_name=nobody", "client_id").is_empty());
    assert_eq!(find("users?name=Alice", "id"), [things.user.as_str()]);
    let uri: String = form_urlencoded::byte_serialize(b"HTTPS://MCP.example:443/mcp/").collect();
    assert_eq!(find(&format!("resources?resource={uri}"), "id"), [things.resource.as_str()]);
    assert_eq!(find("resources?name=Other", "id"), ["other"]);
    assert!(find(&format!("resources?resource={uri}&name=Other"), "id").is_empty());
    assert_eq!(find("issuers?issuer=https%3A%2F%2Fidp.example", "id"), ["agent"]);
    assert_eq!(find("issuers?name=IdP", "id"), ["agent"]);
    hub.admin("GET", "resources?resource=none").send().expect(400);
    for n in 0..3 {
        hub.create_client(json!({"client_name": "twin", "owner": n.to_string()}));
    }
    let first = hub.admin("GET", "clients?client_name=twin&limit=2").send().expect(200).json();
    let next = format!("clients?client_name=twin&limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(ids(&first, "client_id").len() + find(&next, "client_id").len(), 3);
}

#[test]
fn what_clients_refer_to_cannot_be_removed_and_the_refusal_names_them() {
    let hub = Setup::new();
    let things = Things::make(&hub);
    let resource = format!("resources/{}", things.resource);
    let refused = hub.admin("DELETE", &resource).send().expect(409);
    assert!(detail(&refused).contains(&things.client.client_id), "{refused:?}");
    let rules = json!([{"claim": "sub", "equals": "x"}]);
    let metadata = json!({
        "token_endpoint_auth_method": "federated_jwt", "client_name": "workload",
        "workload_identities": [{"issuer": "https://idp.example", "rules": rules}],
    });
    let made = hub.admin("POST", "clients").json(&metadata).send().expect(201).json();
    let workload = made["client_id"].as_str().unwrap().to_owned();
    let refused = hub.admin("DELETE", "issuers/agent").send().expect(409);
    assert!(detail(&refused).contains(&workload), "{refused:?}");
    for client in [&things.client.client_id, &workload] {
        hub.admin("DELETE", &format!("clients/{client}")).send().expect(204);
    }
    hub.admin("DELETE", &resource).send().expect(204);
    hub.admin("DELETE", "issuers/agent").send().expect(204);
}

#[test]
fn what_clients_refer_to_keeps_its_uri_or_issuer_and_the_refusal_names_them() {
    let hub = Setup::new();
    let things = Things::make(&hub);
    let put = |path: &str, body: &Value| hub.admin("PUT", path).header("if-match", "*").json(body).send();
    let (resource, client) = (format!("resources/{}", things.resource), &things.client.client_id);
    let scopes = json!([{"name": "mcp:read", "description": "Read"}]);
    let of_resource = |uri: &str, name: &str| json!({"resource": uri, "name": name, "scopes": scopes});
    let refused = put(&resource, &of_resource("https://moved.example/", "n")).expect(409);
    assert!(detail(&refused).contains("`resource`") && detail(&refused).contains(client), "{refused:?}");
    assert_eq!(hub.admin("GET", &resource).send().json()["resource"], RESOURCE);
    put(&resource, &of_resource(RESOURCE, "Another name")).expect(200);
    hub.access_token(&things.client, "mcp:read");
    put(&resource, &of_resource(&format!("{RESOURCE}/"), "The same, spelt otherwise")).expect(200);

    let issuer = |iss: &str, name: &str| json!({"issuer": iss, "name": name, "uses": ["workload"]});
    let rules = json!([{"claim": "sub", "equals": "x"}]);
    let metadata = json!({
        "token_endpoint_auth_method": "federated_jwt", "client_name": "workload",
        "workload_identities": [{"issuer": "https://idp.example", "rules": rules}],
    });
    let made = hub.admin("POST", "clients").json(&metadata).send().expect(201).json();
    let workload = made["client_id"].as_str().unwrap();
    let refused = put("issuers/agent", &issuer("https://moved.example", "n")).expect(409);
    assert!(detail(&refused).contains("`issuer`") && detail(&refused).contains(workload), "{refused:?}");
    put("issuers/agent", &issuer("https://idp.example", "Another name")).expect(200);
    for client in [client.as_str(), workload] {
        hub.admin("DELETE", &format!("clients/{client}")).send().expect(204);
    }
    put(&resource, &of_resource("https://moved.example/", "n")).expect(200);
    put("issuers/agent", &issuer("https://moved.example", "n")).expect(200);
}

#[test]
fn a_look_up_that_finds_nothing_is_no_event() {
    let hub = Setup::new();
    hub.admin("GET", "clients/nobody").send().expect(404);
    hub.admin("GET", "nothing").send().expect(404);
    assert!(hub.events_of("admin.refused").is_empty());
    hub.admin("DELETE", "clients/nobody").send().expect(404);
    assert_eq!(hub.events_of("admin.refused").len(), 1);
}

#[test]
fn the_history_of_a_client_has_what_administrators_did_to_it_and_times_are_seconds() {
    let hub = Setup::new();
    let client = hub.create_client(json!({"client_name": "one"})).client_id;
    hub.create_client(json!({"client_name": "two"}));
    let path = format!("clients/{client}");
    hub.admin("PUT", &path).header("if-match", "*").json(&json!({"client_name": "new"})).send().expect(200);
    hub.admin("POST", &format!("{path}/suspend")).send().expect(200);
    hub.events();
    let history = |more: &str| hub.admin("GET", &format!("events?target={client}{more}")).send().expect(200).json();
    let events = history("");
    let mut kinds = ids(&events, "type");
    kinds.sort();
    assert_eq!(kinds, ["client.created", "client.suspended", "client.updated"]);
    assert_eq!(events["items"][0]["at"], hub.clock.seconds());
    assert_eq!(ids(&history("&type=client.updated"), "type"), ["client.updated"]);
    assert!(ids(&history("&refused=true"), "id").is_empty());
    assert!(ids(&history("&client_id=nobody"), "id").is_empty());
}

#[test]
fn the_events_of_a_client_are_what_it_did_and_what_administrators_did_to_it_each_once_in_pages() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    let (path, admin) = (format!("clients/{}", agent.client_id), hub.admin_client("main").client_id);
    let mut made = 1;
    for _ in 0..3 {
        hub.clock.advance(1);
        hub.access_token(&agent, "mcp:read");
        hub.clock.advance(1);
        hub.admin("POST", &format!("{path}/suspend")).send().expect(200);
        hub.clock.advance(1);
        hub.admin("POST", &format!("{path}/resume")).send().expect(200);
        made += 3;
    }
    hub.token(&agent, &[("scope", "none")]).expect(400);
    made += 1;
    hub.admin("POST", &format!("clients/{admin}/secrets")).json(&json!({})).send().expect(201);
    hub.events();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = hub.admin("GET", &format!("events?client_id={}&limit=4{cursor}", agent.client_id)).send();
        let page = page.expect(200).json();
        seen.extend(ids(&page, "id"));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let mut sorted = seen.clone();
    sorted.sort_by(|a, b| b.cmp(a));
    sorted.dedup();
    assert_eq!((seen.len(), &seen), (made, &sorted));
    let count = |query: &str| {
        ids(&hub.admin("GET", &format!("events?client_id={query}&limit=100")).send().expect(200).json(), "id").len()
    };
    assert_eq!(count(&format!("{}&type=client.suspended", agent.client_id)), 3);
    assert_eq!(count(&format!("{}&type=token.issued", agent.client_id)), 3);
    assert_eq!(count(&format!("{}&refused=true", agent.client_id)), 1);
    assert_eq!(count(&format!("{}&refused=true&type=token.issued", agent.client_id)), 0);
    assert_eq!(count(&format!("{admin}&type=client.secret_created")), 1, "done by it to itself");
}

#[test]
fn names_stand_beside_the_ids_in_events_as_they_were_then() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    hub.access_token(&agent, "mcp:read");
    let path = format!("clients/{}", agent.client_id);
    let renamed = json!({"client_name": "renamed", "scope": "mcp:read", "allowed_resources": [RESOURCE]});
    hub.admin("PUT", &path).header("if-match", "*").json(&renamed).send().expect(200);
    hub.clock.advance(1);
    hub.access_token(&agent, "mcp:read");
    hub.token(&agent, &[("scope", "none")]).expect(400);
    let wrong = crate::support::Credentials { client_secret: "x".to_owned(), ..agent.clone() };
    hub.token(&wrong, &[]).expect(401);
    hub.admin("POST", &format!("{path}/suspend")).send().expect(200);
    let user = hub.admin("POST", "users").json(&json!({"name": "Alice"})).send().expect(201).json();
    let user = user["id"].as_str().unwrap();
    hub.admin("POST", "kill").json(&json!({"user": user})).send().expect(200);
    hub.create_tenant("acme");
    let names = |event: &Value| {
        let members = ["client_name", "subject_name", "resource_name", "target_name"];
        members.map(|name| event[name].as_str().unwrap_or("-").to_owned())
    };
    let of = |kind: &str| hub.events_of(kind).iter().map(names).collect::<Vec<_>>();
    let issued: Vec<_> = of("token.issued").into_iter().filter(|names| names[2] == "A resource").collect();
    assert_eq!(issued, [["agent", "agent", "A resource", "-"], ["renamed", "renamed", "A resource", "-"]]);
    assert_eq!(of("token.refused")[0], ["renamed", "-", "A resource", "-"]);
    let admin = "First administrator";
    assert_eq!(of("client.updated"), [[admin, "-", "-", "agent"]]);
    assert_eq!(of("client.suspended"), [[admin, "-", "-", "renamed"]]);
    assert_eq!(of("user.killed"), [[admin, "Alice", "-", "Alice"]]);
    assert_eq!(of("resource.created"), [[admin, "-", "A resource", "A resource"]]);
    assert_eq!(of("tenant.created"), [[admin, "-", "-", "acme"]]);
}

#[test]
fn a_name_that_an_administrator_chooses_for_a_record_is_not_taken_for_that_of_a_client() {
    let hub = Setup::new();
    let admin = hub.admin_client("main").client_id;
    hub.put_policy(&admin, super::FORBID);
    let event = &hub.events_of("policy.put")[0];
    assert_eq!((&event["target"], event.get("target_name")), (&json!(admin), None));
}

#[test]
fn what_an_identity_can_reach_is_told_from_nowhere_or_from_where_and_when_the_query_says() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    let cedar = format!(
        "permit(principal == Client::\"{}\", action == Action::\"issue\", resource in Resource::\"{RESOURCE}\") \
         when {{ context has ip && context.ip.isInRange(ip(\"192.0.2.0/24\")) }};",
        agent.client_id
    );
    hub.access_token(&agent, "mcp:read");
    hub.put_policy("agent", &cedar);
    let listed = hub.admin("GET", &format!("identities?client={}", agent.client_id)).send().expect(200).json();
    let path = format!("identities/{}", listed["items"][0]["id"].as_str().unwrap());
    let ask = |query: &str| hub.admin("GET", &format!("{path}{query}")).ip("192.0.2.7").send();
    let allowed = |query: &str| {
        let reach = ask(query).expect(200).json()["reach"].clone();
        let scopes = reach["scopes"].as_array().unwrap();
        (scopes.iter().any(|scope| scope["allowed"] == true), reach)
    };
    // The administrator's own address is in the range.
    let (reached, from) = allowed("");
    assert_eq!((reached, from.get("ip"), &from["at"]), (false, None, &json!(hub.clock.seconds())));
    let (reached, from) = allowed("?ip=192.0.2.9&at=1767700000");
    assert_eq!((reached, &from["ip"], &from["at"]), (true, &json!("192.0.2.9"), &json!(1_767_700_000)));
    assert!(!allowed("?ip=198.51.100.1").0);
    for bad in ["?ip=nowhere", "?at=soon", "?colour=red"] {
        ask(bad).expect(400);
    }
}

#[test]
fn metrics_count_what_a_tenant_has_and_the_first_tenant_sees_what_is_of_all() {
    let hub = Setup::new();
    Things::make(&hub);
    hub.create_tenant("acme");
    let of_main = hub.admin("GET", "metrics").send().expect(200);
    assert!(of_main.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    for line in ["writ_clients{tenant=\"main\"} 2", "writ_users{tenant=\"main\"} 1", "writ_dead_letters 0"] {
        assert!(of_main.text.lines().any(|one| one == line), "{line}: {}", of_main.text);
    }
    let of_acme = hub.admin_of("acme", "GET", "metrics").send().expect(200).text;
    assert!(of_acme.contains("writ_clients{tenant=\"acme\"} 1") && !of_acme.contains("outbox"), "{of_acme}");
}
