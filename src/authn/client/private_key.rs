//! `private_key_jwt`: a client signs with its own key (RFC 7523 §2.2, OpenID Connect Core §9).
//!
//! 1. `aud` is our issuer, also that of the compatible route which the request came by; for a client that is registered so, the token endpoint too (rfc7523bis, RFC 7523 §3).
//! 2. `typ` is absent, `JWT`, or `client-authentication+jwt` (rfc7523bis).
//! 3. Each assertion counts once.

use crate::context::Cx;
use crate::error::Checked;
use crate::federation::{self, KeySource, Wanted};
use crate::model::Client;

const TYPES: &[&str] = &["", "jwt", "client-authentication+jwt"];

/// Holds if the client has made the assertion, for us and now.
pub async fn verify(cx: &Cx<'_>, client: &Client, text: &str) -> Checked<()> {
    let issuer = cx.issuer();
    let endpoint = client.metadata.token_endpoint_as_audience.then(|| [&issuer, "/token"].concat());
    let route = cx.route().map(|route| route.issuer.clone());
    let audience: Vec<String> = std::iter::once(issuer).chain(endpoint).chain(route).collect();
    let wanted = Wanted {
        keys: KeySource::Client(client),
        types: TYPES,
        audience: &audience,
        single_use: true,
        needs_iat: false,
        needs_sub: true,
    };
    federation::verify(cx, text, &wanted).await.map(drop)
}
