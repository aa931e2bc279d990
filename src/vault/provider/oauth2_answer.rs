//! Answers of token endpoints (RFC 6749 §5), read strictly and within bounds, whatever a service makes of the RFC.
//!
//! 1. What an answer means for the tokens is one of four: there are others, they are refused and why, the service has not taken the request, or nobody
//!    knows.
//! 2. An error that is not known destroys nothing.

use super::answer::is_token;
use super::fields::MAX_TEXT;
use super::oauth2::{Given, Tokens, Ungiven};
use crate::crypto::Secret;
use crate::directory::connections::NEVER;
use crate::jose::is_strict;
use crate::model::AccountStatus;
use crate::oauth::scope;
use crate::ports::Answer;
use crate::vault::service::OAuth2;
use serde_json::Value;

/// How long an access token lives of which nobody says how long, in seconds, and the longest that is believed.
const UNKNOWN_LIFETIME: i64 = 3_600;
const LONGEST_LIFETIME: i64 = 10 * 366 * 86_400;
/// The most bytes, and the most scopes, of what a service grants.
const MAX_GRANTED: usize = 4 * 1024;

/// Reads an answer; `present` is the refresh token that was sent.
pub fn read(oauth2: &OAuth2, answer: Answer, present: Option<&str>, now: i64) -> Result<Given, Ungiven> {
    let status = answer.status;
    let body = Secret::new(answer.body);
    match status {
        // It says that it has not taken the request (RFC 9110 §15.6.4, RFC 6585 §4).
        503 | 429 => return Err(Ungiven::Trouble("its token endpoint is in trouble")),
        // Something broke on the way, or behind it.
        500.. => return Err(Ungiven::Lost("its token endpoint is in trouble")),
        _ => {}
    }
    let parsed: Option<Value> = serde_json::from_slice(body.expose()).ok().filter(|_| is_strict(body.expose()));
    let parsed = parsed.unwrap_or_default();
    let at = |pointer: &Option<String>, usual: &str| text_at(&parsed, pointer.as_deref().unwrap_or(usual));
    let token = |pointer: &Option<String>, usual: &str| at(pointer, usual).filter(|token| is_token(token));
    let Some(access_token) = token(&oauth2.access_token, "/access_token").filter(|_| status < 300) else {
        // Some services answer an error with 200.
        return Err(refused(status, parsed.get("error").and_then(Value::as_str)));
    };
    // A service that gives no other one keeps the one that it has (RFC 6749 §6).
    let refresh_token = token(&oauth2.refresh_token, "/refresh_token").or_else(|| present.map(str::to_owned));
    let expires_at = match lifetime(parsed.get("expires_in")).or(oauth2.expires_in) {
        Some(0) => NEVER,
        Some(seconds) => now.saturating_add(seconds),
        None if refresh_token.is_none() => NEVER,
        None => now.saturating_add(UNKNOWN_LIFETIME),
    };
    let short = |text: &String| text.len() <= MAX_TEXT && !text.contains(char::is_control) && !text.is_empty();
    let scope = at(&oauth2.scope, "/scope").filter(|text| text.len() <= MAX_GRANTED);
    let separator = oauth2.scope_separator.0.as_str();
    let scope = scope.map(|text| {
        text.split([' ', ','])
            .chain(text.split(separator))
            .filter(|one| scope::is_token(one) && !one.contains(','))
            .collect()
    });
    Ok(Given {
        tokens: Tokens { access_token, refresh_token },
        scope,
        expires_at,
        account: oauth2.account.is_some().then(|| at(&oauth2.account, "").filter(short)).flatten(),
        account_id: oauth2.account_id.is_some().then(|| at(&oauth2.account_id, "").filter(short)).flatten(),
    })
}

/// The text, or the whole number, at that place of an answer (RFC 6901).
pub fn text_at(answer: &Value, pointer: &str) -> Option<String> {
    let value = answer.pointer(pointer)?;
    value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|number| number.to_string()))
}

/// `expires_in`, which some services send as text or with a fraction; nothing if it says nothing of use.
fn lifetime(says: Option<&Value>) -> Option<i64> {
    let seconds = says.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()))?;
    let whole = (1..=LONGEST_LIFETIME).contains(&(seconds as i64)).then_some(seconds as i64);
    whole.or((seconds > LONGEST_LIFETIME as f64).then_some(LONGEST_LIFETIME))
}

/// What an error of the token endpoint means for an account (RFC 6749 §5.2, and what services say instead). One that is not known destroys nothing.
fn refused(status: u16, error: Option<&str>) -> Ungiven {
    let code =
        error.filter(|code| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)));
    let status = match code.unwrap_or_default() {
        "invalid_grant"
        | "invalid_refresh_token"
        | "bad_refresh_token"
        | "token_revoked"
        | "invalid_code"
        | "bad_verification_code"
        | "account_inactive" => AccountStatus::Revoked,
        "token_expired" | "expired_token" => AccountStatus::Expired,
        "access_denied" | "consent_required" | "interaction_required" | "login_required" => {
            AccountStatus::ConsentWithdrawn
        }
        "invalid_scope" | "missing_scope" => AccountStatus::ScopeLost,
        "invalid_client"
        | "unauthorized_client"
        | "invalid_client_id"
        | "bad_client_secret"
        | "incorrect_client_credentials" => AccountStatus::ClientMisconfigured,
        "" if status < 400 => return Ungiven::Lost("its answer has no usable token"),
        _ => return Ungiven::Trouble("it answers with an error that says nothing of the tokens"),
    };
    Ungiven::Refused(status, code.unwrap_or_default().to_owned())
}
