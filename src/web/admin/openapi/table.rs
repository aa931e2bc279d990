//! The table behind the document: every operation, and every object that goes in or out.

use crate::client_auth::METHODS;
use crate::grants;
use crate::model::tenant::TenantStatus;
use crate::model::{ClientKind, ClientStatus, EventType, KeyState};
use crate::policy::Mode;
use crate::ports::Alg;
use crate::web::Method;
use crate::web::admin::events;

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
}

use Takes::{Form, Json, Nothing, Page};

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
    Post "/t/{tenant}/token" Form("TokenRequest") => 200 "Token", [400, 401, 413], "Issue a token (RFC 6749)";
    Post "/t/{tenant}/connections/{name}/token" Form("LeaseRequest") => 200 "Lease", [400, 401, 403, 413, 502, 504], "Lease a downstream token for one use";

    Get "/t/{tenant}/admin/tenants" Page(&[]) => 200 "[Tenant]", [], "List tenants: all of them in `main`, elsewhere one's own";
    Post "/t/{tenant}/admin/tenants" Json("NewTenant") => 201 "MadeTenant", [409], "Make a tenant and its first administrator; in `main` only";
    Get "/t/{tenant}/admin/tenants/{id}" Nothing => 200 "Tenant", [], "Show a tenant";
    Put "/t/{tenant}/admin/tenants/{id}" Json("TenantUpdate") => 200 "Tenant", [412, 428], "Change a tenant";

    Get "/t/{tenant}/admin/clients" Page(&[]) => 200 "[Client]", [], "List clients, the oldest first";
    Post "/t/{tenant}/admin/clients" Json("ClientMetadata") => 201 "RegisteredClient", [409], "Register a client (names of RFC 7591); the only answer with its secret";
    Get "/t/{tenant}/admin/clients/{id}" Nothing => 200 "Client", [], "Show a client";
    Put "/t/{tenant}/admin/clients/{id}" Json("ClientMetadata") => 200 "Client", [409, 412, 428], "Replace the metadata of a client";
    Delete "/t/{tenant}/admin/clients/{id}" Nothing => 204 "", [412], "Remove a client and its secrets";
    Post "/t/{tenant}/admin/clients/{id}/secrets" Json("NewSecret") => 201 "MadeSecret", [409], "Add a secret, one of five at most; the only answer with it";
    Delete "/t/{tenant}/admin/clients/{id}/secrets/{secret}" Nothing => 204 "", [], "Remove a secret";
    Post "/t/{tenant}/admin/clients/{id}/suspend" Nothing => 200 "Receipt", [409], "Stop a client until it is resumed";
    Post "/t/{tenant}/admin/clients/{id}/resume" Nothing => 200 "Client", [409], "Let a suspended client go on";
    Post "/t/{tenant}/admin/clients/{id}/kill" Nothing => 200 "Receipt", [409], "Stop a client for good, with all its tokens";

    Get "/t/{tenant}/admin/resources" Page(&[]) => 200 "[Resource]", [], "List resources by id";
    Post "/t/{tenant}/admin/resources" Json("ResourceBody") => 201 "Resource", [409], "Register a resource";
    Get "/t/{tenant}/admin/resources/{id}" Nothing => 200 "Resource", [], "Show a resource";
    Put "/t/{tenant}/admin/resources/{id}" Json("ResourceBody") => 200 "Resource", [409, 412, 428], "Replace a resource";
    Delete "/t/{tenant}/admin/resources/{id}" Nothing => 204 "", [412], "Remove a resource";

    Get "/t/{tenant}/admin/policies" Page(&[]) => 200 "[Policy]", [], "List policies by id";
    Get "/t/{tenant}/admin/policies/{id}" Nothing => 200 "Policy", [], "Show a policy";
    Put "/t/{tenant}/admin/policies/{id}" Json("PolicyBody") => 200 "Policy", [409, 412, 428], "Make or replace a policy";
    Delete "/t/{tenant}/admin/policies/{id}" Nothing => 204 "", [409, 412], "Remove a policy";

    Get "/t/{tenant}/admin/connections" Page(&[]) => 200 "[Connection]", [], "List connections by name";
    Get "/t/{tenant}/admin/connections/{name}" Nothing => 200 "Connection", [], "Show a connection; never its secret";
    Put "/t/{tenant}/admin/connections/{name}" Json("ConnectionBody") => 200 "Connection", [409, 412, 428], "Make or change a connection";
    Delete "/t/{tenant}/admin/connections/{name}" Nothing => 204 "", [412], "Remove a connection and make its secret unreadable";

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
         token_endpoint_auth_methods_supported:[AuthMethod] response_types_supported:[string] \
         subject_types_supported:[string] id_token_signing_alg_values_supported:[Alg] protected_resources?:[uri]",
    ),
    ("KeySet", "keys:[object]"),
    (
        "ResourceMetadata",
        "resource:uri authorization_servers:[uri] scopes_supported:[string] bearer_methods_supported:[string] resource_name:string",
    ),
    ("TokenRequest", "grant_type:GrantType resource?:uri scope?:string client_id?:string client_secret?:string"),
    ("Token", "access_token:string token_type:string expires_in:integer scope:string"),
    ("LeaseRequest", "subject_token:string scope?:string tool?:string client_id?:string client_secret?:string"),
    ("Lease", "access_token:string token_type:string expires_in:integer expires_at:time scope:string"),
    ("NewTenant", "id:string name:string zone?:string"),
    ("TenantUpdate", "name:string zone:string status?:TenantStatus"),
    ("Tenant", "id:string name:string zone:string status:TenantStatus issuer:uri created_at:time updated_at:time"),
    ("MadeTenant", "+Tenant client_id:string client_secret:string"),
    (
        "ClientMetadata",
        "client_name:string grant_types?:[GrantType] token_endpoint_auth_method?:AuthMethod scope?:string owner?:string \
         tags?:[string] kind?:ClientKind allowed_resources?:[uri]",
    ),
    (
        "Client",
        "+ClientMetadata grant_types:[GrantType] token_endpoint_auth_method:AuthMethod tags:[string] kind:ClientKind \
         client_id:string client_id_issued_at:time status:ClientStatus secrets:[Secret] updated_at:time",
    ),
    ("RegisteredClient", "+Client client_secret:string client_secret_expires_at:time"),
    ("Secret", "id:string created_at:time expires_at?:time"),
    ("NewSecret", "expires_in?:integer"),
    ("MadeSecret", "+Secret client_secret:string"),
    ("Receipt", "client_id:string status:ClientStatus at:time not_honoured_after:time stopped:Stopped event?:string"),
    ("Stopped", "secrets:integer tokens_issued_until:time tokens_expire_by:time"),
    (
        "ResourceBody",
        "id?:string resource:uri name:string scopes:[ScopeBody] access_token_lifetime?:integer token_signing_alg?:Alg",
    ),
    ("ScopeBody", "name:string description:string tool?:string"),
    (
        "Resource",
        "+ResourceBody id:string access_token_lifetime:integer token_signing_alg:Alg created_at:time updated_at:time",
    ),
    ("PolicyBody", "description?:string cedar:string mode?:Mode"),
    ("Policy", "id:string description:string cedar:string mode:Mode created_at:time updated_at:time"),
    ("ConnectionBody", "kind:string config:object secret?:object"),
    ("Connection", "name:string kind:string config:object credential?:Credential created_at:time updated_at:time"),
    ("Credential", "account:string created_at:time"),
    ("Key", "kid:string alg:Alg state:KeyState created_at:time changed_at:time"),
    (
        "Event",
        "id:string tenant:string at:integer type:EventType request_id:string client?:string subject?:string chain?:[string] \
         grant_type?:string auth_method?:string resource?:string scope_asked?:string scope_given?:string connection?:string \
         tool?:string resource_server?:string ip?:string decision?:string policies?:[string] policy_errors?:[string] \
         shadow_policies?:[string] policy_version?:string jti_hash?:string expires_at?:time reason?:string detail?:string \
         target?:string",
    ),
    ("DeadLetters", "count:integer"),
];

/// Types that are one of some words; the words are those of the code.
pub fn words() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("GrantType", grants::grant_types()),
        ("AuthMethod", METHODS.iter().map(|method| method.as_str()).collect()),
        ("Alg", Alg::ALL.iter().map(|alg| alg.as_str()).collect()),
        ("TenantStatus", [TenantStatus::Active, TenantStatus::Suspended].map(TenantStatus::as_str).to_vec()),
        (
            "ClientKind",
            [ClientKind::Autonomous, ClientKind::Delegated, ClientKind::ResourceServer]
                .map(ClientKind::as_str)
                .to_vec(),
        ),
        (
            "ClientStatus",
            [ClientStatus::Active, ClientStatus::Suspended, ClientStatus::Retired].map(ClientStatus::as_str).to_vec(),
        ),
        ("Mode", [Mode::Enforce, Mode::Shadow, Mode::Off].iter().map(|mode| mode.as_str()).collect()),
        ("KeyState", [KeyState::Next, KeyState::Current, KeyState::Retired].map(KeyState::as_str).to_vec()),
        ("EventType", EventType::ALL.iter().map(|kind| kind.as_str()).collect()),
    ]
}
