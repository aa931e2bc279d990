//! Bodies and conditions that all records of the admin API have in common.

use super::{FORBID, Things, detail, with};
use crate::support::Setup;
use crate::support::hub::RESOURCE;
use serde_json::{Value, json};

/// One record of each kind, by its path.
const ALL: [&str; 7] = [
    "tenants/{id}",
    "clients/{id}",
    "resources/{id}",
    "users/{id}",
    "issuers/{id}",
    "policies/{id}",
    "connections/{name}",
];

fn hub() -> (Setup, Things, String) {
    let hub = Setup::new();
    let things = Things::make(&hub);
    let body = crate::routes::connections::body(0, &[crate::routes::connections::READ]);
    hub.admin("PUT", "connections/agent").json(&body).send().expect(201);
    let token = hub.admin_token();
    (hub, things, token)
}

fn updates(hub: &Setup) -> usize {
    let kinds = ["tenant", "client", "resource", "user", "issuer"].map(|kind| format!("{kind}.updated"));
    let kinds = kinds.iter().map(String::as_str).chain(["policy.put", "connection.put"]);
    kinds.map(|kind| hub.events_of(kind).len()).sum()
}

#[test]
fn what_was_read_can_be_written_back_and_changes_nothing() {
    let (hub, things, token) = hub();
    let before = updates(&hub);
    hub.clock.advance(10);
    for path in ALL {
        let path = things.fill(path);
        let read = with(&hub, &token, "GET", &path).send().expect(200);
        let etag = read.header("etag").unwrap();
        let written = with(&hub, &token, "PUT", &path).header("if-match", etag).json(&read.json()).send().expect(200);
        assert_eq!((written.json(), written.header("etag")), (read.json(), Some(etag)), "{path}");
    }
    assert_eq!(updates(&hub), before);
}

#[test]
fn a_changed_member_that_only_the_server_sets_is_named() {
    let (hub, things, token) = hub();
    for path in ALL {
        let path = things.fill(path);
        let read = with(&hub, &token, "GET", &path).send().expect(200);
        for name in [
            "updated_at",
            "created_at",
            "client_id_issued_at",
            "id",
            "client_id",
            "name",
            "issuer",
            "secrets",
            "credential",
        ] {
            let mut body = read.json();
            let settable = match path.split('/').next().unwrap() {
                "connections" => false,
                kind => name == "name" || (name == "issuer" && kind == "issuers"),
            };
            if body.get(name).is_none() || settable {
                continue;
            }
            body[name] = json!("changed");
            let reply = with(&hub, &token, "PUT", &path).header("if-match", "*").json(&body).send().expect(400);
            assert!(detail(&reply).contains(&format!("`{name}` cannot be changed")), "{path} {name}: {reply:?}");
        }
    }
}

#[test]
fn all_faults_of_a_body_are_named_at_once_in_words_of_the_wire() {
    let hub = Setup::new();
    let body = json!({
        "client_name": 7, "grant_types": ["password"], "kind": "robot", "tags": ["", 1], "expires_at": "soon", "jwks_uri": true,
        "colour": "red",
    });
    let told = detail(&hub.admin("POST", "clients").json(&body).send().expect(400));
    for name in ["client_name", "grant_types[0]", "kind", "tags[0]", "tags[1]", "expires_at", "jwks_uri", "colour"] {
        assert!(told.contains(&format!("`{name}`")), "{name}: {told}");
    }
    for word in ["struct", "i64", "u32", "sequence", "enum", "variant"] {
        assert!(!told.contains(word), "{told}");
    }
}

#[test]
fn each_member_has_its_bound_and_the_document_states_it() {
    let hub = Setup::new();
    let long = "x".repeat(3_000);
    let uri = format!("https://a.example/{long}");
    for (path, name, value) in [
        ("clients", "client_name", json!(long)),
        ("clients", "owner", json!(long)),
        ("clients", "jwks_uri", json!(uri)),
        ("clients", "allowed_resources", json!([uri])),
        ("clients", "scope", json!(format!("{long} ").repeat(3))),
        ("clients", "serves", json!(vec![RESOURCE; 101])),
        ("users", "name", json!(long)),
        ("users", "roles", json!(vec!["r"; 101])),
        ("issuers", "jwks_uri", json!(uri)),
        ("issuers", "audience", json!(long)),
        ("issuers", "preset", json!(long)),
        ("resources", "authorization_server", json!(uri)),
        ("resources", "scopes", json!([{"name": long, "description": "d"}])),
        ("tenants", "zone", json!(long)),
        ("kill", "chain", json!(long)),
    ] {
        let reply = hub.admin("POST", path).json(&json!({name: value})).send().expect(400);
        assert!(detail(&reply).contains(&format!("`{name}")), "{path} {name}: {reply:?}");
    }
    let document = hub.call("GET", "/openapi.json").send().expect(200).json();
    let members = |object: &str| document["components"]["schemas"][object]["properties"].clone();
    assert_eq!(members("ClientMetadata")["client_name"]["maxLength"], 200);
    assert_eq!(members("ClientMetadata")["jwks_uri"]["maxLength"], 2_048);
    assert_eq!(members("UserBody")["roles"]["maxItems"], 100);
    for object in ["ClientMetadata", "UserBody", "IssuerBody", "ResourceBody", "NewTenant", "PolicyBody", "Kill"] {
        for (name, member) in members(object).as_object().unwrap() {
            let bounded = match member["type"].as_str() {
                Some("string") => member["maxLength"].is_number() || member["readOnly"] == true,
                Some("array") => member["maxItems"].is_number(),
                Some("integer") => member["maximum"].is_number(),
                _ => true,
            };
            assert!(bounded, "{object}.{name}: {member}");
        }
    }
}

#[test]
fn a_moment_in_milliseconds_is_refused_with_the_hint() {
    let hub = Setup::new();
    let body = |at: u64| json!({"client_name": "n", "expires_at": at});
    let reply = hub.admin("POST", "clients").json(&body(hub.clock.seconds() * 1_000)).send().expect(400);
    assert!(detail(&reply).contains("divide milliseconds by 1000"), "{reply:?}");
    hub.admin("POST", "clients").json(&body(hub.clock.seconds() + 60)).send().expect(201);
}

#[test]
fn an_explicit_false_comes_back() {
    let hub = Setup::new();
    let body = json!({"client_name": "n", "dpop_bound_access_tokens": false, "token_endpoint_as_audience": false});
    let made = hub.admin("POST", "clients").json(&body).send().expect(201).json();
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(&made[name], value, "{name}");
    }
}

#[test]
fn a_tag_that_a_proxy_has_marked_as_weak_still_matches() {
    let (hub, things, token) = hub();
    for path in ALL {
        let path = things.fill(path);
        let read = with(&hub, &token, "GET", &path).send().expect(200);
        let weak = format!("\"another\", W/{}", read.header("etag").unwrap());
        with(&hub, &token, "PUT", &path).header("if-match", &weak).json(&read.json()).send().expect(200);
        let unquoted = read.header("etag").unwrap().trim_matches('"').to_owned();
        with(&hub, &token, "PUT", &path).header("if-match", &unquoted).json(&read.json()).send().expect(412);
        let unchanged = with(&hub, &token, "GET", &path).header("if-none-match", &weak).send().expect(304);
        assert_eq!((unchanged.text.as_str(), unchanged.header("etag")), ("", read.header("etag")), "{path}");
        with(&hub, &token, "GET", &path).header("if-none-match", "\"another\"").send().expect(200);
        with(&hub, &token, "GET", &path).header("if-match", "\"another\"").send().expect(412);
        with(&hub, &token, "GET", &path).header("if-match", &weak).send().expect(200);
    }
}

#[test]
fn if_none_match_makes_what_is_not_there_and_replaces_nothing() {
    let hub = Setup::new();
    let put = |cedar: &str| {
        let call = hub.admin("PUT", "policies/p").header("if-none-match", "*");
        call.json(&json!({"cedar": cedar})).send()
    };
    put(FORBID).expect(201);
    put(&format!("{FORBID} // again")).expect(412);
    assert_eq!(hub.admin("GET", "policies/p").send().json()["cedar"], FORBID);
}

#[test]
fn no_answer_of_the_admin_api_is_kept_or_changed_on_its_way() {
    let hub = Setup::new();
    for reply in [
        hub.admin("GET", "clients").send().expect(200),
        hub.admin("GET", "clients/nobody").send().expect(404),
        hub.call("GET", "/t/main/admin/clients").send().expect(401),
    ] {
        assert_eq!(reply.header("cache-control"), Some("no-store, no-transform"), "{reply:?}");
    }
}

#[test]
fn below_the_admin_api_nothing_is_told_without_a_token_and_problems_with_one() {
    let hub = Setup::new();
    for path in ["clients/a%5Cb", "clients/", "nothing", "clients/x/y/z", "clients/%2e%2e", ""] {
        let path = format!("/t/main/admin/{path}");
        hub.call("GET", &path).send().expect(401);
        let token = hub.admin_token();
        for method in ["GET", "POST", "DELETE"] {
            let reply = hub.call(method, &path).bearer(&token).send().expect(404);
            assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{path}");
            assert_eq!(reply.json()["reason"], "NoSuchPath");
        }
    }
}

#[test]
fn a_body_in_another_encoding_than_utf_8_is_refused() {
    let hub = Setup::new();
    let post = |media: &str| {
        let body = json!({"client_name": "n"}).to_string();
        hub.admin("POST", "clients").header("content-type", media).body(body).send()
    };
    post("application/json; charset=utf-7").expect(415);
    post("application/json; charset=UTF-8").expect(201);
    let form = |media: &str| {
        let call = hub.call("POST", "/t/main/token").basic(&hub.admin_client("main"));
        call.header("content-type", media).body("grant_type=client_credentials&scope=admin").send()
    };
    form("application/x-www-form-urlencoded;charset=utf-7").expect(400);
    form("application/x-www-form-urlencoded;charset=\"utf-8\"").expect(200);
}

#[test]
fn a_cursor_of_another_list_is_refused() {
    let hub = Setup::new();
    for n in 0..3 {
        hub.create_client(json!({"client_name": format!("client {n}")}));
        hub.put_policy(&format!("p{n}"), FORBID);
    }
    let cursor = |list: &str| -> Value { hub.admin("GET", list).send().expect(200).json()["next_cursor"].clone() };
    let of_clients = cursor("clients?limit=1");
    let of_policies = cursor("policies?limit=1");
    let ask = |list: &str, cursor: &str| hub.admin("GET", &format!("{list}?limit=2&cursor={cursor}")).send();
    ask("clients", of_clients.as_str().unwrap()).expect(200);
    for (list, cursor) in [
        ("clients", of_policies.as_str().unwrap()),
        ("policies", of_clients.as_str().unwrap()),
        ("clients", "nonsense"),
        ("events", "nonsense"),
    ] {
        let reply = ask(list, cursor).expect(400);
        assert!(detail(&reply).contains("`cursor`"), "{reply:?}");
    }
}
