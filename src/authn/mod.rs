//! Who is calling: a client by one mechanism, and the holder of a key.

pub mod client;
pub mod dpop;
