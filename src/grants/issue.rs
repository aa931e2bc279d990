//! The one place where access tokens are minted (RFC 9068).
//!
//! 1. Scope is requested ∩ registered for the resource ∩ the client's ceiling ∩ policy; the answer says what is left, and
//!    nothing left is `invalid_scope` (RFC 6749 §5.2).
//! 2. One resource per token; `aud` is the registered string (RFC 8707 §2, RFC 9068 §3). An unknown resource and one that
//!    the client may not ask for are told apart by nobody.
//! 3. The event is durable before the token leaves; both are made at the same time.

use super::TokenResponse;
use crate::audit;
use crate::crypto::{nonce, sha256};
use crate::cx::Cx;
use crate::error::{Fault, Reason, Result};
use crate::jose::{AccessToken, Unsigned};
use crate::keys;
use crate::model::event::Facts;
use crate::model::{AuthMethod, Client, EventType, Resource};
use crate::oauth::{Form, ResourceUri, Scope};
use crate::policies;
use crate::policy::{Action, Circumstance, Target as PolicyTarget, Verdict};
use crate::store;
use futures_util::future::join;
use std::rc::Rc;

/// What a token is asked for: the resource, and the scope within the client's own ceiling.
pub struct Target {
    resource: Rc<Resource>,
    scope: Scope,
}

/// A token that is to be minted if policy agrees.
pub struct Order<'a> {
    /// Who gets it.
    pub client: &'a Client,
    /// How it authenticated.
    pub method: AuthMethod,
    /// Whom it is about.
    pub subject: &'a str,
    /// Which grant asks.
    pub grant_type: &'static str,
    /// What for.
    pub target: Target,
}

/// Reads `resource` and `scope` and narrows them to what is registered and within the client's ceiling.
pub async fn target(cx: &Cx<'_>, form: &Form, client: &Client, facts: &mut Facts) -> Result<Target> {
    let asked = form.get("scope");
    facts.scope_asked = asked.filter(|text| text.len() <= 1024).map(str::to_owned);
    let asked = asked.map(|text| Scope::parse(text).ok_or(Reason::MalformedScope)).transpose()?;
    let uri = wanted_resource(form, client)?;
    let resource = resource(cx, &uri).await?.filter(|_| client.may_ask_for(&uri)).ok_or(Reason::UnknownResource)?;
    facts.resource = Some(resource.body.resource.to_string());
    let registered: Scope = resource.body.scopes.iter().map(|scope| scope.name.as_str()).collect();
    let wanted = asked.map_or_else(|| registered.clone(), |asked| asked.narrowed(|scope| registered.contains(scope)));
    let scope = wanted.narrowed(|scope| client.may_have(scope));
    match scope.is_empty() {
        true => Err(Reason::NoScopeLeft.into()),
        false => Ok(Target { resource, scope }),
    }
}

/// The one resource that is meant: the one asked for, or the only one that the client may ask for.
fn wanted_resource(form: &Form, client: &Client) -> Result<ResourceUri> {
    let mut asked = form.all("resource");
    match (asked.next(), asked.next()) {
        (Some(text), None) => ResourceUri::parse(text).ok_or_else(|| Reason::MalformedResource.into()),
        (Some(_), Some(_)) => Err(Reason::SeveralResources.into()),
        (None, _) => match client.metadata.allowed_resources.as_deref() {
            Some([only]) => Ok(only.clone()),
            _ => Err(Reason::MissingResource.into()),
        },
    }
}

/// The registered resource that `uri` names, at most as old as the freshness bound.
async fn resource(cx: &Cx<'_>, uri: &ResourceUri) -> Result<Option<Rc<Resource>>> {
    let load = async || {
        if let Some(admin) = Resource::admin(&cx.issuer()).filter(|admin| admin.body.resource.is_same(uri)) {
            return Ok(Some(admin));
        }
        let outcomes = cx.batch(vec![store::resources::by_uri(&cx.tenant.id, uri.meeting_form())]).await?;
        store::single(&outcomes).map(|row| store::resources::read(&row)).transpose()
    };
    cx.cached(&format!("resource/{}", uri.meeting_form()), load).await
}

/// Asks policy, then signs the token and records its event at the same time.
pub async fn issue(cx: &Cx<'_>, order: Order<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let Order { client, method, subject, grant_type, target } = order;
    let circumstance = Circumstance {
        grant_type: Some(grant_type.to_owned()),
        auth_method: Some(method.as_str().to_owned()),
        ..policies::circumstance(cx)
    };
    let targets = as_policy_targets(&target);
    let verdicts = policies::ask(cx, Action::Issue, client, (&targets, &circumstance), facts).await?;
    let granted = decide(&target, &verdicts);
    let Some(Granted { scope, lifetime }) = granted else {
        return Err(Reason::NoScopeLeft.decided(facts.decision.clone().unwrap_or_default()));
    };

    let alg = target.resource.body.token_signing_alg;
    let keys = keys::all(cx).await?;
    let key = keys.current(alg).ok_or(Fault::Unavailable("a signing key"))?;
    let private = key.as_private().ok_or(Fault::Broken("this Worker has no signing key"))?;
    let iat = cx.now.seconds();
    let exp = iat.saturating_add(lifetime.into());
    let claims = AccessToken {
        iss: cx.issuer(),
        sub: subject.to_owned(),
        aud: target.resource.body.resource.to_string(),
        client_id: client.id.clone(),
        scope: scope.to_string(),
        jti: nonce(&*cx.world.entropy),
        tenant: cx.tenant.id.clone(),
        act: None,
    };
    facts.subject = Some(claims.sub.clone());
    facts.scope_given = Some(claims.scope.clone());
    facts.jti_hash = Some(sha256(&claims.jti).to_text());
    facts.expires_at = Some(exp);
    let event = audit::event(cx, EventType::TokenIssued, Some(&client.id), facts.clone());
    let token = Unsigned::new(alg, "at+jwt", key.public.kid(), &claims, (iat, exp))
        .ok_or(Fault::Broken("an access token has no JSON"))?;
    let (signature, recorded) = join(cx.world.keys.sign(private, token.input()), audit::record(cx, &event)).await;
    recorded?;
    let access_token = token.signed(&signature?);
    Ok(TokenResponse { access_token, token_type: "Bearer", expires_in: lifetime, scope: claims.scope })
}

fn as_policy_targets(target: &Target) -> Vec<PolicyTarget> {
    let resource = &target.resource.body;
    let tool = |name: &str| resource.scopes.iter().find(|scope| scope.name == name)?.tool.clone();
    target
        .scope
        .iter()
        .map(|name| PolicyTarget::Scope {
            resource: resource.resource.to_string(),
            name: name.to_owned(),
            tool: tool(name),
        })
        .collect()
}

struct Granted {
    scope: Scope,
    lifetime: u32,
}

/// What is left of the target after policy; the shortest `@ttl` of what was permitted bounds the life of the token.
fn decide(target: &Target, verdicts: &[Verdict]) -> Option<Granted> {
    let permitted =
        || target.scope.iter().zip(verdicts).filter(|(_, verdict)| verdict.allow && verdict.require.is_empty());
    let scope: Scope = permitted().map(|(name, _)| name).collect();
    let lifetime = permitted().filter_map(|(_, verdict)| u32::try_from(verdict.ttl?).ok()).min();
    let longest = target.resource.body.access_token_lifetime;
    (!scope.is_empty()).then(|| Granted { scope, lifetime: lifetime.map_or(longest, |ttl| ttl.min(longest)) })
}
