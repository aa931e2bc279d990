//! Decision: from Cedar's answer about one target to a verdict.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use cedar_policy::{AuthorizationError, Authorizer, Decision, Effect, Entities, Policy, PolicyId, PolicySet, Request};
use serde::Serialize;

use super::attributes::Attributes;
use crate::model::approval::Requirement;

/// What was decided about one target, and which stored documents decided it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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
    /// The `@require("…")` values of the permits that held.
    pub require: Vec<String>,
}

impl Verdict {
    /// A denial because the question could not be put to Cedar.
    pub(super) fn unanswerable(reason: String) -> Self {
        Self { errors: vec![reason], ..Self::default() }
    }
}

/// What a permit asks for in return, said in its annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Obligations {
    ttl: Option<u64>,
    require: Option<String>,
    /// The time zone in which the statement sees the clock, if not the tenant's.
    pub(super) zone: Option<Rc<str>>,
}

/// An annotation that does not mean what it should.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadAnnotation {
    pub(super) name: String,
    pub(super) message: String,
}

impl Obligations {
    /// Reads the annotations. Unknown ones are refused: a misspelt obligation would be none.
    pub(super) fn read(policy: &Policy) -> Result<Self, BadAnnotation> {
        let mut obligations = Self::default();
        for (name, value) in policy.annotations() {
            let bad = |message: &str| BadAnnotation { name: name.to_owned(), message: message.to_owned() };
            match name {
                "id" | "description" | "advice" => {}
                "zone" if value.trim().is_empty() => {
                    return Err(bad("@zone names an IANA time zone, as in @zone(\"Europe/Berlin\")"));
                }
                "zone" => obligations.zone = Some(value.into()),
                "ttl" | "require" if policy.effect() == Effect::Forbid => {
                    return Err(bad("@ttl and @require bind permits only: take it off this forbid"));
                }
                "ttl" => match value.parse() {
                    Ok(seconds) if seconds > 0 => obligations.ttl = Some(seconds),
                    _ => {
                        return Err(bad("@ttl takes a whole number of seconds, as in @ttl(\"60\")"));
                    }
                },
                "require" if value.trim().is_empty() => {
                    return Err(bad("@require names what is required, as in @require(\"approval\")"));
                }
                "require" if Requirement::is_one(value) && Requirement::parse(value).is_none() => {
                    return Err(bad(
                        "after `approval:` stand `subject`, `owner`, `role=NAME`, `group=NAME`, `n=1` to `n=9` and `passkey`, with commas between",
                    ));
                }
                "require" => obligations.require = Some(value.to_owned()),
                _ => {
                    return Err(bad(&format!(
                        "unknown annotation @{name}: use @id, @description, @advice, @zone, @ttl or @require"
                    )));
                }
            }
        }
        Ok(obligations)
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
    pub(super) obligations: Obligations,
}

/// One question, put to Cedar once for each time zone.
pub(super) struct Asking<'a> {
    pub(super) authorizer: &'a Authorizer,
    pub(super) entities: &'a Entities,
    /// The request as it is seen in a time zone; nothing if the zone is unknown.
    pub(super) request: &'a dyn Fn(Option<&str>) -> Option<Request>,
}

/// What the statements say together.
struct Answer {
    allow: bool,
    /// The forbids that held, or else the permits.
    held: Vec<PolicyId>,
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
    fn answer(&self, statements: &Zoned) -> Answer {
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
        let allow = forbids.is_empty() && !permits.is_empty();
        Answer { allow, held: if forbids.is_empty() { permits } else { forbids }, errors }
    }
}

/// Decides one request.
pub(super) fn decide(asking: &Asking<'_>, slice: &Slice) -> Verdict {
    let answer = asking.answer(&slice.enforced);
    let notes = |ids: &[PolicyId]| -> Vec<&Note> { ids.iter().filter_map(|id| slice.notes.get(id)).collect() };
    let held = notes(&answer.held);
    let documents = |notes: &[&Note]| -> Vec<Rc<str>> { notes.iter().map(|note| Rc::clone(&note.document)).collect() };
    let erred = [documents(&notes(&answer.errors)), slice.unreadable.clone()].concat();

    if !erred.is_empty() {
        let forbids = if answer.allow { Vec::new() } else { documents(&held) };
        let policies = names(forbids.iter().chain(&erred).map(|document| &**document));
        return Verdict { policies, errors: names(erred.iter().map(|document| &**document)), ..Verdict::default() };
    }
    let shadow = slice.shadow.iter().filter(|(_, policies)| would_change(&answer, || asking.answer(policies)));
    let shadow = names(shadow.map(|(document, _)| &**document));
    let policies = names(held.iter().map(|one| &*one.document));
    if !answer.allow {
        return Verdict { policies, shadow, ..Verdict::default() };
    }
    Verdict {
        allow: true,
        policies,
        errors: Vec::new(),
        shadow,
        ttl: held.iter().filter_map(|one| one.obligations.ttl).min(),
        require: names(held.iter().filter_map(|one| one.obligations.require.as_deref())),
    }
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

    fn read(text: &str) -> Result<Obligations, BadAnnotation> {
        Obligations::read(&text.parse().unwrap())
    }

    #[test]
    fn obligations_are_read_from_annotations() {
        let plain = read("@id(\"x\") permit(principal, action, resource);").unwrap();
        assert_eq!(plain, Obligations::default());
        let bound = read("@ttl(\"60\") @require(\"approval\") permit(principal, action, resource);").unwrap();
        assert_eq!(bound, Obligations { ttl: Some(60), require: Some("approval".into()), zone: None });
    }

    #[test]
    fn an_obligation_that_cannot_be_met_is_refused_by_name() {
        for (text, name) in [
            ("@zone(\" \") forbid", "zone"),
            ("@ttl(\"soon\") permit", "ttl"),
            ("@tll(\"60\") permit", "tll"),
            ("@ttl(\"60\") forbid", "ttl"),
            ("@require(\"approval:anybody\") permit", "require"),
        ] {
            assert_eq!(read(&format!("{text}(principal, action, resource);")).unwrap_err().name, name);
        }
    }

    #[test]
    fn names_are_sorted_and_each_stands_once() {
        assert_eq!(names(["b", "a", "b"].into_iter()), ["a", "b"]);
    }
}
