//! The client credentials grant (RFC 6749 §4.4): a client on its own, without a user.
//!
//! 1. Nothing is stored: issuance writes one event and no row.
//! 2. No refresh token (RFC 6749 §4.4.3).

use super::issue::{self, Order, Wish};
use super::{TokenRequest, TokenResponse};
use crate::cx::Cx;
use crate::error::Result;
use crate::model::event::Facts;

pub const GRANT_TYPE: &str = "client_credentials";

pub async fn run(cx: &Cx<'_>, request: &TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let caller = request.caller()?;
    let client = &*caller.client;
    let target = issue::target(cx, client, &Wish::read(request.form, client, &["resource"])?, facts).await?;
    let order = Order { jkt: request.jkt, ..Order::own(client, caller.method, GRANT_TYPE, target) };
    issue::issue(cx, order, facts).await
}
