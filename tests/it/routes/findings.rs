//! `admin/findings`: what is unused, unowned or strange is found, what is not is left alone, and the remedy works as it stands.

use crate::support::hub::RESOURCE;
use crate::support::{Credentials, Setup};
use serde_json::{Value, json};
use writ::app::Source;

const DAY: u64 = 86_400;

fn findings(hub: &Setup, query: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = hub.admin("GET", &format!("findings?limit=2{query}{cursor}")).send().expect(200).json();
        all.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn of<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|finding| finding["kind"] == kind).collect()
}

/// Sends the call that a finding names.
fn remedy(hub: &Setup, finding: &Value) -> u16 {
    let call = &finding["remedy"];
    let mut sent = hub.admin(call["method"].as_str().unwrap(), call["path"].as_str().unwrap());
    if let Some(etag) = call["if_match"].as_str() {
        sent = sent.header("if-match", etag);
    }
    if call["body"].is_object() {
        sent = sent.json(&call["body"]);
    }
    sent.send().status
}

/// Tokens that a client got, as the trail has them: from an address, at moments.
fn issue(hub: &Setup, client: &Credentials, scope: &str, ip: &str, seconds: &[u64]) {
    let messages: Vec<String> = seconds
        .iter()
        .map(|at| {
            let millis = at * 1_000;
            json!({
                "id": writ::model::id::ulid_of(millis, &writ::crypto::sha256(format!("{ip}{at}{}", client.client_id))), "tenant": "main", "at": millis,
                "type": "token.issued", "request_id": "r", "client": client.client_id, "subject": client.client_id, "scope_given": scope, "ip": ip,
            })
            .to_string()
        })
        .collect();
    hub.consume(Source::Audit, &messages).unwrap();
}

fn client(hub: &Setup, name: &str, owner: Option<&str>) -> Credentials {
    let mut metadata = json!({"client_name": name, "scope": "mcp:read mcp:write", "allowed_resources": [RESOURCE]});
    if let Some(owner) = owner {
        metadata["owner"] = json!(owner);
    }
    hub.create_client(metadata)
}

#[test]
fn clients_without_an_owner_or_with_one_who_is_gone_are_found() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let user = hub.admin("POST", "users").json(&json!({"name": "Ada"})).send().expect(201).json();
    let user = user["id"].as_str().unwrap();
    let (alone, owned) = (client(&hub, "alone", None), client(&hub, "owned", Some(user)));
    client(&hub, "team", Some("team-data"));
    let all = findings(&hub, "");
    let unowned = of(&all, "client_without_owner");
    let alone: Vec<_> = unowned.iter().filter(|finding| finding["target"] == alone.client_id).collect();
    assert_eq!((alone.len(), &alone[0]["target_name"], &alone[0]["severity"]), (1, &json!("alone"), &json!("medium")));
    assert!(of(&all, "client_owner_gone").is_empty());
    hub.admin("POST", "kill").json(&json!({"user": user})).send().expect(200);
    let gone = findings(&hub, "&kind=client_owner_gone");
    assert_eq!((gone.len(), &gone[0]["target"]), (1, &json!(owned.client_id)));
    assert_eq!(remedy(&hub, &gone[0]), 200);
    assert!(findings(&hub, "&kind=client_owner_gone").is_empty(), "it is suspended");
}

#[test]
fn what_nobody_uses_is_found_with_a_remedy_that_works() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let (idle, narrow) = (client(&hub, "idle", Some("o")), client(&hub, "narrow", Some("o")));
    let service = json!({"name": "Search", "proxy": {"base_url": "https://api.search.example"}});
    let body = json!({"kind": "api_key", "config": {"service": service}, "secret": {"api_key": "k"}});
    for name in ["unused", "used"] {
        hub.admin("PUT", &format!("connections/{name}")).json(&body).send().expect(201);
    }
    assert!(
        findings(&hub, "&unused_days=90").iter().all(|finding| finding["kind"] == "client_without_owner"),
        "all is new"
    );
    hub.clock.advance(200 * DAY);
    let now = hub.clock.seconds();
    issue(&hub, &narrow, "mcp:read", "192.0.2.7", &[now - 3 * DAY, now - 2 * DAY]);
    let lease = json!({
        "id": writ::model::id::first_at((now as i64 - 5) * 1_000), "tenant": "main", "at": (now - 5) * 1_000, "type": "lease.granted", "request_id": "r",
        "connection": "used",
    });
    hub.consume(Source::Audit, &[lease.to_string()]).unwrap();
    let all = findings(&hub, "");
    let targets = |kind: &str| of(&all, kind).iter().map(|finding| finding["target"].clone()).collect::<Vec<_>>();
    assert!(
        targets("client_unused").contains(&json!(idle.client_id))
            && !targets("client_unused").contains(&json!(narrow.client_id))
    );
    assert_eq!(targets("client_scope_unused"), [json!(narrow.client_id)]);
    assert_eq!(targets("connection_unused"), [json!("unused")]);
    assert!(targets("secret_old").contains(&json!(idle.client_id)));
    let scope = of(&all, "client_scope_unused")[0];
    assert!(scope["detail"].as_str().unwrap().contains("mcp:write"));
    assert_eq!(remedy(&hub, scope), 200);
    assert_eq!(hub.admin("GET", &format!("clients/{}", narrow.client_id)).send().json()["scope"], "mcp:read");
    assert_eq!(remedy(&hub, of(&all, "connection_unused")[0]), 200);
    let secret = of(&all, "secret_old").into_iter().find(|finding| finding["target"] == idle.client_id).unwrap();
    assert_eq!(remedy(&hub, secret), 201);
    let unused = of(&all, "client_unused").into_iter().find(|finding| finding["target"] == idle.client_id).unwrap();
    assert_eq!(remedy(&hub, unused), 200);
    let after = findings(&hub, "");
    assert!(of(&after, "client_scope_unused").is_empty() && of(&after, "connection_unused").is_empty());
}

#[test]
fn a_client_from_a_network_where_it_was_not_seen_before_is_found() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let (moved, stays, new) =
        (client(&hub, "m", Some("o")), client(&hub, "s", Some("o")), client(&hub, "n", Some("o")));
    hub.clock.advance(10 * DAY);
    let now = hub.clock.seconds();
    for one in [&moved, &stays] {
        issue(&hub, one, "mcp:read", "192.0.2.7", &[now - 5 * DAY, now - 4 * DAY]);
    }
    issue(&hub, &moved, "mcp:read", "198.51.100.9", &[now - 600]);
    issue(&hub, &stays, "mcp:read", "192.0.2.200", &[now - 600]);
    issue(&hub, &new, "mcp:read", "203.0.113.1", &[now - 600]);
    let found = findings(&hub, "&kind=client_new_network");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["target"], &found[0]["severity"]), (&json!(moved.client_id), &json!("high")));
    assert!(found[0]["detail"].as_str().unwrap().contains("198.51.100.0/24"));
}

#[test]
fn a_burst_of_refusals_is_found_once() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    for _ in 0..25 {
        hub.token(&agent, &[("scope", "mcp:write")]).expect(400);
    }
    hub.events();
    let found = findings(&hub, "&kind=denied_burst");
    assert_eq!((found.len(), &found[0]["target"]), (1, &json!(agent.client_id)));
    assert!(found[0]["detail"].as_str().unwrap().starts_with("25 requests"));
    assert_eq!(found[0]["target_name"], "agent");
    // Of a client that is stopped nothing is left to do.
    let path = format!("clients/{}", agent.client_id);
    hub.admin("POST", &[&path, "/suspend"].concat()).send().expect(200);
    assert!(findings(&hub, "&kind=denied_burst").is_empty());
    hub.admin("POST", &[&path, "/resume"].concat()).send().expect(200);
    assert_eq!(findings(&hub, "&kind=denied_burst").len(), 1);
    hub.clock.advance(2 * DAY);
    assert!(findings(&hub, "&kind=denied_burst").is_empty());
}

#[test]
fn refusals_that_merely_name_a_client_are_no_burst_of_it() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    let body = json!({"client_name": "public", "token_endpoint_auth_method": "none",
        "redirect_uris": ["https://app.example/callback"], "grant_types": ["authorization_code", "refresh_token"]});
    let public = hub.admin("POST", "clients").json(&body).send().expect(201).json()["client_id"].clone();
    let public = public.as_str().unwrap();
    for n in 0..60 {
        let wrong = Credentials { client_secret: format!("{}x", agent.client_secret), ..agent.clone() };
        hub.token_call(&wrong, &[]).ip(&format!("192.0.2.{n}")).send();
        let form = [("grant_type", "refresh_token"), ("refresh_token", "nothing"), ("client_id", public)];
        hub.call("POST", "/t/main/token").form(&form).ip(&format!("192.0.2.{n}")).send();
        hub.clock.advance(5);
    }
    let named = |id: &str| {
        let told = hub.events();
        let of = told.into_iter().filter(|event| event["client"] == id && event.get("reason").is_some());
        of.map(|event| event["auth_method"].clone()).collect::<Vec<_>>()
    };
    for id in [&*agent.client_id, public] {
        assert!(named(id).len() >= 30 && named(id).iter().all(|how| how == "unproved"), "{:?}", named(id));
    }
    assert_eq!(findings(&hub, "&kind=denied_burst"), Vec::<Value>::new());
    // Nor is what a resource server asks with the agent's token.
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let token = hub.access_token(&agent, "mcp:read");
    for _ in 0..25 {
        let form = [("subject_token", &*token)];
        hub.call("POST", "/t/main/connections/none/token").basic(&server).form(&form).send().expect(403);
    }
    hub.events();
    assert_eq!(findings(&hub, "&kind=denied_burst"), Vec::<Value>::new());
    (0..25).for_each(|_| drop(hub.token(&agent, &[("scope", "mcp:write")]).expect(400)));
    hub.events();
    let found = findings(&hub, "&kind=denied_burst");
    assert_eq!((found.len(), &found[0]["target"]), (1, &json!(agent.client_id)));
    assert!(found[0]["detail"].as_str().unwrap().starts_with("25 requests"), "{found:?}");
}

#[test]
fn a_consent_of_which_nothing_is_used_is_found() {
    let hub = Setup::new();
    hub.db.execute(
        "INSERT INTO consents (tenant, id, user, client, redirect_host, resource, document, lines, created_at, updated_at) VALUES \
         ('main', 'one', 'u', 'c', 'h', 'r', 'd', '[{\"scope\":\"a\",\"until\":99999999999}]', 1, 1)",
    );
    let found = findings(&hub, "&kind=consent_unused");
    assert_eq!((found.len(), &found[0]["target"]), (1, &json!("one")));
    assert_eq!(remedy(&hub, &found[0]), 204);
    assert!(findings(&hub, "&kind=consent_unused").is_empty());
    for bad in ["kind=none", "unused_days=0", "unused_days=x", "colour=red"] {
        hub.admin("GET", &format!("findings?{bad}")).send().expect(400);
    }
}

#[test]
fn every_kind_of_finding_has_a_remedy_that_answers() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let user = hub.admin("POST", "users").json(&json!({"name": "Ada"})).send().expect(201).json();
    let user = user["id"].as_str().unwrap();
    let (alone, left) = (client(&hub, "alone", None), client(&hub, "left", Some(user)));
    let (idle, narrow) = (client(&hub, "idle", Some("o")), client(&hub, "narrow", Some("o")));
    let (moved, refused) = (client(&hub, "moved", Some("o")), client(&hub, "refused", Some("o")));
    let service = json!({"name": "Search", "proxy": {"base_url": "https://api.search.example"}});
    let body = json!({"kind": "api_key", "config": {"service": service}, "secret": {"api_key": "k"}});
    hub.admin("PUT", "connections/unused").json(&body).send().expect(201);
    hub.db.execute(
        "INSERT INTO consents (tenant, id, user, client, redirect_host, resource, document, lines, created_at, updated_at) VALUES \
         ('main', 'one', 'u', 'c', 'h', 'r', 'd', '[{\"scope\":\"a\",\"until\":99999999999}]', 1, 1)",
    );
    hub.admin("POST", "kill").json(&json!({"user": user})).send().expect(200);
    hub.clock.advance(200 * DAY);
    let now = hub.clock.seconds();
    for one in [&narrow, &moved] {
        issue(&hub, one, "mcp:read", "192.0.2.7", &[now - 3 * DAY, now - 2 * DAY]);
    }
    issue(&hub, &moved, "mcp:read mcp:write", "198.51.100.9", &[now - 600]);
    (0..25).for_each(|_| drop(hub.token(&refused, &[("scope", "mcp:write")]).expect(400)));
    hub.events();

    let all = findings(&hub, "");
    let targets = [
        ("client_without_owner", &*alone.client_id),
        ("client_owner_gone", &*left.client_id),
        ("client_unused", &*idle.client_id),
        ("client_scope_unused", &*narrow.client_id),
        ("secret_old", &*narrow.client_id),
        ("client_new_network", &*moved.client_id),
        ("denied_burst", &*refused.client_id),
        ("connection_unused", "unused"),
        ("consent_unused", "one"),
    ];
    let kinds = targets.map(|(kind, _)| kind);
    assert_eq!(kinds, writ::directory::findings::KINDS.map(|(kind, _)| kind), "every kind there is");
    for (kind, target) in targets {
        let found = of(&all, kind).into_iter().find(|finding| finding["target"] == target);
        let found = found.unwrap_or_else(|| panic!("{kind}: {all:#?}"));
        assert!(matches!(remedy(&hub, found), 200 | 201 | 204), "{found}");
        // An old secret stays until it is removed; whatever else was found is so no more.
        let stays = findings(&hub, &format!("&kind={kind}")).iter().any(|finding| finding["target"] == target);
        assert_eq!(stays, kind == "secret_old", "{kind}");
    }
}
