//! Device codes: made by a device, decided about once by a person, polled at an interval that only grows.

use super::{Query, Reader, query, sql};
use crate::error::{Fault, Result};
use crate::model::{DeviceCode, DeviceStatus};
use crate::ports::Sql;

/// How many codes of a client may wait at once: what strangers can make is bounded.
const MOST: i64 = 5_000;
/// The longest interval between two polls, in seconds.
const LONGEST_INTERVAL: i64 = 60;

/// Keeps a code, unless its user code is taken or the client has too many that wait; the guard of a chain.
pub fn insert(tenant: &str, code: &DeviceCode, request: String, interval: i64, now: i64) -> Sql {
    sql!(
        "INSERT INTO device_codes (tenant, id, user_code, client, request, interval, expires_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 \
         WHERE (SELECT count(*) FROM (SELECT 1 FROM device_codes WHERE tenant = ?1 AND client = ?4 AND expires_at > ?8 LIMIT ?9)) < ?9 \
         ON CONFLICT DO NOTHING",
        tenant,
        code.id.as_str(),
        code.user_code.as_str(),
        code.client.as_str(),
        request,
        interval,
        code.expires_at,
        now,
        MOST
    )
}

/// The code of that digest, whatever became of it.
pub fn get(tenant: &str, id: &str) -> Query<DeviceCode> {
    query!(
        read,
        "SELECT id, user_code, client, request, status, expires_at FROM device_codes WHERE tenant = ?1 AND id = ?2",
        tenant,
        id
    )
}

/// The code with the user code of that digest, while it waits.
pub fn waiting(tenant: &str, user_code: &str, now: i64) -> Query<DeviceCode> {
    query!(
        read,
        "SELECT id, user_code, client, request, status, expires_at FROM device_codes \
         WHERE tenant = ?1 AND user_code = ?2 AND status = 'pending' AND expires_at > ?3",
        tenant,
        user_code,
        now
    )
}

/// Notes a poll that comes no sooner than the interval allows.
pub fn poll(tenant: &str, id: &str, now: i64) -> Sql {
    sql!(
        "UPDATE device_codes SET polled_at = ?3 WHERE tenant = ?1 AND id = ?2 AND polled_at + interval <= ?3",
        tenant,
        id,
        now
    )
}

/// Lets the interval grow by 5 seconds if the poll before came too soon (RFC 8628 §3.5).
pub fn slow_down_if_unchanged(tenant: &str, id: &str, now: i64) -> Sql {
    sql!(
        "UPDATE device_codes SET polled_at = ?3, interval = min(interval + 5, ?4) WHERE tenant = ?1 AND id = ?2 AND changes() = 0",
        tenant,
        id,
        now,
        LONGEST_INTERVAL
    )
}

macro_rules! decide {
    ($status:literal, $when:literal, $tenant:expr, $id:expr, $now:expr) => {
        sql!(
            concat!(
                "UPDATE device_codes SET status = '",
                $status,
                "' WHERE tenant = ?1 AND id = ?2 AND status = 'pending' AND expires_at > ?3",
                $when
            ),
            $tenant,
            $id,
            $now
        )
    };
}

/// Notes that a person has allowed a code that waits; the guard of a chain.
pub fn approve(tenant: &str, id: &str, now: i64) -> Sql {
    decide!("approved", "", tenant, id, now)
}

/// The same if the statement before changed something.
pub fn approve_if_changed(tenant: &str, id: &str, now: i64) -> Sql {
    decide!("approved", " AND changes() > 0", tenant, id, now)
}

/// Notes that a person has refused a code that waits; the guard of a chain.
pub fn deny(tenant: &str, id: &str, now: i64) -> Sql {
    decide!("denied", "", tenant, id, now)
}

/// Forgets codes that nobody can use any more, `limit` at the most.
pub fn forget(before: i64, limit: i64) -> Sql {
    sql!(
        "DELETE FROM device_codes WHERE (tenant, id) IN (SELECT tenant, id FROM device_codes WHERE expires_at <= ?1 LIMIT ?2)",
        before,
        limit
    )
}

fn read(row: &Reader<'_>) -> Result<DeviceCode> {
    let status = row.text("status")?;
    let status = DeviceStatus::ALL.into_iter().find(|known| known.as_str() == status);
    Ok(DeviceCode {
        id: row.text("id")?,
        user_code: row.text("user_code")?,
        client: row.text("client")?,
        request: row.json("request")?,
        status: status.ok_or(Fault::Broken("a stored status is none"))?,
        expires_at: row.int("expires_at")?,
    })
}
