//! What of the trail goes, and when.
//!
//! 1. An event is kept for `event_retention_days` of its tenant, and of a type that `event_retention_by_type` names for as many days as it says, which
//!    are no fewer: so whatever is older than the first may be gone, and nothing else.
//! 2. While the tenant holds its trail (`event_hold`), nothing goes. The hold is asked for in the database before each step of a clean-up, so that one which begins
//!    meanwhile ends it.

use crate::context::Cx;
use crate::error::Result;
use crate::model::id::first_at;
use crate::model::{EventType, Settings};
use crate::ports::Sql;
use crate::store;
use serde_json::{Value, json};

const DAY_MILLIS: i64 = 86_400_000;

/// What the tenant says now of how long its trail is kept; nothing while it holds all of it, or is gone.
pub async fn kept(cx: &Cx<'_>) -> Result<Option<Settings>> {
    let tenant = cx.one(store::tenants::get(&cx.tenant.id)).await?;
    Ok(tenant.map(|tenant| tenant.settings).filter(|settings| !settings.event_hold))
}

/// Notes the day before which events may be gone, for who checks the log.
pub async fn forget(cx: &Cx<'_>, settings: &Settings) -> Result<()> {
    let day = cx.now.seconds().saturating_mul(1_000).div_euclid(DAY_MILLIS);
    let kept = i64::from(settings.event_retention_days);
    cx.run(vec![store::log::forget(&cx.tenant.id, day.saturating_sub(kept))]).await.map(drop)
}

/// The statements that remove what is not kept any more: `limit` events and counts at the most, and who stood in the chains of these events. Who stood in a chain
/// goes with its event alone, so nothing is left to be looked for.
pub fn forgetting(cx: &Cx<'_>, settings: &Settings, limit: i64) -> Vec<Sql> {
    let tenant = cx.tenant.id.as_str();
    let millis =
        |days: u16| cx.now.seconds().saturating_mul(1_000).saturating_sub(i64::from(days).saturating_mul(DAY_MILLIS));
    let usual = settings.event_retention_days;
    let longer = &settings.event_retention_by_type;
    let days = |kind: &EventType| longer.get(kind.as_str()).copied().unwrap_or(usual).max(usual);
    let events = match longer.is_empty() {
        true => store::events::forget(tenant, &first_at(millis(usual)), limit),
        false => {
            let types = EventType::ALL.iter().map(|kind| json!([kind.as_str(), first_at(millis(days(kind)))]));
            store::events::forget_types(tenant, &Value::from_iter(types).to_string(), limit)
        }
    };
    events.into_iter().chain([store::counts::forget(tenant, millis(usual).div_euclid(1_000), limit)]).collect()
}
