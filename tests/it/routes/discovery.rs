//! Metadata, key sets and resource metadata.

use crate::support::Setup;
use crate::support::documents::{METADATA_PATHS, has_null};
use crate::support::hub::{ISSUER, RESOURCE, SIGNING_KEK};
use serde_json::json;
use writ::config::Config;

const AUTH_METHODS: [&str; 6] =
    ["client_secret_basic", "client_secret_post", "private_key_jwt", "federated_jwt", "spiffe_jwt", "none"];
const EXTENSION_GRANTS: [&str; 2] =
    ["urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange"];

#[test]
fn metadata_is_one_document_at_four_paths_and_every_endpoint_it_names_is_there() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let first = hub.call("GET", METADATA_PATHS[0]).send().expect(200);
    for path in METADATA_PATHS {
        let reply = hub.call("GET", path).send();
        assert_eq!(reply, first, "{path}");
    }
    let document = first.json();
    assert!(!has_null(&document));
    assert_eq!(document["issuer"], ISSUER);
    let of_people = [
        "authorization_code",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:openid:params:grant-type:ciba",
    ];
    let grants: Vec<&str> = of_people.into_iter().chain(["client_credentials"]).chain(EXTENSION_GRANTS).collect();
    assert_eq!(document["grant_types_supported"], json!(grants));
    assert_eq!(document["token_endpoint_auth_methods_supported"], json!(AUTH_METHODS));
    let algs = json!(["ES256", "ES384", "Ed25519", "EdDSA", "RS256", "PS256"]);
    assert_eq!(document["token_endpoint_auth_signing_alg_values_supported"], algs);
    assert_eq!(document["response_types_supported"], json!(["code"]));
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
    assert_eq!(document["protected_resources"], json!([RESOURCE]));
    assert_eq!(first.header("access-control-allow-origin"), Some("*"));
    assert_eq!(first.header("cache-control"), Some("public, max-age=300"));
    for (name, value) in document.as_object().unwrap() {
        if name.ends_with("_endpoint") || name.ends_with("_uri") {
            let path = value.as_str().unwrap().strip_prefix(hub.origin()).expect("of this origin");
            let status = hub.call("GET", path).send().status;
            let wanted = match name.as_str() {
                "jwks_uri" => 200,
                "userinfo_endpoint" => 401,
                "authorization_endpoint" => 400,
                _ => 405,
            };
            assert_eq!(status, wanted, "{name} is advertised and there");
        }
    }
}

#[test]
fn a_tenant_without_resources_leaves_the_list_out_instead_of_null() {
    let hub = Setup::new();
    let document = hub.call("GET", METADATA_PATHS[0]).send().expect(200).json();
    assert!(document.get("protected_resources").is_none() && !has_null(&document));
}

#[test]
fn a_resource_serves_its_document_as_it_is() {
    let hub = Setup::new();
    let id = hub.create_resource(json!({"name": "Inventory"}));
    let reply = hub.call("GET", &format!("/t/main/resources/{id}/oauth-protected-resource")).send().expect(200);
    let expected = json!({
        "resource": RESOURCE, "authorization_servers": [ISSUER], "scopes_supported": ["mcp:read", "mcp:write"],
        "bearer_methods_supported": ["header"], "resource_name": "Inventory",
    });
    assert_eq!(reply.json(), expected);
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
    hub.call("GET", "/t/main/resources/unknown/oauth-protected-resource").send().expect(404);
}

#[test]
fn a_resource_is_not_found_under_another_tenant() {
    let hub = Setup::new();
    let id = hub.create_resource(json!({}));
    hub.create_tenant("second");
    hub.call("GET", &format!("/t/second/resources/{id}/oauth-protected-resource")).send().expect(404);
    let document = hub.call("GET", "/t/second/.well-known/oauth-authorization-server").send().json();
    assert!(document.get("protected_resources").is_none());
}

#[test]
fn links_follow_the_configured_origin() {
    let hub = Setup::with(&[("ORIGIN", "http://localhost:8787")]);
    let document = hub.call("GET", METADATA_PATHS[0]).send().json();
    assert_eq!(document["issuer"], "http://localhost:8787/t/main");
    assert_eq!(document["token_endpoint"], "http://localhost:8787/t/main/token");
}

#[test]
fn a_worker_answers_for_its_roles_and_nothing_else() {
    let hub = Setup::new();
    let discovery = hub.isolate_with(&[("ROLES", "discovery"), ("SIGNING_KEK", ""), ("VAULT_KEK", "")]);
    let token = hub.isolate_with(&[("ROLES", "token"), ("VAULT_KEK", "")]);
    hub.call("GET", "/t/main/jwks.json").on(&discovery).send().expect(200);
    hub.call("POST", "/t/main/token").on(&discovery).send().expect(404);
    hub.call("GET", "/t/main/jwks.json").on(&token).send().expect(404);
    hub.call("POST", "/t/main/token").on(&token).send().expect(400);
}

#[test]
fn a_worker_with_the_role_authorize_alone_does_not_start_without_what_seals_for_its_pages() {
    let parse = |more: &[(&str, &str)]| {
        let settings = [&[("ORIGIN", "https://id.example"), ("ROLES", "authorize")], more].concat();
        let lookup = |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        Config::parse(lookup)
    };
    let missing = parse(&[]).err().unwrap();
    assert!(missing.contains("`PEOPLE_KEK`") && missing.contains("`authorize`"), "{missing}");
    // What seals something else in the same Worker does for pages too; in production each has its own.
    for name in ["PEOPLE_KEK", "SIGNING_KEK", "VAULT_KEK", "ADMIN_KEK"] {
        assert!(parse(&[(name, SIGNING_KEK)]).is_ok_and(|config| config.people().is_some()), "{name}");
    }
}

#[test]
fn health_says_whether_the_database_answers() {
    let hub = Setup::new();
    assert_eq!(hub.call("GET", "/health").send().expect(200).json(), json!({"status": "ok"}));
    hub.faults.fail(crate::support::Port::Db);
    assert_eq!(hub.call("GET", "/health").send().expect(503).header("retry-after"), Some("1"));
    assert_eq!(hub.call("POST", "/health").send().expect(405).header("allow"), Some("GET"));
}
