//! Tenants: finding, making, changing and deleting them.
//!
//! 1. Administrators of the first tenant make tenants and see all of them; all others see and change their own.
//! 2. A tenant is made together with its first administrator, or not at all.
//! 3. Administrators of the first tenant alone set quotas, also those of the first tenant.
//! 4. The first tenant is never suspended: no administrator could resume it.
//! 5. A tenant that holds its trail (`event_hold`) is not deleted.
//! 6. The name of a deleted tenant is never given again: its issuer stands for it with all who trust it. From the deletion on it is
//!    unknown; the cron removes what it had (see [`crate::jobs`]).

use super::{Creation, changes};
use crate::audit;
use crate::context::{Change, Cx, TenantKey};
use crate::crypto::Secret;
use crate::error::{Fault, Reason, Result};
use crate::model::event::Facts;
use crate::model::tenant::{FIRST_TENANT, Quotas, TenantBody, TenantStatus, issuer};
use crate::model::{Client, ClientMetadata, EventType, Resource, Settings, StoredSecret, Tenant};
use crate::store;

/// Whether the request is to the first tenant.
pub fn is_first(cx: &Cx<'_>) -> bool {
    cx.tenant.id == FIRST_TENANT
}

/// Passes at the first tenant alone.
pub fn expect_first(cx: &Cx<'_>) -> Result<()> {
    if is_first(cx) { Ok(()) } else { Err(Reason::FirstTenantOnly.into()) }
}

/// The tenant of that id as it is stored now; at the first tenant any, elsewhere its own.
pub async fn find(cx: &Cx<'_>, id: &str) -> Result<Tenant> {
    if !is_first(cx) && cx.tenant.id != id {
        return Err(Reason::NotFound.into());
    }
    cx.one(store::tenants::get(id)).await?.ok_or_else(|| Reason::NotFound.into())
}

/// A tenant that is about to be made, with the client of its first administrator and that client's secret.
pub fn create(
    cx: &Cx<'_>,
    id: String,
    body: TenantBody,
    by: &str,
) -> Result<(Creation<Tenant>, Client, Secret<String>)> {
    expect_first(cx)?;
    let now = cx.now.seconds();
    let TenantBody { name, zone, settings, .. } = body;
    let settings = settings.unwrap_or_default();
    let tenant = Tenant {
        id,
        name,
        zone,
        status: TenantStatus::Active,
        epoch: 0,
        policy_hash: String::new(),
        policy_version: 0,
        settings: Settings { quotas: settings.quotas.filter(|quotas| *quotas != Quotas::default()), ..settings },
        revoked_before: 0,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let admin = Resource::admin(&issuer(cx.config.origin(), &tenant.id)).ok_or(Fault::Broken("an issuer is no URI"))?;
    let client = Client::new(ClientMetadata::first_admin(admin.body.resource), cx.now, &*cx.world.entropy);
    let (stored, secret) = StoredSecret::mint(cx.now, None, &*cx.world.entropy);
    let metadata = serde_json::to_string(&client.metadata).map_err(|_| Fault::Broken("client metadata has no JSON"))?;
    let facts = facts(&tenant, Some(client.id.clone()));
    let event = audit::event(cx, EventType::TenantCreated, Some(by), facts);
    let change = Change::guard(store::tenants::insert(&tenant, json(&tenant.settings)?))
        .then(store::clients::insert_if_changed(&tenant.id, &client, metadata))
        .then(store::clients::insert_secret(&tenant.id, &client.id, &stored))
        .of_tenant(&tenant.id)
        .invalidates(&TenantKey)
        .event(event);
    Ok((Creation::new(tenant, change, "another tenant has this `id`, or had it: choose another"), client, secret))
}

/// Changes a tenant. Administrators of the first tenant alone suspend and resume.
pub async fn update(cx: &Cx<'_>, mut tenant: Tenant, body: TenantBody, by: &str) -> Result<Tenant> {
    let before = TenantBody::of(&tenant);
    let settings = match body.settings {
        Some(settings) => Settings { quotas: quotas(cx, &tenant, settings.quotas)?, ..settings },
        None => tenant.settings.clone(),
    };
    let after = TenantBody { status: body.status.or(before.status), settings: Some(settings), ..body };
    if after == before {
        return Ok(tenant);
    }
    if after.status != before.status {
        expect_first(cx)?;
    }
    if after.status == Some(TenantStatus::Suspended) {
        not_first(&tenant.id)?;
    }
    let facts = facts(&tenant, Some(changes(&before, &after)));
    let event = audit::event(cx, EventType::TenantUpdated, Some(by), facts);
    let TenantBody { name, zone, status, settings } = after;
    (tenant.name, tenant.zone) = (name, zone);
    (tenant.status, tenant.settings) = (status.unwrap_or(tenant.status), settings.unwrap_or_default());
    let now = cx.now.seconds();
    let guard = store::tenants::update(&tenant, json(&tenant.settings)?, now);
    if !cx.commit(Change::guard(guard).of_tenant(&tenant.id).invalidates(&TenantKey).event(event)).await? {
        return Err(Reason::PreconditionFailed.into());
    }
    tenant.updated_at = now;
    tenant.version = tenant.version.saturating_add(1);
    Ok(tenant)
}

/// The quotas that a tenant has from now on. Administrators of the first tenant alone change them; others may send back what they read, or
/// leave them out.
fn quotas(cx: &Cx<'_>, tenant: &Tenant, sent: Option<Quotas>) -> Result<Option<Quotas>> {
    if is_first(cx) {
        return Ok(sent.filter(|quotas| *quotas != Quotas::default()));
    }
    match sent.is_none_or(|sent| sent == tenant.settings.quotas.clone().unwrap_or_default()) {
        true => Ok(tenant.settings.quotas.clone()),
        false => Err(Reason::FirstTenantOnly.because("`settings.quotas` is for administrators of `main` to change")),
    }
}

/// Deletes a suspended tenant with everything in it.
pub async fn delete(cx: &Cx<'_>, tenant: &Tenant, by: &str) -> Result<()> {
    expect_first(cx)?;
    if tenant.id == FIRST_TENANT || tenant.status != TenantStatus::Suspended {
        return Err(Reason::Conflict
            .because("suspend the tenant first: PUT it with `status`: `suspended`; `main` is never deleted"));
    }
    if tenant.settings.event_hold {
        return Err(Reason::Conflict.because(
            "the tenant holds its trail, which would go with it: PUT it without `settings.event_hold` first",
        ));
    }
    let event = audit::event(cx, EventType::TenantDeleted, Some(by), facts(tenant, None));
    // Isolates that know the tenant as suspended refuse it, and find it gone with their next look: nothing need be named.
    let change = Change::guard(store::deletion::delete(&tenant.id, tenant.version))
        .then(store::deletion::take_name(&tenant.id, cx.now.seconds()))
        .event(event);
    match cx.commit(change).await? {
        true => Ok(()),
        false => Err(Reason::PreconditionFailed.into()),
    }
}

/// Refuses to stop the first tenant.
pub fn not_first(tenant: &str) -> Result<()> {
    match tenant == FIRST_TENANT {
        true => Err(Reason::InvalidField
            .because("`tenant` must not be the first one, `main`: no administrator could resume it")),
        false => Ok(()),
    }
}

fn facts(tenant: &Tenant, detail: Option<String>) -> Facts {
    let (target, target_name) = (Some(tenant.id.clone()), Some(tenant.name.clone()));
    Facts { target, target_name, detail, ..Facts::default() }
}

fn json(settings: &Settings) -> Result<String> {
    serde_json::to_string(settings).map_err(|_| Fault::Broken("settings have no JSON").into())
}
