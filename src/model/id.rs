//! Ids and names of records.

use crate::crypto::Digest;
use crate::oauth::client_url::is_client_url;
use crate::ports::{Entropy, Now};
use ulid::Ulid;

const MAX_SLUG: usize = 64;
const USER: &str = "user_";

/// Whether `text` can name a tenant, a resource, a policy or a connection: 1 to 64 of `a-z 0-9 - _ .`, the first of which
/// is a letter or a digit. Safe in a path, a cache key and a policy.
pub fn is_slug(text: &str) -> bool {
    text.len() <= MAX_SLUG
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
}

/// A ULID: sortable by time, with 80 random bits.
pub fn ulid(now: Now, entropy: &dyn Entropy) -> String {
    let mut random = [0; 16];
    entropy.fill(&mut random);
    Ulid::from_parts(now.millis(), u128::from_be_bytes(random)).to_string().to_ascii_lowercase()
}

/// A name of the same form for what happened at a moment, in milliseconds since the epoch. The digest says what it was: the same, and no other, has
/// the same name.
pub fn ulid_of(millis: u64, digest: &Digest) -> String {
    let (random, _) = digest.bytes().split_at(16);
    let random = random.iter().fold(0_u128, |all, byte| all << 8 | u128::from(*byte));
    Ulid::from_parts(millis, random).to_string().to_ascii_lowercase()
}

/// The first name that [`ulid()`] may give at a moment, in milliseconds since the epoch.
pub fn first_at(millis: i64) -> String {
    Ulid::from_parts(u64::try_from(millis).unwrap_or_default(), 0).to_string().to_ascii_lowercase()
}

/// A client id: no user's id begins like it, so `sub` values of the two can never collide (RFC 9068 §5).
pub fn client_id(now: Now, entropy: &dyn Entropy) -> String {
    format!("client_{}", ulid(now, entropy))
}

/// The longest id in bytes: what is longer names nothing, and is not looked up.
pub const MAX_ID: usize = 64;

/// Whether text could be the id of anything here.
pub fn is_plausible(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// Whether text could be the id of a client: one of ours, or the URL of its metadata document.
pub fn is_client(id: &str) -> bool {
    is_plausible(id) || is_client_url(id)
}

/// A user's id: no client's id begins like it.
pub fn user_id(now: Now, entropy: &dyn Entropy) -> String {
    format!("{USER}{}", ulid(now, entropy))
}

/// Whether a subject is a user, by the form of its id.
pub fn is_user(subject: &str) -> bool {
    subject.starts_with(USER)
}
