//! Users of Salesforce (help.salesforce.com, "OAuth 2.0 JWT Bearer Flow for Server-to-Server Integration").
//!
//! 1. RS256; `iss` is the consumer key, `sub` the user, `aud` the login host; the assertion holds three minutes.
//! 2. The answer does not say how long the token lives: that is the organization's session timeout, 15 minutes at the least. The config says it.
//! 3. A lease has `instance_url` beside the token.

use super::assertion::{self, Head, StoredKey};
use super::jwt_bearer::GRANT_TYPE;
use super::{ExchangeRequest, Provider, Token, USUAL, answer, fields};
use crate::config::Config;
use crate::context::Cx;
use crate::error::Result;
use crate::outbound;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub const PROVIDER: Provider = Provider {
    kind: "salesforce",
    read_config,
    read_secret: |_, secret| assertion::read_rsa_secret(secret),
    exchange: Some(|cx, request| Box::pin(exchange(cx, request))),
    ..USUAL
};

/// How long an assertion holds, in seconds.
const SECONDS: i64 = 180;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The consumer key.
    client_id: String,
    username: String,
    /// `aud`: of production, of a sandbox, or of a community.
    #[serde(default = "login")]
    login_url: String,
    /// Where the token endpoint is, if not at the login host: a My Domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance_url: Option<String>,
    /// The session timeout, in seconds.
    #[serde(default = "session")]
    session_seconds: u32,
}

fn login() -> String {
    "https://login.salesforce.com".to_owned()
}

fn session() -> u32 {
    900
}

fn read_config(config: &Config, value: Value) -> Result<Value> {
    let settings: Settings = fields::config(value)?;
    fields::expect_text("client_id", &settings.client_id)?;
    fields::expect_text("username", &settings.username)?;
    fields::expect_url(config, "login_url", &settings.login_url)?;
    if settings.login_url.ends_with('/') {
        return Err(fields::invalid("`config.login_url` may not end with a slash"));
    }
    settings.instance_url.as_deref().map_or(Ok(()), |url| fields::expect_origin(config, "instance_url", url))?;
    if !(900..=86_400).contains(&settings.session_seconds) {
        return Err(fields::invalid("`config.session_seconds` must be 900 to 86400"));
    }
    fields::store(&settings)
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
}

async fn exchange(cx: &Cx<'_>, request: ExchangeRequest<'_>) -> Result<Token> {
    let settings: Settings = fields::stored(request.config)?;
    let key: StoredKey = fields::opened(request.plain)?;
    let claims = Claims { iss: &settings.client_id, sub: &settings.username, aud: &settings.login_url };
    let head = Head { kid: "", iat: request.now, exp: request.now.saturating_add(SECONDS) };
    let assertion = assertion::sign(cx, &request, &key, head, &claims).await?;
    let host = settings.instance_url.as_ref().unwrap_or(&settings.login_url);
    let parameters = [("grant_type", GRANT_TYPE), ("assertion", assertion.expose())];
    let answer = outbound::post_form(cx, &[host, "/services/oauth2/token"].concat(), &parameters).await?;
    let mut success = answer::success(answer)?;
    let instance = success.instance_url.take().filter(|url| outbound::admit(cx.config, url).is_some());
    let mut members = Map::new();
    members.insert("instance_url".to_owned(), instance.ok_or_else(answer::unusable)?.into());
    Ok(success.bearer(settings.session_seconds)?.with(members))
}
