//! Proof Key for Code Exchange (RFC 7636), with the method S256 alone (OAuth 2.1 §7.5.2).

use crate::crypto::{sha256, unb64};

/// Whether `text` can be the challenge of the method S256: 32 bytes in base64url (RFC 7636 §4.2).
pub fn is_challenge(text: &str) -> bool {
    text.len() == 43 && unb64(text).is_some_and(|bytes| bytes.len() == 32)
}

/// Whether `verifier` is the one behind `challenge`: 43 to 128 unreserved characters whose SHA-256 it is (RFC 7636 §4.1, §4.6).
pub fn verifies(verifier: &str, challenge: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&verifier.len()) && verifier.bytes().all(sound) && sha256(verifier).to_text() == challenge
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc_verifies_and_nothing_else_does() {
        assert!(is_challenge(CHALLENGE) && verifies(VERIFIER, CHALLENGE));
        for bad in ["", "x", CHALLENGE, &VERIFIER[1..], &format!("{VERIFIER}x"), &format!("{VERIFIER} ")] {
            assert!(!verifies(bad, CHALLENGE), "{bad}");
        }
        for bad in ["", VERIFIER.get(..42).unwrap(), &format!("{CHALLENGE}="), &CHALLENGE.replace('-', "+")] {
            assert!(!is_challenge(bad), "{bad}");
        }
    }
}
