//! The kind `elastic`: the bulk API of Elasticsearch and OpenSearch. Each event is created under its own id, so one that comes again is there already. The
//! index may be a data stream, which takes `create` alone and wants `@timestamp`.

use super::kind::{Batch, Call, Field, SinkKind, Verdict, by_status, json};
use crate::error::Result;
use crate::ports::Answer;
use serde_json::{Value, json};

/// The kind.
pub const KIND: SinkKind = SinkKind {
    name: "elastic",
    config: &[Field {
        name: "index",
        needed: true,
        fits: |text| {
            !text.starts_with(['-', '_', '.'])
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
        },
        must: "the name of an index or a data stream, in small letters",
    }],
    secret: &[Field::word("api_key", true)],
    call,
    judge,
};

fn call(batch: &Batch<'_>) -> Result<Call> {
    let base = batch.body.url.trim_end_matches('/');
    let index = batch.body.text("index").unwrap_or_default();
    let url = format!("{base}/{index}/_bulk?filter_path=errors,items.*.status");
    let mut body = String::new();
    for record in batch.records {
        let mut document = record.event.clone();
        if let Some(members) = document.as_object_mut() {
            members.insert("@timestamp".to_owned(), record.at.into());
        }
        body.extend([json!({"create": {"_id": record.id}}).to_string(), "\n".to_owned()]);
        body.extend([document.to_string(), "\n".to_owned()]);
    }
    let call = Call::post(url, "application/x-ndjson", body);
    Ok(call.with("authorization", ["ApiKey ", batch.secret("api_key")?].concat()))
}

/// Each event has a status of its own. 409: it is there already.
fn judge(answer: &Answer) -> Verdict {
    let Verdict::Taken(_) = by_status(answer) else { return by_status(answer) };
    let said = json(answer);
    if said.get("errors") != Some(&Value::Bool(true)) {
        return match said.get("errors") {
            Some(_) => Verdict::Taken(0),
            None => Verdict::Failed("its answer is none of the bulk API".to_owned()),
        };
    }
    let items = said.get("items").and_then(Value::as_array).into_iter().flatten();
    let statuses = items.filter_map(|item| item.as_object()?.values().next()?.get("status")?.as_i64());
    let bad: Vec<i64> = statuses.filter(|status| !matches!(status, 200..=299 | 409)).collect();
    let busy = bad.iter().find(|status| **status == 429 || **status >= 500);
    match (busy, bad.first()) {
        (Some(status), _) => Verdict::Failed(format!("it answered {status} for an event")),
        (None, Some(status)) => Verdict::Refused(format!("it answered {status} for an event")),
        (None, None) => Verdict::Taken(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_is_there_already_was_taken_and_one_that_is_refused_keeps_the_batch() {
        let of = |body: Value| {
            let body = body.to_string().into_bytes();
            judge(&Answer { status: 200, content_type: None, cache_control: None, body })
        };
        let items = |statuses: &[i64]| {
            let items: Vec<_> = statuses.iter().map(|status| json!({"create": {"status": status}})).collect();
            json!({"errors": true, "items": items})
        };
        assert_eq!(of(json!({"errors": false})), Verdict::Taken(0));
        assert_eq!(of(items(&[201, 409])), Verdict::Taken(0));
        assert_eq!(of(items(&[201, 400])), Verdict::Refused("it answered 400 for an event".to_owned()));
        assert_eq!(of(items(&[400, 429])), Verdict::Failed("it answered 429 for an event".to_owned()));
        assert!(matches!(of(json!(null)), Verdict::Failed(_)), "a page of a proxy is no answer");
    }
}
