//! The connection's own client at a service with an authorization server (RFC 6749 §4.4).
//!
//! 1. The service is one of the catalogue, or described as one, as for `oauth2`. How it departs from the RFCs is its entry's to say.
//! 2. A lease asks for its scope alone.

use super::oauth2::{self, OwnClient};
use super::{ExchangeRequest, Provider, Token, USUAL, answer, fields};
use crate::config::Config;
use crate::context::Cx;
use crate::error::{Fault, Result};
use crate::vault::service::{self, OAuth2};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

pub const PROVIDER: Provider = Provider {
    kind: "oauth2_client_credentials",
    read_config,
    read_secret: fields::read_client_secret,
    offers: |config| Some(fields::stored::<Settings>(config).ok()?.scopes.into_iter().collect()),
    exchange: Some(|cx, request| Box::pin(exchange(cx, request))),
    ..USUAL
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// A name in the catalogue, or the service itself.
    service: Value,
    /// The values that its URLs need.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    settings: BTreeMap<String, String>,
    client_id: String,
    #[serde(default)]
    scopes: Vec<String>,
}

impl Settings {
    fn oauth2(&self) -> Result<Option<OAuth2>> {
        Ok(service::find(&self.service)?.with_settings(&self.settings)?.oauth2)
    }
}

fn read_config(config: &Config, value: Value) -> Result<Value> {
    let mut settings: Settings = fields::config(value)?;
    let oauth2 = settings.oauth2()?.filter(|oauth2| !oauth2.token_endpoint.is_empty());
    let oauth2 = oauth2.ok_or_else(|| fields::invalid("`config.service.oauth2` needs a `token_endpoint`"))?;
    fields::expect_url(config, "service.oauth2.token_endpoint", &oauth2.token_endpoint)?;
    fields::expect_text("client_id", &settings.client_id)?;
    settings.scopes = fields::distinct(&settings.scopes)?;
    fields::store(&settings)
}

async fn exchange(cx: &Cx<'_>, request: ExchangeRequest<'_>) -> Result<Token> {
    let settings: Settings = fields::stored(request.config)?;
    let oauth2 = settings.oauth2()?.ok_or(Fault::Broken("a stored service has no `oauth2`"))?;
    let client = OwnClient { id: settings.client_id, secret: fields::text(request.plain)? };
    let scope = request.scope.replace(' ', &oauth2.scope_separator.0);
    let mut parameters = vec![("grant_type", "client_credentials")];
    if !scope.is_empty() {
        parameters.push(("scope", &scope));
    }
    let given = oauth2::ask(cx, &oauth2, &client, (parameters, &oauth2.token_parameters), None).await;
    answer::given(given, request.now, oauth2.expires_in == Some(0))
}
