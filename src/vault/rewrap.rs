//! Data keys that lie under an older key-encryption key are wrapped anew under the newest one, by the cron.
//!
//! 1. A run takes a bounded number; the next run goes on. An older key can be removed from `VAULT_KEK` once none is left under it.
//! 2. The credential itself stays as it is: its data key is the same.

use super::accounts;
use super::envelope::{CredentialPath, ring};
use crate::context::{Change, Cx};
use crate::directory::connections::ConnectionKey;
use crate::error::Result;
use crate::store;

/// How many connections one run looks at.
const REWRAPPED: i64 = 50;

/// Wraps data keys of the tenant anew.
pub async fn tick(cx: &Cx<'_>) -> Result<()> {
    let (ring, tenant) = (ring(cx)?, &cx.tenant.id);
    let Some(version) = ring.version() else { return Ok(()) };
    for stored in cx.all(store::connections::wrapped_otherwise(tenant, version, REWRAPPED)).await? {
        let path = CredentialPath { tenant, connection: &stored.connection, credential: &stored.credential };
        let Some(anew) = path.rewrap(ring, &stored.wrapped_key, &*cx.world.entropy) else {
            cx.world.log.line("vault: a data key does not open under any key-encryption key");
            continue;
        };
        let guard = store::connections::rewrap(tenant, &stored, &anew);
        cx.commit(Change::guard(guard).invalidates(&ConnectionKey(&stored.connection))).await?;
    }
    for account in cx.all(store::accounts::wrapped_otherwise(tenant, version, REWRAPPED)).await? {
        let path = CredentialPath { tenant, connection: &account.connection, credential: &account.id };
        let Some(anew) = path.rewrap(ring, &account.wrapped_key, &*cx.world.entropy) else {
            cx.world.log.line("vault: a data key of an account does not open under any key-encryption key");
            continue;
        };
        cx.commit(accounts::change(store::accounts::rewrap(tenant, &account, &anew), &account)).await?;
    }
    Ok(())
}
