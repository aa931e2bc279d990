//! What the vault answers to resource servers and agents.

pub mod lease;
pub mod outbound;
pub mod proxy;
