//! Passkeys, sound and hostile, with real signatures.

mod authentication;
mod options;
mod registration;

use crate::support::signer::{Verifier, at_once};
use serde_json::{Value, json};
use writ::ports::{Alg, KeyPair, Keys, Pending, PrivateKey, PublicKey, Unavailable};
use writ::webauthn::{Ceremony, RelyingParty};

const CHALLENGE: [u8; 32] = [42; 32];

const CEREMONY: Ceremony<'static> = Ceremony {
    rp: RelyingParty { id: "hub.example", name: "The hub", origin: "https://hub.example" },
    challenge: &CHALLENGE,
};

/// A ceremony of the test vectors (§16).
fn of_the_vectors(challenge: &[u8; 32]) -> Ceremony<'_> {
    Ceremony { rp: RelyingParty { id: "example.org", name: "", origin: "https://example.org" }, challenge }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// All that differs from these bytes in one bit, or is cut short, with the byte where it begins to differ.
fn damaged(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let changed = (0..bytes.len() * 8).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        (bit / 8, changed)
    });
    changed.chain((0..bytes.len()).map(|end| (end, bytes[..end].to_vec())))
}

/// Where a part stands in bytes.
fn place(bytes: &[u8], part: &[u8]) -> std::ops::Range<usize> {
    let start = bytes.windows(part.len()).position(|window| window == part).unwrap();
    start..start + part.len()
}

/// JSON that is wrong in one way, whatever the ceremony.
fn malformed(sound: &Value) -> Vec<String> {
    let with = |path: &str, value: Value| {
        let mut json = sound.clone();
        *json.pointer_mut(path).unwrap() = value;
        json.to_string()
    };
    let mut all = vec![
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        format!("[{sound}]"),
        format!("{sound}{sound}"),
        sound.to_string().replacen('{', r#"{"id":"AA","#, 1),
        sound.to_string().replacen('{', &format!(r#"{{"x":"{}","#, "x".repeat(32 * 1024)), 1),
        with("/type", json!("password")),
        with("/type", json!(null)),
        with("/rawId", json!("AAAA")),
        with("/id", json!("AAAA")),
        with("/response", json!([])),
        with("/response/clientDataJSON", json!("=")),
        with("/response/clientDataJSON", json!([123, 125])),
    ];
    for id in [String::new(), "A".repeat(1366), "AA==".to_owned(), "A+".to_owned()] {
        all.push(with("/id", json!(id)).replace(sound["rawId"].as_str().unwrap(), &id));
    }
    for name in ["id", "rawId", "type", "response"] {
        let mut json = sound.clone();
        json.as_object_mut().unwrap().remove(name);
        all.push(json.to_string());
    }
    all
}

/// The signature port of a host that has none now.
struct Down;

impl Keys for Down {
    fn generate(&self, _: Alg) -> Pending<'_, Result<KeyPair, Unavailable>> {
        Box::pin(async { Err(Unavailable("keys")) })
    }
    fn sign<'a>(&'a self, _: PrivateKey<'a>, _: &'a [u8]) -> Pending<'a, Result<Vec<u8>, Unavailable>> {
        Box::pin(async { Err(Unavailable("keys")) })
    }
    fn verify<'a>(&'a self, _: PublicKey<'a>, _: &'a [u8], _: &'a [u8]) -> Pending<'a, Result<bool, Unavailable>> {
        Box::pin(async { Err(Unavailable("keys")) })
    }
}
