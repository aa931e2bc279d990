//! `admin/clients`: registration with the names of RFC 7591, secrets, and the lifecycle.

use super::aggregate::{Aggregate, Posted, Posting, Shown, object, optional};
use super::idempotency::once;
use super::{Page, kill};
use crate::authn::client;
use crate::context::Cx;
use crate::directory::clients;
use crate::error::Result;
use crate::grants;
use crate::model::client::{DELIVERY_MODES, MAX_ITEMS, MAX_REDIRECT_URIS, MAX_TEXT, MAX_UNUSED_DAYS};
use crate::model::{ApplicationType, Client, ClientKind, ClientMetadata, Registration, Stoppable, StoredSecret};
use crate::policy;
use crate::store;
use crate::web::schema::objects::{PROOF_ALG, RULE, STATUS};
use crate::web::schema::{Kind, Member, Object, RESOURCE, SCOPE, URI, members, object, sent_or_empty};
use crate::web::{AdminCall, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Ten years.
const MAX_EXPIRES_IN: i64 = 315_360_000;

const GRANTS: Kind = Kind::List(&Kind::Words("GrantType", grants::grant_types), MAX_ITEMS);
const METHOD: Kind = Kind::Words("AuthMethod", || client::METHODS.iter().map(|method| method.as_str()).collect());
const KIND: Kind = Kind::Words("ClientKind", || {
    [ClientKind::Autonomous, ClientKind::Delegated, ClientKind::ResourceServer].map(ClientKind::as_str).to_vec()
});
const APPLICATION_TYPE: Kind = Kind::Words("ApplicationType", || {
    [ApplicationType::Web, ApplicationType::Native].map(ApplicationType::as_str).to_vec()
});
const REGISTRATION: Kind = Kind::Words("Registration", || {
    [Registration::Admin, Registration::MetadataDocument, Registration::Dynamic].map(Registration::as_str).to_vec()
});
const TAGS: Kind = Kind::List(&Kind::Text(MAX_TEXT), MAX_ITEMS);
const RESOURCES: Kind = Kind::List(&RESOURCE, MAX_ITEMS);

object!(
    /// A workload that is a client.
    WORKLOAD_IDENTITY = "WorkloadIdentity" [members![
        must "issuer" URI,
        must "rules" Kind::List(&Kind::Object(&RULE), crate::model::issuer::MAX_RULES),
    ]]
);

const METADATA: &[Member] = members![
    must "client_name" Kind::Text(MAX_TEXT),
    may "grant_types" GRANTS,
    may "token_endpoint_auth_method" METHOD,
    may "redirect_uris" Kind::List(&URI, MAX_REDIRECT_URIS),
    may "application_type" APPLICATION_TYPE,
    may "client_uri" URI,
    may "scope" SCOPE,
    may "owner" Kind::Text(MAX_TEXT),
    may "tags" TAGS,
    may "kind" KIND,
    may "allowed_resources" RESOURCES,
    may "serves" RESOURCES,
    may "jwks" Kind::Json,
    may "jwks_uri" URI,
    may "token_endpoint_auth_signing_alg" PROOF_ALG,
    may "token_endpoint_as_audience" Kind::Boolean,
    may "dpop_bound_access_tokens" Kind::Boolean,
    may "require_pushed_authorization_requests" Kind::Boolean,
    may "backchannel_token_delivery_mode" Kind::Words("DeliveryMode", || DELIVERY_MODES.to_vec()),
    may "backchannel_client_notification_endpoint" URI,
    may "workload_identities" Kind::List(&Kind::Object(&WORKLOAD_IDENTITY), MAX_ITEMS),
    may "expires_at" Kind::Time,
    may "suspend_unused_after_days" Kind::Whole(1, MAX_UNUSED_DAYS as i64),
];

const SECRET_MEMBERS: &[Member] = members![
    must "id" Kind::Word,
    must "created_at" Kind::Time,
    may "expires_at" Kind::Time,
];

object!(
    /// A secret without itself.
    SECRET = "Secret" [SECRET_MEMBERS]
);

object!(
    /// A secret that was just made.
    MADE_SECRET = "MadeSecret" [SECRET_MEMBERS, members![must "client_secret" Kind::Word]]
);

object!(
    /// What can be said about a secret.
    NEW_SECRET = "NewSecret" [members![may "expires_in" Kind::Whole(1, MAX_EXPIRES_IN)]]
);

object!(
    /// What a client is registered with.
    METADATA_BODY = "ClientMetadata" [METADATA]
);

object!(
    /// What a client is changed to: as it was shown, or without what only the server sets.
    PUT_BODY = "ClientUpdate" [METADATA, members![
        read "client_id" Kind::Word,
        read "client_id_issued_at" Kind::Time,
        read "registration" REGISTRATION,
        read "registered_by" Kind::Word,
        read "status" STATUS,
        read "secrets" Kind::List(&Kind::Object(&SECRET), crate::web::schema::ANY),
        read "updated_at" Kind::Time,
    ]]
);

const SHOWN: &[Member] = members![
    must "grant_types" GRANTS,
    must "token_endpoint_auth_method" METHOD,
    must "application_type" APPLICATION_TYPE,
    must "tags" TAGS,
    must "kind" KIND,
    must "token_endpoint_as_audience" Kind::Boolean,
    must "dpop_bound_access_tokens" Kind::Boolean,
    must "require_pushed_authorization_requests" Kind::Boolean,
    must "client_id" Kind::Word,
    must "client_id_issued_at" Kind::Time,
    must "registration" REGISTRATION,
    may "registered_by" Kind::Word,
    must "status" STATUS,
    must "secrets" Kind::List(&Kind::Object(&SECRET), crate::web::schema::ANY),
    must "updated_at" Kind::Time,
    may "warnings" Kind::List(&Kind::Word, crate::web::schema::ANY),
];

object!(
    /// A client.
    CLIENT = "Client" [METADATA, SHOWN]
);

object!(
    /// A client that was just registered; an expiry of 0 is none (RFC 7591 §3.2.1).
    REGISTERED = "RegisteredClient" [METADATA, SHOWN, members![
        may "client_secret" Kind::Word,
        may "client_secret_expires_at" Kind::Count,
    ]]
);

#[derive(Serialize)]
struct SecretView<'a> {
    id: &'a str,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

fn view_secret(secret: &StoredSecret) -> Map<String, Value> {
    object(&SecretView { id: &secret.id, created_at: secret.created_at, expires_at: secret.expires_at })
}

/// OAuth clients.
pub struct Clients;

impl Aggregate for Clients {
    type Record = Client;
    type Body = ClientMetadata;

    const PATH: &'static str = "clients";
    const BODY: Object = PUT_BODY;
    const FILTERS: &'static [&'static str] = &["client_name"];

    fn id(client: &Client) -> (&str, i64) {
        (&client.id, client.version)
    }

    fn view(_: &Cx<'_>, client: &Client) -> Map<String, Value> {
        let mut members = Shown {
            id: ("client_id", &client.id),
            body: &client.metadata,
            status: Some(client.status),
            created: ("client_id_issued_at", client.created_at),
            updated_at: client.updated_at,
        }
        .members();
        let secrets = client.secrets.iter().map(|secret| Value::Object(view_secret(secret))).collect();
        members.insert("secrets".to_owned(), Value::Array(secrets));
        members.insert("registration".to_owned(), client.registration.as_str().into());
        if let Some(by) = &client.registered_by {
            members.insert("registered_by".to_owned(), by.as_str().into());
        }
        members
    }

    async fn find(cx: &Cx<'_>, id: &str) -> Result<Option<Client>> {
        optional(clients::find(cx, id).await)
    }

    async fn list(cx: &Cx<'_>, page: &Page) -> Result<Vec<Client>> {
        let (tenant, after, rows) = (&cx.tenant.id, page.after(), page.rows());
        match page.get("client_name") {
            Some(name) => cx.all(store::clients::named(tenant, name, after, rows)).await,
            None => cx.all(store::clients::list(tenant, after, rows)).await,
        }
    }

    async fn problems(cx: &Cx<'_>, metadata: &ClientMetadata) -> Result<Vec<String>> {
        let mut all = metadata.problems(&grants::grant_types());
        all.extend(client::problems(cx, metadata).await?);
        Ok(all)
    }

    async fn update(call: AdminCall<'_>, present: Client, metadata: ClientMetadata) -> Result<Client> {
        clients::update(call.cx, present, metadata, call.admin).await
    }

    async fn warnings(cx: &Cx<'_>, client: &Client) -> Result<Vec<String>> {
        match &client.metadata.scope {
            Some(ceiling) => policy::unknown_scopes(cx, ceiling).await,
            None => Ok(Vec::new()),
        }
    }

    fn taken_away(before: &Map<String, Value>, client: &Client) -> Vec<String> {
        let metadata = &client.metadata;
        let bounds = [
            ("scope", metadata.scope.is_some(), "it may ask for every scope of its resources now"),
            ("allowed_resources", metadata.allowed_resources.is_some(), "it may ask for every registered resource now"),
        ];
        let lost = bounds.into_iter().filter(|(name, is_there, _)| !is_there && before.contains_key(*name));
        lost.map(|(name, _, so)| {
            format!("`{name}` was left out, so the client has none any more: {so}; send it to keep it")
        })
        .collect()
    }

    async fn delete(call: AdminCall<'_>, present: &Client) -> Result<()> {
        clients::delete(call.cx, present, call.admin).await
    }
}

impl Posted for Clients {
    type New = ClientMetadata;

    const NEW: Object = METADATA_BODY;

    async fn problems_of_new(cx: &Cx<'_>, metadata: &ClientMetadata) -> Result<Vec<String>> {
        Self::problems(cx, metadata).await
    }

    fn create(call: AdminCall<'_>, metadata: ClientMetadata) -> Result<Posting<Client>> {
        let (creation, secret) = clients::create(call.cx, metadata, call.admin)?;
        let mut once = Map::new();
        if let Some(secret) = secret {
            once.insert("client_secret".to_owned(), secret.expose().as_str().into());
            once.insert("client_secret_expires_at".to_owned(), 0.into());
        }
        Ok(Posting { creation, once })
    }
}

#[derive(Deserialize)]
struct SecretBody {
    #[serde(default)]
    expires_in: Option<i64>,
}

/// Adds a secret.
pub async fn add_secret(call: AdminCall<'_>) -> Result<Response> {
    once(call, async || {
        let SecretBody { expires_in } = sent_or_empty(call.request)?.read_plain(&NEW_SECRET).await?;
        let client = clients::find(call.cx, call.id(0)?).await?;
        let (creation, secret) = clients::add_secret(call.cx, &client, expires_in, call.admin)?;
        let mut members = view_secret(&creation.record);
        members.insert("client_secret".to_owned(), secret.expose().as_str().into());
        Ok((creation, Response::json(201, &members)))
    })
    .await
}

/// Removes a secret.
pub async fn delete_secret(call: AdminCall<'_>) -> Result<Response> {
    let client = clients::find(call.cx, call.id(0)?).await?;
    clients::delete_secret(call.cx, &client, call.id(1)?, call.admin).await?;
    Ok(Response::empty(204))
}

/// Resumes a suspended client.
pub async fn resume(call: AdminCall<'_>) -> Result<Response> {
    kill::resume(call, Stoppable::Client).await?;
    super::aggregate::get::<Clients>(call).await
}
