//! `/t/{tenant}/bc-authorize` and its grant: a client asks a user who is somewhere else (OpenID CIBA Core 1.0).

use super::approvals::Someone;
use crate::support::browser::location;
use crate::support::call::decode;
use crate::support::hub::RESOURCE;
use crate::support::{Credentials, Reply, Scripted, Setup, Signer};
use serde_json::{Value, json};
use writ::error::Reason;
use writ::ports::Alg;

const GRANT: &str = "urn:openid:params:grant-type:ciba";

/// A hub with a resource that everybody may use.
fn hub() -> Setup {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    hub.put_policy(
        "all",
        &format!(r#"permit(principal, action == Action::"issue", resource in Resource::"{RESOURCE}");"#),
    );
    hub
}

fn client(hub: &Setup, more: Value) -> Credentials {
    let mut body = json!({"client_name": "Kiosk", "grant_types": [GRANT], "allowed_resources": [RESOURCE]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    hub.create_client(body)
}

fn start(hub: &Setup, client: &Credentials, user: &str, more: &[(&str, &str)]) -> Reply {
    let form = [("login_hint", user), ("scope", "openid mcp:read mcp:write"), ("binding_message", "W4SCT")];
    let kept = form.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    let form: Vec<_> = kept.chain(more).copied().collect();
    hub.call("POST", "/t/main/bc-authorize").basic(client).form(&form).send()
}

fn id(started: &Reply) -> String {
    started.json()["auth_req_id"].as_str().unwrap_or_else(|| panic!("{started:?}")).to_owned()
}

fn poll(hub: &Setup, client: &Credentials, id: &str) -> Reply {
    hub.call("POST", "/t/main/token").basic(client).form(&[("grant_type", GRANT), ("auth_req_id", id)]).send()
}

/// The approval that waits.
fn approval(hub: &Setup) -> String {
    let rows = hub.db.query("SELECT id FROM approvals WHERE tenant = 'main' ORDER BY id DESC");
    rows[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_client_polls_until_its_user_has_approved_elsewhere_and_then_gets_one_token() {
    let hub = hub();
    let ada = Someone::new(&hub, 1, json!({"name": "Ada"}));
    let (client, other) = (client(&hub, json!({})), client(&hub, json!({})));
    let started = start(&hub, &client, &ada.id, &[]).expect(200);
    assert_eq!((&started.json()["expires_in"], &started.json()["interval"]), (&json!(300), &json!(5)));
    let id = id(&started);
    assert_eq!(poll(&hub, &client, &id).error(), "authorization_pending");
    assert_eq!(poll(&hub, &client, &id).error(), "slow_down");
    for (seconds, error) in [(6, "slow_down"), (11, "slow_down"), (20, "authorization_pending"), (19, "slow_down")] {
        hub.clock.advance(seconds);
        assert_eq!(poll(&hub, &client, &id).error(), error, "the interval has grown by five with each: {seconds}");
    }
    let approval = approval(&hub);
    let page = ada.page(&approval).expect(200);
    for shown in ["Kiosk", "W4SCT", "mcp:write", "Know who you are here"] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    let done = ada.decide(&approval, "approve", &[("scope", "openid"), ("scope", "mcp:read")]).expect(303);
    ada.browser.get(&location(&done)).expect(200);
    let tokens = poll(&hub, &client, &id).expect(200).json();
    assert_eq!(tokens["scope"], "mcp:read openid");
    assert!(tokens.get("refresh_token").is_none());
    let (_, access) = decode(tokens["access_token"].as_str().unwrap());
    assert_eq!((&access["sub"], &access["approval"]), (&json!(ada.id), &json!(approval)));
    assert_eq!((&access["acr"], access["auth_time"].is_i64()), (&json!("phr"), true));
    let (_, identity) = decode(tokens["id_token"].as_str().unwrap());
    assert_eq!((&identity["sub"], &identity["aud"]), (&json!(ada.id), &json!(client.client_id)));
    assert_eq!(poll(&hub, &client, &id).error(), "invalid_grant", "it counts once");
    // The ID token says whom to ask the next time, also when it is over; and nothing to another client.
    hub.clock.advance(3_600);
    let hint = [("login_hint", ""), ("id_token_hint", tokens["id_token"].as_str().unwrap())];
    start(&hub, &client, "", &hint).expect(200);
    assert_eq!(start(&hub, &other, "", &hint).error(), "invalid_request");
    let access = [("login_hint", ""), ("id_token_hint", tokens["access_token"].as_str().unwrap())];
    assert_eq!(start(&hub, &client, "", &access).error(), "invalid_request");
}

#[test]
fn a_user_who_denies_or_says_nothing_is_believed_and_a_request_is_its_clients_alone() {
    let hub = hub();
    let (ada, kiosk) = (Someone::new(&hub, 1, json!({})), client(&hub, json!({})));
    let denied = id(&start(&hub, &kiosk, &ada.id, &[]).expect(200));
    assert_eq!(poll(&hub, &client(&hub, json!({})), &denied).error(), "invalid_grant");
    ada.decide(&approval(&hub), "deny", &[]).expect(303);
    assert_eq!(poll(&hub, &kiosk, &denied).error(), "access_denied");
    let silent = start(&hub, &kiosk, &ada.id, &[("requested_expiry", "60")]).expect(200);
    assert_eq!(silent.json()["expires_in"], 60);
    hub.clock.advance(60);
    assert_eq!(poll(&hub, &kiosk, &id(&silent)).error(), "expired_token");
    // A poll is no event.
    let refused = hub.events_of("token.refused");
    assert!(refused.iter().all(|event| event["reason"] != "AuthorizationPending"), "{refused:?}");
}

#[test]
fn a_client_that_wants_it_is_told_once_that_there_is_something_to_fetch_and_nothing_of_it() {
    let hub = hub();
    hub.fetch.answer(|_| Scripted::answer(204, "text/plain", ""));
    let ada = Someone::new(&hub, 1, json!({}));
    let ping = json!({
        "backchannel_token_delivery_mode": "ping",
        "backchannel_client_notification_endpoint": "https://kiosk.example/told",
    });
    let kiosk = client(&hub, ping);
    assert_eq!(start(&hub, &kiosk, &ada.id, &[]).error(), "invalid_request");
    let id = id(&start(&hub, &kiosk, &ada.id, &[("client_notification_token", "a-token")]).expect(200));
    assert!(!hub.dump_at_rest().contains(&id) && !hub.dump_at_rest().contains("a-token"));
    ada.approve(&approval(&hub)).expect(303);
    let told = hub.fetch.requests();
    let [told] = told.as_slice() else { panic!("{} calls", told.len()) };
    assert_eq!(told.url, "https://kiosk.example/told");
    assert!(told.headers.iter().any(|(name, value)| *name == "authorization" && value == "Bearer a-token"));
    assert_eq!(told.body.as_deref(), Some(&*json!({"auth_req_id": id}).to_string()));
    poll(&hub, &kiosk, &id).expect(200);
}

#[test]
fn a_request_names_one_user_who_is_there_by_the_sub_and_a_message_that_can_be_shown() {
    let hub = hub();
    let (ada, kiosk) = (Someone::new(&hub, 1, json!({"email": "ada@example.com"})), client(&hub, json!({})));
    for (more, error) in [
        (&[("login_hint", "")][..], "invalid_request"),
        (&[("login_hint", "ada@example.com")], "unknown_user_id"),
        (&[("login_hint_token", "x")], "invalid_request"),
        (&[("id_token_hint", "x")], "invalid_request"),
        (&[("login_hint", ""), ("id_token_hint", "x")], "invalid_request"),
        (&[("request", "x")], "invalid_request"),
        (&[("binding_message", "\u{202e}evil")], "invalid_binding_message"),
        (&[("requested_expiry", "soon")], "invalid_request"),
        (&[("scope", "mcp:typo")], "invalid_scope"),
    ] {
        assert_eq!(start(&hub, &kiosk, &ada.id, more).error(), error, "{more:?}");
    }
    let other = hub.create_client(json!({"allowed_resources": [RESOURCE]}));
    assert_eq!(start(&hub, &other, &ada.id, &[]).error(), "unauthorized_client");
    let public = json!({"client_name": "p", "token_endpoint_auth_method": "none", "grant_types": [GRANT]});
    hub.admin("POST", "clients").json(&public).send().expect(400);
    let push = json!({"client_name": "p", "grant_types": [GRANT], "backchannel_token_delivery_mode": "push"});
    hub.admin("POST", "clients").json(&push).send().expect(400);
    assert!(hub.db.query("SELECT id FROM approvals").is_empty());
}

#[test]
fn a_user_is_not_asked_for_what_policy_forbids_to_consent_to() {
    let hub = hub();
    let ada = Someone::new(&hub, 1, json!({"name": "Ada"}));
    let client = client(&hub, json!({}));
    let forbid = |scope: &str| {
        format!(r#"forbid(principal, action == Action::"consent", resource == Scope::"{RESOURCE} {scope}");"#)
    };
    hub.put_policy("no-write", &forbid("mcp:write"));
    let id = id(&start(&hub, &client, &ada.id, &[]).expect(200));
    let page = ada.page(&approval(&hub)).expect(200);
    assert!(page.text.contains("mcp:read") && !page.text.contains("mcp:write"), "{}", page.text);
    ada.decide(&approval(&hub), "approve", &[("scope", "openid"), ("scope", "mcp:read")]).expect(303);
    assert_eq!(poll(&hub, &client, &id).expect(200).json()["scope"], "mcp:read openid");
    hub.put_policy("no-read", &forbid("mcp:read"));
    assert_eq!(start(&hub, &client, &ada.id, &[]).error(), "invalid_scope");
}

#[test]
fn what_policy_forbids_to_consent_to_meanwhile_is_not_given() {
    let hub = hub();
    let ada = Someone::new(&hub, 1, json!({"name": "Ada"}));
    let client = client(&hub, json!({}));
    let forbid = |scope: &str| {
        format!(r#"forbid(principal, action == Action::"consent", resource == Scope::"{RESOURCE} {scope}");"#)
    };
    let (first, second) = (start(&hub, &client, &ada.id, &[]).expect(200), approval(&hub));
    ada.approve(&second).expect(303);
    hub.put_policy("no-write", &forbid("mcp:write"));
    assert_eq!(poll(&hub, &client, &id(&first)).expect(200).json()["scope"], "mcp:read openid");
    hub.clock.advance(1);
    let third = id(&start(&hub, &client, &ada.id, &[("scope", "openid mcp:read")]).expect(200));
    ada.approve(&approval(&hub)).expect(303);
    hub.put_policy("no-read", &forbid("mcp:read"));
    assert_eq!(poll(&hub, &client, &third).error(), "invalid_scope");
    assert_eq!(hub.events_of("approval.redeemed").len(), 1, "what is not given is not used");
}

#[test]
fn a_user_is_not_asked_at_a_quiet_hour() {
    let hub = hub();
    let ada = Someone::new(&hub, 1, json!({"name": "Ada"}));
    let client = client(&hub, json!({}));
    super::approval_rules::set_rules(&hub, json!({"quiet": "11:00-13:00"}));
    let quiet = start(&hub, &client, &ada.id, &[]);
    assert_eq!((quiet.status, quiet.error()), (400, "access_denied".to_owned()));
    super::approval_rules::set_rules(&hub, json!({}));
    assert!(hub.db.query("SELECT id FROM approvals").is_empty());
    start(&hub, &client, &ada.id, &[]).expect(200);
}

#[test]
fn a_permit_that_wants_a_key_and_how_the_user_has_signed_in_holds_when_the_token_is_fetched() {
    let hub = hub();
    let (ada, kiosk) = (Someone::new(&hub, 1, json!({})), client(&hub, json!({})));
    let permit = format!("permit(principal, action == Action::\"issue\", resource in Resource::\"{RESOURCE}\")");
    hub.put_policy("all", &format!("{permit} when {{ context.dpop && context has acr && context.acr == \"phr\" }};"));
    let id = id(&start(&hub, &kiosk, &ada.id, &[]).expect(200));
    ada.approve(&approval(&hub)).expect(303);
    assert_eq!(poll(&hub, &kiosk, &id).error(), "invalid_scope");
    let key = Signer::new(Alg::Es256, 1);
    let claims = json!({
        "jti": "1", "htm": "POST", "htu": format!("{}/token", hub.issuer("main")), "iat": hub.clock.seconds(),
    });
    let call = hub.call("POST", "/t/main/token").basic(&kiosk).header("dpop", &key.proof(&claims));
    call.form(&[("grant_type", GRANT), ("auth_req_id", &*id)]).send().expect(200);
}

#[test]
fn where_policy_wants_it_the_user_signs_and_others_decide_as_well() {
    let hub = hub();
    let (ada, kiosk) = (Someone::new(&hub, 1, json!({})), client(&hub, json!({})));
    let fred = Someone::new(&hub, 2, json!({"roles": ["finance"]}));
    let require = |what: &str| {
        let permit = format!("permit(principal, action == Action::\"issue\", resource in Resource::\"{RESOURCE}\");");
        hub.put_policy("all", &format!("@require(\"{what}\") {permit}"));
    };
    require("approval:passkey");
    start(&hub, &kiosk, &ada.id, &[]).expect(200);
    assert!(ada.approve(&approval(&hub)).expect(200).text.contains("Your passkey signs"));
    // Nothing of it can be had without the others, so they are asked; the ID token tells of the user.
    require("approval:role=finance");
    hub.clock.advance(1);
    let id = id(&start(&hub, &kiosk, &ada.id, &[]).expect(200));
    ada.approve(&approval(&hub)).expect(303);
    assert_eq!(poll(&hub, &kiosk, &id).error(), "authorization_pending");
    hub.clock.advance(60);
    fred.approve(&approval(&hub)).expect(303);
    let tokens = poll(&hub, &kiosk, &id).expect(200).json();
    assert_eq!(tokens["scope"], "mcp:read mcp:write openid");
    let (_, identity) = decode(tokens["id_token"].as_str().unwrap());
    let votes = &super::approvals::shown(&hub, &approval(&hub))["votes"];
    assert_eq!((&identity["sub"], &votes[0]["by"]), (&json!(ada.id), &json!(ada.id)));
    assert_eq!(identity["auth_time"], votes[0]["auth_time"]);
}

#[test]
fn an_administrator_may_refuse_a_request_of_the_backchannel_and_not_answer_it_for_its_user() {
    let hub = hub();
    let ada = Someone::new(&hub, 1, json!({"name": "Ada"}));
    let client = client(&hub, json!({}));
    let id = id(&start(&hub, &client, &ada.id, &[]).expect(200));
    let decide = |decision: &str| {
        let path = format!("approvals/{}/decide", approval(&hub));
        hub.admin("POST", &path).json(&json!({"decision": decision})).send().status
    };
    assert_eq!(decide("approve"), 404);
    assert_eq!(decide("deny"), 200);
    assert_eq!(poll(&hub, &client, &id).error(), "access_denied");
}

#[test]
fn a_user_is_asked_ten_times_a_minute_at_most() {
    let hub = hub();
    let ada = Someone::new(&hub, 1, json!({}));
    let kiosks: Vec<Credentials> = (0..2).map(|_| client(&hub, json!({}))).collect();
    for n in 0..10 {
        start(&hub, &kiosks[n % 2], &ada.id, &[]).expect(200);
    }
    assert_eq!(start(&hub, &kiosks[0], &ada.id, &[]).status, 429);
}

#[test]
fn of_many_polls_of_an_approved_request_one_is_answered_with_a_token_bound_to_its_key() {
    let hub = hub();
    let (ada, kiosk) = (Someone::new(&hub, 1, json!({})), client(&hub, json!({})));
    let id = id(&start(&hub, &kiosk, &ada.id, &[]).expect(200));
    ada.approve(&approval(&hub)).expect(303);
    let key = Signer::new(Alg::Es256, 1);
    let calls = (0..5).map(|n| {
        let claims = json!({
            "jti": n.to_string(), "htm": "POST", "htu": format!("{}/token", hub.issuer("main")), "iat": hub.clock.seconds(),
        });
        let call = hub.call("POST", "/t/main/token").basic(&kiosk).header("dpop", &key.proof(&claims));
        call.form(&[("grant_type", GRANT), ("auth_req_id", &*id)]).future()
    });
    let replies = hub.together(3, calls.collect());
    let good: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 200).collect();
    let [good] = good.as_slice() else { panic!("{replies:?}") };
    assert_eq!(good.json()["token_type"], "DPoP");
}

#[test]
fn what_policy_requires_of_the_same_user_is_met_by_the_backchannel_and_nothing_else_is() {
    let hub = hub();
    let (ada, kiosk) = (Someone::new(&hub, 1, json!({})), client(&hub, json!({})));
    let require = |what: &str| {
        let head = format!(
            "@require(\"{what}\") permit(principal, action == Action::\"issue\", resource in Resource::\"{RESOURCE}\")"
        );
        hub.put_policy("guard", &format!("{head} when {{ resource.name == \"mcp:write\" }};"));
    };
    let scope_for = |what: &str| {
        require(what);
        let id = id(&start(&hub, &kiosk, &ada.id, &[]).expect(200));
        ada.approve(&approval(&hub)).expect(303);
        poll(&hub, &kiosk, &id).expect(200).json()["scope"].clone()
    };
    assert_eq!(scope_for("approval"), "mcp:read mcp:write openid");
    assert_eq!(scope_for("approval:role=finance"), "mcp:read openid");
}

#[test]
fn a_user_is_not_asked_for_what_a_limit_has_no_room_for() {
    let hub = hub();
    let (ada, kiosk) = (Someone::new(&hub, 1, json!({})), client(&hub, json!({})));
    let permit = format!(r#"permit(principal, action == Action::"issue", resource in Resource::"{RESOURCE}")"#);
    let limited = format!("@limit(\"1/hour\") @on_breach(\"suspend\") {permit}");
    hub.put_policy("all", &format!("{limited};"));
    let first = id(&start(&hub, &kiosk, &ada.id, &[]).expect(200));
    ada.approve(&approval(&hub)).expect(303);
    poll(&hub, &kiosk, &first).expect(200);
    // Where another scope has room, the user is asked, and nobody is suspended.
    let one = |head: &str, scope: &str| format!("{head} when {{ resource.name == \"{scope}\" }};\n");
    hub.put_policy("all", &(one(&limited, "mcp:read") + &one(&permit, "mcp:write")));
    start(&hub, &kiosk, &ada.id, &[]).expect(200);
    assert!(hub.events_of("identity.suspended").is_empty());
    let refused = start(&hub, &kiosk, &ada.id, &[("scope", "openid mcp:read")]);
    assert_eq!((refused.status, refused.error()), (429, "too_many_requests".to_owned()), "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(hub.events_of("approval.requested").len(), 2);
    assert_eq!(hub.events_of("identity.suspended").len(), 1);
}

#[test]
fn whom_policy_asks_about_a_scope_that_is_forbidden_is_not_asked() {
    let hub = hub();
    let (ada, kiosk) = (Someone::new(&hub, 1, json!({})), client(&hub, json!({})));
    let permit = |scope: &str, require: &str| {
        let head = format!("@require(\"{require}\") permit(principal, action == Action::\"issue\", resource)");
        format!("{head} when {{ resource.name == \"{scope}\" }};\n")
    };
    hub.put_policy("all", &(permit("mcp:read", "approval") + &permit("mcp:write", "approval:passkey")));
    let forbid =
        format!(r#"forbid(principal, action == Action::"consent", resource == Scope::"{RESOURCE} mcp:write");"#);
    hub.put_policy("no-write", &forbid);
    let id = id(&start(&hub, &kiosk, &ada.id, &[]).expect(200));
    ada.approve(&approval(&hub)).expect(303);
    assert_eq!(poll(&hub, &kiosk, &id).expect(200).json()["scope"], "mcp:read openid");
}

/// A request that is refused for that reason.
pub fn provoke(reason: Reason) -> Reply {
    let hub = hub();
    let (ada, kiosk) = (Someone::new(&hub, 1, json!({})), client(&hub, json!({})));
    match reason {
        Reason::BackchannelNotAllowed => {
            start(&hub, &hub.create_client(json!({"allowed_resources": [RESOURCE]})), &ada.id, &[])
        }
        Reason::MalformedBackchannel => start(&hub, &kiosk, "", &[]),
        Reason::InvalidBindingMessage => start(&hub, &kiosk, &ada.id, &[("binding_message", &"x".repeat(101))]),
        Reason::UnknownUserId => start(&hub, &kiosk, "user_nobody", &[]),
        Reason::TooManyBackchannel => {
            (0..10).for_each(|_| drop(start(&hub, &kiosk, &ada.id, &[])));
            start(&hub, &kiosk, &ada.id, &[])
        }
        Reason::MissingAuthReqId => poll(&hub, &kiosk, ""),
        Reason::InvalidAuthReqId => poll(&hub, &kiosk, "x"),
        Reason::BackchannelDenied => {
            let id = id(&start(&hub, &kiosk, &ada.id, &[]));
            ada.decide(&approval(&hub), "deny", &[]).expect(303);
            poll(&hub, &kiosk, &id)
        }
        Reason::BackchannelExpired => {
            let id = id(&start(&hub, &kiosk, &ada.id, &[]));
            hub.clock.advance(300);
            poll(&hub, &kiosk, &id)
        }
        other => panic!("{other:?} is not provoked here"),
    }
}
