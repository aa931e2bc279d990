//! `/t/{tenant}/connections/{name}/proxy/{path}`: the call reaches the service with the credential, and nobody sees it.

use super::accounts::{self, Scene as Accounts};
use super::authorize::text;
use crate::support::browser::{Browser, CALLBACK, VERIFIER, authorization};
use crate::support::call::line;
use crate::support::flowing::Flowing;
use crate::support::hub::{Call, RESOURCE};
use crate::support::keys::rsa_pem;
use crate::support::service::{CLIENT_SECRET, ORIGIN as SERVICE};
use crate::support::sockets::Script;
use crate::support::{Credentials, Port, Reply, Scripted, Setup, Signer};
use serde_json::{Value, json};
use writ::crypto::sha256;
use writ::error::Reason;
use writ::ports::{Alg, FetchError, Message, Timer};
use writ::vault::proxy::MAX_MESSAGE;

const PROXY: &str = "/t/main/connections/chat/proxy";

/// A person who has connected an account, with an agent that may call through the connection itself.
pub struct Scene {
    accounts: Accounts,
    /// The agent's client.
    agent: String,
    /// The agent's token for connections.
    token: String,
    /// Its token for the resource server.
    for_server: String,
}

impl Scene {
    pub fn new() -> Self {
        Self::allowing(json!([
            {"methods": ["GET", "POST"], "path": "/messages/*"},
            {"methods": ["PUT"], "path": "/files/**"},
            {"methods": ["GET"], "path": "/search", "query": ["q"]},
        ]))
    }

    fn allowing(allow: Value) -> Self {
        let accounts = Accounts::new(true, 0);
        let etag = accounts.hub.admin("GET", "connections/chat").send().header("etag").unwrap().to_owned();
        let config = json!({
            "service": accounts.service.described(), "client_id": crate::support::service::CLIENT_ID,
            "scopes": ["chat:read", "chat:write"], "allow": allow,
        });
        let body = json!({"kind": "oauth2", "config": config});
        accounts.hub.admin("PUT", "connections/chat").header("if-match", &etag).json(&body).send().expect(200);
        let api = format!("{}/connections", accounts.hub.issuer("main"));
        let metadata = json!({
            "client_name": "Helper", "grant_types": ["authorization_code"], "token_endpoint_auth_method": "none",
            "redirect_uris": [CALLBACK], "allowed_resources": [RESOURCE, api],
        });
        let made = accounts.hub.admin("POST", "clients").json(&metadata).send().expect(201);
        let agent = text(&made, "client_id");
        let (token, for_server) = {
            let browser = Browser::new(&accounts.hub);
            let link = accounts::url(&accounts.lease(&accounts.agents_token(&browser)));
            accounts.connect(&browser, &link, "ada@chat").expect(200);
            let ask = |scope: &str, resource: &str| {
                let query = authorization(&agent, &[("scope", scope), ("resource", resource)]);
                let code = browser.code(&query, &[scope]);
                let form = [
                    ("grant_type", "authorization_code"),
                    ("client_id", &*agent),
                    ("code", &*code),
                    ("code_verifier", VERIFIER),
                    ("redirect_uri", CALLBACK),
                ];
                accounts.hub.call("POST", "/t/main/token").form(&form).send().access_token()
            };
            (ask("connections:use", &api), ask("mcp:read", RESOURCE))
        };
        Self { accounts, agent, token, for_server }
    }

    pub fn hub(&self) -> &Setup {
        &self.accounts.hub
    }

    /// A call of the agent itself.
    pub fn call(&self, method: &str, path: &str) -> Call<'_> {
        self.hub().call(method, &[PROXY, path].concat()).bearer(&self.token)
    }

    /// A call of the resource server for the agent.
    fn server_call(&self, method: &str, path: &str) -> Call<'_> {
        let call = self.hub().call(method, &[PROXY, path].concat()).basic(&self.accounts.server);
        call.header("writ-subject-token", &self.for_server)
    }

    pub fn flow(&self, answer: Flowing) {
        self.hub().fetch.flow(move |_| answer.clone());
    }

    /// What the service answers goes back.
    fn answered(&self, answer: Flowing) -> Reply {
        self.flow(answer);
        self.call("GET", "/messages/1").send()
    }

    pub fn passed(&self) -> usize {
        self.hub().fetch.passed().len()
    }

    fn secret(&self) -> String {
        self.accounts.service.access_tokens().pop().unwrap()
    }

    /// The last event of that type.
    pub fn event(&self, kind: &str) -> Value {
        self.hub().events_of(kind).pop().unwrap_or_else(|| panic!("no {kind}"))
    }
}

/// A stream that says something each second for a minute.
pub fn ticks() -> Flowing {
    Flowing::new(200, b"").of((0..60).map(|n| (1_000, format!("data: {n}\n\n").into_bytes())))
}

pub fn provoke(reason: Reason) -> Reply {
    let scene = Scene::new();
    match reason {
        Reason::CallNotAllowed => scene.call("DELETE", "/messages/1").send(),
        Reason::MalformedCall => scene.call("GET", "/messages/%2e%2e").send(),
        Reason::UpgradeRefused => scene.call("GET", "/messages/1").header("upgrade", "h2c").send(),
        Reason::MissingAgentToken => {
            scene.hub().call("GET", &format!("{PROXY}/messages/1")).basic(&scene.accounts.server).send()
        }
        other => panic!("{other:?} is not of the proxy"),
    }
}

#[test]
fn a_call_reaches_the_service_with_the_credential_and_neither_caller_sees_it() {
    let scene = Scene::new();
    for call in [scene.call("POST", "/messages/1?q=a%20b"), scene.server_call("POST", "/messages/1?q=a%20b")] {
        let call = call.header("content-type", "text/plain").header("x-custom", "kept").body("hello");
        let reply = call.send().expect(200);
        let echo = reply.json();
        assert_eq!(echo["url"], format!("{SERVICE}/api/messages/1?q=a%20b"));
        assert_eq!((&echo["method"], &echo["body"]), (&json!("POST"), &json!("hello")));
        assert_eq!(
            (&echo["headers"]["content-type"], &echo["headers"]["x-custom"]),
            (&json!("text/plain"), &json!("kept"))
        );
        assert_eq!(echo["headers"]["accept-encoding"], "identity");
        let shown = echo["headers"]["authorization"].as_str().unwrap();
        assert!(shown.starts_with("Bearer ***") && shown.ends_with("***"), "{shown}");
        assert!(!reply.text.contains("canary"), "{reply:?}");
    }
    for passed in scene.hub().fetch.passed() {
        assert_eq!(passed.header("authorization"), Some(format!("Bearer {}", scene.secret()).as_str()));
        let all = format!("{passed:?}");
        assert!(!all.contains(&scene.token) && !all.contains(&scene.for_server) && !all.contains("writ-"), "{all}");
        assert!(!all.contains(&scene.accounts.server.client_secret));
    }
    let [started, called] = ["proxy.started", "proxy.called"].map(|kind| scene.event(kind));
    let user = scene.hub().db.query("SELECT id FROM users WHERE tenant = 'main'").pop().unwrap()["id"].clone();
    for event in [&started, &called] {
        assert_eq!((&event["subject"], &event["subject_name"]), (&user, &json!("Ada Demo")), "for whom the agent acts");
        assert_eq!((&event["client"], &event["connection"]), (&json!(scene.agent), &json!("chat")));
        assert_eq!(
            (&event["method"], &event["host"], &event["path"]),
            (&json!("POST"), &json!("chat.example"), &json!("/messages/1"))
        );
        assert_eq!(event["resource_server"], scene.accounts.server.client_id);
        assert_eq!(event["request_id"], started["request_id"]);
    }
    assert_eq!((&called["status"], &called["bytes_sent"], &called["millis"]), (&json!(200), &json!(5), &json!(0)));
    assert!(called["bytes_received"].as_u64().unwrap() > 100 && called.get("reason").is_none(), "{called}");
    assert_eq!(scene.hub().events_of("proxy.called").len(), 2, "one a call");
    let everything = scene.hub().dump_everything();
    for canary in ["chat-access-canary", "chat-refresh-canary", CLIENT_SECRET, "a%20b"] {
        let replies = everything.replace(&format!("{SERVICE}/api/messages/1?q=a%20b"), "");
        assert!(!replies.contains(canary), "{canary}");
    }
}

#[test]
fn what_is_not_listed_is_denied_and_nothing_is_sent() {
    let scene = Scene::new();
    for (method, path) in [
        ("DELETE", "/messages/1"),
        ("PUT", "/messages/1"),
        ("GET", "/messages"),
        ("GET", "/messages/"),
        ("GET", "/messages/1/"),
        ("GET", "/messages/1/2"),
        ("GET", "/Messages/1"),
        ("PUT", "/files"),
        ("GET", "/search?q=1&other=2"),
        ("GET", "/search?other"),
        ("GET", "/"),
    ] {
        let reply = scene.call(method, path).send();
        assert_eq!((reply.status, reply.error().as_str()), (403, "access_denied"), "{method} {path}");
    }
    assert_eq!(scene.passed(), 0);
    assert_eq!(scene.event("proxy.refused")["reason"], "CallNotAllowed");
    for (method, path) in
        [("GET", "/messages/1"), ("HEAD", "/messages/1"), ("PUT", "/files/a/b"), ("GET", "/search?q=1&q=2")]
    {
        scene.call(method, path).send().expect(200);
    }
    let empty = Scene::allowing(json!([]));
    for (method, path) in [("GET", "/"), ("GET", "/messages/1"), ("POST", "/")] {
        assert_eq!(empty.call(method, path).send().expect(403).error(), "access_denied");
    }
    assert_eq!(empty.passed(), 0);
    assert_eq!(scene.hub().call("OPTIONS", &format!("{PROXY}/messages/1")).send().status, 204, "answered here");
    scene.call("TRACE", "/messages/1").send().expect(405);
}

#[test]
fn a_path_that_can_be_read_in_two_ways_is_sent_in_neither() {
    let scene = Scene::allowing(json!([{"methods": ["GET"], "path": "/**"}]));
    for path in [
        "/a/%2e%2e/b",
        "/a/../b",
        "/a/./b",
        "/a//b",
        "/a%2fb",
        "/a%5Cb",
        "/a\\b",
        "/a%00",
        "/a%252fb",
        "/..;/b",
        "/a%zz",
        "/a b",
        "/a|b",
        "/%0d%0aHost:x",
    ] {
        let reply = scene.call("GET", path).send();
        assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_request"), "{path}");
    }
    assert_eq!(scene.passed(), 0);
    let reply = scene.call("GET", "/%61b%c3%a9/c;v=1/~d.e?x='1'").send().expect(200);
    assert_eq!(reply.json()["url"], format!("{SERVICE}/api/ab%C3%A9/c;v=1/~d.e?x=%271%27"));
    for url in scene.hub().fetch.passed().iter().map(|passed| passed.url.clone()) {
        assert!(url.starts_with(&format!("{SERVICE}/api/")), "{url}");
    }
}

#[test]
fn policy_sees_method_host_and_path() {
    let scene = Scene::new();
    let policy = |condition: &str| {
        let text = format!(
            r#"permit(principal, action == Action::"lease", resource == Connection::"chat") when {{ {condition} }};"#
        );
        scene.hub().put_policy("lease", &text);
        scene.hub().clock.advance(5);
    };
    policy(r#"context has method && context.method == "GET" && context has path && context.path like "/messages/*""#);
    scene.call("GET", "/messages/%31").send().expect(200);
    let denied = scene.call("POST", "/messages/1").send().expect(403);
    assert_eq!(denied.json()["decision"], scene.event("proxy.refused")["decision"]);
    policy(r#"context has host && context.host == "chat.example" && !(context has resource_server)"#);
    scene.call("POST", "/messages/1").send().expect(200);
    scene.server_call("POST", "/messages/1").send().expect(403);
    policy(r#"context has tool && context.tool == "post""#);
    scene.call("POST", "/messages/1").send().expect(403);
    scene.call("POST", "/messages/1").header("writ-tool", "post").send().expect(403);
    scene.server_call("POST", "/messages/1").header("writ-tool", "post").send().expect(200);
    policy("!(context has method)");
    scene.call("GET", "/messages/1").send().expect(403);
    scene.accounts.lease(&scene.for_server).expect(200);
    // A name that nobody has looks like one that is forbidden.
    let unknown =
        scene.hub().call("GET", "/t/main/connections/no-such/proxy/a").bearer(&scene.token).send().expect(403);
    let forbidden = scene.call("GET", "/messages/1").send();
    assert_eq!(unknown.json()["error_description"], forbidden.json()["error_description"]);
}

#[test]
fn a_token_that_is_not_for_this_calls_nothing() {
    let scene = Scene::new();
    let path = format!("{PROXY}/messages/1");
    for token in [&*scene.for_server, &scene.hub().admin_token(), &scene.secret(), "x", ""] {
        let reply = scene.hub().call("GET", &path).bearer(token).send();
        assert_eq!((reply.status, reply.error().as_str()), (401, "invalid_token"), "{token}");
    }
    scene.hub().call("GET", &path).send().expect(401);
    for token in [&*scene.token, &scene.secret(), "x"] {
        let call = scene.hub().call("GET", &path).basic(&scene.accounts.server).header("writ-subject-token", token);
        assert_eq!(call.send().expect(400).error(), "invalid_request");
    }
    let mut wrong = scene.accounts.server.clone();
    wrong.client_secret.push('x');
    let call = scene.hub().call("GET", &path).basic(&wrong).header("writ-subject-token", &scene.for_server);
    assert_eq!(call.send().expect(401).error(), "invalid_client");
    let agent = scene.hub().agent("other", "mcp:read");
    let call = scene.hub().call("GET", &path).basic(&agent).header("writ-subject-token", &scene.for_server);
    assert_eq!(call.send().expect(403).error(), "unauthorized_client");
    // Another tenant's wall.
    scene.hub().create_tenant("other");
    scene.hub().call("GET", "/t/other/connections/chat/proxy/messages/1").bearer(&scene.token).send().expect(401);
    assert_eq!(scene.passed(), 0);
}

#[test]
fn a_bound_token_needs_its_proof_for_this_very_call() {
    let hub = Setup::new();
    let api = format!("{}/connections", hub.issuer("main"));
    let agent = hub.create_client(json!({"allowed_resources": [api], "dpop_bound_access_tokens": true}));
    let key = Signer::new(Alg::Es256, 1);
    let now = hub.clock.seconds();
    let proof = |jti: &str, method: &str, url: &str, more: Value| {
        let mut claims = json!({"jti": jti, "htm": method, "htu": url, "iat": now});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key.proof(&claims)
    };
    let at_token = proof("1", "POST", &format!("{}/token", hub.issuer("main")), json!({}));
    let token = hub.token_call(&agent, &[]).header("dpop", &at_token).send().access_token();
    let path = "/t/main/connections/none/proxy/messages/1";
    let url = format!("{}{path}", hub.origin());
    let ath = json!({"ath": sha256(&token).to_text()});
    let send = |proof: &str| {
        hub.call("GET", path).header("authorization", &format!("DPoP {token}")).header("dpop", proof).send()
    };
    assert_eq!(hub.call("GET", path).bearer(&token).send().expect(401).error(), "invalid_token");
    for bad in [
        proof("2", "POST", &url, ath.clone()),
        proof("3", "GET", &format!("{url}/2"), ath.clone()),
        proof("4", "GET", &url, json!({})),
    ] {
        assert_eq!(send(&bad).expect(401).error(), "invalid_dpop_proof");
    }
    let good = proof("5", "GET", &url, ath);
    assert_eq!(send(&good).expect(403).error(), "access_denied", "past the guard");
    assert_eq!(send(&good).expect(401).error(), "invalid_dpop_proof", "once");
}

#[test]
fn headers_of_one_hop_and_of_credentials_pass_in_neither_direction() {
    let scene = Scene::new();
    let mut call = scene.call("GET", "/messages/1");
    for name in [
        "cookie",
        "dpop",
        "x-api-key",
        "proxy-authorization",
        "x-forwarded-for",
        "cf-connecting-ip",
        "te",
        "transfer-encoding",
        "host",
        "content-length",
        "range",
        "origin",
        "x-http-method-override",
        "writ-account-x",
        "x-mine",
    ] {
        let value =
            if name == "x-mine" { format!("Bearer {}", scene.token) } else { "canary-of-the-caller".to_owned() };
        call = call.header(name, &value);
    }
    call.header("accept", "application/json")
        .header("connection", "keep-alive, x-once")
        .header("x-once", "1")
        .send()
        .expect(200);
    let passed = scene.hub().fetch.passed().pop().unwrap();
    let mut names: Vec<&str> = passed.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "accept-encoding", "authorization", "user-agent"]);

    let mut answer = Flowing::new(200, b"{}").header("cache-control", "max-age=60").header("etag", "\"1\"");
    for name in [
        "set-cookie",
        "www-authenticate",
        "content-security-policy",
        "access-control-allow-origin",
        "connection",
        "alt-svc",
        "strict-transport-security",
    ] {
        answer = answer.header(name, "canary-of-the-service");
    }
    let reply = scene.answered(answer).expect(200);
    assert!(!format!("{reply:?}").contains("canary-of-the-service"), "{reply:?}");
    assert_eq!((reply.header("cache-control"), reply.header("etag")), (Some("max-age=60"), Some("\"1\"")));
    assert_eq!(reply.header("content-security-policy"), Some("sandbox; default-src 'none'"));
}

#[test]
fn the_callers_token_leaves_neither_in_the_line_nor_in_the_body() {
    let scene = Scene::new();
    let token = scene.token.clone();
    assert_eq!(scene.call("GET", &format!("/messages/{token}")).send().status, 400);
    assert_eq!(scene.call("GET", &format!("/search?q={token}")).send().status, 400);
    assert_eq!(scene.passed(), 0);
    let body = format!("{{\"token\":\"{token}\"}}");
    scene.call("POST", "/messages/1").body(body.clone()).send().expect(200);
    let (first, second) = body.split_at(body.len() / 2);
    let pieces = vec![first.as_bytes().to_vec(), second.as_bytes().to_vec()];
    scene.call("PUT", "/files/a").streamed(pieces, Some(body.len() as u64)).send().expect(200);
    assert_eq!(scene.hub().fetch.passed()[1].length, Some(body.len() as u64));
    for passed in scene.hub().fetch.passed() {
        assert_eq!(passed.body, format!("{{\"token\":\"{}\"}}", "*".repeat(token.len())).into_bytes());
    }
    assert_eq!(scene.event("proxy.called")["bytes_sent"], body.len());
}

#[test]
fn the_credential_comes_back_in_no_form_and_across_no_pieces() {
    use base64::Engine;
    let scene = Scene::new();
    let secret = scene.secret();
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("user:{secret}"));
    let body = format!("a {secret} b Bearer {secret} c {encoded} d");
    for size in [1, 2, 7, 1_000] {
        let pieces = body.as_bytes().chunks(size).map(|piece| (0, piece.to_vec()));
        let answer = Flowing::new(200, b"").of(pieces).header("x-echo", &format!("token {secret}"));
        let reply = scene.answered(answer).expect(200);
        assert_eq!(reply.text.len(), body.len());
        assert!(!format!("{reply:?}").contains("canary") && reply.text.starts_with("a ***"), "{reply:?}");
        let core = &encoded[8..encoded.len() - 4];
        assert!(!reply.text.contains(core), "{reply:?}");
        assert_eq!(reply.header("x-echo"), Some(format!("token {}", "*".repeat(secret.len())).as_str()));
    }
}

#[test]
fn no_redirect_is_followed_and_none_leads_elsewhere() {
    let scene = Scene::new();
    for (location, expected) in [
        (format!("{SERVICE}/api/messages/2?a=b"), Some("/t/main/connections/chat/proxy/messages/2?a=b")),
        ("/api/messages/2".to_owned(), Some("/t/main/connections/chat/proxy/messages/2")),
        ("2".to_owned(), Some("/t/main/connections/chat/proxy/messages/2")),
        ("https://evil.example/".to_owned(), None),
        ("//evil.example/api/".to_owned(), None),
        ("/other".to_owned(), None),
        (format!("{SERVICE}.evil.example/api/"), None),
        ("http://chat.example/api/x".to_owned(), None),
    ] {
        let before = scene.passed();
        let reply = scene.answered(Flowing::new(302, b"").header("location", &location));
        assert_eq!(scene.passed(), before + 1, "one call");
        match expected {
            Some(expected) => assert_eq!((reply.status, reply.header("location")), (302, Some(expected)), "{location}"),
            None => assert_eq!((reply.status, reply.header("location")), (502, None), "{location}"),
        }
    }
    let called = scene.event("proxy.called");
    assert_eq!((&called["status"], &called["reason"]), (&json!(302), &json!("ProviderFailed")));
}

#[test]
fn links_and_the_place_of_what_was_made_lead_through_the_connection_or_do_not_pass() {
    let scene = Scene::new();
    let here = format!("{}/connections/chat/proxy", scene.hub().issuer("main"));
    let secret = scene.secret();
    let links = format!(
        "<{SERVICE}/api/messages/2?page=2>; rel=\"next\", <https://evil.example/api/3>; rel=\"last\", <?t={secret}>; rel=\"self\""
    );
    let answer = Flowing::new(201, b"{}").header("link", &links).header("location", "/api/messages/9");
    let reply = scene.answered(answer).expect(201);
    let stars = "*".repeat(secret.len());
    let expected = format!("<{here}/messages/2?page=2>; rel=\"next\", <{here}/messages/1?t={stars}>; rel=\"self\"");
    assert_eq!(reply.header("link"), Some(expected.as_str()));
    assert_eq!(reply.header("location"), Some("/t/main/connections/chat/proxy/messages/9"));
    let answer =
        Flowing::new(201, b"{}").header("link", "<https://evil.example/>").header("location", "https://evil.example/");
    let reply = scene.answered(answer).expect(201);
    assert_eq!((reply.header("link"), reply.header("location")), (None, None));
}

#[test]
fn an_answer_that_cannot_be_looked_through_does_not_pass() {
    let scene = Scene::new();
    let ok = || Flowing::new(200, b"{}");
    for (answer, status) in [
        (ok().header("content-encoding", "gzip"), 502),
        (ok().header("content-encoding", "identity, zstd"), 502),
        (ok().header("content-encoding", "identity"), 200),
        (ok().header("content-length", "104857601"), 502),
        (Flowing::new(101, b""), 502),
        (Flowing::new(600, b""), 502),
        (Flowing::failure(FetchError::Unreachable), 502),
        (Flowing::failure(FetchError::Timeout), 504),
        (ok().after(30_001), 504),
        (Flowing::new(404, b"{}"), 404),
        (Flowing::new(500, b"{}"), 500),
        (Flowing::new(204, b""), 204),
    ] {
        assert_eq!(scene.answered(answer.clone()).status, status, "{} {:?}", answer.status, answer.headers);
    }
    let started = scene.hub().events_of("proxy.started").len();
    assert_eq!(scene.hub().events_of("proxy.called").len(), started);
    scene.hub().fetch.flow(|_| Flowing::new(200, b"{\"a\":1}").header("content-length", "999999999"));
    let head = scene.call("HEAD", "/messages/1").send().expect(200);
    assert_eq!(head.text, "");
}

#[test]
fn bodies_are_bounded_in_both_directions() {
    let scene = Scene::new();
    let megabyte = vec![b'x'; 1_048_576];
    let reply = scene.answered(Flowing::new(200, b"").of((0..101).map(|_| (0, vec![b'x'; 1_048_576]))));
    assert!(reply.cut && reply.text.len() == 104_857_600, "{}", reply.text.len());
    assert_eq!(scene.event("proxy.called")["reason"], "ProviderFailed");
    scene.hub().fetch.flow(|_| Flowing::new(200, b"{}"));
    let reply = scene.call("PUT", "/files/a").streamed(vec![megabyte; 101], None).send();
    assert_eq!((reply.status, reply.error().as_str()), (413, "invalid_request"));
    assert_eq!(scene.event("proxy.called")["reason"], "BodyTooLarge");
    scene.call("GET", "/messages/1").body("a body").send().expect(400);
    let headers = (0..101).fold(scene.call("GET", "/messages/1"), |call, n| call.header(&format!("x-{n}"), "1"));
    assert_eq!(headers.send().status, 400);
}

#[test]
fn a_stream_passes_piece_by_piece_and_a_slow_reader_holds_it_up() {
    let scene = Scene::new();
    scene.flow(ticks());
    let reply = scene.call("GET", "/messages/1").send().expect(200);
    assert!(!reply.cut && reply.text.ends_with("data: 59\n\n"));
    assert_eq!(scene.event("proxy.called")["millis"], 60_000);
    let taken = scene.hub().fetch.taken.get();
    scene.call("GET", "/messages/1").hanging_up_after(3).send();
    assert_eq!(scene.hub().fetch.taken.get() - taken, 3, "no piece is taken before it is asked for");
    let called = scene.event("proxy.called");
    assert_eq!((&called["reason"], &called["millis"]), (&json!("CallerGone"), &json!(3_000)));
    assert_eq!(scene.hub().fetch.dropped.get(), 1, "the service hears of it");
    let broken = scene.answered(Flowing::new(200, b"half").broken());
    assert!(broken.cut && broken.text == "half");
}

/// Runs a stream of a minute with something that stops it after ten seconds; how many pieces came, and the event.
fn stopped(scene: &Scene, stop: impl Fn(&Setup) + 'static) -> (usize, Value) {
    scene.flow(ticks());
    let hub = scene.hub();
    let stopping: writ::ports::Pending<'_, Option<Reply>> = Box::pin(async move {
        writ::ports::Timer::sleep(&hub.clock, 10_000).await;
        None
    });
    let reading = scene.call("GET", "/messages/1").future();
    let reading: writ::ports::Pending<'_, Option<Reply>> = Box::pin(async move { Some(reading.await) });
    let acting: writ::ports::Pending<'_, Option<Reply>> = Box::pin(async move {
        stopping.await;
        stop(hub);
        None
    });
    let reply = hub.clock.drive(0, vec![reading, acting]).into_iter().flatten().next().unwrap();
    hub.faults.heal();
    assert!(reply.status == 200 && reply.cut, "{reply:?}");
    (reply.text.matches("data: ").count(), scene.event("proxy.called"))
}

#[test]
fn a_stream_is_cut_within_the_freshness_bound_of_a_stop() {
    type Stop = fn(&Setup, &str);
    let stops: [(&str, Stop, &str); 7] = [
        (
            "the agent",
            |hub, agent| drop(hub.admin("POST", &format!("clients/{agent}/suspend")).send().expect(200)),
            "InvalidToken",
        ),
        (
            "the agent, for good",
            |hub, agent| drop(hub.admin("POST", &format!("clients/{agent}/kill")).send().expect(200)),
            "InvalidToken",
        ),
        (
            "the user",
            |hub, _| {
                let user = hub.db.query("SELECT id FROM users").pop().unwrap()["id"].as_str().unwrap().to_owned();
                hub.admin("POST", &format!("users/{user}/suspend")).send().expect(200);
            },
            "InvalidToken",
        ),
        (
            "the connection",
            |hub, _| drop(hub.admin("POST", "connections/chat/suspend").send().expect(200)),
            "LeaseDenied",
        ),
        (
            "policy",
            |hub, _| hub.put_policy("lease", r#"forbid(principal, action == Action::"lease", resource);"#),
            "LeaseDenied",
        ),
        (
            "the tenant",
            |hub, _| {
                hub.db.execute("UPDATE tenants SET status = 'suspended' WHERE id = 'main'");
            },
            "TenantSuspended",
        ),
        (
            "the account",
            |hub, _| {
                let body = hub.admin("GET", "connections/chat").send();
                let etag = body.header("etag").unwrap().to_owned();
                let mut config = body.json()["config"].clone();
                config["allow"] = json!([]);
                hub.admin("PUT", "connections/chat")
                    .header("if-match", &etag)
                    .json(&json!({"kind": "oauth2", "config": config}))
                    .send()
                    .expect(200);
            },
            "CallNotAllowed",
        ),
    ];
    for (what, stop, reason) in stops {
        let scene = Scene::new();
        let agent = scene.agent.clone();
        let (pieces, event) = stopped(&scene, move |hub| stop(hub, &agent));
        assert!((9..=16).contains(&pieces), "{what}: {pieces}");
        assert_eq!(event["reason"], reason, "{what}: {event}");
        assert_eq!(scene.hub().fetch.dropped.get(), 1, "{what}: the service hears of it");
    }
}

/// What a call gets whose agent is suspended ten seconds after it began.
fn suspended_meanwhile(scene: &Scene) -> Reply {
    let hub = scene.hub();
    let calling: writ::ports::Pending<'_, Option<Reply>> = {
        let call = scene.call("GET", "/messages/1").future();
        Box::pin(async move { Some(call.await) })
    };
    let acting: writ::ports::Pending<'_, Option<Reply>> = Box::pin(async {
        writ::ports::Timer::sleep(&hub.clock, 10_000).await;
        hub.admin("POST", &format!("clients/{}/suspend", scene.agent)).send().expect(200);
        None
    });
    hub.clock.drive(0, vec![calling, acting]).into_iter().flatten().next().unwrap()
}

#[test]
fn a_silent_stream_is_cut_as_well_and_so_is_a_wait_for_an_answer() {
    let scene = Scene::new();
    scene.flow(Flowing::new(200, b"").of([(1_000, b"data: 1\n\n".to_vec()), (600_000, b"data: 2\n\n".to_vec())]));
    let reply = suspended_meanwhile(&scene);
    assert!(reply.cut && reply.text == "data: 1\n\n", "{reply:?}");
    assert!(scene.event("proxy.called")["millis"].as_u64().unwrap() <= 16_000);

    let scene = Scene::new();
    scene.flow(Flowing::new(200, b"late").after(25_000));
    let reply = suspended_meanwhile(&scene);
    assert_eq!((reply.status, reply.error().as_str()), (401, "invalid_token"));
    let called = scene.event("proxy.called");
    assert!(called["millis"].as_u64().unwrap() <= 15_000 && called["reason"] == "InvalidToken", "{called}");
}

#[test]
fn a_stream_outlives_its_token_but_not_the_bound_nor_a_database_that_cannot_be_asked() {
    let scene = Scene::new();
    scene.flow(Flowing::new(200, b"").of((0..100).map(|n| (10_000, format!("data: {n}\n\n").into_bytes()))));
    let reply = scene.call("GET", "/messages/1").send();
    assert!(reply.cut && reply.text.matches("data: ").count() == 90, "{reply:?}");
    assert_eq!(scene.event("proxy.called")["reason"], "ProviderTimeout");
    scene.call("GET", "/messages/1").send().expect(401);

    let scene = Scene::new();
    let (pieces, event) = stopped(&scene, |hub| {
        hub.faults.fail_when(Port::Db, |call| call.text.contains("FROM tenants"), crate::support::Effect::Fails)
    });
    assert!((9..=16).contains(&pieces) && event["reason"] == "Unchecked", "{pieces} {event}");
}

#[test]
fn a_call_is_a_use_once_however_long_its_answer_takes() {
    let scene = Scene::new();
    let cedar = r#"@limit("1/hour") permit(principal, action == Action::"lease", resource == Connection::"chat");"#;
    scene.hub().put_policy("lease", cedar);
    scene.flow(ticks());
    let reply = scene.call("GET", "/messages/1").send().expect(200);
    assert!(!reply.cut && reply.text.matches("data: ").count() == 60, "{reply:?}");
    assert_eq!(scene.hub().db.query("SELECT taken FROM limit_counts")[0]["taken"], 1);
    // What the allow-list does not have is no use of the permit.
    let passed = scene.passed();
    assert_eq!(scene.call("GET", "/elsewhere").send().expect(403).error(), "access_denied");
    let reply = scene.call("GET", "/messages/1").send().expect(429);
    assert!(reply.header("retry-after").is_some() && scene.passed() == passed, "{reply:?}");
    let event = scene.event("proxy.refused");
    assert_eq!(
        (&event["reason"], &event["detail"]),
        (&json!("LimitReached"), &json!("lease, statement 1, permits 1/hour identity"))
    );
}

#[test]
fn nothing_leaves_before_its_event_is_durable() {
    let scene = Scene::new();
    scene.call("GET", "/messages/1").send().expect(200);
    let before = scene.passed();
    scene.hub().faults.fail(Port::Queue);
    scene.call("GET", "/messages/1").send().expect(200);
    scene.hub().faults.fail(Port::Db);
    scene.call("GET", "/messages/1").send().expect(503);
    scene.hub().faults.heal();
    assert_eq!(scene.passed(), before + 1);
    assert_eq!(scene.hub().events_of("proxy.started").len(), 2);
    assert_eq!(scene.hub().events_of("proxy.called").len(), 2);
}

#[test]
fn an_agent_without_an_account_is_told_where_to_connect_one() {
    let scene = Scene::new();
    scene.hub().db.execute("DELETE FROM connected_accounts");
    scene.hub().clock.advance(5);
    scene.hub().restart();
    let reply = scene.call("GET", "/messages/1").send().expect(400);
    assert_eq!(reply.error(), "interaction_required");
    assert!(reply.json()["connect_url"].as_str().unwrap().contains("/connect/chat?request="));
    assert_eq!(scene.passed(), 0);
    assert_eq!(
        scene.call("GET", "/messages/1").header("writ-account", "No label!").send().expect(400).error(),
        "invalid_request"
    );
}

#[test]
fn a_token_of_a_google_service_account_is_injected_too() {
    let hub = Setup::new();
    let api = format!("{}/connections", hub.issuer("main"));
    let agent = hub.create_client(json!({"allowed_resources": [api]}));
    hub.put_policy("lease", r#"permit(principal, action == Action::"lease", resource);"#);
    let secret = json!({
        "type": "service_account", "client_email": "robot@demo.iam.gserviceaccount.com", "private_key": rsa_pem(11),
        "private_key_id": "k", "token_uri": "https://oauth2.googleapis.com/token",
    });
    let scopes = json!(["https://www.googleapis.com/auth/bigquery.readonly"]);
    let allow = json!([{"methods": ["GET"], "path": "/bigquery/v2/projects/*/datasets"}]);
    let put = |config: Value| {
        let body = json!({"kind": "google_service_account", "config": config, "secret": secret});
        hub.admin("PUT", "connections/warehouse").json(&body).send()
    };
    for base in [
        "https://evil.example",
        "https://googleapis.com.evil.example",
        "http://bigquery.googleapis.com",
        "https://bigquery.googleapis.com/",
    ] {
        put(json!({"scopes": scopes, "base_url": base, "allow": allow})).expect(400);
    }
    put(json!({"scopes": scopes, "allow": allow})).expect(400);
    put(json!({"scopes": scopes, "base_url": "https://bigquery.googleapis.com", "allow": allow})).expect(201);
    hub.fetch.answer(|_| {
        Scripted::json(200, json!({"access_token": "ya29.google-canary", "token_type": "Bearer", "expires_in": 3600}))
    });
    hub.fetch.flow(|passed| Flowing::new(200, passed.header("authorization").unwrap().as_bytes()));
    let token = hub.token(&agent, &[]).access_token();
    let call =
        |path: &str| hub.call("GET", &format!("/t/main/connections/warehouse/proxy{path}")).bearer(&token).send();
    assert_eq!(call("/bigquery/v2/projects/p/datasets").expect(200).text, "Bearer ******************");
    call("/bigquery/v2/projects/p/jobs").expect(403);
    let passed = hub.fetch.passed();
    assert_eq!(passed.len(), 1);
    assert_eq!(passed[0].url, "https://bigquery.googleapis.com/bigquery/v2/projects/p/datasets");
    assert_eq!(passed[0].header("authorization"), Some("Bearer ya29.google-canary"));
}

/// What a WebSocket says at its moments.
fn says(messages: &[(u64, Message)]) -> Script {
    messages.iter().map(|(after, message)| (*after, Some(message.clone()))).collect()
}

fn worded(message: &str) -> Message {
    Message::Text(message.to_owned())
}

/// A connection whose allow-list has a WebSocket.
fn with_sockets() -> Scene {
    Scene::allowing(json!([
        {"methods": ["GET"], "path": "/messages/*"},
        {"methods": ["WEBSOCKET"], "path": "/live"},
    ]))
}

#[test]
fn a_websocket_passes_messages_both_ways_without_the_credential_and_without_the_callers_token() {
    let scene = with_sockets();
    let secret = scene.secret();
    let service = says(&[
        (1_000, worded(&format!("hello {secret}"))),
        (2_000, Message::Binary(format!("\"{secret}\"").into_bytes())),
        (4_000, Message::Close(Some(4_001), format!("bye {secret}"))),
    ]);
    scene.hub().fetch.flow(move |_| Flowing::socket(service.clone()).header("sec-websocket-accept", "x"));
    let caller = says(&[
        (500, worded("one")),
        (1_500, worded(&format!("two {}", scene.token))),
        (3_000, Message::Binary(vec![7, 8])),
    ]);
    let call =
        scene.call("GET", "/live?v=1").header("sec-websocket-protocol", "chat.v1").header("sec-websocket-key", "k");
    let reply = call.socket(caller).send().expect(101);
    let mask = "*".repeat(secret.len());
    let heard: Vec<&str> = reply.text.lines().collect();
    assert_eq!(heard, [format!("text hello {mask}"), format!("binary \"{mask}\""), format!("close 4001 bye {mask}")]);
    assert!(reply.header("sec-websocket-accept").is_none(), "{reply:?}");
    let sent: Vec<String> = scene.hub().fetch.heard.borrow().iter().map(line).collect();
    let own = "*".repeat(scene.token.len());
    assert_eq!(sent, ["text one".to_owned(), format!("text two {own}"), "binary \u{7}\u{8}".to_owned()]);
    let passed = scene.hub().fetch.passed().pop().unwrap();
    assert_eq!((&*passed.method, &*passed.url), ("GET", format!("{SERVICE}/api/live?v=1").as_str()));
    assert_eq!(passed.header("authorization"), Some(format!("Bearer {secret}").as_str()));
    assert_eq!(
        (passed.header("upgrade"), passed.header("sec-websocket-protocol")),
        (Some("websocket"), Some("chat.v1"))
    );
    assert!(passed.header("sec-websocket-key").is_none() && !format!("{passed:?}").contains(&scene.token));
    let called = scene.event("proxy.called");
    assert_eq!(
        (&called["method"], &called["status"], &called["millis"]),
        (&json!("WEBSOCKET"), &json!(101), &json!(4_000))
    );
    assert_eq!(called["bytes_sent"], 3 + 4 + scene.token.len() + 2);
    assert!(called.get("reason").is_none() && scene.hub().events_of("proxy.called").len() == 1, "{called}");
    assert_eq!(scene.hub().fetch.dropped.get(), 1, "the service's end is let go");
}

#[test]
fn a_websocket_has_a_word_of_its_own_in_rules_and_policy() {
    let scene = with_sockets();
    scene.hub().fetch.flow(|_| Flowing::socket(says(&[(0, Message::Close(None, String::new()))])));
    // What may be read may not therefore be spoken to, nor the other way round.
    scene.call("GET", "/messages/1").socket(vec![]).send().expect(403);
    scene.call("GET", "/live").send().expect(403);
    for (method, upgrade) in [("POST", "websocket"), ("GET", "h2c"), ("GET", "websocket, h2c"), ("GET", "")] {
        let call = scene.call(method, "/live").header("upgrade", upgrade);
        assert_eq!(call.send().expect(400).error(), "invalid_request", "{method} {upgrade}");
    }
    scene.call("GET", "/live").socket(vec![]).body("x").send().expect(400);
    scene.call("WEBSOCKET", "/live").send().expect(405);
    assert_eq!(scene.passed(), 0);
    scene.call("GET", "/live").socket(vec![]).send().expect(101);
    let policy = |condition: &str| {
        let rule = r#"permit(principal, action == Action::"lease", resource == Connection::"chat") when"#;
        scene.hub().put_policy("lease", &format!("{rule} {{ {condition} }};"));
        scene.hub().clock.advance(5);
        scene.call("GET", "/live").socket(vec![]).send().status
    };
    assert_eq!(policy(r#"context has method && context.method == "GET""#), 403);
    assert_eq!(policy(r#"context has method && context.method == "WEBSOCKET""#), 101);
    // A service that does not agree answers as any other, and one that opens what was not asked for gives no answer.
    scene.flow(Flowing::new(426, b"no"));
    scene.call("GET", "/live").socket(vec![]).send().expect(426);
    scene.flow(Flowing::socket(says(&[(0, Message::Close(None, String::new()))])));
    policy("true");
    scene.call("GET", "/messages/1").send().expect(502);
}

#[test]
fn a_websocket_is_cut_within_the_freshness_bound_of_a_stop_and_is_bounded() {
    let scene = with_sockets();
    let ticks: Script = (1..60).map(|n| (n * 1_000, Some(worded(&n.to_string())))).collect();
    let hub = scene.hub();
    hub.fetch.flow(move |_| Flowing::socket(ticks.clone()));
    let calling: writ::ports::Pending<'_, Option<Reply>> = {
        let call = scene.call("GET", "/live").socket(vec![]).future();
        Box::pin(async move { Some(call.await) })
    };
    let acting: writ::ports::Pending<'_, Option<Reply>> = Box::pin(async {
        hub.clock.sleep(10_000).await;
        Some(hub.admin("POST", &format!("clients/{}/suspend", scene.agent)).future().await)
    });
    let replies = hub.together(1, vec![calling, acting]);
    let reply = replies.into_iter().flatten().find(|reply| reply.status == 101).unwrap();
    let heard: Vec<&str> = reply.text.lines().collect();
    assert!((10..=17).contains(&heard.len()), "{heard:?}");
    assert_eq!(heard.last(), Some(&"close 1008 invalid_token"));
    assert_eq!(scene.event("proxy.called")["reason"], "InvalidToken");

    let ends = |service: Script, caller: Script| {
        let scene = with_sockets();
        scene.flow(Flowing::socket(service));
        let reply = scene.call("GET", "/live").socket(caller).send().expect(101);
        let reason = scene.event("proxy.called")["reason"].as_str().unwrap_or_default().to_owned();
        (reply.text.lines().last().unwrap_or_default().to_owned(), reason)
    };
    let large = || worded(&"x".repeat(MAX_MESSAGE + 1));
    let end = |close: &str, reason: &str| (close.to_owned(), reason.to_owned());
    assert_eq!(ends(says(&[(1, large())]), vec![]), end("close 1011 temporarily_unavailable", "ProviderFailed"));
    assert_eq!(ends(vec![], says(&[(1, large())])), end("close 1009 invalid_request", "BodyTooLarge"));
    let full = || (0..33).map(|n| (n, Some(worded(&"x".repeat(MAX_MESSAGE))))).collect();
    assert_eq!(ends(vec![], full()).1, "BodyTooLarge");
    assert_eq!(ends(full(), vec![]).1, "ProviderFailed");
    assert_eq!(ends(vec![(1, None)], vec![]), end("close 1011 temporarily_unavailable", "ProviderFailed"));
    assert_eq!(ends(vec![], vec![(1, None)]).1, "CallerGone");
    assert_eq!(ends(vec![], says(&[(1, Message::Close(Some(1_000), String::new()))])).1, "");
    assert_eq!(ends(vec![], vec![]), end("close 1011 temporarily_unavailable", "ProviderTimeout"));
}

#[test]
fn what_is_not_allowed_any_more_once_the_credential_is_there_does_not_leave() {
    for (what, expected) in [("allow", 403), ("base_url", 400), ("nothing", 200)] {
        let scene = Scene::new();
        let hub = scene.hub();
        scene.accounts.due();
        let token = {
            let browser = Browser::new(hub);
            let api = format!("{}/connections", hub.issuer("main"));
            let query = authorization(&scene.agent, &[("scope", "connections:use"), ("resource", &api)]);
            let code = browser.code(&query, &["connections:use"]);
            let form = [
                ("grant_type", "authorization_code"),
                ("client_id", &*scene.agent),
                ("code", &*code),
                ("code_verifier", VERIFIER),
                ("redirect_uri", CALLBACK),
            ];
            hub.call("POST", "/t/main/token").form(&form).send().access_token()
        };
        scene.accounts.service.delay_millis.set(2_000);
        let present = hub.admin("GET", "connections/chat").send();
        let (etag, mut config) = (present.header("etag").unwrap().to_owned(), present.json()["config"].clone());
        match what {
            "allow" => config["allow"] = json!([{"methods": ["GET"], "path": "/search"}]),
            "base_url" => config["service"]["proxy"]["base_url"] = json!("https://other.example/api"),
            _ => {}
        }
        let body = json!({"kind": "oauth2", "config": config, "secret": {"client_secret": CLIENT_SECRET}});
        let change = hub.admin("PUT", "connections/chat").header("if-match", &etag).json(&body);
        let call = hub.call("GET", &format!("{PROXY}/messages/1")).bearer(&token);
        let reply = accounts::meanwhile(hub, call, 1_000, async || {
            if what != "nothing" {
                change.future().await.expect(200);
            }
        });
        assert_eq!(reply.status, expected, "{what}: {reply:?}");
        assert_eq!(scene.passed(), usize::from(what == "nothing"), "{what}");
    }
}

#[test]
fn a_fault_after_a_call_has_left_is_told_all_the_same() {
    let scene = Scene::new();
    scene.flow(Flowing::new(200, b"late").after(25_000));
    let hub = scene.hub();
    let reply = accounts::meanwhile(hub, scene.call("GET", "/messages/1"), 5_000, async || {
        hub.faults.fail_when(Port::Db, |call| call.text.contains("FROM tenants"), crate::support::Effect::Fails);
    });
    hub.faults.heal();
    assert_eq!((reply.status, scene.passed()), (503, 1), "{reply:?}");
    let called = scene.event("proxy.called");
    assert_eq!(
        (&called["reason"], &called["request_id"]),
        (&json!("Unchecked"), &scene.event("proxy.started")["request_id"])
    );
    assert!((5_000..=10_000).contains(&called["millis"].as_u64().unwrap()), "{called}");
}

#[test]
fn a_wait_for_an_answer_is_decided_about_at_its_own_moment() {
    let scene = Scene::new();
    let until = scene.hub().clock.seconds() + 10;
    let policy = format!(
        r#"permit(principal, action == Action::"lease", resource == Connection::"chat") when {{ context.now < {until} }};"#
    );
    scene.hub().put_policy("lease", &policy);
    scene.hub().clock.advance(5);
    scene.flow(Flowing::new(200, b"late").after(25_000));
    let reply = scene.call("GET", "/messages/1").send();
    assert_eq!((reply.status, scene.passed()), (403, 1), "{reply:?}");
    let called = scene.event("proxy.called");
    assert_eq!(called["reason"], "LeaseDenied");
    assert!(called["millis"].as_u64().unwrap() <= 8_000, "{called}");
}

#[test]
fn a_stream_is_cut_once_its_account_gives_no_tokens_any_more() {
    type Stop = fn(&Setup, &str, (&Credentials, &str));
    let stops: [(&str, Stop); 5] = [
        ("disconnected", |hub, account, _| drop(hub.admin("DELETE", account).send().expect(204))),
        ("suspended", |hub, account, _| drop(hub.admin("POST", &format!("{account}/suspend")).send().expect(200))),
        ("refused by the service", |hub, _, (server, token)| {
            hub.db.execute("UPDATE connected_accounts SET expires_at = 0");
            hub.fetch.answer(|_| Scripted::json(400, json!({"error": "invalid_grant"})));
            let call = hub.call("POST", "/t/main/connections/chat/token").basic(server);
            accounts::url(&call.form(&[("subject_token", token)]).on(&hub.isolate()).send());
        }),
        ("for another client", |hub, _, _| {
            let present = hub.admin("GET", "connections/chat").send();
            let (etag, mut config) = (present.header("etag").unwrap().to_owned(), present.json()["config"].clone());
            config["client_id"] = json!("another");
            let body = json!({"kind": "oauth2", "config": config, "secret": {"client_secret": "another"}});
            hub.admin("PUT", "connections/chat").header("if-match", &etag).json(&body).send().expect(200);
        }),
        ("led elsewhere", |hub, _, _| {
            hub.db.execute(
                "UPDATE connections SET version = version + 1, config = replace(config, 'chat.example/api', 'other.example/api')",
            );
            hub.admin("POST", "connections/chat/suspend").send().expect(200);
            hub.admin("POST", "connections/chat/resume").send().expect(200);
        }),
    ];
    for (what, stop) in stops {
        let scene = Scene::new();
        let id = scene.hub().db.query("SELECT id FROM connected_accounts WHERE tenant = 'main'")[0]["id"].clone();
        let account = format!("connections/chat/accounts/{}", id.as_str().unwrap());
        let (server, token) = (scene.accounts.server.clone(), scene.for_server.clone());
        let (pieces, event) = stopped(&scene, move |hub| stop(hub, &account, (&server, &token)));
        assert!((9..=16).contains(&pieces), "{what}: {pieces}");
        assert_eq!(event["reason"], "LeaseDenied", "{what}: {event}");
    }
}

#[test]
fn a_caller_that_does_not_read_holds_no_call_open_beyond_a_stop_nor_beyond_the_bound() {
    let scene = Scene::new();
    scene.flow(ticks());
    let hub = scene.hub();
    let call = scene.call("GET", "/messages/1").reading_no_more_after(3);
    let reply = accounts::meanwhile(hub, call, 10_000, async || {
        hub.admin("POST", &format!("clients/{}/suspend", scene.agent)).future().await.expect(200);
    });
    assert!(reply.cut && reply.text.matches("data: ").count() == 3, "{reply:?}");
    let called = scene.event("proxy.called");
    assert_eq!(called["reason"], "InvalidToken");
    assert!(called["millis"].as_u64().unwrap() <= 17_000, "{called}");
    assert_eq!(hub.fetch.dropped.get(), 1, "the service hears of it");

    let scene = Scene::new();
    scene.flow(ticks());
    assert!(scene.call("GET", "/messages/1").reading_no_more_after(1).send().cut);
    let called = scene.event("proxy.called");
    assert_eq!(called["reason"], "ProviderTimeout");
    assert!((900_000..905_000).contains(&called["millis"].as_u64().unwrap()), "{called}");
}

#[test]
fn a_key_in_the_place_of_a_user_name_does_not_come_back() {
    let hub = Setup::new();
    let api = format!("{}/connections", hub.issuer("main"));
    let agent = hub.create_client(json!({"allowed_resources": [api]}));
    hub.put_policy("lease", r#"permit(principal, action == Action::"lease", resource);"#);
    let key = "freshdesk-key-canary";
    let config = json!({
        "service": "freshdesk", "settings": {"domain": "mycompany"}, "allow": [{"methods": ["GET"], "path": "/agents/me"}],
    });
    let body = json!({"kind": "basic", "config": config, "secret": {"username": key, "password": "X"}});
    hub.admin("PUT", "connections/desk").json(&body).send().expect(201);
    hub.fetch.flow(|passed| {
        let header = passed.header("authorization").unwrap();
        Flowing::new(200, format!("{header} freshdesk-key-canary").as_bytes())
    });
    let token = hub.token(&agent, &[]).access_token();
    let reply = hub.call("GET", "/t/main/connections/desk/proxy/agents/me").bearer(&token).send().expect(200);
    assert!(reply.text.starts_with("Basic ***") && !reply.text.contains("canary"), "{reply:?}");
    assert_eq!(hub.fetch.passed().len(), 1);
}

#[test]
fn messages_of_a_websocket_are_bounded_in_number() {
    let scene = with_sockets();
    let many = || (0..140_000).map(|_| (0, Some(worded("")))).collect::<Script>();
    scene.flow(Flowing::socket(many()));
    let reply = scene.call("GET", "/live").socket(vec![]).send().expect(101);
    let heard = reply.text.lines().count();
    assert!((100_000..140_000).contains(&heard), "{heard}");
    assert_eq!(scene.event("proxy.called")["reason"], "ProviderFailed");
    scene.flow(Flowing::socket(vec![]));
    scene.call("GET", "/live").socket(many()).send().expect(101);
    assert_eq!(scene.event("proxy.called")["reason"], "BodyTooLarge");
}

#[test]
fn a_call_that_has_left_is_told_though_a_person_has_to_be_asked_by_now() {
    let scene = Scene::new();
    let hub = scene.hub();
    let lease = r#"permit(principal, action == Action::"lease", resource == Connection::"chat");"#;
    let asks = format!("@require(\"approval\")\n{lease}");
    hub.put_policy("lease", &asks);
    hub.clock.advance(5);
    assert_eq!(scene.call("GET", "/messages/1").send().error(), "authorization_pending");
    hub.put_policy("lease", lease);
    hub.clock.advance(5);
    scene.flow(Flowing::new(200, b"late").after(25_000));
    let reply = accounts::meanwhile(hub, scene.call("GET", "/messages/1"), 3_000, async || {
        hub.put_policy("lease", &asks);
    });
    assert_eq!((reply.error().as_str(), scene.passed()), ("authorization_pending", 1), "{reply:?}");
    let [started, called] = ["proxy.started", "proxy.called"].map(|kind| scene.event(kind));
    assert_eq!((&called["reason"], &called["request_id"]), (&json!("ApprovalPending"), &started["request_id"]));
}
