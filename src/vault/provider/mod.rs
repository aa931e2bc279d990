//! Kinds of downstream services. A new kind is one file and one line in [`PROVIDERS`].

mod google_service_account;
pub mod oauth2;

use crate::config::Config;
use crate::context::Cx;
use crate::crypto::Secret;
use crate::error::Result;
use crate::oauth::Scope;
use crate::ports::Pending;
use crate::vault::proxy::inject::Injection;
use serde_json::Value;

/// What a kind of connection can do.
pub struct Provider {
    /// Its name on the wire.
    pub kind: &'static str,
    /// Reads `config` and gives it back in its stored form. A refusal names the field.
    pub read_config: fn(&Config, Value) -> Result<Value>,
    /// Reads `secret` and keeps what an exchange needs. A refusal names the field and never holds a value.
    pub read_secret: fn(&Config, Value) -> Result<Credential>,
    /// The scope that a stored config offers.
    pub offers: fn(&Value) -> Option<Scope>,
    /// Exchanges the connection's credential for a short-lived token; nothing where people connect accounts.
    pub exchange: Option<Exchange>,
    /// How calls through the proxy go, as a stored config says; nothing where they cannot.
    pub inject: Option<fn(&Value) -> Result<Injection>>,
}

/// An exchange with the provider.
pub type Exchange = for<'a> fn(&'a Cx<'a>, ExchangeRequest<'a>) -> Pending<'a, Result<Token>>;

/// A credential as its provider's file reads it.
pub struct Credential {
    /// What is sealed.
    pub plain: Secret<Vec<u8>>,
    /// Whose it is; may be shown.
    pub account: String,
}

/// What an exchange is for.
#[derive(Clone, Copy)]
pub struct ExchangeRequest<'a> {
    /// The credential's id.
    pub credential: &'a str,
    /// What was sealed.
    pub plain: &'a [u8],
    /// The scope, in the order of the config.
    pub scope: &'a str,
    /// Seconds since the epoch.
    pub now: i64,
}

/// What a provider gave.
pub struct Token {
    /// The token.
    pub access_token: Secret<String>,
    /// How long it is good for, in seconds.
    pub lifetime: u32,
}

const PROVIDERS: &[Provider] = &[google_service_account::PROVIDER, oauth2::PROVIDER];

/// The provider of that kind.
pub fn find(kind: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.kind == kind)
}

/// Every kind there is.
pub fn kinds() -> String {
    let kinds: Vec<_> = PROVIDERS.iter().map(|provider| provider.kind).collect();
    kinds.join(", ")
}
