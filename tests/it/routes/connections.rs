//! `admin/connections`: what goes into the vault, and that it never comes out.

use crate::support::keys::rsa_pem;
use crate::support::run::Random;
use crate::support::{Effect, Port, Reply, Setup};
use p256::pkcs8::EncodePrivateKey as _;
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::{DecodePrivateKey as _, LineEnding};
use rsa::rand_core::{CryptoRng, RngCore};
use serde_json::{Value, json};

pub const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
pub const READ: &str = "https://www.googleapis.com/auth/bigquery.readonly";
pub const WRITE: &str = "https://www.googleapis.com/auth/bigquery";
/// Stands in every service account where only Google's own endpoint has use for it.
pub const CANARY: &str = "canary-in-the-key-file";

/// A key file as Google's console gives it out, with the n-th key of the tests.
pub fn service_account(n: usize) -> Value {
    json!({
        "type": "service_account",
        "project_id": "demo-project",
        "private_key_id": format!("key-{n}-{CANARY}"),
        "private_key": rsa_pem(n),
        "client_email": format!("robot-{n}@demo-project.iam.gserviceaccount.com"),
        "client_id": "1234567890",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": TOKEN_URI,
        "universe_domain": "googleapis.com",
    })
}

/// A connection that offers `scopes` with the n-th key.
pub fn body(n: usize, scopes: &[&str]) -> Value {
    json!({"kind": "google_service_account", "config": {"scopes": scopes}, "secret": service_account(n)})
}

/// Pieces of the n-th key and of its file that must not be found anywhere.
pub fn traces(n: usize) -> Vec<String> {
    let pem = rsa_pem(n);
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let piece = base64[800..840].to_owned();
    let url_safe = piece.replace('+', "-").replace('/', "_");
    vec![piece, url_safe, CANARY.to_owned()]
}

fn put(hub: &Setup, name: &str, body: &Value) -> Reply {
    hub.admin("PUT", &format!("connections/{name}")).json(body).send()
}

fn etag(hub: &Setup, name: &str) -> String {
    hub.admin("GET", &format!("connections/{name}")).send().expect(200).header("etag").unwrap().to_owned()
}

/// The keys of ciphertexts that KV has now.
fn ciphertexts(hub: &Setup) -> Vec<String> {
    hub.kv.keys().into_iter().filter(|key| key.starts_with("credential/")).collect()
}

/// The keys of ciphertexts that D1 points to.
fn pointers(hub: &Setup) -> Vec<String> {
    let rows = hub.db.query("SELECT 'credential/' || tenant || '/' || id AS key FROM credentials ORDER BY key");
    rows.iter().map(|row| row["key"].as_str().unwrap().to_owned()).collect()
}

fn problem(reply: &Reply) -> (u16, String, String) {
    let body = reply.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (reply.status, text("reason"), text("detail"))
}

#[test]
fn a_connection_is_shown_and_listed_without_its_secret() {
    let hub = Setup::new();
    let made = put(&hub, "warehouse", &body(8, &[READ, WRITE])).expect(201);
    let shown = hub.admin("GET", "connections/warehouse").send().expect(200);
    let now = hub.clock.seconds();
    let wanted = json!({
        "name": "warehouse",
        "kind": "google_service_account",
        "config": {"scopes": [READ, WRITE]},
        "credential": {"account": "robot-8@demo-project.iam.gserviceaccount.com", "created_at": now},
        "status": "active",
        "created_at": now,
        "updated_at": now,
    });
    assert_eq!(shown.json(), wanted);
    assert_eq!((made.json(), made.header("etag")), (wanted.clone(), shown.header("etag")));
    let listed = hub.admin("GET", "connections").send().expect(200).json();
    assert_eq!(listed, json!({"items": [wanted]}));
    let everything = hub.dump_everything();
    assert!(everything.contains("robot-8@"));
    for trace in traces(8) {
        assert!(!everything.contains(&trace), "{trace}");
    }
}

#[test]
fn lists_are_walked_by_name() {
    let hub = Setup::new();
    for name in ["c", "a", "b"] {
        put(&hub, name, &body(8, &[READ])).expect(201);
    }
    let first = hub.admin("GET", "connections?limit=2").send().expect(200).json();
    assert_eq!((&first["items"][0]["name"], &first["items"][1]["name"]), (&json!("a"), &json!("b")));
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = hub.admin("GET", &format!("connections?limit=2&cursor={cursor}")).send().expect(200).json();
    assert_eq!(second["items"][0]["name"], "c");
    assert!(second.get("next_cursor").is_none());
}

#[test]
fn writing_and_removing_make_one_event_each() {
    let hub = Setup::new();
    put(&hub, "warehouse", &body(8, &[READ])).expect(201);
    hub.admin("DELETE", "connections/warehouse").send().expect(204);
    let admin = hub.admin_client("main").client_id;
    for kind in ["connection.put", "connection.deleted"] {
        let events = hub.events_of(kind);
        assert_eq!(events.len(), 1, "{kind}");
        assert_eq!((&events[0]["target"], &events[0]["client"]), (&json!("warehouse"), &json!(admin)));
    }
}

#[test]
fn an_update_needs_if_match_and_keeps_the_credential_unless_another_comes() {
    let hub = Setup::new();
    put(&hub, "warehouse", &body(8, &[READ])).expect(201);
    let before = (pointers(&hub), ciphertexts(&hub));
    let without_secret = json!({"kind": "google_service_account", "config": {"scopes": [WRITE]}});
    assert_eq!(put(&hub, "warehouse", &without_secret).status, 428);
    let update =
        |tag: &str, body: &Value| hub.admin("PUT", "connections/warehouse").header("if-match", tag).json(body).send();
    assert_eq!(update("\"v9\"", &without_secret).status, 412);

    let first = etag(&hub, "warehouse");
    let changed = update(&first, &without_secret).expect(200);
    assert_eq!(changed.json()["config"]["scopes"], json!([WRITE]));
    assert_eq!(changed.json()["credential"]["account"], "robot-8@demo-project.iam.gserviceaccount.com");
    assert_eq!((pointers(&hub), ciphertexts(&hub)), before);
    assert_eq!(update(&first, &without_secret).status, 412, "a version is good for one update");

    let replaced = update(changed.header("etag").unwrap(), &body(9, &[READ])).expect(200);
    assert_eq!(replaced.json()["credential"]["account"], "robot-9@demo-project.iam.gserviceaccount.com");
    assert_eq!(replaced.header("etag").unwrap(), etag(&hub, "warehouse"));
    assert_ne!(pointers(&hub), before.0);
    assert_eq!(ciphertexts(&hub), pointers(&hub), "the old ciphertext is gone");
}

#[test]
fn making_needs_a_secret_and_a_name_that_is_one() {
    let hub = Setup::new();
    let without = json!({"kind": "google_service_account", "config": {"scopes": [READ]}});
    let (status, reason, detail) = problem(&put(&hub, "warehouse", &without));
    assert_eq!((status, reason.as_str()), (400, "InvalidField"));
    assert!(detail.contains("`secret`"));
    for name in ["UPPER", "-dash", "a%20b", "a%27%3BDROP%20TABLE%20connections--", &"x".repeat(65)] {
        assert_eq!(put(&hub, name, &body(8, &[READ])).status, 400, "{name}");
    }
    assert_eq!((pointers(&hub), ciphertexts(&hub)), (vec![], vec![]));
}

fn weak_key() -> String {
    struct Bytes(Random);
    impl RngCore for Bytes {
        fn next_u32(&mut self) -> u32 {
            (self.0.next() >> 32) as u32
        }
        fn next_u64(&mut self) -> u64 {
            self.0.next()
        }
        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            bytes.fill_with(|| self.0.next() as u8);
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
            self.fill_bytes(bytes);
            Ok(())
        }
    }
    impl CryptoRng for Bytes {}
    let key = RsaPrivateKey::new(&mut Bytes(Random(1)), 1024).unwrap();
    rsa::pkcs8::EncodePrivateKey::to_pkcs8_pem(&key, LineEnding::LF).unwrap().to_string()
}

/// RFC 7468 §2: white space counts for nothing, and what stands around the key is ignored.
#[test]
fn the_key_of_a_key_file_is_read_whatever_white_space_is_in_it() {
    let hub = Setup::new();
    let pem = rsa_pem(8);
    let end = "\n-----END";
    for (n, text) in [
        pem.clone(),
        pem.replacen('\n', "\n\n", 1),
        pem.replace(end, &format!("\n{end}")),
        pem.replace('\n', "\r\n"),
        pem.replace('\n', " \t\n "),
        pem.replace('\n', ""),
        format!("Bag Attributes\n  friendlyName: key\n{pem}\n\n"),
        RsaPrivateKey::from_pkcs8_pem(&pem).unwrap().to_pkcs1_pem(LineEnding::LF).unwrap().to_string(),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = body(8, &[READ]);
        body["secret"]["private_key"] = text.into();
        put(&hub, &format!("warehouse-{n}"), &body).expect(201);
    }
}

#[test]
fn a_key_file_that_is_none_is_refused_by_field_and_without_its_values() {
    let hub = Setup::new();
    let curve = p256::SecretKey::from_slice(&[7; 32]).unwrap().to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
    let cut = rsa_pem(8).replacen('M', "", 1);
    let cases = [
        ("type", json!("authorized_user-hush")),
        ("type", Value::Null),
        ("private_key", json!("hush")),
        ("private_key", json!(7)),
        ("private_key", json!(weak_key())),
        ("private_key", json!(curve)),
        ("private_key", json!(cut)),
        ("private_key_id", json!("")),
        ("private_key_id", json!("hush hush")),
        ("client_email", json!("hush")),
        ("client_email", json!("hush@nowhere")),
        ("client_email", json!("a@b@hush.example")),
        ("client_email", json!("hush\n@hush.example")),
        ("token_uri", json!("https://oauth2.googleapis.com.hush.example/token")),
        ("token_uri", json!("https://oauth2.googleapis.com/token/hush")),
        ("token_uri", json!("http://oauth2.googleapis.com/token")),
        ("token_uri", json!("http://127.0.0.1:9010/token")),
        ("project_id", json!(["hush"])),
    ];
    for (field, value) in cases {
        let mut body = body(8, &[READ]);
        body["secret"][field] = value.clone();
        let reply = put(&hub, "warehouse", &body);
        let (status, reason, detail) = problem(&reply);
        assert_eq!((status, reason.as_str()), (400, "InvalidField"), "{field} {value}: {reply:?}");
        assert!(detail.contains(&format!("`secret.{field}`")), "{field}: {detail}");
        assert!(!reply.text.contains("hush"), "{reply:?}");
    }
    for secret in [json!("hush"), json!([service_account(8)])] {
        let reply = put(
            &hub,
            "warehouse",
            &json!({"kind": "google_service_account", "config": {"scopes": [READ]}, "secret": secret}),
        );
        assert_eq!(problem(&reply).1, "InvalidField");
    }
    assert_eq!((pointers(&hub), ciphertexts(&hub)), (vec![], vec![]));
    let everything = hub.dump_everything() + &format!("{:?}", hub.events());
    assert!(!everything.contains("hush") && !everything.contains(CANARY));
}

#[test]
fn a_kind_or_config_that_is_none_is_refused_by_field() {
    let hub = Setup::new();
    let many: Vec<String> = (0..21).map(|n| format!("https://www.googleapis.com/auth/{n}")).collect();
    let cases = [
        (json!({"kind": "api_keys"}), "InvalidField", "`kind`"),
        (json!({"config": []}), "InvalidField", "`config`"),
        (json!({"config": {}}), "InvalidField", "`config.scopes`"),
        (json!({"config": {"scopes": []}}), "InvalidField", "`config.scopes`"),
        (json!({"config": {"scopes": "x"}}), "InvalidField", "`config.scopes`"),
        (json!({"config": {"scopes": many}}), "InvalidField", "`config.scopes`"),
        (json!({"config": {"scopes": ["openid"]}}), "InvalidField", "`config.scopes`"),
        (json!({"config": {"scopes": ["http://www.googleapis.com/auth/x"]}}), "InvalidField", "`config.scopes`"),
        (json!({"config": {"scopes": [format!("{READ} {WRITE}")]}}), "InvalidField", "`config.scopes`"),
        (
            json!({"config": {"scopes": [READ], "subjects": "x"}}),
            "UnknownField",
            "`config.subjects` is unknown, expected one of `scopes`",
        ),
        (json!({"config": {"scopes": [READ], "subject": "x"}}), "InvalidField", "`config.subject`"),
        (
            json!({"config": {"scopes": [READ], "target_audience": "https://x.example"}}),
            "InvalidField",
            "`config.scopes`",
        ),
        (json!({"proxy": true}), "UnknownField", "`proxy`"),
    ];
    for (change, reason, field) in cases {
        let mut body = body(8, &[READ]);
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (status, found, detail) = problem(&put(&hub, "warehouse", &body));
        assert_eq!((status, found.as_str()), (400, reason), "{change}");
        assert!(detail.contains(field), "{change}: {detail}");
    }
    assert_eq!((pointers(&hub), ciphertexts(&hub)), (vec![], vec![]));
}

#[test]
fn a_local_token_endpoint_is_accepted_only_where_development_may_call_it() {
    let hub = Setup::with(&[("ORIGIN", "http://localhost:8787"), ("DEV_OUTBOUND", "http://127.0.0.1:9010")]);
    let at = |uri: &str| {
        let mut body = body(8, &[READ]);
        body["secret"]["token_uri"] = json!(uri);
        put(&hub, "warehouse", &body).status
    };
    assert_eq!(at("http://127.0.0.1:9011/token"), 400);
    assert_eq!(at("http://localhost:9010/token"), 400);
    assert_eq!(at("http://user@127.0.0.1:9010/token"), 400);
    assert_eq!(at("http://127.0.0.1:9010/token"), 201);
}

#[test]
fn kv_has_the_ciphertext_before_d1_points_to_it() {
    let hub = Setup::new();
    let token = hub.admin_token();
    let attempt =
        || hub.call("PUT", "/t/main/admin/connections/warehouse").bearer(&token).json(&body(8, &[READ])).send();
    for effect in [Effect::Fails, Effect::LosesReply] {
        hub.faults.fail_when(Port::Kv, |call| call.text.starts_with("put credential/"), effect);
        assert_eq!(attempt().status, 503);
        hub.faults.heal();
        assert_eq!((pointers(&hub), ciphertexts(&hub)), (vec![], vec![]));
    }
    hub.faults.fail_when(Port::Db, |call| call.text.contains("INSERT INTO connections"), Effect::Fails);
    assert_eq!(attempt().status, 503);
    hub.faults.heal();
    assert_eq!(pointers(&hub), Vec::<String>::new(), "what lies in KV now has no key");
    attempt().expect(201);
    assert_eq!(pointers(&hub).len(), 1);
}

#[test]
fn a_lost_reply_never_costs_a_credential_that_was_stored() {
    let hub = Setup::new();
    let token = hub.admin_token();
    hub.faults.fail_when(Port::Db, |call| call.text.contains("INSERT INTO connections"), Effect::LosesReply);
    let reply = hub.call("PUT", "/t/main/admin/connections/warehouse").bearer(&token).json(&body(8, &[READ])).send();
    hub.faults.heal();
    assert_eq!(reply.status, 503);
    assert_eq!(ciphertexts(&hub), pointers(&hub));
    assert_eq!(pointers(&hub).len(), 1);
}

#[test]
fn of_writers_that_meet_one_wins_and_the_others_leave_nothing() {
    for seed in 0..8 {
        let hub = Setup::new();
        let token = hub.admin_token();
        let writers = |tag: Option<&str>| {
            let write = |n: usize| {
                let call =
                    hub.call("PUT", "/t/main/admin/connections/warehouse").bearer(&token).json(&body(n, &[READ]));
                match tag {
                    Some(tag) => call.header("if-match", tag).future(),
                    None => call.future(),
                }
            };
            let replies = hub.together(seed, (6..10).map(write).collect());
            let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
            statuses.sort_unstable();
            assert_eq!(ciphertexts(&hub), pointers(&hub), "seed {seed}");
            statuses
        };
        let made = writers(None);
        assert_eq!(made.iter().filter(|status| **status == 201).count(), 1, "seed {seed}: {made:?}");
        assert!(made.iter().all(|status| matches!(status, 201 | 409 | 428)), "seed {seed}: {made:?}");
        assert_eq!(writers(Some(&etag(&hub, "warehouse"))), [200, 412, 412, 412], "seed {seed}");
    }
}

#[test]
fn a_removed_connection_is_unreadable_even_if_kv_keeps_its_ciphertext() {
    let hub = Setup::new();
    put(&hub, "warehouse", &body(8, &[READ])).expect(201);
    assert_eq!(hub.admin("DELETE", "connections/warehouse").header("if-match", "\"v9\"").send().status, 412);
    let tag = etag(&hub, "warehouse");
    hub.faults.fail_when(Port::Kv, |call| call.text.starts_with("delete "), Effect::Fails);
    hub.admin("DELETE", "connections/warehouse").header("if-match", &tag).send().expect(204);
    hub.faults.heal();
    assert_eq!(ciphertexts(&hub).len(), 1);
    assert_eq!(pointers(&hub), Vec::<String>::new());
    assert_eq!(hub.admin("GET", "connections/warehouse").send().status, 404);
    assert_eq!(hub.admin("DELETE", "connections/warehouse").send().status, 404);

    put(&hub, "warehouse", &body(9, &[READ])).expect(201);
    let (kept, present) = (ciphertexts(&hub), pointers(&hub));
    assert_eq!((kept.len(), present.len()), (2, 1), "the name comes back, the credential's does not");
    hub.admin("DELETE", "connections/warehouse").send().expect(204);
    assert_eq!(ciphertexts(&hub).len(), 1);
}

#[test]
fn a_removal_that_fails_changes_nothing() {
    let hub = Setup::new();
    put(&hub, "warehouse", &body(8, &[READ])).expect(201);
    let before = (pointers(&hub), ciphertexts(&hub));
    let token = hub.admin_token();
    hub.faults.fail_when(Port::Db, |call| call.text.contains("DELETE FROM connections"), Effect::Fails);
    assert_eq!(hub.call("DELETE", "/t/main/admin/connections/warehouse").bearer(&token).send().status, 503);
    hub.faults.heal();
    assert_eq!((pointers(&hub), ciphertexts(&hub)), before);
    hub.admin("GET", "connections/warehouse").send().expect(200);
}

#[test]
fn a_connection_of_another_tenant_is_not_there() {
    let hub = Setup::new();
    hub.create_tenant("other");
    put(&hub, "warehouse", &body(8, &[READ])).expect(201);
    assert_eq!(hub.admin_of("other", "GET", "connections/warehouse").send().status, 404);
    assert_eq!(hub.admin_of("other", "DELETE", "connections/warehouse").send().status, 404);
    assert_eq!(hub.admin_of("other", "GET", "connections").send().expect(200).json(), json!({"items": []}));
    hub.admin_of("other", "PUT", "connections/warehouse").json(&body(9, &[READ])).send().expect(201);
    assert_eq!(pointers(&hub).len(), 2);
    hub.admin_of("other", "DELETE", "connections/warehouse").send().expect(204);
    assert_eq!(ciphertexts(&hub), pointers(&hub));
    hub.admin("GET", "connections/warehouse").send().expect(200);
}

#[test]
fn a_worker_without_the_vaults_key_does_not_mount_connections() {
    let hub = Setup::new();
    let token = hub.admin_token();
    let elsewhere = hub.isolate_with(&[
        ("ROLES", "admin,audit"),
        ("VAULT_KEK", ""),
        ("SIGNING_KEK", ""),
        ("ADMIN_KEK", crate::support::hub::ADMIN_KEK),
    ]);
    assert_eq!(hub.call("GET", "/t/main/admin/connections").bearer(&token).on(&elsewhere).send().status, 404);
    let broker = hub.isolate_with(&[("ROLES", "broker"), ("SIGNING_KEK", "")]);
    let made =
        hub.call("PUT", "/t/main/admin/connections/warehouse").bearer(&token).json(&body(8, &[READ])).on(&broker);
    assert_eq!(made.send().status, 201);
}
