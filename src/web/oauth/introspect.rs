//! `POST /t/{tenant}/introspect` (RFC 7662), on demand as a signed JWT (RFC 9701).
//!
//! 1. Only an authenticated client that the token is for learns anything; everybody else, and whoever asks about a token that
//!    is unknown, malformed, expired or stopped, gets exactly `{"active":false}` (RFC 7662 §2.2, §4).
//! 2. The answer is as fresh as D1: what is revoked is inactive at the next question, from whatever location.
//! 3. No answer is cached.

use crate::audit;
use crate::authn::client::{Authenticated, Claim};
use crate::context::Cx;
use crate::error::{Error, Reason, Refusal, Result};
use crate::jose::Unsigned;
use crate::keys;
use crate::model::EventType;
use crate::model::event::Facts;
use crate::oauth::Form;
use crate::ports::Alg;
use crate::tokens::{self, Accepted};
use crate::web::negotiation::weight;
use crate::web::{Call, Request, Response};
use serde_json::{Value, json};

/// The media type of a signed answer (RFC 9701 §5).
pub const SIGNED: &str = "application/token-introspection+jwt";

/// What signs introspection responses and status lists.
pub const SIGNING_ALG: Alg = Alg::Es256;

/// Answers an introspection request.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let cx = call.cx.refreshed().await?;
    let Query { token, caller } = Query::read(&cx, call.request, Claim::verify).await?;
    let wanted = |aud: &str| tokens::serves(&cx, &caller.client, aud);
    let accepted = tokens::verify(&cx, &token, wanted).await?;
    let answer = accepted.map_or_else(|| json!({"active": false}), |accepted| active(&accepted));
    let response = Response::json(200, &answer).with("pragma", "no-cache");
    if !wants_signed(call.request) {
        return Ok(response);
    }
    let claims = json!({"iss": cx.issuer(), "aud": caller.client.id, "token_introspection": answer});
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

/// What is asked about a token, and by whom.
pub(super) struct Query {
    pub token: String,
    pub caller: Authenticated,
}

impl Query {
    /// Reads the form and authenticates the client as `prove` does; a refusal is one event.
    pub async fn read<'a, F: Future<Output = Result<Authenticated>>>(
        cx: &'a Cx<'a>,
        request: &Request,
        prove: impl FnOnce(Claim, &'a Cx<'a>) -> F,
    ) -> Result<Self> {
        let mut client = None;
        let query = async {
            let body = request.body.as_deref().ok_or(Reason::BodyTooLarge)?;
            let form = Form::parse(request.header("content-type"), body)?;
            let claim = Claim::read(request.header("authorization"), &form)?;
            client = claim.client_id().map(str::to_owned);
            let caller = prove(claim, cx).await?;
            let token = form.get("token").ok_or(Reason::MissingTokenParameter)?.to_owned();
            Ok(Self { token, caller })
        };
        let query = query.await;
        if let Err(Error::Refused(Refusal { reason, detail, .. })) = &query {
            let reason = Some(reason.as_str().to_owned());
            let facts = Facts { reason, detail: detail.clone(), ..Facts::default() };
            let event = audit::event(cx, EventType::TokenQueryRefused, client.as_deref(), facts);
            audit::record(cx, &event).await?;
        }
        query
    }
}
