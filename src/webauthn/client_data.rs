//! Client data (§5.8.1): what the browser says about the page.

use super::{Ceremony, CeremonyError};
use crate::crypto::b64;
use crate::jose::strict_object;
use serde_json::Value;

/// The longest client data, in bytes.
pub(super) const MAX_CLIENT_DATA: usize = 4096;

/// Compares client data with the ceremony (§7.1, §7.2). Members that are not named here are ignored.
pub(super) fn check(json: &[u8], typ: &str, ceremony: &Ceremony<'_>) -> Result<(), CeremonyError> {
    // Both sections ask for the UTF-8 decoding that drops a byte order mark.
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    let members = strict_object(json).ok_or(CeremonyError::ClientData)?;
    let is = |name: &str, wanted: &str| members.get(name).is_some_and(|value| value == wanted);
    if !is("type", typ) {
        return Err(CeremonyError::WrongType);
    }
    if !is("challenge", &b64(ceremony.challenge)) {
        return Err(CeremonyError::OtherChallenge);
    }
    if !is("origin", ceremony.rp.origin) {
        return Err(CeremonyError::OtherOrigin);
    }
    // Browsers before Level 2 leave `crossOrigin` out.
    let is_own = members.get("crossOrigin").is_none_or(|value| *value == Value::Bool(false));
    if !is_own || members.contains_key("topOrigin") {
        return Err(CeremonyError::CrossOrigin);
    }
    Ok(())
}
