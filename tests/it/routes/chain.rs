//! A user, two agents that pass work on, and what is at the end of the chain; for the grants that deal in other people's
//! tokens.

use crate::support::browser::{CALLBACK, VERIFIER};
use crate::support::hub::{Call, ISSUER, RESOURCE, START, decode};
use crate::support::signer::{sign, verifies};
use crate::support::{Credentials, Reply, Setup, Signer};
use serde_json::{Value, json};
use std::cell::Cell;
use writ::crypto::{self, Kind, b64, sha256};
use writ::ports::Alg;

pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub const CODE: &str = "authorization_code";
pub const REFRESH: &str = "refresh_token";
pub const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
pub const CIBA: &str = "urn:openid:params:grant-type:ciba";
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
pub const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
/// What the worker serves.
pub const TASKS: &str = "https://worker.example/tasks";
pub const IDP: &str = "https://idp.example";
pub const EVERYTHING: &str = "permit(principal, action in [Action::\"issue\", Action::\"exchange\"], resource);";

pub struct Chain {
    pub hub: Setup,
    /// The identity provider of the user.
    pub idp: Signer,
    /// The id of the user, whom the identity provider calls `alice`.
    pub user: String,
    /// The first agent: it may ask for tokens for the worker and for [`RESOURCE`].
    pub planner: Credentials,
    /// The second agent: it serves [`TASKS`].
    pub worker: Credentials,
    serial: Cell<u32>,
}

impl Chain {
    pub fn new() -> Self {
        let hub = Setup::new();
        hub.create_resource(json!({}));
        hub.create_resource(json!({"resource": TASKS}));
        let agent = |name: &str, more: Value| {
            let mut metadata = json!({"client_name": name, "grant_types": ["client_credentials", EXCHANGE, JWT_BEARER], "tags": ["verified"]});
            metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            hub.create_client(metadata)
        };
        let planner = agent("planner", json!({"kind": "delegated"}));
        let worker = agent("worker", json!({"kind": "delegated", "serves": [TASKS]}));
        hub.put_policy("everything", EVERYTHING);
        let accounts = json!([{"issuer": IDP, "subject": "alice"}]);
        let made = hub.admin("POST", "users").json(&json!({"name": "Alice", "accounts": accounts})).send().expect(201);
        let user = made.json()["id"].as_str().unwrap().to_owned();
        let idp = Signer::new(Alg::Es256, 1);
        let chain = Self { hub, idp, user, planner, worker, serial: Cell::new(0) };
        chain.trust(json!({"uses": ["jwt_bearer", "token_exchange", "id_jag"]}));
        chain
    }

    /// Registers the worker for the grants of people, too.
    pub fn may_ask_people(&self) {
        let all = json!(["client_credentials", EXCHANGE, JWT_BEARER, CODE, REFRESH, DEVICE, CIBA]);
        let worker = &self.worker.client_id;
        self.hub.db.execute(&format!(
            "UPDATE clients SET metadata = json_set(metadata, '$.grant_types', json('{all}')) WHERE id = '{worker}'"
        ));
        self.hub.restart();
    }

    /// What the user has allowed the worker at the start, of [`RESOURCE`]: an authorization code, or a device code.
    pub fn code(&self, kind: Kind) -> String {
        let text = crypto::mint(kind, &*self.hub.entropy).expose().clone();
        let (id, start, far) = (sha256(&text).to_text(), START as i64, START as i64 + 86_400);
        let (user, worker) = (&self.user, &self.worker.client_id);
        let body = json!({
            "authorization": {
                "consent": "a-consent", "resource": RESOURCE, "scope": "mcp:read", "redirect_host": "client.example",
                "auth_time": start, "issued_at": start,
            },
            "redirect_uri": CALLBACK, "challenge": b64(sha256(VERIFIER).bytes()), "refresh_until": far,
        });
        self.hub.db.execute(&format!(
            "INSERT INTO consents (tenant, id, user, client, redirect_host, resource, document, lines, created_at, updated_at) \
             VALUES ('main', 'a-consent', '{user}', '{worker}', 'client.example', '{RESOURCE}', '', \
             '[{{\"scope\":\"mcp:read\"}}]', {start}, {start}) ON CONFLICT DO NOTHING; \
             INSERT INTO codes (tenant, id, client, user, family, body, expires_at) \
             VALUES ('main', '{id}', '{worker}', '{user}', '{}', '{body}', {far}); \
             INSERT INTO device_codes (tenant, id, user_code, client, request, status, interval, expires_at) \
             VALUES ('main', '{id}', '{id}', '{worker}', '[]', 'approved', 5, {far})",
            crypto::nonce(&*self.hub.entropy)
        ));
        text
    }

    /// The form of a grant of people, with what it takes.
    pub fn form_of_people(&self, grant: &str) -> Vec<(&'static str, String)> {
        match grant {
            CODE => vec![("code", self.code(Kind::AuthorizationCode)), ("code_verifier", VERIFIER.to_owned())],
            DEVICE => vec![("device_code", self.code(Kind::DeviceCode))],
            REFRESH => vec![("refresh_token", self.refresh_token())],
            CIBA => vec![("auth_req_id", self.auth_req_id())],
            other => panic!("not a grant of people: {other}"),
        }
    }

    /// What the worker polls with for what the user has approved.
    fn auth_req_id(&self) -> String {
        let text = crypto::mint(Kind::ApprovalRequest, &*self.hub.entropy).expose().clone();
        let (id, start, far) = (sha256(&text).to_text(), START as i64, START as i64 + 86_400);
        let (user, worker) = (&self.user, &self.worker.client_id);
        let statement = json!({"resource": RESOURCE, "scope": ["mcp:read"], "authorization_details": []});
        let columns = "tenant, id, key, client, requester, subject, door, status, statement, body, handle, created_at, expires_at";
        let name = &id[..20];
        self.hub.db.execute(&format!(
            "INSERT INTO approvals ({columns}) VALUES ('main', '{name}', '{id}', '{worker}', '{worker}', '{user}', 'backchannel', 'approved', \
             '{statement}', '{{\"rules\":[]}}', '{id}', {start}, {far})"
        ));
        text
    }

    /// A refresh token of the worker for the user.
    pub fn refresh_token(&self) -> String {
        let form = [("grant_type".to_owned(), CODE.to_owned())].into_iter();
        let more = self.form_of_people(CODE).into_iter().map(|(name, value)| (name.to_owned(), value));
        let form: Vec<(String, String)> = form.chain(more).collect();
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let reply = self.post(&self.worker, &form).send().expect(200);
        reply.json()["refresh_token"].as_str().unwrap().to_owned()
    }

    /// Registers the identity provider; whatever `body` leaves out is as usual.
    pub fn trust(&self, body: Value) {
        let mut whole =
            json!({"id": "idp", "issuer": IDP, "name": "IdP", "uses": ["jwt_bearer"], "jwks": self.idp.jwks("k")});
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let changed = self.hub.admin("PUT", "issuers/idp").header("if-match", "*").json(&whole).send();
        if changed.status == 404 {
            self.hub.admin("POST", "issuers").json(&whole).send().expect(201);
        }
    }

    /// Registers another issuer for the same, and answers how it signs.
    pub fn trust_another(&self, issuer: &str, more: Value) -> Signer {
        let signer = Signer::new(Alg::Es256, 8);
        let uses = ["jwt_bearer", "id_jag"];
        let mut whole = json!({"issuer": issuer, "name": "another", "uses": uses, "jwks": signer.jwks("k")});
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.hub.admin("POST", "issuers").json(&whole).send().expect(201);
        signer
    }

    pub fn now(&self) -> i64 {
        self.hub.clock.now().seconds()
    }

    /// Another agent that serves `https://{name}.example`, for which [`Self::delegated`] asks; answers both.
    pub fn agent(&self, name: &str, tags: &[&str]) -> (Credentials, String) {
        let resource = format!("https://{name}.example/");
        self.hub.create_resource(json!({"resource": resource}));
        let grants = ["client_credentials", EXCHANGE, JWT_BEARER];
        let body = json!({"client_name": name, "grant_types": grants, "serves": [resource], "tags": tags});
        (self.hub.create_client(body), resource)
    }

    /// Claims of an assertion of the identity provider about the user, new each time.
    pub fn claims(&self, more: Value) -> Value {
        self.serial.set(self.serial.get() + 1);
        let mut claims = json!({
            "iss": IDP, "sub": "alice", "aud": ISSUER, "iat": self.now(), "exp": self.now() + 120,
            "jti": format!("jti-{}", self.serial.get()),
        });
        let members = claims.as_object_mut().unwrap();
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => members.remove(name),
                value => members.insert(name.clone(), value.clone()),
            };
        }
        claims
    }

    /// An assertion of the identity provider about the user.
    pub fn assertion(&self, more: Value) -> String {
        self.idp.jwt(json!({"typ": "JWT", "kid": "k"}), &self.claims(more))
    }

    /// A token request.
    pub fn post(&self, client: &Credentials, form: &[(&str, &str)]) -> Call<'_> {
        self.hub.call("POST", "/t/main/token").basic(client).form(form)
    }

    /// A token about the user, issued to `client` for `resource`.
    pub fn user_token(&self, client: &Credentials, resource: &str, scope: &str) -> String {
        self.by_assertion(client, &self.assertion(json!({})), &[("resource", resource), ("scope", scope)])
            .send()
            .access_token()
    }

    pub fn by_assertion<'a>(&'a self, client: &Credentials, assertion: &str, more: &[(&str, &str)]) -> Call<'a> {
        self.post(client, &[&[("grant_type", JWT_BEARER), ("assertion", assertion)], more].concat())
    }

    /// A token of a client on its own.
    pub fn own_token(&self, client: &Credentials, resource: &str) -> String {
        self.hub.token(client, &[("resource", resource)]).access_token()
    }

    /// An exchange of an access token, with whatever else.
    pub fn exchange<'a>(&'a self, client: &Credentials, subject: &str, more: &[(&str, &str)]) -> Call<'a> {
        let form = [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", ACCESS_TOKEN)];
        self.post(client, &[&form, more].concat())
    }

    /// The same with the client itself as the actor.
    pub fn delegate<'a>(&'a self, client: &Credentials, subject: &str, more: &[(&str, &str)]) -> Call<'a> {
        let actor = self.own_token(client, RESOURCE);
        let form = [("actor_token", &*actor), ("actor_token_type", ACCESS_TOKEN)];
        self.exchange(client, subject, &[&form, more].concat())
    }

    /// A delegated token for `resource`.
    pub fn delegated(&self, client: &Credentials, subject: &str, resource: &str) -> String {
        self.delegate(client, subject, &[("resource", resource)]).send().access_token()
    }

    /// A DPoP proof for the token endpoint.
    pub fn proof(&self, key: &Signer) -> String {
        self.serial.set(self.serial.get() + 1);
        let jti = format!("proof-{}", self.serial.get());
        key.proof(&json!({"jti": jti, "htm": "POST", "htu": format!("{ISSUER}/token"), "iat": self.now()}))
    }

    /// The signing key of the tenant: what only the hub has, for tokens that it would never issue.
    pub fn forge(&self, typ: &str, like: &str, change: Value) -> String {
        let (header, mut claims) = decode(like);
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let jwks = self.hub.call("GET", "/t/main/jwks.json").send().json();
        let jwk = jwks["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == header["kid"]).unwrap().clone();
        let header = json!({"alg": "ES256", "typ": typ, "kid": header["kid"]});
        let input = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        // Keys of RSA are longer.
        let made = self.hub.keys.made().into_iter().filter(|pkcs8| pkcs8.len() < 200);
        let mut signatures = made.map(|pkcs8| sign(Alg::Es256, &pkcs8, input.as_bytes()));
        let fits = |signature: &Vec<u8>| verifies(Alg::Es256, &jwk.to_string(), input.as_bytes(), signature);
        format!("{input}.{}", b64(signatures.find(fits).expect("the hub has made its own key")))
    }

    /// The reason of the newest refusal.
    pub fn refusal(&self) -> Value {
        self.hub.events_of("token.refused").pop().unwrap()
    }
}

/// The claims of the token in a reply.
#[track_caller]
pub fn claims(reply: &Reply) -> Value {
    decode(&reply.access_token()).1
}

/// Fails unless the reply is this error.
#[track_caller]
pub fn refused(reply: &Reply, code: &str) {
    assert_eq!((reply.status, reply.error().as_str()), (400, code), "{reply:?}");
}
