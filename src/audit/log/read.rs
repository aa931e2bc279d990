//! Tiles and proofs, for who does not trust the database (C2SP tlog-tiles, tlog-proof).
//!
//! 1. All of an answer is of one size of the tree: that of the newest checkpoint, or of one before it that witnesses have cosigned.
//! 2. A proof is made in two passes: the first finds which tiles it needs, the second reads them.

use super::cosigned;
use super::edge::{ENTRY, Edge, hashes};
use super::entry::Opening;
use super::tree::{self, Find, Hash, Subtree, TILE_HEIGHT, WIDTH};
use crate::context::Cx;
use crate::crypto::{b64_std, unb64};
use crate::error::{Fault, Reason, Result};
use crate::store::{self, log::Head, log::Placed};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The first line of a proof.
pub const PROOF: &str = "c2sp.org/tlog-proof@v1";

/// The tiles of a log as far as they were loaded, at the size of its newest checkpoint.
pub struct Tiles {
    /// How many leaves the tree has.
    pub size: u64,
    /// The newest checkpoint.
    pub checkpoint: String,
    edge: Edge,
    full: BTreeMap<(u32, u64), Vec<u8>>,
}

/// The index of the partial tile of a level in the tree of that size.
fn edge_index(level: u32, size: u64) -> u64 {
    let height = level.saturating_add(1).saturating_mul(TILE_HEIGHT);
    size.checked_shr(height).unwrap_or_default()
}

impl Tiles {
    /// The log of the tenant, once it has a checkpoint.
    pub async fn open(cx: &Cx<'_>) -> Result<Option<Self>> {
        let Some(head) = cx.trail().one(store::log::head(&cx.tenant.id)).await? else { return Ok(None) };
        if head.checkpoint.is_empty() {
            return Ok(None);
        }
        Self::of(head).map(Some).ok_or_else(|| Fault::Broken("the edge of a log cannot be read").into())
    }

    /// The log whose head this is; nothing where it cannot be read.
    pub fn of(head: Head) -> Option<Self> {
        let size = u64::try_from(head.signed).ok()?;
        let edge = Edge::parse(&head.edge, size)?;
        Some(Self { size, checkpoint: head.checkpoint, edge, full: BTreeMap::new() })
    }

    /// The root that the edge has.
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Whether a tile is full.
    pub fn is_full(&self, level: u32, n: u64) -> bool {
        n < edge_index(level, self.size)
    }

    /// Reads full tiles that are among these.
    pub async fn load(&mut self, cx: &Cx<'_>, places: &BTreeSet<(u32, u64)>) -> Result<()> {
        let wanted: Vec<_> = places.iter().filter(|(level, n)| self.is_full(*level, *n)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        for (level, n, content) in cx.trail().all(store::log::tiles(&cx.tenant.id, json!(wanted).to_string())).await? {
            let place = (u32::try_from(level).unwrap_or(u32::MAX), u64::try_from(n).unwrap_or(u64::MAX));
            self.full.extend(unb64(&content).map(|content| (place, content)));
        }
        Ok(())
    }

    /// What a tile has that was loaded, or is partial: entries at level 0, hashes at the others.
    pub fn content(&self, level: u32, n: u64) -> Option<&[u8]> {
        match n == edge_index(level, self.size) {
            true => Some(self.edge.content(level)),
            false => self.full.get(&(level, n)).map(Vec::as_slice),
        }
    }

    fn find(&self, subtree: Subtree) -> Option<Hash> {
        let (level, n) = subtree.tile();
        subtree.of_tile(&hashes(level, self.content(level, n)?))
    }

    /// What `make` makes of the hashes of the tree.
    pub async fn hash<T>(&mut self, cx: &Cx<'_>, make: impl Fn(&mut Find<'_>) -> Option<T>) -> Result<Option<T>> {
        let mut places = BTreeSet::new();
        drop(make(&mut |subtree| {
            places.insert(subtree.tile());
            Some(Hash::default())
        }));
        self.load(cx, &places).await?;
        Ok(make(&mut |subtree| self.find(subtree)))
    }
}

impl Tiles {
    /// Of the checkpoints that cover more than `index` entries, the one that most witnesses have cosigned, the newest of these: its size, and the
    /// checkpoint with its cosignatures. One that the log does not continue proves nothing.
    pub async fn cosigned(&mut self, cx: &Cx<'_>, index: u64) -> Result<Option<(u64, String)>> {
        for one in cosigned::all(cx).await? {
            let size = one.checkpoint.size;
            if size <= index || size > self.size {
                continue;
            }
            if self.hash(cx, |find| tree::root_at(size, find)).await? == Some(one.checkpoint.root) {
                return Ok(Some((size, one.note)));
            }
        }
        Ok(None)
    }
}

/// Which tile is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The level; nothing for entries.
    pub level: Option<u32>,
    /// The index within the level.
    pub n: u64,
    /// The width of a partial tile; nothing for a full one.
    pub width: Option<usize>,
}

impl Asked {
    /// Reads the path below `tile/`: `L/x001/234[.p/W]`, or `entries/…`.
    pub fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.split_once('/')?;
        let level = match level {
            "entries" => None,
            level => Some(u32::try_from(super::note::number(level)?).ok().filter(|level| *level < 64)?),
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, Some(usize::try_from(super::note::number(width)?).ok()?)),
            None => (rest, None),
        };
        let groups: Vec<&str> = index.split('/').collect();
        let (last, first) = groups.split_last()?;
        let mut n = 0_u64;
        for digits in first.iter().map(|group| group.strip_prefix('x')).chain([Some(*last)]) {
            let digits = digits.filter(|digits| digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()))?;
            n = n.checked_mul(1_000)?.checked_add(digits.parse().ok()?)?;
        }
        let sound = width.is_none_or(|width| (1..WIDTH).contains(&width)) && first.first() != Some(&"x000");
        sound.then_some(Self { level, n, width })
    }
}

/// The bytes of a tile; nothing where the newest checkpoint has no such tile.
pub async fn tile(cx: &Cx<'_>, asked: Asked) -> Result<Option<Vec<u8>>> {
    let Some(mut tiles) = Tiles::open(cx).await? else { return Ok(None) };
    let level = asked.level.unwrap_or(0);
    let is_full = tiles.is_full(level, asked.n);
    if asked.n > edge_index(level, tiles.size) || (asked.width.is_none() && !is_full) {
        return Ok(None);
    }
    tiles.load(cx, &BTreeSet::from([(level, asked.n)])).await?;
    let Some(content) = tiles.content(level, asked.n) else {
        return Err(Fault::Broken("a tile is gone").into());
    };
    // A partial tile is the beginning of the full one, whatever came after it.
    let width = asked.width.unwrap_or(WIDTH);
    Ok(match asked.level {
        None => content.get(..width.saturating_mul(ENTRY)).map(|entries| {
            let length = u16::try_from(ENTRY).unwrap_or_default().to_be_bytes();
            entries.chunks_exact(ENTRY).flat_map(|entry| [&length, entry].concat()).collect()
        }),
        Some(_) => hashes(level, content).get(..width).map(|hashes| hashes.as_flattened().to_vec()),
    })
}

/// The proof that an event is in the log (C2SP tlog-proof), with what opens its entry as extra data. Its checkpoint is the one that most witnesses
/// have cosigned.
pub async fn proof(cx: &Cx<'_>, event: &Placed, withheld: &[&str]) -> Result<String> {
    let not_yet = || Reason::Conflict.because("no checkpoint covers the event yet: ask again in a few seconds");
    let (Some(seq), Some(salt)) = (event.seq.and_then(|seq| u64::try_from(seq).ok()), &event.salt) else {
        return Err(not_yet());
    };
    let mut tiles = Tiles::open(cx).await?.filter(|tiles| seq < tiles.size).ok_or_else(not_yet)?;
    let mut opening = Opening::of(&event.body, salt).ok_or(Fault::Broken("an event does not open its entry"))?;
    opening.withhold(withheld);
    let (size, checkpoint) = match tiles.cosigned(cx, seq).await? {
        Some(cosigned) => cosigned,
        None => (tiles.size, tiles.checkpoint.clone()),
    };
    let path = tiles.hash(cx, |find| tree::inclusion(seq, size, find)).await?;
    let path = path.ok_or(Fault::Broken("a tile of the log is gone"))?;
    let extra = b64_std(opening.to_json().to_string());
    Ok(format!("{PROOF}\nextra {extra}\nindex {seq}\n{}\n{checkpoint}", lines(&path)))
}

/// The proof that the tree of one size is the beginning of that of another, as a request to a witness has it (C2SP tlog-witness): the
/// newest checkpoint follows where it is of the second size.
pub async fn consistency(cx: &Cx<'_>, first: u64, second: Option<u64>) -> Result<String> {
    let mut tiles = Tiles::open(cx).await?.ok_or(Reason::NotFound)?;
    let second = second.unwrap_or(tiles.size);
    if first > second || second > tiles.size {
        return Err(Reason::NotFound.into());
    }
    let path = tiles.hash(cx, |find| tree::consistency(first, second, find)).await?;
    let path = path.ok_or(Fault::Broken("a tile of the log is gone"))?;
    let checkpoint = if second == tiles.size { &*tiles.checkpoint } else { "" };
    Ok(format!("old {first}\n{}\n{checkpoint}", lines(&path)))
}

/// Hashes, a line each.
pub fn lines(path: &[Hash]) -> String {
    path.iter().map(|hash| b64_std(hash) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_tile_is_that_of_the_specification_and_no_other() {
        let asked = |level, n, width| Some(Asked { level, n, width });
        assert_eq!(Asked::parse("0/x001/x234/067"), asked(Some(0), 1_234_067, None));
        assert_eq!(Asked::parse("63/000"), asked(Some(63), 0, None));
        assert_eq!(Asked::parse("2/017.p/255"), asked(Some(2), 17, Some(255)));
        assert_eq!(Asked::parse("entries/x001/000.p/1"), asked(None, 1_000, Some(1)));
        for bad in [
            "",
            "0",
            "0/",
            "0/1",
            "0/0001",
            "00/000",
            "64/000",
            "-1/000",
            "0/x001",
            "0/x1/000",
            "0/001/000",
            "0/x000/001",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/",
            "0/000.p/01",
            "0/000.p",
            "0/000/",
            "entry/000",
            "0/00a",
            "0/+01",
        ] {
            assert_eq!(Asked::parse(bad), None, "{bad}");
        }
        assert_eq!(Asked::parse(&format!("0/{}", "x999/".repeat(7) + "999")), None, "beyond all numbers");
    }
}
