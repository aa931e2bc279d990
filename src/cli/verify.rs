//! `writ verify`: whether a proof holds, without asking anybody.
//!
//! 1. The key comes from who trusts it, never from the proof.
//! 2. A witness that is demanded has to have cosigned the checkpoint of the proof, or the newer one of two: so nobody was shown another log.
//! 3. Nothing of an event is shown unless it opens the entry, the entry is in the tree, and the root of the tree is signed.

use crate::audit::log::entry::Opening;
use crate::audit::log::note::{Checkpoint, Vkey, number};
use crate::audit::log::read::PROOF;
use crate::audit::log::tree::{self, Hash};
use crate::crypto::unb64_std;
use crate::jose::PublicJwk;
use crate::model::webhook::moment;
use crate::ports::{Alg, Keys};
use serde_json::Value;

/// What the command line tool says of the command.
pub const USAGE: &str =
    "  writ verify PROOF --key KEY                   check the proof of an event, and show what it says
  writ verify OLD NEW PROOF --key KEY           check that the log of the checkpoint OLD is the beginning of that of NEW

  --key       the verifier key of the log, or a file that has it, as /t/TENANT/log/key answers
  --witness   the verifier key of a witness that has to have cosigned, or a file that has it; may be given more than once";

/// Runs the command. `words` stand after its name; `read` gives the text of a file.
pub async fn run(words: &[String], read: &dyn Fn(&str) -> Option<String>, keys: &dyn Keys) -> Result<String, String> {
    let (mut files, mut key, mut witnesses) = (Vec::new(), None, Vec::new());
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.split_once('=').unwrap_or((word, "")) {
            ("--key", "") => key = Some(rest.next().ok_or("`--key` needs a value")?.clone()),
            ("--key", value) => key = Some(value.to_owned()),
            ("--witness", "") => witnesses.push(rest.next().ok_or("`--witness` needs a value")?.clone()),
            ("--witness", value) => witnesses.push(value.to_owned()),
            _ if word.starts_with("--") => return Err(format!("there is no option `{word}`\n\n{USAGE}")),
            _ => files.push(read(word).ok_or_else(|| format!("`{word}` cannot be read"))?),
        }
    }
    let key = key.ok_or("`--key` is missing: without the key of the log a proof proves nothing")?;
    let key = Vkey::parse(&key).or_else(|| Vkey::parse(&read(&key)?));
    let key = key.ok_or(
        "`--key` must be a verifier key, such as id.example.com/t/main/log+a1b2c3d4+AZ…, or a file that has one",
    )?;
    let is_key = |text: &String| Vkey::parse_witness(text).or_else(|| Vkey::parse_witness(&read(text)?));
    let witnesses: Option<Vec<Vkey>> = witnesses.iter().map(is_key).collect();
    let witnesses = witnesses.ok_or(
        "`--witness` must be the verifier key of a witness, such as witness.example/w1+a1b2c3d4+BE…, or a file that has one",
    )?;
    let trusted = Trusted { key: &key, witnesses: &witnesses, keys };
    match files.as_slice() {
        [proof] => event(proof, &trusted).await,
        [old, new, proof] => consistency((old, new), proof, &trusted).await,
        _ => Err(format!("one file is needed, or three\n\n{USAGE}")),
    }
}

/// Whom the caller trusts.
struct Trusted<'a> {
    key: &'a Vkey,
    witnesses: &'a [Vkey],
    keys: &'a dyn Keys,
}

impl Trusted<'_> {
    async fn holds(&self, key: &Vkey, message: &str, signature: &[u8]) -> Result<bool, String> {
        let jwk = PublicJwk::parse(Alg::EdDsa, &key.jwk()).ok_or("the key is none of Ed25519")?;
        let held = self.keys.verify(jwk.as_key(), message.as_bytes(), signature).await;
        held.map_err(|error| error.to_string())
    }

    /// What the witnesses say of a checkpoint, a line each; all of them have to have cosigned it.
    async fn cosigned(&self, note: &str) -> Result<String, String> {
        let mut text = String::new();
        for witness in self.witnesses {
            let name = &witness.name;
            let missing = || format!("the witness {name} has not cosigned the checkpoint");
            let cosignature = witness.cosignature_of(note).ok_or_else(missing)?;
            if !self.holds(witness, &cosignature.message, &cosignature.signature).await? {
                return Err(format!("the cosignature of {name} does not hold"));
            }
            let at = cosignature.at.checked_mul(1_000).and_then(moment).unwrap_or_else(|| cosignature.at.to_string());
            text.push_str(&format!("\nand cosigned at {at} by\n{}", witness.to_text()));
        }
        Ok(text)
    }
}

/// The checkpoint of a note that the key of the log has signed.
async fn signed(note: &str, trusted: &Trusted<'_>) -> Result<Checkpoint, String> {
    let key = trusted.key;
    let checkpoint = Checkpoint::parse(note).ok_or("the checkpoint cannot be read")?;
    if checkpoint.origin != key.name {
        return Err(format!("the checkpoint is of the log {}, and the key of {}", checkpoint.origin, key.name));
    }
    let signature = key.signature_of(note).ok_or("the checkpoint is not signed by this key")?;
    match trusted.holds(key, checkpoint_text(note), &signature).await? {
        true => Ok(checkpoint),
        false => Err("the signature of the checkpoint does not hold".to_owned()),
    }
}

fn checkpoint_text(note: &str) -> &str {
    crate::audit::log::note::split(note).map_or("", |(text, _)| text)
}

fn hashes(lines: &[&str]) -> Option<Vec<Hash>> {
    lines.iter().map(|line| unb64_std(line)?.try_into().ok()).collect()
}

async fn event(proof: &str, trusted: &Trusted<'_>) -> Result<String, String> {
    let (head, note) = proof.split_once("\n\n").ok_or("this is no proof: it has no checkpoint")?;
    let lines: Vec<&str> = head.lines().collect();
    let [PROOF, extra, index, path @ ..] = lines.as_slice() else {
        return Err(format!("this is no proof: it does not begin with `{PROOF}`, what opens the entry, and its index"));
    };
    let extra = extra.strip_prefix("extra ").and_then(unb64_std).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let opening = extra.and_then(|extra: Value| Opening::from_json(&extra));
    let opening = opening.ok_or("what opens the entry of the event cannot be read")?;
    let index = index.strip_prefix("index ").and_then(number).ok_or("the index cannot be read")?;
    let path = hashes(path).ok_or("the hashes of the proof cannot be read")?;
    let checkpoint = signed(note, trusted).await?;
    let cosigned = trusted.cosigned(note).await?;
    let entry = opening.entry().ok_or("what opens the entry of the event cannot be read")?;
    let root = tree::root_of_inclusion(tree::leaf(&entry), index, checkpoint.size, &path);
    if root != Some(checkpoint.root) {
        return Err(
            "the event is not in the log as this proof says: it was changed, or the proof is of another log".to_owned()
        );
    }
    let members = opening.members().ok_or("the event contradicts itself")?;
    let width = members.keys().map(String::len).max().unwrap_or_default();
    let mut text = format!("OK: event {index} of the log {}\n\n", checkpoint.origin);
    for (name, value) in &members {
        text.push_str(&format!("{name:width$}  {}\n", shown(name, value)));
    }
    if !opening.withheld.is_empty() {
        text.push_str(&format!("\n{} more members are withheld.\n", opening.withheld.len()));
    }
    let size = checkpoint.size;
    let key = trusted.key.to_text();
    Ok(text + &format!("\nThe checkpoint covers {size} events and is signed by\n{key}{cosigned}"))
}

/// A member of an event for people. Control characters are shown as JSON has them.
fn shown(name: &str, value: &Value) -> String {
    match (name, value) {
        ("at", value) => value.as_i64().and_then(moment).unwrap_or_else(|| value.to_string()),
        (_, Value::String(text)) if !text.contains(char::is_control) => text.clone(),
        (_, value) => value.to_string(),
    }
}

async fn consistency((old, new): (&str, &str), proof: &str, trusted: &Trusted<'_>) -> Result<String, String> {
    let cosigned = trusted.cosigned(new).await?;
    let (old, new) = (signed(old, trusted).await?, signed(new, trusted).await?);
    let (head, _) = proof.split_once("\n\n").ok_or("this is no proof of consistency")?;
    let lines: Vec<&str> = head.lines().collect();
    let path = match lines.as_slice() {
        [first, path @ ..] if first.strip_prefix("old ").and_then(number) == Some(old.size) => hashes(path),
        _ => return Err(format!("the proof is not from {} events on", old.size)),
    };
    let path = path.ok_or("the hashes of the proof cannot be read")?;
    match tree::is_consistent((old.size, old.root), (new.size, new.root), &path) {
        true => Ok(format!("OK: the first {} of {} events of the log {} are as they were{cosigned}", old.size, new.size, new.origin)),
        false => Err("the new log does not begin with the old one as this proof says: the log was changed, or the proof is of another one".to_owned()),
    }
}
