//! Signatures of credentials (§6.3.3, §6.5.5): over the authenticator data and the digest of the client data.

use super::CeremonyError;
use crate::crypto::sha256;
use crate::jose::PublicJwk;
use crate::ports::{Alg, Keys};
use std::borrow::Cow;

/// Whether `signature` is by that key.
pub(super) async fn verify(
    keys: &dyn Keys,
    key: &PublicJwk,
    (authenticator_data, client_data): (&[u8], &[u8]),
    signature: &[u8],
) -> Result<(), CeremonyError> {
    let input = [authenticator_data, sha256(client_data).bytes()].concat();
    let raw = match key.alg() {
        Alg::Es256 => raw(signature).map(|raw| Cow::Owned(raw.to_vec())),
        _ => Some(Cow::Borrowed(signature)),
    };
    let raw = raw.ok_or(CeremonyError::BadSignature)?;
    let is_valid = keys.verify(key.as_key(), &input, &raw).await?;
    is_valid.then_some(()).ok_or(CeremonyError::BadSignature)
}

/// The two numbers of an `Ecdsa-Sig-Value` in DER (RFC 3279 §2.2.3), each as long as the field: the form of JWS (RFC 7518 §3.4),
/// which the port takes.
fn raw(der: &[u8]) -> Option<[u8; 64]> {
    let [0x30, length, body @ ..] = der else { return None };
    let (r, rest) = integer(body)?;
    let (s, rest) = integer(rest)?;
    let mut raw = [0; 64];
    let (first, second) = raw.split_at_mut(32);
    first.copy_from_slice(&r);
    second.copy_from_slice(&s);
    (usize::from(*length) == body.len() && rest.is_empty()).then_some(raw)
}

/// A positive INTEGER of at most 32 bytes in its one encoding (X.690 §8.3), and what follows it.
fn integer(bytes: &[u8]) -> Option<([u8; 32], &[u8])> {
    let [0x02, length, rest @ ..] = bytes else { return None };
    let (bytes, rest) = rest.split_at_checked((*length).into())?;
    let digits = match bytes {
        [0, digits @ ..] if digits.first().is_some_and(|digit| *digit >= 0x80) => digits,
        [1..0x80, ..] => bytes,
        _ => return None,
    };
    let mut number = [0; 32];
    number.get_mut(32_usize.checked_sub(digits.len())?..)?.copy_from_slice(digits);
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::signature::Signer;

    #[test]
    fn every_signature_of_p256_becomes_the_raw_one() {
        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let mut lengths = std::collections::BTreeSet::new();
        for n in 0..400_u32 {
            let signature: p256::ecdsa::Signature = key.sign(&n.to_be_bytes());
            let der = signature.to_der();
            lengths.insert(der.as_bytes().len());
            assert_eq!(raw(der.as_bytes()).unwrap(), *signature.to_bytes());
        }
        assert!(lengths.len() > 2, "short numbers were among them: {lengths:?}");
    }

    #[test]
    fn a_signature_has_one_encoding() {
        assert!(raw(b"\x30\x06\x02\x01\x01\x02\x01\x01").is_some());
        assert!(raw(b"\x30\x07\x02\x02\x00\x80\x02\x01\x01").is_some());
        let large = [&b"\x30\x27\x02\x22\x00"[..], &[0x80; 33], b"\x02\x01\x01"].concat();
        for bad in [
            &b""[..],
            b"\x30",
            b"\x30\x00",
            b"\x31\x06\x02\x01\x01\x02\x01\x01",
            b"\x30\x05\x02\x01\x01\x02\x01\x01",
            b"\x30\x07\x02\x01\x01\x02\x01\x01",
            b"\x30\x07\x02\x01\x01\x02\x01\x01\x00",
            b"\x30\x81\x06\x02\x01\x01\x02\x01\x01",
            b"\x30\x80\x02\x01\x01\x02\x01\x01\x00\x00",
            b"\x30\x06\x03\x01\x01\x02\x01\x01",
            b"\x30\x06\x02\x01\x01\x02\x01\x00",
            b"\x30\x06\x02\x01\x00\x02\x01\x01",
            b"\x30\x06\x02\x01\x80\x02\x01\x01",
            b"\x30\x05\x02\x00\x02\x01\x01",
            b"\x30\x07\x02\x02\x00\x01\x02\x01\x01",
            b"\x30\x08\x02\x03\x00\x00\x80\x02\x01\x01",
            b"\x30\x07\x02\x81\x01\x01\x02\x01\x01",
            b"\x30\x06\x02\x01\x01\x02\x02\x01",
            b"\x30\x03\x02\x01\x01",
            &large,
        ] {
            assert_eq!(raw(bad), None, "{bad:?}");
        }
    }
}
