//! `POST /t/{tenant}/par` (RFC 9126).

use crate::authn::client::Callers;
use crate::authn::dpop::{self, Proof};
use crate::authorize::{PUSHED_SECONDS, par};
use crate::error::{Error, Result};
use crate::model::EventType;
use crate::web::guard::ClientCall;
use crate::web::{Call, Response};
use serde_json::json;

/// Answers a pushed authorization request. Its client authenticates as at the token endpoint (§2).
pub async fn post(call: Call<'_>) -> Result<Response> {
    let kind = EventType::AuthorizationRefused;
    let client_call = ClientCall::read(call.cx, call.request, Callers::Registered, kind).await?;
    match push(call, &client_call).await {
        Err(Error::Refused(refusal)) => Err(client_call.refuse(call.cx, refusal, kind).await?),
        answer => answer,
    }
}

async fn push(Call { cx, request, .. }: Call<'_>, ClientCall { form, caller }: &ClientCall) -> Result<Response> {
    let proof = dpop::at_par(cx, request.header("dpop"), form.get("dpop_jkt")).await?;
    let request_uri = par::push(cx, form.clone(), &caller.client, proof.as_ref().map(Proof::jkt)).await?;
    Ok(Response::json(201, &json!({"request_uri": request_uri, "expires_in": PUSHED_SECONDS})))
}
