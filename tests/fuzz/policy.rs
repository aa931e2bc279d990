//! Policies that an administrator writes. Every text passes through both lexers (`lexers/`), and through all that Cedar does with it on
//! a stack that is no larger than the Worker's.

#![no_main]

use cedar_policy::PolicySet;
use libfuzzer_sys::fuzz_target;
use writ::cedar::{Action, Bundle, Circumstance, Mode, Principal, Question, Source, Subject, Target, check};

/// The Worker's. Frames are larger here, with every branch counted.
const STACK: usize = 1024 * 1024;

fuzz_target!(
    init: {
        for seed in [include_str!("seeds/policy/sentence"), include_str!("seeds/policy/user"), include_str!("seeds/policy/shapes")] {
            assert_eq!(check("seed", seed), Ok(()), "what begins as a good policy shows more");
        }
    },
    |text: &str| {
        let text = text.to_owned();
        let fed = std::thread::Builder::new().stack_size(STACK).spawn(move || fed(&text));
        fed.expect("a thread").join().expect("no panic");
    }
);

fn fed(text: &str) {
    let accepted = check("p", text);
    if let Err(complaints) = &accepted {
        assert!(!complaints.is_empty() && complaints.len() <= 32);
        let lines = text.split('\n').count();
        assert!(
            complaints.iter().all(|one| (1..=lines).contains(&one.line) && one.column >= 1 && !one.message.is_empty())
        );
        if complaints.iter().any(|one| one.message.contains("deeper than")) {
            // Stored when clauses did not count, perhaps; or never. Reading it ends nothing either.
            decide(text);
            return;
        }
    }
    let parsed = text.parse::<PolicySet>();
    assert!(accepted.is_err() || parsed.is_ok(), "what was accepted can be parsed");
    let errors = decide(text);
    assert!(accepted.is_err() || errors.iter().all(|error| error == "p"), "{errors:?}");
}

/// Asks about a lease and about a scope; answers what erred.
fn decide(text: &str) -> Vec<String> {
    let source = Source { id: "p".to_owned(), cedar: text.to_owned(), mode: Mode::Enforce };
    let bundle = Bundle::parse(&[source]).expect("the schema's names are names");
    let a = || "a".to_owned();
    let principal = Principal { id: a(), name: a(), owner: Some(a()), tags: vec![a()], ..Principal::default() };
    let circumstance = Circumstance {
        ip: "10.0.0.1".parse().ok(),
        now: 1_767_700_800,
        offset: Some(3600),
        grant_type: Some(a()),
        scopes: vec![a()],
        dpop: true,
        subject: Some(Subject { id: a(), roles: vec![a()], groups: vec![], claims: vec![] }),
        ..Circumstance::default()
    };
    let scope = Target::Scope { resource: a(), name: a(), tool: Some(a()) };
    let questions = [(Action::Issue, scope), (Action::Lease, Target::Connection { name: a(), kind: a() })];
    let mut errors = Vec::new();
    for (action, target) in questions {
        let targets = [target];
        let verdicts =
            bundle.decide(&Question { action, principal: &principal, targets: &targets, circumstance: &circumstance });
        assert_eq!(verdicts.len(), 1);
        for verdict in verdicts {
            assert!(!verdict.allow || verdict.errors.is_empty());
            errors.extend(verdict.errors);
        }
    }
    errors
}
