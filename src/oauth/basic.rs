//! The `Basic` scheme as clients really send it (RFC 7617, RFC 6749 §2.3.1).

use crate::crypto::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Client credentials from an `Authorization` header. RFC 6749 has both parts form-encoded, many clients send them raw:
/// both readings are kept, and whichever matches a registered client counts.
pub struct Basic {
    /// The readings, form-decoded first; one if both are the same.
    pub readings: Vec<(String, Secret<String>)>,
}

impl Basic {
    /// Whether the header uses this scheme.
    pub fn is(header: &str) -> bool {
        header.split_once(' ').map_or(header, |(scheme, _)| scheme).eq_ignore_ascii_case("basic")
    }

    /// The client that a header names, if it names one.
    pub fn client_id(header: Option<&str>) -> Option<String> {
        Self::parse(header?)?.readings.into_iter().next().map(|(id, _)| id)
    }

    /// Reads `Basic …`; nothing if it is malformed.
    pub fn parse(header: &str) -> Option<Self> {
        let (_, encoded) = header.split_once(' ').filter(|_| Self::is(header))?;
        let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (id, secret) = text.split_once(':').filter(|(id, _)| !id.is_empty())?;
        let mut readings = vec![(decode(id), Secret::new(decode(secret)))];
        if readings.iter().any(|(seen, known)| seen != id || known.expose() != secret) {
            readings.push((id.to_owned(), Secret::new(secret.to_owned())));
        }
        Some(Self { readings })
    }
}

fn decode(part: &str) -> String {
    // One value without separators: whatever `&` or `=` it holds stays in it.
    let shielded = part.replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(shielded.as_bytes()).next().map(|(value, _)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(text: &str) -> Vec<(String, String)> {
        let header = format!("Basic {}", STANDARD.encode(text));
        let basic = Basic::parse(&header).unwrap();
        basic.readings.iter().map(|(id, secret)| (id.clone(), secret.expose().clone())).collect()
    }

    #[test]
    fn form_encoded_and_raw_credentials_are_both_kept() {
        assert_eq!(readings("id:secret"), [("id".into(), "secret".into())]);
        let both = readings("a%3Ab:p+q%21&x=1");
        assert_eq!(both, [("a:b".into(), "p q!&x=1".into()), ("a%3Ab".into(), "p+q%21&x=1".into())]);
    }

    #[test]
    fn malformed_headers_are_none() {
        for bad in ["Basic", "Basic ", "Basic !!!", "Basic aWQ=", "Bearer aWQ6eA==", "Basic OnNlY3JldA=="] {
            assert!(Basic::parse(bad).is_none(), "{bad}");
        }
        assert!(Basic::is("bAsIc x") && !Basic::is("Bearer x"));
    }
}
