//! What an administrator registers under an id: a body, and when it was written.

/// A record with the body that an administrator wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Registered<B> {
    /// Its name in paths.
    pub id: String,
    /// What an administrator said about it.
    pub body: B,
    /// Counts changes to this row; 0 for what has none.
    pub version: i64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub updated_at: i64,
}
