//! What a shadow policy would have changed: how often, since when, for whom.
//!
//! 1. It is counted from the events of decisions, each of which names the shadow policies that would have changed it. One report reads a
//!    bounded number of them, the newest first, and says where the next one goes on.

use super::question::{names, shadowed};
use super::tally::{Other, Tally};
use crate::audit;
use crate::context::Cx;
use crate::error::Result;
use crate::store::policies::Policy;
use serde_json::{Value, json};

/// How many events one report reads.
pub const READ: i64 = 2_000;
/// How many of them at a time.
const PAGE: i64 = 250;

/// The report about a policy from an id of an event on and before another, and where the next one goes on.
pub async fn report(cx: &Cx<'_>, policy: &Policy, (from, before): (&str, &str)) -> Result<(Value, Option<String>)> {
    let id = policy.source.id.as_str();
    let (mut tally, mut decisions, mut unknown, mut read) = (Tally::default(), 0_u64, 0_u64, 0_i64);
    let mut before = before.to_owned();
    let next = loop {
        let page = audit::query::shadowed(cx, (from, &before), PAGE).await?;
        let count = i64::try_from(page.len()).unwrap_or(PAGE);
        read = read.saturating_add(count);
        for event in page.iter().filter_map(|kept| kept.event.as_ref()) {
            if !event.facts.shadow_policies.iter().any(|named| named == id) {
                continue;
            }
            decisions = decisions.saturating_add(1);
            let Some((question, marks)) =
                event.facts.question.as_ref().and_then(|kept| Some((kept, shadowed(kept, id)?)))
            else {
                unknown = unknown.saturating_add(1);
                continue;
            };
            let verdicts = names(question, &event.facts).into_iter().zip(question.verdicts.chars());
            for ((name, was), _) in verdicts.zip(marks.chars()).filter(|(_, mark)| *mark == 'x') {
                let would = if was == 'd' { 'a' } else { 'd' };
                let policies = std::slice::from_ref(&policy.source.id);
                tally.add(&Other { event, action: &question.action, name, was, would, already: false, policies });
            }
        }
        match page.last() {
            Some(last) if count >= PAGE => before.clone_from(&last.id),
            _ => break None,
        }
        if read >= READ {
            break Some(before);
        }
    };
    let (first_at, last_at) = tally.period().unzip();
    let mut report = json!({
        "policy": id,
        "mode": policy.source.mode.as_str(),
        "read": read,
        "decisions": decisions,
        "would_allow": tally.would('a'),
        "would_deny": tally.would('d'),
        "unknown": unknown,
        "first_at": first_at,
        "last_at": last_at,
    });
    if let Some(members) = report.as_object_mut() {
        members.extend(tally.members());
        members.retain(|_, value| !value.is_null());
    }
    Ok((report, next))
}
