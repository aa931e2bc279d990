//! Secrets, digests, authenticated encryption and constant-time comparison.
//!
//! In scope: symmetric cryptography and the types that keep secrets from leaking. Out of scope: asymmetric cryptography
//! (a port, [`crate::ports::Keys`]) and every decision about what is sealed or compared.
//!
//! 1. A [`Secret`] has no `Debug`, no `Display`, no `Serialize`; it is compared in constant time and wiped on drop.
//! 2. Only the files of this folder name symmetric cryptography crates.

mod aead;
mod digest;
mod keyring;
mod opaque;
mod secret;
pub mod sigv4;
mod webhook;

pub use aead::{Key, Opened, open, seal};
pub use digest::{Digest, HmacKey, hmac_sha256, sha256};
pub use keyring::Keyring;
pub use opaque::{Kind, is_nonce, is_well_formed, mint, nonce};
pub use secret::Secret;
pub use webhook::{mint_webhook_secret, sign_webhook};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Base64url without padding (RFC 4648 §5).
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of base64url text without padding; anything else is refused.
pub fn unb64(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Base64 with padding (RFC 4648 §4).
pub fn b64_std(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of base64 text with padding; anything else is refused.
pub fn unb64_std(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Hexadecimal text in small letters.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes.as_ref().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
