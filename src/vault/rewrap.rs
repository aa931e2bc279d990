//! Data keys that lie under an older key-encryption key are wrapped anew under the newest one: by the cron, and at once when an administrator
//! asks for it.
//!
//! 1. A run takes a bounded number, a page and a transaction at a time; the next run goes on, wherever the one before has ended
//!    (docs/requirements.md R293). An older key can be removed from `VAULT_KEK` once none is left under it.
//! 2. The credential itself stays as it is: its data key is the same. So leases and calls go on, and nobody's memory has to forget anything.
//! 3. Before a run the newest key is tried: what would be sealed under a wrong one is lost (docs/requirements.md R292).
//! 4. A data key that does not open is passed over, and keeps no other from its turn.

use super::canary;
use super::envelope::CredentialPath;
use crate::audit;
use crate::context::{Change, Cx};
use crate::crypto::Keyring;
use crate::error::{Error, Fault, Result};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::ports::Sql;
use crate::store::data_keys::{self, Sealed};
use crate::webhooks;
use serde::Serialize;

/// How many data keys a transaction wraps anew.
const PAGE: i64 = 50;
/// How many pages a run of the cron, and a request of an administrator, look at.
const PAGES_OF_CRON: usize = 4;
const PAGES_OF_REQUEST: usize = 20;

/// What a run has done.
#[derive(Debug, Default, Serialize)]
pub struct Rewrapped {
    /// The version of the newest key.
    pub version: u32,
    /// How many data keys were wrapped anew.
    pub rewrapped: usize,
    /// How many are left under older versions, those of accounts that wait for their revocation and secrets of webhooks too.
    pub left: i64,
    /// How many of those that were looked at do not open.
    pub unreadable: i64,
}

/// Seals anew, as the cron does it, what the tenant has under older keys. Under a wrong newest key nothing is: it would be lost.
pub async fn tick(cx: &Cx<'_>) -> Result<()> {
    let ring = match canary::ring(cx).await {
        Ok(ring) => ring,
        Err(Error::Refused(refusal)) => {
            cx.world.log.line(&format!("vault: {}", refusal.detail.unwrap_or_default()));
            match canary::ring_of_rotation(cx).await {
                Ok(ring) => ring,
                Err(Error::Refused(_)) => return Ok(()),
                Err(fault) => return Err(fault),
            }
        }
        Err(fault) => return Err(fault),
    };
    let Rewrapped { unreadable, .. } = run(cx, ring, PAGES_OF_CRON, None).await?;
    if unreadable > 0 {
        cx.world.log.line(&format!("vault: {unreadable} data keys do not open under any key of `VAULT_KEK`"));
    }
    webhooks::rewrap(cx, ring).await
}

/// Wraps data keys of the tenant anew for an administrator, and says what is left. Each page has an event.
pub async fn at_once(cx: &Cx<'_>, admin: &str) -> Result<Rewrapped> {
    let ring = canary::ring_of_rotation(cx).await?;
    let mut rewrapped = run(cx, ring, PAGES_OF_REQUEST, Some(admin)).await?;
    webhooks::rewrap(cx, ring).await?;
    let left = cx.one(data_keys::count_older(&cx.tenant.id, rewrapped.version)).await?.unwrap_or_default();
    rewrapped.left = left.saturating_add(webhooks::count_older(cx).await?);
    Ok(rewrapped)
}

/// `ring` was tried.
async fn run(cx: &Cx<'_>, ring: &Keyring, mut pages: usize, admin: Option<&str>) -> Result<Rewrapped> {
    let version = ring.version().ok_or(Fault::Broken("the vault has no key"))?;
    let mut done = Rewrapped { version, ..Rewrapped::default() };
    for sealed in [Sealed::Credential, Sealed::Account] {
        let mut passed = 0;
        while pages > 0 {
            pages = pages.saturating_sub(1);
            let page = cx.all(data_keys::older(sealed, &cx.tenant.id, version, PAGE, passed)).await?;
            let mut statements = Vec::with_capacity(page.len());
            for old in &page {
                let path = CredentialPath { tenant: &old.tenant, connection: &old.connection, credential: &old.id };
                match path.rewrap(ring, &old.wrapped_key, &*cx.world.entropy) {
                    Some(anew) => statements.push(data_keys::rewrap(sealed, old, &anew)),
                    None => passed = passed.saturating_add(1),
                }
            }
            done.rewrapped = done.rewrapped.saturating_add(keep(cx, statements, version, admin).await?);
            if page.len() < usize::try_from(PAGE).unwrap_or_default() {
                break;
            }
        }
        done.unreadable = done.unreadable.saturating_add(passed);
    }
    Ok(done)
}

/// Keeps a page of data keys in one transaction, and says how many they are.
async fn keep(cx: &Cx<'_>, statements: Vec<Sql>, version: u32, admin: Option<&str>) -> Result<usize> {
    let count = statements.len();
    let mut statements = statements.into_iter();
    let Some(first) = statements.next() else { return Ok(0) };
    let mut change = Change::guard(first);
    if admin.is_some() {
        let facts = Facts { detail: Some(format!("{count} data keys under version {version}")), ..Facts::default() };
        change = change.event(audit::event(cx, EventType::VaultRewrapped, admin, facts));
    }
    cx.commit(statements.fold(change, Change::always)).await?;
    Ok(count)
}
