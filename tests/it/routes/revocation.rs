//! Revocation (RFC 7009).

use super::chain::{Chain, TASKS};
use super::introspection::Server;
use crate::support::hub::{RESOURCE, decode};
use crate::support::{Credentials, Effect, Port, Reply, Setup};
use serde_json::json;
use writ::crypto::sha256;

const PATH: &str = "/t/main/revoke";

fn revoke(hub: &Setup, client: &Credentials, token: &str) -> Reply {
    let reply = hub.call("POST", PATH).basic(client).form(&[("token", token)]).send().expect(200);
    assert_eq!((reply.text.as_str(), reply.header("cache-control")), ("{}", Some("no-store")));
    reply
}

fn scene() -> (Setup, Credentials) {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    (hub, agent)
}

#[test]
fn a_revoked_token_is_dead_at_once_where_it_was_revoked_and_elsewhere_within_the_bound() {
    let (hub, agent) = scene();
    let admin = hub.admin_client("main");
    let token = hub.admin_token();
    let elsewhere = hub.isolate();
    let list = || hub.call("GET", "/t/main/admin/clients").bearer(&token);
    list().send().expect(200);
    list().on(&elsewhere).send().expect(200);
    revoke(&hub, &admin, &token);
    list().send().expect(401);
    hub.clock.advance(5);
    list().on(&elsewhere).send().expect(401);

    let event = hub.events_of("token.revoked").pop().unwrap();
    assert_eq!(event["client"], json!(admin.client_id));
    assert_eq!(event["jti_hash"], json!(sha256(decode(&token).1["jti"].as_str().unwrap()).to_text()));
    // Others of the same client live, and revoking again changes nothing.
    revoke(&hub, &admin, &token);
    assert_eq!(hub.events_of("token.revoked").len(), 1);
    hub.admin("GET", "clients").send().expect(200);
    hub.access_token(&agent, "mcp:read");
}

/// RFC 7009 §2.1; workers-oauth-provider #188.
#[test]
fn another_clients_token_stays_alive_and_the_answer_does_not_tell() {
    let (hub, agent) = scene();
    let server = Server::new(&hub, RESOURCE);
    let stranger = hub.create_client(json!({}));
    let token = hub.access_token(&agent, "mcp:read");
    let other = revoke(&hub, &stranger, &token);
    revoke(&hub, &server.client, &token);
    let unknown = revoke(&hub, &stranger, "no token at all");
    assert_eq!(other, unknown);
    assert!(server.is_active(&token));
    assert!(hub.events_of("token.revoked").is_empty());
    assert!(hub.db.query("SELECT * FROM stopped_chains").is_empty());
    assert_eq!(revoke(&hub, &agent, &token), unknown);
    assert!(!server.is_active(&token));
}

#[test]
fn revoking_takes_what_was_made_from_the_token_along_and_nothing_else() {
    let chain = Chain::new();
    let (server, tasks) = (Server::new(&chain.hub, RESOURCE), Server::new(&chain.hub, TASKS));
    let first = chain.user_token(&chain.planner, TASKS, "mcp:read");
    let sibling = chain.user_token(&chain.planner, TASKS, "mcp:read");
    let made = chain.delegated(&chain.worker, &first, RESOURCE);
    let cousin = chain.delegated(&chain.worker, &sibling, RESOURCE);
    // The last token of a chain ends alone.
    revoke(&chain.hub, &chain.worker, &cousin);
    assert!(!server.is_active(&cousin) && tasks.is_active(&sibling));
    revoke(&chain.hub, &chain.planner, &first);
    assert!(!tasks.is_active(&first) && !server.is_active(&made) && tasks.is_active(&sibling));
    chain.delegate(&chain.worker, &first, &[("resource", RESOURCE)]).send().expect(400);
    chain.delegated(&chain.worker, &sibling, RESOURCE);
}

#[test]
fn a_token_is_revoked_although_somebody_in_it_is_suspended() {
    let chain = Chain::new();
    let tasks = Server::new(&chain.hub, TASKS);
    let token = chain.user_token(&chain.planner, TASKS, "mcp:read");
    let user = format!("users/{}", chain.user);
    chain.hub.admin("POST", &format!("{user}/suspend")).send().expect(200);
    revoke(&chain.hub, &chain.planner, &token);
    chain.hub.admin("POST", &format!("{user}/resume")).send().expect(200);
    assert!(!tasks.is_active(&token));
}

#[test]
fn a_client_has_to_say_who_it_is_and_hints_are_ignored() {
    let (hub, agent) = scene();
    let server = Server::new(&hub, RESOURCE);
    let token = hub.access_token(&agent, "mcp:read");
    let post = || hub.call("POST", PATH);
    assert_eq!(post().form(&[("token", &token)]).send().expect(401).error(), "invalid_client");
    assert_eq!(post().basic(&agent).form(&[]).send().expect(400).error(), "invalid_request");
    assert_eq!(hub.events_of("token.query_refused").len(), 1, "a stranger is counted");
    hub.call("GET", PATH).send().expect(405);
    assert!(server.is_active(&token));
    post().basic(&agent).form(&[("token", &*token), ("token_type_hint", "refresh_token")]).send().expect(200);
    assert!(!server.is_active(&token));
}

#[test]
fn what_could_not_be_kept_is_not_answered_as_done() {
    let (hub, agent) = scene();
    let server = Server::new(&hub, RESOURCE);
    let token = hub.access_token(&agent, "mcp:read");
    hub.faults.fail_when(Port::Db, |seen| seen.text.contains("INTO stopped_chains"), Effect::Fails);
    hub.call("POST", PATH).basic(&agent).form(&[("token", &token)]).send().expect(503);
    hub.faults.heal();
    assert!(server.is_active(&token));
    revoke(&hub, &agent, &token);
    assert!(!server.is_active(&token));
}

#[test]
fn the_cron_forgets_a_revocation_once_all_that_was_made_from_the_token_has_expired() {
    let (hub, agent) = scene();
    let token = hub.access_token(&agent, "mcp:read");
    revoke(&hub, &agent, &token);
    hub.tick().unwrap();
    assert_eq!(hub.db.query("SELECT * FROM stopped_chains").len(), 1);
    hub.clock.advance(3_700);
    hub.tick().unwrap();
    assert!(hub.db.query("SELECT * FROM stopped_chains").is_empty());
}
