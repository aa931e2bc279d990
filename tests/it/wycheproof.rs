//! The JSON Web Signature and JSON Web Key vectors of Project Wycheproof. They are not part of this project: the variable
//! `WRIT_WYCHEPROOF` names the folder that has them, by default `../shared/vectors/wycheproof` beside it.
//!
//! The rule: an invalid vector is refused; a valid one is accepted if Writ verifies its algorithm with such a key. What
//! it does not verify is listed here by name, and must be refused as well. There are no vectors of EdDSA among these.

use crate::support::signer::{Verifier, at_once};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use writ::jose::{JwkSet, Jws};

fn vectors(name: &str) -> Option<Value> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/wycheproof");
    let folder = std::env::var_os("WRIT_WYCHEPROOF").map_or(default, PathBuf::from);
    let path = folder.join(name);
    if !path.exists() {
        say(&format!("not run: {name} of Wycheproof is not there; set WRIT_WYCHEPROOF to the folder that has it"));
        return None;
    }
    Some(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

/// A line that is seen although the test passes; what is printed the usual way is not.
#[allow(clippy::explicit_write, reason = "the macro writes to what the test runner captures")]
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap();
}

/// Whether Writ takes the token from somebody who registered this set.
fn accepts(keys: &Value, jws: &str) -> bool {
    let Ok(set) = JwkSet::parse(&keys.to_string()) else { return false };
    let Ok(jws) = Jws::parse(jws) else { return false };
    let Some(alg) = jws.alg() else { return false };
    set.candidates(alg, jws.kid()).any(|key| at_once(jws.verify(&Verifier, key)).is_ok())
}

/// Why a valid vector is refused, if it has to be.
fn not_verified_here(jws: &str) -> Option<&'static str> {
    let header = jws.split('.').next().unwrap();
    // One vector has a `?` in its header that lenient decoders skip.
    let header = writ::crypto::unb64(&header.replace('?', "")).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    match header["alg"].as_str().unwrap() {
        "HS256" | "HS384" | "HS512" => Some("HMAC: Writ has no shared secrets to verify with"),
        "RS384" | "RS512" | "PS384" | "PS512" => Some("RSA with SHA-384 or SHA-512"),
        "ES512" => Some("ECDSA on P-521"),
        _ => None,
    }
}

/// Runs a file: how many vectors were accepted, refused as invalid, and refused for each reason.
fn run(name: &str) -> Option<(usize, usize, BTreeMap<&'static str, usize>)> {
    let (mut accepted, mut refused, mut others) = (0, 0, BTreeMap::new());
    let vectors = vectors(name)?;
    for group in vectors["testGroups"].as_array().unwrap() {
        // Symmetric keys have no public half: what is registered by mistake is the key itself.
        let keys = group.get("public").unwrap_or(&group["private"]);
        let keys = if keys.get("keys").is_some() { keys.clone() } else { json!({"keys": [keys]}) };
        for test in group["tests"].as_array().unwrap() {
            let what = format!("{name} {} {} {}", test["tcId"], group["comment"], test["comment"]);
            let jws = test["jws"].as_str().map_or_else(|| test["jws"].to_string(), str::to_owned);
            let taken = accepts(&keys, &jws);
            match test["result"].as_str().unwrap() {
                "invalid" => {
                    assert!(!taken, "{what}: is invalid and was accepted");
                    refused += 1;
                }
                "valid" => match not_verified_here(&jws) {
                    Some(why) => {
                        assert!(!taken, "{what}: {why}, and yet it was accepted");
                        *others.entry(why).or_default() += 1;
                    }
                    None => {
                        assert!(taken, "{what}: is valid and was refused");
                        accepted += 1;
                    }
                },
                other => panic!("{what}: no rule for `{other}` vectors, of which there were none"),
            }
        }
    }
    say(&format!("{name}: {accepted} accepted, {refused} refused as invalid; valid but not verified here: {others:?}"));
    Some((accepted, refused, others))
}

#[test]
fn every_signature_vector_is_judged_right() {
    let Some((accepted, refused, others)) = run("json_web_signature_test.json") else { return };
    assert!(accepted >= 15 && refused >= 350 && others.len() == 3, "{accepted} {refused} {others:?}");
}

#[test]
fn every_key_vector_is_judged_right() {
    let Some((accepted, refused, others)) = run("json_web_key_test.json") else { return };
    assert!(accepted >= 1 && refused >= 20 && others.len() == 1, "{accepted} {refused} {others:?}");
}
