//! The lease endpoint, as far as no other service is needed.

use super::hub::Hub;
use crate::support::{Credentials, Reply};

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
fn a_connection_that_does_not_exist_cannot_be_told_from_one_that_policy_forbids() {
    let hub = Hub::open();
    let token = hub.agents_token(&[]).access_token();
    let reply = lease(&hub, &hub.server, &[("subject_token", &token)]);
    assert_eq!((reply.status, reply.error().as_str()), (403, "access_denied"), "{reply:?}");
    assert_eq!(reply.json()["decision"].as_str().unwrap().len(), 26);
}
