//! The interface of `zmij`, as far as serde_json calls it. A number reads back as itself.

use std::fmt::Write;

/// Where a number is printed.
#[derive(Debug, Default)]
pub struct Buffer(String);

impl Buffer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number as text.
    pub fn format<F: Float>(&mut self, number: F) -> &str {
        self.0.clear();
        // A `String` takes whatever is written.
        let _ = write!(self.0, "{number:?}");
        &self.0
    }

    /// The same: the text of a finite number is a number of JSON.
    pub fn format_finite<F: Float>(&mut self, number: F) -> &str {
        self.format(number)
    }
}

/// What can be printed.
pub trait Float: std::fmt::Debug {}
impl Float for f32 {}
impl Float for f64 {}
