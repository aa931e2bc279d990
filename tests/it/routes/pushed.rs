//! `/t/{tenant}/par`: a client pushes its request, and the person comes with its name (RFC 9126). And how fresh a sign-in has to be.

use super::authorize::{hub, redeem, refresh, text};
use super::device::register;
use crate::support::browser::{Browser, CALLBACK, VERIFIER, authorization, parameter};
use crate::support::hub::RESOURCE;
use crate::support::{Effect, Port, Reply, Setup, Signer};
use serde_json::json;
use writ::ports::Alg;

fn client(hub: &Setup) -> String {
    register(hub, json!({"grant_types": ["authorization_code", "refresh_token"], "redirect_uris": [CALLBACK]}))
}

fn push(hub: &Setup, client: &str, more: &[(&str, &str)]) -> Reply {
    let query = authorization(client, more);
    let form: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    hub.call("POST", "/t/main/par").form(&form).send()
}

fn uri(reply: Reply) -> String {
    text(&reply.expect(201), "request_uri")
}

fn query(client: &str, uri: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs([("client_id", client), ("request_uri", uri)]).finish()
}

const READ: [(&str, &str); 2] = [("scope", "mcp:read"), ("resource", RESOURCE)];

#[test]
fn a_pushed_request_is_the_one_that_counts_whatever_else_the_person_brings_and_is_worth_one_code() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let uri = uri(push(&hub, &client, &READ));
    let query = format!("{}&redirect_uri=https://evil.example&state=other", query(&client, &uri));
    let page = browser.sign_in(&browser.get(&format!("/t/main/authorize?{query}")).expect(200));
    let back = browser.decide(&page, &["mcp:read"]).expect(303);
    assert_eq!(parameter(&back, "state").as_deref(), Some("a state"));
    redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
    // What was allowed is remembered, but the request had its code.
    let again = browser.get(&format!("/t/main/authorize?{query}")).expect(303);
    assert_eq!((parameter(&again, "error").as_deref(), parameter(&again, "code")), (Some("invalid_request_uri"), None));
    assert_eq!(parameter(&again, "state").as_deref(), Some("a state"));
}

#[test]
fn of_many_that_open_one_pushed_request_at_once_one_gets_a_code() {
    for seed in 0..20 {
        let hub = hub();
        let (client, browser) = (client(&hub), Browser::new(&hub));
        browser.code(&authorization(&client, &READ), &["mcp:read"]);
        let path = format!("/t/main/authorize?{}", query(&client, &uri(push(&hub, &client, &READ))));
        let calls = (0..8).map(|_| hub.call("GET", &path).header("cookie", &browser.cookies()).future());
        let replies = hub.together(seed, calls.collect());
        assert_eq!(replies.iter().filter(|reply| parameter(reply, "code").is_some()).count(), 1, "{replies:?}");
    }
}

#[test]
fn a_request_uri_is_for_its_client_its_tenant_and_ninety_seconds_and_no_bit_of_it_can_be_changed() {
    let hub = hub();
    let (client, other, browser) = (client(&hub), client(&hub), Browser::new(&hub));
    let uri = uri(push(&hub, &client, &READ));
    let go = |client: &str, uri: &str| browser.get(&format!("/t/main/authorize?{}", query(client, uri)));
    go(&other, &uri).expect(400);
    browser.get(&format!("/t/main/authorize?{}", &query("", &uri))).expect(400);
    hub.create_tenant("acme");
    browser.get(&format!("/t/acme/authorize?{}", query(&client, &uri))).expect(400);
    for at in (0..uri.len()).step_by(11) {
        let mut bytes = uri.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        for uri in [uri[..at].to_owned(), String::from_utf8(bytes).unwrap()] {
            let reply = go(&client, &uri);
            assert!(reply.status == 400 && reply.header("location").is_none() || uri.is_empty(), "{reply:?}");
        }
    }
    hub.clock.advance(89);
    go(&client, &uri).expect(200);
    hub.clock.advance(1);
    go(&client, &uri).expect(400);
}

#[test]
fn what_is_wrong_with_a_request_its_client_is_told_when_it_pushes() {
    let hub = hub();
    let client = client(&hub);
    for (more, error) in [
        (("redirect_uri", "https://evil.example/callback"), "invalid_request"),
        (("response_type", "token"), "unsupported_response_type"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge", "-"), "invalid_request"),
        (("resource", "https://unknown.example/"), "invalid_target"),
        (("request_uri", "urn:x"), "invalid_request"),
        (("dpop_jkt", "x"), "invalid_request"),
    ] {
        assert_eq!(push(&hub, &client, &[more]).expect(400).error(), error, "{more:?}");
    }
    assert_eq!(push(&hub, "nobody", &[]).expect(401).error(), "invalid_client");
    // A confidential client has to prove itself.
    let secret = hub.create_client(json!({"grant_types": ["authorization_code"], "redirect_uris": [CALLBACK]}));
    assert_eq!(push(&hub, &secret.client_id, &[]).expect(401).error(), "invalid_client");
    let before = hub.db.dump();
    push(&hub, &client, &READ).expect(201);
    assert_eq!(hub.db.dump(), before, "a stranger who pushes stores nothing");
}

#[test]
fn a_client_that_has_to_push_gets_no_code_for_a_request_that_it_did_not() {
    let hub = hub();
    let metadata = json!({
        "grant_types": ["authorization_code"], "redirect_uris": [CALLBACK], "require_pushed_authorization_requests": true,
    });
    let (client, browser) = (register(&hub, metadata), Browser::new(&hub));
    let direct = browser.get(&format!("/t/main/authorize?{}", authorization(&client, &READ))).expect(303);
    assert_eq!(parameter(&direct, "error").as_deref(), Some("invalid_request"));
    browser.code(&query(&client, &uri(push(&hub, &client, &READ))), &["mcp:read"]);
}

#[test]
fn a_proof_that_comes_with_a_pushed_request_binds_the_code_to_its_key() {
    let hub = hub();
    let (client, browser, key) = (client(&hub), Browser::new(&hub), Signer::new(Alg::Es256, 1));
    let proof = |key: &Signer, jti: &str, endpoint: &str| {
        let htu = format!("{}/{endpoint}", hub.issuer("main"));
        key.proof(&json!({"jti": jti, "htm": "POST", "htu": htu, "iat": hub.clock.seconds()}))
    };
    let query_of = |proof: &str| {
        let request = authorization(&client, &READ);
        let call = hub.call("POST", "/t/main/par").header("content-type", "application/x-www-form-urlencoded");
        call.body(request).header("dpop", proof).send()
    };
    assert_eq!(query_of(&proof(&key, "0", "token")).expect(400).error(), "invalid_dpop_proof");
    let code = browser.code(&query(&client, &uri(query_of(&proof(&key, "1", "par")))), &["mcp:read"]);
    redeem(&hub, &client, &code).expect(400);
    let form =
        [("grant_type", "authorization_code"), ("client_id", &*client), ("code", &*code), ("code_verifier", VERIFIER)];
    let with = |proof: &str| hub.call("POST", "/t/main/token").form(&form).header("dpop", proof).send();
    with(&proof(&Signer::new(Alg::Es256, 2), "2", "token")).expect(400);
    assert_eq!(text(&with(&proof(&key, "3", "token")).expect(200), "token_type"), "DPoP");
}

#[test]
fn a_sign_in_that_is_too_old_or_too_weak_is_asked_for_once_and_what_it_does_not_settle_the_client_is_told() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    browser.code(&authorization(&client, &READ), &["mcp:read"]);
    let ask = |more: (&str, &str)| {
        let query = authorization(&client, &[READ[0], READ[1], more]);
        browser.get(&format!("/t/main/authorize?{query}"))
    };
    let signs_in = |reply: &Reply| reply.text.contains("name=\"provider\"");
    hub.clock.advance(100);
    assert!(parameter(&ask(("max_age", "100")), "code").is_some());
    for more in [("max_age", "99"), ("max_age", "0"), ("prompt", "login"), ("prompt", "select_account")] {
        hub.clock.advance(100);
        let page = ask(more).expect(200);
        assert!(signs_in(&page), "{more:?}");
        let back = browser.sign_in(&page).expect(303);
        assert!(parameter(&back, "code").is_some(), "{more:?}: {back:?}");
    }
    hub.clock.advance(100);
    // The page is still open when the sign-in has become too old.
    let query = authorization(&client, &[("scope", "mcp:read mcp:write"), READ[1], ("max_age", "150")]);
    let page = browser.get(&format!("/t/main/authorize?{query}")).expect(200);
    hub.clock.advance(100);
    assert!(signs_in(&browser.decide(&page, &["mcp:write"])), "no code for a sign-in that is too old by now");
    // Nobody here signs in with that strength: one sign-in, and no second one.
    let page = ask(("acr_values", "phr phrh")).expect(200);
    assert!(signs_in(&page));
    let back = browser.sign_in(&page).expect(303);
    assert_eq!(parameter(&back, "error").as_deref(), Some("unmet_authentication_requirements"));
    assert_eq!(parameter(&back, "iss").as_deref(), Some(&*hub.issuer("main")));
    hub.db.execute("UPDATE sessions SET acr = 'phrh'");
    assert!(parameter(&ask(("acr_values", "phr phrh")), "code").is_some());
    let silent = authorization(&client, &[READ[0], READ[1], ("acr_values", "gold"), ("prompt", "none")]);
    let back = browser.get(&format!("/t/main/authorize?{silent}")).expect(303);
    assert_eq!(parameter(&back, "error").as_deref(), Some("login_required"));
}

/// A policy that permits everybody a scope soon after a sign-in.
pub fn after_a_sign_in(scope: &str) -> String {
    format!(
        r#"@require("step_up") permit(principal, action == Action::"issue", resource == Scope::"{RESOURCE} {scope}");"#
    )
}

#[test]
fn a_scope_that_needs_a_recent_sign_in_is_given_after_one_and_asked_for_again_when_it_is_named_later() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let read = format!(r#"permit(principal, action == Action::"issue", resource == Scope::"{RESOURCE} mcp:read");"#);
    hub.put_policy("all", &read);
    hub.put_policy("write", &after_a_sign_in("mcp:write"));
    let both = authorization(&client, &[("scope", "mcp:read mcp:write"), READ[1]]);
    let tokens = redeem(&hub, &client, &browser.code(&both, &["mcp:read", "mcp:write"])).expect(200);
    assert_eq!(text(&tokens, "scope"), "mcp:read mcp:write");
    hub.clock.advance(301);
    // What needs none stays; what needs one is told so.
    let again = refresh(&hub, &client, &text(&tokens, "refresh_token"), &[]).expect(200);
    assert_eq!(text(&again, "scope"), "mcp:read");
    let alone = refresh(&hub, &client, &text(&again, "refresh_token"), &[("scope", "mcp:write")]).expect(400);
    assert_eq!((alone.error().as_str(), &alone.json()["max_age"]), ("insufficient_user_authentication", &json!(300)));
    let code = |query: &str| parameter(&browser.get(&format!("/t/main/authorize?{query}")).expect(303), "code");
    assert!(code(&authorization(&client, &READ)).is_some());
    assert!(code(&format!("{both}&prompt=none")).is_none());
    let page = browser.get(&format!("/t/main/authorize?{both}")).expect(200);
    let back = browser.sign_in(&page).expect(303);
    let tokens = redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
    assert_eq!(text(&tokens, "scope"), "mcp:read mcp:write");
}

/// RFC 9470 §3.
#[test]
fn an_api_of_the_tenant_says_that_it_wants_a_sign_in_and_how_where_that_would_help() {
    let hub = hub();
    let api = format!("{}/connections", hub.issuer("main"));
    let metadata = json!({
        "grant_types": ["authorization_code", "refresh_token"], "redirect_uris": [CALLBACK], "allowed_resources": [RESOURCE, api],
    });
    let (client, browser) = (register(&hub, metadata), Browser::new(&hub));
    let query = authorization(&client, &[("scope", "connections:use"), ("resource", &api)]);
    let permit = "permit(principal, action, resource);";
    hub.put_policy("all", permit);
    let token = redeem(&hub, &client, &browser.code(&query, &["connections:use"])).expect(200).access_token();
    let call = || hub.call("GET", "/t/main/connections/none/proxy/x").bearer(&token).send();
    assert_ne!(call().error(), "insufficient_user_authentication");
    hub.put_policy("all", &format!("@require(\"step_up:acr=phr\") {permit}"));
    let told = call().expect(400);
    assert_eq!(
        (told.error().as_str(), &told.json()["acr_values"]),
        ("insufficient_user_authentication", &json!("phr"))
    );
    let challenge = told.header("www-authenticate").unwrap();
    assert!(challenge.contains("max_age=\"300\"") && challenge.contains("acr_values=\"phr\""), "{challenge}");
    // No sign-in helps a client that may not ask for the API any more.
    hub.db.execute(&format!("UPDATE clients SET metadata = json_set(metadata, '$.allowed_resources', json('[\"{RESOURCE}\"]')) WHERE id = '{client}'"));
    hub.restart();
    call().expect(403);
}

/// Where a person goes with a request that the client has just pushed.
fn pushed(hub: &Setup, client: &str, more: &[(&str, &str)]) -> String {
    format!("/t/main/authorize?{}", query(client, &uri(push(hub, client, more))))
}

const ALLOW: [(&str, &str); 2] = [("decision", "allow"), ("duration", "month")];

/// What came of a request that had its code: its client is told, and there is no other code.
#[track_caller]
fn is_over(reply: &Reply) {
    let told = (reply.status, parameter(reply, "error"), parameter(reply, "code"));
    assert_eq!(told, (303, Some("invalid_request_uri".to_owned()), None), "{reply:?}");
}

#[test]
fn a_pushed_request_whose_code_could_not_be_issued_is_answered_again_and_after_one_code_it_is_over() {
    let hub = hub();
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let fail = || hub.faults.fail_when(Port::Db, |call| call.text.contains("INTO codes"), Effect::Fails);
    // The person decides, in two windows.
    let path = pushed(&hub, &client, &READ);
    let one = browser.sign_in(&browser.get(&path).expect(200)).expect(200);
    let other = browser.get(&path).expect(200);
    fail();
    browser.decide(&one, &["mcp:read"]).expect(503);
    hub.faults.heal();
    assert!(hub.db.query("SELECT 1 FROM consents").is_empty());
    let back = browser.decide(&one, &["mcp:read"]).expect(303);
    redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
    for duration in ["month", "once"] {
        let more = [ALLOW[0], ("for mcp:read", duration)];
        is_over(&browser.deciding(&other, &["mcp:read"], &more).send());
    }
    // Another window has changed the consent, as far as this one can tell.
    let path = pushed(&hub, &client, &[("scope", "mcp:read mcp:write"), READ[1]]);
    let page = browser.get(&path).expect(200);
    hub.db.execute("CREATE TRIGGER first BEFORE UPDATE ON consents BEGIN SELECT RAISE(IGNORE); END");
    browser.decide(&page, &["mcp:read", "mcp:write"]).expect(409);
    hub.db.execute("DROP TRIGGER first");
    let back = browser.decide(&page, &["mcp:read", "mcp:write"]).expect(303);
    redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
    // Nothing is asked, for all of it was allowed before.
    let path = pushed(&hub, &client, &READ);
    fail();
    browser.get(&path).expect(503);
    hub.faults.heal();
    let back = browser.get(&path).expect(303);
    redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
    is_over(&browser.get(&path));
}

#[test]
fn of_two_pushed_requests_that_are_decided_at_once_the_one_that_comes_second_can_be_decided_again() {
    let mut beaten = 0;
    for seed in 0..20 {
        let hub = hub();
        let (client, browser) = (client(&hub), Browser::new(&hub));
        browser.code(&authorization(&client, &READ), &["mcp:read"]);
        let new = ["mcp:write", "openid"];
        let pages = new.map(|new| {
            let scope = format!("mcp:read {new}");
            browser.get(&pushed(&hub, &client, &[("scope", &scope), READ[1]])).expect(200)
        });
        let decide = |n: usize| browser.deciding(&pages[n], &["mcp:read", new[n]], &ALLOW);
        let replies = hub.together(seed, vec![decide(0).future(), decide(1).future()]);
        for (n, reply) in replies.into_iter().enumerate() {
            beaten += u32::from(reply.status == 409);
            let reply = if reply.status == 409 { decide(n).send() } else { reply };
            assert!(parameter(&reply, "code").is_some(), "{seed}: {reply:?}");
            is_over(&decide(n).send());
        }
    }
    assert!(beaten > 0, "none ever came second");
}

#[test]
fn of_many_decisions_about_one_pushed_request_at_once_one_gets_a_code() {
    for seed in 0..20 {
        let hub = hub();
        let (client, browser) = (client(&hub), Browser::new(&hub));
        let path = pushed(&hub, &client, &READ);
        browser.sign_in(&browser.get(&path).expect(200)).expect(200);
        let pages: Vec<Reply> = (0..3).map(|_| browser.get(&path).expect(200)).collect();
        let durations = ["month", "once", "hour"];
        let calls = pages.iter().zip(durations).map(|(page, duration)| {
            browser.deciding(page, &["mcp:read"], &[ALLOW[0], ("duration", duration)]).future()
        });
        let mut replies = hub.together(seed, calls.collect());
        let good = replies.iter().position(|reply| parameter(reply, "code").is_some()).expect("one counts");
        redeem(&hub, &client, &parameter(&replies.remove(good), "code").unwrap()).expect(200);
        replies.iter().for_each(is_over);
        assert_eq!(hub.events_of("consent.granted").len(), 1, "{seed}");
    }
}
