//! Audit events. No secret and no token ever enters one.

use super::event_type::EventType;
use serde::{Deserialize, Serialize};

/// One audit record. Absent members are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// ULID; the consumer drops what it has seen. For a decision of policy it is the `decision` that refusals name.
    pub id: String,
    /// The tenant.
    pub tenant: String,
    /// Milliseconds since the epoch.
    pub at: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The request.
    pub request_id: String,
    /// The acting client: an agent, or the administrator's client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub facts: Facts,
    /// Whether some of its members were erased since. It is no member itself: the trail knows it.
    #[serde(skip)]
    pub is_erased: bool,
}

/// Why a scope that was asked for is not in the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// The resource has no such scope.
    NotRegistered,
    /// It is beyond the client's registered scope, or beyond that of what the token is made from.
    Ceiling,
    /// No policy permits it.
    NoPermit,
    /// Policies forbid it.
    Forbidden,
    /// Policies could not be evaluated.
    Error,
    /// A permit requires what was not given.
    Requirement,
    /// A permit was used as often as it may be.
    Limit,
    /// A permit does not hold at this hour.
    Quiet,
}

impl Because {
    /// Every cause there is.
    pub const ALL: [Self; 8] = [
        Self::NotRegistered,
        Self::Ceiling,
        Self::NoPermit,
        Self::Forbidden,
        Self::Error,
        Self::Requirement,
        Self::Limit,
        Self::Quiet,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRegistered => "not_registered",
            Self::Ceiling => "ceiling",
            Self::NoPermit => "no_permit",
            Self::Forbidden => "forbidden",
            Self::Error => "error",
            Self::Requirement => "requirement",
            Self::Limit => "limit",
            Self::Quiet => "quiet",
        }
    }
}

/// A scope that was asked for and not given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedScope {
    /// Its name, or the beginning of it.
    pub scope: String,
    /// The cause.
    pub because: Because,
    /// The policies that determined it, or the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
}

/// The most refused scopes in an event, the most policies with each, and the most bytes of a name.
const MAX_REFUSED: usize = 20;
const MAX_POLICIES: usize = 8;
const MAX_NAME: usize = 128;

/// The question that policy was asked, as far as the rest of the event does not tell it: with it, the decision can be explained and replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuestionRecord {
    /// The action that was asked about.
    pub action: String,
    /// The scopes in question; at a lease, those of the agent's token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scopes: String,
    /// What policy said of each of them, or of the connection: `a` for allowed, `d` for denied, `r` for a requirement that was open.
    pub verdicts: String,
    /// How the client authenticated, where that is not what `auth_method` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<String>,
    /// The country of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The autonomous system of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// How the user authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// When the user authenticated, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// Whether the token was to be bound to a key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dpop: bool,
    /// Whether the agent's token was bound to a key, at a use of a connection.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bound: bool,
    /// The tags that the chain shared, where they are not those of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain_tags: Option<Vec<String>>,
    /// What the issuer of a workload said of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workload_claims: Vec<String>,
    /// Each shadow policy that would have changed something: its id, a space, and an `x` for each verdict that it would have changed, in
    /// the order of `verdicts`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<String>,
}

/// The method of authentication in the event of a refusal whose sender has proved nothing: the client is the one that the request names, and anybody may have sent it.
pub const UNPROVED: &str = "unproved";

/// What an event tells besides who and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// What the acting client was called then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// Whom the token is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What they were called then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_name: Option<String>,
    /// Who acts, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// What they were called then, in the same order; an id stands for one that was not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain_names: Vec<String>,
    /// The grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_type: Option<String>,
    /// How the client authenticated; [`UNPROVED`] where nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<String>,
    /// The resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What it was called then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// The scope asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_asked: Option<String>,
    /// The scope given; of a call of a tool, what it used of the token's, as the resource server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_given: Option<String>,
    /// The authorization details (RFC 9396) as JSON: given with a token, asked for in a refusal, those of the agent's token at a use of a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_details: Option<String>,
    /// Scopes that were asked for and not given, each with its cause.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scope_refused: Vec<RefusedScope>,
    /// How many more of them there were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_refused_more: Option<u32>,
    /// The connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What came of the call of a tool, as the resource server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// SHA-256 over the arguments of that call, as the resource server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments_sha256: Option<String>,
    /// The resource server that leased, or that reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_server: Option<String>,
    /// What it was called then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_server_name: Option<String>,
    /// The method of a call to a service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The host of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path of the call after the base URL, without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The status that the service answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How many bytes of a body went to the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_sent: Option<u64>,
    /// How many bytes of a body came from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_received: Option<u64>,
    /// How long the call took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub millis: Option<u64>,
    /// The caller's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The id of the decision, when policy decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The policies that determined it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Policies that could not be evaluated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_errors: Vec<String>,
    /// Shadow policies that would have changed the result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadow_policies: Vec<String>,
    /// Content hash of the policies in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<String>,
    /// The token's `jti`, as its SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti_hash: Option<String>,
    /// When what was given expires, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// More about the reason, or the record that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The record that changed: an id or a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What it was called then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_name: Option<String>,
    /// The question that policy was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<QuestionRecord>,
    /// The approval that it rests on, or waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
}

impl Facts {
    /// Notes a scope that was asked for and is not given. Beyond a bound it is only counted.
    pub fn refuse_scope(&mut self, scope: &str, because: Because, policies: &[String]) {
        if self.scope_refused.len() >= MAX_REFUSED {
            self.scope_refused_more = Some(self.scope_refused_more.unwrap_or(0).saturating_add(1));
            return;
        }
        let scope = scope.get(..scope.floor_char_boundary(MAX_NAME)).unwrap_or_default().to_owned();
        let policies = policies.iter().take(MAX_POLICIES).cloned().collect();
        self.scope_refused.push(RefusedScope { scope, because, policies });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_stored_and_shown_as_the_same_word() {
        for because in Because::ALL {
            assert_eq!(serde_json::to_value(because).unwrap(), because.as_str());
        }
    }

    #[test]
    fn however_many_scopes_are_refused_the_event_stays_small_and_says_that_it_was_cut() {
        let mut facts = Facts::default();
        let policies: Vec<String> = (0..100).map(|n| format!("{n:0>64}")).collect();
        for n in 0..1_000 {
            facts.refuse_scope(&format!("{n:ü>3000}"), Because::Forbidden, &policies);
        }
        assert_eq!((facts.scope_refused.len(), facts.scope_refused_more), (20, Some(980)));
        assert!(serde_json::to_string(&facts).unwrap().len() < 16 * 1024);
        let whole: Facts = serde_json::from_str(&serde_json::to_string(&facts).unwrap()).unwrap();
        assert_eq!(whole, facts);
    }
}
