//! Refresh tokens: rotation that parallel and lost requests survive, and reuse that does not go unnoticed.

use super::authorize::{client, hub, redeem, refresh, text};
use crate::support::browser::{Browser, authorization};
use crate::support::hub::RESOURCE;
use crate::support::{Effect, Port, Reply, Setup, Signer};
use serde_json::json;
use writ::crypto::{b64, unb64};
use writ::ports::Alg;

const READ: [(&str, &str); 2] = [("scope", "mcp:read mcp:write"), ("resource", RESOURCE)];
/// A policy that forbids all of the resource.
fn forbid() -> String {
    format!(r#"forbid(principal, action == Action::"issue", resource in Resource::"{RESOURCE}");"#)
}

const PORTS: [Port; 4] = [Port::Db, Port::Kv, Port::Queue, Port::Keys];

/// A hub, a client, and its first refresh token.
fn connected() -> (Setup, String, String) {
    let hub = hub();
    let client = client(&hub);
    let code = Browser::new(&hub).code(&authorization(&client, &READ), &["mcp:read"]);
    let token = text(&redeem(&hub, &client, &code).expect(200), "refresh_token");
    (hub, client, token)
}

fn next(reply: Reply) -> String {
    text(&reply.expect(200), "refresh_token")
}

fn call<'a>(hub: &'a Setup, client: &str, token: &str) -> crate::support::hub::Call<'a> {
    let form = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
    hub.call("POST", "/t/main/token").form(&form)
}

fn generation(hub: &Setup) -> i64 {
    hub.db.query("SELECT generation FROM refresh_families WHERE tenant = 'main'")[0]["generation"].as_i64().unwrap()
}

#[test]
fn of_fifty_refreshes_with_one_token_at_once_all_get_the_same_successor_and_one_rotates() {
    for seed in 0..5 {
        let (hub, client, token) = connected();
        let isolates: Vec<_> = (0..5).map(|_| hub.isolate()).collect();
        let calls = (0..50).map(|n| call(&hub, &client, &token).on(&isolates[n % 5]).future());
        let replies = hub.together(seed, calls.collect());
        let mut successors: Vec<String> = replies.into_iter().map(next).collect();
        successors.sort_unstable();
        successors.dedup();
        assert_eq!((successors.len(), generation(&hub)), (1, 2));
        assert!(hub.events_of("refresh_token.reused").is_empty());
        refresh(&hub, &client, &successors[0], &[]).expect(200);
    }
}

#[test]
fn a_refresh_that_loses_to_another_one_counts_as_one_use() {
    for seed in 0..10 {
        let (hub, client, token) = connected();
        let limited = format!(
            r#"@limit("4/hour") @on_breach("suspend") permit(principal, action == Action::"issue", resource in Resource::"{RESOURCE}");"#
        );
        hub.put_policy("limited", &limited);
        let isolates: Vec<_> = (0..4).map(|_| hub.isolate()).collect();
        let calls = isolates.iter().map(|one| call(&hub, &client, &token).on(one).future()).collect();
        let replies = hub.together(seed, calls);
        assert!(replies.iter().all(|reply| reply.status == 200), "seed {seed}: {replies:?}");
        let taken = &hub.db.query("SELECT taken FROM limit_counts WHERE tenant = 'main'")[0]["taken"];
        assert_eq!((taken, hub.events_of("identity.suspended").len()), (&json!(4), 0), "seed {seed}");
    }
}

#[test]
fn the_token_before_gives_the_same_successor_for_ten_seconds_and_extends_nothing() {
    let (hub, client, first) = connected();
    let ends = "SELECT expires_at FROM refresh_families WHERE tenant = 'main'";
    let end = hub.db.query(ends);
    hub.clock.advance(1);
    let second = next(refresh(&hub, &client, &first, &[]));
    hub.clock.advance(10);
    assert_eq!(next(refresh(&hub, &client, &first, &[])), second);
    assert_eq!((generation(&hub), hub.db.query(ends)), (2, end));
    assert!(hub.events_of("refresh_token.reused").is_empty());
    hub.clock.advance_millis(1);
    assert_eq!(refresh(&hub, &client, &first, &[]).error(), "invalid_grant");
    assert_eq!(refresh(&hub, &client, &second, &[]).error(), "invalid_grant");
}

#[test]
fn reuse_kills_the_family_and_every_token_of_it_and_the_event_has_both_addresses() {
    let (hub, client, first) = connected();
    let from = |token: &str, ip: &str| call(&hub, &client, token).ip(ip).send();
    let rotated = from(&first, "203.0.113.1").expect(200);
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let is_active = || {
        let form = [("token", &*rotated.access_token())];
        hub.call("POST", "/t/main/introspect").basic(&server).form(&form).send().expect(200).json()["active"] == true
    };
    assert!(is_active());
    hub.clock.advance(11);
    assert_eq!(from(&first, "198.51.100.9").error(), "invalid_grant");
    assert_eq!(from(&text(&rotated, "refresh_token"), "203.0.113.1").error(), "invalid_grant");
    assert!(!is_active());
    // However often it comes: one family is stopped once.
    from(&first, "198.51.100.9").expect(400);
    let [event] = hub.events_of("refresh_token.reused").try_into().unwrap();
    assert_eq!(event["detail"], "rotated from 203.0.113.1, reused from 198.51.100.9");
}

#[test]
fn two_rotations_in_one_second_keep_their_order_and_the_token_two_back_is_reuse_at_once() {
    let (hub, client, first) = connected();
    let second = next(refresh(&hub, &client, &first, &[]));
    let third = next(refresh(&hub, &client, &second, &[]));
    assert_eq!(next(refresh(&hub, &client, &second, &[])), third);
    assert_eq!(refresh(&hub, &client, &first, &[]).error(), "invalid_grant");
    assert_eq!(refresh(&hub, &client, &third, &[]).error(), "invalid_grant");
    assert_eq!(hub.events_of("refresh_token.reused").len(), 1);
}

#[test]
fn a_restart_revives_no_token_that_was_rotated() {
    let (hub, client, first) = connected();
    let second = next(refresh(&hub, &client, &first, &[]));
    next(refresh(&hub, &client, &second, &[]));
    hub.restart();
    assert_eq!(refresh(&hub, &client, &first, &[]).error(), "invalid_grant");
}

#[test]
fn a_refresh_that_is_refused_consumes_nothing_and_stops_nothing() {
    let (hub, client, token) = connected();
    let stranger = super::authorize::client(&hub);
    for (more, error) in [
        (("resource", "https://other.example/"), "invalid_target"),
        (("resource", "no uri"), "invalid_target"),
        (("scope", "mcp:write"), "invalid_scope"),
        (("scope", "\""), "invalid_scope"),
    ] {
        assert_eq!(refresh(&hub, &client, &token, &[more]).error(), error, "{more:?}");
    }
    assert_eq!(refresh(&hub, &stranger, &token, &[]).error(), "invalid_grant");
    hub.put_policy("no", &forbid());
    assert_eq!(refresh(&hub, &client, &token, &[]).error(), "invalid_scope");
    hub.put_policy("no", &forbid().replace("forbid", "permit"));
    assert_eq!(generation(&hub), 1);
    let again = refresh(&hub, &client, &token, &[("resource", RESOURCE), ("scope", "mcp:read mcp:write")]).expect(200);
    assert_eq!(text(&again, "scope"), "mcp:read", "scope never widens");
}

#[test]
fn every_prefix_and_every_changed_bit_of_a_refresh_token_is_refused_and_leaves_its_family_alone() {
    let (hub, client, token) = connected();
    let second = next(refresh(&hub, &client, &token, &[]));
    let third = next(refresh(&hub, &client, &second, &[]));
    let refused = |text: &str| {
        let reply = refresh(&hub, &client, text, &[]);
        assert!(
            matches!(reply.error().as_str(), "invalid_grant" | "invalid_request" | "too_many_requests"),
            "{reply:?}"
        );
    };
    let bytes = unb64(third.strip_prefix("writ_rt_").unwrap()).unwrap();
    (0..third.len()).for_each(|cut| refused(&third[..cut]));
    for bit in 0..8 * bytes.len() {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        refused(&["writ_rt_", &b64(bytes)].concat());
    }
    assert!(hub.events_of("refresh_token.reused").is_empty(), "a forged old generation is no reuse");
    hub.clock.advance(61);
    refresh(&hub, &client, &third, &[]).expect(200);
}

#[test]
fn a_refresh_token_is_bound_to_the_key_that_its_public_client_has_proved() {
    let hub = hub();
    let (client, key) = (client(&hub), Signer::new(Alg::Es256, 1));
    let proof = |key: &Signer, jti: &str| proof(&hub, key, jti);
    let code = Browser::new(&hub).code(&authorization(&client, &READ), &["mcp:read"]);
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client),
        ("code", &*code),
        ("code_verifier", crate::support::browser::VERIFIER),
    ];
    let token = next(hub.call("POST", "/t/main/token").form(&form).header("dpop", &proof(&key, "1")).send());
    assert_eq!(refresh(&hub, &client, &token, &[]).error(), "invalid_grant");
    let other = Signer::new(Alg::Es256, 2);
    assert_eq!(call(&hub, &client, &token).header("dpop", &proof(&other, "2")).send().error(), "invalid_grant");
    call(&hub, &client, &token).header("dpop", &proof(&key, "3")).send().expect(200);
}

#[test]
fn a_family_ends_when_it_was_said_to_end_however_often_it_is_used() {
    let (hub, client, mut token) = connected();
    // Allowed for 30 days.
    for _ in 0..29 {
        hub.clock.advance(86_400);
        token = next(refresh(&hub, &client, &token, &[]));
    }
    hub.clock.advance(86_400);
    assert_eq!(refresh(&hub, &client, &token, &[]).error(), "invalid_grant");
}

#[test]
fn a_revocation_at_the_same_time_as_a_refresh_leaves_no_token_alive() {
    for seed in 0..30 {
        let (hub, client, token) = connected();
        let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
        let revoke = hub.call("POST", "/t/main/revoke").form(&[("client_id", &*client), ("token", &*token)]);
        let replies = hub.together(seed, vec![call(&hub, &client, &token).future(), revoke.future()]);
        replies[1].clone().expect(200);
        if replies[0].status == 200 {
            let form = [("token", &*replies[0].access_token())];
            let answer = hub.call("POST", "/t/main/introspect").basic(&server).form(&form).send().expect(200);
            assert_eq!(answer.json(), json!({"active": false}), "seed {seed}");
            let successor = text(&replies[0], "refresh_token");
            assert_eq!(refresh(&hub, &client, &successor, &[]).error(), "invalid_grant", "seed {seed}");
        }
        assert_eq!(refresh(&hub, &client, &token, &[]).error(), "invalid_grant", "seed {seed}");
    }
}

#[test]
fn whoever_was_stopped_refreshes_nothing_more() {
    fn user(hub: &Setup) -> String {
        hub.db.query("SELECT user FROM consents WHERE tenant = 'main'")[0]["user"].as_str().unwrap().to_owned()
    }
    type Stop = fn(&Setup, &str);
    let stops: [Stop; 5] = [
        |hub, client| drop(hub.admin("POST", &format!("clients/{client}/suspend")).send().expect(200)),
        |hub, client| {
            drop(hub.admin("DELETE", &format!("clients/{client}")).header("if-match", "*").send().expect(204))
        },
        |hub, _| drop(hub.admin("POST", &format!("users/{}/suspend", user(hub))).send().expect(200)),
        |hub, _| drop(hub.admin("POST", &format!("users/{}/kill", user(hub))).send().expect(200)),
        |hub, _| hub.db.execute("DELETE FROM consents"),
    ];
    for stop in stops {
        let (hub, client, token) = connected();
        stop(&hub, &client);
        let reply = refresh(&hub, &client, &token, &[]);
        assert!(matches!(reply.status, 400 | 401), "{reply:?}");
        assert_eq!(generation(&hub), 1);
    }
}

#[test]
fn whichever_call_fails_or_loses_its_reply_the_same_token_works_once_more_and_gives_the_one_successor() {
    for (port, effect) in PORTS.into_iter().flat_map(|port| [(port, Effect::Fails), (port, Effect::LosesReply)]) {
        for nth in 0.. {
            let (hub, client, token) = connected();
            hub.restart();
            let reached = hub.faults.calls(port) + nth;
            hub.faults.fail_nth(port, nth, effect);
            let first = refresh(&hub, &client, &token, &[]);
            hub.faults.heal();
            if hub.faults.calls(port) <= reached {
                break;
            }
            let place = format!("{port:?} {nth} {effect:?}: {first:?}");
            assert!(matches!(first.status, 200 | 503), "{place}");
            let again = refresh(&hub, &client, &token, &[]);
            assert_eq!(again.status, 200, "{place}, then {again:?}");
            if first.status == 200 {
                assert_eq!(text(&first, "refresh_token"), text(&again, "refresh_token"), "{place}");
            }
            assert_eq!(generation(&hub), 2, "{place}");
            assert!(hub.events_of("refresh_token.reused").is_empty(), "{place}");
        }
    }
}

/// A proof for the token endpoint.
fn proof(hub: &Setup, key: &Signer, jti: &str) -> String {
    let htu = format!("{}/token", hub.issuer("main"));
    key.proof(&json!({"jti": jti, "htm": "POST", "htu": htu, "iat": hub.clock.seconds()}))
}

#[test]
fn the_token_before_obeys_the_same_rules() {
    let hub = hub();
    let (client, key) = (client(&hub), Signer::new(Alg::Es256, 1));
    let stranger = super::authorize::client(&hub);
    let code = Browser::new(&hub).code(&authorization(&client, &READ), &["mcp:read"]);
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client),
        ("code", &*code),
        ("code_verifier", crate::support::browser::VERIFIER),
    ];
    let first = next(hub.call("POST", "/t/main/token").form(&form).header("dpop", &proof(&hub, &key, "1")).send());
    let jtis = std::cell::Cell::new(1);
    let send = |client: &str, token: &str, key: &Signer, more: &[(&str, &str)]| {
        jtis.set(jtis.get() + 1);
        let form = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
        let call = hub.call("POST", "/t/main/token").form(&[&form, more].concat());
        call.header("dpop", &proof(&hub, key, &jtis.get().to_string())).send()
    };
    let second = next(send(&client, &first, &key, &[]));
    assert_eq!(send(&stranger, &first, &key, &[]).error(), "invalid_grant");
    assert_eq!(send(&client, &first, &key, &[("resource", "https://other.example/")]).error(), "invalid_target");
    assert_eq!(send(&client, &first, &key, &[("scope", "mcp:write")]).error(), "invalid_scope");
    assert_eq!(send(&client, &first, &Signer::new(Alg::Es256, 2), &[]).error(), "invalid_grant");
    assert_eq!(refresh(&hub, &client, &first, &[]).error(), "invalid_grant");
    // None of it has stopped or moved anything.
    assert_eq!(next(send(&client, &first, &key, &[])), second);
    assert_eq!(generation(&hub), 2);
    assert!(hub.events_of("refresh_token.reused").is_empty());
    hub.call("POST", "/t/main/revoke").form(&[("client_id", &*client), ("token", &*second)]).send().expect(200);
    for token in [&first, &second] {
        assert_eq!(send(&client, token, &key, &[]).error(), "invalid_grant");
    }
}

#[test]
fn an_older_signing_key_still_takes_its_refresh_tokens_while_it_is_bound() {
    let (hub, client, first) = connected();
    let second_key = crate::support::hub::VAULT_KEK.replacen("1:", "2:", 1);
    let both = format!("{second_key} {}", crate::support::hub::SIGNING_KEK);
    let [both, new] = [&*both, &*second_key].map(|ring| hub.isolate_with(&[("SIGNING_KEK", ring)]));
    assert_eq!(call(&hub, &client, &first).on(&new).send().expect(400).error(), "invalid_grant");
    let second = next(call(&hub, &client, &first).on(&both).send());
    // The successor is of the new key: the old one alone does not know it, and the new one alone does.
    assert_eq!(call(&hub, &client, &second).send().expect(400).error(), "invalid_grant");
    // As the cron does once the new key is bound, so that the old one can be taken away.
    hub.clock.block_on(both.app().tick(&|| hub.clock.now())).unwrap();
    let third = next(call(&hub, &client, &second).on(&hub.isolate_with(&[("SIGNING_KEK", &second_key)])).send());
    assert_eq!(call(&hub, &client, &third).on(&new).send().expect(200).json()["token_type"], "Bearer");
}

#[test]
fn while_keys_cannot_be_read_no_token_is_rotated() {
    let (hub, client, token) = connected();
    hub.restart();
    hub.faults.fail_when(Port::Db, |call| call.text.contains("signing_keys"), Effect::Fails);
    for _ in 0..2 {
        assert_eq!(refresh(&hub, &client, &token, &[]).expect(503).header("retry-after"), Some("1"));
        assert_eq!(generation(&hub), 1);
    }
    hub.faults.heal();
    // Long after the time in which a successor is given once more.
    hub.clock.advance(60);
    refresh(&hub, &client, &token, &[]).expect(200);
    assert_eq!(generation(&hub), 2);
}
