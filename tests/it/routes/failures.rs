//! Failed authentications are limited, per client and per address, wherever they happen.

use crate::support::hub::{Call, ISSUER, RESOURCE};
use crate::support::{Credentials, Port, Reply, Setup, Signer};
use serde_json::json;
use std::sync::LazyLock;
use writ::ports::Alg;
use writ::store::failures::{LIMIT, PERIOD_SECONDS};

fn wrong(client: &Credentials) -> Credentials {
    Credentials { client_secret: other_secret(client), ..client.clone() }
}

/// A secret of the right form that is not this client's.
fn other_secret(client: &Credentials) -> String {
    static OTHER: LazyLock<String> =
        LazyLock::new(|| Setup::new().create_client(json!({"client_name": "other"})).client_secret);
    assert_ne!(*OTHER, client.client_secret);
    OTHER.clone()
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

type Stranger = fn(&Setup, usize) -> Call<'_>;

fn count(hub: &Setup, kind: &str) -> usize {
    hub.events_of(kind).len()
}

#[test]
fn a_right_secret_passes_whatever_has_failed_and_a_wrong_one_is_429_without_a_write_or_an_event() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    // The log begins with the first events, which isolates hear of.
    hub.events();
    fail(&hub, &wrong(&client), LIMIT);
    hub.token(&client, &[]).expect(200);
    let (events, guess) = (hub.events().len(), wrong(&client));
    let before = [Port::Db, Port::Queue].map(|port| hub.faults.calls(port));
    for _ in 0..5 {
        locked(&hub.token(&guess, &[]));
    }
    assert_eq!([Port::Db, Port::Queue].map(|port| hub.faults.calls(port)), before);
    assert_eq!(hub.events().len(), events);
    hub.token(&client, &[]).expect(200);
    hub.clock.advance(PERIOD_SECONDS.unsigned_abs());
    hub.token(&guess, &[]).expect(401);
}

#[test]
fn a_failed_or_a_good_assertion_is_limited_as_a_secret_is() {
    let scene = super::client_assertions::Scene::new();
    let hub = &scene.hub;
    let send = |assertion: &str| super::client_assertions::with_assertion(hub, assertion, &[]).send();
    for _ in 0..LIMIT {
        send(&scene.assertion(json!({"aud": RESOURCE}))).expect(401);
    }
    locked(&send(&scene.assertion(json!({"aud": RESOURCE}))));
    send(&scene.assertion(json!({}))).expect(200);
}

#[test]
fn the_refusal_that_reaches_the_limit_is_one_event_with_its_address() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let guess = wrong(&client);
    for _ in 0..LIMIT + 5 {
        hub.token_call(&guess, &[]).ip("203.0.113.7").send();
    }
    let [limited] = hub.events_of("authentication.limited").try_into().unwrap();
    assert_eq!((limited["ip"].as_str(), limited["client"].as_str()), (Some("203.0.113.7"), Some(&*client.client_id)));
    assert_eq!(limited["reason"], "ClientAuthenticationFailed");
    assert_eq!(count(&hub, "token.refused"), (LIMIT - 1) as usize, "those before it belong to a client");
}

/// What belongs to no client of the tenant is counted under its address and is no event, at every endpoint.
#[test]
fn requests_of_strangers_are_one_event_for_an_address_and_one_row() {
    let strangers: [(&str, Stranger); 14] = [
        ("token, empty", |hub, _| hub.call("POST", "/t/main/token").form(&[])),
        ("token, no form", |hub, _| hub.call("POST", "/t/main/token").body("x")),
        ("token, unknown client", |hub, n| {
            let unknown = Credentials { client_id: format!("client_{n}"), client_secret: "x".to_owned() };
            hub.token_call(&unknown, &[])
        }),
        ("token, assertion", |hub, n| {
            let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
            hub.call("POST", "/t/main/token").form(&[grant, ("assertion", &n.to_string())])
        }),
        ("introspection", |hub, _| hub.call("POST", super::introspection::PATH).form(&[("token", "x")])),
        ("revocation", |hub, _| hub.call("POST", "/t/main/revoke").form(&[("token", "x")])),
        ("lease", |hub, _| hub.call("POST", "/t/main/connections/x/token").form(&[("subject_token", "x")])),
        ("admin", |hub, _| hub.call("GET", "/t/main/admin/clients").bearer("x")),
        ("streams", |hub, _| hub.call("GET", "/t/main/ssf/streams").bearer("x")),
        ("par", |hub, n| hub.call("POST", "/t/main/par").form(&[("client_id", &format!("client_{n}"))])),
        ("device", |hub, n| {
            hub.call("POST", "/t/main/device_authorization").form(&[("client_id", &format!("client_{n}"))])
        }),
        ("registration", |hub, n| hub.call("GET", &format!("/t/main/register/client_{n}")).bearer("x")),
        ("userinfo", |hub, _| hub.call("GET", "/t/main/userinfo").bearer("x")),
        ("logout", |hub, n| {
            hub.call("POST", "/t/main/sign-in/backchannel-logout").form(&[("logout_token", &n.to_string())])
        }),
    ];
    for (name, stranger) in strangers {
        let hub = Setup::new();
        hub.token(&hub.admin_client("main"), &[]).expect(200);
        let events = hub.events().len();
        for n in 0..LIMIT as usize + 20 {
            let reply = stranger(&hub, n).send();
            match n < LIMIT as usize {
                true => assert!((400..=415).contains(&reply.status), "{name}: {reply:?}"),
                false => assert_eq!(reply.status, 429, "{name}: {reply:?}"),
            }
        }
        assert_eq!(hub.db.query("SELECT key, count FROM failures").len(), 1, "{name}");
        assert_eq!(hub.db.query("SELECT count FROM failures")[0]["count"], LIMIT, "{name}");
        let new = hub.events().split_off(events);
        assert_eq!(new.len(), 1, "{name}: {new:?}");
        assert_eq!(new[0]["type"], "authentication.limited", "{name}");
    }
}

#[test]
fn a_malformed_form_with_the_right_secret_is_an_event_and_no_failed_authentication() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let (id, secret) = (client.client_id.as_str(), client.client_secret.as_str());
    let twice = [("scope", "a"), ("scope", "b")];
    let in_form = [("client_id", id), ("client_secret", secret), ("scope", "a"), ("scope", "b")];
    let many: Vec<_> = (0..70).map(|n| (n.to_string(), "x".to_owned())).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for path in ["/t/main/token", super::introspection::PATH, "/t/main/revoke", "/t/main/connections/x/token"] {
        let call = || hub.call("POST", path);
        let malformed = [
            call().basic(&client).form(&twice),
            call().form(&in_form),
            call().basic(&client).form(&many),
            call().basic(&client).body("a=%ff").header("content-type", "application/x-www-form-urlencoded"),
            call().basic(&client).body("{}").header("content-type", "application/json"),
            call().basic(&client).form(&[("scope", &"x".repeat(70_000))]),
        ];
        let before = hub.events().len();
        let count = malformed.len();
        for call in malformed {
            let reply = call.send();
            assert!(matches!(reply.status, 400 | 413), "{path}: {reply:?}");
        }
        assert!(hub.db.query("SELECT key FROM failures").is_empty(), "{path}");
        let new = hub.events().split_off(before);
        assert_eq!(new.len(), count, "{path}: each is told of");
        let names = |event: &serde_json::Value| event["client"] == json!(id) && event["client_name"] == "agent";
        assert!(new.iter().all(names), "{path}: {new:?}");
        // A wrong secret counts, and so does one that stands there twice.
        call().basic(&wrong(&client)).form(&twice).send().expect(400);
        let both = [("client_id", id), ("client_secret", secret), ("client_secret", secret)];
        call().form(&both).send().expect(400);
        let counts = hub.db.query("SELECT count FROM failures WHERE key LIKE 'address/%'");
        assert_eq!(counts[0]["count"], 2, "{path}");
        hub.clock.advance(PERIOD_SECONDS.unsigned_abs());
        hub.tick().unwrap();
    }
}

#[test]
fn a_malformed_form_spends_no_assertion() {
    let scene = super::client_assertions::Scene::new();
    let assertion = scene.assertion(json!({}));
    let send = |more: &[(&str, &str)]| super::client_assertions::with_assertion(&scene.hub, &assertion, more).send();
    send(&[("x", "1"), ("x", "2")]).expect(400);
    send(&[]).expect(200);
}

#[test]
fn failures_spread_over_isolates_are_one_count() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let guess = wrong(&client);
    let isolates: Vec<_> = (0..10).map(|_| hub.isolate()).collect();
    let guesses = || (0..LIMIT).map(|n| hub.token_call(&guess, &[]).on(&isolates[n as usize % 10]).send().status);
    assert!(guesses().all(|status| status == 401));
    // An isolate that was asked before learns of it from the count, and every isolate does within the freshness bound.
    for isolate in &isolates {
        locked(&hub.token_call(&guess, &[]).on(isolate).send());
        hub.token_call(&client, &[]).on(isolate).send().expect(200);
    }
    assert_eq!(count(&hub, "authentication.limited"), 1);
    let late = hub.isolate();
    hub.clock.advance(5);
    locked(&hub.token_call(&guess, &[]).on(&late).send());
}

/// More addresses are locked than an isolate remembers: those that it has let go are still refused by the count in D1.
#[test]
fn a_lock_that_an_isolate_has_no_room_for_still_holds() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let guess = wrong(&client);
    let address = |n: usize| format!("192.0.{}.{}", n / 250, n % 250 + 1);
    hub.token_call(&guess, &[]).ip(&address(0)).send().expect(401);
    let key = hub.db.query("SELECT key FROM failures WHERE key NOT LIKE 'client/%'")[0]["key"].clone();
    let key = |n: usize| key.as_str().unwrap().replace(&address(0), &address(n));
    assert_ne!(key(1), key(0));
    let rows = (0..2_500).map(|n| format!("('main', '{}', {}, {LIMIT})", key(n), hub.clock.seconds()));
    hub.db.execute(&format!(
        "DELETE FROM failures WHERE tenant = 'main'; INSERT INTO failures (tenant, key, since, count) VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    ));
    hub.clock.advance(5);
    for n in (0..2_500).step_by(49) {
        locked(&hub.token_call(&guess, &[]).ip(&address(n)).send());
        hub.token_call(&client, &[]).ip(&address(n)).send().expect(200);
    }
}

#[test]
fn an_address_that_guesses_at_many_clients_is_limited_and_others_are_not() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let from = |ip: &str, client: &Credentials| hub.token_call(client, &[]).ip(ip).send();
    for n in 0..LIMIT {
        let guess = Credentials { client_id: format!("client_{n}"), ..wrong(&client) };
        from("203.0.113.7", &guess).expect(401);
    }
    locked(&from("203.0.113.7", &wrong(&client)));
    from("203.0.113.7", &client).expect(200);
    from("203.0.113.8", &wrong(&client)).expect(401);
}

#[test]
fn many_addresses_that_guess_at_one_client_are_one_count_too() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let guess = wrong(&client);
    for n in 0..LIMIT {
        hub.token_call(&guess, &[]).ip(&format!("2001:db8:{n:x}::1")).send().expect(401);
    }
    locked(&hub.token_call(&guess, &[]).ip("2001:db8:ffff::1").send());
    hub.token_call(&client, &[]).ip("2001:db8:ffff::1").send().expect(200);
}

#[test]
fn a_client_id_longer_than_any_is_refused_before_a_look_up() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    hub.token(&client, &[]).expect(200);
    let long = Credentials { client_id: "c".repeat(60_000), ..client };
    let looked = || hub.faults.texts(Port::Db).iter().filter(|text| text.contains("FROM clients")).count();
    let before = looked();
    for form in [
        vec![("client_id", &*long.client_id), ("client_secret", &long.client_secret)],
        vec![("client_id", &long.client_id)],
        vec![
            ("client_id", &long.client_id),
            ("client_assertion_type", crate::routes::client_assertions::JWT_BEARER),
            ("client_assertion", "x"),
        ],
    ] {
        let form = [&[("grant_type", "client_credentials")], &*form].concat();
        hub.call("POST", "/t/main/token").form(&form).send().expect(401);
    }
    assert_eq!(looked(), before);
}

#[test]
fn an_administrator_whose_address_is_flooded_still_kills() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let (token, ip) = (hub.admin_token(), "203.0.113.7");
    for _ in 0..=LIMIT {
        hub.call("GET", "/t/main/admin/clients").bearer("x").ip(ip).send();
        hub.token_call(&wrong(&hub.admin_client("main")), &[]).ip(ip).send();
    }
    let kill = |token: &str| {
        let body = json!({"client": client.client_id});
        hub.call("POST", "/t/main/admin/kill").bearer(token).ip(ip).json(&body).send()
    };
    locked_problem(&kill("x"));
    kill(&token).expect(200);
    hub.token_call(&hub.admin_client("main"), &[]).ip(ip).send().expect(200);
}

#[track_caller]
fn locked_problem(reply: &Reply) {
    assert_eq!((reply.status, reply.json()["code"].as_str()), (429, Some("too_many_requests")), "{reply:?}");
}

#[test]
fn a_request_for_a_nonce_is_no_failure() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    hub.db.execute("UPDATE tenants SET settings = '{\"dpop_nonce\":true}'");
    hub.restart();
    let key = Signer::new(Alg::Es256, 1);
    let claims = json!({"jti": "1", "htm": "POST", "htu": format!("{ISSUER}/token"), "iat": hub.clock.seconds()});
    let proof = key.proof(&claims);
    for _ in 0..LIMIT + 5 {
        let reply = hub.token_call(&client, &[]).header("dpop", &proof).send().expect(400);
        assert_eq!(reply.error(), "use_dpop_nonce");
    }
    assert!(hub.db.query("SELECT key FROM failures").is_empty());
}

#[test]
fn a_lock_of_one_tenant_locks_nobody_in_another() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    hub.create_tenant("second");
    for _ in 0..=LIMIT {
        hub.token_call(&wrong(&client), &[]).ip("203.0.113.7").send();
    }
    let admin = wrong(&hub.admin_client("second"));
    let form = [("grant_type", "client_credentials"), ("scope", "admin")];
    hub.call("POST", "/t/second/token").basic(&admin).form(&form).ip("203.0.113.7").send().expect(401);
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
    assert_eq!(hub.db.query("SELECT key FROM failures").len(), 2);
    hub.clock.advance(PERIOD_SECONDS.unsigned_abs());
    hub.tick().unwrap();
    assert!(hub.db.query("SELECT key FROM failures").is_empty());
}
