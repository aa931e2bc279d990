//! The client credentials grant (RFC 6749 §4.4): a client on its own, without a user.
//!
//! 1. Nothing is stored: issuance writes one event and no row.
//! 2. No refresh token (RFC 6749 §4.4.3).

use super::issue::{self, Order};
use super::{TokenRequest, TokenResponse};
use crate::cx::Cx;
use crate::error::Result;
use crate::model::event::Facts;

pub const GRANT_TYPE: &str = "client_credentials";

pub async fn run(cx: &Cx<'_>, request: &TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let client = &*request.caller.client;
    let target = issue::target(cx, request.form, client, facts).await?;
    let order = Order { client, method: request.caller.method, subject: &client.id, grant_type: GRANT_TYPE, target };
    issue::issue(cx, order, facts).await
}
