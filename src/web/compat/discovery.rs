//! Keys and metadata of the compatible routes: public, as those of the tenant are (RFC 8414, OpenID Connect Discovery).
//!
//! 1. The metadata of a route say what those of the tenant say, but for its issuer, keys, scopes, and the endpoints where its tokens come from.
//! 2. The key set has the keys of RS256 alone, which sign every token of these routes.

use super::expect;
use crate::context::Cx;
use crate::directory::resources;
use crate::error::{Fault, Reason, Result};
use crate::model::Resource;
use crate::model::project::{Route, project_id};
use crate::ports::Alg;
use crate::web::oauth::discovery::{document, key_set, public};
use crate::web::{Call, Response};
use serde_json::{Value, json};
use std::rc::Rc;

/// The key set of a project.
pub async fn keys(Call { cx, .. }: Call<'_>) -> Result<Response> {
    expect(cx)?;
    key_set(cx, &[Alg::Rs256]).await
}

/// What the SDKs ask before anything else.
pub async fn license(_: Call<'_>) -> Result<Response> {
    Ok(Response::json(200, &json!({"rateLimitTier": "tier4"})))
}

/// The route of a request whose path names a resource, or none, and that resource.
pub async fn route(call: Call<'_>) -> Result<(Route, Option<Rc<Resource>>)> {
    let (cx, name) = (call.cx, call.ids.first().map(String::as_str));
    let route = Route::new(cx.config.origin(), &cx.tenant.id, name).ok_or(Reason::NotFound)?;
    let Some(id) = &route.resource else { return Ok((route, None)) };
    let found = resources::get(cx, id).await?;
    let found = found.filter(|found| found.body.authorization_server.is_none() && !found.is_built_in());
    Ok((route, Some(found.ok_or(Reason::NotFound)?)))
}

/// The metadata of a route.
pub async fn metadata(call: Call<'_>) -> Result<Response> {
    let cx = call.cx;
    expect(cx)?;
    let (route, resource) = route(call).await?;
    let broken = || Fault::Broken("metadata have no JSON");
    let mut metadata = serde_json::to_value(document(cx).await?).map_err(|_| broken())?;
    let members = metadata.as_object_mut().ok_or_else(broken)?;
    members.extend(own(cx, &route, resource.as_deref()));
    // Requests are pushed for the tenant's own authorization endpoint.
    members.remove("pushed_authorization_request_endpoint");
    members.remove("transaction_authorization_endpoint");
    for name in ["authentication_endpoint", "token_delivery_modes_supported", "user_code_parameter_supported"] {
        members.remove(&["backchannel_", name].concat());
    }
    for name in ["protected_resources", "writ_event_log", "writ_event_log_key"] {
        members.remove(name);
    }
    Ok(public(&metadata))
}

/// What the metadata of a route say of itself.
fn own(cx: &Cx<'_>, route: &Route, resource: Option<&Resource>) -> Vec<(String, Value)> {
    let origin = cx.config.origin();
    let token_endpoint = route.token_endpoint(origin);
    let beside = |name: &str| token_endpoint.strip_suffix("token").map(|base| [base, name].concat());
    let mut all = vec![
        ("issuer", json!(route.issuer)),
        ("jwks_uri", json!([origin, "/", &project_id(&cx.tenant.id), "/.well-known/jwks.json"].concat())),
    ];
    if let Some(resource) = resource {
        let scopes: Vec<&str> = resource.body.scopes.iter().map(|scope| scope.name.as_str()).collect();
        all.push(("scopes_supported", json!(scopes)));
        all.push(("authorization_endpoint", json!(beside("authorize"))));
    }
    all.push(("token_endpoint", json!(token_endpoint)));
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
