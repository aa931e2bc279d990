//! Authentication with a passkey (Web Authentication Level 3 §7.2).

use super::{CEREMONY, CHALLENGE, Down, Verifier, at_once, damaged, malformed, of_the_vectors, unhex};
use crate::support::authenticator::{AT, BE, BS, ED, Passkey, UP, UV, int, map, text};
use serde_json::{Value, json};
use writ::crypto::b64;
use writ::error::Rejection;
use writ::jose::PublicJwk;
use writ::ports::Alg;
use writ::webauthn::{Ceremony, CeremonyError, CredentialRecord, UnverifiedAssertion, VerifiedAssertion, register};

/// The record of a passkey as it was registered.
fn record(passkey: &Passkey) -> CredentialRecord {
    let json = passkey.registration(&passkey.client_data("webauthn.create", &CHALLENGE), &passkey.none());
    at_once(register(&json.to_string(), &CEREMONY, &Verifier)).unwrap()
}

fn passkey() -> Passkey {
    Passkey::new(Alg::Es256, 1)
}

fn client_data(passkey: &Passkey) -> Vec<u8> {
    passkey.client_data("webauthn.get", &CHALLENGE)
}

fn assertion(passkey: &Passkey) -> Value {
    let (data, client_data) = (passkey.used(), client_data(passkey));
    passkey.assertion(&data, &client_data, &passkey.sign(&data, &client_data))
}

fn check(json: &Value, record: &CredentialRecord) -> Result<VerifiedAssertion, CeremonyError> {
    let assertion = UnverifiedAssertion::parse(&json.to_string())?;
    at_once(assertion.verify(&CEREMONY, record, b"user", &Verifier))
}

/// Authenticates with a passkey that was registered as it is by default.
fn used(passkey: &Passkey) -> Result<VerifiedAssertion, CeremonyError> {
    check(&assertion(passkey), &record(&self::passkey()))
}

#[test]
fn a_passkey_of_either_algorithm_authenticates_its_user() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let passkey = Passkey { flags: UP | UV | BE, ..Passkey::new(alg, 1) };
        let record = record(&passkey);
        let later = Passkey { flags: UP | UV | BE | BS, sign_count: 9, ..passkey };
        let json = assertion(&later).to_string();
        let assertion = UnverifiedAssertion::parse(&json).unwrap();
        assert_eq!((assertion.credential_id(), assertion.user_handle()), (&*record.id, &b"user"[..]));
        let verified = at_once(assertion.verify(&CEREMONY, &record, b"user", &Verifier)).unwrap();
        assert_eq!(verified, VerifiedAssertion { sign_count: 9, backup_state: true });
    }
}

/// §16.7: authenticator data, client data and signature. §16.3 has the same without a verified user.
const VERIFIED: [&str; 3] = [
    "bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b50d00000000",
    "7b2274797065223a22776562617574686e2e676574222c226368616c6c656e6765223a2273524276704770587676463446524841565833496d4b4130453958773858306b526a44426c4d6668726255222c226f726967696e223a2268747470733a2f2f6578616d706c652e6f7267222c2263726f73734f726967696e223a66616c73652c22657874726144617461223a22636c69656e74446174614a534f4e206d617920626520657874656e6465642077697468206164646974696f6e616c206669656c647320696e20746865206675747572652c207375636820617320746869733a20415a4d77794d78496244382d756775464e7036723851227d",
    "30450220694969d3ee928de6f02ef23a9c644d7d779916451734a94b432542f498a1ebe90221008b0819c824218a97152cd099c55bfb1477b29d900a49a64018314f9bfccda163",
];
const NOT_VERIFIED: [&str; 3] = [
    "bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b50900000000",
    "7b2274797065223a22776562617574686e2e676574222c226368616c6c656e6765223a225248696843784e534e493352594d45314f7731476d3132786e726b634a5f6666707637546e2d4a71386773222c226f726967696e223a2268747470733a2f2f6578616d706c652e6f7267222c2263726f73734f726967696e223a66616c73652c22657874726144617461223a22636c69656e74446174614a534f4e206d617920626520657874656e6465642077697468206164646974696f6e616c206669656c647320696e20746865206675747572652c207375636820617320746869733a206754623533727a36456853576f6d58477a696d433151227d",
    "304402203310b9431903c401f1be2bdc8d23a4007682dbbddcf846994947b7f465daf84002204e94dd00047b316061b3b99772b7efd95994a83ef584b3b6b825ea3550251b66",
];

#[test]
fn the_vector_of_section_16_7_authenticates_and_that_of_16_3_has_no_verified_user() {
    let authenticate = |vector: [&str; 3], challenge: &str, x: &str, y: &str| {
        let [data, client_data, signature] = vector.map(unhex);
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64(unhex(x)), "y": b64(unhex(y))}).to_string();
        let key = PublicJwk::parse(Alg::Es256, &jwk).unwrap();
        let record = CredentialRecord { key, backup_eligible: true, ..record(&passkey()) };
        let challenge = unhex(challenge).try_into().unwrap();
        let json = passkey().assertion(&data, &client_data, &signature).to_string();
        let assertion = UnverifiedAssertion::parse(&json).unwrap();
        at_once(assertion.verify(&of_the_vectors(&challenge), &record, b"user", &Verifier))
    };
    let verified = authenticate(
        VERIFIED,
        "b1106fa46a57bef1781511c0557dc898a03413d5f0f17d244630c194c7e1adb5",
        "1cf27f25da591208a4239c2e324f104f585525479a29edeedd830f48e77aeae5",
        "59e4b7da6c0106e206ce390c93ab98a15a5ec3887e57f0cc2bece803b920c423",
    );
    assert_eq!(verified.unwrap(), VerifiedAssertion { sign_count: 0, backup_state: false });
    let refused = authenticate(
        NOT_VERIFIED,
        "4478a10b1352348dd160c1353b0d469b5db19eb91c27f7dfa6fed39fe26af20b",
        "eb151c8176b225cc651559fecf07af450fd85802046656b34c18f6cf193843c5",
        "927b8aa427a2be1b8834d233a2d34f61f13bfd44119c325d5896e183fee484f2",
    );
    assert_eq!(refused.unwrap_err(), CeremonyError::UserNotVerified);
}

#[test]
fn client_data_is_of_this_ceremony_and_of_this_origin() {
    let origin = "https://hub.example";
    for (members, error) in [
        (json!({"origin": origin, "type": "webauthn.create"}), CeremonyError::WrongType),
        (json!({"origin": origin, "challenge": b64([43; 32])}), CeremonyError::OtherChallenge),
        (json!({"origin": "https://sub.hub.example"}), CeremonyError::OtherOrigin),
        (json!({"origin": origin, "crossOrigin": true}), CeremonyError::CrossOrigin),
        (json!({"origin": origin, "topOrigin": origin}), CeremonyError::CrossOrigin),
    ] {
        let verdict = used(&Passkey { client_data: members.clone(), ..passkey() });
        assert_eq!(verdict.unwrap_err(), error, "{members}");
    }
}

#[test]
fn the_authenticator_answers_for_this_relying_party_about_a_user_who_is_present_and_verified() {
    for (rp_id, flags, error) in [
        ("evil.example", UP | UV, CeremonyError::OtherRelyingParty),
        ("hub.example", UV, CeremonyError::UserNotPresent),
        ("hub.example", UP, CeremonyError::UserNotVerified),
        ("hub.example", UP | UV | BS, CeremonyError::BackupState),
    ] {
        let verdict = used(&Passkey { rp_id: rp_id.to_owned(), flags, ..passkey() });
        assert_eq!(verdict.unwrap_err(), error, "{rp_id} {flags}");
    }
}

#[test]
fn authenticator_data_has_no_credential_and_nothing_that_its_flags_do_not_say() {
    let with = |flags: u8, extensions: Vec<u8>| used(&Passkey { flags, extensions, ..passkey() });
    let outputs = map(&[(text("uvm"), int(1))]);
    assert!(with(UP | UV | ED, outputs.clone()).is_ok());
    let credential = passkey().made()[37..].to_vec();
    for (flags, rest) in [(UP | UV | AT, credential), (UP | UV, outputs), (UP | UV | ED, vec![])] {
        assert_eq!(with(flags, rest).unwrap_err(), CeremonyError::AuthenticatorData, "{flags}");
    }
    let long = |length: usize| with(UP | UV | ED, map(&[(text("x"), text(&"x".repeat(length)))]));
    assert!(long(2048 - 37 - 6).is_ok());
    assert_eq!(long(2048 - 37 - 5).unwrap_err(), CeremonyError::Malformed);
}

#[test]
fn the_signature_is_by_the_key_of_the_record() {
    let own = passkey();
    let (data, client_data) = (own.used(), client_data(&own));
    let other = Passkey::new(Alg::Es256, 2).sign(&data, &client_data);
    let raw = own.signer.sign(&[&data[..], &client_data].concat());
    for bad in [other, raw, vec![], vec![0x30, 6, 2, 1, 1, 2, 1, 1], [own.sign(&data, &client_data), vec![0]].concat()]
    {
        let verdict = check(&own.assertion(&data, &client_data, &bad), &record(&own));
        assert_eq!(verdict.unwrap_err(), CeremonyError::BadSignature, "{bad:?}");
    }
    let long = own.assertion(&data, &client_data, &[0x30; 129]);
    assert_eq!(check(&long, &record(&own)).unwrap_err(), CeremonyError::Malformed);
    let key = record(&Passkey::new(Alg::EdDsa, 1)).key;
    let verdict = check(&assertion(&own), &CredentialRecord { key, ..record(&own) });
    assert_eq!(verdict.unwrap_err(), CeremonyError::BadSignature);
}

#[test]
fn a_credential_authenticates_its_own_user_and_nobody_else() {
    let own = passkey();
    let (own_record, other) = (record(&own), record(&Passkey::new(Alg::Es256, 2)));
    assert_eq!(check(&assertion(&own), &other).unwrap_err(), CeremonyError::OtherCredential);

    let stolen = Passkey { user_handle: b"victim".to_vec(), ..own.clone() };
    assert_eq!(check(&assertion(&stolen), &own_record).unwrap_err(), CeremonyError::UserHandle);
    let parsed = UnverifiedAssertion::parse(&assertion(&own).to_string()).unwrap();
    for owner in [&b"victim"[..], b"", b"use", b"user "] {
        let verdict = at_once(parsed.verify(&CEREMONY, &own_record, owner, &Verifier));
        assert_eq!(verdict.unwrap_err(), CeremonyError::UserHandle, "{owner:?}");
    }
}

#[test]
fn the_user_handle_is_there_and_bounded() {
    let with = |handle: Value| {
        let mut json = assertion(&passkey());
        json["response"]["userHandle"] = handle;
        UnverifiedAssertion::parse(&json.to_string()).map(|assertion| assertion.user_handle().len())
    };
    assert_eq!(with(json!(b64([1; 64]))), Ok(64));
    for bad in [json!(null), json!(""), json!(b64([1; 65])), json!("="), json!([1])] {
        assert_eq!(with(bad.clone()), Err(CeremonyError::UserHandle), "{bad}");
    }
    let mut json = assertion(&passkey());
    json["response"].as_object_mut().unwrap().remove("userHandle");
    assert_eq!(UnverifiedAssertion::parse(&json.to_string()).err(), Some(CeremonyError::UserHandle));
}

#[test]
fn a_signature_count_grows_wherever_there_is_one() {
    let counted = |stored: u32, sent: u32| {
        let record = CredentialRecord { sign_count: stored, ..record(&passkey()) };
        check(&assertion(&Passkey { sign_count: sent, ..passkey() }), &record).map(|verified| verified.sign_count)
    };
    for (stored, sent) in [(0, 0), (0, 1), (1, 2), (7, 900), (u32::MAX - 1, u32::MAX)] {
        assert_eq!(counted(stored, sent), Ok(sent));
    }
    for (stored, sent) in [(1, 0), (1, 1), (7, 6), (u32::MAX, 0), (u32::MAX, u32::MAX)] {
        assert_eq!(counted(stored, sent), Err(CeremonyError::SignCount), "{stored} {sent}");
    }
    // Whoever has not the key causes no alarm about a clone.
    let record = CredentialRecord { sign_count: 7, ..record(&passkey()) };
    let (data, client_data) = (passkey().used(), client_data(&passkey()));
    let forged = passkey().assertion(&data, &client_data, &Passkey::new(Alg::Es256, 2).sign(&data, &client_data));
    assert_eq!(check(&forged, &record).unwrap_err(), CeremonyError::BadSignature);
}

#[test]
fn whether_a_credential_may_be_backed_up_never_changes() {
    for (registered, sent, fine) in [(0, 0, true), (BE, BE, true), (BE, BE | BS, true), (0, BE, false), (BE, 0, false)]
    {
        let record = record(&Passkey { flags: UP | UV | registered, ..passkey() });
        let verdict = check(&assertion(&Passkey { flags: UP | UV | sent, ..passkey() }), &record);
        assert_eq!(verdict.err(), (!fine).then_some(CeremonyError::BackupEligibility), "{registered} {sent}");
    }
}

#[test]
fn json_of_another_shape_is_refused() {
    let sound = assertion(&passkey());
    let mut bad = malformed(&sound);
    for name in ["clientDataJSON", "authenticatorData", "signature"] {
        let mut json = sound.clone();
        json["response"].as_object_mut().unwrap().remove(name);
        bad.push(json.to_string());
    }
    for bad in bad {
        let verdict = UnverifiedAssertion::parse(&bad).err();
        // Without a response there is no user handle either.
        assert!(matches!(verdict, Some(CeremonyError::Malformed)), "{verdict:?} {bad}");
    }
}

#[test]
fn no_changed_bit_and_no_lost_end_of_an_assertion_is_accepted() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let passkey = Passkey { flags: UP | UV | BE, sign_count: 3, ..Passkey::new(alg, 1) };
        let record = CredentialRecord { sign_count: 0, ..record(&passkey) };
        let (data, client_data) = (passkey.used(), client_data(&passkey));
        let signature = passkey.sign(&data, &client_data);
        assert!(check(&passkey.assertion(&data, &client_data, &signature), &record).is_ok());
        for (at, bad) in damaged(&client_data) {
            assert!(check(&passkey.assertion(&data, &bad, &signature), &record).is_err(), "client data {at}");
        }
        for (at, bad) in damaged(&data) {
            assert!(check(&passkey.assertion(&bad, &client_data, &signature), &record).is_err(), "data {at}");
        }
        for (at, bad) in damaged(&signature) {
            assert!(check(&passkey.assertion(&data, &client_data, &bad), &record).is_err(), "signature {at}");
        }
    }
}

#[test]
fn an_assertion_counts_for_its_own_challenge_origin_and_relying_party() {
    let (record, json) = (record(&passkey()), assertion(&passkey()).to_string());
    let parsed = UnverifiedAssertion::parse(&json).unwrap();
    let verify = |ceremony: &Ceremony<'_>| at_once(parsed.verify(ceremony, &record, b"user", &Verifier)).map(drop);
    assert_eq!(verify(&CEREMONY), Ok(()));
    let (mut origin, mut party) = (CEREMONY, CEREMONY);
    origin.rp.origin = "https://other.example";
    party.rp.id = "example";
    assert_eq!(verify(&Ceremony { challenge: &[1; 32], ..CEREMONY }), Err(CeremonyError::OtherChallenge));
    assert_eq!(verify(&origin), Err(CeremonyError::OtherOrigin));
    assert_eq!(verify(&party), Err(CeremonyError::OtherRelyingParty));
}

#[test]
fn a_port_that_is_down_is_no_bad_signature_and_the_sender_learns_nothing_about_a_refusal() {
    let parsed = UnverifiedAssertion::parse(&assertion(&passkey()).to_string()).unwrap();
    let down = at_once(parsed.verify(&CEREMONY, &record(&passkey()), b"user", &Down)).unwrap_err();
    assert_eq!(down, CeremonyError::Unavailable("keys"));
    assert!(matches!(Rejection::from(down), Rejection::Error(_)));
    for error in [CeremonyError::SignCount, CeremonyError::OtherCredential, CeremonyError::BadSignature] {
        assert!(matches!(Rejection::from(error), Rejection::Because(why) if why == error.as_str()));
    }
}
