//! A statement that answers rows, together with what reads one: callers never see a row.

use super::Reader;
use crate::error::Result;
use crate::ports::{Outcome, Sql};

/// Reads one row.
pub type Read<T> = fn(&Reader<'_>) -> Result<T>;

/// A statement and the reader of its rows.
#[derive(Debug)]
pub struct Query<T> {
    /// The statement.
    pub sql: Sql,
    /// Reads one of its rows.
    pub read: Read<T>,
}

/// What can be part of a batch: a [`Query`], whose output are its rows, or [`Sql`], whose output is how many rows it changed.
pub trait Statement {
    /// What its outcome is read as.
    type Output;
    /// What reads the outcome.
    type Reader;
    /// The statement, and what reads its outcome.
    fn parts(self) -> (Sql, Self::Reader);
    /// Reads the outcome.
    fn output(reader: Self::Reader, outcome: &Outcome) -> Result<Self::Output>;
}

impl<T> Statement for Query<T> {
    type Output = Vec<T>;
    type Reader = Read<T>;

    fn parts(self) -> (Sql, Read<T>) {
        (self.sql, self.read)
    }

    fn output(read: Read<T>, outcome: &Outcome) -> Result<Vec<T>> {
        outcome.rows.iter().map(|row| read(&Reader(row))).collect()
    }
}

impl Statement for Sql {
    type Output = u64;
    type Reader = ();

    fn parts(self) -> (Sql, ()) {
        (self, ())
    }

    fn output((): (), outcome: &Outcome) -> Result<u64> {
        Ok(outcome.changes)
    }
}
