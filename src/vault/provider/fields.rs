//! Reading `config` and `secret` of connections, alike for every kind.
//!
//! 1. An unknown or missing member is refused by its name.
//! 2. A refusal about a secret has no value of it.
//! 3. Every URL passes the gate of `outbound`.

use super::Credential;
use crate::config::Config;
use crate::crypto::Secret;
use crate::error::{Error, Fault, Reason, Result};
use crate::oauth::{Scope, scope};
use crate::outbound;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

/// The longest text of a config, in bytes.
pub const MAX_TEXT: usize = 256;
/// The longest text of a secret, in bytes.
const MAX_SECRET: usize = 16 * 1024;
const MAX_SCOPES: usize = 100;
/// More than most sealed credentials take, so that their buffer does not move and leaves no copy behind.
const BUFFER: usize = 32 * 1024;

/// A refusal of a field.
pub fn invalid(detail: impl Into<String>) -> Error {
    Reason::InvalidField.because(detail)
}

/// Reads a config.
pub fn config<T: DeserializeOwned>(value: Value) -> Result<T> {
    if !value.is_object() {
        return Err(invalid("`config` must be an object"));
    }
    serde_json::from_value(value).map_err(|error| {
        let text = error.to_string();
        let named = |start: &str| text.strip_prefix(start)?.split_once('`');
        match (named("unknown field `"), named("missing field `")) {
            (Some((name, rest)), _) => Reason::UnknownField.because(format!("`config.{name}` is unknown{rest}")),
            (_, Some((name, _))) => invalid(format!("`config.{name}` is missing")),
            _ => invalid(format!("`config`: {text}")),
        }
    })
}

/// The stored form of a config.
pub fn store(config: &impl Serialize) -> Result<Value> {
    serde_json::to_value(config).map_err(|_| Fault::Broken("a config has no JSON").into())
}

/// A config as it was stored.
pub fn stored<T: DeserializeOwned>(config: &Value) -> Result<T> {
    T::deserialize(config).map_err(|_| Fault::Broken("a stored connection does not have its shape").into())
}

/// Checks that a member is visible text.
pub fn expect_text(name: &str, text: &str) -> Result<()> {
    match !text.is_empty() && text.len() <= MAX_TEXT && !text.contains(char::is_control) {
        true => Ok(()),
        false => Err(invalid(format!("`config.{name}` must have 1 to {MAX_TEXT} visible characters"))),
    }
}

/// Checks that a member is a URL that may be called.
pub fn expect_url(config: &Config, name: &str, url: &str) -> Result<()> {
    match url.len() <= 2 * MAX_TEXT && outbound::admit(config, url).is_some() {
        true => Ok(()),
        false => Err(invalid(format!("`config.{name}` may not be called: it has to be https at a public name"))),
    }
}

/// Whether calls through the proxy may go to a URL: a host with one of these endings, or one that development may call.
pub fn is_api(config: &Config, text: &str, hosts: &[&str]) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_known = url.host_str().is_some_and(|host| hosts.iter().any(|ending| host.ends_with(ending)));
    let is_plain = text.len() <= MAX_TEXT && url.query().is_none() && url.fragment().is_none() && !text.ends_with('/');
    is_plain && outbound::admit(config, text).is_some() && (is_known || outbound::is_development(config, text))
}

/// Checks that a member is the origin of a service: a URL that may be called, without a path and without a slash at the end.
pub fn expect_origin(config: &Config, name: &str, url: &str) -> Result<()> {
    expect_url(config, name, url)?;
    match Url::parse(url).is_ok_and(|parsed| parsed.origin().ascii_serialization() == url) {
        true => Ok(()),
        false => Err(invalid(format!("`config.{name}` must be scheme and host alone, without a slash at the end"))),
    }
}

/// Checks the audience of a token that Writ issues: another service's.
pub fn expect_audience(config: &Config, audience: &str) -> Result<()> {
    expect_text("audience", audience)?;
    match audience.starts_with(config.origin()) {
        true => Err(invalid("`config.audience` must be that of another service than Writ")),
        false => Ok(()),
    }
}

/// Checks `scopes` of a config, and takes out what is there twice.
pub fn distinct(scopes: &[String]) -> Result<Vec<String>> {
    let is_scope = |one: &String| one.len() <= MAX_TEXT && scope::is_token(one);
    if scopes.len() > MAX_SCOPES || !scopes.iter().all(is_scope) {
        return Err(invalid(format!("`config.scopes` must have up to {MAX_SCOPES} scopes (RFC 6749 §3.3)")));
    }
    Ok(scopes.iter().map(String::as_str).collect::<Scope>().to_vec())
}

/// Reads a secret that is an object of exactly these texts. A line break is taken where `multiline` says so, as a PEM has it.
pub fn secret<const N: usize>(secret: Value, names: [&str; N], multiline: bool) -> Result<[Secret<String>; N]> {
    let list = || names.map(|name| format!("`{name}`")).join(" and ");
    let Value::Object(mut members) = secret else {
        return Err(invalid(format!("`secret` must be an object with {}", list())));
    };
    let taken = names.map(|name| match members.remove(name) {
        Some(Value::String(text)) => Some(Secret::new(text)),
        _ => None,
    });
    if let Some(unknown) = members.keys().next() {
        let unknown: String = unknown.chars().take(MAX_TEXT).collect();
        return Err(Reason::UnknownField.because(format!("`secret.{unknown}` is unknown")));
    }
    let is_text = |text: &str| {
        let hidden = |sign: char| sign.is_control() && !(multiline && sign.is_ascii_whitespace());
        (1..=MAX_SECRET).contains(&text.len()) && !text.contains(hidden)
    };
    for (name, text) in names.iter().zip(&taken) {
        if !text.as_ref().is_some_and(|text| is_text(text.expose())) {
            return Err(invalid(format!("`secret.{name}` must be visible text")));
        }
    }
    Ok(taken.map(|text| text.unwrap_or_else(|| Secret::new(String::new()))))
}

/// Reads a `secret` that is the secret of the connection's own client.
pub fn read_client_secret(_: &Config, secret: Value) -> Result<Credential> {
    let [client_secret] = self::secret(secret, ["client_secret"], false)?;
    Ok(Credential::text(&client_secret))
}

/// What is sealed of a secret.
pub fn seal(sealed: &impl Serialize, account: impl Into<String>) -> Result<Credential> {
    let mut plain = Vec::with_capacity(BUFFER);
    let written = serde_json::to_writer(&mut plain, sealed);
    let plain = Secret::new(plain);
    written.map_err(|_| Fault::Broken("a credential has no JSON"))?;
    Ok(Credential { plain, account: account.into() })
}

/// A secret that is one text, as it was sealed.
pub fn text(plain: &[u8]) -> Result<Secret<String>> {
    let text = std::str::from_utf8(plain).map_err(|_| broken())?;
    Ok(Secret::new(text.to_owned()))
}

/// What was sealed by [`seal`].
pub fn opened<T: DeserializeOwned>(plain: &[u8]) -> Result<T> {
    serde_json::from_slice(plain).map_err(|_| broken())
}

/// A stored credential is not what was sealed.
pub fn broken() -> Error {
    Fault::Broken("a stored credential does not have its shape").into()
}
