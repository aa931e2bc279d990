//! What a person lets a client do: the consent, and what is issued under it.
//!
//! 1. A consent belongs to one person, one client as it described itself, one host that it is answered to, and one resource.
//! 2. Each line has an end of its own. A line that has ended is as if it had never been.

use crate::crypto::sha256;
use crate::oauth::{AuthorizationDetail, Scope};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long the use of a scope is not noted again, in seconds.
const NOTED_SECONDS: i64 = 86_400;

/// One scope that the person has allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The scope.
    pub scope: String,
    /// Seconds since the epoch; nothing: until it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

impl Line {
    /// Whether it holds now.
    pub fn is_live(&self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Its name.
    pub id: String,
    /// The person.
    pub user: String,
    /// The client.
    pub client: String,
    /// Where the client is answered, as `oauth::redirect::host` has it.
    pub redirect_host: String,
    /// The resource, as it is registered.
    pub resource: String,
    /// The digest of what the client said about itself.
    pub document: String,
    /// What it may do.
    pub lines: Vec<Line>,
    /// Counts what was taken back.
    pub version: i64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub updated_at: i64,
    /// When each scope was last given to a token, in seconds, to the day.
    pub used: BTreeMap<String, i64>,
}

impl Consent {
    /// When a scope was last used: it counts as used when the person last changed the consent.
    pub fn used_at(&self, scope: &str) -> i64 {
        self.used.get(scope).copied().unwrap_or_default().max(self.updated_at)
    }

    /// The scopes of these whose use has not been noted for a day, with the moment to note.
    pub fn to_note<'a>(&self, scopes: impl Iterator<Item = &'a str>, now: i64) -> BTreeMap<&'a str, i64> {
        let is_old = |scope: &&str| self.used.get(*scope).is_none_or(|at| at.saturating_add(NOTED_SECONDS) <= now);
        scopes.filter(is_old).map(|scope| (scope, now)).collect()
    }

    /// The scopes that hold now.
    pub fn scope(&self, now: i64) -> Scope {
        self.lines.iter().filter(|line| line.is_live(now)).map(|line| line.scope.as_str()).collect()
    }

    /// The digest by which every token under this version of it can be stopped: it is in their lineage.
    pub fn digest(&self) -> String {
        digest(&self.id, self.version)
    }
}

/// The digest of a version of a consent.
pub fn digest(consent: &str, version: i64) -> String {
    sha256(["consent\0", consent, "\0", &version.to_string()].concat()).to_text()
}

/// What an authorization code and the refresh tokens that come of it stand for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// The consent; nothing where the person has said of every line: this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
    /// The resource, as it is registered.
    pub resource: String,
    /// The scope of the resource that the consent remembers.
    pub scope: Scope,
    /// The scope about the person: `openid`, `profile`, `email` (OpenID Connect Core §5.4).
    #[serde(default)]
    pub identity: Scope,
    /// The authorization details that the person has allowed (RFC 9396): for what comes of this code alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_details: Vec<AuthorizationDetail>,
    /// The host that the client is answered at.
    pub redirect_host: String,
    /// How the person authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// When the person authenticated, in seconds.
    pub auth_time: i64,
    /// The thumbprint of the key that it is bound to (RFC 9449 §10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jkt: Option<String>,
    /// When the code was issued, in seconds: a stop before it does not reach it.
    pub issued_at: i64,
}

/// What a code has besides: how it is redeemed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeBody {
    /// What it stands for.
    pub authorization: Authorization,
    /// The scope that the person has allowed this time.
    #[serde(default)]
    pub once: Scope,
    /// The redirect URI of the request.
    pub redirect_uri: String,
    /// The challenge of the request (RFC 7636 §4.2).
    pub challenge: String,
    /// The nonce of the request, for the ID token (OpenID Connect Core §3.1.2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Whether refresh tokens come of it, and until when: seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_until: Option<i64>,
}

/// An authorization code as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The digest of the code.
    pub id: String,
    /// The client that it was issued to.
    pub client: String,
    /// The person.
    pub user: String,
    /// The refresh family that comes of it.
    pub family: String,
    /// The rest.
    pub body: CodeBody,
    /// Who redeemed it; nothing until then.
    pub claim: Option<String>,
    /// Seconds since the epoch.
    pub expires_at: i64,
}

/// The refresh tokens that came of one code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshFamily {
    /// Its name.
    pub id: String,
    /// The client.
    pub client: String,
    /// The person.
    pub user: String,
    /// What they stand for.
    pub body: Authorization,
    /// The one that is good.
    pub generation: i64,
    /// When the last rotation was, in milliseconds.
    pub rotated_at: i64,
    /// From which address.
    pub rotated_by: Option<String>,
    /// Whether it was revoked.
    pub is_revoked: bool,
    /// When it ends whatever happens, in seconds.
    pub expires_at: i64,
}

/// The digest by which every token that came of a code can be stopped: it is in their lineage.
pub fn family_digest(family: &str) -> String {
    sha256(["family\0", family].concat()).to_text()
}
