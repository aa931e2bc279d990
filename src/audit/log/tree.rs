//! The Merkle tree of a log (RFC 6962 §2.1) in tiles of 256 (C2SP tlog-tiles): roots, and proofs made and checked.
//!
//! In scope: hashes. Out of scope: where they lie, and what an entry is.
//!
//! 1. A perfect subtree has a height and an index: it covers the leaves from `index << height` on. All hashes that a proof takes are
//!    those of perfect subtrees, or made of them.
//! 2. A tile of level `l` has 256 subtrees of height `8 l`. A partial tile is the beginning of the full one.

use crate::crypto::{Digest, sha256};

/// A node of the tree.
pub type Hash = [u8; 32];

/// How many hashes a full tile has.
pub const WIDTH: usize = 256;
/// By how many bits the index of a tile is shorter than that of what is in it.
pub const TILE_HEIGHT: u32 = 8;

/// The hash of a leaf.
pub fn leaf(entry: &[u8]) -> Hash {
    bytes(sha256([&[0], entry].concat()))
}

/// The hash of an inner node.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    bytes(sha256([&[1], &left[..], &right[..]].concat()))
}

const fn bytes(digest: Digest) -> Hash {
    *digest.bytes()
}

/// The root of the tree without leaves.
pub fn empty() -> Hash {
    bytes(sha256([]))
}

/// The root over subtrees of one height, the last of which may be smaller.
pub fn root(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => empty(),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(split(many.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The largest power of two below `count`, which is two at least.
fn split(count: usize) -> usize {
    usize::try_from(below(u64::try_from(count).unwrap_or(u64::MAX))).unwrap_or(usize::MAX)
}

const fn below(count: u64) -> u64 {
    match count.saturating_sub(1).checked_ilog2() {
        Some(height) => 1 << height,
        None => 0,
    }
}

/// A perfect subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// It covers `2^height` leaves.
    pub height: u32,
    /// How many of its height stand before it.
    pub index: u64,
}

impl Subtree {
    /// The tile that has its hash, or what it is made of: level, and index in the level.
    pub const fn tile(self) -> (u32, u64) {
        let level = self.height / TILE_HEIGHT;
        let within = TILE_HEIGHT.saturating_sub(self.height % TILE_HEIGHT);
        (level, self.index >> within)
    }

    /// Its hash, from the hashes of its tile.
    pub fn of_tile(self, hashes: &[Hash]) -> Option<Hash> {
        let within = self.height % TILE_HEIGHT;
        let first = usize::try_from((self.index << within) % 256).ok()?;
        Some(root(hashes.get(first..first.checked_add(1 << within)?)?))
    }
}

/// Finds the hash of a perfect subtree.
pub type Find<'a> = dyn FnMut(Subtree) -> Option<Hash> + 'a;

/// The hash over the leaves from `from` to before `to`, as they stand in a tree.
fn range(from: u64, to: u64, find: &mut Find<'_>) -> Option<Hash> {
    let count = to.checked_sub(from).filter(|count| *count > 0)?;
    if count.is_power_of_two() {
        let height = count.trailing_zeros();
        return find(Subtree { height, index: from >> height });
    }
    let middle = from.checked_add(below(count))?;
    Some(node(&range(from, middle, find)?, &range(middle, to, find)?))
}

/// The root of the tree of that size.
pub fn root_at(size: u64, find: &mut Find<'_>) -> Option<Hash> {
    if size == 0 { Some(empty()) } else { range(0, size, find) }
}

/// The audit path of a leaf in the tree of that size, from its sibling up (RFC 6962 §2.1.1).
pub fn inclusion(index: u64, size: u64, find: &mut Find<'_>) -> Option<Vec<Hash>> {
    let (mut from, mut to, mut path) = (0_u64, Some(size).filter(|size| index < *size)?, Vec::new());
    while to.checked_sub(from)? > 1 {
        let middle = from.checked_add(below(to.checked_sub(from)?))?;
        if index < middle {
            path.push(range(middle, to, find)?);
            to = middle;
        } else {
            path.push(range(from, middle, find)?);
            from = middle;
        }
    }
    path.reverse();
    Some(path)
}

/// The consistency proof between the trees of two sizes (RFC 6962 §2.1.2).
pub fn consistency(first: u64, second: u64, find: &mut Find<'_>) -> Option<Vec<Hash>> {
    if first > second {
        return None;
    }
    if first == 0 || first == second {
        return Some(Vec::new());
    }
    let (mut from, mut to, mut path, mut is_whole) = (0_u64, second, Vec::new(), true);
    while first != to {
        let middle = from.checked_add(below(to.checked_sub(from)?))?;
        if first <= middle {
            path.push(range(middle, to, find)?);
            to = middle;
        } else {
            path.push(range(from, middle, find)?);
            from = middle;
            is_whole = false;
        }
    }
    // The first tree itself is left out where it is a subtree of the second: who verifies has it.
    if !is_whole {
        path.push(range(from, to, find)?);
    }
    path.reverse();
    Some(path)
}

/// The root that follows from a leaf, its index and its audit path (RFC 9162 §2.1.3.2).
pub fn root_of_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    let (mut position, mut last, mut hash) = (index, size.checked_sub(1).filter(|last| index <= *last)?, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if position % 2 == 1 || position == last {
            hash = node(sibling, &hash);
            while position % 2 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Whether the second tree has the first one as its beginning (RFC 9162 §2.1.4.2).
pub fn is_consistent((first, old): (u64, Hash), (second, new): (u64, Hash), path: &[Hash]) -> bool {
    if first == second {
        return old == new && path.is_empty();
    }
    if first == 0 {
        return old == empty() && path.is_empty();
    }
    roots_of_consistency(first, second, old, path) == Some((old, new))
}

fn roots_of_consistency(first: u64, second: u64, old: Hash, path: &[Hash]) -> Option<(Hash, Hash)> {
    let (mut position, mut last) = (first.checked_sub(1)?, second.checked_sub(1)?);
    if first > second {
        return None;
    }
    let mut path = path.iter();
    let start = if first.is_power_of_two() { old } else { *path.next()? };
    while position % 2 == 1 {
        position >>= 1;
        last >>= 1;
    }
    let (mut before, mut after) = (start, start);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if position % 2 == 1 || position == last {
            before = node(sibling, &before);
            after = node(sibling, &after);
            while position % 2 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            after = node(&after, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    (last == 0).then_some((before, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962 §2.1 word by word.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => empty(),
            1 => leaves[0],
            n => {
                let k = (0..).map(|bits| 1_usize << bits).take_while(|k| *k < n).last().unwrap();
                node(&naive(&leaves[..k]), &naive(&leaves[k..]))
            }
        }
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf(&n.to_be_bytes())).collect()
    }

    fn finder(leaves: &[Hash]) -> impl FnMut(Subtree) -> Option<Hash> {
        |Subtree { height, index }| {
            let first = usize::try_from(index << height).unwrap();
            Some(naive(leaves.get(first..first.checked_add(1 << height)?)?))
        }
    }

    #[test]
    fn the_root_of_every_prefix_is_that_of_the_definition() {
        let all = leaves(300);
        for size in 0..=300 {
            let wanted = naive(&all[..size]);
            assert_eq!(root(&all[..size]), wanted);
            assert_eq!(root_at(size as u64, &mut finder(&all)), Some(wanted));
        }
    }

    #[test]
    fn every_inclusion_proof_holds_and_none_for_another_leaf_index_size_or_path() {
        let all = leaves(70);
        for size in 1..=70_u64 {
            let wanted = naive(&all[..size as usize]);
            for index in 0..size {
                let path = inclusion(index, size, &mut finder(&all)).unwrap();
                let leaf = all[index as usize];
                assert_eq!(root_of_inclusion(leaf, index, size, &path), Some(wanted));
                assert_ne!(root_of_inclusion(node(&leaf, &leaf), index, size, &path), Some(wanted));
                assert!(
                    (0..size)
                        .filter(|other| *other != index)
                        .all(|other| { root_of_inclusion(leaf, other, size, &path) != Some(wanted) })
                );
                if let Some((_, short)) = path.split_last() {
                    assert_ne!(root_of_inclusion(leaf, index, size, short), Some(wanted));
                }
                assert_eq!(root_of_inclusion(leaf, index, size, &[&path[..], &[wanted]].concat()), None);
            }
            assert_eq!(inclusion(size, size, &mut finder(&all)), None);
        }
    }

    #[test]
    fn every_consistency_proof_holds_and_none_for_another_root_or_path() {
        let all = leaves(70);
        for second in 0..=70_u64 {
            let new = naive(&all[..second as usize]);
            for first in 0..=second {
                let old = naive(&all[..first as usize]);
                let path = consistency(first, second, &mut finder(&all)).unwrap();
                assert!(is_consistent((first, old), (second, new), &path), "{first} {second}");
                let other = leaf(b"another");
                assert!(!is_consistent((first, other), (second, new), &path), "{first} {second}");
                assert!(!is_consistent((first, old), (second, other), &path) || first == 0, "{first} {second}");
                assert!(!is_consistent((first, old), (second, new), &[&path[..], &[other]].concat()));
            }
            assert_eq!(consistency(second + 1, second, &mut finder(&all)), None);
        }
    }

    #[test]
    fn a_subtree_lies_in_the_tile_of_its_level() {
        assert_eq!(Subtree { height: 0, index: 1_000 }.tile(), (0, 3));
        assert_eq!(Subtree { height: 3, index: 33 }.tile(), (0, 1));
        assert_eq!(Subtree { height: 8, index: 300 }.tile(), (1, 1));
        let tile: Vec<Hash> = leaves(1_024)[256..512].to_vec();
        assert_eq!(Subtree { height: 3, index: 33 }.of_tile(&tile), Some(naive(&tile[8..16])));
        assert_eq!(Subtree { height: 3, index: 33 }.of_tile(&tile[..10]), None);
    }
}
