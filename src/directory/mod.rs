//! Tenants, clients, users, agentic identities, resources, trusted issuers: load, create, update, delete.
//!
//! In scope: every change of a record, with its event and the cached records that it makes stale. Out of scope: what a body may say
//! beyond its own members (`federation`, `authn`), and who may change it (`web`).
//!
//! 1. An update that changes nothing is no change: no version, no event.
//! 2. Of two updates from one version one is refused.

pub mod clients;
pub mod connections;
mod creation;
pub mod identities;
pub mod issuers;
pub mod quotas;
pub mod resources;
pub mod tenants;
pub mod users;

pub use creation::Creation;
use creation::{LOOKED_FOR, changes, unreferenced};
