//! Single use: assertions and proofs count once.

use super::Cx;
use crate::crypto::sha256;
use crate::error::Result;
use crate::jose::LEEWAY_SECONDS;
use crate::ports::Sql;
use crate::store;
use crate::store::spent::Redeemable;

/// How long a use is remembered beyond its expiry, in seconds: more than any clock may be off.
const REMEMBERED_SECONDS: i64 = 10 * LEEWAY_SECONDS;

/// Until when the use of what expires then is remembered.
pub const fn remembered_until(exp: i64) -> i64 {
    exp.saturating_add(REMEMBERED_SECONDS)
}

impl Cx<'_> {
    /// Redeems what `issuer` calls `name`, of that `kind`: true the first time, false ever after, in every location. It stays redeemed
    /// until `exp` and its leeway have passed.
    ///
    /// When the reply of D1 is lost, the assertion or proof is redeemed and its sender has to make another: the safe side.
    pub async fn redeem(&self, kind: &str, issuer: &str, name: &str, exp: i64) -> Result<bool> {
        let changes = self.db().run(vec![self.redemption(kind, issuer, name, exp)]).await?;
        Ok(changes.first().is_some_and(|rows| *rows > 0))
    }

    /// The statement that redeems: for a use whose effect is written with it.
    pub fn redemption(&self, kind: &str, issuer: &str, name: &str, exp: i64) -> Sql {
        store::spent::redeem(&self.tenant.id, kind, &key(issuer, name), remembered_until(exp))
    }

    /// The same as a condition: for an effect that happens only if it was not redeemed.
    pub fn redeemable(&self, kind: &'static str, issuer: &str, name: &str) -> Redeemable {
        Redeemable { kind, key: key(issuer, name) }
    }

    /// Whether it was redeemed.
    pub async fn is_redeemed(&self, Redeemable { kind, key }: &Redeemable) -> Result<bool> {
        self.one(store::spent::is_redeemed(&self.tenant.id, kind, key)).await.map(|row| row.is_some())
    }
}

fn key(issuer: &str, name: &str) -> String {
    sha256(format!("{}\0{issuer}\0{name}", issuer.len())).to_text()
}
