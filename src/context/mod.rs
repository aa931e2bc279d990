//! The context of one request: the world, the settings, the moment, the tenant, and what this isolate remembers.
//!
//! 1. A tenant's pointer is read from D1 when what we know of it is older than the freshness bound, and every cached
//!    thing of the tenant is dropped when its `epoch` has moved. So the bound holds for everything, whatever its number,
//!    at the price of one row per bound (design §5, security decision (h)).
//! 2. A thing that was loaded under one epoch never enters the cache of another.
//! 3. Nothing of a request outlives it, and nothing of one tenant can be found under another.

use crate::config::Config;
use crate::crypto::sha256;
use crate::error::{Fault, Reason, Result};
use crate::jose::LEEWAY_SECONDS;
use crate::model::tenant::{TenantStatus, issuer};
use crate::model::{Event, Tenant, id};
use crate::ports::{Now, Outcome, Sql, World};
use crate::store::{self, Reader};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

/// Who sent the request, as the edge tells it.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The address.
    pub ip: Option<IpAddr>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// Autonomous system.
    pub asn: Option<u32>,
}

/// What an isolate remembers between requests, tenant by tenant.
#[derive(Default)]
pub struct Memory {
    shelves: RefCell<HashMap<String, Shelf>>,
    staged: Cell<bool>,
}

struct Shelf {
    tenant: Rc<Tenant>,
    /// When D1 last told us of the tenant; nothing once we know that it has changed.
    checked: Option<Now>,
    /// Dropped when the tenant's epoch moves.
    things: HashMap<String, Rc<dyn Any>>,
    /// Immutable under their version, so no epoch concerns them; one version each.
    pinned: HashMap<&'static str, (String, Rc<dyn Any>)>,
    /// Things that know themselves how long they hold.
    lasting: HashMap<String, Rc<dyn Any>>,
    /// What is locked because of failed authentications, and until which second.
    locks: HashMap<String, i64>,
}

/// How long a use is remembered beyond the expiry of the thing: more than any clock may be off.
const SPENT_SECONDS: i64 = 10 * LEEWAY_SECONDS;

/// How many things of one tenant are remembered; beyond that the shelf is cleared. A client on its own is two: itself and its
/// agentic identity.
const SHELF: usize = 40_000;
/// The same for those that outlive epochs.
const LASTING: usize = 1_000;

/// The context of one request to one tenant.
pub struct Cx<'a> {
    /// The ports.
    pub world: &'a World,
    /// The settings.
    pub config: &'a Config,
    /// When the request came.
    pub now: Now,
    /// Names the request in logs and events.
    pub request_id: String,
    /// Who sent it.
    pub peer: Peer,
    /// The tenant, at most as old as the freshness bound.
    pub tenant: Rc<Tenant>,
    memory: &'a Memory,
}

impl<'a> Cx<'a> {
    /// Opens the tenant. Unknown and suspended ones are refused.
    pub async fn open(
        world: &'a World,
        config: &'a Config,
        memory: &'a Memory,
        tenant: &str,
        at: (Now, Peer),
    ) -> Result<Self> {
        let cx = Self::open_even_suspended(world, config, memory, tenant, at).await?;
        match cx.tenant.status {
            TenantStatus::Active => Ok(cx),
            TenantStatus::Suspended => Err(Reason::TenantSuspended.into()),
        }
    }

    /// Opens the tenant although it may be suspended: for telling others just that.
    pub async fn open_even_suspended(
        world: &'a World,
        config: &'a Config,
        memory: &'a Memory,
        tenant: &str,
        (now, peer): (Now, Peer),
    ) -> Result<Self> {
        let tenant = match memory.fresh(tenant, now, config.freshness_millis()) {
            Some(known) => known,
            None => memory.read(world, tenant, now).await?,
        };
        let request_id = id::ulid(now, &*world.entropy);
        Ok(Self { world, config, now, request_id, peer, tenant, memory })
    }

    /// The same request with the tenant as D1 has it now, whatever the freshness bound: for answers that promise it.
    pub async fn refreshed(&self) -> Result<Self> {
        self.memory.read(self.world, &self.tenant.id, self.now).await?;
        self.beside(&self.tenant.id).await
    }

    /// The same request to another tenant.
    pub async fn beside(&self, tenant: &str) -> Result<Self> {
        Self::open(self.world, self.config, self.memory, tenant, (self.now, self.peer.clone())).await
    }

    /// The issuer of the tenant.
    pub fn issuer(&self) -> String {
        issuer(self.config.origin(), &self.tenant.id)
    }

    /// Runs statements in one transaction.
    pub async fn batch(&self, statements: Vec<Sql>) -> Result<Vec<Outcome>> {
        let count = statements.len();
        let outcomes = self.world.db.batch(statements).await?;
        match outcomes.len() == count {
            true => Ok(outcomes),
            false => Err(Fault::Broken("the database answered another number of statements").into()),
        }
    }

    /// Runs a guarded change with its event in one transaction: `chain` is the guard and its links (see [`crate::store`]),
    /// `after` what holds in any case. True if the guard changed something; otherwise nothing happened.
    pub async fn commit(&self, chain: Vec<Sql>, event: &Event, after: Vec<Sql>) -> Result<bool> {
        let body = serde_json::to_string(event).map_err(|_| Fault::Broken("an event has no JSON"))?;
        let mut statements = chain;
        statements.push(store::tenants::bump(&self.tenant.id));
        statements.push(store::events::stage_if_changed(&event.id, body));
        statements.extend(after);
        let outcomes = self.batch(statements).await?;
        let changed = outcomes.first().is_some_and(|guard| guard.changes > 0);
        if changed {
            // This isolate need not wait for the bound to see its own change.
            self.memory.distrust(&self.tenant.id);
            self.memory.staged.set(true);
        }
        Ok(changed)
    }

    /// What `load` gave under this `key` since the tenant last changed. A load that finds nothing is not remembered.
    pub async fn cached<T: 'static>(
        &self,
        key: &str,
        load: impl AsyncFnOnce() -> Result<Option<T>>,
    ) -> Result<Option<Rc<T>>> {
        if let Some(known) = self.memory.find(&self.tenant, key) {
            return Ok(Some(known));
        }
        let Some(loaded) = load().await?.map(Rc::new) else { return Ok(None) };
        self.memory.keep(&self.tenant, key, loaded.clone());
        Ok(Some(loaded))
    }

    /// Remembers a thing that was just made, as [`Self::cached`] would.
    pub fn keep<T: 'static>(&self, key: &str, thing: T) {
        self.memory.keep(&self.tenant, key, Rc::new(thing));
    }

    /// What `load` gave for this `version` of the thing called `name`: for things that never change under their version,
    /// such as what a content hash names. It outlives epochs.
    pub async fn pinned<T: 'static>(
        &self,
        name: &'static str,
        version: &str,
        load: impl AsyncFnOnce() -> Result<T>,
    ) -> Result<Rc<T>> {
        if let Some(known) = self.memory.find_pinned(&self.tenant.id, name, version) {
            return Ok(known);
        }
        let loaded = Rc::new(load().await?);
        self.memory.pin(&self.tenant.id, name, version, loaded.clone());
        Ok(loaded)
    }

    /// The thing of the tenant called `key`, made empty where there is none yet. It outlives epochs, so it has to know itself
    /// how long what is in it holds.
    pub fn lasting<T: Default + 'static>(&self, key: &str) -> Rc<T> {
        self.memory.lasting(&self.tenant.id, key)
    }

    /// Keeps an event in the outbox. The queue has just refused it, so it waits for the cron: to try again after every
    /// answer would only burden D1 while the queue is down.
    pub async fn stage(&self, event: &Event, body: String) -> Result<()> {
        self.batch(vec![store::events::stage(&event.id, body)]).await.map(drop)
    }

    /// Spends the thing of that `kind` which `whose` calls `name`, for ever. True the first time, false ever after, from
    /// whatever location; what has been spent stays so until `exp` and its leeway have passed.
    ///
    /// If the reply of D1 is lost the thing is spent and its bearer has to make another: the safe side (fault model, row 3).
    pub async fn spend(&self, kind: &str, (whose, name): (&str, &str), exp: i64) -> Result<bool> {
        let key = sha256(format!("{}\0{whose}\0{name}", whose.len())).to_text();
        let until = exp.saturating_add(SPENT_SECONDS);
        let outcomes = self.batch(vec![store::spent::spend(&self.tenant.id, kind, &key, until)]).await?;
        Ok(outcomes.first().is_some_and(|spent| spent.changes > 0))
    }

    /// Has what waits for others sent after the answer, as a change does; see [`Memory::take_staged`].
    pub fn relay_soon(&self) {
        self.memory.staged.set(true);
    }

    /// Whether too many authentications under this `key` have failed lately, as far as this isolate knows.
    pub fn is_locked(&self, key: &str) -> bool {
        self.memory.is_locked(&self.tenant.id, key, self.now.seconds())
    }

    /// Counts a failed authentication under each of the `keys`, everywhere. True unless there were too many before it.
    pub async fn count_failure(&self, keys: &[String]) -> Result<bool> {
        let now = self.now.seconds();
        let counts = keys.iter().map(|key| store::failures::count(&self.tenant.id, key, now)).collect();
        let outcomes = self.batch(counts).await?;
        let rows = outcomes.iter().flat_map(|outcome| &outcome.rows);
        let counts = rows.map(|row| store::failures::read(&Reader(row))).collect::<Result<Vec<_>>>()?;
        let few = counts.iter().all(|(_, count, _)| *count <= store::failures::LIMIT);
        self.memory.lock(&self.tenant.id, counts);
        Ok(few)
    }

    /// A new name for an event or a decision.
    pub fn new_id(&self) -> String {
        id::ulid(self.now, &*self.world.entropy)
    }
}

impl Memory {
    /// Whether a change has left its event in the outbox since this was last asked.
    pub fn take_staged(&self) -> bool {
        self.staged.take()
    }

    fn fresh(&self, tenant: &str, now: Now, bound: u64) -> Option<Rc<Tenant>> {
        let shelves = self.shelves.borrow();
        let shelf = shelves.get(tenant)?;
        let age = now.millis().checked_sub(shelf.checked?.millis())?;
        (age < bound).then(|| shelf.tenant.clone())
    }

    async fn read(&self, world: &World, tenant: &str, now: Now) -> Result<Rc<Tenant>> {
        if !id::is_slug(tenant) {
            return Err(Reason::UnknownTenant.into());
        }
        let statements = vec![store::tenants::get(tenant), store::failures::locked(tenant, now.seconds())];
        let outcomes = world.db.batch(statements).await?;
        let row = store::single(&outcomes).ok_or(Reason::UnknownTenant)?;
        let locks = outcomes.iter().skip(1).flat_map(|outcome| &outcome.rows);
        let locks = locks.map(|row| store::failures::read(&Reader(row))).collect::<Result<Vec<_>>>()?;
        let known = self.remember(store::tenants::read(&row)?, now);
        self.lock(tenant, locks);
        Ok(known)
    }

    fn remember(&self, tenant: Tenant, now: Now) -> Rc<Tenant> {
        let mut shelves = self.shelves.borrow_mut();
        let id = tenant.id.clone();
        let shelf = shelves.entry(id).or_insert_with(|| Shelf {
            tenant: Rc::new(tenant.clone()),
            checked: None,
            things: HashMap::new(),
            pinned: HashMap::new(),
            lasting: HashMap::new(),
            locks: HashMap::new(),
        });
        if *shelf.tenant != tenant {
            shelf.tenant = Rc::new(tenant);
            shelf.things.clear();
        }
        shelf.checked = Some(now);
        shelf.tenant.clone()
    }

    fn distrust(&self, tenant: &str) {
        if let Some(shelf) = self.shelves.borrow_mut().get_mut(tenant) {
            shelf.checked = None;
            shelf.things.clear();
        }
    }

    fn find<T: 'static>(&self, tenant: &Tenant, key: &str) -> Option<Rc<T>> {
        let shelves = self.shelves.borrow();
        let shelf = shelves.get(&tenant.id).filter(|shelf| shelf.tenant.epoch == tenant.epoch)?;
        shelf.things.get(key)?.clone().downcast().ok()
    }

    fn keep<T: 'static>(&self, tenant: &Tenant, key: &str, thing: Rc<T>) {
        let mut shelves = self.shelves.borrow_mut();
        let Some(shelf) = shelves.get_mut(&tenant.id).filter(|shelf| shelf.tenant.epoch == tenant.epoch) else {
            return;
        };
        if shelf.things.len() >= SHELF {
            shelf.things.clear();
        }
        shelf.things.insert(key.to_owned(), thing);
    }

    /// Remembers those of the counts that reach the limit. A lock runs out by itself, so none is ever taken back.
    fn lock(&self, tenant: &str, counts: Vec<(String, i64, i64)>) {
        if let Some(shelf) = self.shelves.borrow_mut().get_mut(tenant) {
            let reached = counts.into_iter().filter(|(_, count, _)| *count >= store::failures::LIMIT);
            let locks = reached.map(|(key, _, until)| (key, until));
            if shelf.locks.len() >= LASTING {
                shelf.locks.clear();
            }
            shelf.locks.extend(locks);
        }
    }

    fn is_locked(&self, tenant: &str, key: &str, now: i64) -> bool {
        let shelves = self.shelves.borrow();
        shelves.get(tenant).and_then(|shelf| shelf.locks.get(key)).is_some_and(|until| now < *until)
    }

    fn lasting<T: Default + 'static>(&self, tenant: &str, key: &str) -> Rc<T> {
        let mut shelves = self.shelves.borrow_mut();
        let Some(shelf) = shelves.get_mut(tenant) else { return Rc::default() };
        if let Some(known) = shelf.lasting.get(key).and_then(|thing| thing.clone().downcast().ok()) {
            return known;
        }
        if shelf.lasting.len() >= LASTING {
            shelf.lasting.clear();
        }
        let thing = Rc::new(T::default());
        shelf.lasting.insert(key.to_owned(), thing.clone());
        thing
    }

    fn find_pinned<T: 'static>(&self, tenant: &str, name: &str, version: &str) -> Option<Rc<T>> {
        let shelves = self.shelves.borrow();
        let (known, thing) = shelves.get(tenant)?.pinned.get(name)?;
        (known == version).then(|| thing.clone().downcast().ok())?
    }

    fn pin<T: 'static>(&self, tenant: &str, name: &'static str, version: &str, thing: Rc<T>) {
        if let Some(shelf) = self.shelves.borrow_mut().get_mut(tenant) {
            shelf.pinned.insert(name, (version.to_owned(), thing));
        }
    }
}
