//! Tokens of outside issuers as grants take them: subject tokens and assertions.
//!
//! 1. A token with a claim that we cannot honour is refused (docs/requirements.md R30): another
//!    confirmation than `cnf.jkt`, `authorization_details`, `may_act` of another shape, and `act`, for
//!    `revocation::check` could ask nothing about actors of another issuer.
//! 2. A token without `iat` counts as issued before every kill: once its user, client, agentic identity or tenant has been killed, it
//!    never counts again.
//! 3. A user is known by (issuer, subject) alone.
//! 4. No token made from one outlives it, whichever grant takes it; a token that was stopped does not count.

use super::request::{TokenRequest, allows};
use crate::authn::client::Authenticated;
use crate::cedar::Action;
use crate::context::Cx;
use crate::directory::{issuers, users};
use crate::error::{Error, Reason, Rejection, Result};
use crate::federation::{self, Assertion, KeySource, Wanted};
use crate::jose::{Confirmation, MayAct, numeric_date};
use crate::model::event::Facts;
use crate::model::issuer::Use;
use crate::model::{Client, Issuer};
use crate::oauth::Scope;
use crate::revocation::check;
use crate::tokens::{Issuance, Origin, Requested, TokenResponse, issue, target};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::rc::Rc;

/// The JWT bearer grant (RFC 7523 §2.1).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The types of tokens that say no more than that they are JWTs: of ID tokens, and of what platforms give to workloads.
pub const PLAIN: &[&str] = &["", "jwt", "jose"];

/// The moment at which a token without `iat` counts as issued. 0 is no moment: it stands for "never stopped".
const BEFORE_EVERY_STOP: i64 = 1;

/// A verified subject token.
pub struct Subject {
    /// The id of its subject.
    pub id: String,
    /// Its scope; absent: it has none.
    pub scope: Option<Scope>,
    /// The registered ceiling of its issuer.
    pub ceiling: Option<Scope>,
    /// The thumbprint of the key that it is bound to.
    pub jkt: Option<String>,
    /// Whether it was issued for an approval.
    pub rests_on_approval: bool,
    /// What a token takes over from it.
    pub origin: Origin,
}

/// A verified token of an outside issuer.
pub struct Outside {
    /// The token.
    pub assertion: Assertion,
    /// What a token takes over from it.
    pub origin: Origin,
    /// Its scope; absent: it has none.
    pub scope: Option<Scope>,
    /// The thumbprint of the key that it is bound to, which the request has proved.
    pub jkt: Option<String>,
}

/// What a token of an outside issuer has to be.
pub struct Taken<'a> {
    /// Its issuer.
    pub issuer: &'a Issuer,
    /// The types that it may have.
    pub types: &'a [&'a str],
    /// The audiences, one of which it has to name.
    pub audience: &'a [String],
    /// Whether its `jti` is redeemed.
    pub single_use: bool,
    /// Whether it has to have `iat`.
    pub needs_iat: bool,
    /// The reason of a refusal.
    pub reason: Reason,
}

/// Verifies a token of an outside issuer: the one place, whichever grant takes it. Once it is verified, the proof of the request is
/// redeemed.
pub async fn verify(cx: &Cx<'_>, request: &TokenRequest<'_>, text: &str, taken: &Taken<'_>) -> Result<Outside> {
    let Taken { issuer, types, audience, single_use, needs_iat, reason } = *taken;
    let wanted = Wanted { keys: KeySource::Issuer(issuer), types, audience, single_use, needs_iat, needs_sub: true };
    let verified = async {
        let assertion = federation::verify(cx, text, &wanted).await?;
        let outside = read_all(assertion).map_err(Rejection::Because)?;
        if check::is_stopped(cx, outside.assertion.digest().as_deref()).await? {
            return Err(Rejection::Because("it was stopped"));
        }
        if outside.jkt.as_deref().is_some_and(|jkt| request.jkt() != Some(jkt)) {
            return Err(Rejection::Because("it is bound to a key that was not proved"));
        }
        Ok(outside)
    };
    let outside = verified.await.map_err(|rejection| rejection.refuse(reason))?;
    if !request.is_proved() {
        request.redeem_proof(cx).await?;
    }
    Ok(outside)
}

/// Reads what grants need. The error says what cannot be honoured, for the log and the event only.
fn read_all(assertion: Assertion) -> std::result::Result<Outside, &'static str> {
    if assertion.claims.contains_key("act") {
        return Err("it names actors of another issuer");
    }
    if assertion.claims.contains_key("authorization_details") {
        return Err("it has `authorization_details`");
    }
    let cnf: Option<Confirmation> = read(&assertion, "cnf").ok_or("it has a `cnf` that is not supported")?;
    let scope: Option<Scope> = read(&assertion, "scope").ok_or("its `scope` is malformed")?;
    let origin = Origin {
        lineage: assertion.digest().into_iter().collect(),
        issued_at: Some(assertion.iat.unwrap_or(BEFORE_EVERY_STOP)),
        expires_at: Some(assertion.exp),
        may_act: read(&assertion, "may_act").filter(names_fit).ok_or("its `may_act` is malformed or too long")?,
        acr: read(&assertion, "acr").filter(acr_fits).ok_or("its `acr` is malformed or too long")?,
        auth_time: auth_time(&assertion)?,
        ..Origin::default()
    };
    Ok(Outside { assertion, origin, scope, jkt: cnf.map(|cnf| cnf.jkt) })
}

/// The longest texts that are taken over into our own tokens, in bytes: they keep those below [`crate::jose::MAX_TOKEN`].
const MAX_TEXT: usize = 256;

fn fits(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.contains(char::is_control)
}

fn names_fit(may_act: &Option<MayAct>) -> bool {
    may_act.iter().all(|may_act| fits(&may_act.sub) && may_act.iss.as_deref().is_none_or(fits))
}

fn acr_fits(acr: &Option<String>) -> bool {
    acr.as_deref().is_none_or(fits)
}

/// When the user authenticated (OpenID Connect Core §2): a NumericDate.
fn auth_time(assertion: &Assertion) -> Result<Option<i64>, &'static str> {
    let value = assertion.claims.get("auth_time");
    value.map(|value| numeric_date(value).ok_or("its `auth_time` is malformed")).transpose()
}

/// A claim: nothing if it has another shape, none if it is absent.
fn read<T: DeserializeOwned>(assertion: &Assertion, name: &str) -> Option<Option<T>> {
    let value: Option<&Value> = assertion.claims.get(name);
    value.map_or(Some(None), |value| serde_json::from_value(value.clone()).ok().map(Some))
}

/// The names under which an assertion may address us: the issuer, or the token endpoint (RFC 7523 §3).
pub fn audience(cx: &Cx<'_>) -> Vec<String> {
    let issuer = cx.issuer();
    vec![format!("{issuer}/token"), issuer]
}

/// The registered issuer that a token names, unverified: its keys verify the token. Our own issuer is none, even if it is registered.
pub async fn issuer(cx: &Cx<'_>, text: &str) -> Result<Option<Rc<Issuer>>> {
    match federation::claimed_issuer(text).or_else(|| federation::claimed_trust_domain(text)) {
        Some(iss) if iss != cx.issuer() => issuers::load(cx, &iss).await,
        _ => Ok(None),
    }
}

/// A subject token of a registered outside issuer, about a user of the tenant. Its audience may also be the caller, as that of an ID token
/// is.
pub async fn subject(cx: &Cx<'_>, request: &TokenRequest<'_>, text: &str, caller: &Authenticated) -> Result<Subject> {
    let reason = Reason::InvalidExchangedToken;
    let issuer = issuer(cx, text).await?.filter(|issuer| issuer.body.uses.contains(&Use::TokenExchange));
    let issuer = issuer.ok_or_else(|| reason.because("its issuer is not registered for this"))?;
    let mut audience = audience(cx);
    audience.push(caller.client.id.clone());
    let taken =
        Taken { issuer: &issuer, types: PLAIN, audience: &audience, single_use: false, needs_iat: true, reason };
    let Outside { assertion, origin, scope, jkt } = verify(cx, request, text, &taken).await?;
    let named = (assertion.sub.as_str(), &assertion.claims);
    let user = users::named(cx, &issuer, named, Some(&caller.client.id)).await?;
    let user = user.ok_or_else(|| reason.because("it is about nobody who is known here"))?;
    let told = (&assertion.claims, false);
    let user = users::told(cx, &issuer.body, user, told, Some(&caller.client.id)).await;
    let user = user.map_err(|rejection| rejection.refuse(reason))?;
    let ceiling = issuer.body.scope.clone();
    Ok(Subject { id: user.id.clone(), scope, ceiling, jkt, rests_on_approval: false, origin })
}

/// The refusal of an assertion; why is for the log and the event only.
pub fn invalid_assertion(why: &str) -> Error {
    Reason::InvalidAssertion.because(why)
}

/// A token for what `requested` says, about the user whom a verified assertion names.
pub async fn about_user(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    issuer: &Issuer,
    outside: Outside,
    requested: Requested<'_>,
    facts: &mut Facts,
) -> Result<TokenResponse> {
    let Authenticated { client, method, workload_claims } = request.caller()?;
    let Outside { assertion, origin, scope, .. } = outside;
    let named = (assertion.sub.as_str(), &assertion.claims);
    let user = users::named(cx, issuer, named, Some(&client.id)).await?;
    let user = user.ok_or_else(|| invalid_assertion("it is about nobody who is known here"))?;
    let user = users::told(cx, &issuer.body, user, (&assertion.claims, false), Some(&client.id)).await;
    let user = user.map_err(|rejection| rejection.refuse(Reason::InvalidAssertion))?;
    facts.subject = Some(user.id.clone());
    let ceilings: Vec<&Scope> = scope.iter().chain(&issuer.body.scope).collect();
    let target = target(cx, client, &Requested { ceilings, ..requested }, facts).await?;
    let issuance = Issuance {
        client,
        method: Some(*method),
        subject: &user.id,
        grant_type: JWT_BEARER,
        action: Action::Issue,
        target,
        jkt: request.jkt(),
        origin,
        workload_claims,
    };
    issue(cx, issuance, facts).await
}

/// What differs between the grants that give a token to a workload.
pub struct AsWorkload<'a> {
    /// The `grant_type`.
    pub grant_type: &'static str,
    /// The parameters that may name the resource.
    pub names: &'a [&'a str],
    /// `issued_token_type` of the response (RFC 8693 §2.2.1).
    pub issued_token_type: Option<&'static str>,
    /// What its issuer says of the workload, as policies see it.
    pub workload_claims: Vec<String>,
}

/// A token for a workload that is a client.
pub async fn workload(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    client: &Client,
    origin: Origin,
    way: AsWorkload<'_>,
    facts: &mut Facts,
) -> Result<TokenResponse> {
    let AsWorkload { grant_type, names, issued_token_type, workload_claims } = way;
    facts.subject = Some(client.id.clone());
    if request.caller.is_none() {
        request.shown.get_or_init(|| client.id.clone());
    }
    if !allows(client, grant_type) {
        return Err(Reason::GrantNotAllowed.into());
    }
    let target = target(cx, client, &Requested::read(request.form, client, names)?, facts).await?;
    let issuance = Issuance {
        client,
        method: request.caller.map(|caller| caller.method),
        subject: &client.id,
        grant_type,
        action: Action::Issue,
        target,
        jkt: request.jkt(),
        // A workload is no user who has signed in, whatever its issuer says.
        origin: Origin { issued_token_type, acr: None, auth_time: None, ..origin },
        workload_claims: &workload_claims,
    };
    issue(cx, issuance, facts).await
}
