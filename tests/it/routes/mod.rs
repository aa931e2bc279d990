//! Every URL, in process, over doubles that can fail, lag and race. Mirrors the paths.

mod admin;
mod audit;
mod chain;
pub mod client_assertions;
mod connections;
mod discovery;
mod dpop;
mod exchange;
mod failures;
mod hostile;
mod id_jag;
mod identities;
mod introspection;
mod jwt_bearer;
mod keys;
mod kill;
mod leases;
mod lifecycle;
mod own_apis;
mod policies;
mod revocation;
mod signals;
mod status_list;
mod stops;
mod token;
mod workloads;
