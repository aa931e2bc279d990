//! Decision: from Cedar's answer about one target to a verdict.

use std::collections::HashMap;
use std::rc::Rc;

use cedar_policy::{
    AuthorizationError, Authorizer, Decision, Effect, Entities, Policy, PolicyId, PolicySet, Request, Response,
};
use serde::Serialize;

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
                "require" => obligations.require = Some(value.to_owned()),
                _ => {
                    return Err(bad(&format!(
                        "unknown annotation @{name}: use @id, @description, @advice, @ttl or @require"
                    )));
                }
            }
        }
        Ok(obligations)
    }
}

/// The statements that can have a say in a question.
#[derive(Default)]
pub(super) struct Slice {
    pub(super) enforced: PolicySet,
    /// Each shadow document by itself.
    pub(super) shadow: Vec<(Rc<str>, PolicySet)>,
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

/// Decides one request.
pub(super) fn decide(authorizer: &Authorizer, request: &Request, entities: &Entities, slice: &Slice) -> Verdict {
    let answer = authorizer.is_authorized(request, &slice.enforced, entities);
    let note = |id: &PolicyId| slice.notes.get(id);
    let held: Vec<&Note> = answer.diagnostics().reason().filter_map(note).collect();
    let erred = answer.diagnostics().errors().filter_map(|error| note(statement(error))).map(|one| &*one.document);
    let erred: Vec<&str> = erred.chain(slice.unreadable.iter().map(|document| &**document)).collect();

    if has_erred(&answer) || !slice.unreadable.is_empty() {
        let forbids = held.iter().filter(|_| answer.decision() == Decision::Deny).map(|one| &*one.document);
        let policies = names(forbids.chain(erred.iter().copied()));
        return Verdict { policies, errors: names(erred.into_iter()), ..Verdict::default() };
    }
    let shadow = slice
        .shadow
        .iter()
        .filter(|(_, policies)| would_change(&answer, || authorizer.is_authorized(request, policies, entities)));
    let shadow = names(shadow.map(|(document, _)| &**document));
    let policies = names(held.iter().map(|one| &*one.document));
    if answer.decision() == Decision::Deny {
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
fn would_change(answer: &Response, shadow: impl FnOnce() -> Response) -> bool {
    match answer.decision() {
        Decision::Allow => {
            let shadow = shadow();
            has_erred(&shadow) || is_forbidden(&shadow)
        }
        Decision::Deny if is_forbidden(answer) => false,
        Decision::Deny => {
            let shadow = shadow();
            !has_erred(&shadow) && shadow.decision() == Decision::Allow
        }
    }
}

fn has_erred(answer: &Response) -> bool {
    answer.diagnostics().errors().next().is_some()
}

/// Denied by a forbid that held, not for want of a permit.
fn is_forbidden(answer: &Response) -> bool {
    answer.decision() == Decision::Deny && answer.diagnostics().reason().next().is_some()
}

fn statement(error: &AuthorizationError) -> &PolicyId {
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
        assert_eq!(bound, Obligations { ttl: Some(60), require: Some("approval".into()) });
    }

    #[test]
    fn an_obligation_that_cannot_be_met_is_refused_by_name() {
        for (text, name) in
            [("@ttl(\"soon\") permit", "ttl"), ("@tll(\"60\") permit", "tll"), ("@ttl(\"60\") forbid", "ttl")]
        {
            assert_eq!(read(&format!("{text}(principal, action, resource);")).unwrap_err().name, name);
        }
    }

    #[test]
    fn names_are_sorted_and_each_stands_once() {
        assert_eq!(names(["b", "a", "b"].into_iter()), ["a", "b"]);
    }
}
