//! The first use of Cedar in an isolate takes tens of milliseconds, until its code is compiled and its parsers are made. A host
//! can have that done while it starts, when nobody waits.

use super::{Action, Bundle, Circumstance, Mode, Principal, Question, Source, Target};

/// Reads one policy and asks it one question; the verdict is of no interest.
pub fn warm() {
    let cedar = "permit(principal == Client::\"warm\", action == Action::\"issue\", resource in Resource::\"warm:\") \
                 when { context.hour >= 0 && [\"warm\"].contains(resource.name) };";
    let source = Source { id: "warm".to_owned(), cedar: cedar.to_owned(), mode: Mode::Enforce };
    let Ok(bundle) = Bundle::parse(&[source]) else { return };
    let warm = || "warm".to_owned();
    let principal = Principal { id: warm(), name: warm(), kind: warm(), ..Principal::default() };
    let targets = [Target::Scope { resource: "warm:".to_owned(), name: warm(), tool: None }];
    let circumstance = Circumstance { offset: Some(0), ..Circumstance::default() };
    let question =
        Question { action: Action::Issue, principal: &principal, targets: &targets, circumstance: &circumstance };
    let _verdicts = bundle.decide(&question);
}
