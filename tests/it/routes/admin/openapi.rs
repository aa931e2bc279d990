//! `/openapi.json` is what the code does: every route, every field of every body, every answer.

use super::{FORBID, Things, with};
use crate::support::hub::{Call, RESOURCE, decode};
use crate::support::{Reply, Setup};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use writ::web::router::{resolve, rows};

fn document(hub: &Setup) -> Value {
    hub.call("GET", "/openapi.json").send().expect(200).json()
}

/// Path and method of every operation below `/t/{tenant}` or the well-known paths of a tenant.
fn documented(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let of_tenants = paths.iter().filter(|(path, _)| path.contains("{tenant}"));
    of_tenants
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(|method| (path.clone(), method.to_uppercase())).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_route_is_documented_and_every_documented_route_is_there() {
    let hub = Setup::new();
    let document = document(&hub);
    let documented = document["paths"].as_object().unwrap();
    assert!(documented.len() > 30);
    let mut written = BTreeSet::new();
    for row in rows() {
        let operation = &documented[row.path][row.method.as_str().to_lowercase()];
        assert_eq!(operation["summary"], row.summary, "{}", row.path);
        assert!(written.insert((row.path, row.method.as_str())), "{} is there twice", row.path);
        let route = resolve(&row.path.replace("{tenant}", "main")).unwrap();
        assert!(route.endpoint(row.method).is_ok() && route.role == row.role, "{} is hidden by another row", row.path);
    }
    let operations: usize = documented.values().map(|methods| methods.as_object().unwrap().len()).sum();
    assert_eq!(operations, written.len());
}

#[test]
fn rows_of_one_path_stand_together() {
    let mut paths: Vec<&str> = rows().iter().map(|row| row.path).collect();
    paths.dedup();
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len());
}

/// What does not fit: the schema of an answer, or of a part of it.
fn misfits(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        let target = &document["components"]["schemas"][name];
        assert!(target.is_object(), "{name} is not defined");
        return misfits(document, target, value, place);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let of_each: Vec<_> = choices.iter().map(|choice| misfits(document, choice, value, place)).collect();
        return if of_each.iter().any(Vec::is_empty) { Vec::new() } else { of_each.concat() };
    }
    let fits = match schema["type"].as_str().unwrap() {
        "string" => value.is_string() && schema["enum"].as_array().is_none_or(|words| words.contains(value)),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    };
    if !fits {
        return vec![format!("{place} is {value}, not {schema}")];
    }
    let mut all = Vec::new();
    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
        all.extend(misfits(document, &schema["items"], item, &format!("{place}[{n}]")));
    }
    if let (Some(members), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for (name, member) in members {
            match properties.get(name) {
                Some(schema) => all.extend(misfits(document, schema, member, &format!("{place}.{name}"))),
                None => all.push(format!("{place}.{name} is not documented")),
            }
        }
        let missing = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|name| !members.contains_key(name.as_str().unwrap()));
        all.extend(missing.map(|name| format!("{place}.{name} is missing")));
    }
    all
}

/// Holds an answer against what the document says of this operation and status.
#[track_caller]
fn holds(document: &Value, (method, path): (&str, &str), reply: &Reply) {
    let operation = &document["paths"][path][method.to_lowercase()];
    let response = &operation["responses"][reply.status.to_string()];
    assert!(response.is_object(), "{method} {path} answers {}, which is not documented: {reply:?}", reply.status);
    let Some(content) = response["content"].as_object() else {
        assert_eq!(reply.text, "", "{method} {path}");
        return;
    };
    let media = reply.header("content-type").unwrap();
    let schema = &content.get(media).unwrap_or_else(|| panic!("{method} {path}: {media} is not documented"))["schema"];
    // A JWT is text, and a tile is bytes.
    let texts = ["application/octet-stream", "application/x-ndjson"];
    let value = if media.ends_with("+jwt") || media.starts_with("text/") || texts.contains(&media) {
        json!(reply.text)
    } else {
        reply.json()
    };
    let misfits = misfits(document, schema, &value, "answer");
    assert!(misfits.is_empty(), "{method} {path}: {misfits:#?}");
}

/// A whole body for every operation that takes one: every documented member is in it.
fn bodies() -> Vec<(&'static str, &'static str, Value)> {
    let client = json!({
        "client_name": "n", "grant_types": ["client_credentials"], "token_endpoint_auth_method": "client_secret_post",
        "scope": "a b", "owner": "o", "tags": ["t"], "kind": "delegated",
        // Not the resource that gets another URI below.
        "allowed_resources": ["https://elsewhere.example/"],
    });
    let scopes = json!([{"name": "s", "description": "d", "tool": "t"}]);
    let resource = json!({
        "id": "new", "resource": "https://new.example/", "name": "n", "scopes": scopes, "access_token_lifetime": 60,
        "token_signing_alg": "RS256", "authorization_server": "https://as.example", "txn_challenge_jwks_uri": "https://new.example/keys",
    });
    let user = json!({
        "name": "n", "email": "e", "roles": ["r"], "groups": ["g"],
        "accounts": [{"issuer": "https://idp.example", "subject": "alice"}],
    });
    let issuer = json!({
        "id": "new", "issuer": "https://new.example", "name": "n", "preset": "oidc", "uses": ["workload"], "audience": "a",
        "jwks_uri": "https://new.example/keys", "creates_users": false, "scope": "a b",
        "rules": [{"claim": "a", "equals": "b"}, {"claim": "a", "prefix": "b"}, {"claim": "a", "one_of": ["b"]}],
    });
    let mut other_issuer = issuer.clone();
    other_issuer.as_object_mut().unwrap().remove("id");
    other_issuer["issuer"] = json!("https://replaced.example");
    let mut other = user.clone();
    other["accounts"][0]["subject"] = json!("bob");
    let quotas = json!({"clients": 100, "connections": 10, "policies": 10, "tokens_per_minute": 1_000});
    let settings = json!({"max_actors": 3, "dpop_nonce": false, "event_retention_days": 400, "event_retention_by_type": {"token.issued": 500}, "event_hold": true, "quotas": quotas});
    let mut replaced = resource.clone();
    replaced.as_object_mut().unwrap().remove("id");
    replaced["resource"] = json!("https://replaced.example/");
    let webhook =
        |events: Value| json!({"url": "https://new.example/", "description": "d", "events": events, "enabled": true});
    let sink = |more: Value| {
        let config = json!({"index": "i", "sourcetype": "s"});
        let mut sink = json!({
            "kind": "splunk", "url": "https://splunk.example", "config": config, "form": "ocsf", "events": ["token.issued"], "description": "d",
            "enabled": true,
        });
        sink.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        sink
    };
    vec![
        ("POST", "tenants", json!({"id": "acme", "name": "Acme", "zone": "UTC", "settings": {"max_actors": 3}})),
        ("PUT", "tenants/{id}", json!({"name": "Main", "zone": "UTC", "status": "active", "settings": settings})),
        ("POST", "clients", client.clone()),
        ("PUT", "clients/{id}", client),
        ("POST", "clients/{id}/secrets", json!({"expires_in": 60})),
        ("POST", "resources", resource),
        ("PUT", "resources/{id}", replaced),
        ("POST", "issuers", issuer),
        ("PUT", "issuers/{id}", other_issuer),
        ("POST", "registration-tokens", json!({"name": "t", "expires_in": 60})),
        ("POST", "users", user.clone()),
        ("PUT", "users/{id}", other),
        ("POST", "webhooks", webhook(json!(["account.changed"]))),
        ("PUT", "webhooks/{id}", webhook(json!(["connection.killed"]))),
        ("POST", "sinks", sink(json!({"secret": {"token": "t"}, "from": 0}))),
        ("PUT", "sinks/{id}", sink(json!({"secret": {"token": "t"}}))),
        ("POST", "sinks/{id}/replay", json!({"from": 1})),
        ("PUT", "policies/{id}", json!({"description": "d", "cedar": FORBID, "mode": "shadow"})),
        ("PUT", "connections/{name}", crate::routes::connections::body(0, &[crate::routes::connections::READ])),
    ]
}

fn call<'a>(hub: &'a Setup, things: &Things, (method, path): (&str, &str)) -> Call<'a> {
    with(hub, &hub.admin_token(), method, &things.fill(path)).header("if-match", "*")
}

#[test]
fn every_answer_has_the_shape_that_the_document_says() {
    let hub = Setup::new();
    let document = document(&hub);
    let things = Things::make(&hub);
    let make = with(&hub, &hub.admin_token(), "PUT", "connections/agent").json(&bodies().pop().unwrap().2);
    make.send().expect(201);
    hub.admin("POST", &things.fill("clients/{id}/secrets")).json(&json!({"expires_in": 60})).send().expect(201);
    let api = hub.issuer("main") + "/admin";
    let asking = hub.create_client(json!({"allowed_resources": [api]}));
    hub.clock.advance(600);
    let mut done = BTreeSet::new();
    let mut check = |method: &str, path: &str, call: Call<'_>| {
        let reply = call.send();
        assert!(reply.status < 300, "{method} {path}: {reply:?}");
        holds(&document, (method, &format!("/t/{{tenant}}/admin/{path}")), &reply);
        done.insert((format!("/t/{{tenant}}/admin/{path}"), method.to_owned()));
    };
    for (method, path, body) in bodies() {
        check(method, path, call(&hub, &things, (method, path)).json(&body));
    }
    for one in [
        "tenants/{id}",
        "clients/{id}",
        "resources/{id}",
        "users/{id}",
        "issuers/{id}",
        "policies/{id}",
        "webhooks/{id}",
        "sinks/{id}",
        "sinks/{id}/state",
        "connections/{name}",
        "dead-letters",
        "events/verify",
        "log/witnesses",
        "metrics",
        "events/summary",
        "events/export",
    ] {
        check("GET", one, call(&hub, &things, ("GET", one)));
    }
    check("POST", "sinks/{id}/test", call(&hub, &things, ("POST", "sinks/{id}/test")));
    check("POST", "vault/rewrap", call(&hub, &things, ("POST", "vault/rewrap")));
    // Under a hold nothing is erased.
    hub.db.execute("UPDATE tenants SET settings = json_remove(settings, '$.event_hold')");
    check("POST", "events/erase", call(&hub, &things, ("POST", "events/erase")).json(&json!({"user": "nobody"})));
    let nothing = json!({"service": "slack"});
    check("POST", "suspend", call(&hub, &things, ("POST", "suspend")).json(&nothing));
    hub.db.execute(&format!(
        "INSERT INTO webhook_messages (tenant, webhook, id, body, not_before, until, outcome, failed_at, created_at) \
         VALUES ('main', '{}', 'm', '{{}}', 1, 1, 'it answered 500', 2, 1)",
        things.webhook
    ));
    let test = call(&hub, &things, ("POST", "webhooks/{id}/test"));
    check("POST", "webhooks/{id}/test", test);
    check("GET", "webhooks/{id}/messages", call(&hub, &things, ("GET", "webhooks/{id}/messages")));
    let resend = things.fill("webhooks/{id}/messages/m/resend");
    check("POST", "webhooks/{id}/messages/{message}/resend", call(&hub, &things, ("POST", &resend)));
    for path in ["webhooks/{id}/resend", "webhooks/{id}/secrets"] {
        check("POST", path, call(&hub, &things, ("POST", path)));
    }
    check("POST", "keys/rotate", call(&hub, &things, ("POST", "keys/rotate")));
    let keys = hub.admin("GET", "keys").send().json();
    let retired = keys["items"].as_array().unwrap().iter().find(|key| key["state"] == "retired").unwrap();
    let revoke = format!("keys/{}/revoke", retired["kid"].as_str().unwrap());
    check("POST", "keys/{kid}/revoke", call(&hub, &things, ("POST", &revoke)));
    check("POST", "users/{id}/invitations", call(&hub, &things, ("POST", "users/{id}/invitations")));
    crate::routes::passkeys::give(&hub, things.fill("users/{id}").strip_prefix("users/").unwrap(), 2);
    check("GET", "users/{id}/passkeys", call(&hub, &things, ("GET", "users/{id}/passkeys")));
    let passkey = things.fill("users/{id}/passkeys/p1");
    check("DELETE", "users/{id}/passkeys/{passkey}", call(&hub, &things, ("DELETE", &passkey)));
    check("GET", "identities/{id}", call(&hub, &things, ("GET", "identities/{id}")));
    let user = things.fill("users/{id}");
    let user = user.rsplit('/').next().unwrap();
    hub.db.execute(&format!(
        "INSERT INTO consents (tenant, id, user, client, redirect_host, resource, document, lines, created_at, updated_at) VALUES \
         ('main', 'one', '{user}', 'c', 'h', 'r', 'd', '[{{\"scope\":\"a\",\"until\":99999999999}}]', 1, 1)"
    ));
    check("GET", "users/{id}/consents", call(&hub, &things, ("GET", "users/{id}/consents")));
    check("DELETE", "consents/{id}", with(&hub, &hub.admin_token(), "DELETE", "consents/one"));
    hub.db.execute(
        "INSERT INTO connected_accounts (tenant, id, connection, owner, label, name, subject, scope_asked, scope, status, wrapped_key, sealed, \
         expires_at, created_at, updated_at) VALUES ('main', 'one', 'agent', 'u', 'l', 'n', 's', 'a', 'a', 'active', '1.x', 'x', 2, 1, 1)",
    );
    check("GET", "connections/{name}/accounts", call(&hub, &things, ("GET", "connections/{name}/accounts")));
    for action in ["suspend", "resume"] {
        let path = format!("connections/{{name}}/accounts/{{id}}/{action}");
        let one = format!("connections/{{name}}/accounts/one/{action}");
        check("POST", &path, call(&hub, &things, ("POST", &one)));
    }
    check(
        "DELETE",
        "connections/{name}/accounts/{id}",
        call(&hub, &things, ("DELETE", "connections/{name}/accounts/one")),
    );
    let chat = json!({
        "kind": "oauth2", "secret": {"client_secret": "s"},
        "config": {"service": "slack", "client_id": "c", "scopes": ["chat:write"], "owner": "tenant"},
    });
    with(&hub, &hub.admin_token(), "PUT", "connections/chat").json(&chat).send().expect(201);
    let link = with(&hub, &hub.admin_token(), "POST", "connections/chat/connect")
        .json(&json!({"user": things.fill("users/{id}").strip_prefix("users/").unwrap()}));
    check("POST", "connections/{name}/connect", link);
    let shade = json!({"cedar": "forbid(principal, action, resource) when { !context.dpop };", "mode": "shadow"});
    with(&hub, &hub.admin_token(), "PUT", "policies/shade").json(&shade).send().expect(201);
    hub.token(&hub.admin_client("main"), &[("scope", "admin")]).expect(200);
    let is_shaded = |event: &Value| event["shadow_policies"] == json!(["shade"]);
    let decided = hub.events().into_iter().rev().find(is_shaded).unwrap();
    for body in [
        json!({"decision": decided["decision"]}),
        json!({"client_id": things.client.client_id, "resource": "https://r.example/", "scopes": ["a"], "dpop": true}),
    ] {
        check("POST", "policies/explain", call(&hub, &things, ("POST", "policies/explain")).json(&body));
    }
    let changes = json!({"changes": [{"id": "shade", "mode": "enforce"}], "limit": 3});
    check("POST", "policies/replay", call(&hub, &things, ("POST", "policies/replay")).json(&changes));
    for word in ["explain", "replay", "templates"] {
        let old = json!({"cedar": "forbid(principal, action, resource) when { !context.dpop };", "mode": "off"});
        with(&hub, &hub.admin_token(), "PUT", "policies/old").json(&old).send().expect(201);
        hub.db.execute(&format!("UPDATE policies SET id = '{word}' WHERE id = 'old'"));
        let path = format!("policies/{word}");
        check("DELETE", &path, call(&hub, &things, ("DELETE", &path)));
    }
    check("GET", "policies/{id}/shadow", call(&hub, &things, ("GET", "policies/shade/shadow")));
    check("POST", "policies/{id}/enforce", call(&hub, &things, ("POST", "policies/{id}/enforce")));
    for thing in ["identities/{id}", "users/{id}", "connections/{name}", "clients/{id}"] {
        for action in ["suspend", "resume", "kill"] {
            let path = format!("{thing}/{action}");
            check("POST", &path, call(&hub, &things, ("POST", &path)));
        }
    }
    check("POST", "kill", call(&hub, &things, ("POST", "kill")).json(&json!({"chain": "AQEBAQEBAQEBAQEBAQEBAQ"})));
    let token = hub.admin_token();
    let event = hub.events_of("token.issued").pop().unwrap();
    let proof = format!("events/{}/proof", event["id"].as_str().unwrap());
    check("GET", "events/{id}/proof", call(&hub, &things, ("GET", &proof)));
    let of_token = format!("events/proof?jti={}", decode(&token).1["jti"].as_str().unwrap());
    check("GET", "events/proof", with(&hub, &hub.admin_token(), "GET", &of_token));
    let ask = || {
        let made =
            hub.call("POST", "/t/main/approvals").basic(&asking).form(&[("resource", &*api), ("tool", "t")]).send();
        format!("approvals/{}", made.expect(201).json()["approval_id"].as_str().unwrap())
    };
    let approval = ask();
    check("GET", "approvals/{id}", with(&hub, &hub.admin_token(), "GET", &approval));
    let decision = json!({"decision": "approve", "note": "n"});
    let decide = with(&hub, &hub.admin_token(), "POST", &format!("{approval}/decide"));
    check("POST", "approvals/{id}/decide", decide.json(&decision));
    check("GET", "approvals/{id}", with(&hub, &hub.admin_token(), "GET", &approval));
    let revoke = with(&hub, &hub.admin_token(), "POST", &format!("{approval}/revoke"));
    check("POST", "approvals/{id}/revoke", revoke);
    hub.token(&things.client, &[]);
    hub.events();
    for list in [
        "approvals",
        "tenants",
        "clients",
        "resources",
        "users",
        "issuers",
        "policies",
        "policies/templates",
        "connections",
        "webhooks",
        "sinks",
        "findings",
        "keys",
        "events",
        "identities",
        "registration-tokens",
    ] {
        check("GET", list, call(&hub, &things, ("GET", list)));
    }
    for one in [
        "clients/{id}/secrets/{secret}",
        "clients/{id}",
        "resources/{id}",
        "users/{id}",
        "issuers/{id}",
        "policies/{id}",
        "webhooks/{id}",
        "sinks/{id}",
        "connections/{name}",
    ] {
        check("DELETE", one, call(&hub, &things, ("DELETE", one)));
    }
    let made = hub.admin("POST", "registration-tokens").json(&json!({"name": "t"})).send().json();
    let path = format!("registration-tokens/{}", made["id"].as_str().unwrap());
    check("DELETE", "registration-tokens/{id}", with(&hub, &hub.admin_token(), "DELETE", &path));
    hub.create_tenant("gone");
    let suspended = json!({"name": "Gone", "zone": "UTC", "status": "suspended"});
    hub.admin("PUT", "tenants/gone").header("if-match", "*").json(&suspended).send().expect(200);
    check("DELETE", "tenants/{id}", with(&hub, &hub.admin_token(), "DELETE", "tenants/gone"));
    check("GET", "events/live", call(&hub, &things, ("GET", "events/live")));
    let mut admin = documented(&document);
    admin.retain(|(path, _)| path.contains("/admin/"));
    assert_eq!(done, admin, "an operation was not tried");
}

#[test]
fn every_refusal_has_a_documented_status_and_shape() {
    let hub = Setup::new();
    let document = document(&hub);
    let things = Things::make(&hub);
    let token = hub.admin_token();
    for (method, path) in super::operations(&hub) {
        let documented = format!("/t/{{tenant}}/admin/{path}");
        let filled = things.fill(&path);
        let with_body =
            |body: &str| with(&hub, &token, &method, &filled).header("content-type", "application/json").body(body);
        let takes_json = document["paths"][&documented][method.to_lowercase()]["requestBody"].is_object();
        let takes_page =
            document["paths"][&documented][method.to_lowercase()]["parameters"].to_string().contains("\"query\"");
        let mut replies = vec![hub.call(&method, &format!("/t/main/admin/{filled}")).send()];
        if takes_json {
            replies.push(with_body("{").send());
            replies.push(with_body(&" ".repeat(70_000)).send());
            replies.push(with_body("").form(&[("a", "b")]).send());
        }
        if takes_page {
            replies.push(with(&hub, &token, &method, &format!("{filled}?colour=red")).send());
        }
        if path.contains('{') {
            let path = path.replace("{id}", "nobody").replace("{name}", "nobody").replace("{secret}", "none");
            if method != "PUT" {
                replies.push(with(&hub, &token, &method, &path).send().expect(404));
            }
        }
        for reply in replies {
            assert!((400..500).contains(&reply.status), "{method} {path}: {reply:?}");
            holds(&document, (&method, &documented), &reply);
        }
    }
    for (method, path, body) in bodies() {
        if method == "PUT" && path != "connections/{name}" {
            let documented = format!("/t/{{tenant}}/admin/{path}");
            let call = || with(&hub, &token, method, &things.fill(path)).json(&body);
            holds(&document, (method, &documented), &call().send().expect(428));
            holds(&document, (method, &documented), &call().header("if-match", "\"v0\"").send().expect(412));
        }
    }
}

#[test]
fn bodies_have_the_fields_that_the_document_says_and_need_those_that_it_requires() {
    let hub = Setup::new();
    let document = document(&hub);
    let things = Things::make(&hub);
    for (method, path, body) in bodies() {
        let operation = &document["paths"][format!("/t/{{tenant}}/admin/{path}")][method.to_lowercase()];
        let schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
        let schema = &document["components"]["schemas"][schema.rsplit('/').next().unwrap()];
        let settable =
            schema["properties"].as_object().unwrap().iter().filter(|(_, schema)| schema["readOnly"] != true);
        let properties: BTreeSet<&str> = settable.map(|(name, _)| name.as_str()).collect();
        // The refusal of an unknown field names the known ones.
        let unknown = call(&hub, &things, (method, path)).json(&json!({"no_such_field": 0})).send().expect(400);
        let known = super::detail(&unknown);
        let known = known.lines().next().unwrap();
        let known: BTreeSet<&str> = known.split("known here: ").nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        assert_eq!(properties, known, "{method} {path}");
        assert!(misfits(&document, schema, &body, "body").is_empty(), "{method} {path}");

        let required = schema["required"].as_array().unwrap();
        for name in &properties {
            let mut less = body.clone();
            less.as_object_mut().unwrap().remove(*name);
            let reply = call(&hub, &things, (method, path)).json(&less).send();
            let missed = reply.status == 400 && super::detail(&reply) == format!("`{name}` is missing");
            assert_eq!(missed, required.contains(&json!(name)), "{method} {path} without {name}: {reply:?}");
        }
    }
}

#[test]
fn public_documents_and_tokens_have_the_shape_that_the_document_says() {
    let hub = Setup::new();
    let document = document(&hub);
    let things = Things::make(&hub);
    for (documented, method) in documented(&document) {
        // Some endpoints need a token.
        let others = ["/admin/", "/ssf/", "/userinfo", "/register/", "/proxy/", "/log/", "/approvals/"];
        if method == "GET" && !others.iter().any(|other| documented.contains(other)) {
            let path = documented.replace("{tenant}", "main").replace("{id}", &things.resource);
            // The lowest status is that of the answer: 200, or the refusal where an endpoint can only refuse.
            let responses = document["paths"][&documented]["get"]["responses"].as_object().unwrap();
            let is_page = |answer: &Value| answer["content"].get("text/html").is_some();
            if responses.contains_key("303") || responses.values().any(is_page) {
                continue;
            }
            let status = responses.keys().filter_map(|status| status.parse().ok()).min().unwrap();
            holds(&document, ("GET", &documented), &hub.call("GET", &path).send().expect(status));
        }
    }
    holds(&document, ("GET", "/health"), &hub.call("GET", "/health").send().expect(200));
    hub.events();
    for (documented, path) in [
        ("checkpoint", "checkpoint"),
        ("key", "key"),
        ("consistency", "consistency?first=1"),
        ("consistency", "consistency"),
        ("tile/{tile}", "tile/0/000.p/1"),
        ("tile/{tile}", "tile/9/000"),
    ] {
        let reply = hub.call("GET", &format!("/t/main/log/{path}")).send();
        holds(&document, ("GET", &format!("/t/{{tenant}}/log/{documented}")), &reply);
    }
    let token = "/t/{tenant}/token";
    holds(&document, ("POST", token), &hub.token(&things.client, &[]).expect(200));
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    for (path, client) in [("introspect", &server), ("revoke", &things.client)] {
        let of_all = format!("/t/{{tenant}}/{path}");
        let post = || hub.call("POST", &format!("/t/main/{path}")).basic(client);
        for asked in [hub.access_token(&things.client, "mcp:read"), "x".to_owned()] {
            holds(&document, ("POST", &of_all), &post().form(&[("token", &asked)]).send().expect(200));
        }
        holds(&document, ("POST", &of_all), &post().form(&[]).send().expect(400));
        holds(&document, ("POST", &of_all), &hub.call("POST", &format!("/t/main/{path}")).form(&[]).send().expect(401));
    }
    holds(&document, ("POST", token), &hub.token(&things.client, &[("scope", "nothing")]).expect(400));
    holds(
        &document,
        ("POST", token),
        &hub.call("POST", "/t/main/token").form(&[("grant_type", "client_credentials")]).send(),
    );
}

#[test]
fn registrations_have_the_shape_that_the_document_says() {
    let hub = Setup::new();
    let document = document(&hub);
    crate::routes::client_documents::set_rules(&hub, json!({"dynamic": "open"}));
    let key = crate::support::Signer::new(writ::ports::Alg::Es256, 1);
    let (register, one) = ("/t/{tenant}/register", "/t/{tenant}/register/{id}");
    let mut body = json!({
        "client_name": "n", "redirect_uris": ["http://localhost/cb"], "client_uri": "https://app.example", "scope": "a",
        "token_endpoint_auth_method": "private_key_jwt", "jwks": key.jwks("k"), "token_endpoint_auth_signing_alg": "ES256",
        "dpop_bound_access_tokens": true,
    });
    let post = |body: &Value| hub.call("POST", "/t/main/register").json(body).send();
    let made = post(&body).expect(201);
    holds(&document, ("POST", register), &made);
    let secret = json!({"redirect_uris": ["https://app.example/cb"]});
    holds(&document, ("POST", register), &post(&secret).expect(201));
    holds(&document, ("POST", register), &post(&json!({})).expect(400));
    let made = made.json();
    let text = |name: &str| made[name].as_str().unwrap();
    let path = format!("/t/main/register/{}", text("client_id"));
    let call = |method: &str| hub.call(method, &path).bearer(text("registration_access_token"));
    holds(&document, ("GET", one), &call("GET").send().expect(200));
    body["client_id"] = made["client_id"].clone();
    holds(&document, ("PUT", one), &call("PUT").json(&body).send().expect(200));
    holds(&document, ("PUT", one), &call("PUT").json(&json!({})).send().expect(400));
    holds(&document, ("DELETE", one), &call("DELETE").send().expect(204));
    for method in ["GET", "PUT", "DELETE"] {
        holds(&document, (method, one), &call(method).send().expect(401));
    }
    let asked = hub.call("OPTIONS", "/t/main/register").send().expect(204);
    assert_eq!(asked.header("access-control-allow-methods"), Some("POST"));
}

#[test]
fn event_streams_have_the_shape_that_the_document_says() {
    let hub = Setup::new();
    let document = document(&hub);
    let resource = format!("{}/ssf", hub.issuer("main"));
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [resource]}));
    let token = hub.token(&server, &[]).access_token();
    let mut done = BTreeSet::new();
    let mut check = |method: &str, path: &str, more: &str, body: &Value| {
        let call = hub.call(method, &format!("/t/main/ssf/{}{more}", path.replace("{id}", "none")));
        holds(&document, (method, &format!("/t/{{tenant}}/ssf/{path}")), &call.send().expect(401));
        let id = more.trim_start_matches("?stream_id=");
        let call = hub.call(method, &format!("/t/main/ssf/{}{more}", path.replace("{id}", id).replace(more, "")));
        let reply = call.bearer(&token).json(body).send();
        assert!(reply.status < 300, "{method} {path}: {reply:?}");
        holds(&document, (method, &format!("/t/{{tenant}}/ssf/{path}")), &reply);
        done.insert((format!("/t/{{tenant}}/ssf/{path}"), method.to_owned()));
        reply
    };
    let made = check("POST", "streams", "", &json!({"description": "d", "events_requested": ["urn:x"]})).json();
    let id = made["stream_id"].as_str().unwrap();
    let query = format!("?stream_id={id}");
    check("GET", "streams", "", &json!({}));
    check("GET", "streams", &query, &json!({}));
    check("PATCH", "streams", "", &made);
    check("PUT", "streams", "", &made);
    check("POST", "streams/{id}/poll", &query, &json!({"maxEvents": 0, "ack": [], "returnImmediately": true}));
    check("POST", "status", "", &json!({"stream_id": id, "status": "paused", "reason": "r"}));
    check("GET", "status", &query, &json!({}));
    check("POST", "verify", "", &json!({"stream_id": id, "state": "s"}));
    check("DELETE", "streams", &query, &json!({}));
    let mut all = documented(&document);
    all.retain(|(path, _)| path.contains("/ssf/"));
    assert_eq!(done, all, "an operation was not tried");
}

#[test]
fn references_resolve_and_operation_ids_are_unique() {
    let hub = Setup::new();
    let document = document(&hub);
    let text = document.to_string();
    for name in text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(text.contains(&format!("#/components/schemas/{name}\"")), "{name} is not used");
    }
    let ids: Vec<&str> = text.split("\"operationId\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    assert_eq!(document["openapi"], "3.1.0");
}
