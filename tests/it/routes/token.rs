//! `POST /t/{tenant}/token`.

use crate::support::hub::{Call, ISSUER, RESOURCE, START, decode, permit};
use crate::support::keys::verifies;
use crate::support::{Credentials, Reply, Setup};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use writ::ports::Alg;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

fn reader(hub: &Setup) -> Credentials {
    hub.agent("reader", "mcp:read")
}

/// An agent without a ceiling of its own: policy alone decides.
fn unbounded(hub: &Setup, cedar: impl FnOnce(&Credentials) -> String) -> Credentials {
    hub.create_resource(json!({}));
    let client = hub.create_client(json!({"client_name": "unbounded"}));
    hub.put_policy("policy", &cedar(&client));
    client
}

#[track_caller]
fn scope(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["scope"].as_str().unwrap().to_owned()
}

#[track_caller]
fn refused(reply: &Reply, status: u16, error: &str) {
    assert_eq!((reply.status, reply.error().as_str()), (status, error), "{reply:?}");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert!(reply.json().get("access_token").is_none());
}

fn jwk(hub: &Setup, kid: &str) -> Value {
    let keys = hub.call("GET", "/t/main/jwks.json").send().json();
    keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid).expect("the key set has the `kid`").clone()
}

#[track_caller]
fn assert_signed(hub: &Setup, token: &str, alg: Alg) {
    let (header, _) = decode(token);
    assert_eq!(header["alg"], alg.as_str());
    let key = jwk(hub, header["kid"].as_str().unwrap());
    assert_eq!(key["alg"], alg.as_str());
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = writ::crypto::unb64(signature).unwrap();
    assert!(verifies(alg, &key.to_string(), input.as_bytes(), &signature));
}

fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

// ── The token ──

#[test]
fn a_token_is_an_rfc_9068_jwt_with_exactly_these_claims() {
    let hub = Setup::new();
    let client = reader(&hub);
    let reply = hub.token(&client, &[("resource", RESOURCE), ("scope", "mcp:read")]);
    assert_eq!(members(&reply.json()), ["access_token", "expires_in", "scope", "token_type"]);
    assert_eq!(reply.json()["token_type"], "Bearer");
    assert_eq!(reply.json()["expires_in"], 300);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("pragma"), Some("no-cache"));

    let token = reply.access_token();
    let (header, claims) = decode(&token);
    assert_eq!(members(&header), ["alg", "kid", "typ"]);
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(
        members(&claims),
        ["aud", "client_id", "exp", "iat", "iss", "jti", "scope", "status", "sub", "tenant"],
        "no claim more, none less"
    );
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["sub"], client.client_id.as_str());
    assert_eq!(claims["client_id"], client.client_id.as_str());
    assert_eq!(claims["aud"], RESOURCE);
    assert_eq!(claims["scope"], "mcp:read");
    assert_eq!(claims["tenant"], "main");
    assert_eq!(claims["iat"], START);
    assert_eq!(claims["exp"], START + 300);
    assert_signed(&hub, &token, Alg::Es256);
}

#[test]
fn no_two_tokens_have_one_jti() {
    let hub = Setup::new();
    let client = reader(&hub);
    let mut seen: Vec<_> =
        (0..20).map(|_| decode(&hub.access_token(&client, "mcp:read")).1["jti"].to_string()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 20);
}

#[test]
fn a_resource_that_asks_for_rs256_gets_it() {
    let hub = Setup::new();
    hub.create_resource(json!({"token_signing_alg": "RS256"}));
    let client = reader(&hub);
    assert_signed(&hub, &hub.access_token(&client, "mcp:read"), Alg::Rs256);
}

#[test]
fn a_token_lives_as_long_as_its_resource_says_and_a_ttl_only_shortens_it() {
    let hub = Setup::new();
    hub.create_resource(json!({"access_token_lifetime": 600}));
    let client = reader(&hub);
    let lifetime = || {
        let reply = hub.token(&client, &[]);
        let (_, claims) = decode(&reply.access_token());
        assert_eq!(
            claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
            reply.json()["expires_in"].as_u64().unwrap()
        );
        reply.json()["expires_in"].clone()
    };
    assert_eq!(lifetime(), 600);
    let plain = permit(&client.client_id, RESOURCE);
    hub.put_policy("reader", &format!("@ttl(\"60\")\n{plain}"));
    assert_eq!(lifetime(), 60);
    hub.put_policy("reader", &format!("@ttl(\"6000\")\n{plain}"));
    assert_eq!(lifetime(), 600);
}

// ── Client authentication ──

fn basic_header(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn basic_credentials_count_form_encoded_and_raw_and_whatever_the_case_of_the_scheme() {
    let hub = Setup::new();
    let client = reader(&hub);
    let (id, secret) = (&client.client_id, &client.client_secret);
    let pairs = [
        format!("{id}:{secret}"),
        format!("{}:{}", percent_encoded(id), percent_encoded(secret)),
        format!("{id}:{}", percent_encoded(secret)),
    ];
    for pair in pairs {
        for scheme in ["Basic", "basic", "BASIC"] {
            let header = basic_header(&pair).replacen("Basic", scheme, 1);
            let reply = hub.call("POST", "/t/main/token").form(&[GRANT]).header("authorization", &header).send();
            assert_eq!(scope(&reply), "mcp:read", "{scheme} {pair}");
        }
    }
}

fn posting(hub: &Setup) -> Credentials {
    hub.create_client(json!({"token_endpoint_auth_method": "client_secret_post", "allowed_resources": [RESOURCE]}))
}

#[test]
fn a_client_authenticates_by_its_registered_method_and_no_other() {
    let hub = Setup::new();
    let basic = reader(&hub);
    let post = posting(&hub);
    hub.put_policy("post", &permit(&post.client_id, RESOURCE));
    let in_form = |client: &Credentials| {
        let form = [GRANT, ("client_id", &*client.client_id), ("client_secret", &*client.client_secret)];
        hub.call("POST", "/t/main/token").form(&form).send()
    };
    in_form(&post).expect(200);
    hub.token(&basic, &[]).expect(200);
    // One secret, sent in the other way: it is the same proof.
    in_form(&basic).expect(200);
    hub.token(&post, &[]).expect(200);
    hub.db
        .execute("UPDATE clients SET metadata = json_set(metadata, '$.token_endpoint_auth_method', 'private_key_jwt')");
    hub.restart();
    refused(&in_form(&basic), 401, "invalid_client");
    refused(&hub.token(&post, &[]), 401, "invalid_client");
}

#[test]
fn two_mechanisms_in_one_request_are_refused() {
    let hub = Setup::new();
    let client = reader(&hub);
    let with = |more: &[(&str, &str)]| hub.token(&client, more);
    refused(
        &with(&[("client_id", &client.client_id), ("client_secret", &client.client_secret)]),
        400,
        "invalid_request",
    );
    refused(&with(&[("client_secret", "anything")]), 400, "invalid_request");
    refused(&with(&[("client_id", "another")]), 400, "invalid_request");
    with(&[("client_id", &client.client_id)]).expect(200);
}

#[test]
fn whatever_is_wrong_with_the_credentials_the_answer_is_the_same_and_names_the_scheme() {
    let hub = Setup::new();
    let client = reader(&hub);
    let other = posting(&hub);
    let forged = |id: &str, secret: &str| Credentials { client_id: id.to_owned(), client_secret: secret.to_owned() };
    let mut replies = vec![
        hub.token(&forged("client_nobody", &client.client_secret), &[]),
        hub.token(&forged(&client.client_id, &other.client_secret), &[]),
        hub.token(&forged(&client.client_id, "no secret of ours"), &[]),
        hub.token(&forged(&client.client_id, &client.client_secret[..20]), &[]),
    ];
    hub.db.execute("UPDATE client_secrets SET expires_at = 1767700800; UPDATE tenants SET epoch = epoch + 1");
    hub.restart();
    replies.push(hub.token(&client, &[]));
    hub.db.execute("UPDATE client_secrets SET expires_at = NULL; UPDATE clients SET status = 'suspended'");
    hub.restart();
    // A right secret learns what else is wrong.
    let suspended = hub.token(&client, &[]);
    refused(&suspended, 401, "invalid_client");
    assert_ne!(suspended, replies[0]);
    for reply in &replies {
        refused(reply, 401, "invalid_client");
        assert_eq!(reply.header("www-authenticate"), Some(&*format!("Basic realm=\"{ISSUER}\"")));
        assert_eq!(reply, &replies[0]);
    }
}

#[test]
fn a_secret_counts_until_it_expires_and_not_a_second_longer_while_another_one_takes_over() {
    let hub = Setup::new();
    let client = reader(&hub);
    let donor = posting(&hub);
    let (id, expiry) = (&client.client_id, START + 100);
    hub.db.execute(&format!(
        "UPDATE client_secrets SET expires_at = {expiry} WHERE client = '{id}'; INSERT INTO client_secrets \
         SELECT tenant, '{id}', 'second', digest, created_at, NULL FROM client_secrets WHERE client = '{}'",
        donor.client_id
    ));
    hub.restart();
    let second = Credentials { client_secret: donor.client_secret, ..client.clone() };
    hub.clock.set_seconds(START + 99);
    hub.token(&client, &[]).expect(200);
    hub.token(&second, &[]).expect(200);
    hub.clock.set_seconds(START + 100);
    refused(&hub.token(&client, &[]), 401, "invalid_client");
    hub.token(&second, &[]).expect(200);
}

#[test]
fn malformed_authorization_is_a_401_with_a_challenge() {
    let hub = Setup::new();
    for header in ["Basic", "Basic !!!", "Basic aWQ=", "Bearer abc", "", "Digest x", &basic_header(":secret")] {
        let reply = hub.call("POST", "/t/main/token").form(&[GRANT]).header("authorization", header).send();
        refused(&reply, 401, "invalid_client");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Basic realm="), "{header}");
    }
    refused(&hub.call("POST", "/t/main/token").form(&[GRANT]).send(), 401, "invalid_client");
    refused(&hub.call("POST", "/t/main/token").form(&[GRANT, ("client_id", "x")]).send(), 401, "invalid_client");
}

// ── The form ──

#[test]
fn malformed_forms_get_their_rfc_error() {
    let hub = Setup::new();
    let client = reader(&hub);
    let call = || hub.call("POST", "/t/main/token").basic(&client);
    let invalid = |call: Call<'_>| refused(&call.send(), 400, "invalid_request");
    invalid(call().json(&json!({"grant_type": "client_credentials"})));
    invalid(call().body("grant_type=client_credentials"));
    invalid(call().form(&[]));
    invalid(call().form(&[("grant_type", "")]));
    invalid(call().form(&[GRANT, GRANT]));
    invalid(call().form(&[GRANT, ("scope", "a"), ("scope", "b")]));
    invalid(call().form(&[]).body(&b"grant_type=client_credentials&scope=%ff"[..]));
    invalid(call().form(&[]).body(&b"grant_type=client_credentials&scope=\xff"[..]));
    let many: Vec<String> = (0..70).map(|n| format!("p{n}")).collect();
    invalid(call().form(&many.iter().map(|name| (name.as_str(), "1")).collect::<Vec<_>>()));
    refused(&call().form(&[("grant_type", "password")]).send(), 400, "unsupported_grant_type");
    refused(&call().form(&[("grant_type", "Client_Credentials")]).send(), 400, "unsupported_grant_type");
}

#[test]
fn an_unknown_parameter_is_ignored_and_an_empty_one_counts_as_absent() {
    let hub = Setup::new();
    let client = reader(&hub);
    let reply = hub.token(&client, &[("unknown", "x"), ("scope", ""), ("resource", "")]);
    assert_eq!(scope(&reply), "mcp:read");
}

#[test]
fn a_charset_on_the_media_type_is_fine() {
    let hub = Setup::new();
    let client = reader(&hub);
    let media = "Application/X-WWW-Form-Urlencoded; charset=UTF-8";
    hub.token_call(&client, &[]).header("content-type", media).send().expect(200);
}

#[test]
fn a_client_without_the_grant_may_not_use_it() {
    let hub = Setup::new();
    let client = reader(&hub);
    let metadata = format!(
        "UPDATE clients SET metadata = json_set(metadata, '$.grant_types', json('[]')) WHERE id = '{}'",
        client.client_id
    );
    hub.db.execute(&metadata);
    hub.restart();
    refused(&hub.token(&client, &[]), 400, "unauthorized_client");
}

#[test]
fn only_post_is_answered_and_the_others_are_told_so() {
    let hub = Setup::new();
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "BREW"] {
        let reply = hub.call(method, "/t/main/token").send();
        refused(&reply, 405, "invalid_request");
        assert_eq!(reply.header("allow"), Some("POST"));
    }
}

#[test]
fn a_page_of_another_origin_may_ask_for_a_token() {
    let hub = Setup::new();
    let reply = hub.call("OPTIONS", "/t/main/token").send().expect(204);
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(reply.header("access-control-allow-methods"), Some("POST"));
    assert!(reply.header("access-control-allow-headers").unwrap().contains("Authorization"));
    let client = reader(&hub);
    assert_eq!(hub.token(&client, &[]).header("access-control-allow-origin"), Some("*"));
    assert!(hub.token(&client, &[]).header("access-control-allow-credentials").is_none());
}

// ── Scope ──

#[test]
fn scope_is_asked_intersected_with_registered_ceiling_and_policy_and_the_answer_says_what_is_left() {
    let hub = Setup::new();
    let client = unbounded(&hub, |client| permit(&client.client_id, RESOURCE));
    let ask = |asked: &str| hub.token(&client, &[("resource", RESOURCE), ("scope", asked)]);
    assert_eq!(scope(&ask("mcp:write mcp:read")), "mcp:write mcp:read");
    assert_eq!(scope(&ask("mcp:read unknown mcp:read")), "mcp:read");
    assert_eq!(
        scope(&hub.token(&client, &[("resource", RESOURCE)])),
        "mcp:read mcp:write",
        "none asked: all there are"
    );
    refused(&ask("unknown"), 400, "invalid_scope");
    refused(&ask("MCP:READ"), 400, "invalid_scope");

    let id = &client.client_id;
    hub.put_policy("policy", &format!(
        r#"permit(principal == Client::"{id}", action == Action::"issue", resource in Resource::"{RESOURCE}") when {{ resource.name == "mcp:write" }};"#
    ));
    assert_eq!(scope(&ask("mcp:read mcp:write")), "mcp:write");
    refused(&ask("mcp:read"), 400, "invalid_scope");

    let bounded = hub.agent("bounded", "mcp:read elsewhere");
    assert_eq!(scope(&hub.token(&bounded, &[("scope", "mcp:read mcp:write")])), "mcp:read");
    refused(&hub.token(&bounded, &[("scope", "mcp:write")]), 400, "invalid_scope");
    refused(&hub.token(&bounded, &[("scope", "elsewhere")]), 400, "invalid_scope");
}

#[test]
fn a_malformed_or_huge_scope_is_refused() {
    let hub = Setup::new();
    let client = reader(&hub);
    for bad in ["mcp:read\"", "mcp:read\\", "mcp:réad", "mcp:read\t", &"a ".repeat(3000)] {
        refused(&hub.token(&client, &[("scope", bad)]), 400, "invalid_scope");
    }
}

// ── Resource ──

#[test]
fn a_resource_may_be_spelt_as_clients_do_but_the_audience_is_the_registered_string() {
    let hub = Setup::new();
    let client = reader(&hub);
    for spelling in [RESOURCE, "https://mcp.example/mcp/", "HTTPS://MCP.EXAMPLE/mcp", "https://mcp.example:443/mcp"] {
        let token = hub.token(&client, &[("resource", spelling)]).access_token();
        assert_eq!(decode(&token).1["aud"], RESOURCE, "{spelling}");
    }
    for another in
        ["https://mcp.example/MCP", "http://mcp.example/mcp", "https://mcp.example/mcp?x", "https://mcp.example"]
    {
        refused(&hub.token(&client, &[("resource", another)]), 400, "invalid_target");
    }
}

#[test]
fn malformed_unknown_several_and_missing_resources_are_invalid_targets() {
    let hub = Setup::new();
    let client = reader(&hub);
    for bad in [
        "mcp",
        "/mcp",
        "https://mcp.example/mcp#",
        "https://mcp.example/mcp#f",
        "urn:mcp",
        "https://u:p@mcp.example/mcp",
    ] {
        refused(&hub.token(&client, &[("resource", bad)]), 400, "invalid_target");
    }
    refused(&hub.token(&client, &[("resource", "https://unknown.example")]), 400, "invalid_target");
    refused(&hub.token(&client, &[("resource", RESOURCE), ("resource", "https://b.example")]), 400, "invalid_target");
    let free = hub.create_client(json!({"client_name": "free"}));
    refused(&hub.token(&free, &[]), 400, "invalid_target");
}

#[test]
fn a_resource_that_the_client_may_not_ask_for_looks_like_an_unknown_one() {
    let hub = Setup::new();
    let client = reader(&hub);
    let second = "https://second.example/mcp";
    hub.create_resource(json!({"resource": second}));
    let known = hub.token(&client, &[("resource", second)]);
    refused(&known, 400, "invalid_target");
    assert_eq!(known, hub.token(&client, &[("resource", "https://nowhere.example/mcp")]));
}

#[test]
fn an_agent_gets_no_admin_token_unless_it_is_registered_for_the_admin_api() {
    let hub = Setup::new();
    let admin = format!("{ISSUER}/admin");
    let agent = reader(&hub);
    refused(&hub.token(&agent, &[("resource", &admin)]), 400, "invalid_target");
    let free = hub.create_client(json!({"client_name": "free"}));
    refused(&hub.token(&free, &[("resource", &admin), ("scope", "admin")]), 400, "invalid_target");
}

// ── Policy ──

#[test]
fn without_a_policy_nothing_is_issued_and_the_refusal_names_a_decision_that_can_be_looked_up() {
    let hub = Setup::new();
    let client = reader(&hub);
    hub.put_policy("reader", &permit("client_nobody", RESOURCE));
    let reply = hub.token(&client, &[]);
    refused(&reply, 400, "invalid_scope");
    let decision = reply.json()["decision"].as_str().unwrap().to_owned();
    let event =
        hub.events().into_iter().find(|event| event["id"] == decision.as_str()).expect("the decision is an event");
    assert_eq!(event["type"], "token.refused");
    assert_eq!(event["client"], client.client_id.as_str());
    assert_eq!(event["reason"], "PolicyDenied");
}

#[test]
fn a_policy_by_address_permits_from_that_range_only_and_not_from_nowhere() {
    let hub = Setup::new();
    let client = unbounded(&hub, |client| {
        permit(&client.client_id, RESOURCE)
            .replace(';', r#" when { context has ip && context.ip.isInRange(ip("10.0.0.0/8")) };"#)
    });
    let from = |ip: &str| hub.token_call(&client, &[("resource", RESOURCE)]).ip(ip).send();
    from("10.255.255.255").expect(200);
    from("::ffff:10.1.2.3").expect(200);
    for outside in ["9.255.255.255", "11.0.0.0", "::ffff:11.0.0.1", "2001:db8::1"] {
        refused(&from(outside), 400, "invalid_scope");
    }
    refused(&hub.token(&client, &[("resource", RESOURCE)]), 400, "invalid_scope");
}

#[test]
fn a_policy_by_hour_follows_the_clocks_of_the_tenants_zone_across_daylight_saving() {
    let hub = Setup::new();
    let client = unbounded(&hub, |client| {
        permit(&client.client_id, RESOURCE).replace(';', " when { context.hour >= 2 && context.hour < 4 };")
    });
    hub.db.execute("UPDATE tenants SET zone = 'Europe/Berlin', epoch = epoch + 1");
    hub.restart();
    let day = 24 * 3600;
    let permitted = |seconds: u64| {
        hub.clock.set_seconds(seconds);
        hub.token(&client, &[("resource", RESOURCE)]).status == 200
    };
    // 2026-03-29: at 01:00 UTC the clocks of Berlin go from 02:00 to 03:00.
    let spring = 1_774_742_400;
    assert!(!permitted(spring - day + 1800), "01:30 in winter");
    assert!(permitted(spring - day + 5400), "02:30 in winter");
    assert!(!permitted(spring + 1800), "01:30, before the change");
    assert!(permitted(spring + 5400), "03:30, after the change");
    assert!(!permitted(spring + 2 * 3600), "04:00 in summer");
    assert!(permitted(spring + day + 1800), "02:30 in summer");
    // 2026-10-25: at 01:00 UTC they go from 03:00 back to 02:00, so the hour comes twice.
    let autumn = 1_792_886_400;
    assert!(!permitted(autumn - 1800), "01:30 in summer");
    assert!(permitted(autumn + 1800) && permitted(autumn + 5400), "02:30, twice");
    assert!(permitted(autumn + 2 * 3600 + 1800), "03:30 in winter");
    assert!(!permitted(autumn + day + 1800), "01:30 in winter");
}

#[test]
fn a_policy_holds_for_this_agent_this_range_these_hours_and_these_scopes() {
    let hub = Setup::new();
    let client = unbounded(&hub, |client| {
        format!(
            r#"permit(principal == Client::"{}", action == Action::"issue", resource in Resource::"{RESOURCE}") when {{
                ["mcp:read"].contains(resource.name) && context has ip && context.ip.isInRange(ip("10.0.0.0/8"))
                && context.hour >= 12 && context.hour < 14 }};"#,
            client.client_id
        )
    });
    let other = hub.create_client(json!({"client_name": "other"}));
    let ask = |client: &Credentials, ip: &str| hub.token_call(client, &[("resource", RESOURCE)]).ip(ip).send();
    assert_eq!(scope(&ask(&client, "10.0.0.1")), "mcp:read");
    refused(&ask(&other, "10.0.0.1"), 400, "invalid_scope");
    refused(&ask(&client, "192.0.2.1"), 400, "invalid_scope");
    hub.clock.set_seconds(START + 2 * 3600);
    refused(&ask(&client, "10.0.0.1"), 400, "invalid_scope");
}

#[test]
fn a_policy_change_bites_at_once_where_it_was_made_and_elsewhere_within_the_freshness_bound() {
    let hub = Setup::new();
    let client = reader(&hub);
    let far = hub.isolate();
    let elsewhere = || hub.token_call(&client, &[]).on(&far).send().status;
    assert_eq!(elsewhere(), 200);
    hub.put_policy("reader", &permit("client_nobody", RESOURCE));
    assert_eq!(hub.token(&client, &[]).status, 400, "where it was made");
    hub.clock.advance_millis(4_999);
    assert_eq!(elsewhere(), 200, "within the bound the isolate asks nobody");
    hub.clock.advance_millis(1);
    assert_eq!(elsewhere(), 400, "the bound is over");
}

#[test]
fn a_suspended_client_gets_no_token_anywhere_once_the_freshness_bound_is_over() {
    let hub = Setup::new();
    let client = reader(&hub);
    let far = hub.isolate();
    hub.token_call(&client, &[]).on(&far).send().expect(200);
    hub.admin("POST", &format!("clients/{}/suspend", client.client_id)).send();
    refused(&hub.token(&client, &[]), 401, "invalid_client");
    hub.clock.advance(5);
    refused(&hub.token_call(&client, &[]).on(&far).send(), 401, "invalid_client");
}

#[test]
fn with_a_freshness_bound_of_zero_every_change_bites_everywhere_at_once() {
    let hub = Setup::with(&[("FRESHNESS_SECONDS", "0")]);
    let client = reader(&hub);
    let far = hub.isolate();
    hub.token_call(&client, &[]).on(&far).send().expect(200);
    hub.put_policy("reader", &permit("client_nobody", RESOURCE));
    refused(&hub.token_call(&client, &[]).on(&far).send(), 400, "invalid_scope");
}

// ── Tenants ──

#[test]
fn two_tenants_see_nothing_of_each_other() {
    let hub = Setup::new();
    let client = reader(&hub);
    hub.create_tenant("second");
    let there = |client: &Credentials, more: &[(&str, &str)]| {
        let form: Vec<_> = [GRANT].iter().chain(more).copied().collect();
        hub.call("POST", "/t/second/token").basic(client).form(&form).send()
    };
    refused(&there(&client, &[]), 401, "invalid_client");

    let local = hub.create_client_of("second", json!({"client_name": "local"}));
    refused(&there(&local, &[("resource", RESOURCE)]), 400, "invalid_target");
    refused(&hub.token(&local, &[]), 401, "invalid_client");

    // The same URI may be registered in both; policy and audience are each tenant's own.
    hub.create_resource_of("second", json!({}));
    refused(&there(&local, &[("resource", RESOURCE)]), 400, "invalid_scope");
    hub.put_policy_of("second", "local", &permit(&local.client_id, RESOURCE));
    let token = there(&local, &[("resource", RESOURCE)]).access_token();
    let (header, claims) = decode(&token);
    assert_eq!(claims["iss"], hub.issuer("second"));
    assert_eq!(claims["tenant"], "second");

    let kids = |tenant: &str| {
        let keys = hub.call("GET", &format!("/t/{tenant}/jwks.json")).send().json();
        keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect::<Vec<_>>()
    };
    assert!(kids("second").contains(&header["kid"]));
    assert!(kids("main").iter().all(|kid| !kids("second").contains(kid)));

    // An administrator of one is nobody at the other.
    let admin = hub.admin_token_of("second");
    let reply = hub.call("GET", "/t/main/admin/clients").bearer(&admin).send();
    assert_eq!((reply.status, reply.error().as_str()), (401, "invalid_token"), "{reply:?}");

    hub.events();
    for tenant in ["main", "second"] {
        let events = hub.admin_of(tenant, "GET", "events").send().expect(200).json();
        let items = events["items"].as_array().unwrap();
        assert!(!items.is_empty() && items.iter().all(|event| event["tenant"] == tenant));
        let clients = hub.admin_of(tenant, "GET", "clients").send().expect(200).text;
        assert_eq!(clients.contains(&local.client_id), tenant == "second");
        assert_eq!(clients.contains(&client.client_id), tenant == "main");
    }
}

#[test]
fn of_two_hundred_requests_of_two_tenants_at_once_each_gets_its_own_issuer_tenant_and_key() {
    let hub = Setup::new();
    hub.create_tenant("second");
    let tenants = ["main", "second"];
    let clients = tenants.map(|tenant| {
        hub.create_resource_of(tenant, json!({}));
        let client = hub.create_client_of(tenant, json!({"allowed_resources": [RESOURCE]}));
        hub.put_policy_of(tenant, "own", &permit(&client.client_id, RESOURCE));
        client
    });
    let kids = tenants.map(|tenant| {
        let keys = hub.call("GET", &format!("/t/{tenant}/jwks.json")).send().expect(200).json();
        keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect::<Vec<_>>()
    });
    for seed in 0..3 {
        // One isolate that knows both, and one that knows neither.
        hub.clock.advance(6);
        let isolates = [hub.isolate(), hub.isolate()];
        hub.token_call(&clients[0], &[]).on(&isolates[0]).send().expect(200);
        let calls = (0..200).map(|n| {
            let call = hub.call("POST", &format!("/t/{}/token", tenants[n % 2])).on(&isolates[n / 2 % 2]);
            call.basic(&clients[n % 2]).form(&[GRANT]).future()
        });
        for (n, reply) in hub.together(seed, calls.collect()).into_iter().enumerate() {
            let tenant = tenants[n % 2];
            let (header, claims) = decode(&reply.access_token());
            let about = ["iss", "tenant", "client_id", "aud"].map(|name| claims[name].as_str().unwrap().to_owned());
            let client = clients[n % 2].client_id.clone();
            assert_eq!(about, [hub.issuer(tenant), tenant.to_owned(), client, RESOURCE.to_owned()], "{seed} {n}");
            assert!(kids[n % 2].contains(&header["kid"]) && !kids[(n + 1) % 2].contains(&header["kid"]), "{seed} {n}");
        }
    }
}

#[test]
fn a_suspended_tenant_refuses_everything_and_comes_back() {
    let hub = Setup::new();
    let client = reader(&hub);
    let status = |status: &str| {
        hub.db.execute(&format!("UPDATE tenants SET status = '{status}', epoch = epoch + 1"));
        hub.clock.advance(5);
    };
    status("suspended");
    refused(&hub.token(&client, &[]), 403, "access_denied");
    refused(&hub.call("GET", "/t/main/jwks.json").send(), 403, "access_denied");
    status("active");
    hub.token(&client, &[]).expect(200);
}

// ── Events ──

#[test]
fn each_token_and_each_refusal_is_one_event_that_tells_who_what_where_and_why() {
    let hub = Setup::new();
    let client = reader(&hub);
    hub.events();
    let before = hub.events().len();
    let token = hub.token_call(&client, &[("scope", "mcp:read mcp:write")]).ip("192.0.2.7").send().access_token();
    hub.token(&client, &[("scope", "mcp:write")]).expect(400);
    assert_eq!(hub.events().len(), before + 2);

    let issued = hub.events_of("token.issued");
    let issued = issued.iter().find(|event| event["client"] == client.client_id.as_str()).unwrap();
    let (_, claims) = decode(&token);
    let jti = writ::crypto::sha256(claims["jti"].as_str().unwrap()).to_text();
    let expected = json!({
        "tenant": "main", "subject": client.client_id, "grant_type": "client_credentials",
        "auth_method": "client_secret_basic", "resource": RESOURCE, "scope_asked": "mcp:read mcp:write",
        "scope_given": "mcp:read", "ip": "192.0.2.7", "policies": ["reader"], "jti_hash": jti, "expires_at": START + 300,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&issued[name], value, "{name}");
    }
    assert!(!issued["policy_version"].as_str().unwrap().is_empty());
    assert_eq!(issued["decision"], issued["id"]);

    let refused = hub.events_of("token.refused");
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["reason"], "ScopeBeyondCeiling");
    assert_eq!(refused[0]["client"], client.client_id.as_str());

    // What policy has denied says under which policies.
    hub.put_policy("reader", "forbid(principal, action, resource) when { resource.name == \"mcp:read\" };");
    hub.token(&client, &[]).expect(400);
    let denied = hub.events_of("token.refused").pop().unwrap();
    assert_eq!((&denied["reason"], &denied["policies"]), (&json!("PolicyDenied"), &json!(["reader"])));
    assert!(denied["policy_version"].as_str().is_some_and(|version| !version.is_empty()), "{denied}");
    assert_ne!(denied["policy_version"], issued["policy_version"]);
}

#[test]
fn a_policy_that_cannot_be_evaluated_denies_and_its_event_names_it() {
    let hub = Setup::new();
    let agent = reader(&hub);
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
    let service = json!({"name": "Search", "proxy": {"base_url": "https://api.search.example"}});
    let config = json!({"service": service, "may_be_leased": true});
    let body = json!({"kind": "api_key", "config": config, "secret": {"api_key": "sk-canary"}});
    hub.admin("PUT", "connections/search").json(&body).send().expect(201);
    hub.put_policy("lease", r#"permit(principal, action == Action::"lease", resource);"#);
    let token = hub.access_token(&agent, "mcp:read");
    let lease = || {
        let call = hub.call("POST", "/t/main/connections/search/token").basic(&server);
        call.form(&[("subject_token", &token)]).send()
    };
    lease().expect(200);
    let head = |action: &str| format!(r#"principal == Client::"{}", action == Action::"{action}""#, agent.client_id);
    let bad = |action: &str| {
        let overflow = "context.now * 9223372036854775807 > 0";
        hub.put_policy("bad", &format!("forbid({}, resource) when {{ {overflow} }};", head(action)));
    };
    let told = |kind: &str, reason: &str| {
        let event = hub.events_of(kind).pop().unwrap();
        assert_eq!((&event["reason"], &event["policy_errors"]), (&json!(reason), &json!(["bad"])), "{event}");
        assert!(event["policy_version"].as_str().is_some_and(|version| !version.is_empty()), "{event}");
        assert_eq!(event["decision"], event["id"]);
    };
    bad("lease");
    hub.clock.advance(60);
    lease().expect(403);
    told("lease.refused", "LeaseDenied");
    bad("issue");
    hub.token(&agent, &[]).expect(400);
    told("token.refused", "PolicyDenied");
}

#[test]
fn no_secret_and_no_token_is_in_any_row_value_message_or_log_line() {
    let hub = Setup::new();
    let client = reader(&hub);
    let token = hub.access_token(&client, "mcp:read");
    let wrong = Credentials { client_secret: "writ_cs_canary".to_owned(), ..client.clone() };
    hub.token(&wrong, &[]).expect(401);
    hub.token(&client, &[("scope", "canary-scope")]).expect(400);
    let basic = STANDARD.encode(format!("{}:{}", client.client_id, client.client_secret));
    hub.events();
    let dump = hub.dump_at_rest();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    for secret in [&*client.client_secret, "writ_cs_canary", &token, signed, signature, &basic] {
        assert!(!dump.contains(secret), "{secret}");
    }
    assert!(dump.contains(&client.client_id), "the dump does hold what it should");
}
