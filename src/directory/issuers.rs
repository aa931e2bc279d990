//! Trusted outside issuers: finding them.

use crate::context::Cx;
use crate::error::Result;
use crate::model::Issuer;
use crate::store;
use std::rc::Rc;

/// The registered outside issuer of that `iss`, at most as old as the freshness bound.
pub async fn load(cx: &Cx<'_>, iss: &str) -> Result<Option<Rc<Issuer>>> {
    let read = async || {
        let outcomes = cx.batch(vec![store::issuers::by_issuer(&cx.tenant.id, iss)]).await?;
        store::single(&outcomes).map(|row| store::issuers::read(&row)).transpose()
    };
    cx.cached(&format!("issuer/{iss}"), read).await
}
