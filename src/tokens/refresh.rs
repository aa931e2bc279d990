//! Refresh tokens (RFC 6749 §1.5): a family and a generation, with a tag.
//!
//! 1. Nothing of a token is stored: the tag (HMAC-SHA256) says that it is ours, the row of the family which generation is good. So the
//!    successor of a token is always the same one, whoever asks for it and how often.
//! 2. An old token is known for what it is, however old; a forged one is not.
//! 3. The tag is made with the current key of `SIGNING_KEK` and taken with all of them: an old key stays for as long as a family may live.

use crate::context::Cx;
use crate::crypto::{b64, unb64};
use crate::error::{Fault, Result};

const PREFIX: &str = "writ_rt_";
const PURPOSE: &str = "refresh-token";

/// A refresh token that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The family.
    pub family: String,
    /// Its place in the family.
    pub generation: i64,
}

impl RefreshToken {
    /// The text of the token.
    pub fn text(&self, cx: &Cx<'_>) -> Result<String> {
        let broken = Fault::Broken("a refresh token cannot be made");
        let ring = cx.config.signing().ok_or(broken)?;
        let family = unb64(&self.family).filter(|bytes| bytes.len() == 16).ok_or(broken)?;
        let generation = u32::try_from(self.generation).map_err(|_| broken)?;
        let body = [family.as_slice(), &generation.to_be_bytes()].concat();
        let tag = ring.tag(PURPOSE, &message(cx, &body)).ok_or(broken)?;
        Ok([PREFIX, &b64([body, tag].concat())].concat())
    }

    /// Reads a token; nothing if we have not made it, for this tenant.
    pub fn read(cx: &Cx<'_>, text: &str) -> Option<Self> {
        let bytes = unb64(text.strip_prefix(PREFIX).filter(|rest| rest.len() < 100)?)?;
        let (body, tag) = bytes.split_first_chunk::<20>()?;
        let (family, generation) = body.split_first_chunk::<16>()?;
        let generation = u32::from_be_bytes(*generation.first_chunk()?);
        let is_ours = cx.config.signing()?.has_tagged(PURPOSE, &message(cx, body), tag);
        is_ours.then(|| Self { family: b64(family), generation: generation.into() })
    }
}

fn message(cx: &Cx<'_>, body: &[u8]) -> Vec<u8> {
    [body, cx.tenant.id.as_bytes()].concat()
}
