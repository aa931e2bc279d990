//! Answers that go on: the trail as it grows (`events/live`), and a whole part of it (`events/export`).
//!
//! 1. The host asks for one piece after another and says what time it is. What was checked when the answer began is checked again and again: within the
//!    freshness bound and a second after the administrator was stopped, or their token has expired, nothing leaves any more.
//! 2. A live answer has each event once, by its sequence number, and ends after [`LIVE_MILLIS`]: its reader goes on behind the last one that it has. While
//!    nothing happens, it has a comment now and then, so that nobody on the way takes it for dead.
//! 3. An export that is cut is not whole, and its reader sees that.

use crate::config::Config;
use crate::context::{Arrival, Cx, Peer};
use crate::error::{Error, Result};
use crate::ports::{Now, World};
use crate::store;
use crate::store::events::{Filter, Sequenced};
use crate::store::search::Search;
use crate::vault::proxy::{Pulled, interval_millis};
use crate::web::guard::Bearer;
use serde_json::Value;

/// How long a live answer goes on, in milliseconds.
pub const LIVE_MILLIS: u64 = 300_000;
/// How long an export may take, in milliseconds.
const EXPORT_MILLIS: u64 = 900_000;
/// How often the trail is asked, and after which silence there is a comment, in milliseconds.
const POLL_MILLIS: u64 = 2_000;
const SILENCE_MILLIS: u64 = 15_000;
/// How many events a piece has at most, and after how many bytes it has no more.
const ROWS: i64 = 500;
const BYTES: i64 = 512 * 1024;

/// What goes on.
pub enum Source {
    /// What comes after a sequence number, of these types, a JSON array.
    Live {
        /// The sequence number.
        seq: i64,
        /// The types; nothing: all.
        types: Option<String>,
    },
    /// The events that fit, newest first.
    Export {
        /// What is asked for.
        wanted: Box<Wanted>,
        /// How they are written.
        form: ExportForm,
    },
}

/// Which events are asked for.
pub enum Wanted {
    /// By what has a statement of its own.
    Filtered(Filter),
    /// By anything.
    Searched(Search),
}

/// How an export is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ExportForm {
    /// JSON lines.
    Jsonl,
    /// Comma-separated values (RFC 4180).
    Csv,
}

/// An answer that goes on.
pub struct Feed {
    /// The tenant.
    pub tenant: String,
    peer: Peer,
    token: String,
    source: Source,
    began: Now,
    checked: Now,
    spoke: Now,
    head: String,
    is_over: bool,
}

impl Feed {
    /// An answer to the bearer of that token, who was let in a moment ago.
    pub fn new(cx: &Cx<'_>, token: &str, source: Source) -> Self {
        let (tenant, peer, token) = (cx.tenant.id.clone(), cx.peer.clone(), token.to_owned());
        let head = match &source {
            Source::Export { form: ExportForm::Csv, .. } => COLUMNS.join(",") + "\r\n",
            Source::Live { .. } => "retry: 2000\n\n".to_owned(),
            Source::Export { form: ExportForm::Jsonl, .. } => String::new(),
        };
        Self { tenant, peer, token, source, began: cx.now, checked: cx.now, spoke: cx.now, head, is_over: false }
    }

    /// When and from where it was asked for, at a later moment.
    pub fn arrival(&self, now: Now) -> Arrival {
        Arrival { now, peer: self.peer.clone() }
    }

    /// Whether the administrator has to be checked again.
    pub fn is_due(&self, now: Now, config: &Config) -> bool {
        now.millis().saturating_sub(self.checked.millis()) >= interval_millis(config)
    }

    /// Checks the administrator again, on the records of this context.
    pub async fn check(&mut self, cx: &Cx<'_>) -> Result<()> {
        Bearer::again(cx, &self.token, "admin").await?.may(cx, &["admin:read", "admin"]).await?;
        self.checked = cx.now;
        Ok(())
    }

    /// The next piece. Waits for a while where there is none.
    pub async fn next(&mut self, world: &World, cx: &Cx<'_>) -> Pulled {
        if !self.head.is_empty() {
            return Pulled::Piece(std::mem::take(&mut self.head).into_bytes());
        }
        let age = cx.now.millis().saturating_sub(self.began.millis());
        let piece = match &self.source {
            _ if self.is_over => return Pulled::End,
            Source::Live { .. } if age >= LIVE_MILLIS => return Pulled::End,
            Source::Export { .. } if age >= EXPORT_MILLIS => return Pulled::Cut,
            Source::Live { .. } => self.live(cx).await,
            Source::Export { .. } => self.export(cx).await,
        };
        match piece {
            Ok(text) if !text.is_empty() => {
                self.spoke = cx.now;
                Pulled::Piece(text.into_bytes())
            }
            Ok(_) if self.is_over => Pulled::End,
            Ok(_) if cx.now.millis().saturating_sub(self.spoke.millis()) >= SILENCE_MILLIS => {
                self.spoke = cx.now;
                Pulled::Piece(b":\n\n".to_vec())
            }
            Ok(_) => {
                world.timer.sleep(POLL_MILLIS).await;
                Pulled::Nothing
            }
            Err(error) => self.broken(world, &error),
        }
    }

    /// What the reader sees where it cannot go on.
    pub fn broken(&self, world: &World, error: &Error) -> Pulled {
        world.log.line(&format!("a feed of {}: {error}", self.tenant));
        match (&self.source, error) {
            (Source::Live { .. }, Error::Refused(_)) => Pulled::End,
            _ => Pulled::Cut,
        }
    }

    async fn live(&mut self, cx: &Cx<'_>) -> Result<String> {
        let Source::Live { seq, types } = &mut self.source else { return Ok(String::new()) };
        let found = cx.trail().all(store::events::after(&cx.tenant.id, *seq, (ROWS, BYTES), types.clone())).await?;
        *seq = found.last().map_or(*seq, |last| last.seq);
        Ok(found.into_iter().filter_map(message).collect())
    }

    async fn export(&mut self, cx: &Cx<'_>) -> Result<String> {
        let Source::Export { wanted, form } = &mut self.source else { return Ok(String::new()) };
        let tenant = &cx.tenant.id;
        let (found, end) = match &**wanted {
            Wanted::Filtered(filter) => (cx.trail().all(store::events::list(tenant, filter, ROWS)).await?, None),
            Wanted::Searched(search) => {
                let (found, end) = cx.trail().batch(search.page(tenant, ROWS)).await?;
                (found, end.into_iter().next())
            }
        };
        let is_full = i64::try_from(found.len()).unwrap_or(i64::MAX) >= ROWS;
        let last = found.last().and_then(|event| event.get("id")?.as_str()).map(str::to_owned);
        let next = if is_full { last } else { end };
        match (next, &mut **wanted) {
            (None, _) => self.is_over = true,
            (Some(next), Wanted::Filtered(Filter { before, .. }) | Wanted::Searched(Search { before, .. })) => {
                *before = next
            }
        }
        Ok(found.iter().map(|event| line(event, *form)).collect())
    }
}

/// An event as a message of Server-Sent Events.
fn message(row: Sequenced) -> Option<String> {
    let (seq, event) = (row.seq, shown(row)?);
    Some(format!("id: {seq}\ndata: {event}\n\n"))
}

fn shown(Sequenced { seq, at, body, .. }: Sequenced) -> Option<Value> {
    let mut event: Value = serde_json::from_slice(body?.as_bytes()).ok()?;
    let members = event.as_object_mut()?;
    members.insert("at".to_owned(), at.div_euclid(1_000).into());
    members.insert("seq".to_owned(), seq.into());
    Some(event)
}

/// The columns of an export as comma-separated values.
pub const COLUMNS: [&str; 24] = [
    "id",
    "at",
    "type",
    "client",
    "client_name",
    "subject",
    "subject_name",
    "chain",
    "grant_type",
    "resource",
    "scope_asked",
    "scope_given",
    "connection",
    "tool",
    "outcome",
    "method",
    "host",
    "path",
    "status",
    "ip",
    "reason",
    "detail",
    "target",
    "request_id",
];

fn line(event: &Value, form: ExportForm) -> String {
    match form {
        ExportForm::Jsonl => event.to_string() + "\n",
        ExportForm::Csv => {
            let cells = COLUMNS.map(|name| match event.get(name) {
                None => String::new(),
                Some(Value::String(text)) => cell(text),
                Some(Value::Array(items)) => {
                    cell(&items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
                }
                Some(other) => cell(&other.to_string()),
            });
            cells.join(",") + "\r\n"
        }
    }
}

/// A cell that no program takes for a formula: one that begins like one has an apostrophe before it.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let text = if is_formula { ["'", text].concat() } else { text.to_owned() };
    match text.contains(['"', ',', '\r', '\n', ';', '\t', '\'']) {
        true => ["\"", &text.replace('"', "\"\""), "\""].concat(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{ExportForm, cell, line};
    use serde_json::json;

    #[test]
    fn no_cell_is_a_formula_and_none_breaks_its_line() {
        for (text, expected) in [
            ("plain", "plain"),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@x", "\"'@x\""),
            ("\tx", "\"'\tx\""),
            ("\rx", "\"'\rx\""),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("a\r\nb", "\"a\r\nb\""),
            ("a=b", "a=b"),
        ] {
            assert_eq!(cell(text), expected);
        }
    }

    #[test]
    fn a_line_has_a_cell_for_each_column() {
        let event = json!({"id": "e", "at": 1, "chain": ["b", "a"], "detail": "=HYPERLINK(\"x\")"});
        let line = line(&event, ExportForm::Csv);
        assert!(line.starts_with("e,1,,,,,,b a,") && line.ends_with("\r\n"), "{line}");
        assert!(line.contains(",\"'=HYPERLINK(\"\"x\"\")\","), "{line}");
    }
}
