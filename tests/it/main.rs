//! Every test of the core, in one binary: it links once.
//!
//! | module | what it tests |
//! | --- | --- |
//! | [`architecture`], [`graph`] | the text of the project: who imports whom, what may stand where |
//! | [`jose`], [`wycheproof`] | tokens, keys and proofs with real signatures |
//! | [`webauthn`] | passkeys, with an authenticator of our own |
//! | [`routes`] | every URL, over doubles that can fail, lag and race |
//! | [`faults`], [`reasons`] | what is lost, slow or down; every refusal |
//! | [`conformance`] | what anybody can check from outside: in process, or at `BASE_URL` |
//! | [`catalogue`] | the services that the vault knows, and their page |
//! | [`cookbook`] | the page about policies, and the policies on it |
//! | [`store`] | the guards of statements |
//! | [`vendor`] | the stand-ins in `vendor/` |
//! | [`support`] | the doubles and fixtures of all of them |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, which is its job"
)]

mod architecture;
mod catalogue;
mod conformance;
mod cookbook;
mod faults;
mod graph;
mod jose;
mod reasons;
mod routes;
mod store;
mod support;
mod vendor;
mod webauthn;
mod wycheproof;
