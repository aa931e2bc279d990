//! Assertions signed with a stored private key (RFC 7523 §3), and reading such keys.
//!
//! 1. RSA of 2048 to 4096 bits signs RS256, P-256 signs ES256. PKCS#8 (RFC 5208), or PKCS#1 (RFC 8017 A.1.2) as GitHub gives it out.
//! 2. The `rsa` crate only reads the key; the signature port signs.
//! 3. A refusal of a key names the member and holds no value.

use super::fields::{self, broken, invalid};
use super::{Credential, ExchangeRequest};
use crate::context::Cx;
use crate::crypto::{Secret, b64, sha256, unb64};
use crate::error::Result;
use crate::jose::Unsigned;
use crate::ports::{Alg, PrivateKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, ObjectIdentifier, PrivateKeyInfo};
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// RFC 5480 §2.1.1.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// RFC 5480 §2.1.1.1: P-256.
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// `version` and the head of `privateKey` in an ECPrivateKey of 256 bits (RFC 5915 §3).
const SEC1: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 0x20];

/// A private key as it is sealed.
#[derive(Serialize, Deserialize)]
pub struct StoredKey {
    /// What it signs with.
    pub alg: Alg,
    /// PKCS#8 DER, base64url.
    pub private_key: String,
    /// The SHA-256 digest of the public key (RFC 5280 §4.1.2.7), base64; of RSA keys alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

impl Drop for StoredKey {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.private_key);
    }
}

/// The DER of the one private key in a text (RFC 7468 §2, §10), and whether it is PKCS#1. White space counts for nothing, wherever it
/// stands, nor does what stands around the key.
fn read_pem(text: &str) -> Option<(Secret<Vec<u8>>, bool)> {
    let between = |begin: &str, end: &str| text.split_once(begin)?.1.split_once(end).map(|(body, _)| body);
    let pkcs8 = between("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----").map(|body| (body, false));
    let pkcs1 = || between("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----").map(|body| (body, true));
    let (body, is_pkcs1) = pkcs8.or_else(pkcs1)?;
    let mut base64 = String::with_capacity(body.len());
    base64.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    let der = STANDARD.decode(Secret::new(base64).expose()).ok().map(Secret::new)?;
    Some((der, is_pkcs1))
}

/// Reads the RSA key of a PEM.
pub fn read_rsa(pem: &Secret<String>) -> Result<StoredKey> {
    let read = |der: &Secret<Vec<u8>>, is_pkcs1| match is_pkcs1 {
        true => RsaPrivateKey::from_pkcs1_der(der.expose()).ok(),
        false => RsaPrivateKey::from_pkcs8_der(der.expose()).ok(),
    };
    let key = read_pem(pem.expose()).and_then(|(der, is_pkcs1)| read(&der, is_pkcs1)).ok_or_else(|| {
        invalid("`secret.private_key` must be an RSA key in PEM (`BEGIN PRIVATE KEY` or `BEGIN RSA PRIVATE KEY`)")
    })?;
    if !(2048..=4096).contains(&key.n().bits()) {
        return Err(invalid("`secret.private_key` must have 2048 to 4096 bits"));
    }
    let unwritable = || invalid("`secret.private_key` cannot be written as PKCS#8");
    let der = key.to_pkcs8_der().map_err(|_| unwritable())?;
    let public = RsaPublicKey::from(&key).to_public_key_der().map_err(|_| unwritable())?;
    let fingerprint = Some(STANDARD.encode(sha256(public.as_bytes()).bytes()));
    Ok(StoredKey { alg: Alg::Rs256, private_key: b64(der.as_bytes()), fingerprint })
}

/// Reads a secret that is an RSA key alone.
pub fn read_rsa_secret(secret: Value) -> Result<Credential> {
    let [pem] = fields::secret(secret, ["private_key"], true)?;
    fields::seal(&read_rsa(&pem)?, "")
}

/// Reads the key of a PEM: P-256 or RSA.
pub fn read_key(pem: &Secret<String>) -> Result<StoredKey> {
    let curve = read_pem(pem.expose()).and_then(|(der, _)| {
        let key = PrivateKeyInfo::try_from(der.expose().as_slice()).ok()?;
        key.algorithm.assert_oids(EC, P256).ok()?;
        let is_sec1 = key.private_key.get(2..7) == Some(&SEC1) && key.private_key.len() >= 39;
        is_sec1.then(|| StoredKey { alg: Alg::Es256, private_key: b64(der.expose()), fingerprint: None })
    });
    curve.map_or_else(|| read_rsa(pem), Ok)
}

/// What an assertion says beside its claims.
pub struct Head<'a> {
    /// The key's name at the service; empty: none is said.
    pub kid: &'a str,
    /// `iat`, in seconds.
    pub iat: i64,
    /// `exp`, in seconds.
    pub exp: i64,
}

/// Signs an assertion with the key of the credential.
pub async fn sign(
    cx: &Cx<'_>,
    request: &ExchangeRequest<'_>,
    key: &StoredKey,
    head: Head<'_>,
    claims: &impl Serialize,
) -> Result<Secret<String>> {
    let pkcs8 = Secret::new(unb64(&key.private_key).ok_or_else(broken)?);
    let unsigned = Unsigned::new(key.alg, "JWT", head.kid, claims, (head.iat, head.exp)).ok_or_else(broken)?;
    let private = PrivateKey { alg: key.alg, id: request.credential, pkcs8: pkcs8.expose() };
    let signature = cx.world.keys.sign(private, unsigned.input()).await?;
    Ok(Secret::new(unsigned.signed(&signature)))
}
