//! Witnesses of a tenant's log, in `DB`: what each has cosigned last, and what became of the last attempt.
//!
//! 1. Who asks a witness holds a claim: `not_before` says when the witness may be asked again, whether or not an answer comes.

use super::{Query, query, sql};
use crate::ports::Sql;

/// What a witness has cosigned, and how it answers.
#[derive(Clone, Default)]
pub struct WitnessState {
    /// The verifier key of the witness.
    pub witness: String,
    /// How many events it has seen, as far as is known.
    pub size: i64,
    /// The checkpoint that it has cosigned last, as the log has signed it; empty before the first one.
    pub checkpoint: String,
    /// Its signature line.
    pub cosignature: String,
    /// When it did so, in seconds, as it says.
    pub cosigned_at: Option<i64>,
    /// From when on it may be asked again, in seconds.
    pub not_before: i64,
    /// How often it was asked in vain since.
    pub attempts: i64,
    /// Since when, in seconds.
    pub failing_since: Option<i64>,
    /// What came of the last attempt in vain.
    pub outcome: Option<String>,
}

/// Every witness of a tenant that was asked.
pub fn list(tenant: &str) -> Query<WitnessState> {
    query!(
        |row| {
            Ok(WitnessState {
                witness: row.text("witness")?,
                size: row.int("size")?,
                checkpoint: row.text("checkpoint")?,
                cosignature: row.text("cosignature")?,
                cosigned_at: row.optional_int("cosigned_at"),
                not_before: row.int("not_before")?,
                attempts: row.int("attempts")?,
                failing_since: row.optional_int("failing_since"),
                outcome: row.optional_text("outcome"),
            })
        },
        "SELECT witness, size, checkpoint, cosignature, cosigned_at, not_before, attempts, failing_since, outcome \
         FROM log_witnesses WHERE tenant = ?1",
        tenant
    )
}

/// Claims the right to ask a witness until a moment, unless another has it or the tenant was deleted.
pub fn claim(tenant: &str, witness: &str, now: i64, until: i64) -> Sql {
    sql!(
        "INSERT INTO log_witnesses (tenant, witness, not_before) SELECT ?1, ?2, ?4 \
         WHERE NOT EXISTS (SELECT 1 FROM former_tenants WHERE id = ?1) \
         ON CONFLICT (tenant, witness) DO UPDATE SET not_before = excluded.not_before WHERE log_witnesses.not_before <= ?3",
        tenant,
        witness,
        now,
        until
    )
}

/// What a witness has cosigned.
pub struct Cosigned<'a> {
    /// How many events it covers.
    pub size: i64,
    /// The checkpoint, as the log has signed it.
    pub checkpoint: &'a str,
    /// The signature line of the witness.
    pub cosignature: &'a str,
    /// When, in seconds.
    pub at: i64,
}

/// Keeps what a witness has cosigned.
pub fn cosign(tenant: &str, witness: &str, cosigned: &Cosigned<'_>) -> Sql {
    sql!(
        "UPDATE log_witnesses SET size = ?3, checkpoint = ?4, cosignature = ?5, cosigned_at = ?6, not_before = 0, attempts = 0, \
         failing_since = NULL, outcome = NULL WHERE tenant = ?1 AND witness = ?2",
        tenant,
        witness,
        cosigned.size,
        cosigned.checkpoint,
        cosigned.cosignature,
        cosigned.at
    )
}

/// What has failed.
pub struct Unsigned<'a> {
    /// What came of it.
    pub outcome: &'a str,
    /// The moment, in seconds.
    pub now: i64,
    /// When the next attempt is, in seconds.
    pub not_before: i64,
    /// How many events the witness says that it has seen, if it does.
    pub size: Option<i64>,
}

/// Notes an attempt in vain.
pub fn fail(tenant: &str, witness: &str, failed: &Unsigned<'_>) -> Sql {
    sql!(
        "UPDATE log_witnesses SET attempts = attempts + 1, outcome = ?3, failing_since = coalesce(failing_since, ?4), not_before = ?5, \
         size = coalesce(?6, size) WHERE tenant = ?1 AND witness = ?2",
        tenant,
        witness,
        failed.outcome,
        failed.now,
        failed.not_before,
        failed.size
    )
}

/// Notes on which day a witness has contradicted the log, once a day; the guard of a chain.
pub fn alarm(tenant: &str, witness: &str, day: i64) -> Sql {
    sql!(
        "UPDATE log_witnesses SET alarmed = ?3 WHERE tenant = ?1 AND witness = ?2 AND alarmed < ?3",
        tenant,
        witness,
        day
    )
}

/// Forgets witnesses that are not among these, a JSON array of verifier keys.
pub fn forget_others(tenant: &str, known: String) -> Sql {
    sql!(
        "DELETE FROM log_witnesses WHERE tenant = ?1 AND witness NOT IN (SELECT value FROM json_each(?2))",
        tenant,
        known
    )
}
