//! What the cron does every minute, per role.
//!
//! 1. Events in the outbox and signals come first: what waits is sent, whatever is wrong with a tenant.
//! 2. Tenants are looked after by their last visit, the longest ago first, and a run visits a bounded number: with many tenants each has
//!    its turn. A tenant that fails is logged and passed over.
//! 3. Every clean-up is bounded per run; the next run goes on.

use crate::audit;
use crate::config::{Config, Role};
use crate::context::database::Database;
use crate::context::{Cx, Memory, Peer};
use crate::error::{Error, Result};
use crate::keys;
use crate::model::id;
use crate::ports::{Now, Sql, World};
use crate::revocation::{expiry, signals};
use crate::store;
use crate::store::tenants::{Visited, Visitor};
use crate::vault;

/// How many tenants one run visits.
const VISITED: i64 = 40;
/// How many rows one statement of a clean-up removes, and how often it runs while there are more: 20,000 rows in a run.
const REMOVED: i64 = 1_000;
const ROUNDS: usize = 20;
/// How long the change log reaches back, in seconds: far longer than the freshness bound.
const LOGGED_SECONDS: i64 = 900;
const DAY_MILLIS: i64 = 86_400_000;

/// The parts of an isolate that jobs need.
#[derive(Clone, Copy)]
pub struct Jobs<'a> {
    /// The ports.
    pub world: &'a World,
    /// The settings.
    pub config: &'a Config,
    /// What the isolate remembers.
    pub memory: &'a Memory,
}

impl Jobs<'_> {
    /// One run of the cron. An error is the first of those that were met; everything else was done all the same.
    pub async fn tick(self, now: Now) -> Result<()> {
        let relayed = self.relay(now).await;
        let visited = self.visit(now).await;
        let cleaned = self.clean(now).await;
        relayed.and(visited).and(cleaned)
    }

    /// Sends what waits: events in the outbox, and signals where this Worker can sign them.
    pub async fn relay(self, now: Now) -> Result<()> {
        audit::relay(self.world, now).await?;
        if !self.config.mounts(Role::Token) {
            return Ok(());
        }
        let mut outcome = Ok(());
        for tenant in Database(&*self.world.db).all(signals::tenants_due(now)).await? {
            if let Err(error) = self.push(&tenant, now).await {
                self.log("signals", &tenant, &error);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    async fn push(self, tenant: &str, now: Now) -> Result<()> {
        // Before anything can go wrong: a tenant that fails has had its turn.
        let millis = i64::try_from(now.millis()).unwrap_or(i64::MAX);
        Database(&*self.world.db).run(vec![store::signals::take_turn(tenant, millis)]).await?;
        let at = (now, Peer::default());
        let cx = Cx::open_even_suspended(self.world, self.config, self.memory, tenant, at).await?;
        signals::push(&cx).await
    }

    async fn visit(self, now: Now) -> Result<()> {
        if ![Role::Token, Role::Broker, Role::Admin, Role::Audit].into_iter().any(|role| self.config.mounts(role)) {
            return Ok(());
        }
        let mut outcome = Ok(());
        for tenant in Database(&*self.world.db).all(store::tenants::least_visited(self.visitor(), VISITED)).await? {
            if let Err(error) = self.look_after(&tenant, now).await {
                self.log("the cron", &tenant.id, &error);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    fn visitor(self) -> Visitor {
        match (self.config.mounts(Role::Token), self.config.mounts(Role::Broker)) {
            (true, _) => Visitor::Token,
            (false, true) => Visitor::Broker,
            (false, false) => Visitor::Other,
        }
    }

    async fn look_after(self, tenant: &Visited, now: Now) -> Result<()> {
        // Before anything can go wrong: a tenant that fails has had its turn.
        let visit = store::tenants::visit(self.visitor(), tenant, now.seconds());
        if Database(&*self.world.db).run(vec![visit]).await?.first() == Some(&0) {
            return Ok(());
        }
        let cx = match Cx::open(self.world, self.config, self.memory, &tenant.id, (now, Peer::default())).await {
            Ok(cx) => cx,
            // A suspended tenant is left alone.
            Err(Error::Refused(_)) => return Ok(()),
            Err(fault) => return Err(fault),
        };
        if self.config.mounts(Role::Token) {
            keys::tick(&cx).await?;
            signals::sweep(&cx).await?;
            signals::rewrap(&cx).await?;
        }
        if self.config.mounts(Role::Broker) && self.config.vault().is_some() {
            vault::rewrap::tick(&cx).await?;
        }
        if self.config.mounts(Role::Admin) {
            expiry::tick(&cx).await?;
        }
        if self.config.mounts(Role::Audit) {
            let kept = i64::from(cx.tenant.settings.event_retention_days).saturating_mul(DAY_MILLIS);
            let before = id::first_at(now.seconds().saturating_mul(1_000).saturating_sub(kept));
            remove(cx.trail(), || vec![store::events::forget(&cx.tenant.id, &before, REMOVED)]).await?;
        }
        Ok(())
    }

    /// Forgets what counts no more, over all tenants.
    async fn clean(self, now: Now) -> Result<()> {
        if !self.config.mounts(Role::Token) {
            return Ok(());
        }
        let now = now.seconds();
        let statements = || {
            let others = [
                store::spent::forget(now, REMOVED),
                store::failures::forget(now, REMOVED),
                store::changes::forget(now.saturating_sub(LOGGED_SECONDS), REMOVED),
                store::leases::forget_uses(now, REMOVED),
                store::answers::forget(now, REMOVED),
            ];
            store::stops::forget(now, REMOVED).into_iter().chain(others).collect()
        };
        remove(Database(&*self.world.db), statements).await
    }

    fn log(self, what: &str, tenant: &str, error: &Error) {
        self.world.log.line(&format!("{what} of {tenant}: {error}"));
    }
}

/// Runs a clean-up until it has removed all, a bounded number of times.
async fn remove(database: Database<'_>, statements: impl Fn() -> Vec<Sql>) -> Result<()> {
    let most = u64::try_from(REMOVED).unwrap_or_default();
    for _ in 0..ROUNDS {
        if database.run(statements()).await?.iter().all(|rows| *rows < most) {
            break;
        }
    }
    Ok(())
}
