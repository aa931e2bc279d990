//! Public keys as COSE has them (RFC 9053 §7, §6.5.1.1 of Web Authentication).
//!
//! 1. A key names its algorithm, and has the required members and no others, so nothing private either.
//! 2. Points are uncompressed, and sound in the sense of [`PublicJwk`].

use super::cbor::Item;
use crate::crypto::b64;
use crate::jose::PublicJwk;
use crate::ports::Alg;
use serde_json::json;

/// The algorithms that are asked for, with their numbers in COSE (RFC 9053 §2), the preferred one first.
pub(super) const ALGORITHMS: [(Alg, i64); 2] = [(Alg::Es256, -7), (Alg::EdDsa, -8)];

/// The labels of RFC 9052 §7.1 and RFC 9053 §7.1.
const KTY: i64 = 1;
const ALG: i64 = 3;
const CRV: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;

/// The number of an algorithm, if it is asked for.
pub(super) fn number(alg: Alg) -> Option<i64> {
    ALGORITHMS.iter().find(|(known, _)| *known == alg).map(|(_, number)| *number)
}

/// The public key that a COSE_Key is.
pub(super) fn public_key(key: &Item<'_>) -> Option<PublicJwk> {
    let Item::Map(members) = key else { return None };
    let number = |label: i64| match key.get(&Item::Int(label)) {
        Some(Item::Int(number)) => Some(*number),
        _ => None,
    };
    let coordinate = |label: i64| key.get(&Item::Int(label)).and_then(Item::bytes).map(b64);
    let (alg, jwk) = match (number(KTY)?, number(ALG)?, number(CRV)?, members.len()) {
        (2, -7, 1, 5) => (Alg::Es256, json!({"kty": "EC", "crv": "P-256", "x": coordinate(X)?, "y": coordinate(Y)?})),
        (1, -8, 6, 4) => (Alg::EdDsa, json!({"kty": "OKP", "crv": "Ed25519", "x": coordinate(X)?})),
        _ => return None,
    };
    PublicJwk::parse(alg, &jwk.to_string())
}
