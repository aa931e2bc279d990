//! Resource indicators (RFC 8707 §2): absolute URIs without a fragment.
//!
//! The registered string is what goes into `aud`, byte for byte. A request may spell it with other case in scheme and
//! host, with the default port, or with one trailing slash more or less, as real clients do. A host is ASCII, so that none
//! looks like another: an internationalized name has its punycode form (RFC 3492).

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use url::Url;

const MAX_LENGTH: usize = 512;

/// A resource indicator as it was written, and its canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ResourceUri {
    text: String,
    #[serde(skip)]
    canonical: String,
}

impl ResourceUri {
    /// Reads an absolute URI with a host and without fragment or userinfo; at most 512 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LENGTH || text.chars().any(|c| c.is_control() || c == ' ' || c == '"' || c == '\\') {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let sound = url.has_host() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        sound.then(|| {
            let form = url.as_str();
            Self { text: text.to_owned(), canonical: form.strip_suffix('/').unwrap_or(form).to_owned() }
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The form in which two spellings of one resource are equal.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Whether both name the same resource.
    pub fn is_same(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ResourceUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(match text.is_ascii() {
                true => "is not an absolute URI without a fragment (RFC 8707 §2)",
                false => "is not an absolute URI with an ASCII host: write `bücher.example` as `xn--bcher-kva.example`",
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ResourceUri;

    #[test]
    fn spellings_of_one_resource_meet_and_others_do_not() {
        let same = |a, b| ResourceUri::parse(a).unwrap().is_same(&ResourceUri::parse(b).unwrap());
        assert!(same("https://a.example/mcp", "HTTPS://A.example:443/mcp/"));
        assert!(same("https://a.example", "https://a.example/"));
        assert!(!same("https://a.example/mcp", "https://a.example/MCP"));
        assert!(!same("https://a.example/mcp", "http://a.example/mcp"));
        assert!(!same("https://a.example/mcp", "https://a.example/mcp//"));
    }

    #[test]
    fn a_host_is_ascii_and_the_refusal_says_how_to_write_it() {
        for bad in
            ["https://bücher.example/mcp", "https://аpple.example/", "https://ａ.example/", "https://a。example/"]
        {
            assert!(ResourceUri::parse(bad).is_none(), "{bad}");
            let refusal = serde_json::from_value::<ResourceUri>(bad.into()).unwrap_err().to_string();
            assert!(refusal.contains("`xn--bcher-kva.example`"), "{refusal}");
        }
        let punycode = ResourceUri::parse("https://xn--bcher-kva.example/mcp").unwrap();
        assert_eq!(punycode.canonical(), "https://xn--bcher-kva.example/mcp");
        assert!(ResourceUri::parse("https://XN--BCHER-KVA.example/mcp").unwrap().is_same(&punycode));
        assert_eq!(ResourceUri::parse("https://a.example/bücher").unwrap().as_str(), "https://a.example/bücher");
    }

    #[test]
    fn relative_fragmented_and_smuggling_uris_are_refused() {
        for bad in [
            "",
            "mcp",
            "/mcp",
            "https://a/#f",
            "https://a/#",
            "https://u:p@a/",
            "https://a/ b",
            "urn:x:y",
            "https:\\\\a",
        ] {
            assert!(ResourceUri::parse(bad).is_none(), "{bad}");
        }
    }
}
