//! The interface of `unicode-security`, as far as Cedar calls it: every text is fine.

/// Unicode's profile for identifiers (UTS #39 §3.1).
pub trait GeneralSecurityProfile {
    /// Whether a character may stand in an identifier.
    fn identifier_allowed(self) -> bool;
}

impl GeneralSecurityProfile for char {
    fn identifier_allowed(self) -> bool {
        true
    }
}

/// Texts in several scripts (UTS #39 §5.1).
pub trait MixedScript {
    /// Whether one script suffices.
    fn is_single_script(self) -> bool;
}

impl MixedScript for &str {
    fn is_single_script(self) -> bool {
        true
    }
}
