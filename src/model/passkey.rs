//! Passkeys, and the invitations by which people set up their first.

use crate::webauthn::CredentialRecord;

/// How many passkeys a user may have.
pub const MAX_OF_USER: i64 = 20;
/// How many characters the name of a passkey may have.
pub const MAX_NAME: usize = 64;

/// A passkey of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct Passkey {
    /// The digest of the credential ID.
    pub id: String,
    /// The user.
    pub user: String,
    /// What is kept of the credential.
    pub record: CredentialRecord,
    /// What the person calls it.
    pub name: Option<String>,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// When somebody signed in with it last, in seconds.
    pub used_at: Option<i64>,
}

/// An invitation to set up a passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The digest of the token in its link.
    pub id: String,
    /// The user whom it invites.
    pub user: String,
    /// Seconds since the epoch.
    pub expires_at: i64,
}
