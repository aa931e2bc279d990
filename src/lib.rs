//! Writ: an identity hub for AI agents that runs at the edge.
//!
//! The map. Each level may import the ones above it in this list, and `tests/it/architecture.rs` holds the table.
//!
//! | level | modules | what they are |
//! | --- | --- | --- |
//! | 1 words | [`crypto`] [`error`] [`ports`] | secrets and digests; every refusal; all that we ask of the world |
//! | 2 standards | [`jose`] [`oauth`] | tokens and keys; forms, scope, resources, metadata |
//! | 3 things | [`model`] [`policy`] [`config`] | tenants, clients, resources …; Cedar; settings |
//! | 4 memory | [`store`] [`cx`] | SQL as data; the context of a request |
//! | 5 verbs | [`audit`] [`gate`] [`outbound`], [`keys`] [`policies`], [`tokens`] [`assertions`] [`proofs`], [`client_auth`] [`signals`] [`users`], [`identities`] [`kill`] [`lifecycle`], [`vault`] [`grants`] | what can be done |
//! | 6 doors | [`web`], [`routes`] | parse, call a verb, render; every URL |
//! | 7 frame | [`app`] | the three doors |
//! | 8 outside | `shell` (WebAssembly only), [`cli`] | the host |

pub mod app;
pub mod assertions;
pub mod audit;
pub mod client_auth;
pub mod config;
pub mod crypto;
pub mod cx;
pub mod error;
pub mod gate;
pub mod grants;
pub mod identities;
pub mod jose;
pub mod keys;
pub mod kill;
pub mod lifecycle;
pub mod model;
pub mod oauth;
pub mod outbound;
pub mod policies;
pub mod policy;
pub mod ports;
pub mod proofs;
pub mod routes;
pub mod signals;
pub mod store;
pub mod tokens;
pub mod users;
pub mod vault;
pub mod web;

#[cfg(not(target_arch = "wasm32"))]
pub mod cli;
#[cfg(target_arch = "wasm32")]
mod shell;
