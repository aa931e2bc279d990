//! DPoP proofs (RFC 9449): that the sender of a request holds a key.
//!
//! In scope: what a proof says by itself, and whether it was made for this request. Out of scope: that it is used once,
//! which nonce was given out, and to which token the key belongs: [`Proof`] has what is needed for these.
//!
//! 1. The key in the header is used because possession of just that key is to be proved, and for nothing else (§4.3,
//!    items 4 to 7). It is public, sound, and of an algorithm that is verified here.
//! 2. `htm` is compared as it is. `htu` is compared without query and fragment, after the normalization of RFC 3986 §6.2.2
//!    and §6.2.3: case of scheme, host and percent-encodings, unreserved characters that are percent-encoded, dot segments,
//!    and the default port (§4.3, items 8 and 9).
//! 3. `iat` is there (§4.2) and recent: at most [`PROOF_SECONDS`] old, and ahead by no more than the leeway (§4.3, item 11; §11.1).

use super::jwt::{Unverified, is_ahead, is_past};
use super::{Problem, PublicJwk};
use crate::ports::{Keys, Now};
use serde_json::Value;

/// How long a proof holds after its `iat`, in seconds. Its `jti` is remembered for as long and the leeway twice.
pub const PROOF_SECONDS: i64 = 60;

/// The longest `jti`, `nonce` and `ath`, in bytes.
const MAX_TEXT: usize = 256;

/// A proof that parses. Nothing in it may be believed.
pub struct UnverifiedProof<'a> {
    token: Unverified<'a>,
    key: PublicJwk,
}

/// A proof for this request by the holder of a key. Not yet spent.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The thumbprint of the key (RFC 7638), as `cnf.jkt` has it.
    pub jkt: String,
    /// The proof's own name, which no other proof by the same key may have.
    pub jti: String,
    /// When it was made, in seconds.
    pub iat: i64,
    /// The SHA-256 of the access token that it goes with, in base64url.
    pub ath: Option<String>,
    /// The nonce that a server asked for.
    pub nonce: Option<String>,
}

impl<'a> UnverifiedProof<'a> {
    /// Reads the value of a `DPoP` header within its limits.
    pub fn parse(text: &'a str) -> Result<Self, Problem> {
        let token = Unverified::parse(text)?;
        if token.typ() != "dpop+jwt" {
            return Err(Problem::WrongType);
        }
        let alg = token.alg().ok_or(Problem::WrongAlgorithm)?;
        let key = token.jws.jwk().and_then(|members| PublicJwk::read(alg, members)).ok_or(Problem::BadKey)?;
        Ok(Self { token, key })
    }

    /// Checks the proof against the request: its method, and its URL as the sender sees it.
    pub async fn verify(self, keys: &dyn Keys, now: Now, htm: &str, htu: &str) -> Result<Proof, Problem> {
        self.token.jws.verify(keys, &self.key).await?;
        let required = |name: &str| self.text(name)?.ok_or(Problem::BadClaims);
        let (jti, method, url) = (required("jti")?, required("htm")?, required("htu")?);
        let (ath, nonce) = (self.text("ath")?, self.text("nonce")?);
        let (iat, exp, nbf) = (self.token.time("iat")?, self.token.time("exp")?, self.token.time("nbf")?);
        let iat = iat.ok_or(Problem::BadClaims)?;
        let fits = |text: &str| (1..=MAX_TEXT).contains(&text.len());
        if ![Some(jti), ath, nonce].into_iter().flatten().all(fits) {
            return Err(Problem::BadClaims);
        }
        if method != htm || target(url).is_none_or(|url| Some(url) != target(htu)) {
            return Err(Problem::OtherRequest);
        }
        let age = now.seconds().saturating_sub(iat);
        if age > PROOF_SECONDS || exp.is_some_and(|exp| is_past(exp, now)) {
            return Err(Problem::Expired);
        }
        if [Some(iat), nbf].into_iter().flatten().any(|time| is_ahead(time, now)) {
            return Err(Problem::NotYetValid);
        }
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Proof { jkt: self.key.kid().to_owned(), jti: jti.to_owned(), iat, ath: owned(ath), nonce: owned(nonce) })
    }

    /// A claim that is text if it is there.
    fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.token.claims.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Problem::BadClaims),
        }
    }
}

/// Scheme, authority and path of an absolute URL, so that two are equal if they name one target (RFC 3986 §6.2.2, §6.2.3).
fn target(url: &str) -> Option<(String, String, String)> {
    let bare = url.split(['?', '#']).next()?;
    let (scheme, rest) = bare.split_once("://")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |start| rest.split_at(start));
    let (scheme, mut authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
    let default = if scheme == "https" { ":443" } else { ":80" };
    if let Some(host) = authority.strip_suffix(default).or_else(|| authority.strip_suffix(':')) {
        authority.truncate(host.len());
    }
    (!authority.is_empty()).then(|| (scheme, authority, without_dots(&decoded(path))))
}

/// A path in which no unreserved character is percent-encoded and all hexadecimal digits are upper case (RFC 3986 §6.2.2.1,
/// §6.2.2.2). What is no encoding stays as it is.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let encoded = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = encoded.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, part.get(2..)) {
            (Some(byte), Some(rest)) if is_unreserved(byte) => {
                plain.push(byte.into());
                plain.push_str(rest);
            }
            (Some(_), Some(rest)) => {
                plain.push('%');
                plain.push_str(&encoded.unwrap_or_default().to_ascii_uppercase());
                plain.push_str(rest);
            }
            _ => {
                plain.push('%');
                plain.push_str(part);
            }
        }
    }
    plain
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// An absolute path without dot segments (RFC 3986 §5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
        if matches!(segment, "." | "..") && segments.peek().is_none() {
            kept.push("");
        }
    }
    ["/", &kept.join("/")].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(htu: &str, url: &str) -> bool {
        target(htu).is_some() && target(htu) == target(url)
    }

    #[test]
    fn htu_is_compared_after_normalization_without_query_and_fragment() {
        for fine in [
            "https://hub.example/t/main/token",
            "https://hub.example:443/t/main/token",
            "HTTPS://Hub.Example/t/main/token",
            "https://hub.example/t/main/token?x=1",
            "https://hub.example/t/main/token#x",
            "https://hub.example/t/main/token?x=https://evil.example/",
            "https://hub.example:/t/main/token",
            "https://hub.example/t/m%61in/%74oken",
            "https://hub.example/t/main/./token",
            "https://hub.example/./t/x/../main/token",
            "https://hub.example/../../t/main/token",
            "https://hub.example/t/x/%2e%2E/main/%2E/token",
        ] {
            assert!(same(fine, "https://hub.example/t/main/token?y=2"), "{fine}");
        }
        assert!(same("http://localhost:8787/a%2Fb", "http://localhost:8787/a%2Fb"));
        assert!(same("http://hub.example:80", "http://hub.example/"));
        for root in ["https://hub.example", "https://hub.example/.", "https://hub.example/a/.."] {
            assert!(same(root, "https://hub.example/"), "{root}");
        }
        assert!(same("https://hub.example/a%2fb%c3%a9/.", "https://hub.example/a%2Fb%C3%A9/"));
        assert!(same("https://hub.example/a/b/..", "https://hub.example/a/"));
    }

    #[test]
    fn htu_of_another_origin_or_path_is_another_request() {
        for bad in [
            "",
            "/t/main/token",
            "hub.example/t/main/token",
            "https:hub.example/t/main/token",
            "https:///hub.example/t/main/token",
            "http://hub.example/t/main/token",
            "http://hub.example:443/t/main/token",
            "https://hub.example:80/t/main/token",
            "https://hub.example:8443/t/main/token",
            "https://evil.example/t/main/token",
            "https://hub.example.evil.example/t/main/token",
            "https://hub.example@evil.example/t/main/token",
            "https://user@hub.example/t/main/token",
            "https://hub.example\\.evil.example/t/main/token",
            "https://hub.example/T/main/token",
            "https://hub.example/t/main/token/",
            "https://hub.example/t/main//token",
            "https://hub.example/t/main/token/.",
            "https://hub.example/t/main/token/x/..",
            "https://hub.example/t/../main/token",
            "https://hub.example/t/main/..token",
            "https://hub.example/t/main%2Ftoken",
            "https://hub.example/t/main/%2574oken",
            "https://hub.example/t/main/%7token",
            "https://hub.example/t/main/%+4oken",
            "https://hub.example/t/main/token%",
            "https://hub.example/t/main/token%3F",
            "https://hub%2Eexample/t/main/token",
            " https://hub.example/t/main/token",
            "https://hub.example/t/main/token ",
            "https://hub.example /t/main/token",
            "https://hub\u{ad}.example/t/main/token",
            "https://hub.\nexample/t/main/token",
            "ftp://hub.example/t/main/token",
        ] {
            assert!(!same(bad, "https://hub.example/t/main/token"), "{bad}");
        }
    }
}
