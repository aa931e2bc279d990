//! The kind `https`: JSON lines, or a JSON array, signed as Standard Webhooks are.
//!
//! The id of a message names what is in it: sink, and the first and the last sequence number.

use super::kind::{Batch, Call, Field, SinkKind, by_status};
use crate::crypto::{Secret, sign_webhook};
use crate::error::{Fault, Result};
use serde_json::Value;

/// The secret that signs.
pub const SIGNING: &str = "signing";

/// The kind.
pub const KIND: SinkKind = SinkKind {
    name: "https",
    config: &[Field {
        name: "batch",
        needed: false,
        fits: |text| ["lines", "array"].contains(&text),
        must: "`lines` or `array`",
    }],
    secret: &[
        Field {
            name: SIGNING,
            needed: false,
            fits: |text| text.len() >= 38 && sign_webhook(&Secret::new(text.to_owned()), ("a", 1), "").is_some(),
            must: "`whsec_` and 24 bytes or more in base64, as Standard Webhooks have it",
        },
        Field::word("authorization", false),
    ],
    call,
    judge: by_status,
};

fn call(batch: &Batch<'_>) -> Result<Call> {
    let (media, body) = match batch.body.text("batch") {
        Some("array") => {
            let events: Vec<&Value> = batch.records.iter().map(|record| &record.event).collect();
            let body = serde_json::to_string(&events).map_err(|_| Fault::Broken("events have no JSON"))?;
            ("application/json", body)
        }
        _ => ("application/x-ndjson", batch.lines()?),
    };
    let (first, last) = batch.range();
    let (id, now) = (format!("{}_{first}_{last}", batch.sink), batch.now.seconds());
    let secret = Secret::new(batch.secret(SIGNING)?.to_owned());
    let signature = sign_webhook(&secret, (&id, now), &body).ok_or(Fault::Broken("the secret of a sink is none"))?;
    let call = Call::post(batch.url(""), media, body)
        .with("webhook-id", id)
        .with("webhook-timestamp", now.to_string())
        .with("webhook-signature", signature);
    Ok(match batch.optional_secret("authorization") {
        Some(value) => call.with("authorization", value),
        None => call,
    })
}
