//! Credential records (§4): what a relying party keeps of a passkey.

use crate::jose::PublicJwk;

/// What is kept of a passkey. The user account that it belongs to is the caller's to keep beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct CredentialRecord {
    /// The credential ID in base64url.
    pub id: String,
    /// The public key; its algorithm and its JSON are what is stored.
    pub key: PublicJwk,
    /// The signature count of the last ceremony.
    pub sign_count: u32,
    /// Whether the credential may be backed up, which never changes.
    pub backup_eligible: bool,
    /// Whether it was backed up at the last ceremony.
    pub backup_state: bool,
    /// How clients may reach the authenticator (§5.8.4), for the options of later ceremonies.
    pub transports: Vec<String>,
}
