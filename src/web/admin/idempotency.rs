//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a retry of a request that made something answers as the first.
//!
//! In scope: every `POST` that makes a record. Out of scope: what is idempotent by itself (`PUT`, `DELETE`, a stop).
//!
//! 1. The answer is kept in the transaction that makes the record. Of two requests at once with one key one makes it; the transaction
//!    of the other fails as a whole, and the other answers what is kept.
//! 2. A key belongs to the tenant and the client that sends it, counts for [`KEPT_SECONDS`], and is good for one request: the same path,
//!    query and body. With another one it is 422 (§2.7).
//! 3. A refusal is not kept: nothing was made.
//! 4. A kept answer is sealed. It opens for its tenant, client, key and request alone.

use super::target;
use crate::audit;
use crate::context::Cx;
use crate::crypto::{Keyring, sha256};
use crate::directory::Creation;
use crate::error::{Fault, Reason, Result};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::ports::Sql;
use crate::store;
use crate::store::answers::{AnswerKey, Kept};
use crate::web::{AdminCall, Method, Response};
use serde::{Deserialize, Serialize};

/// For how long an answer is kept, in seconds: a day.
pub const KEPT_SECONDS: i64 = 86_400;
/// How many characters a key has at most.
pub const MAX_KEY: usize = 128;
/// The form of the header, in the words of the document and of refusals.
pub const FORM: &str =
    "1 to 128 of A-Z, a-z, 0-9, `-`, `_`, `.`, `:`, `~`, `+`, `/` and `=`, with or without quotes: best a new UUID";

const FORMAT: u8 = 1;
const HEADERS: [&str; 4] = ["content-type", "cache-control", "etag", "location"];

/// Makes a record and answers. `prepare` reads the request; its answer leaves once the record is made.
pub async fn once<T>(
    call: AdminCall<'_>,
    prepare: impl AsyncFnOnce() -> Result<(Creation<T>, Response)>,
) -> Result<Response> {
    let Some(header) = call.request.header("idempotency-key") else {
        let (creation, response) = prepare().await?;
        creation.commit(call.cx).await?;
        return Ok(response);
    };
    let key = Key::of(call, header)?;
    if let Some(kept) = key.answer().await? {
        key.record(&kept).await?;
        return Ok(kept);
    }
    let (creation, response) = prepare().await?;
    let Err(failure) = creation.then(key.keep(&response)?).commit(call.cx).await else { return Ok(response) };
    match key.answer().await? {
        // The request's own transaction, whose reply was lost.
        Some(kept) if Answer::from(&kept) == Answer::from(&response) => Ok(kept),
        Some(kept) => {
            key.record(&kept).await?;
            Ok(kept)
        }
        None => Err(failure),
    }
}

/// The text of a key: a string of RFC 9651 §3.3.3, or the same without its quotes, as many clients send it.
fn parse(header: &str) -> Option<&str> {
    let text = header.trim();
    let text = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => text,
    };
    let sound = (1..=MAX_KEY).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:~+/=".contains(&b));
    sound.then_some(text)
}

/// A key with the request that it was sent with.
struct Key<'a> {
    call: AdminCall<'a>,
    key: String,
    request: String,
}

impl<'a> Key<'a> {
    fn of(call: AdminCall<'a>, header: &str) -> Result<Self> {
        let malformed = || Reason::MalformedIdempotencyKey.because(format!("`Idempotency-Key` must have {FORM}"));
        let key = parse(header).ok_or_else(malformed)?;
        let body = call.request.body.as_deref().ok_or(Reason::BodyTooLarge)?;
        let request = [call.request.path.as_bytes(), b"?", call.request.query.as_bytes(), b"\0", body].concat();
        Ok(Self { call, key: sha256(key).to_text(), request: sha256(request).to_text() })
    }

    fn row(&self) -> AnswerKey<'_> {
        AnswerKey { tenant: &self.call.cx.tenant.id, client: self.call.admin, key: &self.key }
    }

    /// The answer that is kept, if there is one. For another request it is a refusal.
    async fn answer(&self) -> Result<Option<Response>> {
        let (cx, row) = (self.call.cx, self.row());
        let now = cx.now.seconds();
        let (_, kept) = cx.batch((store::answers::lapse(row, now), store::answers::get(row, now))).await?;
        let Some(Kept { request, sealed }) = kept.into_iter().next() else { return Ok(None) };
        if request != self.request {
            return Err(Reason::IdempotencyKeyReused.because(
                "this `Idempotency-Key` was sent with another path or body in the last 24 hours: send a new key for a new request",
            ));
        }
        let opened = ring(cx)?.open(&associated(self.row(), &self.request), &sealed);
        let answer = opened.and_then(|json| serde_json::from_slice::<Answer>(&json).ok());
        answer.map(|answer| Some(answer.into())).ok_or_else(|| {
            Reason::Conflict.because(
                "the answer that is kept for this `Idempotency-Key` cannot be read any more: look for what the request made, \
                 and send a new key for what is missing",
            )
        })
    }

    /// The statement that keeps the answer.
    fn keep(&self, response: &Response) -> Result<Sql> {
        let cx = self.call.cx;
        let json = serde_json::to_vec(&Answer::from(response)).map_err(|_| Fault::Broken("an answer has no JSON"))?;
        let sealed = ring(cx)?.seal(&associated(self.row(), &self.request), &json, &*cx.world.entropy);
        let sealed = sealed.ok_or(Fault::Broken("an answer cannot be sealed"))?;
        let until = cx.now.seconds().saturating_add(KEPT_SECONDS);
        Ok(store::answers::keep(self.row(), Kept { request: self.request.clone(), sealed }, until))
    }

    /// Records that an answer, which may hold a secret, left once more.
    async fn record(&self, kept: &Response) -> Result<()> {
        let location = kept.headers.iter().find(|(name, _)| *name == "location").map(|(_, value)| value.clone());
        let facts = Facts { target: Some(target(self.call.call, Method::Post)), detail: location, ..Facts::default() };
        let event = audit::event(self.call.cx, EventType::AdminRepeated, Some(self.call.admin), facts);
        audit::record(self.call.cx, &event).await
    }
}

/// The associated data of a sealed answer. No part has a slash.
fn associated(AnswerKey { tenant, client, key }: AnswerKey<'_>, request: &str) -> String {
    format!("answer/{FORMAT}/{tenant}/{client}/{key}/{request}")
}

fn ring<'a>(cx: &Cx<'a>) -> Result<&'a Keyring> {
    cx.config.answers().ok_or_else(|| Fault::Broken("this Worker has no key for answers").into())
}

/// An answer as it is sealed.
#[derive(PartialEq, Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl From<&Response> for Answer {
    fn from(Response { status, headers, body, .. }: &Response) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Self { status: *status, headers, body: body.clone() }
    }
}

impl From<Answer> for Response {
    fn from(Answer { status, headers, body }: Answer) -> Self {
        let known = |name: &str| HEADERS.into_iter().find(|known| *known == name);
        let headers = headers.into_iter().filter_map(|(name, value)| Some((known(&name)?, value))).collect();
        Self { headers, body, ..Self::empty(status) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_bound_to_its_tenant_client_key_and_request() {
        let all = [
            (("t", "c", "k"), "r"),
            (("x", "c", "k"), "r"),
            (("t", "x", "k"), "r"),
            (("t", "c", "x"), "r"),
            (("t", "c", "k"), "x"),
        ];
        let bound: std::collections::BTreeSet<_> =
            all.map(|((tenant, client, key), request)| associated(AnswerKey { tenant, client, key }, request)).into();
        assert_eq!(bound.len(), all.len());
    }

    #[test]
    fn a_key_is_a_bounded_text_of_harmless_characters_with_or_without_quotes() {
        let uuid = "8e03978e-40d5-43e8-bc93-6894a57f9324";
        assert_eq!(parse(&format!("\"{uuid}\"")), Some(uuid));
        assert_eq!(parse(&format!(" {uuid} ")), Some(uuid));
        assert_eq!(parse(&"k".repeat(MAX_KEY)).map(str::len), Some(MAX_KEY));
        let long = "k".repeat(MAX_KEY + 1);
        for bad in ["", "\"\"", "\"", "\"a", "a\"", "a b", "a,b", "\"a\";v=1", "a\u{0}", "é", "'--", "a\\", &long] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
