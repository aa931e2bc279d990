//! Deciding about an approval, and taking one back.

use super::ask::{event, json_of};
use super::notify;
use crate::authn::people::Person;
use crate::context::{Change, Cx};
use crate::crypto::sha256;
use crate::directory::users;
use crate::error::{Fault, Reason, Result};
use crate::model::approval::{Approval, ApprovalStatus, Door, Narrowing, Vote, Voter, keys, narrowed};
use crate::model::{EventType, Status, id};
use crate::revocation::check::StoppedChainsKey;
use crate::revocation::families::tokens_end;
use crate::store;
use crate::store::approvals::REDEEMED_WITHIN;
use serde_json::Value;

/// How many approvals that wait are shown to a person.
const SHOWN: i64 = 100;
/// How many that a person has decided about are shown.
const DECIDED: i64 = 10;
/// For how long they are, in seconds: as long as approvals are kept.
const REMEMBERED: i64 = 7_776_000;
/// How often a vote looks again when another one came first.
const ATTEMPTS: usize = 3;

/// Who decides.
#[derive(Clone, Copy)]
pub enum By<'a> {
    /// A person who is signed in.
    Person(&'a Person),
    /// An administrator's client.
    Administrator(&'a str),
}

/// A decision.
#[derive(Default)]
pub struct Choice {
    /// Whether it is a yes.
    pub approves: bool,
    /// What is left of it.
    pub narrowing: Narrowing,
    /// What the agent is told.
    pub note: Option<String>,
    /// The assertion of a passkey, verified, with what it needs to be verified again.
    pub passkey: Option<Value>,
}

/// The approval of that id.
pub async fn find(cx: &Cx<'_>, id: &str) -> Result<Approval> {
    let found = match id::is_plausible(id) {
        true => cx.one(store::approvals::get(&cx.tenant.id, id)).await?,
        false => None,
    };
    found.ok_or_else(|| Reason::NotFound.into())
}

/// What waits for a person's decision.
pub async fn waiting(cx: &Cx<'_>, person: &Person) -> Result<Vec<Approval>> {
    let deciders = serde_json::to_string(&keys(&person.user)).map_err(|_| Fault::Broken("deciders have no JSON"))?;
    let mut found = cx.all(store::approvals::waiting(&cx.tenant.id, deciders, cx.now.seconds(), SHOWN)).await?;
    found.retain(|approval| approval.is_asked(&person.user));
    Ok(found)
}

/// The last ones that a person has decided about, and could still look at.
pub async fn decided_by(cx: &Cx<'_>, person: &Person) -> Result<Vec<Approval>> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let mut found = cx.all(store::approvals::decided_by(tenant, &person.user.id, now, DECIDED)).await?;
    found.retain(|approval| approval.is_asked(&person.user));
    Ok(found)
}

/// Decides about an approval that waits; it as it is then.
pub async fn decide(cx: &Cx<'_>, id: &str, by: By<'_>, choice: &Choice) -> Result<Approval> {
    for _ in 0..ATTEMPTS {
        let found = find(cx, id).await?;
        if !found.is_pending(cx.now.seconds()) {
            return Err(Reason::ApprovalDecided.into());
        }
        let decided = decided(cx, &found, by, choice).await?;
        let is_final = decided.status != ApprovalStatus::Pending;
        let kind = if is_final { EventType::ApprovalDecided } else { EventType::ApprovalVoted };
        let mut event = event(cx, kind, &decided);
        event.facts.outcome = Some(if choice.approves { "approved" } else { "denied" }.to_owned());
        event.facts.detail.clone_from(&choice.note);
        match by {
            By::Person(person) => event.facts.target_name = Some(person.user.id.clone()),
            By::Administrator(admin) => event.facts.target_name = Some(admin.to_owned()),
        }
        let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
        let guard = Change::guard(store::approvals::decide(tenant, &decided, json_of(&decided)?, now));
        let remembered = match by {
            By::Person(person) => {
                let until = now.saturating_add(REMEMBERED);
                Some(store::approvals::remember_if_changed(tenant, id, &person.user.id, until))
            }
            By::Administrator(_) => None,
        };
        let change = remembered.into_iter().fold(guard, Change::then);
        let change = change.event(event).always(store::approvals::close(tenant, id));
        if cx.commit(change).await? {
            if is_final {
                notify::ping(cx, &decided).await;
            }
            return Ok(decided);
        }
    }
    Err(Reason::ApprovalDecided.into())
}

/// The approval with one more word, if it may be said.
async fn decided(cx: &Cx<'_>, found: &Approval, by: By<'_>, choice: &Choice) -> Result<Approval> {
    let now = cx.now.seconds();
    let mut approval = found.clone();
    let name = match by {
        By::Person(person) if !found.is_asked(&person.user) => return Err(Reason::NotFound.into()),
        By::Person(person) => person.user.id.as_str(),
        By::Administrator(admin) if is_party(found, admin) => return Err(Reason::OwnApproval.into()),
        // An ID token comes of it, which says that the user was there (OpenID CIBA Core §7.1).
        By::Administrator(_) if choice.approves && found.door == Door::Backchannel => {
            return Err(Reason::NotFound.into());
        }
        By::Administrator(admin) => admin,
    };
    // Who has said yes may still say no, while others decide.
    if found.body.votes.iter().any(|vote| vote.by == name && (choice.approves || !vote.approves)) {
        return Err(Reason::ApprovalDecided.because("the same has decided before"));
    }
    if choice.approves {
        if found.needs_passkey() && choice.passkey.is_none() {
            return Err(Reason::PasskeyRequired.into());
        }
        let left = narrowed(found.granted(), &choice.narrowing).ok_or(Reason::ApprovalWidened)?;
        approval.body.narrowed = Some(left).filter(|left| *left != found.statement);
    }
    let session = match by {
        By::Person(person) => Some(&person.session),
        By::Administrator(_) => None,
    };
    approval.body.votes.push(Vote {
        by: name.to_owned(),
        at: now,
        approves: choice.approves,
        auth_time: session.map(|session| session.auth_time),
        acr: session.and_then(|session| session.acr.clone()),
        hash: sha256(approval.granted()).to_text(),
        passkey: choice.passkey.clone(),
    });
    if choice.note.is_some() {
        approval.body.note.clone_from(&choice.note);
    }
    approval.status = match (choice.approves, by) {
        (false, _) => ApprovalStatus::Denied,
        (true, By::Administrator(_)) => ApprovalStatus::Approved,
        (true, By::Person(_)) if is_met(cx, &approval).await? => ApprovalStatus::Approved,
        (true, By::Person(_)) => ApprovalStatus::Pending,
    };
    if approval.status == ApprovalStatus::Approved {
        approval.expires_at = now.saturating_add(REDEEMED_WITHIN);
    }
    Ok(approval)
}

/// Whether a client asks, acts, is to act, or is whom it is done for.
fn is_party(approval: &Approval, client: &str) -> bool {
    let Approval { client: agent, requester, subject, .. } = approval;
    [agent, requester, subject].iter().any(|one| *one == client)
        || approval.texts("chain").iter().any(|one| one == client)
}

/// Whether those who have approved are enough, as far as they are there and active still.
async fn is_met(cx: &Cx<'_>, approval: &Approval) -> Result<bool> {
    let mut all = Vec::new();
    for vote in &approval.body.votes {
        let user = users::load(cx, &vote.by).await?.filter(|user| user.status == Status::Active && vote.approves);
        all.extend(user.map(|user| (keys(&user), user, vote.passkey.is_some())));
    }
    let voters: Vec<Voter<'_>> =
        all.iter().map(|(keys, user, has_signed)| Voter { user: &user.id, keys, has_signed: *has_signed }).collect();
    Ok(approval.is_met(&voters))
}

/// Takes an approval back: what waits ends, what was approved is not used, and every token that came of it is stopped.
pub async fn revoke(cx: &Cx<'_>, id: &str, admin: &str) -> Result<Approval> {
    let found = find(cx, id).await?;
    if matches!(found.status, ApprovalStatus::Denied | ApprovalStatus::Revoked) {
        return Ok(found);
    }
    let tenant = &cx.tenant.id;
    let mut event = event(cx, EventType::ApprovalRevoked, &found);
    event.client = Some(admin.to_owned());
    event.facts.client_name = cx.name_of(admin);
    event.facts.detail = Some(found.status.as_str().to_owned());
    let change = Change::guard(store::approvals::revoke(tenant, id))
        .invalidates(&StoppedChainsKey)
        .event(event)
        .always(store::stops::stop_chain(tenant, &found.digest(), tokens_end(cx)))
        .always(store::approvals::close(tenant, id));
    cx.commit(change).await?;
    find(cx, id).await
}
