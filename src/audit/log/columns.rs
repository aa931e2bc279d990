//! The columns by which an event is found, from what it says: one place for who writes them and who checks them.
//!
//! 1. Each column has what a member says. Those that a check finds otherwise were changed: the tree knows the members alone.
//! 2. An erased member leaves its column empty.

use crate::store::log::{Columns, Stored};
use serde_json::{Map, Value};

/// The columns of an event with these members.
pub fn of(members: &Map<String, Value>) -> Option<Columns> {
    let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
    let at = members.get("at")?;
    Some(Columns {
        id: text("id")?,
        at: at.as_i64().or_else(|| at.as_u64().map(|_| i64::MAX))?,
        kind: text("type")?,
        client: text("client"),
        subject: text("subject"),
        refused: members.contains_key("reason"),
        target: text("target"),
    })
}

/// Those who stand in the chain of an event with these members.
pub fn actors(members: &Map<String, Value>) -> impl Iterator<Item = &str> {
    members.get("chain").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Whether the columns of a stored event are those of its members.
pub fn agree(tenant: &str, stored: &Stored, members: &Map<String, Value>) -> bool {
    let is_of = members.get("tenant").and_then(Value::as_str) == Some(tenant);
    is_of && of(members).as_ref() == Some(&stored.columns)
}
