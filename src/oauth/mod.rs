//! The wire forms of OAuth: form bodies, Basic credentials, scope, resource indicators, server metadata.
//!
//! In scope: parsing and printing. Out of scope: whether what was parsed is allowed.

pub mod authorization_details;
pub mod basic;
pub mod client_url;
pub mod form;
mod media;
pub mod metadata;
pub mod pkce;
pub mod redirect;
pub mod resource;
pub mod scope;
pub mod status_list;

pub use authorization_details::AuthorizationDetail;
pub use form::{Form, Parameters};
pub use media::Media;
pub use resource::ResourceUri;
pub use scope::Scope;

/// The grant type of devices (RFC 8628 §3.4).
pub const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The grant by the backchannel (OpenID CIBA Core §4).
pub const CIBA: &str = "urn:openid:params:grant-type:ciba";

/// The grant that exchanges a token for another (RFC 8693 §2.1).
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The token type of access tokens (RFC 8693 §3).
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The token type of JWTs (RFC 8693 §3).
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
