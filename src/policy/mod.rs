//! The policies in force: loading them, asking them, changing them.
//!
//! 1. What is in force is a bundle under its content hash; the tenant's pointer names the hash. The bundle in KV is
//!    immutable, so staleness cannot matter; if KV has it not, or not whole, D1 tells.
//! 2. A change moves the pointer from the bundle that it was made from; of two changes at once one has to look again.
//! 3. Every tenant has the built-in policies [`ADMIN`] and [`STREAMS`], so that its own APIs can be reached by the clients that
//!    are allowed to.

pub mod reach;

use crate::audit;
use crate::cedar::{Bundle, Circumstance, Mode, Principal, Question, Source, Subject, Target, Verdict};
use crate::context::cache::key;
use crate::context::{Change, Cx, TenantKey};
use crate::crypto::sha256;
use crate::directory::clients;
use crate::error::{Fault, Reason, Result};
use crate::model::event::{Because, Facts};
use crate::model::{Client, EventType, User, id};
use crate::store;
use crate::store::policies::Policy;
use std::rc::Rc;

/// The id of the built-in policy; no stored one can have it, for it is no slug.
pub const ADMIN: &str = "writ:admin";
/// As [`ADMIN`], for event streams.
pub const STREAMS: &str = "writ:ssf";

key!(
    /// The policies of a content hash, parsed.
    BundleKey(hash) -> Bundle = "policies", weighs |_| 256 * 1_024
);

/// Longer than any IANA name of a time zone.
const MAX_ZONE: usize = 64;

/// How often a change looks again when another one came first.
const ATTEMPTS: usize = 5;

/// The policies in force, parsed once per version and isolate.
pub async fn bundle(cx: &Cx<'_>) -> Result<Rc<Bundle>> {
    let hash = cx.tenant.policy_hash.clone();
    let load = async || {
        let mut sources = match hash.is_empty() {
            true => Vec::new(),
            false => load_sources(cx, &hash).await?,
        };
        sources.extend([built_in(ADMIN, &cx.issuer(), "admin"), built_in(STREAMS, &cx.issuer(), "ssf")]);
        Bundle::parse(&sources).map_err(|_| Fault::Broken("stored policies do not parse").into())
    };
    cx.immutable(&BundleKey(&cx.tenant.policy_hash), load).await
}

fn built_in(id: &str, issuer: &str, api: &str) -> Source {
    let cedar = format!(
        "permit(principal, action == Action::\"issue\", resource in Resource::\"{issuer}/{api}\")\n\
         when {{ principal.resources.contains(\"{issuer}/{api}\") }};"
    );
    Source { id: id.to_owned(), cedar, mode: Mode::Enforce }
}

fn kv_key(tenant: &str, hash: &str) -> String {
    format!("policy/{tenant}/{hash}")
}

async fn load_sources(cx: &Cx<'_>, hash: &str) -> Result<Vec<Source>> {
    let key = kv_key(&cx.tenant.id, hash);
    // KV down is no reason to fail: D1 has the truth.
    let known = cx.world.kv.get(&key).await.ok().flatten().filter(|json| sha256(json).to_text() == hash);
    if let Some(sources) = known.and_then(|json| serde_json::from_slice(json.as_bytes()).ok()) {
        return Ok(sources);
    }
    let (json, sources) = pack(load_all(cx).await?)?;
    if sha256(&json).to_text() != hash {
        // The policies have changed since the pointer was read; the next request reads the new pointer.
        return Err(Fault::Unavailable("the policy bundle").into());
    }
    if cx.world.kv.put(&key, json).await.is_err() {
        cx.world.log.line("policies: KV did not take the bundle; D1 serves it");
    }
    Ok(sources)
}

async fn load_all(cx: &Cx<'_>) -> Result<Vec<Source>> {
    let policies = cx.all(store::policies::all(&cx.tenant.id)).await?;
    Ok(policies.into_iter().map(|policy| policy.source).collect())
}

/// The bundle's text and what is in it: everything that is not off.
fn pack(mut sources: Vec<Source>) -> Result<(String, Vec<Source>)> {
    sources.retain(|source| source.mode != Mode::Off);
    let json = serde_json::to_string(&sources).map_err(|_| Fault::Broken("policies have no JSON"))?;
    Ok((json, sources))
}

/// The client as policies see it.
pub fn principal(client: &Client) -> Principal {
    let metadata = &client.metadata;
    Principal {
        id: client.id.clone(),
        name: metadata.client_name.clone(),
        kind: metadata.kind.as_str().to_owned(),
        owner: metadata.owner.clone(),
        tags: metadata.tags.clone(),
        resources: metadata.allowed_resources.iter().flatten().map(ToString::to_string).collect(),
    }
}

/// The user as policies see them.
pub fn subject(user: &User) -> Subject {
    Subject { id: user.id.clone(), roles: user.body.roles.clone(), groups: user.body.groups.clone() }
}

/// The circumstances that every question shares: when, and from where.
pub fn circumstance(cx: &Cx<'_>) -> Circumstance {
    Circumstance {
        ip: cx.peer.ip,
        country: cx.peer.country.clone(),
        asn: cx.peer.asn,
        now: cx.now.seconds(),
        offset: offset(cx, &cx.tenant.zone),
        ..Circumstance::default()
    }
}

/// How many seconds a time zone is ahead of UTC now; nothing if it is unknown. Only what is written like an IANA name is looked up:
/// platforms also take fixed distances from UTC, which know no daylight saving.
pub fn offset(cx: &Cx<'_>, zone: &str) -> Option<i32> {
    let sound = zone.len() <= MAX_ZONE
        && zone.starts_with(|c: char| c.is_ascii_alphabetic())
        && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b));
    if sound { cx.world.zones.offset(zone, cx.now) } else { None }
}

/// The tags that everyone in a chain has: the client, its actors, and the subject if that is a client. One that is gone has
/// none.
pub async fn shared_tags(cx: &Cx<'_>, client: &str, subject: &str, actors: &[String]) -> Result<Vec<String>> {
    let mut shared: Option<Vec<String>> = None;
    let subject = (!id::is_user(subject)).then_some(subject);
    for id in std::iter::once(client).chain(subject).chain(actors.iter().map(String::as_str)) {
        let client = clients::load(cx, id).await?;
        let tags = client.as_deref().map(|client| client.metadata.tags.as_slice()).unwrap_or_default();
        match &mut shared {
            Some(shared) => shared.retain(|tag| tags.contains(tag)),
            none => *none = Some(tags.to_vec()),
        }
    }
    Ok(shared.unwrap_or_default())
}

/// What the policies in force say about every target, for who only wants to know.
pub async fn decide(
    cx: &Cx<'_>,
    action: crate::cedar::Action,
    client: &Client,
    (targets, circumstance): (&[Target], &Circumstance),
) -> Result<Vec<Verdict>> {
    let principal = principal(client);
    Ok(bundle(cx).await?.decide(&Question { action, principal: &principal, targets, circumstance }))
}

/// Asks the policies in force about every target, and writes into `facts` who decided, under one decision id for all that
/// is asked for one answer.
pub async fn ask(
    cx: &Cx<'_>,
    action: crate::cedar::Action,
    client: &Client,
    (targets, circumstance): (&[Target], &Circumstance),
    facts: &mut Facts,
) -> Result<Vec<Verdict>> {
    let verdicts = decide(cx, action, client, (targets, circumstance)).await?;
    let gather = |ids: &mut Vec<String>, pick: fn(&Verdict) -> &Vec<String>| {
        ids.extend(verdicts.iter().flat_map(|verdict| pick(verdict).iter().cloned()));
        ids.sort_unstable();
        ids.dedup();
    };
    facts.decision.get_or_insert_with(|| cx.new_id());
    gather(&mut facts.policies, |verdict| &verdict.policies);
    gather(&mut facts.policy_errors, |verdict| &verdict.errors);
    gather(&mut facts.shadow_policies, |verdict| &verdict.shadow);
    facts.policy_version = Some(cx.tenant.policy_hash.clone());
    Ok(verdicts)
}

/// Why a verdict does not give what was asked for; nothing if it does.
pub fn refusal(verdict: &Verdict) -> Option<Because> {
    match verdict {
        Verdict { errors, .. } if !errors.is_empty() => Some(Because::Error),
        Verdict { allow: false, policies, .. } if policies.is_empty() => Some(Because::NoPermit),
        Verdict { allow: false, .. } => Some(Because::Forbidden),
        Verdict { require, .. } if !require.is_empty() => Some(Because::Requirement),
        _ => None,
    }
}

/// Changes one policy: `change` gets the present one and says what shall be written (`None`: remove it).
pub async fn change(
    cx: &Cx<'_>,
    client: &str,
    id: &str,
    change: impl Fn(Option<&Policy>) -> Result<Option<(Source, String)>>,
) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let (tenant, policies) =
            cx.batch((store::tenants::get(&cx.tenant.id), store::policies::all(&cx.tenant.id))).await?;
        let version = tenant.first().ok_or(Reason::UnknownTenant)?.policy_version;
        let present = policies.iter().find(|policy| policy.source.id == id);
        let wanted = change(present)?;
        let mut sources: Vec<Source> =
            policies.iter().map(|policy| &policy.source).filter(|source| source.id != id).cloned().collect();
        sources.extend(wanted.iter().map(|(source, _)| source.clone()));
        sources.sort_by(|a, b| a.id.cmp(&b.id));
        let (json, _) = pack(sources)?;
        let hash = sha256(&json).to_text();
        // First the bundle, then the pointer: whoever follows the pointer finds it.
        if cx.world.kv.put(&kv_key(&cx.tenant.id, &hash), json).await.is_err() {
            cx.world.log.line("policies: KV did not take the bundle; D1 serves it");
        }
        let (kind, write, detail) = match &wanted {
            Some((source, description)) => (
                EventType::PolicyPut,
                store::policies::put(&cx.tenant.id, source, description, cx.now.seconds()),
                Some(source.mode.as_str().to_owned()),
            ),
            None => (EventType::PolicyDeleted, store::policies::delete(&cx.tenant.id, id), None),
        };
        let facts =
            Facts { target: Some(id.to_owned()), detail, policy_version: Some(hash.clone()), ..Facts::default() };
        let event = audit::event(cx, kind, Some(client), facts);
        let point = store::policies::point(&cx.tenant.id, version, &hash);
        if cx.commit(Change::guard(point).then(write).invalidates(&TenantKey).event(event)).await? {
            return Ok(());
        }
    }
    Err(Reason::Conflict.into())
}
