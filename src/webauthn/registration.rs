//! The registration of a passkey (§7.1).

use super::authenticator_data::AuthenticatorData;
use super::cbor::{Item, whole};
use super::client_data::{MAX_CLIENT_DATA, check};
use super::response::Response;
use super::signature::verify;
use super::{Ceremony, CeremonyError, CredentialRecord, cose};
use crate::crypto::b64;
use crate::ports::Keys;
use serde_json::Value;

/// The longest attestation object, in bytes.
const MAX_ATTESTATION: usize = 8 * 1024;
/// The transports of a credential, and the longest name of one (§5.8.4 has seven, of 12 bytes at most).
const MAX_TRANSPORTS: usize = 16;
const MAX_TRANSPORT: usize = 32;

/// Verifies what `navigator.credentials.create()` gave, as `toJSON()` writes it. The caller sees to it that the challenge counts
/// once and that no user has a credential of that ID yet.
pub async fn register(json: &str, ceremony: &Ceremony<'_>, keys: &dyn Keys) -> Result<CredentialRecord, CeremonyError> {
    let response = Response::parse(json)?;
    let client_data = response.bytes("clientDataJSON", MAX_CLIENT_DATA)?;
    check(&client_data, "webauthn.create", ceremony)?;

    let object = response.bytes("attestationObject", MAX_ATTESTATION)?;
    let object = whole(&object).ok_or(CeremonyError::AuthenticatorData)?;
    let bytes = object.get(&Item::Text("authData")).and_then(Item::bytes).ok_or(CeremonyError::AuthenticatorData)?;
    let data = AuthenticatorData::parse(bytes).ok_or(CeremonyError::AuthenticatorData)?;
    data.check(ceremony.rp.id)?;
    let credential = data.attested.as_ref().ok_or(CeremonyError::AuthenticatorData)?;
    if b64(credential.id) != response.id {
        return Err(CeremonyError::OtherCredential);
    }
    let key = cose::public_key(&credential.key).ok_or(CeremonyError::UnsupportedKey)?;

    let (format, statement) = (object.get(&Item::Text("fmt")), object.get(&Item::Text("attStmt")));
    match (format, statement) {
        (Some(Item::Text("none")), Some(Item::Map(members))) if members.is_empty() => {}
        // Self attestation has no certificate (§8.2).
        (Some(Item::Text("packed")), Some(statement @ Item::Map(members))) if members.len() == 2 => {
            let alg = cose::number(key.alg()).map(Item::Int);
            let signature =
                statement.get(&Item::Text("sig")).and_then(Item::bytes).ok_or(CeremonyError::Attestation)?;
            if statement.get(&Item::Text("alg")) != alg.as_ref() {
                return Err(CeremonyError::Attestation);
            }
            verify(keys, &key, (bytes, &client_data), signature).await?;
        }
        _ => return Err(CeremonyError::Attestation),
    }

    Ok(CredentialRecord {
        transports: transports(response.member("transports")).ok_or(CeremonyError::Malformed)?,
        sign_count: data.sign_count,
        backup_eligible: data.backup_eligible(),
        backup_state: data.backup_state(),
        id: response.id,
        key,
    })
}

/// The transports, sorted and each once, if they are names in small number. Names that nobody knows are kept (§5.8.4).
fn transports(value: Option<&Value>) -> Option<Vec<String>> {
    let Some(value) = value else { return Some(Vec::new()) };
    let names = value.as_array().filter(|names| names.len() <= MAX_TRANSPORTS)?;
    let is_name = |name: &&str| {
        (1..=MAX_TRANSPORT).contains(&name.len())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    let names = names.iter().map(|name| name.as_str().filter(is_name).map(str::to_owned));
    let mut names = names.collect::<Option<Vec<_>>>()?;
    names.sort_unstable();
    names.dedup();
    Some(names)
}
