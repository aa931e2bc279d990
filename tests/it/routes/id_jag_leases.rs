//! Connections of the kind `id_jag`: a user of Writ at another authorization server, without a stored token of theirs.

use super::chain::Chain;
use crate::support::hub::{ISSUER, RESOURCE, decode};
use crate::support::services::{SECRET, Services, UPSTREAM};
use crate::support::{Credentials, Reply};
use serde_json::{Value, json};
use std::rc::Rc;

const PATH: &str = "/t/main/connections/reports/token";

/// An agent that acts for a user, a resource server, and the other authorization server.
struct Scene {
    chain: Chain,
    services: Rc<Services>,
    server: Credentials,
}

impl Scene {
    fn new() -> Self {
        let chain = Chain::new();
        let services = Services::open(&chain.hub);
        let server = chain.hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
        chain.hub.put_policy("lease", r#"permit(principal, action == Action::"lease", resource);"#);
        let scene = Self { chain, services, server };
        scene.put(json!({})).expect(201);
        scene
    }

    /// Writes the connection, with other members of the config.
    fn put(&self, more: Value) -> Reply {
        let mut config = json!({
            "audience": "https://as.example", "token_endpoint": "https://as.example/token", "client_id": "client-at-as",
            "resource": "https://api.example", "scopes": ["files.read", "files.write"],
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = json!({"kind": "id_jag", "config": config, "secret": {"client_secret": SECRET}});
        let old = self.chain.hub.admin("GET", "connections/reports").send();
        let call = self.chain.hub.admin("PUT", "connections/reports");
        match old.header("etag") {
            Some(etag) => call.header("if-match", etag),
            None => call,
        }
        .json(&body)
        .send()
    }

    fn lease(&self, token: &str, more: &[(&str, &str)]) -> Reply {
        let form: Vec<_> = [("subject_token", token)].iter().chain(more).copied().collect();
        self.chain.hub.call("POST", PATH).basic(&self.server).form(&form).send()
    }

    fn for_user(&self) -> String {
        self.chain.user_token(&self.chain.planner, RESOURCE, "mcp:read")
    }
}

#[test]
fn a_user_gets_a_token_of_another_authorization_server_for_an_id_jag() {
    let scene = Scene::new();
    let lease = scene.lease(&scene.for_user(), &[("scope", "files.read")]);
    let lease = lease.expect(200).json();
    assert!(lease["access_token"].as_str().unwrap().contains(UPSTREAM), "{:?}", scene.services.complaints.borrow());
    assert_eq!((&lease["token_type"], &lease["scope"]), (&json!("Bearer"), &json!("files.read")));
    let (header, claims) = decode(&scene.services.own_tokens.borrow()[0]);
    assert_eq!((&header["typ"], &claims["sub"]), (&json!("oauth-id-jag+jwt"), &json!(scene.chain.user)));
    assert_eq!((&claims["iss"], &claims["scope"]), (&json!(ISSUER), &json!("files.read")));
    let event = scene.chain.hub.events_of("lease.granted").pop().unwrap();
    assert_eq!((&event["subject"], &event["connection"]), (&json!(scene.chain.user), &json!("reports")));
    let seen = scene.chain.hub.dump_at_rest() + &format!("{:?}", scene.chain.hub.events());
    assert!(!seen.contains(SECRET) && !seen.contains(UPSTREAM));
}

#[test]
fn each_user_has_a_token_of_their_own_and_an_agent_that_acts_for_none_has_none() {
    let scene = Scene::new();
    let first = scene.lease(&scene.for_user(), &[]).expect(200).json();
    let asked = scene.services.asked.get();
    assert_eq!(scene.lease(&scene.for_user(), &[]).expect(200).json()["access_token"], first["access_token"]);
    assert_eq!(scene.services.asked.get(), asked);

    let accounts = json!([{"issuer": super::chain::IDP, "subject": "bob"}]);
    let made = scene.chain.hub.admin("POST", "users").json(&json!({"name": "Bob", "accounts": accounts})).send();
    let bob = made.expect(201).json()["id"].as_str().unwrap().to_owned();
    let assertion = scene.chain.assertion(json!({"sub": "bob"}));
    let asked_for = [("resource", RESOURCE), ("scope", "mcp:read")];
    let token = scene.chain.by_assertion(&scene.chain.planner, &assertion, &asked_for).send().access_token();
    let second = scene.lease(&token, &[]).expect(200).json();
    assert_ne!(second["access_token"], first["access_token"]);
    assert_eq!(decode(scene.services.own_tokens.borrow().last().unwrap()).1["sub"], json!(bob));

    let own = scene.chain.own_token(&scene.chain.planner, RESOURCE);
    let refused = scene.lease(&own, &[]);
    assert_eq!((refused.status, refused.error().as_str()), (403, "access_denied"));
    let event = scene.chain.hub.events_of("lease.refused").pop().unwrap();
    assert_eq!(event["reason"], "LeaseDenied");
    assert!(event["detail"].as_str().unwrap().contains("acts for none"), "{event}");
}

#[test]
fn an_id_jag_of_the_vault_is_no_token_at_writ_and_none_is_made_towards_writ() {
    let scene = Scene::new();
    scene.lease(&scene.for_user(), &[]).expect(200);
    let id_jag = scene.services.own_tokens.borrow()[0].clone();
    let refused = scene.lease(&id_jag, &[]);
    assert_eq!((refused.status, refused.error().as_str()), (400, "invalid_request"));
    assert_eq!(scene.chain.hub.call("GET", "/t/main/admin/clients").bearer(&id_jag).send().status, 401);
    for audience in [ISSUER, "https://id.example"] {
        let refused = scene.put(json!({"audience": audience}));
        assert_eq!(refused.status, 400, "{audience}: {refused:?}");
    }
    assert_eq!(scene.put(json!({"token_endpoint": "https://10.0.0.1/token"})).status, 400);
}

#[test]
fn a_server_that_does_not_trust_the_tenant_is_named_by_its_code_alone() {
    let scene = Scene::new();
    let refusal = json!({"error": "invalid_grant", "error_description": "words of the server"});
    scene.services.instead.replace(Some(crate::support::Scripted::json(400, refusal)));
    let refused = scene.lease(&scene.for_user(), &[]);
    assert_eq!(refused.status, 502);
    assert!(!refused.text.contains("words of the server"));
    let event = scene.chain.hub.events_of("lease.refused").pop().unwrap();
    assert_eq!((&event["reason"], &event["detail"]), (&json!("ProviderRefused"), &json!("invalid_grant")));
}
