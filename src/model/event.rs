//! Audit events: one per thing that happened. No secret and no token ever enters one.

use serde::{Deserialize, Serialize};

macro_rules! event_types {
    ($($(#[doc = $doc:literal])+ $name:ident = $wire:literal,)+) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum EventType { $($(#[doc = $doc])+ #[serde(rename = $wire)] $name,)+ }

        impl EventType {
            /// Every type there is.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)+ }
            }
        }
    };
}

event_types! {
    /// A token left the house.
    TokenIssued = "token.issued",
    /// A token request was refused.
    TokenRefused = "token.refused",
    /// A downstream credential was handed out.
    LeaseGranted = "lease.granted",
    /// A lease was refused, or the provider failed.
    LeaseRefused = "lease.refused",
    /// An admin request was refused.
    AdminRefused = "admin.refused",
    /// A tenant was made.
    TenantCreated = "tenant.created",
    /// A tenant was changed.
    TenantUpdated = "tenant.updated",
    /// A client was registered.
    ClientCreated = "client.created",
    /// A client was changed.
    ClientUpdated = "client.updated",
    /// A client was removed.
    ClientDeleted = "client.deleted",
    /// A client was suspended.
    ClientSuspended = "client.suspended",
    /// A client was resumed.
    ClientResumed = "client.resumed",
    /// A client was stopped for good.
    ClientKilled = "client.killed",
    /// An agentic identity was suspended.
    IdentitySuspended = "identity.suspended",
    /// An agentic identity was resumed.
    IdentityResumed = "identity.resumed",
    /// An agentic identity was stopped for good.
    IdentityKilled = "identity.killed",
    /// A user was suspended.
    UserSuspended = "user.suspended",
    /// A user was resumed.
    UserResumed = "user.resumed",
    /// A user was stopped for good.
    UserKilled = "user.killed",
    /// A connection was suspended.
    ConnectionSuspended = "connection.suspended",
    /// A connection was resumed.
    ConnectionResumed = "connection.resumed",
    /// A connection was stopped for good.
    ConnectionKilled = "connection.killed",
    /// A token was stopped by an administrator, with every token made from it.
    ChainKilled = "chain.killed",
    /// A tenant was stopped, with everything in it.
    TenantKilled = "tenant.killed",
    /// A token was revoked by its client, with every token made from it.
    TokenRevoked = "token.revoked",
    /// A request to introspect or to revoke a token was refused.
    TokenQueryRefused = "token.query_refused",
    /// A client got another secret.
    SecretCreated = "client.secret_created",
    /// A client lost a secret.
    SecretDeleted = "client.secret_deleted",
    /// A resource was registered.
    ResourceCreated = "resource.created",
    /// A resource was changed.
    ResourceUpdated = "resource.updated",
    /// A resource was removed.
    ResourceDeleted = "resource.deleted",
    /// A user was made.
    UserCreated = "user.created",
    /// A user was changed.
    UserUpdated = "user.updated",
    /// A user was removed.
    UserDeleted = "user.deleted",
    /// An outside issuer was registered.
    IssuerCreated = "issuer.created",
    /// An outside issuer was changed.
    IssuerUpdated = "issuer.updated",
    /// An outside issuer was removed.
    IssuerDeleted = "issuer.deleted",
    /// A policy was written.
    PolicyPut = "policy.put",
    /// A policy was removed.
    PolicyDeleted = "policy.deleted",
    /// A connection was written.
    ConnectionPut = "connection.put",
    /// A connection was removed.
    ConnectionDeleted = "connection.deleted",
    /// Signing keys were made or moved on.
    KeyRotated = "key.rotated",
    /// A client has reached its expiry and was suspended.
    ClientExpired = "client.expired",
    /// A client was suspended because it got no token for too long.
    ClientUnused = "client.unused",
    /// A resource server made its event stream.
    StreamCreated = "stream.created",
    /// A resource server changed its event stream.
    StreamUpdated = "stream.updated",
    /// A resource server removed its event stream.
    StreamDeleted = "stream.deleted",
    /// Signals that their receiver did not take were dropped.
    SignalDropped = "signal.dropped",
    /// A receiver could not use a signal.
    SignalRefused = "signal.refused",
}

/// One audit record. Absent members are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// ULID; the consumer drops what it has seen. For a decision of policy it is the `decision` that refusals name.
    pub id: String,
    /// The tenant.
    pub tenant: String,
    /// Milliseconds since the epoch.
    pub at: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The request.
    pub request_id: String,
    /// The acting client: an agent, or the administrator's client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub facts: Facts,
}

/// What an event tells besides who and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Whom the token is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who acts, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// The grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_type: Option<String>,
    /// How the client authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<String>,
    /// The resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The scope asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_asked: Option<String>,
    /// The scope given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_given: Option<String>,
    /// The connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The resource server that leased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_server: Option<String>,
    /// The caller's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The id of the decision, when policy decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The policies that determined it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Policies that could not be evaluated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_errors: Vec<String>,
    /// Shadow policies that would have changed the result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadow_policies: Vec<String>,
    /// Content hash of the policies in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<String>,
    /// The token's `jti`, as its SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti_hash: Option<String>,
    /// When what was given expires, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// More about the reason, or the thing that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The thing that changed: an id or a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}
