//! `federated_jwt` and `spiffe_jwt`: workloads that an outside issuer vouches for, and the issuers themselves.

use crate::routes::client_assertions::{JWT_BEARER, refused};
use crate::support::hub::{ISSUER, RESOURCE, START, permit};
use crate::support::{Reply, Scripted, Setup, Signer};
use serde_json::{Value, json};
use writ::ports::Alg;

const NOW: i64 = START.cast_signed();
const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
const GITHUB: &str = "https://token.actions.githubusercontent.com";
const TENANT: &str = "8f1b2c3d-0000-4000-8000-0123456789ab";

/// A platform: its preset, its issuer, what pins the workload, and a token as it issues them.
struct Platform {
    preset: &'static str,
    issuer: String,
    alg: Alg,
    header: Value,
    rules: Value,
    claims: Value,
    /// What else the administrator says about it.
    body: Value,
}

fn equals(claim: &str, value: &str) -> Value {
    json!({"claim": claim, "equals": value})
}

/// Every platform with the claims that its documentation lists.
fn platforms() -> Vec<Platform> {
    let kubernetes = json!({
        "namespace": "agents",
        "node": {"name": "node-1", "uid": "c1a5cdbb-49bd-4b0b-b06b-6b5a2c7c3a11"},
        "pod": {"name": "agent-7f9c", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
        "serviceaccount": {"name": "reader", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
        "warnafter": NOW + 3_607,
    });
    let eks = "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE";
    let sts = "https://a1b2c3d4-e5f6-7890-abcd-ef1234567890.tokens.sts.global.api.aws";
    let entra = format!("https://sts.windows.net/{TENANT}/");
    let service_account = "system:serviceaccount:agents:reader";
    vec![
        Platform {
            preset: "github_actions",
            issuer: GITHUB.to_owned(),
            alg: Alg::Rs256,
            header: json!({"typ": "JWT", "kid": "k", "x5t": "oDaGZ3kXbm-1EuQXwRZ4l_4x2mc"}),
            rules: json!([equals("repository_owner_id", "65"), {"claim": "sub", "prefix": "repo:octo-org/octo-repo:"}]),
            claims: json!({
                "jti": "example-id", "sub": "repo:octo-org/octo-repo:environment:prod", "environment": "prod", "aud": ISSUER,
                "ref": "refs/heads/main", "sha": "example-sha", "repository": "octo-org/octo-repo",
                "repository_owner": "octo-org", "actor_id": "12", "repository_visibility": "private",
                "repository_id": "74", "repository_owner_id": "65", "run_id": "example-run-id", "run_number": "10",
                "run_attempt": "2", "runner_environment": "github-hosted", "actor": "octocat", "workflow": "deploy",
                "head_ref": "", "base_ref": "", "event_name": "workflow_dispatch", "enterprise": "octo", "enterprise_id": "3",
                "ref_type": "branch", "ref_protected": "true", "workflow_sha": "example-sha", "job_workflow_sha": "example-sha",
                "workflow_ref": "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
                "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
                "iss": GITHUB, "nbf": NOW - 300, "exp": NOW + 300, "iat": NOW - 5,
            }),
            body: json!({}),
        },
        Platform {
            preset: "gcp",
            issuer: "https://accounts.google.com".to_owned(),
            alg: Alg::Rs256,
            header: json!({"typ": "JWT", "kid": "k"}),
            rules: json!([
                equals("google.compute_engine.project_id", "acme-prod"),
                equals("email", "reader@acme-prod.iam.gserviceaccount.com"),
                equals("email_verified", "true"),
            ]),
            claims: json!({
                "aud": ISSUER, "azp": "112010400000000710080", "email": "reader@acme-prod.iam.gserviceaccount.com",
                "email_verified": true, "exp": NOW + 3_600, "iat": NOW, "iss": "https://accounts.google.com",
                "sub": "112010400000000710080",
                "google": {"compute_engine": {
                    "instance_confidentiality": 0, "instance_creation_timestamp": 1_767_000_000, "instance_id": "848400000000000",
                    "instance_name": "agent-1", "project_id": "acme-prod", "project_number": 739_419_398_126_i64,
                    "zone": "europe-west1-b",
                }},
            }),
            body: json!({}),
        },
        Platform {
            preset: "aws_sts",
            issuer: sts.to_owned(),
            alg: Alg::Rs256,
            header: json!({"typ": "JWT", "kid": "k"}),
            rules: json!([
                equals("sub", "arn:aws:iam::123456789012:role/Reader"),
                equals("https://sts.amazonaws.com//aws_account", "123456789012"),
            ]),
            claims: json!({
                "iss": sts, "aud": ISSUER, "sub": "arn:aws:iam::123456789012:role/Reader", "iat": NOW, "exp": NOW + 300,
                "jti": "9b1d3c4e-2f60-4b8e-9a77-0c1d2e3f4a5b",
                "https://sts.amazonaws.com/": {
                    "aws_account": "123456789012", "source_region": "eu-central-1", "org_id": "o-abc1234567",
                    "ou_path": ["o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"], "principal_tags": {"environment": "production"},
                    "lambda_source_function_arn": "arn:aws:lambda:eu-central-1:123456789012:function:reader",
                    "request_tags": {"job-id": "1"}, "session_name": "reader",
                },
            }),
            body: json!({}),
        },
        Platform {
            preset: "aws_eks",
            issuer: eks.to_owned(),
            alg: Alg::Rs256,
            header: json!({"kid": "k"}),
            rules: json!([equals("sub", service_account)]),
            claims: json!({
                "aud": ["sts.amazonaws.com"], "exp": NOW + 86_400, "iat": NOW, "nbf": NOW, "iss": eks, "sub": service_account,
                "jti": "d4a7e1b2-0000-4000-8000-000000000001", "kubernetes.io": kubernetes,
            }),
            body: json!({"audience": "sts.amazonaws.com"}),
        },
        Platform {
            preset: "kubernetes",
            issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
            alg: Alg::Es256,
            header: json!({"kid": "k"}),
            rules: json!([
                equals("kubernetes.io/namespace", "agents"),
                equals("kubernetes.io/serviceaccount/name", "reader"),
            ]),
            claims: json!({
                "aud": [ISSUER], "exp": NOW + 3_607, "iat": NOW, "nbf": NOW, "jti": "d4a7e1b2-0000-4000-8000-000000000002",
                "iss": "https://kubernetes.default.svc.cluster.local", "sub": service_account, "kubernetes.io": kubernetes,
            }),
            body: json!({"jwks": Signer::new(Alg::Es256, 5).jwks("k")}),
        },
        Platform {
            preset: "azure",
            issuer: entra.clone(),
            alg: Alg::Rs256,
            header: json!({"typ": "JWT", "kid": "k", "x5t": "oDaGZ3kXbm-1EuQXwRZ4l_4x2mc"}),
            rules: json!([equals("tid", TENANT), equals("oid", "d0f5c3a2-0000-4000-8000-00000000000a")]),
            claims: json!({
                "aud": "api://writ", "iss": entra, "iat": NOW - 300, "nbf": NOW - 300, "exp": NOW + 86_400, "aio": "E2ZgYFg=",
                "appid": "5f2cbb4d-0000-4000-8000-00000000000b", "appidacr": "2", "idp": entra, "idtyp": "app",
                "oid": "d0f5c3a2-0000-4000-8000-00000000000a", "rh": "0.AXEA.", "sub": "d0f5c3a2-0000-4000-8000-00000000000a",
                "tid": TENANT, "uti": "uti", "ver": "1.0", "xms_ftd": "x", "xms_idrel": "7 8",
                "xms_mirid": "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/reader",
            }),
            body: json!({"audience": "api://writ"}),
        },
        Platform {
            preset: "gitlab",
            issuer: "https://gitlab.com".to_owned(),
            alg: Alg::Rs256,
            header: json!({"typ": "JWT", "kid": "k"}),
            rules: json!([equals("namespace_id", "72"), equals("ref_protected", "true"), {"claim": "ref", "one_of": ["main", "release"]}]),
            claims: json!({
                "namespace_id": "72", "namespace_path": "my-group", "project_id": "20", "project_path": "my-group/my-project",
                "user_id": "1", "user_login": "sample-user", "user_email": "user@example.com", "user_access_level": "developer",
                "user_identities": [{"provider": "github", "extern_uid": "2"}], "pipeline_id": "574", "pipeline_source": "push",
                "job_id": "302", "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true",
                "groups_direct": ["my-group/a", "my-group/b"], "environment": "prod", "environment_protected": "true",
                "deployment_tier": "production", "environment_action": "start", "runner_id": 1, "runner_environment": "gitlab-hosted",
                "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc", "project_visibility": "private",
                "ci_config_ref_uri": "gitlab.com/my-group/my-project//.gitlab-ci.yml@refs/heads/main",
                "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc", "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
                "iat": NOW, "nbf": NOW - 5, "exp": NOW + 3_600, "iss": "https://gitlab.com", "aud": ISSUER,
                "sub": "project_path:my-group/my-project:ref_type:branch:ref:main",
            }),
            body: json!({}),
        },
        Platform {
            preset: "buildkite",
            issuer: "https://agent.buildkite.com".to_owned(),
            alg: Alg::Rs256,
            header: json!({"typ": "JWT", "kid": "k"}),
            rules: json!([
                equals("organization_slug", "acme-inc"),
                equals("pipeline_slug", "deploy"),
                equals("build_branch", "main")
            ]),
            claims: json!({
                "iss": "https://agent.buildkite.com", "aud": ISSUER, "iat": NOW, "nbf": NOW, "exp": NOW + 300,
                "sub": "organization:acme-inc:pipeline:deploy:ref:refs/heads/main:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:build",
                "organization_slug": "acme-inc", "pipeline_slug": "deploy", "build_number": 1, "build_branch": "main",
                "build_commit": "9f3182061f1e2cca4702c368cbc039b7dc9d4485", "build_source": "ui", "step_key": "build",
                "job_id": "0184990a-477b-4fa8-9968-496074483cee", "agent_id": "0184990a-4782-42b5-afc1-16715b10b8ff",
                "runner_environment": "self-hosted", "organization_id": "0184990a-477b-4fa8-9968-496074483k77",
            }),
            body: json!({}),
        },
        Platform {
            preset: "oidc",
            issuer: "https://idp.example.com/realms/agents".to_owned(),
            alg: Alg::EdDsa,
            header: json!({"typ": "JWT"}),
            rules: json!([equals("sub", "reader"), equals("realm.roles/level", "3")]),
            claims: json!({
                "iss": "https://idp.example.com/realms/agents", "sub": "reader", "aud": ISSUER, "iat": NOW, "exp": NOW + 60,
                "realm": {"roles": {"level": 3}},
            }),
            body: json!({}),
        },
    ]
}

impl Platform {
    fn key(&self) -> Signer {
        Signer::new(self.alg, 5)
    }

    /// Registers it; what it says of itself is found by its OpenID configuration unless its keys are registered.
    fn register(&self, hub: &Setup) -> Reply {
        let mut body = json!({"issuer": self.issuer, "name": self.preset, "preset": self.preset, "uses": ["workload"]});
        body.as_object_mut().unwrap().extend(self.body.as_object().unwrap().clone());
        let (issuer, set) = (self.issuer.clone(), self.key().jwks("k"));
        hub.fetch.answer(move |request| {
            let base = issuer.trim_end_matches('/');
            match request.url.strip_prefix(base) {
                Some("/.well-known/openid-configuration") => {
                    Scripted::json(200, json!({"issuer": issuer, "jwks_uri": format!("{base}/keys")}))
                }
                Some("/keys") => Scripted::json(200, set.clone()),
                _ => Scripted::answer(404, "text/plain", ""),
            }
        });
        hub.admin("POST", "issuers").json(&body).send()
    }

    fn token(&self, other: Value) -> String {
        let mut claims = self.claims.clone();
        for (name, value) in other.as_object().unwrap() {
            match value.is_null() {
                true => claims.as_object_mut().unwrap().remove(name),
                false => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        self.key().jwt(self.header.clone(), &claims)
    }
}

fn github() -> Platform {
    platforms().remove(0)
}

fn attempt(hub: &Setup, method: &str, issuer: &str, rules: &Value) -> Reply {
    let body = json!({
        "client_name": "workload", "token_endpoint_auth_method": method, "allowed_resources": [RESOURCE],
        "workload_identities": [{"issuer": issuer, "rules": rules}],
    });
    hub.admin("POST", "clients").json(&body).send()
}

fn client(hub: &Setup, method: &str, issuer: &str, rules: &Value) -> String {
    if hub.db.query("SELECT id FROM resources").is_empty() {
        hub.create_resource(json!({}));
    }
    let made = attempt(hub, method, issuer, rules).expect(201).json();
    let id = made["client_id"].as_str().unwrap().to_owned();
    hub.put_policy(&id.to_lowercase(), &permit(&id, RESOURCE));
    id
}

fn send(hub: &Setup, kind: &str, assertion: &str, more: &[(&str, &str)]) -> Reply {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", kind),
        ("client_assertion", assertion),
        ("resource", RESOURCE),
    ];
    hub.call("POST", "/t/main/token").form(&[&form, more].concat()).send()
}

/// A hub where one platform's workload is a client.
fn ready(platform: &Platform) -> (Setup, String) {
    let hub = Setup::new();
    platform.register(&hub).expect(201);
    let id = client(&hub, "federated_jwt", &platform.issuer, &platform.rules);
    (hub, id)
}

// ── The platforms ──

#[test]
fn a_token_of_each_platform_proves_its_workload_with_and_without_a_client_id() {
    for platform in platforms() {
        let (hub, id) = ready(&platform);
        let token = platform.token(json!({}));
        for more in [vec![], vec![("client_id", &*id)]] {
            let reply = send(&hub, JWT_BEARER, &token, &more);
            assert_eq!(reply.status, 200, "{}: {reply:?} {:?}", platform.preset, hub.events_of("token.refused"));
        }
        let events = hub.events_of("token.issued");
        let event = events.iter().find(|event| event["client"] == id.as_str()).unwrap();
        assert_eq!(event["auth_method"], "federated_jwt");
    }
}

#[test]
fn policies_see_the_claims_of_a_workload_that_are_registered_with_its_issuer() {
    let platform = Platform { body: json!({"claims": ["environment", "repository"]}), ..github() };
    let hub = Setup::new();
    platform.register(&hub).expect(201);
    let id = client(&hub, "federated_jwt", &platform.issuer, &platform.rules);
    let with = |claim: &str| {
        let condition = format!("context.workload_claims.contains(\"{claim}\")");
        hub.put_policy(&id.to_lowercase(), &permit(&id, RESOURCE).replace(';', &format!(" when {{ {condition} }};")));
        send(&hub, JWT_BEARER, &platform.token(json!({})), &[]).status
    };
    assert_eq!(
        [with("environment=prod"), with("environment=staging"), with("repository=octo-org/octo-repo")],
        [200, 400, 200]
    );
    assert_eq!(with("actor=octocat"), 400, "it is not registered");
    // The assertion as the grant itself.
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let form = [("grant_type", grant), ("assertion", &*platform.token(json!({}))), ("resource", RESOURCE)];
    let grants = json!(["client_credentials", grant]).to_string();
    hub.db.execute(&format!("UPDATE clients SET metadata = json_set(metadata, '$.grant_types', json('{grants}'))"));
    hub.restart();
    assert_eq!(with("environment=prod"), 200);
    hub.call("POST", "/t/main/token").form(&form).send().expect(200);
    assert_eq!(with("environment=staging"), 400);
    hub.call("POST", "/t/main/token").form(&form).send().expect(400);
    // What does not fit is refused.
    let odd = platform.key().jwt(platform.header.clone(), &{
        let mut claims = platform.claims.clone();
        claims["environment"] = json!({"name": "prod"});
        claims
    });
    refused(&send(&hub, JWT_BEARER, &odd, &[]));
}

#[test]
fn each_rule_of_each_platform_has_to_hold() {
    for platform in platforms() {
        for rule in platform.rules.as_array().unwrap() {
            let (hub, _) = ready(&platform);
            let mut claims = platform.claims.clone();
            let path = rule["claim"].as_str().unwrap().replace("google.", "/google/").replace("engine.", "engine/");
            let path = match path.strip_prefix("kubernetes.io") {
                Some(rest) => format!("/kubernetes.io{rest}"),
                None => match path.split_once("//aws") {
                    Some(_) => "/https:~1~1sts.amazonaws.com~1/aws_account".to_owned(),
                    None => format!("/{}", path.trim_start_matches('/').replace("realm.roles", "realm/roles")),
                },
            };
            let place = claims.pointer_mut(&path).unwrap_or_else(|| panic!("{path}"));
            *place = json!("another");
            refused(&send(&hub, JWT_BEARER, &platform.key().jwt(platform.header.clone(), &claims), &[]));
            // It belongs to no client, so the log tells why.
            let why = hub.log.lines().join("\n");
            assert!(why.contains("no workload of this client"), "{}: {why}", platform.preset);
        }
    }
}

#[test]
fn a_platforms_token_for_somebody_else_too_late_or_too_long_is_refused() {
    for platform in platforms() {
        let (hub, id) = ready(&platform);
        for other in [
            json!({"aud": "https://other.example"}),
            json!({"aud": ["https://other.example"]}),
            json!({"aud": [platform.claims["aud"].as_str().unwrap_or(ISSUER), "https://other.example"]}),
            json!({"aud": Value::Null}),
            json!({"exp": NOW - 61}),
            json!({"exp": Value::Null}),
            json!({"exp": NOW + 90_000}),
            json!({"iat": NOW + 61}),
            json!({"nbf": NOW + 61}),
            json!({"nbf": "soon"}),
            json!({"iss": format!("{}.evil.example", platform.issuer)}),
            json!({"iss": [platform.issuer]}),
            json!({"sub": Value::Null}),
            json!({"sub": ""}),
        ] {
            refused(&send(&hub, JWT_BEARER, &platform.token(other.clone()), &[("client_id", &id)]));
        }
        // Neither RFC 7523 §3 nor JWT-SVID §3 asks for `iat`.
        send(&hub, JWT_BEARER, &platform.token(json!({"iat": Value::Null})), &[]).expect(200);
        let forger = Signer::new(platform.alg, 6);
        refused(&send(&hub, JWT_BEARER, &forger.jwt(platform.header.clone(), &platform.claims), &[]));
        send(&hub, JWT_BEARER, &platform.token(json!({})), &[]).expect(200);
    }
}

#[test]
fn a_platforms_token_is_used_while_it_lives() {
    let platform = github();
    let (hub, _) = ready(&platform);
    let token = platform.token(json!({}));
    for _ in 0..3 {
        send(&hub, JWT_BEARER, &token, &[]).expect(200);
    }
    hub.clock.advance(320);
    refused(&send(&hub, JWT_BEARER, &token, &[]));
}

// ── Who is meant ──

#[test]
fn where_the_rules_of_two_clients_hold_it_is_neither_unless_the_request_says_which() {
    let platform = github();
    let (hub, first) = ready(&platform);
    let second = client(&hub, "federated_jwt", GITHUB, &json!([equals("repository", "octo-org/octo-repo")]));
    let token = platform.token(json!({}));
    refused(&send(&hub, JWT_BEARER, &token, &[]));
    for id in [first, second] {
        send(&hub, JWT_BEARER, &token, &[("client_id", &id)]).expect(200);
    }
}

#[test]
fn a_workload_is_not_the_client_that_it_names_unless_the_rules_say_so() {
    let platform = github();
    let (hub, _) = ready(&platform);
    let other = client(&hub, "federated_jwt", GITHUB, &json!([equals("repository_owner_id", "66")]));
    let basic = hub.agent("basic", "mcp:read").client_id;
    for id in [&*other, &basic, "client_nobody", GITHUB] {
        refused(&send(&hub, JWT_BEARER, &platform.token(json!({})), &[("client_id", id)]));
    }
}

#[test]
fn an_issuer_that_is_unknown_removed_or_registered_for_something_else_vouches_for_nobody() {
    let platform = github();
    let (hub, _) = ready(&platform);
    let token = platform.token(json!({}));
    send(&hub, JWT_BEARER, &token, &[]).expect(200);
    let listed = hub.admin("GET", "issuers").send().expect(200).json();
    let id = listed["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("issuers/{id}");
    let users = json!({"issuer": GITHUB, "name": "GitHub", "preset": "github_actions", "uses": ["jwt_bearer"]});
    hub.admin("PUT", &path).header("if-match", "*").json(&users).send().expect(200);
    refused(&send(&hub, JWT_BEARER, &token, &[]));
    // A client that names it keeps it from being removed.
    hub.admin("DELETE", &path).send().expect(409);
    hub.db.execute("UPDATE clients SET metadata = json_remove(metadata, '$.workload_identities')");
    hub.admin("DELETE", &path).send().expect(204);
    refused(&send(&hub, JWT_BEARER, &token, &[]));
    let types: Vec<String> = hub
        .events()
        .iter()
        .filter_map(|event| event["type"].as_str())
        .filter(|kind| kind.starts_with("issuer."))
        .map(str::to_owned)
        .collect();
    assert_eq!(types, ["issuer.created", "issuer.updated", "issuer.deleted"]);
}

#[test]
fn the_rules_of_the_issuer_itself_hold_for_all_its_workloads() {
    let mut platform = github();
    platform.body = json!({"rules": [equals("runner_environment", "self-hosted")]});
    let (hub, _) = ready(&platform);
    refused(&send(&hub, JWT_BEARER, &platform.token(json!({})), &[]));
    send(&hub, JWT_BEARER, &platform.token(json!({"runner_environment": "self-hosted"})), &[]).expect(200);
}

#[test]
fn a_workload_of_one_tenant_is_nobody_in_another() {
    let hub = Setup::new();
    hub.create_tenant("second");
    // Both tenants know an issuer of one name and a client of the same rules; the keys tell the issuers apart.
    let platform = github();
    let keys = [Signer::new(Alg::Rs256, 5), Signer::new(Alg::Rs256, 6)];
    for (tenant, key) in ["main", "second"].into_iter().zip(&keys) {
        hub.create_resource_of(tenant, json!({}));
        let issuer = json!({
            "issuer": GITHUB, "name": "GitHub", "preset": "github_actions", "uses": ["workload"], "jwks": key.jwks("k"),
        });
        hub.admin_of(tenant, "POST", "issuers").json(&issuer).send().expect(201);
        let client = json!({
            "client_name": "workload", "token_endpoint_auth_method": "federated_jwt", "allowed_resources": [RESOURCE],
            "workload_identities": [{"issuer": GITHUB, "rules": platform.rules}],
        });
        let made = hub.admin_of(tenant, "POST", "clients").json(&client).send().expect(201).json();
        hub.put_policy_of(tenant, "workload", &permit(made["client_id"].as_str().unwrap(), RESOURCE));
    }
    let send = |tenant: &str, key: &Signer| {
        let mut claims = platform.claims.clone();
        claims["aud"] = hub.issuer(tenant).into();
        let assertion = key.jwt(platform.header.clone(), &claims);
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", &*assertion),
            ("resource", RESOURCE),
        ];
        hub.call("POST", &format!("/t/{tenant}/token")).form(&form).send()
    };
    for (own, other, key) in [("main", "second", &keys[0]), ("second", "main", &keys[1])] {
        send(own, key).expect(200);
        refused(&send(other, key));
    }
}

#[test]
fn the_same_subject_at_two_issuers_is_two_workloads() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let issuers = ["https://one.example", "https://two.example"];
    let keys = [Signer::new(Alg::Es256, 5), Signer::new(Alg::Es256, 6)];
    let clients = [0, 1].map(|n| {
        let body = json!({
            "issuer": issuers[n], "name": "a platform", "preset": "oidc", "uses": ["workload"], "jwks": keys[n].jwks("k"),
        });
        hub.admin("POST", "issuers").json(&body).send().expect(201);
        client(&hub, "federated_jwt", issuers[n], &json!([equals("sub", "agents/reader")]))
    });
    let token = |issuer: &str, key: &Signer| {
        let claims = json!({"iss": issuer, "sub": "agents/reader", "aud": ISSUER, "iat": NOW, "exp": NOW + 300});
        key.jwt(json!({"typ": "JWT", "kid": "k"}), &claims)
    };
    for n in [0, 1] {
        let own = token(issuers[n], &keys[n]);
        let reply = send(&hub, JWT_BEARER, &own, &[]).access_token();
        assert_eq!(crate::support::hub::decode(&reply).1["sub"], clients[n].as_str());
        // It is not the other, whether it says so or is signed so.
        refused(&send(&hub, JWT_BEARER, &own, &[("client_id", &clients[1 - n])]));
        refused(&send(&hub, JWT_BEARER, &token(issuers[n], &keys[1 - n]), &[]));
    }
    hub.admin("POST", &format!("clients/{}/suspend", clients[0])).send().expect(200);
    refused(&send(&hub, JWT_BEARER, &token(issuers[0], &keys[0]), &[]));
    send(&hub, JWT_BEARER, &token(issuers[1], &keys[1]), &[]).expect(200);
}

// ── Keys of issuers ──

#[test]
fn an_openid_configuration_of_another_issuer_is_not_believed_and_is_not_the_clients_fault() {
    let platform = github();
    for (document, fetched) in [
        (json!({"issuer": "https://evil.example", "jwks_uri": format!("{GITHUB}/keys")}), 1),
        (json!({"issuer": format!("{GITHUB}/"), "jwks_uri": format!("{GITHUB}/keys")}), 1),
        (json!({"issuer": GITHUB}), 1),
        (json!({"issuer": GITHUB, "jwks_uri": "http://token.actions.githubusercontent.com/keys"}), 1),
        (json!({"issuer": GITHUB, "jwks_uri": "https://169.254.169.254/keys"}), 1),
        (json!([]), 1),
    ] {
        let (hub, _) = ready(&platform);
        let set = platform.key().jwks("k");
        hub.fetch.answer(move |request| match request.url.ends_with("/openid-configuration") {
            true => Scripted::json(200, document.clone()),
            false => Scripted::json(200, set.clone()),
        });
        send(&hub, JWT_BEARER, &platform.token(json!({})), &[]).expect(503);
        assert_eq!(hub.fetch.requests().len(), fetched);
    }
}

#[test]
fn registered_keys_or_their_place_are_used_without_asking_the_issuer() {
    for body in [json!({"jwks": github().key().jwks("k")}), json!({"jwks_uri": "https://keys.example/set"})] {
        let platform = Platform { body, ..github() };
        let (hub, _) = ready(&platform);
        let set = platform.key().jwks("k");
        hub.fetch.answer(move |request| {
            assert_eq!(request.url, "https://keys.example/set");
            Scripted::json(200, set.clone())
        });
        send(&hub, JWT_BEARER, &platform.token(json!({})), &[]).expect(200);
    }
}

// ── Registration ──

#[test]
fn an_issuer_that_many_customers_share_is_refused_without_a_rule_that_pins_the_customer() {
    for platform in platforms() {
        let shared = ["github_actions", "gitlab", "gcp", "buildkite"].contains(&platform.preset);
        let hub = Setup::new();
        // The preset under which it was registered does not matter.
        for preset in [platform.preset, "oidc"] {
            hub.db.execute("DELETE FROM issuers");
            let registered = Platform {
                preset,
                issuer: platform.issuer.clone(),
                body: platform.body.clone(),
                ..platforms().remove(0)
            };
            registered.register(&hub).expect(201);
            hub.restart();
            let loose = json!([equals("environment", "prod")]);
            let reply = attempt(&hub, "federated_jwt", &platform.issuer, &loose);
            assert_eq!(reply.status, if shared { 400 } else { 201 }, "{}: {reply:?}", platform.preset);
            assert!(!shared || reply.json()["detail"].as_str().unwrap().contains("many customers"));
            attempt(&hub, "federated_jwt", &platform.issuer, &platform.rules).expect(201);
        }
    }
}

#[test]
fn workload_identities_go_with_the_methods_that_use_them() {
    let hub = Setup::new();
    let platform = github();
    let rules = &platform.rules;
    let why = |reply: Reply| reply.expect(400).json()["detail"].as_str().unwrap().to_owned();
    assert!(why(attempt(&hub, "federated_jwt", GITHUB, rules)).contains("register its `issuer` first"));
    platform.register(&hub).expect(201);
    assert!(why(attempt(&hub, "spiffe_jwt", GITHUB, rules)).contains("spiffe_jwt"));
    for method in ["client_secret_basic", "client_secret_post", "private_key_jwt"] {
        attempt(&hub, method, GITHUB, rules).expect(400);
    }
    attempt(&hub, "federated_jwt", GITHUB, &json!([])).expect(400);
    attempt(&hub, "federated_jwt", GITHUB, &json!([{"claim": "repository_owner_id"}])).expect(400);
    attempt(&hub, "federated_jwt", GITHUB, &json!([{"claim": "repository_owner_id", "equals": "1", "prefix": "1"}]))
        .expect(400);
    attempt(&hub, "federated_jwt", GITHUB, &json!([{"claim": "repository", "prefix": ""}])).expect(400);
    let none = json!({"client_name": "workload", "token_endpoint_auth_method": "federated_jwt"});
    hub.admin("POST", "clients").json(&none).send().expect(400);
    let made = attempt(&hub, "federated_jwt", GITHUB, rules).expect(201).json();
    assert!(made.get("client_secret").is_none());
    assert_eq!(made["workload_identities"], json!([{"issuer": GITHUB, "rules": rules}]), "it reads as it was written");
}

#[test]
fn an_issuer_is_checked_when_it_is_registered() {
    let hub = Setup::new();
    let base = json!({"issuer": "https://idp.example.com", "name": "IdP", "uses": ["workload"]});
    let with = |other: Value| {
        let mut body = base.clone();
        body.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        hub.admin("POST", "issuers").json(&body).send()
    };
    let key = Signer::new(Alg::Es256, 1);
    let mut private = key.jwks("k");
    private["keys"][0]["d"] = "AAAA".into();
    for bad in [
        json!({"preset": "unknown"}),
        json!({"preset": "gcp"}),
        json!({"uses": []}),
        json!({"uses": ["everything"]}),
        json!({"name": ""}),
        json!({"issuer": ""}),
        json!({"issuer": "http://idp.example.com"}),
        json!({"issuer": "https://169.254.169.254"}),
        json!({"issuer": "https://idp.internal"}),
        json!({"issuer": ISSUER}),
        json!({"jwks": key.jwks("k"), "jwks_uri": "https://idp.example.com/keys"}),
        json!({"jwks": private}),
        json!({"jwks": {"keys": []}}),
        json!({"jwks_uri": "http://idp.example.com/keys"}),
        json!({"jwks_uri": "https://localhost/keys"}),
        json!({"audience": "api://writ", "uses": ["workload", "id_jag"]}),
        json!({"rules": [{"claim": "sub"}]}),
        json!({"rules": [{"claim": "sub", "equals": ""}]}),
        json!({"id": "Not A Slug"}),
        json!({"colour": "red"}),
    ] {
        let reply = with(bad.clone());
        assert_eq!(reply.status, 400, "{bad}: {reply:?}");
        assert!(reply.json()["detail"].is_string(), "{bad}: {reply:?}");
    }
    with(json!({"issuer": ISSUER, "jwks": key.jwks("k")})).expect(409);
    assert!(hub.fetch.requests().is_empty(), "registration calls nobody");
    let made = with(json!({"id": "idp"})).expect(201);
    assert_eq!(made.header("location"), Some(&*format!("{ISSUER}/admin/issuers/idp")));
    assert_eq!(made.json()["preset"], "oidc");
    with(json!({"id": "other"})).expect(409);
    with(json!({"id": "idp", "issuer": "https://other.example.com"})).expect(409);
    with(json!({"id": "other", "issuer": "https://other.example.com"})).expect(201);
    let put = |body: Value| hub.admin("PUT", "issuers/other").header("if-match", "*").json(&body).send();
    put(base.clone()).expect(409);
    put(json!({"issuer": "https://other.example.com", "name": "Other", "uses": ["id_jag"]})).expect(200);
}

// ── SPIFFE ──

const DOMAIN: &str = "spiffe://prod.example.org";
const ID: &str = "spiffe://prod.example.org/ns/agents/sa/reader";

fn bundle(keys: Value) -> Value {
    json!({"spiffe_sequence": 1, "spiffe_refresh_hint": 300, "keys": keys})
}

fn svid_key(key: &Signer, purpose: &str) -> Value {
    let mut jwk = key.jwks("k")["keys"][0].clone();
    jwk["use"] = purpose.into();
    jwk
}

/// A trust domain whose bundle has an X.509 authority and a JWT authority, and a client that is one of its workloads.
fn trust_domain() -> (Setup, Signer, String) {
    let hub = Setup::new();
    let key = Signer::new(Alg::Es256, 7);
    let x509 = json!({"kty": "EC", "use": "x509-svid", "crv": "P-256", "x": "AAAA", "y": "AAAA", "x5c": ["MIIB"]});
    let set = bundle(json!([x509, svid_key(&key, "jwt-svid")]));
    hub.fetch.answer(move |request| {
        assert_eq!(request.url, "https://bundle.example.org/");
        Scripted::json(200, set.clone())
    });
    let body = json!({
        "issuer": DOMAIN, "name": "Production", "preset": "spiffe", "uses": ["workload"],
        "jwks_uri": "https://bundle.example.org/",
    });
    hub.admin("POST", "issuers").json(&body).send().expect(201);
    let id = client(&hub, "spiffe_jwt", DOMAIN, &json!([equals("sub", ID)]));
    (hub, key, id)
}

fn svid(other: Value) -> Value {
    let mut claims = json!({"sub": ID, "aud": [ISSUER], "exp": NOW + 300, "iat": NOW});
    claims.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    claims
}

#[test]
fn a_jwt_svid_proves_its_workload() {
    let (hub, key, id) = trust_domain();
    for (header, aud) in [
        (json!({"kid": "k"}), json!([ISSUER])),
        (json!({"kid": "k", "typ": "JWT"}), json!(ISSUER)),
        (json!({"kid": "k", "typ": "JOSE"}), json!(ISSUER)),
    ] {
        let text = key.jwt(header, &svid(json!({"aud": aud})));
        for more in [vec![], vec![("client_id", &*id)], vec![("client_id", ID)]] {
            send(&hub, JWT_SPIFFE, &text, &more).expect(200);
        }
    }
    let events = hub.events_of("token.issued");
    assert!(events.iter().any(|event| event["auth_method"] == "spiffe_jwt" && event["client"] == id.as_str()));
}

#[test]
fn a_jwt_svid_of_another_workload_domain_audience_or_time_is_refused() {
    let (hub, key, id) = trust_domain();
    for other in [
        json!({"sub": "spiffe://prod.example.org/ns/agents/sa/writer"}),
        json!({"sub": "spiffe://prod.example.org"}),
        json!({"sub": "spiffe://prod.example.org/"}),
        json!({"sub": "spiffe://prod.example.org.evil.example/ns/agents/sa/reader"}),
        json!({"sub": "spiffe://other.example.org/ns/agents/sa/reader"}),
        json!({"sub": "https://prod.example.org/ns/agents/sa/reader"}),
        json!({"sub": id}),
        json!({"sub": [ID]}),
        json!({"aud": "https://other.example"}),
        json!({"aud": [ISSUER, "https://other.example"]}),
        json!({"aud": []}),
        json!({"exp": NOW - 61}),
        json!({"exp": NOW + 90_000}),
    ] {
        let text = key.jwt(json!({"kid": "k"}), &svid(other.clone()));
        refused(&send(&hub, JWT_SPIFFE, &text, &[]));
        refused(&send(&hub, JWT_SPIFFE, &text, &[("client_id", &id)]));
    }
    refused(&send(&hub, JWT_SPIFFE, &Signer::new(Alg::Es256, 8).jwt(json!({"kid": "k"}), &svid(json!({}))), &[]));
    refused(&send(&hub, JWT_SPIFFE, &key.jwt(json!({"kid": "k", "typ": "at+jwt"}), &svid(json!({}))), &[]));
}

#[test]
fn a_jwt_svid_counts_as_nothing_else_and_nothing_else_as_one() {
    let (hub, key, id) = trust_domain();
    let text = key.jwt(json!({"kid": "k"}), &svid(json!({})));
    refused(&send(&hub, JWT_BEARER, &text, &[]));
    refused(&send(&hub, JWT_BEARER, &text, &[("client_id", &id)]));
    let with_iss = key.jwt(json!({"kid": "k"}), &svid(json!({"iss": DOMAIN})));
    refused(&send(&hub, JWT_BEARER, &with_iss, &[("client_id", &id)]));
    let platform = github();
    platform.register(&hub).expect(201);
    let federated = client(&hub, "federated_jwt", GITHUB, &platform.rules);
    refused(&send(&hub, JWT_SPIFFE, &platform.token(json!({})), &[("client_id", &federated)]));
}

#[test]
fn of_a_bundle_only_the_keys_for_jwt_svids_count() {
    for purpose in ["x509-svid", "sig", "enc"] {
        let (hub, key, _) = trust_domain();
        let set = bundle(json!([svid_key(&key, purpose)]));
        hub.fetch.answer(move |_| Scripted::json(200, set.clone()));
        refused(&send(&hub, JWT_SPIFFE, &key.jwt(json!({"kid": "k"}), &svid(json!({}))), &[]));
    }
}

#[test]
fn a_trust_domain_needs_its_bundle_and_serves_workloads_alone() {
    let hub = Setup::new();
    let key = Signer::new(Alg::Es256, 7);
    let with = |other: Value| {
        let mut body = json!({"issuer": DOMAIN, "name": "Production", "preset": "spiffe", "uses": ["workload"]});
        body.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        hub.admin("POST", "issuers").json(&body).send()
    };
    with(json!({})).expect(400);
    with(json!({"jwks": key.jwks("k")})).expect(400);
    with(json!({"jwks_uri": "https://bundle.example.org/", "uses": ["workload", "id_jag"]})).expect(400);
    with(json!({"jwks_uri": "https://bundle.example.org/", "issuer": "https://prod.example.org"})).expect(400);
    with(json!({"jwks": bundle(json!([svid_key(&key, "jwt-svid")]))})).expect(201);
    let id = client(
        &hub,
        "spiffe_jwt",
        DOMAIN,
        &json!([{"claim": "sub", "prefix": "spiffe://prod.example.org/ns/agents/"}]),
    );
    send(&hub, JWT_SPIFFE, &key.jwt(json!({"kid": "k"}), &svid(json!({}))), &[("client_id", &id)]).expect(200);
}
