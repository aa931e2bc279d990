//! Tenants: the walls.

use super::event_type::EventType;
use super::{Quiet, RegistrationRules, requirement};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A tenant, as the pointer that every request reads: `epoch` numbers the changes that caches must notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name in the path.
    pub id: String,
    /// For people.
    pub name: String,
    /// IANA time zone in which policies see hours and weekdays.
    pub zone: String,
    /// Whether it answers.
    pub status: TenantStatus,
    /// The sequence number of its last change that caches must notice.
    pub epoch: i64,
    /// Content hash of the policies in force; empty while there are none.
    pub policy_hash: String,
    /// Counts changes to its policies.
    pub policy_version: i64,
    /// Its own bounds.
    pub settings: Settings,
    /// Tokens issued up to this second are not honoured.
    pub revoked_before: i64,
    /// Counts changes to this row.
    pub version: i64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub updated_at: i64,
}

/// For how many days events are kept, unless the tenant says otherwise.
pub const RETENTION_DAYS: u16 = 400;
/// For how many days a tenant may have them kept.
pub const MAX_RETENTION_DAYS: u16 = 3_650;

/// The highest quota of what is counted, and of tokens in a minute.
pub const MAX_COUNT: i64 = 100_000;
/// As [`MAX_COUNT`], of tokens.
pub const MAX_TOKENS_PER_MINUTE: i64 = 10_000_000;

/// What a quota counts when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Clients, whatever their status.
    Clients,
    /// Connections, whatever their status.
    Connections,
    /// Policies, whatever their mode.
    Policies,
}

impl Counted {
    /// The name of the quota.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Connections => "connections",
            Self::Policies => "policies",
        }
    }
}

/// How much a tenant may have; what is absent is not bounded. Administrators of the first tenant alone set it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<u32>,
    /// Connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<u32>,
    /// Tokens in a minute, but for those for the admin API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u32>,
}

impl Quotas {
    /// The quota of what is counted.
    pub const fn of(&self, counted: Counted) -> Option<u32> {
        match counted {
            Counted::Clients => self.clients,
            Counted::Connections => self.connections,
            Counted::Policies => self.policies,
        }
    }
}

/// The bounds of a tenant, which it sets itself but for the quotas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How many actors a token may name, 1 to 10 (RFC 8693 §4.1).
    pub max_actors: u8,
    /// Whether every DPoP proof at the token endpoint needs a nonce of ours (RFC 9449 §8).
    pub dpop_nonce: bool,
    /// For how many days events are kept, 1 to 3650.
    pub event_retention_days: u16,
    /// For how many days events of a type are kept that are kept longer, by type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub event_retention_by_type: BTreeMap<String, u16>,
    /// Whether no event goes, however old it is: a legal hold.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub event_hold: bool,
    /// Whether a logout that an identity provider tells of ends the refresh tokens of the person too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub logout_ends_grants: bool,
    /// After how many days a scope that people have allowed and that was not used falls away, 1 to 3650; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent_unused_days: Option<u16>,
    /// How much it may have; nothing while there is no quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quotas: Option<Quotas>,
    /// Whether the Descope-compatible routes answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub descope: bool,
    /// Which clients may come that no administrator registered.
    #[serde(skip_serializing_if = "is_default")]
    pub registration: RegistrationRules,
    /// When, whom and how often clients ask for approvals.
    #[serde(skip_serializing_if = "is_default")]
    pub approvals: ApprovalRules,
    /// Who cosigns the checkpoints of its log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log_witnesses: Vec<LogWitness>,
}

/// How many witnesses a log has at most.
pub const MAX_WITNESSES: usize = 4;

/// A witness of a tenant's log (C2SP tlog-witness).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogWitness {
    /// The submission prefix: checkpoints are posted to `add-checkpoint` below it.
    pub url: String,
    /// Its verifier key, which has its name.
    pub key: String,
}

fn is_default<T: Default + PartialEq>(rules: &T) -> bool {
    *rules == T::default()
}

/// How many approvals a client asks for in a day, for one subject, where a tenant says nothing else.
pub const APPROVALS_A_DAY: u32 = 100;
/// The most that a tenant may say.
pub const MAX_APPROVALS_A_DAY: i64 = 1_000;
/// How many roles and groups a tenant may let clients ask.
pub const MAX_DECIDERS: usize = 20;

/// When, whom and how often clients ask for approvals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalRules {
    /// Hours in which nobody is asked, as `@quiet` has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet: Option<String>,
    /// The IANA time zone of these hours; absent: the tenant's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The roles and groups that clients may name at `approvals` without a policy, as `role=NAME` and `group=NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deciders: Vec<String>,
    /// How many approvals a client asks for in a day, for one subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
}

impl ApprovalRules {
    fn problems(&self) -> Vec<String> {
        let quiet = self.quiet.as_deref().is_some_and(|text| Quiet::parse(text).is_none());
        let deciders = !self.deciders.iter().all(|one| requirement::decider(one).is_some());
        let problems = [
            (quiet, "`settings.approvals.quiet` must be hours such as `22:00-06:00`"),
            (deciders, "`settings.approvals.deciders` must be `role=NAME` or `group=NAME` each"),
        ];
        problems.into_iter().filter(|(wrong, _)| *wrong).map(|(_, problem)| problem.to_owned()).collect()
    }
}

impl Settings {
    /// Everything that is wrong with it beyond its shape; each problem names the member.
    pub fn problems(&self) -> Vec<String> {
        let actors = !(1..=10).contains(&self.max_actors);
        let days = !(1..=MAX_RETENTION_DAYS).contains(&self.event_retention_days);
        let is_kept = |(kind, days): (&String, &u16)| {
            let known = EventType::ALL.iter().any(|known| known.as_str() == kind);
            known && (self.event_retention_days..=MAX_RETENTION_DAYS).contains(days)
        };
        let by_type = !self.event_retention_by_type.iter().all(is_kept);
        let unused = self.consent_unused_days.is_some_and(|days| !(1..=MAX_RETENTION_DAYS).contains(&days));
        let problems = [
            (unused, "`settings.consent_unused_days` must be 1 to 3650"),
            (
                by_type,
                "`settings.event_retention_by_type` must name types of events with days from `event_retention_days` to 3650",
            ),
            (actors, "`settings.max_actors` must be 1 to 10"),
            (days, "`settings.event_retention_days` must be 1 to 3650"),
        ];
        let problems = problems.into_iter().filter(|(wrong, _)| *wrong).map(|(_, problem)| problem.to_owned());
        problems.chain(self.registration.problems()).chain(self.approvals.problems()).collect()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_actors: 5,
            dpop_nonce: false,
            event_retention_days: RETENTION_DAYS,
            event_retention_by_type: BTreeMap::new(),
            event_hold: false,
            consent_unused_days: None,
            quotas: None,
            descope: false,
            registration: RegistrationRules::default(),
            approvals: ApprovalRules::default(),
            logout_ends_grants: false,
            log_witnesses: Vec::new(),
        }
    }
}

/// The tenant whose administrators make tenants.
pub const FIRST_TENANT: &str = "main";

/// What an administrator says about a tenant. What is absent stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantBody {
    /// For people.
    pub name: String,
    /// IANA time zone in which policies see hours and weekdays.
    #[serde(default = "utc")]
    pub zone: String,
    /// Whether it answers.
    #[serde(default)]
    pub status: Option<TenantStatus>,
    /// Its own bounds. What is absent in them takes its default.
    #[serde(default)]
    pub settings: Option<Settings>,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl TenantBody {
    /// What was said about a tenant.
    pub fn of(tenant: &Tenant) -> Self {
        let Tenant { name, zone, status, settings, .. } = tenant.clone();
        Self { name, zone, status: Some(status), settings: Some(settings) }
    }
}

/// Whether a tenant answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantStatus {
    /// It does.
    Active,
    /// It refuses everything.
    Suspended,
}

impl TenantStatus {
    /// The name in the table and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

/// The issuer identifier of a tenant: never with a trailing slash, byte-identical everywhere.
pub fn issuer(origin: &str, tenant: &str) -> String {
    format!("{origin}/t/{tenant}")
}
