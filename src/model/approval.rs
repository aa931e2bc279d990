//! Approvals: what a person is asked, where it stands, and who decides.
//!
//! 1. What is approved is a text, the statement: JSON in one form, with sorted members. Its SHA-256 stands for it.
//! 2. A statement is narrowed by leaving out scope or authorization details, and in no other way.
//! 3. Who decides is said by `@require("approval")` and what may follow it (see [`super::requirement`]).
//! 4. The user for whom an agent acts decides where the subject is asked, and does not count as a member of a role or a group.

use super::User;
use super::requirement::{APPROVAL, Requirement, Rule};
use crate::crypto::sha256;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How many characters a note to the agent has at most.
pub const MAX_NOTE: usize = 500;

/// Which endpoint or decision an approval was asked for at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A policy requires it, for a token, a lease or a call.
    Policy,
    /// A client asks for it at `approvals`.
    Request,
    /// A client asks a user by the backchannel (OpenID CIBA Core).
    Backchannel,
    /// A resource wants a person's word for one operation (draft-rosomakho-oauth-txn-challenge).
    Transaction,
}

impl Door {
    /// Every door.
    pub const ALL: [Self; 4] = [Self::Policy, Self::Request, Self::Backchannel, Self::Transaction];

    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Request => "request",
            Self::Backchannel => "backchannel",
            Self::Transaction => "transaction",
        }
    }
}

/// Where an approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalStatus {
    /// It waits for those who decide.
    Pending,
    /// It was approved, perhaps narrower than it was asked for.
    Approved,
    /// It was used, once.
    Redeemed,
    /// It was denied.
    Denied,
    /// It was taken back, with all that came of it.
    Revoked,
}

impl ApprovalStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Approved, Self::Redeemed, Self::Denied, Self::Revoked];

    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Redeemed => "redeemed",
            Self::Denied => "denied",
            Self::Revoked => "revoked",
        }
    }
}

/// An approval.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// Its id.
    pub id: String,
    /// The digest of what is asked: requests that ask the same are one.
    pub key: String,
    /// The client that is to do it.
    pub client: String,
    /// The client that asks: the same, or a resource server.
    pub requester: String,
    /// For whom it is done: a user, or the client itself.
    pub subject: String,
    /// Where it was asked for.
    pub door: Door,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// What was asked, as a text.
    pub statement: String,
    /// The rest.
    pub body: ApprovalBody,
    /// Counts changes to this row.
    pub version: i64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Until when it is decided, and once it is approved, redeemed; in seconds since the epoch.
    pub expires_at: i64,
}

/// What decisions about an approval rest on, and what came of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApprovalBody {
    /// Each of them has to be met.
    pub rules: Vec<Rule>,
    /// Who has decided so far.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
    /// What is approved, where that is narrower than the statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub narrowed: Option<String>,
    /// What the agent is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whom to tell of the decision, sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
}

/// The word of one who decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The user, or the client of the administrator.
    pub by: String,
    /// When, in seconds since the epoch.
    pub at: i64,
    /// Whether it is a yes.
    pub approves: bool,
    /// When that user has signed in, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// How that user has signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The SHA-256 of the statement, as it was approved by this one.
    pub hash: String,
    /// The assertion of a passkey whose challenge is that digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passkey: Option<Value>,
}

impl Approval {
    /// What may be done if it is approved: what was asked, or what is left of it.
    pub fn granted(&self) -> &str {
        self.body.narrowed.as_deref().unwrap_or(&self.statement)
    }

    /// A list of the statement as it may be done.
    pub fn texts(&self, name: &str) -> Vec<String> {
        texts(self.granted(), name)
    }

    /// Where it is to be done: the resource that was named, else that of the token with which it was asked.
    pub fn resource(&self) -> Option<String> {
        resource(self.granted())
    }

    /// Whether those were asked whom a requirement asks, where the client has that owner.
    pub fn was_asked(&self, require: &str, owner: Option<&str>) -> bool {
        let rule = Requirement::parse(require).map(|requirement| requirement.rule(&self.subject, owner));
        rule.is_some_and(|rule| self.body.rules.iter().any(|asked| asked.covers(&rule)))
    }

    /// The name of where it stands, for people and programs: silence is told as well.
    pub fn standing(&self, now: i64) -> &'static str {
        let is_open = matches!(self.status, ApprovalStatus::Pending | ApprovalStatus::Approved);
        if is_open && self.expires_at <= now { "expired" } else { self.status.as_str() }
    }

    /// Whether it waits for a decision.
    pub fn is_pending(&self, now: i64) -> bool {
        self.status == ApprovalStatus::Pending && now < self.expires_at
    }

    /// Whether those who have decided are enough.
    pub fn is_met(&self, voters: &[Voter<'_>]) -> bool {
        let counts = |rule: &Rule| voters.iter().filter(|voter| voter.counts(rule, &self.subject)).count();
        self.body.rules.iter().all(|rule| u32::try_from(counts(rule)).is_ok_and(|count| count >= rule.n))
    }

    /// Whether a user is one of those who decide.
    pub fn is_asked(&self, user: &User) -> bool {
        let voter = Voter { user: &user.id, keys: &keys(user), has_signed: true };
        self.body.rules.iter().any(|rule| voter.counts(rule, &self.subject))
    }

    /// Whether any of those who decide has to sign with a passkey.
    pub fn needs_passkey(&self) -> bool {
        self.body.rules.iter().any(|rule| rule.passkey)
    }

    /// The word of its subject, where that user has decided.
    pub fn word_of_subject(&self) -> Option<&Vote> {
        self.body.votes.iter().rev().find(|vote| vote.by == self.subject)
    }

    /// The digest by which every token that came of it can be stopped: it is in their lineage.
    pub fn digest(&self) -> String {
        digest(&self.id)
    }
}

/// Someone who has approved, or would.
pub struct Voter<'a> {
    /// The user.
    pub user: &'a str,
    /// Under which names the user is asked.
    pub keys: &'a [String],
    /// Whether a passkey has signed.
    pub has_signed: bool,
}

impl Voter<'_> {
    fn counts(&self, rule: &Rule, subject: &str) -> bool {
        let named = |key: &String| key == self.user || self.user != subject;
        let is_asked = self.keys.iter().filter(|key| named(key)).any(|key| rule.who.contains(key));
        is_asked && (self.has_signed || !rule.passkey)
    }
}

/// The digest of an approval of that id.
pub fn digest(id: &str) -> String {
    sha256([APPROVAL, "\0", id].concat()).to_text()
}

/// The number that a message and the page show, so that a person sees that they are of one request.
pub fn number(id: &str) -> String {
    let digest = sha256(["number\0", id].concat());
    let first = digest.bytes().first().copied().unwrap_or_default();
    format!("{:02}", first % 100)
}

/// The names under which a user is asked: the id, the roles and the groups.
pub fn keys(user: &User) -> Vec<String> {
    let roles = user.body.roles.iter().map(|role| ["role:", role].concat());
    let groups = user.body.groups.iter().map(|group| ["group:", group].concat());
    std::iter::once(user.id.clone()).chain(roles).chain(groups).collect()
}

/// What a person leaves of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// The scope; absent: all of it.
    pub scope: Option<Vec<String>>,
    /// The authorization details; absent: all of them.
    pub authorization_details: Option<Vec<Value>>,
}

/// The statement with that left of it; nothing where it would be wider, or nothing were left.
pub fn narrowed(statement: &str, narrowing: &Narrowing) -> Option<String> {
    let mut members: Map<String, Value> = serde_json::from_str(statement).ok()?;
    let scope = narrowing.scope.as_ref().map(|scope| scope.iter().map(|one| Value::from(one.as_str())).collect());
    let details = narrowing.authorization_details.clone();
    let mut had_any = false;
    let mut has_any = false;
    for (name, left) in [("scope", scope), ("authorization_details", details)] {
        let Some(Value::Array(asked)) = members.get(name) else {
            if left.is_some_and(|left: Vec<Value>| !left.is_empty()) {
                return None;
            }
            continue;
        };
        had_any |= !asked.is_empty();
        let left = left.unwrap_or_else(|| asked.clone());
        if !left.iter().all(|one| asked.contains(one)) {
            return None;
        }
        // In the order in which they were asked for, each once.
        let kept: Vec<Value> = asked.iter().filter(|one| left.contains(one)).cloned().collect();
        has_any |= !kept.is_empty();
        members.insert(name.to_owned(), kept.into());
    }
    (has_any || !had_any).then(|| canonical(&Value::Object(members)))
}

/// A member of a statement; null where it has none.
pub fn member(statement: &str, name: &str) -> Value {
    let members: Option<Map<String, Value>> = serde_json::from_str(statement).ok();
    members.and_then(|mut members| members.remove(name)).unwrap_or_default()
}

/// A list of a statement.
pub fn texts(statement: &str, name: &str) -> Vec<String> {
    let all = member(statement, name);
    let texts = all.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// The resource of a statement: that which was named, else that of the token with which it was asked.
pub fn resource(statement: &str) -> Option<String> {
    let text = |name: &str| member(statement, name).as_str().map(str::to_owned);
    text("resource").or_else(|| text("audience"))
}

/// JSON in one form: members sorted, nothing between tokens. The text itself is kept and shown, so that nobody has to write it again to check it.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(all) => {
            text.push('[');
            for (n, one) in all.iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                write(one, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let names: BTreeSet<&String> = members.keys().collect();
            text.push('{');
            for (n, name) in names.into_iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(members.get(name).unwrap_or(&Value::Null), text);
            }
            text.push('}');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Status, UserBody};
    use serde_json::json;

    fn user(id: &str, roles: &[&str], groups: &[&str]) -> User {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        User {
            id: id.to_owned(),
            body: UserBody { roles: all(roles), groups: all(groups), ..UserBody::default() },
            status: Status::Active,
            revoked_before: 0,
            version: 1,
            created_at: 0,
            updated_at: 0,
        }
    }

    fn approval(subject: &str, require: &[&str]) -> Approval {
        let rule = |text: &&str| Requirement::parse(text).unwrap().rule(subject, Some("user_owner"));
        Approval {
            id: "a".to_owned(),
            key: String::new(),
            client: "client_a".to_owned(),
            requester: "client_a".to_owned(),
            subject: subject.to_owned(),
            door: Door::Policy,
            status: ApprovalStatus::Pending,
            statement: String::new(),
            body: ApprovalBody { rules: require.iter().map(rule).collect(), ..ApprovalBody::default() },
            version: 1,
            created_at: 0,
            expires_at: 1,
        }
    }

    #[test]
    fn the_user_for_whom_an_agent_acts_does_not_count_as_a_member_of_a_role() {
        let (ada, bob) = (user("user_ada", &["finance"], &[]), user("user_bob", &["finance"], &[]));
        let asked = approval("user_ada", &["approval:role=finance"]);
        assert!(!asked.is_asked(&ada) && asked.is_asked(&bob));
        assert!(approval("user_ada", &["approval"]).is_asked(&ada));
    }

    #[test]
    fn each_rule_needs_as_many_as_it_says_and_a_passkey_where_it_says_so() {
        let asked = approval("client_a", &["approval:role=finance,n=2", "approval:owner,passkey"]);
        let (one, two) = (user("user_1", &["finance"], &[]), user("user_2", &["finance"], &[]));
        let owner = user("user_owner", &[], &[]);
        let (first, second, third) = (keys(&one), keys(&two), keys(&owner));
        let voter = |user: &'static str, keys, has_signed| Voter { user, keys, has_signed };
        assert!(!asked.is_met(&[voter("user_1", &first, false), voter("user_owner", &third, true)]));
        assert!(!asked.is_met(&[
            voter("user_1", &first, false),
            voter("user_2", &second, false),
            voter("user_owner", &third, false)
        ]));
        assert!(asked.is_met(&[
            voter("user_1", &first, false),
            voter("user_2", &second, false),
            voter("user_owner", &third, true)
        ]));
    }

    #[test]
    fn a_statement_is_narrowed_and_never_widened() {
        let pay = json!({"type": "payment", "amount": "5"});
        let statement = canonical(&json!({"scope": ["a", "b"], "authorization_details": [pay], "client": "c"}));
        let narrow = |scope: Option<&[&str]>, details: Option<Vec<Value>>| {
            let scope = scope.map(|scope| scope.iter().map(|one| (*one).to_owned()).collect());
            narrowed(&statement, &Narrowing { scope, authorization_details: details })
        };
        assert_eq!(narrow(None, None).unwrap(), statement);
        let less = narrow(Some(&["b"]), Some(vec![])).unwrap();
        assert_eq!(less, r#"{"authorization_details":[],"client":"c","scope":["b"]}"#);
        assert_eq!(narrow(Some(&["c"]), None), None);
        assert_eq!(narrow(Some(&["a", "c"]), None), None);
        assert_eq!(narrow(None, Some(vec![json!({"type": "payment", "amount": "500"})])), None);
        assert_eq!(narrow(Some(&[]), Some(vec![])), None, "nothing is left");
        assert_eq!(narrowed("{}", &Narrowing { scope: Some(vec!["a".into()]), ..Narrowing::default() }), None);
    }

    #[test]
    fn a_canonical_text_does_not_depend_on_the_order_of_members() {
        let one: Value = serde_json::from_str(r#"{"b":[{"y":1,"x":"é\n"}],"a":null}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a":null,"b":[{"x":"\u00e9\n","y":1}]}"#).unwrap();
        assert_eq!(canonical(&one), r#"{"a":null,"b":[{"x":"é\n","y":1}]}"#);
        assert_eq!(canonical(&one), canonical(&other));
    }
}
