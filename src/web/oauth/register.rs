//! `POST /t/{tenant}/register` (RFC 7591) and `GET|PUT|DELETE /t/{tenant}/register/{id}` (RFC 7592).
//!
//! 1. A body is one strict JSON object of 32 KB at the most. Members that are not known are left aside (RFC 7591 §2).
//! 2. What was registered is echoed (§3.2.1), without a member that has no value: clients refuse `null`. `scope` is echoed and means nothing.
//! 3. A refusal of a request without a good token is counted and limited, as any of a request that proves nobody.

use crate::authn::client::Unproved;
use crate::context::Cx;
use crate::error::{Error, Reason, Result};
use crate::jose::is_strict;
use crate::model::client::MAX_REDIRECT_URIS;
use crate::model::event::Facts;
use crate::model::{Client, EventType};
use crate::registration::dynamic::{self, Registered};
use crate::web::schema::{ANY, Kind, Member, Object, URI, members, object};
use crate::web::{Call, Request, Response};
use serde_json::{Map, Value, json};

const MAX_BODY: usize = 32 * 1024;

const METADATA: &[Member] = members![
    must "redirect_uris" Kind::List(&URI, MAX_REDIRECT_URIS),
    may "client_name" Kind::Word,
    may "grant_types" Kind::List(&Kind::Word, ANY),
    may "response_types" Kind::List(&Kind::Word, ANY),
    may "token_endpoint_auth_method" Kind::Word,
    may "application_type" Kind::Word,
    may "client_uri" URI,
    may "jwks" Kind::Json,
    may "jwks_uri" URI,
    may "scope" Kind::Word,
];

/// What a client says about itself (RFC 7591 §2).
pub const REGISTRATION_REQUEST: Object = Object { name: "RegistrationRequest", groups: &[METADATA], open: true };

/// The same, to replace it (RFC 7592 §2.2).
pub const REGISTRATION_UPDATE: Object =
    Object { name: "RegistrationUpdate", groups: &[METADATA, members![must "client_id" Kind::Word]], open: true };

object!(
    /// A client as it was registered (RFC 7591 §3.2.1, RFC 7592 §3).
    REGISTRATION_RESPONSE = "RegistrationResponse" [METADATA, members![
        must "client_id" Kind::Word,
        must "client_id_issued_at" Kind::Time,
        may "client_secret" Kind::Word,
        may "client_secret_expires_at" Kind::Count,
        may "dpop_bound_access_tokens" Kind::Boolean,
        may "token_endpoint_auth_signing_alg" Kind::Word,
        must "registration_client_uri" Kind::Word,
        must "registration_access_token" Kind::Word,
    ]]
);

/// Registers a client.
pub async fn post(Call { cx, request, .. }: Call<'_>) -> Result<Response> {
    let registered = async {
        let members = body(request)?;
        let registered = dynamic::register(cx, &members, bearer(request)).await?;
        Ok((members, registered))
    };
    let (sent, Registered { client, secret, token }) = counted(cx, None, registered.await).await?;
    let mut members = view(cx, &client, token.expose());
    echo(&mut members, &sent);
    if let Some(secret) = secret {
        members.insert("client_secret".to_owned(), secret.expose().as_str().into());
        members.insert("client_secret_expires_at".to_owned(), 0.into());
    }
    Ok(Response::json(201, &members).with("pragma", "no-cache"))
}

/// Shows a client what is registered of it.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let (client, token) = authenticated(call).await?;
    Ok(Response::json(200, &view(call.cx, &client, token)))
}

/// Replaces what a client says about itself.
pub async fn put(call: Call<'_>) -> Result<Response> {
    let (client, token) = authenticated(call).await?;
    let sent = body(call.request)?;
    let client = dynamic::replace(call.cx, client, &sent).await?;
    let mut members = view(call.cx, &client, token);
    echo(&mut members, &sent);
    Ok(Response::json(200, &members))
}

/// Removes a client.
pub async fn delete(call: Call<'_>) -> Result<Response> {
    let (client, _) = authenticated(call).await?;
    dynamic::remove(call.cx, &client).await?;
    Ok(Response::empty(204).with("cache-control", "no-store"))
}

/// The client that the token of the request is of, and that token.
async fn authenticated<'a>(call: Call<'a>) -> Result<(Client, &'a str)> {
    let (id, token) = (call.id(0)?, bearer(call.request));
    let client = counted(call.cx, Some(id), dynamic::authenticate(call.cx, id, token).await).await?;
    Ok((client, token.unwrap_or_default()))
}

/// Counts a refusal because of a token.
async fn counted<T>(cx: &Cx<'_>, client: Option<&str>, outcome: Result<T>) -> Result<T> {
    match outcome {
        Err(Error::Refused(refusal)) if refusal.reason == Reason::InvalidRegistrationToken => {
            let unproved = Unproved { kind: EventType::TokenQueryRefused, client, facts: Facts::default() };
            Err(unproved.refuse(cx, refusal).await?)
        }
        outcome => outcome,
    }
}

fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn body(request: &Request) -> Result<Map<String, Value>> {
    let body = request.body.as_deref().filter(|body| body.len() <= MAX_BODY).ok_or(Reason::BodyTooLarge)?;
    let object = serde_json::from_slice(body).ok().filter(|_| is_strict(body));
    match object {
        Some(Value::Object(members)) => Ok(members),
        _ => Err(Reason::InvalidClientMetadata.because("no strict JSON object")),
    }
}

fn echo(members: &mut Map<String, Value>, sent: &Map<String, Value>) {
    if let Some(scope) = sent.get("scope").filter(|scope| scope.is_string()) {
        members.insert("scope".to_owned(), scope.clone());
    }
}

fn view(cx: &Cx<'_>, client: &Client, token: &str) -> Map<String, Value> {
    let metadata = &client.metadata;
    let view = json!({
        "client_id": client.id,
        "client_id_issued_at": client.created_at,
        "client_name": metadata.client_name,
        "redirect_uris": metadata.redirect_uris,
        "grant_types": metadata.grant_types,
        "response_types": ["code"],
        "token_endpoint_auth_method": metadata.token_endpoint_auth_method,
        "application_type": metadata.application_type,
        "client_uri": metadata.client_uri,
        "jwks": metadata.jwks,
        "jwks_uri": metadata.jwks_uri,
        "token_endpoint_auth_signing_alg": metadata.token_endpoint_auth_signing_alg,
        "dpop_bound_access_tokens": metadata.dpop_bound_access_tokens.then_some(true),
        "registration_client_uri": format!("{}/register/{}", cx.issuer(), client.id),
        "registration_access_token": token,
    });
    match view {
        Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}
