//! `admin/policies/replay`, `{id}/shadow` and `{id}/enforce`: what other policies would have decided.

use super::chain::{Chain, TASKS};
use crate::support::hub::RESOURCE;
use crate::support::run::Random;
use crate::support::{Credentials, Setup};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn replay(hub: &Setup, body: Value) -> Value {
    hub.admin("POST", "policies/replay").json(&body).send().expect(200).json()
}

/// Two agents that get tokens by day, and one of them a refusal.
fn scene() -> (Setup, Credentials, Credentials) {
    let hub = Setup::new();
    let one = hub.agent("one", "mcp:read mcp:write");
    let other = hub.agent("other", "mcp:read");
    for hour in 0..4 {
        hub.token(&one, &[("scope", "mcp:read mcp:write")]).expect(200);
        if hour % 2 == 0 {
            hub.access_token(&other, "mcp:read");
        }
        hub.clock.advance(3600);
    }
    hub.events();
    (hub, one, other)
}

const NOON: &str = "forbid(principal, action, resource) when { context.hour == 12 && resource.name == \"mcp:write\" };";

#[test]
fn what_a_change_would_have_denied_is_counted_by_client_and_scope_with_examples() {
    let (hub, one, _) = scene();
    let answer = replay(&hub, json!({"changes": [{"id": "noon", "cedar": NOON}]}));
    assert_eq!((&answer["changed"], &answer["would_deny"], &answer["would_allow"]), (&json!(1), &json!(1), &json!(0)));
    let group = &answer["groups"][0];
    assert_eq!(
        (&group["client"], &group["client_name"], &group["scope"], &group["resource"]),
        (&json!(one.client_id), &json!("one"), &json!("mcp:write"), &json!(RESOURCE))
    );
    assert_eq!(
        (&group["was"], &group["would"], &group["count"], &group["already"]),
        (&json!("allow"), &json!("deny"), &json!(1), &json!(0))
    );
    let example = &answer["examples"][0];
    assert_eq!(example["policies"], json!(["noon"]));
    let event = hub.events().into_iter().find(|event| event["id"] == example["decision"]).unwrap();
    assert_eq!(event["scope_given"], "mcp:read mcp:write");

    // Removing a policy, and putting it into shadow, take away what it gave; of a client alone, only what that one had.
    for change in [json!({"id": "other", "delete": true}), json!({"id": "other", "mode": "shadow"})] {
        let answer = replay(&hub, json!({"changes": [change]}));
        assert_eq!((&answer["changed"], &answer["groups"].as_array().unwrap().len()), (&json!(2), &1), "{answer}");
        let of_one = replay(&hub, json!({"changes": [change], "client_id": one.client_id}));
        assert_eq!((&of_one["changed"], &of_one["decisions"]), (&json!(0), &json!(4)));
    }
}

#[test]
fn what_was_refused_and_would_be_given_is_counted_too() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read mcp:write");
    hub.put_policy("agent", "permit(principal, action, resource) when { resource.name == \"mcp:read\" };");
    hub.token(&agent, &[("scope", "mcp:write")]).expect(400);
    hub.token(&agent, &[]).expect(200);
    hub.events();
    let all = json!({"id": "agent", "cedar": "permit(principal, action, resource);"});
    let answer = replay(&hub, json!({"changes": [all], "client_id": agent.client_id}));
    assert_eq!((&answer["changed"], &answer["would_allow"]), (&json!(2), &json!(2)), "{answer}");
    let required = json!({"id": "agent", "cedar": "@require(\"approval\") permit(principal, action, resource);"});
    let answer = replay(&hub, json!({"changes": [required], "client_id": agent.client_id}));
    assert_eq!(answer["would_require"], 3, "{answer}");
    let groups = answer["groups"].as_array().unwrap();
    assert!(groups.iter().all(|group| group["would"] == "require"), "{answer}");
}

#[test]
fn what_the_policies_in_force_say_already_is_told_apart() {
    let (hub, _, _) = scene();
    hub.put_policy("noon", NOON);
    let nothing = replay(&hub, json!({"changes": []}));
    assert_eq!((&nothing["changed"], &nothing["groups"][0]["already"]), (&json!(1), &json!(1)));
    let undone = replay(&hub, json!({"changes": [{"id": "noon", "mode": "off"}]}));
    assert_eq!(undone["changed"], 0);
}

#[test]
fn pages_add_up_to_the_whole_and_nothing_is_written() {
    let (hub, _, _) = scene();
    let changes = json!([{"id": "noon", "cedar": NOON}, {"id": "other", "delete": true}]);
    let whole = replay(&hub, json!({"changes": changes}));
    assert!(whole.get("next_cursor").is_none());
    let before = (hub.db.dump(), hub.trail.dump(), hub.kv.keys());
    let (mut cursor, mut calls) = (None::<Value>, 0);
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    loop {
        let mut body = json!({"changes": changes, "limit": 2});
        if let Some(cursor) = &cursor {
            body["cursor"] = cursor.clone();
        }
        let page = replay(&hub, body);
        for member in ["read", "decisions", "changed", "would_deny"] {
            *sums.entry(member).or_default() += page[member].as_i64().unwrap();
        }
        calls += 1;
        match page.get("next_cursor") {
            Some(next) => cursor = Some(next.clone()),
            None => break,
        }
    }
    assert!(calls > 3);
    for (member, sum) in sums {
        assert_eq!(whole[member], sum, "{member}");
    }
    assert_eq!((hub.db.dump(), hub.trail.dump(), hub.kv.keys()), before);
    let until = hub.clock.seconds() - 3 * 3600;
    assert!(
        replay(&hub, json!({"changes": changes, "until": until}))["decisions"].as_i64() < whole["decisions"].as_i64()
    );
    assert_eq!(replay(&hub, json!({"changes": changes, "since": hub.clock.seconds() + 1}))["read"], 0);
}

#[test]
fn one_call_puts_a_bounded_number_of_questions_and_the_next_one_goes_on() {
    let hub = Setup::new();
    let names: Vec<String> = (0..60).map(|n| format!("s{n}")).collect();
    let scopes: Vec<Value> = names.iter().map(|name| json!({"name": name, "description": name})).collect();
    hub.create_resource(json!({"scopes": scopes}));
    let agent = hub.create_client(json!({"allowed_resources": [RESOURCE]}));
    // No two questions are equal: a policy reads the second.
    let cedar =
        format!("permit(principal == Client::\"{}\", action, resource) when {{ context.now > 0 }};", agent.client_id);
    hub.put_policy("agent", &cedar);
    for _ in 0..40 {
        hub.clock.advance(1);
        hub.token(&agent, &[]).expect(200);
    }
    hub.events();
    let of = |cursor: Option<&Value>| {
        let mut body = json!({"changes": [], "client_id": agent.client_id});
        body.as_object_mut().unwrap().extend(cursor.map(|cursor| ("cursor".to_owned(), cursor.clone())));
        replay(&hub, body)
    };
    let first = of(None);
    let second = of(Some(&first["next_cursor"]));
    let counts = [&first, &second].map(|answer| answer["decisions"].as_u64().unwrap());
    assert!(counts[0] < 40 && counts[0] + counts[1] == 40, "{counts:?}");
    assert_eq!(second["next_cursor"], Value::Null);
}

#[test]
fn a_change_that_cannot_be_made_is_refused_by_what_is_wrong_with_it() {
    let (hub, _, _) = scene();
    let refused = |changes: Value| {
        let reply = hub.admin("POST", "policies/replay").json(&json!({"changes": changes})).send().expect(400).json();
        (reply["reason"].as_str().unwrap().to_owned(), reply["detail"].as_str().unwrap().to_owned())
    };
    let (reason, detail) =
        refused(json!([{"id": "p", "cedar": "permit(principal, action, resource) when { context.a };"}]));
    assert_eq!(reason, "InvalidPolicy");
    assert!(detail.starts_with("p: line 1, column"), "{detail}");
    for (changes, named) in [
        (json!([{"id": "nobody", "delete": true}]), "a policy that is not there"),
        (json!([{"id": "nobody", "mode": "off"}]), "a policy that is not there"),
        (json!([{"id": "one"}]), "each of `changes`"),
        (json!([{"id": "one", "mode": "off", "delete": true}]), "each of `changes`"),
        (json!([{"id": "one", "mode": "off"}, {"id": "one", "delete": true}]), "twice"),
        (json!([{"id": "one", "mode": "on"}]), "`changes[0].mode`"),
    ] {
        let (_, detail) = refused(changes);
        assert!(detail.contains(named), "{detail}");
    }
}

#[test]
fn equal_questions_that_are_asked_once_are_answered_as_each_alone() {
    let hub = Setup::new();
    let agents: Vec<Credentials> = (0..3).map(|n| hub.agent(&format!("agent-{n}"), "mcp:read mcp:write")).collect();
    let mut random = Random(10);
    for _ in 0..60 {
        let agent = &agents[random.below(3)];
        let scope = ["mcp:read", "mcp:write", "mcp:read mcp:write"][random.below(3)];
        let ip = ["10.0.0.1", "10.0.0.2", "192.0.2.1"][random.below(3)];
        hub.token_call(agent, &[("scope", scope)]).ip(ip).send().expect(200);
        hub.clock.advance([7, 60, 1_000, 3_600][random.below(4)]);
    }
    hub.events();
    for condition in [
        "context.hour == 13",
        "context.minute < 20",
        "context.now < 1767730000",
        "context has ip && context.ip.isInRange(ip(\"192.0.2.0/24\"))",
        "resource.name == \"mcp:write\" && context.scopes.contains(\"mcp:read\")",
        "principal.name == \"agent-1\"",
    ] {
        let cedar = format!("@zone(\"Asia/Kolkata\") forbid(principal, action, resource) when {{ {condition} }};");
        let changes = json!([{"id": "no", "cedar": cedar}]);
        let together = replay(&hub, json!({"changes": changes, "limit": 5_000}));
        let (mut changed, mut denied, mut cursor) = (0, 0, None::<Value>);
        loop {
            let mut body = json!({"changes": changes, "limit": 1});
            if let Some(cursor) = &cursor {
                body["cursor"] = cursor.clone();
            }
            let page = replay(&hub, body);
            changed += page["changed"].as_i64().unwrap();
            denied += page["would_deny"].as_i64().unwrap();
            match page.get("next_cursor") {
                Some(next) => cursor = Some(next.clone()),
                None => break,
            }
        }
        assert_eq!((&together["changed"], &together["would_deny"]), (&json!(changed), &json!(denied)), "{condition}");
        assert!(changed > 0, "{condition}");
    }
}

#[test]
fn a_decision_whose_question_is_not_there_is_skipped_and_says_why() {
    let (hub, one, _) = scene();
    hub.trail.execute(&format!(
        "UPDATE events SET body = json_remove(body, '$.question') WHERE client = '{}' AND type = 'token.issued'",
        one.client_id
    ));
    let answer = replay(&hub, json!({"changes": [{"id": "noon", "cedar": NOON}], "client_id": one.client_id}));
    assert_eq!((&answer["decisions"], &answer["changed"]), (&json!(4), &json!(0)));
    assert_eq!(answer["skipped"][0]["count"], 4);
    assert!(answer["skipped"][0]["why"].as_str().unwrap().contains("earlier version"), "{answer}");
}

#[test]
fn a_decision_whose_event_has_lost_members_is_skipped_and_not_explained_and_says_why() {
    let (hub, one, _) = scene();
    let ids: Vec<Value> = hub
        .events_of("token.issued")
        .into_iter()
        .filter(|event| event["client"] == one.client_id)
        .map(|event| event["id"].clone())
        .collect();
    let any = json!({"id": "any", "cedar": "forbid(principal, action, resource);"});
    let ask = || replay(&hub, json!({"changes": [any], "client_id": one.client_id}));
    assert_eq!((&ask()["changed"], &ask()["skipped"]), (&json!(4), &json!([])));
    // Whatever it is: of what is left another question could be made, and be taken for one of the others.
    for (id, member) in [(&ids[1], "client_name"), (&ids[2], "question")] {
        let body = json!({"event": id, "members": [member]});
        assert_eq!(hub.admin("POST", "events/erase").json(&body).send().expect(200).json()["erased"], 1, "{member}");
    }
    let answer = ask();
    assert_eq!((&answer["decisions"], &answer["changed"]), (&json!(4), &json!(2)), "{answer}");
    assert_eq!(answer["skipped"], json!([{"why": "members of its event were erased", "count": 2}]));
    let issued = replay(&hub, json!({"changes": [any], "client_id": one.client_id, "action": "issue"}));
    assert_eq!((&issued["decisions"], &issued["skipped"]), (&answer["decisions"], &answer["skipped"]));
    for id in [&ids[1], &ids[2]] {
        let refused = hub.admin("POST", "policies/explain").json(&json!({"decision": id})).send().expect(400).json();
        let told = refused["detail"].as_str().unwrap();
        assert_eq!(told, "the decision cannot be explained: members of its event were erased");
    }
}

#[test]
fn a_decision_whose_client_or_user_is_gone_is_skipped_and_says_why() {
    let chain = Chain::new();
    let hub = &chain.hub;
    chain.user_token(&chain.planner, TASKS, "mcp:read");
    chain.own_token(&chain.worker, RESOURCE);
    chain.own_token(&chain.planner, RESOURCE);
    hub.events();
    let ask = |client: &Credentials| {
        let none = [json!({"id": "none", "cedar": "forbid(principal, action, resource);"})];
        replay(hub, json!({"changes": none, "client_id": client.client_id}))
    };
    assert_eq!((&ask(&chain.planner)["changed"], &ask(&chain.worker)["changed"]), (&json!(2), &json!(1)));
    hub.db.execute(&format!("DELETE FROM users WHERE id = '{}'", chain.user));
    hub.db.execute(&format!("DELETE FROM clients WHERE id = '{}'", chain.worker.client_id));
    hub.restart();
    let (user, client) = (ask(&chain.planner), ask(&chain.worker));
    assert_eq!(user["skipped"], json!([{"why": "its user is gone", "count": 1}]));
    assert_eq!((&user["decisions"], &user["changed"]), (&json!(2), &json!(1)), "{user}");
    assert_eq!(client["skipped"], json!([{"why": "its client is gone", "count": 1}]));
    assert_eq!((&client["decisions"], &client["changed"]), (&json!(1), &json!(0)), "{client}");
}

#[test]
fn what_a_person_has_allowed_then_is_no_change_where_a_person_would_be_asked_again() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read mcp:write");
    // For the agent alone: administrators get their tokens without asking anybody.
    let free = format!("permit(principal == Client::\"{}\", action, resource);", agent.client_id);
    hub.put_policy("agent", &format!("@require(\"approval\") {free}"));
    let asked = hub.token(&agent, &[("scope", "mcp:write")]).expect(400).json();
    let decide = format!("approvals/{}/decide", asked["approval_id"].as_str().unwrap());
    hub.admin("POST", &decide).json(&json!({"decision": "approve"})).send().expect(200);
    hub.token(&agent, &[("scope", "mcp:write")]).expect(200);
    hub.events();
    let of_agent = |changes: Value| replay(&hub, json!({"changes": changes, "client_id": agent.client_id}));
    assert_eq!(of_agent(json!([]))["changed"], 0);
    // Without the requirement the refusal while the person was asked would have been none.
    let answer = of_agent(json!([{"id": "agent", "cedar": free}]));
    assert_eq!((&answer["decisions"], &answer["would_allow"]), (&json!(2), &json!(1)), "{answer}");
    assert_eq!(answer["groups"][0]["was"], "require");
    let answer = of_agent(json!([{"id": "agent", "delete": true}]));
    assert_eq!(answer["would_deny"], 2, "{answer}");
}

// ── Shadow ──

fn put(hub: &Setup, id: &str, cedar: &str, mode: &str) {
    hub.admin("PUT", &format!("policies/{id}")).json(&json!({"cedar": cedar, "mode": mode})).send().expect(201);
}

#[test]
fn a_shadow_policy_reports_what_it_would_have_denied_and_allowed_for_whom_and_since_when() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read mcp:write");
    hub.put_policy("agent", "permit(principal, action, resource) when { resource.name == \"mcp:read\" };");
    put(&hub, "no-read", "forbid(principal, action, resource) when { resource.name == \"mcp:read\" };", "shadow");
    put(&hub, "write", "permit(principal, action, resource) when { resource.name == \"mcp:write\" };", "shadow");
    let start = hub.clock.seconds();
    for _ in 0..3 {
        hub.token(&agent, &[("scope", "mcp:read mcp:write")]).expect(200);
        hub.clock.advance(60);
    }
    hub.events();
    let report =
        |id: &str, query: &str| hub.admin("GET", &format!("policies/{id}/shadow{query}")).send().expect(200).json();
    let denies = report("no-read", "");
    assert_eq!(
        (&denies["decisions"], &denies["would_deny"], &denies["would_allow"]),
        (&json!(3), &json!(3), &json!(0))
    );
    let group = &denies["groups"][0];
    assert_eq!((&group["client"], &group["scope"]), (&json!(agent.client_id), &json!("mcp:read")));
    assert_eq!((&denies["first_at"], &denies["last_at"]), (&json!(start), &json!(start + 120)));
    let allows = report("write", "");
    assert_eq!((&allows["would_allow"], &allows["groups"][0]["scope"]), (&json!(3), &json!("mcp:write")));
    assert_eq!(report("write", &format!("?since={}", start + 61))["decisions"], 1);
    assert_eq!(report("agent", "")["decisions"], 0);
    hub.admin("GET", "policies/nobody/shadow").send().expect(404);
}

#[test]
fn one_call_turns_a_policy_on_for_good_and_a_second_one_changes_nothing() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    put(&hub, "no", "forbid(principal, action, resource) when { resource.name == \"mcp:read\" };", "shadow");
    hub.token(&agent, &[]).expect(200);
    let enforce = || hub.admin("POST", "policies/no/enforce").send().expect(200);
    let first = enforce();
    assert_eq!(first.json()["mode"], "enforce");
    hub.token(&agent, &[]).expect(400);
    let events = hub.events_of("policy.put").len();
    let second = enforce();
    assert_eq!((second.json(), second.header("etag")), (first.json(), first.header("etag")));
    assert_eq!(hub.events_of("policy.put").len(), events);
    hub.admin("POST", "policies/no/enforce").header("if-match", "\"v1\"").send().expect(412);
    hub.admin("POST", "policies/nobody/enforce").send().expect(404);
}
