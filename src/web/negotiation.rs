//! Conditional requests and content negotiation (RFC 9110 §8.8.3, §12.5.1, §13), in one place for all endpoints.
//!
//! 1. An entity tag matches whether it is marked as weak or not: proxies that compress mark the strong tags of others as weak, and ours
//!    name the version of a record, which no encoding changes (docs/decisions.md).
//! 2. `If-Match` comes before `If-None-Match` (§13.2.2); `*` stands for any present record.
//! 3. A media range counts with its weight, the most specific range first; `q=0` refuses.

use super::{Method, Request, Response};
use crate::error::{Reason, Result};

/// The entity tags of a condition.
enum Tags<'a> {
    Any,
    Listed(Vec<&'a str>),
}

impl<'a> Tags<'a> {
    fn parse(header: &'a str) -> Self {
        match header.trim() {
            "*" => Self::Any,
            list => Self::Listed(opaque_tags(list)),
        }
    }

    fn name(&self, present: Option<&str>) -> bool {
        match (self, present) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Listed(tags), Some(tag)) => tags.contains(&tag),
        }
    }
}

/// The opaque tags of a list, without their quotes and marks of weakness. What is no entity tag is left aside: it matches nothing.
pub fn opaque_tags(list: &str) -> Vec<&str> {
    let (mut tags, mut rest) = (Vec::new(), list);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let quoted = rest.strip_prefix("W/").unwrap_or(rest);
        match quoted.strip_prefix('"').and_then(|inside| inside.split_once('"')) {
            Some((tag, after)) => {
                tags.push(tag);
                rest = after;
            }
            None => match rest.split_once(',') {
                Some((_, after)) => rest = after,
                None => return tags,
            },
        }
    }
}

/// The conditions of a request that changes a record.
pub struct Conditions<'a> {
    if_match: Option<Tags<'a>>,
    if_none_match: Option<Tags<'a>>,
}

impl<'a> Conditions<'a> {
    /// Those of a request.
    pub fn of(request: &'a Request) -> Self {
        let tags = |name| request.header(name).map(Tags::parse);
        Self { if_match: tags("if-match"), if_none_match: tags("if-none-match") }
    }

    /// Passes if they hold for a record that has this version, or is not there.
    pub fn expect(&self, version: Option<i64>) -> Result<()> {
        let present = version.map(opaque_tag);
        let present = present.as_deref();
        let fails = self.if_match.as_ref().is_some_and(|tags| !tags.name(present))
            || self.if_none_match.as_ref().is_some_and(|tags| tags.name(present));
        if fails { Err(Reason::PreconditionFailed.into()) } else { Ok(()) }
    }

    /// The same for an update, which has to say which version it was made from (RFC 6585 §3).
    pub fn expect_update(&self, version: i64) -> Result<()> {
        self.expect(Some(version))?;
        if self.if_match.is_some() { Ok(()) } else { Err(Reason::PreconditionRequired.into()) }
    }
}

fn opaque_tag(version: i64) -> String {
    format!("v{version}")
}

/// The `ETag` of a version.
pub fn etag(version: i64) -> String {
    format!("\"{}\"", opaque_tag(version))
}

/// What a `GET` answers under its conditions: a representation that has no `ETag` is under none.
pub fn conditional(request: &Request, response: Response) -> Result<Response> {
    let tag = response.headers.iter().find(|(name, _)| *name == "etag").map(|(_, tag)| tag.clone());
    let Some(tag) = tag.filter(|_| Method::parse(&request.method) == Method::Get && response.status == 200) else {
        return Ok(response);
    };
    let tags = opaque_tags(&tag);
    let Conditions { if_match, if_none_match } = Conditions::of(request);
    if if_match.is_some_and(|sent| !sent.name(tags.first().copied())) {
        return Err(Reason::PreconditionFailed.into());
    }
    if if_none_match.is_some_and(|sent| sent.name(tags.first().copied())) {
        let mut unchanged = Response::empty(304);
        unchanged.headers = response.headers;
        unchanged.headers.retain(|(name, _)| *name != "content-type");
        return Ok(unchanged);
    }
    Ok(response)
}

/// How much a media type is wanted, in thousandths, and whether `Accept` names it; all are wanted where there is no `Accept`.
pub fn weight(accept: Option<&str>, media: &str) -> (u16, bool) {
    let Some(accept) = accept else { return (1_000, false) };
    let kind = media.split('/').next().unwrap_or_default();
    let mut best = (0, 0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let precision = match name.split_once('/') {
            Some(("*", "*")) => 1,
            Some((one, "*")) if one.eq_ignore_ascii_case(kind) => 2,
            _ if name.eq_ignore_ascii_case(media) => 3,
            _ => continue,
        };
        let q = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        let weight = q.map_or(1_000, |(_, value)| thousandths(value.trim()));
        if precision > best.0 {
            best = (precision, weight);
        }
    }
    (best.1, best.0 == 3)
}

/// A weight (RFC 9110 §12.4.2); what is none is 0.
fn thousandths(text: &str) -> u16 {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let sound = decimals.len() <= 3 && decimals.bytes().all(|b| b.is_ascii_digit());
    match whole {
        "1" if sound && decimals.bytes().all(|b| b == b'0') => 1_000,
        "0" if sound => format!("{decimals:0<3}").parse().unwrap_or_default(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_from_lists_weak_or_not_with_commas_in_them() {
        assert_eq!(opaque_tags(r#""a", W/"b,c" ,, "d""#), ["a", "b,c", "d"]);
        assert_eq!(opaque_tags(r#"v1, "v2", w/"v3""#), ["v2"]);
        assert!(opaque_tags("\"open").is_empty());
    }

    #[test]
    fn weights_follow_the_most_specific_range() {
        let jwt = "application/jwt";
        for (accept, expected) in [
            ("application/jwt", (1_000, true)),
            ("application/JWT;q=0.5", (500, true)),
            ("application/jwt; q=0, */*", (0, true)),
            ("*/*", (1_000, false)),
            ("application/*;q=0.2, */*;q=0.9", (200, false)),
            ("text/html", (0, false)),
            ("application/jwt;q=2", (0, true)),
            ("application/jwt;q=0.1234", (0, true)),
            ("application/jwt;q=1.000", (1_000, true)),
            ("", (0, false)),
        ] {
            assert_eq!(weight(Some(accept), jwt), expected, "{accept}");
        }
        assert_eq!(weight(None, jwt), (1_000, false));
    }
}
