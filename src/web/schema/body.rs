//! Reading the JSON body of a request: one object that says one thing.

use super::{Fault, Object};
use crate::error::{Error, Reason, Result};
use crate::jose::is_strict;
use crate::oauth::Media;
use crate::web::Request;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A JSON object as it was sent, and what is known to be wrong with it.
pub struct Sent {
    /// Its members.
    pub members: Map<String, Value>,
    faults: Vec<Fault>,
}

/// The body: one JSON object without repeated members (RFC 8259 §4), in UTF-8 (§8.1).
pub fn sent(request: &Request) -> Result<Sent> {
    parse(bytes(request)?)
}

/// As [`sent`]; no body at all is an empty object.
pub fn sent_or_empty(request: &Request) -> Result<Sent> {
    match bytes(request)? {
        [] => parse(b"{}"),
        json => parse(json),
    }
}

fn bytes(request: &Request) -> Result<&[u8]> {
    let bytes = request.body.as_deref().ok_or(Reason::BodyTooLarge)?;
    match request.header("content-type").map(Media::parse) {
        None => Ok(bytes),
        Some(media) if media.is("application/json") && media.is_utf8() => Ok(bytes),
        Some(_) => Err(Reason::NotJson.into()),
    }
}

fn parse(json: &[u8]) -> Result<Sent> {
    if !is_strict(json) {
        return Err(Reason::MalformedJson.because("not JSON, a member twice, or nested too deeply"));
    }
    match serde_json::from_slice(json) {
        Ok(Value::Object(members)) => Ok(Sent { members, faults: Vec::new() }),
        _ => Err(Reason::MalformedJson.into()),
    }
}

impl Sent {
    /// Leaves out the members that only the server sets and that are as `shown`; one that differs is a fault.
    pub fn without_read_only(mut self, settable: &Object, shown: &Map<String, Value>) -> Self {
        for (name, value) in shown {
            let is_settable = settable.members().any(|member| member.name == name && !member.read_only);
            let Some(sent) = self.members.get(name).filter(|_| !is_settable) else { continue };
            if sent != value {
                let text = format!("`{name}` cannot be changed here: send it as it was read, or leave it out");
                self.faults.push(Fault { member: name.clone(), unknown: false, text });
            }
            self.members.remove(name);
        }
        self
    }

    /// Reads it as a `T` that looks like `object`, and has `check` say what is wrong beyond shape. All faults are named at once: what
    /// is wrong in shape is left out for the check, and complaints about what was left out are not repeated.
    pub async fn read<T: DeserializeOwned>(
        self,
        object: &Object,
        check: impl AsyncFnOnce(&T) -> Result<Vec<String>>,
    ) -> Result<T> {
        let Self { mut members, mut faults } = self;
        faults.extend(object.faults(&members));
        members.retain(|name, value| {
            let member = object.members().find(|member| member.name == name);
            member.is_some_and(|member| member.needed || !value.is_null())
                && !faults.iter().any(|fault| fault.member == *name)
        });
        let body = serde_json::from_value::<T>(Value::Object(members));
        let beyond = match &body {
            Ok(body) => check(body).await?,
            Err(_) => Vec::new(),
        };
        let repeated = |text: &str| faults.iter().any(|fault| text.contains(&["`", &fault.member, "`"].concat()));
        let beyond: Vec<String> = beyond.into_iter().filter(|text| !repeated(text)).collect();
        match body {
            Ok(body) if faults.is_empty() && beyond.is_empty() => Ok(body),
            _ => Err(refusal(&faults, beyond)),
        }
    }

    /// As [`Self::read`], where nothing is wrong beyond shape.
    pub async fn read_plain<T: DeserializeOwned>(self, object: &Object) -> Result<T> {
        self.read(object, async |_: &T| Ok(Vec::new())).await
    }
}

fn refusal(faults: &[Fault], beyond: Vec<String>) -> Error {
    let unknown = faults.iter().any(|fault| fault.unknown);
    let mut texts: Vec<String> = faults.iter().map(|fault| fault.text.clone()).collect();
    texts.extend(beyond);
    if texts.is_empty() {
        texts.push("a member does not have the form that the document says".to_owned());
    }
    let reason = if unknown { Reason::UnknownField } else { Reason::InvalidField };
    reason.because(texts.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ResourceBody;
    use crate::web::admin::resources::BODY;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn read(json: &[u8]) -> Result<ResourceBody> {
        let sent = parse(json)?;
        let check = async |body: &ResourceBody| Ok(body.problems());
        match pin!(sent.read(&BODY, check)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => panic!("nothing to wait for"),
        }
    }

    fn refused(json: &str) -> (Reason, String) {
        match read(json.as_bytes()) {
            Err(Error::Refused(refusal)) => (refusal.reason, refusal.detail.unwrap_or_default()),
            _ => panic!("{json} was not refused"),
        }
    }

    #[test]
    fn an_unknown_field_is_refused_by_name_wherever_it_is() {
        let (reason, detail) = refused("{\"name\":\"n\",\n \"colour\" : 1}");
        assert_eq!(reason, Reason::UnknownField);
        let known = "`colour` is unknown or may not be set; known here: `id`, `resource`, `name`";
        assert!(detail.starts_with(known), "{detail}");
        let deep = r#"{"resource":"https://a.example","name":"a\"b","scopes":[{"name":"a","description":""},{"name":"b","description":"","s\u0068ade":[1]}]}"#;
        let (reason, detail) = refused(deep);
        assert_eq!(reason, Reason::UnknownField);
        let expected =
            "`scopes[1].shade` is unknown or may not be set; known here: `name`, `description`, `tool`, `effect`";
        assert_eq!(detail, expected);
    }

    #[test]
    fn a_wrong_type_is_named_with_what_belongs_there_and_never_with_what_was_sent() {
        let uri = "must be an absolute URI without a fragment, of at most 512 bytes (RFC 8707 §2)";
        for (json, detail) in [
            (r#"{"name":["canary"]}"#, "`name` must be a string".to_owned()),
            (r#"{"scopes":"canary, expected canary"}"#, "`scopes` must be a list".to_owned()),
            (r#"{"scopes":["canary"]}"#, "`scopes[0]` must be an object".to_owned()),
            (r#"{"scopes":[{"name":1}]}"#, "`scopes[0].name` must be a string".to_owned()),
            (r#"{"resource":"canary"}"#, format!("`resource` {uri}")),
            (
                r#"{"access_token_lifetime":-1}"#,
                "`access_token_lifetime` must be a whole number from 10 to 3600".to_owned(),
            ),
            (r#"{"token_signing_alg":"canary"}"#, "`token_signing_alg` must be one of: ES256, RS256".to_owned()),
            (r#"{"token_signing_alg":"EdDSA"}"#, "`token_signing_alg` must be one of: ES256, RS256".to_owned()),
            (r#"{"name":"canary"}"#, "`resource` is missing".to_owned()),
            (r#"{"scopes":[{"name":"canary"}]}"#, "`description` is missing in `scopes[0]`".to_owned()),
        ] {
            let told = refused(json).1;
            assert!(told.lines().any(|line| line == detail), "{json}: {told}");
            assert!(!told.contains("canary"), "{told}");
        }
    }

    #[test]
    fn all_faults_of_a_body_are_named_at_once() {
        let json = r#"{"colour":1,"name":"","scopes":[{"name":"a b"},{"name":1}],"access_token_lifetime":9}"#;
        let told = refused(json).1;
        let named = ["`colour`", "`name` must have", "`scopes[0]`", "`scopes[1].name`", "`access_token_lifetime`"];
        for name in named.into_iter().chain(["`resource` is missing"]) {
            assert!(told.contains(name), "{name}: {told}");
        }
        // What is wrong beyond shape is told with what is wrong in shape.
        let json =
            r#"{"resource":"https://a.example","name":"n","scopes":[{"name":"a b","description":""}],"colour":1}"#;
        let told = refused(json).1;
        assert!(told.contains("`colour`") && told.contains("`scopes[0].name`"), "{told}");
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
        assert!(read(b"{\"name\":\"\xff\"}").is_err());
    }
}
