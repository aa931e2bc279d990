//! What a browser keeps for us between two pages: the request on which a person decides, a sign-in that is under way.
//!
//! 1. It is sealed under the name of what it is, and of its tenant: nothing can be read, changed, or passed off as another thing.
//! 2. It ends at a moment that is sealed with it, whatever the browser does.
//! 3. A stranger's request costs no storage: there is none.

use crate::context::Cx;
use crate::crypto::b64;
use crate::error::{Fault, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    until: i64,
    value: T,
}

fn associated(cx: &Cx<'_>, kind: &str) -> String {
    ["browser\0", &cx.tenant.id, "\0", kind].concat()
}

/// Seals a value of that kind for so many seconds.
pub fn seal(cx: &Cx<'_>, kind: &str, value: &impl Serialize, seconds: i64) -> Result<String> {
    let ring = cx.config.people().ok_or(Fault::Broken("this Worker seals nothing for browsers"))?;
    let kept = Kept { until: cx.now.seconds().saturating_add(seconds), value };
    let json = serde_json::to_vec(&kept).map_err(|_| Fault::Broken("what a browser keeps has no JSON"))?;
    let sealed = ring.seal(&associated(cx, kind), &json, &*cx.world.entropy);
    sealed.ok_or_else(|| Fault::Broken("what a browser keeps cannot be sealed").into())
}

/// Opens what [`seal`] made of that kind in this tenant; nothing if it is over, or something else.
pub fn open<T: DeserializeOwned>(cx: &Cx<'_>, kind: &str, sealed: &str) -> Option<T> {
    let json = cx.config.people()?.open(&associated(cx, kind), sealed)?;
    let kept: Kept<T> = serde_json::from_slice(&json).ok()?;
    (cx.now.seconds() < kept.until).then_some(kept.value)
}

/// A tag that goes with a form: whoever sends the form has been shown it by us, in this session.
pub fn form_token(cx: &Cx<'_>, of: &str) -> Result<String> {
    let ring = cx.config.people().ok_or(Fault::Broken("this Worker has no forms"))?;
    let tag = ring.tag("form", message(cx, of).as_bytes()).ok_or(Fault::Broken("a form has no tag"))?;
    Ok(b64(tag))
}

/// Whether [`form_token`] made the tag.
pub fn is_form_token(cx: &Cx<'_>, of: &str, sent: &str) -> bool {
    let tag = crate::crypto::unb64(sent);
    cx.config.people().zip(tag).is_some_and(|(ring, tag)| ring.has_tagged("form", message(cx, of).as_bytes(), &tag))
}

fn message(cx: &Cx<'_>, of: &str) -> String {
    [&cx.tenant.id, "\0", of].concat()
}
