//! Trusted outside issuers: finding them.

use crate::context::Cx;
use crate::context::cache::key;
use crate::error::Result;
use crate::model::Issuer;
use crate::model::issuer::WorkloadIdentity;
use crate::store;
use std::rc::Rc;

key!(
    /// A trusted issuer by its `iss`.
    IssuerKey(iss) -> Issuer = "issuer", weighs |_| 4_096
);

key!(
    /// The workload identities that name an `iss`, with their clients.
    WorkloadsKey(iss) -> Vec<(String, WorkloadIdentity)> = "workloads", weighs |all| all.len().saturating_mul(400)
);

/// The registered outside issuer of that `iss`, at most as old as the freshness bound.
pub async fn load(cx: &Cx<'_>, iss: &str) -> Result<Option<Rc<Issuer>>> {
    let read = async || cx.one(store::issuers::by_issuer(&cx.tenant.id, iss)).await;
    cx.cached(&IssuerKey(iss), read).await
}

/// The workload identities that name an issuer, each with its client.
pub async fn workloads(cx: &Cx<'_>, iss: &str) -> Result<Rc<Vec<(String, WorkloadIdentity)>>> {
    let read = async || cx.all(store::issuers::workloads(&cx.tenant.id, iss)).await.map(Some);
    Ok(cx.cached(&WorkloadsKey(iss), read).await?.unwrap_or_default())
}
