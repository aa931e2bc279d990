//! Tests that are stored beside policies, and templates.

use crate::support::hub::RESOURCE;
use crate::support::{Reply, Setup};
use serde_json::{Value, json};

const ALL: &str = "permit(principal, action == Action::\"issue\", resource);";
const NO_WRITES: &str = "forbid(principal, action, resource) when { resource.name == \"mcp:write\" };";

/// Nothing of the resource: the administrator goes on.
fn forbid_all() -> String {
    format!("forbid(principal, action, resource in Resource::\"{RESOURCE}\");")
}

fn both() -> String {
    [ALL, NO_WRITES].concat()
}

fn question(scopes: &[&str]) -> Value {
    json!({"client_id": "client_a", "resource": RESOURCE, "scopes": scopes})
}

fn test(name: &str, question: Value, expect: &str) -> Value {
    json!({"name": name, "question": question, "expect": expect})
}

/// Writes a policy, whatever is there.
fn put(hub: &Setup, id: &str, body: &Value) -> Reply {
    let path = format!("policies/{id}");
    let known = hub.admin("GET", &path).send();
    let call = hub.admin("PUT", &path).json(body);
    match known.header("etag") {
        Some(etag) => call.header("if-match", etag).send(),
        None => call.send(),
    }
}

#[track_caller]
fn fails(reply: &Reply, text: &str) {
    let problem = reply.json();
    assert_eq!((reply.status, &problem["reason"]), (409, &json!("PolicyTestFailed")), "{reply:?}");
    assert!(problem["detail"].as_str().unwrap().contains(text), "{problem}");
}

#[test]
fn a_policy_is_written_with_tests_that_hold_and_shown_with_them() {
    let hub = Setup::new();
    let mut narrow = test("writing is left out", question(&["mcp:read", "mcp:write"]), "allow");
    narrow["scopes"] = json!(["mcp:read"]);
    let tests = json!([narrow, test("reading", question(&["mcp:read"]), "allow")]);
    let body = json!({"cedar": both(), "tests": tests});
    let made = put(&hub, "p", &body).expect(201).json();
    assert_eq!(made["tests"], tests);
    let shown = hub.admin("GET", "policies/p").send().expect(200);
    assert_eq!(shown.json()["tests"], tests);
    // What was read goes back, and changes nothing.
    let etag = shown.header("etag").unwrap().to_owned();
    let same = hub.admin("PUT", "policies/p").header("if-match", &etag).json(&shown.json()).send().expect(200);
    assert_eq!(same.header("etag"), Some(&*etag));
    // Without `tests` it has none.
    let plain = put(&hub, "p", &json!({"cedar": ALL})).expect(200).json();
    assert_eq!(plain.get("tests"), None);
}

#[test]
fn a_failing_test_refuses_the_change_and_says_what_was_expected_and_what_came() {
    let hub = Setup::new();
    let tests = json!([
        test("nobody writes", question(&["mcp:write"]), "deny"),
        test("everybody reads", question(&["mcp:read"]), "allow"),
    ]);
    let kv = hub.kv.keys();
    let reply = put(&hub, "p", &json!({"cedar": ALL, "tests": tests}));
    fails(&reply, "p: test `nobody writes`: expected deny, got allow for `mcp:write`");
    assert!(!reply.text.contains("everybody"));
    hub.admin("GET", "policies/p").send().expect(404);
    assert_eq!(hub.kv.keys(), kv, "nothing is left behind");
    let refused = put(&hub, "p", &json!({"cedar": NO_WRITES, "tests": tests}));
    fails(&refused, "p: test `everybody reads`: expected allow, got deny (no_permit) for `mcp:read`");
    put(&hub, "p", &json!({"cedar": both(), "tests": tests})).expect(201);
    fails(&put(&hub, "p", &json!({"cedar": ALL, "tests": tests})), "nobody writes");
}

#[test]
fn a_change_of_another_policy_is_held_to_the_tests_that_it_can_affect() {
    let hub = Setup::new();
    let agent = "permit(principal == Client::\"client_a\", action == Action::\"issue\", resource);";
    let tests = json!([test("it may not write", question(&["mcp:write"]), "deny")]);
    put(&hub, "guard", &json!({"cedar": NO_WRITES, "tests": tests})).expect(201);
    put(&hub, "agent", &json!({"cedar": agent})).expect(201);
    let other = "permit(principal, action == Action::\"issue\", resource) when { resource.name == \"mcp:write\" };";
    put(&hub, "other", &json!({"cedar": other})).expect(201);
    // A guard that would let it: the tests of the guard are its own.
    let narrower = NO_WRITES.replace("principal", "principal == Client::\"client_b\"");
    fails(&put(&hub, "guard", &json!({"cedar": narrower, "tests": tests})), "guard: test `it may not write`");
    // The tests hold another policy, in its own shard and in the one that every question reads.
    let guard = json!([test("reading stays", question(&["mcp:read"]), "allow")]);
    put(&hub, "stays", &json!({"cedar": NO_WRITES, "tests": guard})).expect(201);
    let expected = "stays: test `reading stays`: expected allow, got deny (no_permit)";
    fails(&hub.admin("DELETE", "policies/agent").send(), expected);
    fails(&put(&hub, "agent", &json!({"cedar": agent.replace("permit", "forbid")})), "stays: test `reading stays`");
    fails(&put(&hub, "more", &json!({"cedar": forbid_all()})), "(forbidden: more)");
    // What no question of a test reaches is written.
    let elsewhere = "forbid(principal == Client::\"client_z\", action, resource);";
    put(&hub, "elsewhere", &json!({"cedar": elsewhere})).expect(201);
}

#[test]
fn a_forced_change_is_an_event_that_names_what_fails() {
    let hub = Setup::new();
    let tests = json!([test("nobody writes", question(&["mcp:write"]), "deny")]);
    put(&hub, "p", &json!({"cedar": ALL, "tests": tests, "force": true})).expect(201);
    let [event] = <[Value; 1]>::try_from(hub.events_of("policy.forced")).unwrap();
    assert_eq!(event["target"], "p");
    assert!(event["detail"].as_str().unwrap().contains("p: test `nobody writes`"), "{event}");
    assert_eq!(hub.events_of("policy.put").len(), 1);
    let shown = hub.admin("GET", "policies/p").send().expect(200).json();
    assert_eq!(shown.get("force"), None);
    // Forced without need, nothing is told.
    put(&hub, "q", &json!({"cedar": NO_WRITES, "force": true})).expect(201);
    assert_eq!(hub.events_of("policy.forced").len(), 1);
    // A removal is a change, too.
    fails(&hub.admin("DELETE", "policies/q").send(), "p: test `nobody writes`");
    hub.admin("DELETE", "policies/q?force=false").send().expect(400);
    hub.admin("DELETE", "policies/q?force=true").send().expect(204);
    assert_eq!(hub.events_of("policy.forced").len(), 2);
    hub.admin("DELETE", "policies/p").send().expect(204);
}

#[test]
fn tests_run_as_if_their_policy_were_enforced_and_those_of_one_that_is_not_hold_nobody_else() {
    let hub = Setup::new();
    let tests = json!([test("reading", question(&["mcp:read"]), "allow")]);
    for mode in ["shadow", "off"] {
        put(&hub, "p", &json!({"cedar": ALL, "mode": mode, "tests": tests})).expect(if mode == "off" {
            200
        } else {
            201
        });
        fails(&put(&hub, "p", &json!({"cedar": NO_WRITES, "mode": mode, "tests": tests})), "no_permit");
    }
    // It is off: that another policy forbids what it expects is no matter.
    put(&hub, "no", &json!({"cedar": forbid_all()})).expect(201);
    fails(&put(&hub, "p", &json!({"cedar": ALL, "tests": tests})), "forbidden: no");
}

#[test]
fn a_test_says_all_that_it_is_about() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    let cedar = "@zone(\"Europe/Berlin\") @ttl(\"60\") permit(principal, action, resource) when { \
                 principal.tags.contains(\"t\") && context.hour >= 13 && context has subject && context.subject.groups.contains(\"g\") };";
    let tagged = |more: Value| {
        let mut question = json!({
            "client_id": agent.client_id, "tags": ["t"], "user": "user_u", "groups": ["g"], "resource": RESOURCE,
            "scopes": ["x"],
        });
        question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        question
    };
    let mut whole = test("noon in UTC", tagged(json!({})), "allow");
    whole["ttl"] = json!(60);
    let tests = json!([
        whole,
        test("an hour before", tagged(json!({"at": "2026-01-15T11:59:59Z"})), "deny"),
        test("the client's own tags are no matter", tagged(json!({"tags": []})), "deny"),
    ]);
    put(&hub, "agent", &json!({"cedar": cedar, "tests": tests})).expect(200);
    hub.clock.advance(86_400 * 30);
    hub.admin("PUT", &format!("clients/{}", agent.client_id)).header("if-match", "*");
    put(&hub, "agent", &json!({"cedar": cedar, "description": "again", "tests": tests})).expect(200);
}

#[test]
fn what_a_permit_requires_is_expected_by_name() {
    let hub = Setup::new();
    let cedar = forbid_all().replace("forbid", "@require(\"approval\") @bind(\"dpop\") permit");
    let ask = |more: Value, require: Value, expect: &str| {
        let mut question = question(&["mcp:read"]);
        question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut test = test("t", question, expect);
        if require != Value::Null {
            test["require"] = require;
        }
        put(&hub, "p", &json!({"cedar": cedar, "tests": [test]}))
    };
    fails(&ask(json!({}), Value::Null, "allow"), "expected allow, got allow, requiring approval, dpop");
    ask(json!({}), json!(["dpop", "approval"]), "allow").expect(201);
    ask(json!({"dpop": true}), json!(["approval"]), "allow").expect(200);
    ask(json!({"dpop": true}), Value::Null, "deny").expect(200);
}

#[test]
fn a_test_answers_as_the_decision_does() {
    let hub = Setup::new();
    let put = |cedar: &str, action: &str, scope: &str, expect: &str| {
        let question = json!({"client_id": "client_a", "action": action, "resource": RESOURCE, "scopes": [scope]});
        put(&hub, "p", &json!({"cedar": cedar, "tests": [test("t", question, expect)]}))
    };
    // Impersonation is an exchange as well.
    let impersonate = "permit(principal, action == Action::\"impersonate\", resource);";
    let exchange = "permit(principal, action == Action::\"exchange\", resource);";
    fails(&put(impersonate, "impersonate", "mcp:read", "allow"), "got deny");
    put(&[impersonate, exchange].concat(), "impersonate", "mcp:read", "allow").expect(201);
    // Nothing has to permit a consent or a registration.
    for action in ["consent", "register"] {
        put(ALL, action, "mcp:read", "allow").expect(200);
        let forbid = format!(
            "forbid(principal, action == Action::\"{action}\", resource) when {{ resource.name == \"mcp:read\" }};"
        );
        put(&forbid, action, "mcp:read", "deny").expect(200);
        put(&forbid, action, "mcp:write", "allow").expect(200);
    }
}

#[test]
fn tests_are_bounded_and_what_is_wrong_with_them_is_said_by_name() {
    let hub = Setup::new();
    let many = vec![test("t", question(&["a"]), "allow"); 21];
    let long = test("long", json!({"resource": RESOURCE, "scopes": vec!["x".repeat(500); 40]}), "allow");
    for (tests, word) in [
        (json!(many), "20"),
        (json!([long]), "16384"),
        (json!([test("t", json!({"colour": 1}), "allow")]), "`colour` is no member"),
        (json!([test("t", json!({"resource": RESOURCE}), "allow")]), "has to name `scopes`"),
        (json!([test("t", question(&["a"]), "maybe")]), "`tests[0].expect`"),
        (json!([test("", question(&["a"]), "allow")]), "`tests[0].name`"),
        (json!([{"name": "t", "expect": "allow"}]), "`question` is missing"),
        (json!([test("t", question(&["a"]), "allow"), test("t", question(&["a"]), "deny")]), "another test"),
    ] {
        let reply = put(&hub, "p", &json!({"cedar": ALL, "tests": tests})).expect(400);
        assert!(reply.json()["detail"].as_str().unwrap().contains(word), "{word}: {reply:?}");
    }
}

#[test]
fn what_one_change_runs_is_bounded_and_the_event_says_what_was_left_out() {
    let hub = Setup::new();
    let scopes: Vec<String> = (0..50).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let tests: Vec<Value> = (0..5).map(|n| test(&format!("t{n}"), question(&names), "allow")).collect();
    let made = put(&hub, "p", &json!({"cedar": ALL, "tests": tests})).expect(201).json();
    assert_eq!(made["warnings"][0], "1 tests were not run", "who changes it is told");
    assert_eq!(hub.events_of("policy.put")[0]["detail"], "enforce; 1 tests were not run");
    // Agents in many shards: a policy about everything concerns all of them.
    for n in 0..40 {
        let id = format!("client_{n}");
        let cedar = format!("permit(principal == Client::\"{id}\", action, resource);");
        let question = json!({"client_id": id, "resource": RESOURCE, "scopes": ["a"]});
        put(&hub, &format!("a{n}"), &json!({"cedar": cedar, "tests": [test("t", question, "allow")]})).expect(201);
    }
    hub.restart();
    put(&hub, "q", &json!({"cedar": NO_WRITES})).expect(201);
    let detail = hub.events_of("policy.put").pop().unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with("tests were not run"), "{detail}");
}

#[test]
fn the_tests_of_others_are_run_however_many_there_are_and_however_many_the_policy_has_itself() {
    let hub = Setup::new();
    for n in 0..101 {
        let id = format!("client_{n}");
        let cedar = format!("permit(principal == Client::\"{id}\", action, resource);");
        let question = json!({"client_id": id, "resource": RESOURCE, "scopes": ["a"]});
        put(&hub, &format!("a{n:03}"), &json!({"cedar": cedar, "tests": [test("t", question, "allow")]})).expect(201);
    }
    let forbid = "forbid(principal == Client::\"client_100\", action, resource);";
    fails(&put(&hub, "no", &json!({"cedar": forbid})), "a100: test `t`");
    let scopes: Vec<String> = (0..50).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let tests: Vec<Value> = (0..10).map(|n| test(&format!("t{n}"), question(&names), "deny")).collect();
    fails(&put(&hub, "no", &json!({"cedar": forbid, "tests": tests})), "a100: test `t`");
}

#[test]
fn the_templates_are_shown_to_administrators_and_can_be_written_as_they_are() {
    let hub = Setup::new();
    let shown = hub.admin("GET", "policies/templates").send().expect(200).json();
    let templates = shown["items"].as_array().unwrap();
    assert_eq!(templates.len(), 12);
    for template in templates {
        let hub = Setup::new();
        let body =
            json!({"cedar": template["cedar"], "description": template["description"], "tests": template["tests"]});
        let made = put(&hub, template["name"].as_str().unwrap(), &body).expect(201).json();
        let warnings: Vec<&str> = made["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(
            warnings.iter().all(|warning| warning.contains("no client has")
                || warning.contains("no resource")
                || warning.contains("no connection")),
            "{warnings:?}"
        );
    }
    hub.call("GET", "/t/main/admin/policies/templates").send().expect(401);
}
