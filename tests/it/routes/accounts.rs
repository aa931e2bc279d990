//! Connected accounts: how a person connects one, and how its tokens are kept, whatever the service and D1 do.

use super::authorize::{client, permitting, redeem};
use crate::support::browser::{Browser, authorization, field};
use crate::support::hub::{Call, RESOURCE};
use crate::support::service::{CLIENT_ID, CLIENT_SECRET, Service};
use crate::support::{Credentials, Effect, Port, Reply, Scripted, Setup};
use serde_json::{Value, json};
use std::rc::Rc;
use writ::ports::FetchError;

const LEASE: &str = "/t/main/connections/chat/token";
const DEVELOPMENT: (&str, &str) = crate::support::browser::DEVELOPMENT;

/// A person with an agent, a resource server, and the connection `chat`.
pub struct Scene {
    pub hub: Setup,
    pub service: Rc<Service>,
    pub server: Credentials,
    pub client: String,
}

impl Scene {
    pub fn new(rotates: bool, reuse_seconds: u64) -> Self {
        let hub = permitting(Setup::with(&[DEVELOPMENT]));
        let service = Service::open(&hub);
        service.rotates.set(rotates);
        service.reuse_seconds.set(reuse_seconds);
        let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
        let client = client(&hub);
        hub.put_policy("lease", r#"permit(principal, action == Action::"lease", resource == Connection::"chat");"#);
        let scene = Self { hub, service, server, client };
        scene.put(json!({})).expect(201);
        scene
    }

    fn body(&self, more: Value) -> Value {
        let mut config = json!({
            "service": self.service.described(), "client_id": CLIENT_ID, "scopes": ["chat:read", "chat:write"],
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"kind": "oauth2", "config": config, "secret": {"client_secret": CLIENT_SECRET}})
    }

    pub fn put(&self, more: Value) -> Reply {
        self.hub.admin("PUT", "connections/chat").json(&self.body(more)).send()
    }

    /// The access token of the agent of the person with this browser.
    pub fn agents_token(&self, browser: &Browser<'_>) -> String {
        let query = authorization(&self.client, &[("scope", "mcp:read"), ("resource", RESOURCE)]);
        redeem(&self.hub, &self.client, &browser.code(&query, &["mcp:read"])).expect(200).access_token()
    }

    fn call(&self, token: &str, more: &[(&str, &str)]) -> Call<'_> {
        let form: Vec<_> = [("subject_token", token)].iter().chain(more).copied().collect();
        self.hub.call("POST", LEASE).basic(&self.server).form(&form)
    }

    pub fn lease(&self, token: &str) -> Reply {
        self.call(token, &[]).send()
    }

    /// The person opens a link and goes on.
    fn going(&self, browser: &Browser<'_>, link: &str) -> Reply {
        let page = browser.get(link).expect(200);
        let fields = [("tag", field(&page, "tag")), ("request", field(&page, "request"))];
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.post("/t/main/connect/chat", &fields)
    }

    /// As many accounts under other labels as there may be beside the first one.
    fn fill(&self) {
        let columns = "connection, owner, name, subject, scope_asked, scope, status, wrapped_key, sealed, expires_at, created_at, updated_at";
        self.hub.db.execute(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 20) \
             INSERT INTO connected_accounts (tenant, id, label, {columns}) \
             SELECT 'main', id || i, 'label-' || i, {columns} FROM connected_accounts, n WHERE tenant = 'main' AND label = ''"
        ));
        self.hub.restart();
    }

    /// Where the browser goes then.
    fn leave(&self, browser: &Browser<'_>, link: &str) -> String {
        let going = self.going(browser, link).expect(200);
        going.header("refresh").and_then(|refresh| refresh.strip_prefix("0;url=")).unwrap().to_owned()
    }

    /// The person connects that account.
    pub fn connect(&self, browser: &Browser<'_>, link: &str, account: &str) -> Reply {
        let back = self.service.allow(&self.leave(browser, link), account);
        browser.get(&back)
    }

    pub fn connected(&self) -> (Browser<'_>, String) {
        let browser = Browser::new(&self.hub);
        let token = self.agents_token(&browser);
        self.connect(&browser, &url(&self.lease(&token)), "ada@chat").expect(200);
        (browser, token)
    }

    fn row(&self) -> Value {
        Value::Object(
            self.hub.db.query("SELECT * FROM connected_accounts WHERE tenant = 'main'").pop().expect("no account"),
        )
    }

    fn status(&self) -> String {
        self.row()["status"].as_str().unwrap().to_owned()
    }

    /// The access token is due, and lives no longer.
    pub fn due(&self) {
        self.hub.clock.advance(3_600);
    }
}

/// Where a person is to connect an account.
#[track_caller]
pub fn url(reply: &Reply) -> String {
    assert_eq!((reply.status, reply.error().as_str()), (400, "interaction_required"), "{reply:?}");
    reply.json()["connect_url"].as_str().unwrap().to_owned()
}

#[test]
fn an_agent_without_an_account_gets_a_link_and_its_next_try_goes_on() {
    let scene = Scene::new(true, 0);
    let browser = Browser::new(&scene.hub);
    let token = scene.agents_token(&browser);
    let refused = scene.lease(&token);
    let link = url(&refused);
    let page = browser.get(&link).expect(200);
    assert!(page.text.contains("Chat") && page.text.contains("Notes app") && page.text.contains("Post messages"));
    let done = scene.connect(&browser, &link, "ada@chat").expect(200);
    assert!(done.text.contains("ada@chat"), "{}", done.text);
    let lease = scene.lease(&token).expect(200);
    assert!(scene.service.takes(&lease.access_token()));
    assert_eq!(lease.json()["scope"], "chat:read chat:write");
    assert_eq!(scene.service.refreshes.get(), 0);
    let events = scene.hub.events();
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    for kind in ["lease.refused", "account.connected", "lease.granted"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let everything = scene.hub.dump_at_rest() + &format!("{events:?}");
    for canary in
        ["chat-access-canary", "chat-refresh-canary", "chat-code-canary", CLIENT_SECRET, "words-of-the-service"]
    {
        assert!(!everything.contains(canary), "{canary}");
    }
}

#[test]
fn twenty_leases_of_three_isolates_refresh_once_and_the_service_sees_no_reuse() {
    for seed in 0..12 {
        let scene = Scene::new(true, 0);
        let (browser, _) = scene.connected();
        scene.due();
        scene.service.delay_millis.set(400);
        let token = scene.agents_token(&browser);
        let isolates = [scene.hub.isolate(), scene.hub.isolate(), scene.hub.isolate()];
        let calls = (0..20).map(|n| scene.call(&token, &[]).on(&isolates[n % 3]).future()).collect();
        for reply in scene.hub.together(seed, calls) {
            assert!(scene.service.takes(&reply.expect(200).access_token()), "seed {seed}");
        }
        assert_eq!((scene.service.refreshes.get(), scene.service.reused.get()), (1, 0), "seed {seed}");
        assert_eq!(scene.status(), "active");
    }
}

#[test]
fn a_crash_at_any_call_of_a_refresh_shows_the_service_no_reuse_and_hands_out_nothing_that_is_not_stored() {
    for effect in [Effect::Fails, Effect::LosesReply] {
        for nth in 0..12 {
            let scene = Scene::new(true, 0);
            let (browser, _) = scene.connected();
            scene.due();
            let token = scene.agents_token(&browser);
            scene.hub.faults.fail_nth(Port::Db, nth, effect);
            let first = scene.lease(&token);
            scene.hub.faults.heal();
            scene.hub.clock.advance(40);
            let second = scene.lease(&token);
            for reply in [&first, &second] {
                match reply.status {
                    200 => assert!(scene.service.takes(&reply.access_token()), "{effect:?} {nth}: {reply:?}"),
                    400 => drop(url(reply)),
                    503 => assert_eq!(reply.text.find("access_token"), None),
                    _ => panic!("{effect:?} {nth}: {reply:?}"),
                }
            }
            assert_eq!(scene.service.reused.get(), 0, "{effect:?} {nth}");
            // One call that goes wrong once loses nothing: the outcome is written again.
            assert_eq!(second.status, 200, "{effect:?} {nth}: {first:?} {second:?} {}", scene.row());
        }
    }
}

#[test]
fn a_lost_reply_makes_the_account_uncertain_and_it_is_asked_once_more_only_where_the_service_takes_that() {
    // Nothing is known any more: its person has to connect it again.
    let scene = Scene::new(true, 0);
    let (browser, _) = scene.connected();
    scene.due();
    let token = scene.agents_token(&browser);
    scene.service.loses.set(1);
    url(&scene.lease(&token));
    assert_eq!((scene.status().as_str(), scene.service.refreshes.get(), scene.service.reused.get()), ("revoked", 1, 0));
    let kinds: Vec<Value> =
        scene.hub.events_of("account.changed").iter().map(|event| event["reason"].clone()).collect();
    assert!(kinds.contains(&json!("uncertain")) && kinds.contains(&json!("revoked")), "{kinds:?}");
    scene.connect(&browser, &url(&scene.lease(&token)), "ada@chat").expect(200);
    scene.lease(&token).expect(200);

    // The service takes a used one again for a while.
    let scene = Scene::new(true, 60);
    let (browser, _) = scene.connected();
    scene.due();
    let token = scene.agents_token(&browser);
    scene.service.loses.set(1);
    assert!(scene.service.takes(&scene.lease(&token).expect(200).access_token()));
    assert_eq!((scene.status().as_str(), scene.service.refreshes.get(), scene.service.reused.get()), ("active", 2, 0));
    // Once more, and no oftener.
    scene.due();
    let token = scene.agents_token(&browser);
    scene.service.loses.set(5);
    url(&scene.lease(&token));
    assert_eq!((scene.status().as_str(), scene.service.refreshes.get()), ("revoked", 4));

    // Where refresh tokens stay, nothing is uncertain.
    let scene = Scene::new(false, 0);
    let (browser, _) = scene.connected();
    scene.due();
    let token = scene.agents_token(&browser);
    scene.service.loses.set(1);
    assert_eq!(scene.lease(&token).status, 502);
    assert_eq!(scene.status(), "degraded");
    scene.hub.clock.advance(6);
    scene.lease(&token).expect(200);
    assert_eq!(scene.status(), "active");
}

#[test]
fn a_service_that_is_down_destroys_nothing_and_what_still_lives_is_used() {
    for down in [
        Scripted::failure(FetchError::Unreachable),
        Scripted::failure(FetchError::Timeout),
        Scripted::json(503, json!({})),
        Scripted::json(429, json!({"error": "rate_limited"})),
        Scripted::answer(500, "text/html", "<h1>words-of-the-service</h1>"),
        Scripted::json(400, json!({"error": "some_error_nobody_knows"})),
    ] {
        let scene = Scene::new(true, 0);
        let (browser, _) = scene.connected();
        // Due, but alive for a minute.
        scene.hub.clock.advance(3_540);
        let token = scene.agents_token(&browser);
        *scene.service.instead.borrow_mut() = Some(down.clone());
        assert!(scene.lease(&token).expect(200).json()["expires_in"].as_i64().unwrap() <= 60);
        assert_eq!(scene.status(), "degraded");
        scene.hub.clock.advance(120);
        let token = scene.agents_token(&browser);
        assert_eq!(scene.lease(&token).status, 502);
        let asked = scene.hub.fetch.requests().len();
        assert_eq!(scene.lease(&token).status, 502);
        assert_eq!(scene.hub.fetch.requests().len(), asked, "it is left alone for a while");
        *scene.service.instead.borrow_mut() = None;
        scene.hub.clock.advance(6);
        assert!(scene.service.takes(&scene.lease(&token).expect(200).access_token()));
        assert_eq!((scene.status().as_str(), scene.service.reused.get()), ("active", 0));
    }
}

#[test]
fn what_the_service_refuses_says_what_becomes_of_the_account() {
    for (error, status) in [
        ("invalid_grant", "revoked"),
        ("token_expired", "expired"),
        ("consent_required", "consent_withdrawn"),
        ("invalid_scope", "scope_lost"),
    ] {
        let scene = Scene::new(true, 0);
        let (browser, _) = scene.connected();
        scene.due();
        let token = scene.agents_token(&browser);
        *scene.service.instead.borrow_mut() = Some(Scripted::json(400, json!({"error": error})));
        url(&scene.lease(&token));
        *scene.service.instead.borrow_mut() = None;
        assert_eq!(scene.status(), status);
        let event = scene.hub.events_of("account.changed").pop().unwrap();
        assert_eq!((&event["reason"], &event["detail"]), (&json!(status), &json!(error)));
        let asked = scene.hub.fetch.requests().len();
        url(&scene.lease(&token));
        assert_eq!(scene.hub.fetch.requests().len(), asked, "{status}: it is not asked again");
        assert!(browser.get("/t/main/me").expect(200).text.contains("connect"), "{status}");
    }
}

#[test]
fn a_short_token_is_used_for_half_of_its_life() {
    let scene = Scene::new(true, 0);
    scene.service.lifetime.set(60);
    let (_, token) = scene.connected();
    for refreshes in 0..3 {
        for _ in 0..3 {
            scene.lease(&token).expect(200);
        }
        assert_eq!(scene.service.refreshes.get(), refreshes);
        scene.hub.clock.advance(31);
    }
}

#[test]
fn tokens_of_another_account_are_revoked_at_once_and_never_used() {
    let scene = Scene::new(true, 0);
    let mut service = scene.service.described();
    service["oauth2"]["account_id"] = json!("/account");
    let etag = scene.hub.admin("GET", "connections/chat").send().header("etag").unwrap().to_owned();
    let mut body = scene.body(json!({}));
    body["config"]["service"] = service;
    scene.hub.admin("PUT", "connections/chat").header("if-match", &etag).json(&body).send().expect(200);
    let (browser, _) = scene.connected();
    scene.due();
    let token = scene.agents_token(&browser);
    *scene.service.refreshes_as.borrow_mut() = Some("eve@chat".to_owned());
    let before = scene.service.access_tokens().len();
    url(&scene.lease(&token));
    assert_eq!((scene.service.access_tokens().len(), scene.status().as_str()), (before + 1, "account_changed"));
    assert_eq!(scene.service.revoked.borrow().len(), 1);
    let event = scene.hub.events_of("account.changed").pop().unwrap();
    assert_eq!(event["reason"], "account_changed");
    *scene.service.refreshes_as.borrow_mut() = None;
    scene.connect(&browser, &url(&scene.lease(&token)), "ada@chat").expect(200);
    scene.lease(&token).expect(200);
}

#[test]
fn what_a_service_refuses_to_connect_is_an_event_that_says_why_and_the_page_says_what_helps() {
    let scene = Scene::new(true, 0);
    let browser = Browser::new(&scene.hub);
    let link = url(&scene.lease(&scene.agents_token(&browser)));
    let refuses = |error: Option<&str>, status: u16, helps: &str| {
        let back = scene.service.allow(&scene.leave(&browser, &link), "ada@chat");
        let back = error.map_or(back.clone(), |error| back.replace("code=", &format!("error={error}&x=")));
        let page = browser.get(&back);
        assert_eq!(page.status, status, "{error:?}: {page:?}");
        assert!(page.text.contains(helps) && page.text.contains("Connect again"), "{error:?}: {}", page.text);
        let event = scene.hub.events_of("account.refused").pop().unwrap();
        assert_eq!((&event["connection"], &event["subject_name"]), (&json!("chat"), &json!("Ada Demo")));
        (event["reason"].clone(), event["detail"].clone())
    };
    let (reason, detail) = refuses(Some("access_denied"), 403, "allow it there");
    assert_eq!((reason, detail), (json!("ConnectDeclined"), json!("access_denied")));
    let (reason, detail) = refuses(Some("invalid_scope"), 502, "tell an administrator");
    assert_eq!((reason, detail), (json!("ConnectMisconfigured"), json!("invalid_scope")));
    let (reason, _) = refuses(Some("temporarily_unavailable"), 502, "try again");
    assert_eq!(reason, "ConnectFailed");
    *scene.service.instead.borrow_mut() = Some(Scripted::json(401, json!({"error": "invalid_client"})));
    let (reason, detail) = refuses(None, 502, "tell an administrator");
    assert_eq!(reason, "ConnectMisconfigured");
    assert!(detail.as_str().unwrap().contains("invalid_client"), "{detail}");
}

#[test]
fn whoever_is_connected_already_is_told_so_and_a_page_that_is_loaded_again_leads_on() {
    let scene = Scene::new(true, 0);
    let browser = Browser::new(&scene.hub);
    let link = url(&scene.lease(&scene.agents_token(&browser)));
    let back = scene.service.allow(&scene.leave(&browser, &link), "ada@chat");
    browser.get(&back).expect(200);
    let again = browser.get(&back);
    assert_eq!(again.status, 403);
    assert!(again.text.contains("href=\"/t/main/me\""), "{}", again.text);
    let page = browser.get(&link).expect(200);
    assert!(page.text.contains("This account is connected:") && page.text.contains("ada@chat"), "{}", page.text);
    assert!(!page.text.contains("needs it to go on"), "{}", page.text);
    // By the name of the service, and its scopes in words.
    let me = browser.get("/t/main/me").expect(200);
    assert!(me.text.contains("<h3>Chat</h3>") && me.text.contains("Post messages"), "{}", me.text);
}

#[test]
fn a_refused_lease_names_the_event_that_says_why() {
    let scene = Scene::new(true, 0);
    scene.hub.put_policy("own", r#"permit(principal, action == Action::"issue", resource);"#);
    let agent =
        scene.hub.create_client(json!({"grant_types": ["client_credentials"], "allowed_resources": [RESOURCE]}));
    let token = scene.hub.token(&agent, &[("resource", RESOURCE), ("scope", "mcp:read")]).expect(200).access_token();
    let refused = scene.lease(&token);
    assert_eq!((refused.status, refused.error().as_str()), (403, "access_denied"));
    let event = scene.hub.events_of("lease.refused").pop().unwrap();
    assert_eq!(refused.json()["decision"], event["id"]);
    assert!(event["detail"].as_str().unwrap().contains("acts for none"), "{event}");
}

#[test]
fn an_account_that_an_administrator_has_stopped_gives_nothing_until_it_is_resumed_and_none_takes_its_place() {
    let scene = Scene::new(true, 0);
    let (browser, token) = scene.connected();
    scene.lease(&token).expect(200);
    let link = scene.hub.admin("POST", "connections/chat/connect").json(&json!({"user": scene.row()["owner"]})).send();
    let link = link.expect(200).json()["connect_url"].as_str().unwrap().to_owned();
    // The person is at the service when it happens.
    let back = scene.service.allow(&scene.leave(&browser, &link), "ada@chat");
    let act = |verb: &str| {
        let path = format!("connections/chat/accounts/{}/{verb}", scene.row()["id"].as_str().unwrap());
        scene.hub.admin("POST", &path).send()
    };
    assert_eq!(act("resume").status, 409);
    assert_eq!(act("suspend").expect(200).json()["status"], "disabled");
    assert_eq!(act("suspend").status, 409);
    let refused = scene.lease(&token);
    assert_eq!((refused.status, refused.error().as_str()), (403, "access_denied"), "{refused:?}");
    for reply in [browser.get(&back), scene.going(&browser, &link)] {
        assert!(reply.status == 403 && reply.text.contains("stopped this account"), "{reply:?}");
    }
    let page = browser.get("/t/main/me").expect(200);
    assert!(page.text.contains("an administrator has stopped it") && !page.text.contains("name=\"disconnect\""));
    let fields = [("tag", field(&page, "tag")), ("disconnect", scene.row()["id"].as_str().unwrap().to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(browser.post("/t/main/me", &fields).status, 403);
    // Nor once its access token has expired.
    scene.due();
    let token = scene.agents_token(&browser);
    assert_eq!(scene.lease(&token).status, 403);
    assert_eq!(act("resume").expect(200).json()["status"], "active");
    assert!(scene.service.takes(&scene.lease(&token).expect(200).access_token()));
    let reasons: Vec<Value> =
        scene.hub.events_of("account.changed").iter().map(|event| event["reason"].clone()).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons.contains(&json!("disabled")) && reasons.contains(&json!("active")));
}

#[test]
fn a_client_that_the_service_does_not_take_is_the_operators_to_mend_and_costs_nobody_an_account() {
    let scene = Scene::new(true, 0);
    let (browser, _) = scene.connected();
    scene.due();
    let token = scene.agents_token(&browser);
    *scene.service.instead.borrow_mut() = Some(Scripted::json(401, json!({"error": "invalid_client"})));
    assert_eq!(scene.lease(&token).status, 502);
    assert_eq!(scene.status(), "client_misconfigured");
    let asked = scene.hub.fetch.requests().len();
    assert_eq!(scene.lease(&token).status, 502);
    assert_eq!(scene.hub.fetch.requests().len(), asked, "it is left alone for a while");
    *scene.service.instead.borrow_mut() = None;
    scene.hub.clock.advance(61);
    assert!(scene.service.takes(&scene.lease(&token).expect(200).access_token()));
    assert_eq!(scene.status(), "active");
}

#[test]
fn what_a_connection_is_for_changes_with_its_secret_alone_and_ends_its_accounts() {
    let scene = Scene::new(true, 0);
    let (_, token) = scene.connected();
    scene.lease(&token).expect(200);
    let etag = scene.hub.admin("GET", "connections/chat").send().header("etag").unwrap().to_owned();
    let put = |body: &Value| scene.hub.admin("PUT", "connections/chat").header("if-match", &etag).json(body).send();
    let mut other = scene.body(json!({}));
    other["config"]["service"]["oauth2"]["token_endpoint"] = json!("https://evil.example/token");
    let mut without = other.clone();
    without.as_object_mut().unwrap().remove("secret");
    assert_eq!(put(&without).status, 400);
    scene.lease(&token).expect(200);
    put(&other).expect(200);
    scene.hub.clock.advance(5);
    url(&scene.lease(&token));
    let sent = scene.hub.fetch.requests();
    assert!(sent.iter().all(|request| !request.url.contains("evil.example")), "nothing was sent elsewhere");
}

#[test]
fn a_connection_that_was_removed_and_made_again_leases_nothing_of_before() {
    let scene = Scene::new(true, 0);
    let (_, token) = scene.connected();
    let far = scene.hub.isolate();
    scene.lease(&token).expect(200);
    scene.call(&token, &[]).on(&far).send().expect(200);
    scene.hub.admin("DELETE", "connections/chat").send().expect(204);
    scene.put(json!({})).expect(201);
    url(&scene.lease(&token));
    scene.hub.clock.advance(5);
    url(&scene.call(&token, &[]).on(&far).send());
}

#[test]
fn the_way_back_counts_once_at_its_own_connection() {
    let scene = Scene::new(true, 0);
    let browser = Browser::new(&scene.hub);
    let token = scene.agents_token(&browser);
    let back = scene.service.allow(&scene.leave(&browser, &url(&scene.lease(&token))), "ada@chat");
    let kept = browser.cookies();
    assert_eq!(browser.get(&back.replace("/connect/chat/", "/connect/other/")).status, 403);
    browser.get(&back).expect(200);
    for pair in kept.split("; ") {
        let (name, value) = pair.split_once('=').unwrap();
        browser.keep(name, value);
    }
    assert_eq!(browser.get(&back).status, 403);
    assert!(scene.service.takes(&scene.lease(&token).expect(200).access_token()));
}

#[test]
fn an_answer_that_does_not_say_how_long_a_token_lives_is_believed_for_an_hour() {
    for rotates in [true, false] {
        let scene = Scene::new(rotates, 0);
        scene.service.says_lifetime.set(false);
        let (browser, _) = scene.connected();
        scene.due();
        let token = scene.agents_token(&browser);
        assert!(scene.service.takes(&scene.lease(&token).expect(200).access_token()));
        assert!(scene.lease(&token).json()["expires_in"].as_i64().unwrap() <= 3_600);
        assert_eq!(scene.service.refreshes.get(), 1, "{rotates}");
    }
}

#[test]
fn a_retry_that_the_service_has_not_taken_leaves_the_doubt_and_is_not_made_too_late() {
    let scene = Scene::new(true, 60);
    let (browser, _) = scene.connected();
    scene.due();
    let token = scene.agents_token(&browser);
    scene.service.loses.set(1);
    scene.service.then_down.set(true);
    assert_eq!(scene.lease(&token).status, 502);
    assert_eq!(scene.status(), "uncertain");
    scene.service.then_down.set(false);
    scene.hub.clock.advance(100);
    url(&scene.lease(&token));
    assert_eq!((scene.status().as_str(), scene.service.reused.get()), ("revoked", 0));
}

#[test]
fn a_user_who_is_deleted_has_nothing_left_at_the_service_once_the_cron_has_run() {
    let scene = Scene::new(true, 0);
    scene.connected();
    let user = scene.row()["owner"].as_str().unwrap().to_owned();
    scene.hub.admin("DELETE", &format!("users/{user}")).send().expect(204);
    assert!(scene.hub.db.query("SELECT id FROM connected_accounts WHERE tenant = 'main'").is_empty());
    *scene.service.instead.borrow_mut() = Some(Scripted::json(503, json!({})));
    scene.hub.clock.advance(60);
    scene.hub.tick().unwrap();
    assert_eq!(scene.hub.db.query("SELECT id FROM ended_accounts WHERE tenant = 'main'").len(), 1);
    *scene.service.instead.borrow_mut() = None;
    scene.hub.clock.advance(60);
    scene.hub.tick().unwrap();
    assert_eq!(scene.service.revoked.borrow().len(), 1);
    assert!(scene.hub.db.query("SELECT id FROM ended_accounts WHERE tenant = 'main'").is_empty());
}

#[test]
fn accounts_that_cannot_be_revoked_keep_no_other_from_its_turn() {
    let scene = Scene::new(true, 0);
    let browser = Browser::new(&scene.hub);
    let token = scene.agents_token(&browser);
    let ended = || scene.hub.db.query("SELECT id FROM ended_accounts WHERE tenant = 'main'");
    let disconnect = |label: &str| {
        let link = url(&scene.call(&token, &[("account", label)]).send());
        *scene.service.instead.borrow_mut() = None;
        scene.connect(&browser, &link, "ada@chat").expect(200);
        let id = scene.row()["id"].as_str().unwrap().to_owned();
        *scene.service.instead.borrow_mut() = Some(Scripted::json(503, json!({})));
        scene.hub.clock.advance(1);
        (id.clone(), scene.hub.admin("DELETE", &format!("connections/chat/accounts/{id}")))
    };
    // More than one request, or one run of the cron, asks about.
    for label in ["a", "b", "c", "d", "e", "f"] {
        disconnect(label).1.send().expect(204);
    }
    assert_eq!(ended().len(), 6);
    let (last, call) = disconnect("g");
    *scene.service.instead.borrow_mut() = None;
    call.send().expect(204);
    assert!(!ended().iter().any(|row| row["id"] == last), "the one that has just ended is asked about");
    assert_eq!(scene.service.revoked.borrow().len(), 3);
    scene.hub.clock.advance(60);
    scene.hub.tick().unwrap();
    assert!(ended().is_empty());
}

#[test]
fn a_link_is_for_one_person_one_connection_one_browser_and_a_while() {
    let scene = Scene::new(true, 0);
    let browser = Browser::new(&scene.hub);
    let token = scene.agents_token(&browser);
    let link = url(&scene.lease(&token));
    // Another person of the same tenant.
    scene.hub.db.execute("UPDATE users SET id = id");
    let (path, sealed) = link.split_once('?').unwrap();
    assert_eq!(browser.get(&format!("{}?{sealed}", path.replace("/chat", "/other"))).status, 404);
    assert_eq!(browser.get(&format!("{path}?request=x")).status, 403);
    // Nobody is signed in: the page to sign in comes first, and leads back.
    let stranger = Browser::new(&scene.hub);
    let page = stranger.get(&link).expect(200);
    let back = stranger.sign_in(&page).expect(200);
    assert!(back.text.contains("Post messages"), "{}", back.text);
    // The way back in another browser, or in another session, connects nothing.
    let back = scene.service.allow(&scene.leave(&browser, &link), "ada@chat");
    assert_eq!(stranger.get(&back).status, 403);
    browser.forget("__Host-writ~main");
    assert_eq!(browser.get(&back).status, 403);
    assert!(scene.hub.db.query("SELECT id FROM connected_accounts").is_empty());
    scene.hub.clock.advance(1_801);
    assert_eq!(stranger.get(&link).status, 403);
}

#[test]
fn another_account_takes_the_place_of_one_only_if_the_person_says_so() {
    let scene = Scene::new(true, 0);
    let (browser, token) = scene.connected();
    let again = "/t/main/connect/chat";
    let other = scene.connect(&browser, again, "eve@chat").expect(200);
    assert!(other.text.contains("ada@chat") && other.text.contains("eve@chat"), "{}", other.text);
    assert_eq!(scene.service.revoked.borrow().len(), 1, "what nobody keeps is revoked");
    assert_eq!(scene.row()["name"], "ada@chat");
    let fields = [("tag", field(&other, "tag")), ("request", field(&other, "request")), ("replace", "1".to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let going = browser.post(again, &fields).expect(200);
    let to = going.header("refresh").unwrap().strip_prefix("0;url=").unwrap().to_owned();
    browser.get(&scene.service.allow(&to, "eve@chat")).expect(200);
    assert_eq!(scene.row()["name"], "eve@chat");
    scene.lease(&token).expect(200);
    // The same account again asks nothing.
    scene.connect(&browser, again, "eve@chat").expect(200);
}

#[test]
fn what_was_granted_is_kept_beside_what_was_asked_and_more_is_asked_for_by_a_link() {
    let scene = Scene::new(true, 0);
    scene.service.refuses.borrow_mut().push("chat:write".to_owned());
    let browser = Browser::new(&scene.hub);
    let token = scene.agents_token(&browser);
    let done = scene.connect(&browser, &url(&scene.lease(&token)), "ada@chat").expect(200);
    assert!(done.text.contains("chat:write"), "{}", done.text);
    assert_eq!(
        (&scene.row()["scope_asked"], &scene.row()["scope"]),
        (&json!("chat:read chat:write"), &json!("chat:read"))
    );
    assert_eq!(scene.lease(&token).expect(200).json()["scope"], "chat:read");
    let more = scene.call(&token, &[("scope", "chat:write")]).send();
    scene.service.refuses.borrow_mut().clear();
    scene.connect(&browser, &url(&more), "ada@chat").expect(200);
    assert_eq!(
        scene.call(&token, &[("scope", "chat:write")]).send().expect(200).json()["scope"],
        "chat:read chat:write"
    );
}

#[test]
fn the_person_sees_the_account_and_disconnects_it_and_the_service_is_told() {
    let scene = Scene::new(true, 0);
    let (browser, token) = scene.connected();
    let lease = scene.lease(&token).expect(200).access_token();
    let page = browser.get("/t/main/me").expect(200);
    assert!(page.text.contains("ada@chat"), "{}", page.text);
    let id = scene.row()["id"].as_str().unwrap().to_owned();
    let fields = [("tag", field(&page, "tag")), ("disconnect", id.clone())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post("/t/main/me", &fields).expect(200);
    assert_eq!(scene.service.revoked.borrow().len(), 1);
    url(&scene.lease(&token));
    assert!(!lease.is_empty() && scene.hub.db.query("SELECT id FROM connected_accounts").is_empty());
    assert_eq!(scene.hub.events_of("account.disconnected").len(), 1);
    browser.post("/t/main/me", &fields).expect(404);
}

#[test]
fn tokens_of_one_account_do_not_open_in_the_place_of_another() {
    let scene = Scene::new(true, 0);
    let (_, token) = scene.connected();
    scene.lease(&token).expect(200);
    for change in ["owner = 'somebody'", "generation = generation + 1", "id = 'another'"] {
        let before = scene.row();
        scene.hub.db.execute(&format!("UPDATE connected_accounts SET {change}"));
        scene.hub.db.execute(&format!("UPDATE connected_accounts SET owner = '{}'", before["owner"].as_str().unwrap()));
        scene.hub.restart();
        let reply = scene.lease(&token);
        assert!(matches!(reply.status, 500 | 200), "{change}: {reply:?}");
        if change != "owner = 'somebody'" {
            assert_eq!(reply.status, 500, "{change}");
        }
        scene.hub.db.execute(&format!(
            "UPDATE connected_accounts SET id = '{}', generation = {}",
            before["id"].as_str().unwrap(),
            before["generation"]
        ));
    }
}

#[test]
fn what_is_stopped_or_removed_takes_its_accounts_with_it_and_the_service_is_told() {
    for what in ["connection", "user", "removed connection", "by an administrator"] {
        let scene = Scene::new(true, 0);
        let (_, token) = scene.connected();
        scene.lease(&token).expect(200);
        let (owner, id) = (scene.row()["owner"].clone(), scene.row()["id"].as_str().unwrap().to_owned());
        let listed = scene.hub.admin("GET", "connections/chat/accounts").send().expect(200).json();
        assert_eq!((&listed["items"][0]["user"], &listed["items"][0]["status"]), (&owner, &json!("active")));
        let accounts = format!("connections/chat/accounts/{id}");
        match what {
            "connection" => scene.hub.admin("POST", "kill").json(&json!({"connection": "chat"})).send().expect(200),
            "user" => scene.hub.admin("POST", "kill").json(&json!({"user": owner})).send().expect(200),
            "by an administrator" => scene.hub.admin("DELETE", &accounts).send().expect(204),
            _ => scene.hub.admin("DELETE", "connections/chat").send().expect(204),
        };
        assert_eq!(scene.service.revoked.borrow().len(), 1, "{what}");
        assert!(scene.hub.db.query("SELECT id FROM connected_accounts").is_empty(), "{what}");
        assert_ne!(scene.lease(&token).status, 200, "{what}");
    }
}

#[test]
fn data_keys_of_accounts_are_wrapped_anew_and_open_under_the_new_key_alone() {
    let (one, two) = (crate::support::hub::VAULT_KEK, "2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    let scene = Scene::new(true, 0);
    let (_, token) = scene.connected();
    assert!(scene.row()["wrapped_key"].as_str().unwrap().starts_with("1."));
    let both = scene.hub.isolate_with(&[DEVELOPMENT, ("VAULT_KEK", &format!("{two} {one}"))]);
    scene.hub.clock.advance(60);
    scene.hub.clock.block_on(both.app().tick(&|| scene.hub.clock.now())).unwrap();
    assert!(scene.row()["wrapped_key"].as_str().unwrap().starts_with("2."));
    let new = scene.hub.isolate_with(&[DEVELOPMENT, ("VAULT_KEK", two)]);
    scene.call(&token, &[]).on(&new).send().expect(200);
    let old = scene.hub.isolate_with(&[DEVELOPMENT, ("VAULT_KEK", one)]);
    assert_eq!(scene.call(&token, &[]).on(&old).send().status, 500);
}

#[test]
fn an_administrator_makes_a_link_for_a_user_or_for_the_account_of_the_tenant() {
    let scene = Scene::new(true, 0);
    let browser = Browser::new(&scene.hub);
    let token = scene.agents_token(&browser);
    let link = |body: Value| scene.hub.admin("POST", "connections/chat/connect").json(&body).send();
    assert_eq!(link(json!({})).status, 400);
    let user = scene.hub.db.query("SELECT id FROM users")[0]["id"].clone();
    let made = link(json!({"user": user})).expect(200).json()["connect_url"].as_str().unwrap().to_owned();
    scene.connect(&browser, &made, "ada@chat").expect(200);
    scene.lease(&token).expect(200);

    let scene = Scene::new(true, 0);
    let browser = Browser::new(&scene.hub);
    let token = scene.agents_token(&browser);
    let etag = scene.hub.admin("GET", "connections/chat").send().header("etag").unwrap().to_owned();
    let body = scene.body(json!({"owner": "tenant"}));
    scene.hub.admin("PUT", "connections/chat").header("if-match", &etag).json(&body).send().expect(200);
    scene.hub.restart();
    // The agent of a user cannot make one: an administrator says who connects it.
    let refused = scene.lease(&token);
    assert!(refused.json().get("connect_url").is_none(), "{refused:?}");
    let user = scene.hub.db.query("SELECT id FROM users")[0]["id"].clone();
    let made =
        scene.hub.admin("POST", "connections/chat/connect").json(&json!({"user": user})).send().expect(200).json();
    scene.connect(&browser, made["connect_url"].as_str().unwrap(), "team@chat").expect(200);
    assert_eq!(scene.row()["owner"], "");
    scene.lease(&token).expect(200);
}

#[test]
fn who_the_account_is_is_asked_with_the_headers_of_the_proxy_wherever_the_service_wants_its_token() {
    let base = format!("{}/api", crate::support::service::ORIGIN);
    for (proxy, path) in [
        (
            json!({"base_url": base, "header": "X-Chat-Token", "format": "{token}", "headers": {"Chat-Version": "3"}}),
            "/me?fields=all",
        ),
        (
            json!({"base_url": base, "query": "key", "headers": {"chat-version": "3", "accept": "application/vnd.chat+json"}}),
            "/me",
        ),
        (
            json!({"base_url": base, "format": "Token {token}", "headers": {"chat-version": "3", "user-agent": "bot"}}),
            "/me",
        ),
    ] {
        let scene = Scene::new(true, 0);
        let mut described = scene.service.described();
        described["proxy"] = proxy.clone();
        described["check"]["path"] = path.into();
        scene.put(json!({"service": described})).expect(428);
        let body = scene.body(json!({"service": described}));
        scene.hub.admin("PUT", "connections/chat").header("if-match", "*").json(&body).send().expect(200);
        scene.hub.restart();
        let asked: Rc<std::cell::RefCell<Vec<writ::ports::Outbound>>> = Rc::default();
        let (service, noted) = (scene.service.clone(), asked.clone());
        scene.hub.fetch.answer(move |request| match request.url.contains("/api/me") {
            true => {
                noted.borrow_mut().push(request.clone());
                Scripted::json(200, json!({"id": 7, "name": "Ada"}))
            }
            false => service.answer(request),
        });
        scene.connected();
        assert_eq!((&scene.row()["name"], &scene.row()["subject"]), (&json!("Ada"), &json!("7")));
        let asked = asked.borrow();
        let header = |name: &str| {
            let mut found =
                asked[0].headers.iter().filter(|(known, _)| *known == name).map(|(_, value)| value.as_str());
            let value = found.next();
            assert!(found.next().is_none(), "{name} twice: {proxy}");
            value
        };
        let token = scene.service.access_tokens().pop().unwrap();
        assert_eq!(header("chat-version"), Some("3"));
        match (proxy["header"].as_str(), proxy["query"].as_str()) {
            (Some(_), _) => {
                assert_eq!((header("x-chat-token"), header("authorization")), (Some(&*token), None));
                assert!(asked[0].url.ends_with("/api/me?fields=all"), "{}", asked[0].url);
                assert_eq!((header("accept"), header("user-agent")), (Some("application/json"), Some("writ")));
            }
            (None, Some(_)) => {
                assert!(asked[0].url.ends_with(&format!("/api/me?key={token}")) && header("authorization").is_none());
                assert_eq!(header("accept"), Some("application/vnd.chat+json"));
            }
            (None, None) => {
                assert_eq!(header("authorization"), Some(&*format!("Token {token}")));
                assert_eq!(header("user-agent"), Some("bot"));
            }
        }
    }
}

#[test]
fn an_owner_has_a_bounded_number_of_accounts_at_a_connection() {
    let scene = Scene::new(true, 0);
    let (browser, token) = scene.connected();
    scene.fill();
    let count = || scene.hub.db.query("SELECT id FROM connected_accounts").len();
    let link = |label: &str| url(&scene.call(&token, &[("account", label)]).send());
    let refused = scene.going(&browser, &link("another"));
    assert_eq!((refused.status, count()), (409, 20));
    assert!(refused.text.contains("disconnect one first"), "{}", refused.text);
    // What is there can be connected again; what goes makes room; two that came at once do not get past the bound.
    scene.hub.db.execute("UPDATE connected_accounts SET status = 'revoked' WHERE label = 'label-2'");
    scene.hub.restart();
    scene.connect(&browser, &link("label-2"), "ada@chat").expect(200);
    scene.hub.db.execute("DELETE FROM connected_accounts WHERE label = 'label-3'");
    scene.hub.restart();
    let backs = ["third", "fourth"].map(|label| scene.service.allow(&scene.leave(&browser, &link(label)), "ada@chat"));
    let statuses = backs.map(|back| browser.get(&back).status);
    assert_eq!((statuses, count()), ([200, 409], 20));
    assert_eq!(scene.service.revoked.borrow().len(), 1, "what was not stored is revoked");
}

impl Scene {
    /// The ids of accounts that wait for their revocation.
    fn ended(&self) -> Vec<String> {
        let rows = self.hub.db.query("SELECT id FROM ended_accounts WHERE tenant = 'main'");
        rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    fn disconnecting(&self) -> Call<'_> {
        self.hub.admin("DELETE", &format!("connections/chat/accounts/{}", self.row()["id"].as_str().unwrap()))
    }

    /// Another body for the connection.
    pub fn replacing(&self, body: &Value) -> Call<'_> {
        let etag = self.hub.admin("GET", "connections/chat").send().header("etag").unwrap().to_owned();
        self.hub.admin("PUT", "connections/chat").header("if-match", &etag).json(body)
    }

    /// The connection with other endpoints, and with its secret.
    pub fn evil(&self) -> Value {
        let mut body = self.body(json!({}));
        for name in ["token_endpoint", "revocation_endpoint"] {
            body["config"]["service"]["oauth2"][name] = json!(format!("https://evil.example/{name}"));
        }
        body
    }

    pub fn expect_nothing_sent_elsewhere(&self) {
        let sent = self.hub.fetch.requests();
        assert!(sent.iter().all(|request| !request.url.contains("evil.example")), "something was sent elsewhere");
    }

    /// A minute later the cron runs, with that key of the vault.
    fn tick_with(&self, keys: &str) {
        self.hub.clock.advance(60);
        let isolate = self.hub.isolate_with(&[DEVELOPMENT, ("VAULT_KEK", keys)]);
        self.hub.clock.block_on(isolate.app().tick(&|| self.hub.clock.now())).unwrap();
    }
}

/// Drives a call, and what `act` does so many milliseconds later; the reply of the call.
pub fn meanwhile<'a>(hub: &'a Setup, call: Call<'a>, millis: u64, act: impl AsyncFnOnce() + 'a) -> Reply {
    use writ::ports::{Pending, Timer};
    let calling: Pending<'a, Option<Reply>> = {
        let call = call.future();
        Box::pin(async move { Some(call.await) })
    };
    let acting: Pending<'a, Option<Reply>> = Box::pin(async move {
        hub.clock.sleep(millis).await;
        act().await;
        None
    });
    hub.clock.drive(0, vec![calling, acting]).into_iter().flatten().next().unwrap()
}

#[test]
fn tokens_that_wait_for_their_revocation_go_to_no_other_service() {
    for what in ["other endpoints", "removed", "killed"] {
        let scene = Scene::new(true, 0);
        scene.connected();
        *scene.service.instead.borrow_mut() = Some(Scripted::json(503, json!({})));
        scene.disconnecting().send().expect(204);
        assert_eq!(scene.ended().len(), 1, "{what}");
        *scene.service.instead.borrow_mut() = None;
        let remove = || scene.hub.admin("DELETE", "connections/chat").send().expect(204);
        match what {
            "other endpoints" => drop(scene.replacing(&scene.evil()).send().expect(200)),
            "removed" => drop(remove()),
            _ => {
                scene.hub.admin("POST", "kill").json(&json!({"connection": "chat"})).send().expect(200);
                remove();
            }
        }
        if what != "other endpoints" {
            scene.hub.admin("PUT", "connections/chat").json(&scene.evil()).send().expect(201);
        }
        scene.hub.clock.advance(60);
        scene.hub.tick().unwrap();
        scene.expect_nothing_sent_elsewhere();
        assert!(scene.ended().is_empty(), "{what}");
    }
}

#[test]
fn what_the_tokens_of_accounts_are_sent_to_is_what_they_are_for() {
    let scene = Scene::new(true, 0);
    let (_, token) = scene.connected();
    scene.lease(&token).expect(200);
    let mut body = scene.body(json!({}));
    body["config"]["service"]["proxy"]["base_url"] = json!("https://evil.example/api");
    let mut without = body.clone();
    without.as_object_mut().unwrap().remove("secret");
    assert_eq!(scene.replacing(&without).send().status, 400);
    scene.replacing(&body).send().expect(200);
    url(&scene.lease(&token));
    assert!(scene.hub.db.query("SELECT id FROM connected_accounts WHERE tenant = 'main'").is_empty());
    // What says how much may be done ends nothing.
    let scene = Scene::new(true, 0);
    let (_, token) = scene.connected();
    scene.replacing(&scene.body(json!({"allow": [{"methods": ["GET"], "path": "/**"}]}))).send().expect(200);
    scene.lease(&token).expect(200);
}

#[test]
fn an_account_is_stored_for_the_connection_that_it_was_asked_with_or_revoked() {
    for what in ["other endpoints", "removed and made again", "nothing"] {
        let scene = Scene::new(true, 0);
        let browser = Browser::new(&scene.hub);
        let token = scene.agents_token(&browser);
        let back = scene.service.allow(&scene.leave(&browser, &url(&scene.lease(&token))), "ada@chat");
        scene.service.delay_millis.set(2_000);
        let path = back.strip_prefix(scene.hub.origin()).unwrap_or(&back);
        let call = scene.hub.call("GET", path).header("cookie", &browser.cookies());
        let change = match what {
            "other endpoints" => vec![scene.replacing(&scene.evil())],
            "removed and made again" => vec![
                scene.hub.admin("DELETE", "connections/chat"),
                scene.hub.admin("PUT", "connections/chat").json(&scene.evil()),
            ],
            _ => vec![],
        };
        let reply = meanwhile(&scene.hub, call, 1_000, async || {
            for call in change {
                let status = call.future().await.status;
                assert!((200..300).contains(&status), "{what}: {status}");
            }
        });
        let accounts = scene.hub.db.query("SELECT id FROM connected_accounts WHERE tenant = 'main'").len();
        let revoked = scene.service.revoked.borrow().len();
        match what {
            "nothing" => assert_eq!((reply.status, accounts, revoked), (200, 1, 0), "{reply:?}"),
            _ => assert_eq!((reply.status, accounts, revoked), (409, 0, 1), "{what}: {reply:?}"),
        }
        scene.expect_nothing_sent_elsewhere();
    }
}

#[test]
fn under_a_wrong_key_of_the_vault_no_account_that_has_ended_is_forgotten_unrevoked() {
    let (right, other) = (crate::support::hub::VAULT_KEK, "1:AgICAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    let scene = Scene::new(true, 0);
    scene.connected();
    let wrong = scene.hub.isolate_with(&[DEVELOPMENT, ("VAULT_KEK", other)]);
    scene.disconnecting().on(&wrong).send().expect(204);
    for _ in 0..2 {
        scene.tick_with(other);
        scene.tick_with(&other.replace("1:", "2:"));
        assert_eq!((scene.ended().len(), scene.service.revoked.borrow().len()), (1, 0));
        scene.hub.clock.advance(90_000);
    }
    scene.tick_with(right);
    assert_eq!((scene.ended().len(), scene.service.revoked.borrow().len()), (0, 1));
}

#[test]
fn a_service_that_cannot_revoke_is_not_asked_again_and_again() {
    let scene = Scene::new(true, 0);
    let mut body = scene.body(json!({}));
    body["config"]["service"]["oauth2"].as_object_mut().unwrap().remove("revocation_endpoint");
    scene.replacing(&body).send().expect(200);
    scene.connected();
    scene.disconnecting().send().expect(204);
    assert!(scene.ended().is_empty());
}

#[test]
fn services_that_are_slow_to_revoke_are_asked_at_once() {
    let scene = Scene::new(true, 0);
    let browser = Browser::new(&scene.hub);
    let token = scene.agents_token(&browser);
    for label in ["a", "b", "c", "d", "e"] {
        scene.connect(&browser, &url(&scene.call(&token, &[("account", label)]).send()), "ada@chat").expect(200);
    }
    let user = scene.row()["owner"].as_str().unwrap().to_owned();
    *scene.service.instead.borrow_mut() = Some(Scripted::json(503, json!({})).after(9_000));
    let began = scene.hub.clock.seconds();
    scene.hub.admin("DELETE", &format!("users/{user}")).send().expect(204);
    scene.hub.clock.advance(60);
    scene.hub.tick().unwrap();
    assert_eq!(scene.ended().len(), 5);
    assert!(scene.hub.clock.seconds() - began < 60 + 2 * 10, "one after another");
    *scene.service.instead.borrow_mut() = None;
    scene.hub.clock.advance(60);
    scene.hub.tick().unwrap();
    assert_eq!((scene.ended().len(), scene.service.revoked.borrow().len()), (0, 5));
}

#[test]
fn an_account_that_is_disconnected_during_its_refresh_has_nothing_left_at_the_service() {
    let scene = Scene::new(true, 0);
    let (browser, _) = scene.connected();
    scene.due();
    let token = scene.agents_token(&browser);
    scene.service.delay_millis.set(2_000);
    let disconnecting = scene.disconnecting();
    // After the question whether the service answers at all: while the refresh itself is under way.
    let reply = meanwhile(&scene.hub, scene.call(&token, &[]), 3_000, async || {
        disconnecting.future().await.expect(204);
    });
    url(&reply);
    assert_eq!(scene.service.refreshes.get(), 1);
    let given = scene.service.access_tokens();
    assert!(given.iter().all(|token| !scene.service.takes(token)), "the grant is over");
    assert_eq!(scene.service.revoked.borrow().len(), 2, "what was there, and what was given meanwhile");
}

#[test]
fn a_suspended_tenant_takes_part_in_a_rotation_and_has_its_ended_accounts_revoked() {
    let two = format!("2:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 {}", crate::support::hub::VAULT_KEK);
    let scene = Scene::new(true, 0);
    scene.connected();
    *scene.service.instead.borrow_mut() = Some(Scripted::json(503, json!({})));
    scene.disconnecting().send().expect(204);
    *scene.service.instead.borrow_mut() = None;
    scene.connected();
    scene.hub.db.execute("UPDATE tenants SET status = 'suspended' WHERE id = 'main'");
    scene.tick_with(&two);
    assert!(scene.row()["wrapped_key"].as_str().unwrap().starts_with("2."));
    let keys = scene.hub.db.query("SELECT wrapped_key FROM credentials WHERE tenant = 'main'");
    assert!(keys.iter().all(|row| row["wrapped_key"].as_str().unwrap().starts_with("2.")), "{keys:?}");
    assert_eq!((scene.ended().len(), scene.service.revoked.borrow().len()), (0, 1));
}

#[test]
fn nobody_connects_an_account_of_their_own_where_the_tenant_has_one() {
    let scene = Scene::new(true, 0);
    let browser = Browser::new(&scene.hub);
    scene.agents_token(&browser);
    // The page is open when the connection becomes the tenant's, and so is the way to the service.
    let (link, page) = ("/t/main/connect/chat", browser.get("/t/main/connect/chat").expect(200));
    let back = scene.service.allow(&scene.leave(&browser, link), "ada@chat");
    scene.replacing(&scene.body(json!({"owner": "tenant"}))).send().expect(200);
    let fields = [("tag", field(&page, "tag")), ("request", field(&page, "request"))];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(browser.post(link, &fields).status, 404);
    assert_eq!(browser.get(link).status, 404);
    assert_eq!(browser.get(&back).status, 404);
    assert!(scene.hub.db.query("SELECT id FROM connected_accounts WHERE tenant = 'main'").is_empty());
}

#[test]
fn a_connection_that_changes_while_a_lease_waits_hands_out_nothing_of_before() {
    let scene = Scene::new(true, 0);
    let (browser, _) = scene.connected();
    scene.due();
    let token = scene.agents_token(&browser);
    scene.service.delay_millis.set(2_000);
    let change = scene.replacing(&scene.body(json!({"allow": [{"methods": ["GET"], "path": "/**"}]})));
    let reply = meanwhile(&scene.hub, scene.call(&token, &[]), 1_000, async || {
        change.future().await.expect(200);
    });
    assert_eq!(reply.status, 503, "{reply:?}");
    // The next try has what was got.
    scene.lease(&token).expect(200);
    assert_eq!(scene.service.refreshes.get(), 1);
}

/// A request that is refused for that reason.
pub fn provoke(reason: writ::error::Reason) -> Reply {
    use writ::error::Reason;
    let scene = Scene::new(true, 0);
    let browser = Browser::new(&scene.hub);
    let token = scene.agents_token(&browser);
    let refused = scene.lease(&token);
    let link = url(&refused);
    match reason {
        Reason::ConnectionNeeded => refused,
        Reason::AccountDisabled => {
            scene.connect(&browser, &link, "ada@chat").expect(200);
            scene.hub.db.execute("UPDATE connected_accounts SET status = 'disabled'");
            scene.lease(&token)
        }
        Reason::TenantAccountNeeded => {
            let etag = scene.hub.admin("GET", "connections/chat").send().header("etag").unwrap().to_owned();
            let body = scene.body(json!({"owner": "tenant"}));
            scene.hub.admin("PUT", "connections/chat").header("if-match", &etag).json(&body).send().expect(200);
            scene.hub.restart();
            scene.lease(&token)
        }
        Reason::OtherPerson => {
            scene.hub.db.execute("UPDATE users SET id = 'another'; UPDATE sessions SET user = 'another'");
            scene.hub.restart();
            browser.get(&link)
        }
        Reason::NoSuchService => browser.get("/t/main/connect/nothing"),
        Reason::TooManyAccounts => {
            scene.connect(&browser, &link, "ada@chat").expect(200);
            scene.fill();
            scene.going(&browser, &url(&scene.call(&token, &[("account", "another")]).send()))
        }
        Reason::ConnectExpired => browser.get("/t/main/connect/chat/callback?code=x&state=x"),
        Reason::ConnectDeclined => {
            let back = scene.service.allow(&scene.leave(&browser, &link), "ada@chat");
            browser.get(&back.replace("code=", "error=access_denied&x="))
        }
        Reason::ConnectMisconfigured => {
            let back = scene.service.allow(&scene.leave(&browser, &link), "ada@chat");
            browser.get(&back.replace("code=", "error=invalid_scope&x="))
        }
        Reason::ConnectFailed => {
            let back = scene.service.allow(&scene.leave(&browser, &link), "ada@chat");
            *scene.service.instead.borrow_mut() = Some(Scripted::json(503, json!({})));
            browser.get(&back)
        }
        other => panic!("{other:?}"),
    }
}
