//! What a set of changes would have changed: recorded decisions of a period, decided again.
//!
//! 1. Nothing is written, and nothing is recorded as a decision.
//! 2. One call reads a bounded number of events, the oldest first, puts a bounded number of questions to the policies, and says where the next one goes on; the caller adds the counts up. So a
//!    replay can be interrupted and gone on with.
//! 3. Each decision is compared three ways: what it was, what the policies in force say of it now, and what they would say with the changes.
//!    What they say now already is told apart from what the changes do.
//! 4. Questions are those of the events ([`question`]); equal ones are asked once in a call. Two questions are equal if no
//!    policy that has a say can tell them apart.

use super::answer;
use super::question::{self, Known, Question, decided, letter, names};
use super::tally::{Other, Tally};
use crate::audit;
use crate::cedar::{Action, Attributes, Bundle, Complaint, Engine, Mode, Shard, Source, Target};
use crate::context::Cx;
use crate::error::{Fault, Reason, Result};
use crate::model::{Event, id};
use crate::policy;
use crate::store::{self, decisions::Kept};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The most changes at a time.
pub const MAX_CHANGES: usize = 20;
/// How many events one call reads, if it does not say, and at the most.
pub const READ: i64 = 500;
/// See [`READ`].
pub const MAX_READ: i64 = 5_000;
/// How many of them at a time.
const PAGE: i64 = 250;
/// After how many targets that were put to policies a call ends: questions that are equal are put once.
const MAX_ASKED: usize = 4_000;

/// One change: a policy that is put, removed, or given another mode.
#[derive(Deserialize)]
pub struct Change {
    /// The policy.
    pub id: String,
    /// Its text; absent: as it is.
    #[serde(default)]
    pub cedar: Option<String>,
    /// Its mode; absent: as it is, or `enforce`.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Whether it is removed.
    #[serde(default)]
    pub delete: bool,
}

/// Which decisions are decided again.
pub struct Period<'a> {
    /// From this id on.
    pub from: &'a str,
    /// Before this id.
    pub before: &'a str,
    /// Of this client alone.
    pub client: Option<&'a str>,
    /// About this action alone.
    pub action: Option<&'a str>,
    /// How many events are read at the most.
    pub limit: i64,
}

/// What the changes make of the policies in force.
struct Trial {
    /// Those that are changed or removed.
    ids: Vec<String>,
    engine: Rc<Engine>,
    /// Those that are changed, as they would be.
    changed: Rc<Shard>,
    /// Shards without them, by their names.
    altered: BTreeMap<String, Rc<Shard>>,
}

impl Trial {
    /// Passes if each change says one thing of a policy that can be.
    async fn new(cx: &Cx<'_>, changes: &[Change]) -> Result<Self> {
        let (mut ids, mut sources) = (Vec::new(), Vec::new());
        for Change { id, cedar, mode, delete } in changes {
            if ids.contains(id) {
                return Err(Reason::InvalidField.because("`changes` has a policy twice"));
            }
            let present = cx.one(store::policies::get(&cx.tenant.id, id)).await?.map(|policy| policy.source);
            ids.push(id.clone());
            match (cedar, mode, delete, present) {
                (None, None, true, Some(_)) => {}
                (None, Some(mode), false, Some(present)) => sources.push(Source { mode: *mode, ..present }),
                (Some(cedar), mode, false, present) => {
                    policy::check(cx, id, cedar).map_err(|complaints| invalid(id, &complaints))?;
                    let mode = mode.or(present.map(|present| present.mode)).unwrap_or(Mode::Enforce);
                    sources.push(Source { id: id.clone(), cedar: cedar.clone(), mode });
                }
                (None, Some(_), false, None) | (None, None, true, None) => {
                    return Err(Reason::InvalidField.because("`changes` names a policy that is not there"));
                }
                _ => {
                    let each = "each of `changes` has `cedar` with or without `mode`, or `mode`, or `delete`";
                    return Err(Reason::InvalidField.because(each));
                }
            }
        }
        let engine = Engine::new().map_err(|_| Fault::Broken("the schema's names do not parse"))?;
        let changed = Rc::new(Shard::read("changed", &sources));
        Ok(Self { ids, engine: Rc::new(engine), changed, altered: BTreeMap::new() })
    }

    /// The shards as they would be.
    fn apply(&mut self, shards: &[Rc<Shard>]) -> Bundle {
        let ids: Vec<&str> = self.ids.iter().map(String::as_str).collect();
        let mut all = Vec::with_capacity(shards.len().saturating_add(1));
        for shard in shards {
            let known = self.altered.entry(shard.name().to_owned()).or_insert_with(|| {
                shard.without(&[shard.name(), "-"].concat(), &ids).map_or_else(|| Rc::clone(shard), Rc::new)
            });
            all.push(Rc::clone(known));
        }
        all.push(Rc::clone(&self.changed));
        Bundle::of(Rc::clone(&self.engine), all)
    }
}

fn invalid(id: &str, complaints: &[Complaint]) -> crate::error::Error {
    let lines: Vec<String> = complaints.iter().map(|one| [id, ": ", &one.line()].concat()).collect();
    Reason::InvalidPolicy.because(lines.join("\n"))
}

/// The policies about a client and a resource or connection, as they are and as they would be.
struct Sides {
    now: Bundle,
    would: Bundle,
    /// What any of them can read.
    reads: Attributes,
    /// Whether a permit of them is quiet at some hours.
    is_quiet: bool,
}

/// What is said of a question now, and what would be said.
struct Outcome {
    now: Vec<char>,
    would: Vec<char>,
    policies: Vec<Vec<String>>,
}

/// Decides again what was decided in a period; answers as well where the next call goes on.
pub async fn replay(cx: &Cx<'_>, changes: &[Change], period: &Period<'_>) -> Result<(Value, Option<String>)> {
    let mut run = Run {
        cx,
        trial: Trial::new(cx, changes).await?,
        known: Known::default(),
        sides: BTreeMap::new(),
        outcomes: BTreeMap::new(),
        asked: 0,
        tally: Tally::default(),
        skipped: BTreeMap::new(),
    };
    let (mut from, mut read, mut decisions, mut changed) = (period.from.to_owned(), 0_i64, 0_u64, 0_u64);
    let next = 'pages: loop {
        let wanted = PAGE.min(period.limit.saturating_sub(read));
        let page = audit::query::between(cx, (&from, period.before), period.client, wanted).await?;
        run.load(&page.iter().filter_map(|kept| decision(kept, period)).collect::<Vec<_>>()).await?;
        for kept in &page {
            if run.asked >= MAX_ASKED {
                break 'pages Some(from);
            }
            read = read.saturating_add(1);
            if let Some(event) = decision(kept, period) {
                decisions = decisions.saturating_add(1);
                changed = changed.saturating_add(u64::from(run.one(event).await?));
            }
            // The next id in order: what follows this one.
            from = [&kept.id, "!"].concat();
        }
        if i64::try_from(page.len()).is_ok_and(|count| count < wanted) {
            break None;
        }
        if read >= period.limit {
            break Some(from);
        }
    };
    let mut answer = json!({
        "policy_version": cx.tenant.policy_hash,
        "read": read,
        "decisions": decisions,
        "changed": changed,
        "would_allow": run.tally.would('a'),
        "would_deny": run.tally.would('d'),
        "would_require": run.tally.would('r'),
        "skipped": run.skipped.into_iter().map(|(why, count)| json!({"why": why, "count": count})).collect::<Vec<_>>(),
    });
    if let Some(members) = answer.as_object_mut() {
        members.extend(run.tally.members());
    }
    Ok((answer, next))
}

/// The event of a decision that is decided again. A call through the proxy has a second event, which tells of the same decision.
fn decision<'e>(kept: &'e Kept, period: &Period<'_>) -> Option<&'e Event> {
    let event = kept.event.as_ref().filter(|event| event.facts.decision.as_ref() == Some(&event.id))?;
    // What it was about nobody can tell where that was erased: it is skipped, and said to be.
    let may_be = |action| is_about(event, action) || event.is_erased && event.facts.question.is_none();
    period.action.is_none_or(may_be).then_some(event)
}

fn is_about(event: &Event, action: &str) -> bool {
    event.facts.question.as_ref().is_some_and(|question| question.action == action)
}

struct Run<'a> {
    cx: &'a Cx<'a>,
    trial: Trial,
    known: Known,
    sides: BTreeMap<String, Rc<Sides>>,
    outcomes: BTreeMap<String, Rc<Outcome>>,
    /// How many targets were put to policies.
    asked: usize,
    tally: Tally,
    skipped: BTreeMap<question::Unasked, u64>,
}

impl Run<'_> {
    /// Loads the clients and users of some events together.
    async fn load(&mut self, events: &[&Event]) -> Result<()> {
        let clients: BTreeSet<&String> = events.iter().filter_map(|event| event.client.as_ref()).collect();
        let users = events.iter().filter_map(|event| event.facts.subject.as_ref());
        let users: BTreeSet<&String> = users.filter(|subject| id::is_user(subject)).collect();
        let clients: Vec<String> = clients.into_iter().filter(|id| !self.known.has_client(id)).cloned().collect();
        let users: Vec<String> = users.into_iter().filter(|id| !self.known.has_user(id)).cloned().collect();
        if clients.is_empty() && users.is_empty() {
            return Ok(());
        }
        let json = |ids: &[String]| Value::from(ids.to_vec()).to_string();
        let tenant = &self.cx.tenant.id;
        let (found, people) = self
            .cx
            .batch((store::clients::some(tenant, json(&clients)), store::users::some(tenant, json(&users))))
            .await?;
        self.known.note([&clients, &users], found, people);
        Ok(())
    }

    /// Decides one of them again; whether anything would be otherwise than it was.
    async fn one(&mut self, event: &Event) -> Result<bool> {
        let outcome = match self.outcome(event).await? {
            Ok(outcome) => outcome,
            Err(why) => {
                let count = self.skipped.entry(why).or_default();
                *count = count.saturating_add(1);
                return Ok(false);
            }
        };
        let facts = &event.facts;
        let Some(kept) = &facts.question else { return Ok(false) };
        let mut changed = false;
        let verdicts = outcome.now.iter().zip(&outcome.would).zip(&outcome.policies);
        let recorded = names(kept, facts).into_iter().zip(decided(kept, facts));
        for ((name, (said, was)), ((now, would), policies)) in recorded.zip(verdicts) {
            // What was required then and given had been met, and would be met as well where it is required again.
            if [said, was].contains(would) {
                continue;
            }
            changed = true;
            let (action, already) = (kept.action.as_str(), now == would);
            self.tally.add(&Other { event, action, name, was, would: *would, already, policies });
        }
        Ok(changed)
    }

    async fn outcome(&mut self, event: &Event) -> Result<std::result::Result<Rc<Outcome>, question::Unasked>> {
        let sides = self.sides(event).await?;
        let key = key(event, sides.reads, sides.is_quiet);
        if let Some(known) = self.outcomes.get(&key) {
            return Ok(Ok(Rc::clone(known)));
        }
        let question = match question::of(self.cx, &mut self.known, event).await? {
            Ok(question) => question,
            Err(why) => return Ok(Err(why)),
        };
        let actions = answer::actions(question.action).len();
        self.asked = self.asked.saturating_add(question.targets.len().saturating_mul(actions).saturating_mul(2));
        let (now, _) = self.ask(&question, &sides.now);
        let (would, policies) = self.ask(&question, &sides.would);
        let outcome = Rc::new(Outcome { now, would, policies });
        self.outcomes.insert(key, Rc::clone(&outcome));
        Ok(Ok(outcome))
    }

    /// What some policies say, and which of them determine it.
    fn ask(&self, question: &Question, bundle: &Bundle) -> (Vec<char>, Vec<Vec<String>>) {
        let verdicts = question.answer(self.cx, bundle);
        (verdicts.iter().map(letter).collect(), verdicts.into_iter().map(|verdict| verdict.policies).collect())
    }

    async fn sides(&mut self, event: &Event) -> Result<Rc<Sides>> {
        let facts = &event.facts;
        let client = event.client.as_deref().unwrap_or_default();
        let is_lease = facts.question.as_ref().is_some_and(|question| question.action == Action::Lease.as_str());
        let (kind, name) = match (&facts.connection, &facts.resource) {
            (Some(connection), _) if is_lease => ("k", connection.as_str()),
            (_, Some(resource)) => ("r", resource.as_str()),
            _ => ("", ""),
        };
        let key = [client, "\0", kind, name].concat();
        if let Some(known) = self.sides.get(&key) {
            return Ok(Rc::clone(known));
        }
        let name = name.to_owned();
        let target = match kind {
            "k" => Target::Connection { name, kind: String::new() },
            _ => Target::Scope { resource: name, name: String::new(), tool: None },
        };
        let (engine, shards) = super::parts(self.cx, client, &[target]).await?;
        let would = self.trial.apply(&shards);
        let now = Bundle::of(engine, shards);
        let reads = now.reads().and(would.reads());
        let is_quiet = now.has_quiet_hours() || would.has_quiet_hours();
        let sides = Rc::new(Sides { now, would, reads, is_quiet });
        self.sides.insert(key, Rc::clone(&sides));
        Ok(sides)
    }
}

/// What tells a question from others, as far as policies that read these facts can tell.
fn key(event: &Event, reads: Attributes, is_quiet: bool) -> String {
    let facts = &event.facts;
    let Some(kept) = facts.question.as_ref().filter(|_| !event.is_erased) else { return event.id.clone() };
    let seconds = event.at.checked_div(1_000).unwrap_or_default();
    // Zones differ from UTC by whole quarters of an hour.
    let every = match () {
        () if reads.context("now") => 1,
        () if reads.context("minute") || is_quiet => 60,
        () if ["hour", "weekday", "date"].iter().any(|name| reads.context(name)) => 900,
        () => 0,
    };
    let period = seconds.checked_div(every).unwrap_or_default();
    let recent = kept.auth_time.map(|at| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_sub(at));
    let recent = recent.is_some_and(|age| age <= policy::STEP_UP_SECONDS);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let read = |name: &str, value: String| if reads.context(name) { value } else { String::new() };
    let lists = |list: &[String]| list.join(" ");
    [
        kept.action.clone(),
        text(&event.client),
        text(&facts.subject),
        text(&facts.resource),
        text(&facts.connection),
        kept.scopes.clone(),
        kept.verdicts.len().to_string(),
        period.to_string(),
        recent.to_string(),
        kept.dpop.to_string(),
        kept.bound.to_string(),
        text(&facts.authorization_details),
        lists(&kept.workload_claims),
        text(&facts.grant_type),
        text(&facts.auth_method),
        text(&kept.auth_method),
        text(&kept.acr),
        lists(&facts.chain),
        kept.chain_tags.as_deref().map(lists).unwrap_or_else(|| "-".to_owned()),
        read("ip", text(&facts.ip)),
        read("country", text(&kept.country)),
        read("asn", kept.asn.map(|asn| asn.to_string()).unwrap_or_default()),
        read("tool", text(&facts.tool)),
        read("resource_server", text(&facts.resource_server)),
        read("method", text(&facts.method)),
        read("host", text(&facts.host)),
        read("path", text(&facts.path)),
    ]
    .join("\0")
}
