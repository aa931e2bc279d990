//! Guards: a statement changes nothing where a row must refuse it, whatever a caller has checked before.

use crate::support::faults::Faults;
use crate::support::plans;
use crate::support::run::Clock;
use crate::support::sqlite::{self, Sqlite};
use serde_json::json;
use std::rc::Rc;
use writ::cedar::{Mode, Source};
use writ::crypto::sha256;
use writ::jose::PublicJwk;
use writ::model::connection::CredentialPointer;
use writ::model::identity::Held;
use writ::model::registration::InitialToken;
use writ::model::stop::Until;
use writ::model::stop::{Receipt, StopTarget, Stopped};
use writ::model::stream::{Delivery, Stream, StreamBody, StreamStatus};
use writ::model::{Client, Consent, Invitation, Passkey, Status, Stoppable, StoredSecret, Tenant, User};
use writ::ports::{Alg, Db, Row, Sql};
use writ::store::answers::AnswerKey;
use writ::store::consents::{Answered, Written};
use writ::store::leases::{Claim, LeaseKey};
use writ::store::spent::Redeemable;
use writ::store::stops::Ends;
use writ::store::tenants::{Visited, Visitor};
use writ::store::{
    Query, answers, changes, clients, codes, connections, consents, events, identities, invitations, issuers, keys,
    leases, limits, metrics, passkeys, policies, quotas, registration, resources, signals, spent, stops, tenants,
    users,
};
use writ::webauthn::{CredentialRecord, VerifiedAssertion};

const NOW: i64 = 1_000;
const ENDS: Ends = Ends { bound: NOW, tokens: NOW };
const UNTIL: Until = Until { tokens: NOW, approvals: NOW };
const T: &str = "main";
const ANSWER: AnswerKey<'_> = AnswerKey { tenant: T, client: "c", key: "k" };

/// A question that was asked with the token `j`.
const QUESTION: &str = "INSERT INTO approvals (tenant, id, key, client, requester, subject, door, status, statement, body, created_at, expires_at) \
    VALUES ('main', 'a', 'k', 'c', 'c', 'u', 'request', 'pending', '{\"lineage\":[\"j\"]}', '{}', 1, 4401)";

/// One of everything, as it is when nobody has touched it.
const GIVEN: &str = r#"
INSERT INTO clients (tenant, id, metadata, created_at, updated_at) VALUES ('main', 'c', '{"client_name":"c","expires_at":900}', 1, 1);
INSERT INTO client_secrets (tenant, client, id, digest, created_at) VALUES ('main', 'c', 's', 'd', 1);
INSERT INTO issuers (tenant, id, issuer, body, created_at, updated_at) VALUES ('main', 'i', 'https://i.example', '{}', 1, 1);
INSERT INTO resources (tenant, id, uri, meeting_form, body, created_at, updated_at)
  VALUES ('main', 'r', 'https://r.example/', 'https://r.example/', '{}', 1, 1);
INSERT INTO users (tenant, id, body, created_at, updated_at) VALUES ('main', 'u', '{"accounts":[]}', 1, 1);
INSERT INTO identities (tenant, id, place, client, subject, registered_by, created_at, updated_at) VALUES ('main', 'x', 0, 'c', 'u', 'g', 1, 1);
INSERT INTO connections (tenant, name, kind, config, created_at, updated_at) VALUES ('main', 'k', 'kind', '{}', 1, 1);
INSERT INTO credentials (tenant, connection, id, wrapped_key, created_at) VALUES ('main', 'k', 'd', 'w', 1);
INSERT INTO leases (tenant, connection, scope, credential, sealed, expires_at, claim, claimed_until)
  VALUES ('main', 'k', 'a', 'd', 'sealed', 900, 'mine', 900);
INSERT INTO lease_uses (tenant, client, subject, connection, expires_at) VALUES ('main', 'c', 'u', 'k', 2000);
INSERT INTO streams (tenant, id, client, body, created_at, updated_at) VALUES ('main', 't', 'c', '{"delivery":{"method":"urn:ietf:rfc:8936"}}', 1, 1);
INSERT INTO signals (tenant, stream, id, body, attempts, not_before, created_at) VALUES ('main', 't', 'g', '{}', 12, 900, 1);
INSERT INTO signing_keys (tenant, kid, alg, state, jwk, sealed, created_at, changed_at) VALUES
  ('main', 'current', 'ES256', 'current', '{}', '', 1, 1), ('main', 'next', 'ES256', 'next', '{}', '', 1, 1),
  ('main', 'retired', 'ES256', 'retired', '{}', '', 1, 1);
INSERT INTO passkeys (tenant, id, user, credential, alg, jwk, sign_count, backup_eligible, backup_state, transports, created_at)
  VALUES ('main', 'a', 'u', 'c', 'EdDSA', '{}', 5, 0, 0, '[]', 1);
INSERT INTO invitations (tenant, id, user, expires_at) VALUES ('main', 'v', 'u', 2000);
INSERT INTO policies (tenant, id, description, cedar, mode, created_at, updated_at) VALUES ('main', 'p', '', '', 'enforce', 1, 1);
"#;

struct Case {
    /// What refuses.
    name: &'static str,
    /// What has to be so that the statement changes a row.
    given: &'static str,
    /// What has to keep it from doing so.
    spoil: &'static str,
    statement: Sql,
}

fn case(name: &'static str, statement: Sql, given: &'static str, spoil: &'static str) -> Case {
    Case { name, given, spoil, statement }
}

/// Tables that have a tenant, and the column that says which.
fn tables(db: &Sqlite) -> Vec<(String, &'static str)> {
    let found = db.query(
        "SELECT m.name AS name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'tenant'",
    );
    let names = found.iter().map(|row| (row["name"].as_str().unwrap().to_owned(), "tenant"));
    names.chain([("tenants".to_owned(), "id")]).collect()
}

/// A neighbour that has all that is given, whatever `more` makes of the rows of `main`: it must not count for `main`.
fn beside_a_neighbour(db: &Sqlite, given: &str, more: &str) {
    db.execute(GIVEN);
    db.execute(&GIVEN.replace("'main'", "'acme'"));
    let columns = db.query("SELECT name FROM pragma_table_info('tenants') WHERE name <> 'id'");
    let columns = columns.iter().map(|row| row["name"].as_str().unwrap()).collect::<Vec<_>>().join(", ");
    db.execute(&format!("INSERT INTO tenants (id, {columns}) SELECT 'acme', {columns} FROM tenants LIMIT 1"));
    db.execute(given);
    if given.contains("'main'") {
        db.execute(&given.replace("'main'", "'acme'"));
    }
    let tables = tables(db);
    for (table, tenant) in &tables {
        db.execute(&format!("CREATE TEMP TABLE kept_{table} AS SELECT * FROM {table} WHERE {tenant} = 'acme'"));
    }
    db.execute(more);
    for (table, tenant) in &tables {
        let restore = format!("INSERT INTO {table} SELECT * FROM kept_{table}; DROP TABLE kept_{table}");
        db.execute(&format!("DELETE FROM {table} WHERE {tenant} = 'acme'; {restore}"));
    }
}

fn changed(case: &Case, more: &str) -> u64 {
    let clock = Clock::new(1);
    let db = Sqlite::new(Rc::new(Faults::new(clock.clone())));
    beside_a_neighbour(&db, case.given, more);
    let outcomes = clock.block_on(db.batch(vec![case.statement.clone()])).unwrap_or_else(|_| panic!("{}", case.name));
    outcomes[0].changes
}

fn hold(cases: Vec<Case>) {
    for case in cases {
        assert!(changed(&case, "") > 0, "{}: it would refuse in any case", case.name);
        assert_eq!(changed(&case, case.spoil), 0, "{}", case.name);
    }
}

const RETIRED: &str = "UPDATE clients SET status = 'retired'; UPDATE users SET status = 'retired'; \
    UPDATE connections SET status = 'retired'; UPDATE identities SET status = 'retired'";
const MOVED: &str = "UPDATE clients SET version = 2; UPDATE users SET version = 2; UPDATE connections SET version = 2; \
    UPDATE issuers SET version = 2; UPDATE resources SET version = 2; UPDATE streams SET version = 2; UPDATE tenants SET version = 2";
const SUSPENDED: &str = "UPDATE clients SET status = 'suspended'";

fn a_client(id: &str) -> Client {
    Client {
        registration: writ::model::Registration::Admin,
        id: id.to_owned(),
        metadata: serde_json::from_value(json!({"client_name": "c"})).unwrap(),
        status: Status::Active,
        revoked_before: 0,
        version: 1,
        created_at: 1,
        updated_at: 1,
        registered_by: None,
        secrets: vec![],
    }
}

fn a_secret() -> StoredSecret {
    StoredSecret { id: "s2".to_owned(), digest: sha256("x"), created_at: 1, expires_at: None }
}

#[test]
fn changes_of_clients_are_refused_by_version_status_and_number() {
    hold(vec![
        case(
            "insert: the id is taken",
            clients::insert(T, &a_client("c2"), "{}".into(), None),
            "",
            "UPDATE clients SET id = 'c2'",
        ),
        case(
            "insert: the quota",
            clients::insert(T, &a_client("c2"), "{}".into(), Some(2)),
            "",
            "INSERT INTO clients (tenant, id, metadata, created_at, updated_at) VALUES ('main', 'c3', '{}', 1, 1)",
        ),
        case("update: version", clients::update(T, "c", "{}".into(), 1, NOW), "", MOVED),
        case("update: retired", clients::update(T, "c", "{}".into(), 1, NOW), "", RETIRED),
        case("delete: version", clients::delete(T, "c", 1), "", MOVED),
        case("add_secret: retired", clients::add_secret(T, "c", &a_secret(), 2), "", RETIRED),
        case("add_secret: gone", clients::add_secret(T, "c", &a_secret(), 2), "", "DELETE FROM clients"),
        case(
            "add_secret: too many",
            clients::add_secret(T, "c", &a_secret(), 2),
            "",
            "INSERT INTO client_secrets VALUES ('main', 'c', 's3', 'd', 1, NULL)",
        ),
        case("suspend_expired: suspended", clients::suspend_expired(T, "c", NOW), "", SUSPENDED),
        case("suspend_expired: retired", clients::suspend_expired(T, "c", NOW), "", RETIRED),
        case(
            "suspend_expired: not yet",
            clients::suspend_expired(T, "c", NOW),
            "",
            "UPDATE clients SET metadata = json_set(metadata, '$.expires_at', 1001)",
        ),
        case("suspend_unused: version", clients::suspend_unused(T, "c", 1, NOW), "", MOVED),
        case("suspend_unused: suspended", clients::suspend_unused(T, "c", 1, NOW), "", SUSPENDED),
        case(
            "delete_orphaned_secrets: the client is there",
            clients::delete_orphaned_secrets(T, "c"),
            "UPDATE clients SET id = 'other'",
            "UPDATE clients SET id = 'c'",
        ),
        case(
            "retire_of_client: the client is there",
            identities::retire_of_client(T, "c", NOW),
            "UPDATE clients SET id = 'other'",
            "UPDATE clients SET id = 'c'",
        ),
        case(
            "log_identities: the client is there",
            changes::log_identities(T, "c", "identity/1/c/".to_owned(), 5, NOW),
            "UPDATE clients SET id = 'other'",
            "UPDATE clients SET id = 'c'",
        ),
    ]);
}

const UNUSED: &str = "DELETE FROM identities; UPDATE clients SET unused_until = 900";

#[test]
fn what_comes_of_a_client_that_nobody_registered_is_refused_by_its_row_its_use_and_the_quota() {
    let document =
        Client { registration: writ::model::Registration::MetadataDocument, ..a_client("https://c.example/c") };
    let insert = |quota| clients::insert_document(T, &document, "{}".into(), quota, "u");
    let consent = Consent {
        id: "n".to_owned(),
        user: "u".to_owned(),
        client: "c".to_owned(),
        redirect_host: "h".to_owned(),
        resource: "r".to_owned(),
        document: "d".to_owned(),
        lines: vec![],
        version: 1,
        used: std::collections::BTreeMap::new(),
        created_at: 1,
        updated_at: 1,
    };
    let written =
        |before: Option<&str>| Written { lines: "[]".into(), before: before.map(str::to_owned), is_narrowed: false };
    let pushed = Redeemable { kind: "par", key: "k".to_owned() };
    let answered = Answered { device: Some("d"), pushed: Some(&pushed) };
    let put = || consents::put(T, &consent, written(None), Answered::default());
    let put_again = || consents::put(T, &consent, written(Some("[]")), Answered::default());
    let put_answering = || consents::put(T, &consent, written(None), answered);
    let delete = || consents::delete_answering(T, &consent, "[]".to_owned(), answered, NOW);
    let waiting = "INSERT INTO device_codes (tenant, id, user_code, client, request, status, interval, expires_at) \
                   VALUES ('main', 'd', 'x', 'c', '{}', 'pending', 5, 2000);";
    let both: &str = String::leak([waiting, CONSENT].concat());
    let redeemed = "INSERT INTO spent (tenant, kind, key, until) VALUES ('main', 'par', 'k', 2000)";
    let (decided, over) = ("UPDATE device_codes SET status = 'denied'", "UPDATE device_codes SET expires_at = 1");
    let token = InitialToken { id: "t".to_owned(), name: "n".to_owned(), created_at: 1, expires_at: NOW };
    hold(vec![
        case("insert_document: it is there", insert(None), "", "UPDATE clients SET id = 'https://c.example/c'"),
        case(
            "insert_document: the quota",
            insert(Some(2)),
            "",
            "INSERT INTO clients (tenant, id, metadata, created_at, updated_at) VALUES ('main', 'c3', '{}', 1, 1)",
        ),
        case("put: the client is gone", put(), "", "DELETE FROM clients"),
        case("put: the client is suspended", put(), "", SUSPENDED),
        case("put: the user is gone", put(), "", "DELETE FROM users"),
        case("put: the user is suspended", put(), "", "UPDATE users SET status = 'suspended'"),
        case("put: the device is decided", put_answering(), waiting, decided),
        case("put: the device has waited too long", put_answering(), waiting, over),
        case("put: the pushed request had its code", put_answering(), waiting, redeemed),
        case("delete_answering: the device is decided", delete(), both, decided),
        case("delete_answering: the pushed request had its code", delete(), both, redeemed),
        case("delete_answering: other lines", delete(), both, r#"UPDATE consents SET lines = '[{"scope":"s"}]'"#),
        case("put: version", put_again(), CONSENT, "UPDATE consents SET version = 2"),
        case("put: another consent", put_again(), CONSENT, "UPDATE consents SET id = 'other'"),
        case("put: other lines", put_again(), CONSENT, r#"UPDATE consents SET lines = '[{"scope":"s"}]'"#),
        case(
            "delete_unused: not yet",
            clients::delete_unused(T, "c", NOW),
            UNUSED,
            "UPDATE clients SET unused_until = 1001",
        ),
        case(
            "delete_unused: registered",
            clients::delete_unused(T, "c", NOW),
            UNUSED,
            "UPDATE clients SET unused_until = NULL",
        ),
        case("delete_unused: let in", clients::delete_unused(T, "c", NOW), UNUSED, CONSENT),
        case(
            "delete_unused: has had a token",
            clients::delete_unused(T, "c", NOW),
            UNUSED,
            "INSERT INTO identities (tenant, id, place, client, subject, registered_by, created_at, updated_at) \
             VALUES ('main', 'x', 0, 'c', 'u', 'g', 1, 1)",
        ),
        case(
            "keep_used: unused",
            clients::keep_used(T, NOW, 10),
            "UPDATE clients SET unused_until = 900",
            "DELETE FROM identities",
        ),
        case(
            "insert: the token is there",
            registration::insert(T, &token, &sha256("x")),
            "",
            "INSERT INTO initial_access_tokens VALUES ('main', 't', 'other', 'n', 1, 1)",
        ),
    ]);
}

#[test]
fn changes_of_users_are_refused_by_version_status_and_accounts() {
    let body = json!({"accounts": [{"issuer": "i", "subject": "s"}]}).to_string();
    let taken = "INSERT INTO accounts (tenant, issuer, subject, user) VALUES ('main', 'i', 's', 'somebody')";
    let user = User { id: "u2".to_owned(), body: serde_json::from_value(json!({})).unwrap(), ..a_user() };
    hold(vec![
        case("insert: the account is taken", users::insert(T, &user, body.clone()), "", taken),
        case("update: version", users::update(T, "u", 1, body.clone(), NOW), "", MOVED),
        case("update: retired", users::update(T, "u", 1, body.clone(), NOW), "", RETIRED),
        case("update: the account is taken", users::update(T, "u", 1, body, NOW), "", taken),
        case("delete: version", users::delete(T, "u", 1), "", MOVED),
        case(
            "retire_of_user: the user is there",
            identities::retire_of_user(T, "u", NOW),
            "UPDATE users SET id = 'other'",
            "UPDATE users SET id = 'u'",
        ),
    ]);
}

#[test]
fn changes_of_passkeys_and_invitations_are_refused_by_owner_status_count_number_and_time() {
    let key = PublicJwk::parse(Alg::EdDsa, &crate::support::Signer::new(Alg::EdDsa, 1).jwk).unwrap();
    let transports = Vec::new();
    let record = CredentialRecord {
        id: "c".to_owned(),
        key,
        sign_count: 5,
        backup_eligible: false,
        backup_state: false,
        transports,
    };
    let passkey = |id: &str| Passkey {
        id: id.to_owned(),
        user: "u".to_owned(),
        record: record.clone(),
        name: None,
        created_at: NOW,
        used_at: None,
    };
    let invited = || passkeys::insert_invited(T, &passkey("b"), "[]".to_owned(), "v");
    let used = || passkeys::note_use(T, &passkey("a"), VerifiedAssertion { sign_count: 6, backup_state: false }, NOW);
    let [passkeys_of, invitations_of] = passkeys::delete_of_stopped(T, "u");
    let invitation = Invitation { id: "w".to_owned(), user: "u".to_owned(), expires_at: 2_000 };
    let stopped = "UPDATE users SET status = 'suspended'";
    let another = "UPDATE passkeys SET user = 'other'";
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 19) INSERT INTO passkeys \
                (tenant, id, user, credential, alg, jwk, sign_count, backup_eligible, backup_state, transports, created_at) \
                SELECT 'main', 'n' || i, 'u', 'c', 'EdDSA', '{}', 0, 0, 0, '[]', 1 FROM n";
    let (retired, active) = ("UPDATE users SET status = 'retired'", "UPDATE users SET status = 'active'");
    hold(vec![
        case("insert_invited: stopped", invited(), "", stopped),
        case("insert_invited: too many", invited(), "", many),
        case("insert_invited: somebody has it", invited(), "", "UPDATE passkeys SET id = 'b'"),
        case("insert_invited: used", invited(), "", "UPDATE invitations SET used_at = 1"),
        case("insert_invited: expired", invited(), "", "UPDATE invitations SET expires_at = 1000"),
        case("insert_invited: somebody else's", invited(), "", "UPDATE invitations SET user = 'other'"),
        case("note_use: the count", used(), "", "UPDATE passkeys SET sign_count = 6"),
        case("note_use: stopped", used(), "", stopped),
        case("note_use: somebody else's", used(), "", another),
        case("delete: somebody else's", passkeys::delete(T, "u", "a"), "", another),
        case("delete_of_stopped: passkeys", passkeys_of, retired, active),
        case("delete_of_stopped: invitations", invitations_of, retired, active),
        case("invite: stopped", invitations::insert(T, &invitation), "", stopped),
    ]);
}

fn a_user() -> User {
    User {
        id: "u".to_owned(),
        body: serde_json::from_value(json!({})).unwrap(),
        status: Status::Active,
        revoked_before: 0,
        version: 1,
        created_at: 1,
        updated_at: 1,
    }
}

#[test]
fn changes_of_issuers_resources_and_tenants_are_refused_by_version_and_name() {
    let issuer =
        serde_json::from_value(json!({"issuer": "https://new.example", "name": "n", "uses": ["workload"]})).unwrap();
    let resource: writ::model::ResourceBody = serde_json::from_value(
        json!({"resource": "https://new.example/", "name": "n", "scopes": [{"name": "s", "description": "d"}]}),
    )
    .unwrap();
    let tenant = Tenant {
        id: "main".to_owned(),
        name: "n".to_owned(),
        zone: "UTC".to_owned(),
        status: writ::model::tenant::TenantStatus::Active,
        epoch: 0,
        policy_hash: String::new(),
        policy_version: 0,
        settings: writ::model::Settings::default(),
        revoked_before: 0,
        version: 1,
        created_at: 1,
        updated_at: 1,
    };
    let other_issuer = "INSERT INTO issuers (tenant, id, issuer, body, created_at, updated_at) \
                        VALUES ('main', 'o', 'https://new.example', '{}', 1, 1)";
    let other_resource = format!(
        "INSERT INTO resources (tenant, id, uri, meeting_form, body, created_at, updated_at) \
         VALUES ('main', 'o', 'x', '{}', '{{}}', 1, 1)",
        resource.resource.canonical()
    );
    let other_resource: &'static str = other_resource.leak();
    hold(vec![
        case("issuer insert: taken", issuers::insert(T, "n", &issuer, "{}".into(), NOW), "", other_issuer),
        case("issuer update: version", issuers::update(T, ("i", 1), &issuer, "{}".into(), NOW), "", MOVED),
        case("issuer update: taken", issuers::update(T, ("i", 1), &issuer, "{}".into(), NOW), "", other_issuer),
        case("issuer delete: version", issuers::delete(T, "i", 1), "", MOVED),
        case("resource insert: taken", resources::insert(T, "n", &resource, "{}".into(), NOW), "", other_resource),
        case("resource update: version", resources::update(T, ("r", 1), &resource, "{}".into(), NOW), "", MOVED),
        case("resource update: taken", resources::update(T, ("r", 1), &resource, "{}".into(), NOW), "", other_resource),
        case("resource delete: version", resources::delete(T, "r", 1), "", MOVED),
        case("tenant update: version", tenants::update(&tenant, "{}".into(), NOW), "", MOVED),
        case(
            "tenant visit: another cron was first",
            tenants::visit(Visitor::Token, &Visited { id: "main".to_owned(), visited_at: 0 }, NOW),
            "",
            "UPDATE tenants SET visited_by_token = 5",
        ),
        case(
            "policies point: another change came first",
            policies::point(T, 0, "hash", None),
            "",
            "UPDATE tenants SET policy_version = 1",
        ),
        case(
            "policies point: the quota",
            policies::point(T, 0, "hash", Some(2)),
            "",
            "INSERT INTO policies (tenant, id, description, cedar, mode, created_at, updated_at) VALUES ('main', 'p2', '', '', 'off', 1, 1)",
        ),
    ]);
}

#[test]
fn changes_of_connections_and_leases_are_refused_by_version_status_claim_and_credential() {
    let key = LeaseKey { tenant: T, connection: "k", scope: "a" };
    let claim = || Claim { credential: "d", nonce: "n", good_until: NOW, now: NOW, until: 1_100 };
    hold(vec![
        case("update: version", connections::update(T, ("k", 1), "kind", "{}".into(), NOW), "", MOVED),
        case("update: retired", connections::update(T, ("k", 1), "kind", "{}".into(), NOW), "", RETIRED),
        case("delete: version", connections::delete(T, "k", 1), "", MOVED),
        case(
            "insert: taken",
            connections::insert(T, "k2", ("kind", "{}".into()), NOW, None),
            "",
            "UPDATE connections SET name = 'k2'",
        ),
        case(
            "insert: the quota",
            connections::insert(T, "k2", ("kind", "{}".into()), NOW, Some(2)),
            "",
            "INSERT INTO connections (tenant, name, kind, config, created_at, updated_at) VALUES ('main', 'k3', 'kind', '{}', 1, 1)",
        ),
        case(
            "erase_credential: the connection is there",
            connections::erase_credential(T, "k"),
            "UPDATE connections SET name = 'other'",
            "UPDATE connections SET name = 'k'",
        ),
        case("claim: claimed", leases::claim(key, claim()), "", "UPDATE leases SET claimed_until = 1001"),
        case("claim: still good", leases::claim(key, claim()), "", "UPDATE leases SET expires_at = 1001"),
        case(
            "fulfil: claimed by another",
            leases::fulfil(key, "d", "mine", "s", 2_000),
            "",
            "UPDATE leases SET claim = 'x'",
        ),
        case("fulfil: not claimed", leases::fulfil(key, "d", "mine", "s", 2_000), "", "UPDATE leases SET claim = NULL"),
        case("release: claimed by another", leases::release(key, "mine"), "", "UPDATE leases SET claim = 'x'"),
        case(
            "forget: of the present credential",
            leases::forget(T, "k"),
            "UPDATE leases SET credential = 'old'",
            "UPDATE leases SET credential = 'd'",
        ),
        case(
            "forget_older: of the present version",
            leases::forget_older(T, "k"),
            "UPDATE leases SET scope = 'a' || char(10) || '0' || char(10)",
            "UPDATE leases SET scope = 'a' || char(10) || '1' || char(10)",
        ),
    ]);
}

fn a_stream(client: &str) -> Stream {
    let body = StreamBody { events_requested: None, description: None, delivery: Delivery::Poll, reason: None };
    Stream { id: "t".to_owned(), client: client.to_owned(), body, status: StreamStatus::Enabled, version: 1 }
}

#[test]
fn changes_of_streams_and_signals_are_refused_by_version_attempt_number_and_age() {
    let new = Stream { id: "t2".to_owned(), ..a_stream("c2") };
    hold(vec![
        case(
            "insert: the client has one",
            signals::insert(T, &new, "{}".into(), NOW),
            "",
            "UPDATE streams SET client = 'c2'",
        ),
        case("update: version", signals::update(T, &a_stream("c"), "{}".into(), NOW), "", MOVED),
        case(
            "claim: another was first",
            signals::claim(T, ("t", "g"), 12, NOW),
            "",
            "UPDATE signals SET attempts = 13",
        ),
        case(
            "insert_signal: too many",
            signals::insert_signal(T, &a_stream("c"), ("g2", "{}".into()), NOW, 2),
            "",
            "INSERT INTO signals (tenant, stream, id, body, created_at) VALUES ('main', 't', 'g3', '{}', 1)",
        ),
        case(
            "drop_stale: not tried often",
            signals::drop_stale(T, "t", (NOW, 12, 0)),
            "",
            "UPDATE signals SET attempts = 11",
        ),
        case(
            "drop_stale: being tried",
            signals::drop_stale(T, "t", (NOW, 12, 0)),
            "",
            "UPDATE signals SET not_before = 1001",
        ),
        case(
            "drop_stale: too young",
            signals::drop_stale(T, "t", (NOW, 13, 2)),
            "",
            "UPDATE signals SET created_at = 2",
        ),
        case(
            "delete_orphaned_streams: the client is there",
            signals::delete_orphaned_streams(T),
            "UPDATE clients SET id = 'other'",
            "UPDATE clients SET id = 'c'",
        ),
        case(
            "delete_orphaned_signals: the stream is there",
            signals::delete_orphaned_signals(T),
            "UPDATE streams SET status = 'disabled'",
            "UPDATE streams SET status = 'paused'",
        ),
        case(
            "delete_orphaned_signals: its stream is there",
            signals::delete_orphaned_signals(T),
            "UPDATE streams SET id = 'other'",
            "UPDATE streams SET id = 't'",
        ),
    ]);
}

#[test]
fn signals_of_gone_streams_go_and_those_between_them_stay() {
    let clock = Clock::new(1);
    let db = Sqlite::new(Rc::new(Faults::new(clock.clone())));
    db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99) \
         INSERT INTO signals (tenant, stream, id, body, created_at) SELECT 'main', printf('%02d', i / 2), i, '{}', 1 FROM n; \
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 49) \
         INSERT INTO streams (tenant, id, client, body, status, created_at, updated_at) \
         SELECT 'main', printf('%02d', i), i, '{}', CASE i % 3 WHEN 0 THEN 'enabled' WHEN 1 THEN 'disabled' ELSE 'paused' END, 1, 1 FROM n",
    );
    db.execute("DELETE FROM streams WHERE id = '00'");
    clock.block_on(db.batch(vec![signals::delete_orphaned_signals(T)])).unwrap();
    let left: Vec<_> = db
        .query("SELECT DISTINCT stream FROM signals ORDER BY stream")
        .iter()
        .map(|row| row["stream"].clone())
        .collect();
    let wanted: Vec<_> = (1..50).filter(|n| n % 3 != 1).map(|n| json!(format!("{n:02}"))).collect();
    assert_eq!(left, wanted);
}

#[test]
fn keys_move_on_only_from_where_they_are() {
    let key = keys::StoredKey {
        kid: "new".to_owned(),
        alg: "RS256".to_owned(),
        state: "next".to_owned(),
        jwk: "{}".to_owned(),
        sealed: String::new(),
        created_at: 1,
        changed_at: 1,
    };
    hold(vec![
        case("insert: the place is taken", keys::insert(T, &key), "", "UPDATE signing_keys SET alg = 'RS256'"),
        case("retire: no next", keys::retire(T, "ES256", 1, NOW), "", "DELETE FROM signing_keys WHERE state = 'next'"),
        case(
            "retire: published too late",
            keys::retire(T, "ES256", 1, NOW),
            "",
            "UPDATE signing_keys SET changed_at = 2",
        ),
        case(
            "retire: a next one of another algorithm",
            keys::retire(T, "ES256", 1, NOW),
            "",
            "UPDATE signing_keys SET alg = 'RS256' WHERE state = 'next'",
        ),
        case("forget: not retired", keys::forget(T, 1), "", "DELETE FROM signing_keys WHERE state = 'retired'"),
        case("forget: retired just now", keys::forget(T, 1), "", "UPDATE signing_keys SET changed_at = 2"),
    ]);
}

#[test]
fn stops_are_refused_by_the_status_and_hold_for_what_is_stopped_alone() {
    let mut cases = vec![
        case(
            "stop_chain: stopped",
            stops::stop_chain(T, "j", UNTIL),
            "",
            "INSERT INTO stopped_chains VALUES ('main', 'j', 1)",
        ),
        case(
            "lapse: not yet",
            answers::lapse(ANSWER, NOW),
            "INSERT INTO answers VALUES ('main', 'c', 'k', 'r', 's', 1000)",
            "UPDATE answers SET until = 1001",
        ),
        case(
            "tell: told",
            quotas::tell(T, 5),
            "INSERT INTO token_counts (tenant, minute, taken, granted) VALUES ('main', 5, 1, 1)",
            "UPDATE token_counts SET told = 5",
        ),
        case(
            "tell of a breach: told",
            limits::tell(T, &a_use()),
            "INSERT INTO limit_counts (tenant, policy, subject, window, taken, until) VALUES ('main', 'p/1/hour', 's', 7, 1, 9000)",
            "UPDATE limit_counts SET told = 1",
        ),
        case(
            "claim: no room",
            limits::claim(T, &limits::json(&[a_use()])),
            "INSERT INTO limit_counts (tenant, policy, subject, window, taken, until) VALUES ('main', 'p/1/hour', 's', 7, 1, 9000)",
            "UPDATE limit_counts SET taken = 2",
        ),
        case(
            "redeem: redeemed",
            spent::redeem(T, "jti", "k", 1),
            "",
            "INSERT INTO spent VALUES ('main', 'jti', 'k', 1)",
        ),
    ];
    for (kind, id) in
        [(Stoppable::Client, "c"), (Stoppable::User, "u"), (Stoppable::Identity, "x"), (Stoppable::Connection, "k")]
    {
        let target = StopTarget { kind, id };
        let suspend = stops::set_status(T, target, Status::Active, Status::Suspended, NOW).unwrap();
        cases.push(case("suspend: retired", suspend, "", RETIRED));
        cases.push(case("retire: retired", stops::retire(T, target, NOW, ENDS), "", RETIRED));
        let cascade = stops::cascade(T, target, NOW).remove(0);
        let alive = "UPDATE clients SET status = 'suspended'; UPDATE users SET status = 'active'; \
                     UPDATE identities SET status = 'suspended'; UPDATE connections SET status = 'active'";
        cases.push(case("cascade: it lives", cascade.clone(), RETIRED, alive));
        cases.push(case("cascade: it is another", cascade, RETIRED, "UPDATE clients SET id = 'o'; UPDATE users SET id = 'o'; UPDATE identities SET id = 'o'; UPDATE connections SET name = 'o'"));
    }
    let main = StopTarget { kind: Stoppable::Tenant, id: "main" };
    let tenant = stops::retire(T, main, NOW, ENDS);
    let stopped = "UPDATE tenants SET status = 'suspended', revoked_before = 5, updated_at = 5";
    cases.push(case("retire: the tenant is suspended", tenant, "", stopped));
    let dropped = stops::cascade(T, main, NOW).remove(0);
    cases.push(case(
        "cascade: the tenant lives",
        dropped,
        "UPDATE tenants SET status = 'suspended'",
        "UPDATE tenants SET status = 'active'",
    ));
    hold(cases);
}

/// What a person has allowed, and what came of it.
const ALLOWED: &str = r#"
INSERT INTO consents (tenant, id, user, client, redirect_host, resource, document, lines, created_at, updated_at)
  VALUES ('main', 'n', 'u', 'c', 'h', 'r', 'd', '[]', 1, 1);
INSERT INTO codes (tenant, id, client, user, family, body, expires_at) VALUES ('main', 'o', 'c', 'u', 'f', '{}', 2000);
INSERT INTO refresh_families (tenant, id, consent, client, user, body, rotated_at, expires_at)
  VALUES ('main', 'f', 'n', 'c', 'u', '{}', 1, 2000);
INSERT INTO sessions (tenant, id, user, issuer, auth_time, expires_at) VALUES ('main', 'e', 'u', 'i', 1, 2000);
"#;
/// The same without the consent, and with it stopped.
const TAKEN_BACK: &str = r#"
INSERT INTO codes (tenant, id, client, user, family, body, expires_at) VALUES ('main', 'o', 'c', 'u', 'f', '{}', 2000);
INSERT INTO refresh_families (tenant, id, consent, client, user, body, rotated_at, expires_at)
  VALUES ('main', 'f', 'n', 'c', 'u', '{}', 1, 2000);
UPDATE identities SET held = 1;
"#;
const CONSENT: &str = "INSERT INTO consents (tenant, id, user, client, redirect_host, resource, document, lines, created_at, updated_at) \
    VALUES ('main', 'n', 'u', 'c', 'h', 'r', 'd', '[]', 1, 1)";

#[test]
fn a_stop_is_kept_longer_for_a_question_whose_answer_can_be_redeemed_after_it_and_for_no_other() {
    const UNTIL: Until = Until { tokens: 5_000, approvals: 9_000 };
    let past = || json!([{"id": "n", "version": 1, "digest": "j"}]).to_string();
    let clock = Clock::new(1);
    for (change, until) in [
        ("SELECT 1", 9_000),
        ("DELETE FROM approvals", 5_000),
        ("UPDATE approvals SET id = tenant, tenant = 'acme'", 5_000),
        ("UPDATE approvals SET statement = '{\"lineage\":[\"i\"]}'", 5_000),
        ("UPDATE approvals SET expires_at = 4400", 5_000),
        ("UPDATE approvals SET expires_at = 1", 5_000),
        ("UPDATE approvals SET status = 'approved'", 5_000),
        ("UPDATE approvals SET status = 'denied'", 5_000),
        ("UPDATE approvals SET door = 'transaction'", 5_000),
    ] {
        for statement in [stops::stop_chain(T, "j", UNTIL), consents::stop_past(T, past(), UNTIL)] {
            let text = statement.text;
            let db = Sqlite::new(Rc::new(Faults::new(clock.clone())));
            db.execute(&format!("{QUESTION}; {change}"));
            clock.block_on(db.batch(vec![statement])).unwrap();
            let kept = db.query("SELECT until FROM stopped_chains WHERE tenant = 'main' AND jti = 'j'");
            assert_eq!(json!(kept), json!([{"until": until}]), "{change}: {text}");
            let steps = plans::steps(&sqlite::open("migrations"), text);
            let found = "SEARCH approvals USING INDEX approvals_asked (tenant=? AND expires_at>?)";
            assert!(steps.iter().any(|step| step == found), "{steps:?}");
        }
    }
}

#[test]
fn what_people_have_allowed_is_changed_only_from_what_was_read_and_goes_only_with_what_is_stopped() {
    let (agent, lines) = (("c", "u"), || "[]".to_owned());
    let known = |version: i64| json!([{"id": "n", "version": version, "digest": "d"}]).to_string();
    let redeem = || codes::redeem(T, "o", "k", NOW, Some(("n", 1)));
    let mut cases = vec![
        case(
            "narrow: version",
            consents::narrow(T, ("n", 1), lines(), "[1]".to_owned(), NOW),
            ALLOWED,
            "UPDATE consents SET version = 2",
        ),
        case(
            "narrow: lines",
            consents::narrow(T, ("n", 1), lines(), "[1]".to_owned(), NOW),
            ALLOWED,
            "UPDATE consents SET lines = '[2]'",
        ),
        case("delete: version", consents::delete(T, ("n", 1), lines()), ALLOWED, "UPDATE consents SET version = 2"),
        case("delete: lines", consents::delete(T, ("n", 1), lines()), ALLOWED, "UPDATE consents SET lines = '[2]'"),
        case("stop_past: there", consents::stop_past(T, known(1), UNTIL), "", CONSENT),
        case("end_families: there", consents::end_families(T, "n"), TAKEN_BACK, CONSENT),
        case(
            "end_families: revoked",
            consents::end_families(T, "n"),
            TAKEN_BACK,
            "UPDATE refresh_families SET status = 'revoked'",
        ),
        case("redeem: redeemed", redeem(), ALLOWED, "UPDATE codes SET claim = 'x'"),
        case("redeem: expired", redeem(), ALLOWED, "UPDATE codes SET expires_at = 1000"),
        case("redeem: narrowed", redeem(), ALLOWED, "UPDATE consents SET version = 2"),
        case("redeem: withdrawn", redeem(), ALLOWED, "DELETE FROM consents"),
        case(
            "hold: stands otherwise",
            identities::hold(T, agent, Held::No, Held::Paused, NOW),
            "",
            "UPDATE identities SET held = 2",
        ),
        case(
            "stop: another version",
            identities::stop_by_user(T, agent, known(1), NOW),
            ALLOWED,
            "UPDATE consents SET version = 2",
        ),
        case("stop: one more", identities::stop_by_user(T, agent, "[]".to_owned(), NOW), "", CONSENT),
        case("release: no code", identities::release(T, agent, "o", NOW), TAKEN_BACK, "DELETE FROM codes"),
        case(
            "release: not held",
            identities::release(T, agent, "o", NOW),
            TAKEN_BACK,
            "UPDATE identities SET held = 0",
        ),
    ];
    let given = Box::leak([ALLOWED, RETIRED].concat().into_boxed_str());
    let alive = "UPDATE clients SET status = 'suspended'; UPDATE users SET status = 'active'; UPDATE identities SET status = 'suspended', held = 1";
    for (kind, id) in [(Stoppable::Client, "c"), (Stoppable::User, "u"), (Stoppable::Identity, "x")] {
        for statement in consents::cascade(T, StopTarget { kind, id }, -1) {
            cases.push(case("cascade: it lives", statement, given, alive));
        }
        for statement in consents::cascade(T, StopTarget { kind, id }, 0) {
            assert_eq!(changed(&case("cascade: no more than the bound", statement, given, ""), ""), 0);
        }
    }
    hold(cases);
}

fn a_use() -> limits::Use {
    limits::Use { policy: "p/1/hour".to_owned(), subject: "s".to_owned(), window: 7, most: 2, until: 9_000 }
}

/// A link of a chain changes nothing if the statement before it changed nothing.
#[test]
fn a_link_holds_only_if_the_one_before_it_changed_a_row() {
    let nothing = || clients::delete(T, "nobody", 1);
    let something = || spent::redeem(T, "jti", "k", 1);
    let source = Source { id: "p".to_owned(), cedar: String::new(), mode: Mode::Enforce };
    let draft = policies::PolicyDraft { source, description: String::new(), tests: None };
    let receipt = Receipt {
        kind: Stoppable::Client,
        id: "c".to_owned(),
        status: Status::Retired,
        at: 1,
        not_honoured_after: 1,
        stopped: Stopped {
            secrets: 0,
            identities: 0,
            refresh_families: 0,
            sessions: 0,
            leases: 0,
            leases_expire_by: None,
            tokens_issued_until: 1,
            tokens_expire_by: 1,
        },
        event: None,
    };
    let pointer = CredentialPointer { id: "d2".to_owned(), wrapped_key: "w".to_owned(), created_at: 1 };
    let links = [
        ("advance", changes::advance(T)),
        ("log", changes::log(T, r#"["k"]"#.to_owned(), NOW)),
        ("stage", events::stage_if_changed("e", "{}".to_owned())),
        ("insert client", clients::insert_if_changed(T, &a_client("c2"), "{}".to_owned())),
        ("insert secret", clients::insert_secret(T, "c", &a_secret())),
        ("put policy", policies::put(T, &draft, "", NOW)),
        ("suspend a client", stops::suspend_if_changed(T, StopTarget { kind: Stoppable::Client, id: "c" }, 1).unwrap()),
        ("delete policy", policies::delete(T, "p")),
        ("point to a credential", connections::point(T, "k", &pointer)),
        ("promote a key", keys::promote(T, "RS256", NOW)),
        ("broadcast", signals::broadcast(T, "g9", ("e", "{}".to_owned()), NOW)),
        (
            "keep an answer",
            answers::keep(ANSWER, answers::Kept { request: "r".to_owned(), sealed: "s".to_owned() }, 2_000),
        ),
        ("use an invitation", invitations::use_if_changed(T, "v", NOW)),
        ("keep a receipt", stops::keep(T, &receipt, "{}".to_owned())),
    ];
    for (name, link) in links {
        let run = |first: Sql| {
            let clock = Clock::new(1);
            let db = Sqlite::new(Rc::new(Faults::new(clock.clone())));
            db.execute(GIVEN);
            db.execute("UPDATE signing_keys SET alg = 'RS256' WHERE state = 'next'");
            clock.block_on(db.batch(vec![first, link.clone()])).unwrap()[1].changes
        };
        assert!(run(something()) > 0, "{name}: it would refuse in any case");
        assert_eq!(run(nothing()), 0, "{name}");
    }
}

/// What `query` finds for `main`, of which `more` is true, beside a neighbour that has everything, of which `theirs` is true too.
fn found<T>(query: Query<T>, theirs: &str, more: &str) -> Vec<Row> {
    let clock = Clock::new(1);
    let db = Sqlite::new(Rc::new(Faults::new(clock.clone())));
    beside_a_neighbour(&db, "", more);
    db.execute(theirs);
    clock.block_on(db.batch(vec![query.sql])).unwrap().remove(0).rows
}

/// Everything of `main` is gone.
const NOTHING: &str = "DELETE FROM clients; DELETE FROM users; DELETE FROM resources; DELETE FROM connections; DELETE FROM identities; \
    DELETE FROM lease_uses; DELETE FROM signals; DELETE FROM accounts; DELETE FROM issuers; DELETE FROM policies";

#[test]
fn what_a_neighbour_has_answers_no_question_about_a_tenant() {
    let account = "INSERT INTO accounts (tenant, issuer, subject, user) VALUES ('acme', 'https://i.example', 's', 'u')";
    assert!(found(users::by_account(T, "https://i.example", "s"), account, "").is_empty());
    assert_eq!(found(users::by_account("acme", "https://i.example", "s"), account, NOTHING).len(), 1);

    for (kind, id) in
        [(Stoppable::Client, "c"), (Stoppable::User, "u"), (Stoppable::Identity, "x"), (Stoppable::Tenant, T)]
    {
        let target = StopTarget { kind, id };
        let spoil = match kind {
            Stoppable::Tenant => "DELETE FROM leases",
            _ => "DELETE FROM lease_uses",
        };
        assert_eq!(found(stops::census(T, target, 0).1, "", "")[0]["leases"], 1, "{kind:?}");
        assert_eq!(found(stops::census(T, target, 0).1, "", spoil)[0]["leases"], 0, "{kind:?}");
    }

    let scopes = "UPDATE resources SET body = '{\"scopes\":[{\"name\":\"s\"}]}'";
    let names = json!([
        ["client", "c"],
        ["user", "u"],
        ["resource", "https://r.example/"],
        ["scope", "https://r.example/ s"],
        ["connection", "k"],
        ["any", "k"],
        ["any", "s"]
    ]);
    let unmatched = || policies::unmatched(T, names.to_string());
    assert_eq!(found(unmatched(), scopes, "").len(), 0);
    assert_eq!(found(unmatched(), scopes, NOTHING).len(), 7);

    assert_eq!(found(signals::count_stale(T, (NOW, 12, 0)), "", "").len(), 1);
    assert_eq!(found(signals::count_stale(T, (NOW, 12, 0)), "", NOTHING).len(), 0);
    assert_eq!(found(signals::count_stale(T, (0, 12, NOW)), "", NOTHING).len(), 0);

    for stopped in ["identities", "clients", "users"] {
        let theirs = format!("UPDATE {stopped} SET status = 'suspended' WHERE tenant = 'acme'");
        assert_eq!(found(identities::stopped_places(T, -1, 10), &theirs, "").len(), 0, "{stopped}");
        assert_eq!(found(identities::stopped_places("acme", -1, 10), &theirs, "").len(), 1, "{stopped}");
    }

    let another = "UPDATE identities SET subject = 'd'; \
        INSERT INTO clients (tenant, id, metadata, created_at, updated_at) SELECT tenant, 'd', metadata, 1, 1 FROM clients WHERE id = 'c'";
    assert_eq!(found(identities::entry(T, "x"), another, "").len(), 1);

    let counts = found(metrics::of(T), "", NOTHING).remove(0);
    assert!(counts.values().all(|count| *count == 0), "{counts:?}");
}

#[test]
fn a_neighbour_that_is_stopped_takes_nothing_of_a_tenant_along() {
    let clock = Clock::new(1);
    for (kind, id) in
        [(Stoppable::Client, "c"), (Stoppable::User, "u"), (Stoppable::Identity, "x"), (Stoppable::Tenant, T)]
    {
        let target = StopTarget { kind, id };
        // Theirs is stopped and ours is not; or both are, and only theirs has leased or has a passkey.
        let theirs =
            [RETIRED, "UPDATE tenants SET status = 'suspended'"].map(|all| all.replace(';', " WHERE tenant = 'acme';"));
        let theirs = [format!("{} WHERE tenant = 'acme'", theirs[0]), format!("{} WHERE id = 'acme'", theirs[1])];
        let ours =
            ["lease_uses", "passkeys", "invitations"].map(|table| format!("DELETE FROM {table} WHERE tenant = 'main'"));
        let both = [RETIRED.to_owned(), ours.join("; ")];
        let cases = if kind == Stoppable::Tenant { vec![theirs] } else { vec![theirs, both] };
        for case in cases {
            let db = Sqlite::new(Rc::new(Faults::new(clock.clone())));
            beside_a_neighbour(&db, "", "");
            case.iter().for_each(|sql| db.execute(sql));
            let outcomes = clock.block_on(db.batch(stops::cascade(T, target, NOW))).unwrap();
            assert!(outcomes.iter().all(|outcome| outcome.changes == 0), "{kind:?} {case:?}");
        }
    }
}
