//! The registration of a passkey (Web Authentication Level 3 §7.1).

use super::{CEREMONY, CHALLENGE, Down, Verifier, at_once, damaged, malformed, of_the_vectors, place, unhex};
use crate::support::authenticator::{BE, BS, ED, Member, Passkey, UP, UV, attestation, bytes, cose, int, map, text};
use serde_json::{Value, json};
use std::slice::from_ref;
use writ::crypto::b64;
use writ::ports::Alg;
use writ::webauthn::{Ceremony, CeremonyError, CredentialRecord, register};

fn check(json: &Value) -> Result<CredentialRecord, CeremonyError> {
    at_once(register(&json.to_string(), &CEREMONY, &Verifier))
}

fn passkey() -> Passkey {
    Passkey::new(Alg::Es256, 1)
}

fn client_data(passkey: &Passkey) -> Vec<u8> {
    passkey.client_data("webauthn.create", &CHALLENGE)
}

/// Registers without attestation.
fn made(passkey: &Passkey) -> Result<CredentialRecord, CeremonyError> {
    check(&passkey.registration(&client_data(passkey), &passkey.none()))
}

/// Registers with other client data.
fn told(members: Value) -> Result<CredentialRecord, CeremonyError> {
    made(&Passkey { client_data: members, ..passkey() })
}

/// Registers with another attestation.
fn attested(format: &str, statement: &[u8]) -> Result<CredentialRecord, CeremonyError> {
    let passkey = passkey();
    check(&passkey.registration(&client_data(&passkey), &attestation(format, statement, &passkey.made())))
}

#[test]
fn a_passkey_of_either_algorithm_is_registered_with_all_that_a_record_needs() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let passkey = Passkey { flags: UP | UV | BE | BS, sign_count: 7, ..Passkey::new(alg, 1) };
        let record = made(&passkey).unwrap();
        assert_eq!(record.id, b64(&passkey.id));
        assert_eq!((record.key.alg(), record.key.kid()), (alg, &*passkey.signer.thumbprint()));
        assert_eq!((record.sign_count, record.backup_eligible, record.backup_state), (7, true, true));
        assert_eq!(record.transports, ["hybrid", "internal"]);
        let packed = passkey.packed(&client_data(&passkey));
        assert_eq!(check(&passkey.registration(&client_data(&passkey), &packed)), Ok(record));
    }
    let record = made(&passkey()).unwrap();
    assert_eq!((record.sign_count, record.backup_eligible, record.backup_state), (0, false, false));
}

/// §16.3: client data and attestation object.
const SELF_ATTESTATION: [&str; 2] = [
    "7b2274797065223a22776562617574686e2e637265617465222c226368616c6c656e6765223a2265476e4374334c55745936366b336a506a796e6962506b31716e666644616966715a774c33417032392d55222c226f726967696e223a2268747470733a2f2f6578616d706c652e6f7267222c2263726f73734f726967696e223a66616c73652c22657874726144617461223a22636c69656e74446174614a534f4e206d617920626520657874656e6465642077697468206164646974696f6e616c206669656c647320696e20746865206675747572652c207375636820617320746869733a205539685458764b453255526b4d6e625f307859485667227d",
    "a363666d74667061636b65646761747453746d74a263616c672663736967584630440220067a20754ab925005dbf378097c92120031581c73228d1fb4f5b881bcd7da98302207fc7b147558c7c0eba3af18bd9d121fa3d3a26d17fe3f220272178f473b6006d68617574684461746158a4bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b55d00000000df850e09db6afbdfab51697791506cfc0020455ef34e2043a87db3d4afeb39bbcb6cc32df9347c789a865ecdca129cbef58ca5010203262001215820eb151c8176b225cc651559fecf07af450fd85802046656b34c18f6cf193843c5225820927b8aa427a2be1b8834d233a2d34f61f13bfd44119c325d5896e183fee484f2",
];

/// §16.4: client data with `"crossOrigin":true`.
const CROSS_ORIGIN: &str = "7b2274797065223a22776562617574686e2e637265617465222c226368616c6c656e6765223a224f2d57717a514e5463554a484930437257576e7951504859647862694332674872434d475666704c4f306b222c226f726967696e223a2268747470733a2f2f6578616d706c652e6f7267222c2263726f73734f726967696e223a747275652c22657874726144617461223a22636c69656e74446174614a534f4e206d617920626520657874656e6465642077697468206164646974696f6e616c206669656c647320696e20746865206675747572652c207375636820617320746869733a207a5a7175457444523944577170573574425754467567227d";

#[test]
fn the_vector_of_section_16_3_is_registered_and_that_of_16_4_is_cross_origin() {
    let registration = |client_data: &str, challenge: &str| {
        let challenge = unhex(challenge).try_into().unwrap();
        let mut passkey = passkey();
        passkey.id = unhex("455ef34e2043a87db3d4afeb39bbcb6cc32df9347c789a865ecdca129cbef58c");
        let json = passkey.registration(&unhex(client_data), &unhex(SELF_ATTESTATION[1]));
        at_once(register(&json.to_string(), &of_the_vectors(&challenge), &Verifier))
    };
    let challenge = "7869c2b772d4b58eba9378cf8f29e26cf935aa77df0da89fa99c0bdc0a76f7e5";
    let record = registration(SELF_ATTESTATION[0], challenge).unwrap();
    let x = b64(unhex("eb151c8176b225cc651559fecf07af450fd85802046656b34c18f6cf193843c5"));
    assert!(record.key.json().contains(&x));
    assert_eq!((record.sign_count, record.backup_eligible, record.backup_state), (0, true, true));

    let challenge = "3be5aacd03537142472340ab5969f240f1d87716e20b6807ac230655fa4b3b49";
    assert_eq!(registration(CROSS_ORIGIN, challenge), Err(CeremonyError::CrossOrigin));
}

#[test]
fn client_data_is_of_this_ceremony_and_of_this_origin() {
    let origin = "https://hub.example";
    for (members, error) in [
        (json!({"origin": origin, "type": "webauthn.get"}), CeremonyError::WrongType),
        (json!({"origin": origin, "type": "payment.get"}), CeremonyError::WrongType),
        (json!({"origin": origin, "type": null}), CeremonyError::WrongType),
        (json!({"origin": origin, "challenge": b64([43; 32])}), CeremonyError::OtherChallenge),
        (json!({"origin": origin, "challenge": b64(CHALLENGE) + "="}), CeremonyError::OtherChallenge),
        (json!({"origin": origin, "challenge": ""}), CeremonyError::OtherChallenge),
        (json!({"origin": origin, "challenge": null}), CeremonyError::OtherChallenge),
        (json!({}), CeremonyError::OtherOrigin),
        (json!({"origin": "https://hub.example/"}), CeremonyError::OtherOrigin),
        (json!({"origin": "https://hub.example:443"}), CeremonyError::OtherOrigin),
        (json!({"origin": "https://HUB.example"}), CeremonyError::OtherOrigin),
        (json!({"origin": "http://hub.example"}), CeremonyError::OtherOrigin),
        (json!({"origin": "https://sub.hub.example"}), CeremonyError::OtherOrigin),
        (json!({"origin": "https://hub.example.evil.example"}), CeremonyError::OtherOrigin),
        (json!({"origin": [origin]}), CeremonyError::OtherOrigin),
        (json!({"origin": origin, "crossOrigin": true}), CeremonyError::CrossOrigin),
        (json!({"origin": origin, "crossOrigin": null}), CeremonyError::CrossOrigin),
        (json!({"origin": origin, "crossOrigin": "false"}), CeremonyError::CrossOrigin),
        (json!({"origin": origin, "crossOrigin": false, "topOrigin": origin}), CeremonyError::CrossOrigin),
    ] {
        assert_eq!(told(members.clone()).unwrap_err(), error, "{members}");
    }
    assert!(told(json!({"origin": origin})).is_ok(), "as clients before Level 2 have it");
    assert!(told(json!({"origin": origin, "crossOrigin": false, "new": {"member": [1]}})).is_ok());
}

#[test]
fn client_data_says_one_thing_and_is_bounded() {
    let passkey = passkey();
    let sound = String::from_utf8(client_data(&passkey)).unwrap();
    let given = |text: String| check(&passkey.registration(text.as_bytes(), &passkey.none()));
    assert!(given(sound.clone()).is_ok());
    assert!(given(format!("\u{feff}{sound}")).is_ok(), "with a byte order mark");
    for bad in [
        String::new(),
        "null".to_owned(),
        format!("[{sound}]"),
        format!("{sound}x"),
        sound.replacen('{', r#"{"origin":"https://evil.example","#, 1),
        sound.replacen('{', &format!(r#"{{"x":{}{},"#, "[".repeat(20), "]".repeat(20)), 1),
    ] {
        assert_eq!(given(bad.clone()).unwrap_err(), CeremonyError::ClientData, "{bad}");
    }
    let long = |length: usize| sound.replacen('{', &format!(r#"{{"x":"{}","#, "x".repeat(length)), 1);
    let room = 4096 - long(0).len();
    assert!(given(long(room)).is_ok());
    assert_eq!(given(long(room + 1)).unwrap_err(), CeremonyError::Malformed);
}

#[test]
fn the_authenticator_answers_for_this_relying_party_about_a_user_who_is_present_and_verified() {
    let with = |rp_id: &str, flags: u8| made(&Passkey { rp_id: rp_id.to_owned(), flags, ..passkey() });
    assert!(with("hub.example", UP | UV | BE).is_ok());
    assert!(with("hub.example", UP | UV | 2 | 32).is_ok(), "reserved bits");
    for (rp_id, flags, error) in [
        ("evil.example", UP | UV, CeremonyError::OtherRelyingParty),
        ("https://hub.example", UP | UV, CeremonyError::OtherRelyingParty),
        ("hub.example", UV, CeremonyError::UserNotPresent),
        ("hub.example", UP, CeremonyError::UserNotVerified),
        ("hub.example", 0, CeremonyError::UserNotPresent),
        ("hub.example", UP | UV | BS, CeremonyError::BackupState),
    ] {
        assert_eq!(with(rp_id, flags).unwrap_err(), error, "{rp_id} {flags}");
    }
}

#[test]
fn authenticator_data_has_a_credential_and_nothing_that_its_flags_do_not_say() {
    let passkey = passkey();
    let given =
        |data: &[u8]| check(&passkey.registration(&client_data(&passkey), &attestation("none", &map(&[]), data)));
    assert!(given(&passkey.made()).is_ok());
    for bad in [passkey.used(), vec![], passkey.used()[..36].to_vec(), [passkey.made(), vec![0xa0]].concat()] {
        assert_eq!(given(&bad).unwrap_err(), CeremonyError::AuthenticatorData, "{bad:?}");
    }
}

#[test]
fn outputs_of_extensions_are_ignored_and_well_formed() {
    let with = |outputs: &[u8]| made(&Passkey { flags: UP | UV | ED, extensions: outputs.to_vec(), ..passkey() });
    let output = |value: Vec<u8>| map(&[(text("credProtect"), value), (text("hmac-secret"), vec![0xf5])]);
    assert!(with(&map(&[])).is_ok());
    assert!(with(&output(int(2))).is_ok());
    let deep = |levels: usize| [vec![0x81; levels], int(1)].concat();
    assert!(with(&output(deep(3))).is_ok());
    let both = [output(int(2)), output(int(2))].concat();
    let number = map(&[(int(1), int(2))]);
    for bad in [vec![], int(1), output(deep(4)), both, number, output(int(2))[..8].to_vec(), vec![0xbf, 0xff]] {
        assert_eq!(with(&bad).unwrap_err(), CeremonyError::AuthenticatorData, "{bad:?}");
    }
}

#[test]
fn the_credential_is_the_one_that_is_named_and_its_id_is_bounded() {
    let mut other = passkey();
    let object = other.none();
    other.id[0] ^= 1;
    assert_eq!(check(&other.registration(&client_data(&other), &object)).unwrap_err(), CeremonyError::OtherCredential);
    let with = |length: usize| made(&Passkey { id: vec![9; length], ..passkey() });
    assert_eq!(with(1023).unwrap().id, b64([9; 1023]));
    assert_eq!(with(1024).unwrap_err(), CeremonyError::Malformed);
    assert_eq!(with(0).unwrap_err(), CeremonyError::Malformed);
}

#[test]
fn keys_are_of_the_two_algorithms_sound_and_without_further_members() {
    let with = |alg: Alg, change: &dyn Fn(&mut Vec<Member>)| {
        let mut passkey = Passkey::new(alg, 1);
        let mut members = cose(&passkey.signer);
        change(&mut members);
        passkey.key = map(&members);
        made(&passkey)
    };
    assert!(with(Alg::Es256, &|members| members.reverse()).is_ok());
    assert!(with(Alg::EdDsa, &|_| {}).is_ok());
    let x = cose(&passkey().signer)[3].1.clone();
    for alg in [Alg::Es256, Alg::EdDsa] {
        for (place, values) in [
            // The key type, the algorithm and the curve.
            (0, vec![int(1), int(2), int(3), text("EC2")]),
            (1, vec![int(-7), int(-8), int(-19), int(-35), int(-257), int(-65535), text("ES256")]),
            (2, vec![int(1), int(2), int(6), int(7), int(8), text("P-256")]),
        ] {
            let right = cose(&Passkey::new(alg, 1).signer)[place].1.clone();
            for value in values {
                let is_right = value == right;
                let verdict = with(alg, &|members| members[place].1 = value.clone());
                assert_eq!(verdict.err(), (!is_right).then_some(CeremonyError::UnsupportedKey), "{place} {value:?}");
            }
        }
        for place in 0..cose(&Passkey::new(alg, 1).signer).len() {
            let verdict = with(alg, &|members| drop(members.remove(place)));
            assert_eq!(verdict.unwrap_err(), CeremonyError::UnsupportedKey, "{place}");
        }
        for further in [(int(-4), bytes(&[1; 32])), (int(4), vec![0x81, 2]), (int(2), bytes(b"kid"))] {
            let verdict = with(alg, &|members| members.push(further.clone()));
            assert_eq!(verdict.unwrap_err(), CeremonyError::UnsupportedKey, "{further:?}");
        }
    }
    // Off the curve, too short, and compressed.
    for y in [x, bytes(&[1; 31]), vec![0xf5]] {
        let verdict = with(Alg::Es256, &|members| members[4].1 = y.clone());
        assert_eq!(verdict.unwrap_err(), CeremonyError::UnsupportedKey);
    }
    for x in [bytes(&[0; 32]), bytes(&[9; 31]), bytes(&[0xff; 32])] {
        let verdict = with(Alg::EdDsa, &|members| members[3].1 = x.clone());
        assert_eq!(verdict.unwrap_err(), CeremonyError::UnsupportedKey);
    }
    let twice = with(Alg::Es256, &|members| members.push(members[4].clone()));
    assert_eq!(twice.unwrap_err(), CeremonyError::AuthenticatorData);
    let list = Passkey { key: vec![0x80], ..passkey() };
    assert_eq!(made(&list).unwrap_err(), CeremonyError::UnsupportedKey);
}

#[test]
fn no_attestation_but_none_and_that_of_the_key_itself_is_accepted() {
    let own = passkey();
    let signature = own.sign(&own.made(), &client_data(&own));
    let (alg, sig) = ((text("alg"), int(-7)), (text("sig"), bytes(&signature)));
    assert!(attested("none", &map(&[])).is_ok());
    assert!(attested("packed", &map(&[alg.clone(), sig.clone()])).is_ok());
    let certificate = (text("x5c"), [vec![0x81], bytes(&[1; 300])].concat());
    for (format, statement) in [
        ("none", map(from_ref(&sig))),
        ("none", vec![0x80]),
        ("packed", map(&[])),
        ("packed", map(from_ref(&alg))),
        ("packed", map(from_ref(&sig))),
        ("packed", map(&[alg.clone(), sig.clone(), certificate.clone()])),
        ("packed", map(&[alg.clone(), certificate.clone()])),
        ("packed", map(&[(text("alg"), int(-8)), sig.clone()])),
        ("packed", map(&[alg.clone(), (text("sig"), text("sig"))])),
        ("fido-u2f", map(&[sig.clone(), certificate])),
        ("android-key", map(&[])),
        ("apple", map(&[])),
        ("tpm", map(&[])),
        ("compound", vec![0x80]),
        ("", map(&[])),
        ("None", map(&[])),
    ] {
        assert_eq!(attested(format, &statement).unwrap_err(), CeremonyError::Attestation, "{format} {statement:?}");
    }
    let other = Passkey::new(Alg::Es256, 2).sign(&own.made(), &client_data(&own));
    let raw = own.signer.sign(b"anything");
    for bad in [other, raw, vec![]] {
        let statement = map(&[alg.clone(), (text("sig"), bytes(&bad))]);
        assert_eq!(attested("packed", &statement).unwrap_err(), CeremonyError::BadSignature);
    }
}

#[test]
fn an_attestation_object_has_its_members_in_any_order_and_is_bounded() {
    let passkey = passkey();
    let given = |object: &[u8]| check(&passkey.registration(&client_data(&passkey), object));
    let data = bytes(&passkey.made());
    let all = [(text("authData"), data.clone()), (text("attStmt"), map(&[])), (text("fmt"), text("none"))];
    assert!(given(&map(&all)).is_ok());
    assert_eq!(given(&map(&all[1..])).unwrap_err(), CeremonyError::AuthenticatorData);
    assert_eq!(given(&map(&all[..2])).unwrap_err(), CeremonyError::Attestation);
    assert_eq!(given(&map(&[all[0].clone(), all[2].clone()])).unwrap_err(), CeremonyError::Attestation);
    let further = |length: usize| map(&[&all[..], &[(text("x"), bytes(&vec![0; length]))]].concat());
    let room = 8 * 1024 - further(300).len() + 300;
    assert!(given(&further(room)).is_ok());
    assert_eq!(given(&further(room + 1)).unwrap_err(), CeremonyError::Malformed);
    let as_text = map(&[(text("authData"), text("x")), (text("attStmt"), map(&[])), (text("fmt"), text("none"))]);
    for bad in [vec![], vec![0xa0], data, [map(&all), vec![0]].concat(), as_text, [0x81].repeat(5000)] {
        assert_eq!(given(&bad).unwrap_err(), CeremonyError::AuthenticatorData);
    }
}

#[test]
fn json_of_another_shape_is_refused() {
    let passkey = passkey();
    let sound = passkey.registration(&client_data(&passkey), &passkey.none());
    assert!(check(&sound).is_ok());
    let mut bad = malformed(&sound);
    for name in ["clientDataJSON", "attestationObject"] {
        let mut json = sound.clone();
        json["response"].as_object_mut().unwrap().remove(name);
        bad.push(json.to_string());
    }
    for bad in bad {
        let verdict = at_once(register(&bad, &CEREMONY, &Verifier));
        assert_eq!(verdict.unwrap_err(), CeremonyError::Malformed, "{bad}");
    }
}

#[test]
fn transports_are_a_few_names_whether_or_not_anybody_knows_them() {
    let passkey = passkey();
    let with = |transports: Value| {
        let mut json = passkey.registration(&client_data(&passkey), &passkey.none());
        json["response"]["transports"] = transports;
        check(&json).map(|record| record.transports)
    };
    assert_eq!(with(json!([])).unwrap(), [""; 0]);
    assert_eq!(with(json!(["usb", "smart-card", "usb", "of-2030"])).unwrap(), ["of-2030", "smart-card", "usb"]);
    assert!(with(json!(vec!["usb"; 16])).is_ok() && with(json!(["x".repeat(32)])).is_ok());
    for bad in [
        json!(null),
        json!("usb"),
        json!([1]),
        json!([""]),
        json!(["USB"]),
        json!(["a b"]),
        json!(["x".repeat(33)]),
        json!(vec!["usb"; 17]),
    ] {
        assert_eq!(with(bad.clone()).unwrap_err(), CeremonyError::Malformed, "{bad}");
    }
    let mut json = passkey.registration(&client_data(&passkey), &passkey.none());
    json["response"].as_object_mut().unwrap().remove("transports");
    assert_eq!(check(&json).unwrap().transports, [""; 0]);
}

#[test]
fn no_changed_bit_and_no_lost_end_of_a_registration_with_self_attestation_is_accepted() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let passkey = Passkey { flags: UP | UV | BE, ..Passkey::new(alg, 1) };
        let client_data = client_data(&passkey);
        let object = passkey.packed(&client_data);
        assert!(check(&passkey.registration(&client_data, &object)).is_ok());
        for (at, bad) in damaged(&client_data) {
            assert!(check(&passkey.registration(&bad, &object)).is_err(), "client data {at}");
        }
        for (at, bad) in damaged(&object) {
            assert!(check(&passkey.registration(&client_data, &bad)).is_err(), "attestation object {at}");
        }
    }
}

/// Nothing signs a registration without attestation: the channel to the client alone keeps it whole.
#[test]
fn without_attestation_only_what_nobody_vouches_for_can_be_changed() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let passkey = Passkey::new(alg, 1);
        let (client_data, object) = (client_data(&passkey), passkey.none());
        let optional = place(&client_data, b"crossOrigin");
        for (at, bad) in damaged(&client_data) {
            let verdict = check(&passkey.registration(&bad, &object));
            assert!(verdict.is_err() || optional.contains(&at), "client data {at}");
        }
        let data = place(&object, &passkey.made()).start;
        // Flags (reserved, backup), the signature count and the AAGUID; and any point is a key of Ed25519.
        let key = if alg == Alg::EdDsa { object.len() - 32..object.len() } else { 0..0 };
        let free = |at: usize| (data + 32..data + 53).contains(&at) || key.contains(&at);
        for (at, bad) in damaged(&object) {
            let verdict = check(&passkey.registration(&client_data, &bad));
            assert!(verdict.is_err() || free(at) && bad.len() == object.len(), "attestation object {at}");
        }
    }
}

#[test]
fn a_port_that_is_down_is_no_bad_signature() {
    let passkey = passkey();
    let client_data = client_data(&passkey);
    let json = passkey.registration(&client_data, &passkey.packed(&client_data)).to_string();
    let verdict = at_once(register(&json, &CEREMONY, &Down));
    assert_eq!(verdict.unwrap_err(), CeremonyError::Unavailable("keys"));
}

#[test]
fn a_response_to_another_challenge_is_refused_with_self_attestation_too() {
    let passkey = passkey();
    let client_data = client_data(&passkey);
    let json = passkey.registration(&client_data, &passkey.packed(&client_data)).to_string();
    let later = Ceremony { challenge: &[1; 32], ..CEREMONY };
    assert_eq!(at_once(register(&json, &later, &Verifier)).unwrap_err(), CeremonyError::OtherChallenge);
}
