//! OAuth clients. An agent is a client with an owner, tags and a lifecycle.

use super::auth_method::AuthMethod;
use super::issuer::WorkloadIdentity;
use super::{ApplicationType, Registration, Resource, Status, id};
use crate::crypto::{self, Digest, Kind, Secret, sha256};
use crate::jose::JwkSet;
use crate::oauth::{CIBA, ResourceUri, Scope, redirect};
use crate::ports::{Alg, Entropy, Now};
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
    /// Where an authorization response may be sent (RFC 7591 §2), compared as `oauth::redirect` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// Whether it runs with its user or on a server (OpenID Connect Registration §2): what its redirect URIs may be.
    #[serde(default)]
    pub application_type: ApplicationType,
    /// Its home page, for people (RFC 7591 §2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
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
    /// Absent: no ceiling but policy, for all but the APIs of the tenant itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_resources: Option<Vec<ResourceUri>>,
    /// The resources whose tokens it receives: it may exchange, introspect and lease with them. Absent: for a resource
    /// server what `allowed_resources` names, for others none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Vec<ResourceUri>>,
    /// Its public keys (RFC 7591 §2), for `private_key_jwt`; never together with `jwks_uri`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<serde_json::Value>,
    /// Where its public keys are (RFC 7591 §2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// The one algorithm of its assertions; absent: any that its keys allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_signing_alg: Option<Alg>,
    /// Whether its assertions may also name the token endpoint as audience, as RFC 7523 had it before its update.
    #[serde(default)]
    pub token_endpoint_as_audience: bool,
    /// Whether it gets sender-constrained tokens only (RFC 9449 §5.2).
    #[serde(default)]
    pub dpop_bound_access_tokens: bool,
    /// Whether it gets codes for pushed authorization requests only (RFC 9126 §6).
    #[serde(default)]
    pub require_pushed_authorization_requests: bool,
    /// How it learns what a user has decided whom it asks by the backchannel: `poll`, which is the default, or `ping` (OpenID CIBA Core §4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_token_delivery_mode: Option<String>,
    /// Where it is told that there is something to fetch (OpenID CIBA Core §4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_client_notification_endpoint: Option<String>,
    /// The workloads that are this client, as outside issuers tell it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workload_identities: Vec<WorkloadIdentity>,
    /// Seconds since the epoch; from then on it is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// It is suspended when it has got no token for so many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_unused_after_days: Option<u32>,
}

fn client_credentials() -> Vec<String> {
    vec!["client_credentials".to_owned()]
}

/// How many characters a text for people may have.
pub const MAX_TEXT: usize = 200;
/// How many items a list may have.
pub const MAX_ITEMS: usize = 100;
/// How many redirect URIs a client may have.
pub const MAX_REDIRECT_URIS: usize = 20;
/// The mode in which a client is told that there is something to fetch.
pub const PING: &str = "ping";
/// How a client may learn of a decision; metadata follows from it.
pub const DELIVERY_MODES: [&str; 2] = ["poll", PING];
/// Ten years.
pub const MAX_UNUSED_DAYS: u32 = 3_650;

impl ClientMetadata {
    /// The first client of a tenant: an administrator for the admin API that `admin` names.
    pub fn first_admin(admin: ResourceUri) -> Self {
        Self {
            client_name: "First administrator".to_owned(),
            grant_types: client_credentials(),
            token_endpoint_auth_method: AuthMethod::ClientSecretBasic,
            redirect_uris: vec![],
            application_type: ApplicationType::Web,
            client_uri: None,
            scope: Some(["admin", "admin:read"].into_iter().collect()),
            owner: None,
            tags: vec![],
            kind: ClientKind::Autonomous,
            allowed_resources: Some(vec![admin]),
            serves: None,
            jwks: None,
            jwks_uri: None,
            token_endpoint_auth_signing_alg: None,
            token_endpoint_as_audience: false,
            dpop_bound_access_tokens: false,
            require_pushed_authorization_requests: false,
            backchannel_token_delivery_mode: None,
            backchannel_client_notification_endpoint: None,
            workload_identities: vec![],
            expires_at: None,
            suspend_unused_after_days: None,
        }
    }

    /// Everything that is wrong with it beyond its shape; each problem names the member.
    pub fn problems(&self, grant_types: &[&str]) -> Vec<String> {
        let mut all = Vec::new();
        let is_text = |value: &str| !value.trim().is_empty() && value.chars().count() <= MAX_TEXT;
        let texts = [("client_name", Some(&self.client_name)), ("owner", self.owner.as_ref())];
        let texts = texts.into_iter().chain(self.tags.iter().map(|tag| ("tags", Some(tag))));
        for (name, _) in texts.filter(|(_, text)| text.is_some_and(|text| !is_text(text))) {
            all.push(format!("`{name}` must have 1 to {MAX_TEXT} characters"));
        }
        for grant in self.grant_types.iter().filter(|grant| !grant_types.contains(&grant.as_str())) {
            all.push(format!("`grant_types` names `{grant}`; supported: {}", grant_types.join(", ")));
        }
        let lists =
            [Some(self.tags.len()), self.allowed_resources.as_ref().map(Vec::len), self.serves.as_ref().map(Vec::len)];
        if lists.into_iter().flatten().any(|items| items > MAX_ITEMS) {
            all.push(format!("`tags`, `allowed_resources` and `serves` may have {MAX_ITEMS} items at most"));
        }
        if self.expires_at.is_some_and(|expiry| expiry <= 0) {
            all.push("`expires_at` must be seconds since the epoch".to_owned());
        }
        if self.suspend_unused_after_days.is_some_and(|days| !(1..=MAX_UNUSED_DAYS).contains(&days)) {
            all.push(format!("`suspend_unused_after_days` must be 1 to {MAX_UNUSED_DAYS}"));
        }
        if self.kind == ClientKind::ResourceServer && self.allowed_resources.as_ref().is_none_or(Vec::is_empty) {
            all.push("`allowed_resources` must name what a `resource_server` serves".to_owned());
        }
        self.problems_of_redirection(&mut all);
        self.problems_of_backchannel(&mut all);
        self.problems_of_authentication(&mut all);
        all
    }

    /// Whether an authorization response can be sent to it as it says.
    fn problems_of_redirection(&self, all: &mut Vec<String>) {
        if self.redirect_uris.len() > MAX_REDIRECT_URIS {
            all.push(format!("`redirect_uris` may have {MAX_REDIRECT_URIS} items at most"));
        }
        for (n, uri) in self.redirect_uris.iter().enumerate() {
            if let Err(why) = redirect::check(uri, self.application_type == ApplicationType::Native) {
                all.push(format!("`redirect_uris[{n}]` {why}"));
            }
        }
        let redirects = self.grant_types.iter().any(|grant| grant == "authorization_code");
        if redirects && self.redirect_uris.is_empty() {
            all.push("`authorization_code` needs `redirect_uris`".to_owned());
        }
        if self.client_uri.as_ref().is_some_and(|uri| !uri.starts_with("https://") || uri.len() > redirect::MAX_LENGTH)
        {
            all.push(format!("`client_uri` must be an https URL of at most {} bytes", redirect::MAX_LENGTH));
        }
    }

    /// Whether it can ask users by the backchannel as it says.
    fn problems_of_backchannel(&self, all: &mut Vec<String>) {
        let (mode, endpoint) = (&self.backchannel_token_delivery_mode, &self.backchannel_client_notification_endpoint);
        let pings = mode.as_deref() == Some(PING);
        if mode.as_deref().is_some_and(|mode| !DELIVERY_MODES.contains(&mode)) {
            all.push(format!("`backchannel_token_delivery_mode` must be one of: {}", DELIVERY_MODES.join(", ")));
        }
        if pings != endpoint.is_some()
            || endpoint.as_ref().is_some_and(|url| !url.starts_with("https://") || url.len() > redirect::MAX_LENGTH)
        {
            all.push(
                "`backchannel_client_notification_endpoint` is an https URL, and goes with the mode `ping`".to_owned(),
            );
        }
        if self.token_endpoint_auth_method == AuthMethod::None && self.grant_types.iter().any(|grant| grant == CIBA) {
            all.push(format!("`{CIBA}` needs a `token_endpoint_auth_method` other than `none`"));
        }
    }

    /// Whether it can authenticate as it says, as far as its own metadata tells.
    fn problems_of_authentication(&self, all: &mut Vec<String>) {
        let method = self.token_endpoint_auth_method;
        let mut refuse = |when: bool, why: &str| {
            if when {
                all.push(why.to_owned())
            }
        };
        refuse(
            method == AuthMethod::None && self.grant_types.iter().any(|grant| grant == "client_credentials"),
            "`client_credentials` needs a `token_endpoint_auth_method` other than `none`",
        );
        refuse(
            self.jwks.is_some() && self.jwks_uri.is_some(),
            "`jwks` and `jwks_uri` exclude each other: leave one out (RFC 7591 §2)",
        );
        refuse(
            method == AuthMethod::PrivateKeyJwt && self.jwks.is_none() && self.jwks_uri.is_none(),
            "`private_key_jwt` needs public keys: in `jwks`, or at `jwks_uri`",
        );
        if let Some(jwks) = &self.jwks {
            let only = self.token_endpoint_auth_signing_alg;
            match JwkSet::parse(&jwks.to_string()) {
                Err(why) => refuse(true, &["`jwks` ", why].concat()),
                Ok(set) => {
                    let usable =
                        |alg: Alg| only.is_none_or(|only| only == alg) && set.candidates(alg, None).next().is_some();
                    let none = !Alg::ALL.into_iter().any(usable);
                    refuse(none, "`jwks` has no key that its assertions could be signed with");
                }
            }
        }
        let by_others = matches!(method, AuthMethod::FederatedJwt | AuthMethod::SpiffeJwt);
        refuse(
            by_others == self.workload_identities.is_empty() || self.workload_identities.len() > MAX_ITEMS,
            "`workload_identities` goes with `federated_jwt` and `spiffe_jwt`, which need 1 to 100",
        );
        all.extend(self.workload_identities.iter().filter_map(|identity| identity.check().err()));
    }
}

fn names(list: &[ResourceUri], uri: &ResourceUri) -> bool {
    list.iter().any(|named| named.is_same(uri))
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
    /// What was said about it.
    pub metadata: ClientMetadata,
    /// How it came.
    pub registration: Registration,
    /// Where it is in its life.
    pub status: Status,
    /// Tokens issued up to this second are not honoured.
    pub revoked_before: i64,
    /// Counts changes to this row.
    pub version: i64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub updated_at: i64,
    /// The user who first let it in, or the initial access token that it came with; nothing where an administrator registered it.
    pub registered_by: Option<String>,
    /// Its secrets, expired ones included.
    pub secrets: Vec<StoredSecret>,
}

impl Client {
    /// A client that was not there before, active and without a secret.
    pub fn new(metadata: ClientMetadata, now: Now, entropy: &dyn Entropy) -> Self {
        Self {
            id: id::client_id(now, entropy),
            metadata,
            registration: Registration::Admin,
            status: Status::Active,
            revoked_before: 0,
            version: 1,
            created_at: now.seconds(),
            updated_at: now.seconds(),
            registered_by: None,
            secrets: vec![],
        }
    }

    /// A client that a document describes, and that is not stored.
    pub fn of_document(id: &str, metadata: ClientMetadata, now: Now) -> Self {
        Self {
            id: id.to_owned(),
            metadata,
            registration: Registration::MetadataDocument,
            status: Status::Active,
            revoked_before: 0,
            version: 0,
            created_at: now.seconds(),
            updated_at: now.seconds(),
            registered_by: None,
            secrets: vec![],
        }
    }

    /// Whether it has a row.
    pub const fn is_stored(&self) -> bool {
        self.version > 0
    }

    /// About how many bytes it takes in memory.
    pub fn weight(&self) -> usize {
        let metadata = serde_json::to_string(&self.metadata).map_or(0, |json| json.len());
        self.secrets.len().saturating_mul(128).saturating_add(metadata).saturating_add(512)
    }

    /// Whether it is honoured at all: active, and not beyond its expiry.
    pub fn is_live(&self, now: Now) -> bool {
        self.status == Status::Active && self.metadata.expires_at.is_none_or(|expiry| now.seconds() < expiry)
    }

    /// Whether its own ceiling lets it ask for the resource. A tenant's own API has to be named.
    pub fn may_ask_for(&self, resource: &Resource) -> bool {
        let ceiling = self.metadata.allowed_resources.as_deref();
        ceiling.map_or(!resource.is_built_in(), |allowed| names(allowed, &resource.body.resource))
    }

    /// Whether it receives tokens for `uri`. The APIs of a tenant itself (`is_built_in`) have to be in `serves`: a resource server
    /// that may ask for a token for one does not receive the tokens of others.
    pub fn serves(&self, uri: &ResourceUri, is_built_in: bool) -> bool {
        let ClientMetadata { serves, allowed_resources, kind, .. } = &self.metadata;
        let implied = || allowed_resources.as_ref().filter(|_| *kind == ClientKind::ResourceServer && !is_built_in);
        serves.as_ref().or_else(implied).is_some_and(|served| names(served, uri))
    }

    /// Whether its own ceiling lets it have `scope`.
    pub fn may_have(&self, scope: &str) -> bool {
        self.metadata.scope.as_ref().is_none_or(|ceiling| ceiling.contains(scope))
    }
}
