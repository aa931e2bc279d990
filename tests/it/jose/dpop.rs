//! DPoP proofs (RFC 9449): the checks of §4.3 as far as one proof can show them.

use super::{NOW, damaged, now};
use crate::support::signer::{Signer, Verifier, at_once};
use serde_json::{Value, json};
use writ::crypto::b64;
use writ::jose::{LEEWAY_SECONDS, PROOF_SECONDS, Problem, Proof, UnverifiedProof};
use writ::ports::{Alg, Now};

const URL: &str = "https://hub.example/t/main/token";

fn claims() -> Value {
    json!({"jti": "1", "htm": "POST", "htu": URL, "iat": NOW})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn check(proof: &str) -> Result<Proof, Problem> {
    at_once(UnverifiedProof::parse(proof)?.verify(&Verifier, now(), "POST", URL))
}

fn made(claims: &Value) -> Result<Proof, Problem> {
    check(&Signer::new(Alg::Es256, 1).proof(claims))
}

fn headed(header: Value) -> Result<Proof, Problem> {
    check(&Signer::new(Alg::Es256, 1).jwt(header, &claims()))
}

fn jwk() -> Value {
    serde_json::from_str(&Signer::new(Alg::Es256, 1).jwk).unwrap()
}

#[test]
fn a_proof_of_every_algorithm_proves_possession_of_its_key() {
    for alg in Alg::ALL {
        let key = Signer::new(alg, 1);
        let proof = check(&key.proof(&with("nonce", json!("n")))).unwrap();
        assert_eq!(proof.jkt, key.thumbprint());
        assert_eq!((proof.jti.as_str(), proof.iat, proof.ath), ("1", NOW, None));
        assert_eq!(proof.nonce.as_deref(), Some("n"));
    }
}

#[test]
fn the_proofs_of_rfc_9449_verify_at_their_time_and_place() {
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    let at = Now::from_millis(1_562_262_616_000);
    let token = UnverifiedProof::parse(proof).unwrap();
    let proof = at_once(token.verify(&Verifier, at, "POST", "https://server.example.com/token")).unwrap();
    assert_eq!(proof.jti, "-BwC3ESc6acc2lTc");
    assert_eq!(proof.jkt, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");

    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    let at = Now::from_millis(1_562_262_618_000);
    let token = UnverifiedProof::parse(proof).unwrap();
    let proof = at_once(token.verify(&Verifier, at, "GET", "https://resource.example.org/protectedresource")).unwrap();
    assert_eq!(proof.ath.as_deref(), Some("fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"));
}

#[test]
fn no_proof_with_a_changed_character_or_a_lost_end_is_accepted() {
    let key = Signer::new(Alg::EdDsa, 1);
    let proof = key.proof(&claims());
    assert!(check(&proof).is_ok());
    for bad in damaged(&proof) {
        assert!(check(&bad).is_err(), "{bad}");
    }
}

#[test]
fn only_dpop_jwt_is_a_proof() {
    for typ in ["JWT", "at+jwt", "dpop", "", "dpop+jwt;x"] {
        assert_eq!(headed(json!({"typ": typ, "jwk": jwk()})).unwrap_err(), Problem::WrongType, "{typ}");
    }
    assert_eq!(headed(json!({"jwk": jwk()})).unwrap_err(), Problem::WrongType);
    assert!(headed(json!({"typ": "dpop+jwt", "jwk": jwk()})).is_ok());
}

#[test]
fn a_proof_of_no_algorithm_or_a_symmetric_one_is_refused() {
    for alg in ["none", "HS256", "RS384", "ES512", "ES256K", ""] {
        let header = json!({"typ": "dpop+jwt", "alg": alg, "jwk": jwk()});
        assert_eq!(headed(header).unwrap_err(), Problem::WrongAlgorithm, "{alg}");
    }
    for alg in ["EdDSA", "ES384"] {
        let header = json!({"typ": "dpop+jwt", "alg": alg, "jwk": jwk()});
        assert_eq!(headed(header).unwrap_err(), Problem::BadKey, "an algorithm of another type of key");
    }
}

#[test]
fn the_key_of_a_proof_is_there_and_public_and_sound() {
    let header = |jwk: Value| json!({"typ": "dpop+jwt", "jwk": jwk});
    let with = |name: &str, value: Value| {
        let mut jwk = jwk();
        jwk[name] = value;
        header(jwk)
    };
    assert_eq!(headed(json!({"typ": "dpop+jwt"})).unwrap_err(), Problem::BadKey);
    assert_eq!(headed(json!({"typ": "dpop+jwt", "kid": "1"})).unwrap_err(), Problem::BadKey);
    let mut off = jwk();
    off["y"] = off["x"].clone();
    let oct = json!({"kty": "oct", "k": "AAAA"});
    for bad in [json!(null), json!("x"), json!([]), json!({}), json!([jwk()]), oct, off, jwk()["x"].clone()] {
        assert_eq!(headed(header(bad.clone())).unwrap_err(), Problem::BadKey, "{bad}");
    }
    let weak = json!({"kty": "OKP", "crv": "Ed25519", "x": b64([0; 32])});
    let weak = Signer::new(Alg::EdDsa, 1).jwt(json!({"typ": "dpop+jwt", "jwk": weak}), &claims());
    assert_eq!(check(&weak).unwrap_err(), Problem::BadKey, "of small order");
    for bad in [("d", json!("AAAA")), ("d", json!(null)), ("use", json!("enc")), ("alg", json!("ES384"))] {
        assert_eq!(headed(with(bad.0, bad.1.clone())).unwrap_err(), Problem::BadKey, "{bad:?}");
    }
    assert!(headed(with("kid", json!("a name"))).is_ok());
}

#[test]
fn a_proof_by_another_key_than_the_one_it_shows_is_refused() {
    let header = json!({"typ": "dpop+jwt", "jwk": jwk()});
    let stolen = Signer::new(Alg::Es256, 2).jwt(header, &claims());
    assert_eq!(check(&stolen).unwrap_err(), Problem::BadSignature);
}

#[test]
fn jti_htm_htu_and_iat_are_there_and_of_their_types() {
    for name in ["jti", "htm", "htu", "iat"] {
        let mut missing = claims();
        missing.as_object_mut().unwrap().remove(name);
        assert_eq!(made(&missing).unwrap_err(), Problem::BadClaims, "{name}");
        for bad in [json!(null), json!(["POST"]), json!({}), json!(true)] {
            assert_eq!(made(&with(name, bad)).unwrap_err(), Problem::BadClaims, "{name}");
        }
    }
    for name in ["jti", "htm", "htu"] {
        assert_eq!(made(&with(name, json!(1.5))).unwrap_err(), Problem::BadClaims, "{name}");
    }
    for name in ["ath", "nonce", "jti"] {
        for bad in [json!(null), json!(1), json!(""), json!("x".repeat(257))] {
            assert_eq!(made(&with(name, bad)).unwrap_err(), Problem::BadClaims, "{name}");
        }
        assert!(made(&with(name, json!("x".repeat(256)))).is_ok());
    }
    assert_eq!(made(&with("iat", json!(NOW.to_string()))).unwrap_err(), Problem::BadClaims);
    for name in ["exp", "nbf"] {
        assert_eq!(made(&with(name, json!("x"))).unwrap_err(), Problem::BadClaims);
    }
}

#[test]
fn a_proof_for_another_method_or_target_is_refused() {
    for htm in ["GET", "post", "POST ", ""] {
        assert_eq!(made(&with("htm", json!(htm))).unwrap_err(), Problem::OtherRequest, "{htm}");
    }
    for htu in ["https://hub.example/t/main/revoke", "https://evil.example/t/main/token", "/t/main/token", ""] {
        assert_eq!(made(&with("htu", json!(htu))).unwrap_err(), Problem::OtherRequest, "{htu}");
    }
    for htu in ["https://HUB.example:443/t/main/token", "https://hub.example/t/main/token?a=b#c"] {
        assert!(made(&with("htu", json!(htu))).is_ok(), "{htu}");
    }
    let token = Signer::new(Alg::Es256, 1).proof(&with("htu", json!("")));
    let nowhere = at_once(UnverifiedProof::parse(&token).unwrap().verify(&Verifier, now(), "POST", ""));
    assert_eq!(nowhere.unwrap_err(), Problem::OtherRequest, "two that are no URL are not the same");
}

#[test]
fn a_proof_holds_for_a_minute_and_may_be_ahead_by_the_leeway() {
    for offset in [-PROOF_SECONDS, -10, 0, LEEWAY_SECONDS] {
        assert!(made(&with("iat", json!(NOW + offset))).is_ok(), "{offset}");
    }
    for offset in [-PROOF_SECONDS - 1, -3600] {
        assert_eq!(made(&with("iat", json!(NOW + offset))).unwrap_err(), Problem::Expired, "{offset}");
    }
    for offset in [LEEWAY_SECONDS + 1, 3600] {
        assert_eq!(made(&with("iat", json!(NOW + offset))).unwrap_err(), Problem::NotYetValid, "{offset}");
    }
}

#[test]
fn the_moment_of_a_proof_is_any_finite_number() {
    for fine in [NOW as f64, NOW as f64 + 0.25, NOW as f64 - 0.5, NOW as f64 + 10.9] {
        assert!(made(&with("iat", json!(fine))).is_ok(), "{fine}");
    }
    for bad in [json!(u64::MAX), json!(1e300), json!(NOW as f64 + 11.5)] {
        assert_eq!(made(&with("iat", bad)).unwrap_err(), Problem::NotYetValid);
    }
    for bad in [json!(-1), json!(1.5), json!(-1e300), json!(NOW as f64 - 60.5)] {
        assert_eq!(made(&with("iat", bad)).unwrap_err(), Problem::Expired);
    }
}

#[test]
fn a_proof_that_limits_itself_further_is_taken_at_its_word() {
    assert_eq!(made(&with("exp", json!(NOW - LEEWAY_SECONDS - 1))).unwrap_err(), Problem::Expired);
    assert_eq!(made(&with("nbf", json!(NOW + LEEWAY_SECONDS + 1))).unwrap_err(), Problem::NotYetValid);
    assert!(made(&with("exp", json!(NOW + 1))).is_ok());
}
