//! Explain: which statements decided a question, and what kept each of the others from it.
//!
//! In scope: finding the part of a statement that does not hold, the facts that it read, and saying what would have to be different.
//! Out of scope: putting the question together, and everything that policy is not asked about.
//!
//! 1. Whether a statement holds is what Cedar says of the whole statement. Its parts are looked at only to find the first that fails.
//! 2. The parts are what stands in `principal`, `action` and `resource`, and the conditions that `&&` joins in a `when`, or `||` in an `unless`.
//!    Each part is put to Cedar as a statement of its own, with the same facts, so nothing is evaluated here.
//! 3. A part is nested no deeper than its statement, so what bounds a stored text (`text`) bounds its parts.
//! 4. An explanation has [`MAX_EXPLAINED`] statements at the most, those that fit the question first, and says how many there are more.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Authorizer, Effect, Entities, EntityUid, Policy, PolicyId, PolicySet, Request};
use serde_json::{Map, Value, json};

use super::bundle::{Bundle, Document};
use super::check::Complaint;
use super::decision::Verdict;
use super::facts::{Question, Target, minute_of_day};
use super::obligations::Obligations;
use super::text::tokens;
use super::words;

/// The most statements in an explanation of one target.
const MAX_EXPLAINED: usize = 24;
/// The most statements that are looked at for a question, times its targets.
const MAX_STANDINGS: usize = 1_500;
/// The most statements that are looked at although they are about something else.
const MAX_ELSEWHERE: usize = 24;
/// The most bytes of a part that is shown.
const MAX_SHOWN: usize = 600;

/// What policy says of a target, and why.
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether any of the statements is about this client, action and target.
    pub is_met: bool,
    /// The statements that hold, and after them those that do not, each as it is shown.
    pub statements: Vec<Value>,
    /// How many there are more.
    pub more: usize,
}

/// Tokens with their offsets in a text.
pub(super) type Tokens<'s, 't> = &'s [(usize, &'t str)];

/// One part of a statement: it holds if Cedar says `wanted` of it.
pub(super) struct Part<'t> {
    /// `principal`, `action`, `resource` or `condition`.
    pub(super) of: &'static str,
    /// Its tokens.
    pub(super) tokens: Vec<(usize, &'t str)>,
    /// Whether it has to be true.
    pub(super) wanted: bool,
}

impl<'t> Part<'t> {
    fn text(&self, cedar: &'t str) -> &'t str {
        let (Some((start, _)), Some((last, token))) = (self.tokens.first(), self.tokens.last()) else { return "" };
        cedar.get(*start..last.saturating_add(token.len())).unwrap_or_default()
    }

    /// The statement that has this part alone.
    fn statement(&self, cedar: &str) -> String {
        let text = self.text(cedar);
        match (self.of, self.wanted) {
            ("principal", _) => format!("permit({text}, action, resource);\n"),
            ("action", _) => format!("permit(principal, {text}, resource);\n"),
            ("resource", _) => format!("permit(principal, action, {text});\n"),
            (_, true) => format!("permit(principal, action, resource) when {{ {text} }};\n"),
            (_, false) => format!("permit(principal, action, resource) unless {{ {text} }};\n"),
        }
    }
}

/// Where a bracket closes that was opened before these tokens.
fn closing(tokens: Tokens<'_, '_>) -> Option<usize> {
    let mut depth = 0_usize;
    tokens.iter().position(|(_, token)| match *token {
        "(" | "{" | "[" => {
            depth = depth.saturating_add(1);
            false
        }
        ")" | "}" | "]" if depth == 0 => true,
        ")" | "}" | "]" => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => false,
    })
}

/// What stands between signs that are outside of all brackets.
fn split<'s, 't>(tokens: Tokens<'s, 't>, sign: &str) -> Vec<Tokens<'s, 't>> {
    let mut depth = 0_usize;
    let is_sign = |(_, token): &(usize, &str)| {
        match *token {
            "(" | "{" | "[" => depth = depth.saturating_add(1),
            ")" | "}" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && *token == sign
    };
    tokens.split(is_sign).collect()
}

/// What stands in brackets, if these tokens are a pair of brackets with what is between them.
fn inside<'s, 't>(tokens: Tokens<'s, 't>) -> Option<Tokens<'s, 't>> {
    let [(_, "("), rest @ ..] = tokens else { return None };
    let [inner @ .., (_, ")")] = rest else { return None };
    (closing(rest) == Some(inner.len())).then_some(inner)
}

/// The conditions that all have to be as wanted for the expression to be as wanted.
fn conditions<'t>(tokens: Tokens<'_, 't>, wanted: bool, parts: &mut Vec<Part<'t>>) {
    if let Some(inner) = inside(tokens) {
        return conditions(inner, wanted, parts);
    }
    let is_choice = tokens.first().is_some_and(|(_, token)| *token == "if");
    let (ors, ands) = (split(tokens, "||"), split(tokens, "&&"));
    let joined = if wanted { &ands } else { &ors };
    let plain = if wanted { ors.len() == 1 } else { true };
    if !is_choice && plain && joined.len() > 1 {
        joined.iter().for_each(|one| conditions(one, wanted, parts));
        return;
    }
    match tokens {
        [(_, "!"), rest @ ..] if ors.len() == 1 && ands.len() == 1 && inside(rest).is_some() => {
            conditions(rest, !wanted, parts);
        }
        _ => parts.push(Part { of: "condition", tokens: tokens.to_vec(), wanted }),
    }
}

/// A statement in its text.
pub(super) struct Place<'t> {
    /// Where it begins.
    pub(super) at: usize,
    /// Its parts; those that are always true are left out.
    pub(super) parts: Vec<Part<'t>>,
}

impl<'t> Place<'t> {
    fn read(tokens: Tokens<'_, 't>) -> Self {
        let at = tokens.first().map_or(0, |(at, _)| *at);
        Self { at, parts: Self::parts(tokens).unwrap_or_default() }
    }

    fn parts(mut tokens: Tokens<'_, 't>) -> Option<Vec<Part<'t>>> {
        let mut rest = loop {
            match tokens {
                [(_, "@"), _, (_, "("), _, (_, ")"), rest @ ..] | [(_, "@"), _, rest @ ..] => tokens = rest,
                [(_, "permit" | "forbid"), (_, "("), rest @ ..] => break rest,
                _ => return None,
            }
        };
        let (head, after) = rest.split_at_checked(closing(rest)?)?;
        let heads = ["principal", "action", "resource"].into_iter().zip(split(head, ","));
        let mut parts: Vec<Part<'t>> = heads
            .filter(|(_, tokens)| tokens.len() > 1)
            .map(|(of, tokens)| Part { of, tokens: tokens.to_vec(), wanted: true })
            .collect();
        rest = after.get(1..)?;
        while let [(_, kind @ ("when" | "unless")), (_, "{"), body @ ..] = rest {
            let (body, after) = body.split_at_checked(closing(body)?)?;
            conditions(body, *kind == "when", &mut parts);
            rest = after.get(1..)?;
        }
        Some(parts)
    }
}

/// The statements of a text, as they stand there.
pub(super) fn places(cedar: &str) -> Vec<Place<'_>> {
    let tokens: Vec<(usize, &str)> = tokens(cedar).collect();
    let ends = tokens.iter().filter(|(_, token)| *token == ";").count();
    tokens.split(|(_, token)| *token == ";").take(ends).map(Place::read).collect()
}

/// As a document has it.
type Statement = (Policy, Obligations);

/// A statement with what is known of it.
struct Looked<'a> {
    document: &'a Document,
    number: usize,
    policy: &'a Policy,
    obligations: &'a Obligations,
}

/// A statement as it stands to one target. The order is the one in which statements are shown.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Holds,
    /// It fits the question, and a condition does not hold.
    Fails,
    /// It is about another client, action or target.
    Elsewhere,
}

impl Bundle {
    /// The verdict about each target, with the statements that decided and those that would have decided had a condition held. `offset` is
    /// as in [`Bundle::decide_in`].
    pub fn explain(&self, question: &Question<'_>, offset: &dyn Fn(&str) -> Option<i32>) -> Vec<Explanation> {
        let verdicts = self.decide_in(question, offset);
        let shown = self.statements(question, offset).unwrap_or_default();
        let mut shown = shown.into_iter();
        let explain = |verdict| {
            let mut found = shown.next().unwrap_or_default();
            found.sort_by(|(one, _), (other, _)| one.cmp(other));
            let is_met = found.iter().any(|(standing, _)| *standing != Standing::Elsewhere);
            let more = found.len().saturating_sub(MAX_EXPLAINED);
            let statements = found.into_iter().take(MAX_EXPLAINED).map(|(_, shown)| shown).collect();
            Explanation { verdict, is_met, statements, more }
        };
        verdicts.into_iter().map(explain).collect()
    }

    /// For each target, the statements that can have a say, and some that have none because of what they are about.
    fn statements(
        &self,
        question: &Question<'_>,
        offset: &dyn Fn(&str) -> Option<i32>,
    ) -> Option<Vec<Vec<(Standing, Value)>>> {
        let (authorizer, entities) = (self.authorizer(), self.stated_entities(question)?);
        let targets: Vec<(&Target, EntityUid)> =
            question.targets.iter().map(|target| (target, self.entity_of(target))).collect();
        let seen = |zone: Option<&str>| zone.map_or(question.circumstance.offset, offset);
        let mut all: Vec<Vec<(Standing, Value)>> = targets.iter().map(|_| Vec::new()).collect();
        let mut requests: BTreeMap<(Option<&str>, usize), Option<Request>> = BTreeMap::new();
        let mut read: BTreeMap<&str, (Vec<Place<'_>>, Vec<&Statement>)> = BTreeMap::new();
        for (document, number) in self.candidates(question, &targets) {
            let (places, statements) = read.entry(&document.id).or_insert_with(|| {
                let statements = document.statements().map(|all| all.map(|(_, one)| one).collect());
                (places(&document.cedar), statements.unwrap_or_default())
            });
            let (Some(place), Some((policy, obligations))) = (places.get(number), statements.get(number)) else {
                continue;
            };
            let zone = obligations.zone.as_deref();
            let looked = Looked { document, number: number.saturating_add(1), policy, obligations };
            let mut parts = None;
            for (n, ((target, uid), shown)) in targets.iter().zip(&mut all).enumerate() {
                let stated = || self.stated_request(question, uid, seen(zone));
                let Some(request) = requests.entry((zone, n)).or_insert_with(stated) else { continue };
                let offset = seen(zone);
                let asking = Asking { authorizer, question, target, request, entities: &entities, offset };
                shown.push(looked.standing(place, &asking, &mut parts));
            }
        }
        Some(all)
    }

    /// The statements to look at, by their places in their documents: those that fit the question, and after them those that would if one of
    /// client, action and target were another.
    fn candidates(&self, question: &Question<'_>, targets: &[(&Target, EntityUid)]) -> Vec<(&Document, usize)> {
        let most = MAX_STANDINGS.checked_div(targets.len()).unwrap_or_default();
        let (mut fit, mut near) = (Vec::new(), Vec::new());
        for (document, distances) in self.distances(question, targets) {
            for (number, distance) in distances.into_iter().enumerate() {
                match distance {
                    0 => fit.push((document, number)),
                    // What is built in (`writ:…`) nearly fits every question, and nobody has misspelt it.
                    1 if near.len() < MAX_ELSEWHERE && !document.id.contains(':') => near.push((document, number)),
                    _ => {}
                }
            }
        }
        fit.extend(near);
        fit.truncate(most);
        fit
    }
}

/// One target of a question, with everything stated.
struct Asking<'a> {
    authorizer: &'a Authorizer,
    question: &'a Question<'a>,
    target: &'a Target,
    request: &'a Request,
    entities: &'a Entities,
    offset: Option<i32>,
}

impl Asking<'_> {
    /// The ids of the statements that hold, and of those that err.
    fn ask(&self, set: &PolicySet) -> (BTreeSet<String>, BTreeSet<String>) {
        let response = self.authorizer.is_authorized(self.request, set, self.entities);
        let held = response.diagnostics().reason().map(ToString::to_string).collect();
        let erred = response.diagnostics().errors().map(|error| super::decision::statement(error).to_string());
        (held, erred.collect())
    }

    /// The value of a fact, as the statement sees it.
    fn known(&self) -> Map<String, Value> {
        words::known(self.question, self.target, self.offset)
    }
}

impl Looked<'_> {
    /// Whether it is a permit that does not hold at this hour.
    fn is_quiet(&self, asking: &Asking<'_>) -> bool {
        let Some(quiet) = &self.obligations.quiet else { return false };
        let minute = asking.offset.and_then(|offset| minute_of_day(asking.question.circumstance.now, offset));
        minute.is_none_or(|minute| quiet.holds(minute))
    }

    fn standing(&self, place: &Place<'_>, asking: &Asking<'_>, parts: &mut Option<PolicySet>) -> (Standing, Value) {
        let cedar = self.document.cedar.as_str();
        let alone = PolicySet::from_policies([self.policy.new_id(PolicyId::new("0"))]).unwrap_or_default();
        let (held, erred) = asking.ask(&alone);
        let spot = Complaint::at(cedar, place.at, "");
        let mut shown = json!({
            "policy": &*self.document.id,
            "statement": self.number,
            "line": spot.line,
            "column": spot.column,
            "effect": if self.policy.effect() == Effect::Permit { "permit" } else { "forbid" },
            "mode": if self.document.shadow { "shadow" } else { "enforce" },
            "holds": !held.is_empty(),
        });
        if !held.is_empty() && self.is_quiet(asking) {
            let hour = asking.known().get("context").and_then(|context| context.get("hour")).cloned();
            let failed = json!({
                "part": "quiet",
                "line": spot.line,
                "column": spot.column,
                "text": "@quiet",
                "facts": {"context.hour": hour},
                "because": "the permit does not hold at this hour: see its `@quiet`",
            });
            if let Some(members) = shown.as_object_mut() {
                members.insert("holds".to_owned(), false.into());
                members.insert("failed".to_owned(), failed);
            }
            return (Standing::Fails, shown);
        }
        if !held.is_empty() {
            return (Standing::Holds, shown);
        }
        let parse = || place.parts.iter().map(|part| part.statement(cedar)).collect::<String>().parse().ok();
        if parts.is_none() {
            *parts = Some(parse().unwrap_or_default());
        }
        let (held, failed) = asking.ask(parts.as_ref().unwrap_or(&alone));
        let first = place.parts.iter().enumerate().find(|(n, _)| !held.contains(&format!("policy{n}")));
        let mut standing = Standing::Fails;
        if let Some((n, part)) = first {
            let spot = Complaint::at(cedar, part.tokens.first().map_or(place.at, |(at, _)| *at), "");
            let text = part.text(cedar);
            let known = asking.known();
            let (facts, mut because) = words::because(part, text, &known);
            if failed.contains(&format!("policy{n}")) || !erred.is_empty() {
                because = "it cannot be evaluated with these facts, which denies".to_owned();
            }
            if part.of != "condition" {
                standing = Standing::Elsewhere;
            }
            let failed = json!({
                "part": part.of,
                "line": spot.line,
                "column": spot.column,
                "text": text.get(..text.floor_char_boundary(MAX_SHOWN)).unwrap_or_default(),
                "facts": facts,
                "because": because,
            });
            if let Some(members) = shown.as_object_mut() {
                members.insert("failed".to_owned(), failed);
            }
        }
        (standing, shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cedar::{Action, Circumstance, Mode, Principal, Source, Subject};

    fn principal() -> Principal {
        Principal {
            id: "c1".into(),
            name: "inventory".into(),
            kind: "autonomous".into(),
            owner: None,
            tags: vec!["blue".into()],
            resources: vec![],
            registration: "admin".into(),
            verified: true,
        }
    }

    /// 1970-01-01 14:30 in UTC.
    fn afternoon() -> Circumstance {
        Circumstance {
            ip: "192.0.2.7".parse().ok(),
            scopes: vec!["read".into(), "write".into()],
            subject: Some(Subject { id: "user_a".into(), roles: vec!["clerk".into()], groups: vec![], claims: vec![] }),
            ..Circumstance::bare(14 * 3600 + 1800, "UTC")
        }
    }

    fn explain(cedar: &str, circumstance: &Circumstance) -> Vec<Explanation> {
        let source = Source { id: "p".into(), cedar: cedar.into(), mode: Mode::Enforce };
        let bundle = Bundle::parse(&[source]).unwrap();
        let targets = [Target::Scope { resource: "r".into(), name: "read".into(), tool: None }];
        let principal = principal();
        let question = Question { action: Action::Issue, principal: &principal, targets: &targets, circumstance };
        let zone = |zone: &str| (zone == "Asia/Tokyo").then_some(9 * 3600);
        let explained = bundle.explain(&question, &zone);
        let verdicts = bundle.decide_in(&question, &zone);
        assert_eq!(explained.iter().map(|one| one.verdict.clone()).collect::<Vec<_>>(), verdicts, "{cedar}");
        explained
    }

    fn statement(cedar: &str) -> Value {
        explain(cedar, &afternoon()).remove(0).statements.remove(0)
    }

    fn failed(condition: &str) -> (String, String) {
        let shown = statement(&format!("permit(principal, action, resource) {condition};"));
        assert_eq!(shown["holds"], false, "{condition}: {shown}");
        let text = |name: &str| shown["failed"][name].as_str().unwrap_or_default().to_owned();
        (text("text"), text("because"))
    }

    #[test]
    fn what_would_have_to_be_different_is_said_in_words() {
        for (condition, text, because) in [
            ("when { context.hour < 4 }", "context.hour < 4", "`context.hour` is 14; the statement wants less than 4"),
            ("when { context.hour <= 4 }", "context.hour <= 4", "`context.hour` is 14; the statement wants at most 4"),
            (
                "when { context.hour > 12 && context.hour >= 15 }",
                "context.hour >= 15",
                "`context.hour` is 14; the statement wants at least 15",
            ),
            (
                "unless { context.hour > 12 }",
                "context.hour > 12",
                "`context.hour` is 14; the statement wants at most 12",
            ),
            (
                "unless { context.hour >= 12 }",
                "context.hour >= 12",
                "`context.hour` is 14; the statement wants less than 12",
            ),
            (
                "when { !(context.hour == 14) }",
                "context.hour == 14",
                "`context.hour` is 14; the statement wants anything but 14",
            ),
            ("when { context.dpop }", "context.dpop", "`context.dpop` is false; the statement wants true"),
            ("unless { !context.dpop }", "!context.dpop", "`context.dpop` is false; the statement wants true"),
            ("when { context has acr }", "context has acr", "`context.acr` is absent; the statement wants it present"),
            (
                "unless { context has subject || context.dpop }",
                "context has subject",
                "`context.subject` is User::\"user_a\"; the statement wants it absent",
            ),
            (
                "when { context has ip && context.ip.isInRange(ip(\"10.0.0.0/8\")) }",
                "context.ip.isInRange(ip(\"10.0.0.0/8\"))",
                "`context.ip` is \"192.0.2.7\"; the statement wants an address in \"10.0.0.0/8\"",
            ),
            (
                "when { [\"list\", \"write\"].contains(resource.name) }",
                "[\"list\", \"write\"].contains(resource.name)",
                "`resource.name` is \"read\"; the statement wants one of \"list\", \"write\"",
            ),
            (
                "unless { context.scopes.contains(\"write\") }",
                "context.scopes.contains(\"write\")",
                "`context.scopes` is \"read\", \"write\"; the statement wants it not to have \"write\"",
            ),
            (
                "when { principal.tags.containsAny([\"red\", \"green\"]) }",
                "principal.tags.containsAny([\"red\", \"green\"])",
                "`principal.tags` is \"blue\"; the statement wants it to have one of \"red\", \"green\"",
            ),
            (
                "when { principal.name like \"batch-*\" }",
                "principal.name like \"batch-*\"",
                "`principal.name` is \"inventory\"; the statement wants like \"batch-*\"",
            ),
            (
                "when { context has subject && context.subject.groups.contains(\"finance\") }",
                "context.subject.groups.contains(\"finance\")",
                "`context.subject.groups` is empty; the statement wants it to have \"finance\"",
            ),
            (
                "when { context.subject == User::\"user_b\" }",
                "context.subject == User::\"user_b\"",
                "`context.subject` is User::\"user_a\"; the statement wants User::\"user_b\"",
            ),
            (
                "when { context.hour >= 22 || context.hour < 2 }",
                "context.hour >= 22 || context.hour < 2",
                "`context.hour` is 14; the statement wants `context.hour >= 22 || context.hour < 2`",
            ),
            (
                "unless { context.hour > 2 && context.minute > 2 }",
                "context.hour > 2 && context.minute > 2",
                "`context.hour` is 14, `context.minute` is 30; the statement wants that not `context.hour > 2 && context.minute > 2`",
            ),
            (
                "when { context.now * 9223372036854775807 > 0 }",
                "context.now * 9223372036854775807 > 0",
                "it cannot be evaluated with these facts, which denies",
            ),
        ] {
            assert_eq!(failed(condition), (text.to_owned(), because.to_owned()), "{condition}");
        }
    }

    #[test]
    fn another_client_action_or_target_is_said_in_words_too() {
        for (head, part, because) in [
            (
                "principal in Client::\"c2\", action, resource",
                "principal",
                "`principal` is Client::\"c1\"; the statement wants in Client::\"c2\"",
            ),
            (
                "principal, action in [Action::\"lease\", Action::\"exchange\"], resource",
                "action",
                "`action` is Action::\"issue\"; the statement wants in Action::\"lease\", Action::\"exchange\"",
            ),
            (
                "principal, action == Action::\"lease\", resource",
                "action",
                "`action` is Action::\"issue\"; the statement wants Action::\"lease\"",
            ),
            (
                "principal, action, resource is Connection",
                "resource",
                "`resource` is Scope::\"r read\" in Resource::\"r\"; the statement wants a Connection",
            ),
        ] {
            let other = "permit(principal, action, resource);";
            let all = explain(&format!("{other} @id(\"x\") forbid({head}) when {{ context.dpop }};"), &afternoon());
            let shown = &all[0].statements[1];
            assert_eq!((&shown["failed"]["part"], &shown["failed"]["because"]), (&json!(part), &json!(because)));
            assert_eq!(
                (&shown["statement"], &shown["effect"], &shown["column"]),
                (&json!(2), &json!("forbid"), &json!(38))
            );
        }
    }

    #[test]
    fn the_place_is_that_of_the_text_with_all_its_characters() {
        let text = "// é\n@id(\"a\")\npermit(principal, action, resource) // when { context.dpop }\nwhen { \"ü\" == \"ü\" &&\n  context.dpop };";
        let shown = statement(text);
        assert_eq!((&shown["line"], &shown["column"]), (&json!(2), &json!(1)));
        assert_eq!((&shown["failed"]["line"], &shown["failed"]["column"]), (&json!(5), &json!(3)));
        let one_line = statement("permit(principal, action, resource) when { \"ü\" == \"ü\" && context.dpop };");
        assert_eq!(one_line["failed"]["column"], 58);
    }

    #[test]
    fn a_statement_is_seen_with_the_clock_of_its_zone() {
        let shown = statement("@zone(\"Asia/Tokyo\") permit(principal, action, resource) when { context.hour == 14 };");
        assert_eq!(shown["failed"]["because"], "`context.hour` is 23; the statement wants 14");
        assert_eq!(shown["failed"]["facts"], json!({"context.hour": 23}));
    }

    #[test]
    fn a_permit_in_its_quiet_hours_does_not_hold_and_says_so() {
        let shown = statement("@quiet(\"14:00-15:00\") permit(principal, action, resource);");
        assert_eq!((&shown["holds"], &shown["failed"]["part"]), (&json!(false), &json!("quiet")));
        assert_eq!(shown["failed"]["facts"], json!({"context.hour": 14}));
        let tokyo = statement("@zone(\"Asia/Tokyo\") @quiet(\"14:00-15:00\") permit(principal, action, resource);");
        assert_eq!(tokyo["holds"], true);
    }

    #[test]
    fn what_holds_comes_first_and_more_than_a_bound_is_counted() {
        let no = "permit(principal, action, resource) when { context.dpop };\n".repeat(30);
        let all = explain(&format!("{no}forbid(principal, action, resource);"), &afternoon()).remove(0);
        assert_eq!((all.statements.len(), all.more), (MAX_EXPLAINED, 7));
        assert_eq!((&all.statements[0]["holds"], &all.statements[0]["effect"]), (&json!(true), &json!("forbid")));
    }

    /// Conditions, each of which can be put into any other.
    const CONDITIONS: [&str; 8] = [
        "context.dpop",
        "context.hour > 3",
        "context has acr && context.acr == \"x\"",
        "context has ip || context.dpop",
        "if context.dpop then context.hour == 1 else context.hour == 14",
        "!context.dpop",
        "!(context has subject)",
        "[\"read\"].contains(resource.name)",
    ];

    #[test]
    fn a_statement_holds_if_and_only_if_none_of_its_parts_fails() {
        let (mut held, mut failed) = (0, 0);
        for one in CONDITIONS {
            for other in CONDITIONS {
                for text in [
                    format!("when {{ ({one}) && ({other}) }}"),
                    format!("when {{ ({one}) || ({other}) }}"),
                    format!("unless {{ ({one}) || ({other}) }}"),
                    format!("unless {{ ({one}) && ({other}) }}"),
                    format!("when {{ !(({one}) || ({other})) }}"),
                    format!("when {{ {one} }} unless {{ {other} }}"),
                    format!("unless {{ !({one}) }} when {{ (({other})) }}"),
                    format!("when {{ !(!({one}) && !({other})) && true }}"),
                ] {
                    let cedar = format!("permit(principal, action, resource is Scope) {text};");
                    let shown = statement(&cedar);
                    assert_eq!(shown["holds"] == true, shown["failed"].is_null(), "{cedar}: {shown}");
                    let count = if shown["holds"] == true { &mut held } else { &mut failed };
                    *count += 1;
                }
            }
        }
        assert!(held > 50 && failed > 50, "{held} {failed}");
    }

    #[test]
    fn the_facts_that_are_said_are_those_of_the_schema() {
        let circumstance = Circumstance {
            grant_type: Some("g".into()),
            auth_method: Some("a".into()),
            acr: Some("a".into()),
            tool: Some("t".into()),
            resource_server: Some("r".into()),
            method: Some("GET".into()),
            host: Some("h".into()),
            path: Some("/".into()),
            location: crate::ports::Location::new(|| crate::ports::Place { country: Some("DE".into()), asn: Some(1) }),
            ..afternoon()
        };
        let schema: Value = serde_json::from_str(crate::cedar::SCHEMA_JSON).unwrap();
        let names = schema.pointer("//commonTypes/Circumstance/attributes").unwrap().as_object().unwrap();
        let said = circumstance.to_json(Some(0));
        assert_eq!(said.keys().collect::<BTreeSet<_>>(), names.keys().collect::<BTreeSet<_>>());
    }
}
