//! Resources: finding them.

use crate::context::Cx;
use crate::context::cache::key;
use crate::error::{Reason, Result};
use crate::model::Resource;
use crate::oauth::ResourceUri;
use crate::store;
use std::rc::Rc;

key!(
    /// A resource by the canonical form of its URI.
    ResourceKey(uri) -> Resource = "resource", weighs Resource::weight
);

/// The registered resource that `uri` names, at most as old as the freshness bound.
pub async fn load(cx: &Cx<'_>, uri: &ResourceUri) -> Result<Option<Rc<Resource>>> {
    let read = async || {
        let built_in = Resource::built_in(&cx.issuer()).into_iter().flatten();
        if let Some(own) = built_in.into_iter().find(|own| own.body.resource.is_same(uri)) {
            return Ok(Some(own));
        }
        cx.one(store::resources::by_uri(&cx.tenant.id, uri.canonical())).await
    };
    cx.cached(&ResourceKey(uri.canonical()), read).await
}

/// The only resource that the authorization server guards.
pub async fn only_one_of(cx: &Cx<'_>, server: &str) -> Result<ResourceUri> {
    let mut resources = cx.all(store::resources::guarded_by(&cx.tenant.id, server)).await?;
    match (resources.pop(), resources.pop()) {
        (None, _) => Err(Reason::UnknownResource.into()),
        (Some(only), None) => Ok(only.body.resource),
        _ => Err(Reason::MissingResource.into()),
    }
}
