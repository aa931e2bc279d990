//! Connections: how to reach a downstream service.

use super::Status;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A connection with the pointer to its credential.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Its name in the path.
    pub name: String,
    /// Which provider it speaks to.
    pub kind: String,
    /// What may be shown of it.
    pub settings: Settings,
    /// Where the sealed credential lies.
    pub credential: Option<CredentialPointer>,
    /// Where it is in its life.
    pub status: Status,
    /// Counts changes to this row.
    pub version: i64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub updated_at: i64,
}

/// Everything about a connection that is no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The provider's settings.
    pub config: Value,
    /// Whose credential it is, as the provider names the account.
    pub account: String,
}

/// Where a sealed credential lies, and the wrapped key without which it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialPointer {
    /// Never reused; names the ciphertext in KV.
    pub id: String,
    /// The data key, sealed under the vault's key-encryption key.
    pub wrapped_key: String,
    /// Seconds since the epoch.
    pub created_at: i64,
}
