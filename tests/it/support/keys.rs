//! The signature port with crates instead of WebCrypto. It remembers what it made, and fails on demand.

use super::faults::{Faults, Port};
use super::signer::{pair_of, rsa_pair, sign};
#[allow(unused_imports, reason = "each test target uses a part of the support")]
pub use super::signer::{rsa_jwk, rsa_pem, verifies};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use writ::ports::{Alg, Entropy, KeyPair, Keys, Pending, PrivateKey, PublicKey, Unavailable};

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
            Alg::Es256 | Alg::Es384 | Alg::EdDsa => {
                let mut bytes = [0; 32];
                self.entropy.fill(&mut bytes);
                pair_of(alg, &bytes)
            }
            Alg::Rs256 | Alg::Ps256 => rsa_pair(self.handed_out.replace(self.handed_out.get() + 1)),
        }
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
