//! Who may use an API of our own: a bearer of an access token for it, who holds the key that the token is bound to.
//!
//! 1. A token comes in the `Authorization` header alone (RFC 6750 §2.1), as `Bearer`, or as `DPoP` if it is bound to a key.
//!    A bound token is refused as a bearer token, and an unbound one as a bound one (RFC 9449 §7.1, §7.2).

use super::{Method, Request};
use crate::authn::dpop;
use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::model::{Client, ClientKind};
use crate::oauth::Scope;
use crate::tokens::{self, Accepted};
use std::rc::Rc;

/// An administrator's client that may do what it asks for.
pub struct Admin(Accepted);

impl Admin {
    /// Checks the token: it has to be for `{issuer}/admin`.
    pub async fn of(cx: &Cx<'_>, request: &Request) -> Result<Self> {
        accept(cx, request, "admin").await.map(Self)
    }

    /// Checks the scope: reading takes `admin:read` or `admin`, everything else `admin`.
    pub fn may(&self, method: Method) -> Result<()> {
        let enough: &[&str] = if method == Method::Get { &["admin", "admin:read"] } else { &["admin"] };
        expect_scope(&self.0, enough)
    }

    /// The client that acts.
    pub fn client_id(&self) -> &str {
        &self.0.client.id
    }
}

/// The resource server that manages or reads its event stream: its token has to be for `{issuer}/ssf`, with one of the
/// scopes that are `enough`.
pub async fn receiver(cx: &Cx<'_>, request: &Request, enough: &[&str]) -> Result<Rc<Client>> {
    let accepted = accept(cx, request, "ssf").await?;
    expect_scope(&accepted, enough)?;
    match accepted.client.metadata.kind {
        ClientKind::ResourceServer => Ok(accepted.client),
        ClientKind::Autonomous | ClientKind::Delegated => Err(Reason::NoReceiver.into()),
    }
}

async fn accept(cx: &Cx<'_>, request: &Request, api: &str) -> Result<Accepted> {
    let header = request.header("authorization").ok_or(Reason::MissingToken)?;
    let (scheme, token) = header.split_once(' ').ok_or(Reason::MissingToken)?;
    let (token, bound) = (token.trim(), scheme.eq_ignore_ascii_case("dpop"));
    if !bound && !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Reason::MissingToken.into());
    }
    let audience = format!("{}/{api}", cx.issuer());
    let invalid = if bound { Reason::InvalidBoundToken } else { Reason::InvalidToken };
    let accepted = tokens::verify(cx, token, |aud| aud == audience).await?.ok_or(invalid)?;
    match &accepted.claims.cnf {
        Some(cnf) if bound => {
            let url = [cx.config.origin(), &request.path].concat();
            dpop::with_token(cx, request.header("dpop"), token, &cnf.jkt, (&request.method, &url)).await?;
        }
        None if !bound => {}
        _ => return Err(Reason::InvalidBoundToken.into()),
    }
    Ok(accepted)
}

fn expect_scope(accepted: &Accepted, enough: &[&str]) -> Result<()> {
    let scope = Scope::parse(&accepted.claims.scope).unwrap_or_default();
    match enough.iter().any(|name| scope.contains(name)) {
        true => Ok(()),
        false => Err(Reason::InsufficientScope.into()),
    }
}
