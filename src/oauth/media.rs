//! The media type of a body (RFC 9110 §8.3).

/// A `Content-Type`.
#[derive(Clone, Copy)]
pub struct Media<'a> {
    essence: &'a str,
    parameters: &'a str,
}

impl<'a> Media<'a> {
    /// Reads the header's value.
    pub fn parse(header: &'a str) -> Self {
        let (essence, parameters) = header.split_once(';').unwrap_or((header, ""));
        Self { essence: essence.trim(), parameters }
    }

    /// Whether it is of that type.
    pub fn is(self, name: &str) -> bool {
        self.essence.eq_ignore_ascii_case(name)
    }

    /// Whether it names no other character encoding than UTF-8.
    pub fn is_utf8(self) -> bool {
        let mut parameters = self.parameters.split(';').filter_map(|one| one.split_once('='));
        parameters.all(|(name, value)| {
            !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Media;

    #[test]
    fn another_character_encoding_than_utf_8_is_noticed_however_it_is_written() {
        for good in ["a/b", "a/b; charset=utf-8", "A/B;charset=\"UTF-8\"", "a/b; boundary=x; charset=Utf-8"] {
            assert!(Media::parse(good).is("a/b") && Media::parse(good).is_utf8(), "{good}");
        }
        for bad in ["a/b; charset=utf-7", "a/b;Charset=\"iso-8859-1\"", "a/b; x=y; charset=utf-16", "a/b; charset="] {
            assert!(!Media::parse(bad).is_utf8(), "{bad}");
        }
    }
}
