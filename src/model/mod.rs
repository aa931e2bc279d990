//! The things that Writ keeps, and the states that they can be in.
//!
//! Constructors parse, transitions take the moment. In scope: what a thing is. Out of scope: how it is stored, who may
//! change it. Unknown fields are refused by name wherever a thing is read from the outside.

pub mod client;
pub mod connection;
pub mod event;
pub mod id;
pub mod key;
pub mod resource;
pub mod tenant;

pub use client::{AuthMethod, Client, ClientKind, ClientMetadata, ClientStatus, StoredSecret};
pub use connection::Connection;
pub use event::{Event, EventType};
pub use key::{KeyState, SigningKey};
pub use resource::{Resource, ResourceBody, ScopeBody};
pub use tenant::Tenant;
