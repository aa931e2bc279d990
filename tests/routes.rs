//! Every URL, in process, over doubles that can fail, lag and race. Mirrors the paths.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, which is its job"
)]
#![allow(dead_code, reason = "each test target uses a part of the support")]

mod support;

#[path = "routes/admin.rs"]
mod admin;
#[path = "routes/audit.rs"]
mod audit;
#[path = "routes/connections.rs"]
mod connections;
#[path = "routes/discovery.rs"]
mod discovery;
#[path = "routes/hostile.rs"]
mod hostile;
#[path = "routes/keys.rs"]
mod keys;
#[path = "routes/leases.rs"]
mod leases;
#[path = "routes/token.rs"]
mod token;
