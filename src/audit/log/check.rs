//! Whether the events in the database are those of the tree.
//!
//! 1. A tile is right if its parent has its hash; the top is the edge, which has the root of the newest checkpoint, which the log's key signed. An
//!    event is right if it opens the entry at its index, and if what it has no more was erased by an administrator.
//! 2. An event may be gone if its day is one up to which events were forgotten; its day is in its entry. What was forgotten is noted in the
//!    other database, before it goes.
//! 3. The newest checkpoint follows the one that was noted last, which is kept in the other database too: a database that was set back
//!    is found.
//! 4. An event is found by what it says: its columns, and those in its chain, are what the one function makes of it that writes them ([`columns`]).
//! 5. No event has an index that the log has not. Events that wait for a checkpoint are told, and that none can be made.
//! 6. A check is bounded: it goes on where the last one ended.

use super::columns;
use super::edge::{ENTRY, hashes};
use super::entry::{self, Opening};
use super::erasing;
use super::problem::Problem;
use super::read::Tiles;
use super::tree::{self, TILE_HEIGHT, WIDTH};
use super::{keys, publish};
use crate::context::Cx;
use crate::crypto::b64;
use crate::error::Result;
use crate::ports::Now;
use crate::store::{self, log::Head, log::Stored, log::Watch};
use std::collections::{BTreeMap, BTreeSet};

/// How long an event waits for a checkpoint at most where it can be made, in milliseconds: far longer than a run of the cron takes to come round.
const LATE_MILLIS: i64 = 180_000;
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
    /// How many events wait for a checkpoint.
    pub waiting: u64,
    /// When the first of them happened, in milliseconds.
    pub waiting_since: Option<i64>,
    /// What is wrong, the first of it.
    pub problems: Vec<Problem>,
}

impl Report {
    fn note(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(problem);
        }
    }

    /// Whether events have waited for so long that a checkpoint which could not be made just now is more than a hitch.
    pub fn is_late(&self, now: Now) -> bool {
        let now = i64::try_from(now.millis()).unwrap_or(i64::MAX);
        self.waiting_since.is_some_and(|since| since.saturating_add(LATE_MILLIS) < now)
    }
}

/// Has a checkpoint made, and checks the head of the log, and the events of some tiles from an index on.
pub async fn check(cx: &Cx<'_>, from: u64, tiles: u64) -> Result<Report> {
    let placed = publish::place(cx).await;
    let published = match publish::publish(cx).await {
        Ok(None) => placed,
        other => other,
    };
    let watch = cx.one(store::log::watch(&cx.tenant.id)).await?.unwrap_or_default();
    let (mut report, _) = examine(cx, &watch, from, tiles).await?;
    match published {
        Ok(Some(problem)) if !report.problems.contains(&problem) => report.note(problem),
        Err(_) if report.is_late(cx.now) => report.note(Problem::Stalled),
        _ => {}
    }
    Ok(report)
}

/// The cron's part: checks the head and the next tiles, and remembers how far it came.
pub async fn watch(cx: &Cx<'_>, tiles: u64) -> Result<Report> {
    let tenant = &cx.tenant.id;
    let watch = cx.one(store::log::watch(tenant)).await?.unwrap_or_default();
    let from = u64::try_from(watch.checked).unwrap_or_default();
    let (report, root) = examine(cx, &watch, from, tiles).await?;
    let is_ours = !report.problems.iter().any(|problem| problem.is_of_head());
    if let (true, Some(root)) = (is_ours, root) {
        let to = if report.to >= report.size { 0 } else { report.to };
        let size = i64::try_from(report.size).unwrap_or(i64::MAX);
        // Of a log that a Worker of before has signed.
        let key = keys::get(cx).await?.filter(|_| size > watch.seen_size);
        let note = key.map(|key| store::log::note(tenant, &watch, (size, &root), key.jwk()));
        let went = store::log::go_on(tenant, watch.checked, i64::try_from(to).unwrap_or_default());
        cx.run(note.into_iter().chain([went]).collect()).await?;
    }
    Ok(report)
}

async fn examine(cx: &Cx<'_>, watch: &Watch, from: u64, count: u64) -> Result<(Report, Option<String>)> {
    let from = from >> TILE_HEIGHT << TILE_HEIGHT;
    let mut report = Report { from, to: from, forgotten_until: watch.forgotten, ..Report::default() };
    let tenant = &cx.tenant.id;
    let all = (store::log::head(tenant), store::log::outside(tenant), store::log::waiting_since(tenant));
    let (heads, outside, since) = cx.trail().batch(all).await?;
    report.waiting_since = since.first().copied();
    let Some(head) = heads.into_iter().next() else {
        if watch.seen_size > 0 {
            report.note(Problem::RolledBack);
        }
        outside.into_iter().for_each(|seq| report.note(Problem::Outside(seq)));
        return Ok((report, None));
    };
    report.waiting = u64::try_from(head.size.saturating_sub(head.signed)).unwrap_or_default();
    let root = examine_log(cx, watch, head, count, &mut report).await?;
    outside.into_iter().for_each(|seq| report.note(Problem::Outside(seq)));
    Ok((report, root))
}

/// Checks the head and the tiles of a log that has begun; the root of its newest checkpoint, where that holds.
async fn examine_log(
    cx: &Cx<'_>,
    watch: &Watch,
    head: Head,
    count: u64,
    report: &mut Report,
) -> Result<Option<String>> {
    let Some(key) = keys::get(cx).await? else { return Ok(None) };
    let edge = match publish::edge_of(cx, &key, &head).await? {
        Ok(edge) => edge,
        Err(problem) => {
            report.note(problem);
            return Ok(None);
        }
    };
    if !publish::follows(cx, &head, &edge, watch).await? {
        report.note(Problem::RolledBack);
    }
    let Some(mut tiles) = Tiles::of(head) else { return Ok(None) };
    report.size = tiles.size;
    let from = report.from;
    let (first, width) = (from >> TILE_HEIGHT, u64::try_from(WIDTH).unwrap_or(u64::MAX));
    for n in first..first.saturating_add(count) {
        let start = n.saturating_mul(width);
        let end = start.saturating_add(width).min(tiles.size);
        if start >= end {
            break;
        }
        examine_tile(cx, &mut tiles, n, report).await?;
        report.to = end;
    }
    Ok(Some(b64(tiles.root())))
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
    let tenant = &cx.tenant.id;
    let both = (store::log::between(tenant, from, to), store::events::actors(tenant, from, to));
    let (events, chains) = cx.trail().batch(both).await?;
    let mut actors: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (id, actor) in chains {
        actors.entry(id).or_default().insert(actor);
    }
    let lacks_chain =
        |event: &Stored| event.placed.body.contains("\"chain\":") && !actors.contains_key(&event.columns.id);
    if u64::try_from(events.len()) != Ok(end.saturating_sub(start)) || events.iter().any(lacks_chain) {
        // Another run may have forgotten some meanwhile, and has noted that before.
        let watch = cx.one(store::log::watch(tenant)).await?;
        report.forgotten_until = watch.map_or(report.forgotten_until, |watch| watch.forgotten);
    }
    let events: BTreeMap<u64, Stored> =
        events.into_iter().filter_map(|event| Some((u64::try_from(event.placed.seq?).ok()?, event))).collect();
    for (seq, entry) in (start..end).zip(content.chunks_exact(ENTRY)) {
        let is_old = day_of(entry) <= report.forgotten_until;
        match events.get(&seq) {
            Some(event) => {
                let found = actors.remove(&event.columns.id).unwrap_or_default();
                let problem = match is_whole(cx, event).await? {
                    true => examine_event(tenant, event, entry, (&found, is_old)),
                    false => Some(Problem::Changed as fn(u64) -> Problem),
                };
                problem.into_iter().for_each(|problem| report.note(problem(seq)));
            }
            None if is_old => report.forgotten = report.forgotten.saturating_add(1),
            None => report.note(Problem::Missing(seq)),
        }
    }
    Ok(())
}

/// Whether an event is whole, or what is gone of it was erased here.
async fn is_whole(cx: &Cx<'_>, event: &Stored) -> Result<bool> {
    let salt = event.placed.salt.as_deref().unwrap_or_default();
    erasing::is_whole_or_signed(cx, &event.placed.body, salt).await
}

/// What is wrong with an event, with who is known to stand in its chain, and whether it is old enough for them to be forgotten.
fn examine_event(
    tenant: &str,
    event: &Stored,
    entry: &[u8],
    (found, is_old): (&BTreeSet<String>, bool),
) -> Option<fn(u64) -> Problem> {
    let Some(members) = entry::members(&event.placed.body) else { return Some(Problem::Changed) };
    let opening = Opening::of_members(&members, event.placed.salt.as_deref().unwrap_or_default());
    if opening.and_then(|opening| opening.entry()).is_none_or(|opened| opened[..] != *entry) {
        return Some(Problem::Changed);
    }
    let actors: BTreeSet<&str> = columns::actors(&members).collect();
    let is_found = match found.is_empty() && is_old {
        true => true,
        false => found.iter().map(String::as_str).eq(actors),
    };
    (!is_found || !columns::agree(tenant, event, &members)).then_some(Problem::Columns)
}

fn day_of(entry: &[u8]) -> i64 {
    match entry.last_chunk::<2>() {
        Some(day) => u16::from_be_bytes(*day).into(),
        None => i64::MAX,
    }
}
