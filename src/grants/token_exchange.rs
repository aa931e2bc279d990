//! Token exchange (RFC 8693): from a token for one client to a token for the next, with the whole chain in it.
//!
//! In scope: our own access tokens and the tokens of registered outside issuers as subject tokens; our own access tokens as
//! actor tokens; leases, where a connection is the `resource` (`lease`). Out of scope: tokens about anything but identities, refresh tokens,
//! which are neither taken nor issued (§2.2.1).
//!
//! 1. Subject and actor token are verified in full; every fault of them is one answer (§2.2.2). An access token
//!    counts if it was issued to the caller, or for a resource that the caller serves.
//! 2. `act` is built here, from verified tokens, the newest actor outermost (§4.1). A client that got the subject token for
//!    somebody else has acted as well, and is put into the chain though no `act` named it.
//! 3. The lineage has the ancestors of both tokens, so that stopping any of them stops what is issued.
//! 4. The actor is the caller itself. Without an actor token no actor is added; that is impersonation and takes a permission
//!    of its own. A caller that `may_act` does not name gets nothing either way (§4.4), and `may_act` stays in what is issued.
//! 5. Scope and lifetime only shrink; the chain has the length that the tenant allows.
//! 6. A token that is bound to a key takes the proof of that key, and what comes out is bound to it (RFC 9449 §6).

use super::id_jag;
use super::lease;
use super::outside::{self, AsWorkload, Outside, Subject, Taken};
use super::request::{TokenRequest, instead_of_stopped};
use crate::authn::client::{self, Authenticated};
use crate::cedar::Action;
use crate::context::Cx;
use crate::crypto::sha256;
use crate::directory::told;
use crate::error::{Reason, Result};
use crate::federation;
use crate::jose::{AccessToken, Actor};
use crate::model::event::Facts;
use crate::model::issuer::Use;
use crate::oauth::{ACCESS_TOKEN, JWT, Parameters, Scope};
use crate::tokens::{self, Accepted, Issuance, Origin, Requested, TokenResponse, issue, target};

pub use crate::oauth::TOKEN_EXCHANGE as GRANT_TYPE;

/// How many tokens a token may be made from: a bound on exchanges that add no actor.
const MAX_LINEAGE: usize = 20;

/// The token type of ID tokens (RFC 8693 §3).
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

pub async fn run(cx: &Cx<'_>, request: &TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    if let Some(connection) = lease::connection(cx, request.form)? {
        return lease::run(cx, request, connection, facts).await;
    }
    exchange(cx, request, facts).await.map_err(|error| instead_of_stopped(error, Reason::InvalidExchangedToken))
}

async fn exchange(cx: &Cx<'_>, request: &TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let form = request.form;
    let issued_token_type = match form.get("requested_token_type") {
        None | Some(ACCESS_TOKEN) => ACCESS_TOKEN,
        Some(JWT) => JWT,
        Some(id_jag::TOKEN_TYPE) => id_jag::TOKEN_TYPE,
        Some(_) => return Err(Reason::UnsupportedRequestedTokenType.into()),
    };
    let Some(caller) = request.caller else { return by_workload(cx, request, issued_token_type, facts).await };
    let mut subject = subject(cx, request, caller).await?;
    facts.subject = Some(subject.id.clone());
    let actor = actor(cx, form, caller).await?;
    let proved = |jkt: Option<&str>| jkt.is_none_or(|jkt| request.jkt() == Some(jkt));
    let actor_key = actor.as_ref().and_then(|actor| actor.claims.cnf.as_ref()).map(|cnf| cnf.jkt.as_str());
    if !proved(subject.jkt.as_deref()) || !proved(actor_key) {
        return Err(Reason::InvalidExchangedToken.because("it is bound to a key that was not proved"));
    }
    let action = match &actor {
        Some(actor) => {
            delegate(&mut subject.origin, actor);
            Action::Exchange
        }
        None => Action::Impersonate,
    };
    facts.chain = subject.origin.act.iter().flat_map(Actor::chain).map(str::to_owned).collect();
    if facts.chain.len() > cx.tenant.settings.max_actors.into() || subject.origin.lineage.len() > MAX_LINEAGE {
        return Err(Reason::TooManyActors.into());
    }
    subject.origin.issued_token_type = Some(issued_token_type);
    if issued_token_type == id_jag::TOKEN_TYPE {
        return id_jag::grant(cx, request, subject, GRANT_TYPE, facts).await;
    }

    let Subject { id, scope, ceiling, origin, .. } = subject;
    let ceilings = scope.iter().chain(&ceiling).collect();
    let requested = Requested { ceilings, ..Requested::read(form, &caller.client, &["resource", "audience"])? };
    let target = target(cx, &caller.client, &requested, facts).await?;
    let method = Some(caller.method);
    let (client, subject, jkt, workload_claims) =
        (&*caller.client, id.as_str(), request.jkt(), caller.workload_claims.as_slice());
    let grant_type = GRANT_TYPE;
    issue(cx, Issuance { client, method, subject, grant_type, action, target, jkt, origin, workload_claims }, facts)
        .await
}

/// A token for the one client that the subject token shows, for a workload that authenticates with nothing else.
async fn by_workload(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    issued_token_type: &'static str,
    facts: &mut Facts,
) -> Result<TokenResponse> {
    let (form, reason) = (request.form, Reason::InvalidExchangedToken);
    let text = form.get("subject_token").ok_or(Reason::MissingSubjectToken)?;
    let is_jwt = matches!(form.get("subject_token_type"), Some(JWT | ID_TOKEN));
    if !is_jwt || form.get("actor_token").is_some() || issued_token_type == id_jag::TOKEN_TYPE {
        return Err(Reason::NoClientAuthentication.into());
    }
    let issuer = outside::issuer(cx, text).await?.filter(|issuer| issuer.body.uses.contains(&Use::Workload));
    let issuer = issuer.ok_or_else(|| reason.because("its issuer is not registered for workloads"))?;
    let (types, audience) = (outside::PLAIN, outside::audience(cx));
    let taken = Taken { issuer: &issuer, types, audience: &audience, single_use: false, needs_iat: false, reason };
    let Outside { assertion, origin, .. } = outside::verify(cx, request, text, &taken).await?;
    let client = client::client_by_workload(cx, &assertion).await?;
    let client = client.ok_or_else(|| reason.because("it is about no workload of a client, or of several"))?;
    let workload_claims = told::claims(&issuer.body, &assertion.claims).map_err(|why| reason.because(why))?;
    let way = AsWorkload {
        workload_claims,
        grant_type: GRANT_TYPE,
        names: &["resource", "audience"],
        issued_token_type: Some(issued_token_type),
    };
    outside::workload(cx, request, &client, origin, way, facts).await
}

/// The subject token, if it holds for the caller.
async fn subject(cx: &Cx<'_>, request: &TokenRequest<'_>, caller: &Authenticated) -> Result<Subject> {
    let form = request.form;
    let text = form.get("subject_token").ok_or(Reason::MissingSubjectToken)?;
    let outside = federation::claimed_issuer(text).is_some_and(|issuer| !tokens::is_own_issuer(cx, &issuer));
    match form.get("subject_token_type") {
        Some(ID_TOKEN) => outside::subject(cx, request, text, caller).await,
        Some(JWT) if outside => outside::subject(cx, request, text, caller).await,
        Some(ACCESS_TOKEN | JWT) => own(cx, text, caller).await,
        _ => Err(Reason::UnsupportedTokenType.into()),
    }
}

/// An own access token as the subject token.
async fn own(cx: &Cx<'_>, text: &str, caller: &Authenticated) -> Result<Subject> {
    let caller = &*caller.client;
    let Accepted { claims, iat, exp, .. } =
        tokens::verify(cx, text, |_| true).await.map_err(|why| why.refuse(Reason::InvalidExchangedToken))?;
    if claims.client_id != caller.id && !tokens::serves(cx, caller, claims.aud.resource()) {
        return Err(
            Reason::InvalidExchangedToken.because("it is neither the caller's nor for a resource of the caller")
        );
    }
    let act = acted(&claims, &caller.id);
    let mut lineage = claims.lineage;
    lineage.insert(0, sha256(&claims.jti).to_text());
    Ok(Subject {
        id: claims.sub,
        scope: Some(Scope::parse(&claims.scope).unwrap_or_default()),
        ceiling: None,
        jkt: claims.cnf.map(|cnf| cnf.jkt),
        rests_on_approval: claims.approval.is_some(),
        origin: Origin {
            act,
            lineage,
            issued_at: Some(iat),
            expires_at: Some(exp),
            may_act: claims.may_act,
            acr: claims.acr,
            auth_time: claims.auth_time,
            // Nobody has allowed them to another client (docs/decisions.md 114).
            authorization_details: vec![],
            issued_token_type: None,
            identity: Scope::default(),
            approval: None,
            txn: None,
        },
    })
}

/// The actors so far. The client of the token is one too, unless it is the subject, the newest actor, or the caller, which is added
/// anyway.
fn acted(claims: &AccessToken, caller: &str) -> Option<Actor> {
    let client = claims.client_id.as_str();
    let newest = claims.act.as_ref().map(|act| act.sub.as_str());
    match client == claims.sub || client == caller || newest == Some(client) {
        true => claims.act.clone(),
        false => Some(Actor { sub: client.to_owned(), act: claims.act.clone().map(Box::new) }),
    }
}

/// The actor token, if there is one: an access token that the caller got for itself.
async fn actor(cx: &Cx<'_>, form: Parameters<'_>, caller: &Authenticated) -> Result<Option<Accepted>> {
    let text = match (form.get("actor_token"), form.get("actor_token_type")) {
        (None, None) => return Ok(None),
        (Some(text), Some(ACCESS_TOKEN | JWT)) => text,
        (Some(_), Some(_)) => return Err(Reason::UnsupportedTokenType.into()),
        _ => return Err(Reason::UnpairedActorToken.into()),
    };
    let actor = tokens::verify(cx, text, |_| true).await.map_err(|why| why.refuse(Reason::InvalidExchangedToken))?;
    let (claims, caller) = (&actor.claims, &caller.client.id);
    match claims.sub == *caller && claims.client_id == *caller && claims.act.is_none() {
        true => Ok(Some(actor)),
        false => Err(Reason::InvalidExchangedToken.because("the actor token is not the caller's own")),
    }
}

/// Adds the actor to what the token takes over from the subject token.
fn delegate(origin: &mut Origin, actor: &Accepted) {
    let act = origin.act.take().map(Box::new);
    origin.act = Some(Actor { sub: actor.claims.sub.clone(), act });
    for digest in std::iter::once(sha256(&actor.claims.jti).to_text()).chain(actor.claims.lineage.iter().cloned()) {
        if !origin.lineage.contains(&digest) {
            origin.lineage.push(digest);
        }
    }
    origin.issued_at = origin.issued_at.map(|iat| iat.min(actor.iat));
    origin.expires_at = origin.expires_at.map(|exp| exp.min(actor.exp));
}
