//! Authorization details (RFC 9396 §2): what a client asks for in an object of a registered type.
//!
//! 1. A person can be shown all of it: members are text, numbers, booleans, lists of text, and objects of those one level deep. Everything else is
//!    refused: an empty value, and a character that is not shown or changes how others are shown.
//! 2. All of them together have 10 objects and 2 KB at the most: with them a token stays below [`crate::jose::MAX_TOKEN`].

use super::ResourceUri;
use crate::jose::is_strict;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How many objects a request may have.
const MAX_OBJECTS: usize = 10;
/// How many bytes of JSON they may have together, as they are sent and as they are issued.
pub const MAX_LENGTH: usize = 2 * 1024;
/// How many characters a type or the name of a member may have.
pub const MAX_NAME: usize = 100;

/// One object of `authorization_details`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuthorizationDetail(Map<String, Value>);

impl AuthorizationDetail {
    /// Reads `authorization_details`, a JSON array of at least one object.
    pub fn parse(text: &str) -> Option<Vec<Self>> {
        if text.len() > MAX_LENGTH || !is_strict(text.as_bytes()) {
            return None;
        }
        let all: Vec<Self> = serde_json::from_str(text).ok()?;
        // A number may be longer than it was sent.
        let fits = Self::print(&all).is_some_and(|json| json.len() <= MAX_LENGTH);
        (fits && (1..=MAX_OBJECTS).contains(&all.len()) && all.iter().all(Self::is_sound)).then_some(all)
    }

    fn is_sound(&self) -> bool {
        let is_value = |value: &Value| match value {
            Value::Object(inner) => {
                !inner.is_empty() && inner.iter().all(|(name, value)| is_name(name) && is_flat(value))
            }
            value => is_flat(value),
        };
        is_name(self.kind()) && self.0.iter().all(|(name, value)| is_name(name) && is_value(value))
    }

    /// `type`.
    pub fn kind(&self) -> &str {
        self.0.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// Every member besides `type`.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().filter(|(name, _)| *name != "type").map(|(name, value)| (name.as_str(), value))
    }

    /// All of it.
    pub const fn object(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Several as JSON; nothing if there are none.
    pub fn print(all: &[Self]) -> Option<String> {
        if all.is_empty() { None } else { serde_json::to_string(all).ok() }
    }

    /// Whether `locations` (§2.2), if it is there, names that resource and no other.
    pub fn is_at(&self, resource: &ResourceUri) -> bool {
        let is_it = |text: &str| ResourceUri::parse(text).is_some_and(|uri| uri.is_same(resource));
        match self.0.get("locations") {
            None => true,
            Some(Value::Array(all)) => all.iter().all(|one| one.as_str().is_some_and(is_it)),
            Some(_) => false,
        }
    }
}

/// Whether a text can name a type or a member.
pub fn is_name(text: &str) -> bool {
    is_shown(text) && text.chars().count() <= MAX_NAME
}

fn is_flat(value: &Value) -> bool {
    match value {
        Value::String(text) => is_shown(text),
        Value::Array(all) => !all.is_empty() && all.iter().all(|one| one.as_str().is_some_and(is_shown)),
        Value::Number(_) | Value::Bool(_) => true,
        Value::Null | Value::Object(_) => false,
    }
}

fn is_shown(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(is_deceptive)
}

/// A character that changes how others are shown, or is not shown itself.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(json: &Value) -> Option<Vec<AuthorizationDetail>> {
        AuthorizationDetail::parse(&json.to_string())
    }

    #[test]
    fn what_a_person_cannot_be_shown_is_no_authorization_detail() {
        let whole = json!({"type": "t", "n": 1.5, "b": true, "l": ["x", "y"], "o": {"a": "x", "l": ["x"], "n": 2}});
        let read = parse(&json!([whole])).unwrap();
        assert_eq!((read[0].kind(), read[0].members().count()), ("t", 4));
        assert_eq!(serde_json::to_value(&read).unwrap(), json!([whole]));
        for value in [
            json!(null),
            json!(""),
            json!(" "),
            json!([]),
            json!({}),
            json!([1]),
            json!([["x"]]),
            json!([{"a": "x"}]),
            json!({"a": {"b": "x"}}),
            json!({"a": null}),
            json!({"": "x"}),
            json!("two\nlines"),
            json!("\u{202e}evil"),
            json!({"a\u{200b}": "x"}),
        ] {
            assert_eq!(parse(&json!([{"type": "t", "m": value}])), None, "{value}");
        }
        for other in
            [json!([]), json!({"type": "t"}), json!(["t"]), json!([{}]), json!([{"type": 1}]), json!([{"type": ""}])]
        {
            assert_eq!(parse(&other), None, "{other}");
        }
        assert_eq!(AuthorizationDetail::parse(r#"[{"type":"t","a":"1","a":"2"}]"#), None, "a member twice");
        assert_eq!(AuthorizationDetail::parse(r#"[{"type":"t"}] x"#), None);
    }

    #[test]
    fn authorization_details_are_bounded_as_they_are_sent_and_as_they_are_issued() {
        let some = |n: usize| json!(vec![json!({"type": "t"}); n]);
        assert!(parse(&some(10)).is_some());
        assert!(parse(&some(11)).is_none());
        let long = |n: usize| json!([{"type": "t", "m": "x".repeat(n)}]);
        let rest = long(0).to_string().len();
        assert!(parse(&long(MAX_LENGTH - rest)).is_some());
        assert!(parse(&long(MAX_LENGTH - rest + 1)).is_none());
        let numbers: Vec<String> = (0..150).map(|n| format!("\"{n}\":1e15")).collect();
        let short = format!("[{{\"type\":\"t\",{}}}]", numbers.join(","));
        assert!(short.len() < MAX_LENGTH && AuthorizationDetail::parse(&short).is_none());
        assert!(parse(&json!([{"type": "t".repeat(100)}])).is_some());
        assert!(parse(&json!([{"type": "t".repeat(101)}])).is_none());
    }

    #[test]
    fn locations_name_the_resource_and_no_other() {
        let resource = ResourceUri::parse("https://mcp.example/mcp").unwrap();
        let is_at =
            |locations: Value| parse(&json!([{"type": "t", "locations": locations}])).unwrap()[0].is_at(&resource);
        assert!(is_at(json!(["https://mcp.example/mcp"])));
        assert!(!is_at(json!(["https://mcp.example/mcp", "https://other.example/"])));
        assert!(!is_at(json!("https://mcp.example/mcp")));
        assert!(parse(&json!([{"type": "t"}])).unwrap()[0].is_at(&resource));
    }
}
