//! Why a ceremony failed.

use crate::error::{Fault, Rejection};
use crate::ports::Unavailable;

/// What is wrong with a ceremony. For the log; callers are told one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CeremonyError {
    /// No JSON of a credential, too long, or without a member that it needs.
    Malformed,
    /// The client data is no JSON object, or says two things.
    ClientData,
    /// The client data of the other ceremony.
    WrongType,
    /// A challenge of another ceremony.
    OtherChallenge,
    /// A page of another origin.
    OtherOrigin,
    /// A frame in a page of another origin.
    CrossOrigin,
    /// The attestation object or the authenticator data does not parse.
    AuthenticatorData,
    /// Authenticator data for another relying party.
    OtherRelyingParty,
    /// The user was not present.
    UserNotPresent,
    /// The user was not verified.
    UserNotVerified,
    /// Backed up, and not eligible for that.
    BackupState,
    /// Another credential than the one named.
    OtherCredential,
    /// A key of another algorithm, or an unsound one.
    UnsupportedKey,
    /// An attestation that was not asked for, or a malformed one.
    Attestation,
    /// The signature is not by that key.
    BadSignature,
    /// The user handle is missing, too long, or of another user.
    UserHandle,
    /// The signature count does not grow: the authenticator may have been cloned.
    SignCount,
    /// The credential was eligible for backup and is not now, or the other way round.
    BackupEligibility,
    /// The keys could not be asked.
    Unavailable(&'static str),
}

impl CeremonyError {
    /// A constant word for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed credential",
            Self::ClientData => "bad client data",
            Self::WrongType => "client data of another ceremony",
            Self::OtherChallenge => "another challenge",
            Self::OtherOrigin => "another origin",
            Self::CrossOrigin => "inside a page of another origin",
            Self::AuthenticatorData => "bad authenticator data",
            Self::OtherRelyingParty => "for another relying party",
            Self::UserNotPresent => "user not present",
            Self::UserNotVerified => "user not verified",
            Self::BackupState => "backed up without being eligible",
            Self::OtherCredential => "another credential",
            Self::UnsupportedKey => "unsupported key",
            Self::Attestation => "attestation that was not asked for",
            Self::BadSignature => "bad signature",
            Self::UserHandle => "no user handle, or of another user",
            Self::SignCount => "signature count does not grow",
            Self::BackupEligibility => "backup eligibility has changed",
            Self::Unavailable(port) => port,
        }
    }
}

impl From<Unavailable> for CeremonyError {
    fn from(port: Unavailable) -> Self {
        Self::Unavailable(port.0)
    }
}

impl From<CeremonyError> for Rejection {
    fn from(error: CeremonyError) -> Self {
        match error {
            CeremonyError::Unavailable(port) => Self::Error(Fault::Unavailable(port).into()),
            other => Self::Because(other.as_str()),
        }
    }
}
