//! The OAuth routes of a project: `authorize` and `token` of a resource, `token` of the project, and the exchange of an access key.
//!
//! 1. A request is read, brought into the form of RFC 6749 where an SDK has another one, and given to the endpoint of the tenant, with its route. So
//!    everything is decided, refused, recorded and issued where it always is.
//! 2. The resource is the one that the path names. Another `resource` is refused.
//! 3. An access key is a client with its secret; its session is a token for the one resource that the client may ask for.

use super::credential::{Credential, unproved};
use super::discovery::route;
use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::model::{EventType, Resource};
use crate::oauth::{Form, Media, ResourceUri};
use crate::web::oauth::token;
use crate::web::pages::authorize;
use crate::web::schema::sent;
use crate::web::{Call, Request, Response};
use form_urlencoded::Serializer;
use serde_json::{Map, Value, json};

const FORM: &str = "application/x-www-form-urlencoded";

/// An authorization request for the resource of the path.
pub async fn authorize(call: Call<'_>) -> Result<Response> {
    let (cx, request) = (call.cx, call.request);
    super::expect(cx)?;
    let (route, resource) = route(call).await?;
    let (form, _) = Form::read_query(&request.query);
    let added = added(&form, resource.as_deref().filter(|_| form.get("request_uri").is_none()))?;
    let separator = if request.query.is_empty() || added.is_empty() { "" } else { "&" };
    let request = Request { query: [&request.query, separator, &added].concat(), ..request.clone() };
    let cx = cx.by_route(route);
    authorize::get(Call { cx: &cx, request: &request, ids: &[] }).await
}

/// The parameter that the path stands for, where the request does not have it.
fn added(form: &Form, resource: Option<&Resource>) -> Result<String> {
    let Some(resource) = resource else { return Ok(String::new()) };
    let resource = &resource.body.resource;
    let mut asked = form.all("resource").peekable();
    if asked.peek().is_none() {
        return Ok(Serializer::new(String::new()).append_pair("resource", resource.as_str()).finish());
    }
    match asked.all(|text| ResourceUri::parse(text).is_some_and(|uri| uri.is_same(resource))) {
        true => Ok(String::new()),
        false => Err(Reason::UnknownResource.because("`resource` is not the one of the path")),
    }
}

/// A token request, as a form or as JSON.
pub async fn token(call: Call<'_>) -> Result<Response> {
    let request = call.request;
    let (route, resource) = route(call).await?;
    let is_json = request.header("content-type").map(Media::parse).is_some_and(|media| media.is("application/json"));
    let body = match (&request.body, is_json) {
        (Some(_), true) => Some(from_json(&sent(request)?.members)?.into_bytes()),
        (body, _) => body.clone(),
    };
    let (form, problem) = Form::read(Some(FORM), body.as_deref().unwrap_or_default());
    let added = match problem {
        None => added(&form, resource.as_deref())?,
        // The endpoint refuses it.
        Some(_) => String::new(),
    };
    let body = body.map(|body| match body.is_empty() || added.is_empty() {
        true => [body, added.into_bytes()].concat(),
        false => [body, b"&".to_vec(), added.into_bytes()].concat(),
    });
    let mut headers = request.headers.clone();
    if is_json {
        headers.retain(|(name, _)| *name != "content-type");
        headers.push(("content-type", FORM.to_owned()));
    }
    let cx = call.cx.by_route(route);
    issue(&cx, &Request { body, headers, ..request.clone() }).await
}

/// The form that a JSON object of texts stands for.
fn from_json(members: &Map<String, Value>) -> Result<String> {
    let mut form = Serializer::new(String::new());
    for (name, value) in members {
        match value {
            Value::String(text) => drop(form.append_pair(name, text)),
            Value::Null => {}
            _ => return Err(Reason::MalformedForm.because("a member is no text")),
        }
    }
    Ok(form.finish())
}

async fn issue(cx: &Cx<'_>, request: &Request) -> Result<Response> {
    token::post(Call { cx, request, ids: &[] }).await
}

/// The session of an access key.
pub async fn exchange(call: Call<'_>) -> Result<Response> {
    let (cx, request) = (call.cx, call.request);
    let form = match Credential::read(request) {
        Ok(Credential::Client(form)) => form.with("grant_type", "client_credentials"),
        Ok(Credential::Token(_)) => {
            return Err(unproved(cx, Reason::NoClientAuthentication.into(), EventType::TokenRefused).await?);
        }
        Err(error) => return Err(unproved(cx, error, EventType::TokenRefused).await?),
    };
    let key = form.get("client_id").unwrap_or_default().to_owned();
    let mut body = Serializer::new(String::new());
    for name in ["grant_type", "client_id", "client_secret"] {
        body.append_pair(name, form.get(name).unwrap_or_default());
    }
    let mut headers = vec![("content-type", FORM.to_owned())];
    headers.extend(request.header("dpop").map(|proof| ("dpop", proof.to_owned())));
    let request = Request { headers, body: Some(body.finish().into_bytes()), ..request.clone() };
    let (route, _) = route(call).await?;
    let response = issue(&cx.by_route(route), &request).await?;
    let issued: Value = serde_json::from_str(&response.body).unwrap_or_default();
    match issued.get("access_token") {
        Some(session) => Ok(Response { body: json!({"keyId": key, "sessionJwt": session}).to_string(), ..response }),
        // It wants a nonce.
        None => Ok(response),
    }
}
