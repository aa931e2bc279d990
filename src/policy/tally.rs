//! Counts of verdicts that would be others, by client and by what is asked for, with examples: bounded, however much is counted.

use super::question::word;
use crate::model::Event;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many groups and how many examples an answer has at the most.
const MAX_GROUPS: usize = 200;
const MAX_EXAMPLES: usize = 20;

/// Verdicts that are counted together.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    client: String,
    action: String,
    /// The resource of a scope.
    resource: Option<String>,
    /// The scope or the connection.
    name: String,
    was: char,
    would: char,
}

struct Count {
    client_name: Option<String>,
    count: u64,
    already: u64,
    first: u64,
    last: u64,
}

/// One verdict that would be another.
pub(super) struct Other<'a> {
    /// The event of the decision.
    pub(super) event: &'a Event,
    /// The action.
    pub(super) action: &'a str,
    /// The scope or the connection.
    pub(super) name: &'a str,
    /// What was decided.
    pub(super) was: char,
    /// What would be.
    pub(super) would: char,
    /// Whether the policies in force say so already.
    pub(super) already: bool,
    /// The policies that would determine it.
    pub(super) policies: &'a [String],
}

/// What is counted.
#[derive(Default)]
pub(super) struct Tally {
    groups: BTreeMap<Group, Count>,
    totals: BTreeMap<char, u64>,
    period: Option<(u64, u64)>,
    more: u64,
    examples: Vec<Value>,
}

impl Tally {
    /// Counts one.
    pub(super) fn add(&mut self, other: &Other<'_>) {
        let Other { event, action, name, was, would, already, policies } = *other;
        let facts = &event.facts;
        let is_lease = facts.connection.as_deref() == Some(name) && action == "lease";
        let resource = facts.resource.clone().filter(|_| !is_lease);
        let client = event.client.clone().unwrap_or_default();
        if self.examples.len() < MAX_EXAMPLES {
            let mut example = json!({
                "decision": event.id,
                "at": seconds(event.at),
                "client": client,
                "was": word(was),
                "would": word(would),
                "policies": policies,
            });
            if let Some(members) = example.as_object_mut() {
                members.extend(target(resource.as_deref(), name));
                members.extend(facts.subject.iter().map(|subject| ("subject".to_owned(), subject.as_str().into())));
            }
            self.examples.push(example);
        }
        let total = self.totals.entry(would).or_default();
        *total = total.saturating_add(1);
        let (first, last) = self.period.unwrap_or((event.at, event.at));
        self.period = Some((first.min(event.at), last.max(event.at)));
        let group = Group { client, action: action.to_owned(), resource, name: name.to_owned(), was, would };
        if !self.groups.contains_key(&group) && self.groups.len() >= MAX_GROUPS {
            self.more = self.more.saturating_add(1);
            return;
        }
        let (client_name, at) = (facts.client_name.clone(), event.at);
        let new = Count { client_name, count: 0, already: 0, first: at, last: at };
        let count = self.groups.entry(group).or_insert(new);
        count.count = count.count.saturating_add(1);
        count.already = count.already.saturating_add(u64::from(already));
        count.first = count.first.min(at);
        count.last = count.last.max(at);
    }

    /// How many verdicts would be this.
    pub(super) fn would(&self, letter: char) -> u64 {
        self.totals.get(&letter).copied().unwrap_or_default()
    }

    /// When the first and the last of them were, in seconds.
    pub(super) fn period(&self) -> Option<(u64, u64)> {
        self.period.map(|(first, last)| (seconds(first), seconds(last)))
    }

    /// The members of an answer.
    pub(super) fn members(self) -> [(String, Value); 3] {
        let groups = self.groups.into_iter().map(|(group, count)| {
            let Group { client, action, resource, name, was, would } = group;
            let mut shown = json!({
                "client": client,
                "client_name": count.client_name,
                "action": action,
                "was": word(was),
                "would": word(would),
                "count": count.count,
                "already": count.already,
                "first_at": seconds(count.first),
                "last_at": seconds(count.last),
            });
            if let Some(members) = shown.as_object_mut() {
                members.extend(target(resource.as_deref(), &name));
                members.retain(|_, value| !value.is_null());
            }
            shown
        });
        let groups: Value = groups.collect::<Vec<_>>().into();
        [("groups", groups), ("more", self.more.into()), ("examples", self.examples.into())]
            .map(|(name, value)| (name.to_owned(), value))
    }
}

/// The members that name a scope or a connection.
fn target(resource: Option<&str>, name: &str) -> Vec<(String, Value)> {
    let named = match resource {
        Some(resource) => vec![("resource", resource), ("scope", name)],
        None => vec![("connection", name)],
    };
    named.into_iter().map(|(member, value)| (member.to_owned(), value.into())).collect()
}

fn seconds(millis: u64) -> u64 {
    millis.checked_div(1_000).unwrap_or_default()
}
