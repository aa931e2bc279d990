//! `POST /t/{tenant}/connections/{name}/token`: a lease.
//!
//! 1. Form, client, token, policy, provider, in this order; each refusal is an OAuth error and one `lease.refused` event.
//! 2. No answer is cached, and nothing in one is a provider's but the token.

use crate::audit;
use crate::authn::client::Claim;
use crate::error::{Error, Reason, Result};
use crate::model::EventType;
use crate::oauth::Form;
use crate::vault::{self, Granted, Trail};
use crate::web::{Call, Response};
use serde::Serialize;

#[derive(Serialize)]
struct Lease<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    expires_at: i64,
    scope: &'a str,
}

/// Answers a lease request.
pub async fn lease(call: Call<'_>) -> Result<Response> {
    let mut trail = Trail::default();
    match run(call, &mut trail).await {
        Ok(Granted { token, expires_in, scope }) => {
            let access_token = token.access_token.expose();
            let expires_at = token.expires_at;
            let lease = Lease { access_token, token_type: "Bearer", expires_in, expires_at, scope: &scope };
            Ok(Response::json(200, &lease).with("pragma", "no-cache"))
        }
        Err(Error::Refused(refusal)) => {
            let Trail { agent, mut facts } = trail;
            facts.reason = Some(refusal.reason.as_str().to_owned());
            facts.detail = refusal.detail.clone();
            let event = audit::event(call.cx, EventType::LeaseRefused, agent.as_deref(), facts);
            audit::record(call.cx, &event).await?;
            Err(Error::Refused(refusal))
        }
        Err(fault) => Err(fault),
    }
}

async fn run(call: Call<'_>, trail: &mut Trail) -> Result<Granted> {
    let body = call.request.body.as_deref().ok_or(Reason::BodyTooLarge)?;
    let form = Form::parse(call.request.header("content-type"), body)?;
    let claim = Claim::read(call.request.header("authorization"), &form)?;
    trail.facts.resource_server = claim.client_id().map(str::to_owned);
    let caller = claim.verify(call.cx).await?;
    trail.facts.auth_method = Some(caller.method.as_str().to_owned());
    let request = vault::Request { connection: call.id(0)?, form: &form, caller: &caller };
    vault::lease(call.cx, &request, trail).await
}
