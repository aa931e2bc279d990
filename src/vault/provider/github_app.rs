//! Tokens of installations of a GitHub App (docs.github.com, "Authenticating as a GitHub App installation").
//!
//! 1. The app signs a JWT (RS256): `iss` is its client id or app id, `iat` a minute back for clocks that differ, `exp` at most ten minutes later.
//! 2. `repositories` and `permissions` of the config are the ceiling. A lease narrows either: `repo:NAME` and `PERMISSION:LEVEL` in its scope. What it
//!    does not name keeps its ceiling, for GitHub takes an empty list for all.

use super::assertion::{self, Head, StoredKey};
use super::{ExchangeRequest, Provider, Token, USUAL, answer, fields};
use crate::config::Config;
use crate::context::Cx;
use crate::crypto::Secret;
use crate::error::Result;
use crate::oauth::Scope;
use crate::outbound;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub const PROVIDER: Provider = Provider {
    kind: "github_app",
    read_config,
    read_secret: |_, secret| assertion::read_rsa_secret(secret),
    offers: |config| Some(fields::stored::<Settings>(config).ok()?.scope()),
    narrow,
    exchange: Some(|cx, request| Box::pin(exchange(cx, request))),
    ..USUAL
};

const API: &str = "https://api.github.com";
const VERSION: &str = "2022-11-28";
const MAX_REPOSITORIES: usize = 50;
const MAX_PERMISSIONS: usize = 50;
/// How far back `iat` lies, in seconds.
const BACK: i64 = 60;
/// How far ahead `exp` lies, in seconds: with [`BACK`] ten minutes.
const AHEAD: i64 = 540;
const REPOSITORY: &str = "repo:";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The client id of the app, or its app id.
    client_id: String,
    installation_id: u64,
    /// Names without their owner; none: all of the installation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    repositories: Vec<String>,
    /// Levels by name; none: all of the installation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    permissions: BTreeMap<String, String>,
    /// Of GitHub Enterprise Server.
    #[serde(default = "api", skip_serializing_if = "is_api")]
    api_url: String,
}

fn api() -> String {
    API.to_owned()
}

fn is_api(url: &str) -> bool {
    url == API
}

impl Settings {
    fn scope(&self) -> Scope {
        let repositories = self.repositories.iter().map(|name| [REPOSITORY, name].concat());
        repositories.chain(self.permissions.iter().map(|(name, level)| [name, ":", level].concat())).collect()
    }
}

fn read_config(config: &Config, value: Value) -> Result<Value> {
    let settings: Settings = fields::config(value)?;
    fields::expect_text("client_id", &settings.client_id)?;
    fields::expect_url(config, "api_url", &settings.api_url)?;
    let is_name = |name: &String| {
        (1..=100).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if settings.repositories.len() > MAX_REPOSITORIES || !settings.repositories.iter().all(is_name) {
        return Err(fields::invalid(format!(
            "`config.repositories` must have up to {MAX_REPOSITORIES} names of repositories, without their owner"
        )));
    }
    let is_permission = |(name, level): (&String, &String)| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            && name != "repo"
            && matches!(level.as_str(), "read" | "write" | "admin")
    };
    if settings.permissions.len() > MAX_PERMISSIONS || !settings.permissions.iter().all(is_permission) {
        return Err(fields::invalid("`config.permissions` must be names with `read`, `write` or `admin`"));
    }
    if settings.api_url.ends_with('/') {
        return Err(fields::invalid("`config.api_url` may not end with a slash"));
    }
    fields::store(&settings)
}

/// What is asked of repositories, or else all that are offered; the same of permissions.
fn narrow(offered: &Scope, asked: &Scope) -> Scope {
    let is_repository = |one: &str| one.starts_with(REPOSITORY);
    let (repositories, permissions) = (asked.iter().any(is_repository), asked.iter().any(|one| !is_repository(one)));
    offered.narrowed(|one| match if is_repository(one) { repositories } else { permissions } {
        true => asked.contains(one),
        false => true,
    })
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
}

#[derive(Deserialize)]
struct Created {
    token: String,
    expires_at: String,
}

async fn exchange(cx: &Cx<'_>, request: ExchangeRequest<'_>) -> Result<Token> {
    let settings: Settings = fields::stored(request.config)?;
    let key: StoredKey = fields::opened(request.plain)?;
    let head = Head { kid: "", iat: request.now.saturating_sub(BACK), exp: request.now.saturating_add(AHEAD) };
    let app = assertion::sign(cx, &request, &key, head, &Claims { iss: &settings.client_id }).await?;
    let url = format!("{}/app/installations/{}/access_tokens", settings.api_url, settings.installation_id);
    let headers = vec![
        ("accept", "application/vnd.github+json".to_owned()),
        ("authorization", ["Bearer ", app.expose()].concat()),
        ("content-type", "application/json".to_owned()),
        ("user-agent", "writ".to_owned()),
        ("x-github-api-version", VERSION.to_owned()),
    ];
    let answer = outbound::post(cx, &url, headers, body(request.scope).to_string()).await?;
    let created: Created = answer::json(answer, 201, &[401, 403, 404, 422])?;
    let lifetime = answer::seconds_until(&created.expires_at, request.now);
    answer::bearer(Secret::new(created.token), lifetime)
}

/// The body that limits a token to a scope.
fn body(scope: &str) -> Value {
    let (mut repositories, mut permissions) = (Vec::new(), Map::new());
    for one in scope.split(' ').filter(|one| !one.is_empty()) {
        match (one.strip_prefix(REPOSITORY), one.split_once(':')) {
            (Some(name), _) => repositories.push(name),
            (None, Some((name, level))) => drop(permissions.insert(name.to_owned(), level.into())),
            (None, None) => {}
        }
    }
    let mut body = json!({});
    if let Some(members) = body.as_object_mut() {
        if !repositories.is_empty() {
            members.insert("repositories".to_owned(), repositories.into());
        }
        if !permissions.is_empty() {
            members.insert("permissions".to_owned(), permissions.into());
        }
    }
    body
}
