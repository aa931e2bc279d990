//! `admin/tenants`: the walls.
//!
//! 1. Administrators of the first tenant make tenants and see all of them; everybody else sees and changes their own.
//! 2. A tenant is made together with its first administrator, or not at all.

use super::{FIRST_TENANT, body, changes, check_slug, check_text, created, expect_version, item, page};
use crate::audit;
use crate::context::{Change, TenantKey};
use crate::error::{Fault, Reason, Result};
use crate::model::event::Facts;
use crate::model::tenant::{TenantStatus, issuer};
use crate::model::{Client, ClientMetadata, EventType, Resource, Settings, StoredSecret, Tenant};
use crate::policy;
use crate::store;
use crate::web::{Call, Response};
use serde::{Deserialize, Serialize};

const MAX_NAME: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTenant {
    id: String,
    name: String,
    #[serde(default = "utc")]
    zone: String,
    #[serde(default)]
    settings: Settings,
}

fn utc() -> String {
    "UTC".to_owned()
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Body {
    name: String,
    zone: String,
    /// Absent: as it is.
    #[serde(default)]
    status: Option<TenantStatus>,
    /// Absent: as they are. What is absent in them takes its default.
    #[serde(default)]
    settings: Option<Settings>,
}

#[derive(Serialize)]
struct View {
    id: String,
    name: String,
    zone: String,
    status: TenantStatus,
    settings: Settings,
    issuer: String,
    created_at: i64,
    updated_at: i64,
}

/// A tenant with the credentials of its first administrator, which are shown this once.
#[derive(Serialize)]
struct Made<'a> {
    client_id: &'a str,
    client_secret: &'a str,
    #[serde(flatten)]
    tenant: View,
}

fn view(call: Call<'_>, tenant: Tenant) -> View {
    let issuer = issuer(call.cx.config.origin(), &tenant.id);
    let Tenant { id, name, zone, status, settings, created_at, updated_at, .. } = tenant;
    View { id, name, zone, status, settings, issuer, created_at, updated_at }
}

fn is_first(call: Call<'_>) -> bool {
    call.cx.tenant.id == FIRST_TENANT
}

async fn find(call: Call<'_>, id: &str) -> Result<Tenant> {
    if !is_first(call) && call.cx.tenant.id != id {
        return Err(Reason::NotFound.into());
    }
    call.cx.one(store::tenants::get(id)).await?.ok_or_else(|| Reason::NotFound.into())
}

fn check(call: Call<'_>, name: &str, zone: &str, settings: Option<&Settings>) -> Result<()> {
    check_text("name", name, MAX_NAME)?;
    settings.map_or(Ok(()), Settings::check).map_err(|problem| Reason::InvalidField.because(problem))?;
    match policy::offset(call.cx, zone).is_some() {
        true => Ok(()),
        false => Err(Reason::InvalidField.because("`zone` must be an IANA time zone such as `Europe/Berlin`")),
    }
}

fn settings_json(settings: &Settings) -> Result<String> {
    serde_json::to_string(settings).map_err(|_| Fault::Broken("settings have no JSON").into())
}

/// Lists tenants by id: all of them, or the caller's own.
pub async fn list(call: Call<'_>) -> Result<Response> {
    let page = page(call)?;
    if !is_first(call) {
        let own = find(call, &call.cx.tenant.id).await?;
        return Ok(page.of(vec![own], |tenant| (tenant.id.clone(), view(call, tenant))));
    }
    let found = call.cx.all(store::tenants::list(page.after(), page.rows())).await?;
    Ok(page.of(found, |tenant| (tenant.id.clone(), view(call, tenant))))
}

/// Makes a tenant and its first administrator.
pub async fn create(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    if !is_first(call) {
        return Err(Reason::FirstTenantOnly.into());
    }
    let NewTenant { id, name, zone, settings } = body(call)?;
    check_slug("id", &id)?;
    check(call, &name, &zone, Some(&settings))?;
    let now = cx.now.seconds();
    let tenant = Tenant {
        id,
        name,
        zone,
        status: TenantStatus::Active,
        epoch: 0,
        policy_hash: String::new(),
        policy_version: 0,
        settings,
        revoked_before: 0,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let admin = Resource::admin(&issuer(cx.config.origin(), &tenant.id)).ok_or(Fault::Broken("an issuer is no URI"))?;
    let client = Client::new(ClientMetadata::first_admin(admin.body.resource), cx.now, &*cx.world.entropy);
    let (stored, secret) = StoredSecret::mint(cx.now, None, &*cx.world.entropy);
    let metadata = serde_json::to_string(&client.metadata).map_err(|_| Fault::Broken("client metadata has no JSON"))?;
    let facts = Facts { target: Some(tenant.id.clone()), detail: Some(client.id.clone()), ..Facts::default() };
    let event = audit::event(cx, EventType::TenantCreated, Some(call.admin()?), facts);
    let change = Change::guard(store::tenants::insert(&tenant, settings_json(&tenant.settings)?))
        .then(store::clients::insert_if_changed(&tenant.id, &client, metadata))
        .then(store::clients::insert_secret(&tenant.id, &client.id, &stored))
        .of_tenant(&tenant.id)
        .invalidates(&TenantKey)
        .event(event);
    if !cx.commit(change).await? {
        return Err(Reason::Conflict.into());
    }
    let path = format!("tenants/{}", tenant.id);
    let made = Made { client_id: &client.id, client_secret: secret.expose(), tenant: view(call, tenant) };
    Ok(created(call, &path, &made, 1))
}

/// Shows a tenant.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let tenant = find(call, call.id(0)?).await?;
    let version = tenant.version;
    Ok(item(200, &view(call, tenant), version))
}

/// Changes a tenant. Only the first tenant's administrators suspend and resume, and never the first tenant itself.
pub async fn put(call: Call<'_>) -> Result<Response> {
    let (cx, now) = (call.cx, call.cx.now.seconds());
    let Body { name, zone, status, settings } = body(call)?;
    check(call, &name, &zone, settings.as_ref())?;
    let mut tenant = find(call, call.id(0)?).await?;
    expect_version(call, tenant.version)?;
    let settings = settings.unwrap_or_else(|| tenant.settings.clone());
    let after = Body { name, zone, status: status.or(Some(tenant.status)), settings: Some(settings.clone()) };
    let status = status.unwrap_or(tenant.status);
    if status != tenant.status && !is_first(call) {
        return Err(Reason::FirstTenantOnly.into());
    }
    if status == TenantStatus::Suspended && tenant.id == FIRST_TENANT {
        return Err(
            Reason::InvalidField.because("`status`: the first tenant cannot be suspended, for nobody could resume it")
        );
    }
    let before = Body {
        name: tenant.name.clone(),
        zone: tenant.zone.clone(),
        status: Some(tenant.status),
        settings: Some(tenant.settings.clone()),
    };
    let facts = Facts { target: Some(tenant.id.clone()), detail: Some(changes(&before, &after)), ..Facts::default() };
    let event = audit::event(cx, EventType::TenantUpdated, Some(call.admin()?), facts);
    (tenant.name, tenant.zone, tenant.status, tenant.settings) = (after.name, after.zone, status, settings);
    let guard = store::tenants::update(&tenant, settings_json(&tenant.settings)?, now);
    let change = Change::guard(guard).of_tenant(&tenant.id).invalidates(&TenantKey).event(event);
    if !cx.commit(change).await? {
        return Err(Reason::PreconditionFailed.into());
    }
    tenant.updated_at = now;
    let version = tenant.version.saturating_add(1);
    Ok(item(200, &view(call, tenant), version))
}
