//! Descope-compatible token routes: what their tokens are, and that they are tokens like any other.

use super::authorize::{client, permitting, text};
use super::introspection::Server;
use crate::support::browser::{Browser, CALLBACK, DEVELOPMENT, VERIFIER, authorization, parameter};
use crate::support::hub::{ORIGIN, RESOURCE, decode};
use crate::support::{Credentials, Reply, Setup};
use serde_json::{Value, json};

/// The project of the tenant `main`.
pub const PROJECT: &str = "PmainZZZZZZZZZZZZZZZZZZZZZZZ";
const FILES: &str = "/v1/apps/agentic/PmainZZZZZZZZZZZZZZZZZZZZZZZ/RSfiles";

/// Lets the compatible routes of a tenant answer.
pub fn open(hub: &Setup, tenant: &str) {
    let path = format!("tenants/{tenant}");
    let mut body = hub.admin("GET", &path).send().expect(200).json();
    body["settings"]["descope"] = json!(true);
    hub.admin("PUT", &path).header("if-match", "*").json(&body).send().expect(200);
}

/// A hub whose compatible routes answer, with the resource `files` and an agent.
fn scene() -> (Setup, Credentials) {
    let hub = Setup::new();
    hub.create_resource(json!({"id": "files"}));
    open(&hub, "main");
    let agent = hub.agent("agent", "mcp:read mcp:write");
    (hub, agent)
}

fn token(hub: &Setup, client: &Credentials, more: &[(&str, &str)]) -> Reply {
    let form: Vec<_> = [("grant_type", "client_credentials")].iter().chain(more).copied().collect();
    hub.call("POST", &format!("/oauth2{FILES}/token")).basic(client).form(&form).send()
}

#[test]
fn no_compatible_route_answers_before_the_tenant_says_so() {
    let hub = Setup::new();
    hub.create_resource(json!({"id": "files"}));
    let agent = hub.agent("agent", "mcp:read");
    let bearer = format!("{PROJECT}:{}:{}", agent.client_id, agent.client_secret);
    let gets = [
        format!("/v2/keys/{PROJECT}"),
        format!("/{PROJECT}/.well-known/jwks.json"),
        format!("{FILES}/.well-known/openid-configuration"),
        format!("/oauth2{FILES}/authorize?response_type=code"),
        "/v1/mgmt/license".to_owned(),
        "/v1/mgmt/outbound/apps".to_owned(),
    ];
    let ask = || {
        let mut all: Vec<u16> = gets.iter().map(|path| hub.call("GET", path).bearer(&bearer).send().status).collect();
        all.push(token(&hub, &agent, &[]).status);
        all.push(hub.call("POST", "/v1/auth/accesskey/exchange").bearer(&bearer).json(&json!({})).send().status);
        all
    };
    assert_eq!(ask(), [404; 8]);
    open(&hub, "main");
    assert_eq!(ask(), [200, 200, 200, 400, 200, 403, 200, 200]);
    let shown = hub.admin("GET", "tenants/main").send().json();
    assert_eq!((&shown["project_id"], &shown["settings"]["descope"]), (&json!(PROJECT), &json!(true)));
}

#[test]
fn a_token_of_a_compatible_route_has_its_issuer_both_audiences_and_its_scope_as_a_list() {
    let (hub, agent) = scene();
    let reply = token(&hub, &agent, &[("scope", "mcp:read mcp:write")]).expect(200);
    let (header, claims) = decode(&reply.access_token());
    let keys = hub.call("GET", &format!("/v2/keys/{PROJECT}")).send().expect(200).json();
    assert_eq!(keys, hub.call("GET", &format!("/{PROJECT}/.well-known/jwks.json")).send().expect(200).json());
    let keys = keys["keys"].as_array().unwrap();
    assert!(keys.iter().all(|key| key["alg"] == "RS256") && keys.iter().any(|key| key["kid"] == header["kid"]));
    assert_eq!((&header["alg"], &header["typ"]), (&json!("RS256"), &json!("at+jwt")));
    assert_eq!(claims["iss"], format!("{ORIGIN}{FILES}"));
    assert_eq!(claims["aud"], json!([PROJECT, RESOURCE]));
    assert_eq!(
        (&claims["scope"], &claims["scopes"]),
        (&json!("mcp:read mcp:write"), &json!(["mcp:read", "mcp:write"]))
    );
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!(agent.client_id), &json!(agent.client_id)));
    // The older name of a resource is another issuer.
    let older = FILES.replace("/RS", "/MS");
    let form = [("grant_type", "client_credentials")];
    let reply = hub.call("POST", &format!("/oauth2{older}/token")).basic(&agent).form(&form).send();
    assert_eq!(decode(&reply.access_token()).1["iss"], format!("{ORIGIN}{older}"));
    // The project has a route of its own.
    let reply = hub.call("POST", &format!("/oauth2/v1/apps/{PROJECT}/token")).basic(&agent).form(&form).send();
    let (_, claims) = decode(&reply.access_token());
    assert_eq!(claims["iss"], format!("{ORIGIN}/v1/apps/{PROJECT}"));
    assert_eq!(claims["aud"], json!([PROJECT, RESOURCE]));
    // All other tokens are as they were.
    let (header, claims) = decode(&hub.access_token(&agent, "mcp:read"));
    assert_eq!((&header["alg"], &claims["aud"], &claims["scopes"]), (&json!("ES256"), &json!(RESOURCE), &Value::Null));
    assert_eq!(claims["iss"], hub.issuer("main"));
}

#[test]
fn a_token_request_may_be_json_and_its_credentials_in_the_body() {
    let (hub, agent) = scene();
    let path = format!("/oauth2{FILES}/token");
    let body = json!({
        "grant_type": "client_credentials", "client_id": agent.client_id, "client_secret": agent.client_secret,
        "scope": "mcp:read", "resource": null,
    });
    let reply = hub.call("POST", &path).json(&body).send();
    assert_eq!(decode(&reply.access_token()).1["scopes"], json!(["mcp:read"]));
    for bad in
        [json!({"grant_type": ["client_credentials"]}), json!({"grant_type": "client_credentials", "client_id": 1})]
    {
        let refused = hub.call("POST", &path).json(&bad).send().expect(400);
        assert!(refused.json()["errorCode"].is_string(), "{refused:?}");
    }
    hub.call("POST", &path).header("content-type", "application/json").body("{").send().expect(400);
    hub.call("POST", &path).header("content-type", "text/plain").body("grant_type=x").send().expect(400);
}

#[test]
fn introspection_revocation_and_a_kill_reach_a_token_of_a_compatible_route() {
    let (hub, agent) = scene();
    let server = Server::new(&hub, RESOURCE);
    let fetch = || token(&hub, &agent, &[]).access_token();
    let (revoked, killed) = (fetch(), fetch());
    let told = server.ask(&revoked);
    assert_eq!((&told["active"], &told["aud"]), (&json!(true), &json!([PROJECT, RESOURCE])));
    hub.call("POST", "/t/main/revoke").basic(&agent).form(&[("token", &revoked)]).send().expect(200);
    assert!(!server.is_active(&revoked) && server.is_active(&killed));
    hub.admin("POST", &format!("clients/{}/kill", agent.client_id)).send().expect(200);
    assert!(!server.is_active(&killed));
    token(&hub, &agent, &[]).expect(401);
}

#[test]
fn a_compatible_route_issues_for_its_resource_alone_and_never_for_an_api_of_the_tenant() {
    let (hub, _) = scene();
    let other = "https://other.example/mcp";
    hub.create_resource(json!({"id": "other", "resource": other}));
    let admin = format!("{}/admin", hub.issuer("main"));
    let agent = hub.create_client(json!({"allowed_resources": [RESOURCE, other, admin], "scope": "mcp:read admin"}));
    hub.put_policy("everything", r#"permit(principal, action == Action::"issue", resource);"#);
    let error = |reply: Reply| (reply.status, reply.error());
    let refused = || (400, "invalid_target".to_owned());
    assert_eq!(error(token(&hub, &agent, &[("resource", other)])), refused());
    assert_eq!(error(token(&hub, &agent, &[("resource", &admin)])), refused());
    token(&hub, &agent, &[("resource", RESOURCE)]).expect(200);
    token(&hub, &agent, &[]).expect(200);
    let project = |resource: &str| {
        let form = [("grant_type", "client_credentials"), ("resource", resource)];
        hub.call("POST", &format!("/oauth2/v1/apps/{PROJECT}/token")).basic(&agent).form(&form).send()
    };
    assert_eq!(error(project(&admin)), refused());
    project(other).expect(200);
    for name in ["RSadmin", "RSnothing", "files", "RS"] {
        let path = format!("/oauth2/v1/apps/agentic/{PROJECT}/{name}/token");
        hub.call("POST", &path).basic(&agent).form(&[("grant_type", "client_credentials")]).send().expect(404);
    }
    // What is issued opens nothing of the tenant itself.
    let opened = token(&hub, &agent, &[]).access_token();
    hub.call("GET", "/t/main/admin/clients").bearer(&opened).send().expect(401);
}

#[test]
fn a_token_of_another_project_counts_for_nothing() {
    let (hub, agent) = scene();
    hub.create_tenant("other");
    open(&hub, "other");
    let (header, claims) = decode(&token(&hub, &agent, &[]).access_token());
    assert!(header["kid"].is_string() && claims["tenant"] == "main");
    let project = "PotherZZZZZZZZZZZZZZZZZZZZZZ";
    let form = [("grant_type", "client_credentials")];
    // The client is unknown there, and the resource too.
    let path = format!("/oauth2/v1/apps/agentic/{project}/RSfiles/token");
    hub.call("POST", &path).basic(&agent).form(&form).send().expect(404);
    hub.call("POST", &format!("/oauth2/v1/apps/{project}/token")).basic(&agent).form(&form).send().expect(401);
    let own = token(&hub, &agent, &[]).access_token();
    let body = json!({"appId": "chat", "userId": agent.client_id});
    let fetch = |project: &str| {
        let bearer = format!("{project}:{own}");
        hub.call("POST", "/v1/mgmt/outbound/app/user/token").bearer(&bearer).json(&body).send().status
    };
    assert_eq!((fetch(PROJECT), fetch(project), fetch("Pnobody"), fetch("")), (403, 401, 404, 404));
}

#[test]
fn the_metadata_of_a_route_are_the_same_at_each_path_and_lead_to_what_is_there() {
    let (hub, agent) = scene();
    let get = |path: &str| hub.call("GET", path).send().expect(200).json();
    let metadata = get(&format!("{FILES}/.well-known/openid-configuration"));
    for path in [
        format!("{FILES}/.well-known/oauth-authorization-server"),
        format!("/.well-known/oauth-authorization-server{FILES}"),
        format!("/.well-known/openid-configuration{FILES}"),
    ] {
        assert_eq!(get(&path), metadata, "{path}");
    }
    assert_eq!(metadata["issuer"], format!("{ORIGIN}{FILES}"));
    assert_eq!(metadata["token_endpoint"], format!("{ORIGIN}/oauth2{FILES}/token"));
    assert_eq!(metadata["authorization_endpoint"], format!("{ORIGIN}/oauth2{FILES}/authorize"));
    assert_eq!(metadata["scopes_supported"], json!(["mcp:read", "mcp:write"]));
    let local = |name: &str| metadata[name].as_str().unwrap().strip_prefix(ORIGIN).unwrap().to_owned();
    get(&local("jwks_uri"));
    let form = [("grant_type", "client_credentials")];
    hub.call("POST", &local("token_endpoint")).basic(&agent).form(&form).send().expect(200);
    let project = get(&format!("/v1/apps/{PROJECT}/.well-known/oauth-authorization-server"));
    assert_eq!(project["issuer"], format!("{ORIGIN}/v1/apps/{PROJECT}"));
    assert_eq!(project["authorization_endpoint"], format!("{}/authorize", hub.issuer("main")));
    for path in [format!("{FILES}x/.well-known/openid-configuration"), "/v2/keys/Pmain".to_owned()] {
        hub.call("GET", &path).send().expect(404);
    }
}

#[test]
fn an_access_key_is_a_client_and_its_session_a_token() {
    let (hub, agent) = scene();
    let exchange = |key: &str| {
        let bearer = format!("{PROJECT}:{key}");
        hub.call("POST", "/v1/auth/accesskey/exchange").bearer(&bearer).json(&json!({"loginOptions": {}})).send()
    };
    let key = format!("{}:{}", agent.client_id, agent.client_secret);
    let session = exchange(&key).expect(200).json();
    assert_eq!(session["keyId"], agent.client_id);
    let (_, claims) = decode(session["sessionJwt"].as_str().unwrap());
    assert_eq!(claims["iss"], format!("{ORIGIN}/v1/apps/{PROJECT}"));
    assert_eq!((&claims["aud"], &claims["sub"]), (&json!([PROJECT, RESOURCE]), &json!(agent.client_id)));
    let wrong = format!("{}:{}", agent.client_id, hub.admin_client("main").client_secret);
    for bad in [&*wrong, &agent.client_id, "", "nobody:nothing"] {
        let refused = exchange(bad).expect(401);
        assert!(refused.json()["errorCode"].is_string(), "{refused:?}");
    }
    assert!(hub.events_of("token.refused").iter().any(|event| event["client"] == json!(agent.client_id)));
    assert!(!hub.dump_at_rest().contains(&agent.client_secret));
}

#[test]
fn a_person_lets_a_client_in_by_a_compatible_route() {
    let hub = permitting(Setup::with(&[DEVELOPMENT]));
    let id = hub.admin("GET", "resources").send().json()["items"][0]["id"].as_str().unwrap().to_owned();
    open(&hub, "main");
    let base = format!("/v1/apps/agentic/{PROJECT}/RS{id}");
    let (client, browser) = (client(&hub), Browser::new(&hub));
    let ask = |more: &[(&str, &str)]| format!("/oauth2{base}/authorize?{}", authorization(&client, more));
    let page = browser.get(&ask(&[("scope", "mcp:read openid")])).expect(200);
    let back = browser.decide(&browser.sign_in(&page), &["mcp:read", "openid"]).expect(303);
    let issuer = format!("{}{base}", hub.origin());
    assert_eq!(parameter(&back, "iss").as_deref(), Some(&*issuer));
    let code = parameter(&back, "code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client),
        ("code", &*code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
    ];
    let tokens = hub.call("POST", &format!("/oauth2{base}/token")).form(&form).send().expect(200);
    let (_, claims) = decode(&tokens.access_token());
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(issuer), &json!([PROJECT, RESOURCE])));
    assert_eq!(decode(&text(&tokens, "id_token")).1["iss"], json!(issuer));
    let form =
        [("grant_type", "refresh_token"), ("client_id", &*client), ("refresh_token", &*text(&tokens, "refresh_token"))];
    let again = hub.call("POST", &format!("/oauth2{base}/token")).form(&form).send();
    assert_eq!(decode(&again.access_token()).1["iss"], json!(issuer));
    // A response that refuses has the same issuer, and another resource is none of this route.
    let refused = browser.get(&ask(&[("prompt", "none login")])).expect(303);
    assert_eq!(parameter(&refused, "iss").as_deref(), Some(&*issuer));
    browser.get(&ask(&[("resource", "https://other.example")])).expect(400);
}
