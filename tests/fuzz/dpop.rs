//! DPoP proofs: as strangers send them, and signed by the key that they show.
//!
//! An input is a compact JWS, or three lines that are then signed: the URL of the request, a header, and claims.

#![no_main]
#![allow(dead_code, reason = "each target uses a part of the signer")]

#[path = "../it/support/signer.rs"]
mod signer;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use signer::{Signer, Verifier, at_once};
use std::sync::LazyLock;
use url::Url;
use writ::jose::{LEEWAY_SECONDS, PROOF_SECONDS, Problem, Proof, UnverifiedProof};
use writ::ports::{Alg, Now};

const NOW: i64 = 1_800_000_000;

static KEY: LazyLock<Signer> = LazyLock::new(|| Signer::new(Alg::EdDsa, 1));

fn verify(proof: &str, url: &str) -> Result<Proof, Problem> {
    let now = Now::from_millis(NOW as u64 * 1000);
    at_once(UnverifiedProof::parse(proof)?.verify(&Verifier, now, "POST", url))
}

fuzz_target!(
    init: assert!(fed(include_str!("seeds/dpop/full")), "what begins as a good proof shows more"),
    |text: &str| {
        fed(text);
    }
);

fn fed(text: &str) -> bool {
    let mut lines = text.splitn(3, '\n');
    if let (Some(url), Some(header), Some(claims)) = (lines.next(), lines.next(), lines.next()) {
        return signed(url, header, claims);
    }
    if let Ok(proof) = verify(text, "https://hub.example/t/main/token") {
        assert_ne!(proof.jkt, KEY.thumbprint(), "a forgery");
    }
    false
}

/// Whether the proof was accepted, with good reason.
fn signed(url: &str, header: &str, claims: &str) -> bool {
    let Ok(proof) = verify(&KEY.jws(header, claims), url) else { return false };
    let header: Value = serde_json::from_str(header).expect("what was accepted is JSON");
    let claims: Value = serde_json::from_str(claims).expect("what was accepted is JSON");
    let typ = header["typ"].as_str().unwrap().to_ascii_lowercase();
    assert!(typ == "dpop+jwt" || typ == "application/dpop+jwt");
    assert!(header["alg"] == "EdDSA" && header.get("crit").is_none() && header["jwk"].get("d").is_none());
    assert_eq!(proof.jkt, KEY.thumbprint());
    assert_eq!((claims["htm"].as_str(), claims["jti"].as_str()), (Some("POST"), Some(proof.jti.as_str())));
    assert!((1..=256).contains(&proof.jti.len()));
    assert_eq!(claims["iat"].as_f64().map(|iat| iat.floor() as i64), Some(proof.iat));
    assert!((NOW - PROOF_SECONDS..=NOW + LEEWAY_SECONDS).contains(&proof.iat));
    assert_eq!(claims.get("ath").map(|ath| ath.as_str().unwrap()), proof.ath.as_deref());
    assert_eq!(claims.get("nonce").map(|nonce| nonce.as_str().unwrap()), proof.nonce.as_deref());
    // Who has another parser of URLs comes to the same origin.
    if let Ok(url) = Url::parse(url) {
        let htu = Url::parse(claims["htu"].as_str().unwrap()).expect("both are URLs or neither");
        assert_eq!(
            (htu.scheme(), htu.host(), htu.port_or_known_default()),
            (url.scheme(), url.host(), url.port_or_known_default())
        );
    }
    true
}
