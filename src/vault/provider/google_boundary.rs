//! Access tokens of Google that reach less than their account (cloud.google.com, "Credential Access Boundaries").
//!
//! 1. `access_boundary` of a config is a list of Google's rules, the ceiling of every lease: the token that a lease gets is exchanged once more (RFC 8693),
//!    and the one that reaches more goes nowhere.
//! 2. Google holds boundaries at Cloud Storage. An identity token has none.

use super::token_exchange::GRANT_TYPE;
use super::{Token, answer, fields};
use crate::context::Cx;
use crate::error::Result;
use crate::oauth::ACCESS_TOKEN;
use crate::outbound;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Google's security token service.
pub const STS: &str = "https://sts.googleapis.com/v1/token";
/// Google's bound on rules.
const MAX_RULES: usize = 10;

/// The rules of a boundary; none: the token reaches what its account does.
#[derive(Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct AccessBoundary(Vec<Rule>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    available_resource: String,
    available_permissions: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    availability_condition: Option<Value>,
}

impl AccessBoundary {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Passes if Google may take the rules, and leases are access tokens.
    pub fn check(&self, gives_access_tokens: bool) -> Result<()> {
        let is_rule = |rule: &Rule| {
            let is_bounded = rule.available_permissions.len() <= fields::MAX_TEXT;
            rule.available_resource.starts_with("//")
                && rule.available_resource.len() <= fields::MAX_TEXT
                && is_bounded
                && !rule.available_permissions.is_empty()
                && rule
                    .available_permissions
                    .iter()
                    .all(|role| role.starts_with("inRole:") && role.len() <= fields::MAX_TEXT)
                && rule.availability_condition.as_ref().is_none_or(Value::is_object)
        };
        match self.0.len() <= MAX_RULES && self.0.iter().all(is_rule) && (gives_access_tokens || self.is_empty()) {
            true => Ok(()),
            false => Err(fields::invalid(format!(
                "`config.access_boundary` must hold up to {MAX_RULES} rules with `availableResource` (//…) and `availablePermissions` (inRole:…), \
                 and goes with `scopes` alone"
            ))),
        }
    }

    /// The token within the boundary, in place of one that reaches more.
    pub async fn narrow(&self, cx: &Cx<'_>, token: Token) -> Result<Token> {
        if self.is_empty() {
            return Ok(token);
        }
        let options = json!({"accessBoundary": {"accessBoundaryRules": self}}).to_string();
        let parameters = [
            ("grant_type", GRANT_TYPE),
            ("subject_token", token.access_token.expose()),
            ("subject_token_type", ACCESS_TOKEN),
            ("requested_token_type", ACCESS_TOKEN),
            ("options", &options),
        ];
        let within = answer::success(outbound::post_form(cx, STS, &parameters).await?)?;
        // It lives no longer than the one that it was made from, whatever is said.
        let longest = token.lifetime.unwrap_or(answer::UNKNOWN_LIFETIME);
        let mut within = within.bearer(longest)?;
        within.lifetime = within.lifetime.map(|lifetime| lifetime.min(longest));
        Ok(within)
    }
}
