//! Authorization codes. A redemption is a guarded statement: of any number of them, one changes the row.

use super::spent::Redeemable;
use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::Code;
use crate::ports::Sql;

macro_rules! keep {
    ($tenant:expr, $code:expr, $body:expr, $when:literal $(, $more:expr)*) => {
        sql!(
            concat!(
                "INSERT INTO codes (tenant, id, client, user, family, body, expires_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE ",
                $when
            ),
            $tenant,
            $code.id.as_str(),
            $code.client.as_str(),
            $code.user.as_str(),
            $code.family.as_str(),
            $body,
            $code.expires_at
            $(, $more)*
        )
    };
}

/// The code of that digest, redeemed or not.
pub fn get(tenant: &str, id: &str) -> Query<Code> {
    query!(
        read,
        "SELECT id, client, user, family, body, claim, expires_at FROM codes WHERE tenant = ?1 AND id = ?2",
        tenant,
        id
    )
}

/// Keeps a code if the statement before changed something.
pub fn insert_if_changed(tenant: &str, code: &Code, body: String) -> Sql {
    keep!(tenant, code, body, "changes() > 0")
}

/// Keeps a code for an active client and an active user, if nothing was redeemed under `unredeemed`; the guard of a chain.
pub fn insert(tenant: &str, code: &Code, body: String, unredeemed: Option<&Redeemable>) -> Sql {
    let (kind, key) = unredeemed.map(|one| (one.kind, one.key.as_str())).unzip();
    keep!(
        tenant,
        code,
        body,
        "EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?3 AND status = 'active') \
         AND EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?4 AND status = 'active') \
         AND NOT EXISTS (SELECT 1 FROM spent WHERE tenant = ?1 AND kind = ?8 AND key = ?9)",
        kind,
        key
    )
}

/// Redeems a code that was not redeemed before, if its consent, where it has one, is still at that version; the guard of a chain.
pub fn redeem(tenant: &str, id: &str, claim: &str, now: i64, consent: Option<(&str, i64)>) -> Sql {
    let (consent, version) = consent.unzip();
    sql!(
        "UPDATE codes SET claim = ?3 WHERE tenant = ?1 AND id = ?2 AND claim IS NULL AND expires_at > ?4 \
         AND (?5 IS NULL OR EXISTS (SELECT 1 FROM consents c WHERE c.tenant = ?1 AND c.id = ?5 AND c.version = ?6))",
        tenant,
        id,
        claim,
        now,
        consent,
        version
    )
}

/// Removes the codes of a person that were not redeemed.
pub fn delete_of_user(tenant: &str, user: &str) -> Sql {
    sql!("DELETE FROM codes INDEXED BY codes_by_user WHERE tenant = ?1 AND user = ?2 AND claim IS NULL", tenant, user)
}

/// Forgets codes that nobody can redeem any more, `limit` at the most.
pub fn forget(before: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM codes WHERE (tenant, id) IN (SELECT tenant, id FROM codes WHERE expires_at <= ?1 LIMIT ?2)",
        before,
        limit
    )
}

fn read(row: &Reader<'_>) -> Result<Code> {
    Ok(Code {
        id: row.text("id")?,
        client: row.text("client")?,
        user: row.text("user")?,
        family: row.text("family")?,
        body: row.json("body")?,
        claim: row.optional_text("claim"),
        expires_at: row.int("expires_at")?,
    })
}
