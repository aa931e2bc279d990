//! CBOR (RFC 8949), as far as authenticators write it: the CTAP2 canonical form (CTAP 2.1 §8).
//!
//! 1. Lengths are definite and integers in their shortest form; there are no tags.
//! 2. Four levels at the most, as CTAP2 has it, and 64 members in each array or map.
//! 3. No key is there twice in a map. Keys may come in any order, for clients write attestation objects in orders of their own.

/// The levels of arrays and maps.
const MAX_DEPTH: usize = 4;
/// The members of an array or a map.
const MAX_MEMBERS: u64 = 64;

/// A data item.
#[derive(Debug, PartialEq)]
pub(super) enum Item<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
    /// `false`, `true`, `null`, `undefined` and floating-point numbers: the additional information, and the bits that follow.
    Simple(u8, u64),
}

impl<'a> Item<'a> {
    /// The value of that key, if the item is a map that has it.
    pub fn get(&self, key: &Self) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        members.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The bytes of a byte string.
    pub const fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// The one item that `bytes` are.
pub(super) fn whole(bytes: &[u8]) -> Option<Item<'_>> {
    let (item, rest) = first(bytes)?;
    rest.is_empty().then_some(item)
}

/// The item at the beginning of `bytes`, and what follows it.
pub(super) fn first(bytes: &[u8]) -> Option<(Item<'_>, &[u8])> {
    item(bytes, MAX_DEPTH)
}

fn item(bytes: &[u8], depth: usize) -> Option<(Item<'_>, &[u8])> {
    let (initial, rest) = bytes.split_first()?;
    let (major, info) = (initial >> 5, initial & 0x1f);
    let (width, least) = match info {
        0..=23 => (0, 0),
        24 => (1, 24),
        25 => (2, 1 << 8),
        26 => (4, 1 << 16),
        27 => (8, 1 << 32),
        _ => return None,
    };
    let (digits, rest) = rest.split_at_checked(width)?;
    let number = digits.iter().fold(0_u64, |number, byte| number.wrapping_shl(8) | u64::from(*byte));
    let argument = if width == 0 { info.into() } else { number };
    if major == 7 {
        return matches!(info, 20..=23 | 25..=27).then_some((Item::Simple(info, number), rest));
    }
    if argument < least {
        return None;
    }
    let text = || rest.split_at_checked(usize::try_from(argument).ok()?);
    match major {
        0 => Some((Item::Int(argument.try_into().ok()?), rest)),
        // The complement of `n` is `-1 - n`.
        1 => Some((Item::Int(!i64::try_from(argument).ok()?), rest)),
        2 => text().map(|(bytes, rest)| (Item::Bytes(bytes), rest)),
        3 => text().and_then(|(bytes, rest)| Some((Item::Text(str::from_utf8(bytes).ok()?), rest))),
        4 => array(rest, argument, depth),
        5 => map(rest, argument, depth),
        _ => None,
    }
}

fn array(mut rest: &[u8], count: u64, depth: usize) -> Option<(Item<'_>, &[u8])> {
    let (depth, count) = inside(depth, count)?;
    let mut members = Vec::new();
    for _ in 0..count {
        let (member, after) = item(rest, depth)?;
        members.push(member);
        rest = after;
    }
    Some((Item::Array(members), rest))
}

fn map(mut rest: &[u8], count: u64, depth: usize) -> Option<(Item<'_>, &[u8])> {
    let (depth, count) = inside(depth, count)?;
    let mut members: Vec<(Item<'_>, Item<'_>)> = Vec::new();
    for _ in 0..count {
        let (key, after) = item(rest, depth)?;
        let (value, after) = item(after, depth)?;
        if members.iter().any(|(known, _)| *known == key) {
            return None;
        }
        members.push((key, value));
        rest = after;
    }
    Some((Item::Map(members), rest))
}

/// The depth that is left inside, and the members, if both are within their bounds.
fn inside(depth: usize, count: u64) -> Option<(usize, u64)> {
    Some((depth.checked_sub(1)?, Some(count).filter(|count| *count <= MAX_MEMBERS)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_authenticators_write_is_read_and_what_follows_is_left() {
        let (item, rest) = first(b"\xa3\x01\x20\x63abc\x42\x01\x02\x03\x82\xf5\xf6rest").unwrap();
        assert_eq!(item.get(&Item::Int(1)), Some(&Item::Int(-1)));
        assert_eq!(item.get(&Item::Text("abc")).unwrap().bytes(), Some(&[1, 2][..]));
        assert_eq!(item.get(&Item::Int(3)), Some(&Item::Array(vec![Item::Simple(21, 0), Item::Simple(22, 0)])));
        assert_eq!((item.get(&Item::Int(2)), Item::Int(1).get(&Item::Int(1))), (None, None));
        assert_eq!(rest, b"rest");
        assert!(whole(b"\xf5rest").is_none() && whole(b"\xf5").is_some());
    }

    #[test]
    fn integers_are_those_of_rfc_8949_appendix_a() {
        for (bytes, number) in [
            (&b"\x00"[..], 0),
            (b"\x17", 23),
            (b"\x18\x18", 24),
            (b"\x19\x03\xe8", 1000),
            (b"\x1a\x00\x0f\x42\x40", 1_000_000),
            (b"\x1b\x00\x00\x00\xe8\xd4\xa5\x10\x00", 1_000_000_000_000),
            (b"\x20", -1),
            (b"\x38\x63", -100),
            (b"\x39\x03\xe7", -1000),
            (b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MIN),
        ] {
            assert_eq!(whole(bytes), Some(Item::Int(number)), "{number}");
        }
        assert_eq!(whole(b"\x1b\x80\x00\x00\x00\x00\x00\x00\x00"), None, "beyond what is looked at");
    }

    #[test]
    fn other_encodings_of_the_same_item_are_refused() {
        for bad in [
            &b"\x18\x17"[..],
            b"\x19\x00\xff",
            b"\x1a\x00\x00\xff\xff",
            b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
            b"\x58\x01a",
            b"\x5f\x41a\xff",
            b"\x7f\x61a\xff",
            b"\x9f\x01\xff",
            b"\xbf\x01\x02\xff",
            b"\xc0\x61a",
            b"\x1c",
            b"\xf8\x20",
            b"\xf0",
            b"\xff",
            b"\x61\xff",
        ] {
            assert_eq!(whole(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn floating_point_numbers_and_undefined_are_read_over() {
        for fine in [&b"\xf7"[..], b"\xf9\x3c\x00", b"\xfa\x47\xc3\x50\x00", b"\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a"] {
            assert!(matches!(whole(fine), Some(Item::Simple(..))), "{fine:?}");
        }
    }

    #[test]
    fn a_key_is_there_once_and_in_any_order() {
        assert!(whole(b"\xa2\x02\x00\x01\x00").is_some());
        assert_eq!(whole(b"\xa2\x01\x00\x01\x00"), None);
        assert_eq!(whole(b"\xa2\x61a\x00\x61a\x01"), None);
    }

    #[test]
    fn depth_and_members_are_bounded() {
        let nested = |levels: usize| [vec![0x81; levels], vec![0]].concat();
        assert!(whole(&nested(4)).is_some() && whole(&nested(5)).is_none());
        let maps = |levels: usize| [[0xa1, 0].repeat(levels), vec![0]].concat();
        assert!(whole(&maps(4)).is_some() && whole(&maps(5)).is_none());
        let wide = |count: u8| [vec![0x98, count], vec![0; count.into()]].concat();
        assert!(whole(&wide(64)).is_some() && whole(&wide(65)).is_none());
        assert_eq!(whole(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    }

    #[test]
    fn no_beginning_of_an_item_is_an_item() {
        let item = b"\xa4\x01\x20\x63abc\x42\x01\x02\x03\x82\xf5\xf6\x19\x03\xe8\xfa\x47\xc3\x50\x00";
        assert!(whole(item).is_some());
        for end in 0..item.len() {
            assert_eq!(whole(&item[..end]), None, "{end}");
        }
    }
}
