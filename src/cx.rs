//! The context of one request: the world, the settings, the moment, the tenant, and what this isolate remembers.
//!
//! 1. A tenant's pointer is read from D1 when what we know of it is older than the freshness bound, and every cached
//!    thing of the tenant is dropped when its `epoch` has moved. So the bound holds for everything, whatever its number,
//!    at the price of one row per bound (design §5, security decision (h)).
//! 2. A thing that was loaded under one epoch never enters the cache of another.
//! 3. Nothing of a request outlives it, and nothing of one tenant can be found under another.

use crate::config::Config;
use crate::error::{Fault, Reason, Result};
use crate::model::tenant::{TenantStatus, issuer};
use crate::model::{Event, Tenant, id};
use crate::ports::{Now, Outcome, Sql, World};
use crate::store;
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
}

/// How many things of one tenant are remembered; beyond that the shelf is cleared.
const SHELF: usize = 20_000;

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
        (now, peer): (Now, Peer),
    ) -> Result<Self> {
        let tenant = match memory.fresh(tenant, now, config.freshness_millis()) {
            Some(known) => known,
            None => {
                if !id::is_slug(tenant) {
                    return Err(Reason::UnknownTenant.into());
                }
                let outcomes = world.db.batch(vec![store::tenants::get(tenant)]).await?;
                let row = store::single(&outcomes).ok_or(Reason::UnknownTenant)?;
                memory.remember(store::tenants::read(&row)?, now)
            }
        };
        if tenant.status == TenantStatus::Suspended {
            return Err(Reason::TenantSuspended.into());
        }
        let request_id = id::ulid(now, &*world.entropy);
        Ok(Self { world, config, now, request_id, peer, tenant, memory })
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

    /// Keeps an event in the outbox. The queue has just refused it, so it waits for the cron: to try again after every
    /// answer would only burden D1 while the queue is down.
    pub async fn stage(&self, event: &Event, body: String) -> Result<()> {
        self.batch(vec![store::events::stage(&event.id, body)]).await.map(drop)
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

    fn remember(&self, tenant: Tenant, now: Now) -> Rc<Tenant> {
        let mut shelves = self.shelves.borrow_mut();
        let id = tenant.id.clone();
        let shelf = shelves.entry(id).or_insert_with(|| Shelf {
            tenant: Rc::new(tenant.clone()),
            checked: None,
            things: HashMap::new(),
            pinned: HashMap::new(),
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
