//! Introspection (RFC 7662, RFC 9701).

use super::chain::{Chain, TASKS};
use crate::support::hub::{Call, ISSUER, RESOURCE, decode};
use crate::support::signer::verifies;
use crate::support::{Credentials, Port, Reply, Setup, Signer};
use serde_json::{Value, json};
use writ::crypto::unb64;
use writ::ports::Alg;

pub const PATH: &str = "/t/main/introspect";
const SIGNED: &str = "application/token-introspection+jwt";

/// A resource server for [`RESOURCE`] that can be asked about anything.
pub struct Server<'a> {
    hub: &'a Setup,
    pub client: Credentials,
}

impl<'a> Server<'a> {
    pub fn new(hub: &'a Setup, serves: &str) -> Self {
        let client = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [serves]}));
        Self { hub, client }
    }

    pub fn call(&self, token: &str) -> Call<'a> {
        self.hub.call("POST", PATH).basic(&self.client).form(&[("token", token)])
    }

    pub fn ask(&self, token: &str) -> Value {
        let reply = self.call(token).send().expect(200);
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        reply.json()
    }

    #[track_caller]
    pub fn is_active(&self, token: &str) -> bool {
        let answer = self.ask(token);
        let active = answer["active"].as_bool().unwrap();
        assert!(active || answer == json!({"active": false}), "{answer}");
        active
    }
}

fn scene() -> (Setup, Credentials) {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    (hub, agent)
}

#[test]
fn a_client_in_the_audience_learns_what_the_token_says_and_nothing_more() {
    let (hub, agent) = scene();
    let server = Server::new(&hub, RESOURCE);
    let token = hub.access_token(&agent, "mcp:read");
    let (_, claims) = decode(&token);
    let wanted = json!({
        "active": true, "iss": ISSUER, "sub": agent.client_id, "aud": RESOURCE, "client_id": agent.client_id,
        "scope": "mcp:read", "jti": claims["jti"], "iat": claims["iat"], "exp": claims["exp"], "tenant": "main",
        "token_type": "Bearer",
    });
    assert_eq!(server.ask(&token), wanted);
    let hinted = hub.call("POST", PATH).basic(&server.client).form(&[("token", &*token), ("token_type_hint", "x")]);
    assert_eq!(hinted.send().expect(200).json(), wanted);
}

#[test]
fn a_delegated_token_shows_every_actor_and_a_bound_one_its_key() {
    let chain = Chain::new();
    let server = Server::new(&chain.hub, RESOURCE);
    let first = chain.user_token(&chain.planner, TASKS, "mcp:read");
    let answer = server.ask(&chain.delegated(&chain.worker, &first, RESOURCE));
    assert_eq!(answer["act"], json!({"sub": chain.worker.client_id, "act": {"sub": chain.planner.client_id}}));
    assert_eq!(answer["sub"], json!(chain.user));
    assert!(answer.get("lineage").is_none() && answer.get("status").is_none(), "{answer}");

    let key = Signer::new(Alg::Es256, 5);
    let bound = chain.hub.token_call(&chain.planner, &[("resource", RESOURCE)]).header("dpop", &chain.proof(&key));
    let answer = server.ask(&bound.send().access_token());
    assert_eq!((&answer["cnf"]["jkt"], &answer["token_type"]), (&json!(key.thumbprint()), &json!("DPoP")));
}

/// RFC 7662 §4; CVE-2026-37979.
#[test]
fn everybody_else_learns_nothing() {
    let (hub, agent) = scene();
    hub.create_resource(json!({"resource": "https://other.example/"}));
    let (server, other) = (Server::new(&hub, RESOURCE), Server::new(&hub, "https://other.example/"));
    let token = hub.access_token(&agent, "mcp:read");
    assert!(server.is_active(&token));
    assert!(!other.is_active(&token));
    let own = hub.call("POST", PATH).basic(&agent).form(&[("token", &token)]).send().expect(200);
    assert_eq!(own.text, r#"{"active":false}"#);
    // What another tenant issued for the same resource.
    hub.create_tenant("acme");
    hub.create_resource_of("acme", json!({}));
    let stranger = hub.create_client_of("acme", json!({"allowed_resources": [RESOURCE]}));
    hub.put_policy_of("acme", "all", "permit(principal, action == Action::\"issue\", resource);");
    let form = [("grant_type", "client_credentials")];
    let foreign = hub.call("POST", "/t/acme/token").basic(&stranger).form(&form).send().access_token();
    assert!(!server.is_active(&foreign));
}

/// CVE-2026-27840: no part of a token passes for the whole.
#[test]
fn what_is_malformed_truncated_changed_expired_or_of_another_type_is_inactive() {
    let (hub, agent) = scene();
    let server = Server::new(&hub, RESOURCE);
    let token = hub.access_token(&agent, "mcp:read");
    for cut in (0..token.len()).step_by(7) {
        assert!(cut == 0 || !server.is_active(&token[..cut]), "{cut}");
    }
    for place in (0..token.len()).step_by(11) {
        let mut bytes = token.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        // The last character of a signature has bits that mean nothing; base64url refuses them.
        assert!(changed == token || !server.is_active(&changed), "{place}");
    }
    for other in ["x", "a.b.c", &server.client.client_secret, &format!("{token}.")] {
        assert!(!server.is_active(other), "{other}");
    }
    // Tokens of ours that are no access tokens.
    let signed = server.call(&token).header("accept", SIGNED).send().expect(200).text;
    let list = hub.call("GET", "/t/main/status-list").send().expect(200).text;
    assert!(!server.is_active(&signed) && !server.is_active(&list));
    hub.clock.advance(311);
    assert!(!server.is_active(&token));
}

#[test]
fn a_signature_is_verified_once_an_isolate_and_everything_else_each_time() {
    let (hub, agent) = scene();
    let server = Server::new(&hub, RESOURCE);
    let token = hub.access_token(&agent, "mcp:read");
    let verified = || hub.faults.texts(Port::Keys).iter().filter(|call| call.starts_with("verify")).count();
    let before = verified();
    assert!(server.is_active(&token) && server.is_active(&token));
    assert_eq!(verified(), before + 1);
    server.call(&token).on(&hub.isolate()).send().expect(200);
    assert_eq!(verified(), before + 2, "another isolate knows nothing of it");
    let forged = [&token[..token.len() - 8], "AAAAAAAA"].concat();
    assert!(!server.is_active(&forged) && !server.is_active(&forged));
    assert_eq!(verified(), before + 4, "a signature that is none is not remembered");
    hub.clock.advance(311);
    assert!(!server.is_active(&token), "its times are compared with this moment");
}

/// RFC 7662 §4; decision 35.
#[test]
fn a_stopped_token_is_inactive_at_the_next_question_from_any_location() {
    let (hub, agent) = scene();
    let server = Server::new(&hub, RESOURCE);
    let elsewhere = hub.isolate();
    let token = hub.access_token(&agent, "mcp:read");
    let there = || server.call(&token).on(&elsewhere).send().expect(200).json()["active"].clone();
    assert_eq!(there(), json!(true));
    let path = format!("clients/{}", agent.client_id);
    // The clock stands still: the bound has not passed.
    hub.admin("POST", &format!("{path}/suspend")).send().expect(200);
    assert_eq!(there(), json!(false));
    hub.admin("POST", &format!("{path}/resume")).send().expect(200);
    assert_eq!(there(), json!(true));
    hub.call("POST", "/t/main/revoke").basic(&agent).form(&[("token", &token)]).send().expect(200);
    assert_eq!(there(), json!(false));
}

#[test]
fn only_a_client_that_authenticates_may_ask_and_a_refusal_is_one_event() {
    let (hub, agent) = scene();
    let server = Server::new(&hub, RESOURCE);
    let token = hub.access_token(&agent, "mcp:read");
    let public = json!({
        "client_name": "p", "token_endpoint_auth_method": "none", "grant_types": [], "serves": [RESOURCE],
    });
    let public = hub.admin("POST", "clients").json(&public).send().expect(201).json()["client_id"].clone();
    let refused = |call: Call<'_>, status: u16, code: &str, reason: &str| {
        let before = hub.events_of("token.query_refused").len();
        let reply: Reply = call.send();
        assert_eq!((reply.status, reply.error().as_str()), (status, code), "{reply:?}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let events = hub.events_of("token.query_refused");
        match reason {
            "" => assert_eq!(events.len(), before, "it belongs to no client"),
            reason => assert_eq!((events.len(), &events[before]["reason"]), (before + 1, &json!(reason))),
        }
    };
    let post = || hub.call("POST", PATH);
    let form = [("token", &*token)];
    refused(post().form(&form), 401, "invalid_client", "");
    let named = [("token", &*token), ("client_id", public.as_str().unwrap())];
    refused(post().form(&named), 401, "invalid_client", "NoClientAuthentication");
    let wrong = Credentials { client_secret: agent.client_secret.clone(), ..server.client.clone() };
    refused(post().basic(&wrong).form(&form), 401, "invalid_client", "ClientAuthenticationFailed");
    refused(post().basic(&server.client).form(&[]), 400, "invalid_request", "MissingTokenParameter");
    refused(post().bearer(&token).form(&form), 401, "invalid_client", "");
    hub.call("GET", PATH).send().expect(405);
}

#[test]
fn a_signed_answer_is_a_jwt_for_the_caller_by_a_published_key() {
    let (hub, agent) = scene();
    let server = Server::new(&hub, RESOURCE);
    let token = hub.access_token(&agent, "mcp:read");
    for (token, active) in [(token.as_str(), true), ("x", false)] {
        let reply = server.call(token).header("accept", "application/json;q=0.5, application/token-introspection+JWT");
        let reply = reply.send().expect(200);
        assert_eq!(reply.header("content-type"), Some(SIGNED));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let (header, claims) = decode(&reply.text);
        assert_eq!((&header["typ"], &header["alg"]), (&json!("token-introspection+jwt"), &json!("ES256")));
        let wanted = json!({
            "iss": ISSUER, "aud": server.client.client_id, "iat": hub.clock.seconds(),
            "token_introspection": server.ask(token),
        });
        assert_eq!(claims, wanted);
        assert_eq!(claims["token_introspection"]["active"], active);
        assert!(is_signed(&hub, &reply.text));
    }
    let plain = server.call(&token).header("accept", "application/json").send().expect(200);
    assert_eq!(plain.header("content-type"), Some("application/json"));
}

/// Whether a published key has signed the token.
pub fn is_signed(hub: &Setup, token: &str) -> bool {
    let jwks = hub.call("GET", "/t/main/jwks.json").send().expect(200).json();
    let kid = &decode(token).0["kid"];
    let jwk = jwks["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == *kid).unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    verifies(Alg::Es256, &jwk.to_string(), input.as_bytes(), &unb64(signature).unwrap())
}

#[test]
fn metadata_names_both_endpoints_and_how_to_authenticate_there() {
    let hub = Setup::new();
    let document = hub.call("GET", "/t/main/.well-known/oauth-authorization-server").send().expect(200).json();
    assert_eq!(document["introspection_endpoint"], json!(format!("{ISSUER}/introspect")));
    assert_eq!(document["revocation_endpoint"], json!(format!("{ISSUER}/revoke")));
    assert_eq!(document["introspection_signing_alg_values_supported"], json!(["ES256"]));
    let all = document["token_endpoint_auth_methods_supported"].as_array().unwrap();
    assert_eq!(document["revocation_endpoint_auth_methods_supported"].as_array(), Some(all));
    let proving: Vec<_> = all.iter().filter(|method| **method != json!("none")).cloned().collect();
    assert_eq!(document["introspection_endpoint_auth_methods_supported"], json!(proving));
    for endpoint in ["introspection", "revocation"] {
        let algorithms = &document[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")];
        assert_eq!(*algorithms, document["token_endpoint_auth_signing_alg_values_supported"]);
    }
}

#[test]
fn an_answer_is_signed_where_accept_wants_that_at_least_as_much_as_json() {
    let (hub, agent) = scene();
    let server = Server::new(&hub, RESOURCE);
    let token = hub.access_token(&agent, "mcp:read");
    for (accept, signed) in [
        (SIGNED.to_owned(), true),
        (format!("application/json, {SIGNED}"), true),
        (format!("application/json;q=0.4, {SIGNED};q=0.5"), true),
        (format!("application/json, {SIGNED};q=0.5"), false),
        (format!("{SIGNED};q=0, */*"), false),
        ("*/*".to_owned(), false),
        ("application/*".to_owned(), false),
    ] {
        let reply = server.call(&token).header("accept", &accept).send().expect(200);
        let expected = if signed { SIGNED } else { "application/json" };
        assert_eq!(reply.header("content-type"), Some(expected), "{accept}");
    }
}
