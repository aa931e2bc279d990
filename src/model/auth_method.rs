//! How clients authenticate.

use serde::{Deserialize, Serialize};

/// How a client authenticates at the token endpoint (RFC 7591 §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A secret in the `Authorization` header (RFC 6749 §2.3.1).
    #[default]
    ClientSecretBasic,
    /// A secret in the form.
    ClientSecretPost,
    /// An assertion signed with the client's own key (RFC 7523 §2.2, OpenID Connect Core §9).
    PrivateKeyJwt,
    /// An assertion by an outside issuer about a workload that is this client. Writ's own name.
    FederatedJwt,
    /// A JWT-SVID of a SPIFFE trust domain (draft-ietf-oauth-spiffe-client-auth).
    SpiffeJwt,
    /// Nothing: a public client (RFC 7591 §2).
    None,
}

impl AuthMethod {
    /// Whether it proves itself with a secret that Writ made.
    pub const fn uses_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::FederatedJwt => "federated_jwt",
            Self::SpiffeJwt => "spiffe_jwt",
            Self::None => "none",
        }
    }
}
