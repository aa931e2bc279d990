//! `admin/events/…` and `admin/log/…`: proofs of single events, the check of all of them, erasing, and the witnesses of the log.

use super::page::parameters;
use crate::audit::log::erasing::{self, Whose};
use crate::audit::log::{self, check, read};
use crate::crypto::sha256;
use crate::error::{Reason, Result};
use crate::store::{self, log::Placed};
use crate::web::schema::objects::ID;
use crate::web::schema::{ANY, Kind, members, object, sent};
use crate::web::{AdminCall, Response, log as public};
use serde::Deserialize;
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

object!(
    /// What the witnesses of a log have cosigned.
    WITNESSES = "LogWitnesses" [members![
        must "size" Kind::Count,
        must "witnesses" Kind::List(&Kind::Object(&WITNESS_STATE), ANY),
    ]]
);

object!(
    /// What a witness has cosigned last: how many events, by how many it is behind, and what became of the last attempt.
    WITNESS_STATE = "LogWitnessState" [members![
        must "name" Kind::Word,
        must "url" Kind::Word,
        must "key" Kind::Word,
        must "size" Kind::Count,
        must "lag" Kind::Count,
        must "attempts" Kind::Count,
        may "cosigned_at" Kind::Time,
        may "failing_since" Kind::Time,
        may "next_at" Kind::Time,
        may "outcome" Kind::Word,
    ]]
);

object!(
    /// Of which events members are erased: exactly one of `event` and `user`. Without `members`, those that tell of the user, or of the event's
    /// subject. `after` is the `next` of the answer before.
    ERASE = "Erasure" [members![
        may "event" ID,
        may "user" ID,
        may "members" Kind::List(&Kind::Words("ErasableMember", || erasing::MEMBERS.to_vec()), erasing::MEMBERS.len()),
        may "after" ID,
    ]]
);

object!(
    /// Of how many events members were erased, and after which one to go on.
    ERASED = "ErasedEvents" [members![
        must "erased" Kind::Count,
        may "next" Kind::Word,
    ]]
);

/// The body of `admin/events/erase`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Erasure {
    event: Option<String>,
    user: Option<String>,
    members: Option<Vec<String>>,
    after: String,
}

/// Erases members of events.
pub async fn erase(call: AdminCall<'_>) -> Result<Response> {
    let Erasure { event, user, members, after } = sent(call.request)?.read_plain(&ERASE).await?;
    let whose = match (&event, &user) {
        (Some(event), None) => Whose::Event(event),
        (None, Some(user)) => Whose::User(user, &after),
        _ => return Err(Reason::InvalidField.because("name exactly one of `event` and `user`")),
    };
    if members.as_ref().is_some_and(Vec::is_empty) {
        return Err(Reason::InvalidField.because("`members` must name at least one member, or be left out"));
    }
    let names: Option<Vec<&str>> = members.as_ref().map(|names| names.iter().map(|name| &**name).collect());
    let erased = erasing::erase(call.cx, whose, names.as_deref(), call.admin).await?;
    let mut body = json!({"erased": erased.events});
    if let (Some(members), Some(next)) = (body.as_object_mut(), erased.next) {
        members.insert("next".to_owned(), next.into());
    }
    Ok(Response::json(200, &body))
}

/// Shows the witnesses of the log.
pub async fn witnesses(call: AdminCall<'_>) -> Result<Response> {
    Ok(Response::json(200, &log::witness::states(call.cx).await?))
}

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
