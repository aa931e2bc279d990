//! The one validator of JWTs by others: client assertions, assertions of outside issuers about workloads and users,
//! Identity Assertion Authorization Grants, JWT-SVIDs.
//!
//! In scope: that a token is by its issuer, for us, live, and used once. Out of scope: what it is good for, which its
//! caller decides; our own access tokens (`tokens::verify`) and DPoP proofs (`authn::dpop`).
//!
//! 1. Keys come from our own records alone: a registered key set, or the registered place of one (see `keysets`). `jwk`,
//!    `jku`, `x5u` and `x5c` in a header are not looked at (RFC 8725 §3.10).
//! 2. `alg` is ES256, ES384, EdDSA, RS256 or PS256, one that the key allows, and the registered one where one is registered
//!    (RFC 8725 §3.1). `kid` only looks a key up; without one, at most eight keys are tried.
//! 3. `typ` is one of the wanted ones (RFC 8725 §3.11).
//! 4. A client's assertion has `iss` = `sub` = its id and `aud` as one JSON string (RFC 7523 §3, rfc7523bis). An issuer's
//!    has its registered `iss` byte by byte, and one `aud`, alone or in an array of one: Kubernetes always sends an array.
//!    One trailing slash more than wanted is tolerated, because SDKs add it.
//! 5. `exp` and `sub` are needed; `iat` and `nbf` hold where they are there (RFC 7523 §3). ID tokens, access tokens and
//!    ID-JAGs need `iat` too (OpenID Connect Core §2, RFC 9068 §2.2). What is used once lives an hour at most, what
//!    may be used again a day, which is the longest that the platforms issue: Kubernetes and EKS up to 24 hours, Azure 24.
//!    `iat` and `nbf` may lie ahead by the leeway, 10 seconds, and no more (FAPI 2.0 asks to refuse from 60 on).
//! 6. The rules of the issuer's own record hold.
//! 7. A `jti` is redeemed last, when nothing else can fail, under the client or issuer that signed it (docs/requirements.md R14).
//!    If storage does not answer, the token does not count (R15).

mod keysets;
pub mod presets;
pub mod provider;
mod rules;
pub mod shared;

pub use rules::rules_hold;

use crate::context::Cx;
use crate::error::{Checked, Fault, Reason, Rejection, Result};
use crate::jose::{JwkSet, LEEWAY_SECONDS, Problem, Unverified, Verified};
use crate::model::stop::{OUTSIDE_SECONDS, outside_digest};
use crate::model::{Client, Issuer, Resource};
use crate::oauth::ResourceUri;
use crate::ports::Alg;
use keysets::KeyQuery;
use presets::SPIFFE;
use serde_json::{Map, Value};
use std::rc::Rc;

/// How long something that is used once may still live, in seconds.
const ONCE_SECONDS: i64 = 3_600;
/// How long something that may be used again may still live, in seconds.
const AGAIN_SECONDS: i64 = OUTSIDE_SECONDS;
/// The longest `sub` in bytes, and the longest `jti`.
const MAX_SUBJECT: usize = 2_048;
const MAX_JTI: usize = 256;

/// The key of RFC 7515 appendix A.3, whose private half everybody knows: it is good for nothing but taking time.
const DECOY: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

/// A verified token of another issuer or of a client.
pub struct Assertion {
    /// Its issuer: a client's id, or an outside issuer as it is registered.
    pub iss: String,
    /// Its subject.
    pub sub: String,
    /// All claims but the times.
    pub claims: Map<String, Value>,
    /// When it was issued, in seconds, if it has `iat`.
    pub iat: Option<i64>,
    /// When it expires, in seconds.
    pub exp: i64,
}

impl Assertion {
    /// The digest by which the token can be stopped: of its issuer and its `jti`, for issuers give `jti` each for themselves. Nothing
    /// for a token without a name.
    pub fn digest(&self) -> Option<String> {
        self.text("jti").map(|jti| outside_digest(&self.iss, jti))
    }

    /// A claim that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }
}

/// The owner of the keys that verify a token.
#[derive(Clone, Copy)]
pub enum KeySource<'a> {
    /// A client's own.
    Client(&'a Client),
    /// An outside issuer's.
    Issuer(&'a Issuer),
    /// A resource's, for its challenges.
    Resource(&'a Resource),
}

/// The requirements on a token.
pub struct Wanted<'a> {
    /// The owner of the keys.
    pub keys: KeySource<'a>,
    /// The types, in lower case; an empty one stands for a token without `typ`.
    pub types: &'a [&'a str],
    /// The audiences, one of which it has to name.
    pub audience: &'a [String],
    /// Whether it has a `jti`, which is then redeemed.
    pub single_use: bool,
    /// Whether it has to have `iat`, as its specification asks.
    pub needs_iat: bool,
    /// Whether it has to have `sub`: only a logout token may do without.
    pub needs_sub: bool,
}

/// The `iss` that a token claims, unverified: good for finding whose keys to try, and for nothing else.
pub fn claimed_issuer(text: &str) -> Option<String> {
    claimed(text, "iss")
}

/// A claim of a token that is text, unverified; as [`claimed_issuer`].
pub fn claimed(text: &str, name: &str) -> Option<String> {
    Unverified::parse(text).ok()?.unverified_claim(name)?.as_str().map(str::to_owned)
}

/// The trust domain of the SPIFFE ID that a JWT-SVID claims, `spiffe://DOMAIN`; as [`claimed_issuer`]. A JWT-SVID has no `iss`.
pub fn claimed_trust_domain(text: &str) -> Option<String> {
    let sub = claimed(text, "sub")?;
    let (domain, _) = sub.strip_prefix("spiffe://")?.split_once('/')?;
    Some(["spiffe://", domain].concat())
}

/// Costs what a signature costs, and means nothing: so that who names a client that is not there waits as long as who has
/// no key of one that is.
pub async fn decoy(cx: &Cx<'_>, text: &str) -> Result<()> {
    let (Ok(token), Ok(set)) = (Unverified::parse(text), JwkSet::parse(DECOY)) else { return Ok(()) };
    match token.verify_by::<Map<String, Value>>(&*cx.world.keys, &set, &[&token.typ()], cx.now).await {
        Err(Problem::Unavailable(port)) => Err(Fault::Unavailable(port).into()),
        _ => Ok(()),
    }
}

/// Validates a token. Once its signature is good, what else is wrong is [`Rejection::Told`] where a sender could mend it.
pub async fn verify(cx: &Cx<'_>, text: &str, wanted: &Wanted<'_>) -> Checked<Assertion> {
    let token = Unverified::parse(text)?;
    let alg = token.alg().filter(|alg| wanted.keys.allows(*alg)).ok_or(Problem::WrongAlgorithm)?;
    let Verified { claims, iat, exp, .. } = by_their_keys(cx, &token, alg, wanted).await?;
    if wanted.needs_iat && iat.is_none() {
        return Err(Rejection::Because("no `iat`"));
    }
    let (iss, sub) =
        wanted.keys.parties(&claims, wanted.needs_sub).ok_or(Rejection::Because("another `iss` or `sub`"))?;
    let aud = wanted.keys.audience(&claims).ok_or(Rejection::Told(Reason::AssertionAudience))?;
    if !wanted.audience.iter().any(|one| is_named(aud, one)) && !wanted.keys.also_takes(aud) {
        return Err(Rejection::Told(Reason::AssertionAudience));
    }
    let longest = if wanted.single_use { ONCE_SECONDS } else { AGAIN_SECONDS };
    if exp.saturating_sub(cx.now.seconds()) > longest.saturating_add(LEEWAY_SECONDS) {
        return Err(Rejection::Told(Reason::AssertionExpired));
    }
    if let KeySource::Issuer(issuer) = wanted.keys
        && !rules_hold(&issuer.body.rules, &claims)
    {
        return Err(Rejection::Because("a rule of its issuer does not hold"));
    }
    if wanted.single_use {
        let jti = claims.get("jti").and_then(Value::as_str).filter(|jti| (1..=MAX_JTI).contains(&jti.len()));
        let jti = jti.ok_or(Rejection::Because("no `jti`"))?;
        if !cx.redeem("assertion", iss, jti, exp).await? {
            return Err(Rejection::Told(Reason::AssertionReplayed));
        }
    }
    Ok(Assertion { iss: iss.to_owned(), sub: sub.to_owned(), claims, iat, exp })
}

/// The rejection of a token: a sender with a good signature is told what is wrong with its times.
fn signed(problem: Problem) -> Rejection {
    match problem {
        Problem::Expired | Problem::NotYetValid => Rejection::Told(Reason::AssertionExpired),
        other => other.into(),
    }
}

/// Verifies a token with the keys of its source. A signature that none of them made may be of a key that has come since.
async fn by_their_keys(
    cx: &Cx<'_>,
    token: &Unverified<'_>,
    alg: Alg,
    wanted: &Wanted<'_>,
) -> Checked<Verified<Map<String, Value>>> {
    let query = KeyQuery { alg, kid: token.kid(), doubted: None };
    let set = keysets::of(cx, wanted.keys, query).await?;
    let keys = &*cx.world.keys;
    match token.verify_by(keys, &set, wanted.types, cx.now).await {
        Err(Problem::BadSignature) => {
            let newer = keysets::of(cx, wanted.keys, KeyQuery { doubted: Some(&set), ..query }).await?;
            match Rc::ptr_eq(&newer, &set) {
                true => Err(Problem::BadSignature.into()),
                false => token.verify_by(keys, &newer, wanted.types, cx.now).await.map_err(signed),
            }
        }
        verdict => verdict.map_err(signed),
    }
}

/// Whether `aud` is what is wanted, one trailing slash aside.
fn is_named(aud: &str, wanted: &str) -> bool {
    aud == wanted || aud.strip_suffix('/') == Some(wanted)
}

impl<'a> KeySource<'a> {
    /// Whether assertions of theirs may be signed with it.
    fn allows(self, alg: Alg) -> bool {
        match self {
            Self::Client(client) => client.metadata.token_endpoint_auth_signing_alg.is_none_or(|only| only == alg),
            Self::Issuer(_) | Self::Resource(_) => true,
        }
    }

    /// Issuer and subject; nothing if they are not those of the source.
    fn parties<'c>(self, claims: &'c Map<String, Value>, needs_sub: bool) -> Option<(&'a str, &'c str)> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let sub = match claims.get("sub") {
            None if !needs_sub => "",
            _ => text("sub").filter(|sub| (1..=MAX_SUBJECT).contains(&sub.len()))?,
        };
        match self {
            Self::Client(client) => (text("iss")? == client.id && sub == client.id).then_some((&client.id, sub)),
            Self::Resource(resource) => {
                let uri = &resource.body.resource;
                ResourceUri::parse(text("iss")?)?.is_same(uri).then_some((uri.as_str(), sub))
            }
            Self::Issuer(issuer) => {
                let iss = issuer.body.issuer.as_str();
                // A JWT-SVID has no `iss`: its trust domain stands at the beginning of `sub`.
                let says = match issuer.body.preset == SPIFFE {
                    true => sub.strip_prefix(iss).is_some_and(|path| path.starts_with('/') && path.len() > 1),
                    false => text("iss")? == iss,
                };
                says.then_some((iss, sub))
            }
        }
    }

    /// The one audience that it names.
    fn audience(self, claims: &Map<String, Value>) -> Option<&str> {
        match (claims.get("aud")?, self) {
            (Value::String(aud), _) => Some(aud),
            (Value::Array(all), Self::Issuer(_) | Self::Resource(_)) => match all.as_slice() {
                [Value::String(aud)] => Some(aud),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether an administrator has said that this issuer names us so.
    fn also_takes(self, aud: &str) -> bool {
        match self {
            Self::Client(_) | Self::Resource(_) => false,
            Self::Issuer(issuer) => issuer.body.audience.as_deref() == Some(aud),
        }
    }
}
