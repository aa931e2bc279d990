//! Clients and their secrets: finding, registering, changing and removing them.
//!
//! 1. A secret leaves with the request that made it; its digest alone is stored. A client that authenticates otherwise has none.
//! 2. A client has a bounded number of secrets, so that a rotation passes without an outage: add one, deploy it, remove the other.
//! 3. A client that was stopped for good does not change.

use super::identities::{IdentityKey, StatusListKey};
use super::issuers::WorkloadsKey;
use super::quotas::quota;
use super::{Creation, changes};
use crate::audit;
use crate::context::cache::{CAUGHT_UP, Key, key};
use crate::context::{Change, Cx};
use crate::crypto::Secret;
use crate::error::{Fault, Reason, Result};
use crate::model::event::Facts;
use crate::model::stop::StopTarget;
use crate::model::{
    AuthMethod, Client, ClientMetadata, Counted, Event, EventType, Registration, Status, Stoppable, StoredSecret, id,
};
use crate::oauth::Scope;
use crate::ports::Sql;
use crate::store;
use std::rc::Rc;

/// How many secrets a client may have.
pub const MAX_SECRETS: i64 = 5;

key!(
    /// A client by its id.
    ClientKey(id) -> Client = "client", weighs Client::weight
);

/// The client of that id, at most as old as the freshness bound.
pub async fn load(cx: &Cx<'_>, id: &str) -> Result<Option<Rc<Client>>> {
    if !id::is_client(id) {
        return Ok(None);
    }
    let read = async || {
        let stamp = cx.stamp();
        // Nearly always the identity of the client on its own is needed next; it comes along.
        let (client, own) =
            cx.batch((store::clients::get(&cx.tenant.id, id), store::identities::of(&cx.tenant.id, id, id))).await?;
        let client = client.into_iter().next();
        if client.is_some() {
            cx.keep(stamp, &IdentityKey(id, id), own.into_iter().next());
        }
        Ok(client)
    };
    Ok(cx.cached(&ClientKey(id), read).await?.inspect(|client| note(cx, client)))
}

fn note(cx: &Cx<'_>, client: &Client) {
    cx.note_name(&client.id, &client.metadata.client_name);
}

/// The client of that id as it is stored now.
pub async fn find(cx: &Cx<'_>, id: &str) -> Result<Client> {
    let client = cx.one(store::clients::get(&cx.tenant.id, id)).await?.ok_or(Reason::NotFound)?;
    note(cx, &client);
    Ok(client)
}

/// A client that is about to be registered, and its first secret if it authenticates with one.
pub fn create(cx: &Cx<'_>, metadata: ClientMetadata, by: &str) -> Result<(Creation<Client>, Option<Secret<String>>)> {
    let scope = metadata.scope.as_ref().map(Scope::to_string);
    register(cx, Client::new(metadata, cx.now, &*cx.world.entropy), Some(by), scope)
}

/// The same of a client that may have come otherwise. `wanted` is the scope that it wants, which may be no ceiling of it.
pub fn register(
    cx: &Cx<'_>,
    mut client: Client,
    by: Option<&str>,
    wanted: Option<String>,
) -> Result<(Creation<Client>, Option<Secret<String>>)> {
    let json = json(&client.metadata)?;
    let uses_secret = client.metadata.token_endpoint_auth_method.uses_secret();
    let (stored, secret) = uses_secret.then(|| StoredSecret::mint(cx.now, None, &*cx.world.entropy)).unzip();
    let facts = Facts { scope_asked: wanted, ..created(&client) };
    let event = audit::event(cx, EventType::ClientCreated, by, facts);
    let change = Change::guard(store::clients::insert(&cx.tenant.id, &client, json, quota(cx, Counted::Clients)));
    let with_secret = stored.iter().map(|stored| store::clients::insert_secret(&cx.tenant.id, &client.id, stored));
    let change = with_secret.fold(change, Change::then).event(event);
    let change = invalidates(change, &client.metadata, &client.metadata, &client.id);
    client.secrets.extend(stored);
    let creation = Creation::new(client, change, "the new client's id is taken: try again").counted(Counted::Clients);
    Ok((creation, secret))
}

/// Adds a client that a document describes to the change that first lets it in: the row, if it is not there, and its event. The guard of
/// the change asks whether the client is there.
pub fn with_document(cx: &Cx<'_>, change: Change, client: &Client, user: &str) -> Result<Change> {
    if client.is_stored() {
        return Ok(change);
    }
    let facts = Facts { subject: Some(user.to_owned()), ..created(client) };
    let event = audit::event(cx, EventType::ClientCreated, None, facts);
    let (json, quota) = (json(&client.metadata)?, quota(cx, Counted::Clients));
    change.before(store::clients::insert_document(&cx.tenant.id, client, json, quota, user)).event_before(&event)
}

/// Gives a client other metadata.
pub async fn update(cx: &Cx<'_>, client: Client, metadata: ClientMetadata, by: &str) -> Result<Client> {
    if client.metadata == metadata {
        return Ok(client);
    }
    not_retired(&client)?;
    let facts = facts(&client, changes(&client.metadata, &metadata));
    let event = audit::event(cx, EventType::ClientUpdated, Some(by), facts);
    write(cx, client, metadata, event).await?.ok_or_else(|| Reason::PreconditionFailed.into())
}

/// Gives a client the metadata of its document; nothing if somebody else has changed it meanwhile.
pub async fn renew(cx: &Cx<'_>, client: Client, metadata: ClientMetadata, shown: String) -> Result<Option<Client>> {
    let facts = facts(&client, changes(&client.metadata, &metadata) + &shown);
    let event = audit::event(cx, EventType::ClientDocumentChanged, Some(&client.id), facts);
    write(cx, client, metadata, event).await
}

async fn write(cx: &Cx<'_>, mut client: Client, metadata: ClientMetadata, event: Event) -> Result<Option<Client>> {
    let now = cx.now.seconds();
    let guard = store::clients::update(&cx.tenant.id, &client.id, json(&metadata)?, client.version, now);
    if !cx.commit(invalidates(Change::guard(guard), &client.metadata, &metadata, &client.id).event(event)).await? {
        return Ok(None);
    }
    client.metadata = metadata;
    client.updated_at = now;
    client.version = client.version.saturating_add(1);
    Ok(Some(client))
}

/// Removes a client with its secrets.
pub async fn delete(cx: &Cx<'_>, client: &Client, by: &str) -> Result<()> {
    let facts = facts(client, client.metadata.client_name.clone());
    let event = audit::event(cx, EventType::ClientDeleted, Some(by), facts);
    let guard = store::clients::delete(&cx.tenant.id, &client.id, client.version);
    let change = invalidates(Change::guard(guard), &client.metadata, &client.metadata, &client.id)
        .invalidates(&StatusListKey)
        .event(event)
        .always(store::clients::delete_orphaned_secrets(&cx.tenant.id, &client.id))
        .always(store::identities::retire_of_client(&cx.tenant.id, &client.id, cx.now.seconds()));
    // All of it: a client that is known by its document may come back under the same id.
    let change = match client.registration {
        Registration::MetadataDocument => change.always(stale_identities(cx, &client.id)),
        Registration::Admin | Registration::Dynamic => change,
    };
    let target = StopTarget { kind: Stoppable::Client, id: &client.id };
    let change = store::consents::cascade(&cx.tenant.id, target, -1).into_iter().fold(change, Change::always);
    match cx.commit(change).await? {
        true => Ok(()),
        false => Err(Reason::PreconditionFailed.into()),
    }
}

/// Has every isolate drop the identities of a removed client. Where those are more than an isolate catches up with, it drops all that it has.
fn stale_identities(cx: &Cx<'_>, client: &str) -> Sql {
    let prefix = IdentityKey(client, "").text();
    store::changes::log_identities(&cx.tenant.id, client, prefix, CAUGHT_UP, cx.now.seconds())
}

/// A secret that is about to be added; it expires after so many seconds, or never.
pub fn add_secret(
    cx: &Cx<'_>,
    client: &Client,
    expires_in: Option<i64>,
    by: &str,
) -> Result<(Creation<StoredSecret>, Secret<String>)> {
    not_retired(client)?;
    if !client.metadata.token_endpoint_auth_method.uses_secret() {
        return Err(
            Reason::Conflict.because("this client authenticates without a secret: see `token_endpoint_auth_method`")
        );
    }
    let expires_at = expires_in.map(|seconds| cx.now.seconds().saturating_add(seconds));
    let (stored, secret) = StoredSecret::mint(cx.now, expires_at, &*cx.world.entropy);
    let event = audit::event(cx, EventType::SecretCreated, Some(by), facts(client, stored.id.clone()));
    let guard = store::clients::add_secret(&cx.tenant.id, &client.id, &stored, MAX_SECRETS);
    let change = Change::guard(guard).invalidates(&ClientKey(&client.id)).event(event);
    Ok((Creation::new(stored, change, "a client has 5 secrets at most: remove one first"), secret))
}

/// Removes a secret.
pub async fn delete_secret(cx: &Cx<'_>, client: &Client, secret: &str, by: &str) -> Result<()> {
    let event = audit::event(cx, EventType::SecretDeleted, Some(by), facts(client, secret.to_owned()));
    let guard = store::clients::delete_secret(&cx.tenant.id, &client.id, secret);
    match cx.commit(Change::guard(guard).invalidates(&ClientKey(&client.id)).event(event)).await? {
        true => Ok(()),
        false => Err(Reason::NotFound.into()),
    }
}

/// Adds the keys of all that is cached of a client and of the workloads that it is.
fn invalidates(change: Change, before: &ClientMetadata, after: &ClientMetadata, id: &str) -> Change {
    let identities = before.workload_identities.iter().chain(&after.workload_identities);
    identities.fold(change.invalidates(&ClientKey(id)), |change, identity| {
        change.invalidates(&WorkloadsKey(&identity.issuer))
    })
}

fn json(metadata: &ClientMetadata) -> Result<String> {
    serde_json::to_string(metadata).map_err(|_| Fault::Broken("client metadata has no JSON").into())
}

fn facts(client: &Client, detail: String) -> Facts {
    let (target, target_name) = (Some(client.id.clone()), Some(client.metadata.client_name.clone()));
    Facts { target, target_name, detail: Some(detail), ..Facts::default() }
}

/// What the event of a registration tells: how the client came, whether it keeps something secret, and how it proves itself.
fn created(client: &Client) -> Facts {
    let method = client.metadata.token_endpoint_auth_method;
    let class = if method == AuthMethod::None { "public" } else { "confidential" };
    facts(client, [client.registration.as_str(), class, method.as_str()].join(" "))
}

fn not_retired(client: &Client) -> Result<()> {
    match client.status {
        Status::Retired => Err(Reason::Conflict.because("this client is retired for good; register another")),
        Status::Active | Status::Suspended => Ok(()),
    }
}
