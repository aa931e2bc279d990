//! The types of audit events: what can happen.

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
    /// A person has come back from a service, and nothing was connected. `detail` says why.
    AccountRefused = "account.refused",
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
    /// A person is asked for an approval.
    ApprovalRequested = "approval.requested",
    /// One of several has approved; others have to as well.
    ApprovalVoted = "approval.voted",
    /// An approval was decided: `outcome` says how, `target_name` who has.
    ApprovalDecided = "approval.decided",
    /// An approval was used.
    ApprovalRedeemed = "approval.redeemed",
    /// An approval was taken back, with all that came of it.
    ApprovalRevoked = "approval.revoked",
    /// A request for an approval was refused.
    ApprovalRefused = "approval.refused",
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
    /// A policy was written or removed although tests fail with it. `detail` names them.
    PolicyForced = "policy.forced",
    /// A policy was removed.
    PolicyDeleted = "policy.deleted",
    /// A connection was written.
    ConnectionPut = "connection.put",
    /// A connection was removed.
    ConnectionDeleted = "connection.deleted",
    /// Data keys of the vault were wrapped anew, as an administrator asked.
    VaultRewrapped = "vault.rewrapped",
    /// Signing keys were made or moved on.
    KeyRotated = "key.rotated",
    /// A signing key was withdrawn at once.
    KeyRevoked = "key.revoked",
    /// The log of the tenant is not what was signed, or an event is not the one that was logged. `detail` says what was found first.
    LogBroken = "log.broken",
    /// A witness has cosigned nothing for about a quarter of an hour; `detail` has what became of the last attempt. It is asked further.
    WitnessFailing = "log.witness_failing",
    /// An administrator had members of events erased. `target` says of which event or user, `detail` what.
    EventsErased = "events.erased",
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
    /// Events left as a file; `detail` has the query.
    EventsExported = "events.exported",
    /// A sink was made: the trail is sent there.
    SinkCreated = "sink.created",
    /// A sink was changed.
    SinkUpdated = "sink.updated",
    /// A sink was removed.
    SinkDeleted = "sink.deleted",
    /// A sink was tried: it was sent this event.
    SinkTested = "sink.tested",
    /// An administrator has a sink sent again; `detail` says from which sequence number on.
    SinkReplayed = "sink.replayed",
    /// A sink has taken nothing for about a quarter of an hour; `detail` has what became of the last attempt. It is tried further.
    SinkFailing = "sink.failing",
}
