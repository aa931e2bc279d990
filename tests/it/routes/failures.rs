//! Failed authentications are limited, per client and per address, wherever they happen.

use crate::support::{Credentials, Port, Reply, Setup};
use serde_json::json;
use writ::store::failures::{LIMIT, PERIOD_SECONDS};

fn wrong(client: &Credentials) -> Credentials {
    Credentials { client_secret: other_secret(client), ..client.clone() }
}

/// A secret of the right form that is not this client's.
fn other_secret(client: &Credentials) -> String {
    let hub = Setup::new();
    let other = hub.create_client(json!({"client_name": "other"})).client_secret;
    assert_ne!(other, client.client_secret);
    other
}

#[track_caller]
fn locked(reply: &Reply) {
    assert_eq!((reply.status, reply.error().as_str()), (429, "too_many_requests"), "{reply:?}");
    assert_eq!(reply.header("retry-after"), Some(&*PERIOD_SECONDS.to_string()));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

fn fail(hub: &Setup, client: &Credentials, times: i64) {
    for _ in 0..times {
        hub.token(client, &[]).expect(401);
    }
}

#[test]
fn a_client_with_too_many_failures_is_locked_even_with_its_right_secret_and_heals() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let bystander = hub.agent("bystander", "mcp:read");
    fail(&hub, &wrong(&client), LIMIT - 1);
    hub.token(&client, &[]).expect(200);
    fail(&hub, &wrong(&client), 1);
    locked(&hub.token(&wrong(&client), &[]));
    locked(&hub.token(&client, &[]));
    hub.token(&bystander, &[]).expect(200);
    hub.clock.advance(PERIOD_SECONDS.unsigned_abs() - 1);
    locked(&hub.token(&client, &[]));
    hub.clock.advance(1);
    hub.token(&client, &[]).expect(200);
    let refusals = hub.events_of("token.refused");
    assert!(
        refusals
            .iter()
            .any(|event| event["reason"] == "TooManyFailures" && event["client"] == client.client_id.as_str())
    );
}

#[test]
fn failures_spread_over_isolates_are_one_count() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let guess = wrong(&client);
    let isolates: Vec<_> = (0..10).map(|_| hub.isolate()).collect();
    let guesses = || (0..LIMIT).map(|n| hub.token_call(&guess, &[]).on(&isolates[n as usize % 10]).send().status);
    assert!(guesses().all(|status| status == 401));
    // Whoever was asked before the lock still learns of it from the count, and everybody does within the freshness bound.
    for isolate in &isolates {
        locked(&hub.token_call(&guess, &[]).on(isolate).send());
        locked(&hub.token_call(&client, &[]).on(isolate).send());
    }
    locked(&hub.token_call(&client, &[]).on(&hub.isolate()).send());
    let late = hub.isolate();
    hub.clock.advance(5);
    locked(&hub.token_call(&client, &[]).on(&late).send());
}

#[test]
fn an_address_that_guesses_at_many_clients_is_locked_and_others_are_not() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let from = |ip: &str, client: &Credentials| hub.token_call(client, &[]).ip(ip).send();
    for n in 0..LIMIT {
        let guess = Credentials { client_id: format!("client_{n}"), ..wrong(&client) };
        from("203.0.113.7", &guess).expect(401);
    }
    locked(&from("203.0.113.7", &client));
    from("203.0.113.8", &client).expect(200);
    hub.token(&client, &[]).expect(200);
    hub.clock.advance(PERIOD_SECONDS.unsigned_abs());
    from("203.0.113.7", &client).expect(200);
}

#[test]
fn many_addresses_that_guess_at_one_client_are_one_count_too() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let guess = wrong(&client);
    for n in 0..LIMIT {
        hub.token_call(&guess, &[]).ip(&format!("2001:db8:{n:x}::1")).send().expect(401);
    }
    locked(&hub.token_call(&client, &[]).ip("2001:db8:ffff::1").send());
}

#[test]
fn an_unknown_client_is_counted_and_locked_as_a_known_one_is() {
    let hub = Setup::new();
    let known = hub.agent("agent", "mcp:read");
    let unknown = Credentials { client_id: "client_nobody".to_owned(), ..wrong(&known) };
    let answers = |client: &Credentials| (0..=LIMIT).map(|_| hub.token(client, &[])).collect::<Vec<_>>();
    assert_eq!(answers(&unknown), answers(&wrong(&known)));
}

#[test]
fn a_name_without_a_proof_and_a_failed_assertion_count_as_a_failed_secret_does() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let id = &*client.client_id;
    let kind = crate::routes::client_assertions::JWT_BEARER;
    let send = |more: &[(&str, &str)]| {
        let form = [&[("grant_type", "client_credentials"), ("client_id", id)], more].concat();
        hub.call("POST", "/t/main/token").form(&form).send()
    };
    for _ in 0..LIMIT / 2 {
        send(&[]).expect(401);
        send(&[("client_assertion_type", kind), ("client_assertion", "x")]).expect(401);
    }
    locked(&hub.token(&client, &[]));
}

#[test]
fn an_assertion_in_the_place_of_a_client_counts_under_its_address() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let send = || hub.call("POST", "/t/main/token").form(&[grant, ("assertion", "x")]).ip("203.0.113.7").send();
    for _ in 0..LIMIT {
        assert_eq!(send().expect(400).error(), "invalid_grant");
    }
    locked(&send());
    locked(&hub.token_call(&client, &[]).ip("203.0.113.7").send());
    hub.token(&client, &[]).expect(200);
}

#[test]
fn a_lock_of_one_tenant_locks_nobody_in_another() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    hub.create_tenant("second");
    for _ in 0..LIMIT {
        hub.token_call(&wrong(&client), &[]).ip("203.0.113.7").send().expect(401);
    }
    let admin = hub.admin_client("second");
    let form = [("grant_type", "client_credentials"), ("scope", "admin")];
    hub.call("POST", "/t/second/token").basic(&admin).form(&form).ip("203.0.113.7").send().expect(200);
}

#[test]
fn a_lease_is_locked_with_the_rest() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    fail(&hub, &wrong(&client), LIMIT);
    let lease = hub.call("POST", "/t/main/connections/warehouse/token").basic(&client).form(&[("subject_token", "x")]);
    locked(&lease.send());
}

#[test]
fn who_authenticates_pays_no_database_call_for_it() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    hub.token(&client, &[]).expect(200);
    let before = hub.faults.calls(Port::Db);
    hub.token(&client, &[]).expect(200);
    assert_eq!(hub.faults.calls(Port::Db), before);
    // What is locked comes along in the batch that reads the tenant again.
    hub.clock.advance(6);
    hub.token(&client, &[]).expect(200);
    assert_eq!(hub.faults.calls(Port::Db), before + 1);
}

#[test]
fn if_a_failure_cannot_be_counted_nobody_learns_that_it_was_one() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    hub.token(&client, &[]).expect(200);
    hub.faults.fail_when(Port::Db, |seen| seen.text.contains("INTO failures"), crate::support::Effect::Fails);
    let reply = hub.token(&wrong(&client), &[]).expect(503);
    assert_eq!(reply.error(), "temporarily_unavailable");
    hub.faults.heal();
    hub.token(&client, &[]).expect(200);
}

#[test]
fn periods_that_are_over_are_forgotten() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    fail(&hub, &wrong(&client), 3);
    assert_eq!(hub.db.query("SELECT key FROM failures").len(), 1);
    hub.clock.advance(PERIOD_SECONDS.unsigned_abs());
    hub.tick().unwrap();
    assert!(hub.db.query("SELECT key FROM failures").is_empty());
}
