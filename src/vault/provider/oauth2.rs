//! Services with an authorization server of their own: people connect an account with it (RFC 6749 §4.1, RFC 7636), and its tokens are refreshed
//! when they are due (RFC 6749 §6).
//!
//! 1. The connection has the client that is registered at the service; its secret is sealed. The tokens of people are in accounts
//!    (`vault::accounts`), never in the connection.
//! 2. How a service departs from the RFCs is its entry's to say (`vault::service`): the code has no service's name.
//! 3. An answer is read strictly and within bounds. Nothing of it reaches a caller, the log or an event but an error code.
//! 4. What an answer means for the tokens is one of four: there are others, they are refused and why, the service is in trouble, or nobody knows.

use super::fields::{self, MAX_TEXT};
use super::{Credential, Provider, USUAL, oauth2_answer};
use crate::config::Config;
use crate::context::Cx;
use crate::crypto::{Secret, b64, sha256};
use crate::error::{Fault, Reason, Result};
use crate::model::AccountStatus;
use crate::oauth::Scope;
use crate::outbound::{self, Failure};
use crate::vault::proxy::inject::{Injected, Injection};
use crate::vault::proxy::rules::AllowList;
use crate::vault::service::{self, Body, ClientAuth, OAuth2, Service};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use url::Url;

pub const PROVIDER: Provider =
    Provider { kind: "oauth2", read_config, read_secret, offers, inject: Some(inject), ..USUAL };

/// Whose accounts a connection has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// Each user has their own.
    #[default]
    User,
    /// The tenant has one, which an administrator connects.
    Tenant,
}

/// The settings of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A name in the catalogue, or the service itself.
    service: Value,
    /// The values that its URLs need.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    settings: BTreeMap<String, String>,
    /// The client that is registered at the service.
    pub client_id: String,
    /// The scopes that it may have.
    pub scopes: Vec<String>,
    /// Whose accounts it has.
    #[serde(default)]
    pub owner: Owner,
    /// The calls that may go through the proxy.
    #[serde(default, skip_serializing_if = "AllowList::is_empty")]
    allow: AllowList,
}

impl Settings {
    /// The settings of a stored connection.
    pub fn of(config: &Value) -> Result<Self> {
        fields::stored(config)
    }

    /// The service, with the values of its settings.
    pub fn service(&self) -> Result<Service> {
        service::find(&self.service)?.with_settings(&self.settings)
    }

    /// What the tokens of its accounts are for: whose they are at the service, and where they are sent. A change of it makes them worthless.
    pub fn binding(&self) -> Result<String> {
        let Service { oauth2, proxy, .. } = self.service()?;
        let oauth2 = oauth2.ok_or_else(no_oauth2)?;
        let parts = [
            &*self.client_id,
            &*oauth2.authorization_endpoint,
            &*oauth2.token_endpoint,
            oauth2.revocation_endpoint.as_deref().unwrap_or_default(),
            proxy.as_ref().map(|proxy| &*proxy.base_url).unwrap_or_default(),
        ];
        Ok(sha256(parts.join("\0")).to_text())
    }

    /// Its authorization server.
    pub fn oauth2(&self) -> Result<OAuth2> {
        Ok(self.service()?.oauth2.ok_or_else(no_oauth2)?)
    }
}

const fn no_oauth2() -> Fault {
    Fault::Broken("a stored service has no `oauth2`")
}

fn read_config(config: &Config, value: Value) -> Result<Value> {
    let settings: Settings = fields::config(value)?;
    let service = settings.service()?;
    let oauth2 = service.oauth2.as_ref().ok_or_else(|| match &*service.kind {
        "" => fields::invalid("`config.service` has no `oauth2`"),
        kind => fields::invalid(format!("`config.service` is one of the kind `{kind}`: it has no `oauth2`")),
    })?;
    if oauth2.authorization_endpoint.is_empty() || oauth2.token_endpoint.is_empty() {
        return Err(fields::invalid("`config.service.oauth2` needs `authorization_endpoint` and `token_endpoint`"));
    }
    service.check_urls(config).and_then(|()| settings.allow.check(service.proxy.is_some()))?;
    if settings.client_id.is_empty() || settings.client_id.len() > MAX_TEXT {
        return Err(fields::invalid(format!("`config.client_id` must have 1 to {MAX_TEXT} characters")));
    }
    fields::distinct(&settings.scopes)?;
    fields::store(&settings)
}

fn offers(config: &Value) -> Option<Scope> {
    Some(Settings::of(config).ok()?.scopes.into_iter().collect())
}

fn inject(config: &Value) -> Result<Injection> {
    let settings = Settings::of(config)?;
    let proxy =
        settings.service()?.proxy.ok_or_else(|| Reason::CallNotAllowed.because("its service has no `proxy`"))?;
    Ok(Injection { proxy, allow: settings.allow, signing: None })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientSecret {
    client_secret: String,
}

fn read_secret(_: &Config, secret: Value) -> Result<Credential> {
    let read = ClientSecret::deserialize(secret);
    let ClientSecret { client_secret } =
        read.map_err(|_| fields::invalid("`secret` must be an object with `client_secret`"))?;
    let client_secret = Secret::new(client_secret);
    let text = client_secret.expose();
    if text.is_empty() || text.len() > MAX_TEXT * 4 || text.contains(char::is_control) {
        return Err(fields::invalid("`secret.client_secret` must be visible text"));
    }
    Ok(Credential::text(&client_secret))
}

/// The client of a connection at its service.
pub struct OwnClient {
    /// Its id there.
    pub id: String,
    /// Its secret there.
    pub secret: Secret<String>,
}

/// Tokens of an account, as they are sealed.
#[derive(Serialize, Deserialize)]
pub struct Tokens {
    /// The access token.
    pub access_token: String,
    /// The refresh token, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

impl Drop for Tokens {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.access_token);
        zeroize::Zeroize::zeroize(&mut self.refresh_token);
    }
}

/// What a service has given.
pub struct Given {
    /// The tokens.
    pub tokens: Tokens,
    /// The scope, where the answer says it.
    pub scope: Option<Scope>,
    /// When the access token expires, in seconds since the epoch.
    pub expires_at: i64,
    /// The name of the account, where the answer has it.
    pub account: Option<String>,
    /// What identifies the account, where the answer has it.
    pub account_id: Option<String>,
}

/// Why a service has given nothing.
pub enum Ungiven {
    /// It refuses; what the account is from now on, and the code of the error.
    Refused(AccountStatus, String),
    /// It is in trouble, and has not taken the request.
    Trouble(&'static str),
    /// The reply was lost: it may have taken the request.
    Lost(&'static str),
}

/// Where a person goes to connect an account.
pub fn authorization_url(
    oauth2: &OAuth2,
    client_id: &str,
    scopes: &[&str],
    (redirect_uri, state, verifier): (&str, &str, &str),
) -> Result<String> {
    let broken = || Fault::Broken("an authorization endpoint is no URL");
    let mut url = Url::parse(&oauth2.authorization_endpoint).map_err(|_| broken())?;
    let mut query = url.query_pairs_mut();
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", client_id)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("state", state);
    if !scopes.is_empty() {
        query.append_pair(&oauth2.scope_parameter.0, &scopes.join(&oauth2.scope_separator.0));
    }
    if oauth2.pkce.0 {
        query
            .append_pair("code_challenge", &b64(sha256(verifier).bytes()))
            .append_pair("code_challenge_method", "S256");
    }
    query.extend_pairs(&oauth2.authorization_parameters);
    drop(query);
    Ok(url.into())
}

/// Redeems a code (RFC 6749 §4.1.3).
pub async fn redeem(
    cx: &Cx<'_>,
    oauth2: &OAuth2,
    client: &OwnClient,
    (code, redirect_uri, verifier): (&str, &str, &str),
) -> Result<Given, Ungiven> {
    let mut parameters = vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirect_uri)];
    if oauth2.pkce.0 {
        parameters.push(("code_verifier", verifier));
    }
    ask(cx, oauth2, client, (parameters, &oauth2.token_parameters), None).await
}

/// Redeems a refresh token (RFC 6749 §6).
pub async fn refresh(cx: &Cx<'_>, oauth2: &OAuth2, client: &OwnClient, refresh_token: &str) -> Result<Given, Ungiven> {
    let parameters = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    ask(cx, oauth2, client, (parameters, &oauth2.refresh_parameters), Some(refresh_token)).await
}

/// What became of tokens that a service was to revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// It has revoked them.
    Done,
    /// Nobody can: it has no endpoint for that.
    Cannot,
    /// It does not do it now.
    NotNow,
}

/// Revokes a token (RFC 7009 §2.1).
pub async fn revoke(cx: &Cx<'_>, oauth2: &OAuth2, client: &OwnClient, tokens: &Tokens) -> Revoked {
    let Some(endpoint) = &oauth2.revocation_endpoint else { return Revoked::Cannot };
    let (token, hint) = match &tokens.refresh_token {
        Some(token) => (token.as_str(), "refresh_token"),
        None => (tokens.access_token.as_str(), "access_token"),
    };
    let more = BTreeMap::new();
    let (headers, body) = request(oauth2, client, vec![("token", token), ("token_type_hint", hint)], &more);
    match outbound::send(cx, ("POST", endpoint), headers, Some(body)).await {
        Ok(answer) if answer.status < 300 => Revoked::Done,
        Err(Failure::NotAdmitted) => Revoked::Cannot,
        _ => Revoked::NotNow,
    }
}

/// Asks the token endpoint, with client authentication and the parameters that the service's entry adds.
pub(super) async fn ask(
    cx: &Cx<'_>,
    oauth2: &OAuth2,
    client: &OwnClient,
    (parameters, more): (Vec<(&str, &str)>, &BTreeMap<String, String>),
    present: Option<&str>,
) -> Result<Given, Ungiven> {
    let (headers, body) = request(oauth2, client, parameters, more);
    let now = cx.now.seconds();
    match outbound::send(cx, ("POST", &oauth2.token_endpoint), headers, Some(body)).await {
        Ok(answer) => oauth2_answer::read(oauth2, answer, present, now),
        Err(failure @ (Failure::NotAdmitted | Failure::Redirects)) => Err(Ungiven::Trouble(failure.why())),
        Err(failure) => Err(Ungiven::Lost(failure.why())),
    }
}

/// The headers and the body of a request with client authentication.
fn request<'a>(
    oauth2: &OAuth2,
    client: &'a OwnClient,
    mut parameters: Vec<(&'a str, &'a str)>,
    more: &'a BTreeMap<String, String>,
) -> (Vec<(&'static str, String)>, String) {
    parameters.extend(more.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let mut headers = vec![("accept", "application/json".to_owned())];
    match oauth2.token_endpoint_auth_method {
        ClientAuth::ClientSecretPost => {
            parameters.extend([("client_id", client.id.as_str()), ("client_secret", client.secret.expose())]);
        }
        ClientAuth::ClientSecretBasic => {
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = [encode(&client.id), encode(client.secret.expose())].join(":");
            headers.push(("authorization", ["Basic ", &STANDARD.encode(pair)].concat()));
        }
    }
    let (media, body) = match oauth2.body {
        Body::Form => (
            "application/x-www-form-urlencoded",
            form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish(),
        ),
        Body::Json => {
            let members: Map<String, Value> =
                parameters.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            ("application/json", Value::Object(members).to_string())
        }
    };
    headers.push(("content-type", media.to_owned()));
    (headers, body)
}

/// What a service says of the account that an access token reaches: its name, and what identifies it.
pub async fn account(cx: &Cx<'_>, service: &Service, access_token: &str) -> (Option<String>, Option<String>) {
    let (Some(check), Some(proxy)) = (&service.check, &service.proxy) else { return (None, None) };
    // As a call through the proxy has it: the token where the service wants it, and the headers that every call needs.
    let injection = Injection { proxy: proxy.clone(), allow: AllowList::default(), signing: None };
    let call = check.path.split_once('?').unwrap_or((&check.path, ""));
    let Ok(Injected { url, headers, .. }) = injection.fill(call, &[("token", access_token)]) else {
        return (None, None);
    };
    let mut headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.into(), value)).collect();
    let usual = [("accept", "application/json"), ("user-agent", "writ"), ("content-type", "application/json")];
    for (name, value) in usual.into_iter().filter(|(name, _)| *name != "content-type" || check.body.is_some()) {
        if !headers.iter().any(|(known, _)| *known == name) {
            headers.push((Cow::Borrowed(name), value.to_owned()));
        }
    }
    let method = if check.method.as_deref() == Some("POST") { "POST" } else { "GET" };
    let answer = outbound::send(cx, (method, &url), headers, check.body.clone()).await;
    let body = answer.ok().filter(|answer| answer.status == 200).map(|answer| answer.body).unwrap_or_default();
    let parsed: Value = serde_json::from_slice(&body).unwrap_or(json!(null));
    let at = |pointer: &Option<String>| {
        let text = oauth2_answer::text_at(&parsed, pointer.as_deref()?)?;
        (text.len() <= MAX_TEXT && !text.contains(char::is_control)).then_some(text)
    };
    (at(&check.account), at(&check.account_id))
}
