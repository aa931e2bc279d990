//! Whether a party of a token is stopped. Every issuance, every lease and every reader of our tokens asks here.
//!
//! 1. A tenant, a client, a user, an agentic identity or a chain can be stopped. The parties of a token are its tenant, its client, its
//!    subject, every actor, the agentic identity of each, and every token that it was made from.
//!    A user stops an agentic identity that acts for them as well as an administrator; each lets go on what they have stopped themselves.
//! 2. A suspension holds while it lasts. A kill is for good: tokens issued up to then are dead whatever happens later.
//! 3. Answers come from D1, at most as old as the freshness bound (docs/requirements.md R83).

use crate::context::Cx;
use crate::context::cache::key;
use crate::directory::{clients, identities, users};
use crate::error::{Checked, Fault, Rejection, Result};
use crate::model::identity::Held;
use crate::model::{Client, Status, User, id};
use crate::store;
use std::collections::HashSet;
use std::rc::Rc;

key!(
    /// The digests of the chains that were stopped.
    StoppedChainsKey -> HashSet<String> = "stopped-chains", weighs |all| all.len().saturating_mul(80)
);

/// The parties of a token.
pub struct Parties<'a> {
    /// Its client.
    pub client: &'a str,
    /// Its subject.
    pub subject: &'a str,
    /// Its actors, newest first.
    pub actors: &'a [&'a str],
    /// Digests of its `jti` and of those that it was made from.
    pub chain: &'a [&'a str],
    /// When the oldest token in question was issued; nothing where there is none.
    pub issued_at: Option<i64>,
}

/// The parties of a token of which none is stopped.
pub struct Standing {
    /// The client.
    pub client: Rc<Client>,
    /// The subject, if that is a user.
    pub user: Option<Rc<User>>,
}

/// Passes if no party is stopped. The rejection names the stopped one, for the log and the event.
pub async fn check(cx: &Cx<'_>, parties: &Parties<'_>) -> Checked<Standing> {
    let Parties { client: asked, subject, actors, chain, issued_at } = *parties;
    let lives = |status: Status, revoked_before: i64| {
        status == Status::Active && issued_at.is_none_or(|issued_at| issued_at > revoked_before)
    };
    if !lives(Status::Active, cx.tenant.revoked_before) {
        return Err(Rejection::Because("its tenant was stopped"));
    }
    let mut found = None;
    let subject_client = (!id::is_user(subject)).then_some(subject);
    for name in std::iter::once(asked).chain(actors.iter().copied()).chain(subject_client) {
        let Some(one) = clients::load(cx, name).await? else {
            return Err(Rejection::Because("a client of it is gone"));
        };
        if !one.is_live(cx.now) || !lives(one.status, one.revoked_before) {
            return Err(Rejection::Because("a client of it is stopped"));
        }
        if let Some(identity) = identities::load(cx, name, subject).await?
            && !(identity.held == Held::No && lives(identity.status, identity.revoked_before))
        {
            return Err(Rejection::Because("an agentic identity of it is stopped"));
        }
        found.get_or_insert(one);
    }
    let user = match id::is_user(subject) {
        true => match users::load(cx, subject).await? {
            None => return Err(Rejection::Because("its user is gone")),
            Some(user) if !lives(user.status, user.revoked_before) => {
                return Err(Rejection::Because("its user is stopped"));
            }
            user => user,
        },
        false => None,
    };
    if !chain.is_empty() {
        let stopped = stopped_chains(cx).await?;
        if chain.iter().any(|jti| stopped.contains(*jti)) {
            return Err(Rejection::Because("its chain was stopped"));
        }
    }
    let client = found.ok_or(Fault::Broken("a token has no client"))?;
    Ok(Standing { client, user })
}

/// Whether the token of that digest was stopped.
pub async fn is_stopped(cx: &Cx<'_>, digest: Option<&str>) -> Result<bool> {
    match digest {
        Some(digest) => Ok(stopped_chains(cx).await?.contains(digest)),
        None => Ok(false),
    }
}

async fn stopped_chains(cx: &Cx<'_>) -> Result<Rc<HashSet<String>>> {
    let read = async || {
        let stopped = cx.all(store::identities::stopped_chains(&cx.tenant.id, cx.now.seconds())).await?;
        Ok(Some(stopped.into_iter().collect()))
    };
    cx.cached(&StoppedChainsKey, read).await?.ok_or_else(|| Fault::Broken("a set is there or empty").into())
}
