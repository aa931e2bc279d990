//! The policies in force: loading them, asking them, changing them, explaining what they say and trying out what others would say.
//!
//! 1. The policies in force lie in shards. A question reads the shards with policies that can apply to it (`shards`).
//! 2. A change moves the tenant's pointer if it still is as the change read it; of two changes at once one reads again.
//! 3. Every tenant has the built-in policies [`ADMIN`], [`STREAMS`] and [`CONNECTIONS`], so that its own APIs can be reached by the clients that
//!    are allowed to.

mod answer;
pub mod explain;
pub mod obligations;
pub mod question;
pub mod reach;
pub mod replay;
pub mod shadow;
mod shards;
mod tally;
pub mod templates;
pub mod testing;
mod warnings;
pub mod written;

pub use shards::kv_prefix;
pub use warnings::{unknown_scopes, warnings};

use crate::audit;
use crate::cedar::{
    self, Action, Bundle, Circumstance, Complaint, Engine, Home, Mode, Principal, Question, Required, Shard, Source,
    Subject, Target, Verdict,
};
use crate::context::cache::key;
use crate::context::{Change, Cx, TenantKey};
use crate::directory::{clients, quotas};
use crate::error::{Fault, Reason, Result};
use crate::model::event::{Because, Facts};
use crate::model::{Client, Counted, EventType, Registration, User, UserBody, id};
use crate::oauth::client_url;
use crate::store;
use crate::store::policies::{Policy, PolicyDraft};
use std::rc::Rc;
use testing::Tested;

/// The id of the built-in policy; no stored one can have it, for it is no slug.
pub const ADMIN: &str = "writ:admin";
/// As [`ADMIN`], for event streams.
pub const STREAMS: &str = "writ:ssf";
/// As [`ADMIN`], for calls through connections. What may be called is for the policies of `lease` to say.
pub const CONNECTIONS: &str = "writ:connections";
/// As [`ADMIN`], for reports of tool calls.
pub const REPORTS: &str = "writ:events";

/// The engine and the built-in policies of a tenant.
pub struct Base {
    engine: Rc<Engine>,
    built_in: Rc<Shard>,
}

key!(
    /// The base of this tenant.
    BaseKey -> Base = "policy-base", weighs |_| 256 * 1_024
);

/// Longer than any IANA name of a time zone.
const MAX_ZONE: usize = 64;

/// How often a change looks again when another one came first.
const ATTEMPTS: usize = 5;

/// The policies in force that can apply to the client and the targets, each parsed once per isolate.
async fn bundle(cx: &Cx<'_>, client: &str, targets: &[Target]) -> Result<Bundle> {
    let (engine, shards) = parts(cx, client, targets).await?;
    Ok(Bundle::of(engine, shards))
}

/// What such a bundle is made of.
async fn parts(cx: &Cx<'_>, client: &str, targets: &[Target]) -> Result<(Rc<Engine>, Vec<Rc<Shard>>)> {
    let base = base(cx).await?;
    let mut shards = shards::reached(cx, &Home::reached(client, targets)).await?;
    shards.push(Rc::clone(&base.built_in));
    Ok((Rc::clone(&base.engine), shards))
}

async fn base(cx: &Cx<'_>) -> Result<Rc<Base>> {
    let make = async || {
        let engine = Engine::new().map_err(|_| Fault::Broken("the schema's names do not parse"))?;
        let issuer = cx.issuer();
        let sources = [(ADMIN, "admin"), (STREAMS, "ssf"), (CONNECTIONS, "connections"), (REPORTS, "events")];
        let sources = sources.map(|(id, api)| built_in(id, &issuer, api));
        Ok(Base { engine: Rc::new(engine), built_in: Rc::new(Shard::read("built-in", &sources)) })
    };
    cx.immutable(&BaseKey, make).await
}

impl Base {
    /// These shards and the built-in policies.
    fn with(&self, mut shards: Vec<Rc<Shard>>) -> Bundle {
        shards.push(Rc::clone(&self.built_in));
        Bundle::of(Rc::clone(&self.engine), shards)
    }
}

fn built_in(id: &str, issuer: &str, api: &str) -> Source {
    let cedar = format!(
        "permit(principal, action == Action::\"issue\", resource in Resource::\"{issuer}/{api}\")\n\
         when {{ principal.resources.contains(\"{issuer}/{api}\") }};"
    );
    Source { id: id.to_owned(), cedar, mode: Mode::Enforce }
}

/// The client as policies see it.
pub fn principal(cx: &Cx<'_>, client: &Client) -> Principal {
    let metadata = &client.metadata;
    let verified = match client.registration {
        Registration::Admin => true,
        Registration::MetadataDocument => cx.tenant.settings.registration.vouches_for(client_url::host(&client.id)),
        Registration::Dynamic => false,
    };
    Principal {
        id: client.id.clone(),
        name: metadata.client_name.clone(),
        kind: metadata.kind.as_str().to_owned(),
        owner: metadata.owner.clone(),
        tags: metadata.tags.clone(),
        resources: metadata.allowed_resources.iter().flatten().map(ToString::to_string).collect(),
        registration: client.registration.as_str().to_owned(),
        verified,
    }
}

/// The user as policies see them.
pub fn subject(user: &User) -> Subject {
    let UserBody { roles, groups, claims, .. } = user.body.clone();
    Subject { id: user.id.clone(), roles, groups, claims }
}

/// The circumstances that every question shares: when, and from where.
pub fn circumstance(cx: &Cx<'_>) -> Circumstance {
    Circumstance {
        ip: cx.peer.ip,
        location: cx.peer.location.clone(),
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

/// The tags that all clients in a chain share: the client, its actors, and the subject if that is a client. A client that is gone
/// has none.
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

/// A question to policy about a client.
#[derive(Clone, Copy)]
pub struct Inquiry<'a> {
    /// The action of the client.
    pub action: Action,
    /// The scopes or connections; each has a verdict of its own.
    pub targets: &'a [Target],
    /// The context of the request.
    pub circumstance: &'a Circumstance,
}

/// The verdict of the policies in force about every target (see `answer`). It is not recorded.
pub async fn decide(cx: &Cx<'_>, client: &Client, inquiry: Inquiry<'_>) -> Result<Vec<Verdict>> {
    let Inquiry { action, targets, circumstance } = inquiry;
    let principal = principal(cx, client);
    let bundle = bundle(cx, &principal.id, targets).await?;
    let question = Question { action, principal: &principal, targets, circumstance };
    Ok(answer::answer(&bundle, &question, &|zone| offset(cx, zone)))
}

/// The verdict of the policies in force about every target, for an event: `facts` then name the policies that decided, and the question. All inquiries
/// for one answer share a decision id.
pub async fn ask(cx: &Cx<'_>, client: &Client, inquiry: Inquiry<'_>, facts: &mut Facts) -> Result<Vec<Verdict>> {
    let verdicts = decide(cx, client, inquiry).await?;
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
    question::keep(client, inquiry, &verdicts, facts);
    Ok(verdicts)
}

/// Why a verdict does not give what was asked for; nothing if it does.
pub fn refusal(verdict: &Verdict) -> Option<Because> {
    match verdict {
        Verdict { errors, .. } if !errors.is_empty() => Some(Because::Error),
        Verdict { is_quiet: true, .. } => Some(Because::Quiet),
        Verdict { allow: false, policies, .. } if policies.is_empty() => Some(Because::NoPermit),
        Verdict { allow: false, .. } => Some(Because::Forbidden),
        verdict if obligations::is_over_limit(verdict) => Some(Because::Limit),
        Verdict { require, .. } if !require.is_empty() => Some(Because::Requirement),
        _ => None,
    }
}

/// How old the sign-in may be that `@require("step_up")` wants, in seconds (RFC 9470 §3).
pub const STEP_UP_SECONDS: i64 = 300;

/// Whether the next that a verdict wants is that the user signs in: approvals are asked for afterwards.
pub fn lacks_sign_in(verdict: &Verdict) -> bool {
    let is_met_by_people = |required: &Required| matches!(required, Required::StepUp(_) | Required::Approval(_));
    refusal(verdict) == Some(Because::Requirement)
        && verdict.require.iter().any(|required| matches!(required, Required::StepUp(_)))
        && verdict.require.iter().all(is_met_by_people)
}

/// Whether that somebody signs in is what helps where verdicts refuse. A client on its own has nobody to send.
pub fn asks_for_sign_in(is_for_user: bool, verdicts: &[Verdict]) -> bool {
    is_for_user && verdicts.iter().any(lacks_sign_in)
}

/// Whether a verdict would give what was asked for if it were approved.
pub fn lacks_approval(verdict: &Verdict) -> bool {
    refusal(verdict) == Some(Because::Requirement)
        && verdict.require.iter().all(|required| matches!(required, Required::Approval(_)))
}

/// Whether a text may be stored as a policy: it holds, and the platform knows the time zones that it names.
pub fn check(cx: &Cx<'_>, id: &str, cedar: &str) -> std::result::Result<(), Vec<Complaint>> {
    cedar::check(id, cedar)?;
    let unknown = cedar::zones(cedar).into_iter().filter(|(_, zone)| offset(cx, zone).is_none());
    let message = "this time zone is unknown: @zone takes an IANA name such as `Europe/Berlin`";
    let complaints: Vec<Complaint> = unknown.map(|(at, _)| Complaint::at(cedar, at, message)).collect();
    if complaints.is_empty() { Ok(()) } else { Err(complaints) }
}

/// Changes one policy: `change` gets the present one and says what shall be written (`None`: remove it). A test that fails refuses the
/// change, unless it is forced. Answers which tests were not run.
pub async fn change(
    cx: &Cx<'_>,
    client: &str,
    (id, is_forced): (&str, bool),
    change: impl Fn(Option<&Policy>) -> Result<Option<PolicyDraft>>,
) -> Result<Option<String>> {
    for _ in 0..ATTEMPTS {
        let tenant = &cx.tenant.id;
        let (row, present, shards, others) = cx
            .batch((
                store::tenants::get(tenant),
                store::policies::get(tenant, id),
                store::policies::shards(tenant),
                store::policies::tests_of_others(tenant, id, "", testing::PAGE),
            ))
            .await?;
        let row = row.first().ok_or(Reason::UnknownTenant)?;
        let present = present.first();
        let wanted = change(present)?;
        let mut quota = None;
        if present.is_none() && wanted.is_some() {
            quotas::expect_room(cx, Counted::Policies).await?;
            quota = quotas::quota(cx, Counted::Policies);
        }
        let source = wanted.as_ref().map(|wanted| &wanted.source);
        let altered = shards::alter(cx, (&row.policy_hash, shards), present, source).await?;
        let own = wanted.as_ref().and_then(|wanted| Some((&wanted.source, wanted.tests.as_deref()?)));
        let tested = testing::run(cx, &altered, (id, own), others).await?;
        let (not_run, Tested { failures, .. }) = (tested.not_run(), tested);
        if !failures.is_empty() && !is_forced {
            return Err(Reason::PolicyTestFailed.because(failures.join("\n")));
        }
        shards::write(cx, &altered).await;
        let (kind, write, mode) = match &wanted {
            Some(wanted) => (
                EventType::PolicyPut,
                store::policies::put(tenant, wanted, &altered.shard, cx.now.seconds()),
                Some(wanted.source.mode.as_str()),
            ),
            None => (EventType::PolicyDeleted, store::policies::delete(tenant, id), None),
        };
        let pointer = altered.pointer;
        let facts = |detail: Option<String>| Facts {
            target: Some(id.to_owned()),
            detail,
            policy_version: Some(pointer.clone()),
            ..Facts::default()
        };
        let detail: Vec<String> = mode.map(str::to_owned).into_iter().chain(not_run.clone()).collect();
        let event = audit::event(cx, kind, Some(client), facts((!detail.is_empty()).then(|| detail.join("; "))));
        let forced = (!failures.is_empty())
            .then(|| audit::event(cx, EventType::PolicyForced, Some(client), facts(Some(failures.join("; ")))));
        let point = store::policies::point(tenant, row.policy_version, &pointer, quota);
        let change = altered.links.into_iter().fold(Change::guard(point).then(write), Change::then);
        let change = forced.into_iter().fold(change.invalidates(&TenantKey).event(event), Change::event);
        if cx.commit(change).await? {
            return Ok(not_run);
        }
    }
    Err(Reason::Conflict.because("other changes of policies came first, several times: try again"))
}
