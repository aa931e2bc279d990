//! `GET /health`: whether D1 answers.

use super::{Response, SiteCall};
use crate::context::database::Database;
use crate::error::Result;
use crate::store;
use serde_json::json;

/// `{"status":"ok"}` when D1 answers, else 503.
pub async fn get(call: SiteCall<'_>) -> Result<Response> {
    Database(&*call.world.db).one(store::tenants::get("main")).await?;
    Ok(Response::json(200, &json!({"status": "ok"})))
}
