//! Parse, call a verb, render. One file per endpoint, or per group of endpoints of one kind.

pub mod admin;
pub mod guard;
pub mod health;
pub mod http;
pub mod oauth;
pub mod render;
pub mod router;
pub mod ssf;
pub mod vault;

pub use http::{Method, Request, Response};

use crate::context::Cx;
use crate::error::{Fault, Reason, Result};
use crate::ports::Pending;
use guard::Admin;

/// What an endpoint is called with.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The context.
    pub cx: &'a Cx<'a>,
    /// The request.
    pub request: &'a Request,
    /// The administrator's client; there behind the admin guard.
    pub admin: Option<&'a Admin>,
    /// The variable segments of the path, decoded.
    pub ids: &'a [String],
}

/// An endpoint.
pub type Run = for<'a> fn(Call<'a>) -> Pending<'a, Result<Response>>;

impl<'a> Call<'a> {
    /// The n-th variable segment of the path.
    pub fn id(&self, n: usize) -> Result<&'a str> {
        self.ids.get(n).map(String::as_str).ok_or_else(|| Fault::Broken("a route has too few ids").into())
    }

    /// The client id of the administrator's client.
    pub fn admin(&self) -> Result<&'a str> {
        self.admin.map(Admin::client_id).ok_or_else(|| Reason::MissingToken.into())
    }
}
