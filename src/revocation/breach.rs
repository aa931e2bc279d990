//! A breach of a limit in a policy, and what the policy says of it.
//!
//! 1. `@on_breach("suspend")` suspends whose uses count: the client where those of a client do, else the agentic identity. Never a user, and
//!    never a tenant.
//!    A client that has used a connection and never got a token has no agentic identity yet: it is made, and suspended.
//! 2. It does so once a window, with its event: whom an administrator has let go on is not suspended again in the same window.
//! 3. The answer is refused in any case. A suspension that fails refuses as a fault, and the next breach tries again.

use super::kill::{self, Command};
use crate::cedar::{By, Limit, Verdict};
use crate::context::Cx;
use crate::directory::identities;
use crate::error::{Error, Reason, Result};
use crate::model::Stoppable;
use crate::policy::obligations::{self, Reached};
use crate::store;

/// A use that limits count.
#[derive(Clone, Copy)]
pub struct Using<'a> {
    /// The client.
    pub client: &'a str,
    /// For whom.
    pub subject: &'a str,
    /// The `grant_type`, or how a client without a token came.
    pub grant_type: &'a str,
}

/// Counts one use of each limit; answers which have no room, after acting on it.
pub async fn count(cx: &Cx<'_>, using: Using<'_>, limits: &[Limit]) -> Result<Vec<Reached>> {
    let reached = obligations::claim(cx, (using.client, using.subject), limits).await?;
    act(cx, using, &reached).await?;
    Ok(reached)
}

/// Answers which limits have no room, after acting on it; counts nothing.
pub async fn full(cx: &Cx<'_>, using: Using<'_>, limits: &[Limit]) -> Result<Vec<Reached>> {
    let reached = obligations::full(cx, (using.client, using.subject), limits).await?;
    act(cx, using, &reached).await?;
    Ok(reached)
}

/// The same where each of the verdicts rests on a limit without room: where one has room, nothing is acted on.
pub async fn all_full<'v>(
    cx: &Cx<'_>,
    using: Using<'_>,
    verdicts: impl Iterator<Item = &'v Verdict>,
) -> Result<Vec<Reached>> {
    let reached = obligations::all_full(cx, (using.client, using.subject), verdicts).await?;
    act(cx, using, &reached).await?;
    Ok(reached)
}

/// Acts on limits that have no room.
pub async fn act(cx: &Cx<'_>, using: Using<'_>, reached: &[Reached]) -> Result<()> {
    for one in reached.iter().filter(|one| one.limit.suspends) {
        match suspend(cx, using, one).await {
            // It is gone, or another request was first.
            Err(Error::Refused(refusal)) if matches!(refusal.reason, Reason::NotFound | Reason::Conflict) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

async fn suspend(cx: &Cx<'_>, using: Using<'_>, reached: &Reached) -> Result<()> {
    let Using { client, subject, grant_type } = using;
    let identity;
    let (kind, id) = match reached.limit.rate.by {
        By::Client => (Stoppable::Client, client),
        By::Identity | By::User => {
            identity = identities::register(cx, client, subject, grant_type).await?;
            (Stoppable::Identity, identity.id.as_str())
        }
    };
    let command = Command::parse(kind, id, None, client)?;
    let guard = store::limits::tell(&cx.tenant.id, &reached.one);
    kill::suspend_once(cx, &command, guard, reached.text()).await
}
