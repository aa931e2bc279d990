//! `GET /openapi.json`: what can be asked and answered, as OpenAPI 3.1.
//!
//! In scope: rendering the table of operations and objects. A test walks the routes in both directions, asks every
//! endpoint which fields it knows, and holds every answer against its schema, so the document is what the code does.

mod table;

use super::FIRST_TENANT;
use crate::error::Reason;
use crate::model::tenant::issuer;
use crate::web::{Method, Response};
use serde_json::{Map, Value, json};
use table::Takes::{Form, Json, Nothing, Page, Query};
use table::{OBJECTS, OPERATIONS, Operation, words};

/// Answers the document.
pub fn get(origin: &str) -> Response {
    Response::json(200, &document(origin)).with("cache-control", "public, max-age=300")
}

fn document(origin: &str) -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(operation.method.as_str().to_ascii_lowercase(), operation.render());
        }
    }
    let mut schemas: Map<String, Value> =
        OBJECTS.iter().map(|(name, members)| ((*name).to_owned(), object(members))).collect();
    schemas
        .extend(words().into_iter().map(|(name, words)| (name.to_owned(), json!({"type": "string", "enum": words}))));
    let token_url = format!("{}/token", issuer(origin, FIRST_TENANT));
    let of_streams = json!({"ssf.manage": "Manage one's event stream", "ssf.read": "Read one's event stream"});
    let scopes = json!({"admin": "Change anything in this tenant", "admin:read": "Read everything but secrets"});
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Writ", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": origin}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "admin": {
                    "type": "oauth2",
                    "description": "A token of the same tenant for the resource `{issuer}/admin`.",
                    "flows": {"clientCredentials": {"tokenUrl": token_url, "scopes": scopes}},
                },
                "streams": {
                    "type": "oauth2",
                    "description": "A resource server's token of the same tenant for the resource `{issuer}/ssf`.",
                    "flows": {"clientCredentials": {"tokenUrl": token_url, "scopes": of_streams}},
                },
                "client": {"type": "http", "scheme": "basic", "description": "`client_secret_basic`; `client_secret_post` works too."},
            },
        },
    })
}

impl Operation {
    fn is_admin(&self) -> bool {
        self.path.contains("/admin/")
    }

    fn render(&self) -> Value {
        let mut operation = json!({
            "operationId": self.id(),
            "summary": self.summary,
            "parameters": self.parameters(),
            "responses": self.responses(),
        });
        if let Some(members) = operation.as_object_mut() {
            let (media, body) = match self.takes {
                Json(name) => ("application/json", Some(name)),
                Form(name) => ("application/x-www-form-urlencoded", Some(name)),
                Nothing | Page(_) | Query(_) => ("", None),
            };
            if let Some(name) = body {
                let schema = json!({media: {"schema": kind(name)}});
                members.insert("requestBody".to_owned(), json!({"required": name != "NewSecret", "content": schema}));
            }
            let scope = if self.method == Method::Get { "admin:read" } else { "admin" };
            let security = match self.takes {
                Form(_) => json!([{"client": []}]),
                _ if self.is_admin() => json!([{"admin": [scope]}]),
                _ if self.path.contains("/ssf/") => {
                    let reads = self.method == Method::Get || self.path.ends_with("/poll");
                    json!([{"streams": [if reads { "ssf.read" } else { "ssf.manage" }]}])
                }
                _ => json!([]),
            };
            members.insert("security".to_owned(), security);
        }
        operation
    }

    /// Unique, and readable where code is generated from it: `put_admin_clients_id`.
    fn id(&self) -> String {
        let path = self.path.replacen("/t/{tenant}/", "/", 1).replace("/.well-known/", "/").replace(['{', '}'], "");
        self.method.as_str().to_ascii_lowercase() + &path.replace(['/', '-', '.'], "_")
    }

    fn parameters(&self) -> Vec<Value> {
        let names = self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        let mut parameters: Vec<Value> = names
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        if let Page(more) = self.takes {
            let limit = json!({"type": "integer", "minimum": 1, "maximum": 100, "default": 50});
            parameters.push(json!({"name": "limit", "in": "query", "schema": limit}));
            let texts = ["cursor"].iter().chain(more);
            parameters.extend(texts.map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}})));
        }
        if let Query(names) = self.takes {
            let needed = self.path.ends_with("/status") || self.method == Method::Delete;
            let text = |name| json!({"name": name, "in": "query", "required": needed, "schema": {"type": "string"}});
            parameters.extend(names.iter().map(text));
        }
        if self.refuses.contains(&412) {
            let makes = self.method == Method::Put && self.creates();
            let when = match self.method {
                Method::Put if !makes => "The `ETag` that was read; without it, 428.",
                Method::Put => "The `ETag` that was read; needed to replace what is there.",
                _ => "The `ETag` that was read; may be left out.",
            };
            let required = self.method == Method::Put && !makes;
            parameters.push(json!({
                "name": "If-Match", "in": "header", "required": required, "description": when, "schema": {"type": "string"},
            }));
        }
        parameters
    }

    /// Whether a `PUT` makes what is not there.
    fn creates(&self) -> bool {
        matches!(self.takes, Json("PolicyBody" | "ConnectionBody"))
    }

    fn responses(&self) -> Value {
        let (status, name) = self.gives;
        let mut responses = Map::new();
        let schema = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(item) => json!({
                "type": "object",
                "required": ["items"],
                "properties": {"items": {"type": "array", "items": kind(item)}, "next_cursor": {"type": "string"}},
            }),
            None => kind(name),
        };
        let done = match name {
            "" => json!({"description": "Done"}),
            _ if name.ends_with("+jwt") => {
                let media = format!("application/{name}");
                json!({"description": "Done", "content": {media: {"schema": {"type": "string"}}}})
            }
            _ => json!({"description": "Done", "content": {"application/json": {"schema": schema}}}),
        };
        if self.creates() {
            responses.insert("201".to_owned(), done.clone());
        }
        responses.insert(status.to_string(), done);
        let (media, error) = match self.is_admin() {
            true => ("application/problem+json", "Problem"),
            false => ("application/json", "OAuthError"),
        };
        for refused in self.refusals() {
            let body = json!({media: {"schema": kind(error)}});
            responses.insert(refused.to_string(), json!({"description": meaning(refused), "content": body}));
        }
        Value::Object(responses)
    }

    /// The statuses of refusals, common ones included.
    fn refusals(&self) -> Vec<u16> {
        let common: &[u16] = match (self.is_admin(), self.path.contains("{tenant}")) {
            (true, _) => &[401, 403, 404, 503],
            (false, true) => &[403, 404, 503],
            (false, false) => &[],
        };
        let body: &[u16] = match self.takes {
            Json(_) => &[400, 413, 415],
            Page(_) => &[400],
            Query(_) => &[400],
            Nothing | Form(_) => &[],
        };
        let mut all: Vec<u16> = common.iter().chain(body).chain(self.refuses).copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }
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

/// The schema of an object whose members are written as in [`OBJECTS`].
fn object(members: &str) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, kind_of, needed) in members_of(members) {
        properties.insert(name.to_owned(), kind(kind_of));
        if needed {
            required.push(name);
        }
    }
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// Name, type and whether it has to be there; `+Object` stands for the members of another object.
fn members_of(members: &str) -> Vec<(&str, &str, bool)> {
    let mut all = Vec::new();
    for member in members.split_whitespace() {
        if let Some(base) = member.strip_prefix('+') {
            let base = OBJECTS.iter().find(|(name, _)| *name == base).map_or("", |(_, members)| members);
            all.extend(members_of(base));
        } else if let Some((name, kind)) = member.split_once(':') {
            all.push((name.trim_end_matches('?'), kind, !name.ends_with('?')));
        }
    }
    all
}

fn kind(name: &str) -> Value {
    if let Some(item) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return json!({"type": "array", "items": kind(item)});
    }
    if let Some((one, other)) = name.split_once('|') {
        return json!({"anyOf": [kind(one), kind(other)]});
    }
    match name {
        "time" => json!({"type": "integer", "description": "Seconds since the epoch"}),
        "uri" => json!({"type": "string", "format": "uri"}),
        _ if name.starts_with(|c: char| c.is_ascii_uppercase()) => {
            json!({"$ref": format!("#/components/schemas/{name}")})
        }
        _ => json!({"type": name}),
    }
}
