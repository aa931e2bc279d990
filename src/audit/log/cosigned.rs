//! Cosignatures beside checkpoints: what witnesses have cosigned, as it is served.
//!
//! 1. A cosignature was verified before it was kept ([`super::witness`]); one of a witness that is not set any more does not count.

use super::note::Checkpoint;
use crate::context::Cx;
use crate::error::Result;
use crate::store::witnesses::{self, WitnessState};

/// A checkpoint with the cosignatures that there are of it.
pub struct Cosigned {
    /// How many there are.
    pub count: usize,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Its text with all signatures.
    pub note: String,
}

/// What the present witnesses have cosigned.
async fn present(cx: &Cx<'_>) -> Result<Vec<WitnessState>> {
    let witnesses = &cx.tenant.settings.log_witnesses;
    if witnesses.is_empty() {
        return Ok(Vec::new());
    }
    let states = cx.all(witnesses::list(&cx.tenant.id)).await?;
    let is_present = |state: &WitnessState| {
        !state.checkpoint.is_empty() && witnesses.iter().any(|witness| witness.key == state.witness)
    };
    Ok(states.into_iter().filter(is_present).collect())
}

fn with(checkpoint: &str, states: &[WitnessState]) -> String {
    let of_it = states.iter().filter(|state| state.checkpoint == checkpoint);
    of_it.fold(checkpoint.to_owned(), |note, state| note + &state.cosignature)
}

/// A checkpoint with the cosignatures that there are of it.
pub async fn of(cx: &Cx<'_>, checkpoint: &str) -> Result<String> {
    Ok(with(checkpoint, &present(cx).await?))
}

/// The checkpoints that witnesses have cosigned, those of most witnesses first, and of these the newest.
pub async fn all(cx: &Cx<'_>) -> Result<Vec<Cosigned>> {
    let states = present(cx).await?;
    let mut all: Vec<Cosigned> = Vec::new();
    for state in &states {
        let note = with(&state.checkpoint, &states);
        let Some(checkpoint) = Checkpoint::parse(&note).filter(|_| all.iter().all(|one| one.note != note)) else {
            continue;
        };
        let count = states.iter().filter(|other| other.checkpoint == state.checkpoint).count();
        all.push(Cosigned { count, checkpoint, note });
    }
    all.sort_by_key(|one| std::cmp::Reverse((one.count, one.checkpoint.size)));
    Ok(all)
}
