//! `POST /t/{tenant}/introspect` (RFC 7662), on demand as a signed JWT (RFC 9701).
//!
//! 1. Only an authenticated client that the token is for learns anything; everybody else, and whoever asks about a token that
//!    is unknown, malformed, expired or stopped, gets exactly `{"active":false}` (RFC 7662 §2.2, §4).
//! 2. The answer is as fresh as D1: what is revoked is inactive at the next question, from whatever location.
//! 3. No answer is cached.
//! 4. The caller is authenticated before D1 is read for it: a stranger costs no more here than at the token endpoint.

use crate::authn::client::Callers;
use crate::directory::clients;
use crate::error::{Error, Reason, Rejection, Result};
use crate::jose::Unsigned;
use crate::keys;
use crate::model::EventType;
use crate::ports::Alg;
use crate::tokens::{self, Accepted};
use crate::web::guard::ClientCall;
use crate::web::negotiation::weight;
use crate::web::{Call, Request, Response};
use serde_json::{Value, json};

/// The media type of a signed answer (RFC 9701 §5).
pub const SIGNED: &str = "application/token-introspection+jwt";

/// What signs introspection responses and status lists.
pub const SIGNING_ALG: Alg = Alg::Es256;

/// Answers an introspection request.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let client_call =
        ClientCall::read(call.cx, call.request, Callers::Confidential, EventType::TokenQueryRefused).await?;
    match answer(call, &client_call).await {
        Err(Error::Refused(refusal)) => Err(client_call.refuse(call.cx, refusal, EventType::TokenQueryRefused).await?),
        answer => answer,
    }
}

async fn answer(call: Call<'_>, ClientCall { form, caller }: &ClientCall) -> Result<Response> {
    let token = form.get("token").ok_or(Reason::MissingTokenParameter)?;
    // Fresh only once the client is known: a stranger makes D1 read nothing.
    let cx = call.cx.refreshed().await?;
    let client = clients::load(&cx, &caller.client.id).await?.filter(|client| client.is_live(cx.now));
    let client = client.ok_or(Reason::ClientNotActive)?;
    let wanted = |aud: &str| tokens::serves(&cx, &client, aud);
    let answer = match tokens::verify(&cx, token, wanted).await {
        Ok(accepted) => active(&accepted),
        Err(Rejection::Error(error)) => return Err(error),
        Err(rejection) => {
            cx.world.log.line(&format!("{}: a token is not active: {rejection:?}", cx.request_id));
            json!({"active": false})
        }
    };
    let response = Response::json(200, &answer).with("pragma", "no-cache");
    if !wants_signed(call.request) {
        return Ok(response);
    }
    let claims = json!({"iss": cx.issuer(), "aud": client.id, "token_introspection": answer});
    let iat = cx.now.seconds();
    let shape = |kid: &str| Unsigned::without_end(SIGNING_ALG, "token-introspection+jwt", kid, &claims, iat);
    let body = keys::sign(&cx, SIGNING_ALG, shape).await?;
    Ok(Response { body, ..response }.with("content-type", SIGNED))
}

fn wants_signed(request: &Request) -> bool {
    let accept = request.header("accept");
    let ((signed, is_named), (json, _)) = (weight(accept, SIGNED), weight(accept, "application/json"));
    is_named && signed > 0 && signed >= json
}

/// What the token says, less what only Writ reads.
fn active(accepted: &Accepted) -> Value {
    let mut answer = serde_json::to_value(&accepted.claims).unwrap_or_default();
    if let Some(members) = answer.as_object_mut() {
        members.retain(|name, _| !matches!(name.as_str(), "status" | "lineage"));
        let token_type = if accepted.claims.cnf.is_some() { "DPoP" } else { "Bearer" };
        let more = json!({"active": true, "iat": accepted.iat, "exp": accepted.exp, "token_type": token_type});
        members.extend(more.as_object().cloned().unwrap_or_default());
    }
    answer
}
