//! Clients that are known by the document at their `client_id` (draft-ietf-oauth-client-id-metadata-document).

use crate::support::browser::{Browser, DEVELOPMENT, VERIFIER, authorization, location, parameter};
use crate::support::hub::RESOURCE;
use crate::support::{Reply, Scripted, Setup, Signer};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;
use writ::ports::{Alg, FetchError};

/// The client of these tests.
pub const CLIENT: &str = "https://app.example/oauth/client.json";
const CALLBACK: &str = "http://localhost:4711/callback";
/// The client in a path of the admin API.
const ENCODED: &str = "https%3A%2F%2Fapp.example%2Foauth%2Fclient.json";

/// What the document of a client says.
pub fn document() -> Value {
    json!({
        "client_id": CLIENT,
        "client_name": "Some app",
        "redirect_uris": ["http://localhost/callback", "https://app.example/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
}

/// The documents of others, which can change.
#[derive(Clone)]
struct Web(Rc<RefCell<Scripted>>);

impl Web {
    fn says(&self, scripted: Scripted) {
        *self.0.borrow_mut() = scripted;
    }

    fn document(&self, more: Value) {
        let mut whole = document();
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.says(Scripted::json(200, whole));
    }
}

/// A hub with the resource, on which everybody may have it, and the document of [`CLIENT`].
fn hub() -> (Setup, Web) {
    let hub = Setup::with(&[DEVELOPMENT]);
    hub.create_resource(json!({}));
    hub.put_policy(
        "all",
        &format!(r#"permit(principal, action == Action::"issue", resource in Resource::"{RESOURCE}");"#),
    );
    let web = Web(Rc::new(RefCell::new(Scripted::json(200, document()))));
    let served = web.clone();
    hub.fetch.answer(move |_| served.0.borrow().clone());
    (hub, web)
}

/// What the tenant says of clients that nobody registered.
pub fn set_rules(hub: &Setup, rules: Value) {
    let tenant = hub.admin("GET", "tenants/main").send().expect(200);
    let mut body = tenant.json();
    body["settings"]["registration"] = rules;
    let etag = tenant.header("etag").unwrap().to_owned();
    hub.admin("PUT", "tenants/main").header("if-match", &etag).json(&body).send().expect(200);
}

fn query(client: &str, more: &[(&str, &str)]) -> String {
    authorization(client, &[&[("redirect_uri", CALLBACK), ("scope", "mcp:read")], more].concat())
}

fn ask(browser: &Browser<'_>, client: &str, more: &[(&str, &str)]) -> Reply {
    browser.get(&format!("/t/main/authorize?{}", query(client, more)))
}

fn redeem(hub: &Setup, client: &str, code: &str, more: &[(&str, &str)]) -> Reply {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
    ];
    let all: Vec<_> = form.iter().chain(more).copied().filter(|(_, value)| *value != "-").collect();
    hub.call("POST", "/t/main/token").form(&all).send()
}

fn refresh(hub: &Setup, token: &str) -> Reply {
    let form = [("grant_type", "refresh_token"), ("client_id", CLIENT), ("refresh_token", token)];
    hub.call("POST", "/t/main/token").form(&form).send()
}

fn text(reply: &Reply, name: &str) -> String {
    reply.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {reply:?}")).to_owned()
}

fn clients(hub: &Setup) -> Vec<Value> {
    let rows = hub.db.query("SELECT id, version, registered_by, metadata FROM clients WHERE registration <> 'admin'");
    rows.into_iter().map(|row| json!(row)).collect()
}

#[test]
fn a_client_that_nobody_registered_connects_by_its_document_and_is_stored_once_it_is_let_in() {
    let (hub, _) = hub();
    let browser = Browser::new(&hub);
    let page = ask(&browser, CLIENT, &[]).expect(200);
    assert!(page.text.contains("Some app"), "{page:?}");
    let asked = browser.sign_in(&page).expect(200);
    // How it is known, where it returns to, and a warning: any program on this machine can listen there.
    for shown in ["Known by the document at", "<strong>app.example</strong>", "localhost", "p class=\"warn\""] {
        assert!(asked.text.contains(shown), "{shown}: {}", asked.text);
    }
    assert_eq!(clients(&hub), Vec::<Value>::new());
    let back = browser.decide(&asked, &["mcp:read"]).expect(303);
    assert!(location(&back).starts_with(CALLBACK), "{back:?}");
    let tokens = redeem(&hub, CLIENT, &parameter(&back, "code").unwrap(), &[]).expect(200);
    assert_eq!(text(&tokens, "scope"), "mcp:read");
    let (_, claims) = crate::support::call::decode(&tokens.access_token());
    assert_eq!(claims["client_id"], CLIENT);
    refresh(&hub, &text(&tokens, "refresh_token")).expect(200);

    // It is an agent in the directory like any other.
    let shown = hub.admin("GET", &format!("clients/{ENCODED}")).send().expect(200).json();
    assert_eq!((&shown["client_id"], &shown["registration"]), (&json!(CLIENT), &json!("metadata_document")));
    assert_eq!(shown["registered_by"], claims["sub"]);
    assert_eq!(hub.fetch.requests().len(), 1);
    let created = hub.events_of("client.created");
    let created = created.iter().find(|event| event["target"] == CLIENT).unwrap();
    let said = json!("metadata_document public none");
    assert_eq!((&created["detail"], &created["subject"]), (&said, &claims["sub"]));

    assert_eq!(hub.events_of("consent.granted")[0]["client_name"], "Some app");

    // Connecting again asks nothing, and killing it ends everything.
    ask(&browser, CLIENT, &[]).expect(303);
    hub.admin("POST", &format!("clients/{ENCODED}/kill")).send().expect(200);
    ask(&browser, CLIENT, &[]).expect(400);
    refresh(&hub, &text(&tokens, "refresh_token")).expect(401);
}

#[test]
fn each_installation_of_a_client_keeps_its_own_tokens() {
    let (hub, _) = hub();
    let (one, other) = (Browser::new(&hub), Browser::new(&hub));
    let connect = |browser: &Browser<'_>| {
        let code = browser.code(&query(CLIENT, &[]), &["mcp:read"]);
        text(&redeem(&hub, CLIENT, &code, &[]).expect(200), "refresh_token")
    };
    let (first, second) = (connect(&one), connect(&other));
    refresh(&hub, &first).expect(200);
    refresh(&hub, &second).expect(200);
}

#[test]
fn a_client_id_that_is_no_url_of_a_document_is_looked_up_and_fetched_nowhere() {
    let (hub, _) = hub();
    let browser = Browser::new(&hub);
    for bad in [
        "http://app.example/client.json",
        "http://localhost:9000/client.json",
        "https://app.example",
        "https://app.example/client.json#x",
        "https://app.example/a/../client.json",
        "https://app.example/a/%2e%2e/client.json",
        "https://u@app.example/client.json",
        "HTTPS://app.example/client.json",
        "client_01kexxxxxxxxxxxxxxxxxxxxxx",
    ] {
        let refused = ask(&browser, bad, &[]).expect(400);
        assert_eq!(refused.header("location"), None, "{bad}");
    }
    for special in [
        "https://127.0.0.1/c",
        "https://[::ffff:127.0.0.1]/c",
        "https://metadata.google.internal/c",
        "https://printer.local/c",
        "https://intranet/c",
        "https://app.example:8443/c",
    ] {
        ask(&browser, special, &[]).expect(400);
    }
    assert_eq!(hub.fetch.requests().len(), 0);
}

#[test]
fn a_document_on_this_machine_counts_in_development_alone() {
    let url = "http://localhost:9000/client.json";
    let served = json!({"client_id": url, "client_name": "Local", "redirect_uris": [CALLBACK]});
    let hub = Setup::with(&[DEVELOPMENT, ("DEV_OUTBOUND", "http://localhost:9000")]);
    hub.create_resource(json!({}));
    hub.fetch.answer(move |_| Scripted::json(200, served.clone()));
    let browser = Browser::new(&hub);
    assert!(ask(&browser, url, &[]).expect(200).text.contains("Local"));
    ask(&browser, "http://localhost:9001/client.json", &[]).expect(400);
    assert_eq!(hub.fetch.requests().len(), 1);
}

#[test]
fn what_clients_really_publish_is_taken() {
    let real = [
        json!({"client_id": CLIENT, "client_name": "Claude Code", "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
            "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"]}),
        json!({"client_id": CLIENT, "client_name": "Visual Studio Code", "client_uri": "https://code.example", "logo_uri": "https://code.example/x.png",
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"], "application_type": "native",
            "redirect_uris": ["http://127.0.0.1:33418/", "http://127.0.0.1/", "http://localhost/callback", "https://vscode.dev/redirect"], "response_types": ["code"]}),
        json!({"client_id": CLIENT, "client_name": "Cursor", "application_type": "web", "scope": "",
            "redirect_uris": ["cursor://anysphere.cursor-mcp/oauth/callback", "http://localhost/callback", "https://www.cursor.com/callback"]}),
        json!({"client_id": CLIENT, "client_name": "ChatGPT", "redirect_uris": ["https://chatgpt.com/connector_platform_oauth_redirect", "http://localhost/callback"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"], "application_type": 7, "unknown": {"a": [null]}, "contacts": null}),
    ];
    for document in real {
        let (hub, web) = hub();
        web.says(Scripted::answer(200, "application/json; charset=utf-8", document.to_string()));
        let page = ask(&Browser::new(&hub), CLIENT, &[]).expect(200);
        assert!(page.text.contains(document["client_name"].as_str().unwrap()), "{page:?}");
    }
}

#[test]
fn a_document_that_is_none_lets_nobody_in() {
    let key = Signer::new(Alg::Es256, 1);
    let secret = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]});
    for more in [
        json!({"client_id": "https://app.example/oauth/client.json/"}),
        json!({"client_id": "https://APP.example/oauth/client.json"}),
        json!({"client_id": null}),
        json!({"client_name": null}),
        json!({"client_name": "  "}),
        json!({"client_name": "x".repeat(201)}),
        json!({"client_name": "Bank\u{202e}ppa"}),
        json!({"client_name": ["a"]}),
        json!({"redirect_uris": null}),
        json!({"redirect_uris": []}),
        json!({"redirect_uris": [CALLBACK, "http://app.example/callback"]}),
        json!({"redirect_uris": [CALLBACK, "JaVaScRiPt:alert(1)"]}),
        json!({"redirect_uris": [CALLBACK, "\tjavascript:alert(1)"]}),
        json!({"redirect_uris": [CALLBACK, "java\nscript:alert(1)"]}),
        json!({"redirect_uris": [CALLBACK, "https://u@app.example/"]}),
        json!({"redirect_uris": vec![CALLBACK; 21]}),
        json!({"client_secret": "x"}),
        json!({"client_secret_expires_at": 0}),
        json!({"token_endpoint_auth_method": "client_secret_basic"}),
        json!({"token_endpoint_auth_method": "client_secret_jwt"}),
        json!({"token_endpoint_auth_method": "private_key_jwt"}),
        json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": secret}),
        json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": key.jwks("k"), "jwks_uri": "https://app.example/k"}),
        json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://127.0.0.1/k"}),
        json!({"grant_types": ["client_credentials"]}),
        json!({"response_types": ["token"]}),
    ] {
        let (hub, web) = hub();
        web.document(more.clone());
        let refused = ask(&Browser::new(&hub), CLIENT, &[]);
        assert!(refused.status == 400 && refused.text.contains("is not valid"), "{more}: {refused:?}");
        assert_eq!(refused.header("location"), None);
        assert_eq!(clients(&hub), Vec::<Value>::new());
    }
    let twice = document().to_string().replacen('{', &format!(r#"{{"client_id":"{CLIENT}","#), 1);
    let body = document().to_string();
    for says in [
        Scripted::answer(200, "application/json", twice),
        Scripted::answer(200, "application/json", "[]"),
        Scripted::answer(200, "application/json", body.clone() + " ".repeat(5 * 1024).as_str()),
        Scripted::answer(200, "text/html", body.clone()),
        Scripted::answer(201, "application/json", body.clone()),
        Scripted::answer(302, "application/json", body.clone()),
        Scripted::answer(404, "application/json", body.clone()),
        Scripted::answer(500, "application/json", body.clone()),
        Scripted::answer(200, "application/json", body).after(11_000),
        Scripted::failure(FetchError::TooLarge),
    ] {
        let (hub, web) = hub();
        web.says(says);
        ask(&Browser::new(&hub), CLIENT, &[]).expect(400);
        assert!(hub.fetch.requests().iter().all(|sent| sent.max_bytes == 5 * 1024 && sent.timeout_millis == 10_000));
    }
}

#[test]
fn a_redirect_that_the_document_does_not_list_is_refused_on_the_page() {
    let (hub, _) = hub();
    for bad in ["https://app.example/callback/", "https://app.example/other", "http://localhost:1/callback/../x"] {
        let refused = ask(&Browser::new(&hub), CLIENT, &[("redirect_uri", bad)]).expect(400);
        assert_eq!(refused.header("location"), None, "{bad}");
    }
}

#[test]
fn a_document_is_kept_as_long_as_it_says_within_bounds_and_a_failure_is_not_kept() {
    let fetched = |web: Scripted, seconds: u64| {
        let (hub, served) = hub();
        served.says(web);
        let browser = Browser::new(&hub);
        ask(&browser, CLIENT, &[]);
        hub.clock.advance(seconds);
        ask(&browser, CLIENT, &[]);
        hub.fetch.requests().len()
    };
    let kept = |header: &str| Scripted::json(200, document()).kept(header);
    for (web, seconds, times) in [
        (Scripted::json(200, document()), 299, 1),
        (Scripted::json(200, document()), 301, 2),
        (kept("max-age=1"), 299, 1),
        (kept("no-store, max-age=9000"), 301, 2),
        (kept("public, max-age=3600"), 3_599, 1),
        (kept("public, Max-Age=3600"), 3_601, 2),
        (kept("max-age=99999999"), 86_399, 1),
        (kept("max-age=99999999"), 86_401, 2),
        (Scripted::json(500, json!({})), 4, 1),
        (Scripted::json(500, json!({})), 6, 2),
        (Scripted::json(200, json!({})), 6, 2),
    ] {
        assert_eq!(fetched(web.clone(), seconds), times, "{seconds}");
    }
}

#[test]
fn a_thousand_requests_at_once_fetch_a_document_once() {
    let (hub, web) = hub();
    web.says(Scripted::json(200, document()).after(700));
    let path = format!("/t/main/authorize?{}", query(CLIENT, &[]));
    let replies = hub.together(3, (0..1_000).map(|_| hub.call("GET", &path).future()).collect());
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(hub.fetch.requests().len(), 1);
    assert_eq!(clients(&hub), Vec::<Value>::new());
}

#[test]
fn a_host_is_asked_for_so_many_documents_in_a_minute() {
    let (hub, _) = hub();
    let browser = Browser::new(&hub);
    let storm = |n: usize| ask(&browser, &format!("https://victim.example/{n}"), &[]);
    (0..50).for_each(|n| drop(storm(n).expect(400)));
    assert_eq!(hub.fetch.requests().len(), 20);
    ask(&browser, CLIENT, &[]).expect(200);
    hub.clock.advance(60);
    storm(50);
    assert_eq!(hub.fetch.requests().len(), 22);
}

#[test]
fn two_people_who_let_a_client_in_at_once_store_it_once() {
    for seed in 0..20 {
        let (hub, _) = hub();
        let page = |browser: &Browser<'_>| browser.sign_in(&ask(browser, CLIENT, &[]));
        let browsers = [Browser::new(&hub), Browser::new(&hub)];
        let pages: Vec<Reply> = browsers.iter().map(page).collect();
        let decide = |(browser, page): (&Browser<'_>, &Reply)| {
            let tag = crate::support::browser::field(page, "tag");
            let fields = [("scope", "mcp:read"), ("tag", &*tag), ("decision", "allow"), ("duration", "once")];
            let call = hub.call("POST", &crate::support::browser::action(page)).header("origin", hub.origin());
            call.header("cookie", &browser.cookies()).form(&fields).future()
        };
        let replies = hub.together(seed, browsers.iter().zip(&pages).map(decide).collect());
        assert!(replies.iter().all(|reply| reply.status == 303), "{replies:?}");
        assert_eq!(clients(&hub).len(), 1);
        let created = hub.events_of("client.created");
        assert_eq!(created.iter().filter(|event| event["target"] == CLIENT).count(), 1);
        for reply in replies {
            redeem(&hub, CLIENT, &parameter(&reply, "code").unwrap(), &[]).expect(200);
        }
    }
}

#[test]
fn a_client_beyond_the_quota_is_not_let_in_and_gets_no_code() {
    let (hub, _) = hub();
    let browser = Browser::new(&hub);
    let page = browser.sign_in(&ask(&browser, CLIENT, &[])).expect(200);
    crate::routes::quotas::set(&hub, "main", json!({"clients": 1}));
    let refused = browser.decide(&page, &["mcp:read"]).expect(409);
    assert!(refused.text.contains("A quota of this tenant is reached"), "{refused:?}");
    assert_eq!((clients(&hub).len(), hub.db.query("SELECT id FROM codes").len()), (0, 0));
    assert_eq!(hub.db.query("SELECT id FROM consents").len(), 0);
}

#[test]
fn a_stored_client_wins_over_a_document_and_an_administrator_keeps_the_last_word() {
    let (hub, web) = hub();
    let browser = Browser::new(&hub);
    browser.code(&query(CLIENT, &[]), &["mcp:read"]);
    let path = format!("clients/{ENCODED}");
    let shown = hub.admin("GET", &path).send().expect(200);
    let mut body = shown.json();
    body["tags"] = json!(["approved"]);
    body["owner"] = json!("ada@example.com");
    let etag = shown.header("etag").unwrap().to_owned();
    hub.admin("PUT", &path).header("if-match", &etag).json(&body).send().expect(200);
    hub.clock.advance(400);
    web.document(json!({"client_name": "Another name"}));
    let page = ask(&browser, CLIENT, &[]).expect(200);
    assert!(page.text.contains("Another name"), "asked again: {page:?}");
    let now = hub.admin("GET", &path).send().expect(200).json();
    assert_eq!((&now["client_name"], &now["owner"]), (&json!("Another name"), &json!("ada@example.com")));
    assert_eq!(now["tags"], json!(["approved"]));
    // Suspended, its document is not looked at.
    hub.admin("POST", &format!("{path}/suspend")).send().expect(200);
    hub.clock.advance(400);
    let fetched = hub.fetch.requests().len();
    ask(&browser, CLIENT, &[]).expect(400);
    assert_eq!(hub.fetch.requests().len(), fetched);
}

#[test]
fn a_document_with_other_redirects_or_keys_asks_people_again_and_is_an_event_that_shows_them() {
    let (hub, web) = hub();
    let browser = Browser::new(&hub);
    browser.code(&query(CLIENT, &[]), &["mcp:read"]);
    ask(&browser, CLIENT, &[]).expect(303);
    hub.clock.advance(301);
    web.document(json!({"redirect_uris": ["http://localhost/callback", "https://new.example/callback"]}));
    let page = ask(&browser, CLIENT, &[]).expect(200);
    let changed = hub.events_of("client.document_changed");
    assert_eq!((changed.len(), &changed[0]["target"]), (1, &json!(CLIENT)));
    let detail = changed[0]["detail"].as_str().unwrap();
    let shown = ["redirect_uris; redirect_uris:", "-https://app.example/callback", "+https://new.example/callback"];
    assert!(shown.iter().all(|shown| detail.contains(shown)), "{detail}");
    // What was let in anew is remembered anew.
    browser.decide(&page, &["mcp:read"]).expect(303);
    ask(&browser, CLIENT, &[]).expect(303);
    // An isolate that remembers the older document does not bring it back.
    let old = hub.isolate();
    hub.clock.advance(301);
    let stale = hub.call("GET", &format!("/t/main/authorize?{}", query(CLIENT, &[]))).on(&old).send();
    stale.expect(200);
    web.document(json!({"jwks_uri": "https://app.example/keys", "token_endpoint_auth_method": "private_key_jwt"}));
    hub.clock.advance(200);
    hub.restart();
    ask(&browser, CLIENT, &[]).expect(200);
    let versions = || clients(&hub)[0]["version"].clone();
    let version = versions();
    hub.call("GET", &format!("/t/main/authorize?{}", query(CLIENT, &[]))).on(&old).send().expect(200);
    assert_eq!(versions(), version);
    let changed = hub.events_of("client.document_changed");
    assert!(changed.last().unwrap()["detail"].as_str().unwrap().contains("keys: -none +https://app.example/keys"));
}

#[test]
fn while_a_document_cannot_be_fetched_the_stored_client_stands_and_one_that_is_not_valid_lets_nobody_in() {
    let (hub, web) = hub();
    let browser = Browser::new(&hub);
    browser.code(&query(CLIENT, &[]), &["mcp:read"]);
    hub.clock.advance(301);
    web.says(Scripted::failure(FetchError::Unreachable));
    ask(&browser, CLIENT, &[]).expect(303);
    hub.clock.advance(6);
    web.document(json!({"client_id": "https://other.example/c"}));
    ask(&browser, CLIENT, &[]).expect(400);
    ask(&browser, CLIENT, &[]).expect(400);
    hub.clock.advance(6);
    web.document(json!({}));
    ask(&browser, CLIENT, &[]).expect(303);
}

#[test]
fn a_client_with_keys_proves_itself_by_them_and_by_nothing_else() {
    let (hub, web) = hub();
    let key = Signer::new(Alg::Es256, 1);
    web.document(json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://app.example/keys"}));
    let (client, keys) = (web.clone(), key.jwks("k"));
    hub.fetch.answer(move |sent| match sent.url.ends_with("/keys") {
        true => Scripted::json(200, keys.clone()),
        false => client.0.borrow().clone(),
    });
    let code = || Browser::new(&hub).code(&query(CLIENT, &[]), &["mcp:read"]);
    redeem(&hub, CLIENT, &code(), &[]).expect(401);
    let now = hub.clock.now().seconds();
    let claims =
        json!({"iss": CLIENT, "sub": CLIENT, "aud": hub.issuer("main"), "iat": now, "exp": now + 60, "jti": "1"});
    let assertion = key.jwt(json!({"kid": "k"}), &claims);
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let proof = [("client_assertion_type", kind), ("client_assertion", &*assertion)];
    redeem(&hub, CLIENT, &code(), &proof).expect(200);
}

#[test]
fn a_key_that_a_document_has_taken_back_stops_counting_within_the_time_that_it_is_kept() {
    let (hub, web) = hub();
    let (old, new) = (Signer::new(Alg::Es256, 1), Signer::new(Alg::Es256, 2));
    let with = |key: &Signer| json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": key.jwks("k")});
    web.document(with(&old));
    let browser = Browser::new(&hub);
    let redeemed = |key: &Signer, jti: &str| {
        let code = browser.code(&query(CLIENT, &[]), &["mcp:read"]);
        let now = hub.clock.now().seconds();
        let claims =
            json!({"iss": CLIENT, "sub": CLIENT, "aud": hub.issuer("main"), "iat": now, "exp": now + 60, "jti": jti});
        let assertion = key.jwt(json!({"kid": "k"}), &claims);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        redeem(&hub, CLIENT, &code, &[("client_assertion_type", kind), ("client_assertion", &*assertion)])
    };
    let token = text(&redeemed(&old, "1").expect(200), "refresh_token");
    web.document(with(&new));
    let refreshed = |key: &Signer, jti: &str| {
        let now = hub.clock.now().seconds();
        let claims =
            json!({"iss": CLIENT, "sub": CLIENT, "aud": hub.issuer("main"), "iat": now, "exp": now + 60, "jti": jti});
        let assertion = key.jwt(json!({"kid": "k"}), &claims);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &*token),
            ("client_assertion_type", kind),
            ("client_assertion", &*assertion),
        ];
        hub.call("POST", "/t/main/token").form(&form).send()
    };
    hub.clock.advance(301);
    refreshed(&old, "2").expect(401);
    refreshed(&new, "3").expect(200);
}

#[test]
fn a_client_of_a_domain_that_is_denied_meanwhile_refreshes_nothing() {
    let (hub, _) = hub();
    let code = Browser::new(&hub).code(&query(CLIENT, &[]), &["mcp:read"]);
    let token = text(&redeem(&hub, CLIENT, &code, &[]).expect(200), "refresh_token");
    set_rules(&hub, json!({"domains_denied": ["app.example"]}));
    refresh(&hub, &token).expect(401);
    set_rules(&hub, json!({}));
    refresh(&hub, &token).expect(200);
}

#[test]
fn the_tenant_says_of_which_domains_clients_come() {
    let (hub, _) = hub();
    let browser = Browser::new(&hub);
    let metadata = || hub.call("GET", "/t/main/.well-known/oauth-authorization-server").send().json();
    assert_eq!(metadata()["client_id_metadata_document_supported"], true);
    assert!(metadata()["token_endpoint_auth_methods_supported"].as_array().unwrap().contains(&json!("none")));
    for (rules, status) in [
        (json!({"domains_denied": ["example"]}), 403),
        (json!({"domains_denied": ["other.example"]}), 200),
        (json!({"cimd": "allow_list"}), 403),
        (json!({"cimd": "allow_list", "domains_allowed": ["app.example"]}), 200),
        (json!({"cimd": "off", "domains_allowed": ["app.example"]}), 403),
    ] {
        set_rules(&hub, rules.clone());
        let fetched = hub.fetch.requests().len();
        let reply = ask(&browser, CLIENT, &[]).expect(status);
        assert!(status == 200 || hub.fetch.requests().len() == fetched, "{rules} {reply:?}");
        assert_eq!(metadata().get("client_id_metadata_document_supported").is_some(), rules["cimd"] != "off");
    }
    let wrong = json!({"cimd": "sometimes", "domains_denied": ["*.example"]});
    let tenant = hub.admin("GET", "tenants/main").send();
    let body = json!({"name": "main", "zone": "UTC", "settings": {"registration": wrong}});
    let etag = tenant.header("etag").unwrap().to_owned();
    hub.admin("PUT", "tenants/main").header("if-match", &etag).json(&body).send().expect(400);
}

#[test]
fn a_client_of_an_unknown_domain_asks_an_administrator_once_and_is_let_in_when_the_domain_is_allowed() {
    let (hub, web) = hub();
    set_rules(&hub, json!({"cimd": "approval"}));
    let browser = Browser::new(&hub);
    for _ in 0..3 {
        let refused = ask(&browser, CLIENT, &[]).expect(403);
        assert!(refused.text.contains("An administrator has been asked"), "{refused:?}");
    }
    let wanted = hub.events_of("client.approval_wanted");
    assert_eq!(wanted.len(), 1);
    assert_eq!((&wanted[0]["target"], &wanted[0]["detail"]), (&json!(CLIENT), &json!("app.example")));
    // Without a document, nobody is asked.
    web.says(Scripted::json(404, json!({})));
    ask(&browser, "https://noise.example/1", &[]).expect(400);
    assert_eq!(hub.events_of("client.approval_wanted").len(), 1);
    set_rules(&hub, json!({"cimd": "approval", "domains_allowed": ["app.example"]}));
    ask(&browser, CLIENT, &[]).expect(200);
}

#[test]
fn a_policy_may_forbid_a_registration_and_none_has_to_permit_it() {
    let (hub, _) = hub();
    let browser = Browser::new(&hub);
    ask(&browser, CLIENT, &[]).expect(200);
    hub.put_policy(
        "no",
        r#"forbid(principal, action == Action::"register", resource) when { principal.name like "Some*" };"#,
    );
    let refused = ask(&browser, CLIENT, &[]).expect(403);
    assert!(refused.text.contains("A policy forbids"), "{refused:?}");
}

#[test]
fn a_client_that_was_removed_and_comes_back_has_nothing_of_what_it_had() {
    let (hub, _) = hub();
    let browser = Browser::new(&hub);
    let code = browser.code(&query(CLIENT, &[]), &["mcp:read"]);
    let tokens = redeem(&hub, CLIENT, &code, &[]).expect(200);
    hub.clock.advance(10);
    hub.admin("DELETE", &format!("clients/{ENCODED}")).send().expect(204);
    // It is asked about anew.
    let page = ask(&browser, CLIENT, &[]).expect(200);
    browser.decide(&page, &["mcp:read"]).expect(303);
    refresh(&hub, &text(&tokens, "refresh_token")).expect(400);
    hub.call("GET", "/t/main/userinfo").bearer(&tokens.access_token()).send().expect(401);
}

#[test]
fn no_other_path_takes_a_name_with_a_slash_in_it() {
    let hub = Setup::new();
    for (path, status) in [
        (format!("clients/{ENCODED}"), 404),
        ("clients/..%2F..%2Fx".to_owned(), 404),
        ("clients/https%3A%2F%2Fa.example%2F..%2Fx".to_owned(), 404),
        (format!("resources/{ENCODED}"), 404),
        (format!("policies/{ENCODED}"), 404),
    ] {
        hub.admin("GET", &path).send().expect(status);
    }
    assert!(hub.admin("GET", &format!("resources/{ENCODED}")).send().text.contains("NoSuchPath"));
    assert!(hub.admin("GET", &format!("clients/{ENCODED}")).send().text.contains("no such record"));
}

#[test]
fn the_worker_lets_the_platform_guard_what_a_name_resolves_to() {
    let settings = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/wrangler.toml")).unwrap();
    assert!(settings.contains("global_fetch_strictly_public"));
}

#[test]
fn a_client_id_on_this_deployment_is_fetched_by_nobody() {
    let hub = super::authorize::permitting(Setup::new());
    hub.fetch.answer(|_| Scripted::json(200, document()));
    for own in ["https://id.example/x", "https://id.example/t/main/jwks.json", "https://id.example./x"] {
        let refused = ask(&Browser::new(&hub), own, &[]).expect(400);
        assert_eq!(refused.header("location"), None, "{own}");
    }
    assert_eq!(hub.fetch.requests().len(), 0);
    ask(&Browser::new(&hub), CLIENT, &[]).expect(200);
}

/// RFC 9126 §6.
#[test]
fn a_client_whose_document_asks_for_pushed_requests_connects_once_without_and_pushes_from_then_on() {
    let (hub, web) = hub();
    web.document(json!({"require_pushed_authorization_requests": true}));
    let browser = Browser::new(&hub);
    let push = || {
        let call = hub.call("POST", "/t/main/par").header("content-type", "application/x-www-form-urlencoded");
        call.body(query(CLIENT, &[])).send()
    };
    // Nobody has let it in yet.
    assert_eq!(push().expect(401).error(), "invalid_client");
    let page = browser.sign_in(&ask(&browser, CLIENT, &[]).expect(200)).expect(200);
    let back = browser.decide(&page, &["mcp:read"]).expect(303);
    redeem(&hub, CLIENT, &parameter(&back, "code").unwrap(), &[]).expect(200);
    // Now it is stored.
    let direct = ask(&browser, CLIENT, &[]).expect(303);
    assert_eq!((parameter(&direct, "error").as_deref(), parameter(&direct, "code")), (Some("invalid_request"), None));
    let uri = text(&push().expect(201), "request_uri");
    let pair = [("client_id", CLIENT), ("request_uri", &uri)];
    let named = form_urlencoded::Serializer::new(String::new()).extend_pairs(pair).finish();
    let back = browser.get(&format!("/t/main/authorize?{named}")).expect(303);
    redeem(&hub, CLIENT, &parameter(&back, "code").unwrap(), &[]).expect(200);
}

/// A client assertion of [`CLIENT`] by that key.
fn proof(hub: &Setup, key: &Signer, jti: &str) -> [(&'static str, String); 2] {
    let now = hub.clock.now().seconds();
    let claims =
        json!({"iss": CLIENT, "sub": CLIENT, "aud": hub.issuer("main"), "iat": now, "exp": now + 60, "jti": jti});
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    [("client_assertion_type", kind.to_owned()), ("client_assertion", key.jwt(json!({"kid": "k"}), &claims))]
}

#[test]
fn a_proved_client_of_a_domain_that_is_denied_is_refused_by_name_and_counted_against_nobody() {
    let (hub, web) = hub();
    let key = Signer::new(Alg::Es256, 1);
    web.document(json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": key.jwks("k")}));
    let code = Browser::new(&hub).code(&query(CLIENT, &[]), &["mcp:read"]);
    let proved = |jti: &str| proof(&hub, &key, jti);
    let redeemed = redeem(&hub, CLIENT, &code, &proved("0").each_ref().map(|(name, value)| (*name, value.as_str())));
    let token = text(&redeemed.expect(200), "refresh_token");
    set_rules(&hub, json!({"domains_denied": ["app.example"]}));
    let refreshed = |jti: &str| {
        let [kind, assertion] = proved(jti);
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &*token),
            (kind.0, &*kind.1),
            (assertion.0, &*assertion.1),
        ];
        hub.call("POST", "/t/main/token").form(&form).send()
    };
    let before = hub.events_of("token.refused").len();
    assert_eq!(refreshed("1").expect(401).error(), "invalid_client");
    let refused = hub.events_of("token.refused").split_off(before);
    assert_eq!(refused.len(), 1, "{refused:?}");
    let event = &refused[0];
    assert_eq!((&event["client"], &event["reason"]), (&json!(CLIENT), &json!("ClientNotActive")));
    assert_eq!(event["detail"], "its domain is not let in");
    (0..120).for_each(|n| drop(refreshed(&format!("again {n}")).expect(401)));
    assert!(hub.db.query("SELECT 1 FROM failures").is_empty());
    set_rules(&hub, json!({}));
    refreshed("2").expect(200);
}

/// docs/decisions.md 102. Whether an isolate hears of it does not depend on how many people had let the client in.
#[test]
fn a_client_that_was_removed_and_comes_back_gets_nothing_of_who_had_let_it_in_and_something_of_others() {
    for others in [0, 600] {
        let (hub, _) = hub();
        let (ada, bob) = (Browser::new(&hub), Browser::new(&hub));
        let made = hub.admin("POST", "users").json(&json!({"name": "Bob"})).send().expect(201).json();
        ada.post("/t/main/sign-in", &[("provider", "demo")]).expect(303);
        let [of_ada] = hub.db.query("SELECT id FROM sessions WHERE tenant = 'main'").try_into().unwrap();
        bob.post("/t/main/sign-in", &[("provider", "demo")]).expect(303);
        let id = of_ada["id"].as_str().unwrap();
        hub.db.execute(&format!("UPDATE sessions SET user = '{}' WHERE id <> '{id}'", made["id"].as_str().unwrap()));
        redeem(&hub, CLIENT, &ada.code(&query(CLIENT, &[]), &["mcp:read"]), &[]).expect(200);
        hub.db.execute(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= {others}) \
             INSERT INTO identities (tenant, id, place, client, subject, registered_by, created_at, updated_at) \
             SELECT 'main', 'a' || i, 1000 + i, '{CLIENT}', 'user_' || i, 'authorization_code', 1, 1 FROM n WHERE i <= {others}"
        ));
        let path = format!("clients/{ENCODED}");
        hub.admin("DELETE", &path).on(&hub.isolate()).send().expect(204);
        hub.clock.advance(6);
        let again = redeem(&hub, CLIENT, &ada.code(&query(CLIENT, &[]), &["mcp:read"]), &[]);
        assert_eq!(again.expect(400).error(), "invalid_grant", "{others}");
        let token = redeem(&hub, CLIENT, &bob.code(&query(CLIENT, &[]), &["mcp:read"]), &[]).expect(200).access_token();
        assert_eq!(crate::support::call::decode(&token).1["sub"], made["id"], "{others}");
    }
}
