//! `admin/events/…`: proofs of single events, and the check of all of them.

use super::page::parameters;
use crate::audit::log::{self, check, read};
use crate::crypto::sha256;
use crate::error::{Reason, Result};
use crate::store::{self, log::Placed};
use crate::web::schema::{ANY, Kind, members, object};
use crate::web::{AdminCall, Response, log as public};
use serde_json::{Value, json};

/// What a request for the proof of an event may say.
pub const OF_EVENT: &[&str] = &["without"];
/// The same of a token.
pub const OF_TOKEN: &[&str] = &["jti", "without"];
/// How many tiles, of 256 events each, one request checks.
const TILES: u64 = 8;
const DAY_SECONDS: i64 = 86_400;

object!(
    /// What a check of the log has found.
    CHECKED = "CheckedLog" [members![
        must "size" Kind::Count,
        must "from" Kind::Count,
        must "to" Kind::Count,
        may "next" Kind::Count,
        must "forgotten" Kind::Count,
        may "forgotten_until" Kind::Time,
        must "waiting" Kind::Count,
        may "waiting_since" Kind::Time,
        must "problems" Kind::List(&Kind::Object(&PROBLEM), ANY),
    ]]
);

object!(
    /// Something that is wrong with a log.
    PROBLEM = "LogProblem" [members![
        must "problem" Kind::Word,
        must "detail" Kind::Word,
        may "seq" Kind::Count,
    ]]
);

/// Proves what an event says.
pub async fn get(call: AdminCall<'_>) -> Result<Response> {
    let parameters = parameters(call, OF_EVENT)?;
    let id = call.id(0)?;
    prove(call, &parameters, async || call.cx.trail().one(store::log::event(&call.cx.tenant.id, id)).await).await
}

/// Proves what was recorded when a token was issued.
pub async fn of_token(call: AdminCall<'_>) -> Result<Response> {
    let parameters = parameters(call, OF_TOKEN)?;
    let jti = parameters.iter().find(|(name, _)| name == "jti");
    let (_, jti) = jti.ok_or_else(|| Reason::InvalidQuery.because("`jti` has to be the `jti` of a token"))?;
    let digest = sha256(jti).to_text();
    let tenant = &call.cx.tenant.id;
    prove(call, &parameters, async || call.cx.trail().one(store::log::event_of_token(tenant, &digest)).await).await
}

async fn prove(
    call: AdminCall<'_>,
    parameters: &[(String, String)],
    find: impl AsyncFn() -> Result<Option<Placed>>,
) -> Result<Response> {
    log::publish(call.cx).await?;
    let event = find().await?.ok_or(Reason::NotFound)?;
    let without = parameters.iter().find(|(name, _)| name == "without").map_or("", |(_, names)| names);
    let without: Vec<&str> = without.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let body = read::proof(call.cx, &event, &without).await?;
    Ok(Response { body, ..Response::empty(200) }.with("content-type", public::TEXT))
}

/// Checks events from an index on; `next` says where to go on.
pub async fn verify(call: AdminCall<'_>) -> Result<Response> {
    let parameters = parameters(call, &["from"])?;
    let from = match parameters.first() {
        None => 0,
        Some((_, text)) => log::note::number(text)
            .ok_or_else(|| Reason::InvalidQuery.because("`from` must be the `next` of the answer before, or 0"))?,
    };
    let report = check::check(call.cx, from, TILES).await?;
    let problems: Vec<Value> = report
        .problems
        .iter()
        .map(|problem| match problem.seq() {
            None => json!({"problem": problem.as_str(), "detail": problem.to_text()}),
            Some(seq) => json!({"problem": problem.as_str(), "detail": problem.to_text(), "seq": seq}),
        })
        .collect();
    let mut body = json!({
        "size": report.size,
        "from": report.from,
        "to": report.to,
        "forgotten": report.forgotten,
        "waiting": report.waiting,
        "problems": problems,
    });
    if let Some(members) = body.as_object_mut() {
        if report.to < report.size && report.to > report.from {
            members.insert("next".to_owned(), report.to.into());
        }
        if let Some(since) = report.waiting_since {
            members.insert("waiting_since".to_owned(), since.div_euclid(1_000).into());
        }
        if report.forgotten_until > 0 {
            // The first second of the day after.
            let until = report.forgotten_until.saturating_add(1).saturating_mul(DAY_SECONDS);
            members.insert("forgotten_until".to_owned(), until.into());
        }
    }
    Ok(Response::json(200, &body))
}
