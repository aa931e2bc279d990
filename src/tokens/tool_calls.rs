//! Tool calls that resource servers report: what was done with tokens, beside what they allowed.
//!
//! In scope: what a report has to prove, and its events. Out of scope: its shape and who may send one (`web`).
//!
//! 1. A call is reported with the agent's token itself, as a lease is asked for with it. Its signature says which client called, for whom, and by
//!    whose hands; the reporter cannot name an agent that has never called it. No token is kept.
//! 2. The token was issued for a resource that the reporter serves, and held at the moment of the call. It may have expired since, and a party of it may
//!    be stopped by now: then the event says so, for that is what an investigator looks for.
//! 3. What the reporter alone knows (tool, outcome, duration, arguments, and which of the token's scope was used) is in the event beside its own id (`resource_server`): nobody has verified it.
//! 4. The id of the event comes of the reporter, of its id for the call and of the moment: a report that comes again makes no second event.
//! 5. A report is taken whole or not at all, and the refusal names each call that is wrong.

use super::target::serves;
use super::verify::{Used, verify_used};
use crate::audit;
use crate::authn::client::limit_attempts;
use crate::context::Cx;
use crate::crypto::sha256;
use crate::error::{Reason, Rejection, Result};
use crate::jose::LEEWAY_SECONDS;
use crate::model::event::Facts;
use crate::model::id::ulid_of;
use crate::model::{Client, Event, EventType};
use crate::oauth::Scope;
use crate::ports::Now;

/// How many calls a report has at most.
pub const MAX_CALLS: usize = 50;
/// How long after a call it may be reported, in seconds.
pub const LATE_SECONDS: i64 = 3_600;
/// How many reports of a resource server are taken in a minute.
const REPORTS: i64 = 100;
/// How many faults a refusal names.
const MAX_FAULTS: usize = 20;

/// A call of a tool, as it is reported.
pub struct ToolCall {
    /// The reporter's own name for it.
    pub id: String,
    /// The token with which it was made.
    pub subject_token: String,
    /// The tool.
    pub tool: String,
    /// When it was made.
    pub at: Now,
    /// What came of it.
    pub outcome: String,
    /// How long it took, in milliseconds.
    pub millis: Option<u64>,
    /// SHA-256 over its arguments, as base64url.
    pub arguments_sha256: Option<String>,
    /// The scope that it used.
    pub scope: Option<Scope>,
}

/// Counts a report, before anything of it is read.
pub async fn count(cx: &Cx<'_>, server: &Client) -> Result<()> {
    limit_attempts(cx, &["reports/", &server.id].concat(), REPORTS, Reason::TooManyReports).await
}

/// Records the calls that a resource server reports.
pub async fn report(cx: &Cx<'_>, server: &Client, calls: &[ToolCall]) -> Result<()> {
    cx.note_name(&server.id, &server.metadata.client_name);
    let (mut events, mut faults): (Vec<Event>, Vec<String>) = (Vec::new(), Vec::new());
    // A handful: fewer than would be worth a table.
    let mut known: Vec<(&str, Used)> = Vec::new();
    for (n, call) in calls.iter().enumerate() {
        let mut fault = |member: &str, what: &str| faults.push(format!("`calls[{n}].{member}` {what}"));
        if calls.iter().take(n).any(|before| before.id == call.id) {
            fault("id", "is there a second time");
            continue;
        }
        let age = cx.now.seconds().saturating_sub(call.at.seconds());
        if !(-LEEWAY_SECONDS..=LATE_SECONDS).contains(&age) {
            fault("at_millis", "must be a moment of the last hour, in milliseconds since the epoch");
            continue;
        }
        let token = call.subject_token.as_str();
        let is_it = |(other, used): &&(&str, Used)| *other == token && used.holds_at(call.at);
        if known.iter().find(is_it).is_none() {
            match verify_used(cx, token, call.at, |aud| serves(cx, server, aud)).await {
                Ok(used) => known.push((token, used)),
                Err(Rejection::Error(error)) => return Err(error),
                Err(rejection) => {
                    let why = match rejection {
                        Rejection::Because(why) => why,
                        _ => "not valid",
                    };
                    let what = "must be an access token of this issuer for a resource that this resource server serves, valid at `at_millis`";
                    fault("subject_token", &[what, ": ", why].concat());
                    continue;
                }
            }
        }
        let Some((_, used)) = known.iter().find(is_it) else { continue };
        let held = Scope::parse(&used.claims.scope).unwrap_or_default();
        match call.scope.iter().flat_map(Scope::iter).all(|one| held.contains(one)) {
            true => events.push(event(cx, server, call, used)),
            false => fault("scope", "must be scope of `subject_token`"),
        }
    }
    if !faults.is_empty() {
        faults.truncate(MAX_FAULTS);
        return Err(Reason::InvalidField.because(faults.join("\n")));
    }
    audit::record_all(cx, &events).await
}

fn event(cx: &Cx<'_>, server: &Client, call: &ToolCall, Used { claims, stopped, .. }: &Used) -> Event {
    let facts = Facts {
        subject: Some(claims.sub.clone()),
        chain: claims.actors().into_iter().map(str::to_owned).collect(),
        resource: Some(claims.aud.resource().to_owned()),
        jti_hash: Some(sha256(&claims.jti).to_text()),
        tool: Some(call.tool.clone()),
        outcome: Some(call.outcome.clone()),
        millis: call.millis,
        arguments_sha256: call.arguments_sha256.clone(),
        scope_given: call.scope.as_ref().map(Scope::to_string),
        resource_server: Some(server.id.clone()),
        detail: stopped.map(|why| ["when this was reported, ", why].concat()),
        ..Facts::default()
    };
    let event = audit::event(cx, EventType::ToolCalled, Some(&claims.client_id), facts);
    let digest = sha256(["tool-call", &server.id, &call.id].join("\0"));
    Event { id: ulid_of(call.at.millis(), &digest), at: call.at.millis(), ..event }
}
