//! `POST /t/{tenant}/transaction-authorization` (draft-rosomakho-oauth-txn-challenge-00 §5): a challenge comes in, and its client polls.

use crate::approvals::{INTERVAL, uri};
use crate::authn::client::Callers;
use crate::authn::dpop;
use crate::context::Cx;
use crate::error::{Error, Reason, Refusal, Result};
use crate::grants::{TokenRequest, transaction};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::web::guard::{ClientCall, refused};
use crate::web::schema::{Kind, members, object};
use crate::web::{Call, Response};
use serde_json::json;
use std::cell::OnceCell;

object!(
    /// The form of a transaction authorization request, or of a poll: one of the first two.
    TRANSACTION_REQUEST = "TransactionRequest" [members![
        may "transaction_challenge" Kind::Word,
        may "transaction_authorization_id" Kind::Word,
        may "subject_token" Kind::Word,
        may "subject_token_type" Kind::Word,
        may "client_id" Kind::Word,
        may "client_secret" Kind::Word,
    ]]
);

object!(
    /// The answer to a challenge that waits for a person, or the token.
    TRANSACTION = "Transaction" [members![
        may "transaction_authorization_id" Kind::Word,
        may "authorization_uri" Kind::Word,
        may "interval" Kind::Count,
        may "access_token" Kind::Word,
        may "token_type" Kind::Word,
        may "expires_in" Kind::Count,
        may "scope" Kind::Word,
        may "authorization_details" Kind::List(&Kind::Json, crate::web::schema::ANY),
    ]]
);

/// Answers a challenge, or a poll.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let (cx, kind) = (call.cx, EventType::TokenRefused);
    let client_call = ClientCall::read(cx, call.request, Callers::Confidential, kind).await?;
    let mut facts = Facts { grant_type: Some("transaction_authorization".to_owned()), ..Facts::default() };
    match run(cx, call, &client_call, &mut facts).await {
        Err(Error::Refused(refusal)) if is_poll(&refusal) => Err(Error::Refused(refusal)),
        Err(Error::Refused(refusal)) => {
            Err(refused(cx, refusal, kind, Some(&client_call.caller.client.id), facts).await?)
        }
        answer => answer,
    }
}

fn is_poll(refusal: &Refusal) -> bool {
    matches!(refusal.reason, Reason::AuthorizationPending | Reason::SlowDown)
}

async fn run(
    cx: &Cx<'_>,
    call: Call<'_>,
    ClientCall { form, caller }: &ClientCall,
    facts: &mut Facts,
) -> Result<Response> {
    let form = form.only(transaction::READS);
    let Some(id) = form.get("transaction_authorization_id") else {
        let approval = transaction::start(cx, form, caller, facts).await?;
        let expires_in = approval.expires_at.saturating_sub(cx.now.seconds());
        let answer = json!({
            "transaction_authorization_id": approval.id, "authorization_uri": uri(cx, &approval.id),
            "expires_in": expires_in, "interval": INTERVAL,
        });
        return Ok(Response::json(200, &answer));
    };
    let proof = dpop::at_transactions(cx, call.request.header("dpop")).await?;
    let shown = OnceCell::new();
    let request = TokenRequest { form, caller: Some(caller), proof: proof.as_ref(), shown: &shown };
    request.redeem_proof(cx).await?;
    let token = transaction::poll(cx, &request, id, facts).await?;
    Ok(Response::json(200, &token).with("pragma", "no-cache"))
}
