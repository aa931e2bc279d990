//! Sets of public keys that somebody else keeps (RFC 7517 §5): a client's `jwks`, or what an issuer publishes.
//!
//! 1. A set with a private or symmetric key in it is refused as a whole: what else is in it cannot be trusted either.
//! 2. Keys that cannot be used are skipped, as RFC 7517 §5 asks.
//! 3. The algorithm comes from the set: a key without `alg` is offered for what its type allows, and never for more.
//! 4. A `kid` is a name to look up and nothing more; without one, at most eight keys are tried.

use super::PublicJwk;
use super::jwk::is_private;
use super::jws::is_kid;
use super::strict::object;
use crate::ports::Alg;
use serde_json::Value;

/// The longest set in bytes, and the most keys in one: 500 RSA keys of 4096 bits.
const MAX_BYTES: usize = 512 * 1024;
const MAX_KEYS: usize = 500;
/// How many keys are tried for one token.
const MAX_TRIED: usize = 8;

/// The keys of a set that can verify something.
#[derive(Clone, Debug, PartialEq)]
pub struct JwkSet(Vec<Named>);

#[derive(Clone, Debug, PartialEq)]
struct Named {
    kid: Option<String>,
    key: PublicJwk,
}

impl JwkSet {
    /// How many bytes of a set are read at most.
    pub const MAX_BYTES: usize = MAX_BYTES;

    /// Reads a set within its limits. The error completes a sentence whose subject is the set.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_BYTES {
            return Err("is longer than 512 KB");
        }
        let set = object(text.as_bytes()).ok_or("is not a JSON object, has a member twice, or nests too deeply")?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("has no array `keys` (RFC 7517 §5)")?;
        if keys.len() > MAX_KEYS {
            return Err("has more than 500 keys");
        }
        let mut found = Vec::new();
        for key in keys {
            let members = key.as_object().ok_or("has something in `keys` that is no object (RFC 7517 §5)")?;
            if is_private(members) {
                return Err("holds a private or symmetric key; replace that key and send public ones only");
            }
            let kid = members.get("kid").and_then(Value::as_str).filter(|kid| is_kid(kid));
            let usable = Alg::ALL.into_iter().filter_map(|alg| PublicJwk::read(alg, members));
            found.extend(usable.map(|key| Named { kid: kid.map(str::to_owned), key }));
        }
        Ok(Self(found))
    }

    /// About how many bytes the set takes in memory.
    pub fn weight(&self) -> usize {
        let of_one = |named: &Named| named.kid.as_ref().map_or(0, String::len).saturating_add(named.key.weight());
        self.0.iter().map(of_one).fold(0, usize::saturating_add)
    }

    /// Whether no key of the set can verify anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys to try for a token that is signed with `alg`. `kid` is compared with the name that the set gives a key, or
    /// with its thumbprint where the set gives none.
    pub fn candidates(&self, alg: Alg, kid: Option<&str>) -> impl Iterator<Item = &PublicJwk> {
        let fits = move |named: &&Named| {
            let name = named.kid.as_deref().unwrap_or(named.key.kid());
            named.key.alg() == alg && kid.is_none_or(|kid| kid == name)
        };
        self.0.iter().filter(fits).map(|named| &named.key).take(MAX_TRIED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::b64;

    const EC: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
    const OKP: &str = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
    const RSA: &str = r#""kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB""#;

    fn set(keys: &[String]) -> Result<JwkSet, &'static str> {
        let keys: Vec<_> = keys.iter().map(|members| format!("{{{members}}}")).collect();
        JwkSet::parse(&format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
    }

    fn counts(set: &JwkSet, kid: Option<&str>) -> [usize; 5] {
        Alg::ALL.map(|alg| set.candidates(alg, kid).count())
    }

    #[test]
    fn a_key_without_alg_is_offered_for_what_its_type_allows_and_one_with_alg_for_that_alone() {
        let all = set(&[EC.to_owned(), OKP.to_owned(), RSA.to_owned()]).unwrap();
        assert_eq!(counts(&all, None), [1, 0, 1, 1, 1]);
        assert_eq!(counts(&set(&[format!("{RSA},\"alg\":\"PS256\"")]).unwrap(), None), [0, 0, 0, 0, 1]);
        assert_eq!(counts(&set(&[format!("{EC},\"alg\":\"RS256\"")]).unwrap(), None), [0, 0, 0, 0, 0]);
        for name in ["EdDSA", "Ed25519"] {
            assert_eq!(counts(&set(&[format!("{OKP},\"alg\":\"{name}\"")]).unwrap(), None), [0, 0, 1, 0, 0], "{name}");
        }
    }

    #[test]
    fn a_kid_selects_by_the_name_that_the_set_gives_or_by_thumbprint_where_it_gives_none() {
        let two = set(&[format!("{EC},\"kid\":\"a\""), OKP.to_owned()]).unwrap();
        assert_eq!(counts(&two, Some("a")), [1, 0, 0, 0, 0]);
        assert_eq!(counts(&two, Some("b")), [0, 0, 0, 0, 0]);
        let thumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
        assert_eq!(counts(&two, Some(thumbprint)), [0, 0, 1, 0, 0]);
        let hidden = two.candidates(Alg::Es256, None).next().unwrap().kid();
        assert_eq!(counts(&two, Some(hidden)), [0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_set_with_a_private_or_symmetric_key_is_refused_as_a_whole() {
        for bad in [
            r#""kty":"oct","k":"AAAA""#.to_owned(),
            r#""kty":"oct""#.to_owned(),
            format!("{EC},\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\""),
            format!("{RSA},\"d\":\"AQAB\""),
            format!("{RSA},\"d\":null"),
            r#""kty":"EC","crv":"P-384","d":"AAAA""#.to_owned(),
        ] {
            assert!(set(&[EC.to_owned(), bad.clone()]).unwrap_err().contains("private or symmetric"), "{bad}");
        }
    }

    #[test]
    fn keys_that_cannot_be_used_are_skipped() {
        let unusable = [
            r#""kty":"EC","crv":"P-384","x":"AAAA","y":"AAAA""#.to_owned(),
            r#""kty":"EC","crv":"P-521","x":"AAAA","y":"AAAA""#.to_owned(),
            r#""kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA""#.to_owned(),
            r#""kty":"AKP","alg":"ML-DSA-44","pub":"AAAA""#.to_owned(),
            r#""kid":"x""#.to_owned(),
            format!("{EC},\"use\":\"enc\""),
            EC.replace("x_FE", "x_FF"),
        ];
        assert!(set(&unusable).unwrap().is_empty());
        assert!(set(&[]).unwrap().is_empty());
        assert!(!set(&[unusable.to_vec(), vec![EC.to_owned()]].concat()).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_set_or_too_large_a_one_is_refused() {
        for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(JwkSet::parse(bad).is_err(), "{bad}");
        }
        assert!(set(&vec![EC.to_owned(); 500]).is_ok());
        assert_eq!(set(&vec![EC.to_owned(); 501]).unwrap_err(), "has more than 500 keys");
        let padding = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(MAX_BYTES));
        assert_eq!(JwkSet::parse(&padding).unwrap_err(), "is longer than 512 KB");
    }

    #[test]
    fn five_hundred_rsa_keys_of_4096_bits_fit() {
        let key = |n: u32| {
            let mut modulus = [0xa5; 512];
            modulus[4..8].copy_from_slice(&n.to_be_bytes());
            let n = format!("kid-of-a-key-{n:03}");
            format!(r#""kty":"RSA","use":"sig","alg":"RS256","kid":"{n}","e":"AQAB","n":"{}""#, b64(modulus))
        };
        let keys: Vec<_> = (0..500).map(key).collect();
        let set = set(&keys).unwrap();
        assert!((300_000..=JwkSet::MAX_BYTES).contains(&set.weight()), "{}", set.weight());
        assert!((0..500).all(|n| set.candidates(Alg::Rs256, Some(&format!("kid-of-a-key-{n:03}"))).count() == 1));
    }

    #[test]
    fn few_keys_are_tried() {
        let set = set(&vec![EC.to_owned(); 20]).unwrap();
        assert_eq!(set.candidates(Alg::Es256, None).count(), MAX_TRIED);
    }
}
