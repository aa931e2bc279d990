//! Authorization codes (RFC 6749 §4.1.2): issued with the consent under them.
//!
//! 1. 256 random bits, of which the digest is stored; 60 seconds (docs/requirements.md R3).
//! 2. Bound to the client, the redirect URI, the challenge, the resource, the scope, the person, and the key if one is named.

use super::asked::Asked;
use super::request::{Request, refusal_response, response};
use crate::authn::people::Person;
use crate::context::{Change, Cx};
use crate::crypto::{self, Kind, nonce, sha256};
use crate::directory::identities::{IdentityKey, StatusListKey};
use crate::directory::{clients, quotas};
use crate::error::{Fault, Reason, Result};
use crate::model::consent::CodeBody;
use crate::model::identity::Held;
use crate::model::{Authorization, Code, Consent, Counted, Event};
use crate::oauth::{AuthorizationDetail, Scope};
use crate::store;

/// How long a code lives, in seconds.
const CODE_SECONDS: i64 = 60;

/// How long a refresh family lives at the most, in seconds: sliding never extends it.
const REFRESH_SECONDS: i64 = 90 * 86_400;

/// The scope by which a client asks for refresh tokens (OpenID Connect Core §11).
const OFFLINE_ACCESS: &str = "offline_access";

/// What a code is issued with.
#[derive(Default)]
pub struct Grant<'a> {
    /// The consent that is remembered, as it will be.
    pub consent: Option<&'a Consent>,
    /// What is allowed this time.
    pub once: Scope,
    /// The authorization details that are allowed.
    pub authorization_details: Vec<AuthorizationDetail>,
    /// The change that writes the consent.
    pub change: Option<Change>,
    /// The event.
    pub event: Option<Event>,
}

/// Issues a code; the response for the client.
pub async fn issue(cx: &Cx<'_>, request: &Request, asked: &Asked, person: &Person, grant: Grant<'_>) -> Result<String> {
    let now = cx.now.seconds();
    let pushed = request.redeemable(cx, &asked.client.id);
    let Grant { consent, once, authorization_details, change, event } = grant;
    let is_decided = event.is_some();
    let remembered = consent.map(|consent| consent.scope(now)).unwrap_or_default();
    // What was allowed before comes along where the person has just allowed more: a step-up is a union. Else nothing comes that is not named.
    let is_wanted = |scope: &str| is_decided || !asked.names_scope || asked.target.scope.contains(scope);
    let allowed = |scope: &str| remembered.contains(scope) || once.contains(scope);
    let secret = crypto::mint(Kind::AuthorizationCode, &*cx.world.entropy);
    let resource = &asked.target.resource.body;
    let of_resource = |scope: &str| resource.scopes.iter().any(|known| known.name == scope);
    let authorization = Authorization {
        consent: consent.map(|consent| consent.id.clone()),
        resource: resource.resource.to_string(),
        scope: remembered.narrowed(|scope| of_resource(scope) && is_wanted(scope)),
        identity: asked.identity.narrowed(|scope| remembered.contains(scope)),
        authorization_details,
        redirect_host: asked.host().to_owned(),
        acr: person.session.acr.clone(),
        auth_time: person.session.auth_time,
        jkt: asked.jkt.clone(),
        issued_at: now,
    };
    // A client that asks to stay connected stays so if the person has allowed it; others are given refresh tokens anyway.
    let stays = !asked.identity.contains(OFFLINE_ACCESS) || allowed(OFFLINE_ACCESS);
    let may_refresh = stays && asked.client.metadata.grant_types.iter().any(|grant| grant == "refresh_token");
    let last = consent.and_then(|consent| consent.lines.iter().map(|line| line.until.unwrap_or(i64::MAX)).max());
    let refresh_until = last.filter(|_| may_refresh).map(|last| last.min(now.saturating_add(REFRESH_SECONDS)));
    let body = CodeBody {
        authorization,
        once: once.narrowed(|scope| of_resource(scope) || asked.identity.contains(scope)),
        redirect_uri: request.get("redirect_uri").unwrap_or(&asked.redirect_uri).to_owned(),
        challenge: asked.challenge.clone(),
        nonce: request.get("nonce").map(str::to_owned),
        refresh_until,
    };
    let json = serde_json::to_string(&body).map_err(|_| Fault::Broken("a code has no JSON"))?;
    let code = Code {
        id: asked.device.as_ref().map_or_else(|| sha256(secret.expose()).to_text(), |device| device.id.clone()),
        client: asked.client.id.clone(),
        user: person.user.id.clone(),
        family: nonce(&*cx.world.entropy),
        body,
        claim: None,
        expires_at: asked.device.as_ref().map_or(now.saturating_add(CODE_SECONDS), |device| device.expires_at),
    };
    let tenant = &cx.tenant.id;
    let change = match (change, &asked.device) {
        (Some(change), None) => change.then(store::codes::insert_if_changed(tenant, &code, json)),
        (None, None) => Change::guard(store::codes::insert(tenant, &code, json, pushed.as_ref())),
        (Some(change), Some(device)) => change
            .then(store::device_codes::approve_if_changed(tenant, &device.id, now))
            .then(store::codes::insert_if_changed(tenant, &code, json)),
        (None, Some(device)) => Change::guard(store::device_codes::approve(tenant, &device.id, now))
            .then(store::codes::insert_if_changed(tenant, &code, json)),
    };
    let redeemed =
        pushed.iter().map(|pushed| store::spent::redeem_if_changed(tenant, pushed, request.remembered_until(now)));
    let change = redeemed.fold(change, Change::then);
    let change = event.into_iter().fold(change, Change::event);
    // What a person has just decided lets a stopped agent go on; what was decided before does not.
    let change = match is_decided {
        true => released(cx, change, asked, person, &code.id).await?,
        false => change,
    };
    let change = clients::with_document(cx, change, &asked.client, &person.user.id)?;
    match (cx.commit(change).await?, &asked.device) {
        (true, None) => {
            return Ok(response(cx, request, &asked.redirect_uri, &[("code", secret.expose())]));
        }
        (true, Some(_)) => return Ok(device_page(cx, "approved")),
        (false, _) => {}
    }
    if let Some(pushed) = &pushed
        && cx.is_redeemed(pushed).await?
    {
        return Ok(refusal_response(cx, request, &asked.redirect_uri, Reason::InvalidRequestUri));
    }
    if !asked.client.is_stored() && clients::load(cx, &asked.client.id).await?.is_none() {
        quotas::expect_room(cx, Counted::Clients).await?;
    }
    Err(Reason::ConsentChanged.into())
}

/// The page that ends the request of a device: the person goes back to the device.
pub fn device_page(cx: &Cx<'_>, outcome: &str) -> String {
    format!("/t/{}/device?outcome={outcome}", cx.tenant.id)
}

/// An agent that the person had stopped goes on with the code; what was issued before stays dead.
async fn released(cx: &Cx<'_>, change: Change, asked: &Asked, person: &Person, code: &str) -> Result<Change> {
    let (tenant, client, user) = (&cx.tenant.id, &*asked.client.id, &*person.user.id);
    let identity = cx.one(store::identities::of(tenant, client, user)).await?;
    if identity.is_none_or(|identity| identity.held == Held::No) {
        return Ok(change);
    }
    let release = store::identities::release(tenant, (client, user), code, cx.now.seconds());
    Ok(change.invalidates(&IdentityKey(client, user)).invalidates(&StatusListKey).always(release))
}
