//! Connection tokens: `outbound/app/{user,tenant}/token[/latest]`.
//!
//! 1. Each is a lease: decided, refused, recorded and shared like one (`vault::grant`). Scopes are a ceiling: an account that was granted more serves a
//!    request for less.
//! 2. A token is about the user whom the request names, or it is refused. `tenantId` is the tenant itself or its project; nobody gets a user's
//!    account for a tenant.
//! 3. Refresh tokens stay here (docs/requirements.md R56). A token is refreshed when it is due; `forceRefresh` does nothing.

use super::credential::{Credential, client, unproved};
use super::objects::FETCH;
use crate::approvals::Held;
use crate::context::Cx;
use crate::error::{Error, Reason, Result};
use crate::model::project::project_id;
use crate::model::{AccountStatus, EventType};
use crate::oauth::Scope;
use crate::vault::permit::{Caller, Trail, Use};
use crate::vault::{self, Asked, Granted, accounts};
use crate::web::guard::refused;
use crate::web::schema::sent;
use crate::web::{Call, Response};
use serde::Deserialize;
use serde_json::{Value, json};

/// What an SDK asks for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Body {
    app_id: String,
    user_id: String,
    login_id: String,
    tenant_id: String,
    scopes: Vec<String>,
    external_identifier: String,
}

/// The token of a user.
pub async fn of_user(call: Call<'_>) -> Result<Response> {
    fetch(call, false).await
}

/// The token of the tenant.
pub async fn of_tenant(call: Call<'_>) -> Result<Response> {
    fetch(call, true).await
}

async fn fetch(call: Call<'_>, is_tenants: bool) -> Result<Response> {
    let (cx, request, kind) = (call.cx, call.request, EventType::LeaseRefused);
    let mut trail = Trail::default();
    let (caller, token) = match Credential::read(request) {
        Ok(Credential::Token(token)) => (None, token),
        Ok(Credential::Client(form)) => (Some(client(cx, &form, kind).await?), String::new()),
        Err(error) => return Err(unproved(cx, error, kind).await?),
    };
    if let Some(caller) = &caller {
        trail.agent = Some(caller.client.id.clone());
        trail.facts.auth_method = Some(caller.method.as_str().to_owned());
    }
    let is_bearer = caller.is_none();
    let granted = async {
        let body: Body = sent(request)?.read_plain(&FETCH).await?;
        let named = [&body.user_id, &body.login_id].into_iter().find(|name| !name.is_empty() && !is_tenants).cloned();
        let caller = match &caller {
            None => Caller::Bearer { subject: named },
            Some(caller) => {
                let id = caller.client.id.clone();
                let user = named.filter(|user| *user != id);
                Caller::Client { id, method: caller.method, user }
            }
        };
        grant(cx, &body, (caller, token), is_tenants, &mut trail).await.map(|granted| (body, granted))
    };
    match granted.await {
        Ok((body, granted)) => Ok(Response::json(200, &answer(cx, &body, &granted)).with("pragma", "no-cache")),
        Err(Error::Refused(refusal)) if is_bearer && trail.agent.is_none() => {
            Err(unproved(cx, Error::Refused(refusal), kind).await?)
        }
        Err(Error::Refused(refusal)) => {
            let Trail { agent, facts } = trail;
            Err(refused(cx, refusal, kind, agent.as_deref(), facts).await?)
        }
        Err(fault) => Err(fault),
    }
}

async fn grant(
    cx: &Cx<'_>,
    body: &Body,
    (caller, token): (Caller, String),
    is_tenants: bool,
    trail: &mut Trail,
) -> Result<Granted> {
    let scope = body.scopes.join(" ");
    let wanted = Use {
        connection: body.app_id.clone(),
        token,
        caller,
        tool: None,
        call: None,
        scope: Some(scope.clone()).filter(|scope| !scope.is_empty()),
        account: body.external_identifier.clone(),
        began: cx.now,
        held: Held::default(),
    };
    trail.facts.scope_asked = Some(scope.clone()).filter(|scope| !scope.is_empty() && scope.len() <= 1_024);
    let asked = match scope.is_empty() {
        true => None,
        false => Some(Scope::parse(&scope).ok_or(Reason::MalformedScope)?),
    };
    let asked = Asked { scope: asked, label: &body.external_identifier, is_tenants, needs_access_token: false };
    if !is_of_tenant(cx, &body.tenant_id) {
        // It is asked about first, so that nothing is told to whoever may not use the connection.
        wanted.permitted(cx, trail).await?;
        return Err(Reason::TenantAccountNeeded.because("`tenantId` is another tenant"));
    }
    vault::grant(cx, &wanted, &asked, trail).await
}

/// Whether a `tenantId` is the tenant, by its name or its project, or is not there.
pub fn is_of_tenant(cx: &Cx<'_>, tenant: &str) -> bool {
    let own = &cx.tenant.id;
    tenant.is_empty() || tenant == own || tenant == project_id(own)
}

fn answer(cx: &Cx<'_>, body: &Body, Granted { token, scope, account, .. }: &Granted) -> Value {
    let members = token.members();
    let member = |name: &str| members.get(name).and_then(Value::as_str);
    let single = member("api_key").or_else(|| member("value"));
    let access_token = single.unwrap_or_else(|| token.access_token.expose());
    let account = account.as_deref();
    let trouble = account.map(|account| account.status).filter(|status| *status != AccountStatus::Active);
    let time = |seconds: Option<i64>| seconds.unwrap_or_default().to_string();
    let mut answer = json!({"token": {
        "id": account.map(|account| &*account.id).unwrap_or_default(),
        "appId": body.app_id,
        "userId": if body.user_id.is_empty() { &body.login_id } else { &body.user_id },
        "tenantId": body.tenant_id,
        "tokenSub": account.map(|account| &*account.subject).unwrap_or_default(),
        "accessToken": access_token,
        "accessTokenType": "Bearer",
        "accessTokenExpiry": time(token.expiry()),
        "hasRefreshToken": account.is_some_and(|account| accounts::has_refresh_token(cx, account)),
        "refreshToken": "",
        "lastRefreshTime": time(account.map(|account| account.attempted_at)),
        "lastRefreshError": trouble.map(AccountStatus::as_str).unwrap_or_default(),
        "scopes": Scope::parse(scope).unwrap_or_default().to_vec(),
        "grantedBy": "",
        "externalIdentifier": body.external_identifier,
    }});
    // A credential that is JSON, such as the key of a service account, where the connection hands out just that.
    let is_object = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object());
    let credentials = match single {
        Some(text) => is_object(text).then(|| text.to_owned()),
        None => access_token.is_empty().then(|| Value::Object(members.clone()).to_string()),
    };
    if let (Some(answer), Some(credentials)) = (answer.as_object_mut(), credentials) {
        answer.insert("credentials".to_owned(), credentials.into());
    }
    answer
}
