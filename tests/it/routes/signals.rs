//! Event streams: who may have one, what is in it after a kill, and that it arrives whatever goes wrong on the way.

use crate::support::doubles::Scripted;
use crate::support::hub::{Call, ISSUER, RESOURCE, decode};
use crate::support::signer::verifies;
use crate::support::{Credentials, Effect, Port, Reply, Setup};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use writ::crypto::unb64;
use writ::ports::{Alg, FetchError, Outbound, Pending};

const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const PUSH: &str = "urn:ietf:rfc:8935";
const POLL: &str = "urn:ietf:rfc:8936";
const RECEIVER: &str = "https://receiver.example/events";

/// An agent that can be killed, and a resource server that may have a stream.
struct Scene {
    hub: Setup,
    agent: Credentials,
    server: Credentials,
    token: RefCell<String>,
}

impl Scene {
    fn new() -> Self {
        let hub = Setup::new();
        let agent = hub.agent("agent", "mcp:read");
        let server = receiver(&hub);
        let token = RefCell::new(token(&hub, &server, "ssf.manage ssf.read"));
        Self { hub, agent, server, token }
    }

    fn call(&self, method: &str, path: &str) -> Call<'_> {
        self.hub.call(method, &format!("/t/main/ssf/{path}")).bearer(&self.token.borrow())
    }

    /// A new token, when the old one has expired.
    fn renew(&self) {
        *self.token.borrow_mut() = token(&self.hub, &self.server, "ssf.manage");
    }

    fn create(&self, body: &Value) -> Value {
        self.call("POST", "streams").json(body).send().expect(201).json()
    }

    /// A stream that is fetched; its id.
    fn polled(&self) -> String {
        text(&self.create(&json!({}))["stream_id"])
    }

    /// A stream that is pushed; its id.
    fn pushed(&self) -> String {
        text(&self.create(&json!({"delivery": {"method": PUSH, "endpoint_url": RECEIVER}}))["stream_id"])
    }

    fn poll(&self, stream: &str, body: &Value) -> Reply {
        self.call("POST", &format!("streams/{stream}/poll")).json(body).send().expect(200)
    }

    /// The tokens that wait, in no order.
    fn sets(&self, stream: &str) -> Vec<String> {
        let reply = self.poll(stream, &json!({"returnImmediately": true})).json();
        reply["sets"].as_object().unwrap().values().map(text).collect()
    }

    fn kill(&self, agent: &Credentials) {
        self.hub.admin("POST", &format!("clients/{}/kill", agent.client_id)).send().expect(200);
    }

    fn waiting(&self) -> usize {
        self.hub.db.query("SELECT id FROM signals").len()
    }

    fn pushes(&self) -> Vec<Outbound> {
        self.hub.fetch.requests()
    }
}

fn receiver(hub: &Setup) -> Credentials {
    hub.create_client(json!({
        "kind": "resource_server", "serves": [RESOURCE], "allowed_resources": [RESOURCE, format!("{ISSUER}/ssf")],
    }))
}

fn token(hub: &Setup, client: &Credentials, scope: &str) -> String {
    hub.token(client, &[("resource", &format!("{ISSUER}/ssf")), ("scope", scope)]).access_token()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn subject(set: &str) -> Value {
    decode(set).1["sub_id"].clone()
}

#[test]
fn transmitter_metadata_is_at_both_places_and_every_endpoint_that_it_names_is_there() {
    let scene = Scene::new();
    let one = scene.hub.call("GET", "/.well-known/ssf-configuration/t/main").send().expect(200);
    let other = scene.hub.call("GET", "/t/main/.well-known/ssf-configuration").send().expect(200);
    assert_eq!(one.text, other.text);
    let metadata = one.json();
    assert_eq!((&metadata["issuer"], &metadata["spec_version"]), (&json!(ISSUER), &json!("1_0")));
    assert_eq!(metadata["delivery_methods_supported"], json!([PUSH, POLL]));
    assert_eq!(metadata["authorization_schemes"], json!([{"spec_urn": "urn:ietf:rfc:6749"}]));
    for name in ["configuration_endpoint", "status_endpoint", "verification_endpoint"] {
        let path = metadata[name].as_str().unwrap().strip_prefix("https://id.example").unwrap();
        assert_eq!(scene.hub.call("POST", path).send().status, 401, "{name}");
    }
}

#[test]
fn a_receiver_makes_reads_changes_and_removes_its_one_stream() {
    let scene = Scene::new();
    assert_eq!(scene.call("GET", "streams").send().expect(200).json(), json!([]));
    let made = scene.create(&json!({"description": "d", "events_requested": [REVOKED, "urn:x"]}));
    let id = text(&made["stream_id"]);
    let whole = json!({
        "stream_id": id, "iss": ISSUER, "aud": scene.server.client_id, "events_supported": [REVOKED],
        "events_requested": [REVOKED, "urn:x"], "events_delivered": [REVOKED], "description": "d",
        "delivery": {"method": POLL, "endpoint_url": format!("{ISSUER}/ssf/streams/{id}/poll")},
    });
    assert_eq!(made, whole);
    assert_eq!(scene.call("GET", "streams").send().json(), json!([whole]));
    assert_eq!(scene.call("GET", &format!("streams?stream_id={id}")).send().json(), whole);
    assert_eq!(scene.call("POST", "streams").json(&json!({})).send().status, 409);

    // In part: what is not sent stays; what the transmitter supplies may be sent back.
    let mut part = json!({"stream_id": id, "description": "e", "aud": scene.server.client_id, "iss": ISSUER});
    let patched = scene.call("PATCH", "streams").json(&part).send().expect(200).json();
    assert_eq!((&patched["description"], &patched["events_requested"]), (&json!("e"), &whole["events_requested"]));
    part["aud"] = json!("someone");
    scene.call("PATCH", "streams").json(&part).send().expect(400);
    let wrong = json!({"stream_id": id, "events_delivered": []});
    scene.call("PATCH", "streams").json(&wrong).send().expect(400);

    // Whole: what is not sent goes.
    let put =
        json!({"stream_id": id, "events_requested": ["urn:x"], "delivery": {"method": PUSH, "endpoint_url": RECEIVER}});
    let replaced = scene.call("PUT", "streams").json(&put).send().expect(200).json();
    assert_eq!(replaced["delivery"], json!({"method": PUSH, "endpoint_url": RECEIVER}));
    assert_eq!((replaced.get("description"), &replaced["events_delivered"]), (None, &json!([])));

    scene.call("DELETE", &format!("streams?stream_id={id}")).send().expect(204);
    scene.call("GET", &format!("streams?stream_id={id}")).send().expect(404);
    let kinds = ["stream.created", "stream.updated", "stream.deleted"];
    assert_eq!(kinds.map(|kind| scene.hub.events_of(kind).len()), [1, 2, 1]);
}

#[test]
fn a_stream_is_for_resource_servers_with_a_token_for_streams_and_the_scope() {
    let scene = Scene::new();
    let id = scene.polled();
    let with = |token: &str, method: &str, path: &str| {
        scene.hub.call(method, &format!("/t/main/ssf/{path}")).bearer(token).json(&json!({"stream_id": id})).send()
    };
    let reader = token(&scene.hub, &scene.server, "ssf.read");
    with(&reader, "GET", "streams").expect(200);
    scene
        .hub
        .call("POST", &format!("/t/main/ssf/streams/{id}/poll"))
        .bearer(&reader)
        .json(&json!({"maxEvents": 0}))
        .send()
        .expect(200);
    for (method, path) in [
        ("POST", "streams"),
        ("PATCH", "streams"),
        ("PUT", "streams"),
        ("DELETE", "streams"),
        ("POST", "status"),
        ("POST", "verify"),
    ] {
        let reply = with(&reader, method, path).expect(403);
        assert_eq!(reply.error(), "insufficient_scope");
        assert!(reply.header("www-authenticate").unwrap().contains("insufficient_scope"));
    }
    let admin = scene.hub.admin_token();
    let of_agent = scene.hub.access_token(&scene.agent, "mcp:read");
    for stranger in ["x", &admin, &of_agent] {
        assert_eq!(with(stranger, "GET", "streams").expect(401).error(), "invalid_token");
    }
    let agent = scene.hub.create_client(json!({"allowed_resources": [format!("{ISSUER}/ssf")]}));
    let of_agent = token(&scene.hub, &agent, "ssf.manage");
    assert_eq!(with(&of_agent, "POST", "streams").expect(403).error(), "access_denied");
    let refused = scene.hub.events_of("stream.refused");
    let told: Vec<_> = refused.iter().map(|event| (&event["client"], event["reason"].as_str().unwrap())).collect();
    let (server, agent) = (json!(scene.server.client_id), json!(agent.client_id));
    assert_eq!(told, [vec![(&server, "InsufficientScope"); 6], vec![(&agent, "NoReceiver")]].concat());
    assert_eq!(scene.hub.db.query("SELECT count FROM failures")[0]["count"], 3, "strangers are counted");
    // Without being named in `allowed_resources` there is no token for streams at all.
    let plain = scene.hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let reply = scene.hub.token(&plain, &[("resource", &format!("{ISSUER}/ssf"))]);
    assert_eq!(reply.expect(400).error(), "invalid_target");
}

#[test]
fn a_stream_is_nobody_elses() {
    let scene = Scene::new();
    let id = scene.polled();
    scene.kill(&scene.agent);
    let other = token(&scene.hub, &receiver(&scene.hub), "ssf.manage");
    let call = |method: &str, path: &str| scene.hub.call(method, &format!("/t/main/ssf/{path}")).bearer(&other);
    let body = json!({"stream_id": id, "status": "disabled", "ack": ["x"]});
    for (method, path) in [("PATCH", "streams"), ("PUT", "streams"), ("POST", "status"), ("POST", "verify")] {
        call(method, path).json(&body).send().expect(404);
    }
    call("POST", &format!("streams/{id}/poll")).json(&body).send().expect(404);
    for (method, path) in [("GET", "streams"), ("DELETE", "streams"), ("GET", "status")] {
        call(method, &format!("{path}?stream_id={id}")).send().expect(404);
    }
    assert_eq!(scene.sets(&id).len(), 1);
}

#[test]
fn a_url_to_push_to_is_public_https_or_the_stream_is_not_made() {
    let scene = Scene::new();
    let create = |delivery: Value| scene.call("POST", "streams").json(&json!({"delivery": delivery})).send();
    for bad in [
        "http://receiver.example/",
        "https://receiver.example:8443/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/",
        "https://metadata.google.internal/",
        "https://user:word@receiver.example/",
        "https://id.example/t/main/token",
        "file:///etc/passwd",
        "",
    ] {
        create(json!({"method": PUSH, "endpoint_url": bad})).expect(400);
    }
    create(json!({"method": PUSH})).expect(400);
    create(json!({"method": "urn:ietf:rfc:8937", "endpoint_url": RECEIVER})).expect(400);
    create(json!({"method": PUSH, "endpoint_url": RECEIVER, "authorization_header": "a\nb: c"})).expect(400);
    let id = scene.polled();
    let moved = json!({"stream_id": id, "delivery": {"method": PUSH, "endpoint_url": "https://127.0.0.1/"}});
    scene.call("PATCH", "streams").json(&moved).send().expect(400);
}

#[test]
fn a_kill_leaves_a_signed_security_event_that_stays_until_it_is_acknowledged() {
    let scene = Scene::new();
    let id = scene.polled();
    scene.kill(&scene.agent);
    let [set] = scene.sets(&id).try_into().unwrap();
    let (header, claims) = decode(&set);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("secevent+jwt"), &json!("RS256")));
    let jwks = scene.hub.call("GET", "/t/main/jwks.json").send().json();
    let key = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
    let (input, signature) = set.rsplit_once('.').unwrap();
    assert!(verifies(Alg::Rs256, &key.to_string(), input.as_bytes(), &unb64(signature).unwrap()));

    let now = scene.hub.clock.seconds();
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(ISSUER), &json!(scene.server.client_id)));
    assert_eq!((&claims["iat"], claims.get("exp"), claims.get("sub")), (&json!(now), None, None));
    let event = &claims["events"][REVOKED];
    assert_eq!((&event["event_timestamp"], claims["events"].as_object().unwrap().len()), (&json!(now), 1));
    assert!(!event["reason_admin"]["en"].as_str().unwrap().is_empty());
    let opaque = |id: &str| json!({"format": "opaque", "id": id});
    let whom = json!({"format": "complex", "tenant": opaque("main"), "application": opaque(&scene.agent.client_id)});
    assert_eq!(claims["sub_id"], whom);

    // It comes again with the same name and content until it is acknowledged, whichever isolate is asked.
    scene.hub.clock.advance(60);
    assert_eq!(scene.sets(&id), [set]);
    let other = scene.hub.isolate();
    let body = json!({"returnImmediately": true, "ack": [claims["jti"], "unknown"]});
    let reply = scene.call("POST", &format!("streams/{id}/poll")).json(&body).on(&other).send();
    assert_eq!(reply.expect(200).json(), json!({"sets": {}, "moreAvailable": false}));
    assert_eq!(scene.waiting(), 0);
}

#[test]
fn a_signal_is_there_if_and_only_if_the_change_is() {
    let scene = Scene::new();
    let id = scene.polled();
    let path = format!("clients/{}/kill", scene.agent.client_id);
    let kill = scene.hub.admin("POST", &path);
    scene.hub.faults.fail_when(Port::Db, |call| call.text.contains("INTO signals"), Effect::Fails);
    kill.send().expect(503);
    scene.hub.faults.heal();
    assert_eq!((scene.waiting(), scene.hub.events_of("client.killed").len()), (0, 0));
    // What changes nothing tells nothing.
    scene.hub.admin("POST", &path).send().expect(200);
    scene.hub.admin("POST", &path).send();
    assert_eq!(scene.sets(&id).len(), 1);
    assert_eq!(scene.hub.events_of("client.killed").len(), 1);
}

#[test]
fn a_tenant_hears_of_its_own_and_only_those_who_ask_for_such_events_do() {
    let scene = Scene::new();
    let id = scene.polled();
    scene.hub.create_tenant("other");
    let body = json!({"client_name": "x"});
    let client = scene.hub.create_client_of("other", body);
    scene.hub.admin_of("other", "POST", &format!("clients/{}/kill", client.client_id)).send().expect(200);
    assert_eq!(scene.waiting(), 0);
    let deaf = json!({"stream_id": id, "events_requested": ["urn:x"]});
    scene.call("PATCH", "streams").json(&deaf).send().expect(200);
    scene.kill(&scene.agent);
    assert_eq!(scene.waiting(), 0);
}

#[test]
fn a_poll_hands_out_as_many_as_are_wanted_and_says_whether_there_are_more() {
    let scene = Scene::new();
    let id = scene.polled();
    for n in 0..3 {
        scene.kill(&scene.hub.agent(&format!("agent-{n}"), "mcp:read"));
        scene.hub.clock.advance(1);
    }
    let ask = |most: i64, ack: Value| {
        scene.poll(&id, &json!({"maxEvents": most, "returnImmediately": true, "ack": ack})).json()
    };
    let none = ask(0, json!([]));
    assert_eq!(none, json!({"sets": {}, "moreAvailable": false}));
    let two = ask(2, json!([]));
    assert_eq!((two["sets"].as_object().unwrap().len(), &two["moreAvailable"]), (2, &json!(true)));
    let jtis: Vec<&String> = two["sets"].as_object().unwrap().keys().collect();
    let last = ask(2, json!(jtis));
    assert_eq!((last["sets"].as_object().unwrap().len(), &last["moreAvailable"]), (1, &json!(false)));
    scene.call("POST", &format!("streams/{id}/poll")).json(&json!({"maxEvents": -1})).send().expect(400);
}

#[test]
fn a_poll_that_may_wait_is_answered_as_soon_as_something_is_stopped() {
    let scene = Scene::new();
    let id = scene.polled();
    let start = scene.hub.clock.seconds();
    let waits = scene.call("POST", &format!("streams/{id}/poll")).json(&json!({})).future();
    let agent = &scene.agent;
    let admin = scene.hub.admin("POST", &format!("clients/{}/kill", agent.client_id));
    let clock = scene.hub.clock.clone();
    let kills: Pending<'_, Reply> = Box::pin(async move {
        writ::ports::Timer::sleep(&clock, 3_500).await;
        admin.future().await
    });
    let replies = scene.hub.clock.drive(7, vec![waits, kills]);
    assert_eq!(replies[0].json()["sets"].as_object().unwrap().len(), 1);
    assert!((3..=5).contains(&(scene.hub.clock.seconds() - start)));
    // Where nothing happens it ends by itself.
    let jti = replies[0].json()["sets"].as_object().unwrap().keys().next().unwrap().clone();
    let start = scene.hub.clock.seconds();
    let empty = scene.poll(&id, &json!({"ack": [jti]}));
    assert_eq!(empty.json(), json!({"sets": {}, "moreAvailable": false}));
    assert!(scene.hub.clock.seconds() - start <= 10);
}

#[test]
fn what_a_receiver_cannot_use_does_not_come_again_and_an_event_tells() {
    let scene = Scene::new();
    let id = scene.polled();
    scene.kill(&scene.agent);
    let jti = decode(&scene.sets(&id)[0]).1["jti"].clone();
    let errors =
        json!({text(&jti): {"err": "invalid_key", "description": "canary"}, "x": {"err": "NOT A CODE canary"}});
    scene.poll(&id, &json!({"returnImmediately": true, "setErrs": errors}));
    assert_eq!(scene.waiting(), 0);
    let event = scene.hub.events_of("signal.refused").pop().unwrap();
    assert_eq!((&event["target"], &event["detail"]), (&json!(id), &json!("invalid_key")));
    assert!(!scene.hub.dump_at_rest().contains("canary"));
}

#[test]
fn a_kill_is_pushed_after_the_answer_with_the_header_that_the_receiver_wants() {
    let scene = Scene::new();
    scene.hub.fetch.answer(|_| Scripted::answer(202, "text/plain", ""));
    let delivery = json!({"method": PUSH, "endpoint_url": RECEIVER, "authorization_header": "Bearer canary"});
    let made = scene.create(&json!({"delivery": delivery}));
    assert_eq!(made["delivery"], json!({"method": PUSH, "endpoint_url": RECEIVER}), "the header is not shown");
    assert!(!scene.hub.dump_at_rest().contains("canary"), "the header rests sealed");
    scene.kill(&scene.agent);
    assert_eq!(scene.pushes().len(), 0);
    scene.hub.relay().unwrap();
    let [push] = scene.pushes().try_into().unwrap();
    assert_eq!((push.method, push.url.as_str()), ("POST", RECEIVER));
    let header = |name: &str| push.headers.iter().find(|(known, _)| *known == name).unwrap().1.as_str();
    assert_eq!(header("content-type"), "application/secevent+jwt");
    assert_eq!(header("authorization"), "Bearer canary");
    assert_eq!(subject(push.body.as_deref().unwrap())["application"]["id"], scene.agent.client_id.as_str());
    assert_eq!(scene.waiting(), 0);
    scene.hub.relay().unwrap();
    scene.hub.tick().unwrap();
    assert_eq!(scene.pushes().len(), 1, "what was taken does not come again");
}

#[test]
fn the_cron_seals_the_header_of_a_stream_anew_under_the_newest_key() {
    let scene = Scene::new();
    let hub = &scene.hub;
    hub.fetch.answer(|_| Scripted::answer(202, "text/plain", ""));
    let delivery = json!({"method": PUSH, "endpoint_url": RECEIVER, "authorization_header": "Bearer canary"});
    scene.create(&json!({"delivery": delivery}));
    scene.kill(&scene.agent);
    let newest = "2:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let rings = [format!("{newest} {}", crate::support::hub::SIGNING_KEK), newest.to_owned()];
    let [both, alone] = rings.map(|ring| hub.isolate_with(&[("SIGNING_KEK", &ring)]));
    // The push comes after the cron of the same run, so it is left to the other isolate.
    hub.fetch.answer(|_| Scripted::answer(503, "text/plain", ""));
    hub.clock.block_on(both.app().tick(&|| hub.clock.now())).unwrap();
    hub.clock.advance(3_600);
    let before = scene.pushes().len();
    hub.clock.block_on(alone.app().relay(hub.clock.now())).unwrap();
    let push = scene.pushes().split_off(before).pop().unwrap();
    assert!(push.headers.contains(&("authorization".into(), "Bearer canary".to_owned())), "{push:?}");
}

/// The gate is asked at each push, whatever it said when the stream was made.
#[test]
fn what_may_not_be_called_any_more_is_not_pushed_to() {
    let scene = Scene::new();
    scene.hub.fetch.answer(|_| Scripted::answer(202, "text/plain", ""));
    scene.pushed();
    for url in ["https://169.254.169.254/events", "http://receiver.example/events", "https://id.example/events"] {
        scene.hub.db.execute(&format!("UPDATE streams SET body = json_set(body, '$.delivery.endpoint_url', '{url}')"));
        scene.hub.restart();
        scene.hub.clock.advance(100_000);
        scene.kill(&scene.hub.create_client(json!({})));
        scene.hub.relay().unwrap();
        scene.hub.tick().unwrap();
        assert_eq!(scene.pushes().len(), 0, "{url}");
    }
    scene.hub.db.execute(&format!("UPDATE streams SET body = json_set(body, '$.delivery.endpoint_url', '{RECEIVER}')"));
    scene.hub.restart();
    scene.hub.clock.advance(100_000);
    scene.hub.tick().unwrap();
    assert!(!scene.pushes().is_empty());
}

/// Who can write rows sends no receiver the header of another.
#[test]
fn a_stored_header_is_bound_to_its_tenant_and_to_its_stream() {
    let scene = Scene::new();
    scene.hub.fetch.answer(|_| Scripted::answer(202, "text/plain", ""));
    let delivery = |url: &str, header: &str| json!({"delivery": {"method": PUSH, "endpoint_url": url, "authorization_header": header}});
    scene.create(&delivery(RECEIVER, "Bearer first"));
    let other = receiver(&scene.hub);
    let bearer = token(&scene.hub, &other, "ssf.manage");
    let made = delivery("https://other.example/events", "Bearer second");
    scene.hub.call("POST", "/t/main/ssf/streams").bearer(&bearer).json(&made).send().expect(201);
    scene.hub.db.execute(&format!(
        "UPDATE streams SET body = json_set(body, '$.delivery.sealed_authorization', (SELECT body ->> \
         '$.delivery.sealed_authorization' FROM streams WHERE client = '{}')) WHERE client = '{}'",
        other.client_id, scene.server.client_id
    ));
    scene.hub.restart();
    scene.kill(&scene.agent);
    drop(scene.hub.relay());
    drop(scene.hub.tick());
    let urls: BTreeSet<String> = scene.pushes().into_iter().map(|push| push.url).collect();
    assert_eq!(urls, BTreeSet::from(["https://other.example/events".to_owned()]), "its own header goes to each");
}

#[test]
fn a_push_that_fails_is_tried_again_under_the_same_name_at_growing_distances_and_dropped_in_the_end() {
    let scene = Scene::new();
    let seen = Rc::new(RefCell::new(0));
    let count = seen.clone();
    scene.hub.fetch.answer(move |_| {
        *count.borrow_mut() += 1;
        match *count.borrow() % 4 {
            0 => Scripted::failure(FetchError::Timeout),
            1 => Scripted::answer(500, "text/plain", ""),
            2 => Scripted::answer(302, "text/plain", ""),
            _ => Scripted::answer(400, "application/json", "{\"err\":\"invalid_key\"}"),
        }
    });
    let id = scene.pushed();
    scene.kill(&scene.agent);
    let mut at = Vec::new();
    for _ in 0..(9 * 60) {
        let before = *seen.borrow();
        scene.hub.tick().unwrap();
        if *seen.borrow() > before {
            at.push(scene.hub.clock.seconds());
        }
        scene.hub.clock.advance(60);
    }
    let gaps: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600, 3600]);
    let names: BTreeSet<String> =
        scene.pushes().iter().map(|push| text(&decode(push.body.as_deref().unwrap()).1["jti"])).collect();
    assert_eq!((names.len(), scene.waiting()), (1, 0));
    let dropped = scene.hub.events_of("signal.dropped");
    assert_eq!((dropped.len(), &dropped[0]["target"], &dropped[0]["detail"]), (1, &json!(id), &json!("1")));
}

#[test]
fn isolates_that_push_at_the_same_time_push_once_and_a_lost_reply_brings_it_again() {
    for seed in 0..10 {
        let scene = Scene::new();
        scene.hub.fetch.answer(|_| Scripted::answer(202, "text/plain", "").after(100));
        scene.pushed();
        scene.kill(&scene.agent);
        let isolates: Vec<_> = (0..5).map(|_| scene.hub.isolate()).collect();
        let now = scene.hub.clock.now();
        let relays: Vec<Pending<'_, bool>> = isolates
            .iter()
            .map(|isolate| -> Pending<'_, bool> { Box::pin(async move { isolate.app().relay(now).await.is_ok() }) })
            .collect();
        assert!(scene.hub.together(seed, relays).into_iter().all(|done| done));
        assert_eq!((scene.pushes().len(), scene.waiting()), (1, 0), "seed {seed}");
    }
    let scene = Scene::new();
    scene.hub.fetch.answer(|_| Scripted::answer(202, "text/plain", ""));
    scene.pushed();
    scene.kill(&scene.agent);
    scene.hub.faults.fail_when(Port::Db, |call| call.text.contains("DELETE FROM signals"), Effect::Fails);
    assert!(scene.hub.relay().is_err());
    scene.hub.faults.heal();
    scene.hub.clock.advance(60);
    scene.hub.relay().unwrap();
    let jtis: Vec<Value> =
        scene.pushes().iter().map(|push| decode(push.body.as_deref().unwrap()).1["jti"].clone()).collect();
    assert_eq!((jtis.len(), &jtis[0], scene.waiting()), (2, &jtis[1], 0));
}

#[test]
fn one_receiver_that_hangs_does_not_keep_the_others_waiting() {
    let scene = Scene::new();
    scene.hub.fetch.answer(|request| match request.url.contains("slow") {
        true => Scripted::answer(202, "text/plain", "").after(60_000),
        false => Scripted::answer(202, "text/plain", ""),
    });
    scene.pushed();
    let slow = token(&scene.hub, &receiver(&scene.hub), "ssf.manage");
    let delivery = json!({"delivery": {"method": PUSH, "endpoint_url": "https://slow.example/"}});
    scene.hub.call("POST", "/t/main/ssf/streams").bearer(&slow).json(&delivery).send().expect(201);
    scene.kill(&scene.agent);
    scene.hub.relay().unwrap();
    assert_eq!(scene.pushes().len(), 2);
    assert_eq!(scene.waiting(), 1, "the slow one has not taken it in time");
}

#[test]
fn a_paused_stream_holds_its_signals_and_a_disabled_one_has_none() {
    let scene = Scene::new();
    scene.hub.fetch.answer(|_| Scripted::answer(202, "text/plain", ""));
    let id = scene.pushed();
    let set = |status: &str| {
        let body = json!({"stream_id": id, "status": status, "reason": "maintenance"});
        let shown = scene.call("POST", "status").json(&body).send().expect(200).json();
        assert_eq!(shown, json!({"stream_id": id, "status": status, "reason": "maintenance"}));
        assert_eq!(scene.call("GET", &format!("status?stream_id={id}")).send().json(), shown);
    };
    set("paused");
    scene.kill(&scene.agent);
    scene.hub.relay().unwrap();
    assert_eq!((scene.pushes().len(), scene.waiting()), (0, 1));
    set("enabled");
    scene.hub.relay().unwrap();
    assert_eq!((scene.pushes().len(), scene.waiting()), (1, 0));
    set("paused");
    scene.kill(&scene.hub.agent("second", "mcp:read"));
    assert_eq!(scene.waiting(), 1);
    set("disabled");
    assert_eq!(scene.waiting(), 0);
    scene.kill(&scene.hub.agent("third", "mcp:read"));
    assert_eq!(scene.waiting(), 0);
    scene.call("POST", "status").json(&json!({"stream_id": id, "status": "broken"})).send().expect(400);
}

#[test]
fn a_stream_that_is_paused_while_it_is_fetched_hands_out_nothing() {
    let scene = Scene::new();
    let id = scene.polled();
    scene.kill(&scene.agent);
    scene.call("POST", "status").json(&json!({"stream_id": id, "status": "paused"})).send().expect(200);
    assert_eq!(scene.sets(&id), Vec::<String>::new());
    scene.call("POST", "status").json(&json!({"stream_id": id, "status": "enabled"})).send().expect(200);
    assert_eq!(scene.sets(&id).len(), 1);
}

#[test]
fn a_stream_that_changes_its_delivery_takes_its_signals_along() {
    let scene = Scene::new();
    scene.hub.fetch.answer(|_| Scripted::answer(202, "text/plain", ""));
    let id = scene.polled();
    scene.kill(&scene.agent);
    scene.hub.relay().unwrap();
    assert_eq!(scene.pushes().len(), 0);
    let delivery = json!({"stream_id": id, "delivery": {"method": PUSH, "endpoint_url": RECEIVER}});
    scene.call("PATCH", "streams").json(&delivery).send().expect(200);
    scene.call("POST", &format!("streams/{id}/poll")).json(&json!({})).send().expect(404);
    scene.hub.relay().unwrap();
    assert_eq!((scene.pushes().len(), scene.waiting()), (1, 0));
}

#[test]
fn a_receiver_can_check_its_stream() {
    let scene = Scene::new();
    scene.hub.fetch.answer(|_| Scripted::answer(202, "text/plain", ""));
    let id = scene.pushed();
    let ask = |body: Value| scene.call("POST", "verify").json(&body).send();
    ask(json!({"stream_id": id, "state": "s"})).expect(204);
    scene.hub.relay().unwrap();
    let (_, claims) = decode(scene.pushes()[0].body.as_deref().unwrap());
    assert_eq!(claims["events"], json!({VERIFICATION: {"state": "s"}}));
    assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": id}));
    ask(json!({"state": "s"})).expect(400);
    ask(json!({"stream_id": "x"})).expect(404);
    ask(json!({"stream_id": id, "state": "x".repeat(1_001)})).expect(400);
}

#[test]
fn a_stream_that_nobody_empties_takes_no_more_verification_events() {
    let scene = Scene::new();
    let id = scene.polled();
    let full = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
         INSERT INTO signals (tenant, stream, id, body, not_before, created_at) \
         SELECT 'main', '{id}', i, '{{}}', 9007199254740992, {} FROM n",
        scene.hub.clock.seconds()
    );
    scene.hub.db.execute(&full);
    assert_eq!(scene.call("POST", "verify").json(&json!({"stream_id": id})).send().status, 429);
    // What was stopped is told all the same.
    scene.kill(&scene.agent);
    assert_eq!(scene.waiting(), 1_001);
}

#[test]
fn what_nobody_fetches_for_a_week_is_dropped_and_an_event_tells() {
    let scene = Scene::new();
    let id = scene.polled();
    scene.kill(&scene.agent);
    scene.hub.clock.advance(7 * 24 * 60 * 60);
    scene.hub.tick().unwrap();
    scene.renew();
    assert_eq!(scene.sets(&id).len(), 1);
    scene.hub.clock.advance(1);
    scene.hub.tick().unwrap();
    scene.hub.tick().unwrap();
    assert_eq!((scene.waiting(), scene.hub.events_of("signal.dropped").len()), (0, 1));
}

#[test]
fn a_receiver_that_is_stopped_or_gone_hears_nothing_more() {
    let scene = Scene::new();
    scene.hub.fetch.answer(|_| Scripted::answer(202, "text/plain", ""));
    scene.pushed();
    let path = format!("clients/{}", scene.server.client_id);
    scene.kill(&scene.agent);
    scene.hub.admin("POST", &format!("{path}/suspend")).send().expect(200);
    scene.kill(&scene.hub.agent("second", "mcp:read"));
    scene.hub.relay().unwrap();
    assert_eq!((scene.pushes().len(), scene.waiting()), (0, 1), "it has not heard of itself, nor of what came later");
    scene.hub.admin("DELETE", &path).send().expect(204);
    scene.hub.tick().unwrap();
    assert_eq!(scene.waiting(), 0);
    assert!(scene.hub.db.query("SELECT id FROM streams").is_empty());
}

#[test]
fn tenants_whose_receivers_are_stopped_do_not_keep_the_others_waiting() {
    let scene = Scene::new();
    scene.hub.fetch.answer(|_| Scripted::answer(202, "text/plain", ""));
    for tenant in ["a", "b", "c"] {
        scene.hub.create_tenant(tenant);
        let own =
            json!({"kind": "resource_server", "allowed_resources": [format!("{}/ssf", scene.hub.issuer(tenant))]});
        let server = scene.hub.create_client_of(tenant, own);
        let form = [("grant_type", "client_credentials")];
        let token =
            scene.hub.call("POST", &format!("/t/{tenant}/token")).basic(&server).form(&form).send().access_token();
        let delivery = json!({"delivery": {"method": PUSH, "endpoint_url": RECEIVER}});
        scene.hub.call("POST", &format!("/t/{tenant}/ssf/streams")).bearer(&token).json(&delivery).send().expect(201);
        let agent = scene.hub.create_client_of(tenant, json!({}));
        let admin = |id: &str, action: &str| {
            scene.hub.admin_of(tenant, "POST", &format!("clients/{id}/{action}")).send().expect(200);
        };
        admin(&agent.client_id, "kill");
        if tenant != "c" {
            admin(&server.client_id, "suspend");
        }
    }
    scene.hub.relay().unwrap();
    let [push] = scene.pushes().try_into().unwrap();
    assert_eq!(decode(push.body.as_deref().unwrap()).1["iss"], json!(scene.hub.issuer("c")));
}

#[test]
fn only_a_worker_that_can_sign_pushes_and_its_cron_takes_what_others_left() {
    let scene = Scene::new();
    scene.hub.fetch.answer(|_| Scripted::answer(202, "text/plain", ""));
    scene.pushed();
    let admin = scene.hub.isolate_with(&[
        ("ROLES", "admin"),
        ("SIGNING_KEK", ""),
        ("VAULT_KEK", ""),
        ("ADMIN_KEK", crate::support::hub::ADMIN_KEK),
    ]);
    let token = scene.hub.admin_token();
    let path = format!("/t/main/admin/clients/{}/kill", scene.agent.client_id);
    scene.hub.call("POST", &path).bearer(&token).on(&admin).send().expect(200);
    let now = scene.hub.clock.now();
    scene.hub.clock.block_on(admin.app().relay(now)).unwrap();
    scene.hub.clock.block_on(admin.app().tick(&|| now)).unwrap();
    assert_eq!(scene.pushes().len(), 0);
    let signer = scene.hub.isolate_with(&[("ROLES", "token"), ("VAULT_KEK", "")]);
    scene.hub.clock.block_on(signer.app().tick(&|| now)).unwrap();
    assert_eq!((scene.pushes().len(), scene.waiting()), (1, 0));
}

#[test]
fn that_a_tenant_was_suspended_is_still_told() {
    let scene = Scene::new();
    scene.hub.fetch.answer(|_| Scripted::answer(202, "text/plain", ""));
    scene.pushed();
    scene.kill(&scene.agent);
    scene.hub.db.execute("UPDATE tenants SET status = 'suspended', epoch = epoch + 1");
    scene.hub.restart();
    scene.hub.relay().unwrap();
    assert_eq!((scene.pushes().len(), scene.waiting()), (1, 0));
}

#[test]
fn a_signal_names_what_was_stopped_as_tokens_name_it() {
    let scene = Scene::new();
    let id = scene.polled();
    let said = |body: Value| {
        scene.hub.admin("POST", "kill").json(&body).send().expect(200);
        let [set] = scene.sets(&id).try_into().unwrap();
        scene.poll(&id, &json!({"returnImmediately": true, "ack": [decode(&set).1["jti"]]}));
        subject(&set)
    };
    let opaque = |id: &str| json!({"format": "opaque", "id": id});
    let iss_sub = |sub: &str| json!({"format": "iss_sub", "iss": ISSUER, "sub": sub});

    let user = text(&scene.hub.admin("POST", "users").json(&json!({"name": "u"})).send().expect(201).json()["id"]);
    assert_eq!(said(json!({"user": user})), iss_sub(&user));

    let token = scene.hub.access_token(&scene.agent, "mcp:read");
    let jti = text(&decode(&token).1["jti"]);
    assert_eq!(said(json!({"chain": jti})), json!({"format": "jwt_id", "iss": ISSUER, "jti": jti}));

    // A client on its own: nothing that it does for users is meant.
    let agent = &scene.agent.client_id;
    let of_agent = scene.hub.db.query(&format!("SELECT id FROM identities WHERE client = '{agent}'"));
    let whom = said(json!({"identity": of_agent[0]["id"]}));
    let tenant = opaque("main");
    let both = json!({"format": "complex", "tenant": tenant, "application": opaque(agent), "user": iss_sub(agent)});
    assert_eq!(whom, both);

    let alone = json!({"format": "complex", "tenant": tenant, "application": opaque(agent)});
    assert_eq!(said(json!({"client": agent})), alone);
}

#[test]
fn that_a_whole_tenant_was_stopped_is_told_to_its_own_receivers() {
    let scene = Scene::new();
    scene.hub.fetch.answer(|_| Scripted::answer(202, "text/plain", ""));
    let polled = scene.polled();
    scene.hub.create_tenant("other");
    let issuer = scene.hub.issuer("other");
    let body = json!({"kind": "resource_server", "allowed_resources": [format!("{issuer}/ssf")]});
    let server = scene.hub.create_client_of("other", body);
    let form = [("grant_type", "client_credentials")];
    let token = scene.hub.call("POST", "/t/other/token").basic(&server).form(&form).send().access_token();
    let delivery = json!({"delivery": {"method": PUSH, "endpoint_url": RECEIVER}});
    scene.hub.call("POST", "/t/other/ssf/streams").bearer(&token).json(&delivery).send().expect(201);

    scene.hub.admin("POST", "kill").json(&json!({"tenant": "other"})).send().expect(200);
    scene.hub.relay().unwrap();
    let [push] = scene.pushes().try_into().unwrap();
    let claims = decode(push.body.as_deref().unwrap()).1;
    assert_eq!(claims["iss"], json!(issuer));
    assert_eq!(claims["sub_id"], json!({"format": "complex", "tenant": {"format": "opaque", "id": "other"}}));
    assert_eq!(scene.sets(&polled), Vec::<String>::new());
}
