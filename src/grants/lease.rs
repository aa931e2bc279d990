//! A lease by token exchange (RFC 8693): the `resource` is `{issuer}/connections/{name}`.
//!
//! 1. It is the lease of `vault::lease`, with the same caller, decision and events; the parameters have the names of RFC 8693.
//! 2. The subject token is an access token of the agent. An actor token is refused: the resource server is no actor, it has authenticated.
//! 3. What is no access token is leased at the connection alone, for an answer here has to have one (§2.2.1).

use super::request::TokenRequest;
use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::model::event::Facts;
use crate::oauth::{ACCESS_TOKEN, JWT, Parameters};
use crate::tokens::TokenResponse;
use crate::vault::permit::API;
use crate::vault::{self, Granted, Trail};

/// The name of the connection that the exchange is for, if it is for one.
pub fn connection<'a>(cx: &Cx<'_>, form: Parameters<'a>) -> Result<Option<&'a str>> {
    let prefix = [&cx.issuer(), "/", API, "/"].concat();
    let mut wanted = form.all("resource").chain(form.all("audience"));
    let Some(first) = wanted.next() else { return Ok(None) };
    let is_alone = wanted.all(|other| other == first);
    let name = form.all("resource").chain(form.all("audience")).find_map(|uri| uri.strip_prefix(&prefix));
    match name {
        Some(_) if !is_alone => Err(Reason::SeveralResources.into()),
        name => Ok(name),
    }
}

/// Leases from the connection of that name.
pub async fn run(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    connection: &str,
    facts: &mut Facts,
) -> Result<TokenResponse> {
    let (form, caller) = (request.form, request.caller()?);
    facts.resource_server = Some(caller.client.id.clone());
    if !matches!(form.get("requested_token_type"), None | Some(ACCESS_TOKEN)) {
        return Err(Reason::UnsupportedRequestedTokenType.into());
    }
    if !matches!(form.get("subject_token_type"), Some(ACCESS_TOKEN | JWT)) {
        return Err(Reason::UnsupportedTokenType.into());
    }
    if form.get("actor_token").or(form.get("actor_token_type")).is_some() {
        return Err(Reason::MalformedForm.because("a lease takes no actor token"));
    }
    if cx.config.vault().is_none() {
        return Err(Reason::LeaseElsewhere.because("this Worker has no vault"));
    }
    let mut trail = Trail { agent: None, facts: std::mem::take(facts) };
    let leased = vault::lease(cx, &vault::Request { connection, form, caller, is_exchange: true }, &mut trail).await;
    *facts = trail.facts;
    if let Some(agent) = trail.agent {
        // Nothing is there yet: the request names its client.
        drop(request.shown.set(agent));
    }
    let Granted { token, expires_in, scope, .. } = leased?;
    let mut members = token.members();
    members.remove("scope");
    members.extend(facts.approval.clone().map(|id| ("approval".to_owned(), id.into())));
    Ok(TokenResponse {
        access_token: token.access_token.expose().clone(),
        issued_token_type: Some(ACCESS_TOKEN),
        token_type: "Bearer",
        expires_in: token.expiry().and(u32::try_from(expires_in).ok()),
        scope,
        authorization_details: vec![],
        refresh_token: None,
        id_token: None,
        members,
    })
}
