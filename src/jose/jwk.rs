//! Public keys (RFC 7517): parsed once, then known to be sound.

use crate::crypto::sha256;
use crate::ports::{Alg, PublicKey};
use jwt_compact::jwk::JsonWebKey;
use p256::elliptic_curve::sec1::{EncodedPoint, FromEncodedPoint};

const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;

/// A public key that fits its algorithm: an EC point that lies on P-256, an RSA modulus of 2048 bits or more
/// (RFC 8725 §3.4). Private and symmetric keys are not accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct PublicJwk {
    alg: Alg,
    kid: String,
    json: String,
}

impl PublicJwk {
    /// Reads a JWK for use with `alg`; members that a public key does not need are dropped.
    pub fn parse(alg: Alg, json: &str) -> Option<Self> {
        let jwk: JsonWebKey<'_> = serde_json::from_str(json).ok()?;
        let sound = !jwk.is_signing_key()
            && match (&jwk, alg) {
                (JsonWebKey::EllipticCurve { curve, x, y, .. }, Alg::Es256) => curve == "P-256" && on_curve(x, y),
                (JsonWebKey::Rsa { modulus, public_exponent, .. }, Alg::Rs256) => {
                    let bits = significant_bits(modulus);
                    (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) && public_exponent.last().is_some_and(|e| e % 2 == 1)
                }
                _ => false,
            };
        // `to_string` writes the required members in lexical order, which is what RFC 7638 §3 hashes.
        let json = jwk.to_string();
        sound.then(|| Self { alg, kid: sha256(&json).to_text(), json })
    }

    /// The thumbprint of RFC 7638, which is the `kid`.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What the key verifies.
    pub const fn alg(&self) -> Alg {
        self.alg
    }

    /// The members of the key alone, in lexical order.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The form that the port takes.
    pub fn as_key(&self) -> PublicKey<'_> {
        PublicKey { alg: self.alg, id: &self.kid, jwk: &self.json }
    }
}

fn on_curve(x: &[u8], y: &[u8]) -> bool {
    let (Ok(x), Ok(y)) = (<[u8; 32]>::try_from(x), <[u8; 32]>::try_from(y)) else { return false };
    let point = EncodedPoint::<p256::NistP256>::from_affine_coordinates(&x.into(), &y.into(), false);
    p256::PublicKey::from_encoded_point(&point).is_some().into()
}

fn significant_bits(modulus: &[u8]) -> usize {
    let digits = modulus.iter().skip_while(|byte| **byte == 0).count();
    let leading = modulus.iter().find(|byte| **byte != 0).map_or(0, |byte| byte.leading_zeros());
    digits.saturating_mul(8).saturating_sub(leading as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC_7638: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    const RFC_7515_A3: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638_section_3_1() {
        let key = PublicJwk::parse(Alg::Rs256, RFC_7638).unwrap();
        assert_eq!(key.kid(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_key_serves_only_the_algorithm_of_its_type() {
        assert!(PublicJwk::parse(Alg::Es256, RFC_7515_A3).is_some());
        assert!(PublicJwk::parse(Alg::Rs256, RFC_7515_A3).is_none());
        assert!(PublicJwk::parse(Alg::Es256, RFC_7638).is_none());
        assert!(PublicJwk::parse(Alg::Es256, r#"{"kty":"oct","k":"AAAA"}"#).is_none());
    }

    #[test]
    fn private_keys_points_off_the_curve_and_short_moduli_are_refused() {
        let private = RFC_7515_A3.replace("\"crv\"", "\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\",\"crv\"");
        assert!(PublicJwk::parse(Alg::Es256, &private).is_none());
        assert!(PublicJwk::parse(Alg::Es256, &RFC_7515_A3.replace("x_FE", "x_FF")).is_none());
        assert!(PublicJwk::parse(Alg::Es256, &RFC_7515_A3.replace("f83O", "")).is_none());
        assert!(PublicJwk::parse(Alg::Rs256, r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#).is_none());
    }
}
