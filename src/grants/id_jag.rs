//! Identity Assertion Authorization Grants, both ways (draft-ietf-oauth-identity-assertion-authz-grant).
//!
//! [`grant`] issues one by token exchange: a user whom Writ knows is taken to a resource that another authorization server
//! guards. [`redeem`] takes one: a user whom an identity provider knows comes to a resource that Writ guards.
//!
//! 1. One is issued only for a registered pair of authorization server (`audience`) and resource, to a client that has
//!    authenticated, about a user; never an access token for such a resource. `client_id` is the client's name here.
//! 2. One is taken only if its issuer is registered for it, `aud` is our issuer, `client_id` is the client that has
//!    authenticated, and `jti` has not been used; `resource` has to be registered here.
//! 3. Neither comes with a refresh token.

use super::issue::{self, Order, Wish};
use super::jwt_bearer::{self, no};
use super::token_exchange::{self, Subject};
use super::{TokenRequest, TokenResponse};
use crate::assertions::{self, KeySource, Wanted};
use crate::cx::Cx;
use crate::error::{Error, Reason, Result};
use crate::model::event::Facts;
use crate::model::{Issuer, id};
use crate::oauth::ResourceUri;
use crate::policy::Action;

/// Its `typ`.
pub const TYPE: &str = "oauth-id-jag+jwt";
/// Its token type, for `requested_token_type` and metadata.
pub const TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:id-jag";
/// The profile of the JWT bearer grant that takes one, for metadata.
pub const PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// Issues one for a verified subject token.
pub async fn grant(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    subject: Subject,
    facts: &mut Facts,
) -> Result<TokenResponse> {
    let (form, caller) = (request.form, request.caller()?);
    let Subject { id, scope, ceiling, origin, .. } = subject;
    if !id::is_user(&id) {
        return Err(Reason::InvalidExchangedToken.because("an ID-JAG is about a user"));
    }
    let audience = form.get("audience").ok_or(Reason::MissingResource)?;
    let mut asked = form.all("resource");
    let resource = match (asked.next(), asked.next()) {
        (Some(text), None) => ResourceUri::parse(text).ok_or(Reason::MalformedResource)?,
        (Some(_), Some(_)) => return Err(Reason::SeveralResources.into()),
        (None, _) => issue::only_resource_of(cx, audience).await?,
    };
    let ceilings = scope.iter().chain(&ceiling).collect();
    let wish = Wish { resource, scope: form.get("scope"), ceilings, authorization_server: Some(audience) };
    let target = issue::target(cx, &caller.client, &wish, facts).await?;
    let order = Order {
        client: &caller.client,
        method: Some(caller.method),
        subject: &id,
        grant_type: token_exchange::GRANT_TYPE,
        // Without an actor too: `client_id` tells the other server who acts, so nobody is impersonated.
        action: Action::Exchange,
        target,
        jkt: request.jkt,
        origin,
    };
    issue::issue_id_jag(cx, order, audience, facts).await
}

/// Takes one of a registered identity provider.
pub async fn redeem(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    (text, issuer): (&str, &Issuer),
    facts: &mut Facts,
) -> Result<TokenResponse> {
    let caller = request.caller()?;
    let audience = [cx.issuer()];
    let keys = KeySource::Issuer(issuer);
    let wanted = Wanted { keys, types: &[TYPE], audience: &audience, single_use: true };
    let assertion = assertions::verify(cx, text, &wanted).await?.map_err(no)?;
    if assertion.text("client_id") != Some(&caller.client.id) {
        return Err(no("it is for another client"));
    }
    let Some(told) = assertion.claims.get("resource") else {
        let wish = Wish::read(request.form, &caller.client, &["resource"])?;
        return jwt_bearer::about_user(cx, request, (issuer, &assertion, wish), facts).await;
    };
    let told = told.as_str().and_then(ResourceUri::parse).ok_or_else(|| no("its `resource` is malformed"))?;
    if !request.form.all("resource").all(|asked| ResourceUri::parse(asked).is_some_and(|asked| asked.is_same(&told))) {
        return Err(no("it is for another resource"));
    }
    let wish = Wish { resource: told, scope: request.form.get("scope"), ceilings: vec![], authorization_server: None };
    match jwt_bearer::about_user(cx, request, (issuer, &assertion, wish), facts).await {
        Err(Error::Refused(refusal)) if refusal.reason == Reason::UnknownResource => {
            Err(no("its `resource` is not registered here, or not for this client"))
        }
        other => other,
    }
}
