//! Connecting an account: a person goes to the service and back (RFC 6749 §4.1), and what the service gives is stored.
//!
//! 1. A link is made for one person, one connection and what is wanted; another person gets nowhere with it. It is sealed and ends after
//!    `LINK_SECONDS`, however often it is opened. One to the account of the tenant is an administrator's to make.
//! 2. What belongs to the way there and back (state, verifier) is sealed in the browser that began it, and counts once, in its session alone: nobody
//!    connects an account for somebody else, nor somebody else's for themselves (RFC 9700 §4.7, docs/requirements.md R215).
//! 3. Each connection has a redirect URI of its own, so a code of one service never goes to another (RFC 9700 §4.4.2.2); nor does it where the
//!    connection has been changed meanwhile. What comes of it is stored for that very state of the connection, or revoked.
//! 4. What was granted is kept beside what was asked for.
//! 5. Another account of the service takes the place of a connected one only if the person says so; else its tokens are revoked at once. An account
//!    that the service does not identify is another one.
//! 6. Where an administrator has stopped an account, nobody connects one.

use super::accounts::{self, Revocation};
use super::canary;
use super::provider::oauth2::{self, Given, Owner, Settings, Ungiven};
use super::service::Service;
use crate::audit;
use crate::authn::people::{Person, browser};
use crate::context::{Change, Cx};
use crate::crypto::nonce;
use crate::directory::connections;
use crate::error::{Error, Fault, Reason, Refusal, Result};
use crate::model::event::Facts;
use crate::model::{AccountStatus, ConnectedAccount, Connection, EventType, Status};
use crate::oauth::{Form, Scope};
use crate::store;
use crate::store::accounts::{ConnectionState, Place};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// How long a link can be opened, in seconds.
const LINK_SECONDS: i64 = 1_800;
/// How long a person may be at the service, in seconds.
pub const SECONDS: i64 = 3_600;
const LINK: &str = "connect-link";

/// What an account is connected for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The connection.
    pub connection: String,
    /// The person who has to connect it.
    pub user: Option<String>,
    /// Whose account it will be: the user, or nothing for the tenant.
    pub owner: String,
    /// The label.
    pub label: String,
    /// The scopes; empty: all that the connection has.
    pub scopes: Vec<String>,
    /// The client that needs it.
    pub client: Option<String>,
    /// When the link ends, in seconds since the epoch.
    pub until: i64,
}

/// A connection under way, as the browser keeps it.
#[derive(Serialize, Deserialize)]
pub struct UnderWay {
    wanted: Wanted,
    /// Its `state`.
    state: String,
    verifier: String,
    session: String,
    replaces: bool,
    /// What the tokens are for, as the connection was then.
    binding: String,
}

/// The connection that a person connects an account with, and its settings.
pub struct Found {
    /// The connection.
    pub connection: Rc<Connection>,
    /// Its settings.
    pub settings: Settings,
}

/// What came of it.
pub enum Connected {
    /// The account is connected.
    Account(Box<ConnectedAccount>),
    /// Another account is connected: its name, and that of this one.
    Other {
        /// The account that is there.
        present: String,
        /// The account that was chosen.
        chosen: String,
    },
}

/// When a link ends that is made now, in seconds since the epoch.
pub const fn link_until(now: i64) -> i64 {
    now.saturating_add(LINK_SECONDS)
}

/// What is wanted, as a link has it.
pub fn seal(cx: &Cx<'_>, wanted: &Wanted) -> Result<String> {
    browser::seal(cx, LINK, wanted, wanted.until.saturating_sub(cx.now.seconds()))
}

/// A link that makes a person connect what is wanted.
pub fn link(cx: &Cx<'_>, wanted: &Wanted) -> Result<String> {
    Ok([&cx.issuer(), "/connect/", &wanted.connection, "?request=", &seal(cx, wanted)?].concat())
}

/// What a link is for; without one, what the person who is signed in connects for themselves.
pub fn wanted(cx: &Cx<'_>, connection: &str, request: Option<&str>, person: &Person) -> Result<Wanted> {
    let Some(sealed) = request else {
        return Ok(Wanted {
            connection: connection.to_owned(),
            user: Some(person.user.id.clone()),
            owner: person.user.id.clone(),
            label: String::new(),
            scopes: vec![],
            client: None,
            until: link_until(cx.now.seconds()),
        });
    };
    let wanted: Wanted = browser::open(cx, LINK, sealed).ok_or(Reason::ConnectExpired)?;
    if wanted.connection != connection {
        return Err(Reason::ConnectExpired.into());
    }
    match wanted.user.as_ref() == Some(&person.user.id) {
        true => Ok(wanted),
        false => Err(Reason::OtherPerson.into()),
    }
}

/// The connection of that name, if people connect accounts with it.
pub async fn find(cx: &Cx<'_>, name: &str) -> Result<Found> {
    found(connections::load(cx, name).await?)
}

/// The same as it is now, whatever the freshness bound: what is about to be stored has to be its.
pub async fn find_now(cx: &Cx<'_>, name: &str) -> Result<Found> {
    let connection = cx.one(store::connections::get(&cx.tenant.id, name)).await?;
    found(connection.map(Rc::new))
}

fn found(connection: Option<Rc<Connection>>) -> Result<Found> {
    let is_one =
        |connection: &Rc<Connection>| connection.status == Status::Active && connection.kind == oauth2::PROVIDER.kind;
    let connection = connection.filter(is_one).ok_or(Reason::NoSuchService)?;
    let settings = Settings::of(&connection.settings.config)?;
    Ok(Found { connection, settings })
}

/// The service of the connection of that name.
pub async fn service(cx: &Cx<'_>, name: &str) -> Result<Option<Service>> {
    let connection = connections::load(cx, name).await?;
    connection.map(|connection| Settings::of(&connection.settings.config)?.service()).transpose()
}

impl Found {
    /// Refuses what is wanted of a connection that has no accounts of such an owner, or of another person.
    pub fn expect_owner(&self, wanted: &Wanted, person: &Person) -> Result<()> {
        match self.settings.owner {
            Owner::Tenant if wanted.owner.is_empty() => Ok(()),
            Owner::Tenant => {
                Err(Reason::NoSuchService.because("its account is the tenant's, which an administrator has connected"))
            }
            Owner::User if wanted.owner == person.user.id => Ok(()),
            Owner::User => Err(Reason::OtherPerson.into()),
        }
    }

    /// What an account is stored for: this version of the connection, with this credential.
    pub fn state(&self) -> Result<ConnectionState> {
        let pointer = self.connection.credential.as_ref().ok_or(Fault::Broken("a connection has no credential"))?;
        Ok(ConnectionState { version: self.connection.version, credential: pointer.id.clone() })
    }
}

impl Wanted {
    fn place(&self) -> Place<'_> {
        Place { connection: &self.connection, owner: &self.owner, label: &self.label }
    }
}

/// The account that is there, whatever has become of it.
pub async fn present(cx: &Cx<'_>, wanted: &Wanted) -> Result<Option<ConnectedAccount>> {
    cx.one(store::accounts::at(&cx.tenant.id, wanted.place())).await
}

/// The scopes that are asked for: those that are wanted, with those that the account that is there has already.
pub fn scopes(Found { settings, .. }: &Found, wanted: &Wanted, present: Option<&ConnectedAccount>) -> Vec<String> {
    let has = present.and_then(|account| Scope::parse(&account.scope)).unwrap_or_default();
    let is_asked = |scope: &&String| wanted.scopes.is_empty() || wanted.scopes.contains(scope) || has.contains(scope);
    settings.scopes.iter().filter(is_asked).cloned().collect()
}

/// Where the service of a connection sends people back to.
pub fn redirect_uri(cx: &Cx<'_>, connection: &str) -> String {
    [&cx.issuer(), "/connect/", connection, "/callback"].concat()
}

/// Begins: where the browser goes, and what it keeps.
pub async fn begin(
    cx: &Cx<'_>,
    found: &Found,
    wanted: Wanted,
    person: &Person,
    (state, replaces): (&str, bool),
) -> Result<(String, UnderWay)> {
    found.expect_owner(&wanted, person)?;
    canary::ring(cx).await?;
    if cx.one(store::accounts::is_full(&cx.tenant.id, wanted.place())).await? == Some(true) {
        return Err(Reason::TooManyAccounts.into());
    }
    let present = present(cx, &wanted).await?;
    expect_no_stop(present.as_ref())?;
    let verifier = [nonce(&*cx.world.entropy), nonce(&*cx.world.entropy)].concat();
    let scopes = scopes(found, &wanted, present.as_ref());
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let oauth2 = found.settings.oauth2()?;
    let back = redirect_uri(cx, &wanted.connection);
    let url = oauth2::authorization_url(&oauth2, &found.settings.client_id, &scopes, (&back, state, &verifier))?;
    let (session, binding) = (person.session.id.to_text(), found.settings.binding()?);
    Ok((url, UnderWay { wanted, state: state.to_owned(), verifier, session, replaces, binding }))
}

impl UnderWay {
    /// What the account is connected for.
    pub const fn wanted(&self) -> &Wanted {
        &self.wanted
    }
}

/// Refuses to put another account where an administrator has stopped one.
fn expect_no_stop(present: Option<&ConnectedAccount>) -> Result<()> {
    match present.is_some_and(|present| present.status == AccountStatus::Disabled) {
        true => Err(Reason::AccountDisabled.into()),
        false => Ok(()),
    }
}

/// Ends with the response of the service.
pub async fn finish(cx: &Cx<'_>, under_way: &UnderWay, person: &Person, response: &Form) -> Result<Connected> {
    let UnderWay { wanted, state, verifier, session, replaces, binding } = under_way;
    let found = find_now(cx, &wanted.connection).await?;
    if person.session.id.to_text() != *session || found.settings.binding()? != *binding {
        return Err(Reason::ConnectExpired.into());
    }
    found.expect_owner(wanted, person)?;
    canary::ring(cx).await?;
    // What the service gives is stored or revoked, though the person has gone.
    let _held = cx.world.lifetime.hold();
    if !cx.redeem("connect", &wanted.connection, state, cx.now.seconds().saturating_add(SECONDS)).await? {
        return Err(Reason::ConnectExpired.because("the response came before"));
    }
    if let Some(error) = response.get("error") {
        let is_code = error.len() <= 64 && error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let reason = match error {
            "server_error" | "temporarily_unavailable" => Reason::ConnectFailed,
            "invalid_request"
            | "unauthorized_client"
            | "unsupported_response_type"
            | "invalid_scope"
            | "invalid_client" => Reason::ConnectMisconfigured,
            _ => Reason::ConnectDeclined,
        };
        return Err(reason.because(if is_code { error } else { "it does not say why" }));
    }
    let code = response.get("code").ok_or_else(|| Reason::ConnectDeclined.because("the response has no `code`"))?;
    let oauth2 = found.settings.oauth2()?;
    let client = accounts::own_client(cx, &found.connection, &found.settings).await?;
    // Before there is anything that could be lost; the commit notices another one.
    let present = present(cx, wanted).await?;
    let asked = scopes(&found, wanted, present.as_ref()).join(" ");
    let given = oauth2::redeem(cx, &oauth2, &client, (code, &redirect_uri(cx, &wanted.connection), verifier)).await;
    let given = given.map_err(|why| match why {
        Ungiven::Refused(AccountStatus::ClientMisconfigured, code) => {
            Reason::ConnectMisconfigured.because(["the service refuses the connection's own client: ", &code].concat())
        }
        Ungiven::Refused(_, code) => Reason::ConnectDeclined.because(code),
        Ungiven::Trouble(why) | Ungiven::Lost(why) => Reason::ConnectFailed.because(why),
    })?;
    let (name, subject) = account_of(cx, &found, &given).await?;
    let scope = given.scope.as_ref().map_or_else(|| asked.clone(), ToString::to_string);
    let account = accounts::fresh(cx, wanted.place(), asked);
    let account = ConnectedAccount { name, subject, scope, expires_at: given.expires_at, ..account };
    let account = accounts::seal_new(cx, account, &given.tokens)?;
    let is_other = |present: &&ConnectedAccount| !present.is_same_at_service(&account);
    let other = present.as_ref().filter(is_other);
    if let Some(other) = other.filter(|_| !*replaces) {
        oauth2::revoke(cx, &oauth2, &client, &given.tokens).await;
        return Ok(Connected::Other { present: other.name.clone(), chosen: account.name });
    }
    let revocation = match other {
        Some(other) => Revocation::of(cx, &found.connection, std::slice::from_ref(other)).await,
        None => Revocation::default(),
    };
    let replaced = present.as_ref().map(|present| present.id.as_str()).unwrap_or_default();
    let detail = wanted.client.as_ref().map(|client| ["for the client ", client].concat());
    let put = store::accounts::put(&cx.tenant.id, &account, replaced, &found.state()?);
    let change: Change = accounts::change(put, &account);
    let event = accounts::event(cx, EventType::AccountConnected, &account, None, detail);
    match cx.commit(change.event(event)).await? {
        true => {
            revocation.run(cx).await;
            Ok(Connected::Account(Box::new(account)))
        }
        false => {
            // Where another window has just connected the same account, a revocation would end what it has got.
            let now = cx.one(store::accounts::at(&cx.tenant.id, wanted.place())).await?;
            if !now.as_ref().is_some_and(|now| now.is_same_at_service(&account)) {
                oauth2::revoke(cx, &oauth2, &client, &given.tokens).await;
            }
            expect_no_stop(now.as_ref())?;
            Err(Reason::ConsentChanged.into())
        }
    }
}

/// Records that nothing was connected, and why.
pub async fn refused(cx: &Cx<'_>, under_way: &UnderWay, person: &Person, refusal: &Refusal) -> Result<()> {
    let facts = Facts {
        connection: Some(under_way.wanted.connection.clone()),
        subject: Some(person.user.id.clone()),
        reason: Some(refusal.reason.as_str().to_owned()),
        detail: refusal.detail.clone(),
        ..Facts::default()
    };
    audit::record(cx, &audit::event(cx, EventType::AccountRefused, None, facts)).await
}

/// The name of the account and what identifies it, as the service says; empty where it says nothing.
async fn account_of(cx: &Cx<'_>, found: &Found, given: &Given) -> Result<(String, String), Error> {
    let service = found.settings.service()?;
    let (mut name, mut id) = (given.account.clone(), given.account_id.clone());
    if name.is_none() || id.is_none() {
        let (told, identified) = oauth2::account(cx, &service, &given.tokens.access_token).await;
        (name, id) = (name.or(told), id.or(identified));
    }
    Ok((name.unwrap_or_else(|| service.name.clone()), id.unwrap_or_default()))
}
