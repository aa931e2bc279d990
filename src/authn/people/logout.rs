//! Back-channel logout: an identity provider ends the sessions that it has signed people in for (OpenID Connect Back-Channel Logout 1.0).
//!
//! 1. The token is verified as any other of its issuer: `aud` is our `client_id` there. It has `events` with the logout, no `nonce`, and `sid`
//!    or `sub` (§2.4, §2.6).
//! 2. It counts once. That it was used is written with what it does, so that a provider whose reply was lost can send it again.
//! 3. Where the tenant says so, refresh tokens of the person end too, and codes that would give some.
//! 4. A refusal is counted and limited under its address: a signature costs more than a request.

use crate::audit;
use crate::authn::client::Unproved;
use crate::context::{Change, Cx};
use crate::directory::{issuers, users};
use crate::error::{Error, Reason, Rejection, Result};
use crate::federation::{self, KeySource, Wanted};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::store;

/// The event of a logout (§2.4).
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";
const MAX_JTI: usize = 256;

/// Ends what a logout token names.
pub async fn end(cx: &Cx<'_>, text: &str) -> Result<()> {
    match redeem(cx, text).await {
        Err(Error::Refused(refusal)) => {
            let unproved = Unproved { kind: EventType::SessionRefused, client: None, facts: Facts::default() };
            Err(unproved.refuse(cx, refusal).await?)
        }
        outcome => outcome,
    }
}

async fn redeem(cx: &Cx<'_>, text: &str) -> Result<()> {
    let invalid = |why: &'static str| Reason::InvalidLogoutToken.because(why);
    let iss = federation::claimed_issuer(text).ok_or_else(|| invalid("it has no `iss`"))?;
    let issuer = issuers::provider(cx, &iss).await?.ok_or_else(|| invalid("nobody signs in with its issuer"))?;
    let client_id: Vec<String> = issuer.body.client_id.iter().cloned().collect();
    let wanted = Wanted {
        keys: KeySource::Issuer(&issuer),
        types: &["logout+jwt", "jwt", ""],
        audience: &client_id,
        single_use: false,
        needs_iat: true,
        needs_sub: false,
    };
    let token = federation::verify(cx, text, &wanted).await;
    let token = token.map_err(|rejection: Rejection| rejection.refuse(Reason::InvalidLogoutToken))?;
    let is_logout = token.claims.get("events").and_then(|events| events.get(LOGOUT)).is_some_and(|it| it.is_object());
    if !is_logout || token.claims.contains_key("nonce") {
        return Err(invalid("it is no logout token"));
    }
    let jti = token.text("jti").filter(|jti| (1..=MAX_JTI).contains(&jti.len()));
    let jti = jti.ok_or_else(|| invalid("it has no `jti`"))?;
    if cx.is_redeemed(&cx.redeemable("logout", &iss, jti)).await? {
        return Err(invalid("it was used before"));
    }
    let (tenant, sid) = (&cx.tenant.id, token.text("sid"));
    let user = match (sid, token.sub.as_str()) {
        (None, "") => return Err(invalid("it has neither `sid` nor `sub`")),
        (Some(sid), "") => cx.one(store::sessions::user_of(tenant, &iss, sid)).await?,
        (_, sub) => users::by_account(cx, &iss, sub).await?.map(|user| user.id.clone()),
    };
    let Some(user) = user else {
        // Nobody is signed in whom it could mean.
        return cx.redeem("logout", &iss, jti, token.exp).await.map(drop);
    };
    let facts = Facts { subject: Some(user.clone()), detail: Some(["by ", &iss].concat()), ..Facts::default() };
    let sessions = match sid {
        Some(sid) => store::sessions::delete_by_sid(tenant, &iss, sid, &user),
        None => store::sessions::delete_by_issuer(tenant, &iss, &user),
    };
    let revoked = audit::event(cx, EventType::RefreshRevoked, None, facts.clone());
    let ended = audit::event(cx, EventType::SessionEnded, None, facts);
    let change = Change::guard(sessions).event(ended).always(cx.redemption("logout", &iss, jti, token.exp));
    let change = match cx.tenant.settings.logout_ends_grants {
        true => change
            .before(store::codes::delete_of_user(tenant, &user))
            .before(store::refresh::revoke_of_user(tenant, &user))
            .event_before(&revoked)?,
        false => change,
    };
    cx.commit(change).await.map(drop)
}
