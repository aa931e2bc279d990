//! The question behind a decision: what its event keeps of it, and the same question made again of the event.
//!
//! 1. An event keeps what cannot be looked up later: the circumstances of the request, and what was said of each scope. Names, tags, kinds
//!    and owners of clients, roles, groups and claims of users, tools of scopes and kinds of connections are taken as they are now
//!    (docs/decisions.md 153).
//! 2. A question that did not fit into its event whole is not asked again, nor one of an event that members were erased of.

use super::{Inquiry, answer};
use crate::cedar::{self, Action, Bundle, Circumstance, Principal, Target, Verdict};
use crate::context::{Cx, Peer};
use crate::directory::{clients, connections, resources, users};
use crate::error::Result;
use crate::model::event::{Because, Facts, QuestionRecord};
use crate::model::{Client, Event, User, id};
use crate::oauth::ResourceUri;
use crate::policy;
use crate::policy::obligations::{self, Means};
use crate::ports::{Location, Now, Place};
use serde_json::Value;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Allowed, denied, or open for want of what a permit requires: as an event keeps it.
pub fn letter(verdict: &Verdict) -> char {
    match policy::refusal(verdict) {
        // What a limit has room for is no word of policy.
        None | Some(Because::Limit) => 'a',
        Some(Because::Requirement) => 'r',
        Some(_) => 'd',
    }
}

/// What a letter means, in the words of answers.
pub const fn word(letter: char) -> &'static str {
    match letter {
        'a' => "allow",
        'r' => "require",
        _ => "deny",
    }
}

/// Keeps a question with its verdicts in the facts of its event. Of two questions for one answer the first is kept.
pub(super) fn keep(client: &Client, inquiry: Inquiry<'_>, verdicts: &[Verdict], facts: &mut Facts) {
    let Inquiry { action, circumstance, .. } = inquiry;
    if facts.question.is_some() {
        return;
    }
    let shadow = shadows(verdicts);
    let Circumstance { location, auth_method, acr, dpop, scopes, chain_tags, workload_claims, .. } = circumstance;
    facts.question = Some(QuestionRecord {
        action: action.as_str().to_owned(),
        scopes: scopes.join(" "),
        verdicts: verdicts.iter().map(letter).collect(),
        auth_method: auth_method.clone().filter(|_| *auth_method != facts.auth_method),
        country: location.country.clone(),
        asn: location.asn,
        acr: acr.clone(),
        auth_time: None,
        dpop: *dpop,
        bound: false,
        workload_claims: workload_claims.clone(),
        chain_tags: (*chain_tags != client.metadata.tags).then(|| chain_tags.clone()),
        shadow,
    });
}

fn shadows(verdicts: &[Verdict]) -> Vec<String> {
    let mut ids: Vec<&String> = verdicts.iter().flat_map(|verdict| &verdict.shadow).collect();
    ids.sort_unstable();
    ids.dedup();
    let mark = |id: &String, verdict: &Verdict| if verdict.shadow.contains(id) { 'x' } else { '.' };
    let marks = |id: &String| verdicts.iter().map(|verdict| mark(id, verdict)).collect::<String>();
    ids.into_iter().map(|id| [id, " ", &marks(id)].concat()).collect()
}

/// Which verdicts a shadow policy would have changed, in their order; nothing if it is not among those of the event.
pub fn shadowed<'a>(kept: &'a QuestionRecord, policy: &str) -> Option<&'a str> {
    kept.shadow.iter().find_map(|entry| entry.strip_prefix(policy)?.strip_prefix(' '))
}

/// The names of what the verdicts of an event are about.
pub fn names<'a>(kept: &'a QuestionRecord, facts: &'a Facts) -> Vec<&'a str> {
    match &facts.connection {
        Some(connection) if kept.action == Action::Lease.as_str() => vec![connection],
        _ => kept.scopes.split(' ').filter(|scope| !scope.is_empty()).collect(),
    }
}

/// What was decided in the end of what policy said: `r` is `a` where what was required was given.
pub fn decided(kept: &QuestionRecord, facts: &Facts) -> Vec<(char, char)> {
    let given: Vec<&str> = facts.scope_given.iter().flat_map(|scope| scope.split(' ')).collect();
    let is_lease = kept.action == Action::Lease.as_str();
    let met = |(name, was): (&str, char)| match was {
        'r' if given.contains(&name) || is_lease && facts.reason.is_none() => (was, 'a'),
        other => (was, other),
    };
    names(kept, facts).into_iter().zip(kept.verdicts.chars()).map(met).collect()
}

/// A question that can be asked.
pub struct Question {
    /// The acting client.
    pub client: Rc<Client>,
    /// The same as policies see it.
    pub principal: Principal,
    /// The action.
    pub action: Action,
    /// The scopes or the connection.
    pub targets: Vec<Target>,
    /// The moment.
    pub now: Now,
    /// From where.
    pub peer: Peer,
    /// Everything else; moment and place are filled in when it is asked.
    pub circumstance: Circumstance,
    /// What the request brings of what permits require.
    pub means: Means,
}

impl Question {
    /// The request as which it is asked, and the circumstance there.
    pub fn seen<'a>(&self, cx: &Cx<'a>) -> (Cx<'a>, Circumstance) {
        let seen = cx.imagined(self.now, self.peer.clone());
        let Circumstance { ip, location, now, offset, .. } = policy::circumstance(&seen);
        let circumstance = Circumstance { ip, location, now, offset, ..self.circumstance.clone() };
        (seen, circumstance)
    }

    /// What policies say of it, and what is open still of what they require.
    pub(super) fn answer(&self, cx: &Cx<'_>, bundle: &Bundle) -> Vec<Verdict> {
        let (seen, circumstance) = self.seen(cx);
        let Self { action, principal, targets, means, .. } = self;
        let asked = cedar::Question { action: *action, principal, targets, circumstance: &circumstance };
        let mut verdicts = answer::answer(bundle, &asked, &|zone| policy::offset(&seen, zone));
        obligations::meet(self.now, &mut verdicts, means);
        verdicts
    }
}

/// What questions are made with, each loaded once: the clients and users, as they are now.
#[derive(Default)]
pub struct Known {
    clients: BTreeMap<String, Option<Rc<Client>>>,
    users: BTreeMap<String, Option<Rc<User>>>,
}

impl Known {
    /// Notes clients and users who were loaded otherwise; those that are not there are none.
    pub fn note(&mut self, asked: [&[String]; 2], clients: Vec<Client>, users: Vec<User>) {
        let [client_ids, user_ids] = asked;
        self.clients.extend(client_ids.iter().map(|id| (id.clone(), None)));
        self.users.extend(user_ids.iter().map(|id| (id.clone(), None)));
        self.clients.extend(clients.into_iter().map(|client| (client.id.clone(), Some(Rc::new(client)))));
        self.users.extend(users.into_iter().map(|user| (user.id.clone(), Some(Rc::new(user)))));
    }

    /// Whether the client of that id was loaded or looked for.
    pub fn has_client(&self, id: &str) -> bool {
        self.clients.contains_key(id)
    }

    /// The same of a user.
    pub fn has_user(&self, id: &str) -> bool {
        self.users.contains_key(id)
    }

    /// The client of that id.
    pub async fn client(&mut self, cx: &Cx<'_>, id: &str) -> Result<Option<Rc<Client>>> {
        if let Some(known) = self.clients.get(id) {
            return Ok(known.clone());
        }
        let client = clients::load(cx, id).await?;
        self.clients.insert(id.to_owned(), client.clone());
        Ok(client)
    }

    /// The user of that id.
    pub async fn user(&mut self, cx: &Cx<'_>, id: &str) -> Result<Option<Rc<User>>> {
        if let Some(known) = self.users.get(id) {
            return Ok(known.clone());
        }
        let user = users::load(cx, id).await?;
        self.users.insert(id.to_owned(), user.clone());
        Ok(user)
    }
}

/// Why the question of an event cannot be asked again.
pub type Unasked = &'static str;

/// The question that an event tells of.
pub async fn of(cx: &Cx<'_>, known: &mut Known, event: &Event) -> Result<std::result::Result<Question, Unasked>> {
    let facts = &event.facts;
    // Which ones nobody can tell any more: what is left would be another question.
    if event.is_erased {
        return Ok(Err("members of its event were erased"));
    }
    let Some(kept) = &facts.question else {
        return Ok(Err("its event does not have the question: it was recorded by an earlier version"));
    };
    let (Some(action), false) = (Action::parse(&kept.action), is_cut(&kept.scopes) || is_cut(&kept.verdicts)) else {
        return Ok(Err("its question did not fit into the event whole"));
    };
    let id = event.client.as_deref().unwrap_or_default();
    let Some(client) = known.client(cx, id).await? else { return Ok(Err("its client is gone")) };
    let subject = facts.subject.as_deref().filter(|subject| id::is_user(subject));
    let user = match subject {
        None => None,
        Some(subject) => match known.user(cx, subject).await? {
            None => return Ok(Err("its user is gone")),
            user => user,
        },
    };
    let scopes: Vec<String> = kept.scopes.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    let is_lease = action == Action::Lease;
    let targets = match (&facts.connection, &facts.resource) {
        (Some(name), _) if is_lease => vec![connection(cx, name).await?],
        (_, Some(resource)) if !is_lease => self::scopes(cx, resource, &scopes).await?,
        _ => return Ok(Err("its event does not name what was asked for")),
    };
    if targets.len() != kept.verdicts.chars().count() {
        return Ok(Err("its event does not name what was asked for"));
    }
    let circumstance = Circumstance {
        grant_type: facts.grant_type.clone().filter(|_| !is_lease),
        auth_method: kept.auth_method.clone().or_else(|| facts.auth_method.clone()),
        acr: kept.acr.clone(),
        dpop: kept.dpop,
        scopes,
        tool: facts.tool.clone().filter(|_| is_lease),
        resource_server: facts.resource_server.clone().filter(|_| is_lease),
        method: facts.method.clone(),
        host: facts.host.clone(),
        path: facts.path.clone(),
        chain: facts.chain.clone(),
        workload_claims: kept.workload_claims.clone(),
        chain_tags: kept.chain_tags.clone().unwrap_or_else(|| client.metadata.tags.clone()),
        subject: user.as_deref().map(policy::subject),
        ..Circumstance::default()
    };
    let place = Place { country: kept.country.clone(), asn: kept.asn };
    let ip = facts.ip.as_ref().and_then(|ip| ip.parse().ok());
    let peer = Peer { ip, location: Location::new(move || place) };
    let now = Now::from_millis(event.at);
    let means = Means {
        auth_time: kept.auth_time,
        acr: kept.acr.clone(),
        is_bound: kept.dpop || kept.bound,
        details: details(facts),
    };
    let principal = policy::principal(cx, &client);
    Ok(Ok(Question { client, principal, action, targets, now, peer, circumstance, means }))
}

/// The types of the authorization details that the token has, or that were asked for.
fn details(facts: &Facts) -> Vec<String> {
    let given = facts.authorization_details.as_deref().and_then(|json| serde_json::from_str::<Vec<Value>>(json).ok());
    let kind = |detail: &Value| detail.get("type")?.as_str().map(str::to_owned);
    given.iter().flatten().filter_map(kind).collect()
}

fn is_cut(text: &str) -> bool {
    text.ends_with('…')
}

/// A connection as policy is asked about it; of one that is not there no kind is known.
pub async fn connection(cx: &Cx<'_>, name: &str) -> Result<Target> {
    let found = connections::load(cx, name).await?;
    let kind = found.map(|connection| connection.kind.clone()).unwrap_or_default();
    Ok(Target::Connection { name: name.to_owned(), kind })
}

/// The scopes of a resource as policy is asked about them.
pub async fn scopes(cx: &Cx<'_>, resource: &str, names: &[String]) -> Result<Vec<Target>> {
    let registered = match ResourceUri::parse(resource) {
        Some(uri) => resources::load(cx, &uri).await?,
        None => None,
    };
    let tool = |name: &str| {
        let scopes = registered.as_ref().map(|resource| resource.body.scopes.as_slice()).unwrap_or_default();
        scopes.iter().find(|scope| scope.name == name)?.tool.clone()
    };
    let target = |name: &String| Target::Scope { resource: resource.to_owned(), name: name.clone(), tool: tool(name) };
    Ok(names.iter().map(target).collect())
}
