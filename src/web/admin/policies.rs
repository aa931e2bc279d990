//! `admin/policies`: Cedar text that permits or forbids.
//!
//! 1. A policy that does not parse or does not fit the schema is refused with line and column, whatever its mode.
//! 2. A policy that probably does not mean what it says is written, and the answer has warnings.

use super::{body, check_slug, expect_if_sent, expect_present, item, page};
use crate::cedar::{Complaint, Mode, Source};
use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::policy;
use crate::store;
use crate::store::policies::Policy;
use crate::web::{Call, Response};
use serde::{Deserialize, Serialize};
use std::cell::Cell;

const MAX_DESCRIPTION: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    description: String,
    cedar: String,
    #[serde(default = "enforce")]
    mode: Mode,
}

const fn enforce() -> Mode {
    Mode::Enforce
}

#[derive(Serialize)]
struct View {
    #[serde(flatten)]
    source: Source,
    description: String,
    created_at: i64,
    updated_at: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

fn view(policy: Policy) -> View {
    let Policy { source, description, created_at, updated_at, .. } = policy;
    View { source, description, created_at, updated_at, warnings: vec![] }
}

async fn find(cx: &Cx<'_>, id: &str) -> Result<Policy> {
    cx.one(store::policies::get(&cx.tenant.id, id)).await?.ok_or_else(|| Reason::NotFound.into())
}

/// Lists policies by id.
pub async fn list(call: Call<'_>) -> Result<Response> {
    let page = page(call)?;
    let found = call.cx.all(store::policies::list(&call.cx.tenant.id, page.after(), page.rows())).await?;
    Ok(page.of(found, |policy| (policy.source.id.clone(), view(policy))))
}

/// Shows a policy.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let policy = find(call.cx, call.id(0)?).await?;
    let version = policy.version;
    Ok(item(200, &view(policy), version))
}

/// Writes a policy: makes it, or replaces the one that is there.
pub async fn put(call: Call<'_>) -> Result<Response> {
    let (id, now) = (call.id(0)?, call.cx.now.seconds());
    check_slug("id", id)?;
    let Body { description, cedar, mode } = body(call)?;
    if description.chars().count() > MAX_DESCRIPTION {
        let problem = format!("`description` must have at most {MAX_DESCRIPTION} characters");
        return Err(Reason::InvalidField.because(problem));
    }
    policy::check(call.cx, id, &cedar).map_err(|complaints| {
        Reason::InvalidPolicy.because(complaints.iter().map(Complaint::line).collect::<Vec<_>>().join("\n"))
    })?;
    let warnings = policy::warnings(call.cx, &cedar).await?;
    let source = Source { id: id.to_owned(), cedar, mode };
    let replaced = Cell::new(None);
    policy::change(call.cx, call.admin()?, id, |present| {
        replaced.set(present.map(|policy| (policy.version, policy.created_at)));
        expect_present(call, present.map(|policy| policy.version))?;
        Ok(Some((source.clone(), description.clone())))
    })
    .await?;
    let (status, version, created_at) = match replaced.get() {
        Some((version, created_at)) => (200, version.saturating_add(1), created_at),
        None => (201, 1, now),
    };
    Ok(item(status, &View { source, description, created_at, updated_at: now, warnings }, version))
}

/// Removes a policy.
pub async fn delete(call: Call<'_>) -> Result<Response> {
    policy::change(call.cx, call.admin()?, call.id(0)?, |present| {
        expect_if_sent(call, present.ok_or(Reason::NotFound)?.version)?;
        Ok(None)
    })
    .await?;
    Ok(Response::empty(204))
}
