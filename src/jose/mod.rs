//! JSON Object Signing: bytes in, verdict out.
//!
//! In scope: compact JWS (RFC 7515), public JWKs (RFC 7517) and their thumbprints (RFC 7638), the claims of access tokens
//! (RFC 9068). Out of scope: who may have a token, and the signature itself, which is the [`crate::ports::Keys`] port's.
//! `jwt-compact` shapes and parses tokens and compares times; it never chooses an algorithm.
//!
//! 1. The algorithm comes from the key that our own records name, never from the header alone (RFC 8725 §3.1).
//! 2. `typ` is compared before anything else is believed (RFC 8725 §3.11); `crit` is refused (RFC 7515 §4.1.11).
//! 3. Size, depth, and duplicate members are checked before signature work; claims are trusted only after it.

mod claims;
mod jwk;
mod jws;
mod strict;

pub use claims::{AccessToken, Actor};
pub use jwk::PublicJwk;
pub use jws::{LEEWAY_SECONDS, Problem, Unsigned, Unverified, Verified};
pub use strict::is_strict;
