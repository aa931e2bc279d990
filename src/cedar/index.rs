//! Index: which statements can have a say in a question, judged by the tokens of their scope alone.
//!
//! Parsing a policy costs more than deciding by it, so a document is parsed only when a question first concerns it. A
//! statement is left out only where that is certain to change nothing: Cedar tests the scope (`principal`, `action`,
//! `resource`) before the conditions and stops there, so a statement whose scope names another client, action or target is
//! false and cannot err. A scope that is written in any other way than the plain ones here is taken to reach everything.
//!
//! By the same reasoning a whole document is kept apart: where all its statements name one client, or all one resource or one
//! connection, only questions about that need it at all ([`Home`]).

use std::collections::{BTreeMap, BTreeSet};

use super::action::Action;
use super::facts::Target;
use super::text::tokens;

/// What a statement is about, as far as that is certain. `None` is anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    client: Option<usize>,
    action: Option<String>,
    place: Option<Named>,
}

/// A target that a statement names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    ScopesOf(usize),
    Scope(usize),
    Connection(usize),
}

/// The part of a question that decides which statements are relevant. Names that no statement mentions are `None`, so
/// that all clients (resources, …) without statements of their own share one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    action: Action,
    client: Option<usize>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Scope { resource: Option<usize>, scope: Option<usize> },
    Connection(Option<usize>),
}

impl Reach {
    /// Whether a statement of this reach may apply to a question with this key.
    pub(super) fn covers(&self, key: &Key) -> bool {
        self.fits_place(key) && self.fits_client(key) && self.fits_action(key)
    }

    /// In how many of client, action and target a statement of this reach is about something else.
    pub(super) fn misses(&self, key: &Key) -> usize {
        [self.fits_place(key), self.fits_client(key), self.fits_action(key)].iter().filter(|fits| !**fits).count()
    }

    fn fits_place(&self, key: &Key) -> bool {
        self.place.is_none_or(|mine| match (mine, key.place) {
            (Named::ScopesOf(mine), Place::Scope { resource, .. }) => resource == Some(mine),
            (Named::Scope(mine), Place::Scope { scope, .. }) => scope == Some(mine),
            (Named::Connection(mine), Place::Connection(connection)) => connection == Some(mine),
            _ => false,
        })
    }

    fn fits_client(&self, key: &Key) -> bool {
        self.client.is_none_or(|mine| key.client == Some(mine))
    }

    fn fits_action(&self, key: &Key) -> bool {
        self.action.as_deref().is_none_or(|mine| mine == key.action.as_str())
    }
}

/// The names that statements mention, numbered.
#[derive(Default)]
pub(super) struct Names {
    clients: BTreeMap<String, usize>,
    resources: BTreeMap<String, usize>,
    scopes: BTreeMap<String, usize>,
    connections: BTreeMap<String, usize>,
}

impl Names {
    /// The reach of each statement of a text, in their order.
    pub(super) fn read(&mut self, cedar: &str) -> Vec<Reach> {
        let tokens: Vec<&str> = tokens(cedar).map(|(_, token)| token).collect();
        statements(&tokens).map(|statement| self.reach(statement)).collect()
    }

    /// The key of a question about one target, whose entity has this id.
    pub(super) fn key(&self, action: Action, client: &str, target: &Target, id: &str) -> Key {
        let place = match target {
            Target::Scope { resource, .. } => {
                Place::Scope { resource: self.resources.get(resource).copied(), scope: self.scopes.get(id).copied() }
            }
            Target::Connection { .. } => Place::Connection(self.connections.get(id).copied()),
        };
        Key { action, client: self.clients.get(client).copied(), place }
    }

    fn reach(&mut self, statement: &[&str]) -> Reach {
        let Head { client, action, place } = Head::read(statement);
        Reach {
            client: client.map(|id| number(&mut self.clients, id)),
            action: action.map(str::to_owned),
            place: place.map(|place| match place {
                Spot::ScopesOf(id) => Named::ScopesOf(number(&mut self.resources, id)),
                Spot::Scope(id) => Named::Scope(number(&mut self.scopes, id)),
                Spot::Connection(id) => Named::Connection(number(&mut self.connections, id)),
            }),
        }
    }
}

/// The names in the scope of one statement.
#[derive(Default)]
struct Head<'t> {
    client: Option<&'t str>,
    action: Option<&'t str>,
    place: Option<Spot<'t>>,
}

#[derive(Clone, Copy)]
enum Spot<'t> {
    ScopesOf(&'t str),
    Scope(&'t str),
    Connection(&'t str),
}

impl<'t> Head<'t> {
    fn read(statement: &[&'t str]) -> Self {
        let mut head = Self::default();
        let Some(scope) = scope(statement) else { return head };
        for constraint in scope.split(|token| *token == ",") {
            match constraint {
                ["principal", "==", "Client", "::", id] => head.client = plain(id),
                ["action", "==", "Action", "::", id] => head.action = plain(id),
                ["resource", "in", "Resource", "::", id] => head.place = plain(id).map(Spot::ScopesOf),
                ["resource", "==", "Scope", "::", id] => head.place = plain(id).map(Spot::Scope),
                ["resource", "==", "Connection", "::", id] => head.place = plain(id).map(Spot::Connection),
                _ => {}
            }
        }
        head
    }

    fn home(&self) -> (Home, Home) {
        let client = self.client.map_or(Home::Everywhere, |id| Home::Client(id.to_owned()));
        let place = match self.place {
            None => Home::Everywhere,
            Some(Spot::ScopesOf(resource)) => Home::Resource(resource.to_owned()),
            Some(Spot::Connection(name)) => Home::Connection(name.to_owned()),
            // The id of a scope is its resource, a space, and its name, in neither of which is another.
            Some(Spot::Scope(id)) => match id.split_once(' ') {
                Some((resource, name)) if !name.contains(' ') => Home::Resource(resource.to_owned()),
                _ => Home::Everywhere,
            },
        };
        (client, place)
    }
}

/// What a question has to be about for a document to have a say in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Home {
    /// Anything.
    Everywhere,
    /// This client as principal.
    Client(String),
    /// A scope of this resource.
    Resource(String),
    /// This connection.
    Connection(String),
}

impl Home {
    /// The home of a document: what all its statements name.
    pub fn of(cedar: &str) -> Self {
        let tokens: Vec<&str> = tokens(cedar).map(|(_, token)| token).collect();
        let mut statements = statements(&tokens).map(|statement| Head::read(statement).home());
        let Some((mut client, mut place)) = statements.next() else { return Self::Everywhere };
        for (other_client, other_place) in statements {
            if other_client != client {
                client = Self::Everywhere;
            }
            if other_place != place {
                place = Self::Everywhere;
            }
        }
        if client == Self::Everywhere { place } else { client }
    }

    /// The homes of all documents that can have a say in a question.
    pub fn reached(client: &str, targets: &[Target]) -> BTreeSet<Self> {
        let places = targets.iter().map(|target| match target {
            Target::Scope { resource, .. } => Self::Resource(resource.clone()),
            Target::Connection { name, .. } => Self::Connection(name.clone()),
        });
        places.chain([Self::Everywhere, Self::Client(client.to_owned())]).collect()
    }
}

/// The statements of a text; what follows the last semicolon is none.
fn statements<'s, 't>(tokens: &'s [&'t str]) -> impl Iterator<Item = &'s [&'t str]> {
    let ends = tokens.iter().filter(|token| **token == ";").count();
    tokens.split(|token| *token == ";").take(ends)
}

/// What stands in the brackets after `permit` or `forbid`.
fn scope<'s, 't>(mut statement: &'s [&'t str]) -> Option<&'s [&'t str]> {
    loop {
        match statement {
            ["@", _, "(", _, ")", rest @ ..] | ["@", _, rest @ ..] => statement = rest,
            ["permit" | "forbid", "(", rest @ ..] => {
                return rest.split(|token| *token == ")").next();
            }
            _ => return None,
        }
    }
}

/// The value of a string that has no escapes.
fn plain(token: &str) -> Option<&str> {
    token.strip_prefix('"')?.strip_suffix('"').filter(|inside| !inside.contains('\\'))
}

fn number(names: &mut BTreeMap<String, usize>, name: &str) -> usize {
    if let Some(known) = names.get(name) {
        return *known;
    }
    let next = names.len();
    names.insert(name.to_owned(), next);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(cedar: &str) -> Reach {
        let mut all = Names::default().read(cedar);
        assert_eq!(all.len(), 1, "{cedar}");
        all.remove(0)
    }

    #[test]
    fn a_plain_scope_is_narrow() {
        let narrow = Reach { client: Some(0), action: Some("issue".into()), place: Some(Named::ScopesOf(0)) };
        for text in [
            "permit(principal == Client::\"a\", action == Action::\"issue\", resource in Resource::\"r\");",
            "@id(\"permit(\") @x // forbid(\n permit (principal==Client :: \"a\",action == Action::\"issue\",resource in Resource::\"r\") when { (1, 2) };",
        ] {
            assert_eq!(reach(text), narrow, "{text}");
        }
        let scope = reach("forbid(principal, action, resource == Scope::\"r s\");");
        assert_eq!(scope, Reach { place: Some(Named::Scope(0)), ..Reach::default() });
        let connection = reach("forbid(principal, action, resource == Connection::\"c\");");
        assert_eq!(connection, Reach { place: Some(Named::Connection(0)), ..Reach::default() });
    }

    #[test]
    fn a_scope_that_is_written_otherwise_reaches_everything() {
        for text in [
            "forbid(principal, action, resource);",
            "forbid(principal == Client::\"\\u{61}\", action, resource);",
            "forbid(principal == Other::Client::\"a\", action, resource);",
            "forbid(principal in Client::\"a\", action in [Action::\"issue\"], resource is Scope in Resource::\"r\");",
            "forbid(principal, action, resource) when { principal == Client::\"a\" };",
            "@principal(\"x\") forbid(principal, action, resource) when { resource == Scope::\"r s\" };",
            "nonsense(principal == Client::\"a\", action, resource);",
            "@broken( permit(principal == Client::\"a\", action, resource);",
        ] {
            assert_eq!(reach(text), Reach::default(), "{text}");
        }
    }

    #[test]
    fn every_statement_has_its_reach_and_nothing_else_has_one() {
        let text = "forbid(principal, action, resource) when { principal.name == \";\" }; // ;\n permit(principal, action, resource); // end";
        assert_eq!(Names::default().read(text).len(), 2);
        assert!(Names::default().read("// nothing").is_empty());
    }

    #[test]
    fn the_home_of_a_document_is_what_all_its_statements_name() {
        let client = || Home::Client("c".into());
        let resource = || Home::Resource("r".into());
        for (text, home) in [
            ("permit(principal == Client::\"c\", action, resource in Resource::\"r\"); ", client()),
            (
                "permit(principal == Client::\"c\", action, resource); forbid(principal == Client::\"c\", action, resource);",
                client(),
            ),
            (
                "permit(principal == Client::\"c\", action, resource); permit(principal, action, resource);",
                Home::Everywhere,
            ),
            (
                "permit(principal, action, resource == Scope::\"r a\"); permit(principal, action, resource in Resource::\"r\");",
                resource(),
            ),
            (
                "permit(principal == Client::\"c\", action, resource == Scope::\"r a\"); \
                 permit(principal == Client::\"d\", action, resource in Resource::\"r\");",
                resource(),
            ),
            ("permit(principal, action, resource == Scope::\"r a b\");", Home::Everywhere),
            ("permit(principal, action, resource == Scope::\"r\");", Home::Everywhere),
            ("permit(principal, action, resource == Connection::\"k\");", Home::Connection("k".into())),
            (
                "permit(principal, action, resource in Resource::\"k\"); permit(principal, action, resource == Connection::\"k\");",
                Home::Everywhere,
            ),
            ("permit(principal, action, resource) when { principal == Client::\"c\" };", Home::Everywhere),
            ("", Home::Everywhere),
            ("permit(principal == Client::\"c\", action, resource)", Home::Everywhere),
        ] {
            assert_eq!(Home::of(text), home, "{text}");
        }
    }
}
