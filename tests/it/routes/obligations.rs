//! What permits ask for in return: limits, quiet hours, bound tokens, authorization details; for tokens, leases and calls through the proxy.

use crate::support::hub::{Call, Isolate, RESOURCE};
use crate::support::keys::rsa_pem;
use crate::support::{Credentials, Effect, Port, Reply, Scripted, Setup, Signer};
use serde_json::{Value, json};
use writ::ports::Alg;

const READONLY: &str = "https://www.googleapis.com/auth/bigquery.readonly";

/// An agent that may have both scopes, as far as this policy goes.
fn ready(cedar: &str) -> (Setup, Credentials) {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read mcp:write");
    hub.put_policy("agent", cedar);
    (hub, agent)
}

fn when(annotations: &str, scope: &str) -> String {
    format!("{annotations} permit(principal, action, resource) when {{ resource.name == \"{scope}\" }};\n")
}

#[track_caller]
fn over(reply: &Reply, seconds: u64) {
    assert_eq!((reply.status, reply.error().as_str()), (429, "too_many_requests"), "{reply:?}");
    assert!(reply.json()["error_description"].as_str().unwrap().starts_with("policy permits"), "{reply:?}");
    assert_eq!(reply.header("retry-after"), Some(seconds.to_string().as_str()));
}

fn last(hub: &Setup, kind: &str) -> Value {
    hub.events_of(kind).pop().unwrap_or_else(|| panic!("no {kind}"))
}

// ── Limits ──

#[test]
fn a_permit_is_used_as_often_as_its_limit_says_and_again_in_the_next_window() {
    for (unit, seconds) in [("minute", 60), ("hour", 3_600), ("day", 86_400)] {
        let (hub, agent) = ready(&when(&format!("@limit(\"2/{unit}\")"), "mcp:read"));
        // Noon of the first tenant's day, which is UTC.
        let left = seconds - (hub.clock.now().seconds() as u64 % seconds);
        for _ in 0..2 {
            hub.token(&agent, &[]).expect(200);
        }
        over(&hub.token(&agent, &[]), left);
        let event = last(&hub, "token.refused");
        assert_eq!(event["reason"], "LimitReached");
        assert_eq!(event["detail"], format!("agent, statement 1, permits 2/{unit} identity"));
        assert_eq!(event["scope_refused"][0]["because"], "limit");
        hub.clock.advance(left - 1);
        over(&hub.token(&agent, &[]), 1);
        hub.clock.advance(1);
        hub.token(&agent, &[]).expect(200);
    }
}

#[test]
fn a_limit_counts_for_an_identity_a_client_or_a_user() {
    let ask = |by: &str| {
        let (hub, one) = ready(&when(&format!("@limit(\"1/hour{by}\")"), "mcp:read"));
        let other = hub.create_client(json!({"allowed_resources": [RESOURCE]}));
        hub.token(&one, &[]).expect(200);
        over(&hub.token(&one, &[]), 3_600);
        hub.token(&other, &[]).expect(200);
        hub.db.query("SELECT policy, subject FROM limit_counts ORDER BY subject LIMIT 1")[0].clone()
    };
    let subject = |by: &str| ask(by)["subject"].as_str().unwrap().split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((subject("")[0].as_str(), subject("").len()), ("identity", 3));
    assert_eq!((subject(" client")[0].as_str(), subject(" client").len()), ("client", 2));
    assert_eq!((subject(" user")[0].as_str(), subject(" user").len()), ("user", 2));
    assert_eq!(ask("")["policy"], "agent/1/hour");
}

#[test]
fn uses_at_once_in_several_isolates_never_pass_a_limit() {
    for seed in 0..10 {
        let (hub, agent) = ready(&when("@limit(\"3/hour\")", "mcp:read"));
        let isolates: Vec<Isolate> = (0..4).map(|_| hub.isolate()).collect();
        let all = isolates.iter().cycle().take(12);
        let replies = hub.together(seed, all.map(|one| hub.token_call(&agent, &[]).on(one).future()).collect());
        let issued = replies.iter().filter(|reply| reply.status == 200).count();
        assert!(issued == 3 && replies.iter().all(|reply| matches!(reply.status, 200 | 429)), "{seed}: {replies:?}");
    }
}

#[test]
fn a_lost_reply_counts_and_a_limit_that_cannot_be_asked_issues_nothing() {
    let (hub, agent) = ready(&when("@limit(\"2/hour\")", "mcp:read"));
    hub.token(&agent, &[]).expect(200);
    hub.faults.fail_nth(Port::Db, 0, Effect::LosesReply);
    hub.token(&agent, &[]).expect(503);
    over(&hub.token(&agent, &[]), 3_600);
    assert_eq!(hub.events_of("token.issued").iter().filter(|event| event["client"] == agent.client_id).count(), 1);
}

#[test]
fn a_scope_whose_limit_has_no_room_is_left_out_and_nothing_is_counted_in_vain() {
    let text = when("@limit(\"1/hour\")", "mcp:write") + &when("@limit(\"3/hour\")", "mcp:read");
    let (hub, agent) = ready(&text);
    let scope = |asked: &str| hub.token(&agent, &[("scope", asked)]).expect(200).json()["scope"].clone();
    assert_eq!(scope("mcp:read mcp:write"), "mcp:read mcp:write");
    assert_eq!(scope("mcp:read mcp:write"), "mcp:read");
    let refused = json!([{"scope": "mcp:write", "because": "limit", "policies": ["agent"]}]);
    assert_eq!(last(&hub, "token.issued")["scope_refused"], refused);
    assert_eq!(scope("mcp:read"), "mcp:read");
    over(&hub.token(&agent, &[]), 3_600);
    let taken = hub.db.query("SELECT policy, taken FROM limit_counts ORDER BY policy");
    assert_eq!(json!(taken), json!([{"policy": "agent/1/hour", "taken": 1}, {"policy": "agent/2/hour", "taken": 3}]));
}

#[test]
fn whose_breach_of_one_scope_suspends_gets_no_token_for_another_either() {
    let text = when("@limit(\"1/hour client\") @on_breach(\"suspend\")", "mcp:write") + &when("", "mcp:read");
    let (hub, agent) = ready(&text);
    hub.token(&agent, &[("scope", "mcp:read mcp:write")]).expect(200);
    assert_eq!(hub.token(&agent, &[("scope", "mcp:read mcp:write")]).status, 429);
    assert_eq!(
        hub.events_of("token.issued").iter().filter(|event| event["client"] == json!(agent.client_id)).count(),
        1
    );
    let shown = hub.admin("GET", &format!("clients/{}", agent.client_id)).send().expect(200);
    assert_eq!(shown.json()["status"], "suspended");
}

#[test]
fn one_token_is_one_use_however_many_scopes_it_has() {
    let (hub, agent) = ready("@limit(\"2/hour\") permit(principal, action, resource);");
    for _ in 0..2 {
        assert_eq!(hub.token(&agent, &[]).expect(200).json()["scope"], "mcp:read mcp:write");
    }
    over(&hub.token(&agent, &[]), 3_600);
    // A limit that is raised has room at once.
    hub.put_policy("agent", "@limit(\"3/hour\") permit(principal, action, resource);");
    hub.token(&agent, &[]).expect(200);
    over(&hub.token(&agent, &[]), 3_600);
}

#[test]
fn without_a_limit_nothing_is_asked_of_the_database_and_a_full_one_is_remembered() {
    let (hub, agent) = ready(&(when("", "mcp:read") + &when("@limit(\"1/hour\")", "mcp:write")));
    let asked = |scope: &str| {
        let before = hub.faults.calls(Port::Db);
        let status = hub.token(&agent, &[("scope", scope)]).status;
        (status, hub.faults.calls(Port::Db) - before)
    };
    assert_eq!(asked("mcp:read").0, 200);
    assert_eq!(asked("mcp:read"), (200, 0));
    assert_eq!(asked("mcp:write"), (200, 1));
    assert_eq!(asked("mcp:write"), (429, 1));
    assert_eq!(asked("mcp:write"), (429, 0));
}

#[test]
fn the_limits_of_all_scopes_are_looked_at_in_one_statement_before_a_person_is_asked() {
    let limited = |scope: &str| when("@limit(\"1/hour\") @require(\"approval\")", scope);
    let (hub, agent) = ready(&["mcp:read", "mcp:write"].map(limited).concat());
    let asked = || {
        let before = hub.faults.calls(Port::Db);
        let status = hub.token(&agent, &[]).status;
        (status, hub.faults.calls(Port::Db) - before)
    };
    asked();
    let (id, window) = (&agent.client_id, hub.clock.seconds() / 3_600);
    for statement in [1, 2] {
        hub.db.execute(&format!(
            "INSERT INTO limit_counts (tenant, policy, subject, window, taken, until) \
             VALUES ('main', 'agent/{statement}/hour', 'identity {id} {id}', {window}, 1, {})",
            (window + 2) * 3_600
        ));
    }
    // What was asked before is looked for as well; both limits are remembered then.
    assert_eq!(asked(), (429, 2));
    assert_eq!(asked(), (429, 1));
}

#[test]
fn what_is_refused_for_another_reason_counts_nothing() {
    let (hub, agent) = ready(&when("@limit(\"1/hour\") @require(\"approval\")", "mcp:read"));
    hub.token(&agent, &[]).expect(400);
    crate::routes::quotas::set(&hub, "main", json!({"tokens_per_minute": 1}));
    hub.put_policy("agent", &(when("@limit(\"1/hour\")", "mcp:read") + &when("", "mcp:write")));
    hub.token(&agent, &[("scope", "mcp:write")]).expect(200);
    let reply = hub.token(&agent, &[("scope", "mcp:read")]).expect(429);
    assert!(reply.text.contains("tokens_per_minute"), "{reply:?}");
    assert_eq!(hub.db.query("SELECT 1 FROM limit_counts").len(), 0);
}

#[test]
fn windows_that_are_over_are_forgotten() {
    let (hub, agent) = ready(&when("@limit(\"1/minute\")", "mcp:read"));
    hub.token(&agent, &[]).expect(200);
    hub.tick().unwrap();
    assert_eq!(hub.db.query("SELECT 1 FROM limit_counts").len(), 1);
    hub.clock.advance(2 * 86_400);
    hub.tick().unwrap();
    assert_eq!(hub.db.query("SELECT 1 FROM limit_counts").len(), 0);
}

// ── Breaches ──

fn status(hub: &Setup, path: &str) -> Value {
    hub.admin("GET", path).send().expect(200).json()["status"].clone()
}

#[test]
fn a_breach_suspends_whose_uses_count_once_a_window() {
    for (by, kind) in [("", "identity"), (" client", "client"), (" user", "identity")] {
        let annotations = format!("@limit(\"1/hour{by}\") @on_breach(\"suspend\")");
        let (hub, agent) = ready(&when(&annotations, "mcp:read"));
        hub.token(&agent, &[]).expect(200);
        let path = match kind {
            "client" => format!("clients/{}", agent.client_id),
            _ => {
                let id = &hub.db.query("SELECT id FROM identities WHERE subject LIKE 'client%' ORDER BY place DESC")[0];
                format!("identities/{}", id["id"].as_str().unwrap())
            }
        };
        assert_eq!(status(&hub, &path), "active");
        over(&hub.token(&agent, &[]), 3_600);
        assert_eq!(status(&hub, &path), "suspended", "{by}");
        let events = hub.events_of(&format!("{kind}.suspended"));
        assert_eq!(events.len(), 1);
        assert!(events[0]["detail"].as_str().unwrap().starts_with("agent, statement 1, permits 1/hour"), "{events:?}");
        assert!(matches!(hub.token(&agent, &[]).status, 400 | 401), "it is stopped");
        // Who lets it go on is not undone in the same window, and the limit holds.
        hub.admin("POST", &[&path, "/resume"].concat()).send().expect(200);
        over(&hub.token(&agent, &[]), 3_600);
        assert_eq!(status(&hub, &path), "active");
        hub.clock.advance(3_600);
        hub.token(&agent, &[]).expect(200);
        over(&hub.token(&agent, &[]), 3_600);
        assert_eq!(status(&hub, &path), "suspended", "in the next window again");
        assert_eq!(status(&hub, "tenants/main"), "active");
    }
}

#[test]
fn breaches_at_once_suspend_once() {
    for seed in 0..10 {
        let (hub, agent) = ready(&when("@limit(\"1/hour\") @on_breach(\"suspend\")", "mcp:read"));
        hub.token(&agent, &[]).expect(200);
        let isolates: Vec<Isolate> = (0..4).map(|_| hub.isolate()).collect();
        let all = isolates.iter().map(|one| hub.token_call(&agent, &[]).on(one).future()).collect();
        let replies = hub.together(seed, all);
        assert!(replies.iter().all(|reply| reply.status != 200), "{replies:?}");
        assert_eq!(hub.events_of("identity.suspended").len(), 1, "{seed}");
    }
}

// ── Quiet hours ──

#[test]
fn a_permit_does_not_hold_in_its_quiet_hours_and_another_one_may() {
    // It is noon in UTC, and 13:00 in Berlin.
    let (hub, agent) = ready(&when("@quiet(\"12:30-14:00\") @zone(\"Europe/Berlin\")", "mcp:read"));
    let reply = hub.token(&agent, &[]).expect(400);
    assert_eq!(reply.error(), "invalid_scope");
    assert!(reply.text.contains("other hours"), "{reply:?}");
    let event = last(&hub, "token.refused");
    assert_eq!((&event["reason"], &event["detail"]), (&json!("QuietHours"), &json!("agent is quiet at this hour")));
    let refused = json!({"scope": "mcp:read", "because": "quiet", "policies": ["agent"]});
    assert_eq!(event["scope_refused"][0], refused);
    hub.put_policy("other", &when("@ttl(\"60\")", "mcp:read"));
    assert_eq!(hub.token(&agent, &[]).expect(200).json()["expires_in"], 60);
    hub.admin("DELETE", "policies/other").send().expect(204);
    hub.clock.advance(3_600);
    hub.token(&agent, &[]).expect(200);
    hub.put_policy("agent", &when("@quiet(\"22:00-06:00\")", "mcp:read"));
    hub.token(&agent, &[]).expect(200);
    hub.clock.advance(9 * 3_600);
    hub.token(&agent, &[]).expect(400);
    hub.clock.advance(8 * 3_600);
    hub.token(&agent, &[]).expect(200);
}

// ── Bound tokens ──

fn proof(hub: &Setup, key: &Signer, jti: &str) -> String {
    let claims =
        json!({"jti": jti, "htm": "POST", "htu": "https://id.example/t/main/token", "iat": hub.clock.seconds()});
    key.proof(&claims)
}

#[test]
fn a_permit_may_want_a_token_that_is_bound_to_a_key() {
    let (hub, agent) = ready(&(when("@bind(\"dpop\")", "mcp:write") + &when("", "mcp:read")));
    assert_eq!(hub.token(&agent, &[]).expect(200).json()["scope"], "mcp:read");
    let reply = hub.token(&agent, &[("scope", "mcp:write")]).expect(400);
    assert_eq!(reply.error(), "invalid_dpop_proof");
    assert!(reply.text.contains("sender-constrained"), "{reply:?}");
    let event = last(&hub, "token.refused");
    assert_eq!((&event["reason"], &event["detail"]), (&json!("BoundTokenRequired"), &json!("agent requires: dpop")));
    assert_eq!(event["scope_refused"][0]["because"], "requirement");
    let proof = proof(&hub, &Signer::new(Alg::Es256, 1), "1");
    let bound = hub.token_call(&agent, &[]).header("dpop", &proof).send().expect(200).json();
    assert_eq!((&bound["token_type"], &bound["scope"]), (&json!("DPoP"), &json!("mcp:read mcp:write")));
}

// ── Leases ──

/// A resource server that leases for the agent.
struct Scene {
    hub: Setup,
    agent: Credentials,
    server: Credentials,
}

impl Scene {
    fn new(annotations: &str) -> Self {
        let hub = Setup::new();
        let agent = hub.agent("agent", "mcp:read");
        let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
        let cedar = format!("{annotations} permit(principal, action == Action::\"lease\", resource);");
        hub.put_policy("lease", &cedar);
        let secret = json!({
            "type": "service_account", "client_email": "robot@demo.iam.gserviceaccount.com", "private_key": rsa_pem(11),
            "private_key_id": "k", "token_uri": "https://oauth2.googleapis.com/token",
        });
        let connection = json!({"kind": "google_service_account", "config": {"scopes": [READONLY]}, "secret": secret});
        hub.admin("PUT", "connections/warehouse").json(&connection).send().expect(201);
        let answer = json!({"access_token": "ya29.token", "expires_in": 3_600, "token_type": "Bearer"});
        hub.fetch.answer(move |_| Scripted::json(200, answer.clone()));
        Self { hub, agent, server }
    }

    fn call(&self, connection: &str, token: &str) -> Call<'_> {
        let path = format!("/t/main/connections/{connection}/token");
        self.hub.call("POST", &path).basic(&self.server).form(&[("subject_token", token)])
    }

    fn lease(&self) -> Reply {
        self.call("warehouse", &self.hub.access_token(&self.agent, "mcp:read")).send()
    }
}

#[test]
fn a_lease_is_a_use_once_although_it_is_decided_twice() {
    let scene = Scene::new("@limit(\"2/hour\")");
    // The first waits for the provider, and is decided again.
    for _ in 0..2 {
        scene.lease().expect(200);
    }
    let asked = scene.hub.faults.calls(Port::Fetch);
    over(&scene.lease(), 3_600);
    assert_eq!(scene.hub.faults.calls(Port::Fetch), asked, "the provider is not asked");
    let event = last(&scene.hub, "lease.refused");
    assert_eq!((&event["reason"], &event["connection"]), (&json!("LimitReached"), &json!("warehouse")));
    assert!(event["decision"].is_string(), "{event}");
    // A connection that is not there looks as it always does.
    let token = scene.hub.access_token(&scene.agent, "mcp:read");
    assert_eq!(scene.call("elsewhere", &token).send().expect(403).error(), "access_denied");
}

#[test]
fn a_breach_at_a_lease_suspends_the_agent_and_not_its_resource_server() {
    let scene = Scene::new("@limit(\"1/hour client\") @on_breach(\"suspend\")");
    scene.lease().expect(200);
    over(&scene.lease(), 3_600);
    assert_eq!(status(&scene.hub, &format!("clients/{}", scene.agent.client_id)), "suspended");
    assert_eq!(status(&scene.hub, &format!("clients/{}", scene.server.client_id)), "active");
}

#[test]
fn what_require_names_is_never_what_another_annotation_means() {
    let hub = Setup::new();
    for what in ["dpop", "limit", "details payment", "mfa", "Approval"] {
        let cedar = when(&format!("@id(\"x\")\n  @require(\"{what}\")"), "mcp:read");
        let problem = hub.admin("PUT", "policies/agent").json(&json!({"cedar": cedar})).send().expect(400).json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("line 2, column 3: @require takes `approval`"), "{detail}");
    }
    for what in ["approval", "approval:owner", "step_up"] {
        hub.put_policy("agent", &when(&format!("@require(\"{what}\")"), "mcp:read"));
    }
}

#[test]
fn leases_at_once_never_pass_a_limit() {
    for seed in 0..5 {
        let scene = Scene::new("@limit(\"2/hour\")");
        let token = scene.hub.access_token(&scene.agent, "mcp:read");
        let isolates: Vec<Isolate> = (0..3).map(|_| scene.hub.isolate()).collect();
        let all = isolates.iter().cycle().take(6).map(|one| scene.call("warehouse", &token).on(one).future());
        let replies = scene.hub.together(seed, all.collect());
        assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 2, "{seed}: {replies:?}");
    }
}

#[test]
fn a_lease_may_want_a_bound_token_whether_the_connection_is_there_or_not() {
    let scene = Scene::new("@bind(\"dpop\")");
    let plain = scene.hub.access_token(&scene.agent, "mcp:read");
    for connection in ["warehouse", "elsewhere"] {
        let reply = scene.call(connection, &plain).send().expect(400);
        assert_eq!(reply.error(), "invalid_dpop_proof", "{reply:?}");
        assert_eq!(last(&scene.hub, "lease.refused")["reason"], "BoundTokenRequired");
    }
    let proof = proof(&scene.hub, &Signer::new(Alg::Es256, 1), "1");
    let bound = scene.hub.token_call(&scene.agent, &[]).header("dpop", &proof).send().access_token();
    scene.call("warehouse", &bound).send().expect(200);
}

#[test]
fn a_connection_in_its_quiet_hours_looks_like_one_that_is_not_there() {
    let scene = Scene::new("@quiet(\"11:00-13:00\")");
    let token = scene.hub.access_token(&scene.agent, "mcp:read");
    let [quiet, absent] = ["warehouse", "elsewhere"].map(|name| scene.call(name, &token).send().expect(403).json());
    assert_eq!((&quiet["error"], &quiet["error_description"]), (&absent["error"], &absent["error_description"]));
}
