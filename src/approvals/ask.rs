//! Asking: a statement is made of what is asked, and waits for those who decide.

use crate::audit;
use crate::context::{Change, Cx};
use crate::crypto::sha256;
use crate::error::{Fault, Reason, Result};
use crate::model::approval::{Approval, ApprovalBody, ApprovalStatus, Door, Requirement, Rule, canonical, member};
use crate::model::event::Facts;
use crate::model::{Client, Event, EventType};
use crate::store;
use crate::store::approvals::New;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// How long those who decide have, in seconds, where nothing else is said.
pub const SECONDS: i64 = 900;
/// How many seconds a client waits between two questions at first.
pub const INTERVAL: i64 = 5;

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
    /// The digest by which requests that ask the same are one.
    pub fn key(&self) -> String {
        let Self { door, client, requester, subject, require, what, .. } = self;
        let all = json!({
            "door": door.as_str(), "client": client.id, "requester": requester, "subject": subject, "require": require, "what": what,
        });
        sha256(canonical(&all)).to_text()
    }

    fn rules(&self) -> Vec<Rule> {
        let owner = self.client.metadata.owner.as_deref();
        // A stored requirement that does not parse asks for what nobody gives.
        let rule = |text: &String| match Requirement::parse(text) {
            Some(requirement) => requirement.rule(self.subject, owner),
            None => Rule { who: vec![], n: 1, passkey: true },
        };
        self.require.iter().map(rule).collect()
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

/// The approval for what is asked: the one that there is, or one that waits from now on. `handle` is the digest of what its client polls with, and
/// `notify` whom to tell; both are of a new one alone. Whether it is new is told as well.
pub async fn ask(
    cx: &Cx<'_>,
    asked: &Asked<'_>,
    handle: Option<&str>,
    notify: Option<String>,
) -> Result<(Approval, bool)> {
    let (tenant, now, key) = (&cx.tenant.id, cx.now.seconds(), asked.key());
    if let Some(found) = cx.one(store::approvals::of_key(tenant, &key, now)).await? {
        return Ok((found, false));
    }
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
    let new = New { approval: &approval, body: json_of(&approval)?, deciders, handle };
    let mut requested = event(cx, EventType::ApprovalRequested, &approval);
    requested.facts.outcome = Some(who.join(" ")).filter(|who| !who.is_empty());
    let change = Change::guard(store::approvals::insert(tenant, &new))
        .event(requested)
        .always(store::approvals::insert_deciders_if_there(tenant, &new));
    if cx.commit(change).await? {
        return Ok((approval, true));
    }
    // Another request has just asked the same, or there are too many.
    let found = cx.one(store::approvals::of_key(tenant, &key, now)).await?;
    found.map(|found| (found, false)).ok_or_else(|| Reason::TooManyApprovals.after(60))
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
        resource: text("resource"),
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
