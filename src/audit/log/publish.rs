//! From indices to checkpoints: the tree grows by the entries that have an index, and its root is signed.
//!
//! 1. A checkpoint is signed only as the successor of the one before it: that one has to carry our signature, and the edge from which the
//!    tree grows has to have its root. So whoever changes tiles or checkpoints in the database gets no signature for them.
//! 2. Size and root of each checkpoint are noted in the other database before anybody can have it, each as the successor of the one that was noted before: so a
//!    database that was set back gets no second history signed. Where a run ended in between, the next one has to come to the same root.
//! 3. The entries that follow have to be there without a gap.
//! 4. Of two that sign at once, one moves the log on; the other looks again. Whatever fails leaves the log as it was, and the next run goes on.
//!    A run follows each batch of events, a request for the checkpoint of a log that is behind, and each minute (docs/decisions.md).
//! 5. A log that does not move although its checkpoint was written is reported: something in its database keeps it.

use super::edge::{ENTRY, Edge, Tile};
use super::entry::{self, Opening};
use super::keys::{self, LogKey};
use super::note::Checkpoint;
use super::problem::Problem;
use super::read::Tiles;
use super::tree::{self, Hash};
use crate::context::Cx;
use crate::crypto::{b64, unb64};
use crate::error::{Error, Fault, Result};
use crate::store::{self, log::Head, log::Watch};
use serde_json::{Map, Value, json};

/// How many entries one pass takes.
const ENTRIES: i64 = 2_048;
/// How many passes a run makes at most.
const PASSES: usize = 10;
/// How many events without an index one pass gives one.
const PLACED: i64 = 200;

/// Signs a checkpoint for all events that have an index; a problem where the log is not what was signed.
pub async fn publish(cx: &Cx<'_>) -> Result<Option<Problem>> {
    let tenant = &cx.tenant.id;
    for _ in 0..PASSES {
        // Before the log: what is noted then is no more than the log can come to.
        let noted = cx.one(store::log::watch(tenant)).await?.unwrap_or_default();
        let (heads, entries) =
            cx.trail().batch((store::log::head(tenant), store::log::unsigned(tenant, ENTRIES))).await?;
        let Some(head) = heads.into_iter().next().filter(|head| head.signed < head.size) else { return Ok(None) };
        let Some(key) = keys::get(cx).await? else { return Ok(None) };
        let edge = match edge_of(cx, &key, &head).await? {
            Ok(edge) => edge,
            Err(problem) => return Ok(Some(problem)),
        };
        let is_noted = match noted.seen_size <= head.signed {
            true => has_root(cx, &head, &edge, &noted).await?,
            false => false,
        };
        let grown = grow(edge, head.signed, &entries, noted.seen_size);
        let (signed, size) = (grown.size, u64::try_from(grown.size).unwrap_or_default());
        // What was read is one moment of the database: all entries up to its size are there.
        if signed != head.size.min(head.signed.saturating_add(ENTRIES)) {
            return Ok(Some(Problem::Missing(size)));
        }
        // One that is noted and not written yet comes out again.
        if !is_noted && grown.passed.map(b64).as_deref() != Some(&*noted.seen_root) {
            return Ok(Some(Problem::RolledBack));
        }
        let root = grown.edge.root();
        let text = Checkpoint { origin: key.vkey.name.clone(), size, root }.to_text();
        let checkpoint = key.sign(cx, &text).await?;
        let note = store::log::note(tenant, &noted, (signed, &b64(root)), key.jwk());
        if cx.run(vec![note]).await?.first() == Some(&0) {
            // Another was first.
            continue;
        }
        let next = Head { size: head.size, signed, edge: grown.edge.to_text(), checkpoint };
        let mut statements = vec![store::log::sign(tenant, head.signed, &next, cx.now.seconds())];
        statements.extend(grown.full.iter().map(|tile| {
            store::log::add_tile(tenant, tile.level, i64::try_from(tile.n).unwrap_or(i64::MAX), &tile.content)
        }));
        let (_, heads) = cx.trail().run_then(statements, store::log::head(tenant)).await?;
        match heads.first().filter(|now| now.signed < now.size) {
            None => return Ok(None),
            Some(now) if now.signed == head.signed => return Ok(Some(Problem::Stalled)),
            // There were more, or have come meanwhile.
            Some(_) => {}
        }
    }
    Ok(None)
}

/// A tree that has grown.
struct Grown {
    edge: Edge,
    size: i64,
    /// The tiles that have become full.
    full: Vec<Tile>,
    /// The root when it had the size that was asked for.
    passed: Option<Hash>,
}

/// Grows a tree of a size by the entries that follow without a gap.
fn grow(edge: Edge, size: i64, entries: &[(i64, String)], past: i64) -> Grown {
    let mut grown = Grown { edge, size, full: Vec::new(), passed: None };
    for (seq, text) in entries {
        let entry = unb64(text).and_then(|bytes| <[u8; ENTRY]>::try_from(bytes).ok());
        let Some(entry) = entry.filter(|_| *seq == grown.size) else { break };
        grown.edge.push(u64::try_from(grown.size).unwrap_or_default(), &entry, &mut grown.full);
        grown.size = grown.size.saturating_add(1);
        if grown.size == past {
            grown.passed = Some(grown.edge.root());
        }
    }
    grown
}

/// Whether a log has what was noted of it, which is not beyond its newest checkpoint.
async fn has_root(cx: &Cx<'_>, head: &Head, edge: &Edge, noted: &Watch) -> Result<bool> {
    let root = match (noted.seen_size, noted.seen_size == head.signed) {
        (0, _) => return Ok(true),
        (_, true) => Some(edge.root()),
        (size, false) => match Tiles::of(head.clone()) {
            Some(mut tiles) => tiles.hash(cx, |find| tree::root_at(u64::try_from(size).ok()?, find)).await?,
            None => None,
        },
    };
    Ok(root.map(b64).as_deref() == Some(&*noted.seen_root))
}

/// Whether a log follows what was noted of it. What is noted can be a little beyond the newest checkpoint, while that is being written.
pub async fn follows(cx: &Cx<'_>, head: &Head, edge: &Edge, noted: &Watch) -> Result<bool> {
    if noted.seen_size <= head.signed {
        return has_root(cx, head, edge, noted).await;
    }
    let entries = cx.trail().all(store::log::entries(&cx.tenant.id, head.signed, ENTRIES)).await?;
    let grown = grow(edge.clone(), head.signed, &entries, noted.seen_size);
    Ok(grown.passed.map(b64).as_deref() == Some(&*noted.seen_root))
}

/// The edge of a log whose checkpoint is ours and has the root of the edge.
pub async fn edge_of(cx: &Cx<'_>, key: &LogKey, head: &Head) -> Result<std::result::Result<Edge, Problem>> {
    let size = u64::try_from(head.signed).unwrap_or_default();
    let Some(edge) = Edge::parse(&head.edge, size) else { return Ok(Err(Problem::Edge)) };
    if size == 0 && head.checkpoint.is_empty() {
        return Ok(Ok(edge));
    }
    let wanted = Checkpoint { origin: key.vkey.name.clone(), size, root: edge.root() };
    if Checkpoint::parse(&head.checkpoint).is_none_or(|said| said != wanted) {
        return Ok(Err(Problem::Edge));
    }
    match key.has_signed(cx, &head.checkpoint).await? {
        true => Ok(Ok(edge)),
        false => Ok(Err(Problem::Signature)),
    }
}

/// Gives events an index that were kept without one, by the version before this; a problem where something keeps them from it.
pub async fn place(cx: &Cx<'_>) -> Result<Option<Problem>> {
    let tenant = &cx.tenant.id;
    let mut placed = 0_u64;
    for _ in 0..PASSES {
        let unplaced = (store::log::unplaced(tenant, PLACED), store::log::head(tenant));
        let (events, heads) = cx.trail().batch(unplaced).await?;
        if events.is_empty() {
            return Ok(None);
        }
        let mut rows = Map::new();
        for (n, (id, body)) in events.iter().enumerate() {
            let salt = entry::salt(&*cx.world.entropy);
            let entry = Opening::of(body, &salt).and_then(|opening| opening.entry());
            let entry = entry.ok_or_else(|| Error::from(Fault::Broken("a stored event has no entry")))?;
            rows.insert(id.clone(), json!([n, salt, b64(entry)]));
        }
        let size = heads.first().map_or(0, |head| head.size);
        let place = store::log::place(tenant, size, Value::Object(rows).to_string());
        let grow = || store::log::grow(tenant);
        let changes = cx.trail().run(vec![store::log::begin(tenant), grow(), place, grow()]).await?;
        placed = placed.saturating_add(changes.get(2).copied().unwrap_or_default());
    }
    // Others keep events meanwhile, but not in each of the passes.
    Ok((placed == 0).then_some(Problem::Stalled))
}
