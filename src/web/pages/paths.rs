//! Where pages lead.

use crate::context::Cx;
use crate::model::id;
use url::{Host, Url};

/// The page of a request under way.
pub fn request(cx: &Cx<'_>, id: &str) -> String {
    format!("/t/{}/authorize/{id}", cx.tenant.id)
}

/// Where a person enters the code of a device.
pub fn device(cx: &Cx<'_>) -> String {
    format!("/t/{}/device", cx.tenant.id)
}

/// Where signing in is.
pub fn sign_in(cx: &Cx<'_>) -> String {
    format!("/t/{}/sign-in", cx.tenant.id)
}

/// Where signing out is.
pub fn sign_out(cx: &Cx<'_>) -> String {
    format!("/t/{}/sign-out", cx.tenant.id)
}

/// The page of the person who is signed in.
pub fn me(cx: &Cx<'_>) -> String {
    format!("/t/{}/me", cx.tenant.id)
}

/// Where a person goes after signing in: on with the request, or to the person's own page.
pub fn after(cx: &Cx<'_>, asked: Option<&str>) -> String {
    match asked.filter(|id| id::is_plausible(id)) {
        Some(id) => request(cx, id),
        None => me(cx),
    }
}

/// Where a form may lead, as a source of a content security policy: the origin, or the scheme where no source names the host. Such is an
/// address of IPv6 (Content Security Policy 3 §2.3.1), and a redirect to an application.
pub fn target(redirect_uri: &str) -> String {
    let Ok(url) = Url::parse(redirect_uri) else { return String::new() };
    match (url.scheme(), url.host()) {
        ("https" | "http", Some(Host::Domain(_) | Host::Ipv4(_))) => url.origin().ascii_serialization(),
        (scheme, _) => [scheme, ":"].concat(),
    }
}
