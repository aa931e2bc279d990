//! Why something is allowed or denied: the answer about a question, a recorded decision, or a token.
//!
//! 1. What is explained is what the policies in force say now. Of a recorded decision the answer says what was decided then, and whether the
//!    policies have changed since.
//! 2. Nothing is recorded, for nothing is decided. Quotas, approvals and stops are no part of policy; a client that is stopped is noted.

use super::question::{self, Known, MAX_SCOPES, Question, letter, word};
use crate::audit;
use crate::cedar::{Action, Bundle, Circumstance, Explanation, Required, Target};
use crate::context::{Cx, Peer};
use crate::directory::resources;
use crate::error::{Fault, Reason, Result};
use crate::model::event::Because;
use crate::model::{Event, Resource, Status};
use crate::oauth::{ResourceUri, TOKEN_EXCHANGE};
use crate::policy::{self, obligations};
use crate::ports::{Location, Now, Place};
use crate::store;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// How many policies are looked at where none meets the question, and how many bytes of them.
const NEAREST: i64 = 50;
const NEAREST_BYTES: usize = 256 * 1_024;

/// A question as an administrator puts it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// Instead of everything else: the decision to explain.
    pub decision: Option<String>,
    /// Instead of everything else: the `jti` of the token to explain.
    pub jti: Option<String>,
    /// The acting client.
    pub client_id: Option<String>,
    /// The user whom the token is about.
    pub user: Option<String>,
    /// What is asked for; else what the other members say.
    pub action: Option<String>,
    /// The resource, with `scopes`.
    pub resource: Option<String>,
    /// Scopes of the resource, or at a lease of the agent's token. Else all that the resource has.
    pub scopes: Option<Vec<String>>,
    /// The connection of a lease.
    pub connection: Option<String>,
    /// From where.
    pub ip: Option<String>,
    /// The country of the address.
    pub country: Option<String>,
    /// The autonomous system of the address.
    pub asn: Option<u32>,
    /// When, in seconds since the epoch; else now.
    pub at: Option<i64>,
    /// The `grant_type`.
    pub grant_type: Option<String>,
    /// How the client authenticates; else as it is registered.
    pub auth_method: Option<String>,
    /// How the user authenticated.
    pub acr: Option<String>,
    /// When the user authenticated, in seconds since the epoch.
    pub auth_time: Option<i64>,
    /// Whether the token is bound to a key.
    pub dpop: Option<bool>,
    /// The tool that a lease is for.
    pub tool: Option<String>,
    /// The resource server that asks for a lease.
    pub resource_server: Option<String>,
    /// The method of a call through the proxy.
    pub method: Option<String>,
    /// The host of that call.
    pub host: Option<String>,
    /// The path of that call.
    pub path: Option<String>,
    /// The actors, newest first.
    pub chain: Vec<String>,
}

fn missing(what: &str) -> crate::error::Error {
    Reason::InvalidField.because(what)
}

/// The question that an administrator puts.
pub async fn wanted(cx: &Cx<'_>, wanted: Wanted) -> Result<Question> {
    let mut known = Known::default();
    let id = wanted.client_id.ok_or_else(|| missing("`client_id` is missing: it names the client that acts"))?;
    let client = known.client(cx, &id).await?.ok_or_else(|| missing("`client_id` names no client"))?;
    let user = match &wanted.user {
        None => None,
        Some(id) => Some(known.user(cx, id).await?.ok_or_else(|| missing("`user` names no user"))?),
    };
    let action = match &wanted.action {
        Some(name) => question::action(name).ok_or_else(|| missing("`action` is unknown"))?,
        None if wanted.connection.is_some() => Action::Lease,
        None if wanted.grant_type.as_deref() == Some(TOKEN_EXCHANGE) || !wanted.chain.is_empty() => Action::Exchange,
        None => Action::Issue,
    };
    let is_lease = action == Action::Lease;
    let (targets, scopes) = match (wanted.connection, wanted.resource) {
        (Some(name), None) if is_lease => {
            (vec![question::connection(cx, &name).await?], wanted.scopes.unwrap_or_default())
        }
        (None, Some(uri)) if !is_lease => {
            let scopes = match wanted.scopes.filter(|scopes| !scopes.is_empty()) {
                Some(scopes) => scopes,
                None => registered(cx, &uri).await?.map(|resource| names(&resource)).unwrap_or_default(),
            };
            if scopes.is_empty() {
                return Err(missing("`resource` names no resource: name one with its scopes, or name `scopes`"));
            }
            (question::scopes(cx, &uri, &scopes).await?, scopes)
        }
        _ => return Err(missing("name a `resource` with its `scopes`, or a `connection` for the action `lease`")),
    };
    let subject = user.as_ref().map_or(&client.id, |user| &user.id);
    let grant_type = wanted.grant_type.or_else(|| match (action, &user) {
        (Action::Exchange | Action::Impersonate, _) => Some(TOKEN_EXCHANGE.to_owned()),
        (Action::Issue, None) => Some("client_credentials".to_owned()),
        _ => None,
    });
    let method = || client.metadata.token_endpoint_auth_method.as_str().to_owned();
    let circumstance = Circumstance {
        grant_type: grant_type.filter(|_| !is_lease),
        auth_method: wanted.auth_method.or_else(|| Some(method())),
        acr: wanted.acr,
        dpop: wanted.dpop.unwrap_or(client.metadata.dpop_bound_access_tokens),
        scopes,
        tool: wanted.tool,
        resource_server: wanted.resource_server,
        method: wanted.method,
        host: wanted.host,
        path: wanted.path,
        chain_tags: policy::shared_tags(cx, &client.id, subject, &wanted.chain).await?,
        chain: wanted.chain,
        subject: user.as_deref().map(policy::subject),
        ..Circumstance::default()
    };
    let place = Place { country: wanted.country, asn: wanted.asn };
    let peer = Peer { ip: wanted.ip.and_then(|ip| ip.parse().ok()), location: Location::new(move || place) };
    let millis = wanted.at.and_then(|at| u64::try_from(at.checked_mul(1_000)?).ok());
    let now = millis.map_or(cx.now, Now::from_millis);
    Ok(Question { client, action, targets, now, peer, circumstance, auth_time: wanted.auth_time, details: Vec::new() })
}

async fn registered(cx: &Cx<'_>, uri: &str) -> Result<Option<Rc<Resource>>> {
    match ResourceUri::parse(uri) {
        Some(uri) => resources::load(cx, &uri).await,
        None => Ok(None),
    }
}

fn names(resource: &Resource) -> Vec<String> {
    resource.body.scopes.iter().map(|scope| scope.name.clone()).take(MAX_SCOPES).collect()
}

/// The event of a decision.
pub async fn of_decision(cx: &Cx<'_>, decision: &str) -> Result<Event> {
    let found = audit::query::event(cx, decision).await?;
    found.ok_or_else(|| missing("`decision` names no event yet: events arrive a second or two after the answer"))
}

/// The event with which a token was issued.
pub async fn of_token(cx: &Cx<'_>, jti: &str) -> Result<Event> {
    let found = audit::query::of_token(cx, jti).await?;
    found.ok_or_else(|| missing("`jti` is of no token that was issued here, as far as events are kept"))
}

/// The explanation of what an event tells of.
pub async fn event(cx: &Cx<'_>, event: &Event) -> Result<Value> {
    let asked = question::of(cx, &mut Known::default(), event).await?;
    let question =
        asked.map_err(|why| Reason::InvalidField.because(["the decision cannot be explained: ", why].concat()))?;
    let mut answer = explain(cx, &question).await?;
    let facts = &event.facts;
    let letters = facts.question.iter().flat_map(|kept| kept.verdicts.chars());
    // Where two actions were asked about, the verdicts of the event are of both together.
    let was = letters.cycle().map(word);
    for (one, was) in answer.get_mut("answers").and_then(Value::as_array_mut).into_iter().flatten().zip(was) {
        put(one, "was", was.into());
    }
    let same = facts.policy_version.as_ref() == Some(&cx.tenant.policy_hash);
    let decided = json!({
        "decision": event.id,
        "at": event.at.checked_div(1_000),
        "type": event.kind.as_str(),
        "reason": facts.reason,
        "policy_version": facts.policy_version,
        "policies_changed_since": !same,
    });
    put(&mut answer, "decided", decided);
    let mut notes = vec![
        "clients, users, resources and connections are taken as they are now; address, moment and the other circumstances are those of the decision",
    ];
    if !same {
        notes.push("the policies have changed since: the answers are what they say now, `was` is what was decided");
    }
    for note in notes {
        if let Some(all) = answer.get_mut("notes").and_then(Value::as_array_mut) {
            all.push(note.into());
        }
    }
    Ok(answer)
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// The explanation of a question.
pub async fn explain(cx: &Cx<'_>, question: &Question) -> Result<Value> {
    let (seen, circumstance) = question.seen(cx);
    let Question { client, targets, .. } = question;
    let bundle = super::bundle(&seen, &client.id, targets).await?;
    let principal = policy::principal(&seen, client);
    let resource = match targets.first() {
        Some(Target::Scope { resource, .. }) => registered(cx, resource).await?,
        _ => None,
    };
    let mut answers = Vec::new();
    for action in question.actions() {
        let asked = crate::cedar::Question { action, principal: &principal, targets, circumstance: &circumstance };
        let offset = |zone: &str| policy::offset(&seen, zone);
        let mut explained = bundle.explain(&asked, &offset);
        if !explained.iter().any(|one| one.is_met) {
            let nearest = nearest(cx).await?.explain(&asked, &offset);
            for (one, near) in explained.iter_mut().zip(nearest) {
                (one.statements, one.more) = (near.statements, near.more);
            }
        }
        for (target, mut explanation) in targets.iter().zip(explained) {
            obligations::meet(seen.now, std::slice::from_mut(&mut explanation.verdict), &question.means());
            let beyond = beyond(question, target, resource.as_deref());
            answers.push(answer(action, target, explanation, beyond));
        }
    }
    let mut notes: Vec<Value> = Vec::new();
    if client.status != Status::Active {
        notes.push("the client is stopped: it gets nothing, whatever policy says".into());
    }
    Ok(json!({
        "question": shown(question, &circumstance),
        "policy_version": cx.tenant.policy_hash,
        "answers": answers,
        "notes": notes,
    }))
}

/// The first policies of the tenant, whatever they are about: where none meets the question, one that nearly does says what is misspelt.
async fn nearest(cx: &Cx<'_>) -> Result<Bundle> {
    let mut sources = Vec::new();
    let mut bytes = 0_usize;
    for policy in cx.all(store::policies::list(&cx.tenant.id, "", NEAREST)).await? {
        bytes = bytes.saturating_add(policy.source.cedar.len());
        if bytes > NEAREST_BYTES {
            break;
        }
        sources.push(policy.source);
    }
    Ok(Bundle::parse(&sources).map_err(|_| Fault::Broken("the schema's names do not parse"))?)
}

/// Why a scope is not given whatever policy says.
fn beyond(question: &Question, target: &Target, resource: Option<&Resource>) -> Option<(&'static str, &'static str)> {
    let Target::Scope { name, .. } = target else { return None };
    let Some(resource) = resource else {
        return Some((Because::NotRegistered.as_str(), "no resource of this name is registered"));
    };
    if !resource.body.scopes.iter().any(|scope| scope.name == *name) {
        return Some((Because::NotRegistered.as_str(), "the resource has no such scope"));
    }
    if !question.client.may_ask_for(resource) {
        return Some((
            Because::Ceiling.as_str(),
            "the client may not ask for this resource: see its `allowed_resources`",
        ));
    }
    let beyond = "the scope is beyond the `scope` that the client is registered for";
    (!question.client.may_have(name)).then_some((Because::Ceiling.as_str(), beyond))
}

fn answer(
    action: Action,
    target: &Target,
    Explanation { verdict, is_met, statements, more }: Explanation,
    beyond: Option<(&'static str, &'static str)>,
) -> Value {
    let refused = policy::refusal(&verdict);
    let because = beyond.map(|(because, _)| because).or(refused.map(Because::as_str));
    let mut answer = json!({
        "action": action.as_str(),
        "allow": because.is_none(),
        "policy": word(letter(&verdict)),
        "policies": verdict.policies,
        "statements": statements,
    });
    match target {
        Target::Scope { resource, name, .. } => {
            put(&mut answer, "resource", resource.as_str().into());
            put(&mut answer, "scope", name.as_str().into());
        }
        Target::Connection { name, .. } => put(&mut answer, "connection", name.as_str().into()),
    }
    if let Some(because) = because {
        put(&mut answer, "because", because.into());
    }
    let said = beyond.map(|(_, said)| said).or(match refused {
        Some(Because::NoPermit) if !is_met => Some(
            "no statement is about this client, action and target: write a permit; statements that nearly are stand in `statements`",
        ),
        Some(Because::NoPermit) => Some("no permit holds; what each of them wants is in `statements`"),
        Some(Because::Quiet) => Some("the permits that hold do not at this hour: see their `@quiet`"),
        Some(Because::Forbidden) => Some("a forbid holds, and a forbid beats every permit"),
        Some(Because::Error) => Some("a policy cannot be evaluated, which denies"),
        Some(Because::Requirement) => Some("a permit holds and asks for what is in `require`"),
        _ => None,
    });
    let lists =
        [("errors", verdict.errors), ("shadow", verdict.shadow), ("require", Required::texts(&verdict.require))];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        put(&mut answer, name, list.into());
    }
    if let Some(said) = said {
        put(&mut answer, "said", said.into());
    }
    let limits = verdict.limits.iter().map(|limit| limit.rate.text()).collect::<Vec<_>>();
    if !limits.is_empty() {
        put(&mut answer, "limits", limits.into());
    }
    if let Some(ttl) = verdict.ttl {
        put(&mut answer, "ttl", ttl.into());
    }
    if more > 0 {
        put(&mut answer, "more", more.into());
    }
    answer
}

/// The question as it was understood, with every fact that policies see.
fn shown(question: &Question, circumstance: &Circumstance) -> Map<String, Value> {
    let mut shown = circumstance.to_json(circumstance.offset);
    shown.remove("subject");
    let user = circumstance.subject.as_ref().map(|user| user.id.clone());
    let (resource, connection) = match question.targets.first() {
        Some(Target::Scope { resource, .. }) => (Some(resource), None),
        Some(Target::Connection { name, .. }) => (None, Some(name)),
        None => (None, None),
    };
    let more = [
        ("client_id", Some(question.client.id.clone())),
        ("client_name", Some(question.client.metadata.client_name.clone())),
        ("user", user),
        ("action", Some(question.action.as_str().to_owned())),
        ("resource", resource.cloned()),
        ("connection", connection.cloned()),
    ];
    shown.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
    shown
}
