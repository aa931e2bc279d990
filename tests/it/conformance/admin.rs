//! The admin API.

use super::hub::{Hub, unique};
use crate::support::Reply;
use crate::support::hub::permit;
use serde_json::{Value, json};

#[track_caller]
fn problem(reply: &Reply, status: u16, reason: &str) {
    assert_eq!((reply.status, reply.json()["reason"].as_str()), (status, Some(reason)), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(reply.json()["status"], status);
    assert!(reply.json()["title"].is_string());
}

#[test]
fn the_admin_api_takes_its_own_tokens_alone() {
    let hub = Hub::open();
    let agents = hub.agents_token(&[]).access_token();
    let ask = || hub.ask("GET", "/t/main/admin/clients");
    for (call, reason) in [
        (ask(), "MissingToken"),
        (ask().basic(&hub.agent.client), "MissingToken"),
        (ask().bearer(&agents), "InvalidToken"),
    ] {
        let reply = call.send();
        problem(&reply, 401, reason);
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer realm="));
    }
}

#[test]
fn a_client_is_registered_read_changed_and_removed() {
    let hub = Hub::open();
    let client = hub.make("clients", &json!({"client_name": "conformance", "tags": ["a"]}), "client_id");
    assert!(client.body["client_secret"].as_str().unwrap().starts_with("writ_cs_"));
    let read = hub.admin("GET", &client.path).send().expect(200);
    assert!(read.json().get("client_secret").is_none());
    let etag = read.header("etag").unwrap();
    let put = |etag: Option<&str>, name: &str| {
        let call = hub.admin("PUT", &client.path).json(&json!({"client_name": name}));
        etag.map_or(call, |etag| {
            hub.admin("PUT", &client.path).json(&json!({"client_name": name})).header("if-match", etag)
        })
        .send()
    };
    problem(&put(None, "x"), 428, "PreconditionRequired");
    problem(&put(Some("\"another\""), "x"), 412, "PreconditionFailed");
    put(Some(etag), "renamed").expect(200);
    problem(&put(Some(etag), "x"), 412, "PreconditionFailed");
    assert_eq!(hub.admin("GET", &client.path).send().json()["client_name"], "renamed");
    hub.admin("DELETE", &client.path).send().expect(204);
    problem(&hub.admin("GET", &client.path).send(), 404, "NotFound");
}

#[test]
fn a_retry_with_its_idempotency_key_answers_as_the_first_and_another_request_is_refused() {
    let hub = Hub::open();
    let (key, body) = (format!("\"{}\"", unique()), json!({"client_name": "conformance"}));
    let post = |body: &Value| hub.admin("POST", "clients").json(body).header("idempotency-key", &key).send();
    let first = post(&body).expect(201);
    let client = hub.made("clients", &first, "client_id");
    let again = post(&body).expect(201);
    assert_eq!(again.text, first.text);
    for name in ["etag", "location", "content-type"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    problem(&post(&json!({"client_name": "another"})), 422, "IdempotencyKeyReused");
    let malformed = hub.admin("POST", "clients").json(&body).header("idempotency-key", "a b").send();
    problem(&malformed, 400, "MalformedIdempotencyKey");
    let credentials = client.credentials();
    let authenticated = hub.token(&credentials, &[]);
    assert_ne!(authenticated.error(), "invalid_client", "the secret is that of the client: {authenticated:?}");
}

#[test]
fn a_body_is_one_json_object_of_known_fields() {
    let hub = Hub::open();
    let post = || hub.admin("POST", "clients");
    problem(&post().form(&[("client_name", "x")]).send(), 415, "NotJson");
    problem(&post().header("content-type", "application/json").body("[]").send(), 400, "MalformedJson");
    problem(
        &post().header("content-type", "application/json").body(r#"{"client_name":"a","client_name":"b"}"#).send(),
        400,
        "MalformedJson",
    );
    let unknown = post().json(&json!({"client_name": "x", "no_such_field": 1})).send();
    problem(&unknown, 400, "UnknownField");
    assert!(unknown.json()["detail"].as_str().unwrap().contains("no_such_field"));
    problem(&post().json(&json!({"client_name": ""})).send(), 400, "InvalidField");
}

#[test]
fn a_resource_has_one_registration_whatever_the_spelling() {
    let hub = Hub::open();
    let uri = format!("https://{}.conformance.example/mcp", unique());
    let body = |uri: &str| json!({"resource": uri, "name": "Conformance", "scopes": [{"name": "read", "description": "Read"}]});
    let _resource = hub.make("resources", &body(&uri), "id");
    problem(&hub.admin("POST", "resources").json(&body(&format!("{uri}/"))).send(), 409, "Conflict");
}

#[test]
fn a_list_is_walked_by_its_cursor() {
    let hub = Hub::open();
    let _clients: Vec<_> =
        (0..3).map(|n| hub.make("clients", &json!({"client_name": format!("conformance {n}")}), "client_id")).collect();
    let mut seen = Vec::new();
    let mut path = "clients?limit=2".to_owned();
    loop {
        let page = hub.admin("GET", &path).send().expect(200).json();
        let items = page["items"].as_array().unwrap().clone();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["client_id"].as_str().unwrap().to_owned()));
        match page.get("next_cursor").and_then(|cursor| cursor.as_str()) {
            Some(cursor) => path = format!("clients?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    for client in &_clients {
        let id = client.credentials().client_id;
        assert_eq!(seen.iter().filter(|known| **known == id).count(), 1);
    }
    problem(&hub.admin("GET", "clients?limit=0").send(), 400, "InvalidQuery");
    problem(&hub.admin("GET", "clients?no_such_parameter=1").send(), 400, "InvalidQuery");
}

#[test]
fn a_policy_that_does_not_fit_the_schema_is_refused_with_line_and_column() {
    let hub = Hub::open();
    for cedar in ["permit(", "permit(principal, action, resource) when { context.no_such_thing };"] {
        let body = json!({"description": "x", "cedar": cedar, "mode": "enforce"});
        let reply = hub.admin("PUT", &format!("policies/conformance-{}", unique())).json(&body).send();
        problem(&reply, 400, "InvalidPolicy");
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("line 1") && detail.contains("column "), "{detail}");
    }
}

#[test]
fn a_policy_bites_at_the_next_token_within_the_freshness_bound() {
    let hub = Hub::open();
    let body = json!({"client_name": "conformance", "allowed_resources": [hub.resource]});
    let client = hub.make("clients", &body, "client_id");
    let status = || hub.token(&client.credentials(), &[]).status;
    assert_eq!(status(), 400, "no policy, no token");
    let policy = hub.policy(&permit(&client.credentials().client_id, &hub.resource));
    hub.within_the_bound("a policy permits", || (status() == 200).then_some(()));
    drop(policy);
    hub.within_the_bound("the policy is gone", || (status() == 400).then_some(()));
}

#[test]
fn a_client_that_is_suspended_or_killed_gets_no_token_within_the_freshness_bound() {
    let hub = Hub::open();
    let (client, _policy) = hub.agent_for(&hub.resource, &json!({}));
    let becomes = |wanted: u16| {
        hub.within_the_bound(&format!("status {wanted}"), || {
            (hub.token(&client.credentials(), &[]).status == wanted).then_some(())
        });
    };
    becomes(200);
    hub.admin("POST", &format!("{}/suspend", client.path)).send().expect(200);
    becomes(401);
    hub.admin("POST", &format!("{}/resume", client.path)).send().expect(200);
    becomes(200);
    hub.admin("POST", &format!("{}/kill", client.path)).send().expect(200);
    becomes(401);
    problem(&hub.admin("POST", &format!("{}/resume", client.path)).send(), 409, "Conflict");
}

#[test]
fn an_issuance_and_a_refusal_can_be_looked_up() {
    let hub = Hub::open();
    let (client, _policy) = hub.agent_for(&hub.resource, &json!({}));
    let id = client.credentials().client_id;
    let refused = hub.token(&client.credentials(), &[("scope", "no-such-scope")]).expect(400);
    assert_eq!(refused.error(), "invalid_scope");
    hub.within_the_bound("a token", || (hub.token(&client.credentials(), &[]).status == 200).then_some(()));
    // Among the refusals are those from before the client's policy was in force.
    let find = |kind: &str, reason: &Value| {
        let page = hub.admin("GET", &format!("events?client_id={id}&type={kind}")).send().expect(200).json();
        page["items"].as_array().unwrap().iter().find(|event| event["reason"] == *reason).cloned()
    };
    let issued = hub.eventually("the event of the token", || find("token.issued", &Value::Null));
    assert_eq!((&issued["client"], &issued["tenant"]), (&json!(id), &json!("main")));
    assert_eq!(issued["resource"], hub.resource);
    assert!(issued["decision"].is_string() && issued["policies"].is_array());
    hub.eventually("the event of the refusal", || find("token.refused", &json!("UnknownScope")));
    assert!(!issued.to_string().contains(&client.credentials().client_secret));
}

#[test]
fn the_api_describes_itself_in_openapi_3_1() {
    let document = Hub::open().get("/openapi.json").expect(200).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(document["paths"].as_object().unwrap().len() > 10);
}
