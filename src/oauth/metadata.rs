//! Authorization server metadata (RFC 8414 §2, OpenID Connect Discovery §3) and protected resource metadata
//! (RFC 9728 §2). Everything optional that does not apply is left out, never `null`: clients refuse `null`.

use serde::Serialize;

/// What an issuer says about itself; the same at every metadata path.
#[derive(Debug, Serialize)]
pub struct ServerMetadata {
    /// The issuer identifier, byte for byte.
    pub issuer: String,
    /// The authorization endpoint.
    pub authorization_endpoint: String,
    /// The token endpoint.
    pub token_endpoint: String,
    /// Where a client pushes its requests (RFC 9126 §5).
    pub pushed_authorization_request_endpoint: String,
    /// Where a device begins (RFC 8628 §4).
    pub device_authorization_endpoint: String,
    /// Where a client asks a user who is somewhere else (OpenID CIBA Core §4).
    pub backchannel_authentication_endpoint: String,
    /// How it learns of the decision.
    pub backchannel_token_delivery_modes_supported: [&'static str; 2],
    /// Whether `user_code` is read.
    pub backchannel_user_code_parameter_supported: bool,
    /// Where a client brings a transaction challenge (draft-rosomakho-oauth-txn-challenge §5.1).
    pub transaction_authorization_endpoint: String,
    /// The key set.
    pub jwks_uri: String,
    /// What the token endpoint grants.
    pub grant_types_supported: Vec<&'static str>,
    /// What the JWT bearer grant takes beside plain assertions (draft-ietf-oauth-identity-assertion-authz-grant).
    pub authorization_grant_profiles_supported: [&'static str; 1],
    /// What token exchange gives for other authorization servers (draft-ietf-oauth-identity-chaining).
    pub identity_chaining_requested_token_types_supported: [&'static str; 1],
    /// How clients authenticate there.
    pub token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// What DPoP proofs may be signed with (RFC 9449 §5.1).
    pub dpop_signing_alg_values_supported: [&'static str; 6],
    /// What their assertions may be signed with.
    pub token_endpoint_auth_signing_alg_values_supported: [&'static str; 6],
    /// Where a resource server asks about a token (RFC 7662).
    pub introspection_endpoint: String,
    /// How it authenticates there: not as a public client.
    pub introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    /// What its assertions may be signed with.
    pub introspection_endpoint_auth_signing_alg_values_supported: [&'static str; 6],
    /// What signed answers are signed with (RFC 9701 §7).
    pub introspection_signing_alg_values_supported: [&'static str; 1],
    /// Where a client revokes its own token (RFC 7009).
    pub revocation_endpoint: String,
    /// How clients authenticate there.
    pub revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// What their assertions may be signed with.
    pub revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 6],
    /// Codes alone (OAuth 2.1 §4.1).
    pub response_types_supported: [&'static str; 1],
    /// In the query of the redirect URI alone.
    pub response_modes_supported: [&'static str; 1],
    /// How codes are bound to their requests (RFC 7636 §6.2.1): clients of MCP stop without it.
    pub code_challenge_methods_supported: [&'static str; 1],
    /// `iss` is in every authorization response (RFC 9207 §3).
    pub authorization_response_iss_parameter_supported: bool,
    /// A `client_id` may be the URL of a metadata document (draft-ietf-oauth-client-id-metadata-document §5).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub client_id_metadata_document_supported: bool,
    /// Where clients register themselves (RFC 7591), if they may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    /// The scopes about the user; those of a resource are in its own metadata.
    pub scopes_supported: [&'static str; 3],
    /// The types of authorization details of those resources (RFC 9396 §10).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_details_types_supported: Vec<String>,
    /// Where a client reads about its user (OpenID Connect Core §5.3).
    pub userinfo_endpoint: String,
    /// Required by OpenID Connect Discovery.
    pub subject_types_supported: [&'static str; 1],
    /// Required by OpenID Connect Discovery.
    pub id_token_signing_alg_values_supported: [&'static str; 1],
    /// The resources that name this issuer (RFC 9728 §4).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub protected_resources: Vec<String>,
    /// The log of the tenant's events (C2SP tlog-tiles).
    pub writ_event_log: String,
    /// What verifies its checkpoints (C2SP signed-note), once the log has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writ_event_log_key: Option<String>,
}

/// What a resource says about itself; ready for the resource to serve as it is.
#[derive(Debug, Serialize)]
pub struct ResourceMetadata {
    /// The resource identifier.
    pub resource: String,
    /// Its only issuer: this one, or the one that guards it elsewhere.
    pub authorization_servers: [String; 1],
    /// Its scopes.
    pub scopes_supported: Vec<String>,
    /// Its types of authorization details (RFC 9728 §2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_details_types_supported: Vec<String>,
    /// `header` alone: tokens in a query or a form are not taken (RFC 6750 §5.3).
    pub bearer_methods_supported: [&'static str; 1],
    /// Its human name.
    pub resource_name: String,
    /// Where the keys of its transaction challenges are (draft-rosomakho-oauth-txn-challenge §4.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn_challenge_jwks_uri: Option<String>,
    /// What those challenges may be signed with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub txn_challenge_signing_alg_values_supported: Vec<&'static str>,
}
