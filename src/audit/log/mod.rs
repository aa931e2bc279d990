//! The log of a tenant: each of its events is a leaf of a Merkle tree whose root is signed, so that anybody can check that none was changed, left
//! out or put in later (C2SP tlog-tiles, tlog-checkpoint, signed-note and tlog-proof).
//!
//! | file | what |
//! | --- | --- |
//! | [`tree`], [`edge`] | hashes: roots, proofs, tiles |
//! | [`entry`] | what of an event enters the tree, and what opens it |
//! | [`columns`] | by what an event is found |
//! | [`note`], [`keys`] | checkpoints, and who signs them |
//! | [`mod@publish`] | from indices to checkpoints |
//! | [`read`] | tiles and proofs for others |
//! | [`check`] | whether the events in the database are those of the tree |
//!
//! In scope: indices, tree, checkpoints, proofs. Out of scope: how an event comes here (`audit::deliver`).

pub mod check;
pub mod columns;
pub mod edge;
pub mod entry;
pub mod keys;
pub mod note;
mod problem;
pub mod publish;
pub mod read;
pub mod tree;

pub use problem::Problem;

use crate::context::{Change, Cx};
use crate::error::Result;
use crate::model::EventType;
use crate::model::event::Facts;
use crate::store;

/// Signs a checkpoint for all events that have an index; where the log is broken, an event tells so.
pub async fn publish(cx: &Cx<'_>) -> Result<()> {
    tell(cx, publish::publish(cx).await).await
}

/// Records that the log is broken, once a day.
async fn alarm(cx: &Cx<'_>, problem: Problem) -> Result<()> {
    cx.world.log.line(&format!("the log of {}: {}", cx.tenant.id, problem.to_text()));
    let day = cx.now.seconds().div_euclid(86_400);
    let facts =
        Facts { reason: Some(problem.as_str().to_owned()), detail: Some(problem.to_text()), ..Facts::default() };
    let event = super::event(cx, EventType::LogBroken, None, facts);
    cx.commit(Change::guard(store::log::alarm(&cx.tenant.id, day)).event(event)).await.map(drop)
}

/// Looks after the log of a tenant: the cron's part, with so many tiles to check. Each piece runs whether or not another has failed.
pub async fn tick(cx: &Cx<'_>, tiles: u64) -> Result<()> {
    let placed = tell(cx, publish::place(cx).await).await;
    let published = publish(cx).await;
    let resealed = keys::reseal(cx).await;
    let report = check::watch(cx, tiles).await;
    let watched = tell(
        cx,
        report.map(|report| match report.problems.first() {
            Some(problem) => Some(*problem),
            None => (published.is_err() && report.is_late(cx.now)).then_some(Problem::Stalled),
        }),
    );
    let watched = watched.await;
    placed.and(published).and(resealed).and(watched)
}

/// Raises the alarm where something was found.
pub async fn tell(cx: &Cx<'_>, found: Result<Option<Problem>>) -> Result<()> {
    match found? {
        Some(problem) => alarm(cx, problem).await,
        None => Ok(()),
    }
}
