//! `GET|POST /t/{tenant}/authorize` (RFC 6749 §3.1).
//!
//! In scope: saying no, as the RFC asks. No client has a redirect URI yet, so no request can be sent back to one:
//! each is refused on the spot, without a redirect and without an echo (RFC 6749 §4.1.2.1). MCP clients look for the
//! endpoint in the metadata of every authorization server, also for grants that do not use it.

use crate::error::{Reason, Result};
use crate::web::{Call, Response};

/// Refuses an authorization request.
pub async fn refuse(_: Call<'_>) -> Result<Response> {
    Err(Reason::UnsupportedResponseType.into())
}
