//! The log of a tenant: each of its events is a leaf of a Merkle tree whose root is signed, so that anybody can check that none was changed, left
//! out or put in later (C2SP tlog-tiles, tlog-checkpoint, signed-note and tlog-proof).
//!
//! | file | what |
//! | --- | --- |
//! | [`tree`], [`edge`] | hashes: roots, proofs, tiles |
//! | [`entry`] | what of an event enters the tree, and what opens it |
//! | [`erasing`] | members that tell of a person, taken out of stored events |
//! | [`note`], [`keys`] | checkpoints, and who signs them |
//! | [`mod@publish`] | from indices to checkpoints |
//! | [`read`] | tiles and proofs for others |
//! | [`witness`], [`cosigned`] | others who cosign checkpoints, and what is served of that |
//! | [`check`] | whether the events in the database are those of the tree |
//!
//! In scope: indices, tree, checkpoints, proofs. Out of scope: how an event comes here (`audit::deliver`).

pub mod check;
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
use crate::store;

/// Signs a checkpoint for all events that have an index; where the log is broken, an event tells so.
pub async fn publish(cx: &Cx<'_>) -> Result<()> {
    match publish::publish(cx).await? {
        Some(problem) => alarm(cx, problem).await,
        None => Ok(()),
    }
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

/// Looks after the log of a tenant: the cron's part. Each piece runs whether or not another has failed.
pub async fn tick(cx: &Cx<'_>) -> Result<()> {
    let placed = publish::place(cx).await;
    let published = publish(cx).await;
    let resealed = keys::reseal(cx).await;
    let watched = match check::watch(cx).await {
        Ok(Some(problem)) => alarm(cx, problem).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    placed.and(published).and(resealed).and(watched)
}
