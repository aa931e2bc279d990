//! Advice: what is probably not meant in a policy that is otherwise fine, judged by its tokens.
//!
//! In scope: permits that permit everything to everyone, or production without a condition; hours and words that never come;
//! names that a policy mentions, so that those can be looked up. What is production, its name says: one of its words is `prod` or
//! `production`. Out of scope: whether a policy may be stored ([`super::check()`]).

use super::check::Complaint;
use super::text::tokens;
use std::collections::BTreeSet;

/// What a policy mentions by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mention {
    /// `Client::"id"`.
    Client(String),
    /// `User::"id"`.
    User(String),
    /// `Resource::"uri"`.
    Resource(String),
    /// `Scope::"uri name"`.
    Scope(String),
    /// `Connection::"name"`.
    Connection(String),
    /// A name that `resource.name` is compared to: a scope's, or a connection's.
    Name(String),
}

type Token<'t> = (usize, &'t str);

/// The names that a policy mentions, each once, with the first place.
pub fn mentions(cedar: &str) -> Vec<(usize, Mention)> {
    let all: Vec<Token<'_>> = tokens(cedar).collect();
    let mut found: Vec<(usize, Mention)> = all.windows(3).filter_map(entity).collect();
    for (start, rest) in (0..all.len()).filter_map(|start| Some((start, all.get(start..)?))) {
        match rest {
            [(_, "resource"), (_, "."), (_, "name"), (_, "=="), (at, name), ..]
            | [(at, name), (_, "=="), (_, "resource"), (_, "."), (_, "name"), ..] => {
                found.extend(text(name).map(|name| (*at, Mention::Name(name))));
            }
            [(_, "]"), (_, "."), (_, "contains"), (_, "("), (_, "resource"), (_, "."), (_, "name"), (_, ")"), ..] => {
                let before = all.get(..start).unwrap_or_default();
                let list = before.iter().rev().take_while(|(_, token)| *token != "[");
                found.extend(list.filter_map(|(at, token)| Some((*at, Mention::Name(text(token)?)))));
            }
            _ => {}
        }
    }
    found.sort();
    let mut seen = BTreeSet::new();
    found.retain(|(_, mention)| seen.insert(mention.clone()));
    found
}

fn entity(tokens: &[Token<'_>]) -> Option<(usize, Mention)> {
    let [(at, kind), (_, "::"), (_, id)] = tokens else { return None };
    let id = text(id)?;
    let mention = match *kind {
        "Client" => Mention::Client(id),
        "User" => Mention::User(id),
        "Resource" => Mention::Resource(id),
        "Scope" => Mention::Scope(id),
        "Connection" => Mention::Connection(id),
        _ => return None,
    };
    Some((*at, mention))
}

/// The value of a string without escapes.
fn text(token: &str) -> Option<String> {
    let inside = token.strip_prefix('"')?.strip_suffix('"')?;
    (!inside.contains('\\')).then(|| inside.to_owned())
}

/// The time zones that statements name, each as it stands in its annotation, and where.
pub fn zones<'t>(cedar: &'t str) -> Vec<(usize, &'t str)> {
    let all: Vec<Token<'t>> = tokens(cedar).collect();
    let named = |five: &[(usize, &'t str)]| match five {
        [(_, "@"), (_, "zone"), (_, "("), (at, zone), (_, ")")] => Some((*at, zone.trim_matches('"'))),
        _ => None,
    };
    all.windows(5).filter_map(named).collect()
}

/// What to think about again, in the order of the text.
pub fn advice(cedar: &str) -> Vec<Complaint> {
    let all: Vec<Token<'_>> = tokens(cedar).collect();
    let mut found: Vec<(usize, String)> = Vec::new();
    for statement in all.split_inclusive(|(_, token)| *token == ";") {
        if let Some(at) = open_to_all(statement) {
            found.push((
                at,
                "this permits everything to every client: name a principal or a resource, or add a condition"
                    .to_owned(),
            ));
        }
        if let Some(at) = open_production(statement) {
            found.push((
                at,
                "this permits what is called production without a condition: say when, or `@require`, `@limit` or `@bind` something"
                    .to_owned(),
            ));
        }
        found.extend(hours_that_never_come(statement).map(|at| {
            let message =
                "no hour is both: for hours over midnight write `context.hour >= 22 || context.hour < 4`, in brackets";
            (at, message.to_owned())
        }));
        found.extend(values_that_never_come(statement));
    }
    found.sort();
    found.dedup();
    found.into_iter().map(|(at, message)| Complaint::at(cedar, at, message)).collect()
}

/// Where a statement begins whose effect is `permit`, and what stands in its brackets and after them.
fn permit<'s, 't>(statement: &'s [Token<'t>]) -> Option<(usize, &'s [Token<'t>], &'s [Token<'t>])> {
    let start = statement.iter().position(|(_, token)| *token == "permit")?;
    match statement.get(start..)? {
        [(at, _), (_, "("), rest @ ..] => {
            let (scope, after) = rest.split_at_checked(rest.iter().position(|(_, token)| *token == ")")?)?;
            Some((*at, scope, after.get(1..)?))
        }
        _ => None,
    }
}

/// Where a permit stands whose resource is called production, and that neither has a condition nor obliges to anything.
fn open_production(statement: &[Token<'_>]) -> Option<usize> {
    let (at, scope, after) = permit(statement)?;
    let named = scope.windows(3).any(|three| match three {
        [(_, "Resource" | "Scope" | "Connection"), (_, "::"), (_, name)] => is_production(name),
        _ => false,
    });
    let obliges = statement
        .windows(2)
        .any(|two| matches!(two, [(_, "@"), (_, "require" | "limit" | "bind" | "details" | "quiet")]));
    (named && !obliges && matches!(after, [(_, ";")] | [])).then_some(at)
}

/// Whether one of the words of a name is `prod` or `production`.
fn is_production(name: &str) -> bool {
    let is_word = |word: &str| word.eq_ignore_ascii_case("prod") || word.eq_ignore_ascii_case("production");
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(is_word)
}

/// Numbers of the clock, with the least and the most.
const CLOCK: [(&str, i64, i64); 3] = [("hour", 0, 23), ("minute", 0, 59), ("weekday", 1, 7)];
/// Attributes with a few values.
const WORDS: [(&str, &[&str]); 2] = [
    ("kind", &["autonomous", "delegated", "resource_server"]),
    ("registration", &["admin", "metadata_document", "dynamic"]),
];

/// Comparisons that no value fulfils: an hour of 24, a kind of client that there is not, one attribute with two values.
fn values_that_never_come(statement: &[Token<'_>]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut before: Option<(Vec<&str>, &str)> = None;
    for (side, and) in sides(statement) {
        let words: Vec<&str> = side.iter().map(|(_, token)| *token).collect();
        let at = side.first().map_or(0, |(at, _)| *at);
        for (name, least, most) in CLOCK {
            let of = bound(side, name);
            let beyond = of.is_some_and(|of| if of.below { of.number > most } else { of.number < least });
            let is_equal = match words.as_slice() {
                ["context", ".", known, "==", number] | [number, "==", "context", ".", known] if *known == name => {
                    number.parse::<i64>().ok()
                }
                _ => None,
            };
            if beyond || is_equal.is_some_and(|number| !(least..=most).contains(&number)) {
                found.push((at, format!("`context.{name}` is from {least} to {most}: this never holds")));
            }
        }
        let equality = match words.as_slice() {
            [path @ .., "==", value] if value.starts_with('"') => Some((path.to_vec(), *value)),
            [value, "==", path @ ..] if value.starts_with('"') => Some((path.to_vec(), *value)),
            _ => None,
        };
        if let Some((path, value)) = &equality {
            for (name, known) in WORDS {
                let value = value.trim_matches('"');
                if path == &["principal", ".", name] && !known.contains(&value) {
                    found.push((at, format!("`principal.{name}` is one of {}: this never holds", known.join(", "))));
                }
            }
            if before.as_ref().is_some_and(|(other, said)| other == path && said != value) {
                found.push((at, "it cannot be two values at once: this never holds".to_owned()));
            }
        }
        before = equality.filter(|_| and);
    }
    found
}

/// The parts of a statement between operators and brackets, each with whether `&&` follows.
fn sides<'s, 't>(statement: &'s [Token<'t>]) -> Vec<(&'s [Token<'t>], bool)> {
    let parts =
        statement.split(|(_, token)| ["&&", "||", "{", "}", "(", ")", "?", "if", "then", "else"].contains(token));
    let mut end = 0_usize;
    let mut all = Vec::new();
    for part in parts {
        end = end.saturating_add(part.len());
        all.push((part, statement.get(end).is_some_and(|(_, token)| *token == "&&")));
        end = end.saturating_add(1);
    }
    all
}

/// Where a permit stands that names neither principal nor resource and has no condition.
fn open_to_all(statement: &[Token<'_>]) -> Option<usize> {
    let start = statement.iter().position(|(_, token)| *token == "permit")?;
    match statement.get(start..)? {
        [(at, _), (_, "("), (_, "principal"), (_, ","), (_, "action"), rest @ ..] => {
            let mut rest = rest.iter().map(|(_, token)| *token).skip_while(|token| *token != "resource");
            let ends = [rest.next(), rest.next(), rest.next()];
            (ends == [Some("resource"), Some(")"), Some(";")]).then_some(*at)
        }
        _ => None,
    }
}

/// A comparison of a number of the clock: whether it bounds from below, the first or last number that fits, and where it stands.
#[derive(Clone, Copy)]
struct Bound {
    below: bool,
    number: i64,
    at: usize,
}

/// Where two comparisons of the hour stand side by side that no hour fulfils.
fn hours_that_never_come(statement: &[Token<'_>]) -> impl Iterator<Item = usize> {
    let bounds: Vec<(Option<Bound>, bool)> =
        sides(statement).into_iter().map(|(side, and)| (bound(side, "hour"), and)).collect();
    let pairs: Vec<usize> = bounds
        .windows(2)
        .filter_map(|pair| {
            let [(Some(one), true), (Some(other), _)] = pair else { return None };
            let (low, high) = if one.below { (one, other) } else { (other, one) };
            (low.below && !high.below && low.number > high.number).then_some(one.at)
        })
        .collect();
    pairs.into_iter()
}

fn bound(side: &[Token<'_>], name: &str) -> Option<Bound> {
    let words: Vec<&str> = side.iter().map(|(_, token)| *token).collect();
    let (at, _) = side.first()?;
    let (sign, number, turned): (&[&str], &str, bool) = match words.as_slice() {
        ["context", ".", known, sign @ .., number] if *known == name => (sign, number, false),
        [number, sign @ .., "context", ".", known] if *known == name => (sign, number, true),
        _ => return None,
    };
    let number: i64 = number.parse().ok()?;
    let (greater, strict) = match sign {
        [">"] => (true, true),
        [">", "="] => (true, false),
        ["<"] => (false, true),
        ["<", "="] => (false, false),
        _ => return None,
    };
    let below = greater != turned;
    let number = match (strict, below) {
        (false, _) => number,
        (true, true) => number.saturating_add(1),
        (true, false) => number.saturating_sub(1),
    };
    Some(Bound { below, number, at: *at })
}

/// Whether a text asks for a resource to be a `Resource`, which none ever is: its resource is a scope, or a connection.
pub(super) fn takes_a_scope_for_its_resource(cedar: &str) -> bool {
    let all: Vec<&str> = tokens(cedar).map(|(_, token)| token).collect();
    all.windows(4).any(|four| four == ["resource", "==", "Resource", "::"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(cedar: &str) -> Vec<(usize, usize)> {
        advice(cedar).into_iter().map(|one| (one.line, one.column)).collect()
    }

    fn when(condition: &str) -> String {
        format!("forbid(principal, action, resource) when {{\n{condition} }};")
    }

    #[test]
    fn a_permit_without_any_condition_is_pointed_at() {
        assert_eq!(places("@id(\"x\")\n permit (principal, action, resource);"), [(2, 2)]);
        assert_eq!(places("permit(principal, action == Action::\"issue\", resource);"), [(1, 1)]);
        for fine in [
            "forbid(principal, action, resource);",
            "permit(principal == Client::\"c\", action, resource);",
            "permit(principal is Client, action, resource in Resource::\"r\");",
            "permit(principal, action, resource) when { context.dpop };",
            "permit(principal, action in [Action::\"issue\"], resource) unless { context.dpop };",
        ] {
            assert_eq!(places(fine), [], "{fine}");
        }
    }

    #[test]
    fn hours_over_midnight_that_no_hour_fulfils_are_pointed_at() {
        for never in [
            "context.hour >= 22 && context.hour < 4",
            "context.hour < 4 && context.hour >= 22",
            "context.dpop && context.hour > 22 && context.hour <= 4 && context.dpop",
            "22 <= context.hour && 4 > context.hour",
            "context.hour > 3 && context.hour < 4",
            "(context.dpop || (context.hour >= 22 && context.hour < 4))",
        ] {
            assert_eq!(places(&when(never)).len(), 1, "{never}");
        }
        assert_eq!(places(&when("context.dpop && context.hour >= 22 && context.hour < 4")), [(2, 17)]);
        for fine in [
            "context.hour >= 22 || context.hour < 4",
            "context.hour >= 2 && context.hour < 4",
            "context.hour >= 4 && context.hour <= 4",
            "context.hour >= 22 && context.minute < 4",
            "context.hour >= 22 && (context.hour < 4 || context.dpop)",
            "context.hour + 3 >= 22 && context.hour < 4",
        ] {
            assert_eq!(places(&when(fine)), [], "{fine}");
        }
    }

    #[test]
    fn a_condition_that_nothing_fulfils_is_pointed_at() {
        for never in [
            "context.hour > 23",
            "context.hour == 24",
            "24 == context.hour",
            "context.hour < 0",
            "context.minute >= 60",
            "context.weekday == 0",
            "context.weekday > 7",
            "context.dpop && context.weekday >= 8",
            "principal.kind == \"agent\"",
            "principal.registration == \"dcr\"",
            "context.date == \"2026-01-01\" && context.date == \"2026-01-02\"",
            "\"a\" == principal.name && principal.name == \"b\"",
        ] {
            assert_eq!(places(&when(never)).len(), 1, "{never}");
        }
        for fine in [
            "context.hour == 23 && context.minute == 59 && context.weekday == 7",
            "context.hour != 24 && context.weekday < 8",
            "principal.kind == \"delegated\" && principal.registration == \"dynamic\"",
            "principal.name == \"a\" || principal.name == \"b\"",
            "resource.name == \"a\" && principal.name == \"b\"",
        ] {
            assert_eq!(places(&when(fine)), [], "{fine}");
        }
        assert_eq!(places("@require(\"step_up\") permit(principal == Client::\"c\", action, resource);"), []);
    }

    #[test]
    fn a_permit_without_a_condition_on_production_is_pointed_at() {
        let permit = |rest: &str| format!("permit(principal == Client::\"c\", action, {rest};");
        for open in [
            permit("resource == Connection::\"production-db\")"),
            permit("resource in Resource::\"https://prod.example/mcp\")"),
            permit("resource == Scope::\"https://mcp.example/PROD read\")"),
        ] {
            assert_eq!(places(&open), [(1, 1)], "{open}");
        }
        for fine in [
            permit("resource == Connection::\"products\")"),
            permit("resource == Connection::\"staging-db\")"),
            permit("resource == Connection::\"production-db\") when { context.dpop }"),
            ["@require(\"approval\") ", &permit("resource == Connection::\"production-db\")")].concat(),
            permit("resource == Connection::\"production-db\")").replace("permit", "forbid"),
        ] {
            assert_eq!(places(&fine), [], "{fine}");
        }
    }

    #[test]
    fn what_is_mentioned_is_found_once_and_strings_and_comments_mention_nothing() {
        let text = r#"// Client::"comment"
            permit(principal == Client::"c", action, resource in Resource::"r") when {
              principal == Client::"c" || resource == Scope::"r a" || resource == Connection::"k" || context.subject == User::"u" ||
              resource.name == "one" || ["two", "three"].contains(resource.name) || "four" == resource.name ||
              principal.name == "Client::\"x\"" || ["five"].contains(principal.name) || principal == Client::"\u{61}" };"#;
        let mut found: Vec<Mention> = mentions(text).into_iter().map(|(_, mention)| mention).collect();
        found.sort();
        let name = |name: &str| Mention::Name(name.into());
        let mut expected = vec![
            Mention::Client("c".into()),
            Mention::User("u".into()),
            Mention::Resource("r".into()),
            Mention::Scope("r a".into()),
            Mention::Connection("k".into()),
            name("four"),
            name("one"),
            name("three"),
            name("two"),
        ];
        expected.sort();
        assert_eq!(found, expected);
        assert!(mentions(text).iter().all(|(at, _)| text.get(*at..).is_some()));
    }
}
