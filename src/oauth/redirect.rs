//! Redirect URIs: what may be registered, and which registered one a request names.
//!
//! 1. The two are compared as strings, byte by byte: no pattern, no normalization (RFC 9700 §2.1, OAuth 2.1 §2.3.1).
//! 2. One exception: the port of a loopback redirect is free, because the system gives it to the client when it starts (RFC 8252 §7.3).
//!    Scheme, host, path and query stay fixed. `localhost` counts as a loopback host, because clients of MCP register it.
//! 3. A scheme is `https`; `http` on this machine; for a native application also one of its own with a dot or a name that no
//!    platform gives a meaning to (RFC 8252 §7.1).

use url::Url;

/// The longest redirect URI in bytes.
pub const MAX_LENGTH: usize = 1_024;

/// Schemes that run, show or fetch something by themselves, and those that lead to no application of the user.
const DANGEROUS: &[&str] = &[
    "about",
    "blob",
    "chrome",
    "content",
    "data",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "javascript",
    "mailto",
    "ms-appx",
    "resource",
    "sms",
    "tel",
    "urn",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// Whether a redirect URI may be registered. The error says what is wrong with it; its subject is the URI.
pub fn check(text: &str, is_native: bool) -> Result<(), &'static str> {
    if text.len() > MAX_LENGTH {
        return Err("has more than 1024 bytes");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'`')) {
        return Err("has a character that no URI has");
    }
    if text.contains('#') {
        return Err("has a fragment (RFC 6749 §3.1.2)");
    }
    let url = Url::parse(text).map_err(|_| "is no absolute URI")?;
    if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
        return Err("has a user in it");
    }
    match url.scheme() {
        "https" if url.host_str().is_some_and(|host| authority(text).starts_with(host) && is_plain(host)) => Ok(()),
        "https" => Err("has a host that is not in lower-case ASCII, or none"),
        "http" if loopback(text).is_some() => Ok(()),
        "http" => Err("is `http`: only `localhost`, `127.0.0.1` and `[::1]` may be"),
        scheme if DANGEROUS.contains(&scheme) => Err("has a scheme that may not be redirected to"),
        _ if !is_native => Err("has a scheme of its own: register it with `application_type` `native` (RFC 8252 §7.1)"),
        scheme if text.starts_with(scheme) => Ok(()),
        _ => Err("has a scheme that is not in lower case"),
    }
}

/// Whether a host has nothing in it that means something elsewhere, as in a content security policy.
fn is_plain(host: &str) -> bool {
    !host.ends_with('.') && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte))
}

/// The authority as it is written.
fn authority(text: &str) -> &str {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// Whether `asked` is the registered one.
pub fn is_same(registered: &str, asked: &str) -> bool {
    registered == asked
        || loopback(registered).zip(loopback(asked)).is_some_and(|(one, other)| one == other)
            && check(asked, false).is_ok()
}

/// Host and rest of a loopback redirect, without its port; nothing if it is none.
fn loopback(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("http://")?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = ["localhost", "127.0.0.1", "[::1]"].into_iter().find(|host| authority.starts_with(host))?;
    match authority.strip_prefix(host)? {
        "" => Some((host, rest)),
        port => {
            let digits = port.strip_prefix(':')?;
            let sound = (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            sound.then_some((host, rest))
        }
    }
}

/// Whether the redirect stays on the machine of the user: any program there can listen.
pub fn is_loopback(text: &str) -> bool {
    loopback(text).is_some()
}

/// Where a redirect leads, for people and for what is remembered: the host with its port; of a loopback redirect the host alone, because its
/// port changes; of a scheme of its own, that.
pub fn host(text: &str) -> &str {
    match loopback(text) {
        Some((host, _)) => host,
        None if text.starts_with("https://") => authority(text),
        None => text.split_inclusive(':').next().unwrap_or(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_the_registered_string_or_a_loopback_one_with_another_port() {
        for (registered, asked) in [
            ("https://a.example/cb", "https://a.example/cb"),
            ("http://localhost/callback", "http://localhost:54321/callback"),
            ("http://127.0.0.1:33418/", "http://127.0.0.1:1/"),
            ("http://[::1]/cb?x=1", "http://[::1]:8/cb?x=1"),
            ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor://anysphere.cursor-mcp/oauth/callback"),
        ] {
            assert!(is_same(registered, asked), "{registered} {asked}");
        }
        for (registered, asked) in [
            ("https://ok.example/cb", "https://ok.example/cb/..;/evil"),
            ("https://ok.example/cb", "https://ok.example/cb/"),
            ("https://ok.example/cb", "https://ok.example/%63b"),
            ("https://ok.example/cb", "https://OK.example/cb"),
            ("https://ok.example/cb", "https://ok.example:443/cb"),
            ("https://ok.example/cb", "https://ok.example/cb?x=1"),
            ("https://foo.example.com/cb", "https://fooaexample.com/cb"),
            ("https://ok.example:1/cb", "https://ok.example:2/cb"),
            ("http://localhost/cb", "http://127.0.0.1/cb"),
            ("http://localhost/cb", "http://localhost:8090%25@evil/cb"),
            ("http://localhost/cb", "http://localhost:80@evil.example/cb"),
            ("http://localhost/cb", "http://localhost.evil.example/cb"),
            ("http://localhost/cb", "https://localhost/cb"),
            ("http://localhost/cb", "http://localhost:/cb"),
            ("http://localhost/cb", "http://localhost:123456/cb"),
            ("http://localhost/cb", "http://localhost/cb#x"),
            ("http://localhost/cb", "http://localhost/cb/../x"),
            ("cursor://a/cb", "cursor://b/cb"),
        ] {
            assert!(!is_same(registered, asked), "{registered} {asked}");
        }
    }

    #[test]
    fn what_runs_something_or_hides_a_host_is_not_registered() {
        for bad in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "\tjavascript:alert(1)",
            "java\nscript:alert(1)",
            " javascript:x",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:https://a.example/x",
            "https://a.example/#x",
            "https://u@a.example/cb",
            "https://u:p@a.example/cb",
            "https://@a.example/cb",
            "http://a.example/cb",
            "//a.example/cb",
            "/cb",
            "",
            "https://a.example\\@evil.example/cb",
            "https://a.example/c b",
            "https://a.example/ü",
            "https://A.example/cb",
            "https://a.example./cb",
            "https://*.example/cb",
            "https:///cb",
            "http://localhost@evil.example/",
            "Cursor://a/cb",
            "about:blank",
            "https://a.example/\u{0}",
        ] {
            assert!(check(bad, true).is_err(), "{bad:?}");
        }
        assert!(check("cursor://anysphere.cursor-mcp/oauth/callback", true).is_ok());
        assert!(check("com.example.app:/oauth", true).is_ok());
        assert!(check("com.example.app:/oauth", false).is_err());
        assert!(check("https://a.example/cb?x=1", false).is_ok() && check("http://127.0.0.1/callback", false).is_ok());
        assert!(check(&format!("https://a.example/{}", "x".repeat(MAX_LENGTH)), true).is_err());
    }

    #[test]
    fn people_are_shown_the_host() {
        for (uri, shown) in [
            ("https://claude.ai/api/mcp/auth_callback", "claude.ai"),
            ("https://a.example:8443?x", "a.example:8443"),
            ("http://localhost:3000/cb", "localhost"),
            ("cursor://anysphere.cursor-mcp/oauth", "cursor:"),
        ] {
            assert_eq!(host(uri), shown);
        }
    }
}
