//! Invitations: the link by which a person sets up a passkey, the first one or one for a lost device.
//!
//! 1. The token leaves once, in the link; its digest is stored. It counts once, for seven days, while its user is active.
//! 2. A user has one invitation: the newest.
//! 3. Unknown, used, expired and replaced are one answer.

use super::{passkey, session};
use crate::audit;
use crate::context::{Change, Cx};
use crate::crypto::{self, Kind, Secret, is_well_formed, sha256};
use crate::directory::{Creation, users};
use crate::error::{Reason, Result};
use crate::model::event::Facts;
use crate::model::{EventType, Invitation, Status, User};
use crate::store;
use std::rc::Rc;

/// For how long an invitation counts, in seconds.
const SECONDS: i64 = 7 * 86_400;

/// An invitation that is about to be made, and its link.
pub fn create(cx: &Cx<'_>, user: &User, by: &str) -> (Creation<Invitation>, Secret<String>) {
    let token = crypto::mint(Kind::Invitation, &*cx.world.entropy);
    let expires_at = cx.now.seconds().saturating_add(SECONDS);
    let invitation = Invitation { id: digest(token.expose()), user: user.id.clone(), expires_at };
    let facts = Facts {
        subject: Some(user.id.clone()),
        target: Some(user.id.clone()),
        target_name: user.body.name.clone(),
        expires_at: Some(expires_at),
        ..Facts::default()
    };
    let change = Change::guard(store::invitations::insert(&cx.tenant.id, &invitation))
        .event(audit::event(cx, EventType::InvitationCreated, Some(by), facts))
        .always(store::invitations::replace(&cx.tenant.id, &invitation));
    let link = Secret::new([&cx.issuer(), "/invitation/", token.expose()].concat());
    (Creation::new(invitation, change, "the user is not active"), link)
}

fn digest(token: &str) -> String {
    sha256(token).to_text()
}

/// The user whom an invitation is for, while it is good.
pub async fn find(cx: &Cx<'_>, token: &str) -> Result<Rc<User>> {
    if !is_well_formed(Kind::Invitation, token) {
        return Err(Reason::InvitationOver.into());
    }
    let found = cx.one(store::invitations::get(&cx.tenant.id, &digest(token), cx.now.seconds())).await?;
    let invitation = found.ok_or(Reason::InvitationOver)?;
    let user = users::load(cx, &invitation.user).await?.filter(|user| user.status == Status::Active);
    user.ok_or_else(|| Reason::InvitationOver.into())
}

/// Uses an invitation: registers the passkey that the authenticator has made, under that name, and signs its holder in. The value of the
/// session's cookie, and how many seconds it lasts.
pub async fn accept(
    cx: &Cx<'_>,
    token: &str,
    sealed: Option<&str>,
    made: (&str, Option<&str>),
) -> Result<(Secret<String>, i64)> {
    let user = find(cx, token).await?;
    let passkey = passkey::verify(cx, sealed, made, &user).await?;
    let (tenant, id) = (&cx.tenant.id, digest(token));
    let guard = store::passkeys::insert_invited(tenant, &passkey, passkey::transports(&passkey)?, &id);
    let change = Change::guard(guard)
        .then(store::invitations::use_if_changed(tenant, &id, cx.now.seconds()))
        .event(passkey::event(cx, EventType::PasskeyRegistered, &passkey, None));
    if let Some(begun) = session::begin_with(cx, change, &user, passkey::signed_in(cx, &passkey)).await? {
        return Ok(begun);
    }
    find(cx, token).await?;
    Err(Reason::PasskeyNotMade.because("somebody has the credential, or the user has too many passkeys"))
}
