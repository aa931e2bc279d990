//! The client credentials grant (RFC 6749 §4.4): a client on its own, without a user.
//!
//! 1. Nothing is stored: issuance writes one event and no row.
//! 2. No refresh token (RFC 6749 §4.4.3).

use super::request::TokenRequest;
use crate::context::Cx;
use crate::error::Result;
use crate::model::event::Facts;
use crate::tokens::{Issuance, Requested, TokenResponse, issue, target};

/// The grant type.
pub const GRANT_TYPE: &str = "client_credentials";

pub async fn run(cx: &Cx<'_>, request: &TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let caller = request.caller()?;
    let client = &*caller.client;
    let target = target(cx, client, &Requested::read(request.form, client, &["resource"])?, facts).await?;
    let own = Issuance::own(client, caller.method, GRANT_TYPE, target);
    let issuance = Issuance { jkt: request.jkt(), workload_claims: &caller.workload_claims, ..own };
    issue(cx, issuance, facts).await
}
