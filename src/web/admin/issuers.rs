//! `admin/issuers`: outside issuers whose assertions count in this tenant.
//!
//! 1. Two issuers of a tenant never have one `issuer`; the tenant's own is taken.
//! 2. What trusts an issuer names it by its `issuer`: once that changes, or the issuer is removed, nothing it says counts.

use super::{body, changes, check_slug, created, expect_if_sent, expect_version, item, page};
use crate::audit;
use crate::context::{Change, Cx};
use crate::directory::issuers::IssuerKey;
use crate::error::{Fault, Reason, Result};
use crate::federation::presets;
use crate::model::event::Facts;
use crate::model::{EventType, Issuer, IssuerBody};
use crate::store;
use crate::web::{Call, Response};
use serde::Serialize;

#[derive(Serialize)]
struct View {
    id: String,
    #[serde(flatten)]
    body: IssuerBody,
    created_at: i64,
    updated_at: i64,
}

fn view(issuer: Issuer) -> View {
    let Issuer { id, body, created_at, updated_at, .. } = issuer;
    View { id, body, created_at, updated_at }
}

async fn find(cx: &Cx<'_>, id: &str) -> Result<Issuer> {
    cx.one(store::issuers::get(&cx.tenant.id, id)).await?.ok_or_else(|| Reason::NotFound.into())
}

fn read(call: Call<'_>) -> Result<(IssuerBody, String)> {
    let issuer: IssuerBody = body(call)?;
    presets::check(call.cx.config, &issuer).map_err(|problem| Reason::InvalidField.because(problem))?;
    if issuer.issuer == call.cx.issuer() {
        return Err(Reason::Conflict.because("`issuer` is this tenant itself"));
    }
    let json = serde_json::to_string(&issuer).map_err(|_| Fault::Broken("an issuer has no JSON"))?;
    Ok((issuer, json))
}

fn facts(id: &str, detail: String) -> Facts {
    Facts { target: Some(id.to_owned()), detail: Some(detail), ..Facts::default() }
}

/// Lists issuers by id.
pub async fn list(call: Call<'_>) -> Result<Response> {
    let page = page(call)?;
    let found = call.cx.all(store::issuers::list(&call.cx.tenant.id, page.after(), page.rows())).await?;
    Ok(page.of(found, |issuer| (issuer.id.clone(), view(issuer))))
}

/// Registers an issuer, under the id that the body chooses or under a new one.
pub async fn create(call: Call<'_>) -> Result<Response> {
    let (cx, now) = (call.cx, call.cx.now.seconds());
    let (body, json) = read(call)?;
    let id = body.id.clone().unwrap_or_else(|| cx.new_id());
    check_slug("id", &id)?;
    let event = audit::event(cx, EventType::IssuerCreated, Some(call.admin()?), facts(&id, body.issuer.clone()));
    let guard = store::issuers::insert(&cx.tenant.id, &id, &body, json, now);
    if !cx.commit(Change::guard(guard).invalidates(&IssuerKey(&body.issuer)).event(event)).await? {
        return Err(Reason::Conflict.into());
    }
    let path = ["issuers/", &id].concat();
    Ok(created(call, &path, &View { id, body, created_at: now, updated_at: now }, 1))
}

/// Shows an issuer.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let issuer = find(call.cx, call.id(0)?).await?;
    let version = issuer.version;
    Ok(item(200, &view(issuer), version))
}

/// Replaces an issuer; its id stays.
pub async fn put(call: Call<'_>) -> Result<Response> {
    let (cx, now, id) = (call.cx, call.cx.now.seconds(), call.id(0)?);
    let (body, json) = read(call)?;
    if body.id.as_deref().is_some_and(|sent| sent != id) {
        return Err(Reason::InvalidField.because("`id` cannot change"));
    }
    let present = find(cx, id).await?;
    expect_version(call, present.version)?;
    let facts = facts(id, changes(&present.body, &body));
    let event = audit::event(cx, EventType::IssuerUpdated, Some(call.admin()?), facts);
    let guard = store::issuers::update(&cx.tenant.id, (id, present.version), &body, json, now);
    let change = Change::guard(guard)
        .invalidates(&IssuerKey(&present.body.issuer))
        .invalidates(&IssuerKey(&body.issuer))
        .event(event);
    if !cx.commit(change).await? {
        // Either another change came first, or another issuer has this `iss`.
        return Err(match find(cx, id).await?.version == present.version {
            true => Reason::Conflict.because("another issuer has this `issuer`"),
            false => Reason::PreconditionFailed.into(),
        });
    }
    let issuer = Issuer { id: id.to_owned(), body, created_at: present.created_at, updated_at: now, version: 0 };
    Ok(item(200, &view(issuer), present.version.saturating_add(1)))
}

/// Removes an issuer; nothing that it says counts any more.
pub async fn delete(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    let issuer = find(cx, call.id(0)?).await?;
    expect_if_sent(call, issuer.version)?;
    let facts = facts(&issuer.id, issuer.body.issuer.clone());
    let event = audit::event(cx, EventType::IssuerDeleted, Some(call.admin()?), facts);
    let guard = store::issuers::delete(&cx.tenant.id, &issuer.id, issuer.version);
    match cx.commit(Change::guard(guard).invalidates(&IssuerKey(&issuer.body.issuer)).event(event)).await? {
        true => Ok(Response::empty(204)),
        false => Err(Reason::PreconditionFailed.into()),
    }
}
