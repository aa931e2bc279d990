//! Compact JWS (RFC 7515 §7.1): shaping a token for the signature port, and reading one that somebody sent.

use super::PublicJwk;
use super::strict::object;
use crate::crypto::{b64, unb64};
use crate::error::{Fault, Rejection};
use crate::ports::{Alg, Keys, Unavailable};
use chrono::DateTime;
use jwt_compact::{Algorithm, AlgorithmExt, AlgorithmSignature, Claims, Header};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The longest token that is looked at, and that is issued, in bytes. An Entra token with 200 groups has 10 KB.
pub const MAX_TOKEN: usize = 16 * 1024;
/// The longest `kid`, in bytes.
const MAX_KID: usize = 256;

/// What is wrong with a token or a proof. For the log; callers are told one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No compact JWS, too long, or JSON that says two things.
    Malformed,
    /// Another `typ` than the one wanted.
    WrongType,
    /// `crit` names extensions, and we know none.
    Critical,
    /// Another algorithm than the key's, or one that is not verified here.
    WrongAlgorithm,
    /// No key that could have signed it; a key set that is kept may be too old.
    UnknownKey,
    /// The key that came with a proof is missing, unsound, or private.
    BadKey,
    /// The signature is not by that key.
    BadSignature,
    /// The claims do not have the wanted types, or one is missing.
    BadClaims,
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` lies ahead.
    NotYetValid,
    /// A proof for another request.
    OtherRequest,
    /// The keys could not be asked.
    Unavailable(&'static str),
}

impl Problem {
    /// A constant word for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongType => "wrong `typ`",
            Self::Critical => "`crit`",
            Self::WrongAlgorithm => "wrong `alg`",
            Self::UnknownKey => "unknown key",
            Self::BadKey => "bad `jwk`",
            Self::BadSignature => "bad signature",
            Self::BadClaims => "bad claims",
            Self::Expired => "expired",
            Self::NotYetValid => "not yet valid",
            Self::OtherRequest => "for another request",
            Self::Unavailable(port) => port,
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(port: Unavailable) -> Self {
        Self::Unavailable(port.0)
    }
}

impl From<Problem> for Rejection {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Unavailable(port) => Self::Error(Fault::Unavailable(port).into()),
            other => Self::Because(other.as_str()),
        }
    }
}

/// A token that wants its signature.
pub struct Unsigned(String);

impl Unsigned {
    /// Shapes header and claims; `times` are `iat` and `exp` in seconds since the epoch. An empty `kid` is left out.
    pub fn new(alg: Alg, typ: &str, kid: &str, claims: impl Serialize, times: (i64, i64)) -> Option<Self> {
        let (iat, exp) = times;
        Self::shape(alg, (typ, kid), claims, iat, Some(exp))
    }

    /// The same for what does not expire, such as a security event (RFC 8417 §2.2).
    pub fn without_end(alg: Alg, typ: &str, kid: &str, claims: impl Serialize, iat: i64) -> Option<Self> {
        Self::shape(alg, (typ, kid), claims, iat, None)
    }

    fn shape(alg: Alg, (typ, kid): (&str, &str), claims: impl Serialize, iat: i64, exp: Option<i64>) -> Option<Self> {
        let mut claims = Claims::new(claims);
        claims.issued_at = Some(DateTime::from_timestamp(iat, 0)?);
        if let Some(exp) = exp {
            claims.expiration = Some(DateTime::from_timestamp(exp, 0)?);
        }
        let header = Header::empty().with_token_type(typ);
        let header = if kid.is_empty() { header } else { header.with_key_id(kid) };
        let mut token = Shape(alg).token(&header, &claims, &()).ok()?;
        token.pop();
        Some(Self(token))
    }

    /// The bytes to sign (RFC 7515 §5.1).
    pub const fn input(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// How long the compact JWS will be at most, in bytes: with a signature by an RSA key of 2048 bits.
    pub const fn length(&self) -> usize {
        self.0.len().saturating_add(1 + 342)
    }

    /// The compact JWS.
    pub fn signed(self, signature: &[u8]) -> String {
        self.0 + "." + &b64(signature)
    }
}

/// `jwt-compact` shapes tokens around a signature that it makes at once; ours comes later, so it is given an empty one.
struct Shape(Alg);
struct NoSignature;

impl AlgorithmSignature for NoSignature {
    fn try_from_slice(_: &[u8]) -> anyhow::Result<Self> {
        Ok(Self)
    }
    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&[])
    }
}

impl Algorithm for Shape {
    type SigningKey = ();
    type VerifyingKey = ();
    type Signature = NoSignature;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(self.0.as_str())
    }
    fn sign(&self, (): &(), _: &[u8]) -> NoSignature {
        NoSignature
    }
    fn verify_signature(&self, _: &NoSignature, (): &(), _: &[u8]) -> bool {
        false
    }
}

/// A compact JWS that parses, whatever its payload is. Nothing in it may be believed.
pub struct Jws<'a> {
    header: Map<String, Value>,
    alg: Option<Alg>,
    input: &'a [u8],
    pub(super) payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Reads a compact JWS within its limits. Its header is strict JSON and asks for nothing critical. Of its members `alg`,
    /// `kid` and `typ` have to be text; all others are ignored, whatever they hold (RFC 7515 §4).
    pub fn parse(text: &'a str) -> Result<Self, Problem> {
        if text.len() > MAX_TOKEN {
            return Err(Problem::Malformed);
        }
        let (input, signature) = text.rsplit_once('.').ok_or(Problem::Malformed)?;
        let (header, payload) = input.split_once('.').ok_or(Problem::Malformed)?;
        let decoded = |part: &str| unb64(part).ok_or(Problem::Malformed);
        let header = object(&decoded(header)?).ok_or(Problem::Malformed)?;
        if header.contains_key("crit") {
            return Err(Problem::Critical);
        }
        let is_text = |name: &str| header.get(name).is_none_or(Value::is_string);
        let kid = header.get("kid").and_then(Value::as_str);
        if !is_text("typ") || !is_text("kid") || !kid.is_none_or(is_kid) {
            return Err(Problem::Malformed);
        }
        let alg = Alg::parse(header.get("alg").and_then(Value::as_str).ok_or(Problem::Malformed)?);
        let (payload, signature) = (decoded(payload)?, decoded(signature)?);
        Ok(Self { header, alg, input: input.as_bytes(), payload, signature })
    }

    /// The algorithm that the header claims, if it is one that is verified here: to be compared with what our own records
    /// allow, and never to be followed.
    pub const fn alg(&self) -> Option<Alg> {
        self.alg
    }

    /// The `kid` that the header claims: a lookup key and nothing more.
    pub fn kid(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// The `typ` that the header claims, empty if there is none. It is a media type, so case does not matter and
    /// `application/` may be left out (RFC 7515 §4.1.9).
    pub fn typ(&self) -> String {
        let named = self.header.get("typ").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        named.strip_prefix("application/").map(str::to_owned).unwrap_or(named)
    }

    /// The `jwk` of the header, which is used only where the token is to prove possession of just that key.
    pub(super) fn jwk(&self) -> Option<&Map<String, Value>> {
        self.header.get("jwk").and_then(Value::as_object)
    }

    /// Whether the token is signed by that key, with the algorithm of that key.
    pub async fn verify(&self, keys: &dyn Keys, key: &PublicJwk) -> Result<(), Problem> {
        if self.alg != Some(key.alg()) {
            return Err(Problem::WrongAlgorithm);
        }
        match keys.verify(key.as_key(), self.input, &self.signature).await? {
            true => Ok(()),
            false => Err(Problem::BadSignature),
        }
    }
}

/// Whether a text may be a `kid`: visible ASCII and spaces, of bounded length.
pub(super) fn is_kid(text: &str) -> bool {
    text.len() <= MAX_KID && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
