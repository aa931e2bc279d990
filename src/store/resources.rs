//! Resources.

use super::{Query, Reader, query, sql};
use crate::error::Result;
use crate::model::{Resource, ResourceBody};
use crate::ports::Sql;

macro_rules! columns {
    () => {
        "SELECT id, body, version, created_at, updated_at FROM resources"
    };
}

/// The resource whose URI meets `meeting_form`.
pub fn by_uri(tenant: &str, meeting_form: &str) -> Query<Resource> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND meeting_form = ?2"), tenant, meeting_form)
}

/// Resources that this authorization server guards; two tell that there are several.
pub fn guarded_by(tenant: &str, server: &str) -> Query<Resource> {
    query!(
        read,
        concat!(columns!(), " WHERE tenant = ?1 AND body ->> 'authorization_server' = ?2 ORDER BY id LIMIT 2"),
        tenant,
        server
    )
}

/// The resource of that id.
pub fn get(tenant: &str, id: &str) -> Query<Resource> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND id = ?2"), tenant, id)
}

/// Resources of that name after `after`, by id.
pub fn named(tenant: &str, name: &str, after: &str, limit: i64) -> Query<Resource> {
    query!(
        read,
        concat!(
            columns!(),
            " WHERE tenant = ?1 AND json_extract(body, '$.name') = ?4 AND id > ?2 ORDER BY id LIMIT ?3"
        ),
        tenant,
        after,
        limit,
        name
    )
}

/// Resources after `after`, by id.
pub fn list(tenant: &str, after: &str, limit: i64) -> Query<Resource> {
    query!(read, concat!(columns!(), " WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3"), tenant, after, limit)
}

/// Registers a resource; the guard of a chain.
pub fn insert(tenant: &str, id: &str, body: &ResourceBody, json: String, now: i64) -> Sql {
    sql!(
        "INSERT INTO resources (tenant, id, uri, meeting_form, body, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT DO NOTHING",
        tenant,
        id,
        body.resource.as_str(),
        body.resource.canonical(),
        json,
        now
    )
}

/// Changes a resource that still has `version`, unless another one has its URI; the guard of a chain.
pub fn update(tenant: &str, (id, version): (&str, i64), body: &ResourceBody, json: String, now: i64) -> Sql {
    sql!(
        "UPDATE OR IGNORE resources SET uri = ?3, meeting_form = ?4, body = ?5, version = version + 1, updated_at = ?7 \
         WHERE tenant = ?1 AND id = ?2 AND version = ?6",
        tenant,
        id,
        body.resource.as_str(),
        body.resource.canonical(),
        json,
        version,
        now
    )
}

/// Removes a resource that still has `version`; the guard of a chain.
pub fn delete(tenant: &str, id: &str, version: i64) -> Sql {
    sql!("DELETE FROM resources WHERE tenant = ?1 AND id = ?2 AND version = ?3", tenant, id, version)
}

/// Reads a row.
pub fn read(row: &Reader<'_>) -> Result<Resource> {
    Ok(Resource {
        id: row.text("id")?,
        body: row.json("body")?,
        version: row.int("version")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}
