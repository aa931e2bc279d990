//! Redemption of authorization codes: once, by the right client with the right verifier, and what goes wrong takes nothing away.

use super::authorize::{client, hub, redeem, refresh, text};
use crate::support::browser::{Browser, CALLBACK, VERIFIER, authorization};
use crate::support::hub::RESOURCE;
use crate::support::{Effect, Port, Reply, Setup, Signer};
use serde_json::json;
use writ::crypto::{b64, unb64};
use writ::ports::Alg;

const READ: [(&str, &str); 2] = [("scope", "mcp:read"), ("resource", RESOURCE)];
/// A policy that forbids all of the resource.
fn forbid() -> String {
    format!(r#"forbid(principal, action == Action::"issue", resource in Resource::"{RESOURCE}");"#)
}

const PORTS: [Port; 4] = [Port::Db, Port::Kv, Port::Queue, Port::Keys];

/// A hub, a client, and a code of it.
fn issued() -> (Setup, String, String) {
    let hub = hub();
    let client = client(&hub);
    let code = Browser::new(&hub).code(&authorization(&client, &READ), &["mcp:read"]);
    (hub, client, code)
}

/// The form of a redemption, in which some parameters are others, or left out where they are empty.
fn form<'a>(client: &'a str, code: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let base = [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
    ];
    let kept = base.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    kept.chain(more).copied().collect()
}

fn send(hub: &Setup, form: &[(&str, &str)]) -> Reply {
    hub.call("POST", "/t/main/token").form(form).send()
}

/// A text that differs in one bit of what it encodes, or in its prefix.
fn flipped(text: &str, prefix: &str, bit: usize) -> String {
    let mut bytes = unb64(&text[prefix.len()..]).unwrap_or_else(|| text.as_bytes()[prefix.len()..].to_vec());
    let at = bit / 8 % bytes.len();
    bytes[at] ^= 1 << (bit % 8);
    [prefix, &b64(bytes)].concat()
}

#[test]
fn of_fifty_redemptions_of_one_code_at_once_one_gets_a_token_and_all_that_came_of_it_is_stopped() {
    for seed in 0..5 {
        let (hub, client, code) = issued();
        let isolates: Vec<_> = (0..5).map(|_| hub.isolate()).collect();
        let form = form(&client, &code, &[]);
        let calls = (0..50).map(|n| hub.call("POST", "/t/main/token").form(&form).on(&isolates[n % 5]).future());
        let replies = hub.together(seed, calls.collect());
        let good: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 200).collect();
        assert_eq!(good.len(), 1, "{good:?}");
        assert!(replies.iter().filter(|reply| reply.status != 200).all(|reply| reply.error() == "invalid_grant"));
        assert_eq!(hub.db.query("SELECT 1 FROM refresh_families WHERE tenant = 'main'").len(), 1);
        for reply in good {
            assert_eq!(refresh(&hub, &client, &text(reply, "refresh_token"), &[]).error(), "invalid_grant");
        }
        assert_eq!(hub.events_of("code.replayed").len(), 1);
    }
}

#[test]
fn a_code_is_not_spent_by_a_request_that_is_wrong_and_nothing_is_stopped_by_one() {
    let (hub, client, code) = issued();
    let stranger = super::authorize::client(&hub);
    let long = "v".repeat(129);
    let other = b64([7; 32]);
    for (more, error) in [
        (vec![("client_id", &*stranger)], "invalid_grant"),
        (vec![("client_id", "nobody")], "invalid_client"),
        (vec![("redirect_uri", "https://client.example/callback/")], "invalid_grant"),
        (vec![("code_verifier", "")], "invalid_grant"),
        (vec![("code_verifier", "short")], "invalid_grant"),
        (vec![("code_verifier", &*other)], "invalid_grant"),
        (vec![("code_verifier", &*long)], "invalid_grant"),
        (vec![("code_verifier", VERIFIER), ("code_verifier", VERIFIER)], "invalid_request"),
        (vec![("resource", "https://other.example/")], "invalid_target"),
        (vec![("resource", "no uri")], "invalid_target"),
        (vec![("code", "")], "invalid_request"),
    ] {
        assert_eq!(send(&hub, &form(&client, &code, &more)).error(), error, "{more:?}");
    }
    hub.put_policy("no", &forbid());
    assert_eq!(send(&hub, &form(&client, &code, &[])).error(), "invalid_scope");
    hub.put_policy("no", &forbid().replace("forbid", "permit"));
    send(&hub, &form(&client, &code, &[("redirect_uri", "")])).expect(200);
    assert!(hub.events_of("code.replayed").is_empty());
}

#[test]
fn every_prefix_and_every_changed_bit_of_a_code_is_refused_and_leaves_what_came_of_the_right_one_alone() {
    let (hub, client, code) = issued();
    let tokens = redeem(&hub, &client, &code).expect(200);
    let refused = |text: &str| {
        let reply = send(&hub, &form(&client, text, &[]));
        assert!(
            matches!(reply.error().as_str(), "invalid_grant" | "invalid_request" | "too_many_requests"),
            "{reply:?}"
        );
    };
    for cut in 0..code.len() {
        refused(&code[..cut]);
    }
    for bit in (0..8 * 36).step_by(5) {
        hub.clock.advance(if bit % 100 == 0 { 1 } else { 0 });
        refused(&flipped(&code, "writ_ac_", bit));
    }
    // One of the right form that nobody has issued: its checksum is no secret.
    let forged = writ::crypto::mint(writ::crypto::Kind::AuthorizationCode, &*hub.entropy);
    refused(forged.expose());
    assert!(hub.events_of("code.replayed").is_empty());
    refresh(&hub, &client, &text(&tokens, "refresh_token"), &[]).expect(200);
}

#[test]
fn a_code_that_comes_again_stops_the_tokens_and_the_family_that_came_of_it() {
    let (hub, client, code) = issued();
    let tokens = redeem(&hub, &client, &code).expect(200);
    hub.clock.advance(1);
    // Without the verifier it is noise.
    assert_eq!(send(&hub, &form(&client, &code, &[("code_verifier", "")])).error(), "invalid_grant");
    refresh(&hub, &client, &text(&tokens, "refresh_token"), &[("scope", "mcp:read")]).expect(200);
    assert_eq!(redeem(&hub, &client, &code).error(), "invalid_grant");
    assert_eq!(refresh(&hub, &client, &text(&tokens, "refresh_token"), &[]).error(), "invalid_grant");
    let [event] = hub.events_of("code.replayed").try_into().unwrap();
    assert_eq!((&event["client"], &event["resource"]), (&json!(client), &json!(RESOURCE)));
}

#[test]
fn a_code_lives_for_sixty_seconds_and_is_forgotten_then() {
    let (hub, client, code) = issued();
    hub.clock.advance(59);
    redeem(&hub, &client, &code).expect(200);
    let (hub, client, code) = issued();
    hub.clock.advance(60);
    assert_eq!(redeem(&hub, &client, &code).error(), "invalid_grant");
    // It is kept a while longer, for a second redemption of one that was redeemed.
    hub.clock.advance(600);
    hub.tick().unwrap();
    assert!(hub.db.query("SELECT 1 FROM codes").is_empty());
}

#[test]
fn a_code_is_bound_to_the_key_that_its_request_names() {
    let hub = hub();
    let (client, key) = (client(&hub), Signer::new(Alg::Es256, 1));
    let jkt = key.thumbprint();
    let code = Browser::new(&hub).code(&authorization(&client, &[READ[0], READ[1], ("dpop_jkt", &jkt)]), &["mcp:read"]);
    let with = |key: Option<&Signer>, jti: &str| {
        let htu = format!("{}/token", hub.issuer("main"));
        let call = hub.call("POST", "/t/main/token").form(&form(&client, &code, &[]));
        let proof =
            |key: &Signer| key.proof(&json!({"jti": jti, "htm": "POST", "htu": htu, "iat": hub.clock.seconds()}));
        match key {
            Some(key) => call.header("dpop", &proof(key)).send(),
            None => call.send(),
        }
    };
    assert_eq!(with(None, "1").error(), "invalid_grant");
    assert_eq!(with(Some(&Signer::new(Alg::Es256, 2)), "2").error(), "invalid_grant");
    assert_eq!(text(&with(Some(&key), "3").expect(200), "token_type"), "DPoP");
}

#[test]
fn what_is_stored_of_a_code_and_of_refresh_tokens_is_worth_nothing() {
    let (hub, client, code) = issued();
    let tokens = redeem(&hub, &client, &code).expect(200);
    let rest = hub.dump_at_rest();
    for secret in [&code, &text(&tokens, "refresh_token"), &tokens.access_token()] {
        assert!(!rest.contains(secret.as_str()));
    }
}

#[test]
fn whichever_call_fails_or_loses_its_reply_a_code_is_worth_one_token_at_most_and_no_refusal_is_untrue() {
    for (port, effect) in PORTS.into_iter().flat_map(|port| [(port, Effect::Fails), (port, Effect::LosesReply)]) {
        for nth in 0.. {
            let (hub, client, code) = issued();
            hub.restart();
            let reached = hub.faults.calls(port) + nth;
            hub.faults.fail_nth(port, nth, effect);
            let first = redeem(&hub, &client, &code);
            hub.faults.heal();
            if hub.faults.calls(port) <= reached {
                break;
            }
            let place = format!("{port:?} {nth} {effect:?}: {first:?}");
            assert!(matches!(first.status, 200 | 503), "{place}");
            let again = redeem(&hub, &client, &code);
            match again.status {
                200 => assert_eq!(first.status, 503, "{place}"),
                // It was redeemed: the client connects again.
                400 => assert_eq!(again.error(), "invalid_grant", "{place}"),
                _ => panic!("{place}, then {again:?}"),
            }
            assert!(hub.db.query("SELECT 1 FROM refresh_families WHERE tenant = 'main'").len() <= 1, "{place}");
        }
    }
}

#[test]
fn whichever_call_fails_or_loses_its_reply_a_decision_makes_one_code_at_most_with_its_consent_and_event() {
    for effect in [Effect::Fails, Effect::LosesReply] {
        for nth in 0.. {
            let hub = hub();
            let (client, browser) = (client(&hub), Browser::new(&hub));
            let page = browser.sign_in(&browser.get(&format!("/t/main/authorize?{}", authorization(&client, &READ))));
            hub.restart();
            let reached = hub.faults.calls(Port::Db) + nth;
            hub.faults.fail_nth(Port::Db, nth, effect);
            let first = browser.decide(&page, &["mcp:read"]);
            hub.faults.heal();
            let count = |sql: &str| hub.db.query(sql).len();
            if hub.faults.calls(Port::Db) <= reached {
                break;
            }
            let place = format!("{nth} {effect:?}: {first:?}");
            assert!(matches!(first.status, 303 | 503), "{place}");
            let codes = count("SELECT 1 FROM codes");
            assert_eq!(codes, count("SELECT 1 FROM consents"), "{place}");
            assert_eq!(codes, hub.events_of("consent.granted").len(), "{place}");
            assert!(codes <= 1 && (first.status == 503 || codes == 1), "{place}");
            // The page is still there: the person decides once more, or goes on.
            let again = browser.decide(&page, &["mcp:read"]);
            assert_eq!(again.status, 303, "{place}, then {again:?}");
        }
    }
}

#[test]
fn while_keys_or_the_identity_cannot_be_had_no_code_is_redeemed() {
    for missing in ["signing_keys", "INTO identities"] {
        let (hub, client, code) = issued();
        hub.restart();
        hub.faults.fail_when(Port::Db, move |call| call.text.contains(missing), Effect::Fails);
        for _ in 0..2 {
            redeem(&hub, &client, &code).expect(503);
            assert_eq!(hub.db.query("SELECT claim FROM codes WHERE claim IS NOT NULL").len(), 0, "{missing}");
        }
        hub.faults.heal();
        let tokens = redeem(&hub, &client, &code).expect(200);
        refresh(&hub, &client, &text(&tokens, "refresh_token"), &[]).expect(200);
        assert!(hub.events_of("code.replayed").is_empty(), "{missing}");
    }
}
