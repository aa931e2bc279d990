//! The claims of an access token (RFC 9068 §2.2) besides its times.

use serde::{Deserialize, Serialize};

/// A profile of RFC 9068: `iss sub aud client_id jti scope` always, the rest where it applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// The issuer of the tenant.
    pub iss: String,
    /// The user's id, or the client's for a client on its own.
    pub sub: String,
    /// The one resource that the token is for, as it is registered.
    pub aud: String,
    /// The client that asked for the token.
    pub client_id: String,
    /// Space-separated scope (RFC 8693 §4.2).
    pub scope: String,
    /// The token's own name.
    pub jti: String,
    /// The tenant.
    pub tenant: String,
    /// Who acts for the subject (RFC 8693 §4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
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
