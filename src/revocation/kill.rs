//! The kill switch: one call that stops a client, an agentic identity, a user, a chain, a connection or a tenant.
//!
//! 1. A kill is for good; a tenant alone can be resumed, and then honours no token from before. Suspending stops a thing
//!    while it lasts: once resumed, tokens that have not expired are honoured again.
//! 2. It is one transaction with its event and its receipt, and it takes what depends on the thing along: every token (the
//!    gate asks about each party of one), downstream tokens kept for reuse, the data key of a connection.
//! 3. Killing twice changes nothing and answers the same receipt, from whatever isolates and however close together.
//! 4. Administrators of the first tenant alone stop tenants, and never the first one.
//! 5. The receipt names the moment after which no isolate honours the thing: the freshness bound (docs/requirements.md R86).
//!
//! Whoever uses a downstream token that was handed out may go on until it expires, for no provider so far takes one back;
//! the receipt says when that is. Out of scope: who may call, and the gate itself ([`crate::revocation::check`]).

use super::check::StoppedChainsKey;
use crate::audit;
use crate::context::{Change, Cx, TenantKey};
use crate::crypto::{Digest, sha256};
use crate::directory::clients::ClientKey;
use crate::directory::connections::{self, ConnectionKey, KeptTokensKey};
use crate::directory::identities::{IdentityKey, StatusListKey};
use crate::directory::{tenants, users};
use crate::error::{Fault, Reason, Result};
use crate::jose::{AccessToken, LEEWAY_SECONDS};
use crate::model::event::Facts;
use crate::model::resource::MAX_LIFETIME;
use crate::model::stop::{Receipt, Stopped};
use crate::model::{Connection, EventType, Status, Stoppable, id};
use crate::ports::Sql;
use crate::revocation::signals::{self, Subjects};
use crate::store::stops::Census;
use crate::store::{self, stops};
use std::rc::Rc;

/// What shall be stopped or resumed, and who says so.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    /// Which kind of thing.
    pub kind: Stoppable,
    /// Its id or name; for a chain a `jti`, or its digest as events have it.
    pub id: &'a str,
    /// The administrator's client.
    pub admin: &'a str,
}

impl Order<'_> {
    /// The thing as tables name it.
    fn thing(&self) -> (Stoppable, String) {
        let id = match self.kind {
            Stoppable::Chain if Digest::from_text(self.id).is_none() => sha256(self.id).to_text(),
            _ => self.id.to_owned(),
        };
        (self.kind, id)
    }
}

/// Stops a thing until it is resumed. A chain and a tenant cannot be suspended here.
pub async fn suspend(cx: &Cx<'_>, order: Order<'_>) -> Result<Receipt> {
    let census = census(cx, order).await?;
    let event = match census.status {
        Status::Suspended => None,
        from => {
            let told = told(cx, order, &census).await;
            Some(turn(cx, order, from, Status::Suspended, told).await?)
        }
    };
    let at = if event.is_some() { cx.now.seconds() } else { census.updated_at };
    Ok(receipt(cx, order, (Status::Suspended, at), &census, event))
}

/// Lets a suspended thing go on; one that is active goes on as it was.
pub async fn resume(cx: &Cx<'_>, order: Order<'_>) -> Result<()> {
    match census(cx, order).await?.status {
        Status::Active => Ok(()),
        from => turn(cx, order, from, Status::Active, vec![]).await.map(drop),
    }
}

/// Moves a thing that is not stopped for good; answers the name of the event that tells of it.
async fn turn(cx: &Cx<'_>, order: Order<'_>, from: Status, to: Status, signals: Vec<Sql>) -> Result<String> {
    if from == Status::Retired {
        return Err(Reason::Conflict.because("it was stopped for good"));
    }
    let kind = event_type(order.kind, to).ok_or(Reason::NotFound)?;
    let event = audit::event(cx, kind, Some(order.admin), facts(order));
    let guard = stops::set_status(&cx.tenant.id, (order.kind, order.id), (from, to), cx.now.seconds());
    let (id, change) = (event.id.clone(), Change::guard(guard.ok_or(Reason::NotFound)?));
    match cx.commit(invalidates(cx, change, order).await?.event(event).signals(signals)).await? {
        true => Ok(id),
        false => Err(Reason::Conflict.into()),
    }
}

/// Adds the keys of all that is cached of the thing.
async fn invalidates(cx: &Cx<'_>, change: Change, order: Order<'_>) -> Result<Change> {
    let (kind, id) = order.thing();
    let leased_from = match stops::leased_from(&cx.tenant.id, (kind, &id)) {
        Some(query) => cx.all(query).await?,
        None => vec![],
    };
    let change = leased_from.iter().fold(change, |change, name| change.invalidates(&KeptTokensKey(name)));
    Ok(match kind {
        Stoppable::Client => change.invalidates(&ClientKey(&id)),
        Stoppable::User => match cx.one(store::users::get(&cx.tenant.id, &id)).await? {
            Some(user) => users::invalidates(change, &user),
            None => change,
        },
        Stoppable::Identity => match cx.one(store::identities::get(&cx.tenant.id, &id)).await? {
            Some(identity) => change.invalidates(&IdentityKey(&identity.client, &identity.subject)),
            None => change,
        },
        Stoppable::Chain => change.invalidates(&StoppedChainsKey),
        Stoppable::Connection => change.invalidates(&ConnectionKey(&id)).invalidates(&KeptTokensKey(&id)),
        Stoppable::Tenant => change.of_tenant(&id).invalidates(&TenantKey),
    }
    .invalidates(&StatusListKey))
}

/// What a kill leaves to do.
#[must_use = "the ciphertext of a killed connection lies about until somebody removes it"]
pub struct Killed {
    /// What was stopped.
    pub receipt: Receipt,
    /// The connection that was stopped, with the pointer to its ciphertext: nothing can read it any more, and it can be removed.
    pub connection: Option<Rc<Connection>>,
}

/// Stops a thing for good, and everything that it was ever given. Callers go through [`crate::vault`], which removes ciphertexts.
pub async fn kill(cx: &Cx<'_>, order: Order<'_>) -> Result<Killed> {
    // Once the data key is gone nothing tells where its ciphertext lies.
    let connection = match order.kind {
        Stoppable::Connection => connections::load(cx, order.id).await?,
        Stoppable::Tenant => {
            tenants::expect_first(cx)?;
            tenants::not_first(order.id)?;
            None
        }
        Stoppable::Client | Stoppable::User | Stoppable::Identity | Stoppable::Chain => None,
    };
    Ok(Killed { receipt: stop(cx, order).await?, connection })
}

async fn stop(cx: &Cx<'_>, order: Order<'_>) -> Result<Receipt> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let census = census(cx, order).await?;
    let (kind, id) = order.thing();
    let wire = event_type(kind, Status::Retired).ok_or(Fault::Broken("a kill has no event"))?;
    let event = audit::event(cx, wire, Some(order.admin), facts(order));
    let status = if kind == Stoppable::Tenant { Status::Suspended } else { Status::Retired };
    let receipt = receipt(cx, order, (status, now), &census, Some(event.id.clone()));
    let body = serde_json::to_string(&receipt).map_err(|_| Fault::Broken("a receipt has no JSON"))?;
    let until = receipt.stopped.tokens_expire_by.saturating_add(LEEWAY_SECONDS);
    let change = Change::guard(stops::retire(tenant, (kind, &id), now, (receipt.not_honoured_after, until)))
        .then(stops::keep(tenant, &receipt, body))
        .event(event)
        .signals(told(cx, order, &census).await);
    let change = stops::cascade(tenant, (kind, &id)).into_iter().fold(change, Change::always);
    if cx.commit(invalidates(cx, change, order).await?).await? {
        return Ok(receipt);
    }
    let kept = cx.one(stops::kept(tenant, (kind, &id))).await?;
    kept.ok_or_else(|| Reason::Conflict.because("another change came first"))
}

/// What tells the receivers of signals. A chain that is named by its digest cannot be told of: a receiver knows a `jti`.
async fn told(cx: &Cx<'_>, order: Order<'_>, census: &Census) -> Vec<Sql> {
    let (kind, id) = order.thing();
    let subjects = match kind {
        Stoppable::Client => Subjects { client: Some(&id), ..Subjects::default() },
        Stoppable::User => Subjects { user: Some(&id), ..Subjects::default() },
        Stoppable::Identity => {
            let Some((client, subject)) = &census.parties else { return vec![] };
            let user = Some(subject.as_str()).filter(|subject| id::is_user(subject));
            Subjects { client: Some(client), user, identity: Some(&id), ..Subjects::default() }
        }
        Stoppable::Chain if id != order.id => Subjects { chain: Some(order.id), ..Subjects::default() },
        Stoppable::Tenant => {
            let subjects = Subjects { tenant: true, ..Subjects::default() };
            // One that is suspended already delivers nothing.
            return cx.beside(&id).await.map_or_else(|_| vec![], |there| signals::session_revoked(&there, &subjects));
        }
        Stoppable::Chain | Stoppable::Connection => return vec![],
    };
    signals::session_revoked(cx, &subjects)
}

/// Stops a token and whatever was made from it, because the client that it was issued to says so (RFC 7009 §2.1).
pub async fn revoke(cx: &Cx<'_>, token: &AccessToken, exp: i64) -> Result<()> {
    let jti = sha256(&token.jti).to_text();
    let facts = Facts {
        subject: Some(token.sub.clone()),
        chain: token.actors().into_iter().map(str::to_owned).collect(),
        resource: Some(token.aud.clone()),
        jti_hash: Some(jti.clone()),
        expires_at: Some(exp),
        ..Facts::default()
    };
    let event = audit::event(cx, EventType::TokenRevoked, Some(&token.client_id), facts);
    // No token that is made from it lives longer.
    let guard = stops::stop_chain(&cx.tenant.id, &jti, exp.saturating_add(LEEWAY_SECONDS));
    let told = signals::session_revoked(cx, &Subjects { chain: Some(&token.jti), ..Subjects::default() });
    let change = Change::guard(guard).invalidates(&StoppedChainsKey).event(event).signals(told);
    cx.commit(change).await.map(drop)
}

async fn census(cx: &Cx<'_>, order: Order<'_>) -> Result<Census> {
    let (kind, id) = order.thing();
    let (things, leases) = cx.batch(stops::census(&cx.tenant.id, (kind, &id), cx.now.seconds())).await?;
    let thing = things.into_iter().next().ok_or(Reason::NotFound)?;
    Ok(thing.with_leases(leases.into_iter().next().ok_or(Fault::Broken("a count has a row"))?))
}

fn facts(order: Order<'_>) -> Facts {
    let id = order.thing().1;
    let connection = (order.kind == Stoppable::Connection).then(|| id.clone());
    let jti_hash = (order.kind == Stoppable::Chain).then(|| id.clone());
    let subject = (order.kind == Stoppable::User).then(|| id.clone());
    Facts { target: Some(id), connection, jti_hash, subject, ..Facts::default() }
}

fn receipt(
    cx: &Cx<'_>,
    order: Order<'_>,
    (status, at): (Status, i64),
    census: &Census,
    event: Option<String>,
) -> Receipt {
    let (kind, id) = order.thing();
    let bound = i64::try_from(cx.config.freshness_millis().div_ceil(1000)).unwrap_or(i64::MAX);
    let not_honoured_after = at.saturating_add(bound);
    let stopped = Stopped {
        secrets: census.secrets,
        identities: census.identities,
        leases: census.leases,
        leases_expire_by: census.leases_expire_by,
        tokens_issued_until: at,
        tokens_expire_by: not_honoured_after.saturating_add(MAX_LIFETIME.into()),
    };
    Receipt { kind, id, status, at, not_honoured_after, stopped, event }
}

/// What tells that a thing has moved to a status; nothing where it cannot.
const fn event_type(kind: Stoppable, to: Status) -> Option<EventType> {
    use EventType as E;
    use Stoppable as S;
    Some(match (kind, to) {
        (S::Client, Status::Active) => E::ClientResumed,
        (S::Client, Status::Suspended) => E::ClientSuspended,
        (S::Client, Status::Retired) => E::ClientKilled,
        (S::Identity, Status::Active) => E::IdentityResumed,
        (S::Identity, Status::Suspended) => E::IdentitySuspended,
        (S::Identity, Status::Retired) => E::IdentityKilled,
        (S::User, Status::Active) => E::UserResumed,
        (S::User, Status::Suspended) => E::UserSuspended,
        (S::User, Status::Retired) => E::UserKilled,
        (S::Connection, Status::Active) => E::ConnectionResumed,
        (S::Connection, Status::Suspended) => E::ConnectionSuspended,
        (S::Connection, Status::Retired) => E::ConnectionKilled,
        (S::Chain, Status::Retired) => E::ChainKilled,
        (S::Tenant, Status::Retired) => E::TenantKilled,
        (S::Chain | S::Tenant, _) => return None,
    })
}
