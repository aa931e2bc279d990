//! Tenants, clients, users, agentic identities, resources, trusted issuers: load, create, update, delete. Connections: load.
//!
//! In scope: every change of these records, with its event and the cached records that it makes stale; quotas over their number. Out of
//! scope: what a body may say beyond its own members (`federation`, `authn`), who may change it (`web`), changes of connections (`vault`)
//! and of policies (`policy`).
//!
//! 1. An update that changes nothing is no change: no version, no event.
//! 2. Of two updates from one version one is refused.

pub mod clients;
pub mod connected;
pub mod connections;
mod creation;
pub mod findings;
pub mod identities;
pub mod issuers;
pub mod quotas;
pub mod resources;
pub mod sinks;
pub mod tenants;
pub mod told;
pub mod users;

pub use creation::{Creation, changes};
use creation::{LOOKED_FOR, unreferenced};
