//! Device codes (RFC 8628): what a device asks for, until a person has decided.

use crate::oauth::Form;

/// Where a device code stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceStatus {
    /// No person has decided.
    Pending,
    /// A person has allowed it: an authorization code of the same name says what.
    Approved,
    /// A person has refused it.
    Denied,
}

impl DeviceStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Approved, Self::Denied];

    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
        }
    }
}

/// A device code as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCode {
    /// The digest of the device code.
    pub id: String,
    /// The digest of the user code.
    pub user_code: String,
    /// The client that it was issued to.
    pub client: String,
    /// What the client asks for.
    pub request: Form,
    /// Where it stands.
    pub status: DeviceStatus,
    /// Seconds since the epoch.
    pub expires_at: i64,
}
