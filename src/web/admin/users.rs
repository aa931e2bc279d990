//! `admin/users`: the people on whose behalf agents act, and what outside issuers call them.

use super::aggregate::{self, Aggregate, Posted, Posting, Shown, optional};
use super::{Page, kill};
use crate::context::Cx;
use crate::directory::users;
use crate::error::Result;
use crate::model::user::{MAX_ACCOUNT_TEXT, MAX_ACCOUNTS, MAX_ITEMS, MAX_TEXT};
use crate::model::{Stoppable, User, UserBody};
use crate::store;
use crate::web::schema::objects::STATUS;
use crate::web::schema::{Kind, Member, Object, members, object};
use crate::web::{AdminCall, Response};
use serde_json::{Map, Value};

object!(
    /// What an outside issuer calls a user.
    ACCOUNT = "Account" [members![
        must "issuer" Kind::Text(MAX_ACCOUNT_TEXT),
        must "subject" Kind::Text(MAX_ACCOUNT_TEXT),
    ]]
);

const WORDS: Kind = Kind::List(&Kind::Text(MAX_TEXT), MAX_ITEMS);
const ACCOUNTS: Kind = Kind::List(&Kind::Object(&ACCOUNT), MAX_ACCOUNTS);

const BODY_MEMBERS: &[Member] = members![
    may "name" Kind::Text(MAX_TEXT),
    may "email" Kind::Text(MAX_TEXT),
    may "roles" WORDS,
    may "groups" WORDS,
    may "claims" WORDS,
    may "accounts" ACCOUNTS,
];

object!(
    /// What a user is made with.
    BODY = "UserBody" [BODY_MEMBERS]
);

object!(
    /// What a user is changed to: as shown, or without what only the server sets.
    PUT_BODY = "UserUpdate" [BODY_MEMBERS, members![
        read "id" Kind::Word,
        read "status" STATUS,
        read "created_at" Kind::Time,
        read "updated_at" Kind::Time,
    ]]
);

object!(
    /// A user.
    USER = "User" [BODY_MEMBERS, members![
        must "id" Kind::Word,
        must "roles" WORDS,
        must "groups" WORDS,
        must "accounts" ACCOUNTS,
        must "status" STATUS,
        must "created_at" Kind::Time,
        must "updated_at" Kind::Time,
    ]]
);

/// Users.
pub struct Users;

impl Aggregate for Users {
    type Record = User;
    type Body = UserBody;

    const PATH: &'static str = "users";
    const BODY: Object = PUT_BODY;
    const FILTERS: &'static [&'static str] = &["name"];

    fn id(user: &User) -> (&str, i64) {
        (&user.id, user.version)
    }

    fn view(_: &Cx<'_>, user: &User) -> Map<String, Value> {
        Shown {
            id: ("id", &user.id),
            body: &user.body,
            status: Some(user.status),
            created: ("created_at", user.created_at),
            updated_at: user.updated_at,
        }
        .members()
    }

    async fn find(cx: &Cx<'_>, id: &str) -> Result<Option<User>> {
        optional(users::find(cx, id).await)
    }

    async fn list(cx: &Cx<'_>, page: &Page) -> Result<Vec<User>> {
        let (tenant, after, rows) = (&cx.tenant.id, page.after(), page.rows());
        match page.get("name") {
            Some(name) => cx.all(store::users::named(tenant, name, after, rows)).await,
            None => cx.all(store::users::list(tenant, after, rows)).await,
        }
    }

    async fn problems(_: &Cx<'_>, body: &UserBody) -> Result<Vec<String>> {
        Ok(body.problems())
    }

    async fn update(call: AdminCall<'_>, present: User, body: UserBody) -> Result<User> {
        users::update(call.cx, present, body, Some(call.admin)).await
    }

    async fn delete(call: AdminCall<'_>, present: &User) -> Result<()> {
        users::delete(call.cx, present, call.admin).await
    }
}

impl Posted for Users {
    type New = UserBody;

    const NEW: Object = BODY;

    async fn problems_of_new(_: &Cx<'_>, body: &UserBody) -> Result<Vec<String>> {
        Ok(body.problems())
    }

    fn create(call: AdminCall<'_>, body: UserBody) -> Result<Posting<User>> {
        Ok(users::create(call.cx, body, Some(call.admin))?.into())
    }
}

/// Lets a suspended user go on.
pub async fn resume(call: AdminCall<'_>) -> Result<Response> {
    kill::resume(call, Stoppable::User).await?;
    aggregate::get::<Users>(call).await
}
