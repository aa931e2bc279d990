//! Who calls: clients and how they authenticate, proofs of possession of a key, people and their sessions.

pub mod client;
pub mod dpop;
pub mod people;
