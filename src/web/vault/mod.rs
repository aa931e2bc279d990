//! What the vault answers to resource servers.

pub mod lease;
