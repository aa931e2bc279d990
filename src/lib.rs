//! Writ: an identity hub for AI agents that runs at the edge.
//!
//! The map. Each level may import the ones above it in this list, and `tests/it/architecture.rs` holds the table.
//!
//! | level | modules | what they are |
//! | --- | --- | --- |
//! | 1 words | [`ports`], [`crypto`] [`error`] | all that the core asks of the world; secrets and digests; every refusal |
//! | 2 standards | [`jose`], [`oauth`] [`webauthn`] | tokens and keys; forms, scope, resources, metadata; passkeys |
//! | 3 records | [`model`], [`cedar`] [`config`] | tenants, clients, resources …; the policy engine; settings |
//! | 4 memory | [`store`], [`context`] | SQL as data; the context of a request |
//! | 5 verbs | [`outbound`], [`audit`], [`directory`], [`policy`], [`keys`], [`revocation`], [`webhooks`], [`federation`], [`authn`], [`registration`], [`approvals`], [`tokens`], [`authorize`], [`vault`], [`grants`] [`jobs`] | what can be done |
//! | 6 endpoints | [`web`] | parse, call a verb, render; every URL |
//! | 7 frame | [`app`] | the three doors |
//! | 8 outside | [`cli`], `shell` (WebAssembly only) | the host |

pub mod app;
pub mod approvals;
pub mod audit;
pub mod authn;
pub mod authorize;
pub mod cedar;
pub mod cli;
pub mod config;
pub mod context;
pub mod crypto;
pub mod directory;
pub mod error;
pub mod federation;
pub mod grants;
pub mod jobs;
pub mod jose;
pub mod keys;
pub mod model;
pub mod oauth;
pub mod outbound;
pub mod policy;
pub mod ports;
pub mod registration;
pub mod revocation;
pub mod store;
pub mod tokens;
pub mod vault;
pub mod web;
pub mod webauthn;
pub mod webhooks;

#[cfg(target_arch = "wasm32")]
mod shell;
