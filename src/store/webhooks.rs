//! Webhooks, and the messages that they have not taken yet.
//!
//! A message lies in the transaction of its event: [`leave`] looks for the event in the outbox, where only that transaction can have put it.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::webhook::{Message, Webhook};
use crate::ports::Sql;

macro_rules! columns {
    () => {
        "SELECT id, body, secrets, version, created_at, updated_at FROM webhooks WHERE tenant = ?1 AND "
    };
}

macro_rules! messages {
    () => {
        "SELECT id, body, attempts, not_before, until, outcome, failed_at, created_at FROM webhook_messages \
         WHERE tenant = ?1 AND webhook = ?2 AND id > ?3"
    };
}

/// The webhook of that id.
pub fn get(tenant: &str, id: &str) -> Query<Webhook> {
    query!(read, concat!(columns!(), "id = ?2"), tenant, id)
}

/// Webhooks after `after`, by id.
pub fn list(tenant: &str, after: &str, limit: i64) -> Query<Webhook> {
    query!(read, concat!(columns!(), "id > ?2 ORDER BY id LIMIT ?3"), tenant, after, limit)
}

/// Makes a webhook, unless the tenant has `most` already; the guard of a chain.
pub fn insert(tenant: &str, id: &str, (body, secrets): (String, String), now: i64, most: i64) -> Sql {
    sql!(
        "INSERT INTO webhooks (tenant, id, body, secrets, created_at, updated_at) SELECT ?1, ?2, ?3, ?4, ?5, ?5 \
         WHERE (SELECT count(*) FROM webhooks WHERE tenant = ?1) < ?6",
        tenant,
        id,
        body,
        secrets,
        now,
        most
    )
}

/// Changes what an administrator says about a webhook that still has its version; the guard of a chain.
pub fn update(tenant: &str, (id, version): (&str, i64), body: String, now: i64) -> Sql {
    sql!(
        "UPDATE webhooks SET body = ?4, version = version + 1, updated_at = ?5 WHERE tenant = ?1 AND id = ?2 AND version = ?3",
        tenant,
        id,
        version,
        body,
        now
    )
}

/// Gives other secrets to a webhook that still has its version; the guard of a chain.
pub fn replace_secrets(tenant: &str, (id, version): (&str, i64), secrets: String, now: i64) -> Sql {
    sql!(
        "UPDATE webhooks SET secrets = ?4, version = version + 1, updated_at = ?5 WHERE tenant = ?1 AND id = ?2 AND version = ?3",
        tenant,
        id,
        version,
        secrets,
        now
    )
}

/// Keeps secrets that were sealed anew, if they still are as they were.
pub fn reseal(tenant: &str, id: &str, old: String, new: String) -> Sql {
    sql!("UPDATE webhooks SET secrets = ?4 WHERE tenant = ?1 AND id = ?2 AND secrets = ?3", tenant, id, old, new)
}

/// Tells a webhook nothing more that still has its version; the guard of a chain.
pub fn disable(tenant: &str, (id, version): (&str, i64), now: i64) -> Sql {
    sql!(
        "UPDATE webhooks SET body = json_set(body, '$.enabled', json('false')), version = version + 1, updated_at = ?3 \
         WHERE tenant = ?1 AND id = ?2 AND version = ?4 AND body ->> '$.enabled' = 1",
        tenant,
        id,
        now,
        version
    )
}

/// Removes a webhook that still has its version; the guard of a chain.
pub fn delete(tenant: &str, id: &str, version: i64) -> Sql {
    sql!("DELETE FROM webhooks WHERE tenant = ?1 AND id = ?2 AND version = ?3", tenant, id, version)
}

/// Removes the messages of a webhook that is gone.
pub fn delete_messages(tenant: &str, webhook: &str) -> Sql {
    sql!(
        "DELETE FROM webhook_messages WHERE tenant = ?1 AND webhook = ?2 \
         AND NOT EXISTS (SELECT 1 FROM webhooks WHERE tenant = ?1 AND id = ?2)",
        tenant,
        webhook
    )
}

/// A message on its way to its webhooks.
pub struct NewMessage<'a> {
    /// Its id.
    pub id: &'a str,
    /// What is posted.
    pub body: String,
    /// When it was made, in seconds.
    pub now: i64,
    /// Until when it is tried, in seconds.
    pub until: i64,
    /// How many messages of a webhook are kept.
    pub most: i64,
}

/// Leaves a message with every webhook of the tenant that is told such events, if its event is in the outbox.
pub fn leave(tenant: &str, kind: &str, NewMessage { id, body, now, until, most }: NewMessage<'_>) -> Sql {
    sql!(
        "INSERT INTO webhook_messages (tenant, webhook, id, body, not_before, until, created_at) \
         SELECT ?1, w.id, ?2, ?4, ?5, ?6, ?5 FROM webhooks w WHERE w.tenant = ?1 AND w.body ->> '$.enabled' = 1 \
         AND EXISTS (SELECT 1 FROM outbox WHERE id = ?8) \
         AND EXISTS (SELECT 1 FROM json_each(w.body, '$.events') WHERE value = ?3) \
         AND (SELECT count(*) FROM webhook_messages m WHERE m.tenant = ?1 AND m.webhook = w.id) < ?7 ON CONFLICT DO NOTHING",
        tenant,
        id,
        kind,
        body,
        now,
        until,
        most,
        id
    )
}

/// Leaves a message with one webhook that is enabled; the guard of a chain.
pub fn leave_one(tenant: &str, webhook: &str, NewMessage { id, body, now, until, most }: NewMessage<'_>) -> Sql {
    sql!(
        "INSERT INTO webhook_messages (tenant, webhook, id, body, not_before, until, created_at) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?5 FROM webhooks w WHERE w.tenant = ?1 AND w.id = ?2 AND w.body ->> '$.enabled' = 1 \
         AND (SELECT count(*) FROM webhook_messages m WHERE m.tenant = ?1 AND m.webhook = w.id) < ?7 ON CONFLICT DO NOTHING",
        tenant,
        webhook,
        id,
        body,
        now,
        until,
        most
    )
}

/// Tenants with messages to send, those whose turn was longest ago first.
pub fn tenants_due(now: i64, limit: i64) -> Query<String> {
    query!(
        |row| row.text("id"),
        "SELECT id FROM tenants WHERE EXISTS (SELECT 1 FROM webhook_messages INDEXED BY webhook_messages_by_time \
         WHERE failed_at IS NULL AND not_before <= ?1) AND EXISTS (SELECT 1 FROM webhook_messages m INDEXED BY webhook_messages_due \
         WHERE m.tenant = tenants.id AND m.failed_at IS NULL AND m.not_before <= ?1) ORDER BY notified_at, id LIMIT ?2",
        now,
        limit
    )
}

/// Notes that it was a tenant's turn, in milliseconds.
pub fn take_turn(tenant: &str, now_millis: i64) -> Sql {
    sql!("UPDATE tenants SET notified_at = ?2 WHERE id = ?1", tenant, now_millis)
}

/// Messages to send, those that are due for longest first, each with its webhook.
pub fn due(tenant: &str, now: i64, limit: i64) -> Query<(Webhook, Message)> {
    let both = |row: &Reader<'_>| {
        let message = Message {
            id: row.text("message")?,
            body: row.text("payload")?,
            attempts: row.int("attempts")?,
            not_before: row.int("not_before")?,
            until: row.int("until")?,
            outcome: row.optional_text("outcome"),
            failed_at: None,
            created_at: row.int("left_at")?,
        };
        Ok((read(row)?, message))
    };
    query!(
        both,
        "SELECT m.id AS message, m.body AS payload, m.attempts, m.not_before, m.until, m.outcome, m.created_at AS left_at, \
         w.id, w.body, w.secrets, w.version, w.created_at, w.updated_at \
         FROM webhook_messages m INDEXED BY webhook_messages_due CROSS JOIN webhooks w ON w.tenant = m.tenant AND w.id = m.webhook \
         WHERE m.tenant = ?1 AND m.failed_at IS NULL AND m.not_before <= ?2 ORDER BY m.not_before, m.id LIMIT ?3",
        tenant,
        now,
        limit
    )
}

/// Claims the right to the next attempt, which is over by `not_before`.
pub fn claim(tenant: &str, webhook: &str, message: &Message, not_before: i64) -> Sql {
    sql!(
        "UPDATE webhook_messages SET attempts = attempts + 1, not_before = ?5 \
         WHERE tenant = ?1 AND webhook = ?2 AND id = ?3 AND attempts = ?4 AND failed_at IS NULL",
        tenant,
        webhook,
        message.id.as_str(),
        message.attempts,
        not_before
    )
}

/// Removes a message that its webhook has taken.
pub fn remove(tenant: &str, webhook: &str, id: &str) -> Sql {
    sql!("DELETE FROM webhook_messages WHERE tenant = ?1 AND webhook = ?2 AND id = ?3", tenant, webhook, id)
}

/// Notes what came of an attempt.
pub fn note(tenant: &str, webhook: &str, id: &str, outcome: &str) -> Sql {
    sql!(
        "UPDATE webhook_messages SET outcome = ?4 WHERE tenant = ?1 AND webhook = ?2 AND id = ?3",
        tenant,
        webhook,
        id,
        outcome
    )
}

/// Tries a message no more; the guard of a chain.
pub fn fail(tenant: &str, webhook: &str, id: &str, outcome: &str, now: i64) -> Sql {
    sql!(
        "UPDATE webhook_messages SET outcome = ?4, failed_at = ?5 WHERE tenant = ?1 AND webhook = ?2 AND id = ?3 AND failed_at IS NULL",
        tenant,
        webhook,
        id,
        outcome,
        now
    )
}

/// Tries no message any more of a webhook that is not enabled.
pub fn fail_all(tenant: &str, webhook: &str, outcome: &str, now: i64) -> Sql {
    sql!(
        "UPDATE webhook_messages SET outcome = ?3, failed_at = ?4 WHERE tenant = ?1 AND webhook = ?2 AND id > '' AND failed_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM webhooks WHERE tenant = ?1 AND id = ?2 AND body ->> '$.enabled' = 1)",
        tenant,
        webhook,
        outcome,
        now
    )
}

/// Tries anew what has failed of an enabled webhook: the message of that id, or all; the guard of a chain.
pub fn resend(tenant: &str, webhook: &str, id: Option<&str>, (now, until): (i64, i64)) -> Sql {
    sql!(
        "UPDATE webhook_messages SET attempts = 0, not_before = ?4, until = ?5, failed_at = NULL \
         WHERE tenant = ?1 AND webhook = ?2 AND id > '' AND failed_at IS NOT NULL AND (?3 IS NULL OR id = ?3) \
         AND EXISTS (SELECT 1 FROM webhooks WHERE tenant = ?1 AND id = ?2 AND body ->> '$.enabled' = 1)",
        tenant,
        webhook,
        id,
        now,
        until
    )
}

/// Messages of a webhook after `after`, by id: all, or those that have failed, or those that have not.
pub fn messages(tenant: &str, webhook: &str, failed: Option<bool>, after: &str, limit: i64) -> Query<Message> {
    query!(
        read_message,
        concat!(messages!(), " AND (?4 IS NULL OR (failed_at IS NOT NULL) = ?4) ORDER BY id LIMIT ?5"),
        tenant,
        webhook,
        after,
        failed.map(i64::from),
        limit
    )
}

/// Forgets messages that failed before a moment, over all tenants, `limit` at the most.
pub fn forget(before: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM webhook_messages WHERE (tenant, webhook, id) IN (SELECT tenant, webhook, id FROM webhook_messages \
         INDEXED BY webhook_messages_failed WHERE failed_at IS NOT NULL AND failed_at < ?1 LIMIT ?2)",
        before,
        limit
    )
}

fn read(row: &Reader<'_>) -> Result<Webhook> {
    Ok(Webhook {
        id: row.text("id")?,
        body: row.json("body")?,
        secrets: row.json("secrets")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}

fn read_message(row: &Reader<'_>) -> Result<Message> {
    Ok(Message {
        id: row.text("id")?,
        body: row.text("body")?,
        attempts: row.int("attempts")?,
        not_before: row.int("not_before")?,
        until: row.int("until")?,
        outcome: row.optional_text("outcome"),
        failed_at: row.optional_int("failed_at"),
        created_at: row.int("created_at")?,
    })
}
