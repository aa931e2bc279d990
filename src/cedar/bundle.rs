//! Bundle: policies that decide together, each parsed at most once and asked many times.
//!
//! The documents lie in shards, so that a bundle can be put together of those that a question needs, and a shard that did not change
//! serves the next version of the policies too. What is made of shards for a kind of question is kept in the [`Engine`].

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use cedar_policy::{Authorizer, Entities, EntityUid, ParseErrors, Policy, PolicyId, Request, RestrictedExpression};

use super::attributes::Attributes;
use super::check;
use super::decision::{self, Asking, Note, Slice, Verdict, Zoned};
use super::facts::{self, Circumstance, Question, Target, Unstated, Vocabulary};
use super::index::{Key, Names, Reach};
use super::obligations::Obligations;
use super::{Mode, Source};

/// How many slices, sets of targets and addresses are kept, of each. A full cache is emptied: what is in use comes back at once.
const KEPT: usize = 512;

/// What decides, whichever policies are in force.
pub struct Engine {
    words: Vocabulary,
    authorizer: Authorizer,
    slices: RefCell<BTreeMap<Vec<Part>, Rc<Slice>>>,
    targets: RefCell<BTreeMap<Vec<Target>, Entities>>,
    addresses: RefCell<BTreeMap<IpAddr, RestrictedExpression>>,
}

/// What a shard has to say to a kind of question: the shard's name, and the question's key in it.
type Part = (Rc<str>, Key);

impl Engine {
    /// An engine that has decided nothing yet.
    pub fn new() -> Result<Self, Box<ParseErrors>> {
        Ok(Self {
            words: Vocabulary::new()?,
            authorizer: Authorizer::new(),
            slices: RefCell::default(),
            targets: RefCell::default(),
            addresses: RefCell::default(),
        })
    }
}

/// Documents that are read, stored and kept together.
pub struct Shard {
    name: Rc<str>,
    names: Names,
    documents: Vec<Document>,
}

impl Shard {
    /// Takes in the documents that are not off. They were checked when they were written ([`super::check()`]); one that
    /// turns out not to be readable denies every question that it could have had a say in. Of two shards with one name, which is the
    /// hash of what is in them, either will do.
    pub fn read(name: &str, sources: &[Source]) -> Self {
        let mut names = Names::default();
        let read = |source: &Source| Document {
            id: source.id.as_str().into(),
            shadow: source.mode == Mode::Shadow,
            attributes: Attributes::read(&source.cedar),
            cedar: source.cedar.clone(),
            reaches: names.read(&source.cedar),
            statements: OnceCell::new(),
        };
        let documents = sources.iter().filter(|source| source.mode != Mode::Off).map(read).collect();
        Self { name: name.into(), names, documents }
    }

    /// About how many bytes it takes when all of it has been parsed.
    pub fn weight(&self) -> usize {
        let texts: usize = self.documents.iter().map(|document| document.cedar.len().saturating_add(256)).sum();
        texts.saturating_mul(8)
    }

    /// The same without some of its documents, under that name; nothing if it has none of them.
    pub fn without(&self, name: &str, ids: &[&str]) -> Option<Self> {
        let is_left = |document: &&Document| !ids.contains(&&*document.id);
        let left: Vec<&Document> = self.documents.iter().filter(is_left).collect();
        let source = |document: &&Document| Source {
            id: (*document.id).to_owned(),
            cedar: document.cedar.clone(),
            mode: if document.shadow { Mode::Shadow } else { Mode::Enforce },
        };
        let some = left.len() < self.documents.len();
        some.then(|| Self::read(name, &left.iter().map(source).collect::<Vec<_>>()))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn key(&self, question: &Question<'_>, (target, uid): (&Target, &EntityUid)) -> Key {
        self.names.key(question.action, &question.principal.id, target, uid.id().unescaped())
    }
}

/// A stored document.
pub(super) struct Document {
    pub(super) id: Rc<str>,
    pub(super) shadow: bool,
    pub(super) cedar: String,
    /// What its statements can read.
    attributes: Attributes,
    /// One for each statement.
    reaches: Vec<Reach>,
    /// `None` if it cannot be read.
    statements: OnceCell<Option<Vec<(Policy, Obligations)>>>,
}

impl Document {
    /// The statements, each with its reach. A text that Cedar divides in another way than the index did is not readable.
    pub(super) fn statements(&self) -> Option<impl Iterator<Item = (&Reach, &(Policy, Obligations))>> {
        let read = || {
            let statements = check::statements(&self.cedar).ok()?;
            let with_obligations =
                |(_, policy)| Obligations::read(&policy).ok().map(|obligations| (policy, obligations));
            let statements: Vec<_> = statements.into_iter().map(with_obligations).collect::<Option<_>>()?;
            (statements.len() == self.reaches.len()).then_some(statements)
        };
        let statements = self.statements.get_or_init(read).as_ref()?;
        Some(self.reaches.iter().zip(statements))
    }
}

/// Shards that decide together.
pub struct Bundle {
    engine: Rc<Engine>,
    shards: Vec<Rc<Shard>>,
}

impl Bundle {
    /// Puts shards together.
    pub fn of(engine: Rc<Engine>, shards: Vec<Rc<Shard>>) -> Self {
        Self { engine, shards }
    }

    /// All that is in these documents, as one shard.
    pub fn parse(sources: &[Source]) -> Result<Self, Box<ParseErrors>> {
        Ok(Self::of(Rc::new(Engine::new()?), vec![Rc::new(Shard::read("", sources))]))
    }

    /// What its statements can read.
    pub fn reads(&self) -> Attributes {
        let documents = self.shards.iter().flat_map(|shard| &shard.documents);
        documents.fold(Attributes::default(), |read, document| read.and(document.attributes))
    }

    /// Each document, and of each of its statements in how many of client, action and target it is about something else, at the least.
    pub(super) fn distances(
        &self,
        question: &Question<'_>,
        targets: &[(&Target, EntityUid)],
    ) -> impl Iterator<Item = (&Document, Vec<usize>)> {
        self.shards.iter().flat_map(|shard| {
            let keys: Vec<Key> = targets.iter().map(|(target, uid)| shard.key(question, (target, uid))).collect();
            let least = move |reach: &Reach| keys.iter().map(|key| reach.misses(key)).min().unwrap_or(usize::MAX);
            shard.documents.iter().map(move |document| (document, document.reaches.iter().map(&least).collect()))
        })
    }

    /// Whether a permit does not hold at some hours, which no condition says.
    pub fn has_quiet_hours(&self) -> bool {
        self.shards.iter().flat_map(|shard| &shard.documents).any(|document| document.cedar.contains("@quiet"))
    }

    pub(super) fn authorizer(&self) -> &Authorizer {
        &self.engine.authorizer
    }

    /// The entity that stands for a target.
    pub(super) fn entity_of(&self, target: &Target) -> EntityUid {
        self.engine.words.target(target)
    }

    /// The entities of a question with all that there is to state of them.
    pub(super) fn stated_entities(&self, question: &Question<'_>) -> Option<Entities> {
        self.engine.entities(question, Attributes::ALL).ok()
    }

    /// The request about one target with all facts, as it is seen in a time zone.
    pub(super) fn stated_request(
        &self,
        question: &Question<'_>,
        target: &EntityUid,
        offset: Option<i32>,
    ) -> Option<Request> {
        let Engine { words, .. } = &*self.engine;
        let about = Circumstance { offset, ..question.circumstance.clone() };
        let context = words.context(&about, &|ip| self.engine.address(ip), Attributes::ALL).ok()?;
        words.request(question, target.clone(), context).ok()
    }

    /// One verdict per target, in the order of the targets, where no statement has a time zone of its own.
    pub fn decide(&self, question: &Question<'_>) -> Vec<Verdict> {
        self.decide_in(question, &|_| None)
    }

    /// One verdict per target, in the order of the targets. `offset` says how many seconds a zone that a statement names is ahead of
    /// UTC; nothing if the zone is unknown.
    pub fn decide_in(&self, question: &Question<'_>, offset: &dyn Fn(&str) -> Option<i32>) -> Vec<Verdict> {
        self.decide_with(question, offset, |parts| self.slice(parts))
    }

    fn decide_with(
        &self,
        question: &Question<'_>,
        offset: &dyn Fn(&str) -> Option<i32>,
        slice: impl Fn(Vec<Part>) -> Result<Rc<Slice>, Unstated>,
    ) -> Vec<Verdict> {
        self.try_decide(question, offset, slice).unwrap_or_else(|unstated| {
            question.targets.iter().map(|_| Verdict::unanswerable(unstated.to_string())).collect()
        })
    }

    fn try_decide(
        &self,
        question: &Question<'_>,
        offset: &dyn Fn(&str) -> Option<i32>,
        slice: impl Fn(Vec<Part>) -> Result<Rc<Slice>, Unstated>,
    ) -> Result<Vec<Verdict>, Unstated> {
        let Engine { words, authorizer, .. } = &*self.engine;
        let slices = question.targets.iter().map(|target| {
            let uid = words.target(target);
            let part = |shard: &Rc<Shard>| (Rc::clone(&shard.name), shard.key(question, (target, &uid)));
            let slice = slice(self.shards.iter().map(part).collect())?;
            Ok((uid, slice))
        });
        let slices = slices.collect::<Result<Vec<_>, Unstated>>()?;
        let read = slices.iter().fold(Attributes::default(), |read, (_, slice)| read.and(slice.attributes));
        let state = |about: &Circumstance| words.context(about, &|ip| self.engine.address(ip), read);
        let context = state(question.circumstance)?;
        let in_zone =
            |zone: &str| state(&Circumstance { offset: Some(offset(zone)?), ..question.circumstance.clone() }).ok();
        let entities = self.engine.entities(question, read)?;
        let minute = |zone: Option<&str>| {
            let ahead = zone.map_or(question.circumstance.offset, offset)?;
            facts::minute_of_day(question.circumstance.now, ahead)
        };
        let verdict = |(target, slice): (EntityUid, Rc<Slice>)| {
            let request = |zone: Option<&str>| {
                let context = zone.map_or_else(|| Some(context.clone()), in_zone)?;
                words.request(question, target.clone(), context).ok()
            };
            decision::decide(&Asking { authorizer, entities: &entities, request: &request, minute: &minute }, &slice)
        };
        Ok(slices.into_iter().map(verdict).collect())
    }

    /// The statements for the parts, one of each shard, from the cache if they were gathered before.
    fn slice(&self, parts: Vec<Part>) -> Result<Rc<Slice>, Unstated> {
        if let Some(known) = self.engine.slices.borrow().get(&parts) {
            return Ok(Rc::clone(known));
        }
        let slice = Rc::new(self.gather(&parts, Reach::covers)?);
        keep(&mut self.engine.slices.borrow_mut(), parts, Rc::clone(&slice));
        Ok(slice)
    }

    fn gather(&self, parts: &[Part], covers: impl Fn(&Reach, &Key) -> bool) -> Result<Slice, Unstated> {
        let mut slice = Slice::default();
        for (shard, (_, key)) in self.shards.iter().zip(parts) {
            let relevant = |reach: &Reach| covers(reach, key);
            for document in shard.documents.iter().filter(|document| document.reaches.iter().any(relevant)) {
                slice.add(document, relevant)?;
            }
        }
        Ok(slice)
    }
}

impl Slice {
    fn add(&mut self, document: &Document, relevant: impl Fn(&Reach) -> bool) -> Result<(), Unstated> {
        let Some(statements) = document.statements() else {
            if !document.shadow {
                self.unreadable.push(Rc::clone(&document.id));
            }
            return Ok(());
        };
        self.attributes = self.attributes.and(document.attributes);
        let mut shadow = Zoned::new();
        for (statement, (_, (policy, obligations))) in (1..).zip(statements).filter(|(_, (reach, _))| relevant(reach)) {
            let id = PolicyId::new(self.notes.len().to_string());
            let zoned = if document.shadow { &mut shadow } else { &mut self.enforced };
            let set = zoned.entry(obligations.zone.clone()).or_default();
            set.add(policy.new_id(id.clone())).map_err(|_| Unstated::Policies)?;
            let (document, obligations) = (Rc::clone(&document.id), obligations.clone());
            self.notes.insert(id, Note { document, statement, obligations });
        }
        if document.shadow {
            self.shadow.push((Rc::clone(&document.id), shadow));
        }
        Ok(())
    }
}

impl Engine {
    /// The entities of a question. There are many clients but few sets of targets: only these are kept.
    fn entities(&self, question: &Question<'_>, read: Attributes) -> Result<Entities, Unstated> {
        let known = self.targets.borrow().get(question.targets).cloned();
        let targets = match known {
            Some(known) => known,
            None => {
                let targets = self.words.targets(question.targets)?;
                keep(&mut self.targets.borrow_mut(), question.targets.to_vec(), targets.clone());
                targets
            }
        };
        self.words.people(question, targets, read)
    }

    /// The address as Cedar has it, kept because Cedar takes as long to make one as to evaluate a policy.
    fn address(&self, ip: IpAddr) -> RestrictedExpression {
        if let Some(known) = self.addresses.borrow().get(&ip) {
            return known.clone();
        }
        let address = facts::address(ip);
        keep(&mut self.addresses.borrow_mut(), ip, address.clone());
        address
    }
}

fn keep<K: Ord, V>(cache: &mut BTreeMap<K, V>, key: K, value: V) {
    if cache.len() >= KEPT {
        cache.clear();
    }
    cache.insert(key, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cedar::{Action, Home, Principal, Required, Subject};
    use crate::ports::{Location, Place};

    const MCP: &str = "https://mcp.example/a";
    const ALL: &str = "permit(principal, action, resource);";

    fn source(id: &str, mode: Mode, cedar: &str) -> Source {
        Source { id: id.into(), cedar: cedar.into(), mode }
    }

    fn enforced(texts: &[(&str, &str)]) -> Bundle {
        let sources: Vec<Source> = texts.iter().map(|(id, text)| source(id, Mode::Enforce, text)).collect();
        Bundle::parse(&sources).unwrap()
    }

    fn client(id: &str) -> Principal {
        Principal { id: id.into(), name: id.into(), kind: "autonomous".into(), ..Principal::default() }
    }

    fn scope(name: &str) -> Target {
        Target::Scope { resource: MCP.into(), name: name.into(), tool: None }
    }

    fn at(now: i64) -> Circumstance {
        Circumstance { grant_type: Some("client_credentials".into()), ..Circumstance::bare(now, "Europe/Berlin") }
    }

    fn from(ip: &str) -> Circumstance {
        Circumstance { ip: Some(ip.parse().unwrap()), ..at(0) }
    }

    fn ask(bundle: &Bundle, client_id: &str, targets: &[Target], circumstance: &Circumstance) -> Vec<Verdict> {
        let principal = client(client_id);
        bundle.decide(&Question { action: Action::Issue, principal: &principal, targets, circumstance })
    }

    fn one(bundle: &Bundle, circumstance: &Circumstance) -> Verdict {
        ask(bundle, "c1", &[scope("read")], circumstance).remove(0)
    }

    fn allowed(text: &str, circumstance: &Circumstance) -> bool {
        one(&enforced(&[("p", text)]), circumstance).allow
    }

    const SENTENCE: &str = r#"permit(principal == Client::"c1", action == Action::"issue", resource in Resource::"https://mcp.example/a")
        when { ["read", "list"].contains(resource.name) && context has ip && context.ip.isInRange(ip("10.0.0.0/8"))
               && context.hour >= 2 && context.hour < 4 };"#;

    #[test]
    fn this_agent_from_this_range_between_these_hours_may_have_these_scopes() {
        let bundle = enforced(&[("sentence", SENTENCE)]);
        // 2026-01-15 03:30 in Berlin.
        let good = Circumstance { ip: "10.1.2.3".parse().ok(), ..at(1_768_444_200) };
        let targets = [scope("write"), scope("read"), scope("list")];
        let verdicts = ask(&bundle, "c1", &targets, &good);
        assert_eq!(verdicts.iter().map(|verdict| verdict.allow).collect::<Vec<_>>(), [false, true, true]);
        assert!(verdicts[0].policies.is_empty());
        assert_eq!(verdicts[1].policies, ["sentence"]);
        let other_resource =
            Target::Scope { resource: "https://mcp.example/b".into(), name: "read".into(), tool: None };
        for (client, target, circumstance) in [
            ("c2", scope("read"), good.clone()),
            ("c1", other_resource, good.clone()),
            ("c1", scope("read"), Circumstance { ip: "11.0.0.1".parse().ok(), ..good.clone() }),
            ("c1", scope("read"), Circumstance { ip: None, ..good.clone() }),
            ("c1", scope("read"), Circumstance { now: good.now + 1_800, ..good.clone() }),
            ("c1", scope("read"), Circumstance { now: good.now - 5_401, ..good.clone() }),
            ("c1", scope("read"), Circumstance { offset: Some(0), now: good.now + 5_400, ..good.clone() }),
        ] {
            let verdict = ask(&bundle, client, &[target], &circumstance).remove(0);
            assert_eq!(verdict, Verdict::default(), "{client} {circumstance:?}");
        }
        let lease =
            Question { action: Action::Exchange, principal: &client("c1"), targets: &targets, circumstance: &good };
        assert!(bundle.decide(&lease).iter().all(|verdict| !verdict.allow));
    }

    #[test]
    fn hours_are_those_on_the_wall_across_both_clock_changes() {
        let bundle = enforced(&[("sentence", SENTENCE)]);
        let open = |now: i64| one(&bundle, &Circumstance { ip: "10.1.2.3".parse().ok(), ..at(now) }).allow;
        // On 2026-03-29 the hour from 2 to 3 does not exist: 01:59:59 is followed by 03:00.
        let spring = 1_774_746_000;
        assert_eq!([spring - 1, spring, spring + 3_599, spring + 3_600].map(open), [false, true, true, false]);
        // On 2026-10-25 it comes twice: the window is three hours long.
        let autumn = 1_792_890_000;
        let moments = [autumn - 3_601, autumn - 3_600, autumn - 1, autumn, autumn + 7_199, autumn + 7_200];
        assert_eq!(moments.map(open), [false, true, true, true, true, false]);
        // On the days before and after, the window is two hours long at another distance from UTC.
        assert_eq!([spring - 86_400 - 1, spring - 86_400, spring + 86_400 - 3_600].map(open), [false, true, true]);
    }

    #[test]
    fn a_statement_with_a_zone_sees_the_clock_there_and_its_neighbours_see_the_tenants() {
        let hour = |annotation: &str, hour: u8| {
            format!(
                "{annotation} permit(principal, action, resource) when {{ context.hour == {hour} && context.minute == 0 }};"
            )
        };
        let zones = |zone: &str| match zone {
            "Asia/Tokyo" => Some(9 * 3600),
            "Asia/Kathmandu" => Some(5 * 3600 + 45 * 60),
            _ => None,
        };
        let ask = |texts: &[(&str, &str)], now: i64| {
            let (principal, circumstance) = (client("c1"), at(now));
            let targets = [scope("read")];
            let question = Question {
                action: Action::Issue,
                principal: &principal,
                targets: &targets,
                circumstance: &circumstance,
            };
            enforced(texts).decide_in(&question, &zones).remove(0)
        };
        let text = hour("", 13) + &hour("@zone(\"Asia/Tokyo\") @ttl(\"60\")", 3);
        // 2026-01-15 12:00 UTC: 13:00 in Berlin; 18:00 UTC: 03:00 in Tokyo.
        let noon = 1_768_478_400;
        let verdicts = [noon, noon + 6 * 3600, noon + 3600].map(|now| ask(&[("p", &text)], now));
        assert_eq!(
            verdicts.each_ref().map(|one| (one.allow, one.ttl)),
            [(true, None), (true, Some(60)), (false, None)]
        );
        // A quarter of an hour counts, and a forbid in a zone beats a permit in another.
        let forbid = hour("@zone(\"Asia/Kathmandu\")", 18).replace("permit", "forbid");
        let verdict = |now: i64| ask(&[("all", ALL), ("no", &forbid)], now);
        assert!(verdict(noon).allow && verdict(noon + 15 * 60).policies == ["no"]);
        // A zone that the platform has forgotten denies what its statements could have a say in.
        let lost = hour("@zone(\"Mars/Olympus\")", 3);
        let verdict = ask(&[("all", ALL), ("lost", &lost)], noon);
        assert!(!verdict.allow && verdict.errors == ["lost"]);
    }

    #[test]
    fn weekday_and_date_are_local() {
        // 2026-11-22 is a Sunday; at 23:30 UTC it is Monday in Berlin.
        let sunday = at(1_795_384_800);
        assert!(allowed(
            "permit(principal, action, resource) when { context.weekday == 7 && context.date == \"2026-11-22\" };",
            &sunday
        ));
        let monday = at(1_795_390_200);
        assert!(allowed(
            "permit(principal, action, resource) when { context.weekday == 1 && context.date == \"2026-11-23\" };",
            &monday
        ));
    }

    #[test]
    fn address_ranges_hold_for_both_families() {
        let within = |range: &str, ip: &str| {
            let text = format!(
                "permit(principal, action, resource) when {{ context has ip && context.ip.isInRange(ip(\"{range}\")) }};"
            );
            allowed(&text, &from(ip))
        };
        for (range, ip) in [
            ("10.0.0.0/8", "10.255.255.255"),
            ("10.0.0.7", "10.0.0.7"),
            ("0.0.0.0/0", "203.0.113.9"),
            ("2001:db8::/32", "2001:db8:ffff::1"),
            ("::1", "::1"),
            ("10.0.0.0/8", "::ffff:10.0.0.1"),
        ] {
            assert!(within(range, ip), "{ip} in {range}");
        }
        for (range, ip) in [
            ("10.0.0.0/8", "11.0.0.0"),
            ("10.0.0.7", "10.0.0.8"),
            ("0.0.0.0/0", "2001:db8::1"),
            ("::/0", "203.0.113.9"),
            ("2001:db8::/32", "2001:db9::"),
            ("10.0.0.0/8", "::ffff:11.0.0.1"),
        ] {
            assert!(!within(range, ip), "{ip} not in {range}");
        }
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        assert_eq!(one(&enforced(&[]), &at(0)), Verdict::default());
        assert!(ask(&enforced(&[("all", ALL)]), "c1", &[], &at(0)).is_empty());
    }

    #[test]
    fn a_forbid_beats_every_permit_and_is_named() {
        let bundle = enforced(&[
            ("b", ALL),
            ("z", "forbid(principal, action, resource) when { resource.name == \"write\" };"),
            ("a", "permit(principal, action, resource); permit(principal, action, resource);"),
        ]);
        let verdicts = ask(&bundle, "c1", &[scope("write"), scope("read")], &at(0));
        assert_eq!(verdicts[0], Verdict { policies: vec!["z".into()], ..Verdict::default() });
        assert_eq!(verdicts[1], Verdict { allow: true, policies: vec!["a".into(), "b".into()], ..Verdict::default() });
    }

    #[test]
    fn a_forbid_that_errs_denies() {
        let overflow = "(principal, action, resource) when { context.now * 9223372036854775807 > 0 };";
        for effect in ["forbid", "permit"] {
            let bundle = enforced(&[("all", ALL), ("bad", &format!("{effect}{overflow}"))]);
            let verdict = one(&bundle, &at(2));
            assert_eq!(
                verdict,
                Verdict { policies: vec!["bad".into()], errors: vec!["bad".into()], ..Verdict::default() }
            );
            assert!(effect == "forbid" || one(&bundle, &at(1)).allow, "it errs for that time alone");
        }
    }

    #[test]
    fn an_error_denies_only_the_target_that_it_concerns() {
        let bad = "forbid(principal, action, resource == Scope::\"https://mcp.example/a write\") when { context.now * 9223372036854775807 > 0 };";
        let bundle = enforced(&[("all", ALL), ("bad", bad)]);
        let verdicts = ask(&bundle, "c1", &[scope("read"), scope("write")], &at(2));
        assert!(verdicts[0].allow && verdicts[0].errors.is_empty());
        assert!(!verdicts[1].allow && verdicts[1].errors == ["bad"]);
    }

    #[test]
    fn facts_that_cannot_be_stated_deny_every_target() {
        let bundle = enforced(&[("all", ALL)]);
        let targets = [scope("read"), scope("write")];
        for circumstance in [Circumstance { offset: None, ..at(0) }, Circumstance { now: i64::MAX, ..at(0) }] {
            let verdicts = ask(&bundle, "c1", &targets, &circumstance);
            assert_eq!(verdicts.len(), 2);
            for verdict in verdicts {
                assert!(!verdict.allow && verdict.policies.is_empty());
                assert!(verdict.errors[0].starts_with("facts: "), "{verdict:?}");
            }
            assert!(ask(&bundle, "c1", &targets, &at(0))[0].allow, "and nothing is left behind");
        }
    }

    #[test]
    fn shadow_documents_change_no_verdict_and_say_when_they_would_have() {
        let forbid = "forbid(principal, action, resource) when { resource.name == \"write\" };";
        let errs = "permit(principal, action, resource) when { context.now * 9223372036854775807 > 0 };";
        let judge = |texts: &[(&str, Mode, &str)], name: &str| {
            let sources: Vec<Source> = texts.iter().map(|(id, mode, text)| source(id, *mode, text)).collect();
            ask(&Bundle::parse(&sources).unwrap(), "c1", &[scope(name)], &at(2)).remove(0)
        };
        use Mode::{Enforce, Shadow};
        type Case<'a> = (&'a [(&'a str, Mode, &'a str)], &'a str, bool, &'a [&'a str]);
        let cases: [Case<'_>; 8] = [
            (&[("all", Enforce, ALL), ("s", Shadow, forbid)], "write", true, &["s"]),
            (&[("all", Enforce, ALL), ("s", Shadow, forbid)], "read", true, &[]),
            (&[("all", Enforce, ALL), ("s", Shadow, errs)], "read", true, &["s"]),
            (&[("all", Enforce, ALL), ("s", Shadow, ALL)], "read", true, &[]),
            (&[("t", Shadow, ALL), ("s", Shadow, ALL), ("u", Shadow, forbid)], "write", false, &["s", "t"]),
            (&[("s", Shadow, &format!("{ALL} {forbid}"))], "write", false, &[]),
            (&[("no", Enforce, forbid), ("s", Shadow, ALL)], "write", false, &[]),
            (&[("bad", Enforce, errs), ("s", Shadow, ALL)], "read", false, &[]),
        ];
        for (texts, name, allow, shadow) in cases {
            let verdict = judge(texts, name);
            assert_eq!(
                (verdict.allow, verdict.shadow),
                (allow, shadow.iter().map(|id| (*id).to_owned()).collect()),
                "{texts:?}"
            );
            assert!(!verdict.policies.iter().any(|id| shadow.contains(&id.as_str())));
        }
    }

    #[test]
    fn documents_that_are_off_are_not_even_read() {
        let bundle = Bundle::parse(&[source("all", Mode::Enforce, ALL), source("off", Mode::Off, "forbid(")]).unwrap();
        assert!(one(&bundle, &at(0)).allow);
    }

    #[test]
    fn a_document_that_cannot_be_read_denies_what_it_could_have_a_say_in() {
        for broken in [
            "permit(principal,\n action);",
            "@ttl(\"x\") permit(principal, action, resource);",
            "permit(principal == ?principal, action, resource);",
            "nonsense;",
            "permit(principal, action, resource) when { ; };",
            "permit(principal == Client::\"c1\", action, resource) when { context. };",
        ] {
            let bundle = enforced(&[("all", ALL), ("broken", broken)]);
            let denied =
                Verdict { policies: vec!["broken".into()], errors: vec!["broken".into()], ..Verdict::default() };
            assert_eq!(one(&bundle, &at(0)), denied, "{broken}");
            assert_eq!(ask(&bundle, "c2", &[scope("read")], &at(0))[0].allow, broken.contains("c1"), "{broken}");
            let shadow = [source("all", Mode::Enforce, ALL), source("broken", Mode::Shadow, broken)];
            assert!(one(&Bundle::parse(&shadow).unwrap(), &at(0)).allow, "{broken}");
        }
    }

    #[test]
    fn a_document_that_is_too_deep_to_be_read_denies_what_it_could_have_a_say_in_and_nothing_else() {
        let deep = |client: &str, clauses: usize| {
            let clauses = " when { true }".repeat(clauses);
            format!("forbid(principal == Client::\"{client}\", action, resource){clauses} when {{ context.dpop }};")
        };
        let bundle = enforced(&[("all", ALL), ("deep", &deep("c1", 320)), ("stored", &deep("c2", 90))]);
        let verdicts =
            |id: &str, dpop: bool| ask(&bundle, id, &[scope("read")], &Circumstance { dpop, ..at(0) }).remove(0);
        assert_eq!(verdicts("c1", false).errors, ["deep"]);
        let stored = verdicts("c2", true);
        assert!(
            !stored.allow && stored.policies == ["stored"] && stored.errors.is_empty(),
            "as deep as one could write once"
        );
        assert!(verdicts("c2", false).allow && verdicts("c3", true).allow);
    }

    #[test]
    fn a_document_is_parsed_only_when_a_question_concerns_it() {
        let bundle = enforced(&[
            ("all", ALL),
            ("c1", "permit(principal == Client::\"c1\", action, resource);"),
            ("c2", "permit(principal == Client::\"c2\", action, resource);"),
        ]);
        let parsed = || bundle.shards[0].documents.iter().filter(|one| one.statements.get().is_some()).count();
        assert_eq!(parsed(), 0);
        assert!(one(&bundle, &at(0)).allow);
        assert_eq!(parsed(), 2);
    }

    #[test]
    fn the_permits_that_held_bring_their_obligations() {
        let bundle = enforced(&[
            (
                "a",
                "@ttl(\"60\") @require(\"approval\") permit(principal, action, resource) when { resource.name == \"write\" };",
            ),
            ("b", "@ttl(\"300\") @require(\"approval\") permit(principal, action, resource);"),
            ("c", "@ttl(\"5\") @require(\"mfa\") permit(principal, action, resource) when { context.dpop };"),
            ("d", "forbid(principal, action, resource) when { resource.name == \"drop\" };"),
        ]);
        let verdicts = ask(&bundle, "c1", &[scope("write"), scope("read"), scope("drop")], &at(0));
        let asked: Vec<_> =
            verdicts.iter().map(|verdict| (verdict.ttl, Required::texts(&verdict.require).join(","))).collect();
        assert_eq!(asked, [(Some(60), "approval".into()), (Some(300), "approval".into()), (None, String::new())]);
    }

    #[test]
    fn a_quiet_permit_follows_the_wall_clock_of_its_zone_and_another_one_holds() {
        let berlin = |now: i64| Circumstance::bare(now, "Europe/Berlin").offset;
        let quiet = "@quiet(\"02:00-03:00\") permit(principal, action, resource);";
        let bundle = enforced(&[("q", quiet)]);
        let open = |now: i64| one(&bundle, &at(now));
        // On 2026-10-25 the hour from 2 to 3 comes twice, and is quiet twice; on 2026-03-29 there is none.
        let autumn = 1_792_890_000;
        let moments = [autumn - 3_601, autumn - 3_600, autumn - 1, autumn, autumn + 3_599, autumn + 3_600];
        assert_eq!(moments.map(|now| open(now).allow), [true, false, false, false, false, true]);
        let spring = 1_774_746_000;
        assert!([spring - 1, spring].map(|now| open(now).allow) == [true, true]);
        let verdict = open(autumn);
        assert_eq!((verdict.is_quiet, verdict.policies), (true, vec!["q".to_owned()]));
        // Another permit holds alone, with what it asks for.
        let both = enforced(&[("q", quiet), ("p", "@ttl(\"60\") permit(principal, action, resource);")]);
        let verdict = one(&both, &at(autumn));
        assert_eq!((verdict.allow, verdict.ttl, verdict.policies), (true, Some(60), vec!["p".to_owned()]));
        // A forbid beats both, a quiet shadow permits nothing, and the clock is that of `@zone`.
        let forbidden = enforced(&[("q", quiet), ("no", "forbid(principal, action, resource);")]);
        assert!(!one(&forbidden, &at(autumn)).is_quiet);
        let shadow = Bundle::parse(&[source("s", Mode::Shadow, quiet)]).unwrap();
        assert!(one(&shadow, &at(autumn)).shadow.is_empty() && !one(&shadow, &at(autumn - 3_601)).shadow.is_empty());
        let zoned = enforced(&[("q", &["@zone(\"Europe/Berlin\") ", quiet].concat())]);
        let (principal, circumstance) = (client("c1"), Circumstance { offset: Some(0), ..at(autumn) });
        let targets = [scope("read")];
        let question =
            Question { action: Action::Issue, principal: &principal, targets: &targets, circumstance: &circumstance };
        assert!(zoned.decide_in(&question, &|_| berlin(autumn))[0].is_quiet);
        assert!(!one(&zoned, &at(autumn)).errors.is_empty(), "an unknown zone denies");
    }

    #[test]
    fn the_limits_of_the_permits_that_held_are_told_with_their_statements() {
        let text = "permit(principal, action, resource) when { resource.name == \"other\" }; \
                    @limit(\"5/hour\") @on_breach(\"suspend\") permit(principal, action, resource);";
        let bundle = enforced(&[("b", text), ("a", "@limit(\"7/day client\") permit(principal, action, resource);")]);
        let limits = one(&bundle, &at(0)).limits;
        let told: Vec<_> =
            limits.iter().map(|one| (one.policy.as_str(), one.statement, one.rate.text(), one.suspends)).collect();
        let expected = [("a", 1, "7/day client".to_owned(), false), ("b", 2, "5/hour identity".to_owned(), true)];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_lease_looks_at_the_connection_the_token_and_the_chain() {
        let text = r#"permit(principal, action == Action::"lease", resource == Connection::"bigquery-read")
            when { context.scopes.contains("read") && resource.kind == "google_service_account" };
            forbid(principal, action, resource) when { context.chain.contains("unverified") };"#;
        let bundle = enforced(&[("lease", text)]);
        let connection = |name: &str| Target::Connection { name: name.into(), kind: "google_service_account".into() };
        let lease = |name: &str, scopes: &[&str], chain: &[&str]| {
            let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
            let circumstance = Circumstance { scopes: list(scopes), chain: list(chain), ..at(0) };
            let targets = [connection(name)];
            bundle.decide(&Question {
                action: Action::Lease,
                principal: &client("c1"),
                targets: &targets,
                circumstance: &circumstance,
            })[0]
                .allow
        };
        assert!(lease("bigquery-read", &["read"], &["c1"]));
        assert!(!lease("bigquery-read", &["write"], &["c1"]));
        assert!(!lease("bigquery-write", &["read"], &["c1"]));
        assert!(!lease("bigquery-read", &["read"], &["c1", "unverified"]));
    }

    #[test]
    fn a_user_can_be_named_or_known_by_role() {
        let text = r#"permit(principal, action, resource) when { context has subject &&
            (context.subject == User::"u1" || context.subject.roles.contains("admin") || context.subject.groups.contains("ops")) };"#;
        let user = |id: &str, role: &str, group: &str| {
            let subject =
                Subject { id: id.into(), roles: vec![role.into()], groups: vec![group.into()], claims: vec![] };
            allowed(text, &Circumstance { subject: Some(subject), ..at(0) })
        };
        assert!(user("u1", "", "") && user("u2", "admin", "") && user("u2", "", "ops"));
        assert!(!user("u2", "", "") && !allowed(text, &at(0)));
    }

    #[test]
    fn names_cannot_break_out_of_their_strings() {
        let evil = r#"c1" || true || principal == Client::"c1"#;
        let bundle = enforced(&[("p", "permit(principal == Client::\"c1\", action, resource);")]);
        assert!(!ask(&bundle, evil, &[scope("read\", x")], &at(0))[0].allow);
        assert!(ask(&bundle, "c1", &[scope("read\\\"")], &at(0))[0].allow);
    }

    #[test]
    fn what_is_cached_follows_every_change_of_the_facts() {
        let text = "permit(principal, action, resource) when { principal.tags.contains(\"ok\") || resource has tool || context has subject };";
        let bundle = enforced(&[("p", text)]);
        let ask = |principal: &Principal, target: Target, subject: Option<Subject>| {
            let circumstance = Circumstance { subject, ..at(0) };
            bundle.decide(&Question {
                action: Action::Issue,
                principal,
                targets: &[target],
                circumstance: &circumstance,
            })[0]
                .allow
        };
        let (plain, tagged) = (client("c1"), Principal { tags: vec!["ok".into()], ..client("c1") });
        let tool = Target::Scope { resource: MCP.into(), name: "read".into(), tool: Some("t".into()) };
        let subject = Subject { id: "u".into(), roles: vec![], groups: vec![], claims: vec![] };
        for _ in 0..2 {
            assert!(!ask(&plain, scope("read"), None));
            assert!(ask(&tagged, scope("read"), None));
            assert!(!ask(&plain, scope("read"), None));
            assert!(ask(&plain, tool.clone(), None));
            assert!(ask(&plain, scope("read"), Some(subject.clone())));
        }
    }

    #[test]
    fn the_caches_are_bounded() {
        let texts: Vec<String> =
            (0..KEPT + 10).map(|n| format!("permit(principal == Client::\"c{n}\", action, resource);")).collect();
        let bundle = enforced(&texts.iter().map(|text| ("p", text.as_str())).collect::<Vec<_>>());
        for n in 0..KEPT + 10 {
            assert!(ask(&bundle, &format!("c{n}"), &[scope("read")], &at(0))[0].allow);
            assert!(bundle.engine.slices.borrow().len() <= KEPT);
        }
        for n in 0..u32::try_from(KEPT).unwrap() + 10 {
            let circumstance = Circumstance { ip: Some(std::net::Ipv4Addr::from(n).into()), ..at(0) };
            assert!(ask(&bundle, "c1", &[scope(&n.to_string())], &circumstance)[0].allow);
            assert!(bundle.engine.targets.borrow().len() <= KEPT && bundle.engine.addresses.borrow().len() <= KEPT);
        }
    }

    #[test]
    fn clients_without_statements_of_their_own_share_a_slice() {
        let bundle = enforced(&[("all", ALL), ("c1", "forbid(principal == Client::\"c1\", action, resource);")]);
        for id in ["c1", "c2", "c3", "c4"] {
            assert_eq!(ask(&bundle, id, &[scope("read"), scope("write")], &at(0))[0].allow, id != "c1");
        }
        assert_eq!(bundle.engine.slices.borrow().len(), 2);
    }

    /// A small deterministic stream of choices (SplitMix64).
    struct Choices(u64);

    impl Choices {
        fn of<'a, T: ?Sized>(&mut self, among: &[&'a T]) -> &'a T {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = self.0;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let bits = usize::try_from((bits ^ (bits >> 31)) >> 33).unwrap();
            among[bits.checked_rem(among.len()).unwrap()]
        }
    }

    fn any_statement(choices: &mut Choices) -> String {
        let effect = choices.of(&["permit", "permit", "forbid"]);
        let principal = choices.of(&[
            "principal",
            "principal is Client",
            "principal == Client::\"c1\"",
            "principal in Client::\"c1\"",
            "principal is Client in Client::\"c2\"",
            "principal == Client::\"c3\"",
            "principal == User::\"c1\"",
            "principal is User",
            "principal is User in Client::\"c1\"",
            "principal is Client in User::\"c1\"",
            "principal in Resource::\"c1\"",
        ]);
        let action = choices.of(&[
            "action",
            "action == Action::\"issue\"",
            "action == Action::\"lease\"",
            "action in Action::\"issue\"",
            "action in [Action::\"issue\", Action::\"exchange\"]",
            "action in [Action::\"consent\"]",
            "action in []",
        ]);
        let resource = choices.of(&[
            "resource",
            "resource is Scope",
            "resource is Connection",
            "resource is Resource",
            "resource in Resource::\"r1\"",
            "resource in Resource::\"r2\"",
            "resource is Scope in Resource::\"r1\"",
            "resource is Connection in Resource::\"r1\"",
            "resource == Resource::\"r1\"",
            "resource == Scope::\"r1 read\"",
            "resource in Scope::\"r1 read\"",
            "resource is Scope in Scope::\"r2 read\"",
            "resource is Connection in Scope::\"r1 read\"",
            "resource == Connection::\"k1\"",
            "resource in Connection::\"k1\"",
            "resource is Connection in Connection::\"k2\"",
            "resource is Scope in Connection::\"k1\"",
            "resource == Connection::\"r1 read\"",
            "resource == Client::\"c1\"",
        ]);
        let condition = choices.of(&[
            "",
            "",
            "when { context.dpop }",
            "unless { resource.name == \"read\" }",
            "when { context.now + 9223372036854775807 > 0 }",
            "when { principal.name == \"c1\" }",
            "unless { principal has owner || principal[\"kind\"] == \"delegated\" }",
            "when { Client::\"c2\".name == \"c2\" }",
            "when { context has ip && context.ip.isLoopback() } unless { (context).dpop }",
            "when { context has country && context.country == \"DE\" && context.asn == 64496 }",
            "when { context has subject && context.subject.groups.contains(\"g\") && context.hour > 0 }",
            "when { User::\"u\".groups.contains(\"g\") }",
        ]);
        format!("{effect}({principal}, {action}, {resource}) {condition};")
    }

    #[test]
    fn neither_the_index_nor_what_is_stated_changes_a_verdict() {
        let mut choices = Choices(2026);
        let scope =
            |resource: &str, name: &str| Target::Scope { resource: resource.into(), name: name.into(), tool: None };
        let connection = |name: &str| Target::Connection { name: name.into(), kind: "k".into() };
        let (mut allows, mut errors, mut shadows, mut denials, mut spared) = (0, 0, 0, 0, 0);
        for round in 0..400_u32 {
            let sources: Vec<Source> = (0..1 + round % 8)
                .map(|n| {
                    let mode = *choices.of(&[&Mode::Enforce, &Mode::Enforce, &Mode::Shadow, &Mode::Off]);
                    let text = format!("{}\n{}", any_statement(&mut choices), any_statement(&mut choices));
                    source(&format!("p{n}"), mode, &text)
                })
                .collect();
            let bundle = Bundle::parse(&sources).unwrap();
            let engine = Rc::new(Engine::new().unwrap());
            for _ in 0..20 {
                let action = *choices.of(&[
                    &Action::Issue,
                    &Action::Exchange,
                    &Action::Impersonate,
                    &Action::Lease,
                    &Action::Consent,
                    &Action::Register,
                ]);
                let principal = client(choices.of(&["c1", "c2", "c3", "c4"]));
                let targets = if action == Action::Lease {
                    vec![connection(choices.of(&["k1", "k2", "r1 read"]))]
                } else {
                    vec![scope(choices.of(&["r1", "r2", "r3"]), "read"), scope("r1", choices.of(&["write", "list"]))]
                };
                let flip = |choices: &mut Choices| *choices.of(&[&true, &false]);
                let place = || Place { country: Some("DE".into()), asn: Some(64_496) };
                let user = Subject { id: "u".into(), roles: vec![], groups: vec!["g".into()], claims: vec![] };
                let circumstance = Circumstance {
                    dpop: flip(&mut choices),
                    ip: flip(&mut choices).then_some(IpAddr::from([127, 0, 0, 1])),
                    location: if flip(&mut choices) { Location::new(place) } else { Location::default() },
                    subject: flip(&mut choices).then_some(user),
                    ..at(*choices.of(&[&-1, &1]))
                };
                let question =
                    Question { action, principal: &principal, targets: &targets, circumstance: &circumstance };
                let verdicts = bundle.decide(&question);
                let everything = |parts: Vec<Part>| {
                    let slice = bundle.gather(&parts, |_, _| true)?;
                    Ok(Rc::new(Slice { attributes: Attributes::ALL, ..slice }))
                };
                assert_eq!(verdicts, bundle.decide_with(&question, &|_| None, everything), "{sources:?} {question:?}");
                assert_eq!(verdicts, bundle.decide(&question), "asked twice");
                // And so do those documents alone whose home the question reaches.
                let reached = Home::reached(&principal.id, &targets);
                let homes = |source: &&Source| reached.contains(&Home::of(&source.cedar));
                let few: Vec<Source> = sources.iter().filter(homes).cloned().collect();
                spared += sources.len() - few.len();
                let shards = few.iter().map(|one| Rc::new(Shard::read(&one.id, std::slice::from_ref(one)))).collect();
                assert_eq!(
                    verdicts,
                    Bundle::of(Rc::clone(&engine), shards).decide(&question),
                    "{sources:?} {question:?}"
                );
                allows += verdicts.iter().filter(|verdict| verdict.allow).count();
                denials += verdicts.iter().filter(|verdict| !verdict.allow && !verdict.policies.is_empty()).count();
                errors += verdicts.iter().filter(|verdict| !verdict.errors.is_empty()).count();
                shadows += verdicts.iter().filter(|verdict| !verdict.shadow.is_empty()).count();
            }
        }
        assert!(
            [allows, errors, shadows, denials, spared].iter().all(|seen| *seen > 25),
            "{allows} {errors} {shadows} {denials} {spared}"
        );
    }
}
