//! Signing keys: next → current → retired.

use crate::crypto::Secret;
use crate::jose::PublicJwk;
use crate::ports::PrivateKey;

/// Where a signing key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published, so that every verifier knows it before it signs.
    Next,
    /// Signs.
    Current,
    /// Published until the last token that it signed has died.
    Retired,
}

impl KeyState {
    /// The name in the table and in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Current => "current",
            Self::Retired => "retired",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Next, Self::Current, Self::Retired].into_iter().find(|state| state.as_str() == text)
    }
}

/// A signing key of a tenant.
pub struct SigningKey {
    /// The public half.
    pub public: PublicJwk,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it entered that state, in seconds.
    pub changed_at: i64,
    /// When it was made, in seconds.
    pub created_at: i64,
    /// The private half as PKCS#8, where this Worker may open it.
    pub private: Option<Secret<Vec<u8>>>,
}

impl SigningKey {
    /// The form that the signature port takes, where this Worker may sign.
    pub fn as_private(&self) -> Option<PrivateKey<'_>> {
        let pkcs8 = self.private.as_ref()?.expose();
        Some(PrivateKey { alg: self.public.alg(), id: self.public.kid(), pkcs8 })
    }
}
