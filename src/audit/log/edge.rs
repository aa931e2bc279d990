//! The right edge of a tree in tiles: the partial tiles of its size, level by level. All that a log needs to grow, and to know its root.

use super::tree::{self, Hash, WIDTH};
use crate::crypto::{b64, unb64};

/// How many bytes an entry has: a digest, and a day.
pub const ENTRY: usize = 34;
/// How many bytes a hash has.
const HASH: usize = 32;
/// A tree of so many levels has more leaves than can be counted.
const LEVELS: usize = 8;

/// A tile that has become full.
#[derive(Debug, PartialEq, Eq)]
pub struct Tile {
    /// Its level.
    pub level: u32,
    /// Its index within the level.
    pub n: u64,
    /// Entries at level 0, hashes at the others, in base64url.
    pub content: String,
}

/// The partial tiles: entries at level 0, hashes at the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge(Vec<Vec<u8>>);

/// What one place of a tile takes at a level, in bytes.
const fn wide(level: u32) -> usize {
    if level == 0 { ENTRY } else { HASH }
}

/// The hashes of a tile.
pub fn hashes(level: u32, content: &[u8]) -> Vec<Hash> {
    match level {
        0 => content.chunks_exact(ENTRY).map(tree::leaf).collect(),
        _ => content.chunks_exact(HASH).filter_map(|hash| hash.try_into().ok()).collect(),
    }
}

impl Edge {
    /// Reads what is stored of the tree of that size.
    pub fn parse(stored: &str, size: u64) -> Option<Self> {
        let texts: Vec<String> = serde_json::from_str(stored).ok()?;
        let edge = Self(texts.iter().map(|text| unb64(text)).collect::<Option<_>>()?);
        (edge.size() == Some(size)).then_some(edge)
    }

    /// As it is stored.
    pub fn to_text(&self) -> String {
        serde_json::Value::from(self.0.iter().map(b64).collect::<Vec<_>>()).to_string()
    }

    /// How many leaves the tree has: each level has the digit of its size to the base of 256.
    fn size(&self) -> Option<u64> {
        let mut size = 0_u64;
        for (level, content) in (0_u32..).zip(&self.0) {
            let width = content.len().checked_div(wide(level))?;
            if width >= WIDTH || width.checked_mul(wide(level)) != Some(content.len()) || level >= 8 {
                return None;
            }
            let each = 1_u64.checked_shl(level.checked_mul(tree::TILE_HEIGHT)?)?;
            size = size.checked_add(u64::try_from(width).ok()?.checked_mul(each)?)?;
        }
        Some(size)
    }

    /// The partial tile of a level; empty where there is none.
    pub fn content(&self, level: u32) -> &[u8] {
        usize::try_from(level).ok().and_then(|level| self.0.get(level)).map_or(&[], Vec::as_slice)
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let mut below: Option<Hash> = None;
        for (level, content) in (0..).zip(&self.0) {
            let mut hashes = hashes(level, content);
            hashes.extend(below);
            below = (!hashes.is_empty()).then(|| tree::root(&hashes));
        }
        below.unwrap_or_else(tree::empty)
    }

    /// Adds an entry to the tree of that size; the tiles that it fills go to `full`.
    pub fn push(&mut self, size: u64, entry: &[u8; ENTRY], full: &mut Vec<Tile>) {
        let mut piece = entry.to_vec();
        for level in 0_u32..LEVELS as u32 {
            let place = level as usize;
            if self.0.len() <= place {
                self.0.push(Vec::new());
            }
            let Some(content) = self.0.get_mut(place) else { return };
            content.append(&mut piece);
            if content.len() < WIDTH.saturating_mul(wide(level)) {
                return;
            }
            piece = tree::root(&hashes(level, content)).to_vec();
            let n = size >> level.saturating_add(1).saturating_mul(tree::TILE_HEIGHT).min(63);
            full.push(Tile { level, n, content: b64(std::mem::take(content)) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::log::tree::{Subtree, root_at};
    use std::collections::HashMap;

    fn entry(n: u64) -> [u8; ENTRY] {
        let mut entry = [0; ENTRY];
        entry[..8].copy_from_slice(&n.to_be_bytes());
        entry
    }

    #[test]
    fn a_tree_that_grows_by_its_edge_has_the_root_of_all_its_leaves_and_its_tiles_are_those_of_the_definition() {
        let (mut edge, mut full, mut leaves) = (Edge::default(), Vec::new(), Vec::new());
        for n in 0..66_000 {
            edge.push(n, &entry(n), &mut full);
            leaves.push(tree::leaf(&entry(n)));
            let size = n + 1;
            if size < 520 || size % 16_411 == 0 || (65_533..65_540).contains(&size) {
                assert_eq!(edge.root(), tree::root(&leaves), "{size}");
                assert_eq!(Edge::parse(&edge.to_text(), size), Some(edge.clone()));
                assert_eq!(Edge::parse(&edge.to_text(), size + 1), None);
            }
        }
        let tiles: HashMap<_, _> = full
            .iter()
            .map(|tile| ((tile.level, tile.n), hashes(tile.level, &unb64(&tile.content).unwrap())))
            .collect();
        assert_eq!(tiles.len(), full.len());
        assert_eq!((tiles.keys().filter(|(level, _)| *level == 0).count(), tiles.len()), (257, 258));
        for ((level, n), hashes) in &tiles {
            let span = 1 << (8 * level);
            for (i, hash) in (0..).zip(hashes) {
                let first = ((n * 256 + i) * span) as usize;
                assert_eq!(*hash, tree::root(&leaves[first..first + span as usize]), "{level} {n} {i}");
            }
        }
        let mut find = |subtree: Subtree| {
            let (level, n) = subtree.tile();
            let known = tiles.get(&(level, n)).cloned();
            subtree.of_tile(&known.unwrap_or_else(|| hashes(level, edge.content(level))))
        };
        for size in [1, 255, 256, 257, 65_535, 65_536, 65_537, 66_000] {
            assert_eq!(root_at(size, &mut find), Some(tree::root(&leaves[..size as usize])), "{size}");
        }
    }
}
