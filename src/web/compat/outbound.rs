//! What a client that may use the admin API does with connections and accounts: looks at them, uploads what was connected elsewhere, deletes it.
//!
//! 1. An upload takes the place of what was there. The API key of a connection is the tenant's; of accounts there is one for each owner and label.
//! 2. A deletion disconnects: the tokens are revoked at the service.

use super::credential::{CHANGE, READ, managed};
use super::objects::{API_KEY, OAUTH_TOKEN, OAUTH_TOKENS};
use super::tokens::is_of_tenant;
use crate::context::Cx;
use crate::directory::connections::NEVER;
use crate::error::{Error, Reason, Refusal, Result};
use crate::model::Connection;
use crate::oauth::Form;
use crate::store;
use crate::vault::upload::{self, Prepared, Upload};
use crate::vault::{self, Draft, accounts};
use crate::web::schema::sent;
use crate::web::{Call, Response};
use serde::Deserialize;
use serde_json::{Value, json};

/// How many connections are listed, and how many accounts of a user are looked at.
const MOST: usize = 1_000;
const MOST_ACCOUNTS: i64 = 1_000;
/// How many connections are read at once: each may be as large as a body.
const PAGE: i64 = 100;

/// A connection, as the SDKs know one.
fn app(connection: &Connection) -> Value {
    let config = &connection.settings.config;
    let text = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = match connection.kind.as_str() {
        "oauth2" => "oauth",
        "api_key" => "apikey",
        other => other,
    };
    json!({
        "id": connection.name, "name": connection.name, "description": "", "templateId": text("service"), "appType": kind,
        "clientId": text("client_id"), "defaultScopes": config.get("scopes").filter(|scopes| scopes.is_array()).unwrap_or(&json!([])),
    })
}

/// Shows a connection.
pub async fn load(call: Call<'_>) -> Result<Response> {
    let (cx, id) = (call.cx, call.id(0)?);
    managed(call, READ, async |_| {
        let found = cx.one(store::connections::get(&cx.tenant.id, id)).await?.ok_or(Reason::NotFound)?;
        Ok(Response::json(200, &json!({"app": app(&found)})))
    })
    .await
}

/// Lists connections.
pub async fn load_all(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    managed(call, READ, async |_| {
        let (mut apps, mut after): (Vec<Value>, String) = (vec![], String::new());
        while apps.len() < MOST {
            let page = cx.all(store::connections::list(&cx.tenant.id, &after, PAGE)).await?;
            apps.extend(page.iter().map(app));
            match page.last() {
                Some(last) => after.clone_from(&last.name),
                None => break,
            }
        }
        Ok(Response::json(200, &json!({"apps": apps})))
    })
    .await
}

/// The parameters of the query.
fn query(call: Call<'_>) -> Result<Form> {
    let (form, problem) = Form::read_query(&call.request.query);
    problem.map_or(Ok(form), |_| Err(Reason::InvalidQuery.into()))
}

fn parameter<'a>(form: &'a Form, name: &str) -> Result<&'a str> {
    form.get(name).ok_or_else(|| Reason::InvalidQuery.because(["`", name, "` is missing"].concat()))
}

/// Lists the connections for which a user has an account that can be used.
pub async fn apps_of_user(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    managed(call, READ, async |_| {
        let form = query(call)?;
        let found = cx.all(store::accounts::of_user(&cx.tenant.id, parameter(&form, "userId")?, MOST_ACCOUNTS)).await?;
        let is_usable = |status: crate::model::AccountStatus| !status.needs_reauth();
        let usable = found.iter().filter(|account| is_usable(account.standing(cx.now.seconds())));
        let mut ids: Vec<&str> = usable.map(|account| account.connection.as_str()).collect();
        ids.dedup();
        Ok(Response::json(200, &json!({"appIds": ids})))
    })
    .await
}

/// Disconnects the accounts of a user, at one connection or at all.
pub async fn delete_of_user(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    managed(call, CHANGE, async |by| {
        let form = query(call)?;
        let user = parameter(&form, "userId")?;
        let app = form.get("appId");
        let found = cx.all(store::accounts::of_user(&cx.tenant.id, user, MOST_ACCOUNTS)).await?;
        // All have ended before a service is asked, which may be down.
        for account in found.iter().filter(|account| app.is_none_or(|app| account.connection == app)) {
            accounts::end(cx, account, Some(by)).await?;
        }
        accounts::revoke_ended(cx, accounts::AT_ONCE).await?;
        Ok(done())
    })
    .await
}

/// Disconnects an account.
pub async fn delete(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    managed(call, CHANGE, async |by| {
        let form = query(call)?;
        let account = cx.one(store::accounts::get(&cx.tenant.id, parameter(&form, "id")?)).await?;
        accounts::disconnect(cx, &account.ok_or(Reason::NotFound)?, Some(by)).await?;
        Ok(done())
    })
    .await
}

fn done() -> Response {
    Response::json(200, &json!({}))
}

/// What an SDK uploads.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    app_id: String,
    user_id: String,
    tenant_id: String,
    api_key: String,
    access_token: String,
    refresh_token: String,
    access_token_expiry: Option<i64>,
    scopes: Vec<String>,
    external_identifier: String,
    verify_refresh: bool,
}

#[derive(Deserialize)]
struct Bodies {
    tokens: Vec<Body>,
}

fn own_tenant(cx: &Cx<'_>, body: &Body) -> Result<()> {
    match is_of_tenant(cx, &body.tenant_id) {
        true => Ok(()),
        false => Err(Reason::NotFound.because("`tenantId` is another tenant")),
    }
}

/// Gives a connection another API key: the tenant's, for it has no other.
pub async fn upload_key(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    managed(call, CHANGE, async |by| {
        let Body { app_id, api_key, .. } = {
            let body: Body = sent(call.request)?.read_plain(&API_KEY).await?;
            own_tenant(cx, &body)?;
            body
        };
        let present = cx.one(store::connections::get(&cx.tenant.id, &app_id)).await?.ok_or(Reason::NotFound)?;
        if present.kind != "api_key" {
            return Err(Reason::InvalidField.because("`appId` is no connection of the kind `api_key`"));
        }
        let (kind, config) = (present.kind.clone(), present.settings.config.clone());
        vault::update(cx, by, present, Draft { kind, config, secret: Some(json!({"api_key": api_key})) }).await?;
        Ok(done())
    })
    .await
}

/// An API key of one user: there are none.
pub async fn upload_key_of_user(call: Call<'_>) -> Result<Response> {
    managed(call, CHANGE, async |_| {
        Err(Reason::InvalidField
            .because("users have no API keys here: a connection of the kind `api_key` has one key, the tenant's"))
    })
    .await
}

/// Stores the tokens of a user's account.
pub async fn upload_of_user(call: Call<'_>) -> Result<Response> {
    upload_one(call, false).await
}

/// Stores the tokens of the tenant's account.
pub async fn upload_of_tenant(call: Call<'_>) -> Result<Response> {
    upload_one(call, true).await
}

/// Stores the tokens of several users' accounts.
pub async fn upload_all_of_users(call: Call<'_>) -> Result<Response> {
    upload_all(call, false).await
}

/// Stores the tokens of several of the tenant's accounts.
pub async fn upload_all_of_tenant(call: Call<'_>) -> Result<Response> {
    upload_all(call, true).await
}

async fn upload_one(call: Call<'_>, is_tenants: bool) -> Result<Response> {
    let cx = call.cx;
    managed(call, CHANGE, async |by| {
        let body: Body = sent(call.request)?.read_plain(&OAUTH_TOKEN).await?;
        upload::store(cx, prepare(cx, body, is_tenants).await?, by).await?;
        Ok(done())
    })
    .await
}

/// Nothing is stored where one of them is wrong: the answer says which, and why.
async fn upload_all(call: Call<'_>, is_tenants: bool) -> Result<Response> {
    let cx = call.cx;
    managed(call, CHANGE, async |by| {
        let Bodies { tokens } = sent(call.request)?.read_plain(&OAUTH_TOKENS).await?;
        let (mut prepared, mut failures) = (Vec::new(), Vec::new());
        for body in tokens {
            let (app, user, tenant) = (body.app_id.clone(), body.user_id.clone(), body.tenant_id.clone());
            // A verification would have used a refresh token although another item is wrong.
            match prepare(cx, Body { verify_refresh: false, ..body }, is_tenants).await {
                Ok(one) => prepared.push(one),
                Err(Error::Refused(Refusal { reason, detail, .. })) => failures.push(json!({
                    "appId": app, "userId": user, "tenantId": tenant,
                    "errorCode": reason.as_str(), "reason": detail.unwrap_or_else(|| reason.wire().description.to_owned()),
                })),
                Err(fault) => return Err(fault),
            }
        }
        if failures.is_empty() {
            for one in prepared {
                upload::store(cx, one, by).await?;
            }
        }
        Ok(Response::json(200, &json!({"failures": failures})))
    })
    .await
}

async fn prepare(cx: &Cx<'_>, body: Body, is_tenants: bool) -> Result<Prepared> {
    own_tenant(cx, &body)?;
    if body.user_id.is_empty() != is_tenants {
        return Err(Reason::InvalidField.because("`userId` has to be there for a user, and only there"));
    }
    let has_refresh_token = !body.refresh_token.is_empty();
    // Without an end, a token that can be refreshed is refreshed at once.
    let expires_at = body.access_token_expiry.unwrap_or(if has_refresh_token { 0 } else { NEVER });
    let upload = Upload {
        connection: body.app_id,
        owner: body.user_id,
        label: body.external_identifier,
        access_token: body.access_token,
        refresh_token: has_refresh_token.then_some(body.refresh_token),
        scopes: body.scopes,
        expires_at,
        is_verified: body.verify_refresh,
    };
    upload::prepare(cx, upload).await
}
