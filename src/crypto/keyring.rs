//! Versioned key-encryption keys: the first one seals and authenticates, all of them open and verify.

use super::{Key, Opened, Secret, b64, open, seal, unb64};
use crate::ports::Entropy;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Key-encryption keys by version.
pub struct Keyring(Vec<(u32, Key)>);

impl Keyring {
    /// Reads `VERSION:KEY` pairs separated by spaces, KEY being 32 bytes in base64url; the first is the current one.
    pub fn parse(text: &Secret<String>) -> Option<Self> {
        let keys: Option<Vec<_>> = text.expose().split_whitespace().map(parse_key).collect();
        keys.filter(|keys| !keys.is_empty()).map(Self)
    }

    /// Seals under the current key; the version stands in front: `1.BASE64URL`.
    pub fn seal(&self, associated: &str, plain: &[u8], entropy: &dyn Entropy) -> Option<String> {
        let (version, key) = self.0.first()?;
        Some(format!("{version}.{}", seal(key, associated, plain, entropy)?))
    }

    /// Opens with the key whose version stands in front.
    pub fn open(&self, associated: &str, sealed: &str) -> Option<Opened> {
        let (version, sealed) = sealed.split_once('.')?;
        let version: u32 = version.parse().ok()?;
        let (_, key) = self.0.iter().find(|(known, _)| *known == version)?;
        open(key, associated, sealed)
    }

    /// The version of the current key.
    pub fn version(&self) -> u32 {
        self.0.first().map_or(0, |(version, _)| *version)
    }

    /// Whether something was sealed under another key than the current one.
    pub fn is_outdated(&self, sealed: &str) -> bool {
        sealed.split_once('.').and_then(|(version, _)| version.parse().ok()) != Some(self.version())
    }

    /// Seals under the current key what another key of the ring has sealed; nothing if none of them opens it.
    pub fn reseal(&self, associated: &str, sealed: &str, entropy: &dyn Entropy) -> Option<String> {
        self.seal(associated, &self.open(associated, sealed)?, entropy)
    }

    /// An HMAC-SHA256 (RFC 2104) of `text` under a key that is derived from the current one for `purpose`; the version stands in front.
    pub fn authenticate(&self, purpose: &str, text: &str) -> Option<String> {
        let (version, key) = self.0.first()?;
        Some(format!("{version}.{}", b64(mac(key, purpose, text)?.finalize().into_bytes())))
    }

    /// Whether [`Self::authenticate`] made `code` for this purpose and text; compared in constant time.
    pub fn is_authentic(&self, purpose: &str, text: &str, code: &str) -> bool {
        let parsed = || {
            let (version, code) = code.split_once('.')?;
            let version: u32 = version.parse().ok()?;
            let (_, key) = self.0.iter().find(|(known, _)| *known == version)?;
            mac(key, purpose, text)?.verify_slice(&unb64(code)?).ok()
        };
        parsed().is_some()
    }
}

fn mac(key: &Key, purpose: &str, text: &str) -> Option<Hmac<Sha256>> {
    let mut derive = Hmac::<Sha256>::new_from_slice(key.expose()).ok()?;
    derive.update(purpose.as_bytes());
    let derived = Zeroizing::new(<[u8; 32]>::from(derive.finalize().into_bytes()));
    let mut mac = Hmac::<Sha256>::new_from_slice(derived.as_slice()).ok()?;
    mac.update(text.as_bytes());
    Some(mac)
}

fn parse_key(pair: &str) -> Option<(u32, Key)> {
    let (version, key) = pair.split_once(':')?;
    let bytes = Zeroizing::new(unb64(key)?);
    Some((version.parse().ok()?, Secret::new(bytes.as_slice().try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zero;
    impl Entropy for Zero {
        fn fill(&self, _: &mut [u8]) {}
    }

    fn ring(text: &str) -> Option<Keyring> {
        Keyring::parse(&Secret::new(text.to_owned()))
    }

    #[test]
    fn a_new_version_seals_while_the_old_one_still_opens() {
        let (one, two) =
            ("1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "2:HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
        let old = ring(one).unwrap().seal("a", b"x", &Zero).unwrap();
        let both = ring(&format!("{two} {one}")).unwrap();
        assert_eq!(both.open("a", &old).unwrap().as_slice(), b"x");
        assert!(both.seal("a", b"x", &Zero).unwrap().starts_with("2."));
        assert!(ring(two).unwrap().open("a", &old).is_none());
    }

    #[test]
    fn a_code_holds_for_its_purpose_text_and_ring_alone() {
        let (one, two) =
            ("1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "2:HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
        let (old, both) = (ring(one).unwrap(), ring(&format!("{two} {one}")).unwrap());
        let code = old.authenticate("nonce/main", "7").unwrap();
        assert!(old.is_authentic("nonce/main", "7", &code) && both.is_authentic("nonce/main", "7", &code));
        assert!(!old.is_authentic("nonce/other", "7", &code) && !old.is_authentic("nonce/main", "8", &code));
        assert!(!ring(two).unwrap().is_authentic("nonce/main", "7", &code));
        for bad in ["", "1.", "1", ".", "x.AA", &code[..code.len() - 1]] {
            assert!(!old.is_authentic("nonce/main", "7", bad), "{bad}");
        }
    }

    #[test]
    fn what_an_older_key_sealed_is_outdated_until_it_is_sealed_anew() {
        let (one, two) =
            ("1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "2:HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
        let both = ring(&format!("{two} {one}")).unwrap();
        let old = ring(one).unwrap().seal("a", b"x", &Zero).unwrap();
        let new = both.reseal("a", &old, &Zero).unwrap();
        assert!(both.is_outdated(&old) && !both.is_outdated(&new));
        assert_eq!(ring(two).unwrap().open("a", &new).unwrap().as_slice(), b"x");
        assert!(both.reseal("b", &old, &Zero).is_none());
    }

    #[test]
    fn malformed_keyrings_are_refused() {
        for bad in ["", "1", "1:", "1:AAEC", "x:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"] {
            assert!(ring(bad).is_none(), "{bad}");
        }
    }
}
