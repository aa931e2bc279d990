//! Clients that register themselves (RFC 7591) and manage their registration (RFC 7592).
//!
//! 1. Off unless the tenant says so: for the bearers of initial access tokens, or for anybody within a limit for each address, which is counted
//!    where every location sees it.
//! 2. A client gets a registration access token, of which the digest is stored. It is good for this one client, while the client is active.
//! 3. A client changes what it says about itself, and nothing else: what an administrator has set stays, and so does its status.
//! 4. A client that nobody lets in within a day goes (see [`tick`]).

use super::metadata::{self, Problem};
use super::permitted;
use crate::audit;
use crate::authn::client::{self, address, limit_attempts};
use crate::context::{Change, Cx};
use crate::crypto::{self, Kind, Secret, is_well_formed, sha256};
use crate::directory::Creation;
use crate::directory::clients::{self, ClientKey};
use crate::error::{Error, Reason, Result};
use crate::model::event::Facts;
use crate::model::registration::{Dynamic, InitialToken};
use crate::model::{Client, ClientMetadata, EventType, Registration};
use crate::oauth::Scope;
use crate::store;
use serde_json::{Map, Value};

/// How many clients may be registered from an address in a minute.
const PER_ADDRESS: i64 = 20;
/// How long a client may stay that nobody lets in, in seconds.
const UNUSED_SECONDS: i64 = 86_400;
/// How many of them one run of the cron removes for a tenant.
const REMOVED: i64 = 200;
/// How many it looks at, to find those that are used.
const LOOKED_AT: i64 = 1_000;

/// Members that the server alone sets (RFC 7592 §2.2).
const OF_SERVER: &[&str] =
    &["registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"];

/// A client that was just registered.
pub struct Registered {
    /// The client.
    pub client: Client,
    /// Its secret, if it authenticates with one.
    pub secret: Option<Secret<String>>,
    /// Its registration access token.
    pub token: Secret<String>,
}

/// Registers a client.
pub async fn register(cx: &Cx<'_>, members: &Map<String, Value>, bearer: Option<&str>) -> Result<Registered> {
    let registered_by = admitted(cx, bearer).await?;
    let metadata = checked(cx, members).await?;
    let mut client = Client::new(metadata, cx.now, &*cx.world.entropy);
    client.registration = Registration::Dynamic;
    client.registered_by = registered_by;
    permitted(cx, &client).await?;
    let token = crypto::mint(Kind::RegistrationAccess, &*cx.world.entropy);
    let until = cx.now.seconds().saturating_add(UNUSED_SECONDS);
    let keep = store::clients::keep_registration(&cx.tenant.id, &client, &sha256(token.expose()), until);
    // What is no scope is nobody's wish: it would stand in the trail as a stranger has sent it.
    let wanted = members.get("scope").and_then(Value::as_str).and_then(Scope::parse);
    let wanted = wanted.map(|scope| scope.to_string()).filter(|scope| !scope.is_empty());
    let (creation, secret) = clients::register(cx, client, None, wanted)?;
    let client = creation.then(keep).commit(cx).await?;
    Ok(Registered { client, secret, token })
}

/// Who lets the client register: the id of an initial access token, or nobody where none is needed.
async fn admitted(cx: &Cx<'_>, bearer: Option<&str>) -> Result<Option<String>> {
    match cx.tenant.settings.registration.dynamic {
        Dynamic::Off => Err(Reason::RegistrationOff.into()),
        Dynamic::InitialAccessToken => {
            let sent = bearer.filter(|sent| is_well_formed(Kind::InitialAccess, sent)).map(sha256);
            let digest = sent.ok_or(Reason::InvalidRegistrationToken)?;
            let token = cx.one(store::registration::of(&cx.tenant.id, &digest, cx.now.seconds())).await?;
            token.map(|token| Some(token.id)).ok_or_else(|| Reason::InvalidRegistrationToken.into())
        }
        Dynamic::Open => {
            let key = ["registration/", &address(cx.peer.ip)].concat();
            limit_attempts(cx, &key, PER_ADDRESS, Reason::TooManyRegistrations).await.map(|()| None)
        }
    }
}

async fn checked(cx: &Cx<'_>, members: &Map<String, Value>) -> Result<ClientMetadata> {
    let metadata = metadata::read(members, Registration::Dynamic).map_err(|problem| match problem {
        Problem::RedirectUri(why) => Reason::InvalidRedirectUri.because(why),
        Problem::Metadata(why) => Reason::InvalidClientMetadata.because(why),
    })?;
    match client::problems(cx, &metadata).await?.into_iter().next() {
        Some(why) => Err(Reason::InvalidClientMetadata.because(why)),
        None => Ok(metadata),
    }
}

/// The client that manages itself with that token.
pub async fn authenticate(cx: &Cx<'_>, id: &str, bearer: Option<&str>) -> Result<Client> {
    let sent = bearer.filter(|sent| is_well_formed(Kind::RegistrationAccess, sent)).map(sha256);
    let digest = sent.ok_or(Reason::InvalidRegistrationToken)?;
    let found = cx.one(store::clients::of_registration_token(&cx.tenant.id, id, &digest)).await?;
    found.filter(|client| client.is_live(cx.now)).ok_or_else(|| Reason::InvalidRegistrationToken.into())
}

/// Replaces what a client says about itself (RFC 7592 §2.2).
pub async fn replace(cx: &Cx<'_>, client: Client, members: &Map<String, Value>) -> Result<Client> {
    let refuse = |why: &str| Err::<Client, Error>(Reason::InvalidClientMetadata.because(why));
    if members.get("client_id").and_then(Value::as_str) != Some(&*client.id) {
        return refuse("`client_id` is not the one of the path");
    }
    if OF_SERVER.iter().any(|name| members.contains_key(*name)) {
        return refuse("a member that the server alone sets");
    }
    if let Some(secret) = members.get("client_secret") {
        let digest = sha256(secret.as_str().unwrap_or_default());
        if !client.secrets.iter().any(|known| known.digest == digest) {
            return refuse("`client_secret` is not the present one");
        }
    }
    let says = checked(cx, members).await?;
    let [now, wanted] = [&client.metadata, &says].map(|metadata| metadata.token_endpoint_auth_method);
    if now != wanted && !(now.uses_secret() && wanted.uses_secret()) {
        return refuse("`token_endpoint_auth_method` does not change to or from a secret: register anew");
    }
    let (metadata, by) = (metadata::renewed(&client.metadata, &says), client.id.clone());
    super::permitted(cx, &Client { metadata: metadata.clone(), ..client.clone() }).await?;
    clients::update(cx, client, metadata, &by).await
}

/// Removes a client (RFC 7592 §2.3), with all that people have let it do.
pub async fn remove(cx: &Cx<'_>, client: &Client) -> Result<()> {
    clients::delete(cx, client, &client.id).await
}

/// An initial access token that is about to be made.
pub fn create_token(cx: &Cx<'_>, name: String, expires_in: i64, by: &str) -> (Creation<InitialToken>, Secret<String>) {
    let secret = crypto::mint(Kind::InitialAccess, &*cx.world.entropy);
    let created_at = cx.now.seconds();
    let expires_at = created_at.saturating_add(expires_in);
    let token = InitialToken { id: cx.new_id(), name, created_at, expires_at };
    let event = audit::event(cx, EventType::RegistrationTokenCreated, Some(by), facts(&token.id, Some(&token.name)));
    let guard = store::registration::insert(&cx.tenant.id, &token, &sha256(secret.expose()));
    (Creation::new(token, Change::guard(guard).event(event), "the new token's id is taken: try again"), secret)
}

/// Removes an initial access token: nobody registers with it any more.
pub async fn delete_token(cx: &Cx<'_>, id: &str, by: &str) -> Result<()> {
    let event = audit::event(cx, EventType::RegistrationTokenDeleted, Some(by), facts(id, None));
    match cx.commit(Change::guard(store::registration::delete(&cx.tenant.id, id)).event(event)).await? {
        true => Ok(()),
        false => Err(Reason::NotFound.into()),
    }
}

/// Removes clients that nobody has let in, and lets the others stay.
pub async fn tick(cx: &Cx<'_>) -> Result<()> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    cx.run(vec![store::clients::keep_used(tenant, now, LOOKED_AT)]).await?;
    for (id, name) in cx.all(store::clients::never_used(tenant, now, REMOVED)).await? {
        let facts = Facts { detail: Some("nobody has let it in".to_owned()), ..facts(&id, Some(&name)) };
        let event = audit::event(cx, EventType::ClientDeleted, None, facts);
        let change = Change::guard(store::clients::delete_unused(tenant, &id, now))
            .invalidates(&ClientKey(&id))
            .event(event)
            .always(store::clients::delete_orphaned_secrets(tenant, &id));
        cx.commit(change).await?;
    }
    Ok(())
}

fn facts(id: &str, name: Option<&str>) -> Facts {
    Facts { target: Some(id.to_owned()), target_name: name.map(str::to_owned), ..Facts::default() }
}
