//! Kinds of downstream services. A new kind is one file and one line in [`PROVIDERS`].
//!
//! | kind | what a lease is |
//! | --- | --- |
//! | `oauth2` | the access token of an account that a person has connected |
//! | `oauth2_client_credentials` | an access token for the connection's own client (RFC 6749 §4.4) |
//! | `jwt_bearer` | an access token for an assertion signed with a stored key (RFC 7523 §2.1) |
//! | `token_exchange` | an access token for a stored one (RFC 8693) |
//! | `id_jag` | an access token of the agent's user at another authorization server, for an ID-JAG of Writ |
//! | `google_service_account`, `google_workload_identity` | an access token or an identity token of a service account |
//! | `github_app` | the token of an installation |
//! | `aws` | temporary credentials of a role |
//! | `azure` | an access token of an application in Entra ID |
//! | `salesforce`, `snowflake` | an access token of a user there |
//! | `api_key`, `basic`, `custom_header` | the credential itself, and only where `may_be_leased` says so |

mod answer;
mod api_key;
mod assertion;
mod aws;
mod azure;
mod basic;
mod custom_header;
mod fields;
pub mod fixed;
mod github_app;
mod google_boundary;
mod google_service_account;
mod google_workload_identity;
mod id_jag;
mod jwt_bearer;
pub mod oauth2;
mod oauth2_answer;
mod oauth2_client_credentials;
mod salesforce;
mod snowflake;
mod token_exchange;
mod xml;

use crate::config::Config;
use crate::context::Cx;
use crate::crypto::Secret;
use crate::error::Result;
use crate::oauth::Scope;
use crate::ports::Pending;
use crate::vault::proxy::inject::Injection;
use serde_json::{Map, Value};

/// What a kind of connection can do.
pub struct Provider {
    /// Its name on the wire.
    pub kind: &'static str,
    /// Reads `config` and gives it back in its stored form. A refusal names the field.
    pub read_config: fn(&Config, Value) -> Result<Value>,
    /// Whether a connection with that stored config has a `secret`.
    pub has_secret: fn(&Value) -> bool,
    /// Reads `secret` and keeps what an exchange needs. A refusal names the field and never holds a value.
    pub read_secret: fn(&Config, Value) -> Result<Credential>,
    /// The scope that a stored config offers.
    pub offers: fn(&Value) -> Option<Scope>,
    /// The part of the offered scope that a lease gets which asks for these; by default just these.
    pub narrow: fn(&Scope, &Scope) -> Scope,
    /// Whether a connection with that stored config hands anything out. Otherwise the proxy alone uses its credential.
    pub may_be_leased: fn(&Value) -> bool,
    /// Whether what it leases is an access token.
    pub gives_access_tokens: bool,
    /// Whose its tokens are.
    pub tokens: Tokens,
    /// Exchanges the connection's credential for a short-lived token; nothing where people connect accounts.
    pub exchange: Option<Exchange>,
    /// How calls through the proxy go, as a stored config says; nothing where they cannot.
    pub inject: Option<fn(&Value) -> Result<Injection>>,
}

/// Whose the tokens of a connection are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// All agents share them.
    Shared,
    /// Each agent has its own, which names it at the service.
    OfAgent,
    /// Each user has their own; an agent that acts for none gets none.
    OfUser,
}

/// What most kinds have in common.
const USUAL: Provider = Provider {
    kind: "",
    read_config: |_, config| Ok(config),
    has_secret: |_| true,
    read_secret: |_, _| Ok(Credential::none()),
    offers: |_| Some(Scope::default()),
    narrow: |offered, asked| offered.narrowed(|one| asked.contains(one)),
    may_be_leased: |_| true,
    gives_access_tokens: true,
    tokens: Tokens::Shared,
    exchange: None,
    inject: None,
};

/// An exchange with the provider.
pub type Exchange = for<'a> fn(&'a Cx<'a>, ExchangeRequest<'a>) -> Pending<'a, Result<Token>>;

/// A credential as its provider's file reads it.
pub struct Credential {
    /// What is sealed.
    pub plain: Secret<Vec<u8>>,
    /// Whose it is; may be shown.
    pub account: String,
}

impl Credential {
    /// The credential of a connection without a secret. It is sealed like any other, for tokens are sealed under its data key.
    pub const fn none() -> Self {
        Self { plain: Secret::new(Vec::new()), account: String::new() }
    }

    /// A credential that is one text.
    pub fn text(text: &Secret<String>) -> Self {
        Self { plain: Secret::new(text.expose().clone().into_bytes()), account: String::new() }
    }
}

/// What an exchange is for.
#[derive(Clone, Copy)]
pub struct ExchangeRequest<'a> {
    /// The name of the connection.
    pub connection: &'a str,
    /// Its stored config.
    pub config: &'a Value,
    /// The credential's id.
    pub credential: &'a str,
    /// What was sealed.
    pub plain: &'a [u8],
    /// The scope, in the order of the config.
    pub scope: &'a str,
    /// The agent or the user whose token it is; empty where all share it.
    pub party: &'a str,
    /// Seconds since the epoch.
    pub now: i64,
}

/// What a provider gave.
pub struct Token {
    /// The bearer token; empty where what is leased is none.
    pub access_token: Secret<String>,
    /// Further members of the lease, as the JSON text of an object; empty where there are none.
    pub members: Secret<String>,
    /// How long it is good for, in seconds; nothing where it does not expire.
    pub lifetime: Option<u32>,
}

impl Token {
    /// A bearer token.
    pub const fn bearer(access_token: Secret<String>, lifetime: Option<u32>) -> Self {
        Self { access_token, members: Secret::new(String::new()), lifetime }
    }

    /// Something else than a bearer token.
    pub fn of(members: Map<String, Value>, lifetime: Option<u32>) -> Self {
        Self::bearer(Secret::new(String::new()), lifetime).with(members)
    }

    /// The same with further members.
    pub fn with(self, members: Map<String, Value>) -> Self {
        let mut all: Map<String, Value> = serde_json::from_str(self.members.expose()).unwrap_or_default();
        all.extend(members);
        match all.is_empty() {
            true => self,
            false => Self { members: Secret::new(Value::Object(all).to_string()), ..self },
        }
    }
}

const PROVIDERS: &[Provider] = &[
    oauth2::PROVIDER,
    oauth2_client_credentials::PROVIDER,
    jwt_bearer::PROVIDER,
    token_exchange::PROVIDER,
    id_jag::PROVIDER,
    google_service_account::PROVIDER,
    google_workload_identity::PROVIDER,
    github_app::PROVIDER,
    aws::PROVIDER,
    azure::PROVIDER,
    salesforce::PROVIDER,
    snowflake::PROVIDER,
    api_key::PROVIDER,
    basic::PROVIDER,
    custom_header::PROVIDER,
];

/// The provider of that kind.
pub fn find(kind: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.kind == kind)
}

/// Every kind there is.
pub fn kinds() -> String {
    let kinds: Vec<_> = PROVIDERS.iter().map(|provider| provider.kind).collect();
    kinds.join(", ")
}
