//! Requirements that anybody can check from the outside, by the document that makes them. `docs/conformance.md` is the
//! table: requirement, source, test.
//!
//! In process over doubles, or, with `BASE_URL` and `WRIT_DEV_JSON` (what `scripts/dev` writes), against a live server:
//! the same tests, and nothing in them needs a clock of its own.

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

#[path = "conformance/admin.rs"]
mod admin;
#[path = "conformance/hub.rs"]
mod hub;
#[path = "conformance/lease.rs"]
mod lease;
#[path = "conformance/metadata.rs"]
mod metadata;
#[path = "conformance/surface.rs"]
mod surface;
#[path = "conformance/token.rs"]
mod token;
#[path = "conformance/zones.rs"]
mod zones;
