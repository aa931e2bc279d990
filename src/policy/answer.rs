//! What policies say of a question: the one place that asks them, for decisions, explanations, replays and tests.
//!
//! 1. Impersonation is an exchange too: both have to be permitted, and what either requires is required.
//! 2. Consent and registration need no permit. A `forbid` that holds, or a policy that cannot be evaluated, refuses them.

use super::refusal;
use crate::cedar::{Action, Bundle, Question, Verdict};
use crate::model::event::Because;

/// The actions that are asked about where this one is.
pub(super) const fn actions(action: Action) -> &'static [Action] {
    match action {
        Action::Issue => &[Action::Issue],
        Action::Exchange => &[Action::Exchange],
        Action::Impersonate => &[Action::Impersonate, Action::Exchange],
        Action::Lease => &[Action::Lease],
        Action::Consent => &[Action::Consent],
        Action::Register => &[Action::Register],
    }
}

/// Whether nothing happens without a permit.
pub(super) const fn needs_permit(action: Action) -> bool {
    !matches!(action, Action::Consent | Action::Register)
}

/// The verdict about each target. `zones` says how many seconds a zone is ahead of UTC.
pub(super) fn answer(bundle: &Bundle, question: &Question<'_>, zones: &dyn Fn(&str) -> Option<i32>) -> Vec<Verdict> {
    let all = actions(question.action).iter().map(|action| {
        let verdicts = bundle.decide_in(&Question { action: *action, ..*question }, zones);
        verdicts.into_iter().map(|verdict| of_action(*action, verdict)).collect::<Vec<_>>()
    });
    let joined = all.reduce(|ones, others| ones.into_iter().zip(others).map(|(one, other)| both(one, other)).collect());
    joined.unwrap_or_default()
}

/// What policies say, where a permit may not be needed.
pub(super) fn of_action(action: Action, verdict: Verdict) -> Verdict {
    match refusal(&verdict) {
        _ if needs_permit(action) => verdict,
        Some(Because::Forbidden | Because::Error) => verdict,
        _ => Verdict { allow: true, ..Verdict::default() },
    }
}

/// The verdict that permits if both verdicts permit. It names the policies of those that decide.
fn both(one: Verdict, other: Verdict) -> Verdict {
    let allow = one.allow && other.allow;
    let ttl = [one.ttl, other.ttl].into_iter().flatten().min();
    let require = merged(&one.require, &other.require);
    let shadow = merged(&one.shadow, &other.shadow);
    let limits = merged(&one.limits, &other.limits);
    let mut decisive: Vec<&Verdict> = [&one, &other].into_iter().filter(|verdict| verdict.allow == allow).collect();
    let is_quiet = !allow && decisive.iter().all(|verdict| verdict.is_quiet);
    // Where another hour would not help, the permit that is quiet decides nothing.
    decisive.retain(|verdict| is_quiet || !verdict.is_quiet);
    let gather = |pick: fn(&Verdict) -> &Vec<String>| {
        decisive.iter().fold(Vec::new(), |all: Vec<String>, verdict| merged(&all, pick(verdict)))
    };
    let (policies, errors) = (gather(|verdict| &verdict.policies), gather(|verdict| &verdict.errors));
    Verdict { allow, policies, errors, shadow, ttl, require, limits, is_quiet }
}

/// What is in either, in order, each once.
fn merged<T: Clone + Ord>(ones: &[T], others: &[T]) -> Vec<T> {
    let mut all = [ones, others].concat();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cedar::{Circumstance, Mode, Principal, Source, Target};

    fn ask(action: Action, cedar: &str) -> Verdict {
        let bundle =
            Bundle::parse(&[Source { id: "p".to_owned(), cedar: cedar.to_owned(), mode: Mode::Enforce }]).unwrap();
        let (principal, circumstance) =
            (Principal::default(), Circumstance { offset: Some(0), ..Circumstance::default() });
        let targets = [Target::Scope { resource: "r".to_owned(), name: "s".to_owned(), tool: None }];
        let question = Question { action, principal: &principal, targets: &targets, circumstance: &circumstance };
        answer(&bundle, &question, &|_| Some(0)).remove(0)
    }

    #[test]
    fn impersonation_is_what_is_permitted_as_an_exchange_too() {
        let permit = |action: &str, annotations: &str| {
            format!("{annotations} permit(principal, action == Action::\"{action}\", resource);")
        };
        let both = permit("impersonate", "@ttl(\"60\")") + &permit("exchange", "@ttl(\"30\") @require(\"step_up\")");
        let verdict = ask(Action::Impersonate, &both);
        assert_eq!((verdict.allow, verdict.ttl, verdict.require.len()), (true, Some(30), 1));
        for one in ["impersonate", "exchange"] {
            assert!(!ask(Action::Impersonate, &permit(one, "")).allow, "{one} alone");
        }
        assert!(ask(Action::Exchange, &permit("exchange", "")).allow);
        // A permit that is quiet forbids nothing.
        let quiet = ask(Action::Impersonate, &permit("exchange", "@quiet(\"00:00-23:59\")"));
        assert_eq!((refusal(&quiet), quiet.policies), (Some(Because::NoPermit), vec![]));
    }

    #[test]
    fn consent_and_registration_are_refused_by_a_forbid_alone() {
        for action in [Action::Consent, Action::Register] {
            assert!(ask(action, "permit(principal, action, resource) when { false };").allow);
            assert!(
                ask(action, "@quiet(\"00:00-23:59\") @require(\"approval\") permit(principal, action, resource);")
                    .require
                    .is_empty()
            );
            assert_eq!(refusal(&ask(action, "forbid(principal, action, resource);")), Some(Because::Forbidden));
        }
        assert!(!ask(Action::Issue, "permit(principal, action, resource) when { false };").allow);
    }
}
