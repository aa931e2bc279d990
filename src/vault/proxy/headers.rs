//! Which headers pass, in both directions.
//!
//! 1. What belongs to one hop stays there (RFC 9110 §7.6.1), and so does what belongs to the caller's own credential or tells of the caller.
//! 2. Of an answer nothing passes that would speak for this origin: cookies, challenges, policies of its pages.
//! 3. A redirect leads back through the same connection, or nowhere.

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
    "location",
    "nel",
    "proxy-authentication-info",
    "public-key-pins",
    "refresh",
    "report-to",
    "reporting-endpoints",
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

/// Whether the caller wants another protocol on the connection.
pub fn asks_to_upgrade(headers: &[(String, String)]) -> bool {
    headers.iter().any(|(name, _)| name == "upgrade")
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
pub fn location(headers: &[(String, String)], (url, base): (&str, &str), prefix: &str) -> Option<String> {
    let (_, value) = headers.iter().find(|(name, _)| name == "location")?;
    let (url, base) = (Url::parse(url).ok()?, Url::parse(base).ok()?);
    let target = url.join(value).ok().filter(|target| target.username().is_empty() && target.password().is_none())?;
    if target.origin() != base.origin() {
        return None;
    }
    let rest = target.path().strip_prefix(base.path().trim_end_matches('/')).filter(|rest| rest.starts_with('/'))?;
    let query = target.query().map(|query| ["?", query].concat()).unwrap_or_default();
    Some([prefix, rest, &query].concat())
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
        let injection = Injection { proxy, allow: Default::default() };
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
}
