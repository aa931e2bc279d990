//! Failed authentications: counted in D1, so that the count holds in every location, and remembered once they reach the limit.

use super::Cx;
use crate::error::{Fault, Result};
use crate::store::failures::{self, Failures, LIMIT, PERIOD_SECONDS};

impl Cx<'_> {
    /// Counts a failure under an address, and under a client if there is one of that id. Nothing, without a call of D1, if this isolate
    /// knows that one of them has reached the limit of its period.
    pub async fn count_failure(&self, address: &str, client: Option<&str>) -> Result<Option<Counts>> {
        let (tenant, now) = (&self.tenant.id, self.now.seconds());
        let is_locked = |key: &str| self.memory.is_locked(tenant, key, now);
        if is_locked(address) || client.is_some_and(|id| is_locked(&failures::client_key(id))) {
            return Ok(None);
        }
        let (mut counts, of_client) = match client {
            Some(id) => {
                self.batch((failures::count(tenant, address, now), failures::count_client(tenant, id, now))).await?
            }
            None => (self.all(failures::count(tenant, address, now)).await?, vec![]),
        };
        let is_client = !of_client.is_empty();
        counts.extend(of_client);
        let has = |most: fn(&Failures) -> bool| counts.iter().any(most);
        let (over, reached) = (has(|one| one.count > LIMIT), has(|one| one.count == LIMIT));
        self.memory.lock(tenant, counts);
        Ok(Some(Counts { over, reached, is_client }))
    }

    /// Counts an attempt under a key, before it is made. Once there are as many as lock an address, it costs no call of D1.
    pub async fn count_attempt(&self, key: &str) -> Result<Failures> {
        let (tenant, now) = (&self.tenant.id, self.now.seconds());
        if self.memory.is_locked(tenant, key, now) {
            return Ok(Failures { key: key.to_owned(), count: i64::MAX, until: now.saturating_add(PERIOD_SECONDS) });
        }
        let counted = self.one(failures::count(tenant, key, now)).await?;
        let counted = counted.ok_or(Fault::Broken("an attempt was not counted"))?;
        self.memory.lock(tenant, vec![counted.clone()]);
        Ok(counted)
    }
}

/// Where counts stand.
#[derive(Clone, Copy)]
pub struct Counts {
    /// A count has gone beyond the limit.
    pub over: bool,
    /// A count has just reached the limit: the one moment that is worth an event.
    pub reached: bool,
    /// The client is there.
    pub is_client: bool,
}
