//! `/t/{tenant}/register`: clients that register themselves (RFC 7591) and manage what they said (RFC 7592).

use super::chain::DEVICE;
use super::client_documents::{CLIENT, document, set_rules};
use crate::support::browser::{Browser, CALLBACK, DEVELOPMENT, VERIFIER, authorization, parameter};
use crate::support::hub::RESOURCE;
use crate::support::{Reply, Scripted, Setup, Signer};
use serde_json::{Value, json};
use writ::error::Reason;
use writ::ports::Alg;

/// A hub with the resource, on which everybody may have it, and where clients register themselves as `dynamic` says.
fn hub(dynamic: &str) -> Setup {
    let hub = Setup::with(&[DEVELOPMENT]);
    hub.create_resource(json!({}));
    hub.put_policy(
        "all",
        &format!(r#"permit(principal, action == Action::"issue", resource in Resource::"{RESOURCE}");"#),
    );
    set_rules(&hub, json!({"dynamic": dynamic}));
    hub
}

fn request() -> Value {
    json!({"client_name": "Some app", "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"})
}

fn with(more: Value) -> Value {
    let mut whole = request();
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    whole
}

fn register(hub: &Setup, body: &Value) -> Reply {
    hub.call("POST", "/t/main/register").ip("203.0.113.7").json(body).send()
}

fn manage(hub: &Setup, method: &str, client: &Value, token: &Value, body: &Value) -> Reply {
    let path = format!("/t/main/register/{}", client.as_str().unwrap());
    let call = hub.call(method, &path).bearer(token.as_str().unwrap());
    if body.is_null() { call.send() } else { call.json(body).send() }
}

fn rows(hub: &Setup) -> usize {
    hub.db.query("SELECT id FROM clients WHERE registration = 'dynamic'").len()
}

/// Has a person let the client in; the refresh token.
fn connect(hub: &Setup, client: &str) -> String {
    let code = Browser::new(hub).code(&authorization(client, &[("scope", "mcp:read")]), &["mcp:read"]);
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", &code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
    ];
    let tokens = hub.call("POST", "/t/main/token").form(&form).send().expect(200).json();
    tokens["refresh_token"].as_str().unwrap().to_owned()
}

fn refresh(hub: &Setup, client: &str, token: &str) -> Reply {
    let form = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
    hub.call("POST", "/t/main/token").form(&form).send()
}

/// A request that is refused for that reason.
pub fn provoke(reason: Reason) -> Reply {
    let hub = hub("open");
    let ask = || Browser::new(&hub).get(&format!("/t/main/authorize?{}", authorization(CLIENT, &[])));
    match reason {
        Reason::ClientDocumentUnavailable => ask(),
        Reason::ClientDocumentInvalid => {
            hub.fetch.answer(|_| Scripted::json(200, json!({})));
            ask()
        }
        Reason::ClientDomainRefused => {
            set_rules(&hub, json!({"domains_denied": ["app.example"]}));
            ask()
        }
        Reason::ClientApprovalWanted => {
            hub.fetch.answer(|_| Scripted::json(200, document()));
            set_rules(&hub, json!({"cimd": "approval"}));
            ask()
        }
        Reason::RegistrationForbidden => {
            hub.put_policy("no", r#"forbid(principal, action == Action::"register", resource);"#);
            register(&hub, &request())
        }
        Reason::RegistrationOff => {
            set_rules(&hub, json!({}));
            register(&hub, &request())
        }
        Reason::TooManyRegistrations => {
            (0..20).for_each(|_| drop(register(&hub, &json!({}))));
            register(&hub, &request())
        }
        Reason::InvalidRegistrationToken => hub.call("GET", "/t/main/register/nobody").send(),
        Reason::InvalidRedirectUri => register(&hub, &with(json!({"redirect_uris": ["http://app.example/"]}))),
        Reason::InvalidClientMetadata => register(&hub, &with(json!({"grant_types": ["client_credentials"]}))),
        other => panic!("{other:?} is not provoked here"),
    }
}

#[test]
fn clients_do_not_register_themselves_unless_the_tenant_says_so() {
    let hub = Setup::new();
    let metadata = || hub.call("GET", "/t/main/.well-known/oauth-authorization-server").send().json();
    assert!(metadata().get("registration_endpoint").is_none());
    register(&hub, &request()).expect(403);
    set_rules(&hub, json!({"dynamic": "open"}));
    assert_eq!(metadata()["registration_endpoint"], "https://id.example/t/main/register");
    register(&hub, &request()).expect(201);
}

#[test]
fn what_was_registered_is_echoed_and_nothing_is_null() {
    let hub = hub("open");
    let sent = with(json!({
        "scope": "", "application_type": null, "logo_uri": "https://app.example/logo.png", "contacts": ["a@app.example"],
        "software_id": "x", "unknown": {"a": 1}, "grant_types": ["authorization_code", "refresh_token"],
        "client_uri": "https://app.example", "token_endpoint_auth_methods_supported": ["none"],
    }));
    let reply = register(&hub, &sent).expect(201);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let made = reply.json();
    for (name, value) in [
        ("client_name", json!("Some app")),
        ("redirect_uris", json!([CALLBACK])),
        ("grant_types", json!(["authorization_code", "refresh_token"])),
        ("response_types", json!(["code"])),
        ("token_endpoint_auth_method", json!("none")),
        ("application_type", json!("web")),
        ("scope", json!("")),
        ("client_uri", json!("https://app.example")),
        ("client_id_issued_at", json!(hub.clock.now().seconds())),
    ] {
        assert_eq!(made[name], value, "{name}");
    }
    assert!(made.as_object().unwrap().values().all(|value| !value.is_null()), "{made}");
    for absent in ["client_secret", "client_secret_expires_at", "logo_uri", "unknown"] {
        assert!(made.get(absent).is_none(), "{absent}");
    }
    let id = made["client_id"].as_str().unwrap();
    assert!(id.starts_with("client_"), "{id}");
    // The scope that it named is no ceiling.
    let scope = register(&hub, &with(json!({"scope": "other"}))).expect(201).json();
    connect(&hub, scope["client_id"].as_str().unwrap());
}

#[test]
fn a_client_with_a_secret_gets_it_once_and_proves_itself_by_it() {
    let hub = hub("open");
    for (method, sent) in [
        ("client_secret_basic", json!({})),
        ("client_secret_post", json!({"token_endpoint_auth_method": "client_secret_post"})),
    ] {
        let mut body = request();
        body.as_object_mut().unwrap().remove("token_endpoint_auth_method");
        body.as_object_mut().unwrap().extend(sent.as_object().unwrap().clone());
        let made = register(&hub, &body).expect(201).json();
        assert_eq!(
            (&made["token_endpoint_auth_method"], &made["client_secret_expires_at"]),
            (&json!(method), &json!(0))
        );
        let secret = made["client_secret"].as_str().unwrap();
        assert!(secret.starts_with("writ_cs_") && !hub.dump_at_rest().contains(secret));
        let token = made["registration_access_token"].as_str().unwrap();
        assert!(token.starts_with("writ_rat_") && !hub.dump_at_rest().contains(token));
        let shown = manage(&hub, "GET", &made["client_id"], &made["registration_access_token"], &Value::Null)
            .expect(200)
            .json();
        assert!(shown.get("client_secret").is_none());
    }
    let key = Signer::new(Alg::Es256, 1);
    let keyed = with(json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": key.jwks("k")}));
    let made = register(&hub, &keyed).expect(201).json();
    assert!(made.get("client_secret").is_none() && made["jwks"] == key.jwks("k"));
}

#[test]
fn an_application_is_native_where_its_redirects_say_so_and_it_does_not() {
    let hub = hub("open");
    for (sent, kind) in [
        (json!({"redirect_uris": ["http://localhost/callback"]}), "native"),
        (json!({"redirect_uris": ["cursor://anysphere.cursor-mcp/oauth/callback"]}), "native"),
        (
            json!({"redirect_uris": ["cursor://anysphere.cursor-mcp/oauth/callback", CALLBACK], "application_type": "web"}),
            "native",
        ),
        (json!({"redirect_uris": ["http://localhost/callback"], "application_type": "web"}), "web"),
        (json!({"application_type": "native"}), "native"),
        (json!({}), "web"),
    ] {
        assert_eq!(register(&hub, &with(sent.clone())).expect(201).json()["application_type"], kind, "{sent}");
    }
}

#[test]
fn a_redirect_that_runs_something_or_hides_a_host_is_an_invalid_redirect_uri() {
    let hub = hub("open");
    for (n, bad) in [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "\tjavascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://a.example/x",
        "https://a.example/#x",
        "https://u@a.example/cb",
        "http://a.example/cb",
        "https://a.example\\@evil.example/cb",
        "https://a.example/c b",
        "//a.example/cb",
        "",
    ]
    .into_iter()
    .enumerate()
    {
        let body = with(json!({"redirect_uris": [CALLBACK, bad]}));
        let ip = format!("203.0.113.{n}");
        let reply = hub.call("POST", "/t/main/register").ip(&ip).json(&body).send().expect(400);
        assert_eq!(reply.error(), "invalid_redirect_uri", "{bad:?}");
    }
    for (n, bad) in [json!(null), json!([]), json!("https://a.example/"), json!([1])].into_iter().enumerate() {
        let call = hub.call("POST", "/t/main/register").ip(&format!("203.0.114.{n}"));
        let reply = call.json(&with(json!({"redirect_uris": bad}))).send().expect(400);
        assert_eq!(reply.error(), "invalid_redirect_uri");
    }
    assert_eq!(rows(&hub), 0);
}

#[test]
fn a_client_registers_no_grants_methods_or_keys_that_it_may_not_have() {
    let hub = hub("open");
    let key = Signer::new(Alg::Es256, 1);
    let symmetric = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]});
    for (n, bad) in [
        json!({"grant_types": ["client_credentials"]}),
        json!({"grant_types": ["authorization_code", "client_credentials"]}),
        json!({"grant_types": ["refresh_token"]}),
        json!({"grant_types": "authorization_code"}),
        json!({"response_types": ["token"]}),
        json!({"token_endpoint_auth_method": "tls_client_auth"}),
        json!({"token_endpoint_auth_method": "federated_jwt"}),
        json!({"token_endpoint_auth_method": "private_key_jwt"}),
        json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": symmetric}),
        json!({"jwks": key.jwks("k"), "jwks_uri": "https://app.example/keys"}),
        json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://app.example/keys"}),
        json!({"client_name": "x".repeat(201)}),
        json!({"client_name": "a\u{0}b"}),
        json!({"client_name": 7}),
    ]
    .into_iter()
    .enumerate()
    {
        let call = hub.call("POST", "/t/main/register").ip(&format!("203.0.113.{n}"));
        assert_eq!(call.json(&with(bad.clone())).send().expect(400).error(), "invalid_client_metadata", "{bad}");
    }
    for (n, body) in ["[]", "{", r#"{"client_name":"a","client_name":"b"}"#].into_iter().enumerate() {
        let call = hub.call("POST", "/t/main/register").ip(&format!("203.0.114.{n}"));
        assert_eq!(call.body(body).send().expect(400).error(), "invalid_client_metadata");
    }
    let large = with(json!({"unknown": "x".repeat(33 * 1024)}));
    register(&hub, &large).expect(413);
    assert_eq!(rows(&hub), 0);
    // With a secret, what it may not have is left out.
    let sent = json!({"grant_types": ["client_credentials", "authorization_code"], "token_endpoint_auth_method": "client_secret_basic"});
    assert_eq!(register(&hub, &with(sent)).expect(201).json()["grant_types"], json!(["authorization_code"]));
    // What runs on a page is text there, and what is fetched by one is not there.
    let sent = json!({"client_name": "<script>alert(1)</script>", "client_uri": "javascript:alert(1)", "logo_uri": "http://evil.example/x"});
    let made = register(&hub, &with(sent)).expect(201).json();
    assert!(made.get("client_uri").is_none());
    let page = Browser::new(&hub)
        .get(&format!("/t/main/authorize?{}", authorization(made["client_id"].as_str().unwrap(), &[])));
    assert!(!page.text.contains("<script") && !page.text.contains("evil.example"), "{page:?}");
}

#[test]
fn a_client_of_devices_registers_itself() {
    let hub = hub("open");
    let grants = json!(["refresh_token", DEVICE]);
    let made = register(&hub, &with(json!({"grant_types": grants, "application_type": "native"}))).expect(201).json();
    assert_eq!(made["grant_types"], grants);
    let form = [("client_id", made["client_id"].as_str().unwrap()), ("resource", RESOURCE), ("scope", "mcp:read")];
    hub.call("POST", "/t/main/device_authorization").form(&form).send().expect(200);
    // A client that names none has no use for devices.
    assert_eq!(
        register(&hub, &request()).expect(201).json()["grant_types"],
        json!(["authorization_code", "refresh_token"])
    );
}

#[test]
fn registrations_are_limited_for_each_address_across_isolates() {
    let hub = hub("open");
    let isolates = [hub.isolate(), hub.isolate()];
    let send =
        |n: usize, ip: &str| hub.call("POST", "/t/main/register").ip(ip).json(&request()).on(&isolates[n % 2]).send();
    (0..20).for_each(|n| drop(send(n, "203.0.113.7").expect(201)));
    let refused = send(1, "203.0.113.7").expect(429);
    assert!(refused.header("retry-after").is_some());
    let [event] = hub.events_of("authentication.limited").try_into().unwrap();
    assert_eq!((&event["ip"], &event["reason"]), (&json!("203.0.113.7"), &json!("TooManyRegistrations")));
    send(1, "203.0.113.8").expect(201);
    assert_eq!(rows(&hub), 21);
    hub.clock.advance(61);
    send(1, "203.0.113.7").expect(201);
}

#[test]
fn a_client_beyond_the_quota_is_not_registered() {
    let hub = hub("open");
    crate::routes::quotas::set(&hub, "main", json!({"clients": 1}));
    set_rules(&hub, json!({"dynamic": "open"}));
    assert_eq!(register(&hub, &request()).expect(409).error(), "quota_reached");
    assert_eq!(rows(&hub), 0);
}

#[test]
fn with_initial_access_tokens_their_bearers_alone_register_until_the_token_is_over_or_removed() {
    let hub = hub("initial_access_token");
    let make = |more: Value| {
        let mut body = json!({"name": "for the app"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        hub.admin("POST", "registration-tokens").json(&body).send().expect(201).json()
    };
    let send = |token: &str| hub.call("POST", "/t/main/register").bearer(token).json(&request()).send();
    let made = make(json!({"expires_in": 60}));
    let token = made["registration_token"].as_str().unwrap();
    assert!(token.starts_with("writ_iat_") && !hub.dump_at_rest().contains(token));
    let reply = register(&hub, &request()).expect(401);
    assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer"), "{reply:?}");
    for wrong in ["x", &token[..token.len() - 1], &hub.admin_token()] {
        assert_eq!(send(wrong).expect(401).error(), "invalid_token");
    }
    let client = send(token).expect(201).json();
    let path = format!("clients/{}", client["client_id"].as_str().unwrap());
    assert_eq!(hub.admin("GET", &path).send().json()["registered_by"], made["id"]);
    let listed = hub.admin("GET", "registration-tokens").send().expect(200);
    assert!(listed.json()["items"][0]["name"] == "for the app" && !listed.text.contains("writ_iat_"));
    hub.clock.advance(60);
    send(token).expect(401);
    let other = make(json!({}));
    hub.admin("DELETE", &format!("registration-tokens/{}", other["id"].as_str().unwrap())).send().expect(204);
    hub.admin("DELETE", &format!("registration-tokens/{}", other["id"].as_str().unwrap())).send().expect(404);
    send(other["registration_token"].as_str().unwrap()).expect(401);
    hub.tick().unwrap();
    assert_eq!(hub.db.query("SELECT id FROM initial_access_tokens").len(), 0);
    for kind in ["registration_token.created", "registration_token.deleted"] {
        assert!(!hub.events_of(kind).is_empty(), "{kind}");
    }
}

#[test]
fn a_registration_access_token_is_good_for_its_own_client_while_that_is_active() {
    let hub = hub("open");
    let (one, other) = (register(&hub, &request()).json(), register(&hub, &request()).json());
    let token = |client: &Value| client["registration_access_token"].clone();
    let shown = manage(&hub, "GET", &one["client_id"], &token(&one), &Value::Null).expect(200).json();
    assert_eq!(shown, one);
    assert_eq!(
        one["registration_client_uri"],
        json!(format!("{}/register/{}", hub.issuer("main"), one["client_id"].as_str().unwrap()))
    );
    for (client, token) in [
        (&one["client_id"], token(&other)),
        (&json!("client_01kexxxxxxxxxxxxxxxxxxxxxx"), token(&one)),
        (&one["client_id"], json!("x")),
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let reply = manage(&hub, method, client, &token, &Value::Null).expect(401);
            assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer"), "{reply:?}");
        }
    }
    // Suspended, it neither shows, changes nor removes itself; so it cannot bring itself back.
    let path = format!("clients/{}", one["client_id"].as_str().unwrap());
    hub.admin("POST", &format!("{path}/suspend")).send().expect(200);
    let body = with(json!({"client_id": one["client_id"], "status": "active"}));
    manage(&hub, "PUT", &one["client_id"], &token(&one), &body).expect(401);
    manage(&hub, "DELETE", &one["client_id"], &token(&one), &Value::Null).expect(401);
    assert_eq!(hub.admin("GET", &path).send().json()["status"], "suspended");
}

#[test]
fn a_client_replaces_what_it_says_and_nothing_else() {
    let hub = hub("open");
    let one = register(&hub, &request()).json();
    let path = format!("clients/{}", one["client_id"].as_str().unwrap());
    let shown = hub.admin("GET", &path).send();
    let mut body = shown.json();
    (body["tags"], body["scope"]) = (json!(["trusted"]), json!("mcp:read"));
    let etag = shown.header("etag").unwrap().to_owned();
    hub.admin("PUT", &path).header("if-match", &etag).json(&body).send().expect(200);
    let put = |more: Value| {
        let mut whole = with(json!({"client_id": one["client_id"]}));
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        manage(&hub, "PUT", &one["client_id"], &one["registration_access_token"], &whole)
    };
    for bad in [
        json!({"client_id": null}),
        json!({"client_id": "client_01kexxxxxxxxxxxxxxxxxxxxxx"}),
        json!({"registration_access_token": one["registration_access_token"]}),
        json!({"registration_client_uri": "https://evil.example"}),
        json!({"client_id_issued_at": 1}),
        json!({"client_secret_expires_at": 0}),
        json!({"client_secret": "x"}),
        json!({"token_endpoint_auth_method": "client_secret_basic"}),
    ] {
        assert_eq!(put(bad.clone()).expect(400).error(), "invalid_client_metadata", "{bad}");
    }
    put(json!({"redirect_uris": ["http://evil.example/"]})).expect(400);
    let changed = put(json!({
        "client_name": "Renamed", "tags": ["admin"], "allowed_resources": [RESOURCE], "kind": "resource_server", "scope": "mcp:write",
        "status": "retired", "expires_at": 1, "owner": "me",
    }));
    assert_eq!(changed.expect(200).json()["client_name"], "Renamed");
    let now = hub.admin("GET", &path).send().json();
    assert_eq!(
        (&now["client_name"], &now["tags"], &now["scope"]),
        (&json!("Renamed"), &json!(["trusted"]), &json!("mcp:read"))
    );
    assert_eq!((&now["kind"], &now["status"]), (&json!("delegated"), &json!("active")));
    for absent in ["allowed_resources", "owner", "expires_at"] {
        assert!(now.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn a_client_that_removes_itself_takes_all_that_people_have_let_it_do_along() {
    let hub = hub("open");
    let one = register(&hub, &request()).json();
    let id = one["client_id"].as_str().unwrap();
    let token = connect(&hub, id);
    refresh(&hub, id, &token).expect(200);
    manage(&hub, "DELETE", &one["client_id"], &one["registration_access_token"], &Value::Null).expect(204);
    refresh(&hub, id, &token).expect(401);
    manage(&hub, "GET", &one["client_id"], &one["registration_access_token"], &Value::Null).expect(401);
    assert_eq!(hub.db.query("SELECT id FROM consents").len(), 0);
    assert_eq!(hub.events_of("client.deleted")[0]["target"], one["client_id"]);
}

#[test]
fn a_client_that_nobody_lets_in_goes_after_a_day_and_one_that_is_used_stays() {
    let hub = hub("open");
    let unused = register(&hub, &with(json!({"token_endpoint_auth_method": "client_secret_basic"}))).json();
    let used = register(&hub, &request()).json();
    connect(&hub, used["client_id"].as_str().unwrap());
    hub.clock.advance(86_399);
    hub.tick().unwrap();
    assert_eq!(rows(&hub), 2);
    hub.clock.advance(1);
    hub.tick().unwrap();
    assert_eq!(rows(&hub), 1);
    let gone = hub.events_of("client.deleted");
    assert_eq!((gone.len(), &gone[0]["target"]), (1, &unused["client_id"]));
    assert_eq!(
        hub.db
            .query(
                "SELECT id FROM client_secrets WHERE client LIKE 'client_%' AND client NOT IN (SELECT id FROM clients)"
            )
            .len(),
        0
    );
    hub.tick().unwrap();
    assert_eq!(rows(&hub), 1);
}

#[test]
fn the_event_of_a_registration_says_how_it_came_how_it_proves_itself_and_what_it_wants() {
    let hub = hub("open");
    let admin = hub.admin_client("main").client_id;
    let made = |body: Value| hub.admin("POST", "clients").json(&body).send().expect(201).json();
    let jwks = Signer::new(Alg::Es256, 1).jwks("k");
    let keys = json!({"client_name": "b", "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks});
    let secret = json!({"token_endpoint_auth_method": "client_secret_basic"});
    hub.fetch.answer(|_| Scripted::json(200, document()));
    let query = authorization(CLIENT, &[("scope", "mcp:read"), ("redirect_uri", "https://app.example/callback")]);
    let admins = json!({"client_name": "a", "token_endpoint_auth_method": "client_secret_post", "scope": "mcp:read"});
    let came = [
        (made(admins), "admin confidential client_secret_post", json!("mcp:read"), json!(admin)),
        (made(keys), "admin confidential private_key_jwt", Value::Null, json!(admin)),
        (
            register(&hub, &with(json!({"scope": "mcp:read"}))).json(),
            "dynamic public none",
            json!("mcp:read"),
            Value::Null,
        ),
        (register(&hub, &with(secret)).json(), "dynamic confidential client_secret_basic", Value::Null, Value::Null),
        // What is no scope does not come into the trail.
        (
            register(&hub, &with(json!({"scope": "a\n\u{202e}b"}))).expect(201).json(),
            "dynamic public none",
            Value::Null,
            Value::Null,
        ),
        (json!({"client_id": CLIENT}), "metadata_document public none", Value::Null, Value::Null),
    ];
    Browser::new(&hub).code(&query, &["mcp:read"]);
    let created = hub.events_of("client.created");
    for (client, how, scope, by) in came {
        let event = created.iter().find(|event| event["target"] == client["client_id"]).unwrap();
        assert_eq!((&event["detail"], &event["scope_asked"], &event["client"]), (&json!(how), &scope, &by), "{event}");
    }
}

#[test]
fn a_client_that_registered_itself_is_shown_as_unverified_and_as_how_it_came() {
    let hub = hub("open");
    let one = register(&hub, &request()).json();
    let id = one["client_id"].as_str().unwrap();
    let browser = Browser::new(&hub);
    let page = browser.sign_in(&browser.get(&format!("/t/main/authorize?{}", authorization(id, &[])))).expect(200);
    assert!(page.text.contains("Registered by itself: nobody has verified its name."), "{page:?}");
    let shown = hub.admin("GET", &format!("clients/{id}")).send().json();
    assert_eq!((&shown["registration"], &shown["kind"]), (&json!("dynamic"), &json!("delegated")));
    let created = hub.events_of("client.created");
    assert!(created.iter().any(|event| event["target"] == id && event.get("client").is_none()));
    // It asks for no token on its own, and for none of the tenant's own APIs.
    let admin = format!("{}/admin", hub.issuer("main"));
    let ask = || browser.get(&format!("/t/main/authorize?{}", authorization(id, &[("resource", &admin)])));
    // Who has not let the client in is told, and led nowhere.
    assert_eq!((ask().status, ask().header("location")), (400, None));
    browser.decide(&page, &["mcp:read"]).expect(303);
    assert_eq!(parameter(&ask(), "error").as_deref(), Some("invalid_target"));
}

#[test]
fn a_policy_about_names_holds_when_a_client_calls_itself_otherwise() {
    let hub = hub("open");
    hub.put_policy(
        "names",
        r#"forbid(principal, action == Action::"register", resource) when { principal.name like "*Claude*" };"#,
    );
    let one = register(&hub, &request()).expect(201).json();
    let call = |name: &str| {
        let body = with(json!({"client_id": one["client_id"], "client_name": name}));
        manage(&hub, "PUT", &one["client_id"], &one["registration_access_token"], &body)
    };
    call("Claude").expect(403);
    call("Another app").expect(200);
}

#[test]
fn an_initial_access_token_is_over_a_week_later_unless_it_was_said_otherwise() {
    let hub = hub("initial_access_token");
    let make = |body: Value| hub.admin("POST", "registration-tokens").json(&body).send();
    let send = |made: &Value| {
        let token = made["registration_token"].as_str().unwrap();
        hub.call("POST", "/t/main/register").bearer(token).json(&request()).send().status
    };
    let (week, day) = (make(json!({"name": "a"})), make(json!({"name": "b", "expires_in": 86_400})));
    let [week, day] = [week, day].map(|made| made.expect(201).json());
    assert_eq!(week["expires_at"], hub.clock.seconds() + 7 * 86_400);
    hub.clock.advance(86_400);
    assert_eq!((send(&week), send(&day)), (201, 401));
    hub.clock.advance(6 * 86_400 - 1);
    assert_eq!(send(&week), 201);
    hub.clock.advance(1);
    assert_eq!(send(&week), 401);
    for expires_in in [0, -1] {
        make(json!({"name": "a", "expires_in": expires_in})).expect(400);
    }
}

#[test]
fn the_access_tokens_of_a_client_that_has_removed_itself_are_not_active() {
    let hub = hub("open");
    let one = register(&hub, &request()).expect(201).json();
    let id = one["client_id"].as_str().unwrap();
    let server = super::introspection::Server::new(&hub, RESOURCE);
    let token = connect(&hub, id);
    let token = refresh(&hub, id, &token).access_token();
    assert!(server.is_active(&token));
    // Of another client nobody removes anything.
    let other = register(&hub, &request()).expect(201).json();
    manage(&hub, "DELETE", &one["client_id"], &other["registration_access_token"], &Value::Null).expect(401);
    assert!(server.is_active(&token));
    let far = hub.isolate();
    let path = format!("/t/main/register/{id}");
    let by_itself = hub.call("DELETE", &path).bearer(one["registration_access_token"].as_str().unwrap());
    by_itself.on(&far).send().expect(204);
    hub.clock.advance(5);
    assert_eq!(server.ask(&token), json!({"active": false}));
}
