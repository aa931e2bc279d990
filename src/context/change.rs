//! A guarded change: one transaction in which the event, the signals and the change log hold only if the guard changed a row. What webhooks are told
//! of an event lies there with it.

use super::Cx;
use super::cache::Key;
use crate::error::{Fault, Result};
use crate::model::Event;
use crate::model::webhook::{self, MAX_MESSAGES, TRIED_SECONDS};
use crate::ports::Sql;
use crate::store;
use crate::store::webhooks::NewMessage;

/// A change on its way. What must stand where in the transaction is known here alone: the guard, its links, the sequence number and
/// the log of keys, the event, the signals; then what holds in any case.
#[must_use = "a change that is not committed changes nothing"]
pub struct Change {
    before: Vec<Sql>,
    links: Vec<Sql>,
    tenant: Option<String>,
    keys: Vec<String>,
    events: Vec<Event>,
    signals: Vec<Sql>,
    always: Vec<Sql>,
}

impl Change {
    /// A change that happens if `guard` changes a row.
    pub fn guard(guard: Sql) -> Self {
        Self {
            before: vec![],
            links: vec![guard],
            tenant: None,
            keys: vec![],
            events: vec![],
            signals: vec![],
            always: vec![],
        }
    }

    /// Adds a statement that runs before the guard, whatever the guard says: what it makes is of use without the rest.
    pub fn before(mut self, statement: Sql) -> Self {
        self.before.push(statement);
        self
    }

    /// Records the event of the last statement before the guard, if that changed a row.
    pub fn event_before(mut self, event: &Event) -> Result<Self> {
        self.before.push(staged(event)?);
        Ok(self)
    }

    /// Adds a link: a statement that holds only if the one before it changed a row.
    pub fn then(mut self, link: Sql) -> Self {
        self.links.push(link);
        self
    }

    /// Records an event.
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Leaves signals: statements that hold only if the one before them changed a row.
    pub fn signals(mut self, signals: Vec<Sql>) -> Self {
        self.signals.extend(signals);
        self
    }

    /// Makes every isolate drop what is cached under the key.
    pub fn invalidates(mut self, key: &impl Key) -> Self {
        let key = key.text();
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
        self
    }

    /// The keys are of this tenant instead of the request's.
    pub fn of_tenant(mut self, tenant: &str) -> Self {
        self.tenant = Some(tenant.to_owned());
        self
    }

    /// Adds a statement that holds whether the guard changed a row or not.
    pub fn always(mut self, statement: Sql) -> Self {
        self.always.push(statement);
        self
    }
}

impl Cx<'_> {
    /// Commits a change. True if its guard changed a row; otherwise nothing happened but what holds in any case.
    pub async fn commit(&self, change: Change) -> Result<bool> {
        let Change { before, links, tenant, keys, events, signals, always } = change;
        let tenant = tenant.as_deref().unwrap_or(&self.tenant.id);
        let guard = before.len();
        let mut statements = before;
        statements.extend(links);
        if !keys.is_empty() {
            let keys = serde_json::to_string(&keys).map_err(|_| Fault::Broken("keys have no JSON"))?;
            statements.push(store::changes::advance(tenant));
            statements.push(store::changes::log(tenant, keys, self.now.seconds()));
        }
        for event in &events {
            statements.push(staged(event)?);
        }
        statements.extend(signals);
        statements.extend(always);
        let messages = events.iter().filter_map(|event| self.message(event));
        statements.extend(messages);
        let outcome = self.db().run(statements).await;
        let changed = outcome.map(|changes| changes.get(guard).is_some_and(|rows| *rows > 0));
        if changed != Ok(false) {
            // Its own isolate sees the change at once; when the reply is lost, it may have happened.
            if !keys.is_empty() {
                self.memory.changed(tenant, &keys);
            }
            self.memory.set_staged();
        }
        changed
    }
}

impl Cx<'_> {
    /// Leaves what webhooks are told of an event, if they are told of it.
    fn message(&self, event: &Event) -> Option<Sql> {
        let (body, now) = (webhook::message(event, self.config.origin())?, self.now.seconds());
        let until = now.saturating_add(TRIED_SECONDS);
        let message = NewMessage { id: &event.id, body, now, until, most: MAX_MESSAGES };
        Some(store::webhooks::leave(&event.tenant, event.kind.as_str(), message))
    }
}

fn staged(event: &Event) -> Result<Sql> {
    let body = serde_json::to_string(event).map_err(|_| Fault::Broken("an event has no JSON"))?;
    Ok(store::events::stage_if_changed(&event.id, body))
}
