//! The door of policy: `@require("approval")` at a token, a lease or a call.

use super::ask::{Asked, INTERVAL, With, ask, event, uri};
use crate::cedar::{Required, Verdict};
use crate::context::{Change, Cx};
use crate::directory::clients;
use crate::error::{Error, Reason, Refusal, Result, Waiting};
use crate::model::approval::{Approval, ApprovalStatus, digest, number};
use crate::model::event::Facts;
use crate::model::requirement::Requirement;
use crate::model::{Client, EventType, id};
use crate::policy::obligations;
use crate::revocation::breach::{self, Using};
use crate::revocation::check;
use crate::store;
use std::cell::OnceCell;
use std::rc::Rc;

/// The approval of a use that is decided several times while it lasts.
pub type Held = Rc<OnceCell<String>>;

/// The approval that was given for what is asked, and not used; nothing if there is none.
pub async fn met(cx: &Cx<'_>, asked: &Asked<'_>) -> Result<Option<Approval>> {
    let found = cx.one(store::approvals::of_key(&cx.tenant.id, &asked.key(), cx.now.seconds())).await?;
    Ok(found.filter(|found| found.status == ApprovalStatus::Approved))
}

/// Asks for what is missing, and refuses meanwhile; or refuses because it was denied.
pub async fn refuse(cx: &Cx<'_>, asked: &Asked<'_>, facts: &mut Facts) -> Error {
    match ask(cx, asked, With::default()).await {
        Ok((approval, is_new)) => {
            facts.approval = Some(approval.id.clone());
            match waiting(cx, &approval, is_new) {
                // A request that only asks whether somebody has decided leaves no event.
                Error::Refused(refusal) if !refusal.is_poll() => {
                    Error::Refused(Refusal { decision: facts.decision.clone(), ..refusal })
                }
                other => other,
            }
        }
        Err(error) => error,
    }
}

/// The refusal of a client whose approval is not there.
pub fn waiting(cx: &Cx<'_>, approval: &Approval, is_new: bool) -> Error {
    let is_pending = approval.is_pending(cx.now.seconds());
    let waiting = Waiting {
        id: approval.id.clone(),
        uri: is_pending.then(|| uri(cx, &approval.id)),
        number: is_pending.then(|| number(&approval.id)),
        interval: INTERVAL,
        expires_in: approval.expires_at.saturating_sub(cx.now.seconds()),
        note: approval.body.note.clone(),
        is_new,
    };
    let reason = match approval.status {
        _ if is_pending => Reason::ApprovalPending,
        ApprovalStatus::Denied => Reason::ApprovalDenied,
        _ => Reason::ApprovalOver,
    };
    reason.awaiting(waiting)
}

/// Passes if what is asked was approved. `held` remembers the approval: for as long as it is not taken back, the same use passes again.
pub async fn permit(cx: &Cx<'_>, asked: &Asked<'_>, held: &Held, facts: &mut Facts) -> Result<()> {
    if let Some(id) = held.get() {
        facts.approval = Some(id.clone());
        return match check::is_stopped(cx, Some(&digest(id))).await? {
            true => Err(Reason::ApprovalOver.into()),
            false => Ok(()),
        };
    }
    match met(cx, asked).await? {
        Some(approval) => {
            facts.approval = Some(approval.id.clone());
            // Nothing is held yet.
            drop(held.set(approval.id));
            Ok(())
        }
        None => Err(refuse(cx, asked, facts).await),
    }
}

/// Redeems the approval of a use, if it has one.
pub async fn redeem_held(cx: &Cx<'_>, held: &Held) -> Result<()> {
    match held.get() {
        Some(id) => redeem(cx, id).await,
        None => Ok(()),
    }
}

/// Redeems an approval; refused if it was used, is over, was taken back, or was given by the owner that its client had before.
pub async fn redeem(cx: &Cx<'_>, id: &str) -> Result<()> {
    let found = match id::is_plausible(id) {
        true => cx.one(store::approvals::get(&cx.tenant.id, id)).await?,
        false => None,
    };
    let found = found.ok_or(Reason::ApprovalOver)?;
    let client = clients::load(cx, &found.client).await?;
    let owner = client.as_ref().and_then(|client| client.metadata.owner.as_deref());
    if !found.texts("require").iter().all(|text| found.was_asked(text, owner)) {
        return Err(Reason::ApprovalOver.because("its client has another owner by now"));
    }
    let event = event(cx, EventType::ApprovalRedeemed, &found);
    match cx.commit(Change::guard(store::approvals::redeem(&cx.tenant.id, id, cx.now.seconds())).event(event)).await? {
        true => Ok(()),
        false => Err(Reason::ApprovalOver.into()),
    }
}

/// What a grant that asks a person itself requires: `approval`, and what the permits require of the same people, such as a passkey. Whom they name
/// besides is asked where none of the scopes is left without: see `tokens::approval`. Refused where the limits have no room for any of it.
pub async fn required(cx: &Cx<'_>, client: &Client, using: Using<'_>, verdicts: &[Verdict]) -> Result<Vec<String>> {
    if verdicts.iter().all(Verdict::can_be_met) {
        let full = breach::all_full(cx, using, verdicts.iter()).await?;
        if !full.is_empty() {
            return Err(obligations::refusal(cx, &full, None));
        }
    }
    let subject = using.subject;
    let owner = client.metadata.owner.as_deref();
    let asked = Requirement::default().rule(subject, owner).who;
    let permits = || verdicts.iter().filter(|verdict| verdict.can_be_met());
    let requires = |verdict: &Verdict| -> Vec<(String, bool)> {
        let read = |text: &str| Some((text.to_owned(), Requirement::parse(text)?.rule(subject, owner)));
        let all = verdict.require.iter().filter_map(Required::approval).filter_map(read);
        all.map(|(text, rule)| (text, rule.n <= 1 && rule.who == asked)).collect()
    };
    let asks_others = permits().all(|verdict| requires(verdict).iter().any(|(_, is_of_the_same)| !is_of_the_same));
    let mut all: Vec<String> = permits()
        .flat_map(requires)
        .filter(|(_, is_of_the_same)| *is_of_the_same || asks_others)
        .map(|(text, _)| text)
        .chain(["approval".to_owned()])
        .collect();
    all.sort_unstable();
    all.dedup();
    Ok(all)
}
