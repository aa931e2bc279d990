//! List, show, make, change and remove, for every kind of record.
//!
//! 1. A `PUT` takes the body that a `GET` showed: members that only the server sets are accepted as they are shown.
//! 2. An update needs `If-Match` with the `ETag` that was read (RFC 9110 §13.1.1, RFC 6585 §3); a removal holds to one that is sent.
//!    `If-None-Match: *` makes what is not there, and nothing else (§13.1.2).

use super::idempotency::once;
use super::page::{Page, page};
use crate::context::Cx;
use crate::directory::Creation;
use crate::error::{Error, Reason, Result};
use crate::model::Status;
use crate::web::negotiation::{Conditions, etag};
use crate::web::schema::{Object, sent};
use crate::web::{AdminCall, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A record as it is shown.
pub struct Shown<'a, B> {
    /// The name of the member that has its id, and the id.
    pub id: (&'static str, &'a str),
    /// The members that an administrator has set.
    pub body: &'a B,
    /// Its status, if it has one.
    pub status: Option<Status>,
    /// The name of the member that says when it was made, and when that was.
    pub created: (&'static str, i64),
    /// When it was changed last.
    pub updated_at: i64,
}

impl<B: Serialize> Shown<'_, B> {
    /// Its members.
    pub fn members(self) -> Map<String, Value> {
        let mut members = object(self.body);
        members.insert(self.id.0.to_owned(), self.id.1.into());
        if let Some(status) = self.status {
            members.insert("status".to_owned(), status.as_str().into());
        }
        members.insert(self.created.0.to_owned(), self.created.1.into());
        members.insert("updated_at".to_owned(), self.updated_at.into());
        members
    }
}

/// The members of what is written as an object.
pub fn object(body: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(body) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// A kind of record that administrators change.
#[expect(async_fn_in_trait, reason = "nothing is sent to another thread")]
pub trait Aggregate {
    /// The record.
    type Record;
    /// The members that an administrator sets.
    type Body: DeserializeOwned;

    /// Its path below the admin API.
    const PATH: &'static str;
    /// The body of a `PUT`.
    const BODY: Object;
    /// The members by which a list can be narrowed.
    const FILTERS: &'static [&'static str];

    /// Its id, and how often it was changed.
    fn id(record: &Self::Record) -> (&str, i64);
    /// As it is shown.
    fn view(cx: &Cx<'_>, record: &Self::Record) -> Map<String, Value>;
    /// The record of that id; nothing if there is none.
    async fn find(cx: &Cx<'_>, id: &str) -> Result<Option<Self::Record>>;
    /// One page, in the order of ids.
    async fn list(cx: &Cx<'_>, page: &Page) -> Result<Vec<Self::Record>>;
    /// The problems of a body beyond its shape.
    async fn problems(cx: &Cx<'_>, body: &Self::Body) -> Result<Vec<String>>;
    /// Changes the record; it stays as it is if the body says the same.
    async fn update(call: AdminCall<'_>, present: Self::Record, body: Self::Body) -> Result<Self::Record>;
    /// Warnings: what in the record probably does not mean what it says.
    async fn warnings(_cx: &Cx<'_>, _record: &Self::Record) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// Warnings: what a change took away that its sender may not have meant to.
    fn taken_away(_before: &Map<String, Value>, _record: &Self::Record) -> Vec<String> {
        Vec::new()
    }
    /// Removes it.
    async fn delete(call: AdminCall<'_>, present: &Self::Record) -> Result<()>;
}

/// A record that is about to be made, and the members that only this answer has.
pub struct Posting<T> {
    /// The record.
    pub creation: Creation<T>,
    /// Secrets.
    pub once: Map<String, Value>,
}

impl<T> From<Creation<T>> for Posting<T> {
    fn from(creation: Creation<T>) -> Self {
        Self { creation, once: Map::new() }
    }
}

/// A kind of record that a `POST` makes.
#[expect(async_fn_in_trait, reason = "nothing is sent to another thread")]
pub trait Posted: Aggregate {
    /// The body of a `POST`.
    type New: DeserializeOwned;
    /// Its description.
    const NEW: Object;

    /// The problems of a new body beyond its shape.
    async fn problems_of_new(cx: &Cx<'_>, new: &Self::New) -> Result<Vec<String>>;
    /// The record that is about to be made.
    fn create(call: AdminCall<'_>, new: Self::New) -> Result<Posting<Self::Record>>;
}

/// A kind of record that a `PUT` makes under the name in its path.
#[expect(async_fn_in_trait, reason = "nothing is sent to another thread")]
pub trait Named: Aggregate {
    /// Passes if a record can have that name.
    fn check_name(name: &str) -> Result<()>;
    /// Makes it.
    async fn create(call: AdminCall<'_>, name: &str, body: Self::Body) -> Result<Self::Record>;
}

/// For [`Aggregate::find`]: that there is no such record is no refusal yet.
pub fn optional<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(record) => Ok(Some(record)),
        Err(Error::Refused(refusal)) if refusal.reason == Reason::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn existing<T: Aggregate>(call: AdminCall<'_>) -> Result<T::Record> {
    T::find(call.cx, call.id(0)?).await?.ok_or_else(|| Reason::NotFound.into())
}

fn show<T: Aggregate>(status: u16, cx: &Cx<'_>, record: &T::Record) -> Response {
    Response::json(status, &T::view(cx, record)).with("etag", etag(T::id(record).1))
}

/// As [`show`], for a record that was just written.
async fn show_written<T: Aggregate>(status: u16, cx: &Cx<'_>, record: &T::Record) -> Result<Response> {
    Ok(Response::json(status, &view_written::<T>(cx, record).await?).with("etag", etag(T::id(record).1)))
}

async fn view_written<T: Aggregate>(cx: &Cx<'_>, record: &T::Record) -> Result<Map<String, Value>> {
    let mut members = T::view(cx, record);
    let warnings = T::warnings(cx, record).await?;
    if !warnings.is_empty() {
        members.insert("warnings".to_owned(), warnings.into());
    }
    Ok(members)
}

/// Lists records, a page at a time.
pub async fn list<T: Aggregate>(call: AdminCall<'_>) -> Result<Response> {
    let page = page(call, T::FILTERS)?;
    let found = T::list(call.cx, &page).await?;
    Ok(page.of(found, |record| (T::id(&record).0.to_owned(), T::view(call.cx, &record))))
}

/// Shows a record.
pub async fn get<T: Aggregate>(call: AdminCall<'_>) -> Result<Response> {
    Ok(show::<T>(200, call.cx, &existing::<T>(call).await?))
}

/// Makes a record, under an id of its own.
pub async fn post<T: Posted>(call: AdminCall<'_>) -> Result<Response> {
    once(call, async || {
        let check = async |new: &T::New| T::problems_of_new(call.cx, new).await;
        let new = sent(call.request)?.read(&T::NEW, check).await?;
        let Posting { creation, once } = T::create(call, new)?;
        let (id, version) = T::id(&creation.record);
        let mut members = view_written::<T>(call.cx, &creation.record).await?;
        members.extend(once);
        let location = format!("{}/admin/{}/{id}", call.cx.issuer(), T::PATH);
        let response = Response::json(201, &members).with("etag", etag(version)).with("location", location);
        Ok((creation, response))
    })
    .await
}

/// Changes a record that is there.
pub async fn put<T: Aggregate>(call: AdminCall<'_>) -> Result<Response> {
    let sent = sent(call.request)?;
    let present = existing::<T>(call).await?;
    let before = T::view(call.cx, &present);
    let sent = sent.without_read_only(&T::BODY, &before);
    let body = sent.read(&T::BODY, async |body: &T::Body| T::problems(call.cx, body).await).await?;
    Conditions::of(call.request).expect_update(T::id(&present).1)?;
    let record = T::update(call, present, body).await?;
    let mut members = view_written::<T>(call.cx, &record).await?;
    let mut warnings: Vec<Value> = T::taken_away(&before, &record).into_iter().map(Value::from).collect();
    if !warnings.is_empty() {
        warnings.extend(members.get("warnings").and_then(Value::as_array).into_iter().flatten().cloned());
        members.insert("warnings".to_owned(), warnings.into());
    }
    Ok(Response::json(200, &members).with("etag", etag(T::id(&record).1)))
}

/// Makes the record of the name in the path, or changes it.
pub async fn put_named<T: Named>(call: AdminCall<'_>) -> Result<Response> {
    let (sent, name) = (sent(call.request)?, call.id(0)?);
    let conditions = Conditions::of(call.request);
    let check = async |body: &T::Body| T::problems(call.cx, body).await;
    match T::find(call.cx, name).await? {
        Some(present) => {
            let sent = sent.without_read_only(&T::BODY, &T::view(call.cx, &present));
            let body = sent.read(&T::BODY, check).await?;
            conditions.expect_update(T::id(&present).1)?;
            show_written::<T>(200, call.cx, &T::update(call, present, body).await?).await
        }
        None => {
            T::check_name(name)?;
            let body = sent.read(&T::BODY, check).await?;
            conditions.expect(None)?;
            show_written::<T>(201, call.cx, &T::create(call, name, body).await?).await
        }
    }
}

/// Removes a record.
pub async fn delete<T: Aggregate>(call: AdminCall<'_>) -> Result<Response> {
    let present = existing::<T>(call).await?;
    Conditions::of(call.request).expect(Some(T::id(&present).1))?;
    T::delete(call, &present).await?;
    Ok(Response::empty(204))
}
