//! `admin/resources`: protected APIs and MCP servers, with their scopes.
//!
//! 1. Two resources of a tenant never have one URI, whatever its spelling; the URI of the admin API is taken.

use super::{body, changes, check_slug, created, expect_if_sent, expect_version, item, page};
use crate::audit;
use crate::context::{Change, Cx};
use crate::directory::resources::ResourceKey;
use crate::error::{Fault, Reason, Result};
use crate::model::event::Facts;
use crate::model::{EventType, Resource, ResourceBody};
use crate::store;
use crate::web::{Call, Response};
use serde::Serialize;

#[derive(Serialize)]
struct View {
    id: String,
    #[serde(flatten)]
    body: ResourceBody,
    created_at: i64,
    updated_at: i64,
}

fn view(resource: Resource) -> View {
    let Resource { id, body, created_at, updated_at, .. } = resource;
    View { id, body, created_at, updated_at }
}

async fn find(cx: &Cx<'_>, id: &str) -> Result<Resource> {
    cx.one(store::resources::get(&cx.tenant.id, id)).await?.ok_or_else(|| Reason::NotFound.into())
}

fn read(call: Call<'_>) -> Result<(ResourceBody, String)> {
    let resource: ResourceBody = body(call)?;
    resource.check().map_err(|problem| Reason::InvalidField.because(problem))?;
    let built_in = Resource::built_in(&call.cx.issuer()).ok_or(Fault::Broken("an issuer is no URI"))?;
    if built_in.iter().any(|own| own.body.resource.is_same(&resource.resource)) {
        return Err(Reason::Conflict.because("`resource` is the URI of the admin API or of event streams"));
    }
    let json = serde_json::to_string(&resource).map_err(|_| Fault::Broken("a resource has no JSON"))?;
    Ok((resource, json))
}

fn facts(id: &str, resource: &ResourceBody, detail: Option<String>) -> Facts {
    let uri = resource.resource.to_string();
    Facts { target: Some(id.to_owned()), resource: Some(uri), detail, ..Facts::default() }
}

/// Lists resources by id.
pub async fn list(call: Call<'_>) -> Result<Response> {
    let page = page(call)?;
    let found = call.cx.all(store::resources::list(&call.cx.tenant.id, page.after(), page.rows())).await?;
    Ok(page.of(found, |resource| (resource.id.clone(), view(resource))))
}

/// Registers a resource, under the id that the body chooses or under a new one.
pub async fn create(call: Call<'_>) -> Result<Response> {
    let (cx, now) = (call.cx, call.cx.now.seconds());
    let (body, json) = read(call)?;
    let id = body.id.clone().unwrap_or_else(|| cx.new_id());
    check_slug("id", &id)?;
    let event = audit::event(cx, EventType::ResourceCreated, Some(call.admin()?), facts(&id, &body, None));
    let guard = store::resources::insert(&cx.tenant.id, &id, &body, json, now);
    if !cx.commit(Change::guard(guard).invalidates(&ResourceKey(body.resource.canonical())).event(event)).await? {
        return Err(Reason::Conflict.into());
    }
    let path = format!("resources/{id}");
    Ok(created(call, &path, &View { id, body, created_at: now, updated_at: now }, 1))
}

/// Shows a resource.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let resource = find(call.cx, call.id(0)?).await?;
    let version = resource.version;
    Ok(item(200, &view(resource), version))
}

/// Replaces a resource; its id stays.
pub async fn put(call: Call<'_>) -> Result<Response> {
    let (cx, now, id) = (call.cx, call.cx.now.seconds(), call.id(0)?);
    let (body, json) = read(call)?;
    if body.id.as_deref().is_some_and(|sent| sent != id) {
        return Err(Reason::InvalidField.because("`id` cannot change"));
    }
    let present = find(cx, id).await?;
    expect_version(call, present.version)?;
    let facts = facts(id, &body, Some(changes(&present.body, &body)));
    let event = audit::event(cx, EventType::ResourceUpdated, Some(call.admin()?), facts);
    let guard = store::resources::update(&cx.tenant.id, (id, present.version), &body, json, now);
    let change = Change::guard(guard)
        .invalidates(&ResourceKey(present.body.resource.canonical()))
        .invalidates(&ResourceKey(body.resource.canonical()))
        .event(event);
    if !cx.commit(change).await? {
        // Either another change came first, or another resource has this URI.
        return Err(match find(cx, id).await?.version == present.version {
            true => Reason::Conflict.because("another resource has this `resource`"),
            false => Reason::PreconditionFailed.into(),
        });
    }
    let resource = Resource { id: id.to_owned(), body, created_at: present.created_at, updated_at: now, version: 0 };
    Ok(item(200, &view(resource), present.version.saturating_add(1)))
}

/// Removes a resource; no more tokens are issued for it.
pub async fn delete(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    let resource = find(cx, call.id(0)?).await?;
    expect_if_sent(call, resource.version)?;
    let facts = facts(&resource.id, &resource.body, None);
    let event = audit::event(cx, EventType::ResourceDeleted, Some(call.admin()?), facts);
    let guard = store::resources::delete(&cx.tenant.id, &resource.id, resource.version);
    match cx
        .commit(Change::guard(guard).invalidates(&ResourceKey(resource.body.resource.canonical())).event(event))
        .await?
    {
        true => Ok(Response::empty(204)),
        false => Err(Reason::PreconditionFailed.into()),
    }
}
