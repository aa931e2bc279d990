//! Who has to approve: what `@require("approval")` says, and what may follow it.
//!
//! 1. However it is written, the same requirement is the same [`Rule`].

use super::id;
use serde::{Deserialize, Serialize};

/// What a policy requires that a person gives.
pub const APPROVAL: &str = "approval";
/// The most deciders that a requirement names, and the most who have to approve.
const MAX_NAMED: usize = 10;
const MAX_VOTES: u32 = 9;

/// So many of these have to approve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    /// The ids of users, `role:` and `group:` with a name: sorted, each once.
    pub who: Vec<String>,
    /// How many of them.
    pub n: u32,
    /// Whether each signs with a passkey.
    #[serde(default)]
    pub passkey: bool,
}

impl Rule {
    /// Whether those who meet this rule meet the other one: the same are asked, as many of them or more, and they sign where the other wants it.
    pub fn covers(&self, other: &Self) -> bool {
        self.who == other.who && self.n >= other.n && self.passkey >= other.passkey
    }
}

/// What follows `approval:` in `@require`, with commas between: `subject`, `owner`, `role=…`, `group=…`, how many (`n=2`), and `passkey`.
/// Without any who, the subject is asked if that is a user, else the owner of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    asks_subject: bool,
    asks_owner: bool,
    named: Vec<String>,
    n: Option<u32>,
    passkey: bool,
}

impl Requirement {
    /// Whether a text requires an approval, well or badly written.
    pub fn is_one(text: &str) -> bool {
        text == APPROVAL || text.strip_prefix(APPROVAL).is_some_and(|rest| rest.starts_with(':'))
    }

    /// Reads a requirement.
    pub fn parse(text: &str) -> Option<Self> {
        let mut all = Self::default();
        if text == APPROVAL {
            return Some(all);
        }
        for part in text.strip_prefix(APPROVAL)?.strip_prefix(':')?.split(',') {
            match part.trim().split_once('=') {
                None if part.trim() == "subject" => all.asks_subject = true,
                None if part.trim() == "owner" => all.asks_owner = true,
                None if part.trim() == "passkey" => all.passkey = true,
                Some((kind @ ("role" | "group"), name)) if !name.trim().is_empty() => {
                    all.named.push([kind, ":", name.trim()].concat());
                }
                Some(("n", n)) => all.n = Some(n.trim().parse().ok().filter(|n| (1..=MAX_VOTES).contains(n))?),
                _ => return None,
            }
        }
        (all.named.len() <= MAX_NAMED).then_some(all)
    }

    /// Whom it names by role or group, as in a [`Rule`].
    pub fn named(&self) -> &[String] {
        &self.named
    }

    /// The rule for a client with that owner that acts for that subject. An owner is the id of a user, or the name of a group. Where nobody is
    /// named, administrators alone decide.
    pub fn rule(&self, subject: &str, owner: Option<&str>) -> Rule {
        let subject = id::is_user(subject).then(|| subject.to_owned());
        let owner = owner.map(|owner| if id::is_user(owner) { owner.to_owned() } else { ["group:", owner].concat() });
        let names_nobody = !self.asks_subject && !self.asks_owner && self.named.is_empty();
        let mut who = self.named.clone();
        who.extend(subject.clone().filter(|_| self.asks_subject || names_nobody));
        who.extend(owner.filter(|_| self.asks_owner || names_nobody && subject.is_none()));
        who.sort_unstable();
        who.dedup();
        Rule { who, n: self.n.unwrap_or(1), passkey: self.passkey }
    }
}

/// The name under which those are asked whom `role=NAME` or `group=NAME` means.
pub fn decider(text: &str) -> Option<String> {
    match Requirement::parse(&[APPROVAL, ":", text].concat())?.named.as_slice() {
        [one] if !text.contains(',') => Some(one.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_says_who_decides_how_many_and_whether_they_sign() {
        for bad in [
            "approvals",
            "approval:",
            "approval:anybody",
            "approval:role=",
            "approval:n=0",
            "approval:n=10",
            "approval:owner,,",
        ] {
            assert_eq!(Requirement::parse(bad), None, "{bad}");
        }
        let rule = |text: &str, subject: &str, owner| Requirement::parse(text).unwrap().rule(subject, owner);
        assert_eq!(rule("approval", "user_a", Some("user_o")).who, ["user_a"]);
        assert_eq!(rule("approval", "client_a", Some("user_o")).who, ["user_o"]);
        assert_eq!(rule("approval", "client_a", Some("platform")).who, ["group:platform"]);
        assert_eq!(rule("approval", "client_a", None).who, Vec::<String>::new());
        let both = rule("approval:role=finance, owner, n=2, passkey", "user_a", Some("user_o"));
        assert_eq!(both, Rule { who: vec!["role:finance".into(), "user_o".into()], n: 2, passkey: true });
        let other = rule("approval:passkey,n=2,owner,role=finance,role=finance", "user_a", Some("user_o"));
        assert_eq!(other, both, "in other words");
    }

    #[test]
    fn a_rule_covers_one_that_asks_the_same_for_no_more() {
        let rule = |text: &str| Requirement::parse(text).unwrap().rule("client_a", Some("team"));
        let asked = rule("approval:role=a,n=2,passkey");
        for less in
            ["approval:role=a", "approval:role=a,n=2", "approval:role=a,n=1,passkey", "approval:n=2,passkey,role=a"]
        {
            assert!(asked.covers(&rule(less)), "{less}");
        }
        for other in
            ["approval:role=a,n=3", "approval:role=b", "approval:role=a,role=b", "approval", "approval:group=a"]
        {
            assert!(!asked.covers(&rule(other)), "{other}");
        }
        assert!(!rule("approval:role=a,n=3").covers(&asked), "without a passkey");
    }
}
