//! `admin/issuers`: outside issuers whose assertions count in this tenant.

use super::Page;
use super::aggregate::{Aggregate, Posted, Posting, Shown, optional};
use crate::context::Cx;
use crate::directory::issuers;
use crate::error::Result;
use crate::federation::presets;
use crate::model::issuer::{MAX_CLAIMS, MAX_RULES, MAX_TEXT, MAX_URI, Use};
use crate::model::{Issuer, IssuerBody};
use crate::store;
use crate::web::AdminCall;
use crate::web::schema::objects::{RULE, SLUG};
use crate::web::schema::{Kind, Member, Object, SCOPE, URI, members, object};
use serde_json::{Map, Value};

const BODY_MEMBERS: &[Member] = members![
    must "issuer" Kind::Text(MAX_URI),
    must "name" Kind::Text(MAX_TEXT),
    may "preset" Kind::Text(MAX_TEXT),
    must "uses" Kind::List(&Kind::Words("Use", || Use::ALL.map(Use::as_str).to_vec()), Use::ALL.len()),
    may "audience" Kind::Text(MAX_URI),
    may "jwks" Kind::Json,
    may "jwks_uri" URI,
    may "rules" Kind::List(&Kind::Object(&RULE), MAX_RULES),
    may "creates_users" Kind::Boolean,
    may "scope" SCOPE,
    may "client_id" Kind::Text(MAX_TEXT),
    may "scopes" SCOPE,
    may "groups_claim" Kind::Text(MAX_TEXT),
    may "roles_claim" Kind::Text(MAX_TEXT),
    may "claims" Kind::List(&Kind::Text(MAX_TEXT), MAX_CLAIMS),
    may "label" Kind::Text(MAX_TEXT),
];

/// What is written and never shown.
const SECRET: &[Member] = members![may "client_secret" Kind::Text(MAX_URI)];

object!(
    /// What an issuer is registered with.
    BODY = "IssuerBody" [members![may "id" SLUG], BODY_MEMBERS, SECRET]
);

object!(
    /// What an issuer is changed to: as shown, or without what only the server sets.
    PUT_BODY = "IssuerUpdate" [BODY_MEMBERS, SECRET, members![
        read "id" Kind::Word,
        read "created_at" Kind::Time,
        read "updated_at" Kind::Time,
    ]]
);

object!(
    /// An issuer.
    ISSUER = "Issuer" [BODY_MEMBERS, members![
        must "id" Kind::Word,
        must "preset" Kind::Text(MAX_TEXT),
        must "creates_users" Kind::Boolean,
        must "created_at" Kind::Time,
        must "updated_at" Kind::Time,
    ]]
);

/// Outside issuers whose assertions count in this tenant.
pub struct Issuers;

impl Aggregate for Issuers {
    type Record = Issuer;
    type Body = IssuerBody;

    const PATH: &'static str = "issuers";
    const BODY: Object = PUT_BODY;
    const FILTERS: &'static [&'static str] = &["issuer", "name"];

    fn id(issuer: &Issuer) -> (&str, i64) {
        (&issuer.id, issuer.version)
    }

    fn view(_: &Cx<'_>, issuer: &Issuer) -> Map<String, Value> {
        Shown {
            id: ("id", &issuer.id),
            body: &IssuerBody { client_secret: None, ..issuer.body.clone() },
            status: None,
            created: ("created_at", issuer.created_at),
            updated_at: issuer.updated_at,
        }
        .members()
    }

    async fn find(cx: &Cx<'_>, id: &str) -> Result<Option<Issuer>> {
        optional(issuers::find(cx, id).await)
    }

    async fn list(cx: &Cx<'_>, page: &Page) -> Result<Vec<Issuer>> {
        let (tenant, after, rows) = (&cx.tenant.id, page.after(), page.rows());
        match (page.get("issuer"), page.get("name")) {
            (Some(iss), name) => {
                let mut found = cx.all(store::issuers::by_issuer(tenant, iss)).await?;
                found.retain(|one| one.id.as_str() > after && name.is_none_or(|name| one.body.name == name));
                Ok(found)
            }
            (None, Some(name)) => cx.all(store::issuers::named(tenant, name, after, rows)).await,
            (None, None) => cx.all(store::issuers::list(tenant, after, rows)).await,
        }
    }

    async fn problems(cx: &Cx<'_>, body: &IssuerBody) -> Result<Vec<String>> {
        Ok(presets::problems(cx.config, body))
    }

    async fn update(call: AdminCall<'_>, present: Issuer, body: IssuerBody) -> Result<Issuer> {
        issuers::update(call.cx, present, body, call.admin).await
    }

    async fn delete(call: AdminCall<'_>, present: &Issuer) -> Result<()> {
        issuers::delete(call.cx, present, call.admin).await
    }
}

impl Posted for Issuers {
    type New = IssuerBody;

    const NEW: Object = BODY;

    async fn problems_of_new(cx: &Cx<'_>, body: &IssuerBody) -> Result<Vec<String>> {
        Self::problems(cx, body).await
    }

    fn create(call: AdminCall<'_>, body: IssuerBody) -> Result<Posting<Issuer>> {
        Ok(issuers::create(call.cx, body, call.admin)?.into())
    }
}
