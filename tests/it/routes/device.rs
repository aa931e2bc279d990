//! `/t/{tenant}/device_authorization`, `/t/{tenant}/device`, and the grant: a device polls, a person decides on another one (RFC 8628).

use super::authorize::{hub, refresh, text};
use crate::support::browser::{Browser, CALLBACK, authorization, location};
use crate::support::hub::RESOURCE;
use crate::support::{Effect, Port, Reply, Setup};
use serde_json::{Value, json};
use writ::error::Reason;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A client that runs on devices.
pub fn client(hub: &Setup) -> String {
    register(hub, json!({"grant_types": [GRANT, "refresh_token"]}))
}

/// A public client with that metadata.
pub fn register(hub: &Setup, more: Value) -> String {
    let mut metadata = json!({"client_name": "A device", "token_endpoint_auth_method": "none"});
    metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = hub.admin("POST", "clients").json(&metadata).send().expect(201).json();
    made["client_id"].as_str().unwrap().to_owned()
}

fn start(hub: &Setup, client: &str) -> Reply {
    let form = [("client_id", client), ("scope", "mcp:read"), ("resource", RESOURCE)];
    hub.call("POST", "/t/main/device_authorization").form(&form).send()
}

fn poll(hub: &Setup, client: &str, code: &str) -> Reply {
    hub.call("POST", "/t/main/token").form(&form(client, code)).send()
}

fn form<'a>(client: &'a str, code: &'a str) -> [(&'a str, &'a str); 3] {
    [("grant_type", GRANT), ("client_id", client), ("device_code", code)]
}

/// A person enters a user code, and signs in if need be: the page on which the person decides, or what came instead.
fn enter(browser: &Browser<'_>, user_code: &str) -> Reply {
    let reply = browser.post("/t/main/device", &[("user_code", user_code)]);
    match reply.text.contains("name=\"provider\"") {
        true => browser.sign_in(&reply),
        false => reply,
    }
}

/// A hub with a client of devices, and what the device was told.
fn waiting() -> (Setup, String, Reply) {
    let hub = hub();
    let client = client(&hub);
    let started = start(&hub, &client).expect(200);
    (hub, client, started)
}

#[test]
fn a_device_polls_until_its_user_has_allowed_it_and_then_gets_tokens_that_last() {
    let (hub, client, started) = waiting();
    let (code, user_code) = (text(&started, "device_code"), text(&started, "user_code"));
    let uri = format!("{}/device", hub.issuer("main"));
    assert_eq!(started.json()["verification_uri"], uri);
    assert_eq!(started.json()["verification_uri_complete"], format!("{uri}?user_code={user_code}"));
    assert_eq!((&started.json()["expires_in"], &started.json()["interval"]), (&json!(600), &json!(5)));
    assert_eq!(poll(&hub, &client, &code).error(), "authorization_pending");

    let browser = Browser::new(&hub);
    let page = browser.get(&format!("/t/main/device?user_code={user_code}")).expect(200);
    assert!(page.text.contains(&user_code), "{page:?}");
    // As a person may write it.
    let asked = enter(&browser, &user_code.to_lowercase().replace('-', " ")).expect(200);
    for shown in ["A device", &user_code, "Ada Demo", "mcp:read"] {
        assert!(asked.text.contains(shown), "{shown}: {}", asked.text);
    }
    let done = browser.decide(&asked, &["mcp:read"]).expect(303);
    assert!(browser.get(&location(&done)).expect(200).text.contains("connected"));

    let tokens = poll(&hub, &client, &code).expect(200);
    assert_eq!(text(&tokens, "scope"), "mcp:read");
    let again = refresh(&hub, &client, &text(&tokens, "refresh_token"), &[]).expect(200);
    assert_eq!(text(&again, "scope"), "mcp:read");
    // It counts once, and a second poll takes nothing away.
    assert_eq!(poll(&hub, &client, &code).error(), "invalid_grant");
    refresh(&hub, &client, &text(&again, "refresh_token"), &[]).expect(200);
}

#[test]
fn a_person_who_refuses_is_believed_and_a_code_is_decided_once() {
    let (hub, client, started) = waiting();
    let (code, user_code) = (text(&started, "device_code"), text(&started, "user_code"));
    let (one, other) = (Browser::new(&hub), Browser::new(&hub));
    let (first, second) = (enter(&one, &user_code).expect(200), enter(&other, &user_code).expect(200));
    let done = one.decide(&first, &[]).expect(303);
    assert!(one.get(&location(&done)).expect(200).text.contains("refused"));
    other.decide(&second, &["mcp:read"]).expect(400);
    assert_eq!(poll(&hub, &client, &code).error(), "access_denied");
    assert!(hub.db.query("SELECT 1 FROM consents").is_empty() && hub.db.query("SELECT 1 FROM codes").is_empty());
    assert_eq!(hub.events_of("consent.refused").len(), 1);
}

#[test]
fn of_two_decisions_at_once_one_counts_and_nothing_of_the_other_is_left() {
    for seed in 0..30 {
        let (hub, client, started) = waiting();
        let (code, user_code) = (text(&started, "device_code"), text(&started, "user_code"));
        let (one, other) = (Browser::new(&hub), Browser::new(&hub));
        let pages = [(&one, enter(&one, &user_code).expect(200)), (&other, enter(&other, &user_code).expect(200))];
        let calls = pages.iter().zip(["allow", "deny"]).map(|((browser, page), decision)| {
            let tag = crate::support::browser::field(page, "tag");
            let fields = [("tag", tag.as_str()), ("decision", decision), ("duration", "month"), ("scope", "mcp:read")];
            let call = hub.call("POST", &crate::support::browser::action(page)).header("origin", hub.origin());
            call.form(&fields).header("cookie", &browser.cookies()).future()
        });
        let replies = hub.together(seed, calls.collect());
        let counted = replies.iter().filter(|reply| reply.status == 303).count();
        assert_eq!(counted, 1, "{replies:?}");
        let answer = poll(&hub, &client, &code);
        match replies[0].status {
            303 => drop(answer.expect(200)),
            _ => {
                assert_eq!(answer.error(), "access_denied");
                assert!(hub.db.query("SELECT 1 FROM consents").is_empty());
            }
        }
    }
}

#[test]
fn a_poll_that_comes_too_soon_adds_five_seconds_to_the_interval_and_one_in_time_is_neither_counted_nor_an_event() {
    let (hub, client, started) = waiting();
    let code = text(&started, "device_code");
    let after = |seconds| {
        hub.clock.advance(seconds);
        poll(&hub, &client, &code).error()
    };
    assert_eq!(after(0), "authorization_pending");
    assert_eq!(after(5), "authorization_pending");
    assert!(hub.db.query("SELECT 1 FROM failures").is_empty() || hub.events_of("token.refused").is_empty());
    assert_eq!(after(4), "slow_down");
    assert_eq!(after(9), "slow_down");
    assert_eq!(after(15), "authorization_pending");
    assert_eq!(after(14), "slow_down");
}

#[test]
fn fifty_polls_at_once_of_an_allowed_code_are_worth_one_token() {
    for seed in 0..3 {
        let (hub, client, started) = waiting();
        let (code, user_code) = (text(&started, "device_code"), text(&started, "user_code"));
        let browser = Browser::new(&hub);
        browser.decide(&enter(&browser, &user_code), &["mcp:read"]).expect(303);
        let polls = (0..50).map(|_| hub.call("POST", "/t/main/token").form(&form(&client, &code)).future());
        let replies = hub.together(seed, polls.collect());
        let good: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
        assert_eq!(good.len(), 1);
        assert!(replies.iter().filter(|reply| reply.status != 200).all(|reply| matches!(reply.status, 400 | 429)));
        refresh(&hub, &client, &text(good[0], "refresh_token"), &[]).expect(200);
    }
}

#[test]
fn every_prefix_and_every_changed_character_of_a_device_code_is_refused_and_so_is_another_client() {
    let (hub, client, started) = waiting();
    let (code, user_code) = (text(&started, "device_code"), text(&started, "user_code"));
    let browser = Browser::new(&hub);
    browser.decide(&enter(&browser, &user_code), &["mcp:read"]).expect(303);
    for cut in (1..code.len()).step_by(7) {
        let mut bytes = code.clone().into_bytes();
        bytes[cut] = if bytes[cut] == b'A' { b'B' } else { b'A' };
        for text in [code[..cut].to_owned(), String::from_utf8(bytes).unwrap()] {
            assert_eq!(poll(&hub, &client, &text).error(), "invalid_grant");
        }
    }
    let stranger = self::client(&hub);
    assert_eq!(poll(&hub, &stranger, &code).error(), "invalid_grant");
    // Nor is it an authorization code.
    let form = [("grant_type", "authorization_code"), ("client_id", &*client), ("code", &*code)];
    assert_eq!(hub.call("POST", "/t/main/token").form(&form).send().expect(400).error(), "unauthorized_client");
    poll(&hub, &client, &code).expect(200);
}

#[test]
fn what_was_allowed_before_is_never_enough_for_a_device() {
    let (hub, client, started) = waiting();
    let browser = Browser::new(&hub);
    browser.decide(&enter(&browser, &text(&started, "user_code")), &["mcp:read"]).expect(303);
    let user_code = text(&start(&hub, &client).expect(200), "user_code");
    let asked = enter(&browser, &user_code).expect(200);
    assert!(asked.text.contains(&user_code) && asked.text.contains("allowed this before"), "{asked:?}");
}

#[test]
fn nobody_guesses_user_codes_and_whoever_tries_keeps_no_other_person_out() {
    let (hub, _, started) = waiting();
    let browser = Browser::new(&hub);
    let signed_in = enter(&browser, "BCDF-GHJK");
    assert!(signed_in.status == 400, "{signed_in:?}");
    let wrong = || browser.post("/t/main/device", &[("user_code", "BCDF-GHJK")]);
    assert!((0..29).all(|_| wrong().status == 400));
    wrong().expect(429);
    // The right one is refused too: nothing was learnt.
    browser.post("/t/main/device", &[("user_code", &text(&started, "user_code"))]).expect(429);
    assert_eq!(hub.events_of("authentication.limited").len(), 1);
    // A stranger who is not signed in learns nothing at all.
    let stranger = Browser::new(&hub);
    let [right, wrong] = [text(&started, "user_code"), "BCDF-GHJK".to_owned()]
        .map(|code| stranger.post("/t/main/device", &[("user_code", &code)]));
    assert_eq!((right.status, wrong.status, right.text.len()), (200, 200, wrong.text.len()));
    hub.clock.advance(61);
    enter(&browser, &text(&started, "user_code")).expect(200);
}

#[test]
fn a_code_that_no_device_shows_can_be_mended_on_the_same_page() {
    let hub = hub();
    let browser = Browser::new(&hub);
    // The first one asks for a sign-in.
    enter(&browser, "BCDF-GHJK");
    for wrong in ["BCDF-GHJK", "nonsense<b>"] {
        let page = browser.post("/t/main/device", &[("user_code", wrong)]);
        assert_eq!(page.status, 400);
        assert!(page.text.contains("no device waits") || page.text.contains("No device waits"), "{}", page.text);
        assert!(page.text.contains("name=\"user_code\"") && !page.text.contains("<b>"), "{}", page.text);
    }
}

#[test]
fn an_address_gets_thirty_device_codes_a_minute_and_a_client_has_a_bound() {
    let (hub, client, _) = waiting();
    let from = |ip: &str| {
        hub.call("POST", "/t/main/device_authorization")
            .form(&[("client_id", &*client), ("resource", RESOURCE)])
            .ip(ip)
            .send()
    };
    assert!((0..30).all(|_| from("203.0.113.7").status == 200));
    assert_eq!(from("203.0.113.7").expect(429).header("retry-after"), Some("60"));
    from("203.0.113.8").expect(200);
    hub.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) \
         INSERT INTO device_codes (tenant, id, user_code, client, request, interval, expires_at) \
         SELECT d.tenant, 'x' || i, 'x' || i, d.client, d.request, 5, d.expires_at FROM n, \
         (SELECT * FROM device_codes WHERE tenant = 'main' LIMIT 1) d",
    );
    from("203.0.113.9").expect(429);
    hub.clock.advance(601);
    from("203.0.113.9").expect(200);
    hub.clock.advance(1_600);
    hub.tick().unwrap();
    assert!(hub.db.query("SELECT 1 FROM device_codes WHERE tenant = 'main'").is_empty());
}

#[test]
fn a_device_of_a_client_that_was_stopped_or_of_a_consent_that_was_taken_back_gets_nothing() {
    let allow = |hub: &Setup, started: &Reply| {
        let browser = Browser::new(hub);
        browser.decide(&enter(&browser, &text(started, "user_code")), &["mcp:read"]).expect(303);
    };
    let (hub, client, started) = waiting();
    allow(&hub, &started);
    hub.db.execute("DELETE FROM consents");
    assert_eq!(poll(&hub, &client, &text(&started, "device_code")).error(), "invalid_grant");
    let (hub, client, started) = waiting();
    allow(&hub, &started);
    hub.admin("POST", &format!("clients/{client}/kill")).send().expect(200);
    assert_eq!(poll(&hub, &client, &text(&started, "device_code")).error(), "invalid_client");
}

#[test]
fn whichever_call_fails_or_loses_its_reply_an_approval_is_whole_or_not_made_and_the_device_gets_one_token_at_most() {
    for effect in [Effect::Fails, Effect::LosesReply] {
        for nth in 0.. {
            let (hub, client, started) = waiting();
            let (code, browser) = (text(&started, "device_code"), Browser::new(&hub));
            let page = enter(&browser, &text(&started, "user_code")).expect(200);
            hub.restart();
            let reached = hub.faults.calls(Port::Db) + nth;
            hub.faults.fail_nth(Port::Db, nth, effect);
            let first = browser.decide(&page, &["mcp:read"]);
            hub.faults.heal();
            if hub.faults.calls(Port::Db) <= reached {
                break;
            }
            let place = format!("{nth} {effect:?}: {first:?}");
            assert!(matches!(first.status, 303 | 503), "{place}");
            let rows = ["codes", "consents", "device_codes WHERE status = 'approved'"]
                .map(|table| hub.db.query(&format!("SELECT 1 FROM {table}")).len());
            let told = hub.events_of("consent.granted").len();
            assert!(rows == [told; 3] && told <= 1 && (first.status == 503 || told == 1), "{place}: {rows:?}, {told}");
            match browser.decide(&page, &["mcp:read"]).status {
                303 => assert_eq!(told, 0, "{place}"),
                // It was decided.
                400 => assert_eq!(told, 1, "{place}"),
                status => panic!("{place}, then {status}"),
            }
            poll(&hub, &client, &code).expect(200);
            poll(&hub, &client, &code).expect(400);
        }
    }
}

/// A request that is refused for that reason.
pub fn provoke(reason: Reason) -> Reply {
    let (hub, client, started) = waiting();
    let (code, user_code) = (text(&started, "device_code"), text(&started, "user_code"));
    let browser = Browser::new(&hub);
    let app = |more: Value| {
        let mut metadata = json!({"grant_types": ["authorization_code"], "redirect_uris": [CALLBACK]});
        metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        register(&hub, metadata)
    };
    let ask = |query: &str| browser.get(&format!("/t/main/authorize?{query}"));
    match reason {
        Reason::InvalidRequestUri => ask(&authorization(&app(json!({})), &[("request_uri", "urn:x")])),
        Reason::RequestUriPushed => {
            let form = [("client_id", &*app(json!({}))), ("request_uri", "urn:x")];
            hub.call("POST", "/t/main/par").form(&form).send()
        }
        Reason::PushRequired => ask(&authorization(&app(json!({"require_pushed_authorization_requests": true})), &[])),
        Reason::UnmetAuthentication => {
            let page = ask(&authorization(&app(json!({})), &[("acr_values", "phr"), ("scope", "mcp:read")]));
            browser.sign_in(&page)
        }
        Reason::StepUpRequired => {
            browser.decide(&enter(&browser, &user_code), &["mcp:read"]).expect(303);
            hub.put_policy("all", &super::pushed::after_a_sign_in("mcp:read"));
            hub.clock.advance(301);
            poll(&hub, &client, &code)
        }
        Reason::DeviceNotAllowed => start(&hub, &app(json!({}))),
        Reason::TooManyDeviceCodes => {
            (1..30).for_each(|_| drop(start(&hub, &client).expect(200)));
            start(&hub, &client)
        }
        Reason::UnknownUserCode => enter(&browser, "BCDF-GHJK"),
        Reason::TooManyUserCodes => {
            (0..30).for_each(|_| drop(enter(&browser, "BCDF-GHJK")));
            enter(&browser, &user_code)
        }
        Reason::MissingDeviceCode => poll(&hub, &client, ""),
        Reason::InvalidDeviceCode => poll(&hub, &client, "x"),
        Reason::AuthorizationPending => poll(&hub, &client, &code),
        Reason::SlowDown => {
            poll(&hub, &client, &code);
            poll(&hub, &client, &code)
        }
        Reason::DeviceDenied => {
            browser.decide(&enter(&browser, &user_code), &[]).expect(303);
            poll(&hub, &client, &code)
        }
        Reason::DeviceCodeExpired => {
            hub.clock.advance(600);
            poll(&hub, &client, &code)
        }
        other => panic!("{other:?} is not provoked here"),
    }
}

/// RFC 9470 §4.
#[test]
fn a_line_that_needs_a_recent_sign_in_sends_the_person_to_one_before_the_page_of_the_device() {
    let (hub, client, started) = waiting();
    hub.put_policy("all", &super::pushed::after_a_sign_in("mcp:read"));
    let (code, user_code) = (text(&started, "device_code"), text(&started, "user_code"));
    let browser = Browser::new(&hub);
    browser.post("/t/main/sign-in", &[("provider", "demo")]).expect(303);
    let enter = || browser.post("/t/main/device", &[("user_code", &*user_code)]).expect(200);
    hub.clock.advance(300);
    assert!(enter().text.contains("name=\"decision\""), "recent enough");
    hub.clock.advance(1);
    let page = enter();
    assert!(page.text.contains("name=\"provider\"") && !page.text.contains("name=\"decision\""), "{page:?}");
    let asked = browser.sign_in(&page).expect(200);
    assert!(asked.text.contains(&user_code) && asked.text.contains("name=\"decision\""), "{asked:?}");
    browser.decide(&asked, &["mcp:read"]).expect(303);
    assert_eq!(text(&poll(&hub, &client, &code).expect(200), "scope"), "mcp:read");
}

#[test]
fn a_device_too_sends_its_person_once_to_the_second_factor_that_policy_wants() {
    let (hub, client, started) = waiting();
    hub.put_policy("all", &super::pushed::after_a_sign_in("mcp:read").replace("step_up", "step_up:acr=phr"));
    let browser = Browser::new(&hub);
    let page = enter(&browser, &text(&started, "user_code")).expect(200);
    assert!(page.text.contains("with a second factor"), "{page:?}");
    let page = browser.sign_in(&page).expect(200);
    assert!(page.text.contains("name=\"decision\""), "the same way to sign in again: {page:?}");
    hub.db.execute("UPDATE sessions SET acr = 'phr'");
    browser.decide(&page, &["mcp:read"]).expect(303);
    let token = poll(&hub, &client, &text(&started, "device_code")).expect(200).access_token();
    assert_eq!(crate::support::call::decode(&token).1["acr"], "phr");
}

#[test]
fn the_limit_of_user_codes_for_an_address_is_one_event_when_it_is_reached() {
    let (hub, _, started) = waiting();
    // Four people at one address, none of whom reaches a limit of their own.
    let people: Vec<Browser<'_>> = (0..4)
        .map(|n| {
            let made = hub.admin("POST", "users").json(&json!({"name": format!("p{n}")})).send().expect(201).json();
            let browser = Browser::new(&hub);
            browser.post("/t/main/sign-in", &[("provider", "demo")]).expect(303);
            let user = made["id"].as_str().unwrap();
            hub.db.execute(&format!(
                "UPDATE sessions SET user = '{user}' WHERE user NOT IN (SELECT id FROM users WHERE body LIKE '%\"p_\"%')"
            ));
            browser.ip.replace(Some("203.0.113.7".to_owned()));
            browser
        })
        .collect();
    let wrong = |n: usize| people[n % 4].post("/t/main/device", &[("user_code", "BCDF-GHJK")]);
    for n in 0..100 {
        assert!(hub.events_of("authentication.limited").is_empty(), "{n}");
        wrong(n).expect(400);
    }
    let told = || hub.events_of("authentication.limited");
    let [event] = told().try_into().unwrap();
    assert_eq!((&event["ip"], &event["reason"]), (&json!("203.0.113.7"), &json!("TooManyUserCodes")));
    // As many as reach no limit of a person.
    (0..16).for_each(|n| drop(wrong(n).expect(429)));
    assert_eq!(told().len(), 1);
    // Elsewhere the same people go on.
    people[0].ip.replace(Some("203.0.113.8".to_owned()));
    people[0].post("/t/main/device", &[("user_code", &text(&started, "user_code"))]).expect(200);
}

#[test]
fn a_device_that_polls_too_often_is_slowed_down_and_neither_limited_nor_an_event() {
    let (hub, client, started) = waiting();
    let code = text(&started, "device_code");
    assert_eq!(poll(&hub, &client, &code).error(), "authorization_pending");
    for n in 0..120 {
        let reply = poll(&hub, &client, &code).expect(400);
        assert_eq!(reply.error(), "slow_down", "{n}");
    }
    assert!(hub.db.query("SELECT 1 FROM failures WHERE key NOT LIKE 'device/%'").is_empty());
    for kind in ["authentication.limited", "token.refused"] {
        assert!(hub.events_of(kind).is_empty(), "{kind}");
    }
    // Nobody else at the address is limited, and the device gets its token.
    assert_eq!(poll(&hub, &self::client(&hub), &code).expect(400).error(), "invalid_grant");
    let browser = Browser::new(&hub);
    browser.decide(&enter(&browser, &text(&started, "user_code")), &["mcp:read"]).expect(303);
    poll(&hub, &client, &code).expect(200);
}

/// RFC 8628 §3.1, RFC 6749 §3.3.
#[test]
fn a_device_gets_the_scope_that_its_client_may_have_and_no_code_where_that_is_none() {
    let hub = hub();
    let client = register(&hub, json!({"grant_types": [GRANT], "scope": "mcp:read"}));
    let begin = |scope: &str| {
        let form = [("client_id", &*client), ("scope", scope), ("resource", RESOURCE)];
        hub.call("POST", "/t/main/device_authorization").form(&form).send()
    };
    let started = begin("mcp:read mcp:write admin").expect(200);
    let browser = Browser::new(&hub);
    let asked = enter(&browser, &text(&started, "user_code")).expect(200);
    assert!(!asked.text.contains("mcp:write"), "{asked:?}");
    browser.decide(&asked, &["mcp:read", "mcp:write", "admin"]).expect(303);
    let tokens = poll(&hub, &client, &text(&started, "device_code")).expect(200);
    assert_eq!(text(&tokens, "scope"), "mcp:read");
    let before = hub.db.query("SELECT 1 FROM device_codes").len();
    assert_eq!(begin("mcp:write").expect(400).error(), "invalid_scope");
    assert_eq!(hub.db.query("SELECT 1 FROM device_codes").len(), before);
}
