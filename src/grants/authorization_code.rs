//! The authorization code grant (RFC 6749 §4.1.3, OAuth 2.1 §4.1.3).
//!
//! 1. A wrong request redeems nothing: client, redirect URI, verifier, resource and key are held against the stored code first.
//! 2. Policy is asked before the code is redeemed; the redemption is one guarded batch, which also begins the refresh family.
//! 3. A second redemption by the rightful client is refused, and stops every token that came of the code (RFC 9700 §4.5). When the reply
//!    of a first one is lost, the client connects again: the safe side.
//! 4. A public client that refreshes is bound to the key that it has proved, if it has proved one (RFC 9449 §5).

use super::request::TokenRequest;
use crate::authn::client::Authenticated;
use crate::cedar::Action;
use crate::context::{Change, Cx};
use crate::crypto::{Kind, is_well_formed, nonce, sha256};
use crate::error::{Fault, Reason, Result};
use crate::model::consent::{CodeBody, family_digest};
use crate::model::event::Facts;
use crate::model::{Code, Consent, RefreshFamily, Resource};
use crate::oauth::scope::IDENTITY;
use crate::oauth::{AuthorizationDetail, ResourceUri, Scope, pkce};
use crate::revocation::families;
use crate::store;
use crate::tokens::refresh::RefreshToken;
use crate::tokens::{self, Issuance, Origin, Requested, TokenResponse, decide, target};

pub const GRANT_TYPE: &str = "authorization_code";

pub async fn run(cx: &Cx<'_>, request: &TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let caller = request.caller()?;
    let text = request.form.get("code").ok_or(Reason::MissingCode)?;
    let (code, consent) = find(cx, text).await?.ok_or_else(|| Reason::InvalidCode.because("there is no such code"))?;
    facts.subject = Some(code.user.clone());
    fits(request, caller, &code)?;
    if code.claim.is_some() {
        families::stop_replayed(cx, &code).await?;
        return Err(Reason::InvalidCode.because("it was redeemed before"));
    }
    if code.expires_at <= cx.now.seconds() {
        return Err(Reason::InvalidCode.because("it has expired"));
    }
    request.redeem_proof_of_public(cx).await?;
    match redeem(cx, request, (&code, consent.as_ref()), GRANT_TYPE, facts).await? {
        Some(response) => Ok(response),
        None => {
            families::stop_replayed(cx, &code).await?;
            Err(Reason::InvalidCode.because("another request has redeemed it first"))
        }
    }
}

/// The code with the consent that it was issued under.
async fn find(cx: &Cx<'_>, text: &str) -> Result<Option<(Code, Option<Consent>)>> {
    if !is_well_formed(Kind::AuthorizationCode, text) {
        return Ok(None);
    }
    let (tenant, id) = (&cx.tenant.id, sha256(text).to_text());
    let (code, consent) = cx.batch((store::codes::get(tenant, &id), store::consents::of_code(tenant, &id))).await?;
    Ok(code.into_iter().next().map(|code| (code, consent.into_iter().next())))
}

/// Whether the request is the one that the code was issued for.
fn fits(request: &TokenRequest<'_>, caller: &Authenticated, code: &Code) -> Result<()> {
    let (form, refuse) = (request.form, |why: &str| Err(Reason::InvalidCode.because(why)));
    let CodeBody { authorization, redirect_uri, challenge, .. } = &code.body;
    if caller.client.id != code.client {
        return refuse("it was issued to another client");
    }
    if form.get("redirect_uri").is_some_and(|sent| sent != redirect_uri) {
        return refuse("`redirect_uri` is another one");
    }
    if !form.get("code_verifier").is_some_and(|verifier| pkce::verifies(verifier, challenge)) {
        return refuse("`code_verifier` is missing or another one");
    }
    if authorization.jkt.as_deref().is_some_and(|jkt| request.jkt() != Some(jkt)) {
        return refuse("it is bound to a key that was not proved");
    }
    is_of_resource(request, &authorization.resource)
}

/// Whether the resource that a request names, if it names one, is the one that was allowed (RFC 8707 §2.2).
pub fn is_of_resource(request: &TokenRequest<'_>, resource: &str) -> Result<()> {
    let mut named = request.form.all("resource").map(|text| ResourceUri::parse(text).ok_or(Reason::MalformedResource));
    let allowed = ResourceUri::parse(resource);
    match named.all(|one| one.is_ok_and(|one| allowed.as_ref().is_some_and(|allowed| allowed.is_same(&one)))) {
        true => Ok(()),
        false => Err(Reason::OtherResource.into()),
    }
}

/// The response for a code that fits the request; nothing if another request has redeemed it first.
pub async fn redeem(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    (code, consent): (&Code, Option<&Consent>),
    grant_type: &'static str,
    facts: &mut Facts,
) -> Result<Option<TokenResponse>> {
    let Authenticated { client, method, workload_claims } = request.caller()?;
    let CodeBody { authorization, once, nonce: oidc_nonce, refresh_until, .. } = &code.body;
    if authorization.consent.is_some() && consent.is_none() {
        return Err(Reason::InvalidCode.because("the user has taken it back"));
    }
    let now = cx.now.seconds();
    let held = consent.map(|consent| consent.scope(now)).unwrap_or_default();
    let is_identity = |scope: &str| IDENTITY.contains(&scope);
    let once_of_resource = once.iter().filter(|scope| !is_identity(scope));
    let scope: Scope =
        authorization.scope.iter().filter(|scope| held.contains(scope)).chain(once_of_resource).collect();
    let once_of_person = once.iter().filter(|scope| is_identity(scope));
    let identity: Scope =
        authorization.identity.iter().filter(|scope| held.contains(scope)).chain(once_of_person).collect();
    let target = allowed(cx, request, &authorization.resource, &scope, facts).await?;
    let lineage = consent.map(Consent::digest).into_iter().chain([family_digest(&code.family)]).collect();
    let origin = Origin {
        lineage,
        issued_at: Some(authorization.issued_at),
        acr: authorization.acr.clone(),
        auth_time: Some(authorization.auth_time),
        identity,
        authorization_details: narrowed(request, &authorization.authorization_details, &target.resource)?,
        ..Origin::default()
    };
    let issuance = Issuance {
        client,
        method: Some(*method),
        subject: &code.user,
        grant_type,
        action: Action::Issue,
        target,
        jkt: request.jkt(),
        origin,
        workload_claims,
    };
    let decision = decide(cx, &issuance, facts).await?;
    tokens::prepare(cx, &issuance).await?;
    let claim = nonce(&*cx.world.entropy);
    let under = consent.map(|consent| (consent.id.as_str(), consent.version));
    let mut change = Change::guard(store::codes::redeem(&cx.tenant.id, &code.id, &claim, now, under));
    let mut refresh_token = None;
    if let Some(expires_at) = refresh_until.filter(|_| authorization.consent.is_some()) {
        let mut body = authorization.clone();
        body.jkt = body.jkt.or_else(|| request.jkt().filter(|_| !request.is_proved()).map(str::to_owned));
        let family = RefreshFamily {
            id: code.family.clone(),
            client: code.client.clone(),
            user: code.user.clone(),
            body,
            generation: 1,
            rotated_at: i64::try_from(cx.now.millis()).unwrap_or_default(),
            rotated_by: cx.peer.ip.map(|ip| ip.to_string()),
            is_revoked: false,
            expires_at,
        };
        let json = serde_json::to_string(&family.body).map_err(|_| Fault::Broken("a refresh family has no JSON"))?;
        change = change.then(store::refresh::insert_if_changed(&cx.tenant.id, &family, json));
        refresh_token = Some(RefreshToken { family: family.id, generation: 1 }.text(cx)?);
    }
    if let Some(consent) = consent {
        change = noted(cx, change, consent, [&decision.scope, &issuance.origin.identity])?;
    }
    if !cx.commit(change).await? {
        let stored = cx.one(store::codes::get(&cx.tenant.id, &code.id)).await?;
        if stored.is_none_or(|stored| stored.claim.is_none()) {
            return Err(Reason::InvalidCode.because("the user has taken it back meanwhile"));
        }
        return Ok(None);
    }
    let mut response = tokens::finish(cx, &issuance, decision, facts).await?;
    response.refresh_token = refresh_token;
    response.id_token = tokens::id_token(cx, &issuance, oidc_nonce.as_deref()).await?;
    Ok(Some(response))
}

/// Of the authorization details that the user has allowed those that the request names, or all of them (RFC 9396 §6). What is of a type that the
/// resource does not have any more is not given.
pub fn narrowed(
    request: &TokenRequest<'_>,
    allowed: &[AuthorizationDetail],
    resource: &Resource,
) -> Result<Vec<AuthorizationDetail>> {
    let is_known = |one: &&AuthorizationDetail| resource.body.authorization_details_type(one.kind()).is_some();
    let allowed: Vec<_> = allowed.iter().filter(is_known).cloned().collect();
    let Some(text) = request.form.get("authorization_details") else { return Ok(allowed) };
    let named = AuthorizationDetail::parse(text).ok_or(Reason::MalformedAuthorizationDetails)?;
    let is_allowed = named.iter().all(|one| allowed.contains(one));
    if is_allowed { Ok(named) } else { Err(Reason::AuthorizationDetailsBeyondConsent.into()) }
}

/// Adds that scopes of a consent are used, a day's use once.
pub fn noted(cx: &Cx<'_>, change: Change, consent: &Consent, scopes: [&Scope; 2]) -> Result<Change> {
    let used = consent.to_note(scopes.into_iter().flat_map(Scope::iter), cx.now.seconds());
    if used.is_empty() {
        return Ok(change);
    }
    let json = serde_json::to_string(&used).map_err(|_| Fault::Broken("the use of a consent has no JSON"))?;
    Ok(change.always(store::consents::note_use(&cx.tenant.id, &consent.id, json)))
}

/// The target of what the user has allowed.
pub async fn allowed(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    resource: &str,
    scope: &Scope,
    facts: &mut Facts,
) -> Result<tokens::Target> {
    let resource = ResourceUri::parse(resource).ok_or(Fault::Broken("a stored resource is no URI"))?;
    let text = scope.to_string();
    let requested = Requested { resource, scope: Some(&text), ceilings: vec![], authorization_server: None };
    target(cx, &request.caller()?.client, &requested, facts).await
}
