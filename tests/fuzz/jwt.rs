//! Tokens: as strangers send them, and signed by a key that is trusted, with header and claims that are not.
//!
//! An input is a compact JWS, or a header and a payload with a line break between them, which are then signed.

#![no_main]
#![allow(dead_code, reason = "each target uses a part of the signer")]

#[path = "../it/support/signer.rs"]
mod signer;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use signer::{Signer, Verifier, at_once};
use std::sync::LazyLock;
use writ::jose::{JwkSet, Jws, LEEWAY_SECONDS, Problem, Unverified, Verified};
use writ::ports::{Alg, Now};

const NOW: i64 = 1_800_000_000;
const TYPES: [&str; 2] = ["", "at+jwt"];

static KEY: LazyLock<Signer> = LazyLock::new(|| Signer::new(Alg::EdDsa, 1));
static SET: LazyLock<JwkSet> = LazyLock::new(|| JwkSet::parse(&KEY.jwks("key").to_string()).unwrap());

fn verify(token: &Unverified<'_>) -> Result<Verified<Value>, Problem> {
    at_once(token.verify_by(&Verifier, &SET, &TYPES, Now::from_millis(NOW as u64 * 1000)))
}

fuzz_target!(
    init: {
        for seed in [include_str!("seeds/jwt/full"), include_str!("seeds/jwt/plain")] {
            let (header, payload) = seed.split_once('\n').unwrap();
            assert!(signed(header, payload), "what begins as a good token shows more");
        }
    },
    |text: &str| {
        match text.split_once('\n') {
            None => stranger(text),
            Some((header, payload)) => {
                signed(header, payload);
            }
        }
    }
);

/// Nobody else has the key: what verifies was signed here.
fn stranger(text: &str) {
    let Ok(token) = Unverified::parse(text) else { return };
    assert!(Jws::parse(text).is_ok());
    assert!(text.len() <= 16 * 1024 && text.split('.').count() == 3);
    assert!(token.kid().is_none_or(|kid| kid.len() <= 256 && kid.is_ascii()));
    assert_eq!(token.typ(), token.typ().to_ascii_lowercase());
    assert!(verify(&token).is_err(), "a forgery");
}

/// Whether the token was accepted, with good reason.
fn signed(header: &str, payload: &str) -> bool {
    let text = KEY.jws(header, payload);
    let Ok(token) = Unverified::parse(&text) else { return false };
    let header: Value = serde_json::from_str(header).expect("what was accepted is JSON");
    let claims: Value = serde_json::from_str(payload).expect("what was accepted is JSON");
    assert!(header.get("crit").is_none());
    assert_eq!(token.unverified_issuer(), claims.get("iss").and_then(Value::as_str));

    let time = |name: &str| claims.get(name).map(|time| time.as_f64().expect("a time is a number").floor());
    let typ = header.get("typ").map_or("", |typ| typ.as_str().unwrap()).to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    let ours = header["alg"] == "EdDSA" && header.get("kid").is_none_or(|kid| kid == "key");
    let verdict = verify(&token);
    if ours && TYPES.contains(&typ) {
        assert_ne!(verdict.as_ref().err(), Some(&Problem::BadSignature), "it was signed just now");
    }
    let Ok(verified) = verdict else { return false };
    assert!(ours && TYPES.contains(&typ));
    let (now, leeway) = (NOW as f64, LEEWAY_SECONDS as f64);
    assert_eq!(verified.iat.is_some(), time("iat").is_some());
    assert!(["iat", "nbf"].into_iter().filter_map(time).all(|time| time <= now + leeway));
    assert!(time("exp").unwrap() >= now - leeway && verified.exp >= NOW - LEEWAY_SECONDS);
    let mut others = claims;
    for name in ["iat", "exp", "nbf"] {
        others.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(verified.claims, others, "the claims are those that were signed");
    true
}
