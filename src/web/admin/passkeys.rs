//! `admin/users/{id}/passkeys` and `admin/users/{id}/invitations`: how people without an identity provider sign in.

use super::aggregate::object;
use super::idempotency::once;
use super::items;
use crate::authn::people::{invitation, passkey};
use crate::directory::users;
use crate::error::Result;
use crate::model::Passkey;
use crate::model::passkey::MAX_NAME;
use crate::web::schema::objects::PROOF_ALG;
use crate::web::schema::{Kind, members, object};
use crate::web::{AdminCall, Response};
use serde::Serialize;

object!(
    /// A passkey, without its key.
    PASSKEY = "Passkey" [members![
        must "id" Kind::Word,
        may "name" Kind::Text(MAX_NAME),
        must "alg" PROOF_ALG,
        must "backed_up" Kind::Boolean,
        must "created_at" Kind::Time,
        may "used_at" Kind::Time,
    ]]
);

object!(
    /// An invitation that was just made.
    INVITATION = "Invitation" [members![must "url" Kind::Word, must "expires_at" Kind::Time]]
);

#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    alg: &'static str,
    backed_up: bool,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    used_at: Option<i64>,
}

fn view(passkey: &Passkey) -> View<'_> {
    let Passkey { id, record, name, created_at, used_at, .. } = passkey;
    View {
        id,
        name: name.as_deref(),
        alg: record.key.alg().as_str(),
        backed_up: record.backup_state,
        created_at: *created_at,
        used_at: *used_at,
    }
}

/// Lists the passkeys of a user, the oldest first.
pub async fn list(call: AdminCall<'_>) -> Result<Response> {
    let user = users::find(call.cx, call.id(0)?).await?;
    let all = passkey::list(call.cx, &user.id).await?;
    Ok(items(&all.iter().map(view).collect::<Vec<_>>(), None))
}

/// Removes a passkey of a user.
pub async fn delete(call: AdminCall<'_>) -> Result<Response> {
    passkey::remove(call.cx, call.id(0)?, call.id(1)?, Some(call.admin)).await?;
    Ok(Response::empty(204))
}

/// Invites a user.
pub async fn invite(call: AdminCall<'_>) -> Result<Response> {
    once(call, async || {
        let user = users::find(call.cx, call.id(0)?).await?;
        let (creation, link) = invitation::create(call.cx, &user, call.admin);
        let mut members = object(&serde_json::json!({"expires_at": creation.record.expires_at}));
        members.insert("url".to_owned(), link.expose().as_str().into());
        Ok((creation, Response::json(201, &members)))
    })
    .await
}
