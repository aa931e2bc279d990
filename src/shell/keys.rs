//! WebCrypto as the [`Keys`] port. Imports are kept for the life of the isolate, under the name of the key material and the
//! algorithm, for one RSA key serves two. Ours are kept apart from those of others, who can send as many as they like.

use crate::ports::{Alg, KeyPair, Keys, Pending, PrivateKey, PublicKey, Unavailable};
use js_sys::{Array, Object, Reflect, Uint8Array};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{CryptoKey, SubtleCrypto, WorkerGlobalScope};

const DOWN: Unavailable = Unavailable("WebCrypto");

/// How many imported keys are kept of each sort; beyond that they are imported again.
const KEPT: usize = 1_000;

/// `crypto.subtle`, what it is told for each algorithm, and the keys that it has imported.
#[derive(Default)]
pub struct WebCrypto {
    subtle: OnceCell<SubtleCrypto>,
    params: RefCell<HashMap<Alg, Object>>,
    private: Kept,
    public: Kept,
}

impl WebCrypto {
    fn subtle(&self) -> Result<&SubtleCrypto, JsValue> {
        match self.subtle.get() {
            Some(subtle) => Ok(subtle),
            None => {
                let subtle = subtle()?;
                Ok(self.subtle.get_or_init(|| subtle))
            }
        }
    }

    /// Parameters of a signature.
    fn params(&self, alg: Alg) -> Result<Object, JsValue> {
        if let Some(known) = self.params.borrow().get(&alg) {
            return Ok(known.clone());
        }
        let made = sign_params(alg)?;
        self.params.borrow_mut().insert(alg, made.clone());
        Ok(made)
    }
}

type Kept = RefCell<HashMap<(Alg, String), CryptoKey>>;

impl Keys for WebCrypto {
    fn generate(&self, alg: Alg) -> Pending<'_, Result<KeyPair, Unavailable>> {
        Box::pin(async move { generate(alg).await.map_err(|_| DOWN) })
    }

    fn sign<'a>(&'a self, key: PrivateKey<'a>, input: &'a [u8]) -> Pending<'a, Result<Vec<u8>, Unavailable>> {
        Box::pin(async move {
            let signature = async {
                let subtle = self.subtle()?;
                let import = async || {
                    let pkcs8 = Uint8Array::from(key.pkcs8);
                    subtle.import_key_with_object("pkcs8", &pkcs8, &import_params(key.alg)?, false, &usages(&["sign"]))
                };
                let imported = imported(&self.private, (key.alg, key.id), import).await?;
                let promise = subtle.sign_with_object_and_u8_array(&self.params(key.alg)?, &imported, input)?;
                let signature = JsFuture::from(promise).await?;
                Ok::<_, JsValue>(Uint8Array::new(&signature).to_vec())
            };
            signature.await.map_err(|_| DOWN)
        })
    }

    fn verify<'a>(
        &'a self,
        key: PublicKey<'a>,
        input: &'a [u8],
        signature: &'a [u8],
    ) -> Pending<'a, Result<bool, Unavailable>> {
        Box::pin(async move {
            let subtle = self.subtle().map_err(|_| DOWN)?;
            let verdict = async {
                let import = async || {
                    let jwk = js_sys::JSON::parse(key.jwk)?.unchecked_into::<Object>();
                    subtle.import_key_with_object("jwk", &jwk, &import_params(key.alg)?, false, &usages(&["verify"]))
                };
                let imported = imported(&self.public, (key.alg, key.id), import).await?;
                let promise = subtle.verify_with_object_and_u8_array_and_u8_array(
                    &self.params(key.alg)?,
                    &imported,
                    signature,
                    input,
                )?;
                Ok::<_, JsValue>(JsFuture::from(promise).await?.is_truthy())
            };
            // Workerd throws at a point off the curve and at an Ed25519 signature of another length than 64. Both come from
            // whoever sent the token, who must not make this look like a failing host.
            Ok(verdict.await.unwrap_or(false))
        })
    }
}

async fn imported(
    kept: &Kept,
    (alg, id): (Alg, &str),
    import: impl AsyncFnOnce() -> Result<js_sys::Promise, JsValue>,
) -> Result<CryptoKey, JsValue> {
    let name = (alg, id.to_owned());
    if let Some(known) = kept.borrow().get(&name) {
        return Ok(known.clone());
    }
    let key: CryptoKey = JsFuture::from(import().await?).await?.unchecked_into();
    let mut kept = kept.borrow_mut();
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(name, key.clone());
    Ok(key)
}

async fn generate(alg: Alg) -> Result<KeyPair, JsValue> {
    let subtle = subtle()?;
    let pair = subtle.generate_key_with_object(&generate_params(alg)?, true, &usages(&["sign", "verify"]))?;
    let pair = JsFuture::from(pair).await?;
    let half = |name: &str| Reflect::get(&pair, &JsValue::from_str(name)).map(JsValue::unchecked_into::<CryptoKey>);
    let pkcs8 = JsFuture::from(subtle.export_key("pkcs8", &half("privateKey")?)?).await?;
    let jwk = JsFuture::from(subtle.export_key("jwk", &half("publicKey")?)?).await?;
    let jwk = js_sys::JSON::stringify(&jwk)?.as_string().unwrap_or_default();
    Ok(KeyPair { pkcs8: Uint8Array::new(&pkcs8).to_vec(), jwk })
}

fn subtle() -> Result<SubtleCrypto, JsValue> {
    Ok(js_sys::global().unchecked_into::<WorkerGlobalScope>().crypto()?.subtle())
}

fn usages(names: &[&str]) -> JsValue {
    names.iter().map(|name| JsValue::from_str(name)).collect::<Array>().into()
}

fn params(members: &[(&str, JsValue)]) -> Result<Object, JsValue> {
    let params = Object::new();
    for (name, value) in members {
        Reflect::set(&params, &JsValue::from_str(name), value)?;
    }
    Ok(params)
}

const fn name(alg: Alg) -> &'static str {
    match alg {
        Alg::Es256 | Alg::Es384 => "ECDSA",
        Alg::EdDsa => "Ed25519",
        Alg::Rs256 => "RSASSA-PKCS1-v1_5",
        Alg::Ps256 => "RSA-PSS",
    }
}

fn import_params(alg: Alg) -> Result<Object, JsValue> {
    let name = ("name", name(alg).into());
    match alg {
        Alg::Es256 => params(&[name, ("namedCurve", "P-256".into())]),
        Alg::Es384 => params(&[name, ("namedCurve", "P-384".into())]),
        Alg::EdDsa => params(&[name]),
        Alg::Rs256 | Alg::Ps256 => params(&[name, ("hash", "SHA-256".into())]),
    }
}

fn sign_params(alg: Alg) -> Result<Object, JsValue> {
    let name = ("name", name(alg).into());
    match alg {
        Alg::Es256 => params(&[name, ("hash", "SHA-256".into())]),
        Alg::Es384 => params(&[name, ("hash", "SHA-384".into())]),
        // RFC 7518 §3.5: the salt is as long as the hash.
        Alg::Ps256 => params(&[name, ("saltLength", 32.into())]),
        Alg::EdDsa | Alg::Rs256 => params(&[name]),
    }
}

fn generate_params(alg: Alg) -> Result<Object, JsValue> {
    match alg {
        Alg::Es256 | Alg::Es384 | Alg::EdDsa => import_params(alg),
        Alg::Rs256 | Alg::Ps256 => params(&[
            ("name", name(alg).into()),
            ("hash", "SHA-256".into()),
            ("modulusLength", 2048.into()),
            ("publicExponent", Uint8Array::from(&[1_u8, 0, 1][..]).into()),
        ]),
    }
}
