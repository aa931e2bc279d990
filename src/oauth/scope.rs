//! Scope (RFC 6749 §3.3): an ordered set of tokens.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The longest scope in bytes, requested or registered: with it a token stays below [`crate::jose::MAX_TOKEN`].
pub const MAX_LENGTH: usize = 6 * 1024;
/// The most tokens of one scope.
pub const MAX_TOKENS: usize = 100;
/// The scopes about the person (OpenID Connect Core §5.4), and the one that asks for refresh tokens (§11), which are given anyway. No resource has
/// one of that name.
pub const IDENTITY: &[&str] = &["openid", "profile", "email", "offline_access"];

/// An ordered set of scope tokens, without repetition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(Vec<String>);

impl Scope {
    /// Reads `scope`: tokens of `%x21 / %x23-5B / %x5D-7E`, separated by single spaces. At most [`MAX_LENGTH`] bytes
    /// and [`MAX_TOKENS`] tokens.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let mut scope = Self::default();
        for token in text.split(' ').filter(|token| !token.is_empty()) {
            if !is_token(token) || scope.0.len() == MAX_TOKENS {
                return None;
            }
            if !scope.contains(token) {
                scope.0.push(token.to_owned());
            }
        }
        Some(scope)
    }

    /// Whether `token` is in the set.
    pub fn contains(&self, token: &str) -> bool {
        self.0.iter().any(|seen| seen == token)
    }

    /// The tokens, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// What is left when only tokens for which `keep` holds stay.
    pub fn narrowed(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|token| keep(token)).cloned().collect())
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tokens as owned strings.
    pub fn to_vec(&self) -> Vec<String> {
        self.0.clone()
    }
}

/// Whether `text` is one scope token.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

impl<S: Into<String>> FromIterator<S> for Scope {
    /// Collects tokens that are already known to be tokens.
    fn from_iter<I: IntoIterator<Item = S>>(tokens: I) -> Self {
        let mut scope = Self::default();
        for token in tokens.into_iter().map(Into::into) {
            if !scope.contains(&token) {
                scope.0.push(token);
            }
        }
        scope
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("is not a scope (RFC 6749 §3.3)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_keep_their_order_and_appear_once() {
        assert_eq!(Scope::parse("b a  b c").unwrap().to_string(), "b a c");
        assert!(Scope::parse("").unwrap().is_empty());
    }

    #[test]
    fn what_the_grammar_does_not_allow_is_refused() {
        for bad in ["a\"b", "a\\b", "a\tb", "ä", "a\nb", "\u{0}"] {
            assert!(Scope::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_huge_scope_is_refused_by_its_size_alone() {
        assert!(Scope::parse(&"a ".repeat(500_000)).is_none());
        assert!(Scope::parse(&(0..101).map(|n| format!("s{n} ")).collect::<String>()).is_none());
    }
}
