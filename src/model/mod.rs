//! The records that Writ keeps, and their states.
//!
//! Constructors parse, transitions take the moment. In scope: what a record is. Out of scope: how it is stored, who may
//! change it. Unknown fields are refused by name wherever a record is read from the outside.

pub mod account;
pub mod approval;
pub mod auth_method;
pub mod client;
pub mod connection;
pub mod consent;
pub mod device;
pub mod event;
pub mod event_type;
pub mod id;
pub mod identity;
pub mod issuer;
pub mod key;
pub mod passkey;
pub mod project;
pub mod quiet;
pub mod registered;
pub mod registration;
pub mod requirement;
pub mod resource;
pub mod session;
pub mod sink;
pub mod status;
pub mod stop;
pub mod stream;
pub mod tenant;
pub mod user;
pub mod webhook;

pub use account::{AccountStatus, ConnectedAccount};
pub use approval::{Approval, ApprovalStatus};
pub use auth_method::AuthMethod;
pub use client::{Client, ClientKind, ClientMetadata, StoredSecret};
pub use connection::Connection;
pub use consent::{Authorization, Code, Consent, RefreshFamily};
pub use device::{DeviceCode, DeviceStatus};
pub use event::Event;
pub use event_type::EventType;
pub use identity::Identity;
pub use issuer::{Issuer, IssuerBody};
pub use key::{KeyState, SigningKey};
pub use passkey::{Invitation, Passkey};
pub use quiet::Quiet;
pub use registered::Registered;
pub use registration::{ApplicationType, Registration, RegistrationRules};
pub use resource::{AuthorizationDetailsType, Resource, ResourceBody, ScopeBody};
pub use session::Session;
pub use sink::{Sink, SinkBody};
pub use status::Status;
pub use stop::Stoppable;
pub use tenant::{ApprovalRules, Counted, Settings, Tenant};
pub use user::{User, UserBody};
