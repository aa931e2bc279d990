//! JSON Object Signing: bytes in, verdict out.
//!
//! In scope: compact JWS (RFC 7515) and JWT (RFC 7519), public JWKs and sets of them (RFC 7517), thumbprints (RFC 7638),
//! DPoP proofs (RFC 9449), the claims of access tokens (RFC 9068). Out of scope: who may have a token, whether one was used
//! before, and the signature itself, which is the [`crate::ports::Keys`] port's. `jwt-compact` shapes and parses tokens and
//! compares times; it never chooses an algorithm.
//!
//! 1. The algorithm comes from the key that our own records name, never from the header alone (RFC 8725 §3.1). The one key
//!    that a header may bring is that of a DPoP proof.
//! 2. `typ` is compared before anything else is believed (RFC 8725 §3.11); `crit` is refused (RFC 7515 §4.1.11).
//! 3. Size, depth, and duplicate members are checked before signature work; claims are trusted only after it.

mod claims;
mod dpop;
mod jwk;
mod jws;
mod jwt;
mod point;
mod set;
mod strict;

pub use claims::{AccessToken, Actor, Audience, Confirmation, ID_JAG, IdJag, MayAct, StatusClaim, StatusReference};
pub use dpop::{PROOF_SECONDS, Proof, UnverifiedProof};
pub use jwk::PublicJwk;
pub use jws::{Jws, MAX_TOKEN, Problem, Unsigned};
pub use jwt::{LEEWAY_SECONDS, Signed, Unverified, Verified, numeric_date};
pub use set::JwkSet;
pub use strict::{is_strict, object as strict_object};
