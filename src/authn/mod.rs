//! Client authentication, and proofs of possession of a key.

pub mod client;
pub mod dpop;
