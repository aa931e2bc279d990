//! Where every agentic identity stands, as the `lst` of a Token Status List (draft-ietf-oauth-status-list).
//!
//! 1. Valid, invalid (stopped for good, or gone) or suspended, as the worst of identity, client and user.
//! 2. It has room for `LEAST` identities and grows by doubling up to `MOST`, so that its length tells nothing and a token
//!    of a new identity finds its index. An identity beyond that has no status here.

use crate::context::Cx;
use crate::directory::identities::{StatusList as Encoded, StatusListKey};
use crate::error::{Fault, Result};
use crate::model::Status;
use crate::oauth::status_list::{INVALID, SUSPENDED, StatusList, VALID};
use crate::store;
use std::rc::Rc;

/// How many places the list has at least.
const LEAST: i64 = 1 << 17;
/// How many it has at most: a quarter of a megabyte before it is compressed.
const MOST: i64 = 1 << 20;
/// How many rows one statement reads.
const ROWS: i64 = 20_000;

/// The `lst` of now. Where an identity stands is a change that drops it; a new identity is valid and needs no new list while there is
/// room.
pub async fn lst(cx: &Cx<'_>) -> Result<Rc<String>> {
    let taken = cx.one(store::identities::places(&cx.tenant.id)).await?.ok_or(Fault::Broken("a count has a row"))?;
    let mut size = LEAST;
    while size < taken && size < MOST {
        size = size.saturating_mul(2);
    }
    let stamp = cx.stamp();
    let load = async || Ok(Some(Encoded { size, lst: Rc::new(encode(cx, size).await?) }));
    match cx.cached(&StatusListKey, load).await? {
        Some(known) if known.size == size => Ok(known.lst.clone()),
        _ => {
            let lst = Rc::new(encode(cx, size).await?);
            cx.keep(stamp, &StatusListKey, Encoded { size, lst: lst.clone() });
            Ok(lst)
        }
    }
}

async fn encode(cx: &Cx<'_>, size: i64) -> Result<String> {
    let mut list = StatusList::new(usize::try_from(size).unwrap_or_default());
    let mut after = -1;
    loop {
        let places = cx.all(store::identities::stopped_places(&cx.tenant.id, after, ROWS)).await?;
        let is_last = i64::try_from(places.len()).is_ok_and(|count| count < ROWS);
        after = places.last().map_or(after, |(place, _)| *place);
        for (place, status) in places {
            let status = match status {
                Status::Active => VALID,
                Status::Suspended => SUSPENDED,
                Status::Retired => INVALID,
            };
            list.set(usize::try_from(place).unwrap_or(usize::MAX), status);
        }
        if is_last {
            return Ok(list.encode());
        }
    }
}
