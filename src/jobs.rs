//! The cron: what runs every minute, per role.
//!
//! 1. Events in the outbox, signals and the messages of webhooks come first, whatever is wrong with a tenant.
//! 2. Tenants are looked after by their last visit, the longest ago first, and a run visits a bounded number: with many tenants each has
//!    its turn. A tenant that fails is logged and passed over; of what is done for a tenant, each piece is done whether or not another has failed.
//! 3. Every clean-up is bounded per run; the next run goes on.
//! 4. Of a suspended tenant nothing but old events goes. What is sealed is sealed anew there, too, and what was disconnected is revoked. What a deleted tenant had goes piece by piece, one tenant a run, by a Worker with
//!    the role `audit`, which reaches both databases and KV. It is gone once a run finds nothing 15 minutes after the deletion.

mod visit;
mod witnesses;

use self::visit::{REMOVED, ROUNDS};
use crate::audit;
use crate::config::{Config, Role};
use crate::context::database::Database;
use crate::context::{Arrival, Change, Cx, Memory, Peer};
use crate::error::{Error, Result};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::model::tenant::FIRST_TENANT;
use crate::outbound::retry;
use crate::policy;
use crate::ports::{Now, Pending, Sql, World};
use crate::revocation::signals;
use crate::store;
use crate::store::deletion::{self, Former};
use crate::store::tenants::{Visited, Visitor};
use crate::vault;
use crate::webhooks;

/// How long it waits before checkpoints that failed are tried again, in milliseconds.
const PAUSES: [u64; 3] = [1_000, 3_000, 0];
/// How many tenants one run visits.
const VISITED: i64 = 40;
/// How many tiles of logs, of 256 events each, one run checks, and how many of one tenant.
const CHECKED: u64 = 40;
const CHECKED_OF_ONE: u64 = 4;
/// How long the change log reaches back, in seconds: far longer than the freshness bound.
const LOGGED_SECONDS: i64 = 900;
/// How long a code is kept after it has expired, in seconds: a second redemption stops what came of the first.
const CODES_KEPT_SECONDS: i64 = 600;
/// How long an approval is kept after its end, in seconds: 90 days, so that what was approved can be proved.
const APPROVALS_KEPT_SECONDS: i64 = 7_776_000;
/// How long a request that began before the deletion of its tenant may still write, in seconds: far longer than any runs, and than the
/// freshness bound.
const SETTLED_SECONDS: i64 = 900;
/// How many keys of each kind one run takes out of KV.
const KEYS: u64 = 20;

/// The parts of an isolate that jobs need.
#[derive(Clone, Copy)]
pub struct Jobs<'a> {
    /// The ports.
    pub world: &'a World,
    /// The settings.
    pub config: &'a Config,
    /// The memory of the isolate.
    pub memory: &'a Memory,
}

impl Jobs<'_> {
    /// One run of the cron. Each part runs whether or not another has failed; the first error is the answer.
    pub async fn tick(self, clock: &dyn Fn() -> Now) -> Result<()> {
        let now = clock();
        let relayed = self.relay(now).await;
        let published = self.publish_all(now).await;
        let mut witnessed = Vec::new();
        let visited = self.visit(now, &mut witnessed).await;
        let cleaned = self.clean(now).await;
        let deleted = self.delete(now).await;
        let delivered = self.deliver(Vec::new(), clock()).await;
        // Last of all: the services of others may be slow.
        self.ask_witnesses(&witnessed, clock()).await;
        relayed.and(published).and(visited).and(cleaned).and(deleted).and(delivered)
    }

    /// Signs checkpoints for these tenants. Those that fail are tried again after a pause, and then left to the next run.
    pub async fn publish(self, tenants: Vec<String>, now: Now) {
        let mut left = tenants;
        for pause in PAUSES {
            let mut failed = Vec::new();
            for tenant in left {
                if let Err(error) = self.publish_one(&tenant, now).await {
                    self.log("the log", &tenant, &error);
                    failed.push(tenant);
                }
            }
            if failed.is_empty() {
                return;
            }
            left = failed;
            self.world.timer.sleep(pause).await;
        }
    }

    /// Raises the alarm for tenants whose database changes events that it is to keep.
    pub async fn tell_altered(self, tenants: Vec<String>, now: Now) {
        for tenant in tenants {
            let arrival = Arrival { now, peer: Peer::default() };
            let told = match Cx::open_even_suspended(self.world, self.config, self.memory, &tenant, arrival).await {
                Ok(cx) => audit::log::tell(&cx, Ok(Some(audit::log::Problem::Altered))).await,
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                self.log("the log", &tenant, &error);
            }
        }
    }

    async fn publish_one(self, tenant: &str, now: Now) -> Result<()> {
        let arrival = Arrival { now, peer: Peer::default() };
        match Cx::open_even_suspended(self.world, self.config, self.memory, tenant, arrival).await {
            Ok(cx) => audit::log::publish(&cx).await,
            // The tenant was deleted.
            Err(Error::Refused(_)) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Signs checkpoints for tenants whose newest events have none.
    async fn publish_all(self, now: Now) -> Result<()> {
        if self.config.logs().is_none() {
            return Ok(());
        }
        let trail = Database(&*self.world.trail);
        let millis = i64::try_from(now.millis()).unwrap_or(i64::MAX);
        let mut outcome = Ok(());
        for tenant in trail.all(store::log::behind(VISITED)).await? {
            // Before anything can go wrong: a tenant that fails has had its turn.
            trail.run(vec![store::log::take_turn(&tenant, millis)]).await?;
            if let Err(error) = self.publish_one(&tenant, now).await {
                self.log("the log", &tenant, &error);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    /// Sends the events in the outbox, the signals and the messages of webhooks, each where this Worker can sign them.
    pub async fn relay(self, now: Now) -> Result<()> {
        audit::relay(self.world, now).await?;
        let signals = self.push_all(now).await;
        let webhooks = self.notify_all(now).await;
        signals.and(webhooks)
    }

    /// Sends sinks what they have not taken, those that `waking` notes as well; each by itself, so that a slow one keeps no other.
    pub async fn deliver(self, waking: Vec<Sql>, now: Now) -> Result<()> {
        if !self.config.mounts(Role::Audit) || self.config.answers().is_none() {
            return Database(&*self.world.trail).run(waking).await.map(drop);
        }
        let due = audit::sinks::due(self.world, waking, now).await?;
        let deliveries = due.iter().map(|(tenant, sink)| -> Pending<'_, ()> {
            Box::pin(async move {
                if let Err(error) = self.send(tenant, sink, now).await {
                    self.log("a sink", tenant, &error);
                }
            })
        });
        retry::all(deliveries.collect()).await;
        Ok(())
    }

    async fn send(self, tenant: &str, sink: &str, now: Now) -> Result<()> {
        let arrival = Arrival { now, peer: Peer::default() };
        match Cx::open_even_suspended(self.world, self.config, self.memory, tenant, arrival).await {
            Ok(cx) => audit::sinks::deliver(&cx, sink).await,
            // The tenant was deleted, and its trail goes.
            Err(Error::Refused(_)) => {
                let forgotten = vec![store::sinks::forget(tenant, sink)];
                Database(&*self.world.trail).run(forgotten).await.map(drop)
            }
            Err(fault) => Err(fault),
        }
    }

    async fn push_all(self, now: Now) -> Result<()> {
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
        signals::push(&self.take_turn(tenant, now, store::signals::take_turn).await?).await
    }

    async fn notify_all(self, now: Now) -> Result<()> {
        if !self.config.mounts(Role::Broker) || self.config.vault().is_none() {
            return Ok(());
        }
        let mut outcome = Ok(());
        for tenant in Database(&*self.world.db).all(webhooks::tenants_due(now)).await? {
            if let Err(error) = self.notify(&tenant, now).await {
                self.log("webhooks", &tenant, &error);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    async fn notify(self, tenant: &str, now: Now) -> Result<()> {
        webhooks::deliver(&self.take_turn(tenant, now, store::webhooks::take_turn).await?).await
    }

    /// Opens a tenant whose turn it is.
    async fn take_turn(&self, tenant: &str, now: Now, note: fn(&str, i64) -> Sql) -> Result<Cx<'_>> {
        // Before anything can go wrong: a tenant that fails has had its turn.
        let millis = i64::try_from(now.millis()).unwrap_or(i64::MAX);
        Database(&*self.world.db).run(vec![note(tenant, millis)]).await?;
        let arrival = Arrival { now, peer: Peer::default() };
        Cx::open_even_suspended(self.world, self.config, self.memory, tenant, arrival).await
    }

    async fn visit(self, now: Now, witnessed: &mut Vec<String>) -> Result<()> {
        if ![Role::Token, Role::Broker, Role::Admin, Role::Audit].into_iter().any(|role| self.config.mounts(role)) {
            return Ok(());
        }
        let mut outcome = Ok(());
        let tenants = Database(&*self.world.db).all(store::tenants::least_visited(self.visitor(), VISITED)).await?;
        // Fewer tenants have more of theirs checked.
        let tiles = CHECKED.checked_div(u64::try_from(tenants.len()).unwrap_or(u64::MAX)).unwrap_or_default();
        for tenant in tenants {
            if let Err(error) = self.look_after(&tenant, tiles.clamp(1, CHECKED_OF_ONE), now, witnessed).await {
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

    async fn look_after(self, tenant: &Visited, tiles: u64, now: Now, witnessed: &mut Vec<String>) -> Result<()> {
        // Before anything can go wrong: a tenant that fails has had its turn.
        let visit = store::tenants::visit(self.visitor(), tenant, now.seconds());
        if Database(&*self.world.db).run(vec![visit]).await?.first() == Some(&0) {
            return Ok(());
        }
        let arrival = Arrival { now, peer: Peer::default() };
        let cx = match Cx::open_even_suspended(self.world, self.config, self.memory, &tenant.id, arrival).await {
            Ok(cx) => cx,
            // The tenant has just been deleted.
            Err(Error::Refused(_)) => return Ok(()),
            Err(fault) => return Err(fault),
        };
        if self.config.mounts(Role::Audit) && !cx.tenant.settings.log_witnesses.is_empty() {
            witnessed.push(cx.tenant.id.clone());
        }
        let mut outcome = Ok(());
        for (what, step) in visit::steps(&cx, tiles) {
            if let Err(error) = step.await {
                self.log(what, &tenant.id, &error);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    /// Removes a piece of what a deleted tenant had. Once all of it is gone, the first tenant has an event.
    async fn delete(self, now: Now) -> Result<()> {
        if !self.config.mounts(Role::Audit) {
            return Ok(());
        }
        let truth = Database(&*self.world.db);
        let Some(former) = truth.one(deletion::next()).await? else { return Ok(()) };
        // Before anything can go wrong: a tenant that fails has had its turn.
        if truth.run(vec![deletion::visit(&former, now.seconds())]).await?.first() == Some(&0) {
            return Ok(());
        }
        let outcome = self.erase(&former, now).await;
        if let Err(error) = &outcome {
            self.log("the deletion", &former.id, error);
        }
        outcome
    }

    async fn erase(self, Former { id, deleted_at, .. }: &Former, now: Now) -> Result<()> {
        let (truth, trail) = (Database(&*self.world.db), Database(&*self.world.trail));
        let mut is_gone = remove(truth, deletion::of_truth(id, REMOVED)).await?;
        // From then on the trail keeps nothing more of it, however late an event arrives.
        trail.run(vec![deletion::close_trail(id, *deleted_at)]).await?;
        is_gone &= remove(trail, deletion::of_trail(id, REMOVED)).await?;
        for prefix in [vault::kv_prefix(id), policy::kv_prefix(id)] {
            let keys = self.world.kv.list(&prefix, KEYS).await?;
            is_gone &= keys.is_empty();
            for key in keys {
                self.world.kv.delete(&key).await?;
            }
        }
        if !is_gone || now.seconds() < deleted_at.saturating_add(SETTLED_SECONDS) {
            return Ok(());
        }
        let arrival = Arrival { now, peer: Peer::default() };
        let cx = Cx::open(self.world, self.config, self.memory, FIRST_TENANT, arrival).await?;
        let facts = Facts { target: Some(id.clone()), ..Facts::default() };
        let event = audit::event(&cx, EventType::TenantErased, None, facts);
        cx.commit(Change::guard(deletion::finish(id)).event(event)).await.map(drop)
    }

    /// Removes rows that do not count any more, over all tenants.
    async fn clean(self, now: Now) -> Result<()> {
        if !self.config.mounts(Role::Token) {
            return Ok(());
        }
        let now = now.seconds();
        let others = [
            store::spent::forget(now, REMOVED),
            store::failures::forget(now, REMOVED),
            store::limits::forget(now, REMOVED),
            store::changes::forget(now.saturating_sub(LOGGED_SECONDS), REMOVED),
            store::leases::forget_uses(now, REMOVED),
            store::leases::forget_expired(now, REMOVED),
            store::answers::forget(now, REMOVED),
            store::registration::forget(now, REMOVED),
            store::sessions::forget(now, REMOVED),
            // One that was redeemed stays until a second redemption would be a late one anyway.
            store::codes::forget(now.saturating_sub(CODES_KEPT_SECONDS), REMOVED),
            // A device that comes too late is told so for a while.
            store::device_codes::forget(now.saturating_sub(LOGGED_SECONDS), REMOVED),
            store::refresh::forget(now, REMOVED),
            store::invitations::forget(now, REMOVED),
            store::webhooks::forget(now.saturating_sub(webhooks::KEPT_SECONDS), REMOVED),
        ];
        let kept = now.saturating_sub(APPROVALS_KEPT_SECONDS);
        let approvals = store::approvals::forget(kept, now, REMOVED);
        let statements = store::stops::forget(now, REMOVED).into_iter().chain(others).chain(approvals).collect();
        remove(Database(&*self.world.db), statements).await.map(drop)
    }

    fn log(self, what: &str, tenant: &str, error: &Error) {
        self.world.log.line(&format!("{what} of {tenant}: {error}"));
    }
}

/// Runs a clean-up until it has removed all, a bounded number of times; false if rows may be left.
async fn remove(database: Database<'_>, statements: Vec<Sql>) -> Result<bool> {
    let most = u64::try_from(REMOVED).unwrap_or_default();
    for _ in 0..ROUNDS {
        if database.run(statements.clone()).await?.iter().all(|rows| *rows < most) {
            return Ok(true);
        }
    }
    Ok(false)
}
