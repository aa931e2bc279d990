//! The target of a token: one resource, and the requested scope within registration and ceilings.
//!
//! 1. Scope is requested ∩ registered for the resource ∩ the client's ceiling ∩ the other ceilings (RFC 6749 §3.3).
//!    Requested scope that is not given is in the event with its cause.
//! 2. A tenant's own APIs (`admin`, `ssf`) are reached only by a client whose `allowed_resources` names them, and received only by one
//!    whose `serves` names them: whichever grant, whatever policy permits.
//! 3. One resource per token (RFC 8707 §2). An unknown resource and one that the client may not request get one answer.

use crate::context::Cx;
use crate::directory::resources;
use crate::error::{Reason, Result};
use crate::model::event::{Because, Facts};
use crate::model::{Client, Resource};
use crate::oauth::{Parameters, ResourceUri, Scope};
use std::rc::Rc;

/// The resource and the scope of a request.
pub struct Requested<'a> {
    /// The resource.
    pub resource: ResourceUri,
    /// The scope; absent: all scopes of the resource.
    pub scope: Option<&'a str>,
    /// Ceilings besides the client's own.
    pub ceilings: Vec<&'a Scope>,
    /// The authorization server that guards the resource; absent: this one.
    pub authorization_server: Option<&'a str>,
}

impl<'a> Requested<'a> {
    /// Reads `scope` and the resource. Each parameter of `names` may name the resource; several have to name the same one. Without
    /// any, it is the only resource that the client may ask for.
    pub fn read(form: Parameters<'a>, client: &Client, names: &[&str]) -> Result<Self> {
        let resource = wanted_resource(form, client, names)?;
        Ok(Self { resource, scope: form.get("scope"), ceilings: vec![], authorization_server: None })
    }
}

/// The target of a token: the resource, and the scope within all ceilings.
pub struct Target {
    /// The resource.
    pub resource: Rc<Resource>,
    /// The scope; never empty.
    pub scope: Scope,
}

/// Narrows the requested scope to what is registered for the resource and within all ceilings.
pub async fn target(cx: &Cx<'_>, client: &Client, requested: &Requested<'_>, facts: &mut Facts) -> Result<Target> {
    facts.scope_asked = requested.scope.filter(|text| text.len() <= 1024).map(str::to_owned);
    let asked = requested.scope.map(|text| Scope::parse(text).ok_or(Reason::MalformedScope)).transpose()?;
    let found = resources::load(cx, &requested.resource).await?.filter(|found| {
        client.may_ask_for(found) && found.body.authorization_server.as_deref() == requested.authorization_server
    });
    let resource = found.ok_or(Reason::UnknownResource)?;
    facts.resource = Some(resource.body.resource.to_string());
    let registered: Scope = resource.body.scopes.iter().map(|scope| scope.name.as_str()).collect();
    let below = |scope: &str| requested.ceilings.iter().all(|ceiling| ceiling.contains(scope));
    let cause = |scope: &str| match registered.contains(scope) {
        false => Some(Because::NotRegistered),
        true => (!client.may_have(scope) || !below(scope)).then_some(Because::Ceiling),
    };
    let wanted = asked.as_ref().unwrap_or(&registered);
    let scope = wanted.narrowed(|scope| cause(scope).is_none());
    // A client that names no scope takes what there is: the event says what it does not get only if that is everything.
    if asked.is_some() || scope.is_empty() {
        let refused = wanted.iter().filter_map(|scope| Some((scope, cause(scope)?)));
        refused.for_each(|(scope, because)| facts.refuse_scope(scope, because, &[]));
    }
    match (scope.is_empty(), wanted.iter().any(|scope| registered.contains(scope))) {
        (false, _) => Ok(Target { resource, scope }),
        (true, true) => Err(Reason::ScopeBeyondCeiling.into()),
        (true, false) => Err(Reason::UnknownScope.into()),
    }
}

/// Whether the client receives tokens with this `aud`.
pub fn serves(cx: &Cx<'_>, client: &Client, aud: &str) -> bool {
    let Some(uri) = ResourceUri::parse(aud) else { return false };
    let mut own = Resource::built_in(&cx.issuer()).into_iter().flatten();
    client.serves(&uri, own.any(|own| own.body.resource.is_same(&uri)))
}

/// The requested resource, or the only one that the client may ask for.
fn wanted_resource(form: Parameters<'_>, client: &Client, names: &[&str]) -> Result<ResourceUri> {
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
