//! User names with passwords (RFC 7617).

use super::fixed::{FIXED, handed_out};
use super::{Credential, Provider, fields};
use crate::config::Config;
use crate::error::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const PROVIDER: Provider = Provider {
    kind: "basic",
    read_secret,
    exchange: Some(|_, request| {
        Box::pin(async move {
            let pair: Pair = fields::opened(request.plain)?;
            Ok(handed_out([("username", &pair.username), ("password", &pair.password)]))
        })
    }),
    ..FIXED
};

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Pair {
    username: String,
    password: String,
}

impl Drop for Pair {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.password);
    }
}

fn read_secret(_: &Config, secret: Value) -> Result<Credential> {
    let [username, password] = fields::secret(secret, ["username", "password"], false)?;
    if username.expose().contains(':') {
        return Err(fields::invalid("`secret.username` may not have a colon (RFC 7617 §2)"));
    }
    let account = username.expose().clone();
    let pair = Pair { username: account.clone(), password: password.expose().clone() };
    fields::seal(&pair, account)
}
