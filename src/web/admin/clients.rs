//! `admin/clients`: registration with the names of RFC 7591, secrets, and the lifecycle.
//!
//! 1. A secret is in the answer to the request that made it, and nowhere else. A client that authenticates otherwise has none.
//! 2. Several secrets at a time let a rotation pass without an outage: add one, deploy it, remove the other.
//! 3. Stopping a client needs no `If-Match`, and doing it twice does no harm: an emergency does not wait for a version.

use super::{Page, body, body_or_empty, changes, created, expect_if_sent, expect_version, item, kill, page};
use crate::audit;
use crate::authn::client;
use crate::context::{Change, Cx};
use crate::directory::clients::ClientKey;
use crate::directory::identities::StatusListKey;
use crate::directory::issuers::WorkloadsKey;
use crate::error::{Fault, Reason, Result};
use crate::grants;
use crate::model::event::Facts;
use crate::model::{Client, ClientMetadata, EventType, Status, Stoppable, StoredSecret};
use crate::store;
use crate::web::{Call, Response};
use serde::{Deserialize, Serialize};

const MAX_SECRETS: i64 = 5;
/// Ten years.
const MAX_EXPIRES_IN: i64 = 315_360_000;

#[derive(Serialize)]
struct View {
    client_id: String,
    client_id_issued_at: i64,
    #[serde(flatten)]
    metadata: ClientMetadata,
    status: Status,
    secrets: Vec<SecretView>,
    updated_at: i64,
}

#[derive(Serialize)]
struct SecretView {
    id: String,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

/// RFC 7591 §3.2.1; an expiry of 0 is none.
#[derive(Serialize)]
struct Registered<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<i64>,
    #[serde(flatten)]
    client: View,
}

#[derive(Serialize)]
struct NewSecret<'a> {
    client_secret: &'a str,
    #[serde(flatten)]
    secret: SecretView,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretBody {
    #[serde(default)]
    expires_in: Option<i64>,
}

fn view(client: Client) -> View {
    View {
        client_id: client.id,
        client_id_issued_at: client.created_at,
        metadata: client.metadata,
        status: client.status,
        secrets: client.secrets.into_iter().map(view_secret).collect(),
        updated_at: client.updated_at,
    }
}

fn view_secret(secret: StoredSecret) -> SecretView {
    SecretView { id: secret.id, created_at: secret.created_at, expires_at: secret.expires_at }
}

fn show(status: u16, client: Client) -> Response {
    let version = client.version;
    item(status, &view(client), version)
}

async fn find(cx: &Cx<'_>, id: &str) -> Result<Client> {
    cx.one(store::clients::get(&cx.tenant.id, id)).await?.ok_or_else(|| Reason::NotFound.into())
}

async fn metadata(call: Call<'_>) -> Result<(ClientMetadata, String)> {
    let metadata: ClientMetadata = body(call)?;
    metadata.check(&grants::grant_types()).map_err(|problem| Reason::InvalidField.because(problem))?;
    client::check(call.cx, &metadata).await?;
    let json = serde_json::to_string(&metadata).map_err(|_| Fault::Broken("client metadata has no JSON"))?;
    Ok((metadata, json))
}

/// Adds the keys of all that is cached of a client and of the workloads that it is.
fn invalidates(change: Change, before: &ClientMetadata, after: &ClientMetadata, id: &str) -> Change {
    let identities = before.workload_identities.iter().chain(&after.workload_identities);
    identities.fold(change.invalidates(&ClientKey(id)), |change, identity| {
        change.invalidates(&WorkloadsKey(&identity.issuer))
    })
}

fn facts(client: &str, detail: impl Into<Option<String>>) -> Facts {
    Facts { target: Some(client.to_owned()), detail: detail.into(), ..Facts::default() }
}

/// Lists clients, the oldest first.
pub async fn list(call: Call<'_>) -> Result<Response> {
    let page: Page = page(call)?;
    let found = call.cx.all(store::clients::list(&call.cx.tenant.id, page.after(), page.rows())).await?;
    Ok(page.of(found, |client| (client.id.clone(), view(client))))
}

/// Registers a client; with its first secret, if it authenticates with one.
pub async fn create(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    let (metadata, json) = metadata(call).await?;
    let mut client = Client::new(metadata, cx.now, &*cx.world.entropy);
    let uses_secret = client.metadata.token_endpoint_auth_method.uses_secret();
    let minted = uses_secret.then(|| StoredSecret::mint(cx.now, None, &*cx.world.entropy));
    let (stored, secret) = minted.unzip();
    let facts = facts(&client.id, client.metadata.client_name.clone());
    let event = audit::event(cx, EventType::ClientCreated, Some(call.admin()?), facts);
    let change = Change::guard(store::clients::insert(&cx.tenant.id, &client, json));
    let with_secret = stored.iter().map(|stored| store::clients::insert_secret(&cx.tenant.id, &client.id, stored));
    let change = with_secret.fold(change, Change::then);
    if !cx.commit(invalidates(change, &client.metadata, &client.metadata, &client.id).event(event)).await? {
        return Err(Reason::Conflict.into());
    }
    client.secrets.extend(stored);
    let (path, version) = (format!("clients/{}", client.id), client.version);
    let secret = secret.as_ref().map(|secret| secret.expose().as_str());
    let registered =
        Registered { client_secret: secret, client_secret_expires_at: secret.map(|_| 0), client: view(client) };
    Ok(created(call, &path, &registered, version))
}

/// Shows a client.
pub async fn get(call: Call<'_>) -> Result<Response> {
    Ok(show(200, find(call.cx, call.id(0)?).await?))
}

/// Replaces the metadata of a client.
pub async fn put(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    let (metadata, json) = metadata(call).await?;
    let mut client = find(cx, call.id(0)?).await?;
    expect_version(call, client.version)?;
    not_retired(&client)?;
    let facts = facts(&client.id, changes(&client.metadata, &metadata));
    let event = audit::event(cx, EventType::ClientUpdated, Some(call.admin()?), facts);
    let now = cx.now.seconds();
    let guard = store::clients::update(&cx.tenant.id, &client.id, json, client.version, now);
    let change = invalidates(Change::guard(guard), &client.metadata, &metadata, &client.id).event(event);
    if !cx.commit(change).await? {
        return Err(Reason::PreconditionFailed.into());
    }
    client.metadata = metadata;
    client.updated_at = now;
    client.version = client.version.saturating_add(1);
    Ok(show(200, client))
}

/// Removes a client with its secrets.
pub async fn delete(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    let client = find(cx, call.id(0)?).await?;
    expect_if_sent(call, client.version)?;
    let facts = facts(&client.id, client.metadata.client_name.clone());
    let event = audit::event(cx, EventType::ClientDeleted, Some(call.admin()?), facts);
    let guard = store::clients::delete(&cx.tenant.id, &client.id, client.version);
    let after = store::clients::delete_orphaned_secrets(&cx.tenant.id, &client.id);
    let change = invalidates(Change::guard(guard), &client.metadata, &client.metadata, &client.id);
    match cx.commit(change.invalidates(&StatusListKey).event(event).always(after)).await? {
        true => Ok(Response::empty(204)),
        false => Err(Reason::PreconditionFailed.into()),
    }
}

/// Adds a secret.
pub async fn add_secret(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    let SecretBody { expires_in } = body_or_empty(call)?;
    if expires_in.is_some_and(|seconds| !(1..=MAX_EXPIRES_IN).contains(&seconds)) {
        return Err(Reason::InvalidField.because(format!("`expires_in` must be 1 to {MAX_EXPIRES_IN} seconds")));
    }
    let client = find(cx, call.id(0)?).await?;
    not_retired(&client)?;
    if !client.metadata.token_endpoint_auth_method.uses_secret() {
        return Err(
            Reason::Conflict.because("this client authenticates without a secret: see `token_endpoint_auth_method`")
        );
    }
    let expires_at = expires_in.map(|seconds| cx.now.seconds().saturating_add(seconds));
    let (stored, secret) = StoredSecret::mint(cx.now, expires_at, &*cx.world.entropy);
    let facts = facts(&client.id, stored.id.clone());
    let event = audit::event(cx, EventType::SecretCreated, Some(call.admin()?), facts);
    let guard = store::clients::add_secret(&cx.tenant.id, &client.id, &stored, MAX_SECRETS);
    if !cx.commit(Change::guard(guard).invalidates(&ClientKey(&client.id)).event(event)).await? {
        return Err(Reason::Conflict.because(format!("a client has {MAX_SECRETS} secrets at most; remove one first")));
    }
    Ok(Response::json(201, &NewSecret { client_secret: secret.expose(), secret: view_secret(stored) }))
}

/// Removes a secret.
pub async fn delete_secret(call: Call<'_>) -> Result<Response> {
    let (cx, client, secret) = (call.cx, call.id(0)?, call.id(1)?);
    let event = audit::event(cx, EventType::SecretDeleted, Some(call.admin()?), facts(client, secret.to_owned()));
    let guard = store::clients::delete_secret(&cx.tenant.id, client, secret);
    match cx.commit(Change::guard(guard).invalidates(&ClientKey(client)).event(event)).await? {
        true => Ok(Response::empty(204)),
        false => Err(Reason::NotFound.into()),
    }
}

/// Stops a client until it is resumed.
pub async fn suspend(call: Call<'_>) -> Result<Response> {
    kill::suspend(call, Stoppable::Client).await
}

/// Lets a suspended client go on.
pub async fn resume(call: Call<'_>) -> Result<Response> {
    kill::resume(call, Stoppable::Client).await?;
    get(call).await
}

/// Stops a client for good, and everything that it was ever given.
pub async fn kill(call: Call<'_>) -> Result<Response> {
    kill::kill(call, Stoppable::Client).await
}

fn not_retired(client: &Client) -> Result<()> {
    match client.status {
        Status::Retired => Err(Reason::Conflict.because("this client is retired for good; register another")),
        Status::Active | Status::Suspended => Ok(()),
    }
}
