//! What a kind of sink is: what it needs to be told, the call that a batch becomes, and what the answer to that call means.

use crate::crypto::Secret;
use crate::error::{Fault, Result};
use crate::model::SinkBody;
use crate::ports::{Answer, Now};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use url::Url;

/// The most bytes of a text in `config` or `secret`.
const MAX_BYTES: usize = 2_048;

/// A kind of sink.
pub struct SinkKind {
    /// Its name.
    pub name: &'static str,
    /// What its `config` may have.
    pub config: &'static [Field],
    /// What its `secret` may have.
    pub secret: &'static [Field],
    /// Makes the call that sends a batch.
    pub call: fn(&Batch<'_>) -> Result<Call>,
    /// Says what the answer means.
    pub judge: fn(&Answer) -> Verdict,
}

/// A text in `config` or `secret`.
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Whether it has to be there.
    pub needed: bool,
    /// Whether a text has its form.
    pub fits: fn(&str) -> bool,
    /// What it must be.
    pub must: &'static str,
}

impl Field {
    /// A text that a header can carry.
    pub const fn word(name: &'static str, needed: bool) -> Self {
        Self { name, needed, fits: is_word, must: "visible characters of ASCII, with spaces between them" }
    }

    /// A name that a URL can carry.
    pub const fn name(name: &'static str, needed: bool) -> Self {
        let must = "letters of ASCII, digits, `-`, `_`, `.` and `/`";
        Self {
            name,
            needed,
            fits: |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b)),
            must,
        }
    }
}

fn is_word(text: &str) -> bool {
    text.trim() == text && text.bytes().all(|b| (b' '..=b'~').contains(&b))
}

/// The names and values of an opened secret.
pub type Secrets = BTreeMap<String, Secret<String>>;

/// An event as it is sent.
pub struct Record {
    /// Its sequence number.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// When it happened, in milliseconds since the epoch.
    pub at: i64,
    /// Its type.
    pub kind: String,
    /// Whether something was refused.
    pub is_refused: bool,
    /// The event in the form that the sink wants.
    pub event: Value,
}

/// Events on their way to a sink.
pub struct Batch<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The id of the sink.
    pub sink: &'a str,
    /// What its administrator has said.
    pub body: &'a SinkBody,
    /// What it is sent with.
    pub secrets: &'a Secrets,
    /// The events, in their order.
    pub records: &'a [Record],
    /// The moment.
    pub now: Now,
}

impl Batch<'_> {
    /// The URL; where it has no path, with that of the kind.
    pub fn url(&self, usual: &str) -> String {
        let base = self.body.url.trim_end_matches('/');
        let has_path = Url::parse(&self.body.url).is_ok_and(|url| url.path() != "/");
        if has_path { self.body.url.clone() } else { [base, usual].concat() }
    }

    /// A secret that the kind needs.
    pub fn secret(&self, name: &str) -> Result<&str> {
        self.optional_secret(name).ok_or_else(|| Fault::Broken("a sink lacks its secret").into())
    }

    /// A secret that may be absent.
    pub fn optional_secret(&self, name: &str) -> Option<&str> {
        self.secrets.get(name).map(|secret| secret.expose().as_str())
    }

    /// The first sequence number and the last one.
    pub fn range(&self) -> (i64, i64) {
        let seq = |record: Option<&Record>| record.map(|record| record.seq).unwrap_or_default();
        (seq(self.records.first()), seq(self.records.last()))
    }

    /// The events as JSON lines.
    pub fn lines(&self) -> Result<String> {
        let line = |record: &Record| serde_json::to_string(&record.event).map(|line| line + "\n");
        let lines: std::result::Result<_, _> = self.records.iter().map(line).collect();
        lines.map_err(|_| Fault::Broken("events have no JSON").into())
    }
}

/// A call that sends a batch.
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// The URL.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body.
    pub body: String,
}

impl Call {
    /// A `POST`.
    pub fn post(url: String, media: &'static str, body: String) -> Self {
        Self { method: "POST", url, headers: vec![("content-type".into(), media.to_owned())], body }
    }

    /// Adds a header.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken, but for so many events that the sink will never take.
    Taken(i64),
    /// The sink does not take this batch: fewer events may pass.
    Refused(String),
    /// The sink takes nothing now.
    Failed(String),
}

/// What a status means.
pub fn by_status(answer: &Answer) -> Verdict {
    let said = format!("it answered {}", answer.status);
    match answer.status {
        200..=299 => Verdict::Taken(0),
        400 | 413 | 422 => Verdict::Refused(said),
        _ => Verdict::Failed(said),
    }
}

/// The body of an answer as JSON.
pub fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// Everything that is wrong with the members of `config` or `secret`, which is called `what`.
pub fn problems(what: &str, fields: &[Field], sent: &Map<String, Value>) -> Vec<String> {
    let known = || match fields.is_empty() {
        true => "none here".to_owned(),
        false => fields.iter().map(|field| ["`", field.name, "`"].concat()).collect::<Vec<_>>().join(", "),
    };
    let mut all = Vec::new();
    for (name, value) in sent {
        let short: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
        match fields.iter().find(|field| field.name == name) {
            None => all.push(format!("`{what}.{short}` is unknown; known for this kind: {}", known())),
            Some(field) => {
                let fits = |text: &str| (1..=MAX_BYTES).contains(&text.len()) && (field.fits)(text);
                if !value.as_str().is_some_and(fits) {
                    all.push(format!("`{what}.{}` must be a text: {}", field.name, field.must));
                }
            }
        }
    }
    let missing = fields.iter().filter(|field| field.needed && !sent.contains_key(field.name));
    all.extend(missing.map(|field| format!("`{what}.{}` is missing", field.name)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_says_whether_the_batch_or_the_sink_is_in_the_way() {
        let of = |status| by_status(&Answer { status, content_type: None, cache_control: None, body: Vec::new() });
        for status in [200, 202, 204] {
            assert_eq!(of(status), Verdict::Taken(0));
        }
        for status in [400, 413, 422] {
            assert_eq!(of(status), Verdict::Refused(format!("it answered {status}")));
        }
        for status in [401, 403, 404, 408, 410, 429, 500, 503] {
            assert_eq!(of(status), Verdict::Failed(format!("it answered {status}")));
        }
    }

    #[test]
    fn what_a_kind_does_not_know_lacks_or_cannot_use_is_named_and_never_repeated() {
        let fields = [Field::word("token", true), Field::name("index", false)];
        let told = |sent: Value| problems("config", &fields, sent.as_object().unwrap()).join("\n");
        assert_eq!(told(json!({"token": "a b", "index": "main/x"})), "");
        assert_eq!(told(json!({})), "`config.token` is missing");
        for canary in ["canary\n", " canary", "canaré", ""] {
            let told = told(json!({"token": canary}));
            assert!(told.contains("`config.token` must be") && !told.contains("canar"), "{told}");
        }
        assert!(told(json!({"token": "x", "index": "a b"})).contains("`config.index` must be"));
        assert!(told(json!({"token": "x", "colour": "canary"})).contains("`config.colour` is unknown"));
        assert!(told(json!({"token": 1})).contains("`config.token` must be"));
        assert!(told(json!({"token": "x".repeat(2_049)})).contains("`config.token` must be"));
    }
}
