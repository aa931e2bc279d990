//! Clients: finding them.

use super::identities;
use crate::context::Cx;
use crate::error::Result;
use crate::model::Client;
use crate::store::{self, Reader};
use std::rc::Rc;

/// The client of that id.
pub async fn load(cx: &Cx<'_>, id: &str) -> Result<Option<Rc<Client>>> {
    let load = async || {
        // Nearly always the client is asked about on its own next; its identity comes along.
        let mut statements = store::clients::get(&cx.tenant.id, id).to_vec();
        statements.push(store::identities::of(&cx.tenant.id, id, id));
        let mut outcomes = cx.batch(statements).await?;
        let own = outcomes.pop().and_then(|outcome| outcome.rows.into_iter().next());
        let own = own.map(|row| store::identities::read(&Reader(&row))).transpose()?;
        cx.keep(&identities::key(id, id), own);
        store::clients::read_one(&outcomes)
    };
    cx.cached(&format!("client/{id}"), load).await
}
