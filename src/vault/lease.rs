//! A lease: a resource server gets a downstream token for the call of an agent.
//!
//! 1. The caller is a resource server, and the agent's token was issued for a resource that it serves (RFC 8693 §2.1).
//! 2. Policy decides each time, with the agent as principal (docs/requirements.md R53). An unknown connection is asked about
//!    like any other and refused like a forbidden one, so names cannot be probed (R54).
//! 3. A permit with `@require` denies, for nothing can meet it. A `@ttl` changes nothing: the provider says how long a downstream token
//!    lives.
//! 4. A lease that has waited for the provider or for another lease checks all of it again, on fresh records: a kill meanwhile is not
//!    escaped.
//! 5. Each lease is one event, durable before the token leaves, whether the token was fetched or kept (R67).

use super::accounts;
use super::connect::{self, Wanted};
use super::downstream;
use super::provider::{
    self,
    oauth2::{self, Owner, Settings},
};
use super::refresh::{self, Missing, Obtained};
use crate::audit;
use crate::authn::client::Authenticated;
use crate::cedar::{Action, Circumstance, Target};
use crate::context::Cx;
use crate::context::cache::key;
use crate::crypto::sha256;
use crate::directory::clients;
use crate::directory::connections::{self, Downstream};
use crate::error::{Error, Fault, Reason, Refusal, Result};
use crate::model::event::Facts;
use crate::model::id::is_slug;
use crate::model::{ClientKind, Connection, EventType, Status};
use crate::oauth::{Form, Scope};
use crate::policy::{self, Inquiry};
use crate::store;
use crate::store::accounts::Place;
use crate::tokens::{self, Accepted};
use std::rc::Rc;

key!(
    /// Until when a client has a token of a connection for a subject, as far as this isolate has written it down.
    LeaseUseKey(client, subject, connection) -> i64 = "lease-use", weighs |_| 64
);

const MAX_TOOL: usize = 200;
const MAX_ASKED: usize = 1024;

/// A lease request whose client has been authenticated.
pub struct Request<'a> {
    /// The connection that the path names.
    pub connection: &'a str,
    /// The form.
    pub form: &'a Form,
    /// The resource server.
    pub caller: &'a Authenticated,
}

/// A lease that has been granted and recorded.
pub struct Granted {
    /// The token.
    pub token: Rc<Downstream>,
    /// How long it still lives, in seconds.
    pub expires_in: i64,
    /// Its scope.
    pub scope: String,
}

/// What the event of a lease has.
#[derive(Default)]
pub struct Trail {
    /// The agent.
    pub agent: Option<String>,
    /// Everything else.
    pub facts: Facts,
}

/// Decides, obtains the token and records the lease. `trail` gathers what the event of a refusal has.
pub async fn lease(cx: &Cx<'_>, request: &Request<'_>, trail: &mut Trail) -> Result<Granted> {
    let Request { connection: name, form, caller } = request;
    if is_slug(name) {
        trail.facts.connection = Some((*name).to_owned());
    }
    if caller.client.metadata.kind != ClientKind::ResourceServer {
        return Err(Reason::NotAResourceServer.into());
    }
    let tool = form.get("tool");
    if tool.is_some_and(|tool| tool.chars().count() > MAX_TOOL || tool.contains(char::is_control)) {
        return Err(Reason::MalformedForm.because("`tool` is too long or has control characters"));
    }
    trail.facts.tool = tool.map(str::to_owned);
    let asked = form.get("scope");
    trail.facts.scope_asked = asked.filter(|text| text.len() <= MAX_ASKED).map(str::to_owned);
    let asked = asked.map(|text| Scope::parse(text).ok_or(Reason::MalformedScope)).transpose()?;

    let (accepted, connection) = permitted(cx, request, trail).await?;
    let scope = narrow(&connection, asked.as_ref())?;
    let Granted { token, expires_in, scope } = match connection.kind == oauth2::PROVIDER.kind {
        true => of_account(cx, request, (&accepted, &connection), asked.as_ref()).await?,
        false => {
            let (scope, client) = (scope.to_string(), &accepted.claims.client_id);
            let downstream::Obtained { token, expires_in } =
                downstream::obtain(cx, &connection, &scope, client).await?;
            // The service says it where it has given another one (RFC 6749 §5.1).
            let given = token.members().get("scope").and_then(|scope| Some(scope.as_str()?.to_owned()));
            Granted { token, expires_in, scope: given.unwrap_or(scope) }
        }
    };
    note_use(cx, &accepted, &connection, token.expires_at).await?;
    if let Some(fresh) = cx.refreshed_after_wait().await? {
        permitted(&fresh, request, trail).await?;
    }
    trail.facts.scope_given = Some(scope.clone());
    trail.facts.expires_at = token.expiry();
    let event = audit::event(cx, EventType::LeaseGranted, trail.agent.as_deref(), trail.facts.clone());
    audit::record(cx, &event).await?;
    Ok(Granted { token, expires_in, scope })
}

/// The agent's token and the connection, if neither party has been stopped and policy lets the agent lease it here and now.
async fn permitted(cx: &Cx<'_>, request: &Request<'_>, trail: &mut Trail) -> Result<(Accepted, Rc<Connection>)> {
    let server = clients::load(cx, &request.caller.client.id).await?;
    if !server.is_some_and(|server| server.is_live(cx.now)) {
        return Err(Reason::ClientNotActive.into());
    }
    let accepted = verify(cx, request).await?;
    describe(&accepted, trail);
    let connection = decide(cx, request, &accepted, &mut trail.facts).await?;
    Ok((accepted, connection))
}

/// A token of the account that is connected for the agent's user, or for the tenant.
async fn of_account(
    cx: &Cx<'_>,
    request: &Request<'_>,
    (accepted, connection): (&Accepted, &Connection),
    asked: Option<&Scope>,
) -> Result<Granted> {
    let settings = Settings::of(&connection.settings.config)?;
    let label = request.form.get("account").unwrap_or_default();
    if !label.is_empty() && !is_slug(label) {
        return Err(Reason::MalformedForm.because("`account` is no label"));
    }
    let user = accepted.user.as_ref().map(|user| user.id.as_str());
    let owner = match (settings.owner, user) {
        (Owner::Tenant, _) => "",
        (Owner::User, Some(user)) => user,
        (Owner::User, None) => {
            return Err(
                Reason::LeaseDenied.because("the connection has accounts of users, and the agent acts for none")
            );
        }
    };
    let place = Place { connection: &connection.name, owner, label };
    let wanted = |user: &str| Wanted {
        connection: connection.name.clone(),
        user: Some(user.to_owned()),
        owner: owner.to_owned(),
        label: label.to_owned(),
        scopes: asked.map(Scope::to_vec).unwrap_or_default(),
        client: Some(accepted.claims.client_id.clone()),
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
        Ok(Obtained { scope, .. }) if !has(&granted(&scope)) => missing("the service grants less than before"),
        Ok(Obtained { token, expires_in, scope }) => Ok(Granted { token, expires_in, scope }),
        Err(Missing::Connect(status)) => missing(status.map_or("it is gone", |status| status.as_str())),
        Err(Missing::Failed(error)) => Err(error),
    }
}

/// Notes in D1, once a token and isolate, that the agent has it: a kill finds it there.
async fn note_use(cx: &Cx<'_>, accepted: &Accepted, connection: &Connection, expires_at: i64) -> Result<()> {
    let claims = &accepted.claims;
    let key = LeaseUseKey(&claims.client_id, &claims.sub, &connection.name);
    let noted = cx.cached(&key, async || Ok(None)).await?;
    if noted.is_some_and(|until| *until >= expires_at) {
        return Ok(());
    }
    let stamp = cx.stamp();
    let statement =
        store::leases::note_use(&cx.tenant.id, &claims.client_id, &claims.sub, &connection.name, expires_at);
    cx.run(vec![statement]).await?;
    cx.keep(stamp, &key, expires_at);
    Ok(())
}

/// The agent's token, if it holds for a resource that the caller serves.
async fn verify(cx: &Cx<'_>, Request { form, caller, .. }: &Request<'_>) -> Result<Accepted> {
    let token = form.get("subject_token").ok_or(Reason::MissingSubjectToken)?;
    let wanted = |aud: &str| tokens::serves(cx, &caller.client, aud);
    tokens::verify(cx, token, wanted).await.map_err(|rejection| rejection.refuse(Reason::InvalidSubjectToken))
}

fn describe(accepted: &Accepted, trail: &mut Trail) {
    let claims = &accepted.claims;
    trail.agent = Some(claims.client_id.clone());
    trail.facts.subject = Some(claims.sub.clone());
    trail.facts.chain = claims.actors().into_iter().map(str::to_owned).collect();
    trail.facts.resource = Some(claims.aud.clone());
    trail.facts.jti_hash = Some(sha256(&claims.jti).to_text());
}

/// The connection, if it is there and policy lets the agent lease it here and now.
async fn decide(
    cx: &Cx<'_>,
    Request { connection: name, form, caller }: &Request<'_>,
    accepted: &Accepted,
    facts: &mut Facts,
) -> Result<Rc<Connection>> {
    let connection = connections::load(cx, name).await?.filter(|connection| connection.status == Status::Active);
    let claims = &accepted.claims;
    let circumstance = Circumstance {
        auth_method: Some(caller.method.as_str().to_owned()),
        scopes: Scope::parse(&claims.scope).unwrap_or_default().to_vec(),
        tool: form.get("tool").map(str::to_owned),
        resource_server: Some(caller.client.id.clone()),
        chain: facts.chain.clone(),
        chain_tags: policy::shared_tags(cx, &claims.client_id, &claims.sub, &facts.chain).await?,
        subject: accepted.user.as_deref().map(policy::subject),
        ..policy::circumstance(cx)
    };
    let kind = connection.as_ref().map(|connection| connection.kind.clone()).unwrap_or_default();
    let targets = [Target::Connection { name: (*name).to_owned(), kind }];
    let inquiry = Inquiry { action: Action::Lease, targets: &targets, circumstance: &circumstance };
    let verdicts = policy::ask(cx, &accepted.client, inquiry, facts).await?;
    let detail = match (verdicts.first(), connection) {
        (Some(verdict), Some(connection)) if verdict.allow && verdict.require.is_empty() => return Ok(connection),
        (_, None) => Some("there is no such connection, or it is stopped".to_owned()),
        (Some(verdict), _) if verdict.allow => Some(format!("policy requires: {}", verdict.require.join(", "))),
        _ => None,
    };
    Err(Error::Refused(Refusal {
        reason: Reason::LeaseDenied,
        detail,
        decision: facts.decision.clone(),
        scope: None,
        retry_after: None,
        connect_url: None,
    }))
}

/// The requested scope, all of which the connection has to offer; by default all that it offers. The order is that of the connection, so
/// that two spellings of one scope share a token.
fn narrow(connection: &Connection, asked: Option<&Scope>) -> Result<Scope> {
    let broken = || Fault::Broken("a stored connection does not have its shape");
    let provider = provider::find(&connection.kind).ok_or_else(broken)?;
    if !(provider.may_be_leased)(&connection.settings.config) {
        return Err(Reason::LeaseNotOffered.into());
    }
    let offered = (provider.offers)(&connection.settings.config).ok_or_else(broken)?;
    match asked {
        None => Ok(offered),
        Some(asked) if asked.is_empty() || !asked.iter().all(|one| offered.contains(one)) => {
            Err(Reason::LeaseScope.into())
        }
        Some(asked) => Ok((provider.narrow)(&offered, asked)),
    }
}
