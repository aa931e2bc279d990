//! Quotas of a tenant over what is counted when it is made.
//!
//! 1. The statement that makes a record counts in its guard, up to the quota, so two at once do not pass it. Here is what the one who is
//!    refused is told.
//! 2. While a quota is off, nothing is counted.

use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::model::Counted;
use crate::model::tenant::MAX_COUNT;
use crate::store;

/// Refuses where the tenant has as many as its quota says.
pub async fn expect_room(cx: &Cx<'_>, counted: Counted) -> Result<()> {
    let Some(most) = quota(cx, counted) else { return Ok(()) };
    let count = cx.one(store::quotas::count(&cx.tenant.id, counted, MAX_COUNT.saturating_add(1))).await?;
    let count = count.unwrap_or_default();
    match count < most {
        true => Ok(()),
        false => Err(Reason::QuotaReached.because(format!(
            "the quota `{name}` of this tenant is {most}, and there are {count}: remove some, or ask an administrator of `main` for more",
            name = counted.as_str()
        ))),
    }
}

/// The quota, for the guard of a creation.
pub fn quota(cx: &Cx<'_>, counted: Counted) -> Option<i64> {
    cx.tenant.settings.quotas.as_ref()?.of(counted).map(i64::from)
}
