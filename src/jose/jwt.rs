//! JSON Web Tokens that somebody sent (RFC 7519): a compact JWS whose payload is one JSON object.
//!
//! 1. `exp` and `iat` must be there; they and `nbf` must be whole seconds from 1970 to 9999, and nothing else counts as a
//!    time, least of all as an absent one.
//! 2. Which `typ` is wanted is always said; where none will do, that is said too.

use super::jws::Jws;
use super::strict::object;
use super::{JwkSet, Problem, PublicJwk};
use crate::crypto::unb64;
use crate::ports::{Alg, Keys, Now};
use chrono::{DateTime, TimeDelta, Utc};
use jwt_compact::{Claims, TimeOptions};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// How far another clock may run ahead of or behind ours, in seconds. Replay records outlive `exp` by at least as much.
pub const LEEWAY_SECONDS: i64 = 10;

/// The end of the year 9999 in seconds since the epoch.
const LATEST: u64 = 253_402_300_799;

/// A token that parses. Nothing in it may be believed.
pub struct Unverified<'a> {
    pub(super) jws: Jws<'a>,
    pub(super) claims: Map<String, Value>,
}

impl<'a> Unverified<'a> {
    /// Reads a compact JWT within its limits; header and claims are strict JSON.
    pub fn parse(text: &'a str) -> Result<Self, Problem> {
        let jws = Jws::parse(text)?;
        let claims = text.split('.').nth(1).and_then(|claims| object(&unb64(claims)?)).ok_or(Problem::Malformed)?;
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

    /// Checks `typ`, algorithm and signature, then the times, and gives the claims.
    ///
    /// `exp` and `iat` must be there (RFC 9068 §2.2); both and `nbf` may be off by [`LEEWAY_SECONDS`].
    pub async fn verify<C: DeserializeOwned>(
        &self,
        keys: &dyn Keys,
        key: &PublicJwk,
        typ: &str,
        now: Now,
    ) -> Result<Verified<C>, Problem> {
        self.expect_type(&[typ])?;
        self.jws.verify(keys, key).await?;
        self.live(now)
    }

    /// As [`Self::verify`], with the keys of somebody else's set and any of several types; an empty one stands for a token
    /// without `typ`. Which algorithms the owner of the set may use beyond what its keys allow is for the caller to say.
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
        self.live(now)
    }

    fn expect_type(&self, types: &[&str]) -> Result<(), Problem> {
        types.contains(&self.typ().as_str()).then_some(()).ok_or(Problem::WrongType)
    }

    /// Whether each of the three times is absent or a time.
    pub(super) fn has_sound_times(&self) -> bool {
        let is_time = |time: &Value| time.as_u64().is_some_and(|seconds| seconds <= LATEST);
        ["exp", "iat", "nbf"].into_iter().all(|name| self.claims.get(name).is_none_or(is_time))
    }

    fn live<C: DeserializeOwned>(&self, now: Now) -> Result<Verified<C>, Problem> {
        if !self.has_sound_times() {
            return Err(Problem::BadClaims);
        }
        let claims: Claims<C> = self.jws.token.deserialize_claims_unchecked().map_err(|_| Problem::BadClaims)?;
        let (Some(iat), Some(exp)) = (claims.issued_at, claims.expiration) else { return Err(Problem::BadClaims) };
        let clock: DateTime<Utc> = DateTime::from_timestamp(now.seconds(), 0).ok_or(Problem::BadClaims)?;
        let options = TimeOptions::new(TimeDelta::seconds(LEEWAY_SECONDS), move || clock);
        claims.validate_expiration(&options).map_err(|_| Problem::Expired)?;
        let ahead = now.seconds().saturating_add(LEEWAY_SECONDS);
        if iat.timestamp() > ahead || claims.not_before.is_some_and(|nbf| nbf.timestamp() > ahead) {
            return Err(Problem::NotYetValid);
        }
        Ok(Verified { claims: claims.custom, iat: iat.timestamp(), exp: exp.timestamp() })
    }
}

/// Claims whose signature and times have been checked. What they say still has to be compared and, if the token is for
/// single use, spent.
#[must_use]
#[derive(Debug)]
pub struct Verified<C> {
    /// The claims.
    pub claims: C,
    /// When it was issued, in seconds.
    pub iat: i64,
    /// When it expires, in seconds.
    pub exp: i64,
}
