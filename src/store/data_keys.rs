//! Data keys of the vault, of credentials and of connected accounts: under which version of the key-encryption key they are wrapped.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::ports::Sql;

/// What a data key seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// The credential of a connection.
    Credential,
    /// The tokens of a connected account.
    Account,
}

/// A data key as it is wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataKey {
    /// The tenant.
    pub tenant: String,
    /// The connection.
    pub connection: String,
    /// The id of the credential, or of the account.
    pub id: String,
    /// The key.
    pub wrapped_key: String,
}

macro_rules! first {
    ($table:literal, $index:literal, $order:literal) => {
        concat!(
            "SELECT tenant, connection, id, wrapped_key FROM (SELECT tenant, connection, id, wrapped_key FROM ",
            $table,
            " INDEXED BY ",
            $index,
            " WHERE tenant = ?1 ORDER BY CAST(wrapped_key AS INTEGER) ",
            $order,
            " LIMIT ?2)"
        )
    };
}

/// The first few data keys of a tenant under the oldest and under the newest version, of each table.
pub fn oldest_and_newest(tenant: &str, limit: i64) -> Query<DataKey> {
    query!(
        read,
        concat!(
            first!("credentials", "credentials_by_version", "ASC"),
            " UNION ALL ",
            first!("credentials", "credentials_by_version", "DESC"),
            " UNION ALL ",
            first!("connected_accounts", "connected_accounts_by_version", "ASC"),
            " UNION ALL ",
            first!("connected_accounts", "connected_accounts_by_version", "DESC")
        ),
        tenant,
        limit
    )
}

/// Some data keys of whatever tenants.
pub fn some(limit: i64) -> Query<DataKey> {
    query!(read, "SELECT tenant, connection, id, wrapped_key FROM credentials LIMIT ?1", limit)
}

macro_rules! older {
    ($table:literal, $index:literal) => {
        concat!(
            "SELECT tenant, connection, id, wrapped_key FROM ",
            $table,
            " INDEXED BY ",
            $index,
            " WHERE tenant = ?1 AND CAST(wrapped_key AS INTEGER) < ?2 LIMIT ?3 OFFSET ?4"
        )
    };
}

/// Data keys of a tenant under versions before that one; the first `passed` of them are passed over.
pub fn older(sealed: Sealed, tenant: &str, version: u32, limit: i64, passed: i64) -> Query<DataKey> {
    let text = match sealed {
        Sealed::Credential => older!("credentials", "credentials_by_version"),
        Sealed::Account => older!("connected_accounts", "connected_accounts_by_version"),
    };
    query!(read, text, tenant, i64::from(version), limit, passed)
}

/// Keeps a data key that was wrapped anew, if it still is as it was.
pub fn rewrap(sealed: Sealed, old: &DataKey, wrapped_key: &str) -> Sql {
    let text = match sealed {
        Sealed::Credential => {
            "UPDATE credentials SET wrapped_key = ?4 WHERE tenant = ?1 AND connection = ?5 AND id = ?2 AND wrapped_key = ?3"
        }
        Sealed::Account => {
            "UPDATE connected_accounts SET wrapped_key = ?4 WHERE tenant = ?1 AND connection = ?5 AND id = ?2 AND wrapped_key = ?3"
        }
    };
    sql!(text, old.tenant.as_str(), old.id.as_str(), old.wrapped_key.as_str(), wrapped_key, old.connection.as_str())
}

/// Counts the data keys of a tenant under versions before that one, those of accounts that wait for their revocation too.
pub fn count_older(tenant: &str, version: u32) -> Query<i64> {
    query!(
        |row| row.int("n"),
        "SELECT (SELECT count(*) FROM credentials WHERE tenant = ?1 AND CAST(wrapped_key AS INTEGER) < ?2) \
         + (SELECT count(*) FROM connected_accounts WHERE tenant = ?1 AND CAST(wrapped_key AS INTEGER) < ?2) \
         + (SELECT count(*) FROM ended_accounts WHERE tenant = ?1 AND CAST(wrapped_key AS INTEGER) < ?2) AS n",
        tenant,
        i64::from(version)
    )
}

fn read(row: &Reader<'_>) -> Result<DataKey> {
    Ok(DataKey {
        tenant: row.text("tenant")?,
        connection: row.text("connection")?,
        id: row.text("id")?,
        wrapped_key: row.text("wrapped_key")?,
    })
}
