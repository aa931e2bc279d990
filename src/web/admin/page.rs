//! Lists, a page at a time.

use crate::error::{Reason, Result};
use crate::web::{Call, Response};
use serde::Serialize;
use serde_json::{Map, Value};

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 100;
const MAX_VALUE: usize = 256;

/// Which page of a list is wanted, and what else the query says.
pub struct Page {
    limit: i64,
    parameters: Vec<(String, String)>,
}

/// The page that the query names; `limit` and `cursor` are all that it may say.
pub fn page(call: Call<'_>) -> Result<Page> {
    query(call, &[])
}

/// The page that the query names; `more` are the parameters that this list knows besides `limit` and `cursor`. Unknown
/// ones are refused by name.
pub fn query(call: Call<'_>, more: &[&str]) -> Result<Page> {
    let mut page = Page { limit: DEFAULT_LIMIT, parameters: Vec::new() };
    for (name, value) in form_urlencoded::parse(call.request.query.as_bytes()) {
        let short = || name.chars().filter(|c| !c.is_control()).take(40).collect::<String>();
        if !["limit", "cursor"].iter().chain(more).any(|known| *known == name) {
            return Err(Reason::InvalidQuery.because(format!("`{}` is unknown", short())));
        }
        if page.get(&name).is_some() || value.len() > MAX_VALUE {
            return Err(Reason::InvalidQuery.because(format!("`{}` is repeated or too long", short())));
        }
        page.parameters.push((name.into_owned(), value.into_owned()));
    }
    if let Some(text) = page.get("limit") {
        let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        page.limit = limit.ok_or_else(|| Reason::InvalidQuery.because(format!("`limit` must be 1 to {MAX_LIMIT}")))?;
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
        self.get("cursor").unwrap_or_default()
    }

    /// How many items are on the page at most.
    pub const fn limit(&self) -> i64 {
        self.limit
    }

    /// How many rows to ask for: one more than fit, which tells that there is another page.
    pub const fn rows(&self) -> i64 {
        self.limit.saturating_add(1)
    }

    /// Renders at most [`Page::rows`] things, each shown by `view` under the name by which the list is ordered.
    pub fn of<T, V: Serialize>(&self, mut things: Vec<T>, view: impl Fn(T) -> (String, V)) -> Response {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = things.len() > limit;
        things.truncate(limit);
        let (names, views): (Vec<String>, Vec<V>) = things.into_iter().map(view).unzip();
        items(&views, names.into_iter().last().filter(|_| more))
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
