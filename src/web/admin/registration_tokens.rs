//! `admin/registration-tokens`: initial access tokens (RFC 7591 §3), with which clients register themselves.

use super::idempotency::once;
use super::page::page;
use crate::error::Result;
use crate::model::client::MAX_TEXT;
use crate::model::registration::InitialToken;
use crate::registration::dynamic;
use crate::store;
use crate::web::schema::{Kind, Member, members, object, sent};
use crate::web::{AdminCall, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A year.
const MAX_EXPIRES_IN: i64 = 31_536_000;
/// A week.
const EXPIRES_IN: i64 = 604_800;

const SHOWN: &[Member] = members![
    must "id" Kind::Word,
    must "name" Kind::Word,
    must "created_at" Kind::Time,
    must "expires_at" Kind::Time,
];

object!(
    /// What an initial access token is made with.
    NEW_TOKEN = "NewRegistrationToken" [members![
        must "name" Kind::Text(MAX_TEXT),
        may "expires_in" Kind::Whole(1, MAX_EXPIRES_IN),
    ]]
);

object!(
    /// An initial access token without itself.
    TOKEN = "RegistrationToken" [SHOWN]
);

object!(
    /// An initial access token that was just made.
    MADE_TOKEN = "MadeRegistrationToken" [SHOWN, members![must "registration_token" Kind::Word]]
);

#[derive(Deserialize)]
struct Body {
    name: String,
    #[serde(default)]
    expires_in: Option<i64>,
}

/// Lists tokens.
pub async fn list(call: AdminCall<'_>) -> Result<Response> {
    let page = page(call, &[])?;
    let found = call.cx.all(store::registration::list(&call.cx.tenant.id, page.after(), page.rows())).await?;
    Ok(page.of(found, |token| (token.id.clone(), view(&token))))
}

/// Makes a token.
pub async fn create(call: AdminCall<'_>) -> Result<Response> {
    once(call, async || {
        let Body { name, expires_in } = sent(call.request)?.read_plain(&NEW_TOKEN).await?;
        let (creation, secret) = dynamic::create_token(call.cx, name, expires_in.unwrap_or(EXPIRES_IN), call.admin);
        let mut members = view(&creation.record);
        members.insert("registration_token".to_owned(), secret.expose().as_str().into());
        Ok((creation, Response::json(201, &members)))
    })
    .await
}

/// Removes a token.
pub async fn delete(call: AdminCall<'_>) -> Result<Response> {
    dynamic::delete_token(call.cx, call.id(0)?, call.admin).await?;
    Ok(Response::empty(204))
}

fn view(InitialToken { id, name, created_at, expires_at }: &InitialToken) -> Map<String, Value> {
    match json!({"id": id, "name": name, "created_at": created_at, "expires_at": expires_at}) {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
