//! Google service accounts: an assertion signed here, exchanged for an access token (RFC 7523 §2.1, Google's "OAuth 2.0
//! for server-to-server applications").
//!
//! 1. The key file is parsed, never echoed: a refusal names the member and holds no value.
//! 2. RSA of 2048 to 4096 bits in PKCS#8. The `rsa` crate only reads it; the signature port signs.
//! 3. The token endpoint is Google's own, or one that development may call.
//! 4. An answer is used only if it is 200, JSON that says one thing, `Bearer`, visible ASCII and a sensible lifetime.
//!    Nothing of it reaches the caller, the log or the event but an error code of RFC 6749 §5.2.

use super::{Credential, ExchangeRequest, Provider, Token};
use crate::config::Config;
use crate::context::Cx;
use crate::crypto::{Secret, b64, unb64};
use crate::error::{Error, Fault, Reason, Result};
use crate::jose::{Unsigned, is_strict};
use crate::oauth::{Scope, scope};
use crate::outbound;
use crate::ports::{Alg, Answer, PrivateKey};
use crate::vault::proxy::inject::Injection;
use crate::vault::proxy::rules::AllowList;
use crate::vault::service::Proxy;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::RsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::traits::PublicKeyParts;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

pub const PROVIDER: Provider = Provider {
    kind: "google_service_account",
    read_config,
    read_secret,
    offers,
    exchange: Some(|cx, request| Box::pin(exchange(cx, request))),
    inject: Some(inject),
};

const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Google's longest, in seconds.
const ASSERTION_LIFETIME: i64 = 3600;
const MAX_SCOPES: usize = 20;
const MAX_SCOPE: usize = 200;
const MAX_MEMBER: usize = 256;
const MAX_TOKEN: usize = 16 * 1024;
/// More than any sealed credential takes, so that its buffer never moves and leaves no copy behind.
const BUFFER: usize = 16 * 1024;
/// RFC 6749 §5.2.
const ERRORS: &[&str] = &[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    scopes: Vec<String>,
    /// Where calls through the proxy go, such as `https://bigquery.googleapis.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
    /// The calls that may go through the proxy.
    #[serde(default, skip_serializing_if = "AllowList::is_empty")]
    allow: AllowList,
}

fn invalid(detail: impl Into<String>) -> Error {
    Reason::InvalidField.because(detail)
}

fn read_config(config: &Config, value: Value) -> Result<Value> {
    let members = value.as_object().ok_or_else(|| invalid("`config` must be an object"))?;
    if let Some(unknown) = members.keys().find(|name| !["scopes", "base_url", "allow"].contains(&name.as_str())) {
        return Err(Reason::UnknownField.because(format!("`config.{unknown}` is unknown")));
    }
    let scopes = members.get("scopes").cloned().unwrap_or_default();
    let scopes: Vec<String> =
        serde_json::from_value(scopes).map_err(|_| invalid("`config.scopes` must be an array of strings"))?;
    if scopes.is_empty() || scopes.len() > MAX_SCOPES {
        return Err(invalid(format!("`config.scopes` must have 1 to {MAX_SCOPES} items")));
    }
    if !scopes.iter().all(|one| is_scope_uri(one)) {
        let example = "https://www.googleapis.com/auth/bigquery.readonly";
        return Err(invalid(format!("`config.scopes` must hold absolute https URIs such as {example}")));
    }
    let distinct: Scope = scopes.iter().map(String::as_str).collect();
    let mut settings: Settings =
        serde_json::from_value(value).map_err(|error| invalid(format!("`config`: {error}")))?;
    settings.scopes = distinct.to_vec();
    if settings.base_url.as_deref().is_some_and(|url| !is_api(config, url)) {
        return Err(invalid("`config.base_url` must be an API of Google such as https://bigquery.googleapis.com"));
    }
    settings.allow.check(settings.base_url.is_some())?;
    serde_json::to_value(settings).map_err(|_| Fault::Broken("a config has no JSON").into())
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
    let read = serde_json::from_value(config.clone());
    let settings: Settings = read.map_err(|_| Fault::Broken("a stored connection does not have its shape"))?;
    let base_url = settings.base_url.ok_or_else(|| Reason::CallNotAllowed.because("it has no `base_url`"))?;
    Ok(Injection { proxy: Proxy { base_url, ..Proxy::default() }, allow: settings.allow })
}

fn is_scope_uri(text: &str) -> bool {
    text.len() <= MAX_SCOPE
        && scope::is_token(text)
        && text.starts_with("https://")
        && Url::parse(text).is_ok_and(|url| url.has_host() && url.username().is_empty())
}

fn offers(config: &Value) -> Option<Scope> {
    let settings: Settings = serde_json::from_value(config.clone()).ok()?;
    Some(settings.scopes.into_iter().collect())
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
    let private_key = read_key(&pem)?;
    let account = client_email.clone();
    let sealed = Account { client_email, private_key_id, token_uri, project_id, private_key };
    let mut plain = Vec::with_capacity(BUFFER);
    let written = serde_json::to_writer(&mut plain, &sealed);
    let (plain, _wiped) = (Secret::new(plain), Secret::new(sealed.private_key));
    written.map_err(|_| Fault::Broken("a credential has no JSON"))?;
    Ok(Credential { plain, account })
}

fn is_address(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
        && text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty()
                && host.contains('.')
                && !host.starts_with('.')
                && !host.ends_with('.')
                && !host.contains('@')
        })
}

/// The DER of the one private key in a text (RFC 7468 §2, §10). White space counts for nothing, wherever it stands, nor does
/// what stands around the key.
fn read_pem(text: &str) -> Option<Secret<Vec<u8>>> {
    let (_, rest) = text.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let mut base64 = String::with_capacity(body.len());
    base64.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    STANDARD.decode(Secret::new(base64).expose()).ok().map(Secret::new)
}

/// The key as base64url of PKCS#8 DER.
fn read_key(pem: &Secret<String>) -> Result<String> {
    let key = read_pem(pem.expose())
        .and_then(|der| RsaPrivateKey::from_pkcs8_der(der.expose()).ok())
        .ok_or_else(|| invalid("`secret.private_key` must be an RSA key in PKCS#8 PEM (`BEGIN PRIVATE KEY`)"))?;
    if !(2048..=4096).contains(&key.n().bits()) {
        return Err(invalid("`secret.private_key` must have 2048 to 4096 bits"));
    }
    let der = key.to_pkcs8_der().map_err(|_| invalid("`secret.private_key` cannot be written as PKCS#8"))?;
    Ok(b64(der.as_bytes()))
}

#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
}

async fn exchange(cx: &Cx<'_>, request: ExchangeRequest<'_>) -> Result<Token> {
    let broken = || Error::Fault(Fault::Broken("a stored credential does not have its shape"));
    let account: Account = serde_json::from_slice(request.plain).map_err(|_| broken())?;
    let text = Secret::new(account.private_key);
    let pkcs8 = Secret::new(unb64(text.expose()).ok_or_else(broken)?);
    let claims = Assertion { iss: &account.client_email, scope: request.scope, aud: &account.token_uri };
    let exp = request.now.saturating_add(ASSERTION_LIFETIME);
    let unsigned =
        Unsigned::new(Alg::Rs256, "JWT", &account.private_key_id, &claims, (request.now, exp)).ok_or_else(broken)?;
    let key = PrivateKey { alg: Alg::Rs256, id: request.credential, pkcs8: pkcs8.expose() };
    let signature = cx.world.keys.sign(key, unsigned.input()).await?;
    let assertion = unsigned.signed(&signature);
    let parameters = [("grant_type", GRANT_TYPE), ("assertion", assertion.as_str())];
    read_answer(outbound::post_form(cx, &account.token_uri, &parameters).await?)
}

#[derive(Deserialize)]
struct Success {
    access_token: String,
    token_type: String,
    expires_in: u32,
}

#[derive(Deserialize)]
struct Failure {
    error: String,
}

fn read_answer(answer: Answer) -> Result<Token> {
    let body = Secret::new(answer.body);
    let media = answer.content_type.as_deref().and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") || !is_strict(body.expose()) {
        return Err(Reason::ProviderFailed.because("its answer is no JSON"));
    }
    match answer.status {
        200 => read_success(&body).ok_or_else(|| Reason::ProviderFailed.because("its answer is no usable token")),
        400 | 401 => Err(match serde_json::from_slice::<Failure>(body.expose()) {
            Ok(Failure { error }) => match ERRORS.iter().find(|known| **known == error) {
                Some(known) => Reason::ProviderRefused.because(*known),
                None => Reason::ProviderRefused.into(),
            },
            Err(_) => Reason::ProviderFailed.because("its error is none of OAuth"),
        }),
        _ => Err(Reason::ProviderFailed.because("its status is neither 200 nor an OAuth error's")),
    }
}

fn read_success(body: &Secret<Vec<u8>>) -> Option<Token> {
    let success: Success = serde_json::from_slice(body.expose()).ok()?;
    let access_token = Secret::new(success.access_token);
    let text = access_token.expose();
    let sound = success.token_type.eq_ignore_ascii_case("bearer")
        && (1..=MAX_TOKEN).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic())
        && (60..=86_400).contains(&success.expires_in);
    sound.then_some(Token { access_token, lifetime: success.expires_in })
}
