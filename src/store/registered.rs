//! What tables have in common whose records administrators write as a body under an id.

use super::Reader;
use crate::error::Result;
use crate::model::registered::Registered;
use serde::de::DeserializeOwned;

/// The statements of such a table: `$select` reads its columns, `$read` a row of them.
macro_rules! registered {
    ($table:literal, $select:expr, $read:expr => $record:ty) => {
        /// The record of that id.
        pub fn get(tenant: &str, id: &str) -> $crate::store::Query<$record> {
            $crate::store::query!($read, concat!($select, " WHERE tenant = ?1 AND id = ?2"), tenant, id)
        }

        /// Records of that name after `after`, by id.
        pub fn named(tenant: &str, name: &str, after: &str, limit: i64) -> $crate::store::Query<$record> {
            $crate::store::query!(
                $read,
                concat!(
                    $select,
                    " WHERE tenant = ?1 AND json_extract(body, '$.name') = ?4 AND id > ?2 ORDER BY id LIMIT ?3"
                ),
                tenant,
                after,
                limit,
                name
            )
        }

        /// Records after `after`, by id.
        pub fn list(tenant: &str, after: &str, limit: i64) -> $crate::store::Query<$record> {
            $crate::store::query!(
                $read,
                concat!($select, " WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3"),
                tenant,
                after,
                limit
            )
        }

        /// Removes a record that still has `version`; the guard of a chain.
        pub fn delete(tenant: &str, id: &str, version: i64) -> $crate::ports::Sql {
            $crate::store::sql!(
                concat!("DELETE FROM ", $table, " WHERE tenant = ?1 AND id = ?2 AND version = ?3"),
                tenant,
                id,
                version
            )
        }
    };
}
pub(crate) use registered;

/// Reads a row that is nothing but a body with its id, its version and its times.
pub fn read<B: DeserializeOwned>(row: &Reader<'_>) -> Result<Registered<B>> {
    Ok(Registered {
        id: row.text("id")?,
        body: row.json("body")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}
