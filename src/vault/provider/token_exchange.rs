//! Token exchange at another authorization server (RFC 8693), with a stored token as the subject.
//!
//! 1. The connection's client authenticates with its secret; secret and subject token are sealed together.
//! 2. A lease asks for its scope alone. Only a bearer token is taken as an answer.

use super::oauth2::{self, OwnClient};
use super::{Credential, ExchangeRequest, Provider, Token, USUAL, answer, fields};
use crate::config::Config;
use crate::context::Cx;
use crate::crypto::Secret;
use crate::error::Result;
use crate::oauth::ACCESS_TOKEN;
use crate::vault::service::{ClientAuth, OAuth2};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

pub const PROVIDER: Provider = Provider {
    kind: "token_exchange",
    read_config,
    read_secret,
    offers: |config| Some(fields::stored::<Settings>(config).ok()?.scopes.into_iter().collect()),
    exchange: Some(|cx, request| Box::pin(exchange(cx, request))),
    ..USUAL
};

/// The grant type.
pub use crate::oauth::TOKEN_EXCHANGE as GRANT_TYPE;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    token_endpoint: String,
    client_id: String,
    #[serde(default)]
    token_endpoint_auth_method: ClientAuth,
    #[serde(default = "access_token")]
    subject_token_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requested_token_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
}

fn access_token() -> String {
    ACCESS_TOKEN.to_owned()
}

impl Settings {
    fn optional(&self) -> [(&'static str, Option<&String>); 3] {
        [
            ("requested_token_type", self.requested_token_type.as_ref()),
            ("audience", self.audience.as_ref()),
            ("resource", self.resource.as_ref()),
        ]
    }
}

fn read_config(config: &Config, value: Value) -> Result<Value> {
    let mut settings: Settings = fields::config(value)?;
    fields::expect_url(config, "token_endpoint", &settings.token_endpoint)?;
    fields::expect_text("client_id", &settings.client_id)?;
    fields::expect_text("subject_token_type", &settings.subject_token_type)?;
    for (name, text) in settings.optional() {
        text.map_or(Ok(()), |text| fields::expect_text(name, text))?;
    }
    settings.scopes = fields::distinct(&settings.scopes)?;
    fields::store(&settings)
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Pair {
    client_secret: String,
    subject_token: String,
}

impl Drop for Pair {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.client_secret);
        zeroize::Zeroize::zeroize(&mut self.subject_token);
    }
}

fn read_secret(_: &Config, secret: Value) -> Result<Credential> {
    let [client_secret, subject_token] = fields::secret(secret, ["client_secret", "subject_token"], false)?;
    let pair = Pair { client_secret: client_secret.expose().clone(), subject_token: subject_token.expose().clone() };
    fields::seal(&pair, "")
}

async fn exchange(cx: &Cx<'_>, request: ExchangeRequest<'_>) -> Result<Token> {
    let settings: Settings = fields::stored(request.config)?;
    let pair: Pair = fields::opened(request.plain)?;
    let oauth2 = OAuth2 {
        token_endpoint: settings.token_endpoint.clone(),
        token_endpoint_auth_method: settings.token_endpoint_auth_method,
        ..OAuth2::default()
    };
    let client = OwnClient { id: settings.client_id.clone(), secret: Secret::new(pair.client_secret.clone()) };
    let mut parameters = vec![
        ("grant_type", GRANT_TYPE),
        ("subject_token", pair.subject_token.as_str()),
        ("subject_token_type", settings.subject_token_type.as_str()),
    ];
    if !request.scope.is_empty() {
        parameters.push(("scope", request.scope));
    }
    parameters.extend(settings.optional().into_iter().filter_map(|(name, text)| Some((name, text?.as_str()))));
    let given = oauth2::ask(cx, &oauth2, &client, (parameters, &BTreeMap::new()), None).await;
    answer::given(given, request.now, false)
}
