//! Policies that people ask for, each with its tests: `docs/policies/templates/`, shown in `docs/policies.md` and by the admin API.

use serde_json::{Value, json};

macro_rules! templates {
    ($($name:literal),+ $(,)?) => {
        /// Name, text and description of each.
        const ALL: &[(&str, &str, &str)] = &[$((
            $name,
            include_str!(concat!("../../docs/policies/templates/", $name, ".cedar")),
            include_str!(concat!("../../docs/policies/templates/", $name, ".json")),
        )),+];
    };
}

templates! {
    "working-hours",
    "our-network",
    "self-registered-read-only",
    "no-impersonation",
    "step-up-for-deletes",
    "approval-before-production",
    "dpop-for-spending",
    "five-leases-an-hour",
    "quiet-at-night",
    "only-verified-clients",
    "these-countries",
    "chains-of-trusted-agents",
}

/// Each with `name`, `title`, `description`, `cedar` and `tests`.
pub fn all() -> Vec<Value> {
    let show = |(name, cedar, about): &(&str, &str, &str)| {
        let about: Value = serde_json::from_str(about).unwrap_or_default();
        let member = |member: &str| about.get(member).cloned().unwrap_or_default();
        json!({"name": name, "title": member("title"), "description": member("text"), "cedar": cedar, "tests": member("tests")})
    };
    ALL.iter().map(show).collect()
}
