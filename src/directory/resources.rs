//! Resources: finding them.

use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::model::Resource;
use crate::oauth::ResourceUri;
use crate::store::{self, Reader};
use std::rc::Rc;

/// The registered resource that `uri` names, at most as old as the freshness bound.
pub async fn load(cx: &Cx<'_>, uri: &ResourceUri) -> Result<Option<Rc<Resource>>> {
    let read = async || {
        let built_in = Resource::built_in(&cx.issuer()).into_iter().flatten();
        if let Some(own) = built_in.into_iter().find(|own| own.body.resource.is_same(uri)) {
            return Ok(Some(own));
        }
        let outcomes = cx.batch(vec![store::resources::by_uri(&cx.tenant.id, uri.meeting_form())]).await?;
        store::single(&outcomes).map(|row| store::resources::read(&row)).transpose()
    };
    cx.cached(&format!("resource/{}", uri.meeting_form()), read).await
}

/// The only resource that the authorization server guards.
pub async fn only_one_of(cx: &Cx<'_>, server: &str) -> Result<ResourceUri> {
    let outcomes = cx.batch(vec![store::resources::guarded_by(&cx.tenant.id, server)]).await?;
    let rows: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.rows).collect();
    match rows.as_slice() {
        [] => Err(Reason::UnknownResource.into()),
        [only] => Ok(store::resources::read(&Reader(only))?.body.resource),
        _ => Err(Reason::MissingResource.into()),
    }
}
