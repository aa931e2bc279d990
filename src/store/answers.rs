//! Answers to requests that made something, kept for their retries.

use super::{Query, query, sql};
use crate::ports::Sql;

/// The key of a row.
#[derive(Clone, Copy)]
pub struct AnswerKey<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The client that sent the request.
    pub client: &'a str,
    /// The digest of its `Idempotency-Key`.
    pub key: &'a str,
}

/// An answer as it is kept.
pub struct Kept {
    /// The digest of the request.
    pub request: String,
    /// The answer, sealed.
    pub sealed: String,
}

/// The answer that is kept under a key.
pub fn get(AnswerKey { tenant, client, key }: AnswerKey<'_>, now: i64) -> Query<Kept> {
    query!(
        |row| Ok(Kept { request: row.text("request")?, sealed: row.text("sealed")? }),
        "SELECT request, sealed FROM answers WHERE tenant = ?1 AND client = ?2 AND key = ?3 AND until > ?4",
        tenant,
        client,
        key,
        now
    )
}

/// Forgets the answer of a key that has lapsed, so that the key can be used again.
pub fn lapse(AnswerKey { tenant, client, key }: AnswerKey<'_>, now: i64) -> Sql {
    sql!("DELETE FROM answers WHERE tenant = ?1 AND client = ?2 AND key = ?3 AND until <= ?4", tenant, client, key, now)
}

/// Keeps an answer if the statement before changed something; a link of a chain. Where the key has an answer, the constraint ends the
/// transaction, and nothing in it happens.
pub fn keep(AnswerKey { tenant, client, key }: AnswerKey<'_>, answer: Kept, until: i64) -> Sql {
    sql!(
        "INSERT INTO answers (tenant, client, key, request, sealed, until) SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE changes() > 0",
        tenant,
        client,
        key,
        answer.request,
        answer.sealed,
        until
    )
}

/// Forgets answers that have lapsed, `limit` at the most.
pub fn forget(now: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM answers WHERE (tenant, client, key) IN (SELECT tenant, client, key FROM answers WHERE until <= ?1 LIMIT ?2)",
        now,
        limit
    )
}
