//! SQL as data: statements and row readers, one file per aggregate. Nothing here awaits, and no other folder has SQL.
//!
//! 1. Every statement about records of a tenant carries the tenant. Clean-ups, the outbox, dead letters and the cron's turns go over all
//!    tenants.
//! 2. A statement that answers rows is a [`Query`]: it carries the reader of its rows.
//! 3. A change is a chain in one batch (`context::Change`): the first statement is the guard, each later one holds only if the one
//!    before it changed something (`changes() > 0`). A guard that fails changes nothing, and its row count tells so.
//! 4. No statement reads the clock: moments are bound values.

pub mod accounts;
pub mod answers;
pub mod approvals;
pub mod changes;
pub mod clients;
pub mod codes;
pub mod connections;
pub mod consents;
pub mod counts;
pub mod data_keys;
pub mod decisions;
pub mod deletion;
pub mod device_codes;
pub mod erasing;
pub mod events;
pub mod failures;
pub mod findings;
pub mod identities;
pub mod invitations;
pub mod issuers;
pub mod keys;
pub mod leases;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod passkeys;
pub mod policies;
pub mod quotas;
pub mod refresh;
mod registered;
pub mod registration;
pub mod resources;
mod row;
pub mod search;
pub mod sessions;
pub mod signals;
pub mod sinks;
pub mod spent;
mod statement;
pub mod stops;
pub mod tenants;
pub mod users;
pub mod webhooks;
pub mod witnesses;

pub use row::Reader;
pub use statement::{Query, Read, Statement};

/// A statement with its values.
macro_rules! sql {
    ($text:expr $(, $arg:expr)* $(,)?) => {
        $crate::ports::Sql { text: $text, args: vec![$($crate::ports::Value::from($arg)),*] }
    };
}
pub(crate) use sql;

/// A statement with its values, and the reader of its rows.
macro_rules! query {
    ($read:expr, $text:expr $(, $arg:expr)* $(,)?) => {
        $crate::store::Query { sql: $crate::store::sql!($text $(, $arg)*), read: $read }
    };
}
pub(crate) use query;
