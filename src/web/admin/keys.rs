//! `admin/keys`: signing keys, without their private halves.

use super::items;
use crate::error::Result;
use crate::keys;
use crate::model::KeyState;
use crate::web::schema::objects::ALG;
use crate::web::schema::{Kind, members, object};
use crate::web::{AdminCall, Response};
use serde::Serialize;

object!(
    /// A signing key.
    KEY = "Key" [members![
        must "kid" Kind::Word,
        must "alg" ALG,
        must "state" Kind::Words("KeyState", || {
            [KeyState::Next, KeyState::Current, KeyState::Retired].map(KeyState::as_str).to_vec()
        }),
        must "created_at" Kind::Time,
        must "changed_at" Kind::Time,
    ]]
);

#[derive(Serialize)]
struct View {
    kid: String,
    alg: &'static str,
    state: &'static str,
    created_at: i64,
    changed_at: i64,
}

/// Lists the keys that are published, by algorithm and age.
pub async fn list(call: AdminCall<'_>) -> Result<Response> {
    let keys = keys::all(call.cx).await?;
    let views: Vec<View> = keys
        .iter()
        .map(|key| View {
            kid: key.public.kid().to_owned(),
            alg: key.public.alg().as_str(),
            state: key.state.as_str(),
            created_at: key.created_at,
            changed_at: key.changed_at,
        })
        .collect();
    Ok(items(&views, None))
}

/// Lets the next keys sign and answers the new list.
pub async fn rotate(call: AdminCall<'_>) -> Result<Response> {
    keys::rotate(call.cx, Some(call.admin)).await?;
    list(call).await
}

/// Withdraws a key at once and answers the new list.
pub async fn revoke(call: AdminCall<'_>) -> Result<Response> {
    keys::revoke(call.cx, call.call.id(0)?, call.admin).await?;
    list(call).await
}
