//! What of the trail goes, and when.
//!
//! 1. An event is kept for `event_retention_days` of its tenant, and of a type that `event_retention_by_type` names for as many days as it says, which
//!    are no fewer: so whatever is older than the first may be gone, and nothing else.
//! 2. While the tenant holds its trail (`event_hold`), nothing goes.

use crate::context::Cx;
use crate::error::Result;
use crate::model::EventType;
use crate::model::id::first_at;
use crate::ports::Sql;
use crate::store;

const DAY_MILLIS: i64 = 86_400_000;

/// Notes the day before which events may be gone, for who checks the log.
pub async fn forget(cx: &Cx<'_>) -> Result<()> {
    let settings = &cx.tenant.settings;
    if settings.event_hold {
        return Ok(());
    }
    let day = cx.now.seconds().saturating_mul(1_000).div_euclid(DAY_MILLIS);
    let kept = i64::from(settings.event_retention_days);
    cx.run(vec![store::log::forget(&cx.tenant.id, day.saturating_sub(kept))]).await.map(drop)
}

/// The statements that remove what is not kept any more, `limit` rows each at the most.
pub fn forgetting(cx: &Cx<'_>, limit: i64) -> Vec<Sql> {
    let (tenant, settings) = (cx.tenant.id.as_str(), &cx.tenant.settings);
    if settings.event_hold {
        return Vec::new();
    }
    let millis =
        |days: u16| cx.now.seconds().saturating_mul(1_000).saturating_sub(i64::from(days).saturating_mul(DAY_MILLIS));
    let usual = settings.event_retention_days;
    let longer = &settings.event_retention_by_type;
    let days = |kind: &EventType| longer.get(kind.as_str()).copied().unwrap_or(usual).max(usual);
    let longest = longer.values().copied().max().unwrap_or(usual).max(usual);
    let mut statements: Vec<Sql> = match longer.is_empty() {
        true => vec![store::events::forget(tenant, &first_at(millis(usual)), limit)],
        false => {
            let of = |kind: &EventType| {
                store::events::forget_type(tenant, kind.as_str(), &first_at(millis(days(kind))), limit)
            };
            EventType::ALL.iter().map(of).collect()
        }
    };
    statements.push(store::events::forget_actors(tenant, &first_at(millis(longest)), limit));
    statements.push(store::counts::forget(tenant, millis(usual).div_euclid(1_000), limit));
    statements
}
