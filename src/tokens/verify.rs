//! The one verifier of our own access tokens (RFC 9068 §4).
//!
//! 1. Signature by a key of this tenant that is still honoured, `typ` `at+jwt`, our issuer, our tenant, the wanted
//!    audience, live times. The issuer of a compatible route goes with the audience of one, and never with an API of the tenant itself
//!    (docs/decisions.md 135).
//! 2. No party of it is stopped: see [`crate::revocation::check`].
//! 3. A signature is checked once an isolate: what was verified is known by the digest of the whole token. Everything else is asked each time.
//! 4. The refusal is the same for every fault of a token. The log and the event have the fault.

use crate::context::Cx;
use crate::context::cache::key;
use crate::crypto::sha256;
use crate::error::{Checked, Rejection, Result};
use crate::jose::{AccessToken, Audience, LEEWAY_SECONDS, Problem, Signed, Unverified, Verified};
use crate::keys;
use crate::model::project::{Route, project_id};
use crate::model::{Client, User};
use crate::ports::Now;
use crate::revocation::check::{self, Parties, Standing};
use std::rc::Rc;

/// A verified access token whose parties are not stopped.
pub struct Accepted {
    /// Its claims.
    pub claims: AccessToken,
    /// The client that it was issued to.
    pub client: Rc<Client>,
    /// Its subject, if that is a user.
    pub user: Option<Rc<User>>,
    /// When it was issued, in seconds.
    pub iat: i64,
    /// When it expires, in seconds.
    pub exp: i64,
}

/// The claims and the `exp` of a live token of ours, although a party of it may be stopped: for its revocation.
pub async fn read_to_revoke(cx: &Cx<'_>, text: &str) -> Result<Option<(AccessToken, i64)>> {
    match read(cx, text, cx.now).await {
        Ok(Verified { claims, exp, .. }) => Ok(Some((claims, exp))),
        Err(Rejection::Error(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Verifies an access token for an audience that `wanted` accepts.
pub async fn verify(cx: &Cx<'_>, text: &str, wanted: impl Fn(&str) -> bool) -> Checked<Accepted> {
    verify_begun(cx, text, cx.now, wanted).await
}

/// The same for what was begun with the token at an earlier moment and goes on: its times have to hold then, everything else now.
pub async fn verify_begun(cx: &Cx<'_>, text: &str, began: Now, wanted: impl Fn(&str) -> bool) -> Checked<Accepted> {
    let Verified { claims, iat, exp, .. } = read(cx, text, began).await?;
    let iat = iat.ok_or(Problem::BadClaims)?;
    if !wanted(claims.aud.resource()) {
        return Err(Rejection::Because("another audience"));
    }
    let Standing { client, user } = standing(cx, &claims, iat).await?;
    Ok(Accepted { claims, client, user, iat, exp })
}

/// A token that was used, as it is reported afterwards: it may have expired since, and a party of it may be stopped by now.
pub struct Used {
    /// Its claims.
    pub claims: AccessToken,
    /// When it was issued, in seconds.
    pub iat: i64,
    /// When it expires, in seconds.
    pub exp: i64,
    /// The party of it that is stopped by now.
    pub stopped: Option<&'static str>,
}

impl Used {
    /// Whether its times hold at a moment.
    pub fn holds_at(&self, at: Now) -> bool {
        let leeway = |seconds: i64| seconds.saturating_add(LEEWAY_SECONDS);
        at.seconds() <= leeway(self.exp) && self.iat <= leeway(at.seconds())
    }
}

/// Verifies a token that was used at an earlier moment for an audience that `wanted` accepts. What is stopped meanwhile is told, and refuses nothing.
pub async fn verify_used(cx: &Cx<'_>, text: &str, at: Now, wanted: impl Fn(&str) -> bool) -> Checked<Used> {
    let Verified { claims, iat, exp, .. } = read(cx, text, at).await?;
    let iat = iat.ok_or(Problem::BadClaims)?;
    if !wanted(claims.aud.resource()) {
        return Err(Rejection::Because("another audience"));
    }
    let stopped = match standing(cx, &claims, iat).await {
        Ok(_) => None,
        Err(Rejection::Because(why)) => Some(why),
        Err(rejection) => return Err(rejection),
    };
    Ok(Used { claims, iat, exp, stopped })
}

/// The parties of a token, if none is stopped.
async fn standing(cx: &Cx<'_>, claims: &AccessToken, iat: i64) -> Checked<Standing> {
    let jti = sha256(&claims.jti).to_text();
    let chain: Vec<&str> = std::iter::once(jti.as_str()).chain(claims.lineage.iter().map(String::as_str)).collect();
    let parties = Parties {
        client: &claims.client_id,
        subject: &claims.sub,
        actors: &claims.actors(),
        chain: &chain,
        issued_at: Some(iat),
    };
    check::check(cx, &parties).await
}

key!(
    /// A token of ours with a sound signature, by its digest.
    SignedKey(digest) -> SignedToken = "token", weighs |token| token.weight
);

/// A token with a sound signature, and the key that it is of.
pub struct SignedToken {
    kid: String,
    signed: Signed<AccessToken>,
    weight: usize,
}

/// The claims of a live token of ours, although a party of it may be stopped.
async fn read(cx: &Cx<'_>, text: &str, at: Now) -> Checked<Verified<AccessToken>> {
    let keys = keys::all(cx).await?;
    let unknown = || Rejection::Because("unknown `kid`");
    let digest = sha256(text).to_text();
    // A signature that was sound is so for ever; whether its key is still honoured, and everything else, is asked each time.
    let load = async || {
        let token = Unverified::parse(text)?;
        let key = token.kid().and_then(|kid| keys.find(kid)).ok_or_else(unknown)?;
        let signed = token.signed(&*cx.world.keys, &key.public, "at+jwt").await?;
        Ok::<_, Rejection>(SignedToken {
            kid: key.public.kid().to_owned(),
            signed,
            weight: text.len().saturating_mul(2),
        })
    };
    let token = cx.immutable(&SignedKey(&digest), load).await?;
    keys.find(&token.kid).ok_or_else(unknown)?;
    let verified = token.signed.clone().at(at)?;
    match is_of_issuer(cx, &verified.claims) && verified.claims.tenant == cx.tenant.id {
        true => Ok(verified),
        false => Err(Rejection::Because("another issuer")),
    }
}

/// Whether the issuer and the form of the audience go together.
fn is_of_issuer(cx: &Cx<'_>, claims: &AccessToken) -> bool {
    let (origin, tenant) = (cx.config.origin(), &*cx.tenant.id);
    match &claims.aud {
        Audience::Resource(_) => claims.iss == cx.issuer(),
        Audience::Project([project, resource]) => {
            let is_own_api = resource.strip_prefix(&cx.issuer()).is_some_and(|rest| rest.starts_with('/'));
            *project == project_id(tenant) && Route::is_issuer(origin, tenant, &claims.iss) && !is_own_api
        }
    }
}

/// Whether tokens of this tenant may name that issuer.
pub fn is_own_issuer(cx: &Cx<'_>, issuer: &str) -> bool {
    issuer == cx.issuer() || Route::is_issuer(cx.config.origin(), &cx.tenant.id, issuer)
}
