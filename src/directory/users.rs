//! Users: finding the one whom an outside issuer means, and making, changing and removing them.
//!
//! 1. A user is found by (issuer, subject) and by nothing else: never by an email, a name or a subject alone (RFC 7523 §3,
//!    OpenID Connect Core §5.7).
//! 2. Two users never have one account. Of two requests at once that would make the same user, one does.
//! 3. Whom an issuer names and nobody knows is made on the spot only if the issuer is registered for that, and gets no
//!    roles and no groups but those that the issuer is registered to tell (see `told`).

use super::identities::StatusListKey;
use super::{Creation, changes};
use crate::audit;
use crate::context::cache::key;
use crate::context::{Change, Cx};
use crate::error::{Error, Fault, Reason, Rejection, Result};
use crate::model::event::Facts;
use crate::model::stop::StopTarget;
use crate::model::user::Account;
use crate::model::{EventType, Issuer, IssuerBody, Status, Stoppable, User, UserBody, id};
use crate::ports::Sql;
use crate::store;
use serde_json::{Map, Value};
use std::rc::Rc;

key!(
    /// A user by their id.
    UserKey(id) -> User = "user"
);

key!(
    /// The user whom an issuer calls by a subject.
    AccountKey(issuer, subject) -> User = "account"
);

/// The user of that id, at most as old as the freshness bound.
pub async fn load(cx: &Cx<'_>, id: &str) -> Result<Option<Rc<User>>> {
    if !id::is_plausible(id) {
        return Ok(None);
    }
    let read = async || cx.one(store::users::get(&cx.tenant.id, id)).await;
    Ok(cx.cached(&UserKey(id), read).await?.inspect(|user| note(cx, user)))
}

fn note(cx: &Cx<'_>, user: &User) {
    if let Some(name) = &user.body.name {
        cx.note_name(&user.id, name);
    }
}

/// The user whom `issuer` calls `subject`; made now if the issuer may make users. `claims` say how to call them.
pub async fn named(
    cx: &Cx<'_>,
    issuer: &Issuer,
    (subject, claims): (&str, &Map<String, Value>),
    client: Option<&str>,
) -> Result<Option<Rc<User>>> {
    let iss = issuer.body.issuer.as_str();
    if let Some(known) = by_account(cx, iss, subject).await? {
        return Ok(Some(known));
    }
    if !issuer.body.creates_users {
        return Ok(None);
    }
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let account = Account { issuer: iss.to_owned(), subject: subject.to_owned() };
    let claimed = UserBody { name: text("name"), email: text("email"), accounts: vec![account], ..UserBody::default() };
    let body = match claimed.problems().is_empty() {
        true => claimed,
        false => UserBody { name: None, email: None, ..claimed },
    };
    if !body.problems().is_empty() {
        return Ok(None);
    }
    made(cx, body, client, iss, subject).await
}

/// The user who has the one account of `body`, made now if nobody has it.
pub async fn ensure(cx: &Cx<'_>, body: UserBody) -> Result<Rc<User>> {
    let Some(Account { issuer, subject }) = body.accounts.first().cloned() else { return Err(Reason::NotFound.into()) };
    if let Some(known) = by_account(cx, &issuer, &subject).await? {
        return Ok(known);
    }
    made(cx, body, None, &issuer, &subject).await?.ok_or_else(|| Reason::NotFound.into())
}

async fn made(
    cx: &Cx<'_>,
    body: UserBody,
    client: Option<&str>,
    issuer: &str,
    subject: &str,
) -> Result<Option<Rc<User>>> {
    match create(cx, body, client)?.commit(cx).await {
        Ok(user) => Ok(Some(Rc::new(user))),
        // Another request has just made the user.
        Err(Error::Refused(refusal)) if refusal.reason == Reason::Conflict => by_account(cx, issuer, subject).await,
        Err(error) => Err(error),
    }
}

/// The user whom `issuer` calls `subject`, at most as old as the freshness bound.
pub async fn by_account(cx: &Cx<'_>, issuer: &str, subject: &str) -> Result<Option<Rc<User>>> {
    let read = async || cx.one(store::users::by_account(&cx.tenant.id, issuer, subject)).await;
    Ok(cx.cached(&AccountKey(issuer, subject), read).await?.inspect(|user| note(cx, user)))
}

/// The user of that id as they are stored now.
pub async fn find(cx: &Cx<'_>, id: &str) -> Result<User> {
    let user = cx.one(store::users::get(&cx.tenant.id, id)).await?.ok_or(Reason::NotFound)?;
    note(cx, &user);
    Ok(user)
}

/// A user who is about to be made.
pub fn create(cx: &Cx<'_>, body: UserBody, by: Option<&str>) -> Result<Creation<User>> {
    let user = User::new(body, cx.now, &*cx.world.entropy);
    note(cx, &user);
    let event = audit::event(cx, EventType::UserCreated, by, facts(&user, None));
    let guard = store::users::insert(&cx.tenant.id, &user, json(&user.body)?);
    let change = change(cx, guard, &user, None).event(event);
    Ok(Creation::new(user, change, "another user has one of the `accounts`"))
}

/// Gives a user another body.
pub async fn update(cx: &Cx<'_>, user: User, body: UserBody, by: Option<&str>) -> Result<User> {
    if user.body == body {
        return Ok(user);
    }
    if user.status == Status::Retired {
        return Err(Reason::Conflict.because("the user is retired"));
    }
    let event = audit::event(cx, EventType::UserUpdated, by, facts(&user, Some(changes(&user.body, &body))));
    let now = cx.now.seconds();
    let guard = store::users::update(&cx.tenant.id, &user.id, user.version, json(&body)?, now);
    if !cx.commit(change(cx, guard, &user, Some(&body)).event(event)).await? {
        return Err(match find(cx, &user.id).await?.version == user.version {
            true => Reason::Conflict.because("another user has one of the `accounts`"),
            false => Reason::PreconditionFailed.into(),
        });
    }
    Ok(User { body, version: user.version.saturating_add(1), updated_at: now, ..user })
}

/// The user after what an issuer has told: an update where it is news. Of two requests with the same news at once, one writes it.
pub async fn told(
    cx: &Cx<'_>,
    issuer: &IssuerBody,
    user: Rc<User>,
    (claims, is_all): (&Map<String, Value>, bool),
    by: Option<&str>,
) -> Result<Rc<User>, Rejection> {
    let next = |user: &User| super::told::told(issuer, claims, &user.body, is_all).map_err(Rejection::Because);
    if user.status == Status::Retired || next(&user)? == user.body {
        return Ok(user);
    }
    // What is remembered may be old, and another request may be first.
    for _ in 0..3 {
        let user = find(cx, &user.id).await?;
        let body = next(&user)?;
        match update(cx, user, body, by).await {
            Err(Error::Refused(refusal)) if refusal.reason == Reason::PreconditionFailed => {}
            user => return Ok(Rc::new(user?)),
        }
    }
    Err(Fault::Unavailable("a user who is being changed").into())
}

/// Removes a user. No token about them is honoured any more.
pub async fn delete(cx: &Cx<'_>, user: &User, by: &str) -> Result<()> {
    let event = audit::event(cx, EventType::UserDeleted, Some(by), facts(user, None));
    let guard = store::users::delete(&cx.tenant.id, &user.id, user.version);
    let identities = store::identities::retire_of_user(&cx.tenant.id, &user.id, cx.now.seconds());
    let change = change(cx, guard, user, None).invalidates(&StatusListKey).event(event).always(identities);
    let target = StopTarget { kind: Stoppable::User, id: &user.id };
    let change = store::consents::cascade(&cx.tenant.id, target, -1).into_iter().fold(change, Change::always);
    let change = store::passkeys::delete_of_stopped(&cx.tenant.id, &user.id).into_iter().fold(change, Change::always);
    let ended = store::accounts::end_of_user(&cx.tenant.id, &user.id, cx.now.seconds());
    let change = ended.into_iter().fold(change, Change::always);
    match cx.commit(change).await? {
        true => Ok(()),
        false => Err(Reason::PreconditionFailed.into()),
    }
}

/// A change of a user, with the index of accounts, and all that is cached of the accounts before and after.
fn change(cx: &Cx<'_>, guard: Sql, user: &User, after: Option<&UserBody>) -> Change {
    let mut change = invalidates(Change::guard(guard), user);
    for account in after.into_iter().flat_map(|body| &body.accounts) {
        change = change.invalidates(&AccountKey(&account.issuer, &account.subject));
    }
    store::users::index(&cx.tenant.id, &user.id).into_iter().fold(change, Change::always)
}

/// Adds all keys under which a user is cached.
pub fn invalidates(change: Change, user: &User) -> Change {
    let accounts = user.body.accounts.iter();
    accounts.fold(change.invalidates(&UserKey(&user.id)), |change, account| {
        change.invalidates(&AccountKey(&account.issuer, &account.subject))
    })
}

fn json(body: &UserBody) -> Result<String> {
    serde_json::to_string(body).map_err(|_| Fault::Broken("a user has no JSON").into())
}

fn facts(user: &User, detail: Option<String>) -> Facts {
    let (id, target_name) = (Some(user.id.clone()), user.body.name.clone());
    Facts { target: id.clone(), target_name, subject: id, detail, ..Facts::default() }
}
