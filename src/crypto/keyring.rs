//! Versioned key-encryption keys: the first one seals, all of them open.

use super::{Key, Opened, Secret, open, seal, unb64};
use crate::ports::Entropy;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What stands in the place of a key that nobody has any more.
const LOST: &str = "lost";

/// Key-encryption keys by version.
pub struct Keyring {
    keys: Vec<(u32, Key)>,
    lost: Vec<u32>,
}

impl Keyring {
    /// Reads `VERSION:KEY` pairs separated by spaces, KEY being 32 bytes in base64url, or `lost`; the first is the current one.
    pub fn parse(text: &Secret<String>) -> Option<Self> {
        let mut ring = Self { keys: Vec::new(), lost: Vec::new() };
        for pair in text.expose().split_whitespace() {
            let (version, key) = pair.split_once(':')?;
            let version = version.parse().ok()?;
            match key {
                LOST if !ring.keys.is_empty() => ring.lost.push(version),
                key => ring.keys.push((version, parse_key(key)?)),
            }
        }
        Some(ring).filter(|ring| !ring.keys.is_empty())
    }

    /// Seals under the current key; the version stands in front: `1.BASE64URL`.
    pub fn seal(&self, associated: &str, plain: &[u8], entropy: &dyn Entropy) -> Option<String> {
        let (version, key) = self.keys.first()?;
        Some(format!("{version}.{}", seal(key, associated, plain, entropy)?))
    }

    /// Opens with the key whose version stands in front.
    pub fn open(&self, associated: &str, sealed: &str) -> Option<Opened> {
        let (version, sealed) = sealed.split_once('.')?;
        let version: u32 = version.parse().ok()?;
        let (_, key) = self.keys.iter().find(|(known, _)| *known == version)?;
        open(key, associated, sealed)
    }
}

impl Keyring {
    /// The version of the current key.
    pub fn version(&self) -> Option<u32> {
        self.keys.first().map(|(version, _)| *version)
    }

    /// The version under which a text is sealed.
    pub fn version_of(sealed: &str) -> Option<u32> {
        sealed.split_once('.').and_then(|(version, _)| version.parse().ok())
    }

    /// Whether there is a key of that version.
    pub fn has(&self, version: u32) -> bool {
        self.keys.iter().any(|(known, _)| *known == version)
    }

    /// Whether nobody has the key of that version any more.
    pub fn has_lost(&self, version: u32) -> bool {
        self.lost.contains(&version)
    }

    /// Whether a text is sealed under the current key.
    pub fn is_current(&self, sealed: &str) -> bool {
        self.version().is_some() && self.version() == Self::version_of(sealed)
    }

    /// Seals anew, under the current key, what an older one has sealed; nothing if it does not open.
    pub fn reseal(&self, associated: &str, sealed: &str, entropy: &dyn Entropy) -> Option<String> {
        self.seal(associated, &self.open(associated, sealed)?, entropy)
    }

    /// Authenticates a message: HMAC-SHA256 under a key that is derived for `purpose` from the current one.
    pub fn tag(&self, purpose: &str, message: &[u8]) -> Option<Vec<u8>> {
        let (_, key) = self.keys.first()?;
        Some(mac(key, purpose, message)?.finalize().into_bytes().to_vec())
    }

    /// Whether one of the keys has made the tag; compared in constant time.
    pub fn has_tagged(&self, purpose: &str, message: &[u8], tag: &[u8]) -> bool {
        self.keys.iter().any(|(_, key)| mac(key, purpose, message).is_some_and(|mac| mac.verify_slice(tag).is_ok()))
    }
}

fn mac(key: &Key, purpose: &str, message: &[u8]) -> Option<Hmac<Sha256>> {
    let mut derived = Hmac::<Sha256>::new_from_slice(key.expose()).ok()?;
    derived.update(purpose.as_bytes());
    let derived = Zeroizing::new(<[u8; 32]>::from(derived.finalize().into_bytes()));
    let mut mac = Hmac::<Sha256>::new_from_slice(derived.as_slice()).ok()?;
    mac.update(message);
    Some(mac)
}

fn parse_key(text: &str) -> Option<Key> {
    let bytes = Zeroizing::new(unb64(text)?);
    Some(Secret::new(bytes.as_slice().try_into().ok()?))
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
    fn a_tag_holds_for_its_message_and_its_purpose_under_every_key_of_the_ring() {
        let (one, two) =
            ("1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "2:HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
        let tag = ring(one).unwrap().tag("a", b"x").unwrap();
        let both = ring(&format!("{two} {one}")).unwrap();
        assert!(both.has_tagged("a", b"x", &tag));
        assert!(!both.has_tagged("b", b"x", &tag) && !both.has_tagged("a", b"y", &tag));
        assert!(!both.has_tagged("a", b"x", &tag[..31]) && !ring(two).unwrap().has_tagged("a", b"x", &tag));
    }

    #[test]
    fn what_is_sealed_anew_is_under_the_current_key_and_at_its_own_place_only() {
        let (one, two) =
            ("1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "2:HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
        let old = ring(one).unwrap().seal("a", b"x", &Zero).unwrap();
        let both = ring(&format!("{two} {one}")).unwrap();
        assert!(!both.is_current(&old));
        let new = both.reseal("a", &old, &Zero).unwrap();
        assert!(both.is_current(&new) && ring(two).unwrap().open("a", &new).unwrap().as_slice() == b"x");
        assert!(both.reseal("b", &old, &Zero).is_none());
    }

    #[test]
    fn a_key_that_is_lost_is_none_and_does_not_seal() {
        let two = "2:HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let ring = ring(&format!("{two} 1:lost")).unwrap();
        assert!(ring.has(2) && !ring.has(1) && ring.has_lost(1) && !ring.has_lost(2));
        assert_eq!((ring.version(), Keyring::version_of("1.x"), Keyring::version_of("x")), (Some(2), Some(1), None));
    }

    #[test]
    fn malformed_keyrings_are_refused() {
        for bad in [
            "1:lost",
            "1:lost 2:HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
            "",
            "1",
            "1:",
            "1:AAEC",
            "x:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        ] {
            assert!(ring(bad).is_none(), "{bad}");
        }
    }
}
