//! `admin/resources`: protected APIs and MCP servers, with their scopes.

use super::Page;
use super::aggregate::{Aggregate, Posted, Posting, Shown, optional};
use crate::context::Cx;
use crate::directory::resources;
use crate::error::{Reason, Result};
use crate::model::resource::{Effect, MAX_LIFETIME, MAX_TEXT, MAX_TYPES, MIN_LIFETIME};
use crate::model::{Resource, ResourceBody};
use crate::oauth::ResourceUri;
use crate::oauth::authorization_details::MAX_NAME;
use crate::oauth::scope::MAX_TOKENS;
use crate::store;
use crate::web::AdminCall;
use crate::web::schema::objects::{ALG, SLUG};
use crate::web::schema::{Kind, Member, Object, RESOURCE as RESOURCE_URI, URI, members, object};
use serde_json::{Map, Value};

object!(
    /// One scope of a resource.
    SCOPE = "ScopeBody" [members![
        must "name" Kind::Text(MAX_TEXT),
        must "description" Kind::Note(MAX_TEXT),
        may "tool" Kind::Note(MAX_TEXT),
        may "effect" EFFECT,
    ]]
);

object!(
    /// One type of authorization details of a resource.
    AUTHORIZATION_DETAILS_TYPE = "AuthorizationDetailsType" [members![
        must "type" Kind::Text(MAX_NAME),
        must "description" Kind::Text(MAX_TEXT),
        may "effect" EFFECT,
    ]]
);

const EFFECT: Kind =
    Kind::Words("Effect", || [Effect::Reads, Effect::Changes, Effect::Deletes].map(Effect::as_str).to_vec());
const SCOPES: Kind = Kind::List(&Kind::Object(&SCOPE), MAX_TOKENS);
const AUTHORIZATION_DETAILS_TYPES: Kind = Kind::List(&Kind::Object(&AUTHORIZATION_DETAILS_TYPE), MAX_TYPES);
const LIFETIME: Kind = Kind::Whole(MIN_LIFETIME as i64, MAX_LIFETIME as i64);

const BODY_MEMBERS: &[Member] = members![
    must "resource" RESOURCE_URI,
    must "name" Kind::Text(MAX_TEXT),
    must "scopes" SCOPES,
    may "authorization_details_types" AUTHORIZATION_DETAILS_TYPES,
    may "authorization_server" RESOURCE_URI,
    may "txn_challenge_jwks" Kind::Json,
    may "txn_challenge_jwks_uri" URI,
    may "access_token_lifetime" LIFETIME,
    may "token_signing_alg" ALG,
];

object!(
    /// What a resource is registered with.
    BODY = "ResourceBody" [members![may "id" SLUG], BODY_MEMBERS]
);

object!(
    /// What a resource is changed to: as shown, or without what only the server sets.
    PUT_BODY = "ResourceUpdate" [BODY_MEMBERS, members![
        read "id" Kind::Word,
        read "created_at" Kind::Time,
        read "updated_at" Kind::Time,
    ]]
);

object!(
    /// A resource.
    RESOURCE = "Resource" [BODY_MEMBERS, members![
        must "id" Kind::Word,
        must "access_token_lifetime" LIFETIME,
        must "token_signing_alg" ALG,
        must "created_at" Kind::Time,
        must "updated_at" Kind::Time,
    ]]
);

/// Protected apis and mcp servers.
pub struct Resources;

impl Aggregate for Resources {
    type Record = Resource;
    type Body = ResourceBody;

    const PATH: &'static str = "resources";
    const BODY: Object = PUT_BODY;
    const FILTERS: &'static [&'static str] = &["resource", "name"];

    fn id(resource: &Resource) -> (&str, i64) {
        (&resource.id, resource.version)
    }

    fn view(_: &Cx<'_>, resource: &Resource) -> Map<String, Value> {
        Shown {
            id: ("id", &resource.id),
            body: &resource.body,
            status: None,
            created: ("created_at", resource.created_at),
            updated_at: resource.updated_at,
        }
        .members()
    }

    async fn find(cx: &Cx<'_>, id: &str) -> Result<Option<Resource>> {
        optional(resources::find(cx, id).await)
    }

    async fn list(cx: &Cx<'_>, page: &Page) -> Result<Vec<Resource>> {
        let (tenant, after, rows) = (&cx.tenant.id, page.after(), page.rows());
        match (page.get("resource"), page.get("name")) {
            (Some(uri), name) => {
                let uri = ResourceUri::parse(uri).ok_or_else(|| {
                    Reason::InvalidQuery.because("`resource` must be an absolute URI without a fragment")
                })?;
                let mut found = cx.all(store::resources::by_uri(tenant, uri.canonical())).await?;
                found.retain(|one| one.id.as_str() > after && name.is_none_or(|name| one.body.name == name));
                Ok(found)
            }
            (None, Some(name)) => cx.all(store::resources::named(tenant, name, after, rows)).await,
            (None, None) => cx.all(store::resources::list(tenant, after, rows)).await,
        }
    }

    async fn problems(_: &Cx<'_>, body: &ResourceBody) -> Result<Vec<String>> {
        Ok(body.problems())
    }

    async fn update(call: AdminCall<'_>, present: Resource, body: ResourceBody) -> Result<Resource> {
        resources::update(call.cx, present, body, call.admin).await
    }

    async fn delete(call: AdminCall<'_>, present: &Resource) -> Result<()> {
        resources::delete(call.cx, present, call.admin).await
    }
}

impl Posted for Resources {
    type New = ResourceBody;

    const NEW: Object = BODY;

    async fn problems_of_new(cx: &Cx<'_>, body: &ResourceBody) -> Result<Vec<String>> {
        Self::problems(cx, body).await
    }

    fn create(call: AdminCall<'_>, body: ResourceBody) -> Result<Posting<Resource>> {
        Ok(resources::create(call.cx, body, call.admin)?.into())
    }
}
