//! The context of one request: the world, the settings, the moment, the tenant, and what this isolate remembers.
//!
//! 1. The tenant is at most as old as the freshness bound, and so is every cached record (see [`cache`]).
//! 2. Nothing of a request outlives it.

pub mod cache;
mod change;
pub mod database;
mod lockout;
mod names;
mod single_use;

pub use cache::{Key, Memory, Stamp, TenantKey};
pub use change::Change;
pub use lockout::Counts;
pub use single_use::remembered_until;

use crate::config::Config;
use crate::error::{Reason, Result};
use crate::model::project::Route;
use crate::model::tenant::{TenantStatus, issuer};
use crate::model::{Resource, Tenant, id};
use crate::ports::{Location, Now, Sql, World};
use crate::store::Query;
use database::{Batch, Database};
use names::Names;
use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

/// The sender of the request, as the edge knows it.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The address.
    pub ip: Option<IpAddr>,
    /// Its country and autonomous system.
    pub location: Location,
}

/// When a request came, and from whom.
pub struct Arrival {
    /// The moment.
    pub now: Now,
    /// The sender.
    pub peer: Peer,
}

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
    /// The sender.
    pub peer: Peer,
    /// The tenant, at most as old as the freshness bound.
    pub tenant: Rc<Tenant>,
    memory: &'a Memory,
    waited: Cell<bool>,
    names: Rc<Names>,
    route: Option<Rc<Route>>,
}

impl<'a> Cx<'a> {
    /// Opens the tenant. Unknown and suspended ones are refused.
    pub async fn open(
        world: &'a World,
        config: &'a Config,
        memory: &'a Memory,
        tenant: &str,
        arrival: Arrival,
    ) -> Result<Self> {
        let cx = Self::open_even_suspended(world, config, memory, tenant, arrival).await?;
        match cx.tenant.status {
            TenantStatus::Active => Ok(cx),
            TenantStatus::Suspended => Err(Reason::TenantSuspended.into()),
        }
    }

    /// Opens the tenant although it may be suspended: for the cron, which tells receivers of the suspension.
    pub async fn open_even_suspended(
        world: &'a World,
        config: &'a Config,
        memory: &'a Memory,
        tenant: &str,
        Arrival { now, peer }: Arrival,
    ) -> Result<Self> {
        let tenant = match memory.fresh(tenant, now, config.freshness_millis()) {
            Some(known) => known.ok_or(Reason::UnknownTenant)?,
            None => memory.read(world, tenant, now).await?,
        };
        let request_id = id::ulid(now, &*world.entropy);
        let (waited, names) = (Cell::new(false), Rc::default());
        Ok(Self { world, config, now, request_id, peer, tenant, memory, waited, names, route: None })
    }

    /// The same request with the tenant as D1 has it now, whatever the freshness bound: for answers that promise it.
    pub async fn refreshed(&self) -> Result<Self> {
        self.memory.read(self.world, &self.tenant.id, self.now).await?;
        let (request_id, names, route) = (self.request_id.clone(), self.names.clone(), self.route.clone());
        Ok(Self { request_id, names, route, ..self.for_tenant(&self.tenant.id).await? })
    }

    /// Notes that the request has waited for another service, or for another request that does.
    pub fn note_wait(&self) {
        self.waited.set(true);
    }

    /// Waits, as [`Self::note_wait`] has it.
    pub async fn sleep(&self, millis: u64) {
        self.note_wait();
        self.world.timer.sleep(millis).await;
    }

    /// The same request as [`Self::refreshed`] if it has waited: what was checked before a wait has to be checked again after it.
    pub async fn refreshed_after_wait(&self) -> Result<Option<Self>> {
        match self.waited.get() {
            true => self.refreshed().await.map(Some),
            false => Ok(None),
        }
    }

    /// The same request to another tenant.
    pub async fn for_tenant(&self, tenant: &str) -> Result<Self> {
        let arrival = Arrival { now: self.now, peer: self.peer.clone() };
        Self::open(self.world, self.config, self.memory, tenant, arrival).await
    }

    /// The same request at another moment and from another sender: for what policy would decide then.
    pub fn imagined(&self, now: Now, peer: Peer) -> Self {
        let (world, config, memory) = (self.world, self.config, self.memory);
        let (request_id, tenant, names) = (self.request_id.clone(), self.tenant.clone(), self.names.clone());
        let (waited, route) = (Cell::new(self.waited.get()), self.route.clone());
        Self { world, config, now, request_id, peer, tenant, memory, waited, names, route }
    }

    /// The same request, which has come by a compatible route: what it is issued names the issuer of that route.
    pub fn by_route(&self, route: Route) -> Self {
        Self { route: Some(Rc::new(route)), ..self.imagined(self.now, self.peer.clone()) }
    }

    /// The compatible route that the request has come by.
    pub fn route(&self) -> Option<&Route> {
        self.route.as_deref()
    }

    /// The issuer that its tokens name: of the compatible route, or of the tenant.
    pub fn issuer_of_tokens(&self) -> String {
        self.route().map_or_else(|| self.issuer(), |route| route.issuer.clone())
    }

    /// Whether the request may be issued tokens for the resource: one that has come by a compatible route gets none for an API of the tenant itself.
    pub fn issues_for(&self, resource: &Resource) -> bool {
        let is_it = |route: &Route| route.resource.as_ref().is_none_or(|id| *id == resource.id);
        self.route().is_none_or(|route| !resource.is_built_in() && is_it(route))
    }

    /// Notes the name of a client, a user or a resource, for the events of this request.
    pub fn note_name(&self, id: &str, name: &str) {
        self.names.note(id, name);
    }

    /// The name of a client, a user or a resource, if the request has learnt it.
    pub fn name_of(&self, id: &str) -> Option<String> {
        self.names.of(id)
    }

    /// The issuer of the tenant.
    pub fn issuer(&self) -> String {
        issuer(self.config.origin(), &self.tenant.id)
    }

    /// The database of truth.
    pub fn db(&self) -> Database<'_> {
        Database(&*self.world.db)
    }

    /// The database of the audit trail.
    pub fn trail(&self) -> Database<'_> {
        Database(&*self.world.trail)
    }

    /// The first row of a query, if it has one.
    pub async fn one<T>(&self, query: Query<T>) -> Result<Option<T>> {
        self.db().one(query).await
    }

    /// The rows of a query.
    pub async fn all<T>(&self, query: Query<T>) -> Result<Vec<T>> {
        self.db().all(query).await
    }

    /// Runs a tuple of statements in one transaction.
    pub async fn batch<B: Batch>(&self, batch: B) -> Result<B::Output> {
        self.db().batch(batch).await
    }

    /// Runs statements on which no decision of others rests, in one transaction; answers how many rows each changed.
    pub async fn run(&self, statements: Vec<Sql>) -> Result<Vec<u64>> {
        self.db().run(statements).await
    }

    /// The value under this key, cached or loaded. No change has named the key since it was loaded. A load that finds nothing is not
    /// remembered.
    pub async fn cached<K: Key>(
        &self,
        key: &K,
        load: impl AsyncFnOnce() -> Result<Option<K::Value>>,
    ) -> Result<Option<Rc<K::Value>>> {
        let stamp = self.memory.stamp(&self.tenant.id);
        if let Some(known) = self.memory.find(stamp, key) {
            return Ok(Some(known));
        }
        let Some(loaded) = load().await?.map(Rc::new) else { return Ok(None) };
        self.memory.keep(&self.tenant.id, stamp, key, loaded.clone());
        Ok(Some(loaded))
    }

    /// Where a load begins whose outcome [`Self::keep`] is to remember.
    pub fn stamp(&self) -> Stamp {
        self.memory.stamp(&self.tenant.id)
    }

    /// Remembers a value that was loaded or made since `stamp`, as [`Self::cached`] would.
    pub fn keep<K: Key>(&self, stamp: Stamp, key: &K, value: K::Value) {
        self.memory.keep(&self.tenant.id, stamp, key, Rc::new(value));
    }

    /// The value under this key, which never names another value, such as a content hash. It is loaded once, and no change drops it.
    pub async fn immutable<K: Key, E>(
        &self,
        key: &K,
        load: impl AsyncFnOnce() -> Result<K::Value, E>,
    ) -> Result<Rc<K::Value>, E> {
        let text = ["immutable/", &self.tenant.id, "/", &key.text()].concat();
        if let Some(known) = self.memory.find_immutable(&text) {
            return Ok(known);
        }
        let loaded = Rc::new(load().await?);
        self.memory.keep_immutable(text, loaded.clone(), K::weight(&loaded));
        Ok(loaded)
    }

    /// The value of the tenant under this key, made empty where there is none. No change drops it: it knows itself how long what is in
    /// it holds. It counts as `weight` bytes.
    pub fn lasting<T: Default + 'static>(&self, key: &str, weight: usize) -> Rc<T> {
        self.memory.lasting(&["lasting/", &self.tenant.id, "/", key].concat(), weight)
    }

    /// Tells the cache what a lasting value weighs by now.
    pub fn reweigh<T: 'static>(&self, key: &str, value: Rc<T>, weight: usize) {
        self.memory.keep_immutable(["lasting/", &self.tenant.id, "/", key].concat(), value, weight);
    }

    /// Has signals and events sent after the answer, as a change does; see [`Memory::take_staged`].
    pub fn relay_soon(&self) {
        self.memory.set_staged();
    }

    /// A new name for an event or a decision.
    pub fn new_id(&self) -> String {
        id::ulid(self.now, &*self.world.entropy)
    }
}
