//! `admin/policies/explain`, and what an event keeps of a question so that it can be explained later.

use super::accounts::{self, Scene as Accounts};
use super::chain::{Chain, TASKS};
use super::connections::{self, READ};
use crate::support::browser::Browser;
use crate::support::hub::{RESOURCE, decode};
use crate::support::{Credentials, Scripted, Setup, Signer};
use serde_json::{Value, json};
use writ::ports::Alg;

fn explain(hub: &Setup, body: Value) -> Value {
    hub.admin("POST", "policies/explain").json(&body).send().expect(200).json()
}

fn detail(hub: &Setup, body: Value) -> String {
    let problem = hub.admin("POST", "policies/explain").json(&body).send().expect(400).json();
    problem["detail"].as_str().unwrap().to_owned()
}

/// An agent whose policy wants the night, and a network.
fn scene() -> (Setup, Credentials) {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let agent = hub.create_client(json!({"client_name": "night", "allowed_resources": [RESOURCE]}));
    let cedar = format!(
        "// The night batch.\n@ttl(\"60\")\npermit (\n    principal == Client::\"{}\",\n    action == Action::\"issue\",\n    \
         resource in Resource::\"{RESOURCE}\"\n)\nwhen {{\n    resource.name == \"mcp:read\" &&\n    context has ip && \
         context.ip.isInRange(ip(\"10.0.0.0/8\"))\n    && context.hour < 4\n}};\n",
        agent.client_id
    );
    hub.put_policy("night", &cedar);
    (hub, agent)
}

#[test]
fn a_refusal_is_explained_with_the_condition_that_failed_its_place_and_what_it_read() {
    let (hub, agent) = scene();
    let refused = hub.token_call(&agent, &[("scope", "mcp:read mcp:write")]).ip("10.1.2.3").send().expect(400).json();
    hub.events();
    let answer = explain(&hub, json!({"decision": refused["decision"]}));
    let read = &answer["answers"][0];
    assert_eq!(
        (&read["scope"], &read["allow"], &read["because"], &read["was"]),
        (&json!("mcp:read"), &json!(false), &json!("no_permit"), &json!("deny"))
    );
    let night = &read["statements"][0];
    let failed = json!({
        "part": "condition", "line": 11, "column": 8, "text": "context.hour < 4", "facts": {"context.hour": 12},
        "because": "`context.hour` is 12; the statement wants less than 4",
    });
    let wanted = json!({
        "policy": "night", "statement": 1, "line": 2, "column": 1, "effect": "permit", "mode": "enforce", "holds": false,
        "failed": failed,
    });
    assert_eq!(*night, wanted);
    let write = &answer["answers"][1]["statements"][0]["failed"];
    assert_eq!((&write["line"], &write["column"]), (&json!(9), &json!(5)));
    assert_eq!(write["because"], "`resource.name` is \"mcp:write\"; the statement wants \"mcp:read\"");
    assert_eq!(answer["question"]["ip"], "10.1.2.3");
    assert_eq!(answer["decided"]["policies_changed_since"], false);
    assert_eq!(answer["decided"]["reason"], "PolicyDenied");

    // The same from nowhere, and at night.
    let question = json!({"client_id": agent.client_id, "resource": RESOURCE, "scopes": ["mcp:read"]});
    let nowhere = explain(&hub, question.clone());
    assert_eq!(
        nowhere["answers"][0]["statements"][0]["failed"]["because"],
        "`context.ip` is absent; the statement wants it present"
    );
    let at = hub.clock.seconds() - 10 * 3600;
    let mut night = question;
    night.as_object_mut().unwrap().extend(json!({"ip": "10.9.9.9", "at": at}).as_object().unwrap().clone());
    let held = &explain(&hub, night)["answers"][0];
    assert_eq!(
        (&held["allow"], &held["policies"], &held["ttl"], &held["statements"][0]["holds"]),
        (&json!(true), &json!(["night"]), &json!(60), &json!(true))
    );
}

#[test]
fn a_token_is_explained_by_its_jti_and_says_that_the_policies_have_changed_since() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    let token = hub.access_token(&agent, "mcp:read");
    hub.events();
    let jti = decode(&token).1["jti"].clone();
    hub.put_policy("agent", "forbid(principal, action, resource) when { resource.name == \"mcp:read\" };");
    let answer = explain(&hub, json!({"jti": jti}));
    let one = &answer["answers"][0];
    assert_eq!((&one["was"], &one["allow"], &one["because"]), (&json!("allow"), &json!(false), &json!("forbidden")));
    assert_eq!(answer["decided"]["policies_changed_since"], true);
    assert_eq!(answer["decided"]["type"], "token.issued");
    assert!(detail(&hub, json!({"jti": "nothing"})).contains("`jti` is of no token"));
    assert!(detail(&hub, json!({"decision": "nothing"})).contains("`decision` names no event"));
    // Another tenant's administrators find nothing.
    hub.create_tenant("other");
    hub.admin_of("other", "POST", "policies/explain").json(&json!({"jti": jti})).send().expect(400);
}

#[test]
fn what_a_question_leaves_out_is_as_the_client_is_registered_and_what_it_has_wrong_is_named() {
    let (hub, agent) = scene();
    let answer = explain(&hub, json!({"client_id": agent.client_id, "resource": RESOURCE}));
    let question = &answer["question"];
    assert_eq!(
        (&question["grant_type"], &question["auth_method"], &question["action"], &question["scopes"]),
        (
            &json!("client_credentials"),
            &json!("client_secret_basic"),
            &json!("issue"),
            &json!(["mcp:read", "mcp:write"])
        )
    );
    assert_eq!(answer["answers"].as_array().unwrap().len(), 2);
    let id = &agent.client_id;
    for (body, named) in [
        (json!({}), "`client_id` is missing"),
        (json!({"client_id": "nobody", "resource": RESOURCE}), "`client_id` names no client"),
        (json!({"client_id": id}), "about the `scopes` of a `resource`"),
        (json!({"client_id": id, "user": "user_x", "resource": RESOURCE}), "`user` names no user"),
        (json!({"client_id": id, "resource": "https://nowhere.example/"}), "`resource` names no resource"),
        (json!({"client_id": id, "connection": "k", "action": "issue"}), "goes with the action `lease`"),
        (json!({"client_id": id, "resource": RESOURCE, "method": "GET"}), "go with a `connection`"),
        (json!({"client_id": id, "decision": "x"}), "`decision` alone"),
        (json!({"client_id": id, "resource": RESOURCE, "ip": "here"}), "`ip` must be an IP address"),
        (json!({"client_id": id, "resource": RESOURCE, "action": "fly"}), "`action` must be one of"),
        (json!({"client_id": id, "colour": 1}), "`colour` is unknown"),
    ] {
        let told = detail(&hub, body);
        assert!(told.contains(named), "{told}");
    }
}

#[test]
fn beyond_policy_the_ceiling_of_the_client_and_what_is_registered_are_named() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    hub.create_resource(json!({"id": "other", "resource": "https://other.example/"}));
    let ask = |resource: &str, scope: &str| {
        let answer = explain(&hub, json!({"client_id": agent.client_id, "resource": resource, "scopes": [scope]}));
        let one = answer["answers"][0].clone();
        (one["allow"].clone(), one["because"].clone(), one["said"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(ask(RESOURCE, "mcp:read"), (json!(true), Value::Null, String::new()));
    for (resource, scope, because, said) in [
        (RESOURCE, "mcp:write", "ceiling", "beyond the `scope`"),
        (RESOURCE, "mcp:fly", "not_registered", "no such scope"),
        ("https://nowhere.example/", "mcp:read", "not_registered", "no resource of this name"),
        ("https://other.example/", "mcp:read", "ceiling", "`allowed_resources`"),
    ] {
        let (allow, why, told) = ask(resource, scope);
        assert_eq!((allow, why), (json!(false), json!(because)), "{resource} {scope}");
        assert!(told.contains(said), "{told}");
    }
    // Without any statement about it, the answer says to write one.
    let other = hub.create_client(json!({"client_name": "other", "allowed_resources": [RESOURCE]}));
    let answer = explain(&hub, json!({"client_id": other.client_id, "resource": RESOURCE, "scopes": ["mcp:read"]}));
    assert!(answer["answers"][0]["said"].as_str().unwrap().contains("write a permit"), "{answer}");
    // A permit that names another client is the likeliest cause.
    let near = &answer["answers"][0]["statements"][0];
    assert_eq!((&near["policy"], &near["failed"]["part"]), (&json!("agent"), &json!("principal")));
    let ids = [&other.client_id, &agent.client_id];
    let because = format!("`principal` is Client::\"{}\"; the statement wants Client::\"{}\"", ids[0], ids[1]);
    assert_eq!(near["failed"]["because"], because);
}

#[test]
fn the_chain_and_the_user_of_a_delegated_token_are_those_of_its_decision() {
    let chain = Chain::new();
    let hub = &chain.hub;
    let first = chain.user_token(&chain.planner, TASKS, "mcp:read");
    let token = chain.delegated(&chain.worker, &first, RESOURCE);
    hub.events();
    hub.put_policy(
        "everything",
        "permit(principal, action, resource) unless { context.chain.contains(\"nobody\") || context.chain_tags.contains(\"verified\") };",
    );
    let answer = explain(hub, json!({"jti": decode(&token).1["jti"]}));
    let question = &answer["question"];
    assert_eq!(question["chain"], json!([chain.worker.client_id, chain.planner.client_id]));
    assert_eq!((&question["user"], &question["action"]), (&json!(chain.user), &json!("exchange")));
    let failed = &answer["answers"][0]["statements"][0]["failed"];
    assert_eq!(failed["text"], "context.chain_tags.contains(\"verified\")");
    assert_eq!(
        failed["because"],
        "`context.chain_tags` is \"verified\"; the statement wants it not to have \"verified\""
    );
}

#[test]
fn a_refused_lease_is_explained_with_the_scopes_of_the_agents_token() {
    let hub = Setup::new();
    let agent = hub.agent("reader", "mcp:read");
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    hub.admin("PUT", "connections/warehouse").json(&connections::body(8, &[READ])).send().expect(201);
    hub.put_policy(
        "lease",
        "permit(principal, action == Action::\"lease\", resource == Connection::\"warehouse\") \
         when { context.scopes.contains(\"mcp:write\") };",
    );
    let token = hub.access_token(&agent, "mcp:read");
    let form = [("subject_token", token.as_str()), ("tool", "query")];
    let refused = hub.call("POST", "/t/main/connections/warehouse/token").basic(&server).form(&form).send().expect(403);
    hub.events();
    let answer = explain(&hub, json!({"decision": refused.json()["decision"]}));
    assert_eq!(
        (&answer["question"]["tool"], &answer["question"]["connection"]),
        (&json!("query"), &json!("warehouse"))
    );
    assert_eq!(answer["question"]["resource_server"], json!(server.client_id));
    let one = &answer["answers"][0];
    assert_eq!((&one["connection"], &one["was"]), (&json!("warehouse"), &json!("deny")));
    assert_eq!(
        one["statements"][0]["failed"]["because"],
        "`context.scopes` is \"mcp:read\"; the statement wants it to have \"mcp:write\""
    );
    // What an administrator asks beforehand has the same answer.
    let question = json!({
        "client_id": agent.client_id, "connection": "warehouse", "scopes": ["mcp:read"], "tool": "query",
        "resource_server": server.client_id,
    });
    assert_eq!(explain(&hub, question)["answers"][0]["statements"], one["statements"]);
}

#[test]
fn a_lease_is_explained_with_what_the_agents_token_had() {
    let hub = Setup::new();
    let agent = hub.agent("reader", "mcp:read");
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    hub.admin("PUT", "connections/warehouse").json(&connections::body(8, &[READ])).send().expect(201);
    let answer = json!({"access_token": "ya29.token", "expires_in": 3_600, "token_type": "Bearer"});
    hub.fetch.answer(move |_| Scripted::json(200, answer.clone()));
    let lease = |annotations: &str| {
        format!("{annotations} permit(principal, action == Action::\"lease\", resource == Connection::\"warehouse\");")
    };
    hub.put_policy("lease", &lease("@bind(\"dpop\")"));
    let claims = json!({
        "jti": "1", "htm": "POST", "htu": format!("{}/token", hub.issuer("main")), "iat": hub.clock.seconds(),
    });
    let proof = Signer::new(Alg::Es256, 1).proof(&claims);
    let token = hub.token_call(&agent, &[]).header("dpop", &proof).send().access_token();
    let form = [("subject_token", token.as_str())];
    hub.call("POST", "/t/main/connections/warehouse/token").basic(&server).form(&form).send().expect(200);
    let event = hub.events_of("lease.granted").pop().unwrap();
    assert_eq!((&event["question"]["bound"], &event["question"]["dpop"]), (&json!(true), &Value::Null));
    let one = explain(&hub, json!({"decision": event["decision"]}))["answers"][0].clone();
    assert_eq!((&one["was"], &one["allow"], &one["require"]), (&json!("allow"), &json!(true), &Value::Null), "{one}");
    let replayed = hub.admin("POST", "policies/replay").json(&json!({"changes": []})).send().expect(200).json();
    assert_eq!(replayed["changed"], 0, "{replayed}");
    // An administrator says so in the question, which the resource server's request cannot show.
    let asked = |dpop: bool| {
        let body = json!({
            "client_id": agent.client_id, "connection": "warehouse", "resource_server": server.client_id, "dpop": dpop,
        });
        let answer = explain(&hub, body);
        assert_eq!(answer["question"]["dpop"], false, "as policies see it");
        answer["answers"][0]["allow"].clone()
    };
    assert_eq!((asked(true), asked(false)), (json!(true), json!(false)));
    // So it is with details, and with a sign-in.
    hub.put_policy("lease", &lease("@details(\"payment\") @require(\"step_up\")"));
    let now = hub.clock.seconds();
    for (details, at, allow) in
        [(json!(["payment"]), now, true), (json!(["payment"]), now - 900, false), (json!([]), now, false)]
    {
        let body = json!({
            "client_id": agent.client_id, "connection": "warehouse", "authorization_details": details, "auth_time": at,
        });
        assert_eq!(explain(&hub, body)["answers"][0]["allow"], allow, "{details} {at}");
    }
}

#[test]
fn a_lease_that_wants_a_recent_sign_in_is_explained_and_replayed_with_that_of_the_agents_token() {
    let accounts = Accounts::new(true, 0);
    let (hub, browser) = (&accounts.hub, Browser::new(&accounts.hub));
    let link = accounts::url(&accounts.lease(&accounts.agents_token(&browser)));
    accounts.connect(&browser, &link, "ada@chat").expect(200);
    let permit = "permit(principal, action == Action::\"lease\", resource == Connection::\"chat\");";
    hub.put_policy("lease", &format!("@require(\"step_up\") {permit}"));
    let check = |kind: &str, was: &str, changed: u64| {
        let event = hub.events_of(kind).pop().unwrap();
        let signed_in = event["question"]["auth_time"].as_i64();
        assert!(signed_in.is_some_and(|at| at <= hub.clock.seconds() as i64), "{event}");
        hub.clock.advance(3_600);
        let one = explain(hub, json!({"decision": event["decision"]}))["answers"][0].clone();
        assert_eq!((&one["was"], &one["allow"]), (&json!(was), &json!(was == "allow")), "{one}");
        let replay = |changes: Value| {
            let body = json!({"changes": changes, "client_id": event["client"], "action": "lease"});
            hub.admin("POST", "policies/replay").json(&body).send().expect(200).json()
        };
        assert_eq!(replay(json!([]))["changed"], changed);
        let free = replay(json!([{"id": "lease", "cedar": permit}]));
        (one, free)
    };
    let token = accounts.agents_token(&browser);
    accounts.lease(&token).expect(200);
    let (_, free) = check("lease.granted", "allow", 0);
    assert_eq!(free["would_deny"], 0, "{free}");
    // The person is signed in still, and was so long ago.
    let token = accounts.agents_token(&browser);
    let told = accounts.lease(&token).expect(400).json();
    assert_eq!((&told["error"], &told["max_age"]), (&json!("insufficient_user_authentication"), &json!(300)));
    let (one, free) = check("lease.refused", "require", 0);
    assert_eq!((&one["because"], &one["require"]), (&json!("requirement"), &json!(["step_up"])));
    assert_eq!(free["would_allow"], 1, "{free}");
    // So it is with how the person signed in; the first lease would not be granted any more.
    let recent = |acr: &str| {
        let (now, acr) = (hub.clock.seconds(), ["'", acr, "'"].concat());
        hub.db.execute(&format!("UPDATE sessions SET acr = {acr}, auth_time = {now}"));
        accounts.lease(&accounts.agents_token(&browser))
    };
    hub.put_policy("lease", &format!("@require(\"step_up:acr=phr\") {permit}"));
    let told = recent("pwd").expect(400).json();
    assert_eq!((&told["max_age"], &told["acr_values"]), (&json!(300), &json!("phr")));
    let (one, free) = check("lease.refused", "require", 1);
    assert_eq!((&one["require"], &free["would_allow"]), (&json!(["step_up:acr=phr"]), &json!(2)), "{free}");
    recent("phr").expect(200);
    let (_, free) = check("lease.granted", "allow", 1);
    assert_eq!(free["would_deny"], 0, "{free}");
}

#[test]
fn a_decision_without_its_question_is_not_explained_and_says_why() {
    let (hub, agent) = scene();
    let ask = || hub.token(&agent, &[("scope", "mcp:read")]).expect(400).json()["decision"].clone();
    let spoil = |decision: &Value, change: &str| {
        hub.events();
        let id = decision.as_str().unwrap();
        hub.trail.execute(&format!("UPDATE events SET body = {change} WHERE id = '{id}'"));
        detail(&hub, json!({"decision": id}))
    };
    let without = spoil(&ask(), "json_remove(body, '$.question')");
    assert!(without.contains("cannot be explained") && without.contains("earlier version"), "{without}");
    let cut = spoil(&ask(), "json_set(body, '$.question.scopes', 'mcp:rea…')");
    assert!(cut.contains("did not fit into the event whole"), "{cut}");
    let nameless = spoil(&ask(), "json_remove(body, '$.resource')");
    assert!(nameless.contains("does not name what was asked for"), "{nameless}");
}

#[test]
fn what_needs_no_permit_is_explained_as_allowed_unless_a_forbid_holds() {
    let (hub, agent) = scene();
    let register = format!("{}/register", hub.issuer("main"));
    let ask = |action: &str, resource: &str, scope: &str| {
        let body = json!({"client_id": agent.client_id, "action": action, "resource": resource, "scopes": [scope]});
        explain(&hub, body)["answers"][0].clone()
    };
    for (action, resource, scope) in [("consent", RESOURCE, "mcp:read"), ("register", &*register, "register")] {
        hub.put_policy("no", "forbid(principal, action, resource) when { resource.name == \"nothing\" };");
        let free = ask(action, resource, scope);
        assert_eq!((&free["allow"], &free["policies"]), (&json!(true), &json!([])), "{free}");
        assert!(free["said"].as_str().unwrap().contains("nothing has to permit this"), "{free}");
        hub.put_policy("no", &format!("forbid(principal, action == Action::\"{action}\", resource);"));
        let forbidden = ask(action, resource, scope);
        assert_eq!((&forbidden["allow"], &forbidden["because"]), (&json!(false), &json!("forbidden")), "{forbidden}");
    }
}

#[test]
fn an_explanation_says_what_limits_have_left_and_counts_nothing() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    hub.put_policy(
        "agent",
        "@limit(\"2/hour\") @on_breach(\"suspend\") permit(principal, action, resource) when { resource.name == \"mcp:read\" };",
    );
    let ask = || {
        let question = json!({"client_id": agent.client_id, "resource": RESOURCE, "scopes": ["mcp:read"]});
        explain(&hub, question)["answers"][0].clone()
    };
    for left in [2, 1, 0] {
        let one = ask();
        let until = (hub.clock.seconds() / 3_600 + 1) * 3_600;
        let room = json!([{
            "policy": "agent", "statement": 1, "limit": "2/hour identity", "left": left, "until": until, "suspends": true,
        }]);
        assert_eq!((&one["room"], &one["allow"]), (&room, &json!(left > 0)), "{one}");
        if left == 0 {
            assert_eq!((&one["because"], &one["policy"]), (&json!("limit"), &json!("allow")));
        } else {
            hub.token(&agent, &[]).expect(200);
        }
    }
    assert!(hub.events_of("identity.suspended").is_empty(), "nothing is acted on");
    // Of a decision that was made, its own use is no reason.
    let event = hub.events_of("token.issued").into_iter().find(|event| event["client"] == agent.client_id).unwrap();
    let one = explain(&hub, json!({"decision": event["decision"]}))["answers"][0].clone();
    assert_eq!((&one["allow"], &one["room"]), (&json!(true), &Value::Null));
}

#[test]
fn an_explanation_says_who_is_stopped_and_what_the_quota_has_left() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    hub.access_token(&agent, "mcp:read");
    let question = json!({"client_id": agent.client_id, "resource": RESOURCE, "scopes": ["mcp:read"]});
    let of = format!("SELECT id FROM identities WHERE client = '{}'", agent.client_id);
    let identity = hub.db.query(&of)[0]["id"].as_str().unwrap().to_owned();
    for (path, word) in [
        (format!("identities/{identity}"), "an agentic identity"),
        (format!("clients/{}", agent.client_id), "a client"),
    ] {
        hub.admin("POST", &[&path, "/suspend"].concat()).send().expect(200);
        let answer = explain(&hub, question.clone());
        let one = &answer["answers"][0];
        assert_eq!(
            (&one["allow"], &one["because"], &one["policy"]),
            (&json!(false), &json!("stopped"), &json!("allow"))
        );
        assert!(one["said"].as_str().unwrap().contains(word), "{one}");
        assert!(answer["notes"][0].as_str().unwrap().contains(word), "{answer}");
        hub.admin("POST", &[&path, "/resume"].concat()).send().expect(200);
        assert_eq!(explain(&hub, question.clone())["answers"][0]["allow"], true);
    }
    hub.put_policy("all", "permit(principal, action, resource);");
    hub.admin("PUT", "connections/warehouse").json(&connections::body(8, &[READ])).send().expect(201);
    let user = hub.admin("POST", "users").json(&json!({"name": "Ada"})).send().expect(201).json()["id"].clone();
    let mut of_user = question.clone();
    of_user["user"] = user.clone();
    let lease = |connection: &str| json!({"client_id": agent.client_id, "connection": connection});
    assert!(explain(&hub, lease("nothing"))["answers"][0]["said"].as_str().unwrap().contains("no such connection"));
    for (path, asked, word) in [
        (format!("users/{}", user.as_str().unwrap()), of_user, "its user"),
        ("connections/warehouse".to_owned(), lease("warehouse"), "such connection, or it is stopped"),
    ] {
        let ask = || explain(&hub, asked.clone())["answers"][0].clone();
        assert_eq!(ask()["allow"], true);
        hub.admin("POST", &[&path, "/suspend"].concat()).send().expect(200);
        let one = ask();
        assert_eq!((&one["allow"], &one["because"]), (&json!(false), &json!("stopped")));
        assert!(one["said"].as_str().unwrap().contains(word), "{one}");
        hub.admin("POST", &[&path, "/resume"].concat()).send().expect(200);
        assert_eq!(ask()["allow"], true);
    }

    super::quotas::set(&hub, "main", json!({"tokens_per_minute": 20}));
    hub.clock.advance(60);
    let left = || {
        let note = explain(&hub, question.clone())["notes"].as_array().unwrap().last().unwrap().clone();
        let (_, rest) = note.as_str().unwrap().split_once("quota of 20 tokens a minute has ").unwrap();
        rest.split(' ').next().unwrap().parse::<i64>().unwrap()
    };
    assert_eq!(left(), 20);
    (0..2).for_each(|_| drop(hub.token(&agent, &[]).expect(200)));
    // Isolates claim the tokens of a minute in blocks.
    assert_eq!(left(), 18);
}

#[test]
fn a_question_may_suppose_another_client_or_user() {
    let (hub, agent) = scene();
    hub.put_policy(
        "tagged",
        "permit(principal, action, resource) when { principal.tags.contains(\"t\") && context.chain_tags.contains(\"t\") };",
    );
    let mut question = json!({"client_id": agent.client_id, "resource": RESOURCE, "scopes": ["mcp:read"]});
    assert_eq!(explain(&hub, question.clone())["answers"][0]["allow"], false);
    question["tags"] = json!(["t"]);
    assert_eq!(explain(&hub, question)["answers"][0]["allow"], true);
}

#[test]
fn reading_is_enough_for_explaining_and_it_leaves_no_event_of_a_decision() {
    let (hub, agent) = scene();
    let reader = hub.create_client(json!({
        "client_name": "auditor", "scope": "admin:read", "allowed_resources": [format!("{}/admin", hub.issuer("main"))],
    }));
    let token = hub.token(&reader, &[]).access_token();
    let before = hub.events().len();
    let body = json!({"client_id": agent.client_id, "resource": RESOURCE});
    let post = |path: &str| hub.call("POST", &format!("/t/main/admin/{path}")).bearer(&token);
    post("policies/explain").json(&body).send().expect(200);
    post("policies/replay").json(&json!({"changes": []})).send().expect(200);
    assert_eq!(hub.events().len(), before);
    post("policies/night/enforce").send().expect(403);
}

#[test]
fn an_identity_shows_the_way_to_its_explanation() {
    let (hub, agent) = scene();
    hub.put_policy("all", "permit(principal, action, resource);");
    hub.access_token(&agent, "mcp:read");
    let list = hub.admin("GET", &format!("identities?client={}", agent.client_id)).send().expect(200).json();
    let id = list["items"][0]["id"].as_str().unwrap().to_owned();
    let link = hub.admin("GET", &format!("identities/{id}")).send().expect(200).json()["explain"].clone();
    assert_eq!(link["url"], format!("{}/admin/policies/explain", hub.issuer("main")));
    let mut body = link["body"].clone();
    body["resource"] = json!(RESOURCE);
    assert_eq!(explain(&hub, body)["answers"][0]["allow"], true);
}

#[test]
fn a_question_of_usual_size_adds_less_than_300_bytes_to_its_event() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read mcp:write");
    hub.access_token(&agent, "mcp:read mcp:write");
    let event = hub.events_of("token.issued").pop().unwrap();
    assert_eq!(event["question"], json!({"action": "issue", "scopes": "mcp:read mcp:write", "verdicts": "aa"}));
    assert!(event["question"].to_string().len() < 300);
}

#[test]
fn a_policy_that_has_the_name_of_a_word_of_this_api_can_be_removed() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    for name in ["explain", "replay", "templates"] {
        hub.put_policy("old", "permit(principal, action, resource) when { resource.name == \"mcp:write\" };");
        hub.db.execute(&format!("UPDATE policies SET id = '{name}' WHERE id = 'old'"));
        let delete = || hub.admin("DELETE", &format!("policies/{name}"));
        delete().header("if-match", "\"99\"").send().expect(412);
        delete().send().expect(204);
        assert_eq!(delete().send().status, 404);
        assert!(hub.db.query(&format!("SELECT id FROM policies WHERE id = '{name}'")).is_empty());
    }
    hub.token(&agent, &[]).expect(200);
}

#[test]
fn the_words_of_this_api_are_no_names_of_policies() {
    let hub = Setup::new();
    for name in ["explain", "replay", "templates"] {
        let body = json!({"cedar": "permit(principal, action, resource);"});
        let reply = hub.admin("PUT", &format!("policies/{name}")).json(&body).send();
        assert!(matches!(reply.status, 400 | 405), "{reply:?}");
    }
}
