//! Webhooks (Standard Webhooks): an operator's backend hears of connections and accounts, above all of accounts that need a person.
//!
//! In scope: making, changing and removing webhooks, their secrets, and the delivery of messages. Out of scope: which events are told, and how
//! (`model::webhook`); that a message lies in the transaction of its event (`context::Change`).
//!
//! 1. A secret is made here, shown once, and lies sealed under the key of the vault; tenant and webhook are bound to it. After a rotation the one before
//!    signs too, for [`OVERLAP_SECONDS`].
//! 2. A message is tried until it is taken, for [`TRIED_SECONDS`], under one id. Then it has failed: it is kept, and can be sent again.
//! 3. 410 ends a webhook (Standard Webhooks, "Disabling endpoints"). What waits for a webhook that is disabled has failed.
//! 4. A tenant has [`MAX_WEBHOOKS`] at the most. Beyond [`MAX_MESSAGES`] that wait or have failed, a webhook is told nothing more until they are fewer;
//!    the trail has every event all the same.

mod deliver;

pub use deliver::{deliver, tenants_due};

use crate::audit;
use crate::context::{Change, Cx};
use crate::crypto::{Keyring, Secret, mint_webhook_secret};
use crate::directory::{Creation, changes};
use crate::error::{Fault, Reason, Result};
use crate::model::event::Facts;
use crate::model::webhook::{MAX_MESSAGES, Previous, Secrets, TRIED_SECONDS, Webhook, WebhookBody, test_message};
use crate::model::{Event, EventType};
use crate::outbound;
use crate::store;
use crate::store::webhooks::NewMessage;

/// How many webhooks a tenant has at most.
pub const MAX_WEBHOOKS: i64 = 10;
/// For how long a secret signs that was replaced, in seconds: a day.
pub const OVERLAP_SECONDS: i64 = 86_400;
/// For how long a message that has failed is kept, in seconds: 30 days.
pub const KEPT_SECONDS: i64 = 30 * 86_400;
/// The longest URL.
pub const MAX_URL: usize = 2_000;

/// Everything that is wrong with a body beyond its shape.
pub fn problems(cx: &Cx<'_>, body: &WebhookBody) -> Vec<String> {
    let mut all = Vec::new();
    if outbound::admit(cx.config, &body.url).is_none() {
        all.push("`url` must be an https URL of a public host, without a port".to_owned());
    }
    if body.events.is_empty() {
        all.push("`events` must name at least one event".to_owned());
    }
    all
}

/// The webhook of that id as it is stored now.
pub async fn find(cx: &Cx<'_>, id: &str) -> Result<Webhook> {
    cx.one(store::webhooks::get(&cx.tenant.id, id)).await?.ok_or_else(|| Reason::NotFound.into())
}

/// A webhook that is about to be made, and its secret.
pub fn create(cx: &Cx<'_>, body: WebhookBody, by: &str) -> Result<(Creation<Webhook>, Secret<String>)> {
    let (id, now) = (cx.new_id(), cx.now.seconds());
    let (sealed, secret) = new_secret(cx, &id)?;
    let secrets = Secrets { current: sealed, previous: None };
    let guard = store::webhooks::insert(&cx.tenant.id, &id, (json(&body)?, json(&secrets)?), now, MAX_WEBHOOKS);
    let event = event(cx, EventType::WebhookCreated, Some(by), &id, Some(body.url.clone()));
    let webhook = Webhook { id, body, secrets, version: 1, created_at: now, updated_at: now };
    let change = Change::guard(guard).event(event);
    Ok((Creation::new(webhook, change, "a tenant has 10 webhooks at most: remove one first"), secret))
}

/// Gives a webhook another body. What waits for one that is disabled by it has failed.
pub async fn update(cx: &Cx<'_>, present: Webhook, body: WebhookBody, by: &str) -> Result<Webhook> {
    if present.body == body {
        return Ok(present);
    }
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let event = event(cx, EventType::WebhookUpdated, Some(by), &present.id, Some(changes(&present.body, &body)));
    let guard = store::webhooks::update(tenant, (&present.id, present.version), json(&body)?, now);
    let change = Change::guard(guard).event(event).always(store::webhooks::fail_all(
        tenant,
        &present.id,
        "the webhook was disabled",
        now,
    ));
    match cx.commit(change).await? {
        true => Ok(Webhook { body, version: present.version.saturating_add(1), updated_at: now, ..present }),
        false => Err(Reason::PreconditionFailed.into()),
    }
}

/// Removes a webhook with its messages.
pub async fn delete(cx: &Cx<'_>, present: &Webhook, by: &str) -> Result<()> {
    let tenant = &cx.tenant.id;
    let event = event(cx, EventType::WebhookDeleted, Some(by), &present.id, Some(present.body.url.clone()));
    let change = Change::guard(store::webhooks::delete(tenant, &present.id, present.version))
        .event(event)
        .always(store::webhooks::delete_messages(tenant, &present.id));
    match cx.commit(change).await? {
        true => Ok(()),
        false => Err(Reason::PreconditionFailed.into()),
    }
}

/// Another secret that a webhook is about to have. The present one signs too, for a while; one before that no more.
pub fn rotate(cx: &Cx<'_>, present: &Webhook, by: &str) -> Result<(Creation<Webhook>, Secret<String>)> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let (sealed, secret) = new_secret(cx, &present.id)?;
    let until = now.saturating_add(OVERLAP_SECONDS);
    let previous = Some(Previous { sealed: present.secrets.current.clone(), until });
    let secrets = Secrets { current: sealed, previous };
    let guard = store::webhooks::replace_secrets(tenant, (&present.id, present.version), json(&secrets)?, now);
    let event = event(cx, EventType::WebhookSecretRotated, Some(by), &present.id, None);
    let version = present.version.saturating_add(1);
    let webhook = Webhook { secrets, version, updated_at: now, ..present.clone() };
    let taken = "another change of this webhook came first: try again";
    Ok((Creation::new(webhook, Change::guard(guard).event(event), taken), secret))
}

/// Sends a message that says nothing, to try a webhook; its id.
pub async fn test(cx: &Cx<'_>, present: &Webhook, by: &str) -> Result<String> {
    let event = event(cx, EventType::WebhookTested, Some(by), &present.id, None);
    let (id, now) = (event.id.clone(), cx.now.seconds());
    let until = now.saturating_add(TRIED_SECONDS);
    let message = NewMessage { id: &id, body: test_message(&event), now, until, most: MAX_MESSAGES };
    let guard = store::webhooks::leave_one(&cx.tenant.id, &present.id, message);
    match cx.commit(Change::guard(guard).event(event)).await? {
        true => Ok(id),
        false => Err(Reason::Conflict.because("this webhook is disabled, or 1000 messages wait for it or have failed")),
    }
}

/// Sends again what has failed: the message of that id, or all.
pub async fn resend(cx: &Cx<'_>, present: &Webhook, message: Option<&str>, by: &str) -> Result<()> {
    if !present.body.enabled {
        return Err(Reason::Conflict.because("this webhook is disabled: set `enabled` first"));
    }
    let now = cx.now.seconds();
    let event = event(cx, EventType::WebhookResent, Some(by), &present.id, message.map(str::to_owned));
    let moments = (now, now.saturating_add(TRIED_SECONDS));
    let guard = store::webhooks::resend(&cx.tenant.id, &present.id, message, moments);
    match (cx.commit(Change::guard(guard).event(event)).await?, message) {
        // That nothing has failed is no conflict.
        (true, _) | (false, None) => Ok(()),
        (false, Some(_)) => Err(Reason::NotFound.because("no message of that id has failed")),
    }
}

/// Seals anew the secrets that an older key has sealed, so that it can be taken away. The newest key of `ring` was tried on data keys, where there are
/// any; here it has to open a secret that it has sealed, or nothing is sealed with it.
pub async fn rewrap(cx: &Cx<'_>, ring: &Keyring) -> Result<()> {
    let all = cx.all(store::webhooks::list(&cx.tenant.id, "", MAX_WEBHOOKS)).await?;
    let mut under_newest = all.iter().filter(|one| ring.is_current(&one.secrets.current)).peekable();
    let opens = |one: &Webhook| ring.open(&associated(cx, &one.id), &one.secrets.current).is_some();
    if under_newest.peek().is_some() && !under_newest.any(opens) {
        cx.world
            .log
            .line("webhooks: the newest key in `VAULT_KEK` is not the one that has sealed secrets: put that one back");
        return Ok(());
    }
    for Webhook { id, secrets, .. } in all {
        let mut new = secrets.clone();
        let previous = new.previous.iter_mut().map(|previous| &mut previous.sealed);
        for sealed in std::iter::once(&mut new.current).chain(previous) {
            if !ring.is_current(sealed)
                && let Some(anew) = ring.reseal(&associated(cx, &id), sealed, &*cx.world.entropy)
            {
                *sealed = anew;
            }
        }
        if new != secrets {
            cx.run(vec![store::webhooks::reseal(&cx.tenant.id, &id, json(&secrets)?, json(&new)?)]).await?;
        }
    }
    Ok(())
}

/// How many webhooks have a secret under an older key-encryption key.
pub async fn count_older(cx: &Cx<'_>) -> Result<i64> {
    let ring = ring(cx)?;
    let all = cx.all(store::webhooks::list(&cx.tenant.id, "", MAX_WEBHOOKS)).await?;
    let is_older = |Secrets { current, previous }: &Secrets| {
        !ring.is_current(current) || previous.as_ref().is_some_and(|previous| !ring.is_current(&previous.sealed))
    };
    Ok(i64::try_from(all.iter().filter(|webhook| is_older(&webhook.secrets)).count()).unwrap_or(i64::MAX))
}

fn ring<'a>(cx: &Cx<'a>) -> Result<&'a Keyring> {
    cx.config.vault().ok_or_else(|| Fault::Broken("this Worker has no key of the vault").into())
}

fn associated(cx: &Cx<'_>, id: &str) -> String {
    ["webhook/", &cx.tenant.id, "/", id].concat()
}

/// A new secret, sealed and as it is.
fn new_secret(cx: &Cx<'_>, id: &str) -> Result<(String, Secret<String>)> {
    let secret = mint_webhook_secret(&*cx.world.entropy);
    let sealed = ring(cx)?.seal(&associated(cx, id), secret.expose().as_bytes(), &*cx.world.entropy);
    Ok((sealed.ok_or(Fault::Broken("the secret of a webhook cannot be sealed"))?, secret))
}

/// The secrets that sign now, the newest first. One before it that cannot be read any more signs nothing, and keeps the newest from nothing.
fn signing(cx: &Cx<'_>, webhook: &Webhook) -> Result<Vec<Secret<String>>> {
    let (ring, now) = (ring(cx)?, cx.now.seconds());
    let open = |sealed: &String| {
        let opened = ring.open(&associated(cx, &webhook.id), sealed)?;
        String::from_utf8(opened.to_vec()).ok().map(Secret::new)
    };
    let Secrets { current, previous } = &webhook.secrets;
    let current = open(current).ok_or(Fault::Broken("the secret of a webhook cannot be read"))?;
    let previous =
        previous.as_ref().filter(|previous| previous.until > now).and_then(|previous| open(&previous.sealed));
    Ok(std::iter::once(current).chain(previous).collect())
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|_| Fault::Broken("a webhook has no JSON").into())
}

fn event(cx: &Cx<'_>, kind: EventType, by: Option<&str>, id: &str, detail: Option<String>) -> Event {
    audit::event(cx, kind, by, Facts { target: Some(id.to_owned()), detail, ..Facts::default() })
}
