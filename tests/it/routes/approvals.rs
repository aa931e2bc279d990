//! A person is asked: by policy, by a client at `approvals`, on the pages of `me/approvals`, and by administrators.

use super::chain::{Chain, TASKS};
use super::introspection::Server;
use super::passkeys::{accept, assertion, device, invite};
use super::proxy;
use crate::support::authenticator::Passkey;
use crate::support::browser::{Browser, action, field, location};
use crate::support::call::decode;
use crate::support::hub::{Call, RESOURCE, permit};
use crate::support::{Credentials, Effect, Port, Reply, Scripted, Setup, Signer};
use serde_json::{Value, json};
use writ::crypto::{b64, sha256};
use writ::error::Reason;
use writ::ports::{Alg, Pending};

/// A person with a passkey who is signed in.
pub struct Someone<'a> {
    pub id: String,
    pub browser: Browser<'a>,
    passkey: Passkey,
}

impl<'a> Someone<'a> {
    pub fn new(hub: &'a Setup, n: usize, body: Value) -> Self {
        let made = hub.admin("POST", "users").json(&body).send().expect(201).json();
        let id = made["id"].as_str().unwrap().to_owned();
        let (browser, mut passkey) = (Browser::new(hub), device(n));
        let page = browser.get(&invite(hub, "main", &id)).expect(200);
        accept(&browser, &page, &mut passkey).expect(303);
        Self { id, browser, passkey }
    }

    pub fn page(&self, id: &str) -> Reply {
        self.browser.get(&path(id))
    }

    /// Decides on the page: what is ticked there, or these scopes.
    pub fn decide(&self, id: &str, decision: &str, more: &[(&str, &str)]) -> Reply {
        let page = self.page(id).expect(200);
        self.browser.post(&action(&page), &self.fields(&page, decision, more))
    }

    fn fields<'b>(&self, page: &Reply, decision: &'b str, more: &[(&'b str, &'b str)]) -> Vec<(&'b str, &'b str)> {
        let tag: &'static str = Box::leak(field(page, "tag").into_boxed_str());
        let mut fields = vec![("tag", tag), ("decision", decision)];
        fields.extend(more);
        if !more.iter().any(|(name, _)| *name == "scope") {
            let ticked = page.text.split("name=\"scope\" value=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
            fields.extend(ticked.map(|scope| ("scope", &*Box::leak(scope.to_owned().into_boxed_str()))));
        }
        fields
    }

    pub fn approve(&self, id: &str) -> Reply {
        self.decide(id, "approve", &[])
    }
}

fn path(id: &str) -> String {
    format!("/t/main/me/approvals/{id}")
}

/// A policy about an agent's scope of the resource, with annotations.
pub fn policy(agent: &Credentials, scope: &str, annotations: &str) -> String {
    let head = format!(r#"principal == Client::"{}", action == Action::"issue""#, agent.client_id);
    format!(
        "{annotations} permit({head}, resource in Resource::\"{RESOURCE}\") when {{ resource.name == \"{scope}\" }};\n"
    )
}

/// An agent of an owner. It reads freely, and writes once it was approved as `require` says.
pub fn agent(hub: &Setup, owner: &str, require: &str) -> Credentials {
    if hub.db.query("SELECT id FROM resources WHERE tenant = 'main'").is_empty() {
        hub.create_resource(json!({}));
    }
    let agent = hub.create_client(json!({"client_name": "Deployer", "owner": owner, "allowed_resources": [RESOURCE]}));
    let require = format!("@require(\"{require}\")");
    hub.put_policy("agent", &(policy(&agent, "mcp:read", "") + &policy(&agent, "mcp:write", &require)));
    agent
}

pub fn write(hub: &Setup, agent: &Credentials) -> Reply {
    hub.token(agent, &[("scope", "mcp:write")])
}

/// The id of the approval that a refusal waits for.
#[track_caller]
pub fn waits(reply: &Reply) -> String {
    let body = reply.json();
    assert_eq!((reply.status, &body["error"]), (400, &json!("authorization_pending")), "{reply:?}");
    body["approval_id"].as_str().unwrap().to_owned()
}

pub fn shown(hub: &Setup, id: &str) -> Value {
    hub.admin("GET", &format!("approvals/{id}")).send().expect(200).json()
}

pub fn decide(hub: &Setup, id: &str, body: Value) -> Reply {
    hub.admin("POST", &format!("approvals/{id}/decide")).json(&body).send()
}

pub fn count(hub: &Setup) -> usize {
    hub.db.query("SELECT id FROM approvals WHERE tenant = 'main'").len()
}

// ── Policy ──

#[test]
fn a_scope_that_needs_an_approval_is_given_once_after_its_owner_has_approved_it() {
    let hub = Setup::new();
    let owner = Someone::new(&hub, 1, json!({"name": "Olga Owner"}));
    let agent = agent(&hub, &owner.id, "approval");
    // What needs none is given without it, and nobody is asked.
    assert_eq!(hub.token(&agent, &[]).expect(200).json()["scope"], "mcp:read");
    assert_eq!(count(&hub), 0);

    let refused = write(&hub, &agent);
    let id = waits(&refused);
    let body = refused.json();
    assert_eq!(body["approval_uri"], format!("{}/me/approvals/{id}", hub.issuer("main")));
    assert_eq!((&body["interval"], &body["expires_in"]), (&json!(5), &json!(900)));
    let page = owner.page(&id).expect(200);
    for text in ["Deployer", "A resource", "mcp:write", "Olga Owner", body["approval_number"].as_str().unwrap()] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    assert!(owner.browser.get("/t/main/me/approvals").expect(200).text.contains(&id));
    assert_eq!(waits(&write(&hub, &agent)), id, "it waits still");

    let done = owner.approve(&id).expect(303);
    assert!(owner.browser.get(&location(&done)).expect(200).text.contains("This is approved"));
    let list = owner.browser.get("/t/main/me/approvals").expect(200).text;
    assert!(list.contains("Nothing waits") && list.find(&id) > list.find("You have decided"));
    let token = write(&hub, &agent).expect(200);
    assert_eq!(token.json()["scope"], "mcp:write");
    let (_, claims) = decode(&token.access_token());
    assert_eq!((&claims["approval"], &claims["txn"]), (&json!(id), &json!(id)));
    assert_eq!(shown(&hub, &id)["status"], "redeemed");
    assert_ne!(waits(&write(&hub, &agent)), id, "it counts once");
    for kind in ["approval.requested", "approval.decided", "approval.redeemed", "token.issued"] {
        let events = hub.events_of(kind);
        assert!(events.iter().any(|event| event["approval"] == json!(id)), "{kind}: {events:?}");
    }
}

#[test]
fn a_request_for_more_gets_what_needs_no_approval_and_what_was_approved() {
    let hub = Setup::new();
    let agent = agent(&hub, "nobody", "approval");
    let both = [("scope", "mcp:read mcp:write")];
    assert_eq!(hub.token(&agent, &both).expect(200).json()["scope"], "mcp:read");
    let id = waits(&write(&hub, &agent));
    decide(&hub, &id, json!({"decision": "approve"})).expect(200);
    assert_eq!(hub.token(&agent, &both).expect(200).json()["scope"], "mcp:read mcp:write");
    assert_eq!(hub.token(&agent, &both).expect(200).json()["scope"], "mcp:read");
}

#[test]
fn requests_that_ask_the_same_are_one_and_others_are_not() {
    let hub = Setup::new();
    let agent = agent(&hub, "team", "approval");
    let other = hub.create_client(json!({"client_name": "Other", "owner": "team", "allowed_resources": [RESOURCE]}));
    hub.put_policy("other", &policy(&other, "mcp:write", "@require(\"approval\")"));
    for seed in 0..10 {
        hub.db.execute("DELETE FROM approvals");
        let calls = (0..5).map(|_| hub.token_call(&agent, &[("scope", "mcp:write")]).future());
        let replies = hub.together(seed, calls.collect());
        let ids: Vec<String> = replies.iter().map(waits).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(count(&hub), 1);
    }
    let first = waits(&write(&hub, &agent));
    assert_ne!(waits(&write(&hub, &other)), first);
    decide(&hub, &first, json!({"decision": "approve"})).expect(200);
    waits(&write(&hub, &other));
    write(&hub, &agent).expect(200);
}

#[test]
fn of_many_requests_at_once_one_redeems_an_approval() {
    for seed in 0..10 {
        let hub = Setup::new();
        let agent = agent(&hub, "team", "approval");
        let id = waits(&write(&hub, &agent));
        decide(&hub, &id, json!({"decision": "approve"})).expect(200);
        let isolates = [hub.isolate(), hub.isolate()];
        let calls = (0..6).map(|n| hub.token_call(&agent, &[("scope", "mcp:write")]).on(&isolates[n % 2]).future());
        let replies = hub.together(seed, calls.collect());
        assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1, "{replies:?}");
        assert_eq!(hub.events_of("approval.redeemed").len(), 1);
    }
}

#[test]
fn whichever_call_fails_or_loses_its_reply_an_approval_is_worth_one_token_at_most() {
    for effect in [Effect::Fails, Effect::LosesReply] {
        for n in 0..12 {
            let hub = Setup::new();
            let agent = agent(&hub, "team", "approval");
            let id = waits(&write(&hub, &agent));
            decide(&hub, &id, json!({"decision": "approve"})).expect(200);
            hub.faults.fail_nth(Port::Db, n, effect);
            let first = write(&hub, &agent);
            hub.faults.heal();
            let second = write(&hub, &agent);
            let tokens = [&first, &second].iter().filter(|reply| reply.status == 200).count();
            assert!(tokens <= 1, "{n} {first:?} {second:?}");
        }
    }
}

#[test]
fn an_approval_is_not_redeemed_with_another_key_or_chain() {
    let chain = Chain::new();
    let hub = &chain.hub;
    let agent = agent(hub, "team", "approval");
    let (key, other) = (Signer::new(Alg::Es256, 1), Signer::new(Alg::Es256, 2));
    let with = |key: &Signer| {
        let proof = chain.proof(key);
        hub.token_call(&agent, &[("scope", "mcp:write")]).header("dpop", &proof).send()
    };
    let told = |id: &str| serde_json::from_str::<Value>(shown(hub, id)["statement"].as_str().unwrap()).unwrap();
    let id = waits(&with(&key));
    assert_eq!((&told(&id)["jkt"], &told(&id)["chain"]), (&json!(key.thumbprint()), &json!([])));
    decide(hub, &id, json!({"decision": "approve"})).expect(200);
    let without = waits(&write(hub, &agent));
    let others = waits(&with(&other));
    assert!(without != id && others != id && others != without);
    assert_eq!((&told(&without)["jkt"], &told(&others)["jkt"]), (&Value::Null, &json!(other.thumbprint())));
    let token = with(&key).expect(200).access_token();
    assert_eq!(decode(&token).1["cnf"]["jkt"], key.thumbprint());
    assert_eq!(shown(hub, &id)["status"], "redeemed");

    // The same agent, for the same user, at the end of another chain.
    let ask = format!(r#"permit(principal, action == Action::"exchange", resource in Resource::"{RESOURCE}");"#);
    hub.put_policy("ask", &format!("@require(\"approval\") {ask}"));
    let (third, _) = chain.agent("third", &["verified"]);
    let at = |first: &Credentials| {
        let subject = chain.user_token(first, TASKS, "mcp:read");
        chain.delegate(&chain.worker, &subject, &[("resource", RESOURCE)]).send()
    };
    let id = waits(&at(&chain.planner));
    assert_eq!(told(&id)["chain"], json!([chain.worker.client_id, chain.planner.client_id]));
    decide(hub, &id, json!({"decision": "approve"})).expect(200);
    assert_ne!(waits(&at(&third)), id);
    at(&chain.planner).expect(200);
    assert_eq!(shown(hub, &id)["status"], "redeemed");
}

#[test]
fn a_no_is_told_with_its_note_until_its_end_and_nobody_is_asked_again_meanwhile() {
    let hub = Setup::new();
    let owner = Someone::new(&hub, 1, json!({"name": "Olga"}));
    let agent = agent(&hub, &owner.id, "approval");
    let id = waits(&write(&hub, &agent));
    owner.decide(&id, "deny", &[("note", "not on a Friday")]).expect(303);
    let refused = write(&hub, &agent);
    assert_eq!((refused.status, refused.error()), (400, "access_denied".to_owned()));
    assert_eq!(refused.json()["approval_note"], "not on a Friday");
    assert_eq!(count(&hub), 1);
    hub.clock.advance(901);
    assert_ne!(waits(&write(&hub, &agent)), id);
}

#[test]
fn silence_is_a_no() {
    let hub = Setup::new();
    let owner = Someone::new(&hub, 1, json!({"name": "Olga"}));
    let agent = agent(&hub, &owner.id, "approval");
    let id = waits(&write(&hub, &agent));
    let page = owner.page(&id).expect(200);
    hub.clock.advance(900);
    owner.browser.post(&path(&id), &owner.fields(&page, "approve", &[])).expect(409);
    assert_eq!(shown(&hub, &id)["status"], "expired");
    assert!(owner.page(&id).expect(200).text.contains("Nobody has decided in time"));
    assert_eq!(decide(&hub, &id, json!({"decision": "approve"})).status, 409);
    // What was approved is over as well, if it is not used.
    let other = waits(&write(&hub, &agent));
    owner.approve(&other).expect(303);
    hub.clock.advance(600);
    assert_ne!(waits(&write(&hub, &agent)), other);
}

#[test]
fn an_approval_that_is_taken_back_is_not_used_and_stops_what_came_of_it() {
    let hub = Setup::new();
    let agent = agent(&hub, "team", "approval");
    let server = Server::new(&hub, RESOURCE);
    let id = waits(&write(&hub, &agent));
    decide(&hub, &id, json!({"decision": "approve"})).expect(200);
    let token = write(&hub, &agent).access_token();
    assert!(server.is_active(&token));
    let revoke = |id: &str| hub.admin("POST", &format!("approvals/{id}/revoke")).send().expect(200).json();
    assert_eq!(revoke(&id)["status"], "revoked");
    assert_eq!(revoke(&id)["status"], "revoked");
    assert!(!server.is_active(&token));
    assert_eq!(hub.events_of("approval.revoked").len(), 1);

    // Who has just been told no is not asked again at once.
    assert_eq!(write(&hub, &agent).error(), "access_denied");
    hub.clock.advance(600);
    let next = waits(&write(&hub, &agent));
    decide(&hub, &next, json!({"decision": "approve"})).expect(200);
    revoke(&next);
    assert_eq!(write(&hub, &agent).error(), "access_denied");
}

#[test]
fn a_client_that_is_killed_leaves_nobody_asked() {
    let hub = Setup::new();
    let owner = Someone::new(&hub, 1, json!({"name": "Olga"}));
    let agent = agent(&hub, &owner.id, "approval");
    let id = waits(&write(&hub, &agent));
    hub.admin("POST", &format!("clients/{}/kill", agent.client_id)).send().expect(200);
    assert_eq!(shown(&hub, &id)["status"], "revoked");
    assert!(!owner.browser.get("/t/main/me/approvals").expect(200).text.contains(&id));
    assert!(hub.db.query("SELECT approval FROM approval_deciders").is_empty());
}

// ── Who decides ──

#[test]
fn of_a_role_as_many_have_to_approve_as_the_policy_says_and_one_no_is_enough() {
    let hub = Setup::new();
    let someone = |n, name: &str, roles: Value| Someone::new(&hub, n, json!({"name": name, "roles": roles}));
    let (ada, bob) = (someone(1, "Ada", json!(["finance"])), someone(2, "Bob", json!(["finance"])));
    let eve = someone(3, "Eve", json!(["sales"]));
    let agent = agent(&hub, "team", "approval:role=finance,n=2");
    let id = waits(&write(&hub, &agent));
    eve.page(&id).expect(404);
    ada.approve(&id).expect(303);
    assert!(ada.page(&id).expect(200).text.contains("Others have to approve it"));
    waits(&write(&hub, &agent));
    let page = bob.page(&id).expect(200);
    // The same person does not count twice.
    let again = ada.fields(&page, "approve", &[]);
    assert_ne!(ada.browser.post(&path(&id), &again).status, 303);
    bob.approve(&id).expect(303);
    write(&hub, &agent).expect(200);
    assert_eq!(hub.events_of("approval.voted").len(), 1);

    let next = waits(&write(&hub, &agent));
    // A page that was opened before another has said yes still says no, and so does who has said yes.
    let page = ada.page(&next).expect(200);
    ada.approve(&next).expect(303);
    let no = ada.fields(&page, "deny", &[]);
    ada.browser.post(&path(&next), &no).expect(303);
    assert_eq!(write(&hub, &agent).error(), "access_denied");
    hub.clock.advance(901);

    let next = waits(&write(&hub, &agent));
    ada.approve(&next).expect(303);
    bob.decide(&next, "deny", &[]).expect(303);
    assert_eq!(write(&hub, &agent).error(), "access_denied");
}

#[test]
fn of_two_decisions_at_once_one_counts_and_the_other_is_409() {
    for seed in 0..10 {
        let hub = Setup::new();
        let (ada, bob) =
            (Someone::new(&hub, 1, json!({"groups": ["ops"]})), Someone::new(&hub, 2, json!({"groups": ["ops"]})));
        let agent = agent(&hub, "ops", "approval");
        let id = waits(&write(&hub, &agent));
        let pages = [(&ada, "approve"), (&bob, "deny")];
        let calls = pages.iter().map(|(who, decision)| {
            let page = who.page(&id).expect(200);
            let call =
                hub.call("POST", &path(&id)).header("origin", hub.origin()).header("cookie", &who.browser.cookies());
            call.form(&who.fields(&page, decision, &[])).future()
        });
        let calls: Vec<Pending<'_, Reply>> = calls.collect();
        let replies = hub.together(seed, calls);
        let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [303, 409], "{replies:?}");
    }
}

#[test]
fn a_client_that_asks_or_acts_decides_nothing() {
    let hub = Setup::new();
    let api = hub.issuer("main") + "/admin";
    let made = ask(&hub, &hub.admin_client("main"), &[("tool", "t"), ("resource", &api)]).expect(201).json();
    let id = made["approval_id"].as_str().unwrap();
    let refused = decide(&hub, id, json!({"decision": "approve"}));
    assert_eq!((refused.status, refused.json()["reason"].clone()), (403, json!("OwnApproval")));
    assert_eq!(shown(&hub, id)["status"], "pending");
}

#[test]
fn an_actor_of_the_chain_decides_nothing() {
    let chain = Chain::new();
    let hub = &chain.hub;
    let api = hub.issuer("main") + "/admin";
    let ask = format!(r#"permit(principal, action == Action::"exchange", resource in Resource::"{RESOURCE}");"#);
    hub.put_policy("ask", &format!("@require(\"approval\") {ask}"));
    let subject = chain.user_token(&chain.planner, TASKS, "mcp:read");
    let id = waits(&chain.delegate(&chain.worker, &subject, &[("resource", RESOURCE)]).send());
    // It may administer, and an administrator who is none of them may decide.
    let (planner, all) = (&chain.planner.client_id, json!([RESOURCE, TASKS, api]));
    hub.db.execute(&format!(
        "UPDATE clients SET metadata = json_set(metadata, '$.allowed_resources', json('{all}')) WHERE id = '{planner}'"
    ));
    hub.restart();
    let token = hub.token(&chain.planner, &[("resource", &api), ("scope", "admin")]).access_token();
    hub.call("GET", "/t/main/admin/clients").bearer(&token).send().expect(200);
    let path = format!("/t/main/admin/approvals/{id}/decide");
    for decision in ["approve", "deny"] {
        let refused = hub.call("POST", &path).bearer(&token).json(&json!({"decision": decision})).send();
        assert_eq!((refused.status, &refused.json()["reason"]), (403, &json!("OwnApproval")), "{refused:?}");
    }
    assert_eq!(shown(hub, &id)["status"], "pending");
    decide(hub, &id, json!({"decision": "approve"})).expect(200);
}

#[test]
fn what_is_left_is_a_part_of_what_was_asked() {
    let hub = Setup::new();
    let owner = Someone::new(&hub, 1, json!({"name": "Olga"}));
    hub.create_resource(json!({}));
    let agent = hub.create_client(json!({"owner": owner.id, "allowed_resources": [RESOURCE]}));
    let both = permit(&agent.client_id, RESOURCE);
    hub.put_policy("agent", &format!("@require(\"approval\") {both}"));
    let ask = || hub.token(&agent, &[]);
    let id = waits(&ask());
    for wrong in [json!(["mcp:admin"]), json!(["mcp:read", "mcp:admin"]), json!([])] {
        let refused = decide(&hub, &id, json!({"decision": "approve", "scope": wrong}));
        assert_eq!(refused.json()["reason"], "ApprovalWidened", "{refused:?}");
    }
    assert_eq!(owner.decide(&id, "approve", &[("scope", "mcp:admin")]).status, 400);
    owner.decide(&id, "approve", &[("scope", "mcp:read")]).expect(303);
    let approval = shown(&hub, &id);
    let granted = approval["granted"].as_str().unwrap();
    assert_eq!(approval["hash"], sha256(granted).to_text());
    assert_eq!(serde_json::from_str::<Value>(granted).unwrap()["scope"], json!(["mcp:read"]));
    assert_eq!(ask().expect(200).json()["scope"], "mcp:read");
}

#[test]
fn no_more_than_twenty_approvals_wait_for_one_who_decides_and_for_one_client() {
    let hub = Setup::new();
    let owner = Someone::new(&hub, 1, json!({"name": "Olga"}));
    hub.create_resource(json!({}));
    let permit = format!("permit(principal, action == Action::\"issue\", resource in Resource::\"{RESOURCE}\");");
    hub.put_policy("all", &permit);
    let groups: Vec<String> = (0..20).map(|n| format!("group=g{n}")).collect();
    super::approval_rules::set_rules(&hub, json!({"deciders": groups}));
    let asked = |client: &Credentials, n: usize, require: &str| {
        self::ask(&hub, client, &[("tool", &*format!("tool-{n}")), ("require", require)])
    };
    let ask = |client: &Credentials, n: usize| asked(client, n, &format!("approval:group=g{n}"));
    let one = hub.create_client(json!({"owner": owner.id, "allowed_resources": [RESOURCE]}));
    (0..20).for_each(|n| drop(ask(&one, n).expect(201)));
    let refused = asked(&one, 20, "approval:owner");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")));
    assert_eq!(ask(&one, 0).expect(201).json()["status"], "pending", "the same is one");

    let of_owner = |n: usize| {
        let client = hub.create_client(json!({"owner": owner.id, "allowed_resources": [RESOURCE]}));
        asked(&client, n, "approval")
    };
    (0..20).for_each(|n| drop(of_owner(n).expect(201)));
    assert_eq!(of_owner(20).status, 429);
    hub.clock.advance(900);
    of_owner(20).expect(201);
}

// ── The page ──

#[test]
fn a_link_only_opens_the_page_and_a_decision_needs_its_form_its_session_and_its_origin() {
    let hub = Setup::new();
    let (owner, other) =
        (Someone::new(&hub, 1, json!({"name": "Olga"})), Someone::new(&hub, 2, json!({"name": "Eve"})));
    let agent = agent(&hub, &owner.id, "approval");
    let id = waits(&write(&hub, &agent));
    let page = owner.page(&format!("{id}?decision=approve")).expect(200);
    assert!(page.text.find("value=\"deny\"").unwrap() < page.text.find("value=\"approve\"").unwrap(), "Enter is a no");
    assert!(!page.text.contains("<script"));
    let fields = owner.fields(&page, "approve", &[]);
    let send = |cookies: &str, origin: &str| {
        hub.call("POST", &path(&id)).header("origin", origin).header("cookie", cookies).form(&fields).send().status
    };
    assert_eq!(send(&owner.browser.cookies(), "https://evil.example"), 403);
    assert_eq!(send(&other.browser.cookies(), hub.origin()), 404);
    let untagged = [("tag", "x"), ("decision", "approve")];
    owner.browser.post(&path(&id), &untagged).expect(400);
    let anonymous = Browser::new(&hub);
    assert!(anonymous.get(&path(&id)).expect(200).text.contains("Sign in"));
    assert_eq!(anonymous.post(&path(&id), &fields).status, 200);
    assert_eq!(shown(&hub, &id)["status"], "pending");
    owner.browser.post(&path(&id), &fields).expect(303);
    owner.browser.post(&path(&id), &fields).expect(409);
}

#[test]
fn whoever_opens_a_link_signs_in_and_comes_back_to_it() {
    let hub = Setup::new();
    let owner = Someone::new(&hub, 1, json!({"name": "Olga"}));
    let agent = agent(&hub, &owner.id, "approval");
    let id = waits(&write(&hub, &agent));
    let browser = Browser::new(&hub);
    let page = browser.get(&path(&id)).expect(200);
    let request = field(&page, "request");
    let asked = browser.post("/t/main/sign-in", &[("provider", "passkey"), ("request", &request)]).expect(200);
    let credential = assertion(&asked, &owner.passkey);
    let fields = [
        ("provider", "passkey"),
        ("request", &*request),
        ("ceremony", &*field(&asked, "ceremony")),
        ("credential", &credential),
    ];
    let back = browser.post("/t/main/sign-in", &fields).expect(303);
    assert_eq!(location(&back), path(&id));
    assert!(browser.get(&path(&id)).expect(200).text.contains("Deployer"));
}

#[test]
fn what_changes_how_text_is_shown_is_spelt_out_and_markup_is_text() {
    let hub = Setup::new();
    let owner = Someone::new(&hub, 1, json!({"name": "Olga"}));
    let agent = agent(&hub, &owner.id, "approval");
    hub.db
        .execute("UPDATE clients SET metadata = json_set(metadata, '$.client_name', '<b>A</b>') WHERE tenant = 'main'");
    let arguments = json!({"to": "\u{202e}evil", "body": "<script>alert(1)</script>"}).to_string();
    let form = [("tool", "send"), ("arguments", &*arguments), ("amount", "12.50"), ("currency", "EUR")];
    let made = ask(&hub, &agent, &form).expect(201).json();
    let page = owner.page(made["approval_id"].as_str().unwrap()).expect(200);
    assert!(page.text.contains("\\u{202e}evil") && !page.text.contains('\u{202e}'), "{}", page.text);
    assert!(page.text.contains("&lt;script&gt;") && !page.text.contains("<script") && !page.text.contains("<b>A"));
    assert!(page.text.contains("12.50 EUR"));
    let hidden = [("tool", "send"), ("reason", "\u{202e}evil")];
    ask(&hub, &agent, &hidden).expect(400);
}

#[test]
fn with_a_passkey_the_stored_assertion_proves_the_approval_without_writ() {
    let hub = Setup::new();
    let owner = Someone::new(&hub, 1, json!({"name": "Olga"}));
    let agent = agent(&hub, &owner.id, "approval:owner,passkey");
    let id = waits(&write(&hub, &agent));
    assert_eq!(decide(&hub, &id, json!({"decision": "approve"})).json()["reason"], "PasskeyRequired");
    let page = owner.approve(&id).expect(200);
    assert_eq!(super::passkeys::challenge(&page), sha256(shown(&hub, &id)["statement"].as_str().unwrap()).bytes());
    let send = |passkey: &Passkey| {
        let credential = assertion(&page, passkey);
        let (tag, chosen) = (field(&page, "tag"), field(&page, "chosen"));
        let fields = [("tag", &*tag), ("decision", "approve"), ("chosen", &chosen), ("credential", &credential)];
        owner.browser.post(&path(&id), &fields)
    };
    let mut strange = device(7);
    strange.user_handle = owner.passkey.user_handle.clone();
    assert_eq!(send(&strange).status, 403);
    assert_eq!(shown(&hub, &id)["status"], "pending");
    send(&owner.passkey).expect(303);
    write(&hub, &agent).expect(200);

    let approval = shown(&hub, &id);
    let vote = &approval["votes"][0];
    assert_eq!(vote["by"], json!(owner.id));
    let proof = &vote["passkey"];
    let bytes = |name: &str| writ::crypto::unb64(proof[name].as_str().unwrap()).unwrap();
    let client_data: Value = serde_json::from_slice(&bytes("clientDataJSON")).unwrap();
    let statement = approval["statement"].as_str().unwrap();
    assert_eq!(client_data["challenge"], b64(sha256(statement).bytes()));
    let signed = [bytes("authenticatorData"), sha256(bytes("clientDataJSON")).bytes().to_vec()].concat();
    let jwk = proof["public_key"].to_string();
    assert!(crate::support::keys::verifies(writ::ports::Alg::EdDsa, &jwk, &signed, &bytes("signature")));
}

// ── Leases and calls ──

/// An agent, a resource server, and a connection that hands out a key once that was approved.
struct Shop {
    hub: Setup,
    agent: Credentials,
    server: Credentials,
}

impl Shop {
    fn new() -> Self {
        let hub = Setup::new();
        let agent = hub.agent("reader", "mcp:read");
        let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
        let service = json!({"name": "Search", "proxy": {"base_url": "https://api.search.example"}});
        let config = json!({"service": service, "may_be_leased": true});
        let body = json!({"kind": "api_key", "config": config, "secret": {"api_key": "sk-canary"}});
        hub.admin("PUT", "connections/search").json(&body).send().expect(201);
        hub.put_policy("lease", "@require(\"approval\") permit(principal, action == Action::\"lease\", resource);");
        Self { hub, agent, server }
    }

    fn lease(&self, tool: &str) -> Call<'_> {
        let token = self.hub.access_token(&self.agent, "mcp:read");
        let call = self.hub.call("POST", "/t/main/connections/search/token").basic(&self.server);
        call.form(&[("subject_token", &token), ("tool", tool)])
    }
}

#[test]
fn a_lease_waits_for_its_approval_and_has_it_once_for_the_tool_that_was_approved() {
    let shop = Shop::new();
    let id = waits(&shop.lease("pay").send());
    assert_eq!(waits(&shop.lease("pay").send()), id);
    assert_eq!(shop.hub.events_of("lease.refused").len(), 1, "a poll is no event");
    let statement: Value = serde_json::from_str(shown(&shop.hub, &id)["statement"].as_str().unwrap()).unwrap();
    assert_eq!((&statement["tool"], &statement["connection"]), (&json!("pay"), &json!("search")));
    assert_eq!(statement["requester"], json!(shop.server.client_id));
    decide(&shop.hub, &id, json!({"decision": "approve"})).expect(200);
    waits(&shop.lease("delete").send());
    // Nor is it for another account, or for another host.
    let token = shop.hub.access_token(&shop.agent, "mcp:read");
    let other = [("subject_token", &*token), ("tool", "pay"), ("account", "private")];
    let at = "/t/main/connections/search/token";
    assert_ne!(waits(&shop.hub.call("POST", at).basic(&shop.server).form(&other).send()), id);
    let lease = shop.lease("pay").send().expect(200).json();
    assert_eq!((&lease["api_key"], &lease["approval"]), (&json!("sk-canary"), &json!(id)), "{lease}");
    assert_eq!(shop.hub.events_of("lease.granted").pop().unwrap()["approval"], json!(id));
    waits(&shop.lease("pay").send());
}

#[test]
fn a_call_that_was_approved_is_made_once_goes_on_while_it_lasts_and_is_cut_when_the_approval_is_taken_back() {
    let scene = proxy::Scene::new();
    let hub = scene.hub();
    hub.put_policy(
        "guard",
        "@require(\"approval\") permit(principal, action == Action::\"lease\", resource) when { context has method && context.method == \"POST\" };",
    );
    scene.call("GET", "/messages/1").send().expect(200);
    let id = waits(&scene.call("POST", "/messages/1").send());
    let sent = scene.passed();
    decide(hub, &id, json!({"decision": "approve"})).expect(200);
    waits(&scene.call("POST", "/messages/2").send());
    assert_eq!(scene.passed(), sent);
    scene.flow(proxy::ticks());
    let whole = scene.call("POST", "/messages/1").send().expect(200);
    assert!(!whole.cut, "it was redeemed, and lasts");
    assert_eq!(scene.event("proxy.called")["approval"], json!(id));

    let next = waits(&scene.call("POST", "/messages/1").send());
    decide(hub, &next, json!({"decision": "approve"})).expect(200);
    hub.clock.advance(60);
    let token = hub.admin_token();
    let revoking = async {
        writ::ports::Timer::sleep(&hub.clock, 10_000).await;
        let path = format!("/t/main/admin/approvals/{next}/revoke");
        hub.call("POST", &path).bearer(&token).future().await
    };
    let calls: Vec<Pending<'_, Reply>> = vec![scene.call("POST", "/messages/1").future(), Box::pin(revoking)];
    let replies = hub.together(1, calls);
    assert!(replies[0].cut, "{replies:?}");
}

// ── Asking ──

/// Asks for an approval with a form; at the resource, where it names nothing else.
pub fn ask(hub: &Setup, client: &Credentials, form: &[(&str, &str)]) -> Reply {
    let is_somewhere = form.iter().any(|(name, _)| ["resource", "connection", "subject_token"].contains(name));
    let at: &[_] = if is_somewhere { &[] } else { &[("resource", RESOURCE)] };
    hub.call("POST", "/t/main/approvals").basic(client).form(&[form, at].concat()).send()
}

#[test]
fn a_resource_server_asks_about_a_call_of_a_tool_and_redeems_what_was_approved_once() {
    let hub = Setup::new();
    let agent = hub.agent("reader", "mcp:read");
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let token = hub.access_token(&agent, "mcp:read");
    let form = [
        ("subject_token", &*token),
        ("tool", "deploy"),
        ("arguments", r#"{"to":"production"}"#),
        ("reason", "release 1.2"),
    ];
    let made = ask(&hub, &server, &form).expect(201);
    let id = made.json()["approval_id"].as_str().unwrap().to_owned();
    assert_eq!(ask(&hub, &server, &form).expect(201).json()["approval_id"], json!(id));
    let path = format!("/t/main/approvals/{id}");
    assert_eq!(made.header("location"), Some(&*format!("{}/approvals/{id}", hub.issuer("main"))));
    let state = hub.call("GET", &path).basic(&server).send().expect(200).json();
    assert_eq!(state["status"], "pending");
    let redeem = |client: &Credentials| hub.call("POST", &format!("{path}/redeem")).basic(client).form(&[]).send();
    assert_eq!(redeem(&server).error(), "authorization_pending");
    decide(&hub, &id, json!({"decision": "approve"})).expect(200);
    // To the agent itself it is not there.
    assert_eq!(redeem(&agent).status, 404);
    assert_eq!(hub.call("GET", &path).basic(&agent).send().status, 404);
    let redeemed = redeem(&server).expect(200).json();
    let statement = redeemed["statement"].as_str().unwrap();
    assert_eq!(redeemed["hash"], sha256(statement).to_text());
    let statement: Value = serde_json::from_str(statement).unwrap();
    assert_eq!(statement["arguments"], json!({"to": "production"}));
    assert_eq!((&statement["client"], &statement["reason"]), (&json!(agent.client_id), &json!("release 1.2")));
    assert_eq!(redeem(&server).error(), "access_denied");
    assert_eq!(hub.call("POST", &path).basic(&server).form(&[]).send().expect(200).json()["status"], "redeemed");
}

#[test]
fn of_an_agent_that_was_stopped_after_the_yes_nothing_is_redeemed() {
    let hub = Setup::new();
    let agent = hub.agent("reader", "mcp:read");
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let token = hub.access_token(&agent, "mcp:read");
    let made = ask(&hub, &server, &[("subject_token", &*token), ("tool", "deploy"), ("reason", "r")]).expect(201);
    let id = made.json()["approval_id"].as_str().unwrap().to_owned();
    decide(&hub, &id, json!({"decision": "approve"})).expect(200);
    let act = |verb: &str| hub.admin("POST", &format!("clients/{}/{verb}", agent.client_id)).send().expect(200);
    let redeem = || hub.call("POST", &format!("/t/main/approvals/{id}/redeem")).basic(&server).form(&[]).send();
    act("suspend");
    assert_ne!(redeem().status, 200);
    assert_eq!(shown(&hub, &id)["status"], "approved");
}

#[test]
fn what_is_asked_at_approvals_is_bounded_and_says_what_is_to_be_done() {
    let hub = Setup::new();
    let agent = hub.agent("reader", "mcp:read");
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let long = json!({"x": "y".repeat(9_000)}).to_string();
    for wrong in [
        &[("tool", "t"), ("arguments", "[]")][..],
        &[("tool", "t"), ("arguments", r#"{"a":1,"a":2}"#)],
        &[("tool", "t"), ("arguments", &long)],
        &[("tool", "t"), ("amount", "1")],
        &[("tool", "t"), ("amount", "x"), ("currency", "EUR")],
        &[("tool", "t"), ("require", "approval:anybody")],
        &[("tool", "t"), ("expires_in", "59")],
        &[("tool", "t"), ("expires_in", "86401")],
        &[("tool", "\u{200b}")],
    ] {
        assert_eq!(ask(&hub, &agent, wrong).error(), "invalid_request", "{wrong:?}");
    }
    for nothing in [&[][..], &[("tool", "t")]] {
        let reply = hub.call("POST", "/t/main/approvals").basic(&agent).form(nothing).send();
        assert_eq!(reply.error(), "invalid_request", "{nothing:?}");
    }
    assert_eq!(ask(&hub, &server, &[("tool", "t")]).error(), "invalid_request", "a resource server presents a token");
    let other = hub.access_token(&hub.agent("other", "mcp:read"), "mcp:read");
    assert_eq!(ask(&hub, &agent, &[("tool", "t"), ("subject_token", &other)]).error(), "invalid_request");
    assert_eq!(count(&hub), 0);
    assert_eq!(hub.events_of("approval.refused").len(), 13);
}

// ── Webhooks, administrators ──

#[test]
fn webhooks_are_told_with_the_page_and_the_number_that_the_page_shows() {
    let hub = Setup::new();
    hub.fetch.answer(|_| Scripted::answer(204, "text/plain", ""));
    let owner = Someone::new(&hub, 1, json!({"name": "Olga"}));
    let agent = agent(&hub, &owner.id, "approval");
    let body = json!({"url": "https://backend.example/writ", "events": ["approval.requested", "approval.decided"]});
    hub.admin("POST", "webhooks").json(&body).send().expect(201);
    let refused = write(&hub, &agent);
    let id = waits(&refused);
    owner.decide(&id, "deny", &[]).expect(303);
    hub.relay().unwrap();
    let told: Vec<Value> =
        hub.fetch.requests().iter().map(|post| serde_json::from_str(post.body.as_deref().unwrap()).unwrap()).collect();
    let of = |kind: &str| told.iter().find(|told| told["type"] == kind).unwrap()["data"].clone();
    let requested = of("approval.requested");
    assert_eq!(requested["url"], format!("{}/me/approvals/{id}", hub.issuer("main")));
    assert_eq!(requested["number"], refused.json()["approval_number"]);
    assert_eq!((&requested["deciders"], &requested["scope"]), (&json!(owner.id), &json!("mcp:write")));
    assert!(requested["number"].as_str().is_some_and(|number| number.len() == 2));
    assert_eq!(
        (&of("approval.decided")["outcome"], &of("approval.decided")["approval"]),
        (&json!("denied"), &json!(id))
    );
}

#[test]
fn administrators_see_approvals_by_status_the_newest_first() {
    let hub = Setup::new();
    let agent = hub.agent("reader", "mcp:read");
    let ids: Vec<String> = (0..3)
        .map(|n| {
            hub.clock.advance(1);
            let made = ask(&hub, &agent, &[("tool", &*format!("t{n}"))]).expect(201).json();
            made["approval_id"].as_str().unwrap().to_owned()
        })
        .collect();
    decide(&hub, &ids[1], json!({"decision": "deny", "note": "no"})).expect(200);
    let list = |query: &str| {
        let page = hub.admin("GET", &format!("approvals{query}")).send().expect(200).json();
        let items: Vec<String> =
            page["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        (items, page["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(list("").0, [&*ids[2], &*ids[1], &*ids[0]]);
    assert_eq!(list("?status=pending").0, [&*ids[2], &*ids[0]]);
    let (first, cursor) = list("?limit=2");
    assert_eq!(first, [&*ids[2], &*ids[1]]);
    assert_eq!(list(&format!("?limit=2&cursor={}", cursor.unwrap())).0, [&*ids[0]]);
    hub.admin("GET", "approvals?status=lost").send().expect(400);
    hub.admin("GET", "approvals/nothing").send().expect(404);
}

#[test]
fn an_approval_is_kept_for_ninety_days_and_then_forgotten() {
    let hub = Setup::new();
    let agent = hub.agent("reader", "mcp:read");
    ask(&hub, &agent, &[("tool", "t")]).expect(201);
    hub.clock.advance(901);
    hub.tick().unwrap();
    assert_eq!(count(&hub), 1);
    assert!(hub.db.query("SELECT approval FROM approval_deciders").is_empty());
    hub.clock.advance(90 * 86_400);
    hub.tick().unwrap();
    assert_eq!(count(&hub), 0);
}

/// A request that is refused for that reason.
pub fn provoke(reason: Reason) -> Reply {
    let hub = Setup::new();
    let agent = agent(&hub, "team", "approval");
    let id = || waits(&write(&hub, &agent));
    match reason {
        Reason::ApprovalPending => write(&hub, &agent),
        Reason::ApprovalDenied => {
            decide(&hub, &id(), json!({"decision": "deny"})).expect(200);
            write(&hub, &agent)
        }
        Reason::ApprovalOver => {
            hub.admin("POST", &format!("approvals/{}/revoke", id())).send().expect(200);
            write(&hub, &agent)
        }
        Reason::ApprovalDecided => {
            let id = id();
            decide(&hub, &id, json!({"decision": "deny"})).expect(200);
            decide(&hub, &id, json!({"decision": "approve"}))
        }
        Reason::ApprovalWidened => decide(&hub, &id(), json!({"decision": "approve", "scope": ["mcp:admin"]})),
        Reason::PasskeyRequired => {
            hub.put_policy("agent", &policy(&agent, "mcp:write", "@require(\"approval:passkey\")"));
            decide(&hub, &id(), json!({"decision": "approve"}))
        }
        Reason::TooManyApprovals => {
            let asked = |n: usize| ask(&hub, &agent, &[("tool", &*n.to_string())]);
            (0..20).for_each(|n| drop(asked(n)));
            asked(20)
        }
        Reason::InvalidApprovalRequest => ask(&hub, &agent, &[("tool", "t"), ("require", "approval:x")]),
        Reason::ApprovalForbidden => ask(&hub, &hub.create_client(json!({"allowed_resources": [RESOURCE]})), &[]),
        Reason::DeciderNotNamed => ask(&hub, &agent, &[("tool", "t"), ("require", "approval:role=boss")]),
        Reason::ApprovalQuietHours => {
            super::approval_rules::set_rules(&hub, json!({"quiet": "11:00-13:00"}));
            write(&hub, &agent)
        }
        Reason::OwnApproval => {
            let admin = hub.admin_client("main");
            let api = hub.issuer("main") + "/admin";
            let made = ask(&hub, &admin, &[("tool", "t"), ("resource", &api)]).expect(201).json();
            decide(&hub, made["approval_id"].as_str().unwrap(), json!({"decision": "approve"}))
        }
        other => panic!("{other:?} is not provoked here"),
    }
}
