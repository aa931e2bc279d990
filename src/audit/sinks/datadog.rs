//! The kind `datadog`: the log intake of Datadog, version 2 (docs.datadoghq.com, "Send logs"): an array of 1,000 logs and 5 MB at the most, each of 1 MB.
//! Datadog files a log under `timestamp` if that is no older than 18 hours.

use super::kind::{Batch, Call, Field, Record, SinkKind, by_status};
use crate::error::Result;
use crate::model::sink::EventForm;
use serde_json::{Value, json};

/// The kind.
pub const KIND: SinkKind = SinkKind {
    name: "datadog",
    config: &[Field::word("service", false), Field::word("tags", false)],
    secret: &[Field::word("api_key", true)],
    call,
    judge: by_status,
};

fn call(batch: &Batch<'_>) -> Result<Call> {
    let logs: Vec<Value> = batch.records.iter().map(|record| entry(batch, record)).collect();
    let call = Call::post(batch.url("/api/v2/logs"), "application/json", Value::Array(logs).to_string());
    Ok(call.with("dd-api-key", batch.secret("api_key")?))
}

fn entry(batch: &Batch<'_>, record: &Record) -> Value {
    let own = format!("tenant:{},type:{}", batch.tenant, record.kind);
    let form = match batch.body.form {
        EventForm::Writ => "writ",
        EventForm::Ocsf => "ocsf",
    };
    json!({
        "ddsource": "writ",
        "service": batch.body.text("service").unwrap_or("writ"),
        "hostname": batch.tenant,
        "ddtags": batch.body.text("tags").map_or(own.clone(), |tags| [tags, ",", &own].concat()),
        "message": record.kind,
        "status": if record.is_refused { "warn" } else { "info" },
        "timestamp": record.at,
        form: record.event,
    })
}
