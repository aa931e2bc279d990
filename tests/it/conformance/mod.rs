//! Requirements that anybody can check from the outside, by the document that makes them. `docs/conformance.md` is the
//! table: requirement, source, test.
//!
//! In process over doubles, or, with `BASE_URL` and `WRIT_DEV_JSON` (what `scripts/dev` writes), against a live server:
//! the same tests, and nothing in them needs a clock of its own.

mod admin;
mod hub;
mod lease;
mod metadata;
mod surface;
mod token;
mod zones;
