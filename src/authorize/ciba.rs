//! The backchannel (OpenID CIBA Core 1.0): a client asks a user who is somewhere else.
//!
//! In scope: the modes poll and ping. Out of scope: push, signed requests, `login_hint_token`, `id_token_hint`, user codes.
//!
//! 1. The client is confidential (FAPI-CIBA §5.2.2), and registered for the grant.
//! 2. `login_hint` is the `sub` of a user. Who can be asked how often is bounded: in a minute, and by what waits.
//! 3. A message that binds both devices is shown as it was sent, or refused.

use super::asked;
use super::request::Request;
use crate::approvals::{self, Asked, Ping};
use crate::authn::client::limit_attempts;
use crate::context::Cx;
use crate::crypto::{self, Kind, Secret, sha256};
use crate::directory::users;
use crate::error::{Reason, Result};
use crate::model::approval::Door;
use crate::model::client::PING;
use crate::model::{Client, Status};
use crate::oauth::authorization_details::is_deceptive;
use crate::oauth::{CIBA, Form};
use serde_json::json;
use std::rc::Rc;

/// How long a user has, in seconds, where the client asks for nothing else.
const SECONDS: i64 = 300;
const LEAST_SECONDS: i64 = 30;
const MOST_SECONDS: i64 = 3_600;
/// How many characters a binding message may have.
const MAX_MESSAGE: usize = 100;
/// How many bytes the token of a notification may have (§7.1).
const MAX_TOKEN: usize = 1_024;
/// How often a user is asked in a minute.
const A_MINUTE: i64 = 10;

/// What a client is told.
pub struct Started {
    /// What it polls with.
    pub auth_req_id: Secret<String>,
    /// How long the user has, in seconds.
    pub expires_in: i64,
}

/// Takes the request of a client.
pub async fn start(cx: &Cx<'_>, form: &Form, client: &Rc<Client>) -> Result<Started> {
    if !client.metadata.grant_types.iter().any(|grant| grant == CIBA) {
        return Err(Reason::BackchannelNotAllowed.into());
    }
    let malformed = |why: &str| Reason::MalformedBackchannel.because(why);
    if ["id_token_hint", "login_hint_token", "request"].into_iter().any(|name| form.get(name).is_some()) {
        return Err(malformed("`login_hint` alone is read"));
    }
    let hint = form.get("login_hint").ok_or_else(|| malformed("`login_hint` is missing"))?;
    let message = form.get("binding_message");
    let is_shown = |text: &str| text.chars().count() <= MAX_MESSAGE && !text.chars().any(is_deceptive);
    if !message.is_none_or(is_shown) {
        return Err(Reason::InvalidBindingMessage.into());
    }
    let expires_in = match form.get("requested_expiry") {
        None => SECONDS,
        Some(text) => {
            let seconds: i64 = text
                .parse()
                .ok()
                .filter(|seconds| *seconds > 0)
                .ok_or_else(|| malformed("`requested_expiry` is a number of seconds"))?;
            seconds.clamp(LEAST_SECONDS, MOST_SECONDS)
        }
    };
    let auth_req_id = crypto::mint(Kind::ApprovalRequest, &*cx.world.entropy);
    let notify = match client.metadata.backchannel_token_delivery_mode.as_deref() {
        Some(PING) => {
            let token = form
                .get("client_notification_token")
                .filter(|token| token.len() <= MAX_TOKEN && token.bytes().all(|b| b.is_ascii_graphic()));
            let token = token.ok_or_else(|| malformed("`client_notification_token` is missing or malformed"))?;
            let url = client.metadata.backchannel_client_notification_endpoint.clone().unwrap_or_default();
            let ping = Ping { url, token: token.to_owned(), auth_req_id: auth_req_id.expose().clone() };
            Some(approvals::seal_ping(cx, &ping, expires_in)?)
        }
        _ => None,
    };
    let asked_for = form.clone().keeping(&["scope", "resource", "authorization_details"]);
    let (request, problem) = Request::new(cx, asked_for, None);
    if let Some(problem) = problem {
        return Err(problem.into());
    }
    let asked = asked::of_backchannel(cx, &request, client.clone()).await?;
    // Whoever is asked is counted first, also who is not there: a client that guesses is slowed down.
    limit_attempts(cx, &["backchannel/", &client.id].concat(), 10 * A_MINUTE, Reason::TooManyBackchannel).await?;
    let user = users::load(cx, hint).await?.filter(|user| user.status == Status::Active);
    let user = user.ok_or(Reason::UnknownUserId)?;
    limit_attempts(cx, &["backchannel/", &user.id].concat(), A_MINUTE, Reason::TooManyBackchannel).await?;
    let handle = sha256(auth_req_id.expose()).to_text();
    let scope: Vec<&str> = asked.identity.iter().chain(asked.target.scope.iter()).collect();
    let what = json!({
        "action": "backchannel", "resource": asked.target.resource.body.resource.to_string(), "scope": scope,
        "authorization_details": asked.authorization_details, "request": handle,
    });
    let told = json!({"binding_message": message});
    let asked = Asked {
        door: Door::Backchannel,
        client,
        requester: &client.id,
        subject: &user.id,
        require: vec!["approval".to_owned()],
        what: what.as_object().cloned().unwrap_or_default(),
        told: told.as_object().cloned().unwrap_or_default(),
        seconds: expires_in,
    };
    approvals::ask(cx, &asked, Some(&handle), notify).await?;
    Ok(Started { auth_req_id, expires_in })
}
