//! The directory of agentic identities: who there is, what each can reach, and what it did last.
//!
//! 1. What an identity can reach is what policy says now, scope by scope and connection by connection, with the policies
//!    that determined it. Nothing is recorded, for nothing is decided.
//! 2. It is asked as the identity itself would ask, but from nowhere: a policy about an address, a country or a tool sees
//!    none. Whether the identity is stopped is left aside, so that one can look before one resumes.

use crate::cx::Cx;
use crate::error::{Reason, Result};
use crate::gate;
use crate::model::identity::{Entry, Filter};
use crate::model::{Client, Resource, User};
use crate::policies;
use crate::policy::{Action, Circumstance, Target, Verdict};
use crate::store::{self, Reader, identities};
use serde::Serialize;
use serde_json::Value;
use std::rc::Rc;

/// How many resources and how many connections are looked at.
const LOOKED_AT: i64 = 100;
/// How many events tell what an identity did last.
const RECENT: i64 = 20;

/// What an identity can reach.
#[derive(Default, Serialize)]
pub struct Reach {
    /// Scope by scope, as far as its client may ask for the resource.
    pub scopes: Vec<Reachable>,
    /// Connection by connection.
    pub connections: Vec<Reachable>,
}

/// Whether one thing can be reached, and why.
#[derive(Serialize)]
pub struct Reachable {
    /// The resource of a scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The scope, or the connection.
    pub name: String,
    /// Whether it can.
    pub allowed: bool,
    /// The policies that determined it; none where no policy permits it.
    pub policies: Vec<String>,
    /// What decided: `policy`, `ceiling` (of the client), `requirement` (that cannot be met), `error` (of a policy).
    pub because: &'static str,
}

/// Lists identities by id.
pub async fn list(cx: &Cx<'_>, filter: &Filter<'_>, (after, limit): (&str, i64)) -> Result<Vec<Entry>> {
    let outcomes = cx.batch(vec![identities::list(&cx.tenant.id, filter, after, limit)]).await?;
    let rows = outcomes.iter().flat_map(|outcome| &outcome.rows);
    rows.map(|row| identities::read_entry(&Reader(row))).collect()
}

/// The identity of that name.
pub async fn find(cx: &Cx<'_>, id: &str) -> Result<Entry> {
    let outcomes = cx.batch(vec![identities::entry(&cx.tenant.id, id)]).await?;
    identities::read_entry(&store::single(&outcomes).ok_or(Reason::NotFound)?)
}

/// What it did last, newest first.
pub async fn recent(cx: &Cx<'_>, entry: &Entry) -> Result<Vec<Value>> {
    let whose = (entry.identity.client.as_str(), entry.identity.subject.as_str());
    let outcomes = cx.batch(vec![identities::events(&cx.tenant.id, whose, RECENT)]).await?;
    let rows = outcomes.iter().flat_map(|outcome| &outcome.rows);
    rows.map(|row| store::events::read(&Reader(row))).collect()
}

/// What it can reach now; nothing if its client or its user is gone.
pub async fn reach(cx: &Cx<'_>, entry: &Entry) -> Result<Reach> {
    let identity = &entry.identity;
    let Some(client) = gate::client(cx, &identity.client).await? else { return Ok(Reach::default()) };
    let user = match identity.subject == identity.client {
        true => None,
        false => match gate::user(cx, &identity.subject).await? {
            None => return Ok(Reach::default()),
            user => user,
        },
    };
    let tenant = &cx.tenant.id;
    let statements =
        vec![store::resources::list(tenant, "", LOOKED_AT), store::connections::list(tenant, "", LOOKED_AT)];
    let outcomes = cx.batch(statements).await?;
    let [resources, connections] = outcomes.as_slice() else { return Ok(Reach::default()) };
    let asking = Asking { cx, client: &client, circumstance: circumstance(cx, entry, &client, user.as_ref()) };
    let mut reach = Reach::default();
    for row in &resources.rows {
        let resource = store::resources::read(&Reader(row))?;
        if client.may_ask_for(&resource.body.resource) {
            reach.scopes.extend(asking.scopes(&resource).await?);
        }
    }
    let held = reach.scopes.iter().filter(|scope| scope.allowed).map(|scope| scope.name.clone()).collect();
    for row in &connections.rows {
        let connection = store::connections::read(&Reader(row))?;
        let target = Target::Connection { name: connection.name.clone(), kind: connection.kind };
        let with = Circumstance { scopes: Vec::clone(&held), grant_type: None, ..asking.circumstance.clone() };
        let verdicts = asking.ask(Action::Lease, &[target], &with).await?;
        reach.connections.extend(verdicts.into_iter().map(|verdict| reachable(None, &connection.name, verdict)));
    }
    Ok(reach)
}

fn circumstance(cx: &Cx<'_>, entry: &Entry, client: &Client, user: Option<&Rc<User>>) -> Circumstance {
    Circumstance {
        now: cx.now.seconds(),
        offset: policies::offset(cx, &cx.tenant.zone),
        grant_type: Some(entry.identity.registered_by.clone()),
        auth_method: Some(client.metadata.token_endpoint_auth_method.as_str().to_owned()),
        dpop: client.metadata.dpop_bound_access_tokens,
        chain_tags: client.metadata.tags.clone(),
        subject: user.map(|user| policies::subject(user)),
        ..policies::circumstance(cx)
    }
}

struct Asking<'a> {
    cx: &'a Cx<'a>,
    client: &'a Client,
    circumstance: Circumstance,
}

impl Asking<'_> {
    /// What it does when it asks for a token.
    fn action(&self) -> Action {
        let grant = self.circumstance.grant_type.as_deref().unwrap_or_default();
        if grant.ends_with(":token-exchange") { Action::Exchange } else { Action::Issue }
    }

    async fn ask(&self, action: Action, targets: &[Target], about: &Circumstance) -> Result<Vec<Verdict>> {
        policies::decide(self.cx, action, self.client, (targets, about)).await
    }

    /// Each scope of a resource; those beyond the client's ceiling are not asked about.
    async fn scopes(&self, resource: &Resource) -> Result<Vec<Reachable>> {
        let uri = resource.body.resource.to_string();
        let (asked, beyond): (Vec<_>, Vec<_>) =
            resource.body.scopes.iter().partition(|scope| self.client.may_have(&scope.name));
        let targets: Vec<Target> = asked
            .iter()
            .map(|scope| Target::Scope { resource: uri.clone(), name: scope.name.clone(), tool: scope.tool.clone() })
            .collect();
        let names = asked.iter().map(|scope| scope.name.clone()).collect();
        let about = Circumstance { scopes: names, ..self.circumstance.clone() };
        let verdicts = self.ask(self.action(), &targets, &about).await?;
        let decided = asked.iter().zip(verdicts);
        let decided = decided.map(|(scope, verdict)| reachable(Some(&uri), &scope.name, verdict));
        let beyond = beyond.iter().map(|scope| Reachable {
            resource: Some(uri.clone()),
            name: scope.name.clone(),
            allowed: false,
            policies: vec![],
            because: "ceiling",
        });
        Ok(decided.chain(beyond).collect())
    }
}

fn reachable(resource: Option<&str>, name: &str, verdict: Verdict) -> Reachable {
    let because = match (verdict.errors.is_empty(), verdict.allow && !verdict.require.is_empty()) {
        (false, _) => "error",
        (true, true) => "requirement",
        (true, false) => "policy",
    };
    Reachable {
        resource: resource.map(str::to_owned),
        name: name.to_owned(),
        allowed: verdict.allow && verdict.require.is_empty(),
        policies: verdict.policies,
        because,
    }
}
