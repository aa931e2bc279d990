//! Parse, call a verb, render. One file per endpoint, or per group of endpoints of one kind; every URL is a row of `routes`.
//!
//! 1. The type of an endpoint's argument says what has been checked before it runs: [`SiteCall`] nothing, [`Call`] that the tenant is there
//!    and active, [`AdminCall`] the token of an administrator besides, [`ReceiverCall`] that of a resource server.

pub mod admin;
pub mod approvals;
pub mod compat;
pub mod descope;
pub mod guard;
pub mod health;
pub mod http;
pub mod log;
pub mod negotiation;
pub mod oauth;
pub mod openapi;
pub mod pages;
pub mod render;
pub mod router;
mod routes;
pub mod schema;
pub mod ssf;
pub mod tool_calls;
pub mod vault;

pub use http::{Method, Request, Response};

use crate::config::Config;
use crate::context::Cx;
use crate::error::{Fault, Result};
use crate::model::Client;
use crate::ports::{Pending, World};
use std::ops::Deref;

/// What an endpoint of no tenant is called with.
#[derive(Clone, Copy)]
pub struct SiteCall<'a> {
    /// The ports.
    pub world: &'a World,
    /// The settings.
    pub config: &'a Config,
}

/// What an endpoint of a tenant is called with.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The context.
    pub cx: &'a Cx<'a>,
    /// The request.
    pub request: &'a Request,
    /// The variable segments of the path, decoded.
    pub ids: &'a [String],
}

/// What an endpoint of the admin API is called with.
#[derive(Clone, Copy)]
pub struct AdminCall<'a> {
    /// The request and its context.
    pub call: Call<'a>,
    /// The administrator's client.
    pub admin: &'a str,
}

/// What an endpoint for event streams is called with.
#[derive(Clone, Copy)]
pub struct ReceiverCall<'a> {
    /// The request and its context.
    pub call: Call<'a>,
    /// The resource server.
    pub client: &'a Client,
}

/// An answer on its way.
pub type Answer<'a> = Pending<'a, Result<Response>>;

impl<'a> Call<'a> {
    /// The n-th variable segment of the path.
    pub fn id(&self, n: usize) -> Result<&'a str> {
        self.ids.get(n).map(String::as_str).ok_or_else(|| Fault::Broken("a route has too few ids").into())
    }
}

impl<'a> Deref for AdminCall<'a> {
    type Target = Call<'a>;

    fn deref(&self) -> &Call<'a> {
        &self.call
    }
}

impl<'a> Deref for ReceiverCall<'a> {
    type Target = Call<'a>;

    fn deref(&self) -> &Call<'a> {
        &self.call
    }
}
