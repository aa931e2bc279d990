//! Service accounts of Google without a key: workload identity federation (cloud.google.com, "Workload Identity Federation").
//!
//! 1. Writ issues a token for the provider of a workload identity pool. Google's security token service exchanges it (RFC 8693).
//! 2. The token that it gives impersonates the service account, whose access token or identity token is the lease.

use super::google_boundary::{AccessBoundary, STS};
use super::google_service_account::{Wanted, is_address};
use super::token_exchange::GRANT_TYPE;
use super::{ExchangeRequest, Provider, Token, USUAL, answer, fields};
use crate::config::Config;
use crate::context::Cx;
use crate::crypto::Secret;
use crate::error::Result;
use crate::oauth::{ACCESS_TOKEN, JWT};
use crate::outbound;
use crate::vault::own_token;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub const PROVIDER: Provider = Provider {
    kind: "google_workload_identity",
    read_config,
    has_secret: |_| false,
    offers: |config| Some(fields::stored::<Settings>(config).ok()?.wanted().offers()),
    exchange: Some(|cx, request| Box::pin(exchange(cx, request))),
    ..USUAL
};

const CREDENTIALS: &str = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts";
/// What the exchanged token needs to impersonate a service account.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const RESOURCE: &str = "//iam.googleapis.com/projects/";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The full resource name of the provider.
    audience: String,
    service_account: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_audience: Option<String>,
    /// What the tokens reach at the most.
    #[serde(default, skip_serializing_if = "AccessBoundary::is_empty")]
    access_boundary: AccessBoundary,
}

impl Settings {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { scopes: &self.scopes, target_audience: self.target_audience.as_deref() }
    }
}

fn read_config(_: &Config, value: Value) -> Result<Value> {
    let mut settings: Settings = fields::config(value)?;
    let parts: Vec<&str> = settings.audience.strip_prefix(RESOURCE).unwrap_or_default().split('/').collect();
    let is_name = |text: &&str| {
        (1..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let is_provider = match parts.as_slice() {
        [project, "locations", "global", "workloadIdentityPools", pool, "providers", provider] => {
            [project, pool, provider].into_iter().all(is_name)
        }
        _ => false,
    };
    if !is_provider {
        return Err(fields::invalid(format!(
            "`config.audience` must look like {RESOURCE}123456/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
        )));
    }
    if settings.service_account.len() > fields::MAX_TEXT || !is_address(&settings.service_account) {
        return Err(fields::invalid("`config.service_account` must be an e-mail address"));
    }
    settings.scopes = settings.wanted().checked()?;
    settings.access_boundary.check(settings.target_audience.is_none())?;
    fields::store(&settings)
}

#[derive(Deserialize)]
struct Impersonation {
    #[serde(rename = "accessToken")]
    access_token: String,
    #[serde(rename = "expireTime")]
    expire_time: String,
}

#[derive(Deserialize)]
struct IdToken {
    token: String,
}

async fn exchange(cx: &Cx<'_>, request: ExchangeRequest<'_>) -> Result<Token> {
    let settings: Settings = fields::stored(request.config)?;
    // What a provider takes that names no audience of its own.
    let own = own_token::issue(cx, request.connection, &["https:", &settings.audience].concat()).await?;
    let parameters = [
        ("grant_type", GRANT_TYPE),
        ("audience", &settings.audience),
        ("scope", SCOPE),
        ("requested_token_type", ACCESS_TOKEN),
        ("subject_token", own.expose()),
        ("subject_token_type", JWT),
    ];
    let federated =
        answer::success(outbound::post_form(cx, STS, &parameters).await?)?.bearer(answer::UNKNOWN_LIFETIME)?;
    let headers = vec![
        ("accept", "application/json".to_owned()),
        ("authorization", ["Bearer ", federated.access_token.expose()].concat()),
        ("content-type", "application/json".to_owned()),
    ];
    let (verb, body) = match &settings.target_audience {
        Some(audience) => ("generateIdToken", json!({"audience": audience, "includeEmail": true})),
        None => {
            let scope: Vec<&str> = request.scope.split(' ').collect();
            ("generateAccessToken", json!({"scope": scope, "lifetime": "3600s"}))
        }
    };
    let url = format!("{CREDENTIALS}/{}:{verb}", settings.service_account);
    let answer = outbound::post(cx, &url, headers, body.to_string()).await?;
    let refusals = [400, 401, 403, 404];
    let (token, lifetime) = match settings.target_audience {
        Some(_) => {
            let IdToken { token } = answer::json(answer, 200, &refusals)?;
            let lifetime = answer::seconds_of_jwt(&token, request.now);
            (Secret::new(token), lifetime)
        }
        None => {
            let Impersonation { access_token, expire_time } = answer::json(answer, 200, &refusals)?;
            (Secret::new(access_token), answer::seconds_until(&expire_time, request.now))
        }
    };
    settings.access_boundary.narrow(cx, answer::bearer(token, lifetime)?).await
}
