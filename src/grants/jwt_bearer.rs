//! The JWT bearer grant (RFC 7523 §2.1): an assertion of a registered outside issuer is worth a token.
//!
//! In scope: assertions about workloads that are clients, with which no other authentication is needed, and about users.
//! Identity Assertion Authorization Grants come in by the same door and are checked in `id_jag`. Out of scope: assertions of
//! our own, which nobody takes here.
//!
//! 1. The issuer is registered, and what it is registered for decides what its assertion can be; `aud` is our issuer or our
//!    token endpoint (RFC 7523 §3).
//! 2. Clients are found by the rules of their workload identities, users by (issuer, subject), and by nothing else.
//! 3. An assertion about a user counts once. One about a workload counts until it expires: platforms hand the same one out
//!    again and again.
//! 4. `client_id` and `azp` name the client that has authenticated, where they are there at all; a key in `cnf` was proved
//!    with the request.
//! 5. Every fault of an assertion is `invalid_grant` in one wording; the event has the detail. There is no refresh token.

use super::id_jag;
use super::outside::{self, AsWorkload, Outside, Taken, about_user, invalid_assertion};
use super::request::{TokenRequest, instead_of_stopped};
use crate::authn::client;
use crate::context::Cx;
use crate::directory::told;
use crate::error::{Reason, Result};
use crate::jose::{ID_JAG, Unverified};
use crate::model::Issuer;
use crate::model::event::Facts;
use crate::model::issuer::Use;
use crate::tokens::{Requested, TokenResponse, quota, target};

pub use super::outside::JWT_BEARER as GRANT_TYPE;

pub async fn run(cx: &Cx<'_>, request: &TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    redeem(cx, request, facts).await.map_err(|error| instead_of_stopped(error, Reason::InvalidAssertion))
}

async fn redeem(cx: &Cx<'_>, request: &TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let text = request.form.get("assertion").ok_or(Reason::MissingAssertion)?;
    let issuer = outside::issuer(cx, text).await?.ok_or_else(|| invalid_assertion("its issuer is not registered"))?;
    let is_for = |wanted: Use| issuer.body.uses.contains(&wanted);
    let is_id_jag = Unverified::parse(text).is_ok_and(|token| token.typ() == ID_JAG);
    if is_id_jag && is_for(Use::IdJag) {
        return id_jag::redeem(cx, request, text, &issuer, facts).await;
    }
    if !is_id_jag && is_for(Use::Workload) {
        let outside = verify(cx, request, text, &issuer, false).await?;
        if let Some(client) = client::client_by_workload(cx, &outside.assertion).await? {
            if request.caller.is_some_and(|caller| caller.client.id != client.id) {
                return Err(invalid_assertion("it is about another client than the one that authenticated"));
            }
            let workload_claims = told::claims(&issuer.body, &outside.assertion.claims).map_err(invalid_assertion)?;
            let way =
                AsWorkload { grant_type: GRANT_TYPE, names: &["resource"], issued_token_type: None, workload_claims };
            return outside::workload(cx, request, &client, outside.origin, way, facts).await;
        }
    }
    if !is_id_jag && is_for(Use::JwtBearer) {
        return user(cx, request, text, &issuer, facts).await;
    }
    Err(invalid_assertion("its issuer is not registered for this, or no client is this workload"))
}

async fn verify(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    text: &str,
    issuer: &Issuer,
    single_use: bool,
) -> Result<Outside> {
    let (types, audience, reason) = (outside::PLAIN, outside::audience(cx), Reason::InvalidAssertion);
    let taken = Taken { issuer, types, audience: &audience, single_use, needs_iat: false, reason };
    outside::verify(cx, request, text, &taken).await
}

/// A token for the client that has authenticated, about a user.
async fn user(
    cx: &Cx<'_>,
    request: &TokenRequest<'_>,
    text: &str,
    issuer: &Issuer,
    facts: &mut Facts,
) -> Result<TokenResponse> {
    let caller = request.caller()?;
    let requested = Requested::read(request.form, &caller.client, &["resource"])?;
    // Before the assertion is redeemed: a client that asks for a wrong target, or too soon, may ask again with it.
    let target = target(cx, &caller.client, &requested, facts).await?;
    if request.is_proved() {
        quota::expect(cx, &target).await?;
    }
    let outside = verify(cx, request, text, issuer, true).await?;
    let named = |name: &str| outside.assertion.claims.get(name).is_none_or(|id| *id == *caller.client.id);
    if !named("client_id") || !named("azp") {
        return Err(invalid_assertion("it is for another client"));
    }
    about_user(cx, request, issuer, outside, requested, facts).await
}
