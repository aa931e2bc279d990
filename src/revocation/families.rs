//! Stopping what came of an authorization code: its refresh family, and every token with the family in its lineage.

use super::check::StoppedChainsKey;
use crate::audit;
use crate::context::{Change, Cx};
use crate::error::Result;
use crate::jose::LEEWAY_SECONDS;
use crate::model::consent::family_digest;
use crate::model::event::Facts;
use crate::model::resource::MAX_LIFETIME;
use crate::model::stop::Until;
use crate::model::{Code, EventType, RefreshFamily};
use crate::store;
use crate::store::approvals::LONGEST;

/// Stops all that came of a code which was redeemed a second time (RFC 6749 §4.1.2).
pub async fn stop_replayed(cx: &Cx<'_>, code: &Code) -> Result<()> {
    let facts = Facts {
        subject: Some(code.user.clone()),
        resource: Some(code.body.authorization.resource.clone()),
        target: Some(code.family.clone()),
        ..Facts::default()
    };
    stop(cx, (&code.family, &code.client), EventType::CodeReplayed, facts).await
}

/// Stops a family of which an old token came again (RFC 9700 §4.14.2).
pub async fn stop_reused(cx: &Cx<'_>, family: &RefreshFamily) -> Result<()> {
    let address = |ip: Option<String>| ip.unwrap_or_else(|| "an unknown address".to_owned());
    let (last, this) = (address(family.rotated_by.clone()), address(cx.peer.ip.map(|ip| ip.to_string())));
    let detail = Some(format!("rotated from {last}, reused from {this}"));
    stop(cx, (&family.id, &family.client), EventType::RefreshReused, Facts { detail, ..facts(family) }).await
}

/// Revokes a family, as its client asks (RFC 7009 §2.1).
pub async fn revoke(cx: &Cx<'_>, family: &RefreshFamily) -> Result<()> {
    stop(cx, (&family.id, &family.client), EventType::RefreshRevoked, facts(family)).await
}

fn facts(family: &RefreshFamily) -> Facts {
    Facts {
        subject: Some(family.user.clone()),
        resource: Some(family.body.resource.clone()),
        target: Some(family.id.clone()),
        ..Facts::default()
    }
}

async fn stop(cx: &Cx<'_>, (family, client): (&str, &str), kind: EventType, facts: Facts) -> Result<()> {
    let event = audit::event(cx, kind, Some(client), facts);
    let tenant = &cx.tenant.id;
    let guard = store::stops::stop_chain(tenant, &family_digest(family), tokens_end(cx));
    let change = Change::guard(guard).invalidates(&StoppedChainsKey).event(event);
    cx.commit(change.always(store::refresh::revoke(tenant, family))).await.map(drop)
}

/// When the last token that was issued up to now has expired, and what was made from it; and what was asked with it.
pub fn tokens_end(cx: &Cx<'_>) -> Until {
    let now = cx.now.seconds();
    let tokens = now.saturating_add(MAX_LIFETIME.into()).saturating_add(2 * LEEWAY_SECONDS);
    Until { tokens, approvals: tokens.saturating_add(LONGEST) }
}
