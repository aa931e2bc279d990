//! The quota `tokens_per_minute` of a tenant.
//!
//! 1. An isolate claims tokens of the minute in blocks, by one guarded statement, and issues them without asking D1 again. So no minute
//!    has more tokens than the quota, in all locations together.
//! 2. A block is as large as what the isolate has issued in this minute, and a twentieth of the quota at most: what others hold back when
//!    the quota is used up is bounded by both (docs/decisions.md). While a block is on its way, each other request claims the one token
//!    that it needs.
//! 3. That it is used up is one event a minute, and no event a refusal.
//! 4. Tokens for the tenant's own admin API do not count: who has to stop what uses the quota up can get one.

use super::target::Target;
use crate::audit;
use crate::context::{Change, Cx};
use crate::error::{Error, Reason, Result};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::store;
use std::cell::Cell;
use std::rc::Rc;

/// How long a quota counts, in seconds.
const MINUTE: i64 = 60;
/// Into how many blocks a quota is divided at least.
const BLOCKS: u32 = 20;
const WEIGHT: usize = 128;

/// What an isolate holds of a tenant's quota.
#[derive(Default)]
struct Allowance {
    minute: Cell<i64>,
    left: Cell<u32>,
    issued: Cell<u32>,
    /// Whether a block is on its way.
    claims: Cell<bool>,
    /// The quota that was used up.
    used_up: Cell<Option<u32>>,
}

impl Allowance {
    /// Begins the minute, if it is a new one.
    fn turn(&self, minute: i64) {
        if self.minute.get() < minute {
            self.minute.set(minute);
            self.left.set(0);
            self.issued.set(0);
            self.used_up.set(None);
            // A request that ended while it claimed has not said so.
            self.claims.set(false);
        }
    }

    fn has_one(&self) -> bool {
        self.left.get() > 0
    }

    /// Takes one of the tokens that there are.
    fn take(&self) {
        self.left.set(self.left.get().saturating_sub(1));
        self.issued.set(self.issued.get().saturating_add(1));
    }

    /// How many tokens to claim.
    fn block(&self, quota: u32) -> u32 {
        self.issued.get().clamp(1, quota.div_ceil(BLOCKS).max(1))
    }
}

/// A claim of a block, until it has its answer or its request ends.
struct Claim(Rc<Allowance>);

impl Claim {
    /// The claim, unless another one is under way.
    fn begin(held: &Rc<Allowance>) -> Option<Self> {
        (!held.claims.replace(true)).then(|| Self(held.clone()))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.claims.set(false);
    }
}

/// Refuses if the quota of the tenant has no token left for that target: for a request that is about to use up what counts once.
pub async fn expect(cx: &Cx<'_>, target: &Target) -> Result<()> {
    supply(cx, target).await.map(drop)
}

/// Takes one token for that target from the quota of the tenant, if it has one.
pub async fn take(cx: &Cx<'_>, target: &Target) -> Result<()> {
    if let Some(held) = supply(cx, target).await? {
        held.take();
    }
    Ok(())
}

/// What the isolate holds, one token at least; nothing where none is needed, or where the request has claimed its own.
async fn supply(cx: &Cx<'_>, target: &Target) -> Result<Option<Rc<Allowance>>> {
    let Some(quota) = cx.tenant.settings.quotas.as_ref().and_then(|quotas| quotas.tokens_per_minute) else {
        return Ok(None);
    };
    if target.resource.body.resource.as_str() == [&cx.issuer(), "/admin"].concat() {
        return Ok(None);
    }
    let (tenant, minute) = (&cx.tenant.id, cx.now.seconds().div_euclid(MINUTE));
    let held = cx.lasting::<Allowance>("token-quota", WEIGHT);
    held.turn(minute);
    if held.has_one() {
        return Ok(Some(held));
    }
    if held.used_up.get() == Some(quota) {
        return Err(refusal(cx));
    }
    let block = Claim::begin(&held);
    let wanted = if block.is_some() { held.block(quota) } else { 1 };
    let claim = store::quotas::claim(tenant, minute, wanted.into(), quota.into());
    match cx.one(claim).await?.and_then(|granted| u32::try_from(granted).ok()).filter(|granted| *granted > 0) {
        // Another request has begun the next minute.
        Some(_) if held.minute.get() != minute => Ok(None),
        Some(granted) => {
            held.left.set(held.left.get().saturating_add(granted));
            Ok(Some(held))
        }
        // Another request was given some meanwhile.
        None if held.has_one() => Ok(Some(held)),
        None => {
            let facts = Facts {
                target: Some("tokens_per_minute".to_owned()),
                detail: Some(quota.to_string()),
                ..Facts::default()
            };
            let event = audit::event(cx, EventType::QuotaReached, None, facts);
            cx.commit(Change::guard(store::quotas::tell(tenant, minute)).event(event)).await?;
            if held.minute.get() == minute {
                held.used_up.set(Some(quota));
            }
            Err(refusal(cx))
        }
    }
}

fn refusal(cx: &Cx<'_>) -> Error {
    let left = MINUTE.saturating_sub(cx.now.seconds().rem_euclid(MINUTE));
    Reason::TokenQuotaReached.after(left)
}
