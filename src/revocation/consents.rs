//! What people take back: lines of a consent, a consent, everything of an agent, for a while or until they consent anew.
//!
//! In scope: the changes, by the person, by an administrator, and by the cron for what has ended or is not used. Out of scope: how consents
//! come to be (`authorize`), who may take one back (`web`).
//!
//! 1. Tokens have the digest of their consent's version in their lineage. Whatever is taken back makes another version, and stops the
//!    digest of the one before: no token that was issued under it is honoured, not even after the person consents anew.
//! 2. Each act is one transaction with its event. Of two at once from one version, one happens.
//! 3. An agent that its user has stopped is suspended for everybody ([`super::check`]), also where it acts without a consent. An
//!    administrator's stop and the user's are independent: neither lets go on what the other has stopped.
//! 4. The receivers of signals are told of the agent and its user: a token of another consent of the two is refused there once too often, and
//!    the agent gets another.

use super::check::StoppedChainsKey;
use super::families::tokens_end;
use super::kill::holds_from;
use super::signals::{self, Subjects};
use crate::audit;
use crate::context::{Change, Cx};
use crate::directory::identities::{self, IdentityKey, StatusListKey};
use crate::error::{Fault, Reason, Result};
use crate::model::consent::Line;
use crate::model::event::Facts;
use crate::model::identity::Held;
use crate::model::resource::MAX_LIFETIME;
use crate::model::stop::StopTarget;
use crate::model::{Consent, EventType, Stoppable};
use crate::oauth::Scope;
use crate::ports::Sql;
use crate::store::{self, consents::Walked};
use serde_json::json;

/// How often an act looks again when another change came first.
const ATTEMPTS: usize = 3;
/// How many consents of one agent with one person are known at once.
const CONSENTS: i64 = 1_000;
/// How many consents of a tenant one run of the cron looks at, and how many of them at a time.
const LOOKED_AT: i64 = 500;
const PAGE: i64 = 100;
const DAY_SECONDS: i64 = 86_400;

/// Who takes something back.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// The person.
    Person,
    /// An administrator's client.
    Administrator(&'a str),
    /// The cron: what was not used for so many days.
    Disuse(u16),
}

/// What a person is told: from when on what was taken back is not honoured.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// When, in seconds since the epoch.
    pub at: i64,
    /// From then on no part of Writ honours it.
    pub not_honoured_after: i64,
    /// A resource server that does not ask Writ may honour a token until then.
    pub tokens_expire_by: i64,
}

fn taken(cx: &Cx<'_>) -> Taken {
    let not_honoured_after = holds_from(cx, cx.now.millis());
    let tokens_expire_by = not_honoured_after.saturating_add(MAX_LIFETIME.into());
    Taken { at: cx.now.seconds(), not_honoured_after, tokens_expire_by }
}

/// Takes lines back: of the consent of that name, `keeps` says which stay. Where none stays, the consent is withdrawn. Nothing if no such
/// consent is there any more.
pub async fn narrow(
    cx: &Cx<'_>,
    id: &str,
    by: By<'_>,
    keeps: impl Fn(&Consent, &Line) -> bool,
) -> Result<Option<Taken>> {
    for _ in 0..ATTEMPTS {
        let Some(consent) = cx.one(store::consents::get(&cx.tenant.id, id)).await? else { return Ok(None) };
        let is_live = |line: &&Line| line.is_live(cx.now.seconds()) && keeps(&consent, line);
        let lines: Vec<Line> = consent.lines.iter().filter(is_live).cloned().collect();
        if lines == consent.lines || commit(cx, &consent, &lines, by).await? {
            return Ok(Some(taken(cx)));
        }
    }
    Err(Reason::ConsentChanged.into())
}

/// Withdraws the consent of that name.
pub async fn withdraw(cx: &Cx<'_>, id: &str, by: By<'_>) -> Result<Option<Taken>> {
    narrow(cx, id, by, |_, _| false).await
}

async fn commit(cx: &Cx<'_>, consent: &Consent, lines: &[Line], by: By<'_>) -> Result<bool> {
    let (tenant, known) = (&cx.tenant.id, (consent.id.as_str(), consent.version));
    let before = text(&consent.lines)?;
    let (kind, guard) = match lines.is_empty() {
        true => (EventType::ConsentWithdrawn, store::consents::delete(tenant, known, before)),
        false => {
            let guard = store::consents::narrow(tenant, known, before, text(lines)?, cx.now.seconds());
            (EventType::ConsentNarrowed, guard)
        }
    };
    cx.commit(narrowed(cx, Change::guard(guard), (consent, lines), kind, by)).await
}

/// Adds to a change what taking lines back brings: its guard makes another version of the consent, or removes it, and nothing that was issued under the
/// version before is honoured any more.
pub fn narrowed(
    cx: &Cx<'_>,
    change: Change,
    (consent, lines): (&Consent, &[Line]),
    kind: EventType,
    by: By<'_>,
) -> Change {
    let tenant = &cx.tenant.id;
    let scope = |lines: &[Line]| lines.iter().map(|line| line.scope.as_str()).collect::<Scope>().to_string();
    let (acting, detail) = match by {
        By::Person => (Some(&*consent.client), None),
        By::Administrator(admin) => (Some(admin), Some(format!("of the client {}", consent.client))),
        By::Disuse(days) => (None, Some(format!("of the client {}: not used for {days} days", consent.client))),
    };
    let facts = Facts {
        subject: Some(consent.user.clone()),
        resource: Some(consent.resource.clone()),
        scope_asked: Some(scope(&consent.lines)),
        scope_given: Some(scope(lines)),
        target: Some(consent.id.clone()),
        detail,
        ..Facts::default()
    };
    change
        .invalidates(&StoppedChainsKey)
        .event(audit::event(cx, kind, acting, facts))
        .signals(signals_of(cx, &consent.client, &consent.user))
        .always(store::consents::stop_past(tenant, past(std::slice::from_ref(consent)), tokens_end(cx)))
        .always(store::consents::end_families(tenant, &consent.id))
}

/// Stops an agent of a person until they consent anew: its consents with them, and every token about them.
pub async fn stop(cx: &Cx<'_>, client: &str, user: &str) -> Result<Taken> {
    let tenant = &cx.tenant.id;
    for _ in 0..ATTEMPTS {
        let consents = known(cx, client, user).await?;
        let identity = identities::register(cx, client, user, "authorization_code").await?;
        let facts = Facts {
            subject: Some(user.to_owned()),
            target: Some(identity.id.clone()),
            detail: Some(consents.iter().map(|consent| &*consent.id).collect::<Vec<_>>().join(" ")),
            ..Facts::default()
        };
        let event = audit::event(cx, EventType::ConsentWithdrawn, Some(client), facts);
        let now = cx.now.seconds();
        let change = Change::guard(store::identities::stop_by_user(tenant, (client, user), past(&consents), now))
            .invalidates(&IdentityKey(client, user))
            .invalidates(&StatusListKey)
            .invalidates(&StoppedChainsKey)
            .event(event)
            .signals(signals_of(cx, client, user));
        let target = StopTarget { kind: Stoppable::Identity, id: &identity.id };
        let change = store::consents::cascade(tenant, target, -1).into_iter().fold(change, Change::always);
        if cx.commit(change.always(store::consents::stop_past(tenant, past(&consents), tokens_end(cx)))).await? {
            return Ok(taken(cx));
        }
    }
    Err(Reason::ConsentChanged.into())
}

/// Stops an agent of a person until they resume it.
pub async fn pause(cx: &Cx<'_>, client: &str, user: &str) -> Result<Taken> {
    hold(cx, (client, user), (Held::No, Held::Paused), EventType::ConsentPaused).await?;
    Ok(taken(cx))
}

/// Lets an agent go on that its user has paused. One that its user has stopped meanwhile stays so, and the user is told.
pub async fn resume(cx: &Cx<'_>, client: &str, user: &str) -> Result<()> {
    let goes_on = hold(cx, (client, user), (Held::Paused, Held::No), EventType::ConsentResumed).await?
        || identities::load(cx, client, user).await?.is_some_and(|identity| identity.held == Held::No);
    if goes_on { Ok(()) } else { Err(Reason::ConsentChanged.into()) }
}

/// Whether it stood as it was taken to; one that stands otherwise stays as it is.
async fn hold(cx: &Cx<'_>, (client, user): (&str, &str), (from, to): (Held, Held), kind: EventType) -> Result<bool> {
    known(cx, client, user).await?;
    let identity = identities::register(cx, client, user, "authorization_code").await?;
    let facts = Facts { subject: Some(user.to_owned()), target: Some(identity.id.clone()), ..Facts::default() };
    let guard = store::identities::hold(&cx.tenant.id, (client, user), from, to, cx.now.seconds());
    let change = Change::guard(guard)
        .invalidates(&IdentityKey(client, user))
        .invalidates(&StatusListKey)
        .event(audit::event(cx, kind, Some(client), facts));
    let signals = if to == Held::No { vec![] } else { signals_of(cx, client, user) };
    cx.commit(change.signals(signals)).await
}

/// The consents of an agent with a person; refused if it has none and has never been one.
async fn known(cx: &Cx<'_>, client: &str, user: &str) -> Result<Vec<Consent>> {
    let consents = cx.all(store::consents::of_agent(&cx.tenant.id, (client, user), CONSENTS)).await?;
    match consents.is_empty() && identities::load(cx, client, user).await?.is_none() {
        true => Err(Reason::NotFound.into()),
        false => Ok(consents),
    }
}

fn signals_of(cx: &Cx<'_>, client: &str, user: &str) -> Vec<Sql> {
    signals::session_revoked(cx, &Subjects { client: Some(client), user: Some(user), ..Subjects::default() })
}

/// Consents as statements name them: each with its version, and the digest of that.
fn past(consents: &[Consent]) -> String {
    let one = |consent: &Consent| json!({"id": consent.id, "version": consent.version, "digest": consent.digest()});
    serde_json::Value::from(consents.iter().map(one).collect::<Vec<_>>()).to_string()
}

fn text(lines: &[Line]) -> Result<String> {
    serde_json::to_string(lines).map_err(|_| Fault::Broken("the lines of a consent have no JSON").into())
}

/// The cron: consents that have ended, or whose client or user is gone, go; lines that were not used for as long as the tenant says fall
/// away. A run goes on after the consent that the last one looked at.
pub async fn tick(cx: &Cx<'_>) -> Result<()> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let began = cx.one(store::consents::looked_at(tenant)).await?.unwrap_or_default();
    let mut after = began.clone();
    for _ in 0..LOOKED_AT / PAGE {
        let page = cx.all(store::consents::walk(tenant, &after, PAGE)).await?;
        let is_last = i64::try_from(page.len()).is_ok_and(|count| count < PAGE);
        after = page.last().filter(|_| !is_last).map(|last| last.consent.id.clone()).unwrap_or_default();
        for Walked { consent, is_orphan } in page {
            if is_orphan || consent.scope(now).is_empty() {
                let before = text(&consent.lines)?;
                let guard = store::consents::delete(tenant, (&consent.id, consent.version), before);
                cx.commit(Change::guard(guard).always(store::consents::end_families(tenant, &consent.id))).await?;
            } else if let Some(days) = cx.tenant.settings.consent_unused_days {
                let oldest = now.saturating_sub(i64::from(days).saturating_mul(DAY_SECONDS));
                let is_used = move |consent: &Consent, line: &Line| consent.used_at(&line.scope) > oldest;
                if consent.lines.iter().any(|line| line.is_live(now) && !is_used(&consent, line)) {
                    narrow(cx, &consent.id, By::Disuse(days), is_used).await?;
                }
            }
        }
        if is_last {
            break;
        }
    }
    match after == began {
        true => Ok(()),
        false => cx.run(vec![store::consents::look_at(tenant, &after)]).await.map(drop),
    }
}
