//! Users of Writ at another authorization server that trusts the tenant's issuer (draft-ietf-oauth-identity-assertion-authz-grant).
//!
//! 1. Writ issues an ID-JAG about the user for whom the agent acts, and redeems it at once, as the client that `config` names there: the agent
//!    sees neither. `sub` is the user's id, as in ID tokens.
//! 2. Each user has a token of their own. An agent that acts for none gets none.
//! 3. The scope is in the ID-JAG, as is the resource.

use super::jwt_bearer::GRANT_TYPE;
use super::oauth2::{self, OwnClient};
use super::{ExchangeRequest, Provider, Token, Tokens, USUAL, answer, fields};
use crate::config::Config;
use crate::context::Cx;
use crate::crypto::nonce;
use crate::error::Result;
use crate::jose::{ID_JAG, IdJag};
use crate::vault::own_token;
use crate::vault::service::{ClientAuth, OAuth2};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

pub const PROVIDER: Provider = Provider {
    kind: "id_jag",
    read_config,
    read_secret: fields::read_client_secret,
    offers: |config| Some(fields::stored::<Settings>(config).ok()?.scopes.into_iter().collect()),
    tokens: Tokens::OfUser,
    exchange: Some(|cx, request| Box::pin(exchange(cx, request))),
    ..USUAL
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The issuer identifier of the other authorization server: the `aud` of the ID-JAG.
    audience: String,
    token_endpoint: String,
    client_id: String,
    #[serde(default)]
    token_endpoint_auth_method: ClientAuth,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
}

fn read_config(config: &Config, value: Value) -> Result<Value> {
    let mut settings: Settings = fields::config(value)?;
    fields::expect_audience(config, &settings.audience)?;
    fields::expect_url(config, "token_endpoint", &settings.token_endpoint)?;
    fields::expect_text("client_id", &settings.client_id)?;
    settings.resource.as_deref().map_or(Ok(()), |text| fields::expect_text("resource", text))?;
    settings.scopes = fields::distinct(&settings.scopes)?;
    fields::store(&settings)
}

async fn exchange(cx: &Cx<'_>, request: ExchangeRequest<'_>) -> Result<Token> {
    let settings: Settings = fields::stored(request.config)?;
    let claims = IdJag {
        iss: cx.issuer(),
        sub: request.party.to_owned(),
        aud: settings.audience,
        client_id: settings.client_id.clone(),
        jti: nonce(&*cx.world.entropy),
        resource: settings.resource,
        scope: request.scope.to_owned(),
        act: None,
        cnf: None,
        acr: None,
        auth_time: None,
    };
    let assertion = own_token::sign(cx, ID_JAG, &claims).await?;
    let oauth2 = OAuth2 {
        token_endpoint: settings.token_endpoint,
        token_endpoint_auth_method: settings.token_endpoint_auth_method,
        ..OAuth2::default()
    };
    let client = OwnClient { id: settings.client_id, secret: fields::text(request.plain)? };
    let parameters = vec![("grant_type", GRANT_TYPE), ("assertion", assertion.expose().as_str())];
    answer::given(oauth2::ask(cx, &oauth2, &client, (parameters, &BTreeMap::new()), None).await, request.now, false)
}
