//! Resources.

use super::registered::{read, registered};
use super::{Query, query, sql};
use crate::model::{Resource, ResourceBody};
use crate::ports::Sql;

macro_rules! columns {
    () => {
        "SELECT id, body, version, created_at, updated_at FROM resources"
    };
}

registered!("resources", columns!(), read => Resource);

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
