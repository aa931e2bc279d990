//! Tokens and proofs of every algorithm, sound and hostile, with real signatures.

mod dpop;
mod jwt;

use writ::ports::Now;

/// The moment of these tests, in seconds.
const NOW: i64 = 1_800_000_000;

fn now() -> Now {
    Now::from_millis(NOW.unsigned_abs() * 1000)
}

/// Every text that differs from this one in one character, or is cut short.
fn damaged(text: &str) -> impl Iterator<Item = String> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let changed = (0..text.len()).flat_map(move |at| {
        // In base64url the six bits of a character are its place in the alphabet: one bit at a time.
        let place = alphabet.iter().position(|byte| *byte == text.as_bytes()[at]);
        let others = place.map_or(vec![b'A', b'='], |place| (0..6).map(|bit| alphabet[place ^ (1 << bit)]).collect());
        others.into_iter().map(move |other| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = other;
            String::from_utf8(bytes).unwrap()
        })
    });
    changed.chain((0..text.len()).map(|end| text[..end].to_owned()))
}
