//! Every URL in one match: path, role, guard, methods, endpoint.

use crate::config::Role;
use crate::error::{Reason, Result};
use crate::web::oauth::{authorize, discovery, introspect, revoke, status_list, token};
use crate::web::render::Style;
use crate::web::vault::lease;
use crate::web::{Method, Run, admin, ssf};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Anyone, also a page of another origin.
    Public,
    /// The endpoint authenticates its client itself.
    Client,
    /// A browser goes there; no script may read it.
    Page,
    /// A bearer of an admin token.
    Admin,
}

/// A route that fits a path.
pub struct Route {
    /// The tenant, as the path names it.
    pub tenant: String,
    /// The group that it belongs to.
    pub role: Role,
    /// Who may call it.
    pub guard: Guard,
    /// What it can do.
    pub methods: Vec<(Method, Run)>,
    /// The variable segments of the path, decoded.
    pub ids: Vec<String>,
}

impl Route {
    /// How this part of the surface speaks of errors.
    pub fn style(&self) -> Style {
        style(self.guard)
    }

    /// The endpoint for a method.
    pub fn endpoint(&self, method: Method) -> Result<Run> {
        let found = self.methods.iter().find(|(known, _)| *known == method);
        found.map(|(_, run)| *run).ok_or_else(|| Reason::MethodNotAllowed.into())
    }

    /// The `Allow` header (RFC 9110 §10.2.1).
    pub fn allow(&self) -> String {
        let names: Vec<_> = self.methods.iter().map(|(method, _)| method.as_str()).collect();
        names.join(", ")
    }
}

fn style(guard: Guard) -> Style {
    match guard {
        Guard::Admin => Style::Problem,
        Guard::Public | Guard::Client | Guard::Page => Style::OAuth,
    }
}

macro_rules! endpoints {
    ($($method:ident $run:expr),+ $(,)?) => {
        vec![$((Method::$method, { let run: Run = |call| Box::pin($run(call)); run })),+]
    };
}

/// The route of a path, if there is one.
pub fn resolve(path: &str) -> Option<Route> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let (tenant, rest) = match segments.as_slice() {
        [".well-known", document, "t", tenant] => (*tenant, vec![".well-known", *document]),
        ["t", tenant, rest @ ..] => (*tenant, rest.to_vec()),
        _ => return None,
    };
    let (role, guard, methods, ids) = match rest.as_slice() {
        [".well-known", "oauth-authorization-server" | "openid-configuration"] => {
            (Role::Discovery, Guard::Public, endpoints![Get discovery::metadata], vec![])
        }
        ["jwks.json"] => (Role::Discovery, Guard::Public, endpoints![Get discovery::jwks], vec![]),
        ["resources", id, "oauth-protected-resource"] => {
            (Role::Discovery, Guard::Public, endpoints![Get discovery::protected_resource], vec![*id])
        }
        ["authorize"] => {
            (Role::Authorize, Guard::Page, endpoints![Get authorize::refuse, Post authorize::refuse], vec![])
        }
        ["token"] => (Role::Token, Guard::Client, endpoints![Post token::post], vec![]),
        ["introspect"] => (Role::Token, Guard::Client, endpoints![Post introspect::post], vec![]),
        ["revoke"] => (Role::Token, Guard::Client, endpoints![Post revoke::post], vec![]),
        ["status-list"] => (Role::Token, Guard::Public, endpoints![Get status_list::get], vec![]),
        ["connections", name, "token"] => (Role::Broker, Guard::Client, endpoints![Post lease::lease], vec![*name]),
        [".well-known", "ssf-configuration"] => {
            (Role::Discovery, Guard::Public, endpoints![Get ssf::configuration], vec![])
        }
        ["ssf", rest @ ..] => {
            let (methods, ids) = ssf_route(rest)?;
            (Role::Token, Guard::Client, methods, ids)
        }
        ["admin", rest @ ..] => {
            let (role, methods, ids) = admin_route(rest)?;
            (role, Guard::Admin, methods, ids)
        }
        _ => return None,
    };
    let ids = ids.into_iter().map(decode).collect::<Option<_>>()?;
    Some(Route { tenant: tenant.to_owned(), role, guard, methods, ids })
}

type Endpoints = Vec<(Method, Run)>;

/// Event streams.
fn ssf_route<'a>(rest: &[&'a str]) -> Option<(Endpoints, Vec<&'a str>)> {
    Some(match rest {
        ["streams"] => (
            endpoints![Get ssf::read, Post ssf::create, Patch ssf::update, Put ssf::replace, Delete ssf::delete],
            vec![],
        ),
        ["streams", id, "poll"] => (endpoints![Post ssf::poll], vec![*id]),
        ["status"] => (endpoints![Get ssf::status, Post ssf::set_status], vec![]),
        ["verify"] => (endpoints![Post ssf::verify], vec![]),
        _ => return None,
    })
}

/// The admin API. What touches signing keys or credentials belongs to the role that has the secret for it.
fn admin_route<'a>(rest: &[&'a str]) -> Option<(Role, Endpoints, Vec<&'a str>)> {
    use admin::{clients, connections, events, identities, issuers, keys, kill, policies, resources, tenants, users};
    Some(match rest {
        ["tenants"] => (Role::Admin, endpoints![Get tenants::list, Post tenants::create], vec![]),
        ["tenants", id] => (Role::Admin, endpoints![Get tenants::get, Put tenants::put], vec![*id]),
        ["clients"] => (Role::Admin, endpoints![Get clients::list, Post clients::create], vec![]),
        ["clients", id] => {
            (Role::Admin, endpoints![Get clients::get, Put clients::put, Delete clients::delete], vec![*id])
        }
        ["clients", id, "secrets"] => (Role::Admin, endpoints![Post clients::add_secret], vec![*id]),
        ["clients", id, "secrets", secret] => {
            (Role::Admin, endpoints![Delete clients::delete_secret], vec![*id, *secret])
        }
        ["clients", id, "suspend"] => (Role::Admin, endpoints![Post clients::suspend], vec![*id]),
        ["clients", id, "resume"] => (Role::Admin, endpoints![Post clients::resume], vec![*id]),
        ["clients", id, "kill"] => (Role::Admin, endpoints![Post clients::kill], vec![*id]),
        ["identities"] => (Role::Admin, endpoints![Get identities::list], vec![]),
        ["identities", id] => (Role::Admin, endpoints![Get identities::get], vec![*id]),
        ["identities", id, "suspend"] => (Role::Admin, endpoints![Post identities::suspend], vec![*id]),
        ["identities", id, "resume"] => (Role::Admin, endpoints![Post identities::resume], vec![*id]),
        ["identities", id, "kill"] => (Role::Admin, endpoints![Post identities::kill], vec![*id]),
        ["kill"] => (Role::Admin, endpoints![Post kill::any], vec![]),
        ["resources"] => (Role::Admin, endpoints![Get resources::list, Post resources::create], vec![]),
        ["resources", id] => {
            (Role::Admin, endpoints![Get resources::get, Put resources::put, Delete resources::delete], vec![*id])
        }
        ["users"] => (Role::Admin, endpoints![Get users::list, Post users::create], vec![]),
        ["users", id] => (Role::Admin, endpoints![Get users::get, Put users::put, Delete users::delete], vec![*id]),
        ["issuers"] => (Role::Admin, endpoints![Get issuers::list, Post issuers::create], vec![]),
        ["issuers", id] => {
            (Role::Admin, endpoints![Get issuers::get, Put issuers::put, Delete issuers::delete], vec![*id])
        }
        ["users", id, "suspend"] => (Role::Admin, endpoints![Post users::suspend], vec![*id]),
        ["users", id, "resume"] => (Role::Admin, endpoints![Post users::resume], vec![*id]),
        ["users", id, "kill"] => (Role::Admin, endpoints![Post users::kill], vec![*id]),
        ["policies"] => (Role::Admin, endpoints![Get policies::list], vec![]),
        ["policies", id] => {
            (Role::Admin, endpoints![Get policies::get, Put policies::put, Delete policies::delete], vec![*id])
        }
        ["connections"] => (Role::Broker, endpoints![Get connections::list], vec![]),
        ["connections", name] => (
            Role::Broker,
            endpoints![Get connections::get, Put connections::put, Delete connections::delete],
            vec![*name],
        ),
        ["connections", name, "suspend"] => (Role::Admin, endpoints![Post connections::suspend], vec![*name]),
        ["connections", name, "resume"] => (Role::Admin, endpoints![Post connections::resume], vec![*name]),
        ["connections", name, "kill"] => (Role::Admin, endpoints![Post connections::kill], vec![*name]),
        ["keys"] => (Role::Token, endpoints![Get keys::list], vec![]),
        ["keys", "rotate"] => (Role::Token, endpoints![Post keys::rotate], vec![]),
        ["events"] => (Role::Audit, endpoints![Get events::list], vec![]),
        ["dead-letters"] => (Role::Audit, endpoints![Get events::dead_letters], vec![]),
        _ => return None,
    })
}

/// One decoded path segment: never empty, never a dot segment, never with a slash in it.
fn decode(segment: &str) -> Option<String> {
    let text = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
    let sound = !text.is_empty()
        && text.len() <= 256
        && !text.starts_with("..")
        && text != "."
        && !text.contains(['/', '\\', '\0']);
    sound.then(|| text.into_owned())
}
