//! How an error looks: OAuth JSON (RFC 6749 §5.2) or a problem document (RFC 9457).
//!
//! 1. Size and wording do not depend on the request (docs/requirements.md R110). Two exceptions: the id of a
//!    decision, which has a fixed length, and detail for an administrator.
//! 2. A log line tells the reason; it never holds a value that was sent.

use super::Response;
use super::descope;
use super::pages::{self, Language, Next};
use crate::context::Cx;
use crate::error::{Error, Reason, Refusal, Remedy, Waiting, Wire};
use crate::policy::STEP_UP_SECONDS;
use crate::ports::Alg;
use crate::store::failures::PERIOD_SECONDS;
use serde_json::{Map, Value, json};

/// The form in which a part of the surface speaks of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `{"error", "error_description"}`.
    OAuth,
    /// The same, with what the SDKs of Descope read.
    Descope,
    /// `application/problem+json`, with detail.
    Problem,
    /// A page for people.
    Page {
        /// Its language.
        language: Language,
        /// What a person can do.
        next: Next<'static>,
    },
}

/// Renders an error.
pub fn error(error: &Error, style: Style, issuer: Option<&str>) -> Response {
    if let Style::Page { language, next } = style {
        return pages::error(error, language, next);
    }
    let (wire, refusal) = match error {
        Error::Refused(refusal) => (refusal.reason.wire(), Some(refusal)),
        Error::Fault(fault) => (fault.wire(), None),
    };
    let response = match style {
        Style::Descope => {
            let reason = refusal.map(|refusal| refusal.reason);
            Response::json(
                descope::status(reason, wire.status),
                &descope::members(oauth(&wire, refusal), reason, &wire),
            )
        }
        Style::OAuth | Style::Page { .. } => Response::json(wire.status, &oauth(&wire, refusal)),
        Style::Problem => {
            Response::json(wire.status, &problem(&wire, refusal)).with("content-type", "application/problem+json")
        }
    };
    match wire.status {
        503 => response.with("retry-after", "1"),
        429 => {
            let after = refusal.and_then(|refusal| refusal.retry_after).unwrap_or(PERIOD_SECONDS);
            response.with("retry-after", after.to_string())
        }
        _ => {
            let challenge = challenge(&wire, refusal, issuer).map(|challenge| ("www-authenticate", challenge));
            let after = refusal.and_then(|refusal| refusal.retry_after);
            let after = after.map(|after| ("retry-after", after.to_string()));
            challenge.into_iter().chain(after).fold(response, |response, (name, value)| response.with(name, value))
        }
    }
}

fn oauth(wire: &Wire, refusal: Option<&Refusal>) -> Value {
    let mut members = Map::new();
    let mut add = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
    add("error", wire.code.into());
    add("error_description", wire.description.into());
    let Some(Refusal { reason, decision, remedy, .. }) = refusal else { return members.into() };
    if let Some(decision) = decision {
        add("decision", decision.as_str().into());
    }
    if *reason == Reason::StepUpRequired {
        add("max_age", STEP_UP_SECONDS.into());
    }
    match remedy.as_deref() {
        Some(Remedy::Connect(url)) => add("connect_url", url.as_str().into()),
        Some(Remedy::SignIn(acr_values)) => add("acr_values", acr_values.as_str().into()),
        Some(Remedy::Approve(approval)) => members.extend(awaited(approval)),
        None => {}
    }
    members.into()
}

/// What a client is told of an approval that it needs.
fn awaited(approval: &Waiting) -> Map<String, Value> {
    let Waiting { id, uri, number, interval, expires_in, note, .. } = approval;
    let all = [
        ("approval_id", Some(id.as_str().into())),
        ("approval_uri", uri.as_deref().map(Value::from)),
        ("approval_number", number.as_deref().map(Value::from)),
        ("interval", uri.as_ref().map(|_| (*interval).into())),
        ("expires_in", Some((*expires_in).into())),
        ("approval_note", note.as_deref().map(Value::from)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn problem(wire: &Wire, refusal: Option<&Refusal>) -> Value {
    let mut body = json!({"title": wire.description, "status": wire.status, "code": wire.code});
    if let (Some(refusal), Some(members)) = (refusal, body.as_object_mut()) {
        members.insert("reason".to_owned(), refusal.reason.as_str().into());
        if let Some(detail) = &refusal.detail {
            members.insert("detail".to_owned(), detail.as_str().into());
        }
    }
    body
}

/// What the caller should authenticate with (RFC 6749 §5.2, RFC 6750 §3, RFC 9449 §7.1). A request that has tried nothing is told no
/// error (RFC 6750 §3.1).
fn challenge(wire: &Wire, refusal: Option<&Refusal>, issuer: Option<&str>) -> Option<String> {
    let (realm, reason) = (issuer.unwrap_or("writ"), refusal.map(|refusal| refusal.reason));
    let scope = refusal.and_then(|refusal| refusal.scope).map(|scope| format!(", scope=\"{scope}\""));
    let scope = scope.unwrap_or_default();
    match (wire.status, wire.code) {
        (401, "invalid_client") => Some(format!("Basic realm=\"{realm}\"")),
        (401, _) if reason == Some(Reason::MissingToken) => Some(format!("Bearer realm=\"{realm}\"{scope}")),
        (401, code) if matches!(reason, Some(Reason::InvalidBoundToken | Reason::InvalidTokenProof)) => {
            let algs = Alg::NAMES.join(" ");
            Some(format!("DPoP realm=\"{realm}\", error=\"{code}\", algs=\"{algs}\"{scope}"))
        }
        (400, code) if reason == Some(Reason::StepUpRequired) => {
            let acr_values = match refusal.and_then(|refusal| refusal.remedy.as_deref()) {
                Some(Remedy::SignIn(acr_values)) => [", acr_values=\"", acr_values, "\""].concat(),
                _ => String::new(),
            };
            Some(format!("Bearer realm=\"{realm}\", error=\"{code}\", max_age=\"{STEP_UP_SECONDS}\"{acr_values}"))
        }
        (401, code) | (403, code @ "insufficient_scope") => {
            Some(format!("Bearer realm=\"{realm}\", error=\"{code}\"{scope}"))
        }
        _ => None,
    }
}

/// The same response, whose challenge says which scope the endpoint needs (RFC 6750 §3).
pub fn with_scope(mut response: Response, scope: &str) -> Response {
    let challenges = response.headers.iter_mut().filter(|(name, _)| *name == "www-authenticate");
    for (_, challenge) in challenges.filter(|(_, challenge)| !challenge.contains(" scope=")) {
        challenge.push_str(&format!(", scope=\"{scope}\""));
    }
    response
}

/// The log line of an error.
pub fn log(cx: &Cx<'_>, error: &Error) {
    cx.world.log.line(&format!("{}: {error}", cx.request_id));
}
