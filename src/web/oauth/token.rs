//! `POST /t/{tenant}/token` (RFC 6749 §3.2).
//!
//! 1. Form, mechanism, proof, client, grant, in this order. A refusal of a client that has proved itself is one `token.refused` event; any other is
//!    counted and limited (`authn::client::Unproved`).
//! 2. No answer is cached (RFC 6749 §5.1).
//! 3. A proof is redeemed once its client or an assertion has been verified (RFC 9449 §5). Where the tenant wants nonces,
//!    each answer to a good one brings the next (§8.2).

use crate::authn::client::Claim;
use crate::authn::dpop;
use crate::context::Cx;
use crate::error::{Error, Reason, Result};
use crate::grants::{self, TokenRequest};
use crate::model::event::Facts;
use crate::model::{AuthMethod, EventType};
use crate::registration;
use crate::tokens::TokenResponse;
use crate::web::guard::Sender;
use crate::web::render::{self, Style};
use crate::web::{Call, Request, Response};
use std::cell::OnceCell;

/// The parameters that the endpoint reads itself, whichever grant is asked for.
pub const READS: &[&str] = &["grant_type", "dpop_jkt"];

/// Answers a token request.
pub async fn post(Call { cx, request, .. }: Call<'_>) -> Result<Response> {
    let (mut facts, mut sender) = (Facts::default(), Sender::default());
    match run(cx, request, &mut facts, &mut sender).await {
        Ok((token, bound)) => {
            let response = Response::json(200, &token).with("pragma", "no-cache");
            if bound { with_nonce(cx, response) } else { Ok(response) }
        }
        // The quota is one event a minute, recorded by `tokens::quota`; a poll of a device is none.
        Err(Error::Refused(refusal))
            if matches!(
                refusal.reason,
                Reason::TokenQuotaReached | Reason::AuthorizationPending | Reason::SlowDown
            ) || refusal.is_poll() =>
        {
            Err(Error::Refused(refusal))
        }
        Err(Error::Refused(refusal)) => {
            let lacks_nonce = refusal.reason == Reason::NonceRequired;
            let kind = match &facts.resource_server {
                None => EventType::TokenRefused,
                // The event of a lease is the agent's.
                server => {
                    sender.client = sender.client.filter(|client| Some(client) != server.as_ref());
                    EventType::LeaseRefused
                }
            };
            let error = sender.refuse(cx, refusal, kind, facts).await?;
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
async fn run(cx: &Cx<'_>, request: &Request, facts: &mut Facts, sender: &mut Sender) -> Result<(TokenResponse, bool)> {
    let form = sender.form(cx, request).await?;
    let claim = Claim::find(request.header("authorization"), &form)?;
    sender.client = claim.as_ref().and_then(Claim::client_id).map(str::to_owned);
    let proof = dpop::at_token_endpoint(cx, request.header("dpop"), form.get("dpop_jkt")).await?;
    let caller = match claim {
        Some(claim) => {
            let caller = claim.accept(cx).await?;
            let is_proved = caller.method != AuthMethod::None;
            *sender = Sender { client: Some(caller.client.id.clone()), is_proved };
            registration::confirm(cx, &caller).await?;
            facts.auth_method = Some(caller.method.as_str().to_owned());
            Some(caller)
        }
        // Some grants need no client; which ones, the grant knows.
        None if form.get("grant_type").is_some() => None,
        None => return Err(Reason::NoClientAuthentication.into()),
    };
    let shown = OnceCell::new();
    // The grant, once it is known, sees what it reads.
    let token = TokenRequest { form: form.only(&[]), caller: caller.as_ref(), proof: proof.as_ref(), shown: &shown };
    sender.is_proved = token.is_proved();
    let answer = grants::run(cx, &form, token, facts).await;
    if let Some(client) = shown.get() {
        *sender = Sender { client: Some(client.clone()), is_proved: true };
    }
    Ok((answer?, proof.is_some()))
}
