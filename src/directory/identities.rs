//! Agentic identities: finding them, making them with their first token, and listing what they are and did.

use crate::context::Cx;
use crate::error::{Fault, Reason, Result};
use crate::model::Identity;
use crate::model::identity::{Entry, Filter};
use crate::store::{self, Reader};
use serde_json::Value;
use std::rc::Rc;

/// How many events tell what an identity did last.
const RECENT: i64 = 20;

/// The agentic identity of a client with a subject, if it has ever been one. That there is none is remembered too.
pub async fn load(cx: &Cx<'_>, client: &str, subject: &str) -> Result<Option<Rc<Identity>>> {
    let read = async || {
        let outcomes = cx.batch(vec![store::identities::of(&cx.tenant.id, client, subject)]).await?;
        store::single(&outcomes).map(|row| store::identities::read(&row)).transpose().map(Some)
    };
    let known: Option<Rc<Option<Identity>>> = cx.cached(&key(client, subject), read).await?;
    Ok(known.and_then(|known| (*known).clone()).map(Rc::new))
}

pub(super) fn key(client: &str, subject: &str) -> String {
    format!("identity/{client}/{subject}")
}

/// The agentic identity of a client with a subject; made now if it has never been one. It costs a write once, and from
/// then on nothing.
pub async fn register(cx: &Cx<'_>, client: &str, subject: &str, registered_by: &str) -> Result<Rc<Identity>> {
    if let Some(known) = load(cx, client, subject).await? {
        return Ok(known);
    }
    let tenant = &cx.tenant.id;
    let statements = vec![
        store::identities::ensure(tenant, &cx.new_id(), (client, subject), registered_by, cx.now.seconds()),
        store::identities::of(tenant, client, subject),
    ];
    let outcomes = cx.batch(statements).await?;
    let row = outcomes.get(1).and_then(|outcome| outcome.rows.first());
    let made = store::identities::read(&Reader(row.ok_or(Fault::Broken("an identity was not made"))?))?;
    cx.keep(&key(client, subject), Some(made.clone()));
    Ok(Rc::new(made))
}

/// Lists identities by id.
pub async fn list(cx: &Cx<'_>, filter: &Filter<'_>, (after, limit): (&str, i64)) -> Result<Vec<Entry>> {
    let outcomes = cx.batch(vec![store::identities::list(&cx.tenant.id, filter, after, limit)]).await?;
    let rows = outcomes.iter().flat_map(|outcome| &outcome.rows);
    rows.map(|row| store::identities::read_entry(&Reader(row))).collect()
}

/// The identity of that name.
pub async fn find(cx: &Cx<'_>, id: &str) -> Result<Entry> {
    let outcomes = cx.batch(vec![store::identities::entry(&cx.tenant.id, id)]).await?;
    store::identities::read_entry(&store::single(&outcomes).ok_or(Reason::NotFound)?)
}

/// What it did last, newest first.
pub async fn recent(cx: &Cx<'_>, entry: &Entry) -> Result<Vec<Value>> {
    let whose = (entry.identity.client.as_str(), entry.identity.subject.as_str());
    let outcomes = cx.batch(vec![store::identities::events(&cx.tenant.id, whose, RECENT)]).await?;
    let rows = outcomes.iter().flat_map(|outcome| &outcome.rows);
    rows.map(|row| store::events::read(&Reader(row))).collect()
}
