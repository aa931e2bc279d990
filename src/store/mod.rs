//! SQL as data: statements and row readers, one file per aggregate. Nothing here awaits, and no other folder has SQL.
//!
//! 1. Every statement carries its tenant.
//! 2. A change is a chain in one batch: the first statement is the guard, each later one holds only if the one before it
//!    changed something (`changes() > 0`). So a guard that fails changes nothing, and its row count tells.
//! 3. No statement reads the clock: moments are bound values.

pub mod clients;
pub mod connections;
pub mod events;
pub mod failures;
pub mod identities;
pub mod issuers;
pub mod keys;
pub mod leases;
pub mod policies;
pub mod resources;
mod row;
pub mod signals;
pub mod spent;
pub mod stops;
pub mod tenants;
pub mod users;

pub use row::{Reader, single};

/// A statement with its values.
macro_rules! sql {
    ($text:expr $(, $arg:expr)* $(,)?) => {
        $crate::ports::Sql { text: $text, args: vec![$($crate::ports::Value::from($arg)),*] }
    };
}
pub(crate) use sql;
