//! Asking: a statement is made of what is asked, and waits for those who decide.

use crate::audit;
use crate::context::{Change, Cx};
use crate::crypto::sha256;
use crate::error::{Fault, Reason, Result};
use crate::model::approval::{Approval, ApprovalBody, ApprovalStatus, Door, canonical, member};
use crate::model::event::Facts;
use crate::model::requirement::{Requirement, Rule};
use crate::model::tenant::APPROVALS_A_DAY;
use crate::model::{Client, Event, EventType, Quiet};
use crate::policy;
use crate::store;
use crate::store::approvals::New;
use crate::store::spent::Redeemable;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// How long those who decide have, in seconds, where nothing else is said.
pub const SECONDS: i64 = 900;
/// How many seconds a client waits between two questions at first.
pub const INTERVAL: i64 = 5;
/// After how many seconds another try is worth it where too many wait.
const A_MINUTE: i64 = 60;

/// What is asked.
pub struct Asked<'a> {
    /// Where it is asked for.
    pub door: Door,
    /// The client that is to do it.
    pub client: &'a Client,
    /// The client that asks.
    pub requester: &'a str,
    /// For whom it is done.
    pub subject: &'a str,
    /// What is required, as `@require` has it.
    pub require: Vec<String>,
    /// What is to be done: requests that differ in it are others.
    pub what: Map<String, Value>,
    /// What those who decide are told besides.
    pub told: Map<String, Value>,
    /// How long they have, in seconds.
    pub seconds: i64,
}

impl Asked<'_> {
    /// The digest by which requests that ask the same people for the same are one.
    pub fn key(&self) -> String {
        let Self { door, client, requester, subject, what, .. } = self;
        let mut what = what.clone();
        // In whichever order: a question that was answered is not asked again in another one.
        for name in ["scope", "lease_scope", "authorization_details"] {
            match what.get_mut(name) {
                Some(Value::Array(all)) => {
                    all.sort_by_cached_key(canonical);
                    all.dedup();
                }
                Some(Value::String(text)) => {
                    let all: BTreeSet<&str> = text.split(' ').collect();
                    *text = all.into_iter().collect::<Vec<_>>().join(" ");
                }
                _ => {}
            }
        }
        let rules = self.rules().into_iter().map(|Rule { who, n, passkey }| json!([who, n, passkey]));
        let all = json!({
            "door": door.as_str(), "client": client.id, "requester": requester, "subject": subject, "what": what,
            "rules": rules.collect::<Vec<Value>>(),
        });
        sha256(canonical(&all)).to_text()
    }

    /// Who has to approve, in order, however it was written. A rule that another one covers asks nobody else, and is left out.
    fn rules(&self) -> Vec<Rule> {
        let owner = self.client.metadata.owner.as_deref();
        // A stored requirement that does not parse asks for what nobody gives.
        let rule = |text: &String| match Requirement::parse(text) {
            Some(requirement) => requirement.rule(self.subject, owner),
            None => Rule { who: vec![], n: 1, passkey: true },
        };
        let mut rules: Vec<Rule> = self.require.iter().map(rule).collect();
        rules.sort_unstable();
        rules.dedup();
        let is_covered = |rule: &Rule| rules.iter().any(|other| other != rule && other.covers(rule));
        rules.iter().filter(|rule| !is_covered(rule)).cloned().collect()
    }

    fn statement(&self, cx: &Cx<'_>, id: &str, expires_at: i64) -> String {
        let mut members = self.told.clone();
        members.extend(self.what.clone());
        let own = json!({
            "approval": id, "iss": cx.issuer(), "door": self.door.as_str(), "client": self.client.id,
            "client_name": self.client.metadata.client_name, "requester": self.requester, "subject": self.subject,
            "require": self.require, "created_at": cx.now.seconds(), "expires_at": expires_at,
        });
        members.extend(own.as_object().cloned().unwrap_or_default());
        canonical(&Value::Object(members))
    }
}

/// Where a person decides about an approval.
pub fn uri(cx: &Cx<'_>, id: &str) -> String {
    [&cx.issuer(), "/me/approvals/", id].concat()
}

/// What a new approval has besides.
#[derive(Default)]
pub struct With<'a> {
    /// The digest of what its client polls with.
    pub handle: Option<&'a str>,
    /// Whom to tell of the decision, sealed.
    pub notify: Option<String>,
    /// What is used up when it is made, in the same transaction, and until when that is remembered.
    pub once: Option<(&'a Redeemable, i64)>,
}

/// The approval for what is asked: the one that there is, or one that waits from now on. Whether it is new is told as well.
pub async fn ask(cx: &Cx<'_>, asked: &Asked<'_>, with: With<'_>) -> Result<(Approval, bool)> {
    let (tenant, now, key) = (&cx.tenant.id, cx.now.seconds(), asked.key());
    if let Some(found) = cx.one(store::approvals::of_key(tenant, &key, now)).await? {
        return Ok((found, false));
    }
    expect_awake(cx)?;
    let With { handle, notify, once } = with;
    let (id, expires_at) = (cx.new_id(), now.saturating_add(asked.seconds));
    let approval = Approval {
        key: key.clone(),
        client: asked.client.id.clone(),
        requester: asked.requester.to_owned(),
        subject: asked.subject.to_owned(),
        door: asked.door,
        status: ApprovalStatus::Pending,
        statement: asked.statement(cx, &id, expires_at),
        body: ApprovalBody { rules: asked.rules(), notify, ..ApprovalBody::default() },
        version: 1,
        created_at: now,
        expires_at,
        id,
    };
    let deciders: BTreeSet<&String> = approval.body.rules.iter().flat_map(|rule| &rule.who).collect();
    let who: Vec<String> = deciders.iter().map(|one| (*one).clone()).collect();
    let deciders = serde_json::to_string(&deciders).map_err(|_| Fault::Broken("deciders have no JSON"))?;
    let per_day = cx.tenant.settings.approvals.per_day.unwrap_or(APPROVALS_A_DAY);
    let new = New { approval: &approval, body: json_of(&approval)?, deciders, handle, once, per_day };
    let mut requested = event(cx, EventType::ApprovalRequested, &approval);
    requested.facts.outcome = Some(who.join(" ")).filter(|who| !who.is_empty());
    let guard = Change::guard(store::approvals::insert(tenant, &new));
    let uses = once.map(|(once, until)| store::spent::redeem_if_changed(tenant, once, until));
    let change = uses
        .into_iter()
        .fold(guard, Change::then)
        .event(requested)
        .always(store::approvals::insert_deciders_if_there(tenant, &new));
    if cx.commit(change).await? {
        return Ok((approval, true));
    }
    // Another request has just asked the same, or there are too many.
    let found = cx.one(store::approvals::of_key(tenant, &key, now)).await?;
    if let Some(found) = found {
        return Ok((found, false));
    }
    let parties = (asked.client.id.as_str(), asked.subject);
    let until = cx.one(store::approvals::day_is_full(tenant, parties, per_day, now)).await?;
    Err(Reason::TooManyApprovals.after(until.map_or(A_MINUTE, |until| until.saturating_sub(now).max(1))))
}

/// Refuses in the quiet hours of the tenant: nobody is asked anew then. Where their zone is unknown, it is quiet.
fn expect_awake(cx: &Cx<'_>) -> Result<()> {
    let rules = &cx.tenant.settings.approvals;
    let Some(text) = &rules.quiet else { return Ok(()) };
    let zone = rules.zone.as_ref().unwrap_or(&cx.tenant.zone);
    let (Some(quiet), Some(offset)) = (Quiet::parse(text), policy::offset(cx, zone)) else {
        return Err(Reason::ApprovalQuietHours.because("the hours or their zone are unknown"));
    };
    let second = cx.now.seconds().saturating_add(offset.into()).rem_euclid(86_400);
    let minute = u32::try_from(second.div_euclid(60)).unwrap_or_default();
    if !quiet.holds(minute) {
        return Ok(());
    }
    let seconds = i64::from(quiet.ends_in(minute)).saturating_mul(60);
    Err(Reason::ApprovalQuietHours.after(seconds.saturating_sub(second.rem_euclid(60)).max(1)))
}

/// The body of an approval as it is stored.
pub(super) fn json_of(approval: &Approval) -> Result<String> {
    serde_json::to_string(&approval.body).map_err(|_| Fault::Broken("an approval has no JSON").into())
}

/// An event of an approval.
pub(super) fn event(cx: &Cx<'_>, kind: EventType, approval: &Approval) -> Event {
    audit::event(cx, kind, Some(&approval.client), facts(approval))
}

/// What an event tells of an approval.
pub(super) fn facts(approval: &Approval) -> Facts {
    let text = |name: &str| member(approval.granted(), name).as_str().map(str::to_owned);
    let scope = approval.texts("scope");
    let details = member(approval.granted(), "authorization_details");
    Facts {
        approval: Some(approval.id.clone()),
        target: Some(approval.id.clone()),
        subject: Some(approval.subject.clone()),
        chain: approval.texts("chain"),
        resource: approval.resource(),
        connection: text("connection"),
        tool: text("tool"),
        scope_asked: (!scope.is_empty()).then(|| scope.join(" ")),
        authorization_details: details.as_array().filter(|all| !all.is_empty()).map(|_| details.to_string()),
        resource_server: Some(approval.requester.clone()).filter(|requester| *requester != approval.client),
        detail: text("reason"),
        expires_at: Some(approval.expires_at),
        ..Facts::default()
    }
}
