//! `events`: what resource servers report of tool calls, whom they may report, and that no call is lost or recorded twice.

use super::chain::{Chain, TASKS};
use crate::support::hub::{Call, ISSUER, RESOURCE, decode, with_claims};
use crate::support::{Credentials, Effect, Port, Reply, Setup};
use serde_json::{Value, json};
use std::cell::Cell;
use writ::crypto::sha256;
use writ::error::Reason;

const OTHER: &str = "https://other.example/mcp";

/// An agent with a token, and a resource server that may report what is done with it.
pub struct Scene {
    pub hub: Setup,
    agent: Credentials,
    server: Credentials,
    calls: Cell<usize>,
}

impl Scene {
    pub fn new() -> Self {
        let hub = Setup::new();
        let agent = hub.agent("agent", "mcp:read");
        let server = reporter(&hub, json!({"kind": "resource_server"}));
        Self { hub, agent, server, calls: Cell::new(0) }
    }

    fn token(&self) -> String {
        self.hub.access_token(&self.agent, "mcp:read")
    }

    /// A call with that token that takes place now.
    fn call_with(&self, token: &str) -> Value {
        self.calls.set(self.calls.get() + 1);
        json!({
            "id": format!("call-{}", self.calls.get()), "subject_token": token, "tool": "read", "outcome": "succeeded",
            "at_millis": self.hub.clock.seconds() * 1_000,
        })
    }

    fn request(&self, calls: &[Value]) -> Call<'_> {
        let token = report_token(&self.hub, &self.server);
        self.hub.call("POST", "/t/main/events").bearer(&token).json(&json!({"calls": calls}))
    }

    fn report(&self, calls: &[Value]) -> Reply {
        self.request(calls).send()
    }

    fn called(&self) -> Vec<Value> {
        self.hub.events_of("tool.called")
    }

    /// What is wrong with a report of one call.
    fn fault(&self, call: &Value) -> String {
        let reply = self.report(std::slice::from_ref(call)).expect(400);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        reply.json()["detail"].as_str().unwrap().to_owned()
    }
}

fn reporter(hub: &Setup, more: Value) -> Credentials {
    let mut metadata = json!({"client_name": "server", "allowed_resources": [RESOURCE, format!("{ISSUER}/events")]});
    metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    hub.create_client(metadata)
}

fn report_token(hub: &Setup, server: &Credentials) -> String {
    hub.token(server, &[("resource", &format!("{ISSUER}/events"))]).access_token()
}

/// The reason of these pages that nothing else produces.
pub fn provoke() -> Reply {
    let scene = Scene::new();
    let request = || scene.request(&[]);
    (0..100).for_each(|_| drop(request().send().expect(204)));
    assert_eq!(Reason::TooManyReports.wire().status, 429);
    request().send()
}

#[test]
fn a_reported_call_is_in_the_trail_with_agent_token_tool_outcome_and_reporter() {
    let scene = Scene::new();
    let token = scene.token();
    let mut call = scene.call_with(&token);
    let digest = sha256("{}").to_text();
    call.as_object_mut().unwrap().extend(
        json!({"outcome": "failed", "millis": 12, "arguments_sha256": digest, "scope": "mcp:read"})
            .as_object()
            .unwrap()
            .clone(),
    );
    let reply = scene.report(&[call]).expect(204);
    assert!(reply.text.is_empty());
    let [event] = scene.called().try_into().unwrap();
    let issued = scene.hub.events_of("token.issued");
    let issued =
        issued.iter().find(|issued| issued["client"] == *scene.agent.client_id && issued["resource"] == RESOURCE);
    for (name, value) in [
        ("client", json!(scene.agent.client_id)),
        ("client_name", json!("agent")),
        ("subject", json!(scene.agent.client_id)),
        ("resource", json!(RESOURCE)),
        ("tool", json!("read")),
        ("outcome", json!("failed")),
        ("millis", json!(12)),
        ("arguments_sha256", json!(digest)),
        ("scope_given", json!("mcp:read")),
        ("resource_server", json!(scene.server.client_id)),
        ("resource_server_name", json!("server")),
        ("jti_hash", issued.unwrap()["jti_hash"].clone()),
    ] {
        assert_eq!(event[name], value, "{name}");
    }
    assert_eq!(event["at"], json!(scene.hub.clock.seconds() * 1_000));
    // An administrator finds it among what the agent did.
    let page = scene.hub.admin("GET", &format!("events?client_id={}&type=tool.called", scene.agent.client_id)).send();
    assert_eq!(page.json()["items"][0]["at"], scene.hub.clock.seconds());
    assert!(!scene.hub.dump_at_rest().contains(&token), "no token is kept");
}

#[test]
fn a_call_by_several_hands_names_all_of_them_as_the_token_does() {
    let chain = Chain::new();
    let hub = &chain.hub;
    let asked = chain.user_token(&chain.planner, TASKS, "mcp:read");
    let delegated = chain.delegated(&chain.worker, &asked, RESOURCE);
    let server = reporter(hub, json!({"kind": "resource_server"}));
    let call = json!({
        "id": "1", "subject_token": delegated, "tool": "read", "outcome": "succeeded", "at_millis": hub.clock.seconds() * 1_000,
    });
    let token = report_token(hub, &server);
    hub.call("POST", "/t/main/events").bearer(&token).json(&json!({"calls": [call]})).send().expect(204);
    let [event] = hub.events_of("tool.called").try_into().unwrap();
    let claims = decode(&delegated).1;
    assert_eq!(event["chain"], json!([claims["act"]["sub"], claims["act"]["act"]["sub"]]));
    assert_eq!(event["chain"], json!([chain.worker.client_id, chain.planner.client_id]));
    assert_eq!((&event["subject"], &event["subject_name"]), (&json!(chain.user), &json!("Alice")));
}

#[test]
fn a_report_that_comes_again_makes_no_second_event() {
    let scene = Scene::new();
    let token = scene.token();
    let calls = [scene.call_with(&token), scene.call_with(&token)];
    (0..3).for_each(|_| drop(scene.report(&calls).expect(204)));
    assert_eq!(scene.called().len(), 2);
    // The same name by another reporter is another call.
    let other = reporter(&scene.hub, json!({"kind": "resource_server"}));
    let bearer = report_token(&scene.hub, &other);
    scene.hub.call("POST", "/t/main/events").bearer(&bearer).json(&json!({"calls": calls})).send().expect(204);
    assert_eq!(scene.called().len(), 4);
}

#[test]
fn one_wrong_call_refuses_the_whole_report_and_every_wrong_one_is_named() {
    let scene = Scene::new();
    let token = scene.token();
    let good = scene.call_with(&token);
    let wrong = |name: &str, value: Value| {
        let mut call = scene.call_with(&token);
        call[name] = value;
        call
    };
    let now = scene.hub.clock.seconds() * 1_000;
    for (name, value) in [
        ("subject_token", json!("x")),
        ("at_millis", json!(now - 3_700_000)),
        ("at_millis", json!(now + 60_000)),
        ("at_millis", json!(now / 1_000)),
        ("tool", json!("a\nb")),
        ("tool", json!(" ")),
        ("tool", json!("t".repeat(201))),
        ("outcome", json!("perhaps")),
        ("millis", json!(-1)),
        ("millis", json!(1.5)),
        ("arguments_sha256", json!("abc")),
        ("scope", json!("a  b")),
        ("scope", json!("mcp:write")),
        ("scope", json!("mcp:read mcp:write")),
        ("id", json!("")),
        ("id", json!("a b")),
        ("id", json!("i".repeat(65))),
        ("id", good["id"].clone()),
        ("secret", json!("canary")),
    ] {
        let reply = scene.report(&[good.clone(), wrong(name, value.clone())]).expect(400);
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(&format!("`calls[1].{name}`")), "{name} {value}: {detail}");
        assert!(!reply.text.contains("canary") && !reply.text.contains(&token), "{reply:?}");
    }
    let both = scene.report(&[wrong("subject_token", json!("x")), good.clone(), wrong("subject_token", json!("y"))]);
    let detail = both.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("`calls[0].subject_token`") && detail.contains("`calls[2].subject_token`"), "{detail}");
    assert!(scene.called().is_empty());
    assert_eq!(scene.hub.events_of("tool.report_refused").len(), 20);
    scene.report(&[good]).expect(204);
}

#[test]
fn a_resource_server_reports_only_what_was_done_with_tokens_for_what_it_serves() {
    let scene = Scene::new();
    let hub = &scene.hub;
    hub.create_resource(json!({"id": "other", "resource": OTHER}));
    let elsewhere = hub.create_client(json!({"allowed_resources": [OTHER]}));
    hub.put_policy("elsewhere", "permit(principal, action == Action::\"issue\", resource);");
    let foreign = hub.token(&elsewhere, &[("resource", OTHER)]).access_token();
    let token = scene.token();
    let mut claims = decode(&token).1;
    claims["client_id"] = json!(elsewhere.client_id);
    let forged = with_claims(&token, &claims);
    hub.create_tenant("second");
    let second = {
        hub.create_resource_of("second", json!({}));
        let agent = hub.create_client_of("second", json!({"allowed_resources": [RESOURCE]}));
        hub.put_policy_of("second", "all", "permit(principal, action, resource);");
        let form = [("grant_type", "client_credentials")];
        hub.call("POST", "/t/second/token").basic(&agent).form(&form).send().access_token()
    };
    let own = report_token(hub, &scene.server);
    for (token, why) in [
        (&foreign, "another audience"),
        (&forged, "signature"),
        (&second, "kid"),
        (&hub.admin_token(), "another audience"),
        (&own, "another audience"),
    ] {
        let fault = scene.fault(&scene.call_with(token));
        assert!(fault.contains(why), "{why}: {fault}");
    }
    assert!(scene.called().is_empty());
}

#[test]
fn only_a_resource_server_with_a_token_for_reports_may_report() {
    let scene = Scene::new();
    let hub = &scene.hub;
    let post = |token: &str| hub.call("POST", "/t/main/events").bearer(token).json(&json!({"calls": []})).send();
    assert_eq!(hub.call("POST", "/t/main/events").json(&json!({"calls": []})).send().status, 401);
    post(&scene.token()).expect(401);
    post(&hub.admin_token()).expect(401);
    // Its registration has to name the API, and it has to be a resource server.
    let unnamed = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    hub.token(&unnamed, &[("resource", &format!("{ISSUER}/events"))]).expect(400);
    for kind in ["autonomous", "delegated"] {
        let agent = reporter(hub, json!({"kind": kind}));
        let refused = post(&report_token(hub, &agent)).expect(403).json();
        assert_eq!(refused["reason"], "NotAResourceServer");
    }
    // A policy forbids it from then on, whatever the token was issued for.
    let token = report_token(hub, &scene.server);
    post(&token).expect(204);
    hub.put_policy("no", &format!(r#"forbid(principal, action, resource in Resource::"{ISSUER}/events");"#));
    assert_eq!(post(&token).expect(403).json()["reason"], "NoLongerPermitted");
}

#[test]
fn a_call_is_reported_although_its_token_has_expired_or_its_agent_was_stopped_since() {
    let scene = Scene::new();
    let hub = &scene.hub;
    let token = scene.token();
    let made = [scene.call_with(&token), scene.call_with(&token)];
    hub.admin("POST", &format!("clients/{}/kill", scene.agent.client_id)).send().expect(200);
    hub.clock.advance(5);
    scene.report(&made[..1]).expect(204);
    hub.clock.advance(1_800);
    scene.report(&made[1..]).expect(204);
    let events = scene.called();
    assert_eq!(events.len(), 2);
    for event in &events {
        assert_eq!(event["detail"], "when this was reported, a client of it is stopped");
    }
    // What is said to have been done with a token that had expired by then is no report.
    assert!(scene.fault(&scene.call_with(&token)).contains("expired"));
    // One token, two moments: each has to be within its life.
    let mut late = scene.call_with(&token);
    late["at_millis"] = json!((hub.clock.seconds() - 60) * 1_000);
    let reply = scene.report(&[made[0].clone(), late]).expect(400);
    assert!(reply.json()["detail"].as_str().unwrap().starts_with("`calls[1].subject_token`"), "{reply:?}");
}

#[test]
fn whatever_the_queue_does_every_reported_call_is_recorded_once() {
    for effect in [Effect::Fails, Effect::LosesReply] {
        let scene = Scene::new();
        let token = scene.token();
        let calls: Vec<Value> = (0..5).map(|_| scene.call_with(&token)).collect();
        let request = scene.request(&calls);
        scene.hub.faults.fail_when(Port::Queue, |_| true, effect);
        request.send().expect(204);
        scene.hub.faults.heal();
        assert_eq!(scene.called().len(), 5, "{effect:?}");
    }
    // Neither takes them: the report is sent again.
    let scene = Scene::new();
    let token = scene.token();
    let calls = [scene.call_with(&token)];
    let request = scene.request(&calls);
    scene.hub.faults.fail(Port::Queue);
    scene.hub.faults.fail_when(Port::Db, |seen| seen.text.contains("INTO outbox"), Effect::Fails);
    request.send().expect(503);
    scene.hub.faults.heal();
    scene.report(&calls).expect(204);
    assert_eq!(scene.called().len(), 1);
}

#[test]
fn a_report_has_fifty_calls_at_the_most_and_all_of_them_go_to_the_queue_at_once() {
    let scene = Scene::new();
    let token = scene.token();
    let mut calls: Vec<Value> = (0..51).map(|_| scene.call_with(&token)).collect();
    assert!(scene.report(&calls).expect(400).json()["detail"].as_str().unwrap().contains("50 items"));
    calls.pop();
    calls.iter_mut().for_each(|call| call["tool"] = json!("\u{1f600}".repeat(100)));
    let request = scene.request(&calls);
    let (before, read) = (scene.hub.faults.calls(Port::Queue), scene.hub.faults.calls(Port::Db));
    request.send().expect(204);
    assert_eq!(scene.hub.faults.calls(Port::Queue) - before, 1);
    assert!(scene.hub.faults.calls(Port::Db) - read < 10, "one token costs one look at its parties");
    assert_eq!(scene.called().len(), 50);
}

#[test]
fn reports_of_a_resource_server_are_limited_in_a_minute_and_those_of_others_are_not() {
    let scene = Scene::new();
    let request = || scene.request(&[]);
    (0..100).for_each(|_| drop(request().send().expect(204)));
    let refused = request().send().expect(429);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() <= 60);
    let other = reporter(&scene.hub, json!({"kind": "resource_server"}));
    let bearer = report_token(&scene.hub, &other);
    scene.hub.call("POST", "/t/main/events").bearer(&bearer).json(&json!({"calls": []})).send().expect(204);
    scene.hub.clock.advance(61);
    request().send().expect(204);
}
