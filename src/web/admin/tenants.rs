//! `admin/tenants`: the walls.

use super::Page;
use super::aggregate::{Aggregate, Posted, Posting, Shown, optional};
use crate::audit::log::witness;
use crate::context::Cx;
use crate::directory::tenants;
use crate::error::Result;
use crate::model::Tenant;
use crate::model::project::project_id;
use crate::model::registration::{Documents, Dynamic, MAX_DOMAIN, MAX_DOMAINS};
use crate::model::tenant::{
    MAX_APPROVALS_A_DAY, MAX_COUNT, MAX_DECIDERS, MAX_TOKENS_PER_MINUTE, MAX_WITNESSES, TenantBody, TenantStatus,
    issuer,
};
use crate::policy;
use crate::store;
use crate::web::AdminCall;
use crate::web::schema::objects::SLUG;
use crate::web::schema::{Kind, Member, Object, URI, members, object};
use serde::Deserialize;
use serde_json::{Map, Value};

const MAX_NAME: usize = 200;
const MAX_ZONE: usize = 64;
const MAX_HOURS: usize = 20;
const MAX_DECIDER: usize = 200;
const MAX_VKEY: usize = 256;

const STATUS: Kind =
    Kind::Words("TenantStatus", || [TenantStatus::Active, TenantStatus::Suspended].map(TenantStatus::as_str).to_vec());

const COUNT: Kind = Kind::Whole(1, MAX_COUNT);

object!(
    /// How much a tenant may have; what is absent is not bounded. Administrators of `main` set it.
    QUOTAS = "Quotas" [members![
        may "clients" COUNT,
        may "connections" COUNT,
        may "policies" COUNT,
        may "tokens_per_minute" Kind::Whole(1, MAX_TOKENS_PER_MINUTE),
    ]]
);

const DOMAINS: Kind = Kind::List(&Kind::Text(MAX_DOMAIN), MAX_DOMAINS);

object!(
    /// Which clients may come that no administrator registered: `cimd` by the document at their `client_id`, `dynamic` at the registration
    /// endpoint.
    REGISTRATION_RULES = "RegistrationRules" [members![
        may "cimd" Kind::Words("Documents", || Documents::ALL.map(Documents::as_str).to_vec()),
        may "domains_allowed" DOMAINS,
        may "domains_denied" DOMAINS,
        may "dynamic" Kind::Words("Dynamic", || Dynamic::ALL.map(Dynamic::as_str).to_vec()),
    ]]
);

object!(
    /// When, whom and how often clients ask for approvals: hours in which nobody is asked (`22:00-06:00`) with their zone, the roles and groups
    /// (`role=NAME`, `group=NAME`) that clients may name, and how many approvals a client asks for in a day, for one subject.
    APPROVAL_RULES = "ApprovalRules" [members![
        may "quiet" Kind::Text(MAX_HOURS),
        may "zone" Kind::Text(MAX_ZONE),
        may "deciders" Kind::List(&Kind::Text(MAX_DECIDER), MAX_DECIDERS),
        may "per_day" Kind::Whole(1, MAX_APPROVALS_A_DAY),
    ]]
);

object!(
    /// The bounds that a tenant sets itself, but for its quotas.
    SETTINGS = "Settings" [members![
        may "max_actors" Kind::Whole(1, 10),
        may "dpop_nonce" Kind::Boolean,
        may "event_retention_days" Kind::Whole(1, 3_650),
        may "event_retention_by_type" Kind::Json,
        may "event_hold" Kind::Boolean,
        may "logout_ends_grants" Kind::Boolean,
        may "consent_unused_days" Kind::Whole(1, 3_650),
        may "quotas" Kind::Object(&QUOTAS),
        may "descope" Kind::Boolean,
        may "registration" Kind::Object(&REGISTRATION_RULES),
        may "approvals" Kind::Object(&APPROVAL_RULES),
        may "log_witnesses" Kind::List(&Kind::Object(&WITNESS), MAX_WITNESSES),
    ]]
);

object!(
    /// A witness of the log of events: where checkpoints are sent, and its verifier key (C2SP tlog-witness, tlog-cosignature).
    WITNESS = "LogWitness" [members![
        must "url" URI,
        must "key" Kind::Text(MAX_VKEY),
    ]]
);

object!(
    /// What a tenant is made with.
    NEW = "NewTenant" [members![
        must "id" SLUG,
        must "name" Kind::Text(MAX_NAME),
        may "zone" Kind::Text(MAX_ZONE),
        may "settings" Kind::Object(&SETTINGS),
    ]]
);

const BODY_MEMBERS: &[Member] = members![
    must "name" Kind::Text(MAX_NAME),
    must "zone" Kind::Text(MAX_ZONE),
    may "status" STATUS,
    may "settings" Kind::Object(&SETTINGS),
];

object!(
    /// What a tenant is changed to: as shown, or without what only the server sets.
    PUT_BODY = "TenantUpdate" [BODY_MEMBERS, members![
        read "id" Kind::Word,
        read "issuer" Kind::Word,
        read "project_id" Kind::Word,
        read "created_at" Kind::Time,
        read "updated_at" Kind::Time,
    ]]
);

const SHOWN: &[Member] = members![
    must "id" Kind::Word,
    must "status" STATUS,
    must "settings" Kind::Object(&SETTINGS),
    must "issuer" Kind::Word,
    must "project_id" Kind::Word,
    must "created_at" Kind::Time,
    must "updated_at" Kind::Time,
];

object!(
    /// A tenant.
    TENANT = "Tenant" [BODY_MEMBERS, SHOWN]
);

object!(
    /// A tenant with the credentials of its first administrator, which are shown this once.
    MADE = "MadeTenant" [BODY_MEMBERS, SHOWN, members![
        must "client_id" Kind::Word,
        must "client_secret" Kind::Word,
    ]]
);

/// What a tenant is made with.
#[derive(Deserialize)]
pub struct NewTenant {
    id: String,
    #[serde(flatten)]
    body: TenantBody,
}

/// Tenants.
pub struct Tenants;

impl Aggregate for Tenants {
    type Record = Tenant;
    type Body = TenantBody;

    const PATH: &'static str = "tenants";
    const BODY: Object = PUT_BODY;
    const FILTERS: &'static [&'static str] = &[];

    fn id(tenant: &Tenant) -> (&str, i64) {
        (&tenant.id, tenant.version)
    }

    fn view(cx: &Cx<'_>, tenant: &Tenant) -> Map<String, Value> {
        let mut members = Shown {
            id: ("id", &tenant.id),
            body: &TenantBody::of(tenant),
            status: None,
            created: ("created_at", tenant.created_at),
            updated_at: tenant.updated_at,
        }
        .members();
        members.insert("issuer".to_owned(), issuer(cx.config.origin(), &tenant.id).into());
        members.insert("project_id".to_owned(), project_id(&tenant.id).into());
        members
    }

    async fn find(cx: &Cx<'_>, id: &str) -> Result<Option<Tenant>> {
        optional(tenants::find(cx, id).await)
    }

    async fn list(cx: &Cx<'_>, page: &Page) -> Result<Vec<Tenant>> {
        match tenants::is_first(cx) {
            true => cx.all(store::tenants::list(page.after(), page.rows())).await,
            false => Ok(vec![tenants::find(cx, &cx.tenant.id).await?]),
        }
    }

    async fn problems(cx: &Cx<'_>, body: &TenantBody) -> Result<Vec<String>> {
        let mut all = body.settings.as_ref().map(|settings| settings.problems()).unwrap_or_default();
        let witnesses = body.settings.as_ref().map(|settings| &*settings.log_witnesses);
        all.extend(witness::problems(cx, witnesses.unwrap_or_default()));
        if policy::offset(cx, &body.zone).is_none() {
            all.push("`zone` must be an IANA time zone such as `Europe/Berlin`".to_owned());
        }
        let zone = body.settings.as_ref().and_then(|settings| settings.approvals.zone.as_deref());
        if zone.is_some_and(|zone| policy::offset(cx, zone).is_none()) {
            all.push("`settings.approvals.zone` must be an IANA time zone such as `Europe/Berlin`".to_owned());
        }
        Ok(all)
    }

    async fn update(call: AdminCall<'_>, present: Tenant, body: TenantBody) -> Result<Tenant> {
        tenants::update(call.cx, present, body, call.admin).await
    }

    async fn delete(call: AdminCall<'_>, present: &Tenant) -> Result<()> {
        tenants::delete(call.cx, present, call.admin).await
    }
}

impl Posted for Tenants {
    type New = NewTenant;

    const NEW: Object = NEW;

    async fn problems_of_new(cx: &Cx<'_>, new: &NewTenant) -> Result<Vec<String>> {
        Self::problems(cx, &new.body).await
    }

    fn create(call: AdminCall<'_>, new: NewTenant) -> Result<Posting<Tenant>> {
        let (creation, client, secret) = tenants::create(call.cx, new.id, new.body, call.admin)?;
        let once = [("client_id", client.id), ("client_secret", secret.expose().clone())];
        let once = once.map(|(name, value)| (name.to_owned(), Value::String(value))).into_iter().collect();
        Ok(Posting { creation, once })
    }
}
