//! The JSON of a credential: `RegistrationResponseJSON` and `AuthenticationResponseJSON` (§5.1).
//!
//! What clients add for convenience (copies of the key and of the authenticator data, results of extensions) is not looked at.

use super::CeremonyError;
use crate::crypto::unb64;
use crate::jose::strict_object;
use serde_json::{Map, Value};

/// The longest JSON, in bytes: an attestation object and the copies of its parts.
const MAX_JSON: usize = 32 * 1024;
/// The longest credential ID, in bytes (§7.1).
const MAX_ID: usize = 1023;

/// A credential whose JSON parses. Nothing in it may be believed.
pub(super) struct Response {
    /// The credential ID in base64url.
    pub id: String,
    /// The members of the authenticator's response.
    members: Map<String, Value>,
}

impl Response {
    /// Reads the JSON within its limits; the type is `public-key`, and both forms of the ID are the same.
    pub fn parse(json: &str) -> Result<Self, CeremonyError> {
        Self::read(json).ok_or(CeremonyError::Malformed)
    }

    fn read(json: &str) -> Option<Self> {
        let mut members =
            Some(json).filter(|json| json.len() <= MAX_JSON).and_then(|json| strict_object(json.as_bytes()))?;
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let id = text("id").filter(|id| Some(*id) == text("rawId") && text("type") == Some("public-key"))?.to_owned();
        let length = unb64(&id)?.len();
        let Some(Value::Object(response)) = members.remove("response") else { return None };
        (1..=MAX_ID).contains(&length).then_some(Self { id, members: response })
    }

    /// The bytes of a member that has to be there.
    pub fn bytes(&self, name: &str, longest: usize) -> Result<Vec<u8>, CeremonyError> {
        let text = self.members.get(name).and_then(Value::as_str);
        text.and_then(unb64).filter(|bytes| bytes.len() <= longest).ok_or(CeremonyError::Malformed)
    }

    /// A member of any type.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }
}
