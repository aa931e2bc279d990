//! Recorded decisions in the trail: by their event, by their token, of a period, and those that a shadow policy would have changed.

use super::{Query, Reader, query};
use crate::error::Result;
use crate::model::Event;

/// Whether members of an event were erased: then what salts it is an object.
macro_rules! erased {
    () => {
        "coalesce(substr(salt, 1, 1) = '{', 0) AS erased"
    };
}

/// The event of that id.
pub fn get(tenant: &str, id: &str) -> Query<Event> {
    query!(read_event, concat!("SELECT body, ", erased!(), " FROM events WHERE tenant = ?1 AND id = ?2"), tenant, id)
}

/// The event with which the token with that digest of its `jti` was issued.
pub fn of_token(tenant: &str, jti_hash: &str) -> Query<Event> {
    query!(
        read_event,
        concat!(
            "SELECT body, ",
            erased!(),
            " FROM events INDEXED BY events_by_jti WHERE tenant = ?1 AND body ->> '$.jti_hash' = ?2 \
             AND type = 'token.issued' LIMIT 1"
        ),
        tenant,
        jti_hash
    )
}

/// Events from an id on and before another, the oldest first; of one client, or of all.
pub fn between(tenant: &str, from: &str, before: &str, client: Option<&str>, limit: i64) -> Query<Kept> {
    match client {
        None => query!(
            kept,
            concat!(
                "SELECT id, body, ",
                erased!(),
                " FROM events WHERE tenant = ?1 AND id >= ?2 AND id < ?3 ORDER BY id LIMIT ?4"
            ),
            tenant,
            from,
            before,
            limit
        ),
        Some(client) => query!(
            kept,
            concat!(
                "SELECT id, body, ",
                erased!(),
                " FROM events INDEXED BY events_by_client WHERE tenant = ?1 AND id >= ?2 AND id < ?3 AND client = ?5 \
                 ORDER BY id LIMIT ?4"
            ),
            tenant,
            from,
            before,
            limit,
            client
        ),
    }
}

/// Events that name a shadow policy, from an id on and before another, the newest first.
pub fn shadowed(tenant: &str, from: &str, before: &str, limit: i64) -> Query<Kept> {
    query!(
        kept,
        concat!(
            "SELECT id, body, ",
            erased!(),
            " FROM events INDEXED BY events_shadowed WHERE tenant = ?1 AND id >= ?2 AND id < ?3 \
             AND body ->> '$.shadow_policies' IS NOT NULL ORDER BY id DESC LIMIT ?4"
        ),
        tenant,
        from,
        before,
        limit
    )
}

/// An event in the trail; nothing of one that a newer version has written in a way that this one cannot read.
pub struct Kept {
    /// Its id.
    pub id: String,
    /// What it tells.
    pub event: Option<Event>,
}

fn kept(row: &Reader<'_>) -> Result<Kept> {
    Ok(Kept { id: row.text("id")?, event: read_event(row).ok() })
}

fn read_event(row: &Reader<'_>) -> Result<Event> {
    let mut event: Event = row.json("body")?;
    event.is_erased = row.int("erased")? != 0;
    Ok(event)
}
