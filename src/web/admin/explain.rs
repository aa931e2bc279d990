//! `admin/policies/explain`, `replay`, and of one policy `shadow` and `enforce`: why something is decided, and what would be.
//!
//! 1. Explaining and trying out only read, so `admin:read` is enough for them.
//! 2. What they answer is bounded. Where more was asked for, `next_cursor` says where to go on; the answers add up.

use super::aggregate::Aggregate;
use super::events::{LAST, seconds};
use super::parameters;
use super::policies::{MAX_CEDAR, MODE, Policies};
use crate::cedar::{Action, Mode, Source};
use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::model::id::{first_at, is_plausible};
use crate::policy;
use crate::policy::explain;
use crate::policy::question::Question;
use crate::policy::replay::{self, Change, MAX_CHANGES, MAX_READ, Period, READ};
use crate::policy::shadow;
use crate::policy::written::{MAX_ITEMS, MAX_SCOPES, MAX_TEXT};
use crate::revocation::standing;
use crate::store::{self, policies::PolicyDraft};
use crate::web::negotiation::{Conditions, etag};
use crate::web::schema::objects::{ID, SLUG};
use crate::web::schema::{ANY, Form, Kind, RESOURCE, members, object, sent};
use crate::web::{AdminCall, Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::net::IpAddr;

const WORDS: Kind = Kind::List(&Kind::Word, ANY);
const ADDRESS: Kind =
    Kind::Form(&Form { most: 45, format: None, fits: |text| text.parse::<IpAddr>().is_ok(), must: "an IP address" });
const ACTION: Kind = Kind::Words("Action", || Action::ALL.iter().map(|action| action.as_str()).collect());
const TEXT: Kind = Kind::Text(MAX_TEXT);
const TEXTS: Kind = Kind::List(&TEXT, MAX_ITEMS);
const CURSOR: Kind =
    Kind::Form(&Form { most: 64, format: None, fits: is_plausible, must: "the `next_cursor` of the answer before" });

object!(
    /// What to explain: a question, or the `decision` that a refusal names, or the `jti` of a token.
    EXPLAIN = "Explain" [members![
        may "decision" ID,
        may "jti" ID,
        may "client_id" TEXT,
        may "client_name" TEXT,
        may "kind" TEXT,
        may "owner" TEXT,
        may "tags" TEXTS,
        may "allowed_resources" TEXTS,
        may "registration" TEXT,
        may "verified" Kind::Boolean,
        may "user" TEXT,
        may "roles" TEXTS,
        may "groups" TEXTS,
        may "claims" TEXTS,
        may "action" ACTION,
        may "resource" RESOURCE,
        may "scopes" Kind::List(&TEXT, MAX_SCOPES),
        may "connection" TEXT,
        may "connection_kind" TEXT,
        may "tool" TEXT,
        may "resource_server" TEXT,
        may "method" TEXT,
        may "host" TEXT,
        may "path" TEXT,
        may "ip" ADDRESS,
        may "country" TEXT,
        may "asn" Kind::Whole(0, 4_294_967_295),
        may "at" Kind::Time,
        may "grant_type" TEXT,
        may "auth_method" TEXT,
        may "acr" TEXT,
        may "dpop" Kind::Boolean,
        may "auth_time" Kind::Time,
        may "authorization_details" TEXTS,
        may "chain" TEXTS,
        may "chain_tags" TEXTS,
        may "workload_claims" TEXTS,
    ]]
);

object!(
    /// What policy says, and why.
    EXPLANATION = "Explanation" [members![
        must "question" Kind::Json,
        must "policy_version" Kind::Word,
        may "decided" Kind::Json,
        must "answers" Kind::List(&Kind::Object(&ANSWER), ANY),
        must "notes" WORDS,
    ]]
);

object!(
    /// What policy says of one scope or connection.
    ANSWER = "PolicyAnswer" [members![
        must "action" Kind::Word,
        may "resource" Kind::Word,
        may "scope" Kind::Word,
        may "connection" Kind::Word,
        must "allow" Kind::Boolean,
        may "because" Kind::Word,
        may "said" Kind::Word,
        must "policy" Kind::Word,
        may "was" Kind::Word,
        must "policies" WORDS,
        may "errors" WORDS,
        may "shadow" WORDS,
        may "require" WORDS,
        may "ttl" Kind::Count,
        may "limits" WORDS,
        may "room" Kind::List(&Kind::Object(&ROOM), ANY),
        must "statements" Kind::List(&Kind::Object(&STATEMENT), ANY),
        may "more" Kind::Count,
    ]]
);

object!(
    /// What a limit has left of its window.
    ROOM = "RoomInLimit" [members![
        must "policy" Kind::Word,
        must "statement" Kind::Count,
        must "limit" Kind::Word,
        must "left" Kind::Count,
        must "until" Kind::Time,
        must "suspends" Kind::Boolean,
    ]]
);

object!(
    /// A statement that decided, or that would have decided had a condition held.
    STATEMENT = "Statement" [members![
        must "policy" Kind::Word,
        must "statement" Kind::Count,
        must "line" Kind::Count,
        must "column" Kind::Count,
        must "effect" Kind::Word,
        must "mode" MODE,
        must "holds" Kind::Boolean,
        may "failed" Kind::Object(&FAILED),
    ]]
);

object!(
    /// The first part of a statement that does not hold.
    FAILED = "FailedCondition" [members![
        must "part" Kind::Word,
        must "line" Kind::Count,
        must "column" Kind::Count,
        must "text" Kind::Word,
        must "facts" Kind::Json,
        must "because" Kind::Word,
    ]]
);

object!(
    /// Changes of policies to try out on the decisions of a period.
    REPLAY = "Replay" [members![
        must "changes" Kind::List(&Kind::Object(&CHANGE), MAX_CHANGES),
        may "since" Kind::Time,
        may "until" Kind::Time,
        may "client_id" ID,
        may "action" ACTION,
        may "limit" Kind::Whole(1, MAX_READ),
        may "cursor" CURSOR,
    ]]
);

object!(
    /// One change: `cedar` with or without `mode`, or `mode`, or `delete`.
    CHANGE = "PolicyChange" [members![
        must "id" SLUG,
        may "cedar" Kind::Text(MAX_CEDAR),
        may "mode" MODE,
        may "delete" Kind::Boolean,
    ]]
);

object!(
    /// Which decisions would have been others.
    REPLAYED = "Replayed" [members![
        must "policy_version" Kind::Word,
        must "read" Kind::Count,
        must "decisions" Kind::Count,
        must "changed" Kind::Count,
        must "would_allow" Kind::Count,
        must "would_deny" Kind::Count,
        must "would_require" Kind::Count,
        must "skipped" Kind::List(&Kind::Object(&SKIPPED), ANY),
        must "groups" Kind::List(&Kind::Object(&GROUP), ANY),
        must "more" Kind::Count,
        must "examples" Kind::List(&Kind::Object(&EXAMPLE), ANY),
        may "next_cursor" Kind::Word,
    ]]
);

object!(
    /// Decisions that could not be decided again, and why.
    SKIPPED = "Skipped" [members![must "why" Kind::Word, must "count" Kind::Count]]
);

object!(
    /// Verdicts that would have been others, counted together.
    GROUP = "ChangedVerdicts" [members![
        must "client" Kind::Word,
        may "client_name" Kind::Word,
        must "action" Kind::Word,
        may "resource" Kind::Word,
        may "scope" Kind::Word,
        may "connection" Kind::Word,
        must "was" Kind::Word,
        must "would" Kind::Word,
        must "count" Kind::Count,
        must "already" Kind::Count,
        must "first_at" Kind::Time,
        must "last_at" Kind::Time,
    ]]
);

object!(
    /// A verdict that would have been another.
    EXAMPLE = "ChangedVerdict" [members![
        must "decision" Kind::Word,
        must "at" Kind::Time,
        must "client" Kind::Word,
        may "subject" Kind::Word,
        may "resource" Kind::Word,
        may "scope" Kind::Word,
        may "connection" Kind::Word,
        must "was" Kind::Word,
        must "would" Kind::Word,
        must "policies" WORDS,
    ]]
);

object!(
    /// What a policy would have changed while it was in shadow.
    SHADOW = "ShadowReport" [members![
        must "policy" Kind::Word,
        must "mode" MODE,
        must "read" Kind::Count,
        must "decisions" Kind::Count,
        must "would_allow" Kind::Count,
        must "would_deny" Kind::Count,
        must "unknown" Kind::Count,
        may "first_at" Kind::Time,
        may "last_at" Kind::Time,
        must "groups" Kind::List(&Kind::Object(&GROUP), ANY),
        must "more" Kind::Count,
        must "examples" Kind::List(&Kind::Object(&EXAMPLE), ANY),
        may "next_cursor" Kind::Word,
    ]]
);

/// The parameters of a shadow report.
pub const PARAMETERS: &[&str] = &["since", "until", "cursor"];

/// Explains a question, a decision, or a token.
pub async fn explain(call: AdminCall<'_>) -> Result<Response> {
    let cx = call.cx;
    let wanted: Map<String, Value> = sent(call.request)?.read_plain(&EXPLAIN).await?;
    let alone = |name: &str| wanted.get(name).and_then(Value::as_str).filter(|_| wanted.len() == 1);
    let event = match (alone("decision"), alone("jti")) {
        (Some(decision), _) => explain::of_decision(cx, decision).await?,
        (None, Some(jti)) => explain::of_token(cx, jti).await?,
        (None, None) if wanted.contains_key("decision") || wanted.contains_key("jti") => {
            return Err(Reason::InvalidField.because("send `decision` alone, `jti` alone, or a question"));
        }
        (None, None) => {
            let question = explain::wanted(cx, wanted).await?;
            let mut answer = explain::explain(cx, &question, true).await?;
            let quota = standing::quota(cx, &question).await?;
            note(&mut answer, quota);
            return Ok(Response::json(200, &with_stops(cx, &question, answer).await?));
        }
    };
    let (question, answer) = explain::event(cx, &event).await?;
    Ok(Response::json(200, &with_stops(cx, &question, answer).await?))
}

fn note(answer: &mut Value, note: Option<String>) {
    let notes = answer.get_mut("notes").and_then(Value::as_array_mut);
    if let Some(notes) = notes {
        notes.extend(note.map(Value::from));
    }
}

/// An explanation that says as well who is stopped: then nothing is given, whatever policy says.
async fn with_stops(cx: &Cx<'_>, question: &Question, mut answer: Value) -> Result<Value> {
    let Some(why) = standing::stopped(cx, question).await? else { return Ok(answer) };
    for one in answer.get_mut("answers").and_then(Value::as_array_mut).into_iter().flatten() {
        explain::refuse(one, "stopped", &why);
    }
    note(&mut answer, Some([&why, ", whatever policy says"].concat()));
    Ok(answer)
}

#[derive(Deserialize)]
struct Replay {
    changes: Vec<Change>,
    #[serde(default)]
    since: Option<i64>,
    #[serde(default)]
    until: Option<i64>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    limit: Option<i64>,
    #[serde(default)]
    cursor: Option<String>,
}

/// The first id of a moment in seconds.
fn id_at(seconds: i64) -> String {
    first_at(seconds.saturating_mul(1_000))
}

/// Tries changes out.
pub async fn replay(call: AdminCall<'_>) -> Result<Response> {
    let Replay { changes, since, until, client_id, action, limit, cursor } =
        sent(call.request)?.read_plain(&REPLAY).await?;
    let since = since.map(id_at).unwrap_or_default();
    let from = cursor.map_or(since.clone(), |cursor| since.max([&cursor, "!"].concat()));
    let before = until.map_or_else(|| LAST.to_owned(), id_at);
    let period = Period {
        from: &from,
        before: &before,
        client: client_id.as_deref(),
        action: action.as_deref(),
        limit: limit.unwrap_or(READ),
    };
    let (answer, next) = replay::replay(call.cx, &changes, &period).await?;
    Ok(page(answer, next.map(|next| next.trim_end_matches('!').to_owned())))
}

fn page(answer: Value, next: Option<String>) -> Response {
    let mut members = match answer {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    members.extend(next.map(|next| ("next_cursor".to_owned(), next.into())));
    Response::json(200, &members)
}

async fn existing(cx: &Cx<'_>, id: &str) -> Result<store::policies::Policy> {
    Policies::find(cx, id).await?.ok_or_else(|| Reason::NotFound.into())
}

/// Reports what a policy would have changed while it was in shadow.
pub async fn shadow(call: AdminCall<'_>) -> Result<Response> {
    let query = parameters(call, PARAMETERS)?;
    let text = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let time = |name: &'static str| text(name).map(|text| seconds(name, text).map(id_at)).transpose();
    let (from, mut before) = (time("since")?.unwrap_or_default(), time("until")?.unwrap_or_else(|| LAST.to_owned()));
    if let Some(cursor) = text("cursor") {
        if !is_plausible(cursor) {
            return Err(Reason::InvalidQuery.because("`cursor` must be the `next_cursor` of this report"));
        }
        before = before.min(cursor.to_owned());
    }
    let policy = existing(call.cx, call.id(0)?).await?;
    let (report, next) = shadow::report(call.cx, &policy, (&from, &before)).await?;
    Ok(page(report, next))
}

/// Turns a policy on for good. Where it is on, nothing changes.
pub async fn enforce(call: AdminCall<'_>) -> Result<Response> {
    let id = call.id(0)?;
    let mut present = existing(call.cx, id).await?;
    Conditions::of(call.request).expect(Some(present.version))?;
    if present.source.mode != Mode::Enforce {
        policy::change(call.cx, call.admin, (id, false), |now| {
            let now = now.ok_or(Reason::NotFound)?;
            if now.version != present.version {
                return Err(Reason::PreconditionFailed.into());
            }
            let source = Source { mode: Mode::Enforce, ..now.source.clone() };
            Ok(Some(PolicyDraft { source, description: now.description.clone(), tests: now.tests.clone() }))
        })
        .await?;
        present = existing(call.cx, id).await?;
    }
    Ok(Response::json(200, &Policies::view(call.cx, &present)).with("etag", etag(present.version)))
}

/// The way to an explanation of what an agentic identity gets: complete but for `resource` and `scopes`, or `connection`.
pub fn link(cx: &Cx<'_>, client: &str, subject: &str) -> Value {
    let user = (client != subject).then_some(subject);
    let mut body = serde_json::json!({"client_id": client});
    if let (Some(user), Some(members)) = (user, body.as_object_mut()) {
        members.insert("user".to_owned(), user.into());
    }
    serde_json::json!({"url": cx.issuer() + "/admin/policies/explain", "body": body})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::written;

    #[test]
    fn a_question_to_explain_has_the_members_of_every_question() {
        let declared: Vec<&str> =
            EXPLAIN.groups.iter().flat_map(|group| group.iter()).map(|member| member.name).collect();
        let known: Vec<&str> = ["decision", "jti"].into_iter().chain(written::names()).collect();
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_unstable();
            names
        };
        assert_eq!(sorted(declared), sorted(known));
    }
}
