//! From indices to checkpoints: the tree grows by the entries that have an index, and its root is signed.
//!
//! 1. A checkpoint is signed only as the successor of the one before it: that one has to carry our signature, and the edge from which the
//!    tree grows has to have its root. So whoever changes tiles or checkpoints in the database gets no signature for them.
//!    One that is older than what the cron has seen gets no successor either.
//! 2. The entries that follow have to be there without a gap.
//! 3. Of two that sign at once, one moves the log on; the other looks again. Whatever fails leaves the log as it was, and the next run goes on.
//!    A run follows each batch of events, a request for the checkpoint of a log that is behind, and each minute (docs/decisions.md).

use super::edge::{ENTRY, Edge};
use super::entry::{self, Opening};
use super::keys::{self, LogKey};
use super::note::Checkpoint;
use super::problem::Problem;
use crate::context::Cx;
use crate::crypto::{b64, unb64};
use crate::error::{Error, Fault, Result};
use crate::store::{self, log::Head};
use serde_json::{Map, Value, json};

/// How many entries one pass takes.
const ENTRIES: i64 = 2_048;
/// How many passes a run makes at most.
const PASSES: usize = 10;
/// How many events without an index one pass gives one.
const PLACED: i64 = 200;

/// Signs a checkpoint for all events that have an index; a problem where the log is not what was signed.
pub async fn publish(cx: &Cx<'_>) -> Result<Option<Problem>> {
    for _ in 0..PASSES {
        let tenant = &cx.tenant.id;
        let (heads, entries) =
            cx.trail().batch((store::log::head(tenant), store::log::unsigned(tenant, ENTRIES))).await?;
        let Some(head) = heads.into_iter().next().filter(|head| head.signed < head.size) else { return Ok(None) };
        let Some(key) = keys::get(cx).await? else { return Ok(None) };
        let seen = cx.one(store::log::watch(tenant)).await?.map_or(0, |watch| watch.seen_size);
        if head.signed < seen {
            return Ok(Some(Problem::RolledBack));
        }
        let mut edge = match edge_of(cx, &key, &head).await? {
            Ok(edge) => edge,
            Err(problem) => return Ok(Some(problem)),
        };
        let mut size = u64::try_from(head.signed).unwrap_or_default();
        let mut full = Vec::new();
        for (seq, text) in &entries {
            let entry = unb64(text).and_then(|bytes| <[u8; ENTRY]>::try_from(bytes).ok());
            let Some(entry) = entry.filter(|_| u64::try_from(*seq).ok() == Some(size)) else { break };
            edge.push(size, &entry, &mut full);
            size = size.saturating_add(1);
        }
        let signed = i64::try_from(size).unwrap_or(i64::MAX);
        // What was read is one moment of the database: all entries up to its size are there.
        if signed != head.size.min(head.signed.saturating_add(ENTRIES)) {
            return Ok(Some(Problem::Missing(size)));
        }
        let text = Checkpoint { origin: key.vkey.name.clone(), size, root: edge.root() }.to_text();
        let checkpoint = key.sign(cx, &text).await?;
        let next = Head { size: head.size, signed, edge: edge.to_text(), checkpoint };
        let mut statements = vec![store::log::sign(tenant, head.signed, &next, cx.now.seconds())];
        statements.extend(full.iter().map(|tile| {
            store::log::add_tile(tenant, tile.level, i64::try_from(tile.n).unwrap_or(i64::MAX), &tile.content)
        }));
        cx.trail().run(statements).await?;
    }
    Ok(None)
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

/// Gives events an index that were kept without one, by the version before this.
pub async fn place(cx: &Cx<'_>) -> Result<()> {
    let tenant = &cx.tenant.id;
    for _ in 0..PASSES {
        let unplaced = (store::log::unplaced(tenant, PLACED), store::log::head(tenant));
        let (events, heads) = cx.trail().batch(unplaced).await?;
        if events.is_empty() {
            return Ok(());
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
        cx.trail().run(vec![store::log::begin(tenant), grow(), place, grow()]).await?;
    }
    Ok(())
}
