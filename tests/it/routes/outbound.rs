//! The entrypoint `Outbound`: code calls services by their own URLs, and reaches what its agent may call, and nothing else.

use crate::support::flowing::Flowing;
use crate::support::hub::{Call, RESOURCE};
use crate::support::{Credentials, Reply, Setup, Signer};
use serde_json::{Value, json};
use writ::error::Reason;
use writ::ports::Alg;

const KEY: &str = "chat-key-canary-0123456789";
const URL: &str = "https://chat.example/api/messages/1";
const PROPS: &str = r#"{"tenant":"main"}"#;

/// An agent with a token for connections, and a connection to a chat.
struct Scene {
    hub: Setup,
    agent: Credentials,
    token: String,
}

impl Scene {
    fn new() -> Self {
        let hub = Setup::new();
        let api = format!("{}/connections", hub.issuer("main"));
        let agent = hub.create_client(json!({"client_name": "Coder", "allowed_resources": [api]}));
        let token = hub.token(&agent, &[("resource", &api)]).access_token();
        // It says back what it has got.
        hub.fetch.flow(|passed| Flowing::new(200, format!("{passed:?}").as_bytes()));
        let scene = Self { hub, agent, token };
        scene.connect("chat", "https://chat.example/api");
        scene.permit(r#"resource == Connection::"chat""#);
        scene
    }

    fn connect(&self, name: &str, base_url: &str) {
        let config = json!({
            "service": {"name": name, "proxy": {"base_url": base_url}},
            "allow": [{"methods": ["GET", "POST"], "path": "/**"}],
        });
        let body = json!({"kind": "api_key", "config": config, "secret": {"api_key": KEY}});
        let call = self.hub.admin("PUT", &format!("connections/{name}")).json(&body);
        let reply = match self.hub.admin("GET", &format!("connections/{name}")).send().header("etag") {
            Some(etag) => call.header("if-match", etag).send(),
            None => call.send(),
        };
        assert!([200, 201].contains(&reply.status), "{reply:?}");
    }

    fn permit(&self, which: &str) {
        let text = format!(r#"permit(principal, action == Action::"lease", resource) when {{ {which} }};"#);
        self.hub.put_policy("lease", &text);
    }

    /// What code sends to a URL, by a binding with these props and no token in them.
    fn sent_by(&self, method: &str, url: &str, props: &str) -> Call<'_> {
        self.hub.call(method, "/").outbound(url, props).header("writ-subject-token", &self.token)
    }

    fn call(&self, method: &str, url: &str) -> Call<'_> {
        self.sent_by(method, url, PROPS)
    }

    /// The URL that a call went to, if it went anywhere.
    fn reached(&self, url: &str, props: &str) -> Option<String> {
        let before = self.hub.fetch.passed().len();
        self.sent_by("GET", url, props).send();
        self.hub.fetch.passed().get(before).map(|passed| passed.url.clone())
    }

    fn event(&self, kind: &str) -> Value {
        self.hub.events_of(kind).pop().unwrap_or_else(|| panic!("no {kind}"))
    }
}

pub fn provoke(reason: Reason) -> Reply {
    let scene = Scene::new();
    match reason {
        Reason::NoConnection => scene.call("GET", "https://elsewhere.example/").send(),
        Reason::MalformedProps => scene.sent_by("GET", URL, "{}").send(),
        other => panic!("{other:?} is not of the entrypoint"),
    }
}

#[test]
fn code_calls_a_service_by_its_own_url_and_the_credential_is_there() {
    let scene = Scene::new();
    let call = scene.call("POST", &format!("{URL}?q=a%20b")).header("authorization", "Bearer a-placeholder");
    let call = call.header("x-api-key", "a-placeholder").header("x-custom", "kept").body("hello");
    let echo = call.send().expect(200);
    assert!(!echo.text.contains("canary"), "masked: {echo:?}");
    let passed = scene.hub.fetch.passed().pop().unwrap();
    assert_eq!((&*passed.method, &*passed.url), ("POST", format!("{URL}?q=a%20b").as_str()));
    assert_eq!(passed.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!((passed.header("x-custom"), &*passed.body), (Some("kept"), "hello".as_bytes()));
    let all = format!("{passed:?}");
    assert!(!all.contains(&scene.token) && !all.contains("placeholder") && !all.contains("writ-"), "{all}");
    let [started, called] = ["proxy.started", "proxy.called"].map(|kind| scene.event(kind));
    for event in [&started, &called] {
        assert_eq!((&event["client"], &event["connection"]), (&json!(scene.agent.client_id), &json!("chat")));
        assert_eq!((&event["host"], &event["path"]), (&json!("chat.example"), &json!("/messages/1")));
    }
    // A large body comes in pieces here, too, and code without TLS of its own means the same service.
    let pieces = vec![b"one".to_vec(), b"two".to_vec()];
    scene.call("POST", &URL.replace("https:", "http:")).streamed(pieces, None).send().expect(200);
    let passed = scene.hub.fetch.passed().pop().unwrap();
    assert_eq!((&*passed.url, &*passed.body), (URL, "onetwo".as_bytes()));
}

#[test]
fn what_leads_to_no_connection_is_refused_and_nothing_is_sent() {
    let scene = Scene::new();
    scene.connect("forbidden", "https://forbidden.example");
    let forbidden = scene.call("GET", "https://forbidden.example/x").send().expect(403);
    for url in [
        "https://elsewhere.example/x",
        "https://chat.example/x",
        "https://chat.example:8443/api/x",
        "https://user:word@chat.example/api/x",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:8787/x",
        "https://id.example/t/main/token",
        "https://id.example/t/main/connections/chat/proxy/messages/1",
        "ftp://chat.example/api/x",
    ] {
        for method in ["GET", "POST"] {
            let reply = scene.call(method, url).send().expect(403);
            assert_eq!(reply.error(), "access_denied", "{url}");
            // Whether there is a connection at all is nothing that code may find out.
            assert_eq!(reply.json()["error_description"], forbidden.json()["error_description"], "{url}");
        }
    }
    assert_eq!(scene.hub.fetch.passed().len() + scene.hub.fetch.requests().len(), 0);
    scene.call("GET", "https://elsewhere.example/x").send();
    let refused = scene.event("proxy.refused");
    assert_eq!(
        (&refused["client"], &refused["host"], &refused["path"]),
        (&json!(scene.agent.client_id), &json!("elsewhere.example"), &json!("/x"))
    );
    assert!(refused["decision"].is_string() && refused.get("connection").is_none(), "{refused}");
    // The allow-list and the form of a path count as in any other call.
    scene.call("DELETE", URL).send().expect(403);
    scene.call("GET", "https://chat.example/api/a%2fb").send().expect(400);
    scene.call("TRACE", URL).send().expect(405);
    assert_eq!(scene.hub.fetch.passed().len(), 0);
}

#[test]
fn the_props_of_a_binding_are_read_strictly() {
    let scene = Scene::new();
    let names = |count: usize| json!({"tenant": "main", "connections": vec!["chat"; count]}).to_string();
    for props in [
        "",
        "{}",
        "null",
        "[]",
        r#"{"tenant":""}"#,
        r#"{"tenant":"main/../other"}"#,
        r#"{"tenant":1}"#,
        r#"{"tenant":"main","tenant":"main"}"#,
        r#"{"tenant":"main","connection":"chat"}"#,
        r#"{"tenant":"main","connections":"chat"}"#,
        r#"{"tenant":"main","connections":["*"]}"#,
        r#"{"tenant":"main","token":7}"#,
        &names(21),
        &json!({"tenant": "main", "token": "x".repeat(20_000)}).to_string(),
    ] {
        let reply = scene.sent_by("GET", URL, props).send();
        assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_request"), "{props}");
        assert!(reply.text.contains("tenant"), "{reply:?}");
    }
    for props in [PROPS, r#"{"tenant":"main","token":null,"connections":null}"#, &names(20)] {
        scene.sent_by("GET", URL, props).send().expect(200);
    }
    // An empty list is no list of all.
    scene.sent_by("GET", URL, r#"{"tenant":"main","connections":[]}"#).send().expect(403);
    scene.hub.create_tenant("other");
    scene.sent_by("GET", URL, r#"{"tenant":"other"}"#).send().expect(401);
    assert_ne!(scene.sent_by("GET", URL, r#"{"tenant":"nobody"}"#).send().status, 200);
    // A Worker without the role has no such door.
    let other = scene.hub.isolate_with(&[("ROLES", "token")]);
    scene.call("GET", URL).on(&other).send().expect(404);
}

#[test]
fn the_token_of_the_binding_counts_and_none_that_code_says() {
    let scene = Scene::new();
    let with_token = |token: &str| json!({"tenant": "main", "token": token}).to_string();
    let send = |props: &str| scene.hub.call("GET", "/").outbound(URL, props);
    // Of the binding, whatever the code says; else of the Worker that runs the code.
    send(&with_token(&scene.token)).send().expect(200);
    send(&with_token(&scene.token)).header("writ-subject-token", "x").send().expect(200);
    send(&with_token("x")).header("writ-subject-token", &scene.token).send().expect(401);
    send(&with_token("")).header("writ-subject-token", &scene.token).send().expect(401);
    send(PROPS).send().expect(401);
    scene.hub.agent("reader", "mcp:read");
    let basic = scene.hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    send(PROPS).basic(&basic).send().expect(401);
    send(PROPS).bearer(&scene.token).send().expect(401);
    send(PROPS).basic(&basic).header("writ-subject-token", &scene.token).send().expect(200);
    send(PROPS).header("writ-subject-token", &scene.hub.admin_token()).send().expect(401);
    // A token that is bound to a key, without a proof or with one that code has made.
    let api = format!("{}/connections", scene.hub.issuer("main"));
    let bound = scene.hub.create_client(json!({"allowed_resources": [api], "dpop_bound_access_tokens": true}));
    let claims = json!({
        "jti": "1", "htm": "POST", "htu": format!("{}/token", scene.hub.issuer("main")), "iat": scene.hub.clock.seconds(),
    });
    let proof = Signer::new(Alg::Es256, 1).proof(&claims);
    let token = scene.hub.token_call(&bound, &[("resource", &api)]).header("dpop", &proof).send().access_token();
    send(PROPS).header("writ-subject-token", &token).header("dpop", &proof).send().expect(401);
    // The token stands in nothing that is sent on.
    scene.call("GET", &format!("{URL}?token={}", scene.token)).send().expect(400);
    scene.call("POST", URL).header("x-mine", &scene.token).body(scene.token.clone()).send().expect(200);
    assert!(!format!("{:?}", scene.hub.fetch.passed()).contains(&scene.token));
    // Who was stopped calls nothing any more.
    scene.hub.admin("POST", &format!("clients/{}/suspend", scene.agent.client_id)).send().expect(200);
    scene.call("GET", URL).send().expect(401);
}

#[test]
fn neither_address_nor_country_is_believed_of_code() {
    let scene = Scene::new();
    scene
        .permit("!(context has ip) && !(context has country) && !(context has resource_server) && !(context has tool)");
    let call = scene.call("GET", URL).ip("10.1.2.3").header("cf-connecting-ip", "10.1.2.3").header("writ-tool", "post");
    call.send().expect(200);
    assert!(scene.event("proxy.called").get("ip").is_none());
    scene.permit("context has ip");
    scene.hub.clock.advance(5);
    scene.call("GET", URL).ip("10.1.2.3").send().expect(403);
}

#[test]
fn a_redirect_names_the_services_own_url() {
    let scene = Scene::new();
    for (location, shown) in [
        ("https://chat.example/api/messages/2?a=b", Some("https://chat.example/api/messages/2?a=b")),
        ("/api/messages/2", Some("https://chat.example/api/messages/2")),
        ("2", Some("https://chat.example/api/messages/2")),
        ("https://evil.example/", None),
        ("/other", None),
    ] {
        scene.hub.fetch.flow(move |_| Flowing::new(302, b"").header("location", location));
        let reply = scene.call("GET", URL).send();
        let status = if shown.is_some() { 302 } else { 502 };
        assert_eq!((reply.status, reply.header("location")), (status, shown), "{location}");
    }
}

#[test]
fn the_longest_base_url_is_meant_or_the_one_that_the_binding_names() {
    let scene = Scene::new();
    let event =
        |url: &str, props: &str| scene.reached(url, props).map(|_| scene.event("proxy.called")["connection"].clone());
    scene.permit("true");
    scene.connect("admin", "https://chat.example/api/admin");
    scene.connect("all", "https://chat.example");
    assert_eq!(event("https://chat.example/api/admin/x", PROPS), Some(json!("admin")));
    assert_eq!(event(URL, PROPS), Some(json!("chat")));
    assert_eq!(event("https://chat.example/x", PROPS), Some(json!("all")));
    // One that policy forbids, or that is suspended, is meant all the same: no other credential goes there.
    scene.permit(r#"resource != Connection::"admin""#);
    scene.hub.clock.advance(5);
    assert_eq!(event("https://chat.example/api/admin/x", PROPS), None);
    scene.permit("true");
    scene.hub.admin("POST", "connections/admin/suspend").send().expect(200);
    scene.hub.clock.advance(5);
    assert_eq!(event("https://chat.example/api/admin/x", PROPS), None);
    scene.hub.admin("POST", "connections/admin/kill").send().expect(200);
    assert_eq!(event("https://chat.example/api/admin/x", PROPS), Some(json!("chat")));
    // Two with the same one.
    scene.connect("twin", "https://chat.example/api/");
    let reply = scene.call("GET", URL).send().expect(403);
    assert_eq!(reply.error(), "access_denied");
    let refused = scene.event("proxy.refused");
    assert_eq!((&refused["reason"], &refused["client"]), (&json!("NoConnection"), &json!(scene.agent.client_id)));
    assert!(refused["detail"].as_str().unwrap().contains("several"), "{refused}");
    for (named, meant) in
        [(vec!["twin"], "twin"), (vec!["chat", "twin"], "chat"), (vec!["none", "twin", "all"], "twin")]
    {
        let props = json!({"tenant": "main", "connections": named}).to_string();
        assert_eq!(event(URL, &props), Some(json!(meant)), "{props}");
    }
}

#[test]
fn what_changes_is_in_force_within_the_freshness_bound() {
    let scene = Scene::new();
    scene.permit("true");
    let other = scene.hub.isolate();
    let elsewhere = || {
        let before = scene.hub.fetch.passed().len();
        let reply = scene.call("GET", "https://new.example/v1/x").on(&other).send();
        (reply.status, scene.hub.fetch.passed().get(before).map(|passed| passed.url.clone()))
    };
    assert_eq!(elsewhere(), (403, None));
    scene.connect("new", "https://new.example");
    assert_eq!(
        scene.reached("https://new.example/v1/x", PROPS).as_deref(),
        Some("https://new.example/v1/x"),
        "here at once"
    );
    scene.hub.clock.advance(5);
    assert_eq!(elsewhere(), (200, Some("https://new.example/v1/x".to_owned())));
    scene.connect("new", "https://new.example/v1");
    scene.hub.clock.advance(5);
    assert_eq!(elsewhere(), (200, Some("https://new.example/v1/x".to_owned())));
    assert_eq!(scene.event("proxy.called")["path"], "/x");
    let etag = scene.hub.admin("GET", "connections/new").send().header("etag").unwrap().to_owned();
    scene.hub.admin("DELETE", "connections/new").header("if-match", &etag).send();
    scene.hub.clock.advance(5);
    assert_eq!(elsewhere(), (403, None));
}

#[test]
fn a_tenant_with_very_many_connections_has_to_name_some() {
    let scene = Scene::new();
    scene.permit("true");
    scene.hub.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 298) INSERT INTO connections \
         (tenant, name, kind, config, created_at, updated_at) SELECT 'main', 'many-' || i, 'api_key', \
         json_object('account', '', 'config', json_object('service', json_object('name', '', 'proxy', \
         json_object('base_url', 'https://many.example/' || i)))), 0, 0 FROM n",
    );
    assert_eq!(scene.reached("https://many.example/298/x", PROPS), None, "it has no credential");
    assert_eq!(scene.reached(URL, PROPS).as_deref(), Some(URL));
    scene.connect("one-more", "https://more.example");
    let reply = scene.call("GET", URL).send().expect(403);
    assert_eq!(reply.error(), "access_denied");
    assert!(scene.event("proxy.refused")["detail"].as_str().unwrap().contains("too many"));
    assert_eq!(scene.reached(URL, r#"{"tenant":"main","connections":["chat"]}"#).as_deref(), Some(URL));
}
