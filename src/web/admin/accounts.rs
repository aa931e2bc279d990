//! `admin/connections/{name}/accounts` and `…/connect`: the accounts that people have connected, and links to connect more.

use super::page::page;
use crate::directory::connections::NEVER;
use crate::directory::users;
use crate::error::{Error, Reason, Result};
use crate::model::{AccountStatus, ConnectedAccount};
use crate::oauth::Scope;
use crate::store;
use crate::vault::Owner;
use crate::vault::accounts;
use crate::vault::connect::{self, Wanted};
use crate::web::schema::objects::{ID, SLUG};
use crate::web::schema::{Kind, SCOPE, members, object, sent};
use crate::web::{AdminCall, Response};
use serde::Deserialize;
use serde_json::{Value, json};

const STATUSES: Kind = Kind::Words("AccountStatus", || AccountStatus::ALL.map(AccountStatus::as_str).to_vec());

object!(
    /// An account at a service, without its tokens.
    ACCOUNT = "ConnectedAccount" [members![
        must "id" Kind::Word,
        may "user" Kind::Word,
        may "label" Kind::Word,
        must "account" Kind::Word,
        must "scope_asked" Kind::Word,
        must "scope" Kind::Word,
        must "status" STATUSES,
        may "access_token_expires_at" Kind::Time,
        must "created_at" Kind::Time,
        must "updated_at" Kind::Time,
    ]]
);

object!(
    /// Who connects an account: their own, or that of the tenant where the connection has one.
    CONNECT = "NewConnectLink" [members![
        must "user" ID,
        may "label" SLUG,
        may "scope" SCOPE,
    ]]
);

object!(
    /// A link that was just made.
    LINK = "ConnectLink" [members![must "connect_url" Kind::Word]]
);

#[derive(Deserialize)]
struct Body {
    user: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    scope: Option<String>,
}

fn view(account: &ConnectedAccount, now: i64) -> Value {
    let mut members = json!({
        "id": account.id, "account": account.name, "scope_asked": account.scope_asked, "scope": account.scope,
        "status": account.standing(now).as_str(), "created_at": account.created_at, "updated_at": account.updated_at,
    });
    let user = (!account.owner.is_empty()).then(|| account.owner.as_str().into());
    let label = (!account.label.is_empty()).then(|| account.label.as_str().into());
    let expires = (account.expires_at < NEVER).then(|| account.expires_at.into());
    for (name, value) in [("user", user), ("label", label), ("access_token_expires_at", expires)] {
        if let (Some(members), Some(value)) = (members.as_object_mut(), value) {
            members.insert(name.to_owned(), value);
        }
    }
    members
}

/// Lists the accounts of a connection, the oldest first.
pub async fn list(call: AdminCall<'_>) -> Result<Response> {
    let (cx, name, page) = (call.cx, call.id(0)?, page(call, &[])?);
    cx.one(store::connections::get(&cx.tenant.id, name)).await?.ok_or(Reason::NotFound)?;
    let found = cx.all(store::accounts::of_connection(&cx.tenant.id, name, page.after(), page.rows())).await?;
    Ok(page.of(found, |account| (account.id.clone(), view(&account, cx.now.seconds()))))
}

/// Disconnects an account; its tokens are revoked at the service.
pub async fn delete(call: AdminCall<'_>) -> Result<Response> {
    accounts::disconnect(call.cx, &found(call).await?, Some(call.admin)).await?;
    Ok(Response::empty(204))
}

async fn found(call: AdminCall<'_>) -> Result<ConnectedAccount> {
    let (cx, name) = (call.cx, call.id(0)?);
    let account = cx.one(store::accounts::get(&cx.tenant.id, call.id(1)?)).await?;
    account.filter(|account| account.connection == name).ok_or_else(|| Reason::NotFound.into())
}

/// Stops an account until it is resumed.
pub async fn suspend(call: AdminCall<'_>) -> Result<Response> {
    let account = found(call).await?;
    accounts::suspend(call.cx, &account, call.admin).await?;
    shown(call, &account, AccountStatus::Disabled)
}

/// Lets an account that was stopped go on.
pub async fn resume(call: AdminCall<'_>) -> Result<Response> {
    let account = found(call).await?;
    accounts::resume(call.cx, &account, call.admin).await?;
    shown(call, &account, AccountStatus::Active)
}

fn shown(call: AdminCall<'_>, account: &ConnectedAccount, status: AccountStatus) -> Result<Response> {
    let now = call.cx.now.seconds();
    let account = ConnectedAccount { status, updated_at: now, ..account.clone() };
    Ok(Response::json(200, &view(&account, now)))
}

/// Makes a link for a user, who connects their own account, or that of the tenant.
pub async fn link(call: AdminCall<'_>) -> Result<Response> {
    let (cx, name) = (call.cx, call.id(0)?);
    let found = connect::find(cx, name).await.map_err(|error| match error {
        Error::Refused(_) => Reason::NotFound.into(),
        fault => fault,
    })?;
    let Body { user, label, scope } = sent(call.request)?.read_plain(&CONNECT).await?;
    let user = users::find(cx, &user).await?.id;
    let owner = match found.settings.owner {
        Owner::User => user.clone(),
        Owner::Tenant => String::new(),
    };
    let scopes = scope.and_then(|text| Scope::parse(&text)).map(|scope| scope.to_vec()).unwrap_or_default();
    let until = connect::link_until(cx.now.seconds());
    let wanted = Wanted { connection: name.to_owned(), user: Some(user), owner, label, scopes, client: None, until };
    Ok(Response::json(200, &json!({"connect_url": connect::link(cx, &wanted)?})))
}
