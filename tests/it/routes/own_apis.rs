//! The APIs of a tenant itself, `admin`, `ssf`, `connections` and `events`: reached only by the clients whose registration names them.

use super::chain::{Chain, JWT};
use super::introspection::Server;
use crate::support::Setup;
use crate::support::hub::{ISSUER, RESOURCE};
use serde_json::json;

const APIS: [&str; 4] = ["admin", "ssf", "connections", "events"];
const EVERYTHING_PERMITTED: &str = "permit(principal, action, resource);";

#[test]
fn no_grant_reaches_an_api_of_the_tenant_without_an_entry_whatever_policy_permits() {
    let chain = Chain::new();
    let hub = &chain.hub;
    hub.put_policy("everything", EVERYTHING_PERMITTED);
    let grants = ["client_credentials", super::chain::EXCHANGE];
    for named in [
        json!({}),
        json!({"allowed_resources": [RESOURCE]}),
        json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}),
    ] {
        let mut metadata = json!({"grant_types": grants});
        metadata.as_object_mut().unwrap().extend(named.as_object().unwrap().clone());
        let client = hub.create_client(metadata);
        let own = hub.token(&client, &[("resource", RESOURCE)]).access_token();
        for api in APIS.map(|api| format!("{ISSUER}/{api}")) {
            let refused = hub.token(&client, &[("resource", &api)]).expect(400);
            assert_eq!(refused.error(), "invalid_target");
            for name in ["resource", "audience"] {
                let target = [(name, &*api)];
                assert_eq!(chain.exchange(&client, &own, &target).send().expect(400).error(), "invalid_target");
                let acting = [("actor_token", &*own), ("actor_token_type", JWT), (name, &*api)];
                assert_eq!(chain.exchange(&client, &own, &acting).send().expect(400).error(), "invalid_target");
            }
        }
    }
}

#[test]
fn an_entry_reaches_the_api_that_it_names_and_no_other() {
    let hub = Setup::new();
    hub.put_policy("everything", EVERYTHING_PERMITTED);
    let client = hub.create_client(json!({"allowed_resources": [format!("{ISSUER}/ssf")]}));
    hub.token(&client, &[("resource", &format!("{ISSUER}/ssf"))]).expect(200);
    hub.token(&client, &[("resource", &format!("{ISSUER}/admin"))]).expect(400);
}

#[test]
fn a_resource_server_with_a_stream_learns_nothing_about_the_stream_tokens_of_others() {
    let hub = Setup::new();
    let api = format!("{ISSUER}/ssf");
    let other = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [api]}));
    let token = hub.token(&other, &[]).access_token();
    assert!(!Server::new(&hub, &api).is_active(&token));
    let named = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE], "serves": [api]}));
    let reply = hub.call("POST", super::introspection::PATH).basic(&named).form(&[("token", &*token)]).send();
    assert_eq!(reply.json()["active"], true, "an administrator has said so");
}
