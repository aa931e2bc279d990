//! Opaque credentials: a prefix that tells a scanner what leaked, 256 random bits, and a checksum that refuses a
//! truncated or mistyped one before anything is looked up.

use super::{Secret, b64, sha256, unb64};
use crate::ports::Entropy;

/// What an opaque credential is for; its prefix says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `writ_cs_…`: a client secret.
    ClientSecret,
    /// `writ_ac_…`: an authorization code.
    AuthorizationCode,
    /// `writ_dc_…`: a device code.
    DeviceCode,
    /// `writ_ss_…`: the cookie of a session.
    Session,
    /// `writ_iat_…`: an initial access token (RFC 7591 §3).
    InitialAccess,
    /// `writ_rat_…`: a registration access token (RFC 7592 §3).
    RegistrationAccess,
    /// `writ_iv_…`: the token of an invitation.
    Invitation,
    /// `writ_ar_…`: what a client polls an approval with (OpenID CIBA Core §7.3).
    ApprovalRequest,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::ClientSecret => "writ_cs_",
            Self::AuthorizationCode => "writ_ac_",
            Self::DeviceCode => "writ_dc_",
            Self::Session => "writ_ss_",
            Self::InitialAccess => "writ_iat_",
            Self::RegistrationAccess => "writ_rat_",
            Self::Invitation => "writ_iv_",
            Self::ApprovalRequest => "writ_ar_",
        }
    }
}

/// The length of 32 bytes in base64url.
const RANDOM: usize = 43;
const CHECK: usize = 6;

fn checksum(body: &str) -> String {
    let mut sum = sha256(body).to_text();
    sum.truncate(CHECK);
    sum
}

/// A new credential with 256 bits of randomness.
pub fn mint(kind: Kind, entropy: &dyn Entropy) -> Secret<String> {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    let body = format!("{}{}", kind.prefix(), b64(bytes));
    let check = checksum(&body);
    Secret::new(body + &check)
}

/// Whether `text` could have been made by [`mint`]: prefix, length and checksum fit.
pub fn is_well_formed(kind: Kind, text: &str) -> bool {
    text.strip_prefix(kind.prefix())
        .filter(|rest| rest.len() == RANDOM.saturating_add(CHECK))
        .and_then(|rest| rest.split_at_checked(RANDOM))
        .is_some_and(|(random, check)| checksum(&[kind.prefix(), random].concat()) == check)
}

/// 128 random bits as base64url: a name that nobody can guess.
pub fn nonce(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    b64(bytes)
}

/// Whether `text` could have been made by [`nonce`].
pub fn is_nonce(text: &str) -> bool {
    unb64(text).is_some_and(|bytes| bytes.len() == 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevens;
    impl Entropy for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    #[test]
    fn every_prefix_and_every_changed_character_of_a_secret_is_malformed() {
        let secret = mint(Kind::ClientSecret, &Sevens);
        let text = secret.expose();
        assert!(is_well_formed(Kind::ClientSecret, text));
        for cut in 0..text.len() {
            assert!(!is_well_formed(Kind::ClientSecret, &text[..cut]));
            let mut bytes = text.clone().into_bytes();
            bytes[cut] = if bytes[cut] == b'A' { b'B' } else { b'A' };
            assert!(!is_well_formed(Kind::ClientSecret, std::str::from_utf8(&bytes).unwrap()));
        }
    }
}
