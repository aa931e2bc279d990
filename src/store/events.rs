//! Events: the outbox and dead letters in `DB`, the trail in `AUDIT_DB`.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::EventType;
use crate::ports::Sql;

/// An event on its way to the queue.
pub struct Staged {
    /// Its id.
    pub id: String,
    /// Its JSON.
    pub body: String,
    /// How often the queue refused it while it took others.
    pub attempts: i64,
}

/// Puts an event into the outbox.
pub fn stage(id: &str, body: String) -> Sql {
    sql!("INSERT INTO outbox (id, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING", id, body)
}

/// Puts an event into the outbox if the statement before changed something.
pub fn stage_if_changed(id: &str, body: String) -> Sql {
    sql!("INSERT INTO outbox (id, body) SELECT ?1, ?2 WHERE changes() > 0 ON CONFLICT DO NOTHING", id, body)
}

/// Events in the outbox: those that were refused least often, the oldest first.
pub fn staged(limit: i64) -> Query<Staged> {
    let read =
        |row: &Reader<'_>| Ok(Staged { id: row.text("id")?, body: row.text("body")?, attempts: row.int("attempts")? });
    query!(read, "SELECT id, body, attempts FROM outbox ORDER BY tries, id LIMIT ?1", limit)
}

/// Takes an event out of the outbox once the queue has it.
pub fn unstage(id: &str) -> Sql {
    sql!("DELETE FROM outbox WHERE id = ?1", id)
}

/// Puts an event that the queue refused behind the others; `counts` says whether the queue took others.
pub fn put_back(id: &str, counts: bool) -> Sql {
    sql!("UPDATE outbox SET tries = tries + 1, attempts = attempts + ?2 WHERE id = ?1", id, i64::from(counts))
}

/// Keeps when clients last got a token, unless their tenant was deleted. `rows` is a JSON array of arrays: client, moment.
pub fn keep_last_tokens(tenant: &str, rows: String) -> Sql {
    sql!(
        "INSERT INTO last_tokens (tenant, client, at) SELECT ?1, r.value ->> 0, r.value ->> 1 FROM json_each(?2) r \
         WHERE NOT EXISTS (SELECT 1 FROM former_tenants WHERE id = ?1) \
         ON CONFLICT (tenant, client) DO UPDATE SET at = max(at, excluded.at)",
        tenant,
        rows
    )
}

/// When these clients, a JSON array of ids, last got a token: id and milliseconds since the epoch.
pub fn last_tokens(tenant: &str, clients: String) -> Query<(String, i64)> {
    query!(
        |row| Ok((row.text("client")?, row.int("at")?)),
        "SELECT client, at FROM last_tokens WHERE tenant = ?1 AND client IN (SELECT value FROM json_each(?2))",
        tenant,
        clients
    )
}

/// Keeps what no consumer could, unless it is of a tenant that was deleted; a second delivery changes nothing.
pub fn bury(id: &str, body: String, now: i64) -> Sql {
    sql!(
        "INSERT INTO dead_letters (id, body, received_at) SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM former_tenants \
         WHERE id = CASE WHEN json_valid(?2) THEN ?2 ->> '$.tenant' END) ON CONFLICT DO NOTHING",
        id,
        body,
        now
    )
}

/// How many dead letters there are; counted up to 100,000.
pub fn count_dead() -> Query<i64> {
    query!(|row| row.int("n"), "SELECT count(*) AS n FROM (SELECT 1 FROM dead_letters LIMIT 100000)")
}

/// An event of the trail with its sequence number.
pub struct Sequenced {
    /// The sequence number.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// When it happened, in milliseconds.
    pub at: i64,
    /// Its type.
    pub kind: String,
    /// Its JSON; nothing where its type was not asked for.
    pub body: Option<String>,
}

/// The events after a sequence number, in their order: `rows` at the most, and no more once they have so many bytes. Of types that are not among
/// `types`, a JSON array, the body is left out.
pub fn after(tenant: &str, seq: i64, (rows, bytes): (i64, i64), types: Option<String>) -> Query<Sequenced> {
    let read = |row: &Reader<'_>| {
        Ok(Sequenced {
            seq: row.int("seq")?,
            id: row.text("id")?,
            at: row.int("at")?,
            kind: row.text("type")?,
            body: row.optional_text("body"),
        })
    };
    query!(
        read,
        "SELECT seq, id, at, type, body FROM (SELECT seq, id, at, type, body, \
         sum(coalesce(length(body), 0)) OVER (ORDER BY seq) - coalesce(length(body), 0) AS before FROM \
         (SELECT seq, id, at, type, CASE WHEN ?5 IS NULL OR type IN (SELECT value FROM json_each(?5)) THEN body END AS body \
         FROM events INDEXED BY events_by_seq WHERE tenant = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3)) WHERE before < ?4",
        tenant,
        seq,
        rows,
        bytes,
        types
    )
}

/// Which events are asked for; ids bound moments, for they sort by time.
#[derive(Default)]
pub struct Filter {
    /// Of this client: what it did, and without `target` what was done to it.
    pub client: Option<String>,
    /// About this record: an id or a name.
    pub target: Option<String>,
    /// Of this type.
    pub kind: Option<String>,
    /// Those that tell of a refusal alone.
    pub refused: bool,
    /// From this id on.
    pub from: String,
    /// Before this id.
    pub before: String,
}

macro_rules! page {
    ($index:literal, $which:literal) => {
        concat!(
            "SELECT body FROM events INDEXED BY ",
            $index,
            " WHERE tenant = ?1 AND id >= ?2 AND id < ?3 AND ",
            $which,
            " ORDER BY id DESC LIMIT ?4"
        )
    };
}

/// What a client did, and what was done to it.
macro_rules! of_client {
    ($index:literal, $which:literal) => {
        concat!(
            "SELECT body FROM (SELECT * FROM (SELECT id, body FROM events INDEXED BY ",
            $index,
            " WHERE tenant = ?1 AND id >= ?2 AND id < ?3 AND client = ?5",
            $which,
            " ORDER BY id DESC LIMIT ?4) UNION ALL \
             SELECT * FROM (SELECT id, body FROM events INDEXED BY events_by_target \
             WHERE tenant = ?1 AND id >= ?2 AND id < ?3 AND target = ?5 AND client IS NOT ?5",
            $which,
            " ORDER BY id DESC LIMIT ?4)) ORDER BY id DESC LIMIT ?4"
        )
    };
}

/// Events, newest first. Each filter has a statement of its own, so that each has its index.
pub fn list(tenant: &str, filter: &Filter, limit: i64) -> Query<serde_json::Value> {
    let Filter { client, target, kind, refused, from, before } = filter;
    let (from, before) = (from.as_str(), before.as_str());
    if let Some(target) = target {
        return query!(
            read,
            page!(
                "events_by_target",
                "target = ?5 AND (?6 IS NULL OR +client = ?6) AND (?7 IS NULL OR +type = ?7) AND (?8 = 0 OR refused = 1)"
            ),
            tenant,
            from,
            before,
            limit,
            target.as_str(),
            client.as_deref(),
            kind.as_deref(),
            i64::from(*refused)
        );
    }
    match (client.as_deref(), kind.as_deref(), *refused) {
        (None, None, false) => query!(
            read,
            "SELECT body FROM events WHERE tenant = ?1 AND id >= ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4",
            tenant,
            from,
            before,
            limit
        ),
        (None, None, true) => query!(read, page!("events_refused", "refused = 1"), tenant, from, before, limit),
        (None, Some(kind), false) => {
            query!(read, page!("events_by_type", "type = ?5"), tenant, from, before, limit, kind)
        }
        (None, Some(kind), true) => {
            query!(
                read,
                page!("events_refused_by_type", "type = ?5 AND refused = 1"),
                tenant,
                from,
                before,
                limit,
                kind
            )
        }
        (Some(client), None, false) => {
            query!(read, of_client!("events_by_client", ""), tenant, from, before, limit, client)
        }
        (Some(client), None, true) => {
            let text = of_client!("events_refused_by_client", " AND refused = 1");
            query!(read, text, tenant, from, before, limit, client)
        }
        (Some(client), Some(kind), false) => {
            let text = of_client!("events_by_client_and_type", " AND type = ?6");
            query!(read, text, tenant, from, before, limit, client, kind)
        }
        (Some(client), Some(kind), true) => {
            let text = of_client!("events_refused_by_client_and_type", " AND type = ?6 AND refused = 1");
            query!(read, text, tenant, from, before, limit, client, kind)
        }
    }
}

/// The newest events of an agentic identity.
pub fn recent(tenant: &str, client: &str, subject: &str, limit: i64) -> Query<serde_json::Value> {
    query!(
        read,
        "SELECT body FROM events INDEXED BY events_by_identity WHERE tenant = ?1 AND client = ?2 AND subject = ?3 \
         ORDER BY id DESC LIMIT ?4",
        tenant,
        client,
        subject,
        limit
    )
}

/// The newest tokens that were issued to an agentic identity.
pub fn issued(tenant: &str, client: &str, subject: &str, limit: i64) -> Query<serde_json::Value> {
    debug_assert_eq!(EventType::TokenIssued.as_str(), "token.issued", "the partial index names it");
    query!(
        read,
        "SELECT body FROM events INDEXED BY events_issued WHERE tenant = ?1 AND client = ?2 AND subject = ?3 \
         AND type = 'token.issued' ORDER BY id DESC LIMIT ?4",
        tenant,
        client,
        subject,
        limit
    )
}

/// Tokens of a client about a subject.
pub struct Issued {
    /// The client.
    pub client: String,
    /// The scope, how many tokens had it, and when the last one was issued, in milliseconds.
    pub counts: Vec<(Option<String>, i64, i64)>,
}

/// The tokens about a user that these clients, a JSON array of ids, were issued since an id; the newest `limit` of each.
pub fn tokens_of(tenant: &str, user: &str, clients: String, since: &str, limit: i64) -> Query<Issued> {
    query!(
        |row| Ok(Issued { client: row.text("client")?, counts: row.json("counts")? }),
        "SELECT c.value AS client, (SELECT json_group_array(json_array(scope, n, last)) FROM \
         (SELECT scope, count(*) AS n, max(at) AS last FROM (SELECT body ->> '$.scope_given' AS scope, at FROM events \
         INDEXED BY events_issued WHERE tenant = ?1 AND client = c.value AND subject = ?2 AND type = 'token.issued' AND id >= ?4 \
         ORDER BY id DESC LIMIT ?5) GROUP BY scope)) AS counts FROM json_each(?3) c",
        tenant,
        user,
        clients,
        since,
        limit
    )
}

/// The events of a tenant before an id that a checkpoint covers: their ids.
macro_rules! covered {
    () => {
        "(SELECT id FROM events WHERE tenant = ?1 AND id < ?2 AND +seq < (SELECT signed FROM logs WHERE tenant = ?1) ORDER BY id LIMIT ?3)"
    };
    (of types) => {
        "(SELECT e.id FROM json_each(?2) t CROSS JOIN events e INDEXED BY events_by_type \
         ON e.tenant = ?1 AND e.type = t.value ->> 0 AND e.id < t.value ->> 1 \
         WHERE +e.seq < (SELECT signed FROM logs WHERE tenant = ?1) LIMIT ?3)"
    };
}

/// Forgets events of a tenant before that id, `limit` at the most, and who stood in their chains. One that no checkpoint covers yet stays until then.
pub fn forget(tenant: &str, before: &str, limit: i64) -> [Sql; 2] {
    [
        sql!(concat!("DELETE FROM event_actors WHERE tenant = ?1 AND id IN ", covered!()), tenant, before, limit),
        sql!(concat!("DELETE FROM events WHERE tenant = ?1 AND id IN ", covered!()), tenant, before, limit),
    ]
}

/// Keeps who stands in the chains of these events, a JSON array of ids, as the events are stored: of one that is not there, or whose chain was erased, nobody;
/// nor of a tenant that was deleted.
pub fn keep_actors(tenant: &str, ids: String) -> Sql {
    sql!(
        "INSERT INTO event_actors (tenant, actor, id) SELECT ?1, c.value, e.id FROM json_each(?2) i \
         CROSS JOIN events e ON e.tenant = ?1 AND e.id = i.value CROSS JOIN json_each(e.body, '$.chain') c \
         WHERE NOT EXISTS (SELECT 1 FROM former_tenants WHERE id = ?1) ON CONFLICT DO NOTHING",
        tenant,
        ids
    )
}

/// Who stands in the chains of the events from one index on to before another: id and actor.
pub fn actors(tenant: &str, from: i64, to: i64) -> Query<(String, String)> {
    query!(
        |row| Ok((row.text("id")?, row.text("actor")?)),
        "SELECT a.id, a.actor FROM events e INDEXED BY events_by_seq CROSS JOIN event_actors a INDEXED BY event_actors_by_id \
         ON a.tenant = ?1 AND a.id = e.id WHERE e.tenant = ?1 AND e.seq >= ?2 AND e.seq < ?3",
        tenant,
        from,
        to
    )
}

/// Forgets events of these types, each before an id, `limit` of all at the most, and who stood in their chains. `types` is a JSON array of arrays: type, id.
pub fn forget_types(tenant: &str, types: &str, limit: i64) -> [Sql; 2] {
    [
        sql!(
            concat!("DELETE FROM event_actors WHERE tenant = ?1 AND id IN ", covered!(of types)),
            tenant,
            types,
            limit
        ),
        sql!(concat!("DELETE FROM events WHERE tenant = ?1 AND id IN ", covered!(of types)), tenant, types, limit),
    ]
}

/// Reads the body of an event as it is shown: times are seconds, while the record has milliseconds.
pub fn read(row: &Reader<'_>) -> Result<serde_json::Value> {
    let mut event: serde_json::Value = row.json("body")?;
    if let Some(at) = event.get_mut("at") {
        *at = at.as_i64().map(|millis| millis.div_euclid(1_000)).into();
    }
    Ok(event)
}
