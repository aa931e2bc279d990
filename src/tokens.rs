//! The one verifier of our own access tokens (RFC 9068 §4).
//!
//! 1. Signature by a key of this tenant that is still honoured, `typ` `at+jwt`, our issuer, our tenant, the wanted
//!    audience, live times.
//! 2. The client that the token was issued to is still active, and the token is younger than its last kill: both at most
//!    as old as the freshness bound.
//! 3. Whatever is wrong, the caller learns only that something is; the log learns what.

use crate::client_auth;
use crate::cx::Cx;
use crate::error::{Error, Fault, Result};
use crate::jose::{AccessToken, Problem, Unverified, Verified};
use crate::keys;
use crate::model::{Client, ClientStatus};
use std::rc::Rc;

/// An access token that holds here and now.
pub struct Accepted {
    /// What it says.
    pub claims: AccessToken,
    /// The client that it was issued to.
    pub client: Rc<Client>,
}

/// Verifies an access token for an audience that `wanted` accepts; nothing if it does not hold.
pub async fn verify(cx: &Cx<'_>, text: &str, wanted: impl Fn(&str) -> bool) -> Result<Option<Accepted>> {
    match check(cx, text, wanted).await {
        Ok(accepted) => Ok(Some(accepted)),
        Err(Rejected::Because(why)) => {
            cx.world.log.line(&format!("{}: an access token was rejected: {why}", cx.request_id));
            Ok(None)
        }
        Err(Rejected::Fault(fault)) => Err(fault),
    }
}

enum Rejected {
    Because(&'static str),
    Fault(Error),
}

impl From<Error> for Rejected {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

impl From<Problem> for Rejected {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Malformed => Self::Because("malformed"),
            Problem::WrongType => Self::Because("wrong `typ`"),
            Problem::Critical => Self::Because("`crit`"),
            Problem::WrongAlgorithm => Self::Because("wrong `alg`"),
            Problem::BadSignature => Self::Because("bad signature"),
            Problem::BadClaims => Self::Because("bad claims"),
            Problem::Expired => Self::Because("expired"),
            Problem::NotYetValid => Self::Because("not yet valid"),
            Problem::Unavailable(port) => Self::Fault(Fault::Unavailable(port).into()),
        }
    }
}

async fn check(cx: &Cx<'_>, text: &str, wanted: impl Fn(&str) -> bool) -> Result<Accepted, Rejected> {
    let token = Unverified::parse(text)?;
    let keys = keys::all(cx).await?;
    let key = token.kid().and_then(|kid| keys.find(kid)).ok_or(Rejected::Because("unknown `kid`"))?;
    let verified: Verified<AccessToken> = token.verify(&*cx.world.keys, &key.public, "at+jwt", cx.now).await?;
    let (claims, iat) = (verified.claims, verified.iat);
    if claims.iss != cx.issuer() || claims.tenant != cx.tenant.id {
        return Err(Rejected::Because("another issuer"));
    }
    if !wanted(&claims.aud) {
        return Err(Rejected::Because("another audience"));
    }
    let client = client_auth::client(cx, &claims.client_id).await?.ok_or(Rejected::Because("its client is gone"))?;
    if client.status != ClientStatus::Active {
        return Err(Rejected::Because("its client is not active"));
    }
    if iat <= client.revoked_before {
        return Err(Rejected::Because("revoked"));
    }
    Ok(Accepted { claims, client })
}
