//! `admin/clients`: registration, secrets, lifecycle.

use super::{detail, ids};
use crate::support::hub::{ISSUER, RESOURCE};
use crate::support::{Credentials, Setup};
use serde_json::{Value, json};
use writ::crypto::sha256;

fn secret_of(body: &Value) -> String {
    body["client_secret"].as_str().unwrap().to_owned()
}

fn status(hub: &Setup, client: &Credentials) -> u16 {
    hub.token(client, &[]).status
}

#[test]
fn a_registered_client_is_answered_with_its_defaults_and_where_it_is() {
    let hub = Setup::new();
    let reply = hub.admin("POST", "clients").json(&json!({"client_name": "agent"})).send().expect(201);
    let body = reply.json();
    let id = body["client_id"].as_str().unwrap();
    assert_eq!(reply.header("location"), Some(format!("{ISSUER}/admin/clients/{id}").as_str()));
    assert_eq!((reply.header("etag"), reply.header("cache-control")), (Some("\"v1\""), Some("no-store, no-transform")));
    assert_eq!(body["client_id_issued_at"], hub.clock.seconds());
    assert_eq!((&body["client_secret_expires_at"], &body["status"]), (&json!(0), &json!("active")));
    assert_eq!(body["grant_types"], json!(["client_credentials"]));
    assert_eq!(body["token_endpoint_auth_method"], "client_secret_basic");
    assert!(!reply.text.contains("null"));
    let shown = hub.admin("GET", &format!("clients/{id}")).send().expect(200).json();
    for (name, value) in shown.as_object().unwrap() {
        assert_eq!(&body[name], value, "{name}");
    }
}

#[test]
fn a_client_secret_is_shown_once_and_is_nowhere_else() {
    let hub = Setup::new();
    let made = hub.admin("POST", "clients").json(&json!({"client_name": "agent"})).send().expect(201).json();
    let path = format!("clients/{}", made["client_id"].as_str().unwrap());
    let added = hub.admin("POST", &format!("{path}/secrets")).send().expect(201).json();
    let tenant = hub.admin("POST", "tenants").json(&json!({"id": "acme", "name": "Acme"})).send().expect(201).json();
    hub.admin("GET", &path).send().expect(200);
    hub.admin("GET", "clients").send().expect(200);
    hub.admin("PUT", &path).header("if-match", "*").json(&json!({"client_name": "other"})).send().expect(200);
    hub.admin("POST", &format!("{path}/suspend")).send().expect(200);
    hub.admin("POST", &format!("{path}/resume")).send().expect(200);
    hub.admin("POST", &format!("{path}/kill")).send().expect(200);
    hub.events();
    hub.admin("GET", "events").send().expect(200);
    for secret in [secret_of(&made), secret_of(&added), secret_of(&tenant)] {
        assert!(secret.starts_with("writ_cs_"));
        assert!(!hub.dump_at_rest().contains(&secret));
        assert_eq!(hub.dump_everything().matches(&secret).count(), 1);
        let digest = sha256(&secret).to_text();
        let at_rest = hub.dump_at_rest().matches(&digest).count();
        assert_eq!((at_rest, hub.dump_everything().matches(&digest).count()), (1, 1), "a digest has left");
    }
}

#[test]
fn metadata_that_cannot_be_is_refused_by_the_name_of_its_field() {
    let hub = Setup::new();
    let long = "x".repeat(201);
    for (field, bad) in [
        ("client_name", json!("")),
        ("client_name", json!(long)),
        ("client_name", json!(7)),
        ("client_name", json!({"$ne": 1})),
        ("grant_types", json!(["password"])),
        ("grant_types", json!("client_credentials")),
        ("token_endpoint_auth_method", json!("none")),
        ("scope", json!("a\"b")),
        ("scope", json!(["a"])),
        ("owner", json!(" ")),
        ("tags", json!([long])),
        ("tags", json!(vec!["t"; 101])),
        ("kind", json!("robot")),
        ("kind", json!("resource_server")),
        ("allowed_resources", json!(["not a uri"])),
        ("allowed_resources", json!([1])),
    ] {
        let mut body = json!({"client_name": "agent"});
        body[field] = bad.clone();
        let reply = hub.admin("POST", "clients").json(&body).send().expect(400);
        let named = if bad == "resource_server" { "allowed_resources" } else { field };
        assert_eq!(reply.json()["reason"], "InvalidField", "{reply:?}");
        assert!(detail(&reply).contains(named), "{field}: {reply:?}");
    }
    let missing = hub.admin("POST", "clients").json(&json!({})).send().expect(400);
    assert_eq!(detail(&missing), "`client_name` is missing");
    for unknown in ["registration", "client_secret", "client_id", "status", "tenant", "id"] {
        let reply = hub.admin("POST", "clients").json(&json!({"client_name": "n", unknown: "x"})).send().expect(400);
        assert!(detail(&reply).contains(&format!("`{unknown}` is unknown")), "{reply:?}");
    }
    assert_eq!(hub.db.query("SELECT id FROM clients").len(), 1);
}

#[test]
fn a_secret_is_rotated_without_an_outage() {
    let hub = Setup::new();
    let old = hub.agent("agent", "mcp:read");
    let path = format!("clients/{}/secrets", old.client_id);
    let first = hub.admin("GET", &format!("clients/{}", old.client_id)).send().json()["secrets"][0]["id"].clone();
    let added = hub.admin("POST", &path).send().expect(201).json();
    let new = Credentials { client_secret: secret_of(&added), ..old.clone() };
    assert_eq!((status(&hub, &old), status(&hub, &new)), (200, 200));
    hub.admin("DELETE", &format!("{path}/{}", first.as_str().unwrap())).send().expect(204);
    assert_eq!((status(&hub, &old), status(&hub, &new)), (401, 200));
    hub.admin("DELETE", &format!("{path}/{}", first.as_str().unwrap())).send().expect(404);
    let kinds = ["client.secret_created", "client.secret_deleted"];
    for (kind, secret) in kinds.into_iter().zip([&added["id"], &first]) {
        let events = hub.events_of(kind);
        assert_eq!((events.len(), &events[0]["target"], &events[0]["detail"]), (1, &json!(old.client_id), secret));
        assert_eq!(events[0]["client"], hub.admin_client("main").client_id);
    }
}

#[test]
fn an_expired_secret_is_refused_and_one_that_is_left_works() {
    let hub = Setup::new();
    let old = hub.agent("agent", "mcp:read");
    let path = format!("clients/{}/secrets", old.client_id);
    let added = hub.admin("POST", &path).json(&json!({"expires_in": 60})).send().expect(201).json();
    assert_eq!(added["expires_at"], hub.clock.seconds() + 60);
    let new = Credentials { client_secret: secret_of(&added), ..old.clone() };
    hub.clock.advance(59);
    assert_eq!(status(&hub, &new), 200);
    hub.clock.advance(1);
    assert_eq!((status(&hub, &new), status(&hub, &old)), (401, 200));
    for bad in [json!(0), json!(-1), json!(1.5), json!("60"), json!(315_360_001)] {
        let reply = hub.admin("POST", &path).json(&json!({"expires_in": bad})).send().expect(400);
        assert!(detail(&reply).contains("`expires_in`"), "{reply:?}");
    }
}

#[test]
fn a_client_has_five_secrets_at_most_even_when_they_are_asked_for_at_once() {
    let hub = Setup::new();
    let client = hub.create_client(json!({}));
    let path = format!("/t/main/admin/clients/{}/secrets", client.client_id);
    let token = hub.admin_token();
    let asked = (0..8).map(|_| hub.call("POST", &path).bearer(&token).future()).collect();
    let statuses: Vec<u16> = hub.together(3, asked).iter().map(|reply| reply.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 4, "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 409].contains(status)));
    assert_eq!(hub.events_of("client.secret_created").len(), 4);
}

#[test]
fn suspending_bites_at_once_here_and_elsewhere_within_the_freshness_bound_and_resuming_undoes_it() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    let elsewhere = hub.isolate();
    hub.token_call(&agent, &[]).on(&elsewhere).send().expect(200);
    let path = format!("clients/{}", agent.client_id);
    let receipt = hub.admin("POST", &format!("{path}/suspend")).send().expect(200).json();
    assert_eq!(receipt["status"], "suspended");
    assert_eq!(status(&hub, &agent), 401);
    let bound = receipt["not_honoured_after"].as_u64().unwrap();
    assert_eq!(bound, receipt["at"].as_u64().unwrap() + 5);
    hub.clock.set_seconds(bound);
    hub.token_call(&agent, &[]).on(&elsewhere).send().expect(401);
    let resumed = hub.admin("POST", &format!("{path}/resume")).send().expect(200).json();
    assert_eq!((&resumed["status"], status(&hub, &agent)), (&json!("active"), 200));
    hub.admin("POST", &format!("{path}/resume")).send().expect(200);
    assert_eq!((hub.events_of("client.suspended").len(), hub.events_of("client.resumed").len()), (1, 1));
}

#[test]
fn killing_ends_secrets_and_tokens_for_good_and_the_receipt_says_what_and_when() {
    let hub = Setup::new();
    let admin = hub.create_client(json!({"scope": "admin", "allowed_resources": [format!("{ISSUER}/admin")]}));
    let path = format!("clients/{}", admin.client_id);
    hub.admin("POST", &format!("{path}/secrets")).json(&json!({"expires_in": 1})).send().expect(201);
    hub.admin("POST", &format!("{path}/secrets")).send().expect(201);
    let token = hub.access_token(&admin, "admin");
    hub.clock.advance(2);
    hub.call("GET", "/t/main/admin/clients").bearer(&token).send().expect(200);

    let receipt = hub.admin("POST", &format!("{path}/kill")).send().expect(200).json();
    let now = hub.clock.seconds();
    assert_eq!((&receipt["id"], &receipt["status"]), (&json!(admin.client_id), &json!("retired")));
    assert_eq!((&receipt["at"], &receipt["not_honoured_after"]), (&json!(now), &json!(now + 5)));
    assert_eq!((&receipt["stopped"]["secrets"], &receipt["stopped"]["tokens_issued_until"]), (&json!(2), &json!(now)));
    assert!(receipt["stopped"]["tokens_expire_by"].as_u64().unwrap() >= now + 3600);
    let events = hub.events_of("client.killed");
    assert_eq!((events.len(), &events[0]["id"], &events[0]["target"]), (1, &receipt["event"], &json!(admin.client_id)));

    assert_eq!(hub.token(&admin, &[]).status, 401);
    hub.call("GET", "/t/main/admin/clients").bearer(&token).send().expect(401);
    hub.clock.advance(10);
    let again = hub.admin("POST", &format!("{path}/kill")).send().expect(200).json();
    assert_eq!(again, receipt);
    assert_eq!(hub.events_of("client.killed").len(), 1);
    for (method, path, body) in [
        ("POST", format!("{path}/resume"), json!({})),
        ("POST", format!("{path}/suspend"), json!({})),
        ("POST", format!("{path}/secrets"), json!({})),
        ("PUT", path.clone(), json!({"client_name": "n"})),
    ] {
        hub.admin(method, &path).header("if-match", "*").json(&body).send().expect(409);
    }
    assert_eq!(hub.admin("GET", &path).send().json()["status"], "retired");
}

#[test]
fn a_removed_client_leaves_no_secret_behind_and_its_token_is_worth_nothing() {
    let hub = Setup::new();
    let admin = hub.create_client(json!({"scope": "admin", "allowed_resources": [format!("{ISSUER}/admin")]}));
    let token = hub.access_token(&admin, "admin");
    let path = format!("clients/{}", admin.client_id);
    hub.admin("DELETE", &path).send().expect(204);
    assert!(hub.db.query(&format!("SELECT id FROM client_secrets WHERE client = '{}'", admin.client_id)).is_empty());
    assert_eq!(hub.token(&admin, &[]).status, 401);
    hub.call("GET", "/t/main/admin/clients").bearer(&token).send().expect(401);
    for action in ["suspend", "resume", "kill", "secrets"] {
        hub.admin("POST", &format!("{path}/{action}")).send().expect(404);
    }
}

#[test]
fn a_changed_ceiling_bites_at_the_next_token_and_the_event_names_what_changed() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read mcp:write");
    assert_eq!(hub.token(&agent, &[]).json()["scope"], "mcp:read mcp:write");
    let path = format!("clients/{}", agent.client_id);
    let body = json!({"client_name": "agent", "scope": "mcp:read", "allowed_resources": [RESOURCE], "owner": "ops"});
    hub.admin("PUT", &path).header("if-match", "\"v1\"").json(&body).send().expect(200);
    assert_eq!(hub.token(&agent, &[]).json()["scope"], "mcp:read");
    assert_eq!(hub.events_of("client.updated")[0]["detail"], "owner, scope");
    let listed = hub.admin("GET", "clients").send().json();
    assert!(ids(&listed, "client_id").contains(&agent.client_id));
}

#[test]
fn a_put_that_leaves_a_bound_of_a_client_out_is_told_so() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let client = hub.create_client(json!({"client_name": "a", "scope": "mcp:read", "allowed_resources": [RESOURCE]}));
    let path = format!("clients/{}", client.client_id);
    let put = |body: Value| {
        let etag = hub.admin("GET", &path).send().header("etag").unwrap().to_owned();
        hub.admin("PUT", &path).header("if-match", &etag).json(&body).send().expect(200).json()["warnings"].clone()
    };
    let whole = json!({"client_name": "a", "scope": "mcp:read", "allowed_resources": [RESOURCE]});
    assert_eq!(put(whole), Value::Null);
    let warnings = put(json!({"client_name": "a", "allowed_resources": [RESOURCE]}));
    assert!(warnings[0].as_str().unwrap().starts_with("`scope` was left out"), "{warnings}");
    let warnings = put(json!({"client_name": "a"}));
    assert!(warnings[0].as_str().unwrap().starts_with("`allowed_resources` was left out"), "{warnings}");
    assert_eq!(put(json!({"client_name": "b"})), Value::Null, "there is none to lose");
}
