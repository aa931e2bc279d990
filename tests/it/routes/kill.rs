//! The kill switch: whatever is stopped, every way to a token or a lease is closed that leads through it, and no other.

use super::chain::{ACCESS_TOKEN, CODE, Chain, DEVICE, EXCHANGE, JWT_BEARER, REFRESH, TASKS};
use super::connections::{self, READ};
use super::introspection::Server;
use crate::support::hub::{Isolate, RESOURCE, decode};
use crate::support::{Effect, Port, Reply, Scripted, Setup};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;
use writ::crypto::sha256;
use writ::grants;
use writ::ports::Pending;

const ADMIN: &str = "https://id.example/t/main/admin";

/// A user, a planner and a worker that acts for both, a resource server, a connection; and tokens of the worker.
struct Scene {
    chain: Chain,
    /// Issued to the planner, about the user.
    first: String,
    /// Made from it for the worker.
    made: String,
    /// The worker's own.
    own: String,
    /// The worker's own for the admin API.
    admin: String,
    /// Its newest refresh token, for the user.
    refresh: RefCell<String>,
    server: crate::support::Credentials,
}

impl Scene {
    fn new() -> Self {
        let chain = Chain::new();
        let hub = &chain.hub;
        let server = Server::new(hub, RESOURCE).client;
        hub.fetch.answer(|_| {
            Scripted::json(200, json!({"access_token": "ya29.x", "expires_in": 3600, "token_type": "Bearer"}))
        });
        hub.admin("PUT", "connections/warehouse").json(&connections::body(0, &[READ])).send().expect(201);
        hub.put_policy("lease", "permit(principal, action == Action::\"lease\", resource);");
        let first = chain.user_token(&chain.planner, TASKS, "mcp:read");
        let made = chain.delegated(&chain.worker, &first, RESOURCE);
        let own = chain.own_token(&chain.worker, RESOURCE);
        let allowed = json!([RESOURCE, TASKS, ADMIN]);
        hub.db.execute(&format!(
            "UPDATE clients SET metadata = json_set(metadata, '$.allowed_resources', json('{allowed}')) WHERE id = '{}'",
            chain.worker.client_id
        ));
        hub.restart();
        let admin = hub.token(&chain.worker, &[("resource", ADMIN), ("scope", "admin:read")]).access_token();
        chain.may_ask_people();
        let refresh = RefCell::new(chain.refresh_token());
        Self { first, made, own, admin, refresh, server, chain }
    }

    fn hub(&self) -> &Setup {
        &self.chain.hub
    }

    /// A grant of people, for the worker.
    fn of_people(&self, grant: &'static str, form: Vec<(&'static str, String)>, at: &Isolate) -> Reply {
        let form = form.iter().map(|(name, value)| (*name, value.as_str()));
        let form: Vec<_> = [("grant_type", grant)].into_iter().chain(form).collect();
        self.chain.post(&self.chain.worker, &form).on(at).send()
    }

    fn identity(&self, client: &str, subject: &str) -> String {
        let sql = format!("SELECT id FROM identities WHERE client = '{client}' AND subject = '{subject}'");
        self.hub().db.query(&sql)[0]["id"].as_str().unwrap().to_owned()
    }

    fn kill(&self, what: &Value) -> Value {
        self.hub().admin("POST", "kill").json(what).send().expect(200).json()
    }

    /// What may be killed here, and the ways that lead through it.
    fn kills(&self) -> Vec<(&'static str, Value, &'static [&'static str])> {
        let (worker, planner) = (&self.chain.worker.client_id, &self.chain.planner.client_id);
        let user = &self.chain.user;
        let jti = decode(&self.first).1["jti"].clone();
        let all_but_the_connection: &[&str] =
            &["client_credentials", CODE, DEVICE, REFRESH, JWT_BEARER, EXCHANGE, "lease", "introspection", "admin API"];
        let about_the_user: &[&str] = &[CODE, DEVICE, REFRESH, JWT_BEARER, EXCHANGE, "lease", "introspection"];
        let of_the_chain: &[&str] = &[EXCHANGE, "lease", "introspection"];
        vec![
            ("the client", json!({"client": worker}), all_but_the_connection),
            ("a client that has acted", json!({"client": planner}), of_the_chain),
            ("the agentic identity", json!({"identity": self.identity(worker, user)}), about_the_user),
            ("an identity that has acted", json!({"identity": self.identity(planner, user)}), of_the_chain),
            (
                "the client on its own",
                json!({"identity": self.identity(worker, worker)}),
                &["client_credentials", EXCHANGE, "admin API"],
            ),
            ("the user", json!({"user": user}), about_the_user),
            ("the chain", json!({"chain": jti}), of_the_chain),
            ("the chain by its digest", json!({"chain": sha256(jti.as_str().unwrap()).to_text()}), of_the_chain),
            ("the connection", json!({"connection": "warehouse"}), &["lease"]),
        ]
    }
}

/// Goes one way on an isolate; whether it led somewhere.
type Way = fn(&Scene, &Isolate) -> bool;

fn granted(reply: &Reply) -> bool {
    match reply.status {
        200 => true,
        400 | 401 | 403 => false,
        _ => panic!("{reply:?}"),
    }
}

/// Every way to a token or a lease, and every reader of a token.
const WAYS: &[(&str, Way)] = &[
    ("client_credentials", |scene, at| {
        granted(&scene.hub().token_call(&scene.chain.worker, &[("resource", RESOURCE)]).on(at).send())
    }),
    (CODE, |scene, at| granted(&scene.of_people(CODE, scene.chain.form_of_people(CODE), at))),
    (DEVICE, |scene, at| granted(&scene.of_people(DEVICE, scene.chain.form_of_people(DEVICE), at))),
    (REFRESH, |scene, at| {
        let token = scene.refresh.borrow().clone();
        let reply = scene.of_people(REFRESH, vec![("refresh_token", token)], at);
        if reply.status == 200 {
            *scene.refresh.borrow_mut() = reply.json()["refresh_token"].as_str().unwrap().to_owned();
        }
        granted(&reply)
    }),
    (JWT_BEARER, |scene, at| {
        let assertion = scene.chain.assertion(json!({}));
        granted(&scene.chain.by_assertion(&scene.chain.worker, &assertion, &[("resource", RESOURCE)]).on(at).send())
    }),
    (EXCHANGE, |scene, at| {
        let more = [("actor_token", &*scene.own), ("actor_token_type", ACCESS_TOKEN), ("resource", RESOURCE)];
        granted(&scene.chain.exchange(&scene.chain.worker, &scene.first, &more).on(at).send())
    }),
    ("lease", |scene, at| {
        let call = scene.hub().call("POST", "/t/main/connections/warehouse/token").basic(&scene.server);
        granted(&call.form(&[("subject_token", &scene.made)]).on(at).send())
    }),
    ("introspection", |scene, at| {
        let call = scene.hub().call("POST", "/t/main/introspect").basic(&scene.server);
        call.form(&[("token", &scene.made)]).on(at).send().expect(200).json()["active"] == true
    }),
    ("admin API", |scene, at| {
        granted(&scene.hub().call("GET", "/t/main/admin/clients").bearer(&scene.admin).on(at).send())
    }),
];

fn open(scene: &Scene, at: &Isolate) -> Vec<&'static str> {
    WAYS.iter().filter(|(_, go)| go(scene, at)).map(|(name, _)| *name).collect()
}

#[test]
fn every_grant_is_among_the_ways() {
    let grants: BTreeSet<_> = grants::grant_types().into_iter().collect();
    let others = ["lease", "introspection", "admin API"];
    // `me` goes those that begin with a person and a browser.
    let with_a_person = ["authorization_code", "refresh_token", "urn:openid:params:grant-type:ciba"];
    let ways = WAYS.iter().map(|(name, _)| *name).filter(|name| !others.contains(name));
    let ways: BTreeSet<_> = ways.chain(with_a_person).collect();
    assert_eq!(ways, grants);
}

#[test]
fn a_kill_closes_every_way_through_what_is_killed_within_the_bound_and_no_other() {
    let count = Scene::new().kills().len();
    for n in 0..count {
        let scene = Scene::new();
        let (name, what, closed) = scene.kills().swap_remove(n);
        let here = scene.hub().isolate();
        let elsewhere = scene.hub().isolate();
        let all: Vec<_> = WAYS.iter().map(|(name, _)| *name).collect();
        assert_eq!(open(&scene, &here), all, "{name}");
        assert_eq!(open(&scene, &elsewhere), all, "{name}");
        let receipt = scene.kill(&what);
        scene.hub().clock.advance(5);
        assert!(receipt["not_honoured_after"].as_u64().unwrap() <= scene.hub().clock.seconds());
        let left: Vec<_> = all.iter().copied().filter(|way| !closed.contains(way)).collect();
        for at in [&here, &elsewhere, &scene.hub().isolate()] {
            assert_eq!(open(&scene, at), left, "{name}");
        }
    }
}

#[test]
fn a_suspension_closes_the_same_ways_and_resuming_opens_them_again_for_tokens_from_before() {
    let scene = Scene::new();
    let at = scene.hub().isolate();
    let all: Vec<_> = WAYS.iter().map(|(name, _)| *name).collect();
    for (name, what, closed) in scene.kills() {
        let (kind, id) = what.as_object().unwrap().iter().next().unwrap();
        let folder = match kind.as_str() {
            "client" => "clients",
            "identity" => "identities",
            "user" => "users",
            "connection" => "connections",
            _ => continue,
        };
        let path = format!("{folder}/{}", id.as_str().unwrap());
        let receipt = scene.hub().admin("POST", &format!("{path}/suspend")).send().expect(200).json();
        assert_eq!((&receipt["status"], &receipt["kind"], &receipt["id"]), (&json!("suspended"), &json!(kind), id));
        let again = scene.hub().admin("POST", &format!("{path}/suspend")).send().expect(200).json();
        assert_eq!((&again["at"], again.get("event")), (&receipt["at"], None));
        scene.hub().clock.advance(5);
        let left: Vec<_> = all.iter().copied().filter(|way| !closed.contains(way)).collect();
        assert_eq!(open(&scene, &at), left, "{name}");
        let shown = scene.hub().admin("POST", &format!("{path}/resume")).send().expect(200).json();
        assert_eq!(shown["status"], "active", "{name}");
        scene.hub().clock.advance(5);
        assert_eq!(open(&scene, &at), all, "{name}");
        scene.hub().admin("POST", &format!("{path}/resume")).send().expect(200);
    }
    let kinds: Vec<Value> = scene.hub().events().into_iter().map(|event| event["type"].clone()).collect();
    for (kind, times) in [("client", 2), ("identity", 3), ("user", 1), ("connection", 1)] {
        for turn in ["suspended", "resumed"] {
            assert_eq!(
                kinds.iter().filter(|seen| **seen == json!(format!("{kind}.{turn}"))).count(),
                times,
                "{kind}.{turn}"
            );
        }
    }
}

#[test]
fn a_receipt_counts_what_went_along_and_comes_again_unchanged_without_a_second_event() {
    let scene = Scene::new();
    let here = scene.hub().isolate();
    open(&scene, &here);
    scene.hub().events();
    let now = scene.hub().clock.seconds();
    for (name, what, _) in scene.kills() {
        // Of a chain both names are one thing, and a receipt of it is there already.
        if name == "the chain by its digest" {
            continue;
        }
        let (kind, id) = what.as_object().unwrap().iter().next().unwrap();
        let receipt = scene.kill(&what);
        assert_eq!((&receipt["kind"], &receipt["status"]), (&json!(kind), &json!("retired")), "{name}");
        let id = if kind == "chain" { json!(sha256(id.as_str().unwrap()).to_text()) } else { id.clone() };
        assert_eq!(receipt["id"], id);
        assert_eq!((&receipt["at"], &receipt["not_honoured_after"]), (&json!(now), &json!(now + 5)));
        let events = scene.hub().events_of(&format!("{kind}.killed"));
        let event = events.iter().find(|event| event["id"] == receipt["event"]).unwrap();
        assert_eq!(event["target"], id);
        assert_eq!(event["client"], json!(scene.hub().admin_client("main").client_id));

        scene.hub().clock.advance(60);
        assert_eq!(scene.kill(&what), receipt, "{name}");
        assert_eq!(scene.hub().events_of(&format!("{kind}.killed")).len(), events.len(), "{name}");
        scene.hub().clock.set_seconds(now);
        scene.hub().restart();
    }
}

#[test]
fn the_counts_are_those_of_the_moment() {
    let counts = |what: fn(&Scene) -> Value| {
        let scene = Scene::new();
        open(&scene, &scene.hub().isolate());
        scene.hub().events();
        let stopped = scene.kill(&what(&scene))["stopped"].clone();
        let until = scene.hub().clock.seconds();
        assert_eq!(stopped["tokens_issued_until"], until);
        assert_eq!(stopped["tokens_expire_by"], until + 5 + 3600);
        let leased = stopped["leases"] == 1;
        assert_eq!(stopped.get("leases_expire_by").is_some(), leased, "{stopped}");
        let left = scene.hub().db.query("SELECT 1 FROM leases WHERE sealed IS NOT NULL").len();
        assert_eq!(left, usize::from(!leased), "{stopped}");
        [&stopped["secrets"], &stopped["identities"], &stopped["leases"]].map(|n| n.as_i64().unwrap())
    };
    assert_eq!(counts(|scene| json!({"client": scene.chain.worker.client_id})), [1, 2, 1]);
    assert_eq!(counts(|scene| json!({"client": scene.chain.planner.client_id})), [1, 1, 0]);
    assert_eq!(counts(|scene| json!({"user": scene.chain.user})), [0, 2, 1]);
    let identity =
        |scene: &Scene| json!({"identity": scene.identity(&scene.chain.worker.client_id, &scene.chain.user)});
    assert_eq!(counts(identity), [0, 1, 1]);
    assert_eq!(counts(|_| json!({"connection": "warehouse"})), [1, 0, 1]);
    assert_eq!(counts(|scene| json!({"chain": decode(&scene.first).1["jti"]})), [0, 0, 0]);
}

#[test]
fn isolates_that_kill_at_once_make_one_event_and_answer_one_receipt() {
    for seed in 0..8 {
        let scene = Scene::new();
        let hub = scene.hub();
        let token = hub.admin_token();
        let isolates: Vec<_> = (0..4).map(|_| hub.isolate()).collect();
        let body = json!({"client": scene.chain.worker.client_id});
        let calls = isolates
            .iter()
            .map(|isolate| hub.call("POST", "/t/main/admin/kill").bearer(&token).json(&body).on(isolate).future());
        let replies = hub.together(seed, calls.collect());
        let receipts: BTreeSet<_> = replies.iter().map(|reply| reply.clone().expect(200).text).collect();
        assert_eq!(receipts.len(), 1, "seed {seed}: {receipts:?}");
        assert_eq!(hub.events_of("client.killed").len(), 1, "seed {seed}");
    }
}

#[test]
fn what_is_issued_while_the_kill_is_under_way_is_not_honoured_after_the_bound() {
    for seed in 0..6 {
        for kind in 0..4 {
            let scene = Scene::new();
            let hub = scene.hub();
            let admin = hub.admin_token();
            let isolates: Vec<_> = (0..3).map(|_| hub.isolate()).collect();
            let what = scene.kills().swap_remove([0, 2, 5, 6][kind]).1;
            let more = [("actor_token", &*scene.own), ("actor_token_type", ACCESS_TOKEN), ("resource", RESOURCE)];
            let mut calls: Vec<Pending<'_, Reply>> = (0..9)
                .map(|n| scene.chain.exchange(&scene.chain.worker, &scene.first, &more).on(&isolates[n % 3]).future())
                .collect();
            calls.push(hub.call("POST", "/t/main/admin/kill").bearer(&admin).json(&what).future());
            let replies = hub.together(seed, calls);
            let receipt = replies[9].clone().expect(200).json();
            hub.clock.set_seconds(hub.clock.seconds().max(receipt["not_honoured_after"].as_u64().unwrap()));
            hub.clock.advance(1);
            for reply in replies[..9].iter().filter(|reply| reply.status == 200) {
                for isolate in &isolates {
                    let call = hub.call("POST", "/t/main/connections/warehouse/token").basic(&scene.server).on(isolate);
                    call.form(&[("subject_token", &reply.access_token())]).send().expect(400);
                }
            }
        }
    }
}

#[test]
fn a_killed_connection_loses_its_data_key_its_ciphertext_and_its_tokens_and_is_made_anew_only_after_its_removal() {
    let scene = Scene::new();
    let hub = scene.hub();
    open(&scene, &hub.isolate());
    let ciphertexts = || hub.kv.keys().into_iter().filter(|key| key.starts_with("credential/")).count();
    assert_eq!((ciphertexts(), hub.db.query("SELECT 1 FROM leases").len()), (1, 1));
    let receipt = hub.admin("POST", "connections/warehouse/kill").send().expect(200).json();
    for table in ["credentials", "leases"] {
        assert!(hub.db.query(&format!("SELECT 1 FROM {table}")).is_empty(), "{table}");
    }
    assert_eq!(ciphertexts(), 0);
    assert_eq!(hub.admin("POST", "connections/warehouse/kill").send().expect(200).json(), receipt);
    let shown = hub.admin("GET", "connections/warehouse").send().expect(200);
    assert_eq!((&shown.json()["status"], shown.json().get("credential")), (&json!("retired"), None));
    let put = || hub.admin("PUT", "connections/warehouse").json(&connections::body(0, &[READ]));
    assert_eq!(put().header("if-match", shown.header("etag").unwrap()).send().expect(409).error(), "conflict");
    hub.admin("POST", "connections/warehouse/resume").send().expect(409);
    hub.admin("DELETE", "connections/warehouse").send().expect(204);
    put().send().expect(201);
    assert!(open(&scene, &hub.isolate()).contains(&"lease"));
    assert_ne!(hub.admin("POST", "connections/warehouse/kill").send().expect(200).json(), receipt);
}

#[test]
fn a_killed_tenant_is_closed_on_every_path_and_honours_no_token_from_before_when_it_is_resumed() {
    let hub = Setup::new();
    hub.create_tenant("acme");
    let token = hub.admin_token_of("acme");
    let elsewhere = hub.isolate();
    let read = || hub.call("GET", "/t/acme/admin/clients").bearer(&token);
    read().on(&elsewhere).send().expect(200);
    let kill = |tenant: &str, by: &str| hub.admin_of(by, "POST", "kill").json(&json!({"tenant": tenant})).send();
    assert_eq!(kill("acme", "acme").expect(403).json()["reason"], "FirstTenantOnly");
    assert_eq!(kill("main", "main").expect(400).json()["reason"], "InvalidField");
    kill("nobody", "main").expect(404);

    let receipt = kill("acme", "main").expect(200).json();
    assert_eq!((&receipt["status"], &receipt["stopped"]["secrets"]), (&json!("suspended"), &json!(1)));
    assert_eq!(kill("acme", "main").expect(200).json(), receipt);
    // An isolate that has not heard of it issues on, within the bound.
    let late = hub.call("POST", "/t/acme/token").basic(&hub.admin_client("acme"));
    hub.clock.advance(4);
    let late = late.form(&[("grant_type", "client_credentials")]).on(&elsewhere).send().access_token();
    hub.clock.advance(1);
    for isolate in [elsewhere.clone(), hub.isolate()] {
        for grant in grants::grant_types() {
            let call = hub.call("POST", "/t/acme/token").form(&[("grant_type", grant)]).on(&isolate);
            assert_eq!(call.send().expect(403).error(), "access_denied", "{grant}");
        }
        for (method, path) in [
            ("POST", "introspect"),
            ("POST", "revoke"),
            ("GET", "status-list"),
            ("GET", "jwks.json"),
            ("POST", "connections/x/token"),
            ("GET", "admin/clients"),
        ] {
            hub.call(method, &format!("/t/acme/{path}")).bearer(&token).on(&isolate).send().expect(403);
        }
    }
    assert_eq!(hub.events_of("tenant.killed").len(), 1);

    let shown = hub.admin("GET", "tenants/acme").send().expect(200);
    let body = json!({"name": "acme", "zone": "UTC", "status": "active"});
    hub.admin("PUT", "tenants/acme").header("if-match", shown.header("etag").unwrap()).json(&body).send().expect(200);
    hub.clock.advance(5);
    for dead in [&token, &late] {
        hub.call("GET", "/t/acme/admin/clients").bearer(dead).send().expect(401);
    }
    hub.admin_of("acme", "GET", "clients").send().expect(200);
    hub.clock.advance(1);
    assert_ne!(kill("acme", "main").expect(200).json()["event"], receipt["event"]);
}

#[test]
fn a_kill_names_exactly_one_thing_that_is_there() {
    let hub = Setup::new();
    for body in [json!({}), json!({"client": "a", "user": "b"}), json!({"client": 1})] {
        assert_eq!(hub.admin("POST", "kill").json(&body).send().expect(400).json()["reason"], "InvalidField", "{body}");
    }
    assert_eq!(
        hub.admin("POST", "kill").json(&json!({"colour": "red"})).send().expect(400).json()["reason"],
        "UnknownField"
    );
    for kind in ["client", "identity", "user", "connection", "tenant"] {
        hub.admin("POST", "kill").json(&json!({kind: "nobody"})).send().expect(404);
    }
    // Writ keeps no list of tokens: whatever has this `jti` is stopped.
    hub.admin("POST", "kill").json(&json!({"chain": writ::crypto::b64([1; 16])})).send().expect(200);
}

#[test]
fn a_kill_whose_event_cannot_be_kept_does_not_happen_and_one_whose_reply_is_lost_is_found_done() {
    let scene = Scene::new();
    let hub = scene.hub();
    let token = hub.admin_token();
    let kill = || {
        let body = json!({"client": scene.chain.worker.client_id});
        hub.call("POST", "/t/main/admin/kill").bearer(&token).json(&body).send()
    };
    hub.faults.fail_when(Port::Db, |seen| seen.text.contains("INTO outbox"), Effect::Fails);
    kill().expect(503);
    hub.faults.heal();
    assert_eq!(open(&scene, &hub.isolate()).len(), WAYS.len());
    hub.faults.fail_when(Port::Db, |seen| seen.text.contains("INTO receipts"), Effect::LosesReply);
    kill().expect(503);
    hub.faults.heal();
    let receipt = kill().expect(200).json();
    let events = hub.events_of("client.killed");
    assert_eq!((events.len(), &events[0]["id"]), (1, &receipt["event"]));
}

#[test]
fn whoever_listens_hears_once_of_every_kill_and_suspension_and_of_no_connection() {
    let scene = Scene::new();
    let hub = scene.hub();
    let receiver = hub.create_client(json!({
        "kind": "resource_server", "allowed_resources": [format!("{}/ssf", hub.issuer("main"))],
    }));
    let token = hub.token(&receiver, &[]).access_token();
    hub.call("POST", "/t/main/ssf/streams").bearer(&token).json(&json!({})).send().expect(201);
    let mut heard = 0;
    let mut hears = |more: usize, of: &str| {
        heard += more;
        let signals = hub.db.query("SELECT body FROM signals");
        assert_eq!(signals.len(), heard, "{of}");
        assert!(more == 0 || signals.iter().any(|signal| signal["body"].to_string().contains(of)), "{of}");
    };
    let (worker, planner, user) = (&scene.chain.worker.client_id, &scene.chain.planner.client_id, &scene.chain.user);
    for (path, of) in [
        (format!("clients/{planner}"), planner),
        (format!("users/{user}"), user),
        (format!("identities/{}", scene.identity(worker, user)), user),
    ] {
        hub.admin("POST", &format!("{path}/suspend")).send().expect(200);
        hears(1, of);
        hub.admin("POST", &format!("{path}/resume")).send().expect(200);
        hears(0, of);
    }
    let jti = decode(&scene.first).1["jti"].as_str().unwrap().to_owned();
    for (what, of) in [
        (json!({"identity": scene.identity(worker, user)}), user),
        (json!({"user": user}), user),
        (json!({"chain": &jti}), &jti),
        (json!({"client": worker}), worker),
    ] {
        scene.kill(&what);
        hears(1, of);
        scene.kill(&what);
        hears(0, of);
    }
    scene.kill(&json!({"connection": "warehouse"}));
    hears(0, "warehouse");
    let own = scene.chain.own_token(&scene.chain.planner, RESOURCE);
    hub.call("POST", "/t/main/revoke").basic(&scene.chain.planner).form(&[("token", &own)]).send().expect(200);
    hears(1, decode(&own).1["jti"].as_str().unwrap());
}
