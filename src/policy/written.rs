//! A question to policy as it is written down: by an administrator who asks why, and in the tests of a policy.
//!
//! In scope: reading one, and what it says in Cedar's terms. Out of scope: looking up what it leaves out, and asking it.
//!
//! 1. An unknown member and one of another shape are refused by name, and no refusal repeats a value. All faults are told at once.
//! 2. What a question says of its client, its user and its target holds; what it leaves out is as the caller has found it.

use crate::cedar::{Action, Circumstance, Principal, Subject, Target};
use crate::context::Peer;
use crate::oauth::TOKEN_EXCHANGE;
use crate::policy::obligations::Means;
use crate::ports::{Location, Now, Place};
use chrono::DateTime;
use serde_json::{Map, Value};
use std::net::IpAddr;

/// How many bytes a text may have.
pub const MAX_TEXT: usize = 2_048;
/// How many items a list may have.
pub const MAX_ITEMS: usize = 100;
/// How many scopes a question may be about.
pub const MAX_SCOPES: usize = 64;
/// How much of the name of an unknown member is repeated.
const MAX_NAME: usize = 40;
/// The latest moment, in seconds: in the year 5138.
const LAST_SECOND: i64 = 99_999_999_999;

/// What a member may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Texts,
    Boolean,
    Number,
    /// Seconds since the epoch, or as RFC 3339 writes it.
    Moment,
    Address,
    /// One of the actions.
    Deed,
}

use Shape::{Address, Boolean, Deed, Moment, Number, Text, Texts};

/// The members of a question, each in one place.
const MEMBERS: &[(&str, Shape)] = &[
    ("client_id", Text),
    ("client_name", Text),
    ("kind", Text),
    ("owner", Text),
    ("tags", Texts),
    ("allowed_resources", Texts),
    ("registration", Text),
    ("verified", Boolean),
    ("user", Text),
    ("roles", Texts),
    ("groups", Texts),
    ("claims", Texts),
    ("action", Deed),
    ("resource", Text),
    ("scopes", Texts),
    ("connection", Text),
    ("connection_kind", Text),
    ("tool", Text),
    ("resource_server", Text),
    ("method", Text),
    ("host", Text),
    ("path", Text),
    ("ip", Address),
    ("country", Text),
    ("asn", Number),
    ("at", Moment),
    ("grant_type", Text),
    ("auth_method", Text),
    ("acr", Text),
    ("dpop", Boolean),
    ("auth_time", Moment),
    ("authorization_details", Texts),
    ("chain", Texts),
    ("chain_tags", Texts),
    ("workload_claims", Texts),
];

/// A question as it is written down. Its members are known and have their shape.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenQuestion(Map<String, Value>);

/// The names of the members of a question.
pub fn names() -> impl Iterator<Item = &'static str> {
    MEMBERS.iter().map(|(name, _)| *name)
}

impl WrittenQuestion {
    /// Reads a question; or all that is wrong with it.
    pub fn read(members: &Map<String, Value>) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        for (name, value) in members {
            match MEMBERS.iter().find(|(known, _)| known == name) {
                None => faults.push(unknown(name)),
                Some((name, shape)) => {
                    faults.extend(shape.fault(value).map(|must| format!("`{name}` must be {must}")));
                }
            }
        }
        let question = Self(members.clone());
        if faults.is_empty() {
            faults.extend(question.contradictions().map(str::to_owned));
        }
        if faults.is_empty() { Ok(question) } else { Err(faults) }
    }

    /// What does not go together.
    fn contradictions(&self) -> impl Iterator<Item = &'static str> {
        let has = |name: &str| self.0.contains_key(name);
        let is_lease = self.action() == Action::Lease;
        let of_user = has("roles") || has("groups") || has("claims");
        let of_call = ["connection_kind", "resource_server", "method", "host", "path"].into_iter().any(has);
        [
            (
                has("resource") == has("connection"),
                "a question is about the `scopes` of a `resource`, or about a `connection`",
            ),
            (has("connection") != is_lease, "`connection` goes with the action `lease`, and with no other"),
            (self.texts("scopes").len() > MAX_SCOPES, "`scopes` may have 64 items at most"),
            (has("grant_type") && is_lease, "`grant_type` goes with no `connection`"),
            (of_user && !has("user"), "`roles`, `groups` and `claims` are of a `user`: name one"),
            (
                of_call && !is_lease,
                "`connection_kind`, `resource_server`, `method`, `host` and `path` go with a `connection`",
            ),
        ]
        .into_iter()
        .filter_map(|(is_so, why)| is_so.then_some(why))
    }

    /// The acting client.
    pub fn client(&self) -> Option<&str> {
        self.text("client_id")
    }

    /// The user.
    pub fn user(&self) -> Option<&str> {
        self.text("user")
    }

    /// The resource whose scopes it is about.
    pub fn resource(&self) -> Option<&str> {
        self.text("resource")
    }

    /// The scopes that it is about; at a lease, those of the agent's token.
    pub fn scopes(&self) -> Vec<String> {
        self.texts("scopes")
    }

    /// The connection that it is about.
    pub fn connection(&self) -> Option<&str> {
        self.text("connection")
    }

    /// The action: where it is not named, that of a request with these members.
    pub fn action(&self) -> Action {
        let named = self.text("action").and_then(Action::parse);
        let is_exchange = self.text("grant_type") == Some(TOKEN_EXCHANGE) || !self.texts("chain").is_empty();
        match (named, self.connection()) {
            (Some(action), _) => action,
            (None, Some(_)) => Action::Lease,
            (None, None) if is_exchange => Action::Exchange,
            (None, None) => Action::Issue,
        }
    }

    /// The moment.
    pub fn at(&self) -> Option<Now> {
        self.0.get("at").and_then(moment).map(|at| Now::from_millis(at.unsigned_abs().saturating_mul(1_000)))
    }

    /// From where it is asked.
    pub fn peer(&self) -> Peer {
        let (country, asn) = (self.text("country").map(str::to_owned), self.number("asn"));
        let location = match (&country, asn) {
            (None, None) => Location::default(),
            _ => Location::new(move || Place { country, asn }),
        };
        Peer { ip: self.text("ip").and_then(|ip| ip.parse().ok()), location }
    }

    /// The `grant_type`: where it is not named, that of a request with these members.
    pub fn grant_type(&self) -> Option<&str> {
        let usual = match (self.action(), self.user()) {
            (Action::Lease | Action::Register, _) => None,
            (Action::Exchange | Action::Impersonate, _) => Some(TOKEN_EXCHANGE),
            (Action::Issue, None) => Some("client_credentials"),
            (Action::Issue | Action::Consent, _) => Some("authorization_code"),
        };
        self.text("grant_type").or(usual)
    }

    /// The actors.
    pub fn chain(&self) -> Vec<String> {
        self.texts("chain")
    }

    /// What the request brings of what permits require. `found` says whether the token is bound where the question does not.
    pub fn means(&self, found: bool) -> Means {
        let details = self.texts("authorization_details");
        Means {
            auth_time: self.0.get("auth_time").and_then(moment),
            acr: self.text("acr").map(str::to_owned),
            is_bound: self.boolean("dpop").unwrap_or(found),
            details,
        }
    }

    /// The client: as it was found, but for what the question says.
    pub fn principal(&self, found: Principal) -> Principal {
        let text = |name: &str, found: String| self.text(name).map_or(found, str::to_owned);
        Principal {
            id: text("client_id", found.id),
            name: text("client_name", found.name),
            kind: text("kind", found.kind),
            owner: self.text("owner").map(str::to_owned).or(found.owner),
            tags: self.texts_or("tags", found.tags),
            resources: self.texts_or("allowed_resources", found.resources),
            registration: text("registration", found.registration),
            verified: self.boolean("verified").unwrap_or(found.verified),
        }
    }

    /// The targets. `tool_of` knows the tools of scopes, and `kind` is that of the connection; what the question says holds.
    pub fn targets(&self, tool_of: &dyn Fn(&str) -> Option<String>, kind: &str) -> Vec<Target> {
        if let Some(name) = self.connection() {
            let kind = self.text("connection_kind").unwrap_or(kind).to_owned();
            return vec![Target::Connection { name: name.to_owned(), kind }];
        }
        let resource = self.resource().unwrap_or_default();
        let tool = |scope: &str| self.text("tool").map(str::to_owned).or_else(|| tool_of(scope));
        let target = |name: String| Target::Scope { resource: resource.to_owned(), tool: tool(&name), name };
        self.scopes().into_iter().map(target).collect()
    }

    /// The circumstances: as they were found, but for what the question says. When and from where it is asked, `found` knows.
    pub fn circumstance(&self, found: Circumstance) -> Circumstance {
        let action = self.action();
        if action == Action::Register {
            // A client that registers has shown nothing yet.
            let Circumstance { ip, location, now, offset, .. } = found;
            return Circumstance { ip, location, now, offset, ..Circumstance::default() };
        }
        let text = |name: &str, found: Option<String>| self.text(name).map(str::to_owned).or(found);
        let subject = match (found.subject, self.user()) {
            (Some(found), _) => Some(found),
            (None, user) => user.map(|id| Subject { id: id.to_owned(), roles: vec![], groups: vec![], claims: vec![] }),
        };
        let is_lease = action == Action::Lease;
        let resource_server = text("resource_server", found.resource_server);
        // The request of a resource server is bound to no key, whatever the agent's token is.
        let is_bound = self.boolean("dpop").unwrap_or(found.dpop) && !(is_lease && resource_server.is_some());
        Circumstance {
            grant_type: self.grant_type().map(str::to_owned),
            auth_method: text("auth_method", found.auth_method),
            acr: text("acr", found.acr),
            dpop: is_bound,
            scopes: self.texts_or("scopes", found.scopes),
            tool: text("tool", found.tool).filter(|_| is_lease),
            resource_server,
            method: text("method", found.method),
            host: text("host", found.host),
            path: text("path", found.path),
            chain: self.texts_or("chain", found.chain),
            chain_tags: self.texts_or("chain_tags", found.chain_tags),
            subject: subject.map(|found| Subject {
                id: found.id,
                roles: self.texts_or("roles", found.roles),
                groups: self.texts_or("groups", found.groups),
                claims: self.texts_or("claims", found.claims),
            }),
            workload_claims: self.texts_or("workload_claims", found.workload_claims),
            ip: found.ip,
            location: found.location,
            now: found.now,
            offset: found.offset,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    fn texts(&self, name: &str) -> Vec<String> {
        self.texts_or(name, Vec::new())
    }

    fn texts_or(&self, name: &str, found: Vec<String>) -> Vec<String> {
        let said = self.0.get(name).and_then(Value::as_array);
        said.map_or(found, |items| items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    fn boolean(&self, name: &str) -> Option<bool> {
        self.0.get(name)?.as_bool()
    }

    fn number(&self, name: &str) -> Option<u32> {
        u32::try_from(self.0.get(name)?.as_u64()?).ok()
    }
}

impl Shape {
    /// What a value must be, if it is something else.
    fn fault(self, value: &Value) -> Option<&'static str> {
        let is_text = |value: &Value| value.as_str().is_some_and(|text| (1..=MAX_TEXT).contains(&text.len()));
        let (fits, must) = match self {
            Text => (is_text(value), "text of 1 to 2048 bytes"),
            Texts => {
                let fits = value.as_array().is_some_and(|all| all.len() <= MAX_ITEMS && all.iter().all(is_text));
                (fits, "a list of 100 texts at most, of 1 to 2048 bytes each")
            }
            Boolean => (value.is_boolean(), "true or false"),
            Number => (value.as_u64().is_some_and(|number| u32::try_from(number).is_ok()), "a whole number of 32 bits"),
            Moment => (moment(value).is_some(), "seconds since the epoch, or as in 2026-07-01T02:00:00Z"),
            Address => {
                let fits = value.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok());
                (fits, "an IP address")
            }
            Deed => {
                let fits = value.as_str().is_some_and(|text| Action::parse(text).is_some());
                (fits, "one of: issue, exchange, impersonate, lease, consent, register")
            }
        };
        (!fits).then_some(must)
    }
}

fn moment(value: &Value) -> Option<i64> {
    let seconds = match value.as_str() {
        Some(text) => DateTime::parse_from_rfc3339(text).ok()?.timestamp(),
        None => value.as_i64()?,
    };
    (0..=LAST_SECOND).contains(&seconds).then_some(seconds)
}

fn unknown(name: &str) -> String {
    let short: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    let known: Vec<&str> = MEMBERS.iter().map(|(name, _)| *name).collect();
    format!("`{short}` is no member of a question; known are: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(question: &Value) -> Result<WrittenQuestion, Vec<String>> {
        WrittenQuestion::read(question.as_object().unwrap())
    }

    fn found() -> Principal {
        Principal {
            id: "client_a".into(),
            name: "A".into(),
            kind: "autonomous".into(),
            owner: Some("ada".into()),
            tags: vec!["t".into()],
            ..Principal::default()
        }
    }

    #[test]
    fn what_a_question_says_holds_and_the_rest_is_as_it_was_found() {
        let question = read(&json!({
            "client_id": "client_a", "tags": ["production"], "user": "user_u", "groups": ["finance"],
            "resource": "https://mcp.example/mcp", "scopes": ["read", "write"], "ip": "10.0.0.1", "country": "DE",
            "at": "2026-01-15T12:00:00Z", "dpop": true, "chain": ["client_b"],
        }))
        .unwrap();
        assert_eq!(question.action(), Action::Exchange, "there is a chain");
        assert_eq!(question.at(), Some(Now::from_millis(1_768_478_400_000)));
        assert_eq!(question.peer().ip, "10.0.0.1".parse().ok());
        let principal = question.principal(found());
        assert_eq!((principal.tags, principal.owner), (vec!["production".to_owned()], Some("ada".to_owned())));
        let tools = |scope: &str| (scope == "read").then(|| "query".to_owned());
        let scope = |name: &str, tool: Option<&str>| Target::Scope {
            resource: "https://mcp.example/mcp".into(),
            name: name.into(),
            tool: tool.map(str::to_owned),
        };
        assert_eq!(question.targets(&tools, ""), [scope("read", Some("query")), scope("write", None)]);
        let roles = vec!["admin".to_owned()];
        let subject = Subject { id: "user_u".into(), roles: roles.clone(), groups: vec!["old".into()], claims: vec![] };
        let about = question.circumstance(Circumstance { subject: Some(subject), now: 7, ..Circumstance::default() });
        let subject = about.subject.unwrap();
        assert_eq!((subject.roles, subject.groups), (roles, vec!["finance".to_owned()]));
        assert_eq!((about.now, about.dpop, about.scopes.len(), about.chain.len()), (7, true, 2, 1));
    }

    #[test]
    fn a_connection_is_leased_and_its_scopes_are_those_of_the_token() {
        let question = read(&json!({
            "connection": "warehouse", "connection_kind": "api_key", "scopes": ["read"], "tool": "query", "method": "GET",
        }))
        .unwrap();
        assert_eq!(question.action(), Action::Lease);
        assert_eq!(
            question.targets(&|_| None, "other"),
            [Target::Connection { name: "warehouse".into(), kind: "api_key".into() }]
        );
        let about = question.circumstance(Circumstance::default());
        assert_eq!((about.scopes, about.tool.as_deref()), (vec!["read".to_owned()], Some("query")));
    }

    #[test]
    fn all_that_is_wrong_with_a_question_is_told_at_once_and_without_what_was_sent() {
        let faults = read(&json!({
            "colour": "canary", "resource": "", "scopes": ["a", 1], "dpop": "canary", "asn": -1, "at": "canary",
            "ip": "canary", "action": "canary", "tags": vec!["t"; 101],
        }))
        .unwrap_err();
        assert_eq!(faults.len(), 9, "{faults:?}");
        assert!(faults.iter().all(|fault| !fault.contains("canary")), "{faults:?}");
        for (question, word) in [
            (json!({}), "is about"),
            (json!({"resource": "r", "connection": "c"}), "is about"),
            (json!({"connection": "c", "action": "issue"}), "`lease`"),
            (json!({"resource": "r", "action": "lease"}), "`lease`"),
            (json!({"resource": "r", "roles": ["a"]}), "`user`"),
            (json!({"resource": "r", "method": "GET"}), "`connection`"),
            (json!({"resource": "r", "scopes": vec!["s"; 65]}), "64"),
            (json!({"connection": "c", "grant_type": "client_credentials"}), "`grant_type`"),
        ] {
            let faults = read(&question).unwrap_err();
            assert!(faults.iter().any(|fault| fault.contains(word)), "{question}: {faults:?}");
        }
    }
}
