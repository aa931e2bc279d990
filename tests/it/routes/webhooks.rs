//! `admin/webhooks`: what an operator's backend hears of connections and accounts, that it can tell who says it, and that nothing is lost on the way.

use super::accounts;
use crate::support::hub::{ADMIN_KEK, Isolate, VAULT_KEK};
use crate::support::{Effect, Port, Reply, Scripted, Setup};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::cell::Cell;
use std::rc::Rc;
use writ::ports::{FetchError, Outbound};

const URL: &str = "https://backend.example/writ";
const DAY: u64 = 86_400;

/// A tenant with a connection, whose stops and starts are told to a backend.
struct Scene {
    hub: Setup,
    /// What the backend answers.
    says: Rc<Cell<u16>>,
}

impl Scene {
    fn new() -> Self {
        let hub = Setup::new();
        let says = Rc::new(Cell::new(204));
        let status = says.clone();
        hub.fetch.answer(move |_| match status.get() {
            0 => Scripted::failure(FetchError::Unreachable),
            status => Scripted::answer(status, "text/plain", ""),
        });
        let service = json!({"name": "Search", "proxy": {"base_url": "https://api.search.example"}});
        let body = json!({"kind": "api_key", "config": {"service": service}, "secret": {"api_key": "sk-canary"}});
        hub.admin("PUT", "connections/search").json(&body).send().expect(201);
        Self { hub, says }
    }

    fn make(&self, more: Value) -> Value {
        self.hub.admin("POST", "webhooks").json(&body(more)).send().expect(201).json()
    }

    /// Something happens of which webhooks are told.
    fn happen(&self) {
        for act in ["suspend", "resume"] {
            self.hub.admin("POST", &format!("connections/search/{act}")).send().expect(200);
        }
    }

    fn suspend(&self) {
        self.hub.admin("POST", "connections/search/suspend").send().expect(200);
    }

    fn posts(&self) -> Vec<Outbound> {
        self.hub.fetch.requests()
    }

    fn relay(&self) {
        self.hub.relay().unwrap();
    }

    /// The messages of a webhook in that state.
    fn messages(&self, webhook: &Value, state: &str) -> Vec<Value> {
        let id = webhook["id"].as_str().unwrap();
        let page = self.hub.admin("GET", &format!("webhooks/{id}/messages?state={state}")).send().expect(200).json();
        page["items"].as_array().unwrap().clone()
    }

    fn post(&self, webhook: &Value, path: &str) -> Reply {
        self.hub.admin("POST", &format!("webhooks/{}/{path}", webhook["id"].as_str().unwrap())).send()
    }
}

fn body(more: Value) -> Value {
    let mut body = json!({"url": URL, "events": ["connection.suspended", "connection.resumed"]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn header<'a>(post: &'a Outbound, name: &str) -> &'a str {
    post.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str()).unwrap()
}

/// As the specification says: the content is id, moment and body, the key what follows `whsec_`.
fn is_signed(post: &Outbound, secret: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let content =
        [header(post, "webhook-id"), header(post, "webhook-timestamp"), post.body.as_deref().unwrap()].join(".");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(content.as_bytes());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    header(post, "webhook-signature").split(' ').any(|signature| signature == expected)
}

fn said(post: &Outbound) -> Value {
    serde_json::from_str(post.body.as_deref().unwrap()).unwrap()
}

#[test]
fn a_backend_is_told_of_what_it_wants_to_hear_signed_as_standard_webhooks_say() {
    let scene = Scene::new();
    let made = scene.make(json!({"description": "our backend"}));
    let secret = made["secret"].as_str().unwrap().to_owned();
    scene.happen();
    scene.hub.admin("DELETE", "connections/search").send().expect(204);
    scene.relay();
    let posts = scene.posts();
    let kinds: Vec<Value> = posts.iter().map(|post| said(post)["type"].clone()).collect();
    assert_eq!(kinds, ["connection.suspended", "connection.resumed"], "nobody has asked for `connection.deleted`");
    for post in &posts {
        assert_eq!((post.method, post.url.as_str(), header(post, "content-type")), ("POST", URL, "application/json"));
        assert_eq!(header(post, "webhook-timestamp"), scene.hub.clock.seconds().to_string());
        assert!(is_signed(post, &secret) && !is_signed(post, "whsec_AAAA"));
        assert_eq!(said(post)["data"], json!({"tenant": "main", "connection": "search"}));
        assert_eq!(said(post)["timestamp"], "2026-01-06T12:00:00.000Z");
    }
    // The id is that of the event in the trail.
    let event = scene.hub.events_of("connection.suspended").pop().unwrap();
    assert_eq!(event["id"], header(&posts[0], "webhook-id"));
    assert!(scene.messages(&made, "waiting").is_empty());
    scene.relay();
    assert_eq!(scene.posts().len(), 2, "what was taken does not come again");
    let everything = scene.hub.dump_at_rest();
    assert!(!everything.contains(&secret) && !everything.contains(secret.strip_prefix("whsec_").unwrap()));
}

#[test]
fn what_becomes_of_accounts_is_told_with_whether_a_person_has_to_do_something() {
    let scene = accounts::Scene::new(true, 0);
    let events = json!(["account.connected", "account.changed", "account.disconnected"]);
    scene.hub.admin("POST", "webhooks").json(&json!({"url": URL, "events": events})).send().expect(201);
    let service = scene.service.clone();
    scene.hub.fetch.answer(move |request| match request.url == URL {
        true => Scripted::answer(200, "text/plain", ""),
        false => service.answer(request),
    });
    let (browser, _) = scene.connected();
    scene.due();
    let token = scene.agents_token(&browser);
    *scene.service.instead.borrow_mut() = Some(Scripted::json(400, json!({"error": "invalid_grant"})));
    accounts::url(&scene.lease(&token));
    *scene.service.instead.borrow_mut() = None;
    let accounts = scene.hub.admin("GET", "connections/chat/accounts").send().json();
    let account = accounts["items"][0]["id"].as_str().unwrap().to_owned();
    scene.hub.admin("DELETE", &format!("connections/chat/accounts/{account}")).send().expect(204);
    scene.hub.relay().unwrap();
    let posts: Vec<Value> = scene.hub.fetch.requests().iter().filter(|request| request.url == URL).map(said).collect();
    let user = accounts["items"][0]["user"].clone();
    let common = json!({
        "tenant": "main", "connection": "chat", "account": account, "account_name": "ada@chat", "user": user,
        "scope": "chat:read chat:write",
    });
    let with = |more: Value| {
        let mut all = common.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let mut told: Vec<(&str, Value)> =
        posts.iter().map(|post| (post["type"].as_str().unwrap(), post["data"].clone())).collect();
    // The clock stands still here, so their order is none.
    told.sort_by_key(|(kind, _)| {
        ["account.connected", "account.changed", "account.disconnected"].iter().position(|one| one == kind)
    });
    let connected = told[0].1["detail"].clone();
    assert_eq!(
        told,
        [
            ("account.connected", with(json!({"status": "active", "needs_reauth": false, "detail": connected}))),
            ("account.changed", with(json!({"status": "revoked", "needs_reauth": true, "detail": "invalid_grant"}))),
            ("account.disconnected", with(json!({}))),
        ]
    );
    let everything = format!("{posts:?}");
    for canary in ["chat-access-canary", "chat-refresh-canary", "chat-code-canary"] {
        assert!(!everything.contains(canary), "{canary}");
    }
}

#[test]
fn a_webhook_is_made_shown_changed_and_removed_and_its_secret_is_shown_once() {
    let scene = Scene::new();
    let made = scene.make(json!({}));
    let id = made["id"].as_str().unwrap();
    let path = format!("webhooks/{id}");
    let shown = scene.hub.admin("GET", &path).send().expect(200);
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("secret");
    assert_eq!(shown.json(), expected);
    assert_eq!(scene.hub.admin("GET", "webhooks").send().expect(200).json()["items"], json!([expected]));
    let mut body = shown.json();
    body["description"] = json!("d");
    let put = |body: &Value, etag: &str| scene.hub.admin("PUT", &path).header("if-match", etag).json(body).send();
    let changed = put(&body, shown.header("etag").unwrap()).expect(200);
    assert_eq!(changed.json()["description"], "d");
    put(&body, shown.header("etag").unwrap()).expect(412);
    scene.hub.admin("DELETE", &path).send().expect(204);
    scene.hub.admin("GET", &path).send().expect(404);
    scene.happen();
    scene.relay();
    assert!(scene.posts().is_empty());
    let kinds = ["webhook.created", "webhook.updated", "webhook.deleted"];
    assert_eq!(kinds.map(|kind| scene.hub.events_of(kind).len()), [1, 1, 1]);
}

#[test]
fn a_url_is_public_https_and_events_are_named_or_there_is_no_webhook() {
    let scene = Scene::new();
    for (more, fault) in [
        (json!({"url": "http://backend.example/"}), "`url` must be an https URL"),
        (json!({"url": "https://127.0.0.1/"}), "`url` must be an https URL"),
        (json!({"url": "https://backend.example:8443/"}), "`url` must be an https URL"),
        (json!({"url": "https://user:word@backend.example/"}), "`url` must be an https URL"),
        (json!({"url": format!("https://backend.example/{}", "x".repeat(2_000))}), "`url` must have"),
        (json!({"events": []}), "`events` must name at least one event"),
        (json!({"events": ["token.issued"]}), "`events[0]` must be one of"),
        (json!({"secret": "whsec_mine"}), "`secret` is unknown"),
    ] {
        let reply = scene.hub.admin("POST", "webhooks").json(&body(more.clone())).send().expect(400);
        assert!(reply.json()["detail"].as_str().unwrap().contains(fault), "{more}: {reply:?}");
    }
    let without = json!({"url": URL});
    assert_eq!(scene.hub.admin("POST", "webhooks").json(&without).send().status, 400, "absence does not mean all");
}

#[test]
fn a_tenant_has_ten_webhooks_at_the_most_and_each_hears_for_itself() {
    let scene = Scene::new();
    (0..10).for_each(|_| drop(scene.make(json!({}))));
    scene.hub.admin("POST", "webhooks").json(&body(json!({}))).send().expect(409);
    scene.hub.create_tenant("second");
    scene.hub.admin_of("second", "POST", "webhooks").json(&body(json!({}))).send().expect(201);
    scene.suspend();
    for _ in 0..3 {
        scene.relay();
    }
    assert_eq!(scene.posts().len(), 10, "of the second tenant nothing was told");
}

#[test]
fn what_is_not_taken_is_tried_for_a_day_under_one_id_and_then_it_has_failed_and_can_be_sent_again() {
    let scene = Scene::new();
    let made = scene.make(json!({}));
    scene.suspend();
    let ids = || -> Vec<String> { scene.posts().iter().map(|post| header(post, "webhook-id").to_owned()).collect() };
    for (n, status) in [500, 0, 302, 404, 429].into_iter().enumerate() {
        scene.says.set(status);
        scene.relay();
        scene.relay();
        assert_eq!(ids().len(), n + 1, "once, and not before the pause is over");
        let [waiting] = scene.messages(&made, "waiting").try_into().unwrap();
        assert_eq!((&waiting["attempts"], &waiting["state"]), (&json!(n + 1), &json!("waiting")));
        scene.hub.clock.advance(60 << n);
    }
    let [waiting] = scene.messages(&made, "waiting").try_into().unwrap();
    assert_eq!(waiting["outcome"], "it answered 429");
    assert_eq!(waiting["body"]["type"], "connection.suspended");
    for _ in 0..24 {
        scene.hub.tick().unwrap();
        scene.hub.clock.advance(3_600);
    }
    let tried = ids();
    assert!((25..35).contains(&tried.len()), "{}", tried.len());
    assert!(tried.iter().all(|id| *id == tried[0]), "the id stays");
    assert!(scene.messages(&made, "waiting").is_empty());
    let [failed] = scene.messages(&made, "failed").try_into().unwrap();
    assert!(failed["failed_at"].as_i64().unwrap() - failed["created_at"].as_i64().unwrap() <= DAY.cast_signed());
    let event = scene.hub.events_of("webhook.failed").pop().unwrap();
    assert_eq!(event["target"], made["id"]);
    assert!(event["detail"].as_str().unwrap().contains(&tried[0]));
    scene.hub.tick().unwrap();
    assert_eq!(ids().len(), tried.len());

    // It can be sent again, alone or with all others.
    let message = failed["id"].as_str().unwrap();
    scene.says.set(204);
    scene.post(&made, &format!("messages/{message}/resend")).expect(204);
    scene.relay();
    assert_eq!((ids().len(), ids().last()), (tried.len() + 1, tried.last()));
    assert!(scene.messages(&made, "failed").is_empty() && scene.messages(&made, "waiting").is_empty());
    scene.post(&made, &format!("messages/{message}/resend")).expect(404);
    scene.post(&made, "resend").expect(204);
}

#[test]
fn what_has_failed_is_forgotten_after_thirty_days() {
    let scene = Scene::new();
    let made = scene.make(json!({}));
    scene.says.set(500);
    scene.suspend();
    let late = scene.hub.clock.seconds() - 31 * DAY;
    scene.hub.db.execute(&format!("UPDATE webhook_messages SET failed_at = {late} WHERE tenant = 'main'"));
    assert_eq!(scene.messages(&made, "failed").len(), 1);
    scene.hub.tick().unwrap();
    assert!(scene.messages(&made, "failed").is_empty());
}

#[test]
fn a_webhook_that_is_gone_is_disabled_and_what_waits_for_one_that_is_disabled_has_failed() {
    let scene = Scene::new();
    let made = scene.make(json!({}));
    scene.says.set(500);
    scene.happen();
    scene.relay();
    scene.says.set(410);
    scene.hub.clock.advance(60);
    scene.relay();
    let path = format!("webhooks/{}", made["id"].as_str().unwrap());
    let shown = scene.hub.admin("GET", &path).send().expect(200);
    assert_eq!(shown.json()["enabled"], false);
    assert_eq!(scene.messages(&made, "failed").len(), 2);
    assert_eq!(scene.hub.events_of("webhook.disabled").len(), 1);
    let before = scene.posts().len();
    scene.happen();
    scene.relay();
    assert_eq!((scene.posts().len(), scene.messages(&made, "waiting").len()), (before, 0), "it is told nothing more");
    scene.post(&made, "test").expect(409);
    scene.post(&made, "resend").expect(409);

    // Enabled anew, it gets what it has missed, once somebody says so.
    scene.says.set(204);
    let put = |enabled: bool| {
        let present = scene.hub.admin("GET", &path).send();
        let mut body = present.json();
        body["enabled"] = json!(enabled);
        scene
            .hub
            .admin("PUT", &path)
            .header("if-match", present.header("etag").unwrap())
            .json(&body)
            .send()
            .expect(200);
    };
    put(true);
    scene.post(&made, "resend").expect(204);
    scene.relay();
    assert_eq!(scene.posts().len(), before + 2);
    // By an administrator, the same.
    scene.says.set(500);
    scene.suspend();
    put(false);
    let [failed] = scene.messages(&made, "failed").try_into().unwrap();
    assert_eq!(failed["outcome"], "the webhook was disabled");
}

#[test]
fn after_a_rotation_both_secrets_sign_for_a_day_and_a_retry_rotates_once() {
    let scene = Scene::new();
    let made = scene.make(json!({}));
    let path = format!("webhooks/{}/secrets", made["id"].as_str().unwrap());
    let rotate = |key: &str| scene.hub.admin("POST", &path).header("idempotency-key", key).send().expect(201).json();
    let rotated = rotate("a");
    assert_eq!(rotate("a"), rotated);
    let until = rotated["previous_until"].as_u64().unwrap();
    assert_eq!(until, scene.hub.clock.seconds() + DAY);
    let [old, new] = [&made, &rotated].map(|one| one["secret"].as_str().unwrap());
    scene.suspend();
    scene.relay();
    let post = scene.posts().pop().unwrap();
    assert!(is_signed(&post, old) && is_signed(&post, new));
    assert_eq!(header(&post, "webhook-signature").split(' ').count(), 2);
    scene.hub.clock.advance(DAY);
    scene.hub.admin("POST", "connections/search/resume").send().expect(200);
    scene.relay();
    let post = scene.posts().pop().unwrap();
    assert!(!is_signed(&post, old) && is_signed(&post, new));
    assert!(!scene.hub.dump_at_rest().contains(new));
}

#[test]
fn a_webhook_can_be_tried() {
    let scene = Scene::new();
    let made = scene.make(json!({}));
    let other = scene.make(json!({"url": "https://other.example/"}));
    let sent = scene.post(&made, "test").expect(200).json();
    scene.relay();
    let [post] = scene.posts().try_into().unwrap();
    assert_eq!((header(&post, "webhook-id"), &post.url[..]), (sent["message"].as_str().unwrap(), URL));
    assert!(is_signed(&post, made["secret"].as_str().unwrap()) && !is_signed(&post, other["secret"].as_str().unwrap()));
    assert_eq!(said(&post)["type"], "webhook.test");
    assert_eq!(scene.hub.events_of("webhook.tested").len(), 1);
}

#[test]
fn a_message_is_there_with_its_event_and_not_without_it_whatever_fails() {
    for effect in [Effect::Fails, Effect::LosesReply] {
        for nth in 0..8 {
            let scene = Scene::new();
            let made = scene.make(json!({}));
            let call = scene.hub.admin("POST", "connections/search/suspend");
            scene.hub.faults.fail_nth(Port::Db, nth, effect);
            call.send();
            scene.hub.faults.heal();
            let left = scene.hub.db.query("SELECT id FROM webhook_messages WHERE tenant = 'main'").len();
            let events = scene.hub.events_of("connection.suspended").len();
            let posted = scene.posts().len();
            assert_eq!(left, events, "{effect:?} {nth}");
            assert!(posted <= events, "{effect:?} {nth}: {made}");
        }
    }
}

#[test]
fn two_isolates_at_once_send_a_message_once_and_a_crash_after_the_claim_loses_none() {
    for seed in 0..8 {
        let scene = Scene::new();
        scene.make(json!({}));
        scene.suspend();
        let isolates = [scene.hub.isolate(), scene.hub.isolate()];
        let now = scene.hub.clock.now();
        let relays = isolates.iter().map(|isolate: &Isolate| {
            let isolate = isolate.clone();
            let relay: writ::ports::Pending<'_, ()> = Box::pin(async move { isolate.app().relay(now).await.unwrap() });
            relay
        });
        scene.hub.together(seed, relays.collect());
        assert_eq!(scene.posts().len(), 1, "seed {seed}");
    }
    // The row says that an attempt is under way; nobody is there to end it.
    let scene = Scene::new();
    scene.make(json!({}));
    scene.suspend();
    scene.hub.faults.fail_when(Port::Db, |seen| seen.text.starts_with("DELETE FROM webhook_messages"), Effect::Fails);
    assert!(scene.hub.relay().is_err());
    scene.hub.faults.heal();
    scene.hub.clock.advance(60);
    scene.relay();
    let ids: Vec<String> = scene.posts().iter().map(|post| header(post, "webhook-id").to_owned()).collect();
    assert!(ids.len() == 2 && ids[0] == ids[1], "it comes again under the same id");
}

#[test]
fn a_webhook_that_takes_nothing_has_a_bound_and_the_trail_has_every_event_all_the_same() {
    let scene = Scene::new();
    let made = scene.make(json!({}));
    let id = made["id"].as_str().unwrap();
    scene.hub.db.execute(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
         INSERT INTO webhook_messages (tenant, webhook, id, body, not_before, until, created_at) \
         SELECT 'main', '{id}', i, '{{}}', 9000000000, 9000000000, 1 FROM n"
    ));
    scene.says.set(500);
    scene.happen();
    let left = scene.hub.db.query("SELECT id FROM webhook_messages WHERE tenant = 'main'").len();
    assert_eq!(left, 1_000);
    assert_eq!(scene.hub.events_of("connection.resumed").len(), 1);
    scene.post(&made, "test").expect(409);
}

#[test]
fn only_a_worker_with_the_key_of_the_vault_sends_and_its_cron_takes_what_others_left() {
    let scene = Scene::new();
    scene.make(json!({}));
    let admin =
        scene.hub.isolate_with(&[("ROLES", "admin"), ("SIGNING_KEK", ""), ("VAULT_KEK", ""), ("ADMIN_KEK", ADMIN_KEK)]);
    let token = scene.hub.admin_token();
    let call = scene.hub.call("POST", "/t/main/admin/connections/search/suspend").bearer(&token).on(&admin);
    call.send().expect(200);
    let now = scene.hub.clock.now();
    scene.hub.clock.block_on(admin.app().relay(now)).unwrap();
    scene.hub.clock.block_on(admin.app().tick(&|| now)).unwrap();
    assert!(scene.posts().is_empty());
    let broker = scene.hub.isolate_with(&[("ROLES", "broker"), ("SIGNING_KEK", "")]);
    scene.hub.clock.block_on(broker.app().tick(&|| now)).unwrap();
    assert_eq!(scene.posts().len(), 1);
}

#[test]
fn a_secret_is_sealed_anew_under_the_newest_key_and_opens_in_its_own_row_alone() {
    let scene = Scene::new();
    let (made, other) = (scene.make(json!({})), scene.make(json!({"url": "https://other.example/"})));
    let newer = ["2:HwICAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 ", VAULT_KEK].concat();
    let rotated = scene.hub.isolate_with(&[("VAULT_KEK", &newer)]);
    let now = scene.hub.clock.now();
    scene.hub.clock.block_on(rotated.app().tick(&|| now)).unwrap();
    let rows = scene.hub.db.query("SELECT secrets FROM webhooks WHERE tenant = 'main'");
    assert!(rows.iter().all(|row| row["secrets"].as_str().unwrap().contains("\"2.")), "{rows:?}");
    scene.suspend();
    scene.hub.clock.block_on(rotated.app().relay(now)).unwrap();
    let posts = scene.posts();
    let of = |made: &Value| posts.iter().find(|post| post.url == made["url"].as_str().unwrap()).unwrap();
    assert!(is_signed(of(&made), made["secret"].as_str().unwrap()));
    assert!(is_signed(of(&other), other["secret"].as_str().unwrap()));
    // One in the row of another signs nothing, and the message waits.
    scene.hub.db.execute(&format!(
        "UPDATE webhooks SET secrets = (SELECT secrets FROM webhooks WHERE tenant = 'main' AND id = '{}') \
         WHERE tenant = 'main' AND id = '{}'",
        other["id"].as_str().unwrap(),
        made["id"].as_str().unwrap(),
    ));
    scene.hub.admin("POST", "connections/search/resume").send().expect(200);
    scene.hub.clock.block_on(rotated.app().relay(now)).unwrap();
    assert_eq!(scene.posts().len(), 3);
    let [waiting] = scene.messages(&made, "waiting").try_into().unwrap();
    assert!(waiting["outcome"].as_str().unwrap().contains("cannot be read"), "{waiting}");
}

#[test]
fn no_tenant_keeps_the_messages_of_another_waiting() {
    let scene = Scene::new();
    scene.says.set(500);
    for tenant in ["a", "b", "c"] {
        scene.hub.create_tenant(tenant);
        let made = scene.hub.admin_of(tenant, "POST", "webhooks").json(&body(json!({}))).send().expect(201).json();
        let path = format!("webhooks/{}/test", made["id"].as_str().unwrap());
        let many = if tenant == "c" { 1 } else { 20 };
        (0..many).for_each(|_| drop(scene.hub.admin_of(tenant, "POST", &path).send().expect(200)));
    }
    scene.relay();
    scene.hub.clock.advance(1);
    scene.relay();
    let bodies: Vec<Value> = scene.posts().iter().map(said).collect();
    for tenant in ["a", "b", "c"] {
        assert!(bodies.iter().any(|body| body["data"]["tenant"] == tenant), "{tenant}");
    }
}
