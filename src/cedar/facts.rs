//! Facts: a question, said in Cedar's terms.
//!
//! The facts are built by us and have the types of the schema by construction (a test holds the two together), so
//! nothing is validated again for each question.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, ParseErrors, Request, RestrictedExpression as Value,
};
use chrono::{DateTime, Datelike, FixedOffset, Timelike};
use serde_json::{Map, Value as Json, json};

use super::action::Action;
use super::attributes::Attributes;
use crate::ports::Location;

/// The acting client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// Its `client_id`.
    pub id: String,
    /// Its `client_name`.
    pub name: String,
    /// `autonomous`, `delegated` or `resource_server`.
    pub kind: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// URIs of the resources that it is registered for.
    pub resources: Vec<String>,
    /// `admin`, `metadata_document` or `dynamic`.
    pub registration: String,
    /// Whether an administrator vouches for what it says of itself.
    pub verified: bool,
}

/// What the action is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// One scope of a resource.
    Scope {
        /// The resource's URI.
        resource: String,
        /// The scope's name.
        name: String,
        /// The tool that the scope stands for.
        tool: Option<String>,
    },
    /// A connection, for [`Action::Lease`].
    Connection {
        /// Its name.
        name: String,
        /// Its kind.
        kind: String,
    },
}

/// The user on whose behalf the client acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The user's id.
    pub id: String,
    /// Roles.
    pub roles: Vec<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// What issuers say besides, as `name=value`.
    pub claims: Vec<String>,
}

/// Everything else that a policy may look at.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub struct Circumstance {
    /// Where the request came from.
    pub ip: Option<IpAddr>,
    /// The country and the autonomous system of that address.
    pub location: Location,
    /// Seconds since 1970.
    pub now: i64,
    /// How many seconds the tenant's time zone is ahead of UTC at that time; nothing if the zone is unknown.
    pub offset: Option<i32>,
    /// OAuth's `grant_type`.
    pub grant_type: Option<String>,
    /// How the client authenticated.
    pub auth_method: Option<String>,
    /// How the user authenticated.
    pub acr: Option<String>,
    /// Whether the token will be bound to a key.
    pub dpop: bool,
    /// All the scopes in question; for a lease, those of the agent's token.
    pub scopes: Vec<String>,
    /// The tool that the lease is for.
    pub tool: Option<String>,
    /// The resource server that asks for the lease.
    pub resource_server: Option<String>,
    /// The method of a call through the proxy.
    pub method: Option<String>,
    /// The host that the call goes to.
    pub host: Option<String>,
    /// The path of the call after the base URL, without its query.
    pub path: Option<String>,
    /// The acting clients' ids, newest first.
    pub chain: Vec<String>,
    /// The tags that all of them have, and with them the acting client.
    pub chain_tags: Vec<String>,
    /// The user, if there is one.
    pub subject: Option<Subject>,
    /// What the issuer of the assertion that it authenticated with says of the workload, as `name=value`.
    pub workload_claims: Vec<String>,
}

/// May this client do this, with each of these, now?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is asked for.
    pub action: Action,
    /// Who asks.
    pub principal: &'a Principal,
    /// With what; each target gets its own verdict.
    pub targets: &'a [Target],
    /// Everything else.
    pub circumstance: &'a Circumstance,
}

/// Why facts could not be stated. Its text stands in [`super::Verdict::errors`] in place of a policy's id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unstated {
    Zone,
    Time,
    Context,
    Entities,
    Policies,
}

impl fmt::Display for Unstated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unstated::Zone => "facts: the time zone is unknown",
            Unstated::Time => "facts: the time is out of range",
            Unstated::Context => "facts: the context cannot be built",
            Unstated::Entities => "facts: the entities cannot be built",
            Unstated::Policies => "facts: the policies cannot be put together",
        })
    }
}

/// The schema's type names, parsed once because parsing them costs more than a decision.
pub(super) struct Vocabulary {
    action: EntityTypeName,
    client: EntityTypeName,
    resource: EntityTypeName,
    scope: EntityTypeName,
    connection: EntityTypeName,
    user: EntityTypeName,
}

impl Vocabulary {
    pub(super) fn new() -> Result<Self, Box<ParseErrors>> {
        Ok(Self {
            action: "Action".parse()?,
            client: "Client".parse()?,
            resource: "Resource".parse()?,
            scope: "Scope".parse()?,
            connection: "Connection".parse()?,
            user: "User".parse()?,
        })
    }

    /// The Cedar request about one target.
    pub(super) fn request(
        &self,
        question: &Question<'_>,
        target: EntityUid,
        context: Context,
    ) -> Result<Request, Unstated> {
        let principal = uid(&self.client, &question.principal.id);
        let action = uid(&self.action, question.action.as_str());
        Request::new(principal, action, target, context, None).map_err(|_| Unstated::Context)
    }

    /// The entity that stands for the target.
    pub(super) fn target(&self, target: &Target) -> EntityUid {
        match target {
            Target::Scope { resource, name, .. } => uid(&self.scope, &format!("{resource} {name}")),
            Target::Connection { name, .. } => uid(&self.connection, name),
        }
    }

    /// The targets with their attributes.
    ///
    /// A `Resource` has no attributes and so needs no entity: its scopes name it as their parent.
    pub(super) fn targets(&self, targets: &[Target]) -> Result<Entities, Unstated> {
        let targets = targets.iter().map(|target| self.target_entity(target)).collect::<Result<Vec<_>, _>>()?;
        Entities::from_entities(targets, None).map_err(|_| Unstated::Entities)
    }

    /// The targets, and with them the client and the user, as far as they can be read.
    pub(super) fn people(
        &self,
        question: &Question<'_>,
        targets: Entities,
        read: Attributes,
    ) -> Result<Entities, Unstated> {
        let mut people = Vec::with_capacity(2);
        people.extend(self.principal_entity(question.principal, read)?);
        if let Some(subject) = question.circumstance.subject.as_ref().filter(|_| read.subject()) {
            let words = [("roles", &subject.roles), ("groups", &subject.groups), ("claims", &subject.claims)];
            let attributes = words.map(|(name, words)| (name, strings(words))).to_vec();
            people.push(entity(uid(&self.user, &subject.id), attributes, None)?);
        }
        if people.is_empty() {
            return Ok(targets);
        }
        targets.add_entities(people, None).map_err(|_| Unstated::Entities)
    }

    /// Nothing if none of its attributes can be read.
    fn principal_entity(&self, principal: &Principal, read: Attributes) -> Result<Option<Entity>, Unstated> {
        let facts: [(&str, &dyn Fn() -> Option<Value>); 7] = [
            ("name", &|| Some(string(&principal.name))),
            ("kind", &|| Some(string(&principal.kind))),
            ("tags", &|| Some(strings(&principal.tags))),
            ("resources", &|| Some(strings(&principal.resources))),
            ("owner", &|| principal.owner.as_deref().map(string)),
            ("registration", &|| Some(string(&principal.registration))),
            ("verified", &|| Some(Value::new_bool(principal.verified))),
        ];
        let readable = facts.into_iter().filter(|(name, _)| read.principal(name));
        let attributes: Vec<_> = readable.filter_map(|(name, value)| Some((name, value()?))).collect();
        if attributes.is_empty() {
            return Ok(None);
        }
        entity(uid(&self.client, &principal.id), attributes, None).map(Some)
    }

    fn target_entity(&self, target: &Target) -> Result<Entity, Unstated> {
        let id = self.target(target);
        match target {
            Target::Scope { resource, name, tool } => {
                let mut attributes = vec![("name", string(name))];
                attributes.extend(tool.as_deref().map(|tool| ("tool", string(tool))));
                entity(id, attributes, Some(uid(&self.resource, resource)))
            }
            Target::Connection { name, kind } => entity(id, vec![("name", string(name)), ("kind", string(kind))], None),
        }
    }

    /// The context, the same for every target of the question, as far as it can be read. `ip` makes its [`address()`].
    pub(super) fn context(
        &self,
        about: &Circumstance,
        ip: &dyn Fn(IpAddr) -> Value,
        read: Attributes,
    ) -> Result<Context, Unstated> {
        let zone = about.offset.and_then(FixedOffset::east_opt).ok_or(Unstated::Zone)?;
        let local = DateTime::from_timestamp(about.now, 0).ok_or(Unstated::Time)?.with_timezone(&zone).naive_local();
        let number = |number: u32| Some(Value::new_long(number.into()));
        let text = |text: &Option<String>| text.as_deref().map(string);
        let facts: [(&str, &dyn Fn() -> Option<Value>); 22] = [
            ("ip", &|| about.ip.map(ip)),
            ("country", &|| text(&about.location.country)),
            ("asn", &|| about.location.asn.and_then(number)),
            ("now", &|| Some(Value::new_long(about.now))),
            ("hour", &|| number(local.hour())),
            ("minute", &|| number(local.minute())),
            ("weekday", &|| number(local.weekday().number_from_monday())),
            ("date", &|| Some(Value::new_string(local.date().to_string()))),
            ("grant_type", &|| text(&about.grant_type)),
            ("auth_method", &|| text(&about.auth_method)),
            ("acr", &|| text(&about.acr)),
            ("dpop", &|| Some(Value::new_bool(about.dpop))),
            ("scopes", &|| Some(strings(&about.scopes))),
            ("tool", &|| text(&about.tool)),
            ("resource_server", &|| text(&about.resource_server)),
            ("method", &|| text(&about.method)),
            ("host", &|| text(&about.host)),
            ("path", &|| text(&about.path)),
            ("chain", &|| Some(strings(&about.chain))),
            ("chain_tags", &|| Some(strings(&about.chain_tags))),
            ("workload_claims", &|| Some(strings(&about.workload_claims))),
            ("subject", &|| about.subject.as_ref().map(|user| Value::new_entity_uid(uid(&self.user, &user.id)))),
        ];
        let readable = facts.into_iter().filter(|(name, _)| read.context(name));
        Context::from_pairs(readable.filter_map(|(name, value)| Some((name.to_owned(), value()?))))
            .map_err(|_| Unstated::Context)
    }
}

impl Circumstance {
    /// The same in JSON, by the names that policies have for its facts, as it is seen so many seconds ahead of UTC. The user has its own name
    /// under `""`.
    pub fn to_json(&self, offset: Option<i32>) -> Map<String, Json> {
        let zone = offset.and_then(FixedOffset::east_opt);
        let moment = DateTime::from_timestamp(self.now, 0);
        let local = zone.zip(moment).map(|(zone, moment)| moment.with_timezone(&zone).naive_local());
        let subject = self.subject.as_ref().map(|user| {
            let name = format!("User::{}", Json::from(user.id.as_str()));
            json!({"": name, "roles": user.roles, "groups": user.groups, "claims": user.claims})
        });
        let facts = json!({
            "ip": self.ip.map(|ip| ip.to_canonical().to_string()),
            "country": self.location.country,
            "asn": self.location.asn,
            "now": self.now,
            "hour": local.map(|local| local.hour()),
            "minute": local.map(|local| local.minute()),
            "weekday": local.map(|local| local.weekday().number_from_monday()),
            "date": local.map(|local| local.date().to_string()),
            "grant_type": self.grant_type,
            "auth_method": self.auth_method,
            "acr": self.acr,
            "dpop": self.dpop,
            "scopes": self.scopes,
            "tool": self.tool,
            "resource_server": self.resource_server,
            "method": self.method,
            "host": self.host,
            "path": self.path,
            "chain": self.chain,
            "chain_tags": self.chain_tags,
            "workload_claims": self.workload_claims,
            "subject": subject,
        });
        let Json::Object(mut facts) = facts else { return Map::new() };
        facts.retain(|_, value| !value.is_null());
        facts
    }
}

/// The minute of the day, `offset` seconds ahead of UTC.
pub(super) fn minute_of_day(now: i64, offset: i32) -> Option<u32> {
    let local = now.checked_add(offset.into())?.rem_euclid(86_400);
    u32::try_from(local.div_euclid(60)).ok()
}

/// An address in Cedar's terms: canonical, or `::ffff:10.0.0.1` would slip past a rule about 10.0.0.0/8 (and Cedar refuses
/// that spelling).
pub(super) fn address(ip: IpAddr) -> Value {
    Value::new_ip(ip.to_canonical().to_string())
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn entity(id: EntityUid, attributes: Vec<(&str, Value)>, parent: Option<EntityUid>) -> Result<Entity, Unstated> {
    let attributes: HashMap<String, Value> =
        attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let parents: HashSet<EntityUid> = parent.into_iter().collect();
    Entity::new(id, attributes, parents).map_err(|_| Unstated::Entities)
}

fn string(value: &str) -> Value {
    Value::new_string(value.to_owned())
}

fn strings(values: &[String]) -> Value {
    Value::new_set(values.iter().map(|value| string(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cedar::SCHEMA;
    use crate::ports::Place;
    use cedar_policy::{EvalResult, Schema};
    use jiff::{Timestamp, tz::TimeZone};

    fn principal() -> Principal {
        Principal {
            id: "c1".into(),
            name: "inventory".into(),
            kind: "autonomous".into(),
            owner: Some("ada@example.com".into()),
            tags: vec!["production".into()],
            resources: vec!["https://mcp.example/a".into()],
            registration: "admin".into(),
            verified: true,
        }
    }

    impl Circumstance {
        /// The moment and its offset, and nothing else that a fact could be made of.
        pub(in crate::cedar) fn bare(now: i64, zone: &str) -> Self {
            let offset = |moment| TimeZone::get(zone).unwrap().to_offset(moment).seconds();
            Self {
                ip: None,
                location: Location::default(),
                now,
                offset: Timestamp::from_second(now).ok().map(offset),
                grant_type: None,
                auth_method: None,
                acr: None,
                dpop: false,
                scopes: vec![],
                tool: None,
                resource_server: None,
                method: None,
                host: None,
                path: None,
                chain: vec![],
                chain_tags: vec![],
                subject: None,
                workload_claims: vec![],
            }
        }
    }

    fn everything() -> Circumstance {
        Circumstance {
            ip: Some("2001:db8::1".parse().unwrap()),
            location: Location::new(|| Place { country: Some("DE".into()), asn: Some(u32::MAX) }),
            grant_type: Some("client_credentials".into()),
            auth_method: Some("client_secret_basic".into()),
            acr: Some("urn:mfa".into()),
            dpop: true,
            scopes: vec!["read".into(), "write".into()],
            tool: Some("query".into()),
            resource_server: Some("c9".into()),
            method: Some("GET".into()),
            host: Some("api.example".into()),
            path: Some("/repos".into()),
            chain: vec!["c1".into(), "c2".into()],
            chain_tags: vec!["verified".into()],
            subject: Some(Subject {
                id: "u1".into(),
                roles: vec!["admin".into()],
                groups: vec![],
                claims: vec!["team=a".into()],
            }),
            workload_claims: vec!["repository=octo/app".into()],
            ..Circumstance::bare(1_774_746_000, "Europe/Berlin")
        }
    }

    fn targets(action: Action) -> Vec<Target> {
        let scope = |name: &str, tool: Option<&str>| Target::Scope {
            resource: "https://mcp.example/a".into(),
            name: name.into(),
            tool: tool.map(str::to_owned),
        };
        match action {
            Action::Lease => {
                vec![Target::Connection { name: "bigquery".into(), kind: "google_service_account".into() }]
            }
            _ => vec![scope("read", Some("query")), scope("write", None)],
        }
    }

    fn local(now: i64, zone: &str) -> (i64, i64, i64, String) {
        let words = Vocabulary::new().unwrap();
        let context = words.context(&Circumstance::bare(now, zone), &address, Attributes::ALL).unwrap();
        let long = |key: &str| match context.get(key) {
            Some(EvalResult::Long(value)) => value,
            other => panic!("{key}: {other:?}"),
        };
        let date = match context.get("date") {
            Some(EvalResult::String(date)) => date,
            other => panic!("{other:?}"),
        };
        (long("hour"), long("minute"), long("weekday"), date)
    }

    #[test]
    fn facts_conform_to_the_schema_whether_all_or_nothing_is_known() {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).unwrap();
        let words = Vocabulary::new().unwrap();
        let nobody = Principal { owner: None, tags: vec![], resources: vec![], ..principal() };
        for action in Action::ALL {
            for (principal, about) in [(principal(), everything()), (nobody.clone(), Circumstance::bare(0, "UTC"))] {
                let targets = targets(action);
                let question = Question { action, principal: &principal, targets: &targets, circumstance: &about };
                let context = words.context(&about, &address, Attributes::ALL).unwrap();
                let entities = words.people(&question, words.targets(&targets).unwrap(), Attributes::ALL).unwrap();
                assert_eq!(entities.len(), 1 + targets.len() + usize::from(about.subject.is_some()));
                Entities::from_entities(entities.iter().cloned(), Some(&schema)).unwrap();
                for target in &targets {
                    let request = words.request(&question, words.target(target), context.clone()).unwrap();
                    let (principal, action) = (request.principal().unwrap().clone(), request.action().unwrap().clone());
                    let resource = request.resource().unwrap().clone();
                    assert!(entities.get(&principal).is_some() && entities.get(&resource).is_some());
                    Request::new(principal, action, resource, context.clone(), Some(&schema)).unwrap();
                }
            }
        }
    }

    #[test]
    fn the_conformance_check_can_fail() {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).unwrap();
        let words = Vocabulary::new().unwrap();
        let (principal, about) = (principal(), everything());
        let connection = targets(Action::Lease);
        let question =
            Question { action: Action::Issue, principal: &principal, targets: &connection, circumstance: &about };
        let request = words.request(&question, words.target(&connection[0]), Context::empty()).unwrap();
        let (client, issue) = (request.principal().unwrap().clone(), request.action().unwrap().clone());
        let resource = request.resource().unwrap().clone();
        assert!(Request::new(client, issue, resource, Context::empty(), Some(&schema)).is_err());
    }

    #[test]
    fn local_time_follows_daylight_saving() {
        // 2026-03-29 01:00 UTC: Berlin goes from 02:00 to 03:00. 2026-10-25 01:00 UTC: from 03:00 back to 02:00.
        let (spring, autumn) = (1_774_746_000, 1_792_890_000);
        let day = |text: &str| text.to_owned();
        assert_eq!(local(spring - 1, "Europe/Berlin"), (1, 59, 7, day("2026-03-29")));
        assert_eq!(local(spring, "Europe/Berlin"), (3, 0, 7, day("2026-03-29")));
        assert_eq!(local(autumn - 1, "Europe/Berlin"), (2, 59, 7, day("2026-10-25")));
        assert_eq!(local(autumn, "Europe/Berlin"), (2, 0, 7, day("2026-10-25")));
        assert_eq!(local(spring, "UTC"), (1, 0, 7, day("2026-03-29")));
        assert_eq!(local(0, "Asia/Kolkata"), (5, 30, 4, day("1970-01-01")));
        assert_eq!(local(-1, "UTC"), (23, 59, 3, day("1969-12-31")));
        // Beyond the last change in the table its rule goes on.
        assert_eq!(local(2_540_448_000, "Europe/Berlin"), (10, 0, 7, day("2050-07-03")));
    }

    #[test]
    fn a_time_out_of_range_is_no_fact_and_none_in_an_unknown_zone() {
        let words = Vocabulary::new().unwrap();
        let stated = |now, offset| {
            words.context(&Circumstance { offset, ..Circumstance::bare(now, "UTC") }, &address, Attributes::default())
        };
        for now in [i64::MIN, i64::MAX] {
            assert_eq!(stated(now, Some(0)).unwrap_err(), Unstated::Time);
        }
        for unknown in [None, Some(i32::MAX), Some(24 * 3600)] {
            assert_eq!(stated(0, unknown).unwrap_err(), Unstated::Zone);
        }
        assert!(stated(0, Some(14 * 3600)).is_ok());
    }

    #[test]
    fn one_target_told_in_two_ways_is_no_fact() {
        let words = Vocabulary::new().unwrap();
        let scope = |tool: Option<&str>| Target::Scope {
            resource: "r".into(),
            name: "s".into(),
            tool: tool.map(str::to_owned),
        };
        assert_eq!(words.targets(&[scope(None), scope(Some("t"))]).unwrap_err(), Unstated::Entities);
        assert!(words.targets(&[scope(None), scope(None)]).is_ok());
    }
}
