//! Policies, the shards in which they lie, and the pointer to those in force.

use super::{Query, Reader, query, sql};
use crate::cedar::{Mode, Source};
use crate::error::Result;
use crate::ports::Sql;

macro_rules! columns {
    () => {
        columns!("tests")
    };
    ($tests:literal) => {
        concat!(
            "SELECT id, description, cedar, mode, ",
            $tests,
            ", shard, version, created_at, updated_at FROM policies"
        )
    };
}

/// A policy as it shall be.
#[derive(Clone)]
pub struct PolicyDraft {
    /// What is evaluated.
    pub source: Source,
    /// For people.
    pub description: String,
    /// Its tests, a JSON array; nothing if it has none.
    pub tests: Option<String>,
}

/// A stored policy document.
pub struct Policy {
    /// What is evaluated.
    pub source: Source,
    /// For people.
    pub description: String,
    /// Its tests, a JSON array; nothing if it has none, or if they were not read.
    pub tests: Option<String>,
    /// What was left out when it was written just now: tests.
    pub not_run: Option<String>,
    /// The shard in which it lies.
    pub shard: String,
    /// Counts changes to this row.
    pub version: i64,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Seconds since the epoch.
    pub updated_at: i64,
}

/// The policy of that id.
pub fn get(tenant: &str, id: &str) -> Query<Policy> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND id = ?2"), tenant, id)
}

/// Policies after `after`, by id.
pub fn list(tenant: &str, after: &str, limit: i64) -> Query<Policy> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3"), tenant, after, limit)
}

/// The policies in a shard, by id, without their tests.
pub fn in_shard(tenant: &str, shard: &str) -> Query<Policy> {
    query!(read, concat!(columns!("NULL AS tests"), " WHERE tenant = ?1 AND shard = ?2 ORDER BY id"), tenant, shard)
}

/// The first policies in a shard, by id, without their tests.
pub fn first_in_shard(tenant: &str, shard: &str, limit: i64) -> Query<Policy> {
    query!(
        read,
        concat!(columns!("NULL AS tests"), " WHERE tenant = ?1 AND shard = ?2 ORDER BY id LIMIT ?3"),
        tenant,
        shard,
        limit
    )
}

/// The tests of enforced policies, by id, but for those of one.
pub fn tests_of_others(tenant: &str, id: &str, after: &str, limit: i64) -> Query<(String, String)> {
    query!(
        |row| Ok((row.text("id")?, row.text("tests")?)),
        "SELECT id, tests FROM policies INDEXED BY policies_tested \
         WHERE tenant = ?1 AND tests IS NOT NULL AND mode = 'enforce' AND id <> ?2 AND id > ?3 ORDER BY id LIMIT ?4",
        tenant,
        id,
        after,
        limit
    )
}

/// The shards that are not empty, and the content hash of each.
pub fn shards(tenant: &str) -> Query<(String, String)> {
    query!(
        |row| Ok((row.text("shard")?, row.text("hash")?)),
        "SELECT shard, hash FROM policy_shards WHERE tenant = ?1 ORDER BY shard",
        tenant
    )
}

/// The shards in which policies lie, also those that are off.
pub fn shard_names(tenant: &str) -> Query<String> {
    query!(|row| row.text("shard"), "SELECT DISTINCT shard FROM policies WHERE tenant = ?1 ORDER BY shard", tenant)
}

/// Says what a shard holds now, if the statement before changed something; a link of a chain.
pub fn put_shard(tenant: &str, shard: &str, hash: &str) -> Sql {
    sql!(
        "INSERT INTO policy_shards (tenant, shard, hash) SELECT ?1, ?2, ?3 WHERE changes() > 0 \
         ON CONFLICT (tenant, shard) DO UPDATE SET hash = excluded.hash",
        tenant,
        shard,
        hash
    )
}

/// Says that a shard is empty now, if the statement before changed something; a link of a chain.
pub fn drop_shard(tenant: &str, shard: &str) -> Sql {
    sql!("DELETE FROM policy_shards WHERE tenant = ?1 AND shard = ?2 AND changes() > 0", tenant, shard)
}

/// Moves the tenant's pointer if its policies have not changed since `version`; the guard of a chain. What it points to would not do
/// as a guard, for a policy can change in what is not in force. With a quota, the tenant must have fewer policies.
pub fn point(tenant: &str, version: i64, to: &str, quota: Option<i64>) -> Sql {
    sql!(
        "UPDATE tenants SET policy_hash = ?3, policy_version = policy_version + 1 WHERE id = ?1 AND policy_version = ?2 \
         AND (?4 IS NULL OR (SELECT count(*) FROM (SELECT 1 FROM policies WHERE tenant = ?1 LIMIT ?4)) < ?4)",
        tenant,
        version,
        to,
        quota
    )
}

/// Writes a policy if the statement before changed something.
pub fn put(tenant: &str, PolicyDraft { source, description, tests }: &PolicyDraft, shard: &str, now: i64) -> Sql {
    sql!(
        "INSERT INTO policies (tenant, id, description, cedar, mode, created_at, updated_at, shard, tests) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8 WHERE changes() > 0 ON CONFLICT (tenant, id) DO UPDATE SET \
         description = excluded.description, cedar = excluded.cedar, mode = excluded.mode, shard = excluded.shard, \
         tests = excluded.tests, version = policies.version + 1, updated_at = excluded.updated_at",
        tenant,
        source.id.as_str(),
        description.as_str(),
        source.cedar.as_str(),
        source.mode.as_str(),
        now,
        shard,
        tests.as_deref()
    )
}

/// Removes a policy if the statement before changed something.
pub fn delete(tenant: &str, id: &str) -> Sql {
    sql!("DELETE FROM policies WHERE tenant = ?1 AND id = ?2 AND changes() > 0", tenant, id)
}

/// Which of these names, a JSON array of pairs of a kind and a name, are the name of nothing: their places in the array.
pub fn unmatched(tenant: &str, names: String) -> Query<i64> {
    query!(
        |row| row.int("place"),
        "SELECT n.key AS place FROM json_each(?2) n WHERE NOT CASE n.value ->> 0 \
         WHEN 'client' THEN EXISTS (SELECT 1 FROM clients c WHERE c.tenant = ?1 AND c.id = n.value ->> 1) \
         WHEN 'user' THEN EXISTS (SELECT 1 FROM users u WHERE u.tenant = ?1 AND u.id = n.value ->> 1) \
         WHEN 'resource' THEN EXISTS (SELECT 1 FROM resources r WHERE r.tenant = ?1 AND r.uri = n.value ->> 1) \
         WHEN 'scope' THEN EXISTS (SELECT 1 FROM resources r, json_each(r.body, '$.scopes') s \
         WHERE r.tenant = ?1 AND r.uri || ' ' || (s.value ->> 'name') = n.value ->> 1) \
         WHEN 'connection' THEN EXISTS (SELECT 1 FROM connections k WHERE k.tenant = ?1 AND k.name = n.value ->> 1) \
         ELSE EXISTS (SELECT 1 FROM connections k WHERE k.tenant = ?1 AND k.name = n.value ->> 1) \
         OR EXISTS (SELECT 1 FROM resources r, json_each(r.body, '$.scopes') s \
         WHERE r.tenant = ?1 AND s.value ->> 'name' = n.value ->> 1) END ORDER BY n.key",
        tenant,
        names
    )
}

/// Reads a row.
pub fn read(row: &Reader<'_>) -> Result<Policy> {
    let mode: Mode = row.name("mode")?;
    Ok(Policy {
        source: Source { id: row.text("id")?, cedar: row.text("cedar")?, mode },
        description: row.text("description")?,
        tests: row.optional_text("tests"),
        not_run: None,
        shard: row.text("shard")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}
