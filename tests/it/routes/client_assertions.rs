//! `private_key_jwt` at the token endpoint, and what a client may say of its keys when it is registered.

use crate::support::hub::{Call, ISSUER, RESOURCE, START, permit};
use crate::support::{Credentials, Effect, Port, Reply, Scripted, Setup, Signer};
use serde_json::{Value, json};
use std::cell::Cell;
use writ::crypto::b64;
use writ::error::Reason;
use writ::ports::{Alg, FetchError, Now, Pending};

pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const KEYS: &str = "https://agent.example/jwks.json";
const NOW: i64 = START.cast_signed();

/// A hub with one client that signs for itself.
pub struct Scene {
    pub hub: Setup,
    pub key: Signer,
    pub id: String,
    made: Cell<u32>,
}

impl Scene {
    pub fn new() -> Self {
        let key = Signer::new(Alg::Es256, 1);
        Self::with(json!({"jwks": key.jwks("k")}), key)
    }

    fn with(metadata: Value, key: Signer) -> Self {
        let hub = Setup::new();
        hub.create_resource(json!({}));
        let id = register(&hub, metadata);
        hub.put_policy("agent", &permit(&id, RESOURCE));
        Self { hub, key, id, made: Cell::new(0) }
    }

    fn serial(&self) -> String {
        self.made.set(self.made.get() + 1);
        format!("jti-{}", self.made.get())
    }

    /// The claims of a good assertion, with others instead; `null` removes one.
    pub fn claims(&self, other: Value) -> Value {
        let seconds = self.hub.clock.seconds();
        let mut claims = json!({"iss": self.id, "sub": self.id, "aud": ISSUER, "iat": seconds, "exp": seconds + 60});
        claims["jti"] = self.serial().into();
        for (name, value) in other.as_object().unwrap() {
            match value.is_null() {
                true => claims.as_object_mut().unwrap().remove(name),
                false => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        claims
    }

    pub fn assertion(&self, other: Value) -> String {
        self.key.jwt(json!({"typ": "JWT"}), &self.claims(other))
    }

    fn call(&self, assertion: &str) -> Call<'_> {
        with_assertion(&self.hub, assertion, &[])
    }

    fn send(&self, assertion: &str) -> Reply {
        self.call(assertion).send()
    }

    /// What becomes of an assertion with these claims instead.
    fn try_claims(&self, other: Value) -> Reply {
        self.send(&self.assertion(other))
    }

    fn try_header(&self, header: Value) -> Reply {
        self.send(&self.key.jwt(header, &self.claims(json!({}))))
    }
}

/// Registers a client with `private_key_jwt` unless the metadata says otherwise.
fn register(hub: &Setup, metadata: Value) -> String {
    attempt(hub, metadata).expect(201).json()["client_id"].as_str().unwrap().to_owned()
}

fn attempt(hub: &Setup, metadata: Value) -> Reply {
    let mut body = json!({
        "client_name": "agent", "token_endpoint_auth_method": "private_key_jwt", "allowed_resources": [RESOURCE],
    });
    body.as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
    hub.admin("POST", "clients").json(&body).send()
}

pub fn with_assertion<'a>(hub: &'a Setup, assertion: &str, more: &[(&str, &str)]) -> Call<'a> {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion),
        ("resource", RESOURCE),
    ];
    hub.call("POST", "/t/main/token").form(&[&form, more].concat())
}

#[track_caller]
pub fn refused(reply: &Reply) {
    assert_eq!((reply.status, reply.error().as_str()), (401, "invalid_client"), "{reply:?}");
    assert!(reply.header("www-authenticate").is_some());
}

/// Answers fetches of key sets with what `set` gives.
fn serve(hub: &Setup, answer: impl Fn() -> Scripted + 'static) {
    hub.fetch.answer(move |request| {
        assert_eq!(request.method, "GET");
        answer()
    });
}

fn fetches(hub: &Setup) -> usize {
    hub.fetch.requests().len()
}

// ── What counts ──

#[test]
fn a_client_proves_itself_with_each_algorithm_that_its_keys_allow() {
    for alg in Alg::ALL {
        let key = Signer::new(alg, 3);
        let scene = Scene::with(json!({"jwks": key.jwks("k")}), key);
        let reply = scene.try_claims(json!({})).expect(200);
        assert_eq!(reply.json()["token_type"], "Bearer");
        let issued = scene.hub.events_of("token.issued");
        let event = issued.iter().find(|event| event["client"] == scene.id.as_str()).unwrap();
        assert_eq!(event["auth_method"], "private_key_jwt");
    }
}

#[test]
fn the_client_id_may_be_left_out_or_say_the_same_and_nothing_else() {
    let scene = Scene::new();
    let with_id = |id: &str| with_assertion(&scene.hub, &scene.assertion(json!({})), &[("client_id", id)]).send();
    scene.try_claims(json!({})).expect(200);
    with_id(&scene.id).expect(200);
    let other = register(&scene.hub, json!({"jwks": Signer::new(Alg::Es256, 2).jwks("k")}));
    refused(&with_id(&other));
    refused(&with_id("client_nobody"));
}

#[test]
fn the_type_is_absent_jwt_or_client_authentication_and_no_other() {
    let scene = Scene::new();
    for header in [json!({}), json!({"typ": "JWT"}), json!({"typ": "jwt"}), json!({"typ": "client-authentication+jwt"})]
    {
        scene.try_header(header).expect(200);
    }
    for typ in ["at+jwt", "dpop+jwt", "oauth-id-jag+jwt", "secevent+jwt", "logout+jwt", "JOSE", "text/plain"] {
        refused(&scene.try_header(json!({"typ": typ})));
    }
}

#[test]
fn a_kid_looks_a_key_up_and_without_one_the_keys_are_tried() {
    let (first, second) = (Signer::new(Alg::Es256, 1), Signer::new(Alg::Es256, 2));
    let keys = json!([first.jwks("a")["keys"][0], second.jwks("b")["keys"][0]]);
    let scene = Scene::with(json!({"jwks": {"keys": keys}}), second);
    for header in [json!({}), json!({"kid": "b"})] {
        scene.try_header(header).expect(200);
    }
    for kid in ["a", "c", "", "../b", "b' OR '1'='1"] {
        refused(&scene.try_header(json!({"kid": kid})));
    }
}

#[test]
fn the_audience_is_the_issuer_as_one_string_give_or_take_a_slash() {
    let scene = Scene::new();
    for aud in [json!(ISSUER), json!(format!("{ISSUER}/"))] {
        scene.try_claims(json!({"aud": aud})).expect(200);
    }
    let endpoint = format!("{ISSUER}/token");
    for aud in [
        json!([ISSUER]),
        json!([ISSUER, "https://other.example"]),
        json!([]),
        json!({}),
        json!(1),
        json!(""),
        json!(endpoint),
        json!("https://other.example/t/main"),
        json!("https://id.example/t/mai"),
        json!("https://id.example/t/main//"),
        json!("https://id.example/t/other"),
        json!("HTTPS://ID.EXAMPLE/t/main"),
        Value::Null,
    ] {
        refused(&scene.try_claims(json!({"aud": aud})));
    }
}

#[test]
fn the_token_endpoint_is_an_audience_only_for_a_client_that_is_registered_so() {
    let key = Signer::new(Alg::Es256, 1);
    let scene = Scene::with(json!({"jwks": key.jwks("k"), "token_endpoint_as_audience": true}), key);
    for aud in [ISSUER.to_owned(), format!("{ISSUER}/token")] {
        scene.try_claims(json!({"aud": aud})).expect(200);
    }
    refused(&scene.try_claims(json!({"aud": format!("{ISSUER}/introspect")})));
    refused(&scene.try_claims(json!({"aud": [ISSUER, format!("{ISSUER}/token")]})));
}

#[test]
fn iss_and_sub_are_the_client_itself() {
    let scene = Scene::new();
    let other = register(&scene.hub, json!({"jwks": scene.key.jwks("k")}));
    for parties in [
        json!({"iss": other}),
        json!({"sub": other}),
        json!({"iss": Value::Null}),
        json!({"sub": Value::Null}),
        json!({"iss": [scene.id]}),
        json!({"sub": {"id": scene.id}}),
        json!({"iss": ISSUER}),
        json!({"iss": format!("{} ", scene.id)}),
    ] {
        refused(&scene.try_claims(parties.clone()));
        let text = scene.assertion(parties);
        refused(&with_assertion(&scene.hub, &text, &[("client_id", &scene.id)]).send());
    }
}

#[test]
fn an_assertion_needs_times_of_the_right_type_and_lives_an_hour_at_most() {
    let scene = Scene::new();
    scene.try_claims(json!({"exp": NOW + 3_600, "nbf": NOW})).expect(200);
    // RFC 7523 §3 does not ask for `iat`, nor RFC 7519 §2 for whole seconds.
    scene.try_claims(json!({"iat": Value::Null})).expect(200);
    scene.try_claims(json!({"iat": NOW as f64 - 0.75, "exp": NOW as f64 + 60.25, "nbf": NOW as f64 - 0.5})).expect(200);
    for times in [
        json!({"exp": Value::Null}),
        json!({"exp": NOW + 3_700}),
        json!({"exp": NOW + 86_400}),
        json!({"exp": 9_999_999_999_i64}),
        json!({"exp": "x"}),
        json!({"exp": (NOW + 60).to_string()}),
        json!({"exp": -1}),
        json!({"exp": 0}),
        json!({"exp": [NOW + 60]}),
        json!({"exp": true}),
        json!({"nbf": "99999999999"}),
        json!({"nbf": {}}),
        json!({"iat": "now"}),
    ] {
        refused(&scene.try_claims(times));
    }
    // No JSON number of ours can write this one.
    let claims = scene.claims(json!({"exp": 7}));
    refused(&scene.send(&scene.key.jws(r#"{"alg":"ES256"}"#, &claims.to_string().replace(":7", ":1e400"))));
}

#[test]
fn clocks_may_differ_by_eight_seconds_and_not_by_sixty() {
    let scene = Scene::new();
    for name in ["iat", "nbf"] {
        scene.try_claims(json!({name: NOW + 8})).expect(200);
        refused(&scene.try_claims(json!({name: NOW + 61})));
    }
    scene.try_claims(json!({"exp": NOW - 8, "iat": NOW - 60})).expect(200);
    refused(&scene.try_claims(json!({"exp": NOW - 61, "iat": NOW - 120})));
}

// ── Once ──

#[test]
fn an_assertion_counts_once_wherever_it_is_sent() {
    let scene = Scene::new();
    let text = scene.assertion(json!({}));
    scene.send(&text).expect(200);
    refused(&scene.send(&text));
    refused(&scene.call(&text).on(&scene.hub.isolate()).send());
    let with_id = with_assertion(&scene.hub, &text, &[("client_id", &scene.id)]).send();
    refused(&with_id);
}

#[test]
fn of_twenty_isolates_with_one_assertion_one_gets_a_token() {
    for seed in 0..10 {
        let scene = Scene::new();
        let text = scene.assertion(json!({}));
        let isolates: Vec<_> = (0..20).map(|_| scene.hub.isolate()).collect();
        let racers = isolates.iter().map(|isolate| scene.call(&text).on(isolate).future()).collect();
        let statuses: Vec<u16> = scene.hub.together(seed, racers).iter().map(|reply| reply.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "seed {seed}: {statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 200 | 401)), "seed {seed}: {statuses:?}");
    }
}

#[test]
fn an_assertion_is_remembered_until_no_clock_can_find_it_alive() {
    let scene = Scene::new();
    let text = scene.assertion(json!({"exp": NOW + 5}));
    scene.send(&text).expect(200);
    for later in [4, 9, 14] {
        scene.hub.clock.set_seconds(START + later);
        refused(&scene.send(&text));
    }
    scene.hub.tick().unwrap();
    refused(&scene.send(&text));
}

#[test]
fn a_client_cannot_burn_the_assertions_of_another() {
    let scene = Scene::new();
    let other_key = Signer::new(Alg::Es256, 2);
    let other = register(&scene.hub, json!({"jwks": other_key.jwks("k")}));
    scene.hub.put_policy("other", &permit(&other, RESOURCE));
    let claims = scene.claims(json!({"jti": "one-name"}));
    let mut same = claims.clone();
    same["iss"] = other.as_str().into();
    same["sub"] = other.as_str().into();
    scene.send(&other_key.jwt(json!({}), &same)).expect(200);
    scene.send(&scene.key.jwt(json!({}), &claims)).expect(200);
}

#[test]
fn whatever_is_wrong_with_an_assertion_does_not_spend_its_name() {
    let scene = Scene::new();
    let forger = Signer::new(Alg::Es256, 9);
    for bad in [json!({"aud": "https://other.example"}), json!({"exp": NOW - 100}), json!({"sub": "client_x"})] {
        let mut claims = scene.claims(bad);
        claims["jti"] = "kept".into();
        refused(&with_assertion(&scene.hub, &scene.key.jwt(json!({}), &claims), &[("client_id", &scene.id)]).send());
    }
    refused(&scene.send(&forger.jwt(json!({}), &scene.claims(json!({"jti": "kept"})))));
    scene.try_claims(json!({"jti": "kept"})).expect(200);
}

#[test]
fn a_name_is_needed_and_has_to_be_a_text_of_bounded_length() {
    let scene = Scene::new();
    for jti in [Value::Null, json!(""), json!(1), json!(["a"]), json!("x".repeat(257))] {
        refused(&scene.try_claims(json!({"jti": jti})));
    }
    scene.try_claims(json!({"jti": "x".repeat(256)})).expect(200);
}

#[test]
fn if_the_use_cannot_be_recorded_there_is_no_token() {
    let scene = Scene::new();
    scene.try_claims(json!({})).expect(200);
    for effect in [Effect::Fails, Effect::LosesReply] {
        let text = scene.assertion(json!({}));
        scene.hub.faults.fail_when(Port::Db, |seen| seen.text.contains("INTO spent"), effect);
        let reply = scene.send(&text).expect(503);
        assert_eq!(reply.error(), "temporarily_unavailable");
        scene.hub.faults.heal();
        // What was not recorded can be used; of what was, nobody knows that it was not.
        assert_eq!(scene.send(&text).status, if effect == Effect::Fails { 200 } else { 401 });
    }
}

// ── Forgery and confusion ──

#[test]
fn a_signature_by_another_key_or_over_other_bytes_is_refused() {
    let scene = Scene::new();
    refused(&scene.send(&Signer::new(Alg::Es256, 2).jwt(json!({}), &scene.claims(json!({})))));
    let text = scene.assertion(json!({}));
    let (input, signature) = text.rsplit_once('.').unwrap();
    for forged in [
        format!("{input}."),
        format!("{input}.{signature}A"),
        format!("{input}.{}", &signature[..signature.len() - 2]),
        format!("{input}.{}", writ::crypto::b64([0; 64])),
        input.to_owned(),
        format!("{text}.{signature}"),
        format!(" {text}"),
        String::from("."),
    ] {
        refused(&scene.send(&forged));
    }
    scene.send(&text).expect(200);
}

#[test]
fn every_prefix_and_every_flipped_bit_of_an_assertion_is_refused() {
    let scene = Scene::new();
    let text = scene.assertion(json!({}));
    // The limit of failures is another test's: here every attempt has a minute of its own.
    let attempt = |forged: &str| {
        let reply = with_assertion(&scene.hub, forged, &[("client_id", &scene.id)]).send();
        scene.hub.db.execute("DELETE FROM failures");
        scene.hub.restart();
        refused(&reply);
    };
    for end in (1..text.len()).step_by(7) {
        attempt(&text[..end]);
    }
    for at in (0..text.len()).step_by(5) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        if let Ok(forged) = String::from_utf8(bytes)
            && !same_bytes(&forged, &text)
        {
            attempt(&forged);
        }
    }
    scene.send(&text).expect(200);
}

/// The last character of a base64url part may hold bits that no byte has.
fn same_bytes(a: &str, b: &str) -> bool {
    let bytes = |text: &str| text.split('.').map(writ::crypto::unb64).collect::<Vec<_>>();
    bytes(a) == bytes(b)
}

#[test]
fn the_header_never_chooses_the_algorithm() {
    let key = Signer::new(Alg::Rs256, 3);
    let scene = Scene::with(json!({"jwks": key.jwks("k")}), key);
    let claims = scene.claims(json!({}));
    for alg in ["none", "None", "HS256", "HS512", "ES256", "EdDSA", "PS256", "RS384", "RS1", "", "rs256"] {
        refused(&scene.try_header(json!({"alg": alg})));
    }
    // The public key as the secret of an HMAC: the text of the JWK, and its modulus alone.
    let modulus = serde_json::from_str::<Value>(&scene.key.jwk).unwrap()["n"].as_str().unwrap().to_owned();
    for secret in [scene.key.jwk.clone(), modulus] {
        let input = format!("{}.{}", writ::crypto::b64(r#"{"alg":"HS256"}"#), writ::crypto::b64(claims.to_string()));
        refused(&scene.send(&format!("{input}.{}", hmac(secret.as_bytes(), input.as_bytes()))));
    }
    scene.try_header(json!({})).expect(200);
}

/// HMAC with SHA-256 (RFC 2104), in base64url.
fn hmac(secret: &[u8], input: &[u8]) -> String {
    let mut block = match secret.len() > 64 {
        true => writ::crypto::sha256(secret).bytes().to_vec(),
        false => secret.to_vec(),
    };
    block.resize(64, 0);
    let padded = |byte: u8| block.iter().map(|b| b ^ byte).collect::<Vec<u8>>();
    let inner = writ::crypto::sha256([&padded(0x36)[..], input].concat());
    writ::crypto::sha256([&padded(0x5c)[..], inner.bytes()].concat()).to_text()
}

#[test]
fn the_registered_algorithm_is_the_only_one() {
    let key = Signer::new(Alg::Ps256, 3);
    let metadata = json!({"jwks": key.jwks("k"), "token_endpoint_auth_signing_alg": "PS256"});
    let scene = Scene::with(metadata, key);
    scene.try_claims(json!({})).expect(200);
    refused(&scene.send(&Signer::new(Alg::Rs256, 3).jwt(json!({}), &scene.claims(json!({})))));
}

#[test]
fn keys_that_the_header_brings_along_are_not_looked_at() {
    let scene = Scene::new();
    let forger = Signer::new(Alg::Es256, 9);
    let jwk: Value = serde_json::from_str(&forger.jwk).unwrap();
    serve(&scene.hub, {
        let set = forger.jwks("k");
        move || Scripted::json(200, set.clone())
    });
    for header in [
        json!({"jwk": jwk}),
        json!({"jku": "https://evil.example/jwks.json"}),
        json!({"x5u": "https://evil.example/cert.pem"}),
        json!({"x5c": ["MIIB"]}),
        json!({"kid": "k", "jku": "https://evil.example/jwks.json"}),
    ] {
        refused(&scene.send(&forger.jwt(header, &scene.claims(json!({})))));
    }
    assert_eq!(fetches(&scene.hub), 0);
}

#[test]
fn critical_extensions_repeated_members_and_depth_are_refused() {
    let scene = Scene::new();
    let claims = scene.claims(json!({})).to_string();
    refused(&scene.try_header(json!({"crit": ["exp"], "exp": 1})));
    refused(&scene.try_header(json!({"crit": []})));
    refused(&scene.try_header(json!({"kid": 1})));
    refused(&scene.try_header(json!({"kid": "k".repeat(300)})));
    refused(&scene.send(&scene.key.jws(r#"{"alg":"ES256","alg":"ES256"}"#, &claims)));
    refused(&scene.send(&scene.key.jws(r#"{"alg":"ES256"}"#, &claims.replacen('{', r#"{"sub":"client_x","#, 1))));
    let deep = format!("{{\"deep\":{}1{},{}", "[".repeat(40), "]".repeat(40), &claims[1..]);
    refused(&scene.send(&scene.key.jws(r#"{"alg":"ES256"}"#, &deep)));
    refused(&scene.try_claims(json!({"padding": "x".repeat(12_300)})));
    scene.try_claims(json!({"padding": "x".repeat(11_500)})).expect(200);
    for payload in ["", "[]", "null", "1", "\"x\"", "{"] {
        refused(
            &with_assertion(&scene.hub, &scene.key.jws(r#"{"alg":"ES256"}"#, payload), &[("client_id", &scene.id)])
                .send(),
        );
    }
}

#[test]
fn our_own_access_token_is_no_assertion() {
    let scene = Scene::new();
    let token = scene.try_claims(json!({})).access_token();
    refused(&scene.send(&token));
    refused(&with_assertion(&scene.hub, &token, &[("client_id", &scene.id)]).send());
}

// ── One mechanism, the registered one ──

#[test]
fn an_assertion_beside_a_secret_or_a_header_is_refused_as_two_mechanisms() {
    let scene = Scene::new();
    let text = scene.assertion(json!({}));
    let secret = scene.hub.agent("with-secret", "mcp:read");
    for reply in [
        with_assertion(&scene.hub, &text, &[("client_id", &scene.id), ("client_secret", "x")]).send(),
        with_assertion(
            &scene.hub,
            "junk",
            &[("client_id", &secret.client_id), ("client_secret", &secret.client_secret)],
        )
        .send(),
        scene.call(&text).basic(&secret).send(),
        scene.call("junk").basic(&secret).send(),
    ] {
        assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_request"), "{reply:?}");
    }
    scene.send(&text).expect(200);
}

#[test]
fn a_failed_assertion_falls_back_to_nothing_and_no_other_method_stands_in() {
    let scene = Scene::new();
    let named = Credentials { client_id: scene.id.clone(), client_secret: "x".to_owned() };
    refused(&scene.hub.token(&named, &[]));
    let form = [("grant_type", "client_credentials"), ("client_id", &*scene.id)];
    refused(&scene.hub.call("POST", "/t/main/token").form(&form).send());
    refused(&scene.hub.call("POST", "/t/main/token").form(&[form[0], form[1], ("client_secret", "x")]).send());
    // A client with a secret whose keys are registered all the same.
    let with_secret = json!({"token_endpoint_auth_method": "client_secret_basic", "jwks": scene.key.jwks("k")});
    let id = register(&scene.hub, with_secret);
    refused(&scene.send(&scene.key.jwt(json!({}), &scene.claims(json!({"iss": id, "sub": id})))));
}

#[test]
fn half_an_assertion_and_one_of_an_unknown_type_are_refused() {
    let scene = Scene::new();
    let text = scene.assertion(json!({}));
    let grant = ("grant_type", "client_credentials");
    let send = |form: &[(&str, &str)]| scene.hub.call("POST", "/t/main/token").form(form).send();
    refused(&send(&[grant, ("client_assertion", &text)]));
    refused(&send(&[grant, ("client_assertion_type", JWT_BEARER)]));
    refused(&send(&[grant, ("client_assertion_type", JWT_BEARER), ("client_id", &scene.id)]));
    let saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";
    refused(&send(&[grant, ("client_assertion_type", saml), ("client_assertion", &text)]));
    scene.send(&text).expect(200);
}

#[test]
fn a_client_that_is_not_there_costs_a_signature_too() {
    let scene = Scene::new();
    let verifications = || {
        let all = scene.hub.faults.texts(Port::Keys);
        all.iter().filter(|call| call.starts_with("verify")).count()
    };
    let before = verifications();
    refused(&scene.try_claims(json!({"iss": "client_nobody", "sub": "client_nobody"})));
    assert_eq!(verifications() - before, 1);
    let before = verifications();
    refused(&scene.send(&Signer::new(Alg::Es256, 2).jwt(json!({}), &scene.claims(json!({})))));
    assert_eq!(verifications() - before, 1);
}

#[test]
fn a_suspended_client_proves_itself_in_vain() {
    let scene = Scene::new();
    scene.try_claims(json!({})).expect(200);
    scene.hub.admin("POST", &format!("clients/{}/suspend", scene.id)).send().expect(200);
    refused(&scene.try_claims(json!({})));
}

#[test]
fn an_assertion_is_for_one_tenant() {
    let scene = Scene::new();
    scene.hub.create_tenant("second");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", &*scene.assertion(json!({}))),
    ];
    refused(&scene.hub.call("POST", "/t/second/token").form(&form).send());
    let foreign = scene.assertion(json!({"aud": "https://id.example/t/second"}));
    refused(&scene.send(&foreign));
}

#[test]
fn a_lease_takes_an_assertion_of_the_resource_server_too() {
    let scene = Scene::new();
    let form = [
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", &*scene.assertion(json!({}))),
        ("subject_token", "x"),
    ];
    let reply = scene.hub.call("POST", "/t/main/connections/warehouse/token").form(&form).send();
    // It is known now, and no resource server.
    assert_eq!((reply.status, reply.error().as_str()), (403, "unauthorized_client"), "{reply:?}");
    let nobody = scene.hub.call("POST", "/t/main/connections/warehouse/token");
    refused(&nobody.form(&[("client_id", &scene.id), ("subject_token", "x")]).send());
}

#[test]
fn an_assertion_proves_its_client_at_every_endpoint_where_a_client_authenticates() {
    let scene = Scene::new();
    let token = scene.try_claims(json!({})).access_token();
    for path in ["token", "introspect", "revoke", "connections/warehouse/token", "par", "device_authorization"] {
        let ask = |assertion: String| {
            let form = [
                ("client_assertion_type", JWT_BEARER),
                ("client_assertion", &*assertion),
                ("token", &*token),
                ("subject_token", &*token),
            ];
            scene.hub.call("POST", &format!("/t/main/{path}")).form(&form).send()
        };
        let status = ask(scene.assertion(json!({}))).status;
        assert!(matches!(status, 200 | 400 | 403), "{path}: {status}");
        refused(&ask(scene.assertion(json!({"aud": "https://other.example"}))));
        refused(&ask(Signer::new(Alg::Es256, 2).jwt(json!({"typ": "JWT"}), &scene.claims(json!({})))));
    }
}

#[test]
fn nobody_learns_from_the_answer_what_was_wrong_and_the_event_tells() {
    let scene = Scene::new();
    let stranger = Signer::new(Alg::Es256, 2);
    let replies = [
        scene.send(&stranger.jwt(json!({}), &scene.claims(json!({"aud": "https://other.example"})))),
        scene.send(&stranger.jwt(json!({}), &scene.claims(json!({"exp": NOW - 100})))),
        scene.try_claims(json!({"iss": "client_nobody", "sub": "client_nobody"})),
        scene.send("junk"),
    ];
    assert!(replies.iter().all(|reply| reply == &replies[0]), "{replies:?}");
    let events = scene.hub.events_of("token.refused");
    let details: Vec<&str> = events.iter().filter_map(|event| event["detail"].as_str()).collect();
    assert_eq!(details, ["bad signature", "bad signature"], "the others belong to no client");
}

/// A good signature shows who asks: it is told what to mend.
#[test]
fn a_client_whose_signature_is_good_is_told_what_else_is_wrong() {
    let scene = Scene::new();
    let used = scene.assertion(json!({}));
    scene.send(&used).expect(200);
    for (reply, reason) in [
        (scene.try_claims(json!({"aud": "https://other.example"})), Reason::AssertionAudience),
        (scene.try_claims(json!({"aud": format!("{ISSUER}/token")})), Reason::AssertionAudience),
        (scene.try_claims(json!({"exp": NOW - 100})), Reason::AssertionExpired),
        (scene.send(&used), Reason::AssertionReplayed),
    ] {
        assert_eq!((reply.status, reply.error().as_str()), (401, "invalid_client"));
        assert_eq!(reply.json()["error_description"], reason.wire().description);
    }
    let events = scene.hub.events_of("token.refused");
    let reasons: Vec<&str> = events.iter().filter_map(|event| event["reason"].as_str()).collect();
    assert_eq!(reasons, ["AssertionAudience", "AssertionAudience", "AssertionExpired", "AssertionReplayed"]);
}

// ── `jwks_uri` ──

fn remote(key: &Signer) -> Scene {
    Scene::with(json!({"jwks_uri": KEYS}), key.clone())
}

#[test]
fn a_fetched_key_set_is_kept_and_given_up_after_five_minutes() {
    let key = Signer::new(Alg::Es256, 1);
    let scene = remote(&key);
    serve(&scene.hub, {
        let set = key.jwks("k");
        move || Scripted::json(200, set.clone())
    });
    for _ in 0..3 {
        scene.try_claims(json!({})).expect(200);
    }
    assert_eq!(fetches(&scene.hub), 1);
    let request = &scene.hub.fetch.requests()[0];
    assert_eq!((request.url.as_str(), request.max_bytes), (KEYS, 512 * 1024));
    // A change of the tenant is no reason to fetch again, nor is another minute.
    scene.hub.put_policy("other", &permit("client_x", RESOURCE));
    scene.hub.clock.advance(200);
    scene.try_claims(json!({})).expect(200);
    assert_eq!(fetches(&scene.hub), 1);
    // The owner takes the key back: it stops counting within the time that sets are kept.
    serve(&scene.hub, || Scripted::json(200, json!({"keys": []})));
    scene.hub.clock.advance(100);
    refused(&scene.try_claims(json!({})));
    assert_eq!(fetches(&scene.hub), 2);
}

#[test]
fn a_new_key_counts_at_once_but_invented_names_fetch_no_oftener_than_every_thirty_seconds() {
    let (old, new) = (Signer::new(Alg::Es256, 1), Signer::new(Alg::Es256, 2));
    let scene = remote(&old);
    serve(&scene.hub, {
        let set = old.jwks("old");
        move || Scripted::json(200, set.clone())
    });
    let by = |key: &Signer, kid: &str| scene.send(&key.jwt(json!({"kid": kid}), &scene.claims(json!({}))));
    by(&old, "old").expect(200);
    serve(&scene.hub, {
        let set = new.jwks("new");
        move || Scripted::json(200, set.clone())
    });
    refused(&by(&new, "new"));
    assert_eq!(fetches(&scene.hub), 1, "too early");
    scene.hub.clock.advance(30);
    by(&new, "new").expect(200);
    assert_eq!(fetches(&scene.hub), 2);
    for n in 0..10 {
        refused(&by(&new, &format!("invented-{n}")));
    }
    assert_eq!(fetches(&scene.hub), 2);
    scene.hub.clock.advance(30);
    for n in 0..10 {
        refused(&by(&new, &format!("invented-{n}")));
    }
    assert_eq!(fetches(&scene.hub), 3);
    by(&new, "new").expect(200);
}

/// An answer without a usable key set is a 503, is asked for that often, and is left alone for a moment; then a good one counts.
fn comes_back(key: &Signer, answer: Scripted, times: usize) {
    let scene = remote(key);
    serve(&scene.hub, move || answer.clone());
    let reply = scene.try_claims(json!({})).expect(503);
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(fetches(&scene.hub), times, "nobody follows a redirect");
    scene.try_claims(json!({})).expect(503);
    assert_eq!(fetches(&scene.hub), times, "a service in trouble is left alone for a moment");
    serve(&scene.hub, {
        let set = key.jwks("k");
        move || Scripted::json(200, set.clone())
    });
    scene.hub.clock.advance(5);
    scene.try_claims(json!({})).expect(200);
}

#[test]
fn what_cannot_be_fetched_is_not_kept_and_the_client_is_told_to_come_back() {
    let key = Signer::new(Alg::Es256, 1);
    comes_back(&key, Scripted::failure(FetchError::Unreachable), 2);
    for failure in [
        Scripted::failure(FetchError::Timeout),
        Scripted::answer(500, "text/plain", "x"),
        Scripted::answer(429, "text/plain", "x"),
    ] {
        comes_back(&key, failure, 1);
    }
}

#[test]
fn a_fetch_whose_connection_broke_is_repeated_once_at_once() {
    let key = Signer::new(Alg::Es256, 1);
    let scene = remote(&key);
    let (set, asked) = (key.jwks("k"), Cell::new(0));
    serve(&scene.hub, move || {
        asked.set(asked.get() + 1);
        if asked.get() == 1 { Scripted::failure(FetchError::Unreachable) } else { Scripted::json(200, set.clone()) }
    });
    let before = scene.hub.clock.now();
    scene.try_claims(json!({})).expect(200);
    assert_eq!((fetches(&scene.hub), scene.hub.clock.now()), (2, before));
}

#[test]
fn a_fetch_and_its_repetition_share_the_ten_seconds_of_one() {
    let key = Signer::new(Alg::Es256, 1);
    for (second, status) in [(3_900, 200), (4_100, 503)] {
        let scene = remote(&key);
        let (set, asked) = (key.jwks("k"), Cell::new(0));
        serve(&scene.hub, move || {
            asked.set(asked.get() + 1);
            match asked.get() {
                1 => Scripted::failure(FetchError::Unreachable).after(6_000),
                _ => Scripted::json(200, set.clone()).after(second),
            }
        });
        let before = scene.hub.clock.seconds();
        scene.try_claims(json!({})).expect(status);
        assert_eq!(fetches(&scene.hub), 2);
        assert!(scene.hub.clock.seconds() - before <= 10, "{second}");
    }
}

#[test]
fn a_service_in_trouble_leaves_one_event_for_each_fetch_and_a_failure_is_counted_against_nobody() {
    let key = Signer::new(Alg::Es256, 1);
    let scene = Scene::with(json!({"jwks_uri": "https://keys.example/jwks"}), key);
    let hub = &scene.hub;
    hub.fetch.answer(|_| Scripted::answer(500, "text/plain", "x"));
    for _ in 0..5 {
        scene.try_claims(json!({})).expect(503);
    }
    let failed = || hub.events_of("key_set.failed");
    let event = failed().pop().unwrap();
    assert_eq!((failed().len(), &event["target"], event.get("client")), (1, &json!(scene.id), None));
    assert!(event["target_name"].is_string(), "{event}");
    let detail = event["detail"].as_str().unwrap();
    assert!(detail.contains("https://keys.example/jwks") && detail.contains("in trouble"), "{detail}");
    hub.clock.advance(5);
    scene.try_claims(json!({})).expect(503);
    assert_eq!(failed().len(), 2);
    assert!(hub.db.query("SELECT key FROM failures").is_empty() && hub.events_of("token.refused").is_empty());
}

#[test]
fn what_is_no_key_set_is_not_kept_either_and_is_not_the_clients_fault() {
    let key = Signer::new(Alg::Es256, 1);
    let mut private = key.jwks("k");
    private["keys"][0]["d"] = "AAAA".into();
    let large = json!({"keys": [], "padding": "x".repeat(600_000)});
    for answer in [
        Scripted::answer(301, "text/plain", ""),
        Scripted::answer(302, "text/plain", ""),
        Scripted::answer(307, "application/json", key.jwks("k").to_string()),
        Scripted::answer(400, "text/plain", ""),
        Scripted::answer(401, "text/plain", ""),
        Scripted::answer(403, "text/plain", ""),
        Scripted::answer(404, "text/plain", ""),
        Scripted::answer(406, "text/plain", ""),
        Scripted::answer(204, "application/json", ""),
        Scripted::answer(200, "application/json", "{"),
        Scripted::answer(200, "application/json", b"\xff".to_vec()),
        Scripted::json(200, json!([])),
        Scripted::json(200, json!({"keys": {}})),
        Scripted::json(200, large),
        Scripted::json(200, private),
        Scripted::json(200, json!({"keys": [{"kty": "oct", "k": "AAAA"}]})),
    ] {
        comes_back(&key, answer, 1);
    }
}

/// RFC 7517 §8.5.2; the API server of Kubernetes offers that type alone.
#[test]
fn a_key_set_is_asked_for_by_its_own_type_and_by_the_usual_one() {
    let key = Signer::new(Alg::Es256, 1);
    let scene = remote(&key);
    serve(&scene.hub, {
        let set = key.jwks("k");
        move || Scripted::answer(200, "application/jwk-set+json", set.to_string())
    });
    scene.try_claims(json!({})).expect(200);
    let accept = ("accept".into(), "application/jwk-set+json, application/json".to_owned());
    assert_eq!(scene.hub.fetch.requests()[0].headers, [accept]);
}

#[test]
fn a_signature_that_no_kept_key_made_fetches_the_set_again_at_most_every_thirty_seconds() {
    for header in [json!({"kid": "k"}), json!({})] {
        let (old, new) = (Signer::new(Alg::Es256, 1), Signer::new(Alg::Es256, 2));
        let scene = remote(&old);
        let publish = |key: &Signer| {
            let set = key.jwks("k");
            serve(&scene.hub, move || Scripted::json(200, set.clone()));
        };
        let by = |key: &Signer| scene.send(&key.jwt(header.clone(), &scene.claims(json!({}))));
        publish(&old);
        by(&old).expect(200);
        // The owner has another key under the same name.
        publish(&new);
        for _ in 0..3 {
            refused(&by(&new));
        }
        assert_eq!(fetches(&scene.hub), 1, "too early");
        scene.hub.clock.advance(30);
        by(&new).expect(200);
        refused(&by(&old));
        assert_eq!(fetches(&scene.hub), 2);
        scene.hub.clock.advance(30);
        let forger = Signer::new(Alg::Es256, 3);
        for _ in 0..10 {
            refused(&by(&forger));
        }
        assert_eq!(fetches(&scene.hub), 3, "who signs wrongly makes us fetch no oftener");
        by(&new).expect(200);
    }
}

#[test]
fn the_last_good_set_serves_for_an_hour_while_its_service_is_in_trouble() {
    let key = Signer::new(Alg::Es256, 1);
    for trouble in [Scripted::failure(FetchError::Timeout), Scripted::answer(404, "text/plain", "")] {
        let scene = remote(&key);
        serve(&scene.hub, {
            let set = key.jwks("k");
            move || Scripted::json(200, set.clone())
        });
        scene.try_claims(json!({})).expect(200);
        serve(&scene.hub, move || trouble.clone());
        for minute in 1..60 {
            scene.hub.clock.advance(60);
            scene.try_claims(json!({})).expect(200);
            let known_only =
                scene.send(&Signer::new(Alg::Es256, 2).jwt(json!({"kid": "new"}), &scene.claims(json!({}))));
            assert!([401, 503].contains(&known_only.status), "minute {minute}: {known_only:?}");
        }
        assert!(fetches(&scene.hub) <= 1 + 2 * 60, "{}", fetches(&scene.hub));
        scene.hub.clock.advance(60);
        scene.try_claims(json!({})).expect(503);
        serve(&scene.hub, {
            let set = key.jwks("k");
            move || Scripted::json(200, set.clone())
        });
        scene.hub.clock.advance(5);
        scene.try_claims(json!({})).expect(200);
    }
}

#[test]
fn a_key_that_the_last_good_set_lacks_is_not_there_only_if_the_set_is_young() {
    let (old, new) = (Signer::new(Alg::Es256, 1), Signer::new(Alg::Es256, 2));
    let scene = remote(&old);
    let by = |key: &Signer, kid: &str| scene.send(&key.jwt(json!({"kid": kid}), &scene.claims(json!({}))));
    serve(&scene.hub, {
        let set = old.jwks("old");
        move || Scripted::json(200, set.clone())
    });
    by(&old, "old").expect(200);
    serve(&scene.hub, || Scripted::answer(500, "text/plain", ""));
    refused(&by(&new, "new"));
    scene.hub.clock.advance(30);
    by(&new, "new").expect(503);
    by(&old, "old").expect(200);
}

#[test]
fn while_one_request_fetches_again_the_last_good_set_serves_the_others() {
    let key = Signer::new(Alg::Es256, 1);
    for seed in 0..10 {
        let scene = remote(&key);
        let publish = |millis: u64| {
            let set = key.jwks("k");
            serve(&scene.hub, move || Scripted::json(200, set.clone()).after(millis));
        };
        publish(0);
        scene.try_claims(json!({})).expect(200);
        publish(5_000);
        scene.hub.clock.advance(300);
        let start = scene.hub.clock.now();
        let texts: Vec<String> = (0..10).map(|_| scene.assertion(json!({}))).collect();
        let racers = texts.iter().map(|text| {
            let call = scene.call(text).future();
            let clock = &scene.hub.clock;
            Box::pin(async move { (call.await.status, clock.now()) }) as Pending<'_, (u16, Now)>
        });
        let replies = scene.hub.together(seed, racers.collect());
        assert!(replies.iter().all(|(status, _)| *status == 200), "seed {seed}: {replies:?}");
        assert_eq!(replies.iter().filter(|(_, at)| *at == start).count(), 9, "seed {seed}: {replies:?}");
        assert_eq!(fetches(&scene.hub), 2, "seed {seed}");
    }
}

#[test]
fn a_client_that_hangs_up_at_any_moment_leaves_no_other_waiting_longer_than_the_fetch_takes() {
    let key = Signer::new(Alg::Es256, 1);
    for rounds in 0.. {
        let scene = remote(&key);
        serve(&scene.hub, {
            let set = key.jwks("k");
            move || Scripted::json(200, set.clone()).after(2_000)
        });
        scene.hub.faults.jitter(Some(rounds as u64));
        let gone = scene.call(&scene.assertion(json!({}))).abandon(rounds);
        scene.hub.faults.jitter(None);
        let before = scene.hub.clock.seconds();
        let other = scene.try_claims(json!({}));
        assert_eq!(other.status, 200, "after {rounds} rounds: {other:?}");
        assert!(scene.hub.clock.seconds() - before <= 3, "after {rounds} rounds");
        assert_eq!(fetches(&scene.hub), 1, "after {rounds} rounds");
        if gone.is_some() {
            assert!(rounds > 10);
            return;
        }
    }
}

#[test]
fn requests_that_hang_up_keep_no_rightful_client_out_when_a_set_is_fetched_first_and_again() {
    let key = Signer::new(Alg::Es256, 1);
    let scene = remote(&key);
    serve(&scene.hub, {
        let set = key.jwks("k");
        move || Scripted::json(200, set.clone()).after(900)
    });
    for step in 0..70 {
        for _ in 0..3 {
            scene.call(&scene.assertion(json!({}))).abandon(1);
            scene.hub.clock.advance_millis(333);
        }
        let before = scene.hub.clock.seconds();
        let reply = scene.try_claims(json!({}));
        assert_eq!(reply.status, 200, "step {step}: {reply:?}");
        assert!(scene.hub.clock.seconds() - before <= 2, "step {step}");
        scene.hub.clock.advance(9);
    }
    assert_eq!(fetches(&scene.hub), 3, "each five minutes one");
}

#[test]
fn a_fetch_that_the_host_has_ended_all_the_same_is_given_up_after_a_while() {
    let key = Signer::new(Alg::Es256, 1);
    let scene = remote(&key);
    serve(&scene.hub, {
        let set = key.jwks("k");
        move || Scripted::json(200, set.clone()).after(2_000)
    });
    scene.call(&scene.assertion(json!({}))).abandon(1);
    scene.hub.clock.end_what_is_held();
    scene.try_claims(json!({})).expect(503);
    scene.hub.clock.advance(13);
    scene.try_claims(json!({})).expect(200);
    assert_eq!(fetches(&scene.hub), 2);
}

#[test]
fn requests_at_the_same_time_share_one_fetch() {
    for seed in 0..10 {
        let key = Signer::new(Alg::Es256, 1);
        let scene = remote(&key);
        serve(&scene.hub, {
            let set = key.jwks("k");
            move || Scripted::json(200, set.clone()).after(2_000)
        });
        let texts: Vec<String> = (0..20).map(|_| scene.assertion(json!({}))).collect();
        let racers = texts.iter().map(|text| scene.call(text).future()).collect();
        let replies = scene.hub.together(seed, racers);
        assert!(replies.iter().all(|reply| reply.status == 200), "seed {seed}: {replies:?}");
        assert_eq!(fetches(&scene.hub), 1, "seed {seed}");
    }
}

// ── Registration ──

#[test]
fn keys_are_registered_in_one_place_and_public() {
    let hub = Setup::new();
    let key = Signer::new(Alg::Es256, 1);
    let mut private = key.jwks("k");
    private["keys"][0]["d"] = "AAAA".into();
    for bad in [
        json!({}),
        json!({"jwks": key.jwks("k"), "jwks_uri": KEYS}),
        json!({"jwks": private}),
        json!({"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}),
        json!({"jwks": {"keys": []}}),
        // A point of small order, under which anybody signs.
        json!({"jwks": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": b64([0; 32])}]}}),
        json!({"jwks": {"keys": {}}}),
        json!({"jwks": "https://agent.example/jwks.json"}),
        json!({"jwks": key.jwks("k"), "token_endpoint_auth_signing_alg": "RS256"}),
        json!({"jwks": key.jwks("k"), "token_endpoint_auth_signing_alg": "none"}),
        json!({"jwks": key.jwks("k"), "token_endpoint_auth_signing_alg": "HS256"}),
        json!({"jwks_uri": "http://agent.example/jwks.json"}),
        json!({"jwks_uri": "https://127.0.0.1/jwks.json"}),
        json!({"jwks_uri": "https://169.254.169.254/latest/meta-data"}),
        json!({"jwks_uri": "https://metadata.google.internal/"}),
        json!({"jwks_uri": "https://id.example/t/main/jwks.json"}),
        json!({"jwks_uri": "https://user:pass@agent.example/jwks.json"}),
        json!({"jwks_uri": "file:///etc/passwd"}),
        json!({"jwks_uri": ""}),
    ] {
        let reply = attempt(&hub, bad.clone()).expect(400);
        assert_eq!(reply.json()["reason"], "InvalidField", "{bad}: {reply:?}");
    }
    attempt(&hub, json!({"jwks_uri": KEYS})).expect(201);
    assert_eq!(fetches(&hub), 0, "registration calls nobody");
}

#[test]
fn a_client_that_authenticates_without_a_secret_gets_none() {
    let hub = Setup::new();
    let keys = json!({"jwks": Signer::new(Alg::Es256, 1).jwks("k")});
    let public = json!({
        "token_endpoint_auth_method": "none", "grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
    });
    for metadata in [keys, public] {
        let made = attempt(&hub, metadata).expect(201).json();
        assert!(made.get("client_secret").is_none() && made.get("client_secret_expires_at").is_none(), "{made}");
        assert_eq!(made["secrets"], json!([]));
        let secrets = format!("clients/{}/secrets", made["client_id"].as_str().unwrap());
        hub.admin("POST", &secrets).json(&json!({})).send().expect(409);
    }
    assert!(hub.db.query("SELECT 1 FROM client_secrets").len() == 1, "the administrator's alone");
}

#[test]
fn a_public_client_cannot_be_registered_for_client_credentials_nor_get_a_token_by_them() {
    let hub = Setup::new();
    attempt(&hub, json!({"token_endpoint_auth_method": "none"})).expect(400);
    let open = json!({
        "token_endpoint_auth_method": "none", "grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
    });
    let id = register(&hub, open);
    // Even one that has come to be registered so.
    hub.db
        .execute("UPDATE clients SET metadata = json_set(metadata, '$.grant_types', json('[\"client_credentials\"]'))");
    hub.restart();
    let form = [("grant_type", "client_credentials"), ("client_id", &*id), ("resource", RESOURCE)];
    let reply = hub.call("POST", "/t/main/token").form(&form).send();
    assert_eq!((reply.status, reply.error().as_str()), (400, "unauthorized_client"), "{reply:?}");
}

#[test]
fn an_assertion_and_a_proof_of_one_name_do_not_spend_each_other() {
    let scene = Scene::new();
    let assertion = |jti: &str| scene.assertion(json!({"jti": jti}));
    let proof = |jti: &str| {
        let claims = json!({"jti": jti, "htm": "POST", "htu": format!("{ISSUER}/token"), "iat": NOW});
        scene.key.proof(&claims)
    };
    scene.call(&assertion("one")).header("dpop", &proof("one")).send().expect(200);
    refused(&scene.call(&assertion("one")).header("dpop", &proof("two")).send());
    let again = scene.call(&assertion("two")).header("dpop", &proof("one")).send();
    assert_eq!((again.status, again.error().as_str()), (400, "invalid_dpop_proof"), "{again:?}");
}
