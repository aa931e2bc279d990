//! The options of both ceremonies (§5.1.9, §5.1.10), as `parseCreationOptionsFromJSON()` and `parseRequestOptionsFromJSON()` read them.

use super::cose::ALGORITHMS;
use super::{Ceremony, CeremonyError, CredentialRecord};
use crate::crypto::b64;
use serde_json::{Value, json};

/// The longest user handle, in bytes (§5.4.3).
pub const MAX_USER_HANDLE: usize = 64;
/// How long a client lets the user take, in milliseconds (§15.1 recommends 300 to 600 seconds).
const TIMEOUT: u32 = 300_000;

/// The user account that a passkey is made for (§5.4.3).
#[derive(Clone, Copy, Debug)]
pub struct UserEntity<'a> {
    /// Bytes that name the account and say nothing about the person (§14.6.1): 1 to 64.
    pub handle: &'a [u8],
    /// What tells accounts apart, such as an email address.
    pub name: &'a str,
    /// The name of the person.
    pub display_name: &'a str,
}

/// `PublicKeyCredentialCreationOptionsJSON`: a discoverable credential, a verified user, no attestation. `existing` are the
/// credentials of the account, so that an authenticator does not make a second one.
pub fn creation_options(
    ceremony: &Ceremony<'_>,
    user: &UserEntity<'_>,
    existing: &[CredentialRecord],
) -> Result<Value, CeremonyError> {
    if !(1..=MAX_USER_HANDLE).contains(&user.handle.len()) {
        return Err(CeremonyError::UserHandle);
    }
    let params = ALGORITHMS.map(|(_, number)| json!({"type": "public-key", "alg": number}));
    let descriptor =
        |known: &CredentialRecord| json!({"type": "public-key", "id": known.id, "transports": known.transports});
    Ok(json!({
        "rp": {"id": ceremony.rp.id, "name": ceremony.rp.name},
        "user": {"id": b64(user.handle), "name": user.name, "displayName": user.display_name},
        "challenge": b64(ceremony.challenge),
        "pubKeyCredParams": params,
        "timeout": TIMEOUT,
        "excludeCredentials": existing.iter().map(descriptor).collect::<Vec<_>>(),
        // `requireResidentKey` says the same to clients of Level 1.
        "authenticatorSelection": {"residentKey": "required", "requireResidentKey": true, "userVerification": "required"},
        "attestation": "none",
    }))
}

/// `PublicKeyCredentialRequestOptionsJSON`: any discoverable credential of the relying party, so that nothing is said about accounts
/// (§14.6.3), and a verified user.
pub fn request_options(ceremony: &Ceremony<'_>) -> Value {
    json!({
        "challenge": b64(ceremony.challenge),
        "timeout": TIMEOUT,
        "rpId": ceremony.rp.id,
        "allowCredentials": [],
        "userVerification": "required",
    })
}
