//! Passkeys: an attestation object that a stranger registers without a signature, and authenticator data that a passkey has signed.

#![no_main]
#![allow(dead_code, reason = "each target uses a part of the signer")]

#[path = "../it/support/signer.rs"]
mod signer;

use ciborium::Value;
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use signer::{Signer, Verifier, at_once};
use std::sync::LazyLock;
use writ::crypto::{b64, sha256};
use writ::jose::PublicJwk;
use writ::ports::Alg;
use writ::webauthn::{Ceremony, CredentialRecord, RelyingParty, UnverifiedAssertion, register};

const CEREMONY: Ceremony<'static> = Ceremony {
    rp: RelyingParty { id: "hub.example", name: "The hub", origin: "https://hub.example" },
    challenge: &[42; 32],
};

static KEY: LazyLock<Signer> = LazyLock::new(|| Signer::new(Alg::EdDsa, 1));

fuzz_target!(
    init: {
        for seed in [
            &include_bytes!("seeds/webauthn/es256")[..],
            include_bytes!("seeds/webauthn/ed25519"),
            include_bytes!("seeds/webauthn/packed"),
            include_bytes!("seeds/webauthn/extensions"),
        ] {
            assert!(registered(seed), "what begins as a good attestation object shows more");
        }
        assert!(authenticated(include_bytes!("seeds/webauthn/assertion")));
    },
    |bytes: &[u8]| {
        registered(bytes);
        authenticated(bytes);
    }
);

fn client_data(typ: &str) -> String {
    json!({"type": typ, "challenge": b64(CEREMONY.challenge), "origin": CEREMONY.rp.origin}).to_string()
}

/// The credential ID where an attestation object without surprises has it.
fn credential_id(object: &[u8]) -> Option<&[u8]> {
    let name = b"hauthData";
    let rest = &object[object.windows(name.len()).position(|window| window == name)? + name.len()..];
    let data = match rest {
        [0x58, _, data @ ..] | [0x59, _, _, data @ ..] => data,
        _ => return None,
    };
    let length = u16::from_be_bytes(data.get(53..55)?.try_into().ok()?);
    data.get(55..55 + usize::from(length))
}

/// Whether the attestation object was accepted, with good reason.
fn registered(object: &[u8]) -> bool {
    let id = credential_id(object).unwrap_or(b"id");
    let json = json!({
        "id": b64(id),
        "rawId": b64(id),
        "type": "public-key",
        "response": {"clientDataJSON": b64(client_data("webauthn.create")), "attestationObject": b64(object)},
    });
    let Ok(record) = at_once(register(&json.to_string(), &CEREMONY, &Verifier)) else { return false };
    // Who has another parser of CBOR reads the same.
    let Value::Map(members) = ciborium::from_reader(object).expect("what was accepted is CBOR") else {
        panic!("a map")
    };
    let member = |name: &str| members.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value);
    let data = member("authData").and_then(Value::as_bytes).unwrap();
    let format = member("fmt").and_then(Value::as_text).unwrap();
    assert!(format == "packed" || format == "none" && member("attStmt").unwrap().as_map().unwrap().is_empty());
    assert_eq!(data[..32], *sha256("hub.example").bytes());
    assert_eq!(data[32] & 0x45, 0x45, "present, verified, with a credential");
    assert_eq!((record.backup_eligible, record.backup_state), (data[32] & 8 != 0, data[32] & 16 != 0));
    assert!(record.backup_eligible || !record.backup_state);
    assert_eq!(record.sign_count.to_be_bytes(), data[33..37]);
    assert_eq!((record.id.as_str(), &data[55..55 + id.len()]), (b64(id).as_str(), id));
    assert_eq!(PublicJwk::parse(record.key.alg(), record.key.json()).as_ref(), Some(&record.key));
    let key: Value = ciborium::from_reader(&data[55 + id.len()..]).unwrap();
    let members = key.as_map().unwrap();
    let number = |label: i64| members.iter().find(|(key, _)| *key == label.into()).map(|(_, value)| value.clone());
    let alg = if record.key.alg() == Alg::Es256 { -7 } else { -8 };
    assert_eq!(number(3), Some(alg.into()));
    assert!(record.key.json().contains(&b64(number(-2).unwrap().as_bytes().unwrap())));
    true
}

/// Whether the authenticator data was accepted once it was signed, with good reason.
fn authenticated(data: &[u8]) -> bool {
    let record = CredentialRecord {
        id: b64("id"),
        key: PublicJwk::parse(Alg::EdDsa, &KEY.jwk).unwrap(),
        sign_count: 7,
        backup_eligible: false,
        backup_state: false,
        transports: Vec::new(),
    };
    let client_data = client_data("webauthn.get");
    let json = |signature: &[u8]| {
        let response = json!({
            "clientDataJSON": b64(&client_data),
            "authenticatorData": b64(data),
            "signature": b64(signature),
            "userHandle": b64("user"),
        });
        json!({"id": record.id, "rawId": record.id, "type": "public-key", "response": response}).to_string()
    };
    let verify = |json: &str| {
        let assertion = UnverifiedAssertion::parse(json)?;
        at_once(assertion.verify(&CEREMONY, &record, b"user", &Verifier))
    };
    assert!(verify(&json(&data[..data.len().min(64)])).is_err(), "a forgery");
    let signature = KEY.sign(&[data, sha256(&client_data).bytes()].concat());
    let Ok(verified) = verify(&json(&signature)) else { return false };
    assert_eq!(data[..32], *sha256("hub.example").bytes());
    assert_eq!(data[32] & !0xa2, 5, "present, verified, neither eligible for backup nor with a credential");
    assert_eq!(verified.sign_count.to_be_bytes(), data[33..37]);
    assert!(verified.sign_count > 7 && !verified.backup_state);
    assert_eq!(data.len() == 37, data[32] & 0x80 == 0);
    true
}
