//! SHA-256, the comparison of digests, and HMAC.

use super::Secret;
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// A SHA-256 digest. Equality takes the same time wherever the first difference is.
#[derive(Clone, Copy, Debug)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Base64url text, as it is stored.
    pub fn to_text(self) -> String {
        super::b64(self.0)
    }

    /// Reads stored text back.
    pub fn from_text(text: &str) -> Option<Self> {
        super::unb64(text)?.try_into().ok().map(Self)
    }

    /// Hexadecimal text in small letters.
    pub fn to_hex(self) -> String {
        super::hex(self.0)
    }

    /// The 32 bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

/// SHA-256 over `bytes`.
pub fn sha256(bytes: impl AsRef<[u8]>) -> Digest {
    Digest(Sha256::digest(bytes.as_ref()).into())
}

/// HMAC-SHA256 (RFC 2104); nothing where the key cannot be one, and every key can.
pub fn hmac_sha256(key: &[u8], message: impl AsRef<[u8]>) -> Option<Secret<[u8; 32]>> {
    HmacKey::new(key).map(|key| key.mac(message))
}

/// A key of HMAC-SHA256 for several messages: what follows from the key alone is computed once.
pub struct HmacKey(Hmac<Sha256>);

impl HmacKey {
    /// The key; nothing where it cannot be one, and every key can.
    pub fn new(key: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(key).ok().map(Self)
    }

    /// HMAC-SHA256 of a message.
    pub fn mac(&self, message: impl AsRef<[u8]>) -> Secret<[u8; 32]> {
        let mac = self.0.clone().chain_update(message.as_ref());
        Secret::new(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_for_several_messages_gives_each_what_it_gets_by_itself() {
        // RFC 4231 §4.3.
        let key = HmacKey::new(b"Jefe").unwrap();
        let mac = key.mac("what do ya want for nothing?");
        let wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(super::super::hex(mac.expose()), wanted);
        assert_eq!(key.mac("another").expose(), hmac_sha256(b"Jefe", "another").unwrap().expose());
        assert_eq!(super::super::hex(key.mac("what do ya want for nothing?").expose()), wanted);
    }
}
