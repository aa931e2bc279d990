//! Tenants, clients, users, agentic identities, resources, trusted issuers: load, create, update, delete.

pub mod clients;
pub mod connections;
pub mod identities;
pub mod issuers;
pub mod resources;
pub mod users;
