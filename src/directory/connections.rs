//! Connections: finding them.

use crate::context::Cx;
use crate::context::cache::key;
use crate::error::Result;
use crate::model::Connection;
use crate::model::id::is_slug;
use crate::store;
use std::rc::Rc;

key!(
    /// A connection by its name.
    ConnectionKey(name) -> Connection = "connection", weighs |_| 4_096
);

/// The connection of that name, at most as old as the freshness bound.
pub async fn load(cx: &Cx<'_>, name: &str) -> Result<Option<Rc<Connection>>> {
    if !is_slug(name) {
        return Ok(None);
    }
    cx.cached(&ConnectionKey(name), async || cx.one(store::connections::get(&cx.tenant.id, name)).await).await
}
