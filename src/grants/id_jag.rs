//! Identity Assertion Authorization Grants, both ways (draft-ietf-oauth-identity-assertion-authz-grant).
//!
//! [`grant`] issues one by token exchange, for a user of Writ at a resource of another authorization server. [`redeem`] takes one, for a
//! user of an identity provider at a resource of Writ.
//!
//! 1. An ID-JAG is issued only for a registered pair of authorization server (`audience`) and resource, to a client that has
//!    authenticated, about a user; never an access token for such a resource. `client_id` is the client's name here.
//! 2. An ID-JAG is taken only if its issuer is registered for it, `aud` is our issuer, `client_id` is the client that has
//!    authenticated, and `jti` has not been used; `resource` has to be registered here.
//! 3. Neither comes with a refresh token. An ID-JAG that rests on an approval lives a minute at the most.

use super::outside::{self, Subject, Taken, invalid_assertion};
use super::request::TokenRequest;
use crate::cedar::Action;
use crate::context::Cx;
use crate::crypto::{nonce, sha256};
use crate::directory::{identities, resources};
use crate::error::{Error, Reason, Result};
use crate::jose::{ID_JAG, IdJag};
use crate::model::event::Facts;
use crate::model::{Issuer, id};
use crate::oauth::ResourceUri;
use crate::tokens::decide::{Decision, decide};
use crate::tokens::mint::{confirmation, mint};
use crate::tokens::{Issuance, Requested, TokenResponse, target};
use serde_json::Map;

/// How long an ID-JAG lives at most, in seconds (draft-ietf-oauth-identity-assertion-authz-grant: minutes).
const ID_JAG_SECONDS: u32 = 300;
/// The same where a person has approved it, or the token that it comes of: the other authorization server does not learn that this was taken back.
const APPROVED_SECONDS: u32 = 60;

/// Its token type, for `requested_token_type` and metadata.
pub const TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:id-jag";
/// The profile of the JWT bearer grant that takes one, for metadata.
pub const PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// Issues an ID-JAG for a verified subject token.
pub async fn grant(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    subject: Subject,
    grant_type: &'static str,
    facts: &mut Facts,
) -> Result<TokenResponse> {
    let (form, caller) = (request.form, request.caller()?);
    let Subject { id, scope, ceiling, rests_on_approval, origin, .. } = subject;
    if !id::is_user(&id) {
        return Err(Reason::InvalidExchangedToken.because("an ID-JAG is about a user"));
    }
    let audience = form.get("audience").ok_or(Reason::MissingResource)?;
    let mut asked = form.all("resource");
    let resource = match (asked.next(), asked.next()) {
        (Some(text), None) => ResourceUri::parse(text).ok_or(Reason::MalformedResource)?,
        (Some(_), Some(_)) => return Err(Reason::SeveralResources.into()),
        (None, _) => resources::only_one_of(cx, audience).await?,
    };
    let ceilings = scope.iter().chain(&ceiling).collect();
    let requested = Requested { resource, scope: form.get("scope"), ceilings, authorization_server: Some(audience) };
    let target = target(cx, &caller.client, &requested, facts).await?;
    let issuance = Issuance {
        client: &caller.client,
        method: Some(caller.method),
        subject: &id,
        grant_type,
        // Without an actor too: `client_id` tells the other server who acts, so nobody is impersonated.
        action: Action::Exchange,
        target,
        jkt: request.jkt(),
        origin,
        workload_claims: &caller.workload_claims,
    };
    issue_id_jag(cx, issuance, (audience, rests_on_approval), facts).await
}

/// Issues an ID-JAG for the authorization server `audience`, if no party of the issuance is stopped and policy permits it.
async fn issue_id_jag(
    cx: &Cx<'_>,
    issuance: Issuance<'_>,
    (audience, rests_on_approval): (&str, bool),
    facts: &mut Facts,
) -> Result<TokenResponse> {
    let Decision { scope, lifetime, approvals, .. } = decide(cx, &issuance, facts).await?;
    let is_approved = rests_on_approval || !approvals.is_empty();
    let lifetime = lifetime.min(if is_approved { APPROVED_SECONDS } else { ID_JAG_SECONDS });
    let Issuance { client, subject, grant_type, target, jkt, origin, .. } = &issuance;
    identities::register(cx, &client.id, subject, grant_type).await?;
    let claims = IdJag {
        iss: cx.issuer(),
        sub: (*subject).to_owned(),
        aud: audience.to_owned(),
        client_id: client.id.clone(),
        jti: nonce(&*cx.world.entropy),
        resource: Some(target.resource.body.resource.to_string()),
        scope: scope.to_string(),
        act: origin.act.clone(),
        cnf: jkt.map(confirmation),
        acr: origin.acr.clone(),
        auth_time: origin.auth_time,
    };
    facts.scope_given = Some(claims.scope.clone());
    facts.jti_hash = Some(sha256(&claims.jti).to_text());
    facts.target = Some(audience.to_owned());
    let access_token = mint(cx, &issuance, (ID_JAG, &claims), lifetime, facts).await?;
    let issued_token_type = origin.issued_token_type;
    Ok(TokenResponse {
        access_token,
        issued_token_type,
        token_type: "N_A",
        expires_in: Some(lifetime),
        scope: claims.scope,
        authorization_details: vec![],
        refresh_token: None,
        id_token: None,
        members: Map::new(),
    })
}

/// Redeems an ID-JAG of a registered identity provider.
pub async fn redeem(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    text: &str,
    issuer: &Issuer,
    facts: &mut Facts,
) -> Result<TokenResponse> {
    let caller = request.caller()?;
    let (types, audience, reason) = (&[ID_JAG], [cx.issuer()], Reason::InvalidAssertion);
    let taken = Taken { issuer, types, audience: &audience, single_use: true, needs_iat: true, reason };
    let outside = outside::verify(cx, request, text, &taken).await?;
    let assertion = &outside.assertion;
    if assertion.text("client_id") != Some(&caller.client.id) {
        return Err(invalid_assertion("it is for another client"));
    }
    let Some(resource) = assertion.claims.get("resource") else {
        let requested = Requested::read(request.form, &caller.client, &["resource"])?;
        return outside::about_user(cx, request, issuer, outside, requested, facts).await;
    };
    let resource = resource
        .as_str()
        .and_then(ResourceUri::parse)
        .ok_or_else(|| invalid_assertion("its `resource` is malformed"))?;
    if !request
        .form
        .all("resource")
        .all(|asked| ResourceUri::parse(asked).is_some_and(|asked| asked.is_same(&resource)))
    {
        return Err(invalid_assertion("it is for another resource"));
    }
    let requested =
        Requested { resource, scope: request.form.get("scope"), ceilings: vec![], authorization_server: None };
    match outside::about_user(cx, request, issuer, outside, requested, facts).await {
        Err(Error::Refused(refusal)) if refusal.reason == Reason::UnknownResource => {
            Err(invalid_assertion("its `resource` is not registered here, or not for this client"))
        }
        other => other,
    }
}
