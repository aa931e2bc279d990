//! Passkeys of users.

use super::{Query, Reader, query, sql};
use crate::error::{Fault, Result};
use crate::jose::PublicJwk;
use crate::model::Passkey;
use crate::model::passkey::MAX_OF_USER;
use crate::ports::{Alg, Sql};
use crate::webauthn::{CredentialRecord, VerifiedAssertion};

macro_rules! columns {
    ($index:literal, $which:literal) => {
        concat!(
            "SELECT id, user, credential, alg, jwk, sign_count, backup_eligible, backup_state, transports, name, created_at, used_at \
             FROM passkeys",
            $index,
            " WHERE tenant = ?1 AND ",
            $which
        )
    };
}

/// The passkey of that id.
pub fn get(tenant: &str, id: &str) -> Query<Passkey> {
    query!(read, columns!("", "id = ?2"), tenant, id)
}

/// The passkeys of a user, in no order.
pub fn of_user(tenant: &str, user: &str) -> Query<Passkey> {
    query!(read, columns!(" INDEXED BY passkeys_by_user", "user = ?2"), tenant, user)
}

/// A row if anybody in the tenant has one.
pub fn first(tenant: &str) -> Query<String> {
    query!(|row| row.text("id"), "SELECT id FROM passkeys WHERE tenant = ?1 LIMIT 1", tenant)
}

/// Adds a passkey while the invitation of its user is good, nobody has the credential, and the user is active and has room for it; the guard of a
/// change.
pub fn insert_invited(tenant: &str, passkey: &Passkey, transports: String, invitation: &str) -> Sql {
    sql!(
        "INSERT INTO passkeys (tenant, id, user, credential, alg, jwk, sign_count, backup_eligible, backup_state, transports, \
         name, created_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12 \
         WHERE NOT EXISTS (SELECT 1 FROM passkeys WHERE tenant = ?1 AND id = ?2) \
         AND EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?3 AND status = 'active') \
         AND (SELECT count(*) FROM passkeys WHERE tenant = ?1 AND user = ?3) < ?13 \
         AND EXISTS (SELECT 1 FROM invitations WHERE tenant = ?1 AND id = ?14 AND user = ?3 AND used_at IS NULL AND expires_at > ?12)",
        tenant,
        passkey.id.as_str(),
        passkey.user.as_str(),
        passkey.record.id.as_str(),
        passkey.record.key.alg().as_str(),
        passkey.record.key.json(),
        i64::from(passkey.record.sign_count),
        i64::from(passkey.record.backup_eligible),
        i64::from(passkey.record.backup_state),
        transports,
        passkey.name.clone(),
        passkey.created_at,
        MAX_OF_USER,
        invitation
    )
}

/// Notes that an active user has signed in: the signature count grows, or is never counted. The guard of a chain.
pub fn note_use(tenant: &str, passkey: &Passkey, verified: VerifiedAssertion, now: i64) -> Sql {
    sql!(
        "UPDATE passkeys SET sign_count = ?4, backup_state = ?5, used_at = ?6 \
         WHERE tenant = ?1 AND id = ?2 AND user = ?3 AND (sign_count < ?4 OR (sign_count = 0 AND ?4 = 0)) \
         AND EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?3 AND status = 'active')",
        tenant,
        passkey.id.as_str(),
        passkey.user.as_str(),
        i64::from(verified.sign_count),
        i64::from(verified.backup_state),
        now
    )
}

/// Removes a passkey of a user; the guard of a chain.
pub fn delete(tenant: &str, user: &str, id: &str) -> Sql {
    sql!("DELETE FROM passkeys WHERE tenant = ?1 AND id = ?2 AND user = ?3", tenant, id, user)
}

/// Removes the passkeys and the invitations of a user who is gone or stopped for good.
pub fn delete_of_stopped(tenant: &str, user: &str) -> [Sql; 2] {
    macro_rules! delete_from {
        ($table:literal) => {
            concat!(
                "DELETE FROM ",
                $table,
                " WHERE tenant = ?1 AND user = ?2 \
                 AND NOT EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?2 AND status <> 'retired')"
            )
        };
    }
    [sql!(delete_from!("passkeys"), tenant, user), sql!(delete_from!("invitations"), tenant, user)]
}

fn read(row: &Reader<'_>) -> Result<Passkey> {
    let broken = || Fault::Broken("a stored passkey is none");
    let alg = Alg::parse(&row.text("alg")?).ok_or_else(broken)?;
    Ok(Passkey {
        id: row.text("id")?,
        user: row.text("user")?,
        record: CredentialRecord {
            id: row.text("credential")?,
            key: PublicJwk::parse(alg, &row.text("jwk")?).ok_or_else(broken)?,
            sign_count: u32::try_from(row.int("sign_count")?).map_err(|_| broken())?,
            backup_eligible: row.int("backup_eligible")? != 0,
            backup_state: row.int("backup_state")? != 0,
            transports: row.json("transports")?,
        },
        name: row.optional_text("name"),
        created_at: row.int("created_at")?,
        used_at: row.optional_int("used_at"),
    })
}
