//! Connected accounts: finding them, sealing their tokens, disconnecting them.
//!
//! 1. The tokens lie in D1, sealed under a data key of the account; tenant, connection, account, owner and generation are bound to them
//!    (docs/requirements.md R60).
//! 2. Whatever changes an account is an event, and every isolate hears of it.
//! 3. What is disconnected is gone here first, and then revoked at the service: whether that answers does not matter to what is ours.

use super::envelope::{self, CredentialPath};
use super::provider::oauth2::{self, OwnClient, Settings, Tokens};
use super::service::OAuth2;
use crate::audit;
use crate::context::cache::key;
use crate::context::{Change, Cx};
use crate::crypto::Secret;
use crate::directory::connections::{self, KeptTokensKey};
use crate::error::{Error, Fault, Reason, Result};
use crate::model::event::Facts;
use crate::model::{AccountStatus, ConnectedAccount, Connection, Event, EventType};
use crate::ports::Sql;
use crate::store;
use crate::store::accounts::Place;
use std::rc::Rc;

/// How many accounts are revoked at their services at once: a call each, of which a request has a bounded number.
const REVOKED: i64 = 25;

key!(
    /// The account of an owner at a connection.
    ConnectedAccountKey(connection, owner, label) -> ConnectedAccount = "account", weighs |_| 4_096
);

/// The account at that place, at most as old as the freshness bound.
pub async fn load(cx: &Cx<'_>, place: Place<'_>) -> Result<Option<Rc<ConnectedAccount>>> {
    let key = ConnectedAccountKey(place.connection, place.owner, place.label);
    cx.cached(&key, async || cx.one(store::accounts::at(&cx.tenant.id, place)).await).await
}

/// The connection's own client at its service.
pub async fn own_client(cx: &Cx<'_>, connection: &Connection, settings: &Settings) -> Result<OwnClient> {
    let pointer = connection.credential.as_ref().ok_or(Fault::Broken("a connection has no credential"))?;
    let path = CredentialPath { tenant: &cx.tenant.id, connection: &connection.name, credential: &pointer.id };
    let key = envelope::data_key(cx, &path, pointer)?;
    let plain = envelope::fetch(cx, &path, &key).await?;
    let secret = std::str::from_utf8(&plain).map_err(|_| Fault::Broken("a client secret is no text"))?;
    Ok(OwnClient { id: settings.client_id.clone(), secret: Secret::new(secret.to_owned()) })
}

fn path<'a>(cx: &'a Cx<'_>, account: &'a ConnectedAccount) -> CredentialPath<'a> {
    CredentialPath { tenant: &cx.tenant.id, connection: &account.connection, credential: &account.id }
}

/// Opens the tokens of an account.
pub fn open(cx: &Cx<'_>, account: &ConnectedAccount) -> Result<Tokens> {
    let broken = || Fault::Broken("the tokens of an account cannot be read");
    let path = path(cx, account);
    let key = path.unwrap(envelope::ring(cx)?, &account.wrapped_key).ok_or_else(broken)?;
    let opened = path.open_account(&key, (&account.owner, account.generation), &account.sealed).ok_or_else(broken)?;
    serde_json::from_slice(&opened).map_err(|_| broken().into())
}

/// Seals tokens of an account, as those of that generation.
pub fn sealed(cx: &Cx<'_>, account: &ConnectedAccount, generation: i64, tokens: &Tokens) -> Result<String> {
    let broken = || Fault::Broken("the tokens of an account cannot be sealed");
    let path = path(cx, account);
    let key = path.unwrap(envelope::ring(cx)?, &account.wrapped_key).ok_or_else(broken)?;
    let plain = Secret::new(serde_json::to_vec(tokens).map_err(|_| broken())?);
    let text = path.seal_account(&key, (&account.owner, generation), plain.expose(), &*cx.world.entropy);
    text.ok_or_else(|| broken().into())
}

/// Gives an account that is to be stored its data key and its tokens.
pub fn seal_new(cx: &Cx<'_>, mut account: ConnectedAccount, tokens: &Tokens) -> Result<ConnectedAccount> {
    let made = path(cx, &account).make_key(envelope::ring(cx)?, &*cx.world.entropy);
    (_, account.wrapped_key) = made.ok_or(Fault::Broken("a data key cannot be sealed"))?;
    account.sealed = sealed(cx, &account, 1, tokens)?;
    Ok(account)
}

/// The event of an account.
pub fn event(
    cx: &Cx<'_>,
    kind: EventType,
    account: &ConnectedAccount,
    reason: Option<AccountStatus>,
    detail: Option<String>,
) -> Event {
    let facts = Facts {
        connection: Some(account.connection.clone()),
        subject: (!account.owner.is_empty()).then(|| account.owner.clone()),
        target: Some(account.id.clone()),
        target_name: Some(account.name.clone()),
        scope_asked: Some(account.scope_asked.clone()),
        scope_given: Some(account.scope.clone()),
        reason: reason.map(|reason| reason.as_str().to_owned()),
        detail,
        ..Facts::default()
    };
    audit::event(cx, kind, None, facts)
}

/// A change of an account, which every isolate hears of.
pub fn change(guard: Sql, account: &ConnectedAccount) -> Change {
    Change::guard(guard)
        .invalidates(&ConnectedAccountKey(&account.connection, &account.owner, &account.label))
        .invalidates(&KeptTokensKey(&account.connection))
}

/// Removes an account, and revokes its tokens at the service.
pub async fn disconnect(cx: &Cx<'_>, account: &ConnectedAccount, by: Option<&str>) -> Result<()> {
    let revocation = Revocation::default().and(cx, account.clone()).await;
    let mut event = event(cx, EventType::AccountDisconnected, account, None, None);
    event.client = by.map(str::to_owned);
    if !cx.commit(change(store::accounts::delete(&cx.tenant.id, &account.id), account).event(event)).await? {
        return Err(Reason::NotFound.into());
    }
    revocation.run(cx).await;
    Ok(())
}

/// Tokens that are to be revoked at their services once what is ours of them is gone: read before, for afterwards nobody can.
#[derive(Default)]
pub struct Revocation(Vec<(OAuth2, OwnClient, Tokens)>);

impl Revocation {
    /// The accounts of a connection, [`REVOKED`] at the most.
    pub async fn of_connection(cx: &Cx<'_>, connection: &Connection) -> Result<Self> {
        let accounts = cx.all(store::accounts::of_connection(&cx.tenant.id, &connection.name, "", REVOKED)).await?;
        Ok(Self::default().all(cx, accounts).await)
    }

    /// The accounts of a user, [`REVOKED`] at the most.
    pub async fn of_user(cx: &Cx<'_>, user: &str) -> Result<Self> {
        let accounts = cx.all(store::accounts::of_user(&cx.tenant.id, user, REVOKED)).await?;
        Ok(Self::default().all(cx, accounts).await)
    }

    async fn all(self, cx: &Cx<'_>, accounts: Vec<ConnectedAccount>) -> Self {
        let mut all = self;
        for account in accounts {
            all = all.and(cx, account).await;
        }
        all
    }

    /// One account more. What cannot be read cannot be revoked, and keeps nobody from removing it.
    async fn and(mut self, cx: &Cx<'_>, account: ConnectedAccount) -> Self {
        let read = async {
            let found = connections::load(cx, &account.connection).await?;
            let connection = found.ok_or(Fault::Broken("an account has no connection"))?;
            let settings = Settings::of(&connection.settings.config)?;
            let client = own_client(cx, &connection, &settings).await?;
            Ok::<_, Error>((settings.oauth2()?, client, open(cx, &account)?))
        };
        match read.await {
            Ok(one) => self.0.push(one),
            Err(error) => cx.world.log.line(&format!("{}: an account cannot be revoked: {error}", cx.request_id)),
        }
        self
    }

    /// Revokes them.
    pub async fn run(self, cx: &Cx<'_>) {
        for (oauth2, client, tokens) in &self.0 {
            if !oauth2::revoke(cx, oauth2, client, tokens).await {
                cx.world.log.line(&format!("{}: a service has not revoked the tokens of an account", cx.request_id));
            }
        }
    }
}
