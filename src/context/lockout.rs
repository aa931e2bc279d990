//! Failed authentications: counted in D1, so that the count holds in every location, and remembered once they reach the limit.

use super::Cx;
use crate::context::database::Batch;
use crate::error::Result;
use crate::store;
use crate::store::failures::{Failures, LIMIT};

impl Cx<'_> {
    /// Whether the failures under this key have reached the limit of their period, as far as this isolate knows.
    pub fn is_locked(&self, key: &str) -> bool {
        self.memory.is_locked(&self.tenant.id, key, self.now.seconds())
    }

    /// Counts a failure under one or two keys.
    pub async fn count_failure(&self, keys: &[String]) -> Result<Counts> {
        let (tenant, now) = (&self.tenant.id, self.now.seconds());
        let count = |key: &String| store::failures::count(tenant, key, now);
        let counts: Vec<Failures> = match keys {
            [] => vec![],
            [one] => self.db().all(count(one)).await?,
            [one, other, ..] => {
                let (one, other) = self.count_both((count(one), count(other))).await?;
                one.into_iter().chain(other).collect()
            }
        };
        let over = counts.iter().any(|failures| failures.count > LIMIT);
        let reached = counts.iter().any(|failures| failures.count == LIMIT);
        self.memory.lock(tenant, counts);
        Ok(Counts { over, reached })
    }

    async fn count_both<B: Batch>(&self, both: B) -> Result<B::Output> {
        self.db().batch(both).await
    }
}

/// Where counts stand.
#[derive(Clone, Copy)]
pub struct Counts {
    /// A count has gone beyond the limit.
    pub over: bool,
    /// A count has just reached the limit: the one moment that is worth an event.
    pub reached: bool,
}
