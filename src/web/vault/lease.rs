//! `POST /t/{tenant}/connections/{name}/token`: a lease.
//!
//! 1. Form, client, token, policy, provider, in this order; each refusal is an OAuth error and one `lease.refused` event.
//! 2. No answer is cached, and nothing in one is a provider's but the token. Where it rests on an approval, `approval` is its id.

use crate::authn::client::Callers;
use crate::error::{Error, Result};
use crate::model::EventType;
use crate::vault::{self, Granted, Trail};
use crate::web::guard::{ClientCall, refused};
use crate::web::{Call, Response};
use serde::Serialize;
use serde_json::{Map, Value};

/// What a lease is. What is no bearer token has members of its own and the type `N_A` (RFC 8693 §2.2.1).
#[derive(Serialize)]
struct Lease<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    access_token: &'a str,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    #[serde(flatten)]
    members: Map<String, Value>,
}

/// Answers a lease request.
pub async fn lease(call: Call<'_>) -> Result<Response> {
    let ClientCall { form, caller } =
        ClientCall::read(call.cx, call.request, Callers::Confidential, EventType::LeaseRefused).await?;
    let mut trail = Trail::default();
    trail.facts.resource_server = Some(caller.client.id.clone());
    trail.facts.auth_method = Some(caller.method.as_str().to_owned());
    let form = form.only(vault::LEASE_READS);
    let request = vault::Request { connection: call.id(0)?, form, caller: &caller, is_exchange: false };
    match vault::lease(call.cx, &request, &mut trail).await {
        Ok(Granted { token, expires_in, scope, .. }) => {
            let access_token = token.access_token.expose();
            let token_type = if access_token.is_empty() { "N_A" } else { "Bearer" };
            let (expires_at, mut members) = (token.expiry(), token.members());
            members.remove("scope");
            members.extend(trail.facts.approval.map(|id| ("approval".to_owned(), id.into())));
            let expires_in = expires_at.map(|_| expires_in);
            let lease = Lease { access_token, token_type, expires_in, expires_at, scope: &scope, members };
            Ok(Response::json(200, &lease).with("pragma", "no-cache"))
        }
        Err(Error::Refused(refusal)) if refusal.is_poll() => Err(Error::Refused(refusal)),
        Err(Error::Refused(refusal)) => {
            let Trail { agent, facts } = trail;
            Err(refused(call.cx, refusal, EventType::LeaseRefused, agent.as_deref(), facts).await?)
        }
        Err(fault) => Err(fault),
    }
}
