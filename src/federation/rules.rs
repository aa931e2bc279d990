//! Whether claims are as a rule has them.
//!
//! 1. A member of an object is reached with `.` or `/`. Names may have both in them (`kubernetes.io`,
//!    `https://sts.amazonaws.com/`), so every reading of the path is tried; where two of them find something, the rule does
//!    not hold, for one of them may be what somebody else could choose.
//! 2. Text is compared as it is, numbers and booleans by their JSON text. Nothing else equals anything.

use crate::model::issuer::{Rule, Test, find};
use serde_json::{Map, Value};

/// Whether every one of the rules holds.
pub fn rules_hold(rules: &[Rule], claims: &Map<String, Value>) -> bool {
    rules.iter().all(|rule| holds(rule, claims))
}

fn holds(rule: &Rule, claims: &Map<String, Value>) -> bool {
    let found = find(claims, &rule.claim);
    let [value] = found.as_slice() else { return false };
    match value {
        Value::String(text) => passes(&rule.test, text),
        Value::Number(_) | Value::Bool(_) => passes(&rule.test, &value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

fn passes(test: &Test, text: &str) -> bool {
    match test {
        Test::Equals(wanted) => text == wanted,
        Test::Prefix(wanted) => text.starts_with(wanted.as_str()),
        Test::OneOf(wanted) => wanted.iter().any(|wanted| wanted == text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(claim: &str, test: Test, claims: &Value) -> bool {
        rules_hold(&[Rule { claim: claim.to_owned(), test }], claims.as_object().unwrap())
    }

    fn equals(claim: &str, wanted: &str, claims: &Value) -> bool {
        holds(claim, Test::Equals(wanted.to_owned()), claims)
    }

    #[test]
    fn a_rule_is_exact_a_prefix_or_a_set() {
        let claims = json!({"sub": "repo:octo/app:ref:refs/heads/main", "n": 42, "b": true});
        let text = |text: &str| text.to_owned();
        assert!(holds("sub", Test::Equals(text("repo:octo/app:ref:refs/heads/main")), &claims));
        assert!(!holds("sub", Test::Equals(text("repo:octo/app")), &claims));
        assert!(holds("sub", Test::Prefix(text("repo:octo/")), &claims));
        assert!(!holds("sub", Test::Prefix(text("repo:octo/b")), &claims));
        assert!(!holds("sub", Test::Prefix(text("REPO:octo/")), &claims));
        assert!(holds("n", Test::OneOf(vec![text("41"), text("42")]), &claims));
        assert!(!holds("n", Test::OneOf(vec![]), &claims));
        assert!(equals("n", "42", &claims) && equals("b", "true", &claims));
    }

    #[test]
    fn members_are_reached_by_path_whatever_is_in_their_names() {
        let claims = json!({
            "google": {"compute_engine": {"project_id": "p"}},
            "kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "agent"}},
            "https://sts.amazonaws.com/": {"aws_account": "123456789012", "principal_tags": {"team.name": "x"}},
        });
        for (path, value) in [
            ("google.compute_engine.project_id", "p"),
            ("google/compute_engine/project_id", "p"),
            ("kubernetes.io/namespace", "prod"),
            ("kubernetes.io.serviceaccount.name", "agent"),
            ("https://sts.amazonaws.com//aws_account", "123456789012"),
            ("https://sts.amazonaws.com/.aws_account", "123456789012"),
            ("https://sts.amazonaws.com//principal_tags/team.name", "x"),
        ] {
            assert!(equals(path, value, &claims), "{path}");
        }
        for path in ["google", "google.", "google.compute_engine", "kubernetes", "kubernetes.io", "", "."] {
            assert!(!equals(path, "", &claims) && !equals(path, "p", &claims), "{path}");
        }
    }

    #[test]
    fn a_claim_that_is_there_twice_under_one_path_is_nobodys() {
        let claims = json!({"a.b": "x", "a": {"b": "x"}});
        assert!(!equals("a.b", "x", &claims));
        assert!(equals("a/b", "x", &claims));
    }

    #[test]
    fn what_is_absent_null_a_list_or_an_object_equals_nothing() {
        let claims = json!({"null": null, "list": ["x"], "object": {}, "empty": ""});
        for claim in ["absent", "null", "list", "object"] {
            for wanted in ["", "null", "x", "[\"x\"]", "{}"] {
                assert!(!equals(claim, wanted, &claims), "{claim} {wanted}");
                assert!(!holds(claim, Test::Prefix(wanted.to_owned()), &claims), "{claim} {wanted}");
            }
        }
    }

    #[test]
    fn all_rules_have_to_hold() {
        let claims = json!({"a": "1", "b": "2"});
        let rule = |claim: &str, value: &str| Rule { claim: claim.to_owned(), test: Test::Equals(value.to_owned()) };
        let claims = claims.as_object().unwrap();
        assert!(rules_hold(&[rule("a", "1"), rule("b", "2")], claims));
        assert!(!rules_hold(&[rule("a", "1"), rule("b", "1")], claims));
    }
}
