//! The allow-list of a connection: which calls may go through it.
//!
//! 1. What is not listed is denied; a connection without a list allows nothing (docs/requirements.md R226).
//! 2. A path is brought into its normal form first (RFC 3986 §6.2.2), and what is matched is what is sent. A path that a service could read in
//!    another way is refused: dot segments, empty segments, encoded slashes, backslashes, control characters, in one encoding or two. The normal form
//!    itself passes unchanged.
//! 3. `*` is one segment, `**` at the end the rest, of one segment at least. A rule for `GET` allows `HEAD`.

use crate::error::{Error, Reason, Result};
use serde::{Deserialize, Serialize};

/// How many rules a list has at most.
const MAX_RULES: usize = 100;
/// How long the path of a rule, and of a call, may be, in bytes.
const MAX_PATH: usize = 2_048;
/// How long the query of a call may be, in bytes.
const MAX_QUERY: usize = 8_192;
/// How many query parameters a rule names at most.
const MAX_PARAMETERS: usize = 100;

/// The method by which rules, policy and events know a call that opens a WebSocket.
pub const WEBSOCKET: &str = "WEBSOCKET";

/// The methods that calls may have. A call that opens a WebSocket has one of its own, for a rule about `GET` says nothing of its messages.
pub const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", WEBSOCKET];

/// Calls that are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The methods.
    methods: Vec<String>,
    /// The path after the base URL, with `*` and `**`.
    path: String,
    /// The names of the query parameters; any where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<Vec<String>>,
}

/// The allow-list of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AllowList(Vec<Rule>);

fn invalid(detail: impl Into<String>) -> Error {
    Reason::InvalidField.because(detail)
}

impl AllowList {
    /// Whether it allows nothing.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks a list that is to be stored; `is_callable`: whether the config says where calls go.
    pub fn check(&self, is_callable: bool) -> Result<()> {
        if !self.is_empty() && !is_callable {
            return Err(invalid("`config.allow` needs `base_url`, or a service with `proxy`"));
        }
        if self.0.len() > MAX_RULES {
            return Err(invalid(format!("`config.allow` must have up to {MAX_RULES} rules")));
        }
        for (n, Rule { methods, path, query }) in self.0.iter().enumerate() {
            if methods.is_empty() || !methods.iter().all(|method| METHODS.contains(&method.as_str())) {
                return Err(invalid(format!("`config.allow[{n}].methods` must hold some of {}", METHODS.join(", "))));
            }
            let segments: Vec<&str> = path.split('/').collect();
            let is_star = |segment: &str| ["*", "**"].contains(&segment);
            let plain: Vec<&str> = segments.iter().map(|one| if is_star(one) { "a" } else { *one }).collect();
            let plain = plain.join("/");
            let is_sound = normal_path(&plain).is_some_and(|normal| normal == plain) && !plain.contains('*');
            let ends = segments.iter().rev().skip(1).all(|segment| *segment != "**");
            if path.len() > MAX_PATH || !is_sound || !ends {
                return Err(invalid(format!(
                    "`config.allow[{n}].path` must be a path such as `/repos/*/issues` or `/v1/**`: `*` is a whole segment, `**` all at the end"
                )));
            }
            if query.as_ref().is_some_and(|names| names.len() > MAX_PARAMETERS) {
                return Err(invalid(format!("`config.allow[{n}].query` must have up to {MAX_PARAMETERS} names")));
            }
        }
        Ok(())
    }

    /// Whether it allows a call with a normal path.
    pub fn allows(&self, method: &str, path: &str, query: &str) -> bool {
        self.0.iter().any(|rule| rule.allows(method, path, query))
    }
}

impl Rule {
    fn allows(&self, method: &str, path: &str, query: &str) -> bool {
        let is_named = |name: &str| self.methods.iter().any(|known| known == name);
        (is_named(method) || method == "HEAD" && is_named("GET"))
            && fits(&self.path, path)
            && self.query.as_ref().is_none_or(|names| {
                // Some services take `;` for `&`.
                !query.contains(';')
                    && form_urlencoded::parse(query.as_bytes())
                        .all(|(name, _)| names.iter().any(|known| *known == *name))
            })
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some("**"), Some(segment)) => return !segment.is_empty(),
            (Some("*"), Some(segment)) if !segment.is_empty() => {}
            (Some(wanted), Some(segment)) if wanted == segment && wanted != "*" => {}
            _ => return false,
        }
    }
}

/// The normal form of a path; nothing if it has none that every service reads in the same way. A slash at the end counts.
pub fn normal_path(raw: &str) -> Option<String> {
    let normal = normalized(raw)?;
    // What has just been decoded may have completed an escape: what is sent has to pass as it is.
    (normalized(&normal).as_ref() == Some(&normal)).then_some(normal)
}

fn normalized(raw: &str) -> Option<String> {
    if raw.len() > MAX_PATH || !raw.starts_with('/') || !raw.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let mut normal = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        match c {
            '%' => {
                let hex = rest.get(1..3)?;
                let byte = u8::from_str_radix(hex, 16).ok().filter(|_| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
                let after = rest.get(3..)?;
                match byte {
                    b'/' | b'\\' | 0..=0x1f | 0x7f => return None,
                    b'%' if encodes_again(after) => return None,
                    // RFC 3986 §6.2.2.2.
                    b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => normal.push(byte.into()),
                    _ => normal.extend(["%", &hex.to_ascii_uppercase()]),
                }
                rest = after;
            }
            '\\' | '?' | '#' | '"' | '<' | '>' | '`' | '{' | '}' | '^' | '|' => return None,
            c => {
                normal.push(c);
                rest = rest.get(1..)?;
            }
        }
    }
    let segments: Vec<&str> = normal.split('/').skip(1).collect();
    let last = segments.len().saturating_sub(1);
    // Some services drop what follows a semicolon, encoded or not, before they look at dots.
    let is_sound = |(n, segment): (usize, &&str)| {
        let name = segment.split(';').next().and_then(|part| part.split("%3B").next()).unwrap_or_default();
        (n == last || !segment.is_empty()) && name != "." && name != ".." && (!name.is_empty() || segment.is_empty())
    };
    segments.iter().enumerate().all(is_sound).then_some(normal)
}

/// Whether what follows an encoded `%` makes it one that is encoded twice and may not be there once.
fn encodes_again(after: &str) -> bool {
    let hex = after.get(..2).unwrap_or_default();
    let means_something =
        |byte: u8| matches!(byte, b'/' | b'\\' | b'%' | b';' | b'-' | b'.' | b'_' | b'~' | 0..=0x1f | 0x7f);
    u8::from_str_radix(hex, 16).is_ok_and(|byte| means_something(byte) || byte.is_ascii_alphanumeric())
}

/// The query as it may be sent, without the parameters of that name; nothing if it may not.
pub fn sound_query(raw: &str, without: Option<&str>) -> Option<String> {
    if raw.len() > MAX_QUERY || !raw.bytes().all(|b| b.is_ascii_graphic()) || raw.contains(['#', '\\']) {
        return None;
    }
    let Some(without) = without else { return Some(raw.to_owned()) };
    let names = |text: &str| {
        form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name).unwrap_or_default().into_owned()
    };
    // In one encoding or two.
    let is_other = |part: &&str| {
        let name = names(part);
        !name.eq_ignore_ascii_case(without) && !names(&name).eq_ignore_ascii_case(without)
    };
    let parts: Vec<&str> = raw.split('&').filter(is_other).collect();
    // A parameter in the part of another one, as some services read it.
    (!parts.iter().any(|part| part.contains(';'))).then(|| parts.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(rules: serde_json::Value) -> AllowList {
        serde_json::from_value(rules).unwrap()
    }

    #[test]
    fn a_path_has_one_form_or_none() {
        for (raw, normal) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("/%61%2Db/%c3%a9", "/a-b/%C3%A9"),
            ("/a.b/..c/v1.0", "/a.b/..c/v1.0"),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/a%20b%25", "/a%20b%25"),
            ("/a%2520b%25c3%25zz", "/a%2520b%25c3%25zz"),
            ("/a:b@c,d!$&'()*+=", "/a:b@c,d!$&'()*+="),
        ] {
            assert_eq!(normal_path(raw).as_deref(), Some(normal), "{raw}");
            assert_eq!(normal_path(normal).as_deref(), Some(normal), "once is enough");
        }
        for raw in [
            "",
            "a",
            "//",
            "/a//b",
            "//a",
            "/./a",
            "/..",
            "/a/../b",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%0d%0a",
            "/a%7f",
            "/a b",
            "/é",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/a%252fb",
            "/a%252e%252e/b",
            "/a%25252e",
            "/a/%25%32%65%25%32%65/b",
            "/a%25%32%66b",
            "/a%25%35%63b",
            "/a%25%32%35%32%65",
            "/%25%36%31dmin",
            "/%2561dmin",
            "/a/..%253b/b",
            "/a/..%3b/b",
            "/..;/a",
            "/.;x/a",
            "/;/a",
            "/a?b",
            "/a#b",
            "/a{b}",
            "/a|b",
        ] {
            assert_eq!(normal_path(raw), None, "{raw}");
        }
        assert_eq!(normal_path(&["/", &"a".repeat(MAX_PATH)].concat()), None);
    }

    #[test]
    fn a_normal_form_stays_as_it_is_and_hides_no_dots_and_no_slash_however_often_it_is_decoded() {
        let mut state = 11_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((state >> 33).checked_rem(below).unwrap()).unwrap()
        };
        let pieces = [
            "%", "25", "2", "5", "3", "b", "e", "f", "c", "2e", "2F", "/", ".", "a", ";", "%25", "%2e", "%32", "%65",
            "%3b",
        ];
        let mut passed = 0;
        for _ in 0..200_000 {
            let raw: String = (0..random(9)).map(|_| pieces[random(pieces.len() as u64)]).collect();
            let Some(normal) = normal_path(&["/a/", &raw].concat()) else { continue };
            passed += 1;
            assert_eq!(normal_path(&normal).as_ref(), Some(&normal), "{raw}");
            let slashes = normal.matches('/').count();
            let mut decoded = normal.clone();
            for _ in 0..4 {
                let bytes = decode(decoded.as_bytes());
                decoded = bytes.iter().map(|b| char::from(*b)).collect();
                assert_eq!(decoded.matches(['/', '\\']).count(), slashes, "{raw} {normal} {decoded}");
                let names = decoded.split('/').map(|segment| segment.split(';').next().unwrap());
                assert!(!names.clone().any(|name| name == "." || name == ".."), "{raw} {normal} {decoded}");
            }
        }
        assert!(passed > 1_000, "{passed}");
    }

    fn decode(mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while let [first, rest @ ..] = bytes {
            let hex = rest.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
            let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
            out.push(byte.unwrap_or(*first));
            bytes = if byte.is_some() { &rest[2..] } else { rest };
        }
        out
    }

    #[test]
    fn what_is_not_listed_is_denied() {
        assert!(!AllowList::default().allows("GET", "/", ""));
        let list = list(json!([
            {"methods": ["GET"], "path": "/repos/*/issues"},
            {"methods": ["POST", "DELETE"], "path": "/v1/**"},
            {"methods": ["GET"], "path": "/search", "query": ["q", "page"]},
        ]));
        list.check(true).unwrap();
        for (method, path, query) in [
            ("GET", "/repos/a/issues", "any=1"),
            ("HEAD", "/repos/a/issues", ""),
            ("POST", "/v1/a", ""),
            ("DELETE", "/v1/a/b/", ""),
            ("GET", "/search", ""),
            ("GET", "/search", "q=a&page=2&q=b"),
            ("GET", "/search", "%71=a"),
        ] {
            assert!(list.allows(method, path, query), "{method} {path}?{query}");
        }
        for (method, path, query) in [
            ("POST", "/repos/a/issues", ""),
            ("GET", "/repos/a/b/issues", ""),
            ("GET", "/repos/a/issues/", ""),
            ("GET", "/repos//issues", ""),
            ("GET", "/repos/*", ""),
            ("GET", "/v1/a", ""),
            ("HEAD", "/v1/a", ""),
            ("POST", "/v1", ""),
            ("POST", "/v1/", ""),
            ("POST", "/V1/a", ""),
            ("GET", "/search", "q=a&other=1"),
            ("GET", "/search", "Q=a"),
            ("GET", "/search", "q=a;other=1"),
        ] {
            assert!(!list.allows(method, path, query), "{method} {path}?{query}");
        }
    }

    #[test]
    fn a_rule_that_could_be_read_in_another_way_is_refused() {
        for path in
            ["", "v1", "/a*", "/*a", "/a/**/b", "/***", "/a//b", "/../a", "/a?x", "/%61", "/a/%2f", "/**/", "/a/* "]
        {
            assert!(list(json!([{"methods": ["GET"], "path": path}])).check(true).is_err(), "{path}");
        }
        for path in ["/", "/**", "/*", "/a/*/b", "/a/*/**", "/a/", "/%C3%A9"] {
            list(json!([{"methods": ["GET"], "path": path}])).check(true).unwrap();
        }
        for methods in [json!([]), json!(["get"]), json!(["TRACE"]), json!(["OPTIONS"])] {
            assert!(list(json!([{"methods": methods, "path": "/a"}])).check(true).is_err(), "{methods}");
        }
    }

    #[test]
    fn the_parameter_of_the_credential_is_nobody_elses() {
        let query = |raw| sound_query(raw, Some("key"));
        assert_eq!(query("a=1&key=x&b=2&%6bey=y&KEY=z&%256bey=v").as_deref(), Some("a=1&b=2"));
        assert_eq!(query("a=1;key=x"), None);
        assert_eq!(sound_query("a=1;b=2", None).as_deref(), Some("a=1;b=2"));
        for raw in ["a b", "a\n", "é", "a#b", "a\\b"] {
            assert_eq!(sound_query(raw, None), None, "{raw}");
        }
    }
}
