//! Lists, a page at a time.
//!
//! 1. Unknown and repeated parameters are refused by name.
//! 2. A cursor belongs to the list, with its filters, that gave it; any other is refused.

use crate::crypto::sha256;
use crate::error::{Reason, Result};
use crate::web::{AdminCall, Response};
use serde::Serialize;
use serde_json::{Map, Value};

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 100;
/// The longest value of a parameter, in bytes: a URI fits.
const MAX_VALUE: usize = 2_048;
/// How many characters of the digest over a list and its filters a cursor has.
const MARK: usize = 8;

/// Which page of a list is wanted, and what else the query says.
pub struct Page {
    limit: i64,
    parameters: Vec<(String, String)>,
    mark: String,
    after: String,
}

/// The parameters of a query; those besides `known` are refused by name.
pub fn parameters(call: AdminCall<'_>, known: &[&str]) -> Result<Vec<(String, String)>> {
    let mut all: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(call.request.query.as_bytes()) {
        let short = || name.chars().filter(|c| !c.is_control()).take(40).collect::<String>();
        if !known.contains(&&*name) {
            let known = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
            return Err(Reason::InvalidQuery.because(format!("`{}` is unknown; known here: {known}", short())));
        }
        if all.iter().any(|(seen, _)| *seen == name) || value.len() > MAX_VALUE {
            return Err(Reason::InvalidQuery.because(format!("`{}` is repeated or too long", short())));
        }
        all.push((name.into_owned(), value.into_owned()));
    }
    Ok(all)
}

/// The page that the query names; `filters` are the parameters that this list knows besides `limit` and `cursor`.
pub fn page(call: AdminCall<'_>, filters: &[&str]) -> Result<Page> {
    let known: Vec<&str> = ["limit", "cursor"].iter().chain(filters).copied().collect();
    let parameters = parameters(call, &known)?;
    let mut of: Vec<_> = parameters.iter().filter(|(name, _)| !["limit", "cursor"].contains(&name.as_str())).collect();
    of.sort_unstable();
    let of = form_urlencoded::Serializer::new(String::new()).extend_pairs(of).finish();
    let mark = sha256([&call.request.path, "?", &of].concat()).to_text().chars().take(MARK).collect();
    let mut page = Page { limit: DEFAULT_LIMIT, parameters, mark, after: String::new() };
    if let Some(text) = page.get("limit") {
        let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        page.limit = limit.ok_or_else(|| Reason::InvalidQuery.because(format!("`limit` must be 1 to {MAX_LIMIT}")))?;
    }
    if let Some(cursor) = page.get("cursor") {
        let after = cursor.strip_suffix(&page.mark).and_then(|rest| rest.strip_suffix('.')).map(str::to_owned);
        let foreign = "`cursor` must be the `next_cursor` of this list with these filters";
        page.after = after.ok_or_else(|| Reason::InvalidQuery.because(foreign))?;
    }
    Ok(page)
}

impl Page {
    /// A parameter of the query.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Where the page before ended; empty for the first page.
    pub fn after(&self) -> &str {
        &self.after
    }

    /// The cursor of a page that begins behind `after`.
    pub fn cursor(&self, after: &str) -> String {
        [after, ".", &self.mark].concat()
    }

    /// How many items are on the page at most.
    pub const fn limit(&self) -> i64 {
        self.limit
    }

    /// How many rows to ask for: one more than fit, which tells that there is another page.
    pub const fn rows(&self) -> i64 {
        self.limit.saturating_add(1)
    }

    /// As [`Page::of`], for records that were found on a walk of bounded length: it ends at `end`, if there is more behind it. A page may then have fewer
    /// records than fit, and is not the last one.
    pub fn of_walk<T, V: Serialize>(
        &self,
        records: Vec<T>,
        end: Option<String>,
        view: impl Fn(T) -> (String, V),
    ) -> Response {
        let is_full = i64::try_from(records.len()).unwrap_or(i64::MAX) > self.limit;
        match end.filter(|_| !is_full) {
            None => self.of(records, view),
            Some(end) => {
                let views: Vec<V> = records.into_iter().map(|record| view(record).1).collect();
                items(&views, Some([&end, ".", &self.mark].concat()))
            }
        }
    }

    /// Renders at most [`Page::rows`] records, each shown by `view` under the name by which the list is ordered.
    pub fn of<T, V: Serialize>(&self, mut records: Vec<T>, view: impl Fn(T) -> (String, V)) -> Response {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = records.len() > limit;
        records.truncate(limit);
        let (names, views): (Vec<String>, Vec<V>) = records.into_iter().map(view).unzip();
        let last = names.into_iter().last().filter(|_| more);
        items(&views, last.map(|name| [&name, ".", &self.mark].concat()))
    }
}

/// `{items, next_cursor}`; the last page has no `next_cursor`.
pub fn items(items: &impl Serialize, next_cursor: Option<String>) -> Response {
    let mut body = Map::new();
    body.insert("items".to_owned(), serde_json::to_value(items).unwrap_or_default());
    if let Some(cursor) = next_cursor {
        body.insert("next_cursor".to_owned(), Value::String(cursor));
    }
    Response::json(200, &body)
}
