//! Users of Snowflake with a key pair (docs.snowflake.com, "Authenticating to the server").
//!
//! 1. The lease is the JWT itself: `iss` is `ACCOUNT.USER.SHA256:FINGERPRINT`, `sub` is `ACCOUNT.USER`, both in capitals. Nothing is fetched.
//! 2. Snowflake takes it for an hour at the most; a lease is for ten minutes.

use super::assertion::{self, Head, StoredKey};
use super::{Credential, ExchangeRequest, Provider, Token, USUAL, fields};
use crate::config::Config;
use crate::context::Cx;
use crate::error::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub const PROVIDER: Provider = Provider {
    kind: "snowflake",
    read_config,
    read_secret,
    exchange: Some(|cx, request| Box::pin(exchange(cx, request))),
    ..USUAL
};

/// How long a token holds, in seconds.
const SECONDS: u32 = 600;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `ORGANIZATION-ACCOUNT`, or an account locator without its region.
    account: String,
    user: String,
}

fn read_config(_: &Config, value: Value) -> Result<Value> {
    let Settings { account, user } = fields::config(value)?;
    let is_account = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if account.is_empty() || account.len() > fields::MAX_TEXT || !account.bytes().all(is_account) {
        return Err(fields::invalid(
            "`config.account` must be an account identifier: `ORGANIZATION-ACCOUNT`, or a locator without its region",
        ));
    }
    fields::expect_text("user", &user)?;
    fields::store(&Settings { account: account.to_uppercase(), user: user.to_uppercase() })
}

fn read_secret(_: &Config, secret: Value) -> Result<Credential> {
    let [pem] = fields::secret(secret, ["private_key"], true)?;
    let key = assertion::read_rsa(&pem)?;
    let account = ["SHA256:", key.fingerprint.as_deref().unwrap_or_default()].concat();
    fields::seal(&key, account)
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
}

async fn exchange(cx: &Cx<'_>, request: ExchangeRequest<'_>) -> Result<Token> {
    let Settings { account, user } = fields::stored(request.config)?;
    let key: StoredKey = fields::opened(request.plain)?;
    let sub = [account, user].join(".");
    let iss = [&sub, ".SHA256:", key.fingerprint.as_deref().ok_or_else(fields::broken)?].concat();
    let head = Head { kid: "", iat: request.now, exp: request.now.saturating_add(SECONDS.into()) };
    let token = assertion::sign(cx, &request, &key, head, &Claims { iss: &iss, sub: &sub }).await?;
    let mut members = Map::new();
    // The value of `X-Snowflake-Authorization-Token-Type`.
    members.insert("snowflake_token_type".to_owned(), "KEYPAIR_JWT".into());
    Ok(Token::bearer(token, Some(SECONDS)).with(members))
}
