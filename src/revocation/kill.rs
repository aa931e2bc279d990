//! The kill switch: one call that stops a client, an agentic identity, a user, a chain, a connection or a tenant.
//!
//! 1. A kill is for good; a tenant alone can be resumed, and then honours no token from before. A suspension lasts until the record is
//!    resumed. Tokens that have not expired are honoured again then.
//! 2. A kill is one transaction with its event and its receipt. It stops every token with the record among its parties
//!    ([`crate::revocation::check`]), and removes downstream tokens kept for reuse and the data key of a connection. What people have allowed
//!    a client ends with it, and so do the sessions of a user.
//! 3. Killing twice changes nothing and answers the same receipt, from whatever isolates and however close together.
//! 4. Administrators of the first tenant alone stop tenants, and never the first one.
//! 5. The receipt names the moment after which no isolate honours the record: the freshness bound (docs/requirements.md R86).
//!
//! A downstream token that was handed out holds until it expires, for no provider so far takes one back. The receipt says when that
//! is. Out of scope: who may call; the check itself ([`crate::revocation::check`]).

use super::check::StoppedChainsKey;
use super::families::tokens_end;
use crate::audit;
use crate::context::{Change, Cx, TenantKey};
use crate::crypto::{Digest, is_nonce, sha256};
use crate::directory::clients::ClientKey;
use crate::directory::connections::{self, BasesKey, ConnectionKey, KeptTokensKey};
use crate::directory::identities::{IdentityKey, StatusListKey};
use crate::directory::{tenants, users};
use crate::error::{Fault, Reason, Result};
use crate::jose::{AccessToken, LEEWAY_SECONDS};
use crate::model::event::Facts;
use crate::model::resource::MAX_LIFETIME;
use crate::model::stop::{OUTSIDE_SECONDS, Receipt, StopTarget, Stopped, Until, outside_digest};
use crate::model::{Connection, EventType, Status, Stoppable, id};
use crate::ports::{Now, Sql};
use crate::revocation::signals::{self, Subjects};
use crate::store::stops::{Census, Ends};
use crate::store::{self, stops};
use std::borrow::Cow;
use std::rc::Rc;

/// The longest `jti` of an outside issuer, in bytes.
const MAX_JTI: usize = 256;

/// What an administrator says shall be stopped or resumed.
pub struct Command<'a> {
    kind: Stoppable,
    /// The name as it was sent.
    sent: &'a str,
    /// The name as the tables have it: of a chain, the digest of its `jti`.
    id: Cow<'a, str>,
    /// The chain begins with a token of an outside issuer.
    is_outside: bool,
    /// The administrator's client.
    admin: &'a str,
}

impl<'a> Command<'a> {
    /// Parses a command; refused if no record can have that name. `sent` is an id or a name; for a chain a `jti`, or the digest of one
    /// of our own as events have it. `issuer` is the outside issuer of that `jti`; nothing for our own.
    pub fn parse(kind: Stoppable, sent: &'a str, issuer: Option<&str>, admin: &'a str) -> Result<Self> {
        let refuse = |why: &str| Err(Reason::InvalidField.because(format!("`{}`: {why}", kind.as_str())));
        let id = match (kind, issuer) {
            (Stoppable::Chain, Some(issuer)) if (1..=MAX_JTI).contains(&sent.len()) && !issuer.is_empty() => {
                Cow::Owned(outside_digest(issuer, sent))
            }
            (Stoppable::Chain, Some(_)) => return refuse("a `jti` of the outside token, and its `issuer`"),
            (Stoppable::Chain, None) if Digest::from_text(sent).is_some() => Cow::Borrowed(sent),
            (Stoppable::Chain, None) if is_nonce(sent) => Cow::Owned(sha256(sent).to_text()),
            (Stoppable::Chain, None) => {
                return refuse(
                    "the `jti` of a token of this tenant, or its digest; for the token of another, send `issuer` too",
                );
            }
            (_, Some(_)) => return refuse("`issuer` goes with `chain` alone"),
            (Stoppable::Connection | Stoppable::Tenant, None) if id::is_slug(sent) => Cow::Borrowed(sent),
            (Stoppable::Client, None) if id::is_client(sent) => Cow::Borrowed(sent),
            (Stoppable::User | Stoppable::Identity, None) if id::is_plausible(sent) => Cow::Borrowed(sent),
            _ => return refuse("nothing can have this name"),
        };
        Ok(Self { kind, sent, id, is_outside: issuer.is_some(), admin })
    }

    /// The record that it names.
    pub fn target(&self) -> StopTarget<'_> {
        StopTarget { kind: self.kind, id: &self.id }
    }
}

/// Suspends a record: it is stopped until it is resumed. A chain and a tenant cannot be suspended here.
pub async fn suspend(cx: &Cx<'_>, command: &Command<'_>) -> Result<Receipt> {
    let census = census(cx, command.target()).await?;
    let event = match census.status {
        Status::Suspended => None,
        Status::Active | Status::Retired => {
            let signals = signals_of(cx, command, &census).await?;
            Some(set_status(cx, command, &census, Status::Suspended, signals).await?)
        }
    };
    let at = match event.is_some() {
        true => Moment::of(cx.now),
        false => Moment::within(census.updated_at),
    };
    Ok(receipt(cx, command.target(), (Status::Suspended, at), &census, event))
}

/// Suspends an active client or agentic identity if `guard` changes a row; the event says why.
pub(super) async fn suspend_once(cx: &Cx<'_>, command: &Command<'_>, guard: Sql, why: String) -> Result<()> {
    let (target, census) = (command.target(), census(cx, command.target()).await?);
    if census.status != Status::Active {
        return Ok(());
    }
    let kind = event_type(target.kind, Status::Suspended).ok_or(Reason::NotFound)?;
    let link = stops::suspend_if_changed(&cx.tenant.id, target, cx.now.seconds()).ok_or(Reason::NotFound)?;
    let facts = Facts { detail: Some(why), ..facts(cx, target, &census) };
    let change = Change::guard(guard).then(link).event(audit::event(cx, kind, None, facts));
    let signals = signals_of(cx, command, &census).await?;
    cx.commit(invalidates(cx, change, target).await?.signals(signals)).await.map(drop)
}

/// Resumes a suspended record; an active one stays as it is.
pub async fn resume(cx: &Cx<'_>, command: &Command<'_>) -> Result<()> {
    let census = census(cx, command.target()).await?;
    match census.status {
        Status::Active => Ok(()),
        Status::Suspended | Status::Retired => set_status(cx, command, &census, Status::Active, vec![]).await.map(drop),
    }
}

/// Changes the status of a record that is not stopped for good; answers the id of the event.
async fn set_status(
    cx: &Cx<'_>,
    command: &Command<'_>,
    census: &Census,
    to: Status,
    signals: Vec<Sql>,
) -> Result<String> {
    let from = census.status;
    if from == Status::Retired {
        return Err(Reason::Conflict.because("it was stopped for good"));
    }
    let kind = event_type(command.kind, to).ok_or(Reason::NotFound)?;
    let event = audit::event(cx, kind, Some(command.admin), facts(cx, command.target(), census));
    let guard = stops::set_status(&cx.tenant.id, command.target(), from, to, cx.now.seconds());
    let (id, change) = (event.id.clone(), Change::guard(guard.ok_or(Reason::NotFound)?));
    match cx.commit(invalidates(cx, change, command.target()).await?.event(event).signals(signals)).await? {
        true => Ok(id),
        false => Err(Reason::Conflict.because("another change of its status came first: try again")),
    }
}

/// Adds the keys of all that is cached of the record.
async fn invalidates(cx: &Cx<'_>, change: Change, target: StopTarget<'_>) -> Result<Change> {
    let StopTarget { kind, id } = target;
    let leased_from = match stops::leased_from(&cx.tenant.id, target) {
        Some(query) => cx.all(query).await?,
        None => vec![],
    };
    let change = leased_from.iter().fold(change, |change, name| change.invalidates(&KeptTokensKey(name)));
    Ok(match kind {
        Stoppable::Client => change.invalidates(&ClientKey(id)),
        Stoppable::User => match cx.one(store::users::get(&cx.tenant.id, id)).await? {
            Some(user) => users::invalidates(change, &user),
            None => change,
        },
        Stoppable::Identity => match cx.one(store::identities::get(&cx.tenant.id, id)).await? {
            Some(identity) => change.invalidates(&IdentityKey(&identity.client, &identity.subject)),
            None => change,
        },
        Stoppable::Chain => change.invalidates(&StoppedChainsKey),
        Stoppable::Connection => {
            change.invalidates(&ConnectionKey(id)).invalidates(&KeptTokensKey(id)).invalidates(&BasesKey)
        }
        Stoppable::Tenant => change.of_tenant(id).invalidates(&TenantKey),
    }
    .invalidates(&StatusListKey))
}

/// The outcome of a kill.
#[must_use = "the ciphertext of a killed connection is left until it is removed"]
pub struct Killed {
    /// The receipt.
    pub receipt: Receipt,
    /// The killed connection, with the pointer to its ciphertext. Nothing can read the ciphertext any more; the caller removes it.
    pub connection: Option<Rc<Connection>>,
}

/// Stops a record for good, with every token that was issued for it. Callers use `vault::kill`, which removes ciphertexts.
pub async fn kill(cx: &Cx<'_>, command: &Command<'_>) -> Result<Killed> {
    // Once the data key is gone nothing tells where its ciphertext lies.
    let connection = match command.kind {
        Stoppable::Connection => connections::load(cx, &command.id).await?,
        Stoppable::Tenant => {
            tenants::expect_first(cx)?;
            tenants::not_first(&command.id)?;
            None
        }
        Stoppable::Client | Stoppable::User | Stoppable::Identity | Stoppable::Chain => None,
    };
    Ok(Killed { receipt: stop(cx, command).await?, connection })
}

async fn stop(cx: &Cx<'_>, command: &Command<'_>) -> Result<Receipt> {
    let (tenant, now, target) = (&cx.tenant.id, cx.now.seconds(), command.target());
    let census = census(cx, target).await?;
    let kind = event_type(target.kind, Status::Retired).ok_or(Fault::Broken("a kill has no event"))?;
    let event = audit::event(cx, kind, Some(command.admin), facts(cx, target, &census));
    let status = if target.kind == Stoppable::Tenant { Status::Suspended } else { Status::Retired };
    let receipt = receipt(cx, target, (status, Moment::of(cx.now)), &census, Some(event.id.clone()));
    let body = serde_json::to_string(&receipt).map_err(|_| Fault::Broken("a receipt has no JSON"))?;
    // A token of an outside issuer can be exchanged until it expires.
    let tokens = receipt.stopped.tokens_expire_by.saturating_add(OUTSIDE_SECONDS).saturating_add(2 * LEEWAY_SECONDS);
    let ends = Ends { bound: receipt.not_honoured_after, tokens };
    let change = Change::guard(stops::retire(tenant, target, now, ends))
        .then(stops::keep(tenant, &receipt, body))
        .event(event)
        .signals(signals_of(cx, command, &census).await?);
    let change = stops::cascade(tenant, target, now).into_iter().fold(change, Change::always);
    if cx.commit(invalidates(cx, change, target).await?).await? {
        return Ok(receipt);
    }
    let kept = cx.one(stops::kept(tenant, target)).await?;
    kept.ok_or_else(|| Reason::Conflict.because("another change came first"))
}

/// The signals to receivers. A chain that is named by its digest has none: a receiver knows a `jti`.
async fn signals_of(cx: &Cx<'_>, command: &Command<'_>, census: &Census) -> Result<Vec<Sql>> {
    let id = &*command.id;
    let subjects = match command.kind {
        Stoppable::Client => Subjects { client: Some(id), ..Subjects::default() },
        Stoppable::User => Subjects { user: Some(id), ..Subjects::default() },
        Stoppable::Identity => {
            let Some((client, subject)) = &census.parties else { return Ok(vec![]) };
            let user = Some(subject.as_str()).filter(|subject| id::is_user(subject));
            Subjects { client: Some(client), user, identity: Some(id), ..Subjects::default() }
        }
        Stoppable::Chain if id != command.sent && !command.is_outside => {
            Subjects { chain: Some(command.sent), ..Subjects::default() }
        }
        Stoppable::Tenant => {
            let subjects = Subjects { tenant: true, ..Subjects::default() };
            // One that is suspended already delivers nothing.
            return Ok(cx
                .for_tenant(id)
                .await
                .map_or_else(|_| vec![], |there| signals::session_revoked(&there, &subjects)));
        }
        Stoppable::Chain | Stoppable::Connection => return Ok(vec![]),
    };
    Ok(signals::session_revoked(cx, &subjects))
}

/// Revokes a token and every token that was made from it, as its client asks (RFC 7009 §2.1).
pub async fn revoke(cx: &Cx<'_>, token: &AccessToken, exp: i64) -> Result<()> {
    let jti = sha256(&token.jti).to_text();
    let facts = Facts {
        subject: Some(token.sub.clone()),
        chain: token.actors().into_iter().map(str::to_owned).collect(),
        resource: Some(token.aud.resource().to_owned()),
        jti_hash: Some(jti.clone()),
        expires_at: Some(exp),
        ..Facts::default()
    };
    let event = audit::event(cx, EventType::TokenRevoked, Some(&token.client_id), facts);
    // What it was exchanged for lives no longer; what was approved with it may (docs/decisions.md 224).
    let end = tokens_end(cx);
    let until = Until { tokens: end.tokens.max(exp.saturating_add(2 * LEEWAY_SECONDS)), ..end };
    let guard = stops::stop_chain(&cx.tenant.id, &jti, until);
    let signals = signals::session_revoked(cx, &Subjects { chain: Some(&token.jti), ..Subjects::default() });
    let change = Change::guard(guard).invalidates(&StoppedChainsKey).event(event).signals(signals);
    cx.commit(change).await.map(drop)
}

async fn census(cx: &Cx<'_>, target: StopTarget<'_>) -> Result<Census> {
    let (found, leases) = cx.batch(stops::census(&cx.tenant.id, target, cx.now.seconds())).await?;
    let found = found.into_iter().next().ok_or(Reason::NotFound)?;
    Ok(found.with_leases(leases.into_iter().next().ok_or(Fault::Broken("a count has a row"))?))
}

fn facts(cx: &Cx<'_>, StopTarget { kind, id }: StopTarget<'_>, census: &Census) -> Facts {
    let of = |wanted: Stoppable| (kind == wanted).then(|| id.to_owned());
    if let (Stoppable::User, Some(name)) = (kind, &census.name) {
        cx.note_name(id, name);
    }
    Facts {
        target: Some(id.to_owned()),
        target_name: census.name.clone(),
        connection: of(Stoppable::Connection),
        jti_hash: of(Stoppable::Chain),
        subject: of(Stoppable::User),
        ..Facts::default()
    }
}

/// The moment of a stop: the second, and the last millisecond that it can have been.
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

/// From when on a stop of a moment in milliseconds holds everywhere, in seconds.
pub fn holds_from(cx: &Cx<'_>, millis: u64) -> i64 {
    // Rounded up: an isolate may have read just before the moment, and the bound counts milliseconds.
    let bound = millis.saturating_add(cx.config.freshness_millis()).div_ceil(1_000);
    i64::try_from(bound).unwrap_or(i64::MAX)
}

fn receipt(
    cx: &Cx<'_>,
    StopTarget { kind, id }: StopTarget<'_>,
    (status, at): (Status, Moment),
    census: &Census,
    event: Option<String>,
) -> Receipt {
    let not_honoured_after = holds_from(cx, at.millis);
    let stopped = Stopped {
        secrets: census.secrets,
        identities: census.identities,
        refresh_families: census.refresh_families,
        sessions: census.sessions,
        leases: census.leases,
        leases_expire_by: census.leases_expire_by,
        tokens_issued_until: at.seconds,
        tokens_expire_by: not_honoured_after.saturating_add(MAX_LIFETIME.into()),
    };
    Receipt { kind, id: id.to_owned(), status, at: at.seconds, not_honoured_after, stopped, event }
}

/// The event of a change of status; nothing where there is no such change.
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
