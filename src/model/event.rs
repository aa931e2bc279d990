//! Audit events. No secret and no token ever enters one.

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
    /// A call with the credential of a connection is about to leave for its service.
    ProxyStarted = "proxy.started",
    /// That call is over: how it went, how much it carried and how long it took.
    ProxyCalled = "proxy.called",
    /// A call with the credential of a connection was refused.
    ProxyRefused = "proxy.refused",
    /// A resource server reports that a tool was called with a token that was issued for it.
    ToolCalled = "tool.called",
    /// A report of tool calls was refused.
    ToolReportRefused = "tool.report_refused",
    /// An account at a service was connected.
    AccountConnected = "account.connected",
    /// The state of a connected account has changed.
    AccountChanged = "account.changed",
    /// An account was disconnected.
    AccountDisconnected = "account.disconnected",
    /// A webhook was made.
    WebhookCreated = "webhook.created",
    /// A webhook was changed.
    WebhookUpdated = "webhook.updated",
    /// A webhook was removed, with what it had not taken.
    WebhookDeleted = "webhook.deleted",
    /// A webhook got another secret; the one before signs too for a day.
    WebhookSecretRotated = "webhook.secret_rotated",
    /// A webhook was tried.
    WebhookTested = "webhook.tested",
    /// A webhook has answered 410 and is told nothing more.
    WebhookDisabled = "webhook.disabled",
    /// A webhook has not taken a message for a day. `detail` has its id and what came of the last attempt.
    WebhookFailed = "webhook.failed",
    /// Messages that a webhook had not taken are sent again.
    WebhookResent = "webhook.resent",
    /// An admin request was refused.
    AdminRefused = "admin.refused",
    /// An answer of the admin API was given again, to a retry.
    AdminRepeated = "admin.repeated",
    /// A tenant was made.
    TenantCreated = "tenant.created",
    /// A tenant was changed.
    TenantUpdated = "tenant.updated",
    /// A suspended tenant was deleted: its name is taken for good, and what it had goes.
    TenantDeleted = "tenant.deleted",
    /// All that a deleted tenant had is gone.
    TenantErased = "tenant.erased",
    /// A client was registered.
    ClientCreated = "client.created",
    /// A client was changed.
    ClientUpdated = "client.updated",
    /// A client was removed.
    ClientDeleted = "client.deleted",
    /// The document at the id of a client says something else. `detail` shows what changed of its redirect URIs and keys.
    ClientDocumentChanged = "client.document_changed",
    /// A client of a domain wants in that no administrator has allowed; `detail` is the domain.
    ClientApprovalWanted = "client.approval_wanted",
    /// A token was made that lets its bearer register a client.
    RegistrationTokenCreated = "registration_token.created",
    /// A token that lets its bearer register a client was removed.
    RegistrationTokenDeleted = "registration_token.deleted",
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
    /// A request that a client or a device sends ahead of its user was refused.
    AuthorizationRefused = "authorization.refused",
    /// A person has signed in.
    SessionBegun = "session.begun",
    /// An identity provider vouches for somebody who may not sign in.
    SessionRefused = "session.refused",
    /// A person has signed out, or was signed out by the identity provider.
    SessionEnded = "session.ended",
    /// A user was invited to set up a passkey.
    InvitationCreated = "invitation.created",
    /// A person has set up a passkey.
    PasskeyRegistered = "passkey.registered",
    /// A passkey was removed, and its sessions have ended.
    PasskeyRemoved = "passkey.removed",
    /// The signature of a passkey holds, but it was probably copied: its count does not grow.
    PasskeyRefused = "passkey.refused",
    /// A person has allowed a client something.
    ConsentGranted = "consent.granted",
    /// A person has refused a client everything.
    ConsentRefused = "consent.refused",
    /// Something was taken back from a client: by the person, an administrator, or because it was not used.
    ConsentNarrowed = "consent.narrowed",
    /// A consent, or everything of a client, was taken back.
    ConsentWithdrawn = "consent.withdrawn",
    /// A person has paused an agent.
    ConsentPaused = "consent.paused",
    /// A person has let an agent go on that they had paused.
    ConsentResumed = "consent.resumed",
    /// An authorization code came a second time: every token that came of it is stopped.
    CodeReplayed = "code.replayed",
    /// A refresh token came again after its successor: every token of its family is stopped. `detail` has both addresses.
    RefreshReused = "refresh_token.reused",
    /// A refresh token was revoked by its client, with every token of its family.
    RefreshRevoked = "refresh_token.revoked",
    /// A token was revoked by its client, with every token made from it.
    TokenRevoked = "token.revoked",
    /// A request to introspect or to revoke a token was refused.
    TokenQueryRefused = "token.query_refused",
    /// Requests that prove nobody, of a client or from an address, have reached their limit: for a while they are 429 and no events.
    AuthenticationLimited = "authentication.limited",
    /// A tenant was given as many tokens in a minute as its quota says: until the next minute its requests are 429 and no events.
    QuotaReached = "quota.reached",
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
    /// A signing key was withdrawn at once.
    KeyRevoked = "key.revoked",
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
    /// A request to the event streams was refused.
    StreamRefused = "stream.refused",
    /// The key set of a client or an outside issuer, or its configuration, could not be fetched.
    KeySetFailed = "key_set.failed",
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

/// Why a scope that was asked for is not in the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// The resource has no such scope.
    NotRegistered,
    /// It is beyond the client's registered scope, or beyond that of what the token is made from.
    Ceiling,
    /// No policy permits it.
    NoPermit,
    /// Policies forbid it.
    Forbidden,
    /// Policies could not be evaluated.
    Error,
    /// A permit requires what was not given.
    Requirement,
}

impl Because {
    /// Every cause there is.
    pub const ALL: [Self; 6] =
        [Self::NotRegistered, Self::Ceiling, Self::NoPermit, Self::Forbidden, Self::Error, Self::Requirement];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRegistered => "not_registered",
            Self::Ceiling => "ceiling",
            Self::NoPermit => "no_permit",
            Self::Forbidden => "forbidden",
            Self::Error => "error",
            Self::Requirement => "requirement",
        }
    }
}

/// A scope that was asked for and not given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedScope {
    /// Its name, or the beginning of it.
    pub scope: String,
    /// The cause.
    pub because: Because,
    /// The policies that determined it, or the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
}

/// The most refused scopes in an event, the most policies with each, and the most bytes of a name.
const MAX_REFUSED: usize = 20;
const MAX_POLICIES: usize = 8;
const MAX_NAME: usize = 128;

/// What an event tells besides who and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// What the acting client was called then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// Whom the token is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What they were called then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_name: Option<String>,
    /// Who acts, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// What they were called then, in the same order; an id stands for one that was not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain_names: Vec<String>,
    /// The grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_type: Option<String>,
    /// How the client authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<String>,
    /// The resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What it was called then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// The scope asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_asked: Option<String>,
    /// The scope given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_given: Option<String>,
    /// The authorization details given, as JSON (RFC 9396).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_details: Option<String>,
    /// Scopes that were asked for and not given, each with its cause.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scope_refused: Vec<RefusedScope>,
    /// How many more of them there were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_refused_more: Option<u32>,
    /// The connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What came of the call of a tool, as the resource server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// SHA-256 over the arguments of that call, as the resource server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments_sha256: Option<String>,
    /// The resource server that leased, or that reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_server: Option<String>,
    /// What it was called then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_server_name: Option<String>,
    /// The method of a call to a service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The host of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path of the call after the base URL, without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The status that the service answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How many bytes of a body went to the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_sent: Option<u64>,
    /// How many bytes of a body came from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_received: Option<u64>,
    /// How long the call took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub millis: Option<u64>,
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
    /// More about the reason, or the record that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The record that changed: an id or a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What it was called then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_name: Option<String>,
}

impl Facts {
    /// Notes a scope that was asked for and is not given. Beyond a bound it is only counted.
    pub fn refuse_scope(&mut self, scope: &str, because: Because, policies: &[String]) {
        if self.scope_refused.len() >= MAX_REFUSED {
            self.scope_refused_more = Some(self.scope_refused_more.unwrap_or(0).saturating_add(1));
            return;
        }
        let scope = scope.get(..scope.floor_char_boundary(MAX_NAME)).unwrap_or_default().to_owned();
        let policies = policies.iter().take(MAX_POLICIES).cloned().collect();
        self.scope_refused.push(RefusedScope { scope, because, policies });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_stored_and_shown_as_the_same_word() {
        for because in Because::ALL {
            assert_eq!(serde_json::to_value(because).unwrap(), because.as_str());
        }
    }

    #[test]
    fn however_many_scopes_are_refused_the_event_stays_small_and_says_that_it_was_cut() {
        let mut facts = Facts::default();
        let policies: Vec<String> = (0..100).map(|n| format!("{n:0>64}")).collect();
        for n in 0..1_000 {
            facts.refuse_scope(&format!("{n:ü>3000}"), Because::Forbidden, &policies);
        }
        assert_eq!((facts.scope_refused.len(), facts.scope_refused_more), (20, Some(980)));
        assert!(serde_json::to_string(&facts).unwrap().len() < 16 * 1024);
        let whole: Facts = serde_json::from_str(&serde_json::to_string(&facts).unwrap()).unwrap();
        assert_eq!(whole, facts);
    }
}
