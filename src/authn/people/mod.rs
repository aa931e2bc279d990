//! People: their sessions, what their browsers keep for us, and the ways in which they sign in.
//!
//! 1. A session is a row, found by the digest of a cookie; it counts while its person is active. So a stop is felt at the next request.
//! 2. What a browser keeps between two pages is sealed: nobody reads it or changes it, and no other browser has it.

pub mod browser;
pub mod demo;
pub mod invitation;
pub mod logout;
pub mod oidc;
pub mod passkey;
pub mod session;

pub use session::Person;
