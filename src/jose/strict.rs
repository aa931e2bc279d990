//! JSON that says one thing: no member twice in an object, bounded depth. `serde_json` keeps the last of two members,
//! other parsers the first, and a token that means two things is an attack.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::fmt;

const MAX_DEPTH: usize = 16;

/// Whether `json` is one JSON value in which no object has a member twice and nothing nests deeper than 16 levels.
pub fn is_strict(json: &[u8]) -> bool {
    let mut parser = serde_json::Deserializer::from_slice(json);
    Level(MAX_DEPTH).visit(&mut parser).is_ok() && parser.end().is_ok()
}

/// The members of a JSON object that is strict in the sense of [`is_strict`].
pub fn object(json: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(json).ok().filter(|_| is_strict(json))
}

struct Level(usize);

impl Level {
    fn visit<'de, D: Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }

    fn deeper<E: Error>(&self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Level {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        self.visit(parser)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated members")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self.deeper()?)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(Name(name)) = members.next_key()? {
            if !seen.insert(name) {
                return Err(A::Error::custom("repeated member"));
            }
            members.next_value_seed(self.deeper()?)?;
        }
        Ok(())
    }
}

struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(parser: D) -> Result<Self, D::Error> {
        String::deserialize(parser).map(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::is_strict;

    #[test]
    fn repeated_members_are_seen_at_every_level_and_through_escapes() {
        assert!(is_strict(br#"{"a":{"b":[1,{"c":null,"d":1.5}]},"b":true}"#));
        for bad in [r#"{"a":1,"a":2}"#, r#"{"x":{"a":1,"\u0061":2}}"#, r#"[{"a":1,"a":1}]"#, "{} {}", "{", ""] {
            assert!(!is_strict(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(is_strict(nested(16).as_bytes()));
        assert!(!is_strict(nested(18).as_bytes()));
    }
}
