//! Reading rows. What does not fit the table's own shape is a fault, not a refusal.

use crate::error::{Fault, Result};
use crate::ports::Row;
use serde::de::DeserializeOwned;

/// Reads the columns of one row.
pub struct Reader<'a>(pub &'a Row);

const BROKEN: Fault = Fault::Broken("a stored row does not have its shape");

impl Reader<'_> {
    /// A text column.
    pub fn text(&self, column: &str) -> Result<String> {
        self.optional_text(column).ok_or_else(|| BROKEN.into())
    }

    /// A text column that may be `NULL`.
    pub fn optional_text(&self, column: &str) -> Option<String> {
        self.0.get(column)?.as_str().map(str::to_owned)
    }

    /// An integer column.
    pub fn int(&self, column: &str) -> Result<i64> {
        self.optional_int(column).ok_or_else(|| BROKEN.into())
    }

    /// An integer column that may be `NULL`.
    pub fn optional_int(&self, column: &str) -> Option<i64> {
        self.0.get(column)?.as_i64()
    }

    /// A text column that holds JSON.
    pub fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        // From bytes, as bodies are: a type that is read both ways is in the Worker once.
        serde_json::from_slice(self.text(column)?.as_bytes()).map_err(|_| BROKEN.into())
    }

    /// A text column that holds the name of a state.
    pub fn name<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        serde_json::from_value(serde_json::Value::String(self.text(column)?)).map_err(|_| BROKEN.into())
    }
}
