//! Which headers pass, in both directions.
//!
//! 1. What belongs to one hop stays there (RFC 9110 §7.6.1), and so does what belongs to the caller's own credential or tells of the caller.
//! 2. Of an answer nothing passes that would speak for this origin: cookies, challenges, policies of its pages.
//! 3. A redirect leads back through the same connection, or nowhere.
//! 4. So does a link (RFC 8288): a client that follows it sends its own token there. One that leads elsewhere does not pass.

use super::inject::Injection;
use super::scrub::Scrubber;
use url::Url;

/// How many headers of a message pass, and how many bytes of them.
const MAX_HEADERS: usize = 100;
const MAX_BYTES: usize = 32 * 1024;

/// RFC 9110 §7.6.1, and what RFC 9112 frames messages with.
const HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
];

/// What of a request does not pass: the caller's credential and what tells of the caller; what is said anew; ranges, which would cut a secret in
/// two; and what makes another request of it than the one that was decided about.
const OF_REQUEST: &[&str] = &[
    "accept-encoding",
    "api-key",
    "authorization",
    "cdn-loop",
    "cookie",
    "cookie2",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "if-range",
    "max-forwards",
    "origin",
    "range",
    "referer",
    "signature",
    "signature-input",
    "true-client-ip",
    "via",
    "x-api-key",
    "x-auth-token",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];
const OF_REQUEST_PREFIXES: &[&str] = &["cf-", "sec-", "writ-", "x-forwarded-", "x-amzn-oidc-"];

/// What of an answer does not pass.
const OF_ANSWER: &[&str] = &[
    "accept-ranges",
    "alt-svc",
    "authentication-info",
    "clear-site-data",
    "content-encoding",
    "content-location",
    "content-security-policy",
    "content-security-policy-report-only",
    "dpop-nonce",
    "expect-ct",
    "link",
    "location",
    "nel",
    "proxy-authentication-info",
    "public-key-pins",
    "refresh",
    "report-to",
    "reporting-endpoints",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "www-authenticate",
    "x-content-type-options",
    "x-frame-options",
];
const OF_ANSWER_PREFIXES: &[&str] = &["access-control-", "cf-", "writ-"];

type Headers = Vec<(String, String)>;

/// Whether the sender has said of a header that it is for one hop alone.
fn is_named_by_connection(headers: &[(String, String)], name: &str) -> bool {
    let named = headers.iter().filter(|(known, _)| known == "connection").flat_map(|(_, value)| value.split(','));
    named.map(str::trim).any(|known| known.eq_ignore_ascii_case(name))
}

fn is_one_of(name: &str, names: &[&str], prefixes: &[&str]) -> bool {
    HOP.contains(&name) || names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// The protocol that the caller wants on the connection (RFC 9110 §7.8).
pub fn upgrade(headers: &[(String, String)]) -> Option<&str> {
    headers.iter().find(|(name, _)| name == "upgrade").map(|(_, value)| value.trim())
}

/// The headers of a request that opens a WebSocket: what the host says itself is not among them (RFC 6455 §4.1).
pub fn of_socket(headers: &[(String, String)], own: &Scrubber) -> Headers {
    let protocol = headers.iter().find(|(name, value)| name == "sec-websocket-protocol" && !own.finds(value)).cloned();
    [("upgrade".to_owned(), "websocket".to_owned())].into_iter().chain(protocol).collect()
}

/// The headers of a request that pass; nothing if there are too many. None has the caller's token.
pub fn of_request(headers: &[(String, String)], injection: &Injection, own: &Scrubber) -> Option<Headers> {
    let passes = |(name, value): &&(String, String)| {
        !is_one_of(name, OF_REQUEST, OF_REQUEST_PREFIXES)
            && !is_named_by_connection(headers, name)
            && !injection.sets(name)
            && !own.finds(value)
    };
    bounded(headers.iter().filter(passes).cloned().collect())
}

fn bounded(headers: Headers) -> Option<Headers> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum();
    (headers.len() <= MAX_HEADERS && bytes <= MAX_BYTES).then_some(headers)
}

/// The headers of an answer that pass, without secrets; nothing if there are too many.
pub fn of_answer(headers: &[(String, String)], secrets: &Scrubber) -> Option<Headers> {
    let passes = |(name, value): &&(String, String)| {
        !is_one_of(name, OF_ANSWER, OF_ANSWER_PREFIXES)
            && !is_named_by_connection(headers, name)
            && !secrets.finds(name)
            && !value.contains(['\r', '\n', '\0'])
    };
    let passed = headers.iter().filter(passes);
    bounded(passed.map(|(name, value)| (name.clone(), secrets.text(value))).collect())
}

/// Whether the body is in an encoding in which secrets are not found.
pub fn is_encoded(headers: &[(String, String)]) -> bool {
    let encodings =
        headers.iter().filter(|(name, _)| name == "content-encoding").flat_map(|(_, value)| value.split(','));
    encodings.map(str::trim).any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
}

/// The length of the body, where the answer says it.
pub fn length(headers: &[(String, String)]) -> Option<u64> {
    headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.trim().parse().ok())
}

/// Where a redirect leads through the connection, if it stays below its base URL. `prefix` is what stands for the base URL here.
pub fn location(headers: &[(String, String)], urls: (&str, &str), prefix: &str) -> Option<String> {
    let (_, value) = headers.iter().find(|(name, _)| name == "location")?;
    through(value, urls, prefix)
}

/// The links that lead through the connection (RFC 8288 §3), as one header. The place behind the proxy takes the place of their target.
pub fn links(headers: &[(String, String)], urls: (&str, &str), prefix: &str) -> Option<String> {
    let values = headers.iter().filter(|(name, value)| name == "link" && !value.contains(['\r', '\n', '\0']));
    let links = values.flat_map(|(_, value)| link_values(value));
    let links = links
        .filter_map(|(target, parameters)| Some(["<", &through(target, urls, prefix)?, ">", parameters].concat()))
        .collect::<Vec<_>>()
        .join(", ");
    (!links.is_empty() && links.len() <= MAX_BYTES).then_some(links)
}

/// The place behind the proxy for a reference in an answer, if it leads below the base URL.
fn through(reference: &str, (url, base): (&str, &str), prefix: &str) -> Option<String> {
    let (url, base) = (Url::parse(url).ok()?, Url::parse(base).ok()?);
    let target = url.join(reference).ok().filter(|url| url.username().is_empty() && url.password().is_none())?;
    if target.origin() != base.origin() {
        return None;
    }
    let rest = target.path().strip_prefix(base.path().trim_end_matches('/')).filter(|rest| rest.starts_with('/'))?;
    let query = target.query().map(|query| ["?", query].concat()).unwrap_or_default();
    Some([prefix, rest, &query].concat())
}

/// The targets of a `Link` header, each with its parameters, as far as it can be read.
fn link_values(value: &str) -> Vec<(&str, &str)> {
    let (mut found, mut rest) = (Vec::new(), value);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((target, after)) = rest.strip_prefix('<').and_then(|link| link.split_once('>')) else { return found };
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = after.find(|sign: char| {
            match sign {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = is_quoted,
                '"' => is_quoted = !is_quoted,
                ',' => return !is_quoted,
                _ => {}
            }
            false
        });
        let (parameters, next) = after.split_at_checked(end.unwrap_or(after.len())).unwrap_or((after, ""));
        found.push((target.trim(), parameters.trim_end()));
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::service::Proxy;

    fn headers(lines: &[(&str, &str)]) -> Headers {
        lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn names(headers: Option<Headers>) -> Vec<String> {
        headers.unwrap().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_request_passes_without_what_is_the_callers_own() {
        let proxy = Proxy { header: Some("X-Figma-Token".into()), ..Proxy::default() };
        let injection = Injection { proxy, allow: Default::default(), signing: None };
        let mut all = headers(&[
            ("accept", "a"),
            ("content-type", "b"),
            ("idempotency-key", "c"),
            ("notion-version", "d"),
            ("connection", "close, X-Once"),
            ("x-once", "e"),
            ("x-figma-token", "f"),
            ("x-mine", "Bearer the-callers-token"),
        ]);
        for name in OF_REQUEST.iter().chain(HOP).chain(&[
            "cf-connecting-ip",
            "sec-fetch-mode",
            "writ-subject-token",
            "x-forwarded-for",
        ]) {
            all.push(((*name).to_owned(), "x".to_owned()));
        }
        let own = Scrubber::new(["the-callers-token"]);
        assert_eq!(
            names(of_request(&all, &injection, &own)),
            ["accept", "content-type", "idempotency-key", "notion-version"]
        );
        let many: Headers = (0..=MAX_HEADERS).map(|n| (format!("x-{n}"), String::new())).collect();
        assert!(of_request(&many, &injection, &own).is_none());
        assert!(of_request(&headers(&[("x", &"a".repeat(MAX_BYTES))]), &injection, &own).is_none());
    }

    #[test]
    fn an_answer_passes_without_what_would_speak_for_this_origin_and_without_secrets() {
        let mut all = headers(&[
            ("content-type", "a"),
            ("cache-control", "max-age=60"),
            ("x-echo", "Bearer the-secret-of-all"),
            ("connection", "x-hop"),
            ("x-hop", "b"),
        ]);
        for name in OF_ANSWER.iter().chain(HOP).chain(&["access-control-allow-origin", "cf-ray"]) {
            all.push(((*name).to_owned(), "x".to_owned()));
        }
        let passed = of_answer(&all, &Scrubber::new(["the-secret-of-all"])).unwrap();
        assert_eq!(
            passed,
            headers(&[("content-type", "a"), ("cache-control", "max-age=60"), ("x-echo", "Bearer *****************")])
        );
    }

    #[test]
    fn a_redirect_leads_through_the_connection_or_nowhere() {
        let to = |value: &str| {
            let urls = ("https://api.example/v1/a/b", "https://api.example/v1");
            location(&headers(&[("location", value)]), urls, "/p")
        };
        for (value, expected) in [
            ("https://api.example/v1/c?d=e", "/p/c?d=e"),
            ("/v1/c", "/p/c"),
            ("c", "/p/a/c"),
            ("?page=2", "/p/a/b?page=2"),
            ("//api.example/v1/c", "/p/c"),
        ] {
            assert_eq!(to(value).as_deref(), Some(expected), "{value}");
        }
        for value in [
            "https://evil.example/v1/c",
            "//evil.example/v1/c",
            "http://api.example/v1/c",
            "https://api.example:8443/v1/c",
            "https://user@api.example/v1/c",
            "/v2/c",
            "/v1",
            "/v1x/c",
            "../../c",
            "https://api.example/v1/../v2",
            "\\\\evil.example\\v1",
            "javascript:alert(1)",
        ] {
            assert_eq!(to(value), None, "{value}");
        }
    }

    #[test]
    fn a_link_leads_through_the_connection_or_does_not_pass() {
        let links = |value: &str| {
            let urls = ("https://api.example/v1/a?page=1", "https://api.example/v1");
            links(&headers(&[("link", value)]), urls, "https://id.example/p")
        };
        for (value, expected) in [
            (r#"<https://api.example/v1/a?page=2>; rel="next""#, r#"<https://id.example/p/a?page=2>; rel="next""#),
            (
                r#"<https://api.example/v1/a?page=2>; rel="next", <https://api.example/v1/a?page=9>; rel="last""#,
                r#"<https://id.example/p/a?page=2>; rel="next", <https://id.example/p/a?page=9>; rel="last""#,
            ),
            (r#"<?page=2>;rel=next"#, r#"<https://id.example/p/a?page=2>;rel=next"#),
            (
                r#"< /v1/b >; title="a, \"b\" <c>"; rel=next,</v2/x>"#,
                r#"<https://id.example/p/b>; title="a, \"b\" <c>"; rel=next"#,
            ),
            (
                r#"<https://docs.example/>; rel=help, <b,c>, , <d>"#,
                "<https://id.example/p/b,c>, <https://id.example/p/d>",
            ),
            (r#"<b>; rel="unended, <c>"#, r#"<https://id.example/p/b>; rel="unended, <c>"#),
        ] {
            assert_eq!(links(value).as_deref(), Some(expected), "{value}");
        }
        for value in [
            "",
            "https://api.example/v1/a; rel=next",
            "<https://evil.example/v1/a>; rel=next",
            "<https://api.example/v2/a>; rel=next",
            "<https://user@api.example/v1/a>; rel=next",
            "<//evil.example/v1/a>; rel=next",
            "<b; rel=next",
            "<b>\r\nset-cookie: a=b",
        ] {
            assert_eq!(links(value), None, "{value}");
        }
        assert_eq!(links(&format!("<{}>", "a".repeat(MAX_BYTES))), None);
    }
}
