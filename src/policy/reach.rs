//! What an agentic identity can reach, and why.
//!
//! 1. What an identity can reach is what policy says now, scope by scope and connection by connection, with the policies
//!    that determined it. Nothing is recorded, for nothing is decided.
//! 2. It is asked as the identity itself would ask, but from nowhere: a policy about an address, a country or a tool sees
//!    none. Whether the identity is stopped is left aside, so that one can look before one resumes.

use crate::cedar::{Action, Circumstance, Target, Verdict};
use crate::context::Cx;
use crate::directory::{clients, users};
use crate::error::Result;
use crate::model::identity::Entry;
use crate::model::{Client, Resource, User};
use crate::policy::obligations::{self, Means};
use crate::policy::{self, Inquiry};
use crate::store;
use serde::Serialize;
use std::rc::Rc;

/// How many resources and how many connections are looked at.
const LOOKED_AT: i64 = 100;

/// What an identity can reach.
#[derive(Default, Serialize)]
pub struct Reach {
    /// Scope by scope, as far as its client may ask for the resource.
    pub scopes: Vec<Reachable>,
    /// Connection by connection.
    pub connections: Vec<Reachable>,
}

/// A scope or a connection, whether it can be reached, and why.
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
    /// What decided: `policy`, `ceiling` (of the client), `requirement` (that is not met), `quiet` (at this hour), `error` (of a policy).
    pub because: &'static str,
}

/// What it can reach now; nothing if its client or its user is gone.
pub async fn reach(cx: &Cx<'_>, entry: &Entry) -> Result<Reach> {
    let identity = &entry.identity;
    let Some(client) = clients::load(cx, &identity.client).await? else { return Ok(Reach::default()) };
    let user = match identity.subject == identity.client {
        true => None,
        false => match users::load(cx, &identity.subject).await? {
            None => return Ok(Reach::default()),
            user => user,
        },
    };
    let tenant = &cx.tenant.id;
    let (resources, connections) = cx
        .batch((store::resources::list(tenant, "", LOOKED_AT), store::connections::list(tenant, "", LOOKED_AT)))
        .await?;
    let asking = Asking { cx, client: &client, circumstance: circumstance(cx, entry, &client, user.as_ref()) };
    let mut reach = Reach::default();
    for resource in resources {
        if client.may_ask_for(&resource) {
            reach.scopes.extend(asking.scopes(&resource).await?);
        }
    }
    let held = reach.scopes.iter().filter(|scope| scope.allowed).map(|scope| scope.name.clone()).collect();
    for connection in connections {
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
        offset: policy::offset(cx, &cx.tenant.zone),
        grant_type: Some(entry.identity.registered_by.clone()),
        auth_method: Some(client.metadata.token_endpoint_auth_method.as_str().to_owned()),
        dpop: client.metadata.dpop_bound_access_tokens,
        chain_tags: client.metadata.tags.clone(),
        subject: user.map(|user| policy::subject(user)),
        ..policy::circumstance(cx)
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
        let mut verdicts =
            policy::decide(self.cx, self.client, Inquiry { action, targets, circumstance: about }).await?;
        obligations::meet(self.cx.now, &mut verdicts, &Means { is_bound: about.dpop, ..Means::default() });
        Ok(verdicts)
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
    let because = match &verdict {
        Verdict { errors, .. } if !errors.is_empty() => "error",
        Verdict { is_quiet: true, .. } => "quiet",
        Verdict { allow: true, require, .. } if !require.is_empty() => "requirement",
        _ => "policy",
    };
    Reachable {
        resource: resource.map(str::to_owned),
        name: name.to_owned(),
        allowed: verdict.allow && verdict.require.is_empty(),
        policies: verdict.policies,
        because,
    }
}
