//! Token exchange (RFC 8693): user → agent → agent → service.

use super::chain::{ACCESS_TOKEN, Chain, EVERYTHING, EXCHANGE, ID_TOKEN, JWT, TASKS, claims, refused};
use crate::support::hub::{ISSUER, RESOURCE, decode, with_claims};
use crate::support::{Credentials, Scripted, Setup, Signer};
use serde_json::{Value, json};
use writ::crypto::sha256;
use writ::ports::Alg;

const INVALID: &str = "invalid_request";

fn digest(token: &str) -> String {
    sha256(decode(token).1["jti"].as_str().unwrap()).to_text()
}

#[test]
fn a_user_goes_through_two_agents_to_a_service_and_everyone_stays_visible() {
    let chain = Chain::new();
    let first = chain.user_token(&chain.planner, TASKS, "mcp:read mcp:write");
    assert!(decode(&first).1.get("act").is_none());
    let reply = chain.delegate(&chain.worker, &first, &[("resource", RESOURCE), ("scope", "mcp:read")]).send();
    let token = claims(&reply);
    assert_eq!((token["sub"].as_str(), token["aud"].as_str()), (Some(&*chain.user), Some(RESOURCE)));
    assert_eq!(
        (token["client_id"].as_str(), token["scope"].as_str()),
        (Some(&*chain.worker.client_id), Some("mcp:read"))
    );
    let act = json!({"sub": chain.worker.client_id, "act": {"sub": chain.planner.client_id}});
    assert_eq!(token["act"], act);
    assert_eq!(token["lineage"][0], json!(digest(&first)));
    let event = chain.hub.events_of("token.issued").pop().unwrap();
    assert_eq!(event["chain"], json!([chain.worker.client_id, chain.planner.client_id]));
    assert_eq!((&event["subject"], &event["client"]), (&json!(chain.user), &json!(chain.worker.client_id)));
    assert_eq!(event["grant_type"], EXCHANGE);
}

/// RFC 8693 §2.2.1: `issued_token_type` always, a refresh token never.
#[test]
fn every_answer_says_what_was_issued_and_none_has_a_refresh_token() {
    let chain = Chain::new();
    let token = chain.user_token(&chain.planner, RESOURCE, "mcp:read");
    for (asked, issued) in [(None, ACCESS_TOKEN), (Some(ACCESS_TOKEN), ACCESS_TOKEN), (Some(JWT), JWT)] {
        let more: Vec<_> = asked.map(|asked| ("requested_token_type", asked)).into_iter().collect();
        let reply =
            chain.delegate(&chain.planner, &token, &[&[("resource", RESOURCE)], &*more].concat()).send().expect(200);
        assert_eq!(reply.json()["issued_token_type"], issued);
        assert_eq!(reply.json()["token_type"], "Bearer");
        assert!(reply.json().get("refresh_token").is_none());
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    let refresh = [("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), ("resource", RESOURCE)];
    refused(&chain.delegate(&chain.planner, &token, &refresh).send(), INVALID);
}

/// RFC 8693 §2.1.
#[test]
fn an_actor_token_comes_with_its_type_or_not_at_all() {
    let chain = Chain::new();
    let (token, own) =
        (chain.user_token(&chain.planner, RESOURCE, "mcp:read"), chain.own_token(&chain.planner, RESOURCE));
    for more in [[("actor_token", &*own)], [("actor_token_type", ACCESS_TOKEN)]] {
        refused(&chain.exchange(&chain.planner, &token, &more).send(), INVALID);
        assert_eq!(chain.refusal()["reason"], "UnpairedActorToken");
    }
    let saml = [("actor_token", &*own), ("actor_token_type", "urn:ietf:params:oauth:token-type:saml2")];
    refused(&chain.exchange(&chain.planner, &token, &saml).send(), INVALID);
    let form = [("grant_type", EXCHANGE), ("subject_token_type", ACCESS_TOKEN)];
    refused(&chain.post(&chain.planner, &form).send(), INVALID);
    let form = [("grant_type", EXCHANGE), ("subject_token", &*token)];
    refused(&chain.post(&chain.planner, &form).send(), INVALID);
}

/// RFC 8693 §2.2.2.
#[test]
fn a_subject_token_that_is_forged_expired_or_somebody_elses_is_refused_and_recorded() {
    let chain = Chain::new();
    let good = chain.user_token(&chain.planner, RESOURCE, "mcp:read");
    let mut forged = decode(&good).1;
    forged["scope"] = "mcp:write".into();
    let thief = Signer::new(Alg::Es256, 9);
    let stranger = thief.jwt(decode(&good).0, &decode(&good).1);
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    for bad in [&*with_claims(&good, &forged), &stranger, &unsigned, "x", "e30.e30.x"] {
        refused(&chain.delegate(&chain.planner, bad, &[("resource", RESOURCE)]).send(), INVALID);
        assert_eq!(chain.refusal()["reason"], "InvalidExchangedToken");
    }
    // Neither issued to the worker nor for anything that it serves.
    refused(&chain.delegate(&chain.worker, &good, &[("resource", RESOURCE)]).send(), INVALID);
    chain.delegate(&chain.planner, &good, &[("resource", RESOURCE)]).send().expect(200);
    chain.hub.clock.advance(311);
    refused(&chain.delegate(&chain.planner, &good, &[("resource", RESOURCE)]).send(), INVALID);
}

#[test]
fn an_actor_token_has_to_be_the_callers_own() {
    let chain = Chain::new();
    let subject = chain.user_token(&chain.worker, RESOURCE, "mcp:read");
    let about_user = chain.user_token(&chain.worker, RESOURCE, "mcp:read");
    let others = chain.own_token(&chain.planner, RESOURCE);
    let own = chain.own_token(&chain.worker, RESOURCE);
    let acting = chain.forge("at+jwt", &own, json!({"act": {"sub": chain.planner.client_id}}));
    let forged = with_claims(&own, &decode(&others).1);
    for bad in [&others, &about_user, &acting, &forged] {
        let actor = [("actor_token", &**bad), ("actor_token_type", ACCESS_TOKEN), ("resource", RESOURCE)];
        refused(&chain.exchange(&chain.worker, &subject, &actor).send(), INVALID);
    }
    let actor = [("actor_token", &*own), ("actor_token_type", JWT), ("resource", RESOURCE)];
    chain.exchange(&chain.worker, &subject, &actor).send().expect(200);
}

/// RFC 8693 §2.2.2.
#[test]
fn an_unknown_target_is_invalid_target() {
    let chain = Chain::new();
    let token = chain.user_token(&chain.planner, RESOURCE, "mcp:read");
    for target in
        [[("resource", "https://unknown.example")], [("audience", "https://unknown.example")], [("audience", "x")]]
    {
        refused(&chain.delegate(&chain.planner, &token, &target).send(), "invalid_target");
    }
    let two = [("resource", RESOURCE), ("audience", TASKS)];
    refused(&chain.delegate(&chain.planner, &token, &two).send(), "invalid_target");
    let same = [("resource", RESOURCE), ("audience", RESOURCE)];
    assert_eq!(claims(&chain.delegate(&chain.planner, &token, &same).send())["aud"], RESOURCE);
    assert_eq!(claims(&chain.delegate(&chain.planner, &token, &same[1..]).send())["aud"], RESOURCE);
}

/// docs/requirements.md R38.
#[test]
fn policy_decides_per_actor_subject_target_and_scope() {
    let chain = Chain::new();
    let Chain { hub, user, planner, worker, .. } = &chain;
    let token = chain.user_token(planner, TASKS, "mcp:read mcp:write");
    let policy = format!(
        "permit(principal, action == Action::\"issue\", resource);
         permit(principal == Client::\"{}\", action == Action::\"exchange\", resource in Resource::\"{RESOURCE}\")
         when {{ context has subject && context.subject == User::\"{user}\" && resource.name == \"mcp:read\" && context.chain.contains(\"{}\") }};",
        worker.client_id, planner.client_id
    );
    hub.put_policy("everything", &policy);
    let reply = chain.delegate(worker, &token, &[("resource", RESOURCE)]).send();
    assert_eq!(claims(&reply)["scope"], "mcp:read");
    refused(&chain.delegate(worker, &token, &[("resource", RESOURCE), ("scope", "mcp:write")]).send(), "invalid_scope");
    refused(&chain.delegate(worker, &token, &[("resource", TASKS)]).send(), "invalid_scope");
    let own = chain.own_token(planner, TASKS);
    refused(&chain.delegate(worker, &own, &[("resource", RESOURCE)]).send(), "invalid_scope");
    refused(&chain.delegate(planner, &token, &[("resource", RESOURCE)]).send(), "invalid_scope");
}

/// docs/requirements.md R37.
#[test]
fn scope_never_grows_beyond_the_subject_token() {
    let chain = Chain::new();
    let token = chain.user_token(&chain.planner, TASKS, "mcp:read");
    let asked = [("resource", RESOURCE), ("scope", "mcp:read mcp:write")];
    let reply = chain.delegate(&chain.worker, &token, &asked).send().expect(200);
    assert_eq!((&reply.json()["scope"], &claims(&reply)["scope"]), (&json!("mcp:read"), &json!("mcp:read")));
    refused(
        &chain.delegate(&chain.worker, &token, &[("resource", RESOURCE), ("scope", "mcp:write")]).send(),
        "invalid_scope",
    );
    assert_eq!(claims(&chain.delegate(&chain.worker, &token, &asked[..1]).send())["scope"], "mcp:read");
}

#[test]
fn scope_never_grows_beyond_the_ceiling_of_the_actor() {
    let chain = Chain::new();
    let body = json!({"grant_types": ["client_credentials", EXCHANGE], "serves": [TASKS], "scope": "mcp:write"});
    let narrow = chain.hub.create_client(body);
    let token = chain.user_token(&chain.planner, TASKS, "mcp:read mcp:write");
    assert_eq!(claims(&chain.delegate(&narrow, &token, &[("resource", RESOURCE)]).send())["scope"], "mcp:write");
}

/// docs/requirements.md R37.
#[test]
fn exchanging_with_oneself_renews_nothing() {
    let chain = Chain::new();
    let assertion = chain.assertion(json!({"exp": chain.now() + 600}));
    let mut token = chain.by_assertion(&chain.planner, &assertion, &[("resource", RESOURCE)]).send().access_token();
    let end = decode(&token).1["exp"].as_i64().unwrap();
    for _ in 0..4 {
        chain.hub.clock.advance(60);
        let reply = chain.delegate(&chain.planner, &token, &[("resource", RESOURCE)]).send();
        assert_eq!(claims(&reply)["exp"], end);
        assert_eq!(reply.json()["expires_in"], end - chain.now());
        token = reply.access_token();
    }
    // Within the leeway it still verifies, but there is no life left to hand on.
    chain.hub.clock.advance(65);
    refused(&chain.delegate(&chain.planner, &token, &[("resource", RESOURCE)]).send(), INVALID);
}

#[test]
fn a_token_lives_no_longer_than_the_actor_token() {
    let chain = Chain::new();
    let own = chain.own_token(&chain.planner, RESOURCE);
    chain.hub.clock.advance(200);
    let token = chain.user_token(&chain.planner, RESOURCE, "mcp:read");
    let actor = [("actor_token", &*own), ("actor_token_type", ACCESS_TOKEN), ("resource", RESOURCE)];
    let reply = chain.exchange(&chain.planner, &token, &actor).send();
    assert_eq!(claims(&reply)["exp"], decode(&own).1["exp"]);
}

/// RFC 8693 §4.1.
#[test]
fn the_newest_actor_is_outermost_five_are_allowed_and_six_are_not() {
    let chain = Chain::new();
    let agents: Vec<_> = (0..7).map(|n| chain.agent(&format!("agent-{n}"), &[])).collect();
    let mut token = chain.user_token(&chain.planner, &agents[0].1, "mcp:read");
    let mut actors = vec![chain.planner.client_id.clone()];
    for n in 0..4 {
        token = chain.delegated(&agents[n].0, &token, &agents[n + 1].1);
        actors.insert(0, agents[n].0.client_id.clone());
        let mut act = &decode(&token).1["act"];
        for actor in &actors {
            assert_eq!(act["sub"], **actor);
            act = &act["act"];
        }
        assert!(act.is_null());
    }
    assert_eq!(actors.len(), 5);
    refused(&chain.delegate(&agents[4].0, &token, &[("resource", RESOURCE)]).send(), INVALID);
    assert_eq!(chain.refusal()["reason"], "TooManyActors");
    assert_eq!(chain.refusal()["chain"].as_array().unwrap().len(), 6);

    // The bound is the tenant's own.
    chain.hub.db.execute("UPDATE tenants SET settings = '{\"max_actors\":6}', epoch = epoch + 1");
    chain.hub.restart();
    let sixth = chain.delegated(&agents[4].0, &token, &agents[5].1);
    refused(&chain.delegate(&agents[5].0, &sixth, &[("resource", RESOURCE)]).send(), INVALID);
}

#[test]
fn exchanges_without_an_actor_do_not_go_on_for_ever() {
    let chain = Chain::new();
    chain.hub.put_policy("impersonate", "permit(principal, action == Action::\"impersonate\", resource);");
    let mut token = chain.user_token(&chain.planner, RESOURCE, "mcp:read");
    // Made from itself and the assertion; twenty is the bound.
    for _ in 0..19 {
        token = chain.exchange(&chain.planner, &token, &[("resource", RESOURCE)]).send().access_token();
    }
    refused(&chain.exchange(&chain.planner, &token, &[("resource", RESOURCE)]).send(), INVALID);
}

/// RFC 8693 §4.1; the wrapper of CVE-2025-55241.
#[test]
fn an_actor_that_the_request_claims_counts_for_nothing() {
    let chain = Chain::new();
    let token = chain.user_token(&chain.planner, TASKS, "mcp:read");
    let claimed = json!({"sub": "client_admin"}).to_string();
    let more = [("resource", RESOURCE), ("act", &*claimed), ("may_act", &*claimed), ("actor", "client_admin")];
    let reply = chain.delegate(&chain.worker, &token, &more).send();
    assert_eq!(claims(&reply)["act"], json!({"sub": chain.worker.client_id, "act": {"sub": chain.planner.client_id}}));
    assert!(claims(&reply).get("may_act").is_none());

    // An unsigned wrapper around a good actor token, and one with the wrapper's own signature.
    let own = chain.own_token(&chain.worker, RESOURCE);
    let wrapped =
        json!({"sub": chain.user, "actortoken": own, "iss": ISSUER, "iat": chain.now(), "exp": chain.now() + 60});
    let thief = Signer::new(Alg::Es256, 9);
    let unsigned = thief.jws("{\"alg\":\"none\",\"typ\":\"at+jwt\"}", &wrapped.to_string());
    for wrapper in [unsigned, thief.jwt(json!({"typ": "at+jwt", "kid": decode(&own).0["kid"]}), &wrapped)] {
        for more in [
            [("actor_token", &*wrapper), ("actor_token_type", ACCESS_TOKEN), ("resource", RESOURCE)],
            [("actor_token", &*wrapper), ("actor_token_type", JWT), ("resource", RESOURCE)],
        ] {
            refused(&chain.exchange(&chain.worker, &token, &more).send(), INVALID);
        }
        refused(&chain.delegate(&chain.worker, &wrapper, &[("resource", RESOURCE)]).send(), INVALID);
    }
    assert_eq!(chain.hub.events_of("token.refused").len(), 6);
}

/// RFC 8693 §4.4.
#[test]
fn an_actor_whom_may_act_does_not_name_is_refused() {
    let chain = Chain::new();
    let Chain { planner, worker, .. } = &chain;
    // The one whom it names gets the first token; nobody else does.
    let first = |client: &Credentials, may_act: Value| {
        let assertion = chain.assertion(json!({"may_act": may_act}));
        chain.by_assertion(client, &assertion, &[("resource", TASKS)]).send()
    };
    let by = |may_act: Value| first(planner, may_act).access_token();
    let elsewhere = json!({"sub": worker.client_id, "iss": "https://elsewhere.example"});
    refused(&first(worker, elsewhere), "invalid_grant");
    for (client, may_act, worker_may) in [
        (worker, json!({"sub": worker.client_id}), true),
        (worker, json!({"sub": worker.client_id, "iss": ISSUER}), true),
        (planner, json!({"sub": planner.client_id}), false),
    ] {
        let token = first(client, may_act.clone()).access_token();
        let reply = chain.delegate(worker, &token, &[("resource", RESOURCE)]).send();
        match worker_may {
            true => assert_eq!(claims(&reply)["may_act"], may_act, "it stays"),
            false => {
                refused(&reply, INVALID);
                assert_eq!(chain.refusal()["reason"], "ActorNotNamed");
            }
        }
    }
    // Nor without an actor token, and nor by the token of an outside issuer itself.
    chain.hub.put_policy("impersonate", "permit(principal, action == Action::\"impersonate\", resource);");
    let token = by(json!({"sub": planner.client_id}));
    refused(&chain.exchange(worker, &token, &[("resource", RESOURCE)]).send(), INVALID);
    for (may_act, status) in [(json!({"sub": planner.client_id}), 200), (json!({"sub": "x"}), 400), (json!("x"), 400)] {
        let assertion = chain.assertion(json!({"may_act": may_act}));
        let form = [("grant_type", EXCHANGE), ("subject_token", &*assertion), ("subject_token_type", ID_TOKEN)];
        chain.post(planner, &[&form[..], &[("resource", RESOURCE)]].concat()).send().expect(status);
    }
}

fn second_tenant(hub: &Setup) -> (Credentials, String) {
    hub.create_tenant("second");
    hub.create_resource_of("second", json!({}));
    hub.put_policy_of("second", "everything", EVERYTHING);
    let foreign = hub.create_client_of("second", json!({"grant_types": ["client_credentials", EXCHANGE]}));
    let form = [("grant_type", "client_credentials"), ("resource", RESOURCE)];
    let token = hub.call("POST", "/t/second/token").basic(&foreign).form(&form).send().access_token();
    (foreign, token)
}

/// docs/requirements.md R39.
#[test]
fn a_token_of_another_tenant_is_neither_a_subject_nor_an_actor() {
    let chain = Chain::new();
    let (foreign, token) = second_tenant(&chain.hub);
    let own = chain.own_token(&chain.worker, RESOURCE);
    refused(&chain.delegate(&chain.worker, &token, &[("resource", RESOURCE)]).send(), INVALID);
    let actor = [("actor_token", &*token), ("actor_token_type", ACCESS_TOKEN), ("resource", RESOURCE)];
    refused(&chain.exchange(&chain.worker, &own, &actor).send(), INVALID);
    // Nor if it says that it is of this one.
    let moved = with_claims(&token, &decode(&own).1);
    refused(&chain.delegate(&chain.worker, &moved, &[("resource", RESOURCE)]).send(), INVALID);
    // Nor the other way round, by the other tenant's client.
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", &*own),
        ("subject_token_type", ACCESS_TOKEN),
        ("resource", RESOURCE),
    ];
    refused(&chain.hub.call("POST", "/t/second/token").basic(&foreign).form(&form).send(), INVALID);
    chain.hub.call("POST", "/t/main/token").basic(&foreign).form(&form).send().expect(401);
    assert_eq!(chain.hub.events_of("token.refused").len(), 4, "a client of another tenant is none here");
}

/// RFC 9449 §6; keycloak #50963.
#[test]
fn a_bound_subject_token_needs_the_proof_of_its_key_and_stays_bound() {
    let chain = Chain::new();
    let (key, other) = (Signer::new(Alg::Es256, 2), Signer::new(Alg::EdDsa, 3));
    let assertion = chain.assertion(json!({}));
    let call = chain.by_assertion(&chain.planner, &assertion, &[("resource", RESOURCE)]);
    let reply = call.header("dpop", &chain.proof(&key)).send();
    let token = reply.access_token();
    assert_eq!(
        (&reply.json()["token_type"], &claims(&reply)["cnf"]),
        (&json!("DPoP"), &json!({"jkt": key.thumbprint()}))
    );
    let exchange = || chain.delegate(&chain.planner, &token, &[("resource", RESOURCE)]);
    refused(&exchange().send(), INVALID);
    refused(&exchange().header("dpop", &chain.proof(&other)).send(), INVALID);
    let reply = exchange().header("dpop", &chain.proof(&key)).send();
    assert_eq!(
        (&reply.json()["token_type"], &claims(&reply)["cnf"]),
        (&json!("DPoP"), &json!({"jkt": key.thumbprint()}))
    );
    // A token without a key may get one.
    let free = chain.user_token(&chain.planner, RESOURCE, "mcp:read");
    let call = chain.delegate(&chain.planner, &free, &[("resource", RESOURCE)]);
    let reply = call.header("dpop", &chain.proof(&other)).send();
    assert_eq!(claims(&reply)["cnf"], json!({"jkt": other.thumbprint()}));
}

#[test]
fn a_bound_actor_token_needs_the_proof_of_its_key() {
    let chain = Chain::new();
    let key = Signer::new(Alg::Es256, 2);
    let own = chain.hub.token_call(&chain.planner, &[("resource", RESOURCE)]).header("dpop", &chain.proof(&key)).send();
    let (own, token) = (own.access_token(), chain.user_token(&chain.planner, RESOURCE, "mcp:read"));
    let actor = [("actor_token", &*own), ("actor_token_type", ACCESS_TOKEN), ("resource", RESOURCE)];
    refused(&chain.exchange(&chain.planner, &token, &actor).send(), INVALID);
    chain.exchange(&chain.planner, &token, &actor).header("dpop", &chain.proof(&key)).send().expect(200);
}

/// RFC 8725 §3.12.
#[test]
fn no_other_kind_of_token_passes_for_an_access_token() {
    let chain = Chain::new();
    let good = chain.user_token(&chain.planner, RESOURCE, "mcp:read");
    let key = Signer::new(Alg::Es256, 2);
    let mut all = vec![chain.assertion(json!({})), chain.proof(&key), "writ_rt_x".to_owned()];
    // Signed by our own key, with all the claims of a good token.
    for typ in [
        "JWT",
        "oauth-id-jag+jwt",
        "dpop+jwt",
        "statuslist+jwt",
        "secevent+jwt",
        "logout+jwt",
        "token-introspection+jwt",
    ] {
        all.push(chain.forge(typ, &good, json!({})));
    }
    for bad in &all {
        refused(&chain.delegate(&chain.planner, bad, &[("resource", RESOURCE)]).send(), INVALID);
        let actor = [("actor_token", &**bad), ("actor_token_type", ACCESS_TOKEN), ("resource", RESOURCE)];
        refused(&chain.exchange(&chain.planner, &good, &actor).send(), INVALID);
    }
    chain
        .delegate(&chain.planner, &chain.forge("at+jwt", &good, json!({})), &[("resource", RESOURCE)])
        .send()
        .expect(200);
    // And an access token is no ID token.
    let form =
        [("grant_type", EXCHANGE), ("subject_token", &*good), ("subject_token_type", ID_TOKEN), ("resource", RESOURCE)];
    refused(&chain.post(&chain.planner, &form).send(), INVALID);
}

#[test]
fn impersonation_needs_its_own_permission_and_every_actor_so_far_stays() {
    let chain = Chain::new();
    let Chain { hub, planner, worker, .. } = &chain;
    let token = chain.user_token(planner, TASKS, "mcp:read");
    let exchange = || chain.exchange(worker, &token, &[("resource", RESOURCE)]).send();
    refused(&exchange(), "invalid_scope");
    hub.put_policy("impersonate", "permit(principal, action == Action::\"impersonate\", resource);");
    let reply = exchange();
    assert_eq!(claims(&reply)["client_id"], *worker.client_id);
    // The planner got the token for the user: it has acted, and whoever impersonates cannot make it vanish.
    assert_eq!(claims(&reply)["act"], json!({"sub": planner.client_id}));
    // What either of the two requires is required.
    let permit =
        |action: &str, how: &str| format!("{how} permit(principal, action == Action::\"{action}\", resource);");
    let approval = "@require(\"approval\")";
    hub.put_policy("impersonate", &permit("impersonate", approval));
    refused(&exchange(), "authorization_pending");
    hub.put_policy("impersonate", &permit("impersonate", "@ttl(\"60\")"));
    assert_eq!(exchange().expect(200).json()["expires_in"], 60);
    hub.put_policy("everything", &permit("exchange", approval));
    refused(&exchange(), "authorization_pending");
    // What forbids the exchange forbids the impersonation.
    hub.put_policy("everything", "permit(principal, action == Action::\"issue\", resource);");
    refused(&exchange(), "invalid_scope");
}

/// The sentence as it stands: no chain with an unverified client may touch production.
#[test]
fn no_chain_with_an_unverified_client_may_touch_production() {
    let chain = Chain::new();
    let Chain { hub, planner, worker, .. } = &chain;
    hub.put_policy(
        "production",
        &format!(
            "forbid(principal, action == Action::\"exchange\", resource in Resource::\"{RESOURCE}\") \
             unless {{ context.chain_tags.contains(\"verified\") }};"
        ),
    );
    hub.put_policy("impersonate", "permit(principal, action == Action::\"impersonate\", resource);");
    let (stranger, _) = chain.agent("stranger", &[]);
    let (middle, for_middle) = chain.agent("middle", &["verified"]);
    let production = [("resource", RESOURCE)];
    let through = |first: &Credentials| {
        let token = chain.user_token(first, TASKS, "mcp:read");
        let token = chain.delegated(worker, &token, &for_middle);
        [chain.delegate(&middle, &token, &production).send(), chain.exchange(&middle, &token, &production).send()]
    };
    for reply in through(planner) {
        reply.expect(200);
    }
    for reply in through(&stranger) {
        refused(&reply, "invalid_scope");
        assert!(chain.refusal()["policies"].as_array().unwrap().contains(&json!("production")));
    }
    // A subject that is an unverified client is in the chain too, and so is the last one.
    let token = chain.own_token(&stranger, TASKS);
    refused(&chain.delegate(worker, &token, &production).send(), "invalid_scope");
    let token = chain.user_token(&stranger, RESOURCE, "mcp:read");
    refused(&chain.delegate(&stranger, &token, &production).send(), "invalid_scope");
    // Elsewhere than in production nobody minds.
    let token = chain.user_token(&stranger, TASKS, "mcp:read");
    chain.delegate(worker, &token, &[("resource", &*for_middle)]).send().expect(200);
}

/// docs/requirements.md R41: a client that is stopped takes along each token that was made from its tokens.
#[test]
fn whoever_in_a_chain_is_stopped_ends_it() {
    let stop = |what: &str, how: &dyn Fn(&Chain)| {
        let chain = Chain::new();
        let (last, for_last) = chain.agent("last", &[]);
        let first = chain.user_token(&chain.planner, TASKS, "mcp:read");
        let second = chain.delegated(&chain.worker, &first, &for_last);
        let exchange = || chain.delegate(&last, &second, &[("resource", RESOURCE)]).send();
        exchange().expect(200);
        chain.hub.db.execute(&format!(
            "INSERT INTO stopped_chains (tenant, jti, until) VALUES ('main', '{}', {})",
            if what == "chain" { digest(&first) } else { "none".to_owned() },
            chain.now() + 1000
        ));
        how(&chain);
        chain.hub.db.execute("UPDATE tenants SET epoch = epoch + 1");
        chain.hub.clock.advance(6);
        let reply = exchange();
        assert_eq!((reply.status, reply.error().as_str()), (400, INVALID), "{what}: {reply:?}");
    };
    let suspend = |table: &str, id: &str, chain: &Chain| {
        chain.hub.db.execute(&format!("UPDATE {table} SET status = 'suspended' WHERE id = '{id}'"));
    };
    stop("user", &|chain| suspend("users", &chain.user, chain));
    stop("first client", &|chain| suspend("clients", &chain.planner.client_id, chain));
    stop("second client", &|chain| suspend("clients", &chain.worker.client_id, chain));
    stop("an identity", &|chain| {
        let planner = &chain.planner.client_id;
        chain.hub.db.execute(&format!("UPDATE identities SET status = 'suspended' WHERE client = '{planner}'"));
    });
    stop("chain", &|_| {});
    stop("user gone", &|chain| {
        let path = format!("users/{}", chain.user);
        chain.hub.admin("DELETE", &path).send().expect(204);
    });
}

#[test]
fn a_client_that_is_the_subject_ends_the_chain_when_it_is_stopped() {
    let chain = Chain::new();
    let (last, for_last) = chain.agent("last", &[]);
    let own = chain.own_token(&chain.planner, TASKS);
    let second = chain.delegated(&chain.worker, &own, &for_last);
    assert_eq!(decode(&second).1["sub"], *chain.planner.client_id);
    assert_eq!(decode(&second).1["act"], json!({"sub": chain.worker.client_id}));
    chain.delegate(&last, &second, &[("resource", RESOURCE)]).send().expect(200);
    chain.hub.admin("POST", &format!("clients/{}/suspend", chain.planner.client_id)).send().expect(200);
    refused(&chain.delegate(&last, &second, &[("resource", RESOURCE)]).send(), INVALID);
}

#[test]
fn a_subject_token_of_an_outside_issuer_is_about_the_user_whom_it_names() {
    let chain = Chain::new();
    let Chain { planner, .. } = &chain;
    let own = chain.own_token(planner, RESOURCE);
    let exchange = |subject: &str, kind: &str| {
        let actor = [("actor_token", &*own), ("actor_token_type", ACCESS_TOKEN), ("resource", RESOURCE)];
        let form = [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", kind)];
        chain.post(planner, &[form, actor].concat()).send()
    };
    let good = chain.assertion(json!({"acr": "urn:mfa", "auth_time": 1_767_700_000}));
    for kind in [ID_TOKEN, JWT] {
        let token = claims(&exchange(&good, kind));
        assert_eq!((token["sub"].as_str(), &token["act"]), (Some(&*chain.user), &json!({"sub": planner.client_id})));
        assert_eq!((&token["acr"], &token["auth_time"]), (&json!("urn:mfa"), &json!(1_767_700_000)));
        assert_eq!(token["exp"], decode(&good).1["exp"], "it lives no longer than the subject token");
    }
    let to_caller = chain.assertion(json!({"aud": planner.client_id}));
    exchange(&to_caller, ID_TOKEN).expect(200);
    for bad in [
        json!({"sub": "bob"}),
        json!({"aud": "https://elsewhere.example"}),
        json!({"aud": chain.worker.client_id}),
        json!({"iss": "https://elsewhere.example"}),
        json!({"exp": null}),
        json!({"iat": null}),
        json!({"exp": chain.now() - 60}),
        json!({"iat": chain.now() + 600}),
        json!({"act": {"sub": "client_admin"}}),
        json!({"cnf": {"x5t#S256": "x"}}),
        json!({"cnf": {"jkt": Signer::new(Alg::Es256, 2).thumbprint()}}),
        json!({"authorization_details": []}),
        json!({"scope": ["mcp:read"]}),
    ] {
        refused(&exchange(&chain.assertion(bad.clone()), ID_TOKEN), INVALID);
        assert_eq!(chain.refusal()["reason"], "InvalidExchangedToken", "{bad}");
    }
    let thief = Signer::new(Alg::Es256, 9);
    refused(&exchange(&thief.jwt(json!({"typ": "JWT", "kid": "k"}), &chain.claims(json!({}))), ID_TOKEN), INVALID);
    refused(&exchange(&good, ACCESS_TOKEN), INVALID);
    chain.trust(json!({"uses": ["jwt_bearer"]}));
    refused(&exchange(&good, ID_TOKEN), INVALID);
    // What its scope is worth here is bounded by what an administrator says.
    chain.trust(json!({"uses": ["token_exchange"], "scope": "mcp:write"}));
    assert_eq!(claims(&exchange(&good, ID_TOKEN))["scope"], "mcp:write");
    refused(&exchange(&chain.assertion(json!({"scope": "mcp:read"})), ID_TOKEN), "invalid_scope");
}

#[test]
fn a_disabled_user_and_an_outside_token_older_than_the_stop_are_refused() {
    let chain = Chain::new();
    let old = chain.assertion(json!({}));
    let exchange = |subject: &str| {
        let form = [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", ID_TOKEN)];
        let own = chain.own_token(&chain.planner, RESOURCE);
        let actor = [("actor_token", &*own), ("actor_token_type", ACCESS_TOKEN), ("resource", RESOURCE)];
        chain.post(&chain.planner, &[form, actor].concat()).send()
    };
    chain.hub.clock.advance(2);
    let set = |status: &str| {
        let now = chain.now();
        chain.hub.db.execute(&format!("UPDATE users SET status = '{status}', revoked_before = {now}"));
        chain.hub.restart();
    };
    set("suspended");
    refused(&exchange(&chain.assertion(json!({}))), INVALID);
    assert_eq!(chain.refusal()["detail"], "its user is stopped");
    set("active");
    chain.hub.clock.advance(2);
    refused(&exchange(&old), INVALID);
    exchange(&chain.assertion(json!({}))).expect(200);
}

#[test]
fn only_clients_that_are_registered_for_it_exchange() {
    let chain = Chain::new();
    let token = chain.user_token(&chain.planner, RESOURCE, "mcp:read");
    let plain = chain.hub.create_client(json!({}));
    refused(&chain.exchange(&plain, &token, &[("resource", RESOURCE)]).send(), "unauthorized_client");
    let form = [("grant_type", EXCHANGE), ("subject_token", &*token), ("subject_token_type", ACCESS_TOKEN)];
    chain.hub.call("POST", "/t/main/token").form(&form).send().expect(401);
}

#[test]
fn a_lease_sees_the_whole_chain_and_the_tags_that_all_of_it_has() {
    let chain = Chain::new();
    let Chain { hub, planner, worker, .. } = &chain;
    let connection = crate::routes::connections::body(0, &[crate::routes::connections::READ]);
    hub.admin("PUT", "connections/warehouse").json(&connection).send().expect(201);
    hub.put_policy(
        "lease",
        &format!(
            "permit(principal, action == Action::\"lease\", resource == Connection::\"warehouse\") \
             when {{ context.chain_tags.contains(\"verified\") && context.chain.contains(\"{}\") }};",
            worker.client_id
        ),
    );
    let leased = json!({"access_token": "downstream", "token_type": "Bearer", "expires_in": 600});
    hub.fetch.answer(move |_| Scripted::json(200, leased.clone()));
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let lease = |token: &str| {
        let call = hub.call("POST", "/t/main/connections/warehouse/token").basic(&server);
        call.form(&[("subject_token", token)]).send()
    };
    let (stranger, _) = chain.agent("stranger", &[]);
    let through = |first: &Credentials| {
        let token = chain.user_token(first, TASKS, "mcp:read");
        lease(&chain.delegated(worker, &token, RESOURCE))
    };
    through(planner).expect(200);
    through(&stranger).expect(403);
    // The planner alone has the tag, but the worker is not in its chain.
    lease(&chain.user_token(planner, RESOURCE, "mcp:read")).expect(403);
    let event = hub.events_of("lease.granted").pop().unwrap();
    assert_eq!(event["chain"], json!([worker.client_id, planner.client_id]));
}
