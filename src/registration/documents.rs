//! Metadata documents of clients: fetched, validated, and kept by the isolate.
//!
//! 1. JSON with status 200, without a redirect, 5 KB and 10 seconds at the most (`outbound`).
//! 2. Its `client_id` is the URL, byte by byte (draft-ietf-oauth-client-id-metadata-document §4.1). There is no secret in it.
//! 3. It is kept as long as its `Cache-Control` says, within [`LEAST_MILLIS`] and [`MOST_MILLIS`]. A failure is not kept, but for
//!    [`PAUSE_MILLIS`] nothing is fetched again; what was there before is let go.
//! 4. Requests that need one document share one fetch (as key sets do, see `federation`). Of one host, so many documents are fetched in a minute.

use super::metadata::{self, Problem};
use crate::authn::client;
use crate::context::Cx;
use crate::error::{Error, Reason, Result};
use crate::jose::is_strict;
use crate::model::{ClientMetadata, Registration};
use crate::oauth::client_url;
use crate::outbound;
use crate::ports::Now;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// How long a document is kept at the least, and at the most.
const LEAST_MILLIS: u64 = 300_000;
const MOST_MILLIS: u64 = 86_400_000;
const PAUSE_MILLIS: u64 = 5_000;
/// Longer than `outbound` takes: a host that ended the request all the same ends no other.
const ABANDONED_MILLIS: u64 = 15_000;
/// How long a request waits for another one's fetch, and between two looks.
const PATIENCE_MILLIS: u64 = 12_000;
const LOOK_MILLIS: u64 = 100;
/// How many documents of one host are fetched in a minute.
const PER_HOST: u32 = 20;

const SLOT_BYTES: usize = 256;

/// A document as it was fetched.
pub struct Document {
    /// What it says.
    pub metadata: ClientMetadata,
    /// When.
    pub at: Now,
    until: Now,
}

#[derive(Default)]
struct Slot(RefCell<Known>);

#[derive(Default)]
struct Known {
    document: Option<Rc<Document>>,
    /// When the last fetch began, while it goes on.
    begun: Option<Now>,
    failed: Option<(Now, Reason)>,
}

/// The minute of the last fetch, and how many there were in it.
#[derive(Default)]
struct Host(Cell<(i64, u32)>);

enum Next {
    Use(Rc<Document>),
    Fetch,
    Look,
    Fail(Reason),
}

/// The document at that URL. A request that `may_go_on` without one does not wait for another one's fetch.
pub async fn get(cx: &Cx<'_>, url: &str, may_go_on: bool) -> Result<Rc<Document>> {
    let key = ["document ", url].concat();
    let slot: Rc<Slot> = cx.lasting(&key, SLOT_BYTES);
    let mut waited = 0_u64;
    loop {
        let now = Now::from_millis(cx.now.millis().saturating_add(waited));
        match slot.next(now) {
            Next::Use(document) => return Ok(document),
            Next::Look if waited < PATIENCE_MILLIS && !may_go_on => {
                cx.sleep(LOOK_MILLIS).await;
                waited = waited.saturating_add(LOOK_MILLIS);
            }
            Next::Look => return Err(Reason::ClientDocumentUnavailable.because("another request fetches it")),
            Next::Fail(reason) => return Err(reason.because("it has just failed")),
            Next::Fetch => {
                let _held = cx.world.lifetime.hold();
                slot.0.borrow_mut().begun = Some(now);
                let fetched = fetch(cx, url, now).await;
                let mut known = slot.0.borrow_mut();
                *known = Known::default();
                match &fetched {
                    Ok(document) => {
                        known.document = Some(document.clone());
                        let weight = serde_json::to_string(&document.metadata).map_or(0, |json| json.len());
                        cx.reweigh(&key, slot.clone(), weight.saturating_add(SLOT_BYTES));
                    }
                    Err(Error::Refused(refusal)) => known.failed = Some((now, refusal.reason)),
                    Err(_) => {}
                }
                return fetched;
            }
        }
    }
}

impl Slot {
    fn next(&self, now: Now) -> Next {
        let known = self.0.borrow();
        let since = |moment: Now| now.millis().saturating_sub(moment.millis());
        match &*known {
            Known { document: Some(document), .. } if now.millis() < document.until.millis() => {
                Next::Use(document.clone())
            }
            Known { begun: Some(begun), .. } if since(*begun) < ABANDONED_MILLIS => Next::Look,
            Known { failed: Some((at, reason)), .. } if since(*at) < PAUSE_MILLIS => Next::Fail(*reason),
            _ => Next::Fetch,
        }
    }
}

async fn fetch(cx: &Cx<'_>, url: &str, now: Now) -> Result<Rc<Document>> {
    let host: Rc<Host> = cx.lasting(&["documents of ", client_url::host(url)].concat(), SLOT_BYTES);
    let minute = now.seconds().div_euclid(60);
    let count = Some(host.0.get()).filter(|(known, _)| *known == minute).map_or(0, |(_, count)| count);
    if count >= PER_HOST {
        return Err(Reason::ClientDocumentUnavailable.because("its host has served enough of them for a minute"));
    }
    host.0.set((minute, count.saturating_add(1)));
    let (text, cache_control) =
        outbound::get_json(cx, url).await.map_err(|why| Reason::ClientDocumentUnavailable.because(why))?;
    let metadata = read(url, &text).map_err(|why| Reason::ClientDocumentInvalid.because(why))?;
    if let Some(why) = client::problems(cx, &metadata).await?.into_iter().next() {
        return Err(Reason::ClientDocumentInvalid.because(why));
    }
    let until = now.millis().saturating_add(kept_millis(cache_control.as_deref()));
    Ok(Rc::new(Document { metadata, at: now, until: Now::from_millis(until) }))
}

/// For how long a document is kept that came with that header.
fn kept_millis(cache_control: Option<&str>) -> u64 {
    let directives = || cache_control.unwrap_or_default().split(',').map(|one| one.trim().to_ascii_lowercase());
    let refuses = directives().any(|one| one == "no-store" || one == "no-cache");
    let age = directives().find_map(|one| one.strip_prefix("max-age=")?.trim_matches('"').parse::<u64>().ok());
    let age = age.filter(|_| !refuses).unwrap_or_default();
    age.saturating_mul(1_000).clamp(LEAST_MILLIS, MOST_MILLIS)
}

/// What a document says. The error is for the log.
fn read(url: &str, text: &str) -> std::result::Result<ClientMetadata, String> {
    let document = serde_json::from_str(text).ok().filter(|_| is_strict(text.as_bytes()));
    let Some(Value::Object(members)) = document else { return Err("it is no strict JSON object".to_owned()) };
    if members.get("client_id").and_then(Value::as_str) != Some(url) {
        return Err("its `client_id` is not its URL".to_owned());
    }
    metadata::read(&members, Registration::MetadataDocument).map_err(|problem| match problem {
        Problem::RedirectUri(why) | Problem::Metadata(why) => why,
    })
}
