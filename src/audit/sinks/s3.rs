//! The kind `s3`: an object of JSON lines for each batch, in S3 or a service that is compatible with it (AWS Signature Version 4). The bucket stands in the
//! path. The key of an object names its day and its first and last sequence number, so what is sent again overwrites itself, or overlaps.

use super::kind::{Batch, Call, Field, SinkKind, by_status};
use crate::crypto::sha256;
use crate::crypto::sigv4::{Session, Signing, Unsigned};
use crate::error::{Fault, Result};
use chrono::{DateTime, Datelike};
use url::Url;

/// The kind.
pub const KIND: SinkKind = SinkKind {
    name: "s3",
    config: &[Field::name("bucket", true), Field::name("region", true), Field::name("prefix", false)],
    secret: &[Field::word("access_key_id", true), Field::word("secret_access_key", true)],
    call,
    judge: by_status,
};

fn call(batch: &Batch<'_>) -> Result<Call> {
    let text = |name: &str| batch.body.text(name).unwrap_or_default();
    let base = batch.body.url.trim_end_matches('/');
    let url = [base, text("bucket"), &key(batch, text("prefix"))].join("/");
    let url = Url::parse(&url).map_err(|_| Fault::Broken("the URL of a sink is none"))?;
    let body = batch.lines()?;
    let headers = [("content-type".to_owned(), "application/x-ndjson".to_owned())];
    let signing = Signing { service: "s3".to_owned(), region: text("region").to_owned() };
    let session = Session {
        access_key_id: batch.secret("access_key_id")?,
        secret_access_key: batch.secret("secret_access_key")?,
        session_token: "",
    };
    let digest = sha256(&body).to_hex();
    let unsigned = Unsigned { method: "PUT", url: &url, headers: &headers, digest: &digest };
    let signed = signing.sign(&unsigned, &session, batch.now).ok_or(Fault::Broken("a call to S3 cannot be signed"))?;
    let headers = headers.into_iter().chain(signed.headers).map(|(name, value)| (name.into(), value)).collect();
    Ok(Call { method: "PUT", url: url.into(), headers, body })
}

/// `{prefix}/{tenant}/2026/01/06/00000000000000000001-00000000000000000500.jsonl`
fn key(batch: &Batch<'_>, prefix: &str) -> String {
    let (first, last) = batch.range();
    let day = batch.records.first().and_then(|record| DateTime::from_timestamp_millis(record.at)).unwrap_or_default();
    let day = format!("{:04}/{:02}/{:02}", day.year(), day.month(), day.day());
    let name = format!("{first:020}-{last:020}.jsonl");
    let parts = [prefix.trim_matches('/'), batch.tenant, &day, &name];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}
