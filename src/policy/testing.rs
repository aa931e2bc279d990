//! Tests of policies: questions with what is expected of the policies in force, stored beside a policy and run before one is written.
//!
//! In scope: reading tests, running those that a change can affect, what has failed. Out of scope: storing them; refusing a change.
//!
//! 1. A test asks the policies in force as they would be after the change, not its own policy alone.
//! 2. Nothing of a test comes from the directory: what its question leaves out is absent, and where it names no moment it is noon (UTC) on
//!    Thursday, 2026-01-15. So it answers the same tomorrow, and no change of a client or a user fails a policy.
//! 3. The tests of the written policy are run as if it were enforced, whatever its mode. Those of others are run if they are enforced and
//!    their questions reach a shard that the change alters.
//! 4. Each change runs a bounded number of questions and reads a bounded number of shards; what is left out is said to who changes the
//!    policy, and in the event.

use super::obligations;
use super::shards::{self, Altered};
use super::written::WrittenQuestion;
use super::{Base, answer, base, circumstance, offset, refusal};
use crate::cedar::{Bundle, Circumstance, Home, Mode, Principal, Question, Required, Source, Target, Verdict};
use crate::context::Cx;
use crate::error::Result;
use crate::model::event::Because;
use crate::ports::Now;
use crate::store;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::rc::Rc;

/// How many tests a policy may have.
pub const MAX_TESTS: usize = 20;
/// How many bytes of JSON they may have together.
pub const MAX_BYTES: usize = 16 * 1_024;
/// How many targets the tests of a policy, and those of all others together, ask about at a change, and how many shards they read for that.
const MAX_TARGETS: usize = 200;
const MAX_SHARDS: usize = 24;
/// How many policies with tests are read at a time, and how many are looked at.
pub(super) const PAGE: i64 = 100;
const MAX_POLICIES: i64 = 2_000;
/// Noon on Thursday, 2026-01-15.
const NOON_MILLIS: u64 = 1_768_478_400_000;
const CLIENT: &str = "client";

/// A test of a policy.
pub struct PolicyTest {
    /// What it is called.
    pub name: String,
    question: WrittenQuestion,
    allows: bool,
    /// Which of the scopes in question are allowed; nothing is all.
    scopes: Option<Vec<String>>,
    /// What is still required; in order.
    require: Vec<String>,
    ttl: Option<u64>,
}

/// A test that has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was expected, and what came instead.
    pub text: String,
}

/// Reads the tests of a policy; or all that is wrong with them. Their shape is known to be sound.
pub fn read(tests: &[Value]) -> std::result::Result<Vec<PolicyTest>, Vec<String>> {
    let mut faults = Vec::new();
    if tests.len() > MAX_TESTS || Value::from(tests.to_vec()).to_string().len() > MAX_BYTES {
        faults.push(format!("`tests` may be {MAX_TESTS}, and have {MAX_BYTES} bytes of JSON together"));
    }
    let mut read = Vec::new();
    let mut names = BTreeSet::new();
    for (n, test) in tests.iter().enumerate().take(MAX_TESTS) {
        match PolicyTest::read(test) {
            Ok(test) => {
                if !names.insert(test.name.clone()) {
                    faults.push(format!("`tests[{n}].name` is that of another test"));
                }
                read.push(test);
            }
            Err(all) => faults.extend(all.into_iter().map(|fault| format!("`tests[{n}]`: {fault}"))),
        }
    }
    if faults.is_empty() { Ok(read) } else { Err(faults) }
}

impl PolicyTest {
    fn read(test: &Value) -> std::result::Result<Self, Vec<String>> {
        let empty = Map::new();
        let members = test.get("question").and_then(Value::as_object).unwrap_or(&empty);
        let question = WrittenQuestion::read(members)?;
        let text = |name: &str| test.get(name).and_then(Value::as_str);
        let list = |name: &str| {
            let items = test.get(name)?.as_array()?;
            Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>())
        };
        let (scopes, mut require) = (list("scopes"), list("require").unwrap_or_default());
        require.sort();
        let test = Self {
            name: text("name").unwrap_or_default().to_owned(),
            allows: text("expect") == Some("allow"),
            scopes,
            require,
            ttl: test.get("ttl").and_then(Value::as_u64),
            question,
        };
        let asked = test.question.scopes();
        let mut faults = Vec::new();
        if test.question.resource().is_some() && asked.is_empty() {
            faults.push("`question` has to name `scopes`".to_owned());
        }
        let is_asked = |scopes: &Vec<String>| !scopes.is_empty() && scopes.iter().all(|scope| asked.contains(scope));
        if !test.allows && (test.scopes.is_some() || !test.require.is_empty() || test.ttl.is_some()) {
            faults.push("`scopes`, `require` and `ttl` go with `expect`: `allow`".to_owned());
        }
        if test.scopes.as_ref().is_some_and(|scopes| !is_asked(scopes) || test.question.connection().is_some()) {
            faults.push("`scopes` has to name scopes of its `question`".to_owned());
        }
        if faults.is_empty() { Ok(test) } else { Err(faults) }
    }

    /// The moment of the question.
    fn at(&self) -> Now {
        self.question.at().unwrap_or(Now::from_millis(NOON_MILLIS))
    }

    fn targets(&self) -> Vec<Target> {
        self.question.targets(&|_| None, "")
    }

    fn principal(&self) -> Principal {
        let id = self.question.client().unwrap_or(CLIENT).to_owned();
        self.question.principal(Principal {
            name: id.clone(),
            id,
            kind: "autonomous".to_owned(),
            registration: "admin".to_owned(),
            verified: true,
            ..Principal::default()
        })
    }

    /// What came instead of what is expected. `found` has the moment, the place and the tenant's clock; `zones` knows the other clocks.
    pub fn failure(
        &self,
        bundle: &Bundle,
        found: Circumstance,
        zones: &dyn Fn(&str) -> Option<i32>,
    ) -> Option<Failure> {
        let (principal, targets, action) = (self.principal(), self.targets(), self.question.action());
        let chain_tags = if self.question.chain().is_empty() { principal.tags.clone() } else { vec![] };
        let about = self.question.circumstance(Circumstance { chain_tags, ..found });
        let question = Question { action, principal: &principal, targets: &targets, circumstance: &about };
        let mut verdicts = answer::answer(bundle, &question, zones);
        obligations::meet(self.at(), &mut verdicts, &self.question.means(false));
        let got: Vec<(&Target, &Verdict)> = targets.iter().zip(&verdicts).collect();
        let wrong = got.iter().find(|(target, verdict)| !self.is_expected(target, verdict));
        if let Some((target, verdict)) = wrong {
            let expected = if self.expects(target) { "allow" } else { "deny" };
            return Some(self.failed(expected, &format!("{} for `{}`", told(verdict), named(target))));
        }
        let ttl = got.iter().filter(|(target, _)| self.expects(target)).filter_map(|(_, verdict)| verdict.ttl).min();
        match (self.ttl, ttl) {
            (Some(expected), got) if got != Some(expected) => {
                let got = got.map_or_else(|| "none".to_owned(), |ttl| ttl.to_string());
                Some(self.failed(&format!("ttl {expected}"), &got))
            }
            _ => None,
        }
    }

    /// Whether the target is one that shall be allowed.
    fn expects(&self, target: &Target) -> bool {
        self.allows && self.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|scope| scope == named(target)))
    }

    fn is_expected(&self, target: &Target, verdict: &Verdict) -> bool {
        match self.expects(target) {
            true => verdict.allow && Required::texts(&verdict.require) == self.require,
            false => refusal(verdict).is_some(),
        }
    }

    fn failed(&self, expected: &str, got: &str) -> Failure {
        let require = match self.require.is_empty() || expected != "allow" {
            true => String::new(),
            false => format!(", requiring {}", self.require.join(", ")),
        };
        Failure { text: format!("test `{}`: expected {expected}{require}, got {got}", self.name) }
    }
}

fn named(target: &Target) -> &str {
    match target {
        Target::Scope { name, .. } | Target::Connection { name, .. } => name,
    }
}

/// A verdict in words.
fn told(verdict: &Verdict) -> String {
    let by = |word: &str| match verdict.policies.is_empty() {
        true => format!("deny ({word})"),
        false => format!("deny ({word}: {})", verdict.policies.join(", ")),
    };
    match refusal(verdict) {
        None => "allow".to_owned(),
        Some(Because::Requirement) => format!("allow, requiring {}", Required::texts(&verdict.require).join(", ")),
        Some(because) => by(because.as_str()),
    }
}

/// What came of the tests that a change can affect.
#[derive(Default)]
pub(super) struct Tested {
    /// What has failed: the policy and the test, what was expected, what came.
    pub(super) failures: Vec<String>,
    /// How many tests were not run.
    pub(super) left_out: usize,
    /// Whether there are policies with tests that were not looked at.
    pub(super) has_more: bool,
}

impl Tested {
    /// That tests were not run, for people; nothing if all were.
    pub(super) fn not_run(&self) -> Option<String> {
        match (self.left_out, self.has_more) {
            (0, false) => None,
            (count, false) => Some(format!("{count} tests were not run")),
            (count, true) => {
                Some(format!("{count} tests were not run, and those of policies behind the {MAX_POLICIES}th"))
            }
        }
    }
}

/// A policy with tests: its id, and its tests as they are stored.
pub(super) type Stored = (String, String);

/// One run of tests: what it has spent and what has come of it.
struct Run<'a> {
    cx: &'a Cx<'a>,
    base: Rc<Base>,
    altered: &'a Altered,
    targets: usize,
    read: BTreeSet<String>,
    tested: Tested,
}

/// Runs the tests that a change can affect: those of the policy as it will be, then those of others, of which `others` are the first.
pub(super) async fn run(
    cx: &Cx<'_>,
    altered: &Altered,
    (id, wanted): (&str, Option<(&Source, &str)>),
    others: Vec<Stored>,
) -> Result<Tested> {
    if wanted.is_none() && others.is_empty() {
        return Ok(Tested::default());
    }
    let (base, tested) = (base(cx).await?, Tested::default());
    let mut run = Run { cx, base, altered, targets: 0, read: BTreeSet::new(), tested };
    if let Some((source, tests)) = wanted {
        let enforced = Source { mode: Mode::Enforce, ..source.clone() };
        run.all(&source.id, tests, (&shards::Trial::new(altered, Some(&enforced)), true)).await?;
    }
    // The tests of others have room of their own: who writes many tests does not keep them from being run.
    (run.targets, run.read) = (0, BTreeSet::new());
    let as_it_is = shards::Trial::new(altered, None);
    let (mut page, mut looked_at) = (others, 0_i64);
    loop {
        for (id, tests) in &page {
            run.all(id, tests, (&as_it_is, false)).await?;
        }
        looked_at = looked_at.saturating_add(PAGE);
        let Some((last, _)) = page.last().filter(|_| i64::try_from(page.len()).is_ok_and(|count| count >= PAGE)) else {
            return Ok(run.tested);
        };
        if looked_at >= MAX_POLICIES {
            run.tested.has_more = true;
            return Ok(run.tested);
        }
        page = cx.all(store::policies::tests_of_others(&cx.tenant.id, id, last, PAGE)).await?;
    }
}

impl Run<'_> {
    async fn all(&mut self, id: &str, tests: &str, (trial, is_own): (&shards::Trial<'_>, bool)) -> Result<()> {
        let stored: Vec<Value> = serde_json::from_str(tests).unwrap_or_default();
        let Ok(tests) = read(&stored) else {
            self.tested.failures.push(format!("{id}: its tests cannot be read"));
            return Ok(());
        };
        for test in tests {
            let homes = Home::reached(&test.principal().id, &test.targets());
            let names = shards::names(&homes);
            if !is_own && !self.altered.touches(&names) {
                continue;
            }
            let targets = self.targets.saturating_add(test.targets().len());
            let more: Vec<String> = names.iter().filter(|name| !self.read.contains(*name)).cloned().collect();
            if targets > MAX_TARGETS || self.read.len().saturating_add(more.len()) > MAX_SHARDS {
                self.tested.left_out = self.tested.left_out.saturating_add(1);
                continue;
            }
            self.targets = targets;
            self.read.extend(more);
            let bundle = self.base.with(trial.shards(self.cx, &names).await?);
            let there = self.cx.imagined(test.at(), test.question.peer());
            if let Some(failure) = test.failure(&bundle, circumstance(&there), &|zone| offset(&there, zone)) {
                self.tested.failures.push(format!("{id}: {}", failure.text));
            }
        }
        Ok(())
    }
}
