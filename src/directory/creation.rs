//! A record that is about to be made.

use super::quotas;
use crate::context::{Change, Cx};
use crate::error::{Reason, Result};
use crate::model::Counted;
use crate::ports::Sql;

/// How many referrers a refusal names.
const NAMED: usize = 10;
/// How many referrers are looked for.
pub const LOOKED_FOR: i64 = 11;

/// A record with the change that makes it. Who makes it can add to the change before it is committed.
#[must_use = "what is not committed is not made"]
pub struct Creation<T> {
    /// The record as it will be.
    pub record: T,
    change: Change,
    taken: &'static str,
    counted: Option<Counted>,
}

impl<T> Creation<T> {
    /// A creation; `taken` says what another record has when the guard of the change finds one.
    pub fn new(record: T, change: Change, taken: &'static str) -> Self {
        Self { record, change, taken, counted: None }
    }

    /// The guard of the change holds a quota over records of that kind.
    pub fn counted(mut self, counted: Counted) -> Self {
        self.counted = Some(counted);
        self
    }

    /// Adds a link: a statement that holds only if the record is made.
    pub fn then(mut self, link: Sql) -> Self {
        self.change = self.change.then(link);
        self
    }

    /// Makes the record.
    pub async fn commit(self, cx: &Cx<'_>) -> Result<T> {
        if cx.commit(self.change).await? {
            return Ok(self.record);
        }
        if let Some(counted) = self.counted {
            quotas::expect_room(cx, counted).await?;
        }
        Err(Reason::Conflict.because(self.taken))
    }
}

/// Refuses what would leave clients with a reference to nothing, and names the first of them.
pub fn unreferenced(mut clients: Vec<String>, what: &str) -> Result<()> {
    clients.dedup();
    if clients.is_empty() {
        return Ok(());
    }
    let more = if clients.len() > NAMED { ", …" } else { "" };
    clients.truncate(NAMED);
    Err(Reason::Conflict
        .because(format!("{what} is named by clients; change or remove them first: {}{more}", clients.join(", "))))
}

/// Which members differ between two versions of a record: for the event of its change.
pub fn changes(before: &impl serde::Serialize, after: &impl serde::Serialize) -> String {
    use serde_json::{Map, Value};
    let [before, after] = [serde_json::to_value(before), serde_json::to_value(after)].map(Result::unwrap_or_default);
    let names: std::collections::BTreeSet<&str> =
        [&before, &after].into_iter().filter_map(Value::as_object).flat_map(Map::keys).map(String::as_str).collect();
    let changed: Vec<&str> = names.into_iter().filter(|name| before.get(name) != after.get(name)).collect();
    changed.join(", ")
}
