//! A lease: a resource server gets a downstream token for the call of an agent.
//!
//! 1. The caller is a resource server, and `permit` decides each time (docs/requirements.md R52, R53). A `@ttl` changes nothing: the
//!    provider says how long a downstream token lives.
//! 2. A lease that has waited for the provider or for another lease checks all of it again, on fresh records: a kill meanwhile is not
//!    escaped, and what was obtained for a connection that was changed meanwhile is not handed out.
//! 3. Each lease is one event, durable before the token leaves, whether the token was fetched or kept (R67).

use super::accounts;
use super::connect::{self, Wanted};
use super::downstream;
use super::permit::{Caller, Party, Trail, Use};
use super::provider::{
    self, Tokens,
    oauth2::{self, Owner, Settings},
};
use super::refresh::{self, Missing, Obtained};
use crate::approvals::{self, Held};
use crate::audit;
use crate::authn::client::Authenticated;
use crate::context::Cx;
use crate::context::cache::key;
use crate::directory::connections::Downstream;
use crate::error::{Error, Fault, Reason, Result};
use crate::model::id::is_slug;
use crate::model::{AccountStatus, ClientKind, ConnectedAccount, Connection, EventType};
use crate::oauth::{Parameters, Scope};
use crate::store;
use crate::store::accounts::Place;
use std::rc::Rc;

key!(
    /// Until when a client has a token of a connection for a subject, as far as this isolate has written it down.
    LeaseUseKey(client, subject, connection) -> i64 = "lease-use", weighs |_| 64
);

/// What a lease reads of a form.
pub const READS: &[&str] = &["subject_token", "scope", "tool", "account"];

const MAX_TOOL: usize = 200;
const MAX_ASKED: usize = 1024;

/// A lease request whose client has been authenticated.
pub struct Request<'a> {
    /// The connection that the path names.
    pub connection: &'a str,
    /// The parameters.
    pub form: Parameters<'a>,
    /// The resource server.
    pub caller: &'a Authenticated,
    /// Whether the answer has to have an access token (RFC 8693 §2.2.1).
    pub is_exchange: bool,
}

/// A lease that has been granted and recorded.
pub struct Granted {
    /// The token.
    pub token: Rc<Downstream>,
    /// How long it still lives, in seconds.
    pub expires_in: i64,
    /// Its scope.
    pub scope: String,
    /// The account that it is of, where people connect accounts.
    pub account: Option<Rc<ConnectedAccount>>,
}

/// Decides, obtains the token and records the lease. `trail` gathers what the event of a refusal has.
pub async fn lease(cx: &Cx<'_>, request: &Request<'_>, trail: &mut Trail) -> Result<Granted> {
    let Request { connection: name, form, caller, is_exchange } = request;
    if is_slug(name) {
        trail.facts.connection = Some((*name).to_owned());
    }
    if caller.client.metadata.kind != ClientKind::ResourceServer {
        return Err(Reason::NotAResourceServer.into());
    }
    let tool = form.get("tool");
    if tool.is_some_and(|tool| !is_tool(tool)) {
        return Err(Reason::MalformedForm.because("`tool` is too long or has control characters"));
    }
    trail.facts.tool = tool.map(str::to_owned);
    let asked = form.get("scope");
    trail.facts.scope_asked = asked.filter(|text| text.len() <= MAX_ASKED).map(str::to_owned);
    let asked = asked.map(|text| Scope::parse(text).ok_or(Reason::MalformedScope)).transpose()?;
    let label = form.get("account").unwrap_or_default();

    let wanted = Use {
        connection: (*name).to_owned(),
        token: form.get("subject_token").ok_or(Reason::MissingSubjectToken)?.to_owned(),
        caller: Caller::Server { id: caller.client.id.clone(), method: caller.method },
        tool: tool.map(str::to_owned),
        call: None,
        scope: asked.as_ref().map(Scope::to_string),
        account: label.to_owned(),
        began: cx.now,
        held: Held::default(),
    };
    grant(cx, &wanted, &Asked { scope: asked, label, is_tenants: false, needs_access_token: *is_exchange }, trail).await
}

/// What is asked of a connection.
pub struct Asked<'a> {
    /// The scope; absent: all that it offers.
    pub scope: Option<Scope>,
    /// The label of the account; empty for the one without.
    pub label: &'a str,
    /// Whether an account of a user will not do.
    pub is_tenants: bool,
    /// Whether what is no access token will not do (RFC 8693 §2.2.1).
    pub needs_access_token: bool,
}

/// Decides about the use of a connection, obtains its token and records the lease. `trail` gathers what the event of a refusal has.
pub async fn grant(cx: &Cx<'_>, wanted: &Use, asked: &Asked<'_>, trail: &mut Trail) -> Result<Granted> {
    let (mut party, connection) = wanted.permitted(cx, trail).await?;
    expect_offer(&connection, asked)?;
    party.expect_room(cx, &trail.facts).await?;
    let granted = obtain(cx, (&party, &connection), asked.scope.as_ref(), asked.label).await?;
    note_use(cx, &party, &connection, granted.token.expires_at).await?;
    if let Some(fresh) = cx.refreshed_after_wait().await? {
        let now;
        (party, now) = wanted.permitted(&fresh, trail).await?;
        expect_offer(&now, asked)?;
        expect_unchanged(&connection, &now)?;
    }
    party.count(cx, &trail.facts).await?;
    approvals::redeem_held(cx, &wanted.held).await?;
    trail.facts.scope_given = Some(granted.scope.clone());
    trail.facts.expires_at = granted.token.expiry();
    let event = audit::event(cx, EventType::LeaseGranted, trail.agent.as_deref(), trail.facts.clone());
    audit::record(cx, &event).await?;
    Ok(granted)
}

/// Refused where the connection does not hand out what is asked for.
fn expect_offer(connection: &Connection, asked: &Asked<'_>) -> Result<()> {
    let provider = provider::find(&connection.kind).ok_or(Fault::Broken("a stored kind is unknown"))?;
    if !(provider.may_be_leased)(&connection.settings.config) {
        return Err(Reason::LeaseNotOffered.into());
    }
    if asked.needs_access_token && !provider.gives_access_tokens {
        return Err(Reason::LeaseElsewhere.because("what this connection leases is no access token"));
    }
    if asked.is_tenants && has_accounts_of_users(connection)? {
        return Err(Reason::TenantAccountNeeded.because("the connection has accounts of users"));
    }
    Ok(())
}

/// A credential that was obtained for a connection as it was before is not used: the next try has that of now.
pub(super) fn expect_unchanged(before: &Connection, now: &Connection) -> Result<()> {
    let which = |connection: &Connection| {
        (connection.version, connection.credential.as_ref().map(|credential| credential.id.clone()))
    };
    match which(before) == which(now) {
        true => Ok(()),
        false => Err(Fault::Unavailable("the connection, which has just changed,").into()),
    }
}

/// Whether people connect accounts of their own with it.
fn has_accounts_of_users(connection: &Connection) -> Result<bool> {
    match connection.kind == oauth2::PROVIDER.kind {
        true => Ok(Settings::of(&connection.settings.config)?.owner == Owner::User),
        false => Ok(provider::find(&connection.kind).is_some_and(|provider| provider.tokens == Tokens::OfUser)),
    }
}

/// Whether a text may name a tool.
pub fn is_tool(text: &str) -> bool {
    text.chars().count() <= MAX_TOOL && !text.contains(char::is_control)
}

/// A token of the connection for the agent: of the account with that label where people connect accounts, else by an exchange.
pub(super) async fn obtain(
    cx: &Cx<'_>,
    parties: (&Party, &Connection),
    asked: Option<&Scope>,
    label: &str,
) -> Result<Granted> {
    let (party, connection) = parties;
    let scope = narrow(connection, asked)?;
    if connection.kind == oauth2::PROVIDER.kind {
        return of_account(cx, parties, asked, label).await;
    }
    let scope = scope.to_string();
    let provider = provider::find(&connection.kind).ok_or(Fault::Broken("a stored kind is unknown"))?;
    let whose = match (provider.tokens, &party.user) {
        (Tokens::Shared, _) => "",
        (Tokens::OfAgent, _) => &party.client.id,
        (Tokens::OfUser, Some(user)) => &user.id,
        (Tokens::OfUser, None) => return Err(acts_for_nobody("the connection has tokens of users")),
    };
    let downstream::Obtained { token, expires_in } = downstream::obtain(cx, connection, &scope, whose).await?;
    // The service says it where it has given another one (RFC 6749 §5.1).
    let given = token.members().get("scope").and_then(|scope| Some(scope.as_str()?.to_owned()));
    Ok(Granted { token, expires_in, scope: given.unwrap_or(scope), account: None })
}

fn acts_for_nobody(why: &str) -> Error {
    Reason::LeaseDenied.because([why, ", and the agent acts for none"].concat())
}

/// A token of the account that is connected for the agent's user, or for the tenant.
async fn of_account(
    cx: &Cx<'_>,
    (party, connection): (&Party, &Connection),
    asked: Option<&Scope>,
    label: &str,
) -> Result<Granted> {
    let settings = Settings::of(&connection.settings.config)?;
    if !label.is_empty() && !is_slug(label) {
        return Err(Reason::MalformedForm.because("`account` is no label"));
    }
    let user = party.user.as_ref().map(|user| user.id.as_str());
    let owner = match (settings.owner, user) {
        (Owner::Tenant, _) => "",
        (Owner::User, Some(user)) => user,
        (Owner::User, None) => {
            return Err(acts_for_nobody("the connection has accounts of users"));
        }
    };
    let place = Place { connection: &connection.name, owner, label };
    let wanted = |user: &str| Wanted {
        connection: connection.name.clone(),
        user: Some(user.to_owned()),
        owner: owner.to_owned(),
        label: label.to_owned(),
        scopes: asked.map(Scope::to_vec).unwrap_or_default(),
        client: Some(party.client.id.clone()),
        until: connect::link_until(cx.now.seconds()),
    };
    let missing = |why: &str| -> Result<Granted> {
        Err(match user.filter(|_| !owner.is_empty()) {
            Some(user) => Reason::ConnectionNeeded.connecting(connect::link(cx, &wanted(user))?, why),
            None => Reason::TenantAccountNeeded.because(why),
        })
    };
    let Some(account) = accounts::load(cx, place).await? else { return missing("there is none") };
    let granted = |scope: &str| Scope::parse(scope).unwrap_or_default();
    let has = |scope: &Scope| asked.is_none_or(|asked| asked.iter().all(|one| scope.contains(one)));
    if !has(&granted(&account.scope)) {
        return missing("the service has not granted all of the scope");
    }
    // What the connection has asked for before, and does not offer any more, is in the token all the same.
    let asked_for = granted(&account.scope_asked);
    if granted(&account.scope)
        .iter()
        .any(|one| asked_for.contains(one) && !settings.scopes.iter().any(|own| own == one))
    {
        return missing("its scope has more than the connection offers by now");
    }
    match refresh::obtain(cx, connection, &settings, &account).await {
        Ok(Obtained { account, .. }) if !has(&granted(&account.scope)) => {
            missing("the service grants less than before")
        }
        Ok(Obtained { token, expires_in, account }) => {
            Ok(Granted { token, expires_in, scope: account.scope.clone(), account: Some(account) })
        }
        Err(Missing::Connect(Some(AccountStatus::Disabled))) => Err(Reason::AccountDisabled.into()),
        Err(Missing::Connect(status)) => missing(status.map_or("it is gone", |status| status.as_str())),
        Err(Missing::Failed(error)) => Err(error),
    }
}

/// Notes in D1, once a token and isolate, that the agent has it: a kill finds it there.
async fn note_use(cx: &Cx<'_>, party: &Party, connection: &Connection, expires_at: i64) -> Result<()> {
    let (client, subject) = (&*party.client.id, party.subject());
    let key = LeaseUseKey(client, subject, &connection.name);
    let noted = cx.cached(&key, async || Ok(None)).await?;
    if noted.is_some_and(|until| *until >= expires_at) {
        return Ok(());
    }
    let stamp = cx.stamp();
    let statement = store::leases::note_use(&cx.tenant.id, client, subject, &connection.name, expires_at);
    cx.run(vec![statement]).await?;
    cx.keep(stamp, &key, expires_at);
    Ok(())
}

/// The requested scope, all of which the connection has to offer; by default all that it offers. The order is that of the connection, so
/// that two spellings of one scope share a token.
fn narrow(connection: &Connection, asked: Option<&Scope>) -> Result<Scope> {
    let broken = || Fault::Broken("a stored connection does not have its shape");
    let provider = provider::find(&connection.kind).ok_or_else(broken)?;
    let offered = (provider.offers)(&connection.settings.config).ok_or_else(broken)?;
    match asked {
        None => Ok(offered),
        Some(asked) if asked.is_empty() || !asked.iter().all(|one| offered.contains(one)) => {
            Err(Reason::LeaseScope.into())
        }
        Some(asked) => Ok((provider.narrow)(&offered, asked)),
    }
}
