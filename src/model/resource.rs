//! Protected resources: what a token is for.

use super::Registered;
use crate::jose::JwkSet;
use crate::oauth::{ResourceUri, authorization_details, scope};
use crate::ports::Alg;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Default and longest life of an access token, in seconds.
pub const DEFAULT_LIFETIME: u32 = 300;
/// A signing key stays published for as long as its last token may live; hence the bound.
pub const MAX_LIFETIME: u32 = 3600;
/// The shortest life of an access token, in seconds.
pub const MIN_LIFETIME: u32 = 10;
/// How many characters a text for people may have.
pub const MAX_TEXT: usize = 500;
/// How many types of authorization details a resource may have.
pub const MAX_TYPES: usize = 20;

/// A resource as an administrator writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceBody {
    /// Its name in paths, where whoever registers it has chosen one. It is stored beside the body, not in it.
    #[serde(default, skip_serializing)]
    pub id: Option<String>,
    /// The resource indicator; becomes `aud` byte for byte.
    pub resource: ResourceUri,
    /// For people.
    pub name: String,
    /// What can be asked for.
    pub scopes: Vec<ScopeBody>,
    /// The types of authorization details that can be asked for (RFC 9396 §2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_details_types: Vec<AuthorizationDetailsType>,
    /// The issuer of the authorization server that guards it, if that is somebody else: Writ then issues no access tokens
    /// for it, only ID-JAGs to that server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_server: Option<String>,
    /// The keys that sign its transaction challenges (draft-rosomakho-oauth-txn-challenge §4.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn_challenge_jwks: Option<Value>,
    /// Where those keys are; never together with `txn_challenge_jwks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn_challenge_jwks_uri: Option<String>,
    /// Seconds, 10 to 3600.
    #[serde(default = "default_lifetime")]
    pub access_token_lifetime: u32,
    /// What its tokens are signed with.
    #[serde(default = "default_alg", deserialize_with = "signing_alg")]
    pub token_signing_alg: Alg,
}

/// One scope of a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeBody {
    /// The scope token.
    pub name: String,
    /// For people who consent.
    pub description: String,
    /// The tool that it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What it lets a client do; absent: as its name and its tool suggest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

/// A type of authorization details (RFC 9396 §2.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationDetailsType {
    /// `type`.
    #[serde(rename = "type")]
    pub name: String,
    /// For people who consent.
    pub description: String,
    /// What it lets a client do; absent: it changes something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

/// What a scope lets a client do, for people who consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It learns something.
    Reads,
    /// It changes something.
    Changes,
    /// It deletes something.
    Deletes,
}

impl Effect {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Changes => "changes",
            Self::Deletes => "deletes",
        }
    }
}

impl ScopeBody {
    /// What it lets a client do, as its resource says, or else as its name and its tool suggest.
    pub fn effect(&self) -> Effect {
        let text = [&self.name, self.tool.as_deref().unwrap_or_default()].concat().to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        match self.effect {
            Some(effect) => effect,
            None if has(&["delete", "remove", "drop", "destroy", "purge"]) => Effect::Deletes,
            None if has(&["write", "create", "update", "send", "add", "edit", "manage", "admin", "run"]) => {
                Effect::Changes
            }
            None if has(&["read", "list", "get", "search", "query", "view"]) => Effect::Reads,
            None => Effect::Changes,
        }
    }
}

const fn default_lifetime() -> u32 {
    DEFAULT_LIFETIME
}

const fn default_alg() -> Alg {
    Alg::Es256
}

/// Of the algorithms that have a name, only those that Writ signs with.
fn signing_alg<'de, D: Deserializer<'de>>(parser: D) -> Result<Alg, D::Error> {
    let name = String::deserialize(parser)?;
    Alg::parse_signing(&name).ok_or_else(|| D::Error::unknown_variant(&name, &["ES256", "RS256"]))
}

impl ResourceBody {
    /// Its type of authorization details with that name.
    pub fn authorization_details_type(&self, name: &str) -> Option<&AuthorizationDetailsType> {
        self.authorization_details_types.iter().find(|known| known.name == name)
    }

    /// Everything that is wrong with it beyond its shape; each problem names the member.
    pub fn problems(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.name.trim().is_empty() || self.name.chars().count() > MAX_TEXT {
            all.push(format!("`name` must have 1 to {MAX_TEXT} characters"));
        }
        if self.scopes.is_empty() || self.scopes.len() > scope::MAX_TOKENS {
            all.push(format!("`scopes` must have 1 to {} items", scope::MAX_TOKENS));
        }
        let together: usize = self.scopes.iter().map(|one| one.name.len().saturating_add(1)).sum();
        if together > scope::MAX_LENGTH {
            let most = scope::MAX_LENGTH;
            all.push(format!("`scopes` has names of more than {most} bytes together: a token could not hold them"));
        }
        for (n, one) in self.scopes.iter().enumerate() {
            if !scope::is_token(&one.name) {
                all.push(format!("`scopes[{n}].name` is no scope token (RFC 6749 §3.3)"));
            } else if self.scopes.iter().take(n).any(|other| other.name == one.name) {
                all.push(format!("`scopes[{n}].name` names `{}` a second time", one.name));
            } else if scope::IDENTITY.contains(&&*one.name) {
                all.push(format!(
                    "`scopes[{n}].name` is a scope of OpenID Connect: choose another name than `{}`",
                    one.name
                ));
            }
            let texts = [Some(&one.description), one.tool.as_ref()];
            if texts.into_iter().flatten().any(|text| text.chars().count() > MAX_TEXT) {
                all.push(format!("`scopes[{n}]` has a text of more than {MAX_TEXT} characters"));
            }
        }
        if self.authorization_details_types.len() > MAX_TYPES {
            all.push(format!("`authorization_details_types` must have at most {MAX_TYPES} items"));
        }
        for (n, one) in self.authorization_details_types.iter().enumerate() {
            if !authorization_details::is_name(&one.name) {
                all.push(format!(
                    "`authorization_details_types[{n}].type` must have 1 to {} characters that can be seen",
                    authorization_details::MAX_NAME
                ));
            } else if self.authorization_details_types.iter().take(n).any(|other| other.name == one.name) {
                all.push(format!("`authorization_details_types[{n}].type` is there a second time"));
            }
            if one.description.trim().is_empty() || one.description.chars().count() > MAX_TEXT {
                all.push(format!(
                    "`authorization_details_types[{n}].description` must have 1 to {MAX_TEXT} characters"
                ));
            }
        }
        let is_issuer = |server: &String| server.len() <= MAX_TEXT && ResourceUri::parse(server).is_some();
        if !self.authorization_server.as_ref().is_none_or(is_issuer) {
            all.push(
                "`authorization_server` must be the issuer of an authorization server, an absolute URI".to_owned(),
            );
        }
        let (keys, uri) = (&self.txn_challenge_jwks, &self.txn_challenge_jwks_uri);
        if keys.is_some() && uri.is_some() {
            all.push("`txn_challenge_jwks` and `txn_challenge_jwks_uri` exclude each other: leave one out".to_owned());
        }
        if let Some(Err(why)) = keys.as_ref().map(|keys| JwkSet::parse(&keys.to_string())) {
            all.push(["`txn_challenge_jwks` ", why].concat());
        }
        if uri.as_ref().is_some_and(|uri| !uri.starts_with("https://") || uri.len() > MAX_TEXT) {
            all.push("`txn_challenge_jwks_uri` must be an https URL".to_owned());
        }
        if !(MIN_LIFETIME..=MAX_LIFETIME).contains(&self.access_token_lifetime) {
            all.push(format!("`access_token_lifetime` must be {MIN_LIFETIME} to {MAX_LIFETIME} seconds"));
        }
        all
    }
}

/// A registered resource.
pub type Resource = Registered<ResourceBody>;

impl Resource {
    /// About how many bytes it takes in memory.
    pub fn weight(&self) -> usize {
        serde_json::to_string(&self.body).map_or(0, |json| json.len()).saturating_add(512)
    }

    /// Whether it is an API of the tenant itself, which a client reaches only if its registration names it.
    pub const fn is_built_in(&self) -> bool {
        self.version == 0
    }

    /// What every tenant has without registering it: its admin API, its event streams, calls through its connections, and reports of tool calls.
    pub fn built_in(issuer: &str) -> Option<[Self; 4]> {
        Some([Self::admin(issuer)?, Self::streams(issuer)?, Self::connections(issuer)?, Self::reports(issuer)?])
    }

    /// The admin API of a tenant: `{issuer}/admin`.
    pub fn admin(issuer: &str) -> Option<Self> {
        let scopes = [("admin", "Change anything in this tenant"), ("admin:read", "Read everything but secrets")];
        Self::of_ours(issuer, "admin", "Writ admin API", &scopes)
    }

    /// The event streams of a tenant: `{issuer}/ssf`.
    fn streams(issuer: &str) -> Option<Self> {
        let scopes = [("ssf.manage", "Manage one's event stream"), ("ssf.read", "Read one's event stream")];
        Self::of_ours(issuer, "ssf", "Writ event streams", &scopes)
    }

    /// Calls through the connections of a tenant: `{issuer}/connections`.
    fn connections(issuer: &str) -> Option<Self> {
        let scopes = [("connections:use", "Call services through the connections that policy permits")];
        Self::of_ours(issuer, "connections", "Writ connections", &scopes)
    }

    /// Reports of tool calls: `{issuer}/events`.
    fn reports(issuer: &str) -> Option<Self> {
        let scopes = [("events:report", "Report which tools were called with tokens for one's resources")];
        Self::of_ours(issuer, "events", "Writ reports of tool calls", &scopes)
    }

    fn of_ours(issuer: &str, id: &str, name: &str, scopes: &[(&str, &str)]) -> Option<Self> {
        let scope = |(name, description): &(&str, &str)| ScopeBody {
            name: (*name).to_owned(),
            description: (*description).to_owned(),
            tool: None,
            effect: None,
        };
        let body = ResourceBody {
            id: None,
            resource: ResourceUri::parse(&format!("{issuer}/{id}"))?,
            name: name.to_owned(),
            scopes: scopes.iter().map(scope).collect(),
            authorization_details_types: vec![],
            txn_challenge_jwks: None,
            txn_challenge_jwks_uri: None,
            access_token_lifetime: DEFAULT_LIFETIME,
            token_signing_alg: Alg::Es256,
            authorization_server: None,
        };
        Some(Self { id: id.to_owned(), body, version: 0, created_at: 0, updated_at: 0 })
    }
}
