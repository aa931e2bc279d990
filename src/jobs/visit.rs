//! What a visit of the cron does for one tenant, by the roles of the Worker.
//!
//! 1. Each piece is done whether or not another has failed.
//! 2. Of a suspended tenant nothing but old events goes. What is sealed is sealed anew there, too, and what was disconnected is revoked.

use crate::audit;
use crate::config::Role;
use crate::context::Cx;
use crate::directory::{issuers, sinks};
use crate::error::Result;
use crate::keys;
use crate::model::tenant::TenantStatus;
use crate::ports::Pending;
use crate::registration::dynamic;
use crate::revocation::{consents, expiry, signals};
use crate::vault;

/// How many accounts of a tenant that have ended one run revokes at their services: a call each.
const REVOKED: i64 = 5;
/// How many rows one statement of a clean-up removes, and how often it runs while there are more: 20,000 rows in a run, and with events those who stood in their chains.
pub const REMOVED: i64 = 1_000;
pub const ROUNDS: usize = 20;

/// A piece of a visit, and what it is called.
pub type Step<'a> = (&'static str, Pending<'a, Result<()>>);

/// The pieces of a visit, with so many tiles of the log to check.
pub fn steps<'a>(cx: &'a Cx<'_>, tiles: u64) -> Vec<Step<'a>> {
    let config = cx.config;
    let mut steps: Vec<Step<'_>> = Vec::new();
    if config.mounts(Role::Audit) {
        steps.push(("the clean-up of the trail", Box::pin(forget_events(cx))));
        steps.push(("the check of the log", Box::pin(audit::log::tick(cx, tiles))));
        steps.push(("witnesses that are no longer set", Box::pin(audit::log::witness::forget(cx))));
        steps.push(("counting events", Box::pin(async move { audit::query::count(cx).await.map(drop) })));
        steps.push(("sinks", Box::pin(sinks::tick(cx))));
    }
    // Seals anew what lies under older keys, so that these can be taken away, and has tokens revoked that nobody needs any more.
    if config.mounts(Role::Token) {
        steps.push(("resealing keys", Box::pin(keys::reseal(cx))));
        steps.push(("resealing signals", Box::pin(signals::rewrap(cx))));
    }
    if config.mounts(Role::Broker) && config.vault().is_some() {
        steps.push(("the key of the vault", Box::pin(vault::rewrap::tick(cx))));
        steps.push(("revoking accounts", Box::pin(vault::accounts::revoke_ended(cx, REVOKED))));
    }
    if config.mounts(Role::Admin) {
        steps.push(("resealing issuers", Box::pin(issuers::rewrap(cx))));
    }
    let is_active = cx.tenant.status != TenantStatus::Suspended;
    if is_active && config.mounts(Role::Token) {
        steps.push(("signing keys", Box::pin(keys::tick(cx))));
        steps.push(("sweeping signals", Box::pin(signals::sweep(cx))));
        steps.push(("consents", Box::pin(consents::tick(cx))));
    }
    if is_active && config.mounts(Role::Admin) {
        steps.push(("unused clients", Box::pin(expiry::tick(cx))));
        steps.push(("clients that registered themselves", Box::pin(dynamic::tick(cx))));
    }
    steps
}

/// Removes what the tenant does not keep any more of its trail; whether it keeps everything is asked anew before each round.
async fn forget_events(cx: &Cx<'_>) -> Result<()> {
    let most = u64::try_from(REMOVED).unwrap_or_default();
    for _ in 0..ROUNDS {
        let Some(settings) = audit::kept(cx).await? else { return Ok(()) };
        audit::forget(cx, &settings).await?;
        let removed = cx.trail().run(audit::forgetting(cx, &settings, REMOVED)).await?;
        if removed.iter().all(|rows| *rows < most) {
            return Ok(());
        }
    }
    Ok(())
}
