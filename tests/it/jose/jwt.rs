//! JSON Web Tokens: what is believed, and what is not.

use super::{NOW, damaged, now};
use crate::support::signer::{Signer, Verifier, at_once, verifies};
use serde_json::{Value, json};
use writ::crypto::{b64, sha256};
use writ::jose::{
    AccessToken, Actor, Audience, Confirmation, JwkSet, Jws, LEEWAY_SECONDS, MAX_TOKEN, MayAct, Problem, PublicJwk,
    StatusClaim, StatusReference, Unsigned, Unverified, Verified,
};
use writ::oauth::{authorization_details, scope};
use writ::ports::Alg;

const ASSERTION: [&str; 3] = ["", "jwt", "client-authentication+jwt"];

fn claims() -> Value {
    json!({"iss": "me", "iat": NOW, "exp": NOW + 60})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn verify(key: &Signer, token: &str) -> Result<Verified<Value>, Problem> {
    let public = PublicJwk::parse(key.alg, &key.jwk).unwrap();
    at_once(Unverified::parse(token)?.verify(&Verifier, &public, "at+jwt", now()))
}

fn verify_by(set: &JwkSet, token: &str) -> Result<Verified<Value>, Problem> {
    at_once(Unverified::parse(token)?.verify_by(&Verifier, set, &ASSERTION, now()))
}

fn set(keys: &[Value]) -> JwkSet {
    JwkSet::parse(&json!({"keys": keys}).to_string()).unwrap()
}

fn public(key: &Signer) -> Value {
    serde_json::from_str(&key.jwk).unwrap()
}

fn at(claims: &Value) -> Result<Verified<Value>, Problem> {
    let key = Signer::new(Alg::Es256, 1);
    verify(&key, &key.jwt(json!({"typ": "at+jwt"}), claims))
}

#[test]
fn a_token_of_every_algorithm_verifies_with_its_own_key_and_no_other() {
    for alg in Alg::ALL {
        let key = Signer::new(alg, 1);
        let token = key.jwt(json!({"typ": "at+jwt"}), &claims());
        assert_eq!(verify(&key, &token).unwrap().claims["iss"], "me");
        assert_eq!(verify(&Signer::new(alg, 2), &token).unwrap_err(), Problem::BadSignature);
        for other in Alg::ALL.into_iter().filter(|other| *other != alg) {
            assert_eq!(verify(&Signer::new(other, 1), &token).unwrap_err(), Problem::WrongAlgorithm);
        }
    }
}

#[test]
fn no_token_with_a_changed_character_or_a_lost_end_is_accepted() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let key = Signer::new(alg, 1);
        let token = key.jwt(json!({"typ": "at+jwt"}), &claims());
        assert!(verify(&key, &token).is_ok());
        for bad in damaged(&token) {
            assert!(verify(&key, &bad).is_err(), "{bad}");
        }
    }
    for alg in [Alg::Rs256, Alg::Ps256] {
        let key = Signer::new(alg, 1);
        let token = key.jwt(json!({"typ": "at+jwt"}), &claims());
        for bad in damaged(&token).step_by(23) {
            assert!(verify(&key, &bad).is_err(), "{bad}");
        }
    }
}

#[test]
fn the_header_cannot_choose_the_algorithm() {
    let key = Signer::new(Alg::Rs256, 1);
    for alg in ["none", "None", "", "HS256", "PS256", "RS384", "ES256", "rs256", "EdDSA"] {
        let token = key.jwt(json!({"typ": "at+jwt", "alg": alg}), &claims());
        assert_eq!(verify(&key, &token).unwrap_err(), Problem::WrongAlgorithm, "{alg}");
        let (input, _) = token.rsplit_once('.').unwrap();
        assert_eq!(verify(&key, &format!("{input}.")).unwrap_err(), Problem::WrongAlgorithm, "{alg}");
    }
    for alg in [json!(null), json!(["RS256"]), json!(256)] {
        assert_eq!(verify(&key, &key.jwt(json!({"alg": alg}), &claims())).unwrap_err(), Problem::Malformed);
    }
    let silent = key.jws(r#"{"typ":"at+jwt"}"#, &claims().to_string());
    assert_eq!(verify(&key, &silent).unwrap_err(), Problem::Malformed);
}

#[test]
fn a_public_key_is_no_secret_of_hmac() {
    let key = Signer::new(Alg::Rs256, 1);
    let key_of_jwk = public(&key);
    // A JWK without `alg` is where others took the header's word for it.
    let set = set(std::slice::from_ref(&key_of_jwk));
    let input = format!("{}.{}", b64(r#"{"typ":"JWT","alg":"HS256"}"#), b64(claims().to_string()));
    for secret in [key.jwk.as_str(), key_of_jwk["n"].as_str().unwrap()] {
        let token = format!("{input}.{}", b64(hmac_sha256(secret.as_bytes(), input.as_bytes())));
        assert_eq!(verify_by(&set, &token).unwrap_err(), Problem::WrongAlgorithm);
    }
}

fn hmac_sha256(secret: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    match secret.len() > 64 {
        true => block[..32].copy_from_slice(sha256(secret).bytes()),
        false => block[..secret.len()].copy_from_slice(secret),
    }
    let inner = sha256([&block.map(|byte| byte ^ 0x36), message].concat());
    *sha256([&block.map(|byte| byte ^ 0x5c)[..], inner.bytes()].concat()).bytes()
}

#[test]
fn this_hmac_is_that_of_rfc_4231_so_the_confusion_is_real() {
    let digest = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
    assert_eq!(digest[..4], [0x5b, 0xdc, 0xc1, 0x46]);
}

#[test]
fn keys_and_addresses_in_the_header_are_ignored() {
    let (ours, theirs) = (Signer::new(Alg::Es256, 1), Signer::new(Alg::Es256, 2));
    let header = json!({
        "typ": "at+jwt", "jwk": public(&theirs), "jku": "https://evil.example/jwks", "x5u": "https://evil.example/x",
        "x5c": ["AAAA"], "kid": "1",
    });
    assert_eq!(verify(&ours, &theirs.jwt(header.clone(), &claims())).unwrap_err(), Problem::BadSignature);
    assert!(verify(&ours, &ours.jwt(header, &claims())).is_ok());
}

#[test]
fn another_typ_is_refused_whatever_the_signature_says() {
    let key = Signer::new(Alg::Es256, 1);
    for typ in ["JWT", "dpop+jwt", "id+jwt", "logout+jwt", "at+jwt ", "", "x/at+jwt", "application/"] {
        let token = key.jwt(json!({"typ": typ}), &claims());
        assert_eq!(verify(&key, &token).unwrap_err(), Problem::WrongType, "{typ}");
    }
    assert_eq!(verify(&key, &key.jwt(json!({}), &claims())).unwrap_err(), Problem::WrongType);
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert!(verify(&key, &key.jwt(json!({"typ": typ}), &claims())).is_ok(), "{typ}");
    }
    for typ in [json!(null), json!(1), json!(["at+jwt"])] {
        assert_eq!(verify(&key, &key.jwt(json!({"typ": typ}), &claims())).unwrap_err(), Problem::Malformed);
    }
}

#[test]
fn an_absent_typ_will_do_only_where_that_is_said() {
    let key = Signer::new(Alg::Es256, 1);
    let set = set(&[public(&key)]);
    for header in [json!({}), json!({"typ": "JWT"}), json!({"typ": "client-authentication+jwt"})] {
        assert!(verify_by(&set, &key.jwt(header, &claims())).is_ok());
    }
    let other = key.jwt(json!({"typ": "at+jwt"}), &claims());
    assert_eq!(verify_by(&set, &other).unwrap_err(), Problem::WrongType);
}

/// Everything in it is as long as registration, settings and the rules of grants allow.
#[test]
fn the_longest_token_of_ours_is_shorter_than_what_is_taken() {
    let text = |length: usize| "\"".repeat(length);
    let id = "client_0123456789abcdefghjkmnpqrs";
    let chain = (0..10).fold(None, |act, _| Some(Actor { sub: id.to_owned(), act: act.map(Box::new) }));
    let issuer = format!("https://{}/t/{}", "h".repeat(253), "t".repeat(63));
    let claims = AccessToken {
        iss: issuer.clone(),
        sub: id.to_owned(),
        aud: Audience::Resource("a".repeat(512)),
        client_id: id.to_owned(),
        scope: "s".repeat(scope::MAX_LENGTH),
        scopes: vec![],
        jti: "j".repeat(22),
        tenant: "t".repeat(63),
        act: chain,
        may_act: Some(MayAct { iss: Some(text(256)), sub: text(256) }),
        acr: Some(text(256)),
        auth_time: Some(9_007_199_254_740_991),
        authorization_details: vec![],
        txn: None,
        approval: None,
        cnf: Some(Confirmation { jkt: "k".repeat(43) }),
        status: Some(StatusClaim {
            status_list: StatusReference { idx: 9_007_199_254_740_991, uri: format!("{issuer}/status-list") },
        }),
        lineage: vec!["l".repeat(43); 20],
    };
    let token = Unsigned::new(Alg::Rs256, "at+jwt", &"k".repeat(43), &claims, (NOW, NOW + 3_600)).unwrap();
    assert!(token.length() <= MAX_TOKEN, "{}", token.length());
    assert!(token.length() > MAX_TOKEN - 2_048, "the bound of scopes can grow: {}", token.length());
    // A token with authorization details is the first of its chain: it has no actor, and its lineage a consent and a family.
    let details = [("type".to_owned(), json!("d".repeat(authorization_details::MAX_LENGTH - 13)))];
    let first = AccessToken {
        act: None,
        may_act: None,
        lineage: vec!["l".repeat(43); 2],
        authorization_details: vec![details.into_iter().collect()],
        ..claims
    };
    assert_eq!(json!(first.authorization_details).to_string().len(), authorization_details::MAX_LENGTH);
    let token = Unsigned::new(Alg::Rs256, "at+jwt", &"k".repeat(43), &first, (NOW, NOW + 3_600)).unwrap();
    assert!(token.length() <= MAX_TOKEN, "{}", token.length());
    let length = token.length();
    assert_eq!(token.signed(&[0; 256]).len(), length);
}

#[test]
fn critical_extensions_are_refused() {
    let key = Signer::new(Alg::Es256, 1);
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!(null), json!("x")] {
        let token = key.jwt(json!({"typ": "at+jwt", "crit": crit}), &claims());
        assert_eq!(verify(&key, &token).unwrap_err(), Problem::Critical);
    }
}

#[test]
fn members_of_a_header_that_are_not_read_are_ignored_whatever_they_hold() {
    let key = Signer::new(Alg::Es256, 1);
    for name in ["cty", "x5t", "x5t#S256", "x5c", "x5u", "jku", "jwk", "b64", "zip", "nonce", "svt", "vnd.example"] {
        for value in
            [json!("JWT"), json!(""), json!(null), json!(1), json!(["x"]), json!({"a": {"b": 1}}), json!(false)]
        {
            let token = key.jwt(json!({"typ": "at+jwt", name: value}), &claims());
            assert!(verify(&key, &token).is_ok(), "{name} {value}");
        }
    }
}

#[test]
fn a_time_of_the_wrong_type_never_counts_as_an_absent_one() {
    for name in ["exp", "iat", "nbf"] {
        for bad in [
            json!("99999999999"),
            json!(NOW.to_string()),
            json!("x"),
            json!(null),
            json!([NOW]),
            json!({}),
            json!(true),
        ] {
            assert_eq!(at(&with(name, bad.clone())).unwrap_err(), Problem::BadClaims, "{name} {bad}");
        }
        // Numbers that no JSON value can hold.
        let key = Signer::new(Alg::Es256, 1);
        for number in ["1e400", "01", "+1", "0x10", "Infinity"] {
            let claims = with(name, json!("?")).to_string().replace("\"?\"", number);
            let token = key.jws(r#"{"typ":"at+jwt","alg":"ES256"}"#, &claims);
            assert_eq!(verify(&key, &token).unwrap_err(), Problem::Malformed, "{claims}");
        }
    }
}

#[test]
fn a_time_is_any_finite_number_and_its_fraction_makes_a_token_no_younger_and_no_longer_lived() {
    let exp = NOW + 60;
    let written = |name: &str, number: &str| {
        let key = Signer::new(Alg::Es256, 1);
        let claims = with(name, json!("?")).to_string().replace("\"?\"", number);
        verify(&key, &key.jws(r#"{"typ":"at+jwt","alg":"ES256"}"#, &claims))
    };
    for (number, read) in [("1800000000.25", NOW), ("1.8e9", NOW), ("1800000000.999", NOW), ("18E8", NOW), ("-1.5", -2)]
    {
        assert_eq!(written("iat", number).unwrap().iat, Some(read), "{number}");
        assert!(written("nbf", number).is_ok(), "{number}");
    }
    assert_eq!(written("exp", "1800000060.999").unwrap().exp, exp);
    assert_eq!(written("exp", "1.80000006e9").unwrap().exp, exp);
    for huge in ["1e300", "9223372036854775807", "18446744073709551615", "253402300800.5"] {
        assert!(written("exp", huge).unwrap().exp >= 253_402_300_800, "{huge}");
        assert_eq!(written("iat", huge).unwrap_err(), Problem::NotYetValid, "{huge}");
        assert_eq!(written("nbf", huge).unwrap_err(), Problem::NotYetValid, "{huge}");
    }
    for early in ["-1e300", "-1", "0.5", "-9223372036854775808"] {
        assert_eq!(written("exp", early).unwrap_err(), Problem::Expired, "{early}");
    }
}

#[test]
fn the_leeway_ends_with_the_second_whatever_its_fraction() {
    assert!(at(&with("exp", json!(NOW as f64 - 9.75))).is_ok());
    assert_eq!(at(&with("exp", json!(NOW as f64 - 10.25))).unwrap_err(), Problem::Expired);
    assert!(at(&with("nbf", json!(NOW as f64 + 10.75))).is_ok());
    assert_eq!(at(&with("nbf", json!(NOW as f64 + 11.0))).unwrap_err(), Problem::NotYetValid);
}

#[test]
fn our_own_token_needs_exp_and_iat_and_that_of_another_exp_alone() {
    assert_eq!(at(&json!({"iat": NOW})).unwrap_err(), Problem::BadClaims);
    assert_eq!(at(&json!({"exp": NOW + 60})).unwrap_err(), Problem::BadClaims);
    let key = Signer::new(Alg::Es256, 1);
    let set = set(&[public(&key)]);
    let of_other = |claims: Value| verify_by(&set, &key.jwt(json!({}), &claims));
    assert_eq!(of_other(json!({"exp": NOW + 60})).unwrap().iat, None);
    assert_eq!(of_other(json!({"iat": NOW})).unwrap_err(), Problem::BadClaims);
    assert_eq!(of_other(json!({"exp": NOW - 11})).unwrap_err(), Problem::Expired);
    assert_eq!(of_other(json!({"exp": NOW + 60, "iat": NOW + 11})).unwrap_err(), Problem::NotYetValid);
    assert_eq!(of_other(json!({"exp": NOW + 60, "iat": null})).unwrap_err(), Problem::BadClaims);
}

#[test]
fn times_are_no_claims_of_the_token() {
    assert_eq!(at(&with("nbf", json!(NOW))).unwrap().claims, json!({"iss": "me"}));
}

#[test]
fn times_may_be_off_by_the_leeway_and_no_more() {
    assert!(at(&with("exp", json!(NOW - LEEWAY_SECONDS))).is_ok());
    assert_eq!(at(&with("exp", json!(NOW - LEEWAY_SECONDS - 1))).unwrap_err(), Problem::Expired);
    assert_eq!(at(&with("exp", json!(0))).unwrap_err(), Problem::Expired);
    for name in ["iat", "nbf"] {
        assert!(at(&with(name, json!(NOW + LEEWAY_SECONDS))).is_ok());
        assert_eq!(at(&with(name, json!(NOW + LEEWAY_SECONDS + 1))).unwrap_err(), Problem::NotYetValid);
    }
}

#[test]
fn claims_of_the_wrong_type_are_refused() {
    #[derive(Debug, serde::Deserialize)]
    struct Strict {
        #[serde(rename = "iss")]
        _iss: String,
    }
    let key = Signer::new(Alg::Es256, 1);
    let public = PublicJwk::parse(key.alg, &key.jwk).unwrap();
    for bad in [json!(["me"]), json!(1), json!(null)] {
        let token = key.jwt(json!({"typ": "at+jwt"}), &with("iss", bad));
        let verified =
            at_once(Unverified::parse(&token).unwrap().verify::<Strict>(&Verifier, &public, "at+jwt", now()));
        assert_eq!(verified.unwrap_err(), Problem::BadClaims);
    }
}

/// Reading a token takes no key, so nothing of it can have been verified.
#[test]
fn what_is_too_long_too_deep_or_says_two_things_is_refused_without_a_key() {
    let key = Signer::new(Alg::Es256, 1);
    let header = r#"{"typ":"at+jwt","alg":"ES256"}"#;
    let fine = claims().to_string();
    assert!(Unverified::parse(&key.jws(header, &fine)).is_ok());
    let deep = format!(r#""x":{}1{}"#, "[".repeat(17), "]".repeat(17));
    let long = json!({"x": "y".repeat(256 * 1024)}).to_string();
    for bad in [
        key.jws(r#"{"typ":"at+jwt","alg":"none","alg":"ES256"}"#, &fine),
        key.jws(header, &fine.replace('{', r#"{"exp":1,"#)),
        key.jws(header, &format!("{{{deep}}}")),
        key.jws(&header.replace('}', &format!(",{deep}}}")), &fine),
        key.jws(header, &long),
    ] {
        assert_eq!(Unverified::parse(&bad).err(), Some(Problem::Malformed), "{bad:.200}");
    }
}

#[test]
fn text_that_says_two_things_or_is_no_compact_jws_is_malformed() {
    let key = Signer::new(Alg::Es256, 1);
    let header = r#"{"typ":"at+jwt","alg":"ES256"}"#;
    let fine = claims().to_string();
    let long = json!({"iat": NOW, "exp": NOW + 60, "x": "y".repeat(12 * 1024)}).to_string();
    let deep = format!(r#"{{"iat":{NOW},"exp":{},"x":{}1{}}}"#, NOW + 60, "[".repeat(20), "]".repeat(20));
    for bad in [
        key.jws(r#"{"typ":"at+jwt","alg":"none","alg":"ES256"}"#, &fine),
        key.jws(header, &fine.replace('{', r#"{"exp":1,"#)),
        key.jws(header, &fine.replace('{', r#"{"\u0065xp":1,"#)),
        key.jws(header, &fine).replace('.', ".."),
        key.jws(header, &format!("{fine}{fine}")),
        key.jws(header, "[]"),
        key.jws(header, "\"exp\""),
        key.jws(header, ""),
        key.jws(header, &long),
        key.jws(header, &deep),
        key.jws("[]", &fine),
        key.jws("", &fine),
        key.jws(&format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{}"}}"#, "k".repeat(257)), &fine),
        key.jws(r#"{"typ":"at+jwt","alg":"ES256","kid":"a\u0000"}"#, &fine),
        key.jws(r#"{"typ":"at+jwt","alg":"ES256","kid":"é"}"#, &fine),
        key.jws(r#"{"typ":"at+jwt","alg":"ES256","kid":1}"#, &fine),
        key.jws(header, &fine) + ".x",
        key.jws(header, &fine) + "=",
        key.jws(header, &fine) + "\n",
        format!(" {}", key.jws(header, &fine)),
        String::new(),
        "..".to_owned(),
        ".".repeat(17_000),
    ] {
        assert_eq!(verify(&key, &bad).unwrap_err(), Problem::Malformed, "{bad}");
    }
    assert!(verify(&key, &key.jws(header, &format!(" {fine}\n"))).is_ok(), "space around JSON changes nothing");
}

#[test]
fn the_key_of_a_set_is_found_by_kid_or_by_trying() {
    let keys: Vec<Signer> = (0..3).map(|n| Signer::new(Alg::EdDsa, n)).collect();
    let mut members: Vec<Value> = keys.iter().map(public).collect();
    for (n, jwk) in members.iter_mut().enumerate() {
        jwk["kid"] = format!("key-{n}").into();
    }
    let set = set(&members);
    assert!(verify_by(&set, &keys[2].jwt(json!({"kid": "key-2"}), &claims())).is_ok());
    assert!(verify_by(&set, &keys[2].jwt(json!({}), &claims())).is_ok(), "without `kid` every key is tried");
    let token = keys[2].jwt(json!({"kid": "key-1"}), &claims());
    assert_eq!(verify_by(&set, &token).unwrap_err(), Problem::BadSignature, "with `kid`, that one alone");
    let token = keys[2].jwt(json!({"kid": "key-9"}), &claims());
    assert_eq!(verify_by(&set, &token).unwrap_err(), Problem::UnknownKey);
    let stranger = Signer::new(Alg::EdDsa, 9).jwt(json!({}), &claims());
    assert_eq!(verify_by(&set, &stranger).unwrap_err(), Problem::BadSignature);
    let other = Signer::new(Alg::Es256, 0).jwt(json!({}), &claims());
    assert_eq!(verify_by(&set, &other).unwrap_err(), Problem::UnknownKey);
}

#[test]
fn one_rsa_key_without_alg_verifies_both_of_its_algorithms_and_with_alg_only_that_one() {
    let (pkcs1, pss) = (Signer::new(Alg::Rs256, 0), Signer::new(Alg::Ps256, 0));
    assert_eq!(pkcs1.jwk, pss.jwk);
    let tokens = [&pkcs1, &pss].map(|key| key.jwt(json!({}), &claims()));
    let open = set(&[public(&pkcs1)]);
    assert!(tokens.iter().all(|token| verify_by(&open, token).is_ok()));
    let mut jwk = public(&pkcs1);
    jwk["alg"] = "PS256".into();
    let narrow = set(&[jwk]);
    assert_eq!(verify_by(&narrow, &tokens[0]).unwrap_err(), Problem::UnknownKey);
    assert!(verify_by(&narrow, &tokens[1]).is_ok());
}

#[test]
fn what_is_read_before_verification_is_named_so_and_is_just_what_was_sent() {
    let key = Signer::new(Alg::Es256, 1);
    let token = key.jwt(json!({"kid": "k"}), &with("iss", json!(["a", "b"])));
    let unverified = Unverified::parse(&token).unwrap();
    assert_eq!(unverified.unverified_issuer(), None, "an array is no issuer");
    assert_eq!(unverified.unverified_claim("iss"), Some(&json!(["a", "b"])));
    assert_eq!((unverified.alg(), unverified.kid()), (Some(Alg::Es256), Some("k")));
    let token = key.jwt(json!({}), &claims());
    assert_eq!(Unverified::parse(&token).unwrap().unverified_issuer(), Some("me"));
}

#[test]
fn the_example_of_rfc_8037_appendix_a_4_verifies() {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let jws = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let key = PublicJwk::parse(Alg::EdDsa, jwk).unwrap();
    assert_eq!(at_once(Jws::parse(jws).unwrap().verify(&Verifier, &key)), Ok(()));
}

/// RFC 8725 §3.4. With one of these keys the signature of the point itself and 0 fits one message in eight, or every one.
#[test]
fn a_key_of_small_order_with_which_anybody_can_sign_is_not_in_a_set() {
    let point = |hex: &str| -> Vec<u8> {
        (0..64).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let input = format!("{}.{}", b64(r#"{"alg":"EdDSA"}"#), b64(claims().to_string()));
    let mut forged = 0;
    for hex in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ] {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(point(hex))});
        let mut signature = point("0100000000000000000000000000000000000000000000000000000000000000");
        signature.resize(64, 0);
        forged += usize::from(verifies(Alg::EdDsa, &jwk.to_string(), input.as_bytes(), &signature));
        let token = format!("{input}.{}", b64(&signature));
        assert!(set(std::slice::from_ref(&jwk)).is_empty());
        assert_eq!(verify_by(&set(&[jwk]), &token).unwrap_err(), Problem::UnknownKey);
    }
    assert!(forged >= 1, "the danger is real");
}

#[test]
fn thirty_two_bytes_that_are_no_point_verify_nothing() {
    let token = Signer::new(Alg::EdDsa, 1).jwt(json!({}), &claims());
    for byte in [2, 5] {
        let set = set(&[json!({"kty": "OKP", "crv": "Ed25519", "x": b64([byte; 32])})]);
        assert_eq!(verify_by(&set, &token).unwrap_err(), Problem::BadSignature);
    }
}
