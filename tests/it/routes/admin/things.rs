//! `admin/tenants`, `resources`, `policies`, `keys`, `events` and `dead-letters`.

use super::{FORBID, detail, ids};
use crate::support::hub::{ISSUER, RESOURCE, permit};
use crate::support::{Credentials, Setup};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use writ::app::Source;

fn scopes() -> Value {
    json!([{"name": "mcp:read", "description": "Read"}])
}

#[test]
fn a_new_tenant_has_its_own_issuer_and_an_administrator_who_can_go_to_work() {
    let hub = Setup::new();
    let body = json!({"id": "acme", "name": "Acme", "zone": "Europe/Berlin"});
    let reply = hub.admin("POST", "tenants").json(&body).send().expect(201);
    let made = reply.json();
    let issuer = hub.issuer("acme");
    assert_eq!(reply.header("location"), Some(format!("{ISSUER}/admin/tenants/acme").as_str()));
    assert_eq!(
        (&made["issuer"], &made["zone"], &made["status"]),
        (&json!(issuer), &json!("Europe/Berlin"), &json!("active"))
    );
    let admin = Credentials {
        client_id: made["client_id"].as_str().unwrap().to_owned(),
        client_secret: made["client_secret"].as_str().unwrap().to_owned(),
    };
    let form = [("grant_type", "client_credentials"), ("resource", &format!("{issuer}/admin"))];
    let token = hub.call("POST", "/t/acme/token").basic(&admin).form(&form).send().access_token();
    let clients = hub.call("GET", "/t/acme/admin/clients").bearer(&token).send().expect(200).json();
    assert_eq!(ids(&clients, "client_id"), [admin.client_id.as_str()]);
    assert_eq!(hub.call("POST", "/t/main/token").basic(&admin).form(&form).send().status, 401);
    let events = hub.events_of("tenant.created");
    assert_eq!((events.len(), &events[0]["target"], &events[0]["tenant"]), (1, &json!("acme"), &json!("main")));
}

#[test]
fn a_tenant_that_exists_gets_no_second_administrator_from_a_second_registration() {
    let hub = Setup::new();
    let token = hub.admin_token();
    let call = |name: &str| {
        let body = json!({"id": "acme", "name": name});
        hub.call("POST", "/t/main/admin/tenants").bearer(&token).json(&body).future()
    };
    for taken in ["main", "acme"] {
        if taken == "acme" {
            let mut statuses: Vec<u16> =
                hub.together(5, vec![call("one"), call("two")]).iter().map(|reply| reply.status).collect();
            statuses.sort_unstable();
            assert_eq!(statuses, [201, 409]);
        }
        hub.admin("POST", "tenants").json(&json!({"id": taken, "name": "n"})).send().expect(409);
        let clients = hub.db.query(&format!("SELECT id FROM clients WHERE tenant = '{taken}'"));
        assert_eq!(clients.len(), 1, "{taken}");
    }
    assert_eq!(hub.db.query("SELECT id FROM client_secrets").len(), 2);
}

#[test]
fn tenants_that_cannot_be_are_refused_by_the_name_of_their_field() {
    let hub = Setup::new();
    for (field, bad) in [
        ("id", json!("")),
        ("id", json!("Acme")),
        ("id", json!("a/b")),
        ("id", json!("-a")),
        ("id", json!("a".repeat(65))),
        ("name", json!(" ")),
        ("zone", json!("Mars/Olympus")),
        ("zone", json!(1)),
    ] {
        let mut body = json!({"id": "acme", "name": "Acme", "zone": "UTC"});
        body[field] = bad;
        let reply = hub.admin("POST", "tenants").json(&body).send().expect(400);
        assert!(detail(&reply).contains(&format!("`{field}`")), "{reply:?}");
    }
    assert_eq!(hub.db.query("SELECT id FROM tenants").len(), 1);
}

#[test]
fn only_the_first_tenant_makes_and_stops_tenants_and_others_change_their_own_name_and_zone() {
    let hub = Setup::new();
    hub.create_tenant("acme");
    hub.create_tenant("other");
    let made = hub.admin_of("acme", "POST", "tenants").json(&json!({"id": "x", "name": "X"})).send().expect(403);
    assert_eq!(made.json()["reason"], "FirstTenantOnly");
    assert_eq!(ids(&hub.admin_of("acme", "GET", "tenants").send().expect(200).json(), "id"), ["acme"]);
    assert_eq!(ids(&hub.admin("GET", "tenants").send().json(), "id"), ["acme", "main", "other"]);
    for name in ["main", "other", "nobody"] {
        hub.admin_of("acme", "GET", &format!("tenants/{name}")).send().expect(404);
    }
    let put = |tenant: &str, body: Value| {
        hub.admin_of(tenant, "PUT", "tenants/acme").header("if-match", "*").json(&body).send()
    };
    let own = put("acme", json!({"name": "New", "zone": "Asia/Tokyo"})).expect(200).json();
    assert_eq!((&own["name"], &own["zone"]), (&json!("New"), &json!("Asia/Tokyo")));
    let event = &hub.events_of("tenant.updated")[0];
    assert_eq!((&event["tenant"], &event["detail"]), (&json!("acme"), &json!("name, zone")));
    put("acme", json!({"name": "New", "zone": "UTC", "status": "suspended"})).expect(403);

    let token = hub.admin_token_of("acme");
    put("main", json!({"name": "New", "zone": "UTC", "status": "suspended"})).expect(200);
    hub.clock.advance(5);
    let refused = hub.call("GET", "/t/acme/admin/clients").bearer(&token).send().expect(403);
    assert_eq!(refused.json()["reason"], "TenantSuspended");
    assert_eq!(put("main", json!({"name": "Kept", "zone": "UTC"})).expect(200).json()["status"], "suspended");
    put("main", json!({"name": "New", "zone": "UTC", "status": "active"})).expect(200);
    hub.clock.advance(5);
    hub.admin_of("acme", "GET", "clients").send().expect(200);
    let itself = json!({"name": "Main", "zone": "UTC", "status": "suspended"});
    hub.admin("PUT", "tenants/main").header("if-match", "*").json(&itself).send().expect(400);
}

#[test]
fn a_resource_is_registered_once_whatever_the_spelling_of_its_uri() {
    let hub = Setup::new();
    let body = |uri: &str| json!({"resource": uri, "name": "n", "scopes": scopes()});
    let reply = hub.admin("POST", "resources").json(&body("https://mcp.example/mcp")).send().expect(201);
    let made = reply.json();
    let id = made["id"].as_str().unwrap();
    assert_eq!(reply.header("location"), Some(format!("{ISSUER}/admin/resources/{id}").as_str()));
    assert_eq!((&made["access_token_lifetime"], &made["token_signing_alg"]), (&json!(300), &json!("ES256")));
    assert_eq!(made["resource"], "https://mcp.example/mcp");
    for same in ["https://mcp.example/mcp", "HTTPS://MCP.example:443/mcp/"] {
        hub.admin("POST", "resources").json(&body(same)).send().expect(409);
    }
    let admin_api = hub.admin("POST", "resources").json(&body(&format!("{ISSUER}/admin/"))).send().expect(409);
    assert!(detail(&admin_api).contains("admin API"));
    let named = json!({"id": "second", "resource": "https://other.example/", "name": "n", "scopes": scopes()});
    assert_eq!(hub.admin("POST", "resources").json(&named).send().expect(201).json()["id"], "second");
    let taken = hub.admin("PUT", "resources/second").header("if-match", "*").json(&body("https://mcp.example/mcp/"));
    assert!(detail(&taken.send().expect(409)).contains("another resource"));
    let renamed = json!({"id": "third", "resource": "https://other.example/", "name": "n", "scopes": scopes()});
    hub.admin("PUT", "resources/second").header("if-match", "*").json(&renamed).send().expect(400);
    assert_eq!(hub.events_of("resource.created").len(), 2);
}

#[test]
fn resources_that_cannot_be_are_refused_by_the_name_of_their_field() {
    let hub = Setup::new();
    for (field, bad) in [
        ("id", json!("A B")),
        ("resource", json!("mcp")),
        ("resource", json!("https://a.example/#f")),
        ("name", json!("")),
        ("scopes", json!([])),
        ("scopes", json!([{"name": "a b", "description": ""}])),
        ("scopes", json!([{"name": "a", "description": ""}, {"name": "a", "description": ""}])),
        ("scopes", json!([{"name": "a"}])),
        ("access_token_lifetime", json!(9)),
        ("access_token_lifetime", json!(3601)),
        ("access_token_lifetime", json!(-1)),
        ("access_token_lifetime", json!(1e300)),
        ("token_signing_alg", json!("none")),
        ("token_signing_alg", json!("HS256")),
    ] {
        let mut body = json!({"resource": RESOURCE, "name": "n", "scopes": scopes()});
        body[field] = bad;
        let reply = hub.admin("POST", "resources").json(&body).send().expect(400);
        assert!(detail(&reply).contains(field), "{reply:?}");
    }
    assert!(hub.db.query("SELECT id FROM resources").is_empty());
}

/// OpenID Connect Core §5.4, §11: what is about the person is not of a resource.
#[test]
fn a_resource_has_no_scope_with_a_name_of_openid_connect() {
    let hub = Setup::new();
    let id = hub.create_resource(json!({}));
    let path = format!("resources/{id}");
    let shown = hub.admin("GET", &path).send().expect(200);
    for name in ["openid", "profile", "email", "offline_access"] {
        let mut body = shown.json();
        body["scopes"].as_array_mut().unwrap().push(json!({"name": name, "description": "x"}));
        let put = hub.admin("PUT", &path).header("if-match", shown.header("etag").unwrap()).json(&body).send();
        assert!(detail(&put.clone().expect(400)).contains("`scopes[2].name`"), "{put:?}");
        body["resource"] = json!(format!("https://{name}.example/").replace('_', "-"));
        let made = hub.admin("POST", "resources").json(&body).send();
        assert!(detail(&made.clone().expect(400)).contains("`scopes[2].name`"), "{made:?}");
    }
    // Names that only look like them are taken.
    let scopes = json!([{"name": "openid:read", "description": "x"}, {"name": "Email", "description": "x"}]);
    hub.create_resource(json!({"resource": "https://other.example/", "scopes": scopes}));
}

#[test]
fn a_policy_that_does_not_hold_is_refused_with_line_and_column_in_every_mode_and_changes_nothing() {
    let hub = Setup::new();
    hub.put_policy("p", FORBID);
    let before = super::state(&hub);
    for mode in ["enforce", "shadow", "off"] {
        for (cedar, place) in [
            ("permit(principal, action,\n  resourc);", "line 2, column 3: "),
            (
                "permit(principal, action == Action::\"issue\", resource)\nwhen {\n  context.nonsense == 1 };",
                "line 3, column 3: ",
            ),
            ("", "line 1, column 1: "),
        ] {
            let body = json!({"description": "d", "cedar": cedar, "mode": mode});
            let reply = hub.admin("PUT", "policies/p").header("if-match", "*").json(&body).send().expect(400);
            assert_eq!(reply.json()["reason"], "InvalidPolicy");
            assert!(detail(&reply).starts_with(place), "{reply:?}");
        }
    }
    for (id, body) in [
        ("P", json!({"cedar": FORBID})),
        ("writ:admin", json!({"cedar": FORBID})),
        ("q", json!({"cedar": FORBID, "mode": "maybe"})),
        ("q", json!({"cedar": FORBID, "description": "x".repeat(501)})),
        ("q", json!({"description": "d"})),
    ] {
        hub.admin("PUT", &format!("policies/{id}")).json(&body).send().expect(400);
    }
    assert_eq!(super::state(&hub), before);
}

#[test]
fn a_policy_bites_at_the_next_token_and_not_after_it_is_gone() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    hub.access_token(&agent, "mcp:read");
    let body = json!({"description": "d", "cedar": permit(&agent.client_id, RESOURCE), "mode": "off"});
    let reply = hub.admin("PUT", "policies/agent").header("if-match", "\"v1\"").json(&body).send().expect(200);
    assert_eq!((reply.header("etag"), &reply.json()["mode"]), (Some("\"v2\""), &json!("off")));
    assert_eq!(hub.token(&agent, &[]).error(), "invalid_scope");
    let body = json!({"cedar": permit(&agent.client_id, RESOURCE)});
    let again = hub.admin("PUT", "policies/agent").header("if-match", "\"v2\"").json(&body).send().expect(200).json();
    assert_eq!((&again["mode"], &again["description"]), (&json!("enforce"), &json!("")));
    hub.access_token(&agent, "mcp:read");
    hub.admin("DELETE", "policies/agent").send().expect(204);
    assert_eq!(hub.token(&agent, &[]).error(), "invalid_scope");
    let events: Vec<Value> = hub.events_of("policy.put").iter().map(|event| event["detail"].clone()).collect();
    assert_eq!((json!(events), hub.events_of("policy.deleted").len()), (json!(["enforce", "off", "enforce"]), 1));
}

#[test]
fn keys_are_listed_without_their_private_halves_and_rotated_only_after_the_next_ones_are_known() {
    let hub = Setup::new();
    let list = |reply: Value| {
        let key = |item: &Value| (item["alg"].as_str().unwrap().to_owned(), item["state"].as_str().unwrap().to_owned());
        let mut keys: Vec<_> = reply["items"].as_array().unwrap().iter().map(key).collect();
        keys.sort();
        keys
    };
    let before = hub.admin("GET", "keys").send().expect(200).json();
    assert_eq!(list(before.clone()).len(), 4);
    let early = hub.admin("POST", "keys/rotate").send().expect(409);
    assert!(detail(&early).contains("600 s"), "{early:?}");
    hub.clock.advance(600);
    let after = hub.admin("POST", "keys/rotate").send().expect(200);
    assert!(!after.text.contains("sealed") && !after.text.contains("jwk"));
    let states = |alg: &str| ["current", "next", "retired"].map(|state| (alg.to_owned(), state.to_owned())).to_vec();
    assert_eq!(list(after.json()), [states("ES256"), states("RS256")].concat());
    let state_of = |keys: &Value, kid: &Value| {
        keys["items"].as_array().unwrap().iter().find(|key| &key["kid"] == kid).unwrap()["state"].clone()
    };
    for key in before["items"].as_array().unwrap() {
        let expected = if key["state"] == "current" { "retired" } else { "current" };
        assert_eq!(state_of(&after.json(), &key["kid"]), expected);
    }
    let admin = hub.admin_client("main").client_id;
    assert_eq!(hub.events_of("key.rotated").iter().filter(|event| event["client"] == admin).count(), 2);
}

#[test]
fn events_are_found_by_client_type_decision_and_time_newest_first() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    hub.access_token(&agent, "mcp:read");
    hub.clock.advance(100);
    let later = hub.clock.seconds();
    assert_eq!(hub.token(&agent, &[("scope", "mcp:write")]).status, 400);
    hub.access_token(&agent, "mcp:read");
    hub.events();
    let query = |text: &str| hub.admin("GET", &format!("events?{text}")).send().expect(200).json()["items"].clone();
    let issued = query(&format!("client_id={}&type=token.issued", agent.client_id));
    let issued = issued.as_array().unwrap();
    assert_eq!(issued.len(), 2);
    assert!(issued[0]["at"].as_u64() > issued[1]["at"].as_u64());
    assert_eq!(query(&format!("decision={}", issued[0]["decision"].as_str().unwrap()))[0], issued[0]);
    let of_agent = format!("client_id={}", agent.client_id);
    assert_eq!(query(&format!("{of_agent}&since={later}")).as_array().unwrap().len(), 2);
    let before = json!({"items": query(&format!("{of_agent}&until={later}"))});
    assert_eq!(
        ids(&before, "type").into_iter().collect::<BTreeSet<_>>(),
        ["client.created", "token.issued"].map(str::to_owned).into()
    );
    assert_eq!(query(&format!("{of_agent}&since=2026-01-06T12:01:40Z")), query(&format!("{of_agent}&since={later}")));
    assert_eq!(query("type=token.refused")[0]["client"], json!(agent.client_id));
    for bad in ["type=token", "since=yesterday", "until=-1", "since=99999999999999"] {
        let reply = hub.admin("GET", &format!("events?{bad}")).send().expect(400);
        assert!(detail(&reply).contains(&format!("`{}`", bad.split('=').next().unwrap())), "{reply:?}");
    }
}

#[test]
fn walking_the_events_shows_each_once_while_newer_ones_arrive() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    for _ in 0..7 {
        hub.clock.advance(1);
        hub.access_token(&agent, "mcp:read");
    }
    hub.events();
    let there = hub.trail.query("SELECT id FROM events WHERE type = 'token.issued' ORDER BY id DESC");
    let there: Vec<&str> = there.iter().map(|row| row["id"].as_str().unwrap()).collect();
    let (mut seen, mut path) = (Vec::new(), "events?type=token.issued&limit=3".to_owned());
    loop {
        // A request of its own makes events too: the administrator's token.
        let page = hub.admin("GET", &path).send().expect(200).json();
        seen.extend(ids(&page, "id"));
        hub.clock.advance(1);
        hub.events();
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("events?type=token.issued&limit=3&cursor={cursor}");
    }
    assert_eq!(seen, there);
}

#[test]
fn dead_letters_are_counted_for_the_first_tenant_alone() {
    let hub = Setup::new();
    hub.create_tenant("acme");
    hub.consume(Source::DeadLetters, &["one".to_owned(), "two".to_owned(), "two".to_owned()]).unwrap();
    assert_eq!(hub.admin("GET", "dead-letters").send().expect(200).json(), json!({"count": 2}));
    hub.admin_of("acme", "GET", "dead-letters").send().expect(403);
}
