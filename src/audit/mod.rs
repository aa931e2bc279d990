//! The audit trail: every decision and every change is one event.
//!
//! 1. No decision is answered before its event is durable: in the queue, else in the outbox, else the answer is 503
//!    (docs/requirements.md R67). A change carries its event in its own transaction ([`crate::context::Cx::commit`], R68).
//! 2. Delivery is at least once and in any order; [`consume`] keeps an event once.
//! 3. What no consumer could keep is a dead letter: kept, and counted.
//! 4. An event that is kept is a leaf of its tenant's log ([`log`]).

mod deliver;
pub mod log;
pub mod query;
mod record;
mod retention;
pub mod sinks;

pub use deliver::{Consumed, bury, consume, relay, tenants};
pub use record::{event, keep, record, record_all};
pub use retention::{forget, forgetting, kept};
