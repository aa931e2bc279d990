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
#[path = "routes/chain.rs"]
mod chain;
#[path = "routes/client_assertions.rs"]
mod client_assertions;
#[path = "routes/connections.rs"]
mod connections;
#[path = "routes/discovery.rs"]
mod discovery;
#[path = "routes/dpop.rs"]
mod dpop;
#[path = "routes/exchange.rs"]
mod exchange;
#[path = "routes/failures.rs"]
mod failures;
#[path = "routes/hostile.rs"]
mod hostile;
#[path = "routes/id_jag.rs"]
mod id_jag;
#[path = "routes/identities.rs"]
mod identities;
#[path = "routes/introspection.rs"]
mod introspection;
#[path = "routes/jwt_bearer.rs"]
mod jwt_bearer;
#[path = "routes/keys.rs"]
mod keys;
#[path = "routes/kill.rs"]
mod kill;
#[path = "routes/leases.rs"]
mod leases;
#[path = "routes/lifecycle.rs"]
mod lifecycle;
#[path = "routes/revocation.rs"]
mod revocation;
#[path = "routes/signals.rs"]
mod signals;
#[path = "routes/status_list.rs"]
mod status_list;
#[path = "routes/token.rs"]
mod token;
#[path = "routes/workloads.rs"]
mod workloads;
