//! Clients: finding them.

use super::identities::IdentityKey;
use crate::context::Cx;
use crate::context::cache::key;
use crate::error::Result;
use crate::model::{Client, id};
use crate::store;
use std::rc::Rc;

key!(
    /// A client by its id.
    ClientKey(id) -> Client = "client", weighs Client::weight
);

/// The client of that id, at most as old as the freshness bound.
pub async fn load(cx: &Cx<'_>, id: &str) -> Result<Option<Rc<Client>>> {
    if !id::is_plausible(id) {
        return Ok(None);
    }
    let read = async || {
        // Nearly always the client is asked about on its own next; its identity comes along.
        let (client, own) =
            cx.batch((store::clients::get(&cx.tenant.id, id), store::identities::of(&cx.tenant.id, id, id))).await?;
        let client = client.into_iter().next();
        if client.is_some() {
            cx.keep(&IdentityKey(id, id), own.into_iter().next());
        }
        Ok(client)
    };
    cx.cached(&ClientKey(id), read).await
}
