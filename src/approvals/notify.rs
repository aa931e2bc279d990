//! Telling a client that polls that there is something to fetch (OpenID CIBA Core §10.2).
//!
//! 1. The call says which request is meant, and nothing of the decision.
//! 2. It is made once, after the decision. A client that was not reached polls, as it may at any time.

use crate::authn::people::browser;
use crate::context::Cx;
use crate::error::Result;
use crate::model::approval::Approval;
use crate::outbound;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What it is sealed as.
const KIND: &str = "ping";

/// Where a client is told, and with what.
#[derive(Serialize, Deserialize)]
pub struct Ping {
    /// `backchannel_client_notification_endpoint`.
    pub url: String,
    /// `client_notification_token`.
    pub token: String,
    /// `auth_req_id`.
    pub auth_req_id: String,
}

/// Seals it for so many seconds.
pub fn seal(cx: &Cx<'_>, ping: &Ping, seconds: i64) -> Result<String> {
    browser::seal(cx, KIND, ping, seconds)
}

/// Tells the client of an approval that was decided, if it wants to be told. That it could not be reached is in the log.
pub(super) async fn ping(cx: &Cx<'_>, approval: &Approval) {
    let sealed = approval.body.notify.as_deref();
    let Some(ping) = sealed.and_then(|sealed| browser::open::<Ping>(cx, KIND, sealed)) else { return };
    let headers =
        vec![("content-type", "application/json".to_owned()), ("authorization", ["Bearer ", &ping.token].concat())];
    let body = json!({"auth_req_id": ping.auth_req_id}).to_string();
    let told = outbound::send(cx, ("POST", &ping.url), headers, Some(body)).await;
    let why = match told {
        Ok(answer) if (200..300).contains(&answer.status) => return,
        Ok(answer) => format!("it answered {}", answer.status),
        Err(failure) => failure.why().to_owned(),
    };
    cx.world.log.line(&format!("{}: a client was not told of a decision: {why}", cx.request_id));
}
