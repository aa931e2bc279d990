//! Public keys (RFC 7517): parsed once, then known to be sound.
//!
//! 1. A key serves the one algorithm that it was parsed for, and only if its type, `alg`, `use` and `key_ops` allow that
//!    (RFC 7517 §4, RFC 8725 §3.1).
//! 2. Points lie on their curve and are of no small order; RSA moduli have 2048 to 8192 bits and do not come from the
//!    generator of CVE-2017-15361; RSA exponents are 3 or 65537 (RFC 8725 §3.4).
//! 3. Private and symmetric keys are refused, however little of them is there.

use super::point::{is_on_p256, is_on_p384, is_sound_ed25519};
use super::strict::object;
use crate::crypto::sha256;
use crate::ports::{Alg, PublicKey};
use jwt_compact::jwk::JsonWebKey;
use serde_json::{Map, Value};
use std::borrow::Cow;

const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;
/// The public exponents that WebCrypto takes in the Worker: 3 and 65537.
const EXPONENTS: [&[u8]; 2] = [&[3], &[1, 0, 1]];
/// The members of RFC 7518 §6 that only private and symmetric keys have.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A public key that fits its algorithm.
#[derive(Clone, Debug, PartialEq)]
pub struct PublicJwk {
    alg: Alg,
    kid: String,
    json: String,
}

impl PublicJwk {
    /// Reads a JWK for use with `alg`; members that a public key does not need are dropped.
    pub fn parse(alg: Alg, json: &str) -> Option<Self> {
        Self::read(alg, &object(json.as_bytes())?)
    }

    pub(super) fn read(alg: Alg, members: &Map<String, Value>) -> Option<Self> {
        if !is_of_type(alg, members) || is_private(members) || !is_for(alg, members) {
            return None;
        }
        let mut jwk: JsonWebKey<'_> = serde_json::from_value(Value::Object(members.clone())).ok()?;
        let sound = match (&mut jwk, alg) {
            (JsonWebKey::EllipticCurve { x, y, .. }, Alg::Es256) => is_on_p256(x, y),
            (JsonWebKey::EllipticCurve { x, y, .. }, Alg::Es384) => is_on_p384(x, y),
            (JsonWebKey::KeyPair { x, .. }, Alg::EdDsa) => is_sound_ed25519(x),
            (JsonWebKey::Rsa { modulus, public_exponent, .. }, Alg::Rs256 | Alg::Ps256) => {
                // RFC 7518 §6.3.1.1 knows of libraries that put a zero first; without it there is one thumbprint a key.
                trim(modulus);
                trim(public_exponent);
                is_sound_modulus(modulus) && EXPONENTS.contains(&&**public_exponent)
            }
            _ => false,
        };
        // `to_string` writes the required members in lexical order, which is what RFC 7638 §3 hashes.
        let json = jwk.to_string();
        sound.then(|| Self { alg, kid: sha256(&json).to_text(), json })
    }

    /// The thumbprint of RFC 7638, which is the `kid` of our own keys and the `jkt` of a DPoP proof.
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

    /// About how many bytes it takes in memory: its text, its thumbprint, and what holds them.
    pub(super) fn weight(&self) -> usize {
        self.json.len().saturating_add(200)
    }

    /// The form that the port takes.
    pub fn as_key(&self) -> PublicKey<'_> {
        PublicKey { alg: self.alg, id: &self.kid, jwk: &self.json }
    }
}

/// Whether these are the members of a private or symmetric key, or of a part of one.
pub(super) fn is_private(members: &Map<String, Value>) -> bool {
    members.get("kty").is_some_and(|kty| kty == "oct") || PRIVATE.iter().any(|name| members.contains_key(*name))
}

/// Whether the key is of the type, and on the curve, of that algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
fn is_of_type(alg: Alg, members: &Map<String, Value>) -> bool {
    let (kty, crv) = match alg {
        Alg::Es256 => ("EC", Some("P-256")),
        Alg::Es384 => ("EC", Some("P-384")),
        Alg::EdDsa => ("OKP", Some("Ed25519")),
        Alg::Rs256 | Alg::Ps256 => ("RSA", None),
    };
    let is = |name: &str, wanted: &str| members.get(name).is_some_and(|value| value == wanted);
    is("kty", kty) && crv.is_none_or(|crv| is("crv", crv))
}

/// Whether the owner of the key lets it verify signatures of that algorithm (RFC 7517 §4.2 to §4.4).
fn is_for(alg: Alg, members: &Map<String, Value>) -> bool {
    members.get("alg").is_none_or(|name| name.as_str().and_then(Alg::parse) == Some(alg))
        && members.get("use").is_none_or(|purpose| purpose == "sig")
        && members.get("key_ops").is_none_or(|operations| {
            operations.as_array().is_some_and(|operations| operations.iter().any(|one| one == "verify"))
        })
}

fn trim(number: &mut Cow<'_, [u8]>) {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.to_mut().drain(..zeros);
}

fn is_sound_modulus(modulus: &[u8]) -> bool {
    let leading = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = modulus.len().saturating_mul(8).saturating_sub(leading as usize);
    (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits)
        && modulus.last().is_some_and(|last| last % 2 == 1)
        && !is_roca(modulus)
}

/// Whether the modulus is a power of 65537 modulo each of these primes. All are that come from the generator of
/// CVE-2017-15361, whose keys can be factored; of others, one in two hundred million.
fn is_roca(modulus: &[u8]) -> bool {
    let primes = [11_u32, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    primes.into_iter().all(|prime| {
        let times = |a: u32, b: u32| a.wrapping_mul(b).checked_rem(prime).unwrap_or_default();
        let residue = modulus.iter().fold(0, |rest, byte| times(rest, 256).wrapping_add((*byte).into()));
        let residue = times(residue, 1);
        let generator = times(65_537, 1);
        std::iter::successors(Some(1), |power| Some(times(*power, generator)))
            .take(prime as usize)
            .any(|power| power == residue)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{b64, unb64};

    const RFC_7638: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    const RFC_7515_A3: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

    const RFC_8037_A2: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    fn without_alg() -> String {
        RFC_7638.replace("\"alg\":\"RS256\",", "")
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638_section_3_1() {
        let key = PublicJwk::parse(Alg::Rs256, RFC_7638).unwrap();
        assert_eq!(key.kid(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn the_thumbprint_of_an_ed25519_key_is_that_of_rfc_8037_appendix_a_3() {
        let key = PublicJwk::parse(Alg::EdDsa, RFC_8037_A2).unwrap();
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_key_serves_only_the_algorithm_of_its_type() {
        assert!(PublicJwk::parse(Alg::Es256, RFC_7515_A3).is_some());
        assert!(PublicJwk::parse(Alg::Rs256, RFC_7515_A3).is_none());
        assert!(PublicJwk::parse(Alg::Es256, RFC_7638).is_none());
        assert!(PublicJwk::parse(Alg::Es256, r#"{"kty":"oct","k":"AAAA"}"#).is_none());
        for alg in Alg::ALL {
            assert_eq!(PublicJwk::parse(alg, RFC_8037_A2).is_some(), alg == Alg::EdDsa);
            assert_eq!(PublicJwk::parse(alg, &without_alg()).is_some(), matches!(alg, Alg::Rs256 | Alg::Ps256));
        }
        assert!(PublicJwk::parse(Alg::Ps256, RFC_7638).is_none(), "the key says RS256");
    }

    #[test]
    fn a_key_of_p384_serves_es384_alone() {
        let key = p384::SecretKey::from_slice(&[7; 48]).unwrap().public_key();
        let point = p384::EncodedPoint::from(key);
        let (x, y) = (b64(point.x().unwrap()), b64(point.y().unwrap()));
        let jwk = |crv: &str, y: &str| format!(r#"{{"kty":"EC","crv":"{crv}","x":"{x}","y":"{y}"}}"#);
        for alg in Alg::ALL {
            assert_eq!(PublicJwk::parse(alg, &jwk("P-384", &y)).is_some(), alg == Alg::Es384);
            assert!(PublicJwk::parse(alg, &jwk("P-256", &y)).is_none());
            assert!(PublicJwk::parse(alg, &jwk("P-521", &y)).is_none());
            assert!(PublicJwk::parse(alg, &jwk("P-384", &x)).is_none(), "off the curve");
        }
        assert!(PublicJwk::parse(Alg::Es384, &RFC_7515_A3.replace("P-256", "P-384")).is_none());
    }

    #[test]
    fn a_key_of_small_order_or_in_another_encoding_is_refused() {
        let jwk = |x: [u8; 32]| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, b64(x));
        let mut beyond = [0xff; 32];
        for first in [0xed, 0xee, 0xff] {
            beyond[0] = first;
            assert!(PublicJwk::parse(Alg::EdDsa, &jwk(beyond)).is_none());
        }
        let one = [&[1][..], &[0; 31]].concat().try_into().unwrap();
        for weak in [[0; 32], one] {
            assert!(PublicJwk::parse(Alg::EdDsa, &jwk(weak)).is_none());
        }
    }

    #[test]
    fn a_key_for_another_use_is_refused() {
        let with = |member: &str| RFC_7515_A3.replace("\"crv\"", &format!("{member},\"crv\""));
        for fine in [r#""use":"sig""#, r#""key_ops":["verify"]"#, r#""alg":"ES256""#, r#""kid":"1","x5t":"?""#] {
            assert!(PublicJwk::parse(Alg::Es256, &with(fine)).is_some(), "{fine}");
        }
        for bad in [
            r#""use":"enc""#,
            r#""use":null"#,
            r#""key_ops":["encrypt"]"#,
            r#""key_ops":[]"#,
            r#""key_ops":"verify""#,
            r#""alg":"ES384""#,
            r#""alg":"none""#,
            r#""alg":["ES256"]"#,
            r#""alg":null"#,
            r#""x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU""#,
        ] {
            assert!(PublicJwk::parse(Alg::Es256, &with(bad)).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_leading_zero_does_not_make_another_key_of_an_rsa_key() {
        let jwk: Value = serde_json::from_str(RFC_7638).unwrap();
        let padded = [&[0], &*unb64(jwk["n"].as_str().unwrap()).unwrap()].concat();
        let padded = RFC_7638.replace(jwk["n"].as_str().unwrap(), &b64(padded)).replace("AQAB", "AAEAAQ");
        assert_eq!(PublicJwk::parse(Alg::Rs256, &padded), PublicJwk::parse(Alg::Rs256, RFC_7638));
    }

    #[test]
    fn a_modulus_from_the_generator_of_cve_2017_15361_is_refused() {
        let primes = [11_u32, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
        let product: rsa::BigUint = primes.into_iter().map(rsa::BigUint::from).product();
        let all = &product << (2048 - product.bits());
        let jwk = |n: rsa::BigUint| format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, b64(n.to_bytes_be()));
        for power in [1_u64, 65_537, 65_537 * 65_537] {
            assert!(PublicJwk::parse(Alg::Rs256, &jwk(&all + power)).is_none(), "{power}");
        }
        assert!(PublicJwk::parse(Alg::Rs256, &jwk(&all + 3_u32)).is_some());
    }

    #[test]
    fn rsa_exponents_that_sign_nothing_or_that_the_worker_does_not_take_are_refused() {
        for bad in ["AQ", "Ag", "AAE", "", "BQ", "AQAA", "AQAAAAE", "AQAB="] {
            assert!(PublicJwk::parse(Alg::Rs256, &RFC_7638.replace("AQAB", bad)).is_none(), "{bad}");
        }
        assert!(PublicJwk::parse(Alg::Rs256, &RFC_7638.replace("AQAB", "Aw")).is_some());
    }

    #[test]
    fn private_keys_points_off_the_curve_and_short_moduli_are_refused() {
        let private = RFC_7515_A3.replace("\"crv\"", "\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\",\"crv\"");
        assert!(PublicJwk::parse(Alg::Es256, &private).is_none());
        assert!(PublicJwk::parse(Alg::Es256, &RFC_7515_A3.replace("x_FE", "x_FF")).is_none());
        assert!(PublicJwk::parse(Alg::Es256, &RFC_7515_A3.replace("f83O", "")).is_none());
        assert!(PublicJwk::parse(Alg::Rs256, r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#).is_none());
        let seed = RFC_8037_A2.replace("\"crv\"", "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\",\"crv\"");
        assert!(PublicJwk::parse(Alg::EdDsa, &seed).is_none());
        assert!(PublicJwk::parse(Alg::EdDsa, &RFC_8037_A2.replace("11qY", "")).is_none());
        assert!(PublicJwk::parse(Alg::EdDsa, &RFC_8037_A2.replace("Ed25519", "X25519")).is_none());
        for part in PRIVATE {
            let part = RFC_7638.replace("\"kid\"", &format!("\"{part}\":\"AQAB\",\"kid\""));
            assert!(PublicJwk::parse(Alg::Rs256, &part).is_none(), "{part}");
        }
    }
}
