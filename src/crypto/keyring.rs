//! Versioned key-encryption keys: the first one seals, all of them open.

use super::{Key, Opened, Secret, open, seal, unb64};
use crate::ports::Entropy;
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
    fn malformed_keyrings_are_refused() {
        for bad in ["", "1", "1:", "1:AAEC", "x:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"] {
            assert!(ring(bad).is_none(), "{bad}");
        }
    }
}
