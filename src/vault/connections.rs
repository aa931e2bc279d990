//! Connections with their credentials: making, changing, removing and killing them.
//!
//! 1. The ciphertext goes into KV, then the pointer and the wrapped data key into D1 in one transaction with the event.
//! 2. A ciphertext without its pointer is removed if that is certain. When the reply of D1 is lost it is not: what stays is
//!    either the credential, or nothing that anybody can read.
//! 3. Replacing or removing a credential erases its data key; removing the ciphertext is tidiness.

use super::accounts::{self, Revocation};
use super::canary;
use super::envelope::CredentialPath;
use super::provider::oauth2::{self, Settings as OAuthSettings};
use super::provider::{self, Credential, Provider};
use crate::audit;
use crate::context::{Change, Cx};
use crate::directory::connections::{BasesKey, ConnectionKey, KeptTokensKey};
use crate::directory::quotas;
use crate::error::{Fault, Reason, Result};
use crate::model::connection::{CredentialPointer, Settings};
use crate::model::event::Facts;
use crate::model::id::is_slug;
use crate::model::stop::{Receipt, StopTarget};
use crate::model::{Connection, Counted, Event, EventType, Status, Stoppable};
use crate::revocation::kill::{self, Command, Killed};
use crate::store;
use serde_json::Value;

/// A connection as an administrator writes it.
pub struct Draft {
    /// Which provider.
    pub kind: String,
    /// The provider's settings.
    pub config: Value,
    /// The credential; absent on an update: the present one stays.
    pub secret: Option<Value>,
}

/// A credential that lies in KV and waits for its pointer.
struct Lodged {
    pointer: CredentialPointer,
    account: String,
}

/// Makes a connection with its credential.
pub async fn create(cx: &Cx<'_>, admin: &str, name: &str, draft: Draft) -> Result<Connection> {
    if !is_slug(name) {
        return Err(Reason::InvalidField.because("a connection's name has 1 to 64 of a-z, 0-9, `-`, `_`, `.`"));
    }
    let (provider, config) = parse(cx, &draft.kind, draft.config)?;
    let secret = expected(provider, &config, draft.secret)?;
    quotas::expect_room(cx, Counted::Connections).await?;
    let Lodged { pointer, account } = lodge(cx, name, provider, secret).await?;
    let settings = Settings { config, account };
    let (now, quota) = (cx.now.seconds(), quotas::quota(cx, Counted::Connections));
    let made = (provider.kind, json(&settings)?);
    let change = Change::guard(store::connections::insert(&cx.tenant.id, name, made, now, quota))
        .then(store::connections::point(&cx.tenant.id, name, &pointer))
        .invalidates(&ConnectionKey(name))
        .invalidates(&BasesKey)
        .event(event(cx, EventType::ConnectionPut, admin, name, "created"));
    if !cx.commit(change).await? {
        discard(cx, name, &pointer).await;
        quotas::expect_room(cx, Counted::Connections).await?;
        return Err(Reason::Conflict.because("another request has just made this connection"));
    }
    Ok(Connection {
        name: name.to_owned(),
        kind: provider.kind.to_owned(),
        settings,
        credential: Some(pointer),
        status: Status::Active,
        version: 1,
        created_at: now,
        updated_at: now,
    })
}

/// Changes a connection that is still as it was read.
pub async fn update(cx: &Cx<'_>, admin: &str, present: Connection, draft: Draft) -> Result<Connection> {
    let (provider, config) = parse(cx, &draft.kind, draft.config)?;
    if draft.secret.is_none() && provider.kind == present.kind && config == present.settings.config {
        return Ok(present);
    }
    if present.status == Status::Retired {
        return Err(Reason::Conflict.because("this connection was stopped for good; remove it, then make it again"));
    }
    // A secret, and the tokens of accounts, are for one client at one service: nothing sends them elsewhere.
    let is_elsewhere = provider.kind != present.kind || destination(&present.settings.config) != destination(&config);
    let had = provider::find(&present.kind).is_some_and(|kind| (kind.has_secret)(&present.settings.config));
    let stays = provider.kind == present.kind && had == (provider.has_secret)(&config) && draft.secret.is_none();
    if stays && had && is_elsewhere {
        return Err(Reason::InvalidField.because("this changes where `secret` is sent, or for whom: send it again"));
    }
    let ends_accounts = binding(&present.kind, &present.settings.config)? != binding(provider.kind, &config)?;
    let lodged = match stays {
        true => None,
        false => {
            let secret = expected(provider, &config, draft.secret)?;
            Some(lodge(cx, &present.name, provider, secret).await?)
        }
    };
    let account = lodged.as_ref().map_or(present.settings.account, |lodged| lodged.account.clone());
    let settings = Settings { config, account };
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let at = (present.name.as_str(), present.version);
    let mut change = Change::guard(store::connections::update(tenant, at, provider.kind, json(&settings)?, now));
    if let Some(new) = &lodged {
        change = change.then(store::connections::point(tenant, &present.name, &new.pointer));
    }
    let what = if lodged.is_some() { "updated, with another credential" } else { "updated" };
    let change = change
        .invalidates(&ConnectionKey(&present.name))
        .invalidates(&BasesKey)
        .event(event(cx, EventType::ConnectionPut, admin, &present.name, what))
        .invalidates(&KeptTokensKey(&present.name))
        .always(store::leases::forget(tenant, &present.name))
        .always(store::leases::forget_older(tenant, &present.name));
    let change = match ends_accounts {
        true => {
            let version = present.version.saturating_add(1);
            let deletions = store::accounts::delete_of_changed(tenant, &present.name, version);
            deletions.into_iter().fold(change, Change::always)
        }
        false => change,
    };
    let changed = cx.commit(change).await?;
    let (new, old) = (lodged.map(|new| new.pointer), present.credential);
    // The credential to which no pointer leads now.
    let (credential, orphan) = match (changed, new) {
        (true, Some(new)) => (Some(new), old),
        (true, None) => (old, None),
        (false, new) => (None, new),
    };
    if let Some(orphan) = orphan {
        discard(cx, &present.name, &orphan).await;
    }
    match changed {
        true => Ok(Connection {
            kind: provider.kind.to_owned(),
            settings,
            credential,
            version: present.version.saturating_add(1),
            updated_at: now,
            ..present
        }),
        false => Err(Reason::PreconditionFailed.into()),
    }
}

/// Removes a connection that is still as it was read, with its data key and every token that it was given.
pub async fn remove(cx: &Cx<'_>, admin: &str, present: &Connection) -> Result<()> {
    let (tenant, name) = (&cx.tenant.id, &present.name);
    let revocation = Revocation::of_connection(cx, present).await?;
    let change = Change::guard(store::connections::delete(tenant, name, present.version))
        .invalidates(&ConnectionKey(name))
        .invalidates(&BasesKey)
        .invalidates(&KeptTokensKey(name))
        .event(event(cx, EventType::ConnectionDeleted, admin, name, &present.kind))
        .always(store::connections::erase_credential(tenant, name))
        .always(store::leases::forget(tenant, name));
    let change = store::accounts::delete_of_connection(tenant, name).into_iter().fold(change, Change::always);
    if !cx.commit(change).await? {
        return Err(Reason::PreconditionFailed.into());
    }
    revocation.run(cx).await;
    if let Some(pointer) = &present.credential {
        discard(cx, name, pointer).await;
    }
    Ok(())
}

/// Members of a config that say how much a secret is used for, not where it is sent or for whom.
const HARMLESS: &[&str] = &[
    "scopes",
    "allow",
    "owner",
    "may_be_leased",
    "repositories",
    "permissions",
    "policy_arns",
    "policies",
    "duration_seconds",
];

/// Where a secret is sent, and for whom: everything of a config but what is harmless.
fn destination(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(members) = config.as_object_mut() {
        members.retain(|name, _| !HARMLESS.contains(&name.as_str()));
    }
    config
}

/// What a connection's tokens are for, where people connect accounts with it.
fn binding(kind: &str, config: &Value) -> Result<Option<String>> {
    match kind == oauth2::PROVIDER.kind {
        true => OAuthSettings::of(config)?.binding().map(Some),
        false => Ok(None),
    }
}

fn parse(cx: &Cx<'_>, kind: &str, config: Value) -> Result<(&'static Provider, Value)> {
    let unknown = || Reason::InvalidField.because(format!("`kind` must be one of: {}", provider::kinds()));
    let provider = provider::find(kind).ok_or_else(unknown)?;
    Ok((provider, (provider.read_config)(cx.config, config)?))
}

/// The secret, if it is there where it has to be, and only there.
fn expected(provider: &Provider, config: &Value, secret: Option<Value>) -> Result<Option<Value>> {
    match ((provider.has_secret)(config), &secret) {
        (true, None) => Err(Reason::InvalidField.because("`secret` is missing")),
        (false, Some(_)) => Err(Reason::InvalidField.because("`secret`: a connection with this `config` has none")),
        _ => Ok(secret),
    }
}

/// Parses, seals and stores a credential under a new name.
async fn lodge(cx: &Cx<'_>, name: &str, provider: &Provider, secret: Option<Value>) -> Result<Lodged> {
    let ring = canary::ring(cx).await?;
    let credential =
        secret.map_or_else(|| Ok(Credential::none()), |secret| (provider.read_secret)(cx.config, secret))?;
    let id = cx.new_id();
    let path = CredentialPath { tenant: &cx.tenant.id, connection: name, credential: &id };
    let sealed =
        path.seal(ring, &credential.plain, &*cx.world.entropy).ok_or(Fault::Broken("a credential cannot be sealed"))?;
    let stored = cx.world.kv.put(&path.kv_key(), sealed.ciphertext).await;
    let pointer = CredentialPointer { id, wrapped_key: sealed.wrapped_key, created_at: cx.now.seconds() };
    if stored.is_err() {
        discard(cx, name, &pointer).await;
    }
    stored?;
    Ok(Lodged { pointer, account: credential.account })
}

/// Kills a record of any kind; of a connection, the ciphertext is removed, which nothing can read any more.
pub async fn kill(cx: &Cx<'_>, command: &Command<'_>) -> Result<Receipt> {
    // What can be revoked at the service is read before, for afterwards nobody can; what cannot be read keeps nothing from being stopped.
    let revocation = match command.target() {
        StopTarget { kind: Stoppable::Connection, id } => Revocation::of_named(cx, id).await.unwrap_or_default(),
        _ => Revocation::default(),
    };
    let Killed { receipt, connection } = kill::kill(cx, command).await?;
    revocation.run(cx).await;
    if command.target().kind == Stoppable::User {
        accounts::revoke_ended(cx, accounts::AT_ONCE).await?;
    }
    let credential =
        connection.as_ref().and_then(|connection| Some((&connection.name, connection.credential.as_ref()?)));
    if let Some((name, pointer)) = credential {
        discard(cx, name, pointer).await;
    }
    Ok(receipt)
}

/// Removes a ciphertext whose data key is gone or was never stored.
async fn discard(cx: &Cx<'_>, name: &str, pointer: &CredentialPointer) {
    let path = CredentialPath { tenant: &cx.tenant.id, connection: name, credential: &pointer.id };
    if cx.world.kv.delete(&path.kv_key()).await.is_err() {
        cx.world.log.line("vault: KV kept a ciphertext that nothing can read");
    }
}

fn json(settings: &Settings) -> Result<String> {
    serde_json::to_string(settings).map_err(|_| Fault::Broken("a connection has no JSON").into())
}

fn event(cx: &Cx<'_>, kind: EventType, admin: &str, name: &str, detail: &str) -> Event {
    let facts = Facts {
        target: Some(name.to_owned()),
        connection: Some(name.to_owned()),
        detail: Some(detail.to_owned()),
        ..Facts::default()
    };
    audit::event(cx, kind, Some(admin), facts)
}
