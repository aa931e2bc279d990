//! A header of the service's own whose whole value is secret. Its name is `config.service.proxy.header`.

use super::fixed::{self, FIXED, Settings, handed_out, read_header_text};
use super::{ExchangeRequest, Provider, Token, fields};
use crate::config::Config;
use crate::error::Result;
use serde_json::Value;

pub const PROVIDER: Provider = Provider {
    kind: "custom_header",
    read_config,
    read_secret: |_, secret| read_header_text(secret, "value"),
    exchange: Some(|_, request| Box::pin(async move { hand_out(request) })),
    inject: Some(|config| {
        let mut injection = fixed::inject(config)?;
        // The whole value is the secret.
        injection.proxy.format.get_or_insert_with(|| "{token}".to_owned());
        Ok(injection)
    }),
    ..FIXED
};

/// Headers that belong to the connection itself (RFC 9110 §7.6.1).
const TAKEN: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn header(config: &Value) -> Option<String> {
    Settings::of(config).ok()?.service().ok()?.proxy?.header
}

fn read_config(config: &Config, value: Value) -> Result<Value> {
    let stored = fixed::read_config(config, value)?;
    let is_name = |name: &String| {
        let is_sign = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        (1..=fields::MAX_TEXT).contains(&name.len())
            && name.bytes().all(is_sign)
            && !TAKEN.contains(&name.to_ascii_lowercase().as_str())
    };
    match header(&stored).is_some_and(|name| is_name(&name)) {
        true => Ok(stored),
        false => Err(fields::invalid("`config.service.proxy.header` must be the name of a header (RFC 9110 §5.1)")),
    }
}

fn hand_out(request: ExchangeRequest<'_>) -> Result<Token> {
    let header = header(request.config).unwrap_or_default();
    Ok(handed_out([("header", &header), ("value", fields::text(request.plain)?.expose())]))
}
