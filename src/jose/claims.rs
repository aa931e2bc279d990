//! The claims of an access token (RFC 9068 §2.2) besides its times.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A profile of RFC 9068: `iss sub aud client_id jti scope` always, the rest where it applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// The issuer of the tenant, or of the compatible route that issued it.
    pub iss: String,
    /// The user's id, or the client's for a client on its own.
    pub sub: String,
    /// The one resource that the token is for, as it is registered.
    pub aud: Audience,
    /// The client that asked for the token.
    pub client_id: String,
    /// Space-separated scope (RFC 8693 §4.2).
    pub scope: String,
    /// The same as a list, in a token of a compatible route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The token's own name.
    pub jti: String,
    /// The tenant.
    pub tenant: String,
    /// Who acts for the subject (RFC 8693 §4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
    /// Who alone may become the actor (RFC 8693 §4.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_act: Option<MayAct>,
    /// How its user authenticated (RFC 9068 §2.2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// When its user authenticated, in seconds (RFC 9068 §2.2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// What its user has allowed beside the scope (RFC 9396 §9.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_details: Vec<Map<String, Value>>,
    /// The transaction that it is for (RFC 8417 §2.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<String>,
    /// The approval that it rests on. Writ's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// The key that its bearer has to prove (RFC 7800 §3.1, RFC 9449 §6.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// Where its agentic identity stands in the status list (draft-ietf-oauth-status-list §6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusClaim>,
    /// Digests of the `jti` of the tokens that it was made from, newest first. Writ's own: a chain is stopped by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<String>,
}

/// The `aud` of an access token. Whatever its form, it names one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// The resource alone.
    Resource(String),
    /// The project and the resource: of a compatible route (docs/decisions.md 135).
    Project([String; 2]),
}

impl Audience {
    /// The resource.
    pub fn resource(&self) -> &str {
        match self {
            Self::Resource(resource) | Self::Project([_, resource]) => resource,
        }
    }

    /// The project that it names beside the resource.
    pub fn project(&self) -> Option<&str> {
        match self {
            Self::Resource(_) => None,
            Self::Project([project, _]) => Some(project),
        }
    }
}

/// An actor (RFC 8693 §4.1); the newest is outermost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The actor's id.
    pub sub: String,
    /// Who acted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

impl Actor {
    /// This actor and those before, newest first.
    pub fn chain(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self), |actor| actor.act.as_deref()).map(|actor| actor.sub.as_str())
    }
}

/// Who alone may become the actor (RFC 8693 §4.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MayAct {
    /// Whose name `sub` is; absent: ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The actor's id.
    pub sub: String,
}

impl MayAct {
    /// Whether it names the client whom `issuer` calls `client`.
    pub fn names(&self, issuer: &str, client: &str) -> bool {
        self.sub == client && self.iss.as_deref().is_none_or(|iss| iss == issuer)
    }
}

/// The `typ` of an ID-JAG.
pub const ID_JAG: &str = "oauth-id-jag+jwt";

/// The claims of an Identity Assertion Authorization Grant besides its times
/// (draft-ietf-oauth-identity-assertion-authz-grant).
#[derive(Serialize)]
pub struct IdJag {
    /// The issuer of the tenant.
    pub iss: String,
    /// The user.
    pub sub: String,
    /// The authorization server that guards the resource.
    pub aud: String,
    /// The client that may redeem it there.
    pub client_id: String,
    /// Its own name.
    pub jti: String,
    /// The resource, where it is for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Space-separated scope.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Who acts for the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
    /// The key that its bearer has to prove.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// How the user authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// When the user authenticated, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
}

impl AccessToken {
    /// Who acts, newest first; nobody for a token that its subject got itself.
    pub fn actors(&self) -> Vec<&str> {
        self.act.iter().flat_map(Actor::chain).collect()
    }
}

/// The confirmation of a sender-constrained token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The SHA-256 thumbprint of the key (RFC 9449 §6.1).
    pub jkt: String,
}

/// The `status` claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusClaim {
    /// The Token Status List.
    pub status_list: StatusReference,
}

/// One entry of a Token Status List.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReference {
    /// The index.
    pub idx: i64,
    /// The list.
    pub uri: String,
}
