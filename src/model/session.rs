//! Sessions: a person who is signed in, in one browser.

use crate::crypto::Digest;

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The digest of the cookie.
    pub id: Digest,
    /// The person.
    pub user: String,
    /// Who signed the person in.
    pub issuer: String,
    /// How that issuer calls its own session (OpenID Connect Back-Channel Logout §2.1).
    pub sid: Option<String>,
    /// How the person authenticated (OpenID Connect Core §2).
    pub acr: Option<String>,
    /// When the person authenticated, in seconds.
    pub auth_time: i64,
    /// Seconds since the epoch.
    pub expires_at: i64,
}
