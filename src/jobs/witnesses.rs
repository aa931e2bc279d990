//! Asking the witnesses of tenants, after all else that the cron does.
//!
//! 1. A run asks for [`MILLIS`] from a moment that is read when it begins: no attempt outlives its claim, however long the rest of the cron has taken.
//! 2. It asks one tenant after another, so that whoever is asked late has not been waiting behind open calls while its time ran, and begins elsewhere each minute: slow
//!    witnesses of some tenants keep no other from its turn.

use super::Jobs;
use crate::audit;
use crate::context::{Arrival, Cx, Peer};
use crate::ports::Now;
use futures_util::future::{Either, select};
use std::cell::Cell;

/// How long a run asks, in milliseconds: shorter than a claim on a witness holds.
const MILLIS: u64 = 40_000;

impl Jobs<'_> {
    /// Has the witnesses of these tenants cosign. `now` is read for it alone.
    pub async fn ask_witnesses(self, tenants: &[String], now: Now) {
        let asked = Cell::new(0_usize);
        let asking = Box::pin(async {
            for tenant in tenants.iter().cycle().skip(first(now, tenants.len())).take(tenants.len()) {
                let arrival = Arrival { now, peer: Peer::default() };
                let outcome = match Cx::open_even_suspended(self.world, self.config, self.memory, tenant, arrival).await
                {
                    Ok(cx) => audit::log::witness::tick(&cx).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = outcome {
                    self.log("witnesses", tenant, &error);
                }
                asked.set(asked.get().saturating_add(1));
            }
        });
        let is_cut = matches!(select(asking, self.world.timer.sleep(MILLIS)).await, Either::Right(_));
        if is_cut {
            let (asked, all) = (asked.get(), tenants.len());
            self.world.log.line(&format!("witnesses: time is up after those of {asked} of {all} tenants"));
        }
    }
}

/// With which of so many tenants a run begins. It goes on by the golden section of them, so that each comes to be the first, be the same tenants asked each minute or each
/// `n`-th.
fn first(now: Now, count: usize) -> usize {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let minute = now.seconds().div_euclid(60).cast_unsigned();
    let share = minute.wrapping_mul(GOLDEN) >> 32;
    let count = u64::try_from(count).unwrap_or_default();
    usize::try_from(share.saturating_mul(count) >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::first;
    use crate::ports::Now;
    use std::collections::BTreeSet;

    #[test]
    fn each_tenant_is_asked_first_within_some_hours_however_many_there_are() {
        for count in 1..=40 {
            for every in 1..=30 {
                let minutes = (0..600).map(|n| Now::from_millis((29_000_000 + n * every) * 60_000));
                let met: BTreeSet<usize> = minutes.map(|now| first(now, count)).collect();
                assert_eq!(met.len(), count, "{count} tenants, each {every} minutes");
            }
        }
        assert_eq!(first(Now::from_millis(7_000_000), 0), 0);
    }
}
