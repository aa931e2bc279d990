//! Every [`Reason`] is produced by a request, and reaches the wire as its table says. The `match` has no wildcard: a new
//! reason does not compile until a request provokes it.

use crate::routes::{authorize as people, device, registration};
use crate::support::browser::parameter;
use crate::support::hub::{Call, ISSUER, RESOURCE, permit};
use crate::support::keys::rsa_pem;
use crate::support::{Credentials, Reply, Scripted, Setup, Signer};
use serde_json::{Value, json};
use writ::error::Reason;
use writ::ports::{Alg, FetchError};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const READONLY: &str = "https://www.googleapis.com/auth/bigquery.readonly";

/// A hub with an agent, a resource server, and a connection that the one may lease from the other.
struct Scene {
    hub: Setup,
    agent: Credentials,
    server: Credentials,
}

impl Scene {
    fn new() -> Self {
        let hub = Setup::new();
        let agent = hub.agent("agent", "mcp:read");
        let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
        hub.put_policy(
            "lease",
            r#"permit(principal, action == Action::"lease", resource == Connection::"warehouse");"#,
        );
        let secret = json!({
            "type": "service_account", "client_email": "robot@demo.iam.gserviceaccount.com", "private_key": rsa_pem(11),
            "private_key_id": "k", "token_uri": "https://oauth2.googleapis.com/token",
        });
        let connection = json!({"kind": "google_service_account", "config": {"scopes": [READONLY]}, "secret": secret});
        hub.admin("PUT", "connections/warehouse").json(&connection).send().expect(201);
        Self { hub, agent, server }
    }

    fn token(&self, more: &[(&str, &str)]) -> Reply {
        self.hub.token(&self.agent, more)
    }

    /// A token where its permit obliges to that.
    fn obliged(&self, annotations: &str) -> Reply {
        self.hub.put_policy("agent", &format!("{annotations} permit(principal, action, resource);"));
        self.token(&[])
    }

    fn form(&self, form: &[(&str, &str)]) -> Call<'_> {
        self.hub.call("POST", "/t/main/token").basic(&self.agent).form(form)
    }

    fn lease(&self, more: &[(&str, &str)]) -> Reply {
        let token = self.hub.access_token(&self.agent, "mcp:read");
        self.lease_with(&[&[("subject_token", &*token)], more].concat())
    }

    fn lease_with(&self, form: &[(&str, &str)]) -> Reply {
        self.hub.call("POST", "/t/main/connections/warehouse/token").basic(&self.server).form(form).send()
    }

    fn provider(&self, says: Scripted) -> Reply {
        self.hub.fetch.answer(move |_| says.clone());
        self.lease(&[])
    }

    /// An exchange of a client's own token with itself as the actor, but for what `more` says.
    fn exchange(&self, more: &[(&str, &str)]) -> Reply {
        let agent = self.exchanger();
        let own = self.hub.token(&agent, &[("resource", RESOURCE)]).access_token();
        let form = [
            ("subject_token", &*own),
            ("subject_token_type", ACCESS_TOKEN),
            ("actor_token", &own),
            ("actor_token_type", ACCESS_TOKEN),
        ];
        let form = form.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
        let form: Vec<_> = [("grant_type", EXCHANGE)].into_iter().chain(form).chain(more.iter().copied()).collect();
        self.hub.call("POST", "/t/main/token").basic(&agent).form(&form).send()
    }

    /// A client that may use the grants that deal in other people's tokens.
    fn exchanger(&self) -> Credentials {
        self.hub.put_policy("all", "permit(principal, action in [Action::\"issue\", Action::\"exchange\"], resource);");
        self.hub.create_client(json!({"grant_types": ["client_credentials", EXCHANGE, JWT_BEARER]}))
    }

    /// A token about a user whose identity provider says who alone may act.
    fn may_act(&self) -> Reply {
        let (idp, now) = (Signer::new(Alg::Es256, 1), self.hub.clock.now().seconds());
        let body = json!({
            "issuer": "https://idp.example", "name": "IdP", "uses": ["token_exchange"], "jwks": idp.jwks("k"),
            "creates_users": true,
        });
        self.hub.admin("POST", "issuers").json(&body).send().expect(201);
        let claims = json!({
            "iss": "https://idp.example", "sub": "alice", "aud": ISSUER, "iat": now, "exp": now + 60,
            "may_act": {"sub": "somebody else"},
        });
        let token = idp.jwt(json!({"kid": "k"}), &claims);
        self.exchange(&[("subject_token", &token), ("subject_token_type", ID_TOKEN), ("resource", RESOURCE)])
    }

    /// A client that signs for itself asks for a token with one and the same assertion.
    fn assertion(&self, other: Value, times: usize) -> Reply {
        let key = Signer::new(Alg::Es256, 1);
        let body = json!({
            "client_name": "signer", "token_endpoint_auth_method": "private_key_jwt", "jwks": key.jwks("k"),
            "allowed_resources": [RESOURCE],
        });
        let id = self.create(body).expect(201).json()["client_id"].clone();
        let now = self.hub.clock.seconds();
        let mut claims = json!({"iss": id, "sub": id, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": "1"});
        claims.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        let assertion = key.jwt(json!({"kid": "k"}), &claims);
        let send = || crate::routes::client_assertions::with_assertion(&self.hub, &assertion, &[]).send();
        (1..times).for_each(|_| drop(send()));
        send()
    }

    fn create(&self, client: Value) -> Reply {
        self.hub.admin("POST", "clients").json(&client).send()
    }

    /// A client with these members, that may have a token for event streams, makes one.
    fn streams(&self, mut metadata: Value) -> Reply {
        metadata["allowed_resources"] = json!([format!("{ISSUER}/ssf")]);
        let token = self.hub.token(&self.hub.create_client(metadata), &[]).access_token();
        self.hub.call("POST", "/t/main/ssf/streams").bearer(&token).json(&json!({})).send()
    }

    fn of_second_tenant(&self) -> Reply {
        self.hub.create_tenant("second");
        self.hub.admin_of("second", "POST", "tenants").json(&json!({"id": "third", "name": "Third"})).send()
    }
}

fn provoke(scene: &Scene, reason: Reason) -> Reply {
    let Scene { hub, agent, .. } = scene;
    match reason {
        Reason::NoSuchPath => hub.call("GET", "/nowhere").send(),
        Reason::MethodNotAllowed => hub.call("GET", "/t/main/token").send(),
        Reason::UnknownTenant => hub.call("POST", "/t/nobody/token").send(),
        Reason::TenantSuspended => {
            hub.db.execute("UPDATE tenants SET status = 'suspended', epoch = epoch + 1");
            hub.clock.advance(5);
            scene.token(&[])
        }
        Reason::BodyTooLarge => scene.token(&[("scope", &"x".repeat(70_000))]),
        Reason::WrongMediaType => scene.form(&[]).header("content-type", "text/plain").send(),
        Reason::MalformedForm => scene.form(&[]).body("scope=%ff").send(),
        Reason::DuplicateParameter => scene.token(&[("scope", "a"), ("scope", "b")]),
        Reason::MissingGrantType => scene.form(&[]).send(),
        Reason::UnsupportedGrantType => scene.form(&[("grant_type", "password")]).send(),
        Reason::NoClientAuthentication => hub.call("POST", "/t/main/token").form(&[]).send(),
        Reason::ConnectionNeeded
        | Reason::TenantAccountNeeded
        | Reason::AccountDisabled
        | Reason::OtherPerson
        | Reason::NoSuchService
        | Reason::TooManyAccounts
        | Reason::ConnectExpired
        | Reason::ConnectDeclined
        | Reason::ConnectMisconfigured
        | Reason::ConnectFailed => crate::routes::accounts::provoke(reason),
        Reason::CallNotAllowed | Reason::MalformedCall | Reason::UpgradeRefused | Reason::MissingAgentToken => {
            crate::routes::proxy::provoke(reason)
        }
        Reason::ApprovalPending
        | Reason::ApprovalDenied
        | Reason::ApprovalOver
        | Reason::ApprovalDecided
        | Reason::ApprovalWidened
        | Reason::PasskeyRequired
        | Reason::TooManyApprovals
        | Reason::ApprovalForbidden
        | Reason::DeciderNotNamed
        | Reason::ApprovalQuietHours
        | Reason::InvalidApprovalRequest
        | Reason::OwnApproval => crate::routes::approvals::provoke(reason),
        Reason::BackchannelNotAllowed
        | Reason::MalformedBackchannel
        | Reason::InvalidBindingMessage
        | Reason::UnknownUserId
        | Reason::TooManyBackchannel
        | Reason::MissingAuthReqId
        | Reason::InvalidAuthReqId
        | Reason::BackchannelDenied
        | Reason::BackchannelExpired => crate::routes::ciba::provoke(reason),
        Reason::InvalidChallenge | Reason::MissingChallengeOfResource => crate::routes::transactions::provoke(reason),
        Reason::NoConnection | Reason::MalformedProps => crate::routes::outbound::provoke(reason),
        Reason::MalformedBasic => scene.form(&[]).header("authorization", "Basic !").send(),
        Reason::SeveralMechanisms => scene.token(&[("client_secret", "x")]),
        Reason::ClientAuthenticationFailed => {
            hub.token(&Credentials { client_secret: "x".to_owned(), ..agent.clone() }, &[])
        }
        Reason::MissingClientId => hub.call("POST", "/t/main/token").form(&[("client_secret", "x")]).send(),
        Reason::ClientNotActive => {
            hub.admin("POST", &format!("clients/{}/suspend", agent.client_id)).send().expect(200);
            scene.token(&[])
        }
        Reason::OtherMethod => {
            hub.db.execute("UPDATE clients SET metadata = json_set(metadata, '$.token_endpoint_auth_method', 'none')");
            hub.restart();
            scene.token(&[])
        }
        Reason::AssertionAudience => scene.assertion(json!({"aud": RESOURCE}), 1),
        Reason::AssertionExpired => scene.assertion(json!({"exp": hub.clock.seconds() - 60}), 1),
        Reason::AssertionReplayed => scene.assertion(json!({}), 2),
        Reason::TooManyFailures => {
            let wrong = Credentials { client_secret: "x".to_owned(), ..agent.clone() };
            (0..100).for_each(|_| drop(hub.token(&wrong, &[])));
            hub.token(&wrong, &[])
        }
        Reason::GrantNotAllowed => {
            hub.db.execute("UPDATE clients SET metadata = json_set(metadata, '$.grant_types', json('[]'))");
            hub.restart();
            scene.token(&[])
        }
        Reason::Stopped => {
            scene.token(&[]).expect(200);
            hub.db.execute("UPDATE identities SET status = 'suspended'");
            hub.token_call(&scene.agent, &[]).on(&hub.isolate()).send()
        }
        Reason::ProofRequired => {
            let bound = hub.create_client(json!({"dpop_bound_access_tokens": true, "allowed_resources": [RESOURCE]}));
            hub.token(&bound, &[])
        }
        Reason::UnpairedActorToken => scene.exchange(&[("actor_token_type", "")]),
        Reason::UnsupportedTokenType => scene.exchange(&[("subject_token_type", "saml2")]),
        Reason::UnsupportedRequestedTokenType => scene.exchange(&[("requested_token_type", "saml2")]),
        Reason::InvalidExchangedToken => scene.exchange(&[("subject_token", "x")]),
        Reason::ActorNotNamed => scene.may_act(),
        Reason::TooManyActors => {
            hub.db.execute("UPDATE tenants SET settings = '{\"max_actors\":0}', epoch = epoch + 1");
            hub.restart();
            scene.exchange(&[])
        }
        Reason::MissingAssertion => {
            let form = [("grant_type", JWT_BEARER)];
            hub.call("POST", "/t/main/token").basic(&scene.exchanger()).form(&form).send()
        }
        Reason::InvalidAssertion => {
            let form = [("grant_type", JWT_BEARER), ("assertion", "x")];
            hub.call("POST", "/t/main/token").basic(&scene.exchanger()).form(&form).send()
        }
        Reason::InvalidProof => scene.form(&[("grant_type", "client_credentials")]).header("dpop", "x").send(),
        Reason::NonceRequired => {
            hub.db.execute("UPDATE tenants SET settings = '{\"dpop_nonce\":true}'");
            hub.restart();
            let key = Signer::new(Alg::Es256, 1);
            let claims =
                json!({"jti": "1", "htm": "POST", "htu": format!("{ISSUER}/token"), "iat": hub.clock.seconds()});
            scene.form(&[("grant_type", "client_credentials")]).header("dpop", &key.proof(&claims)).send()
        }
        Reason::MalformedScope => scene.token(&[("scope", "\"")]),
        Reason::TokenTooLarge => {
            // Registered when there was another bound.
            let scopes = (0..100).map(|n| json!({"name": format!("{n}{}", "s".repeat(200)), "description": "x"}));
            let scopes = json!(scopes.collect::<Vec<_>>()).to_string();
            hub.db.execute(&format!("UPDATE resources SET body = json_set(body, '$.scopes', json('{scopes}'))"));
            hub.restart();
            let client = hub.create_client(json!({"allowed_resources": [RESOURCE]}));
            hub.put_policy("all", &permit(&client.client_id, RESOURCE));
            hub.token(&client, &[])
        }
        Reason::UnknownScope => scene.token(&[("scope", "mcp:typo")]),
        Reason::ScopeBeyondCeiling => scene.token(&[("scope", "mcp:write")]),
        Reason::PolicyDenied => {
            hub.put_policy("agent", r#"forbid(principal, action == Action::"issue", resource);"#);
            scene.token(&[])
        }
        Reason::ImpersonationDenied => {
            scene.exchange(&[("actor_token", ""), ("actor_token_type", ""), ("resource", RESOURCE)])
        }
        Reason::MalformedResource => scene.token(&[("resource", "mcp")]),
        Reason::UnknownResource => scene.token(&[("resource", "https://unknown.example")]),
        Reason::SeveralResources => scene.token(&[("resource", RESOURCE), ("resource", RESOURCE)]),
        Reason::MissingResource => hub.token(&hub.create_client(json!({})), &[]),
        Reason::MissingToken => hub.call("GET", "/t/main/admin/clients").send(),
        Reason::InvalidToken => hub.call("GET", "/t/main/admin/clients").bearer("x").send(),
        Reason::InvalidBoundToken => hub.call("GET", "/t/main/admin/clients").header("authorization", "DPoP x").send(),
        Reason::InvalidTokenProof => {
            let key = Signer::new(Alg::Es256, 1);
            let claims =
                json!({"jti": "1", "htm": "POST", "htu": format!("{ISSUER}/token"), "iat": hub.clock.seconds()});
            let bound = hub.token_call(&hub.admin_client("main"), &[]).header("dpop", &key.proof(&claims)).send();
            let call = hub.call("GET", "/t/main/admin/clients");
            call.header("authorization", &format!("DPoP {}", bound.access_token())).send()
        }
        Reason::InsufficientScope => {
            let reader = hub.token(&hub.admin_client("main"), &[("scope", "admin:read")]).access_token();
            hub.call("POST", "/t/main/admin/clients").bearer(&reader).json(&json!({})).send()
        }
        Reason::NoLongerPermitted => {
            let token = hub.admin_token();
            hub.put_policy("no", &format!(r#"forbid(principal, action, resource in Resource::"{ISSUER}/admin");"#));
            hub.call("GET", "/t/main/admin/clients").bearer(&token).send()
        }
        Reason::MissingTokenParameter => hub.call("POST", "/t/main/introspect").basic(agent).form(&[]).send(),
        Reason::MissingSubjectToken => scene.lease_with(&[]),
        Reason::InvalidSubjectToken => scene.lease_with(&[("subject_token", "x")]),
        Reason::NotAResourceServer => {
            hub.call("POST", "/t/main/connections/warehouse/token").basic(agent).form(&[("subject_token", "x")]).send()
        }
        Reason::LeaseDenied => {
            hub.put_policy("lease", r#"forbid(principal, action == Action::"lease", resource);"#);
            scene.lease(&[])
        }
        Reason::LeaseScope => scene.lease(&[("scope", "more")]),
        Reason::LeaseNotOffered => {
            let service = json!({"name": "Search", "proxy": {"base_url": "https://api.search.example"}});
            let body = json!({"kind": "api_key", "config": {"service": service}, "secret": {"api_key": "sk-1"}});
            let etag = hub.admin("GET", "connections/warehouse").send().header("etag").unwrap().to_owned();
            hub.admin("PUT", "connections/warehouse").header("if-match", &etag).json(&body).send().expect(200);
            scene.lease(&[])
        }
        Reason::LeaseElsewhere => {
            let service = json!({"name": "Search", "proxy": {"base_url": "https://api.search.example"}});
            let config = json!({"service": service, "may_be_leased": true});
            let body = json!({"kind": "api_key", "config": config, "secret": {"api_key": "sk-1"}});
            let etag = hub.admin("GET", "connections/warehouse").send().header("etag").unwrap().to_owned();
            hub.admin("PUT", "connections/warehouse").header("if-match", &etag).json(&body).send().expect(200);
            let server = hub.create_client(json!({
                "kind": "resource_server", "allowed_resources": [RESOURCE], "grant_types": [EXCHANGE],
            }));
            let (token, uri) = (hub.access_token(agent, "mcp:read"), format!("{ISSUER}/connections/warehouse"));
            let form = [
                ("grant_type", EXCHANGE),
                ("subject_token", &*token),
                ("subject_token_type", ACCESS_TOKEN),
                ("resource", &*uri),
            ];
            hub.call("POST", "/t/main/token").basic(&server).form(&form).send()
        }
        Reason::ProviderFailed => scene.provider(Scripted::answer(200, "text/html", "<p>")),
        Reason::ProviderRefused => scene.provider(Scripted::json(400, json!({"error": "invalid_grant"}))),
        Reason::VaultKeyWrong => crate::routes::keeping::provoke(),
        Reason::ProviderTimeout => scene.provider(Scripted::failure(FetchError::Timeout)),
        Reason::NoReceiver => scene.streams(json!({"kind": "autonomous"})),
        Reason::TooManySignals => {
            scene.streams(json!({"kind": "resource_server"})).expect(201);
            let [stream] = hub.db.query("SELECT id FROM streams").try_into().unwrap();
            let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
                        INSERT INTO signals (tenant, stream, id, body, created_at) \
                        SELECT 'main', s.id, i, '{}', 0 FROM n, streams s WHERE s.tenant = 'main'";
            hub.db.execute(many);
            let server = hub.db.query("SELECT client FROM streams")[0]["client"].as_str().unwrap().to_owned();
            let secret = hub.admin("POST", &format!("clients/{server}/secrets")).json(&json!({})).send().expect(201);
            let client_secret = secret.json()["client_secret"].as_str().unwrap().to_owned();
            let token = hub.token(&Credentials { client_id: server, client_secret }, &[]).access_token();
            hub.call("POST", "/t/main/ssf/verify").bearer(&token).json(&json!({"stream_id": stream["id"]})).send()
        }
        Reason::TooManyReports => crate::routes::tool_calls::provoke(),
        Reason::NotJson => hub.admin("POST", "clients").form(&[("a", "b")]).send(),
        Reason::MalformedJson => hub.admin("POST", "clients").json(&json!([])).send(),
        Reason::UnknownField => scene.create(json!({"client_name": "x", "unknown": 1})),
        Reason::InvalidField => scene.create(json!({"client_name": ""})),
        Reason::BoundTokenRequired => scene.obliged("@bind(\"dpop\")"),
        Reason::DetailsRequired => scene.obliged("@details(\"payment\")"),
        Reason::QuietHours => scene.obliged("@quiet(\"11:00-13:00\")"),
        Reason::LimitReached => {
            scene.obliged("@limit(\"1/hour\")").expect(200);
            scene.token(&[])
        }
        Reason::PolicyTestFailed => {
            let question = json!({"resource": RESOURCE, "scopes": ["mcp:read"]});
            let test = json!({"name": "nobody", "question": question, "expect": "deny"});
            let policy = json!({"cedar": "permit(principal, action, resource);", "tests": [test]});
            hub.admin("PUT", "policies/x").json(&policy).send()
        }
        Reason::InvalidPolicy => {
            let policy = json!({"description": "x", "cedar": "permit(", "mode": "enforce"});
            hub.admin("PUT", "policies/x").json(&policy).send()
        }
        Reason::NotFound => hub.admin("GET", "clients/nobody").send(),
        Reason::FirstTenantOnly => scene.of_second_tenant(),
        Reason::Conflict => hub.admin("POST", "tenants").json(&json!({"id": "main", "name": "again"})).send(),
        Reason::QuotaReached => {
            crate::routes::quotas::set(hub, "main", json!({"clients": 1}));
            scene.create(json!({"client_name": "x"}))
        }
        Reason::TokenQuotaReached => {
            crate::routes::quotas::set(hub, "main", json!({"tokens_per_minute": 1}));
            scene.token(&[]).expect(200);
            scene.token(&[])
        }
        Reason::MalformedIdempotencyKey => {
            hub.admin("POST", "clients").json(&json!({"client_name": "x"})).header("idempotency-key", "a b").send()
        }
        Reason::IdempotencyKeyReused => {
            let make =
                |name: &str| hub.admin("POST", "users").json(&json!({"name": name})).header("idempotency-key", "k");
            make("one").send().expect(201);
            make("other").send()
        }
        Reason::PreconditionRequired => {
            let metadata = json!({"client_name": "x"});
            hub.admin("PUT", &format!("clients/{}", agent.client_id)).json(&metadata).send()
        }
        Reason::PreconditionFailed => {
            let metadata = json!({"client_name": "x"});
            hub.admin("PUT", &format!("clients/{}", agent.client_id)).header("if-match", "\"0\"").json(&metadata).send()
        }
        Reason::InvalidQuery => hub.admin("GET", "clients?unknown=1").send(),
        Reason::InvitationOver | Reason::PasskeyNotMade | Reason::PasskeyRefused => {
            crate::routes::passkeys::provoke(reason)
        }
        Reason::SignInExpired
        | Reason::SignInDeclined
        | Reason::SignInInvalid
        | Reason::IdentityProviderDown
        | Reason::UnknownAccount
        | Reason::InvalidLogoutToken => crate::routes::sign_in::provoke(reason),
        Reason::UnknownClient
        | Reason::UnknownRedirectUri
        | Reason::UnsupportedResponseType
        | Reason::MissingResponseType
        | Reason::UnsupportedResponseMode
        | Reason::UnsupportedRequestObject
        | Reason::UnsupportedAuthorizationDetails
        | Reason::MalformedAuthorizationDetails
        | Reason::AuthorizationDetailsBeyondConsent
        | Reason::MissingChallenge
        | Reason::MalformedPrompt
        | Reason::MalformedThumbprint
        | Reason::RequestTooLarge
        | Reason::CodesNotAllowed
        | Reason::LoginRequired
        | Reason::ConsentRequired
        | Reason::ConsentDenied
        | Reason::NothingChosen
        | Reason::ConsentChanged
        | Reason::FormExpired
        | Reason::CrossOrigin
        | Reason::NoSuchProvider
        | Reason::AccountStopped
        | Reason::MissingCode
        | Reason::InvalidCode
        | Reason::MissingRefreshToken
        | Reason::InvalidRefreshToken
        | Reason::OtherResource
        | Reason::ScopeBeyondConsent => people::provoke(reason),
        Reason::ClientDocumentUnavailable
        | Reason::ClientDocumentInvalid
        | Reason::ClientDomainRefused
        | Reason::ClientApprovalWanted
        | Reason::RegistrationForbidden
        | Reason::RegistrationOff
        | Reason::TooManyRegistrations
        | Reason::InvalidRegistrationToken
        | Reason::InvalidRedirectUri
        | Reason::InvalidClientMetadata => registration::provoke(reason),
        Reason::InvalidRequestUri
        | Reason::RequestUriPushed
        | Reason::PushRequired
        | Reason::UnmetAuthentication
        | Reason::StepUpRequired
        | Reason::DeviceNotAllowed
        | Reason::TooManyDeviceCodes
        | Reason::UnknownUserCode
        | Reason::TooManyUserCodes
        | Reason::MissingDeviceCode
        | Reason::InvalidDeviceCode
        | Reason::AuthorizationPending
        | Reason::SlowDown
        | Reason::DeviceDenied
        | Reason::DeviceCodeExpired => device::provoke(reason),
    }
}

#[test]
fn every_reason_is_provoked_by_a_request_and_reaches_the_wire_as_its_table_says() {
    for reason in Reason::ALL {
        let scene = Scene::new();
        let reply = provoke(&scene, *reason);
        let wire = reason.wire();
        if reply.status == 303 {
            let sent = ["error", "error_description"].map(|name| parameter(&reply, name));
            assert_eq!(sent, [wire.code, wire.description].map(|text| Some(text.to_owned())), "{reason:?}: {reply:?}");
            continue;
        }
        if reply.header("content-type").is_some_and(|media| media.starts_with("text/html")) {
            assert!(
                reply.status == wire.status && reply.text.contains(&on_a_page(wire.description)),
                "{reason:?}: {reply:?}"
            );
            continue;
        }
        let body = reply.json();
        let (code, description) = match body.get("error") {
            Some(code) => (code, &body["error_description"]),
            None => (&body["code"], &body["title"]),
        };
        assert_eq!(
            (reply.status, code.as_str(), description.as_str()),
            (wire.status, Some(wire.code), Some(wire.description)),
            "{reason:?}: {reply:?}"
        );
    }
}

/// A text as a page has it: a sentence, escaped, and what stands between backticks as code.
pub fn on_a_page(text: &str) -> String {
    let text = format!("{}{}.", text[..1].to_uppercase(), &text[1..]);
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let parts = escaped.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

/// Two reasons with one description could stand in for each other in the test above.
#[test]
fn no_two_reasons_have_one_description_and_each_names_its_source() {
    let mut seen: Vec<_> = Reason::ALL.iter().map(|reason| reason.wire().description).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        let source = reason.wire().source;
        assert!(
            source.starts_with("RFC ") || source.starts_with("OpenID ") || source.starts_with("docs/requirements.md R"),
            "{reason:?}: {source}"
        );
    }
}

#[test]
fn a_refusal_by_the_admin_api_names_its_reason_for_the_administrator() {
    let scene = Scene::new();
    let reply = provoke(&scene, Reason::UnknownField);
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(reply.json()["reason"], "UnknownField");
    assert!(reply.json()["detail"].as_str().unwrap().contains("unknown"));
}

#[test]
fn a_challenge_names_the_realm_the_error_and_the_scope_and_no_error_where_no_token_was_sent() {
    let scene = Scene::new();
    let challenge = |reason| provoke(&scene, reason).header("www-authenticate").unwrap_or_default().to_owned();
    assert_eq!(challenge(Reason::MissingToken), format!("Bearer realm=\"{ISSUER}\", scope=\"admin:read\""));
    assert_eq!(challenge(Reason::ClientAuthenticationFailed), format!("Basic realm=\"{ISSUER}\""));
    assert_eq!(
        challenge(Reason::InvalidToken),
        format!("Bearer realm=\"{ISSUER}\", error=\"invalid_token\", scope=\"admin:read\"")
    );
    assert_eq!(
        challenge(Reason::InsufficientScope),
        format!("Bearer realm=\"{ISSUER}\", error=\"insufficient_scope\", scope=\"admin\"")
    );
}
