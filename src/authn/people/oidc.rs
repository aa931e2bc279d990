//! Sign-in with an identity provider: the code flow of OpenID Connect Core §3.1 with PKCE, `nonce` and `iss`.
//!
//! 1. What belongs to a sign-in (nonce, verifier, provider, the request that it is for) is sealed in the browser that began it, under the
//!    name that is its `state`. Another browser has nothing under that name, and gets nowhere (docs/requirements.md R163).
//! 2. `iss` of the response is compared before anything of it is used (RFC 9207 §2.4), also of an error.
//! 3. The ID token comes from the token endpoint and is verified all the same, by `federation::verify`; it names our `client_id` alone, the
//!    `nonce` of this browser, and no other `azp` (OpenID Connect Core §3.1.3.7).
//! 4. The account is (issuer, subject), and nothing else.
//! 5. What was waited for is followed by a look at what is registered now.
//! 6. A provider that says nothing of when a person authenticated is taken to have done so now: it was asked to where that matters.

use super::session::SignedIn;
use crate::authn::client::Unproved;
use crate::context::Cx;
use crate::crypto::{b64, nonce, sha256};
use crate::directory::{issuers, users};
use crate::error::{Error, Fault, Reason, Result};
use crate::federation::provider::{Provider, provider};
use crate::federation::{self, Assertion, KeySource, Wanted};
use crate::jose::{LEEWAY_SECONDS, Unsigned, is_strict, numeric_date};
use crate::model::event::Facts;
use crate::model::issuer::SCOPES;
use crate::model::{EventType, Issuer, Status, User};
use crate::oauth::Form;
use crate::ports::Alg;
use crate::{audit, keys, outbound};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::rc::Rc;
use url::Url;

/// For how long a sign-in may be under way, in seconds.
pub const SECONDS: i64 = 3_600;
/// How long our own assertion at a token endpoint lives, in seconds.
const ASSERTION_SECONDS: i64 = 60;
/// The longest text that is taken over from an ID token, in bytes.
const MAX_TEXT: usize = 256;

/// A sign-in that is under way, as the browser keeps it.
#[derive(Serialize, Deserialize)]
pub struct UnderWay {
    /// The `iss` of the provider.
    issuer: String,
    /// The authorization request that it is for.
    pub request: Option<String>,
    nonce: String,
    verifier: String,
    /// When it began, in seconds.
    since: i64,
}

/// How a person shall sign in.
#[derive(Default)]
pub struct Wishes<'a> {
    /// The person shall authenticate now.
    pub login: bool,
    /// The person shall choose who to be.
    pub select_account: bool,
    /// `max_age`, `acr_values` and `login_hint` of the request (OpenID Connect Core §3.1.2.1).
    pub others: Vec<(&'static str, &'a str)>,
}

/// Where a provider sends people back to.
pub fn redirect_uri(cx: &Cx<'_>) -> String {
    [&cx.issuer(), "/sign-in/callback"].concat()
}

/// Begins a sign-in called `state`: where the browser goes, and what it keeps.
pub async fn begin(
    cx: &Cx<'_>,
    issuer: &Issuer,
    state: &str,
    request: Option<&str>,
    wishes: &Wishes<'_>,
) -> Result<(String, UnderWay)> {
    let provider = found(cx, issuer).await?;
    let entropy = &*cx.world.entropy;
    let under_way = UnderWay {
        issuer: issuer.body.issuer.clone(),
        request: request.map(str::to_owned),
        nonce: nonce(entropy),
        verifier: [nonce(entropy), nonce(entropy)].concat(),
        since: cx.now.seconds(),
    };
    let broken = || Fault::Broken("a provider has no endpoint");
    let mut url = Url::parse(&provider.authorization_endpoint).map_err(|_| broken())?;
    let scopes = issuer.body.scopes.as_ref().map_or_else(|| SCOPES.to_owned(), ToString::to_string);
    let mut prompt: Vec<&str> = Vec::new();
    // A provider that does not know the one does the other.
    if wishes.login || (wishes.select_account && !provider.selects_account) {
        prompt.push("login");
    }
    if wishes.select_account && provider.selects_account {
        prompt.push("select_account");
    }
    let prompt = prompt.join(" ");
    let mut query = url.query_pairs_mut();
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", client_id(issuer)?)
        .append_pair("redirect_uri", &redirect_uri(cx))
        .append_pair("scope", &scopes)
        .append_pair("state", state)
        .append_pair("nonce", &under_way.nonce)
        .append_pair("code_challenge", &b64(sha256(&under_way.verifier).bytes()))
        .append_pair("code_challenge_method", "S256")
        .extend_pairs((!prompt.is_empty()).then_some(("prompt", &prompt)))
        .extend_pairs(&wishes.others);
    drop(query);
    Ok((url.into(), under_way))
}

/// Ends a sign-in with the response of the provider: who it is, and how they have signed in.
pub async fn finish(cx: &Cx<'_>, under_way: &UnderWay, response: &Form) -> Result<(Rc<User>, SignedIn)> {
    let told = match answered(cx, under_way, response).await {
        Ok(told) => told,
        // Nobody has proved anything: counted, and limited. Another service's trouble is nobody's fault.
        Err(Error::Refused(refusal)) if refusal.reason != Reason::IdentityProviderDown => {
            let facts = Facts { target: Some(under_way.issuer.clone()), ..Facts::default() };
            let unproved = Unproved { kind: EventType::SessionRefused, client: None, facts };
            return Err(unproved.refuse(cx, refusal).await?);
        }
        Err(error) => return Err(error),
    };
    let fresh = cx.refreshed_after_wait().await?;
    let cx = fresh.as_ref().unwrap_or(cx);
    let (user, refused) = match person(cx, &told).await {
        Ok(user) => return Ok((user, signed_in(cx, under_way, &told))),
        Err(Error::Refused(refusal)) => (told.sub, refusal),
        Err(fault) => return Err(fault),
    };
    let detail = [&told.iss, " ", &user, ": ", refused.detail.as_deref().unwrap_or_default()].concat();
    let reason = Some(refused.reason.as_str().to_owned());
    let facts = Facts { reason, detail: Some(detail), ..Facts::default() };
    audit::record(cx, &audit::event(cx, EventType::SessionRefused, None, facts)).await?;
    Err(Error::Refused(refused))
}

/// The user whom a verified ID token names, as it tells of them; active.
async fn person(cx: &Cx<'_>, told: &Assertion) -> Result<Rc<User>> {
    let issuer = issuers::provider(cx, &told.iss).await?.ok_or(Reason::NoSuchProvider)?;
    let user = users::named(cx, &issuer, (&told.sub, &told.claims), None).await?.ok_or(Reason::UnknownAccount)?;
    if user.status != Status::Active {
        return Err(Reason::AccountStopped.into());
    }
    let user = users::told(cx, &issuer.body, user, (&told.claims, true), None).await;
    user.map_err(|rejection| rejection.refuse(Reason::SignInInvalid))
}

/// The ID token, if the response is the provider's and answers what this browser has begun.
async fn answered(cx: &Cx<'_>, under_way: &UnderWay, response: &Form) -> Result<Assertion> {
    let issuer = issuers::provider(cx, &under_way.issuer).await?.ok_or(Reason::NoSuchProvider)?;
    let provider = found(cx, &issuer).await?;
    let invalid = |why: &str| Reason::SignInInvalid.because(why);
    match response.get("iss") {
        Some(iss) if iss != issuer.body.issuer => return Err(invalid("the response is of another `iss`")),
        None if provider.sends_iss => return Err(invalid("the response has no `iss`")),
        _ => {}
    }
    if let Some(error) = response.get("error") {
        return Err(Reason::SignInDeclined.because(code_of(Some(error))));
    }
    let code = response.get("code").ok_or_else(|| invalid("the response has no `code`"))?;
    let text = redeem(cx, &issuer, &provider, code, &under_way.verifier).await?;
    let client_id = client_id(&issuer)?.to_owned();
    let wanted = Wanted {
        keys: KeySource::Issuer(&issuer),
        types: &["", "jwt"],
        audience: std::slice::from_ref(&client_id),
        single_use: false,
        needs_iat: true,
        needs_sub: true,
    };
    let told = federation::verify(cx, &text, &wanted).await;
    let told = told.map_err(|rejection| rejection.refuse(Reason::SignInInvalid))?;
    if told.text("nonce") != Some(&under_way.nonce) {
        return Err(invalid("the ID token has another `nonce`"));
    }
    match told.claims.get("azp") {
        Some(azp) if *azp != client_id => Err(invalid("the ID token has another `azp`")),
        _ => Ok(told),
    }
}

/// Redeems a code for an ID token (OpenID Connect Core §3.1.3).
async fn redeem(cx: &Cx<'_>, issuer: &Issuer, provider: &Provider, code: &str, verifier: &str) -> Result<String> {
    let (client_id, redirect_uri) = (client_id(issuer)?, redirect_uri(cx));
    let secret = issuers::secret(cx, issuer)?;
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect_uri),
        ("code_verifier", verifier),
    ];
    let mut authorization = None;
    let assertion;
    match &secret {
        Some(secret) if provider.takes_secret_in_form => {
            form.extend([("client_id", client_id), ("client_secret", secret.expose())]);
        }
        Some(secret) => {
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = [encode(client_id), encode(secret.expose())].join(":");
            authorization = Some(["Basic ", &STANDARD.encode(pair)].concat());
        }
        None if provider.takes_assertion && cx.config.signing().is_some() => {
            assertion = sign(cx, issuer, client_id).await?;
            form.extend([
                ("client_id", client_id),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", &assertion),
            ]);
        }
        // A public client: PKCE alone binds the code to us.
        None => form.push(("client_id", client_id)),
    }
    let answer = outbound::post_form_as(cx, &provider.token_endpoint, &form, authorization).await;
    let answer = answer.map_err(|error| match error {
        Error::Refused(refusal) => down(cx, refusal.detail.as_deref().unwrap_or_else(|| refusal.reason.as_str())),
        fault => fault,
    })?;
    let body: Map<String, Value> =
        serde_json::from_slice(&answer.body).ok().filter(|_| is_strict(&answer.body)).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    match (answer.status, text("id_token")) {
        (200, Some(token)) => Ok(token.to_owned()),
        (400..=499, _) => {
            Err(Reason::SignInInvalid.because(["the provider refuses the code: ", code_of(text("error"))].concat()))
        }
        (status, _) => Err(down(cx, &format!("its token endpoint answers {status} without an ID token"))),
    }
}

/// Our own assertion (RFC 7523 §2.2), for the issuer alone.
async fn sign(cx: &Cx<'_>, issuer: &Issuer, client_id: &str) -> Result<String> {
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": issuer.body.issuer, "jti": nonce(&*cx.world.entropy),
    });
    let iat = cx.now.seconds();
    let shape =
        |kid: &str| Unsigned::new(Alg::Rs256, "JWT", kid, &claims, (iat, iat.saturating_add(ASSERTION_SECONDS)));
    keys::sign(cx, Alg::Rs256, shape).await
}

async fn found(cx: &Cx<'_>, issuer: &Issuer) -> Result<Rc<Provider>> {
    provider(cx, issuer).await?.map_err(|why| down(cx, &why))
}

/// That a provider is in trouble; why is for the log.
fn down(cx: &Cx<'_>, why: &str) -> Error {
    cx.world.log.line(&format!("{}: an identity provider: {why}", cx.request_id));
    Reason::IdentityProviderDown.because(why)
}

/// An error code (RFC 6749 §4.1.2.1), if it looks like one: what was sent stands in no log.
fn code_of(error: Option<&str>) -> &str {
    let is_code = |text: &&str| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    error.filter(is_code).unwrap_or("it does not say why")
}

fn client_id(issuer: &Issuer) -> Result<&str> {
    issuer.body.client_id.as_deref().ok_or_else(|| Fault::Broken("a provider has no `client_id`").into())
}

fn signed_in(cx: &Cx<'_>, under_way: &UnderWay, told: &Assertion) -> SignedIn {
    let text = |name: &str| told.text(name).filter(|text| text.len() <= MAX_TEXT && !text.contains(char::is_control));
    let now = cx.now.seconds();
    let auth_time = told.claims.get("auth_time").and_then(numeric_date).filter(|at| {
        // Another clock may be a little behind.
        at.saturating_add(LEEWAY_SECONDS) < under_way.since
    });
    SignedIn {
        issuer: told.iss.clone(),
        sid: text("sid").map(str::to_owned),
        acr: text("acr").map(str::to_owned),
        auth_time: auth_time.unwrap_or(now),
    }
}
