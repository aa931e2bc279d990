//! `admin/webhooks`: where an operator's backend hears of connections and accounts, and the messages that it has not taken.

use super::aggregate::{Aggregate, Posted, Posting, Shown, object, optional};
use super::idempotency::once;
use super::page::{Page, page};
use crate::context::Cx;
use crate::crypto::Secret;
use crate::error::{Reason, Result};
use crate::model::webhook::{EVENTS, MAX_TEXT, Message, Webhook, WebhookBody};
use crate::store;
use crate::vault;
use crate::web::schema::{Kind, Member, Object, members, object};
use crate::web::{AdminCall, Response};
use crate::webhooks::{self, MAX_URL};
use serde_json::{Map, Value, json};

const STATES: [&str; 2] = ["waiting", "failed"];
const STATE: Kind = Kind::Words("WebhookMessageState", || STATES.to_vec());
const EVENT: Kind = Kind::Words("WebhookEvent", || EVENTS.iter().map(|kind| kind.as_str()).collect());

const BODY_MEMBERS: &[Member] = members![
    must "url" Kind::Text(MAX_URL),
    may "description" Kind::Note(MAX_TEXT),
    must "events" Kind::List(&EVENT, EVENTS.len()),
    may "enabled" Kind::Boolean,
];

const SHOWN: &[Member] = members![
    must "id" Kind::Word,
    must "enabled" Kind::Boolean,
    must "created_at" Kind::Time,
    must "updated_at" Kind::Time,
];

object!(
    /// What a webhook is made with.
    BODY = "NewWebhook" [BODY_MEMBERS]
);

object!(
    /// What a webhook is changed to: as shown, or without what only the server sets.
    PUT_BODY = "WebhookUpdate" [BODY_MEMBERS, members![
        read "id" Kind::Word,
        read "created_at" Kind::Time,
        read "updated_at" Kind::Time,
    ]]
);

object!(
    /// A webhook, without its secret.
    WEBHOOK = "Webhook" [BODY_MEMBERS, SHOWN]
);

object!(
    /// A webhook that was just made.
    MADE = "MadeWebhook" [BODY_MEMBERS, SHOWN, members![must "secret" Kind::Word]]
);

object!(
    /// A secret that was just made.
    SECRET = "WebhookSecret" [members![must "secret" Kind::Word, must "previous_until" Kind::Time]]
);

object!(
    /// A message that was just left.
    SENT = "WebhookTest" [members![must "message" Kind::Word]]
);

object!(
    /// A message that a webhook has not taken.
    MESSAGE = "WebhookMessage" [members![
        must "id" Kind::Word,
        must "state" STATE,
        must "attempts" Kind::Count,
        may "outcome" Kind::Word,
        may "next_attempt_at" Kind::Time,
        may "failed_at" Kind::Time,
        must "created_at" Kind::Time,
        must "body" Kind::Json,
    ]]
);

/// Webhooks.
pub struct Webhooks;

impl Aggregate for Webhooks {
    type Record = Webhook;
    type Body = WebhookBody;

    const PATH: &'static str = "webhooks";
    const BODY: Object = PUT_BODY;
    const FILTERS: &'static [&'static str] = &[];

    fn id(webhook: &Webhook) -> (&str, i64) {
        (&webhook.id, webhook.version)
    }

    fn view(_: &Cx<'_>, webhook: &Webhook) -> Map<String, Value> {
        Shown {
            id: ("id", &webhook.id),
            body: &webhook.body,
            status: None,
            created: ("created_at", webhook.created_at),
            updated_at: webhook.updated_at,
        }
        .members()
    }

    async fn find(cx: &Cx<'_>, id: &str) -> Result<Option<Webhook>> {
        optional(webhooks::find(cx, id).await)
    }

    async fn list(cx: &Cx<'_>, page: &Page) -> Result<Vec<Webhook>> {
        cx.all(store::webhooks::list(&cx.tenant.id, page.after(), page.rows())).await
    }

    async fn problems(cx: &Cx<'_>, body: &WebhookBody) -> Result<Vec<String>> {
        Ok(webhooks::problems(cx, body))
    }

    async fn update(call: AdminCall<'_>, present: Webhook, body: WebhookBody) -> Result<Webhook> {
        webhooks::update(call.cx, present, body, call.admin).await
    }

    async fn delete(call: AdminCall<'_>, present: &Webhook) -> Result<()> {
        webhooks::delete(call.cx, present, call.admin).await
    }
}

impl Posted for Webhooks {
    type New = WebhookBody;

    const NEW: Object = BODY;

    async fn problems_of_new(cx: &Cx<'_>, body: &WebhookBody) -> Result<Vec<String>> {
        vault::try_key(cx).await?;
        Self::problems(cx, body).await
    }

    fn create(call: AdminCall<'_>, body: WebhookBody) -> Result<Posting<Webhook>> {
        let (creation, secret) = webhooks::create(call.cx, body, call.admin)?;
        Ok(Posting { creation, once: shown_once(&secret) })
    }
}

fn shown_once(secret: &Secret<String>) -> Map<String, Value> {
    object(&json!({"secret": secret.expose()}))
}

/// Gives a webhook another secret.
pub async fn rotate(call: AdminCall<'_>) -> Result<Response> {
    once(call, async || {
        vault::try_key(call.cx).await?;
        let present = webhooks::find(call.cx, call.id(0)?).await?;
        let (creation, secret) = webhooks::rotate(call.cx, &present, call.admin)?;
        let mut members = shown_once(&secret);
        let previous = creation.record.secrets.previous.as_ref();
        members.insert("previous_until".to_owned(), previous.map(|previous| previous.until).into());
        Ok((creation, Response::json(201, &members)))
    })
    .await
}

/// Sends a message to try a webhook.
pub async fn test(call: AdminCall<'_>) -> Result<Response> {
    let present = webhooks::find(call.cx, call.id(0)?).await?;
    let message = webhooks::test(call.cx, &present, call.admin).await?;
    Ok(Response::json(200, &json!({"message": message})))
}

/// Lists messages that a webhook has not taken, the oldest first.
pub async fn messages(call: AdminCall<'_>) -> Result<Response> {
    let (cx, page) = (call.cx, page(call, &["state"])?);
    let failed = match page.get("state") {
        None => None,
        Some("failed") => Some(true),
        Some("waiting") => Some(false),
        Some(_) => return Err(Reason::InvalidQuery.because("`state` must be `waiting` or `failed`")),
    };
    let webhook = webhooks::find(cx, call.id(0)?).await?;
    let found = store::webhooks::messages(&cx.tenant.id, &webhook.id, failed, page.after(), page.rows());
    Ok(page.of(cx.all(found).await?, |message| (message.id.clone(), view(&message))))
}

fn view(message: &Message) -> Map<String, Value> {
    let Message { id, body, attempts, not_before, outcome, failed_at, created_at, .. } = message;
    let [waiting, failed] = STATES;
    let body: Value = serde_json::from_slice(body.as_bytes()).unwrap_or_default();
    let mut members = object(&json!({
        "id": id, "state": if failed_at.is_some() { failed } else { waiting }, "attempts": attempts, "created_at": created_at, "body": body,
    }));
    let next = failed_at.is_none().then_some(*not_before);
    let outcome = outcome.as_ref().map(|outcome| json!(outcome));
    let more = [
        ("next_attempt_at", next.map(|at| json!(at))),
        ("failed_at", failed_at.map(|at| json!(at))),
        ("outcome", outcome),
    ];
    members.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    members
}

/// Sends again one message that has failed.
pub async fn resend_one(call: AdminCall<'_>) -> Result<Response> {
    let present = webhooks::find(call.cx, call.id(0)?).await?;
    webhooks::resend(call.cx, &present, Some(call.id(1)?), call.admin).await?;
    Ok(Response::empty(204))
}

/// Sends again all messages that have failed.
pub async fn resend(call: AdminCall<'_>) -> Result<Response> {
    let present = webhooks::find(call.cx, call.id(0)?).await?;
    webhooks::resend(call.cx, &present, None, call.admin).await?;
    Ok(Response::empty(204))
}
