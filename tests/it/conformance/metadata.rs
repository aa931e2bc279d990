//! What the hub says about itself, its keys and its resources.

use super::hub::Hub;
use crate::support::Reply;
use crate::support::documents::{METADATA_PATHS, has_null};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn document(hub: &Hub) -> Value {
    hub.get(METADATA_PATHS[0]).expect(200).json()
}

fn assert_public(reply: &Reply) {
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(reply.header("access-control-allow-credentials"), None);
    let caching = reply.header("cache-control").unwrap();
    assert!(caching.contains("public") && caching.contains("max-age="), "{caching}");
}

#[test]
fn metadata_is_one_document_at_four_paths() {
    let hub = Hub::open();
    for path in METADATA_PATHS {
        let reply = hub.get(path).expect(200);
        assert_public(&reply);
        assert_eq!(reply.json(), document(&hub), "{path}");
    }
}

#[test]
fn the_issuer_is_the_url_that_the_metadata_path_was_built_from() {
    let hub = Hub::open();
    assert_eq!(document(&hub)["issuer"], format!("{}/t/main", hub.origin));
    assert_eq!(document(&hub)["issuer"], hub.issuer);
}

#[test]
fn required_metadata_is_there_and_nothing_is_null() {
    let hub = Hub::open();
    let document = document(&hub);
    assert!(!has_null(&document), "{document}");
    for name in ["issuer", "token_endpoint", "jwks_uri"] {
        assert!(document[name].as_str().unwrap().starts_with(&hub.origin), "{name}");
    }
    for name in ["response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported"] {
        assert!(document[name].is_array(), "{name}");
    }
    assert!(document["grant_types_supported"].as_array().unwrap().contains(&json!("client_credentials")));
    for method in ["client_secret_basic", "client_secret_post"] {
        assert!(
            document["token_endpoint_auth_methods_supported"].as_array().unwrap().contains(&json!(method)),
            "{method}"
        );
    }
}

#[test]
fn what_metadata_advertises_is_there() {
    let hub = Hub::open();
    let document = document(&hub);
    let is_url = |name: &&String| name.ends_with("_endpoint") || name.ends_with("_uri");
    let mut urls: BTreeSet<_> = document.as_object().unwrap().keys().filter(is_url).map(String::as_str).collect();
    // Where the tenant lets clients register themselves.
    if urls.remove("registration_endpoint") {
        let endpoint = document["registration_endpoint"].as_str().unwrap();
        assert_eq!(hub.get(endpoint).expect(405).header("allow"), Some("POST"));
    }
    let posted = [
        "backchannel_authentication_endpoint",
        "device_authorization_endpoint",
        "introspection_endpoint",
        "pushed_authorization_request_endpoint",
        "revocation_endpoint",
        "token_endpoint",
        "transaction_authorization_endpoint",
    ];
    let fetched = ["authorization_endpoint", "jwks_uri", "userinfo_endpoint"];
    assert_eq!(urls, posted.into_iter().chain(fetched).collect());
    let url = |name: &str| document[name].as_str().unwrap();

    hub.get(url("jwks_uri")).expect(200);
    assert!(hub.get(url("authorization_endpoint")).expect(400).text.contains("<code>client_id</code>"));
    assert_eq!(hub.get(url("userinfo_endpoint")).expect(401).error(), "invalid_token");
    for name in posted {
        assert_eq!(hub.get(url(name)).expect(405).header("allow"), Some("POST"), "{name}");
        let reply = hub.ask("POST", url(name)).basic(&hub.agent.client).form(&[]).send();
        let error = if name.starts_with("device") || name.starts_with("backchannel") {
            "unauthorized_client"
        } else {
            "invalid_request"
        };
        assert_eq!((reply.status, reply.error().as_str()), (400, error), "{name}");
    }
    let grant = |name: &str| {
        let reply =
            hub.ask("POST", url("token_endpoint")).basic(&hub.agent.client).form(&[("grant_type", name)]).send();
        assert!(matches!(reply.status, 200 | 400), "{name}: {reply:?}");
        reply.status == 200 || reply.error() != "unsupported_grant_type"
    };
    let offered = document["grant_types_supported"].as_array().unwrap();
    assert!(offered.iter().all(|name| grant(name.as_str().unwrap())), "{offered:?}");
    for other in ["password", "urn:ietf:params:oauth:grant-type:saml2-bearer"] {
        assert!(!offered.contains(&json!(other)) && !grant(other), "{other}");
    }
}

#[test]
fn the_key_set_has_es256_and_rs256_under_their_thumbprints_and_no_private_half() {
    let hub = Hub::open();
    let reply = hub.get(document(&hub)["jwks_uri"].as_str().unwrap()).expect(200);
    assert_public(&reply);
    let body = reply.json();
    let keys = body["keys"].as_array().unwrap();
    let distinct = |name: &str| keys.iter().map(|key| key[name].as_str().unwrap()).collect::<BTreeSet<_>>();
    assert_eq!(distinct("kid").len(), keys.len());
    assert_eq!(distinct("alg"), BTreeSet::from(["ES256", "RS256"]));
    assert_eq!(distinct("use"), BTreeSet::from(["sig"]));
    for key in keys {
        let members = match key["kty"].as_str().unwrap() {
            "EC" => format!(r#"{{"crv":{},"kty":"EC","x":{},"y":{}}}"#, key["crv"], key["x"], key["y"]),
            "RSA" => format!(r#"{{"e":{},"kty":"RSA","n":{}}}"#, key["e"], key["n"]),
            other => panic!("an unexpected key type: {other}"),
        };
        assert_eq!(key["kid"], writ::crypto::sha256(members).to_text());
        assert!(["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().all(|name| key.get(name).is_none()), "{key}");
    }
}

#[test]
fn every_resource_has_a_document_that_names_itself_its_issuer_and_its_scopes() {
    let hub = Hub::open();
    let list = hub.admin("GET", "resources").send().expect(200).json();
    let resource =
        list["items"].as_array().unwrap().iter().find(|item| item["resource"] == hub.resource).unwrap().clone();
    let reply = hub
        .get(&format!("/t/main/resources/{}/oauth-protected-resource", resource["id"].as_str().unwrap()))
        .expect(200);
    assert_public(&reply);
    let body = reply.json();
    assert!(!has_null(&body));
    assert_eq!(body["resource"], hub.resource);
    assert_eq!(body["authorization_servers"], json!([hub.issuer]));
    assert_eq!(body["bearer_methods_supported"], json!(["header"]));
    let scopes: Vec<_> = resource["scopes"].as_array().unwrap().iter().map(|scope| scope["name"].clone()).collect();
    assert_eq!(body["scopes_supported"], json!(scopes));
    assert!(document(&hub)["protected_resources"].as_array().unwrap().contains(&json!(hub.resource)));
}

#[test]
fn metadata_does_not_depend_on_the_host_that_a_request_names() {
    let hub = Hub::open();
    for path in METADATA_PATHS {
        let asked = hub.ask("GET", path).header("host", "evil.example").header("x-forwarded-host", "evil.example");
        let reply = asked.header("forwarded", "host=evil.example").header("x-forwarded-proto", "http").send();
        assert!(!format!("{reply:?}").contains("evil.example"), "{path}: {reply:?}");
        // A host may refuse a name that is not its own, but not give it away.
        if reply.status == 200 {
            assert_eq!(reply.json(), document(&hub), "{path}");
        }
    }
}
