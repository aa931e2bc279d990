//! The memory of an isolate between requests.
//!
//! 1. A cached record is at most as old as the freshness bound: once a bound, an isolate reads the tenant's row and the changes since
//!    the sequence number that it knows, and drops just the keys that they name. Where the log does not reach back, it drops all of
//!    the tenant's records. So a change costs others what it changed.
//! 2. A record whose loading began before a change was noticed is not kept.
//! 3. The cache is bounded in bytes over all tenants, in two generations: when the young one is full the old one is let go, and what
//!    was used since is in the young one. Nothing is remembered of clients that do not exist.
//! 4. Nothing of one tenant can be found under another.

use super::database::Database;
use crate::error::{Reason, Result};
use crate::model::{Tenant, id};
use crate::ports::{Now, World};
use crate::store;
use crate::store::failures::Failures;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// How many bytes one generation holds.
const GENERATION: usize = 24 * 1024 * 1024;
/// How many changes an isolate catches up with; beyond that it drops all that it has of the tenant.
pub const CAUGHT_UP: i64 = 500;
/// How many locks of a tenant are remembered.
const LOCKS: usize = 1_000;
/// The weight of an entry besides its key and its value, in bytes.
const ENTRY: usize = 128;

/// The name of a cached value, and its type.
pub trait Key {
    /// The type of the value.
    type Value: 'static;

    /// The key as text: a word for its kind, `/`, and a name that is unique within it.
    fn text(&self) -> String;

    /// About how many bytes a value takes.
    fn weight(_value: &Self::Value) -> usize {
        1_024
    }
}

/// Declares the key of a kind of cached value: `key!(/// A client by its id. ClientKey(id) -> Client = "client");`
macro_rules! key {
    ($(#[$doc:meta])+ $name:ident -> $value:ty = $kind:literal $(, weighs $weight:expr)?) => {
        $(#[$doc])+
        pub struct $name;

        impl $crate::context::Key for $name {
            type Value = $value;

            fn text(&self) -> String {
                $kind.to_owned()
            }
            $(
                fn weight(value: &$value) -> usize {
                    let weight: fn(&$value) -> usize = $weight;
                    weight(value)
                }
            )?
        }
    };
    ($(#[$doc:meta])+ $name:ident($($part:ident),+) -> $value:ty = $kind:literal $(, weighs $weight:expr)?) => {
        $(#[$doc])+
        pub struct $name<'a>($(pub key!(@text $part 'a)),+);

        impl $crate::context::Key for $name<'_> {
            type Value = $value;

            fn text(&self) -> String {
                let Self($($part),+) = self;
                $crate::context::cache::text($kind, &[$($part),+])
            }
            $(
                fn weight(value: &$value) -> usize {
                    let weight: fn(&$value) -> usize = $weight;
                    weight(value)
                }
            )?
        }
    };
    (@text $part:ident $life:lifetime) => { &$life str };
}
pub(crate) use key;

key!(
    /// The tenant itself: what a change of its own row names, for the row is read anew in any case.
    TenantKey -> () = "tenant"
);

/// A key as text: each part but the last with its length, so that no two lists of parts are spelled alike.
pub fn text(kind: &str, parts: &[&str]) -> String {
    let mut text = kind.to_owned();
    for (n, part) in parts.iter().enumerate() {
        if n.saturating_add(1) < parts.len() {
            text.push('/');
            text.push_str(&part.len().to_string());
        }
        text.push('/');
        text.push_str(part);
    }
    text
}

/// The memory of an isolate.
#[derive(Default)]
pub struct Memory {
    entries: RefCell<Generations>,
    eras: Cell<u64>,
    staged: Cell<bool>,
    ageing: RefCell<Vec<String>>,
}

/// A tenant as the isolate knows it, or that there is none.
#[derive(Default)]
pub(super) struct Known {
    tenant: Option<Rc<Tenant>>,
    /// When D1 last told so; nothing once a change of it is on its way.
    checked: Option<Now>,
    /// In which second a request has last asked to have it read ahead of time.
    renewed: Option<i64>,
    /// Names its records: another era has none of them.
    era: u64,
    /// How often records were dropped.
    drops: u64,
    /// How often this isolate changed the tenant itself.
    own_changes: u64,
    /// Clients and addresses that have reached the limit of failed authentications, and until which second.
    locks: HashMap<String, i64>,
}

/// Where a load began: what comes of it is kept only if nothing was dropped since.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    era: u64,
    drops: u64,
}

impl Stamp {
    /// The key in this era; nothing in the era of a tenant that was let go, for all tenants share it.
    fn text(self, key: &impl Key) -> Option<String> {
        (self.era > 0).then(|| of_era(self.era, &key.text()))
    }
}

impl Memory {
    /// Whether a change has left its event in the outbox since this was last asked.
    pub fn take_staged(&self) -> bool {
        self.staged.take()
    }

    pub(super) fn set_staged(&self) {
        self.staged.set(true);
    }

    fn known(&self, tenant: &str) -> Rc<RefCell<Known>> {
        self.lasting(&["tenant/", tenant].concat(), ENTRY * 8)
    }

    /// Tenants that were found old since this was last asked: to be read anew before a request has to wait for it.
    pub fn take_ageing(&self) -> Vec<String> {
        self.ageing.take()
    }

    /// The tenant, if D1 told of it less than `bound` milliseconds ago; the inner nothing says that there is none.
    pub fn fresh(&self, tenant: &str, now: Now, bound: u64) -> Option<Option<Rc<Tenant>>> {
        let known = self.peek(&["tenant/", tenant].concat())?.downcast::<RefCell<Known>>().ok()?;
        let mut known = known.borrow_mut();
        let age = now.millis().checked_sub(known.checked?.millis())?;
        let is_old = age.saturating_mul(5) >= bound.saturating_mul(4);
        // A refresh that ended early never says so: after a while another request begins one.
        if is_old && age < bound && known.tenant.is_some() && known.renewed.is_none_or(|begun| begun < now.seconds()) {
            known.renewed = Some(now.seconds());
            self.ageing.borrow_mut().push(tenant.to_owned());
        }
        (age < bound).then(|| known.tenant.clone())
    }

    /// Reads the tenant from D1, and drops what its changes name.
    pub async fn read(&self, world: &World, tenant: &str, now: Now) -> Result<Rc<Tenant>> {
        if !id::is_slug(tenant) {
            return Err(Reason::UnknownTenant.into());
        }
        let (seq, own_changes) = {
            let known = self.known(tenant);
            let known = known.borrow();
            (known.tenant.as_ref().map(|tenant| tenant.epoch), known.own_changes)
        };
        let (found, locked, changes) = Database(&*world.db)
            .batch((
                store::tenants::get(tenant),
                store::failures::locked(tenant, now.seconds()),
                store::changes::since(tenant, seq, CAUGHT_UP),
            ))
            .await?;
        let found = found.into_iter().next().map(Rc::new);
        let known = self.known(tenant);
        let mut known = known.borrow_mut();
        // A read that began before a change of this isolate does not show it: the next request reads again.
        known.checked = (known.own_changes == own_changes).then_some(now);
        match (&found, &known.tenant) {
            (Some(new), Some(old)) if new.epoch == old.epoch => {}
            // Another request has caught up meanwhile, with newer changes than these. Where none has, the database was restored to an
            // earlier state, and a new era begins.
            (Some(new), Some(old)) if new.epoch < old.epoch && seq != Some(old.epoch) => return Ok(old.clone()),
            (Some(new), Some(old))
                if seq.is_some_and(|seq| seq <= old.epoch) && covers(&changes, old.epoch, new.epoch) =>
            {
                known.drops = known.drops.wrapping_add(1);
                self.drop_keys(known.era, changes.iter().map(|(_, key)| key.as_str()));
            }
            (None, None) => {}
            _ => self.begin_era(&mut known),
        }
        known.tenant.clone_from(&found);
        known.lock(locked);
        found.ok_or_else(|| Reason::UnknownTenant.into())
    }

    fn begin_era(&self, known: &mut Known) {
        self.eras.set(self.eras.get().saturating_add(1));
        known.era = self.eras.get();
        known.drops = known.drops.wrapping_add(1);
    }

    /// Forgets what a change of this isolate made stale, and has the tenant read anew.
    pub(super) fn changed(&self, tenant: &str, keys: &[String]) {
        let known = self.known(tenant);
        let mut known = known.borrow_mut();
        known.checked = None;
        known.own_changes = known.own_changes.wrapping_add(1);
        known.drops = known.drops.wrapping_add(1);
        self.drop_keys(known.era, keys.iter().map(String::as_str));
    }

    fn drop_keys<'a>(&self, era: u64, keys: impl Iterator<Item = &'a str>) {
        let mut entries = self.entries.borrow_mut();
        keys.for_each(|key| entries.remove(&of_era(era, key)));
    }

    pub(super) fn stamp(&self, tenant: &str) -> Stamp {
        let known = self.known(tenant);
        let known = known.borrow();
        Stamp { era: known.era, drops: known.drops }
    }

    pub(super) fn find<K: Key>(&self, stamp: Stamp, key: &K) -> Option<Rc<K::Value>> {
        self.peek(&stamp.text(key)?)?.downcast().ok()
    }

    /// Keeps a value that was loaded since `stamp`, unless something was dropped meanwhile.
    pub(super) fn keep<K: Key>(&self, tenant: &str, stamp: Stamp, key: &K, value: Rc<K::Value>) {
        if let Some(text) = stamp.text(key).filter(|_| self.stamp(tenant) == stamp) {
            let weight = K::weight(&value);
            self.entries.borrow_mut().put(text, value, weight);
        }
    }

    fn peek(&self, text: &str) -> Option<Rc<dyn Any>> {
        self.entries.borrow_mut().get(text)
    }

    /// The value under `text`, made empty where there is none; no change drops it.
    pub(super) fn lasting<T: Default + 'static>(&self, text: &str, weight: usize) -> Rc<T> {
        if let Some(known) = self.peek(text).and_then(|known| known.downcast().ok()) {
            return known;
        }
        let made = Rc::new(T::default());
        self.entries.borrow_mut().put(text.to_owned(), made.clone(), weight);
        made
    }

    /// A value that never changes under its key.
    pub(super) fn find_immutable<T: 'static>(&self, text: &str) -> Option<Rc<T>> {
        self.peek(text)?.downcast().ok()
    }

    pub(super) fn keep_immutable<T: 'static>(&self, text: String, value: Rc<T>, weight: usize) {
        self.entries.borrow_mut().put(text, value, weight);
    }

    pub(super) fn lock(&self, tenant: &str, counts: Vec<Failures>) {
        self.known(tenant).borrow_mut().lock(counts);
    }

    pub(super) fn is_locked(&self, tenant: &str, key: &str, now: i64) -> bool {
        self.known(tenant).borrow().locks.get(key).is_some_and(|until| now < *until)
    }
}

impl Known {
    /// Remembers those of the counts that reach the limit. A lock runs out by itself, so none is ever taken back.
    fn lock(&mut self, counts: Vec<Failures>) {
        let reached = counts.into_iter().filter(|failures| failures.count >= store::failures::LIMIT);
        for Failures { key, until, .. } in reached {
            if self.locks.len() >= LOCKS && !self.locks.contains_key(&key) {
                self.locks.clear();
            }
            self.locks.insert(key, until);
        }
    }
}

/// Whether the log tells of every change from `old` to `new`.
fn covers(changes: &[(i64, String)], old: i64, new: i64) -> bool {
    let seqs: HashSet<i64> =
        changes.iter().map(|(seq, _)| *seq).filter(|seq| (old..=new).contains(seq) && *seq != old).collect();
    let cut = i64::try_from(changes.len()).is_ok_and(|count| count >= CAUGHT_UP);
    !cut && i64::try_from(seqs.len()).ok() == new.checked_sub(old)
}

fn of_era(era: u64, key: &str) -> String {
    [&era.to_string(), "/", key].concat()
}

struct Entry {
    value: Rc<dyn Any>,
    weight: usize,
}

#[derive(Default)]
struct Generations {
    young: HashMap<String, Entry>,
    old: HashMap<String, Entry>,
    /// Of the young generation.
    bytes: usize,
}

impl Generations {
    fn get(&mut self, key: &str) -> Option<Rc<dyn Any>> {
        if let Some(entry) = self.young.get(key) {
            return Some(entry.value.clone());
        }
        let (key, entry) = self.old.remove_entry(key)?;
        let value = entry.value.clone();
        self.insert(key, entry);
        Some(value)
    }

    fn put(&mut self, key: String, value: Rc<dyn Any>, weight: usize) {
        self.remove(&key);
        let weight = weight.saturating_add(key.len()).saturating_add(ENTRY);
        // An entry that would push out all the others is not kept.
        if weight <= GENERATION {
            self.insert(key, Entry { value, weight });
        }
    }

    fn insert(&mut self, key: String, entry: Entry) {
        if self.bytes.saturating_add(entry.weight) > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(entry.weight);
        self.young.insert(key, entry);
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.young.remove(key) {
            self.bytes = self.bytes.saturating_sub(entry.weight);
        }
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(generations: &mut Generations, key: &str, weight: usize) {
        generations.put(key.to_owned(), Rc::new(()), weight);
    }

    #[test]
    fn what_was_used_since_outlives_a_full_generation_and_the_rest_does_not() {
        let mut generations = Generations::default();
        put(&mut generations, "used", 1);
        put(&mut generations, "unused", 1);
        put(&mut generations, "large", GENERATION - ENTRY - 5);
        assert!(generations.get("used").is_some());
        put(&mut generations, "another", GENERATION - ENTRY - 7);
        assert!(generations.get("used").is_some() && generations.get("unused").is_none());
    }

    #[test]
    fn no_more_than_two_generations_of_bytes_are_held() {
        let mut generations = Generations::default();
        for n in 0..10_000 {
            put(&mut generations, &n.to_string(), 100_000);
            let held: usize =
                generations.young.values().chain(generations.old.values()).map(|entry| entry.weight).sum();
            assert!(held <= 2 * GENERATION);
        }
    }

    #[test]
    fn an_entry_that_is_larger_than_a_generation_is_not_kept_and_pushes_nothing_out() {
        let mut generations = Generations::default();
        put(&mut generations, "small", 1);
        put(&mut generations, "large", GENERATION);
        put(&mut generations, "larger", usize::MAX);
        assert!(generations.get("small").is_some());
        assert!(generations.get("large").is_none() && generations.get("larger").is_none());
    }

    #[test]
    fn what_is_removed_is_gone_from_both_generations_and_its_bytes_with_it() {
        let mut generations = Generations::default();
        put(&mut generations, "a", 10);
        put(&mut generations, "a", 20);
        generations.remove("a");
        assert!(generations.get("a").is_none());
        assert_eq!(generations.bytes, 0);
    }

    fn failures(key: &str, count: i64) -> Failures {
        Failures { key: key.to_owned(), count, until: 60 }
    }

    #[test]
    fn no_more_locks_than_a_thousand_are_remembered_and_the_newest_is_among_them() {
        let mut known = Known::default();
        for n in 0..2 * LOCKS + 10 {
            known.lock(vec![failures(&n.to_string(), store::failures::LIMIT)]);
            assert!(known.locks.len() <= LOCKS && known.locks.contains_key(&n.to_string()), "{n}");
        }
    }

    #[test]
    fn a_lock_that_is_told_of_again_pushes_no_other_out() {
        let mut known = Known::default();
        let all = || (0..LOCKS).map(|n| failures(&n.to_string(), store::failures::LIMIT)).collect::<Vec<_>>();
        known.lock(all());
        known.lock(all());
        known.lock(vec![failures("7", store::failures::LIMIT + 1)]);
        assert_eq!(known.locks.len(), LOCKS);
    }

    #[test]
    fn a_count_below_the_limit_locks_nothing_and_a_lock_ends_at_its_second() {
        let memory = Memory::default();
        let limit = store::failures::LIMIT;
        memory.lock("main", vec![failures("below", limit - 1), failures("at", limit)]);
        assert!(!memory.is_locked("main", "below", 0) && memory.is_locked("main", "at", 59));
        assert!(!memory.is_locked("main", "at", 60) && !memory.is_locked("acme", "at", 59));
    }

    #[test]
    fn names_of_tenants_that_do_not_exist_are_let_go_with_the_generations() {
        let memory = Memory::default();
        for n in 0..3 * GENERATION / (ENTRY * 8) {
            memory.known(&n.to_string());
        }
        let entries = memory.entries.borrow();
        let held = entries.young.len() + entries.old.len();
        assert!(held <= 2 * GENERATION / (ENTRY * 8), "{held}");
    }

    #[test]
    fn a_log_with_a_gap_or_one_that_is_cut_does_not_cover() {
        let log = |seqs: &[i64]| seqs.iter().map(|seq| (*seq, "k".to_owned())).collect::<Vec<_>>();
        assert!(covers(&log(&[5, 5, 6]), 4, 6));
        assert!(covers(&log(&[5, 6]), 5, 6), "another request has caught up with the first change");
        assert!(covers(&log(&[5, 6, 7]), 4, 6), "a change after the row was read is for the next time");
        assert!(!covers(&log(&[6]), 4, 6));
        assert!(!covers(&log(&[]), 4, 6));
        assert!(!covers(&log(&vec![5; 500]), 4, 5));
    }
}
