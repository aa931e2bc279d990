//! Finding the endpoint of a path: every URL is a row of `routes`, with its role, its guard, its handler and its part of the
//! document.
//!
//! 1. Rows of one path stand together, and the first path that fits is the one.
//! 2. Administrators alone learn what is below the admin API, also that a path is not there (see [`Route::endpoint`]).

use super::guard::Access;
use super::pages::Next;
use super::render::Style;
use super::routes::ROUTES;
use super::schema::Object;
use super::{AdminCall, Answer, Call, Method, ReceiverCall, Request, SiteCall, admin, compat, pages};
use crate::config::Role;
use crate::error::{Reason, Result};
use crate::model::project::tenant_of;
use crate::oauth::client_url::is_client_url;

/// The guard of an endpoint, and its handler.
#[derive(Clone, Copy)]
pub enum Endpoint {
    /// No guard; the endpoint belongs to no tenant.
    Site(for<'a> fn(SiteCall<'a>) -> Answer<'a>),
    /// No guard; a page of another origin may read it.
    Public(for<'a> fn(Call<'a>) -> Answer<'a>),
    /// The endpoint authenticates the client itself.
    Client(for<'a> fn(Call<'a>) -> Answer<'a>),
    /// A Descope-compatible endpoint: a project, in the path or in `Authorization`, names the tenant, and the endpoint authenticates the client itself.
    Compat(for<'a> fn(Call<'a>) -> Answer<'a>),
    /// A browser goes there; no script may read it.
    Page(for<'a> fn(Call<'a>) -> Answer<'a>),
    /// A resource server with a token for an API that is for resource servers.
    Receiver(&'static Access, for<'a> fn(ReceiverCall<'a>) -> Answer<'a>),
    /// A bearer of a token for the admin API.
    Admin(for<'a> fn(AdminCall<'a>) -> Answer<'a>),
}

/// What a request carries besides its path.
#[derive(Clone, Copy)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// A JSON body.
    Json(&'static Object),
    /// A JSON body, or none.
    JsonOrNothing(&'static Object),
    /// A form, and client authentication.
    Form(&'static Object),
    /// The form of a token request: what the endpoint, client authentication and the grants read.
    TokenRequest,
    /// The page of a list, and these filters.
    Page(&'static [&'static str]),
    /// Query parameters, and whether they are needed.
    Query(&'static [&'static str], bool),
}

/// What a good answer has.
#[derive(Clone, Copy)]
pub enum Gives {
    /// No body.
    Nothing,
    /// An object.
    One(&'static Object),
    /// An object with an `ETag`.
    Tagged(&'static Object),
    /// An object with an `ETag` that a `PUT` has changed, or made (201).
    Made(&'static Object),
    /// A page of objects.
    Many(&'static Object),
    /// An object, or a list of them.
    OneOrList(&'static Object),
    /// An object, or a JWT of that media type where `Accept` asks so.
    OneOrJwt(&'static Object, &'static str),
    /// A JWT of that media type.
    Jwt(&'static str),
    /// Text of that media type.
    Text(&'static str),
    /// Text of one of these media types.
    Texts(&'static [&'static str]),
    /// A page for people.
    Html,
    /// The OpenAPI document.
    Document,
}

/// One endpoint.
pub struct Row {
    /// The method.
    pub method: Method,
    /// The path, with its variable segments in braces.
    pub path: &'static str,
    /// The group that it belongs to; nothing where every Worker has it.
    pub role: Option<Role>,
    /// The guard and the handler.
    pub endpoint: Endpoint,
    /// What a request carries.
    pub takes: Takes,
    /// The status of a good answer, and what it has.
    pub gives: (u16, Gives),
    /// Statuses of refusals, besides those that every endpoint of its kind has.
    pub refuses: &'static [u16],
    /// For people.
    pub summary: &'static str,
}

impl Row {
    /// Whether it makes a record under a new name: such a request may carry an `Idempotency-Key`.
    pub fn makes(&self) -> bool {
        matches!(self.endpoint, Endpoint::Admin(_)) && self.method == Method::Post && self.gives.0 == 201
    }
}

/// The rows of a path.
pub struct Route {
    /// The tenant, as the path names it; empty where it names none.
    pub tenant: String,
    /// The group that it belongs to; nothing where every Worker has it.
    pub role: Option<Role>,
    /// The variable segments of the path, decoded.
    pub ids: Vec<String>,
    rows: &'static [Row],
}

/// What answers below the admin API where no row fits.
const NOTHING: Endpoint = Endpoint::Admin(|call| Box::pin(admin::nothing(call)));

impl Route {
    /// The form of errors at this path.
    pub fn style(&self, request: &Request) -> Style {
        match self.guard() {
            Endpoint::Page(_) => Style::Page { language: pages::language(request), next: self.next() },
            Endpoint::Admin(_) | Endpoint::Receiver(Access { explains: true, .. }, _) => Style::Problem,
            Endpoint::Compat(_) => Style::Descope,
            _ => Style::OAuth,
        }
    }

    /// What a person can do after an error at this path: to the authorization endpoint an application has led.
    fn next(&self) -> Next<'static> {
        let leads_back = self.rows.first().is_some_and(|row| row.path.starts_with("/t/{tenant}/authorize"));
        if leads_back { Next::Application } else { Next::Nothing }
    }

    /// An endpoint of the path: all of them have the same guard.
    pub fn guard(&self) -> Endpoint {
        self.rows.first().map_or(NOTHING, |row| row.endpoint)
    }

    /// Whether its endpoint passes requests on, and so wants all headers and the body as it comes.
    pub fn passes_on(&self) -> bool {
        self.rows.first().is_some_and(|row| row.path.ends_with(REST))
    }

    /// The scope that a token needs for a method; nothing where no token is asked for.
    pub fn scope(&self, method: Method) -> Option<&'static str> {
        match self.endpoint(method).ok()? {
            Endpoint::Admin(_) => Some(if method == Method::Get { "admin:read" } else { "admin" }),
            Endpoint::Receiver(access, _) => access.scopes.first().copied(),
            Endpoint::Site(_) | Endpoint::Public(_) | Endpoint::Client(_) | Endpoint::Compat(_) | Endpoint::Page(_) => {
                None
            }
        }
    }

    /// The tenant of a request: as the path names it, else the project of a compatible endpoint.
    pub fn tenant<'a>(&'a self, request: &'a Request) -> &'a str {
        match self.guard() {
            Endpoint::Compat(_) if self.tenant.is_empty() => compat::tenant(request),
            _ => &self.tenant,
        }
    }

    /// The endpoint for a method.
    pub fn endpoint(&self, method: Method) -> Result<Endpoint> {
        match self.rows {
            [] => Ok(NOTHING),
            rows => {
                let found = rows.iter().find(|row| row.method == method);
                found.map(|row| row.endpoint).ok_or_else(|| Reason::MethodNotAllowed.into())
            }
        }
    }

    /// The `Allow` header (RFC 9110 §10.2.1).
    pub fn allow(&self) -> String {
        let names: Vec<_> = self.rows.iter().map(|row| row.method.as_str()).collect();
        names.join(", ")
    }
}

/// Every endpoint that there is.
pub fn rows() -> &'static [Row] {
    ROUTES
}

/// The route of a path, if there is one.
pub fn resolve(path: &str) -> Option<Route> {
    let known = ROUTES.iter().position(|row| fits(row.path, path)).and_then(|start| {
        let rows = ROUTES.get(start..)?;
        let first = rows.first()?;
        let count = rows.iter().take_while(|row| row.path == first.path).count();
        let (tenant, ids) = variables(first.path, path)?;
        Some(Route { tenant, role: first.role, ids, rows: rows.get(..count)? })
    });
    known.or_else(|| {
        let (tenant, rest) = path.strip_prefix("/t/")?.split_once('/')?;
        let is_admin = rest == "admin" || rest.starts_with("admin/");
        is_admin.then(|| Route { tenant: tenant.to_owned(), role: Some(Role::Admin), ids: vec![], rows: &[] })
    })
}

/// The variable that stands for the rest of a path to which requests are passed on. Its endpoint reads it as it was sent.
const REST: &str = "{path}";
/// The variable that stands for the rest of the path of a tile.
const TILE: &str = "{tile}";

fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(REST | TILE), Some(_)) => return true,
            (Some(wanted), Some(segment)) if wanted == segment || wanted.starts_with('{') => {}
            _ => return false,
        }
    }
}

/// What names no tenant.
const NO_TENANT: &str = "-";

/// The tenant and the other variable segments of a path that fits; nothing if one cannot name anything.
fn variables(pattern: &str, path: &str) -> Option<(String, Vec<String>)> {
    let (mut tenant, mut ids) = (String::new(), Vec::new());
    for (wanted, segment) in pattern.split('/').zip(path.split('/')).filter(|(wanted, _)| wanted.starts_with('{')) {
        match wanted {
            "{tenant}" => segment.clone_into(&mut tenant),
            // A name of no project names no tenant either.
            "{project}" => tenant_of(segment).unwrap_or(NO_TENANT).clone_into(&mut tenant),
            REST | TILE => {}
            _ => ids.push(decode(segment, pattern.contains("/admin/clients/{id}"))?),
        }
    }
    Some((tenant, ids))
}

/// One decoded path segment: never empty, never a dot segment, never with a slash in it, but for a client that is named by a URL.
fn decode(segment: &str, is_client: bool) -> Option<String> {
    let text = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
    let sound = !text.is_empty()
        && text.len() <= 256
        && !text.starts_with("..")
        && text != "."
        && (!text.contains(['/', '\\', '\0']) || is_client && is_client_url(&text));
    sound.then(|| text.into_owned())
}
