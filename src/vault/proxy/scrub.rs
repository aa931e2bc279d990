//! Takes secrets out of what a service echoes, whatever the pieces in which it comes.
//!
//! 1. A secret is found as it is, percent-encoded (RFC 3986 §2.1), as a form or JSON writes it, and in Base64 of either alphabet (RFC 4648
//!    §4, §5) wherever it stands in what was encoded.
//! 2. Each of its bytes becomes [`MASK`], so that lengths stay true.
//! 3. Nothing is held back but what may be the beginning of a secret: a server-sent event passes at once.
//! 4. A secret of fewer than [`MIN_SECRET`] bytes is none: to look for it would spoil what means something else.

use crate::crypto::Secret;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in the place of a byte of a secret.
pub const MASK: u8 = b'*';
/// The shortest secret.
pub const MIN_SECRET: usize = 8;
/// What is not unreserved (RFC 3986 §2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// How many bytes a block has of which the search knows where it may stand.
const BLOCK: usize = 3;
/// How much of a pattern the search looks at first, at the most: what a longer one saves of a body it costs at its beginning.
const WINDOW: usize = 64;
/// How many kinds of block the search tells apart.
const KINDS: usize = 4_096;

/// Looks for secrets in a body, piece by piece.
pub struct Scrubber {
    patterns: Vec<Secret<Vec<u8>>>,
    /// The length of the shortest pattern, [`WINDOW`] at the most: how much of each the search looks at first.
    window: usize,
    /// By the kind of the block at the end of a window: how far the window may move.
    shifts: Vec<u8>,
    /// What was held back, as it came.
    held: Vec<u8>,
    /// How many of the first bytes of it belong to a secret that was found.
    masked: usize,
}

impl Scrubber {
    /// Looks for these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut patterns: Vec<Vec<u8>> =
            secrets.into_iter().filter(|secret| secret.len() >= MIN_SECRET).flat_map(forms).collect();
        patterns.sort_unstable();
        patterns.dedup();
        let window = patterns.iter().map(Vec::len).min().unwrap_or_default().min(WINDOW);
        let furthest = window.saturating_sub(BLOCK).saturating_add(1);
        let mut shifts = vec![u8::try_from(furthest).unwrap_or(u8::MAX); KINDS];
        for pattern in &patterns {
            let start = pattern.get(..window).unwrap_or_default();
            for (at, block) in start.windows(BLOCK).enumerate() {
                let left = window.saturating_sub(BLOCK).saturating_sub(at);
                if let Some(shift) = shifts.get_mut(kind(block)) {
                    *shift = u8::try_from(left).unwrap_or(u8::MAX).min(*shift);
                }
            }
        }
        let patterns = patterns.into_iter().map(Secret::new).collect();
        Self { patterns, window, shifts, held: Vec::new(), masked: 0 }
    }

    /// What can leave once this piece has come.
    pub fn push(&mut self, piece: Vec<u8>) -> Vec<u8> {
        if self.patterns.is_empty() {
            return piece;
        }
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend(piece);
        let found = self.find(&bytes);
        let keep_from = self.beginning(&bytes);
        let kept = bytes.get(keep_from..).unwrap_or_default().to_vec();
        let end = found.iter().filter(|(start, _)| *start < keep_from).map(|(_, end)| *end).max().unwrap_or_default();
        let masked = self.masked;
        self.masked = end.max(masked).saturating_sub(keep_from);
        self.held = kept;
        bytes.truncate(keep_from);
        mask(&mut bytes, (0, masked));
        found.into_iter().for_each(|range| mask(&mut bytes, range));
        bytes
    }

    /// What is left at the end. What may have been the beginning of a secret is one, if it is long enough.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.held);
        let masked = std::mem::take(&mut self.masked);
        let found = self.find(&bytes);
        let from = self.beginning(&bytes);
        mask(&mut bytes, (0, masked));
        found.into_iter().for_each(|range| mask(&mut bytes, range));
        let end = bytes.len();
        if end.saturating_sub(from) >= MIN_SECRET {
            mask(&mut bytes, (from, end));
        }
        bytes
    }

    /// A whole text without the secrets.
    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes().to_vec())).into_owned()
    }

    /// Whole bytes without the secrets.
    pub fn bytes(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        self.find(&bytes).into_iter().for_each(|range| mask(&mut bytes, range));
        bytes
    }

    /// Whether a text has a secret.
    pub fn finds(&self, text: &str) -> bool {
        !self.find(text.as_bytes()).is_empty()
    }

    /// Where secrets stand.
    fn find(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let mut at = 0_usize;
        while self.window > 0
            && let Some(window) = bytes.get(at..at.saturating_add(self.window))
        {
            let block = window.get(self.window.saturating_sub(BLOCK)..).unwrap_or_default();
            match self.shifts.get(kind(block)) {
                Some(0) | None => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let fits = self.patterns.iter().map(Secret::expose).filter(|pattern| rest.starts_with(pattern));
                    found.extend(fits.map(|pattern| (at, at.saturating_add(pattern.len()))).max());
                    at = at.saturating_add(1);
                }
                Some(shift) => at = at.saturating_add(usize::from(*shift)),
            }
        }
        found
    }

    /// Where the longest end of the bytes begins that may be the beginning of a secret.
    fn beginning(&self, bytes: &[u8]) -> usize {
        let longest = self.patterns.iter().map(|pattern| pattern.expose().len()).max().unwrap_or_default();
        let first = bytes.len().saturating_sub(longest.saturating_sub(1));
        let begins = |at: &usize| {
            let end = bytes.get(*at..).unwrap_or_default();
            self.patterns.iter().any(|pattern| pattern.expose().len() > end.len() && pattern.expose().starts_with(end))
        };
        (first..bytes.len()).find(begins).unwrap_or(bytes.len())
    }
}

fn mask(bytes: &mut [u8], (start, end): (usize, usize)) {
    let end = end.min(bytes.len());
    if let Some(range) = bytes.get_mut(start..end) {
        range.fill(MASK);
    }
}

fn kind(block: &[u8]) -> usize {
    let value = block.iter().fold(0_usize, |value, byte| (value << 5) ^ usize::from(*byte));
    value & (KINDS - 1)
}

/// The forms in which a secret may come back.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let mut forms = vec![bytes.to_vec()];
    // Most tokens have nothing that is ever escaped; and what they have is the same in both alphabets of Base64.
    let is_plain = bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(b));
    if !is_plain {
        forms.extend(escaped(secret));
    }
    for before in 0..3_usize {
        let shifted = [vec![0; before], bytes.to_vec()].concat();
        // The characters that the secret alone decides.
        let start = before.saturating_mul(8).div_ceil(6);
        let end = shifted.len().saturating_mul(8) / 6;
        let other = (!is_plain).then(|| URL_SAFE_NO_PAD.encode(&shifted));
        for text in std::iter::once(STANDARD_NO_PAD.encode(&shifted)).chain(other) {
            forms.extend(text.get(start..end).map(|core| core.as_bytes().to_vec()));
        }
    }
    forms
}

/// A secret as URLs, forms and JSON escape it.
fn escaped(secret: &str) -> [Vec<u8>; 6] {
    let percent = utf8_percent_encode(secret, RESERVED).to_string();
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json.trim_matches('"');
    [
        with_small_escapes(&percent),
        percent.into_bytes(),
        with_small_escapes(&form),
        form.into_bytes(),
        json.as_bytes().to_vec(),
        json.replace('/', "\\/").into_bytes(),
    ]
}

/// The same with small letters in its escapes alone.
fn with_small_escapes(text: &str) -> Vec<u8> {
    let mut left = 0_u8;
    let bytes = text.bytes().map(|b| match b {
        b'%' => {
            left = 2;
            b
        }
        b if left > 0 => {
            left = left.saturating_sub(1);
            b.to_ascii_lowercase()
        }
        b => b,
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    const SECRET: &str = "ya29.a0/Ae+4-canary==";

    fn scrub(secrets: &[&str], pieces: &[&[u8]]) -> Vec<u8> {
        let mut scrubber = Scrubber::new(secrets.iter().copied());
        let mut out: Vec<u8> = pieces.iter().flat_map(|piece| scrubber.push(piece.to_vec())).collect();
        out.extend(scrubber.finish());
        out
    }

    /// SplitMix64.
    fn random(state: &mut u64, below: usize) -> usize {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)).checked_rem(below as u64).unwrap()).unwrap()
    }

    #[test]
    fn every_form_of_a_secret_is_found_wherever_it_stands() {
        let percent = "ya29.a0%2FAe%2B4-canary%3D%3D";
        for form in [SECRET, percent, &percent.replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d")] {
            let body = format!("{{\"echo\":\"{form}\",\"n\":1}}");
            let expected = format!("{{\"echo\":\"{}\",\"n\":1}}", "*".repeat(form.len()));
            assert_eq!(scrub(&[SECRET], &[body.as_bytes()]), expected.as_bytes(), "{form}");
        }
        assert_eq!(scrub(&[SECRET], &[b"a\\/b ya29.a0\\/Ae+4-canary==!"]), b"a\\/b **********************!");
        for before in 0..7 {
            for after in 0..4 {
                let plain = [&"b".repeat(before), SECRET, &"e".repeat(after)].concat();
                for encoded in [STANDARD.encode(&plain), URL_SAFE.encode(&plain)] {
                    let out = String::from_utf8(scrub(&[SECRET], &[encoded.as_bytes()])).unwrap();
                    assert_eq!(out.len(), encoded.len());
                    let left = out.trim_matches(|c| c != '*').len();
                    assert!(
                        left + 2 >= SECRET.len() * 8 / 6 && !out.trim_matches(|c| c != '*').contains(|c| c != '*'),
                        "{out}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_comes_out_does_not_depend_on_the_pieces() {
        let mut state = 7;
        let secrets = ["abababab", "babababa-x", "aaaaaaaa", SECRET];
        for round in 0..2_000 {
            let mut body = Vec::new();
            for _ in 0..random(&mut state, 12) {
                let secret = secrets[random(&mut state, secrets.len())].as_bytes();
                match random(&mut state, 4) {
                    0 => body.extend_from_slice(secret),
                    1 => body.extend_from_slice(&secret[..random(&mut state, secret.len())]),
                    2 => body.extend_from_slice(&secret[random(&mut state, secret.len())..]),
                    _ => body.extend((0..random(&mut state, 9)).map(|_| b"ab-x"[random(&mut state, 4)])),
                }
            }
            let whole = scrub(&secrets, &[&body]);
            assert_eq!(whole.len(), body.len());
            let mut pieces = Vec::new();
            let mut rest = body.as_slice();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(1 + random(&mut state, rest.len().min(7)));
                pieces.push(piece);
                rest = after;
            }
            assert_eq!(scrub(&secrets, &pieces), whole, "round {round}: {}", String::from_utf8_lossy(&body));
            for secret in secrets {
                assert!(!whole.windows(secret.len()).any(|window| window == secret.as_bytes()), "round {round}");
            }
            // Nothing else is touched: each masked byte belongs to a secret, or is the beginning of one at the end.
            let scrubber = Scrubber::new(secrets);
            let found = scrubber.find(&body);
            let end = scrubber.beginning(&body);
            for (n, byte) in whole.iter().enumerate() {
                let belongs = found.iter().any(|(from, to)| (*from..*to).contains(&n)) || n >= end;
                assert!(belongs || *byte == body[n], "round {round}, byte {n}");
            }
        }
    }

    #[test]
    fn nothing_is_held_back_that_cannot_begin_a_secret() {
        let mut scrubber = Scrubber::new([SECRET]);
        assert_eq!(scrubber.push(b"data: one\n\n".to_vec()), b"data: one\n\n");
        assert_eq!(scrubber.push(b"data: ya29".to_vec()), b"data: ");
        assert_eq!(scrubber.push(b" is no secret\n\n".to_vec()), b"ya29 is no secret\n\n");
        assert_eq!(scrubber.push(SECRET.as_bytes()[..20].to_vec()), b"");
        assert_eq!(scrubber.finish(), b"********************", "a body that ends in the middle of one");
    }

    #[test]
    fn a_short_secret_is_none() {
        assert_eq!(scrub(&["abc", ""], &[b"abc abc"]), b"abc abc");
        assert!(!Scrubber::new([]).finds("abc"));
    }
}
