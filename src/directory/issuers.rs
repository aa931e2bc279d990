//! Trusted outside issuers: finding, registering, changing and removing them.
//!
//! 1. Two issuers of a tenant never have one `issuer`; the tenant's own is taken.
//! 2. What trusts an issuer names it by its `issuer`: an issuer that clients name is neither removed nor given another.

use super::{Creation, changes, unreferenced};
use crate::audit;
use crate::context::cache::key;
use crate::context::{Change, Cx};
use crate::error::{Fault, Reason, Result};
use crate::model::event::Facts;
use crate::model::issuer::WorkloadIdentity;
use crate::model::{EventType, Issuer, IssuerBody};
use crate::store;
use std::rc::Rc;

key!(
    /// A trusted issuer by its `iss`.
    IssuerKey(iss) -> Issuer = "issuer", weighs |_| 4_096
);

key!(
    /// The workload identities that name an `iss`, with their clients.
    WorkloadsKey(iss) -> Vec<(String, WorkloadIdentity)> = "workloads", weighs |all| all.len().saturating_mul(400)
);

/// The registered outside issuer of that `iss`, at most as old as the freshness bound.
pub async fn load(cx: &Cx<'_>, iss: &str) -> Result<Option<Rc<Issuer>>> {
    let read = async || cx.one(store::issuers::by_issuer(&cx.tenant.id, iss)).await;
    cx.cached(&IssuerKey(iss), read).await
}

/// The workload identities that name an issuer, each with its client.
pub async fn workloads(cx: &Cx<'_>, iss: &str) -> Result<Rc<Vec<(String, WorkloadIdentity)>>> {
    let read = async || cx.all(store::issuers::workloads(&cx.tenant.id, iss)).await.map(Some);
    Ok(cx.cached(&WorkloadsKey(iss), read).await?.unwrap_or_default())
}

/// The issuer of that id as it is stored now.
pub async fn find(cx: &Cx<'_>, id: &str) -> Result<Issuer> {
    cx.one(store::issuers::get(&cx.tenant.id, id)).await?.ok_or_else(|| Reason::NotFound.into())
}

/// An issuer that is about to be registered, under the id that the body chooses or under a new one.
pub fn create(cx: &Cx<'_>, body: IssuerBody, by: &str) -> Result<Creation<Issuer>> {
    not_itself(cx, &body)?;
    let (id, now) = (body.id.clone().unwrap_or_else(|| cx.new_id()), cx.now.seconds());
    let event = audit::event(cx, EventType::IssuerCreated, Some(by), facts(&id, &body, body.issuer.clone()));
    let guard = store::issuers::insert(&cx.tenant.id, &id, &body, json(&body)?, now);
    let change = Change::guard(guard).invalidates(&IssuerKey(&body.issuer)).event(event);
    let issuer = Issuer { id, body, version: 1, created_at: now, updated_at: now };
    Ok(Creation::new(issuer, change, "another issuer has this `id` or this `issuer`"))
}

/// Gives an issuer another body; its id stays.
pub async fn update(cx: &Cx<'_>, present: Issuer, body: IssuerBody, by: &str) -> Result<Issuer> {
    let body = IssuerBody { id: present.body.id.clone(), ..body };
    if present.body == body {
        return Ok(present);
    }
    not_itself(cx, &body)?;
    if present.body.issuer != body.issuer {
        unnamed(cx, &present, "the present `issuer`").await?;
    }
    let facts = facts(&present.id, &present.body, changes(&present.body, &body));
    let event = audit::event(cx, EventType::IssuerUpdated, Some(by), facts);
    let (at, now) = ((present.id.as_str(), present.version), cx.now.seconds());
    let guard = store::issuers::update(&cx.tenant.id, at, &body, json(&body)?, now);
    let change = Change::guard(guard)
        .invalidates(&IssuerKey(&present.body.issuer))
        .invalidates(&IssuerKey(&body.issuer))
        .event(event);
    if !cx.commit(change).await? {
        return Err(match find(cx, &present.id).await?.version == present.version {
            true => Reason::Conflict.because("another issuer has this `issuer`"),
            false => Reason::PreconditionFailed.into(),
        });
    }
    Ok(Issuer { body, version: present.version.saturating_add(1), updated_at: now, ..present })
}

/// Refuses to go on while clients name the issuer; the refusal calls it `what`.
async fn unnamed(cx: &Cx<'_>, present: &Issuer, what: &str) -> Result<()> {
    let named_by = cx.all(store::issuers::workloads(&cx.tenant.id, &present.body.issuer)).await?;
    unreferenced(named_by.into_iter().map(|(client, _)| client).collect(), what)
}

/// Removes an issuer that no client names.
pub async fn delete(cx: &Cx<'_>, present: &Issuer, by: &str) -> Result<()> {
    unnamed(cx, present, "this issuer").await?;
    let facts = facts(&present.id, &present.body, present.body.issuer.clone());
    let event = audit::event(cx, EventType::IssuerDeleted, Some(by), facts);
    let guard = store::issuers::delete(&cx.tenant.id, &present.id, present.version);
    let change = Change::guard(guard).invalidates(&IssuerKey(&present.body.issuer)).event(event);
    match cx.commit(change).await? {
        true => Ok(()),
        false => Err(Reason::PreconditionFailed.into()),
    }
}

fn json(body: &IssuerBody) -> Result<String> {
    serde_json::to_string(body).map_err(|_| Fault::Broken("an issuer has no JSON").into())
}

fn not_itself(cx: &Cx<'_>, body: &IssuerBody) -> Result<()> {
    match body.issuer == cx.issuer() {
        true => Err(Reason::Conflict.because("`issuer` is this tenant itself")),
        false => Ok(()),
    }
}

fn facts(id: &str, body: &IssuerBody, detail: String) -> Facts {
    let (target, target_name) = (Some(id.to_owned()), Some(body.name.clone()));
    Facts { target, target_name, detail: Some(detail), ..Facts::default() }
}
