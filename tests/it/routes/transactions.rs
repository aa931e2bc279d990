//! `/t/{tenant}/transaction-authorization`: a resource wants a person's word for one operation (draft-rosomakho-oauth-txn-challenge-00).

use super::approvals::Someone;
use crate::support::call::decode;
use crate::support::hub::{ISSUER, RESOURCE};
use crate::support::{Credentials, Effect, Port, Reply, Setup, Signer};
use serde_json::{Value, json};
use writ::error::Reason;
use writ::ports::Alg;

const PATH: &str = "/t/main/transaction-authorization";

struct Scene {
    hub: Setup,
    key: Signer,
    agent: Credentials,
}

impl Scene {
    fn new(owner: &str) -> Self {
        let (hub, key) = (Setup::new(), Signer::new(Alg::Es256, 3));
        let types = json!([{"type": "payment", "description": "Pay"}]);
        hub.create_resource(json!({"authorization_details_types": types, "txn_challenge_jwks": key.jwks("k")}));
        let agent = hub.create_client(json!({"client_name": "Payer", "owner": owner, "allowed_resources": [RESOURCE]}));
        hub.put_policy("agent", &crate::support::hub::permit(&agent.client_id, RESOURCE));
        Self { hub, key, agent }
    }

    fn claims(&self, more: Value) -> Value {
        let now = self.hub.clock.seconds();
        let details = json!([{"type": "payment", "amount": "5000.00"}, {"type": "payment", "amount": "1.00"}]);
        let mut claims = json!({
            "iss": RESOURCE, "aud": ISSUER, "iat": now, "exp": now + 300, "jti": "j", "txn": "97053963",
            "authorization_details": details, "reason": "Before this payment is initiated",
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    }

    fn challenge(&self, more: Value) -> String {
        self.key.jwt(json!({"kid": "k", "typ": "txn-authz-challenge+jwt"}), &self.claims(more))
    }

    fn send(&self, form: &[(&str, &str)]) -> Reply {
        self.hub.call("POST", PATH).basic(&self.agent).form(form).send()
    }

    fn start(&self, more: Value) -> Reply {
        self.send(&[("transaction_challenge", &self.challenge(more))])
    }

    fn poll(&self, id: &str) -> Reply {
        self.send(&[("transaction_authorization_id", id)])
    }
}

fn id(reply: &Reply) -> String {
    reply.json()["transaction_authorization_id"].as_str().unwrap_or_else(|| panic!("{reply:?}")).to_owned()
}

/// A scene whose owner is there.
fn owned() -> (Scene, String) {
    (Scene::new("platform"), "platform".to_owned())
}

fn owner<'a>(scene: &'a Scene, group: &str) -> Someone<'a> {
    Someone::new(&scene.hub, 1, json!({"name": "Olga", "groups": [group]}))
}

#[test]
fn a_challenge_becomes_a_token_for_what_was_approved_of_it_and_for_its_transaction() {
    let (scene, group) = owned();
    let olga = owner(&scene, &group);
    let started = scene.start(json!({})).expect(200);
    let id = id(&started);
    assert_eq!(started.json()["authorization_uri"], format!("{ISSUER}/me/approvals/{id}"));
    assert_eq!((&started.json()["interval"], &started.json()["expires_in"]), (&json!(5), &json!(900)));
    assert_eq!(self::id(&scene.start(json!({})).expect(200)), id, "a lost reply costs nothing");
    assert_eq!(scene.poll(&id).error(), "authorization_pending");
    assert_eq!(scene.poll(&id).error(), "slow_down");
    let page = olga.page(&id).expect(200);
    for shown in ["Payer", "5000.00", "Before this payment is initiated"] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    olga.decide(&id, "approve", &[("scope", "mcp:read"), ("detail 1", "allow")]).expect(303);
    let token = scene.poll(&id).expect(200);
    let details = json!([{"type": "payment", "amount": "1.00"}]);
    assert_eq!((&token.json()["authorization_details"], &token.json()["scope"]), (&details, &json!("mcp:read")));
    let (_, claims) = decode(&token.access_token());
    assert_eq!(
        (&claims["txn"], &claims["aud"], &claims["approval"]),
        (&json!("97053963"), &json!(RESOURCE), &json!(id))
    );
    assert_eq!(claims["authorization_details"], details);
    assert_eq!(scene.poll(&id).error(), "invalid_request", "it counts once");
    assert_eq!(scene.start(json!({})).error(), "invalid_request", "a challenge is worth one approval");
}

#[test]
fn a_challenge_that_is_not_by_a_resource_of_ours_for_us_now_is_refused() {
    let (scene, _) = owned();
    let now = scene.hub.clock.seconds();
    for wrong in [
        json!({"iss": "https://other.example/"}),
        json!({"aud": "https://other.example"}),
        json!({"exp": now - 60}),
        json!({"txn": null}),
        json!({"jti": ""}),
        json!({"reason": null}),
        json!({"reason": "\u{202e}evil"}),
        json!({"authorization_details": null}),
        json!({"authorization_details": [{"type": "unknown"}]}),
        json!({"act": {"sub": "client_other"}}),
    ] {
        assert_eq!(scene.start(wrong.clone()).error(), "invalid_request", "{wrong}");
    }
    let other = Signer::new(Alg::Es256, 4);
    let forged = other.jwt(json!({"kid": "k", "typ": "txn-authz-challenge+jwt"}), &scene.claims(json!({})));
    let untyped = scene.key.jwt(json!({"kid": "k"}), &scene.claims(json!({})));
    for challenge in [forged, untyped, "x".to_owned()] {
        assert_eq!(scene.send(&[("transaction_challenge", &challenge)]).error(), "invalid_request");
    }
    assert_eq!(scene.send(&[]).error(), "invalid_request");
    assert!(scene.hub.db.query("SELECT id FROM approvals").is_empty());
    let named = json!({"act": {"sub": scene.agent.client_id}});
    scene.start(named).expect(200);
}

#[test]
fn a_request_is_its_clients_alone_and_a_no_and_silence_are_told() {
    let (scene, group) = owned();
    let olga = owner(&scene, &group);
    let first = id(&scene.start(json!({})).expect(200));
    let other = scene.hub.create_client(json!({"allowed_resources": [RESOURCE]}));
    let form = [("transaction_authorization_id", &*first)];
    assert_eq!(scene.hub.call("POST", PATH).basic(&other).form(&form).send().error(), "invalid_request");
    assert_eq!(scene.hub.call("POST", PATH).form(&[("client_id", &*other.client_id), form[0]]).send().status, 401);
    olga.decide(&first, "deny", &[]).expect(303);
    assert_eq!(scene.poll(&first).error(), "access_denied");
    let second = id(&scene.start(json!({"jti": "2", "txn": "2"})).expect(200));
    scene.hub.clock.advance(900);
    assert_eq!(scene.poll(&second).error(), "expired_token");
}

#[test]
fn the_token_that_a_client_presents_says_for_whom_it_acts_and_what_is_asked_of_the_user() {
    let (scene, _) = owned();
    let token = scene.hub.access_token(&scene.agent, "mcp:read");
    let challenge = scene.challenge(json!({}));
    let form = [("transaction_challenge", &*challenge), ("subject_token", &*token)];
    let id = id(&scene.send(&form).expect(200));
    let decide = |id: &str| {
        let body = json!({"decision": "approve"});
        scene.hub.admin("POST", &format!("approvals/{id}/decide")).json(&body).send().expect(200)
    };
    decide(&id);
    assert_eq!(scene.poll(&id).expect(200).json()["scope"], "mcp:read", "no more than it had");
    // What was made from a token that is stopped is stopped.
    let challenge = scene.challenge(json!({"jti": "2"}));
    let form = [("transaction_challenge", &*challenge), ("subject_token", &*token)];
    let next = self::id(&scene.send(&form).expect(200));
    decide(&next);
    let (_, claims) = decode(&token);
    scene.hub.admin("POST", "kill").json(&json!({"chain": claims["jti"]})).send().expect(200);
    assert_eq!(scene.poll(&next).error(), "invalid_grant");
}

#[test]
fn a_challenge_of_which_no_approval_came_can_be_sent_again() {
    let (scene, group) = owned();
    // Twenty wait for the owner.
    for n in 0..2 {
        let other = scene.hub.create_client(json!({"owner": group, "allowed_resources": [RESOURCE]}));
        scene.hub.put_policy(&format!("o{n}"), &crate::support::hub::permit(&other.client_id, RESOURCE));
        (0..10)
            .for_each(|n| drop(super::approvals::ask(&scene.hub, &other, &[("tool", &*format!("t{n}"))]).expect(201)));
    }
    let full = scene.start(json!({}));
    assert_eq!((full.status, full.header("retry-after")), (429, Some("60")));
    scene.hub.clock.advance(900);
    let challenge = scene.challenge(json!({}));
    let send = || scene.send(&[("transaction_challenge", &challenge)]);
    // Nor is it used up at a quiet hour.
    super::approval_rules::set_rules(&scene.hub, json!({"quiet": "11:00-13:00"}));
    let quiet = send();
    assert_eq!((quiet.status, quiet.error()), (400, "access_denied".to_owned()));
    super::approval_rules::set_rules(&scene.hub, json!({}));
    let first = id(&send().expect(200));
    assert_eq!(id(&send().expect(200)), first);
}

#[test]
fn whichever_call_fails_or_loses_its_reply_a_challenge_is_worth_one_approval() {
    for effect in [Effect::Fails, Effect::LosesReply] {
        for n in 0..8 {
            let (scene, _) = owned();
            let challenge = scene.challenge(json!({}));
            let send = || scene.send(&[("transaction_challenge", &challenge)]);
            scene.hub.faults.fail_nth(Port::Db, n, effect);
            let first = send();
            scene.hub.faults.heal();
            assert!([200, 503].contains(&first.status), "{n} {first:?}");
            id(&send().expect(200));
            assert_eq!(scene.hub.db.query("SELECT id FROM approvals").len(), 1, "{n}");
            assert_eq!(scene.hub.db.query("SELECT 1 FROM spent WHERE kind = 'txn-challenge'").len(), 1, "{n}");
        }
    }
}

#[test]
fn of_many_clients_with_one_challenge_one_asks() {
    let (scene, group) = owned();
    let other = scene.hub.create_client(json!({"owner": group, "allowed_resources": [RESOURCE]}));
    scene.hub.put_policy("other", &crate::support::hub::permit(&other.client_id, RESOURCE));
    for seed in 0..5 {
        let challenge = scene.challenge(json!({"jti": seed.to_string()}));
        let form = [("transaction_challenge", &*challenge)];
        let call = |client| scene.hub.call("POST", PATH).basic(client).form(&form).future();
        let calls = (0..4).map(|n| call([&scene.agent, &other][n % 2])).collect();
        let replies = scene.hub.together(seed, calls);
        let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 400, 400], "{replies:?}");
    }
}

#[test]
fn a_policy_says_who_else_decides_about_a_transaction_and_who_signs() {
    let (scene, group) = owned();
    let hub = &scene.hub;
    let (olga, fred) = (owner(&scene, &group), Someone::new(hub, 2, json!({"name": "Fred", "roles": ["finance"]})));
    let permit = crate::support::hub::permit(&scene.agent.client_id, RESOURCE);
    let permit = permit.trim_end().trim_end_matches(';');
    let of_transactions = "when { context has grant_type && context.grant_type == \"transaction_authorization\" };";
    let require = |what: &str| hub.put_policy("agent", &format!("@require(\"{what}\") {permit} {of_transactions}"));
    require("approval:role=finance");
    let first = id(&scene.start(json!({"jti": "1"})).expect(200));
    olga.approve(&first).expect(303);
    assert_eq!(scene.poll(&first).error(), "authorization_pending");
    fred.approve(&first).expect(303);
    hub.clock.advance(5);
    assert_eq!(scene.poll(&first).expect(200).json()["scope"], "mcp:read mcp:write");
    require("approval:owner,passkey");
    let second = id(&scene.start(json!({"jti": "2"})).expect(200));
    let page = olga.approve(&second).expect(200);
    assert!(page.text.contains("Your passkey signs"), "{}", page.text);
}

#[test]
fn a_challenge_for_which_a_limit_has_no_room_asks_nobody_and_is_not_used() {
    let (scene, _) = owned();
    let hub = &scene.hub;
    let permit = crate::support::hub::permit(&scene.agent.client_id, RESOURCE);
    hub.put_policy("agent", &format!("@limit(\"1/hour\") {permit}"));
    let first = id(&scene.start(json!({})).expect(200));
    hub.admin("POST", &format!("approvals/{first}/decide")).json(&json!({"decision": "approve"})).send().expect(200);
    scene.poll(&first).expect(200);
    let refused = scene.start(json!({"jti": "2"}));
    assert_eq!((refused.status, refused.error()), (429, "too_many_requests".to_owned()), "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(hub.db.query("SELECT id FROM approvals").len(), 1);
    hub.clock.advance(3_600);
    scene.start(json!({"jti": "2"})).expect(200);
}

#[test]
fn the_token_of_a_transaction_ends_with_the_token_that_it_was_asked_with() {
    let (scene, _) = owned();
    let hub = &scene.hub;
    let server = super::introspection::Server::new(hub, RESOURCE);
    let token = hub.access_token(&scene.agent, "mcp:read");
    let challenge = scene.challenge(json!({}));
    let form = [("transaction_challenge", &*challenge), ("subject_token", &*token)];
    let id = id(&scene.send(&form).expect(200));
    hub.admin("POST", &format!("approvals/{id}/decide")).json(&json!({"decision": "approve"})).send().expect(200);
    let of_transaction = scene.poll(&id).expect(200).access_token();
    assert!(server.is_active(&of_transaction));
    hub.call("POST", "/t/main/revoke").basic(&scene.agent).form(&[("token", &token)]).send().expect(200);
    assert!(!server.is_active(&of_transaction));
}

#[test]
fn metadata_say_where_challenges_go_and_where_their_keys_are() {
    let hub = Setup::new();
    let keys = json!({"txn_challenge_jwks_uri": "https://mcp.example/keys"});
    let id = hub.create_resource(keys);
    let of_server = hub.call("GET", "/t/main/.well-known/oauth-authorization-server").send().expect(200).json();
    assert_eq!(of_server["transaction_authorization_endpoint"], format!("{ISSUER}/transaction-authorization"));
    let path = format!("/t/main/resources/{id}/oauth-protected-resource");
    let of_resource = hub.call("GET", &path).send().expect(200).json();
    assert_eq!(of_resource["txn_challenge_jwks_uri"], "https://mcp.example/keys");
    assert!(of_resource["txn_challenge_signing_alg_values_supported"].as_array().unwrap().contains(&json!("ES256")));
    for wrong in [
        json!({"txn_challenge_jwks_uri": "http://mcp.example/keys"}),
        json!({"txn_challenge_jwks": {"keys": [{"kty": "oct"}]}}),
        json!({"txn_challenge_jwks_uri": "https://a.example/", "txn_challenge_jwks": {"keys": []}}),
    ] {
        let scopes = json!([{"name": "s", "description": "d"}]);
        let mut body = json!({"resource": "https://b.example/", "name": "n", "scopes": scopes});
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        hub.admin("POST", "resources").json(&body).send().expect(400);
    }
}

/// A request that is refused for that reason.
pub fn provoke(reason: Reason) -> Reply {
    let (scene, _) = owned();
    match reason {
        Reason::InvalidChallenge => scene.start(json!({"aud": "https://other.example"})),
        Reason::MissingChallengeOfResource => scene.send(&[]),
        other => panic!("{other:?} is not provoked here"),
    }
}
