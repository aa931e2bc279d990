//! Who may use the admin API: a bearer of an access token for `{issuer}/admin` with the scope that the method needs.

use super::{Method, Request};
use crate::cx::Cx;
use crate::error::{Reason, Result};
use crate::oauth::Scope;
use crate::tokens::{self, Accepted};

/// An administrator's client that may do what it asks for.
pub struct Admin(Accepted);

impl Admin {
    /// Checks the bearer token (RFC 6750 §2.1).
    pub async fn of(cx: &Cx<'_>, request: &Request) -> Result<Self> {
        let header = request.header("authorization").ok_or(Reason::MissingToken)?;
        let (scheme, token) = header.split_once(' ').ok_or(Reason::MissingToken)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Reason::MissingToken.into());
        }
        let audience = format!("{}/admin", cx.issuer());
        let accepted = tokens::verify(cx, token.trim(), |aud| aud == audience).await?.ok_or(Reason::InvalidToken)?;
        Ok(Self(accepted))
    }

    /// Checks the scope: reading takes `admin:read` or `admin`, everything else `admin`.
    pub fn may(&self, method: Method) -> Result<()> {
        let scope = Scope::parse(&self.0.claims.scope).unwrap_or_default();
        let enough = scope.contains("admin") || (method == Method::Get && scope.contains("admin:read"));
        match enough {
            true => Ok(()),
            false => Err(Reason::InsufficientScope.into()),
        }
    }

    /// The client that acts.
    pub fn client_id(&self) -> &str {
        &self.0.client.id
    }
}
