//! `POST /t/{tenant}/token` (RFC 6749 §3.2).
//!
//! 1. Form, client, grant, in this order; each refusal is its RFC error and one `token.refused` event.
//! 2. Neither answer is cached (RFC 6749 §5.1).

use super::{Call, Request, Response};
use crate::audit;
use crate::client_auth::Claim;
use crate::cx::Cx;
use crate::error::{Error, Reason, Result};
use crate::grants::{self, TokenRequest, TokenResponse};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::oauth::Form;

/// Answers a token request.
pub async fn post(Call { cx, request, .. }: Call<'_>) -> Result<Response> {
    let (mut facts, mut client) = (Facts::default(), None);
    match run(cx, request, &mut facts, &mut client).await {
        Ok(token) => Ok(Response::json(200, &token).with("pragma", "no-cache")),
        Err(Error::Refused(refusal)) => {
            facts.reason = Some(refusal.reason.as_str().to_owned());
            facts.detail = refusal.detail.clone();
            let event = audit::event(cx, EventType::TokenRefused, client.as_deref(), facts);
            audit::record(cx, &event).await?;
            Err(Error::Refused(refusal))
        }
        Err(fault) => Err(fault),
    }
}

async fn run(cx: &Cx<'_>, request: &Request, facts: &mut Facts, client: &mut Option<String>) -> Result<TokenResponse> {
    let body = request.body.as_deref().ok_or(Reason::BodyTooLarge)?;
    let form = Form::parse(request.header("content-type"), body)?;
    let claim = Claim::read(request.header("authorization"), &form)?;
    *client = claim.client_id().map(str::to_owned);
    let caller = claim.verify(cx).await?;
    facts.auth_method = Some(caller.method.as_str().to_owned());
    grants::run(cx, &TokenRequest { form: &form, caller: &caller }, facts).await
}
