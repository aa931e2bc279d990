//! The kind `splunk`: the HTTP Event Collector of Splunk (help.splunk.com, "Format events for HTTP Event Collector"). A batch is JSON objects one after
//! another; its `time` is seconds with three decimals.

use super::kind::{Batch, Call, Field, Record, SinkKind, Verdict, by_status, json};
use crate::error::Result;
use crate::ports::Answer;
use serde_json::{Value, json};

/// The kind.
pub const KIND: SinkKind = SinkKind {
    name: "splunk",
    config: &[Field::name("index", false), Field::word("sourcetype", false)],
    secret: &[Field::word("token", true)],
    call,
    judge,
};

fn call(batch: &Batch<'_>) -> Result<Call> {
    let body = batch.records.iter().map(|record| entry(batch, record).to_string()).collect();
    let call = Call::post(batch.url("/services/collector/event"), "application/json", body);
    Ok(call.with("authorization", ["Splunk ", batch.secret("token")?].concat()))
}

fn entry(batch: &Batch<'_>, record: &Record) -> Value {
    let mut entry = json!({
        "time": record.at as f64 / 1_000.0,
        "host": batch.tenant,
        "source": "writ",
        "sourcetype": batch.body.text("sourcetype").unwrap_or("_json"),
        "event": record.event,
        "fields": {"seq": record.seq.to_string(), "type": record.kind},
    });
    if let (Some(index), Some(members)) = (batch.body.text("index"), entry.as_object_mut()) {
        members.insert("index".to_owned(), index.into());
    }
    entry
}

/// What Splunk says beside the status is a code: 0 is success, 7 an index that the token may not write to.
fn judge(answer: &Answer) -> Verdict {
    let code = json(answer).get("code").and_then(Value::as_i64);
    let coded = |said: String| code.map_or(said.clone(), |code| format!("{said}, code {code}"));
    match (by_status(answer), code) {
        (Verdict::Taken(_), Some(1..)) => Verdict::Failed(coded(format!("it answered {}", answer.status))),
        // What no smaller batch mends.
        (Verdict::Refused(said), Some(1..=4 | 7 | 10 | 11)) => Verdict::Failed(coded(said)),
        (Verdict::Refused(said), _) => Verdict::Refused(coded(said)),
        (Verdict::Failed(said), _) => Verdict::Failed(coded(said)),
        (taken, _) => taken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_splunk_says_whether_a_smaller_batch_may_pass() {
        let of = |status, body: Value| {
            let body = body.to_string().into_bytes();
            judge(&Answer { status, content_type: None, cache_control: None, body })
        };
        assert_eq!(of(200, json!({"text": "Success", "code": 0})), Verdict::Taken(0));
        let failed = |said: &str| Verdict::Failed(said.to_owned());
        assert_eq!(of(403, json!({"text": "Invalid token", "code": 4})), failed("it answered 403, code 4"));
        assert_eq!(of(400, json!({"text": "Incorrect index", "code": 7})), failed("it answered 400, code 7"));
        assert_eq!(of(503, json!({"text": "Server is busy", "code": 9})), failed("it answered 503, code 9"));
        let refused = Verdict::Refused("it answered 400, code 6".to_owned());
        assert_eq!(of(400, json!({"text": "Invalid data format", "code": 6, "invalid-event-number": 1})), refused);
        assert_eq!(of(413, json!(null)), Verdict::Refused("it answered 413".to_owned()));
    }
}
