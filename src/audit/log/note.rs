//! Checkpoints (C2SP tlog-checkpoint) as signed notes (C2SP signed-note), and the keys that verify them.
//!
//! 1. A note is read only where a known key has signed it: [`Checkpoint::parse`] reads what [`super::keys::LogKey::has_signed`] has to say of first.
//! 2. Signatures of unknown keys are passed over; one of a known key that does not hold refuses the note.

use super::tree::Hash;
use crate::crypto::{b64_std, sha256, unb64_std};

/// The type of an Ed25519 signature over a note.
const ED25519: u8 = 1;
/// How many bytes of a note are read.
pub const MAX_NOTE: usize = 64 * 1024;
/// What begins a line with a signature.
const DASH: &str = "— ";

/// A verifier key: `NAME+ID+KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vkey {
    /// The name of the key, which is the origin of the log.
    pub name: String,
    /// The public key.
    pub public: [u8; 32],
}

impl Vkey {
    /// Reads the text of a key.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.trim().split_once('+')?;
        let (id, key) = rest.split_once('+')?;
        let (ED25519, public) = unb64_std(key)?.split_first().map(|(kind, key)| (*kind, key.to_vec()))? else {
            return None;
        };
        let key = Self { name: name.to_owned(), public: public.try_into().ok()? };
        (is_name(name) && crate::crypto::hex(key.id()) == id).then_some(key)
    }

    /// The text of the key.
    pub fn to_text(&self) -> String {
        let key = b64_std([&[ED25519], &self.public[..]].concat());
        format!("{}+{}+{key}", self.name, crate::crypto::hex(self.id()))
    }

    /// The first four bytes of the digest over name, type and key.
    fn id(&self) -> [u8; 4] {
        let digest = sha256([self.name.as_bytes(), &[b'\n', ED25519], &self.public].concat());
        let [a, b, c, d, ..] = *digest.bytes();
        [a, b, c, d]
    }

    /// The note with a signature of this key.
    pub fn sign(&self, text: &str, signature: &[u8]) -> String {
        format!("{text}\n{DASH}{} {}\n", self.name, b64_std([&self.id(), signature].concat()))
    }

    /// The signature of this key in a note. Lines of other keys are passed over.
    pub fn signature_of(&self, note: &str) -> Option<[u8; 64]> {
        let (_, signatures) = split(note)?;
        signatures.lines().find_map(|line| {
            let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
            let bytes = unb64_std(signature)?;
            let (id, signature) = bytes.split_first_chunk::<4>()?;
            (name == self.name && *id == self.id()).then_some(())?;
            signature.try_into().ok()
        })
    }

    /// The key as a JWK (RFC 8037 §2).
    pub fn jwk(&self) -> String {
        serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": crate::crypto::b64(self.public)}).to_string()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}

/// The signed text of a note, with its last line break, and the lines with signatures.
pub fn split(note: &str) -> Option<(&str, &str)> {
    let sound = note.len() <= MAX_NOTE && note.ends_with('\n') && !note.contains(|c: char| c < ' ' && c != '\n');
    let at = note.rfind("\n\n").filter(|_| sound)?.checked_add(1)?;
    let (text, rest) = note.split_at_checked(at)?;
    let signatures = rest.strip_prefix('\n')?;
    signatures.lines().all(|line| line.starts_with(DASH)).then_some((text, signatures))
}

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log it is.
    pub origin: String,
    /// How many leaves the tree has.
    pub size: u64,
    /// The root of the tree.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, b64_std(self.root))
    }

    /// Reads the text of a note. Extension lines are passed over.
    pub fn parse(note: &str) -> Option<Self> {
        let (text, _) = split(note)?;
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let whole = !origin.is_empty() && lines.all(|line| !line.is_empty());
        let root = unb64_std(root)?.try_into().ok()?;
        Some(Self { origin: origin.to_owned(), size: number(size)?, root }).filter(|_| whole)
    }
}

/// A decimal without leading zeros.
pub fn number(text: &str) -> Option<u64> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of C2SP tlog-checkpoint.
    const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

    #[test]
    fn the_example_of_the_specification_is_read_and_written_as_it_stands() {
        let checkpoint = Checkpoint::parse(EXAMPLE).unwrap();
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(split(EXAMPLE).unwrap().0, checkpoint.to_text());
    }

    #[test]
    fn a_key_says_its_name_and_finds_its_own_signature_among_others() {
        let key = Vkey { name: "id.example/t/main/log".to_owned(), public: [7; 32] };
        assert_eq!(Vkey::parse(&key.to_text()), Some(key.clone()));
        assert_eq!(Vkey::parse(&key.to_text().replace("main", "mine")), None, "the id is over the name");
        let other = Vkey { public: [8; 32], ..key.clone() };
        let text = Checkpoint { origin: key.name.clone(), size: 0, root: [1; 32] }.to_text();
        let note = key.sign(&text, &[9; 64]);
        assert_eq!((key.signature_of(&note), other.signature_of(&note)), (Some([9; 64]), None));
        let cosigned = format!("{note}— witness.example {}\n", b64_std([3; 76]));
        assert_eq!(key.signature_of(&cosigned), Some([9; 64]));
        assert_eq!(Checkpoint::parse(&cosigned).unwrap().to_text(), text);
    }

    #[test]
    fn what_is_no_note_or_no_checkpoint_is_not_read() {
        let good = EXAMPLE.split_once("\n\n").unwrap().0;
        for bad in [
            "".to_owned(),
            "\n\n— a b\n".to_owned(),
            EXAMPLE.replace("20852163", "020852163"),
            EXAMPLE.replace("20852163", "-1"),
            EXAMPLE.replace("CsUY", "Cs"),
            EXAMPLE.replace("— ", "- "),
            EXAMPLE.trim_end().to_owned(),
            EXAMPLE.replace('3', "\r3"),
            good.to_owned(),
        ] {
            assert_eq!(Checkpoint::parse(&bad), None, "{bad}");
        }
    }
}
