//! What the in-process and the black-box tests of public documents share.

use serde_json::Value;

/// Every path of the metadata of `main`.
pub const METADATA_PATHS: [&str; 4] = [
    "/.well-known/oauth-authorization-server/t/main",
    "/.well-known/openid-configuration/t/main",
    "/t/main/.well-known/oauth-authorization-server",
    "/t/main/.well-known/openid-configuration",
];

/// Whether there is a `null` anywhere in it.
pub fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
