//! Agentic identities: finding them, making them with their first token, listing them with their events.

use crate::context::Cx;
use crate::context::cache::key;
use crate::error::{Fault, Reason, Result};
use crate::model::Identity;
use crate::model::identity::{Entry, Filter};
use crate::store::{self, consents::Holdings};
use serde_json::Value;
use std::rc::Rc;

/// How many events tell what an identity did last, and how many its newest tokens.
const RECENT: i64 = 20;

key!(
    /// The agentic identity of a client with a subject, or that there is none.
    IdentityKey(client, subject) -> Option<Identity> = "identity", weighs |_| 400
);

/// The `lst` of a Token Status List, and how many places it has.
pub struct StatusList {
    /// How many places it has.
    pub size: i64,
    /// As it goes into the token.
    pub lst: Rc<String>,
}

key!(
    /// Where all identities stand: what changes the status of an identity, a client or a user drops it.
    StatusListKey -> StatusList = "status-list", weighs |list| list.lst.len()
);

/// The agentic identity of a client with a subject, if it has ever been one.
pub async fn load(cx: &Cx<'_>, client: &str, subject: &str) -> Result<Option<Rc<Identity>>> {
    let read = async || cx.one(store::identities::of(&cx.tenant.id, client, subject)).await.map(Some);
    let known = cx.cached(&IdentityKey(client, subject), read).await?;
    Ok(known.and_then(|known| (*known).clone()).map(Rc::new))
}

/// The agentic identity of a client with a subject; made now if it has never been one. It costs a write once, and from
/// then on nothing.
pub async fn register(cx: &Cx<'_>, client: &str, subject: &str, registered_by: &str) -> Result<Rc<Identity>> {
    if let Some(known) = load(cx, client, subject).await? {
        return Ok(known);
    }
    let (tenant, stamp) = (&cx.tenant.id, cx.stamp());
    let (_, made) = cx
        .batch((
            store::identities::ensure(tenant, &cx.new_id(), (client, subject), registered_by, cx.now.seconds()),
            store::identities::of(tenant, client, subject),
        ))
        .await?;
    let made = made.into_iter().next().ok_or(Fault::Broken("an identity was not made"))?;
    cx.keep(stamp, &IdentityKey(client, subject), Some(made.clone()));
    Ok(Rc::new(made))
}

/// Lists identities by id.
pub async fn list(cx: &Cx<'_>, filter: &Filter<'_>, after: &str, limit: i64) -> Result<Vec<Entry>> {
    cx.all(store::identities::list(&cx.tenant.id, filter, after, limit)).await
}

/// The identity of that name.
pub async fn find(cx: &Cx<'_>, id: &str) -> Result<Entry> {
    cx.one(store::identities::entry(&cx.tenant.id, id)).await?.ok_or_else(|| Reason::NotFound.into())
}

/// The newest events of an identity.
pub struct Recent {
    /// All kinds of events.
    pub events: Vec<Value>,
    /// The events of its newest tokens.
    pub issued: Vec<Value>,
}

/// The newest events of an identity, newest first.
pub async fn recent(cx: &Cx<'_>, entry: &Entry) -> Result<Recent> {
    let (client, subject) = (entry.identity.client.as_str(), entry.identity.subject.as_str());
    let tenant = &cx.tenant.id;
    let (events, issued) = cx
        .trail()
        .batch((
            store::events::recent(tenant, client, subject, RECENT),
            store::events::issued(tenant, client, subject, RECENT),
        ))
        .await?;
    Ok(Recent { events, issued })
}

/// What an identity has of its user: consents, refresh families.
pub async fn holdings(cx: &Cx<'_>, entry: &Entry) -> Result<Holdings> {
    let parties = (entry.identity.client.as_str(), entry.identity.subject.as_str());
    let found = cx.one(store::consents::holdings(&cx.tenant.id, parties, cx.now.seconds())).await?;
    found.ok_or_else(|| Fault::Broken("a count has a row").into())
}
