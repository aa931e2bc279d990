//! `POST /t/{tenant}/token` (RFC 6749 §3.2).
//!
//! 1. Form, proof, client, grant, in this order; each refusal is its RFC error and one `token.refused` event.
//! 2. Neither answer is cached (RFC 6749 §5.1).
//! 3. A proof is used up once its client is known, and before anything else is (RFC 9449 §5). Where the tenant wants nonces,
//!    each answer to a good one brings the next (§8.2).

use crate::audit;
use crate::authn::client::{Claim, Counted};
use crate::authn::dpop;
use crate::context::Cx;
use crate::error::{Error, Reason, Result};
use crate::grants::{self, TokenRequest};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::oauth::Form;
use crate::tokens::TokenResponse;
use crate::web::render::{self, Style};
use crate::web::{Call, Request, Response};

/// Answers a token request.
pub async fn post(Call { cx, request, .. }: Call<'_>) -> Result<Response> {
    let (mut facts, mut client) = (Facts::default(), None);
    match run(cx, request, &mut facts, &mut client).await {
        Ok((token, bound)) => {
            let response = Response::json(200, &token).with("pragma", "no-cache");
            if bound { with_nonce(cx, response) } else { Ok(response) }
        }
        Err(Error::Refused(refusal)) => {
            facts.reason = Some(refusal.reason.as_str().to_owned());
            facts.detail = refusal.detail.clone();
            let event = audit::event(cx, EventType::TokenRefused, client.as_deref(), facts);
            audit::record(cx, &event).await?;
            let lacks_nonce = refusal.reason == Reason::NonceRequired;
            let error = Error::Refused(refusal);
            if !lacks_nonce {
                return Err(error);
            }
            render::log(cx, &error);
            with_nonce(cx, render::error(&error, Style::OAuth, Some(&cx.issuer())))
        }
        Err(fault) => Err(fault),
    }
}

fn with_nonce(cx: &Cx<'_>, response: Response) -> Result<Response> {
    Ok(match dpop::next_nonce(cx)? {
        Some(nonce) => response.with("dpop-nonce", nonce),
        None => response,
    })
}

/// The token, and whether it is bound to a key.
async fn run(
    cx: &Cx<'_>,
    request: &Request,
    facts: &mut Facts,
    client: &mut Option<String>,
) -> Result<(TokenResponse, bool)> {
    let body = request.body.as_deref().ok_or(Reason::BodyTooLarge)?;
    let form = Form::parse(request.header("content-type"), body)?;
    let proof = dpop::at_token_endpoint(cx, request.header("dpop"), form.get("dpop_jkt")).await?;
    let caller = match Claim::find(request.header("authorization"), &form)? {
        Some(claim) => {
            *client = claim.client_id().map(str::to_owned);
            let caller = claim.accept(cx).await?;
            facts.auth_method = Some(caller.method.as_str().to_owned());
            *client = Some(caller.client.id.clone());
            Some(caller)
        }
        // Some grants need no client; which ones, the grant knows.
        None if form.get("grant_type").is_some() => {
            Counted::of(cx, None).pass(cx)?;
            None
        }
        None => return Err(Reason::NoClientAuthentication.into()),
    };
    let jkt = match proof {
        Some(proof) => Some(proof.used(cx).await?),
        None => None,
    };
    let token = TokenRequest { form: &form, caller: caller.as_ref(), jkt: jkt.as_deref() };
    let answer = grants::run(cx, &token, facts).await;
    // Where an assertion stands in for a client, one that does not count is a failed authentication.
    let failed = |error: &Error| matches!(error, Error::Refused(refusal) if refusal.reason == Reason::InvalidAssertion);
    if caller.is_none() && answer.as_ref().is_err_and(failed) {
        Counted::of(cx, None).count(cx).await?;
    }
    Ok((answer?, jkt.is_some()))
}
