//! The audit trail: every decision and every change is one event.
//!
//! 1. Nothing that was decided is answered before its event is durable: in the queue, or in the outbox, or else 503
//!    (design §5, security decision (i)). A change carries its event in its own transaction ([`crate::context::Cx::commit`]).
//! 2. Delivery is at least once and in any order; [`consume`] keeps an event once.
//! 3. What no consumer could keep is a dead letter: kept, and counted.

mod deliver;
pub mod query;
mod record;

pub use deliver::{bury, consume, relay};
pub use record::{event, record};
