//! Accounts at services, with their sealed tokens.
//!
//! A refresh is a claim, then the call, then its outcome, each a statement of its own: the attempt is written before the call. The nonce of the
//! claim fences: what another attempt has begun meanwhile is not written over.

use super::{Query, Reader, connections, query, sql};
use crate::error::Result;
use crate::model::account::{AccountStatus, ConnectedAccount, MAX_OF_OWNER};
use crate::model::{Connection, Status};
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
        concat!(
            columns!(" INDEXED BY connected_accounts_by_connection"),
            "connection = ?2 AND id > ?3 ORDER BY id LIMIT ?4"
        ),
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

/// Whether an owner may have no other label at a connection: they have as many accounts there as there may be, and none at this place.
pub fn is_full(tenant: &str, Place { connection, owner, label }: Place<'_>) -> Query<bool> {
    query!(
        |row| Ok(row.int("n")? >= MAX_OF_OWNER && row.int("there")? == 0),
        "SELECT count(*) AS n, coalesce(sum(label = ?4), 0) AS there FROM connected_accounts \
         WHERE tenant = ?1 AND connection = ?2 AND owner = ?3",
        tenant,
        connection,
        owner,
        label
    )
}

/// The state of a connection for which an account is stored.
pub struct ConnectionState {
    /// Its version.
    pub version: i64,
    /// Its credential, whose name is never used again.
    pub credential: String,
}

/// Connects an account, in place of one whose id is `replaces`; the guard of a chain. Nothing happens if another one is there, or one that an
/// administrator has stopped, if the connection is not active and in that state, if the user is not there and active, or if the owner has as many there as
/// there may be.
pub fn put(tenant: &str, account: &ConnectedAccount, replaces: &str, state: &ConnectionState) -> Sql {
    sql!(
        "INSERT INTO connected_accounts (tenant, id, connection, owner, label, name, subject, scope_asked, scope, status, wrapped_key, sealed, expires_at, \
         created_at, updated_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'active', ?10, ?11, ?12, ?13, ?13 \
         WHERE EXISTS (SELECT 1 FROM connections WHERE tenant = ?1 AND name = ?3 AND status = 'active' AND version = ?16) \
         AND EXISTS (SELECT 1 FROM credentials WHERE tenant = ?1 AND connection = ?3 AND id = ?17) \
         AND (?4 = '' OR EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?4 AND status = 'active')) \
         AND (SELECT count(*) FROM connected_accounts WHERE tenant = ?1 AND connection = ?3 AND owner = ?4 AND label <> ?5) < ?15 \
         ON CONFLICT (tenant, connection, owner, label) DO UPDATE SET id = excluded.id, name = excluded.name, subject = excluded.subject, \
         scope_asked = excluded.scope_asked, scope = excluded.scope, status = excluded.status, wrapped_key = excluded.wrapped_key, \
         sealed = excluded.sealed, expires_at = excluded.expires_at, generation = 1, claim = NULL, claimed_until = 0, attempted_at = 0, retried = 0, \
         created_at = excluded.created_at, updated_at = excluded.updated_at \
         WHERE connected_accounts.id = ?14 AND connected_accounts.status <> 'disabled'",
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
        replaces,
        MAX_OF_OWNER,
        state.version,
        state.credential.as_str()
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
        "UPDATE connected_accounts SET status = 'refreshing', claim = ?4, claimed_until = ?6, retried = ?7, updated_at = ?5, \
         attempted_at = CASE WHEN ?7 THEN attempted_at ELSE ?5 END \
         WHERE tenant = ?1 AND id = ?2 AND generation = ?3 AND claimed_until <= ?5 AND (retried = 0 OR ?7 = 0) \
         AND status IN ('active', 'degraded', 'refreshing', 'uncertain', 'client_misconfigured')",
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
         retried = 0, updated_at = ?8 WHERE tenant = ?1 AND id = ?2 AND generation = ?3 AND claim = ?4 AND status <> 'disabled'",
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

/// How an attempt has failed.
#[derive(Clone, Copy)]
pub struct Failed {
    /// What the account is now.
    pub status: AccountStatus,
    /// No other attempt begins before.
    pub pause_until: i64,
    /// Whether the service has not taken the refresh token: then it can be tried as before.
    pub is_untaken: bool,
}

/// Ends an attempt that got nothing; the guard of a change.
pub fn fail(
    tenant: &str,
    Attempt { account, generation, nonce }: Attempt<'_>,
    Failed { status, pause_until, is_untaken }: Failed,
    now: i64,
) -> Sql {
    sql!(
        "UPDATE connected_accounts SET status = ?5, claimed_until = ?6, updated_at = ?7, retried = CASE WHEN ?8 THEN 0 ELSE retried END \
         WHERE tenant = ?1 AND id = ?2 AND generation = ?3 AND claim = ?4 AND status = 'refreshing'",
        tenant,
        account,
        generation,
        nonce,
        status.as_str(),
        pause_until,
        now,
        i64::from(is_untaken)
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

/// Stops an account, unless its tokens are in doubt or being refreshed, or it has to be connected anew; the guard of a change.
pub fn suspend(tenant: &str, id: &str, now: i64) -> Sql {
    sql!(
        "UPDATE connected_accounts SET status = 'disabled', updated_at = ?3 WHERE tenant = ?1 AND id = ?2 \
         AND status IN ('active', 'degraded', 'client_misconfigured')",
        tenant,
        id,
        now
    )
}

/// Lets an account that was stopped go on; the guard of a change.
pub fn resume(tenant: &str, id: &str, now: i64) -> Sql {
    sql!(
        "UPDATE connected_accounts SET status = 'active', claimed_until = 0, updated_at = ?3 WHERE tenant = ?1 AND id = ?2 AND status = 'disabled'",
        tenant,
        id,
        now
    )
}

macro_rules! delete {
    ($when:literal, $($bind:expr),+) => {
        [
            sql!(
                concat!(
                    "DELETE FROM connected_accounts INDEXED BY connected_accounts_by_connection WHERE tenant = ?1 AND connection = ?2 AND ",
                    $when
                ),
                $($bind),+
            ),
            sql!(concat!("DELETE FROM ended_accounts WHERE tenant = ?1 AND connection = ?2 AND ", $when), $($bind),+),
        ]
    };
}

/// Removes the accounts of a connection that is gone or stopped for good, and those that wait for their revocation: nobody can revoke them now.
pub fn delete_of_connection(tenant: &str, connection: &str) -> [Sql; 2] {
    delete!(
        "NOT EXISTS (SELECT 1 FROM connections WHERE tenant = ?1 AND name = ?2 AND status <> 'retired')",
        tenant,
        connection
    )
}

/// Removes the same of a connection that has been given that version by a change that makes their tokens worthless.
pub fn delete_of_changed(tenant: &str, connection: &str, version: i64) -> [Sql; 2] {
    delete!(
        "EXISTS (SELECT 1 FROM connections WHERE tenant = ?1 AND name = ?2 AND version = ?3)",
        tenant,
        connection,
        version
    )
}

macro_rules! end {
    ($index:literal, $which:literal, $tenant:expr, $id:expr, $now:expr) => {
        [
            sql!(
                concat!(
                    "INSERT INTO ended_accounts (tenant, id, connection, owner, generation, wrapped_key, sealed, ended_at) \
                     SELECT tenant, id, connection, owner, generation, wrapped_key, sealed, ?3 FROM connected_accounts",
                    $index,
                    " WHERE tenant = ?1 AND ",
                    $which,
                    " ON CONFLICT DO NOTHING"
                ),
                $tenant,
                $id,
                $now
            ),
            sql!(concat!("DELETE FROM connected_accounts", $index, " WHERE tenant = ?1 AND ", $which), $tenant, $id),
        ]
    };
}

/// Ends an account: its tokens wait for their revocation at the service. The second statement is the guard of a change.
pub fn end(tenant: &str, id: &str, now: i64) -> [Sql; 2] {
    end!("", "id = ?2", tenant, id, now)
}

/// Ends the accounts of a user who is gone or stopped for good.
pub fn end_of_user(tenant: &str, user: &str, now: i64) -> [Sql; 2] {
    end!(
        " INDEXED BY connected_accounts_by_user",
        "owner = ?2 AND NOT EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?2 AND status <> 'retired')",
        tenant,
        user,
        now
    )
}

/// An account that has ended.
pub struct Ended {
    /// Which it was.
    pub id: String,
    /// Its connection, as it is at that moment; nothing if it is gone or stopped for good.
    pub connection: Option<Connection>,
    /// Whose it was.
    pub owner: String,
    /// The generation of its tokens.
    pub generation: i64,
    /// The data key.
    pub wrapped_key: String,
    /// The tokens.
    pub sealed: String,
    /// When, in seconds since the epoch.
    pub ended_at: i64,
}

/// Accounts that have ended and whose tokens were not revoked: those first that were tried longest ago, or never.
pub fn ended(tenant: &str, limit: i64) -> Query<Ended> {
    query!(
        |row| {
            let connection = row.optional_text("kind").map(|_| connections::read(row)).transpose()?;
            Ok(Ended {
                id: row.text("ended_id")?,
                connection: connection.filter(|connection| connection.status != Status::Retired),
                owner: row.text("owner")?,
                generation: row.int("generation")?,
                wrapped_key: row.text("ended_key")?,
                sealed: row.text("sealed")?,
                ended_at: row.int("ended_at")?,
            })
        },
        "SELECT e.id AS ended_id, e.owner, e.generation, e.wrapped_key AS ended_key, e.sealed, e.ended_at, \
         c.name, c.kind, c.config, c.status, c.version, c.created_at, c.updated_at, k.id AS credential, k.wrapped_key, k.created_at AS stored_at \
         FROM ended_accounts e INDEXED BY ended_accounts_by_turn LEFT JOIN connections c ON c.tenant = e.tenant AND c.name = e.connection \
         LEFT JOIN credentials k ON k.tenant = e.tenant AND k.connection = e.connection \
         WHERE e.tenant = ?1 AND e.tried_at >= 0 ORDER BY e.tried_at, e.id LIMIT ?2",
        tenant,
        limit
    )
}

/// Notes that revoking its tokens was tried in vain: others are next.
pub fn tried(tenant: &str, id: &str, now: i64) -> Sql {
    sql!("UPDATE ended_accounts SET tried_at = ?3 WHERE tenant = ?1 AND id = ?2", tenant, id, now)
}

/// Forgets an account whose tokens were revoked, or cannot be.
pub fn forget_ended(tenant: &str, id: &str) -> Sql {
    sql!("DELETE FROM ended_accounts WHERE tenant = ?1 AND id = ?2", tenant, id)
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
