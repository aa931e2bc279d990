//! Resources: finding, registering, changing and removing them.
//!
//! 1. Two resources of a tenant never have one URI, whatever its spelling; the URIs of the tenant's own APIs are taken.
//! 2. A resource that clients name is neither removed nor given another URI.

use super::{Creation, LOOKED_FOR, changes, unreferenced};
use crate::audit;
use crate::context::cache::key;
use crate::context::{Change, Cx};
use crate::error::{Fault, Reason, Result};
use crate::model::event::Facts;
use crate::model::{EventType, Resource, ResourceBody, id};
use crate::oauth::ResourceUri;
use crate::store;
use std::rc::Rc;

key!(
    /// A resource by the canonical form of its URI.
    ResourceKey(uri) -> Resource = "resource", weighs Resource::weight
);

key!(
    /// A resource by its id.
    ResourceIdKey(id) -> Resource = "resource-id", weighs Resource::weight
);

key!(
    /// The first resources by id: what metadata lists.
    FirstResourcesKey -> Vec<Resource> = "first-resources", weighs |all| all.iter().map(Resource::weight).sum()
);

/// How many resources metadata lists.
const LISTED: i64 = 100;

/// Adds all keys under which a resource is cached.
pub fn invalidates(change: Change, id: &str, body: &ResourceBody) -> Change {
    change
        .invalidates(&ResourceKey(body.resource.canonical()))
        .invalidates(&ResourceIdKey(id))
        .invalidates(&FirstResourcesKey)
}

/// The resource of that id, at most as old as the freshness bound.
pub async fn get(cx: &Cx<'_>, id: &str) -> Result<Option<Rc<Resource>>> {
    if !id::is_plausible(id) {
        return Ok(None);
    }
    cx.cached(&ResourceIdKey(id), async || cx.one(store::resources::get(&cx.tenant.id, id)).await).await
}

/// The first resources by id, at most as old as the freshness bound.
pub async fn first(cx: &Cx<'_>) -> Result<Rc<Vec<Resource>>> {
    let read = async || cx.all(store::resources::list(&cx.tenant.id, "", LISTED)).await.map(Some);
    Ok(cx.cached(&FirstResourcesKey, read).await?.unwrap_or_default())
}

/// The URI of the one resource that a request without `resource` can mean: the only one that the tenant guards itself and that has one of these
/// scopes, or the only one where none is named. Nothing where there are several, or none among the first.
pub async fn implied(cx: &Cx<'_>, scopes: &str) -> Result<Option<ResourceUri>> {
    let first = first(cx).await?;
    let has = |name: &str| scopes.is_empty() || scopes.split(' ').any(|scope| scope == name);
    let mut meant = first.iter().filter(|resource| {
        resource.body.authorization_server.is_none() && resource.body.scopes.iter().any(|scope| has(&scope.name))
    });
    Ok(meant.next().filter(|_| meant.next().is_none()).map(|resource| resource.body.resource.clone()))
}

/// The registered resource that `uri` names, at most as old as the freshness bound.
pub async fn load(cx: &Cx<'_>, uri: &ResourceUri) -> Result<Option<Rc<Resource>>> {
    let read = async || {
        let built_in = Resource::built_in(&cx.issuer()).into_iter().flatten();
        if let Some(own) = built_in.into_iter().find(|own| own.body.resource.is_same(uri)) {
            return Ok(Some(own));
        }
        cx.one(store::resources::by_uri(&cx.tenant.id, uri.canonical())).await
    };
    Ok(cx.cached(&ResourceKey(uri.canonical()), read).await?.inspect(|resource| note(cx, &resource.body)))
}

fn note(cx: &Cx<'_>, body: &ResourceBody) {
    cx.note_name(body.resource.as_str(), &body.name);
}

/// The only resource that the authorization server guards.
pub async fn only_one_of(cx: &Cx<'_>, server: &str) -> Result<ResourceUri> {
    let mut resources = cx.all(store::resources::guarded_by(&cx.tenant.id, server)).await?;
    match (resources.pop(), resources.pop()) {
        (None, _) => Err(Reason::UnknownResource.into()),
        (Some(only), None) => Ok(only.body.resource),
        _ => Err(Reason::MissingResource.into()),
    }
}

/// The resource of that id as it is stored now.
pub async fn find(cx: &Cx<'_>, id: &str) -> Result<Resource> {
    cx.one(store::resources::get(&cx.tenant.id, id)).await?.ok_or_else(|| Reason::NotFound.into())
}

/// A resource that is about to be registered, under the id that the body chooses or under a new one.
pub fn create(cx: &Cx<'_>, body: ResourceBody, by: &str) -> Result<Creation<Resource>> {
    not_built_in(cx, &body)?;
    let (id, now) = (body.id.clone().unwrap_or_else(|| cx.new_id()), cx.now.seconds());
    let event = audit::event(cx, EventType::ResourceCreated, Some(by), facts(cx, (&id, &body), &body, None));
    let guard = store::resources::insert(&cx.tenant.id, &id, &body, json(&body)?, now);
    let change = invalidates(Change::guard(guard), &id, &body).event(event);
    let resource = Resource { id, body, version: 1, created_at: now, updated_at: now };
    Ok(Creation::new(resource, change, "another resource has this `id` or this `resource`"))
}

/// Gives a resource another body; its id stays.
pub async fn update(cx: &Cx<'_>, present: Resource, body: ResourceBody, by: &str) -> Result<Resource> {
    let body = ResourceBody { id: present.body.id.clone(), ..body };
    if present.body == body {
        return Ok(present);
    }
    not_built_in(cx, &body)?;
    if !present.body.resource.is_same(&body.resource) {
        unnamed(cx, &present, "the present `resource`").await?;
    }
    let facts = facts(cx, (&present.id, &present.body), &body, Some(changes(&present.body, &body)));
    let event = audit::event(cx, EventType::ResourceUpdated, Some(by), facts);
    let (at, now) = ((present.id.as_str(), present.version), cx.now.seconds());
    let guard = store::resources::update(&cx.tenant.id, at, &body, json(&body)?, now);
    let change = invalidates(Change::guard(guard), &present.id, &present.body);
    let change = invalidates(change, &present.id, &body).event(event);
    if !cx.commit(change).await? {
        return Err(match find(cx, &present.id).await?.version == present.version {
            true => Reason::Conflict.because("another resource has this `resource`"),
            false => Reason::PreconditionFailed.into(),
        });
    }
    Ok(Resource { body, version: present.version.saturating_add(1), updated_at: now, ..present })
}

/// Refuses to go on while clients name the resource, in whatever spelling; the refusal calls it `what`.
async fn unnamed(cx: &Cx<'_>, present: &Resource, what: &str) -> Result<()> {
    let uri = &present.body.resource;
    let with_slash = [uri.canonical(), "/"].concat();
    let spellings = [uri.as_str(), uri.canonical(), &with_slash];
    unreferenced(cx.all(store::clients::naming_resource(&cx.tenant.id, spellings, LOOKED_FOR)).await?, what)
}

/// Removes a resource that no client names.
pub async fn delete(cx: &Cx<'_>, present: &Resource, by: &str) -> Result<()> {
    unnamed(cx, present, "this resource").await?;
    let facts = facts(cx, (&present.id, &present.body), &present.body, None);
    let event = audit::event(cx, EventType::ResourceDeleted, Some(by), facts);
    let guard = store::resources::delete(&cx.tenant.id, &present.id, present.version);
    let change = invalidates(Change::guard(guard), &present.id, &present.body).event(event);
    match cx.commit(change).await? {
        true => Ok(()),
        false => Err(Reason::PreconditionFailed.into()),
    }
}

fn json(body: &ResourceBody) -> Result<String> {
    serde_json::to_string(body).map_err(|_| Fault::Broken("a resource has no JSON").into())
}

fn not_built_in(cx: &Cx<'_>, body: &ResourceBody) -> Result<()> {
    let built_in = Resource::built_in(&cx.issuer()).ok_or(Fault::Broken("an issuer is no URI"))?;
    match built_in.iter().any(|own| own.body.resource.is_same(&body.resource)) {
        true => Err(Reason::Conflict
            .because("`resource` is the URI of the admin API, of event streams, of connections or of reports")),
        false => Ok(()),
    }
}

/// What an event tells of a resource as it was until then, and of the URI that it has from then on.
fn facts(cx: &Cx<'_>, (id, before): (&str, &ResourceBody), after: &ResourceBody, detail: Option<String>) -> Facts {
    note(cx, after);
    let (target, target_name) = (Some(id.to_owned()), Some(before.name.clone()));
    Facts { target, target_name, resource: Some(after.resource.to_string()), detail, ..Facts::default() }
}
