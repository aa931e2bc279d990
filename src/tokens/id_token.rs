//! ID tokens (OpenID Connect Core §2): who has signed in, for the client alone.
//!
//! 1. `aud` is the client. No endpoint of ours takes one as an access token, for its `typ` is another (RFC 9068 §4).
//! 2. Claims about the user are those that the user has allowed: `profile` the name, `email` the address.
//! 3. RS256, which is what a client expects that has registered nothing (OpenID Connect Core §3.1.3.7).

use super::decide::Issuance;
use crate::context::Cx;
use crate::directory::users;
use crate::error::Result;
use crate::jose::Unsigned;
use crate::keys;
use crate::model::User;
use crate::oauth::Scope;
use crate::ports::Alg;
use serde_json::{Map, Value, json};

/// The algorithm of their signatures.
pub const ALG: Alg = Alg::Rs256;
/// How long an ID token holds, in seconds.
const SECONDS: i64 = 300;

/// The ID token of an issuance; nothing where the user has not allowed `openid`.
pub async fn id_token(cx: &Cx<'_>, issuance: &Issuance<'_>, nonce: Option<&str>) -> Result<Option<String>> {
    let origin = &issuance.origin;
    if !origin.identity.contains("openid") {
        return Ok(None);
    }
    let user = users::load(cx, issuance.subject).await?;
    let mut claims = user.map(|user| claims(&user, &origin.identity)).unwrap_or_default();
    let more = json!({"iss": cx.issuer_of_tokens(), "sub": issuance.subject, "aud": issuance.client.id});
    claims.extend(more.as_object().cloned().unwrap_or_default());
    let optional = [
        ("nonce", nonce.map(Value::from)),
        ("auth_time", origin.auth_time.map(Value::from)),
        ("acr", origin.acr.clone().map(Value::from)),
    ];
    claims.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let iat = cx.now.seconds();
    let shape = |kid: &str| Unsigned::new(ALG, "JWT", kid, &claims, (iat, iat.saturating_add(SECONDS)));
    keys::sign(cx, ALG, shape).await.map(Some)
}

/// The claims about a user that `scope` covers (OpenID Connect Core §5.4).
pub fn claims(user: &User, scope: &Scope) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), user.id.clone().into());
    let told = [("name", "profile", &user.body.name), ("email", "email", &user.body.email)];
    for (claim, name, value) in told {
        if let Some(value) = value.as_ref().filter(|_| scope.contains(name)) {
            claims.insert(claim.to_owned(), value.as_str().into());
        }
    }
    claims
}
