//! `admin/connections`: how to reach downstream services. A `secret` goes in and never comes out.

use super::{body, expect_if_sent, expect_present, item, kill, page};
use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::model::{Connection, Status, Stoppable};
use crate::store;
use crate::vault::{self, Draft};
use crate::web::{Call, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    kind: String,
    config: Value,
    #[serde(default)]
    secret: Option<Value>,
}

#[derive(Serialize)]
struct View {
    name: String,
    kind: String,
    config: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<CredentialView>,
    status: Status,
    created_at: i64,
    updated_at: i64,
}

#[derive(Serialize)]
struct CredentialView {
    account: String,
    created_at: i64,
}

fn view(connection: Connection) -> View {
    let Connection { name, kind, settings, credential, status, created_at, updated_at, .. } = connection;
    let credential =
        credential.map(|pointer| CredentialView { account: settings.account, created_at: pointer.created_at });
    View { name, kind, config: settings.config, credential, status, created_at, updated_at }
}

async fn find(cx: &Cx<'_>, name: &str) -> Result<Option<Connection>> {
    cx.one(store::connections::get(&cx.tenant.id, name)).await
}

/// Lists connections by name.
pub async fn list(call: Call<'_>) -> Result<Response> {
    let page = page(call)?;
    let found = call.cx.all(store::connections::list(&call.cx.tenant.id, page.after(), page.rows())).await?;
    Ok(page.of(found, |connection| (connection.name.clone(), view(connection))))
}

/// Shows a connection.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let connection = find(call.cx, call.id(0)?).await?.ok_or(Reason::NotFound)?;
    let version = connection.version;
    Ok(item(200, &view(connection), version))
}

/// Makes a connection, or changes one.
pub async fn put(call: Call<'_>) -> Result<Response> {
    let name = call.id(0)?;
    let Body { kind, config, secret } = body(call)?;
    let draft = Draft { kind, config, secret };
    let present = find(call.cx, name).await?;
    expect_present(call, present.as_ref().map(|connection| connection.version))?;
    let (status, connection) = match present {
        Some(present) => (200, vault::update(call.cx, call.admin()?, present, draft).await?),
        None => (201, vault::create(call.cx, call.admin()?, name, draft).await?),
    };
    let version = connection.version;
    Ok(item(status, &view(connection), version))
}

/// Removes a connection; what it held cannot be read again.
pub async fn delete(call: Call<'_>) -> Result<Response> {
    let connection = find(call.cx, call.id(0)?).await?.ok_or(Reason::NotFound)?;
    expect_if_sent(call, connection.version)?;
    vault::remove(call.cx, call.admin()?, &connection).await?;
    Ok(Response::empty(204))
}

/// Stops a connection until it is resumed.
pub async fn suspend(call: Call<'_>) -> Result<Response> {
    kill::suspend(call, Stoppable::Connection).await
}

/// Lets a suspended connection go on.
pub async fn resume(call: Call<'_>) -> Result<Response> {
    kill::resume(call, Stoppable::Connection).await?;
    get(call).await
}

/// Stops a connection for good; its credential cannot be read again.
pub async fn kill(call: Call<'_>) -> Result<Response> {
    kill::kill(call, Stoppable::Connection).await
}
