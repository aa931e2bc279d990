//! Sending messages to their webhooks: after the answer to the change, and by the cron.

use super::{event, signing};
use crate::context::{Change, Cx};
use crate::crypto::sign_webhook;
use crate::error::{Fault, Result};
use crate::model::EventType;
use crate::model::webhook::{Message, Webhook};
use crate::outbound::{self, retry};
use crate::ports::Now;
use crate::store::{self, Query};

/// The messages of how many tenants are sent at a time, and how many of each: with the signals, below a free plan's 50 subrequests.
const TENANTS: i64 = 2;
const SENT: i64 = 4;

/// What came of an attempt.
enum Outcome {
    /// The webhook has taken the message.
    Taken,
    /// It is gone for good.
    Gone,
    /// It has not, and why.
    Failed(String),
}

/// Asks which tenants have messages to send.
pub fn tenants_due(now: Now) -> Query<String> {
    store::webhooks::tenants_due(now.seconds(), TENANTS)
}

/// Sends what is due.
pub async fn deliver(cx: &Cx<'_>) -> Result<()> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let next = |message: &Message| now.saturating_add(retry::pause(message.attempts));
    let due = cx.all(store::webhooks::due(tenant, now, SENT)).await?;
    let claim =
        |(webhook, message): &(Webhook, Message)| store::webhooks::claim(tenant, &webhook.id, message, next(message));
    let send = async |(webhook, message): &(Webhook, Message)| send(cx, webhook, message).await;
    for ((webhook, message), outcome) in retry::attempt(cx, due, claim, send).await? {
        match outcome {
            Outcome::Taken => drop(cx.run(vec![store::webhooks::remove(tenant, &webhook.id, &message.id)]).await?),
            Outcome::Gone => end(cx, &webhook).await?,
            Outcome::Failed(why) if next(&message) > message.until => fail(cx, &webhook, &message, &why).await?,
            Outcome::Failed(why) => {
                drop(cx.run(vec![store::webhooks::note(tenant, &webhook.id, &message.id, &why)]).await?);
            }
        }
    }
    Ok(())
}

async fn send(cx: &Cx<'_>, webhook: &Webhook, message: &Message) -> Outcome {
    let headers = match headers(cx, webhook, message) {
        Ok(headers) => headers,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    match outbound::send(cx, ("POST", &webhook.body.url), headers, Some(message.body.clone())).await {
        Ok(answer) if (200..300).contains(&answer.status) => Outcome::Taken,
        Ok(answer) if answer.status == 410 => Outcome::Gone,
        Ok(answer) => Outcome::Failed(format!("it answered {}", answer.status)),
        Err(failure) => Outcome::Failed(failure.why().to_owned()),
    }
}

fn headers(cx: &Cx<'_>, webhook: &Webhook, message: &Message) -> Result<Vec<(&'static str, String)>> {
    let now = cx.now.seconds();
    let sign = |secret| sign_webhook(secret, (&message.id, now), &message.body);
    let signatures: Option<Vec<String>> = signing(cx, webhook)?.iter().map(sign).collect();
    let signatures = signatures.ok_or(Fault::Broken("the secret of a webhook is none"))?;
    Ok(vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", message.id.clone()),
        ("webhook-timestamp", now.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ])
}

/// Ends a webhook that says that it is gone.
async fn end(cx: &Cx<'_>, webhook: &Webhook) -> Result<()> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let event = event(cx, EventType::WebhookDisabled, None, &webhook.id, Some("it answered 410".to_owned()));
    let change = Change::guard(store::webhooks::disable(tenant, (&webhook.id, webhook.version), now))
        .event(event)
        .always(store::webhooks::fail_all(tenant, &webhook.id, "it answered 410", now));
    cx.commit(change).await.map(drop)
}

/// Tries a message no more.
async fn fail(cx: &Cx<'_>, webhook: &Webhook, message: &Message, why: &str) -> Result<()> {
    let detail = ["message ", &message.id, ": ", why].concat();
    let event = event(cx, EventType::WebhookFailed, None, &webhook.id, Some(detail));
    let guard = store::webhooks::fail(&cx.tenant.id, &webhook.id, &message.id, why, cx.now.seconds());
    cx.commit(Change::guard(guard).event(event)).await.map(drop)
}
