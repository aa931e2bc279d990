//! Asymmetric cryptography with `p256` and `rsa`. RSA keys take long to make, so a file holds some, handed out in turn.

use super::faults::{Faults, Port};
use p256::ecdsa::signature::{Signer, Verifier};
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, LazyLock, Mutex};
use writ::crypto::{b64, sha256, unb64};
use writ::ports::{Alg, Entropy, KeyPair, Keys, Pending, PrivateKey, PublicKey, Unavailable};

const PEM: &str = include_str!("keys/rsa.pem");

/// The RSA keys of the file as PKCS#8 DER. Parsing one is dear too.
static RSA: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let blocks = PEM.split("-----END PRIVATE KEY-----").filter(|block| block.contains("BEGIN"));
    blocks.map(|block| der(&format!("{}-----END PRIVATE KEY-----\n", block.trim_start()))).collect()
});

static PARSED: LazyLock<Mutex<HashMap<Vec<u8>, Arc<RsaPrivateKey>>>> = LazyLock::new(Mutex::default);

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
/// verifier.
pub fn verifies(alg: Alg, jwk: &str, input: &[u8], signature: &[u8]) -> bool {
    let jwk: Value = serde_json::from_str(jwk).unwrap();
    let member = |name: &str| unb64(jwk[name].as_str().unwrap()).unwrap();
    match alg {
        Alg::Es256 => {
            let point = [&[4], &*member("x"), &*member("y")].concat();
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).unwrap();
            p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(input, &signature).is_ok())
        }
        Alg::Rs256 => {
            let number = |name| BigUint::from_bytes_be(&member(name));
            let key = RsaPublicKey::new(number("n"), number("e")).unwrap();
            key.verify(pkcs1v15(), sha256(input).bytes(), signature).is_ok()
        }
    }
}

/// RSASSA-PKCS1-v1_5 with SHA-256; the prefix is that of RFC 8017 §9.2.
fn pkcs1v15() -> Pkcs1v15Sign {
    let prefix = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
        0x20,
    ];
    Pkcs1v15Sign { hash_len: Some(32), prefix: Box::new(prefix) }
}

/// The signature port.
pub struct NativeKeys {
    entropy: Rc<dyn Entropy>,
    handed_out: Cell<usize>,
    made: RefCell<Vec<Vec<u8>>>,
    faults: Rc<Faults>,
}

impl NativeKeys {
    pub fn new(entropy: Rc<dyn Entropy>, faults: Rc<Faults>) -> Self {
        Self { entropy, handed_out: Cell::new(0), made: RefCell::default(), faults }
    }

    /// The private halves of every key pair so far, as PKCS#8 DER.
    pub fn made(&self) -> Vec<Vec<u8>> {
        self.made.borrow().clone()
    }

    fn make(&self, alg: Alg) -> KeyPair {
        let pair = self.pair(alg);
        self.made.borrow_mut().push(pair.pkcs8.clone());
        pair
    }

    fn pair(&self, alg: Alg) -> KeyPair {
        match alg {
            Alg::Es256 => {
                let mut bytes = [0; 32];
                self.entropy.fill(&mut bytes);
                // About one in 2^32 of all strings is no key.
                let key = p256::SecretKey::from_slice(&bytes).unwrap();
                let point =
                    p256::ecdsa::VerifyingKey::from(p256::ecdsa::SigningKey::from(&key)).to_encoded_point(false);
                let jwk =
                    json!({"kty": "EC", "crv": "P-256", "x": b64(point.x().unwrap()), "y": b64(point.y().unwrap())});
                KeyPair { pkcs8: key.to_pkcs8_der().unwrap().as_bytes().to_vec(), jwk: jwk.to_string() }
            }
            Alg::Rs256 => {
                let n = self.handed_out.replace(self.handed_out.get() + 1);
                let pkcs8 = RSA[n % RSA.len()].clone();
                KeyPair { jwk: public_rsa(&rsa_key(&pkcs8)).to_string(), pkcs8 }
            }
        }
    }
}

fn sign(alg: Alg, pkcs8: &[u8], input: &[u8]) -> Vec<u8> {
    match alg {
        Alg::Es256 => {
            let key = p256::ecdsa::SigningKey::from_pkcs8_der(pkcs8).unwrap();
            let signature: p256::ecdsa::Signature = key.sign(input);
            signature.to_bytes().to_vec()
        }
        Alg::Rs256 => rsa_key(pkcs8).sign(pkcs1v15(), sha256(input).bytes()).unwrap(),
    }
}

impl Keys for NativeKeys {
    fn generate(&self, alg: Alg) -> Pending<'_, Result<KeyPair, Unavailable>> {
        Box::pin(
            async move { self.faults.pass(Port::Keys, format!("generate {}", alg.as_str()), || self.make(alg)).await },
        )
    }

    fn sign<'a>(&'a self, key: PrivateKey<'a>, input: &'a [u8]) -> Pending<'a, Result<Vec<u8>, Unavailable>> {
        let act = move || sign(key.alg, key.pkcs8, input);
        Box::pin(async move { self.faults.pass(Port::Keys, format!("sign {}", key.id), act).await })
    }

    fn verify<'a>(
        &'a self,
        key: PublicKey<'a>,
        input: &'a [u8],
        signature: &'a [u8],
    ) -> Pending<'a, Result<bool, Unavailable>> {
        let act = move || verifies(key.alg, key.jwk, input, signature);
        Box::pin(async move { self.faults.pass(Port::Keys, format!("verify {}", key.id), act).await })
    }
}
