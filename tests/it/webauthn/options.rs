//! The options of both ceremonies (Web Authentication Level 3 §5.4, §5.5), as a page hands them to the browser.

use super::{CEREMONY, CHALLENGE, Verifier, at_once};
use crate::support::authenticator::Passkey;
use serde_json::json;
use writ::crypto::b64;
use writ::ports::Alg;
use writ::webauthn::{CeremonyError, UserEntity, creation_options, register, request_options};

const USER: UserEntity<'static> = UserEntity { handle: b"user", name: "ada@example.com", display_name: "Ada" };

#[test]
fn a_new_passkey_is_discoverable_verifies_its_user_and_is_not_attested() {
    let passkey = Passkey::new(Alg::Es256, 1);
    let client_data = passkey.client_data("webauthn.create", &CHALLENGE);
    let json = passkey.registration(&client_data, &passkey.none()).to_string();
    let existing = at_once(register(&json, &CEREMONY, &Verifier)).unwrap();
    assert_eq!(
        creation_options(&CEREMONY, &USER, &[existing]).unwrap(),
        json!({
            "rp": {"id": "hub.example", "name": "The hub"},
            "user": {"id": b64("user"), "name": "ada@example.com", "displayName": "Ada"},
            "challenge": b64(CHALLENGE),
            "pubKeyCredParams": [{"type": "public-key", "alg": -7}, {"type": "public-key", "alg": -8}],
            "timeout": 300_000,
            "excludeCredentials": [{"type": "public-key", "id": b64(&passkey.id), "transports": ["hybrid", "internal"]}],
            "authenticatorSelection": {"residentKey": "required", "requireResidentKey": true, "userVerification": "required"},
            "attestation": "none",
        })
    );
}

#[test]
fn a_user_handle_has_1_to_64_bytes() {
    for (length, fine) in [(0, false), (1, true), (64, true), (65, false)] {
        let verdict = creation_options(&CEREMONY, &UserEntity { handle: &vec![1; length], ..USER }, &[]);
        assert_eq!(verdict.err(), (!fine).then_some(CeremonyError::UserHandle), "{length}");
    }
}

#[test]
fn who_authenticates_is_verified_and_nothing_is_said_about_accounts() {
    assert_eq!(
        request_options(&CEREMONY),
        json!({
            "challenge": b64(CHALLENGE),
            "timeout": 300_000,
            "rpId": "hub.example",
            "allowCredentials": [],
            "userVerification": "required",
        })
    );
}
