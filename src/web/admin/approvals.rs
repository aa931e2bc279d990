//! `admin/approvals`: what people are asked and were asked, deciding for them, and taking it back.
//!
//! 1. What was approved is shown as the text whose SHA-256 was approved, with the word of each who has decided; with a passkey's word anybody can verify
//!    it without Writ.
//! 2. A client that asks or acts decides nothing here either, and what wants a passkey is not approved here.

use super::page;
use crate::approvals::{self, By, Choice, uri};
use crate::context::Cx;
use crate::crypto::sha256;
use crate::error::{Reason, Result};
use crate::model::Approval;
use crate::model::approval::{ApprovalStatus, Door, MAX_NOTE, Narrowing, number};
use crate::store;
use crate::web::schema::{ANY, Kind, members, object, sent};
use crate::web::{AdminCall, Response};
use serde::Deserialize;
use serde_json::{Value, json};

/// Beyond every id.
const LAST: &str = "~";
const WORDS: Kind = Kind::List(&Kind::Word, ANY);

object!(
    /// Who has to approve, and how many of them.
    RULE = "ApprovalRule" [members![must "who" WORDS, must "n" Kind::Count, must "passkey" Kind::Boolean]]
);

object!(
    /// The word of one who has decided. `passkey` has what proves it.
    VOTE = "ApprovalVote" [members![
        must "by" Kind::Word,
        must "at" Kind::Time,
        must "approves" Kind::Boolean,
        must "hash" Kind::Word,
        may "passkey" Kind::Json,
    ]]
);

object!(
    /// An approval. `hash` is the SHA-256 of `granted`, or of `statement` where nothing was left out.
    APPROVAL = "Approval" [members![
        must "id" Kind::Word,
        must "status" Kind::Word,
        must "door" Kind::Words("ApprovalDoor", || Door::ALL.map(Door::as_str).to_vec()),
        must "client" Kind::Word,
        must "requester" Kind::Word,
        must "subject" Kind::Word,
        must "statement" Kind::Word,
        may "granted" Kind::Word,
        must "hash" Kind::Word,
        must "rules" Kind::List(&Kind::Object(&RULE), ANY),
        must "votes" Kind::List(&Kind::Object(&VOTE), ANY),
        may "note" Kind::Word,
        must "number" Kind::Word,
        must "uri" Kind::Word,
        must "created_at" Kind::Time,
        must "expires_at" Kind::Time,
    ]]
);

object!(
    /// A decision about an approval.
    APPROVAL_DECISION = "ApprovalDecision" [members![
        must "decision" Kind::Words("ApprovalWord", || vec!["approve", "deny"]),
        may "scope" Kind::List(&Kind::Text(512), 100),
        may "authorization_details" Kind::List(&Kind::Json, 10),
        may "note" Kind::Text(MAX_NOTE),
    ]]
);

#[derive(Deserialize)]
struct Body {
    decision: String,
    #[serde(default)]
    scope: Option<Vec<String>>,
    #[serde(default)]
    authorization_details: Option<Vec<Value>>,
    #[serde(default)]
    note: Option<String>,
}

/// Lists approvals, the newest first.
pub async fn list(call: AdminCall<'_>) -> Result<Response> {
    let (cx, page) = (call.cx, page(call, &["status"])?);
    let before = if page.after().is_empty() { LAST } else { page.after() };
    let query = match page.get("status") {
        None => store::approvals::list(&cx.tenant.id, before, page.rows()),
        Some(status) => {
            let status = ApprovalStatus::ALL.into_iter().find(|known| known.as_str() == status).ok_or_else(|| {
                let all = ApprovalStatus::ALL.map(ApprovalStatus::as_str).join(", ");
                Reason::InvalidQuery.because(["`status` must be one of: ", &all].concat())
            })?;
            store::approvals::list_of(&cx.tenant.id, status, before, page.rows(), cx.now.seconds())
        }
    };
    Ok(page.of(cx.all(query).await?, |approval| (approval.id.clone(), view(cx, &approval))))
}

/// Shows an approval.
pub async fn get(call: AdminCall<'_>) -> Result<Response> {
    let approval = approvals::find(call.cx, call.id(0)?).await?;
    Ok(Response::json(200, &view(call.cx, &approval)))
}

/// Decides about an approval.
pub async fn decide(call: AdminCall<'_>) -> Result<Response> {
    approvals::find(call.cx, call.id(0)?).await?;
    let Body { decision, scope, authorization_details, note } =
        sent(call.request)?.read_plain(&APPROVAL_DECISION).await?;
    let choice = Choice {
        approves: decision == "approve",
        narrowing: Narrowing { scope, authorization_details },
        note,
        passkey: None,
    };
    let approval = approvals::decide(call.cx, call.id(0)?, By::Administrator(call.admin), &choice).await?;
    Ok(Response::json(200, &view(call.cx, &approval)))
}

/// Takes an approval back, with every token that came of it.
pub async fn revoke(call: AdminCall<'_>) -> Result<Response> {
    let approval = approvals::revoke(call.cx, call.id(0)?, call.admin).await?;
    Ok(Response::json(200, &view(call.cx, &approval)))
}

fn view(cx: &Cx<'_>, approval: &Approval) -> Value {
    let mut shown = json!({
        "id": approval.id, "status": approval.standing(cx.now.seconds()), "door": approval.door.as_str(),
        "client": approval.client, "requester": approval.requester, "subject": approval.subject,
        "statement": approval.statement, "hash": sha256(approval.granted()).to_text(), "rules": approval.body.rules,
        "votes": approval.body.votes, "number": number(&approval.id), "uri": uri(cx, &approval.id),
        "created_at": approval.created_at, "expires_at": approval.expires_at,
    });
    for (name, value) in [("granted", &approval.body.narrowed), ("note", &approval.body.note)] {
        if let (Some(members), Some(value)) = (shown.as_object_mut(), value) {
            members.insert(name.to_owned(), value.as_str().into());
        }
    }
    shown
}
