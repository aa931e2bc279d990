//! JSON Web Tokens that somebody sent (RFC 7519): a compact JWS whose payload is one JSON object.
//!
//! 1. `exp` must be there. It, `iat` and `nbf` are NumericDates: any finite JSON number (RFC 7519 §2). Fractions are cut
//!    off, so that a token is never younger, nor lives longer, than it says. Nothing else counts as a time, least of all as
//!    an absent one.
//! 2. Our own tokens have `iat` (RFC 9068 §2.2). Tokens of others may lack it where their RFC says so (RFC 7523 §3).
//! 3. Which `typ` is wanted is always said; where none will do, that is said too.

use super::jws::Jws;
use super::strict::object;
use super::{JwkSet, Problem, PublicJwk};
use crate::ports::{Alg, Keys, Now};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// How far another clock may run ahead of or behind ours, in seconds. Replay records outlive `exp` by at least as much.
pub const LEEWAY_SECONDS: i64 = 10;

/// The claims that are read as times and belong to no one else.
const TIMES: [&str; 3] = ["iat", "exp", "nbf"];

/// A token that parses. Nothing in it may be believed.
pub struct Unverified<'a> {
    pub(super) jws: Jws<'a>,
    pub(super) claims: Map<String, Value>,
}

impl<'a> Unverified<'a> {
    /// Reads a compact JWT within its limits; header and claims are strict JSON.
    pub fn parse(text: &'a str) -> Result<Self, Problem> {
        let jws = Jws::parse(text)?;
        let claims = object(&jws.payload).ok_or(Problem::Malformed)?;
        Ok(Self { jws, claims })
    }

    /// As [`Jws::alg`].
    pub fn alg(&self) -> Option<Alg> {
        self.jws.alg()
    }

    /// As [`Jws::kid`].
    pub fn kid(&self) -> Option<&str> {
        self.jws.kid()
    }

    /// As [`Jws::typ`].
    pub fn typ(&self) -> String {
        self.jws.typ()
    }

    /// What the token says of itself before anything was checked: good for finding whose keys to try, and for nothing else.
    pub fn unverified_claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// The `iss` that the token claims, if it is text. As [`Self::unverified_claim`].
    pub fn unverified_issuer(&self) -> Option<&str> {
        self.unverified_claim("iss").and_then(Value::as_str)
    }

    /// Checks `typ`, algorithm and signature, and gives the claims with their times, which are not checked yet.
    ///
    /// `exp` and `iat` must be there (RFC 9068 §2.2).
    pub async fn signed<C: DeserializeOwned>(
        &self,
        keys: &dyn Keys,
        key: &PublicJwk,
        typ: &str,
    ) -> Result<Signed<C>, Problem> {
        self.expect_type(&[typ])?;
        self.jws.verify(keys, key).await?;
        self.read().and_then(|signed| match signed.iat {
            Some(_) => Ok(signed),
            None => Err(Problem::BadClaims),
        })
    }

    /// As [`Self::signed`], and checks the times: they may be off by [`LEEWAY_SECONDS`].
    pub async fn verify<C: DeserializeOwned>(
        &self,
        keys: &dyn Keys,
        key: &PublicJwk,
        typ: &str,
        now: Now,
    ) -> Result<Verified<C>, Problem> {
        self.signed(keys, key, typ).await?.at(now)
    }

    /// As [`Self::verify`], with the keys of somebody else's set and any of several types; an empty one stands for a token
    /// without `typ`. `iat` may be absent. Which algorithms the owner of the set may use beyond what its keys allow is for
    /// the caller to say.
    pub async fn verify_by<C: DeserializeOwned>(
        &self,
        keys: &dyn Keys,
        set: &JwkSet,
        types: &[&str],
        now: Now,
    ) -> Result<Verified<C>, Problem> {
        self.expect_type(types)?;
        let alg = self.alg().ok_or(Problem::WrongAlgorithm)?;
        let mut verdict = Err(Problem::UnknownKey);
        for key in set.candidates(alg, self.kid()) {
            verdict = self.jws.verify(keys, key).await;
            if verdict != Err(Problem::BadSignature) {
                break;
            }
        }
        verdict?;
        self.read()?.at(now)
    }

    fn expect_type(&self, types: &[&str]) -> Result<(), Problem> {
        types.contains(&self.typ().as_str()).then_some(()).ok_or(Problem::WrongType)
    }

    /// A time among the claims, in whole seconds; nothing if it is absent.
    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, Problem> {
        self.claims.get(name).map(|value| numeric_date(value).ok_or(Problem::BadClaims)).transpose()
    }

    fn read<C: DeserializeOwned>(&self) -> Result<Signed<C>, Problem> {
        let (iat, exp, nbf) = (self.time("iat")?, self.time("exp")?, self.time("nbf")?);
        let exp = exp.ok_or(Problem::BadClaims)?;
        let mut rest = self.claims.clone();
        rest.retain(|name, _| !TIMES.contains(&name.as_str()));
        let claims = C::deserialize(Value::Object(rest)).map_err(|_| Problem::BadClaims)?;
        Ok(Signed { claims, iat, exp, nbf })
    }
}

/// A NumericDate in whole seconds: any finite JSON number (RFC 7519 §2), its fraction cut off.
pub fn numeric_date(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    let seconds = number.as_i64().or_else(|| Some(number.as_f64()?.floor() as i64))?;
    Some(seconds.clamp(-MOST_SECONDS, MOST_SECONDS))
}

/// The last second that JSON and D1 count exactly (RFC 8259 §6): beyond every calendar.
const MOST_SECONDS: i64 = 9_007_199_254_740_991;

/// Whether a moment has passed by more than the leeway.
pub(super) fn is_past(seconds: i64, now: Now) -> bool {
    now.seconds() > seconds.saturating_add(LEEWAY_SECONDS)
}

/// Whether a moment lies ahead by more than the leeway.
pub(super) fn is_ahead(seconds: i64, now: Now) -> bool {
    seconds > now.seconds().saturating_add(LEEWAY_SECONDS)
}

/// Claims whose signature has been checked, and whose times have not.
#[must_use]
#[derive(Clone, Debug)]
pub struct Signed<C> {
    claims: C,
    iat: Option<i64>,
    exp: i64,
    nbf: Option<i64>,
}

impl<C> Signed<C> {
    /// The claims, if they hold at that moment.
    pub fn at(self, now: Now) -> Result<Verified<C>, Problem> {
        let Self { claims, iat, exp, nbf } = self;
        if is_past(exp, now) {
            return Err(Problem::Expired);
        }
        match [iat, nbf].into_iter().flatten().any(|time| is_ahead(time, now)) {
            true => Err(Problem::NotYetValid),
            false => Ok(Verified { claims, iat, exp }),
        }
    }
}

/// Claims whose signature and times have been checked. What they say still has to be compared and, if the token is for
/// single use, spent.
#[must_use]
#[derive(Debug)]
pub struct Verified<C> {
    /// The claims besides the times.
    pub claims: C,
    /// When it was issued, in seconds; nothing if it does not say.
    pub iat: Option<i64>,
    /// When it expires, in seconds.
    pub exp: i64,
}
