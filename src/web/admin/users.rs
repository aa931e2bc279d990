//! `admin/users`: the people on whose behalf agents act, and what outside issuers call them.
//!
//! 1. Two users never have one account, and no user is found by anything else (see [`crate::directory::users`]).

use super::{body, changes, created, expect_if_sent, expect_version, item, kill, page};
use crate::context::Cx;
use crate::directory::users;
use crate::error::{Reason, Result};
use crate::model::{Status, Stoppable, User, UserBody};
use crate::store;
use crate::web::{Call, Response};
use serde::Serialize;

#[derive(Serialize)]
struct View {
    id: String,
    #[serde(flatten)]
    body: UserBody,
    status: Status,
    created_at: i64,
    updated_at: i64,
}

fn view(user: User) -> View {
    let User { id, body, status, created_at, updated_at, .. } = user;
    View { id, body, status, created_at, updated_at }
}

fn show(user: User) -> Response {
    let version = user.version;
    item(200, &view(user), version)
}

async fn find(cx: &Cx<'_>, id: &str) -> Result<User> {
    cx.one(store::users::get(&cx.tenant.id, id)).await?.ok_or_else(|| Reason::NotFound.into())
}

fn read(call: Call<'_>) -> Result<UserBody> {
    let user: UserBody = body(call)?;
    user.check().map_err(|problem| Reason::InvalidField.because(problem))?;
    Ok(user)
}

/// Lists users, the oldest first.
pub async fn list(call: Call<'_>) -> Result<Response> {
    let page = page(call)?;
    let found = call.cx.all(store::users::list(&call.cx.tenant.id, page.after(), page.rows())).await?;
    Ok(page.of(found, |user| (user.id.clone(), view(user))))
}

/// Makes a user.
pub async fn create(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    let user = User::new(read(call)?, cx.now, &*cx.world.entropy);
    if !users::create(cx, &user, Some(call.admin()?)).await? {
        return Err(Reason::Conflict.because("another user has one of the `accounts`"));
    }
    let (path, version) = (format!("users/{}", user.id), user.version);
    Ok(created(call, &path, &view(user), version))
}

/// Shows a user.
pub async fn get(call: Call<'_>) -> Result<Response> {
    Ok(show(find(call.cx, call.id(0)?).await?))
}

/// Replaces what is known of a user, accounts included.
pub async fn put(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    let body = read(call)?;
    let user = find(cx, call.id(0)?).await?;
    expect_version(call, user.version)?;
    if user.status == Status::Retired {
        return Err(Reason::Conflict.because("the user is retired"));
    }
    if !users::update(cx, &user, &body, changes(&user.body, &body), call.admin()?).await? {
        // Either another change came first, or another user has one of the accounts.
        return Err(match find(cx, &user.id).await?.version == user.version {
            true => Reason::Conflict.because("another user has one of the `accounts`"),
            false => Reason::PreconditionFailed.into(),
        });
    }
    let version = user.version.saturating_add(1);
    Ok(show(User { body, version, updated_at: cx.now.seconds(), ..user }))
}

/// Removes a user; no token about them is honoured any more.
pub async fn delete(call: Call<'_>) -> Result<Response> {
    let user = find(call.cx, call.id(0)?).await?;
    expect_if_sent(call, user.version)?;
    match users::delete(call.cx, &user, call.admin()?).await? {
        true => Ok(Response::empty(204)),
        false => Err(Reason::PreconditionFailed.into()),
    }
}

/// Stops a user until they are resumed.
pub async fn suspend(call: Call<'_>) -> Result<Response> {
    kill::suspend(call, Stoppable::User).await
}

/// Lets a suspended user go on.
pub async fn resume(call: Call<'_>) -> Result<Response> {
    kill::resume(call, Stoppable::User).await?;
    get(call).await
}

/// Stops a user for good, with every agentic identity that acts for them.
pub async fn kill(call: Call<'_>) -> Result<Response> {
    kill::kill(call, Stoppable::User).await
}
