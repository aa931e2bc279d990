//! Authorization details (RFC 9396): what a client asks for in an object of a type that the resource registers.

use super::authorize::{client, redeem, refresh, text};
use super::chain::{ACCESS_TOKEN, EVERYTHING, EXCHANGE};
use super::device::register;
use super::introspection::Server;
use crate::support::browser::{Browser, CALLBACK, DEVELOPMENT, VERIFIER, authorization, location, parameter};
use crate::support::call::decode;
use crate::support::hub::RESOURCE;
use crate::support::{Reply, Setup};
use serde_json::{Value, json};

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn types() -> Value {
    json!([
        {"type": "payment", "description": "Pay a bill"},
        {"type": "purge", "description": "Empty a folder", "effect": "deletes"},
    ])
}

/// A hub whose resource has two types of authorization details, and a client.
fn scene() -> (Setup, String) {
    let hub = Setup::with(&[DEVELOPMENT]);
    hub.create_resource(json!({"authorization_details_types": types()}));
    let all = format!(r#"permit(principal, action == Action::"issue", resource in Resource::"{RESOURCE}");"#);
    hub.put_policy("all", &all);
    let client = client(&hub);
    (hub, client)
}

fn payment(payee: &str) -> Value {
    json!({"type": "payment", "payee": payee, "amount": {"currency": "EUR", "value": 12.5}, "locations": [RESOURCE]})
}

fn request(client: &str, details: &Value) -> String {
    let details = details.to_string();
    authorization(client, &[("scope", "mcp:read"), ("resource", RESOURCE), ("authorization_details", &details)])
}

/// The page that a request leads to; signs in if need be.
fn page(browser: &Browser<'_>, query: &str) -> Reply {
    let reply = browser.get(&format!("/t/main/authorize?{query}")).expect(200);
    match reply.text.contains("name=\"provider\"") {
        true => browser.sign_in(&reply).expect(200),
        false => reply,
    }
}

/// Allows `mcp:read` and the details in these fields.
fn allow(browser: &Browser<'_>, page: &Reply, fields: &[&str]) -> Reply {
    let fields = fields.iter().map(|field| (*field, "allow"));
    let more: Vec<_> = [("decision", "allow"), ("duration", "month")].into_iter().chain(fields).collect();
    browser.decide_for(page, &["mcp:read"], &more).expect(303)
}

fn details(tokens: &Reply) -> Value {
    let of_token = decode(&tokens.access_token()).1["authorization_details"].clone();
    assert_eq!(tokens.json()["authorization_details"], of_token, "the response says what the token has");
    of_token
}

fn code(page: &Reply) -> String {
    parameter(page, "code").unwrap_or_else(|| panic!("no code: {page:?}"))
}

#[test]
fn what_a_person_has_ticked_and_nothing_else_is_in_the_token_the_response_the_introspection_and_the_events() {
    let (hub, client) = scene();
    let browser = Browser::new(&hub);
    let all = json!([payment("one"), payment("two"), {"type": "purge", "folder": "inbox"}]);
    let shown = page(&browser, &request(&client, &all));
    let back = allow(&browser, &shown, &["detail 1", "detail 3", "detail x"]);
    let tokens = redeem(&hub, &client, &code(&back)).expect(200);
    let given = json!([payment("two")]);
    assert_eq!(details(&tokens), given);
    assert_eq!(Server::new(&hub, RESOURCE).ask(&tokens.access_token())["authorization_details"], given);
    for kind in ["consent.granted", "token.issued"] {
        let event = hub.events_of(kind).into_iter().rfind(|event| event["client"] == *client).unwrap();
        let told: Value = serde_json::from_str(event["authorization_details"].as_str().unwrap()).unwrap();
        assert_eq!(told, given, "{kind}");
    }
    let again = refresh(&hub, &client, &text(&tokens, "refresh_token"), &[]).expect(200);
    assert_eq!(details(&again), given);
}

#[test]
fn a_request_with_authorization_details_is_always_asked_about_and_a_later_one_without_them_gets_none() {
    let (hub, client) = scene();
    let browser = Browser::new(&hub);
    let query = request(&client, &json!([payment("one")]));
    let back = allow(&browser, &page(&browser, &query), &["detail 0"]);
    redeem(&hub, &client, &code(&back)).expect(200);
    assert!(page(&browser, &query).text.contains("Pay a bill"), "the same request asks again");
    let silent = browser.get(&format!("/t/main/authorize?{query}&prompt=none")).expect(303);
    assert_eq!(parameter(&silent, "error").as_deref(), Some("consent_required"));
    // The scope is remembered.
    let plain = authorization(&client, &[("scope", "mcp:read"), ("resource", RESOURCE)]);
    let back = browser.get(&format!("/t/main/authorize?{plain}")).expect(303);
    let tokens = redeem(&hub, &client, &code(&back)).expect(200);
    assert_eq!(details(&tokens), Value::Null);
}

#[test]
fn a_token_request_narrows_authorization_details_and_one_that_would_widen_them_consumes_nothing() {
    let (hub, client) = scene();
    let browser = Browser::new(&hub);
    let (one, two) = (payment("one"), payment("two"));
    let shown = page(&browser, &request(&client, &json!([one, two])));
    let code = code(&allow(&browser, &shown, &["detail 0", "detail 1"]));
    let redeem = |wanted: &Value| {
        let wanted = wanted.to_string();
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &*client),
            ("code", &*code),
            ("code_verifier", VERIFIER),
            ("authorization_details", &*wanted),
        ];
        hub.call("POST", "/t/main/token").form(&form).send()
    };
    let mut more = one.clone();
    more["amount"]["value"] = json!(1_000);
    let wider = [json!([payment("three")]), json!([more]), json!([one, {"type": "purge"}]), json!([]), json!({})];
    for wanted in &wider {
        assert_eq!(redeem(wanted).expect(400).error(), "invalid_authorization_details", "{wanted}");
    }
    let tokens = redeem(&json!([two])).expect(200);
    assert_eq!(details(&tokens), json!([two]));
    // What a refresh may ask for is what the person has allowed, as it is with scope.
    let token = text(&tokens, "refresh_token");
    for wanted in &wider {
        let refused = refresh(&hub, &client, &token, &[("authorization_details", &wanted.to_string())]).expect(400);
        assert_eq!(refused.error(), "invalid_authorization_details", "{wanted}");
    }
    let again = refresh(&hub, &client, &token, &[("authorization_details", &json!([one]).to_string())]).expect(200);
    assert_eq!(details(&again), json!([one]));
    let again = refresh(&hub, &client, &text(&again, "refresh_token"), &[]).expect(200);
    assert_eq!(details(&again), json!([one, two]));
}

#[test]
fn every_member_of_an_authorization_detail_is_on_the_page_escaped_and_what_deletes_is_not_ticked() {
    let (hub, client) = scene();
    let browser = Browser::new(&hub);
    let all = json!([
        {"type": "payment", "<b>name": "<script>alert(1)</script>", "list": ["first one", "second one"], "sum": 12.5,
         "flag": false, "deep": {"inner": "inner text", "inner list": ["deepest"], "yes": true}},
        {"type": "purge", "folder": "inbox"},
    ]);
    let shown = page(&browser, &request(&client, &all));
    for part in [
        "Pay a bill",
        "Empty a folder",
        "&lt;b&gt;name",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "list",
        "first one",
        "second one",
        "sum",
        "12.5",
        "flag",
        "false",
        "deep",
        "inner",
        "inner text",
        "inner list",
        "deepest",
        "yes",
        "true",
        "inbox",
    ] {
        assert!(
            shown.text.contains(&format!(">{part}<")) || shown.text.contains(part) && part.contains(' '),
            "{part}: {}",
            shown.text
        );
    }
    assert!(!shown.text.contains("<script>") && !shown.text.contains("<b>"));
    assert!(shown.text.contains("name=\"detail 0\" value=\"allow\" checked"), "{}", shown.text);
    assert!(!shown.text.contains("name=\"detail 1\" value=\"allow\" checked"));
}

#[test]
fn authorization_details_of_a_type_that_the_resource_has_lost_are_given_no_more() {
    let (hub, client) = scene();
    let browser = Browser::new(&hub);
    let query = request(&client, &json!([payment("one")]));
    let tokens = redeem(&hub, &client, &code(&allow(&browser, &page(&browser, &query), &["detail 0"]))).expect(200);
    let waiting = page(&browser, &query);
    let list = hub.admin("GET", "resources").send().expect(200).json();
    let id = list["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("resources/{id}");
    let found = hub.admin("GET", &path).send().expect(200);
    let mut body = found.json();
    body["authorization_details_types"] = json!([types()[1]]);
    let put = hub.admin("PUT", &path).header("if-match", found.header("etag").unwrap()).json(&body).send();
    assert_eq!(put.expect(200).json()["authorization_details_types"], json!([types()[1]]));
    let again = refresh(&hub, &client, &text(&tokens, "refresh_token"), &[]).expect(200);
    assert_eq!((details(&again), text(&again, "scope")), (Value::Null, "mcp:read".to_owned()));
    // Nor is a page that was shown before worth anything.
    assert_eq!(
        parameter(&allow(&browser, &waiting, &["detail 0"]), "error").as_deref(),
        Some("invalid_authorization_details")
    );
}

#[test]
fn a_pushed_request_and_one_of_a_device_have_authorization_details_too() {
    let (hub, _) = scene();
    let grants = json!(["authorization_code", DEVICE_GRANT, "refresh_token"]);
    let client = register(&hub, json!({"grant_types": grants, "redirect_uris": [CALLBACK]}));
    let browser = Browser::new(&hub);
    let query = request(&client, &json!([payment("one")]));
    let form: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let pushed = text(&hub.call("POST", "/t/main/par").form(&form).send().expect(201), "request_uri");
    let short = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("client_id", &client), ("request_uri", &pushed)])
        .finish();
    let back = allow(&browser, &page(&browser, &short), &["detail 0"]);
    assert_eq!(details(&redeem(&hub, &client, &code(&back)).expect(200)), json!([payment("one")]));

    let started = hub.call("POST", "/t/main/device_authorization").form(&form).send().expect(200);
    let asked = browser.post("/t/main/device", &[("user_code", &text(&started, "user_code"))]).expect(200);
    assert!(asked.text.contains("Pay a bill"), "{}", asked.text);
    browser.get(&location(&allow(&browser, &asked, &["detail 0"]))).expect(200);
    let device_code = text(&started, "device_code");
    let poll = [("grant_type", DEVICE_GRANT), ("client_id", &client), ("device_code", &device_code)];
    let tokens = hub.call("POST", "/t/main/token").form(&poll).send().expect(200);
    assert_eq!(details(&tokens), json!([payment("one")]));
}

#[test]
fn authorization_details_of_another_type_or_for_another_resource_are_refused_wherever_they_come() {
    let (hub, _) = scene();
    let grants = json!(["authorization_code", DEVICE_GRANT]);
    let client = register(&hub, json!({"grant_types": grants, "redirect_uris": [CALLBACK]}));
    let browser = Browser::new(&hub);
    for all in [
        json!([{"type": "other"}]),
        json!([payment("one"), {"type": "Payment"}]),
        json!([{"type": "payment", "locations": ["https://other.example/"]}]),
        json!([{"type": "payment", "locations": RESOURCE}]),
        json!([{"type": "payment", "payee": "\u{202e}x"}]),
        json!([{"type": "payment", "payee": null}]),
        json!({"type": "payment"}),
        json!([]),
    ] {
        let query = request(&client, &all);
        let form: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let back = browser.get(&format!("/t/main/authorize?{query}")).expect(303);
        assert_eq!(parameter(&back, "error").as_deref(), Some("invalid_authorization_details"), "{all}");
        for path in ["par", "device_authorization"] {
            let refused = hub.call("POST", &format!("/t/main/{path}")).form(&form).send().expect(400);
            assert_eq!(refused.error(), "invalid_authorization_details", "{path}: {all}");
        }
    }
}

#[test]
fn an_exchange_takes_no_authorization_details_along() {
    let (hub, client) = scene();
    let browser = Browser::new(&hub);
    let shown = page(&browser, &request(&client, &json!([payment("one")])));
    let tokens = redeem(&hub, &client, &code(&allow(&browser, &shown, &["detail 0"]))).expect(200);
    assert_eq!(details(&tokens), json!([payment("one")]));
    hub.put_policy("everything", EVERYTHING);
    let worker = hub.create_client(json!({
        "client_name": "worker", "kind": "delegated", "grant_types": ["client_credentials", EXCHANGE], "serves": [RESOURCE],
    }));
    let actor = hub.token(&worker, &[("resource", RESOURCE)]).access_token();
    let details_of_subject = json!([payment("one")]).to_string();
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", &tokens.access_token()),
        ("subject_token_type", ACCESS_TOKEN),
        ("actor_token", &actor),
        ("actor_token_type", ACCESS_TOKEN),
        ("resource", RESOURCE),
        ("authorization_details", &details_of_subject),
    ];
    let exchanged = hub.call("POST", "/t/main/token").basic(&worker).form(&form).send().expect(200);
    assert_eq!((details(&exchanged), text(&exchanged, "scope")), (Value::Null, "mcp:read".to_owned()));
}

#[test]
fn the_types_of_authorization_details_are_in_both_metadata_documents_and_nowhere_without_one() {
    let (hub, _) = scene();
    let member = "authorization_details_types_supported";
    let metadata = || hub.call("GET", "/.well-known/oauth-authorization-server/t/main").send().expect(200).json();
    let id = hub.admin("GET", "resources").send().json()["items"][0]["id"].as_str().unwrap().to_owned();
    let of = |id: &str| {
        hub.call("GET", &format!("/t/main/resources/{id}/oauth-protected-resource")).send().expect(200).json()
    };
    assert_eq!((&metadata()[member], &of(&id)[member]), (&json!(["payment", "purge"]), &json!(["payment", "purge"])));
    let other = hub.create_resource(json!({"resource": "https://other.example/"}));
    assert_eq!(of(&other).get(member), None);
    let plain = Setup::with(&[DEVELOPMENT]);
    let metadata = plain.call("GET", "/.well-known/oauth-authorization-server/t/main").send().expect(200).json();
    assert_eq!(metadata.get(member), None);
}

#[test]
fn a_resource_has_up_to_twenty_types_of_authorization_details_each_once_with_words_for_people() {
    let hub = Setup::new();
    let make = |types: Value| {
        let scope = json!({"name": "x", "description": "x"});
        let body = json!({"resource": RESOURCE, "name": "x", "scopes": [scope], "authorization_details_types": types});
        hub.admin("POST", "resources").json(&body).send()
    };
    let some = |n: usize| (0..n).map(|n| json!({"type": format!("t{n}"), "description": "x"})).collect::<Vec<_>>();
    for bad in [
        json!(some(21)),
        json!([some(1)[0], some(1)[0]]),
        json!([{"type": "t"}]),
        json!([{"type": "t", "description": " "}]),
        json!([{"type": "", "description": "x"}]),
        json!([{"type": "t".repeat(101), "description": "x"}]),
        json!([{"type": "\u{202e}t", "description": "x"}]),
        json!([{"type": "t", "description": "x", "effect": "burns"}]),
        json!([{"type": "t", "description": "x", "colour": "red"}]),
    ] {
        let refused = make(bad.clone());
        assert!(refused.status == 400 || refused.status == 422, "{bad}: {refused:?}");
        assert!(refused.text.contains("authorization_details_types"), "{bad}: {refused:?}");
    }
    assert_eq!(make(json!(some(20))).expect(201).json()["authorization_details_types"], json!(some(20)));
}

#[test]
fn who_approves_and_takes_off_the_details_that_a_permit_wants_takes_off_its_scope() {
    let (hub, client) = scene();
    let wants = |annotations: &str, scope: &str| {
        format!(
            r#"{annotations} permit(principal, action == Action::"issue", resource in Resource::"{RESOURCE}") when {{ resource.name == "{scope}" }};"#
        )
    };
    hub.put_policy("all", &wants(r#"@details("payment") @require("approval")"#, "mcp:read"));
    let browser = Browser::new(&hub);
    let both = json!([payment("one"), {"type": "purge", "folder": "inbox"}]);
    let approved = |left: Value| {
        let back = allow(&browser, &page(&browser, &request(&client, &both)), &["detail 0", "detail 1"]);
        let code = code(&back);
        let waits = redeem(&hub, &client, &code).expect(400);
        let id = text(&waits, "approval_id");
        let body = json!({"decision": "approve", "authorization_details": left});
        hub.admin("POST", &format!("approvals/{id}/decide")).json(&body).send().expect(200);
        redeem(&hub, &client, &code)
    };
    let kept = approved(json!([payment("one")])).expect(200);
    assert_eq!((text(&kept, "scope"), details(&kept)), ("mcp:read".to_owned(), json!([payment("one")])));
    hub.clock.advance(1_000);
    let gone = approved(json!([{"type": "purge", "folder": "inbox"}])).expect(400);
    assert_eq!(gone.error(), "invalid_authorization_details", "{gone:?}");
    let event = hub.events_of("token.refused").pop().unwrap();
    assert_eq!(event["detail"], "all requires: details payment");
}

#[test]
fn a_permit_may_want_authorization_details_of_a_type_and_is_asked_about_again_when_they_are_missing() {
    let (hub, client) = scene();
    let cedar = format!(
        r#"@details("payment") permit(principal, action == Action::"issue", resource in Resource::"{RESOURCE}");"#
    );
    hub.put_policy("all", &cedar);
    let browser = Browser::new(&hub);
    let back = allow(&browser, &page(&browser, &request(&client, &json!([payment("one")]))), &["detail 0"]);
    let tokens = redeem(&hub, &client, &code(&back)).expect(200);
    assert_eq!(details(&tokens), json!([payment("one")]));
    let other = json!([{"type": "purge", "folder": "inbox"}]);
    let back = allow(&browser, &page(&browser, &request(&client, &other)), &["detail 0"]);
    let reply = redeem(&hub, &client, &code(&back)).expect(400);
    assert_eq!(reply.error(), "invalid_authorization_details", "{reply:?}");
    let event = hub.events_of("token.refused").pop().unwrap();
    assert_eq!(
        (&event["reason"], &event["detail"]),
        (&json!("DetailsRequired"), &json!("all requires: details payment"))
    );
    assert_eq!(event["authorization_details"], json!(other.to_string()), "those that were asked for");
    // What was refused then is refused again, and what was given is given.
    let replayed = hub.admin("POST", "policies/replay").json(&json!({"changes": []})).send().expect(200).json();
    assert_eq!(replayed["changed"], 0, "{replayed}");
}

#[test]
fn a_lease_that_wants_authorization_details_has_them_of_the_agents_token_and_is_explained_so() {
    let (hub, client) = scene();
    let service = json!({"name": "S", "proxy": {"base_url": "https://s.example", "header": "x-key"}});
    let config = json!({"may_be_leased": true, "service": service});
    let body = json!({"kind": "api_key", "config": config, "secret": {"api_key": "k"}});
    hub.admin("PUT", "connections/search").json(&body).send().expect(201);
    let wants =
        r#"@details("payment") permit(principal, action == Action::"lease", resource == Connection::"search");"#;
    hub.put_policy("search", wants);
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let browser = Browser::new(&hub);
    let lease = |detail: Value| {
        let back = allow(&browser, &page(&browser, &request(&client, &json!([detail]))), &["detail 0"]);
        let token = redeem(&hub, &client, &code(&back)).expect(200).access_token();
        let form = [("subject_token", token.as_str())];
        hub.call("POST", "/t/main/connections/search/token").basic(&server).form(&form).send()
    };
    lease(payment("one")).expect(200);
    let event = hub.events_of("lease.granted").pop().unwrap();
    assert_eq!(event["authorization_details"], json!(json!([payment("one")]).to_string()));
    let explained = |event: &Value| {
        let body = json!({"decision": event["decision"]});
        let answer = hub.admin("POST", "policies/explain").json(&body).send().expect(200).json();
        let one = answer["answers"][0].clone();
        (one["was"].clone(), one["allow"].clone())
    };
    assert_eq!(explained(&event), (json!("allow"), json!(true)));
    lease(json!({"type": "purge", "folder": "inbox"})).expect(400);
    let event = hub.events_of("lease.refused").pop().unwrap();
    assert_eq!(explained(&event), (json!("require"), json!(false)));
}
