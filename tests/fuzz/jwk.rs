//! Keys and sets of keys that somebody registers, publishes, or puts into a header.

#![no_main]
#![allow(dead_code, reason = "each target uses a part of the signer")]

#[path = "../it/support/signer.rs"]
mod signer;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use signer::{Verifier, at_once};
use writ::jose::{JwkSet, PublicJwk};
use writ::ports::{Alg, Keys};

const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

fuzz_target!(
    init: {
        for (alg, seed) in [
            (Alg::Es256, include_str!("seeds/jwk/ec")),
            (Alg::EdDsa, include_str!("seeds/jwk/okp")),
            (Alg::Ps256, include_str!("seeds/jwk/rsa")),
        ] {
            assert!(PublicJwk::parse(alg, seed).is_some(), "what begins as a good key shows more");
        }
        let set = JwkSet::parse(include_str!("seeds/jwk/set")).unwrap();
        assert!(Alg::ALL.iter().all(|alg| set.candidates(*alg, None).next().is_some()));
    },
    |text: &str| fed(text)
);

fn fed(text: &str) {
    for alg in Alg::ALL {
        if let Some(key) = PublicJwk::parse(alg, text) {
            sound(alg, &key);
            public(&serde_json::from_str(text).expect("what was accepted is JSON"));
            let set = JwkSet::parse(&format!(r#"{{"keys":[{text}]}}"#));
            // A set has limits that a key alone has not: its length, and its depth.
            if let Ok(set) = set {
                assert_eq!(set.candidates(alg, None).collect::<Vec<_>>(), [&key]);
            }
        }
    }
    if let Ok(set) = JwkSet::parse(text) {
        let members: Value = serde_json::from_str(text).expect("what was accepted is JSON");
        let keys = members["keys"].as_array().unwrap();
        assert!(text.len() <= JwkSet::MAX_BYTES && keys.len() <= 500);
        keys.iter().for_each(public);
        for alg in Alg::ALL {
            assert!(set.candidates(alg, None).count() <= 8);
            set.candidates(alg, None).for_each(|key| sound(alg, key));
            for name in keys.iter().filter_map(|key| key["kid"].as_str()) {
                let named = set.candidates(alg, Some(name)).count();
                assert!(named <= keys.iter().filter(|key| key["kid"] == name).count().max(1));
            }
        }
        assert_eq!(set.is_empty(), Alg::ALL.iter().all(|alg| set.candidates(*alg, None).next().is_none()));
    }
}

/// What was kept is a key of its own, the same one, and the port can be asked about it.
fn sound(alg: Alg, key: &PublicJwk) {
    assert_eq!(key.alg(), alg);
    assert_eq!(PublicJwk::parse(alg, key.json()).as_ref(), Some(key));
    assert_eq!(key.kid().len(), 43);
    let kept: Value = serde_json::from_str(key.json()).unwrap();
    let names: Vec<&str> = kept.as_object().unwrap().keys().map(String::as_str).collect();
    let (kty, members): (_, &[&str]) = match alg {
        Alg::Es256 | Alg::Es384 => ("EC", &["crv", "kty", "x", "y"]),
        Alg::EdDsa => ("OKP", &["crv", "kty", "x"]),
        Alg::Rs256 | Alg::Ps256 => ("RSA", &["e", "kty", "n"]),
    };
    assert_eq!(kept["kty"], kty);
    assert!(names.len() == members.len() && members.iter().all(|name| names.contains(name)));
    assert_eq!(at_once(Verifier.verify(key.as_key(), b"input", &[1; 64])), Ok(false));
}

fn public(key: &Value) {
    assert!(PRIVATE.iter().all(|name| key.get(name).is_none()) && key["kty"] != "oct");
}
