//! Words: the facts that a part of a statement reads, and what would have to be different for it to hold.
//!
//! In scope: parts that compare one fact with something that is written there, in the ways in which policies do. Any other part is shown as
//! it stands, with its facts. Out of scope: whether a part holds, which Cedar says (`explain`).

use serde_json::{Map, Value, json};

use super::explain::{Part, Tokens};
use super::facts::{Question, Target};

/// How many entries of a list are said.
const MAX_ENTRIES: usize = 12;
/// How many bytes of a value are said.
const MAX_VALUE: usize = 300;

/// All facts of a question about a target, by the names that policies have for them; `offset` is that of the time zone.
pub(super) fn known(question: &Question<'_>, target: &Target, offset: Option<i32>) -> Map<String, Value> {
    let mut known = Map::new();
    let principal = question.principal;
    let mut client = json!({
        "": format!("Client::{}", quoted(&principal.id)),
        "name": principal.name,
        "kind": principal.kind,
        "tags": principal.tags,
        "resources": principal.resources,
        "registration": principal.registration,
        "verified": principal.verified,
    });
    if let (Some(owner), Some(members)) = (&principal.owner, client.as_object_mut()) {
        members.insert("owner".to_owned(), owner.as_str().into());
    }
    let resource = match target {
        Target::Scope { resource, name, tool } => {
            let id = quoted(&[resource, " ", name].concat());
            let mut scope = json!({"": format!("Scope::{id} in Resource::{}", quoted(resource)), "name": name});
            if let (Some(tool), Some(members)) = (tool, scope.as_object_mut()) {
                members.insert("tool".to_owned(), tool.as_str().into());
            }
            scope
        }
        Target::Connection { name, kind } => {
            json!({"": format!("Connection::{}", quoted(name)), "name": name, "kind": kind})
        }
    };
    known.insert("principal".to_owned(), client);
    known.insert("action".to_owned(), json!({"": format!("Action::{}", quoted(question.action.as_str()))}));
    known.insert("resource".to_owned(), resource);
    known.insert("context".to_owned(), Value::Object(question.circumstance.to_json(offset)));
    known
}

/// A text as Cedar and JSON write it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A fact that a part reads, or asks the presence of.
struct Fact<'t> {
    /// As policies write it.
    name: String,
    /// Its value; nothing where it is absent.
    value: Option<Value>,
    /// The tokens after it.
    rest: Tokens<'t, 't>,
    /// Where its tokens begin.
    at: usize,
}

/// The facts in some tokens, in their order.
fn facts_in<'t>(tokens: Tokens<'t, 't>, known: &Map<String, Value>) -> Vec<Fact<'t>> {
    let mut found = Vec::new();
    let mut at = 0_usize;
    while let Some((&(_, token), mut rest)) = tokens.get(at..).and_then(|rest| rest.split_first()) {
        let here = at;
        at = at.saturating_add(1);
        let is_member = here.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|(_, one)| *one == ".");
        let Some(root) = known.get(token).filter(|_| !is_member) else { continue };
        let (mut name, mut value) = (token.to_owned(), Some(root));
        // A name that is called is a function of the value before it.
        while let [(_, "."), (_, member), after @ ..] = rest {
            if matches!(after, [(_, "("), ..]) {
                break;
            }
            name = [&name, ".", member].concat();
            value = value.and_then(|value| value.get(*member));
            rest = after;
            at = at.saturating_add(2);
        }
        if let [(_, "has"), (_, member), ..] = rest {
            let member = member.trim_matches('"');
            name = [&name, ".", member].concat();
            value = value.and_then(|value| value.get(member));
        }
        let value = value.map(|value| value.get("").unwrap_or(value).clone());
        found.push(Fact { name, value, rest, at: here });
    }
    found
}

/// The facts that a part reads, and in words what they are and what the statement wants.
pub(super) fn because(part: &Part<'_>, text: &str, known: &Map<String, Value>) -> (Map<String, Value>, String) {
    let tokens = part.tokens.as_slice();
    let found = facts_in(tokens, known);
    let mut facts = Map::new();
    for fact in &found {
        facts.insert(fact.name.clone(), fact.value.clone().unwrap_or_default());
    }
    let is = |fact: &Fact<'_>| match &fact.value {
        Some(value) => format!("`{}` is {}", fact.name, said(value)),
        None => format!("`{}` is absent", fact.name),
    };
    let mut stated: Vec<String> = Vec::new();
    for fact in &found {
        let text = is(fact);
        if !stated.contains(&text) {
            stated.push(text);
        }
    }
    let stated = stated.join(", ");
    let wanted = found.first().filter(|_| facts.len() == 1).and_then(|fact| wanted(tokens, fact, part.wanted));
    let wanted = wanted.unwrap_or_else(|| match part.wanted {
        true => format!("`{}`", shortened(text)),
        false => format!("that not `{}`", shortened(text)),
    });
    let because = if stated.is_empty() {
        format!("the statement wants {wanted}")
    } else {
        format!("{stated}; the statement wants {wanted}")
    };
    (facts, because)
}

/// What a part wants of its one fact, where it is written in one of the usual ways.
fn wanted(tokens: Tokens<'_, '_>, fact: &Fact<'_>, positive: bool) -> Option<String> {
    // `!` before all of it turns it round.
    let (tokens, positive, at) = match tokens {
        [(_, "!"), rest @ ..] => (rest, !positive, fact.at.checked_sub(1)?),
        _ => (tokens, positive, fact.at),
    };
    let not = |text: String| if positive { text } else { ["not ", &text].concat() };
    let literal = |rest: Tokens<'_, '_>| -> Option<String> {
        let plain = |token: &str| token != "." && !["principal", "resource", "context", "action"].contains(&token);
        let text: Vec<&str> = rest.iter().map(|(_, token)| *token).collect();
        (!text.is_empty() && text.iter().all(|token| plain(token))).then(|| spaced(&text))
    };
    if at > 0 {
        // `[…].contains(fact)`
        let [list @ .., (_, "."), (_, "contains"), (_, "(")] = tokens.get(..at)? else { return None };
        let [(_, "["), entries @ .., (_, "]")] = list else { return None };
        matches!(fact.rest, [(_, ")")]).then_some(())?;
        return Some(match positive {
            true => format!("one of {}", literal(entries)?),
            false => format!("none of {}", literal(entries)?),
        });
    }
    let rest: Vec<&str> = fact.rest.iter().map(|(_, token)| *token).collect();
    let after = |n: usize| fact.rest.get(n..).and_then(literal);
    let compared = |sign: &str, n: usize| {
        let than = match (sign, positive) {
            ("==", true) | ("!=", false) => "",
            ("==", false) | ("!=", true) => "anything but ",
            ("<=", true) | (">", false) => "at most ",
            (">=", true) | ("<", false) => "at least ",
            ("<", true) | (">=", false) => "less than ",
            _ => "more than ",
        };
        Some([than, &after(n)?].concat())
    };
    Some(match (rest.as_slice(), positive) {
        ([], true) => "true".to_owned(),
        ([], false) => "false".to_owned(),
        (["has", _], true) => "it present".to_owned(),
        (["has", _], false) => "it absent".to_owned(),
        ([sign @ ("<" | ">"), "=", ..], _) => compared(&[sign, "="].concat(), 2)?,
        ([sign @ ("<" | ">" | "==" | "!="), ..], _) => compared(sign, 1)?,
        (["like", ..], _) => not(format!("like {}", after(1)?)),
        (["in", ..], _) => not(format!("in {}", after(1)?)),
        (["is", ..], _) => not(format!("a {}", after(1)?)),
        ([".", "isInRange", "(", "ip", "(", range, ")", ")"], _) => not(format!("an address in {range}")),
        ([".", "isLoopback", "(", ")"], _) => not("a loopback address".to_owned()),
        ([".", "isEmpty", "(", ")"], _) => not("empty".to_owned()),
        ([".", "contains", "(", inner @ .., ")"], true) => format!("it to have {}", inner.concat()),
        ([".", "contains", "(", inner @ .., ")"], false) => format!("it not to have {}", inner.concat()),
        ([".", "containsAny", "(", inner @ .., ")"], true) => format!("it to have one of {}", spaced(inner)),
        ([".", "containsAny", "(", inner @ .., ")"], false) => format!("it to have none of {}", spaced(inner)),
        ([".", "containsAll", "(", inner @ .., ")"], _) => not(format!("all of {}", spaced(inner))),
        _ => return None,
    })
}

/// Tokens as they are read, without the brackets of a list.
fn spaced(tokens: &[&str]) -> String {
    let mut text = String::new();
    for token in tokens.iter().filter(|token| !["[", "]"].contains(token)) {
        let glued = [",", "::", ")", "("].contains(token) || text.ends_with("::") || text.ends_with('(');
        if !text.is_empty() && !glued {
            text.push(' ');
        }
        text.push_str(token);
    }
    shortened(&text).to_owned()
}

/// A value as it is said.
fn said(value: &Value) -> String {
    let text = match value {
        Value::String(text) if text.contains("::\"") => text.clone(),
        Value::Array(items) if items.is_empty() => "empty".to_owned(),
        Value::Array(items) => {
            let mut all: Vec<String> = items.iter().take(MAX_ENTRIES).map(ToString::to_string).collect();
            let more = items.len().saturating_sub(MAX_ENTRIES);
            if more > 0 {
                all.push(format!("and {more} more"));
            }
            all.join(", ")
        }
        other => other.to_string(),
    };
    shortened(&text).to_owned()
}

fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_VALUE)).unwrap_or_default()
}
