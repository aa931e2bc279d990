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

/// What waits for a person, below the tenant.
pub const APPROVALS: &str = "me/approvals";

/// The page of what waits for a person.
pub fn approvals(cx: &Cx<'_>) -> String {
    format!("/t/{}/{APPROVALS}", cx.tenant.id)
}

/// The page of an approval.
pub fn approval(cx: &Cx<'_>, id: &str) -> String {
    format!("/t/{}/{APPROVALS}/{id}", cx.tenant.id)
}

/// Where a person connects an account.
pub fn connect(cx: &Cx<'_>, connection: &str) -> String {
    format!("/t/{}/connect/{connection}", cx.tenant.id)
}

/// Where a person goes after signing in: on with the request, back to connecting an account or to what waits, or to the person's own page.
pub fn after(cx: &Cx<'_>, asked: Option<&str>) -> String {
    match asked {
        Some(id) if id::is_plausible(id) => request(cx, id),
        Some(path) if is_ours(path) => format!("/t/{}/{path}", cx.tenant.id),
        _ => me(cx),
    }
}

/// Whether that is a path below `connect`, or what waits for a person, and cannot lead anywhere else.
fn is_ours(path: &str) -> bool {
    let is_harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~?=%".contains(&byte);
    let is_approval = |rest: &str| rest.is_empty() || rest.strip_prefix('/').is_some_and(id::is_plausible);
    path.strip_prefix(APPROVALS).is_some_and(is_approval)
        || path.strip_prefix("connect/").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_harmless))
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
