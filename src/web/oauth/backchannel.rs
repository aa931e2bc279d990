//! `POST /t/{tenant}/bc-authorize` (OpenID CIBA Core §7).

use crate::approvals::INTERVAL;
use crate::authn::client::Callers;
use crate::authorize::ciba;
use crate::error::{Error, Result};
use crate::model::EventType;
use crate::web::guard::ClientCall;
use crate::web::schema::{Kind, SCOPE, members, object};
use crate::web::{Call, Response};
use serde_json::json;

object!(
    /// The form of an authentication request by the backchannel (OpenID CIBA Core §7.1).
    BACKCHANNEL_REQUEST = "BackchannelRequest" [members![
        may "login_hint" Kind::Word,
        may "id_token_hint" Kind::Word,
        may "scope" SCOPE,
        may "resource" crate::web::schema::RESOURCE,
        may "authorization_details" Kind::Word,
        may "binding_message" Kind::Word,
        may "requested_expiry" Kind::Word,
        may "client_notification_token" Kind::Word,
        may "client_id" Kind::Word,
        may "client_secret" Kind::Word,
    ]]
);

object!(
    /// The answer to it (OpenID CIBA Core §7.3).
    BACKCHANNEL = "Backchannel" [members![
        must "auth_req_id" Kind::Word,
        must "expires_in" Kind::Count,
        must "interval" Kind::Count,
    ]]
);

/// Answers the request of a client, which authenticates as at the token endpoint.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let kind = EventType::AuthorizationRefused;
    let client_call = ClientCall::read(call.cx, call.request, Callers::Confidential, kind).await?;
    match ciba::start(call.cx, &client_call.form, &client_call.caller.client).await {
        Ok(started) => {
            let (id, expires_in) = (started.auth_req_id.expose(), started.expires_in);
            let answer = json!({"auth_req_id": id, "expires_in": expires_in, "interval": INTERVAL});
            Ok(Response::json(200, &answer))
        }
        Err(Error::Refused(refusal)) => Err(client_call.refuse(call.cx, refusal, kind).await?),
        Err(fault) => Err(fault),
    }
}
