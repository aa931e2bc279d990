//! The one place where tokens are minted: access tokens (RFC 9068), and ID-JAGs for other authorization servers.
//!
//! 1. Scope is requested ∩ registered for the resource ∩ the client's ceiling ∩ policy; the answer says what is left, and
//!    nothing left is `invalid_scope` (RFC 6749 §5.2).
//! 2. One resource per token; `aud` is the registered string (RFC 8707 §2, RFC 9068 §3). An unknown resource and one that
//!    the client may not ask for are told apart by nobody.
//! 3. The event is durable before the token leaves; both are made at the same time.
//! 4. What a token is made from bounds its life, and whoever is in its chain has been asked about at the gate.

use super::TokenResponse;
use crate::audit;
use crate::crypto::{nonce, sha256};
use crate::cx::Cx;
use crate::error::{Fault, Reason, Result};
use crate::gate::{self, Parties};
use crate::jose::{AccessToken, Actor, Confirmation, IdJag, MayAct, StatusClaim, StatusReference, Unsigned};
use crate::keys;
use crate::model::event::Facts;
use crate::model::{AuthMethod, Client, EventType, Resource, User};
use crate::oauth::{Form, ResourceUri, Scope};
use crate::policies;
use crate::policy::{Action, Circumstance, Target as PolicyTarget, Verdict};
use crate::store::{self, Reader};
use futures_util::future::join;
use serde::Serialize;
use std::rc::Rc;

/// How long an ID-JAG lives at most, in seconds (draft-ietf-oauth-identity-assertion-authz-grant: minutes).
const ID_JAG_SECONDS: u32 = 300;

/// What the form asks for.
pub struct Wish<'a> {
    /// The resource.
    pub resource: ResourceUri,
    /// The scope; absent: all that there is.
    pub scope: Option<&'a str>,
    /// Ceilings besides the client's own.
    pub ceilings: Vec<&'a Scope>,
    /// The authorization server that guards the resource; absent: this one.
    pub authorization_server: Option<&'a str>,
}

impl<'a> Wish<'a> {
    /// Reads `scope` and the resource, which one of the parameters called `names` tells; if several do they have to mean one.
    /// If none does the only one is meant that the client may ask for.
    pub fn read(form: &'a Form, client: &Client, names: &[&str]) -> Result<Self> {
        let resource = wanted_resource(form, client, names)?;
        Ok(Self { resource, scope: form.get("scope"), ceilings: vec![], authorization_server: None })
    }
}

/// What a token is asked for: the resource, and the scope within the client's own ceiling.
pub struct Target {
    resource: Rc<Resource>,
    scope: Scope,
}

/// A token that is to be minted if policy agrees.
pub struct Order<'a> {
    /// Who gets it.
    pub client: &'a Client,
    /// How it authenticated; nothing for a client that only an assertion told of.
    pub method: Option<AuthMethod>,
    /// Whom it is about: the client itself, or a user.
    pub subject: &'a str,
    /// Which grant asks.
    pub grant_type: &'static str,
    /// What policy is asked.
    pub action: Action,
    /// What for.
    pub target: Target,
    /// The key that it will be bound to.
    pub jkt: Option<&'a str>,
    /// What it is made from.
    pub origin: Origin,
}

/// What a token is made from; nothing for one that its subject gets itself.
#[derive(Default)]
pub struct Origin {
    /// Who will act, the newest outermost.
    pub act: Option<Actor>,
    /// Digests of the `jti` of the tokens that it is made from, newest first.
    pub lineage: Vec<String>,
    /// When the oldest of them was issued.
    pub issued_at: Option<i64>,
    /// When the first of them expires; no token made from it lives longer.
    pub expires_at: Option<i64>,
    /// Who alone may become the actor of it.
    pub may_act: Option<MayAct>,
    /// How the user authenticated, if the one who knows says so.
    pub acr: Option<String>,
    /// When, in seconds.
    pub auth_time: Option<i64>,
    /// RFC 8693 §2.2.1, for answers that say it.
    pub issued_token_type: Option<&'static str>,
}

impl<'a> Order<'a> {
    /// A client's order for itself.
    pub fn own(client: &'a Client, method: AuthMethod, grant_type: &'static str, target: Target) -> Self {
        let (action, origin) = (Action::Issue, Origin::default());
        Self { client, method: Some(method), subject: &client.id, grant_type, action, target, jkt: None, origin }
    }
}

/// Narrows a wish to what is registered and within the client's ceiling and the others.
pub async fn target(cx: &Cx<'_>, client: &Client, wish: &Wish<'_>, facts: &mut Facts) -> Result<Target> {
    facts.scope_asked = wish.scope.filter(|text| text.len() <= 1024).map(str::to_owned);
    let asked = wish.scope.map(|text| Scope::parse(text).ok_or(Reason::MalformedScope)).transpose()?;
    let found = resource(cx, &wish.resource).await?.filter(|found| {
        client.may_ask_for(&wish.resource) && found.body.authorization_server.as_deref() == wish.authorization_server
    });
    let resource = found.ok_or(Reason::UnknownResource)?;
    facts.resource = Some(resource.body.resource.to_string());
    let registered: Scope = resource.body.scopes.iter().map(|scope| scope.name.as_str()).collect();
    let wanted = asked.map_or_else(|| registered.clone(), |asked| asked.narrowed(|scope| registered.contains(scope)));
    let below = |scope: &str| wish.ceilings.iter().all(|ceiling| ceiling.contains(scope));
    let scope = wanted.narrowed(|scope| client.may_have(scope) && below(scope));
    match scope.is_empty() {
        true => Err(Reason::NoScopeLeft.into()),
        false => Ok(Target { resource, scope }),
    }
}

/// The one resource that is meant: the one asked for, or the only one that the client may ask for.
fn wanted_resource(form: &Form, client: &Client, names: &[&str]) -> Result<ResourceUri> {
    let mut wanted: Option<ResourceUri> = None;
    for name in names {
        let mut asked = form.all(name);
        let Some(text) = asked.next() else { continue };
        let uri = ResourceUri::parse(text).ok_or(Reason::MalformedResource)?;
        if asked.next().is_some() || wanted.as_ref().is_some_and(|other| !other.is_same(&uri)) {
            return Err(Reason::SeveralResources.into());
        }
        wanted = Some(uri);
    }
    let only = || match client.metadata.allowed_resources.as_deref() {
        Some([only]) => Some(only.clone()),
        _ => None,
    };
    wanted.or_else(only).ok_or_else(|| Reason::MissingResource.into())
}

/// The only resource that the authorization server guards.
pub async fn only_resource_of(cx: &Cx<'_>, server: &str) -> Result<ResourceUri> {
    let outcomes = cx.batch(vec![store::resources::guarded_by(&cx.tenant.id, server)]).await?;
    let rows: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.rows).collect();
    match rows.as_slice() {
        [] => Err(Reason::UnknownResource.into()),
        [only] => Ok(store::resources::read(&Reader(only))?.body.resource),
        _ => Err(Reason::MissingResource.into()),
    }
}

/// The registered resource that `uri` names, at most as old as the freshness bound.
async fn resource(cx: &Cx<'_>, uri: &ResourceUri) -> Result<Option<Rc<Resource>>> {
    let load = async || {
        let built_in = Resource::built_in(&cx.issuer()).into_iter().flatten();
        if let Some(own) = built_in.into_iter().find(|own| own.body.resource.is_same(uri)) {
            return Ok(Some(own));
        }
        let outcomes = cx.batch(vec![store::resources::by_uri(&cx.tenant.id, uri.meeting_form())]).await?;
        store::single(&outcomes).map(|row| store::resources::read(&row)).transpose()
    };
    cx.cached(&format!("resource/{}", uri.meeting_form()), load).await
}

/// Issues an access token, if nobody in the order has been stopped and policy agrees.
pub async fn issue(cx: &Cx<'_>, order: Order<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let Granted { scope, lifetime } = granted(cx, &order, facts).await?;
    let Order { client, subject, grant_type, target, jkt, origin, .. } = &order;
    let identity = gate::identify(cx, &client.id, subject, grant_type).await?;
    let claims = AccessToken {
        iss: cx.issuer(),
        sub: (*subject).to_owned(),
        aud: target.resource.body.resource.to_string(),
        client_id: client.id.clone(),
        scope: scope.to_string(),
        jti: nonce(&*cx.world.entropy),
        tenant: cx.tenant.id.clone(),
        act: origin.act.clone(),
        may_act: origin.may_act.clone(),
        acr: origin.acr.clone(),
        auth_time: origin.auth_time,
        cnf: jkt.map(confirmation),
        status: Some(status(cx, identity.place)),
        lineage: origin.lineage.clone(),
    };
    facts.scope_given = Some(claims.scope.clone());
    facts.jti_hash = Some(sha256(&claims.jti).to_text());
    let access_token = mint(cx, &order, ("at+jwt", &claims), lifetime, facts).await?;
    Ok(TokenResponse {
        access_token,
        issued_token_type: origin.issued_token_type,
        token_type: if jkt.is_some() { "DPoP" } else { "Bearer" },
        expires_in: lifetime,
        scope: claims.scope,
    })
}

/// Issues an ID-JAG for the authorization server `audience`, if nobody in the order has been stopped and policy agrees.
pub async fn issue_id_jag(cx: &Cx<'_>, order: Order<'_>, audience: &str, facts: &mut Facts) -> Result<TokenResponse> {
    let Granted { scope, lifetime } = granted(cx, &order, facts).await?;
    let lifetime = lifetime.min(ID_JAG_SECONDS);
    let Order { client, subject, grant_type, target, jkt, origin, .. } = &order;
    gate::identify(cx, &client.id, subject, grant_type).await?;
    let claims = IdJag {
        iss: cx.issuer(),
        sub: (*subject).to_owned(),
        aud: audience.to_owned(),
        client_id: client.id.clone(),
        jti: nonce(&*cx.world.entropy),
        resource: target.resource.body.resource.to_string(),
        scope: scope.to_string(),
        act: origin.act.clone(),
        cnf: jkt.map(confirmation),
        acr: origin.acr.clone(),
        auth_time: origin.auth_time,
    };
    facts.scope_given = Some(claims.scope.clone());
    facts.jti_hash = Some(sha256(&claims.jti).to_text());
    facts.target = Some(audience.to_owned());
    let access_token = mint(cx, &order, (super::id_jag::TYPE, &claims), lifetime, facts).await?;
    let issued_token_type = origin.issued_token_type;
    Ok(TokenResponse { access_token, issued_token_type, token_type: "N_A", expires_in: lifetime, scope: claims.scope })
}

/// Signs a token and records its event at the same time.
async fn mint(
    cx: &Cx<'_>,
    Order { client, target, .. }: &Order<'_>,
    (typ, claims): (&str, &impl Serialize),
    lifetime: u32,
    facts: &mut Facts,
) -> Result<String> {
    let alg = target.resource.body.token_signing_alg;
    let keys = keys::all(cx).await?;
    let key = keys.current(alg).ok_or(Fault::Unavailable("a signing key"))?;
    let private = key.as_private().ok_or(Fault::Broken("this Worker has no signing key"))?;
    let iat = cx.now.seconds();
    let exp = iat.saturating_add(lifetime.into());
    facts.expires_at = Some(exp);
    let event = audit::event(cx, EventType::TokenIssued, Some(&client.id), facts.clone());
    let token = Unsigned::new(alg, typ, key.public.kid(), claims, (iat, exp));
    let token = token.ok_or(Fault::Broken("a token has no JSON"))?;
    let (signature, recorded) = join(cx.world.keys.sign(private, token.input()), audit::record(cx, &event)).await;
    recorded?;
    Ok(token.signed(&signature?))
}

fn confirmation(jkt: &str) -> Confirmation {
    Confirmation { jkt: jkt.to_owned() }
}

/// What the order gets: whoever is in it has to have a proof if it needs one, not to have been stopped, and policy's consent.
async fn granted(cx: &Cx<'_>, order: &Order<'_>, facts: &mut Facts) -> Result<Granted> {
    if order.client.metadata.dpop_bound_access_tokens && order.jkt.is_none() {
        return Err(Reason::ProofRequired.into());
    }
    facts.subject = Some(order.subject.to_owned());
    facts.chain = order.origin.act.iter().flat_map(Actor::chain).map(str::to_owned).collect();
    let user = pass(cx, order).await?;
    permitted(cx, order, user.as_deref(), facts).await
}

/// Nobody in the order has been stopped. Answers the user, if it is about one.
async fn pass(cx: &Cx<'_>, Order { client, subject, origin, .. }: &Order<'_>) -> Result<Option<Rc<User>>> {
    let actors: Vec<&str> = origin.act.iter().flat_map(Actor::chain).collect();
    let chain: Vec<&str> = origin.lineage.iter().map(String::as_str).collect();
    let issued_at = origin.issued_at;
    let parties = Parties { client: &client.id, subject, actors: &actors, chain: &chain, issued_at };
    match gate::pass(cx, &parties).await? {
        Ok(standing) => Ok(standing.user),
        Err(why) => Err(Reason::Stopped.because(why)),
    }
}

/// What policy leaves of the order, and for how long.
async fn permitted(cx: &Cx<'_>, order: &Order<'_>, user: Option<&User>, facts: &mut Facts) -> Result<Granted> {
    let Order { client, target, origin, .. } = order;
    let circumstance = Circumstance {
        grant_type: Some(order.grant_type.to_owned()),
        auth_method: order.method.map(|method| method.as_str().to_owned()),
        acr: origin.acr.clone(),
        dpop: order.jkt.is_some(),
        scopes: target.scope.to_vec(),
        chain: facts.chain.clone(),
        chain_tags: policies::shared_tags(cx, &client.id, order.subject, &facts.chain).await?,
        subject: user.map(policies::subject),
        ..policies::circumstance(cx)
    };
    let targets = as_policy_targets(target);
    let mut verdicts = policies::ask(cx, order.action, client, (&targets, &circumstance), facts).await?;
    if order.action == Action::Impersonate {
        // Impersonation is an exchange too, so that what forbids the one forbids the other.
        let others = policies::ask(cx, Action::Exchange, client, (&targets, &circumstance), facts).await?;
        verdicts = verdicts.into_iter().zip(others).map(|(one, other)| both(one, other)).collect();
    }
    let granted = decide(target, &verdicts);
    let mut granted = granted.ok_or_else(|| Reason::NoScopeLeft.decided(facts.decision.clone().unwrap_or_default()))?;
    if let Some(left) = origin.expires_at.map(|exp| exp.saturating_sub(cx.now.seconds())) {
        let left = u32::try_from(left).ok().filter(|left| *left > 0);
        granted.lifetime = granted.lifetime.min(left.ok_or(Reason::Stopped.because("it expires now"))?);
    }
    Ok(granted)
}

fn status(cx: &Cx<'_>, idx: i64) -> StatusClaim {
    StatusClaim { status_list: StatusReference { idx, uri: format!("{}/status-list", cx.issuer()) } }
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

/// The verdict of those who both have to agree.
fn both(one: Verdict, other: Verdict) -> Verdict {
    let ttl = [one.ttl, other.ttl].into_iter().flatten().min();
    let require = [one.require, other.require].concat();
    Verdict { allow: one.allow && other.allow, ttl, require, ..Verdict::default() }
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
