//! Points of elliptic curves that a public key may be (RFC 8725 §3.4).
//!
//! 1. The coordinates of P-256 and P-384 are as long as the field (RFC 7518 §6.2.1.2), below its prime, and on the curve.
//!    Both groups have a prime order, so no point of them is weak.
//! 2. A point of Ed25519 is in its one encoding (RFC 8032 §5.1.3) and of no small order: under a key of small order anybody
//!    can sign. Whether its coordinate belongs to a point at all is left to the signature port, with which a key that is
//!    none verifies nothing.

use rsa::BigUint;

/// A curve `y² = x³ - 3x + b` over a prime field (SEC 1 §2.2.1), in hexadecimal.
struct Curve {
    bytes: usize,
    prime: &'static [u8],
    b: &'static [u8],
}

/// SEC 2 §2.4.2.
const P256: Curve = Curve {
    bytes: 32,
    prime: b"ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
    b: b"5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
};
/// SEC 2 §2.5.1.
const P384: Curve = Curve {
    bytes: 48,
    prime: b"fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
    b: b"b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
};

/// Whether these are the coordinates of a point of P-256.
pub fn is_on_p256(x: &[u8], y: &[u8]) -> bool {
    is_on(&P256, x, y).unwrap_or(false)
}

/// Whether these are the coordinates of a point of P-384.
pub fn is_on_p384(x: &[u8], y: &[u8]) -> bool {
    is_on(&P384, x, y).unwrap_or(false)
}

#[expect(clippy::arithmetic_side_effects, reason = "these numbers grow as they need to, and no prime is zero")]
fn is_on(curve: &Curve, x: &[u8], y: &[u8]) -> Option<bool> {
    if x.len() != curve.bytes || y.len() != curve.bytes {
        return None;
    }
    let (prime, b) = (BigUint::parse_bytes(curve.prime, 16)?, BigUint::parse_bytes(curve.b, 16)?);
    let (x, y) = (BigUint::from_bytes_be(x), BigUint::from_bytes_be(y));
    if x >= prime || y >= prime {
        return None;
    }
    // x³ - 3x + b = x (x² + (p - 3)) + b
    let right = ((&x * &x + (&prime - 3_u32)) * &x + b) % &prime;
    Some(&y * &y % &prime == right)
}

/// The sign of `x` in the last byte of an encoded point.
const SIGN: u8 = 0x80;

/// The prime of Ed25519, 2²⁵⁵ - 19, in little-endian order (RFC 8032 §5.1).
const ED25519_PRIME: [u8; 32] = little_end(0xed, 0xff, 0x7f);

/// The `y` of all points whose order divides 8, in little-endian order: of order 4, 1, 2, and the two of order 8.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    little_end(0x01, 0x00, 0x00),
    little_end(0xec, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

const fn little_end(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut bytes = [between; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// Whether an Ed25519 key is canonical and of no small order.
pub fn is_sound_ed25519(x: &[u8]) -> bool {
    let Ok(mut y) = <[u8; 32]>::try_from(x) else { return false };
    let [.., last] = &mut y;
    *last &= !SIGN;
    let is_canonical = y.iter().rev().lt(ED25519_PRIME.iter().rev());
    is_canonical && !SMALL_ORDER.contains(&y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::sha256;
    use p256::elliptic_curve::sec1::ToEncodedPoint;

    #[test]
    fn every_public_key_of_p256_and_p384_is_on_its_curve_and_its_neighbours_are_not() {
        for n in 1..50_u8 {
            let seed = *sha256([n]).bytes();
            let small = p256::SecretKey::from_slice(&seed).unwrap().public_key().to_encoded_point(false);
            let long = [&seed[..], &seed[..16]].concat();
            let large = p384::SecretKey::from_slice(&long).unwrap().public_key().to_encoded_point(false);
            let is_on_p256 = |x: &[u8], y: &[u8]| is_on_p256(x, y) && !is_on_p384(x, y);
            let is_on_p384 = |x: &[u8], y: &[u8]| is_on_p384(x, y) && !super::is_on_p256(x, y);
            check(small.x().unwrap(), small.y().unwrap(), is_on_p256);
            check(large.x().unwrap(), large.y().unwrap(), is_on_p384);
        }
    }

    fn check(x: &[u8], y: &[u8], is_on: impl Fn(&[u8], &[u8]) -> bool) {
        assert!(is_on(x, y));
        let mut near = y.to_vec();
        near[0] ^= 1;
        for (x, y) in [(x, &*near), (&near, y), (y, x), (&x[1..], y), (x, &y[1..]), (&[&[0], x].concat(), y), (x, &[])]
        {
            assert!(!is_on(x, y));
        }
    }

    #[test]
    fn the_origin_and_coordinates_beyond_the_prime_are_no_points() {
        for (curve, is_on) in [(P256, is_on_p256 as fn(&[u8], &[u8]) -> bool), (P384, is_on_p384)] {
            let number = |text: &[u8]| BigUint::parse_bytes(text, 16).unwrap();
            let bytes = |number: &BigUint| {
                let bytes = number.to_bytes_be();
                [vec![0; curve.bytes - bytes.len()], bytes].concat()
            };
            assert!(!is_on(&bytes(&number(b"0")), &bytes(&number(b"0"))));
            // A point with a small `x`: the same `x` beyond the prime is another spelling of it.
            let prime = number(curve.prime);
            let half = (&prime + 1_u32) >> 2;
            let (x, y) = (0_u32..)
                .find_map(|n| {
                    let x = BigUint::from(n);
                    let square = (&x * &x * &x + (&prime - 3_u32) * &x + number(curve.b)) % &prime;
                    let y = square.modpow(&half, &prime);
                    (&y * &y % &prime == square).then_some((x, y))
                })
                .unwrap();
            assert!(is_on(&bytes(&x), &bytes(&y)));
            assert!(!is_on(&bytes(&(&x + &prime)), &bytes(&y)));
        }
    }

    #[test]
    fn no_key_of_small_order_in_any_encoding_is_sound_and_keys_of_people_are() {
        let mut weak = 0;
        let beyond = [little_end(0xed, 0xff, 0x7f), little_end(0xee, 0xff, 0x7f)];
        for mut bytes in SMALL_ORDER.into_iter().chain(beyond) {
            for sign in [0, SIGN] {
                bytes[31] = bytes[31] & !SIGN | sign;
                assert!(!is_sound_ed25519(&bytes), "{bytes:?}");
                weak += usize::from(ed25519_dalek::VerifyingKey::from_bytes(&bytes).is_ok_and(|key| key.is_weak()));
            }
        }
        assert!(weak >= 10, "the crate agrees about {weak}");
        for n in 1..50 {
            let key = ed25519_dalek::SigningKey::from_bytes(sha256([n]).bytes()).verifying_key();
            assert!(is_sound_ed25519(key.as_bytes()));
        }
    }

    #[test]
    fn an_ed25519_key_has_one_encoding() {
        for first in 0xed..=0xff {
            for sign in [0x7f, 0xff] {
                assert!(!is_sound_ed25519(&little_end(first, 0xff, sign)));
            }
        }
        assert!(is_sound_ed25519(&little_end(0xeb, 0xff, 0x7f)));
        assert!(is_sound_ed25519(&little_end(0x02, 0x00, 0x00)));
        assert!(!is_sound_ed25519(&[9; 31]) && !is_sound_ed25519(&[9; 33]));
    }
}
