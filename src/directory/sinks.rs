//! Sinks: making, changing, trying and removing them, and saying from where on they are sent.
//!
//! 1. A secret stays as long as nobody sends another, and the sink has its kind and leads to its origin: it is sent nowhere else.
//! 2. A sink of the kind `https` that is given no secret to sign with gets a new one, which is shown once.
//! 3. From where on a sink is sent is a change of `DB`, with its event; who sends takes it over (`store::sinks::wake`).

use super::{Creation, changes};
use crate::audit;
use crate::audit::sinks::{self, SIGNING, Secrets, SinkKind, Verdict};
use crate::context::{Change, Cx};
use crate::crypto::{Secret, mint_webhook_secret};
use crate::error::{Fault, Reason, Result};
use crate::model::event::Facts;
use crate::model::{Event, EventType, Sink, SinkBody};
use crate::outbound;
use crate::store;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use url::Url;

/// How many sinks a tenant has at most.
pub const MAX_SINKS: i64 = 10;

/// What an administrator says about a sink.
pub struct Draft {
    /// The body.
    pub body: SinkBody,
    /// The secret, if one is sent.
    pub secret: Option<Map<String, Value>>,
}

/// Everything that is wrong with a draft beyond its shape.
pub fn problems(cx: &Cx<'_>, Draft { body, secret }: &Draft) -> Vec<String> {
    let Some(kind) = sinks::find(&body.kind) else {
        let known = sinks::KINDS.map(|kind| kind.name).join(", ");
        return vec![format!("`kind` must be one of: {known}")];
    };
    let mut all = sinks::problems("config", kind.config, &body.config);
    if let Some(secret) = secret {
        all.extend(sinks::problems("secret", kind.secret, secret));
    }
    if outbound::admit(cx.config, &body.url).is_none() || body.url.contains(['?', '#']) {
        all.push("`url` must be an https URL of a public host, without a port, a query or a fragment".to_owned());
    }
    if body.events.as_ref().is_some_and(Vec::is_empty) {
        all.push("`events` must name at least one type, or be left out".to_owned());
    }
    all
}

/// The sink of that id as it is stored now.
pub async fn find(cx: &Cx<'_>, id: &str) -> Result<Sink> {
    cx.one(store::sinks::get(&cx.tenant.id, id)).await?.ok_or_else(|| Reason::NotFound.into())
}

/// A sink that is about to be made, and the secret that signs, where it was made here. It is sent from after `start` on; nothing: what comes
/// after it was made.
pub fn create(
    cx: &Cx<'_>,
    Draft { body, secret }: Draft,
    start: Option<i64>,
    by: &str,
) -> Result<(Creation<Sink>, Option<Secret<String>>)> {
    let (id, now, kind) = (cx.new_id(), cx.now.seconds(), kind(&body)?);
    let mut secrets = sinks::secrets(secret.unwrap_or_default());
    let minted = mint(cx, kind, &mut secrets);
    complete(kind, &secrets)?;
    let sealed = sinks::seal(cx, &id, &secrets)?;
    let event = event(cx, EventType::SinkCreated, by, &id, &body, Some(body.url.clone()));
    let sink = Sink { id, body, sealed, run: 1, start, version: 1, created_at: now, updated_at: now };
    let guard = store::sinks::insert(&cx.tenant.id, &sink, json(&sink.body)?, MAX_SINKS);
    let change = Change::guard(guard).event(event);
    Ok((Creation::new(sink, change, "a tenant has 10 sinks at most: remove one first"), minted))
}

/// Gives a sink another body.
pub async fn update(cx: &Cx<'_>, present: Sink, Draft { body, secret }: Draft, by: &str) -> Result<Sink> {
    if present.body == body && secret.is_none() {
        return Ok(present);
    }
    let kind = kind(&body)?;
    let sealed = match secret.is_none() && stays(&present.body, &body) {
        true => present.sealed.clone(),
        false => {
            let old = sinks::open(cx, &present).unwrap_or_default();
            let mut secrets = sinks::secrets(secret.unwrap_or_default());
            // What signs is not sent, so it may lead elsewhere.
            let signs = |kind: &str| kind == "https";
            if let (true, Some((name, signing))) =
                (signs(&body.kind) && signs(&present.body.kind), old.into_iter().find(|(name, _)| name == SIGNING))
            {
                secrets.entry(name).or_insert(signing);
            }
            complete(kind, &secrets)?;
            if signs(&body.kind) && !secrets.contains_key(SIGNING) {
                let why = "`secret.signing` is missing: what is sent is signed with it (`whsec_` and base64)";
                return Err(Reason::InvalidField.because(why));
            }
            sinks::seal(cx, &present.id, &secrets)?
        }
    };
    let detail = match (changes(&present.body, &body), sealed == present.sealed) {
        (changed, true) => changed,
        (changed, false) if changed.is_empty() => "secret".to_owned(),
        (changed, false) => [&changed, ", secret"].concat(),
    };
    let event = event(cx, EventType::SinkUpdated, by, &present.id, &body, Some(detail));
    let sink = Sink { body, sealed, ..present };
    let now = cx.now.seconds();
    let guard = store::sinks::update(&cx.tenant.id, &sink, json(&sink.body)?, now);
    match cx.commit(Change::guard(guard).event(event)).await? {
        true => Ok(Sink { version: sink.version.saturating_add(1), updated_at: now, ..sink }),
        false => Err(Reason::PreconditionFailed.into()),
    }
}

/// Removes a sink. What it has not taken stays in the trail.
pub async fn delete(cx: &Cx<'_>, present: &Sink, by: &str) -> Result<()> {
    let event = event(cx, EventType::SinkDeleted, by, &present.id, &present.body, Some(present.body.url.clone()));
    let guard = store::sinks::delete(&cx.tenant.id, &present.id, present.version);
    match cx.commit(Change::guard(guard).event(event)).await? {
        true => cx.trail().run(vec![store::sinks::forget(&cx.tenant.id, &present.id)]).await.map(drop),
        false => Err(Reason::PreconditionFailed.into()),
    }
}

/// Sends one event, to try a sink; what became of it.
pub async fn test(cx: &Cx<'_>, present: &Sink, by: &str) -> Result<Verdict> {
    let event = event(cx, EventType::SinkTested, by, &present.id, &present.body, None);
    audit::record(cx, &event).await?;
    sinks::test(cx, present, &event).await
}

/// Has a sink sent from the event with that sequence number on.
pub async fn replay(cx: &Cx<'_>, present: &Sink, from: i64, by: &str) -> Result<()> {
    let detail = Some(format!("from {from}"));
    let event = event(cx, EventType::SinkReplayed, by, &present.id, &present.body, detail);
    let guard = store::sinks::replay(&cx.tenant.id, &present.id, from.saturating_sub(1));
    match cx.commit(Change::guard(guard).event(event)).await? {
        true => Ok(()),
        false => Err(Reason::NotFound.into()),
    }
}

/// Seals anew what an older key has sealed, and looks whether there is something to send.
pub async fn tick(cx: &Cx<'_>) -> Result<()> {
    if cx.config.answers().is_none() {
        return Ok(());
    }
    for sink in cx.all(store::sinks::list(&cx.tenant.id, "", MAX_SINKS)).await? {
        if let Some(new) = sinks::resealed(cx, &sink)? {
            cx.run(vec![store::sinks::reseal(&cx.tenant.id, &sink.id, &sink.sealed, &new)]).await?;
        }
    }
    sinks::wake(cx.world, &BTreeSet::from([cx.tenant.id.clone()])).await
}

fn kind(body: &SinkBody) -> Result<&'static SinkKind> {
    sinks::find(&body.kind).ok_or_else(|| Fault::Broken("a kind of sink was not checked").into())
}

/// Whether what a sink is sent with goes where it went before.
fn stays(before: &SinkBody, after: &SinkBody) -> bool {
    let origin = |body: &SinkBody| Url::parse(&body.url).map(|url| url.origin()).ok();
    before.kind == after.kind && origin(before) == origin(after)
}

fn mint(cx: &Cx<'_>, kind: &SinkKind, secrets: &mut Secrets) -> Option<Secret<String>> {
    let signs = kind.secret.iter().any(|field| field.name == SIGNING);
    if !signs || secrets.contains_key(SIGNING) {
        return None;
    }
    let minted = mint_webhook_secret(&*cx.world.entropy);
    secrets.insert(SIGNING.to_owned(), Secret::new(minted.expose().clone()));
    Some(minted)
}

/// Passes if a kind has all secrets that it needs.
fn complete(kind: &SinkKind, secrets: &Secrets) -> Result<()> {
    let missing = kind.secret.iter().find(|field| field.needed && !secrets.contains_key(field.name));
    match missing {
        None => Ok(()),
        Some(field) => Err(Reason::InvalidField.because(format!(
            "`secret.{}` is missing: it is sent nowhere but where it was meant for, so send it with another `kind` or `url`",
            field.name
        ))),
    }
}

fn json(body: &SinkBody) -> Result<String> {
    serde_json::to_string(body).map_err(|_| Fault::Broken("a sink has no JSON").into())
}

fn event(cx: &Cx<'_>, kind: EventType, by: &str, id: &str, body: &SinkBody, detail: Option<String>) -> Event {
    let (target, target_name) = (Some(id.to_owned()), Some(body.kind.clone()));
    audit::event(cx, kind, Some(by), Facts { target, target_name, detail, ..Facts::default() })
}
