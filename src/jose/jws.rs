//! Compact JWS (RFC 7515 §7.1): shaping a token for the signature port, and reading one that somebody sent.

use super::{PublicJwk, is_strict};
use crate::crypto::{b64, unb64};
use crate::ports::{Alg, Keys, Now, Unavailable};
use chrono::{DateTime, TimeDelta, Utc};
use jwt_compact::{Algorithm, AlgorithmExt, AlgorithmSignature, Claims, Header, TimeOptions, UntrustedToken};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How far another clock may run ahead of or behind ours, in seconds. Replay records outlive `exp` by at least as much.
pub const LEEWAY_SECONDS: i64 = 10;

/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 8 * 1024;

/// What is wrong with a token. For the log; callers are told one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No compact JWS, too long, or JSON that says two things.
    Malformed,
    /// Another `typ` than the one wanted.
    WrongType,
    /// `crit` names extensions, and we know none.
    Critical,
    /// Another algorithm than the key's.
    WrongAlgorithm,
    /// The signature is not by that key.
    BadSignature,
    /// The claims do not have the wanted types, or one is missing.
    BadClaims,
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` lies ahead.
    NotYetValid,
    /// The keys could not be asked.
    Unavailable(&'static str),
}

impl From<Unavailable> for Problem {
    fn from(port: Unavailable) -> Self {
        Self::Unavailable(port.0)
    }
}

/// A token that wants its signature.
pub struct Unsigned(String);

impl Unsigned {
    /// Shapes header and claims; `times` are `iat` and `exp` in seconds since the epoch.
    pub fn new(alg: Alg, typ: &str, kid: &str, claims: impl Serialize, times: (i64, i64)) -> Option<Self> {
        let (iat, exp) = times;
        let mut claims = Claims::new(claims);
        claims.issued_at = Some(DateTime::from_timestamp(iat, 0)?);
        claims.expiration = Some(DateTime::from_timestamp(exp, 0)?);
        let header = Header::empty().with_token_type(typ).with_key_id(kid);
        let mut token = Shape(alg).token(&header, &claims, &()).ok()?;
        token.pop();
        Some(Self(token))
    }

    /// The bytes to sign (RFC 7515 §5.1).
    pub const fn input(&self) -> &[u8] {
        self.0.as_bytes()
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

#[derive(Debug, Clone, Deserialize)]
struct Extensions {
    crit: Option<IgnoredAny>,
}

/// A token that parses. Nothing in it may be believed.
pub struct Unverified<'a> {
    token: UntrustedToken<'a, Extensions>,
    input: &'a [u8],
}

impl<'a> Unverified<'a> {
    /// Reads a compact JWS within its limits.
    pub fn parse(text: &'a str) -> Result<Self, Problem> {
        if text.len() > MAX_TOKEN {
            return Err(Problem::Malformed);
        }
        let (input, _) = text.rsplit_once('.').ok_or(Problem::Malformed)?;
        let strict = |part: &str| unb64(part).is_some_and(|json| is_strict(&json));
        if !input.split_once('.').is_some_and(|(header, claims)| strict(header) && strict(claims)) {
            return Err(Problem::Malformed);
        }
        let token: UntrustedToken<'a, Extensions> = UntrustedToken::try_from(text).map_err(|_| Problem::Malformed)?;
        if token.header().other_fields.crit.is_some() {
            return Err(Problem::Critical);
        }
        Ok(Self { token, input: input.as_bytes() })
    }

    /// The `kid` that the header claims: a lookup key and nothing more.
    pub fn kid(&self) -> Option<&str> {
        self.token.header().key_id.as_deref()
    }

    /// Checks `typ`, algorithm and signature, then the times, and gives the claims.
    ///
    /// `exp` and `iat` must be there (checklist line 42); both and `nbf` may be off by [`LEEWAY_SECONDS`].
    pub async fn verify<C: DeserializeOwned>(
        self,
        keys: &dyn Keys,
        key: &PublicJwk,
        typ: &str,
        now: Now,
    ) -> Result<Verified<C>, Problem> {
        let named = self.token.header().token_type.as_deref().unwrap_or_default();
        // RFC 7515 §4.1.9: a media type, so case does not matter and `application/` may be spelled out.
        let named = named.to_ascii_lowercase();
        if named.strip_prefix("application/").unwrap_or(&named) != typ {
            return Err(Problem::WrongType);
        }
        if self.token.algorithm() != key.alg().as_str() {
            return Err(Problem::WrongAlgorithm);
        }
        if !keys.verify(key.as_key(), self.input, self.token.signature_bytes()).await? {
            return Err(Problem::BadSignature);
        }
        let claims: Claims<C> = self.token.deserialize_claims_unchecked().map_err(|_| Problem::BadClaims)?;
        Verified::live(claims, now)
    }
}

/// Claims whose signature and times have been checked. What they say still has to be compared and, if the token is for
/// single use, spent.
#[must_use]
pub struct Verified<C> {
    /// The claims.
    pub claims: C,
    /// When it was issued, in seconds.
    pub iat: i64,
    /// When it expires, in seconds.
    pub exp: i64,
}

impl<C> Verified<C> {
    fn live(claims: Claims<C>, now: Now) -> Result<Self, Problem> {
        let (Some(iat), Some(exp)) = (claims.issued_at, claims.expiration) else { return Err(Problem::BadClaims) };
        let clock: DateTime<Utc> = DateTime::from_timestamp(now.seconds(), 0).ok_or(Problem::BadClaims)?;
        let options = TimeOptions::new(TimeDelta::seconds(LEEWAY_SECONDS), move || clock);
        claims.validate_expiration(&options).map_err(|_| Problem::Expired)?;
        let ahead = now.seconds().saturating_add(LEEWAY_SECONDS);
        if iat.timestamp() > ahead || claims.not_before.is_some_and(|nbf| nbf.timestamp() > ahead) {
            return Err(Problem::NotYetValid);
        }
        Ok(Self { claims: claims.custom, iat: iat.timestamp(), exp: exp.timestamp() })
    }
}
