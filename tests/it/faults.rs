//! What happens when a port is slow, down, stale or loses its reply, and what the hot path asks of them when nothing is.

use crate::support::hub::{RESOURCE, decode, permit};
use crate::support::{Credentials, Effect, Port, Reply, Setup};
use serde_json::{Value, json};

const PORTS: [Port; 4] = [Port::Db, Port::Kv, Port::Queue, Port::Keys];

fn ready() -> (Setup, Credentials) {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    hub.token(&client, &[]).expect(200);
    (hub, client)
}

fn calls(hub: &Setup) -> [usize; 4] {
    PORTS.map(|port| hub.faults.calls(port))
}

/// How often each of [`PORTS`] is called by `act`.
fn cost(hub: &Setup, act: impl FnOnce()) -> [usize; 4] {
    let before = calls(hub);
    act();
    let after = calls(hub);
    std::array::from_fn(|n| after[n] - before[n])
}

#[track_caller]
fn unavailable(reply: &Reply) {
    assert_eq!((reply.status, reply.error().as_str()), (503, "temporarily_unavailable"), "{reply:?}");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.json()["error_description"], "try again shortly", "nothing of the cause");
}

/// The digests of the `jti` of every token whose issuance is in the trail.
fn trail(hub: &Setup) -> Vec<Value> {
    hub.events_of("token.issued").iter().map(|event| event["jti_hash"].clone()).collect()
}

fn jti_hash(token: &str) -> Value {
    writ::crypto::sha256(decode(token).1["jti"].as_str().unwrap()).to_text().into()
}

// ── The hot path ──

#[test]
fn a_token_from_a_warm_isolate_costs_one_signature_and_one_message_and_neither_d1_nor_kv() {
    let (hub, client) = ready();
    let again = || {
        hub.token(&client, &[]).expect(200);
    };
    again();
    hub.clock.advance_millis(4_000);
    assert_eq!(cost(&hub, again), [0, 0, 1, 1]);
    for more in [&[("scope", "mcp:read")][..], &[("resource", RESOURCE)], &[("resource", "https://mcp.example/mcp/")]] {
        let ask = || {
            hub.token(&client, more).expect(200);
        };
        assert_eq!(cost(&hub, ask), [0, 0, 1, 1]);
    }
}

#[test]
fn when_the_freshness_bound_is_over_one_row_is_read_and_nothing_more_while_nothing_has_changed() {
    let (hub, client) = ready();
    let again = || {
        hub.token(&client, &[]).expect(200);
    };
    again();
    for _ in 0..3 {
        hub.clock.advance(5);
        assert_eq!(cost(&hub, again), [1, 0, 1, 1]);
        assert_eq!(cost(&hub, again), [0, 0, 1, 1]);
    }
}

#[test]
fn a_cold_isolate_needs_four_reads_of_d1_and_two_of_kv() {
    let (hub, client) = ready();
    hub.restart();
    let first = cost(&hub, || {
        hub.token(&client, &[]).expect(200);
    });
    assert!(first[0] <= 4 && first[1..] == [2, 1, 1], "{first:?}");
}

#[test]
fn strangers_cost_no_read_of_d1_for_secrets_that_are_none_of_ours_but_the_count_of_their_failures() {
    let (hub, client) = ready();
    hub.token(&client, &[]).expect(200);
    let stranger = Credentials { client_id: "client_stranger".to_owned(), client_secret: "guess".to_owned() };
    let guess = || {
        hub.token(&stranger, &[]).expect(401);
    };
    assert_eq!(cost(&hub, guess), [1, 0, 0, 0], "it belongs to no client, so it is no event");
    let last = hub.faults.texts(Port::Db).pop().unwrap();
    assert!(last.starts_with("INSERT INTO failures"), "{last}");
}

// ── D1 ──

#[test]
fn without_d1_a_warm_isolate_issues_within_the_freshness_bound_and_not_beyond() {
    let (hub, client) = ready();
    hub.token(&client, &[]).expect(200);
    hub.faults.fail(Port::Db);
    hub.clock.advance_millis(4_999);
    hub.token(&client, &[]).expect(200);
    hub.clock.advance_millis(1);
    unavailable(&hub.token(&client, &[]));
    unavailable(&hub.token_call(&client, &[]).on(&hub.isolate()).send());
    unavailable(&hub.call("GET", "/t/main/.well-known/oauth-authorization-server").send());
    hub.faults.heal();
    hub.token(&client, &[]).expect(200);
}

#[test]
fn a_clock_that_goes_backwards_makes_nothing_fresher_than_it_is() {
    let (hub, client) = ready();
    hub.token(&client, &[]).expect(200);
    hub.clock.set_seconds(hub.clock.seconds() - 10);
    hub.faults.fail(Port::Db);
    unavailable(&hub.token(&client, &[]));
}

// ── KV ──

#[test]
fn without_kv_everything_works_from_d1() {
    let (hub, client) = ready();
    hub.faults.fail(Port::Kv);
    hub.token_call(&client, &[]).on(&hub.isolate()).send().expect(200);
    hub.put_policy("agent", &permit("client_nobody", RESOURCE));
    hub.token(&client, &[]).expect(400);
    hub.token_call(&client, &[]).on(&hub.isolate()).send().expect(400);
}

#[test]
fn a_kv_that_has_not_heard_of_the_newest_bundle_changes_no_decision() {
    let (hub, client) = ready();
    hub.put_policy("agent", &permit("client_nobody", RESOURCE));
    hub.kv.serve_stale(100);
    hub.token_call(&client, &[]).on(&hub.isolate()).send().expect(400);
}

#[test]
fn a_shard_or_a_manifest_that_was_tampered_with_in_kv_is_not_believed() {
    let (hub, client) = ready();
    // The manifest and the shard of the agent.
    let keys: Vec<String> = hub.kv.keys().into_iter().filter(|key| key.starts_with("policy/main/")).collect();
    assert_eq!(keys.len(), 2);
    let everybody = json!([{"id": "agent", "cedar": "permit(principal, action, resource);", "mode": "enforce"}]);
    let forgeries = [everybody.to_string(), String::new(), "[]".to_owned(), "{}".to_owned(), "not json".to_owned()];
    for (key, forged) in keys.iter().flat_map(|key| forgeries.iter().map(move |forged| (key, forged))) {
        hub.kv.set(key, Some(forged.clone()));
        let isolate = hub.isolate();
        hub.token_call(&client, &[]).on(&isolate).send().expect(200);
        let other = hub.create_client(json!({"client_name": "other"}));
        hub.token_call(&other, &[("resource", RESOURCE)]).on(&isolate).send().expect(400);
    }
}

// ── Every call of every port ──

#[test]
fn whichever_call_fails_or_loses_its_reply_there_is_a_503_or_a_token_whose_event_is_kept() {
    for (n, port) in PORTS.into_iter().enumerate() {
        for effect in [Effect::Fails, Effect::LosesReply] {
            let (hub, client) = ready();
            hub.restart();
            let calls = cost(&hub, || {
                hub.token(&client, &[]).expect(200);
            })[n];
            assert!(calls > 0, "{port:?}");
            for nth in 0..calls {
                hub.restart();
                hub.faults.fail_nth(port, nth, effect);
                let reply = hub.token(&client, &[]);
                hub.faults.heal();
                match reply.status {
                    200 => assert!(trail(&hub).contains(&jti_hash(&reply.access_token())), "{port:?} {nth} {effect:?}"),
                    _ => unavailable(&reply),
                }
                hub.token(&client, &[]).expect(200);
            }
        }
    }
}

#[test]
fn from_an_empty_database_whichever_call_fails_the_next_request_gets_a_token_that_verifies() {
    for port in [Port::Db, Port::Keys, Port::Queue] {
        for effect in [Effect::Fails, Effect::LosesReply] {
            for nth in 0..12 {
                let hub = Setup::new();
                let admin = hub.admin_client("main");
                hub.faults.fail_nth(port, nth, effect);
                let first = hub.token(&admin, &[]);
                assert!(matches!(first.status, 200 | 503), "{port:?} {nth} {effect:?}: {first:?}");
                hub.faults.heal();
                let token = hub.token(&admin, &[]).access_token();
                hub.call("GET", "/t/main/admin/clients").bearer(&token).on(&hub.isolate()).send().expect(200);
                let kinds = "SELECT alg, state, count(*) AS n FROM signing_keys GROUP BY alg, state";
                let kinds = hub.db.query(kinds);
                assert!(kinds.len() == 4 && kinds.iter().all(|row| row["n"] == 1), "{kinds:?}");
            }
        }
    }
}

#[test]
fn a_change_whose_reply_is_lost_has_happened_once_with_its_event_or_not_at_all() {
    for (effect, happened) in [(Effect::Fails, 0), (Effect::LosesReply, 1)] {
        let (hub, _) = ready();
        let token = hub.admin_token();
        hub.faults.fail_when(Port::Db, |call| call.text.contains("INSERT INTO clients"), effect);
        let body = json!({"client_name": "new"});
        let reply = hub.call("POST", "/t/main/admin/clients").bearer(&token).json(&body).send();
        assert_eq!(reply.status, 503);
        hub.faults.heal();
        let made = hub.db.query("SELECT id FROM clients WHERE metadata LIKE '%\"new\"%'").len();
        let told = hub.events_of("client.created").len() - 1;
        assert_eq!((made, told), (happened, happened), "{effect:?}");
    }
}

#[test]
fn without_signatures_there_is_a_503() {
    let (hub, client) = ready();
    hub.faults.fail(Port::Keys);
    unavailable(&hub.token(&client, &[]));
    hub.faults.heal();
    hub.token(&client, &[]).expect(200);
}

// ── At the same time ──

#[test]
fn policy_changes_and_tokens_that_interleave_leave_the_last_policy_in_force_everywhere() {
    for seed in 0..15 {
        let (hub, client) = ready();
        let isolates = [hub.isolate(), hub.isolate()];
        let token = hub.admin_token();
        let change = |isolate, n: usize| {
            let cedar = format!("forbid(principal, action, resource) when {{ context.hour == {n} }};");
            let body = json!({"description": "x", "cedar": cedar, "mode": "enforce"});
            hub.call("PUT", &format!("/t/main/admin/policies/p{n}")).bearer(&token).json(&body).on(isolate).future()
        };
        let ask = |isolate| hub.token_call(&client, &[]).on(isolate).future();
        let futures = vec![
            change(&isolates[0], 1),
            ask(&isolates[1]),
            change(&isolates[1], 2),
            ask(&isolates[0]),
            change(&isolates[0], 12),
        ];
        let replies = hub.together(seed, futures);
        assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 201 | 400 | 503)), "seed {seed}: {replies:?}");
        let stored = hub.db.query("SELECT id FROM policies").len();
        let changed = [0, 2, 4].into_iter().filter(|n| matches!(replies[*n].status, 200 | 201)).count();
        assert_eq!(stored, changed + 1, "seed {seed}: what was answered has happened");
        assert_eq!(hub.events_of("policy.put").len(), changed + 1);
        hub.clock.advance(5);
        let expected = if replies[4].status < 300 { 400 } else { 200 };
        for isolate in &isolates {
            assert_eq!(hub.token_call(&client, &[]).on(isolate).send().status, expected, "seed {seed}");
        }
    }
}

#[test]
fn a_request_that_began_before_a_change_does_not_leave_the_old_answer_in_the_cache() {
    for seed in 0..30 {
        let (hub, client) = ready();
        let far = hub.isolate();
        let token = hub.admin_token();
        let suspend = format!("/t/main/admin/clients/{}/suspend", client.client_id);
        hub.together(
            seed,
            vec![
                hub.token_call(&client, &[]).on(&far).future(),
                hub.call("POST", &suspend).bearer(&token).future(),
                hub.token_call(&client, &[]).future(),
            ],
        );
        hub.clock.advance(5);
        for isolate in [&far, &hub.isolate()] {
            assert_eq!(hub.token_call(&client, &[]).on(isolate).send().status, 401, "seed {seed}");
        }
    }
}

#[test]
fn a_database_that_was_restored_to_an_earlier_state_is_believed_after_the_freshness_bound() {
    let (hub, client) = ready();
    for n in 0..3 {
        hub.create_client(json!({"client_name": n.to_string()}));
    }
    hub.token(&client, &[]).expect(200);
    hub.db.execute("UPDATE tenants SET epoch = 1; DELETE FROM changes; UPDATE clients SET status = 'suspended'");
    hub.clock.advance(5);
    hub.token(&client, &[]).expect(401);
}
