//! Making an event durable before its answer leaves.
//!
//! 1. An event is bounded when it is made, whatever was sent: a text is cut at a character and a list after some entries, and both say
//!    so. An event with everything at its bound fits the queue and D1 twice over.
//! 2. Names stand beside ids as they are when the event is made: those that the request has learnt from what it has read anyway.

use crate::context::Cx;
use crate::context::database::Database;
use crate::error::{Fault, Result};
use crate::model::event::{Facts, QuestionRecord, RefusedScope};
use crate::model::{Event, EventType};
use crate::ports::{QUEUED_BYTES, QUEUED_TOGETHER, World};
use crate::store;

/// An event of this request: id, tenant, moment, request and address are filled in.
pub fn event(cx: &Cx<'_>, kind: EventType, client: Option<&str>, mut facts: Facts) -> Event {
    // A decision of policy has already named the event that will tell of it.
    let id = facts.decision.clone().unwrap_or_else(|| cx.new_id());
    facts.ip = facts.ip.or_else(|| cx.peer.ip.map(|ip| ip.to_string()));
    name(cx, client, &mut facts);
    bound(&mut facts);
    Event {
        id,
        tenant: cx.tenant.id.clone(),
        at: cx.now.millis(),
        kind,
        request_id: cx.request_id.clone(),
        client: client.map(str::to_owned),
        facts,
        is_erased: false,
    }
}

/// Puts names beside the ids of clients, users and resources.
fn name(cx: &Cx<'_>, client: Option<&str>, facts: &mut Facts) {
    let of = |id: &Option<String>| cx.name_of(id.as_deref()?);
    facts.client_name = client.and_then(|client| cx.name_of(client));
    facts.subject_name = of(&facts.subject);
    facts.resource_name = of(&facts.resource);
    facts.resource_server_name = of(&facts.resource_server);
    facts.chain_names = facts.chain.iter().map(|id| cx.name_of(id).unwrap_or_else(|| id.clone())).collect();
}

/// How many bytes a text takes at most, as JSON has it; a scope, authorization details, a resource and a detail may be longer.
const TEXT: usize = 512;
const LONG_TEXT: usize = 2_048;
const SCOPE: usize = 4_096;
/// How many entries a list has at most, and how many bytes a name in it takes.
const ENTRIES: usize = 32;
const NAME: usize = 128;
const ID: usize = 64;
const LONG_NAME: usize = 256;
/// How many bytes the scopes of a question take, how many tags it keeps, how many claims and shadow policies, and how many bytes a tag takes.
const QUESTION_SCOPES: usize = 768;
const TAGS: usize = 8;
const FEW: usize = 6;
const TAG: usize = 64;

/// Cuts what is too long. Every member is named here, so that none is forgotten.
fn bound(facts: &mut Facts) {
    let Facts {
        client_name,
        subject,
        subject_name,
        chain,
        chain_names,
        grant_type,
        auth_method,
        resource,
        resource_name,
        scope_asked,
        scope_given,
        authorization_details,
        scope_refused,
        scope_refused_more: _,
        connection,
        tool,
        outcome,
        arguments_sha256,
        resource_server,
        resource_server_name,
        method,
        host,
        path,
        status: _,
        bytes_sent: _,
        bytes_received: _,
        millis: _,
        ip,
        decision,
        policies,
        policy_errors,
        shadow_policies,
        policy_version,
        jti_hash,
        expires_at: _,
        reason,
        detail,
        target,
        target_name,
        question,
        approval,
    } = facts;
    for text in [client_name, subject_name, resource_name, resource_server_name, target_name] {
        cut_optional(text, LONG_NAME);
    }
    for text in [subject, grant_type, auth_method, connection, tool, resource_server, ip, decision] {
        cut_optional(text, TEXT);
    }
    for text in [policy_version, jti_hash, reason, target, path] {
        cut_optional(text, TEXT);
    }
    for text in [method, outcome, arguments_sha256] {
        cut_optional(text, NAME);
    }
    cut_optional(host, LONG_NAME);
    cut_optional(approval, ID);
    for text in [resource, detail] {
        cut_optional(text, LONG_TEXT);
    }
    for text in [scope_asked, scope_given, authorization_details] {
        cut_optional(text, SCOPE);
    }
    for list in [chain, chain_names, policies, policy_errors, shadow_policies] {
        cut_list(list, NAME);
    }
    if let Some(question) = question {
        question.bound();
    }
    for RefusedScope { scope, policies, .. } in scope_refused {
        cut(scope, NAME);
        policies.iter_mut().for_each(|policy| cut(policy, NAME));
    }
}

impl QuestionRecord {
    /// A question that does not fit whole cannot be asked again; the event says so by what is cut.
    fn bound(&mut self) {
        let Self {
            action,
            scopes,
            verdicts,
            auth_method,
            country,
            asn: _,
            acr,
            auth_time: _,
            dpop: _,
            bound: _,
            chain_tags,
            workload_claims,
            shadow,
        } = self;
        cut(scopes, QUESTION_SCOPES);
        for text in [action, verdicts] {
            cut(text, NAME);
        }
        for text in [auth_method, country, acr] {
            cut_optional(text, NAME);
        }
        if let Some(tags) = chain_tags {
            tags.truncate(TAGS);
            tags.iter_mut().for_each(|tag| cut(tag, TAG));
        }
        for list in [workload_claims, shadow] {
            list.truncate(FEW);
            list.iter_mut().for_each(|text| cut(text, NAME));
        }
    }
}

fn cut_optional(text: &mut Option<String>, most: usize) {
    if let Some(text) = text {
        cut(text, most);
    }
}

/// Cuts a text so that its JSON takes no more than `most` bytes; what was cut ends in `…`.
fn cut(text: &mut String, most: usize) {
    const END: &str = "…";
    let room = most.saturating_sub(END.len());
    let (mut taken, mut whole_at) = (0_usize, 0);
    for (at, c) in text.char_indices() {
        if taken <= room {
            whole_at = at;
        }
        taken = taken.saturating_add(match c {
            '"' | '\\' => 2,
            '\0'..='\u{1f}' => 6,
            c => c.len_utf8(),
        });
        if taken > most {
            text.truncate(whole_at);
            text.push_str(END);
            return;
        }
    }
}

/// Cuts a list; the last entry of what was cut says how many there were more.
fn cut_list(list: &mut Vec<String>, most: usize) {
    let more = list.len().saturating_sub(ENTRIES);
    list.truncate(ENTRIES);
    list.iter_mut().for_each(|name| cut(name, most));
    if more > 0 {
        list.push(format!("… {more} more"));
    }
}

/// Returns when the event is durable: taken by the queue, or kept in the outbox. A fault if neither took it.
pub async fn record(cx: &Cx<'_>, event: &Event) -> Result<()> {
    keep(cx.world, event).await
}

/// The same after the request: for what ends later.
pub async fn keep(world: &World, event: &Event) -> Result<()> {
    let body = serde_json::to_string(event).map_err(|_| Fault::Broken("an event has no JSON"))?;
    if world.queue.send(body.clone()).await.is_ok() {
        return Ok(());
    }
    world.log.line("audit: the queue refused an event; using the outbox");
    // The queue has just refused it, so the event waits for the cron: to try again after every answer would only burden D1 while the
    // queue is down.
    Database(&*world.db).run(vec![store::events::stage(&event.id, body)]).await.map(drop)
}

/// Returns when the events of a request are durable. A fault if the queue and the outbox have not taken all of them: the request may then be sent
/// again with the same ids.
pub async fn record_all(cx: &Cx<'_>, events: &[Event]) -> Result<()> {
    let json = |event: &Event| serde_json::to_string(event).map_err(|_| Fault::Broken("an event has no JSON"));
    let (mut batches, mut bytes): (Vec<Vec<(&str, String)>>, usize) = (vec![vec![]], 0);
    for event in events {
        let body = json(event)?;
        let together = bytes.saturating_add(body.len());
        let is_full = batches.last().is_some_and(|batch| batch.len() >= QUEUED_TOGETHER) || together > QUEUED_BYTES;
        bytes = if is_full { body.len() } else { together };
        if is_full {
            batches.push(vec![]);
        }
        if let Some(batch) = batches.last_mut() {
            batch.push((&event.id, body));
        }
    }
    let mut refused = Vec::new();
    for batch in batches {
        let bodies: Vec<String> = batch.iter().map(|(_, body)| body.clone()).collect();
        if !bodies.is_empty() && cx.world.queue.send_all(bodies).await.is_err() {
            refused.extend(batch.into_iter().map(|(id, body)| store::events::stage(id, body)));
        }
    }
    if !refused.is_empty() {
        cx.world.log.line("audit: the queue refused events; using the outbox");
    }
    cx.run(refused).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Because;

    /// An event with `length` characters of that kind in every text, and as many entries in every list.
    fn large(c: char, length: usize, entries: usize) -> Event {
        let text = || c.to_string().repeat(length);
        let list = || vec![text(); entries];
        let mut facts = Facts {
            client_name: Some(text()),
            subject: Some(text()),
            subject_name: Some(text()),
            chain: list(),
            chain_names: list(),
            grant_type: Some(text()),
            auth_method: Some(text()),
            resource: Some(text()),
            resource_name: Some(text()),
            scope_asked: Some(text()),
            scope_given: Some(text()),
            authorization_details: Some(text()),
            connection: Some(text()),
            tool: Some(text()),
            outcome: Some(text()),
            arguments_sha256: Some(text()),
            resource_server: Some(text()),
            resource_server_name: Some(text()),
            method: Some(text()),
            host: Some(text()),
            path: Some(text()),
            status: Some(u16::MAX),
            bytes_sent: Some(u64::MAX),
            bytes_received: Some(u64::MAX),
            millis: Some(u64::MAX),
            ip: Some(text()),
            decision: Some(text()),
            policies: list(),
            policy_errors: list(),
            shadow_policies: list(),
            policy_version: Some(text()),
            jti_hash: Some(text()),
            expires_at: Some(i64::MAX),
            reason: Some(text()),
            detail: Some(text()),
            target: Some(text()),
            target_name: Some(text()),
            question: Some(QuestionRecord {
                action: text(),
                scopes: text(),
                verdicts: text(),
                auth_method: Some(text()),
                country: Some(text()),
                asn: Some(u32::MAX),
                acr: Some(text()),
                auth_time: Some(i64::MAX),
                dpop: true,
                bound: true,
                chain_tags: Some(list()),
                workload_claims: list(),
                shadow: list(),
            }),
            approval: Some(text()),
            ..Facts::default()
        };
        for _ in 0..100 {
            facts.refuse_scope(&text(), Because::Requirement, &vec!["p".repeat(64); 16]);
        }
        bound(&mut facts);
        let (id, tenant, request_id) = ("i".repeat(26), "t".repeat(64), "r".repeat(26));
        Event {
            id,
            tenant,
            at: u64::MAX,
            kind: EventType::TokenRefused,
            request_id,
            client: Some("c".repeat(64)),
            facts,
            is_erased: false,
        }
    }

    #[test]
    fn an_event_with_everything_at_its_bound_stays_below_64_kb_whatever_its_characters() {
        for c in ['a', '"', '\\', '\0', '\n', 'é', '€', '😀'] {
            let json = serde_json::to_string(&large(c, 10_000, 1_000)).unwrap();
            assert!(json.len() < 64 * 1024, "{c:?}: {}", json.len());
            assert_eq!(serde_json::to_string(&serde_json::from_str::<Event>(&json).unwrap()).unwrap(), json);
        }
    }

    #[test]
    fn what_is_cut_says_so_and_what_fits_stays_as_it_is() {
        let facts = large('é', 257, 33).facts;
        assert_eq!(facts.subject.unwrap(), format!("{}…", "é".repeat(254)), "512 bytes, and no half of a character");
        assert_eq!(facts.scope_given.unwrap(), "é".repeat(257));
        assert_eq!((facts.chain.len(), facts.chain[32].as_str()), (33, "… 1 more"));
        let fits = large('a', 128, 32).facts;
        assert_eq!((fits.chain, fits.subject), (vec!["a".repeat(128); 32], Some("a".repeat(128))));
        assert_eq!(large('a', 512, 1).facts.subject.unwrap().len(), 512);
        assert_eq!(large('a', 513, 1).facts.subject.unwrap().len(), 512);
    }
}
