//! Asymmetric cryptography with crates, for the signature port of the tests and for everybody who is not Writ: [`Signer`]
//! signs whatever a test wants signed. RSA keys take long to make, so a file holds some.

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::rand_core::{CryptoRng, RngCore};
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPrivateKey, RsaPublicKey};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};
use writ::crypto::{b64, sha256, unb64};
use writ::ports::{Alg, KeyPair, Keys, Pending, PrivateKey, PublicKey, Unavailable};

const PEM: &str = include_str!("keys/rsa.pem");

/// The RSA keys of the file as PKCS#8 DER. Parsing one is dear too.
static RSA: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let blocks = PEM.split("-----END PRIVATE KEY-----").filter(|block| block.contains("BEGIN"));
    blocks.map(|block| der(&format!("{}-----END PRIVATE KEY-----\n", block.trim_start()))).collect()
});

static PARSED: LazyLock<Mutex<HashMap<Vec<u8>, Arc<RsaPrivateKey>>>> = LazyLock::new(Mutex::default);

/// A key of P-256 calculates its public half when it is read.
static PARSED_P256: LazyLock<Mutex<HashMap<Vec<u8>, p256::ecdsa::SigningKey>>> = LazyLock::new(Mutex::default);

fn p256_key(pkcs8: &[u8]) -> p256::ecdsa::SigningKey {
    if let Some(key) = PARSED_P256.lock().unwrap().get(pkcs8) {
        return key.clone();
    }
    let key = p256::ecdsa::SigningKey::from_pkcs8_der(pkcs8).unwrap();
    PARSED_P256.lock().unwrap().insert(pkcs8.to_vec(), key.clone());
    key
}

fn der(pem: &str) -> Vec<u8> {
    RsaPrivateKey::from_pkcs8_pem(pem).unwrap().to_pkcs8_der().unwrap().as_bytes().to_vec()
}

fn rsa_key(pkcs8: &[u8]) -> Arc<RsaPrivateKey> {
    let mut parsed = PARSED.lock().unwrap();
    parsed.entry(pkcs8.to_vec()).or_insert_with(|| Arc::new(RsaPrivateKey::from_pkcs8_der(pkcs8).unwrap())).clone()
}

/// The n-th RSA key of the file as PEM text, for service accounts of tests.
pub fn rsa_pem(n: usize) -> String {
    let block = PEM.split_inclusive("-----END PRIVATE KEY-----\n").nth(n).unwrap();
    block.to_owned()
}

/// The public half of [`rsa_pem`] as JWK text.
pub fn rsa_jwk(n: usize) -> String {
    public_rsa(&rsa_key(&RSA[n])).to_string()
}

fn public_rsa(key: &RsaPrivateKey) -> Value {
    json!({"kty": "RSA", "n": b64(key.n().to_bytes_be()), "e": b64(key.e().to_bytes_be())})
}

/// Whether `signature` over `input` was made by the private half of `jwk`. Outside of the port, for tests that play a
/// verifier. A key that is none verifies nothing, as the port has it.
pub fn verifies(alg: Alg, jwk: &str, input: &[u8], signature: &[u8]) -> bool {
    checked(alg, jwk, input, signature).unwrap_or(false)
}

fn checked(alg: Alg, jwk: &str, input: &[u8], signature: &[u8]) -> Option<bool> {
    let jwk: Value = serde_json::from_str(jwk).ok()?;
    let member = |name: &str| jwk[name].as_str().and_then(unb64);
    let rsa = || {
        let number = |name| Some(BigUint::from_bytes_be(&member(name)?));
        RsaPublicKey::new_with_max_size(number("n")?, number("e")?, 8192).ok()
    };
    Some(match alg {
        Alg::Es256 => {
            let point = [&[4], &*member("x")?, &*member("y")?].concat();
            if MADE.lock().unwrap().contains(&name_of(&[&point, input, signature])) {
                return Some(true);
            }
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
            p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(input, &signature).is_ok())
        }
        Alg::Es384 => {
            let point = [&[4], &*member("x")?, &*member("y")?].concat();
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
            p384::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(input, &signature).is_ok())
        }
        Alg::EdDsa => {
            let key = ed25519_dalek::VerifyingKey::try_from(&*member("x")?).ok()?;
            ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| key.verify(input, &signature).is_ok())
        }
        Alg::Rs256 => rsa()?.verify(pkcs1v15(), sha256(input).bytes(), signature).is_ok(),
        Alg::Ps256 => rsa()?.verify(Pss::new::<Sha256>(), sha256(input).bytes(), signature).is_ok(),
    })
}

/// RSASSA-PKCS1-v1_5 with SHA-256; the prefix is that of RFC 8017 §9.2.
fn pkcs1v15() -> Pkcs1v15Sign {
    let prefix = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
        0x20,
    ];
    Pkcs1v15Sign { hash_len: Some(32), prefix: Box::new(prefix) }
}

/// The n-th RSA key of the file.
pub fn rsa_pair(n: usize) -> KeyPair {
    let pkcs8 = RSA[n % RSA.len()].clone();
    KeyPair { jwk: public_rsa(&rsa_key(&pkcs8)).to_string(), pkcs8 }
}

/// PKCS#8 and JWK.
type Halves = (Vec<u8>, String);

/// Tests are seeded, so they ask for the same pairs again and again.
static P256_PAIRS: LazyLock<Mutex<HashMap<[u8; 32], Halves>>> = LazyLock::new(Mutex::default);

/// The key pair of a secret.
pub fn pair_of(alg: Alg, secret: &[u8; 32]) -> KeyPair {
    if alg == Alg::EdDsa {
        let key = ed25519_dalek::SigningKey::from_bytes(secret);
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(key.verifying_key())});
        return KeyPair { pkcs8: key.to_pkcs8_der().unwrap().as_bytes().to_vec(), jwk: jwk.to_string() };
    }
    if alg == Alg::Es384 {
        let key = p384::SecretKey::from_slice(&[&secret[..], &secret[..16]].concat()).unwrap();
        let point = p384::ecdsa::VerifyingKey::from(p384::ecdsa::SigningKey::from(&key)).to_encoded_point(false);
        let jwk = json!({"kty": "EC", "crv": "P-384", "x": b64(point.x().unwrap()), "y": b64(point.y().unwrap())});
        return KeyPair { pkcs8: key.to_pkcs8_der().unwrap().as_bytes().to_vec(), jwk: jwk.to_string() };
    }
    let mut made = P256_PAIRS.lock().unwrap();
    let (pkcs8, jwk) = made.entry(*secret).or_insert_with(|| p256_pair(secret)).clone();
    KeyPair { pkcs8, jwk }
}

fn p256_pair(secret: &[u8; 32]) -> Halves {
    // About one in 2^32 of all strings is no key.
    let key = p256::SecretKey::from_slice(secret).unwrap();
    let point = p256::ecdsa::VerifyingKey::from(p256::ecdsa::SigningKey::from(&key)).to_encoded_point(false);
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64(point.x().unwrap()), "y": b64(point.y().unwrap())});
    (key.to_pkcs8_der().unwrap().as_bytes().to_vec(), jwk.to_string())
}

/// What was signed, by algorithm, key and input: no signature here is random, and tests begin alike.
static SIGNED: LazyLock<Mutex<HashMap<Vec<u8>, Vec<u8>>>> = LazyLock::new(Mutex::default);

/// The signatures of P-256 that were made here, by public key, input and signature: to verify one takes long, and can only succeed.
static MADE: LazyLock<Mutex<HashSet<Vec<u8>>>> = LazyLock::new(Mutex::default);

fn name_of(parts: &[&[u8]]) -> Vec<u8> {
    sha256(parts.iter().flat_map(|part| sha256(part).bytes().to_vec()).collect::<Vec<_>>()).bytes().to_vec()
}

/// The raw JWS signature.
pub fn sign(alg: Alg, pkcs8: &[u8], input: &[u8]) -> Vec<u8> {
    let name = name_of(&[alg.as_str().as_bytes(), pkcs8, input]);
    if let Some(known) = SIGNED.lock().unwrap().get(&name) {
        return known.clone();
    }
    let signature = calculate(alg, pkcs8, input);
    if alg == Alg::Es256 {
        let point = p256_key(pkcs8).verifying_key().to_encoded_point(false);
        MADE.lock().unwrap().insert(name_of(&[point.as_bytes(), input, &signature]));
    }
    SIGNED.lock().unwrap().insert(name, signature.clone());
    signature
}

fn calculate(alg: Alg, pkcs8: &[u8], input: &[u8]) -> Vec<u8> {
    match alg {
        Alg::Es256 => {
            let signature: p256::ecdsa::Signature = p256_key(pkcs8).sign(input);
            signature.to_bytes().to_vec()
        }
        Alg::Es384 => {
            let signature: p384::ecdsa::Signature = p384::ecdsa::SigningKey::from_pkcs8_der(pkcs8).unwrap().sign(input);
            signature.to_bytes().to_vec()
        }
        Alg::EdDsa => ed25519_dalek::SigningKey::from_pkcs8_der(pkcs8).unwrap().sign(input).to_vec(),
        Alg::Rs256 => rsa_key(pkcs8).sign(pkcs1v15(), sha256(input).bytes()).unwrap(),
        Alg::Ps256 => {
            let mut salt = Salt(sha256(input).bytes().to_vec());
            rsa_key(pkcs8).sign_with_rng(&mut salt, Pss::new::<Sha256>(), sha256(input).bytes()).unwrap()
        }
    }
}

/// The salt of RSASSA-PSS, the same for the same input so that tests can be repeated.
struct Salt(Vec<u8>);

impl RngCore for Salt {
    fn next_u32(&mut self) -> u32 {
        rsa::rand_core::impls::next_u32_via_fill(self)
    }
    fn next_u64(&mut self) -> u64 {
        rsa::rand_core::impls::next_u64_via_fill(self)
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = sha256(&self.0).bytes().to_vec();
            *byte = self.0[0];
        }
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Salt {}

/// Somebody who signs: a client, an issuer, the holder of a DPoP key, or an attacker.
#[derive(Clone)]
pub struct Signer {
    pub alg: Alg,
    /// The public JWK as JSON text, without `alg`, `kid` and `use`.
    pub jwk: String,
    pkcs8: Vec<u8>,
}

impl Signer {
    /// The n-th key of that algorithm, always the same; RS256 and PS256 share theirs.
    pub fn new(alg: Alg, n: usize) -> Self {
        let pair = match alg {
            Alg::Es256 | Alg::Es384 | Alg::EdDsa => pair_of(alg, sha256(format!("{} {n}", alg.as_str())).bytes()),
            Alg::Rs256 | Alg::Ps256 => rsa_pair(n),
        };
        Self { alg, jwk: pair.jwk, pkcs8: pair.pkcs8 }
    }

    /// The thumbprint of RFC 7638.
    pub fn thumbprint(&self) -> String {
        writ::jose::PublicJwk::parse(self.alg, &self.jwk).unwrap().kid().to_owned()
    }

    /// A key set with this key under that `kid`.
    pub fn jwks(&self, kid: &str) -> Value {
        let mut jwk: Value = serde_json::from_str(&self.jwk).unwrap();
        jwk["kid"] = kid.into();
        json!({"keys": [jwk]})
    }

    /// A JWT with any header and any claims; the header gets the right `alg` unless it has one.
    pub fn jwt(&self, mut header: Value, claims: &Value) -> String {
        if header.get("alg").is_none() {
            header["alg"] = self.alg.as_str().into();
        }
        self.jws(&header.to_string(), &claims.to_string())
    }

    /// A compact JWS over any text, whether or not it is JSON.
    pub fn jws(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", b64(header), b64(payload));
        let signature = sign(self.alg, &self.pkcs8, input.as_bytes());
        format!("{input}.{}", b64(signature))
    }

    /// The raw JWS signature over anything.
    pub fn sign(&self, input: &[u8]) -> Vec<u8> {
        sign(self.alg, &self.pkcs8, input)
    }

    /// A DPoP proof (RFC 9449 §4.2) with these claims.
    pub fn proof(&self, claims: &Value) -> String {
        let jwk: Value = serde_json::from_str(&self.jwk).unwrap();
        self.jwt(json!({"typ": "dpop+jwt", "jwk": jwk}), claims)
    }
}

/// The signature port of somebody who only verifies and never fails.
pub struct Verifier;

impl Keys for Verifier {
    fn generate(&self, _: Alg) -> Pending<'_, Result<KeyPair, Unavailable>> {
        Box::pin(async { Err(Unavailable("a verifier's key")) })
    }

    fn sign<'a>(&'a self, _: PrivateKey<'a>, _: &'a [u8]) -> Pending<'a, Result<Vec<u8>, Unavailable>> {
        Box::pin(async { Err(Unavailable("a verifier's key")) })
    }

    fn verify<'a>(
        &'a self,
        key: PublicKey<'a>,
        input: &'a [u8],
        signature: &'a [u8],
    ) -> Pending<'a, Result<bool, Unavailable>> {
        Box::pin(async move { Ok(verifies(key.alg, key.jwk, input, signature)) })
    }
}

/// What a future gives that has nothing to wait for.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for something"),
    }
}
