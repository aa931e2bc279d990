//! OAuth clients. An agent is a client with an owner, tags and a lifecycle.

use super::id;
use crate::crypto::{self, Digest, Kind, Secret, sha256};
use crate::oauth::{ResourceUri, Scope};
use crate::ports::{Entropy, Now};
use serde::{Deserialize, Serialize};

/// What an administrator says about a client: the names of RFC 7591 §2, and ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientMetadata {
    /// For people, 1 to 200 characters.
    pub client_name: String,
    /// The grants that it may use.
    #[serde(default = "client_credentials")]
    pub grant_types: Vec<String>,
    /// The one way in which it authenticates.
    #[serde(default)]
    pub token_endpoint_auth_method: AuthMethod,
    /// Ceiling: it never gets a scope that is not in here. Absent: no ceiling but policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Words that policies can refer to.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What it is.
    #[serde(default)]
    pub kind: ClientKind,
    /// Ceiling: the resources that it may ask a token for; for a resource server, the resources that it serves.
    /// Absent: no ceiling but policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_resources: Option<Vec<ResourceUri>>,
}

fn client_credentials() -> Vec<String> {
    vec!["client_credentials".to_owned()]
}

const MAX_TEXT: usize = 200;
const MAX_ITEMS: usize = 100;

impl ClientMetadata {
    /// The first client of a tenant: an administrator for the admin API that `admin` names.
    pub fn first_admin(admin: ResourceUri) -> Self {
        Self {
            client_name: "First administrator".to_owned(),
            grant_types: client_credentials(),
            token_endpoint_auth_method: AuthMethod::ClientSecretBasic,
            scope: Some(["admin", "admin:read"].into_iter().collect()),
            owner: None,
            tags: vec![],
            kind: ClientKind::Autonomous,
            allowed_resources: Some(vec![admin]),
        }
    }

    /// What serde cannot say. The error names the field.
    pub fn check(&self, grant_types: &[&str]) -> Result<(), String> {
        let text = |field: &str, value: &str| match value.trim().is_empty() || value.chars().count() > MAX_TEXT {
            true => Err(format!("`{field}` must have 1 to {MAX_TEXT} characters")),
            false => Ok(()),
        };
        text("client_name", &self.client_name)?;
        self.owner.iter().try_for_each(|owner| text("owner", owner))?;
        self.tags.iter().try_for_each(|tag| text("tags", tag))?;
        let unknown = self.grant_types.iter().find(|grant| !grant_types.contains(&grant.as_str()));
        if let Some(grant) = unknown {
            return Err(format!("`grant_types` names `{grant}`; supported: {}", grant_types.join(", ")));
        }
        if self.tags.len() > MAX_ITEMS || self.allowed_resources.as_ref().is_some_and(|list| list.len() > MAX_ITEMS) {
            return Err(format!("`tags` and `allowed_resources` may have {MAX_ITEMS} items at most"));
        }
        if self.kind == ClientKind::ResourceServer && self.allowed_resources.as_ref().is_none_or(Vec::is_empty) {
            return Err("`allowed_resources` must name what a `resource_server` serves".to_owned());
        }
        Ok(())
    }
}

/// How a client authenticates at the token endpoint (RFC 7591 §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A secret in the `Authorization` header (RFC 6749 §2.3.1).
    #[default]
    ClientSecretBasic,
    /// A secret in the form.
    ClientSecretPost,
}

impl AuthMethod {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
        }
    }
}

/// What a client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// An agent that works on its own.
    #[default]
    Autonomous,
    /// An agent that acts for a user.
    Delegated,
    /// An API or MCP server that verifies tokens and leases.
    ResourceServer,
}

impl ClientKind {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Autonomous => "autonomous",
            Self::Delegated => "delegated",
            Self::ResourceServer => "resource_server",
        }
    }
}

/// Where a client is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientStatus {
    /// It may authenticate.
    Active,
    /// It may not, until it is resumed.
    Suspended,
    /// It never may again.
    Retired,
}

impl ClientStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Retired => "retired",
        }
    }
}

/// A secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSecret {
    /// Its name, for its removal.
    pub id: String,
    /// SHA-256 of the secret.
    pub digest: Digest,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch; absent: it does not expire.
    pub expires_at: Option<i64>,
}

impl StoredSecret {
    /// A new secret: as it is stored, and as its client gets it, once.
    pub fn mint(now: Now, expires_at: Option<i64>, entropy: &dyn Entropy) -> (Self, Secret<String>) {
        let secret = crypto::mint(Kind::ClientSecret, entropy);
        let digest = sha256(secret.expose());
        (Self { id: id::ulid(now, entropy), digest, created_at: now.seconds(), expires_at }, secret)
    }
}

/// A client with all that a decision about it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// What an administrator said about it.
    pub metadata: ClientMetadata,
    /// Where it is in its life.
    pub status: ClientStatus,
    /// Tokens issued up to this second are not honoured.
    pub revoked_before: i64,
    /// Counts changes to this row.
    pub version: i64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub updated_at: i64,
    /// Its secrets, expired ones included.
    pub secrets: Vec<StoredSecret>,
}

impl Client {
    /// A client that was not there before, active and without a secret.
    pub fn new(metadata: ClientMetadata, now: Now, entropy: &dyn Entropy) -> Self {
        Self {
            id: id::client_id(now, entropy),
            metadata,
            status: ClientStatus::Active,
            revoked_before: 0,
            version: 1,
            created_at: now.seconds(),
            updated_at: now.seconds(),
            secrets: vec![],
        }
    }

    /// Whether its own ceiling lets it ask for `resource`.
    pub fn may_ask_for(&self, resource: &ResourceUri) -> bool {
        self.metadata.allowed_resources.as_ref().is_none_or(|allowed| allowed.iter().any(|uri| uri.is_same(resource)))
    }

    /// Whether its own ceiling lets it have `scope`.
    pub fn may_have(&self, scope: &str) -> bool {
        self.metadata.scope.as_ref().is_none_or(|ceiling| ceiling.contains(scope))
    }
}
