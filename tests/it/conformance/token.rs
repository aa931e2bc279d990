//! The token endpoint.

use super::hub::{Hub, unique};
use crate::support::hub::decode;
use crate::support::keys::verifies;
use crate::support::{Credentials, Reply};
use serde_json::json;
use writ::crypto::unb64;
use writ::ports::Alg;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

#[track_caller]
fn refused(reply: &Reply, status: u16, error: &str) {
    assert_eq!((reply.status, reply.error().as_str()), (status, error), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let body = reply.json();
    let known = ["error", "error_description", "decision"];
    assert!(body.as_object().unwrap().keys().all(|name| known.contains(&name.as_str())), "{body}");
    let description = body["error_description"].as_str().unwrap();
    assert!(description.bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)), "{description}");
}

#[track_caller]
fn assert_signed(hub: &Hub, token: &str, alg: Alg) {
    let (header, _) = decode(token);
    assert_eq!(header["alg"], alg.as_str());
    let set = hub.get("/t/main/jwks.json").expect(200).json();
    let key =
        set["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).expect("the key is published");
    assert_eq!(key["alg"], alg.as_str());
    let (input, signature) = token.rsplit_once('.').unwrap();
    assert!(verifies(alg, &key.to_string(), input.as_bytes(), &unb64(signature).unwrap()));
}

#[test]
fn a_token_response_has_its_members_and_is_not_cached() {
    let hub = Hub::open();
    let reply = hub.agents_token(&[]).expect(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("pragma"), Some("no-cache"));
    let body = reply.json();
    assert_eq!(body["token_type"], "Bearer");
    assert!(body["expires_in"].as_u64().unwrap() > 0);
    assert_eq!(body["scope"], hub.agent.scope);
    assert!(body.get("refresh_token").is_none(), "RFC 6749 §4.4.3");
}

#[test]
fn an_access_token_is_an_rfc_9068_jwt() {
    let hub = Hub::open();
    let reply = hub.agents_token(&[]).expect(200);
    let (header, claims) = decode(&reply.access_token());
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(claims["iss"], hub.issuer);
    assert_eq!(claims["aud"], hub.resource);
    assert_eq!(claims["sub"], hub.agent.client.client_id);
    assert_eq!(claims["client_id"], hub.agent.client.client_id);
    assert_eq!(claims["scope"], hub.agent.scope);
    assert!(!claims["jti"].as_str().unwrap().is_empty());
    let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(reply.json()["expires_in"], lifetime);
    let (_, again) = decode(&hub.agents_token(&[]).access_token());
    assert_ne!(claims["jti"], again["jti"]);
}

#[test]
fn a_signature_verifies_with_the_published_key_of_its_kid() {
    let hub = Hub::open();
    assert_signed(&hub, &hub.agents_token(&[]).access_token(), Alg::Es256);
}

#[test]
fn a_new_resource_gets_tokens_for_itself_in_the_algorithm_and_with_the_lifetime_that_it_asks_for() {
    let hub = Hub::open();
    let uri = format!("https://{}.conformance.example/mcp", unique());
    let scopes = json!([{"name": "read", "description": "Read"}, {"name": "write", "description": "Write"}]);
    let body = json!({
        "resource": uri, "name": "Conformance", "scopes": scopes, "token_signing_alg": "RS256", "access_token_lifetime": 42,
    });
    let _resource = hub.make("resources", &body, "id");
    let (client, _policy) = hub.agent_for(&uri, &json!({}));
    let ask = |form: &[(&str, &str)]| hub.token(&client.credentials(), form);
    let token =
        hub.within_the_bound("a token for the new resource", || Some(ask(&[])).filter(|reply| reply.status == 200));
    assert_eq!((&token.json()["expires_in"], &token.json()["scope"]), (&json!(42), &json!("read write")));
    assert_signed(&hub, &token.access_token(), Alg::Rs256);
    assert_eq!(ask(&[("scope", "write unknown")]).json()["scope"], "write");
    for spelling in [format!("{uri}/"), uri.replacen("https", "HTTPS", 1), uri.replacen(".example", ".example:443", 1)]
    {
        let token = ask(&[("resource", &spelling)]).access_token();
        assert_eq!(decode(&token).1["aud"], uri, "{spelling}");
    }
}

#[test]
fn a_secret_works_in_the_form_and_in_the_header() {
    let hub = Hub::open();
    let (client, _policy) = hub.agent_for(&hub.resource, &json!({"token_endpoint_auth_method": "client_secret_post"}));
    let post = |client: &Credentials| {
        let form = [GRANT, ("client_id", &*client.client_id), ("client_secret", &*client.client_secret)];
        hub.ask("POST", "/t/main/token").form(&form).send()
    };
    hub.within_the_bound("a token", || (post(&client.credentials()).status == 200).then_some(()));
    hub.token(&client.credentials(), &[]).expect(200);
    assert_ne!(post(&hub.agent.client).status, 401);
}

#[test]
fn basic_credentials_may_be_form_encoded() {
    let hub = Hub::open();
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let Credentials { client_id, client_secret } = &hub.agent.client;
    let encoded = Credentials { client_id: encode(client_id), client_secret: encode(client_secret) };
    hub.token(&encoded, &[("resource", &hub.resource)]).expect(200);
}

#[test]
fn failed_client_authentication_is_one_answer_with_a_challenge() {
    let hub = Hub::open();
    let Credentials { client_id, client_secret } = &hub.agent.client;
    let client = |id: &str, secret: &str| Credentials { client_id: id.to_owned(), client_secret: secret.to_owned() };
    let replies = [
        hub.token(&client("client_nobody", client_secret), &[]),
        hub.token(&client(client_id, "wrong"), &[]),
        hub.token(&client(client_id, &hub.server.client_secret), &[]),
    ];
    for reply in &replies {
        refused(reply, 401, "invalid_client");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Basic realm="));
        assert_eq!(reply.text, replies[0].text);
    }
    let nobody = hub.ask("POST", "/t/main/token").form(&[GRANT]).send();
    refused(&nobody, 401, "invalid_client");
    let malformed = hub.ask("POST", "/t/main/token").form(&[GRANT]).header("authorization", "Basic ???").send();
    refused(&malformed, 401, "invalid_client");
    assert!(malformed.header("www-authenticate").unwrap().starts_with("Basic realm="));
}

#[test]
fn two_authentication_mechanisms_in_one_request_are_refused() {
    let hub = Hub::open();
    let Credentials { client_id, client_secret } = &hub.agent.client;
    refused(&hub.agents_token(&[("client_id", client_id), ("client_secret", client_secret)]), 400, "invalid_request");
    hub.agents_token(&[("client_id", client_id)]).expect(200);
}

#[test]
fn a_malformed_request_is_an_invalid_request() {
    let hub = Hub::open();
    let call = || hub.ask("POST", "/t/main/token").basic(&hub.agent.client);
    refused(&call().form(&[]).send(), 400, "invalid_request");
    refused(&call().form(&[("grant_type", "")]).send(), 400, "invalid_request");
    refused(&call().form(&[GRANT, GRANT]).send(), 400, "invalid_request");
    refused(&call().json(&json!({"grant_type": "client_credentials"})).send(), 400, "invalid_request");
    refused(&call().form(&[]).body("grant_type=%ff").send(), 400, "invalid_request");
    refused(&call().form(&[("grant_type", "password")]).send(), 400, "unsupported_grant_type");
}

#[test]
fn a_parameter_that_is_unknown_is_ignored_and_an_empty_one_counts_as_absent() {
    let hub = Hub::open();
    assert_eq!(hub.agents_token(&[("unknown", "x"), ("scope", "")]).expect(200).json()["scope"], hub.agent.scope);
}

#[test]
fn scope_that_is_malformed_or_of_which_nothing_is_left_is_an_invalid_scope() {
    let hub = Hub::open();
    refused(&hub.agents_token(&[("scope", "a\"b")]), 400, "invalid_scope");
    refused(&hub.agents_token(&[("scope", "no-such-scope")]), 400, "invalid_scope");
    let narrowed = hub.agents_token(&[("scope", &format!("{} no-such-scope", hub.agent.scope))]);
    assert_eq!(narrowed.expect(200).json()["scope"], hub.agent.scope);
}

#[test]
fn a_resource_that_is_malformed_unknown_or_one_of_several_is_an_invalid_target() {
    let hub = Hub::open();
    let ask = |resource: &str| hub.token(&hub.agent.client, &[("resource", resource)]);
    for bad in ["mcp", "/mcp", "https://x.example/#fragment", "https://unknown.example/mcp"] {
        refused(&ask(bad), 400, "invalid_target");
    }
    refused(&hub.agents_token(&[("resource", "https://second.example/mcp")]), 400, "invalid_target");
}

#[test]
fn the_token_endpoint_takes_post_alone() {
    let hub = Hub::open();
    for method in ["GET", "PUT", "DELETE"] {
        let reply = hub.ask(method, "/t/main/token").send();
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")), "{method}");
    }
}
