//! `admin/sinks`: the trail is sent at least once and in order, wherever a tenant wants it; nothing that a sink does holds anything else, and what it is sent
//! with stays a secret.

use super::admin::detail;
use crate::support::hub::{ADMIN_KEK, Isolate};
use crate::support::{Effect, Port, Reply, Scripted, Setup};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use writ::ports::{FetchError, Outbound};

const SPLUNK: &str = "https://http-inputs.splunk.example";
const HTTPS: &str = "https://siem.example/writ";

type Refuses = Box<dyn Fn(&Outbound) -> Option<Scripted>>;

/// A tenant with a SIEM that says what `says` says, status 0 being nobody there.
struct Scene {
    hub: Setup,
    says: Rc<Cell<u16>>,
    /// Instead of a status, if this refuses a request.
    refuses: Rc<RefCell<Refuses>>,
}

impl Scene {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        let hub = Setup::with(settings);
        let says = Rc::new(Cell::new(200));
        let refuses: Rc<RefCell<Refuses>> = Rc::new(RefCell::new(Box::new(|_| None)));
        let (status, refused) = (says.clone(), refuses.clone());
        hub.fetch.answer(move |request| match (refused.borrow())(request) {
            Some(scripted) => scripted,
            None if status.get() == 0 => Scripted::failure(FetchError::Unreachable),
            None => Scripted::json(status.get(), json!({"code": 0, "text": "Success", "errors": false})),
        });
        Self { hub, says, refuses }
    }

    fn make(&self, body: Value) -> Value {
        self.hub.admin("POST", "sinks").json(&body).send().expect(201).json()
    }

    fn https(&self, more: Value) -> Value {
        self.make(with(json!({"kind": "https", "url": HTTPS}), more))
    }

    /// Something happens that is `count` events.
    fn happen(&self, count: usize) {
        for n in 0..count {
            self.hub.create_client(json!({"client_name": format!("n{n}")}));
        }
    }

    fn send(&self) {
        self.hub.deliver_to_sinks().unwrap();
    }

    fn state(&self, sink: &Value) -> Value {
        self.hub.admin("GET", &format!("sinks/{}/state", id(sink))).send().expect(200).json()
    }

    fn posts(&self) -> Vec<Outbound> {
        self.hub.fetch.requests()
    }

    /// The sequence numbers that were sent, in their order, of the requests after the first `skip`.
    fn sequence(&self, skip: usize) -> Vec<i64> {
        self.posts().iter().skip(skip).flat_map(events).map(|event| event["seq"].as_i64().unwrap()).collect()
    }

    fn post(&self, sink: &Value, path: &str, body: Value) -> Reply {
        self.hub.admin("POST", &format!("sinks/{}/{path}", id(sink))).json(&body).send()
    }
}

fn id(sink: &Value) -> &str {
    sink["id"].as_str().unwrap()
}

fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn splunk(more: Value) -> Value {
    with(json!({"kind": "splunk", "url": SPLUNK, "secret": {"token": "hec-canary"}}), more)
}

fn events(request: &Outbound) -> Vec<Value> {
    request.body.as_deref().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn header<'a>(post: &'a Outbound, name: &str) -> &'a str {
    post.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str()).unwrap()
}

fn is_signed(post: &Outbound, secret: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let content =
        [header(post, "webhook-id"), header(post, "webhook-timestamp"), post.body.as_deref().unwrap()].join(".");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(content.as_bytes());
    header(post, "webhook-signature") == format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[test]
fn a_sink_gets_every_event_after_it_was_made_once_in_order_and_signed() {
    let scene = Scene::new();
    scene.happen(2);
    scene.send();
    scene.hub.clock.advance(1);
    let made = scene.https(json!({}));
    let secret = made["signing_secret"].as_str().unwrap().to_owned();
    scene.send();
    scene.happen(3);
    scene.send();
    let posts = scene.posts();
    let kinds: Vec<Value> = posts.iter().flat_map(events).map(|event| event["type"].clone()).collect();
    let of = |kind: &str| kinds.iter().filter(|known| *known == kind).count();
    assert_eq!((of("sink.created"), of("client.created")), (1, 3), "{kinds:?}");
    let sequence = scene.sequence(0);
    assert!(sequence.windows(2).all(|pair| pair[1] == pair[0] + 1), "{sequence:?}");
    for post in &posts {
        assert_eq!((post.method, post.url.as_str()), ("POST", HTTPS));
        assert_eq!(header(post, "content-type"), "application/x-ndjson");
        assert!(is_signed(post, &secret));
    }
    // As the admin API shows it.
    let shown = scene.hub.admin("GET", "events?type=sink.created").send().json()["items"][0].clone();
    let mut sent = posts.iter().flat_map(events).find(|event| event["type"] == "sink.created").unwrap();
    for name in ["seq", "log_index"] {
        sent.as_object_mut().unwrap().remove(name);
    }
    assert!(sent.as_object().unwrap().iter().all(|(name, value)| shown[name] == *value), "{sent} {shown}");
    let before = scene.posts().len();
    scene.send();
    let state = scene.state(&made);
    assert_eq!(state["attempts"], Value::Null);
    assert!(scene.posts().len() <= before + 1, "what was taken does not come again");
}

#[test]
fn splunk_gets_events_in_its_own_form_with_its_token() {
    let scene = Scene::new();
    let made = scene.make(splunk(json!({"config": {"index": "audit", "sourcetype": "writ:event"}})));
    assert!(made.get("signing_secret").is_none() && made.get("secret").is_none());
    scene.send();
    let post = &scene.posts()[0];
    assert_eq!(post.url, format!("{SPLUNK}/services/collector/event"));
    assert_eq!(header(post, "authorization"), "Splunk hec-canary");
    let text = post.body.as_deref().unwrap();
    let entries = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let entry = entries.map(Result::unwrap).find(|entry| entry["event"]["type"] == "sink.created").unwrap();
    assert_eq!(
        (&entry["index"], &entry["sourcetype"], &entry["host"]),
        (&json!("audit"), &json!("writ:event"), &json!("main"))
    );
    assert_eq!(entry["event"]["type"], "sink.created");
    assert_eq!(entry["time"].as_f64().unwrap() as u64, scene.hub.clock.seconds());
}

#[test]
fn what_a_sink_is_sent_with_is_shown_once_or_never_and_lies_sealed() {
    let scene = Scene::new();
    let made = scene.https(json!({"secret": {"authorization": "Bearer auth-canary"}}));
    let secret = made["signing_secret"].as_str().unwrap().to_owned();
    let second = scene.make(splunk(json!({})));
    scene.send();
    assert!(scene.posts().iter().any(|post| post.headers.iter().any(|(_, value)| value == "Bearer auth-canary")));
    for sink in [&made, &second] {
        let shown = scene.hub.admin("GET", &format!("sinks/{}", id(sink))).send().expect(200);
        assert!(!shown.text.contains("canary") && !shown.text.contains("secret"), "{shown:?}");
    }
    let everything = scene.hub.dump_at_rest();
    for canary in ["auth-canary", "hec-canary", secret.as_str()] {
        assert!(!everything.contains(canary), "{canary}");
    }
}

#[test]
fn a_sink_is_made_shown_changed_and_removed() {
    let scene = Scene::new();
    let made = scene.make(splunk(json!({})));
    let path = format!("sinks/{}", id(&made));
    let shown = scene.hub.admin("GET", &path).send().expect(200);
    assert_eq!(shown.json(), made);
    let put = |body: &Value, etag: &str| scene.hub.admin("PUT", &path).header("if-match", etag).json(body).send();
    let mut body = shown.json();
    body["description"] = json!("d");
    let changed = put(&body, shown.header("etag").unwrap()).expect(200);
    put(&body, shown.header("etag").unwrap()).expect(412);
    let again = put(&changed.json(), changed.header("etag").unwrap()).expect(200);
    assert_eq!(again.header("etag"), changed.header("etag"), "nothing has changed");
    scene.send();
    assert_eq!(header(&scene.posts()[0], "authorization"), "Splunk hec-canary", "the secret stays");
    scene.hub.admin("DELETE", &path).send().expect(204);
    let before = scene.posts().len();
    scene.happen(1);
    scene.send();
    assert_eq!(scene.posts().len(), before);
    assert!(scene.hub.trail.query("SELECT * FROM sink_states").is_empty());
    let kinds = ["sink.created", "sink.updated", "sink.deleted"];
    assert_eq!(kinds.map(|kind| scene.hub.events_of(kind).len()), [1, 1, 1]);
}

#[test]
fn a_secret_goes_to_no_other_origin_than_the_one_that_it_was_meant_for() {
    let scene = Scene::new();
    let made = scene.make(splunk(json!({})));
    let path = format!("sinks/{}", id(&made));
    let put = |body: Value| scene.hub.admin("PUT", &path).header("if-match", "*").json(&body).send();
    let moved = json!({"kind": "splunk", "url": "https://elsewhere.example"});
    assert!(detail(&put(moved.clone()).expect(400)).contains("`secret.token` is missing"));
    put(with(moved, json!({"secret": {"token": "other-canary"}}))).expect(200);
    scene.send();
    let post = scene.posts().pop().unwrap();
    assert_eq!(header(&post, "authorization"), "Splunk other-canary");
    // What signs is never sent, so it may lead elsewhere; what is sent beside it does not follow.
    let made = scene.https(json!({"secret": {"authorization": "Bearer auth-canary"}}));
    let path = format!("sinks/{}", id(&made));
    let moved = json!({"kind": "https", "url": "https://elsewhere.example/"});
    scene.hub.admin("PUT", &path).header("if-match", "*").json(&moved).send().expect(200);
    scene.send();
    let posts = scene.posts();
    let post = posts.iter().rfind(|post| post.url == "https://elsewhere.example/").unwrap();
    assert!(is_signed(post, made["signing_secret"].as_str().unwrap()));
    assert!(post.headers.iter().all(|(_, value)| !value.contains("canary")));
}

#[test]
fn what_a_sink_cannot_be_is_named() {
    let scene = Scene::new();
    for (body, fault) in [
        (json!({"kind": "syslog", "url": HTTPS}), "`kind` must be one of: https, splunk"),
        (json!({"kind": "https", "url": "http://siem.example/"}), "`url` must be an https URL"),
        (json!({"kind": "https", "url": "https://127.0.0.1/"}), "`url` must be an https URL"),
        (json!({"kind": "https", "url": "https://siem.example/?a=b"}), "`url` must be an https URL"),
        (json!({"kind": "https", "url": HTTPS, "config": {"batch": "canary"}}), "`config.batch` must be"),
        (json!({"kind": "https", "url": HTTPS, "config": {"colour": "canary"}}), "`config.colour` is unknown"),
        (json!({"kind": "https", "url": HTTPS, "secret": {"signing": "canary"}}), "`secret.signing` must be"),
        (json!({"kind": "https", "url": HTTPS, "events": ["canary"]}), "`events[0]` must be one of"),
        (json!({"kind": "https", "url": HTTPS, "events": []}), "`events` must name at least one"),
        (json!({"kind": "splunk", "url": SPLUNK}), "`secret.token` is missing"),
        (json!({"kind": "splunk", "url": SPLUNK, "secret": {"token": "a\nb"}}), "`secret.token` must be"),
        (json!({"kind": "s3", "url": "https://s3.example", "secret": {}}), "`config.bucket` is missing"),
        (json!({"kind": "https", "url": HTTPS, "from": -1}), "`from` must be"),
    ] {
        let reply = scene.hub.admin("POST", "sinks").json(&body).send().expect(400);
        assert!(detail(&reply).contains(fault) && !detail(&reply).contains("canary"), "{body}: {reply:?}");
    }
    assert!(scene.hub.db.query("SELECT id FROM sinks").is_empty());
}

#[test]
fn a_tenant_has_ten_sinks_at_the_most_and_they_get_its_own_trail_alone() {
    let scene = Scene::new();
    (0..10).for_each(|_| drop(scene.https(json!({}))));
    scene.hub.admin("POST", "sinks").json(&json!({"kind": "https", "url": HTTPS})).send().expect(409);
    scene.hub.create_tenant("acme");
    let url = "https://acme.example/";
    scene.hub.admin_of("acme", "POST", "sinks").json(&json!({"kind": "https", "url": url})).send().expect(201);
    for _ in 0..6 {
        scene.send();
        scene.hub.tick().unwrap();
    }
    let posts = scene.posts();
    for post in &posts {
        let tenant = if post.url == url { "acme" } else { "main" };
        assert!(events(post).iter().all(|event| event["tenant"] == tenant), "{post:?}");
    }
    assert!(posts.iter().any(|post| post.url == url));
    assert!(posts.iter().filter(|post| post.url != url).count() >= 10, "each has its turn");
}

#[test]
fn the_types_that_a_sink_gets_can_be_chosen_and_others_keep_its_place_moving() {
    let scene = Scene::new();
    let made = scene.https(json!({"events": ["client.suspended"]}));
    scene.happen(2);
    let client = scene.hub.create_client(json!({"client_name": "x"}));
    scene.hub.admin("POST", &format!("clients/{}/suspend", client.client_id)).send().expect(200);
    scene.send();
    let sent: Vec<Value> = scene.posts().iter().flat_map(events).collect();
    assert_eq!(sent.iter().map(|event| event["type"].clone()).collect::<Vec<_>>(), ["client.suspended"]);
    let state = scene.state(&made);
    assert_eq!((&state["taken"], &state["missed"]), (&json!(1), &json!(0)));
    assert!(state["lag"].as_i64().unwrap() <= 1, "{state}");
}

#[test]
fn a_sink_that_takes_nothing_is_tried_after_pauses_that_double_and_loses_nothing() {
    let scene = Scene::new();
    let made = scene.https(json!({}));
    scene.send();
    let taken = scene.posts().len();
    scene.says.set(503);
    scene.happen(3);
    scene.send();
    for n in 1..8_u32 {
        assert_eq!(scene.posts().len(), taken + n as usize);
        let state = scene.state(&made);
        assert_eq!((&state["state"], &state["attempts"]), (&json!("failing"), &json!(n)), "{state}");
        assert_eq!(state["outcome"], "it answered 503");
        scene.send();
        scene.hub.tick().unwrap();
        assert_eq!(scene.posts().len(), taken + n as usize, "not before the pause is over");
        scene.hub.clock.advance(60 << (n - 1).min(6));
        scene.hub.tick().unwrap();
    }
    assert_eq!(scene.hub.events_of("sink.failing").len(), 1, "it is told once");
    scene.says.set(200);
    let before = scene.posts().len();
    scene.hub.clock.advance(3_600);
    scene.hub.tick().unwrap();
    scene.send();
    let good: Vec<i64> = scene.sequence(before);
    assert!(good.windows(2).all(|pair| pair[1] == pair[0] + 1), "{good:?}");
    let state = scene.state(&made);
    assert_eq!((&state["state"], &state["missed"]), (&json!("current"), &json!(0)), "{state}");
}

#[test]
fn an_event_that_a_sink_refuses_is_found_by_halves_and_those_before_it_pass() {
    let scene = Scene::new();
    let made = scene.https(json!({}));
    *scene.refuses.borrow_mut() = Box::new(|request| {
        let has = events(request).iter().any(|event| event["target_name"] == "n5");
        has.then(|| Scripted::json(400, json!({})))
    });
    scene.happen(8);
    (0..8).for_each(|_| scene.send());
    let state = scene.state(&made);
    assert_eq!((&state["state"], &state["outcome"]), (&json!("failing"), &json!("it answered 400")), "{state}");
    let position = state["position"].as_i64().unwrap();
    let last = scene.posts().pop().unwrap();
    assert_eq!(events(&last).len(), 1);
    assert_eq!(events(&last)[0]["target_name"], "n5");
    assert_eq!(events(&last)[0]["seq"], position + 1, "all before it was taken");
    // An administrator goes on behind it.
    scene.post(&made, "replay", json!({"from": position + 2})).expect(204);
    (0..3).for_each(|_| scene.send());
    let state = scene.state(&made);
    assert_eq!(state["state"], "current", "{state}");
    let sent: Vec<Value> = scene.posts().iter().flat_map(events).map(|event| event["target_name"].clone()).collect();
    assert!(["n6", "n7"].iter().all(|name| sent.iter().any(|sent| sent == name)));
}

#[test]
fn a_sink_is_sent_again_from_any_sequence_number() {
    let scene = Scene::new();
    scene.happen(3);
    scene.hub.deliver();
    let made = scene.https(json!({"from": 0}));
    scene.send();
    let all = scene.sequence(0);
    assert_eq!(all[0], 0, "from the first event on");
    let before = scene.posts().len();
    scene.post(&made, "replay", json!({"from": 1})).expect(204);
    scene.send();
    let again = scene.sequence(before);
    assert_eq!(again[0], 1);
    assert!(again.windows(2).all(|pair| pair[1] == pair[0] + 1) && again.len() > all.len() - 1);
    scene.post(&made, "replay", json!({"from": -1})).expect(400);
    scene.post(&made, "replay", json!({})).expect(400);
    scene.hub.admin("POST", "sinks/none/replay").json(&json!({"from": 1})).send().expect(404);
    assert_eq!(scene.hub.events_of("sink.replayed")[0]["detail"], "from 1");
    // A number of a trail that was longer once, before its database was restored.
    scene.post(&made, "replay", json!({"from": 1_000_000})).expect(204);
    scene.send();
    let before = scene.posts().len();
    scene.happen(2);
    scene.send();
    assert!(scene.sequence(before).len() >= 2, "what is still to come is sent");
}

#[test]
fn a_disabled_sink_keeps_its_place() {
    let scene = Scene::new();
    let made = scene.https(json!({}));
    scene.send();
    let before = scene.posts().len();
    let path = format!("sinks/{}", id(&made));
    let mut body = scene.hub.admin("GET", &path).send().json();
    body["enabled"] = json!(false);
    scene.hub.admin("PUT", &path).header("if-match", "*").json(&body).send().expect(200);
    scene.happen(2);
    scene.send();
    scene.hub.tick().unwrap();
    assert_eq!(scene.posts().len(), before);
    assert_eq!(scene.state(&made)["state"], "disabled");
    body["enabled"] = json!(true);
    scene.hub.admin("PUT", &path).header("if-match", "*").json(&body).send().expect(200);
    scene.send();
    let sequence = scene.sequence(0);
    assert!(sequence.windows(2).all(|pair| pair[1] == pair[0] + 1), "{sequence:?}");
}

#[test]
fn a_slow_sink_keeps_no_other_and_no_event_of_the_trail_waiting() {
    let scene = Scene::new();
    let slow = "https://slow.example/";
    scene.https(json!({"url": slow}));
    scene.https(json!({}));
    *scene.refuses.borrow_mut() =
        Box::new(move |request| (request.url == slow).then(|| Scripted::json(200, json!({})).after(60_000)));
    scene.happen(1);
    let begun = scene.hub.clock.now();
    scene.send();
    assert!(scene.hub.clock.now().millis() - begun.millis() <= 10_000, "the time of one call");
    assert!(
        scene
            .posts()
            .iter()
            .any(|post| post.url == HTTPS && events(post).iter().any(|e| e["type"] == "client.created"))
    );
    assert_eq!(scene.hub.events_of("client.created").len(), 1);
}

#[test]
fn isolates_that_send_at_once_send_each_event_once() {
    for seed in 0..6 {
        let scene = Scene::new();
        let made = scene.https(json!({}));
        scene.happen(4);
        scene.hub.deliver();
        let isolates: Vec<Isolate> = (0..3).map(|_| scene.hub.isolate()).collect();
        // All of them wake the sink, for the batch came to each.
        let messages = scene.hub.queue.sent();
        let now = scene.hub.clock.now();
        let runs = isolates
            .iter()
            .map(|isolate| -> writ::ports::Pending<'_, _> { Box::pin(isolate.app().deliver(&messages, now)) });
        for done in scene.hub.together(seed, runs.collect()) {
            done.unwrap();
        }
        let mut sequence = scene.sequence(0);
        let count = sequence.len();
        sequence.dedup();
        assert_eq!(sequence.len(), count, "seed {seed}");
        assert_eq!(scene.state(&made)["state"], "current", "seed {seed}");
    }
}

#[test]
fn a_lost_reply_sends_a_batch_again_and_loses_none() {
    for nth in 0..6 {
        for effect in [Effect::Fails, Effect::LosesReply] {
            let scene = Scene::new();
            scene.https(json!({}));
            scene.happen(2);
            scene.hub.deliver();
            let messages = scene.hub.queue.sent();
            let isolate = scene.hub.isolate();
            scene.hub.faults.fail_nth(Port::Trail, nth, effect);
            drop(scene.hub.clock.block_on(isolate.app().deliver(&messages, scene.hub.clock.now())));
            scene.hub.faults.heal();
            scene.hub.clock.advance(120);
            scene.hub.clock.block_on(isolate.app().deliver(&messages, scene.hub.clock.now())).unwrap();
            scene.send();
            let mut sequence = scene.sequence(0);
            sequence.sort_unstable();
            sequence.dedup();
            assert!(sequence.windows(2).all(|pair| pair[1] == pair[0] + 1), "{nth} {effect:?} {sequence:?}");
            let kinds: Vec<Value> = scene.posts().iter().flat_map(events).map(|event| event["type"].clone()).collect();
            assert!(kinds.iter().filter(|kind| *kind == "client.created").count() >= 2, "{nth} {effect:?}");
        }
    }
}

#[test]
fn what_was_forgotten_before_a_sink_could_take_it_is_counted() {
    let scene = Scene::new();
    let made = scene.https(json!({"from": 0}));
    scene.says.set(500);
    scene.happen(3);
    scene.send();
    scene.hub.trail.execute("DELETE FROM events WHERE tenant = 'main' AND seq < 2");
    scene.says.set(200);
    scene.hub.clock.advance(60);
    scene.hub.tick().unwrap();
    assert_eq!(scene.state(&made)["missed"], 2);
    assert_eq!(scene.sequence(1)[0], 2);
}

#[test]
fn a_trial_says_at_once_what_became_of_it() {
    let scene = Scene::new();
    let made = scene.https(json!({}));
    assert_eq!(scene.post(&made, "test", json!({})).expect(200).json(), json!({"taken": true}));
    assert_eq!(events(&scene.posts()[0])[0]["type"], "sink.tested");
    scene.says.set(403);
    let failed = scene.post(&made, "test", json!({})).expect(200).json();
    assert_eq!(failed, json!({"taken": false, "outcome": "it answered 403"}));
    scene.says.set(0);
    let failed = scene.post(&made, "test", json!({})).expect(200).json();
    assert_eq!(failed, json!({"taken": false, "outcome": "it is unreachable"}));
    assert_eq!(scene.hub.events_of("sink.tested").len(), 3);
}

#[test]
fn events_can_have_the_form_of_ocsf() {
    let scene = Scene::new();
    scene.https(json!({"form": "ocsf", "config": {"batch": "array"}}));
    scene.send();
    let post = &scene.posts()[0];
    assert_eq!(header(post, "content-type"), "application/json");
    let all: Vec<Value> = serde_json::from_str(post.body.as_deref().unwrap()).unwrap();
    let event = all.iter().find(|event| event["message"] == "sink.created").unwrap();
    assert_eq!((&event["class_uid"], &event["metadata"]["version"]), (&json!(3_004), &json!("1.9.0")));
    assert_eq!(event["metadata"]["tenant_uid"], "main");
    assert_eq!(event["attestation_list"][0]["uid"], event["metadata"]["sequence"].to_string());
}

#[test]
fn in_the_split_the_worker_of_the_trail_sends_with_a_key_of_its_own() {
    let scene = Scene::with(&[]);
    let admin = scene.hub.isolate_with(&[
        ("ROLES", "admin,audit"),
        ("SIGNING_KEK", ""),
        ("VAULT_KEK", ""),
        ("ADMIN_KEK", ADMIN_KEK),
    ]);
    let body = splunk(json!({}));
    scene.hub.admin("POST", "sinks").json(&body).on(&admin).send().expect(201);
    scene.hub.deliver();
    let messages = scene.hub.queue.sent();
    scene.hub.clock.block_on(admin.app().deliver(&messages, scene.hub.clock.now())).unwrap();
    assert_eq!(header(&scene.posts()[0], "authorization"), "Splunk hec-canary");
    // A Worker that has another key sends nothing, and says so.
    let keys = [("ROLES", "audit"), ("SIGNING_KEK", ""), ("VAULT_KEK", ""), ("AUDIT_KEK", ADMIN_KEK)];
    let other = scene.hub.isolate_with(&keys);
    scene.hub.clock.block_on(other.app().deliver(&messages, scene.hub.clock.now())).unwrap();
    assert_eq!(scene.posts().len(), 1);
}

#[test]
fn what_older_keys_have_sealed_is_sealed_anew_by_the_cron() {
    let scene = Scene::new();
    scene.make(splunk(json!({})));
    let sealed = || scene.hub.db.query("SELECT sealed FROM sinks")[0]["sealed"].as_str().unwrap().to_owned();
    assert!(sealed().starts_with("1."));
    let keys = format!("2:AgECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 {}", crate::support::hub::VAULT_KEK);
    let isolate = scene.hub.isolate_with(&[("VAULT_KEK", &keys)]);
    scene.hub.clock.block_on(isolate.app().tick(&|| scene.hub.clock.now())).unwrap();
    assert!(sealed().starts_with("2."));
}

#[test]
fn a_batch_is_bounded_in_count_and_in_bytes() {
    let scene = Scene::new();
    let made = scene.https(json!({}));
    scene.send();
    let before = scene.posts().len();
    let next = scene.hub.trail.query("SELECT max(seq) + 1 AS n FROM events WHERE tenant = 'main'")[0]["n"].clone();
    let at = scene.hub.clock.now().millis();
    // Small ones and then large ones.
    scene.hub.trail.execute(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 899) INSERT INTO events (tenant, id, at, type, refused, body, seq) \
         SELECT 'main', printf('zz%024d', i), {at}, 'tool.called', 0, json_object('id', printf('zz%024d', i), 'tenant', 'main', 'at', {at}, \
         'type', 'tool.called', 'request_id', CASE WHEN i < 600 THEN 'r' ELSE printf('%04000d', i) END), {next} + i FROM n"
    ));
    let (messages, isolate) = (scene.hub.queue.sent(), scene.hub.isolate());
    for _ in 0..4 {
        scene.hub.clock.block_on(isolate.app().deliver(&messages, scene.hub.clock.now())).unwrap();
    }
    let batches: Vec<usize> = scene.posts().iter().skip(before).map(|post| events(post).len()).collect();
    assert!(batches.iter().all(|count| *count <= 500) && batches.contains(&500), "{batches:?}");
    assert!(scene.posts().iter().all(|post| post.body.as_ref().unwrap().len() < 600 * 1024), "{batches:?}");
    let sequence = scene.sequence(before);
    assert!(sequence.len() >= 900 && sequence.windows(2).all(|pair| pair[1] == pair[0] + 1), "{batches:?}");
    assert_eq!(scene.state(&made)["missed"], 0);
}
