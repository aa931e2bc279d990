//! Attributes: which facts the statements can read, judged by the tokens of their conditions alone.
//!
//! Stating a fact costs about as much as evaluating a policy, and some facts (the country of an address) cost the platform more. So only
//! those are stated that a statement can read. Cedar reads an attribute by `.name`, `has name` or `["name"]`. A text that uses
//! `principal` or `context` in any other way than by the first two, or names a client, is taken to read everything.

use super::text::tokens;

/// The attributes of the acting client and of the context, as the schema has them.
const NAMES: [(&str, &str); 29] = [
    ("principal", "name"),
    ("principal", "kind"),
    ("principal", "owner"),
    ("principal", "tags"),
    ("principal", "resources"),
    ("principal", "registration"),
    ("principal", "verified"),
    ("context", "ip"),
    ("context", "country"),
    ("context", "asn"),
    ("context", "now"),
    ("context", "hour"),
    ("context", "minute"),
    ("context", "weekday"),
    ("context", "date"),
    ("context", "grant_type"),
    ("context", "auth_method"),
    ("context", "acr"),
    ("context", "dpop"),
    ("context", "scopes"),
    ("context", "tool"),
    ("context", "resource_server"),
    ("context", "method"),
    ("context", "host"),
    ("context", "path"),
    ("context", "chain"),
    ("context", "chain_tags"),
    ("context", "workload_claims"),
    // And with it the user, with all attributes.
    ("context", "subject"),
];

/// A set of attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(u32);

impl Attributes {
    /// All there are.
    pub(super) const ALL: Self = Self(u32::MAX);

    /// What the statements of a text can read.
    pub(super) fn read(cedar: &str) -> Self {
        let tokens: Vec<&str> = tokens(cedar).map(|(_, token)| token).collect();
        let statements = tokens.split(|token| *token == ";");
        statements.map(Self::of_statement).fold(Self::default(), Self::and)
    }

    fn of_statement(statement: &[&str]) -> Self {
        // Before the first condition stand the annotations and the scope, which reads no attribute.
        let Some(conditions) = statement.iter().position(|token| ["when", "unless"].contains(token)) else {
            return Self::default();
        };
        let tokens = statement.get(conditions..).unwrap_or_default();
        let at = |index: usize| tokens.get(index).copied().unwrap_or_default();
        let mut read = Self::default();
        for (index, token) in tokens.iter().enumerate() {
            let next = index.saturating_add(1);
            match *token {
                variable @ ("principal" | "context") if [".", "has"].contains(&at(next)) => {
                    read = read.and(Self::named(variable, at(next.saturating_add(1))));
                }
                "principal" | "context" | "Client" => return Self::ALL,
                "User" => read = read.and(Self::named("context", "subject")),
                _ => {}
            }
        }
        read
    }

    fn named(variable: &str, attribute: &str) -> Self {
        match NAMES.iter().position(|name| *name == (variable, attribute)) {
            Some(at) => Self(1 << at),
            None => Self::ALL,
        }
    }

    /// Those of both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it has the user.
    pub(super) fn subject(self) -> bool {
        self.context("subject")
    }

    /// Whether it has that attribute of the context.
    pub fn context(self, name: &str) -> bool {
        self.has("context", name)
    }

    /// Whether it has that attribute of the client.
    pub(super) fn principal(self, name: &str) -> bool {
        self.has("principal", name)
    }

    fn has(self, variable: &str, name: &str) -> bool {
        self.0 & Self::named(variable, name).0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn of(conditions: &str) -> Attributes {
        Attributes::read(&format!("permit(principal == Client::\"c\", action, resource) {conditions};"))
    }

    #[test]
    fn the_names_are_those_of_the_schema() {
        let schema: Value = serde_json::from_str(crate::cedar::SCHEMA_JSON).unwrap();
        let names = |pointer: &str, variable: &'static str| {
            let attributes = schema.pointer(pointer).unwrap().as_object().unwrap();
            attributes.keys().map(|name| (variable, name.clone())).collect::<Vec<_>>()
        };
        let mut all = names("//entityTypes/Client/shape/attributes", "principal");
        all.extend(names("//commonTypes/Circumstance/attributes", "context"));
        all.sort();
        let mut ours = NAMES.map(|(variable, name)| (variable, name.to_owned()));
        ours.sort();
        assert_eq!(all, ours);
        let fits = |name: &(&str, &str)| Attributes::named(name.0, name.1) != Attributes::ALL;
        assert!(NAMES.iter().all(fits) && NAMES.len() < 32, "each has a bit of its own");
    }

    #[test]
    fn only_what_the_conditions_name_is_read() {
        assert_eq!(of(""), Attributes::default());
        assert_eq!(of("when { resource.name == \"context\" } // principal"), Attributes::default());
        let some = of(
            "when { context has ip && context.ip.isInRange(ip(\"10.0.0.0/8\")) } unless { principal . tags.isEmpty() }",
        );
        assert_eq!(some, Attributes::named("context", "ip").and(Attributes::named("principal", "tags")));
        assert!(some.context("ip") && some.principal("tags"));
        assert!(!some.context("hour") && !some.principal("name") && !some.subject());
        let user = of("when { context.subject.roles.contains(\"admin\") }");
        assert!(user.subject() && !user.context("hour"));
        assert_eq!(of("when { User::\"u\".groups.contains(\"g\") }"), user);
    }

    #[test]
    fn a_text_that_reads_in_another_way_reads_everything() {
        for conditions in [
            "when { context[\"hour\"] == 3 }",
            "when { context has \"hour\" }",
            "when { context == {} }",
            "when { (context).hour == 3 }",
            "when { (if true then principal else principal).name == \"a\" }",
            "when { principal == Client::\"c\" }",
            "when { Client::\"c\".name == \"a\" }",
            "when { context.nonsense }",
            "when { true } unless { principal[\"na\\u{6d}e\"] == \"a\" }",
        ] {
            assert_eq!(of(conditions), Attributes::ALL, "{conditions}");
        }
    }

    #[test]
    fn every_statement_of_a_text_counts() {
        let text = "permit(principal, action, resource) when { context.hour == 3 }; \
                    forbid(principal, action, resource) when { context.dpop };";
        let read = Attributes::read(text);
        assert_eq!(read, Attributes::named("context", "hour").and(Attributes::named("context", "dpop")));
    }
}
