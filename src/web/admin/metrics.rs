//! `GET admin/metrics`: counts in the text format of Prometheus (version 0.0.4).
//!
//! 1. A tenant sees its own counts; what is of all tenants, administrators of the first one see alone.

use crate::audit;
use crate::directory::tenants;
use crate::error::{Fault, Result};
use crate::store;
use crate::store::metrics::Counts;
use crate::web::{AdminCall, Response};

/// The media type.
pub const MEDIA: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers the counts.
pub async fn get(call: AdminCall<'_>) -> Result<Response> {
    let (cx, tenant) = (call.cx, &call.cx.tenant.id);
    let counts = cx.one(store::metrics::of(tenant)).await?.ok_or(Fault::Broken("counts have a row"))?;
    let Counts { clients, identities, users, connections, policies, signals } = counts;
    let mut text = String::new();
    for (name, help, count) in [
        ("writ_clients", "Registered clients", clients),
        ("writ_identities", "Agentic identities", identities),
        ("writ_users", "Users", users),
        ("writ_connections", "Connections", connections),
        ("writ_policies", "Policies", policies),
        ("writ_signals_waiting", "Signals that wait for their receivers", signals),
    ] {
        text.push_str(&format!("# HELP {name} {help}.\n# TYPE {name} gauge\n{name}{{tenant=\"{tenant}\"}} {count}\n"));
    }
    if tenants::is_first(cx) {
        let outbox = cx.one(store::metrics::outbox()).await?.unwrap_or_default();
        let deleting = cx.one(store::deletion::count()).await?.unwrap_or_default();
        for (name, help, count) in [
            ("writ_outbox_events", "Events that wait in the outbox, of all tenants", outbox),
            ("writ_tenants_deleting", "Tenants that were deleted and are not all gone", deleting),
            (
                "writ_dead_letters",
                "Events that could not be recorded, of all tenants",
                audit::query::dead_letters(cx).await?,
            ),
        ] {
            text.push_str(&format!("# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {count}\n"));
        }
    }
    Ok(Response { body: text, ..Response::empty(200) }.with("content-type", MEDIA))
}
