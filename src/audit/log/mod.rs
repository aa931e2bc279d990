//! The log of a tenant: each of its events is a leaf of a Merkle tree whose root is signed, so that anybody can check that none was changed, left
//! out or put in later (C2SP tlog-tiles, tlog-checkpoint, signed-note and tlog-proof).
//!
//! | file | what |
//! | --- | --- |
//! | [`tree`], [`edge`] | hashes: roots, proofs, tiles |
//! | [`entry`] | what of an event enters the tree, and what opens it |
//! | [`columns`] | by what an event is found |
//! | [`erasing`] | members that tell of a person, taken out of stored events |
//! | [`note`], [`keys`] | checkpoints, and who signs them |
//! | [`mod@publish`] | from indices to checkpoints |
//! | [`read`] | tiles and proofs for others |
//! | [`witness`], [`cosigned`] | others who cosign checkpoints, and what is served of that |
//! | [`check`] | whether the events in the database are those of the tree |
//!
//! In scope: indices, tree, checkpoints, proofs. Out of scope: how an event comes here (`audit::deliver`).

pub mod check;
pub mod columns;
pub mod cosigned;
pub mod edge;
pub mod entry;
pub mod erasing;
pub mod keys;
pub mod note;
mod problem;
pub mod publish;
pub mod read;
pub mod tree;
pub mod witness;

pub use problem::Problem;

use crate::context::{Change, Cx};
use crate::error::Result;
use crate::model::EventType;
use crate::model::event::Facts;
use std::collections::BTreeMap;

const DAY_SECONDS: i64 = 86_400;

/// Signs a checkpoint for all events that have an index; where the log is broken, an event tells so.
pub async fn publish(cx: &Cx<'_>) -> Result<()> {
    tell(cx, publish::publish(cx).await).await
}

/// Records that the log is broken: each kind of problem once a day, so that a small one hides no other.
async fn alarm(cx: &Cx<'_>, problem: Problem) -> Result<()> {
    cx.world.log.line(&format!("the log of {}: {}", cx.tenant.id, problem.to_text()));
    let day = cx.now.seconds().div_euclid(DAY_SECONDS);
    let facts =
        Facts { reason: Some(problem.as_str().to_owned()), detail: Some(problem.to_text()), ..Facts::default() };
    let event = super::event(cx, EventType::LogBroken, None, facts);
    let end = day.saturating_add(1).saturating_mul(DAY_SECONDS);
    let once = cx.redemption(EventType::LogBroken.as_str(), problem.as_str(), &day.to_string(), end);
    cx.commit(Change::guard(once).event(event)).await.map(drop)
}

/// Looks after the log of a tenant: the cron's part, with so many tiles to check. Each piece runs whether or not another has failed.
pub async fn tick(cx: &Cx<'_>, tiles: u64) -> Result<()> {
    let placed = tell(cx, publish::place(cx).await).await;
    let published = publish(cx).await;
    let resealed = keys::reseal(cx).await;
    let watched = watch(cx, tiles, published.is_err()).await;
    placed.and(published).and(resealed).and(watched)
}

/// Checks a piece of the log, and raises the alarm for what is found; also where events have waited for long and no checkpoint could be made just now.
async fn watch(cx: &Cx<'_>, tiles: u64, has_failed: bool) -> Result<()> {
    let report = check::watch(cx, tiles).await?;
    let late = (has_failed && report.is_late(cx.now)).then_some(Problem::Stalled);
    let found: BTreeMap<&str, Problem> =
        report.problems.into_iter().chain(late).rev().map(|problem| (problem.as_str(), problem)).collect();
    let mut outcome = Ok(());
    for problem in found.into_values() {
        outcome = outcome.and(alarm(cx, problem).await);
    }
    outcome
}

/// Raises the alarm where something was found.
pub async fn tell(cx: &Cx<'_>, found: Result<Option<Problem>>) -> Result<()> {
    match found? {
        Some(problem) => alarm(cx, problem).await,
        None => Ok(()),
    }
}
