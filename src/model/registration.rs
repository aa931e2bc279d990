//! How a client came into the directory, what runs it, and what a tenant lets clients do that nobody registered.

use serde::{Deserialize, Serialize};

/// How a client came into the directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// An administrator registered it.
    #[default]
    Admin,
    /// It is known by the document at its `client_id` (draft-ietf-oauth-client-id-metadata-document).
    MetadataDocument,
    /// It registered itself (RFC 7591).
    Dynamic,
}

impl Registration {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::MetadataDocument => "metadata_document",
            Self::Dynamic => "dynamic",
        }
    }
}

/// What runs a client (OpenID Connect Registration §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApplicationType {
    /// A server: its redirect URIs are `https`, or `http` on this machine.
    #[default]
    Web,
    /// An application of its user: a private-use scheme may redirect to it as well (RFC 8252 §7.1).
    Native,
}

impl ApplicationType {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Native => "native",
        }
    }
}

/// How many domains a list may have, and how many bytes each.
pub const MAX_DOMAINS: usize = 100;
/// The longest name of a host (RFC 1035 §2.3.4).
pub const MAX_DOMAIN: usize = 253;

/// Which clients may be known by the document at their `client_id` (draft-ietf-oauth-client-id-metadata-document).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Documents {
    /// Those of any domain that is not denied.
    #[default]
    On,
    /// Those of domains that are allowed.
    AllowList,
    /// As `AllowList`; the event of another one asks an administrator for its domain.
    Approval,
    /// None.
    Off,
}

impl Documents {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::On, Self::AllowList, Self::Approval, Self::Off];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::AllowList => "allow_list",
            Self::Approval => "approval",
            Self::Off => "off",
        }
    }
}

/// Who may register a client at the registration endpoint (RFC 7591).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dynamic {
    /// Nobody.
    #[default]
    Off,
    /// The bearer of an initial access token (RFC 7591 §3).
    InitialAccessToken,
    /// Anybody, within a limit for each address.
    Open,
}

impl Dynamic {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Off, Self::InitialAccessToken, Self::Open];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::InitialAccessToken => "initial_access_token",
            Self::Open => "open",
        }
    }
}

/// The rules of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrationRules {
    /// Clients that are known by a document.
    pub cimd: Documents,
    /// Domains whose clients are let in, with all below them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains_allowed: Vec<String>,
    /// Domains whose clients are not, with all below them, whatever else is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains_denied: Vec<String>,
    /// Clients that register themselves.
    pub dynamic: Dynamic,
}

/// What the rules say of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Its clients are let in.
    Admitted,
    /// They are not.
    Refused,
    /// They are not before an administrator has allowed the domain.
    Wanted,
}

impl RegistrationRules {
    /// Whether an administrator has allowed the domain of that host.
    pub fn vouches_for(&self, host: &str) -> bool {
        is_below(host, &self.domains_allowed) && !is_below(host, &self.domains_denied)
    }

    /// What the rules say of the host of a document.
    pub fn admission(&self, host: &str) -> Admission {
        match self.cimd {
            Documents::Off => Admission::Refused,
            _ if is_below(host, &self.domains_denied) => Admission::Refused,
            Documents::On => Admission::Admitted,
            _ if is_below(host, &self.domains_allowed) => Admission::Admitted,
            Documents::AllowList => Admission::Refused,
            Documents::Approval => Admission::Wanted,
        }
    }

    /// Everything that is wrong with them beyond their shape; each problem names the member.
    pub fn problems(&self) -> Vec<String> {
        let is_domain = |text: &String| {
            (1..=MAX_DOMAIN).contains(&text.len())
                && !text.starts_with('.')
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
        };
        let lists = [("domains_allowed", &self.domains_allowed), ("domains_denied", &self.domains_denied)];
        let wrong = lists.into_iter().filter(|(_, list)| list.len() > MAX_DOMAINS || !list.iter().all(is_domain));
        let problem = |(name, _)| {
            format!(
                "`settings.registration.{name}` may have {MAX_DOMAINS} names of hosts, in lower-case ASCII, such as `claude.ai`"
            )
        };
        wrong.map(problem).collect()
    }
}

/// Whether a host is one of these domains, or below one.
fn is_below(host: &str, domains: &[String]) -> bool {
    let is_below =
        |domain: &String| host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    domains.iter().any(is_below)
}

/// A token that lets its bearer register a client (RFC 7591 §3), as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialToken {
    /// Its name.
    pub id: String,
    /// What it is for, for people.
    pub name: String,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub expires_at: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_domain_is_refused_whatever_else_is_said_and_what_is_below_a_domain_belongs_to_it() {
        let rules = |cimd| RegistrationRules {
            cimd,
            domains_allowed: vec!["ok.example".to_owned(), "both.example".to_owned()],
            domains_denied: vec!["evil.example".to_owned(), "both.example".to_owned()],
            dynamic: Dynamic::Off,
        };
        for (cimd, host, admission) in [
            (Documents::On, "other.example", Admission::Admitted),
            (Documents::On, "notevil.example", Admission::Admitted),
            (Documents::On, "evil.example", Admission::Refused),
            (Documents::On, "a.evil.example", Admission::Refused),
            (Documents::On, "both.example", Admission::Refused),
            (Documents::AllowList, "a.ok.example", Admission::Admitted),
            (Documents::AllowList, "notok.example", Admission::Refused),
            (Documents::Approval, "ok.example", Admission::Admitted),
            (Documents::Approval, "other.example", Admission::Wanted),
            (Documents::Approval, "evil.example", Admission::Refused),
            (Documents::Off, "ok.example", Admission::Refused),
        ] {
            assert_eq!(rules(cimd).admission(host), admission, "{cimd:?} {host}");
        }
        for bad in ["", ".example", "Evil.example", "a/b", "ü.example", "*.example"] {
            let rules = RegistrationRules { domains_denied: vec![bad.to_owned()], ..RegistrationRules::default() };
            assert_eq!(rules.problems().len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_rule_is_stored_and_shown_as_the_same_word() {
        assert!(Documents::ALL.iter().all(|rule| serde_json::to_value(rule).unwrap() == rule.as_str()));
        assert!(Dynamic::ALL.iter().all(|rule| serde_json::to_value(rule).unwrap() == rule.as_str()));
    }
}
