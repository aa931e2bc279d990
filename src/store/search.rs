//! Finding events by what they tell of, alone or together.
//!
//! 1. One filter leads: its index has the events among which the others choose. At most [`WALK`] events are looked at for a page; where there are more, the
//!    next page goes on behind them. So a page takes no longer than that, whatever is asked for together.
//! 2. Each leading filter has a statement of its own, so that each has its index.

use super::events::read;
use super::{Query, query};
use serde_json::Value;

/// How many events are looked at for a page.
pub const WALK: i64 = 1_000;

/// What events are to tell of.
#[derive(Default)]
pub struct Search {
    /// The client that acted.
    pub client: Option<String>,
    /// Of this type.
    pub kind: Option<String>,
    /// Those that tell of a refusal alone.
    pub refused: bool,
    /// About this record.
    pub target: Option<String>,
    /// The subject: a user, or a client.
    pub subject: Option<String>,
    /// The connection.
    pub connection: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The reason of a refusal.
    pub reason: Option<String>,
    /// Somebody in the chain.
    pub actor: Option<String>,
    /// From this id on.
    pub from: String,
    /// Before this id.
    pub before: String,
}

macro_rules! others {
    () => {
        "(?5 IS NULL OR client = ?5) AND (?6 IS NULL OR type = ?6) AND (?7 = 0 OR refused = 1) AND (?8 IS NULL OR target = ?8) \
         AND (?9 IS NULL OR subject = ?9) AND (?10 IS NULL OR body ->> '$.connection' = ?10) AND (?11 IS NULL OR body ->> '$.tool' = ?11) \
         AND (?12 IS NULL OR body ->> '$.reason' = ?12)"
    };
}

macro_rules! rest {
    () => {
        concat!(others!(), " AND (?13 IS NULL OR EXISTS (SELECT 1 FROM json_each(body, '$.chain') WHERE value = ?13))")
    };
}

/// A page, and the id of the last event that is looked at for it, if there are so many.
macro_rules! led {
    ($index:literal, $lead:literal) => {
        (
            concat!(
                "SELECT body FROM (SELECT type, client, subject, refused, target, body FROM events INDEXED BY ",
                $index,
                " WHERE tenant = ?1 AND id >= ?2 AND id < ?3 AND ",
                $lead,
                " ORDER BY id DESC LIMIT ?14) WHERE ",
                rest!(),
                " LIMIT ?4"
            ),
            concat!(
                "SELECT id FROM events INDEXED BY ",
                $index,
                " WHERE tenant = ?1 AND id >= ?2 AND id < ?3 AND ",
                $lead,
                " ORDER BY id DESC LIMIT 1 OFFSET ?14 - 1"
            ),
        )
    };
}

const BY_IDENTITY: (&str, &str) = led!("events_by_identity", "client = ?5 AND subject = ?9");
const BY_TARGET: (&str, &str) = led!("events_by_target", "target = ?8");
const BY_SUBJECT: (&str, &str) = led!("events_by_subject", "subject = ?9");
const BY_REASON: (&str, &str) = led!("events_by_reason", "refused = 1 AND body ->> '$.reason' = ?12");
const BY_TOOL: (&str, &str) = led!("events_by_tool", "body ->> '$.tool' = ?11 AND body ->> '$.tool' IS NOT NULL");
const BY_CONNECTION: (&str, &str) =
    led!("events_by_connection", "body ->> '$.connection' = ?10 AND body ->> '$.connection' IS NOT NULL");
/// The rest is asked without the chain, which the walk has found already.
const BY_ACTOR: (&str, &str) = (
    concat!(
        "SELECT body FROM (SELECT e.id, e.type, e.client, e.subject, e.refused, e.target, e.body FROM (SELECT id FROM event_actors \
         WHERE tenant = ?1 AND actor = ?13 AND id >= ?2 AND id < ?3 ORDER BY id DESC LIMIT ?14) a \
         CROSS JOIN events e ON e.tenant = ?1 AND e.id = a.id) WHERE ",
        others!(),
        " LIMIT ?4"
    ),
    "SELECT id FROM event_actors WHERE tenant = ?1 AND actor = ?13 AND id >= ?2 AND id < ?3 \
     ORDER BY id DESC LIMIT 1 OFFSET ?14 - 1",
);

impl Search {
    /// The page of events that fit, newest first, and where the walk for it ends.
    pub fn page(&self, tenant: &str, limit: i64) -> (Query<Value>, Query<String>) {
        let (page, end) = match self {
            Self { client: Some(_), subject: Some(_), .. } => BY_IDENTITY,
            Self { target: Some(_), .. } => BY_TARGET,
            Self { actor: Some(_), .. } => BY_ACTOR,
            Self { subject: Some(_), .. } => BY_SUBJECT,
            Self { reason: Some(_), .. } => BY_REASON,
            Self { tool: Some(_), .. } => BY_TOOL,
            _ => BY_CONNECTION,
        };
        (self.bound(tenant, limit, page, read), self.bound(tenant, limit, end, |row| row.text("id")))
    }

    fn bound<T>(&self, tenant: &str, limit: i64, text: &'static str, read: super::Read<T>) -> Query<T> {
        query!(
            read,
            text,
            tenant,
            self.from.as_str(),
            self.before.as_str(),
            limit,
            self.client.as_deref(),
            self.kind.as_deref(),
            i64::from(self.refused),
            self.target.as_deref(),
            self.subject.as_deref(),
            self.connection.as_deref(),
            self.tool.as_deref(),
            self.reason.as_deref(),
            self.actor.as_deref(),
            WALK
        )
    }
}
