//! The one place where access tokens (RFC 9068) and ID-JAGs are signed, each with its event.
//!
//! 1. The event is durable before the token leaves; both are made at the same time.
//! 2. `aud` is the registered string (RFC 9068 §3). A token of a compatible route names the project beside it, and its route's issuer.
//! 3. No token is longer than every endpoint takes. Registration keeps below that bound; the refusal is for records that were
//!    registered under another bound.

use super::decide::{Decision, Issuance, decide};
use crate::audit;
use crate::context::Cx;
use crate::crypto::{nonce, sha256};
use crate::directory::identities;
use crate::error::{Fault, Reason, Result};
use crate::jose::{AccessToken, Audience, Confirmation, MAX_TOKEN, StatusClaim, StatusReference, Unsigned};
use crate::keys;
use crate::model::EventType;
use crate::model::approval::digest;
use crate::model::event::Facts;
use crate::model::project::project_id;
use crate::oauth::{AuthorizationDetail, Scope};
use crate::ports::Alg;
use futures_util::future::join;
use serde::Serialize;
use serde_json::{Map, Value};

/// A successful token response (RFC 6749 §5.1, RFC 8693 §2.2.1).
#[derive(Serialize)]
pub struct TokenResponse {
    /// The token.
    pub access_token: String,
    /// The type of the token (RFC 8693 §2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<&'static str>,
    /// `Bearer`, `DPoP`, or `N_A`.
    pub token_type: &'static str,
    /// The lifetime, in seconds; nothing where a service says of its token that it does not end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
    /// The scope that was given.
    pub scope: String,
    /// The authorization details that were given (RFC 9396 §7).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_details: Vec<AuthorizationDetail>,
    /// The refresh token (RFC 6749 §6), where the grant gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// The ID token (OpenID Connect Core §3.1.3.3), where `openid` was allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
    /// What a service says beside its token, at a lease.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

/// Issues an access token, if no party of the issuance is stopped and policy permits it.
pub async fn issue(cx: &Cx<'_>, issuance: Issuance<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    // In a new isolate both read, and neither waits for the other.
    let (decision, keys) = join(decide(cx, &issuance, facts), keys::all(cx)).await;
    drop(keys?);
    finish(cx, &issuance, decision?, facts).await
}

/// Reads what [`finish`] needs: what cannot be had is told before a code or a refresh token is redeemed.
pub async fn prepare(cx: &Cx<'_>, Issuance { client, subject, grant_type, .. }: &Issuance<'_>) -> Result<()> {
    identities::register(cx, &client.id, subject, grant_type).await?;
    keys::all(cx).await.map(drop)
}

/// Signs the access token of an issuance that was decided.
pub async fn finish(
    cx: &Cx<'_>,
    issuance: &Issuance<'_>,
    Decision { scope, lifetime, approvals, authorization_details }: Decision,
    facts: &mut Facts,
) -> Result<TokenResponse> {
    let Issuance { client, subject, grant_type, target, jkt, origin, .. } = issuance;
    let identity = identities::register(cx, &client.id, subject, grant_type).await?;
    let scope: Scope = scope.iter().chain(origin.identity.iter()).collect();
    let details = authorization_details.unwrap_or_else(|| origin.authorization_details.clone());
    let resource = target.resource.body.resource.to_string();
    let (aud, scopes) = match cx.route() {
        None => (Audience::Resource(resource), vec![]),
        Some(_) => (Audience::Project([project_id(&cx.tenant.id), resource]), scope.to_vec()),
    };
    let claims = AccessToken {
        iss: cx.issuer_of_tokens(),
        sub: (*subject).to_owned(),
        aud,
        client_id: client.id.clone(),
        scope: scope.to_string(),
        scopes,
        jti: nonce(&*cx.world.entropy),
        tenant: cx.tenant.id.clone(),
        act: origin.act.clone(),
        may_act: origin.may_act.clone(),
        acr: origin.acr.clone(),
        auth_time: origin.auth_time,
        authorization_details: details.iter().map(|one| one.object().clone()).collect(),
        cnf: jkt.map(confirmation),
        status: Some(status(cx, identity.place)),
        txn: origin.txn.clone().or_else(|| approvals.first().cloned()),
        lineage: origin.lineage.iter().cloned().chain(approvals.iter().map(|id| digest(id))).collect(),
        approval: approvals.into_iter().next(),
    };
    facts.scope_given = Some(claims.scope.clone());
    facts.authorization_details = AuthorizationDetail::print(&details);
    facts.jti_hash = Some(sha256(&claims.jti).to_text());
    let access_token = mint(cx, issuance, ("at+jwt", &claims), lifetime, facts).await?;
    Ok(TokenResponse {
        access_token,
        issued_token_type: origin.issued_token_type,
        token_type: if jkt.is_some() { "DPoP" } else { "Bearer" },
        expires_in: Some(lifetime),
        scope: claims.scope,
        authorization_details: details,
        refresh_token: None,
        id_token: None,
        members: Map::new(),
    })
}

/// Signs a token and records its event at the same time.
pub async fn mint(
    cx: &Cx<'_>,
    Issuance { client, target, .. }: &Issuance<'_>,
    (typ, claims): (&str, &impl Serialize),
    lifetime: u32,
    facts: &mut Facts,
) -> Result<String> {
    let alg = if cx.route().is_some() { Alg::Rs256 } else { target.resource.body.token_signing_alg };
    let keys = keys::all(cx).await?;
    let key = keys.current(alg).ok_or(Fault::Unavailable("a signing key"))?;
    let private = key.as_private().ok_or(Fault::Broken("this Worker has no signing key"))?;
    let iat = cx.now.seconds();
    let exp = iat.saturating_add(lifetime.into());
    facts.expires_at = Some(exp);
    let event = audit::event(cx, EventType::TokenIssued, Some(&client.id), facts.clone());
    let token = Unsigned::new(alg, typ, key.public.kid(), claims, (iat, exp));
    let token = token.ok_or(Fault::Broken("a token has no JSON"))?;
    if token.length() > MAX_TOKEN {
        return Err(Reason::TokenTooLarge.into());
    }
    let (signature, recorded) = join(cx.world.keys.sign(private, token.input()), audit::record(cx, &event)).await;
    recorded?;
    Ok(token.signed(&signature?))
}

/// `cnf` (RFC 7800 §3.1, RFC 9449 §6.1).
pub fn confirmation(jkt: &str) -> Confirmation {
    Confirmation { jkt: jkt.to_owned() }
}

fn status(cx: &Cx<'_>, idx: i64) -> StatusClaim {
    StatusClaim { status_list: StatusReference { idx, uri: format!("{}/status-list", cx.issuer()) } }
}
