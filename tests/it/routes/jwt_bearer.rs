//! The JWT bearer grant (RFC 7523 §2.1): assertions about users and about workloads.

use super::chain::{Chain, IDP, JWT_BEARER, TASKS, claims, refused};
use super::quotas::set;
use crate::support::hub::{ISSUER, RESOURCE, decode, with_claims};
use crate::support::{Port, Reply, Signer};
use serde_json::{Value, json};
use writ::ports::Alg;

const INVALID: &str = "invalid_grant";

/// Fails unless the assertion does not count, told in the one wording.
#[track_caller]
fn worthless(reply: &Reply) {
    refused(reply, INVALID);
    assert_eq!(reply.json()["error_description"], "the assertion is not valid here");
}

fn ask(chain: &Chain, assertion: &str) -> Reply {
    chain.by_assertion(&chain.planner, assertion, &[("resource", RESOURCE)]).send()
}

#[test]
fn an_assertion_about_a_user_is_worth_a_token_about_that_user() {
    let chain = Chain::new();
    let reply = ask(&chain, &chain.assertion(json!({"acr": "urn:mfa", "auth_time": 1_767_700_000})));
    let token = claims(&reply);
    assert_eq!(
        (token["sub"].as_str(), token["client_id"].as_str()),
        (Some(&*chain.user), Some(&*chain.planner.client_id))
    );
    assert_eq!((token["aud"].as_str(), token["scope"].as_str()), (Some(RESOURCE), Some("mcp:read mcp:write")));
    assert_eq!((&token["acr"], &token["auth_time"]), (&json!("urn:mfa"), &json!(1_767_700_000)));
    assert!(token.get("act").is_none() && reply.json().get("refresh_token").is_none());
    let event = chain.hub.events_of("token.issued").pop().unwrap();
    assert_eq!((&event["subject"], &event["grant_type"]), (&json!(chain.user), &json!(JWT_BEARER)));
}

/// RFC 7523 §3; decision 22; CVE-2026-55669, CVE-2025-27370.
#[test]
fn the_audience_is_our_issuer_or_our_token_endpoint_and_nothing_else() {
    let chain = Chain::new();
    let aud = |aud: Value| ask(&chain, &chain.assertion(json!({"aud": aud})));
    aud(json!(ISSUER)).expect(200);
    aud(json!(format!("{ISSUER}/token"))).expect(200);
    for bad in [
        json!("https://elsewhere.example"),
        json!([ISSUER, "https://elsewhere.example"]),
        json!("https://id.example/t/second"),
        json!(RESOURCE),
        json!(""),
        json!(null),
        json!({"x": ISSUER}),
    ] {
        worthless(&aud(bad));
    }
}

/// OpenID Connect Core §5.7; CVE-2026-55669: a subject means nothing without its issuer.
#[test]
fn a_user_is_found_by_issuer_and_subject_together_and_by_nothing_else() {
    let chain = Chain::new();
    let more = json!({"sub": "bob", "email": "alice@example.com", "name": "Alice"});
    worthless(&ask(&chain, &chain.assertion(more)));
    worthless(&ask(&chain, &chain.assertion(json!({"sub": chain.user}))));
    worthless(&ask(&chain, &chain.assertion(json!({"sub": "ALICE"}))));
    // The same subject at another registered issuer is somebody else.
    let rogue = chain.trust_another("https://rogue.example", json!({}));
    let theirs = chain.claims(json!({"iss": "https://rogue.example"}));
    worthless(&ask(&chain, &rogue.jwt(json!({"typ": "JWT", "kid": "k"}), &theirs)));
    // And what it signs in the name of the first one counts for nothing.
    worthless(&ask(&chain, &rogue.jwt(json!({"typ": "JWT", "kid": "k"}), &chain.claims(json!({})))));
    assert_eq!(chain.hub.db.query("SELECT id FROM users").len(), 1);
}

/// OpenID Connect Core §5.7: `sub` is unique within its issuer only.
#[test]
fn the_same_subject_at_two_identity_providers_is_two_users_in_all_that_is_recorded_and_stopped() {
    let chain = Chain::new();
    let other = "https://other.example";
    let signer = chain.trust_another(other, json!({"creates_users": true}));
    let theirs = || signer.jwt(json!({"typ": "JWT", "kid": "k"}), &chain.claims(json!({"iss": other})));
    let first = claims(&ask(&chain, &chain.assertion(json!({}))));
    let second = claims(&ask(&chain, &theirs()));
    assert_eq!(first["sub"], chain.user.as_str());
    assert_ne!(first["sub"], second["sub"]);
    assert_ne!(first["status"], second["status"], "each agentic identity has its own place");
    assert_eq!(claims(&ask(&chain, &theirs()))["sub"], second["sub"], "the second time it is known");
    assert_eq!(chain.hub.db.query("SELECT id FROM users").len(), 2);

    // Nobody can be given the other's account.
    let path = format!("users/{}", chain.user);
    let accounts = json!([{"issuer": IDP, "subject": "alice"}, {"issuer": other, "subject": "alice"}]);
    let both = json!({"name": "Alice", "accounts": accounts});
    chain.hub.admin("PUT", &path).header("if-match", "*").json(&both).send().expect(409);

    let second = second["sub"].as_str().unwrap();
    chain.hub.admin("POST", &format!("users/{second}/kill")).send().expect(200);
    worthless(&ask(&chain, &theirs()));
    assert_eq!(claims(&ask(&chain, &chain.assertion(json!({}))))["sub"], chain.user.as_str());
}

#[test]
fn what_an_assertion_says_of_a_user_is_a_fact_and_what_it_leaves_out_stays() {
    let chain = Chain::new();
    chain.trust(json!({"groups_claim": "groups", "claims": ["department"]}));
    let cedar = format!(
        r#"permit(principal, action == Action::"issue", resource in Resource::"{RESOURCE}") when {{
            context has subject && context.subject.groups.contains("staff")
            && context.subject.claims.contains("department=finance") }};"#
    );
    chain.hub.put_policy("everything", &cedar);
    let ask = |claims: Value| super::jwt_bearer::ask(&chain, &chain.assertion(claims)).status;
    assert_eq!(ask(json!({})), 400);
    assert_eq!(ask(json!({"groups": ["staff"], "department": "finance"})), 200);
    assert_eq!(ask(json!({})), 200, "it says nothing of them");
    assert_eq!(ask(json!({"department": "sales"})), 400);
    assert_eq!(ask(json!({"groups": {"staff": true}, "department": "finance"})), 400);
}

/// RFC 7523 §3; GHSA-wxg7-w2v3-w38g.
#[test]
fn what_is_expired_not_yet_valid_without_an_end_or_lives_too_long_is_worth_nothing() {
    let chain = Chain::new();
    let now = chain.now();
    for bad in [
        json!({"exp": null}),
        json!({"jti": null}),
        json!({"exp": now - 11}),
        json!({"exp": now + 4000}),
        json!({"exp": "9999999999"}),
        json!({"exp": -1}),
        json!({"iat": now + 60}),
        json!({"nbf": now + 60}),
        json!({"nbf": "x"}),
        json!({"sub": null}),
        json!({"sub": ["alice"]}),
        json!({"iss": [IDP]}),
        json!({"jti": 1}),
    ] {
        worthless(&ask(&chain, &chain.assertion(bad)));
    }
    ask(&chain, &chain.assertion(json!({"iat": now + 8, "nbf": now + 8}))).expect(200);
    // Within the leeway it still verifies, but there is no life left to hand on.
    worthless(&ask(&chain, &chain.assertion(json!({"exp": now - 5, "iat": now - 60}))));
}

/// RFC 7523 §3 (7); decision 21.
#[test]
fn an_assertion_about_a_user_counts_once_in_all_isolates() {
    let chain = Chain::new();
    let assertion = chain.assertion(json!({}));
    ask(&chain, &assertion).expect(200);
    worthless(&ask(&chain, &assertion));
    let other = chain.hub.isolate();
    let again = chain.by_assertion(&chain.planner, &assertion, &[("resource", RESOURCE)]).on(&other).send();
    worthless(&again);
    for seed in 0..20 {
        let assertion = chain.assertion(json!({}));
        let isolates: Vec<_> = (0..4).map(|_| chain.hub.isolate()).collect();
        let ask =
            |isolate| chain.by_assertion(&chain.planner, &assertion, &[("resource", RESOURCE)]).on(isolate).future();
        let replies = chain.hub.together(seed, isolates.iter().map(ask).collect());
        assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1, "{replies:?}");
    }
}

/// RFC 7523 §3 (5): `iat` may be absent.
#[test]
fn an_assertion_that_does_not_say_when_it_was_issued_counts_as_issued_before_every_stop() {
    let chain = Chain::new();
    ask(&chain, &chain.assertion(json!({"iat": null}))).expect(200);
    for table in ["users", "clients", "tenants"] {
        let set = |moment: u64| {
            chain.hub.db.execute(&format!("UPDATE {table} SET revoked_before = {moment}"));
            chain.hub.restart();
        };
        for long_ago in [chain.hub.clock.seconds() - 1_000_000, 1] {
            set(long_ago);
            worthless(&ask(&chain, &chain.assertion(json!({"iat": null}))));
        }
        ask(&chain, &chain.assertion(json!({}))).expect(200);
        set(0);
        ask(&chain, &chain.assertion(json!({"iat": null}))).expect(200);
    }
}

/// What goes into our own tokens is bounded, so that these are.
#[test]
fn what_an_assertion_says_about_its_user_is_taken_over_within_bounds_or_not_at_all() {
    let chain = Chain::new();
    let long = "x".repeat(256);
    ask(&chain, &chain.assertion(json!({"acr": long}))).expect(200);
    ask(&chain, &chain.assertion(json!({"may_act": {"sub": chain.planner.client_id}}))).expect(200);
    let moment = chain.assertion(json!({"auth_time": 1_767_700_000.75}));
    assert_eq!(claims(&ask(&chain, &moment))["auth_time"], 1_767_700_000);
    let longer = "x".repeat(257);
    for bad in [
        json!({"auth_time": "1767700000"}),
        json!({"auth_time": [1_767_700_000]}),
        json!({"acr": longer}),
        json!({"acr": "a\u{0}"}),
        json!({"may_act": {"sub": longer}}),
        json!({"may_act": {"sub": "a\n"}}),
        json!({"may_act": {"sub": "a", "iss": longer}}),
        json!({"may_act": {"sub": "a", "iss": "\u{7f}"}}),
    ] {
        worthless(&ask(&chain, &chain.assertion(bad)));
    }
}

#[test]
fn a_sign_in_of_tomorrow_is_none_of_just_now() {
    let chain = Chain::new();
    chain.hub.put_policy("everything", "@require(\"step_up:acr=urn:mfa\") permit(principal, action, resource);");
    let signed_in = |seconds: i64, acr: &str| {
        let at = chain.hub.clock.seconds().cast_signed() + seconds;
        ask(&chain, &chain.assertion(json!({"acr": acr, "auth_time": at})))
    };
    for good in [-300, 0, 5] {
        signed_in(good, "urn:mfa").expect(200);
    }
    for (seconds, acr) in [(-301, "urn:mfa"), (86_400, "urn:mfa"), (0, "urn:password")] {
        let told = signed_in(seconds, acr).expect(400);
        assert_eq!(
            (told.error().as_str(), &told.json()["acr_values"]),
            ("insufficient_user_authentication", &json!("urn:mfa"))
        );
        let challenge = format!(
            "Bearer realm=\"{ISSUER}\", error=\"insufficient_user_authentication\", max_age=\"300\", acr_values=\"urn:mfa\""
        );
        assert_eq!(told.header("www-authenticate"), Some(&*challenge));
    }
}

#[test]
fn a_wrong_target_does_not_use_the_assertion_up() {
    let chain = Chain::new();
    let assertion = chain.assertion(json!({}));
    let wrong = chain.by_assertion(&chain.planner, &assertion, &[("resource", "https://unknown.example")]).send();
    refused(&wrong, "invalid_target");
    ask(&chain, &assertion).expect(200);
}

/// docs/requirements.md R32; CVE-2026-1609.
#[test]
fn a_disabled_user_issuer_or_client_gets_nothing() {
    let chain = Chain::new();
    let Chain { hub, planner, .. } = &chain;
    let set = |table: &str, status: &str| {
        hub.db.execute(&format!("UPDATE {table} SET status = '{status}'"));
        hub.restart();
    };
    for status in ["suspended", "retired"] {
        set("users", status);
        worthless(&ask(&chain, &chain.assertion(json!({}))));
        assert_eq!(chain.refusal()["detail"], "its user is stopped");
    }
    set("users", "active");
    ask(&chain, &chain.assertion(json!({}))).expect(200);
    set("identities", "suspended");
    worthless(&ask(&chain, &chain.assertion(json!({}))));
    set("identities", "active");
    hub.admin("POST", &format!("clients/{}/suspend", planner.client_id)).send().expect(200);
    ask(&chain, &chain.assertion(json!({}))).expect(401);
    hub.admin("POST", &format!("clients/{}/resume", planner.client_id)).send().expect(200);
    for uses in [json!(["workload"]), json!(["id_jag"]), json!(["token_exchange"])] {
        chain.trust(json!({"uses": uses}));
        worthless(&ask(&chain, &chain.assertion(json!({}))));
    }
    hub.admin("DELETE", "issuers/idp").send().expect(204);
    worthless(&ask(&chain, &chain.assertion(json!({}))));
}

/// docs/requirements.md R30: a claim that is not supported makes the assertion worthless, rather than being left out.
#[test]
fn a_confirmation_or_authorization_details_that_are_not_supported_fail_closed() {
    let chain = Chain::new();
    let key = Signer::new(Alg::Es256, 2);
    for bad in [
        json!({"cnf": {"x5t#S256": "x"}}),
        json!({"cnf": {"jkt": key.thumbprint(), "x5t#S256": "x"}}),
        json!({"cnf": {"jwk": {}}}),
        json!({"cnf": key.thumbprint()}),
        json!({"cnf": {}}),
        json!({"authorization_details": [{"type": "payment"}]}),
        json!({"authorization_details": []}),
        json!({"act": {"sub": "client_admin"}}),
        json!({"may_act": "x"}),
        json!({"scope": 1}),
    ] {
        worthless(&ask(&chain, &chain.assertion(bad)));
    }
}

/// RFC 9449 §6; docs/requirements.md R30.
#[test]
fn an_assertion_that_is_bound_to_a_key_needs_its_proof() {
    let chain = Chain::new();
    let (key, other) = (Signer::new(Alg::Es256, 2), Signer::new(Alg::Es256, 3));
    let bound = || chain.assertion(json!({"cnf": {"jkt": key.thumbprint()}}));
    let call = || chain.by_assertion(&chain.planner, &bound(), &[("resource", RESOURCE)]);
    worthless(&call().send());
    worthless(&call().header("dpop", &chain.proof(&other)).send());
    let reply = call().header("dpop", &chain.proof(&key)).send();
    assert_eq!(
        (&reply.json()["token_type"], &claims(&reply)["cnf"]["jkt"]),
        (&json!("DPoP"), &json!(key.thumbprint()))
    );
}

/// docs/requirements.md R31.
#[test]
fn an_assertion_for_another_client_is_worth_nothing() {
    let chain = Chain::new();
    for name in ["client_id", "azp"] {
        worthless(&ask(&chain, &chain.assertion(json!({name: chain.worker.client_id}))));
        worthless(&ask(&chain, &chain.assertion(json!({name: [chain.planner.client_id]}))));
        ask(&chain, &chain.assertion(json!({name: chain.planner.client_id}))).expect(200);
    }
}

#[test]
fn what_is_no_assertion_or_of_another_kind_is_worth_nothing() {
    let chain = Chain::new();
    let good = chain.assertion(json!({}));
    let own = chain.own_token(&chain.planner, RESOURCE);
    let key = Signer::new(Alg::Es256, 2);
    let mut changed = decode(&good).1;
    changed["sub"] = "bob".into();
    let mut all = vec!["x".to_owned(), "e30.e30.".to_owned(), own, chain.proof(&key), with_claims(&good, &changed)];
    for typ in ["at+jwt", "dpop+jwt", "oauth-id-jag+jwt", "logout+jwt", "client-authentication+jwt", "secevent+jwt"] {
        all.push(chain.idp.jwt(json!({"typ": typ, "kid": "k"}), &chain.claims(json!({}))));
    }
    all.push(chain.idp.jws("{\"alg\":\"none\",\"typ\":\"JWT\"}", &chain.claims(json!({})).to_string()));
    for bad in &all {
        worthless(&ask(&chain, bad));
    }
    let form = [("grant_type", JWT_BEARER), ("resource", RESOURCE)];
    refused(&chain.post(&chain.planner, &form).send(), "invalid_request");
}

/// Whatever an attacker makes of a good assertion, the answer tells nothing but that it is no good.
#[test]
fn why_an_assertion_does_not_count_is_in_the_event_and_not_in_the_answer() {
    let chain = Chain::new();
    let replies: Vec<Reply> = [
        json!({"sub": "nobody"}),
        json!({"aud": "x"}),
        json!({"iss": "https://x.example"}),
        json!({"exp": chain.now() - 60}),
    ]
    .into_iter()
    .map(|bad| ask(&chain, &chain.assertion(bad)))
    .collect();
    assert!(replies.iter().all(|reply| reply.text == replies[0].text));
    let events = chain.hub.events_of("token.refused");
    let mut details: Vec<&str> = events.iter().filter_map(|event| event["detail"].as_str()).collect();
    details.sort_unstable();
    details.dedup();
    assert_eq!(details.len(), 4, "{details:?}");
}

#[test]
fn scope_is_bounded_by_the_assertion_the_issuer_and_the_client() {
    let chain = Chain::new();
    let scope = |more: Value, asked: &str| {
        let call =
            chain.by_assertion(&chain.planner, &chain.assertion(more), &[("resource", RESOURCE), ("scope", asked)]);
        call.send().json()["scope"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(scope(json!({}), "mcp:read mcp:write admin"), "mcp:read mcp:write");
    assert_eq!(scope(json!({"scope": "mcp:read x"}), "mcp:read mcp:write"), "mcp:read");
    assert_eq!(scope(json!({"scope": "mcp:read"}), "mcp:write"), "");
    chain.trust(json!({"scope": "mcp:write"}));
    assert_eq!(scope(json!({}), "mcp:read mcp:write"), "mcp:write");
}

#[test]
fn a_user_whom_nobody_knows_is_made_only_where_the_issuer_may() {
    let chain = Chain::new();
    let bob = |n: u32| chain.assertion(json!({"sub": format!("bob-{n}"), "name": "Bob", "email": "bob@example.com"}));
    worthless(&ask(&chain, &bob(1)));
    chain.trust(json!({"creates_users": true}));
    let made = claims(&ask(&chain, &bob(1)))["sub"].clone();
    assert_eq!(claims(&ask(&chain, &bob(1)))["sub"], made);
    let user = chain.hub.admin("GET", &format!("users/{}", made.as_str().unwrap())).send().expect(200).json();
    assert_eq!((&user["name"], &user["email"]), (&json!("Bob"), &json!("bob@example.com")));
    assert_eq!((&user["roles"], &user["groups"]), (&json!([]), &json!([])));
    assert_eq!(user["accounts"], json!([{"issuer": IDP, "subject": "bob-1"}]));
    assert_eq!(chain.hub.events_of("user.created").len(), 2, "Alice, and Bob once");
    // A name that is none is left out, and does not keep the user out.
    let odd = chain.assertion(json!({"sub": "odd", "name": "x".repeat(300), "email": 1}));
    ask(&chain, &odd).expect(200);
    for seed in 0..10 {
        let isolates: Vec<_> = (0..4).map(|_| chain.hub.isolate()).collect();
        let ask = |isolate| {
            let assertion = bob(100 + u32::try_from(seed).unwrap());
            chain.by_assertion(&chain.planner, &assertion, &[("resource", RESOURCE)]).on(isolate).future()
        };
        let replies = chain.hub.together(seed, isolates.iter().map(ask).collect());
        let mut subjects: Vec<_> = replies.iter().map(|reply| claims(reply)["sub"].to_string()).collect();
        subjects.dedup();
        assert_eq!(subjects.len(), 1, "two at once make one");
    }
}

#[test]
fn an_assertion_about_a_user_needs_a_client() {
    let chain = Chain::new();
    let assertion = chain.assertion(json!({}));
    let form = [("grant_type", JWT_BEARER), ("assertion", &*assertion), ("resource", RESOURCE)];
    chain.hub.call("POST", "/t/main/token").form(&form).send().expect(401);
    let plain = chain.hub.create_client(json!({}));
    refused(&chain.post(&plain, &form).send(), "unauthorized_client");
    // A public client may, if it is registered for the grant.
    let public = json!({"token_endpoint_auth_method": "none", "grant_types": [JWT_BEARER], "client_name": "public"});
    let made = chain.hub.admin("POST", "clients").json(&public).send().expect(201).json();
    let id = made["client_id"].as_str().unwrap();
    let reply = chain.hub.call("POST", "/t/main/token").form(&[&form[..], &[("client_id", id)]].concat()).send();
    assert_eq!(claims(&reply)["client_id"], id);
}

/// Our own issuer is nobody's outside issuer, even if somebody registers it.
#[test]
fn a_token_of_our_own_is_no_assertion() {
    let chain = Chain::new();
    let own = chain.user_token(&chain.planner, RESOURCE, "mcp:read");
    let jwks = chain.hub.call("GET", "/t/main/jwks.json").send().json();
    let body = json!({"issuer": ISSUER, "name": "us", "uses": ["jwt_bearer", "id_jag", "workload"], "jwks": jwks});
    chain.hub.db.execute(&format!(
        "INSERT INTO issuers (tenant, id, issuer, body, created_at, updated_at) VALUES ('main', 'us', '{ISSUER}', '{body}', 0, 0)"
    ));
    chain.hub.restart();
    let addressed = chain.forge("JWT", &own, json!({"aud": ISSUER}));
    worthless(&ask(&chain, &addressed));
    let jag = chain.forge("oauth-id-jag+jwt", &own, json!({"aud": ISSUER, "resource": RESOURCE}));
    worthless(&ask(&chain, &jag));
}

mod workload {
    use super::*;
    use crate::support::hub::Call;

    /// A client that is the workload `repo:octo/app`.
    fn robot(chain: &Chain, more: Value) -> String {
        let mut body = json!({
            "client_name": "robot", "grant_types": [JWT_BEARER, "client_credentials"], "token_endpoint_auth_method": "federated_jwt",
            "workload_identities": [{"issuer": IDP, "rules": [{"claim": "sub", "equals": "repo:octo/app"}]}],
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        chain.trust(json!({"uses": ["workload"]}));
        let made = chain.hub.admin("POST", "clients").json(&body).send().expect(201).json();
        made["client_id"].as_str().unwrap().to_owned()
    }

    fn call<'a>(chain: &'a Chain, assertion: &str, more: &[(&str, &str)]) -> Call<'a> {
        let form = [("grant_type", JWT_BEARER), ("assertion", assertion), ("resource", RESOURCE)];
        chain.hub.call("POST", "/t/main/token").form(&[&form, more].concat())
    }

    fn of_robot(chain: &Chain, more: Value) -> String {
        let mut claims = json!({"sub": "repo:octo/app"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        chain.assertion(claims)
    }

    #[test]
    fn a_workload_needs_no_client_id_and_no_secret_and_may_use_its_token_again() {
        let chain = Chain::new();
        let robot = robot(&chain, json!({}));
        for aud in [ISSUER.to_owned(), format!("{ISSUER}/"), format!("{ISSUER}/token")] {
            let assertion = of_robot(&chain, json!({"aud": aud, "exp": chain.now() + 7200}));
            for _ in 0..2 {
                let token = claims(&call(&chain, &assertion, &[]).send());
                assert_eq!((token["sub"].as_str(), token["client_id"].as_str()), (Some(&*robot), Some(&*robot)));
            }
        }
        let event = chain.hub.events_of("token.issued").pop().unwrap();
        assert_eq!((&event["client"], &event["grant_type"]), (&json!(robot), &json!(JWT_BEARER)));
    }

    #[test]
    fn a_workload_has_not_signed_in_whatever_its_issuer_says() {
        let chain = Chain::new();
        robot(&chain, json!({}));
        let claimed = json!({"acr": "phr", "auth_time": chain.now()});
        let token = claims(&call(&chain, &of_robot(&chain, claimed.clone()), &[]).send());
        assert_eq!((token.get("acr"), token.get("auth_time")), (None, None));
        chain.hub.put_policy("everything", "@require(\"step_up:acr=phr\") permit(principal, action, resource);");
        assert_eq!(call(&chain, &of_robot(&chain, claimed), &[]).send().expect(400).error(), "invalid_scope");
    }

    #[test]
    fn a_workload_that_is_no_client_or_not_registered_for_the_grant_gets_nothing() {
        let chain = Chain::new();
        let id = robot(&chain, json!({}));
        worthless(&call(&chain, &of_robot(&chain, json!({"sub": "repo:octo/other"})), &[]).send());
        worthless(&call(&chain, &of_robot(&chain, json!({"aud": "x"})), &[]).send());
        worthless(&call(&chain, &of_robot(&chain, json!({"act": {"sub": "x"}})), &[]).send());
        call(&chain, &of_robot(&chain, json!({})), &[]).send().expect(200);
        chain.hub.admin("POST", &format!("clients/{id}/suspend")).send().expect(200);
        worthless(&call(&chain, &of_robot(&chain, json!({})), &[]).send());
        chain.hub.admin("POST", &format!("clients/{id}/resume")).send().expect(200);
        chain.hub.clock.advance(2);
        call(&chain, &of_robot(&chain, json!({})), &[]).send().expect(200);
        chain.hub.db.execute("UPDATE clients SET metadata = json_set(metadata, '$.grant_types', json('[]'))");
        chain.hub.restart();
        refused(&call(&chain, &of_robot(&chain, json!({})), &[]).send(), "unauthorized_client");
    }

    #[test]
    fn a_workload_is_never_another_client_than_the_one_that_authenticated() {
        let chain = Chain::new();
        robot(&chain, json!({}));
        let assertion = of_robot(&chain, json!({}));
        worthless(&call(&chain, &assertion, &[]).basic(&chain.worker).send());
    }

    #[test]
    fn two_clients_that_are_one_workload_are_neither() {
        let chain = Chain::new();
        robot(&chain, json!({}));
        robot(&chain, json!({}));
        worthless(&call(&chain, &of_robot(&chain, json!({})), &[]).send());
    }

    #[test]
    fn an_issuer_of_both_kinds_tells_workloads_and_users_apart_and_users_count_once() {
        let chain = Chain::new();
        let robot = robot(&chain, json!({}));
        chain.trust(json!({"uses": ["workload", "jwt_bearer"]}));
        assert_eq!(claims(&call(&chain, &of_robot(&chain, json!({})), &[]).send())["sub"], robot);
        let alice = chain.assertion(json!({}));
        assert_eq!(claims(&ask(&chain, &alice))["sub"], *chain.user);
        worthless(&ask(&chain, &alice));
    }

    #[test]
    fn nothing_is_issued_while_nobody_can_record_it() {
        let chain = Chain::new();
        robot(&chain, json!({}));
        let assertion = of_robot(&chain, json!({}));
        call(&chain, &assertion, &[]).send().expect(200);
        chain.hub.faults.fail(Port::Queue);
        chain.hub.faults.fail(Port::Db);
        call(&chain, &assertion, &[]).send().expect(503);
    }
}

#[test]
fn nobody_is_made_for_a_target_that_is_not_there() {
    let chain = Chain::new();
    chain.trust(json!({"creates_users": true}));
    let assertion = chain.assertion(json!({"sub": "carol"}));
    refused(
        &chain.by_assertion(&chain.planner, &assertion, &[("resource", "https://x.example")]).send(),
        "invalid_target",
    );
    assert_eq!(chain.hub.db.query("SELECT id FROM users").len(), 1);
    chain.by_assertion(&chain.planner, &assertion, &[("resource", TASKS)]).send().expect(200);
    assert_eq!(chain.hub.db.query("SELECT id FROM users").len(), 2);
}

#[test]
fn a_quota_that_is_used_up_does_not_use_the_assertion_up() {
    let chain = Chain::new();
    set(&chain.hub, "main", json!({"tokens_per_minute": 2}));
    let assertions: Vec<_> = (0..4).map(|_| chain.assertion(json!({}))).collect();
    let status = |assertion: &String| ask(&chain, assertion).status;
    assert_eq!(assertions.iter().map(status).collect::<Vec<_>>(), [200, 200, 429, 429]);
    chain.hub.clock.advance(60);
    assert_eq!(assertions[2..].iter().map(status).collect::<Vec<_>>(), [200, 200]);
}
