//! The lease endpoint, as far as no other service is needed.

use super::hub::{Hub, unique};
use crate::support::{Credentials, Reply};
use serde_json::json;
use std::time::Duration;

const PATH: &str = "/t/main/connections/no-such-connection/token";

fn lease(hub: &Hub, client: &Credentials, form: &[(&str, &str)]) -> Reply {
    hub.ask("POST", PATH).basic(client).form(form).send()
}

#[test]
fn only_a_resource_server_that_authenticates_may_lease() {
    let hub = Hub::open();
    let nobody = hub.ask("POST", PATH).form(&[("subject_token", "x")]).send();
    assert_eq!((nobody.status, nobody.error().as_str()), (401, "invalid_client"));
    assert!(nobody.header("www-authenticate").unwrap().starts_with("Basic realm="));
    let agent = lease(&hub, &hub.agent.client, &[("subject_token", "x")]);
    assert_eq!((agent.status, agent.error().as_str()), (403, "unauthorized_client"));
}

#[test]
fn a_lease_needs_a_live_token_for_a_resource_of_the_caller() {
    let hub = Hub::open();
    let admin = hub.admin("GET", "clients").send().expect(200);
    assert!(admin.json()["items"].is_array());
    for form in [&[][..], &[("subject_token", "x")], &[("subject_token", "a.b.c")]] {
        let reply = lease(&hub, &hub.server, form);
        assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_request"), "{form:?}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn a_lease_takes_no_token_that_has_expired_or_is_for_another_audience() {
    let hub = Hub::open();
    let uri = format!("https://{}.conformance.example/mcp", unique());
    let scopes = json!([{"name": "use", "description": "Use"}]);
    let body = json!({"resource": uri, "name": "Conformance", "scopes": scopes, "access_token_lifetime": 10});
    let _resource = hub.make("resources", &body, "id");
    let body =
        json!({"client_name": "conformance", "kind": "resource_server", "allowed_resources": [uri], "serves": [uri]});
    let server = hub.make("clients", &body, "client_id");
    let (client, _policy) = hub.agent_for(&uri, &json!({}));
    let token = || Some(hub.token(&client.credentials(), &[])).filter(|reply| reply.status == 200);
    let token = hub.within_the_bound("a token", token).access_token();
    let answer = |server: &Credentials, token: &str| {
        let reply = lease(&hub, server, &[("subject_token", token)]);
        (reply.status, reply.error())
    };
    let (denied, invalid) = ((403, "access_denied".to_owned()), (400, "invalid_request".to_owned()));
    // This token holds: there is no such connection.
    assert_eq!(answer(&server.credentials(), &token), denied);
    assert_eq!(answer(&hub.server, &token), invalid, "for another resource server");
    let others = hub.agents_token(&[]).access_token();
    assert_eq!(answer(&hub.server, &others), denied);
    assert_eq!(answer(&server.credentials(), &others), invalid, "for another resource server");
    // Ten seconds of life, ten of leeway, and one.
    hub.pass(Duration::from_secs(21));
    assert_eq!(answer(&server.credentials(), &token), invalid, "expired");
}

#[test]
fn a_connection_that_does_not_exist_cannot_be_told_from_one_that_policy_forbids() {
    let hub = Hub::open();
    let token = hub.agents_token(&[]).access_token();
    let reply = lease(&hub, &hub.server, &[("subject_token", &token)]);
    assert_eq!((reply.status, reply.error().as_str()), (403, "access_denied"), "{reply:?}");
    assert_eq!(reply.json()["decision"].as_str().unwrap().len(), 26);
}
