//! Consents of people.

use super::approvals::{REDEEMED_WITHIN, waits_after};
use super::spent::Redeemable;
use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::stop::{StopTarget, Until};
use crate::model::{Consent, Stoppable};
use crate::ports::Sql;

macro_rules! columns {
    () => {
        "SELECT id, user, client, redirect_host, resource, document, lines, version, created_at, updated_at, used FROM consents WHERE tenant = ?1 AND "
    };
}

/// The parties of a consent, by which there is one at the most.
#[derive(Clone, Copy)]
pub struct Parties<'a> {
    /// The person.
    pub user: &'a str,
    /// The client.
    pub client: &'a str,
    /// Where the client is answered.
    pub redirect_host: &'a str,
    /// The resource.
    pub resource: &'a str,
}

/// Consents after `after`, by id.
pub fn after(tenant: &str, after: &str, limit: i64) -> Query<Consent> {
    query!(read, concat!(columns!(), "id > ?2 ORDER BY id LIMIT ?3"), tenant, after, limit)
}

/// The consent of these parties.
pub fn of(tenant: &str, Parties { user, client, redirect_host, resource }: Parties<'_>) -> Query<Consent> {
    query!(
        read,
        concat!(columns!(), "user = ?2 AND client = ?3 AND redirect_host = ?4 AND resource = ?5"),
        tenant,
        user,
        client,
        redirect_host,
        resource
    )
}

/// The consent of that name.
pub fn get(tenant: &str, id: &str) -> Query<Consent> {
    query!(read, concat!(columns!(), "id = ?2"), tenant, id)
}

/// The consent that a code was issued under.
pub fn of_code(tenant: &str, code: &str) -> Query<Consent> {
    query!(
        read,
        concat!(
            columns!(),
            "id = (SELECT body ->> '$.authorization.consent' FROM codes WHERE tenant = ?1 AND id = ?2)"
        ),
        tenant,
        code
    )
}

/// The consent of a refresh family.
pub fn of_family(tenant: &str, family: &str) -> Query<Consent> {
    query!(
        read,
        concat!(columns!(), "id = (SELECT consent FROM refresh_families WHERE tenant = ?1 AND id = ?2)"),
        tenant,
        family
    )
}

/// The consents of a person, `limit` at the most.
pub fn of_user(tenant: &str, user: &str, limit: i64) -> Query<Consent> {
    query!(
        read,
        concat!(columns!(), "user = ?2 ORDER BY client, redirect_host, resource LIMIT ?3"),
        tenant,
        user,
        limit
    )
}

/// The lines of a consent as they are written, and as they were read; nothing where there was no consent.
pub struct Written {
    /// As they will be.
    pub lines: String,
    /// As they were.
    pub before: Option<String>,
    /// Whether lines have been taken back: that makes another version.
    pub is_narrowed: bool,
}

/// The request that a decision answers, which has to be open still.
#[derive(Clone, Copy, Default)]
pub struct Answered<'a> {
    /// The device that waits.
    pub device: Option<&'a str>,
    /// What makes a pushed request count once.
    pub pushed: Option<&'a Redeemable>,
}

/// Writes a consent for an active client and user that is not there, or is still as it was read; the guard of a change.
pub fn put(tenant: &str, consent: &Consent, written: Written, answered: Answered<'_>) -> Sql {
    let (kind, key) = answered.pushed.map(|one| (one.kind, one.key.as_str())).unzip();
    sql!(
        "INSERT INTO consents (tenant, id, user, client, redirect_host, resource, document, lines, created_at, updated_at) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?12, ?12 \
         WHERE EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?4 AND status = 'active') \
         AND EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?3 AND status = 'active') \
         AND (?10 IS NULL OR EXISTS (SELECT 1 FROM consents WHERE tenant = ?1 AND id = ?2)) \
         AND (?13 IS NULL OR EXISTS (SELECT 1 FROM device_codes WHERE tenant = ?1 AND id = ?13 AND status = 'pending' AND expires_at > ?12)) \
         AND NOT EXISTS (SELECT 1 FROM spent WHERE tenant = ?1 AND kind = ?14 AND key = ?15) \
         ON CONFLICT (tenant, user, client, redirect_host, resource) \
         DO UPDATE SET document = ?7, lines = ?8, updated_at = ?12, version = version + ?11 \
         WHERE id = ?2 AND version = ?9 AND lines = ?10",
        tenant,
        consent.id.as_str(),
        consent.user.as_str(),
        consent.client.as_str(),
        consent.redirect_host.as_str(),
        consent.resource.as_str(),
        consent.document.as_str(),
        written.lines,
        consent.version,
        written.before,
        i64::from(written.is_narrowed),
        consent.updated_at,
        answered.device,
        kind,
        key
    )
}

/// Takes lines back from a consent that still has `before` and its version: what was issued under it is not honoured any more. The guard
/// of a chain.
pub fn narrow(tenant: &str, (id, version): (&str, i64), before: String, lines: String, now: i64) -> Sql {
    sql!(
        "UPDATE consents SET lines = ?5, version = version + 1, updated_at = ?6 \
         WHERE tenant = ?1 AND id = ?2 AND version = ?3 AND lines = ?4",
        tenant,
        id,
        version,
        before,
        lines,
        now
    )
}

/// Removes a consent that still has these lines and that version; the guard of a change.
pub fn delete(tenant: &str, (id, version): (&str, i64), before: String) -> Sql {
    sql!(
        "DELETE FROM consents WHERE tenant = ?1 AND id = ?2 AND version = ?3 AND lines = ?4",
        tenant,
        id,
        version,
        before
    )
}

/// The same as the answer to a request.
pub fn delete_answering(tenant: &str, consent: &Consent, before: String, answered: Answered<'_>, now: i64) -> Sql {
    let (kind, key) = answered.pushed.map(|one| (one.kind, one.key.as_str())).unzip();
    sql!(
        "DELETE FROM consents WHERE tenant = ?1 AND id = ?2 AND version = ?3 AND lines = ?4 \
         AND (?6 IS NULL OR EXISTS (SELECT 1 FROM device_codes WHERE tenant = ?1 AND id = ?6 AND status = 'pending' AND expires_at > ?5)) \
         AND NOT EXISTS (SELECT 1 FROM spent WHERE tenant = ?1 AND kind = ?7 AND key = ?8)",
        tenant,
        consent.id.as_str(),
        consent.version,
        before,
        now,
        answered.device,
        kind,
        key
    )
}

/// Stops what was issued under versions of consents that are not there any more: `past` is a JSON array of id, version and digest.
pub fn stop_past(tenant: &str, past: String, Until { tokens, approvals }: Until) -> Sql {
    sql!(
        concat!(
            "INSERT INTO stopped_chains (tenant, jti, until) SELECT ?1, p.value ->> 'digest', CASE WHEN ",
            waits_after!("p.value ->> 'digest'"),
            " THEN ?4 ELSE ?3 END FROM json_each(?2) p \
             WHERE NOT EXISTS (SELECT 1 FROM consents c WHERE c.tenant = ?1 AND c.id = p.value ->> 'id' \
             AND c.version = p.value ->> 'version') ON CONFLICT DO NOTHING"
        ),
        tenant,
        past,
        tokens,
        approvals,
        tokens.saturating_sub(REDEEMED_WITHIN)
    )
}

/// Notes the use of scopes, a JSON object of moments.
pub fn note_use(tenant: &str, id: &str, used: String) -> Sql {
    sql!("UPDATE consents SET used = json_patch(used, ?3) WHERE tenant = ?1 AND id = ?2", tenant, id, used)
}

/// The consents of a person with one client, `limit` at the most.
pub fn of_agent(tenant: &str, (client, user): (&str, &str), limit: i64) -> Query<Consent> {
    query!(
        read,
        concat!(columns!(), "user = ?2 AND client = ?3 ORDER BY redirect_host, resource LIMIT ?4"),
        tenant,
        user,
        client,
        limit
    )
}

/// Up to which consent the cron has looked.
pub fn looked_at(tenant: &str) -> Query<String> {
    query!(|row| row.text("looked_at_consent"), "SELECT looked_at_consent FROM tenants WHERE id = ?1", tenant)
}

/// Notes up to which consent it has looked.
pub fn look_at(tenant: &str, consent: &str) -> Sql {
    sql!("UPDATE tenants SET looked_at_consent = ?2 WHERE id = ?1", tenant, consent)
}

/// The consents of a user after `after`, by id.
pub fn list(tenant: &str, user: &str, after: &str, limit: i64) -> Query<Consent> {
    query!(read, concat!(columns!(), "user = ?2 AND +id > ?3 ORDER BY +id LIMIT ?4"), tenant, user, after, limit)
}

/// What an agent has of its user.
pub struct Holdings {
    /// How many consents.
    pub consents: i64,
    /// How many refresh families that have not ended.
    pub refresh_families: i64,
    /// When a scope of them was last given to a token, to the day.
    pub used_at: Option<i64>,
}

/// What an agent has of its user now.
pub fn holdings(tenant: &str, (client, user): (&str, &str), now: i64) -> Query<Holdings> {
    query!(
        |row| Ok(Holdings {
            consents: row.int("consents")?,
            refresh_families: row.int("families")?,
            used_at: row.optional_int("used_at"),
        }),
        "SELECT (SELECT count(*) FROM consents WHERE tenant = ?1 AND user = ?3 AND client = ?2) AS consents, \
         (SELECT count(*) FROM refresh_families INDEXED BY refresh_families_by_user WHERE tenant = ?1 AND user = ?3 \
         AND client = ?2 AND status = 'active' AND expires_at > ?4) AS families, \
         (SELECT max(u.value) FROM consents c CROSS JOIN json_each(c.used) u WHERE c.tenant = ?1 AND c.user = ?3 \
         AND c.client = ?2) AS used_at",
        tenant,
        client,
        user,
        now
    )
}

/// A consent, and whether its parties are gone for good.
pub struct Walked {
    /// The consent.
    pub consent: Consent,
    /// Whether its client or its user is gone, or stopped for good.
    pub is_orphan: bool,
}

/// The consents after `after`, by id, `limit` at the most.
pub fn walk(tenant: &str, after: &str, limit: i64) -> Query<Walked> {
    query!(
        |row| Ok(Walked { consent: read(row)?, is_orphan: row.int("is_orphan")? > 0 }),
        "SELECT id, user, client, redirect_host, resource, document, lines, version, created_at, updated_at, used, \
         NOT EXISTS (SELECT 1 FROM clients c WHERE c.tenant = ?1 AND c.id = consents.client AND c.status <> 'retired') \
         OR NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant = ?1 AND u.id = consents.user AND u.status <> 'retired') \
         AS is_orphan FROM consents WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        tenant,
        after,
        limit
    )
}

macro_rules! gone {
    (client) => {
        "NOT EXISTS (SELECT 1 FROM clients WHERE tenant = ?1 AND id = ?2 AND status <> 'retired')"
    };
    (user) => {
        "NOT EXISTS (SELECT 1 FROM users WHERE tenant = ?1 AND id = ?2 AND status <> 'retired')"
    };
}

/// The rows of a table about whom or what is `?2`, `?3` of them at the most.
macro_rules! of_stopped {
    ($statement:literal, $table:literal, $which:expr) => {
        concat!(
            $statement,
            " WHERE tenant = ?1 AND id IN (SELECT id FROM ",
            $table,
            " WHERE tenant = ?1 AND ",
            $which,
            " LIMIT ?3)"
        )
    };
}

macro_rules! people {
    (client) => {
        &[
            of_stopped!(
                "DELETE FROM consents",
                "consents INDEXED BY consents_by_client",
                concat!("client = ?2 AND ", gone!(client))
            ),
            of_stopped!(
                "UPDATE refresh_families SET status = 'revoked'",
                "refresh_families INDEXED BY refresh_families_by_client",
                concat!("client = ?2 AND status = 'active' AND ", gone!(client))
            ),
        ]
    };
    (user) => {
        &[
            of_stopped!("DELETE FROM consents", "consents", concat!("user = ?2 AND ", gone!(user))),
            of_stopped!("DELETE FROM codes", "codes INDEXED BY codes_by_user", concat!("user = ?2 AND ", gone!(user))),
            of_stopped!(
                "DELETE FROM sessions",
                "sessions INDEXED BY sessions_by_user",
                concat!("user = ?2 AND ", gone!(user))
            ),
            of_stopped!(
                "UPDATE refresh_families SET status = 'revoked'",
                "refresh_families INDEXED BY refresh_families_by_user",
                concat!("user = ?2 AND status = 'active' AND ", gone!(user))
            ),
        ]
    };
    (identity) => {
        &[
            of_stopped!("DELETE FROM consents", "consents", people!(parties)),
            of_stopped!("DELETE FROM codes", "codes INDEXED BY codes_by_user", people!(parties)),
            of_stopped!(
                "UPDATE refresh_families SET status = 'revoked'",
                "refresh_families INDEXED BY refresh_families_by_user",
                concat!("status = 'active' AND ", people!(parties))
            ),
        ]
    };
    (parties) => {
        "(user, client) = (SELECT subject, client FROM identities \
         WHERE tenant = ?1 AND id = ?2 AND (status = 'retired' OR held = 2))"
    };
}

/// What holds in any case once a client, a user or an agentic identity has been stopped for good or removed, or the user has stopped an
/// agent: nothing is issued any more for what people have allowed it. `most` rows of a table at the most, all of them where it is negative;
/// what is left counts no more, and the cron removes it.
pub fn cascade(tenant: &str, StopTarget { kind, id }: StopTarget<'_>, most: i64) -> Vec<Sql> {
    let texts: &[&'static str] = match kind {
        Stoppable::Client => people!(client),
        Stoppable::User => people!(user),
        Stoppable::Identity => people!(identity),
        Stoppable::Chain | Stoppable::Connection | Stoppable::Tenant => &[],
    };
    texts.iter().map(|text| sql!(text, tenant, id, most)).collect()
}

/// Revokes the refresh families of a consent that is not there any more.
pub fn end_families(tenant: &str, consent: &str) -> Sql {
    sql!(
        "UPDATE refresh_families INDEXED BY refresh_families_by_consent SET status = 'revoked' WHERE tenant = ?1 AND consent = ?2 AND status = 'active' \
         AND NOT EXISTS (SELECT 1 FROM consents WHERE tenant = ?1 AND id = ?2)",
        tenant,
        consent
    )
}

fn read(row: &Reader<'_>) -> Result<Consent> {
    Ok(Consent {
        id: row.text("id")?,
        user: row.text("user")?,
        client: row.text("client")?,
        redirect_host: row.text("redirect_host")?,
        resource: row.text("resource")?,
        document: row.text("document")?,
        lines: row.json("lines")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
        used: row.json("used")?,
    })
}
