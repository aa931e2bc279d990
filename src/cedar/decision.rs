//! Decision: from Cedar's answer about one target to a verdict.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use cedar_policy::{AuthorizationError, Authorizer, Decision, Entities, PolicyId, PolicySet, Request};

use super::attributes::Attributes;
use super::obligations::{Limit, Obligations};
use super::required::Required;

/// What was decided about one target, and which stored documents decided it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is allowed.
    pub allow: bool,
    /// Ids of the documents that determined it: the permits that held, or the forbids that held and those that erred.
    /// Empty when nothing permitted it.
    pub policies: Vec<String>,
    /// Ids of the documents whose evaluation erred, or `facts: …` when the question could not be put to Cedar.
    pub errors: Vec<String>,
    /// Ids of the shadow documents each of which would have changed the verdict, had it alone been enforced too.
    pub shadow: Vec<String>,
    /// The smallest `@ttl("seconds")` of the permits that held.
    pub ttl: Option<u64>,
    /// What the permits that held require, each once.
    pub require: Vec<Required>,
    /// The `@limit("…")` of the permits that held.
    pub limits: Vec<Limit>,
    /// Whether it would be allowed at another hour: `policies` are then the permits that are quiet (`@quiet("…")`).
    pub is_quiet: bool,
}

impl Verdict {
    /// A denial because the question could not be put to Cedar.
    pub(super) fn unanswerable(reason: String) -> Self {
        Self { errors: vec![reason], ..Self::default() }
    }

    /// Whether it permits once all that it requires is there: what is unknown never is.
    pub fn can_be_met(&self) -> bool {
        let is_known = |required: &Required| !matches!(required, Required::Unknown(_));
        self.allow && self.errors.is_empty() && self.require.iter().all(is_known)
    }
}

/// Statements by the time zone in which they see the clock; nothing is the tenant's.
pub(super) type Zoned = BTreeMap<Option<Rc<str>>, PolicySet>;

/// The statements that can have a say in a question.
#[derive(Default)]
pub(super) struct Slice {
    /// What they can read.
    pub(super) attributes: Attributes,
    pub(super) enforced: Zoned,
    /// Each shadow document by itself.
    pub(super) shadow: Vec<(Rc<str>, Zoned)>,
    /// Where each enforced statement comes from, by Cedar's id for it, and what it asks for.
    pub(super) notes: HashMap<PolicyId, Note>,
    /// Enforced documents that cannot be read. They could have held a forbid.
    pub(super) unreadable: Vec<Rc<str>>,
}

/// What the verdict needs to know of a statement beyond its Cedar text.
pub(super) struct Note {
    /// Id of the stored document that holds it.
    pub(super) document: Rc<str>,
    /// Which of its statements it is, from 1.
    pub(super) statement: usize,
    pub(super) obligations: Obligations,
}

/// One question, put to Cedar once for each time zone.
pub(super) struct Asking<'a> {
    pub(super) authorizer: &'a Authorizer,
    pub(super) entities: &'a Entities,
    /// The request as it is seen in a time zone; nothing if the zone is unknown.
    pub(super) request: &'a dyn Fn(Option<&str>) -> Option<Request>,
    /// The minute of the day in a time zone; nothing if the zone is unknown.
    pub(super) minute: &'a dyn Fn(Option<&str>) -> Option<u32>,
}

/// What the statements say together.
struct Answer {
    allow: bool,
    /// The forbids that held, or else the permits.
    held: Vec<PolicyId>,
    /// The permits that would have held at another hour.
    quiet: Vec<PolicyId>,
    /// Those that could not be evaluated.
    errors: Vec<PolicyId>,
}

impl Answer {
    /// Denied by a forbid that held, not for want of a permit.
    fn is_forbidden(&self) -> bool {
        !self.allow && !self.held.is_empty()
    }
}

impl Asking<'_> {
    fn answer(&self, statements: &Zoned, slice: &Slice) -> Answer {
        let (mut permits, mut forbids, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for (zone, policies) in statements {
            let Some(request) = (self.request)(zone.as_deref()) else {
                errors.extend(policies.policies().map(|policy| policy.id().clone()));
                continue;
            };
            let response = self.authorizer.is_authorized(&request, policies, self.entities);
            let held = if response.decision() == Decision::Allow { &mut permits } else { &mut forbids };
            held.extend(response.diagnostics().reason().cloned());
            errors.extend(response.diagnostics().errors().map(|error| statement(error).clone()));
        }
        let (quiet, permits): (Vec<_>, Vec<_>) = permits.into_iter().partition(|id| self.is_quiet(id, slice));
        let allow = forbids.is_empty() && !permits.is_empty();
        Answer { allow, held: if forbids.is_empty() { permits } else { forbids }, quiet, errors }
    }

    /// Whether a permit does not hold at this hour.
    fn is_quiet(&self, id: &PolicyId, slice: &Slice) -> bool {
        let obligations = slice.notes.get(id).map(|note| &note.obligations);
        let Some(Obligations { quiet: Some(quiet), zone, .. }) = obligations else { return false };
        (self.minute)(zone.as_deref()).is_none_or(|minute| quiet.holds(minute))
    }
}

/// Decides one request.
pub(super) fn decide(asking: &Asking<'_>, slice: &Slice) -> Verdict {
    let answer = asking.answer(&slice.enforced, slice);
    let notes = |ids: &[PolicyId]| -> Vec<&Note> { ids.iter().filter_map(|id| slice.notes.get(id)).collect() };
    let held = notes(&answer.held);
    let documents = |notes: &[&Note]| -> Vec<Rc<str>> { notes.iter().map(|note| Rc::clone(&note.document)).collect() };
    let erred = [documents(&notes(&answer.errors)), slice.unreadable.clone()].concat();

    if !erred.is_empty() {
        let forbids = if answer.allow { Vec::new() } else { documents(&held) };
        let policies = names(forbids.iter().chain(&erred).map(|document| &**document));
        return Verdict { policies, errors: names(erred.iter().map(|document| &**document)), ..Verdict::default() };
    }
    let shadow = slice.shadow.iter().filter(|(_, policies)| would_change(&answer, || asking.answer(policies, slice)));
    let shadow = names(shadow.map(|(document, _)| &**document));
    if !answer.allow {
        let is_quiet = held.is_empty() && !answer.quiet.is_empty();
        let decisive = if is_quiet { notes(&answer.quiet) } else { held };
        let policies = names(decisive.iter().map(|one| &*one.document));
        return Verdict { policies, shadow, is_quiet, ..Verdict::default() };
    }
    Verdict {
        allow: true,
        policies: names(held.iter().map(|one| &*one.document)),
        errors: Vec::new(),
        shadow,
        ttl: held.iter().filter_map(|one| one.obligations.ttl).min(),
        require: required(&held),
        limits: limits(&held),
        is_quiet: false,
    }
}

/// What permits require, in order, each once.
fn required(held: &[&Note]) -> Vec<Required> {
    let mut all: Vec<Required> = held.iter().flat_map(|one| one.obligations.require.iter().cloned()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The limits of permits, in order.
fn limits(held: &[&Note]) -> Vec<Limit> {
    let limit = |note: &&Note| {
        let Obligations { rate, suspends, zone, .. } = &note.obligations;
        Some(Limit {
            policy: note.document.to_string(),
            statement: note.statement,
            rate: (*rate)?,
            zone: zone.as_deref().map(str::to_owned),
            suspends: *suspends,
        })
    };
    let mut limits: Vec<Limit> = held.iter().filter_map(limit).collect();
    limits.sort();
    limits
}

/// Whether an answer without errors would be another with a shadow document added. Asks for the shadow's own answer only
/// if it matters.
fn would_change(answer: &Answer, shadow: impl FnOnce() -> Answer) -> bool {
    match answer {
        Answer { allow: true, .. } => {
            let shadow = shadow();
            !shadow.errors.is_empty() || shadow.is_forbidden()
        }
        denied if denied.is_forbidden() => false,
        _ => {
            let shadow = shadow();
            shadow.errors.is_empty() && shadow.allow
        }
    }
}

pub(super) fn statement(error: &AuthorizationError) -> &PolicyId {
    match error {
        AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
    }
}

/// Sorted, each once.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_each_stands_once() {
        assert_eq!(names(["b", "a", "b"].into_iter()), ["a", "b"]);
    }
}
