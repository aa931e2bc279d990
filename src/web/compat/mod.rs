//! Routes that the published SDKs of Descope, and FastMCP's provider for it, call: another wire for the same verbs.
//!
//! In scope: token routes and their metadata, keys, connection tokens, what is uploaded and deleted of them, connections to look at, the exchange of an
//! access key. Out of scope: users, flows, SSO, changes of connections, clients, resources and policies, which the admin API has.
//!
//! 1. They answer where the tenant has set `descope`, and nowhere else: what bears a token may use connections here, and a resource server may name a
//!    user without any (docs/decisions.md 136).
//! 2. The tenant is found from the project, in the path or in `Authorization` (docs/decisions.md 134).
//! 3. A credential is a token of the compatible routes, or `client_id:client_secret`: client authentication, decisions and issuance are those of the
//!    other routes. No key passes by policy.

pub mod credential;
pub mod discovery;
pub mod oauth;
pub mod objects;
pub mod outbound;
pub mod tokens;

use super::{Answer, Call, Request, Response};
use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::model::project::tenant_of;

/// The tenant whose project the `Authorization` header of a request names; text that names none otherwise.
pub fn tenant(request: &Request) -> &str {
    credential::presented(request).and_then(|(project, _)| tenant_of(project)).unwrap_or_default()
}

/// Answers where the tenant has these routes.
pub async fn answer(call: Call<'_>, run: for<'a> fn(Call<'a>) -> Answer<'a>) -> Result<Response> {
    expect(call.cx)?;
    run(call).await
}

/// Passes where the tenant has these routes.
fn expect(cx: &Cx<'_>) -> Result<()> {
    match cx.tenant.settings.descope {
        true => Ok(()),
        false => Err(Reason::NoSuchPath.because("the tenant has not set `descope`")),
    }
}
