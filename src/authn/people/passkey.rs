//! Passkeys (Web Authentication Level 3): registering one, signing in with one, and what a person or an administrator does with them.
//!
//! 1. A challenge is sealed in one browser, for five minutes. An assertion redeems it, so that it counts once.
//! 2. Nothing is written, and nothing is an event, before a signature by a registered passkey holds.
//! 3. A signature count that does not grow is refused and is an event: the passkey was probably copied (§6.1.1).
//! 4. A session of a passkey is found by the passkey, and ends with it.

use super::browser;
use super::session::{self, SignedIn};
use crate::audit;
use crate::context::{Change, Cx};
use crate::crypto::{Digest, Secret, b64, sha256, unb64};
use crate::directory::users;
use crate::error::{Fault, Reason, Rejection, Result};
use crate::model::event::Facts;
use crate::model::passkey::MAX_NAME;
use crate::model::{Event, EventType, Passkey, Status, User};
use crate::store;
use crate::webauthn::{
    self, Ceremony, CeremonyError, RelyingParty, UnverifiedAssertion, UserEntity, creation_options, request_options,
};
use serde_json::Value;

/// How this way to sign in is called on pages, and as the issuer of its sessions: no URL, so no outside issuer has it.
pub const NAME: &str = "passkey";
/// For how long a challenge counts, in seconds.
pub const SECONDS: i64 = 300;
/// How the authentication is called: resistant to phishing (OpenID Connect Extended Authentication Profile ACR Values §2).
pub const ACR: &str = "phr";

/// A ceremony that begins: what the page gives the authenticator, and what the browser keeps meanwhile.
pub struct Begun {
    /// The options, as JSON.
    pub options: String,
    /// The challenge, sealed.
    pub sealed: String,
}

/// Whether anybody in the tenant has a passkey.
pub async fn is_there(cx: &Cx<'_>) -> Result<bool> {
    Ok(cx.one(store::passkeys::first(&cx.tenant.id)).await?.is_some())
}

/// Begins to sign somebody in.
pub fn begin_sign_in(cx: &Cx<'_>) -> Result<Begun> {
    let challenge = challenge(cx);
    begun(cx, &challenge, &request_options(&ceremony(cx, &challenge)))
}

/// Begins to register a passkey of a user.
pub async fn begin_registration(cx: &Cx<'_>, user: &User) -> Result<Begun> {
    let challenge = challenge(cx);
    let existing: Vec<_> = list(cx, &user.id).await?.into_iter().map(|passkey| passkey.record).collect();
    let known = [&user.body.email, &user.body.name].into_iter().flatten().next().unwrap_or(&user.id);
    // One relying party has the passkeys of all tenants, so the name says which one this is for.
    let name = [known, " (", &cx.tenant.name, ")"].concat();
    let display_name = user.body.name.as_ref().unwrap_or(known);
    let entity = UserEntity { handle: user.id.as_bytes(), name: &name, display_name };
    let options = creation_options(&ceremony(cx, &challenge), &entity, &existing);
    begun(cx, &challenge, &options.map_err(|_| Fault::Broken("a user has no handle"))?)
}

fn begun(cx: &Cx<'_>, challenge: &[u8; 32], options: &serde_json::Value) -> Result<Begun> {
    Ok(Begun { options: options.to_string(), sealed: browser::seal(cx, NAME, &b64(challenge), SECONDS)? })
}

fn challenge(cx: &Cx<'_>) -> [u8; 32] {
    let mut bytes = [0; 32];
    cx.world.entropy.fill(&mut bytes);
    bytes
}

fn open(cx: &Cx<'_>, sealed: Option<&str>) -> Result<[u8; 32]> {
    let text = sealed.and_then(|sealed| browser::open::<String>(cx, NAME, sealed));
    text.and_then(|text| unb64(&text)?.try_into().ok()).ok_or_else(|| Reason::FormExpired.into())
}

fn ceremony<'a>(cx: &'a Cx<'_>, challenge: &'a [u8; 32]) -> Ceremony<'a> {
    let origin = cx.config.origin();
    Ceremony { rp: RelyingParty { id: host(origin), name: &cx.tenant.name, origin }, challenge }
}

/// The host of an origin, without its port.
fn host(origin: &str) -> &str {
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// What the authenticator has made, as a passkey of the user; it is not stored yet.
pub(super) async fn verify(
    cx: &Cx<'_>,
    sealed: Option<&str>,
    (json, name): (&str, Option<&str>),
    user: &User,
) -> Result<Passkey> {
    let challenge = open(cx, sealed)?;
    let made = webauthn::register(json, &ceremony(cx, &challenge), &*cx.world.keys).await;
    let record = made.map_err(|error| Rejection::from(error).refuse(Reason::PasskeyNotMade))?;
    let name = name.map(|name| name.trim().chars().take(MAX_NAME).collect::<String>()).filter(|name| !name.is_empty());
    let (id, created_at) = (id_of(&record.id), cx.now.seconds());
    Ok(Passkey { id, user: user.id.clone(), record, name, created_at, used_at: None })
}

fn id_of(credential: &str) -> String {
    sha256(credential).to_text()
}

/// The names of its transports, as they are stored.
pub(super) fn transports(passkey: &Passkey) -> Result<String> {
    serde_json::to_string(&passkey.record.transports).map_err(|_| Fault::Broken("transports have no JSON").into())
}

/// The event of a passkey.
pub(super) fn event(cx: &Cx<'_>, kind: EventType, passkey: &Passkey, by: Option<&str>) -> Event {
    let facts = Facts {
        subject: Some(passkey.user.clone()),
        target: Some(passkey.id.clone()),
        target_name: passkey.name.clone(),
        ..Facts::default()
    };
    audit::event(cx, kind, by, facts)
}

/// How somebody has signed in with a passkey.
pub(super) fn signed_in(cx: &Cx<'_>, passkey: &Passkey) -> SignedIn {
    SignedIn {
        issuer: NAME.to_owned(),
        sid: Some(passkey.id.clone()),
        acr: Some(ACR.to_owned()),
        auth_time: cx.now.seconds(),
    }
}

/// Signs in whoever holds the passkey of an assertion; the value of the session's cookie, and how many seconds it lasts.
pub async fn sign_in(cx: &Cx<'_>, sealed: Option<&str>, json: &str) -> Result<(Secret<String>, i64)> {
    let challenge = open(cx, sealed)?;
    let refuse = |error| Rejection::from(error).refuse(Reason::PasskeyRefused);
    let assertion = UnverifiedAssertion::parse(json).map_err(refuse)?;
    let known = cx.one(store::passkeys::get(&cx.tenant.id, &id_of(assertion.credential_id()))).await?;
    let passkey = known.ok_or_else(|| Reason::PasskeyRefused.because("nobody here has it"))?;
    let (ceremony, owner) = (ceremony(cx, &challenge), passkey.user.as_bytes());
    let verified = assertion.verify(&ceremony, &passkey.record, owner, &*cx.world.keys).await;
    // These two are found once the signature holds.
    let is_proved = matches!(verified, Ok(_) | Err(CeremonyError::SignCount | CeremonyError::BackupEligibility));
    let until = cx.now.seconds().saturating_add(SECONDS);
    if is_proved && !cx.redeem(NAME, "", &b64(challenge), until).await? {
        return Err(Reason::FormExpired.because("the assertion was redeemed"));
    }
    let verified = match verified {
        Ok(verified) => verified,
        Err(error) if is_proved => return refused(cx, &passkey, error).await,
        Err(error) => return Err(refuse(error)),
    };
    let user = users::load(cx, &passkey.user).await?.filter(|user| user.status == Status::Active);
    let user = user.ok_or(Reason::AccountStopped)?;
    let guard = store::passkeys::note_use(&cx.tenant.id, &passkey, verified, cx.now.seconds());
    if let Some(begun) = session::begin_with(cx, Change::guard(guard), &user, signed_in(cx, &passkey)).await? {
        return Ok(begun);
    }
    if users::find(cx, &user.id).await?.status != Status::Active {
        return Err(Reason::AccountStopped.into());
    }
    match cx.one(store::passkeys::get(&cx.tenant.id, &passkey.id)).await? {
        // Another sign-in was first, with a count that is not smaller.
        Some(_) => refused(cx, &passkey, CeremonyError::SignCount).await,
        None => Err(Reason::PasskeyRefused.because("it has just been removed")),
    }
}

/// What the page gives the authenticator of a person who approves the text of that digest.
pub fn begin_approval(cx: &Cx<'_>, digest: &Digest) -> String {
    request_options(&ceremony(cx, digest.bytes())).to_string()
}

/// The assertion by which a person approves the text of that digest, with the key that verifies it.
pub async fn approve(cx: &Cx<'_>, user: &User, digest: &Digest, json: &str) -> Result<Value> {
    let refuse = |error| Rejection::from(error).refuse(Reason::PasskeyRefused);
    let assertion = UnverifiedAssertion::parse(json).map_err(refuse)?;
    let known = cx.one(store::passkeys::get(&cx.tenant.id, &id_of(assertion.credential_id()))).await?;
    let passkey = known.filter(|known| known.user == user.id);
    let passkey = passkey.ok_or_else(|| Reason::PasskeyRefused.because("it is not this person's"))?;
    let (ceremony, owner) = (ceremony(cx, digest.bytes()), passkey.user.as_bytes());
    let verified = match assertion.verify(&ceremony, &passkey.record, owner, &*cx.world.keys).await {
        Ok(verified) => verified,
        Err(error @ (CeremonyError::SignCount | CeremonyError::BackupEligibility)) => {
            return refused(cx, &passkey, error).await;
        }
        Err(error) => return Err(refuse(error)),
    };
    let noted = cx.run(vec![store::passkeys::note_use(&cx.tenant.id, &passkey, verified, cx.now.seconds())]).await?;
    if noted.first() != Some(&1) {
        return refused(cx, &passkey, CeremonyError::SignCount).await;
    }
    let mut evidence = assertion.evidence();
    let key: Value = serde_json::from_slice(passkey.record.key.json().as_bytes()).unwrap_or_default();
    if let Some(members) = evidence.as_object_mut() {
        members.extend([("public_key".to_owned(), key), ("passkey".to_owned(), passkey.id.as_str().into())]);
    }
    Ok(evidence)
}

/// Refuses a passkey whose signature holds, and records why.
async fn refused<T>(cx: &Cx<'_>, passkey: &Passkey, error: CeremonyError) -> Result<T> {
    let mut event = event(cx, EventType::PasskeyRefused, passkey, None);
    event.facts.reason = Some(Reason::PasskeyRefused.as_str().to_owned());
    event.facts.detail = Some(error.as_str().to_owned());
    audit::record(cx, &event).await?;
    Err(Reason::PasskeyRefused.because(error.as_str()))
}

/// The passkeys of a user, the oldest first.
pub async fn list(cx: &Cx<'_>, user: &str) -> Result<Vec<Passkey>> {
    let mut all = cx.all(store::passkeys::of_user(&cx.tenant.id, user)).await?;
    all.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    Ok(all)
}

/// Removes a passkey of a user, and ends its sessions.
pub async fn remove(cx: &Cx<'_>, user: &str, id: &str, by: Option<&str>) -> Result<()> {
    let passkey = cx.one(store::passkeys::get(&cx.tenant.id, id)).await?.filter(|passkey| passkey.user == user);
    let passkey = passkey.ok_or(Reason::NotFound)?;
    let change = Change::guard(store::passkeys::delete(&cx.tenant.id, user, id))
        .event(event(cx, EventType::PasskeyRemoved, &passkey, by))
        .always(store::sessions::delete_by_sid(&cx.tenant.id, NAME, id, user));
    match cx.commit(change).await? {
        true => Ok(()),
        false => Err(Reason::NotFound.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relying_party_is_the_host_of_the_origin() {
        for (origin, id) in [
            ("https://id.example", "id.example"),
            ("https://id.example:8443", "id.example"),
            ("http://localhost:8787", "localhost"),
            ("http://[::1]", "[::1]"),
            ("http://[::1]:8787", "[::1]"),
        ] {
            assert_eq!(host(origin), id);
        }
    }
}
