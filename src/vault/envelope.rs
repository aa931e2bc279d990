//! Envelope encryption: a credential under a key of its own, that key under the vault's key-encryption key.
//!
//! 1. One random 256-bit data key per credential, AES-256-GCM.
//! 2. Associated data names what a ciphertext is, the version of this format, tenant, connection and credential: rows that
//!    are swapped do not open (docs/requirements.md R60).
//! 3. Downstream tokens are sealed under the data key of their credential, so they become unreadable with it.

use crate::context::Cx;
use crate::crypto::{self, Key, Keyring, Opened, Secret};
use crate::error::{Error, Fault, Result};
use crate::model::connection::CredentialPointer;
use crate::ports::Entropy;

const FORMAT: u8 = 1;
const KEY: usize = 32;

/// The path of a credential. Its parts cannot contain a slash, so no two paths are spelled alike.
#[derive(Clone, Copy)]
pub struct CredentialPath<'a> {
    /// The tenant's id.
    pub tenant: &'a str,
    /// The connection's name.
    pub connection: &'a str,
    /// The credential's id, never reused.
    pub credential: &'a str,
}

/// A credential as it is stored: the ciphertext for KV, the wrapped key for D1.
pub struct Sealed {
    pub ciphertext: String,
    pub wrapped_key: String,
}

/// How the names of all ciphertexts of a tenant in KV begin.
pub fn kv_prefix(tenant: &str) -> String {
    format!("credential/{tenant}/")
}

impl CredentialPath<'_> {
    fn associated(&self, what: &str) -> String {
        format!("{what}/{FORMAT}/{}/{}/{}", self.tenant, self.connection, self.credential)
    }

    /// The name of the ciphertext in KV.
    pub fn kv_key(&self) -> String {
        kv_prefix(self.tenant) + self.credential
    }

    /// A new data key; in the open, and as it is stored.
    pub fn make_key(&self, ring: &Keyring, entropy: &dyn Entropy) -> Option<(Key, String)> {
        let mut key = [0; KEY];
        entropy.fill(&mut key);
        let key = Secret::new(key);
        let wrapped = ring.seal(&self.associated("data-key"), key.expose(), entropy)?;
        Some((key, wrapped))
    }

    /// Seals a credential under a new data key.
    pub fn seal(&self, ring: &Keyring, plain: &Secret<Vec<u8>>, entropy: &dyn Entropy) -> Option<Sealed> {
        let (key, wrapped_key) = self.make_key(ring, entropy)?;
        let ciphertext = crypto::seal(&key, &self.associated("credential"), plain.expose(), entropy)?;
        Some(Sealed { ciphertext, wrapped_key })
    }

    fn account(&self, (owner, generation): (&str, i64)) -> String {
        format!("{}/{generation}/{owner}", self.associated("account"))
    }

    /// Seals the tokens of an account; its owner and their generation are bound to them.
    pub fn seal_account(&self, key: &Key, of: (&str, i64), plain: &[u8], entropy: &dyn Entropy) -> Option<String> {
        crypto::seal(key, &self.account(of), plain, entropy)
    }

    /// Opens the tokens of an account.
    pub fn open_account(&self, key: &Key, of: (&str, i64), sealed: &str) -> Option<Opened> {
        crypto::open(key, &self.account(of), sealed)
    }

    /// The data key of the credential.
    pub fn unwrap(&self, ring: &Keyring, wrapped: &str) -> Option<Key> {
        let opened = ring.open(&self.associated("data-key"), wrapped)?;
        opened.as_slice().try_into().ok().map(Secret::new)
    }

    /// The data key wrapped anew under the current key-encryption key.
    pub fn rewrap(&self, ring: &Keyring, wrapped: &str, entropy: &dyn Entropy) -> Option<String> {
        ring.reseal(&self.associated("data-key"), wrapped, entropy)
    }

    /// Opens a credential.
    pub fn open(&self, key: &Key, ciphertext: &str) -> Option<Opened> {
        crypto::open(key, &self.associated("credential"), ciphertext)
    }

    fn token(&self, (scope, expires_at): (&str, i64)) -> String {
        format!("{}/{expires_at}/{scope}", self.associated("token"))
    }

    /// Seals a downstream token; its scope and expiry are bound to it.
    pub fn seal_token(
        &self,
        key: &Key,
        of: (&str, i64),
        token: &Secret<String>,
        entropy: &dyn Entropy,
    ) -> Option<String> {
        crypto::seal(key, &self.token(of), token.expose().as_bytes(), entropy)
    }

    /// Opens a downstream token.
    pub fn open_token(&self, key: &Key, of: (&str, i64), sealed: &str) -> Option<Secret<String>> {
        let opened = crypto::open(key, &self.token(of), sealed)?;
        std::str::from_utf8(&opened).ok().map(|text| Secret::new(text.to_owned()))
    }
}

/// The vault's key-encryption keys.
pub fn ring<'a>(cx: &Cx<'a>) -> Result<&'a Keyring> {
    cx.config.vault().ok_or_else(|| Fault::Broken("this Worker has no vault key").into())
}

/// The data key of a stored credential.
pub fn data_key(cx: &Cx<'_>, path: &CredentialPath<'_>, pointer: &CredentialPointer) -> Result<Key> {
    path.unwrap(ring(cx)?, &pointer.wrapped_key).ok_or_else(unreadable)
}

/// Reads a credential from KV and opens it.
pub async fn fetch(cx: &Cx<'_>, path: &CredentialPath<'_>, key: &Key) -> Result<Opened> {
    // Written before its pointer: if it is not there, it is not visible here yet.
    let ciphertext = cx.world.kv.get(&path.kv_key()).await?.ok_or(Fault::Unavailable("the credential"))?;
    path.open(key, &ciphertext).ok_or_else(unreadable)
}

fn unreadable() -> Error {
    Fault::Broken("a stored credential cannot be read").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Never the same bytes twice, so that keys and nonces differ.
    struct Counting(Cell<u8>);
    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for byte in bytes {
                self.0.set(self.0.get().wrapping_mul(5).wrapping_add(3));
                *byte = self.0.get();
            }
        }
    }

    const ONE: CredentialPath<'_> = CredentialPath { tenant: "main", connection: "a", credential: "01" };

    fn ring(fill: u8) -> Keyring {
        Keyring::parse(&Secret::new(format!("1:{}", crypto::b64([fill; KEY])))).unwrap()
    }

    fn seal(path: CredentialPath<'_>, plain: &[u8], entropy: &Counting) -> Sealed {
        path.seal(&ring(1), &Secret::new(plain.to_vec()), entropy).unwrap()
    }

    fn open(path: CredentialPath<'_>, sealed: &Sealed) -> Option<Vec<u8>> {
        let key = path.unwrap(&ring(1), &sealed.wrapped_key)?;
        path.open(&key, &sealed.ciphertext).map(|opened| opened.to_vec())
    }

    #[test]
    fn a_credential_opens_at_its_own_place_only() {
        let entropy = Counting(Cell::new(0));
        let sealed = seal(ONE, b"hunter2", &entropy);
        assert_eq!(open(ONE, &sealed).unwrap(), b"hunter2");
        for elsewhere in [
            CredentialPath { tenant: "other", ..ONE },
            CredentialPath { connection: "b", ..ONE },
            CredentialPath { credential: "02", ..ONE },
        ] {
            assert!(elsewhere.unwrap(&ring(1), &sealed.wrapped_key).is_none());
            let key = ONE.unwrap(&ring(1), &sealed.wrapped_key).unwrap();
            assert!(elsewhere.open(&key, &sealed.ciphertext).is_none());
        }
    }

    #[test]
    fn swapped_ciphertexts_and_swapped_wrapped_keys_do_not_open() {
        let entropy = Counting(Cell::new(0));
        let other = CredentialPath { connection: "b", credential: "02", ..ONE };
        let (one, two) = (seal(ONE, b"one", &entropy), seal(other, b"two", &entropy));
        assert_ne!(one.wrapped_key, two.wrapped_key);
        let mixed = |ciphertext: &Sealed, key: &Sealed| Sealed {
            ciphertext: ciphertext.ciphertext.clone(),
            wrapped_key: key.wrapped_key.clone(),
        };
        for swapped in [mixed(&one, &two), mixed(&two, &one), mixed(&two, &two)] {
            assert!(open(ONE, &swapped).is_none());
        }
    }

    #[test]
    fn another_key_encryption_key_opens_nothing() {
        let sealed = seal(ONE, b"hunter2", &Counting(Cell::new(0)));
        assert!(ONE.unwrap(&ring(2), &sealed.wrapped_key).is_none());
    }

    #[test]
    fn a_downstream_token_is_bound_to_its_scope_and_its_expiry() {
        let entropy = Counting(Cell::new(0));
        let key = ONE.unwrap(&ring(1), &seal(ONE, b"x", &entropy).wrapped_key).unwrap();
        let token = Secret::new("ya29.x".to_owned());
        let sealed = ONE.seal_token(&key, ("read", 10), &token, &entropy).unwrap();
        assert!(ONE.open_token(&key, ("read", 10), &sealed).is_some_and(|opened| opened == token));
        assert!(ONE.open_token(&key, ("write", 10), &sealed).is_none());
        assert!(ONE.open_token(&key, ("read", 11), &sealed).is_none());
        assert!(CredentialPath { connection: "b", ..ONE }.open_token(&key, ("read", 10), &sealed).is_none());
        assert!(ONE.open(&key, &sealed).is_none(), "a token is no credential");
    }
}
