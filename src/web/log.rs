//! `/t/{tenant}/log/…`: the log of a tenant for anybody: checkpoint, tiles, key and consistency proofs (C2SP tlog-tiles).
//!
//! 1. Nothing here tells what an event says: entries are digests and days.
//! 2. A tile never changes, nor does a partial one: what it has is the beginning of the full one. A checkpoint does.

use super::{Call, Response};
use crate::audit::log;
use crate::audit::log::note::number;
use crate::audit::log::read::{self, Asked, Tiles};
use crate::error::{Reason, Result};

/// The media type of checkpoints, keys and proofs.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// The media type of tiles.
pub const BYTES: &str = "application/octet-stream";
/// What a request for a consistency proof may say.
pub const SIZES: &[&str] = &["first", "second"];

const LASTING: &str = "public, max-age=31536000, immutable";

fn text(body: String, caching: &'static str) -> Response {
    Response { body, ..Response::empty(200) }.with("content-type", TEXT).with("cache-control", caching)
}

/// Answers the newest checkpoint. Where events wait for one, it is made first.
pub async fn checkpoint(Call { cx, .. }: Call<'_>) -> Result<Response> {
    if let Err(error) = log::publish::publish(cx).await {
        // The one before it still holds. Where the log is broken, the cron raises the alarm, so that nobody's requests write anything.
        cx.world.log.line(&format!("the log of {}: {error}", cx.tenant.id));
    }
    let tiles = Tiles::open(cx).await?.ok_or(Reason::NotFound)?;
    Ok(text(log::cosigned::of(cx, &tiles.checkpoint).await?, "public, max-age=1"))
}

/// Answers the checkpoint that most witnesses have cosigned, the newest of these.
pub async fn cosigned(Call { cx, .. }: Call<'_>) -> Result<Response> {
    let mut tiles = Tiles::open(cx).await?.ok_or(Reason::NotFound)?;
    match tiles.cosigned(cx, 0).await? {
        Some((_, note)) => Ok(text(note, "public, max-age=1")),
        None => Err(Reason::NotFound.because("no witness has cosigned a checkpoint of this log yet")),
    }
}

/// Answers the key that verifies checkpoints.
pub async fn key(Call { cx, .. }: Call<'_>) -> Result<Response> {
    let key = log::keys::get(cx).await?.ok_or(Reason::NotFound)?;
    Ok(text(key.vkey.to_text() + "\n", "public, max-age=300"))
}

/// Answers a tile, or the entries of one.
pub async fn tile(Call { cx, request, .. }: Call<'_>) -> Result<Response> {
    let prefix = format!("/t/{}/log/tile/", cx.tenant.id);
    let asked = request.path.strip_prefix(&prefix).and_then(Asked::parse).ok_or(Reason::NotFound)?;
    let bytes = read::tile(cx, asked).await?.ok_or(Reason::NotFound)?;
    Ok(Response { bytes, ..Response::empty(200) }.with("content-type", BYTES).with("cache-control", LASTING))
}

/// Answers the proof that the tree of one size is the beginning of that of another.
pub async fn consistency(Call { cx, request, .. }: Call<'_>) -> Result<Response> {
    let wrong = || {
        Reason::InvalidQuery
            .because("`first` and `second` must be sizes of the tree; the newest is the second unless it is said")
    };
    let (mut first, mut second) = (None, None);
    for (name, value) in form_urlencoded::parse(request.query.as_bytes()) {
        let size = Some(number(&value).ok_or_else(wrong)?);
        match &*name {
            "first" => first = size,
            "second" => second = size,
            _ => return Err(wrong()),
        }
    }
    let proof = read::consistency(cx, first.ok_or_else(wrong)?, second).await?;
    Ok(text(proof, if second.is_some() { LASTING } else { "no-store" }))
}
