//! Accounts at services, with their sealed tokens.
//!
//! A refresh is a claim, then the call, then its outcome, each a statement of its own: the attempt is written before the call. The nonce of the
//! claim fences: what another attempt has begun meanwhile is not written over.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::account::{AccountStatus, ConnectedAccount};
use crate::ports::Sql;

macro_rules! columns {
    () => {
        columns!("")
    };
    ($index:literal) => {
        concat!(
            "SELECT id, connection, owner, label, name, subject, scope_asked, scope, status, wrapped_key, sealed, expires_at, generation, claim, \
             claimed_until, attempted_at, retried, created_at, updated_at FROM connected_accounts",
            $index,
            " WHERE tenant = ?1 AND "
        )
    };
}

/// By what an account is found: there is one at the most.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The connection.
    pub connection: &'a str,
    /// The user, or nothing for the tenant.
    pub owner: &'a str,
    /// The label.
    pub label: &'a str,
}

/// The account at that place.
pub fn at(tenant: &str, Place { connection, owner, label }: Place<'_>) -> Query<ConnectedAccount> {
    query!(read, concat!(columns!(), "connection = ?2 AND owner = ?3 AND label = ?4"), tenant, connection, owner, label)
}

/// The account of that name.
pub fn get(tenant: &str, id: &str) -> Query<ConnectedAccount> {
    query!(read, concat!(columns!(), "id = ?2"), tenant, id)
}

/// Accounts of a connection after `after`, the oldest first.
pub fn of_connection(tenant: &str, connection: &str, after: &str, limit: i64) -> Query<ConnectedAccount> {
    query!(
        read,
        concat!(columns!(), "connection = ?2 AND id > ?3 ORDER BY id LIMIT ?4"),
        tenant,
        connection,
        after,
        limit
    )
}

/// Accounts of a user, by connection and label.
pub fn of_user(tenant: &str, user: &str, limit: i64) -> Query<ConnectedAccount> {
    query!(
        read,
        concat!(columns!(" INDEXED BY connected_accounts_by_user"), "owner = ?2 ORDER BY connection, label LIMIT ?3"),
        tenant,
        user,
        limit
    )
}

/// Connects an account, in place of one whose id is `replaces`; the guard of a chain. Nothing happens if another one is there, or if the connection
/// or the user is not there and active.
pub fn put(tenant: &str, account: &ConnectedAccount, replaces: &str) -> Sql {
    sql!(
        "INSERT INTO connected_accounts (tenant, id, connection, owner, label, name, subject, scope_asked, scope, status, wrapped_key, sealed, expires_at, \
         created_at, updated_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'active', ?10, ?11, ?12, ?13, ?13 \
         WHERE EXISTS (SELECT 1 FROM connections WHERE tenant = ?1 AND name = ?3 AND status = 'active') \
         AND (?4 = '' OR EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?4 AND status = 'active')) \
         ON CONFLICT (tenant, connection, owner, label) DO UPDATE SET id = excluded.id, name = excluded.name, subject = excluded.subject, \
         scope_asked = excluded.scope_asked, scope = excluded.scope, status = excluded.status, wrapped_key = excluded.wrapped_key, \
         sealed = excluded.sealed, expires_at = excluded.expires_at, generation = 1, claim = NULL, claimed_until = 0, attempted_at = 0, retried = 0, \
         created_at = excluded.created_at, updated_at = excluded.updated_at WHERE connected_accounts.id = ?14",
        tenant,
        account.id.as_str(),
        account.connection.as_str(),
        account.owner.as_str(),
        account.label.as_str(),
        account.name.as_str(),
        account.subject.as_str(),
        account.scope_asked.as_str(),
        account.scope.as_str(),
        account.wrapped_key.as_str(),
        account.sealed.as_str(),
        account.expires_at,
        account.created_at,
        replaces
    )
}

/// An attempt to get other tokens of an account.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The account.
    pub account: &'a str,
    /// The generation of the tokens that it begins with.
    pub generation: i64,
    /// What tells it from others.
    pub nonce: &'a str,
}

/// Begins an attempt, if no other goes on, and the account still has the tokens and the standing that it was read with.
pub fn claim(
    tenant: &str,
    Attempt { account, generation, nonce }: Attempt<'_>,
    is_retry: bool,
    now: i64,
    until: i64,
) -> Sql {
    sql!(
        "UPDATE connected_accounts SET status = 'refreshing', claim = ?4, claimed_until = ?6, attempted_at = ?5, retried = ?7, updated_at = ?5 \
         WHERE tenant = ?1 AND id = ?2 AND generation = ?3 AND claimed_until <= ?5 AND (retried = 0 OR ?7 = 0) \
         AND status IN ('active', 'degraded', 'refreshing', 'uncertain')",
        tenant,
        account,
        generation,
        nonce,
        now,
        until,
        i64::from(is_retry)
    )
}

/// Stores what an attempt got, and ends it.
pub fn fulfil(
    tenant: &str,
    Attempt { account, generation, nonce }: Attempt<'_>,
    sealed: &str,
    expires_at: i64,
    scope: &str,
    now: i64,
) -> Sql {
    sql!(
        "UPDATE connected_accounts SET status = 'active', sealed = ?5, expires_at = ?6, scope = ?7, generation = generation + 1, claimed_until = 0, \
         retried = 0, updated_at = ?8 WHERE tenant = ?1 AND id = ?2 AND generation = ?3 AND claim = ?4 AND status = 'refreshing'",
        tenant,
        account,
        generation,
        nonce,
        sealed,
        expires_at,
        scope,
        now
    )
}

/// Ends an attempt that got nothing; the guard of a chain. No other begins before `pause_until`.
pub fn fail(
    tenant: &str,
    Attempt { account, generation, nonce }: Attempt<'_>,
    status: AccountStatus,
    pause_until: i64,
    now: i64,
) -> Sql {
    sql!(
        "UPDATE connected_accounts SET status = ?5, claimed_until = ?6, updated_at = ?7 \
         WHERE tenant = ?1 AND id = ?2 AND generation = ?3 AND claim = ?4 AND status = 'refreshing'",
        tenant,
        account,
        generation,
        nonce,
        status.as_str(),
        pause_until,
        now
    )
}

/// Gives up an account that is still as it was read; the guard of a change.
pub fn give_up(tenant: &str, account: &ConnectedAccount, status: AccountStatus, now: i64) -> Sql {
    sql!(
        "UPDATE connected_accounts SET status = ?4, updated_at = ?5 WHERE tenant = ?1 AND id = ?2 AND generation = ?3 AND claimed_until <= ?5 \
         AND status = ?6",
        tenant,
        account.id.as_str(),
        account.generation,
        status.as_str(),
        now,
        account.status.as_str()
    )
}

/// Removes an account, with its tokens; the guard of a chain.
pub fn delete(tenant: &str, id: &str) -> Sql {
    sql!("DELETE FROM connected_accounts WHERE tenant = ?1 AND id = ?2", tenant, id)
}

/// Removes the accounts of a connection that is gone or stopped for good.
pub fn delete_of_connection(tenant: &str, connection: &str) -> Sql {
    sql!(
        "DELETE FROM connected_accounts WHERE tenant = ?1 AND connection = ?2 \
         AND NOT EXISTS (SELECT 1 FROM connections WHERE tenant = ?1 AND name = ?2 AND status <> 'retired')",
        tenant,
        connection
    )
}

/// Removes the accounts of a user who is gone or stopped for good.
pub fn delete_of_user(tenant: &str, user: &str) -> Sql {
    sql!(
        "DELETE FROM connected_accounts INDEXED BY connected_accounts_by_user WHERE tenant = ?1 AND owner = ?2 \
         AND NOT EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?2 AND status <> 'retired')",
        tenant,
        user
    )
}

/// Lets accounts go on that failed because of the connection's own client, once that has been changed.
pub fn mended(tenant: &str, connection: &str, now: i64) -> Sql {
    sql!(
        "UPDATE connected_accounts INDEXED BY connected_accounts_by_owner SET status = 'active', updated_at = ?3 \
         WHERE tenant = ?1 AND connection = ?2 AND status = 'client_misconfigured'",
        tenant,
        connection,
        now
    )
}

fn read(row: &Reader<'_>) -> Result<ConnectedAccount> {
    Ok(ConnectedAccount {
        id: row.text("id")?,
        connection: row.text("connection")?,
        owner: row.text("owner")?,
        label: row.text("label")?,
        name: row.text("name")?,
        subject: row.text("subject")?,
        scope_asked: row.text("scope_asked")?,
        scope: row.text("scope")?,
        status: row.name("status")?,
        wrapped_key: row.text("wrapped_key")?,
        sealed: row.text("sealed")?,
        expires_at: row.int("expires_at")?,
        generation: row.int("generation")?,
        claim: row.optional_text("claim"),
        claimed_until: row.int("claimed_until")?,
        attempted_at: row.int("attempted_at")?,
        retried: row.int("retried")? != 0,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}
