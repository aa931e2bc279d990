//! AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce in front of the ciphertext.

use super::{Secret, b64, unb64};
use crate::ports::Entropy;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use zeroize::Zeroizing;

/// A 256-bit key.
pub type Key = Secret<[u8; 32]>;

/// What opening gave back, wiped on drop.
pub type Opened = Zeroizing<Vec<u8>>;

const NONCE: usize = 12;

/// Seals `plain` under `key`; it opens only with the same `associated` data. The answer is base64url text.
pub fn seal(key: &Key, associated: &str, plain: &[u8], entropy: &dyn Entropy) -> Option<String> {
    let mut nonce = [0; NONCE];
    entropy.fill(&mut nonce);
    let payload = Payload { msg: plain, aad: associated.as_bytes() };
    let cipher = Aes256Gcm::new(key.expose().into());
    let sealed = cipher.encrypt(&Nonce::from(nonce), payload).ok()?;
    Some(b64([&nonce[..], &sealed].concat()))
}

/// Opens what [`seal`] made; nothing if the key, the associated data or a single bit differs.
pub fn open(key: &Key, associated: &str, sealed: &str) -> Option<Opened> {
    let bytes = unb64(sealed)?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
    let payload = Payload { msg: sealed, aad: associated.as_bytes() };
    let cipher = Aes256Gcm::new(key.expose().into());
    cipher.decrypt(&Nonce::from(*nonce), payload).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;
    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.iter_mut().zip(1..).for_each(|(byte, n)| *byte = n);
        }
    }

    #[test]
    fn a_sealed_secret_opens_only_under_its_own_associated_data_and_key() {
        let key = Secret::new([7; 32]);
        let sealed = seal(&key, "main/a/1", b"hunter2", &Counting).unwrap();
        assert_eq!(open(&key, "main/a/1", &sealed).unwrap().as_slice(), b"hunter2");
        assert!(open(&key, "main/b/1", &sealed).is_none());
        assert!(open(&Secret::new([8; 32]), "main/a/1", &sealed).is_none());
    }

    #[test]
    fn a_single_flipped_bit_or_a_cut_makes_it_unreadable() {
        let key = Secret::new([7; 32]);
        let sealed = unb64(&seal(&key, "x", b"hunter2", &Counting).unwrap()).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, "x", &b64(forged)).is_none());
        }
        for cut in 0..sealed.len() {
            assert!(open(&key, "x", &b64(&sealed[..cut])).is_none());
        }
    }
}
