//! The kind `otlp`: log records by OTLP/HTTP in JSON (opentelemetry.io, "OTLP Specification"). Whole numbers of 64 bits are texts there.
//!
//! What a receiver says that it has rejected out of a batch is not sent again, as the specification has it; it is counted. Everything else is tried again,
//! for an administrator may mend what is wrong (docs/decisions.md 186).

use super::kind::{Batch, Call, Field, Record, SinkKind, Verdict, by_status, json};
use crate::error::Result;
use crate::ports::Answer;
use serde_json::{Map, Value, json};

/// The kind.
pub const KIND: SinkKind = SinkKind {
    name: "otlp",
    config: &[Field {
        name: "header",
        needed: false,
        fits: |text| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
        must: "the name of a header in small letters, such as `x-api-key`",
    }],
    secret: &[Field::word("value", false)],
    call,
    judge,
};

fn call(batch: &Batch<'_>) -> Result<Call> {
    let records: Vec<Value> = batch.records.iter().map(|record| entry(batch, record)).collect();
    let body = json!({"resourceLogs": [{
        "resource": {"attributes": [text("service.name", "writ"), text("writ.tenant", batch.tenant)]},
        "scopeLogs": [{"scope": {"name": "writ.audit", "version": env!("CARGO_PKG_VERSION")}, "logRecords": records}],
    }]});
    let call = Call::post(batch.url("/v1/logs"), "application/json", body.to_string());
    Ok(match batch.optional_secret("value") {
        Some(value) => call.with(batch.body.text("header").unwrap_or("authorization").to_owned(), value),
        None => call,
    })
}

fn entry(batch: &Batch<'_>, record: &Record) -> Value {
    let nanos = |millis: i64| format!("{millis}000000");
    let (number, severity) = if record.is_refused { (13, "WARN") } else { (9, "INFO") };
    let seq = json!({"key": "writ.seq", "value": {"intValue": record.seq.to_string()}});
    json!({
        "timeUnixNano": nanos(record.at),
        "observedTimeUnixNano": nanos(i64::try_from(batch.now.millis()).unwrap_or(i64::MAX / 1_000_000)),
        "severityNumber": number,
        "severityText": severity,
        "eventName": record.kind,
        "body": any(&record.event),
        "attributes": [text("log.record.uid", &record.id), seq],
    })
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// A value as the protocol has it.
fn any(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(value) => json!({"boolValue": value}),
        Value::Number(number) => match number.as_i64() {
            Some(number) => json!({"intValue": number.to_string()}),
            None => json!({"doubleValue": number}),
        },
        Value::String(text) => json!({"stringValue": text}),
        Value::Array(values) => json!({"arrayValue": {"values": values.iter().map(any).collect::<Vec<_>>()}}),
        Value::Object(members) => json!({"kvlistValue": {"values": pairs(members)}}),
    }
}

fn pairs(members: &Map<String, Value>) -> Vec<Value> {
    members.iter().map(|(key, value)| json!({"key": key, "value": any(value)})).collect()
}

fn judge(answer: &Answer) -> Verdict {
    let rejected = json(answer).get("partialSuccess").and_then(|partial| partial.get("rejectedLogRecords").cloned());
    let count = |value: Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    match by_status(answer) {
        Verdict::Taken(_) => Verdict::Taken(rejected.and_then(count).unwrap_or_default().max(0)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_place_in_the_protocol() {
        let values = json!({"a": [1, true, "x"], "b": {"c": 1.5}});
        assert_eq!(
            any(&values),
            json!({"kvlistValue": {"values": [
                {"key": "a", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"boolValue": true}, {"stringValue": "x"}]}}},
                {"key": "b", "value": {"kvlistValue": {"values": [{"key": "c", "value": {"doubleValue": 1.5}}]}}},
            ]}})
        );
    }

    #[test]
    fn what_a_receiver_has_rejected_for_good_is_counted() {
        let of = |status, body: Value| {
            let body = body.to_string().into_bytes();
            judge(&Answer { status, content_type: None, cache_control: None, body })
        };
        assert_eq!(of(200, json!({})), Verdict::Taken(0));
        assert_eq!(of(200, json!({"partialSuccess": {"rejectedLogRecords": "3"}})), Verdict::Taken(3));
        assert_eq!(of(200, json!({"partialSuccess": {"errorMessage": "a warning"}})), Verdict::Taken(0));
        assert_eq!(of(503, json!({})), Verdict::Failed("it answered 503".to_owned()));
    }
}
