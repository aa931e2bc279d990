//! Settings, parsed once at the start. A Worker that is half configured answers nothing but the reason in its log.
//!
//! | name | meaning |
//! | --- | --- |
//! | `ORIGIN` | scheme and authority under which the world sees this deployment; issuers derive from it |
//! | `ROLES` | `all`, or a comma-separated list of [`Role`]s that this Worker mounts |
//! | `FRESHNESS_SECONDS` | how old a security decision's data may be, 0 to 60; default 5 |
//! | `SIGNING_KEK` | secret of the role `token`: seals signing keys |
//! | `VAULT_KEK` | secret of the role `broker`: seals credentials |
//! | `PEOPLE_KEK` | secret of the role `authorize` where it has none of the others: seals what browsers keep for pages, and the client secrets of identity providers; the role `admin` in another Worker has the same |
//! | `ADMIN_KEK` | secret of the role `admin` where it has neither of the two: seals answers that are kept for retries |
//! | `AUDIT_KEK` | secret of the role `audit` where it has none of the others: seals the keys of logs |
//! | `DEV_OUTBOUND` | origins that outbound calls may reach although they are on this machine; refused on `https` |

use crate::crypto::{Keyring, Secret};
use url::Url;

/// A group of endpoints that a Worker mounts or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The token endpoint and the signing keys.
    Token,
    /// Metadata and key sets.
    Discovery,
    /// The authorization endpoint and its pages.
    Authorize,
    /// Connections and leases.
    Broker,
    /// The admin API.
    Admin,
    /// Events: the queue's consumer and the query.
    Audit,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [Self::Token, Self::Discovery, Self::Authorize, Self::Broker, Self::Admin, Self::Audit];

    /// The name in `ROLES`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Discovery => "discovery",
            Self::Authorize => "authorize",
            Self::Broker => "broker",
            Self::Admin => "admin",
            Self::Audit => "audit",
        }
    }
}

/// All settings.
pub struct Config {
    origin: String,
    roles: Vec<Role>,
    freshness_millis: u64,
    signing: Option<Keyring>,
    vault: Option<Keyring>,
    admin: Option<Keyring>,
    audit: Option<Keyring>,
    people: Option<Keyring>,
    dev_outbound: Vec<String>,
}

const MAX_FRESHNESS_SECONDS: u64 = 60;

impl Config {
    /// Reads every setting through `lookup`. The error says which one to mend and how; it never holds a value.
    pub fn parse(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let setting = |name: &str| lookup(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let origin = parse_origin("ORIGIN", &setting("ORIGIN").ok_or("`ORIGIN` is missing")?)?;
        let roles = parse_roles(setting("ROLES").as_deref().unwrap_or("all"))?;
        let freshness_millis = match setting("FRESHNESS_SECONDS") {
            None => 5_000,
            Some(text) => text
                .parse()
                .ok()
                .filter(|seconds| *seconds <= MAX_FRESHNESS_SECONDS)
                .map(|seconds: u64| seconds.saturating_mul(1000))
                .ok_or("`FRESHNESS_SECONDS` must be a whole number from 0 to 60")?,
        };
        let keyring = |name: &str, role: Role, needed: bool| match (setting(name), needed && roles.contains(&role)) {
            (None, true) => Err(format!("the role `{}` needs the secret `{name}`", role.as_str())),
            (None, false) => Ok(None),
            (Some(text), _) => Keyring::parse(&Secret::new(text)).map(Some).ok_or_else(|| {
                format!("`{name}` must be `VERSION:KEY …`, KEY being 32 bytes in base64url, or `lost` after the first")
            }),
        };
        let signing = keyring("SIGNING_KEK", Role::Token, true)?;
        let vault = keyring("VAULT_KEK", Role::Broker, true)?;
        let admin = keyring("ADMIN_KEK", Role::Admin, signing.is_none() && vault.is_none())?;
        let has_none = signing.is_none() && vault.is_none() && admin.is_none();
        let audit = keyring("AUDIT_KEK", Role::Audit, has_none)?;
        let people = keyring("PEOPLE_KEK", Role::Authorize, has_none)?;
        let dev_outbound = setting("DEV_OUTBOUND")
            .iter()
            .flat_map(|list| list.split(','))
            .map(|text| parse_origin("DEV_OUTBOUND", text.trim()))
            .collect::<Result<Vec<_>, _>>()?;
        if origin.starts_with("https:") && !dev_outbound.is_empty() {
            return Err("`DEV_OUTBOUND` is for development; it cannot go with an `https` `ORIGIN`".into());
        }
        Ok(Self { origin, roles, freshness_millis, signing, vault, admin, audit, people, dev_outbound })
    }

    /// Scheme and authority, without a trailing slash.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether this Worker mounts `role`.
    pub fn mounts(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The age bound of cached security data, in milliseconds; 0 = always fresh.
    pub const fn freshness_millis(&self) -> u64 {
        self.freshness_millis
    }

    /// The key-encryption keys of signing keys, where the role needs them.
    pub const fn signing(&self) -> Option<&Keyring> {
        self.signing.as_ref()
    }

    /// The key-encryption keys of credentials, where the role needs them.
    pub const fn vault(&self) -> Option<&Keyring> {
        self.vault.as_ref()
    }

    /// The keys that seal answers kept for retries: their own, or else those of the vault or of signing keys.
    pub fn answers(&self) -> Option<&Keyring> {
        self.admin.as_ref().or(self.vault()).or(self.signing())
    }

    /// The keys that seal the keys of logs, where this Worker has the role `audit`: their own, or else others that it has.
    pub fn logs(&self) -> Option<&Keyring> {
        self.audit.as_ref().or(self.answers()).filter(|_| self.mounts(Role::Audit))
    }

    /// The keys that seal what browsers keep for pages: their own, or else others that the Worker has.
    pub fn people(&self) -> Option<&Keyring> {
        self.people.as_ref().or(self.signing()).or(self.answers())
    }

    /// The keys that seal what we prove ourselves with where people sign in: those of [`Self::people`] in the Worker with the role
    /// `authorize`, which opens it. Another Worker seals only if it has been given the same.
    pub fn providers(&self) -> Option<&Keyring> {
        match self.mounts(Role::Authorize) {
            true => self.people(),
            false => self.people.as_ref(),
        }
    }

    /// Whether this deployment is on the machine of its developer; settings refuse any other origin that is not `https`.
    pub fn is_development(&self) -> bool {
        self.origin.starts_with("http:")
    }

    /// Origins on this machine that development may call.
    pub fn dev_outbound(&self) -> &[String] {
        &self.dev_outbound
    }
}

/// `https://host[:port]`, or `http` on this machine; no path, no trailing slash.
fn parse_origin(name: &str, text: &str) -> Result<String, String> {
    let url = Url::parse(text)
        .map_err(|_| format!("`{name}` must be a URL with an ASCII host, such as https://id.example.com"))?;
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() != "https" && !(url.scheme() == "http" && local) {
        return Err(format!("`{name}` must be https (http only on localhost)"));
    }
    let origin = url.origin().ascii_serialization();
    if origin != text {
        return Err(format!("`{name}` must be scheme and authority alone, in lower case, without a trailing slash"));
    }
    Ok(origin)
}

fn parse_roles(text: &str) -> Result<Vec<Role>, String> {
    if text == "all" {
        return Ok(Role::ALL.to_vec());
    }
    text.split(',')
        .map(|name| Role::ALL.into_iter().find(|role| role.as_str() == name.trim()))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| {
            let names: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
            format!("`ROLES` must be `all` or some of: {}", names.join(", "))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEK: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn parse(settings: &[(&str, &str)]) -> Result<Config, String> {
        Config::parse(|name| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_worker_without_the_secret_of_its_role_does_not_start() {
        let origin = ("ORIGIN", "https://id.example");
        assert!(parse(&[origin, ("SIGNING_KEK", KEK)]).err().unwrap().contains("VAULT_KEK"));
        assert!(parse(&[origin, ("SIGNING_KEK", KEK), ("VAULT_KEK", KEK)]).is_ok());
        assert!(parse(&[origin, ("ROLES", "discovery")]).is_ok());
        let admin = [origin, ("ROLES", "admin,audit")];
        assert!(parse(&admin).err().unwrap().contains("ADMIN_KEK"));
        let answers = |name| parse(&[admin[0], admin[1], (name, KEK)]).unwrap().answers().is_some();
        assert!(["ADMIN_KEK", "VAULT_KEK", "SIGNING_KEK"].into_iter().all(answers));
        assert!(parse(&[origin, ("ROLES", "discovery, token")]).err().unwrap().contains("SIGNING_KEK"));
    }

    #[test]
    fn malformed_settings_are_refused_without_repeating_them() {
        let base = [("ORIGIN", "https://id.example"), ("ROLES", "broker")];
        let error = parse(&[base[0], base[1], ("VAULT_KEK", "1:canary")]).err().unwrap();
        assert!(error.contains("VAULT_KEK") && !error.contains("canary"));
        for origin in ["", "id.example", "http://id.example", "https://id.example/", "https://ID.example"] {
            assert!(parse(&[("ORIGIN", origin), ("ROLES", "discovery")]).is_err(), "{origin}");
        }
        for roles in ["al", "token;broker", ","] {
            assert!(parse(&[base[0], ("ROLES", roles)]).is_err(), "{roles}");
        }
        assert!(parse(&[base[0], ("ROLES", "discovery"), ("FRESHNESS_SECONDS", "61")]).is_err());
        assert!(parse(&[base[0], ("ROLES", "discovery"), ("DEV_OUTBOUND", "http://localhost:1")]).is_err());
    }
}
