//! Erasing: members that tell of a person are taken out of stored events, and the log stays as it is.
//!
//! In scope: stored events. Out of scope: what sinks were sent, what was exported, and proofs that were handed out.
//!
//! 1. What is left opens the same entry: digests stand for what is gone ([`super::entry`]). Their salts go with the members, so that nobody can try
//!    out who it was.
//! 2. The key of the log signs that these members of this event were erased. A check takes no other event with members missing for a whole one, so who can
//!    write to the database alone can take nothing out.
//! 3. Nothing is erased under a legal hold (`event_hold`), which is read anew. Only members that can tell of a person are: who acted, when and what became
//!    of it stays.
//! 4. That something is to be erased is recorded before it goes. A call takes a bounded number of events and says where to go on; doing it twice does
//!    no harm.

use super::entry::{self, Opening};
use super::keys;
use crate::audit;
use crate::context::Cx;
use crate::crypto::{b64, unb64};
use crate::error::{Fault, Reason, Result};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::store;
use crate::store::erasing::{Erasable, Rest};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What can be erased.
pub const MEMBERS: [&str; 12] = [
    "authorization_details",
    "chain",
    "chain_names",
    "client_name",
    "detail",
    "ip",
    "path",
    "question",
    "subject",
    "subject_name",
    "target",
    "target_name",
];
/// How many events one call takes.
const EVENTS: usize = 50;
/// The member of what salts an event that has the signature over what was erased.
const SIGNED: &str = "erased";

/// Of which events members are erased.
#[derive(Clone, Copy)]
pub enum Whose<'a> {
    /// Of this one.
    Event(&'a str),
    /// Of those that tell of this user, after an id.
    User(&'a str, &'a str),
}

/// What a call has erased.
pub struct Erased {
    /// Of how many events members are gone.
    pub events: usize,
    /// After which event to go on, if there may be more.
    pub next: Option<String>,
}

/// Erases members of events: those with these names, or those that tell of the user.
pub async fn erase(cx: &Cx<'_>, whose: Whose<'_>, names: Option<&[&str]>, by: &str) -> Result<Erased> {
    let tenant = &cx.tenant.id;
    expect_no_hold(cx).await?;
    if cx.config.logs().is_none() {
        return Err(Reason::Conflict.because("this Worker has no key of the log to sign with what was erased"));
    }
    let key = keys::get(cx).await?.ok_or(Fault::Unavailable("the key of the log"))?;
    if !cx.trail().all(store::log::unplaced(tenant, 1)).await?.is_empty() {
        return Err(Reason::Conflict
            .because("events of an earlier version have no place in the log yet: call again in some minutes"));
    }
    let (about, events, next) = match whose {
        Whose::Event(id) => (id, cx.trail().all(store::erasing::event(tenant, id)).await?, None),
        Whose::User(user, after) => {
            let limit = i64::try_from(EVENTS).unwrap_or(i64::MAX);
            let found = cx.trail().all(store::erasing::of_user(tenant, user, after, limit)).await?;
            let next = found.iter().map(|(id, _)| id.clone()).max().filter(|_| found.len() >= EVENTS);
            (user, found.into_iter().filter_map(|(_, event)| event).collect(), next)
        }
    };
    if events.is_empty() && matches!(whose, Whose::Event(_)) {
        return Err(Reason::NotFound.into());
    }
    let (mut statements, mut gone, mut count) = (Vec::new(), BTreeSet::new(), 0_usize);
    for event in &events {
        let members: Map<String, Value> = serde_json::from_slice(event.body.as_bytes()).map_err(|_| broken())?;
        let names = match (names, whose) {
            (Some(names), _) => names.to_vec(),
            (None, Whose::Event(_)) => vec!["ip", "subject", "subject_name"],
            (None, Whose::User(user, _)) => of_user(&members, user),
        };
        let names: Vec<&str> = names.into_iter().filter(|name| members.contains_key(*name)).collect();
        // The record of an erasure says of whom it was.
        if names.is_empty() || members.get("type").and_then(Value::as_str) == Some(EventType::EventsErased.as_str()) {
            continue;
        }
        let (body, salt) = entry::erase(&event.body, &event.salt, &names).ok_or_else(broken)?;
        let salt = match is_whole_or_signed(cx, &event.body, &event.salt).await? {
            true => {
                let statement = statement(tenant, &event.id, &body, &salt).ok_or_else(broken)?;
                with_signature(&salt, &key.sign_text(cx, &statement).await?).ok_or_else(broken)?
            }
            // What somebody else has taken out is not signed for: a check goes on to find it.
            false => salt,
        };
        statements.push(replaced(tenant, event, &body, &salt)?);
        if names.contains(&"chain") {
            statements.push(store::erasing::forget_actors(tenant, &event.id));
        }
        gone.extend(names);
        count = count.saturating_add(1);
    }
    if count == 0 {
        return Ok(Erased { events: 0, next });
    }
    let gone: Vec<&str> = gone.into_iter().collect();
    let detail = Some(format!("{count} events: {}", gone.join(", ")));
    let facts = Facts { target: Some(about.to_owned()), detail, ..Facts::default() };
    audit::record(cx, &audit::event(cx, EventType::EventsErased, Some(by), facts)).await?;
    // It may have begun meanwhile.
    expect_no_hold(cx).await?;
    let updates: Vec<bool> = statements.iter().map(|sql| sql.text.starts_with("UPDATE")).collect();
    let changes = cx.trail().run(statements).await?;
    match changes.iter().zip(updates).all(|(rows, is_update)| *rows == 1 || !is_update) {
        true => Ok(Erased { events: count, next }),
        false => Err(Reason::Conflict.because("events were changed meanwhile: call again")),
    }
}

async fn expect_no_hold(cx: &Cx<'_>) -> Result<()> {
    let present = cx.one(store::tenants::get(&cx.tenant.id)).await?.ok_or(Reason::NotFound)?;
    match present.settings.event_hold {
        true => Err(Reason::Conflict
            .because("the tenant holds its trail (`settings.event_hold`): nothing is erased until the hold ends")),
        false => Ok(()),
    }
}

fn broken() -> crate::error::Error {
    Fault::Broken("an event does not open its entry").into()
}

/// The members of an event that tell of a user.
fn of_user(members: &Map<String, Value>, user: &str) -> Vec<&'static str> {
    let is = |name: &str| members.get(name).and_then(Value::as_str) == Some(user);
    let is_in_chain =
        members.get("chain").and_then(Value::as_array).is_some_and(|chain| chain.iter().any(|one| one == user));
    let all = [
        (is("subject"), &["ip", "subject", "subject_name"][..]),
        (is("target"), &["detail", "target", "target_name"]),
        (is_in_chain, &["chain", "chain_names"]),
    ];
    all.into_iter().filter(|(tells, _)| *tells).flat_map(|(_, names)| names.iter().copied()).collect()
}

fn replaced(tenant: &str, event: &Erasable, body: &str, salt: &str) -> Result<crate::ports::Sql> {
    let members: Map<String, Value> = serde_json::from_slice(body.as_bytes()).map_err(|_| broken())?;
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let rest = Rest { body, salt, subject: text("subject"), target: text("target") };
    Ok(store::erasing::replace(tenant, event, &rest))
}

/// What is signed of an event with erased members. No checkpoint has such a text: its second line is no number.
fn statement(tenant: &str, id: &str, body: &str, salt: &str) -> Option<String> {
    let withheld = Opening::of(body, salt)?.withheld;
    Some(format!("writ erased members v1\n{tenant}/{id}\n{}\n", withheld.join("\n")))
}

fn with_signature(salt: &str, signature: &[u8]) -> Option<String> {
    let mut members: Map<String, Value> = serde_json::from_slice(salt.as_bytes()).ok()?;
    members.insert(SIGNED.to_owned(), b64(signature).into());
    Some(Value::Object(members).to_string())
}

/// Whether a stored event is whole, or what is gone of it was erased here.
pub async fn is_whole_or_signed(cx: &Cx<'_>, body: &str, salt: &str) -> Result<bool> {
    if !salt.starts_with('{') {
        return Ok(true);
    }
    let read = || {
        let members: Map<String, Value> = serde_json::from_slice(salt.as_bytes()).ok()?;
        let signature = unb64(members.get(SIGNED)?.as_str()?)?;
        let event: Map<String, Value> = serde_json::from_slice(body.as_bytes()).ok()?;
        Some((statement(&cx.tenant.id, event.get("id")?.as_str()?, body, salt)?, signature))
    };
    match (read(), keys::get(cx).await?) {
        (Some((statement, signature)), Some(key)) => key.has_signed_text(cx, &statement, &signature).await,
        _ => Ok(false),
    }
}
