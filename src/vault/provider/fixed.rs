//! Credentials that a service takes as they are: keys, passwords, headers.
//!
//! 1. The proxy uses them. A lease hands one out only where `config` says `may_be_leased`, for nothing can take it back.
//! 2. `config.service` says how calls go to the service: a name in the catalogue, or the service itself.

use super::{Credential, Provider, Token, USUAL, fields};
use crate::config::Config;
use crate::error::{Fault, Result};
use crate::vault::proxy::inject::Injection;
use crate::vault::proxy::rules::AllowList;
use crate::vault::service::{self, Service};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What kinds with a fixed credential have in common.
pub const FIXED: Provider =
    Provider { read_config, may_be_leased, gives_access_tokens: false, inject: Some(inject), ..USUAL };

/// The settings of a connection with a fixed credential.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A name in the catalogue, or the service itself.
    pub service: Value,
    /// The values that its URLs need.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Whether a lease hands the credential out.
    #[serde(default)]
    pub may_be_leased: bool,
    /// The calls that may go through the proxy.
    #[serde(default, skip_serializing_if = "AllowList::is_empty")]
    pub allow: AllowList,
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
}

fn may_be_leased(config: &Value) -> bool {
    Settings::of(config).is_ok_and(|settings| settings.may_be_leased)
}

/// Reads the settings; the service has to say how calls go to it.
pub fn read_config(config: &Config, value: Value) -> Result<Value> {
    let settings: Settings = fields::config(value)?;
    let service = settings.service()?;
    if service.proxy.as_ref().is_none_or(|proxy| proxy.base_url.is_empty()) {
        return Err(fields::invalid("`config.service.proxy` needs a `base_url`"));
    }
    service.check_urls(config)?;
    settings.allow.check(true)?;
    fields::store(&settings)
}

/// How calls through the proxy go.
pub fn inject(config: &Value) -> Result<Injection> {
    let settings = Settings::of(config)?;
    let broken = || Fault::Broken("a stored service has no `proxy`");
    Ok(Injection { proxy: settings.service()?.proxy.ok_or_else(broken)?, allow: settings.allow })
}

/// Reads a secret of one text that goes into a header (RFC 9110 §5.5).
pub fn read_header_text(secret: Value, name: &str) -> Result<Credential> {
    let [text] = fields::secret(secret, [name], false)?;
    match text.expose().is_ascii() {
        true => Ok(Credential::text(&text)),
        false => Err(fields::invalid(format!("`secret.{name}` must be visible ASCII"))),
    }
}

/// What a lease hands out: members of the answer, without an end.
pub fn handed_out<const N: usize>(members: [(&str, &str); N]) -> Token {
    let members: Map<String, Value> =
        members.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    Token::of(members, None)
}
