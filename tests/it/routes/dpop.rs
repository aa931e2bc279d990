//! DPoP (RFC 9449) at the token endpoint and at our own APIs. What a proof says by itself is tested in `tests/jose`.

use super::connections;
use crate::support::hub::{Call, ISSUER, RESOURCE, decode};
use crate::support::run::Random;
use crate::support::{Credentials, Effect, Port, Reply, Scripted, Setup, Signer};
use serde_json::{Value, json};
use std::cell::Cell;
use writ::crypto::{sha256, unb64};
use writ::ports::{Alg, Pending};

const HTU: &str = "https://id.example/t/main/token";

/// An agent that holds a key.
struct Scene {
    hub: Setup,
    agent: Credentials,
    key: Signer,
    made: Cell<u32>,
}

impl Scene {
    fn new() -> Self {
        let hub = Setup::new();
        let agent = hub.agent("agent", "mcp:read");
        Self { hub, agent, key: Signer::new(Alg::Es256, 1), made: Cell::new(0) }
    }

    /// The claims of a good proof for a token request.
    fn claims(&self) -> Value {
        self.made.set(self.made.get() + 1);
        let jti = format!("proof-{}", self.made.get());
        json!({"jti": jti, "htm": "POST", "htu": HTU, "iat": self.hub.clock.seconds()})
    }

    /// A good proof with other members; `null` leaves one out.
    fn proof(&self, changes: &Value) -> String {
        self.key.proof(&changed(self.claims(), changes))
    }

    fn request(&self, proof: &str) -> Call<'_> {
        self.hub.token_call(&self.agent, &[]).header("dpop", proof)
    }

    fn send(&self, proof: &str) -> Reply {
        self.request(proof).send()
    }

    fn bound_token(&self) -> String {
        self.send(&self.proof(&json!({}))).access_token()
    }

    #[track_caller]
    fn refused(&self, proof: &str) {
        let reply = self.send(proof).expect(400);
        assert_eq!(reply.error(), "invalid_dpop_proof", "{reply:?}");
        assert_eq!(reply.header("dpop-nonce"), None);
    }
}

fn changed(mut claims: Value, changes: &Value) -> Value {
    let members = claims.as_object_mut().unwrap();
    members.extend(changes.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    claims
}

#[test]
fn a_proof_binds_the_token_to_its_key_whatever_its_algorithm() {
    let scene = Scene::new();
    for (n, alg) in Alg::ALL.into_iter().enumerate() {
        let key = Signer::new(alg, n + 1);
        let reply = scene.send(&key.proof(&scene.claims())).expect(200);
        assert_eq!(reply.json()["token_type"], "DPoP");
        assert_eq!(decode(&reply.access_token()).1["cnf"], json!({"jkt": key.thumbprint()}));
    }
    let plain = scene.hub.token(&scene.agent, &[]).expect(200);
    assert_eq!(plain.json()["token_type"], "Bearer");
    assert_eq!(decode(&plain.access_token()).1.get("cnf"), None);
}

#[test]
fn a_proof_that_lacks_a_member_or_has_a_wrong_one_is_refused() {
    let scene = Scene::new();
    let jwk: Value = serde_json::from_str(&scene.key.jwk).unwrap();
    let header = |changes: Value| {
        scene.key.jwt(changed(json!({"typ": "dpop+jwt", "jwk": jwk, "alg": "ES256"}), &changes), &scene.claims())
    };
    assert_eq!(scene.send(&header(json!({"more": 1}))).status, 200, "other members do no harm");
    let mut private = jwk.clone();
    private["d"] = json!("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI");
    let other: Value = serde_json::from_str(&Signer::new(Alg::Es256, 2).jwk).unwrap();
    let rsa: Value = serde_json::from_str(&Signer::new(Alg::Rs256, 2).jwk).unwrap();
    for bad in [
        json!({"typ": null}),
        json!({"typ": "JWT"}),
        json!({"typ": "at+jwt"}),
        json!({"jwk": null}),
        json!({"jwk": private}),
        json!({"jwk": other}),
        json!({"jwk": rsa}),
        json!({"jwk": {"kty": "oct", "k": "AAAA"}}),
        json!({"jwk": "x"}),
        json!({"alg": "none"}),
        json!({"alg": "HS256"}),
        json!({"alg": "RS256"}),
        json!({"alg": "ES384"}),
        json!({"crit": ["x"]}),
    ] {
        scene.refused(&header(bad));
    }
    assert_eq!(scene.send(&scene.proof(&json!({"more": {"x": [1]}}))).status, 200);
    for bad in [
        json!({"jti": null}),
        json!({"jti": ""}),
        json!({"jti": 1}),
        json!({"htm": null}),
        json!({"htm": "GET"}),
        json!({"htm": "post"}),
        json!({"htu": null}),
        json!({"htu": "https://evil.example/t/main/token"}),
        json!({"htu": "https://id.example/t/main/tokens"}),
        json!({"htu": "https://id.example/t/other/token"}),
        json!({"htu": "http://id.example/t/main/token"}),
        json!({"iat": null}),
        json!({"iat": "1767700800"}),
        json!({"iat": 1.5}),
        json!({"ath": 1}),
        json!({"nonce": 1}),
    ] {
        scene.refused(&scene.proof(&bad));
    }
    let good = scene.proof(&json!({}));
    let cut = &good[..good.len() - 3];
    for bad in ["", "x", "a.b.c", cut, &format!("{good}A"), &good.replacen('.', "..", 1)] {
        scene.refused(bad);
    }
    assert_eq!(scene.send(&good).status, 200, "no refusal has used anything up");
}

#[test]
fn there_is_one_proof_header_and_hosts_that_join_two_do_not_hide_the_second() {
    let scene = Scene::new();
    let [one, two] = [json!({}), json!({})].map(|changes| scene.proof(&changes));
    for joined in
        [format!("{one}, {two}"), format!("{one},{two}"), format!("{one}, {one}"), format!("{one},"), format!(",{one}")]
    {
        scene.refused(&joined);
        let refused = scene.hub.events_of("token.refused");
        assert_eq!(refused.last().unwrap()["detail"], "there are several");
    }
    assert_eq!(scene.send(&one).status, 200);
}

#[test]
fn htu_is_compared_after_normalization_and_never_with_the_host_header() {
    let scene = Scene::new();
    for fine in [
        format!("{HTU}?x=1"),
        format!("{HTU}#x"),
        HTU.replace("id.example", "ID.example:443"),
        HTU.replace("https", "HTTPS"),
        HTU.replace("main", "m%61in"),
        HTU.replace("main", "x/../main/."),
    ] {
        scene.send(&scene.proof(&json!({"htu": fine}))).expect(200);
    }
    let elsewhere = scene.proof(&json!({"htu": "https://proxy.example/t/main/token"}));
    let reply = scene.request(&elsewhere).header("host", "proxy.example").send();
    assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_dpop_proof"));
}

#[test]
fn a_proof_is_recent() {
    let scene = Scene::new();
    let now = scene.hub.clock.seconds();
    for fine in [now - 60, now - 10, now + 10] {
        scene.send(&scene.proof(&json!({"iat": fine}))).expect(200);
    }
    for bad in [now - 3600, now - 61, now + 11, now + 3600] {
        scene.refused(&scene.proof(&json!({"iat": bad})));
    }
    for bad in [json!({"exp": now - 11}), json!({"nbf": now + 11}), json!({"exp": "x"}), json!({"nbf": []})] {
        scene.refused(&scene.proof(&bad));
    }
    scene.send(&scene.proof(&json!({"exp": now + 5, "nbf": now - 5}))).expect(200);
    // RFC 7519 §2: any JSON number.
    scene.send(&scene.proof(&json!({"iat": now as f64 - 0.25}))).expect(200);
}

#[test]
fn a_proof_is_used_once_wherever_it_goes_and_until_it_could_not_be_used_anyway() {
    let scene = Scene::new();
    let proof = scene.proof(&json!({"iat": scene.hub.clock.seconds() + 10}));
    scene.send(&proof).expect(200);
    scene.refused(&proof);
    for wait in [0, 1, 30, 39] {
        scene.hub.clock.advance(wait);
        scene.hub.tick().unwrap();
        let reply = scene.request(&proof).on(&scene.hub.isolate()).send().expect(400);
        assert_eq!(reply.error(), "invalid_dpop_proof");
    }
    let refused = scene.hub.events_of("token.refused");
    assert_eq!(refused.last().unwrap()["detail"], "it was used before", "the last second is still within the window");
    assert_eq!(refused.last().unwrap()["reason"], "InvalidProof");
}

#[test]
fn of_many_isolates_that_get_one_proof_at_the_same_time_one_issues() {
    for seed in 0..10 {
        let scene = Scene::new();
        scene.bound_token();
        let proof = scene.proof(&json!({}));
        let isolates: Vec<_> = (0..20).map(|_| scene.hub.isolate()).collect();
        let calls: Vec<Pending<'_, Reply>> =
            isolates.iter().map(|isolate| scene.request(&proof).on(isolate).future()).collect();
        let replies = scene.hub.together(Random(seed).next(), calls);
        assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
        assert!(replies.iter().all(|reply| reply.status == 200 || reply.error() == "invalid_dpop_proof"));
    }
}

#[test]
fn the_jti_of_one_key_is_not_spent_by_another_and_not_in_another_tenant() {
    let scene = Scene::new();
    let claims = scene.claims();
    scene.send(&scene.key.proof(&claims)).expect(200);
    scene.send(&Signer::new(Alg::Es256, 2).proof(&claims)).expect(200);
    let admin = scene.hub.create_tenant("other");
    let elsewhere = changed(claims, &json!({"htu": "https://id.example/t/other/token"}));
    let form = [("grant_type", "client_credentials"), ("scope", "admin")];
    let call = scene.hub.call("POST", "/t/other/token").basic(&admin).form(&form);
    call.header("dpop", &scene.key.proof(&elsewhere)).send().expect(200);
}

#[test]
fn when_it_cannot_be_known_whether_a_proof_was_used_nothing_is_issued() {
    let scene = Scene::new();
    scene.bound_token();
    let proof = scene.proof(&json!({}));
    scene.hub.faults.fail_when(Port::Db, |call| call.text.contains("INTO spent"), Effect::Fails);
    scene.send(&proof).expect(503);
    scene.hub.faults.heal();
    scene.send(&proof).expect(200);
}

#[test]
fn who_does_not_authenticate_uses_no_proof_up() {
    let scene = Scene::new();
    let proof = scene.proof(&json!({}));
    let thief = Credentials { client_secret: "x".to_owned(), ..scene.agent.clone() };
    assert_eq!(scene.hub.token_call(&thief, &[]).header("dpop", &proof).send().error(), "invalid_client");
    assert!(scene.hub.db.query("SELECT * FROM spent").is_empty());
    scene.send(&proof).expect(200);
}

#[test]
fn a_client_that_is_registered_for_bound_tokens_gets_no_other() {
    let scene = Scene::new();
    let metadata = json!({"dpop_bound_access_tokens": true, "allowed_resources": [RESOURCE]});
    let bound = scene.hub.create_client(metadata);
    scene.hub.put_policy("bound", &crate::support::hub::permit(&bound.client_id, RESOURCE));
    assert_eq!(scene.hub.token(&bound, &[]).expect(400).error(), "invalid_dpop_proof");
    let reply = scene.hub.token_call(&bound, &[]).header("dpop", &scene.proof(&json!({}))).send();
    assert_eq!(reply.json()["token_type"], "DPoP");
}

#[test]
fn dpop_jkt_names_the_key_of_the_proof_or_nothing_is_issued() {
    let scene = Scene::new();
    let with = |jkt: &str, proof: Option<String>| {
        let call = scene.hub.token_call(&scene.agent, &[("dpop_jkt", jkt)]);
        match proof {
            Some(proof) => call.header("dpop", &proof).send(),
            None => call.send(),
        }
    };
    let jkt = scene.key.thumbprint();
    with(&jkt, Some(scene.proof(&json!({})))).expect(200);
    assert_eq!(with(&jkt, None).expect(400).error(), "invalid_dpop_proof");
    let other = Signer::new(Alg::Es256, 2).thumbprint();
    assert_eq!(with(&other, Some(scene.proof(&json!({})))).expect(400).error(), "invalid_dpop_proof");
}

/// The tenant wants nonces from now on.
fn want_nonces(hub: &Setup) {
    let settings = json!({"name": "Main", "zone": "UTC", "settings": {"dpop_nonce": true}});
    hub.admin("PUT", "tenants/main").header("if-match", "*").json(&settings).send().expect(200);
}

#[test]
fn where_nonces_are_wanted_every_proof_needs_a_fresh_one_of_ours_and_gets_the_next() {
    let scene = Scene::new();
    want_nonces(&scene.hub);
    let asked = scene.send(&scene.proof(&json!({}))).expect(400);
    assert_eq!(asked.error(), "use_dpop_nonce");
    assert_eq!(asked.header("cache-control"), Some("no-store"));
    assert!(asked.header("access-control-expose-headers").unwrap().contains("DPoP-Nonce"));
    let nonce = asked.header("dpop-nonce").unwrap().to_owned();

    scene.hub.clock.advance(1);
    let answered = scene.send(&scene.proof(&json!({"nonce": nonce}))).expect(200);
    let next = answered.header("dpop-nonce").unwrap().to_owned();
    assert_ne!(next, nonce);
    // It is nobody's to remember: another isolate takes it, and more than once.
    for isolate in [scene.hub.isolate(), scene.hub.isolate()] {
        scene.request(&scene.proof(&json!({"nonce": nonce}))).on(&isolate).send().expect(200);
    }
    let mut forged = nonce.clone().into_bytes();
    *forged.last_mut().unwrap() ^= 1;
    let forged = String::from_utf8(forged).unwrap();
    scene.hub.create_tenant("other");
    for bad in ["x", &nonce[..nonce.len() - 1], &forged, &format!("{nonce}A")] {
        let reply = scene.send(&scene.proof(&json!({"nonce": bad}))).expect(400);
        assert_eq!(reply.error(), "use_dpop_nonce", "{bad}");
        assert!(reply.header("dpop-nonce").is_some());
    }
    // One of the 300 seconds has passed.
    scene.hub.clock.advance(299);
    scene.send(&scene.proof(&json!({"nonce": nonce}))).expect(200);
    scene.hub.clock.advance(1);
    assert_eq!(scene.send(&scene.proof(&json!({"nonce": nonce}))).expect(400).error(), "use_dpop_nonce");
    // A request without a proof has nothing to put a nonce into.
    let plain = scene.hub.token(&scene.agent, &[]).expect(200);
    assert_eq!(plain.header("dpop-nonce"), None);
}

#[test]
fn a_nonce_from_the_future_is_none() {
    let scene = Scene::new();
    want_nonces(&scene.hub);
    let now = scene.hub.clock.seconds();
    for (ahead, fine) in [(10, true), (11, false), (3_600, false), (1_000_000, false)] {
        scene.hub.clock.set_seconds(now + ahead);
        scene.hub.restart();
        let nonce = scene.send(&scene.proof(&json!({}))).header("dpop-nonce").unwrap().to_owned();
        scene.hub.clock.set_seconds(now);
        scene.hub.restart();
        let reply = scene.send(&scene.proof(&json!({"nonce": nonce})));
        assert_eq!(reply.status == 200, fine, "{ahead}: {reply:?}");
        assert!(fine || reply.error() == "use_dpop_nonce", "{ahead}: {reply:?}");
    }
}

#[test]
fn a_nonce_of_another_tenant_is_none() {
    let scene = Scene::new();
    want_nonces(&scene.hub);
    let nonce = scene.send(&scene.proof(&json!({}))).header("dpop-nonce").unwrap().to_owned();
    let admin = scene.hub.create_tenant("other");
    let settings = json!({"name": "Other", "zone": "UTC", "settings": {"dpop_nonce": true}});
    scene.hub.admin_of("other", "PUT", "tenants/other").header("if-match", "*").json(&settings).send().expect(200);
    let proof = scene.proof(&json!({"nonce": nonce, "htu": "https://id.example/t/other/token"}));
    let form = [("grant_type", "client_credentials"), ("scope", "admin")];
    let reply = scene.hub.call("POST", "/t/other/token").basic(&admin).form(&form).header("dpop", &proof).send();
    assert_eq!(reply.expect(400).error(), "use_dpop_nonce");
}

#[test]
fn who_lacks_a_nonce_has_used_nothing_up_and_a_bad_proof_gets_none() {
    let scene = Scene::new();
    want_nonces(&scene.hub);
    assert_eq!(scene.send(&scene.proof(&json!({}))).error(), "use_dpop_nonce");
    assert!(scene.hub.db.query("SELECT * FROM spent").is_empty());
    scene.refused(&scene.proof(&json!({"htm": "GET"})));
}

#[test]
fn a_page_of_another_origin_may_send_proofs_and_read_nonces() {
    let scene = Scene::new();
    let preflight = scene.hub.call("OPTIONS", "/t/main/token").send();
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("DPoP"));
    assert!(preflight.header("access-control-expose-headers").unwrap().contains("DPoP-Nonce"));
}

#[test]
fn metadata_names_the_algorithms_of_proofs() {
    let hub = Setup::new();
    let metadata = hub.call("GET", "/.well-known/oauth-authorization-server/t/main").send().json();
    assert_eq!(
        metadata["dpop_signing_alg_values_supported"],
        json!(["ES256", "ES384", "Ed25519", "EdDSA", "RS256", "PS256"])
    );
}

/// An administrator whose token is bound.
struct BoundAdmin {
    scene: Scene,
    token: String,
}

impl BoundAdmin {
    fn new() -> Self {
        let scene = Scene::new();
        let admin = scene.hub.admin_client("main");
        let call = scene.hub.token_call(&admin, &[("scope", "admin")]);
        let token = call.header("dpop", &scene.proof(&json!({}))).send().access_token();
        Self { scene, token }
    }

    fn claims(&self, changes: &Value) -> Value {
        let own = json!({"htm": "GET", "htu": "https://id.example/t/main/admin/clients", "ath": sha256(&self.token).to_text()});
        changed(changed(self.scene.claims(), &own), changes)
    }

    fn get(&self, scheme: &str, proof: Option<&str>) -> Reply {
        let call = self
            .scene
            .hub
            .call("GET", "/t/main/admin/clients")
            .header("authorization", &format!("{scheme} {}", self.token));
        match proof {
            Some(proof) => call.header("dpop", proof).send(),
            None => call.send(),
        }
    }
}

#[test]
fn a_bound_token_opens_the_admin_api_with_a_proof_for_the_request_and_the_token() {
    let admin = BoundAdmin::new();
    let key = &admin.scene.key;
    let good = key.proof(&admin.claims(&json!({})));
    admin.get("DPoP", Some(&good)).expect(200);
    admin
        .get(
            "dpop",
            Some(&key.proof(&admin.claims(&json!({"htu": "https://id.example/t/main/admin/clients?limit=2"})))),
        )
        .expect(200);
    let mut replies = vec![admin.get("DPoP", None), admin.get("DPoP", Some(&good))];
    for bad in [
        json!({"ath": null}),
        json!({"ath": sha256("another").to_text()}),
        json!({"htm": "POST"}),
        json!({"htu": HTU}),
        json!({"iat": admin.scene.hub.clock.seconds() - 3600}),
        json!({"jti": null}),
    ] {
        replies.push(admin.get("DPoP", Some(&key.proof(&admin.claims(&bad)))));
    }
    let other = Signer::new(Alg::Es256, 2);
    replies.push(admin.get("DPoP", Some(&other.proof(&admin.claims(&json!({}))))));
    let [one, two] = [json!({}), json!({})].map(|changes| key.proof(&admin.claims(&changes)));
    replies.push(admin.get("DPoP", Some(&format!("{one}, {two}"))));
    for reply in replies {
        assert_eq!((reply.status, reply.error().as_str()), (401, "invalid_dpop_proof"), "{reply:?}");
        let challenge = format!(
            "DPoP realm=\"{ISSUER}\", error=\"invalid_dpop_proof\", algs=\"ES256 ES384 Ed25519 EdDSA RS256 PS256\", scope=\"admin:read\""
        );
        assert_eq!(reply.header("www-authenticate"), Some(challenge.as_str()));
    }
}

#[test]
fn a_proof_that_was_used_at_one_endpoint_is_used_up_at_the_other() {
    let admin = BoundAdmin::new();
    let claims = admin.claims(&json!({"jti": "once"}));
    admin.get("DPoP", Some(&admin.scene.key.proof(&claims))).expect(200);
    admin.scene.refused(&admin.scene.proof(&json!({"jti": "once"})));
}

#[test]
fn a_bound_token_is_worth_nothing_as_a_bearer_token_and_an_unbound_one_nothing_as_a_bound_one() {
    let admin = BoundAdmin::new();
    let proof = || admin.scene.key.proof(&admin.claims(&json!({})));
    let unbound = admin.scene.hub.admin_token();
    let with_unbound = admin.scene.hub.call("GET", "/t/main/admin/clients");
    let with_unbound = with_unbound.header("authorization", &format!("DPoP {unbound}"));
    let ath = json!({"ath": sha256(&unbound).to_text()});
    let replies = [
        admin.get("Bearer", None),
        admin.get("bearer", Some(&proof())),
        with_unbound.header("dpop", &admin.scene.key.proof(&admin.claims(&ath))).send(),
    ];
    for reply in replies {
        assert_eq!((reply.status, reply.error().as_str()), (401, "invalid_token"), "{reply:?}");
        assert!(reply.header("www-authenticate").unwrap().starts_with("DPoP realm="));
    }
}

#[test]
fn a_resource_server_leases_with_a_bound_token_whose_proof_it_has_checked_itself() {
    let scene = Scene::new();
    let connection = connections::body(0, &[connections::READ]);
    scene.hub.admin("PUT", "connections/warehouse").json(&connection).send().expect(201);
    let permit = r#"permit(principal, action == Action::"lease", resource == Connection::"warehouse");"#;
    scene.hub.put_policy("lease", permit);
    let leased = json!({"access_token": "downstream", "token_type": "Bearer", "expires_in": 600});
    scene.hub.fetch.answer(move |_| Scripted::json(200, leased.clone()));
    let server = scene.hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let token = scene.bound_token();
    let call = scene.hub.call("POST", "/t/main/connections/warehouse/token").basic(&server);
    call.form(&[("subject_token", &token)]).send().expect(200);
}

#[test]
fn the_event_of_a_refused_proof_says_why_and_holds_none() {
    let scene = Scene::new();
    let proof = scene.proof(&json!({"htm": "GET"}));
    scene.refused(&proof);
    let event = scene.hub.events_of("token.refused").pop().unwrap();
    assert_eq!((&event["reason"], &event["detail"]), (&json!("InvalidProof"), &json!("for another request")));
    let signature = proof.rsplit('.').next().unwrap();
    assert!(unb64(signature).is_some() && !scene.hub.dump_at_rest().contains(signature));
}

#[test]
fn the_settings_of_a_tenant_are_shown_changed_and_checked() {
    let hub = Setup::new();
    let shown = |reply: Reply| reply.expect(200).json()["settings"].clone();
    let get = || shown(hub.admin("GET", "tenants/main").send());
    assert_eq!(get(), json!({"max_actors": 5, "dpop_nonce": false, "event_retention_days": 400}));
    let put = |more: Value| {
        let body = changed(json!({"name": "Main", "zone": "UTC"}), &more);
        hub.admin("PUT", "tenants/main").header("if-match", "*").json(&body).send()
    };
    assert_eq!(shown(put(json!({"settings": {"max_actors": 10, "dpop_nonce": true}}))), get());
    assert_eq!(get(), json!({"max_actors": 10, "dpop_nonce": true, "event_retention_days": 400}));
    put(json!({"name": "Renamed"})).expect(200);
    assert_eq!(
        get(),
        json!({"max_actors": 10, "dpop_nonce": true, "event_retention_days": 400}),
        "what is not sent stays"
    );
    assert_eq!(
        shown(put(json!({"settings": {"max_actors": 1}}))),
        json!({"max_actors": 1, "dpop_nonce": false, "event_retention_days": 400})
    );
    for (bad, why) in [
        (json!({"max_actors": 0}), "max_actors"),
        (json!({"max_actors": 11}), "max_actors"),
        (json!({"max_actors": "3"}), "settings.max_actors"),
        (json!({"dpop_nonce": 1}), "settings.dpop_nonce"),
        (json!({"colour": 1}), "settings.colour"),
    ] {
        let reply = put(json!({"settings": bad})).expect(400);
        assert!(reply.json()["detail"].as_str().unwrap().contains(why), "{reply:?}");
    }
    let events = hub.events_of("tenant.updated");
    assert_eq!(events[0]["detail"], "settings");
    let made = json!({"id": "new", "name": "New", "settings": {"max_actors": 2}});
    assert_eq!(hub.admin("POST", "tenants").json(&made).send().expect(201).json()["settings"]["max_actors"], 2);
    assert_eq!(shown(hub.admin("GET", "tenants/new").send())["max_actors"], 2);
}
