//! The entry of an event in its log: salted commitments to each of its members, and its day.
//!
//! In scope: what of an event enters the tree, and what opens it. Out of scope: the tree.
//!
//! 1. Each member of the stored event is a disclosure as in RFC 9901 §4.2.1: base64url over `[salt, name, value]`, the value in the form of
//!    RFC 8785. Its digest is SHA-256 over that text (§4.2.3). No list says which members are personal: all of them are committed to in the
//!    same way, also those of later versions.
//! 2. The entry is SHA-256 over all digests in their order as bytes, and then the day of the event, as days since 1970 in two bytes. So what
//!    is published tells how many events a day had, and nothing of them.
//! 3. A member can be withheld from a proof, or erased with its salt: its digest stays, and the entry is the same.

use super::edge::ENTRY;
use crate::crypto::{Digest, HmacKey, b64, sha256, unb64};
use crate::ports::Entropy;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What is hashed before the digests.
const DOMAIN: &[u8] = b"writ event v1\n";
/// How many bytes the salt of an event and of a member has.
const SALT: usize = 16;
const DAY_MILLIS: u64 = 86_400_000;

/// What opens an entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Opening {
    /// The members that are shown.
    pub disclosures: Vec<String>,
    /// The digests of the others, in base64url.
    pub withheld: Vec<String>,
    /// The day of the event, as days since 1970.
    pub day: u16,
}

/// A salt for a new event.
pub fn salt(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; SALT];
    entropy.fill(&mut bytes);
    b64(bytes)
}

/// The members of a stored event.
pub fn members(body: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(body.as_bytes()).ok()
}

/// The day of a moment in milliseconds since the epoch.
pub fn day(millis: u64) -> u16 {
    u16::try_from(millis.checked_div(DAY_MILLIS).unwrap_or_default()).unwrap_or(u16::MAX)
}

impl Opening {
    /// What opens a stored event with its salt; nothing where they are not what was stored. Of an event with erased members, the salt is an
    /// object with the salts of those that are left, the digests of the others, and the day.
    pub fn of(body: &str, salt: &str) -> Option<Self> {
        Self::of_members(&members(body)?, salt)
    }

    /// The same of an event with these members.
    pub fn of_members(members: &Map<String, Value>, salt: &str) -> Option<Self> {
        let is_whole = !salt.starts_with('{');
        let kept: Value = if is_whole { Value::Null } else { serde_json::from_slice(salt.as_bytes()).ok()? };
        let seed = if is_whole { unb64(salt).filter(|seed| seed.len() == SALT)? } else { Vec::new() };
        let seed = HmacKey::new(&seed)?;
        let mut opening = Self::default();
        for (name, value) in members {
            let salt = match is_whole {
                true => salt_of(&seed, name)?,
                false => kept.get("salts")?.get(name)?.as_str()?.to_owned(),
            };
            opening.disclosures.push(disclosure(&salt, name, value)?);
        }
        if !is_whole {
            let withheld = kept.get("withheld")?.as_array()?;
            opening.withheld = withheld.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<_>>()?;
        }
        let erased = || kept.get("day").and_then(Value::as_u64).and_then(|day| u16::try_from(day).ok());
        opening.day = members.get("at").and_then(Value::as_u64).map(day).or_else(erased)?;
        Some(opening)
    }

    /// The entry.
    pub fn entry(&self) -> Option<[u8; ENTRY]> {
        let withheld = self.withheld.iter().map(|digest| Digest::from_text(digest));
        let shown = self.disclosures.iter().map(|one| Some(sha256(one)));
        let mut digests = shown.chain(withheld).map(|digest| Some(*digest?.bytes())).collect::<Option<Vec<_>>>()?;
        digests.sort_unstable();
        let digest = sha256([DOMAIN, digests.as_flattened()].concat());
        let mut entry = [0; ENTRY];
        let (hash, day) = entry.split_at_mut(32);
        hash.copy_from_slice(digest.bytes());
        day.copy_from_slice(&self.day.to_be_bytes());
        Some(entry)
    }

    /// Withholds the members with these names.
    pub fn withhold(&mut self, names: &[&str]) {
        let (hidden, shown) = std::mem::take(&mut self.disclosures)
            .into_iter()
            .partition(|one| read(one).is_some_and(|(name, _)| names.contains(&&*name)));
        let hidden: Vec<String> = hidden;
        self.disclosures = shown;
        self.withheld.extend(hidden.iter().map(|one| sha256(one).to_text()));
    }

    /// As it stands in a proof.
    pub fn to_json(&self) -> Value {
        json!({"day": self.day, "disclosures": self.disclosures, "withheld": self.withheld})
    }

    /// Reads what stands in a proof.
    pub fn from_json(value: &Value) -> Option<Self> {
        let texts = |name: &str| {
            let list = value.get(name)?.as_array()?;
            list.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        };
        let day = u16::try_from(value.get("day")?.as_u64()?).ok()?;
        Some(Self { disclosures: texts("disclosures")?, withheld: texts("withheld")?, day })
    }

    /// The members that are shown; nothing where one cannot be read, comes twice, or is not of the day.
    pub fn members(&self) -> Option<Map<String, Value>> {
        let mut members = Map::new();
        for one in &self.disclosures {
            let (name, value) = read(one)?;
            if members.insert(name, value).is_some() {
                return None;
            }
        }
        let of_day = members.get("at").is_none_or(|at| at.as_u64().map(day) == Some(self.day));
        of_day.then_some(members)
    }
}

/// Takes members out of a stored event, with what salts them: body and salt as they are stored from then on.
pub fn erase(body: &str, salt: &str, names: &[&str]) -> Option<(String, String)> {
    let mut opening = Opening::of(body, salt)?;
    opening.withhold(names);
    let salts: Map<String, Value> = opening
        .disclosures
        .iter()
        .map(|one| parts(one).map(|(salt, name, _)| (name, salt.into())))
        .collect::<Option<_>>()?;
    let mut members = members(body)?;
    members.retain(|name, _| !names.contains(&&**name));
    let salt = json!({"salts": salts, "withheld": opening.withheld, "day": opening.day});
    Some((Value::Object(members).to_string(), salt.to_string()))
}

fn salt_of(seed: &HmacKey, name: &str) -> Option<String> {
    seed.mac(name).expose().get(..SALT).map(b64)
}

fn disclosure(salt: &str, name: &str, value: &Value) -> Option<String> {
    let mut text = vec![b'['];
    write(salt, &mut text)?;
    text.push(b',');
    write(name, &mut text)?;
    text.push(b',');
    canonical(value, &mut text)?;
    text.push(b']');
    Some(b64(text))
}

fn parts(disclosure: &str) -> Option<(String, String, Value)> {
    let Value::Array(parts) = serde_json::from_slice(&unb64(disclosure)?).ok()? else { return None };
    let [Value::String(salt), Value::String(name), value] = <[Value; 3]>::try_from(parts).ok()? else { return None };
    Some((salt, name, value))
}

fn read(disclosure: &str) -> Option<(String, Value)> {
    parts(disclosure).map(|(_, name, value)| (name, value))
}

/// JSON as RFC 8785 has it, of what events have: names are ASCII, numbers whole.
fn canonical(value: &Value, text: &mut Vec<u8>) -> Option<()> {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| name.as_str());
            text.push(b'{');
            for (n, (name, value)) in members.into_iter().enumerate() {
                if n > 0 {
                    text.push(b',');
                }
                write(name, text)?;
                text.push(b':');
                canonical(value, text)?;
            }
            text.push(b'}');
        }
        Value::Array(items) => {
            text.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    text.push(b',');
                }
                canonical(item, text)?;
            }
            text.push(b']');
        }
        plain => write(plain, text)?,
    }
    Some(())
}

fn write(value: &(impl Serialize + ?Sized), text: &mut Vec<u8>) -> Option<()> {
    serde_json::to_writer(text, value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"id":"01x","tenant":"main","at":1767700800000,"type":"token.issued","subject":"user_1","ip":"192.0.2.1","scope_refused":[{"scope":"a","because":"ceiling"}]}"#;

    fn seed(byte: u8) -> String {
        b64([byte; SALT])
    }

    #[test]
    fn an_entry_is_of_its_event_and_its_salt_alone() {
        let entry = |body: &str, byte| Opening::of(body, &seed(byte)).unwrap().entry().unwrap();
        let first = entry(BODY, 1);
        assert_eq!(first, entry(BODY, 1));
        assert_ne!(first, entry(BODY, 2));
        assert_ne!(first, entry(&BODY.replace("user_1", "user_2"), 1));
        assert_ne!(first[..32], entry(&BODY.replace("1767700800000", "1767700800001"), 1)[..32]);
        assert_eq!(first[32..], 20_459_u16.to_be_bytes());
        let reordered = r#"{"scope_refused":[{"because":"ceiling","scope":"a"}],"tenant":"main","at":1767700800000,"type":"token.issued","subject":"user_1","ip":"192.0.2.1","id":"01x"}"#;
        assert_eq!(first, entry(reordered, 1), "the order of members is not of the event");
    }

    #[test]
    fn a_disclosure_is_that_of_rfc_9901() {
        let disclosure = disclosure("_26bc4LT-ac6q2KI6cBW5es", "family_name", &"Möbius".into()).unwrap();
        // RFC 9901 §4.2.1 has blanks between the elements, which this form has not.
        assert_eq!(
            parts(&disclosure).unwrap(),
            ("_26bc4LT-ac6q2KI6cBW5es".to_owned(), "family_name".to_owned(), "Möbius".into())
        );
        assert_eq!(unb64(&disclosure).unwrap(), r#"["_26bc4LT-ac6q2KI6cBW5es","family_name","Möbius"]"#.as_bytes());
    }

    #[test]
    fn what_is_withheld_or_erased_leaves_the_entry_as_it_is_and_is_not_in_the_rest() {
        let whole = Opening::of(BODY, &seed(1)).unwrap();
        let mut part = whole.clone();
        part.withhold(&["subject", "ip"]);
        assert_eq!((part.entry(), part.disclosures.len(), part.withheld.len()), (whole.entry(), 5, 2));
        let members = part.members().unwrap();
        assert!(!members.contains_key("ip") && members["id"] == "01x");
        assert_eq!(Opening::from_json(&part.to_json()), Some(part));

        let (body, salt) = erase(BODY, &seed(1), &["subject", "ip"]).unwrap();
        assert!(!body.contains("user_1") && !salt.contains(&seed(1)));
        assert_eq!(Opening::of(&body, &salt).unwrap().entry(), whole.entry());
        let (body, salt) = erase(&body, &salt, &["at"]).unwrap();
        assert_eq!(Opening::of(&body, &salt).unwrap().entry(), whole.entry());
    }

    #[test]
    fn an_opening_with_another_day_or_a_member_twice_says_nothing() {
        let mut opening = Opening::of(BODY, &seed(1)).unwrap();
        opening.day += 1;
        assert_eq!(opening.members(), None);
        let mut opening = Opening::of(BODY, &seed(1)).unwrap();
        opening.disclosures.push(opening.disclosures[0].clone());
        assert_eq!(opening.members(), None);
    }
}
