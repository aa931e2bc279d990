//! `/t/{tenant}/authorize`: from a request to a code, and from the code to tokens that last.

use crate::support::browser::{
    Browser, CALLBACK, DEVELOPMENT, VERIFIER, action, authorization, field, location, parameter,
};
use crate::support::call::decode;
use crate::support::hub::RESOURCE;
use crate::support::{Effect, Port, Reply, Setup};
use serde_json::{Value, json};
use writ::error::Reason;

/// A hub with the resource, and a policy that permits everybody all of it.
pub fn hub() -> Setup {
    permitting(Setup::with(&[DEVELOPMENT]))
}

/// The hub, with the resource and a policy that permits everybody all of it.
pub fn permitting(hub: Setup) -> Setup {
    hub.create_resource(json!({}));
    hub.put_policy(
        "all",
        &format!(r#"permit(principal, action == Action::"issue", resource in Resource::"{RESOURCE}");"#),
    );
    hub
}

pub fn client(hub: &Setup) -> String {
    let metadata = json!({
        "client_name": "Notes app",
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
        "redirect_uris": [CALLBACK],
    });
    let made = hub.admin("POST", "clients").json(&metadata).send().expect(201).json();
    made["client_id"].as_str().unwrap().to_owned()
}

pub fn redeem(hub: &Setup, client: &str, code: &str) -> Reply {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
    ];
    hub.call("POST", "/t/main/token").form(&form).send()
}

pub fn refresh(hub: &Setup, client: &str, token: &str, more: &[(&str, &str)]) -> Reply {
    let form = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
    hub.call("POST", "/t/main/token").form(&form.iter().chain(more).copied().collect::<Vec<_>>()).send()
}

pub fn text(reply: &Reply, name: &str) -> String {
    reply.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {reply:?}")).to_owned()
}

#[test]
fn a_person_signs_in_allows_and_the_client_gets_tokens_that_last() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let query = authorization(&client, &[("scope", "mcp:read openid profile"), ("resource", RESOURCE), ("nonce", "n")]);
    let page = browser.get(&format!("/t/main/authorize?{query}")).expect(200);
    assert!(page.text.contains("Notes app"), "{page:?}");
    let asked = browser.sign_in(&page).expect(200);
    for shown in ["Notes app", "client.example", "Ada Demo", "mcp:read"] {
        assert!(asked.text.contains(shown), "{shown}: {}", asked.text);
    }
    let back = browser.decide(&asked, &["mcp:read", "openid", "profile"]).expect(303);
    assert!(location(&back).starts_with(CALLBACK));
    assert_eq!(parameter(&back, "state").unwrap(), "a state");
    assert_eq!(parameter(&back, "iss").unwrap(), hub.issuer("main"));
    let tokens = redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
    assert_eq!(text(&tokens, "scope"), "mcp:read openid profile");
    let (_, id) = decode(&text(&tokens, "id_token"));
    assert_eq!(
        (id["aud"].as_str(), id["nonce"].as_str(), id["name"].as_str()),
        (Some(&*client), Some("n"), Some("Ada Demo"))
    );
    let info = hub.call("GET", "/t/main/userinfo").bearer(&tokens.access_token()).send().expect(200).json();
    assert_eq!((&info["name"], &info["email"], &info["sub"]), (&json!("Ada Demo"), &Value::Null, &id["sub"]));

    let again = refresh(&hub, &client, &text(&tokens, "refresh_token"), &[]).expect(200);
    assert_ne!(text(&again, "refresh_token"), text(&tokens, "refresh_token"));
    assert_eq!(text(&again, "scope"), "mcp:read openid profile");
    // Connecting again asks nothing.
    let query = authorization(&client, &[("scope", "mcp:read"), ("resource", RESOURCE)]);
    let back = browser.get(&format!("/t/main/authorize?{query}")).expect(303);
    assert!(parameter(&back, "code").is_some(), "{back:?}");
}

/// A request that is refused for that reason.
pub fn provoke(reason: Reason) -> Reply {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let ask = |more: &[(&str, &str)]| browser.get(&format!("/t/main/authorize?{}", authorization(&client, more)));
    let page = || browser.sign_in(&ask(&[]));
    let token = |form: &[(&str, &str)]| {
        let form: Vec<_> = [("client_id", &*client)].into_iter().chain(form.iter().copied()).collect();
        hub.call("POST", "/t/main/token").form(&form).send()
    };
    let refresh_token =
        || text(&redeem(&hub, &client, &browser.code(&authorization(&client, &[]), &["mcp:read"])), "refresh_token");
    match reason {
        Reason::UnknownClient => ask(&[("client_id", "nobody")]),
        Reason::UnknownRedirectUri => ask(&[("redirect_uri", "https://evil.example/callback")]),
        Reason::UnsupportedResponseType => ask(&[("response_type", "token")]),
        Reason::MissingResponseType => ask(&[("response_type", "")]),
        Reason::UnsupportedResponseMode => ask(&[("response_mode", "fragment")]),
        Reason::UnsupportedRequestObject => ask(&[("request", "x.y.z")]),
        Reason::UnsupportedAuthorizationDetails => ask(&[("authorization_details", "[{\"type\":\"x\"}]")]),
        Reason::MalformedAuthorizationDetails => ask(&[("authorization_details", "[]")]),
        Reason::MissingChallenge => ask(&[("code_challenge_method", "plain")]),
        Reason::MalformedPrompt => ask(&[("prompt", "none login")]),
        Reason::MalformedThumbprint => ask(&[("dpop_jkt", "x")]),
        Reason::RequestTooLarge => ask(&[("state", &"s".repeat(4097))]),
        Reason::CodesNotAllowed => {
            let metadata = json!({"redirect_uris": [CALLBACK], "allowed_resources": [RESOURCE]});
            ask(&[("client_id", &hub.create_client(metadata).client_id)])
        }
        Reason::LoginRequired => ask(&[("prompt", "none")]),
        Reason::ConsentRequired => {
            page();
            ask(&[("prompt", "none")])
        }
        Reason::ConsentDenied => browser.decide(&page(), &[]),
        Reason::NothingChosen => browser.decide_for(&page(), &[], &[("decision", "allow")]),
        Reason::ConsentChanged => {
            let page = page();
            // Another window was first: the guard changes nothing.
            hub.db.execute("CREATE TRIGGER first BEFORE INSERT ON consents BEGIN SELECT RAISE(IGNORE); END");
            browser.decide(&page, &["mcp:read"])
        }
        Reason::FormExpired => browser.post("/t/main/authorize/01kexxxxxxxxxxxxxxxxxxxxxx", &[]),
        Reason::CrossOrigin => {
            hub.call("POST", "/t/main/sign-in").header("origin", "https://evil.example").form(&[]).send()
        }
        Reason::NoSuchProvider => browser.post("/t/main/sign-in", &[("provider", "nobody")]),
        Reason::AccountStopped => {
            page();
            let user = hub.db.query("SELECT id FROM users WHERE tenant = 'main'")[0]["id"].as_str().unwrap().to_owned();
            hub.admin("POST", &format!("users/{user}/suspend")).send().expect(200);
            browser.forget("main");
            browser.post("/t/main/sign-in", &[("provider", "demo")])
        }
        Reason::MissingCode => token(&[("grant_type", "authorization_code")]),
        Reason::InvalidCode => token(&[("grant_type", "authorization_code"), ("code", "x")]),
        Reason::MissingRefreshToken => token(&[("grant_type", "refresh_token")]),
        Reason::InvalidRefreshToken => token(&[("grant_type", "refresh_token"), ("refresh_token", "x")]),
        Reason::OtherResource => refresh(&hub, &client, &refresh_token(), &[("resource", "https://other.example/")]),
        Reason::AuthorizationDetailsBeyondConsent => {
            refresh(&hub, &client, &refresh_token(), &[("authorization_details", "[{\"type\":\"x\"}]")])
        }
        Reason::ScopeBeyondConsent => refresh(&hub, &client, &refresh_token(), &[("scope", "mcp:write")]),
        other => panic!("{other:?} is not provoked here"),
    }
}

#[test]
fn a_state_of_four_kilobytes_comes_back_byte_for_byte_and_a_longer_one_is_refused() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let state = "s?&=%20 ü".repeat(409);
    let page = browser.get(&format!("/t/main/authorize?{}", authorization(&client, &[("state", &state)]))).expect(200);
    let back = browser.decide(&browser.sign_in(&page), &["mcp:read"]).expect(303);
    assert_eq!(parameter(&back, "state").as_deref(), Some(&*state));
    assert_eq!(provoke(Reason::RequestTooLarge).status, 303);
}

#[test]
fn only_lines_that_were_on_the_page_and_are_possible_are_granted() {
    let hub = hub();
    hub.put_policy(
        "no-write",
        r#"forbid(principal, action == Action::"issue", resource) when { resource.name == "mcp:write" };"#,
    );
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let page =
        browser.get(&format!("/t/main/authorize?{}", authorization(&client, &[("scope", "mcp:read mcp:write")])));
    let page = browser.sign_in(&page).expect(200);
    assert!(
        page.text.contains("mcp:write") && page.text.contains("forbids it"),
        "what is not possible is shown: {}",
        page.text
    );
    let back = browser.decide(&page, &["mcp:read", "mcp:write", "admin", "openid"]).expect(303);
    let tokens = redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
    assert_eq!(text(&tokens, "scope"), "mcp:read");
    let lines = hub.db.query("SELECT lines FROM consents WHERE tenant = 'main'");
    assert!(!lines[0]["lines"].as_str().unwrap().contains("write"), "{lines:?}");
}

#[test]
fn a_form_counts_only_in_the_browser_and_the_session_that_it_was_shown_in() {
    let hub = hub();
    let (client, one, other) = (client(&hub), Browser::new(&hub), Browser::new(&hub));
    let shown = |browser: &Browser<'_>| {
        browser.sign_in(&browser.get(&format!("/t/main/authorize?{}", authorization(&client, &[]))))
    };
    let (page, others) = (shown(&one), shown(&other));
    let fields = |page: &Reply| {
        [("tag", field(page, "tag")), ("decision", "allow".to_owned()), ("scope", "mcp:read".to_owned())]
    };
    let send = |browser: &Browser<'_>, to: &str, fields: [(&str, String); 3]| {
        browser.post(to, &fields.each_ref().map(|(name, value)| (*name, value.as_str())))
    };
    // Approved in one browser, finished in the other; and the tag of another session, or of another request.
    assert_eq!(send(&other, &action(&page), fields(&page)).status, 400);
    assert_eq!(send(&one, &action(&page), fields(&others)).status, 400);
    let second = one.get(&format!("/t/main/authorize?{}", authorization(&client, &[])));
    assert_eq!(send(&one, &action(&page), fields(&second)).status, 400);
    // A page of another site, or one that does not say whose it is.
    for origin in [Some("https://evil.example"), Some("null"), None] {
        let pairs = fields(&page);
        let call =
            hub.call("POST", &action(&page)).form(&pairs.each_ref().map(|(name, value)| (*name, value.as_str())));
        let call = origin.into_iter().fold(call, |call, origin| call.header("origin", origin));
        assert_eq!(one.send(call).status, 403, "{origin:?}");
    }
    assert!(hub.db.query("SELECT id FROM consents").is_empty() && hub.db.query("SELECT id FROM codes").is_empty());
    assert_eq!(send(&one, &action(&page), fields(&page)).status, 303);
    // The request is used up.
    assert_eq!(send(&one, &action(&page), fields(&page)).status, 400);
}

#[test]
fn a_person_who_was_stopped_has_no_session_and_gets_none() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let query = authorization(&client, &[]);
    browser.code(&query, &["mcp:read"]);
    let user = hub.db.query("SELECT id FROM users WHERE tenant = 'main'")[0]["id"].as_str().unwrap().to_owned();
    hub.admin("POST", &format!("users/{user}/suspend")).send().expect(200);
    let page = browser.get(&format!("/t/main/authorize?{query}")).expect(200);
    assert!(page.text.contains("name=\"provider\""), "{}", page.text);
    assert_eq!(browser.post("/t/main/sign-in", &[("provider", "demo")]).status, 403);
}

#[test]
fn a_line_that_policy_does_not_permit_now_is_not_forgotten_by_a_decision_about_others() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let query = |scope: &str| authorization(&client, &[("scope", scope)]);
    let tokens =
        redeem(&hub, &client, &browser.code(&query("mcp:read mcp:write"), &["mcp:read", "mcp:write"])).expect(200);
    hub.put_policy(
        "no-write",
        r#"forbid(principal, action == Action::"issue", resource) when { resource.name == "mcp:write" };"#,
    );
    hub.clock.advance(6);
    let page = browser.get(&format!("/t/main/authorize?{}", query("mcp:read mcp:write openid"))).expect(200);
    browser.decide(&page, &["mcp:read", "openid"]).expect(303);
    hub.admin("DELETE", "policies/no-write").send().expect(204);
    hub.clock.advance(6);
    let refreshed = refresh(&hub, &client, &text(&tokens, "refresh_token"), &[]).expect(200);
    assert_eq!(text(&refreshed, "scope"), "mcp:read mcp:write");
}

#[test]
fn a_claim_about_the_person_that_is_new_is_asked_for_and_one_that_was_refused_is_not_given() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    browser.code(&authorization(&client, &[("scope", "mcp:read openid")]), &["mcp:read", "openid"]);
    let asked =
        browser.get(&format!("/t/main/authorize?{}", authorization(&client, &[("scope", "mcp:read openid email")])));
    let back = browser.decide(&asked.expect(200), &["mcp:read", "openid"]).expect(303);
    let tokens = redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
    assert_eq!(text(&tokens, "scope"), "mcp:read openid");
}

#[test]
fn a_client_that_is_not_to_stay_connected_gets_no_refresh_token() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let query = authorization(&client, &[("scope", "mcp:read offline_access")]);
    let code = |scopes: &[&str]| redeem(&hub, &client, &browser.code(&query, scopes)).expect(200).json();
    assert_eq!(code(&["mcp:read"])["refresh_token"], Value::Null);
    assert!(code(&["mcp:read", "offline_access"])["refresh_token"].is_string());
    // What is allowed this time brings none either, whatever the client asks for.
    let other = self::client(&hub);
    let page =
        browser.get(&format!("/t/main/authorize?{}", authorization(&other, &[("scope", "mcp:read")]))).expect(200);
    let back = browser.decide_for(&page, &["mcp:read"], &[("decision", "allow"), ("duration", "once")]).expect(303);
    assert_eq!(
        redeem(&hub, &other, &parameter(&back, "code").unwrap()).expect(200).json()["refresh_token"],
        Value::Null
    );
    assert!(hub.db.query("SELECT id FROM consents WHERE client = (SELECT max(id) FROM clients)").is_empty());
}

#[test]
fn a_line_that_is_not_ticked_any_more_is_taken_back_with_the_tokens_that_have_it() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let query = authorization(&client, &[("scope", "mcp:read mcp:write"), ("prompt", "consent")]);
    let tokens = redeem(&hub, &client, &browser.code(&query, &["mcp:read", "mcp:write"])).expect(200);
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let active = || {
        let call = hub.call("POST", "/t/main/introspect").basic(&server).form(&[("token", &tokens.access_token())]);
        call.send().expect(200).json()["active"] == true
    };
    assert!(active());
    let second = redeem(&hub, &client, &browser.code(&query, &["mcp:read"])).expect(200);
    assert_eq!(text(&second, "scope"), "mcp:read");
    assert!(!active());
    assert_eq!(text(&refresh(&hub, &client, &text(&tokens, "refresh_token"), &[]).expect(200), "scope"), "mcp:read");
}

#[test]
fn of_two_step_ups_at_once_none_overwrites_the_other() {
    for seed in 0..20 {
        let hub = hub();
        let (client, browser) = (client(&hub), Browser::new(&hub));
        let query = |scope: &str| authorization(&client, &[("scope", scope)]);
        browser.code(&query("openid mcp:read"), &["openid", "mcp:read"]);
        let pages = ["mcp:read mcp:write", "mcp:read profile"]
            .map(|scope| browser.get(&format!("/t/main/authorize?{}", query(scope))));
        let decide = |page: &Reply, new: &str| {
            let form = [
                ("tag", &*field(page, "tag")),
                ("decision", "allow"),
                ("duration", "month"),
                ("scope", "mcp:read"),
                ("scope", new),
            ];
            let call =
                hub.call("POST", &action(page)).header("origin", hub.origin()).header("cookie", &browser.cookies());
            call.form(&form).future()
        };
        let replies = hub.together(seed, vec![decide(&pages[0], "mcp:write"), decide(&pages[1], "profile")]);
        let lines =
            hub.db.query("SELECT lines FROM consents WHERE tenant = 'main'")[0]["lines"].as_str().unwrap().to_owned();
        for (reply, new) in replies.iter().zip(["mcp:write", "profile"]) {
            assert!(matches!(reply.status, 303 | 409), "{seed}: {reply:?}");
            assert_eq!(reply.status == 303, lines.contains(new), "{seed}: {lines}");
        }
    }
}

#[test]
fn a_request_without_resource_means_the_one_that_has_its_scope() {
    let hub = hub();
    let scope = |name: &str| json!({"name": name, "description": name});
    let other = json!({"resource": "https://other.example/mcp", "name": "Other", "scopes": [scope("other:read")]});
    hub.create_resource(other);
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let tokens = redeem(&hub, &client, &browser.code(&authorization(&client, &[("scope", "mcp:read")]), &["mcp:read"]))
        .expect(200);
    assert_eq!(decode(&tokens.access_token()).1["aud"], RESOURCE);
    let refused = browser.get(&format!("/t/main/authorize?{}", authorization(&client, &[]))).expect(303);
    assert_eq!(parameter(&refused, "error").as_deref(), Some("invalid_target"));
}

#[test]
fn what_is_allowed_about_the_person_ends_when_it_is_taken_back_or_was_for_this_time() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let query = authorization(&client, &[("scope", "mcp:read openid email")]);
    let page = browser.sign_in(&browser.get(&format!("/t/main/authorize?{query}")).expect(200)).expect(200);
    let more = [("decision", "allow"), ("duration", "month"), ("for email", "once")];
    let back = browser.decide_for(&page, &["mcp:read", "openid", "email"], &more).expect(303);
    let tokens = redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
    assert_eq!(text(&tokens, "scope"), "mcp:read openid email");
    let second = refresh(&hub, &client, &text(&tokens, "refresh_token"), &[]).expect(200);
    assert_eq!(text(&second, "scope"), "mcp:read openid");
    let page = browser.get(&format!("/t/main/authorize?{query}&prompt=consent")).expect(200);
    browser.decide(&page, &["mcp:read"]).expect(303);
    let third = refresh(&hub, &client, &text(&second, "refresh_token"), &[]).expect(200);
    assert_eq!((text(&third, "scope"), third.json().get("id_token").is_some()), ("mcp:read".to_owned(), false));
}

#[test]
fn a_token_has_no_more_than_was_asked_for_unless_the_person_has_just_allowed_more() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let query = |scope: &str| authorization(&client, &[("scope", scope)]);
    let scope = |code: &str| text(&redeem(&hub, &client, code).expect(200), "scope");
    let first = redeem(&hub, &client, &browser.code(&query("mcp:read"), &["mcp:read"])).expect(200);
    assert_eq!(scope(&browser.code(&query("mcp:write"), &["mcp:write"])), "mcp:read mcp:write", "a step-up is a union");
    assert_eq!(scope(&browser.code(&query("mcp:read"), &[])), "mcp:read");
    // What another installation of the client was allowed is none of this one's.
    assert_eq!(text(&refresh(&hub, &client, &text(&first, "refresh_token"), &[]).expect(200), "scope"), "mcp:read");
}

#[test]
fn a_line_that_is_allowed_already_keeps_its_end_unless_its_own_field_says_otherwise() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let page = |scope: &str| browser.get(&format!("/t/main/authorize?{}", authorization(&client, &[("scope", scope)])));
    let until = || {
        let lines: Value = serde_json::from_str(
            hub.db.query("SELECT lines FROM consents WHERE tenant = 'main'")[0]["lines"].as_str().unwrap(),
        )
        .unwrap();
        lines
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["until"].as_u64().map(|at| at - hub.clock.seconds()))
            .collect::<Vec<_>>()
    };
    let first = browser.sign_in(&page("mcp:read"));
    browser.decide_for(&first, &["mcp:read"], &[("decision", "allow"), ("duration", "hour")]).expect(303);
    let second = page("mcp:read mcp:write").expect(200);
    browser.decide_for(&second, &["mcp:read", "mcp:write"], &[("decision", "allow"), ("duration", "open")]).expect(303);
    assert_eq!(until(), [Some(3_600), None]);
    let third = page("mcp:read mcp:write openid").expect(200);
    // The page says until when.
    for said in ["You have allowed this before, until <time", "You have allowed this before, until taken back"] {
        assert!(third.text.contains(said), "{said}: {}", third.text);
    }
    let more = [("decision", "allow"), ("duration", "once"), ("for mcp:read", "day")];
    browser.decide_for(&third, &["mcp:read", "mcp:write", "openid"], &more).expect(303);
    assert_eq!(until(), [None, Some(86_400)]);
}

/// The page for a request, where the person is signed in.
fn page(browser: &Browser<'_>, client: &str, more: &[(&str, &str)]) -> Reply {
    browser.get(&format!("/t/main/authorize?{}", authorization(client, more))).expect(200)
}

const ALLOW: [(&str, &str); 2] = [("decision", "allow"), ("duration", "month")];

fn rows(hub: &Setup, table: &str) -> usize {
    hub.db.query(&format!("SELECT 1 FROM {table} WHERE tenant = 'main'")).len()
}

#[test]
fn what_was_asked_for_and_what_was_allowed_or_refused_is_in_the_event() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let asked = [("scope", "mcp:read mcp:write"), ("resource", RESOURCE)];
    let shown = browser.sign_in(&page(&browser, &client, &asked)).expect(200);
    browser.decide(&shown, &["mcp:read"]).expect(303);
    let consent = hub.db.query("SELECT id, user FROM consents WHERE tenant = 'main'").pop().unwrap();
    let granted = hub.events_of("consent.granted").pop().unwrap();
    let expected = json!({
        "client": client, "client_name": "Notes app", "subject": consent["user"], "resource": RESOURCE,
        "scope_asked": "mcp:read mcp:write", "scope_given": "mcp:read", "target": consent["id"], "detail": "client.example",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&granted[name], value, "{name}");
    }
    browser.decide(&page(&browser, &client, &asked), &[]).expect(303);
    let refused = hub.events_of("consent.refused").pop().unwrap();
    let expected = json!({
        "client": client, "subject": consent["user"], "resource": RESOURCE, "scope_asked": "mcp:read mcp:write",
        "scope_given": null,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&refused[name], value, "{name}");
    }
}

#[test]
fn who_refuses_in_one_window_what_was_allowed_in_another_meanwhile_is_believed() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let one = browser.sign_in(&page(&browser, &client, &[("scope", "mcp:read")])).expect(200);
    let other = page(&browser, &client, &[("scope", "mcp:read")]);
    let allowed = browser.decide(&other, &["mcp:read"]).expect(303);
    let refused = browser.decide(&one, &[]).expect(303);
    assert_eq!(parameter(&refused, "error").as_deref(), Some("access_denied"));
    assert_eq!((parameter(&refused, "code"), rows(&hub, "codes")), (None, 1));
    assert_eq!(hub.events_of("consent.refused").len(), 1);
    // What the other window has allowed stands.
    redeem(&hub, &client, &parameter(&allowed, "code").unwrap()).expect(200);
}

#[test]
fn a_decision_that_fails_takes_no_line_back_and_one_that_holds_takes_it_back_as_two_events() {
    for withdraws in [false, true] {
        let hub = hub();
        let (client, browser) = (client(&hub), Browser::new(&hub));
        let asked = [("scope", "mcp:read mcp:write"), ("prompt", "consent")];
        let both = ["mcp:read", "mcp:write"];
        let tokens = redeem(&hub, &client, &browser.code(&authorization(&client, &asked), &both)).expect(200);
        let server = super::introspection::Server::new(&hub, RESOURCE);
        let consent = || hub.db.query("SELECT id, lines, version FROM consents WHERE tenant = 'main'");
        let told = |kind: &str| hub.events_of(kind).len();
        let before = (consent(), rows(&hub, "codes"), told("consent.granted"));
        // One line is not ticked any more; or the only one that is, is for this time.
        let more: &[(&str, &str)] = match withdraws {
            false => &ALLOW,
            true => &[ALLOW[0], ALLOW[1], ("for mcp:read", "once")],
        };
        let shown = page(&browser, &client, &asked);
        hub.faults.fail_when(Port::Db, |call| call.text.contains("INTO codes"), Effect::Fails);
        browser.decide_for(&shown, &["mcp:read"], more).expect(503);
        hub.faults.heal();
        assert_eq!((consent(), rows(&hub, "codes"), told("consent.granted")), before);
        assert!(server.is_active(&tokens.access_token()));
        let renewed = refresh(&hub, &client, &text(&tokens, "refresh_token"), &[]).expect(200);
        assert_eq!(text(&renewed, "scope"), "mcp:read mcp:write");

        let back = browser.decide_for(&shown, &["mcp:read"], more).expect(303);
        let kinds = ["consent.narrowed", "consent.withdrawn", "consent.granted"].map(told);
        assert_eq!(kinds, if withdraws { [0, 1, 2] } else { [1, 0, 2] });
        assert_eq!(consent().len(), usize::from(!withdraws));
        for old in [&tokens, &renewed] {
            assert!(!server.is_active(&old.access_token()));
        }
        let renewed = refresh(&hub, &client, &text(&renewed, "refresh_token"), &[]);
        match withdraws {
            false => assert_eq!(text(&renewed.expect(200), "scope"), "mcp:read"),
            true => assert_eq!(renewed.error(), "invalid_grant"),
        }
        let new = redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
        assert_eq!(text(&new, "scope"), "mcp:read");
        assert!(server.is_active(&new.access_token()));
    }
}

/// Suspends the only user of `main`.
fn suspend(hub: &Setup) -> crate::support::hub::Call<'_> {
    let user = hub.db.query("SELECT id FROM users WHERE tenant = 'main'")[0]["id"].as_str().unwrap().to_owned();
    hub.admin("POST", &format!("users/{user}/suspend"))
}

#[test]
fn a_person_who_is_suspended_while_deciding_leaves_no_consent_and_no_code() {
    for duration in ["month", "once"] {
        let hub = hub();
        let (client, browser) = (client(&hub), Browser::new(&hub));
        let shown = browser.sign_in(&page(&browser, &client, &[])).expect(200);
        // The isolate remembers the person as active.
        suspend(&hub).on(&hub.isolate()).send().expect(200);
        browser.decide_for(&shown, &["mcp:read"], &[ALLOW[0], ("duration", duration)]).expect(409);
        assert_eq!((rows(&hub, "consents"), rows(&hub, "codes")), (0, 0), "{duration}");
    }
    // What was allowed before gives no code either.
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    browser.code(&authorization(&client, &[]), &["mcp:read"]);
    suspend(&hub).on(&hub.isolate()).send().expect(200);
    browser.get(&format!("/t/main/authorize?{}", authorization(&client, &[]))).expect(409);
    assert_eq!(rows(&hub, "codes"), 1);
}

#[test]
fn of_a_decision_and_a_suspension_at_once_the_decision_is_first_or_nothing_is_left_of_it() {
    let mut outcomes = std::collections::BTreeMap::<u16, u32>::new();
    for seed in 0..40 {
        let hub = hub();
        let (client, browser) = (client(&hub), Browser::new(&hub));
        let shown = browser.sign_in(&page(&browser, &client, &[])).expect(200);
        let stop = suspend(&hub).on(&hub.isolate()).future();
        let replies = hub.together(seed, vec![browser.deciding(&shown, &["mcp:read"], &ALLOW).future(), stop]);
        replies[1].clone().expect(200);
        let reply = &replies[0];
        *outcomes.entry(reply.status).or_default() += 1;
        let left = usize::from(reply.status == 303);
        assert_eq!((rows(&hub, "consents"), rows(&hub, "codes")), (left, left), "{seed}: {reply:?}");
        assert_eq!(hub.events_of("consent.granted").len(), left, "{seed}");
        if let Some(code) = parameter(reply, "code") {
            hub.clock.advance(6);
            assert_eq!(redeem(&hub, &client, &code).error(), "invalid_grant", "{seed}");
        }
    }
    assert!(outcomes.len() > 1, "one of the two always came first: {outcomes:?}");
}

/// OpenID Connect Discovery §3.
#[test]
fn an_id_token_has_the_algorithm_that_metadata_names_whatever_access_tokens_are_signed_with() {
    for alg in ["ES256", "RS256"] {
        let hub = Setup::with(&[DEVELOPMENT]);
        hub.create_resource(json!({"token_signing_alg": alg}));
        hub.put_policy("all", r#"permit(principal, action == Action::"issue", resource);"#);
        let (client, browser) = (client(&hub), Browser::new(&hub));
        let query = authorization(&client, &[("scope", "mcp:read openid")]);
        let tokens = redeem(&hub, &client, &browser.code(&query, &["mcp:read", "openid"])).expect(200);
        assert_eq!(decode(&tokens.access_token()).0["alg"], alg);
        let header = decode(&text(&tokens, "id_token")).0;
        let metadata = hub.call("GET", "/t/main/.well-known/openid-configuration").send().expect(200).json();
        assert_eq!(metadata["id_token_signing_alg_values_supported"], json!([header["alg"]]), "{alg}");
        let keys = hub.call("GET", "/t/main/jwks.json").send().expect(200).json();
        let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
        assert_eq!(key["alg"], header["alg"]);
    }
}

#[test]
fn a_page_that_refuses_speaks_the_language_of_the_browser_where_a_person_can_do_something_about_it() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let ask = |more: &[(&str, &str)], language: &str| {
        let call = hub.call("GET", &format!("/t/main/authorize?{}", authorization(&client, more)));
        browser.send(call.header("accept-language", language))
    };
    let unknown = [("client_id", "nobody")];
    let german = ask(&unknown, "de-AT,de;q=0.9,en;q=0.8").expect(400);
    for part in
        ["<html lang=\"de\">", "Das hat nicht geklappt", "<p lang=\"de\">Die Anwendung (<code>client_id</code>)"]
    {
        assert!(german.text.contains(part), "{part}: {}", german.text);
    }
    assert!(!german.text.contains("names no application"), "{}", german.text);
    assert!(german.text.contains("verbinden Sie sie neu.</p>"), "a sentence ends: {}", german.text);
    assert!(german.text.contains("Gehen Sie zurück zur Anwendung"), "{}", german.text);
    let english = ask(&unknown, "en").expect(400);
    for part in ["<html lang=\"en\">", "<p lang=\"en\"><code>client_id</code> names no application"] {
        assert!(english.text.contains(part), "{part}: {}", english.text);
    }
    // The advice to go back is given only where an application has led to the page.
    let alone = browser.get("/t/main/invitation/nothing");
    assert!(alone.text.contains("<p lang=\"en\">This invitation") && alone.text.contains(".</p>"), "{}", alone.text);
    assert!(!alone.text.contains("Go back to the application"), "{}", alone.text);
    // What only a developer meets has no German text, and says so.
    let call = hub.call("DELETE", "/t/main/authorize").header("accept-language", "de");
    let developers = browser.send(call).expect(405);
    assert!(developers.text.contains("<html lang=\"de\">") && developers.text.contains("<p lang=\"en\">"));
    // A fault is told in German too.
    hub.faults.fail(Port::Db);
    let call = hub.call("GET", "/t/main/authorize").on(&hub.isolate()).header("accept-language", "de");
    assert!(browser.send(call).expect(503).text.contains("<p lang=\"de\">Versuchen Sie es gleich noch einmal"));
    hub.faults.heal();
    // So is what is wrong with a form whose page comes again.
    let shown = browser.sign_in(&ask(&[], "de"));
    let nothing = browser.deciding(&shown, &[], &[("decision", "allow")]).header("accept-language", "de").send();
    assert!(
        nothing.clone().expect(400).text.contains("role=\"alert\" lang=\"de\">Nichts ist angekreuzt"),
        "{}",
        nothing.text
    );
}
