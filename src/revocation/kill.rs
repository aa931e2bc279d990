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
use crate::crypto::{Digest, is_nonce, sha256};
use crate::directory::clients::ClientKey;
use crate::directory::connections::{self, ConnectionKey, KeptTokensKey};
use crate::directory::identities::{IdentityKey, StatusListKey};
use crate::directory::{tenants, users};
use crate::error::{Fault, Reason, Result};
use crate::jose::{AccessToken, LEEWAY_SECONDS};
use crate::model::event::Facts;
use crate::model::resource::MAX_LIFETIME;
use crate::model::stop::{OUTSIDE_SECONDS, Receipt, Stopped, outside_digest};
use crate::model::{Connection, EventType, Status, Stoppable, id};
use crate::ports::{Now, Sql};
use crate::revocation::signals::{self, Subjects};
use crate::store::stops::Census;
use crate::store::{self, stops};
use std::rc::Rc;

/// The longest `jti` of an outside issuer, in bytes.
const MAX_JTI: usize = 256;

/// What shall be stopped or resumed, and who says so.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    /// Which kind of thing.
    pub kind: Stoppable,
    /// Its id or name; for a chain a `jti`, or the digest of one of our own as events have it.
    pub id: &'a str,
    /// The outside issuer whose `jti` it is; nothing for our own.
    pub issuer: Option<&'a str>,
    /// The administrator's client.
    pub admin: &'a str,
}

impl Order<'_> {
    /// The thing as tables name it; refused if nothing can have that name.
    fn thing(&self) -> Result<(Stoppable, String)> {
        let Self { kind, id, issuer, .. } = *self;
        let refuse = |why: &str| Err(Reason::InvalidField.because(format!("`{}`: {why}", kind.as_str())));
        let name = match (kind, issuer) {
            (Stoppable::Chain, Some(issuer)) if (1..=MAX_JTI).contains(&id.len()) && !issuer.is_empty() => {
                outside_digest(issuer, id)
            }
            (Stoppable::Chain, Some(_)) => return refuse("a `jti` of the outside token, and its `issuer`"),
            (Stoppable::Chain, None) if Digest::from_text(id).is_some() => id.to_owned(),
            (Stoppable::Chain, None) if is_nonce(id) => sha256(id).to_text(),
            (Stoppable::Chain, None) => {
                return refuse(
                    "the `jti` of a token of this tenant, or its digest; for the token of another, send `issuer` too",
                );
            }
            (_, Some(_)) => return refuse("`issuer` goes with `chain` alone"),
            (Stoppable::Connection | Stoppable::Tenant, None) if id::is_slug(id) => id.to_owned(),
            (Stoppable::Client | Stoppable::User | Stoppable::Identity, None) if id::is_plausible(id) => id.to_owned(),
            _ => return refuse("nothing can have this name"),
        };
        Ok((kind, name))
    }
}

/// Stops a thing until it is resumed. A chain and a tenant cannot be suspended here.
pub async fn suspend(cx: &Cx<'_>, order: Order<'_>) -> Result<Receipt> {
    let census = census(cx, order).await?;
    let event = match census.status {
        Status::Suspended => None,
        Status::Active | Status::Retired => {
            let told = told(cx, order, &census).await?;
            Some(turn(cx, order, (&census, Status::Suspended), told).await?)
        }
    };
    let at = match event.is_some() {
        true => Moment::of(cx.now),
        false => Moment::within(census.updated_at),
    };
    Ok(receipt(cx, order.thing()?, (Status::Suspended, at), &census, event))
}

/// Lets a suspended thing go on; one that is active goes on as it was.
pub async fn resume(cx: &Cx<'_>, order: Order<'_>) -> Result<()> {
    let census = census(cx, order).await?;
    match census.status {
        Status::Active => Ok(()),
        Status::Suspended | Status::Retired => turn(cx, order, (&census, Status::Active), vec![]).await.map(drop),
    }
}

/// Moves a thing that is not stopped for good; answers the name of the event that tells of it.
async fn turn(cx: &Cx<'_>, order: Order<'_>, (census, to): (&Census, Status), signals: Vec<Sql>) -> Result<String> {
    let from = census.status;
    if from == Status::Retired {
        return Err(Reason::Conflict.because("it was stopped for good"));
    }
    let kind = event_type(order.kind, to).ok_or(Reason::NotFound)?;
    let event = audit::event(cx, kind, Some(order.admin), facts(cx, order.thing()?, census));
    let (kind_of, thing) = order.thing()?;
    let guard = stops::set_status(&cx.tenant.id, (kind_of, &thing), (from, to), cx.now.seconds());
    let (id, change) = (event.id.clone(), Change::guard(guard.ok_or(Reason::NotFound)?));
    match cx.commit(invalidates(cx, change, order).await?.event(event).signals(signals)).await? {
        true => Ok(id),
        false => Err(Reason::Conflict.because("another change of its status came first: try again")),
    }
}

/// Adds the keys of all that is cached of the thing.
async fn invalidates(cx: &Cx<'_>, change: Change, order: Order<'_>) -> Result<Change> {
    let (kind, id) = order.thing()?;
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
    let (kind, id) = order.thing()?;
    let wire = event_type(kind, Status::Retired).ok_or(Fault::Broken("a kill has no event"))?;
    let event = audit::event(cx, wire, Some(order.admin), facts(cx, order.thing()?, &census));
    let status = if kind == Stoppable::Tenant { Status::Suspended } else { Status::Retired };
    let receipt = receipt(cx, (kind, id.clone()), (status, Moment::of(cx.now)), &census, Some(event.id.clone()));
    let body = serde_json::to_string(&receipt).map_err(|_| Fault::Broken("a receipt has no JSON"))?;
    // Whatever can be made from a token of an outside issuer is made while that lives.
    let until = receipt.stopped.tokens_expire_by.saturating_add(OUTSIDE_SECONDS).saturating_add(2 * LEEWAY_SECONDS);
    let change = Change::guard(stops::retire(tenant, (kind, &id), now, (receipt.not_honoured_after, until)))
        .then(stops::keep(tenant, &receipt, body))
        .event(event)
        .signals(told(cx, order, &census).await?);
    let change = stops::cascade(tenant, (kind, &id)).into_iter().fold(change, Change::always);
    if cx.commit(invalidates(cx, change, order).await?).await? {
        return Ok(receipt);
    }
    let kept = cx.one(stops::kept(tenant, (kind, &id))).await?;
    kept.ok_or_else(|| Reason::Conflict.because("another change came first"))
}

/// What tells the receivers of signals. A chain that is named by its digest cannot be told of: a receiver knows a `jti`.
async fn told(cx: &Cx<'_>, order: Order<'_>, census: &Census) -> Result<Vec<Sql>> {
    let (kind, id) = order.thing()?;
    let subjects = match kind {
        Stoppable::Client => Subjects { client: Some(&id), ..Subjects::default() },
        Stoppable::User => Subjects { user: Some(&id), ..Subjects::default() },
        Stoppable::Identity => {
            let Some((client, subject)) = &census.parties else { return Ok(vec![]) };
            let user = Some(subject.as_str()).filter(|subject| id::is_user(subject));
            Subjects { client: Some(client), user, identity: Some(&id), ..Subjects::default() }
        }
        Stoppable::Chain if id != order.id && order.issuer.is_none() => {
            Subjects { chain: Some(order.id), ..Subjects::default() }
        }
        Stoppable::Tenant => {
            let subjects = Subjects { tenant: true, ..Subjects::default() };
            // One that is suspended already delivers nothing.
            return Ok(cx
                .beside(&id)
                .await
                .map_or_else(|_| vec![], |there| signals::session_revoked(&there, &subjects)));
        }
        Stoppable::Chain | Stoppable::Connection => return Ok(vec![]),
    };
    Ok(signals::session_revoked(cx, &subjects))
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
    let guard = stops::stop_chain(&cx.tenant.id, &jti, exp.saturating_add(2 * LEEWAY_SECONDS));
    let told = signals::session_revoked(cx, &Subjects { chain: Some(&token.jti), ..Subjects::default() });
    let change = Change::guard(guard).invalidates(&StoppedChainsKey).event(event).signals(told);
    cx.commit(change).await.map(drop)
}

async fn census(cx: &Cx<'_>, order: Order<'_>) -> Result<Census> {
    let (kind, id) = order.thing()?;
    let (things, leases) = cx.batch(stops::census(&cx.tenant.id, (kind, &id), cx.now.seconds())).await?;
    let thing = things.into_iter().next().ok_or(Reason::NotFound)?;
    Ok(thing.with_leases(leases.into_iter().next().ok_or(Fault::Broken("a count has a row"))?))
}

fn facts(cx: &Cx<'_>, (kind, id): (Stoppable, String), census: &Census) -> Facts {
    let of = |wanted: Stoppable| (kind == wanted).then(|| id.clone());
    if let (Stoppable::User, Some(name)) = (kind, &census.name) {
        cx.note_name(&id, name);
    }
    Facts {
        target: Some(id.clone()),
        target_name: census.name.clone(),
        connection: of(Stoppable::Connection),
        jti_hash: of(Stoppable::Chain),
        subject: of(Stoppable::User),
        ..Facts::default()
    }
}

/// When something was stopped: the second, and the last millisecond that it can have been.
#[derive(Clone, Copy)]
struct Moment {
    seconds: i64,
    millis: u64,
}

impl Moment {
    fn of(now: Now) -> Self {
        Self { seconds: now.seconds(), millis: now.millis() }
    }

    /// Some moment within a second.
    fn within(seconds: i64) -> Self {
        Self { seconds, millis: u64::try_from(seconds).unwrap_or_default().saturating_mul(1_000).saturating_add(999) }
    }
}

fn receipt(
    cx: &Cx<'_>,
    (kind, id): (Stoppable, String),
    (status, at): (Status, Moment),
    census: &Census,
    event: Option<String>,
) -> Receipt {
    // Rounded up: an isolate may have read just before the moment, and the bound counts milliseconds.
    let bound = at.millis.saturating_add(cx.config.freshness_millis()).div_ceil(1_000);
    let not_honoured_after = i64::try_from(bound).unwrap_or(i64::MAX);
    let stopped = Stopped {
        secrets: census.secrets,
        identities: census.identities,
        leases: census.leases,
        leases_expire_by: census.leases_expire_by,
        tokens_issued_until: at.seconds,
        tokens_expire_by: not_honoured_after.saturating_add(MAX_LIFETIME.into()),
    };
    Receipt { kind, id, status, at: at.seconds, not_honoured_after, stopped, event }
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
