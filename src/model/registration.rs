//! How a client came into the directory, and what runs it.

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
