//! `GET /openapi.json`: what can be asked and answered, as OpenAPI 3.1.
//!
//! In scope: rendering the table of routes with the objects that it names. Tests ask every endpoint and hold every answer against its
//! schema, so the document is what the code does.

use super::admin::idempotency;
use super::guard::Access;
use super::oauth::token;
use super::router::{Endpoint, Gives, Row, Takes, rows};
use super::schema::Components;
use super::schema::objects::{OAUTH_ERROR, PROBLEM, token_parameter};
use super::{Method, Response, SiteCall, descope};
use crate::authn::client;
use crate::error::{Reason, Result};
use crate::grants;
use crate::model::tenant::{FIRST_TENANT, issuer};
use serde_json::{Map, Value, json};

const FORM: &str = "application/x-www-form-urlencoded";

/// Answers the document.
pub async fn get(call: SiteCall<'_>) -> Result<Response> {
    Ok(Response::json(200, &document(call.config.origin())).with("cache-control", "public, max-age=300"))
}

fn document(origin: &str) -> Value {
    let (mut paths, mut components) = (Map::new(), Components::default());
    for row in rows() {
        let path = paths.entry(row.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(row.method.as_str().to_ascii_lowercase(), operation(row, &mut components));
        }
    }
    let token_url = format!("{}/token", issuer(origin, FIRST_TENANT));
    let of_streams = json!({"ssf.manage": "Manage one's event stream", "ssf.read": "Read one's event stream"});
    let of_reports = json!({"events:report": "Report which tools were called with tokens for one's resources"});
    let scopes = json!({"admin": "Change anything in this tenant", "admin:read": "Read everything but secrets"});
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Writ", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": origin}],
        "paths": paths,
        "components": {
            "schemas": components.into_schemas(),
            "securitySchemes": {
                "admin": {
                    "type": "oauth2",
                    "description": "A token of the same tenant for the resource `{issuer}/admin`.",
                    "flows": {"clientCredentials": {"tokenUrl": token_url, "scopes": scopes}},
                },
                "ssf": {
                    "type": "oauth2",
                    "description": "A resource server's token of the same tenant for the resource `{issuer}/ssf`.",
                    "flows": {"clientCredentials": {"tokenUrl": token_url, "scopes": of_streams}},
                },
                "project": {"type": "http", "scheme": "bearer", "description": "A project id, a colon, and a token; or a project id, a client id and its secret, with colons between."},
                "events": {
                    "type": "oauth2",
                    "description": "A resource server's token of the same tenant for the resource `{issuer}/events`.",
                    "flows": {"clientCredentials": {"tokenUrl": token_url, "scopes": of_reports}},
                },
                "client": {"type": "http", "scheme": "basic", "description": "`client_secret_basic`; `client_secret_post` works too."},
            },
        },
    })
}

fn operation(row: &Row, components: &mut Components) -> Value {
    let mut operation = json!({
        "operationId": id(row),
        "summary": row.summary,
        "parameters": parameters(row),
        "responses": responses(row, components),
        "security": security(row),
    });
    let (media, body, required) = match row.takes {
        Takes::Json(object) => ("application/json", Some(components.object(object)), true),
        Takes::JsonOrNothing(object) => ("application/json", Some(components.object(object)), false),
        Takes::Form(object) => (FORM, Some(components.object(object)), true),
        Takes::TokenRequest => (FORM, Some(token_request(components)), true),
        Takes::Nothing | Takes::Page(_) | Takes::Query(..) => ("", None, false),
    };
    if let (Some(schema), Some(members)) = (body, operation.as_object_mut()) {
        let schema = json!({media: {"schema": schema}});
        members.insert("requestBody".to_owned(), json!({"required": required, "content": schema}));
    }
    operation
}

/// The form of a token request: each parameter with the grants that read it. Others are left aside (RFC 6749 §3.2).
fn token_request(components: &mut Components) -> Value {
    let own = token::READS.iter().chain(client::PARAMETERS).map(|name| (*name, Vec::new()));
    let mut properties = Map::new();
    for (name, grants) in own.chain(grants::parameters()) {
        let mut schema = components.kind(token_parameter(name));
        if let (false, Some(members)) = (grants.is_empty(), schema.as_object_mut()) {
            let form = members.get("description").and_then(Value::as_str).map(|form| format!("; {form}"));
            let text = format!("Read by {}{}", grants.join(", "), form.unwrap_or_default());
            members.insert("description".to_owned(), text.into());
        }
        properties.insert(name.to_owned(), schema);
    }
    json!({"type": "object", "properties": properties, "required": ["grant_type"]})
}

fn security(row: &Row) -> Value {
    match row.endpoint {
        Endpoint::Admin(_) => json!([{"admin": [if row.method == Method::Get { "admin:read" } else { "admin" }]}]),
        Endpoint::Receiver(access, _) => json!([{access.api: access.scopes.first().into_iter().collect::<Vec<_>>()}]),
        Endpoint::Client(_) => json!([{"client": []}]),
        Endpoint::Compat(_) => json!([{"project": []}]),
        Endpoint::Site(_) | Endpoint::Public(_) | Endpoint::Page(_) => json!([]),
    }
}

/// Unique, and readable where code is generated from it: `put_admin_clients_id`.
fn id(row: &Row) -> String {
    let path = row.path.replacen("/t/{tenant}/", "/", 1).replace("/.well-known/", "/").replace(['{', '}'], "");
    row.method.as_str().to_ascii_lowercase() + &path.replace(['/', '-', '.'], "_")
}

fn parameters(row: &Row) -> Vec<Value> {
    let names = row.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Value> =
        names.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})).collect();
    let query = |name: &str, required: bool| json!({"name": name, "in": "query", "required": required, "schema": {"type": "string"}});
    match row.takes {
        Takes::Page(filters) => {
            let limit = json!({"type": "integer", "minimum": 1, "maximum": 100, "default": 50});
            all.push(json!({"name": "limit", "in": "query", "schema": limit}));
            all.extend(["cursor"].iter().chain(filters).map(|name| query(name, false)));
        }
        Takes::Query(names, required) => all.extend(names.iter().map(|name| query(name, required))),
        Takes::Nothing | Takes::Json(_) | Takes::JsonOrNothing(_) | Takes::Form(_) | Takes::TokenRequest => {}
    }
    let mut header = |name: &str, required: bool, description: &str| {
        all.push(json!({
            "name": name, "in": "header", "required": required, "description": description, "schema": {"type": "string"},
        }));
    };
    match (row.method, row.gives.1) {
        (Method::Put, Gives::Made(_)) => {
            header("If-Match", false, "The `ETag` that was read; needed to replace what is there.");
            header("If-None-Match", false, "`*` makes what is not there, and replaces nothing.");
        }
        (Method::Put, Gives::Tagged(_)) => header("If-Match", true, "The `ETag` that was read; without it, 428."),
        (Method::Delete, _) if row.refuses.contains(&412) => {
            header("If-Match", false, "The `ETag` that was read; may be left out.");
        }
        (Method::Get, Gives::Tagged(_)) => {
            header("If-None-Match", false, "An `ETag` that was read; 304 if it is still so.")
        }
        (Method::Post, _) if row.makes() => {
            header(
                "Idempotency-Key",
                false,
                &format!("{}. For 24 hours a retry with it answers as the first request.", idempotency::FORM),
            );
        }
        _ => {}
    }
    all
}

fn responses(row: &Row, components: &mut Components) -> Value {
    let (status, gives) = row.gives;
    let mut responses = Map::new();
    let json_of = |schema: Value| json!({"application/json": {"schema": schema}});
    let text_of = |media: &str| json!({media: {"schema": {"type": "string"}}});
    let content = match gives {
        Gives::Nothing => None,
        Gives::One(object) | Gives::Tagged(object) | Gives::Made(object) => Some(json_of(components.object(object))),
        Gives::Many(object) => Some(json_of(json!({
            "type": "object",
            "required": ["items"],
            "properties": {
                "items": {"type": "array", "items": components.object(object)}, "next_cursor": {"type": "string"},
            },
        }))),
        Gives::OneOrList(object) => {
            let one = components.object(object);
            Some(json_of(json!({"anyOf": [one, {"type": "array", "items": one}]})))
        }
        Gives::OneOrJwt(object, media) => {
            let schema = components.object(object);
            Some(json!({"application/json": {"schema": schema}, media: {"schema": {"type": "string"}}}))
        }
        Gives::Jwt(media) | Gives::Text(media) => Some(text_of(media)),
        Gives::Texts(all) => {
            let each = all.iter().map(|media| ((*media).to_owned(), json!({"schema": {"type": "string"}})));
            Some(Value::Object(each.collect()))
        }
        Gives::Html => Some(text_of("text/html")),
        Gives::Document => Some(json_of(json!({"type": "object"}))),
    };
    let done = match content {
        None => json!({"description": "Done"}),
        Some(content) => json!({"description": "Done", "content": content}),
    };
    if let Gives::Made(_) = gives {
        responses.insert("201".to_owned(), done.clone());
    }
    if let (Method::Get, Gives::Tagged(_)) = (row.method, gives) {
        responses.insert("304".to_owned(), json!({"description": "As it was read"}));
    }
    responses.insert(status.to_string(), done);
    let (media, error) = match row.endpoint {
        Endpoint::Admin(_) | Endpoint::Receiver(Access { explains: true, .. }, _) => {
            ("application/problem+json", &PROBLEM)
        }
        Endpoint::Compat(_) => ("application/json", &descope::ERROR),
        _ => ("application/json", &OAUTH_ERROR),
    };
    for refused in refusals(row) {
        let body = json!({media: {"schema": components.object(error)}});
        responses.insert(refused.to_string(), json!({"description": meaning(refused), "content": body}));
    }
    Value::Object(responses)
}

/// The statuses of refusals, common ones included.
fn refusals(row: &Row) -> Vec<u16> {
    let common: &[u16] = match row.endpoint {
        Endpoint::Admin(_) | Endpoint::Receiver(..) => &[401, 403, 404, 429, 503],
        Endpoint::Site(_) => &[],
        Endpoint::Public(_) | Endpoint::Client(_) | Endpoint::Page(_) => &[403, 404, 503],
        Endpoint::Compat(_) => &[400, 401, 403, 404, 413, 429, 503],
    };
    let body: &[u16] = match row.takes {
        Takes::Json(_) | Takes::JsonOrNothing(_) => &[400, 413, 415],
        Takes::Page(_) | Takes::Query(..) => &[400],
        Takes::Nothing | Takes::Form(_) | Takes::TokenRequest => &[],
    };
    let conditional: &[u16] = match (row.method, row.gives.1) {
        (Method::Get, Gives::Tagged(_)) => &[412],
        _ => &[],
    };
    let repeated: &[u16] = if row.makes() { &[409, 422] } else { &[] };
    let mut all: Vec<u16> =
        common.iter().chain(body).chain(conditional).chain(repeated).chain(row.refuses).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What a status means: the codes of all reasons that have it.
fn meaning(status: u16) -> String {
    let mut codes: Vec<&str> = Reason::ALL
        .iter()
        .map(|reason| reason.wire())
        .filter(|wire| wire.status == status)
        .map(|wire| wire.code)
        .collect();
    codes.sort_unstable();
    codes.dedup();
    match codes.is_empty() {
        true => "temporarily_unavailable".to_owned(),
        false => codes.join(", "),
    }
}
