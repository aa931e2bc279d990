//! Whether the events in the database are those of the tree.
//!
//! 1. A tile is right if its parent has its hash; the top is the edge, which has the root of the newest checkpoint, which the log's key signed. An
//!    event is right if it opens the entry at its index, and if what it has no more was erased by an administrator.
//! 2. An event may be gone if its day is one up to which events were forgotten; its day is in its entry. What was forgotten is noted in the
//!    other database, before it goes.
//! 3. The newest checkpoint follows the one that the cron saw last, which is kept in the other database too: a database that was set back
//!    is found.
//! 4. A check is bounded: it goes on where the last one ended.

use super::edge::{ENTRY, hashes};
use super::entry::Opening;
use super::erasing;
use super::problem::Problem;
use super::read::Tiles;
use super::tree::{self, TILE_HEIGHT, WIDTH};
use super::{keys, publish};
use crate::context::Cx;
use crate::crypto::b64;
use crate::error::Result;
use crate::store::{self, log::Placed, log::Watch};
use std::collections::{BTreeMap, BTreeSet};

/// How many tiles of events one run of the cron checks.
const WATCHED: u64 = 1;
/// How many problems a check names at most.
const PROBLEMS: usize = 50;

/// What a check has found.
#[derive(Debug, Default)]
pub struct Report {
    /// How many events the newest checkpoint covers.
    pub size: u64,
    /// From which index on it has checked, and before which it has ended.
    pub from: u64,
    /// See [`Self::from`].
    pub to: u64,
    /// How many of these events have been forgotten.
    pub forgotten: u64,
    /// Up to which day events may be forgotten, as days since 1970.
    pub forgotten_until: i64,
    /// What is wrong, the first of it.
    pub problems: Vec<Problem>,
}

impl Report {
    fn note(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(problem);
        }
    }
}

/// Checks the head of the log, and the events of some tiles from an index on.
pub async fn check(cx: &Cx<'_>, from: u64, tiles: u64) -> Result<Report> {
    let watch = cx.one(store::log::watch(&cx.tenant.id)).await?.unwrap_or_default();
    let (report, _) = examine(cx, &watch, from, tiles).await?;
    Ok(report)
}

/// The cron's part: checks the head and the next tile, and remembers how far it came.
pub async fn watch(cx: &Cx<'_>) -> Result<Option<Problem>> {
    let watch = cx.one(store::log::watch(&cx.tenant.id)).await?.unwrap_or_default();
    let from = u64::try_from(watch.checked).unwrap_or_default();
    let (report, root) = examine(cx, &watch, from, WATCHED).await?;
    let is_ours = !report.problems.iter().any(|problem| problem.seq().is_none());
    if let (true, Some(root)) = (is_ours, root) {
        let to = if report.to >= report.size { 0 } else { report.to };
        let seen = Watch {
            seen_size: i64::try_from(report.size).unwrap_or(i64::MAX),
            seen_root: root,
            checked: i64::try_from(to).unwrap_or_default(),
            forgotten: watch.forgotten,
        };
        cx.run(vec![store::log::see(&cx.tenant.id, watch.seen_size, &seen)]).await?;
    }
    Ok(report.problems.first().copied())
}

async fn examine(cx: &Cx<'_>, watch: &Watch, from: u64, count: u64) -> Result<(Report, Option<String>)> {
    let from = from >> TILE_HEIGHT << TILE_HEIGHT;
    let mut report = Report { from, to: from, forgotten_until: watch.forgotten, ..Report::default() };
    let seen = u64::try_from(watch.seen_size).unwrap_or_default();
    let Some(head) = cx.trail().one(store::log::head(&cx.tenant.id)).await? else {
        if seen > 0 {
            report.note(Problem::RolledBack);
        }
        return Ok((report, None));
    };
    let Some(key) = keys::get(cx).await? else { return Ok((report, None)) };
    if let Err(problem) = publish::edge_of(cx, &key, &head).await? {
        report.note(problem);
        return Ok((report, None));
    }
    let Some(mut tiles) = Tiles::of(head) else { return Ok((report, None)) };
    report.size = tiles.size;
    let old = match seen > tiles.size {
        true => None,
        false => tiles.hash(cx, |find| tree::root_at(seen, find)).await?,
    };
    if seen > 0 && old.map(b64).as_deref() != Some(&*watch.seen_root) {
        report.note(Problem::RolledBack);
    }
    let (first, width) = (from >> TILE_HEIGHT, u64::try_from(WIDTH).unwrap_or(u64::MAX));
    for n in first..first.saturating_add(count) {
        let start = n.saturating_mul(width);
        let end = start.saturating_add(width).min(tiles.size);
        if start >= end {
            break;
        }
        examine_tile(cx, &mut tiles, n, &mut report).await?;
        report.to = end;
    }
    Ok((report, Some(b64(tiles.root()))))
}

async fn examine_tile(cx: &Cx<'_>, tiles: &mut Tiles, n: u64, report: &mut Report) -> Result<()> {
    let mut place = (0_u32, n);
    let mut places = BTreeSet::from([place]);
    while tiles.is_full(place.0, place.1) {
        place = (place.0.saturating_add(1), place.1 >> TILE_HEIGHT);
        places.insert(place);
    }
    tiles.load(cx, &places).await?;
    let start = n << TILE_HEIGHT;
    let is_right = |(level, n): &(u32, u64)| {
        let parent = level.saturating_add(1);
        let hash = tiles.content(*level, *n).filter(|content| !content.is_empty());
        let hash = hash.map(|content| tree::root(&hashes(*level, content)));
        let above = tiles.content(parent, n >> TILE_HEIGHT).map(|content| hashes(parent, content));
        let wanted = above.and_then(|above| above.get(usize::try_from(n % 256).ok()?).copied());
        !tiles.is_full(*level, *n) || (hash.is_some() && hash == wanted)
    };
    let content = tiles.content(0, n).filter(|_| places.iter().all(is_right));
    let Some(content) = content else {
        report.note(Problem::Tile(start));
        return Ok(());
    };
    let end = start.saturating_add(256).min(tiles.size);
    let (from, to) = (i64::try_from(start).unwrap_or(i64::MAX), i64::try_from(end).unwrap_or(i64::MAX));
    let events = cx.trail().all(store::log::between(&cx.tenant.id, from, to)).await?;
    let events: BTreeMap<u64, Placed> =
        events.into_iter().filter_map(|event| Some((u64::try_from(event.seq?).ok()?, event))).collect();
    if u64::try_from(events.len()) != Ok(end.saturating_sub(start)) {
        // Another run may have forgotten some meanwhile, and has noted that before.
        let watch = cx.one(store::log::watch(&cx.tenant.id)).await?;
        report.forgotten_until = watch.map_or(report.forgotten_until, |watch| watch.forgotten);
    }
    for (seq, entry) in (start..end).zip(content.chunks_exact(ENTRY)) {
        match events.get(&seq) {
            Some(event) if opens(event, entry) && is_whole(cx, event).await? => {}
            Some(_) => report.note(Problem::Changed(seq)),
            None if day_of(entry) <= report.forgotten_until => report.forgotten = report.forgotten.saturating_add(1),
            None => report.note(Problem::Missing(seq)),
        }
    }
    Ok(())
}

async fn is_whole(cx: &Cx<'_>, event: &Placed) -> Result<bool> {
    erasing::is_whole_or_signed(cx, &event.body, event.salt.as_deref().unwrap_or_default()).await
}

fn opens(event: &Placed, entry: &[u8]) -> bool {
    let opening = event.salt.as_deref().and_then(|salt| Opening::of(&event.body, salt));
    opening.and_then(|opening| opening.entry()).is_some_and(|opened| opened[..] == *entry)
}

fn day_of(entry: &[u8]) -> i64 {
    match entry.last_chunk::<2>() {
        Some(day) => u16::from_be_bytes(*day).into(),
        None => i64::MAX,
    }
}
