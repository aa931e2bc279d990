//! `POST /t/{tenant}/events`: a resource server reports which tools were called.
//!
//! 1. The caller is a resource server with a token for `{issuer}/events` (RFC 6750, RFC 9449), whose scope is `events:report`. Registration and policy
//!    are asked about it at each report.
//! 2. The answer comes once the events are durable, and has no body.
//! 3. A refusal is a problem document (RFC 9457) that names the member, never its value: a retry of the rest is the caller's to make.

use super::guard::Access;
use super::schema::{Form, Kind, SCOPE, members, object, sent};
use super::{ReceiverCall, Response};
use crate::crypto::Digest;
use crate::error::{Reason, Result};
use crate::jose::MAX_TOKEN;
use crate::model::EventType;
use crate::oauth::Scope;
use crate::ports::Now;
use crate::tokens::tool_calls::{self, MAX_CALLS, ToolCall};
use crate::vault::is_tool;
use serde::Deserialize;

/// Who may report.
pub static REPORT: Access = Access {
    api: "events",
    scopes: &["events:report"],
    refused: EventType::ToolReportRefused,
    other: Reason::NotAResourceServer,
    explains: true,
};

const MAX_ID: usize = 64;
/// A moment in milliseconds that fits D1.
const LAST_MILLI: i64 = 99_999_999_999_999;
/// A day: no call of a tool takes longer.
const MAX_MILLIS: i64 = 86_400_000;
/// What came of a call.
const OUTCOMES: [&str; 3] = ["succeeded", "failed", "refused"];

const CALL_ID: Kind = Kind::Form(&Form {
    most: MAX_ID,
    format: None,
    fits: |text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)),
    must: "1 to 64 of A-Z, a-z, 0-9, `-`, `_`, `.` and `:`: best a new UUID for each call",
});
const TOOL: Kind = Kind::Form(&Form {
    most: 800,
    format: None,
    fits: |text| !text.trim().is_empty() && is_tool(text),
    must: "1 to 200 characters, none of them a control character",
});
const DIGEST: Kind = Kind::Form(&Form {
    most: 43,
    format: None,
    fits: |text| Digest::from_text(text).is_some(),
    must: "a SHA-256 digest in base64url, without padding",
});

object!(
    /// A call of a tool.
    CALL = "ToolCall" [members![
        must "id" CALL_ID,
        must "subject_token" Kind::Text(MAX_TOKEN),
        must "tool" TOOL,
        must "at_millis" Kind::Whole(0, LAST_MILLI),
        must "outcome" Kind::Words("ToolOutcome", || OUTCOMES.to_vec()),
        may "millis" Kind::Whole(0, MAX_MILLIS),
        may "arguments_sha256" DIGEST,
        may "scope" SCOPE,
    ]]
);

object!(
    /// Calls of tools.
    CALLS = "ToolCalls" [members![must "calls" Kind::List(&Kind::Object(&CALL), MAX_CALLS)]]
);

#[derive(Deserialize)]
struct Body {
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    id: String,
    subject_token: String,
    tool: String,
    at_millis: u64,
    outcome: String,
    #[serde(default)]
    millis: Option<u64>,
    #[serde(default)]
    arguments_sha256: Option<String>,
    #[serde(default)]
    scope: Option<String>,
}

impl From<Call> for ToolCall {
    fn from(Call { id, subject_token, tool, at_millis, outcome, millis, arguments_sha256, scope }: Call) -> Self {
        let scope = scope.and_then(|scope| Scope::parse(&scope));
        Self { id, subject_token, tool, at: Now::from_millis(at_millis), outcome, millis, arguments_sha256, scope }
    }
}

/// Records a report.
pub async fn post(call: ReceiverCall<'_>) -> Result<Response> {
    tool_calls::count(call.cx, call.client).await?;
    let Body { calls } = sent(call.request)?.read_plain(&CALLS).await?;
    let calls: Vec<ToolCall> = calls.into_iter().map(ToolCall::from).collect();
    tool_calls::report(call.cx, call.client, &calls).await?;
    Ok(Response::empty(204))
}
