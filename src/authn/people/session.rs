//! Sessions: beginning one, finding the person of one, ending them.

use crate::audit;
use crate::context::{Change, Cx};
use crate::crypto::{self, Kind, Secret, is_well_formed, sha256};
use crate::directory::{issuers, users};
use crate::error::{Reason, Result};
use crate::model::event::Facts;
use crate::model::issuer::Use;
use crate::model::{Event, EventType, Session, Status, User};
use crate::store;
use std::rc::Rc;

/// How long a session lasts, in seconds: a working day.
const SECONDS: i64 = 12 * 3_600;

/// A person who is signed in.
pub struct Person {
    /// The session.
    pub session: Session,
    /// The person; active.
    pub user: Rc<User>,
}

/// How a person has signed in.
pub struct SignedIn {
    /// Who says so.
    pub issuer: String,
    /// How that issuer calls its own session.
    pub sid: Option<String>,
    /// How the person authenticated.
    pub acr: Option<String>,
    /// When, in seconds.
    pub auth_time: i64,
}

/// Begins a session; the secret is the value of its cookie, and how many seconds it lasts.
pub async fn begin(cx: &Cx<'_>, user: &User, signed_in: SignedIn) -> Result<(Secret<String>, i64)> {
    let (session, secret, event) = made(cx, user, signed_in);
    match cx.commit(Change::guard(store::sessions::insert(&cx.tenant.id, &session)).event(event)).await? {
        true => Ok((secret, SECONDS)),
        false => Err(Reason::AccountStopped.into()),
    }
}

/// Begins a session together with a change, whose guard holds only for a person who is active; nothing if it does not hold.
pub async fn begin_with(
    cx: &Cx<'_>,
    change: Change,
    user: &User,
    signed_in: SignedIn,
) -> Result<Option<(Secret<String>, i64)>> {
    let (session, secret, event) = made(cx, user, signed_in);
    let change = change.then(store::sessions::insert_if_changed(&cx.tenant.id, &session)).event(event);
    Ok(cx.commit(change).await?.then_some((secret, SECONDS)))
}

fn made(cx: &Cx<'_>, user: &User, signed_in: SignedIn) -> (Session, Secret<String>, Event) {
    let secret = crypto::mint(Kind::Session, &*cx.world.entropy);
    let SignedIn { issuer, sid, acr, auth_time } = signed_in;
    let expires_at = cx.now.seconds().saturating_add(SECONDS);
    let session =
        Session { id: sha256(secret.expose()), user: user.id.clone(), issuer, sid, acr, auth_time, expires_at };
    let facts = Facts { subject: Some(user.id.clone()), detail: Some(session.issuer.clone()), ..Facts::default() };
    let event = audit::event(cx, EventType::SessionBegun, None, facts);
    (session, secret, event)
}

/// The person whose session has this cookie; nothing if it is over, or the person has been stopped.
pub async fn find(cx: &Cx<'_>, cookie: &str) -> Result<Option<Person>> {
    if !is_well_formed(Kind::Session, cookie) {
        return Ok(None);
    }
    let id = sha256(cookie);
    let Some(session) = cx.one(store::sessions::get(&cx.tenant.id, &id.to_text(), cx.now.seconds())).await? else {
        return Ok(None);
    };
    let user = users::load(cx, &session.user).await?.filter(|user| user.status == Status::Active);
    // A stop for good outlives every session that began before it, whenever the person authenticated; so does a stop of the tenant.
    let begun_at = session.expires_at.saturating_sub(SECONDS);
    let user = user.filter(|user| begun_at > user.revoked_before.max(cx.tenant.revoked_before));
    match user {
        Some(user) if still_signs_in(cx, &session.issuer, &user).await? => Ok(Some(Person { session, user })),
        _ => Ok(None),
    }
}

/// Whether the person could sign in that way today: an identity provider that was removed, or an account that was taken away, ends sessions.
async fn still_signs_in(cx: &Cx<'_>, issuer: &str, user: &User) -> Result<bool> {
    // A passkey belongs to no issuer, and its own removal ends its sessions. The demonstration person is of our own.
    if !issuer.contains("://") || cx.config.is_development() && issuer.starts_with(&cx.issuer()) {
        return Ok(true);
    }
    let is_account = user.body.accounts.iter().any(|account| account.issuer == issuer);
    let provider = issuers::load(cx, issuer).await?.filter(|issuer| issuer.body.uses.contains(&Use::SignIn));
    Ok(is_account && provider.is_some())
}

/// Ends the session of a person.
pub async fn end(cx: &Cx<'_>, person: &Person) -> Result<()> {
    let facts = Facts { subject: Some(person.user.id.clone()), ..Facts::default() };
    let event = audit::event(cx, EventType::SessionEnded, None, facts);
    let guard = store::sessions::delete(&cx.tenant.id, &person.session.id.to_text());
    cx.commit(Change::guard(guard).event(event)).await.map(drop)
}

/// Ends all sessions of a person.
pub async fn end_all(cx: &Cx<'_>, person: &Person) -> Result<()> {
    let facts =
        Facts { subject: Some(person.user.id.clone()), detail: Some("everywhere".to_owned()), ..Facts::default() };
    let event = audit::event(cx, EventType::SessionEnded, None, facts);
    let guard = store::sessions::delete_of_user(&cx.tenant.id, &person.user.id);
    cx.commit(Change::guard(guard).event(event)).await.map(drop)
}
