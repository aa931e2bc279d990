//! A breach of a limit in a policy, and what the policy says of it.
//!
//! 1. `@on_breach("suspend")` suspends whose uses count: the client where those of a client do, else the agentic identity. Never a user, and
//!    never a tenant.
//! 2. It does so once a window, with its event: whom an administrator has let go on is not suspended again in the same window.
//! 3. The answer is refused in any case. A suspension that fails refuses as a fault, and the next breach tries again.

use super::kill::{self, Command};
use crate::cedar::{By, Limit};
use crate::context::Cx;
use crate::directory::identities;
use crate::error::{Error, Reason, Result};
use crate::model::Stoppable;
use crate::policy::obligations::{self, Reached};
use crate::store;

/// Counts one use of each limit by a client for a subject; answers which have no room, after acting on it.
pub async fn count(cx: &Cx<'_>, parties: (&str, &str), limits: &[Limit]) -> Result<Vec<Reached>> {
    let reached = obligations::claim(cx, parties, limits).await?;
    act(cx, parties, &reached).await?;
    Ok(reached)
}

/// Answers which limits have no room, after acting on it; counts nothing.
pub async fn full(cx: &Cx<'_>, parties: (&str, &str), limits: &[Limit]) -> Result<Vec<Reached>> {
    let reached = obligations::full(cx, parties, limits).await?;
    act(cx, parties, &reached).await?;
    Ok(reached)
}

async fn act(cx: &Cx<'_>, parties: (&str, &str), reached: &[Reached]) -> Result<()> {
    for one in reached.iter().filter(|one| one.limit.suspends) {
        match suspend(cx, parties, one).await {
            // It is gone, or another request was first.
            Err(Error::Refused(refusal)) if matches!(refusal.reason, Reason::NotFound | Reason::Conflict) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

async fn suspend(cx: &Cx<'_>, (client, subject): (&str, &str), reached: &Reached) -> Result<()> {
    let identity;
    let (kind, id) = match reached.limit.rate.by {
        By::Client => (Stoppable::Client, client),
        By::Identity | By::User => match identities::load(cx, client, subject).await? {
            None => return Ok(()),
            Some(found) => {
                identity = found;
                (Stoppable::Identity, identity.id.as_str())
            }
        },
    };
    let command = Command::parse(kind, id, None, client)?;
    let guard = store::limits::tell(&cx.tenant.id, &reached.one);
    kill::suspend_once(cx, &command, guard, reached.text()).await
}
