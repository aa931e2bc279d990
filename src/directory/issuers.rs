//! Trusted outside issuers: finding, registering, changing and removing them.
//!
//! 1. Two issuers of a tenant never have one `issuer`; the tenant's own is taken.
//! 2. What trusts an issuer names it by its `issuer`: an issuer that clients name is neither removed nor given another.

use super::{Creation, changes, unreferenced};
use crate::audit;
use crate::context::cache::key;
use crate::context::{Change, Cx};
use crate::crypto::Secret;
use crate::error::{Fault, Reason, Result};
use crate::model::event::Facts;
use crate::model::issuer::{Use, WorkloadIdentity};
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

key!(
    /// The issuers that people sign in with.
    ProvidersKey -> Vec<Issuer> = "providers", weighs |all| all.len().saturating_mul(4_096)
);

/// How many issuers a tenant shows to people who sign in.
const MAX_PROVIDERS: i64 = 50;

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

/// The issuers that people sign in with, at most as old as the freshness bound.
pub async fn providers(cx: &Cx<'_>) -> Result<Rc<Vec<Issuer>>> {
    let read = async || {
        let mut all = cx.all(store::issuers::for_sign_in(&cx.tenant.id, MAX_PROVIDERS)).await?;
        all.retain(|issuer| issuer.body.uses.contains(&Use::SignIn));
        Ok(Some(all))
    };
    Ok(cx.cached(&ProvidersKey, read).await?.unwrap_or_default())
}

/// The issuer of that `iss`, if people sign in with it.
pub async fn provider(cx: &Cx<'_>, iss: &str) -> Result<Option<Rc<Issuer>>> {
    Ok(load(cx, iss).await?.filter(|issuer| issuer.body.uses.contains(&Use::SignIn)))
}

/// What a client secret is sealed with: it opens for its tenant, its record and its `issuer` alone, so that nobody has it sent elsewhere.
fn associated(cx: &Cx<'_>, id: &str, iss: &str) -> String {
    ["provider\0", &cx.tenant.id, "\0", id, "\0", iss].concat()
}

/// The secret that we prove ourselves with there, if it has given one.
pub fn secret(cx: &Cx<'_>, Issuer { id, body, .. }: &Issuer) -> Result<Option<Secret<String>>> {
    let Some(sealed) = &body.client_secret else { return Ok(None) };
    let opened = cx.config.providers().and_then(|ring| ring.open(&associated(cx, id, &body.issuer), sealed));
    let text = opened.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    text.map(|text| Some(Secret::new(text))).ok_or_else(|| Fault::Broken("a client secret cannot be read").into())
}

fn sealed(cx: &Cx<'_>, id: &str, body: IssuerBody) -> Result<IssuerBody> {
    let Some(plain) = &body.client_secret else { return Ok(body) };
    let ring = cx.config.providers().ok_or(Fault::Broken("this Worker keeps no client secrets"))?;
    let sealed = ring.seal(&associated(cx, id, &body.issuer), plain.as_bytes(), &*cx.world.entropy);
    let sealed = sealed.ok_or(Fault::Broken("a client secret cannot be sealed"))?;
    Ok(IssuerBody { client_secret: Some(sealed), ..body })
}

/// Seals anew the client secrets that an older key has sealed, so that it can be taken away.
pub async fn rewrap(cx: &Cx<'_>) -> Result<()> {
    let Some(ring) = cx.config.providers() else { return Ok(()) };
    for Issuer { id, body, .. } in cx.all(store::issuers::for_sign_in(&cx.tenant.id, MAX_PROVIDERS)).await? {
        let old = body.client_secret.as_deref().filter(|sealed| !ring.is_current(sealed));
        let Some(old) = old else { continue };
        if let Some(new) = ring.reseal(&associated(cx, &id, &body.issuer), old, &*cx.world.entropy) {
            cx.run(vec![store::issuers::reseal(&cx.tenant.id, &id, old, &new)]).await?;
        }
    }
    Ok(())
}

/// The issuer of that id as it is stored now.
pub async fn find(cx: &Cx<'_>, id: &str) -> Result<Issuer> {
    cx.one(store::issuers::get(&cx.tenant.id, id)).await?.ok_or_else(|| Reason::NotFound.into())
}

/// An issuer that is about to be registered, under the id that the body chooses or under a new one.
pub fn create(cx: &Cx<'_>, body: IssuerBody, by: &str) -> Result<Creation<Issuer>> {
    not_itself(cx, &body)?;
    let (id, now) = (body.id.clone().unwrap_or_else(|| cx.new_id()), cx.now.seconds());
    let body = sealed(cx, &id, body)?;
    let event = audit::event(cx, EventType::IssuerCreated, Some(by), facts(&id, &body, body.issuer.clone()));
    let guard = store::issuers::insert(&cx.tenant.id, &id, &body, json(&body)?, now);
    let change = Change::guard(guard).invalidates(&IssuerKey(&body.issuer)).invalidates(&ProvidersKey).event(event);
    let issuer = Issuer { id, body, version: 1, created_at: now, updated_at: now };
    Ok(Creation::new(issuer, change, "another issuer has this `id` or this `issuer`"))
}

/// Gives an issuer another body; its id stays.
pub async fn update(cx: &Cx<'_>, present: Issuer, body: IssuerBody, by: &str) -> Result<Issuer> {
    let body = sealed(cx, &present.id, IssuerBody { id: present.body.id.clone(), ..body })?;
    // A secret stays as long as nobody sends another, and there is whom it is for.
    let stays = body.client_secret.is_none()
        && (&body.issuer, &body.client_id) == (&present.body.issuer, &present.body.client_id);
    let body = match stays {
        true => IssuerBody { client_secret: present.body.client_secret.clone(), ..body },
        false => body,
    };
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
        .invalidates(&ProvidersKey)
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
    let change =
        Change::guard(guard).invalidates(&IssuerKey(&present.body.issuer)).invalidates(&ProvidersKey).event(event);
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
