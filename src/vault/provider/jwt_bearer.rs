//! Assertions as authorization grants at any authorization server (RFC 7523 §2.1).
//!
//! 1. `iss`, `sub`, `aud`, `kid` and further claims are the config's; the times and `jti` are Writ's.
//! 2. The key decides the algorithm: RSA signs RS256, P-256 signs ES256.

use super::assertion::{self, Head, StoredKey};
use super::{Credential, ExchangeRequest, Provider, Token, USUAL, answer, fields};
use crate::config::Config;
use crate::context::Cx;
use crate::crypto::nonce;
use crate::error::Result;
use crate::outbound;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub const PROVIDER: Provider = Provider {
    kind: "jwt_bearer",
    read_config,
    read_secret,
    offers: |config| Some(fields::stored::<Settings>(config).ok()?.scopes.into_iter().collect()),
    exchange: Some(|cx, request| Box::pin(exchange(cx, request))),
    ..USUAL
};

/// The grant type.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long an assertion holds, in seconds.
const SECONDS: i64 = 300;
const MAX_MORE: usize = 20;
/// Claims that are not the config's to add (RFC 7519 §4.1).
const REGISTERED: &[&str] = &["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];
/// Parameters that are not the config's to add.
const PARAMETERS: &[&str] = &["grant_type", "assertion", "scope"];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    token_endpoint: String,
    iss: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// The token endpoint where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    claims: Map<String, Value>,
    /// Further parameters of the request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    parameters: BTreeMap<String, String>,
    #[serde(default)]
    scopes: Vec<String>,
}

fn read_config(config: &Config, value: Value) -> Result<Value> {
    let mut settings: Settings = fields::config(value)?;
    fields::expect_url(config, "token_endpoint", &settings.token_endpoint)?;
    fields::expect_text("iss", &settings.iss)?;
    for (name, text) in [("sub", &settings.sub), ("aud", &settings.aud), ("kid", &settings.kid)] {
        text.as_deref().map_or(Ok(()), |text| fields::expect_text(name, text))?;
    }
    if settings.kid.as_ref().is_some_and(|kid| !kid.is_ascii()) {
        return Err(fields::invalid("`config.kid` must be ASCII"));
    }
    let is_taken = |name: &String| REGISTERED.contains(&name.as_str());
    if settings.claims.len() > MAX_MORE || settings.claims.keys().any(is_taken) {
        return Err(fields::invalid(format!(
            "`config.claims` must have up to {MAX_MORE} claims, and none of {}",
            REGISTERED.join(", ")
        )));
    }
    let is_taken = |name: &String| PARAMETERS.contains(&name.as_str());
    if settings.parameters.len() > MAX_MORE || settings.parameters.keys().any(is_taken) {
        return Err(fields::invalid(format!(
            "`config.parameters` must have up to {MAX_MORE} parameters, and none of {}",
            PARAMETERS.join(", ")
        )));
    }
    settings.scopes = fields::distinct(&settings.scopes)?;
    fields::store(&settings)
}

fn read_secret(_: &Config, secret: Value) -> Result<Credential> {
    let [pem] = fields::secret(secret, ["private_key"], true)?;
    fields::seal(&assertion::read_key(&pem)?, "")
}

async fn exchange(cx: &Cx<'_>, request: ExchangeRequest<'_>) -> Result<Token> {
    let settings: Settings = fields::stored(request.config)?;
    let key: StoredKey = fields::opened(request.plain)?;
    let mut claims = settings.claims;
    let own = [
        ("iss", Some(settings.iss)),
        ("sub", settings.sub),
        ("aud", Some(settings.aud.unwrap_or_else(|| settings.token_endpoint.clone()))),
        ("jti", Some(nonce(&*cx.world.entropy))),
    ];
    claims.extend(own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
    let kid = settings.kid.as_deref().unwrap_or_default();
    let head = Head { kid, iat: request.now, exp: request.now.saturating_add(SECONDS) };
    let assertion = assertion::sign(cx, &request, &key, head, &claims).await?;
    let mut parameters = vec![("grant_type", GRANT_TYPE), ("assertion", assertion.expose())];
    if !request.scope.is_empty() {
        parameters.push(("scope", request.scope));
    }
    parameters.extend(settings.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let answer = outbound::post_form(cx, &settings.token_endpoint, &parameters).await?;
    answer::success(answer)?.bearer(answer::UNKNOWN_LIFETIME)
}
