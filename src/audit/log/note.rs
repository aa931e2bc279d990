//! Checkpoints (C2SP tlog-checkpoint) as signed notes (C2SP signed-note), and the keys that verify them.
//!
//! 1. A note is read only where a known key has signed it: [`Checkpoint::parse`] reads what [`super::keys::LogKey::has_signed`] has to say of first.
//! 2. Signatures of unknown keys are passed over; one of a known key that does not hold refuses the note.
//! 3. The key of a log and that of a witness have different types, which are in their ids: neither stands for the other (C2SP tlog-cosignature).

use super::tree::Hash;
use crate::crypto::{b64_std, sha256, unb64_std};

/// The type of an Ed25519 signature over a note.
pub const ED25519: u8 = 1;
/// The type of an Ed25519 cosignature with its time (C2SP tlog-cosignature).
pub const COSIGNATURE: u8 = 4;
/// How many bytes such a one has: a moment, and the signature.
const COSIGNED: usize = 72;
/// How many bytes of a note are read.
pub const MAX_NOTE: usize = 64 * 1024;
/// What begins a line with a signature.
const DASH: &str = "— ";

/// A verifier key: `NAME+ID+KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vkey {
    /// The name of the key: the origin of a log, or the name of a witness.
    pub name: String,
    /// The type of its signatures.
    pub kind: u8,
    /// The public key.
    pub public: [u8; 32],
}

impl Vkey {
    /// Reads the text of a log's key.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_any(text).filter(|key| key.kind == ED25519)
    }

    /// Reads the text of a witness' key.
    pub fn parse_witness(text: &str) -> Option<Self> {
        Self::parse_any(text).filter(|key| key.kind == COSIGNATURE)
    }

    fn parse_any(text: &str) -> Option<Self> {
        let (name, rest) = text.trim().split_once('+')?;
        let (id, key) = rest.split_once('+')?;
        let (kind, public) = unb64_std(key)?.split_first().map(|(kind, key)| (*kind, key.to_vec()))?;
        let key = Self { name: name.to_owned(), kind, public: public.try_into().ok()? };
        (is_name(name) && crate::crypto::hex(key.id()) == id).then_some(key)
    }

    /// The text of the key.
    pub fn to_text(&self) -> String {
        let key = b64_std([&[self.kind], &self.public[..]].concat());
        format!("{}+{}+{key}", self.name, crate::crypto::hex(self.id()))
    }

    /// The first four bytes of the digest over name, type and key.
    fn id(&self) -> [u8; 4] {
        let digest = sha256([self.name.as_bytes(), &[b'\n', self.kind], &self.public].concat());
        let [a, b, c, d, ..] = *digest.bytes();
        [a, b, c, d]
    }

    /// The note with a signature of this key.
    pub fn sign(&self, text: &str, signature: &[u8]) -> String {
        [text, "\n", &self.line(signature)].concat()
    }

    /// The line with a signature of this key.
    pub fn line(&self, signature: &[u8]) -> String {
        format!("{DASH}{} {}\n", self.name, b64_std([&self.id(), signature].concat()))
    }

    /// The signature of this key in a note. Lines of other keys are passed over.
    pub fn signature_of(&self, note: &str) -> Option<[u8; 64]> {
        self.bytes_of(note)?.try_into().ok()
    }

    /// The cosignature of this witness in a note: its moment in seconds, and what it has signed then with which signature.
    pub fn cosignature_of(&self, note: &str) -> Option<Cosignature> {
        let (text, _) = split(note)?;
        let bytes: [u8; COSIGNED] = self.bytes_of(note)?.try_into().ok()?;
        let (moment, signature) = bytes.split_first_chunk::<8>()?;
        let at = i64::try_from(u64::from_be_bytes(*moment)).ok()?;
        let message = format!("cosignature/v1\ntime {at}\n{text}");
        Some(Cosignature { at, message, signature: signature.try_into().ok()?, line: self.line(&bytes) })
    }

    fn bytes_of(&self, note: &str) -> Option<Vec<u8>> {
        let (_, signatures) = split(note)?;
        signatures.lines().find_map(|line| {
            let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
            let bytes = unb64_std(signature)?;
            let (id, signature) = bytes.split_first_chunk::<4>()?;
            (name == self.name && *id == self.id()).then(|| signature.to_vec())
        })
    }

    /// The key as a JWK (RFC 8037 §2).
    pub fn jwk(&self) -> String {
        serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": crate::crypto::b64(self.public)}).to_string()
    }
}

/// What a witness says of a checkpoint, as far as its signature holds.
pub struct Cosignature {
    /// When, in seconds.
    pub at: i64,
    /// What is signed.
    pub message: String,
    /// The signature.
    pub signature: [u8; 64],
    /// The line that has it.
    pub line: String,
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
        let key = Vkey { name: "id.example/t/main/log".to_owned(), kind: ED25519, public: [7; 32] };
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

    /// The example of C2SP tlog-cosignature.
    const COSIGNED: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

    #[test]
    fn a_cosignature_is_over_its_moment_and_the_text_of_the_checkpoint_and_of_a_witness_key_alone() {
        let public = [7; 32];
        let witness = Vkey { name: "witness.example.com/w1".to_owned(), kind: super::COSIGNATURE, public };
        let log = Vkey { kind: ED25519, ..witness.clone() };
        assert_eq!(Vkey::parse_witness(&witness.to_text()), Some(witness.clone()));
        assert_eq!((Vkey::parse(&witness.to_text()), Vkey::parse_witness(&log.to_text())), (None, None));
        assert!(witness.cosignature_of(COSIGNED).is_none(), "the id is that of another key");
        // The line of the example under the id of this key.
        let line = COSIGNED.lines().last().unwrap();
        let bytes = unb64_std(line.rsplit_once(' ').unwrap().1).unwrap();
        let note = COSIGNED.replace(&format!("{line}\n"), &witness.line(&bytes[4..]));
        let said = witness.cosignature_of(&note).unwrap();
        let wanted = "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert_eq!((said.at, said.message.as_str(), said.line), (1_679_315_147, wanted, witness.line(&bytes[4..])));
        assert_eq!(said.signature[..], bytes[12..]);
        assert!(log.cosignature_of(&note).is_none());
        let short = COSIGNED.replace(&format!("{line}\n"), &witness.line(&bytes[4..70]));
        assert!(witness.cosignature_of(&short).is_none());
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
