//! Connected accounts: finding them, sealing their tokens, disconnecting them.
//!
//! 1. The tokens lie in D1, sealed under a data key of the account; tenant, connection, account, owner and generation are bound to them
//!    (docs/requirements.md R60).
//! 2. Whatever changes an account is an event, and every isolate hears of it.
//! 3. What is disconnected is gone here first, and then revoked at the service, by the cron where that does not answer or this Worker has no vault key.
//! 4. Tokens are sent to no service but their own: they are read together with their connection, and what waits for its revocation is forgotten where the
//!    connection gets another client or other endpoints, or ends (R300).

use super::canary;
use super::envelope::{self, CredentialPath};
use super::provider::oauth2::{self, OwnClient, Revoked, Settings, Tokens};
use super::service::OAuth2;
use crate::audit;
use crate::context::cache::key;
use crate::context::{Change, Cx};
use crate::crypto::Secret;
use crate::directory::connections::KeptTokensKey;
use crate::error::{Error, Fault, Reason, Result};
use crate::model::event::Facts;
use crate::model::{AccountStatus, ConnectedAccount, Connection, Event, EventType};
use crate::outbound::retry;
use crate::ports::{Pending, Sql};
use crate::store;
use crate::store::accounts::{Ended, Place};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// How many accounts are revoked at their services at once: a call each, of which a request has a bounded number.
const REVOKED: i64 = 25;

/// How many accounts that have ended are revoked by the request that ends one; the rest are the cron's.
pub const AT_ONCE: i64 = 3;
/// For how long a service that does not answer is asked to revoke, in seconds.
const ASKED_SECONDS: i64 = 86_400;

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

/// The authorization server of a connection's accounts, and the connection's own client there.
async fn service_of(cx: &Cx<'_>, connection: &Connection) -> Result<(OAuth2, OwnClient)> {
    let settings = Settings::of(&connection.settings.config)?;
    let client = own_client(cx, connection, &settings).await?;
    Ok((settings.oauth2()?, client))
}

fn path<'a>(cx: &'a Cx<'_>, account: &'a ConnectedAccount) -> CredentialPath<'a> {
    CredentialPath { tenant: &cx.tenant.id, connection: &account.connection, credential: &account.id }
}

/// Opens the tokens of an account.
pub fn open(cx: &Cx<'_>, account: &ConnectedAccount) -> Result<Tokens> {
    let of = (account.owner.as_str(), account.generation);
    opened(cx, &path(cx, account), of, (&account.wrapped_key, &account.sealed))
}

/// Whether an account has a refresh token, as far as its tokens can be read.
pub fn has_refresh_token(cx: &Cx<'_>, account: &ConnectedAccount) -> bool {
    open(cx, account).is_ok_and(|tokens| tokens.refresh_token.is_some())
}

fn opened(cx: &Cx<'_>, path: &CredentialPath<'_>, of: (&str, i64), (wrapped, sealed): (&str, &str)) -> Result<Tokens> {
    let broken = || Fault::Broken("the tokens of an account cannot be read");
    let key = path.unwrap(envelope::ring(cx)?, wrapped).ok_or_else(broken)?;
    let opened = path.open_account(&key, of, sealed).ok_or_else(broken)?;
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

/// An account that is to be stored at that place, without a name and without tokens.
pub fn fresh(cx: &Cx<'_>, Place { connection, owner, label }: Place<'_>, scope_asked: String) -> ConnectedAccount {
    let now = cx.now.seconds();
    ConnectedAccount {
        id: cx.new_id(),
        connection: connection.to_owned(),
        owner: owner.to_owned(),
        label: label.to_owned(),
        name: String::new(),
        subject: String::new(),
        scope: scope_asked.clone(),
        scope_asked,
        status: AccountStatus::Active,
        wrapped_key: String::new(),
        sealed: String::new(),
        expires_at: 0,
        generation: 1,
        claim: None,
        claimed_until: 0,
        attempted_at: 0,
        retried: false,
        created_at: now,
        updated_at: now,
    }
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

/// Stops an account until it is resumed; its tokens stay.
pub async fn suspend(cx: &Cx<'_>, account: &ConnectedAccount, by: &str) -> Result<()> {
    let guard = store::accounts::suspend(&cx.tenant.id, &account.id, cx.now.seconds());
    let why = "it is stopped already, is being refreshed, or has to be connected anew";
    set_status(cx, (account, guard), (AccountStatus::Disabled, by), why).await
}

/// Lets an account that was stopped go on.
pub async fn resume(cx: &Cx<'_>, account: &ConnectedAccount, by: &str) -> Result<()> {
    let guard = store::accounts::resume(&cx.tenant.id, &account.id, cx.now.seconds());
    set_status(cx, (account, guard), (AccountStatus::Active, by), "it is not stopped").await
}

async fn set_status(
    cx: &Cx<'_>,
    (account, guard): (&ConnectedAccount, Sql),
    (status, by): (AccountStatus, &str),
    why: &'static str,
) -> Result<()> {
    let mut event = event(cx, EventType::AccountChanged, account, Some(status), None);
    event.client = Some(by.to_owned());
    match cx.commit(change(guard, account).event(event)).await? {
        true => Ok(()),
        false => Err(Reason::Conflict.because(why)),
    }
}

/// Ends an account; its tokens are revoked at the service.
pub async fn disconnect(cx: &Cx<'_>, account: &ConnectedAccount, by: Option<&str>) -> Result<()> {
    match end(cx, account, by).await? {
        true => revoke_ended(cx, AT_ONCE).await,
        false => Err(Reason::NotFound.into()),
    }
}

/// Ends an account, and leaves its tokens for [`revoke_ended`]. False if it has ended already.
pub async fn end(cx: &Cx<'_>, account: &ConnectedAccount, by: Option<&str>) -> Result<bool> {
    let mut event = event(cx, EventType::AccountDisconnected, account, None, None);
    event.client = by.map(str::to_owned);
    let [keep, delete] = store::accounts::end(&cx.tenant.id, &account.id, cx.now.seconds());
    cx.commit(change(delete, account).before(keep).event(event)).await
}

/// Revokes at their services the tokens of accounts that have ended, `limit` of them at the most, all at once; where this Worker has no vault key, the
/// cron of one that has does it. A service that does not answer is asked again for a day.
pub async fn revoke_ended(cx: &Cx<'_>, limit: i64) -> Result<()> {
    if cx.config.vault().is_none() {
        return Ok(());
    }
    let waiting = cx.all(store::accounts::ended(&cx.tenant.id, limit)).await?;
    if waiting.is_empty() {
        return Ok(());
    }
    match canary::ring(cx).await {
        Ok(_) => {}
        // Under a wrong key none opens, and none is forgotten.
        Err(Error::Refused(_)) => return Ok(()),
        Err(fault) => return Err(fault),
    }
    let _held = cx.world.lifetime.hold();
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let outcomes = RefCell::new(Vec::with_capacity(waiting.len()));
    let calls = waiting.iter().map(|ended| {
        let call: Pending<'_, ()> = Box::pin(async {
            let is_over = ended.ended_at.saturating_add(ASKED_SECONDS) <= now;
            let outcome = match revoke(cx, ended).await {
                Revoked::NotNow if !is_over => store::accounts::tried(tenant, &ended.id, now),
                _ => store::accounts::forget_ended(tenant, &ended.id),
            };
            outcomes.borrow_mut().push(outcome);
        });
        call
    });
    retry::all(calls.collect()).await;
    cx.run(outcomes.into_inner()).await.map(drop)
}

/// Asks the service to revoke the tokens of an account that has ended.
async fn revoke(cx: &Cx<'_>, ended: &Ended) -> Revoked {
    let Some(connection) = &ended.connection else { return Revoked::Cannot };
    let read = async {
        let (oauth2, client) = service_of(cx, connection).await?;
        let path = CredentialPath { tenant: &cx.tenant.id, connection: &connection.name, credential: &ended.id };
        let tokens = opened(cx, &path, (&ended.owner, ended.generation), (&ended.wrapped_key, &ended.sealed))?;
        Ok::<_, Error>((oauth2, client, tokens))
    };
    match read.await {
        Ok((oauth2, client, tokens)) => oauth2::revoke(cx, &oauth2, &client, &tokens).await,
        Err(Error::Fault(Fault::Unavailable(_))) => Revoked::NotNow,
        Err(error) => {
            cx.world.log.line(&format!("{}: an account cannot be revoked: {error}", cx.request_id));
            Revoked::NotNow
        }
    }
}

/// Tokens that are to be revoked at their service once what is ours of them is gone: read before, for afterwards nobody can.
#[derive(Default)]
pub struct Revocation(Option<(OAuth2, OwnClient)>, Vec<Tokens>);

impl Revocation {
    /// The accounts of a connection, `REVOKED` at the most. What is done then has to hold for that version of the connection alone.
    pub async fn of_connection(cx: &Cx<'_>, connection: &Connection) -> Result<Self> {
        let accounts = cx.all(store::accounts::of_connection(&cx.tenant.id, &connection.name, "", REVOKED)).await?;
        Ok(Self::of(cx, connection, &accounts).await)
    }

    /// The accounts of the connection of that name.
    pub async fn of_named(cx: &Cx<'_>, name: &str) -> Result<Self> {
        let tenant = &cx.tenant.id;
        // At one moment: no token is sent to a service that it is not of.
        let accounts = store::accounts::of_connection(tenant, name, "", REVOKED);
        let (found, accounts) = cx.batch((store::connections::get(tenant, name), accounts)).await?;
        match found.first() {
            Some(connection) => Ok(Self::of(cx, connection, &accounts).await),
            None => Ok(Self::default()),
        }
    }

    /// These accounts of a connection. What cannot be read cannot be revoked, and keeps nobody from removing it.
    pub async fn of(cx: &Cx<'_>, connection: &Connection, accounts: &[ConnectedAccount]) -> Self {
        let log = |error: Error| {
            cx.world.log.line(&format!("{}: an account cannot be revoked: {error}", cx.request_id));
        };
        if accounts.is_empty() {
            return Self::default();
        }
        match service_of(cx, connection).await {
            Ok(service) => {
                let tokens = accounts.iter().filter_map(|account| open(cx, account).map_err(log).ok());
                Self(Some(service), tokens.collect())
            }
            Err(error) => {
                log(error);
                Self::default()
            }
        }
    }

    /// Revokes them.
    pub async fn run(self, cx: &Cx<'_>) {
        let Self(Some((oauth2, client)), tokens) = &self else { return };
        let _held = cx.world.lifetime.hold();
        let unrevoked = Cell::new(0_usize);
        let calls = tokens.iter().map(|tokens| {
            let call: Pending<'_, ()> = Box::pin(async {
                if oauth2::revoke(cx, oauth2, client, tokens).await != Revoked::Done {
                    unrevoked.set(unrevoked.get().saturating_add(1));
                }
            });
            call
        });
        retry::all(calls.collect()).await;
        let unrevoked = unrevoked.get();
        if unrevoked > 0 {
            cx.world
                .log
                .line(&format!("{}: a service has not revoked the tokens of {unrevoked} accounts", cx.request_id));
        }
    }
}
