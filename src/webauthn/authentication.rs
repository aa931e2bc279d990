//! Authentication with a passkey (§7.2).

use super::authenticator_data::AuthenticatorData;
use super::client_data::{MAX_CLIENT_DATA, check};
use super::options::MAX_USER_HANDLE;
use super::response::Response;
use super::signature::verify;
use super::{Ceremony, CeremonyError, CredentialRecord};
use crate::crypto::b64;
use crate::ports::Keys;
use serde_json::{Value, json};

/// The longest authenticator data of an assertion, in bytes: 37 and the outputs of extensions.
const MAX_AUTHENTICATOR_DATA: usize = 2048;
/// The longest signature, in bytes: one of P-256 in DER has 72 at most.
const MAX_SIGNATURE: usize = 128;

/// An assertion that parses. Nothing in it may be believed; its credential ID and its user handle find the record to verify it with.
pub struct UnverifiedAssertion {
    id: String,
    user_handle: Vec<u8>,
    client_data: Vec<u8>,
    authenticator_data: Vec<u8>,
    signature: Vec<u8>,
}

/// What to keep in the credential record after an authentication.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedAssertion {
    /// The new signature count. To be stored only if it is still greater than the stored one, or both are zero.
    pub sign_count: u32,
    /// Whether the credential is backed up now.
    pub backup_state: bool,
}

impl UnverifiedAssertion {
    /// Reads what `navigator.credentials.get()` gave, as `toJSON()` writes it. The user handle is there: all passkeys that are
    /// asked for are discoverable.
    pub fn parse(json: &str) -> Result<Self, CeremonyError> {
        let response = Response::parse(json)?;
        let user_handle = response.bytes("userHandle", MAX_USER_HANDLE).ok().filter(|handle| !handle.is_empty());
        Ok(Self {
            user_handle: user_handle.ok_or(CeremonyError::UserHandle)?,
            client_data: response.bytes("clientDataJSON", MAX_CLIENT_DATA)?,
            authenticator_data: response.bytes("authenticatorData", MAX_AUTHENTICATOR_DATA)?,
            signature: response.bytes("signature", MAX_SIGNATURE)?,
            id: response.id,
        })
    }

    /// The credential ID in base64url: a lookup key and nothing more.
    pub fn credential_id(&self) -> &str {
        &self.id
    }

    /// What anybody needs to verify the assertion again, besides the public key.
    pub fn evidence(&self) -> Value {
        json!({
            "credential_id": self.id, "authenticatorData": b64(&self.authenticator_data), "clientDataJSON": b64(&self.client_data),
            "signature": b64(&self.signature),
        })
    }

    /// The user handle that the authenticator has kept: a lookup key and nothing more.
    pub fn user_handle(&self) -> &[u8] {
        &self.user_handle
    }

    /// Verifies the assertion with the record of its credential; `owner` is the user handle of the account that has the record.
    pub async fn verify(
        &self,
        ceremony: &Ceremony<'_>,
        record: &CredentialRecord,
        owner: &[u8],
        keys: &dyn Keys,
    ) -> Result<VerifiedAssertion, CeremonyError> {
        if self.id != record.id {
            return Err(CeremonyError::OtherCredential);
        }
        if self.user_handle != owner {
            return Err(CeremonyError::UserHandle);
        }
        check(&self.client_data, "webauthn.get", ceremony)?;
        // No credential is made here (§6.1).
        let data = AuthenticatorData::parse(&self.authenticator_data).filter(|data| data.attested.is_none());
        let data = data.ok_or(CeremonyError::AuthenticatorData)?;
        data.check(ceremony.rp.id)?;
        verify(keys, &record.key, (&self.authenticator_data, &self.client_data), &self.signature).await?;
        if data.backup_eligible() != record.backup_eligible {
            return Err(CeremonyError::BackupEligibility);
        }
        // An authenticator that does not count says zero each time.
        if record.sign_count != 0 && data.sign_count <= record.sign_count {
            return Err(CeremonyError::SignCount);
        }
        Ok(VerifiedAssertion { sign_count: data.sign_count, backup_state: data.backup_state() })
    }
}
