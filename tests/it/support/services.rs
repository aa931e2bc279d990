//! Services that give tokens for credentials of the vault, as strict as real ones: GitHub, AWS, Microsoft, Google, Salesforce, and an authorization
//! server of nobody in particular. Each verifies signature, claims, times and parameters, and refuses as its documentation says.

mod google;

use super::doubles::Scripted;
use super::hub::{ISSUER, Setup, decode};
use super::run::Clock;
use super::signer::{Signer, pair_of, rsa_jwk, verifies};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use url::Url;
use writ::crypto::{sha256, unb64};
use writ::ports::{Alg, Outbound};

/// The RSA key that every service knows.
pub const KEY: usize = 8;
/// In every token that a service gives.
pub const UPSTREAM: &str = "upstream-canary";
/// In everything else that a service says.
pub const WORDS: &str = "words-of-the-service";
/// In every secret.
pub const SECRET: &str = "secret-canary";
pub const ROLE: &str = "arn:aws:iam::123456789012:role/reports";
pub const POOL: &str =
    "//iam.googleapis.com/projects/123456/locations/global/workloadIdentityPools/agents/providers/writ";
pub const ROBOT: &str = "robot@demo-project.iam.gserviceaccount.com";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

type Form = BTreeMap<String, String>;
type Checked = Result<Scripted, &'static str>;

/// The services.
pub struct Services {
    clock: Clock,
    jwks: Value,
    /// Says this instead to everything, if there is something.
    pub instead: RefCell<Option<Scripted>>,
    /// Why requests were refused.
    pub complaints: RefCell<Vec<&'static str>>,
    /// The tokens of Writ that came.
    pub own_tokens: RefCell<Vec<String>>,
    /// The last form, or body as `body`.
    pub last: RefCell<Form>,
    pub asked: Cell<usize>,
}

/// A P-256 key as PEM and as JWK.
pub fn curve() -> (String, String) {
    let pair = pair_of(Alg::Es256, sha256("curve").bytes());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(&pair.pkcs8));
    (pem, pair.jwk)
}

impl Services {
    pub fn open(hub: &Setup) -> Rc<Self> {
        let jwks = hub.call("GET", "/t/main/jwks.json").send().expect(200).json();
        let services = Rc::new(Self {
            clock: hub.clock.clone(),
            jwks,
            instead: RefCell::default(),
            complaints: RefCell::default(),
            own_tokens: RefCell::default(),
            last: RefCell::default(),
            asked: Cell::new(0),
        });
        let answering = services.clone();
        hub.fetch.answer(move |request| answering.answer(request));
        services
    }

    fn answer(&self, request: &Outbound) -> Scripted {
        self.asked.set(self.asked.get() + 1);
        if let Some(instead) = self.instead.borrow().clone() {
            return instead;
        }
        let url = Url::parse(&request.url).unwrap();
        let body = request.body.clone().unwrap_or_default();
        let form: Form = match header(request, "content-type") {
            Some("application/x-www-form-urlencoded") => form_urlencoded::parse(body.as_bytes()).into_owned().collect(),
            _ => [("body".to_owned(), body)].into(),
        };
        *self.last.borrow_mut() = form.clone();
        let checked = match (request.method, url.host_str().unwrap(), url.path()) {
            ("POST", "as.example", "/token") => self.authorization_server(request, &form),
            ("POST", "api.github.com", "/app/installations/42/access_tokens") => self.github(request, &form),
            ("POST", "login.salesforce.com", "/services/oauth2/token") => self.salesforce(&form),
            ("POST", "login.microsoftonline.com", "/contoso.example/oauth2/v2.0/token") => self.microsoft(&form),
            ("POST", "sts.eu-central-1.amazonaws.com", "/") => self.aws(&form),
            ("POST", "oauth2.googleapis.com", "/token") => self.google(&form),
            ("POST", "sts.googleapis.com", "/v1/token") => self.google_sts(request, &form),
            ("POST", "iamcredentials.googleapis.com", path) => self.iam_credentials(request, path, &form),
            _ => Err("there is no such endpoint"),
        };
        checked.unwrap_or_else(|why| {
            self.complaints.borrow_mut().push(why);
            match url.host_str() {
                Some("sts.eu-central-1.amazonaws.com") => aws_error(400, "InvalidIdentityToken"),
                _ => Scripted::json(
                    400,
                    json!({"error": "invalid_request", "error_description": format!("{WORDS}: {why}")}),
                ),
            }
        })
    }

    fn token(&self, name: &str) -> String {
        format!("{name}.{UPSTREAM}.{}", self.asked.get())
    }

    fn bearer(&self, more: Value) -> Checked {
        let mut body = json!({"access_token": self.token("access"), "token_type": "Bearer", "expires_in": 3600});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Ok(Scripted::json(200, body))
    }

    /// The claims of an assertion, if it is signed by that key and lives within bounds.
    fn assertion(&self, token: &str, alg: Alg, jwk: &str, bounds: (u64, u64)) -> Result<(Value, Value), &'static str> {
        self.typed(token, "JWT", alg, jwk, bounds)
    }

    fn typed(
        &self,
        token: &str,
        typ: &str,
        alg: Alg,
        jwk: &str,
        (longest, back): (u64, u64),
    ) -> Result<(Value, Value), &'static str> {
        let (header, claims) = decode(token);
        let (input, signature) = token.rsplit_once('.').unwrap();
        if header["alg"] != alg.as_str() || header["typ"] != typ || header.as_object().unwrap().contains_key("crit") {
            return Err("header");
        }
        if !verifies(alg, jwk, input.as_bytes(), &unb64(signature).unwrap()) {
            return Err("signature");
        }
        let (iat, exp, now) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap(), self.clock.seconds());
        if exp - iat > longest || iat + back > now || exp <= now || now > iat + back + 30 {
            return Err("times");
        }
        Ok((header, claims))
    }

    /// The claims of a token of Writ, if a key of the tenant has signed it.
    fn own_token(&self, token: &str, aud: &str) -> Result<(), &'static str> {
        self.own_tokens.borrow_mut().push(token.to_owned());
        let (_, claims) = self.of_writ(token, "JWT")?;
        let is_right = claims["iss"] == ISSUER && claims["aud"] == aud && claims["sub"] == "connection:downstream";
        is_right.then_some(()).ok_or("claims of the token of Writ")
    }

    /// Header and claims of a token of that type, if a key of the tenant has signed it.
    fn of_writ(&self, token: &str, typ: &str) -> Result<(Value, Value), &'static str> {
        let (header, _) = decode(token);
        let keys = self.jwks["keys"].as_array().unwrap();
        let jwk = keys.iter().find(|key| key["kid"] == header["kid"]).ok_or("unknown kid")?;
        self.typed(token, typ, Alg::Rs256, &jwk.to_string(), (300, 0))
    }

    fn authorization_server(&self, request: &Outbound, form: &Form) -> Checked {
        let get = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let scope = get("scope");
        let is_basic = header(request, "authorization") == Some(&basic("client-at-as", SECRET));
        let is_client = is_basic || (get("client_id") == "client-at-as" && get("client_secret") == SECRET);
        match get("grant_type") {
            "client_credentials" if is_client => {
                // It grants no more than reading.
                let given = if scope.contains("files.admin") { "files.read" } else { scope };
                self.bearer(json!({"scope": given}))
            }
            JWT_BEARER if decode(get("assertion")).0["typ"] == "oauth-id-jag+jwt" => {
                self.own_tokens.borrow_mut().push(get("assertion").to_owned());
                let (header, claims) = self.of_writ(get("assertion"), "oauth-id-jag+jwt")?;
                let wanted = json!({
                    "iss": ISSUER, "aud": "https://as.example", "client_id": "client-at-as", "resource": "https://api.example",
                    "sub": claims["sub"], "scope": claims["scope"], "iat": claims["iat"], "exp": claims["exp"],
                    "jti": claims["jti"],
                });
                let is_user = claims["sub"].as_str().unwrap().starts_with("user_");
                if claims != wanted || !is_user || !is_client || form.contains_key("scope") || header["alg"] != "RS256"
                {
                    return Err("the ID-JAG or its client");
                }
                self.bearer(json!({"scope": claims["scope"]}))
            }
            JWT_BEARER => {
                let (curve_jwk, rsa) = (curve().1, rsa_jwk(KEY));
                let alg = decode(get("assertion")).0["alg"].clone();
                let (alg, jwk) = if alg == "ES256" { (Alg::Es256, &curve_jwk) } else { (Alg::Rs256, &rsa) };
                let (header, claims) = self.assertion(get("assertion"), alg, jwk, (300, 0))?;
                let wanted = json!({
                    "iss": "writ", "sub": "robot", "aud": "https://as.example", "region": "eu",
                    "iat": claims["iat"], "exp": claims["exp"], "jti": claims["jti"],
                });
                let is_right =
                    claims == wanted && header["kid"] == "key-1" && claims["jti"].as_str().unwrap().len() > 20;
                if !is_right || get("resource") != "https://api.example" || header_is_there(request) {
                    return Err("claims");
                }
                self.bearer(json!({}))
            }
            TOKEN_EXCHANGE if is_client => {
                let wanted = [
                    ("subject_token", format!("subject-{SECRET}")),
                    ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token".to_owned()),
                    ("audience", "reports".to_owned()),
                ];
                if wanted.iter().any(|(name, value)| get(name) != value) || form.contains_key("requested_token_type") {
                    return Err("parameters");
                }
                self.bearer(json!({"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}))
            }
            _ => Err("grant type or client"),
        }
    }

    fn github(&self, request: &Outbound, form: &Form) -> Checked {
        let token = header(request, "authorization").and_then(|text| text.strip_prefix("Bearer ")).ok_or("bearer")?;
        let (header_of_token, claims) = self.assertion(token, Alg::Rs256, &rsa_jwk(KEY), (600, 60))?;
        if claims["iss"] != "Iv23liABC" || header_of_token.get("kid").is_some() {
            return Err("claims");
        }
        let wanted = [("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")];
        if wanted.iter().any(|(name, value)| header(request, name) != Some(value))
            || header(request, "user-agent").is_none()
        {
            return Err("headers");
        }
        let body: Value = serde_json::from_str(&form["body"]).map_err(|_| "body")?;
        let is_known = |name: &String| ["repositories", "permissions"].contains(&name.as_str());
        if !body.as_object().unwrap().keys().all(is_known) {
            return Err("members");
        }
        let at = jiff::Timestamp::from_second(self.clock.seconds() as i64 + 3600).unwrap().to_string();
        Ok(Scripted::json(
            201,
            json!({
                "token": self.token("ghs"), "expires_at": at, "permissions": body["permissions"], "repository_selection": "selected",
            }),
        ))
    }

    fn salesforce(&self, form: &Form) -> Checked {
        let (_, claims) =
            self.assertion(form.get("assertion").ok_or("assertion")?, Alg::Rs256, &rsa_jwk(KEY), (180, 0))?;
        let wanted = json!({
            "iss": "3MVG9", "sub": "robot@acme.example", "aud": "https://login.salesforce.com",
            "iat": claims["iat"], "exp": claims["exp"],
        });
        if claims != wanted || form["grant_type"] != JWT_BEARER || form.len() != 2 {
            return Err("claims");
        }
        Ok(Scripted::json(
            200,
            json!({
                "access_token": self.token("00D"), "token_type": "Bearer", "instance_url": "https://acme.my.salesforce.com",
                "id": "https://login.salesforce.com/id/00D/005", "scope": "api",
            }),
        ))
    }

    fn microsoft(&self, form: &Form) -> Checked {
        let get = |name: &str| form.get(name).map(String::as_str);
        let wanted = [
            ("grant_type", "client_credentials"),
            ("client_id", "11111111-2222-3333-4444-555555555555"),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        if wanted.iter().any(|(name, value)| get(name) != Some(value)) {
            return Err("parameters");
        }
        match (get("client_secret"), get("client_assertion_type"), get("client_assertion")) {
            (Some(SECRET), None, None) => {}
            (None, Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), Some(token)) => {
                self.own_token(token, "api://AzureADTokenExchange")?;
            }
            _ => return Err("client"),
        }
        self.bearer(json!({"ext_expires_in": 3600}))
    }

    fn aws(&self, form: &Form) -> Checked {
        let get = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        self.own_token(get("WebIdentityToken"), "sts.amazonaws.com")?;
        let session = get("RoleSessionName");
        let is_session = (2..=64).contains(&session.len())
            && session.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b));
        let wanted = [("Action", "AssumeRoleWithWebIdentity"), ("Version", "2011-06-15"), ("RoleArn", ROLE)];
        if !is_session || wanted.iter().any(|(name, value)| get(name) != *value) {
            return Err("parameters");
        }
        let seconds: i64 = get("DurationSeconds").parse().map_err(|_| "duration")?;
        let policy = form.get("Policy").is_none_or(|policy| serde_json::from_str::<Value>(policy).is_ok());
        if !(900..=43_200).contains(&seconds) || !policy || get("Policy").len() > 2048 {
            return Err("duration or policy");
        }
        let at = jiff::Timestamp::from_second(self.clock.seconds() as i64 + seconds).unwrap();
        let session_token = self.token("session");
        let xml = format!(
            r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>connection:downstream</SubjectFromWebIdentityToken>
    <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/reports/{session}</Arn></AssumedRoleUser>
    <Credentials>
      <SessionToken>
        {session_token}
      </SessionToken>
      <SecretAccessKey>secret/{UPSTREAM}+key=</SecretAccessKey>
      <Expiration>{at}</Expiration>
      <AccessKeyId>ASIA{}</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>{WORDS}</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>"#,
            self.asked.get()
        );
        Ok(Scripted::answer(200, "text/xml", xml))
    }
}

fn header<'a>(request: &'a Outbound, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

fn header_is_there(request: &Outbound) -> bool {
    header(request, "authorization").is_some()
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// An error as AWS says it.
pub fn aws_error(status: u16, code: &str) -> Scripted {
    let xml = format!(
        r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>{code}</Code><Message>{WORDS} &quot;x&quot;</Message></Error><RequestId>1</RequestId></ErrorResponse>"#
    );
    Scripted::answer(status, "text/xml", xml)
}
