//! Meeting what permits ask for in return: the one place, for tokens, leases and calls through the proxy.
//!
//! In scope: what a request brings for what is required, and how often a permit is used. Out of scope: reading annotations
//! (`cedar::obligations`); acting on a breach (`revocation::breach`); who gives an approval.
//!
//! 1. A requirement that is met is taken off the verdict. What is left on it refuses.
//! 2. A use is counted when nothing but the answer is left to do, by one guarded statement: no window has more uses than its limit says, in
//!    all locations together. Where the answer fails after that, or is lost, the use stays counted.
//! 3. One answer is one use of a statement, however many scopes it gives. Where one limit of several has no room, nothing is counted.
//! 4. Without a limit nothing is asked of D1. A limit that has no room is remembered until its window is over.

use super::{STEP_UP_SECONDS, offset};
use crate::cedar::{By, Limit, Period, Required, Verdict};
use crate::context::Cx;
use crate::error::{Error, Reason, Refusal, Remedy, Result};
use crate::jose::LEEWAY_SECONDS;
use crate::ports::Now;
use crate::store;
use crate::store::limits::Use;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// How long a window is remembered beyond its end at least, in seconds: more than any clock may be off.
const REMEMBERED_SECONDS: i64 = 600;
/// How many limits without room an isolate remembers of a tenant, and what that weighs.
const KEPT: usize = 256;
const WEIGHT: usize = 64 * 1_024;

/// What a request brings.
#[derive(Clone, Debug, Default)]
pub struct Means {
    /// When the user signed in, in seconds.
    pub auth_time: Option<i64>,
    /// How the user did.
    pub acr: Option<String>,
    /// Whether the token is bound to a key.
    pub is_bound: bool,
    /// The types of its authorization details.
    pub details: Vec<String>,
}

/// Takes off what the verdicts require and the request brings.
pub fn meet(now: Now, verdicts: &mut [Verdict], means: &Means) {
    // Who says when may have a clock that is a little ahead.
    let is_recent = |at: i64| (-LEEWAY_SECONDS..=STEP_UP_SECONDS).contains(&now.seconds().saturating_sub(at));
    let is_met = |required: &Required| match required {
        Required::StepUp(acrs) => {
            let is_strong = acrs.is_empty() || means.acr.as_ref().is_some_and(|acr| acrs.contains(acr));
            is_strong && means.auth_time.is_some_and(is_recent)
        }
        Required::Key => means.is_bound,
        Required::Details(kind) => means.details.contains(kind),
        Required::Approval(_) | Required::Room | Required::Unknown(_) => false,
    };
    verdicts.iter_mut().for_each(|verdict| verdict.require.retain(|required| !is_met(required)));
}

/// The verdict with the sign-in that it still wants of who brings that, and with nothing else; nothing if it wants none.
pub fn wanting_sign_in(now: Now, verdict: &Verdict, means: &Means) -> Option<Verdict> {
    let mut left = [verdict.clone()];
    meet(now, &mut left, means);
    let [mut left] = left;
    left.require.retain(|one| matches!(one, Required::StepUp(_)));
    (!left.require.is_empty()).then_some(left)
}

/// The authorization details that verdicts require, one list for each verdict.
pub fn details(verdicts: &[Verdict]) -> Vec<Vec<Required>> {
    let is_of_details = |required: &&Required| matches!(required, Required::Details(_));
    verdicts.iter().map(|verdict| verdict.require.iter().filter(is_of_details).cloned().collect()).collect()
}

/// Requires authorization details again where they are not among these types any more: a person has taken them off.
pub fn require_again(verdicts: &mut [Verdict], details: Vec<Vec<Required>>, left: &[String]) {
    for (verdict, details) in verdicts.iter_mut().zip(details) {
        let is_gone = |required: &Required| matches!(required, Required::Details(kind) if !left.contains(kind));
        let gone: Vec<Required> =
            details.into_iter().filter(|one| is_gone(one) && !verdict.require.contains(one)).collect();
        verdict.require.extend(gone);
    }
}

/// Whether a verdict lacks nothing but room in a limit.
pub(super) fn is_over_limit(verdict: &Verdict) -> bool {
    verdict.require.contains(&Required::Room)
}

/// The reason of a refusal that says what its sender can bring; nothing where that would not help.
pub fn reason(verdicts: &[Verdict]) -> Option<Reason> {
    // What people give is asked for afterwards.
    let can_be_met = |required: &Required| !matches!(required, Required::Room | Required::Unknown(_));
    let lacks = |it: fn(&Required) -> bool| {
        let lacks_it = |verdict: &Verdict| {
            let require = &verdict.require;
            verdict.allow && require.iter().all(can_be_met) && require.iter().any(it)
        };
        verdicts.iter().any(lacks_it)
    };
    match () {
        () if lacks(|required| *required == Required::Key) => Some(Reason::BoundTokenRequired),
        () if lacks(|required| matches!(required, Required::Details(_))) => Some(Reason::DetailsRequired),
        () if verdicts.iter().any(|verdict| verdict.is_quiet) => Some(Reason::QuietHours),
        () => None,
    }
}

/// How the user has to sign in where verdicts are refused for that reason; nothing if that does not help, or any way would do.
pub fn sign_in(reason: Reason, verdicts: &[Verdict]) -> Option<Box<Remedy>> {
    if reason != Reason::StepUpRequired {
        return None;
    }
    let wanting = verdicts.iter().filter(|verdict| super::lacks_sign_in(verdict));
    let acr_values = Required::acr_values(wanting.map(|verdict| verdict.require.as_slice()))?;
    Some(Box::new(Remedy::SignIn(acr_values)))
}

/// What the verdicts lack and which policies ask for it, for the event.
pub fn lacking(verdicts: &[Verdict]) -> Option<String> {
    let lacking = |verdict: &Verdict| match verdict {
        Verdict { allow: true, require, policies, .. } if !require.is_empty() => {
            Some(format!("{} requires: {}", policies.join(", "), Required::texts(require).join(", ")))
        }
        Verdict { is_quiet: true, policies, .. } => Some(format!("{} is quiet at this hour", policies.join(", "))),
        _ => None,
    };
    let all: BTreeSet<String> = verdicts.iter().filter_map(lacking).collect();
    (!all.is_empty()).then(|| all.into_iter().collect::<Vec<_>>().join("; "))
}

/// The limits of the verdicts that give something, each once.
pub fn limits<'v>(verdicts: impl Iterator<Item = &'v Verdict>) -> Vec<Limit> {
    let all: BTreeSet<&Limit> = verdicts.flat_map(|verdict| &verdict.limits).collect();
    all.into_iter().cloned().collect()
}

/// A limit that has no room.
pub struct Reached {
    /// The limit.
    pub limit: Limit,
    /// When it has room again, in seconds.
    pub until: i64,
    /// The use that it has no room for.
    pub(crate) one: Use,
}

impl Reached {
    /// For people: the policy, the statement and the limit.
    pub fn text(&self) -> String {
        let Limit { policy, statement, rate, .. } = &self.limit;
        format!("{policy}, statement {statement}, permits {}", rate.text())
    }
}

/// The refusal by limits, with the decision that an administrator can look up.
pub fn refusal(cx: &Cx<'_>, reached: &[Reached], decision: Option<String>) -> Error {
    let until = reached.iter().map(|one| one.until).max().unwrap_or_default();
    Error::Refused(Refusal {
        reason: Reason::LimitReached,
        detail: Some(reached.iter().map(Reached::text).collect::<Vec<_>>().join("; ")),
        decision,
        scope: None,
        retry_after: Some(until.saturating_sub(cx.now.seconds()).max(1)),
        remedy: None,
    })
}

/// Marks the verdicts that rest on a limit without room.
pub fn mark(verdicts: &mut [Verdict], reached: &[Reached]) {
    for verdict in verdicts {
        let limiting = reached.iter().filter(|one| verdict.limits.contains(&one.limit));
        let limiting: BTreeSet<String> = limiting.map(|one| one.limit.policy.clone()).collect();
        if !limiting.is_empty() {
            verdict.policies = limiting.into_iter().collect();
            verdict.require.push(Required::Room);
        }
    }
}

/// The use of a statement with a limit, and when its window is over.
fn of(cx: &Cx<'_>, (client, subject): (&str, &str), limit: &Limit) -> (Use, i64) {
    let now = cx.now.seconds();
    let Limit { policy, statement, rate, zone, .. } = limit;
    let ahead = match rate.period {
        Period::Day => offset(cx, zone.as_deref().unwrap_or(&cx.tenant.zone)).unwrap_or_default(),
        Period::Minute | Period::Hour => 0,
    };
    let length = rate.period.seconds();
    let window = now.saturating_add(ahead.into()).div_euclid(length);
    let over = window.saturating_add(1).saturating_mul(length).saturating_sub(ahead.into());
    let subject = match rate.by {
        By::Identity => format!("identity {client} {subject}"),
        By::Client => format!("client {client}"),
        By::User => format!("user {subject}"),
    };
    let policy = format!("{policy}/{statement}/{}", rate.period.as_str());
    let until = over.saturating_add(length.max(REMEMBERED_SECONDS));
    (Use { policy, subject, window, most: rate.most, until }, over)
}

/// Limits that had no room, by the text of the use.
type Full = RefCell<BTreeSet<String>>;

fn key(one: &Use) -> String {
    format!("{} {} {} {}", one.policy, one.subject, one.window, one.most)
}

/// What a limit has left of its window.
pub struct Room {
    /// The limit.
    pub limit: Limit,
    /// How many uses.
    pub left: i64,
    /// When the window is over, in seconds.
    until: i64,
}

impl Room {
    /// As it is shown.
    pub fn shown(&self) -> Value {
        let Limit { policy, statement, rate, suspends, .. } = &self.limit;
        json!({
            "policy": policy, "statement": statement, "limit": rate.text(), "left": self.left, "until": self.until,
            "suspends": suspends,
        })
    }
}

/// What limits have left of their windows. It counts nothing, and what is full is not acted on.
pub async fn room(cx: &Cx<'_>, parties: (&str, &str), limits: Vec<Limit>) -> Result<Vec<Room>> {
    if limits.is_empty() {
        return Ok(Vec::new());
    }
    let (uses, ends): (Vec<Use>, Vec<i64>) = limits.iter().map(|limit| of(cx, parties, limit)).unzip();
    let taken = cx.all(store::limits::taken(&cx.tenant.id, &store::limits::json(&uses))).await?;
    let of_place = |place: i64| taken.iter().find(|(known, _)| *known == place).map_or(0, |(_, taken)| *taken);
    let rooms = (0..).zip(limits.into_iter().zip(ends)).map(|(place, (limit, until))| {
        let left = i64::from(limit.rate.most).saturating_sub(of_place(place)).max(0);
        Room { limit, left, until }
    });
    Ok(rooms.collect())
}

/// Counts one use of each limit by a client for a subject. Answers which limits have no room: where one has none, nothing is counted.
pub async fn claim(cx: &Cx<'_>, parties: (&str, &str), limits: &[Limit]) -> Result<Vec<Reached>> {
    count(cx, parties, limits, Wants::Use).await
}

/// Answers which limits have no room, and counts nothing: for a use that would cost something before it is counted.
pub async fn full(cx: &Cx<'_>, parties: (&str, &str), limits: &[Limit]) -> Result<Vec<Reached>> {
    count(cx, parties, limits, Wants::Any).await
}

/// The limits that have no room, if each of the verdicts rests on one of them: then nothing of it can be used, and nobody is asked to approve it. It
/// counts nothing.
pub async fn all_full<'v>(
    cx: &Cx<'_>,
    parties: (&str, &str),
    verdicts: impl Iterator<Item = &'v Verdict>,
) -> Result<Vec<Reached>> {
    let verdicts: Vec<&Verdict> = verdicts.collect();
    if verdicts.iter().any(|verdict| verdict.limits.is_empty()) {
        return Ok(Vec::new());
    }
    // [`full`] may leave out some where it knows that another one has no room.
    let reached = count(cx, parties, &limits(verdicts.iter().copied()), Wants::Each).await?;
    let is_full = |verdict: &&Verdict| reached.iter().any(|one| verdict.limits.contains(&one.limit));
    Ok(if verdicts.iter().all(is_full) { reached } else { Vec::new() })
}

/// What is wanted of limits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// One use of all of them.
    Use,
    /// Whether any has no room.
    Any,
    /// Which have no room.
    Each,
}

async fn count(cx: &Cx<'_>, parties: (&str, &str), limits: &[Limit], wants: Wants) -> Result<Vec<Reached>> {
    if limits.is_empty() {
        return Ok(Vec::new());
    }
    let (uses, ends): (Vec<Use>, Vec<i64>) = limits.iter().map(|limit| of(cx, parties, limit)).unzip();
    let known: Rc<Full> = cx.lasting("limits", WEIGHT);
    let mut places: Vec<usize> =
        (0..).zip(&uses).filter(|(_, one)| known.borrow().contains(&key(one))).map(|(place, _)| place).collect();
    let is_known = if wants == Wants::Each { places.len() == uses.len() } else { !places.is_empty() };
    if !is_known {
        let (tenant, json) = (&cx.tenant.id, store::limits::json(&uses));
        let full = if wants == Wants::Use {
            let (full, claimed) =
                cx.batch((store::limits::full(tenant, &json), store::limits::claim(tenant, &json))).await?;
            if claimed > 0 { Vec::new() } else { full }
        } else {
            cx.all(store::limits::full(tenant, &json)).await?
        };
        places = full.into_iter().filter_map(|place| usize::try_from(place).ok()).collect();
    }
    let all = limits.iter().zip(uses).zip(ends);
    let reached = (0..).zip(all).filter(|(place, _)| places.contains(place));
    let reached: Vec<Reached> =
        reached.map(|(_, ((limit, one), until))| Reached { limit: limit.clone(), until, one }).collect();
    // A breach that suspends is acted on first: see `revocation::breach`.
    let mut known = known.borrow_mut();
    if known.len() >= KEPT {
        known.clear();
    }
    known.extend(reached.iter().filter(|one| !one.limit.suspends).map(|one| key(&one.one)));
    Ok(reached)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cedar::{Action, Bundle, Circumstance, Mode, Principal, Question, Source, Target};

    /// What the permit of a stored policy requires still of a request that brings everything.
    fn left(annotation: &str) -> Vec<Required> {
        let cedar = format!("{annotation} permit(principal, action, resource);");
        let bundle = Bundle::parse(&[Source { id: "p".to_owned(), cedar, mode: Mode::Enforce }]).unwrap();
        let (principal, circumstance) =
            (Principal::default(), Circumstance { offset: Some(0), ..Circumstance::default() });
        let targets = [Target::Scope { resource: "r".to_owned(), name: "s".to_owned(), tool: None }];
        let question =
            Question { action: Action::Issue, principal: &principal, targets: &targets, circumstance: &circumstance };
        let mut verdicts = bundle.decide_in(&question, &|_| Some(0));
        assert!(verdicts[0].allow, "{verdicts:?}");
        let (acr, details) = (Some("phr".to_owned()), vec!["payment".to_owned()]);
        let means = Means { auth_time: Some(0), acr, is_bound: true, details };
        meet(Now::from_millis(0), &mut verdicts, &means);
        verdicts.remove(0).require
    }

    #[test]
    fn a_stored_requirement_that_is_unknown_is_met_by_nothing_whatever_it_is_called() {
        for met in [
            "@require(\"step_up\")",
            "@require(\"step_up:acr=phrh,acr=phr\")",
            "@bind(\"dpop\")",
            "@details(\"payment\")",
        ] {
            assert_eq!(left(met), [], "{met}");
        }
        for text in ["dpop", "limit", "details payment", "a ritual", "step_up:", "step_up:phr", "step_up:acr=a b"] {
            assert_eq!(left(&format!("@require(\"{text}\")")), [Required::Unknown(text.to_owned())]);
            // Nor is anybody asked for the rest.
            let require = vec![Required::Approval("approval".to_owned()), Required::Unknown(text.to_owned())];
            assert!(!Verdict { allow: true, require, ..Verdict::default() }.can_be_met());
        }
    }
}
