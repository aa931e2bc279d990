//! Passkeys, as Web Authentication Level 3 has a relying party verify them.
//!
//! In scope: the options of both ceremonies, and the verification of what `navigator.credentials.create()` (§7.1) and
//! `navigator.credentials.get()` (§7.2) answer, as their `toJSON()` writes it. Out of scope: that a challenge is random, counts
//! once and not for long; that no other user has the credential; that a new signature count is stored only if it is still
//! greater than what is stored. The signature itself is the [`crate::ports::Keys`] port's.
//!
//! 1. Type, challenge, origin and relying party are compared exactly; a ceremony inside a page of another origin is refused.
//! 2. The user was present and is verified, in both ceremonies: a passkey is both factors.
//! 3. `none` is the attestation that is asked for. Self attestation is the one other that a client may then answer (§5.1.3), so
//!    it is verified. All others are refused: they vouch for the model of an authenticator, and no rule here is about models.
//! 4. Keys are ES256 or EdDSA and sound in the sense of [`crate::jose::PublicJwk`].
//! 5. A signature count that does not grow is refused, and so is a credential that changes whether it may be backed up.
//! 6. Bytes, depth and members are bounded before anything is read.

mod authentication;
mod authenticator_data;
mod cbor;
mod ceremony;
mod client_data;
mod cose;
mod error;
mod options;
mod record;
mod registration;
mod response;
mod signature;

pub use authentication::{UnverifiedAssertion, VerifiedAssertion};
pub use ceremony::{Ceremony, RelyingParty};
pub use error::CeremonyError;
pub use options::{MAX_USER_HANDLE, UserEntity, creation_options, request_options};
pub use record::CredentialRecord;
pub use registration::register;
