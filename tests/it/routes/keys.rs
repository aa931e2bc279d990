//! Signing keys over time: next → current → retired.

use crate::support::hub::{RESOURCE, START, decode};
use crate::support::run::Random;
use crate::support::{Credentials, Port, Reply, Setup};
use serde_json::{Value, json};
use writ::crypto::{b64, unb64};

const DAY: u64 = 24 * 3600;
/// How long a verifier may keep a key set: `max-age` of the response.
const CACHED: u64 = 300;

fn states(hub: &Setup, alg: &str) -> Vec<(String, String)> {
    let query = format!(
        "SELECT kid, state FROM signing_keys WHERE tenant = 'main' AND alg = '{alg}' ORDER BY created_at, state"
    );
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    hub.db.query(&query).iter().map(|row| (text(&row["kid"]), text(&row["state"]))).collect()
}

fn in_state(hub: &Setup, alg: &str, state: &str) -> Vec<String> {
    states(hub, alg).into_iter().filter(|(_, known)| known == state).map(|(kid, _)| kid).collect()
}

fn kids(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn published(hub: &Setup) -> Vec<String> {
    kids(&hub.call("GET", "/t/main/jwks.json").on(&hub.isolate()).send())
}

fn kid(token: &str) -> String {
    decode(token).0["kid"].as_str().unwrap().to_owned()
}

fn agent(hub: &Setup, alg: &str) -> Credentials {
    hub.create_resource(json!({"token_signing_alg": alg}));
    hub.agent("agent", "mcp:read")
}

#[test]
fn the_first_request_makes_a_current_and_a_next_key_for_each_algorithm_and_publishes_both() {
    let hub = Setup::new();
    let reply = hub.call("GET", "/t/main/jwks.json").send();
    for alg in ["ES256", "RS256"] {
        let current = in_state(&hub, alg, "current");
        let next = in_state(&hub, alg, "next");
        assert_eq!((current.len(), next.len()), (1, 1));
        assert!(kids(&reply).contains(&current[0]) && kids(&reply).contains(&next[0]));
    }
    for key in reply.json()["keys"].as_array().unwrap() {
        let private = ["d", "p", "q", "dp", "dq", "qi", "k", "oth"].into_iter().find(|name| key.get(name).is_some());
        assert_eq!(private, None, "{key}");
        assert_eq!(key["use"], "sig");
        let rfc_7638 = match key["kty"].as_str().unwrap() {
            "EC" => format!(r#"{{"crv":{},"kty":"EC","x":{},"y":{}}}"#, key["crv"], key["x"], key["y"]),
            _ => format!(r#"{{"e":{},"kty":"RSA","n":{}}}"#, key["e"], key["n"]),
        };
        assert_eq!(key["kid"], writ::crypto::sha256(rfc_7638).to_text());
    }
}

#[test]
fn the_cron_rotates_after_thirty_days_and_the_next_key_signs_that_was_published_all_along() {
    let hub = Setup::new();
    let client = agent(&hub, "ES256");
    let first = kid(&hub.access_token(&client, "mcp:read"));
    let next = in_state(&hub, "ES256", "next")[0].clone();
    hub.clock.set_seconds(START + 30 * DAY - 1);
    hub.tick().unwrap();
    assert_eq!(kid(&hub.access_token(&client, "mcp:read")), first, "a second too early");
    hub.clock.set_seconds(START + 30 * DAY);
    hub.tick().unwrap();
    assert_eq!(kid(&hub.access_token(&client, "mcp:read")), next);
    assert_eq!(in_state(&hub, "ES256", "retired"), std::slice::from_ref(&first));
    assert!(published(&hub).contains(&first));
    hub.clock.advance(2 * 3600);
    hub.tick().unwrap();
    assert!(!published(&hub).contains(&first), "its last token is dead");
    assert_eq!(in_state(&hub, "ES256", "retired").len(), 0);
}

#[test]
fn a_key_signs_only_after_it_has_been_published_for_as_long_as_anybody_may_cache_the_key_set() {
    let hub = Setup::new();
    hub.admin_token();
    let rotate = || hub.admin("POST", "keys/rotate").send().status;
    assert_eq!(rotate(), 409, "the next key is brand new");
    hub.clock.advance(2 * CACHED);
    assert!(rotate() < 300);
    assert_eq!(rotate(), 409);
}

#[test]
fn a_token_of_a_retired_key_is_honoured_until_it_dies() {
    let hub = Setup::new();
    hub.admin_token();
    hub.clock.advance(2 * CACHED);
    let token = hub.admin_token();
    hub.admin("POST", "keys/rotate").send();
    assert_eq!(in_state(&hub, "ES256", "retired"), [kid(&token)]);
    let status = || hub.call("GET", "/t/main/admin/clients").bearer(&token).on(&hub.isolate()).send().status;
    assert_eq!(status(), 200);
    hub.clock.advance(299);
    hub.tick().unwrap();
    assert_eq!(status(), 200);
    hub.clock.advance(30);
    assert_eq!(status(), 401);
}

#[test]
fn isolates_that_race_for_the_first_keys_make_one_per_state_and_all_their_tokens_verify() {
    for seed in 0..20 {
        let hub = Setup::new();
        let isolates: Vec<_> = (0..4).map(|_| hub.isolate()).collect();
        let admin = hub.admin_client("main");
        let ask = |isolate| hub.token_call(&admin, &[]).on(isolate).future();
        let replies = hub.together(seed, isolates.iter().map(ask).collect());
        let published = published(&hub);
        for reply in replies {
            assert!(published.contains(&kid(&reply.access_token())), "seed {seed}");
        }
        for alg in ["ES256", "RS256"] {
            let states: Vec<_> = states(&hub, alg).into_iter().map(|(_, state)| state).collect();
            assert_eq!(states.len(), 2, "seed {seed}: {states:?}");
            assert!(states.iter().any(|state| state == "current") && states.iter().any(|state| state == "next"));
        }
        let made = hub.events_of("key.rotated");
        assert_eq!(made.len(), 4, "one event for each key that was kept, seed {seed}");
    }
}

#[test]
fn isolates_that_race_to_rotate_rotate_once() {
    for seed in 0..20 {
        let hub = Setup::new();
        hub.admin_token();
        hub.clock.advance(2 * CACHED);
        let token = hub.admin_token();
        let isolates: Vec<_> = (0..3).map(|_| hub.isolate()).collect();
        let rotate = |isolate| hub.call("POST", "/t/main/admin/keys/rotate").bearer(&token).on(isolate).future();
        hub.together(seed, isolates.iter().map(rotate).collect());
        for alg in ["ES256", "RS256"] {
            for state in ["current", "next", "retired"] {
                assert_eq!(in_state(&hub, alg, state).len(), 1, "seed {seed}, {alg} {state}");
            }
        }
    }
}

#[test]
fn a_rotation_whose_reply_is_lost_leaves_a_complete_set() {
    let hub = Setup::new();
    hub.admin_token();
    hub.clock.set_seconds(START + 30 * DAY);
    hub.faults.fail_when(
        Port::Db,
        |call| call.text.contains("'retired', changed_at"),
        crate::support::Effect::LosesReply,
    );
    assert!(hub.tick().is_err());
    hub.faults.heal();
    hub.tick().unwrap();
    for alg in ["ES256", "RS256"] {
        assert_eq!((in_state(&hub, alg, "current").len(), in_state(&hub, alg, "next").len()), (1, 1), "{alg}");
    }
    hub.admin_token();
}

#[test]
fn private_halves_are_sealed_wherever_they_rest() {
    let hub = Setup::new();
    let client = agent(&hub, "RS256");
    hub.access_token(&client, "mcp:read");
    hub.clock.set_seconds(START + 30 * DAY);
    hub.tick().unwrap();
    let made = hub.keys.made();
    assert!(made.len() >= 6);
    let dump = hub.dump_everything();
    for pkcs8 in made {
        // Whatever the alignment, one of three shifts of the base64 text would be in the dump.
        for shift in 0..3 {
            let text = b64(&pkcs8[shift..]);
            let middle = &text[text.len() / 3..text.len() / 2];
            assert!(middle.len() > 20 && !dump.contains(middle));
        }
        let hex: String = pkcs8[40..60].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!dump.contains(&hex));
    }
}

#[test]
fn a_sealed_key_opens_only_in_its_own_place() {
    let hub = Setup::new();
    hub.admin_token();
    hub.db.execute(
        "UPDATE signing_keys SET sealed = (SELECT sealed FROM signing_keys WHERE alg = 'ES256' AND state = 'next') \
         WHERE alg = 'ES256' AND state = 'current'",
    );
    hub.restart();
    let reply = hub.token(&hub.admin_client("main"), &[]);
    assert_eq!((reply.status, reply.error().as_str()), (500, "server_error"));
}

/// Who can write rows gives no tenant the key of another, and no key another name.
#[test]
fn a_stored_key_is_bound_to_its_tenant_and_to_its_kid() {
    let of = |tenant: &str, state: &str| format!("tenant = '{tenant}' AND alg = 'ES256' AND state = '{state}'");
    let (own, next) = (of("main", "current"), of("main", "next"));
    let take = |members: &str, from: &str| {
        format!("UPDATE signing_keys SET ({members}) = (SELECT {members} FROM signing_keys WHERE {from}) WHERE {own}")
    };
    for swap in [
        take("kid, jwk, sealed", &of("second", "current")),
        take("jwk, sealed", &of("second", "current")),
        take("jwk", &next),
        take("jwk, sealed", &next),
        format!("UPDATE signing_keys SET kid = 'x' WHERE {own}"),
        format!("UPDATE signing_keys SET kid = kid || 'x' WHERE {own}"),
    ] {
        let hub = Setup::new();
        hub.create_tenant("second");
        hub.admin_token_of("second");
        hub.admin_token();
        hub.db.execute(&swap);
        hub.restart();
        let reply = hub.token(&hub.admin_client("main"), &[]);
        assert_eq!((reply.status, reply.error().as_str()), (500, "server_error"), "{swap}");
        hub.admin_token_of("second");
    }
    // A Worker that opens no key publishes none under another name either.
    let hub = Setup::new();
    hub.admin_token();
    hub.db.execute(&take("jwk", &next));
    let discovery = hub.isolate_with(&[("ROLES", "discovery"), ("SIGNING_KEK", ""), ("VAULT_KEK", "")]);
    hub.call("GET", "/t/main/jwks.json").on(&discovery).send().expect(500);
}

#[test]
fn a_worker_without_the_key_encryption_key_publishes_keys_and_makes_none() {
    let hub = Setup::new();
    let discovery = hub.isolate_with(&[("ROLES", "discovery"), ("SIGNING_KEK", ""), ("VAULT_KEK", "")]);
    let jwks = || kids(&hub.call("GET", "/t/main/jwks.json").on(&discovery).send());
    assert!(jwks().is_empty());
    let token = hub.admin_token();
    hub.clock.advance(5);
    assert!(jwks().contains(&kid(&token)));
}

/// What has to hold at every moment of every history: whoever verifies a live token finds its key, in the key set of
/// now and in one that was fetched while its caching allows it to be kept.
#[test]
fn at_every_moment_the_key_set_holds_the_key_of_every_live_token() {
    for seed in 0..12 {
        let hub = Setup::new();
        hub.create_resource(json!({"access_token_lifetime": 3600}));
        hub.create_resource(
            json!({"resource": "https://rsa.example", "token_signing_alg": "RS256", "access_token_lifetime": 3600}),
        );
        let client = hub.create_client(json!({"client_name": "agent"}));
        let cedar =
            format!(r#"permit(principal == Client::"{}", action == Action::"issue", resource);"#, client.client_id);
        hub.put_policy("all", &cedar);
        let isolates: Vec<_> = (0..3).map(|_| hub.isolate()).collect();
        let mut random = Random(seed);
        let mut tokens: Vec<(String, u64)> = Vec::new();
        let mut fetched: Vec<(u64, Vec<String>)> = Vec::new();
        let mut signers = Vec::new();
        for _ in 0..60 {
            let isolate = &isolates[random.below(isolates.len())];
            match random.below(6) {
                0 => hub.tick().unwrap(),
                1 => {
                    hub.admin("POST", "keys/rotate").on(isolate).send();
                }
                2 => hub.clock.advance(random.next() % 20),
                3 => hub.clock.advance(random.next() % 1200),
                4 => hub.clock.advance(random.next() % (12 * DAY)),
                _ => {
                    let resource = ["https://rsa.example", RESOURCE][random.below(2)];
                    let reply = hub.token_call(&client, &[("resource", resource)]).on(isolate).send();
                    let token = reply.access_token();
                    let signer = kid(&token);
                    let (_, claims) = decode(&token);
                    let now = hub.clock.seconds();
                    for (at, kids) in fetched.iter().filter(|(at, _)| at + CACHED > now) {
                        assert!(kids.contains(&signer), "seed {seed}: a key set of {} s ago lacks a signer", now - at);
                    }
                    tokens.push((signer.clone(), claims["exp"].as_u64().unwrap()));
                    signers.push(signer);
                }
            }
            let now = hub.clock.seconds();
            let kids = kids(&hub.call("GET", "/t/main/jwks.json").on(isolate).send());
            for (signer, exp) in tokens.iter().filter(|(_, exp)| exp + 10 >= now) {
                assert!(
                    kids.contains(signer),
                    "seed {seed}: the key of a token that lives until {exp} is gone at {now}"
                );
            }
            fetched.push((now, kids));
        }
        signers.sort_unstable();
        signers.dedup();
        assert!(signers.len() > 1, "seed {seed}: the history rotates");
    }
}

#[test]
fn a_sealed_key_is_base64url_behind_its_version() {
    let hub = Setup::new();
    hub.admin_token();
    for row in hub.db.query("SELECT sealed FROM signing_keys") {
        let (version, sealed) = row["sealed"].as_str().unwrap().split_once('.').unwrap();
        assert_eq!(version, "1");
        assert!(unb64(sealed).is_some());
    }
}

// ── Withdrawal ──

#[test]
fn a_revoked_key_is_gone_at_once_and_the_next_one_signs() {
    let hub = Setup::new();
    let agent = agent(&hub, "ES256");
    let token = hub.access_token(&agent, "mcp:read");
    let server = super::introspection::Server::new(&hub, RESOURCE);
    assert!(server.is_active(&token));
    let (old, next) = (kid(&token), in_state(&hub, "ES256", "next"));
    let far = hub.isolate();
    hub.token_call(&agent, &[]).on(&far).send().expect(200);
    let revoke = |kid: &str| hub.admin("POST", &format!("keys/{kid}/revoke")).send();
    let listed = revoke(&old).expect(200).json();
    assert!(!listed.to_string().contains(&old));
    assert!(!published(&hub).contains(&old) && !hub.db.dump().contains(&format!("\"{old}\"")));
    assert!(!server.is_active(&token), "no token that it signed is honoured");
    assert_eq!(kid(&hub.access_token(&agent, "mcp:read")), next[0], "verifiers know it");
    assert_eq!(in_state(&hub, "ES256", "next").len(), 1);
    hub.clock.advance(5);
    assert_eq!(kid(&hub.token_call(&agent, &[]).on(&far).send().access_token()), next[0]);
    let [event] = hub.events_of("key.revoked").try_into().unwrap();
    assert_eq!((event["target"].as_str(), event["detail"].as_str()), (Some(&*old), Some("current")));
    revoke(&old).expect(404);
}

#[test]
fn a_next_and_a_retired_key_can_be_revoked_too() {
    let hub = Setup::new();
    let agent = agent(&hub, "ES256");
    let first = kid(&hub.access_token(&agent, "mcp:read"));
    let revoke = |kid: &str| hub.admin("POST", &format!("keys/{kid}/revoke")).send().expect(200);
    let next = in_state(&hub, "ES256", "next").remove(0);
    revoke(&next);
    assert_ne!(in_state(&hub, "ES256", "next"), [next]);
    hub.clock.advance(600);
    hub.admin("POST", "keys/rotate").send().expect(200);
    assert_eq!(in_state(&hub, "ES256", "retired"), [&*first]);
    revoke(&first);
    assert!(in_state(&hub, "ES256", "retired").is_empty() && !published(&hub).contains(&first));
    hub.access_token(&agent, "mcp:read");
}

#[test]
fn the_cron_seals_anew_what_lies_under_an_older_key_encryption_key() {
    let hub = Setup::new();
    let agent = agent(&hub, "ES256");
    hub.admin("PUT", "connections/warehouse")
        .json(&super::connections::body(0, &[super::connections::READ]))
        .send()
        .expect(201);
    hub.token(&agent, &[]).expect(200);
    let (signing, vault) =
        ("2:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "2:AgECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    let both = hub.isolate_with(&[
        ("SIGNING_KEK", &format!("{signing} {}", crate::support::hub::SIGNING_KEK)),
        ("VAULT_KEK", &format!("{vault} {}", crate::support::hub::VAULT_KEK)),
    ]);
    hub.clock.block_on(both.app().tick(&|| hub.clock.now())).unwrap();
    let old = "SELECT sealed FROM signing_keys WHERE sealed NOT LIKE '2.%' UNION ALL \
               SELECT wrapped_key FROM credentials WHERE wrapped_key NOT LIKE '2.%'";
    assert!(hub.db.query(old).is_empty());
    let new = hub.isolate_with(&[("SIGNING_KEK", signing), ("VAULT_KEK", vault)]);
    hub.token_call(&agent, &[]).on(&new).send().expect(200);
    hub.fetch.answer(|_| {
        crate::support::Scripted::json(
            200,
            json!({"access_token": "ya29.x", "expires_in": 600, "token_type": "Bearer"}),
        )
    });
    hub.put_policy("lease", "permit(principal, action == Action::\"lease\", resource);");
    let server = super::introspection::Server::new(&hub, RESOURCE).client;
    let token = hub.access_token(&agent, "mcp:read");
    hub.clock.advance(5);
    let form = [("subject_token", &*token)];
    let lease = hub.call("POST", "/t/main/connections/warehouse/token").basic(&server).form(&form);
    lease.on(&new).send().expect(200);
}
