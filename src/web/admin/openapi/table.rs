//! The table behind the document: every operation, and every object that goes in or out.

use crate::authn::client::METHODS;
use crate::cedar::Mode;
use crate::grants;
use crate::model::event::Because;
use crate::model::issuer::Use;
use crate::model::tenant::TenantStatus;
use crate::model::{ClientKind, EventType, KeyState, Status, Stoppable};
use crate::ports::Alg;
use crate::web::Method;
use crate::web::admin::{events, identities};

/// What an operation takes besides its path.
#[derive(Clone, Copy)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// A JSON body.
    Json(&'static str),
    /// A form, and client authentication.
    Form(&'static str),
    /// The page of a list, and more.
    Page(&'static [&'static str]),
    /// Query parameters.
    Query(&'static [&'static str]),
}

use Takes::{Form, Json, Nothing, Page, Query};

/// What can be asked at a path.
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The path, with its variable segments in braces.
    pub path: &'static str,
    /// For people.
    pub summary: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// Status and object; `[Object]` is a page of them, an empty name no body.
    pub gives: (u16, &'static str),
    /// Statuses of refusals, besides those that every operation of its kind has.
    pub refuses: &'static [u16],
}

macro_rules! operations {
    ($($method:ident $path:literal $takes:expr => $status:literal $object:literal, $refuses:expr, $summary:literal;)+) => {
        &[$(Operation {
            method: Method::$method,
            path: $path,
            summary: $summary,
            takes: $takes,
            gives: ($status, $object),
            refuses: &$refuses,
        },)+]
    };
}

/// Every operation that there is.
pub const OPERATIONS: &[Operation] = operations! {
    Get "/health" Nothing => 200 "Health", [503], "Whether the database answers";
    Get "/t/{tenant}/.well-known/oauth-authorization-server" Nothing => 200 "ServerMetadata", [], "Authorization server metadata (RFC 8414)";
    Get "/t/{tenant}/.well-known/openid-configuration" Nothing => 200 "ServerMetadata", [], "The same metadata where OpenID Connect Discovery looks";
    Get "/.well-known/oauth-authorization-server/t/{tenant}" Nothing => 200 "ServerMetadata", [], "The same metadata where RFC 8414 §3 looks";
    Get "/.well-known/openid-configuration/t/{tenant}" Nothing => 200 "ServerMetadata", [], "The same metadata at the other place of that kind";
    Get "/t/{tenant}/jwks.json" Nothing => 200 "KeySet", [], "Key set (RFC 7517)";
    Get "/t/{tenant}/resources/{id}/oauth-protected-resource" Nothing => 200 "ResourceMetadata", [], "Protected resource metadata (RFC 9728), ready to serve";
    Get "/t/{tenant}/authorize" Nothing => 400 "OAuthError", [], "Refuse an authorization request: no code is issued yet";
    Post "/t/{tenant}/authorize" Nothing => 400 "OAuthError", [], "The same by POST (RFC 6749 §3.1)";
    Post "/t/{tenant}/token" Form("TokenRequest") => 200 "Token", [400, 401, 413, 429], "Issue a token (RFC 6749)";
    Post "/t/{tenant}/introspect" Form("TokenQuery") => 200 "Introspection", [400, 401, 413, 429], "Introspect a token (RFC 7662), signed where `Accept` asks so (RFC 9701)";
    Post "/t/{tenant}/revoke" Form("TokenQuery") => 200 "", [400, 401, 413, 429], "Revoke one's own token and what was made from it (RFC 7009)";
    Get "/t/{tenant}/status-list" Nothing => 200 "statuslist+jwt", [], "Where every agentic identity stands (Token Status List)";
    Post "/t/{tenant}/connections/{name}/token" Form("LeaseRequest") => 200 "Lease", [400, 401, 403, 413, 429, 502, 504], "Lease a downstream token for one use";

    Get "/t/{tenant}/.well-known/ssf-configuration" Nothing => 200 "TransmitterMetadata", [], "Where event streams are (Shared Signals Framework 1.0)";
    Get "/.well-known/ssf-configuration/t/{tenant}" Nothing => 200 "TransmitterMetadata", [], "The same where that specification looks";
    Get "/t/{tenant}/ssf/streams" Query(&["stream_id"]) => 200 "EventStream|[EventStream]", [401], "Show one's event stream, or a list of it";
    Post "/t/{tenant}/ssf/streams" Json("NewStream") => 201 "EventStream", [401, 409], "Make one's event stream";
    Patch "/t/{tenant}/ssf/streams" Json("StreamUpdate") => 200 "EventStream", [401, 409], "Change it in part";
    Put "/t/{tenant}/ssf/streams" Json("StreamUpdate") => 200 "EventStream", [401, 409], "Replace all that its receiver says";
    Delete "/t/{tenant}/ssf/streams" Query(&["stream_id"]) => 204 "", [401], "Remove it with what waits in it";
    Post "/t/{tenant}/ssf/streams/{id}/poll" Json("PollRequest") => 200 "PolledEvents", [401], "Take and acknowledge events (RFC 8936)";
    Get "/t/{tenant}/ssf/status" Query(&["stream_id"]) => 200 "StreamState", [401], "Whether it flows";
    Post "/t/{tenant}/ssf/status" Json("NewStreamState") => 200 "StreamState", [401, 409], "Pause, disable or enable it";
    Post "/t/{tenant}/ssf/verify" Json("VerificationRequest") => 204 "", [401, 429], "Ask for a verification event";

    Get "/t/{tenant}/admin/tenants" Page(&[]) => 200 "[Tenant]", [], "List tenants: all of them in `main`, elsewhere one's own";
    Post "/t/{tenant}/admin/tenants" Json("NewTenant") => 201 "MadeTenant", [409], "Make a tenant and its first administrator; in `main` only";
    Get "/t/{tenant}/admin/tenants/{id}" Nothing => 200 "Tenant", [], "Show a tenant";
    Put "/t/{tenant}/admin/tenants/{id}" Json("TenantUpdate") => 200 "Tenant", [412, 428], "Change a tenant";

    Get "/t/{tenant}/admin/clients" Page(&[]) => 200 "[Client]", [], "List clients, the oldest first";
    Post "/t/{tenant}/admin/clients" Json("ClientMetadata") => 201 "RegisteredClient", [409], "Register a client (names of RFC 7591); the only answer with its secret, if it has one";
    Get "/t/{tenant}/admin/clients/{id}" Nothing => 200 "Client", [], "Show a client";
    Put "/t/{tenant}/admin/clients/{id}" Json("ClientMetadata") => 200 "Client", [409, 412, 428], "Replace the metadata of a client";
    Delete "/t/{tenant}/admin/clients/{id}" Nothing => 204 "", [412], "Remove a client and its secrets";
    Post "/t/{tenant}/admin/clients/{id}/secrets" Json("NewSecret") => 201 "MadeSecret", [409], "Add a secret, one of five at most; the only answer with it";
    Delete "/t/{tenant}/admin/clients/{id}/secrets/{secret}" Nothing => 204 "", [], "Remove a secret";
    Post "/t/{tenant}/admin/clients/{id}/suspend" Nothing => 200 "Receipt", [409], "Stop a client until it is resumed";
    Post "/t/{tenant}/admin/clients/{id}/resume" Nothing => 200 "Client", [409], "Let a suspended client go on";
    Post "/t/{tenant}/admin/clients/{id}/kill" Nothing => 200 "Receipt", [409], "Stop a client for good, with all its tokens";

    Get "/t/{tenant}/admin/identities" Page(identities::PARAMETERS) => 200 "[Identity]", [], "List agentic identities";
    Get "/t/{tenant}/admin/identities/{id}" Nothing => 200 "IdentityDetail", [], "Show an agentic identity, what it can reach, and what it did last";
    Post "/t/{tenant}/admin/identities/{id}/suspend" Nothing => 200 "Receipt", [409], "Stop an agentic identity until it is resumed";
    Post "/t/{tenant}/admin/identities/{id}/resume" Nothing => 200 "Identity", [409], "Let a suspended agentic identity go on";
    Post "/t/{tenant}/admin/identities/{id}/kill" Nothing => 200 "Receipt", [409], "Stop an agentic identity for good";
    Post "/t/{tenant}/admin/kill" Json("Kill") => 200 "Receipt", [409], "Stop for good what the body names: exactly one";

    Get "/t/{tenant}/admin/resources" Page(&[]) => 200 "[Resource]", [], "List resources by id";
    Post "/t/{tenant}/admin/resources" Json("ResourceBody") => 201 "Resource", [409], "Register a resource";
    Get "/t/{tenant}/admin/resources/{id}" Nothing => 200 "Resource", [], "Show a resource";
    Put "/t/{tenant}/admin/resources/{id}" Json("ResourceBody") => 200 "Resource", [409, 412, 428], "Replace a resource";
    Delete "/t/{tenant}/admin/resources/{id}" Nothing => 204 "", [412], "Remove a resource";

    Get "/t/{tenant}/admin/users" Page(&[]) => 200 "[User]", [], "List users, the oldest first";
    Post "/t/{tenant}/admin/users" Json("UserBody") => 201 "User", [409], "Make a user";
    Get "/t/{tenant}/admin/users/{id}" Nothing => 200 "User", [], "Show a user";
    Put "/t/{tenant}/admin/users/{id}" Json("UserBody") => 200 "User", [409, 412, 428], "Replace what is known of a user";
    Delete "/t/{tenant}/admin/users/{id}" Nothing => 204 "", [412], "Remove a user; no token about them is honoured any more";

    Get "/t/{tenant}/admin/issuers" Page(&[]) => 200 "[Issuer]", [], "List outside issuers by id";
    Post "/t/{tenant}/admin/issuers" Json("IssuerBody") => 201 "Issuer", [409], "Register an outside issuer";
    Get "/t/{tenant}/admin/issuers/{id}" Nothing => 200 "Issuer", [], "Show an outside issuer";
    Put "/t/{tenant}/admin/issuers/{id}" Json("IssuerBody") => 200 "Issuer", [409, 412, 428], "Replace an outside issuer";
    Delete "/t/{tenant}/admin/issuers/{id}" Nothing => 204 "", [412], "Remove an outside issuer; nothing that it says counts any more";

    Post "/t/{tenant}/admin/users/{id}/suspend" Nothing => 200 "Receipt", [409], "Stop a user until they are resumed";
    Post "/t/{tenant}/admin/users/{id}/resume" Nothing => 200 "User", [409], "Let a suspended user go on";
    Post "/t/{tenant}/admin/users/{id}/kill" Nothing => 200 "Receipt", [409], "Stop a user for good, with every agentic identity that acts for them";

    Get "/t/{tenant}/admin/policies" Page(&[]) => 200 "[Policy]", [], "List policies by id";
    Get "/t/{tenant}/admin/policies/{id}" Nothing => 200 "Policy", [], "Show a policy";
    Put "/t/{tenant}/admin/policies/{id}" Json("PolicyBody") => 200 "Policy", [409, 412, 428], "Make or replace a policy";
    Delete "/t/{tenant}/admin/policies/{id}" Nothing => 204 "", [409, 412], "Remove a policy";

    Get "/t/{tenant}/admin/connections" Page(&[]) => 200 "[Connection]", [], "List connections by name";
    Get "/t/{tenant}/admin/connections/{name}" Nothing => 200 "Connection", [], "Show a connection; never its secret";
    Put "/t/{tenant}/admin/connections/{name}" Json("ConnectionBody") => 200 "Connection", [409, 412, 428], "Make or change a connection";
    Delete "/t/{tenant}/admin/connections/{name}" Nothing => 204 "", [412], "Remove a connection and make its secret unreadable";

    Post "/t/{tenant}/admin/connections/{name}/suspend" Nothing => 200 "Receipt", [409], "Stop a connection until it is resumed";
    Post "/t/{tenant}/admin/connections/{name}/resume" Nothing => 200 "Connection", [409], "Let a suspended connection go on";
    Post "/t/{tenant}/admin/connections/{name}/kill" Nothing => 200 "Receipt", [409], "Stop a connection for good and make its secret unreadable";

    Get "/t/{tenant}/admin/keys" Nothing => 200 "[Key]", [], "List the signing keys that are published";
    Post "/t/{tenant}/admin/keys/rotate" Nothing => 200 "[Key]", [409], "Let the next keys sign";

    Get "/t/{tenant}/admin/events" Page(events::PARAMETERS) => 200 "[Event]", [], "Query the audit trail, newest first";
    Get "/t/{tenant}/admin/dead-letters" Nothing => 200 "DeadLetters", [], "Count what could not be recorded; in `main` only";
};

/// Objects with their members, `name:type`; `name?:type` may be absent. `time` is in seconds since the epoch.
pub const OBJECTS: &[(&str, &str)] = &[
    ("Health", "status:string"),
    ("OAuthError", "error:string error_description:string decision?:string"),
    ("Problem", "title:string status:integer code:string reason?:string detail?:string"),
    (
        "ServerMetadata",
        "issuer:uri authorization_endpoint:uri token_endpoint:uri jwks_uri:uri grant_types_supported:[GrantType] \
         authorization_grant_profiles_supported:[string] identity_chaining_requested_token_types_supported:[string] \
         token_endpoint_auth_methods_supported:[AuthMethod] \
         introspection_endpoint:uri introspection_endpoint_auth_methods_supported:[AuthMethod] \
         introspection_endpoint_auth_signing_alg_values_supported:[ProofAlg] \
         introspection_signing_alg_values_supported:[Alg] revocation_endpoint:uri \
         revocation_endpoint_auth_signing_alg_values_supported:[ProofAlg] \
         revocation_endpoint_auth_methods_supported:[AuthMethod] token_endpoint_auth_signing_alg_values_supported:[ProofAlg] \
         response_types_supported:[string] \
         subject_types_supported:[string] dpop_signing_alg_values_supported:[ProofAlg] id_token_signing_alg_values_supported:[Alg] protected_resources?:[uri]",
    ),
    ("KeySet", "keys:[object]"),
    (
        "TransmitterMetadata",
        "spec_version:string issuer:uri jwks_uri:uri delivery_methods_supported:[string] configuration_endpoint:uri \
         status_endpoint:uri verification_endpoint:uri authorization_schemes:[object] default_subjects:string",
    ),
    ("NewStream", "events_requested?:[uri] delivery?:NewDelivery description?:string"),
    (
        "StreamUpdate",
        "stream_id:string +NewStream iss?:uri aud?:string events_supported?:[uri] events_delivered?:[uri]",
    ),
    ("NewDelivery", "method:string endpoint_url?:uri authorization_header?:string"),
    (
        "EventStream",
        "stream_id:string iss:uri aud:string events_supported:[uri] events_requested?:[uri] events_delivered:[uri] \
         delivery:Delivery description?:string",
    ),
    ("Delivery", "method:string endpoint_url:uri"),
    ("StreamState", "stream_id:string status:StreamStatus reason?:string"),
    ("NewStreamState", "stream_id:string status:StreamStatus reason?:string"),
    ("VerificationRequest", "stream_id:string state?:string"),
    ("PollRequest", "maxEvents?:integer returnImmediately?:boolean ack?:[string] setErrs?:object"),
    ("PolledEvents", "sets:object moreAvailable:boolean"),
    (
        "ResourceMetadata",
        "resource:uri authorization_servers:[uri] scopes_supported:[string] bearer_methods_supported:[string] resource_name:string",
    ),
    (
        "TokenRequest",
        "grant_type:GrantType resource?:uri scope?:string client_id?:string client_secret?:string client_assertion_type?:string client_assertion?:string assertion?:string \
         audience?:uri requested_token_type?:string subject_token?:string subject_token_type?:string actor_token?:string \
         actor_token_type?:string",
    ),
    ("Token", "access_token:string issued_token_type?:string token_type:string expires_in:integer scope:string"),
    ("LeaseRequest", "subject_token:string scope?:string tool?:string client_id?:string client_secret?:string"),
    ("Lease", "access_token:string token_type:string expires_in:integer expires_at:time scope:string"),
    ("NewTenant", "id:string name:string zone?:string settings?:Settings"),
    ("TenantUpdate", "name:string zone:string status?:TenantStatus settings?:Settings"),
    ("Settings", "max_actors?:integer dpop_nonce?:boolean"),
    (
        "Tenant",
        "id:string name:string zone:string status:TenantStatus settings:Settings issuer:uri created_at:time updated_at:time",
    ),
    ("MadeTenant", "+Tenant client_id:string client_secret:string"),
    (
        "ClientMetadata",
        "client_name:string grant_types?:[GrantType] token_endpoint_auth_method?:AuthMethod scope?:string owner?:string \
         tags?:[string] kind?:ClientKind allowed_resources?:[uri] serves?:[uri] jwks?:object jwks_uri?:uri \
         token_endpoint_auth_signing_alg?:ProofAlg token_endpoint_as_audience?:boolean \
         dpop_bound_access_tokens?:boolean workload_identities?:[WorkloadIdentity] expires_at?:time \
         suspend_unused_after_days?:integer",
    ),
    (
        "Client",
        "+ClientMetadata grant_types:[GrantType] token_endpoint_auth_method:AuthMethod tags:[string] kind:ClientKind \
         client_id:string client_id_issued_at:time status:Status secrets:[Secret] updated_at:time",
    ),
    ("RegisteredClient", "+Client client_secret?:string client_secret_expires_at?:time"),
    ("Secret", "id:string created_at:time expires_at?:time"),
    ("NewSecret", "expires_in?:integer"),
    ("MadeSecret", "+Secret client_secret:string"),
    ("Kill", "client?:string identity?:string user?:string chain?:string connection?:string tenant?:string"),
    ("Receipt", "kind:Stoppable id:string status:Status at:time not_honoured_after:time stopped:Stopped event?:string"),
    (
        "Stopped",
        "secrets:integer identities:integer leases:integer leases_expire_by?:time tokens_issued_until:time tokens_expire_by:time",
    ),
    (
        "Identity",
        "id:string client:string client_name?:string subject:string owner?:string tags:[string] registered_by:string \
         status:Status stopped?:[string] status_list_index:integer created_at:time updated_at:time",
    ),
    ("IdentityDetail", "+Identity reach:Reach events:[Event] chains:[Chain]"),
    ("Reach", "scopes:[Reachable] connections:[Reachable]"),
    ("Reachable", "resource?:uri name:string allowed:boolean policies:[string] because:string"),
    ("Chain", "jti_hash:string chain:[string] resource?:uri scope:string expires_at:time"),
    ("TokenQuery", "token:string token_type_hint?:string client_id?:string client_secret?:string"),
    (
        "Introspection",
        "active:boolean iss?:uri sub?:string aud?:string client_id?:string scope?:string jti?:string tenant?:string \
         token_type?:string iat?:time exp?:time act?:object cnf?:object",
    ),
    (
        "ResourceBody",
        "id?:string resource:uri name:string scopes:[ScopeBody] authorization_server?:uri access_token_lifetime?:integer token_signing_alg?:Alg",
    ),
    ("ScopeBody", "name:string description:string tool?:string"),
    (
        "Resource",
        "+ResourceBody id:string access_token_lifetime:integer token_signing_alg:Alg created_at:time updated_at:time",
    ),
    ("UserBody", "name?:string email?:string roles?:[string] groups?:[string] accounts?:[Account]"),
    ("Account", "issuer:string subject:string"),
    (
        "User",
        "+UserBody id:string roles:[string] groups:[string] accounts:[Account] status:Status created_at:time updated_at:time",
    ),
    (
        "IssuerBody",
        "id?:string issuer:string name:string preset?:string uses:[Use] audience?:string jwks?:object jwks_uri?:uri \
         rules?:[Rule] creates_users?:boolean scope?:string",
    ),
    ("Issuer", "+IssuerBody id:string preset:string creates_users:boolean created_at:time updated_at:time"),
    ("Rule", "claim:string equals?:string prefix?:string one_of?:[string]"),
    ("WorkloadIdentity", "issuer:string rules:[Rule]"),
    ("PolicyBody", "description?:string cedar:string mode?:Mode"),
    (
        "Policy",
        "id:string description:string cedar:string mode:Mode created_at:time updated_at:time warnings?:[string]",
    ),
    ("ConnectionBody", "kind:string config:object secret?:object"),
    (
        "Connection",
        "name:string kind:string config:object credential?:Credential status:Status created_at:time updated_at:time",
    ),
    ("Credential", "account:string created_at:time"),
    ("Key", "kid:string alg:Alg state:KeyState created_at:time changed_at:time"),
    (
        "Event",
        "id:string tenant:string at:integer type:EventType request_id:string client?:string subject?:string chain?:[string] \
         grant_type?:string auth_method?:string resource?:string scope_asked?:string scope_given?:string \
         scope_refused?:[RefusedScope] scope_refused_more?:integer connection?:string tool?:string resource_server?:string \
         ip?:string decision?:string policies?:[string] policy_errors?:[string] \
         shadow_policies?:[string] policy_version?:string jti_hash?:string expires_at?:time reason?:string detail?:string \
         target?:string",
    ),
    ("RefusedScope", "scope:string because:Because policies?:[string]"),
    ("DeadLetters", "count:integer"),
];

/// Types that are one of some words; the words are those of the code.
pub fn words() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("GrantType", grants::grant_types()),
        ("AuthMethod", METHODS.iter().map(|method| method.as_str()).collect()),
        ("Alg", Alg::SIGNING.iter().map(|alg| alg.as_str()).collect()),
        ("Use", Use::ALL.map(Use::as_str).to_vec()),
        ("ProofAlg", Alg::NAMES.to_vec()),
        ("StreamStatus", ["enabled", "paused", "disabled"].to_vec()),
        ("TenantStatus", [TenantStatus::Active, TenantStatus::Suspended].map(TenantStatus::as_str).to_vec()),
        (
            "ClientKind",
            [ClientKind::Autonomous, ClientKind::Delegated, ClientKind::ResourceServer]
                .map(ClientKind::as_str)
                .to_vec(),
        ),
        ("Status", [Status::Active, Status::Suspended, Status::Retired].map(Status::as_str).to_vec()),
        ("Stoppable", Stoppable::ALL.map(Stoppable::as_str).to_vec()),
        ("Mode", [Mode::Enforce, Mode::Shadow, Mode::Off].iter().map(|mode| mode.as_str()).collect()),
        ("KeyState", [KeyState::Next, KeyState::Current, KeyState::Retired].map(KeyState::as_str).to_vec()),
        ("Because", Because::ALL.map(Because::as_str).to_vec()),
        ("EventType", EventType::ALL.iter().map(|kind| kind.as_str()).collect()),
    ]
}
