//! Tokens that Writ issues towards other services, about a connection or one of its users, so that they trust the tenant's issuer instead of a stored
//! key (RFC 7523 §3, workload identity federation, draft-ietf-oauth-identity-assertion-authz-grant).
//!
//! 1. `iss` is the tenant, `sub` is `connection:{name}` or the user's id, `aud` is the service's. The service reads the keys at `jwks_uri` (RFC 8414 §2).
//! 2. RS256, which every such service takes; five minutes.
//! 3. `typ` is `JWT` or that of an ID-JAG, so that no endpoint of Writ takes one as an access token (RFC 9068 §4).
//! 4. A Worker without the signing keys issues none.

use crate::context::Cx;
use crate::crypto::{Secret, nonce};
use crate::error::Result;
use crate::jose::Unsigned;
use crate::keys;
use crate::ports::Alg;
use serde::Serialize;

/// How long one holds, in seconds.
const SECONDS: i64 = 300;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: &'a str,
}

/// A token about the connection of that name, for `aud`.
pub async fn issue(cx: &Cx<'_>, connection: &str, aud: &str) -> Result<Secret<String>> {
    let (iss, sub, jti) = (cx.issuer(), ["connection:", connection].concat(), nonce(&*cx.world.entropy));
    sign(cx, "JWT", &Claims { iss: &iss, sub: &sub, aud, jti: &jti }).await
}

/// A token with these claims.
pub async fn sign(cx: &Cx<'_>, typ: &str, claims: &impl Serialize) -> Result<Secret<String>> {
    let iat = cx.now.seconds();
    let shape = |kid: &str| Unsigned::new(Alg::Rs256, typ, kid, claims, (iat, iat.saturating_add(SECONDS)));
    keys::sign(cx, Alg::Rs256, shape).await.map(Secret::new)
}
