//! Sinks: a tenant's trail, sent to where its administrator wants it.
//!
//! In scope: the kinds of sinks, one file each, what an event looks like there, and sending. Out of scope: making and changing sinks
//! (`directory::sinks`), the sequence numbers of events.
//!
//! 1. Events are sent at least once and in the order of their sequence numbers: a batch is sent until it is taken, and nothing after it before.
//! 2. A batch is bounded in count and in bytes. One that is refused comes again in halves, down to a single event, which then waits for somebody to mend the
//!    sink, or to go on behind it: nothing is dropped while the retention keeps it (docs/decisions.md 185).
//! 3. A sink that takes nothing is tried after a minute, then after two, four … at most an hour. It keeps no other sink and no event of the trail waiting.
//! 4. What a sink is sent with lies sealed, and no answer shows it.

mod datadog;
mod deliver;
mod elastic;
mod https;
mod kind;
mod ocsf;
mod otlp;
mod s3;
mod splunk;

pub use deliver::{deliver, due, test, wake, waking};
pub use https::SIGNING;
pub use kind::{Secrets, SinkKind, Verdict, problems};

use crate::context::Cx;
use crate::crypto::{Keyring, Secret};
use crate::error::{Fault, Reason, Result};
use crate::model::Sink;
use serde_json::{Map, Value};

/// Every kind.
pub const KINDS: [&SinkKind; 6] = [&https::KIND, &splunk::KIND, &datadog::KIND, &otlp::KIND, &s3::KIND, &elastic::KIND];

/// The kind of that name.
pub fn find(name: &str) -> Option<&'static SinkKind> {
    KINDS.into_iter().find(|kind| kind.name == name)
}

/// The keys that seal what sinks are sent with: those of kept answers, for both belong to administrators.
pub fn ring<'a>(cx: &Cx<'a>) -> Result<&'a Keyring> {
    cx.config.answers().ok_or_else(|| Reason::Conflict.because("this Worker has no key to seal secrets of sinks with"))
}

fn associated(tenant: &str, id: &str) -> String {
    ["sink\0", tenant, "\0", id].concat()
}

/// Seals what a sink is sent with.
pub fn seal(cx: &Cx<'_>, id: &str, secrets: &Secrets) -> Result<String> {
    let members = secrets.iter().map(|(name, secret)| (name.clone(), secret.expose().clone().into()));
    let json = Secret::new(Value::Object(members.collect::<Map<_, _>>()).to_string());
    let sealed = ring(cx)?.seal(&associated(&cx.tenant.id, id), json.expose().as_bytes(), &*cx.world.entropy);
    sealed.ok_or_else(|| Fault::Broken("the secret of a sink cannot be sealed").into())
}

/// What a sink is sent with.
pub fn open(cx: &Cx<'_>, sink: &Sink) -> Result<Secrets> {
    let opened = ring(cx)?.open(&associated(&cx.tenant.id, &sink.id), &sink.sealed);
    let members = opened.and_then(|json| serde_json::from_slice::<Map<String, Value>>(&json).ok());
    let members = members.ok_or(Fault::Broken("the secret of a sink cannot be read"))?;
    Ok(secrets(members))
}

/// The texts of an object as secrets.
pub fn secrets(members: Map<String, Value>) -> Secrets {
    let texts = members.into_iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some((name, Secret::new(text))),
        _ => None,
    });
    texts.collect()
}

/// What a sink is sent with, sealed anew if an older key has sealed it.
pub fn resealed(cx: &Cx<'_>, sink: &Sink) -> Result<Option<String>> {
    let ring = ring(cx)?;
    if ring.is_current(&sink.sealed) {
        return Ok(None);
    }
    Ok(ring.reseal(&associated(&cx.tenant.id, &sink.id), &sink.sealed, &*cx.world.entropy))
}
