//! Kinds of connections: what each leases, how strictly its config, its secret and the service's answer are read, and what it shows of itself.

use crate::support::hub::{Call, ISSUER, RESOURCE, decode};
use crate::support::keys::{rsa_jwk, rsa_pem, verifies};
use crate::support::services::{KEY, POOL, ROBOT, ROLE, SECRET, Services, UPSTREAM, WORDS, aws_error, curve};
use crate::support::{Credentials, Effect, Port, Reply, Scripted, Setup};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};
use std::rc::Rc;
use writ::crypto::{sha256, unb64};
use writ::ports::Alg;

const PATH: &str = "/t/main/connections/downstream/token";
const STORAGE: &str = "https://www.googleapis.com/auth/devstorage.read_only";
const BIGQUERY: &str = "https://www.googleapis.com/auth/bigquery";

/// A kind with a connection of it that works.
struct Kind {
    name: &'static str,
    config: Value,
    secret: Option<Value>,
}

fn kind(name: &'static str, config: Value, secret: Value) -> Kind {
    Kind { name, config, secret: Some(secret).filter(|secret| !secret.is_null()) }
}

fn described() -> Value {
    json!({"name": "Files", "oauth2": {"token_endpoint": "https://as.example/token"}})
}

fn search(header: Value) -> Value {
    json!({"name": "Search", "proxy": {"base_url": "https://api.search.example", "header": header}})
}

/// Every kind whose leases need no person.
fn every_kind() -> Vec<Kind> {
    let pem = || json!({"private_key": rsa_pem(KEY)});
    let azure = json!({
        "tenant_id": "contoso.example", "client_id": "11111111-2222-3333-4444-555555555555",
        "scope": "https://graph.microsoft.com/.default",
    });
    let robot = json!({
        "type": "service_account", "client_email": ROBOT, "private_key_id": "key-8", "private_key": rsa_pem(KEY),
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    let leased = |service: Value| json!({"service": service, "may_be_leased": true});
    vec![
        kind(
            "oauth2_client_credentials",
            json!({"service": described(), "client_id": "client-at-as", "scopes": ["files.read", "files.write"]}),
            json!({"client_secret": SECRET}),
        ),
        kind(
            "jwt_bearer",
            json!({
                "token_endpoint": "https://as.example/token", "iss": "writ", "sub": "robot", "aud": "https://as.example",
                "kid": "key-1", "claims": {"region": "eu"}, "parameters": {"resource": "https://api.example"},
                "scopes": ["files.read"],
            }),
            pem(),
        ),
        kind(
            "token_exchange",
            json!({
                "token_endpoint": "https://as.example/token", "client_id": "client-at-as", "audience": "reports",
                "scopes": ["files.read", "files.write"],
            }),
            json!({"client_secret": SECRET, "subject_token": format!("subject-{SECRET}")}),
        ),
        kind("google_service_account", json!({"scopes": [STORAGE, BIGQUERY]}), robot),
        kind(
            "google_workload_identity",
            json!({"audience": POOL, "service_account": ROBOT, "scopes": [STORAGE, BIGQUERY]}),
            Value::Null,
        ),
        kind(
            "github_app",
            json!({
                "client_id": "Iv23liABC", "installation_id": 42, "repositories": ["shop", "docs"],
                "permissions": {"contents": "read", "issues": "write"},
            }),
            pem(),
        ),
        kind(
            "aws",
            json!({
                "role_arn": ROLE, "region": "eu-central-1",
                "scopes": {
                    "reports.list": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::reports"}],
                    "reports.read": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::reports/*"}],
                },
            }),
            Value::Null,
        ),
        kind("azure", azure, json!({"client_secret": SECRET})),
        kind("salesforce", json!({"client_id": "3MVG9", "username": "robot@acme.example"}), pem()),
        kind("snowflake", json!({"account": "acme-reports", "user": "robot"}), pem()),
        kind("api_key", leased(search(json!("x-api-key"))), json!({"api_key": SECRET})),
        kind("basic", leased(search(Value::Null)), json!({"username": "robot", "password": SECRET})),
        kind("custom_header", leased(search(json!("x-search-token"))), json!({"value": SECRET})),
    ]
}

fn one_kind(name: &str) -> Kind {
    every_kind().into_iter().find(|kind| kind.name == name).unwrap()
}

/// An agent, a resource server, a connection called `downstream`, and the services.
struct Scene {
    hub: Setup,
    services: Rc<Services>,
    agent: Credentials,
    server: Credentials,
}

impl Scene {
    /// Without a connection.
    fn bare() -> Self {
        let hub = Setup::new();
        let services = Services::open(&hub);
        let agent = hub.agent("reader", "mcp:read");
        let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
        hub.put_policy("lease", r#"permit(principal, action == Action::"lease", resource);"#);
        Self { hub, services, agent, server }
    }

    fn new(name: &str) -> Self {
        Self::with(name, json!({}))
    }

    /// With other members of the config.
    fn with(name: &str, more: Value) -> Self {
        let scene = Self::bare();
        let mut kind = one_kind(name);
        kind.config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scene.put(&kind).expect(201);
        scene
    }

    fn put(&self, Kind { name, config, secret }: &Kind) -> Reply {
        let mut body = json!({"kind": name, "config": config});
        if let Some(secret) = secret {
            body["secret"] = secret.clone();
        }
        let call = self.hub.admin("PUT", "connections/downstream");
        let old = self.hub.admin("GET", "connections/downstream").send();
        let call = old
            .header("etag")
            .map(str::to_owned)
            .map_or_else(|| self.hub.admin("PUT", "connections/downstream"), |etag| call.header("if-match", &etag));
        call.json(&body).send()
    }

    /// Changes the config; what changes where the secret is sent needs it once more.
    fn change(&self, name: &str, more: Value) -> Reply {
        let mut kind = one_kind(name);
        if more["federated"] == true {
            kind.secret = None;
        }
        kind.config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.put(&kind)
    }

    fn call_of(&self, agent: &Credentials, more: &[(&str, &str)]) -> Call<'_> {
        let token = self.hub.access_token(agent, "mcp:read");
        let form: Vec<_> = [("subject_token", &*token)].iter().chain(more).copied().collect();
        self.hub.call("POST", PATH).basic(&self.server).form(&form)
    }

    fn lease(&self, more: &[(&str, &str)]) -> Reply {
        self.call_of(&self.agent, more).send()
    }

    /// A lease that has to be given.
    #[track_caller]
    fn leased(&self, more: &[(&str, &str)]) -> Value {
        let reply = self.lease(more);
        assert_eq!(reply.status, 200, "{reply:?} {:?}", self.services.complaints.borrow());
        reply.json()
    }

    fn last(&self, name: &str) -> Option<String> {
        self.services.last.borrow().get(name).cloned()
    }

    fn own_token(&self) -> String {
        self.services.own_tokens.borrow().last().unwrap().clone()
    }

    fn refusal(&self) -> Value {
        self.hub.events_of("lease.refused").pop().unwrap()
    }
}

fn problem(reply: &Reply) -> (u16, String, String) {
    let body = reply.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (reply.status, text("reason"), text("detail"))
}

#[test]
fn every_kind_leases_what_its_service_gives_and_nothing_of_its_secret_is_seen() {
    for kind in every_kind() {
        let scene = Scene::new(kind.name);
        let lease = scene.leased(&[]);
        let is_bearer = lease.get("access_token").is_some();
        assert_eq!(lease["token_type"], if is_bearer { "Bearer" } else { "N_A" }, "{}: {lease}", kind.name);
        let asked = scene.services.asked.get();
        assert_eq!(scene.leased(&[])["access_token"], lease["access_token"], "{}", kind.name);
        let elsewhere = scene.call_of(&scene.agent, &[]).on(&scene.hub.isolate()).send().expect(200).json();
        let without_time = |lease: &Value| {
            let mut lease = lease.clone();
            lease.as_object_mut().unwrap().remove("expires_in");
            lease
        };
        assert_eq!(without_time(&elsewhere), without_time(&lease), "{}: from D1", kind.name);
        assert_eq!(scene.services.asked.get(), asked, "{}: one exchange", kind.name);
        assert_eq!(scene.hub.events_of("lease.granted").len(), 3);

        let shown = scene.hub.admin("GET", "connections/downstream").send().expect(200);
        let at_rest = scene.hub.dump_at_rest() + &format!("{:?}", scene.hub.events()) + &shown.text;
        let key = rsa_pem(KEY).lines().nth(3).unwrap().to_owned();
        for canary in [SECRET, UPSTREAM, WORDS, &key] {
            assert!(!at_rest.contains(canary), "{}: {canary}", kind.name);
        }
    }
}

#[test]
fn what_a_kind_does_not_know_is_refused_by_name_and_without_the_values_of_the_secret() {
    for mut kind in every_kind() {
        let scene = Scene::bare();
        let good = kind.config.clone();
        kind.config["colour"] = json!("red");
        let (status, found, detail) = problem(&scene.put(&kind));
        assert_eq!((status, found.as_str()), (400, "UnknownField"), "{}", kind.name);
        assert!(detail.contains("`config.colour`"), "{}: {detail}", kind.name);
        for (member, _) in good.as_object().unwrap().clone() {
            // Which claims there are is for the config to say.
            if member == "claims" {
                continue;
            }
            kind.config = good.clone();
            kind.config[&member] = json!({"\u{1}": []});
            let (status, found, _) = problem(&scene.put(&kind));
            assert_eq!((status, found.as_str()), (400, "InvalidField"), "{}: {member}", kind.name);
        }
        kind.config = json!("hush");
        assert_eq!(problem(&scene.put(&kind)).1, "InvalidField", "{}", kind.name);
        kind.config = good;

        let secret = kind.secret.take();
        let Some(secret) = secret else {
            kind.secret = Some(json!({"client_secret": "hush"}));
            let (status, _, detail) = problem(&scene.put(&kind));
            assert!(status == 400 && detail.contains("`secret`"), "{}: {detail}", kind.name);
            continue;
        };
        let (status, _, detail) = problem(&scene.put(&kind));
        assert!(status == 400 && detail.contains("`secret` is missing"), "{}: {detail}", kind.name);
        for (member, _) in secret.as_object().unwrap() {
            for bad in [json!(7), json!(""), json!("hush\u{0}"), Value::Null] {
                let mut secret = secret.clone();
                secret[member] = bad.clone();
                let reply = scene.put(&Kind { secret: Some(secret), config: kind.config.clone(), ..kind });
                let (status, found, detail) = problem(&reply);
                assert_eq!((status, found.as_str()), (400, "InvalidField"), "{}: {member} {bad}", kind.name);
                assert!(detail.contains(&format!("`secret.{member}`")), "{}: {detail}", kind.name);
            }
        }
        if kind.name != "google_service_account" {
            let mut more = secret.clone();
            more["colour"] = json!("hush");
            let (_, found, detail) =
                problem(&scene.put(&Kind { secret: Some(more), config: kind.config.clone(), ..kind }));
            assert!(found == "UnknownField" && detail.contains("`secret.colour`"), "{}: {detail}", kind.name);
        }
        let reply = scene.put(&Kind { secret: Some(json!("hush")), config: kind.config.clone(), ..kind });
        assert_eq!(problem(&reply).1, "InvalidField");
        let everything = scene.hub.dump_everything() + &format!("{:?}", scene.hub.events());
        assert!(!everything.contains("hush"), "{}", kind.name);
        assert!(scene.hub.db.query("SELECT * FROM credentials").is_empty());
    }
}

#[test]
fn no_url_of_a_config_leads_to_this_deployment_or_into_a_private_network() {
    let scene = Scene::bare();
    for (name, member) in [
        ("jwt_bearer", "token_endpoint"),
        ("token_exchange", "token_endpoint"),
        ("github_app", "api_url"),
        ("salesforce", "login_url"),
        ("salesforce", "instance_url"),
        ("azure", "authority"),
        ("oauth2_client_credentials", "service"),
        ("api_key", "service"),
    ] {
        for url in
            ["http://as.example", "https://127.0.0.1", "https://metadata.google.internal", "https://id.example", "x"]
        {
            let mut kind = one_kind(name);
            kind.config[member] = match name {
                "oauth2_client_credentials" => json!({"oauth2": {"token_endpoint": url}}),
                "api_key" => json!({"proxy": {"base_url": url}}),
                _ => json!(url),
            };
            let (status, reason, _) = problem(&scene.put(&kind));
            assert_eq!((status, reason.as_str()), (400, "InvalidField"), "{name} {member} {url}");
        }
    }
}

#[test]
fn a_service_in_trouble_and_one_that_refuses_are_told_apart_for_every_kind() {
    let offline = ["snowflake", "api_key", "basic", "custom_header"];
    for kind in every_kind().into_iter().filter(|kind| !offline.contains(&kind.name)) {
        let scene = Scene::new(kind.name);
        let html = || Scripted::answer(200, "text/html", format!("<p>{WORDS}"));
        let refused = match kind.name {
            "aws" => aws_error(403, "AccessDenied"),
            "github_app" => Scripted::json(404, json!({"message": WORDS})),
            _ => Scripted::json(400, json!({"error": "invalid_grant", "error_description": WORDS})),
        };
        let half = Scripted::json(201, json!({"token": "", "expires_at": WORDS}));
        for (says, wanted) in [
            (html(), (502, "temporarily_unavailable")),
            (half, (502, "temporarily_unavailable")),
            (Scripted::json(500, json!({"error": WORDS})), (502, "temporarily_unavailable")),
            (Scripted::json(429, json!({"error": WORDS})), (502, "temporarily_unavailable")),
            (Scripted::json(302, json!({"error": WORDS})), (502, "temporarily_unavailable")),
            (refused, (502, "access_denied")),
        ] {
            *scene.services.instead.borrow_mut() = Some(says);
            let reply = scene.lease(&[]);
            assert_eq!((reply.status, reply.error().as_str()), wanted, "{}: {reply:?}", kind.name);
        }
        *scene.services.instead.borrow_mut() = None;
        scene.leased(&[]);
        let everything = scene.hub.dump_everything() + &format!("{:?}", scene.hub.events());
        assert!(!everything.contains(WORDS), "{}", kind.name);
    }
}

#[test]
fn a_secret_goes_nowhere_else_and_for_nobody_else_unless_it_is_sent_again() {
    let scene = Scene::with("oauth2_client_credentials", json!({"scopes": ["files.read"]}));
    let change = |more: Value| {
        let mut kind = Kind { secret: None, ..one_kind("oauth2_client_credentials") };
        kind.config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scene.put(&kind).status
    };
    let elsewhere = json!({"service": {"oauth2": {"token_endpoint": "https://evil.example/token"}}});
    assert_eq!(change(elsewhere), 400);
    assert_eq!(change(json!({"scopes": ["files.read"], "client_id": "another"})), 400);
    assert_eq!(change(json!({"scopes": ["files.write"]})), 200);
    scene.leased(&[]);
}

#[test]
fn a_token_that_was_fetched_under_another_config_is_not_handed_out() {
    let scene = Scene::with("oauth2_client_credentials", json!({"scopes": ["files.read"]}));
    let first = scene.leased(&[])["access_token"].clone();
    scene.change("oauth2_client_credentials", json!({"scopes": ["files.read"], "client_id": "another"})).expect(200);
    assert_eq!(scene.lease(&[]).status, 502, "the other client is unknown to the service");
    scene.change("oauth2_client_credentials", json!({"scopes": ["files.read"]})).expect(200);
    let second = scene.leased(&[])["access_token"].clone();
    assert_ne!(first, second);
    scene.hub.tick().unwrap();
    assert!(!scene.hub.db.query("SELECT * FROM leases").is_empty());
    scene.hub.clock.advance(3_700);
    scene.hub.tick().unwrap();
    assert!(scene.hub.db.query("SELECT * FROM leases").is_empty(), "what has expired is removed");
}

#[test]
fn a_client_of_the_connection_gets_tokens_for_the_scope_of_the_lease_alone() {
    let scene = Scene::new("oauth2_client_credentials");
    assert_eq!(scene.leased(&[])["scope"], "files.read files.write");
    assert_eq!(scene.last("scope").unwrap(), "files.read files.write");
    let narrow = scene.leased(&[("scope", "files.write")]);
    assert_eq!((&narrow["scope"], scene.last("scope").unwrap().as_str()), (&json!("files.write"), "files.write"));
    assert_eq!(scene.lease(&[("scope", "files.admin")]).error(), "invalid_scope");
    let basic =
        json!({"token_endpoint": "https://as.example/token", "token_endpoint_auth_method": "client_secret_basic"});
    scene.change("oauth2_client_credentials", json!({"service": {"oauth2": basic}})).expect(200);
    scene.leased(&[]);
    assert!(scene.last("client_secret").is_none());
}

#[test]
fn the_scope_that_the_service_says_it_has_given_is_the_one_of_the_lease() {
    let scene = Scene::with("oauth2_client_credentials", json!({"scopes": ["files.read", "files.admin"]}));
    assert_eq!(scene.leased(&[])["scope"], "files.read");
    assert_eq!(scene.leased(&[])["scope"], "files.read", "also of a kept token");
    let events = scene.hub.events_of("lease.granted");
    assert!(events.iter().all(|event| event["scope_given"] == "files.read"));
}

#[test]
fn a_token_whose_answer_names_no_end_is_kept_for_five_minutes() {
    let scene = Scene::new("oauth2_client_credentials");
    let answer = json!({"access_token": "a", "token_type": "Bearer"});
    *scene.services.instead.borrow_mut() = Some(Scripted::json(200, answer));
    assert_eq!(scene.leased(&[])["expires_in"], 300);
    let endless = json!({"token_endpoint": "https://as.example/token", "expires_in": 0});
    scene.change("oauth2_client_credentials", json!({"service": {"oauth2": endless}})).expect(200);
    let lease = scene.leased(&[]);
    assert!(lease.get("expires_in").is_none() && lease.get("expires_at").is_none(), "{lease}");
}

#[test]
fn a_fixed_credential_is_leased_only_where_the_config_says_so_and_has_no_end() {
    for (name, wanted) in [
        ("api_key", json!({"api_key": SECRET, "token_type": "N_A"})),
        ("basic", json!({"username": "robot", "password": SECRET, "token_type": "N_A"})),
        ("custom_header", json!({"header": "x-search-token", "value": SECRET, "token_type": "N_A"})),
    ] {
        let scene = Scene::new(name);
        assert_eq!(scene.leased(&[]), wanted);
        assert_eq!(scene.lease(&[("scope", "x")]).error(), "invalid_scope");
        assert!(scene.hub.events_of("lease.granted")[0].get("expires_at").is_none());
        scene.change(name, json!({"may_be_leased": false})).expect(200);
        let reply = scene.lease(&[]).expect(403);
        assert!(reply.text.contains("proxy") && !reply.text.contains(SECRET), "{reply:?}");
        assert_eq!(scene.refusal()["reason"], "LeaseNotOffered");
        assert_eq!(scene.services.asked.get(), 0);
        scene.hub.put_policy("lease", r#"forbid(principal, action == Action::"lease", resource);"#);
        assert!(!scene.lease(&[]).expect(403).text.contains("proxy"), "policy comes first");
    }
}

/// RFC 8693 §2.2.1: the answer to a token exchange has an access token.
#[test]
fn what_is_no_access_token_is_leased_at_the_connection_alone() {
    let resource = format!("{ISSUER}/connections/downstream");
    for kind in every_kind() {
        let scene = Scene::bare();
        let metadata = json!({
            "kind": "resource_server", "allowed_resources": [RESOURCE], "grant_types": [super::chain::EXCHANGE],
        });
        let server = scene.hub.create_client(metadata);
        scene.put(&kind).expect(201);
        let token = scene.hub.access_token(&scene.agent, "mcp:read");
        let form = [
            ("grant_type", super::chain::EXCHANGE),
            ("subject_token", &*token),
            ("subject_token_type", super::chain::ACCESS_TOKEN),
            ("resource", &*resource),
        ];
        let exchanged = scene.hub.call("POST", "/t/main/token").basic(&server).form(&form).send();
        let leased = scene.leased(&[]);
        match leased["token_type"] == "N_A" {
            true => {
                assert_eq!((exchanged.status, exchanged.error().as_str()), (400, "invalid_target"), "{}", kind.name);
                assert_eq!(scene.refusal()["reason"], "LeaseElsewhere");
            }
            false => {
                let mut answer = exchanged.expect(200).json();
                let members = answer.as_object_mut().unwrap();
                members.insert("access_token".to_owned(), leased["access_token"].clone());
                members.remove("issued_token_type");
                members.insert("expires_at".to_owned(), leased["expires_at"].clone());
                if answer["scope"] == "" {
                    answer.as_object_mut().unwrap().remove("scope");
                }
                assert_eq!(answer, leased, "{}", kind.name);
            }
        }
    }
}

#[test]
fn a_user_name_has_no_colon() {
    let scene = Scene::bare();
    let secret = Some(json!({"username": "a:b", "password": SECRET}));
    let (status, _, detail) = problem(&scene.put(&Kind { secret, ..one_kind("basic") }));
    assert!(status == 400 && detail.contains("`secret.username`"), "{detail}");
}

#[test]
fn a_header_of_a_connection_is_none_that_belongs_to_http_itself() {
    let scene = Scene::bare();
    for header in
        [json!("host"), json!("Content-Length"), json!("transfer-encoding"), json!("a b"), json!(""), Value::Null]
    {
        let mut kind = one_kind("custom_header");
        kind.config["service"] = search(header.clone());
        let (status, _, detail) = problem(&scene.put(&kind));
        assert!(status == 400 && detail.contains("proxy.header"), "{header}: {detail}");
    }
}

#[test]
fn an_installation_token_is_limited_to_what_the_config_and_the_lease_say() {
    let scene = Scene::new("github_app");
    let asked = |scope: &[(&str, &str)]| {
        let lease = scene.leased(scope);
        (
            serde_json::from_str::<Value>(&scene.last("body").unwrap()).unwrap(),
            lease["scope"].as_str().unwrap().to_owned(),
        )
    };
    let all = json!({"contents": "read", "issues": "write"});
    let (body, scope) = asked(&[]);
    assert_eq!(body, json!({"repositories": ["shop", "docs"], "permissions": all}));
    assert_eq!(scope, "repo:shop repo:docs contents:read issues:write");
    let (body, scope) = asked(&[("scope", "repo:docs")]);
    assert_eq!(body, json!({"repositories": ["docs"], "permissions": all}), "what is not named keeps its ceiling");
    assert_eq!(scope, "repo:docs contents:read issues:write");
    let (body, _) = asked(&[("scope", "contents:read")]);
    assert_eq!(body, json!({"repositories": ["shop", "docs"], "permissions": {"contents": "read"}}));
    for beyond in ["repo:secrets", "contents:write", "issues:write repo:other", "administration:read"] {
        assert_eq!(scene.lease(&[("scope", beyond)]).error(), "invalid_scope", "{beyond}");
    }
    scene.change("github_app", json!({"repositories": [], "permissions": {}})).expect(200);
    scene.leased(&[]);
    assert_eq!(scene.last("body").unwrap(), "{}", "without a ceiling, all of the installation");
}

#[test]
fn the_key_of_a_github_app_is_taken_as_github_gives_it_out() {
    let scene = Scene::bare();
    let pkcs1 = RsaPrivateKey::from_pkcs8_pem(&rsa_pem(KEY)).unwrap().to_pkcs1_pem(LineEnding::LF).unwrap().to_string();
    let kind = Kind { secret: Some(json!({"private_key": pkcs1})), ..one_kind("github_app") };
    scene.put(&kind).expect(201);
    scene.leased(&[]);
    for (member, bad) in [
        ("repositories", json!(["owner/shop"])),
        ("repositories", json!([""])),
        ("permissions", json!({"contents": "all"})),
        ("permissions", json!({"repo": "read"})),
        ("api_url", json!("https://ghe.example/api/v3/")),
    ] {
        let (status, _, detail) = problem(&scene.change("github_app", json!({member: bad})));
        assert!(status == 400 && detail.contains(member), "{member}: {detail}");
    }
}

#[test]
fn an_assertion_is_signed_with_the_algorithm_of_its_key_and_says_what_the_config_says() {
    let scene = Scene::new("jwt_bearer");
    assert_eq!(scene.leased(&[])["scope"], "files.read");
    assert_eq!(decode(&scene.last("assertion").unwrap()).0["alg"], "RS256");
    let first = decode(&scene.last("assertion").unwrap()).1["jti"].clone();
    scene.put(&Kind { secret: Some(json!({"private_key": curve().0})), ..one_kind("jwt_bearer") }).expect(200);
    scene.leased(&[]);
    let (header, claims) = decode(&scene.last("assertion").unwrap());
    assert_eq!((&header["alg"], claims["jti"] == first), (&json!("ES256"), false));
    for (member, bad) in [
        ("claims", json!({"exp": 1})),
        ("claims", json!({"aud": "x"})),
        ("parameters", json!({"assertion": "x"})),
        ("kid", json!("ü")),
        ("scopes", json!(["a b"])),
    ] {
        let (status, _, detail) = problem(&scene.change("jwt_bearer", json!({member: bad})));
        assert!(status == 400 && detail.contains(member), "{member}: {detail}");
    }
}

#[test]
fn a_user_of_salesforce_gets_a_token_with_its_instance_for_the_session_of_the_organization() {
    let scene = Scene::new("salesforce");
    let lease = scene.leased(&[]);
    assert_eq!((&lease["expires_in"], &lease["scope"]), (&json!(900), &json!("api")));
    assert_eq!(lease["instance_url"], "https://acme.my.salesforce.com");
    scene.change("salesforce", json!({"session_seconds": 7200})).expect(200);
    assert_eq!(scene.leased(&[])["expires_in"], 7200);
    for bad in [899, 86_401] {
        assert_eq!(scene.change("salesforce", json!({"session_seconds": bad})).status, 400);
    }
    scene.change("salesforce", json!({"login_url": "https://test.salesforce.com"})).expect(200);
    assert_eq!(scene.lease(&[]).status, 502, "there is no such user in the sandbox");
    for instance in ["http://acme.my.salesforce.com", "https://127.0.0.1", "x"] {
        let answer = json!({"access_token": "a", "token_type": "Bearer", "instance_url": instance});
        *scene.services.instead.borrow_mut() = Some(Scripted::json(200, answer));
        assert_eq!(scene.lease(&[]).status, 502, "{instance}");
    }
}

#[test]
fn a_user_of_snowflake_is_named_with_the_fingerprint_of_its_key() {
    let scene = Scene::new("snowflake");
    let lease = scene.leased(&[]);
    let token = lease["access_token"].as_str().unwrap();
    let (header, claims) = decode(token);
    let public = RsaPrivateKey::from_pkcs8_pem(&rsa_pem(KEY)).unwrap().to_public_key().to_public_key_der().unwrap();
    let fingerprint = STANDARD.encode(sha256(public.as_bytes()).bytes());
    let now = scene.hub.clock.seconds();
    let wanted = json!({
        "iss": format!("ACME-REPORTS.ROBOT.SHA256:{fingerprint}"), "sub": "ACME-REPORTS.ROBOT", "iat": now, "exp": now + 600,
    });
    assert_eq!((header, claims), (json!({"alg": "RS256", "typ": "JWT"}), wanted));
    let (input, signature) = token.rsplit_once('.').unwrap();
    assert!(verifies(Alg::Rs256, &rsa_jwk(KEY), input.as_bytes(), &unb64(signature).unwrap()));
    assert_eq!((&lease["snowflake_token_type"], &lease["expires_in"]), (&json!("KEYPAIR_JWT"), &json!(600)));
    let shown = scene.hub.admin("GET", "connections/downstream").send().json();
    assert_eq!(shown["credential"]["account"], format!("SHA256:{fingerprint}"));
    for account in ["xy12345.us-east-2.aws", "acme.reports", "", "a/b"] {
        assert_eq!(scene.change("snowflake", json!({"account": account})).status, 400, "{account}");
    }
}

#[test]
fn an_application_of_entra_proves_itself_with_its_secret_or_with_a_token_of_writ() {
    let scene = Scene::new("azure");
    scene.leased(&[]);
    assert_eq!(scene.last("client_secret").unwrap(), SECRET);
    let mut federated = one_kind("azure");
    federated.config["federated"] = true.into();
    let (_, _, detail) = problem(&scene.put(&federated));
    assert!(detail.contains("`secret`"), "{detail}");
    let old = scene.hub.db.query("SELECT id FROM credentials");
    scene.change("azure", json!({"federated": true})).expect(200);
    assert_ne!(scene.hub.db.query("SELECT id FROM credentials"), old, "the secret that nothing needs is gone");
    scene.leased(&[]);
    assert!(scene.last("client_secret").is_none());
    assert_eq!(decode(&scene.own_token()).1["aud"], "api://AzureADTokenExchange");
    let (status, _, detail) = problem(&scene.put(&Kind { secret: None, ..one_kind("azure") }));
    assert!(status == 400 && detail.contains("`secret` is missing"), "{detail}");
    for (member, bad) in [
        ("scope", "https://graph.microsoft.com/User.Read"),
        ("scope", "https://graph.microsoft.com/.default offline_access/.default"),
        ("tenant_id", "contoso.example/../common"),
        ("audience", ISSUER),
    ] {
        let (status, _, detail) = problem(&scene.change("azure", json!({"federated": true, member: bad})));
        assert!(status == 400 && detail.contains(member), "{member}: {detail}");
    }
}

#[test]
fn credentials_of_aws_are_of_the_agent_that_leases_and_limited_to_the_scope() {
    let scene = Scene::new("aws");
    let lease = scene.leased(&[]);
    let now = scene.hub.clock.seconds();
    let at = jiff::Timestamp::from_second(now as i64 + 3600).unwrap().to_string();
    let wanted = json!({
        "access_key_id": "ASIA1", "secret_access_key": format!("secret/{UPSTREAM}+key="),
        "session_token": format!("session.{UPSTREAM}.1"), "expiration": at, "expires_in": 3600, "expires_at": now + 3600,
        "scope": "reports.list reports.read", "token_type": "N_A",
    });
    assert_eq!(lease, wanted);
    assert_eq!(scene.last("RoleSessionName").unwrap(), scene.agent.client_id);
    let policy: Value = serde_json::from_str(&scene.last("Policy").unwrap()).unwrap();
    assert_eq!(policy["Statement"].as_array().unwrap().len(), 2);

    scene.leased(&[("scope", "reports.read")]);
    let policy: Value = serde_json::from_str(&scene.last("Policy").unwrap()).unwrap();
    assert_eq!(policy["Statement"], one_kind("aws").config["scopes"]["reports.read"]);
    assert_eq!(scene.lease(&[("scope", "reports.write")]).error(), "invalid_scope");

    let other = scene.hub.agent("other", "mcp:read");
    let theirs = scene.call_of(&other, &[]).send().expect(200).json();
    assert_ne!(theirs["access_key_id"], lease["access_key_id"], "each agent has a session of its own");
    assert_eq!(scene.last("RoleSessionName").unwrap(), other.client_id);
    let asked = scene.services.asked.get();
    assert_eq!(scene.leased(&[])["access_key_id"], lease["access_key_id"]);
    assert_eq!(scene.services.asked.get(), asked);

    scene.change("aws", json!({"scopes": {}, "duration_seconds": 900})).expect(200);
    assert_eq!(scene.leased(&[])["expires_in"], 900);
    assert!(scene.last("Policy").is_none());
}

#[test]
fn a_config_of_aws_names_a_role_a_region_and_policies_that_fit() {
    let scene = Scene::new("aws");
    let long = json!({"s": [{"Effect": "Allow", "Action": "s3:*", "Resource": "x".repeat(2_000)}]});
    for (member, bad) in [
        ("role_arn", json!("arn:aws:iam::123456789012:user/robot")),
        ("role_arn", json!("arn:aws:iam::1234:role/robot")),
        ("role_arn", json!("role/robot")),
        ("region", json!("eu-central-1.evil.example/")),
        ("region", json!("")),
        ("duration_seconds", json!(899)),
        ("duration_seconds", json!(43_201)),
        ("scopes", long),
        ("scopes", json!({"a b": [{}]})),
        ("scopes", json!({"a": []})),
        ("scopes", json!({"a": ["x"]})),
        ("audience", json!(ISSUER)),
    ] {
        let (status, _, detail) = problem(&scene.change("aws", json!({member: bad})));
        assert!(status == 400 && detail.contains(member), "{member}: {detail}");
    }
    let china = json!({"role_arn": "arn:aws-cn:iam::123456789012:role/r", "region": null});
    assert!(problem(&scene.change("aws", china)).2.contains("region"));
}

#[test]
fn an_answer_of_aws_that_is_not_whole_is_no_credentials() {
    let scene = Scene::new("aws");
    let at = jiff::Timestamp::from_second(scene.hub.clock.seconds() as i64 + 900).unwrap().to_string();
    let xml = |inner: &str| {
        format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>{inner}</Credentials>\
             </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )
    };
    let whole = format!(
        "<AccessKeyId>A</AccessKeyId><SecretAccessKey>B</SecretAccessKey><SessionToken>C</SessionToken><Expiration>{at}</Expiration>"
    );
    let says = |text: String| *scene.services.instead.borrow_mut() = Some(Scripted::answer(200, "text/xml", text));
    for bad in [
        xml(&whole.replace("<SessionToken>C</SessionToken>", "")),
        xml(&whole.replace(">B<", "><")),
        xml(&whole.replace(">B<", ">&lt;<")),
        xml(&whole.replace(&at, "soon")),
        xml(&whole.replace(&at, "2020-01-01T00:00:00Z")),
        xml(&[whole.as_str(), "<AccessKeyId>D</AccessKeyId>"].concat()),
        format!("<!DOCTYPE x [<!ENTITY e 'x'>]>{}", xml(&whole)),
        xml(&whole).replace("</Credentials>", ""),
        format!("<Other>{}</Other>", xml(&whole)),
        String::new(),
    ] {
        says(bad.clone());
        assert_eq!(scene.lease(&[]).status, 502, "{bad}");
    }
    for (code, reason) in [
        ("IDPCommunicationError", "ProviderFailed"),
        ("AccessDenied", "ProviderRefused"),
        ("SomethingNew", "ProviderRefused"),
    ] {
        *scene.services.instead.borrow_mut() = Some(aws_error(400, code));
        scene.lease(&[]).expect(502);
        assert_eq!(scene.refusal()["reason"], reason, "{code}");
    }
    says(xml(&whole));
    assert_eq!(scene.leased(&[])["session_token"], "C");
}

#[test]
fn a_service_account_acts_for_a_user_of_its_domain_or_gives_identity_tokens() {
    let scene = Scene::new("google_service_account");
    assert!(scene.leased(&[])["access_token"].as_str().unwrap().starts_with("robot."));
    scene.change("google_service_account", json!({"subject": "ada@acme.example"})).expect(200);
    let lease = scene.leased(&[("scope", STORAGE)]);
    assert!(lease["access_token"].as_str().unwrap().starts_with("ada@acme.example."));
    let (_, claims) = decode(&scene.last("assertion").unwrap());
    assert_eq!((&claims["sub"], &claims["scope"]), (&json!("ada@acme.example"), &json!(STORAGE)));

    let identity =
        Kind { config: json!({"target_audience": "https://run.example"}), ..one_kind("google_service_account") };
    scene.put(&identity).expect(200);
    let lease = scene.leased(&[]);
    assert_eq!(decode(lease["access_token"].as_str().unwrap()).1["aud"], "https://run.example");
    assert!(lease["expires_in"] == 3600 && lease.get("scope").is_none(), "{lease}");
    assert_eq!(scene.lease(&[("scope", STORAGE)]).error(), "invalid_scope");
    let both = json!({"target_audience": "https://run.example"});
    assert_eq!(scene.change("google_service_account", both).status, 400);
}

#[test]
fn a_token_of_google_within_a_boundary_is_the_only_one_that_is_leased() {
    let rule = json!({
        "availableResource": "//storage.googleapis.com/projects/_/buckets/reports",
        "availablePermissions": ["inRole:roles/storage.objectViewer"],
        "availabilityCondition": {"expression": "resource.name.startsWith('projects/_/buckets/reports/objects/2026')"},
    });
    for name in ["google_service_account", "google_workload_identity"] {
        let wide = Scene::new(name).leased(&[]);
        let scene = Scene::with(name, json!({"access_boundary": [rule]}));
        let lease = scene.leased(&[]);
        assert!(lease["access_token"].as_str().unwrap().starts_with("bounded."), "{name}: {lease}");
        assert!(lease["expires_in"].as_i64() <= wide["expires_in"].as_i64(), "{name}: {lease}");
        let options: Value = serde_json::from_str(&scene.last("options").unwrap()).unwrap();
        assert_eq!(options, json!({"accessBoundary": {"accessBoundaryRules": [rule]}}));
        for broken in [
            json!([{"availableResource": "//storage.googleapis.com/x"}]),
            json!([{"availableResource": "storage", "availablePermissions": ["inRole:x"]}]),
            json!([{"availableResource": "//x", "availablePermissions": ["x"]}]),
            json!([{"availableResource": "//x", "availablePermissions": []}]),
            json!(vec![rule.clone(); 11]),
            json!("x"),
        ] {
            assert_eq!(scene.change(name, json!({"access_boundary": broken})).status, 400, "{name}: {broken}");
        }
        let identity = json!({"access_boundary": [rule], "scopes": [], "target_audience": "https://api.example"});
        assert_eq!(scene.change(name, identity).status, 400, "{name}");
    }
}

#[test]
fn a_service_account_without_a_key_is_reached_by_a_token_of_writ() {
    let scene = Scene::new("google_workload_identity");
    assert_eq!(scene.leased(&[("scope", STORAGE)])["scope"], STORAGE);
    assert_eq!(serde_json::from_str::<Value>(&scene.last("body").unwrap()).unwrap()["scope"], json!([STORAGE]));
    assert_eq!(scene.services.asked.get(), 2);
    let config = json!({"audience": POOL, "service_account": ROBOT, "target_audience": "https://run.example"});
    scene.put(&Kind { config, ..one_kind("google_workload_identity") }).expect(200);
    let lease = scene.leased(&[]);
    assert_eq!(decode(lease["access_token"].as_str().unwrap()).1["aud"], "https://run.example");
    for (member, bad) in [
        ("audience", json!("//iam.googleapis.com/projects/1/locations/eu/workloadIdentityPools/a/providers/b")),
        ("audience", json!("https://evil.example")),
        ("service_account", json!("robot@demo.example/../other:signBlob")),
        ("service_account", json!("robot")),
        ("scopes", json!([])),
        ("scopes", json!(["openid"])),
    ] {
        let (status, _, detail) = problem(&scene.change("google_workload_identity", json!({member: bad})));
        assert!(status == 400 && detail.contains(member), "{member}: {detail}");
    }
}

#[test]
fn a_stored_token_is_exchanged_for_the_scope_of_the_lease() {
    let scene = Scene::new("token_exchange");
    let lease = scene.leased(&[("scope", "files.read")]);
    assert_eq!((&lease["scope"], scene.last("scope").unwrap().as_str()), (&json!("files.read"), "files.read"));
    scene.change("token_exchange", json!({"token_endpoint_auth_method": "client_secret_basic"})).expect(200);
    scene.leased(&[]);
    assert!(scene.last("client_secret").is_none());
}

#[test]
fn a_token_that_writ_issues_towards_others_is_no_token_at_writ() {
    let scene = Scene::new("aws");
    scene.leased(&[]);
    let token = scene.own_token();
    let (header, claims) = decode(&token);
    let now = scene.hub.clock.seconds();
    assert_eq!((&header["typ"], &header["alg"]), (&json!("JWT"), &json!("RS256")));
    assert_eq!((&claims["iat"], &claims["exp"]), (&json!(now), &json!(now + 300)));
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(ISSUER), &json!("connection:downstream")));

    let hub = &scene.hub;
    let form = [("subject_token", &*token)];
    let lease = hub.call("POST", PATH).basic(&scene.server).form(&form).send();
    assert_eq!((lease.status, lease.error().as_str()), (400, "invalid_request"));
    let introspect = hub.call("POST", "/t/main/introspect").basic(&scene.server).form(&[("token", &token)]).send();
    assert_eq!(introspect.expect(200).json(), json!({"active": false}));
    for path in ["/t/main/admin/clients", "/t/main/userinfo", "/t/main/ssf/streams"] {
        assert_eq!(hub.call("GET", path).bearer(&token).send().status, 401, "{path}");
    }
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    let bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let client = hub.create_client(json!({"grant_types": ["client_credentials", exchange, bearer]}));
    for kind in ["access_token", "id_token", "jwt", "refresh_token"] {
        let kind = format!("urn:ietf:params:oauth:token-type:{kind}");
        let form = [
            ("grant_type", exchange),
            ("subject_token", &*token),
            ("subject_token_type", &*kind),
            ("resource", RESOURCE),
        ];
        let reply = hub.call("POST", "/t/main/token").basic(&client).form(&form).send();
        assert!(matches!(reply.status, 400 | 401), "{kind}: {reply:?}");
    }
    let form = [("grant_type", bearer), ("assertion", &*token), ("resource", RESOURCE)];
    let reply = hub.call("POST", "/t/main/token").basic(&client).form(&form).send();
    assert!(matches!(reply.status, 400 | 401), "{reply:?}");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &*token),
    ];
    assert!(matches!(hub.call("POST", "/t/main/token").form(&form).send().status, 400 | 401));
}

#[test]
fn a_worker_without_signing_keys_says_so_and_leases_what_needs_none() {
    let split = [("ROLES", "broker"), ("SIGNING_KEK", "")];
    for (name, more) in
        [("aws", json!({})), ("google_workload_identity", json!({})), ("azure", json!({"federated": true}))]
    {
        let scene = Scene::bare();
        let mut kind = Kind { secret: None, ..one_kind(name) };
        kind.config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scene.put(&kind).expect(201);
        let broker = scene.hub.isolate_with(&split);
        let reply = scene.call_of(&scene.agent, &[]).on(&broker).send();
        assert_eq!((reply.status, reply.error().as_str()), (500, "server_error"), "{name}");
        let log = scene.hub.log.lines().join("\n");
        assert!(log.contains("this Worker has no signing key"), "{name}: {log}");
        scene.leased(&[]);
    }
    let scene = Scene::new("github_app");
    scene.call_of(&scene.agent, &[]).on(&scene.hub.isolate_with(&split)).send().expect(200);
}

#[test]
fn whichever_call_of_a_port_fails_there_is_no_lease_without_its_event() {
    for name in ["aws", "google_workload_identity", "basic"] {
        for port in [Port::Db, Port::Kv, Port::Queue, Port::Fetch, Port::Keys] {
            for nth in 0.. {
                let scene = Scene::new(name);
                let call = scene.call_of(&scene.agent, &[]);
                let isolate = scene.hub.isolate();
                let before = scene.hub.faults.calls(port);
                scene.hub.faults.fail_nth(port, nth, Effect::Fails);
                let reply = call.on(&isolate).send();
                scene.hub.faults.heal();
                if scene.hub.faults.calls(port) <= before + nth {
                    break;
                }
                let granted = scene.hub.events_of("lease.granted").len();
                assert_eq!(granted, usize::from(reply.status == 200), "{name} {port:?} {nth}: {reply:?}");
                assert!(matches!(reply.status, 200 | 502 | 503), "{name} {port:?} {nth}: {reply:?}");
                scene.leased(&[]);
            }
        }
    }
}

/// JSON for the page: what is secret, or another each time, is `…`.
fn shown(value: &Value, name: &str) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), shown(value, name)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(|item| shown(item, name)).collect(),
        Value::String(text) if text.starts_with("eyJ") => json!("eyJ…"),
        Value::String(text) if text.contains("PRIVATE KEY") => json!("-----BEGIN PRIVATE KEY-----\n…"),
        Value::String(text) if text.contains(UPSTREAM) || text.contains(SECRET) => json!("…"),
        Value::String(text) if name == "expiration" => json!(format!("{}…", &text[..11])),
        Value::Number(_) if name == "expires_at" => json!(1_795_000_000),
        other => other.clone(),
    }
}

/// `docs/mechanisms.md` shows a connection of each kind and a lease from it. `WRIT_WRITE_DOCS=1 cargo test --test it kinds::` writes them anew.
#[test]
fn the_page_of_mechanisms_shows_each_kind_as_it_is() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mechanisms.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut wanted = page.clone();
    for kind in every_kind() {
        let scene = Scene::new(kind.name);
        let lease = scene.leased(&[]);
        let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
        let mut body = json!({"kind": kind.name, "config": kind.config});
        if let Some(secret) = &kind.secret {
            body["secret"] = shown(secret, "");
        }
        let block = format!(
            "```\nPUT /t/main/admin/connections/downstream\nAuthorization: Bearer …\n\n{}\n\n201\n```\n\n```\n\
             POST /t/main/connections/downstream/token\nAuthorization: Basic …\n\nsubject_token=eyJ…\n\n200\n{}\n```\n",
            pretty(&body),
            pretty(&shown(&lease, "")),
        );
        let mark = format!("<!-- kind: {} -->\n", kind.name);
        let (before, after) = wanted.split_once(&mark).unwrap_or_else(|| panic!("no place for {}", kind.name));
        let rest = after.find("<!-- end -->").unwrap_or_else(|| panic!("no end of {}", kind.name));
        wanted = [before, &mark, &block, &after[rest..]].concat();
    }
    if std::env::var("WRIT_WRITE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(
            page == wanted,
            "the page says something else: WRIT_WRITE_DOCS=1 cargo test --test it kinds:: writes it anew"
        );
    }
}

#[test]
fn every_service_of_the_catalogue_is_connected_by_its_kind() {
    let scene = Scene::bare();
    for name in writ::vault::service::names() {
        let service = writ::vault::service::find(&json!(name)).unwrap();
        let settings: serde_json::Map<String, Value> =
            service.settings.iter().map(|(name, setting)| (name.clone(), setting.example.clone().into())).collect();
        let (more, secret) = match service.kind.as_str() {
            "api_key" => (json!({}), json!({"api_key": SECRET})),
            "basic" => (json!({}), json!({"username": "robot", "password": SECRET})),
            _ => (json!({"client_id": "c", "scopes": []}), json!({"client_secret": SECRET})),
        };
        let mut config = json!({"service": name, "settings": settings});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = json!({"kind": service.kind, "config": config, "secret": secret});
        let reply = scene.hub.admin("PUT", &format!("connections/{name}")).json(&body).send();
        assert_eq!(reply.status, 201, "{name}: {reply:?}");
    }
}
