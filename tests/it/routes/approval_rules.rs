//! Who asks whom for an approval, how often, and when: what policy and the settings of a tenant say of it, at every door.

use super::approvals::{Someone, agent, ask, count, decide, policy, shown, waits, write};
use crate::support::hub::{Call, RESOURCE, START};
use crate::support::{Credentials, Reply, Setup};
use serde_json::{Value, json};

/// Sets `settings.approvals` of `main`.
pub fn set_rules(hub: &Setup, rules: Value) {
    put_rules(hub, rules).expect(200);
}

fn put_rules(hub: &Setup, rules: Value) -> Reply {
    let tenant = hub.admin("GET", "tenants/main").send().expect(200);
    let mut body = tenant.json();
    body["settings"]["approvals"] = rules;
    let etag = tenant.header("etag").unwrap().to_owned();
    hub.admin("PUT", "tenants/main").header("if-match", &etag).json(&body).send()
}

fn id(made: &Reply) -> String {
    made.json()["approval_id"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned()
}

/// Why a request was refused, as its event has it.
fn reason(hub: &Setup, kind: &str) -> String {
    hub.events_of(kind).pop().unwrap()["reason"].as_str().unwrap().to_owned()
}

fn list(hub: &Setup, query: &str) -> Vec<String> {
    let page = hub.admin("GET", &format!("approvals{query}")).send().expect(200).json();
    page["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

// ── Policy ──

#[test]
fn nobody_is_asked_to_approve_what_policy_never_gives() {
    let hub = Setup::new();
    let agent = agent(&hub, "team", "approval");
    let stranger = hub.create_client(json!({"owner": "team", "allowed_resources": [RESOURCE]}));
    let narrow = hub.create_client(json!({"owner": "team", "scope": "mcp:read", "allowed_resources": [RESOURCE]}));
    hub.put_policy("narrow", &crate::support::hub::permit(&narrow.client_id, RESOURCE));
    let forbidden = |client: &Credentials, form: &[(&str, &str)]| {
        let refused = ask(&hub, client, form);
        assert_eq!((refused.status, refused.error()), (403, "access_denied".to_owned()), "{form:?}");
        let event = hub.events_of("approval.refused").pop().unwrap();
        assert_eq!(event["reason"], "ApprovalForbidden", "{form:?}");
        assert_eq!(refused.json().get("decision"), event.get("decision"), "{form:?}");
        event
    };
    assert!(forbidden(&stranger, &[("tool", "deploy")])["decision"].is_string());
    forbidden(&stranger, &[("scope", "mcp:read")]);
    forbidden(&narrow, &[("scope", "mcp:read mcp:write")]);
    forbidden(&narrow, &[("tool", "write")]);
    // Nor at a connection, whether it is there or not.
    let config =
        json!({"service": {"name": "S", "proxy": {"base_url": "https://api.s.example"}}, "may_be_leased": true});
    let body = json!({"kind": "api_key", "config": config, "secret": {"api_key": "k"}});
    hub.admin("PUT", "connections/search").json(&body).send().expect(201);
    let of = |name: &str| forbidden(&agent, &[("connection", name), ("tool", "t")])["detail"].clone();
    assert_eq!(of("search"), of("nowhere"));
    assert_eq!(ask(&hub, &agent, &[("resource", "https://elsewhere.example/")]).error(), "invalid_target");
    assert_eq!(count(&hub), 0);
    // What needs an approval is permitted, and can be asked for.
    ask(&hub, &agent, &[("scope", "mcp:write")]).expect(201);
    ask(&hub, &agent, &[("tool", "write")]).expect(201);
    ask(&hub, &narrow, &[("tool", "read")]).expect(201);
    hub.put_policy("lease", "permit(principal, action == Action::\"lease\", resource);");
    ask(&hub, &agent, &[("connection", "search")]).expect(201);
    hub.put_policy("no", "forbid(principal, action, resource) when { principal.name == \"Deployer\" };");
    forbidden(&agent, &[("scope", "mcp:write")]);
    forbidden(&agent, &[("connection", "search"), ("tool", "other")]);
}

#[test]
fn a_resource_server_asks_for_an_agent_and_redeems_what_nothing_forbids_its_token() {
    let hub = Setup::new();
    let agent = hub.agent("reader", "mcp:read");
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let token = hub.access_token(&agent, "mcp:read");
    let form = |tool: &'static str| [("subject_token", &*token), ("tool", tool)];
    ask(&hub, &server, &form("deploy")).expect(201);
    ask(&hub, &server, &form("read")).expect(201);
    assert_eq!(ask(&hub, &server, &form("write")).status, 403, "its token has no scope of that tool");
    // Its address is not the agent's, for which the permit of the token was.
    let permit = crate::support::hub::permit(&agent.client_id, RESOURCE);
    let here = permit.replace(';', " when { context has ip && context.ip.isInRange(ip(\"192.0.2.0/24\")) };");
    hub.put_policy("reader", &here);
    let id = id(&ask(&hub, &server, &form("here")).expect(201));
    decide(&hub, &id, json!({"decision": "approve"})).expect(200);
    hub.put_policy("reader", &permit.replace("permit", "forbid"));
    let redeem = hub.call("POST", &format!("/t/main/approvals/{id}/redeem")).basic(&server).form(&[]).send();
    assert_eq!((redeem.status, reason(&hub, "approval.refused")), (403, "ApprovalForbidden".to_owned()));
    assert_eq!(shown(&hub, &id)["status"], "approved");
    let refused = ask(&hub, &server, &form("again")).expect(403).json();
    let event = hub.events_of("approval.refused").pop().unwrap();
    assert_eq!((&event["client"], &event["resource_server"]), (&json!(agent.client_id), &json!(server.client_id)));
    // The decision can be looked up.
    let question = json!({"decision": refused["decision"]});
    let explained = hub.admin("POST", "policies/explain").json(&question).send().expect(200).json();
    assert!(explained.to_string().contains("deny"), "{explained}");
}

#[test]
fn a_role_is_asked_where_policy_or_an_administrator_names_it() {
    let hub = Setup::new();
    let agent = agent(&hub, "team", "approval:role=release,n=2");
    let asked = |form: &[(&str, &str)]| {
        let made = ask(&hub, &agent, form);
        if made.status != 201 {
            assert_eq!((made.status, reason(&hub, "approval.refused")), (403, "DeciderNotNamed".to_owned()));
            return Value::Null;
        }
        shown(&hub, &id(&made))["rules"].clone()
    };
    let rule = |who: &str, n: i64| json!([{"who": [who], "n": n, "passkey": false}]);
    // What policy requires of it; whom the client names of those comes in addition.
    assert_eq!(asked(&[("tool", "write")]), rule("role:release", 2));
    assert_eq!(asked(&[("tool", "write"), ("require", "approval:role=release")]), rule("role:release", 2), "no more");
    let signed = json!({"who": ["role:release"], "n": 1, "passkey": true});
    let both = json!([signed, rule("role:release", 2)[0]]);
    assert_eq!(asked(&[("tool", "write"), ("require", "approval:role=release,passkey")]), both);
    assert_eq!(asked(&[("tool", "read")]), rule("group:team", 1));
    assert_eq!(asked(&[("tool", "read"), ("require", "approval:owner")]), rule("group:team", 1));
    for require in ["approval:role=release", "approval:role=boss", "approval:group=release", "approval:owner,role=x"] {
        assert_eq!(asked(&[("tool", "read"), ("require", require)]), Value::Null, "{require}");
    }
    set_rules(&hub, json!({"deciders": ["role=boss"]}));
    assert_eq!(asked(&[("tool", "read"), ("require", "approval:role=boss")]), rule("role:boss", 1));
    assert_eq!(asked(&[("tool", "read"), ("require", "approval:group=boss")]), Value::Null);
    for wrong in [json!({"deciders": ["boss"]}), json!({"deciders": ["role=a,role=b"]}), json!({"deciders": ["n=2"]})] {
        put_rules(&hub, wrong).expect(400);
    }
}

// ── Bounds ──

#[test]
fn one_client_leaves_room_for_others_in_a_persons_list() {
    let hub = Setup::new();
    let owner = Someone::new(&hub, 1, json!({"name": "Olga"}));
    let (loud, other) = (agent(&hub, &owner.id, "approval"), hub.agent("other", "mcp:read"));
    let asked = |client: &Credentials, n: usize| {
        let require = if client.client_id == loud.client_id { "approval:owner" } else { "approval:role=ops" };
        ask(&hub, client, &[("tool", &*format!("t{n}")), ("require", require)])
    };
    (0..10).for_each(|n| drop(asked(&loud, n).expect(201)));
    let refused = asked(&loud, 10);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")));
    assert_eq!(write(&hub, &loud).status, 429, "whichever door");
    // It may still ask others, and others may ask her.
    set_rules(&hub, json!({"deciders": ["role=ops"]}));
    asked(&other, 1).expect(201);
    let second = hub.create_client(json!({"owner": owner.id, "allowed_resources": [RESOURCE]}));
    hub.put_policy("second", &crate::support::hub::permit(&second.client_id, RESOURCE));
    ask(&hub, &second, &[("tool", "t")]).expect(201);
}

#[test]
fn what_a_client_asks_for_in_a_day_is_bounded_for_each_subject() {
    let hub = Setup::new();
    let agent = hub.agent("reader", "mcp:read");
    set_rules(&hub, json!({"per_day": 3}));
    let asked = |n: usize| {
        hub.clock.advance(1_000);
        ask(&hub, &agent, &[("tool", &*format!("t{n}"))])
    };
    let first = id(&asked(0).expect(201));
    decide(&hub, &first, json!({"decision": "deny"})).expect(200);
    (1..3).for_each(|n| drop(asked(n).expect(201)));
    let refused = asked(3);
    // The first one was 3,000 seconds ago.
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("83400")));
    assert_eq!(reason(&hub, "approval.refused"), "TooManyApprovals");
    hub.clock.advance(83_399);
    assert_eq!(ask(&hub, &agent, &[("tool", "t4")]).header("retry-after"), Some("1"));
    hub.clock.advance(1);
    ask(&hub, &agent, &[("tool", "t4")]).expect(201);
    for wrong in [json!({"per_day": 0}), json!({"per_day": 1_001}), json!({"per_week": 1})] {
        put_rules(&hub, wrong).expect(400);
    }
}

#[test]
fn a_client_that_has_asked_enough_for_itself_asks_for_its_user_and_the_statement_names_the_token() {
    let chain = super::chain::Chain::new();
    let hub = &chain.hub;
    set_rules(hub, json!({"per_day": 1}));
    let asked = |form: &[(&str, &str)]| ask(hub, &chain.planner, form);
    asked(&[("tool", "t")]).expect(201);
    assert_eq!(asked(&[("tool", "u")]).status, 429);
    let token = chain.user_token(&chain.planner, RESOURCE, "mcp:read");
    let made = id(&asked(&[("tool", "u"), ("subject_token", &token)]).expect(201));
    let approval = shown(hub, &made);
    assert_eq!((&approval["subject"], &approval["rules"][0]["who"]), (&json!(chain.user), &json!([chain.user])));
    let statement: Value = serde_json::from_str(approval["statement"].as_str().unwrap()).unwrap();
    let jti = crate::support::hub::decode(&token).1["jti"].as_str().unwrap().to_owned();
    assert_eq!(statement["lineage"][0], json!(writ::crypto::sha256(jti).to_text()));
    // The token of one client serves no other one.
    assert_eq!(ask(hub, &chain.worker, &[("tool", "u"), ("subject_token", &token)]).error(), "invalid_request");
}

#[test]
fn what_was_used_or_is_over_is_not_walked_and_what_is_over_is_not_pending() {
    let hub = Setup::new();
    let agent = agent(&hub, "team", "approval");
    let over = waits(&write(&hub, &agent));
    hub.clock.advance(901);
    let used = waits(&write(&hub, &agent));
    assert_eq!(list(&hub, "?status=pending"), [&*used]);
    decide(&hub, &used, json!({"decision": "approve"})).expect(200);
    assert_eq!(list(&hub, "?status=approved"), [&*used]);
    write(&hub, &agent).expect(200);
    assert_eq!(list(&hub, "?status=redeemed"), [&*used]);
    hub.clock.advance(1);
    let lost = waits(&write(&hub, &agent));
    decide(&hub, &lost, json!({"decision": "approve"})).expect(200);
    hub.clock.advance(600);
    assert_eq!((list(&hub, "?status=approved"), list(&hub, "?status=pending")), (vec![], vec![]));
    assert_eq!(list(&hub, ""), [lost, used, over]);
    let plan = "EXPLAIN QUERY PLAN SELECT id FROM approvals INDEXED BY approvals_open \
                WHERE tenant = 'main' AND key = 'k' AND status <> 'redeemed' AND expires_at > 1";
    let plan = hub.db.query(plan)[0]["detail"].as_str().unwrap().to_owned();
    assert!(plan.contains("approvals_open (tenant=? AND key=? AND expires_at>?)"), "{plan}");
}

// ── The token ──

#[test]
fn of_a_token_that_was_revoked_after_the_yes_nothing_is_redeemed() {
    let hub = Setup::new();
    let agent = hub.agent("reader", "mcp:read");
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let approved = |token: &str| {
        let id =
            id(&ask(&hub, &server, &[("subject_token", token), ("tool", "deploy"), ("expires_in", "60")]).expect(201));
        decide(&hub, &id, json!({"decision": "approve"})).expect(200);
        id
    };
    let redeem = |id: &str| hub.call("POST", &format!("/t/main/approvals/{id}/redeem")).basic(&server).form(&[]).send();
    let token = hub.access_token(&agent, "mcp:read");
    let first = approved(&token);
    let other = hub.isolate();
    hub.call("POST", "/t/main/revoke").on(&other).basic(&agent).form(&[("token", &token)]).send().expect(200);
    assert_eq!((redeem(&first).status, reason(&hub, "approval.refused")), (400, "Stopped".to_owned()));
    assert_eq!(shown(&hub, &first)["status"], "approved");
    hub.clock.advance(601);
    // Another token of the same agent is another matter, also once it has expired.
    let second = approved(&hub.access_token(&agent, "mcp:read"));
    hub.clock.advance(400);
    redeem(&second).expect(200);
}

// ── Quiet hours ──

#[test]
fn in_the_quiet_hours_of_the_tenant_nobody_is_asked_anew_at_any_door() {
    let hub = Setup::new();
    let agent = agent(&hub, "team", "approval");
    let waiting = waits(&write(&hub, &agent));
    // It is noon in UTC, and one o'clock in Berlin.
    set_rules(&hub, json!({"quiet": "12:30-13:30", "zone": "Europe/Berlin"}));
    assert_eq!(waits(&write(&hub, &agent)), waiting, "what waits goes on");
    decide(&hub, &waiting, json!({"decision": "approve"})).expect(200);
    write(&hub, &agent).expect(200);

    let refused = write(&hub, &agent);
    assert_eq!((refused.status, refused.error()), (400, "access_denied".to_owned()));
    assert_eq!(
        (refused.header("retry-after"), reason(&hub, "token.refused")),
        (Some("1800"), "ApprovalQuietHours".to_owned())
    );
    let asked = ask(&hub, &agent, &[("tool", "t")]);
    assert_eq!((asked.status, reason(&hub, "approval.refused")), (400, "ApprovalQuietHours".to_owned()));
    assert_eq!(hub.token(&agent, &[]).expect(200).json()["scope"], "mcp:read", "what needs no approval is given");
    assert_eq!(count(&hub), 1);

    set_rules(&hub, json!({"quiet": "12:30-13:30"}));
    waits(&write(&hub, &agent));
    hub.clock.set_seconds(START + 1_800);
    ask(&hub, &agent, &[("tool", "t")]).expect(400);
    hub.clock.set_seconds(START + 5_400);
    ask(&hub, &agent, &[("tool", "t")]).expect(201);
    for wrong in [json!({"quiet": "22-6"}), json!({"quiet": "22:00-22:00"}), json!({"zone": "Mars/Olympus"})] {
        put_rules(&hub, wrong).expect(400);
    }
}

// ── The page ──

#[test]
fn the_page_shows_a_person_what_they_have_decided_and_nobody_else() {
    let hub = Setup::new();
    let someone = |n, name: &str| Someone::new(&hub, n, json!({"name": name, "groups": ["team"]}));
    let (ada, bob) = (someone(1, "Ada"), someone(2, "Bob"));
    let agent = agent(&hub, "team", "approval:group=team,n=2");
    let page = |who: &Someone<'_>| who.browser.get("/t/main/me/approvals").expect(200).text;
    let first = waits(&write(&hub, &agent));
    assert!(!page(&ada).contains("You have decided"));
    ada.approve(&first).expect(303);
    bob.approve(&first).expect(303);
    for who in [&ada, &bob] {
        assert!(page(who).contains("You have decided") && page(who).contains(&first));
    }
    write(&hub, &agent).expect(200);
    let second = waits(&write(&hub, &agent));
    bob.decide(&second, "deny", &[]).expect(303);
    assert!(page(&bob).contains(&second) && !page(&ada).contains(&second));
    assert!(page(&bob).contains("This is denied") && page(&bob).contains("has been used"));
    assert_eq!(hub.db.query("SELECT 1 FROM approval_deciders WHERE decider NOT LIKE 'by:%'").len(), 0);
    hub.clock.advance(91 * 86_400);
    hub.tick().unwrap();
    assert!(hub.db.query("SELECT 1 FROM approval_deciders").is_empty());
}

#[test]
fn a_tool_is_asked_about_by_the_scopes_that_stand_for_it() {
    let hub = Setup::new();
    let agent = agent(&hub, "team", "approval");
    hub.put_policy("agent", &policy(&agent, "mcp:read", ""));
    let asked = |tool: &str| -> Call<'_> {
        let form = [("resource", RESOURCE), ("tool", tool)];
        hub.call("POST", "/t/main/approvals").basic(&agent).form(&form)
    };
    asked("read").send().expect(201);
    asked("write").send().expect(403);
    asked("something else").send().expect(201);
}

// ── What changes between a question and its use ──

fn redeem(hub: &Setup, client: &Credentials, id: &str) -> Reply {
    hub.call("POST", &format!("/t/main/approvals/{id}/redeem")).basic(client).form(&[]).send()
}

#[test]
fn what_policy_asks_of_others_by_now_is_not_redeemed() {
    let hub = Setup::new();
    let agent = agent(&hub, "team", "approval:n=2");
    let approved = |form: &[(&str, &str)]| {
        hub.clock.advance(1);
        let id = id(&ask(&hub, &agent, form).expect(201));
        hub.db.execute(&format!("UPDATE approvals SET status = 'approved' WHERE id = '{id}'"));
        id
    };
    let require = |what: &str| hub.put_policy("agent", &policy(&agent, "mcp:write", &format!("@require(\"{what}\")")));
    for (stricter, status) in [("approval", 200), ("approval:role=finance", 403), ("approval:n=2,passkey", 403)] {
        require("approval:n=2");
        let id = approved(&[("scope", "mcp:write")]);
        require(stricter);
        let reply = redeem(&hub, &agent, &id);
        assert_eq!(reply.status, status, "{stricter}: {reply:?}");
        assert!(status == 200 || reason(&hub, "approval.refused") == "ApprovalForbidden");
    }
    // Whom the client has named itself does not matter to policy.
    set_rules(&hub, json!({"deciders": ["role=boss"]}));
    hub.put_policy("agent", &policy(&agent, "mcp:read", ""));
    redeem(&hub, &agent, &approved(&[("scope", "mcp:read"), ("require", "approval:role=boss")])).expect(200);
}

#[test]
fn a_token_that_was_revoked_while_its_question_waits_is_so_for_as_long_as_the_answer_can_be_redeemed() {
    let hub = Setup::new();
    let agent = hub.agent("reader", "mcp:read");
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let token = hub.access_token(&agent, "mcp:read");
    let form = [("subject_token", &*token), ("tool", "deploy"), ("expires_in", "86400")];
    let id = id(&ask(&hub, &server, &form).expect(201));
    hub.call("POST", "/t/main/revoke").basic(&agent).form(&[("token", &token)]).send().expect(200);
    // The longest that a token lives, and longer.
    for seconds in [700, 3_600, 70_000] {
        hub.clock.advance(seconds);
        hub.tick().unwrap();
    }
    decide(&hub, &id, json!({"decision": "approve"})).expect(200);
    assert_eq!((redeem(&hub, &server, &id).status, reason(&hub, "approval.refused")), (400, "Stopped".to_owned()));
    hub.clock.advance(86_400);
    hub.tick().unwrap();
    assert!(hub.db.query("SELECT * FROM stopped_chains").is_empty());
}

// ── Limits ──

#[test]
fn nobody_is_asked_for_what_a_limit_has_no_room_for() {
    let hub = Setup::new();
    let config =
        json!({"service": {"name": "S", "proxy": {"base_url": "https://api.s.example"}}, "may_be_leased": true});
    let body = json!({"kind": "api_key", "config": config, "secret": {"api_key": "k"}});
    hub.admin("PUT", "connections/search").json(&body).send().expect(201);
    let agent = agent(&hub, "team", "approval");
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let limited = "@limit(\"1/hour\") @require(\"approval\")";
    let lease = format!("{limited} permit(principal, action == Action::\"lease\", resource);");
    hub.put_policy("lease", &lease);
    hub.put_policy("agent", &(policy(&agent, "mcp:read", "") + &policy(&agent, "mcp:write", limited)));
    let token = hub.access_token(&agent, "mcp:read");
    let leased = || {
        let call = hub.call("POST", "/t/main/connections/search/token").basic(&server);
        call.form(&[("subject_token", &token)]).send()
    };
    let yes = |refused: &Reply| decide(&hub, &waits(refused), json!({"decision": "approve"})).expect(200);
    yes(&write(&hub, &agent));
    write(&hub, &agent).expect(200);
    yes(&leased());
    leased().expect(200);
    let asked = hub.events_of("approval.requested").len();
    for full in [
        write(&hub, &agent),
        leased(),
        ask(&hub, &agent, &[("scope", "mcp:write")]),
        ask(&hub, &agent, &[("connection", "search")]),
    ] {
        assert_eq!((full.status, full.error()), (429, "too_many_requests".to_owned()), "{full:?}");
        assert!(full.header("retry-after").is_some());
    }
    assert_eq!(hub.events_of("approval.requested").len(), asked);
    assert_eq!(reason(&hub, "approval.refused"), "LimitReached");
    // A token that was given is asked about by its resource all the same.
    ask(&hub, &server, &[("subject_token", &token), ("tool", "deploy")]).expect(201);
}

#[test]
fn a_token_without_what_was_approved_leaves_the_approval_for_later() {
    let hub = Setup::new();
    let agent = agent(&hub, "team", "approval");
    let limited = policy(&agent, "mcp:write", "@limit(\"1/hour\") @require(\"approval\")");
    hub.put_policy("agent", &(policy(&agent, "mcp:read", "") + &limited));
    hub.clock.advance(3_600 - 300);
    let id = waits(&write(&hub, &agent));
    decide(&hub, &id, json!({"decision": "approve"})).expect(200);
    fill(&hub, &agent);
    let token = hub.token(&agent, &[]).expect(200).json();
    assert_eq!(token["scope"], "mcp:read", "its limit has no room");
    assert_eq!(shown(&hub, &id)["status"], "approved");
    hub.clock.advance(300);
    write(&hub, &agent).expect(200);
}

/// Uses the limit of `mcp:write` up.
fn fill(hub: &Setup, agent: &Credentials) {
    let limited = policy(agent, "mcp:write", "@limit(\"1/hour\")");
    hub.put_policy("agent", &(policy(agent, "mcp:read", "") + &limited));
    write(hub, agent).expect(200);
    let limited = policy(agent, "mcp:write", "@limit(\"1/hour\") @require(\"approval\")");
    hub.put_policy("agent", &(policy(agent, "mcp:read", "") + &limited));
}

#[test]
fn an_agent_without_a_token_is_asked_about_as_one_that_gets_its_first() {
    let hub = Setup::new();
    let agent = agent(&hub, "team", "approval");
    let own = "when { context has grant_type && context.grant_type == \"client_credentials\" };";
    hub.put_policy("agent", &policy(&agent, "mcp:read", "").replace(";", &format!(" {own}")));
    ask(&hub, &agent, &[("scope", "mcp:read")]).expect(201);
    ask(&hub, &agent, &[("scope", "mcp:write")]).expect(403);
    assert_eq!(hub.events_of("approval.refused").pop().unwrap()["grant_type"], "client_credentials");
    hub.token(&agent, &[("scope", "mcp:read")]).expect(200);
}
