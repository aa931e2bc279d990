//! API keys.

use super::fixed::{FIXED, handed_out, read_header_text};
use super::{Provider, fields};

pub const PROVIDER: Provider = Provider {
    kind: "api_key",
    read_secret: |_, secret| read_header_text(secret, "api_key"),
    exchange: Some(|_, request| {
        Box::pin(async move { Ok(handed_out([("api_key", fields::text(request.plain)?.expose())])) })
    }),
    ..FIXED
};
