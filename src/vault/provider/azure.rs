//! Applications in Microsoft Entra ID (learn.microsoft.com, "OAuth 2.0 client credentials flow").
//!
//! 1. The application proves itself with a client secret, or, `federated`, with a token that Writ issues: then no secret is stored.
//! 2. A token is for one resource: `scope` ends with `/.default`.

use super::{ExchangeRequest, Provider, Token, USUAL, answer, fields};
use crate::config::Config;
use crate::context::Cx;
use crate::error::Result;
use crate::oauth::{Scope, scope};
use crate::outbound;
use crate::vault::own_token;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const PROVIDER: Provider = Provider {
    kind: "azure",
    read_config,
    has_secret: |config| fields::stored::<Settings>(config).is_ok_and(|settings| !settings.federated),
    read_secret: fields::read_client_secret,
    offers: |config| Some(Scope::from_iter([fields::stored::<Settings>(config).ok()?.scope])),
    exchange: Some(|cx, request| Box::pin(exchange(cx, request))),
    ..USUAL
};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The directory: its id, or a domain of it.
    tenant_id: String,
    /// The application's id.
    client_id: String,
    scope: String,
    #[serde(default)]
    federated: bool,
    /// Of the federated credential.
    #[serde(default = "audience")]
    audience: String,
    /// Of a national cloud.
    #[serde(default = "authority")]
    authority: String,
}

fn audience() -> String {
    "api://AzureADTokenExchange".to_owned()
}

fn authority() -> String {
    "https://login.microsoftonline.com".to_owned()
}

fn read_config(config: &Config, value: Value) -> Result<Value> {
    let settings: Settings = fields::config(value)?;
    let is_tenant = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    let tenant = &settings.tenant_id;
    if tenant.is_empty() || tenant.len() > fields::MAX_TEXT || !tenant.bytes().all(is_tenant) || tenant.contains("..") {
        return Err(fields::invalid("`config.tenant_id` must be the id of a directory, or a domain of it"));
    }
    fields::expect_text("client_id", &settings.client_id)?;
    fields::expect_audience(config, &settings.audience)?;
    fields::expect_origin(config, "authority", &settings.authority)?;
    let is_default = settings.scope.ends_with("/.default") && scope::is_token(&settings.scope);
    if !is_default || settings.scope.len() > fields::MAX_TEXT {
        return Err(fields::invalid("`config.scope` must be a resource with `/.default` at the end"));
    }
    fields::store(&settings)
}

async fn exchange(cx: &Cx<'_>, request: ExchangeRequest<'_>) -> Result<Token> {
    let settings: Settings = fields::stored(request.config)?;
    let mut parameters = vec![
        ("grant_type", "client_credentials"),
        ("client_id", settings.client_id.as_str()),
        ("scope", settings.scope.as_str()),
    ];
    let proof = match settings.federated {
        true => own_token::issue(cx, request.connection, &settings.audience).await?,
        false => fields::text(request.plain)?,
    };
    match settings.federated {
        true => parameters.extend([("client_assertion_type", ASSERTION_TYPE), ("client_assertion", proof.expose())]),
        false => parameters.push(("client_secret", proof.expose())),
    }
    let url = format!("{}/{}/oauth2/v2.0/token", settings.authority, settings.tenant_id);
    answer::success(outbound::post_form(cx, &url, &parameters).await?)?.bearer(answer::UNKNOWN_LIFETIME)
}
