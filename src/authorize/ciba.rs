//! The backchannel (OpenID CIBA Core 1.0): a client asks a user who is somewhere else.
//!
//! In scope: the modes poll and ping. Out of scope: push, signed requests, `login_hint_token`, user codes.
//!
//! 1. The client is confidential (FAPI-CIBA §5.2.2), and registered for the grant.
//! 2. `login_hint` is the `sub` of a user; `id_token_hint` an ID token that the client has got here, also one that has expired. Who can be asked how often is bounded: in a minute, and by what waits.
//! 3. A message that binds both devices is shown as it was sent, or refused.

use super::asked;
use super::lines::{self, Consenting};
use super::request::Request;
use crate::approvals::{self, Asked, Ping, With};
use crate::authn::client::limit_attempts;
use crate::cedar::Action;
use crate::context::Cx;
use crate::crypto::{self, Kind, Secret, sha256};
use crate::directory::users;
use crate::error::{Fault, Reason, Result};
use crate::jose::{Problem, Unverified, numeric_date};
use crate::keys;
use crate::model::approval::Door;
use crate::model::client::PING;
use crate::model::{Client, Status};
use crate::oauth::authorization_details::is_deceptive;
use crate::oauth::{CIBA, Form};
use crate::ports::Now;
use crate::revocation::breach::Using;
use serde_json::{Map, Value, json};
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
    if ["login_hint_token", "request"].into_iter().any(|name| form.get(name).is_some()) {
        return Err(malformed("`login_hint_token` and `request` are not read"));
    }
    let hint = match (form.get("login_hint"), form.get("id_token_hint")) {
        (Some(sub), None) => sub.to_owned(),
        (None, Some(token)) => of_id_token(cx, token, client).await?,
        _ => return Err(malformed("one of `login_hint` and `id_token_hint` is needed")),
    };
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
    let user = users::load(cx, &hint).await?.filter(|user| user.status == Status::Active);
    let user = user.ok_or(Reason::UnknownUserId)?;
    limit_attempts(cx, &["backchannel/", &user.id].concat(), A_MINUTE, Reason::TooManyBackchannel).await?;
    let handle = sha256(auth_req_id.expose()).to_text();
    // What the user may not consent to is not asked.
    let who = Consenting { user: &user, acr: None, grant_type: CIBA, is_bound: false };
    let forbidden = lines::forbidden(cx, client, &asked.target, who).await?;
    let possible = asked.target.scope.iter().zip(&forbidden).filter(|(_, why)| why.is_none()).map(|(scope, _)| scope);
    let scope: Vec<&str> = asked.identity.iter().chain(possible).collect();
    if forbidden.iter().all(Option::is_some) && !forbidden.is_empty() {
        return Err(Reason::PolicyDenied.because("policy forbids the user to consent to any of it"));
    }
    // What permits require of people is known now; whether they hold is asked when the token is fetched, with its key and the user's `acr`.
    let fetched = Consenting { is_bound: true, ..who };
    let verdicts = lines::verdicts(cx, client, &asked.target, fetched, Action::Issue).await?;
    let verdicts = verdicts.into_iter().zip(&forbidden).filter(|(_, why)| why.is_none());
    let verdicts: Vec<_> = verdicts.map(|(verdict, _)| verdict).collect();
    let using = Using { client: &client.id, subject: &user.id, grant_type: CIBA };
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
        require: approvals::required(cx, client, using, &verdicts).await?,
        what: what.as_object().cloned().unwrap_or_default(),
        told: told.as_object().cloned().unwrap_or_default(),
        seconds: expires_in,
    };
    approvals::ask(cx, &asked, With { handle: Some(&handle), notify, once: None }).await?;
    Ok(Started { auth_req_id, expires_in })
}

/// The user of an ID token that this client has got from us, whenever that was (§7.1).
async fn of_id_token(cx: &Cx<'_>, text: &str, client: &Client) -> Result<String> {
    let refuse = |why: &str| Reason::MalformedBackchannel.because(["`id_token_hint`: ", why].concat());
    let token = Unverified::parse(text).map_err(|_| refuse("it is no JWT"))?;
    let issued = token.unverified_claim("iat").and_then(numeric_date).and_then(|at| u64::try_from(at).ok());
    let then = Now::from_millis(issued.unwrap_or_default().saturating_mul(1_000));
    let keys = keys::all(cx).await?;
    let key = token.kid().and_then(|kid| keys.find(kid)).ok_or_else(|| refuse("it is not signed by us"))?;
    let verified = token.verify::<Map<String, Value>>(&*cx.world.keys, &key.public, "jwt", then).await;
    let claims = match verified {
        Ok(verified) => verified.claims,
        Err(Problem::Unavailable(port)) => return Err(Fault::Unavailable(port).into()),
        Err(_) => return Err(refuse("it is not signed by us")),
    };
    let is = |name: &str, value: &str| claims.get(name).and_then(Value::as_str) == Some(value);
    let sub = claims.get("sub").and_then(Value::as_str).filter(|_| is("iss", &cx.issuer()) && is("aud", &client.id));
    sub.map(str::to_owned).ok_or_else(|| refuse("it is for another client"))
}
