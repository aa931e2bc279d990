//! A `client_id` that is the URL of a metadata document (draft-ietf-oauth-client-id-metadata-document §3).
//!
//! 1. `https`, a host in lower-case ASCII, a path; no fragment, no user, no dot segment in any spelling. `http` on this machine has the form
//!    too: whether it is called, `outbound` says.
//! 2. It is compared as it is written: nothing is ever normalized.

use url::Url;

/// The longest one in bytes.
pub const MAX_LENGTH: usize = 256;

/// Whether text has the form.
pub fn is_client_url(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'`' | b'#');
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = rest.split('?').next().unwrap_or_default();
    let is_dots = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    };
    let host = || Url::parse(text).ok()?.host_str().map(str::to_owned);
    text.len() <= MAX_LENGTH
        && text.bytes().all(sound)
        && !authority.contains('@')
        && path.starts_with('/')
        && !path.split('/').any(is_dots)
        && host().filter(|host| !host.ends_with('.')).is_some_and(|host| {
            let port = authority.strip_prefix(host.as_str());
            let is_port = |port: &str| port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
            let is_local = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
            port.is_some_and(|port| port.is_empty() || is_port(port))
                && (scheme == "https" || scheme == "http" && is_local)
        })
}

/// The host of one, without its port.
pub fn host(client_url: &str) -> &str {
    let rest = client_url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_a_url_with_a_path_and_is_taken_as_it_is_written() {
        for good in [
            "https://claude.ai/oauth/claude-code-client-metadata",
            "https://vscode.dev/oauth/client-metadata.json",
            "https://a.example:8443/c.json?v=1",
            "https://a.example/",
            "https://a.example/..;/c",
            "https://a.example/...",
            "http://localhost:8000/client.json",
            "http://[::1]:8000/client.json",
        ] {
            assert!(is_client_url(good), "{good}");
        }
        for bad in [
            "https://a.example",
            "https://a.example?x",
            "HTTPS://a.example/c",
            "http://a.example/c",
            "ftp://a.example/c",
            "https://A.example/c",
            "https://a.example/c#x",
            "https://u@a.example/c",
            "https://u:p@a.example/c",
            "https://@a.example/c",
            "https://a.example/../c",
            "https://a.example/./c",
            "https://a.example/c/..",
            "https://a.example/%2e%2E/c",
            "https://a.example/.%2e/c",
            "https://a.example/%2E/c",
            "https://a.example\\@b.example/c",
            "https://a.example/c d",
            "https://a.example/ü",
            "https://ü.example/c",
            "https://2130706433/c",
            "https://0x7f.1/c",
            "https:///c",
            "https:/a.example/c",
            "https://a.example:/c",
            "https://a.example:99999/c",
            "javascript://a.example/%0aalert(1)",
            "client_01kexxxxxxxxxxxxxxxxxxxxxx",
            "",
        ] {
            assert!(!is_client_url(bad), "{bad}");
        }
        assert!(!is_client_url(&format!("https://a.example/{}", "x".repeat(MAX_LENGTH))));
    }

    #[test]
    fn the_host_is_what_people_are_shown_and_domains_are_compared_with() {
        for (url, shown) in [
            ("https://claude.ai/oauth", "claude.ai"),
            ("https://a.example:8443/c", "a.example"),
            ("http://localhost:8000/c", "localhost"),
            ("http://[::1]:8000/c", "[::1]"),
            ("http://[::1]/c", "[::1]"),
        ] {
            assert_eq!(host(url), shown);
        }
    }
}
