//! What a stop reaches: tokens that were made from others, tokens of others, and requests that wait while it happens.

use super::chain::{ACCESS_TOKEN, Chain, EXCHANGE, IDP, JWT, JWT_BEARER, TASKS, claims};
use super::connections;
use super::introspection::Server;
use crate::support::hub::{ISSUER, RESOURCE, decode, permit};
use crate::support::{Effect, Port, Reply, Scripted, Setup, Signer};
use serde_json::{Value, json};
use std::task::{Context, Waker};
use writ::crypto::{b64, sha256};
use writ::ports::{Alg, Pending, Timer};

fn kill(hub: &Setup, what: &Value) -> Reply {
    hub.admin("POST", "kill").json(what).send()
}

// ── Waits ──

/// Sends `slow`, and stops what `what` names from another isolate after a second, while `slow` waits.
fn kill_meanwhile<'a>(hub: &'a Setup, slow: Pending<'a, Reply>, what: Value) -> Reply {
    let (token, far) = (hub.admin_token(), hub.isolate());
    let kill: Pending<'a, Reply> = Box::pin(async move {
        hub.clock.sleep(1_000).await;
        hub.call("POST", "/t/main/admin/kill").bearer(&token).json(&what).on(&far).future().await
    });
    let [slow, killed] = hub.clock.drive(1, vec![slow, kill]).try_into().unwrap();
    killed.expect(200);
    slow
}

fn leased() -> (Chain, String, crate::support::Credentials) {
    let chain = Chain::new();
    let server = Server::new(&chain.hub, RESOURCE).client;
    let token = json!({"access_token": "ya29.x", "expires_in": 3600, "token_type": "Bearer"});
    chain.hub.fetch.answer(move |_| Scripted::json(200, token.clone()).after(4_000));
    chain
        .hub
        .admin("PUT", "connections/warehouse")
        .json(&connections::body(0, &[connections::READ]))
        .send()
        .expect(201);
    chain.hub.put_policy("lease", "permit(principal, action == Action::\"lease\", resource);");
    let token = chain.own_token(&chain.planner, RESOURCE);
    (chain, token, server)
}

#[test]
fn a_kill_while_a_lease_waits_for_its_provider_is_not_escaped() {
    for what in ["client", "chain", "server", "connection"] {
        let (chain, token, server) = leased();
        let named = match what {
            "client" => json!({"client": chain.planner.client_id}),
            "chain" => json!({"chain": decode(&token).1["jti"]}),
            "server" => json!({"client": server.client_id}),
            _ => json!({"connection": "warehouse"}),
        };
        let form = [("subject_token", &*token)];
        let lease = chain.hub.call("POST", "/t/main/connections/warehouse/token").basic(&server).form(&form).future();
        let reply = kill_meanwhile(&chain.hub, lease, named);
        assert!(!reply.text.contains("ya29") && reply.status >= 400, "{what}: {reply:?}");
    }
}

#[test]
fn a_policy_that_forbids_while_a_lease_waits_is_not_escaped() {
    let (chain, token, server) = leased();
    let hub = &chain.hub;
    let (admin, far) = (hub.admin_token(), hub.isolate());
    let form = [("subject_token", &*token)];
    let lease = hub.call("POST", "/t/main/connections/warehouse/token").basic(&server).form(&form).future();
    let forbid: Pending<'_, Reply> = Box::pin(async {
        hub.clock.sleep(1_000).await;
        let body = json!({"description": "x", "mode": "enforce", "cedar": "forbid(principal, action == Action::\"lease\", resource);"});
        hub.call("PUT", "/t/main/admin/policies/no").bearer(&admin).json(&body).on(&far).future().await
    });
    let [lease, _] = hub.clock.drive(1, vec![lease, forbid]).try_into().unwrap();
    assert_eq!((lease.status, lease.error().as_str()), (403, "access_denied"));
}

/// A client that signs, whose key set takes four seconds to come: its metadata, its id, and an assertion of it.
fn slow_signer(hub: &Setup) -> (Value, String, String) {
    hub.create_resource(json!({}));
    let key = Signer::new(Alg::Es256, 1);
    let jwks = key.jwks("k");
    hub.fetch.answer(move |_| Scripted::json(200, jwks.clone()).after(4_000));
    let body = json!({
        "client_name": "signer", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://agent.example/jwks.json",
        "allowed_resources": [RESOURCE],
    });
    let id =
        hub.admin("POST", "clients").json(&body).send().expect(201).json()["client_id"].as_str().unwrap().to_owned();
    hub.put_policy("signer", &permit(&id, RESOURCE));
    let now = hub.clock.seconds();
    let claims = json!({"iss": id, "sub": id, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": "1"});
    (body, id, key.jwt(json!({"kid": "k"}), &claims))
}

#[test]
fn a_kill_while_a_key_set_is_fetched_is_not_escaped() {
    let hub = Setup::new();
    let (_, id, assertion) = slow_signer(&hub);
    let ask = super::client_assertions::with_assertion(&hub, &assertion, &[]).future();
    assert_eq!(kill_meanwhile(&hub, ask, json!({"client": id})).expect(400).error(), "invalid_grant");
}

#[test]
fn a_client_that_is_changed_while_a_key_set_is_fetched_gets_what_it_may_have_now() {
    let ask = |change: Value| {
        let hub = Setup::new();
        let (mut body, id, assertion) = slow_signer(&hub);
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let ask =
            super::client_assertions::with_assertion(&hub, &assertion, &[("scope", "mcp:read mcp:write")]).future();
        let (token, far, path) = (hub.admin_token(), hub.isolate(), format!("/t/main/admin/clients/{id}"));
        let change: Pending<'_, Reply> = Box::pin(async {
            hub.clock.sleep(1_000).await;
            let call = hub.call("PUT", &path).bearer(&token).header("if-match", "*").json(&body).on(&far);
            call.future().await
        });
        let [asked, changed] = hub.clock.drive(1, vec![ask, change]).try_into().unwrap();
        changed.expect(200);
        asked
    };
    assert_eq!(ask(json!({})).expect(200).json()["scope"], "mcp:read mcp:write");
    assert_eq!(ask(json!({"scope": "mcp:read"})).expect(200).json()["scope"], "mcp:read");
    assert_eq!(ask(json!({"allowed_resources": ["https://other.example/mcp"]})).expect(400).error(), "invalid_target");
}

#[test]
fn a_request_that_has_not_waited_reads_nothing_again() {
    let chain = Chain::new();
    chain.own_token(&chain.planner, RESOURCE);
    let before = chain.hub.faults.calls(Port::Db);
    chain.own_token(&chain.planner, RESOURCE);
    assert_eq!(chain.hub.faults.calls(Port::Db), before);
}

// ── Lineage ──

#[test]
fn stopping_an_ancestor_of_the_actor_token_stops_what_the_actor_got() {
    let chain = Chain::new();
    chain.hub.put_policy("alone", "permit(principal, action == Action::\"impersonate\", resource);");
    let (first, server) = (chain.own_token(&chain.worker, RESOURCE), Server::new(&chain.hub, RESOURCE));
    let second = chain.exchange(&chain.worker, &first, &[("resource", RESOURCE)]).send().access_token();
    let user = chain.user_token(&chain.planner, TASKS, "mcp:read");
    let actor = [("actor_token", &*second), ("actor_token_type", JWT), ("resource", RESOURCE)];
    let made = chain.exchange(&chain.worker, &user, &actor).send().access_token();
    assert!(server.is_active(&made));
    kill(&chain.hub, &json!({"chain": decode(&first).1["jti"]})).expect(200);
    assert!(!server.is_active(&made));
}

#[test]
fn the_token_of_an_outside_issuer_is_stopped_by_its_issuer_and_its_name_whatever_that_looks_like() {
    let chain = Chain::new();
    let server = Server::new(&chain.hub, RESOURCE);
    // As long as a digest.
    let jti = b64([7; 32]);
    let assertion = chain.assertion(json!({"jti": jti}));
    let token = chain.by_assertion(&chain.planner, &assertion, &[("resource", RESOURCE)]).send().access_token();
    kill(&chain.hub, &json!({"chain": jti})).expect(200);
    kill(&chain.hub, &json!({"chain": jti, "issuer": "https://other.example"})).expect(200);
    assert!(server.is_active(&token), "another token has that name");
    kill(&chain.hub, &json!({"chain": jti, "issuer": IDP})).expect(200);
    assert!(!server.is_active(&token));
}

#[test]
fn the_stop_of_an_outside_token_lasts_as_long_as_the_token() {
    let chain = Chain::new();
    let exp = chain.now() + 86_400;
    let token = chain.assertion(json!({"jti": "long", "exp": exp}));
    let exchange = || {
        let form = [
            ("grant_type", EXCHANGE),
            ("subject_token", &*token),
            ("subject_token_type", JWT),
            ("resource", RESOURCE),
            ("actor_token", &*chain.own_token(&chain.planner, RESOURCE)),
            ("actor_token_type", ACCESS_TOKEN),
        ];
        chain.post(&chain.planner, &form).send()
    };
    exchange().expect(200);
    kill(&chain.hub, &json!({"chain": "long", "issuer": IDP})).expect(200);
    for hours in [0, 2, 20, 1] {
        chain.hub.clock.advance(hours * 3_600);
        chain.hub.tick().unwrap();
        assert_eq!(exchange().expect(400).error(), "invalid_request");
    }
}

#[test]
fn a_stopped_platform_token_authenticates_no_client() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let (platform, issuer, now) = (Signer::new(Alg::Es256, 1), "https://ci.example", hub.clock.seconds());
    let body = json!({"issuer": issuer, "name": "CI", "uses": ["workload"], "jwks": platform.jwks("k")});
    hub.admin("POST", "issuers").json(&body).send().expect(201);
    let body = json!({
        "client_name": "job", "token_endpoint_auth_method": "federated_jwt", "allowed_resources": [RESOURCE],
        "grant_types": ["client_credentials", JWT_BEARER],
        "workload_identities": [{"issuer": issuer, "rules": [{"claim": "sub", "equals": "job"}]}],
    });
    let id =
        hub.admin("POST", "clients").json(&body).send().expect(201).json()["client_id"].as_str().unwrap().to_owned();
    hub.put_policy("job", &permit(&id, RESOURCE));
    let claims = json!({"iss": issuer, "sub": "job", "aud": ISSUER, "iat": now, "exp": now + 600, "jti": "run-1"});
    let token = platform.jwt(json!({"kid": "k"}), &claims);
    let authenticate = || super::client_assertions::with_assertion(&hub, &token, &[]).send();
    let bearer = || {
        let form = [("grant_type", JWT_BEARER), ("assertion", &*token), ("resource", RESOURCE)];
        hub.call("POST", "/t/main/token").form(&form).send()
    };
    authenticate().expect(200);
    bearer().expect(200);
    kill(&hub, &json!({"chain": "run-1", "issuer": issuer})).expect(200);
    authenticate().expect(401);
    assert_eq!(bearer().expect(400).error(), "invalid_grant");
}

#[test]
fn killing_what_its_client_has_revoked_answers_its_receipt_twice_and_is_one_event() {
    let chain = Chain::new();
    let token = chain.own_token(&chain.planner, RESOURCE);
    let revoke = chain.hub.call("POST", "/t/main/revoke").basic(&chain.planner).form(&[("token", &*token)]).send();
    assert_eq!(revoke.expect(200).json(), json!({}));
    let what = json!({"chain": decode(&token).1["jti"]});
    let first = kill(&chain.hub, &what).expect(200).json();
    assert_eq!(kill(&chain.hub, &what).expect(200).json(), first);
    assert_eq!(chain.hub.events_of("chain.killed").len(), 1);
    assert_eq!(first["status"], "retired");
}

#[test]
fn a_kill_names_something_that_can_exist() {
    let chain = Chain::new();
    let (long, digest) = ("x".repeat(65), b64([1; 32]));
    for bad in [
        json!({"chain": ""}),
        json!({"chain": "x"}),
        json!({"chain": format!("{digest}x")}),
        json!({"chain": "", "issuer": IDP}),
        json!({"chain": "x", "issuer": ""}),
        json!({"client": ""}),
        json!({"client": long}),
        json!({"user": "a b"}),
        json!({"identity": ""}),
        json!({"connection": "A B"}),
        json!({"tenant": ""}),
        json!({"client": "client_x", "issuer": IDP}),
    ] {
        kill(&chain.hub, &bad).expect(400);
    }
    kill(&chain.hub, &json!({"client": "client_nobody"})).expect(404);
}

// ── Time ──

#[test]
fn a_receipt_promises_no_moment_at_which_a_token_still_comes() {
    for millis in [0, 1, 500, 950, 999] {
        let hub = Setup::new();
        let agent = hub.agent("agent", "mcp:read");
        let far = hub.isolate();
        hub.clock.advance_millis(millis);
        hub.token_call(&agent, &[]).on(&far).send().expect(200);
        let receipt = kill(&hub, &json!({"client": agent.client_id})).expect(200).json();
        let promised = receipt["not_honoured_after"].as_u64().unwrap() * 1_000;
        hub.clock.advance_millis(promised - hub.clock.now().millis());
        hub.token_call(&agent, &[]).on(&far).send().expect(401);
    }
}

#[test]
fn a_token_of_the_second_of_the_kill_is_dead_and_one_from_after_a_resumed_tenant_lives() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    let server = Server::new(&hub, RESOURCE);
    let identity = |token: &str| {
        let sub = decode(token).1["sub"].as_str().unwrap().to_owned();
        hub.db.query(&format!("SELECT id FROM identities WHERE client = '{sub}'"))[0]["id"].clone()
    };
    hub.clock.advance_millis(300);
    let token = hub.access_token(&agent, "mcp:read");
    hub.clock.advance_millis(400);
    kill(&hub, &json!({"identity": identity(&token)})).expect(200);
    assert!(!server.is_active(&token));
}

#[test]
fn a_revoked_token_stays_dead_through_its_leeway() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    let server = Server::new(&hub, RESOURCE);
    let token = hub.access_token(&agent, "mcp:read");
    hub.call("POST", "/t/main/revoke").basic(&agent).form(&[("token", &*token)]).send().expect(200);
    let exp = decode(&token).1["exp"].as_u64().unwrap();
    for second in exp - 1..exp + 12 {
        hub.clock.set_seconds(second);
        hub.tick().unwrap();
        assert!(!server.is_active(&token), "{second}");
    }
}

#[test]
fn a_client_is_honoured_to_the_second_of_its_expiry() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let expiry = hub.clock.seconds() + 100;
    let client = hub.create_client(json!({"allowed_resources": [RESOURCE], "expires_at": expiry}));
    hub.put_policy("agent", &permit(&client.client_id, RESOURCE));
    let (token, server) = (hub.token(&client, &[]).access_token(), Server::new(&hub, RESOURCE));
    hub.clock.advance_millis(99_999);
    hub.token(&client, &[]).expect(200);
    assert!(server.is_active(&token));
    hub.clock.advance_millis(1);
    hub.token(&client, &[]).expect(401);
    assert!(!server.is_active(&token));
}

// ── One place for the tokens of others ──

#[test]
fn no_grant_gives_a_token_that_outlives_the_assertion_or_goes_to_an_actor_that_it_does_not_name() {
    let chain = Chain::new();
    let assertion = chain.assertion(json!({"exp": chain.now() + 40}));
    let reply = chain.by_assertion(&chain.planner, &assertion, &[("resource", RESOURCE)]).send().expect(200);
    assert!(claims(&reply)["exp"].as_i64().unwrap() <= chain.now() + 40);
    let worker = json!({"may_act": {"sub": chain.worker.client_id}});
    let refused =
        chain.by_assertion(&chain.planner, &chain.assertion(worker.clone()), &[("resource", RESOURCE)]).send();
    assert_eq!(refused.expect(400).error(), "invalid_grant");
    assert_eq!(chain.refusal()["detail"], "ActorNotNamed");
    chain.by_assertion(&chain.worker, &chain.assertion(worker), &[("resource", RESOURCE)]).send().expect(200);
}

#[test]
fn a_proof_without_a_client_is_remembered_only_once_an_assertion_has_been_verified() {
    let chain = Chain::new();
    let key = Signer::new(Alg::Es256, 3);
    for grant in [JWT_BEARER, EXCHANGE] {
        let form = [("grant_type", grant), ("assertion", "x"), ("subject_token", "x"), ("subject_token_type", JWT)];
        chain.hub.call("POST", "/t/main/token").form(&form).header("dpop", &chain.proof(&key)).send().expect(400);
    }
    assert!(chain.hub.db.query("SELECT kind FROM spent").is_empty());
}

/// What google-auth's `identity_pool` sends: no client, the platform's token as the subject token, `audience` for the resource.
#[test]
fn a_workload_exchanges_its_platform_token_without_any_other_authentication() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let (platform, issuer, now) = (Signer::new(Alg::Es256, 1), "https://ci.example", hub.clock.seconds());
    let body = json!({"issuer": issuer, "name": "CI", "uses": ["workload"], "jwks": platform.jwks("k")});
    hub.admin("POST", "issuers").json(&body).send().expect(201);
    let register = |name: &str, grants: &[&str]| {
        let body = json!({
            "client_name": name, "token_endpoint_auth_method": "federated_jwt", "allowed_resources": [RESOURCE],
            "grant_types": grants,
            "workload_identities": [{"issuer": issuer, "rules": [{"claim": "sub", "equals": name}]}],
        });
        let made = hub.admin("POST", "clients").json(&body).send().expect(201).json();
        made["client_id"].as_str().unwrap().to_owned()
    };
    let id = register("job", &[EXCHANGE]);
    register("other", &["client_credentials"]);
    register("twice", &[EXCHANGE]);
    register("twice", &[EXCHANGE]);
    hub.put_policy("job", &permit(&id, RESOURCE));
    let exchange = |sub: &str, aud: &str| {
        let claims = json!({"iss": issuer, "sub": sub, "aud": aud, "iat": now, "exp": now + 200});
        let token = platform.jwt(json!({"kid": "k"}), &claims);
        let form = [
            ("grant_type", EXCHANGE),
            ("audience", RESOURCE),
            ("scope", "mcp:read"),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token", &*token),
            ("subject_token_type", JWT),
        ];
        hub.call("POST", "/t/main/token").form(&form).send()
    };
    let reply = exchange("job", ISSUER).expect(200);
    assert_eq!(reply.json()["issued_token_type"], ACCESS_TOKEN);
    let token = claims(&reply);
    assert_eq!((&token["sub"], &token["client_id"], &token["aud"]), (&json!(id), &json!(id), &json!(RESOURCE)));
    assert!(token["exp"].as_u64().unwrap() <= now + 200 && token.get("act").is_none());
    assert_eq!(exchange("other", ISSUER).expect(400).error(), "unauthorized_client");
    for (sub, aud) in [("twice", ISSUER), ("nobody", ISSUER), ("job", RESOURCE)] {
        assert_eq!(exchange(sub, aud).expect(400).error(), "invalid_request", "{sub} {aud}");
    }
    let form = [("grant_type", EXCHANGE), ("subject_token", "x"), ("subject_token_type", ACCESS_TOKEN)];
    hub.call("POST", "/t/main/token").form(&form).send().expect(401);
}

// ── Administrators ──

#[test]
fn an_administrator_who_is_demoted_or_forbidden_loses_the_api_within_the_bound() {
    for change in ["demoted", "forbidden", "narrowed"] {
        let hub = Setup::new();
        let api = format!("{ISSUER}/admin");
        let body = json!({"client_name": "second", "allowed_resources": [api]});
        let second = hub.create_client(body.clone());
        let token = hub.token(&second, &[("scope", "admin")]).access_token();
        let far = hub.isolate();
        let ask =
            |at: &crate::support::hub::Isolate| hub.call("GET", "/t/main/admin/clients").bearer(&token).on(at).send();
        ask(&far).expect(200);
        match change {
            "forbidden" => hub.put_policy(
                "no",
                &format!(r#"forbid(principal == Client::"{}", action, resource);"#, second.client_id),
            ),
            other => {
                let path = format!("clients/{}", second.client_id);
                let etag = hub.admin("GET", &path).send().header("etag").unwrap().to_owned();
                let mut metadata =
                    json!({"client_name": "second", "token_endpoint_auth_method": "client_secret_basic"});
                metadata["allowed_resources"] = json!([if other == "demoted" { RESOURCE } else { &api }]);
                if other == "narrowed" {
                    metadata["scope"] = "other".into();
                }
                hub.admin("PUT", &path).header("if-match", &etag).json(&metadata).send().expect(200);
            }
        }
        hub.clock.advance(5);
        let refused = ask(&far).expect(403);
        assert_eq!(refused.json()["reason"], "NoLongerPermitted", "{change}");
        assert_eq!(hub.events_of("admin.refused").pop().unwrap()["client"], second.client_id.as_str());
        hub.admin("GET", "clients").send().expect(200);
    }
}

#[test]
fn a_token_of_the_second_of_a_kill_is_dead_and_one_of_the_next_second_is_not() {
    for table in ["tenants", "clients", "users", "identities"] {
        let chain = Chain::new();
        let token = chain.user_token(&chain.planner, TASKS, "mcp:read");
        let own = chain.own_token(&chain.worker, RESOURCE);
        for (before, status) in [(chain.now(), 400), (chain.now() - 1, 200)] {
            chain.hub.db.execute(&format!("UPDATE {table} SET revoked_before = {before}"));
            chain.hub.restart();
            let actor = [("actor_token", &*own), ("actor_token_type", ACCESS_TOKEN), ("resource", RESOURCE)];
            let reply = chain.exchange(&chain.worker, &token, &actor).send();
            assert_eq!(reply.status, status, "{table} {before}: {reply:?}");
        }
    }
}

#[test]
fn a_token_of_our_key_with_another_issuer_or_tenant_or_from_before_a_stop_is_not_active() {
    let chain = Chain::new();
    let server = Server::new(&chain.hub, RESOURCE).client;
    let token = chain.user_token(&chain.planner, RESOURCE, "mcp:read");
    let active = |token: &str| {
        let call = chain.hub.call("POST", "/t/main/introspect").basic(&server).form(&[("token", token)]);
        call.send().json()["active"] == true
    };
    assert!(active(&chain.forge("at+jwt", &token, json!({}))));
    for other in [json!({"iss": "https://elsewhere.example/t/main"}), json!({"tenant": "acme"})] {
        assert!(!active(&chain.forge("at+jwt", &token, other.clone())), "{other}");
    }
    for table in ["users", "identities"] {
        for (before, lives) in [(chain.now(), false), (0, true)] {
            chain.hub.db.execute(&format!("UPDATE {table} SET revoked_before = {before}"));
            chain.hub.restart();
            assert_eq!(active(&token), lives, "{table}");
        }
    }
}

// ── Faults ──

/// Every grant that deals in the tokens of others, with each call of each port failing or losing its reply in turn.
#[test]
fn whichever_call_of_a_grant_fails_there_is_a_503_or_a_token_whose_event_is_kept() {
    for grant in [JWT_BEARER, EXCHANGE] {
        for port in [Port::Db, Port::Queue, Port::Keys] {
            for effect in [Effect::Fails, Effect::LosesReply] {
                let chain = Chain::new();
                let (user, own) =
                    (chain.user_token(&chain.planner, TASKS, "mcp:read"), chain.own_token(&chain.worker, RESOURCE));
                let ask = || {
                    let actor = [("actor_token", &*own), ("actor_token_type", JWT), ("resource", RESOURCE)];
                    match grant {
                        EXCHANGE => chain.exchange(&chain.worker, &user, &actor).send(),
                        _ => {
                            let assertion = chain.assertion(json!({}));
                            chain.by_assertion(&chain.worker, &assertion, &[("resource", RESOURCE)]).send()
                        }
                    }
                };
                chain.hub.restart();
                let before = chain.hub.faults.calls(port);
                ask().expect(200);
                for nth in 0..chain.hub.faults.calls(port) - before {
                    chain.hub.restart();
                    chain.hub.faults.fail_nth(port, nth, effect);
                    let reply = ask();
                    chain.hub.faults.heal();
                    if reply.status == 200 {
                        let jti = sha256(claims(&reply)["jti"].as_str().unwrap()).to_text();
                        let kept = chain.hub.events_of("token.issued").iter().any(|event| event["jti_hash"] == *jti);
                        assert!(kept, "{grant} {port:?} {nth} {effect:?}");
                    } else {
                        assert_eq!(reply.status, 503, "{grant} {port:?} {nth} {effect:?}: {reply:?}");
                    }
                }
            }
        }
    }
}

/// A client that hangs up at any moment spoils nothing for the next request of the same isolate.
#[test]
fn a_request_that_is_dropped_at_any_moment_leaves_the_isolate_as_it_was() {
    let chain = Chain::new();
    let user = chain.user_token(&chain.planner, TASKS, "mcp:read");
    let own = chain.own_token(&chain.worker, RESOURCE);
    let actor = [("actor_token", &*own), ("actor_token_type", JWT), ("resource", RESOURCE)];
    let ask = || chain.exchange(&chain.worker, &user, &actor);
    for polls in 0.. {
        chain.hub.restart();
        chain.hub.faults.jitter(Some(polls));
        let mut dropped = ask().future();
        let mut cx = Context::from_waker(Waker::noop());
        let done = (0..polls).any(|_| dropped.as_mut().poll(&mut cx).is_ready());
        drop(dropped);
        chain.hub.faults.jitter(None);
        ask().send().expect(200);
        if done {
            assert!(polls > 5, "it waits for its ports");
            break;
        }
    }
}
