//! The refresh token grant (RFC 6749 §6), with rotation (OAuth 2.1 §4.3.1).
//!
//! 1. A rotation is a compare-and-swap of the generation in D1. Of any number of requests with one token, one rotates; the others get the
//!    same successor.
//! 2. The token before the good one is taken again for [`REPLAY_MILLIS`] after the rotation: for a lost reply, and for parallel requests. It
//!    gives the same successor, and moves nothing.
//! 3. Any other old token is reuse: the family is revoked, every token of it is stopped, and the event has both addresses (RFC 9700 §4.14).
//! 4. Policy is asked before the rotation, so a refusal leaves the token as it is. So does a wrong `resource`, `scope` or
//!    `authorization_details`.
//! 5. A request whose rotation loses to another one keeps its decision where it is about the same: it issues one token, so it counts one use of a
//!    limit, one token of a quota and one approval.
//! 6. Scope is what the user allows now: what was taken back, or has ended, is not given. The family ends when it was said to end.

use super::authorization_code::{allowed, is_of_resource, narrowed, noted};
use super::request::TokenRequest;
use crate::authn::client::Authenticated;
use crate::cedar::Action;
use crate::context::{Change, Cx};
use crate::error::{Fault, Reason, Result};
use crate::model::consent::family_digest;
use crate::model::event::Facts;
use crate::model::{Consent, RefreshFamily};
use crate::oauth::{AuthorizationDetail, Scope};
use crate::revocation::families;
use crate::store;
use crate::tokens::refresh::RefreshToken;
use crate::tokens::{self, Decision, Issuance, Origin, TokenResponse, decide};

pub const GRANT_TYPE: &str = "refresh_token";

/// For how long after a rotation the token before it gives the same successor, in milliseconds.
pub const REPLAY_MILLIS: i64 = 10_000;

/// How often a request looks again when another one came first.
const ATTEMPTS: usize = 3;

pub async fn run(cx: &Cx<'_>, request: &TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let caller = request.caller()?;
    let text = request.form.get("refresh_token").ok_or(Reason::MissingRefreshToken)?;
    let refuse = |why: &str| Reason::InvalidRefreshToken.because(why);
    let token = RefreshToken::read(cx, text).ok_or_else(|| refuse("it is none of ours"))?;
    request.redeem_proof_of_public(cx).await?;
    let mut before = None;
    for _ in 0..ATTEMPTS {
        let (family, consent) = find(cx, &token).await?.ok_or_else(|| refuse("its family is gone"))?;
        facts.subject = Some(family.user.clone());
        fits(cx, request, caller, &family)?;
        let consent = consent.ok_or_else(|| refuse("the user has taken it back"))?;
        let rotates = rotates(cx, &token, &family).await?;
        match refresh(cx, request, (&family, &consent, rotates), before.take(), facts).await? {
            Outcome::Issued(response) => return Ok(*response),
            Outcome::Lost(decided) => before = Some(decided),
        }
    }
    Err(Fault::Unavailable("the refresh token, with which other requests came first,").into())
}

async fn find(cx: &Cx<'_>, token: &RefreshToken) -> Result<Option<(RefreshFamily, Option<Consent>)>> {
    let (tenant, id) = (&cx.tenant.id, &token.family);
    let (family, consent) = cx.batch((store::refresh::get(tenant, id), store::consents::of_family(tenant, id))).await?;
    Ok(family.into_iter().next().map(|family| (family, consent.into_iter().next())))
}

/// Whether the request may use a token of the family at all.
fn fits(cx: &Cx<'_>, request: &TokenRequest<'_>, caller: &Authenticated, family: &RefreshFamily) -> Result<()> {
    let refuse = |why: &str| Err(Reason::InvalidRefreshToken.because(why));
    if caller.client.id != family.client {
        return refuse("it was issued to another client");
    }
    if family.is_revoked {
        return refuse("its family was revoked");
    }
    if family.expires_at <= cx.now.seconds() {
        return refuse("its family has ended");
    }
    if family.body.jkt.as_deref().is_some_and(|jkt| request.jkt() != Some(jkt)) {
        return refuse("it is bound to a key that was not proved");
    }
    is_of_resource(request, &family.body.resource)
}

/// Whether the token moves the family on; if not, it is the one before, and came again in time. Any other old one stops the family.
async fn rotates(cx: &Cx<'_>, token: &RefreshToken, family: &RefreshFamily) -> Result<bool> {
    let age = i64::try_from(cx.now.millis()).unwrap_or(i64::MAX).saturating_sub(family.rotated_at);
    match family.generation.saturating_sub(token.generation) {
        0 => Ok(true),
        1 if age <= REPLAY_MILLIS => Ok(false),
        _ => {
            families::stop_reused(cx, family).await?;
            Err(Reason::InvalidRefreshToken.because("it was used before"))
        }
    }
}

/// What came of one attempt.
enum Outcome {
    Issued(Box<TokenResponse>),
    /// Another request has moved the family on meanwhile.
    Lost(Decided),
}

/// A decision, with what it is about as far as another request can change it.
struct Decided {
    about: (Scope, Scope, Vec<AuthorizationDetail>),
    decision: Decision,
}

/// One attempt. `before` is what an earlier one has decided.
async fn refresh(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    (family, consent, rotates): (&RefreshFamily, &Consent, bool),
    before: Option<Decided>,
    facts: &mut Facts,
) -> Result<Outcome> {
    let Authenticated { client, method, workload_claims } = request.caller()?;
    let now = cx.now.seconds();
    let held = consent.scope(now);
    let still = |scope: &Scope| scope.narrowed(|scope| held.contains(scope));
    let (scope, identity) = (wanted(request, &still(&family.body.scope))?, still(&family.body.identity));
    let target = allowed(cx, request, &family.body.resource, &scope, facts).await?;
    let origin = Origin {
        lineage: vec![consent.digest(), family_digest(&family.id)],
        issued_at: Some(family.body.issued_at),
        acr: family.body.acr.clone(),
        auth_time: Some(family.body.auth_time),
        identity,
        authorization_details: narrowed(request, &family.body.authorization_details, &target.resource)?,
        ..Origin::default()
    };
    let issuance = Issuance {
        client,
        method: Some(*method),
        subject: &family.user,
        grant_type: GRANT_TYPE,
        action: Action::Issue,
        target,
        jkt: request.jkt(),
        origin,
        workload_claims,
    };
    let Issuance { target, origin, .. } = &issuance;
    let about = (target.scope.clone(), origin.identity.clone(), origin.authorization_details.clone());
    let decision = match before.filter(|before| before.about == about) {
        Some(before) => before.decision,
        None => decide(cx, &issuance, facts).await?,
    };
    tokens::prepare(cx, &issuance).await?;
    let mut generation = family.generation;
    if rotates {
        let at = i64::try_from(cx.now.millis()).unwrap_or_default();
        let by = cx.peer.ip.map(|ip| ip.to_string());
        let guard = store::refresh::rotate(&cx.tenant.id, family, consent.version, at, by);
        if !cx.commit(noted(cx, Change::guard(guard), consent, [&decision.scope, &issuance.origin.identity])?).await? {
            return Ok(Outcome::Lost(Decided { about, decision }));
        }
        generation = generation.saturating_add(1);
    }
    let token = RefreshToken { family: family.id.clone(), generation };
    let mut response = tokens::finish(cx, &issuance, decision, facts).await?;
    response.refresh_token = Some(token.text(cx)?);
    response.id_token = tokens::id_token(cx, &issuance, None).await?;
    Ok(Outcome::Issued(Box::new(response)))
}

/// The scope of the response: what the request names of what is allowed now, or all of it.
fn wanted(request: &TokenRequest<'_>, allowed: &Scope) -> Result<Scope> {
    let Some(text) = request.form.get("scope") else {
        return if allowed.is_empty() {
            Err(Reason::InvalidRefreshToken.because("all that was allowed has ended"))
        } else {
            Ok(allowed.clone())
        };
    };
    let named = Scope::parse(text).ok_or(Reason::MalformedScope)?;
    let scope = allowed.narrowed(|scope| named.contains(scope));
    if scope.is_empty() { Err(Reason::ScopeBeyondConsent.into()) } else { Ok(scope) }
}
