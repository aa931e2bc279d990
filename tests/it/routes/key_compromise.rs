//! A compromised key is withdrawn at once, and key-encryption keys are replaced while everything goes on.

use crate::support::hub::{Isolate, RESOURCE, SIGNING_KEK, VAULT_KEK, decode};
use crate::support::keys::rsa_pem;
use crate::support::{Scripted, Setup};
use serde_json::json;
use writ::ports::Now;

const GOOGLE: &str = "https://oauth2.googleapis.com/token";
const READONLY: &str = "https://www.googleapis.com/auth/bigquery.readonly";

fn kid(token: &str) -> String {
    decode(token).0["kid"].as_str().unwrap().to_owned()
}

fn published(hub: &Setup, isolate: &Isolate) -> Vec<String> {
    let set = hub.call("GET", "/t/main/jwks.json").on(isolate).send().expect(200).json();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_revoked_key_signs_nothing_is_not_published_and_what_it_signed_is_dead() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let elsewhere = hub.isolate();
    let token = hub.access_token(&agent, "mcp:read");
    let active = |token: &str, isolate: &Isolate| {
        let reply = hub.call("POST", "/t/main/introspect").basic(&server).form(&[("token", token)]).on(isolate).send();
        reply.expect(200).json()["active"] == true
    };
    assert!(active(&token, &elsewhere));
    let admin = hub.admin_token();
    let revoke = |kid: &str| hub.call("POST", &format!("/t/main/admin/keys/{kid}/revoke")).bearer(&admin).send();

    // The administrator's own token dies with the key.
    let compromised = kid(&token);
    assert_eq!(kid(&admin), compromised);
    revoke(&compromised).expect(200);
    assert!(!active(&token, &hub.isolate()));
    assert_eq!(hub.admin("GET", "keys").send().status, 200, "with a token of the next key");
    let again = hub.access_token(&agent, "mcp:read");
    assert_ne!(kid(&again), compromised);
    assert!(active(&again, &elsewhere));
    hub.clock.advance(5);
    assert!(!published(&hub, &elsewhere).contains(&compromised));
    assert!(published(&hub, &elsewhere).contains(&kid(&again)));
    let states = hub.db.query("SELECT state FROM signing_keys WHERE alg = 'ES256' ORDER BY state");
    let states: Vec<_> = states.iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states, ["current", "next"], "the next one signs, and another is published");
    let events = hub.events_of("key.revoked");
    assert_eq!((events.len(), &events[0]["target"], &events[0]["detail"]), (1, &json!(compromised), &json!("current")));
}

#[test]
fn a_next_or_retired_key_is_revoked_too_and_an_unknown_one_is_not_found() {
    let hub = Setup::new();
    let keys = hub.admin("GET", "keys").send().expect(200).json();
    let next = keys["items"].as_array().unwrap().iter().find(|key| key["state"] == "next" && key["alg"] == "ES256");
    let (next, revoke) = (next.unwrap()["kid"].as_str().unwrap().to_owned(), |kid: &str| {
        hub.admin("POST", &format!("keys/{kid}/revoke")).send()
    });
    let left = revoke(&next).expect(200).json();
    let left = left["items"].as_array().unwrap();
    assert!(left.iter().all(|key| key["kid"] != *next));
    assert_eq!(left.iter().filter(|key| key["state"] == "next" && key["alg"] == "ES256").count(), 1);
    assert_eq!(revoke(&next).status, 404);
    assert_eq!(revoke("nothing").status, 404);
}

#[test]
fn after_a_run_of_the_cron_the_newest_key_encryption_keys_open_everything_and_the_older_ones_can_go() {
    let hub = Setup::with(&[("DEV_OUTBOUND", "")]);
    let agent = hub.agent("agent", "mcp:read");
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    hub.put_policy("lease", r#"permit(principal, action == Action::"lease", resource == Connection::"warehouse");"#);
    let secret = json!({
        "type": "service_account", "client_email": "robot@demo.iam.gserviceaccount.com", "private_key": rsa_pem(11),
        "private_key_id": "k1", "token_uri": GOOGLE,
    });
    let body = json!({"kind": "google_service_account", "config": {"scopes": [READONLY]}, "secret": secret});
    hub.admin("PUT", "connections/warehouse").json(&body).send().expect(201);
    hub.fetch
        .answer(|_| Scripted::json(200, json!({"access_token": "ya29.x", "token_type": "Bearer", "expires_in": 3600})));
    let token = hub.access_token(&agent, "mcp:read");

    let (signing, vault) = (
        "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8".to_owned(),
        "2:QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8".to_owned(),
    );
    let both = hub.isolate_with(&[
        ("SIGNING_KEK", &format!("{signing} {SIGNING_KEK}")),
        ("VAULT_KEK", &format!("{vault} {VAULT_KEK}")),
    ]);
    let now = Now::from_millis(hub.clock.now().millis());
    hub.clock.block_on(both.app().tick(now)).unwrap();
    for (table, column) in [("signing_keys", "sealed"), ("credentials", "wrapped_key")] {
        for row in hub.db.query(&format!("SELECT {column} AS sealed FROM {table}")) {
            assert!(row["sealed"].as_str().unwrap().starts_with("2."), "{table}: {row:?}");
        }
    }
    let alone = hub.isolate_with(&[("SIGNING_KEK", &signing), ("VAULT_KEK", &vault)]);
    hub.token_call(&agent, &[]).on(&alone).send().expect(200);
    let lease = hub.call("POST", "/t/main/connections/warehouse/token").basic(&server);
    lease.form(&[("subject_token", token.as_str())]).on(&alone).send().expect(200);
}
