//! Objects and words that several endpoints share, and those of the OAuth endpoints.

use super::{ANY, Kind, Member, RESOURCE, SCOPE, URI, members, object};
use crate::authn::client::METHODS;
use crate::grants;
use crate::model::id::is_slug;
use crate::model::issuer::{MAX_TEXT, MAX_URI, MAX_VALUES};
use crate::model::{Status, Stoppable};
use crate::ports::Alg;

/// What signs tokens here.
pub const ALG: Kind = Kind::Words("Alg", || Alg::SIGNING.iter().map(|alg| alg.as_str()).collect());
/// What others may sign with.
pub const PROOF_ALG: Kind = Kind::Words("ProofAlg", || Alg::NAMES.to_vec());
/// Where a record is in its life.
pub const STATUS: Kind =
    Kind::Words("Status", || [Status::Active, Status::Suspended, Status::Retired].map(Status::as_str).to_vec());
const GRANT_TYPE: Kind = Kind::Words("GrantType", grants::grant_types);
const METHOD: Kind = Kind::Words("AuthMethod", || METHODS.iter().map(|method| method.as_str()).collect());
const STOPPABLE: Kind = Kind::Words("Stoppable", || Stoppable::ALL.map(Stoppable::as_str).to_vec());
const WORDS: Kind = Kind::List(&Kind::Word, ANY);
const ALGS: Kind = Kind::List(&ALG, ANY);
const PROOF_ALGS: Kind = Kind::List(&PROOF_ALG, ANY);
const METHODS_LIST: Kind = Kind::List(&METHOD, ANY);

/// An id that an administrator names.
pub const ID: Kind = Kind::Text(512);

/// A name that an administrator chooses.
pub const SLUG: Kind = Kind::Form(&super::Form {
    most: 64,
    format: None,
    fits: is_slug,
    must: "1 to 64 of a-z, 0-9, `-`, `_`, `.`, the first of which is a letter or a digit",
});

object!(
    /// What one claim must be: exactly one of `equals`, `prefix` and `one_of`.
    RULE = "Rule" [members![
        must "claim" Kind::Text(MAX_TEXT),
        may "equals" Kind::Text(MAX_URI),
        may "prefix" Kind::Text(MAX_URI),
        may "one_of" Kind::List(&Kind::Text(MAX_URI), MAX_VALUES),
    ]]
);

object!(
    /// Whether the service is there.
    HEALTH = "Health" [members![must "status" Kind::Word]]
);

object!(
    /// RFC 6749 §5.2.
    OAUTH_ERROR = "OAuthError" [members![
        must "error" Kind::Word,
        must "error_description" Kind::Word,
        may "decision" Kind::Word,
        may "approval_id" Kind::Word,
        may "approval_uri" Kind::Word,
        may "approval_number" Kind::Word,
        may "approval_note" Kind::Word,
        may "interval" Kind::Count,
        may "expires_in" Kind::Count,
    ]]
);

object!(
    /// RFC 9457.
    PROBLEM = "Problem" [members![
        must "title" Kind::Word,
        must "status" Kind::Count,
        must "code" Kind::Word,
        may "reason" Kind::Word,
        may "detail" Kind::Word,
    ]]
);

/// What the metadata of every issuer have.
const METADATA: &[Member] = members![
    must "issuer" Kind::Word,
    must "authorization_endpoint" Kind::Word,
    must "token_endpoint" Kind::Word,
    must "device_authorization_endpoint" Kind::Word,
    must "jwks_uri" Kind::Word,
    must "grant_types_supported" Kind::List(&GRANT_TYPE, ANY),
    must "authorization_grant_profiles_supported" WORDS,
    must "identity_chaining_requested_token_types_supported" WORDS,
    must "token_endpoint_auth_methods_supported" METHODS_LIST,
    must "token_endpoint_auth_signing_alg_values_supported" PROOF_ALGS,
    must "introspection_endpoint" Kind::Word,
    must "introspection_endpoint_auth_methods_supported" METHODS_LIST,
    must "introspection_endpoint_auth_signing_alg_values_supported" PROOF_ALGS,
    must "introspection_signing_alg_values_supported" ALGS,
    must "revocation_endpoint" Kind::Word,
    must "revocation_endpoint_auth_methods_supported" METHODS_LIST,
    must "revocation_endpoint_auth_signing_alg_values_supported" PROOF_ALGS,
    must "response_types_supported" WORDS,
    must "response_modes_supported" WORDS,
    must "code_challenge_methods_supported" WORDS,
    must "authorization_response_iss_parameter_supported" Kind::Boolean,
    must "scopes_supported" WORDS,
    may "authorization_details_types_supported" WORDS,
    must "userinfo_endpoint" Kind::Word,
    must "subject_types_supported" WORDS,
    must "dpop_signing_alg_values_supported" PROOF_ALGS,
    must "id_token_signing_alg_values_supported" ALGS,
    may "client_id_metadata_document_supported" Kind::Boolean,
    may "registration_endpoint" Kind::Word,
];

object!(
    /// RFC 8414.
    SERVER_METADATA = "ServerMetadata" [METADATA, members![
        must "pushed_authorization_request_endpoint" Kind::Word,
        must "transaction_authorization_endpoint" Kind::Word,
        must "backchannel_authentication_endpoint" Kind::Word,
        must "backchannel_token_delivery_modes_supported" WORDS,
        must "backchannel_user_code_parameter_supported" Kind::Boolean,
        may "protected_resources" WORDS,
        must "writ_event_log" Kind::Word,
        may "writ_event_log_key" Kind::Word,
    ]]
);

object!(
    /// The same of the issuer of a compatible route.
    PROJECT_METADATA = "ProjectMetadata" [METADATA]
);

object!(
    /// RFC 7517 §5.
    KEY_SET = "KeySet" [members![must "keys" Kind::List(&Kind::Json, ANY)]]
);

object!(
    /// RFC 9728 §2.
    RESOURCE_METADATA = "ResourceMetadata" [members![
        must "resource" Kind::Word,
        must "authorization_servers" WORDS,
        must "scopes_supported" WORDS,
        may "authorization_details_types_supported" WORDS,
        must "bearer_methods_supported" WORDS,
        must "resource_name" Kind::Word,
        may "txn_challenge_jwks_uri" Kind::Word,
        may "txn_challenge_signing_alg_values_supported" WORDS,
    ]]
);

/// What a parameter of a token request may be.
pub fn token_parameter(name: &str) -> Kind {
    match name {
        "grant_type" => GRANT_TYPE,
        "resource" => RESOURCE,
        "scope" => SCOPE,
        "audience" => URI,
        _ => Kind::Word,
    }
}

object!(
    /// RFC 6749 §5.1.
    TOKEN = "Token" [members![
        must "access_token" Kind::Word,
        may "issued_token_type" Kind::Word,
        must "token_type" Kind::Word,
        may "expires_in" Kind::Count,
        must "scope" Kind::Word,
        may "authorization_details" Kind::List(&Kind::Json, ANY),
    ]]
);

object!(
    /// The form of a question about a token.
    TOKEN_QUERY = "TokenQuery" [members![
        must "token" Kind::Word,
        may "token_type_hint" Kind::Word,
        may "client_id" Kind::Word,
        may "client_secret" Kind::Word,
    ]]
);

object!(
    /// An answer that says nothing, for clients that read every answer as JSON.
    EMPTY = "Empty" [members![]]
);

object!(
    /// RFC 7662 §2.2.
    INTROSPECTION = "Introspection" [members![
        must "active" Kind::Boolean,
        may "iss" Kind::Word,
        may "sub" Kind::Word,
        may "aud" Kind::Either(&Kind::Word, &WORDS),
        may "client_id" Kind::Word,
        may "scope" Kind::Word,
        may "scopes" WORDS,
        may "jti" Kind::Word,
        may "tenant" Kind::Word,
        may "token_type" Kind::Word,
        may "iat" Kind::Time,
        may "exp" Kind::Time,
        may "authorization_details" Kind::List(&Kind::Json, ANY),
        may "act" Kind::Json,
        may "txn" Kind::Word,
        may "approval" Kind::Word,
        may "cnf" Kind::Json,
    ]]
);

object!(
    /// The form of an authorization request (RFC 6749 §4.1.1 and its extensions).
    AUTHORIZATION_REQUEST = "AuthorizationRequest" [members![
        must "response_type" Kind::Word,
        must "client_id" Kind::Word,
        may "redirect_uri" Kind::Word,
        may "scope" SCOPE,
        may "state" Kind::Word,
        may "resource" RESOURCE,
        must "code_challenge" Kind::Word,
        must "code_challenge_method" Kind::Word,
        may "nonce" Kind::Word,
        may "prompt" Kind::Word,
        may "max_age" Kind::Word,
        may "acr_values" Kind::Word,
        may "login_hint" Kind::Word,
        may "authorization_details" Kind::Word,
        may "dpop_jkt" Kind::Word,
    ]]
);

object!(
    /// The answer to a pushed authorization request (RFC 9126 §2.2).
    PUSHED = "PushedAuthorization" [members![must "request_uri" Kind::Word, must "expires_in" Kind::Count]]
);

object!(
    /// The form of a device authorization request (RFC 8628 §3.1).
    DEVICE_REQUEST = "DeviceAuthorizationRequest" [members![
        may "scope" SCOPE,
        may "resource" RESOURCE,
        may "authorization_details" Kind::Word,
        may "client_id" Kind::Word,
        may "client_secret" Kind::Word,
    ]]
);

object!(
    /// The answer to it (RFC 8628 §3.2).
    DEVICE_AUTHORIZATION = "DeviceAuthorization" [members![
        must "device_code" Kind::Word,
        must "user_code" Kind::Word,
        must "verification_uri" Kind::Word,
        must "verification_uri_complete" Kind::Word,
        must "expires_in" Kind::Count,
        must "interval" Kind::Count,
    ]]
);

object!(
    /// The form in which a person enters the code that a device shows.
    USER_CODE = "UserCode" [members![must "user_code" Kind::Word]]
);

object!(
    /// A person goes on to a service.
    CONNECT = "Connect" [members![must "tag" Kind::Word, may "request" Kind::Word, may "replace" Kind::Word]]
);

object!(
    /// What a client may know of its user (OpenID Connect Core §5.1).
    USER_INFO = "UserInfo" [members![must "sub" Kind::Word, may "name" Kind::Word, may "email" Kind::Word]]
);

object!(
    /// The form of a person's decision; `scope` once for each line that is ticked.
    DECISION = "Decision" [members![
        must "tag" Kind::Word,
        must "decision" Kind::Word,
        may "scope" Kind::Word,
        may "duration" Kind::Word,
    ]]
);

object!(
    /// The form of a person's decision about an approval; `scope` once for each that is left.
    APPROVAL_FORM = "ApprovalForm" [members![
        must "tag" Kind::Word,
        must "decision" Kind::Word,
        may "scope" Kind::Word,
        may "note" Kind::Word,
        may "chosen" Kind::Word,
        may "credential" Kind::Word,
    ]]
);

object!(
    /// The form in which a person chooses how to sign in.
    SIGN_IN = "SignIn" [members![must "provider" Kind::Word, may "request" Kind::Word, may "again" Kind::Word, may "ceremony" Kind::Word, may "credential" Kind::Word]]
);

object!(
    /// The form with a new passkey.
    NEW_PASSKEY = "NewPasskey" [members![must "ceremony" Kind::Word, must "credential" Kind::Word, may "name" Kind::Word]]
);

object!(
    /// The form with a logout token (OpenID Connect Back-Channel Logout §2.5).
    LOGOUT = "Logout" [members![must "logout_token" Kind::Word]]
);

object!(
    /// The form in which a person signs out.
    SIGN_OUT = "SignOut" [members![must "tag" Kind::Word, may "request" Kind::Word]]
);

object!(
    /// The form in which a person takes something back.
    TAKE_BACK = "TakeBack" [members![
        must "tag" Kind::Word,
        may "do" Kind::Word,
        may "client" Kind::Word,
        may "consent" Kind::Word,
        may "take_back" Kind::Word,
    ]]
);

object!(
    /// The form of a lease request.
    LEASE_REQUEST = "LeaseRequest" [members![
        must "subject_token" Kind::Word,
        may "scope" SCOPE,
        may "tool" Kind::Word,
        may "account" SLUG,
        may "client_id" Kind::Word,
        may "client_secret" Kind::Word,
    ]]
);

object!(
    /// A downstream token for one use; what is no access token has members of its own.
    LEASE = "Lease" [members![
        may "access_token" Kind::Word,
        must "token_type" Kind::Word,
        may "expires_in" Kind::Count,
        may "expires_at" Kind::Time,
        may "scope" Kind::Word,
        may "approval" Kind::Word,
    ]]
);

object!(
    /// What was stopped.
    RECEIPT = "Receipt" [members![
        must "kind" STOPPABLE,
        must "id" Kind::Word,
        must "status" STATUS,
        must "at" Kind::Time,
        must "not_honoured_after" Kind::Time,
        must "stopped" Kind::Object(&STOPPED),
        may "event" Kind::Word,
    ]]
);

object!(
    /// What went with it.
    STOPPED = "Stopped" [members![
        must "secrets" Kind::Count,
        must "identities" Kind::Count,
        must "refresh_families" Kind::Count,
        must "sessions" Kind::Count,
        must "leases" Kind::Count,
        may "leases_expire_by" Kind::Time,
        must "tokens_issued_until" Kind::Time,
        must "tokens_expire_by" Kind::Time,
    ]]
);
