//! Services: how to reach one, as the catalogue or an administrator describes it.
//!
//! 1. A service of the catalogue is known by its name; any other one is described in the connection, by the same members (`catalogue/README.md`).
//! 2. URLs and parameters hold settings as `{NAME}`. A value is one label of a host name, a host name, or one segment of a path, so that it can
//!    change nothing else of a URL.
//! 3. Every URL passes the gate of `outbound` when a connection is written, and again when it is called.

use crate::config::Config;
use crate::error::{Error, Fault, Reason, Result};
use crate::outbound;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Every service of the catalogue by name, as JSON.
const CATALOGUE: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// The longest value of a setting, in bytes.
const MAX_SETTING: usize = 200;

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// The name that people know.
    pub name: String,
    /// Where its authentication is documented.
    pub docs: String,
    /// The day on which this was compared with it.
    pub verified_on: String,
    /// Its colour.
    pub colour: String,
    /// The kind of connection.
    pub kind: String,
    /// What somebody has to know who registers an application there.
    pub notes: String,
    /// The values that URLs need.
    pub settings: BTreeMap<String, Setting>,
    /// Its authorization server.
    pub oauth2: Option<OAuth2>,
    /// The scopes that people ask for most.
    pub scopes: Vec<ScopeText>,
    /// How calls go to it.
    pub proxy: Option<Proxy>,
    /// What proves that a credential works.
    pub check: Option<Check>,
}

/// A value that an administrator gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What it is.
    pub description: String,
    /// An example.
    pub example: String,
    /// What it looks like.
    pub form: Form,
}

/// What the value of a setting looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// One label of a host name.
    Label,
    /// A host name.
    Host,
    /// One segment of a path.
    Segment,
}

/// An authorization server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OAuth2 {
    /// Where the browser goes (RFC 6749 §3.1).
    pub authorization_endpoint: String,
    /// Where codes and refresh tokens are redeemed (RFC 6749 §3.2).
    pub token_endpoint: String,
    /// Where tokens are revoked (RFC 7009 §2).
    pub revocation_endpoint: Option<String>,
    /// How the connection's own client authenticates.
    pub token_endpoint_auth_method: ClientAuth,
    /// How the token endpoint wants its parameters.
    pub body: Body,
    /// Whether a challenge is sent (RFC 7636).
    pub pkce: Pkce,
    /// What stands between two scopes.
    pub scope_separator: Separator,
    /// The parameter with the scope.
    pub scope_parameter: ScopeParameter,
    /// Further parameters of the authorization request.
    pub authorization_parameters: BTreeMap<String, String>,
    /// Further parameters where a code is redeemed.
    pub token_parameters: BTreeMap<String, String>,
    /// Further parameters where a refresh token is redeemed.
    pub refresh_parameters: BTreeMap<String, String>,
    /// How refresh tokens behave.
    pub refresh: Refresh,
    /// For how long a refresh token that was used is taken once more, in seconds.
    pub reuse_seconds: i64,
    /// After how many seconds an unused refresh token is dead.
    pub refresh_token_lifetime: Option<i64>,
    /// How long an access token lives where the answer does not say, in seconds; 0: it does not expire.
    pub expires_in: Option<i64>,
    /// Where the access token stands in the answer (RFC 6901).
    pub access_token: Option<String>,
    /// Where the refresh token stands.
    pub refresh_token: Option<String>,
    /// Where the scope stands.
    pub scope: Option<String>,
    /// Where the name of the account stands.
    pub account: Option<String>,
    /// Where what identifies the account stands.
    pub account_id: Option<String>,
}

/// How a client authenticates at a token endpoint (RFC 7591 §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// In the form.
    #[default]
    ClientSecretPost,
    /// In the `Authorization` header.
    ClientSecretBasic,
}

/// The media type of a token request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// As RFC 6749 has it.
    #[default]
    Form,
    /// JSON.
    Json,
}

/// How refresh tokens behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refresh {
    /// There are none, or access tokens do not expire.
    None,
    /// One for good.
    Stays,
    /// Each use gives another. Of an unknown service this is the safe guess.
    #[default]
    Rotates,
}

macro_rules! with_default {
    ($(#[doc = $doc:literal] $name:ident($inner:ty) = $default:expr;)+) => { $(
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }
    )+ };
}

with_default! {
    /// Whether a challenge is sent; it is where nothing is said.
    Pkce(bool) = true;
    /// What stands between two scopes; a blank where nothing is said.
    Separator(String) = " ".to_owned();
    /// The parameter with the scope; `scope` where nothing is said.
    ScopeParameter(String) = "scope".to_owned();
}

/// A scope in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeText {
    /// The scope.
    pub name: String,
    /// What it allows.
    pub description: String,
    /// Whether it reads, changes or deletes.
    pub effect: crate::model::resource::Effect,
}

/// How calls go to a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// What the path of a call follows.
    pub base_url: String,
    /// The header with the credential; `authorization` where nothing is said.
    pub header: Option<String>,
    /// Its value, with `{token}`, or `{username}` and `{password}`.
    pub format: Option<String>,
    /// The query parameter with the credential, instead.
    pub query: Option<String>,
    /// Headers that every call needs.
    pub headers: BTreeMap<String, String>,
}

/// A request that proves that a credential works.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Check {
    /// `GET` where nothing is said.
    pub method: Option<String>,
    /// What follows `base_url`.
    pub path: String,
    /// The body, as JSON text.
    pub body: Option<String>,
    /// Where the name of the account stands in the answer.
    pub account: Option<String>,
    /// Where what identifies it stands.
    pub account_id: Option<String>,
}

fn invalid(detail: impl Into<String>) -> Error {
    Reason::InvalidField.because(detail)
}

/// The names of all services.
pub fn names() -> impl Iterator<Item = &'static str> {
    CATALOGUE.iter().map(|(name, _)| *name)
}

/// The service that a connection names, or describes.
pub fn find(service: &Value) -> Result<Service> {
    match service {
        Value::String(name) => {
            let entry = CATALOGUE.iter().find(|(known, _)| known == name);
            let (_, json) = entry.ok_or_else(|| {
                let begins = name.get(..2).unwrap_or(name);
                let near: Vec<&str> =
                    CATALOGUE.iter().map(|(known, _)| *known).filter(|known| known.starts_with(begins)).collect();
                let near = if near.is_empty() { String::new() } else { format!(" (there are {})", near.join(", ")) };
                invalid(format!("`config.service` names nothing in the catalogue{near}; describe the service instead"))
            })?;
            serde_json::from_str(json)
                .map_err(|_| Fault::Broken("an entry of the catalogue does not have its shape").into())
        }
        Value::Object(_) => {
            Service::deserialize(service).map_err(|error| invalid(format!("`config.service`: {error}")))
        }
        _ => Err(invalid("`config.service` must be a name in the catalogue, or an object")),
    }
}

impl Service {
    /// The same with the values of its settings in every URL and parameter.
    pub fn with_settings(mut self, values: &BTreeMap<String, String>) -> Result<Self> {
        if let Some(unknown) = values.keys().find(|name| !self.settings.contains_key(*name)) {
            return Err(
                Reason::UnknownField.because(format!("`config.settings.{unknown}` is no setting of this service"))
            );
        }
        for (name, setting) in &self.settings {
            let value = values.get(name).ok_or_else(|| {
                invalid(format!(
                    "`config.settings.{name}` is missing: {} (for example {})",
                    setting.description, setting.example
                ))
            })?;
            if !setting.form.fits(value) {
                return Err(invalid(format!("`config.settings.{name}` must look like {}", setting.example)));
            }
        }
        let fill = |text: &mut String| {
            for (name, value) in values {
                *text = text.replace(&["{", name, "}"].concat(), value);
            }
        };
        if let Some(oauth2) = &mut self.oauth2 {
            fill(&mut oauth2.authorization_endpoint);
            fill(&mut oauth2.token_endpoint);
            oauth2.revocation_endpoint.iter_mut().for_each(fill);
            let maps =
                [&mut oauth2.authorization_parameters, &mut oauth2.token_parameters, &mut oauth2.refresh_parameters];
            maps.into_iter().flat_map(BTreeMap::values_mut).for_each(fill);
        }
        if let Some(proxy) = &mut self.proxy {
            fill(&mut proxy.base_url);
            proxy.format.iter_mut().for_each(fill);
            proxy.headers.values_mut().for_each(fill);
        }
        Ok(self)
    }

    /// Checks that every URL may be called.
    pub fn check_urls(&self, config: &Config) -> Result<()> {
        let oauth2 = self.oauth2.iter().flat_map(|oauth2| {
            let own = [
                ("authorization_endpoint", &oauth2.authorization_endpoint),
                ("token_endpoint", &oauth2.token_endpoint),
            ];
            own.into_iter().chain(oauth2.revocation_endpoint.iter().map(|url| ("revocation_endpoint", url)))
        });
        let proxy = self.proxy.iter().map(|proxy| ("base_url", &proxy.base_url));
        match oauth2.chain(proxy).find(|(_, url)| !url.is_empty() && outbound::admit(config, url).is_none()) {
            Some((name, _)) => Err(invalid(format!("`{name}` may not be called: it has to be https at a public name"))),
            None => Ok(()),
        }
    }
}

impl Form {
    fn fits(self, value: &str) -> bool {
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        value.len() <= MAX_SETTING
            && match self {
                Self::Label => is_label(value),
                Self::Host => value.contains('.') && value.split('.').all(is_label),
                Self::Segment => {
                    !value.is_empty()
                        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b))
                        && value != "."
                        && value != ".."
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_service_of_the_catalogue_has_its_shape() {
        for name in names() {
            let service = find(&json!(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!service.name.is_empty() && service.docs.starts_with("https://"), "{name}");
        }
    }

    #[test]
    fn a_setting_can_change_nothing_else_of_a_url() {
        for (form, good, bad) in [
            (Form::Label, "acme-1", vec!["", "a.b", "a/b", "-a", "a@b", "a:1", "a#"]),
            (Form::Host, "acme.example.com", vec!["", "acme", "a.b/c", "a.b:8443", "u@a.b", "a..b"]),
            (Form::Segment, "org_1.2~x", vec!["", ".", "..", "a/b", "a?b", "a#b", "a%2fb"]),
        ] {
            assert!(form.fits(good));
            for bad in bad {
                assert!(!form.fits(bad), "{bad}");
            }
        }
    }
}
