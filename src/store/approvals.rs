//! Approvals: made once for what is asked, decided once, redeemed once.
//!
//! A row of `approval_deciders` that begins with `by:` is of one who has decided: it is asked by nobody, and goes by itself.

use super::{Query, Reader, query, sql};
use crate::error::{Fault, Result};
use crate::model::Stoppable;
use crate::model::approval::{Approval, ApprovalStatus, Door};
use crate::model::id;
use crate::model::stop::StopTarget;
use crate::ports::Sql;
use crate::store::spent::Redeemable;

/// How many approvals wait for one decider at most, and how many a client may wait for.
pub const MOST: i64 = 20;
/// How many of those that wait for one decider are of one client at most.
const MOST_OF_A_CLIENT: i64 = 10;
/// How long a day is, in seconds.
const DAY: i64 = 86_400;
/// How long what was approved can be redeemed, in seconds.
pub const REDEEMED_WITHIN: i64 = 600;
/// How long it is from a question to the last moment at which its answer can be redeemed, in seconds.
pub const LONGEST: i64 = DAY.saturating_add(REDEEMED_WITHIN);
/// The longest interval between two polls, in seconds.
const LONGEST_INTERVAL: i64 = 60;
/// How many of them end with their client at once; what is left ends by itself.
const WITH_IT: i64 = 1_000;
/// How the rows of those who have decided begin. No user, role or group is named so.
const BY: &str = "by:";

macro_rules! columns {
    ($from:expr) => {
        concat!(
            "SELECT a.id, a.key, a.client, a.requester, a.subject, a.door, a.status, a.statement, a.body, a.version, a.created_at, a.expires_at FROM ",
            $from
        )
    };
}

/// Whether a question was asked at `approvals` with the token of a digest, waits, and ends after `?5`. At other doors what is asked with a token is over
/// before the last tokens have expired, or is asked without one (docs/decisions.md 224).
macro_rules! waits_after {
    ($digest:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM approvals INDEXED BY approvals_asked WHERE tenant = ?1 AND status = 'pending' AND door = 'request' \
             AND expires_at > ?5 AND instr(statement, ",
            $digest,
            ") > 0)"
        )
    };
}
pub(super) use waits_after;

/// An approval that is about to be kept.
pub struct New<'a> {
    /// The approval.
    pub approval: &'a Approval,
    /// Its body as JSON.
    pub body: String,
    /// Its deciders, each once, as a JSON array.
    pub deciders: String,
    /// The digest of what its client polls with.
    pub handle: Option<&'a str>,
    /// What is used up with it, and until when that is remembered.
    pub once: Option<(&'a Redeemable, i64)>,
    /// How many its client asks for in a day, for its subject.
    pub per_day: u32,
}

/// Keeps an approval, unless the same is asked already, what it uses up was used, too many wait for a decider or of the client, or the client has
/// asked for too many in a day; the guard of a chain.
pub fn insert(tenant: &str, New { approval, body, deciders, handle, once, per_day }: &New<'_>) -> Sql {
    let (kind, key) = once.map(|(once, _)| (once.kind, once.key.as_str())).unzip();
    sql!(
        "INSERT INTO approvals (tenant, id, key, client, requester, subject, door, statement, body, handle, created_at, expires_at) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12 \
         WHERE NOT EXISTS (SELECT 1 FROM approvals INDEXED BY approvals_open WHERE tenant = ?1 AND key = ?3 AND status <> 'redeemed' AND expires_at > ?11) \
         AND (SELECT count(*) FROM (SELECT 1 FROM approvals INDEXED BY approvals_by_client WHERE tenant = ?1 AND client = ?4 AND status = 'pending' AND expires_at > ?11 LIMIT ?14)) < ?14 \
         AND (SELECT count(*) FROM (SELECT 1 FROM approvals INDEXED BY approvals_by_day WHERE tenant = ?1 AND client = ?4 AND subject = ?6 AND created_at > ?15 LIMIT ?16)) < ?16 \
         AND NOT EXISTS (SELECT 1 FROM json_each(?13) d WHERE (SELECT count(*) FROM \
         (SELECT 1 FROM approval_deciders w WHERE w.tenant = ?1 AND w.decider = d.value AND w.expires_at > ?11 LIMIT ?14)) >= ?14 \
         OR (SELECT count(*) FROM (SELECT 1 FROM approval_deciders w CROSS JOIN approvals o ON o.tenant = ?1 AND o.id = w.approval AND o.client = ?4 \
         WHERE w.tenant = ?1 AND w.decider = d.value AND w.expires_at > ?11 LIMIT ?17)) >= ?17) \
         AND NOT EXISTS (SELECT 1 FROM spent WHERE tenant = ?1 AND kind = ?18 AND key = ?19)",
        tenant,
        approval.id.as_str(),
        approval.key.as_str(),
        approval.client.as_str(),
        approval.requester.as_str(),
        approval.subject.as_str(),
        approval.door.as_str(),
        approval.statement.as_str(),
        body.as_str(),
        *handle,
        approval.created_at,
        approval.expires_at,
        deciders.as_str(),
        MOST,
        approval.created_at.saturating_sub(DAY),
        i64::from(*per_day),
        MOST_OF_A_CLIENT,
        kind,
        key
    )
}

/// Until when a client has to wait that has asked for as many in a day as it may, for that subject; nothing if it has not.
pub fn day_is_full(tenant: &str, (client, subject): (&str, &str), per_day: u32, now: i64) -> Query<i64> {
    query!(
        |row| Ok(row.int("created_at")?.saturating_add(DAY)),
        "SELECT created_at FROM approvals INDEXED BY approvals_by_day WHERE tenant = ?1 AND client = ?2 AND subject = ?3 AND created_at > ?4 \
         ORDER BY created_at DESC LIMIT 1 OFFSET ?5",
        tenant,
        client,
        subject,
        now.saturating_sub(DAY),
        i64::from(per_day).saturating_sub(1)
    )
}

/// Keeps who decides about it if the statement before changed something. It stands last of a chain: where nobody is named, it changes nothing.
pub fn insert_deciders_if_there(tenant: &str, New { approval, deciders, .. }: &New<'_>) -> Sql {
    sql!(
        "INSERT INTO approval_deciders (tenant, decider, approval, expires_at) SELECT ?1, value, ?2, ?4 FROM json_each(?3) \
         WHERE EXISTS (SELECT 1 FROM approvals WHERE tenant = ?1 AND id = ?2) ON CONFLICT DO NOTHING",
        tenant,
        approval.id.as_str(),
        deciders.as_str(),
        approval.expires_at
    )
}

/// The approval of that id.
pub fn get(tenant: &str, id: &str) -> Query<Approval> {
    query!(read, columns!("approvals a WHERE a.tenant = ?1 AND a.id = ?2"), tenant, id)
}

/// The approval whose client polls with what has that digest.
pub fn by_handle(tenant: &str, handle: &str) -> Query<Approval> {
    query!(
        read,
        columns!("approvals a INDEXED BY approvals_by_handle WHERE a.tenant = ?1 AND a.handle = ?2"),
        tenant,
        handle
    )
}

/// What became of the request for the same, until its end; nothing where it was used. There is one at a time: see [`insert`].
pub fn of_key(tenant: &str, key: &str, now: i64) -> Query<Approval> {
    query!(
        read,
        columns!(
            "approvals a INDEXED BY approvals_open WHERE a.tenant = ?1 AND a.key = ?2 AND a.status <> 'redeemed' AND a.expires_at > ?3 \
             ORDER BY a.expires_at DESC LIMIT 1"
        ),
        tenant,
        key,
        now
    )
}

/// What waits for any of these deciders, a JSON array.
pub fn waiting(tenant: &str, deciders: String, now: i64, limit: i64) -> Query<Approval> {
    query!(
        read,
        columns!(
            "approvals a WHERE a.tenant = ?1 AND a.status = 'pending' AND a.expires_at > ?3 AND a.id IN \
             (SELECT w.approval FROM json_each(?2) d CROSS JOIN approval_deciders w ON w.tenant = ?1 AND w.decider = d.value AND w.expires_at > ?3) \
             ORDER BY a.id LIMIT ?4"
        ),
        tenant,
        deciders,
        now,
        limit
    )
}

/// A page of all, the newest first.
pub fn list(tenant: &str, before: &str, limit: i64) -> Query<Approval> {
    query!(
        read,
        columns!("approvals a WHERE a.tenant = ?1 AND a.id < ?2 ORDER BY a.id DESC LIMIT ?3"),
        tenant,
        before,
        limit
    )
}

/// The same of one status. What waits or can be redeemed is shown until its end; it is looked for among those that began no longer ago than any of
/// them lasts.
pub fn list_of(tenant: &str, status: ApprovalStatus, before: &str, limit: i64, now: i64) -> Query<Approval> {
    let is_open = matches!(status, ApprovalStatus::Pending | ApprovalStatus::Approved);
    let (first, ends_after) = match is_open {
        true => (id::first_at(now.saturating_sub(LONGEST).saturating_mul(1_000)), now),
        false => (String::new(), 0),
    };
    query!(
        read,
        columns!(
            "approvals a INDEXED BY approvals_by_status WHERE a.tenant = ?1 AND a.status = ?4 AND a.id > ?5 AND a.id < ?2 AND a.expires_at > ?6 \
             ORDER BY a.id DESC LIMIT ?3"
        ),
        tenant,
        before,
        limit,
        status.as_str(),
        first,
        ends_after
    )
}

/// The last ones that a user has decided about.
pub fn decided_by(tenant: &str, user: &str, now: i64, limit: i64) -> Query<Approval> {
    query!(
        read,
        columns!(
            "approvals a WHERE a.tenant = ?1 AND a.id IN (SELECT w.approval FROM approval_deciders w \
             WHERE w.tenant = ?1 AND w.decider = ?2 AND w.expires_at > ?3 ORDER BY w.approval DESC LIMIT ?4) ORDER BY a.id DESC"
        ),
        tenant,
        [BY, user].concat(),
        now,
        limit
    )
}

/// Remembers, until then, that a user has decided about an approval, if the statement before changed something.
pub fn remember_if_changed(tenant: &str, id: &str, user: &str, until: i64) -> Sql {
    sql!(
        "INSERT INTO approval_deciders (tenant, decider, approval, expires_at) SELECT ?1, ?2, ?3, ?4 WHERE changes() > 0 \
         ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at",
        tenant,
        [BY, user].concat(),
        id,
        until
    )
}

/// Writes a decision about an approval that waits and is as it was read; the guard of a chain.
pub fn decide(tenant: &str, approval: &Approval, body: String, now: i64) -> Sql {
    sql!(
        "UPDATE approvals SET status = ?4, body = ?5, expires_at = ?6, version = version + 1 \
         WHERE tenant = ?1 AND id = ?2 AND version = ?3 AND status = 'pending' AND expires_at > ?7",
        tenant,
        approval.id.as_str(),
        approval.version,
        approval.status.as_str(),
        body,
        approval.expires_at,
        now
    )
}

/// Redeems an approval, once; the guard of a chain.
pub fn redeem(tenant: &str, id: &str, now: i64) -> Sql {
    sql!(
        "UPDATE approvals SET status = 'redeemed', version = version + 1 WHERE tenant = ?1 AND id = ?2 AND status = 'approved' AND expires_at > ?3",
        tenant,
        id,
        now
    )
}

/// Takes an approval back, whether it was decided or used; the guard of a chain.
pub fn revoke(tenant: &str, id: &str) -> Sql {
    sql!(
        "UPDATE approvals SET status = 'revoked', version = version + 1 WHERE tenant = ?1 AND id = ?2 AND status IN ('pending', 'approved', 'redeemed')",
        tenant,
        id
    )
}

/// Asks nobody any more about an approval that does not wait.
pub fn close(tenant: &str, id: &str) -> Sql {
    sql!(
        "DELETE FROM approval_deciders WHERE tenant = ?1 AND approval = ?2 AND substr(decider, 1, 3) <> ?3 \
         AND NOT EXISTS (SELECT 1 FROM approvals WHERE tenant = ?1 AND id = ?2 AND status = 'pending')",
        tenant,
        id,
        BY
    )
}

/// Notes a poll that comes no sooner than the interval allows.
pub fn poll(tenant: &str, id: &str, now: i64) -> Sql {
    sql!(
        "UPDATE approvals SET polled_at = ?3 WHERE tenant = ?1 AND id = ?2 AND polled_at + interval <= ?3",
        tenant,
        id,
        now
    )
}

/// Lets the interval grow by 5 seconds if the poll before came too soon (RFC 8628 §3.5).
pub fn slow_down_if_unchanged(tenant: &str, id: &str, now: i64) -> Sql {
    sql!(
        "UPDATE approvals SET polled_at = ?3, interval = min(interval + 5, ?4) WHERE tenant = ?1 AND id = ?2 AND changes() = 0",
        tenant,
        id,
        now,
        LONGEST_INTERVAL
    )
}

/// What holds in any case once a client has been stopped for good: nobody is asked for it any more, and what was approved is not used.
pub fn cascade(tenant: &str, StopTarget { kind, id }: StopTarget<'_>) -> Vec<Sql> {
    if kind != Stoppable::Client {
        return vec![];
    }
    let open = |text: &'static str| sql!(text, tenant, id, WITH_IT);
    vec![
        open(
            "DELETE FROM approval_deciders WHERE tenant = ?1 AND approval IN (SELECT id FROM approvals INDEXED BY approvals_by_client WHERE tenant = ?1 AND client = ?2 \
             AND status = 'pending' AND EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?2 AND status = 'retired') LIMIT ?3)",
        ),
        open(
            "UPDATE approvals SET status = 'revoked', version = version + 1 WHERE tenant = ?1 AND id IN (SELECT id FROM approvals INDEXED BY approvals_by_client \
             WHERE tenant = ?1 AND client = ?2 AND status IN ('pending', 'approved') \
             AND EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?2 AND status = 'retired') LIMIT ?3)",
        ),
    ]
}

/// Forgets approvals that ended before then, and deciders of what does not wait any more; `limit` of each at the most.
pub fn forget(before: i64, now: i64, limit: i64) -> [Sql; 2] {
    [
        sql!(
            "DELETE FROM approvals WHERE (tenant, id) IN (SELECT tenant, id FROM approvals WHERE expires_at <= ?1 LIMIT ?2)",
            before,
            limit
        ),
        sql!(
            "DELETE FROM approval_deciders WHERE (tenant, decider, approval) IN \
             (SELECT tenant, decider, approval FROM approval_deciders WHERE expires_at <= ?1 LIMIT ?2)",
            now,
            limit
        ),
    ]
}

fn read(row: &Reader<'_>) -> Result<Approval> {
    let (door, status) = (row.text("door")?, row.text("status")?);
    let broken = Fault::Broken("a stored approval is none");
    Ok(Approval {
        id: row.text("id")?,
        key: row.text("key")?,
        client: row.text("client")?,
        requester: row.text("requester")?,
        subject: row.text("subject")?,
        door: Door::ALL.into_iter().find(|known| known.as_str() == door).ok_or(broken)?,
        status: ApprovalStatus::ALL.into_iter().find(|known| known.as_str() == status).ok_or(broken)?,
        statement: row.text("statement")?,
        body: row.json("body")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        expires_at: row.int("expires_at")?,
    })
}
