//! API keys.

use super::fixed::{FIXED, handed_out};
use super::{Credential, Provider, fields};

pub const PROVIDER: Provider = Provider {
    kind: "api_key",
    read_secret: |_, secret| {
        let [key] = fields::secret(secret, ["api_key"], false)?;
        Ok(Credential::text(&key))
    },
    exchange: Some(|_, request| {
        Box::pin(async move { Ok(handed_out([("api_key", fields::text(request.plain)?.expose())])) })
    }),
    ..FIXED
};
