//! Which questions are one, whose yes counts, and what limits say before anybody is asked.

use super::approvals::{Someone, agent, ask, count, decide, policy, shown, waits, write};
use super::authorize;
use super::chain::{Chain, EVERYTHING, TASKS};
use crate::support::browser::{Browser, authorization};
use crate::support::hub::RESOURCE;
use crate::support::{Credentials, Reply, Setup, Signer};
use serde_json::{Value, json};
use writ::ports::Alg;

fn id(made: &Reply) -> String {
    made.json()["approval_id"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned()
}

fn redeem(hub: &Setup, client: &Credentials, id: &str) -> Reply {
    hub.call("POST", &format!("/t/main/approvals/{id}/redeem")).basic(client).form(&[]).send()
}

/// Why the last request was refused, as its event has it.
fn reason(hub: &Setup) -> Value {
    hub.events_of("approval.refused").pop().unwrap()["reason"].clone()
}

fn server(hub: &Setup, serves: &[&str]) -> Credentials {
    hub.create_client(json!({"kind": "resource_server", "allowed_resources": serves}))
}

// ── The question ──

#[test]
fn a_yes_about_a_token_for_one_resource_is_none_about_a_token_for_another() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    hub.create_resource(json!({"resource": TASKS, "name": "The tasks"}));
    let owner = Someone::new(&hub, 1, json!({"name": "Olga"}));
    let agent = hub.create_client(json!({"owner": owner.id, "allowed_resources": [RESOURCE, TASKS]}));
    let server = server(&hub, &[RESOURCE, TASKS]);
    hub.put_policy("agent", EVERYTHING);
    let asked = |at: &str| {
        let token = hub.token(&agent, &[("resource", at), ("scope", "mcp:read")]).access_token();
        let call = [("subject_token", &*token), ("tool", "deploy"), ("arguments", r#"{"to":"production"}"#)];
        id(&ask(&hub, &server, &call).expect(201))
    };
    let (here, there) = (asked(RESOURCE), asked(TASKS));
    assert_ne!(here, there);
    assert_eq!(asked(RESOURCE), here, "another token for the same");
    let list = owner.browser.get("/t/main/me/approvals").expect(200).text;
    for (id, uri, name) in [(&here, RESOURCE, "A resource"), (&there, TASKS, "The tasks")] {
        let page = owner.page(id).expect(200).text;
        assert!(page.contains(uri) && page.contains(name), "{page}");
        assert!(list.contains(uri), "{list}");
    }
    owner.approve(&here).expect(303);
    assert_eq!(shown(&hub, &there)["status"], "pending");
    assert_eq!(asked(TASKS), there);
    assert_eq!(redeem(&hub, &server, &there).error(), "authorization_pending");
    redeem(&hub, &server, &here).expect(200);
    let resources: Vec<Value> =
        hub.events_of("approval.requested").iter().map(|event| event["resource"].clone()).collect();
    assert_eq!(resources, [json!(RESOURCE), json!(TASKS)]);
}

#[test]
fn who_was_told_no_is_told_so_whatever_the_words_of_the_requirement() {
    let hub = Setup::new();
    let agent = agent(&hub, "team", "approval");
    let asked = |require: &str| {
        let form = [("scope", "mcp:write"), ("require", require)];
        let form = if require.is_empty() { &form[..1] } else { &form };
        id(&ask(&hub, &agent, form).expect(201))
    };
    let first = asked("");
    decide(&hub, &first, json!({"decision": "deny"})).expect(200);
    for same in
        ["approval", "approval:n=1", "approval: n=1", "approval:n=1,n=1", "approval:owner", "approval:subject,owner"]
    {
        assert_eq!(asked(same), first, "{same}");
    }
    assert_eq!(count(&hub), 1);
    let more = asked("approval:n=2");
    assert_ne!(more, first, "more people are another question");
    // A rule that another one covers asks nobody else.
    hub.put_policy("agent", &policy(&agent, "mcp:write", "@require(\"approval:n=2\")"));
    assert_eq!((asked(""), asked("approval"), asked("approval:owner")), (more.clone(), more.clone(), more));
    // Nor is another order another question, at either door.
    let both = ["mcp:read", "mcp:write"].map(|scope| policy(&agent, scope, "@require(\"approval\")")).concat();
    hub.put_policy("agent", &both);
    let orders = ["mcp:read mcp:write", "mcp:write mcp:read"];
    let [one, other] = orders.map(|scope| id(&ask(&hub, &agent, &[("scope", scope)]).expect(201)));
    assert_eq!(one, other);
    let [one, other] = orders.map(|scope| id(&hub.token(&agent, &[("scope", scope)])));
    assert_eq!(one, other);
}

#[test]
fn the_yes_of_a_former_owner_counts_at_no_door() {
    let hub = Setup::new();
    let owner = Someone::new(&hub, 1, json!({"name": "Olga"}));
    let agent = agent(&hub, &owner.id, "approval");
    let first = waits(&write(&hub, &agent));
    let second = id(&ask(&hub, &agent, &[("tool", "t"), ("scope", "mcp:read")]).expect(201));
    for id in [&first, &second] {
        owner.approve(id).expect(303);
    }
    let owned_by = |owner: &str| {
        let (id, owner) = (&agent.client_id, json!(owner));
        hub.db.execute(&format!(
            "UPDATE clients SET metadata = json_set(metadata, '$.owner', json('{owner}')) WHERE id = '{id}'"
        ));
        hub.restart();
    };
    owned_by("team");
    let third = waits(&write(&hub, &agent));
    assert_ne!(third, first);
    assert_eq!(shown(&hub, &third)["rules"][0]["who"], json!(["group:team"]));
    assert_eq!(redeem(&hub, &agent, &second).error(), "access_denied");
    assert_eq!(reason(&hub), "ApprovalOver");
    // It is hers again.
    owned_by(&owner.id);
    redeem(&hub, &agent, &second).expect(200);
    write(&hub, &agent).expect(200);
    assert_eq!(shown(&hub, &first)["status"], "redeemed");
}

#[test]
fn a_client_that_it_is_done_for_decides_nothing() {
    let chain = Chain::new();
    let hub = &chain.hub;
    let api = hub.issuer("main") + "/admin";
    let ask = format!(r#"permit(principal, action == Action::"exchange", resource in Resource::"{RESOURCE}");"#);
    hub.put_policy("ask", &format!("@require(\"approval\") {ask}"));
    let subject = chain.own_token(&chain.planner, TASKS);
    let id = waits(&chain.delegate(&chain.worker, &subject, &[("resource", RESOURCE)]).send());
    let approval = shown(hub, &id);
    let statement: Value = serde_json::from_str(approval["statement"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&approval["subject"], &statement["chain"]),
        (&json!(chain.planner.client_id), &json!([chain.worker.client_id]))
    );
    let (planner, all) = (&chain.planner.client_id, json!([RESOURCE, TASKS, api]));
    hub.db.execute(&format!(
        "UPDATE clients SET metadata = json_set(metadata, '$.allowed_resources', json('{all}')) WHERE id = '{planner}'"
    ));
    hub.restart();
    let token = hub.token(&chain.planner, &[("resource", &api), ("scope", "admin")]).access_token();
    for decision in ["approve", "deny"] {
        let call = hub.call("POST", &format!("/t/main/admin/approvals/{id}/decide")).bearer(&token);
        let refused = call.json(&json!({"decision": decision})).send();
        assert_eq!((refused.status, &refused.json()["reason"]), (403, &json!("OwnApproval")), "{refused:?}");
    }
    assert_eq!(shown(hub, &id)["status"], "pending");
}

#[test]
fn where_details_alone_are_left_the_scope_that_was_named_has_to_be_permitted_still() {
    let hub = Setup::new();
    hub.create_resource(json!({"authorization_details_types": [{"type": "payment", "description": "Pay"}]}));
    let agent = hub.create_client(json!({"owner": "team", "allowed_resources": [RESOURCE]}));
    hub.put_policy("agent", &(policy(&agent, "mcp:read", "") + &policy(&agent, "mcp:write", "")));
    let form = [("scope", "mcp:read"), ("authorization_details", r#"[{"type":"payment","amount":"5"}]"#)];
    let approved = || {
        let id = id(&ask(&hub, &agent, &form).expect(201));
        decide(&hub, &id, json!({"decision": "approve", "scope": []})).expect(200);
        id
    };
    redeem(&hub, &agent, &approved()).expect(200);
    let next = approved();
    let forbid = policy(&agent, "mcp:read", "").replace("permit", "forbid");
    hub.put_policy("no", &forbid);
    assert_eq!((redeem(&hub, &agent, &next).status, reason(&hub)), (403, json!("ApprovalForbidden")));
}

// ── Limits ──

#[test]
fn an_agent_is_not_held_to_the_limit_in_which_the_token_that_it_presents_was_counted() {
    let hub = Setup::new();
    let agent = agent(&hub, "team", "approval");
    let limited = policy(&agent, "mcp:write", "@limit(\"1/hour\") @on_breach(\"suspend\")");
    hub.put_policy("agent", &(policy(&agent, "mcp:read", "") + &limited));
    let token = write(&hub, &agent).access_token();
    for form in [&[("tool", "deploy")][..], &[("tool", "write")], &[("tool", "x"), ("scope", "mcp:write")]] {
        let form = [form, &[("subject_token", &*token)]].concat();
        ask(&hub, &agent, &form).expect(201);
    }
    assert!(hub.events_of("identity.suspended").is_empty());
    // What goes beyond the token is held to it, by whomever it is asked.
    let read = hub.access_token(&agent, "mcp:read");
    let form = [("subject_token", &*read), ("tool", "x"), ("scope", "mcp:read mcp:write")];
    assert_eq!(ask(&hub, &agent, &form).status, 429);
    assert_eq!(hub.events_of("identity.suspended").len(), 1);
}

#[test]
fn what_a_resource_server_asks_with_an_agents_token_suspends_no_agent() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    hub.create_resource(json!({"resource": TASKS}));
    let agent = hub.create_client(json!({"owner": "team", "allowed_resources": [RESOURCE, TASKS]}));
    let server = server(&hub, &[TASKS]);
    let limited = policy(&agent, "mcp:write", "@limit(\"1/hour\") @on_breach(\"suspend\")");
    hub.put_policy("agent", &(EVERYTHING.to_owned() + &limited));
    hub.token(&agent, &[("resource", RESOURCE), ("scope", "mcp:write")]).expect(200);
    let token = hub.token(&agent, &[("resource", TASKS), ("scope", "mcp:read")]).access_token();
    let form = [("subject_token", &*token), ("resource", RESOURCE), ("scope", "mcp:write"), ("tool", "t")];
    assert_eq!(ask(&hub, &server, &form).status, 429);
    assert!(hub.events_of("identity.suspended").is_empty());
    assert_eq!(ask(&hub, &agent, &form).status, 429);
    assert_eq!(hub.events_of("identity.suspended").len(), 1);
}

#[test]
fn nobody_is_suspended_by_a_limit_while_another_scope_has_room_and_a_person_is_asked() {
    const SCOPES: [&str; 2] = ["mcp:read", "mcp:write"];
    let cases = SCOPES.iter().flat_map(|full| ["mcp:read mcp:write", "mcp:write mcp:read"].map(|asked| (*full, asked)));
    for ((full, asked), room) in cases.flat_map(|case| ["", "@limit(\"9/hour\")"].map(|room| (case, room))) {
        let hub = Setup::new();
        let agent = agent(&hub, "team", "approval");
        let written = |require: &str| {
            let limited = format!("@limit(\"1/hour\") @on_breach(\"suspend\") {require}");
            let other = format!("{room} @require(\"approval\")");
            hub.put_policy(
                "agent",
                &SCOPES.map(|scope| policy(&agent, scope, if scope == full { &limited } else { &other })).concat(),
            );
        };
        written("");
        hub.token(&agent, &[("scope", full)]).expect(200);
        written("@require(\"approval\")");
        waits(&hub.token(&agent, &[("scope", asked)]));
        ask(&hub, &agent, &[("tool", "t")]).expect(201);
        assert!(hub.events_of("identity.suspended").is_empty(), "{full}: {asked} {room}");
        assert_eq!(hub.token(&agent, &[("scope", full)]).status, 429);
        assert_eq!(hub.events_of("identity.suspended").len(), 1);
    }
}

// ── The sign-in ──

#[test]
fn a_sign_in_that_policy_wants_comes_before_a_person_is_asked() {
    let hub = authorize::hub();
    let (server, client, browser) = (server(&hub, &[RESOURCE]), authorize::client(&hub), Browser::new(&hub));
    let token = || {
        let code = browser.code(&authorization(&client, &[("scope", "mcp:read")]), &["mcp:read"]);
        authorize::redeem(&hub, &client, &code).expect(200).access_token()
    };
    let on = |scope: &str| {
        format!(r#"permit(principal, action == Action::"issue", resource == Scope::"{RESOURCE} {scope}");"#)
    };
    hub.put_policy("all", &on("mcp:read"));
    let both = ["step_up:acr=phr", "approval"].map(|one| format!("@require(\"{one}\") {}", on("mcp:write")));
    hub.put_policy("write", &both.concat());
    let weak = token();
    hub.db.execute("UPDATE sessions SET acr = 'phr'");
    let strong = token();
    for form in [[("tool", "x"), ("scope", "mcp:write")], [("tool", "x"), ("scope", "mcp:read mcp:write")]] {
        let ask = |token: &str| ask(&hub, &server, &[&form[..], &[("subject_token", token)]].concat());
        let told = ask(&weak).expect(400).json();
        assert_eq!((&told["error"], &told["acr_values"]), (&json!("insufficient_user_authentication"), &json!("phr")));
        ask(&strong).expect(201);
    }
    // What else policy wants does not hide how.
    let bound = format!("@bind(\"dpop\") {}", on("mcp:write"));
    hub.put_policy("bound", &bound);
    let form = [("tool", "x"), ("scope", "mcp:write"), ("subject_token", &*weak)];
    assert_eq!(ask(&hub, &server, &form).expect(400).json()["acr_values"], "phr");
    hub.admin("DELETE", "policies/bound").send().expect(204);
    // What the token has was given after its sign-in.
    for form in [[("tool", "x"), ("scope", "mcp:read")], [("tool", "read"), ("reason", "r")]] {
        ask(&hub, &server, &[&form[..], &[("subject_token", &*weak)]].concat()).expect(201);
    }
    // Nobody can sign in for a client on its own.
    let agent = agent(&hub, "team", "step_up");
    assert_eq!(
        ask(&hub, &agent, &[("resource", RESOURCE), ("scope", "mcp:write")]).expect(403).error(),
        "access_denied"
    );
    assert_eq!(reason(&hub), "ApprovalForbidden");
    assert_eq!(count(&hub), 4);
}

// ── The connection ──

#[test]
fn a_connection_is_asked_about_at_approvals_as_at_the_lease() {
    let chain = Chain::new();
    let hub = &chain.hub;
    let server = server(hub, &[RESOURCE]);
    let config =
        json!({"service": {"name": "S", "proxy": {"base_url": "https://api.s.example"}}, "may_be_leased": true});
    let body = json!({"kind": "api_key", "config": config, "secret": {"api_key": "k"}});
    hub.admin("PUT", "connections/search").json(&body).send().expect(201);
    let key = Signer::new(Alg::Es256, 1);
    let plain = hub.token(&chain.planner, &[("resource", RESOURCE)]).access_token();
    let call = hub.token_call(&chain.planner, &[("resource", RESOURCE)]).header("dpop", &chain.proof(&key));
    let bound = call.send().expect(200).access_token();
    let delegated = chain.delegated(&chain.worker, &chain.user_token(&chain.planner, TASKS, "mcp:read"), RESOURCE);
    for token in [plain, bound, delegated] {
        same_question(hub, &server, &token);
    }
    // A user who has signed in.
    let hub = authorize::hub();
    hub.admin("PUT", "connections/search").json(&body).send().expect(201);
    let (server, client, browser) = (self::server(&hub, &[RESOURCE]), authorize::client(&hub), Browser::new(&hub));
    let code = || browser.code(&authorization(&client, &[("scope", "mcp:read")]), &["mcp:read"]);
    code();
    hub.db.execute("UPDATE sessions SET acr = 'phr'");
    let token = authorize::redeem(&hub, &client, &code()).expect(200).access_token();
    let question = same_question(&hub, &server, &token);
    assert!(question["acr"] == "phr" && question["auth_time"].is_i64(), "{question}");
}

/// What policy was asked at both, which refuse.
fn same_question(hub: &Setup, server: &Credentials, token: &str) -> Value {
    let form = [("subject_token", token), ("tool", "t")];
    hub.call("POST", "/t/main/connections/search/token").basic(server).form(&form).send().expect(403);
    ask(hub, server, &[form[0], form[1], ("connection", "search")]).expect(403);
    let [leased, asked] = ["lease.refused", "approval.refused"].map(|kind| hub.events_of(kind).pop().unwrap());
    assert_eq!(leased["question"], asked["question"]);
    for member in ["client", "subject", "chain", "tool", "connection", "resource_server", "auth_method"] {
        assert_eq!(leased.get(member), asked.get(member), "{member}");
    }
    leased["question"].clone()
}
