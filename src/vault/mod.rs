//! The vault: long-lived credentials go in, short-lived tokens come out.
//!
//! In scope: changing and killing connections, sealing credentials, leasing what providers give for them. Out of scope: who the caller is
//! ([`crate::authn::client`]), and how an answer looks.
//!
//! 1. A credential is parsed, reduced to what its provider needs and sealed before anything is written; no function gives
//!    it back but the exchange with its own provider (`envelope`, docs/requirements.md R56, R60).
//! 2. The ciphertext lies in KV under a name that is never reused; D1 has the pointer and the wrapped data key. KV is
//!    written first, so a pointer never leads nowhere for good; erasing the row makes the ciphertext unreadable (R61, R62).
//! 3. A lease needs a token for the resource server that asks, and a permit of policy, each time (`lease`, R52, R53).
//!    The proxy uses it for one call instead, so that nobody has it (`proxy`, R224); the decision is the same (`permit`).
//! 4. Of all leases in all isolates one talks to the provider (`downstream`, R57).
//! 5. Every call to another service goes through [`crate::outbound`] (R109).
//! 6. An agent's token never goes to a provider, and a provider's token is never accepted here (R55).

pub mod accounts;
mod canary;
pub mod connect;
mod connections;
mod downstream;
pub mod drill;
mod envelope;
mod lease;
mod own_token;
pub mod permit;
mod provider;
pub mod proxy;
mod refresh;
pub mod rewrap;
pub mod service;
pub mod upload;

pub use canary::try_key;
pub use connections::{Draft, create, kill, remove, update};
pub use envelope::kv_prefix;
pub use lease::{Asked, Granted, READS as LEASE_READS, Request, grant, is_tool, lease};
pub use permit::Trail;
pub use provider::oauth2::Owner;
