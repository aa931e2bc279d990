//! Tokens that Writ issues about a connection, so that another service trusts the tenant's issuer instead of a stored key (RFC 7523 §3, workload
//! identity federation).
//!
//! 1. `iss` is the tenant, `sub` is `connection:{name}`, `aud` is the service's. The service reads the keys at `jwks_uri` (RFC 8414 §2).
//! 2. RS256, which every such service takes; five minutes.
//! 3. `typ` is `JWT`, so that no endpoint of Writ takes one as an access token (RFC 9068 §4).
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
    let claims = Claims { iss: &iss, sub: &sub, aud, jti: &jti };
    let iat = cx.now.seconds();
    let shape = |kid: &str| Unsigned::new(Alg::Rs256, "JWT", kid, &claims, (iat, iat.saturating_add(SECONDS)));
    keys::sign(cx, Alg::Rs256, shape).await.map(Secret::new)
}
