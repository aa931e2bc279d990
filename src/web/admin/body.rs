//! Reading a JSON body: one object that says one thing, and a refusal that names the place.
//!
//! A refusal never holds a value that was sent, for that may be a secret; it names the field and what belongs there.

use crate::error::{Error, Reason, Result};
use crate::jose::is_strict;
use crate::web::Call;
use serde::de::DeserializeOwned;
use std::fmt;

/// How much of a name that was sent a refusal repeats: less than any secret has.
const MAX_NAME: usize = 40;

/// The body as a `T`: one JSON object without repeated members. Unknown fields are refused by name; so is a value of a
/// wrong type. `T` has to be a struct with `deny_unknown_fields`, and without `flatten`.
pub fn body<T: DeserializeOwned>(call: Call<'_>) -> Result<T> {
    parse(sent(call)?)
}

/// As [`body`]; no body at all is an empty object.
pub fn body_or_empty<T: DeserializeOwned>(call: Call<'_>) -> Result<T> {
    match sent(call)? {
        [] => parse(b"{}"),
        json => parse(json),
    }
}

fn sent(call: Call<'_>) -> Result<&[u8]> {
    let bytes = call.request.body.as_deref().ok_or(Reason::BodyTooLarge)?;
    let media = call.request.header("content-type").map(|header| header.split(';').next().unwrap_or_default().trim());
    match media.is_none_or(|media| media.eq_ignore_ascii_case("application/json")) {
        true => Ok(bytes),
        false => Err(Reason::NotJson.into()),
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    if !is_strict(json) {
        return Err(Reason::MalformedJson.because("not JSON, a member twice, or nested too deeply"));
    }
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Reason::MalformedJson.into());
    }
    serde_json::from_slice(json).map_err(|error| complaint(&error, json))
}

fn complaint(error: &serde_json::Error, json: &[u8]) -> Error {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let read = json.get(..offset(json, error.line(), error.column())).unwrap_or(json);
    // What is wrong with the last member is noticed behind the end of the whole, where what is missing belongs.
    let place = place(match read {
        [inside @ .., b'}' | b']'] if !message.starts_with("missing field ") => inside,
        _ => read,
    });
    if message.starts_with("unknown field ") {
        let known = message.rsplit_once(", expected ").map_or("none", |(_, known)| known.trim_start_matches("one of "));
        return Reason::UnknownField.because(format!("`{place}` is unknown or may not be set; known here: {known}"));
    }
    if let Some(name) = message.strip_prefix("missing field ") {
        return Reason::InvalidField.because(match place.is_empty() {
            true => format!("{name} is missing"),
            false => format!("{name} is missing in `{place}`"),
        });
    }
    // What follows the last `expected` is ours; what comes before may repeat what was sent.
    Reason::InvalidField.because(match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("`{place}` must be {expected}"),
        None => format!("`{place}` {message}"),
    })
}

/// The offset of a place that is given by its line, from 1, and the bytes before it in that line.
fn offset(json: &[u8], line: usize, column: usize) -> usize {
    let lines = json.split(|byte| *byte == b'\n').take(line.saturating_sub(1));
    lines.map(|line| line.len().saturating_add(1)).sum::<usize>().saturating_add(column)
}

/// The path of the member that is being read where this beginning of well-formed JSON ends, such as `scopes[2].name`.
fn place(json: &[u8]) -> String {
    let mut path: Vec<Step> = Vec::new();
    let mut rest = json.iter().enumerate();
    while let Some((start, byte)) = rest.next() {
        match byte {
            b'{' => path.push(Step::Member(None)),
            b'[' => path.push(Step::Item(0)),
            b'}' | b']' => drop(path.pop()),
            b',' => match path.last_mut() {
                Some(Step::Item(index)) => *index = index.saturating_add(1),
                Some(Step::Member(name)) => *name = None,
                None => {}
            },
            b'"' => {
                let mut escaped = false;
                let end = rest.find(|(_, byte)| {
                    let ends = **byte == b'"' && !escaped;
                    escaped = **byte == b'\\' && !escaped;
                    ends
                });
                // The first string of a member is its name.
                if let (Some(Step::Member(name @ None)), Some((end, _))) = (path.last_mut(), end) {
                    *name = serde_json::from_slice(json.get(start..=end).unwrap_or_default()).ok();
                }
            }
            _ => {}
        }
    }
    let path = path.iter().map(ToString::to_string).collect::<String>();
    path.trim_start_matches('.').to_owned()
}

enum Step {
    Member(Option<String>),
    Item(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(None) => Ok(()),
            Self::Member(Some(name)) => {
                let short: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
                write!(f, ".{short}")
            }
            Self::Item(index) => write!(f, "[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::error::{Error, Reason};
    use crate::model::ResourceBody;

    fn refused(json: &str) -> (Reason, String) {
        match parse::<ResourceBody>(json.as_bytes()) {
            Err(Error::Refused(refusal)) => (refusal.reason, refusal.detail.unwrap_or_default()),
            _ => panic!("{json} was not refused"),
        }
    }

    #[test]
    fn an_unknown_field_is_refused_by_name_wherever_it_is() {
        let (reason, detail) = refused("{\"name\":\"n\",\n \"colour\" : 1}");
        assert_eq!(reason, Reason::UnknownField);
        assert!(
            detail.starts_with("`colour` is unknown or may not be set; known here: `id`, `resource`, `name`"),
            "{detail}"
        );
        let deep = r#"{"name":"a\"b","scopes":[{"name":"a","description":""},{"name":"b,[","s\u0068ade":[1]}]}"#;
        let (reason, detail) = refused(deep);
        assert_eq!(reason, Reason::UnknownField);
        let expected = "`scopes[1].shade` is unknown or may not be set; known here: `name`, `description`, `tool`";
        assert_eq!(detail, expected);
    }

    #[test]
    fn a_wrong_type_is_named_with_what_belongs_there_and_never_with_what_was_sent() {
        for (json, detail) in [
            (r#"{"name":["canary"]}"#, "`name` must be a string"),
            (r#"{"scopes":"canary, expected canary"}"#, "`scopes` must be a sequence"),
            (r#"{"scopes":[{"name":1}]}"#, "`scopes[0].name` must be a string"),
            (r#"{"resource":"canary"}"#, "`resource` is not an absolute URI without a fragment (RFC 8707 §2)"),
            (
                r#"{"resource":"canary","name":"n"}"#,
                "`resource` is not an absolute URI without a fragment (RFC 8707 §2)",
            ),
            (r#"{"access_token_lifetime":-1}"#, "`access_token_lifetime` must be u32"),
            (r#"{"token_signing_alg":"canary"}"#, "`token_signing_alg` must be `ES256` or `RS256`"),
            (r#"{"token_signing_alg":"PS256"}"#, "`token_signing_alg` must be `ES256` or `RS256`"),
            (r#"{"token_signing_alg":"EdDSA"}"#, "`token_signing_alg` must be `ES256` or `RS256`"),
            (r#"{"name":"canary"}"#, "`resource` is missing"),
            (r#"{"scopes":[{"name":"canary"}]}"#, "`description` is missing in `scopes[0]`"),
        ] {
            assert_eq!(refused(json).1, detail, "{json}");
        }
    }

    #[test]
    fn a_name_that_was_sent_is_repeated_in_part_only() {
        let (reason, detail) = refused(&format!("{{\"{}\":1}}", "x".repeat(60)));
        assert_eq!(reason, Reason::UnknownField);
        assert!(!refused(r#"{"":"canary","name":1}"#).1.contains("canary"));
        assert!(detail.contains(&"x".repeat(40)) && !detail.contains(&"x".repeat(41)));
    }

    #[test]
    fn what_is_no_single_strict_object_is_refused() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
        for bad in ["", "[]", "1", "null", "\"x\"", "{", "{} {}", r#"{"name":1,"name":2}"#, "{\"a\":\"\u{7}\"}", &deep]
        {
            assert_eq!(refused(bad).0, Reason::MalformedJson, "{bad:.40}");
        }
        assert!(parse::<ResourceBody>(b"{\"name\":\"\xff\"}").is_err());
    }
}
