//! Google service accounts: an assertion signed here, exchanged for a token (RFC 7523 §2.1, Google's "OAuth 2.0 for server-to-server
//! applications").
//!
//! 1. The key file is parsed, never echoed: a refusal names the member and holds no value.
//! 2. The token endpoint is Google's own, or one that development may call.
//! 3. A lease is an access token for scopes, of the account or, `subject`, of a user whose domain has delegated it; or else an identity token for
//!    `target_audience`. `access_boundary` says what an access token reaches at the most.

use super::assertion::{self, Head, StoredKey};
use super::fields::{broken, invalid};
use super::google_boundary::AccessBoundary;
use super::jwt_bearer::GRANT_TYPE;
use super::{Credential, ExchangeRequest, Provider, Token, USUAL, answer, fields};
use crate::config::Config;
use crate::context::Cx;
use crate::crypto::Secret;
use crate::error::{Reason, Result};
use crate::oauth::{Scope, scope};
use crate::outbound;
use crate::ports::Alg;
use crate::vault::proxy::inject::Injection;
use crate::vault::proxy::rules::AllowList;
use crate::vault::service::Proxy;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

pub const PROVIDER: Provider = Provider {
    kind: "google_service_account",
    read_config,
    read_secret,
    offers: |config| Some(fields::stored::<Settings>(config).ok()?.wanted().offers()),
    exchange: Some(|cx, request| Box::pin(exchange(cx, request))),
    inject: Some(inject),
    ..USUAL
};

const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// Google's longest, in seconds.
const ASSERTION_LIFETIME: i64 = 3600;
const MAX_SCOPES: usize = 20;
const MAX_SCOPE: usize = 200;
const MAX_MEMBER: usize = 256;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    /// The user for whom the account acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// For whom identity tokens are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_audience: Option<String>,
    /// What the tokens reach at the most.
    #[serde(default, skip_serializing_if = "AccessBoundary::is_empty")]
    access_boundary: AccessBoundary,
    /// Where calls through the proxy go, such as `https://bigquery.googleapis.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
    /// The calls that may go through the proxy.
    #[serde(default, skip_serializing_if = "AllowList::is_empty")]
    allow: AllowList,
}

impl Settings {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { scopes: &self.scopes, target_audience: self.target_audience.as_deref() }
    }
}

/// What leases of a service account are: access tokens for scopes, or identity tokens.
pub struct Wanted<'a> {
    /// The scopes.
    pub scopes: &'a [String],
    /// The audience.
    pub target_audience: Option<&'a str>,
}

impl Wanted<'_> {
    /// The scopes, each once, if they and the audience may be.
    pub fn checked(&self) -> Result<Vec<String>> {
        if let Some(audience) = self.target_audience {
            fields::expect_text("target_audience", audience)?;
            return match self.scopes.is_empty() {
                true => Ok(Vec::new()),
                false => Err(invalid("`config.scopes` and `config.target_audience` exclude each other")),
            };
        }
        if self.scopes.is_empty() || self.scopes.len() > MAX_SCOPES {
            return Err(invalid(format!("`config.scopes` must have 1 to {MAX_SCOPES} items")));
        }
        if !self.scopes.iter().all(|one| is_scope_uri(one)) {
            let example = "https://www.googleapis.com/auth/bigquery.readonly";
            return Err(invalid(format!("`config.scopes` must hold absolute https URIs such as {example}")));
        }
        Ok(self.offers().to_vec())
    }

    /// The scope that leases may ask for.
    pub fn offers(&self) -> Scope {
        self.scopes.iter().map(String::as_str).collect()
    }
}

fn read_config(server: &Config, config: Value) -> Result<Value> {
    let is_text = |one: &Value| one.is_string();
    let scopes = config.get("scopes");
    if !scopes.is_none_or(|scopes| scopes.as_array().is_some_and(|scopes| scopes.iter().all(is_text))) {
        return Err(invalid("`config.scopes` must be an array of strings"));
    }
    let mut settings: Settings = fields::config(config)?;
    settings.scopes = settings.wanted().checked()?;
    settings.access_boundary.check(settings.target_audience.is_none())?;
    let is_subject = |subject: &String| subject.len() <= MAX_MEMBER && is_address(subject);
    if !settings.subject.as_ref().is_none_or(is_subject) {
        return Err(invalid("`config.subject` must be the e-mail address of a user"));
    }
    if settings.subject.is_some() && settings.target_audience.is_some() {
        return Err(invalid("`config.subject` and `config.target_audience` exclude each other"));
    }
    if settings.base_url.as_deref().is_some_and(|url| !is_api(server, url)) {
        return Err(invalid("`config.base_url` must be an API of Google such as https://bigquery.googleapis.com"));
    }
    settings.allow.check(settings.base_url.is_some())?;
    fields::store(&settings)
}

/// Whether calls may go there: a token of Google is for Google.
fn is_api(config: &Config, text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_google = url.host_str().is_some_and(|host| host.ends_with(".googleapis.com"));
    let is_plain =
        text.len() <= MAX_MEMBER && url.query().is_none() && url.fragment().is_none() && !text.ends_with('/');
    is_plain && outbound::admit(config, text).is_some() && (is_google || outbound::is_development(config, text))
}

fn inject(config: &Value) -> Result<Injection> {
    let settings: Settings = fields::stored(config)?;
    let base_url = settings.base_url.ok_or_else(|| Reason::CallNotAllowed.because("it has no `base_url`"))?;
    Ok(Injection { proxy: Proxy { base_url, ..Proxy::default() }, allow: settings.allow })
}

fn is_scope_uri(text: &str) -> bool {
    text.len() <= MAX_SCOPE
        && scope::is_token(text)
        && text.starts_with("https://")
        && Url::parse(text).is_ok_and(|url| url.has_host() && url.username().is_empty())
}

/// What is sealed: the members that an exchange needs.
#[derive(Serialize, Deserialize)]
struct Account {
    client_email: String,
    private_key_id: String,
    token_uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    project_id: Option<String>,
    /// PKCS#8 DER, base64url.
    private_key: String,
}

impl Drop for Account {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.private_key);
    }
}

fn read_secret(config: &Config, mut secret: Value) -> Result<Credential> {
    let members =
        secret.as_object_mut().ok_or_else(|| invalid("`secret` must be the service account's JSON object"))?;
    let pem = match members.remove("private_key") {
        Some(Value::String(pem)) => Secret::new(pem),
        _ => return Err(invalid("`secret.private_key` must be a string")),
    };
    let member = |name: &str| match members.get(name) {
        Some(Value::String(text)) if !text.is_empty() && text.len() <= MAX_MEMBER => Ok(text.clone()),
        _ => Err(invalid(format!("`secret.{name}` must be a string of 1 to {MAX_MEMBER} characters"))),
    };
    if member("type")? != "service_account" {
        return Err(invalid("`secret.type` must be `service_account`"));
    }
    let client_email = member("client_email")?;
    if !is_address(&client_email) {
        return Err(invalid("`secret.client_email` must be an e-mail address"));
    }
    let private_key_id = member("private_key_id")?;
    if !private_key_id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid("`secret.private_key_id` must be visible ASCII"));
    }
    let token_uri = member("token_uri")?;
    if token_uri != TOKEN_URI && !outbound::is_development(config, &token_uri) {
        return Err(invalid(format!("`secret.token_uri` must be {TOKEN_URI}")));
    }
    let project_id = members.contains_key("project_id").then(|| member("project_id")).transpose()?;
    let private_key = assertion::read_rsa(&pem)?.private_key.clone();
    let account = client_email.clone();
    fields::seal(&Account { client_email, private_key_id, token_uri, project_id, private_key }, account)
}

/// Whether text is an e-mail address, as far as one can tell.
pub fn is_address(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !b"/?#%:".contains(&b))
        && text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty()
                && host.contains('.')
                && !host.starts_with('.')
                && !host.ends_with('.')
                && !host.contains('@')
        })
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_audience: Option<&'a str>,
}

async fn exchange(cx: &Cx<'_>, request: ExchangeRequest<'_>) -> Result<Token> {
    let settings: Settings = fields::stored(request.config)?;
    let account: Account = serde_json::from_slice(request.plain).map_err(|_| broken())?;
    let key = StoredKey { alg: Alg::Rs256, private_key: account.private_key.clone(), fingerprint: None };
    let target_audience = settings.target_audience.as_deref();
    let claims = Claims {
        iss: &account.client_email,
        aud: &account.token_uri,
        scope: target_audience.is_none().then_some(request.scope),
        sub: settings.subject.as_deref(),
        target_audience,
    };
    let exp = request.now.saturating_add(ASSERTION_LIFETIME);
    let head = Head { kid: &account.private_key_id, iat: request.now, exp };
    let assertion = assertion::sign(cx, &request, &key, head, &claims).await?;
    let parameters = [("grant_type", GRANT_TYPE), ("assertion", assertion.expose())];
    let success = answer::success(outbound::post_form(cx, &account.token_uri, &parameters).await?)?;
    match target_audience {
        Some(_) => success.identity(request.now),
        None => settings.access_boundary.narrow(cx, success.bearer_within(60..=86_400)?).await,
    }
}
