//! `POST /t/{tenant}/device_authorization` (RFC 8628 §3.1).

use crate::authn::client::Callers;
use crate::authorize::device;
use crate::error::{Error, Result};
use crate::model::EventType;
use crate::web::guard::ClientCall;
use crate::web::{Call, Response};
use serde_json::json;

/// Answers the request of a device. Its client authenticates as at the token endpoint.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let kind = EventType::AuthorizationRefused;
    let client_call = ClientCall::read(call.cx, call.request, Callers::Registered, kind).await?;
    match start(call, &client_call).await {
        Err(Error::Refused(refusal)) => Err(client_call.refuse(call.cx, refusal, kind).await?),
        answer => answer,
    }
}

async fn start(Call { cx, .. }: Call<'_>, ClientCall { form, caller }: &ClientCall) -> Result<Response> {
    let started = device::start(cx, form, &caller.client, caller.method).await?;
    let uri = [&cx.issuer(), "/device"].concat();
    let answer = json!({
        "device_code": started.device_code.expose(),
        "user_code": started.user_code,
        "verification_uri": uri,
        "verification_uri_complete": format!("{uri}?user_code={}", started.user_code),
        "expires_in": device::SECONDS,
        "interval": device::INTERVAL,
    });
    Ok(Response::json(200, &answer))
}
