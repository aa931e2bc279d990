//! Errors as the SDKs of Descope read them: `errorCode`, `errorDescription` and `errorMessage`, beside the members of OAuth.
//!
//! 1. A missing connection token is 404 `E111504`: its SDKs and agents tell it from others by that (docs/decisions.md 137). The other codes say no
//!    more than the status.

use crate::error::{Reason, Wire};
use crate::web::schema::{Kind, members, object};
use serde_json::Value;

object!(
    /// An error of a Descope-compatible route.
    ERROR = "DescopeError" [members![
        must "errorCode" Kind::Word,
        must "errorDescription" Kind::Word,
        must "errorMessage" Kind::Word,
        must "error" Kind::Word,
        must "error_description" Kind::Word,
        may "decision" Kind::Word,
        may "connect_url" Kind::Word,
    ]]
);

/// No connection token.
const NO_TOKEN: &str = "E111504";

const fn is_missing(reason: Option<Reason>) -> bool {
    matches!(reason, Some(Reason::ConnectionNeeded | Reason::TenantAccountNeeded))
}

/// The status of a refusal: there is nothing where no account is connected.
pub const fn status(reason: Option<Reason>, status: u16) -> u16 {
    if is_missing(reason) { 404 } else { status }
}

/// The members of OAuth with those of Descope.
pub fn members(mut body: Value, reason: Option<Reason>, wire: &Wire) -> Value {
    let code = match wire.status {
        _ if is_missing(reason) => NO_TOKEN,
        400 => "E011003",
        401 => "E061102",
        403 => "E061103",
        404 => "E061104",
        429 => "E130429",
        _ => "E010000",
    };
    if let Some(members) = body.as_object_mut() {
        // What a person can do stands in the text too: SDKs show no more than that.
        let link = members.get("connect_url").and_then(Value::as_str).map(|url| ["; connect_url: ", url].concat());
        let message = [wire.description, &link.unwrap_or_default()].concat();
        members.insert("errorCode".to_owned(), code.into());
        members.insert("errorDescription".to_owned(), wire.description.into());
        members.insert("errorMessage".to_owned(), message.into());
    }
    body
}
