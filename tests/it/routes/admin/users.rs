//! `admin/users`.

use crate::support::{Reply, Setup};
use serde_json::{Value, json};

fn account(subject: &str) -> Value {
    json!({"issuer": "https://idp.example", "subject": subject})
}

fn make(hub: &Setup, body: &Value) -> Value {
    hub.admin("POST", "users").json(body).send().expect(201).json()
}

fn accounts(hub: &Setup) -> usize {
    hub.db.query("SELECT user FROM accounts").len()
}

fn put(hub: &Setup, user: &Value, etag: &str, body: &Value) -> Reply {
    let path = format!("users/{}", user["id"].as_str().unwrap());
    hub.admin("PUT", &path).header("if-match", etag).json(body).send()
}

#[test]
fn a_user_is_made_shown_changed_and_removed_and_each_change_is_one_event() {
    let hub = Setup::new();
    let body = json!({"name": "Alice", "email": "a@example.com", "roles": ["r"], "groups": ["g"], "accounts": [account("alice")]});
    let reply = hub.admin("POST", "users").json(&body).send().expect(201);
    let made = reply.json();
    let path = format!("users/{}", made["id"].as_str().unwrap());
    assert!(made["id"].as_str().unwrap().starts_with("user_"));
    assert!(reply.header("location").unwrap().ends_with(&path));
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(made[name], *value);
    }
    assert_eq!(made["status"], "active");
    let shown = hub.admin("GET", &path).send().expect(200);
    assert_eq!(shown.json(), made);
    assert_eq!(hub.admin("GET", "users").send().json()["items"], json!([made]));

    let etag = shown.header("etag").unwrap();
    let changed =
        put(&hub, &made, etag, &json!({"name": "Bob", "accounts": [account("bob"), account("bobby")]})).expect(200);
    assert_eq!((&changed.json()["name"], &changed.json()["roles"]), (&json!("Bob"), &json!([])));
    assert_eq!(accounts(&hub), 2);
    put(&hub, &made, etag, &json!({"name": "Carol"})).expect(412);
    hub.admin("PUT", &path).json(&json!({"name": "Carol"})).send().expect(428);
    assert_eq!(accounts(&hub), 2);

    hub.admin("DELETE", &path).header("if-match", etag).send().expect(412);
    hub.admin("DELETE", &path).send().expect(204);
    hub.admin("GET", &path).send().expect(404);
    assert_eq!(accounts(&hub), 0);
    for kind in ["user.created", "user.updated", "user.deleted"] {
        let events = hub.events_of(kind);
        assert_eq!((events.len(), &events[0]["target"]), (1, &made["id"]), "{kind}");
    }
    assert_eq!(hub.events_of("user.updated")[0]["detail"], "accounts, email, groups, name, roles");
}

#[test]
fn two_users_never_have_one_account() {
    let hub = Setup::new();
    let alice = make(&hub, &json!({"accounts": [account("alice"), account("a")]}));
    hub.admin("POST", "users").json(&json!({"accounts": [account("new"), account("alice")]})).send().expect(409);
    assert_eq!((hub.db.query("SELECT id FROM users").len(), accounts(&hub)), (1, 2));
    let bob = make(&hub, &json!({"accounts": [account("bob")]}));
    put(&hub, &bob, "\"v1\"", &json!({"accounts": [account("bob"), account("a")]})).expect(409);
    assert_eq!(accounts(&hub), 3);
    // The same subject at another issuer is another account, and what was given up is free.
    put(&hub, &alice, "\"v1\"", &json!({"accounts": [account("alice")]})).expect(200);
    let elsewhere = json!({"issuer": "https://other.example", "subject": "alice"});
    put(&hub, &bob, "\"v1\"", &json!({"accounts": [account("a"), elsewhere]})).expect(200);
    let rows = hub.db.query("SELECT user FROM accounts WHERE subject = 'a'");
    assert_eq!(rows[0]["user"], bob["id"]);
    // Nor do the walls of tenants know of each other.
    hub.create_tenant("second");
    hub.admin_of("second", "POST", "users").json(&json!({"accounts": [account("alice")]})).send().expect(201);
    let path = format!("users/{}", alice["id"].as_str().unwrap());
    hub.admin_of("second", "GET", &path).send().expect(404);
    hub.admin_of("second", "DELETE", &path).send().expect(404);
}

#[test]
fn of_two_that_would_make_one_account_at_once_one_does() {
    for seed in 0..20 {
        let hub = Setup::new();
        let token = hub.admin_token();
        let isolates: Vec<_> = (0..4).map(|_| hub.isolate()).collect();
        let make = |isolate| {
            let call = hub.call("POST", "/t/main/admin/users").bearer(&token).on(isolate);
            call.json(&json!({"accounts": [account("alice")]})).future()
        };
        let replies = hub.together(seed, isolates.iter().map(make).collect());
        let made = replies.iter().filter(|reply| reply.status == 201).count();
        assert_eq!((made, hub.db.query("SELECT id FROM users").len(), accounts(&hub)), (1, 1, 1));
    }
}

#[test]
fn what_is_no_user_is_refused_by_the_name_of_the_field() {
    let hub = Setup::new();
    let many: Vec<_> = (0..21).map(|n| account(&n.to_string())).collect();
    for (body, field) in [
        (json!({"name": ""}), "name"),
        (json!({"email": "x".repeat(201)}), "email"),
        (json!({"roles": [""]}), "roles"),
        (json!({"groups": vec!["g"; 101]}), "groups"),
        (json!({"accounts": many}), "accounts"),
        (json!({"accounts": [account("")]}), "accounts"),
        (json!({"accounts": [{"issuer": "https://idp.example"}]}), "subject"),
        (json!({"accounts": [{"issuer": "i", "subject": "s", "email": "e"}]}), "accounts[0].email"),
        (json!({"status": "active"}), "status"),
        (json!({"id": "user_1"}), "id"),
    ] {
        let reply = hub.admin("POST", "users").json(&body).send().expect(400);
        assert!(reply.json()["detail"].as_str().unwrap().contains(&format!("`{field}")), "{reply:?}");
    }
}

#[test]
fn a_retired_user_cannot_be_changed_and_keeps_the_accounts() {
    let hub = Setup::new();
    let alice = make(&hub, &json!({"accounts": [account("alice")]}));
    hub.db.execute("UPDATE users SET status = 'retired'");
    put(&hub, &alice, "\"v1\"", &json!({})).expect(409);
    hub.admin("POST", "users").json(&json!({"accounts": [account("alice")]})).send().expect(409);
}
