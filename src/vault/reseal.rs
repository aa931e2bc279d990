//! Wrapping data keys anew under the newest key-encryption key, so that an older one can be taken away.
//!
//! 1. What is wrapped anew is stored only if it is still wrapped as it was read. The ciphertext in KV stays as it is.

use super::envelope::{self, Place};
use crate::context::{Change, Cx};
use crate::directory::connections::ConnectionKey;
use crate::error::Result;
use crate::store;
use crate::store::connections::Wrapped;

/// How many data keys of a tenant one run wraps anew.
const AT_ONCE: i64 = 20;

/// Wraps anew what an older key has wrapped. One that no key opens is logged and left alone.
pub async fn tick(cx: &Cx<'_>) -> Result<()> {
    let ring = envelope::ring(cx)?;
    for old in cx.all(store::connections::outdated(&cx.tenant.id, ring.version().into(), AT_ONCE)).await? {
        let Wrapped { connection, id, wrapped_key } = &old;
        let place = Place { tenant: &cx.tenant.id, connection, credential: id };
        match place.rewrap(ring, wrapped_key, &*cx.world.entropy) {
            Some(wrapped) => {
                let guard = store::connections::rewrap(&cx.tenant.id, &old, wrapped);
                cx.commit(Change::guard(guard).invalidates(&ConnectionKey(connection))).await?;
            }
            None => cx.world.log.line("vault: a data key is wrapped under a key that is not here"),
        }
    }
    Ok(())
}
