//! Secrets and signatures of Standard Webhooks (specification, "Signature scheme"): symmetric, HMAC-SHA256, version `v1`.

use super::Secret;
use crate::ports::Entropy;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

const PREFIX: &str = "whsec_";

/// A new secret: `whsec_` and 256 random bits in base64.
pub fn mint_webhook_secret(entropy: &dyn Entropy) -> Secret<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    entropy.fill(&mut *bytes);
    Secret::new([PREFIX, &STANDARD.encode(*bytes)].concat())
}

/// The signature of a message: `v1,` and the tag over its id, the moment of this attempt, and its body.
pub fn sign_webhook(secret: &Secret<String>, (id, timestamp): (&str, i64), body: &str) -> Option<String> {
    let key = Zeroizing::new(STANDARD.decode(secret.expose().strip_prefix(PREFIX)?).ok()?);
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body.as_bytes());
    Some(["v1,", &STANDARD.encode(mac.finalize().into_bytes())].concat())
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

    /// The example of the specification's reference libraries.
    #[test]
    fn a_signature_is_that_of_the_reference_libraries() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let signature =
            sign_webhook(&secret, ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330), r#"{"test": 2432232314}"#);
        assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn a_secret_has_32_bytes_behind_its_prefix() {
        let secret = mint_webhook_secret(&Sevens);
        let bytes = STANDARD.decode(secret.expose().strip_prefix("whsec_").unwrap()).unwrap();
        assert_eq!(bytes, [7; 32]);
        assert!(sign_webhook(&secret, ("a", 1), "").is_some());
        assert!(sign_webhook(&Secret::new("no".to_owned()), ("a", 1), "").is_none());
    }
}
