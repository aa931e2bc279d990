//! `Idempotency-Key`: a retry of what made something answers the same, and makes nothing.

use super::detail;
use crate::support::hub::{ADMIN_KEK, Call, RESOURCE};
use crate::support::{Credentials, Effect, Port, Reply, Setup};
use serde_json::{Value, json};
use std::cell::Cell;
use writ::web::router::rows;

const KEY: &str = "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"";
const DAY: u64 = 86_400;

/// A request for a new client under a key, by one administrator's token.
fn post<'a>(hub: &'a Setup, token: &str, key: &str) -> Call<'a> {
    create(hub, token, "clients", &json!({"client_name": "agent"})).header("idempotency-key", key)
}

fn create<'a>(hub: &'a Setup, token: &str, path: &str, body: &Value) -> Call<'a> {
    hub.call("POST", &format!("/t/main/admin/{path}")).bearer(token).json(body)
}

/// How many clients of that name there are, in all tenants.
fn clients(hub: &Setup) -> usize {
    hub.db.query("SELECT 1 FROM clients WHERE metadata LIKE '%\"agent\"%'").len()
}

fn answers(hub: &Setup) -> usize {
    hub.db.query("SELECT 1 FROM answers").len()
}

#[track_caller]
fn same(one: &Reply, other: &Reply) {
    assert_eq!((one.status, other), (201, one));
}

#[test]
fn every_call_that_makes_something_answers_its_retry_alike_and_makes_nothing_twice() {
    let hub = Setup::new();
    let client = hub.create_client(json!({"client_name": "other"}));
    let secrets = format!("clients/{}/secrets", client.client_id);
    let scopes = json!([{"name": "s", "description": "d"}]);
    let user = hub.admin("POST", "users").json(&json!({"name": "Bob"})).send().expect(201).json();
    let invitations = format!("users/{}/invitations", user["id"].as_str().unwrap());
    let webhook = json!({"url": "https://backend.example/", "events": ["account.changed"]});
    let made = hub.admin("POST", "webhooks").json(&webhook).send().expect(201).json();
    let webhook_secrets = format!("webhooks/{}/secrets", made["id"].as_str().unwrap());
    let bodies = [
        ("webhooks", "webhooks", webhook),
        ("webhooks/{id}/secrets", &webhook_secrets, json!({})),
        ("sinks", "sinks", json!({"kind": "https", "url": "https://siem.example/"})),
        ("tenants", "tenants", json!({"id": "acme", "name": "Acme"})),
        ("clients", "clients", json!({"client_name": "agent"})),
        ("clients/{id}/secrets", &secrets, json!({"expires_in": 60})),
        ("resources", "resources", json!({"resource": RESOURCE, "name": "r", "scopes": scopes})),
        ("registration-tokens", "registration-tokens", json!({"name": "t", "expires_in": 60})),
        ("users", "users", json!({"name": "Alice"})),
        ("users/{id}/invitations", &invitations, json!({})),
        ("issuers", "issuers", json!({"issuer": "https://idp.example", "name": "i", "uses": ["workload"]})),
    ];
    let mut tried: Vec<String> = bodies.iter().map(|(path, ..)| format!("/t/{{tenant}}/admin/{path}")).collect();
    let mut there: Vec<_> = rows().iter().filter(|row| row.makes()).map(|row| row.path.to_owned()).collect();
    tried.sort_unstable();
    there.sort_unstable();
    assert_eq!(tried, there);
    for (_, path, body) in bodies {
        let token = hub.admin_token();
        let ask = || create(&hub, &token, path, &body).header("idempotency-key", &format!("\"key:{path}\"")).send();
        let first = ask();
        let state = super::state(&hub);
        let events = hub.events().len();
        same(&first, &ask());
        assert_eq!(super::state(&hub), state, "{path}");
        let repeated = hub.events_of("admin.repeated");
        assert_eq!(
            (hub.events().len(), repeated.last().unwrap()["target"].as_str()),
            (events + 1, Some(&*format!("POST {path}")))
        );
        let link = if path.ends_with("invitations") { "url" } else { "secret" };
        let (body, names) = (first.json(), ["client_secret", "registration_token", link]);
        for secret in names.iter().filter_map(|name| body[*name].as_str()) {
            assert!(!hub.dump_at_rest().contains(secret), "{path}");
        }
    }
    assert_eq!(hub.events_of("admin.repeated").len(), 11);
}

#[test]
fn a_secret_that_was_answered_twice_is_one_that_works() {
    let hub = Setup::new();
    let token = hub.admin_token();
    let body = json!({"client_name": "agent", "allowed_resources": [format!("{}/admin", hub.issuer("main"))]});
    let ask = || create(&hub, &token, "clients", &body).header("idempotency-key", KEY).send();
    same(&ask(), &ask());
    let made = ask().json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let client = Credentials { client_id: text("client_id"), client_secret: text("client_secret") };
    hub.token(&client, &[("scope", "admin")]).expect(200);
}

#[test]
fn an_answer_that_was_lost_on_its_way_comes_again() {
    let is_creation = |text: &str| text.contains("INSERT INTO clients");
    // The reply of D1 is lost: the same request finds what it made.
    let hub = Setup::new();
    let token = hub.admin_token();
    hub.faults.fail_when(Port::Db, move |call| is_creation(&call.text), Effect::LosesReply);
    let found = post(&hub, &token, KEY).send();
    hub.faults.heal();
    assert_eq!(hub.events_of("admin.repeated").len(), 0, "its only answer");
    same(&found, &post(&hub, &token, KEY).send());
    assert_eq!((clients(&hub), answers(&hub)), (1, 1));
    // Everything after it is lost too.
    let hub = Setup::new();
    let token = hub.admin_token();
    hub.faults.fail_when(Port::Db, move |call| is_creation(&call.text), Effect::LosesReply);
    let made = Cell::new(false);
    hub.faults.fail_when(Port::Db, move |call| made.replace(made.get() || is_creation(&call.text)), Effect::Fails);
    post(&hub, &token, KEY).send().expect(503);
    hub.faults.heal();
    assert_eq!(clients(&hub), 1);
    let again = post(&hub, &token, KEY).send();
    same(&again, &post(&hub, &token, KEY).on(&hub.isolate()).send());
    assert_eq!((clients(&hub), hub.events_of("client.created").len()), (1, 1));
    // Nothing has happened: the retry makes it.
    let hub = Setup::new();
    let token = hub.admin_token();
    hub.faults.fail_when(Port::Db, move |call| is_creation(&call.text), Effect::Fails);
    post(&hub, &token, KEY).send().expect(503);
    hub.faults.heal();
    assert_eq!((clients(&hub), answers(&hub)), (0, 0));
    post(&hub, &token, KEY).send().expect(201);
    assert_eq!(clients(&hub), 1);
}

#[test]
fn wherever_a_client_hangs_up_its_retry_finds_one_record() {
    for rounds in 0..12 {
        let hub = Setup::new();
        let token = hub.admin_token();
        hub.faults.jitter(Some(rounds));
        post(&hub, &token, KEY).abandon(rounds as usize);
        hub.faults.jitter(None);
        let again = post(&hub, &token, KEY).send();
        same(&again, &post(&hub, &token, KEY).send());
        assert_eq!((clients(&hub), answers(&hub)), (1, 1), "{rounds}");
    }
}

#[test]
fn of_requests_at_once_with_one_key_one_makes_the_record_and_all_answer_alike() {
    let mut attempts = 0;
    for seed in 0..30 {
        let hub = Setup::new();
        let token = hub.admin_token();
        let isolates = [hub.isolate(), hub.isolate(), hub.isolate()];
        let futures = isolates.iter().map(|isolate| post(&hub, &token, KEY).on(isolate).future()).collect();
        let replies = hub.together(seed, futures);
        replies.iter().for_each(|reply| same(&replies[0], reply));
        assert_eq!((clients(&hub), answers(&hub)), (1, 1), "{seed}");
        assert_eq!(hub.events_of("client.created").len(), 1, "{seed}");
        attempts += hub.faults.texts(Port::Db).iter().filter(|text| text.contains("INSERT INTO answers")).count();
    }
    assert!(attempts > 30, "none came between the look and the creation of another");
}

/// Here the loser's guard refuses before the key does.
#[test]
fn of_requests_at_once_for_one_name_with_one_key_none_is_told_that_the_name_is_taken() {
    for seed in 0..30 {
        let hub = Setup::new();
        let token = hub.admin_token();
        let body = json!({"id": "acme", "name": "Acme"});
        let isolates = [hub.isolate(), hub.isolate()];
        let ask = |isolate| create(&hub, &token, "tenants", &body).header("idempotency-key", KEY).on(isolate).future();
        let replies = hub.together(seed, isolates.iter().map(ask).collect());
        same(&replies[0], &replies[1]);
        create(&hub, &token, "tenants", &body).header("idempotency-key", "another").send().expect(409);
    }
}

#[test]
fn requests_at_once_with_one_key_and_other_bodies_make_one_record_and_one_refusal() {
    for seed in 0..20 {
        let hub = Setup::new();
        let token = hub.admin_token();
        let ask = |owner: &str| {
            let body = json!({"client_name": "agent", "owner": owner});
            create(&hub, &token, "clients", &body).header("idempotency-key", KEY).future()
        };
        let replies = hub.together(seed, vec![ask("a"), ask("b")]);
        let mut all: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        all.sort_unstable();
        assert_eq!((all, clients(&hub)), (vec![201, 422], 1), "{seed}");
    }
}

#[test]
fn a_key_with_another_body_path_or_query_is_422_and_changes_nothing() {
    let hub = Setup::new();
    let token = hub.admin_token();
    let first = post(&hub, &token, KEY).send();
    let state = super::state(&hub);
    let other = json!({"client_name": "agent", "owner": "o"});
    let secrets = format!("clients/{}/secrets", first.json()["client_id"].as_str().unwrap());
    for (path, body) in [
        ("clients", other),
        ("users", json!({"client_name": "agent"})),
        (&secrets, json!({})),
        ("clients?x=1", json!({"client_name": "agent"})),
    ] {
        let reply = create(&hub, &token, path, &body).header("idempotency-key", KEY).send().expect(422);
        assert_eq!(reply.json()["reason"], "IdempotencyKeyReused");
        assert!(detail(&reply).contains("send a new key"), "{reply:?}");
    }
    assert_eq!(super::state(&hub), state);
    same(&first, &post(&hub, &token, KEY).send());
}

#[test]
fn a_key_is_its_clients_and_its_tenants_own() {
    let hub = Setup::new();
    let own_api =
        |tenant: &str| json!({"client_name": "other", "allowed_resources": [format!("{}/admin", hub.issuer(tenant))]});
    let first = post(&hub, &hub.admin_token(), KEY).send().expect(201);
    let other = hub.create_client(own_api("main"));
    let others = hub.token(&other, &[("scope", "admin")]).access_token();
    let second = post(&hub, &others, KEY).send().expect(201);
    hub.create_tenant("acme");
    let call = hub.admin_of("acme", "POST", "clients").json(&json!({"client_name": "agent"}));
    let third = call.header("idempotency-key", KEY).send().expect(201);
    let id = |reply: &Reply| reply.json()["client_id"].clone();
    assert!(id(&first) != id(&second) && id(&second) != id(&third));
    assert_eq!(clients(&hub), 3);
    // A new token of the same client is the same caller.
    same(&first, &post(&hub, &hub.admin_token(), KEY).send());
}

#[test]
fn an_answer_is_kept_for_a_day_and_the_cron_forgets_it() {
    let hub = Setup::new();
    let ask = || post(&hub, &hub.admin_token(), KEY).send().expect(201);
    let first = ask();
    hub.clock.advance(DAY - 1);
    same(&first, &ask());
    hub.clock.advance(1);
    let second = ask();
    assert_ne!(first.json()["client_id"], second.json()["client_id"], "before any cron");
    assert_eq!((clients(&hub), answers(&hub)), (2, 1));
    hub.tick().unwrap();
    assert_eq!(answers(&hub), 1);
    hub.clock.advance(DAY);
    hub.tick().unwrap();
    assert_eq!(answers(&hub), 0);
}

#[test]
fn what_is_no_key_is_refused_and_makes_nothing() {
    let hub = Setup::new();
    let token = hub.admin_token();
    let long = "k".repeat(129);
    for bad in ["", "\"\"", "\"open", "a b", "a, b", "\"a\";b=1", "'; DROP TABLE answers; --", "a\u{0}b", "ключ", &long]
    {
        let reply = post(&hub, &token, bad).send().expect(400);
        assert_eq!(reply.json()["reason"], "MalformedIdempotencyKey", "{bad}");
        assert!(detail(&reply).contains("`Idempotency-Key` must have 1 to 128"), "{reply:?}");
    }
    assert_eq!((clients(&hub), answers(&hub)), (0, 0));
    post(&hub, &token, &"k".repeat(128)).send().expect(201);
    // Quotes are the syntax of the header, not a part of the key.
    same(&post(&hub, &token, "abc").send(), &post(&hub, &token, "\"abc\"").send());
    assert_eq!(clients(&hub), 2);
}

#[test]
fn a_refused_call_is_not_remembered() {
    let hub = Setup::new();
    let token = hub.admin_token();
    let send = |body: Value| create(&hub, &token, "tenants", &body).header("idempotency-key", KEY).send();
    send(json!({"id": "acme"})).expect(400);
    send(json!({"id": "main", "name": "n"})).expect(409);
    assert_eq!(answers(&hub), 0);
    send(json!({"id": "acme", "name": "n"})).expect(201);
    let reader = hub.token(&hub.admin_client("main"), &[("scope", "admin:read")]).access_token();
    create(&hub, &reader, "tenants", &json!({"id": "acme", "name": "n"}))
        .header("idempotency-key", KEY)
        .send()
        .expect(403);
}

#[test]
fn an_answer_that_lies_under_another_key_client_or_tenant_or_is_damaged_does_not_open() {
    let gone = "DELETE FROM answers WHERE tenant = 'main' AND client = '$admin' AND key = '$one'; UPDATE answers";
    for spoil in [
        format!("{gone} SET key = '$one' WHERE tenant = 'main' AND client = '$admin' AND key = '$two'"),
        format!("{gone} SET client = '$admin' WHERE tenant = 'main' AND client = '$second'"),
        format!("{gone} SET tenant = 'main', client = '$admin', request = '$request' WHERE tenant = 'acme'"),
        "UPDATE answers SET sealed = substr(sealed, 1, 40) || 'AAAA' || substr(sealed, 45)".to_owned(),
        "UPDATE answers SET sealed = ''".to_owned(),
    ] {
        let hub = Setup::new();
        let token = hub.admin_token();
        let own_api = json!({"client_name": "second", "allowed_resources": [format!("{}/admin", hub.issuer("main"))]});
        let second = hub.create_client(own_api);
        let seconds = hub.token(&second, &[("scope", "admin")]).access_token();
        hub.create_tenant("acme");
        let body = json!({"client_name": "agent"});
        let first = post(&hub, &token, "one").send().expect(201);
        let others = [
            post(&hub, &token, "two").send(),
            post(&hub, &seconds, "one").send(),
            hub.admin_of("acme", "POST", "clients").json(&body).header("idempotency-key", "one").send(),
        ];
        let digest = |key: &str| writ::crypto::sha256(key).to_text();
        let names = [
            ("$one", digest("one")),
            ("$two", digest("two")),
            ("$admin", hub.admin_client("main").client_id),
            ("$second", second.client_id),
            (
                "$request",
                hub.db.query("SELECT request FROM answers WHERE tenant = 'main'")[0]["request"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            ),
        ];
        hub.db.execute(&names.iter().fold(spoil.clone(), |sql, (name, value)| sql.replace(name, value)));
        let reply = post(&hub, &token, "one").send().expect(409);
        assert!(detail(&reply).contains("cannot be read any more"), "{spoil}: {reply:?}");
        for made in others.iter().chain([&first]) {
            assert!(!reply.text.contains(made.json()["client_secret"].as_str().unwrap()), "{spoil}");
        }
    }
}

#[test]
fn a_worker_of_the_admin_api_alone_has_a_key_of_its_own_for_answers() {
    let hub = Setup::new();
    let token = hub.admin_token();
    let admin =
        hub.isolate_with(&[("ROLES", "admin"), ("SIGNING_KEK", ""), ("VAULT_KEK", ""), ("ADMIN_KEK", ADMIN_KEK)]);
    let first = post(&hub, &token, KEY).on(&admin).send();
    same(&first, &post(&hub, &token, KEY).on(&admin).send());
    let sealed = hub.db.query("SELECT sealed FROM answers");
    assert!(sealed[0]["sealed"].as_str().unwrap().starts_with("1."));
    post(&hub, &token, KEY).send().expect(409);
}

#[test]
fn the_document_shows_the_header_where_it_counts_and_nowhere_else() {
    let document = Setup::new().call("GET", "/openapi.json").send().expect(200).json();
    for row in rows() {
        let operation = &document["paths"][row.path][row.method.as_str().to_lowercase()];
        let header = operation["parameters"].as_array().unwrap().iter().find(|one| one["name"] == "Idempotency-Key");
        assert_eq!(header.is_some(), row.makes(), "{}", row.path);
        if let Some(header) = header {
            assert_eq!((&header["in"], &header["required"]), (&json!("header"), &json!(false)));
            assert!(
                operation["responses"]["422"].is_object() && operation["responses"]["409"].is_object(),
                "{}",
                row.path
            );
        }
    }
}
