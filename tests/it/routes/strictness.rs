//! What the authorization endpoint takes and what it refuses, and where a refusal goes.

use super::authorize::{client, hub, redeem, text};
use super::device::register;
use crate::support::browser::{Browser, CALLBACK, authorization, location, parameter};
use crate::support::hub::{RESOURCE, decode};
use crate::support::{Reply, Setup};
use serde_json::json;
use writ::crypto::b64;

const READ: [(&str, &str); 2] = [("scope", "mcp:read"), ("resource", RESOURCE)];
const MARK: &str = "a mark of this test";

fn ask(browser: &Browser<'_>, client: &str, more: &[(&str, &str)]) -> Reply {
    browser.get(&format!("/t/main/authorize?{}", authorization(client, more)))
}

/// How often `iss` is in the query of the response, and its value.
fn issuers(reply: &Reply) -> Vec<String> {
    let location = location(reply);
    let query = location.split_once('?').unwrap().1;
    form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "iss")
        .map(|(_, iss)| iss.into_owned())
        .collect()
}

#[test]
fn a_redirect_uri_is_one_of_the_registered_ones_byte_by_byte_or_nobody_is_redirected() {
    let hub = hub();
    let client = register(
        &hub,
        json!({
            "grant_types": ["authorization_code"], "application_type": "native",
            "redirect_uris": ["https://foo.example.com/cb", "http://127.0.0.1:8090/cb?x=1", "app.example:/cb"],
        }),
    );
    let browser = Browser::new(&hub);
    for good in ["https://foo.example.com/cb", "http://127.0.0.1:1/cb?x=1", "app.example:/cb"] {
        ask(&browser, &client, &[READ[0], READ[1], ("redirect_uri", good)]).expect(200);
    }
    for bad in [
        "",
        "https://foo.example.com/cb/",
        "https://foo.example.com/CB",
        "https://FOO.example.com/cb",
        "https://foo.example.com:443/cb",
        "https://foo.example.com/cb?",
        "https://foo.example.com/cb?a=b",
        "https://foo.example.com/cb#f",
        "https://foo.example.com/cb/..;/evil",
        "https://foo.example.com/x/../cb",
        "https://foo.example.com/%2e%2e/cb",
        "https://foo.example.com//cb",
        "https://foo.example.com\\cb",
        "https://fooaexample.com/cb",
        "https://foo.example.com@evil.example/cb",
        "https://foo.example.com.evil.example/cb",
        "http://foo.example.com/cb",
        "http://127.0.0.1:8090/cb",
        "http://127.0.0.1:8090%25@evil.example/cb?x=1",
        "http://127.0.0.1:8090@evil.example/cb?x=1",
        "http://127.0.0.1.evil.example:8090/cb?x=1",
        "http://127.0.0.1:65536000/cb?x=1",
        "http://localhost:8090/cb?x=1",
        "https://127.0.0.1:8090/cb?x=1",
        "JaVaScRiPt:alert(1)",
        "\tjavascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
    ] {
        let reply = ask(&browser, &client, &[READ[0], READ[1], ("redirect_uri", bad), ("state", MARK)]);
        assert!(reply.status == 400 && reply.header("location").is_none(), "{bad}: {reply:?}");
        assert!(!reply.text.contains(MARK) && !reply.text.contains("evil"), "{bad}: {reply:?}");
    }
    let stranger = ask(&browser, "nobody", &[("state", MARK)]).expect(400);
    assert!(stranger.header("location").is_none() && !stranger.text.contains(MARK));
}

#[test]
fn every_other_refusal_goes_to_the_client_by_303_with_its_state_and_one_iss() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let (short, odd) = ("a".repeat(42), format!("{}=", "a".repeat(42)));
    let state = format!("{} äöü&=+%\u{1f600}", "s".repeat(4_000));
    for (more, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", "id_token"), "unsupported_response_type"),
        (("response_type", "code id_token"), "unsupported_response_type"),
        (("response_type", "-"), "invalid_request"),
        (("code_challenge_method", "-"), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge_method", "S512"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge_method", "s256"), "invalid_request"),
        (("code_challenge", "-"), "invalid_request"),
        (("code_challenge", &short), "invalid_request"),
        (("code_challenge", &odd), "invalid_request"),
        (("code_challenge", &b64([0; 33])), "invalid_request"),
        (("resource", "https://unknown.example/"), "invalid_target"),
        (("resource", "/mcp"), "invalid_target"),
        (("resource", "https://mcp.example/mcp#f"), "invalid_target"),
        (("scope", "\""), "invalid_scope"),
        (("max_age", "-1"), "invalid_request"),
        (("max_age", "x"), "invalid_request"),
        (("prompt", "none"), "login_required"),
        (("request", "x"), "request_not_supported"),
        (("authorization_details", "[]"), "invalid_authorization_details"),
    ] {
        let reply = ask(&browser, &client, &[more, ("state", &state)]).expect(303);
        assert!(location(&reply).starts_with(CALLBACK), "{more:?}: {reply:?}");
        assert_eq!(parameter(&reply, "error").as_deref(), Some(error), "{more:?}");
        assert_eq!(parameter(&reply, "state").as_deref(), Some(&*state), "{more:?}");
        assert_eq!(issuers(&reply), [hub.issuer("main")], "{more:?}");
    }
}

#[test]
fn a_repeated_parameter_is_refused_whichever_it_is() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    for name in ["state", "scope", "response_type", "code_challenge", "code_challenge_method", "prompt", "nonce"] {
        let query = format!("{}&{name}=x&{name}=x", authorization(&client, &READ));
        let reply = browser.get(&format!("/t/main/authorize?{query}")).expect(303);
        assert_eq!(parameter(&reply, "error").as_deref(), Some("invalid_request"), "{name}");
    }
    // What tells where to answer is not known when it is said twice.
    for name in ["client_id", "redirect_uri"] {
        let query = format!("{}&{name}=https://evil.example", authorization(&client, &READ));
        let reply = browser.get(&format!("/t/main/authorize?{query}"));
        assert!(!reply.header("location").unwrap_or_default().contains("evil"), "{name}: {reply:?}");
        assert!(parameter(&reply, "code").is_none() && reply.status != 200, "{name}: {reply:?}");
    }
}

#[test]
fn a_request_by_post_is_the_same_and_its_response_is_a_303() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    browser.code(&authorization(&client, &READ), &["mcp:read"]);
    let call = hub.call("POST", "/t/main/authorize").header("content-type", "application/x-www-form-urlencoded");
    let reply = browser.send(call.body(authorization(&client, &READ))).expect(303);
    redeem(&hub, &client, &parameter(&reply, "code").unwrap()).expect(200);
    assert_eq!(issuers(&reply), [hub.issuer("main")]);
}

#[test]
fn what_is_unknown_in_a_scope_is_left_out_and_what_is_beyond_the_client_is_never_given() {
    let hub = hub();
    let metadata = json!({
        "grant_types": ["authorization_code"], "redirect_uris": [CALLBACK], "scope": "mcp:read",
    });
    let (client, browser) = (register(&hub, metadata), Browser::new(&hub));
    let query = authorization(&client, &[("scope", "mcp:read mcp:write mcp:unknown admin"), READ[1]]);
    let page = browser.sign_in(&browser.get(&format!("/t/main/authorize?{query}")).expect(200)).expect(200);
    assert!(!page.text.contains("mcp:write") && !page.text.contains("admin\""), "{page:?}");
    // A form that has more than the page gets no more than the page.
    let back = browser.decide(&page, &["mcp:read", "mcp:write", "mcp:unknown", "admin"]).expect(303);
    let tokens = redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
    assert_eq!(text(&tokens, "scope"), "mcp:read");
}

#[test]
fn a_request_that_names_only_scopes_that_the_resource_does_not_have_is_an_invalid_scope() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    // Nothing that is remembered stands in for it.
    browser.code(&authorization(&client, &READ), &["mcp:read"]);
    for scope in ["mcp:unknown", "mcp:unknown openid", "admin"] {
        let reply = ask(&browser, &client, &[("scope", scope), READ[1]]).expect(303);
        assert_eq!(parameter(&reply, "error").as_deref(), Some("invalid_scope"), "{scope}");
    }
    // A request that names scopes about the person alone, or none, means what the resource has.
    ask(&browser, &client, &[("scope", "openid"), READ[1]]).expect(200);
    ask(&browser, &client, &[READ[1]]).expect(303);
}

#[test]
fn the_first_consent_is_never_skipped_and_what_is_remembered_is_for_one_client_and_place() {
    let hub = hub();
    let two = json!({
        "grant_types": ["authorization_code"], "redirect_uris": [CALLBACK, "https://other.example/callback"],
    });
    let (one, other, browser) = (register(&hub, two), client(&hub), Browser::new(&hub));
    browser.code(&authorization(&one, &READ), &["mcp:read"]);
    let silent = |client: &str, more: (&str, &str)| {
        let reply = ask(&browser, client, &[READ[0], READ[1], ("prompt", "none"), more]).expect(303);
        parameter(&reply, "error").unwrap_or_default()
    };
    assert_eq!(silent(&one, ("nonce", "n")), "");
    assert_eq!(silent(&other, ("nonce", "n")), "consent_required");
    assert_eq!(silent(&one, ("redirect_uri", "https://other.example/callback")), "consent_required");
    let more = ask(&browser, &one, &[("scope", "mcp:read mcp:write"), READ[1], ("prompt", "none")]).expect(303);
    assert_eq!(parameter(&more, "error").as_deref(), Some("consent_required"));
}

#[test]
fn a_decision_made_in_one_browser_is_worth_nothing_in_another() {
    let hub = hub();
    let (client, rightful, thief) = (client(&hub), Browser::new(&hub), Browser::new(&hub));
    let page = rightful.sign_in(&ask(&rightful, &client, &READ)).expect(200);
    // The page of the one, sent by the other, who is signed in too.
    thief.sign_in(&ask(&thief, &client, &READ)).expect(200);
    thief.decide(&page, &["mcp:read"]).expect(400);
    // Nor is the request of the one under the session of the other.
    for pair in rightful.cookies().split("; ").filter(|pair| pair.contains("writ-request-")) {
        let (name, value) = pair.split_once('=').unwrap();
        thief.keep(name, value);
    }
    thief.decide(&page, &["mcp:read"]).expect(400);
    assert!(hub.db.query("SELECT 1 FROM codes").is_empty() && hub.db.query("SELECT 1 FROM consents").is_empty());
    rightful.decide(&page, &["mcp:read"]).expect(303);
}

#[test]
fn every_page_is_framed_by_nobody_runs_no_script_and_tells_others_no_referrer() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let sign_in = ask(&browser, &client, &READ);
    let pages = [
        browser.sign_in(&sign_in).expect(200),
        sign_in,
        ask(&browser, "nobody", &[]).expect(400),
        browser.get("/t/main/device").expect(200),
    ];
    for page in pages {
        let policy = page.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
        let headers = ["x-frame-options", "referrer-policy", "cache-control"].map(|name| page.header(name));
        assert_eq!(headers, [Some("DENY"), Some("same-origin"), Some("no-store")]);
        assert!(!page.text.contains("<script") && !page.text.contains("src="));
    }
}

#[test]
fn metadata_names_pkce_and_iss_and_the_other_ways_to_begin() {
    let hub = Setup::new();
    let document = hub.call("GET", "/t/main/.well-known/oauth-authorization-server").send().expect(200).json();
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
    let issuer = hub.issuer("main");
    for (name, path) in
        [("pushed_authorization_request_endpoint", "par"), ("device_authorization_endpoint", "device_authorization")]
    {
        assert_eq!(document[name], format!("{issuer}/{path}"));
        assert_eq!(hub.call("POST", &format!("/t/main/{path}")).form(&[]).send().status, 401);
    }
}

/// RFC 8707 §2; MCP, "Canonical Server URI".
#[test]
fn a_resource_may_be_spelt_as_clients_do_in_an_authorization_request_and_the_audience_is_the_registered_string() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    for spelling in [
        RESOURCE,
        "HTTPS://MCP.EXAMPLE/mcp",
        "https://mcp.example:443/mcp",
        "https://mcp.example/mcp/",
        "https://MCP.example/mcp",
    ] {
        let code = browser.code(&authorization(&client, &[READ[0], ("resource", spelling)]), &["mcp:read"]);
        let tokens = redeem(&hub, &client, &code).expect(200);
        assert_eq!(decode(&tokens.access_token()).1["aud"], RESOURCE, "{spelling}");
        let consents = hub.db.query("SELECT resource FROM consents WHERE tenant = 'main'");
        assert!(consents.len() == 1 && consents[0]["resource"] == RESOURCE, "{spelling}: {consents:?}");
    }
    // The path is another one.
    let other = ask(&browser, &client, &[READ[0], ("resource", "https://mcp.example/MCP")]).expect(303);
    assert_eq!(parameter(&other, "error").as_deref(), Some("invalid_target"));
}

#[test]
fn a_request_for_two_resources_is_an_invalid_target_with_its_state_and_one_iss() {
    let hub = hub();
    let other = "https://other.example/mcp";
    let scope = json!({"name": "other:read", "description": "other"});
    hub.create_resource(json!({"resource": other, "name": "Other", "scopes": [scope]}));
    let (client, browser) = (client(&hub), Browser::new(&hub));
    // Also where both are one: a token has one audience, and a request says it once.
    for second in [other, "https://unknown.example/", RESOURCE] {
        let query = authorization(&client, &[READ[0], ("resource", RESOURCE), ("resource", second)]);
        let reply = browser.get(&format!("/t/main/authorize?{query}")).expect(303);
        assert!(location(&reply).starts_with(CALLBACK), "{second}: {reply:?}");
        let told = ["error", "state", "code"].map(|name| parameter(&reply, name));
        assert_eq!(told, [Some("invalid_target".to_owned()), Some("a state".to_owned()), None], "{second}");
        assert_eq!(issuers(&reply), [hub.issuer("main")], "{second}");
    }
}

#[test]
fn no_page_can_be_read_by_another_origin_and_none_is_asked_about_before() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let origin = "https://evil.example";
    let from_there = |method: &str, path: &str| {
        let call = hub.call(method, path).header("origin", origin).header("access-control-request-method", "POST");
        browser.send(call)
    };
    let query = authorization(&client, &READ);
    let shown = browser.sign_in(&ask(&browser, &client, &READ)).expect(200);
    let decision = crate::support::browser::action(&shown);
    let paths = [
        "/t/main/authorize",
        &*decision,
        "/t/main/sign-in",
        "/t/main/sign-in/callback",
        "/t/main/sign-out",
        "/t/main/me",
        "/t/main/device",
        "/t/main/invitation/writ_iv_x",
    ];
    for path in paths {
        let mut replies = vec![from_there("OPTIONS", path).expect(405), from_there("POST", path)];
        replies.push(from_there("GET", path));
        for reply in replies {
            let exposed = reply.headers.iter().find(|(name, _)| name.starts_with("access-control-"));
            assert_eq!(exposed, None, "{path}: {reply:?}");
        }
    }
    // Nor can what a good request is answered with.
    for reply in [from_there("GET", &format!("/t/main/authorize?{query}")), from_there("GET", "/t/main/me")] {
        assert_eq!(reply.status, 200);
        assert!(!reply.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{reply:?}");
    }
}
