//! Why something is allowed or denied: the answer about a question, a recorded decision, or a token.
//!
//! 1. What is explained is what the policies in force say now. Of a recorded decision the answer says what was decided then, and whether the
//!    policies have changed since.
//! 2. Nothing is recorded, for nothing is decided, and no use is counted. Whether somebody is stopped is no part of policy: callers add it
//!    (`revocation::standing`). Whether a person has approved what needs it is not looked up.

use super::answer;
use super::question::{self, Known, Question, letter, word};
use super::written::{MAX_SCOPES, WrittenQuestion};
use crate::audit;
use crate::cedar::{Action, Bundle, Circumstance, Explanation, Required, Target};
use crate::context::Cx;
use crate::directory::resources;
use crate::error::{Fault, Reason, Result};
use crate::model::event::Because;
use crate::model::{Event, Resource};
use crate::oauth::ResourceUri;
use crate::policy::{self, obligations};
use crate::store;
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// How many policies are looked at where none meets the question, and how many bytes of them.
const NEAREST: i64 = 50;
const NEAREST_BYTES: usize = 256 * 1_024;

fn missing(what: &str) -> crate::error::Error {
    Reason::InvalidField.because(what)
}

/// The question that an administrator puts: what it leaves out is as the client is registered, and as the request of the call is.
pub async fn wanted(cx: &Cx<'_>, mut members: Map<String, Value>) -> Result<Question> {
    let mut known = Known::default();
    let id = members.get("client_id").and_then(Value::as_str);
    let id = id.ok_or_else(|| missing("`client_id` is missing: it names the client that acts"))?;
    let client = known.client(cx, id).await?.ok_or_else(|| missing("`client_id` names no client"))?;
    let user = match members.get("user").and_then(Value::as_str) {
        None => None,
        Some(id) => Some(known.user(cx, id).await?.ok_or_else(|| missing("`user` names no user"))?),
    };
    let resource = match members.get("resource").and_then(Value::as_str) {
        Some(uri) => registered(cx, uri).await?,
        None => None,
    };
    let names_scopes = members.get("scopes").and_then(Value::as_array).is_some_and(|scopes| !scopes.is_empty());
    if members.contains_key("resource") && !names_scopes {
        let all = resource.as_deref().map(names).filter(|all| !all.is_empty());
        let all =
            all.ok_or_else(|| missing("`resource` names no resource: name one with its scopes, or name `scopes`"))?;
        members.insert("scopes".to_owned(), all.into());
    }
    let written = WrittenQuestion::read(&members).map_err(|faults| missing(&faults.join("\n")))?;
    let kind = match written.connection() {
        Some(name) => match question::connection(cx, name).await? {
            Target::Connection { kind, .. } => kind,
            Target::Scope { .. } => String::new(),
        },
        None => String::new(),
    };
    let scopes = resource.as_deref().map(|resource| resource.body.scopes.as_slice()).unwrap_or_default();
    let tool = |name: &str| scopes.iter().find(|scope| scope.name == name)?.tool.clone();
    let principal = written.principal(policy::principal(cx, &client));
    let (subject, chain) = (user.as_ref().map_or(&client.id, |user| &user.id), written.chain());
    let chain_tags = match chain.is_empty() {
        true => principal.tags.clone(),
        false => policy::shared_tags(cx, &client.id, subject, &chain).await?,
    };
    let is_bound = client.metadata.dpop_bound_access_tokens;
    let found = Circumstance {
        auth_method: Some(client.metadata.token_endpoint_auth_method.as_str().to_owned()),
        dpop: is_bound,
        chain_tags,
        subject: user.as_deref().map(policy::subject),
        ..Circumstance::default()
    };
    Ok(Question {
        action: written.action(),
        targets: written.targets(&tool, &kind),
        now: written.at().unwrap_or(cx.now),
        peer: written.peer(),
        circumstance: written.circumstance(found),
        means: written.means(is_bound),
        principal,
        client,
    })
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

/// Says in an answer that it is not given for another reason than policy.
pub fn refuse(answer: &mut Value, because: &str, said: &str) {
    put(answer, "allow", false.into());
    put(answer, "because", because.into());
    put(answer, "said", said.into());
}

/// The explanation of what an event tells of, and its question.
pub async fn event(cx: &Cx<'_>, event: &Event) -> Result<(Question, Value)> {
    let asked = question::of(cx, &mut Known::default(), event).await?;
    let question =
        asked.map_err(|why| Reason::InvalidField.because(["the decision cannot be explained: ", why].concat()))?;
    let mut answer = explain(cx, &question, false).await?;
    let facts = &event.facts;
    let letters: Vec<char> =
        facts.question.iter().flat_map(|kept| question::decided(kept, facts)).map(|(_, was)| was).collect();
    // Where two actions were asked about, the verdicts of the event are of both together.
    let was = letters.into_iter().cycle().map(word);
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
    Ok((question, answer))
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// The explanation of a question. `counts` says whether limits are looked at: of a decision that was made, the use is counted already.
pub async fn explain(cx: &Cx<'_>, question: &Question, counts: bool) -> Result<Value> {
    let (seen, circumstance) = question.seen(cx);
    let Question { client, principal, targets, .. } = question;
    let bundle = super::bundle(&seen, &client.id, targets).await?;
    let resource = match targets.first() {
        Some(Target::Scope { resource, .. }) => registered(cx, resource).await?,
        _ => None,
    };
    let subject = circumstance.subject.as_ref().map_or(&client.id, |user| &user.id);
    let mut notes: Vec<&str> = Vec::new();
    let has_more = resource.as_ref().is_some_and(|resource| resource.body.scopes.len() > MAX_SCOPES);
    if has_more && targets.len() == MAX_SCOPES {
        notes.push("the resource has more scopes than one question is about: name those that you mean");
    }
    let mut all = Vec::new();
    for action in answer::actions(question.action).iter().copied() {
        let asked = crate::cedar::Question { action, principal, targets, circumstance: &circumstance };
        let offset = |zone: &str| policy::offset(&seen, zone);
        let mut explained = bundle.explain(&asked, &offset);
        if answer::needs_permit(action) && !explained.iter().any(|one| one.is_met) {
            let nearest = nearest(cx).await?.explain(&asked, &offset);
            for (one, near) in explained.iter_mut().zip(nearest) {
                (one.statements, one.more) = (near.statements, near.more);
            }
        }
        for (target, explanation) in targets.iter().zip(explained) {
            let mut verdict = answer::of_action(action, explanation.verdict);
            obligations::meet(seen.now, std::slice::from_mut(&mut verdict), &question.means);
            all.push((action, target, Explanation { verdict, ..explanation }));
        }
    }
    let limits = all.iter().filter(|_| counts).map(|(_, _, explained)| &explained.verdict);
    let room = obligations::room(&seen, (&client.id, subject), obligations::limits(limits)).await?;
    let shown_of = |(action, target, explained): (Action, &Target, Explanation)| {
        let of_limits = room.iter().filter(|room| explained.verdict.limits.contains(&room.limit));
        let (left, shown): (Vec<i64>, Vec<Value>) = of_limits.map(|room| (room.left, room.shown())).unzip();
        let mut answer = shown_answer(action, target, explained, beyond(question, target, resource.as_deref()));
        if !shown.is_empty() {
            put(&mut answer, "room", shown.into());
        }
        if left.contains(&0) && answer.get("allow").and_then(Value::as_bool) == Some(true) {
            refuse(&mut answer, Because::Limit.as_str(), "a limit has no room before the time in `room`");
        }
        answer
    };
    let answers: Vec<Value> = all.into_iter().map(shown_of).collect();
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
    if question.action == Action::Register {
        return None;
    }
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

fn shown_answer(
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
        None if !answer::needs_permit(action) => Some("no forbid holds, and nothing has to permit this"),
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
        ("client_name", Some(question.principal.name.clone())),
        ("user", user),
        ("action", Some(question.action.as_str().to_owned())),
        ("resource", resource.cloned()),
        ("connection", connection.cloned()),
    ];
    shown.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
    shown
}
