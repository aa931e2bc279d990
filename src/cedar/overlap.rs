//! Overlap: statements that others make pointless, judged by their tokens.
//!
//! In scope: the same statement again; a permit whose all a forbid without a condition forbids; a statement whose all another of its kind
//! says without a condition. Out of scope: what conditions mean.
//!
//! 1. Only what is certain is told: a scope that is written in another way than the plain ones covers itself alone.
//! 2. A permit that obliges to something is not pointless beside one that does not, for permits that hold together oblige together.

use super::check::Complaint;
use super::text::tokens;
use super::{Mode, Source};

/// A statement by its tokens.
#[derive(PartialEq)]
struct Statement<'t> {
    at: usize,
    is_permit: bool,
    principal: Vec<&'t str>,
    action: Vec<&'t str>,
    resource: Vec<&'t str>,
    conditions: Vec<&'t str>,
    /// The tokens of annotations that oblige, and of the time zone.
    obliges: Vec<&'t str>,
}

/// What in a document is pointless beside these others, as far as they are enforced.
pub fn overlaps(source: &Source, others: &[Source]) -> Vec<Complaint> {
    let own = statements(&source.cedar);
    let others: Vec<(&str, Vec<Statement<'_>>)> = others
        .iter()
        .filter(|other| other.mode == Mode::Enforce && other.id != source.id)
        .map(|other| (other.id.as_str(), statements(&other.cedar)))
        .collect();
    let mut found = Vec::new();
    for (n, one) in own.iter().enumerate() {
        let before = own.get(..n).unwrap_or_default().iter().map(|other| ("this policy, before it", other));
        let elsewhere = others.iter().flat_map(|(id, all)| all.iter().map(move |other| (*id, other)));
        let said =
            before.chain(elsewhere).find_map(|(id, other)| one.beside(other).map(|what| format!("{what} in {id}")));
        // A forbid may stand after its permit in the same document.
        let after = own.get(n.saturating_add(1)..).unwrap_or_default().iter();
        let forbidden = after.filter(|other| !other.is_permit).find_map(|other| one.beside(other));
        let said = said.or_else(|| forbidden.map(|what| format!("{what} in this policy, after it")));
        found.extend(said.map(|said| Complaint::at(&source.cedar, one.at, said)));
    }
    found
}

impl Statement<'_> {
    /// What makes this statement pointless beside another one.
    fn beside(&self, other: &Self) -> Option<&'static str> {
        let is_same = self.conditions == other.conditions && self.obliges == other.obliges;
        let is_same = is_same && self.principal == other.principal && self.action == other.action;
        if is_same && self.resource == other.resource && self.is_permit == other.is_permit {
            return Some("the same statement stands");
        }
        if !other.conditions.is_empty() || !other.covers(self) {
            return None;
        }
        match (self.is_permit, other.is_permit) {
            (true, false) => Some("a forbid without a condition forbids all of this"),
            (true, true) if self.obliges.is_empty() && other.obliges.is_empty() => {
                Some("a permit without a condition permits all of this")
            }
            (false, false) => Some("a forbid without a condition forbids all of this already"),
            _ => None,
        }
    }

    /// Whether its scope has all of another one.
    fn covers(&self, other: &Self) -> bool {
        let anybody: [&[&str]; 2] = [&["principal"], &["principal", "is", "Client"]];
        let principal = anybody.contains(&self.principal.as_slice()) || self.principal == other.principal;
        principal && covers_action(&self.action, &other.action) && covers_resource(&self.resource, &other.resource)
    }
}

fn covers_action(broad: &[&str], narrow: &[&str]) -> bool {
    let name = |three: &[&str]| match three {
        ["Action", "::", name] => Some((*name).to_owned()),
        _ => None,
    };
    let named = |tokens: &[&str]| -> Vec<String> { tokens.windows(3).filter_map(name).collect() };
    let (broad_names, narrow_names) = (named(broad), named(narrow));
    broad == ["action"]
        || broad == narrow
        || !narrow_names.is_empty() && narrow_names.iter().all(|name| broad_names.contains(name))
}

fn covers_resource(broad: &[&str], narrow: &[&str]) -> bool {
    match (broad, narrow) {
        (["resource"], _) => true,
        (["resource", "in", "Resource", "::", uri], ["resource", "==", "Scope", "::", scope]) => {
            let plain = |text: &str| text.trim_matches('"').to_owned();
            !uri.contains('\\') && plain(scope).strip_prefix(&plain(uri)).is_some_and(|rest| rest.starts_with(' '))
        }
        _ => broad == narrow,
    }
}

fn statements(cedar: &str) -> Vec<Statement<'_>> {
    let all: Vec<(usize, &str)> = tokens(cedar).collect();
    all.split(|(_, token)| *token == ";").filter_map(statement).collect()
}

fn statement<'t>(mut tokens: &[(usize, &'t str)]) -> Option<Statement<'t>> {
    let mut obliges = Vec::new();
    loop {
        match tokens {
            [(_, "@"), (_, name), (_, "("), (_, value), (_, ")"), rest @ ..] => {
                if !["id", "description", "advice"].contains(name) {
                    obliges.extend([*name, *value]);
                }
                tokens = rest;
            }
            [(_, "@"), _, rest @ ..] => tokens = rest,
            [(at, effect @ ("permit" | "forbid")), (_, "("), rest @ ..] => {
                let (scope, conditions) = rest.split_at(rest.iter().position(|(_, token)| *token == ")")?);
                let mut parts = vec![Vec::new()];
                let mut depth = 0_usize;
                for (_, token) in scope {
                    match *token {
                        "[" => depth = depth.saturating_add(1),
                        "]" => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    match (*token, depth) {
                        (",", 0) => parts.push(Vec::new()),
                        (token, _) => parts.last_mut()?.push(token),
                    }
                }
                let [principal, action, resource] = parts.try_into().ok()?;
                let conditions = conditions.iter().skip(1).map(|(_, token)| *token).collect();
                return Some(Statement {
                    at: *at,
                    is_permit: *effect == "permit",
                    principal,
                    action,
                    resource,
                    conditions,
                    obliges,
                });
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(id: &str, cedar: &str) -> Source {
        Source { id: id.into(), cedar: cedar.into(), mode: Mode::Enforce }
    }

    fn beside(one: &str, other: &str) -> Option<String> {
        let mut found = overlaps(&source("one", one), &[source("other", other)]);
        assert!(found.len() < 2, "{found:?}");
        found.pop().map(|one| one.message)
    }

    const SCOPE: &str =
        "permit(principal == Client::\"c\", action == Action::\"issue\", resource == Scope::\"https://r read\");";

    #[test]
    fn a_statement_that_another_one_makes_pointless_is_pointed_at() {
        for (other, word) in [
            (SCOPE, "the same statement stands in other"),
            (
                "@id(\"x\") permit ( principal==Client::\"c\", action == Action::\"issue\", resource == Scope::\"https://r read\") ;",
                "same",
            ),
            ("forbid(principal, action, resource);", "forbids all of this in other"),
            ("forbid(principal is Client, action in [Action::\"issue\", Action::\"lease\"], resource);", "forbids"),
            ("permit(principal, action, resource in Resource::\"https://r\");", "permits all of this"),
        ] {
            let found = beside(SCOPE, other).unwrap_or_default();
            assert!(found.contains(word), "{other}: {found}");
        }
        let both = [SCOPE, "forbid(principal, action, resource);"].concat();
        let found = overlaps(&source("one", &both), &[]);
        assert_eq!((found.len(), found[0].line, found[0].column), (1, 1, 1));
    }

    #[test]
    fn what_another_statement_only_may_make_pointless_is_not() {
        for other in [
            "forbid(principal, action, resource) when { context.dpop };",
            "forbid(principal == Client::\"d\", action, resource);",
            "forbid(principal, action == Action::\"lease\", resource);",
            "forbid(principal, action, resource in Resource::\"https://r rea\");",
            "permit(principal, action, resource in Resource::\"https://re\");",
            "@ttl(\"60\") permit(principal, action, resource in Resource::\"https://r\");",
            "@ttl(\"60\") permit(principal == Client::\"c\", action == Action::\"issue\", resource == Scope::\"https://r read\");",
        ] {
            assert_eq!(beside(SCOPE, other), None, "{other}");
        }
        let obliges = ["@ttl(\"60\") ", SCOPE].concat();
        assert_eq!(beside(&obliges, "permit(principal, action, resource in Resource::\"https://r\");"), None);
        let off = Source { mode: Mode::Off, ..source("other", SCOPE) };
        assert_eq!(overlaps(&source("one", SCOPE), &[off]), []);
        assert_eq!(overlaps(&source("one", SCOPE), &[source("one", SCOPE)]), [], "it is the policy itself");
    }
}
