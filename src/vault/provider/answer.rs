//! Reading what services answer to a request for a token.
//!
//! 1. An answer is used only if it has the wanted status and is JSON that says one thing, within bounds.
//! 2. Nothing of it reaches the caller, the log or the event but the token, its scope, and an error code that is known.

use super::Token;
use super::oauth2::{Given, Ungiven};
use crate::crypto::Secret;
use crate::directory::connections::NEVER;
use crate::error::{Error, Reason, Result};
use crate::jose::{Unverified, is_strict, numeric_date};
use crate::oauth::Scope;
use crate::ports::Answer;
use chrono::DateTime;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// The longest token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// The longest that a token is believed to live, in seconds: 31 days.
const LONGEST: i64 = 31 * 24 * 60 * 60;
/// How long a token is used whose answer does not say how long it lives, in seconds.
pub const UNKNOWN_LIFETIME: u32 = 300;
/// RFC 6749 §5.2, RFC 8693 §2.2.2.
const ERRORS: &[&str] = &[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
];

/// An answer that is of no use.
pub fn unusable() -> Error {
    Reason::ProviderFailed.because("its answer is no usable token")
}

/// A successful token response (RFC 6749 §5.1) with what single services add.
#[derive(Deserialize)]
pub struct Success {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<i64>,
    scope: Option<String>,
    /// Google: an identity token instead.
    pub id_token: Option<String>,
    /// Salesforce: where the token is for.
    pub instance_url: Option<String>,
}

#[derive(Deserialize)]
struct OAuthError {
    error: String,
}

/// Whether text can be sent as a token.
pub fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A time in an answer (RFC 3339), as the seconds until then.
pub fn seconds_until(time: &str, now: i64) -> Option<u32> {
    let left = DateTime::parse_from_rfc3339(time).ok()?.timestamp().checked_sub(now)?;
    bounded(left)
}

/// The seconds until a JWT expires, as it says itself.
pub fn seconds_of_jwt(token: &str, now: i64) -> Option<u32> {
    let parsed = Unverified::parse(token).ok()?;
    bounded(numeric_date(parsed.unverified_claim("exp")?)?.checked_sub(now)?)
}

fn bounded(seconds: i64) -> Option<u32> {
    u32::try_from(seconds).ok().filter(|seconds| (1..=LONGEST).contains(&i64::from(*seconds)))
}

/// Whether a body is JSON that says one thing, and is called JSON.
fn is_json(content_type: Option<&str>, body: &[u8]) -> bool {
    let media = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json") && is_strict(body)
}

/// A bearer token, if it can be sent and its answer says how long it lives, in seconds.
pub fn bearer(token: Secret<String>, lifetime: Option<u32>) -> Result<Token> {
    match lifetime.filter(|_| is_token(token.expose())) {
        Some(lifetime) => Ok(Token::bearer(token, Some(lifetime))),
        None => Err(unusable()),
    }
}

/// The JSON of an answer with that status. What `refusals` has is a refusal; any other status is a service in trouble.
pub fn json<T: DeserializeOwned>(answer: Answer, status: u16, refusals: &[u16]) -> Result<T> {
    let body = Secret::new(answer.body);
    let is_json = is_json(answer.content_type.as_deref(), body.expose());
    match answer.status {
        found if found == status && is_json => serde_json::from_slice(body.expose()).map_err(|_| unusable()),
        found if refusals.contains(&found) && found != status => Err(Reason::ProviderRefused.into()),
        found if found == status => Err(Reason::ProviderFailed.because("its answer is no JSON")),
        _ => Err(Reason::ProviderFailed.because("its status says that it is in trouble")),
    }
}

/// The answer of a token endpoint (RFC 6749 §5).
pub fn success(answer: Answer) -> Result<Success> {
    let body = Secret::new(answer.body);
    if !is_json(answer.content_type.as_deref(), body.expose()) {
        return Err(Reason::ProviderFailed.because("its answer is no JSON"));
    }
    match answer.status {
        200 => serde_json::from_slice(body.expose()).map_err(|_| unusable()),
        400 | 401 => Err(match serde_json::from_slice::<OAuthError>(body.expose()) {
            Ok(OAuthError { error }) => match ERRORS.iter().find(|known| **known == error) {
                Some(known) => Reason::ProviderRefused.because(*known),
                None => Reason::ProviderRefused.into(),
            },
            Err(_) => Reason::ProviderFailed.because("its error is none of OAuth"),
        }),
        _ => Err(Reason::ProviderFailed.because("its status is neither 200 nor an OAuth error's")),
    }
}

impl Success {
    /// The bearer token of an answer that has to say how long it lives, in seconds within `bounds`.
    pub fn bearer_within(self, bounds: RangeInclusive<i64>) -> Result<Token> {
        match self.expires_in.is_some_and(|seconds| bounds.contains(&seconds)) {
            true => self.bearer(UNKNOWN_LIFETIME),
            false => Err(unusable()),
        }
    }

    /// The bearer token; `unsaid` is how long it lives where the answer does not say.
    pub fn bearer(self, unsaid: u32) -> Result<Token> {
        let token = Secret::new(self.access_token.unwrap_or_default());
        let is_bearer = self.token_type.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
        let lifetime = match self.expires_in {
            Some(seconds) => bounded(seconds).ok_or_else(unusable)?,
            None => unsaid,
        };
        if !is_bearer || !is_token(token.expose()) {
            return Err(unusable());
        }
        let scope = self.scope.as_deref().and_then(Scope::parse);
        Ok(Token::bearer(token, Some(lifetime)).with(scope_member(scope)))
    }

    /// The identity token, which says itself how long it lives.
    pub fn identity(self, now: i64) -> Result<Token> {
        let token = Secret::new(self.id_token.unwrap_or_default());
        let lifetime = seconds_of_jwt(token.expose(), now);
        bearer(token, lifetime)
    }
}

fn scope_member(scope: Option<Scope>) -> Map<String, Value> {
    scope.map(|scope| ("scope".to_owned(), scope.to_string().into())).into_iter().collect()
}

/// The token that a service has given by its catalogue entry; `is_endless` where a token whose answer names no end has none.
pub fn given(given: Result<Given, Ungiven>, now: i64, is_endless: bool) -> Result<Token> {
    match given {
        Ok(given) => {
            let lifetime = match given.expires_at {
                NEVER if is_endless => None,
                NEVER => Some(UNKNOWN_LIFETIME),
                at => Some(at.checked_sub(now).and_then(bounded).ok_or_else(unusable)?),
            };
            let token = Secret::new(given.tokens.access_token.clone());
            Ok(Token::bearer(token, lifetime).with(scope_member(given.scope)))
        }
        Err(Ungiven::Refused(_, code)) => Err(Reason::ProviderRefused.because(code)),
        Err(Ungiven::Trouble(why) | Ungiven::Lost(why)) => Err(Reason::ProviderFailed.because(why)),
    }
}
